/*
 * What the faults of a plan mean at a moment: pure functions of the plan and the time, the same in every
 * process and on both clocks.
 */
#pragma once

#include "sim/plan/plan.h"

/* Whether it is one of a link's: cut, stall, half-open, delay, rate. */
static inline bool fault_is_of_link(const struct plan_fault *f)
{
    switch (f->kind) {
    case FAULT_LINK_CUT:
    case FAULT_LINK_STALL:
    case FAULT_LINK_HALF_OPEN:
    case FAULT_LINK_DELAY:
    case FAULT_LINK_RATE: return true;
    default: return false;
    }
}

/* From `at_ns` on, for `for_ns` (0: to the end). */
bool fault_in_force(const struct plan_fault *f, nsec_t now);

/* Whether a fault of a component is one of this component. */
bool fault_hits(const struct plan_fault *f, addr_t component);

/* Whether a link's fault concerns what goes between these two over its link. */
bool fault_concerns(const struct plan_fault *f, addr_t a, addr_t b);

/* Whether any kill in force at `now` keeps the component down. */
bool plan_is_killed(const struct plan *plan, addr_t component, nsec_t now);

/* The end of the last kill of the component that is over at `now`; 0: there was none. */
nsec_t plan_back_since(const struct plan *plan, addr_t component, nsec_t now);

/* Whether any kill of the plan is one of this component. */
bool plan_kills(const struct plan *plan, addr_t component);

/* Whether the component's sessions, calls and work survive a kill. */
bool plan_keeps_state(const struct plan *plan, addr_t component);

/* The FAULT_ANSWER in force for `target` at `now`, or NULL. Of two that overlap the later one counts. */
const struct plan_fault *plan_answer_fault(const struct plan *plan, addr_t target, nsec_t now);

/* Links: what lies between `a` and `b` over `link`. Their order does not matter.
 * ---------------------------------------------------------------------------------------------------- */

/* The link's fault of this kind in force at `now`, or NULL. */
const struct plan_fault *plan_link_fault(const struct plan *plan, enum fault_kind kind, enum link_id link,
                                         addr_t a, addr_t b, nsec_t now);

/* When that arrives which would at `at`: a stalled link holds everything back until it is well again, one
 * that is half open the answers to dials (`answers_dial`). */
nsec_t plan_link_held(const struct plan *plan, enum link_id link, addr_t a, addr_t b, nsec_t at,
                      bool answers_dial);

/* Bytes per second; 0: unlimited. */
uint64_t plan_link_rate(const struct plan *plan, enum link_id link, addr_t a, addr_t b, nsec_t now);

/* What faults add to the link's latency, one way. */
nsec_t plan_link_delay(const struct plan *plan, enum link_id link, addr_t a, addr_t b, nsec_t now);

/* When `bytes` (below 2^34) that come to a wire at `now` are on it: behind what came earlier, at `rate` (not
 * 0) bytes per second. `free_at`: when one direction of the wire is free again. */
static inline nsec_t wire_pass(nsec_t *free_at, nsec_t now, uint64_t bytes, uint64_t rate)
{
    return *free_at = nsec_add(nsec_max(*free_at, now), bytes * NSEC_PER_S / rate);
}
