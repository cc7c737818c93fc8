#include "sim/base/digest.h"

#include "sim/base/mix.h"

void digest_init(struct digest *d)
{
    *d = (struct digest){{MIX_GOLDEN, 2 * MIX_GOLDEN, 3 * MIX_GOLDEN, 4 * MIX_GOLDEN}, 0};
}

void digest_words(struct digest *d, const uint64_t *words, size_t n)
{
    for (; n && d->count & 3; n--) digest_u64(d, *words++);

    uint64_t a = d->lane[0], b = d->lane[1], c = d->lane[2], e = d->lane[3];
    d->count += n & ~(size_t)3;
    for (; n >= 4; n -= 4, words += 4) {
        a = digest_step(a, words[0]);
        b = digest_step(b, words[1]);
        c = digest_step(c, words[2]);
        e = digest_step(e, words[3]);
    }
    d->lane[0] = a, d->lane[1] = b, d->lane[2] = c, d->lane[3] = e;
    while (n--) digest_u64(d, *words++);
}

void digest_bytes(struct digest *d, const void *bytes, size_t len)
{
    const unsigned char *p = bytes;

    digest_u64(d, len);
    while (len) {
        size_t here = len < 8 ? len : 8;
        uint64_t word = 0;

        for (size_t i = 0; i < here; i++) word |= (uint64_t)p[i] << (8 * i);
        digest_u64(d, word);
        p += here;
        len -= here;
    }
}

void digest_final(const struct digest *d, uint64_t ret_digest[2])
{
    uint64_t low = d->count, high = ~d->count;

    for (int i = 0; i < 4; i++) {
        low = mix64_chain(low, d->lane[i]);
        high = mix64_chain(high, d->lane[3 - i]);
    }
    ret_digest[0] = low;
    ret_digest[1] = high;
}

void digest_hex(const struct digest *d, char ret_hex[DIGEST_HEX_LEN + 1])
{
    uint64_t word[2];

    digest_final(d, word);
    for (int i = 0; i < DIGEST_HEX_LEN; i++)
        ret_hex[i] = "0123456789abcdef"[word[i / 16] >> (60 - i % 16 * 4) & 15];
    ret_hex[DIGEST_HEX_LEN] = '\0';
}
