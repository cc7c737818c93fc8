/*
 * Runs a plan live: starts a process for each part of the layout, hands all the same clock, plays the faults
 * that kill and restart, watches over the children, and ends everything in order. Owns the memory in which
 * the roles record.
 *
 * A child's life:  fork → listen → "ready" → "go" (the clock) → work → "end" → "ended" → "exit".
 * One that comes back after a kill is forked at the kill and listens at "go", which is when the fault ends.
 * One that goes on from a journal says "recovered" when it has its state: from then on it answers for what
 * its predecessor left open. Without such a successor that is in flight when the run ends. Each line goes
 * over a socket pair; a child whose supervisor dies is killed by the kernel.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/base/nsec.h"
#include "sim/base/str.h"
#include "sim/live/layout.h"

struct recorder;

/* Whether the plan kills a process that comes back with what it had: it keeps a journal. */
bool process_keeps_state(const struct plan *plan, const struct process *p);

/* What a child knows from its supervisor. */
struct child {
    const struct process *process;
    size_t index;         /* of the process in the layout */
    uint32_t incarnation; /* of the process, and of the components that it starts with */
    const bool *down;     /* by component: is not to be started with the process, a fault keeps it down */
    bool standby;         /* comes back after a kill: is made ready meanwhile, and listens from "go" on */
    int control_fd;       /* lines both ways, see child.h */
    struct recorder *recorder;
    /* What earlier incarnations did to their ledgers: see ledger_pass_over(). */
    uint64_t operations;
};

struct supervisor_options {
    const struct plan *plan;
    const struct layout *layout;
    /* The child's program: runs in the forked process until "exit" and returns its exit code. */
    int (*child_main)(void *child_user, const struct child *child);
    void *child_user;
    /* Called at each interval; false interrupts the run. `recorders` are those of all incarnations so far. */
    bool (*on_interval)(void *user, nsec_t now, const struct recorder *const *recorders, size_t count);
    /* Whether a signal came before the supervisor took them upon itself: asked once. May be NULL. */
    bool (*stopped)(void *user);
    void *user;
};

struct supervisor;

struct supervisor_result {
    nsec_t end_ns;
    bool load_done, interrupted;
    nsec_t pause_max_ns; /* the longest the supervisor itself was late: pauses of the machine */
};

/* Runs to the end. 0; a negative errno, with one clear line in `error`, when something failed that no fault
 * of the plan explains (a child that died or could not start): what was recorded until then is still there.
 */
int supervisor_run(const struct supervisor_options *opts, struct supervisor **ret,
                   struct supervisor_result *ret_result, struct str *error);

/* The recorders of all incarnations of all processes; dead ones are swept. Valid until supervisor_free(). */
const struct recorder *const *supervisor_recorders(const struct supervisor *s, size_t *ret_count);
void supervisor_free(struct supervisor *s);
