/* What concerns more than one part of a document. */
#include <stdio.h>
#include <string.h>

#include "sim/plan/context.h"
#include "sim/plan/units.h"

enum { INTERVALS_MAX = 200000, TAIL_MEANS = 8 };

#define RUN_MAX         (48 * 3600 * NSEC_PER_S)
#define ORDINALS_MAX    UINT32_C(0xffffff)
#define SESSIONS_MAX    UINT64_C(10000000)
#define CONNECTIONS_MAX UINT64_C(16000000)

static int check_times(struct context *c, const struct plan *plan)
{
    if (plan->duration_ns + plan->drain_ns > RUN_MAX)
        return fail_against(c, "drain", OTHERS("/duration"), "duration and drain are more than 48h together");
    if ((plan->duration_ns + plan->drain_ns) / plan->interval_ns >= INTERVALS_MAX)
        return fail_against(c, "interval", OTHERS("/duration", "/drain"), "more than %d intervals in the run",
                            INTERVALS_MAX);
    return 0;
}

static int check_sizes(struct context *c, const struct plan *plan)
{
    const struct plan_tunnels *t = &plan->tunnels;
    uint64_t gateways = (uint64_t)t->count * t->replicas, runners = 0;

    for (uint32_t i = 0; i < plan->runner_count; i++) runners += plan->runners[i].instances;
    if (gateways > ORDINALS_MAX)
        return fail_against(c, "tunnels", OTHERS("/tunnels/count", "/tunnels/replicas"),
                            "%llu gateways (count x replicas); allowed: at most %u",
                            (unsigned long long)gateways, ORDINALS_MAX);
    if (gateways * t->connections > CONNECTIONS_MAX)
        return fail_against(
            c, "tunnels", OTHERS("/tunnels/count", "/tunnels/replicas", "/tunnels/connections"),
            "%llu connections (count x replicas x connections); allowed: at most %llu",
            (unsigned long long)(gateways * t->connections), (unsigned long long)CONNECTIONS_MAX);
    if (runners > ORDINALS_MAX) return fail_at(c, "runners", "more than %u machines", ORDINALS_MAX);
    return 0;
}

/* Sessions that an open load starts, at most: the largest rate all the time. */
static uint64_t load_sessions(const struct plan *plan, const struct plan_load *load)
{
    uint64_t peak = 0, n;

    if (load->process == ARRIVAL_AT_ONCE) return load->sessions;
    for (uint32_t i = 0; i < load->knot_count; i++)
        if (load->knots[i].per_hour > peak) peak = load->knots[i].per_hour;
    n = (uint64_t)((unsigned __int128)peak * plan->duration_ns / (3600 * NSEC_PER_S));
    return load->sessions > 0 && load->sessions < n ? load->sessions : n;
}

static int check_load(struct context *c, const struct plan *plan)
{
    size_t outer = pointer_push(&c->at, "load", strlen("load"));
    uint64_t sessions = 0;
    int r = 0;

    for (uint32_t i = 0; r == 0 && i < plan->load_count; i++) {
        const struct plan_load *load = &plan->loads[i];
        size_t before = pointer_push(&c->at, load->name, strlen(load->name));

        sessions += load_sessions(plan, load);
        if (load->start_ns >= plan->duration_ns)
            r = fail_against(c, "start", OTHERS("/duration"), "not within the run's duration");
        if (r == 0 && sessions > SESSIONS_MAX)
            r = fail_against(c, NULL, OTHERS("rate", "ramp", "sessions", "/duration"),
                             "%llu sessions or more in all; allowed: at most %llu",
                             (unsigned long long)sessions, (unsigned long long)SESSIONS_MAX);
        pointer_pop(&c->at, before);
    }
    pointer_pop(&c->at, outer);
    return r;
}

/* Copies of a turn share their steps, copies of a step their calls, and they stand side by side: a second
 * look at what a copy shares would find nothing new, and there can be 10^8 of them. */
static bool turn_seen(const struct plan_script *script, uint32_t i)
{
    return i > 0 && script->turns[i].steps == script->turns[i - 1].steps;
}

static bool step_seen(const struct plan_turn *turn, uint32_t k)
{
    return k > 0 && turn->steps[k].calls == turn->steps[k - 1].calls;
}

static bool step_needs_runner(const struct plan_step *step)
{
    for (uint32_t j = 0; j < step->call_count; j++)
        if (step->calls[j].tool != TOOL_MCP) return true;
    return false;
}

static bool needs_runner(const struct plan_script *script)
{
    for (uint32_t i = 0; i < script->turn_count; i++) {
        const struct plan_turn *turn = &script->turns[i];

        for (uint32_t k = 0; !turn_seen(script, i) && k < turn->step_count; k++)
            if (!step_seen(turn, k) && step_needs_runner(&turn->steps[k])) return true;
    }
    return false;
}

static int check_runners(struct context *c, const struct plan *plan)
{
    for (uint32_t i = 0; plan->runner_count == 0 && i < plan->script_count; i++)
        if (needs_runner(&plan->scripts[i]))
            return fail(c, "/runners is empty, but the script \"%s\" calls tools in a sandbox",
                        plan->scripts[i].name);
    return 0;
}

/* About the largest sample. */
static uint64_t dist_large(const struct dist *d)
{
    if (d->kind == DIST_UNIFORM) return d->hi;
    if (d->kind == DIST_QUANTILES) return d->points[d->points_len - 1].value;
    if (d->kind == DIST_EXPONENTIAL) return d->lo * TAIL_MEANS;
    return d->lo;
}

static uint64_t spilled_pieces(const struct plan *plan, const struct plan_step *step)
{
    const struct plan_orchestrator *o = &plan->orchestrator;
    uint64_t pieces = 0;

    for (uint32_t i = 0; i < step->call_count; i++) {
        const struct plan_call *call = &step->calls[i];
        bool servers = call->tool == TOOL_MCP && !call->output_given;
        uint64_t chars = dist_large(servers ? &plan->mcp[call->mcp].output_chars : &call->output_chars);

        if (chars <= o->spill_threshold_chars) continue;
        pieces += call->count * ((chars + o->read_piece_chars - 1) / o->read_piece_chars);
    }
    return pieces;
}

/* A READ call becomes as many as it takes to read back what the step before it spilled. */
static uint32_t step_reads(const struct plan *plan, const struct plan_step *before,
                           const struct plan_step *step)
{
    uint64_t pieces = spilled_pieces(plan, before), calls = 0;

    for (uint32_t j = 0; j < step->call_count; j++) {
        const struct plan_call *call = &step->calls[j];

        calls += call->tool == TOOL_READ && pieces > 0 ? pieces * call->count : call->count;
    }
    return calls > UINT32_MAX ? UINT32_MAX : (uint32_t)calls;
}

static void count_reads(const struct plan *plan, struct plan_script *script)
{
    for (uint32_t i = 0; i < script->turn_count; i++) {
        const struct plan_turn *turn = &script->turns[i];

        for (uint32_t k = 1; !turn_seen(script, i) && k < turn->step_count; k++) {
            uint32_t calls;

            if (k > 1 && step_seen(turn, k) && step_seen(turn, k - 1)) continue;
            calls = step_reads(plan, &turn->steps[k - 1], &turn->steps[k]);
            if (calls > script->calls_max) script->calls_max = calls;
        }
    }
}

int plan_check(struct context *c, struct draft *draft)
{
    struct plan *plan = &draft->plan;
    int r = check_times(c, plan);

    if (r == 0) r = check_sizes(c, plan);
    if (r == 0) r = check_load(c, plan);
    if (r == 0) r = check_runners(c, plan);
    if (r == 0) r = faults_expand(c, draft);
    if (r == 0) r = objectives_expand(c, draft);
    for (uint32_t i = 0; r == 0 && i < plan->script_count; i++) count_reads(plan, &plan->scripts[i]);
    return r;
}
