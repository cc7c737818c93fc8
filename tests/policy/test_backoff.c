#include "sim/policy/backoff.h"

#include "tests/base/suite.h"

static struct prng stream(uint64_t ordinal)
{
    return prng_stream(7, 0, "test backoff", ordinal, 0);
}

START_TEST(doubles_up_to_the_cap)
{
    struct backoff_rule rule = {.base_ns = NSEC_PER_S,
                                .cap_ns = 60 * NSEC_PER_S,
                                .exponent_max = UINT32_MAX,
                                .jitter_ppm = BACKOFF_JITTER_NONE};
    const uint64_t want_s[] = {1, 2, 4, 8, 16, 32, 60, 60};
    struct prng p = stream(0);

    for (uint32_t n = 0; n < 8; n++) ck_assert_uint_eq(backoff_wait(&rule, n, &p), want_s[n] * NSEC_PER_S);
    ck_assert_uint_eq(backoff_wait(&rule, UINT32_MAX, &p), 60 * NSEC_PER_S);
    rule.cap_ns = NSEC_MAX;
    ck_assert_uint_eq(backoff_limit(&rule, 200), NSEC_MAX);
    rule.exponent_max = 5;
    ck_assert_uint_eq(backoff_limit(&rule, 200), 32 * NSEC_PER_S);
    rule.base_ns = 0;
    ck_assert_uint_eq(backoff_wait(&rule, 3, &p), 0);
}
END_TEST

START_TEST(jitter_stays_in_its_share)
{
    struct backoff_rule rule = {
        .base_ns = NSEC_PER_S, .cap_ns = 60 * NSEC_PER_S, .exponent_max = UINT32_MAX, .jitter_ppm = 250000};
    struct prng p = stream(1);
    nsec_t lowest = NSEC_MAX, highest = 0;

    for (int i = 0; i < 20000; i++) {
        nsec_t wait = backoff_wait(&rule, 2, &p);

        lowest = nsec_min(lowest, wait);
        highest = nsec_max(highest, wait);
    }
    ck_assert_uint_ge(lowest, 3 * NSEC_PER_S);
    ck_assert_uint_lt(lowest, 3 * NSEC_PER_S + NSEC_PER_MS);
    ck_assert_uint_lt(highest, 4 * NSEC_PER_S);
    ck_assert_uint_gt(highest, 4 * NSEC_PER_S - NSEC_PER_MS);
}
END_TEST

START_TEST(full_jitter_has_half_the_mean)
{
    struct backoff_rule rule = {
        .base_ns = NSEC_PER_S, .cap_ns = NSEC_MAX, .exponent_max = 5, .jitter_ppm = BACKOFF_JITTER_FULL};
    struct prng p = stream(2);
    nsec_t sum = 0;
    const uint64_t n = 40000;

    for (uint64_t i = 0; i < n; i++) sum += backoff_wait(&rule, 1, &p);
    /* Uniform in [0, 2 s): standard error of the mean is 2 s / sqrt(12 n) = 2.9 ms. */
    ck_assert_uint_gt(sum / n, 985 * NSEC_PER_MS);
    ck_assert_uint_lt(sum / n, 1015 * NSEC_PER_MS);
}
END_TEST

START_TEST(takes_one_draw_whatever_the_rule)
{
    struct backoff_rule none = {
        .base_ns = 5, .cap_ns = 9, .exponent_max = 1, .jitter_ppm = BACKOFF_JITTER_NONE};
    struct backoff_rule full = {
        .base_ns = 500, .cap_ns = 900, .exponent_max = 1, .jitter_ppm = BACKOFF_JITTER_FULL};
    struct prng a = stream(3), b = stream(3);

    backoff_wait(&none, 0, &a);
    backoff_wait(&full, 0, &b);
    ck_assert_uint_eq(prng_u64(&a), prng_u64(&b));
}
END_TEST

START_TEST(respects_a_peers_lower_bound)
{
    struct backoff_rule rule = {
        .base_ns = 100, .cap_ns = 200, .exponent_max = 9, .jitter_ppm = BACKOFF_JITTER_FULL};
    struct prng p = stream(4);

    ck_assert_uint_eq(backoff_wait_at_least(&rule, 0, 5000, &p), 5000);
    ck_assert_uint_lt(backoff_wait_at_least(&rule, 5, 0, &p), 200);
}
END_TEST

SUITE_MAIN("backoff", doubles_up_to_the_cap, jitter_stays_in_its_share, full_jitter_has_half_the_mean,
           takes_one_draw_whatever_the_rule, respects_a_peers_lower_bound)
