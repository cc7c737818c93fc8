#include "sim/base/crc32.h"
#include "sim/base/prng.h"
#include "tests/base/suite.h"

#include <string.h>

/* Bit by bit, as the polynomial defines it. */
static uint32_t slowly(const unsigned char *bytes, size_t len)
{
    uint32_t sum = UINT32_MAX;

    for (size_t i = 0; i < len; i++) {
        sum ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) sum = sum >> 1 ^ (sum & 1 ? UINT32_C(0x82f63b78) : 0);
    }
    return ~sum;
}

START_TEST(published_values)
{
    unsigned char zeros[32] = {0}, ones[32], up[32];

    memset(ones, 0xff, 32);
    for (int i = 0; i < 32; i++) up[i] = i;
    ck_assert_uint_eq(crc32c(0, "123456789", 9), 0xe3069283);
    /* RFC 3720, appendix B.4. */
    ck_assert_uint_eq(crc32c(0, zeros, 32), 0x8a9136aa);
    ck_assert_uint_eq(crc32c(0, ones, 32), 0x62a8ab43);
    ck_assert_uint_eq(crc32c(0, up, 32), 0x46dd794e);
    ck_assert_uint_eq(crc32c(0, NULL, 0), 0);
}
END_TEST

START_TEST(agrees_with_the_definition_in_any_pieces)
{
    struct prng p = prng_stream(1, 0, "crc", 0, 0);
    unsigned char bytes[1000];

    for (size_t i = 0; i < sizeof(bytes); i++) bytes[i] = prng_u64(&p);
    for (size_t len = 0; len <= sizeof(bytes); len++) {
        size_t cut = prng_below(&p, len + 1);
        ck_assert_uint_eq(crc32c(0, bytes, len), slowly(bytes, len));
        ck_assert_uint_eq(crc32c(crc32c(0, bytes, cut), bytes + cut, len - cut), slowly(bytes, len));
    }
}
END_TEST

SUITE_MAIN("crc32", published_values, agrees_with_the_definition_in_any_pieces)
