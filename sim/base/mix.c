#include "sim/base/mix.h"

/* Up to 8 bytes as a little-endian word; missing ones are zeros. */
static uint64_t load_le(const unsigned char *bytes, size_t len)
{
    uint64_t word = 0;

    for (size_t i = 0; i < len; i++) word |= (uint64_t)bytes[i] << (8 * i);
    return word;
}

uint64_t mix_bytes(uint64_t hash, const void *bytes, size_t len)
{
    const unsigned char *p = bytes;

    hash = mix64_chain(hash, len);
    for (; len >= 8; p += 8, len -= 8) hash = mix64_chain(hash, load_le(p, 8));
    return len ? mix64_chain(hash, load_le(p, len)) : hash;
}
