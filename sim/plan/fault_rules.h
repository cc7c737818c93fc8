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

/* Whether the component's sessions, calls and work survive a kill. */
bool plan_keeps_state(const struct plan *plan, addr_t component);

/* The FAULT_ANSWER in force for `target` at `now`, or NULL. Of two that overlap the later one counts. */
const struct plan_fault *plan_answer_fault(const struct plan *plan, addr_t target, nsec_t now);
