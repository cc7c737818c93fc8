#include "sim/virtual/ahead.h"

#define TIMER_STEPS (1 + SOON_STEPS)
/* So many timers before its turn one is come to, so that the last step is done in time. */
#define TIMERS_AHEAD (2 * TIMER_STEPS)

static const struct flow_end *end_of(const struct ahead *a, uint32_t flow)
{
    return slab_get_unchecked(a->ends, flow);
}

static const struct transit *near_message(const struct ahead *a, const struct lane *lane, uint32_t before)
{
    return slab_get_unchecked(a->transits, ENTRY_ID(lane_item(lane, before)->payload));
}

static void message_soon(const struct ahead *a, const struct transit *t, unsigned step)
{
    const struct flow_end *f = end_of(a, t->end);

    world_soon(a->world, f->peer, step,
               &(struct prospect){.tag = f->user ? end_of(a, f->user)->tag : 0, .msg = &t->msg});
}

void ahead_messages(const struct ahead *a, const struct lane *lane)
{
    if (lane->len > 4) __builtin_prefetch(near_message(a, lane, 4));
    if (lane->len > 3) __builtin_prefetch(end_of(a, near_message(a, lane, 3)->end));
    if (lane->len > 2) {
        uint32_t peer = end_of(a, near_message(a, lane, 2)->end)->user;

        if (peer) __builtin_prefetch(end_of(a, peer));
    }
    if (lane->len > 1) message_soon(a, near_message(a, lane, 1), 0);
    if (lane->len > 0) message_soon(a, near_message(a, lane, 0), 1);
}
_Static_assert(SOON_STEPS == 2, "the component's steps are at the last two places");

static void timer_soon(const struct ahead *a, uint32_t id, unsigned step)
{
    const struct timer *t = slab_get_unchecked(a->timers, id);

    if (step == 0)
        __builtin_prefetch(t);
    else
        world_soon(a->world, t->self, step - 1, &(struct prospect){.token = t->token});
}

void ahead_timers(struct ahead *a)
{
    size_t first, end;
    const struct cal_entry *ready = calendar_ready(a->calendar, &first, &end);

    if (a->refills != a->calendar->refills || a->timer_next < first) {
        a->refills = a->calendar->refills;
        a->timer_next = first;
    }
    if (a->timer_next >= first + TIMERS_AHEAD || a->timer_next >= end + TIMER_STEPS) return;
    for (unsigned step = 0; step < TIMER_STEPS && step <= a->timer_next - first; step++) {
        size_t i = a->timer_next - step;

        if (i < end && ENTRY_OF(ready[i].payload) == ENTRY_TIMER)
            timer_soon(a, ENTRY_ID(ready[i].payload), step);
    }
    a->timer_next++;
}
