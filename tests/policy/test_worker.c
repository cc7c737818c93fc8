#include "sim/policy/worker.h"

#include "tests/base/suite.h"

#define S    NSEC_PER_S
#define MS   NSEC_PER_MS
#define NONE UINT64_MAX

static const struct plan_runner plan = {
    .poll_pause_min_ns = 1 * S, .poll_pause_max_ns = 3 * S, .max_idle_ns = 60 * S};

static struct worker w;

static void begin(uint64_t seed)
{
    worker_init(&w, &plan, prng_stream(seed, 0, "test worker", 0, 0), NONE, 0);
}

/* The next action must be this, and now. */
static void expect(nsec_t now, enum worker_action action)
{
    ck_assert_int_eq(worker_next(&w, now), action);
}

/* Lets time pass to the next action; returns its time. */
static nsec_t next(enum worker_action action)
{
    nsec_t now = worker_deadline(&w);

    expect(now, action);
    return now;
}

/* To the acknowledgement of an item at the time returned. */
static nsec_t claim(void)
{
    nsec_t now = next(WORKER_POLL);

    worker_on_work(&w, now);
    expect(now, WORKER_ACK);
    worker_on_ack(&w, now, NONE);
    return now;
}

static void beat_ok(nsec_t now, nsec_t ttl, bool stopping)
{
    worker_on_beat(&w, now,
                   &(struct worker_beat){.last = now, .ttl_ns = ttl, .extended = true, .stopping = stopping});
}

static nsec_t serve(nsec_t ttl)
{
    nsec_t now = claim();

    expect(now, WORKER_BEAT);
    beat_ok(now, ttl, false);
    expect(now, WORKER_FETCH);
    worker_on_session(&w, now, false);
    expect(now, WORKER_OPEN_STREAM);
    worker_on_stream(&w, now);
    expect(now, WORKER_READ_HISTORY);
    ck_assert(!worker_serves(&w));
    worker_on_history(&w, now, false);
    ck_assert(worker_serves(&w));
    expect(now, WORKER_NOTHING);
    return now;
}

START_TEST(empty_polls_are_followed_by_a_pause)
{
    nsec_t lowest = NSEC_MAX, highest = 0, sum = 0;

    begin(1);
    nsec_t now = next(WORKER_POLL);
    ck_assert_uint_lt(now, 3 * S);
    for (int i = 0; i < 2000; i++) {
        nsec_t pause;

        worker_on_no_work(&w, now);
        pause = next(WORKER_POLL) - now;
        now += pause;
        lowest = nsec_min(lowest, pause);
        highest = nsec_max(highest, pause);
        sum += pause;
    }
    ck_assert_uint_ge(lowest, 1 * S);
    ck_assert_uint_le(highest, 3 * S);
    /* Uniform: mean 2 s, standard error 13 ms. */
    ck_assert_uint_gt(sum / 2000, 1950 * MS);
    ck_assert_uint_lt(sum / 2000, 2050 * MS);
}
END_TEST

START_TEST(failed_polls_back_off)
{
    nsec_t now;

    begin(2);
    now = next(WORKER_POLL);
    for (int i = 0; i < 9; i++) {
        nsec_t limit = nsec_min(60 * S, S << i), wait;

        worker_on_failure(&w, now, &(struct worker_failure){0});
        wait = next(WORKER_POLL) - now;
        ck_assert_uint_ge(wait, limit / 4 * 3);
        ck_assert_uint_le(wait, limit);
        now += wait;
    }
    worker_on_failure(&w, now, &(struct worker_failure){.retry_after_ns = 100 * S});
    ck_assert_uint_eq(next(WORKER_POLL), now + 100 * S);
    now += 100 * S;
    worker_on_no_work(&w, now);
    now = next(WORKER_POLL);
    worker_on_failure(&w, now, &(struct worker_failure){0});
    ck_assert_uint_le(worker_deadline(&w), now + 1 * S); /* it begins anew */
}
END_TEST

START_TEST(a_refused_poll_is_the_end)
{
    begin(3);
    worker_on_failure(&w, next(WORKER_POLL), &(struct worker_failure){.final = true});
    ck_assert_uint_eq(worker_deadline(&w), NSEC_MAX);
    expect(1000 * S, WORKER_NOTHING);
}
END_TEST

START_TEST(an_unanswered_request_is_cut)
{
    nsec_t now, cut;

    begin(4);
    now = next(WORKER_POLL);
    cut = next(WORKER_CUT_REQUEST);
    ck_assert_uint_eq(cut, now + WORKER_REQUEST_TIMEOUT_NS);
    next(WORKER_POLL);
}
END_TEST

START_TEST(a_claim_that_cannot_be_acknowledged_is_forgotten)
{
    nsec_t now;

    begin(5);
    now = next(WORKER_POLL);
    worker_on_work(&w, now);
    for (int i = 0; i < 3; i++) {
        now = next(WORKER_ACK);
        worker_on_failure(&w, now, &(struct worker_failure){0});
    }
    expect(now, WORKER_POLL);
    worker_on_work(&w, now);
    expect(now, WORKER_ACK);
    worker_on_failure(&w, now, &(struct worker_failure){.final = true});
    expect(now, WORKER_POLL);
}
END_TEST

START_TEST(heartbeats_at_half_the_lease_between_one_and_thirty_seconds)
{
    const nsec_t ttl[] = {300 * S, 40 * S, 1 * S}, every[] = {30 * S, 20 * S, 1 * S};

    for (int i = 0; i < 3; i++) {
        begin(6);
        nsec_t now = serve(ttl[i]);

        for (int n = 0; n < 5; n++) {
            ck_assert_uint_eq(next(WORKER_BEAT), now + every[i]);
            now += every[i];
            ck_assert_uint_eq(w.beat_last, now - every[i]);
            beat_ok(now, 0, false);
        }
    }
}
END_TEST

START_TEST(a_mismatch_loses_the_lease_at_once)
{
    nsec_t now;

    begin(7);
    serve(100 * S);
    now = next(WORKER_BEAT);
    worker_on_beat_mismatch(&w);
    expect(now, WORKER_LEAVE);
    ck_assert(w.lost);
    expect(now, WORKER_POLL); /* the item is left alone */
}
END_TEST

START_TEST(no_heartbeat_within_the_lease_loses_it)
{
    nsec_t now;
    int beats = 0;

    begin(8);
    nsec_t from = now = serve(100 * S);
    for (;;) {
        enum worker_action action = worker_next(&w, now = nsec_max(now, worker_deadline(&w)));

        if (action == WORKER_LEAVE) break;
        if (action != WORKER_BEAT) {
            ck_assert_int_eq(action, WORKER_CUT_BEAT); /* unanswered for an interval */
            continue;
        }
        if (++beats < 3) worker_on_beat_failure(&w, now, false);
    }
    ck_assert(w.lost);
    ck_assert_uint_gt(now, from + 100 * S);
    ck_assert_uint_le(now, from + 160 * S);
}
END_TEST

START_TEST(a_rejected_heartbeat_ends_the_session_but_stops_the_item)
{
    nsec_t now;

    begin(9);
    serve(100 * S);
    now = next(WORKER_BEAT);
    worker_on_beat_failure(&w, now, true);
    expect(now, WORKER_LEAVE);
    ck_assert(!w.lost);
    expect(now, WORKER_STOP_ITEM);
}
END_TEST

START_TEST(a_stopping_item_is_finished_in_order)
{
    nsec_t now;

    begin(10);
    serve(100 * S);
    worker_calls(&w, 2);
    now = next(WORKER_BEAT);
    beat_ok(now, 0, true);
    expect(now, WORKER_NOTHING);
    ck_assert(!worker_serves(&w));
    worker_calls(&w, 0);
    expect(now + 1, WORKER_LEAVE);
    expect(now + 1, WORKER_STOP_ITEM);
    worker_on_item_stopped(&w, now + 2);
    expect(now + 2, WORKER_POLL);

    begin(10);
    serve(100 * S);
    worker_calls(&w, 2);
    now = next(WORKER_BEAT);
    beat_ok(now, 0, true);
    w.beat_due = NSEC_MAX;                                         /* heartbeats go on; not looked at here */
    ck_assert_uint_eq(next(WORKER_LEAVE), now + WORKER_FINISH_NS); /* not for ever */
}
END_TEST

START_TEST(idle_sessions_are_left)
{
    nsec_t now;

    begin(11);
    now = serve(1000 * S);
    for (nsec_t until = now + 200 * S; now < until;) {
        now = next(WORKER_BEAT);
        beat_ok(now, 0, false); /* not idle: it stays */
    }
    worker_on_event(&w, now, true, false);
    worker_on_event(&w, now + 20 * S, false, false); /* busy again */
    worker_on_event(&w, now + 25 * S, true, false);
    nsec_t idle_from = now + 25 * S;
    for (;;) {
        enum worker_action action = worker_next(&w, now = worker_deadline(&w));

        if (action == WORKER_LEAVE) break;
        ck_assert_int_eq(action, WORKER_BEAT);
        beat_ok(now, 0, false);
    }
    ck_assert_uint_eq(now, idle_from + 60 * S);
    expect(now, WORKER_STOP_ITEM);
    for (int i = 0; i < 3; i++) {
        worker_on_failure(&w, now, &(struct worker_failure){0});
        if (i < 2) now = next(WORKER_STOP_ITEM);
    }
    expect(now, WORKER_POLL); /* it goes on without */
}
END_TEST

START_TEST(history_may_find_the_session_idle_or_over)
{
    nsec_t now;

    begin(12);
    now = claim();
    expect(now, WORKER_BEAT);
    beat_ok(now, 300 * S, false);
    expect(now, WORKER_FETCH);
    worker_on_session(&w, now, false);
    expect(now, WORKER_OPEN_STREAM);
    worker_on_stream(&w, now);
    expect(now, WORKER_READ_HISTORY);
    worker_on_history(&w, now, true);
    ck_assert_uint_eq(w.idle_due, now + 60 * S);
    worker_on_event(&w, now + 1, false, true);
    expect(now + 1, WORKER_LEAVE);
    expect(now + 1, WORKER_STOP_ITEM);

    begin(12);
    now = claim();
    expect(now, WORKER_BEAT);
    expect(now, WORKER_FETCH);
    worker_on_session(&w, now, true); /* terminated: nothing is served */
    expect(now, WORKER_LEAVE);
    expect(now, WORKER_STOP_ITEM);
}
END_TEST

START_TEST(streams_are_opened_again_ever_more_slowly)
{
    const nsec_t waits[] = {500 * MS, 1 * S, 2 * S, 4 * S, 8 * S, 10 * S, 10 * S};
    nsec_t now;

    begin(13);
    now = serve(NSEC_MAX / 4);
    beat_ok(now + 1000 * S, 0, false);
    for (int i = 0; i < 7; i++) {
        w.beat_due = now + 1000 * S; /* heartbeats are not looked at here */
        worker_on_stream_lost(&w, now, false);
        ck_assert(!worker_serves(&w));
        ck_assert_uint_eq(next(WORKER_OPEN_STREAM), now + waits[i]);
        now += waits[i];
    }
    worker_on_stream(&w, now);
    expect(now, WORKER_READ_HISTORY);
    worker_on_history(&w, now, false);
    worker_on_event(&w, now, false, false);
    w.beat_due = now + 1000 * S;
    worker_on_stream_lost(&w, now, false);
    ck_assert_uint_eq(next(WORKER_OPEN_STREAM), now + 500 * MS);
    worker_on_stream_lost(&w, now, true);
    expect(now, WORKER_LEAVE);
}
END_TEST

START_TEST(history_that_cannot_be_read_costs_the_stream)
{
    nsec_t now;

    begin(14);
    now = claim();
    expect(now, WORKER_BEAT);
    beat_ok(now, 300 * S, false);
    expect(now, WORKER_FETCH);
    worker_on_session(&w, now, false);
    expect(now, WORKER_OPEN_STREAM);
    worker_on_stream(&w, now);
    for (int i = 0; i < 3; i++) {
        now = next(WORKER_READ_HISTORY);
        worker_on_history_failure(&w, now);
    }
    expect(now, WORKER_CUT_STREAM);
    next(WORKER_OPEN_STREAM);
}
END_TEST

START_TEST(drained_workers_take_nothing_new)
{
    nsec_t now;

    begin(15);
    worker_drain(&w);
    expect(100 * S, WORKER_NOTHING);

    begin(15);
    now = next(WORKER_POLL);
    worker_drain(&w);
    expect(now, WORKER_CUT_REQUEST);
    expect(now, WORKER_NOTHING);
    ck_assert_uint_eq(worker_deadline(&w), NSEC_MAX);

    begin(15);
    now = serve(300 * S);
    worker_drain(&w);
    expect(now, WORKER_NOTHING);
    worker_on_event(&w, now, false, true);
    expect(now, WORKER_LEAVE);
    expect(now, WORKER_STOP_ITEM);
    worker_on_item_stopped(&w, now);
    expect(now + 1000 * S, WORKER_NOTHING);
}
END_TEST

START_TEST(a_crash_takes_everything_and_a_second)
{
    nsec_t now;

    begin(16);
    now = serve(300 * S);
    worker_crash(&w, now + 5 * S);
    ck_assert_uint_eq(next(WORKER_VANISH), now + 5 * S);
    ck_assert(!worker_holds(&w));
    ck_assert_uint_eq(next(WORKER_POLL), now + 6 * S);
}
END_TEST

SUITE_MAIN("worker", empty_polls_are_followed_by_a_pause, failed_polls_back_off, a_refused_poll_is_the_end,
           an_unanswered_request_is_cut, a_claim_that_cannot_be_acknowledged_is_forgotten,
           heartbeats_at_half_the_lease_between_one_and_thirty_seconds, a_mismatch_loses_the_lease_at_once,
           no_heartbeat_within_the_lease_loses_it, a_rejected_heartbeat_ends_the_session_but_stops_the_item,
           a_stopping_item_is_finished_in_order, idle_sessions_are_left,
           history_may_find_the_session_idle_or_over, streams_are_opened_again_ever_more_slowly,
           history_that_cannot_be_read_costs_the_stream, drained_workers_take_nothing_new,
           a_crash_takes_everything_and_a_second)
