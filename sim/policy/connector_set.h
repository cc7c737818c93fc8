/*
 * The connections of one tunnel connector: which is to be dialed, and when.
 *
 * Number 0 is dialed first, the others one by one at `spacing_ns` once it is registered. A connection that
 * fails, or is lost, waits in two stages: its own back-off, then the supervisor's, whose one timer is shared:
 * it starts when the first connection comes to it, and restarts all that wait there at once when it fires. A
 * registration resets the connection's own stage; the shared one is reset at a random moment after all
 * connections are registered.
 *
 * Number 0 begins in a loop of its own, which skips the second stage, for as long as it fails by dial errors
 * and duplicate answers. Any other failure ends that loop for good: from then on the supervisor starts number
 * 0 like the others, as the real one does.
 *
 * Usage: after each event, connector_set_next() until it returns false, and a timer for
 * connector_set_deadline().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/base/nsec.h"
#include "sim/base/prng.h"
#include "sim/plan/plan.h"

enum connection_failure {
    CONNECTION_DIAL_ERROR, /* the connection never came up */
    CONNECTION_DUPLICATE,  /* the edge still has a connection of this number */
    CONNECTION_OTHER, /* anything else: registration refused or timed out, a registered connection lost */
};

struct connector_set_options {
    uint32_t connections; /* at least 1 */
    nsec_t spacing_ns;
    struct plan_backoff backoff;
    uint64_t key;     /* prng_key() of the run and a stable name */
    uint64_t ordinal; /* of the connector and its incarnation */
};

/* Waits begun so far, of both stages, and their planned lengths together. */
struct connector_set_waits {
    uint64_t count;
    uint64_t total_ns;
};

struct connector_set;

/* A set in which nothing is dialed yet. 0 or -ENOMEM. */
int connector_set_new(const struct connector_set_options *opts, struct connector_set **ret);
/* NULL is allowed. */
void connector_set_free(struct connector_set *s);
size_t connector_set_bytes(const struct connector_set *s);

/* Number 0 is to be dialed now. Once. */
void connector_set_start(struct connector_set *s, nsec_t now);

/* The next connection that is to be dialed at `now`; it then counts as dialing until it is registered or has
 * failed. False, and `ret_index` untouched, when there is none. Lower numbers come first. */
bool connector_set_next(struct connector_set *s, nsec_t now, uint32_t *ret_index);

/* When connector_set_next() is to be asked again if nothing happens before; NSEC_MAX: never. */
nsec_t connector_set_deadline(const struct connector_set *s);

/* Connection `index`, which was dialing, is registered. */
void connector_set_registered(struct connector_set *s, nsec_t now, uint32_t index);

/* Connection `index`, dialing or registered, is no more. The peer's retry-after, or 0, is a lower bound of
 * its own wait. */
void connector_set_failed(struct connector_set *s, nsec_t now, uint32_t index,
                          enum connection_failure failure, nsec_t retry_after_ns);

/* Nothing is dialed any more; failures are ignored. */
void connector_set_stop(struct connector_set *s);

/* Connections registered now. */
uint32_t connector_set_up(const struct connector_set *s);

struct connector_set_waits connector_set_waits(const struct connector_set *s);
