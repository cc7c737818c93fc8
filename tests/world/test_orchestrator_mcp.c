#include "tests/world/orchestrator_hand.h"

/* A plan whose one call goes to the MCP server. */
static struct orch *mcp_new(uint32_t count)
{
    struct orch *t = orch_new();

    t->calls[0] = (struct plan_call){.tool = TOOL_MCP, .count = count};
    return t;
}

/* A session that has just issued its calls, at 1 s; its client's stream. */
static uint32_t issued(struct orch *t, uint64_t ordinal, uint64_t *ret_session)
{
    uint32_t client;

    *ret_session = create(t, ordinal);
    client = stream(t, *ret_session);
    say(t, *ret_session);
    hand_until(t->h, t->h->now + 1 * S);
    return client;
}

START_TEST(a_call_through_the_tunnel)
{
    struct orch *t = mcp_new(1);
    struct effect open;
    uint64_t session, attempt;
    uint32_t client;
    struct msg m, use, call;

    orch_start(t);
    client = issued(t, 4, &session);
    use = event_of(t, client, EV_AGENT_MCP_TOOL_USE);
    ck_assert_uint_eq(use.c, HOST(1, 0)); /* ordinal 4 of 3 tunnels */
    ck_assert(!has_event(t, client, EV_AGENT_MCP_TOOL_RESULT));
    hand_until(t->h, 2 * S);
    call = accept_stream(t, &open);
    ck_assert(open.msg.bytes == 250 && call.bytes == 600 && call.c == MCP_OWN_OUTPUT && call.d == use.a);
    ck_assert_uint_eq(call.b, HOST(1, 0));
    attempt = call.a;
    ck_assert_uint_eq(post(t, session, EV_USER_TOOL_RESULT, use.a, 1, 0).a, 400); /* not the worker's */
    hand_until(t->h, 4 * S);
    hand_msg(t->h, open.flow, MSG_DATA,
             (struct msg){.kind = M_MCP_RESULT, .flags = MSG_UNFINISHED, .a = attempt, .b = 200, .c = 70000});
    ck_assert(!has_event(t, client, EV_AGENT_MCP_TOOL_RESULT));
    hand_msg(t->h, open.flow, MSG_DATA, (struct msg){.kind = M_BODY, .a = attempt, .b = 200, .c = 70000});
    m = event_of(t, client, EV_AGENT_MCP_TOOL_RESULT);
    ck_assert(m.c == use.a && m.d == 70000 && EVENT_FLAGS(m.b) == 0);
    hand_until(t->h, 6 * S);
    ck_assert_uint_eq(event_of(t, client, EV_AGENT_MESSAGE).c, use.a);
    ck_assert_uint_eq(histogram_max(hand_metric(t->h, METRIC_MCP_CALL)), 3 * S);
    ck_assert_uint_eq(histogram_max(hand_metric(t->h, METRIC_MCP_ATTEMPT)), 3 * S);
    ck_assert_uint_eq(histogram_max(hand_metric(t->h, METRIC_TOOL_CALL)), 3 * S);

    /* The stream is used again, and closed when it idles. */
    say(t, session);
    hand_until(t->h, 7 * S);
    hand_no_request(t->h, M_TUNNEL_STREAM);
    ck_assert(hand_sent(t->h, open.flow, MSG_DATA, &call) && call.kind == M_MCP_CALL && call.a != attempt);
    mcp_result(t, open.flow, attempt, 200, 5); /* an answer to an earlier attempt is nothing */
    ck_assert_uint_eq(ended(t, ACCOUNT_CALL, LEDGER_COMPLETED), 1);
    ck_assert_uint_eq(hand_count(t->h, COUNTER_HASH_MISMATCHES), 0);
    hand_msg(t->h, open.flow, MSG_DATA,
             (struct msg){.kind = M_MCP_RESULT, .a = call.a, .b = 200 | MCP_CORRUPT, .c = 5});
    ck_assert_uint_eq(ended(t, ACCOUNT_CALL, LEDGER_COMPLETED), 2);
    ck_assert_uint_eq(hand_count(t->h, COUNTER_HASH_MISMATCHES), 1); /* its text was another one's */
    hand_until(t->h, 67 * S - 1);
    ck_assert(!hand_sent(t->h, open.flow, MSG_DATA, NULL));
    hand_until(t->h, 67 * S);
    ck_assert(hand_sent(t->h, open.flow, MSG_DATA, &m) && m.flags == MSG_LAST);
    hand_msg(t->h, open.flow, MSG_DATA, (struct msg){.flags = MSG_LAST});
    ck_assert(!world_flow_alive(t->h->world, open.flow));
    orch_end(t, EVENT_END);
}
END_TEST

START_TEST(lost_attempts_are_made_again)
{
    struct orch *t = mcp_new(1);
    struct effect open;
    uint64_t session, first;
    uint32_t client;
    struct msg call;

    orch_start(t);
    client = issued(t, 0, &session);
    call = accept_stream(t, &open);
    first = call.a;
    hand_reset(t->h, open.flow);
    hand_no_request(t->h, M_TUNNEL_STREAM);
    ck_assert_uint_eq(ended(t, ACCOUNT_ATTEMPT, LEDGER_LOST), 1);
    hand_until(t->h, 2 * S); /* no jitter: 1 s */
    open = hand_request(t->h, M_TUNNEL_STREAM);
    hand_msg(t->h, open.flow, MSG_OPEN,
             (struct msg){.kind = M_ERROR, .flags = MSG_LAST, .a = 502, .c = 5 * S});
    ck_assert(hand_sent(t->h, open.flow, MSG_DATA, &call) && call.flags == MSG_LAST);
    ck_assert_uint_eq(ended(t, ACCOUNT_ATTEMPT, LEDGER_FAILED), 1);
    hand_until(t->h, 7 * S - 1);
    hand_no_request(t->h, M_TUNNEL_STREAM); /* 2 s would be its turn, but it was told 5 s */
    hand_until(t->h, 7 * S);
    call = accept_stream(t, &open);
    ck_assert(call.a != first && call.d == event_of(t, client, EV_AGENT_MCP_TOOL_USE).a);
    hand_reset(t->h, open.flow); /* the third and last */
    hand_until(t->h, 100 * S);
    hand_no_request(t->h, M_TUNNEL_STREAM);
    ck_assert_uint_eq(EVENT_FLAGS(event_of(t, client, EV_AGENT_MCP_TOOL_RESULT).b), EVENT_IS_ERROR);
    event_of(t, client, EV_STATUS_IDLE); /* the agent goes on */
    ck_assert_uint_eq(ended(t, ACCOUNT_CALL, LEDGER_LOST), 1);
    ck_assert_uint_eq(ended(t, ACCOUNT_ATTEMPT, LEDGER_LOST), 2);
    ck_assert_uint_eq(hand_count(t->h, COUNTER_RETRIES), 2);
    orch_end(t, EVENT_END);
}
END_TEST

START_TEST(final_errors_and_time_outs)
{
    struct orch *t = mcp_new(1);
    struct effect open;
    uint64_t session;
    uint32_t client;
    struct msg call, m;

    t->h->plan.orchestrator.mcp_retry.on_timeout = false;
    orch_start(t);
    client = issued(t, 0, &session);
    open = hand_request(t->h, M_TUNNEL_STREAM);
    hand_error(t->h, open.flow, 404); /* no such tunnel: never again */
    ck_assert_uint_eq(ended(t, ACCOUNT_CALL, LEDGER_FAILED), 1);
    event_of(t, client, EV_AGENT_MCP_TOOL_RESULT);

    client = issued(t, 1, &session);
    call = accept_stream(t, &open);
    mcp_result(t, open.flow, call.a, 429, 0); /* the rule says no */
    ck_assert_uint_eq(ended(t, ACCOUNT_CALL, LEDGER_FAILED), 2);

    client = issued(t, 2, &session);
    accept_stream(t, &open);
    hand_until(t->h, t->h->now + 30 * S);
    ck_assert(hand_sent(t->h, open.flow, MSG_RESET, &m) && m.a == RESET_CANCEL);
    ck_assert_uint_eq(ended(t, ACCOUNT_CALL, LEDGER_FAILED), 3);
    ck_assert_uint_eq(ended(t, ACCOUNT_ATTEMPT, LEDGER_FAILED), 3);
    ck_assert_uint_eq(hand_count(t->h, COUNTER_RETRIES), 0);

    issued(t, 5, &session); /* the edge says nothing at all */
    hand_until(t->h, t->h->now + 40 * S);
    ck_assert_uint_eq(ended(t, ACCOUNT_CALL, LEDGER_FAILED), 4);
    ck_assert_uint_eq(ended(t, ACCOUNT_CALL, LEDGER_COMPLETED), 0);
    orch_end(t, EVENT_END);
}
END_TEST

START_TEST(calls_wait_for_streams_and_are_shed)
{
    struct orch *t = mcp_new(5);
    struct effect a, b, c;
    struct msg call_a, call_b, m;
    uint64_t session;

    orch_start(t);
    issued(t, 0, &session); /* 2 streams, 2 wait, 1 shed */
    ck_assert_uint_eq(ended(t, ACCOUNT_CALL, LEDGER_SHED), 1);
    ck_assert_uint_eq(hand_count(t->h, COUNTER_REQUESTS_SHED), 1);
    ck_assert_uint_eq(histogram_count(hand_metric(t->h, METRIC_TOOL_CALL)), 0);
    call_a = accept_stream(t, &a);
    call_b = accept_stream(t, &b);
    hand_no_request(t->h, M_TUNNEL_STREAM);
    mcp_result(t, a.flow, call_a.a, 200, 1);
    ck_assert(hand_sent(t->h, a.flow, MSG_DATA, &m) && m.kind == M_MCP_CALL); /* the third, at once */
    hand_msg(t->h, b.flow, MSG_DATA,
             (struct msg){.kind = M_MCP_RESULT, .flags = MSG_LAST, .a = call_b.a, .b = 200});
    call_b = accept_stream(t, &c); /* the last answer on b: the fourth gets a new stream */
    mcp_result(t, c.flow, call_b.a, 200, 1);
    ck_assert_uint_eq(ended(t, ACCOUNT_CALL, LEDGER_COMPLETED), 3);
    /* The peer ends a stream in mid-call: an attempt lost. */
    hand_msg(t->h, a.flow, MSG_DATA, (struct msg){.flags = MSG_LAST});
    ck_assert_uint_eq(ended(t, ACCOUNT_ATTEMPT, LEDGER_LOST), 1);
    hand_until(t->h, t->h->now + 1 * S);
    ck_assert(hand_sent(t->h, c.flow, MSG_DATA, &m) && m.kind == M_MCP_CALL); /* on the stream that idles */
    hand_reset(t->h, c.flow);
    orch_end(t, EVENT_CRASH);
}
END_TEST

START_TEST(large_results_are_written_to_the_sandbox)
{
    struct orch *t = mcp_new(1);
    struct effect open;
    uint64_t session;
    uint32_t client;
    struct msg call, write, read, m;

    t->calls[0].output_given = true;
    t->calls[0].output_chars = dist_constant(400000);
    t->calls[1].tool = TOOL_READ;
    t->h->plan.orchestrator.read_piece_chars = 1000000;
    t->h->turns[0].step_count = 2;
    orch_start(t);
    client = issued(t, 0, &session);
    call = accept_stream(t, &open);
    ck_assert_uint_eq(call.c, 400000);
    mcp_result(t, open.flow, call.a, 200, 400000);
    write = event_of(t, client, EV_AGENT_TOOL_USE);
    ck_assert(EVENT_TOOL(write.b) == TOOL_WRITE && write.c == call.d && write.d == 400000);
    m = write;
    ck_assert(hand_sent(t->h, client, MSG_DATA, &m) && m.kind == M_BODY); /* with the whole text */
    hand_msg(t->h, client, MSG_CREDIT, (struct msg){.bytes = 400350});
    hand_until(t->h, 3 * S);
    ck_assert_int_eq(post(t, session, EV_USER_TOOL_RESULT, write.a, 50, 0).kind, M_OK);
    m = event_of(t, client, EV_AGENT_MCP_TOOL_RESULT);
    ck_assert(m.c == call.d && m.d == TOOL_PIECE(400000, SPILL_NOTE_CHARS + 2000) &&
              EVENT_FLAGS(m.b) == EVENT_SPILLED);
    ck_assert_uint_eq(histogram_max(hand_metric(t->h, METRIC_SPILL_WRITE)), 2 * S);
    ck_assert_uint_eq(histogram_max(hand_metric(t->h, METRIC_MCP_CALL)), 0);
    ck_assert_uint_eq(histogram_max(hand_metric(t->h, METRIC_TOOL_CALL)), 2 * S);
    ck_assert_uint_eq(ended(t, ACCOUNT_SPILL, LEDGER_COMPLETED), 1);
    ck_assert_uint_eq(hand_marked(t->h, call.d, MARK_ATTEMPT_END),
                      1); /* what is between is the worker's to mark */
    ck_assert_uint_eq(hand_marked(t->h, call.d, MARK_RESULT_BACK), 1);
    ck_assert_uint_eq(hand_marked(t->h, call.d, MARK_CALL_END), 1);
    hand_until(t->h, 4 * S);
    read = event_of(t, client, EV_AGENT_TOOL_USE);
    ck_assert(EVENT_TOOL(read.b) == TOOL_READ && read.c == call.d && read.d == TOOL_PIECE(0, 400000));
    post(t, session, EV_USER_TOOL_RESULT, read.a, 100000, 0);
    hand_until(t->h, 6 * S);
    event_of(t, client, EV_STATUS_IDLE);

    /* The next one cannot be written; the one after that is not written by the end. */
    say(t, session);
    hand_until(t->h, 7 * S);
    ck_assert(hand_sent(t->h, open.flow, MSG_DATA, &call));
    mcp_result(t, open.flow, call.a, 200, 400000);
    write = event_of(t, client, EV_AGENT_TOOL_USE);
    hand_msg(t->h, client, MSG_CREDIT, (struct msg){.bytes = 1000000});
    post(t, session, EV_USER_TOOL_RESULT, write.a, 50, EVENT_IS_ERROR);
    ck_assert_uint_eq(EVENT_FLAGS(event_of(t, client, EV_AGENT_MCP_TOOL_RESULT).b), EVENT_IS_ERROR);
    ck_assert_uint_eq(ended(t, ACCOUNT_SPILL, LEDGER_FAILED), 1);
    hand_until(t->h, 20 * S);
    ck_assert(!has_event(t, client, EV_AGENT_TOOL_USE)); /* nothing to be read */
    say(t, session);
    hand_until(t->h, 21 * S);
    ck_assert(hand_sent(t->h, open.flow, MSG_DATA, &call));
    mcp_result(t, open.flow, call.a, 200, 400000);
    orch_end(t, EVENT_END);
}
END_TEST

START_TEST(without_tunnels)
{
    struct orch *t = mcp_new(3);
    struct effect a, b;
    uint64_t session;
    uint32_t client;

    t->h->plan.orchestrator.mcp_direct = true;
    t->h->plan.tunnels.count = 0;
    orch_start(t);
    client = issued(t, 7, &session);
    a = hand_request(t->h, M_MCP_CALL);
    b = hand_request(t->h, M_MCP_CALL);
    hand_no_request(t->h, M_MCP_CALL); /* bounded the same way */
    ck_assert(a.to == ADDR(ROLE_MCP, 0) && (a.msg.flags & MSG_LAST));
    hand_answer(t->h, a.flow, (struct msg){.kind = M_MCP_RESULT, .a = a.msg.a, .b = 200, .c = 10});
    ck_assert(!world_flow_alive(t->h->world, a.flow));
    a = hand_request(t->h, M_MCP_CALL);
    hand_answer(t->h, b.flow, (struct msg){.kind = M_MCP_RESULT, .a = b.msg.a, .b = 500});
    hand_error(t->h, a.flow, 404);
    ck_assert_uint_eq(ended(t, ACCOUNT_CALL, LEDGER_COMPLETED), 1);
    ck_assert_uint_eq(ended(t, ACCOUNT_CALL, LEDGER_FAILED), 1);
    hand_until(t->h, 2 * S);
    b = hand_request(t->h, M_MCP_CALL);
    hand_msg(t->h, b.flow, MSG_OPEN,
             (struct msg){.kind = M_MCP_RESULT, .flags = MSG_UNFINISHED, .a = b.msg.a, .b = 200, .c = 99999});
    hand_msg(t->h, b.flow, MSG_DATA,
             (struct msg){.kind = M_BODY, .flags = MSG_LAST, .a = b.msg.a, .b = 200, .c = 99999});
    ck_assert_uint_eq(ended(t, ACCOUNT_CALL, LEDGER_COMPLETED), 2);
    hand_until(t->h, 4 * S);
    event_of(t, client, EV_STATUS_IDLE);
    say(t, session);
    hand_until(t->h, 5 * S);
    hand_until(t->h, 35 * S); /* nobody answers: time-out, again */
    ck_assert_uint_eq(hand_count(t->h, COUNTER_TIMEOUTS), 2);
    orch_end(t, EVENT_END);
}
END_TEST

START_TEST(given_up_calls_leave_nothing)
{
    struct orch *t = mcp_new(4);
    struct effect open;
    uint64_t first, second;
    struct msg m;

    orch_start(t);
    issued(t, 0, &first);
    accept_stream(t, &open);
    issued(t, 3, &second); /* the same tunnel: 2 of its calls wait no more than the first's do */
    ck_assert_uint_eq(ended(t, ACCOUNT_CALL, LEDGER_SHED), 4);
    request(t, (struct msg){.kind = M_SESSION_DELETE, .a = first});
    ck_assert(hand_sent(t->h, open.flow, MSG_RESET, &m) && m.a == RESET_CANCEL);
    ck_assert_uint_eq(ended(t, ACCOUNT_ATTEMPT, LEDGER_LOST), 2);
    ck_assert_uint_eq(ended(t, ACCOUNT_CALL, LEDGER_LOST), 4);

    issued(t, 1, &second);
    post(t, second, EV_USER_INTERRUPT, 0, 0, 0);
    ck_assert_uint_eq(ended(t, ACCOUNT_ATTEMPT, LEDGER_FAILED), 2);
    ck_assert_uint_eq(ended(t, ACCOUNT_CALL, LEDGER_FAILED), 4);

    /* The time limit of the call ends it in whatever state: here in the wait for a retry. */
    t->h->plan.orchestrator.call_timeout_ns = 1500 * MS;
    t->h->plan.orchestrator.mcp_retry.base_ns = 10 * S;
    issued(t, 2, &second);
    for (int i = 0; i < 4; i++) {
        if (!hand_asked(t->h, M_TUNNEL_STREAM, &open)) continue;
        if (world_flow_alive(t->h->world, open.flow)) hand_reset(t->h, open.flow);
    }
    hand_until(t->h, t->h->now + 2 * S);
    ck_assert_uint_eq(ended(t, ACCOUNT_CALL, LEDGER_FAILED), 8);
    orch_end(t, EVENT_END);
}
END_TEST

/* The driver's part when a durable component dies and comes back. */
static void die_and_return(struct orch *t, nsec_t back_at)
{
    world_drop_flows(t->h->world, t->h->self);
    world_settle(t->h->world, NULL, NULL);
    vec_clear(&t->h->timers);
    vec_clear(&t->h->seen);
    t->h->now = back_at;
    hand_event(t->h, EVENT_RECOVERED);
}

START_TEST(a_durable_one_goes_on)
{
    struct orch *t = mcp_new(4);
    struct effect open;
    uint64_t session, item, beat;
    struct msg m;
    uint32_t client;

    t->h->plan.orchestrator.durable = true;
    orch_start(t);
    issued(t, 0, &session);
    item = serve(t);
    beat = t->h->now;
    ask(t, WORKER, (struct msg){.kind = M_WORK_POLL, .flags = MSG_LAST, .b = 9, .c = 999 * MS});
    accept_stream(t, &open);
    die_and_return(t, 3 * S);
    ck_assert_uint_eq(ended(t, ACCOUNT_ATTEMPT, LEDGER_LOST), 2);
    ck_assert_uint_eq(ended(t, ACCOUNT_STREAM, LEDGER_LOST), 1);
    m = request(t, (struct msg){.kind = M_WORK_HEARTBEAT, .a = item, .b = beat, .c = 10 * S});
    ck_assert(m.kind == M_HEARTBEAT && m.d == 1);
    client = stream(t, session);
    /* Those that waited go on at once, those that were lost after their wait. */
    for (int i = 0; i < 2; i++) {
        m = accept_stream(t, &open);
        mcp_result(t, open.flow, m.a, 200, 5);
    }
    ck_assert_uint_eq(ended(t, ACCOUNT_CALL, LEDGER_COMPLETED), 2);
    hand_until(t->h, 4 * S);
    ck_assert_uint_eq(hand_count(t->h, COUNTER_RETRIES), 2);
    die_and_return(t, 5 * S);
    hand_until(t->h, 8 * S); /* the third attempt, after 2 s */
    for (int i = 0; i < 2; i++) {
        m = accept_stream(t, &open);
        mcp_result(t, open.flow, m.a, 200, 5);
    }
    ck_assert_uint_eq(ended(t, ACCOUNT_CALL, LEDGER_COMPLETED), 4);
    die_and_return(t, 12 * S); /* in the model's time, which is over then */
    client = stream(t, session);
    hand_until(t->h, 12 * S);
    event_of(t, client, EV_STATUS_IDLE);
    hand_until(t->h, 13 * S); /* the lease of 10 s lapsed */
    ck_assert_uint_eq(hand_count(t->h, COUNTER_LEASE_EXPIRED), 1);
    ck_assert_int_eq(poll(t).kind, M_WORK);
    orch_end(t, EVENT_END);
}
END_TEST

START_TEST(one_that_is_not_durable_ends_everything)
{
    struct orch *t = mcp_new(4);
    uint64_t session;

    t->calls[1].tool = TOOL_BASH;
    t->steps[0].call_count = 2;
    orch_start(t);
    issued(t, 0, &session);
    orch_end(t, EVENT_CRASH);
}
END_TEST

SUITE_MAIN("orchestrator_mcp", a_call_through_the_tunnel, lost_attempts_are_made_again,
           final_errors_and_time_outs, calls_wait_for_streams_and_are_shed,
           large_results_are_written_to_the_sandbox, without_tunnels, given_up_calls_leave_nothing,
           a_durable_one_goes_on, one_that_is_not_durable_ends_everything)
