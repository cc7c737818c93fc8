#include "sim/base/prng.h"
#include "sim/base/utf8.h"
#include "tests/base/suite.h"

#include <string.h>

#define R "\xef\xbf\xbd"

static void check_repair(const char *text, size_t len, const char *expected)
{
    char out[UTF8_REPAIRED_MAX(64)];

    ck_assert_uint_le(len, 64);
    size_t n = utf8_repair(text, len, out);
    ck_assert_uint_eq(n, strlen(expected));
    ck_assert_mem_eq(out, expected, n);
    ck_assert_int_eq(utf8_valid(text, len), n == len && memcmp(text, out, n) == 0);
    ck_assert(utf8_valid(out, n));
    ck_assert_uint_eq(utf8_count(text, len), utf8_count(out, n));
}

#define REPAIR(text, expected) check_repair(text, sizeof(text) - 1, expected)

START_TEST(valid_text_stays)
{
    REPAIR("", "");
    REPAIR("plain ascii, longer than a word", "plain ascii, longer than a word");
    REPAIR("\xc2\x80\xdf\xbf", "\xc2\x80\xdf\xbf");
    REPAIR("\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf",
           "\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf");
    REPAIR("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf");
}
END_TEST

START_TEST(invalid_sequences_are_replaced_one_by_one)
{
    REPAIR("\x80", R);
    REPAIR("a\xff\xfe z", "a" R R " z");
    REPAIR("\xc0\xaf", R R);                         /* overlong */
    REPAIR("\xe0\x80\xaf", R R R);                   /* overlong */
    REPAIR("\xf0\x80\x80\xaf", R R R R);             /* overlong */
    REPAIR("\xf4\x90\x80\x80", R R R R);             /* above U+10FFFF */
    REPAIR("\xed\xa0\x80", R R R);                   /* a lone high surrogate */
    REPAIR("\xed\xbf\xbf", R R R);                   /* a lone low surrogate */
    REPAIR("\xed\xa0\xbd\xed\xb8\x80", R R R R R R); /* a pair, each encoded by itself */
    REPAIR("\xf0\x9f\x98x", R "x");                  /* cut: one for what could have become something */
    REPAIR("\xe2\x82", R);
    REPAIR("\xe2\x82\xe2\x82\xac", R "\xe2\x82\xac");
    /* The Unicode standard's own example, table 3-8. */
    REPAIR("\x61\xf1\x80\x80\xe1\x80\xc2\x62\x80\x63\x80\xbf\x64", "a" R R R "b" R "c" R R "d");
}
END_TEST

/* Encodes as the definition says, without looking at the decoder. */
static size_t encode(uint32_t c, char out[4])
{
    if (c < 0x80) return out[0] = c, 1;
    if (c < 0x800) return out[0] = 0xc0 | c >> 6, out[1] = 0x80 | (c & 63), 2;
    if (c < 0x10000)
        return out[0] = 0xe0 | c >> 12, out[1] = 0x80 | (c >> 6 & 63), out[2] = 0x80 | (c & 63), 3;
    out[0] = 0xf0 | c >> 18, out[1] = 0x80 | (c >> 12 & 63), out[2] = 0x80 | (c >> 6 & 63),
    out[3] = 0x80 | (c & 63);
    return 4;
}

START_TEST(every_code_point_decodes)
{
    for (uint32_t c = 0; c < 0x110000; c++) {
        char text[4];
        size_t len = encode(c, text);
        uint32_t decoded;
        bool surrogate = c >= 0xd800 && c < 0xe000;

        MUST(utf8_decode(text, len, &decoded) == (surrogate ? 1 : len));
        MUST(decoded == (surrogate ? UTF8_INVALID : c));
        for (size_t n = 0; n < len && !surrogate; n++) MUST(utf8_decode(text, n, &decoded) == 0);
    }
}
END_TEST

START_TEST(offsets_of_code_points)
{
    const char *text = "abcdefghij\xc3\xa9\xe2\x82\xac\xff\xf0\x9f\x98\x80z";
    size_t len = strlen(text), expected[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 16, 20, 21, 21};

    for (size_t n = 0; n < sizeof(expected) / sizeof(expected[0]); n++)
        MUST(utf8_offset(text, len, n) == expected[n]);
    ck_assert_uint_eq(utf8_offset(text, len, SIZE_MAX), len);
    ck_assert_uint_eq(utf8_offset(text, len, utf8_count(text, len)), len);
    ck_assert_uint_eq(utf8_offset("", 0, 0), 0);
}
END_TEST

/* Random bytes that look like UTF-8, cut into chunks at random: the same as in one piece. */
START_TEST(chunks_do_not_show)
{
    static const char bytes[] = "a\x80\xbf\xc2\xe0\xe2\xed\xf0\xf1\xf4\xff\x90\x9f\xa0z\x8f";
    struct prng p = prng_stream(1, 0, "utf8", 0, 0);

    for (int round = 0; round < 100000; round++) {
        char text[24], whole[UTF8_REPAIRED_MAX(24)], parts[UTF8_REPAIRED_MAX(24) + UTF8_REPAIRED_MAX(24)];
        size_t len = prng_below(&p, 25), at = 0, n = 0;
        struct utf8_stream s = {0};

        for (size_t i = 0; i < len; i++) text[i] = bytes[prng_below(&p, 16)];
        size_t expected = utf8_repair(text, len, whole);
        do {
            size_t here = prng_below(&p, len - at + 1);
            char out[UTF8_REPAIRED_MAX(24)];
            struct utf8_stream dry = s;
            bool last = at + here == len;
            size_t written = utf8_repair_chunk(&s, text + at, here, last, out);

            MUST(written <= UTF8_REPAIRED_MAX(here));
            MUST(utf8_repair_chunk(&dry, text + at, here, last, NULL) == written);
            memcpy(parts + n, out, written);
            n += written;
            at += here;
        } while (at < len);
        MUST(n == expected);
        ck_assert_mem_eq(parts, whole, n);
        MUST(s.count == utf8_count(text, len));
        MUST((s.replaced == 0) == utf8_valid(text, len));
        MUST(s.held_len == 0);
    }
}
END_TEST

SUITE_MAIN("utf8", valid_text_stays, invalid_sequences_are_replaced_one_by_one, every_code_point_decodes,
           offsets_of_code_points, chunks_do_not_show)
