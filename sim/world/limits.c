#include "sim/world/limits.h"

enum { SLOTS_MAX = 1 << 24 };

static uint32_t slots(uint64_t n)
{
    return n < SLOTS_MAX ? (uint32_t)n : SLOTS_MAX;
}

static uint64_t calls_at_once(const struct plan *plan)
{
    uint64_t most = 1;

    for (uint32_t i = 0; i < plan->script_count; i++) {
        if (plan->scripts[i].calls_max > most) most = plan->scripts[i].calls_max;
    }
    return most;
}

/* Calls that runners hold: more than there are, where a worker that lost its lease goes on beside its
 * successor. At least so many for each worker as runner.c allows. */
static uint64_t runner_calls(const struct plan *plan)
{
    uint64_t each = 2 * calls_at_once(plan), sum = 0;

    if (each < 256) each = 256;
    for (uint32_t i = 0; i < plan->runner_count; i++)
        sum += (uint64_t)plan->runners[i].instances * plan->runners[i].workers * each;
    return sum;
}

/* Names are told apart where there is more than one. */
static uint32_t split_size(const struct plan *plan, enum plan_split split)
{
    return plan_split_names(plan, split) > 1 ? plan_split_size(plan, split) : 0;
}

struct recorder_options recorder_options_of(const struct plan *plan)
{
    uint64_t sessions = plan->orchestrator.sessions_max;
    uint64_t calls = sessions * calls_at_once(plan), held = runner_calls(plan);
    uint64_t connections = (uint64_t)plan_instances(plan, ROLE_CONNECTOR) * plan->tunnels.connections;

    return (struct recorder_options){
        .ledger.slots_max = {[ACCOUNT_SESSION] = slots(sessions + 1024),
                             [ACCOUNT_TURN] = slots(sessions + 1024),
                             [ACCOUNT_CALL] = slots(calls),
                             [ACCOUNT_ATTEMPT] = slots(calls),
                             [ACCOUNT_RESULT] = slots(held),
                             [ACCOUNT_SPILL] = slots(calls + held),
                             [ACCOUNT_CONNECTION] = slots(connections + 1),
                             [ACCOUNT_STREAM] = slots(4 * sessions + calls + 1024),
                             [ACCOUNT_WORK] = slots(2 * sessions + 1024),
                             [ACCOUNT_SANDBOX] = slots(held + sessions + 1024)},
        .split_sizes = {[SPLIT_TOOL] = split_size(plan, SPLIT_TOOL),
                        [SPLIT_SERVER] = split_size(plan, SPLIT_SERVER),
                        [SPLIT_SCRIPT] = split_size(plan, SPLIT_SCRIPT)},
        .marks_max = plan->spans_max,
        .sample_every = plan->span_sample_every ? plan->span_sample_every : 1,
        .zeroed = true};
}
