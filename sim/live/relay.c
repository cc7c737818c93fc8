#include "sim/live/relay.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sim/base/list.h"
#include "sim/live/tcp.h"

/* A piece of the stream that waits for its time. */
struct piece {
    struct list link;
    nsec_t due;
    struct evbuffer *bytes;
};

struct pair;

/* One direction: bytes that came from `in` go to `out`. */
struct way {
    struct pair *pair;
    struct stream *in, *out;
    struct list pieces;
    struct event *timer;
    nsec_t last_due, wire_free_at;
    bool from_listener; /* what the dialed side sends */
    bool eof, out_ended;
};

struct pair {
    struct list link;
    struct relay *relay;
    struct way ways[2];
    struct prng latency;
};

struct relay {
    struct relay_options opts;
    char *listen, *target;
    struct tcp_listener *listener;
    struct list pairs;
    struct event *fault_timer;
    uint64_t epoch_ns;
    uint64_t connections;
    bool started;
};

static uint64_t monotonic_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NSEC_PER_S + (uint64_t)ts.tv_nsec;
}

static nsec_t relay_now(const struct relay *r)
{
    uint64_t now = monotonic_ns();

    return r->started && now > r->epoch_ns ? now - r->epoch_ns : 0;
}

static void timer_at(const struct relay *r, struct event *timer, nsec_t at)
{
    nsec_t now = relay_now(r), wait = at > now ? at - now : 0;
    struct timeval tv = {.tv_sec = (time_t)(wait / NSEC_PER_S),
                         .tv_usec = (suseconds_t)((wait % NSEC_PER_S + NSEC_PER_US - 1) / NSEC_PER_US)};

    event_add(timer, &tv);
}

static bool concerns(const struct relay *r, const struct plan_fault *f)
{
    return f->link == r->opts.link &&
           (f->target == 0 || f->target == r->opts.from || f->target == r->opts.to);
}

static const struct plan_fault *fault_now(const struct relay *r, enum fault_kind kind, nsec_t now)
{
    for (uint32_t i = 0; r->started && i < r->opts.plan->fault_count; i++) {
        const struct plan_fault *f = &r->opts.plan->faults[i];

        if (f->kind == kind && concerns(r, f) && now >= f->at_ns && now - f->at_ns < f->for_ns) return f;
    }
    return NULL;
}

/* Pairs
 * ----------------------------------------------------------------------------------------------------------
 */

static void way_clear(struct way *w)
{
    struct list *l;

    while ((l = list_pop_front(&w->pieces))) {
        struct piece *p = container_of(l, struct piece, link);
        evbuffer_free(p->bytes);
        free(p);
    }
    if (w->timer) event_free(w->timer);
    w->timer = NULL;
}

static void pair_free(struct pair *p, bool abort)
{
    list_remove(&p->link);
    for (int i = 0; i < 2; i++) {
        way_clear(&p->ways[i]);
        stream_free(p->ways[i].in, abort);
    }
    free(p);
}

/* Hands on what is due. */
static void way_flush(struct way *w)
{
    struct relay *r = w->pair->relay;
    nsec_t now = relay_now(r);
    const struct plan_fault *stall = fault_now(r, FAULT_LINK_STALL, now);
    struct list *l;

    if (stall) {
        timer_at(r, w->timer, stall->at_ns + stall->for_ns);
        return;
    }
    while ((l = list_first(&w->pieces))) {
        struct piece *p = container_of(l, struct piece, link);
        size_t n = evbuffer_get_length(p->bytes);

        if (p->due > now) {
            timer_at(r, w->timer, p->due);
            return;
        }
        list_remove(l);
        if (w->from_listener && fault_now(r, FAULT_LINK_HALF_OPEN, now))
            evbuffer_drain(p->bytes, n);
        else
            stream_write(w->out, p->bytes);
        stream_consumed(w->in, n);
        evbuffer_free(p->bytes);
        free(p);
    }
    if (w->eof && !w->out_ended) {
        w->out_ended = true;
        stream_shutdown(w->out);
    }
}

static void on_way_timer(evutil_socket_t fd, short what, void *arg)
{
    way_flush(arg);
}

/* When `n` bytes that came now are through: paced by the rate, then delayed; never before what came earlier.
 */
static nsec_t due_time(struct way *w, size_t n)
{
    struct relay *r = w->pair->relay;
    const struct plan_link *link = &r->opts.plan->links[r->opts.link];
    nsec_t now = relay_now(r), due = now;
    const struct plan_fault *slow = fault_now(r, FAULT_LINK_RATE, now),
                            *late = fault_now(r, FAULT_LINK_DELAY, now);
    uint64_t rate = slow ? slow->bytes_per_second : link->bytes_per_second;

    if (rate) {
        if (w->wire_free_at < now) w->wire_free_at = now;
        w->wire_free_at += (nsec_t)((unsigned __int128)n * NSEC_PER_S / rate);
        due = w->wire_free_at;
    }
    due = nsec_add(due, dist_sample(&link->latency_ns, &w->pair->latency));
    if (late) due = nsec_add(due, late->delay_ns);
    if (due < w->last_due) due = w->last_due;
    return w->last_due = due;
}

static void on_data(struct way *w, struct evbuffer *in)
{
    struct piece *p = malloc(sizeof *p);

    if (!p) return; /* stays in `in`, and so stops the peer */
    *p = (struct piece){.bytes = evbuffer_new(), .due = due_time(w, evbuffer_get_length(in))};
    if (!p->bytes) {
        free(p);
        return;
    }
    evbuffer_add_buffer(p->bytes, in);
    list_push_back(&w->pieces, &p->link);
    way_flush(w);
}

static struct way *way_from(struct pair *p, bool listener)
{
    return &p->ways[listener];
}

static void on_data_0(void *user, struct evbuffer *in)
{
    on_data(way_from(user, false), in);
}
static void on_data_1(void *user, struct evbuffer *in)
{
    on_data(way_from(user, true), in);
}

static void on_eof(struct way *w)
{
    w->eof = true;
    if (list_is_empty(&w->pieces)) way_flush(w);
}
static void on_eof_0(void *user)
{
    on_eof(way_from(user, false));
}
static void on_eof_1(void *user)
{
    on_eof(way_from(user, true));
}

/* The end of one side is the end of both; a clean one after both had said all. */
static void on_ended(void *user, enum stream_end end, const char *what)
{
    struct pair *p = user;

    pair_free(p, end != STREAM_END_CLEAN);
}

static const struct stream_handler handlers[2] = {
    {.data = on_data_0, .eof = on_eof_0, .ended = on_ended},
    {.data = on_data_1, .eof = on_eof_1, .ended = on_ended},
};

static bool way_init(struct pair *p, bool listener, struct stream *in, struct stream *out)
{
    struct way *w = &p->ways[listener];

    *w = (struct way){.pair = p, .in = in, .out = out, .from_listener = listener};
    list_init(&w->pieces);
    w->timer = event_new(p->relay->opts.base, -1, 0, on_way_timer, w);
    return w->timer != NULL;
}

static void on_accepted(void *user, struct stream *dialer, const char *peer)
{
    struct relay *r = user;
    struct pair *p = calloc(1, sizeof *p);
    struct stream *listener = NULL;
    struct tcp_options o = {0};
    uint64_t key = prng_key(r->opts.plan->seed, r->opts.plan->replicate, "relay");

    if (!p || tcp_dial(r->opts.base, r->target, &o, &listener) < 0) {
        stream_free(dialer, true);
        free(p);
        return;
    }
    p->relay = r;
    p->latency = prng_derive(key, (uint64_t)r->opts.from << 32 | r->opts.to, (uint32_t)r->connections++);
    list_push_back(&r->pairs, &p->link);
    if (!way_init(p, false, dialer, listener) || !way_init(p, true, listener, dialer)) {
        p->ways[0].in = dialer;
        p->ways[1].in = listener;
        pair_free(p, true);
        return;
    }
    stream_set_handler(dialer, &handlers[0], p);
    stream_set_handler(listener, &handlers[1], p);
}

/* Cuts
 * ------------------------------------------------------------------------------------------------------------
 */

static int open_listener(struct relay *r)
{
    return tcp_listener_new(r->opts.base, r->listen, NULL, on_accepted, r, &r->listener);
}

static void cut(struct relay *r)
{
    tcp_listener_free(r->listener);
    r->listener = NULL;
    while (!list_is_empty(&r->pairs)) pair_free(container_of(list_first(&r->pairs), struct pair, link), true);
}

/* Opens or cuts as the time says, and waits for the next change. */
static void apply_faults(struct relay *r)
{
    nsec_t now = relay_now(r), next = NSEC_MAX;

    for (uint32_t i = 0; i < r->opts.plan->fault_count; i++) {
        const struct plan_fault *f = &r->opts.plan->faults[i];
        nsec_t end = nsec_add(f->at_ns, f->for_ns);

        if (f->kind != FAULT_LINK_CUT || !concerns(r, f)) continue;
        if (f->at_ns > now && f->at_ns < next) next = f->at_ns;
        if (end > now && end < next) next = end;
    }
    if (fault_now(r, FAULT_LINK_CUT, now)) {
        if (r->listener) cut(r);
    } else if (!r->listener) {
        open_listener(r);
    }
    if (next != NSEC_MAX) timer_at(r, r->fault_timer, next);
}

static void on_fault_timer(evutil_socket_t fd, short what, void *arg)
{
    apply_faults(arg);
}

int relay_new(const struct relay_options *o, struct relay **ret)
{
    struct relay *r = calloc(1, sizeof *r);
    int error = -ENOMEM;

    if (!r) return -ENOMEM;
    r->opts = *o;
    list_init(&r->pairs);
    r->listen = strdup(o->listen);
    r->target = strdup(o->target);
    r->fault_timer = event_new(o->base, -1, 0, on_fault_timer, r);
    if (r->listen && r->target && r->fault_timer) error = open_listener(r);
    if (error < 0) {
        relay_free(r);
        return error;
    }
    *ret = r;
    return 0;
}

void relay_start(struct relay *r, uint64_t epoch_ns)
{
    r->epoch_ns = epoch_ns;
    r->started = true;
    apply_faults(r);
}

void relay_free(struct relay *r)
{
    if (!r) return;
    cut(r);
    if (r->fault_timer) event_free(r->fault_timer);
    free(r->listen);
    free(r->target);
    free(r);
}
