/*
 * A rolling 128-bit digest over 64-bit words, for telling whether two runs did the same. Not cryptographic.
 *
 * Defined on words, so endianness does not matter; words in one call or in many give the same digest; the
 * order and the number of words count. The definition never changes: digests stand in golden files.
 *
 * Four lanes take the words in turn. A step is a bijection of the lane for each word and of the word for each
 * lane, so a single changed word always shows.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct digest {
    uint64_t lane[4];
    uint64_t count; /* words so far */
};

#define DIGEST_HEX_LEN 32

static inline uint64_t digest_step(uint64_t lane, uint64_t word)
{
    lane ^= word * UINT64_C(0xbf58476d1ce4e5b9);
    return ((lane << 29) | (lane >> 35)) * UINT64_C(0x94d049bb133111eb);
}

/* The digest of nothing. */
void digest_init(struct digest *d);

/* Adds one word. */
static inline void digest_u64(struct digest *d, uint64_t word)
{
    uint64_t *lane = &d->lane[d->count++ & 3];

    *lane = digest_step(*lane, word);
}

/* Adds `n` words: the same as `n` times digest_u64(), faster. */
void digest_words(struct digest *d, const uint64_t *words, size_t n);
/* Adds four words: the same again, inline. Fast where the words so far are a multiple of four. */
static inline void digest_quad(struct digest *d, uint64_t a, uint64_t b, uint64_t c, uint64_t e)
{
    if (d->count & 3) {
        digest_words(d, (const uint64_t[]){a, b, c, e}, 4);
        return;
    }
    d->lane[0] = digest_step(d->lane[0], a);
    d->lane[1] = digest_step(d->lane[1], b);
    d->lane[2] = digest_step(d->lane[2], c);
    d->lane[3] = digest_step(d->lane[3], e);
    d->count += 4;
}

/* Adds bytes: their number, then little-endian words, the last one filled up with zeros. */
void digest_bytes(struct digest *d, const void *bytes, size_t len);

/* The digest so far; more words may follow. */
void digest_final(const struct digest *d, uint64_t ret_digest[2]);
/* The same as 32 lowercase hex digits and a NUL. */
void digest_hex(const struct digest *d, char ret_hex[DIGEST_HEX_LEN + 1]);
