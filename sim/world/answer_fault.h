/*
 * Faults that are answers: while one is in force, a share of the requests to a component is answered with its
 * status.
 */
#pragma once

#include <stddef.h>

#include "sim/base/prng.h"
#include "sim/plan/fault_rules.h"
#include "sim/world/component.h"

/* The fault that this request to `env`'s component meets at `now`, or NULL. Draws from `p` only while a fault
 * is in force. */
static inline const struct plan_fault *answer_fault(const struct env *env, nsec_t now, struct prng *p)
{
    const struct plan_fault *fault = plan_answer_fault(env->plan, env->self, now);

    return fault && prng_chance_ppm(p, fault->share_ppm) ? fault : NULL;
}

/* The stream to draw from: one for each component and incarnation. */
static inline struct prng answer_fault_stream(const struct env *env)
{
    return prng_stream(env->plan->seed, env->plan->replicate, "answer fault",
                       (uint64_t)env->self << 32 | env->incarnation, 0);
}

/* What a peer is told to wait: as finely as the wire has it. Edge and proxy answer with Retry-After, in whole
 * seconds, the others in milliseconds. Rounded up. */
static inline nsec_t answer_fault_wait(const struct plan_fault *fault)
{
    enum role role = ADDR_ROLE(fault->target);
    bool seconds = role == ROLE_EDGE || role == ROLE_PROXY;

    return nsec_round_up(fault->retry_after_ns, seconds ? NSEC_PER_S : NSEC_PER_MS);
}

/* The answer of a plain request that meets the fault. */
static inline struct msg answer_fault_msg(const struct plan_fault *fault)
{
    return (struct msg){.kind = M_ERROR,
                        .flags = MSG_LAST,
                        .bytes = 300,
                        .a = fault->status,
                        .b = fault->status == 429 ? ERROR_LIMIT : ERROR_OVERLOADED,
                        .c = answer_fault_wait(fault)};
}
