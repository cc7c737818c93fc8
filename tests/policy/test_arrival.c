#include "sim/policy/arrival.h"

#include "tests/base/suite.h"

#include <string.h>

#define S NSEC_PER_S

static struct arrival *arrival_of(const struct plan_load *load, uint64_t seed, nsec_t end)
{
    struct arrival_options options = {.load = load, .seed = seed, .end_ns = end};
    struct arrival *a = NULL;

    ck_assert_int_eq(arrival_new(&options, &a), 0);
    return a;
}

/* Takes everything up to the end; returns how many. */
static uint64_t count_all(struct arrival *a, nsec_t *ret_sum)
{
    nsec_t intended, last = 0;
    uint32_t user;
    uint64_t n = 0;

    *ret_sum = 0;
    while (arrival_take(a, NSEC_MAX, &intended, &user)) {
        ck_assert_uint_ge(intended, last);
        last = intended;
        *ret_sum += intended;
        n++;
    }
    return n;
}

START_TEST(constant_rate_is_evenly_spaced_without_drift)
{
    struct rate_knot knot = {0, 3 * 3600}; /* 3 a second: a third of a second is no whole number of ns */
    struct plan_load load = {.process = ARRIVAL_CONSTANT, .knots = &knot, .knot_count = 1, .start_ns = 5 * S};
    struct arrival *a = arrival_of(&load, 1, 105 * S);
    nsec_t intended;
    uint32_t user;

    for (uint64_t k = 0; k < 300; k++) {
        ck_assert(arrival_take(a, NSEC_MAX, &intended, &user));
        ck_assert_uint_eq(intended, 5 * S + (k * S + 2) / 3);
    }
    ck_assert_uint_eq(arrival_deadline(a), NSEC_MAX); /* the 301st would be at the end */
    arrival_free(a);
}
END_TEST

START_TEST(takes_nothing_before_its_time)
{
    struct rate_knot knot = {0, 3600};
    struct plan_load load = {.process = ARRIVAL_CONSTANT, .knots = &knot, .knot_count = 1, .start_ns = 5 * S};
    struct arrival *a = arrival_of(&load, 1, 100 * S);
    nsec_t intended = 77;
    uint32_t user;

    ck_assert_uint_eq(arrival_deadline(a), 5 * S);
    ck_assert(!arrival_take(a, 5 * S - 1, &intended, &user));
    ck_assert_uint_eq(intended, 77);
    ck_assert(arrival_take(a, 5 * S, &intended, &user));
    ck_assert_uint_eq(arrival_deadline(a), 6 * S);
    arrival_free(a);
}
END_TEST

START_TEST(a_ramp_has_the_times_of_its_integral)
{
    /* From 0 to 2 a second within 100 s: the integral is t²/100, so the k-th start is at 10·sqrt(k) s. */
    struct rate_knot knots[] = {{0, 0}, {100 * S, 7200}};
    struct plan_load load = {.process = ARRIVAL_CONSTANT, .knots = knots, .knot_count = 2};
    struct arrival *a = arrival_of(&load, 1, 1000 * S);
    const uint64_t squares[] = {0, 1, 4, 9, 16, 25, 36, 49, 64, 81, 100};
    nsec_t intended;
    uint32_t user;
    uint64_t k = 0;

    for (uint64_t root = 0; root <= 10; root++) {
        for (; k <= squares[root]; k++) ck_assert(arrival_take(a, NSEC_MAX, &intended, &user));
        ck_assert_uint_ge(intended + 1, root * 10 * S);
        ck_assert_uint_le(intended, root * 10 * S + 1);
    }
    /* After the last knot the rate stays. */
    ck_assert(arrival_take(a, NSEC_MAX, &intended, &user));
    ck_assert_uint_ge(intended, 100 * S + S / 2 - 1);
    ck_assert_uint_le(intended, 100 * S + S / 2 + 1);
    arrival_free(a);
}
END_TEST

START_TEST(falling_ramps_jumps_and_gaps)
{
    /* 10 a second, falling to 0 at 20 s (100), nothing until 50 s, then a jump to 5 a second until 60 s (50).
     */
    struct rate_knot knots[] = {{0, 36000},      {20 * S, 0},     {50 * S, 0},
                                {50 * S, 18000}, {60 * S, 18000}, {60 * S, 0}};
    struct plan_load load = {.process = ARRIVAL_CONSTANT, .knots = knots, .knot_count = 6};
    struct arrival *a = arrival_of(&load, 1, 1000 * S);
    nsec_t intended, in_gap = 0;
    uint32_t user;
    uint64_t first = 0, second = 0;

    while (arrival_take(a, NSEC_MAX, &intended, &user)) {
        if (intended <= 20 * S)
            first++;
        else if (intended < 50 * S)
            in_gap++;
        else
            second++;
    }
    ck_assert_uint_ge(first, 100);
    ck_assert_uint_le(first, 101);
    ck_assert_uint_eq(in_gap, 0);
    ck_assert_uint_eq(first + second, 151);
    arrival_free(a);
}
END_TEST

START_TEST(large_rates_and_long_ramps_do_not_overflow)
{
    struct rate_knot knots[] = {{0, UINT64_C(3600) << 40}, {UINT64_C(1) << 61, UINT64_C(3600) << 41}};
    struct plan_load load = {.process = ARRIVAL_POISSON, .knots = knots, .knot_count = 2, .sessions = 1000};
    struct arrival *a = arrival_of(&load, 1, NSEC_MAX);
    nsec_t sum;

    ck_assert_uint_eq(count_all(a, &sum), 1000);
    /* 2^40 a second: a thousand of them within a microsecond. */
    ck_assert_uint_lt(sum / 1000, NSEC_PER_US);
    arrival_free(a);
}
END_TEST

START_TEST(poisson_counts_and_times_over_seeds)
{
    /* Up from 0 to 2 a second at 50 s, down to 0 at 100 s: 100 expected, mean time 50 s. */
    struct rate_knot knots[] = {{0, 0}, {50 * S, 7200}, {100 * S, 0}};
    struct plan_load load = {.name = "peak", .process = ARRIVAL_POISSON, .knots = knots, .knot_count = 3};
    uint64_t n = 0, squares = 0;
    nsec_t times = 0;
    const uint64_t seeds = 2000;

    for (uint64_t seed = 0; seed < seeds; seed++) {
        struct arrival *a = arrival_of(&load, seed, 200 * S);
        nsec_t sum;
        uint64_t k = count_all(a, &sum);

        n += k;
        squares += k * k;
        times += sum / NSEC_PER_MS;
        arrival_free(a);
    }
    /* Mean of 2,000 Poisson counts of mean 100: standard error 0.22. Variance 100, standard error of it
     * about 3.2. */
    ck_assert_uint_gt(n, seeds * 99);
    ck_assert_uint_lt(n, seeds * 101);
    double mean = (double)n / (double)seeds, variance = (double)squares / (double)seeds - mean * mean;
    ck_assert_double_gt(variance, 87);
    ck_assert_double_lt(variance, 113);
    /* The triangle's mean is 50 s, its deviation 20.4 s: standard error 0.046 s. */
    ck_assert_uint_gt(times / n, 49800);
    ck_assert_uint_lt(times / n, 50200);
}
END_TEST

START_TEST(poisson_gaps_are_exponential)
{
    struct rate_knot knot = {0, 3600 * 50};
    struct plan_load load = {
        .name = "x", .process = ARRIVAL_POISSON, .knots = &knot, .knot_count = 1, .sessions = 100000};
    struct arrival *a = arrival_of(&load, 3, NSEC_MAX);
    nsec_t intended, last = 0;
    uint32_t user;
    uint64_t longer = 0;

    while (arrival_take(a, NSEC_MAX, &intended, &user)) {
        if (intended - last > 20 * NSEC_PER_MS) longer++; /* the mean gap */
        last = intended;
    }
    /* 1/e = 0.36788; standard error 0.0015. */
    ck_assert_uint_gt(longer, 36000);
    ck_assert_uint_lt(longer, 37600);
    arrival_free(a);
}
END_TEST

START_TEST(names_and_seeds_make_streams)
{
    struct rate_knot knot = {0, 3600};
    struct plan_load one = {.name = "one", .process = ARRIVAL_POISSON, .knots = &knot, .knot_count = 1};
    struct plan_load two = {.name = "two", .process = ARRIVAL_POISSON, .knots = &knot, .knot_count = 1};
    struct arrival *a = arrival_of(&one, 1, NSEC_MAX), *b = arrival_of(&one, 1, NSEC_MAX);
    struct arrival *c = arrival_of(&two, 1, NSEC_MAX), *d = arrival_of(&one, 2, NSEC_MAX);

    ck_assert_uint_eq(arrival_deadline(a), arrival_deadline(b));
    ck_assert_uint_ne(arrival_deadline(a), arrival_deadline(c));
    ck_assert_uint_ne(arrival_deadline(a), arrival_deadline(d));
    arrival_free(a);
    arrival_free(b);
    arrival_free(c);
    arrival_free(d);
}
END_TEST

START_TEST(closed_users_come_back_after_thinking)
{
    struct plan_load load = {
        .name = "u", .process = ARRIVAL_CLOSED, .users = 2, .think_ns = dist_constant(3 * S), .start_ns = S};
    struct arrival *a = arrival_of(&load, 1, 20 * S);
    nsec_t intended;
    uint32_t first, second, user;

    ck_assert(arrival_take(a, S, &intended, &first));
    ck_assert(arrival_take(a, S, &intended, &second));
    ck_assert_uint_eq(intended, S);
    ck_assert_uint_ne(first, second);
    ck_assert_uint_eq(arrival_deadline(a), NSEC_MAX);
    arrival_user_back(a, 7 * S, second);
    ck_assert_uint_eq(arrival_deadline(a), 10 * S);
    arrival_user_back(a, 5 * S, first);
    ck_assert_uint_eq(arrival_deadline(a), 8 * S);
    ck_assert(arrival_take(a, 9 * S, &intended, &user));
    ck_assert_uint_eq(intended, 8 * S);
    ck_assert_uint_eq(user, first);
    ck_assert(!arrival_take(a, 9 * S, &intended, &user));
    arrival_user_back(a, 17 * S, first); /* would come at the end: never */
    ck_assert(arrival_take(a, NSEC_MAX, &intended, &user));
    ck_assert_uint_eq(user, second);
    ck_assert_uint_eq(arrival_deadline(a), NSEC_MAX);
    arrival_free(a);
}
END_TEST

START_TEST(closed_think_times_do_not_depend_on_other_users)
{
    struct plan_load load = {
        .name = "u", .process = ARRIVAL_CLOSED, .users = 2, .think_ns = dist_exponential(3 * S)};
    struct arrival *a = arrival_of(&load, 1, NSEC_MAX), *b = arrival_of(&load, 1, NSEC_MAX);
    nsec_t intended, only_second;
    uint32_t user;

    for (int i = 0; i < 2; i++) {
        arrival_take(a, 0, &intended, &user);
        arrival_take(b, 0, &intended, &user);
    }
    arrival_user_back(a, S, 1);
    only_second = arrival_deadline(a);
    arrival_user_back(b, S, 0);
    arrival_take(b, NSEC_MAX, &intended, &user);
    arrival_user_back(b, S, 1);
    ck_assert_uint_eq(arrival_deadline(b), only_second);
    arrival_free(a);
    arrival_free(b);
}
END_TEST

START_TEST(at_once_and_limits)
{
    struct plan_load load = {.name = "b", .process = ARRIVAL_AT_ONCE, .sessions = 7, .start_ns = 2 * S};
    struct arrival *a = arrival_of(&load, 1, 20 * S);
    nsec_t sum;

    ck_assert_uint_eq(count_all(a, &sum), 7);
    ck_assert_uint_eq(sum, 14 * S);
    arrival_free(a);
    a = arrival_of(&load, 1, 2 * S); /* the schedule is over before */
    ck_assert_uint_eq(arrival_deadline(a), NSEC_MAX);
    arrival_free(a);

    load.process = ARRIVAL_CLOSED;
    load.users = 3;
    load.sessions = 5;
    a = arrival_of(&load, 1, NSEC_MAX);
    ck_assert_uint_eq(count_all(a, &sum), 3);
    for (uint32_t user = 0; user < 3; user++) arrival_user_back(a, 3 * S, user);
    ck_assert_uint_eq(count_all(a, &sum), 2);
    arrival_free(a);
}
END_TEST

SUITE_MAIN("arrival", constant_rate_is_evenly_spaced_without_drift, takes_nothing_before_its_time,
           a_ramp_has_the_times_of_its_integral, falling_ramps_jumps_and_gaps,
           large_rates_and_long_ramps_do_not_overflow, poisson_counts_and_times_over_seeds,
           poisson_gaps_are_exponential, names_and_seeds_make_streams, closed_users_come_back_after_thinking,
           closed_think_times_do_not_depend_on_other_users, at_once_and_limits)
