#include "tests/live/pair_stream.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <stdlib.h>

#include "sim/base/panic.h"
#include "sim/base/prng.h"
#include "sim/live/stream_front.h"

struct pair;

struct pair_end {
    struct stream stream;
    struct stream_front front;
    struct pair *pair;
    struct pair_end *peer;
    struct event move; /* takes the next piece across */
    struct evbuffer *out;
    size_t unconsumed, peak;
    bool held, shut, fin_sent, above_low, freed;
};

struct pair {
    struct pair_options options;
    struct prng prng;
    struct pair_end ends[2];
};

static struct pair_end *end_of(const struct stream *s)
{
    return (struct pair_end *)s;
}

/* In the next turn of the loop: with what is due at once, two streams would keep a turn going until all is
 * through. */
static void move_soon(struct pair_end *e)
{
    event_add(&e->move, &(struct timeval){0});
}

static void over(struct pair_end *e, enum stream_end end, const char *what)
{
    if (e->freed) return;
    front_end(&e->front, end, what);
    front_defer(&e->front);
}

static void note_peak(struct pair_end *e)
{
    size_t size = evbuffer_get_length(e->out) + e->peer->unconsumed;
    if (size > e->peak) e->peak = size;
}

static void finish_direction(struct pair_end *e)
{
    e->fin_sent = true;
    if (!e->peer->freed) {
        front_eof(&e->peer->front);
        front_defer(&e->peer->front);
    }
    if (!e->peer->fin_sent) return;
    over(e, STREAM_END_CLEAN, NULL);
    over(e->peer, STREAM_END_CLEAN, NULL);
}

static size_t piece(struct pair_end *e)
{
    struct pair *p = e->pair;
    size_t n = evbuffer_get_length(e->out);
    size_t room = p->options.window > e->peer->unconsumed ? p->options.window - e->peer->unconsumed : 0;
    size_t max = p->options.seed ? 1 + prng_below(&p->prng, p->options.chunk_max) : p->options.chunk_max;
    if (n > room) n = room;
    return n > max ? max : n;
}

static void deliver(struct pair_end *e, size_t n)
{
    struct pair_end *peer = e->peer;
    if (peer->freed || peer->front.over) {
        evbuffer_drain(e->out, n);
        return;
    }
    ASSERT(evbuffer_remove_buffer(e->out, peer->front.in, n) == (int)n);
    peer->unconsumed += n;
    front_data(&peer->front);
    front_defer(&peer->front);
}

static void on_move(evutil_socket_t fd, short events, void *user)
{
    struct pair_end *e = user;
    if (e->held || e->fin_sent || e->front.over) return;
    size_t n = piece(e);
    if (n > 0) deliver(e, n);
    if (e->above_low && evbuffer_get_length(e->out) <= STREAM_LOW_MARK && !e->freed) {
        e->above_low = false;
        front_writable(&e->front);
        front_defer(&e->front);
    }
    if (evbuffer_get_length(e->out) > 0) {
        if (n > 0) move_soon(e);
    } else if (e->shut) {
        finish_direction(e);
    }
}

static void pair_set_handler(struct stream *s, const struct stream_handler *h, void *user)
{
    front_set_handler(&end_of(s)->front, h, user);
}

static struct evbuffer *pair_input(struct stream *s)
{
    return end_of(s)->front.in;
}

static void pair_write(struct stream *s, struct evbuffer *bytes)
{
    struct pair_end *e = end_of(s);
    if (e->shut || e->front.over) {
        evbuffer_drain(bytes, evbuffer_get_length(bytes));
        return;
    }
    ASSERT(evbuffer_add_buffer(e->out, bytes) == 0);
    if (evbuffer_get_length(e->out) > STREAM_LOW_MARK) e->above_low = true;
    note_peak(e);
    move_soon(e);
}

static size_t pair_pending(const struct stream *s)
{
    return evbuffer_get_length(end_of(s)->out);
}

static void pair_consumed(struct stream *s, size_t bytes)
{
    struct pair_end *e = end_of(s);
    ASSERT(bytes <= e->unconsumed);
    e->unconsumed -= bytes;
    move_soon(e->peer);
}

static void pair_shutdown(struct stream *s)
{
    struct pair_end *e = end_of(s);
    if (e->shut || e->front.over) return;
    e->shut = true;
    move_soon(e);
}

static void pair_release(struct pair *p)
{
    for (int i = 0; i < 2; i++) {
        event_del(&p->ends[i].move);
        evbuffer_free(p->ends[i].out);
    }
    free(p);
}

static void pair_free(struct stream *s, bool abort)
{
    struct pair_end *e = end_of(s);
    bool was_over = e->front.over;
    pair_shutdown(s);
    front_deinit(&e->front);
    e->freed = true;
    e->unconsumed = 0;
    if (abort && !was_over) {
        e->fin_sent = true;
        over(e->peer, STREAM_END_RESET, "pair: reset by the peer");
    }
    move_soon(e->peer);
    if (e->peer->freed) pair_release(e->pair);
}

static const struct stream_ops pair_ops = {
    .set_handler = pair_set_handler,
    .input = pair_input,
    .write = pair_write,
    .pending = pair_pending,
    .consumed = pair_consumed,
    .shutdown = pair_shutdown,
    .free = pair_free,
};

static void end_init(struct pair *p, struct pair_end *e, struct pair_end *peer, struct event_base *base)
{
    e->stream.ops = &pair_ops;
    e->pair = p;
    e->peer = peer;
    e->out = evbuffer_new();
    ASSERT(e->out && front_init(&e->front, base, NULL, e) == 0);
    event_assign(&e->move, base, -1, 0, on_move, e);
    front_up(&e->front);
}

void pair_stream_new(struct event_base *base, const struct pair_options *o, struct stream **ret_a,
                     struct stream **ret_b)
{
    struct pair *p = calloc(1, sizeof(*p));
    ASSERT(p);
    if (o) p->options = *o;
    if (!p->options.window) p->options.window = STREAM_WINDOW;
    if (!p->options.chunk_max) p->options.chunk_max = SIZE_MAX / 2;
    p->prng = prng_stream(p->options.seed, 0, "pair", 0, 0);
    end_init(p, &p->ends[0], &p->ends[1], base);
    end_init(p, &p->ends[1], &p->ends[0], base);
    *ret_a = &p->ends[0].stream;
    *ret_b = &p->ends[1].stream;
}

void pair_stream_cut(struct stream *s)
{
    struct pair_end *e = end_of(s);
    over(e, STREAM_END_RESET, "pair: cut");
    over(e->peer, STREAM_END_RESET, "pair: cut");
}

void pair_stream_hold(struct stream *s, bool held)
{
    struct pair_end *e = end_of(s);
    e->held = held;
    if (!held) move_soon(e);
}

size_t pair_stream_peak(const struct stream *s)
{
    return end_of(s)->peak;
}
