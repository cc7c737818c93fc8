#include "tests/world/hand.h"

#define CLIENT ADDR(ROLE_CLIENT, 0)

static struct msg ok(uint64_t a)
{
    return (struct msg){.kind = M_OK, .a = a};
}

/* From the creation to the open stream; returns the stream. */
static uint32_t open_session(struct hand *h)
{
    struct effect stream;

    hand_answer(h, hand_request(h, M_SESSION_CREATE).flow, (struct msg){.kind = M_SESSION, .a = 77});
    stream = hand_request(h, M_STREAM);
    ck_assert_uint_eq(stream.msg.a, 77);
    hand_msg(h, stream.flow, MSG_OPEN, ok(0));
    return stream.flow;
}

START_TEST(a_session_of_two_turns)
{
    struct hand *h = hand_new();
    struct effect create, send;
    uint32_t stream;

    hand_start(h, CLIENT);
    ck_assert_uint_eq(h->seen.len, 0);
    hand_until(h, 1 * S);
    create = hand_request(h, M_SESSION_CREATE);
    ck_assert_uint_eq(create.msg.b, 0);
    hand_until(h, 2 * S);
    hand_answer(h, create.flow, (struct msg){.kind = M_SESSION, .a = 77});
    stream = hand_request(h, M_STREAM).flow;
    hand_msg(h, stream, MSG_OPEN, ok(0));

    send = hand_wait(h, M_EVENTS_SEND, 2 * S); /* the first think time is 0 */
    ck_assert_uint_eq(send.msg.bytes, 400);
    ck_assert_uint_eq(send.msg.d, 100);
    hand_answer(h, send.flow, ok(5));
    hand_session_event(h, stream, EV_STATUS_RUNNING, 1, 0, 0);
    hand_until(h, 5 * S);
    hand_session_event(h, stream, EV_STATUS_IDLE, 2, STOP_REQUIRES_ACTION, 0);
    hand_no_request(h, M_EVENTS_SEND);
    hand_session_event(h, stream, EV_STATUS_IDLE, 3, STOP_END_TURN, 0);
    hand_until(h, 15 * S - 1);
    hand_no_request(h, M_EVENTS_SEND);
    hand_until(h, 15 * S);
    send = hand_request(h, M_EVENTS_SEND);
    /* The end of the turn may overtake the answer to the message. */
    hand_session_event(h, stream, EV_STATUS_IDLE, 6, STOP_END_TURN, 0);
    ck_assert(!hand_done(h));
    struct effect del = hand_request(h, M_SESSION_DELETE);
    hand_answer(h, send.flow, ok(6));
    hand_until(h, 16 * S);
    hand_session_event(h, stream, EV_SESSION_DELETED, 7, 0, MSG_LAST);
    hand_answer(h, del.flow, ok(77));
    ck_assert(hand_done(h));

    ck_assert_uint_eq(hand_totals(h, ACCOUNT_TURN).ends[LEDGER_COMPLETED], 2);
    ck_assert_uint_eq(hand_totals(h, ACCOUNT_SESSION).ends[LEDGER_COMPLETED], 1);
    ck_assert_uint_eq(histogram_max(hand_metric(h, METRIC_SESSION_TOTAL)), 15 * S);
    ck_assert_uint_eq(histogram_count(hand_metric(h, METRIC_EVENT_DELIVERY)), 4); /* all but the deletion */
    ck_assert_uint_eq(hand_count(h, COUNTER_RETRIES), 0);
    hand_end(h, EVENT_END);
}
END_TEST

START_TEST(lateness_is_recorded_beside_the_service_time)
{
    struct hand *h = hand_new();
    struct event ev = {.type = EVENT_TIMER, .self = CLIENT};
    uint32_t stream;

    h->script.turn_count = 0;
    hand_start(h, CLIENT);
    /* The timer comes 300 ms late. */
    h->now = 1 * S + 300 * MS;
    ev.token = h->timers.items[0].token;
    world_handle(h->world, h->now, &ev, &h->effects);
    hand_take(h);
    stream = open_session(h);
    h->now = 3 * S;
    hand_session_event(h, stream, EV_SESSION_DELETED, 1, 0, MSG_LAST);
    hand_answer(h, hand_request(h, M_SESSION_DELETE).flow, ok(0));
    ck_assert_uint_eq(histogram_max(hand_metric(h, METRIC_SCHEDULE_LAG)), 300 * MS);
    ck_assert_uint_eq(histogram_max(hand_metric(h, METRIC_SESSION_TOTAL)), 2 * S);
    ck_assert_uint_eq(histogram_max(hand_metric(h, METRIC_SESSION_TOTAL_SERVICE)), 1700 * MS);
    hand_end(h, EVENT_END);
}
END_TEST

START_TEST(a_deleted_session_is_over_when_its_stream_is)
{
    struct hand *h = hand_new();
    uint32_t stream;

    h->script.turn_count = 0;
    hand_start(h, CLIENT);
    hand_until(h, 1 * S);
    stream = open_session(h);
    hand_answer(h, hand_request(h, M_SESSION_DELETE).flow, ok(0));
    ck_assert_uint_eq(hand_totals(h, ACCOUNT_SESSION).ends[LEDGER_COMPLETED], 0);
    h->now = 3 * S;
    hand_session_event(h, stream, EV_SESSION_DELETED, 1, 0, MSG_LAST);
    ck_assert_uint_eq(hand_totals(h, ACCOUNT_SESSION).ends[LEDGER_COMPLETED], 1);
    ck_assert_uint_eq(histogram_max(hand_metric(h, METRIC_SESSION_TOTAL)), 2 * S);
    hand_end(h, EVENT_END);
}
END_TEST

START_TEST(sessions_are_numbered_over_all_loads)
{
    struct hand *h = hand_new();
    struct rate_knot knot = {0, 3600};

    h->plan.load_count = 2;
    h->loads[0] = (struct plan_load){.name = "a",
                                     .process = ARRIVAL_CONSTANT,
                                     .knots = &knot,
                                     .knot_count = 1,
                                     .start_ns = 2 * S,
                                     .sessions = 2,
                                     .patience_ns = 100 * S};
    h->loads[1] = (struct plan_load){.name = "b",
                                     .process = ARRIVAL_CONSTANT,
                                     .knots = &knot,
                                     .knot_count = 1,
                                     .start_ns = 1 * S,
                                     .sessions = 2,
                                     .patience_ns = 100 * S,
                                     .script = 0};
    h->runner.instances = 1;
    hand_start(h, CLIENT);
    hand_until(h, 10 * S);
    /* b at 1 s, a and b at 2 s, a at 3 s; ties in the order of the loads. */
    for (uint64_t i = 0; i < 4; i++) ck_assert_uint_eq(hand_request(h, M_SESSION_CREATE).msg.b, i);
    hand_no_request(h, M_SESSION_CREATE);
    ck_assert_uint_eq(hand_totals(h, ACCOUNT_SESSION).open, 4);
    hand_end(h, EVENT_END);
}
END_TEST

START_TEST(failed_requests_are_tried_again_for_a_while)
{
    struct hand *h = hand_new();
    nsec_t before;

    hand_start(h, CLIENT);
    hand_until(h, 1 * S);
    for (int i = 0; i < 6; i++) {
        struct effect create = hand_wait(h, M_SESSION_CREATE, 100 * S);

        if (i > 0) {
            nsec_t limit = nsec_min(NSEC_PER_S / 2 << (i - 1), 8 * S);
            if (i == 3) limit = 20 * S; /* a retry-after goes first */
            ck_assert_uint_le(h->now - before, limit);
            ck_assert_uint_ge(h->now - before, limit / 4 * 3);
        }
        before = h->now;
        switch (i) {
        case 0: hand_reset(h, create.flow); break;
        case 2: hand_answer(h, create.flow, (struct msg){.kind = M_ERROR, .a = 429, .c = 20 * S}); break;
        default: hand_error(h, create.flow, 500 + (uint32_t)i); break;
        }
    }
    hand_reset(h, hand_wait(h, M_SESSION_CREATE, 200 * S).flow);
    ck_assert_uint_eq(hand_totals(h, ACCOUNT_SESSION).ends[LEDGER_FAILED], 1);
    ck_assert_uint_eq(hand_count(h, COUNTER_RETRIES), 6);
    ck_assert(hand_done(h));
    hand_end(h, EVENT_END);
}
END_TEST

START_TEST(a_refusal_for_good_is_not_tried_again)
{
    struct hand *h = hand_new();

    hand_start(h, CLIENT);
    hand_until(h, 1 * S);
    open_session(h);
    hand_error(h, hand_wait(h, M_EVENTS_SEND, S).flow, 400);
    ck_assert_uint_eq(hand_totals(h, ACCOUNT_SESSION).ends[LEDGER_FAILED], 1);
    ck_assert_uint_eq(hand_totals(h, ACCOUNT_TURN).ends[LEDGER_FAILED], 1);
    /* What is left there is deleted, best effort. */
    hand_error(h, hand_request(h, M_SESSION_DELETE).flow, 500);
    hand_end(h, EVENT_END);
}
END_TEST

START_TEST(patience_ends)
{
    struct hand *h = hand_new();
    uint32_t stream;

    h->loads[0].patience_ns = 50 * S;
    hand_start(h, CLIENT);
    hand_until(h, 1 * S);
    stream = open_session(h);
    hand_answer(h, hand_wait(h, M_EVENTS_SEND, S).flow, ok(1));
    hand_until(h, 51 * S - 1);
    hand_no_request(h, M_SESSION_DELETE);
    hand_until(h, 51 * S);
    ck_assert(hand_sent(h, stream, MSG_RESET, NULL));
    ck_assert_uint_eq(hand_request(h, M_SESSION_DELETE).msg.a, 77);
    ck_assert_uint_eq(hand_totals(h, ACCOUNT_SESSION).ends[LEDGER_LOST], 1);
    ck_assert_uint_eq(hand_totals(h, ACCOUNT_TURN).ends[LEDGER_LOST], 1);
    ck_assert(hand_done(h));
    ck_assert_uint_eq(histogram_count(hand_metric(h, METRIC_SESSION_TOTAL)), 0);
    hand_end(h, EVENT_END);
}
END_TEST

START_TEST(a_lost_stream_is_opened_again_and_caught_up)
{
    struct hand *h = hand_new();
    struct effect list;
    uint32_t stream;

    hand_start(h, CLIENT);
    hand_until(h, 1 * S);
    stream = open_session(h);
    hand_answer(h, hand_wait(h, M_EVENTS_SEND, S).flow, ok(1));
    hand_session_event(h, stream, EV_STATUS_RUNNING, 4, 0, 0);
    hand_reset(h, stream);
    stream = hand_wait(h, M_STREAM, 2 * S).flow;
    hand_msg(h, stream, MSG_OPEN, ok(0));
    list = hand_request(h, M_EVENTS_LIST);
    ck_assert_uint_eq(list.msg.b, 5);
    /* Meanwhile the stream goes on. */
    hand_session_event(h, stream, EV_AGENT_MESSAGE, 7, 0, 0);
    hand_msg(h, list.flow, MSG_OPEN, (struct msg){.kind = M_OK, .a = 6, .b = 1});
    hand_session_event(h, list.flow, EV_MODEL_END, 5, 0, MSG_LAST);
    list = hand_request(h, M_EVENTS_LIST); /* the next page */
    ck_assert_uint_eq(list.msg.b, 6);
    hand_msg(h, list.flow, MSG_OPEN, (struct msg){.kind = M_OK, .a = 0, .b = 3});
    hand_session_event(h, list.flow, EV_AGENT_MESSAGE, 6, 0, 0);
    hand_session_event(h, list.flow, EV_AGENT_MESSAGE, 7, 0, 0);
    hand_session_event(h, list.flow, EV_STATUS_IDLE, 8, STOP_END_TURN, MSG_LAST);
    ck_assert_uint_eq(hand_totals(h, ACCOUNT_TURN).ends[LEDGER_COMPLETED], 1);
    /* The stream shows it, too: that is not the next turn's end. */
    hand_session_event(h, stream, EV_STATUS_IDLE, 8, STOP_END_TURN, 0);
    hand_until(h, 30 * S);
    hand_request(h, M_EVENTS_SEND);
    ck_assert_uint_eq(hand_totals(h, ACCOUNT_TURN).open, 1);
    ck_assert_uint_eq(hand_count(h, COUNTER_EVENTS_DUPLICATE), 1);
    hand_end(h, EVENT_CRASH);
}
END_TEST

START_TEST(an_idle_on_the_stream_while_catching_up_counts_once)
{
    struct hand *h = hand_new();
    struct effect list;
    uint32_t stream;

    h->turns[1].think_ns = dist_constant(0);
    hand_start(h, CLIENT);
    hand_until(h, 1 * S);
    stream = open_session(h);
    hand_answer(h, hand_wait(h, M_EVENTS_SEND, S).flow, ok(1));
    hand_reset(h, stream);
    stream = hand_wait(h, M_STREAM, 2 * S).flow;
    hand_msg(h, stream, MSG_OPEN, ok(0));
    list = hand_request(h, M_EVENTS_LIST);
    hand_session_event(h, stream, EV_STATUS_IDLE, 8, STOP_END_TURN, 0);
    hand_answer(h, hand_wait(h, M_EVENTS_SEND, 3 * S).flow, ok(1)); /* the second turn's */
    hand_msg(h, list.flow, MSG_OPEN, (struct msg){.kind = M_OK, .b = 1});
    hand_session_event(h, list.flow, EV_STATUS_IDLE, 8, STOP_END_TURN, MSG_LAST);
    ck_assert_uint_eq(hand_totals(h, ACCOUNT_TURN).ends[LEDGER_COMPLETED], 1);
    hand_no_request(h, M_SESSION_DELETE);
    hand_session_event(h, stream, EV_STATUS_IDLE, 12, STOP_END_TURN, 0);
    hand_request(h, M_SESSION_DELETE);
    hand_end(h, EVENT_END);
}
END_TEST

/* It was being read when the session ended. */
START_TEST(a_deleted_session_waits_for_no_history)
{
    struct hand *h = hand_new();
    struct effect list;
    uint32_t stream;

    h->script.turn_count = 1;
    hand_start(h, CLIENT);
    hand_until(h, 1 * S);
    stream = open_session(h);
    hand_answer(h, hand_wait(h, M_EVENTS_SEND, S).flow, ok(1));
    hand_reset(h, stream);
    stream = hand_wait(h, M_STREAM, 2 * S).flow;
    hand_msg(h, stream, MSG_OPEN, ok(0));
    list = hand_request(h, M_EVENTS_LIST);
    hand_session_event(h, stream, EV_STATUS_IDLE, 8, STOP_END_TURN, 0);
    hand_answer(h, hand_request(h, M_SESSION_DELETE).flow, ok(0));
    hand_answer(h, list.flow, (struct msg){.kind = M_ERROR, .a = 404});
    ck_assert_uint_eq(hand_totals(h, ACCOUNT_SESSION).ends[LEDGER_COMPLETED], 1);
    hand_end(h, EVENT_END);
}
END_TEST

START_TEST(a_message_that_arrived_is_not_sent_again)
{
    struct hand *h = hand_new();
    uint32_t stream;

    hand_start(h, CLIENT);
    hand_until(h, 1 * S);
    stream = open_session(h);
    hand_reset(h, hand_wait(h, M_EVENTS_SEND, S).flow);
    hand_session_event(h, stream, EV_USER_MESSAGE, 1, 0, 0);
    hand_until(h, 60 * S);
    hand_no_request(h, M_EVENTS_SEND);
    hand_session_event(h, stream, EV_STATUS_IDLE, 2, STOP_END_TURN, 0);
    /* One that did not arrive is, but only when the stream is up to date. */
    hand_until(h, 70 * S);
    hand_reset(h, hand_request(h, M_EVENTS_SEND).flow);
    hand_reset(h, stream);
    stream = hand_wait(h, M_STREAM, 75 * S).flow;
    hand_until(h, 75 * S);
    hand_no_request(h, M_EVENTS_SEND);
    hand_msg(h, stream, MSG_OPEN, ok(0));
    hand_answer(h, hand_request(h, M_EVENTS_LIST).flow, ok(0));
    hand_request(h, M_EVENTS_SEND);
    hand_end(h, EVENT_END);
}
END_TEST

START_TEST(bad_ends_of_a_turn)
{
    const struct {
        enum event_kind kind;
        uint64_t c;
    } bad[] = {
        {EV_STATUS_IDLE, STOP_RETRIES_EXHAUSTED}, {EV_STATUS_IDLE, STOP_BUDGET}, {EV_STATUS_TERMINATED, 0}};

    for (int i = 0; i < 3; i++) {
        struct hand *h = hand_new();
        uint32_t stream;

        hand_start(h, CLIENT);
        hand_until(h, 1 * S);
        stream = open_session(h);
        hand_answer(h, hand_wait(h, M_EVENTS_SEND, S).flow, ok(1));
        hand_session_event(h, stream, bad[i].kind, 3, bad[i].c, 0);
        ck_assert_uint_eq(hand_totals(h, ACCOUNT_TURN).ends[LEDGER_FAILED], 1);
        ck_assert_uint_eq(hand_totals(h, ACCOUNT_SESSION).ends[LEDGER_FAILED], 1);
        hand_end(h, EVENT_END);
    }
}
END_TEST

/* An event whose text is not what it should be: its reader said so. */
START_TEST(wrong_texts_are_counted)
{
    struct hand *h = hand_new();
    struct msg m = {.kind = M_EVENT, .bytes = 350, .a = 1001, .b = EVENT_B(EV_AGENT_MESSAGE, 0, 0, 1)};
    uint32_t stream;

    hand_start(h, CLIENT);
    hand_until(h, 1 * S);
    stream = open_session(h);
    hand_msg(h, stream, MSG_DATA, m);
    ck_assert_uint_eq(hand_count(h, COUNTER_HASH_MISMATCHES), 0);
    m.b = EVENT_B(EV_AGENT_MESSAGE, 0, EVENT_CORRUPT, 2);
    hand_msg(h, stream, MSG_DATA, m);
    hand_msg(h, stream, MSG_DATA, m); /* seen twice, it is one */
    ck_assert_uint_eq(hand_count(h, COUNTER_HASH_MISMATCHES), 1);
    hand_end(h, EVENT_END);
}
END_TEST

START_TEST(credit_is_granted_in_batches)
{
    struct hand *h = hand_new();
    uint32_t stream;
    struct msg m;

    hand_start(h, CLIENT);
    hand_until(h, 1 * S);
    stream = open_session(h);
    for (uint32_t i = 1; i <= 46; i++) hand_session_event(h, stream, EV_MODEL_START, i, 0, 0);
    ck_assert(!hand_sent(h, stream, MSG_CREDIT, NULL));
    hand_session_event(h, stream, EV_MODEL_START, 47, 0, 0);
    ck_assert(hand_sent(h, stream, MSG_CREDIT, &m));
    ck_assert_uint_eq(m.bytes, 47 * 350);
    /* A large event comes in pieces, and counts once, when it is whole. */
    m = (struct msg){.kind = M_EVENT,
                     .flags = MSG_UNFINISHED,
                     .bytes = BODY_CHUNK,
                     .b = EVENT_B(EV_AGENT_MESSAGE, 0, 0, 48)};
    hand_msg(h, stream, MSG_DATA, m);
    m.kind = M_BODY;
    m.flags = 0;
    hand_msg(h, stream, MSG_DATA, m);
    ck_assert(hand_sent(h, stream, MSG_CREDIT, &m) && m.bytes == BODY_CHUNK);
    hand_session_event(h, stream, EV_AGENT_MESSAGE, 48, 0, 0);
    ck_assert_uint_eq(hand_count(h, COUNTER_EVENTS_DUPLICATE), 1);
    hand_end(h, EVENT_END);
}
END_TEST

START_TEST(closed_users_go_on_until_the_end)
{
    struct hand *h = hand_new();

    h->loads[0] = (struct plan_load){.name = "u",
                                     .process = ARRIVAL_CLOSED,
                                     .users = 3,
                                     .think_ns = dist_constant(10 * S),
                                     .patience_ns = 5 * S};
    h->plan.duration_ns = 40 * S;
    hand_start(h, CLIENT);
    /* Nobody answers: each session is lost after 5 s, the user is back 10 s later: at 0, 15 and 30 s. */
    hand_until(h, 34 * S);
    ck_assert(!hand_done(h));
    hand_until(h, 100 * S);
    ck_assert_uint_eq(hand_totals(h, ACCOUNT_SESSION).ends[LEDGER_LOST], 9);
    ck_assert(hand_done(h));
    hand_end(h, EVENT_END);
}
END_TEST

START_TEST(sessions_beyond_the_limit_are_shed)
{
    struct hand *h = hand_new();

    h->plan.orchestrator.sessions_max = 10;
    h->loads[0].sessions = 1020;
    hand_start(h, CLIENT);
    hand_until(h, 1 * S);
    ck_assert_uint_eq(hand_totals(h, ACCOUNT_SESSION).ends[LEDGER_SHED], 10);
    ck_assert_uint_eq(hand_totals(h, ACCOUNT_SESSION).overflow, 0);
    hand_end(h, EVENT_END);
}
END_TEST

START_TEST(timers_stay_few)
{
    struct hand *h = hand_new();
    uint32_t stream;

    h->script.turn_count = 3;
    hand_start(h, CLIENT);
    hand_until(h, 1 * S);
    stream = open_session(h);
    for (uint32_t turn = 0; turn < 3; turn++) {
        for (int i = 0; i < 4; i++) hand_reset(h, hand_wait(h, M_EVENTS_SEND, 900 * S).flow);
        hand_answer(h, hand_wait(h, M_EVENTS_SEND, 900 * S).flow, ok(1));
        hand_session_event(h, stream, EV_STATUS_IDLE, turn + 1, STOP_END_TURN, 0);
        ck_assert_uint_le(h->timers.len, 2);
    }
    hand_end(h, EVENT_END);
}
END_TEST

SUITE_MAIN("client", a_session_of_two_turns, lateness_is_recorded_beside_the_service_time,
           a_deleted_session_is_over_when_its_stream_is, sessions_are_numbered_over_all_loads,
           failed_requests_are_tried_again_for_a_while, a_refusal_for_good_is_not_tried_again, patience_ends,
           a_lost_stream_is_opened_again_and_caught_up, an_idle_on_the_stream_while_catching_up_counts_once,
           a_deleted_session_waits_for_no_history, a_message_that_arrived_is_not_sent_again,
           bad_ends_of_a_turn, wrong_texts_are_counted, credit_is_granted_in_batches,
           closed_users_go_on_until_the_end, sessions_beyond_the_limit_are_shed, timers_stay_few)
