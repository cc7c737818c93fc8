#include "sim/base/prng.h"
#include "sim/record/payload.h"
#include "tests/record/suite.h"

#include <errno.h>
#include <string.h>

static struct histogram h, back;
static uint8_t bytes[PAYLOAD_SIZE_MAX];

/* Cells in clumps, single gaps, wide gaps, counts of all sizes. */
static void fill(struct prng *p)
{
    histogram_init(&h);
    for (uint64_t n = prng_below(p, 300); n > 0; n--) {
        nsec_t v = prng_below(p, HISTOGRAM_HIGHEST_NS >> prng_below(p, 35));

        histogram_record_many(&h, v, 1 + (prng_u64(p) >> (10 + prng_below(p, 54))));
        if (prng_below(p, 2)) histogram_record(&h, v < HISTOGRAM_HIGHEST_NS / 2 ? 2 * v : v);
    }
}

START_TEST(empty)
{
    static const uint8_t head[PAYLOAD_HEAD_SIZE] = {
        0x1c, 0x84, 0x93, 0x13, 0, 0, 0, 0,    0,    0,    0,    0, 0,    0,    0, 3, 0, 0, 0, 0,
        0,    0,    3,    0xe8, 0, 0, 3, 0x46, 0x30, 0xb8, 0xa0, 0, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0,
    };

    histogram_init(&h);
    ck_assert_int_eq(payload_encode(&h, bytes, sizeof(bytes)), PAYLOAD_HEAD_SIZE);
    ck_assert_mem_eq(bytes, head, sizeof(head));
    ck_assert_int_eq(payload_decode(bytes, PAYLOAD_HEAD_SIZE, &back), 0);
    ck_assert_uint_eq(back.count, 0);
}
END_TEST

START_TEST(counts_are_zigzag_with_runs)
{
    /* Cells 0, 2 and 130: count 1, one empty cell, count 64, 127 empty cells, count 2^62. */
    static const uint8_t counts[] = {2,    0,    0x80, 1,    0xfd, 1,    0x80, 0x80,
                                     0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80};

    histogram_init(&h);
    histogram_record(&h, 0);
    histogram_record_many(&h, 1024, 64);
    histogram_record_many(&h, 130 * 512, UINT64_C(1) << 62);
    ck_assert_int_eq(payload_encode(&h, bytes, sizeof(bytes)), PAYLOAD_HEAD_SIZE + sizeof(counts));
    ck_assert_uint_eq(bytes[7], sizeof(counts));
    ck_assert_mem_eq(bytes + PAYLOAD_HEAD_SIZE, counts, sizeof(counts));
}
END_TEST

START_TEST(round_trip)
{
    struct prng p = prng_stream(1, 0, "payload", 0, 0);

    for (int round = 0; round < 500; round++) {
        int64_t n;

        fill(&p);
        n = payload_encode(&h, bytes, sizeof(bytes));
        ck_assert_int_gt(n, 0);
        ck_assert_int_eq(payload_decode(bytes, n, &back), 0);
        ck_assert_uint_eq(back.count, h.count);
        ck_assert_mem_eq(back.cells, h.cells, sizeof(h.cells));
        if (h.count == 0) continue;
        ck_assert_uint_eq(histogram_index(back.min_ns), histogram_index(h.min_ns));
        ck_assert_uint_eq(histogram_index(back.max_ns), histogram_index(h.max_ns));
        for (uint32_t q = 0; q <= 1000000; q += 50000)
            ck_assert_uint_eq(histogram_quantile(&back, q), histogram_quantile(&h, q));
    }
}
END_TEST

START_TEST(the_fullest_histogram_fits)
{
    histogram_init(&h);
    for (uint32_t i = 0; i <= histogram_index(HISTOGRAM_HIGHEST_NS); i++)
        histogram_record_many(&h, histogram_lowest_of(i), UINT64_C(1) << 49);
    ck_assert_int_gt(payload_encode(&h, bytes, sizeof(bytes)), 0);
    ck_assert_int_eq(payload_encode(&h, bytes, 5000), -ENOBUFS);
    ck_assert_int_eq(payload_encode(&h, bytes, PAYLOAD_HEAD_SIZE - 1), -ENOBUFS);
}
END_TEST

START_TEST(adding_is_merging)
{
    struct prng p = prng_stream(2, 0, "payload", 0, 0);
    int64_t n;

    histogram_init(&back);
    fill(&p);
    n = payload_encode(&h, bytes, sizeof(bytes));
    ck_assert_int_eq(payload_add(bytes, n, &back), 0);
    ck_assert_int_eq(payload_add(bytes, n, &back), 0);
    ck_assert_uint_eq(back.count, 2 * h.count);
    for (uint32_t i = 0; i < HISTOGRAM_CELLS; i++) ck_assert_uint_eq(back.cells[i], 2 * h.cells[i]);
}
END_TEST

START_TEST(anything_else_is_refused)
{
    struct prng p = prng_stream(3, 0, "payload", 0, 0);
    int64_t n;

    histogram_init(&h);
    for (int i = 0; i < 100; i++) histogram_record(&h, prng_below(&p, HISTOGRAM_HIGHEST_NS));
    n = payload_encode(&h, bytes, sizeof(bytes));
    for (int64_t cut = 0; cut < n; cut++) ck_assert_int_eq(payload_decode(bytes, cut, &back), -EPROTO);
    ck_assert_int_eq(payload_decode(bytes, n + 1, &back), -EPROTO);
    for (int i = 0; i < PAYLOAD_HEAD_SIZE; i++) {
        bytes[i] ^= 0x20;
        ck_assert_int_eq(payload_decode(bytes, n, &back), -EPROTO);
        bytes[i] ^= 0x20;
    }
    ck_assert_int_eq(payload_decode(bytes, n, &back), 0);
}
END_TEST

/* A head for the counts that follow, with their length. */
static int decode_counts(const uint8_t *counts, size_t n)
{
    histogram_init(&h);
    ck_assert_int_eq(payload_encode(&h, bytes, sizeof(bytes)), PAYLOAD_HEAD_SIZE);
    bytes[7] = (uint8_t)n;
    memcpy(bytes + PAYLOAD_HEAD_SIZE, counts, n);
    return payload_decode(bytes, PAYLOAD_HEAD_SIZE + n, &back);
}

START_TEST(counts_that_cannot_be)
{
    static const uint8_t most_negative[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    static const uint8_t past_the_end[] = {0xff, 0xff, 0x03, 2}; /* 32,768 empty cells */
    static const uint8_t unfinished[] = {0x80};
    /* Three times 2^63 - 1. */
    static const uint8_t too_many[] = {0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                       0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                       0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    static const uint8_t fine[] = {2, 1, 2};

    ck_assert_int_eq(decode_counts(most_negative, sizeof(most_negative)), -EPROTO);
    ck_assert_int_eq(decode_counts(past_the_end, sizeof(past_the_end)), -EPROTO);
    ck_assert_int_eq(decode_counts(unfinished, sizeof(unfinished)), -EPROTO);
    ck_assert_int_eq(decode_counts(too_many, sizeof(too_many)), -EPROTO);
    ck_assert_int_eq(decode_counts(fine, sizeof(fine)), 0);
    ck_assert_uint_eq(back.cells[0], 1);
    ck_assert_uint_eq(back.cells[2], 1);
}
END_TEST

START_TEST(noise_never_harms)
{
    struct prng p = prng_stream(4, 0, "noise", 0, 0);

    for (int round = 0; round < 3000; round++) {
        uint8_t counts[200];
        size_t n = prng_below(&p, sizeof(counts));

        for (size_t i = 0; i < n; i++) counts[i] = (uint8_t)prng_u64(&p);
        decode_counts(counts, n);
    }
}
END_TEST

int main(void)
{
    return run_suite("payload",
                     TESTS(empty, counts_are_zigzag_with_runs, round_trip, the_fullest_histogram_fits,
                           adding_is_merging, anything_else_is_refused, counts_that_cannot_be,
                           noise_never_harms),
                     NO_TESTS);
}
