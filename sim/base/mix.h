/*
 * 64-bit mixing, the ground under prng, intern and the calendar's shuffle. Not cryptographic.
 *
 * The results are part of what a seed means: they never change.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* 2^64 divided by the golden ratio, made odd: consecutive multiples are spread as evenly as can be. */
#define MIX_GOLDEN UINT64_C(0x9e3779b97f4a7c15)

/*
 * A bijection on 64 bits under which each input bit moves each output bit with a chance near one half.
 * Three xor-shifts around two odd multiplications; the constants are D. Stafford's "Mix13" (2011), found by
 * a search for the least bias. Maps 0 to 0.
 */
static inline uint64_t mix64(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* Chains a word onto a hash: order matters, zeros count, and for each `hash` it is a bijection of `word`. */
static inline uint64_t mix64_chain(uint64_t hash, uint64_t word)
{
    return mix64((hash + MIX_GOLDEN) ^ mix64(word + MIX_GOLDEN));
}

/* A hash of `len` bytes and their number, started from `hash`. Bytes are read as little-endian words, on
 * every machine. `bytes` may be NULL when `len` is 0. */
uint64_t mix_bytes(uint64_t hash, const void *bytes, size_t len);
