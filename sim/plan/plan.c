#include <errno.h>
#include <stdlib.h>

#include "sim/plan/arena.h"
#include "sim/plan/fault_rules.h"
#include "sim/plan/plan.h"

static const char *const role_names[ROLE_COUNT] = {
    [ROLE_NONE] = "none",     [ROLE_MCP] = "mcp",       [ROLE_ORCHESTRATOR] = "orchestrator",
    [ROLE_EDGE] = "edge",     [ROLE_PROXY] = "proxy",   [ROLE_CONNECTOR] = "connector",
    [ROLE_RUNNER] = "runner", [ROLE_CLIENT] = "client", [ROLE_DISK] = "disk",
};

static const struct {
    const char *name;
    enum role dials, listens;
} links[LINK_COUNT] = {
    [LINK_CLIENT_ORCHESTRATOR] = {"client-orchestrator", ROLE_CLIENT, ROLE_ORCHESTRATOR},
    [LINK_RUNNER_ORCHESTRATOR] = {"runner-orchestrator", ROLE_RUNNER, ROLE_ORCHESTRATOR},
    [LINK_ORCHESTRATOR_EDGE] = {"orchestrator-edge", ROLE_ORCHESTRATOR, ROLE_EDGE},
    [LINK_CONNECTOR_EDGE] = {"connector-edge", ROLE_CONNECTOR, ROLE_EDGE},
    [LINK_CONNECTOR_PROXY] = {"connector-proxy", ROLE_CONNECTOR, ROLE_PROXY},
    [LINK_PROXY_MCP] = {"proxy-mcp", ROLE_PROXY, ROLE_MCP},
    [LINK_ORCHESTRATOR_MCP] = {"orchestrator-mcp", ROLE_ORCHESTRATOR, ROLE_MCP},
};

void plan_free(struct plan *plan)
{
    if (!plan) return;
    plan_arena_free(plan->arena);
    free(plan);
}

static uint32_t runner_instances(const struct plan *plan)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < plan->runner_count; i++) n += plan->runners[i].instances;
    return n;
}

uint32_t plan_instances(const struct plan *plan, enum role role)
{
    bool tunneled = !plan->orchestrator.mcp_direct;

    switch (role) {
    case ROLE_ORCHESTRATOR:
    case ROLE_CLIENT: return 1;
    case ROLE_MCP: return plan->mcp_count;
    case ROLE_EDGE: return tunneled ? 1 : 0;
    case ROLE_PROXY:
    case ROLE_CONNECTOR: return tunneled ? plan->tunnels.count * plan->tunnels.replicas : 0;
    case ROLE_RUNNER: return runner_instances(plan);
    case ROLE_NONE:
    case ROLE_DISK:
    case ROLE_COUNT: break;
    }
    return 0;
}

const char *role_name(enum role role)
{
    return (unsigned)role < ROLE_COUNT ? role_names[role] : "unknown";
}

const char *link_name(enum link_id link)
{
    return (unsigned)link < LINK_COUNT ? links[link].name : "unknown";
}

enum role plan_link_dials(enum link_id link, enum role *ret_listens)
{
    if (ret_listens) *ret_listens = links[link].listens;
    return links[link].dials;
}

int plan_link_between(enum role from, enum role to, enum link_id *ret_link, bool *ret_from_dials)
{
    for (int i = 0; i < LINK_COUNT; i++) {
        bool dials = links[i].dials == from && links[i].listens == to;
        bool listens = links[i].listens == from && links[i].dials == to;

        if (!dials && !listens) continue;
        *ret_link = (enum link_id)i;
        *ret_from_dials = dials;
        return 0;
    }
    return -ENOENT;
}

static bool has_link_fault(const struct plan *plan, enum link_id link)
{
    for (uint32_t i = 0; i < plan->fault_count; i++) {
        if (fault_is_of_link(&plan->faults[i]) && plan->faults[i].link == link) return true;
    }
    return false;
}

bool plan_link_relayed(const struct plan *plan, enum link_id link)
{
    const struct plan_link *l = &plan->links[link];

    return plan->live.relay_links || l->bytes_per_second ||
           dist_mean(&l->latency_ns) >= PLAN_RELAY_LATENCY_NS || has_link_fault(plan, link);
}

const struct plan_runner *plan_runner_of(const struct plan *plan, uint32_t ordinal, uint32_t *ret_pool)
{
    for (uint32_t i = 0; i < plan->runner_count; i++) {
        if (ordinal < plan->runners[i].instances) {
            *ret_pool = i;
            return &plan->runners[i];
        }
        ordinal -= plan->runners[i].instances;
    }
    return NULL;
}

uint32_t plan_tenant_share(const struct plan *plan, uint32_t ordinal)
{
    uint32_t i = 0, limit, instances;

    for (; ordinal >= plan->runners[i].instances; i++) ordinal -= plan->runners[i].instances;
    limit = plan->runners[i].parallel_per_tenant;
    instances = plan->runners[i].instances;
    return limit / instances + (ordinal < limit % instances);
}
