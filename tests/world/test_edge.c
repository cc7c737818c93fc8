#include "tests/world/net_stage.h"

#define SELF         ADDR(ROLE_EDGE, 0)
#define CONNECTOR(k) ADDR(ROLE_CONNECTOR, k)
#define ORCHESTRATOR ADDR(ROLE_ORCHESTRATOR, 0)

static struct stage *edge(void)
{
    struct stage *st = stage_new();

    stage_add(st, SELF);
    return st;
}

static uint32_t try_register(struct stage *st, uint32_t connector, uint32_t index, uint32_t incarnation)
{
    struct msg m = {.kind = M_REGISTER,
                    .bytes = 600,
                    .a = connector / st->plan.tunnels.replicas,
                    .b = index,
                    .c = (uint64_t)connector << 32 | incarnation};

    return stage_open(st, CONNECTOR(connector), 0, m);
}

static uint32_t registered(struct stage *st, uint32_t connector, uint32_t index, bool seen)
{
    uint32_t flow = try_register(st, connector, index, 0);
    struct msg m = stage_sent(st, flow, MSG_OPEN, M_OK);

    ck_assert_uint_eq(m.b, seen);
    ck_assert_uint_eq(m.flags, 0);
    return flow;
}

static uint32_t stream(struct stage *st, uint32_t tunnel)
{
    return stage_open(st, ORCHESTRATOR, 0,
                      (struct msg){.kind = M_TUNNEL_STREAM, .bytes = 250, .a = HOST(tunnel, 1)});
}

/* Opens a stream that must be refused so. */
static struct msg refused(struct stage *st, uint32_t tunnel, uint32_t status)
{
    uint32_t flow = stream(st, tunnel);
    struct msg m = stage_sent(st, flow, MSG_OPEN, M_ERROR);

    ck_assert_uint_eq(m.a, status);
    ck_assert_uint_eq(m.flags, MSG_LAST);
    stage_data(st, flow, (struct msg){.kind = M_BYTES, .bytes = 1});
    stage_reset(st, flow, RESET_CANCEL);
    ck_assert(stage_quiet(st));
    return m;
}

START_TEST(spreads_streams_over_the_connections)
{
    struct stage *st = edge();
    uint32_t carriers[2] = {registered(st, 1, 0, false), registered(st, 1, 1, true)};
    struct effect ef;

    for (int i = 0; i < 6; i++) {
        stream(st, 1);
        ef = stage_opened(st, CONNECTOR(1), M_TUNNEL_STREAM);
        ck_assert_uint_eq(ef.via, carriers[i % 2]);
        ck_assert_uint_eq(ef.msg.a, HOST(1, 1));
        ck_assert_uint_eq(ef.msg.bytes, 250);
    }
    ck_assert_uint_eq(stage_opens(st, ACCOUNT_STREAM), 6);
    stage_end(st, EVENT_CRASH);
}
END_TEST

START_TEST(says_why_there_is_no_way)
{
    struct stage *st = stage_new();

    st->plan.tunnels.streams_max = 1;
    stage_add(st, SELF);
    refused(st, 2, 404);
    refused(st, 0, 502);
    registered(st, 0, 0, false);
    stream(st, 0);
    stage_opened(st, CONNECTOR(0), M_TUNNEL_STREAM);
    refused(st, 0, 503);
    ck_assert_uint_eq(stage_ends(st, ACCOUNT_STREAM, LEDGER_FAILED), 2);
    ck_assert_uint_eq(stage_ends(st, ACCOUNT_STREAM, LEDGER_SHED), 1);
    ck_assert_uint_eq(stage_counter(st, COUNTER_HTTP_4XX), 1);
    ck_assert_uint_eq(stage_counter(st, COUNTER_HTTP_5XX), 2);
    stage_end(st, EVENT_END);
}
END_TEST

/* A fault's answer counts as any other. */
START_TEST(answers_streams_with_a_fault)
{
    struct stage *st = stage_new();
    struct plan_fault fault = {.kind = FAULT_ANSWER, .target = SELF, .status = 429, .share_ppm = 1000000};

    st->plan.faults = &fault;
    st->plan.fault_count = 1;
    stage_add(st, SELF);
    refused(st, 0, 429);
    fault.status = 503;
    refused(st, 0, 503);
    ck_assert_uint_eq(stage_ends(st, ACCOUNT_STREAM, LEDGER_FAILED), 2);
    ck_assert_uint_eq(stage_counter(st, COUNTER_HTTP_429), 1);
    ck_assert_uint_eq(stage_counter(st, COUNTER_HTTP_5XX), 1);
    stage_end(st, EVENT_END);
}
END_TEST

START_TEST(relays_and_ends_streams)
{
    struct stage *st = edge();
    uint32_t near, far;

    registered(st, 0, 0, false);
    /* In order. */
    near = stream(st, 0);
    far = stage_opened(st, CONNECTOR(0), M_TUNNEL_STREAM).flow;
    stage_answer(st, far, (struct msg){.kind = M_OK});
    stage_sent(st, near, MSG_OPEN, M_OK);
    stage_data(st, near, (struct msg){.kind = M_INNER_HELLO, .bytes = 400});
    ck_assert_uint_eq(stage_sent(st, far, MSG_DATA, M_INNER_HELLO).bytes, 400);
    stage_credit(st, far, 77);
    ck_assert_uint_eq(stage_sent(st, near, MSG_CREDIT, M_NONE).bytes, 77);
    stage_data(st, near, (struct msg){.kind = M_BYTES, .flags = MSG_LAST});
    stage_next(st);
    stage_data(st, far, (struct msg){.kind = M_BYTES, .flags = MSG_LAST});
    stage_next(st);
    ck_assert_uint_eq(stage_ends(st, ACCOUNT_STREAM, LEDGER_COMPLETED), 1);
    /* Cancelled. */
    near = stream(st, 0);
    far = stage_opened(st, CONNECTOR(0), M_TUNNEL_STREAM).flow;
    stage_reset(st, near, RESET_CANCEL);
    stage_was_reset(st, far, RESET_CANCEL);
    ck_assert_uint_eq(stage_ends(st, ACCOUNT_STREAM, LEDGER_COMPLETED), 2);
    /* Refused further on. */
    near = stream(st, 0);
    far = stage_opened(st, CONNECTOR(0), M_TUNNEL_STREAM).flow;
    stage_answer(st, far, (struct msg){.kind = M_ERROR, .flags = MSG_LAST, .a = 502});
    ck_assert_uint_eq(stage_sent(st, near, MSG_OPEN, M_ERROR).a, 502);
    stage_data(st, near, (struct msg){.kind = M_BYTES, .flags = MSG_LAST});
    stage_next(st);
    ck_assert_uint_eq(stage_ends(st, ACCOUNT_STREAM, LEDGER_FAILED), 1);
    /* Dropped for its slowness, and cut. */
    near = stream(st, 0);
    far = stage_opened(st, CONNECTOR(0), M_TUNNEL_STREAM).flow;
    stage_reset(st, far, RESET_OVERFLOW);
    stage_was_reset(st, near, RESET_OVERFLOW);
    ck_assert_uint_eq(stage_ends(st, ACCOUNT_STREAM, LEDGER_SHED), 1);
    near = stream(st, 0);
    far = stage_opened(st, CONNECTOR(0), M_TUNNEL_STREAM).flow;
    stage_reset(st, near, RESET_CUT);
    stage_was_reset(st, far, RESET_CUT);
    ck_assert_uint_eq(stage_ends(st, ACCOUNT_STREAM, LEDGER_LOST), 1);
    ck_assert_uint_eq(world_flow_count(st->world), 1);
    stage_end(st, EVENT_END);
}
END_TEST

START_TEST(a_lost_carrier_cuts_its_streams)
{
    struct stage *st = edge();
    uint32_t carrier = registered(st, 0, 0, false), near, far;

    near = stream(st, 0);
    far = stage_opened(st, CONNECTOR(0), M_TUNNEL_STREAM).flow;
    stage_reset(st, carrier, RESET_CUT);
    refused(st, 0, 502);
    stage_reset(st, far, RESET_CARRIER);
    stage_was_reset(st, near, RESET_CUT);
    ck_assert_uint_eq(stage_ends(st, ACCOUNT_STREAM, LEDGER_LOST), 1);
    ck_assert_uint_eq(world_flow_count(st->world), 0);
    stage_end(st, EVENT_END);
}
END_TEST

START_TEST(records_outages)
{
    struct stage *st = edge();
    uint32_t a, b;

    st->now = 10 * S;
    a = registered(st, 0, 0, false);
    st->now = 11 * S;
    b = registered(st, 0, 1, true);
    ck_assert_uint_eq(histogram_count(stage_metric(st, METRIC_TUNNEL_RECONNECT)), 0);
    st->now = 20 * S;
    stage_reset(st, a, RESET_CUT);
    st->now = 22 * S;
    stage_reset(st, b, RESET_CUT);
    st->now = 30 * S;
    a = registered(st, 0, 1, true);
    ck_assert_uint_eq(histogram_max(stage_metric(st, METRIC_TUNNEL_USABLE)), 8 * S);
    ck_assert_uint_eq(histogram_count(stage_metric(st, METRIC_TUNNEL_RECONNECT)), 0);
    st->now = 50 * S;
    b = registered(st, 0, 0, true);
    ck_assert_uint_eq(histogram_max(stage_metric(st, METRIC_TUNNEL_RECONNECT)), 30 * S);
    /* One alone: the tunnel stays usable. */
    st->now = 60 * S;
    stage_reset(st, b, RESET_CUT);
    st->now = 71 * S;
    registered(st, 0, 0, true);
    ck_assert_uint_eq(histogram_count(stage_metric(st, METRIC_TUNNEL_USABLE)), 1);
    ck_assert_uint_eq(histogram_count(stage_metric(st, METRIC_TUNNEL_RECONNECT)), 2);
    ck_assert_uint_eq(histogram_min(stage_metric(st, METRIC_TUNNEL_RECONNECT)), 11 * S);
    stage_end(st, EVENT_END);
}
END_TEST

START_TEST(refuses_duplicates_and_nonsense)
{
    struct stage *st = edge();
    uint32_t old = registered(st, 1, 0, false), flow;
    struct msg m;

    flow = try_register(st, 1, 0, 0);
    m = stage_sent(st, flow, MSG_OPEN, M_ERROR);
    ck_assert_uint_eq(m.a, 409);
    ck_assert_uint_eq(m.b, ERROR_CONFLICT);
    ck_assert_uint_eq(m.c, S);
    stage_reset(st, flow, RESET_CANCEL);
    /* Number out of range, tunnel unknown, connector of another tunnel. */
    flow = try_register(st, 1, 2, 0);
    ck_assert_uint_eq(stage_sent(st, flow, MSG_OPEN, M_ERROR).a, 404);
    flow = try_register(st, 2, 0, 0);
    ck_assert_uint_eq(stage_sent(st, flow, MSG_OPEN, M_ERROR).a, 404);
    flow = stage_open(st, CONNECTOR(1), 0, (struct msg){.kind = M_REGISTER, .a = 0, .c = UINT64_C(1) << 32});
    ck_assert_uint_eq(stage_sent(st, flow, MSG_OPEN, M_ERROR).a, 404);
    flow = stage_open(st, CONNECTOR(1), 0, (struct msg){.kind = M_WORK_POLL});
    ck_assert_uint_eq(stage_sent(st, flow, MSG_OPEN, M_ERROR).a, 400);
    ck_assert_uint_eq(stage_counter(st, COUNTER_CONNECTIONS_REJECTED), 4);
    /* The connector was restarted. */
    flow = try_register(st, 1, 0, 1);
    stage_was_reset(st, old, RESET_CUT);
    ck_assert_uint_eq(stage_sent(st, flow, MSG_OPEN, M_OK).b, 1);
    stage_end(st, EVENT_END);
}
END_TEST

START_TEST(lets_a_connection_drain)
{
    struct stage *st = edge();
    uint32_t a = registered(st, 0, 0, false), b = registered(st, 0, 1, true), near, far;

    near = stream(st, 0);
    far = stage_opened(st, CONNECTOR(0), M_TUNNEL_STREAM).flow;
    stage_answer(st, far, (struct msg){.kind = M_OK});
    stage_next(st);
    stage_data(st, a, (struct msg){.kind = M_UNREGISTER});
    ck_assert(stage_quiet(st));
    for (int i = 0; i < 3; i++) {
        stream(st, 0);
        ck_assert_uint_eq(stage_opened(st, CONNECTOR(0), M_TUNNEL_STREAM).via, b);
    }
    /* The last stream goes, the carrier is closed. */
    stage_reset(st, near, RESET_CANCEL);
    stage_was_reset(st, far, RESET_CANCEL);
    ck_assert_uint_eq(stage_sent(st, a, MSG_DATA, M_UNREGISTER).flags, MSG_LAST);
    stage_data(st, a, (struct msg){.kind = M_UNREGISTER, .flags = MSG_LAST});
    /* The other side may say it first. */
    stage_data(st, b, (struct msg){.kind = M_UNREGISTER, .flags = MSG_LAST});
    ck_assert_uint_eq(stage_sent(st, b, MSG_DATA, M_UNREGISTER).flags, MSG_LAST);
    refused(st, 0, 502);
    stage_end(st, EVENT_END);
}
END_TEST

START_TEST(drains_when_its_streams_are_done)
{
    struct stage *st = edge();
    uint32_t a = registered(st, 0, 0, false), b = registered(st, 0, 1, true), near[2], far[2], late;

    for (int i = 0; i < 2; i++) {
        near[i] = stream(st, 0);
        far[i] = stage_opened(st, CONNECTOR(0), M_TUNNEL_STREAM).flow;
        stage_answer(st, far[i], (struct msg){.kind = M_OK});
        stage_next(st);
    }
    stage_event(st, EVENT_DRAIN);
    ck_assert_uint_eq(stage_sent(st, a, MSG_DATA, M_UNREGISTER).flags, 0);
    ck_assert_uint_eq(stage_sent(st, b, MSG_DATA, M_UNREGISTER).flags, 0);
    ck_assert(stage_quiet(st));
    /* Nothing new comes in. */
    refused(st, 0, 502);
    late = try_register(st, 1, 0, 0);
    ck_assert_uint_eq(stage_sent(st, late, MSG_OPEN, M_ERROR).a, 503);
    stage_data(st, late, (struct msg){.kind = M_BYTES, .flags = MSG_LAST});
    /* What is there goes on until it ends, and its connection with it. */
    stage_data(st, near[0], (struct msg){.kind = M_BYTES});
    stage_sent(st, far[0], MSG_DATA, M_BYTES);
    stage_reset(st, near[0], RESET_CANCEL);
    stage_was_reset(st, far[0], RESET_CANCEL);
    ck_assert_uint_eq(stage_sent(st, a, MSG_DATA, M_UNREGISTER).flags, MSG_LAST);
    stage_data(st, a, (struct msg){.kind = M_UNREGISTER, .flags = MSG_LAST});
    stage_until(st, 30 * S - 1);
    ck_assert(stage_quiet(st));
    /* The grace is over. */
    stage_until(st, 30 * S);
    stage_was_reset(st, near[1], RESET_CUT);
    stage_was_reset(st, far[1], RESET_CUT);
    ck_assert_uint_eq(stage_sent(st, b, MSG_DATA, M_UNREGISTER).flags, MSG_LAST);
    stage_data(st, b, (struct msg){.kind = M_UNREGISTER, .flags = MSG_LAST});
    ck_assert_uint_eq(world_flow_count(st->world), 0);
    ck_assert_uint_eq(stage_ends(st, ACCOUNT_STREAM, LEDGER_LOST), 1);
    ck_assert_uint_eq(stage_ends(st, ACCOUNT_STREAM, LEDGER_COMPLETED), 1);
    stage_until(st, 4000 * S);
    ck_assert(stage_quiet(st));
    stage_end(st, EVENT_END);
}
END_TEST

START_TEST(closes_an_empty_draining_connection_at_once)
{
    struct stage *st = edge();
    uint32_t a = registered(st, 0, 0, false);

    stage_data(st, a, (struct msg){.kind = M_UNREGISTER});
    ck_assert_uint_eq(stage_sent(st, a, MSG_DATA, M_UNREGISTER).flags, MSG_LAST);
    stage_data(st, a, (struct msg){.kind = M_UNREGISTER, .flags = MSG_LAST});
    ck_assert_uint_eq(world_flow_count(st->world), 0);
    registered(st, 0, 0, true);
    stage_end(st, EVENT_END);
}
END_TEST

START_TEST(pings_and_drops_a_silent_connection)
{
    struct stage *st = stage_new();
    uint32_t a, b;

    st->plan.tunnels.edge_detect_ns = 10 * S;
    stage_add(st, SELF);
    a = registered(st, 0, 0, false);
    stage_until(st, 2 * S);
    b = registered(st, 0, 1, true);
    stage_until(st, 5 * S - 1);
    ck_assert(stage_quiet(st));
    stage_until(st, 5 * S);
    stage_sent(st, a, MSG_DATA, M_PING);
    stage_data(st, a, (struct msg){.kind = M_PONG, .bytes = 17});
    stage_until(st, 7 * S);
    stage_sent(st, b, MSG_DATA, M_PING);
    stage_until(st, 10 * S);
    stage_sent(st, a, MSG_DATA, M_PING);
    stage_until(st, 12 * S - 1);
    ck_assert(stage_quiet(st));
    stage_until(st, 12 * S);
    stage_was_reset(st, b, RESET_CUT);
    stage_until(st, 15 * S);
    stage_was_reset(st, a, RESET_CUT);
    ck_assert_uint_eq(stage_counter(st, COUNTER_TIMEOUTS), 2);
    ck_assert_uint_lt(st->timers_fired, 8);
    stage_end(st, EVENT_END);
}
END_TEST

START_TEST(answers_with_a_fault)
{
    struct stage *st = stage_new();

    st->fault = (struct plan_fault){.kind = FAULT_ANSWER,
                                    .at_ns = S,
                                    .for_ns = S,
                                    .target = SELF,
                                    .status = 429,
                                    .share_ppm = 1000000,
                                    .retry_after_ns = 2 * S + 1};
    st->plan.faults = &st->fault;
    st->plan.fault_count = 1;
    stage_add(st, SELF);
    registered(st, 0, 0, false);
    st->now = S;
    /* In whole seconds, as Retry-After has it. */
    ck_assert_uint_eq(refused(st, 0, 429).c, 3 * S);
    st->now = 2 * S;
    stream(st, 0);
    stage_opened(st, CONNECTOR(0), M_TUNNEL_STREAM);
    stage_end(st, EVENT_CRASH);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("edge");

    tcase_add_test(tc, spreads_streams_over_the_connections);
    tcase_add_test(tc, says_why_there_is_no_way);
    tcase_add_test(tc, answers_streams_with_a_fault);
    tcase_add_test(tc, relays_and_ends_streams);
    tcase_add_test(tc, a_lost_carrier_cuts_its_streams);
    tcase_add_test(tc, records_outages);
    tcase_add_test(tc, refuses_duplicates_and_nonsense);
    tcase_add_test(tc, lets_a_connection_drain);
    tcase_add_test(tc, drains_when_its_streams_are_done);
    tcase_add_test(tc, closes_an_empty_draining_connection_at_once);
    tcase_add_test(tc, pings_and_drops_a_silent_connection);
    tcase_add_test(tc, answers_with_a_fault);
    return stage_run("edge", tc);
}
