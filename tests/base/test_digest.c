#include "sim/base/digest.h"
#include "sim/base/prng.h"
#include "tests/base/suite.h"

static const char *hex_of_words(const uint64_t *words, size_t n, char hex[DIGEST_HEX_LEN + 1])
{
    struct digest d;

    digest_init(&d);
    digest_words(&d, words, n);
    digest_hex(&d, hex);
    return hex;
}

/* These never change: digests stand in golden files. */
START_TEST(golden_digests)
{
    char hex[DIGEST_HEX_LEN + 1];
    struct digest d;

    ck_assert_str_eq(hex_of_words(NULL, 0, hex), "ec50a10806ad67ecfdec4cbb3061a10b");
    ck_assert_str_eq(hex_of_words((uint64_t[]){0}, 1, hex), "869818bae9bfb5596e9d06522198c481");
    ck_assert_str_eq(hex_of_words((uint64_t[]){1, 2, 3, 4, 5, 6, 7, 8, 9}, 9, hex),
                     "6d8b70194b15876c262e2a42cbfc4776");
    digest_init(&d);
    digest_bytes(&d, "windtunnel", 10);
    digest_hex(&d, hex);
    ck_assert_str_eq(hex, "1e9db6f77c1770f299c947a12ed39c0a");
}
END_TEST

START_TEST(the_grouping_of_words_does_not_matter)
{
    struct prng p = prng_stream(1, 0, "digest", 0, 0);
    uint64_t words[64];
    char whole[DIGEST_HEX_LEN + 1], parts[DIGEST_HEX_LEN + 1];

    for (int i = 0; i < 64; i++) words[i] = prng_u64(&p);
    for (int round = 0; round < 1000; round++) {
        struct digest d;
        size_t n = prng_below(&p, 65);

        digest_init(&d);
        for (size_t at = 0; at < n;) {
            size_t here = 1 + prng_below(&p, n - at);
            if (here == 1)
                digest_u64(&d, words[at]);
            else
                digest_words(&d, words + at, here);
            at += here;
        }
        digest_hex(&d, parts);
        ck_assert_str_eq(hex_of_words(words, n, whole), parts);
    }
}
END_TEST

START_TEST(each_bit_order_and_length_show)
{
    uint64_t words[9] = {0};
    uint64_t seen[9 * 64 + 10][2];
    size_t n = 0;

    for (size_t len = 0; len <= 9; len++) {
        struct digest d;
        digest_init(&d);
        digest_words(&d, words, len);
        digest_final(&d, seen[n++]);
    }
    for (int bit = 0; bit < 9 * 64; bit++) {
        struct digest d;
        words[bit / 64] ^= UINT64_C(1) << bit % 64;
        digest_init(&d);
        digest_words(&d, words, 9);
        digest_final(&d, seen[n++]);
        words[bit / 64] = 0;
    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++) MUST(seen[i][0] != seen[j][0] && seen[i][1] != seen[j][1]);
}
END_TEST

START_TEST(bytes_know_their_length)
{
    char a[DIGEST_HEX_LEN + 1], b[DIGEST_HEX_LEN + 1];
    struct digest d, e;

    digest_init(&d);
    digest_init(&e);
    digest_bytes(&d, "ab\0", 3);
    digest_bytes(&e, "ab", 2);
    digest_hex(&d, a);
    digest_hex(&e, b);
    ck_assert_str_ne(a, b);

    digest_init(&d);
    digest_init(&e);
    digest_bytes(&d, "abcdefgh\x01", 9);
    digest_words(&e, (uint64_t[]){9, UINT64_C(0x6867666564636261), 1}, 3);
    digest_hex(&d, a);
    digest_hex(&e, b);
    ck_assert_str_eq(a, b);
}
END_TEST

SUITE_MAIN("digest", golden_digests, the_grouping_of_words_does_not_matter, each_bit_order_and_length_show,
           bytes_know_their_length)
