#include "tests/world/net_stage.h"

#define EDGE  ADDR(ROLE_EDGE, 0)
#define SELF  ADDR(ROLE_CONNECTOR, 1)
#define PROXY ADDR(ROLE_PROXY, 1)

static const struct msg accepted = {.kind = M_OK, .a = 1}, accepted_again = {.kind = M_OK, .a = 1, .b = 1};
static const struct msg stream_request = {.kind = M_TUNNEL_STREAM, .bytes = 250, .a = HOST(1, 0)};

/* The next effect must be the dial of connection `index`. */
static uint32_t dialed(struct stage *st, uint32_t index)
{
    struct effect ef = stage_opened(st, EDGE, M_REGISTER);

    ck_assert_uint_eq(ef.msg.a, 1);
    ck_assert_uint_eq(ef.msg.b, index);
    ck_assert_uint_eq(ef.msg.c, UINT64_C(1) << 32 | 3);
    ck_assert_uint_eq(ef.msg.bytes, 600);
    ck_assert_uint_eq(ef.msg.flags, 0);
    return ef.flow;
}

/* Both connections registered, at 0.1 s and 0.2 s. */
static struct stage *connected(nsec_t detect_ns, uint32_t ret_flows[2])
{
    struct stage *st = stage_new();

    st->plan.tunnels.spacing_ns = 0;
    st->plan.tunnels.edge_detect_ns = detect_ns;
    stage_add(st, SELF);
    ret_flows[0] = dialed(st, 0);
    stage_until(st, 100 * MS);
    stage_answer(st, ret_flows[0], accepted);
    ret_flows[1] = dialed(st, 1);
    stage_until(st, 200 * MS);
    stage_answer(st, ret_flows[1], accepted_again);
    return st;
}

START_TEST(registers_its_connections)
{
    struct stage *st = stage_new();
    uint32_t first, second;

    stage_add(st, SELF);
    first = dialed(st, 0);
    stage_until(st, 4 * S);
    ck_assert(stage_quiet(st));
    stage_answer(st, first, accepted);
    second = dialed(st, 1);
    st->now += S;
    stage_answer(st, second, accepted_again);
    stage_until(st, 4000 * S);
    ck_assert(stage_quiet(st));
    ck_assert_uint_eq(histogram_count(stage_metric(st, METRIC_TUNNEL_HANDSHAKE)), 2);
    ck_assert_uint_eq(histogram_max(stage_metric(st, METRIC_TUNNEL_HANDSHAKE)), 4 * S);
    ck_assert_uint_eq(histogram_min(stage_metric(st, METRIC_TUNNEL_HANDSHAKE)), S);
    ck_assert_uint_eq(histogram_count(stage_metric(st, METRIC_TUNNEL_USABLE)), 0);
    ck_assert_uint_eq(stage_counter(st, COUNTER_HANDSHAKES), 2);
    ck_assert_uint_eq(stage_opens(st, ACCOUNT_CONNECTION), 2);
    stage_end(st, EVENT_END);
}
END_TEST

START_TEST(dial_errors_wait_and_dial_again)
{
    struct stage *st = stage_new();
    uint32_t flow;

    stage_add(st, SELF);
    flow = dialed(st, 0);
    stage_reset(st, flow, RESET_REFUSED);
    stage_until(st, 2 * S - 1);
    ck_assert(stage_quiet(st));
    stage_until(st, 2 * S);
    flow = dialed(st, 0);
    stage_reset(st, flow, RESET_UNREACHABLE);
    stage_until(st, 6 * S);
    flow = dialed(st, 0);
    /* Number 0 leaves its loop by another error: 8 s, then 20 s. */
    stage_answer(st, flow, (struct msg){.kind = M_ERROR, .flags = MSG_LAST, .a = 503, .b = ERROR_OVERLOADED});
    stage_was_reset(st, flow, RESET_CANCEL);
    stage_until(st, 34 * S - 1);
    ck_assert(stage_quiet(st));
    stage_until(st, 34 * S);
    dialed(st, 0);
    ck_assert_uint_eq(stage_ends(st, ACCOUNT_CONNECTION, LEDGER_FAILED), 3);
    ck_assert_uint_eq(stage_counter(st, COUNTER_BACKOFFS), 4);
    ck_assert_uint_eq(stage_counter(st, COUNTER_BACKOFF_NS), 34 * S);
    ck_assert_uint_eq(stage_counter(st, COUNTER_HANDSHAKES_FAILED), 3);
    ck_assert_uint_eq(stage_counter(st, COUNTER_RECONNECTS), 0);
    stage_end(st, EVENT_CRASH);
}
END_TEST

START_TEST(a_duplicate_honours_the_hint)
{
    struct stage *st = stage_new();

    stage_add(st, SELF);
    stage_answer(st, dialed(st, 0),
                 (struct msg){.kind = M_ERROR, .flags = MSG_LAST, .a = 409, .b = ERROR_CONFLICT, .c = 9 * S});
    stage_next(st);
    stage_until(st, 9 * S - 1);
    ck_assert(stage_quiet(st));
    stage_until(st, 9 * S);
    dialed(st, 0);
    stage_end(st, EVENT_END);
}
END_TEST

START_TEST(an_unanswered_registration_is_given_up)
{
    struct stage *st = stage_new();
    uint32_t flow;

    stage_add(st, SELF);
    flow = dialed(st, 0);
    stage_until(st, 20 * S - 1);
    ck_assert(stage_quiet(st));
    stage_until(st, 20 * S);
    stage_was_reset(st, flow, RESET_CANCEL);
    stage_until(st, 42 * S);
    dialed(st, 0);
    ck_assert_uint_eq(stage_counter(st, COUNTER_TIMEOUTS), 1);
    ck_assert_uint_eq(stage_ends(st, ACCOUNT_CONNECTION, LEDGER_FAILED), 1);
    stage_end(st, EVENT_END);
}
END_TEST

START_TEST(an_outage_is_recorded_when_the_edge_is_new)
{
    uint32_t flows[2];
    struct stage *st = connected(0, flows);

    stage_until(st, 100 * S);
    stage_reset(st, flows[1], RESET_CUT);
    stage_until(st, 101 * S);
    stage_reset(st, flows[0], RESET_CUT);
    /* Own stages end at 102 and 103 s, the shared timer at 122 s. */
    stage_until(st, 122 * S);
    flows[0] = dialed(st, 0);
    flows[1] = dialed(st, 1);
    st->now += S;
    stage_answer(st, flows[1], accepted);
    ck_assert_uint_eq(histogram_count(stage_metric(st, METRIC_TUNNEL_USABLE)), 1);
    ck_assert_uint_eq(histogram_max(stage_metric(st, METRIC_TUNNEL_USABLE)), 22 * S);
    ck_assert_uint_eq(histogram_count(stage_metric(st, METRIC_TUNNEL_RECONNECT)), 0);
    st->now += S;
    stage_answer(st, flows[0], accepted_again);
    ck_assert_uint_eq(histogram_count(stage_metric(st, METRIC_TUNNEL_USABLE)), 1);
    ck_assert_uint_eq(histogram_count(stage_metric(st, METRIC_TUNNEL_RECONNECT)), 1);
    ck_assert_uint_eq(histogram_max(stage_metric(st, METRIC_TUNNEL_RECONNECT)), 24 * S);
    ck_assert_uint_eq(stage_ends(st, ACCOUNT_CONNECTION, LEDGER_LOST), 2);
    ck_assert_uint_eq(stage_counter(st, COUNTER_RECONNECTS), 2);
    stage_end(st, EVENT_CRASH);
}
END_TEST

/* The edge took connection 1 first, but its answer to connection 0 is here first. */
START_TEST(an_outage_is_recorded_once_whichever_answer_is_first)
{
    uint32_t flows[2];
    struct stage *st = connected(0, flows);

    stage_until(st, 100 * S);
    stage_reset(st, flows[0], RESET_CUT);
    stage_reset(st, flows[1], RESET_CUT);
    stage_until(st, 122 * S);
    flows[0] = dialed(st, 0);
    flows[1] = dialed(st, 1);
    st->now += S;
    stage_answer(st, flows[0], accepted_again);
    ck_assert_uint_eq(histogram_count(stage_metric(st, METRIC_TUNNEL_USABLE)), 0);
    st->now += S;
    stage_answer(st, flows[1], accepted);
    ck_assert_uint_eq(histogram_count(stage_metric(st, METRIC_TUNNEL_USABLE)), 1);
    ck_assert_uint_eq(histogram_max(stage_metric(st, METRIC_TUNNEL_USABLE)), 23 * S);
    ck_assert_uint_eq(histogram_count(stage_metric(st, METRIC_TUNNEL_RECONNECT)), 1);
    ck_assert_uint_eq(histogram_max(stage_metric(st, METRIC_TUNNEL_RECONNECT)), 24 * S);
    stage_end(st, EVENT_END);
}
END_TEST

START_TEST(an_outage_that_the_edge_saw_is_the_edges_to_record)
{
    uint32_t flows[2];
    struct stage *st = connected(0, flows);

    stage_until(st, 100 * S);
    stage_reset(st, flows[1], RESET_CUT);
    stage_until(st, 122 * S);
    stage_answer(st, dialed(st, 1), accepted_again);
    ck_assert_uint_eq(histogram_count(stage_metric(st, METRIC_TUNNEL_USABLE)), 0);
    ck_assert_uint_eq(histogram_count(stage_metric(st, METRIC_TUNNEL_RECONNECT)), 0);
    stage_end(st, EVENT_END);
}
END_TEST

START_TEST(answers_pings_and_notices_silence)
{
    uint32_t flows[2];
    struct stage *st = connected(10 * S, flows);

    stage_until(st, 5200 * MS);
    ck_assert(stage_quiet(st));
    stage_data(st, flows[1], (struct msg){.kind = M_PING});
    stage_sent(st, flows[1], MSG_DATA, M_PONG);
    stage_until(st, 10100 * MS);
    /* Nothing came on number 0 since it was registered at 0.1 s. */
    stage_was_reset(st, flows[0], RESET_CUT);
    ck_assert_uint_eq(stage_ends(st, ACCOUNT_CONNECTION, LEDGER_LOST), 1);
    stage_until(st, 10200 * MS);
    stage_data(st, flows[1], (struct msg){.kind = M_PING});
    stage_sent(st, flows[1], MSG_DATA, M_PONG);
    ck_assert_uint_lt(st->timers_fired, 20);
    stage_end(st, EVENT_END);
}
END_TEST

START_TEST(relays_streams_both_ways)
{
    uint32_t flows[2], near, far;
    struct stage *st = connected(0, flows);
    struct msg m;

    near = stage_open(st, EDGE, flows[0], stream_request);
    far = stage_opened(st, PROXY, M_TUNNEL_STREAM).flow;
    stage_answer(st, far, (struct msg){.kind = M_OK, .bytes = 300});
    stage_sent(st, near, MSG_OPEN, M_OK);
    stage_data(st, near, (struct msg){.kind = M_BYTES, .bytes = 4711, .a = 1, .e = 5});
    m = stage_sent(st, far, MSG_DATA, M_BYTES);
    ck_assert_uint_eq(m.bytes, 4711);
    ck_assert_uint_eq(m.e, 5);
    stage_data(st, far, (struct msg){.kind = M_BYTES, .flags = MSG_UNFINISHED, .bytes = BODY_CHUNK});
    m = stage_sent(st, near, MSG_DATA, M_BYTES);
    ck_assert_uint_eq(m.flags, MSG_UNFINISHED);
    stage_credit(st, near, 12345);
    ck_assert_uint_eq(stage_sent(st, far, MSG_CREDIT, M_NONE).bytes, 12345);
    stage_data(st, near, (struct msg){.kind = M_BYTES, .flags = MSG_LAST});
    ck_assert_uint_eq(stage_sent(st, far, MSG_DATA, M_BYTES).flags, MSG_LAST);
    stage_data(st, far, (struct msg){.kind = M_BYTES, .flags = MSG_LAST});
    ck_assert_uint_eq(stage_sent(st, near, MSG_DATA, M_BYTES).flags, MSG_LAST);
    ck_assert_uint_eq(world_flow_count(st->world), 2);
    stage_end(st, EVENT_END);
}
END_TEST

START_TEST(an_unreachable_proxy_is_502)
{
    uint32_t flows[2], near, far;
    struct stage *st = connected(0, flows);

    near = stage_open(st, EDGE, flows[0], stream_request);
    far = stage_opened(st, PROXY, M_TUNNEL_STREAM).flow;
    stage_reset(st, far, RESET_REFUSED);
    ck_assert_uint_eq(stage_sent(st, near, MSG_OPEN, M_ERROR).a, 502);
    stage_data(st, near, (struct msg){.kind = M_BYTES, .bytes = 10});
    stage_credit(st, near, 10);
    stage_reset(st, near, RESET_CANCEL);
    ck_assert(stage_quiet(st));
    /* The same, and the near side said its last before. */
    near = stage_open(st, EDGE, flows[0], stream_request);
    far = stage_opened(st, PROXY, M_TUNNEL_STREAM).flow;
    stage_data(st, near, (struct msg){.kind = M_BYTES, .flags = MSG_LAST});
    stage_sent(st, far, MSG_DATA, M_BYTES);
    stage_reset(st, far, RESET_UNREACHABLE);
    stage_sent(st, near, MSG_OPEN, M_ERROR);
    ck_assert_uint_eq(world_flow_count(st->world), 2);
    stage_end(st, EVENT_END);
}
END_TEST

START_TEST(a_lost_carrier_cuts_its_streams)
{
    uint32_t flows[2], near, far;
    struct stage *st = connected(0, flows);

    near = stage_open(st, EDGE, flows[0], stream_request);
    far = stage_opened(st, PROXY, M_TUNNEL_STREAM).flow;
    stage_reset(st, flows[0], RESET_CUT);
    stage_reset(st, near, RESET_CARRIER);
    stage_was_reset(st, far, RESET_CUT);
    /* A proxy that dies after its answer cuts the stream, too. */
    near = stage_open(st, EDGE, flows[1], stream_request);
    far = stage_opened(st, PROXY, M_TUNNEL_STREAM).flow;
    stage_answer(st, far, (struct msg){.kind = M_OK});
    stage_next(st);
    stage_reset(st, far, RESET_CUT);
    stage_was_reset(st, near, RESET_CUT);
    ck_assert_uint_eq(world_flow_count(st->world), 1);
    stage_end(st, EVENT_END);
}
END_TEST

START_TEST(refuses_what_is_no_stream)
{
    uint32_t flows[2];
    struct stage *st = connected(0, flows);
    uint32_t flow = stage_open(st, EDGE, flows[0], (struct msg){.kind = M_WORK_POLL, .flags = MSG_LAST});

    ck_assert_uint_eq(stage_sent(st, flow, MSG_OPEN, M_ERROR).a, 400);
    stage_end(st, EVENT_END);
}
END_TEST

START_TEST(drains_when_its_streams_are_done)
{
    uint32_t flows[2], near, far;
    struct stage *st = connected(0, flows);

    near = stage_open(st, EDGE, flows[0], stream_request);
    far = stage_opened(st, PROXY, M_TUNNEL_STREAM).flow;
    stage_answer(st, far, (struct msg){.kind = M_OK});
    stage_next(st);
    stage_event(st, EVENT_DRAIN);
    ck_assert_uint_eq(stage_sent(st, flows[0], MSG_DATA, M_UNREGISTER).flags, 0);
    ck_assert_uint_eq(stage_sent(st, flows[1], MSG_DATA, M_UNREGISTER).flags, 0);
    /* The edge closes number 1, which is empty. */
    stage_data(st, flows[1], (struct msg){.kind = M_UNREGISTER, .flags = MSG_LAST});
    ck_assert_uint_eq(stage_sent(st, flows[1], MSG_DATA, M_UNREGISTER).flags, MSG_LAST);
    ck_assert_uint_eq(stage_ends(st, ACCOUNT_CONNECTION, LEDGER_COMPLETED), 1);
    /* What is there goes on, nothing new comes. */
    stage_data(st, near, (struct msg){.kind = M_BYTES});
    stage_sent(st, far, MSG_DATA, M_BYTES);
    ck_assert_uint_eq(stage_sent(st, stage_open(st, EDGE, flows[0], stream_request), MSG_OPEN, M_ERROR).a,
                      503);
    stage_until(st, 31 * S);
    /* The grace is over. */
    stage_was_reset(st, near, RESET_CUT);
    stage_was_reset(st, far, RESET_CUT);
    ck_assert_uint_eq(stage_sent(st, flows[0], MSG_DATA, M_UNREGISTER).flags, MSG_LAST);
    stage_data(st, flows[0], (struct msg){.kind = M_UNREGISTER, .flags = MSG_LAST});
    ck_assert_uint_eq(stage_ends(st, ACCOUNT_CONNECTION, LEDGER_COMPLETED), 2);
    stage_until(st, 4000 * S);
    ck_assert(stage_quiet(st));
    ck_assert_uint_eq(histogram_count(stage_metric(st, METRIC_TUNNEL_RECONNECT)), 0);
    stage_end(st, EVENT_END);
}
END_TEST

START_TEST(drains_while_it_dials)
{
    struct stage *st = stage_new();
    uint32_t flow;

    stage_add(st, SELF);
    flow = dialed(st, 0);
    stage_event(st, EVENT_DRAIN);
    stage_was_reset(st, flow, RESET_CANCEL);
    stage_until(st, 1000 * S);
    ck_assert(stage_quiet(st));
    ck_assert_uint_eq(stage_ends(st, ACCOUNT_CONNECTION, LEDGER_FAILED), 1);
    stage_end(st, EVENT_END);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("connector");

    tcase_add_test(tc, registers_its_connections);
    tcase_add_test(tc, dial_errors_wait_and_dial_again);
    tcase_add_test(tc, a_duplicate_honours_the_hint);
    tcase_add_test(tc, an_unanswered_registration_is_given_up);
    tcase_add_test(tc, an_outage_is_recorded_when_the_edge_is_new);
    tcase_add_test(tc, an_outage_is_recorded_once_whichever_answer_is_first);
    tcase_add_test(tc, an_outage_that_the_edge_saw_is_the_edges_to_record);
    tcase_add_test(tc, answers_pings_and_notices_silence);
    tcase_add_test(tc, relays_streams_both_ways);
    tcase_add_test(tc, an_unreachable_proxy_is_502);
    tcase_add_test(tc, a_lost_carrier_cuts_its_streams);
    tcase_add_test(tc, refuses_what_is_no_stream);
    tcase_add_test(tc, drains_when_its_streams_are_done);
    tcase_add_test(tc, drains_while_it_dials);
    return stage_run("connector", tc);
}
