#include "tests/world/net_stage.h"

#define SELF      ADDR(ROLE_PROXY, 1)
#define CONNECTOR ADDR(ROLE_CONNECTOR, 1)
#define MCP(m)    ADDR(ROLE_MCP, m)

static struct stage *proxy(void)
{
    struct stage *st = stage_new();

    stage_add(st, SELF);
    return st;
}

/* A stream whose inner TLS is up. */
static uint32_t stream(struct stage *st)
{
    uint32_t flow = stage_open(st, CONNECTOR, 0, (struct msg){.kind = M_TUNNEL_STREAM, .a = HOST(1, 0)});

    ck_assert_uint_eq(stage_sent(st, flow, MSG_OPEN, M_OK).flags, 0);
    stage_data(st, flow, (struct msg){.kind = M_INNER_HELLO, .bytes = 400});
    ck_assert_uint_eq(stage_sent(st, flow, MSG_DATA, M_INNER_READY).bytes, 1500);
    return flow;
}

static void call(struct stage *st, uint32_t flow, uint64_t id, uint32_t server)
{
    stage_data(
        st, flow,
        (struct msg){.kind = M_MCP_CALL, .bytes = 600, .a = id * 10, .b = HOST(1, server), .c = 5, .d = id});
}

static uint32_t upstream(struct stage *st, uint64_t id, uint32_t server)
{
    struct effect ef = stage_opened(st, MCP(server), M_MCP_CALL);

    ck_assert_uint_eq(ef.msg.a, id * 10);
    ck_assert_uint_eq(ef.msg.d, id);
    ck_assert_uint_eq(ef.msg.c, 5);
    ck_assert_uint_eq(ef.msg.bytes, 600);
    ck_assert_uint_eq(ef.msg.flags, MSG_LAST);
    return ef.flow;
}

static struct msg result(uint64_t id, uint32_t bytes, uint8_t flags)
{
    return (struct msg){
        .kind = M_MCP_RESULT, .flags = flags, .bytes = bytes, .a = id * 10, .b = 200, .c = 99, .d = id};
}

/* The next effect must be the result of call `id` with this status. */
static void resulted(struct stage *st, uint32_t flow, uint64_t id, uint32_t status)
{
    struct msg m = stage_sent(st, flow, MSG_DATA, M_MCP_RESULT);

    ck_assert_uint_eq(m.a, id * 10);
    ck_assert_uint_eq(m.b, status);
    ck_assert_uint_eq(m.d, id);
    ck_assert_uint_eq(m.flags, 0);
}

static uint32_t marks(struct stage *st, uint64_t call_id, enum mark mark)
{
    struct span_source source = span_buffer_source(recorder_spans(st->recorder));
    uint32_t n = 0;

    for (size_t i = 0; i < source.n_marks; i++)
        n += source.marks[i].call_id == call_id && source.marks[i].mark == mark;
    return n;
}

START_TEST(passes_calls_to_their_servers)
{
    struct stage *st = proxy();
    uint32_t flow = stream(st), up;

    for (uint32_t i = 1; i <= 3; i++) {
        call(st, flow, i, i % 2);
        up = upstream(st, i, i % 2);
        stage_answer(st, up, result(i, 1500, MSG_LAST));
        resulted(st, flow, i, 200);
        ck_assert(stage_quiet(st));
        ck_assert_uint_eq(marks(st, i, MARK_GATEWAY_IN), 1);
        ck_assert_uint_eq(marks(st, i, MARK_GATEWAY_OUT), 1);
    }
    stage_data(st, flow, (struct msg){.kind = M_BYTES, .flags = MSG_LAST});
    ck_assert_uint_eq(stage_sent(st, flow, MSG_DATA, M_BYTES).flags, MSG_LAST);
    ck_assert_uint_eq(world_flow_count(st->world), 0);
    stage_end(st, EVENT_END);
}
END_TEST

START_TEST(passes_a_body_on_as_it_comes)
{
    struct stage *st = proxy();
    uint32_t flow = stream(st), up;
    struct msg m;

    call(st, flow, 1, 0);
    up = upstream(st, 1, 0);
    stage_answer(st, up, result(1, BODY_CHUNK, MSG_UNFINISHED));
    m = stage_sent(st, flow, MSG_DATA, M_MCP_RESULT);
    ck_assert_uint_eq(m.flags, MSG_UNFINISHED);
    ck_assert_uint_eq(m.bytes, BODY_CHUNK);
    ck_assert_uint_eq(stage_sent(st, up, MSG_CREDIT, M_NONE).bytes, BODY_CHUNK);
    m = result(1, 100, MSG_LAST);
    m.kind = M_BODY;
    stage_data(st, up, m);
    m = stage_sent(st, flow, MSG_DATA, M_BODY);
    ck_assert_uint_eq(m.flags, 0);
    ck_assert_uint_eq(m.bytes, 100);
    ck_assert_uint_eq(m.d, 1);
    ck_assert(stage_quiet(st));
    stage_end(st, EVENT_END);
}
END_TEST

/* The server answers call `id` with 40 pieces of 64 KiB; the first is the head's. */
static void answer_large(struct stage *st, uint32_t up, uint64_t id)
{
    struct msg m = result(id, BODY_CHUNK, MSG_UNFINISHED);

    stage_answer(st, up, m);
    m.kind = M_BODY;
    for (uint32_t i = 1; i < 40; i++) {
        if (i == 39) m.flags = MSG_LAST;
        stage_data(st, up, m);
    }
}

START_TEST(a_caller_without_credit_has_no_window)
{
    struct stage *st = proxy();
    uint32_t flow = stream(st), up;

    call(st, flow, 1, 0);
    up = upstream(st, 1, 0);
    answer_large(st, up, 1);
    ck_assert_uint_eq(marks(st, 1, MARK_GATEWAY_OUT), 1);
    stage_end(st, EVENT_END);
}
END_TEST

START_TEST(holds_what_is_beyond_the_window)
{
    struct stage *st = proxy();
    uint32_t flow = stream(st), up, chunks = 40; /* of 64 KiB: 2.5 MiB; the window is 1 MiB */
    uint64_t passed = 0, credited = 0;

    stage_credit(st, flow, 1);
    call(st, flow, 1, 0);
    up = upstream(st, 1, 0);
    answer_large(st, up, 1);
    while (!stage_quiet(st)) {
        struct effect ef = stage_next(st);

        if (ef.flow == flow) passed += ef.msg.bytes;
        if (ef.flow == up) credited += ef.msg.bytes;
    }
    ck_assert_uint_eq(passed, 1 << 20);
    ck_assert_uint_eq(credited, 1 << 20);
    ck_assert_uint_eq(marks(st, 1, MARK_GATEWAY_OUT), 0);
    for (int i = 0; i < 100 && !marks(st, 1, MARK_GATEWAY_OUT); i++) {
        stage_credit(st, flow, 20000);
        while (!stage_quiet(st)) {
            struct effect ef = stage_next(st);

            ck_assert_uint_eq(ef.flow, flow);
            ck_assert_int_eq(ef.msg.kind, M_BODY);
            passed += ef.msg.bytes;
            ck_assert_int_eq(ef.msg.flags, passed == (uint64_t)chunks * BODY_CHUNK ? 0 : MSG_UNFINISHED);
        }
    }
    ck_assert_uint_eq(passed, (uint64_t)chunks * BODY_CHUNK);
    /* The next call has the whole window. */
    call(st, flow, 2, 0);
    stage_answer(st, upstream(st, 2, 0), result(2, 1500, MSG_LAST));
    resulted(st, flow, 2, 200);
    stage_end(st, EVENT_END);
}
END_TEST

START_TEST(a_dead_server_is_502)
{
    struct stage *st = proxy();
    uint32_t flow = stream(st), up;

    call(st, flow, 1, 0);
    stage_reset(st, upstream(st, 1, 0), RESET_REFUSED);
    resulted(st, flow, 1, 502);
    call(st, flow, 2, 0);
    stage_reset(st, upstream(st, 2, 0), RESET_CUT);
    resulted(st, flow, 2, 502);
    call(st, flow, 3, 0);
    stage_answer(st, upstream(st, 3, 0), (struct msg){.kind = M_ERROR, .flags = MSG_LAST, .a = 500});
    resulted(st, flow, 3, 502);
    /* In mid-answer there is nothing to say any more. */
    call(st, flow, 4, 0);
    up = upstream(st, 4, 0);
    stage_answer(st, up, result(4, BODY_CHUNK, MSG_UNFINISHED));
    stage_next(st);
    stage_next(st);
    stage_reset(st, up, RESET_CUT);
    stage_was_reset(st, flow, RESET_CUT);
    ck_assert_uint_eq(world_flow_count(st->world), 0);
    stage_end(st, EVENT_END);
}
END_TEST

START_TEST(knows_its_routes)
{
    struct stage *st = proxy();
    uint32_t flow = stream(st);

    call(st, flow, 1, 2);
    resulted(st, flow, 1, 404);
    stage_data(st, flow, (struct msg){.kind = M_MCP_CALL, .a = 20, .b = HOST(0, 0), .d = 2});
    resulted(st, flow, 2, 404);
    stage_end(st, EVENT_END);
}
END_TEST

START_TEST(limits_connections_to_a_server)
{
    struct stage *st = proxy();
    uint32_t flows[12], ups[12];

    /* Two inside, eight wait, the rest is turned away. */
    for (uint32_t i = 0; i < 12; i++) {
        flows[i] = stream(st);
        call(st, flows[i], i + 1, 0);
        if (i < 2) ups[i] = upstream(st, i + 1, 0);
        if (i >= 10) resulted(st, flows[i], i + 1, 503);
        ck_assert(stage_quiet(st));
    }
    ck_assert_uint_eq(stage_counter(st, COUNTER_REQUESTS_SHED), 2);
    /* Another server has its own. */
    call(st, flows[11], 50, 1);
    upstream(st, 50, 1);
    /* One is done: the first that waits goes; it is answered after. */
    stage_answer(st, ups[1], result(2, 500, MSG_LAST));
    ups[2] = upstream(st, 3, 0);
    resulted(st, flows[1], 2, 200);
    /* One that waits goes away, one that is inside goes away. */
    stage_reset(st, flows[3], RESET_CANCEL);
    ck_assert(stage_quiet(st));
    stage_reset(st, flows[0], RESET_CUT);
    stage_was_reset(st, ups[0], RESET_CANCEL);
    upstream(st, 5, 0);
    ck_assert(stage_quiet(st));
    stage_end(st, EVENT_CRASH);
}
END_TEST

START_TEST(a_closing_caller_still_gets_its_answer)
{
    struct stage *st = proxy();
    uint32_t flow = stream(st), up;

    stage_data(
        st, flow,
        (struct msg){
            .kind = M_MCP_CALL, .flags = MSG_LAST, .bytes = 600, .a = 10, .b = HOST(1, 0), .c = 5, .d = 1});
    up = upstream(st, 1, 0);
    ck_assert(stage_quiet(st));
    stage_answer(st, up, result(1, 700, MSG_LAST));
    resulted(st, flow, 1, 200);
    ck_assert_uint_eq(stage_sent(st, flow, MSG_DATA, M_BYTES).flags, MSG_LAST);
    ck_assert_uint_eq(world_flow_count(st->world), 0);
    stage_end(st, EVENT_END);
}
END_TEST

START_TEST(takes_a_call_in_pieces)
{
    struct stage *st = proxy();
    uint32_t flow = stream(st);
    struct effect ef;

    stage_data(
        st, flow,
        (struct msg){
            .kind = M_MCP_CALL, .flags = MSG_UNFINISHED, .bytes = BODY_CHUNK, .b = HOST(1, 0), .d = 1});
    ck_assert(stage_quiet(st));
    stage_data(st, flow, (struct msg){.kind = M_BODY, .bytes = 64, .b = HOST(1, 0), .d = 1});
    ef = stage_opened(st, MCP(0), M_MCP_CALL);
    ck_assert_uint_eq(ef.msg.bytes, BODY_CHUNK + 64);
    ck_assert_uint_eq(ef.msg.flags, MSG_LAST);
    stage_end(st, EVENT_END);
}
END_TEST

START_TEST(breaks_off_what_breaks_the_protocol)
{
    struct stage *st = proxy();
    uint32_t flow = stream(st), up;

    call(st, flow, 1, 0);
    up = upstream(st, 1, 0);
    call(st, flow, 2, 0);
    stage_was_reset(st, flow, RESET_PROTOCOL);
    stage_was_reset(st, up, RESET_CANCEL);
    flow = stage_open(st, CONNECTOR, 0, (struct msg){.kind = M_TUNNEL_STREAM, .a = HOST(1, 0)});
    stage_next(st);
    call(st, flow, 3, 0);
    stage_was_reset(st, flow, RESET_PROTOCOL);
    flow = stage_open(st, CONNECTOR, 0, (struct msg){.kind = M_WORK_POLL});
    ck_assert_uint_eq(stage_sent(st, flow, MSG_OPEN, M_ERROR).a, 400);
    ck_assert_uint_eq(stage_counter(st, COUNTER_PROTOCOL_VIOLATIONS), 3);
    stage_end(st, EVENT_END);
}
END_TEST

START_TEST(bounds_its_streams)
{
    struct stage *st = stage_new();
    uint32_t flow;

    st->plan.tunnels.connections = 1;
    st->plan.tunnels.streams_max = 2;
    stage_add(st, SELF);
    stream(st);
    stream(st);
    flow = stage_open(st, CONNECTOR, 0, (struct msg){.kind = M_TUNNEL_STREAM, .a = HOST(1, 0)});
    ck_assert_uint_eq(stage_sent(st, flow, MSG_OPEN, M_ERROR).a, 503);
    stage_reset(st, flow, RESET_CANCEL);
    stage_end(st, EVENT_END);
}
END_TEST

START_TEST(answers_with_a_fault)
{
    struct stage *st = stage_new();
    uint32_t flow;
    struct msg m;

    st->fault = (struct plan_fault){.kind = FAULT_ANSWER,
                                    .target = ADDR(ROLE_PROXY, 0),
                                    .all_instances = true,
                                    .status = 529,
                                    .share_ppm = 1000000,
                                    .retry_after_ns = 2 * S + 1};
    st->plan.faults = &st->fault;
    st->plan.fault_count = 1;
    stage_add(st, SELF);
    flow = stream(st);
    call(st, flow, 1, 0);
    m = stage_sent(st, flow, MSG_DATA, M_MCP_RESULT);
    ck_assert_uint_eq(m.b, 529);
    ck_assert_uint_eq(m.e, 3 * S);
    stage_end(st, EVENT_END);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("proxy");

    tcase_add_test(tc, passes_calls_to_their_servers);
    tcase_add_test(tc, passes_a_body_on_as_it_comes);
    tcase_add_test(tc, a_caller_without_credit_has_no_window);
    tcase_add_test(tc, holds_what_is_beyond_the_window);
    tcase_add_test(tc, a_dead_server_is_502);
    tcase_add_test(tc, knows_its_routes);
    tcase_add_test(tc, limits_connections_to_a_server);
    tcase_add_test(tc, a_closing_caller_still_gets_its_answer);
    tcase_add_test(tc, takes_a_call_in_pieces);
    tcase_add_test(tc, breaks_off_what_breaks_the_protocol);
    tcase_add_test(tc, bounds_its_streams);
    tcase_add_test(tc, answers_with_a_fault);
    return stage_run("proxy", tc);
}
