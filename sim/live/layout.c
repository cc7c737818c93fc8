#include "sim/live/layout.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Ports by kind of listener; instances follow each other. Below the kernel's range for outgoing connections. */
static const unsigned first_port[PORT_COUNT] = {
    [PORT_API] = 8080, [PORT_PUBLIC] = 8443, [PORT_CONNECTOR] = 7844, [PORT_MCP] = 9000, [PORT_PROXY] = 10000,
};

void layout_address(const struct layout *l, addr_t component, enum port port, char ret[LAYOUT_ADDRESS_MAX])
{
    snprintf(ret, LAYOUT_ADDRESS_MAX, "%s:%u", l->ip, first_port[port] + ADDR_ORDINAL(component));
}

/* Adds `count` processes and spreads the instances of up to two roles over them, round and round. */
static int spread(struct layout *l, const struct plan *plan, const char *name, uint32_t count, enum role a, enum role b)
{
    uint32_t n = plan_instances(plan, a);
    struct process *grown;

    if (n == 0) return 0;
    if (count == 0 || count > n) count = n;
    grown = realloc(l->processes, (l->process_count + count) * sizeof *grown);
    if (!grown) return -ENOMEM;
    l->processes = grown;
    for (uint32_t i = 0; i < count; i++) {
        struct process *p = &l->processes[l->process_count];

        *p = (struct process){0};
        snprintf(p->name, sizeof p->name, plan_instances(plan, a) == 1 ? "%s" : "%s-%u", name, i);
        p->components = calloc(2 * (n / count + 1), sizeof *p->components);
        if (!p->components) return -ENOMEM;
        l->process_count++;
        for (uint32_t k = i; k < n; k += count) {
            p->components[p->component_count++] = ADDR(a, k);
            if (b) p->components[p->component_count++] = ADDR(b, k);
        }
    }
    return 0;
}

int layout_new(const struct plan *plan, unsigned id, struct layout **ret)
{
    struct layout *l = calloc(1, sizeof *l);
    int r;

    if (!l) return -ENOMEM;
    /* 127.64.0.0/10: away from what people configure by hand. The last byte is never 0 or 255. */
    snprintf(l->ip, sizeof l->ip, "127.%u.%u.%u", 64 + id / 64516 % 64, 1 + id / 254 % 254, 1 + id % 254);
    r = spread(l, plan, "mcp", plan->live.mcp_processes, ROLE_MCP, ROLE_NONE);
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
    for (size_t i = 0; i < l->process_count; i++)
        free(l->processes[i].components);
    free(l->processes);
    free(l);
}
