#include "tests/world/hand.h"

#define RUNNER ADDR(ROLE_RUNNER, 0)

#define ITEM    500
#define SESSION 77

static struct msg kind_a(enum msg_kind kind, uint64_t a)
{
    return (struct msg){.kind = (uint16_t)kind, .a = a};
}

static uint32_t poll_answered(struct hand *h, uint64_t item, uint64_t session)
{
    struct effect poll = hand_wait(h, M_WORK_POLL, NSEC_MAX), ack;

    hand_answer(h, poll.flow, (struct msg){.kind = M_WORK, .a = item, .b = session});
    ack = hand_request(h, M_WORK_ACK);
    ck_assert_uint_eq(ack.msg.a, item);
    return ack.flow;
}

static void beat(struct hand *h, uint32_t flow, enum work_state state)
{
    hand_answer(h, flow, (struct msg){.kind = M_HEARTBEAT, .a = h->now, .b = 300 * S, .c = state, .d = 1});
}

/* Claims an item up to the open stream; returns the stream and the request for the history. */
static uint32_t claim(struct hand *h, uint32_t *ret_list)
{
    struct effect first_beat, list;
    uint32_t stream;

    hand_answer(h, poll_answered(h, ITEM, SESSION), kind_a(M_WORK, ITEM));
    first_beat = hand_request(h, M_WORK_HEARTBEAT);
    ck_assert_uint_eq(first_beat.msg.b, HEARTBEAT_NONE);
    beat(h, first_beat.flow, WORK_ACTIVE);
    hand_answer(h, hand_request(h, M_SESSION_GET).flow,
                (struct msg){.kind = M_SESSION, .a = SESSION, .b = SESSION_RUNNING});
    stream = hand_request(h, M_STREAM).flow;
    hand_no_request(h, M_EVENTS_LIST); /* the stream is open before the history is read */
    hand_msg(h, stream, MSG_OPEN, kind_a(M_OK, 0));
    list = hand_request(h, M_EVENTS_LIST);
    ck_assert_uint_eq(list.msg.b, 0);
    ck_assert_uint_eq(list.msg.c, 1000);
    *ret_list = list.flow;
    return stream;
}

static uint32_t serve(struct hand *h)
{
    uint32_t list, stream = claim(h, &list);

    hand_answer(h, list, kind_a(M_OK, 0));
    return stream;
}

static void tool_use(struct hand *h, uint32_t flow, enum tool tool, uint32_t seq, uint64_t c, uint64_t d,
                     uint32_t flags)
{
    struct msg m = {.kind = M_EVENT,
                    .flags = (uint8_t)flags,
                    .bytes = 350,
                    .a = 1000 + seq,
                    .b = EVENT_B(EV_AGENT_TOOL_USE, tool, 0, seq),
                    .c = c,
                    .d = d,
                    .e = h->now};

    hand_msg(h, flow, MSG_DATA, m);
}

static uint64_t ends(const struct hand *h, enum account account, enum ledger_end end)
{
    return hand_totals(h, account).ends[end];
}

START_TEST(a_call_from_claim_to_result)
{
    struct hand *h = hand_new();
    struct effect post;
    uint32_t stream;
    nsec_t t;

    hand_start(h, RUNNER);
    stream = serve(h);
    t = h->now;
    tool_use(h, stream, TOOL_BASH, 3, 5 * S, 400, 0);
    /* 2 s cold start, 5 s execution. */
    post = hand_wait(h, M_EVENTS_SEND, t + 7 * S);
    ck_assert_uint_eq(h->now, t + 7 * S);
    ck_assert_uint_eq(post.msg.a, SESSION);
    ck_assert_uint_eq(post.msg.b, EV_USER_TOOL_RESULT);
    ck_assert_uint_eq(post.msg.c, 1003);
    ck_assert_uint_eq(post.msg.d, 400);
    ck_assert_uint_eq(post.msg.e, 0);
    ck_assert_uint_eq(post.msg.bytes, 850);
    hand_until(h, t + 8 * S);
    hand_answer(h, post.flow, kind_a(M_OK, 2000));
    ck_assert_uint_eq(histogram_max(hand_metric(h, METRIC_RESULT_POST)), 1 * S);
    ck_assert_uint_eq(histogram_max(hand_metric(h, METRIC_SANDBOX_START)), 2 * S);
    /* The next one finds the session's sandbox. */
    tool_use(h, stream, TOOL_BASH, 6, 1 * S, 400, 0);
    post = hand_wait(h, M_EVENTS_SEND, t + 9 * S);
    hand_answer(h, post.flow, kind_a(M_OK, 2001));
    hand_session_event(h, stream, EV_STATUS_IDLE, 9, STOP_END_TURN, 0);
    for (int i = 0; i < 2; i++) beat(h, hand_wait(h, M_WORK_HEARTBEAT, t + 68 * S).flow, WORK_ACTIVE);
    hand_until(h, t + 68 * S);
    hand_no_request(h, M_WORK_STOP);
    hand_until(h, t + 69 * S);
    struct effect stop = hand_request(h, M_WORK_STOP);
    ck_assert_uint_eq(stop.msg.a, ITEM);
    ck_assert_uint_eq(stop.msg.b, 1);
    ck_assert(hand_sent(h, stream, MSG_RESET, NULL));
    ck_assert_uint_eq(ends(h, ACCOUNT_RESULT, LEDGER_COMPLETED), 2);
    ck_assert_uint_eq(ends(h, ACCOUNT_SANDBOX, LEDGER_COMPLETED), 1);
    ck_assert_uint_eq(hand_count(h, COUNTER_SANDBOX_NS), 69 * S);
    hand_error(h, stop.flow, 409);
    hand_request(h, M_WORK_POLL);
    hand_end(h, EVENT_END);
}
END_TEST

START_TEST(empty_polls_and_their_counts)
{
    struct hand *h = hand_new();

    h->runner.workers = 3;
    hand_start(h, RUNNER);
    hand_until(h, 3 * S);
    uint64_t first = hand_request(h, M_WORK_POLL).msg.b;
    struct effect second = hand_request(h, M_WORK_POLL);
    ck_assert_uint_ne(first, second.msg.b);
    ck_assert_uint_eq(second.msg.c, 999 * MS);
    hand_request(h, M_WORK_POLL);
    hand_no_request(h, M_WORK_POLL);
    hand_answer(h, second.flow, kind_a(M_NO_WORK, 0));
    hand_until(h, 4 * S - 1);
    hand_no_request(h, M_WORK_POLL);
    ck_assert_uint_eq(hand_wait(h, M_WORK_POLL, 6 * S).msg.b, second.msg.b);
    ck_assert_uint_eq(hand_count(h, COUNTER_POLLS), 4);
    ck_assert_uint_eq(hand_count(h, COUNTER_POLLS_EMPTY), 1);
    hand_end(h, EVENT_END);
}
END_TEST

START_TEST(history_is_read_before_anything_is_served)
{
    struct hand *h = hand_new();
    uint32_t list, stream;
    struct effect post;

    h->runner.cold_start_ns = dist_constant(0);
    hand_start(h, RUNNER);
    stream = claim(h, &list);
    tool_use(h, stream, TOOL_BASH, 5, 1 * S, 10, 0); /* answered later in the history: by another worker */
    tool_use(h, stream, TOOL_BASH, 7, 1 * S, 10, 0);
    hand_msg(h, list, MSG_OPEN, (struct msg){.kind = M_OK, .a = 4, .b = 2});
    tool_use(h, list, TOOL_BASH, 2, 1 * S, 10, 0);
    hand_session_event(h, list, EV_USER_TOOL_RESULT, 3, 1002, MSG_LAST);
    struct effect more = hand_request(h, M_EVENTS_LIST);
    ck_assert_uint_eq(more.msg.b, 4);
    hand_no_request(h, M_EVENTS_SEND);
    hand_msg(h, more.flow, MSG_OPEN, (struct msg){.kind = M_OK, .b = 4});
    tool_use(h, more.flow, TOOL_BASH, 4, 1 * S, 10, 0);
    tool_use(h, more.flow, TOOL_BASH, 5, 1 * S, 10, 0);
    hand_session_event(h, more.flow, EV_USER_TOOL_RESULT, 6, 1005, 0);
    tool_use(h, more.flow, TOOL_BASH, 7, 1 * S, 10, MSG_LAST);
    hand_until(h, h->now + 10 * S);
    post = hand_request(h, M_EVENTS_SEND);
    ck_assert_uint_eq(post.msg.c, 1004);
    post = hand_request(h, M_EVENTS_SEND);
    ck_assert_uint_eq(post.msg.c, 1007);
    hand_no_request(h, M_EVENTS_SEND);
    hand_end(h, EVENT_END);
}
END_TEST

START_TEST(no_call_is_served_twice_in_one_claim)
{
    struct hand *h = hand_new();
    struct effect posts[3], list;
    uint32_t stream;

    h->runner.cold_start_ns = dist_constant(0);
    hand_start(h, RUNNER);
    stream = serve(h);
    for (uint32_t i = 0; i < 3; i++) tool_use(h, stream, TOOL_BASH, 10 + i, (3 - i) * S, 10, 0);
    hand_until(h, h->now + 2 * S);
    for (int i = 2; i > 0; i--) {
        posts[i] = hand_request(h, M_EVENTS_SEND);
        ck_assert_uint_eq(posts[i].msg.c, 1010 + (uint64_t)i);
    }
    hand_answer(h, posts[2].flow, kind_a(M_OK, 1));
    hand_error(h, posts[1].flow, 400); /* refused for good: failed */
    hand_reset(h, stream);
    stream = hand_wait(h, M_STREAM, h->now + 600 * MS).flow;
    hand_msg(h, stream, MSG_OPEN, kind_a(M_OK, 0));
    tool_use(h, stream, TOOL_BASH, 14, 0, 10, 0);
    list = hand_request(h, M_EVENTS_LIST);
    hand_msg(h, list.flow, MSG_OPEN, (struct msg){.kind = M_OK, .b = 5});
    for (uint32_t i = 0; i < 3; i++) tool_use(h, list.flow, TOOL_BASH, 10 + i, (3 - i) * S, 10, 0);
    tool_use(h, list.flow, TOOL_BASH, 13, 0, 10, 0); /* unseen so far */
    tool_use(h, list.flow, TOOL_BASH, 14, 0, 10, MSG_LAST);
    hand_until(h, h->now + 10 * S);
    ck_assert_uint_eq(hand_request(h, M_EVENTS_SEND).msg.c, 1013);
    ck_assert_uint_eq(hand_request(h, M_EVENTS_SEND).msg.c, 1014);
    ck_assert_uint_eq(hand_request(h, M_EVENTS_SEND).msg.c, 1010);
    hand_no_request(h, M_EVENTS_SEND);
    ck_assert_uint_eq(ends(h, ACCOUNT_RESULT, LEDGER_COMPLETED), 1);
    ck_assert_uint_eq(ends(h, ACCOUNT_RESULT, LEDGER_FAILED), 1);
    hand_end(h, EVENT_CRASH);
}
END_TEST

START_TEST(large_outputs_are_spilled)
{
    struct hand *h = hand_new();
    struct effect write, post;
    uint32_t stream;

    h->runner.cold_start_ns = dist_constant(0);
    hand_start(h, RUNNER);
    stream = serve(h);
    tool_use(h, stream, TOOL_BASH, 1, 1 * S, 400000, 0);
    tool_use(h, stream, TOOL_BASH, 2, 1 * S, 100000, 0); /* just not */
    write = hand_wait(h, M_FILE_WRITE, h->now + 1 * S);
    ck_assert_uint_eq(write.to, ADDR(ROLE_DISK, 0));
    ck_assert_uint_eq(write.msg.a, 1001);
    ck_assert_uint_eq(write.msg.b, 400000);
    ck_assert_uint_eq(write.msg.c, SESSION);
    ck_assert_uint_eq(write.msg.d, 0);
    hand_until(h, h->now); /* the second ends in the same moment */
    post = hand_wait(h, M_EVENTS_SEND, h->now);
    ck_assert_uint_eq(post.msg.c, 1002);
    ck_assert_uint_eq(post.msg.bytes, BODY_CHUNK);
    struct msg body;
    ck_assert(hand_sent(h, post.flow, MSG_DATA, &body));
    ck_assert_uint_eq(body.kind, M_BODY);
    ck_assert_uint_eq(body.bytes, 100000 + 450 - BODY_CHUNK);
    ck_assert_uint_eq(body.flags, MSG_LAST);
    hand_until(h, h->now + 250 * MS);
    hand_answer(h, write.flow, kind_a(M_OK, 400000));
    post = hand_request(h, M_EVENTS_SEND);
    ck_assert_uint_eq(post.msg.d, SPILL_NOTE_CHARS + 2000);
    ck_assert_uint_eq(post.msg.e, (UINT64_C(400000) << 8) | EVENT_SPILLED);
    ck_assert_uint_eq(histogram_max(hand_metric(h, METRIC_SPILL_WRITE)), 250 * MS);
    ck_assert_uint_eq(hand_count(h, COUNTER_SPILLED_BYTES), 400000);
    /* One that cannot be written. */
    tool_use(h, stream, TOOL_BASH, 3, 0, 400000, 0);
    hand_error(h, hand_wait(h, M_FILE_WRITE, h->now).flow, 500);
    post = hand_request(h, M_EVENTS_SEND);
    ck_assert_uint_eq(post.msg.e, EVENT_IS_ERROR);
    ck_assert_uint_eq(ends(h, ACCOUNT_SPILL, LEDGER_COMPLETED), 1);
    ck_assert_uint_eq(ends(h, ACCOUNT_SPILL, LEDGER_FAILED), 1);
    hand_end(h, EVENT_END);
}
END_TEST

START_TEST(files_are_written_and_read_by_tools)
{
    struct hand *h = hand_new();
    struct effect file, post;
    uint32_t stream;

    h->runner.cold_start_ns = dist_constant(0);
    hand_start(h, RUNNER);
    stream = serve(h);
    tool_use(h, stream, TOOL_WRITE, 1, 4711, 300000, 0);
    file = hand_wait(h, M_FILE_WRITE, h->now);
    ck_assert_uint_eq(file.msg.a, 4711);
    ck_assert_uint_eq(file.msg.b, 300000);
    ck_assert_uint_eq(file.msg.d, 1); /* the bytes that came with it */
    hand_answer(h, file.flow, kind_a(M_OK, 300000));
    post = hand_request(h, M_EVENTS_SEND);
    ck_assert_uint_lt(post.msg.d, 200);
    ck_assert_uint_eq(post.msg.e, 0);
    /* What is written is the output of another call: a part of that. */
    ck_assert_uint_eq(hand_marked(h, 4711, MARK_CLAIMED), 1);
    ck_assert_uint_eq(hand_marked(h, 4711, MARK_SANDBOX_READY), 1);
    ck_assert_uint_eq(hand_marked(h, 4711, MARK_SPILL_DONE), 1);
    ck_assert_uint_eq(hand_marked(h, 4711, MARK_RESULT_SENT), 1);
    ck_assert_uint_eq(hand_marked(h, 1001, MARK_CLAIMED), 0);
    ck_assert_uint_eq(hand_totals(h, ACCOUNT_SPILL).opened, 0); /* the orchestrator's */

    tool_use(h, stream, TOOL_READ, 2, UINT64_C(9) << 32 | 4711, TOOL_PIECE(200000, 100000), 0);
    file = hand_wait(h, M_FILE_READ, h->now);
    ck_assert_uint_eq(file.msg.a, UINT64_C(9) << 32 | 4711);
    ck_assert_uint_eq(file.msg.b, 200000);
    ck_assert_uint_eq(file.msg.c, 100000);
    hand_answer(h, file.flow, (struct msg){.kind = M_OK, .a = 90000, .b = 1});
    post = hand_request(h, M_EVENTS_SEND);
    ck_assert_uint_eq(post.msg.d, 90000);
    /* It says which piece of which file it is. */
    ck_assert_uint_eq(post.msg.e, (UINT64_C(200000) << 8) | EVENT_CORRUPT);
    ck_assert_uint_eq(post.msg.b, EVENT_B(EV_USER_TOOL_RESULT, TOOL_READ, 0, 9));
    ck_assert_uint_eq(hand_marked(h, 1002, MARK_EXEC_DONE), 1);
    ck_assert_uint_eq(hand_marked(h, 1002, MARK_SANDBOX_READY), 0); /* it waited for none */
    ck_assert_uint_eq(hand_count(h, COUNTER_HASH_MISMATCHES), 1);

    tool_use(h, stream, TOOL_READ, 3, 4712, TOOL_PIECE(0, 100000), 0);
    hand_error(h, hand_wait(h, M_FILE_READ, h->now).flow, 404);
    post = hand_request(h, M_EVENTS_SEND);
    ck_assert_uint_eq(post.msg.e, EVENT_IS_ERROR);
    ck_assert_uint_eq(post.msg.b, EV_USER_TOOL_RESULT);
    hand_end(h, EVENT_CRASH);
}
END_TEST

/* With the session its files go: whether it ends, or the lease is lost. */
START_TEST(files_go_with_their_session)
{
    struct hand *h = hand_new();
    struct effect file, b;
    uint32_t stream, list;

    h->runner.cold_start_ns = dist_constant(0);
    hand_start(h, RUNNER);
    stream = serve(h);
    tool_use(h, stream, TOOL_BASH, 1, 0, 400000, 0);
    file = hand_wait(h, M_FILE_WRITE, h->now);
    hand_answer(h, file.flow, kind_a(M_OK, 400000));
    hand_answer(h, hand_request(h, M_EVENTS_SEND).flow, kind_a(M_OK, 1));
    hand_no_request(h, M_FILES_DROP);
    hand_session_event(h, stream, EV_SESSION_DELETED, 5, 0, MSG_LAST);
    hand_error(h, hand_request(h, M_WORK_STOP).flow, 409);
    file = hand_request(h, M_FILES_DROP);
    ck_assert_uint_eq(file.to, ADDR(ROLE_DISK, 0));
    ck_assert_uint_eq(file.msg.a, SESSION);
    hand_answer(h, file.flow, kind_a(M_OK, 0));
    ck_assert(!world_flow_alive(h->world, file.flow));

    stream = serve(h);
    tool_use(h, stream, TOOL_WRITE, 1, 4711, 300000, 0);
    hand_wait(h, M_FILE_WRITE, h->now);
    b = hand_wait(h, M_WORK_HEARTBEAT, h->now + 30 * S);
    hand_answer(h, b.flow,
                (struct msg){.kind = M_HEARTBEAT_MISMATCH, .a = 5, .b = 300 * S, .c = WORK_ACTIVE});
    hand_request(h, M_FILES_DROP);

    /* A write of the history brought its bytes, too, though they were written before. */
    stream = claim(h, &list);
    hand_msg(h, list, MSG_OPEN, (struct msg){.kind = M_OK, .b = 2});
    tool_use(h, list, TOOL_WRITE, 1, 4711, 300000, 0);
    hand_session_event(h, list, EV_USER_TOOL_RESULT, 2, 1001, MSG_LAST);
    hand_no_request(h, M_FILE_WRITE);
    hand_session_event(h, stream, EV_SESSION_DELETED, 5, 0, MSG_LAST);
    hand_error(h, hand_request(h, M_WORK_STOP).flow, 409);
    hand_request(h, M_FILES_DROP);

    /* One without files has nothing to drop. */
    stream = serve(h);
    hand_session_event(h, stream, EV_SESSION_DELETED, 5, 0, MSG_LAST);
    hand_error(h, hand_request(h, M_WORK_STOP).flow, 409);
    hand_no_request(h, M_FILES_DROP);
    hand_end(h, EVENT_END);
}
END_TEST

/* What would have to be run in earnest is answered with an error, and it is said why. */
START_TEST(foreign_calls_are_refused)
{
    struct hand *h = hand_new();
    struct effect post;
    uint32_t stream;

    h->runner.cold_start_ns = dist_constant(0);
    hand_start(h, RUNNER);
    stream = serve(h);
    tool_use(h, stream, (enum tool)255, 1, 0, 0, 0);
    post = hand_wait(h, M_EVENTS_SEND, h->now);
    ck_assert_uint_eq(post.msg.c, 1001);
    ck_assert_uint_eq(post.msg.e, EVENT_IS_ERROR | EVENT_FOREIGN);
    ck_assert_uint_eq(hand_count(h, COUNTER_PROTOCOL_VIOLATIONS), 0);
    hand_end(h, EVENT_END);
}
END_TEST

/* An event whose text is not what it should be: its reader said so. */
START_TEST(wrong_texts_are_counted)
{
    struct hand *h = hand_new();
    struct msg m = {.kind = M_EVENT, .bytes = 350, .a = 1001};
    uint32_t stream;

    hand_start(h, RUNNER);
    stream = serve(h);
    m.b = EVENT_B(EV_AGENT_MESSAGE, 0, 0, 1);
    hand_msg(h, stream, MSG_DATA, m);
    ck_assert_uint_eq(hand_count(h, COUNTER_HASH_MISMATCHES), 0);
    m.b = EVENT_B(EV_AGENT_MESSAGE, 0, EVENT_CORRUPT, 1);
    hand_msg(h, stream, MSG_DATA, m);
    ck_assert_uint_eq(hand_count(h, COUNTER_HASH_MISMATCHES), 1);
    hand_end(h, EVENT_END);
}
END_TEST

START_TEST(the_tool_timeout_cuts)
{
    struct hand *h = hand_new();
    struct effect post;
    uint32_t stream;
    nsec_t t;

    hand_start(h, RUNNER);
    stream = serve(h);
    t = h->now;
    tool_use(h, stream, TOOL_BASH, 1, 500 * S, 400000, 0);
    post = hand_wait(h, M_EVENTS_SEND, t + 122 * S);
    ck_assert_uint_eq(h->now, t + 122 * S);
    ck_assert_uint_eq(post.msg.e, EVENT_IS_ERROR);
    ck_assert_uint_lt(post.msg.d, 100);
    hand_end(h, EVENT_END);
}
END_TEST

START_TEST(results_are_posted_again_within_the_lease)
{
    struct hand *h = hand_new();
    struct effect post;
    uint32_t stream;
    nsec_t first, before;
    int n = 0;

    h->runner.cold_start_ns = dist_constant(0);
    hand_start(h, RUNNER);
    stream = serve(h);
    tool_use(h, stream, TOOL_BASH, 1, 0, 10, 0);
    post = hand_wait(h, M_EVENTS_SEND, h->now);
    first = before = h->now;
    for (;; n++) {
        struct effect b;

        if (n % 2)
            hand_reset(h, post.flow);
        else
            hand_error(h, post.flow, n ? 409 : 529);
        while (!hand_asked(h, M_EVENTS_SEND, &post)) {
            if (ends(h, ACCOUNT_RESULT, LEDGER_FAILED)) goto out;
            hand_until(h, h->now + 100 * MS);
            if (hand_asked(h, M_WORK_HEARTBEAT, &b)) beat(h, b.flow, WORK_ACTIVE);
        }
        if (n > 6) ck_assert_uint_le(h->now - before, 30 * S + 100 * MS);
        before = h->now;
    }
out:
    ck_assert_uint_ge(n, 12);
    ck_assert_uint_ge(h->now, first + 300 * S);
    ck_assert_uint_le(h->now, first + 301 * S);
    hand_end(h, EVENT_END);
}
END_TEST

START_TEST(fifty_calls_with_a_sandbox_each)
{
    struct hand *h = hand_new();
    uint32_t stream;
    nsec_t t;

    h->runner.scope = SANDBOX_PER_CALL;
    hand_start(h, RUNNER);
    stream = serve(h);
    t = h->now;
    for (uint32_t i = 0; i < 50; i++) tool_use(h, stream, TOOL_BASH, 10 + i, 3 * S, 10, 0);
    hand_until(h, t + 5 * S - 1);
    hand_no_request(h, M_EVENTS_SEND);
    ck_assert_uint_eq(hand_totals(h, ACCOUNT_SANDBOX).open, 50);
    hand_until(h, t + 5 * S);
    for (uint32_t i = 0; i < 50; i++) hand_answer(h, hand_request(h, M_EVENTS_SEND).flow, kind_a(M_OK, 1));
    ck_assert_uint_eq(ends(h, ACCOUNT_SANDBOX, LEDGER_COMPLETED), 50);
    ck_assert_uint_eq(hand_count(h, COUNTER_SANDBOX_STARTS), 50);
    ck_assert_uint_eq(hand_count(h, COUNTER_SANDBOX_NS), 50 * 5 * S);
    hand_end(h, EVENT_END);
}
END_TEST

START_TEST(limits_queue_or_shed)
{
    struct hand *h = hand_new();
    uint32_t stream;
    nsec_t t;

    h->runner.scope = SANDBOX_PER_CALL;
    h->runner.parallel_per_agent = 2;
    h->runner.limit_queue_max = 1;
    hand_start(h, RUNNER);
    stream = serve(h);
    t = h->now;
    for (uint32_t i = 0; i < 4; i++) tool_use(h, stream, TOOL_BASH, 10 + i, 3 * S, 10, 0);
    struct effect post = hand_request(h, M_EVENTS_SEND); /* one too many: shed at once */
    ck_assert_uint_eq(post.msg.c, 1013);
    ck_assert_uint_eq(post.msg.e, EVENT_IS_ERROR | EVENT_REFUSED);
    ck_assert_uint_eq(ends(h, ACCOUNT_SANDBOX, LEDGER_SHED), 1);
    hand_until(h, t + 5 * S);
    hand_request(h, M_EVENTS_SEND);
    hand_request(h, M_EVENTS_SEND);
    hand_until(h, t + 10 * S);
    ck_assert_uint_eq(hand_request(h, M_EVENTS_SEND).msg.c, 1012);
    ck_assert_uint_eq(histogram_max(hand_metric(h, METRIC_SANDBOX_START)), 7 * S);
    hand_end(h, EVENT_END);
}
END_TEST

START_TEST(a_lost_lease_is_left_alone)
{
    struct hand *h = hand_new();
    struct effect b;
    uint32_t stream;

    hand_start(h, RUNNER);
    stream = serve(h);
    tool_use(h, stream, TOOL_BASH, 1, 100 * S, 10, 0);
    tool_use(h, stream, TOOL_BASH, 2, 1 * S, 10, 0);
    hand_until(h, h->now + 20 * S);
    hand_request(h, M_EVENTS_SEND);
    b = hand_wait(h, M_WORK_HEARTBEAT, h->now + 30 * S);
    hand_answer(h, b.flow,
                (struct msg){.kind = M_HEARTBEAT_MISMATCH, .a = 5, .b = 300 * S, .c = WORK_ACTIVE});
    ck_assert(hand_sent(h, stream, MSG_RESET, NULL));
    hand_request(h, M_WORK_POLL);
    hand_until(h, h->now + 200 * S);
    hand_no_request(h, M_WORK_STOP);
    hand_no_request(h, M_EVENTS_SEND);
    ck_assert_uint_eq(hand_count(h, COUNTER_LEASE_LOST), 1);
    ck_assert_uint_eq(ends(h, ACCOUNT_SANDBOX, LEDGER_COMPLETED), 1);
    ck_assert_uint_eq(ends(h, ACCOUNT_RESULT, LEDGER_LOST), 1);
    hand_end(h, EVENT_END);
}
END_TEST

START_TEST(a_stopping_item_is_finished)
{
    struct hand *h = hand_new();
    uint32_t stream;
    nsec_t t;

    hand_start(h, RUNNER);
    stream = serve(h);
    hand_until(h, h->now + 29 * S);
    tool_use(h, stream, TOOL_BASH, 1, 10 * S, 10, 0);
    struct effect b = hand_wait(h, M_WORK_HEARTBEAT, h->now + 1 * S);
    t = h->now;
    beat(h, b.flow, WORK_STOPPING);
    tool_use(h, stream, TOOL_BASH, 2, 1 * S, 10, 0); /* not any more */
    hand_until(h, t + 11 * S);
    hand_no_request(h, M_WORK_STOP);
    hand_answer(h, hand_request(h, M_EVENTS_SEND).flow, kind_a(M_OK, 1));
    ck_assert_uint_eq(hand_request(h, M_WORK_STOP).msg.b, 1);
    hand_no_request(h, M_EVENTS_SEND);
    hand_end(h, EVENT_END);
}
END_TEST

START_TEST(a_deleted_session_is_left_at_once)
{
    struct hand *h = hand_new();
    uint32_t stream;

    hand_start(h, RUNNER);
    stream = serve(h);
    hand_session_event(h, stream, EV_SESSION_DELETED, 5, 0, MSG_LAST);
    hand_error(h, hand_request(h, M_WORK_STOP).flow, 409); /* stopped with the session: the usual course */
    hand_request(h, M_WORK_POLL);
    ck_assert_uint_eq(hand_count(h, COUNTER_HTTP_4XX), 0);
    hand_end(h, EVENT_END);
}
END_TEST

START_TEST(workers_crash_by_fault)
{
    struct hand *h = hand_new();
    uint64_t worker;
    uint32_t stream;
    nsec_t t;

    h->plan.fault_count = 1;
    h->fault = (struct plan_fault){
        .kind = FAULT_WORKER_CRASH, .at_ns = 0, .target = RUNNER, .count = 2, .delay_ns = 10 * S};
    hand_start(h, RUNNER);
    hand_until(h, 3 * S);
    worker = h->seen.items[0].msg.b;
    stream = serve(h);
    t = h->now;
    tool_use(h, stream, TOOL_BASH, 1, 100 * S, 10, 0);
    tool_use(h, stream, TOOL_BASH, 2, 1 * S, 10, 0);
    hand_until(h, t + 5 * S);
    struct effect post = hand_request(h, M_EVENTS_SEND);
    hand_until(h, t + 10 * S);
    ck_assert(hand_sent(h, stream, MSG_RESET, NULL));
    ck_assert(hand_sent(h, post.flow, MSG_RESET, NULL));
    ck_assert_uint_eq(ends(h, ACCOUNT_SANDBOX, LEDGER_LOST), 1);
    ck_assert_uint_eq(ends(h, ACCOUNT_RESULT, LEDGER_LOST), 1);
    hand_no_request(h, M_WORK_STOP);
    hand_no_request(h, M_WORK_POLL);
    hand_until(h, t + 11 * S);
    post = hand_request(h, M_WORK_POLL);
    ck_assert_uint_ne(post.msg.b, worker);
    /* The second, and then no more. */
    hand_answer(h, post.flow, (struct msg){.kind = M_WORK, .a = ITEM, .b = SESSION});
    hand_answer(h, hand_request(h, M_WORK_ACK).flow, kind_a(M_WORK, ITEM));
    hand_until(h, t + 22 * S);
    hand_asked(h, M_WORK_HEARTBEAT, NULL);
    hand_asked(h, M_SESSION_GET, NULL);
    stream = serve(h);
    tool_use(h, stream, TOOL_BASH, 1, 20 * S, 10, 0);
    hand_wait(h, M_EVENTS_SEND, h->now + 22 * S);
    ck_assert_uint_eq(ends(h, ACCOUNT_SANDBOX, LEDGER_LOST), 1);
    hand_end(h, EVENT_CRASH);
}
END_TEST

/* They were due before this runner began: those of the one before it vanished. */
START_TEST(a_crash_of_the_past_is_over)
{
    struct hand *h = hand_new();

    const struct plan_fault faults[] = {
        {.kind = FAULT_WORKER_CRASH, .at_ns = 1 * S, .target = RUNNER, .count = 2},
        {.kind = FAULT_KILL, .at_ns = 1500 * MS, .for_ns = 400 * MS, .target = RUNNER}};

    h->now = 2 * S;
    h->plan.fault_count = 2;
    h->plan.faults = (struct plan_fault *)faults;
    hand_start(h, RUNNER);
    tool_use(h, serve(h), TOOL_BASH, 1, 1 * S, 10, 0);
    hand_wait(h, M_EVENTS_SEND, h->now + 10 * S);
    ck_assert_uint_eq(ends(h, ACCOUNT_SANDBOX, LEDGER_LOST), 0);
    hand_end(h, EVENT_END);
}
END_TEST

START_TEST(drained_runners_stop_polling)
{
    struct hand *h = hand_new();
    struct effect poll;

    h->runner.workers = 2;
    hand_start(h, RUNNER);
    uint32_t stream = serve(h);
    poll = hand_wait(h, M_WORK_POLL, 10 * S);
    hand_event(h, EVENT_DRAIN);
    ck_assert(hand_sent(h, poll.flow, MSG_RESET, NULL));
    tool_use(h, stream, TOOL_BASH, 1, 0, 10, 0);
    hand_answer(h, hand_wait(h, M_EVENTS_SEND, h->now + 3 * S).flow, kind_a(M_OK, 1));
    hand_session_event(h, stream, EV_SESSION_DELETED, 5, 0, MSG_LAST);
    hand_answer(h, hand_request(h, M_WORK_STOP).flow, kind_a(M_WORK, ITEM));
    hand_until(h, h->now + 1000 * S);
    hand_no_request(h, M_WORK_POLL);
    hand_end(h, EVENT_END);
}
END_TEST

START_TEST(idle_workers_keep_few_timers)
{
    struct hand *h = hand_new();

    hand_start(h, RUNNER);
    for (int i = 0; i < 300; i++) {
        struct effect poll = hand_wait(h, M_WORK_POLL, NSEC_MAX);

        hand_until(h, h->now + 999 * MS);
        hand_answer(h, poll.flow, kind_a(M_NO_WORK, 0));
        ck_assert_uint_le(h->timers.len, 3);
    }
    ck_assert_uint_le(h->timers_fired, 2 * 300);
    hand_end(h, EVENT_END);
}
END_TEST

SUITE_MAIN("runner", a_call_from_claim_to_result, empty_polls_and_their_counts,
           history_is_read_before_anything_is_served, no_call_is_served_twice_in_one_claim,
           large_outputs_are_spilled, files_are_written_and_read_by_tools, files_go_with_their_session,
           foreign_calls_are_refused, wrong_texts_are_counted, the_tool_timeout_cuts,
           results_are_posted_again_within_the_lease, fifty_calls_with_a_sandbox_each, limits_queue_or_shed,
           a_lost_lease_is_left_alone, a_stopping_item_is_finished, a_deleted_session_is_left_at_once,
           workers_crash_by_fault, a_crash_of_the_past_is_over, drained_runners_stop_polling,
           idle_workers_keep_few_timers)
