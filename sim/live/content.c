#include "sim/live/content.h"

#include <string.h>

#include "sim/base/prng.h"

/* 8 characters come from one 64-bit word: 6 bits of each byte choose one of 64 characters. */
static void word_text(uint64_t id, uint64_t word, char out[8])
{
    static const char alphabet[65] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    struct prng p = {.key = {id, ~id}, .counter = word};
    uint64_t bits = prng_u64(&p);

    for (int i = 0; i < 8; i++) out[i] = alphabet[bits >> (8 * i) & 63];
}

void content_fill(uint64_t id, uint64_t offset, char *out, size_t n)
{
    while (n) {
        char text[8];
        size_t skip = offset % 8;
        size_t take = 8 - skip < n ? 8 - skip : n;

        word_text(id, offset / 8, text);
        memcpy(out, text + skip, take);
        out += take;
        offset += take;
        n -= take;
    }
}

bool content_check(uint64_t id, uint64_t offset, const char *text, size_t n)
{
    while (n) {
        char expected[256];
        size_t take = n < sizeof expected ? n : sizeof expected;

        content_fill(id, offset, expected, take);
        if (memcmp(expected, text, take) != 0) return false;
        text += take;
        offset += take;
        n -= take;
    }
    return true;
}
