/*
 * Keeps processors from sleeping while a load runs.
 *
 * A processor that has gone to sleep wakes late: a virtual one has to be given a real one first. On the
 * machine of docs/PERFORMANCE.md, idle but for a process that wakes every 2 ms, that process is up to 5 ms
 * late at p99, and 0.1 ms while somebody else computes on each processor. So here somebody does: one process
 * for each processor, in the scheduler's class for what runs when nothing else wants to (SCHED_IDLE), which
 * takes no time from the load.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#define AWAKE_MAX 256 /* processors; those beyond may sleep */

struct awake {
    size_t count;
    pid_t pids[AWAKE_MAX];
};

/* Starts them on each processor that this process may run on. They die with their parent, and hold no
 * descriptor of it; signals of the terminal leave them alone. A negative errno when there cannot be one; then
 * there is none. */
int awake_begin(struct awake *ret);

/* Ends them. A zeroed struct is allowed. */
void awake_end(struct awake *a);
