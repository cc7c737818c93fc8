/*
 * A histogram of durations in the layout of HdrHistogram: lowest discernible value 1 us, highest 1 h, three
 * significant digits, in nanoseconds.
 *
 * Geometry, as HdrHistogram computes it for lowest 1,000, highest 3.6e12, digits 3: the unit is 512 ns (the
 * power of two at or below 1,000), there are 2,048 sub-buckets and 23 buckets, hence 24 * 1,024 counts. A
 * value is known to one part in 1,024 or better above 1 ms, and to 512 ns below. Quantiles follow
 * HdrHistogram: the *highest* value equivalent to the one asked for, so a quantile may exceed histogram_max()
 * by less than one bucket.
 *
 * All arithmetic is on integers, so the same samples give the same numbers on every machine.
 *
 * Position-independent and fixed in size: it may lie in a shared mapping. One writer; readers may run at the
 * same time and see each 64-bit number whole, but not all numbers of one instant. Whoever reads a histogram
 * that is being written first takes a copy with histogram_copy(), which is consistent in itself (its count is
 * the sum of its cells).
 */
#pragma once

#include "sim/base/nsec.h"

#include <stdbool.h>
#include <stdint.h>

#define HISTOGRAM_LOWEST_NS      UINT64_C(1000)
#define HISTOGRAM_HIGHEST_NS     UINT64_C(3600000000000)
#define HISTOGRAM_DIGITS         3
#define HISTOGRAM_UNIT_MAGNITUDE 9
#define HISTOGRAM_HALF_MAGNITUDE 10
#define HISTOGRAM_BUCKETS        23
#define HISTOGRAM_CELLS          ((HISTOGRAM_BUCKETS + 1) << HISTOGRAM_HALF_MAGNITUDE)

/* Quantiles are in parts per million: 500000 is p50, 990000 p99, 999000 p99.9. */
#define HISTOGRAM_PPM 1000000u

/* Samples expected beyond a quantile before it is worth printing; see histogram_quantile_supported(). */
#define HISTOGRAM_SUPPORT 5u

struct histogram {
    uint64_t min_ns; /* UINT64_MAX while empty */
    uint64_t max_ns;
    uint64_t count;
    uint64_t saturated; /* samples above HISTOGRAM_HIGHEST_NS, counted as that */
    uint64_t sum_low;   /* 128-bit sum of all samples, in two halves */
    uint64_t sum_high;
    uint64_t cells[HISTOGRAM_CELLS];
};

/* One cell that is not empty: `count` samples between low_ns and high_ns, both included. */
struct histogram_cell {
    nsec_t low_ns;
    nsec_t high_ns;
    uint64_t count;
};

/* Empties the histogram. */
void histogram_init(struct histogram *h);

/* Empties a histogram that was initialised before: touches only what had been used. */
void histogram_clear(struct histogram *h);

/* As histogram_init(), for memory that is known to be all zero: touches one page only. */
void histogram_init_zeroed(struct histogram *h);

/* Counts one sample. Values above 1 h count as 1 h, and in `saturated`. A few nanoseconds; no allocation. */
void histogram_record(struct histogram *h, nsec_t value_ns);

/* Counts `times` samples of one value; 0 is allowed and does nothing. */
void histogram_record_many(struct histogram *h, nsec_t value_ns, uint64_t times);

/* dst = src. `src` may be written meanwhile by its writer. The two must not overlap. */
void histogram_copy(struct histogram *dst, const struct histogram *src);

/* dst += src, without loss. `src` may be written meanwhile by its writer; `dst` not. */
void histogram_merge(struct histogram *dst, const struct histogram *src);

/*
 * dst = now - before, for two copies of one histogram that only grew in between; asserts that it did. Cells,
 * count, sum and saturated are exact. Minimum and maximum are those of the cells (within one bucket), or the
 * exact ones where `now` shows that they fell into the interval. `dst` is an
 * initialised histogram other than the two; what it held is forgotten.
 */
void histogram_subtract(struct histogram *dst, const struct histogram *now, const struct histogram *before);

/* Number of samples. */
uint64_t histogram_count(const struct histogram *h);

/* Number of samples above 1 h, which were counted as 1 h. Who shows p99 or max must show this too. */
uint64_t histogram_saturated(const struct histogram *h);

/* The smallest and the largest sample, exact (decoded from a file: within one bucket); 0 while empty. */
nsec_t histogram_min(const struct histogram *h);
nsec_t histogram_max(const struct histogram *h);

/* The exact sum of all samples (after decoding from a file: of the middles of the cells). */
unsigned __int128 histogram_sum(const struct histogram *h);

/* Sum over count, rounded to the nearest nanosecond, half up; 0 while empty. */
nsec_t histogram_mean(const struct histogram *h);

/*
 * The value at quantile q, in ns: the highest value equivalent to the sample of rank ceil(count * q), at
 * least rank 1; for q = 0 the lowest value equivalent to the first. 0 while empty. Asserts q <=
 * HISTOGRAM_PPM. Does not ask whether so few samples support it: see histogram_quantile_supported().
 */
nsec_t histogram_quantile(const struct histogram *h, uint32_t q_ppm);

/* As histogram_quantile() for the quantile numerator / denominator; asserts numerator <= denominator and
 * denominator > 0. */
nsec_t histogram_quantile_at(const struct histogram *h, uint64_t numerator, uint64_t denominator);

/*
 * Whether `count` samples say anything about quantile q: at least HISTOGRAM_SUPPORT = 5 samples must be
 * expected on either side of it, that is count * min(q, 1 - q) >= 5. So p50 needs 10 samples, p90 50, p99
 * 500, p99.9 5,000. With 5 expected beyond, the chance that the sample holds none at all beyond the true
 * quantile is below 1 % (e^-5); with 1 expected it is a third, and the "p99" would be the largest sample
 * seen. Minimum and maximum (q = 0 and q = 1) describe what was seen, and need one sample. A result shows
 * null where this is false.
 */
bool histogram_quantile_supported(uint64_t count, uint32_t q_ppm);

/* Number of samples in cells whose highest value is at most `limit_ns`, so never an overstatement; an
 * objective of the kind "99 % within 2 s" reads this. A sample in the limit's own cell counts only if the
 * whole cell is within. */
uint64_t histogram_count_within(const struct histogram *h, nsec_t limit_ns);

/*
 * Walks the cells that are not empty, upwards. `*cursor` starts at 0 and belongs to the caller.
 * Returns false at the end, with `ret_cell` untouched.
 */
bool histogram_next(const struct histogram *h, uint32_t *cursor, struct histogram_cell *ret_cell);

/* Index of the cell that counts `value_ns`; asserts value_ns <= HISTOGRAM_HIGHEST_NS. */
uint32_t histogram_index(nsec_t value_ns);

/* The lowest and the highest value that cell `index` counts; asserts index < HISTOGRAM_CELLS. */
nsec_t histogram_lowest_of(uint32_t index);
nsec_t histogram_highest_of(uint32_t index);

/* For decoders: adds `count` samples to cell `index`, and to the summary as far as the cell shows it: to the
 * sum by its middle, to the extremes by its ends. Asserts that the cell starts at or below
 * HISTOGRAM_HIGHEST_NS. */
void histogram_add_cell(struct histogram *h, uint32_t index, uint64_t count);
