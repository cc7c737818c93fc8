#include "tests/world/orchestrator_hand.h"

START_TEST(one_session_with_one_bash_call)
{
    struct orch *t = orch_new();
    uint64_t session, item;
    uint32_t waiting, client, worker;
    struct msg m, use;

    orch_start(t);
    waiting = ask(t, WORKER, (struct msg){.kind = M_WORK_POLL, .flags = MSG_LAST, .b = 9, .c = 999 * MS});
    got_none(t, waiting);
    hand_until(t->h, 500 * MS);
    session = create(t, 4);
    m = got(t, waiting); /* the poll that waited gets the item at once */
    ck_assert(m.kind == M_WORK && m.b == session && m.c == WORK_QUEUED && m.e == 500 * MS);
    item = m.a;
    ck_assert_int_eq(request(t, (struct msg){.kind = M_WORK_ACK, .a = item}).kind, M_WORK);
    m = request(t, (struct msg){.kind = M_WORK_HEARTBEAT, .a = item, .b = HEARTBEAT_NONE, .c = 100 * S});
    ck_assert(m.kind == M_HEARTBEAT && m.a == 500 * MS && m.b == 100 * S && m.c == WORK_ACTIVE);
    m = request(t, (struct msg){.kind = M_SESSION_GET, .a = session});
    ck_assert(m.kind == M_SESSION && m.b == SESSION_IDLE && m.d == 500 * MS);
    worker = stream(t, session);
    client = stream(t, session);

    say(t, session);
    m = event_of(t, client, EV_USER_MESSAGE);
    ck_assert(m.bytes == 450 && m.d == 100 && m.e == 500 * MS);
    event_of(t, client, EV_STATUS_RUNNING);
    event_of(t, client, EV_MODEL_START);
    ck_assert(!has_event(t, worker, EV_AGENT_TOOL_USE));
    hand_until(t->h, 1500 * MS);
    use = event_of(t, worker, EV_AGENT_TOOL_USE);
    ck_assert(EVENT_TOOL(use.b) == TOOL_BASH && use.c == 5 * S && use.d == 1234 && use.e == 1500 * MS);
    ck_assert_uint_eq(use.bytes, 350);
    event_of(t, client, EV_MODEL_END);
    ck_assert_int_eq(post(t, session, EV_USER_TOOL_RESULT, use.a + (UINT64_C(50) << 32), 1, 0).a, 400);
    ck_assert_int_eq(post(t, session, EV_USER_TOOL_RESULT, use.a + 1, 1, 0).a, 400);

    hand_until(t->h, 8 * S);
    m = post(t, session, EV_USER_TOOL_RESULT, use.a, 1234, 0);
    ck_assert_int_eq(m.kind, M_OK);
    /* Again: the same answer, and no second effect. */
    ck_assert_uint_eq(post(t, session, EV_USER_TOOL_RESULT, use.a, 1234, 0).a, m.a);
    ck_assert_uint_eq(hand_count(t->h, COUNTER_RESULTS_DUPLICATE), 1);
    hand_until(t->h, 10 * S);
    m = event_of(t, client, EV_USER_TOOL_RESULT);
    ck_assert(m.c == use.a && m.bytes == 350 + 1234 && m.e == 8 * S);
    m = event_of(t, client, EV_AGENT_MESSAGE);
    ck_assert(m.c == use.a && m.d == 700 && m.bytes == 1050);
    m = event_of(t, client, EV_STATUS_IDLE);
    ck_assert(m.c == STOP_END_TURN && m.e == 10 * S);

    ck_assert_uint_eq(histogram_count(hand_metric(t->h, METRIC_QUEUE_WAIT)), 1);
    ck_assert_uint_eq(histogram_max(hand_metric(t->h, METRIC_TOOL_CALL)), 6500 * MS);
    ck_assert_uint_eq(ended(t, ACCOUNT_CALL, LEDGER_COMPLETED), 1);

    /* The worker leaves; the next message makes a new item. */
    ck_assert_uint_eq(request(t, (struct msg){.kind = M_WORK_STOP, .a = item, .b = 1}).c, WORK_STOPPED);
    ck_assert_uint_eq(request(t, (struct msg){.kind = M_WORK_STOP, .a = item, .b = 1}).a, 409);
    ck_assert_int_eq(poll(t).kind, M_NO_WORK);
    say(t, session);
    ck_assert_uint_ne(serve(t), item);
    orch_end(t, EVENT_END);
}
END_TEST

START_TEST(polls_wait_and_leases_lapse)
{
    struct orch *t = orch_new();
    uint64_t session, item, beat;
    uint32_t a, b;
    struct msg m;

    orch_start(t);
    a = ask(t, WORKER, (struct msg){.kind = M_WORK_POLL, .flags = MSG_LAST, .b = 1, .c = 500 * MS});
    b = ask(t, WORKER, (struct msg){.kind = M_WORK_POLL, .flags = MSG_LAST, .b = 2, .c = 900 * MS});
    hand_until(t->h, 500 * MS);
    ck_assert_int_eq(got(t, a).kind, M_NO_WORK);
    m = request(t, (struct msg){.kind = M_WORK_STATS});
    ck_assert(m.kind == M_WORK_STATS_ANSWER && m.a == 0 && m.d == 2);
    hand_reset(t->h, b);
    session = create(t, 0);
    ck_assert_uint_eq(request(t, (struct msg){.kind = M_WORK_STATS}).a, 1);
    item = poll(t).a;
    hand_until(t->h, 5499 * MS);
    ck_assert_int_eq(poll(t).kind, M_NO_WORK);
    hand_until(t->h, 5500 * MS); /* claimed and not acknowledged: offered again */
    ck_assert_uint_eq(serve(t), item);
    ck_assert_uint_eq(hand_count(t->h, COUNTER_WORK_REQUEUED), 1);
    beat = 5500 * MS;
    m = request(t, (struct msg){.kind = M_WORK_HEARTBEAT, .a = item, .b = HEARTBEAT_ALIEN});
    ck_assert(m.kind == M_HEARTBEAT_MISMATCH && m.a == beat && m.b == 300 * S && m.c == WORK_ACTIVE);
    m = request(t, (struct msg){.kind = M_WORK_HEARTBEAT, .a = item, .b = beat, .c = 10 * S});
    ck_assert(m.kind == M_HEARTBEAT && m.a == beat + 1 && m.d == 1);
    hand_until(t->h, 15500 * MS);
    ck_assert_uint_eq(hand_count(t->h, COUNTER_LEASE_EXPIRED), 1);
    m = request(t, (struct msg){.kind = M_WORK_HEARTBEAT, .a = item, .b = beat + 1});
    ck_assert(m.kind == M_HEARTBEAT_MISMATCH && m.a == HEARTBEAT_NONE && m.c == WORK_QUEUED);
    ck_assert_uint_eq(serve(t), item);
    m = request(t, (struct msg){.kind = M_WORK_STOP, .a = item});
    ck_assert_uint_eq(m.c, WORK_STOPPING);
    m = request(t, (struct msg){.kind = M_WORK_HEARTBEAT, .a = item, .b = 15500 * MS});
    ck_assert(m.kind == M_HEARTBEAT && m.c == WORK_STOPPING);
    ck_assert_uint_eq(histogram_count(hand_metric(t->h, METRIC_QUEUE_WAIT)), 3);

    /* Deleted: the item is stopped, and still known to whoever asks. */
    ck_assert_int_eq(request(t, (struct msg){.kind = M_SESSION_DELETE, .a = session}).kind, M_OK);
    m = request(t, (struct msg){.kind = M_WORK_GET, .a = item});
    ck_assert(m.kind == M_WORK && m.c == WORK_STOPPED);
    ck_assert_uint_eq(request(t, (struct msg){.kind = M_SESSION_GET, .a = session}).a, 404);
    ck_assert_uint_eq(request(t, (struct msg){.kind = M_WORK_GET, .a = 99}).a, 404);
    ck_assert_uint_eq(request(t, (struct msg){.kind = M_WORK_POLL, .a = 1}).a, 404);
    orch_end(t, EVENT_END);
}
END_TEST

/* A session whose worker stops in the moment in which the user speaks does not hang. */
START_TEST(a_running_session_gets_a_new_item)
{
    struct orch *t = orch_new();
    uint64_t session, item;

    orch_start(t);
    session = create(t, 0);
    item = serve(t);
    say(t, session);
    request(t, (struct msg){.kind = M_WORK_STOP, .a = item, .b = 1});
    ck_assert_uint_gt(serve(t), item);
    ck_assert_uint_eq(ended(t, ACCOUNT_WORK, LEDGER_COMPLETED), 1);
    orch_end(t, EVENT_CRASH);
}
END_TEST

/* By the worker, since a limit left no sandbox: it did not run, and its time tells nothing of calls. */
START_TEST(a_refused_call_is_shed)
{
    struct orch *t = orch_new();
    uint64_t session;
    uint32_t worker;
    struct msg use[3], m;

    t->calls[0].count = 3;
    orch_start(t);
    session = create(t, 0);
    serve(t);
    worker = stream(t, session);
    say(t, session);
    hand_until(t->h, 1 * S);
    for (int i = 0; i < 3; i++) use[i] = event_of(t, worker, EV_AGENT_TOOL_USE);
    post(t, session, EV_USER_TOOL_RESULT, use[0].a, 60, EVENT_IS_ERROR | EVENT_REFUSED);
    m = event_of(t, worker, EV_USER_TOOL_RESULT);
    ck_assert(m.c == use[0].a && EVENT_FLAGS(m.b) == EVENT_IS_ERROR); /* to whoever reads, an error as any */
    post(t, session, EV_USER_TOOL_RESULT, use[1].a, 60, EVENT_IS_ERROR);
    post(t, session, EV_USER_TOOL_RESULT, use[2].a, 60, EVENT_REFUSED); /* nonsense: it has a result */
    ck_assert_uint_eq(ended(t, ACCOUNT_CALL, LEDGER_SHED), 1);
    ck_assert_uint_eq(ended(t, ACCOUNT_CALL, LEDGER_FAILED), 1);
    ck_assert_uint_eq(ended(t, ACCOUNT_CALL, LEDGER_COMPLETED), 1);
    ck_assert_uint_eq(histogram_count(hand_metric(t->h, METRIC_TOOL_CALL)), 2);
    ck_assert_uint_eq(hand_marked(t->h, use[0].a, MARK_CALL_SHED), 1);
    ck_assert_uint_eq(hand_marked(t->h, use[0].a, MARK_CALL_END), 0);
    ck_assert_uint_eq(hand_marked(t->h, use[1].a, MARK_CALL_END), 1);
    hand_until(t->h, 3 * S);
    event_of(t, worker, EV_STATUS_IDLE); /* the agent goes on */
    orch_end(t, EVENT_END);
}
END_TEST

START_TEST(large_outputs_are_read_back_in_pieces)
{
    struct orch *t = orch_new();
    uint64_t session;
    uint32_t worker;
    struct msg use, read, first;

    t->calls[1].tool = TOOL_READ;
    t->calls[0].count = 2;
    t->h->turns[0].step_count = 2;
    orch_start(t);
    session = create(t, 0);
    serve(t);
    worker = stream(t, session);
    say(t, session);
    hand_until(t->h, 1 * S);
    first = event_of(t, worker, EV_AGENT_TOOL_USE);
    use = event_of(t, worker, EV_AGENT_TOOL_USE);
    post(t, session, EV_USER_TOOL_RESULT, use.a, 2000, EVENT_SPILLED | UINT64_C(400000) << 8);
    hand_until(t->h, 2 * S);
    ck_assert(!has_event(t, worker, EV_AGENT_TOOL_USE)); /* the other call is open */
    post(t, session, EV_USER_TOOL_RESULT, first.a, 10, 0);
    hand_until(t->h, 3 * S);
    for (uint32_t offset = 0; offset < 400000; offset += 150000) {
        read = event_of(t, worker, EV_AGENT_TOOL_USE);
        ck_assert(EVENT_TOOL(read.b) == TOOL_READ && read.c == use.a);
        ck_assert_uint_eq(TOOL_PIECE_OFFSET(read.d), offset);
        ck_assert_uint_eq(TOOL_PIECE_LENGTH(read.d), offset == 300000 ? 100000 : 150000);
        ck_assert(!has_event(t, worker, EV_AGENT_TOOL_USE));
        ck_assert_int_eq(post(t, session, EV_USER_TOOL_RESULT, read.a, 100, 0).kind, M_OK);
    }
    hand_until(t->h, 5 * S);
    event_of(t, worker, EV_STATUS_IDLE);
    ck_assert_uint_eq(histogram_count(hand_metric(t->h, METRIC_SPILL_READ)), 3);
    ck_assert_uint_eq(ended(t, ACCOUNT_CALL, LEDGER_COMPLETED), 5);
    orch_end(t, EVENT_END);
}
END_TEST

/* What a worker says of a piece must be what it was asked for; the event tells which it is. */
START_TEST(a_piece_is_the_one_that_was_asked_for)
{
    const struct {
        uint32_t file, offset, chars;
        bool wrong;
    } posts[] = {
        {0, 0, 150000, false}, {1, 0, 150000, true}, {0, 150000, 100000, true}, {0, 0, 150001, true}};

    for (int i = 0; i < 4; i++) {
        struct orch *t = orch_new();
        uint64_t session;
        uint32_t worker, file;
        struct msg use, read, m;

        t->calls[1].tool = TOOL_READ;
        t->h->turns[0].step_count = 2;
        orch_start(t);
        session = create(t, 0);
        serve(t);
        worker = stream(t, session);
        say(t, session);
        hand_until(t->h, 1 * S);
        use = event_of(t, worker, EV_AGENT_TOOL_USE);
        file = EVENT_SEQ(use.b);
        post(t, session, EV_USER_TOOL_RESULT, use.a, 2100, EVENT_SPILLED | UINT64_C(400000) << 8);
        m = event_of(t, worker, EV_USER_TOOL_RESULT);
        ck_assert_uint_eq(m.d, TOOL_PIECE(400000, 2100));
        ck_assert_uint_eq(m.bytes, 350 + 2100);
        hand_until(t->h, 2 * S);
        read = event_of(t, worker, EV_AGENT_TOOL_USE);
        m = (struct msg){.kind = M_EVENTS_SEND,
                         .a = session,
                         .b = EVENT_B(EV_USER_TOOL_RESULT, TOOL_READ, 0, file + posts[i].file),
                         .c = read.a,
                         .d = posts[i].chars,
                         .e = (uint64_t)posts[i].offset << 8};
        ck_assert_int_eq(request(t, m).kind, M_OK);
        ck_assert_uint_eq(hand_count(t->h, COUNTER_HASH_MISMATCHES), posts[i].wrong);
        m = event_of(t, worker, EV_USER_TOOL_RESULT);
        ck_assert_uint_eq(m.d, posts[i].wrong ? posts[i].chars : TOOL_PIECE(file, 150000));
        ck_assert_uint_eq(EVENT_TOOL(m.b), posts[i].wrong ? 0 : TOOL_READ);
        hand_until(t->h, 2 * S);
        read = event_of(t, worker, EV_AGENT_TOOL_USE);
        ck_assert_uint_eq(TOOL_PIECE_OFFSET(read.d), 150000);
        orch_end(t, EVENT_END);
    }
}
END_TEST

START_TEST(a_call_without_answer_times_out)
{
    struct orch *t = orch_new();
    uint64_t session;
    uint32_t client;
    struct msg use, m;

    orch_start(t);
    session = create(t, 0);
    client = stream(t, session);
    say(t, session);
    hand_until(t->h, 600 * S);
    use = event_of(t, client, EV_AGENT_TOOL_USE);
    ck_assert_int_eq(ended(t, ACCOUNT_CALL, LEDGER_FAILED), 0);
    hand_until(t->h, 601 * S);
    ck_assert_int_eq(ended(t, ACCOUNT_CALL, LEDGER_FAILED), 1);
    m = event_of(t, client, EV_USER_TOOL_RESULT); /* so that the log has no open end */
    ck_assert(m.c == use.a && EVENT_FLAGS(m.b) == EVENT_IS_ERROR);
    ck_assert_uint_eq(post(t, session, EV_USER_TOOL_RESULT, use.a, 1, 0).a, 400);
    hand_until(t->h, 603 * S);
    m = event_of(t, client, EV_AGENT_MESSAGE);
    ck_assert_uint_eq(m.c, 0);
    event_of(t, client, EV_STATUS_IDLE);
    ck_assert_uint_eq(hand_count(t->h, COUNTER_TIMEOUTS), 1);
    orch_end(t, EVENT_END);
}
END_TEST

START_TEST(an_interrupt_ends_the_turn)
{
    struct orch *t = orch_new();
    uint64_t session;
    uint32_t client;
    struct msg use, m;

    orch_start(t);
    session = create(t, 0);
    client = stream(t, session);
    ck_assert_int_eq(post(t, session, EV_USER_INTERRUPT, 0, 0, 0).kind, M_OK); /* idle: nothing to end */
    say(t, session);
    hand_until(t->h, 1 * S);
    use = event_of(t, client, EV_AGENT_TOOL_USE);
    say(t, session); /* waits for the turn */
    m = event_of(t, client, EV_USER_MESSAGE);
    ck_assert_uint_eq(m.e, 0);
    hand_until(t->h, 2 * S);
    ck_assert_int_eq(post(t, session, EV_USER_INTERRUPT, 0, 0, 0).kind, M_OK);
    event_of(t, client, EV_USER_INTERRUPT);
    event_of(t, client, EV_STATUS_IDLE);
    event_of(t, client, EV_STATUS_RUNNING); /* the message that waited */
    ck_assert_uint_eq(post(t, session, EV_USER_TOOL_RESULT, use.a, 1, 0).a, 400);
    ck_assert_int_eq(ended(t, ACCOUNT_CALL, LEDGER_FAILED), 1);
    hand_until(t->h, 3 * S - 1);
    post(t, session, EV_USER_INTERRUPT, 0, 0, 0); /* in the model's time */
    hand_until(t->h, 9 * S);
    ck_assert(!has_event(t, client, EV_AGENT_TOOL_USE));
    ck_assert_uint_eq(request(t, (struct msg){.kind = M_SESSION_GET, .a = session}).b, SESSION_IDLE);
    orch_end(t, EVENT_END);
}
END_TEST

START_TEST(lists_page_both_ways)
{
    struct orch *t = orch_new();
    uint64_t session;
    uint32_t flow;
    struct msg m = {0};

    orch_start(t);
    session = create(t, 0);
    say(t, session);
    hand_until(t->h, 1 * S); /* message, running, model start, tool use, model end */
    flow = ask(t, CLIENT, (struct msg){.kind = M_EVENTS_LIST, .flags = MSG_LAST, .a = session, .c = 3});
    m = got(t, flow);
    ck_assert(m.kind == M_OK && m.a == 4 && m.b == 3);
    for (uint32_t i = 1; i <= 3; i++) {
        ck_assert(hand_sent(t->h, flow, MSG_DATA, &m));
        ck_assert_uint_eq(EVENT_SEQ(m.b), i);
        ck_assert_uint_eq(m.flags, i == 3 ? MSG_LAST : 0);
    }
    flow =
        ask(t, CLIENT, (struct msg){.kind = M_EVENTS_LIST, .flags = MSG_LAST, .a = session, .b = 4, .c = 3});
    m = got(t, flow);
    ck_assert(m.a == 0 && m.b == 2);
    ck_assert(hand_sent(t->h, flow, MSG_DATA, &m) && EVENT_KIND(m.b) == EV_AGENT_TOOL_USE && m.e == 1 * S);
    flow =
        ask(t, CLIENT, (struct msg){.kind = M_EVENTS_LIST, .flags = MSG_LAST, .a = session, .c = 4, .d = 1});
    m = got(t, flow);
    ck_assert(m.a == 1 && m.b == 4);
    ck_assert(hand_sent(t->h, flow, MSG_DATA, &m) && EVENT_SEQ(m.b) == 5);
    m = request(t, (struct msg){.kind = M_EVENTS_LIST, .a = session, .b = 6});
    ck_assert(m.kind == M_OK && m.b == 0 && (m.flags & MSG_LAST));
    ck_assert_uint_eq(request(t, (struct msg){.kind = M_EVENTS_LIST, .a = 99}).a, 404);
    ck_assert_uint_eq(hand_count(t->h, COUNTER_EVENTS_REPLAYED), 9);
    orch_end(t, EVENT_END);
}
END_TEST

START_TEST(streams_heed_credit_and_drop_laggards)
{
    struct orch *t = orch_new();
    uint64_t session;
    uint32_t slow, open, bytes = 0;
    struct msg m = {0};

    t->h->plan.orchestrator.stream_buffer_events = 6;
    orch_start(t);
    session = create(t, 0);
    slow = stream(t, session);
    post(t, session, EV_USER_MESSAGE, 0, 300000, 0);
    hand_until(t->h, 1 * S);
    while (hand_sent(t->h, slow, MSG_DATA, &m)) bytes += m.bytes;
    ck_assert_uint_eq(bytes, 300350); /* in chunks; nothing after it for want of credit */
    ck_assert(m.kind == M_BODY && m.flags == 0);
    hand_msg(t->h, slow, MSG_CREDIT, (struct msg){.bytes = 100000});
    event_of(t, slow, EV_AGENT_TOOL_USE);
    ck_assert_uint_eq(ended(t, ACCOUNT_STREAM, LEDGER_SHED), 0);
    post(t, session, EV_USER_MESSAGE, 0, 300000, 0);
    for (int i = 0; i < 7; i++) post(t, session, EV_USER_MESSAGE, 0, 1, 0);
    ck_assert(hand_sent(t->h, slow, MSG_RESET, &m));
    ck_assert_uint_eq(m.a, RESET_OVERFLOW);
    ck_assert_uint_eq(hand_count(t->h, COUNTER_LAGGARDS_DROPPED), 1);
    ck_assert_uint_eq(ended(t, ACCOUNT_STREAM, LEDGER_SHED), 1);

    /* Streams end with the client's word, by a cut, or with the session. */
    open = stream(t, session);
    hand_msg(t->h, open, MSG_DATA, (struct msg){.flags = MSG_LAST});
    ck_assert(hand_sent(t->h, open, MSG_DATA, &m) && (m.flags & MSG_LAST));
    hand_reset(t->h, stream(t, session));
    open = stream(t, session);
    request(t, (struct msg){.kind = M_SESSION_DELETE, .a = session});
    m = event_of(t, open, EV_SESSION_DELETED);
    ck_assert(m.flags & MSG_LAST);
    hand_msg(t->h, open, MSG_CREDIT, (struct msg){.bytes = 1}); /* late, to nobody */
    ck_assert_uint_eq(ended(t, ACCOUNT_STREAM, LEDGER_COMPLETED), 3);
    ck_assert_uint_eq(ended(t, ACCOUNT_STREAM, LEDGER_LOST), 0);
    ck_assert_uint_eq(ended(t, ACCOUNT_CALL, LEDGER_LOST), 1);
    orch_end(t, EVENT_END);
}
END_TEST

START_TEST(requests_of_many_messages)
{
    struct orch *t = orch_new();
    struct msg head = {.kind = M_EVENTS_SEND, .b = EV_USER_MESSAGE}, m;
    uint64_t session;
    uint32_t flow;

    orch_start(t);
    session = create(t, 0);
    head.a = session;
    head.d = 100000;
    head.flags = MSG_UNFINISHED;
    flow = ask(t, CLIENT, head);
    got_none(t, flow);
    head.kind = M_BODY;
    head.flags = MSG_LAST;
    hand_msg(t->h, flow, MSG_DATA, head);
    m = got(t, flow);
    ck_assert(m.kind == M_OK && m.a == (session | UINT64_C(1) << 32));

    /* Two events: an interrupt and a message. */
    head = (struct msg){.kind = M_EVENTS_SEND, .a = session, .b = EV_USER_INTERRUPT};
    flow = ask(t, CLIENT, head);
    hand_msg(
        t->h, flow, MSG_DATA,
        (struct msg){.kind = M_EVENT, .flags = MSG_LAST, .b = EVENT_B(EV_USER_MESSAGE, 0, 0, 0), .d = 5});
    ck_assert_int_eq(got(t, flow).kind, M_OK);
    ck_assert_uint_eq(request(t, (struct msg){.kind = M_SESSION_GET, .a = session}).b, SESSION_RUNNING);

    /* One that is wrong: none is taken. */
    flow = ask(t, CLIENT, head);
    hand_msg(t->h, flow, MSG_DATA, (struct msg){.kind = M_EVENT, .flags = MSG_LAST, .b = EV_AGENT_MESSAGE});
    ck_assert_uint_eq(got(t, flow).a, 400);
    ck_assert_uint_eq(request(t, (struct msg){.kind = M_SESSION_GET, .a = session}).b, SESSION_RUNNING);

    /* Too many; cut off; for nobody. */
    flow = ask(t, CLIENT, head);
    for (int i = 0; i < 32; i++) {
        struct msg more = {.kind = M_EVENT, .b = EV_USER_INTERRUPT};

        hand_msg(t->h, flow, MSG_DATA, more);
    }
    ck_assert_uint_eq(got(t, flow).a, 413);
    hand_msg(t->h, flow, MSG_DATA, (struct msg){.kind = M_EVENT, .flags = MSG_LAST, .b = EV_USER_INTERRUPT});
    hand_reset(t->h, ask(t, CLIENT, head));
    ck_assert_uint_eq(post(t, 77, EV_USER_MESSAGE, 0, 0, 0).a, 404);
    ck_assert_uint_eq(request(t, (struct msg){.kind = M_REGISTER}).a, 400);
    ask(t, CLIENT, head); /* still open at the end */
    orch_end(t, EVENT_END);
}
END_TEST

START_TEST(limits_and_faults)
{
    struct orch *t = orch_new();
    struct msg m;

    t->h->plan.orchestrator.sessions_max = 2;
    t->h->plan.fault_count = 1;
    t->h->fault = (struct plan_fault){.kind = FAULT_ANSWER,
                                      .at_ns = 10 * S,
                                      .for_ns = 1 * S,
                                      .target = ADDR(ROLE_ORCHESTRATOR, 0),
                                      .status = 503,
                                      .share_ppm = 1000000,
                                      .retry_after_ns = 7 * S};
    orch_start(t);
    create(t, 0);
    create(t, 1);
    m = request(t, (struct msg){.kind = M_SESSION_CREATE, .b = 2});
    ck_assert(m.kind == M_ERROR && m.a == 429 && m.b == ERROR_LIMIT && m.c > 0);
    ck_assert_uint_eq(request(t, (struct msg){.kind = M_SESSION_CREATE, .c = 1}).a, 404);
    ck_assert_int_eq(request(t, (struct msg){.kind = M_SESSION_DELETE, .a = 1}).kind, M_OK);
    ck_assert_uint_eq(request(t, (struct msg){.kind = M_SESSION_DELETE, .a = 1}).a, 404);
    ck_assert_uint_eq(create(t, 3), 3); /* ids are not used again */
    say(t, 3);
    for (int i = 0; i < 64; i++) say(t, 3);
    ck_assert_uint_eq(post(t, 3, EV_USER_MESSAGE, 0, 1, 0).a, 429);
    hand_until(t->h, 10 * S);
    m = request(t, (struct msg){.kind = M_WORK_POLL});
    ck_assert(m.kind == M_ERROR && m.a == 503 && m.c == 7 * S);
    hand_until(t->h, 11 * S);
    ck_assert_int_eq(poll(t).kind, M_WORK);
    orch_end(t, EVENT_CRASH);
}
END_TEST

SUITE_MAIN("orchestrator", one_session_with_one_bash_call, polls_wait_and_leases_lapse,
           a_running_session_gets_a_new_item, a_refused_call_is_shed, large_outputs_are_read_back_in_pieces,
           a_piece_is_the_one_that_was_asked_for, a_call_without_answer_times_out, an_interrupt_ends_the_turn,
           lists_page_both_ways, streams_heed_credit_and_drop_laggards, requests_of_many_messages,
           limits_and_faults)
