/*
 * Which timers are pending for one object, where timers cannot be cancelled.
 *
 * An object that wants to be woken at its next deadline needs a new timer only when no pending one comes at
 * or before that. Two pending times are kept, since the usual pattern is a short wait inside a long one; so
 * an object has about two timers at a time, however often its deadline moves.
 *
 *     if (wakeup_want(&o->wakeup, object_deadline(o))) timer_set(out, object_deadline(o), token);
 *     … on the timer:  wakeup_fired(&o->wakeup, now);  do what is due;  want again.
 */
#pragma once

#include "sim/base/nsec.h"

#include <stdbool.h>

/* Pending times, the sooner first; NSEC_MAX is none. */
struct wakeup {
    nsec_t pending[2];
};

static inline void wakeup_init(struct wakeup *w)
{
    w->pending[0] = w->pending[1] = NSEC_MAX;
}

/* True if a timer must be set for `at`, which is then taken as pending. NSEC_MAX (never) needs none. */
static inline bool wakeup_want(struct wakeup *w, nsec_t at)
{
    if (at >= w->pending[0]) return false;
    /* With both places taken the later time is forgotten: that timer will fire for nothing. */
    w->pending[1] = w->pending[0];
    w->pending[0] = at;
    return true;
}

/* A timer fired: whatever was pending until `now` no longer is. */
static inline void wakeup_fired(struct wakeup *w, nsec_t now)
{
    while (w->pending[0] <= now && w->pending[0] != NSEC_MAX) {
        w->pending[0] = w->pending[1];
        w->pending[1] = NSEC_MAX;
    }
}
