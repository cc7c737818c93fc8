/*
 * What a live run needs of the machine: open descriptors, and a scheduler that wakes the load in time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "sim/base/str.h"
#include "sim/live/layout.h"

/*
 * Open descriptors that the process surely needs at once: a connection for each worker, for each tunnel
 * connection, for each session that is known to be open at one time (of loads that start at once, or with so
 * many users), and a few of its own. Open loads may need more; see resources_descriptors_low().
 */
uint64_t resources_descriptors_needed(const struct plan *plan, const struct process *process);

/*
 * Raises this process's limit of open descriptors as far as it goes; children inherit it. -EMFILE, with one
 * clear line in `error`, when that is not enough for some process of the layout; a negative errno when the
 * limit cannot be read.
 */
int resources_raise_descriptors(const struct plan *plan, const struct layout *layout, struct str *error);

/*
 * Whether this process has had nearly all the descriptors of its limit open at one time, and has not closed
 * all of the last ones since; then some of its connections may have failed for that alone. Costs two system
 * calls.
 */
bool resources_descriptors_low(uint64_t *ret_limit);

/*
 * Asks the scheduler to wake this process at once rather than when it suits. For the process that starts
 * sessions on a schedule: a load generator that waits behind what it measures measures itself. Who may gets
 * the lowest real-time priority (root, CAP_SYS_NICE, RLIMIT_RTPRIO); the kernel keeps a twentieth of the time
 * for others whatever happens (sched_rt_runtime_us). Everybody else gets a short time slice, which needs no
 * privilege (Linux 6.12; elsewhere nothing happens). Figures for all three: docs/PERFORMANCE.md. A policy
 * that somebody has chosen already stays. Returns whether the priority is real-time by this call:
 * resources_wake_as_usual() then gives it back, for what is no load any more keeps others waiting for
 * nothing.
 */
bool resources_wake_promptly(void);
void resources_wake_as_usual(void);
