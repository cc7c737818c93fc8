#include "sim/policy/session_log.h"

#include <check.h>
#include <stdlib.h>

#include "sim/base/prng.h"

static struct session_log_store store;

static void setup(void)
{
    ck_assert_int_eq(session_log_store_init(&store, 1 << 20), 0);
}

static void teardown(void)
{
    session_log_store_deinit(&store);
}

static struct log_entry get(const struct session_log *log, uint32_t seq)
{
    struct log_entry e;

    session_log_get(&store, log, seq, &e);
    return e;
}

START_TEST(numbers_of_every_size_come_back)
{
    const uint64_t cs[] = {0, 1, UINT32_MAX, (UINT64_C(1) << 42) - 1, UINT64_C(1) << 42, UINT64_MAX, 7, 7};
    const uint64_t ds[] = {0,
                           UINT32_MAX,
                           5,
                           (1 << 22) - 1,
                           0,
                           UINT64_MAX,
                           UINT64_C(400000) << 32 | 100000,
                           UINT64_C(5000000) << 32 | 1};
    struct session_log log = {0};

    for (uint32_t i = 0; i < 8; i++) {
        struct log_entry e = {.kind = 31, .tool = 3, .flags = 7, .at = 1000 + i, .c = cs[i], .d = ds[i]};

        ck_assert_uint_eq(session_log_append(&store, &log, &e), i + 1);
    }
    for (uint32_t i = 0; i < 8; i++) {
        struct log_entry e = get(&log, i + 1);

        ck_assert_uint_eq(e.c, cs[i]);
        ck_assert_uint_eq(e.d, ds[i]);
        ck_assert_uint_eq(e.at, 1000 + i);
        ck_assert(e.kind == 31 && e.tool == 3 && e.flags == 7 && e.state == LOG_PLAIN);
    }
    session_log_free(&store, &log);
    ck_assert_uint_eq(slab_count(&store.wides), 0);
    ck_assert_uint_eq(slab_count(&store.chunks), 0);
}
END_TEST

START_TEST(many_sessions_interleaved)
{
    enum { SESSIONS = 5, EVENTS = 700 };
    struct session_log logs[SESSIONS] = {0};
    struct prng p = prng_stream(1, 0, "log", 0, 0);

    for (uint32_t n = 0; n < EVENTS; n++)
        for (uint32_t s = 0; s < SESSIONS; s++) {
            struct log_entry e = {.kind = n % 32, .at = n, .c = n * 10 + s, .d = n % 7 ? n : UINT64_MAX - n};

            ck_assert_uint_eq(session_log_append(&store, &logs[s], &e), n + 1);
        }
    for (int i = 0; i < 5000; i++) {
        uint32_t n = (uint32_t)prng_below(&p, EVENTS), s = (uint32_t)prng_below(&p, SESSIONS);
        struct log_entry e = get(&logs[s], n + 1);

        ck_assert_uint_eq(e.c, n * 10 + s);
        ck_assert_uint_eq(e.d, n % 7 ? n : UINT64_MAX - n);
    }
    session_log_free(&store, &logs[2]);
    ck_assert_uint_eq(logs[2].count, 0);
    ck_assert_uint_eq(get(&logs[3], EVENTS).c, (EVENTS - 1) * 10 + 3);
    for (uint32_t s = 0; s < SESSIONS; s++) session_log_free(&store, &logs[s]);
    ck_assert_uint_eq(slab_count(&store.directories), 0);
    ck_assert_uint_eq(slab_count(&store.wides), 0);
}
END_TEST

START_TEST(an_open_event_knows_its_owner)
{
    struct session_log log = {0};
    struct log_entry e = {.kind = 3, .at = 500, .c = 1, .d = 2};

    session_log_append(&store, &log, &e);
    session_log_bind(&store, &log, 1, 0xff000123);
    ck_assert_uint_eq(get(&log, 1).owner, 0xff000123);
    ck_assert_int_eq(get(&log, 1).state, LOG_OPEN);
    session_log_unbind(&store, &log, 1, LOG_ANSWERED, 500);
    ck_assert_uint_eq(get(&log, 1).at, 500);
    ck_assert_uint_eq(get(&log, 1).owner, 0);
    ck_assert_int_eq(get(&log, 1).state, LOG_ANSWERED);
    session_log_set_at(&store, &log, 1, NSEC_MAX);
    ck_assert_uint_eq(get(&log, 1).at, LOG_TIME_MAX);
    session_log_free(&store, &log);
}
END_TEST

START_TEST(the_limit_changes_nothing)
{
    struct session_log_store small;
    struct session_log log = {0};
    struct log_entry e = {.kind = 1, .c = UINT64_MAX};
    uint32_t n = 0;

    ck_assert_int_eq(session_log_store_init(&small, 31), 0);
    while (session_log_append(&small, &log, &e)) n++;
    ck_assert_uint_eq(n, 32);
    ck_assert_uint_eq(log.count, 32);
    ck_assert_uint_eq(slab_count(&small.wides), 32);
    session_log_free(&small, &log);
    ck_assert_uint_eq(session_log_append(&small, &log, &e), 1);
    session_log_store_deinit(&small);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("session_log");
    TCase *tc = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, numbers_of_every_size_come_back);
    tcase_add_test(tc, many_sessions_interleaved);
    tcase_add_test(tc, an_open_event_knows_its_owner);
    tcase_add_test(tc, the_limit_changes_nothing);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
