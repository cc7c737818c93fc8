#include <string.h>

#include "sim/plan/finish.h"

enum { COPIES_MAX = 10000 };

static bool has(const json_t *in, const char *key)
{
    return json_object_get(in, key) != NULL;
}

/* Keys that mean nothing beside `because`. `keys` ends with NULL. */
static int refuse(struct context *c, json_t *in, const char *const *keys, const char *because)
{
    for (; *keys; keys++)
        if (has(in, *keys)) return fail_key(c, *keys, "\"%s\" means nothing %s", *keys, because);
    return 0;
}

static int require(struct context *c, json_t *in, const char *key, const char *because)
{
    return has(in, key) ? 0 : fail(c, "\"%s\" is missing: it is required %s", key, because);
}

/* Load ------------------------------------------------------------------------------------------------------
 */

static int rates_finish(struct context *c, json_t *in, const struct plan_load *load)
{
    bool any = false;

    if (has(in, "rate") && has(in, "ramp")) return fail_key(c, "ramp", "give \"rate\" or \"ramp\", not both");
    if (!has(in, "rate") && !has(in, "ramp"))
        return fail(c, "\"rate\" or \"ramp\" is missing: one is required with process constant or poisson");
    for (uint32_t i = 0; i < load->knot_count; i++) any = any || load->knots[i].per_hour > 0;
    return any ? 0 : fail_at(c, has(in, "rate") ? "rate" : "ramp", "never above 0: no session would start");
}

int load_finish(struct context *c, json_t *in, void *element)
{
    static const char *const closed_only[] = {"users", NULL};
    static const char *const open_only[] = {"rate", "ramp", NULL};
    static const char *const at_once_no[] = {"rate", "ramp", "users", NULL};
    struct plan_load *load = element;
    int r;

    switch (load->process) {
    case ARRIVAL_CONSTANT:
    case ARRIVAL_POISSON:
        r = refuse(c, in, closed_only, "with process constant or poisson; allowed: rate, ramp");
        return r ? r : rates_finish(c, in, load);
    case ARRIVAL_CLOSED:
        r = refuse(c, in, open_only, "with process closed; allowed: users, think");
        return r ? r : require(c, in, "users", "with process closed");
    case ARRIVAL_AT_ONCE:
        r = refuse(c, in, at_once_no, "with process at-once; allowed: sessions, start");
        if (r == 0 && load->sessions == 0)
            return fail(c, "\"sessions\" is missing: at least 1 is required with process at-once");
        return r;
    }
    return 0;
}

/* Scripts ---------------------------------------------------------------------------------------------------
 */

int call_finish(struct context *c, json_t *in, void *element)
{
    static const char *const not_with_read[] = {"execution", "output", NULL};
    static const char *const not_with_mcp[] = {"execution", NULL};
    struct plan_call *call = element;
    int r;

    if (has(in, "mcp") && has(in, "tool")) return fail_key(c, "mcp", "give \"tool\" or \"mcp\", not both");
    if (!has(in, "mcp") && !has(in, "tool"))
        return fail(c, "\"tool\" or \"mcp\" is missing: one is required");
    call->output_given = has(in, "output");
    if (has(in, "mcp")) {
        call->tool = TOOL_MCP;
        return refuse(c, in, not_with_mcp, "with \"mcp\": the server's service_time counts");
    }
    if (call->tool == TOOL_READ) return refuse(c, in, not_with_read, "with tool read");
    r = require(c, in, "execution", "with tool bash");
    return r ? r : require(c, in, "output", "with tool bash");
}

static bool reads(const struct plan_step *step)
{
    for (uint32_t i = 0; i < step->call_count; i++)
        if (step->calls[i].tool == TOOL_READ) return true;
    return false;
}

/* Copies share their calls. */
int turn_finish(struct context *c, json_t *in, void *element)
{
    struct plan_turn *turn = &((struct turn_draft *)element)->turn;
    const struct step_draft *drafts = (const void *)turn->steps;
    uint32_t given = turn->step_count, n = 0;
    uint64_t total = 0;

    for (uint32_t i = 0; i < given; i++) total += drafts[i].repeat;
    if (total > COPIES_MAX)
        return fail_at(c, "steps", "%llu steps with all copies; allowed: at most %d",
                       (unsigned long long)total, COPIES_MAX);
    turn->steps = context_alloc(c, total, sizeof(*turn->steps));
    if (!turn->steps) return context_full(c);
    for (uint32_t i = 0; i < given; i++)
        for (uint32_t k = 0; k < drafts[i].repeat; k++) turn->steps[n++] = drafts[i].step;
    turn->step_count = n;
    if (n > 0 && reads(&turn->steps[0]))
        return fail_element(c, "steps", 0,
                            "the first step has nothing to read: tool read reads what the step before it "
                            "spilled");
    return 0;
}

static uint32_t step_calls(const struct plan_step *step)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < step->call_count; i++) n += step->calls[i].count;
    return n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

/* Copies of a step share their calls and stand side by side: each is looked at once. */
static uint32_t turn_calls(const struct plan_turn *turn)
{
    uint32_t most = 0;

    for (uint32_t k = 0; k < turn->step_count; k++) {
        uint32_t calls =
            k > 0 && turn->steps[k].calls == turn->steps[k - 1].calls ? 0 : step_calls(&turn->steps[k]);

        if (calls > most) most = calls;
    }
    return most;
}

int script_finish(struct context *c, json_t *in, void *element)
{
    struct plan_script *script = element;
    const struct turn_draft *drafts = (const void *)script->turns;
    uint32_t given = script->turn_count, n = 0;
    uint64_t total = 0;

    for (uint32_t i = 0; i < given; i++) total += drafts[i].repeat;
    if (total > COPIES_MAX)
        return fail_at(c, "turns", "%llu turns with all copies; allowed: at most %d",
                       (unsigned long long)total, COPIES_MAX);
    script->turns = context_alloc(c, total, sizeof(*script->turns));
    if (!script->turns) return context_full(c);
    for (uint32_t i = 0; i < given; i++)
        for (uint32_t k = 0; k < drafts[i].repeat; k++) script->turns[n++] = drafts[i].turn;
    script->turn_count = n;
    /* More is added for pieces that are read back, once the thresholds are known. */
    for (uint32_t i = 0; i < given; i++) {
        uint32_t calls = turn_calls(&drafts[i].turn);

        if (calls > script->calls_max) script->calls_max = calls;
    }
    return 0;
}

/* Orchestrator, runners -------------------------------------------------------------------------------------
 */

int orchestrator_finish(struct context *c, json_t *in, void *element)
{
    const struct plan_orchestrator *o = element;

    if (o->lease_ttl_ns > o->lease_ttl_max_ns)
        return fail_against(c, "lease_ttl", OTHERS("lease_ttl_max"), "longer than lease_ttl_max");
    if (o->preview_chars > o->spill_threshold_chars)
        return fail_against(c, "preview", OTHERS("spill_threshold"),
                            "longer than spill_threshold: a preview is the start of a spilled output");
    if (o->read_piece_chars > o->spill_threshold_chars)
        return fail_against(c, "read_piece", OTHERS("spill_threshold"),
                            "longer than spill_threshold: what is read back would be spilled again");
    return 0;
}

int retry_finish(struct context *c, json_t *in, void *element)
{
    const struct plan_retry *retry = element;

    return retry->base_ns > retry->cap_ns ? fail_against(c, "base", OTHERS("cap"), "longer than cap") : 0;
}

json_t *runner_prepare(json_t *in)
{
    json_t *provider = json_object_get(in, "provider"), *regime = json_object_get(in, "regime"), *copy,
           *start;

    if (json_object_get(in, "cold_start") || !json_is_string(provider)) return json_incref(in);
    if (json_string_length(provider) == 0 || (regime && !json_is_string(regime))) return json_incref(in);
    copy = json_copy(in);
    start = json_pack("{s:O, s:s}", "profile", provider, "regime",
                      regime ? json_string_value(regime) : "sequential");
    if (!copy || !start || json_object_set_new(copy, "cold_start", start) < 0) {
        json_decref(copy);
        return NULL;
    }
    return copy;
}

int runner_finish(struct context *c, json_t *in, void *element)
{
    const struct plan_runner *runner = element;

    if (runner->prewarmed > 0 && !has(in, "warm_start"))
        return fail(c,
                    "\"warm_start\" is missing: it is required with prewarmed sandboxes, nothing is guessed");
    if (runner->warm_max > 0 && !has(in, "warm_start"))
        return fail(c, "\"warm_start\" is missing: it is required with warm sandboxes, nothing is guessed");
    if (runner->parallel_per_tenant > 0 && runner->parallel_per_tenant < runner->instances)
        return fail_against(c, "parallel_per_tenant", OTHERS("instances"),
                            "less than one sandbox for each of %u instances; allowed: 0, or at least as many",
                            runner->instances);
    return 0;
}

/* Faults ----------------------------------------------------------------------------------------------------
 */

enum fault_key {
    KEY_FOR,
    KEY_TARGET,
    KEY_LINK,
    KEY_DELAY,
    KEY_RATE,
    KEY_STATUS,
    KEY_SHARE,
    KEY_RETRY_AFTER,
    KEY_NUMBER, /* "count" */
    FAULT_KEYS
};

static const char *const fault_keys[FAULT_KEYS] = {"for",    "target", "link",        "delay", "rate",
                                                   "status", "share",  "retry_after", "count"};

#define BIT(key)  (1u << (key))
#define LINK_KEYS (BIT(KEY_FOR) | BIT(KEY_TARGET) | BIT(KEY_LINK))

/* Which keys a kind needs, and which it may have. */
static const struct {
    const char *name;
    unsigned required, allowed;
} fault_rules[] = {
    [FAULT_KILL] = {"kill", BIT(KEY_TARGET), BIT(KEY_TARGET) | BIT(KEY_FOR)},
    [FAULT_LINK_CUT] = {"cut", BIT(KEY_LINK) | BIT(KEY_FOR), LINK_KEYS},
    [FAULT_LINK_STALL] = {"stall", BIT(KEY_LINK) | BIT(KEY_FOR), LINK_KEYS},
    [FAULT_LINK_HALF_OPEN] = {"half-open", BIT(KEY_LINK) | BIT(KEY_FOR), LINK_KEYS},
    [FAULT_LINK_DELAY] = {"delay", BIT(KEY_LINK) | BIT(KEY_FOR) | BIT(KEY_DELAY), LINK_KEYS | BIT(KEY_DELAY)},
    [FAULT_LINK_RATE] = {"rate", BIT(KEY_LINK) | BIT(KEY_FOR) | BIT(KEY_RATE), LINK_KEYS | BIT(KEY_RATE)},
    [FAULT_ANSWER] = {"answer", BIT(KEY_TARGET) | BIT(KEY_FOR) | BIT(KEY_STATUS),
                      BIT(KEY_TARGET) | BIT(KEY_FOR) | BIT(KEY_STATUS) | BIT(KEY_SHARE) |
                          BIT(KEY_RETRY_AFTER)},
    [FAULT_WORKER_CRASH] = {"worker-crash", BIT(KEY_TARGET),
                            BIT(KEY_TARGET) | BIT(KEY_NUMBER) | BIT(KEY_DELAY)},
    [FAULT_RESTART] = {"restart", BIT(KEY_TARGET) | BIT(KEY_FOR), BIT(KEY_TARGET) | BIT(KEY_FOR)},
};

int fault_finish(struct context *c, json_t *in, void *element)
{
    struct plan_fault *fault = &((struct fault_draft *)element)->fault;
    const char *kind = fault_rules[fault->kind].name;

    for (unsigned i = 0; i < FAULT_KEYS; i++) {
        bool given = has(in, fault_keys[i]);

        if (given && !(fault_rules[fault->kind].allowed & BIT(i)))
            return fail_key(c, fault_keys[i], "\"%s\" means nothing with kind %s", fault_keys[i], kind);
        if (!given && (fault_rules[fault->kind].required & BIT(i)))
            return fail(c, "\"%s\" is missing: it is required with kind %s", fault_keys[i], kind);
    }
    if (fault->kind == FAULT_ANSWER && !has(in, "share")) fault->share_ppm = DIST_PPM_ONE;
    if (fault->kind == FAULT_WORKER_CRASH && !has(in, "count")) fault->count = 1;
    return 0;
}
