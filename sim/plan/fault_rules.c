#include "sim/plan/fault_rules.h"

bool fault_in_force(const struct plan_fault *f, nsec_t now)
{
    if (now < f->at_ns) return false;
    return f->for_ns == 0 || now - f->at_ns < f->for_ns;
}

bool fault_hits(const struct plan_fault *f, addr_t component)
{
    return f->all_instances ? ADDR_ROLE(f->target) == ADDR_ROLE(component) : f->target == component;
}

bool fault_concerns(const struct plan_fault *f, addr_t a, addr_t b)
{
    return f->all_instances || f->target == 0 || f->target == a || f->target == b;
}

bool plan_is_killed(const struct plan *plan, addr_t component, nsec_t now)
{
    for (uint32_t i = 0; i < plan->fault_count && plan->faults[i].at_ns <= now; i++) {
        const struct plan_fault *f = &plan->faults[i];

        if (f->kind == FAULT_KILL && fault_hits(f, component) && fault_in_force(f, now)) return true;
    }
    return false;
}

nsec_t plan_back_since(const struct plan *plan, addr_t component, nsec_t now)
{
    nsec_t since = 0;

    for (uint32_t i = 0; i < plan->fault_count && plan->faults[i].at_ns <= now; i++) {
        const struct plan_fault *f = &plan->faults[i];
        nsec_t end = nsec_add(f->at_ns, f->for_ns);

        if (f->kind == FAULT_KILL && f->for_ns && fault_hits(f, component) && end <= now)
            since = nsec_max(since, end);
    }
    return since;
}

bool plan_kills(const struct plan *plan, addr_t component)
{
    for (uint32_t i = 0; i < plan->fault_count; i++)
        if (plan->faults[i].kind == FAULT_KILL && fault_hits(&plan->faults[i], component)) return true;
    return false;
}

bool plan_keeps_state(const struct plan *plan, addr_t component)
{
    return ADDR_ROLE(component) == ROLE_ORCHESTRATOR && plan->orchestrator.durable;
}

const struct plan_fault *plan_answer_fault(const struct plan *plan, addr_t target, nsec_t now)
{
    const struct plan_fault *found = NULL;

    /* Sorted by start. */
    for (uint32_t i = 0; i < plan->fault_count && plan->faults[i].at_ns <= now; i++) {
        const struct plan_fault *f = &plan->faults[i];

        if (f->kind == FAULT_ANSWER && fault_in_force(f, now) && fault_hits(f, target)) found = f;
    }
    return found;
}

const struct plan_fault *plan_link_fault(const struct plan *plan, enum fault_kind kind, enum link_id link,
                                         addr_t a, addr_t b, nsec_t now)
{
    for (uint32_t i = 0; i < plan->fault_count && plan->faults[i].at_ns <= now; i++) {
        const struct plan_fault *f = &plan->faults[i];

        if (f->kind == kind && f->link == link && fault_in_force(f, now) && fault_concerns(f, a, b)) return f;
    }
    return NULL;
}

nsec_t plan_link_held(const struct plan *plan, enum link_id link, addr_t a, addr_t b, nsec_t at,
                      bool answers_dial)
{
    const struct plan_fault *f;

    while ((f = plan_link_fault(plan, FAULT_LINK_STALL, link, a, b, at)) ||
           (answers_dial && (f = plan_link_fault(plan, FAULT_LINK_HALF_OPEN, link, a, b, at))))
        at = nsec_add(f->at_ns, f->for_ns);
    return at;
}

uint64_t plan_link_rate(const struct plan *plan, enum link_id link, addr_t a, addr_t b, nsec_t now)
{
    const struct plan_fault *f = plan_link_fault(plan, FAULT_LINK_RATE, link, a, b, now);

    return f ? f->bytes_per_second : plan->links[link].bytes_per_second;
}

nsec_t plan_link_delay(const struct plan *plan, enum link_id link, addr_t a, addr_t b, nsec_t now)
{
    const struct plan_fault *f = plan_link_fault(plan, FAULT_LINK_DELAY, link, a, b, now);

    return f ? f->delay_ns : 0;
}
