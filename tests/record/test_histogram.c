#include "sim/base/prng.h"
#include "sim/record/histogram.h"
#include "tests/record/suite.h"

#include <string.h>

static struct histogram h, other, sum, delta;

static void setup(void)
{
    histogram_init(&h);
    histogram_init(&other);
    histogram_init(&sum);
    histogram_init(&delta);
}

/* A duration of any order of magnitude. */
static nsec_t any_duration(struct prng *p)
{
    return prng_u64(p) >> (22 + prng_below(p, 42));
}

/* Where HdrHistogram's description puts a value: buckets that double, of 2,048 cells of which the upper half
 * counts. */
static uint32_t slow_index(nsec_t value)
{
    uint32_t bucket = 0;

    while (value >= UINT64_C(2048) * 512 << bucket) bucket++;
    return bucket * 1024 + (uint32_t)(value / (UINT64_C(512) << bucket));
}

START_TEST(cells_are_where_the_layout_puts_them)
{
    struct prng p = prng_stream(1, 0, "cells", 0, 0);

    ck_assert_uint_eq(HISTOGRAM_CELLS, 24576);
    for (int i = 0; i < 100000; i++) {
        nsec_t v = any_duration(&p);
        uint32_t index;

        if (v > HISTOGRAM_HIGHEST_NS) continue;
        index = histogram_index(v);
        ck_assert_uint_eq(index, slow_index(v));
        ck_assert_uint_le(histogram_lowest_of(index), v);
        ck_assert_uint_ge(histogram_highest_of(index), v);
        /* Three significant digits, or half a microsecond. */
        ck_assert(histogram_highest_of(index) - histogram_lowest_of(index) < 512 + v / 1000);
    }
}
END_TEST

START_TEST(cells_cover_all_values_without_holes)
{
    ck_assert_uint_eq(histogram_lowest_of(0), 0);
    for (uint32_t i = 0; i + 1 < HISTOGRAM_CELLS; i++) {
        ck_assert_uint_eq(histogram_highest_of(i) + 1, histogram_lowest_of(i + 1));
        if (histogram_highest_of(i) > HISTOGRAM_HIGHEST_NS) continue;
        ck_assert_uint_eq(histogram_index(histogram_lowest_of(i)), i);
        ck_assert_uint_eq(histogram_index(histogram_highest_of(i)), i);
    }
    ck_assert_uint_lt(histogram_index(HISTOGRAM_HIGHEST_NS), HISTOGRAM_CELLS);
}
END_TEST

START_TEST(empty_is_all_zero)
{
    struct histogram_cell cell;
    uint32_t walk = 0;

    setup();
    ck_assert_uint_eq(histogram_count(&h), 0);
    ck_assert_uint_eq(histogram_min(&h), 0);
    ck_assert_uint_eq(histogram_max(&h), 0);
    ck_assert_uint_eq(histogram_mean(&h), 0);
    ck_assert_uint_eq(histogram_quantile(&h, 500000), 0);
    ck_assert_uint_eq(histogram_count_within(&h, 1000), 0);
    ck_assert(!histogram_next(&h, &walk, &cell));
}
END_TEST

START_TEST(a_sample_of_zero_is_a_sample)
{
    setup();
    histogram_record(&h, 0);
    ck_assert_uint_eq(histogram_count(&h), 1);
    ck_assert_uint_eq(histogram_min(&h), 0);
    ck_assert_uint_eq(histogram_max(&h), 0);
    ck_assert_uint_eq(histogram_quantile(&h, 1000000), 511);
    ck_assert_uint_eq(histogram_quantile(&h, 0), 0);
    histogram_merge(&other, &h);
    ck_assert_uint_eq(histogram_count(&other), 1);
}
END_TEST

START_TEST(more_than_an_hour_is_an_hour_and_said_so)
{
    setup();
    histogram_record(&h, HISTOGRAM_HIGHEST_NS);
    ck_assert_uint_eq(histogram_saturated(&h), 0);
    histogram_record(&h, HISTOGRAM_HIGHEST_NS + 1);
    histogram_record(&h, UINT64_MAX);
    histogram_record_many(&h, UINT64_MAX, 3);
    ck_assert_uint_eq(histogram_saturated(&h), 5);
    ck_assert_uint_eq(histogram_count(&h), 6);
    ck_assert_uint_eq(histogram_max(&h), HISTOGRAM_HIGHEST_NS);
    ck_assert_uint_eq(histogram_mean(&h), HISTOGRAM_HIGHEST_NS);
    ck_assert_uint_eq(histogram_count_within(&h, NSEC_MAX - 1), 6);
    ck_assert_uint_eq(histogram_count_within(&h, HISTOGRAM_HIGHEST_NS), 0);
}
END_TEST

START_TEST(the_sum_does_not_overflow)
{
    unsigned __int128 expected = (unsigned __int128)HISTOGRAM_HIGHEST_NS * 20000000;

    setup();
    histogram_record_many(&h, HISTOGRAM_HIGHEST_NS, 20000000 - 3);
    for (int i = 0; i < 3; i++) histogram_record(&h, HISTOGRAM_HIGHEST_NS);
    ck_assert(histogram_sum(&h) == expected);
    ck_assert(expected >> 64 != 0);
    ck_assert_uint_eq(histogram_mean(&h), HISTOGRAM_HIGHEST_NS);
    histogram_merge(&other, &h);
    histogram_merge(&other, &h);
    ck_assert(histogram_sum(&other) == 2 * expected);
}
END_TEST

START_TEST(the_sum_carries_one_sample_at_a_time)
{
    uint64_t below = UINT64_MAX / HISTOGRAM_HIGHEST_NS;

    setup();
    histogram_record_many(&h, HISTOGRAM_HIGHEST_NS, below);
    ck_assert(histogram_sum(&h) >> 64 == 0);
    histogram_record(&h, HISTOGRAM_HIGHEST_NS);
    ck_assert(histogram_sum(&h) == (unsigned __int128)HISTOGRAM_HIGHEST_NS * (below + 1));
    ck_assert(histogram_sum(&h) >> 64 == 1);
}
END_TEST

static int compare(const void *a, const void *b)
{
    nsec_t x = *(const nsec_t *)a, y = *(const nsec_t *)b;

    return (x > y) - (x < y);
}

START_TEST(quantiles_agree_with_a_sorted_list)
{
    static const uint32_t quantiles[] = {1, 1000, 250000, 500000, 900000, 990000, 999000, 999900, 1000000};
    struct prng p = prng_stream(2, 0, "quantiles", 0, 0);
    static nsec_t values[20000];

    for (size_t n = 1; n <= sizeof(values) / sizeof(values[0]); n = n * 3 + 1) {
        setup();
        for (size_t i = 0; i < n; i++) {
            values[i] = prng_below(&p, HISTOGRAM_HIGHEST_NS >> prng_below(&p, 30));
            histogram_record(&h, values[i]);
        }
        qsort(values, n, sizeof(values[0]), compare);
        for (size_t q = 0; q < sizeof(quantiles) / sizeof(quantiles[0]); q++) {
            size_t rank = (n * quantiles[q] + 999999) / 1000000;
            nsec_t expected = histogram_highest_of(histogram_index(values[rank - 1]));

            ck_assert_uint_eq(histogram_quantile(&h, quantiles[q]), expected);
            ck_assert_uint_eq(histogram_quantile_at(&h, quantiles[q], 1000000), expected);
        }
        ck_assert_uint_eq(histogram_min(&h), values[0]);
        ck_assert_uint_eq(histogram_max(&h), values[n - 1]);
    }
}
END_TEST

START_TEST(the_mean_is_exact_and_rounded)
{
    setup();
    histogram_record(&h, 1000000001);
    histogram_record(&h, 1000000002);
    ck_assert_uint_eq(histogram_mean(&h), 1000000002); /* …001.5 */
    histogram_record(&h, 1000000001);
    ck_assert_uint_eq(histogram_mean(&h), 1000000001); /* …001.33 */
}
END_TEST

START_TEST(few_samples_support_few_quantiles)
{
    static const struct {
        uint32_t q_ppm;
        uint64_t least;
    } rules[] = {{500000, 10}, {900000, 50}, {990000, 500},     {999000, 5000}, {100000, 50}, {999900, 50000},
                 {1000000, 1}, {0, 1},       {999999, 5000000}, {950000, 100},  {750000, 20}};

    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        ck_assert(histogram_quantile_supported(rules[i].least, rules[i].q_ppm));
        ck_assert(!histogram_quantile_supported(rules[i].least - 1, rules[i].q_ppm));
    }
    ck_assert(histogram_quantile_supported(UINT64_MAX, 999999));
}
END_TEST

START_TEST(merging_is_recording_into_one)
{
    struct prng p = prng_stream(3, 0, "merge", 0, 0);

    setup();
    for (int i = 0; i < 20000; i++) {
        nsec_t v = any_duration(&p);

        histogram_record(prng_below(&p, 2) ? &h : &other, v);
        histogram_record(&sum, v);
    }
    histogram_merge(&h, &other);
    ck_assert_mem_eq(&h, &sum, sizeof(h));
    histogram_copy(&delta, &h);
    ck_assert_mem_eq(&delta, &sum, sizeof(h));
}
END_TEST

START_TEST(differences_are_what_came_in_between)
{
    struct prng p = prng_stream(4, 0, "subtract", 0, 0);
    static struct histogram before;

    setup();
    for (int round = 0; round < 200; round++) {
        unsigned __int128 added = 0;

        histogram_copy(&before, &h);
        histogram_init(&other);
        for (uint64_t n = prng_below(&p, 50); n > 0; n--) {
            nsec_t v = prng_below(&p, HISTOGRAM_HIGHEST_NS >> prng_below(&p, 35));

            histogram_record(&h, v);
            histogram_record(&other, v);
            added += v;
        }
        histogram_subtract(&delta, &h, &before);
        ck_assert_uint_eq(delta.count, other.count);
        ck_assert(histogram_sum(&delta) == added);
        ck_assert_mem_eq(delta.cells, other.cells, sizeof(delta.cells));
        if (other.count == 0) continue;
        ck_assert_uint_eq(histogram_index(delta.min_ns), histogram_index(other.min_ns));
        ck_assert_uint_eq(histogram_index(delta.max_ns), histogram_index(other.max_ns));
        ck_assert_uint_ge(delta.max_ns, other.max_ns);
        ck_assert_uint_le(delta.min_ns, other.min_ns);
    }
}
END_TEST

START_TEST(walking_finds_every_sample)
{
    struct prng p = prng_stream(5, 0, "walk", 0, 0);
    struct histogram_cell cell;
    uint64_t count = 0;
    uint32_t walk = 0;

    setup();
    for (int i = 0; i < 5000; i++) histogram_record(&h, any_duration(&p));
    for (nsec_t above = 0; histogram_next(&h, &walk, &cell); above = cell.high_ns + 1) {
        ck_assert_uint_ge(cell.low_ns, above);
        ck_assert_uint_gt(cell.count, 0);
        count += cell.count;
        ck_assert_uint_eq(histogram_count_within(&h, cell.high_ns), count);
        if (cell.high_ns < histogram_max(&h))
            ck_assert_uint_eq(histogram_count_within(&h, cell.high_ns - 1), count - cell.count);
    }
    ck_assert_uint_eq(count, 5000);
}
END_TEST

START_TEST(clearing_leaves_nothing)
{
    struct prng p = prng_stream(6, 0, "clear", 0, 0);

    setup();
    for (int i = 0; i < 5000; i++) histogram_record(&h, any_duration(&p));
    histogram_clear(&h);
    ck_assert_mem_eq(&h, &other, sizeof(h));
    histogram_clear(&h);
    ck_assert_mem_eq(&h, &other, sizeof(h));
}
END_TEST

START_TEST(subtracting_what_is_no_predecessor)
{
    setup();
    histogram_record(&h, 5000);
    histogram_record(&other, 9000);
    histogram_subtract(&delta, &h, &other);
}
END_TEST

START_TEST(index_above_the_highest)
{
    histogram_index(HISTOGRAM_HIGHEST_NS + 1);
}
END_TEST

int main(void)
{
    return run_suite("histogram",
                     TESTS(cells_are_where_the_layout_puts_them, cells_cover_all_values_without_holes,
                           empty_is_all_zero, a_sample_of_zero_is_a_sample,
                           more_than_an_hour_is_an_hour_and_said_so, the_sum_does_not_overflow,
                           the_sum_carries_one_sample_at_a_time, quantiles_agree_with_a_sorted_list,
                           the_mean_is_exact_and_rounded, few_samples_support_few_quantiles,
                           merging_is_recording_into_one, differences_are_what_came_in_between,
                           walking_finds_every_sample, clearing_leaves_nothing),
                     TESTS(subtracting_what_is_no_predecessor, index_above_the_highest));
}
