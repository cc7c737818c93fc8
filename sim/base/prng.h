/*
 * Randomness by counter: the nth number of a stream is a pure function of the stream's name and n.
 *
 * A stream is named by (seed, replicate, stable name, ordinal, purpose), never by a slab id or by a
 * deployment's name. So one entity's extra draws shift nobody else's, and two deployments under one seed meet
 * the same arrivals, think times and faults.
 *
 * Quality: a stream is a 128-bit key, half of it added to a Weyl counter before, and half of it injected
 * inside, a three-round 64-bit mixer. Two streams share a sequence only if both halves agree (unlike
 * SplitMix64, where all streams are windows of one cycle). Within a stream no value repeats before 2^64
 * draws. For simulation, not for secrets.
 *
 * All functions are integer arithmetic alone: the same bits from every compiler, CPU and libc.
 */
#pragma once

#include "sim/base/mix.h"
#include "sim/base/nsec.h"

#include <stdbool.h>
#include <stdint.h>

/* A stream and the place in it. Plain data: a copy draws the same numbers as the original. */
struct prng {
    uint64_t key[2];
    uint64_t counter;
};

/* Hashes what all entities of one kind share; to be kept, and given to prng_derive() for each entity. */
uint64_t prng_key(uint64_t seed, uint32_t replicate, const char *name);

/* The stream of one entity (`ordinal`) for one `purpose` under a key. No string is hashed: a few nanoseconds.
 */
struct prng prng_derive(uint64_t key, uint64_t ordinal, uint32_t purpose);

/* prng_derive(prng_key(seed, replicate, name), ordinal, purpose). */
struct prng prng_stream(uint64_t seed, uint32_t replicate, const char *name, uint64_t ordinal,
                        uint32_t purpose);

/* The next 64 bits. One draw. */
static inline uint64_t prng_u64(struct prng *p)
{
    uint64_t x = p->key[0] + ++p->counter * MIX_GOLDEN;

    /* The odd constants are those of mix64() and the one of degski's mixer. */
    x = (x ^ (x >> 32)) * UINT64_C(0xbf58476d1ce4e5b9);
    x += p->key[1];
    x = (x ^ (x >> 29)) * UINT64_C(0x94d049bb133111eb);
    x = (x ^ (x >> 32)) * UINT64_C(0xd6e8feb86659fd93);
    return x ^ (x >> 29);
}

/* A number in [0, n), each equally likely to the last bit: D. Lemire's multiplication with rejection ("Fast
 * random integer generation in an interval", 2019). One draw, rarely more. `n` must not be 0. */
uint64_t prng_below(struct prng *p, uint64_t n);

/* True with a chance of `ppm` millionths (from 1,000,000 on: always). One draw, whatever `ppm` is; and what
 * is true at one chance is true at each higher chance from the same draw. Off by less than 2^-44. */
bool prng_chance_ppm(struct prng *p, uint32_t ppm);

/*
 * An exponentially distributed span of the given mean: mean * -ln(1 - u), rounded to the nearest nanosecond.
 * One draw; grows with u; at most 44.4 means; saturates at NSEC_MAX.
 *
 * Error, before that rounding: below 1e-7 of the result for all u above 2^-38, and below 2^-58 of the mean
 * always. Fixed point only: no libm, no floating point.
 */
nsec_t prng_exponential(struct prng *p, nsec_t mean);

/* -ln(1 - u) for u = bits / 2^64, as a whole part and a fraction in units of 2^-64. What prng_exponential()
 * scales. */
void prng_neg_log(uint64_t bits, uint64_t *ret_whole, uint64_t *ret_fraction);
