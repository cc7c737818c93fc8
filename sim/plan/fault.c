/* Fault drafts into faults: targets, ranges, order. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/str.h"
#include "sim/plan/context.h"
#include "sim/plan/fault_rules.h"
#include "sim/plan/units.h"

enum { FAULTS_MAX = 100000 };

/* A target as read: instances first … last of a role, or of all. */
struct target {
    enum role role;
    bool gateway; /* connector and proxy */
    bool all;
    uint32_t first, last;
};

static const struct {
    const char *name;
    enum role role;
    bool gateway, numbered;
} target_names[] = {
    {"orchestrator", ROLE_ORCHESTRATOR, false, false},
    {"edge", ROLE_EDGE, false, false},
    {"mcp", ROLE_MCP, false, true},
    {"gateway", ROLE_CONNECTOR, true, true},
    {"connector", ROLE_CONNECTOR, false, true},
    {"proxy", ROLE_PROXY, false, true},
    {"runner", ROLE_RUNNER, false, true},
    {"client", ROLE_CLIENT, false, false},
};

enum { TARGET_NAMES = sizeof(target_names) / sizeof(target_names[0]) };

#define ROLE_BIT(role) (1u << (role))

/* Whom a kind can hit. Links: see link_target(). */
static unsigned kind_roles(enum fault_kind kind)
{
    unsigned machines = ROLE_BIT(ROLE_ORCHESTRATOR) | ROLE_BIT(ROLE_EDGE) | ROLE_BIT(ROLE_MCP) |
                        ROLE_BIT(ROLE_CONNECTOR) | ROLE_BIT(ROLE_PROXY) | ROLE_BIT(ROLE_RUNNER);

    if (kind == FAULT_KILL) return machines;
    if (kind == FAULT_RESTART) return ROLE_BIT(ROLE_EDGE) | ROLE_BIT(ROLE_CONNECTOR);
    if (kind == FAULT_ANSWER)
        return ROLE_BIT(ROLE_ORCHESTRATOR) | ROLE_BIT(ROLE_EDGE) | ROLE_BIT(ROLE_MCP) | ROLE_BIT(ROLE_PROXY);
    return ROLE_BIT(ROLE_RUNNER);
}

static const char *kind_targets(enum fault_kind kind)
{
    if (kind == FAULT_KILL) return "orchestrator, edge, mcp/NAME, gateway/N, connector/N, proxy/N, runner/N";
    if (kind == FAULT_RESTART) return "edge, gateway/N, connector/N";
    if (kind == FAULT_ANSWER) return "orchestrator, edge, mcp/NAME, gateway/N, proxy/N";
    return "runner/N";
}

static int fail_target(struct context *c, const char *target, const char *what, const char *allowed)
{
    return fail_at(c, "target", "\"%.80s\" %s; allowed: %s", target, what, allowed);
}

static bool number_read(const char **text, uint32_t *ret)
{
    uint64_t value = 0;
    const char *start = *text;

    for (; **text >= '0' && **text <= '9' && value <= UINT32_MAX; (*text)++)
        value = value * 10 + (uint64_t)(**text - '0');
    *ret = (uint32_t)value;
    return *text > start && value <= UINT32_MAX;
}

/* "3", "0-9", "*". */
static bool instances_read(const char *text, struct target *ret)
{
    ret->all = strcmp(text, "*") == 0;
    if (ret->all) return true;
    if (!number_read(&text, &ret->first)) return false;
    ret->last = ret->first;
    if (*text == '-') {
        text++;
        if (!number_read(&text, &ret->last)) return false;
    }
    return *text == '\0' && ret->first <= ret->last;
}

static int mcp_read(struct context *c, const struct plan *plan, const char *name, struct target *ret)
{
    CLEANUP(str_deinit) struct str s = STR_INIT(PLAN_ERROR_BYTES);
    const char *names[64];
    struct choices choices = {names, 0};

    ret->all = strcmp(name, "*") == 0;
    if (ret->all) return 0;
    for (uint32_t i = 0; i < plan->mcp_count; i++) {
        if (choices.count < 64) names[choices.count++] = plan->mcp[i].name;
        if (strcmp(plan->mcp[i].name, name) != 0) continue;
        ret->first = ret->last = i;
        return 0;
    }
    str_appendf(&s, "nothing in /mcp is called \"%.80s\"", name);
    suggest(&s, name, &choices);
    return fail_at(c, "target", "%s", str_text(&s));
}

static int instances_check(struct context *c, const struct plan *plan, const char *text,
                           const struct target *target)
{
    uint32_t n = plan_instances(plan, target->role);

    if (n == 0)
        return fail_at(c, "target", "\"%.80s\": this deployment has no %s", text, role_name(target->role));
    if (!target->all && target->last >= n)
        return fail_at(c, "target", "\"%.80s\": there are only %u; allowed: 0 to %u", text, n, n - 1);
    return 0;
}

static int target_read(struct context *c, const struct plan *plan, const char *text, const char *allowed,
                       struct target *ret)
{
    const char *slash = strchr(text, '/');
    size_t length = slash ? (size_t)(slash - text) : strlen(text), i = 0;
    int r = 0;

    while (i < TARGET_NAMES &&
           (strlen(target_names[i].name) != length || strncmp(target_names[i].name, text, length) != 0))
        i++;
    if (i == TARGET_NAMES) return fail_target(c, text, "is no target", allowed);
    *ret = (struct target){.role = target_names[i].role, .gateway = target_names[i].gateway};
    if (!target_names[i].numbered && slash)
        return fail_target(c, text, "has no instances, there is only one", allowed);
    if (target_names[i].numbered && !slash)
        return fail_target(c, text, "does not say which; add /N, /N-M or /*", allowed);
    if (ret->role == ROLE_MCP)
        r = mcp_read(c, plan, slash + 1, ret);
    else if (slash && !instances_read(slash + 1, ret))
        return fail_target(c, text, "names no instances; write /N, /N-M or /*", allowed);
    return r;
}

static int link_target(struct context *c, const struct plan *plan, const struct fault_draft *draft,
                       struct target *ret)
{
    enum role listens, role = plan_link_dials(draft->fault.link, &listens); /* which its name puts first */
    char allowed[64];
    int r;

    if (plan_instances(plan, role) == 0)
        return fail_at(c, "link", "this deployment has no %s", role_name(role));
    if (plan_instances(plan, listens) == 0)
        return fail_at(c, "link", "this deployment has no %s", role_name(listens));
    if (draft->fault.link == LINK_ORCHESTRATOR_MCP && !plan->orchestrator.mcp_direct)
        return fail_at(c, "link",
                       "this deployment does not use \"%s\": its MCP servers are reached through tunnels "
                       "(/orchestrator/mcp/direct is false)",
                       link_name(draft->fault.link));
    *ret = (struct target){.role = ROLE_NONE, .all = true};
    if (!draft->target) return 0;
    snprintf(allowed, sizeof(allowed), "%s", role_name(role));
    r = target_read(c, plan, draft->target, allowed, ret);
    if (r != 0) return r;
    if (ret->gateway && (role == ROLE_CONNECTOR || role == ROLE_PROXY)) ret->role = role;
    ret->gateway = false;
    if (ret->role != role)
        return fail_target(c, draft->target, "is not the first-named side of the link", allowed);
    return instances_check(c, plan, draft->target, ret);
}

static int machine_target(struct context *c, const struct plan *plan, const struct fault_draft *draft,
                          struct target *ret)
{
    const char *allowed = kind_targets(draft->fault.kind);
    unsigned roles = kind_roles(draft->fault.kind);
    int r = target_read(c, plan, draft->target, allowed, ret);

    if (r != 0) return r;
    if (ret->gateway && !(roles & ROLE_BIT(ROLE_CONNECTOR))) {
        ret->role = ROLE_PROXY;
        ret->gateway = false;
    }
    if (!(roles & ROLE_BIT(ret->role)))
        return fail_target(c, draft->target, "cannot be hit by this kind", allowed);
    return instances_check(c, plan, draft->target, ret);
}

struct faults {
    struct plan_fault *items;
    uint64_t count;
};

static void put_fault(struct faults *faults, const struct plan_fault *fault, enum role role, uint32_t ordinal,
                      bool all)
{
    /* The first pass counts alone. */
    if (faults->items) {
        struct plan_fault *f = &faults->items[faults->count];

        *f = *fault;
        f->target = role == ROLE_NONE ? 0 : ADDR(role, ordinal);
        f->all_instances = all;
    }
    faults->count++;
}

static void put_target(struct faults *faults, const struct plan_fault *fault, const struct target *target)
{
    uint64_t last = target->all ? 0 : target->last;

    if (!faults->items && !target->all) {
        faults->count += (last - target->first + 1) * (target->gateway ? 2 : 1);
        return;
    }
    for (uint64_t i = target->all ? 0 : target->first; i <= last; i++) {
        put_fault(faults, fault, target->role, (uint32_t)i, target->all);
        if (target->gateway) put_fault(faults, fault, ROLE_PROXY, (uint32_t)i, target->all);
    }
}

static nsec_t restart_stop_ns(const struct plan *plan)
{
    return nsec_add(plan->tunnels.grace_ns, PLAN_LAST_WORDS_NS);
}

/* Told to stop, which is the connector's affair alone, and dead when it has had its time. */
static void put_restart(struct faults *faults, const struct plan *plan, const struct plan_fault *fault,
                        const struct target *target)
{
    struct plan_fault stop = *fault, kill = *fault;
    struct target told = *target;

    told.gateway = false;
    stop.for_ns = restart_stop_ns(plan);
    put_target(faults, &stop, &told);
    kill.kind = FAULT_KILL;
    kill.at_ns = nsec_add(fault->at_ns, stop.for_ns);
    put_target(faults, &kill, target);
}

static int fault_check(struct context *c, const struct plan *plan, const struct plan_fault *fault)
{
    bool restart = fault->kind == FAULT_RESTART;
    nsec_t stop = restart ? restart_stop_ns(plan) : 0;
    char end[48];

    units_format(UNIT_DURATION, plan->duration_ns, end, sizeof(end));
    if (fault->at_ns >= plan->duration_ns)
        return fail_against(c, "at", OTHERS("/duration"), "not within the run; allowed: 0s to below %s", end);
    units_format(UNIT_DURATION, plan->duration_ns + plan->drain_ns, end, sizeof(end));
    if (fault->at_ns + stop + fault->for_ns > plan->duration_ns + plan->drain_ns)
        return fail_against(c, "for", OTHERS("at", "/duration", "/drain", restart ? "/tunnels/grace" : NULL),
                            "not over within the run; at +%s for is at most %s",
                            restart ? " /tunnels/grace + 100ms +" : "", end);
    return 0;
}

static int fault_add(struct context *c, const struct plan *plan, uint32_t source,
                     const struct fault_draft *draft, struct faults *faults)
{
    struct plan_fault fault = draft->fault;
    struct target target;
    uint64_t before = faults->count;
    int r = fault_is_of_link(&draft->fault) ? link_target(c, plan, draft, &target)
                                            : machine_target(c, plan, draft, &target);

    if (r == 0) r = fault_check(c, plan, &draft->fault);
    if (r != 0) return r;
    fault.source = source;
    fault.target_text = draft->target;
    if (fault.kind == FAULT_RESTART)
        put_restart(faults, plan, &fault, &target);
    else
        put_target(faults, &fault, &target);
    if (faults->items) faults->items[before].first = true;
    return 0;
}

static int faults_walk(struct context *c, struct draft *draft, struct faults *faults)
{
    size_t outer = pointer_push(&c->at, "faults", strlen("faults"));
    int r = 0;

    for (uint32_t i = 0; r == 0 && i < draft->fault_count; i++) {
        size_t before = pointer_push_index(&c->at, i);

        r = fault_add(c, &draft->plan, i, &draft->faults[i], faults);
        if (r == 0 && faults->count > FAULTS_MAX)
            r = fail_at(c, "target", "more than %d faults with all instances; \"/*\" is one fault",
                        FAULTS_MAX);
        pointer_pop(&c->at, before);
    }
    pointer_pop(&c->at, outer);
    return r;
}

/* Insertion would do for a few; a merge keeps the order of equals and stays fast for many. */
static void sort_faults(struct plan_fault *items, struct plan_fault *space, size_t n)
{
    size_t half = n / 2, a = 0, b = half, out = 0;

    if (n < 2) return;
    sort_faults(items, space, half);
    sort_faults(items + half, space, n - half);
    while (a < half && b < n) space[out++] = items[b].at_ns < items[a].at_ns ? items[b++] : items[a++];
    while (a < half) space[out++] = items[a++];
    memcpy(items, space, out * sizeof(*items));
}

int faults_expand(struct context *c, struct draft *draft)
{
    struct faults faults = {0};
    struct plan_fault *space;
    int r = faults_walk(c, draft, &faults);

    if (r != 0) return r;
    faults.items = context_alloc(c, faults.count, sizeof(*faults.items));
    space = calloc(faults.count + 1, sizeof(*space));
    if (!faults.items || !space) {
        free(space);
        return faults.items ? -ENOMEM : context_full(c);
    }
    draft->plan.faults = faults.items;
    draft->plan.fault_count = (uint32_t)faults.count;
    faults.count = 0;
    r = faults_walk(c, draft, &faults);
    sort_faults(draft->plan.faults, space, draft->plan.fault_count);
    free(space);
    return r;
}
