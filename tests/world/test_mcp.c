#include "tests/world/net_stage.h"

#define SELF  ADDR(ROLE_MCP, 1)
#define PROXY ADDR(ROLE_PROXY, 0)

static uint32_t ask(struct stage *st, uint64_t id, uint64_t chars)
{
    struct msg m = {.kind = M_MCP_CALL,
                    .flags = MSG_LAST,
                    .bytes = 600,
                    .a = id * 10,
                    .b = HOST(0, 1),
                    .c = chars,
                    .d = id};

    return stage_open(st, PROXY, 0, m);
}

/* The next effect must answer call `id` so. */
static struct msg answered(struct stage *st, uint32_t flow, uint64_t id, uint32_t status)
{
    struct msg m = stage_sent(st, flow, MSG_OPEN, M_MCP_RESULT);

    ck_assert_uint_eq(m.a, id * 10);
    ck_assert_uint_eq(m.b, status);
    ck_assert_uint_eq(m.d, id);
    return m;
}

START_TEST(serves_after_its_service_time)
{
    struct stage *st = stage_new();
    uint32_t flow;
    struct msg m;

    stage_add(st, SELF);
    flow = ask(st, 7, MCP_OWN_OUTPUT);
    stage_until(st, 10 * MS - 1);
    ck_assert(stage_quiet(st));
    stage_until(st, 10 * MS);
    m = answered(st, flow, 7, 200);
    ck_assert_uint_eq(m.c, 1000);
    ck_assert_uint_eq(m.bytes, 1500);
    ck_assert_uint_eq(m.flags, MSG_LAST);
    ck_assert_uint_eq(world_flow_count(st->world), 0);
    /* Extra service time, and the size that the caller wants. */
    flow =
        stage_open(st, PROXY, 0,
                   (struct msg){.kind = M_MCP_CALL, .flags = MSG_LAST, .a = 80, .c = 3, .d = 8, .e = 5 * MS});
    stage_until(st, 25 * MS - 1);
    ck_assert(stage_quiet(st));
    stage_until(st, 25 * MS);
    ck_assert_uint_eq(answered(st, flow, 8, 200).bytes, 503);
    stage_end(st, EVENT_END);
}
END_TEST

START_TEST(queues_in_order_and_sheds)
{
    struct stage *st = stage_new();
    uint32_t flows[6];

    stage_add(st, SELF);
    for (uint32_t i = 0; i < 6; i++) {
        flows[i] = ask(st, i, 0);
        if (i >= 4) answered(st, flows[i], i, 503);
    }
    ck_assert(stage_quiet(st));
    ck_assert_uint_eq(stage_counter(st, COUNTER_REQUESTS_SHED), 2);
    stage_until(st, 10 * MS);
    answered(st, flows[0], 0, 200);
    answered(st, flows[1], 1, 200);
    ck_assert(stage_quiet(st));
    stage_until(st, 20 * MS);
    answered(st, flows[2], 2, 200);
    answered(st, flows[3], 3, 200);
    stage_end(st, EVENT_END);
}
END_TEST

START_TEST(a_cancelled_request_frees_its_place)
{
    struct stage *st = stage_new();
    uint32_t flows[4];

    stage_add(st, SELF);
    for (uint32_t i = 0; i < 4; i++) flows[i] = ask(st, i, 0);
    stage_reset(st, flows[2], RESET_CANCEL); /* waits */
    stage_until(st, 4 * MS);
    stage_reset(st, flows[0], RESET_CANCEL); /* is served: number 3 begins now */
    stage_until(st, 10 * MS);
    answered(st, flows[1], 1, 200);
    stage_until(st, 14 * MS - 1);
    ck_assert(stage_quiet(st));
    stage_until(st, 14 * MS);
    answered(st, flows[3], 3, 200);
    stage_end(st, EVENT_END);
}
END_TEST

START_TEST(a_stale_timer_ends_nobody_else)
{
    struct stage *st = stage_new();
    uint32_t flow;

    st->mcp[1].concurrency = 1;
    st->mcp[1].service_ns = dist_constant(S);
    stage_add(st, SELF);
    /* So often that the slot's ids come round: the timer of the first finds the id of the last. */
    for (int i = 0; i < 256; i++) {
        flow = ask(st, 1, 0);
        if (i < 255) {
            stage_reset(st, flow, RESET_CANCEL);
            st->timer_count = 1;
        }
        if (i == 0) st->now = MS;
    }
    stage_until(st, S);
    ck_assert(stage_quiet(st));
    stage_end(st, EVENT_END);
}
END_TEST

START_TEST(sends_large_answers_in_pieces)
{
    struct stage *st = stage_new();
    uint64_t bytes = 0;
    uint32_t flow, pieces = 0;

    stage_add(st, SELF);
    flow = ask(st, 1, 200000);
    stage_until(st, S);
    while (!stage_quiet(st)) {
        struct effect ef = stage_next(st);

        ck_assert_uint_eq(ef.flow, flow);
        ck_assert_uint_le(ef.msg.bytes, BODY_CHUNK);
        ck_assert_int_eq(ef.msg.kind, pieces ? M_BODY : M_MCP_RESULT);
        bytes += ef.msg.bytes;
        ck_assert_int_eq(ef.msg.flags, bytes == 200500 ? MSG_LAST : MSG_UNFINISHED);
        pieces++;
    }
    ck_assert_uint_eq(bytes, 200500);
    ck_assert_uint_eq(pieces, 4);
    stage_end(st, EVENT_END);
}
END_TEST

START_TEST(fails_its_share)
{
    struct stage *st = stage_new();
    int failed = 0;
    const int n = 2000;

    st->mcp[1].error_ppm = 300000;
    stage_add(st, SELF);
    for (int i = 0; i < n; i++) {
        uint32_t flow = ask(st, i, 50);
        struct msg m;

        stage_until(st, st->now + S);
        m = stage_sent(st, flow, MSG_OPEN, M_MCP_RESULT);
        failed += m.b == 500;
        ck_assert_uint_eq(m.bytes, m.b == 500 ? 500 : 550);
        st->kept = st->looked_at = 0;
    }
    ck_assert_int_lt(abs(failed - n * 3 / 10), 80); /* standard error: 20.5 */
    ck_assert_uint_eq(stage_counter(st, COUNTER_HTTP_5XX), failed);
    stage_end(st, EVENT_END);
}
END_TEST

START_TEST(answers_with_a_fault)
{
    struct stage *st = stage_new();
    uint32_t flow;
    struct msg m;

    st->fault = (struct plan_fault){.kind = FAULT_ANSWER,
                                    .at_ns = S,
                                    .target = SELF,
                                    .status = 429,
                                    .share_ppm = 1000000,
                                    .retry_after_ns = 4 * NSEC_PER_MS};
    st->plan.faults = &st->fault;
    st->plan.fault_count = 1;
    stage_add(st, SELF);
    flow = ask(st, 1, 0);
    stage_until(st, S);
    answered(st, flow, 1, 200);
    flow = ask(st, 2, 0);
    m = answered(st, flow, 2, 429);
    ck_assert_uint_eq(m.e, 4 * NSEC_PER_MS);
    ck_assert_uint_eq(stage_counter(st, COUNTER_HTTP_429), 1);
    stage_end(st, EVENT_END);
}
END_TEST

START_TEST(waits_for_the_whole_request)
{
    struct stage *st = stage_new();
    uint32_t flow;

    stage_add(st, SELF);
    flow =
        stage_open(st, PROXY, 0, (struct msg){.kind = M_MCP_CALL, .flags = MSG_UNFINISHED, .a = 10, .d = 1});
    stage_until(st, S);
    ck_assert(stage_quiet(st));
    stage_data(st, flow, (struct msg){.kind = M_BODY, .flags = MSG_LAST, .bytes = 7});
    stage_until(st, S + 10 * MS);
    answered(st, flow, 1, 200);
    flow =
        stage_open(st, PROXY, 0, (struct msg){.kind = M_MCP_CALL, .flags = MSG_UNFINISHED, .a = 20, .d = 2});
    stage_reset(st, flow, RESET_CUT);
    flow = stage_open(st, PROXY, 0, (struct msg){.kind = M_WORK_POLL, .flags = MSG_LAST});
    ck_assert_uint_eq(stage_sent(st, flow, MSG_OPEN, M_MCP_RESULT).b, 400);
    ck_assert_uint_eq(world_flow_count(st->world), 0);
    stage_end(st, EVENT_END);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("mcp");

    tcase_add_test(tc, serves_after_its_service_time);
    tcase_add_test(tc, queues_in_order_and_sheds);
    tcase_add_test(tc, a_cancelled_request_frees_its_place);
    tcase_add_test(tc, a_stale_timer_ends_nobody_else);
    tcase_add_test(tc, sends_large_answers_in_pieces);
    tcase_add_test(tc, fails_its_share);
    tcase_add_test(tc, answers_with_a_fault);
    tcase_add_test(tc, waits_for_the_whole_request);
    return stage_run("mcp", tc);
}
