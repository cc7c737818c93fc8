#include "sim/policy/tunnel_backoff.h"

#include "tests/base/suite.h"

#define S NSEC_PER_S

static struct tunnel_backoff stage(bool jitter, uint32_t exponent_max)
{
    struct tunnel_backoff b;

    tunnel_backoff_init(&b, S, exponent_max, jitter, prng_stream(7, 0, "test tunnel backoff", 0, 0));
    return b;
}

START_TEST(doubles_from_twice_the_base_up_to_the_exponent)
{
    struct tunnel_backoff b = stage(false, 3);
    static const uint64_t want_s[] = {2, 4, 8, 8, 8};

    for (int i = 0; i < 5; i++) ck_assert_uint_eq(tunnel_backoff_wait(&b, 0, 0), want_s[i] * S);
    tunnel_backoff_reset(&b);
    ck_assert_uint_eq(tunnel_backoff_wait(&b, 0, 0), 2 * S);
}
END_TEST

START_TEST(a_peer_may_ask_for_more)
{
    struct tunnel_backoff b = stage(false, 5);

    ck_assert_uint_eq(tunnel_backoff_wait(&b, 0, 30 * S), 30 * S);
    /* That wait counts as one of the series. */
    ck_assert_uint_eq(tunnel_backoff_wait(&b, 0, S), 4 * S);
}
END_TEST

START_TEST(jitter_is_over_the_whole_wait)
{
    nsec_t lowest = NSEC_MAX, highest = 0;
    struct tunnel_backoff b = stage(true, 2);

    tunnel_backoff_wait(&b, 0, 0);
    for (int i = 0; i < 20000; i++) {
        nsec_t wait = tunnel_backoff_wait(&b, 0, 0);

        lowest = nsec_min(lowest, wait);
        highest = nsec_max(highest, wait);
    }
    ck_assert_uint_lt(lowest, 4 * NSEC_PER_MS);
    ck_assert_uint_lt(highest, 4 * S);
    ck_assert_uint_gt(highest, 4 * S - 4 * NSEC_PER_MS);
}
END_TEST

START_TEST(a_later_reset_counts_from_its_moment_on)
{
    struct tunnel_backoff b = stage(false, 5);
    nsec_t at;

    tunnel_backoff_wait(&b, 0, 0);
    tunnel_backoff_wait(&b, 0, 0);
    /* Twice beyond the next wait: base x 2^(2 + 2). */
    at = tunnel_backoff_reset_later(&b, 100 * S);
    ck_assert_uint_eq(at, 116 * S);
    ck_assert_uint_eq(tunnel_backoff_wait(&b, at - 1, 0), 8 * S);
    ck_assert_uint_eq(tunnel_backoff_wait(&b, at, 0), 2 * S);
    /* Once. */
    ck_assert_uint_eq(tunnel_backoff_wait(&b, at + 1, 0), 4 * S);
}
END_TEST

START_TEST(a_later_reset_goes_beyond_the_exponent_and_replaces_another)
{
    struct tunnel_backoff b = stage(false, 2);

    for (int i = 0; i < 9; i++) tunnel_backoff_wait(&b, 0, 0);
    ck_assert_uint_eq(tunnel_backoff_reset_later(&b, 0), 16 * S);
    ck_assert_uint_eq(tunnel_backoff_reset_later(&b, 50 * S), 66 * S);
    ck_assert_uint_eq(tunnel_backoff_wait(&b, 20 * S, 0), 4 * S);
    /* A reset at once leaves none to come. */
    tunnel_backoff_reset(&b);
    tunnel_backoff_wait(&b, 60 * S, 0);
    ck_assert_uint_eq(tunnel_backoff_wait(&b, 70 * S, 0), 4 * S);
}
END_TEST

SUITE_MAIN("tunnel_backoff", doubles_from_twice_the_base_up_to_the_exponent, a_peer_may_ask_for_more,
           jitter_is_over_the_whole_wait, a_later_reset_counts_from_its_moment_on,
           a_later_reset_goes_beyond_the_exponent_and_replaces_another)
