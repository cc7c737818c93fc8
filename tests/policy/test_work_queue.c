#include "sim/policy/work_queue.h"

#include <check.h>
#include <stdlib.h>

#define S NSEC_PER_S

static struct work_queue queue;

static void setup(void)
{
    struct work_queue_options options = {.environments = 2,
                                         .items_max = 100,
                                         .polls_max = 3,
                                         .workers_max = 4,
                                         .retired_max = 1,
                                         .lease_ttl_ns = 300 * S,
                                         .lease_ttl_max_ns = 600 * S,
                                         .reclaim_ns = 5 * S};

    ck_assert_int_eq(work_queue_init(&queue, &options), 0);
}

static void teardown(void)
{
    work_queue_deinit(&queue);
}

static enum work_poll_outcome poll(nsec_t now, uint64_t worker, nsec_t block_ns, uint32_t *ret)
{
    struct work_poll_request request = {.worker = worker, .handle = (uint32_t)worker, .block_ns = block_ns};

    return work_queue_poll(&queue, now, &request, ret);
}

static const struct work_item *item(uint32_t ref)
{
    return work_queue_item(&queue, ref);
}

/* An item that a worker claimed and acknowledged at `now`. */
static uint32_t started(nsec_t now)
{
    uint32_t ref = work_queue_add(&queue, now, 0, 1), claimed;

    ck_assert_int_eq(poll(now, 1, 0, &claimed), WORK_POLL_CLAIMED);
    ck_assert_uint_eq(claimed, ref);
    ck_assert_int_eq(work_queue_ack(&queue, now, ref), WORK_DONE);
    return ref;
}

START_TEST(first_in_first_out_and_longest_waiting_first)
{
    uint32_t a = work_queue_add(&queue, 10, 0, 1), b = work_queue_add(&queue, 11, 0, 2), ref, first;
    struct work_match match;

    ck_assert_uint_eq(work_queue_find(&queue, 2), b);
    ck_assert_uint_eq(work_queue_find(&queue, 3), 0);
    ck_assert_int_eq(poll(20, 1, 0, &ref), WORK_POLL_CLAIMED);
    ck_assert_uint_eq(ref, a);
    ck_assert_int_eq(poll(20, 1, S, &ref), WORK_POLL_CLAIMED);
    ck_assert_uint_eq(ref, b);
    ck_assert_int_eq(poll(21, 1, 0, &ref), WORK_POLL_EMPTY);
    ck_assert_int_eq(poll(21, 1, S, &first), WORK_POLL_WAITS);
    ck_assert_int_eq(poll(22, 2, S, &ref), WORK_POLL_WAITS);
    ck_assert_int_eq(poll(22, 3, S, &ref), WORK_POLL_WAITS);
    ck_assert_int_eq(poll(22, 4, S, &ref), WORK_POLL_EMPTY); /* the limit */
    ck_assert(work_queue_poll_end(&queue, first, NULL));
    ck_assert(!work_queue_poll_end(&queue, first, NULL));
    a = work_queue_add(&queue, 30, 0, 3);
    ck_assert(!work_queue_match(&queue, 35, 1, &match));
    ck_assert(work_queue_match(&queue, 35, 0, &match));
    ck_assert(match.handle == 2 && match.item == a && match.waited_ns == 5);
    ck_assert(!work_queue_match(&queue, 35, 0, &match));
    work_queue_polls_drop(&queue);
    work_queue_add(&queue, 36, 0, 4);
    ck_assert(!work_queue_match(&queue, 36, 0, &match));
}
END_TEST

START_TEST(a_claim_without_ack_is_offered_again)
{
    uint32_t a = work_queue_add(&queue, 0, 0, 1), ref;
    struct work_poll_request eager = {.worker = 9, .reclaim_ns = 2 * S};

    poll(1 * S, 1, 0, &ref);
    ck_assert_uint_eq(item(a)->until, 6 * S);
    ck_assert_int_eq(work_queue_expire(&queue, 6 * S - 1, a), WORK_EXPIRY_NONE);
    ck_assert_int_eq(work_queue_expire(&queue, 6 * S, a), WORK_EXPIRY_RECLAIMED);
    ck_assert_int_eq(work_queue_ack(&queue, 6 * S, a), WORK_CONFLICT); /* too late */
    poll(7 * S, 2, 0, &ref);
    ck_assert_uint_eq(ref, a);
    ck_assert_int_eq(work_queue_poll(&queue, 8 * S, &eager, &ref), WORK_POLL_EMPTY);
    ck_assert_int_eq(work_queue_poll(&queue, 9 * S, &eager, &ref), WORK_POLL_CLAIMED);
    ck_assert_uint_eq(ref, a);
    ck_assert_int_eq(work_queue_ack(&queue, 9 * S, a), WORK_DONE);
    ck_assert_int_eq(work_queue_ack(&queue, 9 * S, a), WORK_DONE); /* once more */
    ck_assert_int_eq(item(a)->state, ITEM_STARTING);
}
END_TEST

START_TEST(heartbeats_compare_and_set)
{
    uint32_t a = started(10 * S);
    uint64_t beat;

    ck_assert_int_eq(work_queue_heartbeat(&queue, 11 * S, a, 5, 0), WORK_BEAT_MISMATCH);
    ck_assert_int_eq(work_queue_heartbeat(&queue, 11 * S, a, WORK_BEAT_NONE, 0), WORK_BEAT_ACCEPTED);
    beat = item(a)->beat;
    ck_assert_uint_eq(beat, 11 * S);
    ck_assert_int_eq(item(a)->state, ITEM_ACTIVE);
    ck_assert_int_eq(work_queue_ack(&queue, 11 * S, a), WORK_CONFLICT);
    ck_assert_int_eq(work_queue_heartbeat(&queue, 11 * S, a, WORK_BEAT_NONE, 0), WORK_BEAT_MISMATCH);
    ck_assert_int_eq(work_queue_heartbeat(&queue, 11 * S, a, beat, 30 * S), WORK_BEAT_ACCEPTED);
    ck_assert_uint_eq(item(a)->beat, 11 * S + 1); /* never the same number twice */
    ck_assert_uint_eq(item(a)->until, 41 * S);
    ck_assert_int_eq(work_queue_heartbeat(&queue, 12 * S, a, beat, 0), WORK_BEAT_MISMATCH);
    ck_assert_int_eq(work_queue_heartbeat(&queue, 12 * S, a, 11 * S + 1, 9999 * S), WORK_BEAT_ACCEPTED);
    ck_assert_uint_eq(item(a)->until, 612 * S);
}
END_TEST

START_TEST(a_lapsed_lease_belongs_to_the_next)
{
    uint32_t a = started(0), ref;
    uint64_t beat;

    work_queue_heartbeat(&queue, 1 * S, a, WORK_BEAT_NONE, 10 * S);
    beat = item(a)->beat;
    ck_assert_int_eq(work_queue_expire(&queue, 11 * S, a), WORK_EXPIRY_LAPSED);
    ck_assert_int_eq(work_queue_heartbeat(&queue, 11 * S, a, beat, 0), WORK_BEAT_MISMATCH);
    ck_assert_int_eq(work_queue_heartbeat(&queue, 11 * S, a, WORK_BEAT_NONE, 0), WORK_BEAT_CONFLICT);
    ck_assert_int_eq(poll(12 * S, 2, 0, &ref), WORK_POLL_CLAIMED);
    ck_assert_int_eq(work_queue_ack(&queue, 12 * S, a), WORK_DONE);
    ck_assert_uint_eq(item(a)->until, 312 * S);
    ck_assert_int_eq(work_queue_heartbeat(&queue, 12 * S, a, WORK_BEAT_NONE, 0), WORK_BEAT_ACCEPTED);
    ck_assert_uint_gt(item(a)->beat, beat);
}
END_TEST

START_TEST(stop_in_order_and_by_force)
{
    uint32_t a = started(0), b, c;

    work_queue_heartbeat(&queue, 1 * S, a, WORK_BEAT_NONE, 10 * S);
    ck_assert_int_eq(work_queue_stop(&queue, 2 * S, a, false), WORK_DONE);
    ck_assert_int_eq(item(a)->state, ITEM_STOPPING);
    ck_assert_int_eq(work_queue_stop(&queue, 2 * S, a, false), WORK_DONE);
    ck_assert_uint_eq(item(a)->until, 11 * S);
    ck_assert_int_eq(work_queue_heartbeat(&queue, 3 * S, a, 1 * S, 10 * S), WORK_BEAT_ACCEPTED);
    ck_assert_int_eq(item(a)->state, ITEM_STOPPING);
    ck_assert_int_eq(work_queue_stop(&queue, 4 * S, a, true), WORK_DONE);
    ck_assert_int_eq(work_queue_stop(&queue, 4 * S, a, true), WORK_CONFLICT);
    ck_assert_int_eq(work_queue_ack(&queue, 4 * S, a), WORK_CONFLICT);
    ck_assert_int_eq(work_queue_heartbeat(&queue, 5 * S, a, 3 * S, 0), WORK_BEAT_STOPPED);
    ck_assert_int_eq(work_queue_heartbeat(&queue, 5 * S, a, 1 * S, 0), WORK_BEAT_MISMATCH);

    b = work_queue_add(&queue, 5 * S, 0, 2);
    ck_assert_int_eq(work_queue_stop(&queue, 5 * S, b, false), WORK_DONE); /* nobody has it */
    ck_assert_int_eq(item(b)->state, ITEM_STOPPED);
    c = started(6 * S);
    work_queue_stop(&queue, 7 * S, c, false);
    ck_assert_int_eq(work_queue_expire(&queue, 306 * S, c), WORK_EXPIRY_STOPPED);

    work_queue_retire(&queue, a);
    ck_assert_ptr_nonnull(item(a));
    work_queue_retire(&queue, b);
    ck_assert_ptr_null(item(a)); /* only so many are remembered */
    ck_assert_uint_eq(work_queue_find(&queue, 1), 0);
    ck_assert_uint_eq(work_queue_find(&queue, 2), b);
}
END_TEST

START_TEST(stats_count_what_waits_and_who_polls)
{
    struct work_stats stats;
    uint32_t ref;

    work_queue_add(&queue, 3 * S, 0, 1);
    work_queue_add(&queue, 4 * S, 0, 2);
    poll(5 * S, 1, 0, &ref);
    poll(5 * S, 1, 0, &ref);
    ck_assert_int_eq(work_queue_expire(&queue, 10 * S, ref), WORK_EXPIRY_RECLAIMED);
    stats = work_queue_stats(&queue, 10 * S, 0);
    ck_assert(stats.depth == 1 && stats.pending == 1 && stats.oldest_queued_at == 10 * S);
    ck_assert_uint_eq(stats.workers_polling, 1);
    for (uint64_t worker = 2; worker <= 5; worker++) poll(20 * S, worker, 0, &ref);
    ck_assert_uint_eq(work_queue_stats(&queue, 20 * S, 0).workers_polling, 4); /* no more are remembered */
    ck_assert_uint_eq(work_queue_stats(&queue, 20 * S, 1).workers_polling, 0);
    poll(40 * S, 5, 0, &ref);
    ck_assert_uint_eq(work_queue_stats(&queue, 50 * S, 0).workers_polling, 1);
    ck_assert_uint_eq(work_queue_stats(&queue, 71 * S, 0).workers_polling, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("work_queue");
    TCase *tc = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, first_in_first_out_and_longest_waiting_first);
    tcase_add_test(tc, a_claim_without_ack_is_offered_again);
    tcase_add_test(tc, heartbeats_compare_and_set);
    tcase_add_test(tc, a_lapsed_lease_belongs_to_the_next);
    tcase_add_test(tc, stop_in_order_and_by_force);
    tcase_add_test(tc, stats_count_what_waits_and_who_polls);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
