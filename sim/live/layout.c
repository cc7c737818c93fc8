#include "sim/live/layout.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    RELAY_PORT_FIRST = 1024,
    MCP_PORT_FIRST = 9000,
    MCP_MAX = 1024, /* as many as a plan may have: table.c */
    PROXY_PORT_FIRST = 10240,
};

/* Ports by kind of listener; instances follow each other. */
static const unsigned first_port[PORT_COUNT] = {
    [PORT_API] = 8080,
    [PORT_PUBLIC] = 8443,
    [PORT_CONNECTOR] = 7844,
    [PORT_MCP] = MCP_PORT_FIRST,
    [PORT_PROXY] = PROXY_PORT_FIRST,
};

_Static_assert(MCP_PORT_FIRST + MCP_MAX <= PROXY_PORT_FIRST, "a port for each");
_Static_assert(PROXY_PORT_FIRST + LAYOUT_PROXIES_MAX <= 65536, "a port for each");
_Static_assert(RELAY_PORT_FIRST + LAYOUT_RELAYED_MAX <= 65536, "a port for each");

void layout_address(const struct layout *l, addr_t component, enum port port, char ret[LAYOUT_ADDRESS_MAX])
{
    snprintf(ret, LAYOUT_ADDRESS_MAX, "%s:%u", l->ip, first_port[port] + ADDR_ORDINAL(component));
}

void layout_relay_address(const struct layout *l, size_t index, char ret[LAYOUT_ADDRESS_MAX])
{
    snprintf(ret, LAYOUT_ADDRESS_MAX, "%s:%zu", l->relay_ip, RELAY_PORT_FIRST + index);
}

void layout_dial_address(const struct layout *l, addr_t from, addr_t to, enum port port,
                         char ret[LAYOUT_ADDRESS_MAX])
{
    for (size_t i = 0; i < l->relayed_count; i++) {
        if (l->relayed[i].from != from || l->relayed[i].to != to) continue;
        layout_relay_address(l, i, ret);
        return;
    }
    layout_address(l, to, port, ret);
}

/* Adds a process with room for so many components; NULL: out of memory. */
static struct process *add_process(struct layout *l, const char *name, size_t components_max)
{
    struct process *grown = realloc(l->processes, (l->process_count + 1) * sizeof *grown), *p;

    if (!grown) return NULL;
    l->processes = grown;
    p = &grown[l->process_count];
    *p = (struct process){.components = calloc(components_max + 1, sizeof *p->components)};
    if (!p->components) return NULL;
    snprintf(p->name, sizeof p->name, "%s", name);
    l->process_count++;
    return p;
}

/* Spreads the instances of up to two roles over `count` new processes (0: one each), round and round. */
static int spread(struct layout *l, const struct plan *plan, const char *name, uint32_t count, enum role a,
                  enum role b)
{
    uint32_t n = plan_instances(plan, a);

    if (count == 0 || count > n) count = n;
    for (uint32_t i = 0; i < count; i++) {
        char numbered[LAYOUT_NAME_MAX];
        struct process *p;

        snprintf(numbered, sizeof numbered, n == 1 ? "%s" : "%s-%u", name, i);
        p = add_process(l, numbered, 2 * (n / count + 1));
        if (!p) return -ENOMEM;
        for (uint32_t k = i; k < n; k += count) {
            p->components[p->component_count++] = ADDR(a, k);
            if (b) p->components[p->component_count++] = ADDR(b, k);
        }
    }
    return 0;
}

/* Which of the listener's ports is dialed on a link. */
static const enum port dialed_port[LINK_COUNT] = {
    [LINK_CLIENT_ORCHESTRATOR] = PORT_API,  [LINK_RUNNER_ORCHESTRATOR] = PORT_API,
    [LINK_ORCHESTRATOR_EDGE] = PORT_PUBLIC, [LINK_CONNECTOR_EDGE] = PORT_CONNECTOR,
    [LINK_CONNECTOR_PROXY] = PORT_PROXY,    [LINK_PROXY_MCP] = PORT_MCP,
    [LINK_ORCHESTRATOR_MCP] = PORT_MCP,
};

static int relay_pair(struct layout *l, enum link_id link, addr_t from, addr_t to, enum port port)
{
    size_t n = l->relayed_count;

    if (n == LAYOUT_RELAYED_MAX) return -E2BIG;
    if ((n & (n - 1)) == 0) { /* there is room for as many as the next power of two */
        struct relayed *grown = realloc(l->relayed, (n ? 2 * n : 1) * sizeof *grown);

        if (!grown) return -ENOMEM;
        l->relayed = grown;
    }
    l->relayed[l->relayed_count++] = (struct relayed){link, from, to, port};
    return 0;
}

/* A connector dials its own proxy alone; otherwise everybody dials everybody. */
static bool are_peers(enum link_id link, uint32_t from, uint32_t to)
{
    return link != LINK_CONNECTOR_PROXY || from == to;
}

static int relay_links(struct layout *l, const struct plan *plan)
{
    int r = 0;

    for (enum link_id link = 0; link < LINK_COUNT; link++) {
        enum role listens, dials = plan_link_dials(link, &listens);

        if (!plan_link_relayed(plan, link)) continue;
        for (uint32_t from = 0; from < plan_instances(plan, dials); from++) {
            for (uint32_t to = 0; r == 0 && to < plan_instances(plan, listens); to++) {
                if (are_peers(link, from, to))
                    r = relay_pair(l, link, ADDR(dials, from), ADDR(listens, to), dialed_port[link]);
            }
        }
    }
    if (r < 0 || l->relayed_count == 0) return r;
    return add_process(l, "relay", 0) ? 0 : -ENOMEM;
}

int layout_new(const struct plan *plan, unsigned id, struct layout **ret)
{
    struct layout *l = calloc(1, sizeof *l);
    int r;

    if (!l) return -ENOMEM;
    if (plan_instances(plan, ROLE_PROXY) > LAYOUT_PROXIES_MAX) {
        free(l);
        return -ERANGE;
    }
    /* 127.64.0.0/10: away from what people configure by hand. The last byte is never 0 or 255. */
    snprintf(l->ip, sizeof l->ip, "127.%u.%u.%u", 64 + id / 64516 % 64, 1 + id / 254 % 254, 1 + id % 254);
    snprintf(l->relay_ip, sizeof l->relay_ip, "127.%u.%u.%u", 128 + id / 64516 % 64, 1 + id / 254 % 254,
             1 + id % 254);
    r = relay_links(l, plan);
    if (r == 0) r = spread(l, plan, "mcp", plan->live.mcp_processes, ROLE_MCP, ROLE_NONE);
    if (r == 0) r = spread(l, plan, "orchestrator", 1, ROLE_ORCHESTRATOR, ROLE_NONE);
    if (r == 0) r = spread(l, plan, "edge", 1, ROLE_EDGE, ROLE_NONE);
    if (r == 0) r = spread(l, plan, "gateway", plan->live.gateway_processes, ROLE_PROXY, ROLE_CONNECTOR);
    if (r == 0) r = spread(l, plan, "runner", plan->live.runner_processes, ROLE_RUNNER, ROLE_NONE);
    if (r == 0) r = spread(l, plan, "client", 1, ROLE_CLIENT, ROLE_NONE);
    if (r < 0) {
        layout_free(l);
        return r;
    }
    *ret = l;
    return 0;
}

void layout_free(struct layout *l)
{
    if (!l) return;
    for (size_t i = 0; i < l->process_count; i++) free(l->processes[i].components);
    free(l->processes);
    free(l->relayed);
    free(l);
}

bool process_hosts(const struct process *p, enum role role)
{
    for (size_t i = 0; i < p->component_count; i++) {
        if (ADDR_ROLE(p->components[i]) == role) return true;
    }
    return false;
}
