/* What became of the messages between components, and where some may be missing. The rule stands in
 * docs/RESULTS.md. */
#include "reports/texts.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static bool is_killed(const struct plan *plan, enum role role)
{
    for (uint32_t i = 0; i < plan->fault_count; i++) {
        const struct plan_fault *f = &plan->faults[i];

        if (f->kind == FAULT_KILL && ADDR_ROLE(f->target) == role) return true;
    }
    return false;
}

/* Why a message may be lost on a link, live, with nobody left to count it: one who dies takes along what he
 * had read but not handled, or written but not sent; a relay what it held for a reader who went away; and who
 * gives up a flow does not read what was on its way to him. NULL: there is no such reason. */
static const char *link_loses(const struct run_result *run, enum link_id link)
{
    const struct flowcount *flows = recorder_flows(run->recorder);
    enum role listens, dials = plan_link_dials(link, &listens);

    if (is_killed(run->plan, dials) || is_killed(run->plan, listens)) return "kill";
    if (plan_link_relayed(run->plan, link)) return "relay";
    if (flowcount_given_up(flows, WAY(link, 0)) || flowcount_given_up(flows, WAY(link, 1))) return "given_up";
    return NULL;
}

/* What is said within a tunnel stream is lost with any of the links that carry it. */
static const char *tunnel_loses(const struct run_result *run)
{
    static const enum link_id carriers[] = {LINK_ORCHESTRATOR_EDGE, LINK_CONNECTOR_EDGE,
                                            LINK_CONNECTOR_PROXY};
    const char *why = NULL;

    for (size_t i = 0; !why && i < sizeof(carriers) / sizeof(carriers[0]); i++)
        why = link_loses(run, carriers[i]);
    return why;
}

static const char *way_loses(const struct run_result *run, uint32_t way)
{
    uint32_t link = WAY_LINK(way);

    if (strcmp(run->clock, "live") != 0) return NULL;
    if (run->interrupted || run->invalid_reason_count) return "stopped";
    if (link < LINK_COUNT) return link_loses(run, (enum link_id)link);
    return link == LINK_COUNT ? tunnel_loses(run) : NULL;
}

bool result_flow_fits(const struct result_flow *flow, const char *may_lose)
{
    uint64_t emitted = flow->counts[FLOW_EMITTED];
    uint64_t ended = flow->counts[FLOW_DECODED] + flow->counts[FLOW_RETURNED] + flow->counts[FLOW_CUT];

    return emitted == ended || (may_lose && ended < emitted);
}

static const char *flow_name(const struct run_result *run, struct result *r, uint32_t kind)
{
    CLEANUP(str_deinit) struct str name = STR_INIT(64);

    if (run->flow_names && kind < run->flow_name_count && run->flow_names[kind])
        return texts_keep(&r->texts, run->flow_names[kind]);
    str_appendf(&name, "kind_%u", (unsigned)kind);
    return texts_keep(&r->texts, str_text(&name));
}

static bool occurred(const struct result_flow *flow)
{
    uint64_t any = 0;

    for (enum flow_fate f = 0; f < FLOW_FATE_COUNT; f++) any |= flow->counts[f];
    return any != 0;
}

static int add_kinds(const struct run_result *run, struct result *r)
{
    int e = 0;

    for (uint32_t kind = 0; e == 0 && kind < FLOWCOUNT_KINDS; kind++) {
        struct result_flow flow = {.kind = NULL};

        for (enum flow_fate f = 0; f < FLOW_FATE_COUNT; f++)
            flow.counts[f] = flowcount_sum(recorder_flows(run->recorder), kind, f);
        if (!occurred(&flow)) continue;
        flow.kind = flow_name(run, r, kind);
        e = flow.kind ? vec_push(&r->flows, flow) : -ENOMEM;
    }
    return e;
}

static int add_kinds_of_way(const struct run_result *run, uint32_t way, struct result_way *to,
                            struct result *r)
{
    for (uint32_t kind = 0; kind < FLOWCOUNT_KINDS; kind++) {
        struct result_flow flow = {.kind = NULL};
        int e;

        for (enum flow_fate f = 0; f < FLOW_FATE_COUNT; f++)
            flow.counts[f] = flowcount_get(recorder_flows(run->recorder), way, kind, f);
        if (!occurred(&flow)) continue;
        to->balanced &= result_flow_fits(&flow, to->may_lose);
        flow.kind = flow_name(run, r, kind);
        e = flow.kind ? vec_push(&r->way_flows, flow) : -ENOMEM;
        if (e < 0) return e;
        to->n_flows++;
    }
    return 0;
}

static int add_way(const struct run_result *run, uint32_t way, struct result *r)
{
    enum role from, to;
    struct result_way w = {
        .link = way_name(way, &from, &to),
        .may_lose = way_loses(run, way),
        .given_up = flowcount_given_up(recorder_flows(run->recorder), way),
        .balanced = true,
        .first_flow = (uint32_t)r->way_flows.len,
    };
    int e = add_kinds_of_way(run, way, &w, r);

    w.from = role_name(from);
    w.to = role_name(to);
    r->flows_balanced &= w.balanced;
    return e == 0 && w.n_flows ? vec_push(&r->ways, w) : e;
}

int result_add_flows(const struct run_result *run, struct result *r)
{
    int e = add_kinds(run, r);

    r->flows_balanced = true;
    for (uint32_t way = 0; e == 0 && way < WAY_COUNT; way++) e = add_way(run, way, r);
    return e;
}
