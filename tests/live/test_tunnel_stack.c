#include <check.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "sim/live/tunnel_control.h"
#include "tests/live/stream_probe.h"
#include "tests/live/tunnel_stack.h"

enum { STREAMS = 32 };

struct both {
    struct tunnel_stack stack;
    struct probe edge[STREAMS], connector[STREAMS];
    int arrived;
    unsigned flags; /* of the connector's probes */
};

static void on_arrived(void *user, struct stream *top)
{
    struct both *b = user;
    ck_assert_int_lt(b->arrived, STREAMS);
    probe_init(&b->connector[b->arrived++], top, b->flags);
}

static void both_new(struct both *b, unsigned layers)
{
    memset(b, 0, sizeof(*b));
    b->flags = PROBE_ECHO | PROBE_CHECK;
    tunnel_stack_init(&b->stack, layers, on_arrived, b);
    ck_assert(run_until(b->stack.base, &b->stack.ready));
}

static struct probe *both_open(struct both *b, int i, unsigned flags)
{
    probe_init(&b->edge[i], tunnel_stack_open(&b->stack), flags);
    return &b->edge[i];
}

static void both_free(struct both *b)
{
    for (int i = 0; i < STREAMS; i++) {
        ck_assert(!b->edge[i].bad);
        ck_assert(!b->connector[i].bad);
        probe_deinit(&b->edge[i]);
        probe_deinit(&b->connector[i]);
    }
    tunnel_stack_deinit(&b->stack);
}

static const unsigned layers[] = {
    0, STACK_OUTER_TLS, STACK_WS, STACK_INNER_TLS, STACK_OUTER_TLS | STACK_WS, STACK_ALL};

START_TEST(an_echo_of_400_kb)
{
    struct both b;
    both_new(&b, layers[_i]);
    struct probe *p = both_open(&b, 0, PROBE_CHECK);
    probe_send(p, 400000, true);
    ck_assert(run_until(b.stack.base, &p->ended));
    ck_assert_int_eq(p->end, STREAM_END_CLEAN);
    ck_assert_uint_eq(p->received, 400000);
    ck_assert(run_until(b.stack.base, &b.connector[0].ended));
    ck_assert_int_eq(b.connector[0].end, STREAM_END_CLEAN);
    both_free(&b);
}
END_TEST

START_TEST(many_echoes_at_once)
{
    struct both b;
    both_new(&b, STACK_ALL);
    for (int i = 0; i < STREAMS; i++) probe_send(both_open(&b, i, PROBE_CHECK), 400000, true);
    for (int i = 0; i < STREAMS; i++) {
        ck_assert(run_until(b.stack.base, &b.edge[i].ended));
        ck_assert_uint_eq(b.edge[i].received, 400000);
        ck_assert_int_eq(b.edge[i].end, STREAM_END_CLEAN);
    }
    both_free(&b);
}
END_TEST

START_TEST(a_reader_that_holds_stops_the_writer_through_all_layers)
{
    struct both b;
    both_new(&b, STACK_ALL);
    b.flags = PROBE_HOLD | PROBE_CHECK;
    struct probe *p = both_open(&b, 0, 0);
    probe_send(p, 20000000, true);
    ck_assert(run_until(b.stack.base, &p->ready));
    for (int i = 0; i < 10; i++) run_idle(b.stack.base);
    uint64_t sent = p->sent;
    run_idle(b.stack.base);
    ck_assert_uint_eq(p->sent, sent);
    ck_assert_uint_lt(sent, 3000000);
    b.flags = PROBE_ECHO | PROBE_CHECK;
    struct probe *q = both_open(&b, 1, PROBE_CHECK);
    probe_send(q, 3000000, true);
    ck_assert(run_until(b.stack.base, &q->ended));
    ck_assert_int_eq(q->end, STREAM_END_CLEAN);
    probe_resume(&b.connector[0]);
    ck_assert(run_until(b.stack.base, &b.connector[0].eof));
    ck_assert_uint_eq(b.connector[0].received, 20000000);
    both_free(&b);
}
END_TEST

START_TEST(a_tunnel_that_is_killed_resets_both_ends)
{
    struct both b;
    both_new(&b, STACK_ALL);
    for (int i = 0; i < 8; i++) probe_send(both_open(&b, i, PROBE_CHECK), 50000000, true);
    ck_assert(run_until_count(b.stack.base, &b.edge[0].received, 1000000));
    ck_assert_int_eq(b.arrived, 8);
    struct h2 **victim = _i ? &b.stack.edge : &b.stack.connector;
    h2_free(*victim, true);
    *victim = NULL;
    ck_assert(run_until(b.stack.base, _i ? &b.stack.connector_closed : &b.stack.edge_closed));
    for (int i = 0; i < 8; i++) {
        ck_assert(run_until(b.stack.base, &b.edge[i].ended));
        ck_assert(run_until(b.stack.base, &b.connector[i].ended));
        ck_assert_int_eq(b.edge[i].end, STREAM_END_RESET);
        ck_assert_int_eq(b.connector[i].end, STREAM_END_RESET);
    }
    ck_assert_int_eq(_i ? b.stack.connector_end : b.stack.edge_end, STREAM_END_RESET);
    both_free(&b);
}
END_TEST

START_TEST(a_drained_tunnel_ends_in_order)
{
    struct both b;
    both_new(&b, STACK_ALL);
    struct probe *p = both_open(&b, 0, PROBE_CHECK);
    ck_assert(run_until(b.stack.base, &p->ready));
    h2_drain(b.stack.connector);
    probe_send(p, 1000000, true);
    ck_assert(run_until(b.stack.base, &p->ended));
    ck_assert_int_eq(p->end, STREAM_END_CLEAN);
    stream_free(p->stream, false);
    p->stream = NULL;
    ck_assert(run_until(b.stack.base, &b.connector[0].ended));
    ck_assert(run_until(b.stack.base, &b.stack.edge_closed));
    ck_assert(run_until(b.stack.base, &b.stack.connector_closed));
    ck_assert_int_eq(b.stack.edge_end, STREAM_END_CLEAN);
    ck_assert_int_eq(b.stack.connector_end, STREAM_END_CLEAN);
    both_free(&b);
}
END_TEST

static void send_message(struct probe *p, const struct tunnel_control *m)
{
    struct evbuffer *line = evbuffer_new();
    ck_assert_int_eq(tunnel_control_encode(m, line), 0);
    stream_write(p->stream, line);
    evbuffer_free(line);
}

START_TEST(a_connector_registers)
{
    struct both b;
    struct tunnel_control m;
    size_t taken;
    both_new(&b, STACK_OUTER_TLS);
    b.flags = PROBE_KEEP;
    struct probe *p = both_open(&b, 0, PROBE_KEEP);
    ck_assert(run_until(b.stack.base, &b.arrived));
    send_message(&b.connector[0],
                 &(struct tunnel_control){TUNNEL_CONTROL_REGISTER,
                                          .register_ = {.tunnel = "t", .token = "k", .connection = 2}});
    ck_assert(run_until_count(b.stack.base, &p->received, 1));
    ck_assert_int_eq(tunnel_control_read(p->got, &m, &taken, NULL), 0);
    ck_assert_int_eq(m.kind, TUNNEL_CONTROL_REGISTER);
    ck_assert_uint_eq(m.register_.connection, 2);
    send_message(p, &(struct tunnel_control){TUNNEL_CONTROL_REGISTERED,
                                             .registered = {.connection = "c", .location = "loopback"}});
    ck_assert(run_until_count(b.stack.base, &b.connector[0].received, 1));
    ck_assert_int_eq(tunnel_control_read(b.connector[0].got, &m, &taken, NULL), 0);
    ck_assert_str_eq(m.registered.location, "loopback");
    both_free(&b);
}
END_TEST

static void note_closed(void *user, enum stream_end end, const char *what)
{
    *(int *)user = 1 + (int)end;
}

START_TEST(a_carrier_that_never_comes_up)
{
    struct event_base *base;
    struct stream *s;
    struct h2 *h2;
    int closed = 0;
    struct h2_callbacks callbacks = {.closed = note_closed};
    ck_assert_int_eq(tcp_base_new(&base), 0);
    ck_assert_int_eq(tcp_dial(base, "127.0.0.1:1", NULL, &s), 0);
    ck_assert_int_eq(h2_connector_new(base, s, NULL, &callbacks, &closed, &h2), 0);
    ck_assert(run_until(base, &closed));
    ck_assert_int_eq(closed, 1 + STREAM_END_REFUSED);
    h2_free(h2, true);
    event_base_free(base);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("tunnel_stack");
    TCase *t = tcase_create("stack");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, an_echo_of_400_kb, 0, sizeof(layers) / sizeof(layers[0]));
    tcase_add_test(t, many_echoes_at_once);
    tcase_add_test(t, a_reader_that_holds_stops_the_writer_through_all_layers);
    tcase_add_loop_test(t, a_tunnel_that_is_killed_resets_both_ends, 0, 2);
    tcase_add_test(t, a_drained_tunnel_ends_in_order);
    tcase_add_test(t, a_connector_registers);
    tcase_add_test(t, a_carrier_that_never_comes_up);
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
