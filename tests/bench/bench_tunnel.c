/*
 * What a tunnel costs in CPU time: 400 kB streams and a small request, layer by layer, both ends
 * and the loopback in one process on one core. Prints one line for each set of layers.
 */
#include <event2/buffer.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "sim/base/panic.h"
#include "tests/live/tunnel_stack.h"

enum {
    SMALL = 100,
    BULK = 400 * 1000,
    SMALL_ROUNDS = 4000,
    BULK_ROUNDS = 400,
    FRESH_ROUNDS = 300,
    ENDS_MAX = 8192
};

/* Either end of a stream. */
struct end {
    struct stream *stream;
    bool echoes;
    size_t received, wanted;
    int done, over;
};

static struct end ends[ENDS_MAX]; /* the connector's */
static unsigned n_ends;
static uint8_t zeros[BULK];

static void on_data(void *user, struct evbuffer *in)
{
    struct end *e = user;
    size_t len = evbuffer_get_length(in);
    e->received += len;
    if (e->echoes)
        stream_write(e->stream, in);
    else
        evbuffer_drain(in, len);
    stream_consumed(e->stream, len);
    if (e->received >= e->wanted) e->done = 1;
}

static void on_eof(void *user)
{
    struct end *e = user;
    stream_shutdown(e->stream);
}

static void on_ended(void *user, enum stream_end end, const char *what)
{
    struct end *e = user;
    e->over = 1;
    e->done = 1;
    if (!e->echoes) return;
    stream_free(e->stream, false);
    e->stream = NULL;
}

static const struct stream_handler handler = {.data = on_data, .eof = on_eof, .ended = on_ended};

static void on_arrived(void *user, struct stream *top)
{
    ASSERT(n_ends < ENDS_MAX);
    struct end *e = &ends[n_ends++];
    *e = (struct end){.stream = top, .echoes = true};
    stream_set_handler(top, &handler, e);
}

/* CPU time, so that what else the machine does hardly shows: one process does all the work and never waits.
 */
static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void run(struct tunnel_stack *t, const int *flag)
{
    while (!*flag) event_base_loop(t->base, EVLOOP_ONCE);
}

/* Sends `len` bytes and waits until they are back. */
static void round_trip(struct tunnel_stack *t, struct end *e, struct evbuffer *bytes, size_t len)
{
    evbuffer_add_reference(bytes, zeros, len, NULL, NULL);
    e->received = 0;
    e->wanted = len;
    e->done = 0;
    stream_write(e->stream, bytes);
    run(t, &e->done);
    ASSERT(!e->over);
}

static void end_open(struct tunnel_stack *t, struct end *e)
{
    *e = (struct end){.stream = tunnel_stack_open(t)};
    stream_set_handler(e->stream, &handler, e);
}

static void end_close(struct tunnel_stack *t, struct end *e)
{
    stream_shutdown(e->stream);
    run(t, &e->over);
    stream_free(e->stream, false);
}

/* µs a round trip of `len` bytes on a stream that is open, or on a new one for each. */
static double measure(struct tunnel_stack *t, size_t len, int rounds, bool fresh)
{
    struct evbuffer *bytes = evbuffer_new();
    struct end e;
    double start = 0;
    end_open(t, &e);
    for (int i = -rounds / 10; i < rounds; i++) {
        if (i == 0) start = now_us();
        round_trip(t, &e, bytes, len);
        if (!fresh) continue;
        end_close(t, &e);
        end_open(t, &e);
    }
    double took = now_us() - start;
    end_close(t, &e);
    evbuffer_free(bytes);
    return took / rounds;
}

static void report(const char *name, unsigned layers)
{
    struct tunnel_stack t;
    n_ends = 0;
    tunnel_stack_init(&t, layers, on_arrived, NULL);
    run(&t, &t.ready);
    double small = measure(&t, SMALL, SMALL_ROUNDS, false);
    double fresh = measure(&t, SMALL, FRESH_ROUNDS, true);
    double bulk = measure(&t, BULK, BULK_ROUNDS, false);
    double fresh_bulk = measure(&t, BULK, FRESH_ROUNDS, true);
    printf(
        "%-34s small %6.1f us   on a new stream %7.1f us   400 kB %7.0f MB/s   on a new stream %6.0f MB/s\n",
        name, small, fresh, 2.0 * BULK / bulk, 2.0 * BULK / fresh_bulk);
    tunnel_stack_deinit(&t);
}

int main(void)
{
    report("HTTP/2", 0);
    report("HTTP/2 in TLS", STACK_OUTER_TLS);
    report("WebSocket in HTTP/2 in TLS", STACK_OUTER_TLS | STACK_WS);
    report("TLS in WebSocket in HTTP/2 in TLS", STACK_ALL);
    return 0;
}
