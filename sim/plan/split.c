/* By which names a plan's metrics are told apart. */
#include "sim/plan/plan.h"

static const char *const tool_names[] = {
    [TOOL_BASH] = "bash", [TOOL_WRITE] = "write", [TOOL_READ] = "read", [TOOL_MCP] = "mcp"};

enum { TOOLS = sizeof tool_names / sizeof *tool_names };

static bool turn_calls(const struct plan_turn *turn, enum tool tool)
{
    for (uint32_t i = 0; i < turn->step_count; i++) {
        const struct plan_step *step = &turn->steps[i];

        /* Copies of a step share its calls. */
        if (i > 0 && step->calls == turn->steps[i - 1].calls) continue;
        for (uint32_t k = 0; k < step->call_count; k++)
            if (step->calls[k].tool == tool) return true;
    }
    return false;
}

static bool is_called(const struct plan *plan, enum tool tool)
{
    for (uint32_t i = 0; i < plan->script_count; i++) {
        const struct plan_script *script = &plan->scripts[i];

        for (uint32_t t = 0; t < script->turn_count; t++) {
            bool copy = t > 0 && script->turns[t].steps == script->turns[t - 1].steps;

            if (!copy && turn_calls(&script->turns[t], tool)) return true;
        }
    }
    return false;
}

const char *plan_split_key(enum plan_split split)
{
    static const char *const keys[SPLIT_COUNT] = {"tool", "server", "script"};

    return (unsigned)split < SPLIT_COUNT ? keys[split] : "unknown";
}

uint32_t plan_split_size(const struct plan *plan, enum plan_split split)
{
    switch (split) {
    case SPLIT_TOOL: return TOOLS;
    case SPLIT_SERVER: return plan->mcp_count;
    case SPLIT_SCRIPT: return plan->script_count;
    case SPLIT_COUNT: break;
    }
    return 0;
}

const char *plan_split_name(const struct plan *plan, enum plan_split split, uint32_t index)
{
    if (index >= plan_split_size(plan, split)) return NULL;
    switch (split) {
    case SPLIT_TOOL: return is_called(plan, (enum tool)index) ? tool_names[index] : NULL;
    case SPLIT_SERVER: return plan->mcp[index].name;
    case SPLIT_SCRIPT: return plan->scripts[index].name;
    case SPLIT_COUNT: break;
    }
    return NULL;
}

uint32_t plan_split_names(const struct plan *plan, enum plan_split split)
{
    uint32_t size = plan_split_size(plan, split), n = 0;

    if (split != SPLIT_TOOL) return size;
    for (uint32_t i = 0; i < size; i++) n += is_called(plan, (enum tool)i);
    return n;
}
