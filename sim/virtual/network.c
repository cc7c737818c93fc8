#include "sim/virtual/network.h"

#include <errno.h>
#include <stdlib.h>

#include "sim/base/panic.h"
#include "sim/plan/fault_rules.h"

struct network {
    const struct plan *plan;
    struct host *hosts[ROLE_COUNT];
    nsec_t *cores[ROLE_COUNT]; /* of all hosts of a role */
    uint32_t instances[ROLE_COUNT];
    nsec_t cpu_ns; /* worked by all */
    /* For each link: idle connections by [dialing ordinal × listening instances + listening ordinal], and
     * when each direction's wire is free again, by the same index and direction. Made when first used. */
    struct idle_connections *idle[LINK_COUNT];
    nsec_t (*wire_free_at[LINK_COUNT])[2];
    uint32_t listeners[LINK_COUNT];
    /* plan_link_between(), asked once for each pair of roles. */
    struct {
        enum link_id id;
        bool talk, from_dials;
        bool faulty; /* the plan has a fault on this link */
        bool plain;  /* none, no rate, and a constant latency */
        nsec_t latency;
    } between[ROLE_COUNT][ROLE_COUNT];
    size_t pairs[LINK_COUNT];
    size_t memory;
};

/* What network_link() finds out about two addresses. */
struct passage {
    const struct plan_link *link;
    enum link_id id;
    size_t pair;
    bool from_dials;
};

static inline struct passage passage(const struct network *n, addr_t from, addr_t to)
{
    struct passage p;
    addr_t dials, listens;

    ASSERT(n->between[ADDR_ROLE(from)][ADDR_ROLE(to)].talk);
    p.id = n->between[ADDR_ROLE(from)][ADDR_ROLE(to)].id;
    p.from_dials = n->between[ADDR_ROLE(from)][ADDR_ROLE(to)].from_dials;
    p.link = &n->plan->links[p.id];
    dials = p.from_dials ? from : to;
    listens = p.from_dials ? to : from;
    p.pair = (size_t)ADDR_ORDINAL(dials) * n->listeners[p.id] + ADDR_ORDINAL(listens);
    return p;
}

static int hosts_new(struct network *n)
{
    uint64_t key = prng_key(n->plan->seed, n->plan->replicate, "link-latency");

    for (enum role role = ROLE_MCP; role < ROLE_COUNT; role++) {
        size_t cores = n->plan->hosts[role].cores, instances = plan_instances(n->plan, role);

        n->instances[role] = (uint32_t)instances;
        n->hosts[role] = calloc(instances + 1, sizeof(struct host));
        n->cores[role] = calloc(instances * cores + 1, sizeof(nsec_t));
        if (!n->hosts[role] || !n->cores[role]) return -ENOMEM;
        n->memory += instances * (sizeof(struct host) + cores * sizeof(nsec_t));
        for (uint32_t i = 0; i < instances; i++)
            n->hosts[role][i] = (struct host){.core_free_at = n->cores[role] + i * cores,
                                              .latency = prng_derive(key, ADDR(role, i), 0)};
    }
    return 0;
}

static void link_is_faulty(struct network *n, enum link_id id)
{
    for (enum role a = ROLE_MCP; a < ROLE_COUNT; a++) {
        for (enum role b = ROLE_MCP; b < ROLE_COUNT; b++)
            if (n->between[a][b].talk && n->between[a][b].id == id) {
                n->between[a][b].faulty = true;
                n->between[a][b].plain = false;
            }
    }
}

static bool link_is_plain(const struct plan_link *link)
{
    return link->latency_ns.kind == DIST_CONSTANT && link->bytes_per_second == 0;
}

static void links_init(struct network *n)
{
    for (enum role a = ROLE_MCP; a < ROLE_COUNT; a++) {
        for (enum role b = ROLE_MCP; b < ROLE_COUNT; b++) {
            n->between[a][b].talk =
                plan_link_between(a, b, &n->between[a][b].id, &n->between[a][b].from_dials) == 0;
            n->between[a][b].plain =
                n->between[a][b].talk && link_is_plain(&n->plan->links[n->between[a][b].id]);
            if (n->between[a][b].plain)
                n->between[a][b].latency = n->plan->links[n->between[a][b].id].latency_ns.lo;
        }
    }
    for (uint32_t i = 0; i < n->plan->fault_count; i++) {
        if (fault_is_of_link(&n->plan->faults[i])) link_is_faulty(n, n->plan->faults[i].link);
    }
}

int network_new(const struct plan *plan, struct network **ret)
{
    struct network *n = calloc(1, sizeof *n);
    int r;

    if (!n) return -ENOMEM;
    n->plan = plan;
    links_init(n);
    r = hosts_new(n);
    for (enum link_id id = 0; r == 0 && id < LINK_COUNT; id++) {
        enum role dials, listens;

        dials = plan_link_dials(id, &listens);
        n->listeners[id] = n->instances[listens];
        n->pairs[id] = (size_t)n->instances[dials] * n->instances[listens];
    }
    if (r < 0) {
        network_free(n);
        return r;
    }
    *ret = n;
    return 0;
}

void network_free(struct network *n)
{
    if (!n) return;
    for (enum role role = 0; role < ROLE_COUNT; role++) {
        free(n->hosts[role]);
        free(n->cores[role]);
    }
    for (enum link_id id = 0; id < LINK_COUNT; id++) {
        for (size_t i = 0; n->idle[id] && i < n->pairs[id]; i++) vec_deinit(&n->idle[id][i].since);
        free(n->idle[id]);
        free(n->wire_free_at[id]);
    }
    free(n);
}

size_t network_memory(const struct network *n)
{
    size_t sum = n->memory;

    for (enum link_id id = 0; id < LINK_COUNT; id++) {
        for (size_t i = 0; n->idle[id] && i < n->pairs[id]; i++)
            sum += n->idle[id][i].since.cap * sizeof(nsec_t);
    }
    return sum;
}

nsec_t network_message_cost(const struct network *n, addr_t at, uint32_t bytes)
{
    const struct plan_host *h = &n->plan->hosts[ADDR_ROLE(at)];

    return h->message_ns + (nsec_t)((unsigned __int128)h->kilobyte_ns * bytes / 1024);
}

/* The core that is free first works until `until`. The cores are a heap. */
static nsec_t core_busy(nsec_t *free_at, uint32_t cores, nsec_t until)
{
    uint32_t i = 0, child;

    while ((child = 2 * i + 1) < cores) {
        if (child + 1 < cores && free_at[child + 1] < free_at[child]) child++;
        if (free_at[child] >= until) break;
        free_at[i] = free_at[child];
        i = child;
    }
    return free_at[i] = until;
}

nsec_t network_serve(struct network *n, addr_t at, nsec_t now, nsec_t cost)
{
    uint32_t cores = n->plan->hosts[ADDR_ROLE(at)].cores;
    struct host *h = &n->hosts[ADDR_ROLE(at)][ADDR_ORDINAL(at)];
    nsec_t start;

    if (cores == 0) return now;
    n->cpu_ns += cost;
    start = h->core_free_at[0] > now ? h->core_free_at[0] : now;
    return core_busy(h->core_free_at, cores, nsec_add(start, cost));
}

nsec_t network_cpu(const struct network *n)
{
    return n->cpu_ns;
}

bool network_is_faulty(const struct network *n, addr_t a, addr_t b)
{
    return n->between[ADDR_ROLE(a)][ADDR_ROLE(b)].faulty;
}

const struct plan_fault *network_fault(const struct network *n, enum fault_kind kind, addr_t a, addr_t b,
                                       nsec_t now)
{
    enum link_id id = n->between[ADDR_ROLE(a)][ADDR_ROLE(b)].id;

    return network_is_faulty(n, a, b) ? plan_link_fault(n->plan, kind, id, a, b, now) : NULL;
}

const struct plan_link *network_link(const struct network *n, addr_t a, addr_t b, enum link_id *ret_id)
{
    struct passage p = passage(n, a, b);

    *ret_id = p.id;
    return p.link;
}

/* Without faults. */
static nsec_t latency_of(struct network *n, addr_t from, addr_t to, const struct passage *p)
{
    if (p->link->latency_ns.kind == DIST_CONSTANT) return p->link->latency_ns.lo;
    return dist_sample(&p->link->latency_ns, &n->hosts[ADDR_ROLE(from)][ADDR_ORDINAL(from)].latency);
}

nsec_t network_latency(struct network *n, addr_t from, addr_t to, nsec_t now)
{
    struct passage p = passage(n, from, to);
    nsec_t more = network_is_faulty(n, from, to) ? plan_link_delay(n->plan, p.id, from, to, now) : 0;

    return nsec_add(latency_of(n, from, to, &p), more);
}

static nsec_t held(const struct network *n, enum link_id id, addr_t from, addr_t to, nsec_t at,
                   bool answers_dial)
{
    return network_is_faulty(n, from, to) ? plan_link_held(n->plan, id, from, to, at, answers_dial) : at;
}

nsec_t network_dial(struct network *n, addr_t from, addr_t to, nsec_t now)
{
    struct passage p = passage(n, from, to);

    for (uint32_t i = 0; i < p.link->dial_round_trips; i++) {
        now = held(n, p.id, from, to, nsec_add(now, network_latency(n, from, to, now)), false);
        now = held(n, p.id, from, to, nsec_add(now, network_latency(n, to, from, now)), true);
    }
    return now;
}

static nsec_t *wire_free_at(struct network *n, const struct passage *p)
{
    if (!n->wire_free_at[p->id]) {
        n->wire_free_at[p->id] = calloc(n->pairs[p->id], sizeof **n->wire_free_at);
        if (!n->wire_free_at[p->id]) PANIC_MEMORY("out of memory for %zu links", n->pairs[p->id]);
        n->memory += n->pairs[p->id] * sizeof **n->wire_free_at;
    }
    return &n->wire_free_at[p->id][p->pair][p->from_dials];
}

uint32_t network_way(const struct network *n, addr_t from, addr_t to)
{
    return WAY(n->between[ADDR_ROLE(from)][ADDR_ROLE(to)].id,
               n->between[ADDR_ROLE(from)][ADDR_ROLE(to)].from_dials);
}

/* Over a link with a rate, faults, or a latency that varies. */
static nsec_t transfer(struct network *n, addr_t from, addr_t to, nsec_t now, uint32_t bytes)
{
    struct passage p = passage(n, from, to);
    bool faulty = network_is_faulty(n, from, to);
    uint64_t rate = faulty ? plan_link_rate(n->plan, p.id, from, to, now) : p.link->bytes_per_second;

    if (rate) now = wire_pass(wire_free_at(n, &p), now, bytes, rate);
    if (!faulty) return nsec_add(now, latency_of(n, from, to, &p));
    return held(n, p.id, from, to, nsec_add(now, network_latency(n, from, to, now)), false);
}

nsec_t network_transfer(struct network *n, addr_t from, addr_t to, nsec_t now, uint32_t bytes)
{
    if (n->between[ADDR_ROLE(from)][ADDR_ROLE(to)].plain)
        return nsec_add(now, n->between[ADDR_ROLE(from)][ADDR_ROLE(to)].latency);
    return transfer(n, from, to, now, bytes);
}

/* Keep-alive
 * ------------------------------------------------------------------------------------------------- */

static struct idle_connections *idle_of(struct network *n, addr_t from, addr_t to, struct passage *ret_p)
{
    struct passage p = passage(n, from, to);

    ASSERT(p.from_dials);
    *ret_p = p;
    if (!p.link->keep_alive) return NULL;
    if (!n->idle[p.id]) {
        n->idle[p.id] = calloc(n->pairs[p.id], sizeof *n->idle[p.id]);
        if (!n->idle[p.id]) PANIC_MEMORY("out of memory for %zu connection pools", n->pairs[p.id]);
        for (size_t i = 0; i < n->pairs[p.id]; i++)
            vec_init(&n->idle[p.id][i].since, SIZE_MAX / sizeof(nsec_t));
        n->memory += n->pairs[p.id] * sizeof *n->idle[p.id];
    }
    return &n->idle[p.id][p.pair];
}

bool network_reuse(struct network *n, addr_t from, addr_t to, nsec_t now)
{
    struct passage p;
    struct idle_connections *idle = idle_of(n, from, to, &p);

    if (!idle || idle->since.len == 0) return false;
    if (now - vec_pop(&idle->since) <= p.link->keep_alive_idle_ns) return true;
    vec_clear(&idle->since); /* the others are older still */
    return false;
}

void network_idle(struct network *n, addr_t from, addr_t to, nsec_t now)
{
    struct passage p;
    struct idle_connections *idle = idle_of(n, from, to, &p);

    if (idle && vec_push(&idle->since, now) < 0) PANIC_MEMORY("out of memory for idle connections");
}

/* Forgets a link's idle connections between pairs that are concerned. */
static void forget(struct network *n, enum link_id id, bool (*concerns)(const void *, addr_t, addr_t),
                   const void *what)
{
    enum role dials, listens;

    if (!n->idle[id]) return;
    dials = plan_link_dials(id, &listens);
    for (size_t i = 0; i < n->pairs[id]; i++) {
        addr_t d = ADDR(dials, i / n->listeners[id]), l = ADDR(listens, i % n->listeners[id]);
        if (concerns(what, d, l)) vec_clear(&n->idle[id][i].since);
    }
}

static bool component_concerned(const void *component, addr_t a, addr_t b)
{
    const addr_t *c = component;

    return *c == a || *c == b;
}

static bool fault_concerned(const void *fault, addr_t a, addr_t b)
{
    return fault_concerns(fault, a, b);
}

void network_forget_link(struct network *n, const struct plan_fault *fault)
{
    forget(n, fault->link, fault_concerned, fault);
}

void network_forget(struct network *n, addr_t component)
{
    for (enum link_id id = 0; id < LINK_COUNT; id++) forget(n, id, component_concerned, &component);
}
