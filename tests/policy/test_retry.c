#include "sim/policy/retry.h"

#include "tests/base/suite.h"

static const struct plan_retry rule = {.attempts_max = 3,
                                       .base_ns = 100,
                                       .cap_ns = 250,
                                       .jitter = true,
                                       .on_reset = true,
                                       .on_status_5xx = true};

START_TEST(the_rule_decides)
{
    struct plan_retry other = rule;

    ck_assert(retry_again(&rule, RETRY_RESET, 0, 1));
    ck_assert(retry_again(&rule, RETRY_RESET, 0, 2));
    ck_assert(!retry_again(&rule, RETRY_RESET, 0, 3));
    ck_assert(!retry_again(&rule, RETRY_TIMEOUT, 0, 1));
    ck_assert(retry_again(&rule, RETRY_STATUS, 500, 1));
    ck_assert(retry_again(&rule, RETRY_STATUS, 503, 1));
    ck_assert(!retry_again(&rule, RETRY_STATUS, 429, 1));
    ck_assert(!retry_again(&rule, RETRY_STATUS, 404, 1));
    other.on_status_429 = other.on_timeout = true;
    other.on_reset = other.on_status_5xx = false;
    ck_assert(retry_again(&other, RETRY_STATUS, 429, 1));
    ck_assert(retry_again(&other, RETRY_TIMEOUT, 0, 1));
    ck_assert(!retry_again(&other, RETRY_RESET, 0, 1));
    ck_assert(!retry_again(&other, RETRY_STATUS, 502, 1));
}
END_TEST

START_TEST(waits_are_jittered_and_heed_retry_after)
{
    struct prng p = prng_stream(3, 0, "retry", 0, 0);
    struct plan_retry exact = rule;
    nsec_t highest = 0;

    for (int i = 0; i < 3000; i++) highest = nsec_max(highest, retry_wait(&rule, 2, 0, &p));
    ck_assert_uint_lt(highest, 200);
    ck_assert_uint_gt(highest, 180);
    ck_assert_uint_ge(retry_wait(&rule, 1, 5000, &p), 5000);
    exact.jitter = false;
    ck_assert_uint_eq(retry_wait(&exact, 1, 0, &p), 100);
    ck_assert_uint_eq(retry_wait(&exact, 9, 0, &p), 250);
}
END_TEST

SUITE_MAIN("retry", the_rule_decides, waits_are_jittered_and_heed_retry_after)
