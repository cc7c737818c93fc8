#include "sim/policy/connector_set.h"
#include "sim/policy/tunnel_backoff.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>

#define S  NSEC_PER_S
#define MS NSEC_PER_MS

static const struct plan_backoff defaults = {
    .connection_base_ns = S,
    .connection_max_exponent = 5,
    .supervisor_base_ns = 10 * S,
    .supervisor_max_exponent = 5,
    .jitter = true,
};

static struct connector_set *set_new(uint32_t connections, bool jitter, uint64_t ordinal)
{
    struct connector_set_options opts = {.connections = connections,
                                         .spacing_ns = S,
                                         .backoff = defaults,
                                         .key = prng_key(11, 0, "tunnel"),
                                         .ordinal = ordinal};
    struct connector_set *s = NULL;

    opts.backoff.jitter = jitter;
    ck_assert_int_eq(connector_set_new(&opts, &s), 0);
    return s;
}

/* All connections registered, each at the moment of its dial; returns when the last one is. */
static nsec_t bring_up(struct connector_set *s, uint32_t connections)
{
    nsec_t now = 0;
    uint32_t index;

    connector_set_start(s, 0);
    while (connector_set_up(s) < connections) {
        now = nsec_max(now, connector_set_deadline(s));
        while (connector_set_next(s, now, &index)) connector_set_registered(s, now, index);
    }
    return now;
}

/* Runs until the next dials, which it returns as a mask. */
static uint32_t next_dials(struct connector_set *s, nsec_t *now)
{
    uint32_t mask = 0, index;

    while (!mask) {
        *now = nsec_max(*now, connector_set_deadline(s));
        ck_assert_uint_ne(*now, NSEC_MAX);
        while (connector_set_next(s, *now, &index)) mask |= 1u << index;
    }
    return mask;
}

START_TEST(number_0_first_then_the_rest_at_spacing)
{
    struct connector_set *s = set_new(4, true, 0);
    uint32_t index;
    nsec_t now = 5 * S;

    connector_set_start(s, now);
    ck_assert(connector_set_next(s, now, &index));
    ck_assert_uint_eq(index, 0);
    ck_assert(!connector_set_next(s, now, &index));
    ck_assert_uint_eq(connector_set_deadline(s), NSEC_MAX);
    now += 300 * MS;
    connector_set_registered(s, now, 0);
    for (uint32_t i = 1; i < 4; i++) {
        ck_assert_uint_eq(next_dials(s, &now), 1u << i);
        ck_assert_uint_eq(now, 5300 * MS + (i - 1) * S);
    }
    ck_assert_uint_eq(connector_set_deadline(s), NSEC_MAX);
    connector_set_free(s);
}
END_TEST

START_TEST(without_jitter_the_waits_are_the_caps)
{
    const uint64_t own_s[] = {2, 4, 8, 16, 32, 32, 32}, shared_s[] = {20, 40, 80, 160, 320, 320, 320};
    struct connector_set *s = set_new(2, false, 0);
    nsec_t now = bring_up(s, 2) + 3600 * S, before;
    struct connector_set_waits waits;

    for (int i = 0; i < 7; i++) {
        before = now;
        connector_set_failed(s, now, 1, CONNECTION_OTHER, 0);
        ck_assert_uint_eq(next_dials(s, &now), 2);
        ck_assert_uint_eq(now - before, (own_s[i] + shared_s[i]) * S);
    }
    waits = connector_set_waits(s);
    ck_assert_uint_eq(waits.count, 14);
    ck_assert_uint_eq(waits.total_ns, (126 + 1260) * S);
    connector_set_free(s);
}
END_TEST

START_TEST(registration_resets_the_own_stage_and_later_the_shared_one)
{
    struct connector_set *s = set_new(2, false, 0);
    nsec_t now = bring_up(s, 2), before = now;

    connector_set_failed(s, now, 1, CONNECTION_OTHER, 0);
    next_dials(s, &now);
    connector_set_registered(s, now, 1);
    /* All are up: the shared stage, with one wait behind it, is reset after 10 s · 2^3. Too early: */
    before = now;
    connector_set_failed(s, now, 1, CONNECTION_OTHER, 0);
    next_dials(s, &now);
    ck_assert_uint_eq(now - before, (2 + 40) * S);
    connector_set_registered(s, now, 1);
    /* Two waits behind it: 160 s. */
    before = now += 160 * S;
    connector_set_failed(s, now, 1, CONNECTION_OTHER, 0);
    next_dials(s, &now);
    ck_assert_uint_eq(now - before, (2 + 20) * S);
    connector_set_free(s);
}
END_TEST

START_TEST(the_shared_reset_falls_at_a_random_moment)
{
    struct tunnel_backoff b;
    uint64_t sum = 0;
    const int n = 20000;

    for (int i = 0; i < n; i++) {
        nsec_t at;

        tunnel_backoff_init(&b, 10 * S, 5, true, prng_stream(3, 0, "reset", i, 0));
        tunnel_backoff_wait(&b, 0, 0);
        at = tunnel_backoff_reset_later(&b, 100 * S);
        ck_assert_uint_ge(at, 100 * S);
        ck_assert_uint_lt(at, 180 * S);
        sum += at - 100 * S;
        ck_assert_uint_eq(b.waits, 1);
        tunnel_backoff_wait(&b, at - 1, 0);
        ck_assert_uint_eq(b.waits, 2);
        tunnel_backoff_wait(&b, at, 0);
        ck_assert_uint_eq(b.waits, 1);
    }
    /* Uniform in [0, 80 s): mean 40 s, standard error 80 / sqrt(12 n) = 0.163 s. */
    ck_assert_double_eq_tol((double)sum / n / S, 40.0, 0.5);
}
END_TEST

/* The distribution function of U[0, a) + U[0, b), a <= b. */
static double two_uniforms(double x, double a, double b)
{
    if (x <= 0) return 0;
    if (x < a) return x * x / (2 * a * b);
    if (x < b) return (2 * x - a) / (2 * b);
    if (x < a + b) return 1 - (a + b - x) * (a + b - x) / (2 * a * b);
    return 1;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Largest distance between the samples' distribution and U[0, a) + U[0, b). Sorts the samples. */
static double distance(double *samples, int n, double a, double b)
{
    double largest = 0;

    qsort(samples, n, sizeof *samples, by_value);
    for (int i = 0; i < n; i++) {
        double f = two_uniforms(samples[i], a, b);

        largest = fmax(largest, fmax(f - (double)i / n, (double)(i + 1) / n - f));
    }
    return largest;
}

#define SEEDS 20000
/* The Kolmogorov distance that one sample in a thousand exceeds: 1.95 / sqrt(n). */
#define DISTANCE_MAX (1.95 / 141.4)
static double samples[SEEDS];

START_TEST(a_connection_lost_alone)
{
    for (int i = 0; i < SEEDS; i++) {
        struct connector_set *s = set_new(4, true, i);
        nsec_t lost = bring_up(s, 4) + 3600 * S, now = lost;

        connector_set_failed(s, now, 1 + i % 3, CONNECTION_OTHER, 0);
        ck_assert_uint_eq(next_dials(s, &now), 1u << (1 + i % 3));
        samples[i] = (double)(now - lost) / S;
        connector_set_free(s);
    }
    ck_assert_double_lt(distance(samples, SEEDS, 2, 20), DISTANCE_MAX);
    /* 99 % within: solve the upper branch, 22 - sqrt(0.01 · 80) = 21.1 s. */
    ck_assert_double_eq_tol(samples[SEEDS / 100 * 99], 21.106, 0.1);
}
END_TEST

START_TEST(number_0_lost_after_registration_takes_both_stages)
{
    for (int i = 0; i < SEEDS; i++) {
        struct connector_set *s = set_new(4, true, i);
        nsec_t lost = bring_up(s, 4) + 3600 * S, now = lost;

        connector_set_failed(s, now, 0, CONNECTION_OTHER, 0);
        ck_assert_uint_eq(next_dials(s, &now), 1);
        samples[i] = (double)(now - lost) / S;
        connector_set_free(s);
    }
    ck_assert_double_lt(distance(samples, SEEDS, 2, 20), DISTANCE_MAX);
}
END_TEST

START_TEST(number_0_on_dial_errors_takes_its_own_stage_only)
{
    for (int i = 0; i < SEEDS; i++) {
        struct connector_set *s = set_new(4, true, i);
        nsec_t now = 0;

        connector_set_start(s, now);
        ck_assert_uint_eq(next_dials(s, &now), 1);
        connector_set_failed(s, now, 0, i % 2 ? CONNECTION_DIAL_ERROR : CONNECTION_DUPLICATE, 0);
        ck_assert_uint_eq(next_dials(s, &now), 1);
        connector_set_failed(s, now, 0, CONNECTION_DIAL_ERROR, 0);
        ck_assert_uint_eq(next_dials(s, &now), 1);
        samples[i] = (double)now / S;
        connector_set_free(s);
    }
    /* Two waits of its own: U[0, 2) + U[0, 4). */
    ck_assert_double_lt(distance(samples, SEEDS, 2, 4), DISTANCE_MAX);
}
END_TEST

START_TEST(number_0_leaves_its_loop_for_good)
{
    struct connector_set *s = set_new(2, false, 0);
    nsec_t now = bring_up(s, 2), before = now;

    connector_set_failed(s, now, 0, CONNECTION_OTHER, 0);
    next_dials(s, &now);
    ck_assert_uint_eq(now - before, 22 * S);
    before = now;
    connector_set_failed(s, now, 0, CONNECTION_DIAL_ERROR, 0);
    next_dials(s, &now);
    ck_assert_uint_eq(now - before, 44 * S);
    connector_set_free(s);
}
END_TEST

START_TEST(all_lost_at_once_share_the_timer)
{
    double first_sum = 0, own_first_sum = 0;
    int together = 0;

    for (int i = 0; i < SEEDS; i++) {
        struct connector_set *s = set_new(4, true, i);
        nsec_t lost = bring_up(s, 4) + 3600 * S, now = lost;
        nsec_t parked;

        for (uint32_t k = 0; k < 4; k++) connector_set_failed(s, now, k, CONNECTION_OTHER, 0);
        parked = connector_set_deadline(s);
        together += next_dials(s, &now) == 0xf;
        first_sum += (double)(now - lost) / S;
        own_first_sum += (double)(parked - lost) / S;
        connector_set_free(s);
    }
    /* The first of four to end U[0, 2): 2 / 5; then the timer, U[0, 20). */
    ck_assert_double_eq_tol(own_first_sum / SEEDS, 0.4, 0.01);
    ck_assert_double_eq_tol(first_sum / SEEDS, 10.4, 0.16);
    /* All four at once when the timer outlasts the range of the four own waits, whose mean is 2 · 3 / 5. */
    ck_assert_double_eq_tol((double)together / SEEDS, 1 - 1.2 / 20, 0.007);
}
END_TEST

START_TEST(late_comers_take_the_next_round)
{
    struct connector_set *s = set_new(3, false, 0);
    nsec_t now = bring_up(s, 3), lost = now;
    uint32_t index;

    connector_set_failed(s, now, 1, CONNECTION_OTHER, 0);
    ck_assert(!connector_set_next(s, now + 2 * S, &index));
    now += 21 * S;
    /* Comes to the second stage at 23 s, after the timer that fires at 22 s. */
    connector_set_failed(s, now, 2, CONNECTION_OTHER, 0);
    ck_assert_uint_eq(next_dials(s, &now), 1u << 1);
    ck_assert_uint_eq(now - lost, 22 * S);
    connector_set_registered(s, now, 1);
    ck_assert_uint_eq(next_dials(s, &now), 1u << 2);
    ck_assert_uint_eq(now - lost, (23 + 40) * S);
    connector_set_free(s);
}
END_TEST

START_TEST(a_retry_after_is_a_lower_bound)
{
    struct connector_set *s = set_new(1, false, 0);
    nsec_t now = 0;

    connector_set_start(s, 0);
    next_dials(s, &now);
    connector_set_failed(s, now, 0, CONNECTION_DUPLICATE, 7 * S);
    next_dials(s, &now);
    ck_assert_uint_eq(now, 7 * S);
    connector_set_failed(s, now, 0, CONNECTION_DUPLICATE, 1 * S);
    next_dials(s, &now);
    ck_assert_uint_eq(now, 11 * S);
    connector_set_free(s);
}
END_TEST

START_TEST(nothing_is_dialed_after_stop)
{
    struct connector_set *s = set_new(2, true, 0);
    nsec_t now = bring_up(s, 2);
    uint32_t index;

    connector_set_failed(s, now, 1, CONNECTION_OTHER, 0);
    connector_set_stop(s);
    ck_assert_uint_eq(connector_set_deadline(s), NSEC_MAX);
    connector_set_failed(s, now, 0, CONNECTION_OTHER, 0);
    ck_assert(!connector_set_next(s, now + 3600 * S, &index));
    ck_assert_uint_eq(connector_set_up(s), 0);
    connector_set_free(s);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("connector_set");
    TCase *tc = tcase_create("connector_set");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, number_0_first_then_the_rest_at_spacing);
    tcase_add_test(tc, without_jitter_the_waits_are_the_caps);
    tcase_add_test(tc, registration_resets_the_own_stage_and_later_the_shared_one);
    tcase_add_test(tc, the_shared_reset_falls_at_a_random_moment);
    tcase_add_test(tc, a_connection_lost_alone);
    tcase_add_test(tc, number_0_lost_after_registration_takes_both_stages);
    tcase_add_test(tc, number_0_on_dial_errors_takes_its_own_stage_only);
    tcase_add_test(tc, number_0_leaves_its_loop_for_good);
    tcase_add_test(tc, all_lost_at_once_share_the_timer);
    tcase_add_test(tc, late_comers_take_the_next_round);
    tcase_add_test(tc, a_retry_after_is_a_lower_bound);
    tcase_add_test(tc, nothing_is_dialed_after_stop);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
