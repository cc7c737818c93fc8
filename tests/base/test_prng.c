#include "sim/base/prng.h"
#include "tests/base/suite.h"

#include <math.h>
#include <string.h>

/* These never change: all golden results rest on them. */
START_TEST(golden_numbers)
{
    struct prng p = prng_stream(42, 3, "clients", 7, 1);

    ck_assert_uint_eq(mix64(1), UINT64_C(0x5692161d100b05e5));
    ck_assert_uint_eq(mix_bytes(0, "windtunnel", 10), UINT64_C(0xc04da3e2a0f566fd));
    ck_assert_uint_eq(mix_bytes(0, "", 0), UINT64_C(0x0397ab29740681d9));
    ck_assert_uint_eq(prng_key(42, 3, "clients"), UINT64_C(0xd44cec0c02fc21c6));
    ck_assert_uint_eq(prng_u64(&p), UINT64_C(0x9b0da4bd57b9fca0));
    ck_assert_uint_eq(prng_u64(&p), UINT64_C(0x810356fb304e1ea9));
    ck_assert_uint_eq(prng_below(&p, 1000000), 23828);
    ck_assert_uint_eq(prng_exponential(&p, NSEC_PER_S), 4548807365);
    ck_assert_uint_eq(prng_exponential(&p, NSEC_PER_S), 1031973975);
}
END_TEST

START_TEST(a_copy_draws_the_same)
{
    struct prng p = prng_derive(prng_key(1, 0, "x"), 2, 3);
    struct prng q = p;

    prng_u64(&p);
    for (int i = 0; i < 10; i++) prng_u64(&p);
    for (int i = 0; i < 11; i++) prng_u64(&q);
    ck_assert_uint_eq(prng_u64(&p), prng_u64(&q));
}
END_TEST

START_TEST(each_part_of_the_name_counts)
{
    struct prng streams[] = {
        prng_stream(1, 2, "name", 3, 4), prng_stream(2, 2, "name", 3, 4),  prng_stream(1, 3, "name", 3, 4),
        prng_stream(1, 2, "nam", 3, 4),  prng_stream(1, 2, "name2", 3, 4), prng_stream(1, 2, "name", 4, 4),
        prng_stream(1, 2, "name", 3, 5), prng_stream(1, 2, "name", 4, 3),  prng_stream(2, 1, "name", 3, 4),
        prng_stream(0, 0, "", 0, 0),
    };
    size_t n = sizeof(streams) / sizeof(streams[0]);

    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++) {
            MUST(streams[i].key[0] != streams[j].key[0]);
            MUST(streams[i].key[1] != streams[j].key[1]);
        }
}
END_TEST

/* Chi-square of 256 cells; 255 degrees of freedom: below 400 but for one in 10^8. */
static double chi_square(const unsigned counts[256], unsigned n)
{
    double expected = n / 256.0, sum = 0;

    for (int i = 0; i < 256; i++) sum += (counts[i] - expected) * (counts[i] - expected) / expected;
    return sum;
}

/* Each byte of a draw, along one stream, and along the first draws of neighbouring streams. */
START_TEST(bytes_are_uniform_within_and_across_streams)
{
    enum { N = 1 << 17 };
    uint64_t key = prng_key(5, 0, "bytes");

    for (int across = 0; across < 3; across++)
        for (int shift = 0; shift < 64; shift += 8) {
            unsigned counts[256] = {0}, pairs[256] = {0};
            struct prng p = prng_derive(key, 0, 0);
            unsigned before = 0;

            for (unsigned i = 0; i < N; i++) {
                if (across == 1) p = prng_derive(key, i, 0);
                if (across == 2) p = prng_derive(key, 0, i);
                unsigned byte = prng_u64(&p) >> shift & 255;
                counts[byte]++;
                pairs[(byte ^ before * 5) & 255]++;
                before = byte;
            }
            ck_assert_double_lt(chi_square(counts, N), 400);
            ck_assert_double_lt(chi_square(pairs, N), 400);
        }
}
END_TEST

/* Flipping one bit of an ordinal, a counter or a seed flips each output bit about every other time. */
START_TEST(each_input_bit_moves_each_output_bit)
{
    enum { N = 4096 };

    for (int what = 0; what < 3; what++)
        for (int bit = 0; bit < 64; bit++) {
            unsigned flips[64] = {0};

            for (unsigned i = 0; i < N; i++) {
                uint64_t x = mix64(i + 1), y = x ^ UINT64_C(1) << bit;
                struct prng p = {{11, 22}, x}, q = {{11, 22}, y};
                if (what == 1) p = prng_derive(x, 1, 1), q = prng_derive(y, 1, 1);
                if (what == 2) p = prng_derive(1, x, 1), q = prng_derive(1, y, 1);
                uint64_t difference = prng_u64(&p) ^ prng_u64(&q);
                for (int out = 0; out < 64; out++) flips[out] += difference >> out & 1;
            }
            /* 2,048 ± 32: seven deviations, with 12,288 cells looked at. */
            for (int out = 0; out < 64; out++) MUST(flips[out] > 2048 - 224 && flips[out] < 2048 + 224);
        }
}
END_TEST

START_TEST(below_is_in_range_and_even)
{
    struct prng p = prng_stream(9, 0, "below", 0, 0);
    unsigned counts[256] = {0};
    uint64_t big = UINT64_C(3) << 62;
    unsigned in_first_third = 0;

    for (int i = 0; i < 1000; i++) MUST(prng_below(&p, 1) == 0);
    for (int i = 0; i < 1 << 17; i++) counts[prng_below(&p, 256)]++;
    ck_assert_double_lt(chi_square(counts, 1 << 17), 400);
    /* Without the rejection, the first third of three quarters of 2^64 would get one half. */
    for (int i = 0; i < 30000; i++) {
        uint64_t x = prng_below(&p, big);
        MUST(x < big);
        in_first_third += x % 3 == 0;
    }
    ck_assert(in_first_third > 9500 && in_first_third < 10500);
    for (int i = 0; i < 1000; i++) MUST(prng_below(&p, UINT64_MAX) < UINT64_MAX);
}
END_TEST

START_TEST(a_chance_takes_one_draw_and_is_monotone)
{
    unsigned hits = 0;

    for (unsigned i = 0; i < 200000; i++) {
        struct prng p = prng_derive(77, i, 0), q = p, r = p, s = p;
        bool low = prng_chance_ppm(&p, 250000), high = prng_chance_ppm(&q, 300000);

        hits += low;
        MUST(!low || high);
        MUST(!prng_chance_ppm(&r, 0));
        MUST(prng_chance_ppm(&s, 1000000));
        MUST(p.counter == 1);
        MUST(r.counter == 1);
    }
    ck_assert(hits > 49000 && hits < 51000);
}
END_TEST

/* -ln(1 - u) by libm's long double, which has the same 64 bits of mantissa. */
static long double neg_log(uint64_t bits)
{
    return -log1pl(-ldexpl(bits, -64));
}

static void check_neg_log(uint64_t bits)
{
    uint64_t whole, fraction;

    prng_neg_log(bits, &whole, &fraction);
    long double is = whole + ldexpl(fraction, -64), should = neg_log(bits);
    long double error = fabsl(is - should);

    if (error > ldexpl(1, -58) || (bits > UINT64_C(1) << 26 && error > 1e-7L * should))
        ck_abort_msg("off by %Lg at %llx", error, (unsigned long long)bits);
}

START_TEST(the_logarithm_is_within_its_bound)
{
    struct prng p = prng_stream(3, 0, "log", 0, 0);

    check_neg_log(0);
    for (int shift = 0; shift < 64; shift++)
        for (int i = 0; i < 2000; i++) {
            check_neg_log(prng_u64(&p) >> shift);
            check_neg_log(~(prng_u64(&p) >> shift));
        }
    /* Around the seams between the two ways of reducing. */
    for (int shift = 0; shift < 60; shift++)
        for (int64_t d = -100; d <= 100; d++) {
            check_neg_log(-(UINT64_C(0xb504f333f9de6484) >> shift) + d);
            check_neg_log(-(UINT64_MAX >> shift) + d);
        }
}
END_TEST

START_TEST(exponential_has_its_moments_and_tail)
{
    enum { N = 1000000 };
    struct prng p = prng_stream(4, 0, "exp", 0, 0);
    double sum = 0, squares = 0;
    unsigned late = 0;

    for (int i = 0; i < N; i++) {
        double x = (double)prng_exponential(&p, 1000000);
        sum += x;
        squares += x * x;
        late += x > 3000000;
    }
    ck_assert_double_eq_tol(sum / N, 1e6, 5e3);
    ck_assert_double_eq_tol(squares / N, 2e12, 4e10);
    ck_assert_double_eq_tol((double)late / N, 0.049787, 0.0015);
}
END_TEST

START_TEST(exponential_at_the_ends)
{
    for (unsigned i = 0; i < 1000; i++) {
        struct prng p = prng_derive(1, i, 0), q = p, r = p;

        MUST(prng_exponential(&p, 0) == 0);
        MUST(prng_exponential(&q, NSEC_PER_S) <= 45 * NSEC_PER_S);
        /* Above the mean it saturates. */
        MUST(prng_exponential(&r, NSEC_MAX) <= NSEC_MAX);
        MUST(p.counter == 1);
    }
}
END_TEST

SUITE_MAIN("prng", golden_numbers, a_copy_draws_the_same, each_part_of_the_name_counts,
           bytes_are_uniform_within_and_across_streams, each_input_bit_moves_each_output_bit,
           below_is_in_range_and_even, a_chance_takes_one_draw_and_is_monotone,
           the_logarithm_is_within_its_bound, exponential_has_its_moments_and_tail, exponential_at_the_ends)
