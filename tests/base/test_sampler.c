#include "sim/base/sampler.h"
#include "tests/base/suite.h"

static const struct dist latency = {
    .kind = DIST_QUANTILES,
    .points_len = 5,
    .points = {{100, 0}, {200, 500000}, {1000, 900000}, {5000, 990000}, {60000, 1000000}},
};

/* These never change: all golden results rest on them. */
START_TEST(golden_samples)
{
    struct prng p = prng_stream(42, 0, "sampler", 0, 0);
    struct dist uniform = dist_uniform(1000, 2000), exponential = dist_exponential(NSEC_PER_MS);

    ck_assert_uint_eq(dist_sample(&uniform, &p), 1204);
    ck_assert_uint_eq(dist_sample(&exponential, &p), 1541252);
    ck_assert_uint_eq(dist_sample(&latency, &p), 603);
}
END_TEST

/* The mean of many samples of one kind, each taking one draw. */
static double mean_of_samples(const struct dist *d, unsigned n)
{
    uint64_t key = prng_key(1, 0, "mean");
    double sum = 0;

    ck_assert_ptr_null(dist_check(d));
    for (unsigned i = 0; i < n; i++) {
        struct prng p = prng_derive(key, i, 0);
        sum += (double)dist_sample(d, &p);
        MUST(p.counter == 1);
    }
    return sum / n;
}

START_TEST(samples_have_the_mean_that_is_told)
{
    struct dist dists[] = {dist_constant(77), dist_uniform(10, 20), dist_uniform(5, 5),
                           dist_exponential(12345), latency};
    uint64_t means[] = {77, 15, 5, 12345, 50 + 25 + 240 + 270 + 325};

    for (size_t i = 0; i < sizeof(dists) / sizeof(dists[0]); i++) {
        MUST(dist_mean(&dists[i]) == means[i]);
        ck_assert_double_eq_tol(mean_of_samples(&dists[i], 400000), means[i], means[i] * 0.02);
    }
}
END_TEST

START_TEST(uniform_reaches_both_ends)
{
    struct prng p = prng_stream(2, 0, "uniform", 0, 0);
    struct dist d = dist_uniform(7, 9), all = dist_uniform(0, UINT64_MAX);
    unsigned counts[3] = {0};

    for (int i = 0; i < 30000; i++) {
        uint64_t x = dist_sample(&d, &p);
        MUST(x >= 7 && x <= 9);
        counts[x - 7]++;
    }
    for (int i = 0; i < 3; i++) MUST(counts[i] > 9500 && counts[i] < 10500);
    for (int i = 0; i < 100; i++) {
        struct prng q = p;
        MUST(dist_sample(&all, &p) == prng_u64(&q));
    }
    ck_assert_uint_eq(dist_mean(&all), UINT64_C(1) << 63);
}
END_TEST

START_TEST(quantiles_are_met)
{
    struct prng p = prng_stream(3, 0, "quantiles", 0, 0);
    unsigned below[5] = {0};

    for (int i = 0; i < 1000000; i++) {
        uint64_t x = dist_sample(&latency, &p);
        MUST(x >= 100 && x <= 60000);
        for (int j = 0; j < 5; j++) below[j] += x <= latency.points[j].value;
    }
    for (int j = 1; j < 5; j++) ck_assert_double_eq_tol(below[j], latency.points[j].ppm, 3000);
}
END_TEST

START_TEST(atoms_jumps_and_open_ends)
{
    struct dist d = {
        .kind = DIST_QUANTILES,
        .points_len = 4,
        .points = {{10, 200000}, {10, 400000}, {20, 400000}, {30, 900000}},
    };
    unsigned tens = 0, thirties = 0;

    for (unsigned i = 0; i < 100000; i++) {
        struct prng p = prng_derive(4, i, 0);
        uint64_t x = dist_sample(&d, &p);
        MUST(x == 10 || (x >= 20 && x <= 30));
        tens += x == 10;
        thirties += x == 30;
    }
    ck_assert_double_eq_tol(tens, 40000, 800);
    ck_assert_double_eq_tol(thirties, 12500, 600);
    ck_assert_uint_eq(dist_mean(&d), 20); /* 4 + 12.5 + 3 = 19.5 */

    struct dist one = {.kind = DIST_QUANTILES, .points_len = 1, .points = {{5, 500000}}};
    ck_assert_uint_eq(dist_mean(&one), 5);
    ck_assert_double_eq(mean_of_samples(&one, 1000), 5);
}
END_TEST

/* Two deployments that draw alike compare alike: from the same draw, a larger draw never gives a smaller
 * sample. */
START_TEST(samples_grow_with_the_draw)
{
    struct dist dists[] = {dist_uniform(3, 3000000), dist_exponential(NSEC_PER_S), latency};

    for (size_t i = 0; i < sizeof(dists) / sizeof(dists[0]); i++)
        for (unsigned j = 0; j < 20000; j++) {
            struct prng p = prng_derive(5, j, 0), q = prng_derive(5, j, 1), p2 = p, q2 = q;
            uint64_t x = dist_sample(&dists[i], &p), y = dist_sample(&dists[i], &q);
            MUST(prng_u64(&p2) <= prng_u64(&q2) ? x <= y : x >= y);
        }
}
END_TEST

START_TEST(scaling_rounds_and_saturates)
{
    struct dist d = latency, c = dist_constant(UINT64_MAX), u = dist_uniform(1, 3);

    dist_scale_ppm(&d, 1500000);
    ck_assert_uint_eq(d.points[0].value, 150);
    ck_assert_uint_eq(d.points[4].value, 90000);
    ck_assert_uint_eq(d.points[4].ppm, 1000000);
    ck_assert_ptr_null(dist_check(&d));
    dist_scale_ppm(&u, 500000);
    ck_assert(u.lo == 1 && u.hi == 2);
    dist_scale_ppm(&c, 1000001);
    ck_assert_uint_eq(c.lo, UINT64_MAX);
    dist_scale_ppm(&c, UINT64_MAX);
    ck_assert_uint_eq(c.lo, UINT64_MAX);
    dist_scale_ppm(&c, 0);
    ck_assert_uint_eq(c.lo, 0);
}
END_TEST

START_TEST(extreme_values_do_not_overflow)
{
    struct dist d = {.kind = DIST_QUANTILES, .points_len = 2, .points = {{0, 0}, {UINT64_MAX, 1000000}}};
    struct dist step = {
        .kind = DIST_QUANTILES, .points_len = 3, .points = {{0, 0}, {0, 999999}, {UINT64_MAX, 1000000}}};

    ck_assert_uint_eq(dist_mean(&d), UINT64_C(1) << 63);
    ck_assert_double_eq_tol(mean_of_samples(&d, 100000), 9.22e18, 1e17);
    ck_assert_uint_eq(dist_mean(&step), UINT64_MAX / 2000000 + 1);
    mean_of_samples(&step, 100000);
}
END_TEST

START_TEST(what_is_wrong_is_said)
{
    struct dist d = dist_uniform(2, 1);

    ck_assert_ptr_nonnull(dist_check(&d));
    d = (struct dist){.kind = DIST_QUANTILES};
    ck_assert_ptr_nonnull(dist_check(&d));
    d.points_len = DIST_POINTS_MAX + 1;
    ck_assert_ptr_nonnull(dist_check(&d));
    d = (struct dist){.kind = DIST_QUANTILES, .points_len = 2, .points = {{1, 5}, {2, 4}}};
    ck_assert_ptr_nonnull(dist_check(&d));
    d = (struct dist){.kind = DIST_QUANTILES, .points_len = 2, .points = {{2, 4}, {1, 5}}};
    ck_assert_ptr_nonnull(dist_check(&d));
    d = (struct dist){.kind = DIST_QUANTILES, .points_len = 1, .points = {{2, 1000001}}};
    ck_assert_ptr_nonnull(dist_check(&d));
    d = (struct dist){.kind = (enum dist_kind)9};
    ck_assert_ptr_nonnull(dist_check(&d));
    d = (struct dist){0};
    ck_assert_ptr_null(dist_check(&d));
}
END_TEST

SUITE_MAIN("sampler", golden_samples, samples_have_the_mean_that_is_told, uniform_reaches_both_ends,
           quantiles_are_met, atoms_jumps_and_open_ends, samples_grow_with_the_draw,
           scaling_rounds_and_saturates, extreme_values_do_not_overflow, what_is_wrong_is_said)
