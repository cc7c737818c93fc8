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

struct recorder_options recorder_options_of(const struct plan *plan)
{
    uint64_t sessions = plan->orchestrator.sessions_max;
    uint64_t calls = sessions * calls_at_once(plan);
    uint64_t connections = (uint64_t)plan_instances(plan, ROLE_CONNECTOR) * plan->tunnels.connections;

    return (struct recorder_options){
        .ledger.slots_max = {[ACCOUNT_SESSION] = slots(sessions + 1024),
                             [ACCOUNT_TURN] = slots(sessions + 1024),
                             [ACCOUNT_CALL] = slots(calls),
                             [ACCOUNT_ATTEMPT] = slots(calls),
                             [ACCOUNT_RESULT] = slots(calls),
                             [ACCOUNT_SPILL] = slots(calls),
                             [ACCOUNT_CONNECTION] = slots(connections + 1),
                             [ACCOUNT_STREAM] = slots(4 * sessions + calls + 1024),
                             [ACCOUNT_WORK] = slots(2 * sessions + 1024),
                             [ACCOUNT_SANDBOX] = slots(calls + sessions + 1024)},
        .marks_max = plan->spans_max,
        .sample_every = plan->span_sample_every ? plan->span_sample_every : 1,
        .zeroed = true};
}
