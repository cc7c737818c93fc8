#include "sim/live/stream_watch.h"

#include <time.h>

static nsec_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * NSEC_PER_S + t.tv_nsec;
}

/* The timer is touched only when it would come too late. */
static void arm(struct stream_watch *w, nsec_t at, nsec_t now)
{
    nsec_t wait = nsec_round_up(nsec_sub0(at, now), NSEC_PER_US);
    struct timeval time = {.tv_sec = wait / NSEC_PER_S, .tv_usec = wait % NSEC_PER_S / NSEC_PER_US};

    if (at >= w->timer_at) return;
    w->timer_at = at;
    event_add(&w->timer, &time);
}

/* Sees whether output went since the last look. */
static void look(struct stream_watch *w)
{
    size_t pending = stream_pending(w->stream);
    nsec_t now;

    if (pending < w->pending) w->stalls_at = NSEC_MAX;
    w->pending = pending;
    if (pending == 0 || w->stalls_at != NSEC_MAX) return;
    now = now_ns();
    w->stalls_at = nsec_add(now, w->patience_ns);
    arm(w, w->stalls_at, now);
}

void stream_watch_init(struct stream_watch *w, struct event_base *base, struct stream *stream,
                       nsec_t patience_ns, event_callback_fn due, void *user)
{
    *w = (struct stream_watch){.stream = stream,
                               .patience_ns = patience_ns,
                               .deadline = NSEC_MAX,
                               .stalls_at = NSEC_MAX,
                               .timer_at = NSEC_MAX};
    event_assign(&w->timer, base, -1, 0, due, user);
}

void stream_watch_deinit(struct stream_watch *w)
{
    event_del(&w->timer);
}

void stream_watch_set_deadline(struct stream_watch *w, nsec_t wait_ns)
{
    nsec_t now = now_ns();

    w->deadline = nsec_add(now, wait_ns);
    arm(w, w->deadline, now);
}

void stream_watch_clear_deadline(struct stream_watch *w)
{
    w->deadline = NSEC_MAX;
}

void stream_watch_write(struct stream_watch *w, struct evbuffer *bytes)
{
    look(w);
    stream_write(w->stream, bytes);
    look(w);
}

enum stream_watch_due stream_watch_due(struct stream_watch *w)
{
    nsec_t now = now_ns();

    w->timer_at = NSEC_MAX;
    look(w);
    if (w->stalls_at <= now) return STREAM_WATCH_STALLED;
    arm(w, w->stalls_at, now);
    if (w->deadline <= now) return STREAM_WATCH_LATE;
    arm(w, w->deadline, now);
    return STREAM_WATCH_GOES_ON;
}
