/*
 * Distributions of spans, sizes and counts, as a plan states them.
 *
 * Immutable once checked. Every sample takes exactly one draw, whatever the kind, and grows with that draw's
 * value: two deployments with different distributions under one seed stay in step. Integers only.
 */
#pragma once

#include "sim/base/prng.h"

#include <stdint.h>

#define DIST_POINTS_MAX 32
#define DIST_PPM_ONE    UINT32_C(1000000)

enum dist_kind {
    DIST_CONSTANT,    /* always `lo`; a zeroed dist is the constant 0 */
    DIST_UNIFORM,     /* each of lo … hi, both included */
    DIST_EXPONENTIAL, /* of mean `lo` */
    DIST_QUANTILES,   /* linear between the points */
};

/* A share of `ppm` millionths of all samples is at most `value`. */
struct dist_point {
    uint64_t value;
    uint32_t ppm;
};

/* Values are in whatever unit the user of the distribution means, such as nanoseconds or bytes. */
struct dist {
    enum dist_kind kind;
    uint32_t points_len;
    uint64_t lo;
    uint64_t hi;
    /* In ascending order of ppm and of value. Below the first point and above the last the value stays that
     * of the point, so 0 and 1,000,000 ppm are where the minimum and the maximum go, if they are known. Two
     * points of one value make an atom, two of one ppm a jump. */
    struct dist_point points[DIST_POINTS_MAX];
};

static inline struct dist dist_constant(uint64_t value)
{
    return (struct dist){.kind = DIST_CONSTANT, .lo = value};
}

static inline struct dist dist_uniform(uint64_t lo, uint64_t hi)
{
    return (struct dist){.kind = DIST_UNIFORM, .lo = lo, .hi = hi};
}

static inline struct dist dist_exponential(uint64_t mean)
{
    return (struct dist){.kind = DIST_EXPONENTIAL, .lo = mean};
}

/* What is wrong with the distribution, as words that complete "the distribution …", or NULL if nothing is.
 * The other functions take only what passes. */
const char *dist_check(const struct dist *d);

/* One sample. One draw. */
uint64_t dist_sample(const struct dist *d, struct prng *p);

/* The mean, rounded to the nearest integer (a half up); exact before that rounding. */
uint64_t dist_mean(const struct dist *d);

/* Multiplies all values by ppm / 1,000,000, each rounded to the nearest integer, saturating at UINT64_MAX. */
void dist_scale_ppm(struct dist *d, uint64_t ppm);
