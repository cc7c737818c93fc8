/*
 * Time: unsigned nanoseconds on one monotonic axis, for instants and for spans alike.
 *
 * NSEC_MAX means "never" as an instant and "for ever" as a span. Arithmetic saturates, so that never plus
 * anything stays never and no deadline can wrap around into the past.
 */
#pragma once

#include <stdint.h>

typedef uint64_t nsec_t;

#define NSEC_PER_US UINT64_C(1000)
#define NSEC_PER_MS UINT64_C(1000000)
#define NSEC_PER_S  UINT64_C(1000000000)
#define NSEC_MAX    UINT64_MAX

/* a + b, or NSEC_MAX where that does not fit. */
static inline nsec_t nsec_add(nsec_t a, nsec_t b)
{
    nsec_t sum;
    return __builtin_add_overflow(a, b, &sum) ? NSEC_MAX : sum;
}

/* a - b, or 0 where b is later than a. Never minus anything but never stays never. */
static inline nsec_t nsec_sub0(nsec_t a, nsec_t b)
{
    if (a <= b) return 0;
    return a == NSEC_MAX ? NSEC_MAX : a - b;
}

/* a * n, or NSEC_MAX where that does not fit. Zero times for ever is zero. */
static inline nsec_t nsec_mul(nsec_t a, uint64_t n)
{
    nsec_t product;
    return __builtin_mul_overflow(a, n, &product) ? NSEC_MAX : product;
}

/* The next multiple of `unit` from a on, or NSEC_MAX where that does not fit. Never stays never. */
static inline nsec_t nsec_round_up(nsec_t a, nsec_t unit)
{
    nsec_t past = a % unit;
    return past ? nsec_add(a, unit - past) : a;
}

static inline nsec_t nsec_min(nsec_t a, nsec_t b)
{
    return a < b ? a : b;
}
static inline nsec_t nsec_max(nsec_t a, nsec_t b)
{
    return a > b ? a : b;
}
