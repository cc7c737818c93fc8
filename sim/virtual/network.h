/*
 * What lies between components in virtual time: links with latency, rate and faults; hosts with cores;
 * keep-alive connections. Plain functions of the plan and the time; knows neither flows nor the calendar.
 */
#pragma once

#include "sim/base/prng.h"
#include "sim/base/vec.h"
#include "sim/plan/plan.h"
#include "sim/plan/way.h"

struct host {
    nsec_t *core_free_at; /* for each core */
    struct prng latency;  /* of what this host sends */
};

/* Idle connections from one component to another; the one used last is at the end. */
struct idle_connections {
    VEC(nsec_t) since;
};

struct network;

int network_new(const struct plan *plan, struct network **ret);
void network_free(struct network *n);
size_t network_memory(const struct network *n);

/* Work of `cost` that arrives at a component's host at `now`: when it is done. Arrivals must come in order of
 * time. */
nsec_t network_serve(struct network *n, addr_t at, nsec_t now, nsec_t cost);

/* What all hosts have worked so far, those apart that are infinitely fast. */
nsec_t network_cpu(const struct network *n);

/* CPU cost of handling a message of `bytes` at `at`. */
nsec_t network_message_cost(const struct network *n, addr_t at, uint32_t bytes);

/* When `bytes` that leave `from` at `now` have arrived at `to`'s host: rate, latency, and how long a stalled
 * link holds them back. */
nsec_t network_transfer(struct network *n, addr_t from, addr_t to, nsec_t now, uint32_t bytes);

/* The link and the direction in which messages go from `from` to `to`: way_between(), below NETWORK_WAYS. */
#define NETWORK_WAYS WAY(LINK_COUNT, 0)
uint32_t network_way(const struct network *n, addr_t from, addr_t to);

/* When the round trips of a dial that begins at `now` are over. A stalled or half-open link delays them until
 * it is well again. */
nsec_t network_dial(struct network *n, addr_t from, addr_t to, nsec_t now);

/* One way, without queueing, as drawn for `from`. */
nsec_t network_latency(struct network *n, addr_t from, addr_t to, nsec_t now);

/* Takes an idle connection from `from` to `to`, if one is left that is not too old. */
bool network_reuse(struct network *n, addr_t from, addr_t to, nsec_t now);
/* A connection became idle. Kept if the link keeps connections alive. */
void network_idle(struct network *n, addr_t from, addr_t to, nsec_t now);
/* All idle connections of a component are gone, or those that a link fault concerns. */
void network_forget(struct network *n, addr_t component);
void network_forget_link(struct network *n, const struct plan_fault *fault);

const struct plan_link *network_link(const struct network *n, addr_t a, addr_t b, enum link_id *ret_id);

/* Whether the plan has any fault on the link between the two. */
bool network_is_faulty(const struct network *n, addr_t a, addr_t b);

/* The link fault of this kind in force between the two, or NULL. */
const struct plan_fault *network_fault(const struct network *n, enum fault_kind kind, addr_t a, addr_t b,
                                       nsec_t now);
