#include "sim/base/sampler.h"

#include "sim/base/panic.h"

typedef unsigned __int128 u128;

static const char *check_points(const struct dist *d)
{
    if (d->points_len < 1) return "has no points";
    if (d->points_len > DIST_POINTS_MAX) return "has too many points";
    if (d->points[d->points_len - 1].ppm > DIST_PPM_ONE) return "has a point above 1,000,000 ppm";
    for (uint32_t i = 1; i < d->points_len; i++) {
        if (d->points[i].ppm < d->points[i - 1].ppm) return "has probabilities that do not ascend";
        if (d->points[i].value < d->points[i - 1].value) return "has values that do not ascend";
    }
    return NULL;
}

const char *dist_check(const struct dist *d)
{
    switch (d->kind) {
    case DIST_CONSTANT:
    case DIST_EXPONENTIAL: return NULL;
    case DIST_UNIFORM: return d->lo <= d->hi ? NULL : "has its lowest value above its highest";
    case DIST_QUANTILES: return check_points(d);
    }
    return "is of an unknown kind";
}

/* Each of lo … hi; the bias of a single multiplication is below 2^-64 a value. */
static uint64_t sample_uniform(uint64_t lo, uint64_t hi, uint64_t draw)
{
    return lo + (uint64_t)(((u128)(hi - lo) + 1) * draw >> 64);
}

static uint64_t sample_quantiles(const struct dist *d, uint64_t draw)
{
    const struct dist_point *points = d->points;
    u128 position = (u128)draw * DIST_PPM_ONE; /* whole millionths above the word, their fraction in it */
    uint32_t ppm = position >> 64;
    uint32_t i = 0; /* the first point beyond the position */

    while (i < d->points_len && points[i].ppm <= ppm) i++;
    if (i == 0) return points[0].value;
    if (i == d->points_len) return points[i - 1].value;

    const struct dist_point *a = &points[i - 1], *b = &points[i];
    /* How far from a to b in units of 2^-44: with 20 bits of ppm, that fills the word before the division. */
    uint64_t way = ((uint64_t)(ppm - a->ppm) << 44 | (uint64_t)position >> 20) / (b->ppm - a->ppm);
    return a->value + (uint64_t)(((u128)(b->value - a->value) * way + (UINT64_C(1) << 43)) >> 44);
}

uint64_t dist_sample(const struct dist *d, struct prng *p)
{
    /* prng_exponential() draws for itself; all others share one draw. */
    if (d->kind == DIST_EXPONENTIAL) return prng_exponential(p, d->lo);

    uint64_t draw = prng_u64(p);
    switch (d->kind) {
    case DIST_CONSTANT: return d->lo;
    case DIST_UNIFORM: return sample_uniform(d->lo, d->hi, draw);
    case DIST_QUANTILES: return sample_quantiles(d, draw);
    case DIST_EXPONENTIAL: break;
    }
    UNREACHABLE();
}

static uint64_t mean_quantiles(const struct dist *d)
{
    const struct dist_point *first = &d->points[0], *last = &d->points[d->points_len - 1];
    u128 twice = 2 * ((u128)first->value * first->ppm + (u128)last->value * (DIST_PPM_ONE - last->ppm));

    for (const struct dist_point *b = first + 1; b <= last; b++)
        twice += ((u128)b[-1].value + b->value) * (b->ppm - b[-1].ppm);
    return (twice + DIST_PPM_ONE) / (2 * DIST_PPM_ONE);
}

uint64_t dist_mean(const struct dist *d)
{
    switch (d->kind) {
    case DIST_CONSTANT:
    case DIST_EXPONENTIAL: return d->lo;
    case DIST_UNIFORM: return ((u128)d->lo + d->hi + 1) / 2;
    case DIST_QUANTILES: return mean_quantiles(d);
    }
    UNREACHABLE();
}

static uint64_t scale(uint64_t value, uint64_t ppm)
{
    u128 scaled = ((u128)value * ppm + DIST_PPM_ONE / 2) / DIST_PPM_ONE;

    return scaled > UINT64_MAX ? UINT64_MAX : scaled;
}

void dist_scale_ppm(struct dist *d, uint64_t ppm)
{
    d->lo = scale(d->lo, ppm);
    d->hi = scale(d->hi, ppm);
    for (uint32_t i = 0; i < d->points_len; i++) d->points[i].value = scale(d->points[i].value, ppm);
}
