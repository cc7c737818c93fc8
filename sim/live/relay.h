/*
 * Link faults, live: a TCP relay in user space between two components. It delays, paces, stalls, cuts and
 * swallows as the plan's faults and the link's own latency and rate say, by the run's clock.
 */
#pragma once

#include "sim/base/nsec.h"
#include "sim/plan/plan.h"

struct event_base;
struct relay;

struct relay_options {
    struct event_base *base;
    const struct plan *plan;
    enum link_id link;
    addr_t from, to;    /* who dials, who listens */
    const char *listen; /* numeric "ip:port" */
    const char *target;
};

/* Listens at once; faults begin with relay_start(). Errors of tcp_listener_new(). */
int relay_new(const struct relay_options *o, struct relay **ret);
/* The run's clock: CLOCK_MONOTONIC at time 0. */
void relay_start(struct relay *r, uint64_t epoch_ns);
void relay_free(struct relay *r);
