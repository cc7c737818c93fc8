#include "sim/live/h2_tunnel.h"

#include <check.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/prng.h"
#include "tests/live/pair_stream.h"
#include "tests/live/stream_probe.h"

enum { STREAMS = 128 };

static struct event_base *base;

/* One end of a tunnel, and what it was told. */
struct side {
    struct h2 *h2;
    struct stream *below;
    int ready, draining, closed;
    enum stream_end end;
    char what[200];
    bool free_when_ready, free_when_opened, free_when_draining, free_when_closed;
    bool bad;
    /* The connector's. */
    int status;     /* what streams are answered with; 0: not at once */
    unsigned flags; /* of their probes */
    bool drop;      /* frees them at once */
    int opened;
    struct probe streams[STREAMS];
    char authority[64], path[64], upgrade[64], first_header[64];
};

struct two {
    struct side edge, connector;
    struct probe streams[STREAMS]; /* the edge's */
};

static void free_h2(struct side *s)
{
    h2_free(s->h2, false);
    s->h2 = NULL;
}

static void on_ready(void *user)
{
    struct side *s = user;
    if (s->ready || s->closed) s->bad = true;
    s->ready++;
    if (s->free_when_ready) free_h2(s);
}

static void on_opened(void *user, struct stream *stream, const struct h2_request *request)
{
    struct side *s = user;
    if (!s->ready || s->closed) s->bad = true;
    struct probe *p = &s->streams[s->opened++ % STREAMS];
    snprintf(s->authority, sizeof(s->authority), "%s", request->authority);
    snprintf(s->path, sizeof(s->path), "%s", request->path);
    snprintf(s->upgrade, sizeof(s->upgrade), "%s", request->upgrade ? request->upgrade : "");
    if (request->headers->name)
        snprintf(s->first_header, sizeof(s->first_header), "%s=%s", request->headers->name,
                 request->headers->value);
    if (s->drop) {
        stream_free(stream, false);
        return;
    }
    probe_init(p, stream, s->flags);
    if (s->status) h2_stream_respond(stream, s->status);
    if (s->free_when_opened) free_h2(s);
}

static void on_draining(void *user)
{
    struct side *s = user;
    if (s->draining || s->closed) s->bad = true;
    s->draining++;
    if (s->free_when_draining) free_h2(s);
}

static void on_closed(void *user, enum stream_end end, const char *what)
{
    struct side *s = user;
    if (s->closed) s->bad = true;
    s->closed++;
    s->end = end;
    snprintf(s->what, sizeof(s->what), "%s", what ? what : "");
    /* Each stream was told before. */
    for (int i = 0; i < s->opened && i < STREAMS; i++)
        if (s->streams[i].stream && !s->streams[i].ended) s->bad = true;
    if (s->free_when_closed) free_h2(s);
}

static const struct h2_callbacks callbacks = {
    .ready = on_ready,
    .opened = on_opened,
    .draining = on_draining,
    .closed = on_closed,
};

static void two_new(struct two *t, const struct pair_options *line, const struct h2_options *o)
{
    memset(t, 0, sizeof(*t));
    t->connector.status = 200;
    t->connector.flags = PROBE_ECHO | PROBE_CHECK;
    pair_stream_new(base, line, &t->edge.below, &t->connector.below);
    ck_assert_int_eq(h2_edge_new(base, t->edge.below, o, &callbacks, &t->edge, &t->edge.h2), 0);
    ck_assert_int_eq(
        h2_connector_new(base, t->connector.below, o, &callbacks, &t->connector, &t->connector.h2), 0);
}

static void two_free(struct two *t)
{
    ck_assert(!t->edge.bad);
    ck_assert(!t->connector.bad);
    for (int i = 0; i < STREAMS; i++) {
        ck_assert(!t->streams[i].bad);
        ck_assert(!t->connector.streams[i].bad);
        probe_deinit(&t->streams[i]);
        probe_deinit(&t->connector.streams[i]);
    }
    h2_free(t->edge.h2, true);
    h2_free(t->connector.h2, true);
}

static const struct h2_request request = {.authority = "mcp.tunnel.example", .upgrade = H2_UPGRADE_WEBSOCKET};

static struct probe *open_stream(struct two *t, int i, unsigned flags)
{
    struct stream *s;
    ck_assert_int_eq(h2_edge_open(t->edge.h2, &request, &s), 0);
    probe_init(&t->streams[i], s, flags);
    return &t->streams[i];
}

static void setup(void)
{
    base = event_base_new();
}

static void teardown(void)
{
    event_base_free(base);
}

/* ---- streams ---- */

static const struct pair_options lines[] = {
    {0},
    {.chunk_max = 1},
    {.chunk_max = 3000, .seed = 1},
    {.chunk_max = 7, .seed = 2},
    {.window = 5000, .chunk_max = 4096, .seed = 3},
};

START_TEST(bytes_come_back_and_the_end_is_clean)
{
    struct two t;
    uint64_t len = lines[_i].chunk_max && lines[_i].chunk_max < 100 ? 20000 : 3000000;
    two_new(&t, &lines[_i], NULL);
    struct probe *p = open_stream(&t, 0, PROBE_CHECK);
    probe_send(p, len, true);
    ck_assert(run_until(base, &p->ended));
    ck_assert_int_eq(p->end, STREAM_END_CLEAN);
    ck_assert_int_eq(p->ready, 1);
    ck_assert_uint_eq(p->received, len);
    ck_assert_int_eq(h2_stream_status(p->stream), 200);
    ck_assert(run_until(base, &t.connector.streams[0].ended));
    ck_assert_int_eq(t.connector.streams[0].end, STREAM_END_CLEAN);
    ck_assert_str_eq(t.connector.authority, "mcp.tunnel.example");
    ck_assert_str_eq(t.connector.path, "/");
    ck_assert_str_eq(t.connector.upgrade, "websocket");
    struct h2_counters c = h2_counters(t.edge.h2);
    ck_assert_uint_eq(c.opened, 1);
    ck_assert_uint_eq(c.active, 0);
    ck_assert_uint_eq(c.payload_in, len);
    ck_assert_uint_eq(c.payload_out, len);
    ck_assert_uint_eq(c.reset + c.refused, 0);
    two_free(&t);
}
END_TEST

START_TEST(headers_are_passed_on)
{
    struct two t;
    struct stream *s;
    struct http_header extra[] = {{"x-wt-request", "42"}, {NULL, NULL}};
    two_new(&t, NULL, NULL);
    struct h2_request r = {
        .authority = "a.b:443", .path = "/p?q=1", .upgrade = H2_UPGRADE_CONTROL, .headers = extra};
    ck_assert_int_eq(h2_edge_open(t.edge.h2, &r, &s), 0);
    probe_init(&t.streams[0], s, 0);
    ck_assert(run_until(base, &t.streams[0].ready));
    ck_assert_str_eq(t.connector.authority, "a.b:443");
    ck_assert_str_eq(t.connector.path, "/p?q=1");
    ck_assert_str_eq(t.connector.upgrade, "control-stream");
    ck_assert_str_eq(t.connector.first_header, "x-wt-request=42");
    two_free(&t);
}
END_TEST

START_TEST(bad_headers_are_refused)
{
    struct two t;
    struct stream *s;
    static char big[H2_HEADER_BYTES_MAX];
    memset(big, 'x', sizeof(big) - 1);
    struct http_header many[H2_HEADERS_MAX + 1] = {{NULL, NULL}};
    for (int i = 0; i < H2_HEADERS_MAX; i++) many[i] = (struct http_header){"a", "b"};
    const struct h2_request cases[] = {
        {.authority = ""},
        {.authority = "a b"},
        {.authority = "a", .path = "p"},
        {.authority = "a", .path = "/ "},
        {.authority = "a", .upgrade = "x\ny"},
        {.authority = "a", .headers = (struct http_header[]){{":status", "1"}, {NULL, NULL}}},
        {.authority = "a", .headers = (struct http_header[]){{"Upper", "1"}, {NULL, NULL}}},
        {.authority = "a", .headers = (struct http_header[]){{"a", "1\r\nb: 2"}, {NULL, NULL}}},
        {.authority = "a", .headers = (struct http_header[]){{"a", big}, {NULL, NULL}}},
        {.authority = "a", .headers = many},
    };
    two_new(&t, NULL, NULL);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        ck_assert_int_eq(h2_edge_open(t.edge.h2, &cases[i], &s), -EINVAL);
    ck_assert_uint_eq(h2_counters(t.edge.h2).active, 0);
    two_free(&t);
}
END_TEST

START_TEST(another_status_refuses_the_stream)
{
    struct two t;
    two_new(&t, NULL, NULL);
    t.connector.status = 502;
    struct probe *p = open_stream(&t, 0, 0);
    probe_send(p, 300000, false);
    ck_assert(run_until(base, &p->ended));
    ck_assert_int_eq(p->ready, 0);
    ck_assert_int_eq(p->end, STREAM_END_REFUSED);
    ck_assert_int_eq(h2_stream_status(p->stream), 502);
    ck_assert_ptr_nonnull(strstr(p->what, "502"));
    ck_assert_int_eq(t.connector.streams[0].ended, 1);
    ck_assert_int_eq(t.connector.streams[0].end, STREAM_END_CLEAN);
    ck_assert_uint_eq(h2_counters(t.edge.h2).refused, 1);
    ck_assert_uint_eq(h2_counters(t.connector.h2).refused, 1);
    /* With RST_STREAM neither side would see the end of it. */
    run_idle(base);
    ck_assert_uint_eq(h2_counters(t.edge.h2).active, 0);
    ck_assert_uint_eq(h2_counters(t.connector.h2).active, 0);
    ck_assert_uint_eq(h2_counters(t.edge.h2).reset, 0);
    two_free(&t);
}
END_TEST

START_TEST(an_answer_may_come_late_and_shut_down_at_once)
{
    struct two t;
    two_new(&t, NULL, NULL);
    t.connector.status = 0;
    t.connector.flags = PROBE_CHECK;
    struct probe *p = open_stream(&t, 0, PROBE_CHECK);
    probe_send(p, 50000, true);
    ck_assert(run_until(base, &t.connector.opened));
    run_idle(base);
    struct probe *c = &t.connector.streams[0];
    ck_assert_int_eq(c->ready + c->eof, 0);
    ck_assert_uint_eq(c->received, 0);
    probe_send(c, 70000, true);
    h2_stream_respond(c->stream, 200);
    ck_assert(run_until(base, &p->ended));
    ck_assert(run_until(base, &c->ended));
    ck_assert_uint_eq(p->received, 70000);
    ck_assert_uint_eq(c->received, 50000);
    ck_assert_int_eq(p->end, STREAM_END_CLEAN);
    ck_assert_int_eq(c->end, STREAM_END_CLEAN);
    two_free(&t);
}
END_TEST

/* Its user may have passed on what it was opened for: it is lost, and nobody may say that it was refused. */
START_TEST(an_unanswered_stream_that_is_freed_is_reset)
{
    struct two t;
    two_new(&t, NULL, NULL);
    t.connector.drop = true;
    struct probe *p = open_stream(&t, 0, 0);
    ck_assert(run_until(base, &p->ended));
    ck_assert_int_eq(p->end, STREAM_END_RESET);
    ck_assert_int_eq(h2_stream_status(p->stream), 0);
    ck_assert_uint_eq(h2_counters(t.edge.h2).refused, 0);
    two_free(&t);
}
END_TEST

START_TEST(many_streams_at_once)
{
    struct two t;
    two_new(&t, &(struct pair_options){.chunk_max = 20000, .seed = 5}, NULL);
    ck_assert(run_until(base, &t.edge.ready));
    for (int i = 0; i < STREAMS; i++) probe_send(open_stream(&t, i, PROBE_CHECK), 100000 + (uint64_t)i, true);
    for (int i = 0; i < STREAMS; i++) {
        ck_assert(run_until(base, &t.streams[i].ended));
        ck_assert_int_eq(t.streams[i].end, STREAM_END_CLEAN);
        ck_assert_uint_eq(t.streams[i].received, 100000 + (uint64_t)i);
    }
    ck_assert_uint_eq(h2_counters(t.edge.h2).opened, STREAMS);
    run_idle(base);
    ck_assert_uint_eq(h2_counters(t.connector.h2).active, 0);
    two_free(&t);
}
END_TEST

START_TEST(a_reader_that_holds_stops_its_stream_alone)
{
    struct two t;
    two_new(&t, NULL, NULL);
    t.connector.flags = PROBE_HOLD | PROBE_CHECK;
    struct probe *held = open_stream(&t, 0, 0);
    probe_send(held, 5000000, true);
    ck_assert(run_until(base, &held->ready));
    run_idle(base);
    run_idle(base);
    uint64_t sent = held->sent;
    run_idle(base);
    ck_assert_uint_eq(held->sent, sent);
    ck_assert_uint_ge(sent, 1 << 20);
    ck_assert_uint_lt(sent, (1 << 20) + 400000);
    ck_assert_uint_eq(evbuffer_get_length(stream_input(t.connector.streams[0].stream)), 1 << 20);
    /* Another stream is not stopped. */
    t.connector.flags = PROBE_ECHO | PROBE_CHECK;
    struct probe *other = open_stream(&t, 1, PROBE_CHECK);
    probe_send(other, 2000000, true);
    ck_assert(run_until(base, &other->ended));
    ck_assert_uint_eq(other->received, 2000000);
    ck_assert_int_eq(held->ended, 0);
    probe_resume(&t.connector.streams[0]);
    ck_assert(run_until(base, &t.connector.streams[0].eof));
    ck_assert_uint_eq(t.connector.streams[0].received, 5000000);
    ck_assert_int_ge(held->writable, 1);
    two_free(&t);
}
END_TEST

/* A small stream beside bulk waits for what is in the output, and not for the bulk. */
START_TEST(bulk_does_not_stop_small_streams)
{
    struct two t;
    two_new(&t, &(struct pair_options){.chunk_max = 4096}, NULL);
    struct probe *bulk[4];
    for (int i = 0; i < 4; i++) bulk[i] = open_stream(&t, i, PROBE_CHECK);
    for (int i = 0; i < 4; i++) probe_send(bulk[i], 50000000, true);
    ck_assert(run_until_count(base, &bulk[0]->received, 1000000));
    struct probe *small = open_stream(&t, 4, PROBE_CHECK);
    uint64_t before = h2_counters(t.edge.h2).payload_in;
    probe_send(small, 100, true);
    ck_assert(run_until(base, &small->ended));
    ck_assert_uint_lt(h2_counters(t.edge.h2).payload_in - before, 3000000);
    /* The four get their equal share. */
    uint64_t least = bulk[0]->received, most = least;
    for (int i = 1; i < 4; i++) {
        if (bulk[i]->received < least) least = bulk[i]->received;
        if (bulk[i]->received > most) most = bulk[i]->received;
    }
    ck_assert_uint_lt(most - least, 400000);
    ck_assert_uint_lt(pair_stream_peak(t.edge.below), STREAM_WINDOW + 2 * STREAM_HIGH_MARK);
    two_free(&t);
}
END_TEST

START_TEST(windows_do_not_leak_with_streams_that_are_cut)
{
    struct two t;
    two_new(&t, NULL, NULL);
    t.connector.flags = PROBE_HOLD;
    for (int i = 0; i < 30; i++) {
        struct probe *p = open_stream(&t, i, 0);
        struct probe *c = &t.connector.streams[i];
        probe_send(p, 600000, i % 3 == 0);
        ck_assert(run_until(base, &p->ready));
        for (int j = 0; j < 5; j++) run_idle(base);
        ck_assert_uint_eq(evbuffer_get_length(stream_input(c->stream)), 600000);
        if (i % 2) {
            stream_free(c->stream, i % 4 == 1);
            c->stream = NULL;
        } else {
            stream_free(p->stream, true);
            p->stream = NULL;
            ck_assert(run_until(base, &c->ended));
            ck_assert_int_eq(c->end, STREAM_END_RESET);
            probe_deinit(c);
        }
    }
    t.connector.flags = PROBE_ECHO | PROBE_CHECK;
    struct probe *last = open_stream(&t, 30, PROBE_CHECK);
    probe_send(last, 20000000, true);
    ck_assert(run_until(base, &last->ended));
    ck_assert_uint_eq(last->received, 20000000);
    two_free(&t);
}
END_TEST

START_TEST(more_streams_than_allowed_are_refused_at_once)
{
    struct two t;
    struct stream *s;
    two_new(&t, NULL, &(struct h2_options){.max_streams = 3});
    for (int i = 0; i < 3; i++) open_stream(&t, i, 0);
    ck_assert_int_eq(h2_edge_open(t.edge.h2, &request, &s), H2_E_FULL);
    ck_assert(run_until(base, &t.streams[2].ready));
    ck_assert_int_eq(h2_edge_open(t.edge.h2, &request, &s), H2_E_FULL);
    stream_free(t.streams[0].stream, true);
    t.streams[0].stream = NULL;
    struct probe *p = open_stream(&t, 3, 0);
    ck_assert(run_until(base, &p->ready));
    two_free(&t);
}
END_TEST

START_TEST(an_abort_is_a_reset_at_the_peer)
{
    struct two t;
    two_new(&t, NULL, NULL);
    struct probe *p = open_stream(&t, 0, 0), *q = open_stream(&t, 1, 0);
    ck_assert(run_until(base, &q->ready));
    stream_free(p->stream, true);
    p->stream = NULL;
    ck_assert(run_until(base, &t.connector.streams[0].ended));
    ck_assert_int_eq(t.connector.streams[0].end, STREAM_END_RESET);
    stream_free(t.connector.streams[1].stream, true);
    t.connector.streams[1].stream = NULL;
    ck_assert(run_until(base, &q->ended));
    ck_assert_int_eq(q->end, STREAM_END_RESET);
    ck_assert_uint_eq(h2_counters(t.edge.h2).reset, 2);
    two_free(&t);
}
END_TEST

START_TEST(an_abort_before_it_was_sent_leaves_nothing)
{
    struct two t;
    two_new(&t, NULL, NULL);
    open_stream(&t, 0, 0);
    stream_free(t.streams[0].stream, true);
    t.streams[0].stream = NULL;
    struct probe *p = open_stream(&t, 1, PROBE_CHECK);
    probe_send(p, 1000, true);
    ck_assert(run_until(base, &p->ended));
    ck_assert_int_eq(p->end, STREAM_END_CLEAN);
    ck_assert_int_le(t.connector.opened, 2);
    ck_assert_uint_eq(h2_counters(t.edge.h2).active, 0);
    two_free(&t);
}
END_TEST

START_TEST(freed_in_order_flushes)
{
    struct two t;
    two_new(&t, &(struct pair_options){.chunk_max = 999}, NULL);
    t.connector.flags = PROBE_CHECK | PROBE_SHUT_AT_EOF;
    struct probe *p = open_stream(&t, 0, 0);
    probe_send(p, 140000, false);
    stream_free(p->stream, false);
    p->stream = NULL;
    ck_assert(run_until(base, &t.connector.opened));
    ck_assert(run_until(base, &t.connector.streams[0].ended));
    ck_assert_uint_eq(t.connector.streams[0].received, 140000);
    ck_assert_int_eq(t.connector.streams[0].end, STREAM_END_CLEAN);
    two_free(&t);
}
END_TEST

START_TEST(a_freed_stream_does_not_linger_for_ever)
{
    struct two t;
    two_new(&t, NULL, &(struct h2_options){.linger_ns = 30 * NSEC_PER_MS});
    t.connector.flags = PROBE_CHECK;
    struct probe *p = open_stream(&t, 0, 0);
    probe_send(p, 1000, false);
    ck_assert(run_until(base, &p->ready));
    stream_free(p->stream, false);
    p->stream = NULL;
    ck_assert(run_until(base, &t.connector.streams[0].ended));
    ck_assert_int_eq(t.connector.streams[0].eof, 1);
    ck_assert_int_eq(t.connector.streams[0].end, STREAM_END_RESET);
    ck_assert_uint_eq(t.connector.streams[0].received, 1000);
    ck_assert_uint_eq(h2_counters(t.edge.h2).active, 0);
    two_free(&t);
}
END_TEST

/* ---- the connection ---- */

START_TEST(drained_by_the_connector)
{
    struct two t;
    struct stream *s;
    two_new(&t, NULL, NULL);
    struct probe *p = open_stream(&t, 0, PROBE_CHECK);
    ck_assert(run_until(base, &p->ready));
    probe_send(p, 2000000, false);
    h2_drain(t.connector.h2);
    /* Not known at the edge yet: still served. */
    struct probe *q = open_stream(&t, 1, PROBE_CHECK);
    ck_assert(run_until(base, &t.edge.draining));
    ck_assert_int_eq(h2_edge_open(t.edge.h2, &request, &s), H2_E_GOING);
    ck_assert(run_until(base, &q->ready));
    probe_send(q, 1000, true);
    ck_assert(run_until(base, &q->ended));
    ck_assert_int_eq(q->end, STREAM_END_CLEAN);
    ck_assert(run_until_count(base, &p->received, 2000000));
    ck_assert_int_eq(t.edge.closed + t.connector.closed, 0);
    stream_shutdown(p->stream);
    ck_assert(run_until(base, &t.connector.closed));
    ck_assert(run_until(base, &t.edge.closed));
    ck_assert_int_eq(p->end, STREAM_END_CLEAN);
    ck_assert_int_eq(t.edge.end, STREAM_END_CLEAN);
    ck_assert_int_eq(t.connector.end, STREAM_END_CLEAN);
    two_free(&t);
}
END_TEST

START_TEST(drained_by_the_edge)
{
    struct two t;
    struct stream *s;
    two_new(&t, NULL, NULL);
    struct probe *p = open_stream(&t, 0, PROBE_CHECK);
    ck_assert(run_until(base, &p->ready));
    h2_drain(t.edge.h2);
    ck_assert_int_eq(h2_edge_open(t.edge.h2, &request, &s), H2_E_GOING);
    ck_assert(run_until(base, &t.connector.draining));
    probe_send(p, 100000, true);
    ck_assert(run_until(base, &t.edge.closed));
    ck_assert(run_until(base, &t.connector.closed));
    ck_assert_uint_eq(p->received, 100000);
    ck_assert_int_eq(t.edge.end, STREAM_END_CLEAN);
    ck_assert_int_eq(t.connector.end, STREAM_END_CLEAN);
    two_free(&t);
}
END_TEST

START_TEST(drained_with_no_stream_at_all)
{
    struct two t;
    two_new(&t, NULL, NULL);
    ck_assert(run_until(base, &t.edge.ready));
    ck_assert(run_until(base, &t.connector.ready));
    h2_drain(_i ? t.connector.h2 : t.edge.h2);
    ck_assert(run_until(base, &t.edge.closed));
    ck_assert(run_until(base, &t.connector.closed));
    ck_assert_int_eq(t.edge.end, STREAM_END_CLEAN);
    ck_assert_int_eq(t.connector.end, STREAM_END_CLEAN);
    two_free(&t);
}
END_TEST

START_TEST(a_cut_resets_all_streams_first)
{
    struct two t;
    two_new(&t, &(struct pair_options){.chunk_max = 5000}, NULL);
    for (int i = 0; i < 10; i++) probe_send(open_stream(&t, i, i % 2 ? PROBE_FREE_AT_END : 0), 1000000, true);
    ck_assert(run_until_count(base, &t.streams[9].received, 10000));
    pair_stream_cut(t.edge.below);
    ck_assert(run_until(base, &t.edge.closed));
    ck_assert(run_until(base, &t.connector.closed));
    for (int i = 0; i < 10; i++) {
        ck_assert_int_eq(t.streams[i].ended, 1);
        ck_assert_int_eq(t.streams[i].end, STREAM_END_RESET);
        ck_assert_int_eq(t.connector.streams[i].end, STREAM_END_RESET);
    }
    ck_assert_int_eq(t.edge.end, STREAM_END_RESET);
    ck_assert_uint_eq(h2_counters(t.edge.h2).active, 0);
    ck_assert_uint_eq(h2_counters(t.edge.h2).reset, 10);
    two_free(&t);
}
END_TEST

START_TEST(freed_with_streams_that_outlive_it)
{
    struct two t;
    two_new(&t, NULL, NULL);
    for (int i = 0; i < 10; i++) probe_send(open_stream(&t, i, 0), 1000000, true);
    ck_assert(run_until_count(base, &t.streams[9].received, 10000));
    /* Some linger, some are unread. */
    stream_free(t.streams[3].stream, false);
    t.streams[3].stream = NULL;
    h2_free(t.edge.h2, _i);
    t.edge.h2 = NULL;
    probe_puts(&t.streams[0], "too late");
    stream_shutdown(t.streams[0].stream);
    ck_assert_uint_le(stream_pending(t.streams[0].stream), 200000);
    ck_assert(run_until(base, &t.streams[0].ended));
    ck_assert_int_eq(t.streams[0].end, STREAM_END_RESET);
    ck_assert(run_until(base, &t.connector.closed));
    ck_assert_int_eq(t.connector.streams[5].end, STREAM_END_RESET);
    ck_assert_int_eq(t.edge.closed, 0);
    two_free(&t);
}
END_TEST

START_TEST(freed_in_its_own_callbacks)
{
    struct two t;
    two_new(&t, NULL, NULL);
    struct side *s = _i < 4 ? &t.connector : &t.edge;
    s->free_when_ready = _i % 4 == 0;
    s->free_when_opened = _i % 4 == 1;
    s->free_when_draining = _i % 4 == 2;
    s->free_when_closed = _i % 4 == 3;
    open_stream(&t, 0, PROBE_FREE_AT_END);
    open_stream(&t, 1, 0);
    for (int i = 0; i < 3; i++) run_idle(base);
    if (_i % 4 >= 2 && t.edge.h2 && t.connector.h2) h2_drain(_i < 4 ? t.edge.h2 : t.connector.h2);
    for (int i = 0; i < 3; i++) run_idle(base);
    pair_stream_cut(t.edge.h2 ? t.edge.below : t.connector.below);
    for (int i = 0; i < 3; i++) run_idle(base);
    ck_assert_int_eq(t.streams[0].ended, 1);
    ck_assert_int_eq(t.streams[1].ended, 1);
    if (_i != 5) /* the edge's `opened` does not exist */
        ck_assert_ptr_null(s->h2);
    two_free(&t);
}
END_TEST

START_TEST(pings_that_are_answered_keep_it_open)
{
    struct two t;
    struct timeval tv = {.tv_usec = 150000};
    two_new(&t, NULL,
            &(struct h2_options){.ping_interval_ns = 15 * NSEC_PER_MS, .ping_timeout_ns = 20 * NSEC_PER_MS});
    struct probe *p = open_stream(&t, 0, 0);
    event_base_loopexit(base, &tv);
    event_base_dispatch(base);
    ck_assert_int_eq(t.edge.closed + t.connector.closed, 0);
    pair_stream_hold(t.connector.below, true);
    ck_assert(run_until(base, &t.edge.closed));
    ck_assert_int_eq(t.edge.end, STREAM_END_RESET);
    ck_assert_ptr_nonnull(strstr(t.edge.what, "PING"));
    ck_assert_int_eq(p->end, STREAM_END_RESET);
    two_free(&t);
}
END_TEST

/* ---- raw peers ---- */

/* A tunnel's end against a probe that plays the peer byte for byte. */
struct raw {
    struct probe peer;
    struct side side;
};

static void raw_new(struct raw *t, bool is_edge, const struct h2_options *o)
{
    struct stream *a;
    memset(t, 0, sizeof(*t));
    t->side.status = 200;
    t->side.flags = PROBE_ECHO;
    pair_stream_new(base, NULL, &a, &t->side.below);
    probe_init(&t->peer, a, PROBE_KEEP);
    ck_assert_int_eq(
        (is_edge ? h2_edge_new : h2_connector_new)(base, t->side.below, o, &callbacks, &t->side, &t->side.h2),
        0);
}

static void raw_free(struct raw *t)
{
    ck_assert(!t->side.bad);
    for (int i = 0; i < STREAMS; i++) probe_deinit(&t->side.streams[i]);
    h2_free(t->side.h2, true);
    probe_deinit(&t->peer);
}

/* Opens a stream at the edge under test and forgets it. */
static void open_raw(struct raw *t)
{
    struct stream *s;
    ck_assert_int_eq(h2_edge_open(t->side.h2, &request, &s), 0);
    probe_init(&t->side.streams[0], s, 0);
}

START_TEST(a_silent_peer_is_left)
{
    struct raw t;
    raw_new(&t, _i, &(struct h2_options){.settings_timeout_ns = 20 * NSEC_PER_MS});
    ck_assert(run_until(base, &t.side.closed));
    ck_assert_int_eq(t.side.end, STREAM_END_TIMEOUT);
    raw_free(&t);
}
END_TEST

/* Whether the frames in `in` end with GOAWAY; `ret_code` is its error. */
static bool ends_with_goaway(struct evbuffer *in, uint32_t *ret_code)
{
    size_t len = evbuffer_get_length(in), at = 0;
    const uint8_t *b = evbuffer_pullup(in, -1);
    bool found = false;
    if (len >= 24 && memcmp(b, "PRI * HTTP/2.0", 14) == 0) at = 24;
    while (at + 9 <= len) {
        size_t payload = (size_t)b[at] << 16 | (size_t)b[at + 1] << 8 | b[at + 2];
        found = b[at + 3] == 7 && at + 17 <= len;
        if (found)
            *ret_code = (uint32_t)b[at + 13] << 24 | (uint32_t)b[at + 14] << 16 | (uint32_t)b[at + 15] << 8 |
                        b[at + 16];
        at += 9 + payload;
    }
    return found;
}

START_TEST(another_protocol_is_answered_with_goaway)
{
    struct raw t;
    uint32_t code = 0;
    raw_new(&t, _i, NULL);
    probe_puts(&t.peer, "GET / HTTP/1.1\r\nHost: tunnel.example\r\nAccept: */*\r\n\r\n");
    ck_assert(run_until(base, &t.side.closed));
    ck_assert_int_eq(t.side.end, STREAM_END_PROTOCOL);
    ck_assert_ptr_nonnull(strstr(t.side.what, "HTTP/2"));
    h2_free(t.side.h2, true);
    t.side.h2 = NULL;
    ck_assert(run_until(base, &t.peer.eof));
    ck_assert(ends_with_goaway(t.peer.got, &code));
    ck_assert_uint_ne(code, 0);
    raw_free(&t);
}
END_TEST

START_TEST(a_peer_that_ends_with_an_error_is_a_reset)
{
    struct raw t;
    raw_new(&t, true, NULL);
    if (_i) open_raw(&t);
    probe_write(&t.peer, "\0\0\0\x04\0\0\0\0\0\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0b", 26);
    stream_shutdown(t.peer.stream);
    ck_assert(run_until(base, &t.side.closed));
    ck_assert_int_eq(t.side.end, STREAM_END_RESET);
    ck_assert_ptr_nonnull(strstr(t.side.what, "ENHANCE_YOUR_CALM"));
    raw_free(&t);
}
END_TEST

START_TEST(windows_beyond_http2_are_refused)
{
    struct stream *a, *b;
    struct h2 *h2 = NULL;
    pair_stream_new(base, NULL, &a, &b);
    const struct h2_options options[] = {{.stream_window = 1u << 31}, {.connection_window = 1u << 31}};
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(h2_edge_new(base, a, &options[i], &callbacks, NULL, &h2), -EINVAL);
    ck_assert_ptr_null(h2);
    stream_free(a, true);
    stream_free(b, true);
}
END_TEST

/* What an ordinary nghttp2 client sends for `n` requests with the given headers. */
static void client_bytes(struct evbuffer *out, int n, const nghttp2_nv *nv, size_t n_nv)
{
    nghttp2_session_callbacks *c;
    nghttp2_session *session;
    const uint8_t *bytes;
    nghttp2_session_callbacks_new(&c);
    ck_assert_int_eq(nghttp2_session_client_new(&session, c, NULL), 0);
    nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, NULL, 0);
    for (int i = 0; i < n; i++) nghttp2_submit_request(session, NULL, nv, n_nv, NULL, NULL);
    for (ssize_t len; (len = nghttp2_session_mem_send(session, &bytes)) > 0;)
        evbuffer_add(out, bytes, (size_t)len);
    nghttp2_session_del(session);
    nghttp2_session_callbacks_del(c);
}

#define NV(n, v)                                                                                             \
    {                                                                                                        \
        (uint8_t *)(n), (uint8_t *)(v), sizeof(n) - 1, strlen(v), 0                                          \
    }

START_TEST(too_many_header_bytes_reset_the_stream)
{
    struct raw t;
    static char big[6000];
    memset(big, '~', sizeof(big) - 1);
    const nghttp2_nv nv[] = {NV(":method", "GET"), NV(":scheme", "https"), NV(":authority", "a"),
                             NV(":path", "/"),     NV("x-a", big),         NV("x-b", big)};
    struct evbuffer *bytes = evbuffer_new();
    raw_new(&t, false, NULL);
    client_bytes(bytes, 1, nv, 6);
    stream_write(t.peer.stream, bytes);
    for (int i = 0; i < 5; i++) run_idle(base);
    ck_assert_int_eq(t.side.opened, 0);
    ck_assert_int_eq(t.side.closed, 0);
    ck_assert_uint_eq(h2_counters(t.side.h2).active, 0);
    evbuffer_free(bytes);
    raw_free(&t);
}
END_TEST

START_TEST(requests_without_a_name_or_a_user_are_answered)
{
    struct raw t;
    struct h2_callbacks none = {0};
    struct stream *a, *b;
    const nghttp2_nv nv[] = {NV(":method", "GET"), NV(":scheme", "https"), NV(":path", "/"), NV("host", "h")};
    struct evbuffer *bytes = evbuffer_new();
    /* No authority: the host counts; neither: 400. */
    raw_new(&t, false, NULL);
    client_bytes(bytes, 1, nv, 3 + (size_t)_i);
    stream_write(t.peer.stream, bytes);
    for (int i = 0; i < 5; i++) run_idle(base);
    ck_assert_int_eq(t.side.opened, _i);
    ck_assert_str_eq(t.side.authority, _i ? "h" : "");
    raw_free(&t);
    /* Nobody to show it to. */
    struct h2 *h2;
    struct probe peer;
    pair_stream_new(base, NULL, &a, &b);
    probe_init(&peer, a, 0);
    ck_assert_int_eq(h2_connector_new(base, b, NULL, &none, NULL, &h2), 0);
    client_bytes(bytes, 5, nv, 4);
    stream_write(a, bytes);
    for (int i = 0; i < 5; i++) run_idle(base);
    ck_assert_uint_eq(h2_counters(h2).refused, 5);
    ck_assert_uint_eq(h2_counters(h2).active, 0);
    h2_free(h2, false);
    probe_deinit(&peer);
    evbuffer_free(bytes);
}
END_TEST

START_TEST(a_flood_of_pings_ends_the_connection)
{
    struct raw t;
    const nghttp2_nv nv[] = {NV(":method", "GET"), NV(":scheme", "https"), NV(":path", "/"), NV("host", "h")};
    struct evbuffer *bytes = evbuffer_new();
    raw_new(&t, false, NULL);
    t.peer.flags |= PROBE_HOLD;
    client_bytes(bytes, 1, nv, 4);
    for (int i = 0; i < 100 && !t.side.closed; i++) {
        for (int j = 0; j < 1000; j++) evbuffer_add(bytes, "\0\0\x08\x06\0\0\0\0\0pingping", 17);
        stream_write(t.peer.stream, bytes);
        run_idle(base);
    }
    ck_assert(run_until(base, &t.side.closed));
    ck_assert_int_eq(t.side.end, STREAM_END_PROTOCOL);
    ck_assert_uint_lt(stream_pending(t.side.below), 300000);
    evbuffer_free(bytes);
    raw_free(&t);
}
END_TEST

/* Damages a few bytes of what was recorded, and plays it. */
static void play_damaged(const uint8_t *recorded, size_t len, bool to_edge, uint64_t seed)
{
    struct prng r = prng_stream(seed, 0, "damage", to_edge, 0);
    struct raw t;
    struct evbuffer *bytes = evbuffer_new();
    struct probe p = {0};
    struct stream *s;
    raw_new(&t, to_edge, NULL);
    if (to_edge && h2_edge_open(t.side.h2, &request, &s) == 0) {
        probe_init(&p, s, 0);
        probe_send(&p, 3000, true);
    }
    evbuffer_add(bytes, recorded, len);
    uint8_t *at = evbuffer_pullup(bytes, -1);
    for (uint64_t i = prng_below(&r, 4); i < 5; i++) at[prng_below(&r, len)] = (uint8_t)prng_u64(&r);
    if (prng_below(&r, 3) == 0) evbuffer_drain(bytes, prng_below(&r, len));
    stream_write(t.peer.stream, bytes);
    stream_shutdown(t.peer.stream);
    ck_assert(run_until(base, &t.side.closed));
    ck_assert_int_eq(!p.stream || p.ended, 1);
    ck_assert_uint_lt(stream_pending(t.side.below), 1000000);
    evbuffer_free(bytes);
    probe_deinit(&p);
    raw_free(&t);
}

START_TEST(damaged_frames_end_in_an_error_and_no_worse)
{
    struct raw t;
    const nghttp2_nv nv[] = {NV(":method", "GET"), NV(":scheme", "https"), NV(":path", "/"), NV("host", "h")};
    struct evbuffer *bytes = evbuffer_new();
    /* Record: an ordinary client's bytes, and what a connector answers to them. */
    client_bytes(bytes, 20, nv, 4);
    if (_i) {
        struct probe *c;
        raw_new(&t, false, NULL);
        stream_write(t.peer.stream, bytes);
        for (int i = 0; i < 5; i++) run_idle(base);
        c = &t.side.streams[0];
        ck_assert_int_eq(c->ready, 1);
        evbuffer_add_buffer(bytes, t.peer.got);
        raw_free(&t);
    }
    size_t len = evbuffer_get_length(bytes);
    for (uint64_t seed = 1; seed <= 300; seed++) play_damaged(evbuffer_pullup(bytes, -1), len, _i, seed);
    evbuffer_free(bytes);
}
END_TEST

START_TEST(garbage_ends_in_an_error_and_no_worse)
{
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct prng r = prng_stream(seed, 0, "garbage", (uint64_t)_i, 0);
        struct raw t;
        struct evbuffer *bytes = evbuffer_new();
        raw_new(&t, _i & 1, NULL);
        if (_i == 2) evbuffer_add(bytes, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
        /* A settings frame first, then headers of frames with random types, flags and streams. */
        evbuffer_add(bytes, "\0\0\0\x04\0\0\0\0\0", 9);
        for (int i = 0; i < 200; i++) {
            uint64_t word = prng_u64(&r), len = prng_below(&r, 40);
            uint8_t header[9] = {
                0, 0, (uint8_t)len, word % 11, (uint8_t)(word >> 8), 0, 0, 0, (uint8_t)(word >> 16) % 8};
            evbuffer_add(bytes, header, 9);
            for (; len > 0; len--) evbuffer_add(bytes, &(uint8_t){(uint8_t)prng_u64(&r)}, 1);
        }
        stream_write(t.peer.stream, bytes);
        ck_assert(run_until(base, &t.side.closed));
        ck_assert_int_eq(t.side.end, STREAM_END_PROTOCOL);
        evbuffer_free(bytes);
        raw_free(&t);
    }
}
END_TEST

/* Opens, writes, aborts, frees and drains at random; whatever happens, all is told and nothing leaks. */
START_TEST(random_use)
{
    for (uint64_t seed = 1; seed <= 25; seed++) {
        struct prng r = prng_stream(seed, 0, "use", 0, 0);
        struct two t;
        struct stream *s;
        two_new(&t, &(struct pair_options){.chunk_max = 1 + prng_below(&r, 20000), .seed = seed},
                &(struct h2_options){.linger_ns = 5 * NSEC_PER_MS});
        for (int i = 0; i < 60; i++) {
            t.connector.status = prng_below(&r, 8) ? 200 : 502;
            if (h2_edge_open(t.edge.h2, &request, &s) == 0) {
                probe_init(&t.streams[i], s, prng_below(&r, 2) ? PROBE_CHECK : 0);
                probe_send(&t.streams[i], prng_below(&r, 200000), prng_below(&r, 2));
            }
            for (uint64_t n = prng_below(&r, 6); n > 0; n--) event_base_loop(base, EVLOOP_NONBLOCK);
            struct probe *victim =
                prng_below(&r, 2) ? &t.streams[prng_below(&r, 60)] : &t.connector.streams[prng_below(&r, 60)];
            if (!victim->stream) continue;
            switch (prng_below(&r, 5)) {
            case 0: stream_free(victim->stream, true); break;
            case 1: stream_free(victim->stream, false); break;
            case 2: stream_shutdown(victim->stream); continue;
            default: continue;
            }
            victim->stream = NULL;
        }
        if (seed % 3 == 0) h2_drain(seed % 2 ? t.edge.h2 : t.connector.h2);
        for (uint64_t n = prng_below(&r, 20); n > 0; n--) event_base_loop(base, EVLOOP_NONBLOCK);
        if (seed % 3 == 1) pair_stream_cut(t.edge.below);
        for (uint64_t n = prng_below(&r, 20); n > 0; n--) event_base_loop(base, EVLOOP_NONBLOCK);
        two_free(&t);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("h2_tunnel");
    TCase *t = tcase_create("streams");
    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, bytes_come_back_and_the_end_is_clean, 0, sizeof(lines) / sizeof(lines[0]));
    tcase_add_test(t, headers_are_passed_on);
    tcase_add_test(t, bad_headers_are_refused);
    tcase_add_test(t, another_status_refuses_the_stream);
    tcase_add_test(t, an_answer_may_come_late_and_shut_down_at_once);
    tcase_add_test(t, an_unanswered_stream_that_is_freed_is_reset);
    tcase_add_test(t, many_streams_at_once);
    tcase_add_test(t, a_reader_that_holds_stops_its_stream_alone);
    tcase_add_test(t, bulk_does_not_stop_small_streams);
    tcase_add_test(t, windows_do_not_leak_with_streams_that_are_cut);
    tcase_add_test(t, more_streams_than_allowed_are_refused_at_once);
    tcase_add_test(t, an_abort_is_a_reset_at_the_peer);
    tcase_add_test(t, an_abort_before_it_was_sent_leaves_nothing);
    tcase_add_test(t, freed_in_order_flushes);
    tcase_add_test(t, a_freed_stream_does_not_linger_for_ever);
    suite_add_tcase(s, t);
    t = tcase_create("connection");
    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, drained_by_the_connector);
    tcase_add_test(t, drained_by_the_edge);
    tcase_add_loop_test(t, drained_with_no_stream_at_all, 0, 2);
    tcase_add_test(t, a_cut_resets_all_streams_first);
    tcase_add_loop_test(t, freed_with_streams_that_outlive_it, 0, 2);
    tcase_add_loop_test(t, freed_in_its_own_callbacks, 0, 8);
    tcase_add_test(t, pings_that_are_answered_keep_it_open);
    suite_add_tcase(s, t);
    t = tcase_create("raw");
    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, a_silent_peer_is_left, 0, 2);
    tcase_add_loop_test(t, another_protocol_is_answered_with_goaway, 0, 2);
    tcase_add_loop_test(t, a_peer_that_ends_with_an_error_is_a_reset, 0, 2);
    tcase_add_test(t, windows_beyond_http2_are_refused);
    tcase_add_test(t, too_many_header_bytes_reset_the_stream);
    tcase_add_loop_test(t, requests_without_a_name_or_a_user_are_answered, 0, 2);
    tcase_add_test(t, a_flood_of_pings_ends_the_connection);
    tcase_add_loop_test(t, damaged_frames_end_in_an_error_and_no_worse, 0, 2);
    tcase_add_loop_test(t, garbage_ends_in_an_error_and_no_worse, 0, 3);
    tcase_add_test(t, random_use);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    SRunner *runner = srunner_create(suite());
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
