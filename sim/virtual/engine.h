/*
 * The virtual clock: runs a whole world on an event calendar. Deterministic: the same plan gives the same
 * events, the same digest and the same recordings, on every machine.
 *
 * A message passes: the sender's link (rate, latency, faults) → the receiver's host (a FIFO queue for its
 * cores) → the component. A new connection first costs its round trips and CPU at both ends.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/base/digest.h"
#include "sim/base/nsec.h"
#include "sim/world/world.h"

struct recorder;

struct engine_options {
    const struct plan *plan;
    struct recorder *recorder; /* of all components; may be NULL */
    /* Called at each multiple of plan->interval_ns that the clock passes, for the time axis and for progress;
     * may be NULL. Returning false interrupts the run. */
    bool (*on_interval)(void *user, nsec_t now);
    /* Sees every event before it is handled, in order, for --verify; may be NULL. */
    void (*on_event)(void *user, uint64_t number, nsec_t now, const struct event *ev);
    void *user;
    uint64_t shuffle_ties; /* not 0: events of one time come in an order drawn from this seed */
};

struct engine_result {
    nsec_t end_ns;  /* when the clock stopped */
    bool load_done; /* the load ended by itself, before duration + drain */
    bool interrupted;
    uint64_t deliveries;     /* messages handed to components */
    uint64_t polls;          /* … of which work polls and their empty answers */
    uint64_t timers;         /* timer events handed to components */
    uint64_t timers_dead;    /* timers of incarnations that were gone */
    size_t memory_max_bytes; /* world, calendar and messages in flight, at interval ends and at the end */
    size_t pending_max;      /* events in the calendar, at the same moments */
    char digest[DIGEST_HEX_LEN + 1]; /* over all fields of every event and effect */
};

/* Runs from time 0 until the load is over or duration + drain. Returns 0; -ENOMEM. Exceeding a limit that
 * follows from the plan panics. */
int engine_run(const struct engine_options *opts, struct engine_result *ret);
