#include "sim/base/prng.h"

#include "sim/base/panic.h"

#include <string.h>

typedef unsigned __int128 u128;

/* In units of 2^-64. */
#define SQRT_HALF UINT64_C(0xb504f333f9de6484)
#define LN_2      UINT64_C(0xb17217f7d1cf79ac)

uint64_t prng_key(uint64_t seed, uint32_t replicate, const char *name)
{
    return mix_bytes(mix64_chain(mix64_chain(0, seed), replicate), name, strlen(name));
}

struct prng prng_derive(uint64_t key, uint64_t ordinal, uint32_t purpose)
{
    /* The halves take the same words in another order, so that neither is a function of the other. */
    return (struct prng){
        .key = {mix64_chain(mix64_chain(key, ordinal), purpose),
                mix64_chain(mix64_chain(~key, purpose), ordinal)},
    };
}

struct prng prng_stream(uint64_t seed, uint32_t replicate, const char *name, uint64_t ordinal,
                        uint32_t purpose)
{
    return prng_derive(prng_key(seed, replicate, name), ordinal, purpose);
}

uint64_t prng_below(struct prng *p, uint64_t n)
{
    ASSERT(n > 0);

    u128 product = (u128)prng_u64(p) * n;
    if ((uint64_t)product < n) {
        /* 2^64 mod n of the low words would come once too often. */
        uint64_t surplus = -n % n;
        while ((uint64_t)product < surplus) product = (u128)prng_u64(p) * n;
    }
    return product >> 64;
}

bool prng_chance_ppm(struct prng *p, uint32_t ppm)
{
    return (uint64_t)((u128)prng_u64(p) * 1000000 >> 64) < ppm;
}

static uint64_t multiply_high(uint64_t a, uint64_t b)
{
    return (u128)a * b >> 64;
}

/* 2 atanh(num / den) for num / den below 0.1716; all in units of 2^-64, but `quarter_den` is den / 4. */
static uint64_t twice_atanh(uint64_t num, uint64_t quarter_den)
{
    /* The series z + z³/3 + z⁵/5 + …; each term is 1/34 of the one before, and z^25/25 is below 2^-64. */
    static const uint64_t reciprocal[] = {
        UINT64_MAX / 3,  UINT64_MAX / 5,  UINT64_MAX / 7,  UINT64_MAX / 9,  UINT64_MAX / 11, UINT64_MAX / 13,
        UINT64_MAX / 15, UINT64_MAX / 17, UINT64_MAX / 19, UINT64_MAX / 21, UINT64_MAX / 23,
    };
    uint64_t z = ((u128)num << 62) / quarter_den;
    uint64_t z2 = multiply_high(z, z);
    uint64_t sum = 0;

    for (int i = sizeof(reciprocal) / sizeof(reciprocal[0]) - 1; i >= 0; i--)
        sum = multiply_high(z2, reciprocal[i] + sum);
    return 2 * (z + multiply_high(z, sum));
}

void prng_neg_log(uint64_t bits, uint64_t *ret_whole, uint64_t *ret_fraction)
{
    u128 log = 0;

    if (bits) {
        /* 1 - u = m * 2^-shift with m in [1/2, 1). Near u = 0 nothing is subtracted, so small results stay
         * exact. */
        int shift = __builtin_clzll(-bits);
        uint64_t m = -bits << shift;

        if (m >= SQRT_HALF)
            log = (u128)LN_2 * shift + twice_atanh(-m, (UINT64_C(1) << 62) + (m >> 2));
        else
            log = (u128)LN_2 * (shift + 1) - twice_atanh(m << 1, (UINT64_C(1) << 62) + (m >> 1));
    }
    *ret_whole = log >> 64;
    *ret_fraction = (uint64_t)log;
}

nsec_t prng_exponential(struct prng *p, nsec_t mean)
{
    uint64_t whole, fraction;

    prng_neg_log(prng_u64(p), &whole, &fraction);
    return nsec_add(nsec_mul(mean, whole), ((u128)mean * fraction + (UINT64_C(1) << 63)) >> 64);
}
