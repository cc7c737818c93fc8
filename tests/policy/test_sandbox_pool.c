#include "sim/policy/sandbox_pool.h"

#include "tests/base/suite.h"

#include <string.h>

#define MS NSEC_PER_MS
#define S  NSEC_PER_S

static struct plan_runner plan;
static struct sandbox_pool *pool;
static struct sandbox_owner owners[64];

static void setup(void)
{
    memset(&plan, 0, sizeof plan);
    plan.scope = SANDBOX_PER_CALL;
    plan.cold_start_ns = dist_constant(2 * S);
    plan.warm_start_ns = dist_constant(100 * MS);
    plan.limit_queue_max = 1000;
    for (int i = 0; i < 64; i++) sandbox_owner_init(&owners[i]);
}

static void begin(void)
{
    struct sandbox_pool_options options = {
        .plan = &plan, .seed = 1, .uses_max = 200, .parallel_max = plan.parallel_per_tenant};

    ck_assert_int_eq(sandbox_pool_new(&options, &pool), 0);
}

static enum sandbox_answer ask(nsec_t now, uint32_t owner, uint32_t user, uint32_t *ret_use)
{
    struct sandbox_request request = {.owner = &owners[owner], .user = user, .entity = user};

    return sandbox_pool_request(pool, now, &request, ret_use);
}

static void expect(nsec_t now, enum sandbox_event_type type, uint32_t user)
{
    struct sandbox_event ev;

    ck_assert(sandbox_pool_pop(pool, now, &ev));
    ck_assert_int_eq(ev.type, type);
    ck_assert_uint_eq(ev.user, user);
}

static void expect_none(nsec_t now)
{
    struct sandbox_event ev;

    ck_assert(!sandbox_pool_pop(pool, now, &ev));
}

static void end(void)
{
    sandbox_pool_free(pool);
    pool = NULL;
}

START_TEST(a_cold_start_takes_its_time)
{
    uint32_t use;
    struct sandbox_event ev;

    setup();
    begin();
    ck_assert_int_eq(ask(1 * S, 0, 5, &use), SANDBOX_STARTING);
    expect_none(1 * S);
    ck_assert_uint_eq(sandbox_pool_deadline(pool), 3 * S);
    expect_none(3 * S - 1);
    ck_assert(sandbox_pool_pop(pool, 3 * S, &ev));
    ck_assert_int_eq(ev.type, SANDBOX_READY);
    ck_assert_uint_eq(ev.use, use);
    ck_assert_uint_eq(ev.user, 5);
    ck_assert_uint_eq(ev.waited_ns, 2 * S);
    ck_assert_uint_eq(sandbox_pool_in_use(pool), 1);
    sandbox_pool_release(pool, 10 * S, use);
    ck_assert_uint_eq(sandbox_pool_in_use(pool), 0);
    ck_assert_uint_eq(sandbox_pool_idle(pool), 0); /* nothing is kept: warm_max is 0 */
    struct sandbox_stats stats = sandbox_pool_collect(pool, 10 * S, true);
    ck_assert_uint_eq(stats.billed.ns, 9 * S);
    ck_assert_uint_eq(stats.idle.ns, 0);
    ck_assert_uint_eq(stats.starts, 1);
    ck_assert_uint_eq(stats.warm_hits, 0);
    ck_assert_uint_eq(stats.snapshots, 0);
    ck_assert_uint_eq(stats.destroyed, 1);
    end();
}
END_TEST

START_TEST(released_sandboxes_stay_warm_for_a_while)
{
    uint32_t a, b;
    struct sandbox_stats stats;

    setup();
    plan.warm_max = 4;
    plan.warm_keep_ns = 10 * S;
    begin();
    ask(0, 0, 1, &a);
    expect(2 * S, SANDBOX_READY, 1);
    sandbox_pool_release(pool, 5 * S, a);
    ck_assert_uint_eq(sandbox_pool_idle(pool), 1);
    ck_assert_uint_eq(sandbox_pool_deadline(pool), 15 * S);
    ck_assert_int_eq(ask(6 * S, 1, 2, &b), SANDBOX_STARTING);
    ck_assert_uint_eq(sandbox_pool_idle(pool), 0);
    expect(6 * S + 100 * MS, SANDBOX_READY, 2);
    sandbox_pool_release(pool, 7 * S, b);
    /* Handled late: what is billed ends with the keep time. */
    expect_none(30 * S);
    ck_assert_uint_eq(sandbox_pool_idle(pool), 0);
    stats = sandbox_pool_collect(pool, 30 * S, true);
    ck_assert_uint_eq(stats.billed.ns, 17 * S);
    ck_assert_uint_eq(stats.idle.ns, 11 * S);
    ck_assert_uint_eq(stats.starts, 1);
    ck_assert_uint_eq(stats.warm_hits, 1);
    ck_assert_uint_eq(stats.destroyed, 1); /* once, though it was used twice */
    end();
}
END_TEST

START_TEST(the_one_that_waited_longest_makes_room)
{
    uint32_t use[3];

    setup();
    plan.warm_max = 2;
    plan.warm_keep_ns = 10 * S;
    begin();
    for (uint32_t i = 0; i < 3; i++) ask(0, 0, i, &use[i]);
    for (uint32_t i = 0; i < 3; i++) expect(2 * S, SANDBOX_READY, i);
    for (uint32_t i = 0; i < 3; i++) sandbox_pool_release(pool, (3 + i) * S, use[i]);
    ck_assert_uint_eq(sandbox_pool_idle(pool), 2);
    ck_assert_uint_eq(sandbox_pool_collect(pool, 5 * S, false).destroyed, 1);
    ck_assert_uint_eq(sandbox_pool_deadline(pool), 14 * S); /* of the second one released */
    /* The latest is used first, so the older one expires. */
    ask(13 * S, 0, 9, &use[0]);
    expect(13 * S + 100 * MS, SANDBOX_READY, 9);
    expect_none(14 * S);
    ck_assert_uint_eq(sandbox_pool_idle(pool), 0);
    ck_assert_uint_eq(sandbox_pool_collect(pool, 14 * S, false).destroyed, 1);
    end();
}
END_TEST

START_TEST(prewarmed_stock_is_refilled_by_cold_starts)
{
    uint32_t use[3];
    struct sandbox_stats stats;

    setup();
    plan.prewarmed = 2;
    begin();
    ck_assert_uint_eq(sandbox_pool_idle(pool), 2);
    for (uint32_t i = 0; i < 3; i++) ask(10 * S, 0, i, &use[i]);
    expect(10 * S + 100 * MS, SANDBOX_READY, 0);
    expect(10 * S + 100 * MS, SANDBOX_READY, 1);
    expect_none(10 * S + 100 * MS); /* the third starts cold */
    expect(12 * S, SANDBOX_READY, 2);
    expect_none(12 * S);
    ck_assert_uint_eq(sandbox_pool_idle(pool), 2);
    stats = sandbox_pool_collect(pool, 12 * S, true);
    ck_assert_uint_eq(stats.idle.ns, 20 * S);
    /* Two idle for 10 s, three uses for 2 s, two refills for 2 s. */
    ck_assert_uint_eq(stats.billed.ns, 20 * S + 6 * S + 4 * S);
    ck_assert_uint_eq(stats.starts, 3);
    ck_assert_uint_eq(stats.warm_hits, 2);
    stats = sandbox_pool_collect(pool, 13 * S, true);
    ck_assert_uint_eq(stats.billed.ns, 5 * S);
    ck_assert_uint_eq(stats.idle.ns, 2 * S);
    end();
}
END_TEST

START_TEST(a_sessions_sandbox_is_snapshotted_before_it_is_free)
{
    uint32_t a, b;
    struct sandbox_stats stats;

    setup();
    plan.scope = SANDBOX_PER_SESSION;
    plan.snapshot_ns = 3 * S;
    plan.warm_max = 1;
    plan.warm_keep_ns = 10 * S;
    plan.parallel_per_tenant = 1;
    begin();
    ask(0, 0, 1, &a);
    expect(2 * S, SANDBOX_READY, 1);
    sandbox_pool_release(pool, 4 * S, a);
    ck_assert_int_eq(ask(5 * S, 1, 2, &b), SANDBOX_WAITING);
    expect_none(5 * S);
    ck_assert_uint_eq(sandbox_pool_deadline(pool), 7 * S);
    expect(7 * S, SANDBOX_STARTED, 2);
    expect(7 * S + 100 * MS, SANDBOX_READY, 2);
    stats = sandbox_pool_collect(pool, 7 * S + 100 * MS, true);
    ck_assert_uint_eq(stats.billed.ns, 7 * S + 100 * MS);
    ck_assert_uint_eq(stats.snapshots, 1);
    ck_assert_uint_eq(stats.destroyed, 0);
    /* One under way when the run ends is no snapshot; one that expires is destroyed. */
    sandbox_pool_release(pool, 8 * S, b);
    ck_assert_uint_eq(sandbox_pool_collect(pool, 10 * S, true).snapshots, 0);
    expect_none(30 * S);
    stats = sandbox_pool_collect(pool, 30 * S, true);
    ck_assert_uint_eq(stats.snapshots, 1);
    ck_assert_uint_eq(stats.destroyed, 1);
    end();
}
END_TEST

START_TEST(fifty_parallel_calls_take_fifty_sandboxes)
{
    uint32_t use[50];

    setup();
    begin();
    for (uint32_t i = 0; i < 50; i++) ck_assert_int_eq(ask(0, 0, i, &use[i]), SANDBOX_STARTING);
    ck_assert_uint_eq(sandbox_pool_in_use(pool), 50);
    for (uint32_t i = 0; i < 50; i++) expect(2 * S, SANDBOX_READY, i);
    end();
}
END_TEST

START_TEST(the_pools_limit_queues_in_order)
{
    uint32_t use[5];

    setup();
    plan.parallel_per_tenant = 2;
    begin();
    for (uint32_t i = 0; i < 5; i++)
        ck_assert_int_eq(ask(i, i, i, &use[i]), i < 2 ? SANDBOX_STARTING : SANDBOX_WAITING);
    ck_assert_uint_eq(sandbox_pool_waiting(pool), 3);
    expect(2 * S, SANDBOX_READY, 0);
    expect(2 * S + 1, SANDBOX_READY, 1);
    sandbox_pool_release(pool, 3 * S, use[2]); /* gave up waiting */
    sandbox_pool_release(pool, 3 * S, use[0]);
    expect(3 * S, SANDBOX_STARTED, 3);
    expect_none(3 * S);
    sandbox_pool_release(pool, 4 * S, use[1]);
    expect(4 * S, SANDBOX_STARTED, 4);
    ck_assert_uint_eq(sandbox_pool_in_use(pool), 2);
    ck_assert_uint_eq(sandbox_pool_waiting(pool), 0);
    expect(5 * S, SANDBOX_READY, 3);
    end();
}
END_TEST

START_TEST(a_sessions_limit_lets_others_pass)
{
    uint32_t a[4], b;

    setup();
    plan.parallel_per_agent = 2;
    plan.parallel_per_tenant = 3;
    begin();
    for (uint32_t i = 0; i < 4; i++)
        ck_assert_int_eq(ask(0, 0, i, &a[i]), i < 2 ? SANDBOX_STARTING : SANDBOX_WAITING);
    ck_assert_int_eq(ask(1, 1, 10, &b), SANDBOX_STARTING);
    expect_none(1);
    expect(3 * S, SANDBOX_READY, 0);
    expect(3 * S, SANDBOX_READY, 1);
    expect(3 * S, SANDBOX_READY, 10);
    ck_assert_int_eq(ask(3 * S, 1, 11, &b), SANDBOX_WAITING); /* the pool is full: behind those held before */
    sandbox_pool_release(pool, 4 * S, a[0]);
    expect(4 * S, SANDBOX_STARTED, 2);
    expect_none(4 * S);
    sandbox_pool_lose(pool, 5 * S, a[1]);
    expect(5 * S, SANDBOX_STARTED, 3);
    /* Its two are starting, and the third place is taken: 11 waits on. */
    expect(6 * S, SANDBOX_READY, 2);
    expect_none(6 * S);
    sandbox_pool_release(pool, 6 * S, a[2]);
    expect(6 * S, SANDBOX_STARTED, 11);
    end();
}
END_TEST

START_TEST(queues_are_bounded_and_shedding_is_at_once)
{
    uint32_t use;

    setup();
    plan.parallel_per_tenant = 1;
    plan.limit_queue_max = 2;
    begin();
    ask(0, 0, 0, &use);
    ck_assert_int_eq(ask(0, 1, 1, &use), SANDBOX_WAITING);
    ck_assert_int_eq(ask(0, 2, 2, &use), SANDBOX_WAITING);
    ck_assert_int_eq(ask(0, 3, 3, &use), SANDBOX_SHED);
    end();

    setup();
    plan.parallel_per_tenant = 1;
    plan.on_limit = LIMIT_SHED;
    begin();
    ck_assert_int_eq(ask(0, 0, 0, &use), SANDBOX_STARTING);
    ck_assert_int_eq(ask(0, 1, 1, &use), SANDBOX_SHED);
    sandbox_pool_release(pool, 1, use);
    ck_assert_int_eq(ask(1, 1, 1, &use), SANDBOX_STARTING);
    end();
}
END_TEST

START_TEST(uses_are_bounded)
{
    uint32_t use;

    setup();
    begin();
    for (uint32_t i = 0; i < 200; i++) ck_assert_int_eq(ask(0, 0, i, &use), SANDBOX_STARTING);
    ck_assert_int_eq(ask(0, 0, 200, &use), SANDBOX_SHED);
    sandbox_pool_release(pool, 1, use);
    ck_assert_int_eq(ask(1, 0, 201, &use), SANDBOX_STARTING);
    end();
}
END_TEST

START_TEST(what_is_lost_is_not_reused)
{
    uint32_t use;
    struct sandbox_stats stats;

    setup();
    plan.warm_max = 4;
    plan.warm_keep_ns = 10 * S;
    begin();
    ask(0, 0, 0, &use);
    expect(2 * S, SANDBOX_READY, 0);
    sandbox_pool_lose(pool, 3 * S, use);
    ck_assert_uint_eq(sandbox_pool_idle(pool), 0);
    /* Nor is one that was given up while it started. */
    ask(4 * S, 0, 1, &use);
    sandbox_pool_release(pool, 5 * S, use);
    expect_none(20 * S);
    ck_assert_uint_eq(sandbox_pool_idle(pool), 0);
    stats = sandbox_pool_collect(pool, 20 * S, true);
    ck_assert_uint_eq(stats.billed.ns, 4 * S);
    ck_assert_uint_eq(stats.destroyed, 2);
    end();
}
END_TEST

/* Whatever it does: what the meters say at a moment is what is billed if all of it ends then. */
START_TEST(meters_know_what_runs)
{
    struct meter billed = {0}, idle = {0};
    struct sandbox_stats stats;
    struct sandbox_event ev;
    uint32_t use;
    uint64_t at_9s[2];

    plan.prewarmed = 2;
    plan.warm_max = 1;
    plan.warm_keep_ns = 20 * S;
    begin();
    for (nsec_t now = 1 * S; now <= 8 * S; now += S) {
        while (sandbox_pool_pop(pool, now, &ev)) continue;
        ask(now, 0, (uint32_t)(now / S), &use);
        if (now % (2 * S) == 0) sandbox_pool_release(pool, now, use);
        stats = sandbox_pool_collect(pool, now, false);
        meter_add(&billed, &stats.billed);
        meter_add(&idle, &stats.idle);
    }
    at_9s[0] = meter_read(&billed, 9 * S);
    at_9s[1] = meter_read(&idle, 9 * S);
    stats = sandbox_pool_collect(pool, 9 * S, true);
    meter_add(&billed, &stats.billed);
    meter_add(&idle, &stats.idle);
    ck_assert_uint_eq(billed.ns, at_9s[0]);
    ck_assert_uint_eq(idle.ns, at_9s[1]);
    ck_assert_uint_eq(billed.running | billed.since_ns | idle.running | idle.since_ns, 0);
    ck_assert_uint_gt(idle.ns, 0);
    ck_assert_uint_gt(billed.ns, idle.ns);
    end();
}
END_TEST

START_TEST(start_times_belong_to_the_entity)
{
    nsec_t alone;
    uint32_t use;

    setup();
    plan.cold_start_ns = dist_uniform(S, 100 * S);
    begin();
    ask(0, 0, 7, &use);
    alone = sandbox_pool_deadline(pool);
    end();
    begin();
    ask(0, 0, 3, &use);
    ck_assert_uint_ne(sandbox_pool_deadline(pool), alone);
    sandbox_pool_lose(pool, 0, use);
    while (sandbox_pool_deadline(pool) != NSEC_MAX) expect_none(sandbox_pool_deadline(pool));
    ask(0, 0, 7, &use);
    ck_assert_uint_eq(sandbox_pool_deadline(pool), alone);
    end();
}
END_TEST

SUITE_MAIN("sandbox_pool", a_cold_start_takes_its_time, released_sandboxes_stay_warm_for_a_while,
           the_one_that_waited_longest_makes_room, prewarmed_stock_is_refilled_by_cold_starts,
           a_sessions_sandbox_is_snapshotted_before_it_is_free, fifty_parallel_calls_take_fifty_sandboxes,
           the_pools_limit_queues_in_order, a_sessions_limit_lets_others_pass,
           queues_are_bounded_and_shedding_is_at_once, uses_are_bounded, meters_know_what_runs,
           what_is_lost_is_not_reused, start_times_belong_to_the_entity)
