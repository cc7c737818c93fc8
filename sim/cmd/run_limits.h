/*
 * How long the surfaces of a run's control plane and MCP servers wait for a peer, and how much they take.
 *
 * As with the tunnel's (sim/live/tunnel_limits.h), in a run they decide nothing: virtual time does not know
 * them. Both ends are machines of one plan, which bounds what they say and how long they wait. A mock that
 * runs alone keeps its own limits, which guard it against peers that are no part of a plan.
 */
#pragma once

#include <limits.h>
#include <stdint.h>

#include "sim/base/nsec.h"
#include "sim/plan/plan.h"

/* The machine's descriptors end before, which a run watches by itself. */
#define RUN_CONNECTIONS UINT_MAX

/* No connection is older: the run, and a minute for its beginning and its end. */
static inline nsec_t run_limit_wait(const struct plan *plan)
{
    return nsec_add(nsec_add(plan->duration_ns, plan->drain_ns), 60 * NSEC_PER_S);
}

/* The most characters that one event carries: a text of the script, or what is given back of an output. */
static inline uint64_t run_limit_chars(const struct plan *plan)
{
    const struct plan_orchestrator *o = &plan->orchestrator;
    uint64_t most = o->spill_threshold_chars > o->preview_chars ? o->spill_threshold_chars : o->preview_chars;

    if (o->read_piece_chars > most) most = o->read_piece_chars;
    for (uint32_t i = 0; i < plan->script_count; i++) {
        for (uint32_t t = 0; t < plan->scripts[i].turn_count; t++) {
            const struct plan_turn *turn = &plan->scripts[i].turns[t];

            if (turn->message_bytes > most) most = turn->message_bytes;
            if (turn->answer_bytes > most) most = turn->answer_bytes;
        }
    }
    return most;
}

/* Of a request or of one event, with room for what is about the text. */
static inline uint64_t run_limit_body(const struct plan *plan)
{
    return run_limit_chars(plan) + (64 << 10);
}

/* Of an answer: a page of a list holds up to 1000 events. */
static inline uint64_t run_limit_answer(const struct plan *plan)
{
    return 1000 * run_limit_body(plan);
}
