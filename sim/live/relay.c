#include "sim/live/relay.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sim/base/list.h"
#include "sim/live/tcp.h"
#include "sim/plan/fault_rules.h"

/* What a relay takes of its senders before it is due, over all of its connections. Beyond that each has its
 * STREAM_WINDOW. */
#define HELD_MAX ((size_t)64 << 20)

enum what { WHAT_BYTES, WHAT_EOF, WHAT_END, WHAT_RESET };

/* A piece of the stream, or how it ended, that waits for its time. */
struct piece {
    struct list link;
    enum what what;
    nsec_t due;
    struct evbuffer *bytes; /* WHAT_BYTES */
    size_t size;            /* of them */
    bool ahead;             /* the sender was given room for as many already */
};

struct pair;

/* One direction: bytes that came from `in` go to `out`. */
struct way {
    struct pair *pair;
    struct stream *in, *out;
    struct list pieces;
    struct event *timer;
    nsec_t last_due;
    bool from_listener; /* what the dialed side sends */
};

struct pair {
    struct list link;
    struct relay *relay;
    struct way ways[2];
    struct event *dial_timer; /* until `up`: for that, or for when the dialer has lost its patience */
    bool too_late;            /* that comes first */
    bool up;                  /* the handshake is through: the listener was dialed */
    bool lost;                /* something vanished on a half-open link: the stream has a hole */
    struct prng latency;
};

struct relay {
    struct relay_options opts;
    char *listen, *target;
    struct tcp_listener *listener;
    struct list pairs;
    struct event *fault_timer;
    nsec_t wire_free_at[2]; /* when the link is free again, in each direction */
    size_t held;            /* bytes of pieces that were taken ahead */
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
    return fault_is_of_link(f) && f->link == r->opts.link && fault_concerns(f, r->opts.from, r->opts.to);
}

static const struct plan_fault *fault_now(const struct relay *r, enum fault_kind kind, nsec_t now)
{
    const struct relay_options *o = &r->opts;

    return r->started ? plan_link_fault(o->plan, kind, o->link, o->from, o->to, now) : NULL;
}

static nsec_t held(const struct relay *r, nsec_t at, bool answers_dial)
{
    const struct relay_options *o = &r->opts;

    return r->started ? plan_link_held(o->plan, o->link, o->from, o->to, at, answers_dial) : at;
}

/* Pairs
 * ----------------------------------------------------------------------------------------------------------
 */

static void piece_free(struct relay *r, struct piece *p)
{
    if (p->ahead) r->held -= p->size;
    list_remove(&p->link);
    if (p->bytes) evbuffer_free(p->bytes);
    free(p);
}

static void way_clear(struct way *w)
{
    while (!list_is_empty(&w->pieces))
        piece_free(w->pair->relay, container_of(list_first(&w->pieces), struct piece, link));
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
    if (p->dial_timer) event_free(p->dial_timer);
    free(p);
}

static void hand_on_bytes(struct way *w, struct piece *p)
{
    if (!p->ahead) stream_consumed(w->in, p->size);
    stream_write(w->out, p->bytes);
    piece_free(w->pair->relay, p);
}

/* False: the pair is gone. What vanishes is lost for good: a peer that never hears of an end waits until it
 * gives up itself. No TCP connection lives on with a hole in it, so this one ends when something is to be
 * handed on after the fault. */
static bool hand_on(struct way *w, struct piece *p)
{
    struct pair *pair = w->pair;
    bool half_open = fault_now(pair->relay, FAULT_LINK_HALF_OPEN, p->due);
    enum what what = p->what;

    if (half_open && w->from_listener) {
        pair->lost = true;
        if (!p->ahead) stream_consumed(w->in, p->size);
        piece_free(pair->relay, p);
        return true;
    }
    if (pair->lost && !half_open) what = WHAT_RESET;
    if (what == WHAT_BYTES) {
        hand_on_bytes(w, p);
        return true;
    }
    piece_free(pair->relay, p);
    if (what == WHAT_EOF) {
        stream_shutdown(w->out);
        return true;
    }
    pair_free(pair, what == WHAT_RESET);
    return false;
}

/* Hands on what is due, as far as the receiver takes it. The pair may be gone afterwards. */
static void way_flush(struct way *w)
{
    struct relay *r = w->pair->relay;
    nsec_t now = relay_now(r);

    if (!w->pair->up) return;
    while (!list_is_empty(&w->pieces) && stream_pending(w->out) <= STREAM_HIGH_MARK) {
        struct piece *p = container_of(list_first(&w->pieces), struct piece, link);

        if (p->due > now) {
            timer_at(r, w->timer, p->due);
            return;
        }
        if (!hand_on(w, p)) return;
    }
}

static void on_way_timer(evutil_socket_t fd, short what, void *arg)
{
    way_flush(arg);
}

static nsec_t latency_at(struct pair *p, nsec_t now)
{
    const struct relay_options *o = &p->relay->opts;
    nsec_t latency = dist_sample(&o->plan->links[o->link].latency_ns, &p->latency);

    return p->relay->started ? nsec_add(latency, plan_link_delay(o->plan, o->link, o->from, o->to, now))
                             : latency;
}

static uint64_t rate_at(const struct relay *r, nsec_t now)
{
    const struct relay_options *o = &r->opts;

    return r->started ? plan_link_rate(o->plan, o->link, o->from, o->to, now)
                      : o->plan->links[o->link].bytes_per_second;
}

/* When `n` bytes that are sent now are through: paced by the rate, then
 * delayed, and held back while the link is stalled; never before what came earlier. */
static nsec_t due_time(struct way *w, size_t n)
{
    struct relay *r = w->pair->relay;
    nsec_t due = relay_now(r);
    uint64_t rate = rate_at(r, due);

    if (rate) due = wire_pass(&r->wire_free_at[w->from_listener], due, n, rate);
    due = held(r, nsec_add(due, latency_at(w->pair, due)), false);
    return w->last_due = nsec_max(due, w->last_due);
}

/* How long a link is must not limit what goes through it: the sender is given room at once for what it sent,
 * within bounds. */
static void take_ahead(struct way *w, struct piece *p)
{
    struct relay *r = w->pair->relay;

    if (p->size > HELD_MAX - r->held) return;
    p->ahead = true;
    r->held += p->size;
    stream_consumed(w->in, p->size);
}

/* Takes all of `in` (NULL: nothing). False: out of memory. */
static bool way_add(struct way *w, enum what what, struct evbuffer *in)
{
    struct piece *p = malloc(sizeof *p);

    if (!p) return false;
    *p = (struct piece){.what = what, .size = in ? evbuffer_get_length(in) : 0};
    if (in && !(p->bytes = evbuffer_new())) {
        free(p);
        return false;
    }
    if (w->pair->up) p->due = due_time(w, p->size);
    if (in) evbuffer_add_buffer(p->bytes, in);
    list_push_back(&w->pieces, &p->link);
    take_ahead(w, p);
    return true;
}

/* What finds no memory stays in `in`, and so stops the peer. */
static void on_data(struct way *w, struct evbuffer *in)
{
    if (way_add(w, WHAT_BYTES, in)) way_flush(w);
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

static void on_end(struct way *w, enum what what)
{
    if (w->pair->up && way_add(w, what, NULL))
        way_flush(w);
    else
        pair_free(w->pair, true);
}

static void on_eof_0(void *user)
{
    on_end(way_from(user, false), WHAT_EOF);
}
static void on_eof_1(void *user)
{
    on_end(way_from(user, true), WHAT_EOF);
}

/* The end of one side is the end of both; a clean one after both had said all. */
static void on_ended_0(void *user, enum stream_end end, const char *what)
{
    on_end(way_from(user, false), end == STREAM_END_CLEAN ? WHAT_END : WHAT_RESET);
}
static void on_ended_1(void *user, enum stream_end end, const char *what)
{
    on_end(way_from(user, true), end == STREAM_END_CLEAN ? WHAT_END : WHAT_RESET);
}

/* The dialer takes more: it is the second way's output. */
static void on_writable_0(void *user)
{
    way_flush(way_from(user, true));
}
static void on_writable_1(void *user)
{
    way_flush(way_from(user, false));
}

static const struct stream_handler handlers[2] = {
    {.data = on_data_0, .writable = on_writable_0, .eof = on_eof_0, .ended = on_ended_0},
    {.data = on_data_1, .writable = on_writable_1, .eof = on_eof_1, .ended = on_ended_1},
};

static void way_init(struct way *w, struct pair *p)
{
    *w = (struct way){.pair = p, .from_listener = w == &p->ways[1]};
    list_init(&w->pieces);
    w->timer = event_new(p->relay->opts.base, -1, 0, on_way_timer, w);
}

/* What was said before the connection was open is sent now. */
static void send_early(struct way *w)
{
    list_for_each(p, &w->pieces, struct piece, link) p->due = due_time(w, p->size);
}

/* The handshake is through: now the listener hears of the connection. */
static void come_up(struct pair *p)
{
    const struct relay *r = p->relay;
    struct stream *dialer = p->ways[0].in, *listener;
    struct tcp_options o = {0};

    if (tcp_dial(r->opts.base, r->target, &o, &listener) < 0) {
        pair_free(p, true);
        return;
    }
    p->up = true;
    p->ways[0].out = p->ways[1].in = listener;
    p->ways[1].out = dialer;
    stream_set_handler(listener, &handlers[1], p);
    send_early(&p->ways[0]);
    way_flush(&p->ways[0]);
}

static void on_dial_timer(evutil_socket_t fd, short what, void *arg)
{
    struct pair *p = arg;

    if (p->too_late)
        pair_free(p, true);
    else
        come_up(p);
}

/* The kernel has long said yes to the dialer, but what it sends leaves when TCP's handshake would have been
 * through. */
static void shake_hands(struct pair *p)
{
    const struct relay *r = p->relay;
    const struct plan_link *link = &r->opts.plan->links[r->opts.link];
    nsec_t now = relay_now(r), up_at = now;

    if (link->dial_round_trips) {
        up_at = held(r, nsec_add(up_at, latency_at(p, now)), false);
        up_at = held(r, nsec_add(up_at, latency_at(p, now)), true);
    }
    p->too_late = link->dial_timeout_ns && up_at - now > link->dial_timeout_ns;
    timer_at(r, p->dial_timer, p->too_late ? nsec_add(now, link->dial_timeout_ns) : up_at);
}

static void on_accepted(void *user, struct stream *dialer, const char *peer)
{
    struct relay *r = user;
    struct pair *p = calloc(1, sizeof *p);
    uint64_t key = prng_key(r->opts.plan->seed, r->opts.plan->replicate, "relay");

    if (!p) {
        stream_free(dialer, true);
        return;
    }
    p->relay = r;
    p->latency = prng_derive(key, (uint64_t)r->opts.from << 32 | r->opts.to, (uint32_t)r->connections++);
    p->dial_timer = event_new(r->opts.base, -1, 0, on_dial_timer, p);
    list_push_back(&r->pairs, &p->link);
    for (int i = 0; i < 2; i++) way_init(&p->ways[i], p);
    p->ways[0].in = dialer;
    if (!p->ways[0].timer || !p->ways[1].timer || !p->dial_timer) {
        pair_free(p, true);
        return;
    }
    stream_set_handler(dialer, &handlers[0], p);
    shake_hands(p);
}

/* Cuts, and a target that is down
 * ------------------------------------------------------------------------------------------------------------
 */

static int open_listener(struct relay *r)
{
    return tcp_listener_new(r->opts.base, r->listen, NULL, on_accepted, r, &r->listener);
}

static void close_listener(struct relay *r)
{
    tcp_listener_free(r->listener);
    r->listener = NULL;
}

static void cut(struct relay *r)
{
    close_listener(r);
    while (!list_is_empty(&r->pairs)) pair_free(container_of(list_first(&r->pairs), struct pair, link), true);
}

static bool closes(const struct relay *r, const struct plan_fault *f)
{
    return f->kind == FAULT_KILL ? fault_hits(f, r->opts.to) : f->kind == FAULT_LINK_CUT && concerns(r, f);
}

static nsec_t next_change(const struct relay *r, nsec_t now)
{
    nsec_t next = NSEC_MAX;

    for (uint32_t i = 0; i < r->opts.plan->fault_count; i++) {
        const struct plan_fault *f = &r->opts.plan->faults[i];
        nsec_t end = f->for_ns ? nsec_add(f->at_ns, f->for_ns) : NSEC_MAX;

        if (!closes(r, f)) continue;
        if (f->at_ns > now) next = nsec_min(next, f->at_ns);
        if (end > now) next = nsec_min(next, end);
    }
    return next;
}

/* Opens, closes or cuts as the time says, and waits for the next change. Who dials a target that is down is
 * refused, as without a relay; the target's own end cuts what was there. */
static void apply_faults(struct relay *r)
{
    nsec_t now = relay_now(r), next = next_change(r, now);

    if (fault_now(r, FAULT_LINK_CUT, now)) {
        cut(r);
    } else if (plan_is_killed(r->opts.plan, r->opts.to, now)) {
        close_listener(r);
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
