#include "sim/base/nsec.h"
#include "tests/base/suite.h"

START_TEST(sums_saturate_at_never)
{
    ck_assert_uint_eq(nsec_add(1, 2), 3);
    ck_assert_uint_eq(nsec_add(NSEC_MAX - 1, 1), NSEC_MAX);
    ck_assert_uint_eq(nsec_add(NSEC_MAX - 1, 2), NSEC_MAX);
    ck_assert_uint_eq(nsec_add(NSEC_MAX, NSEC_MAX), NSEC_MAX);
}
END_TEST

START_TEST(differences_end_at_zero)
{
    ck_assert_uint_eq(nsec_sub0(3, 2), 1);
    ck_assert_uint_eq(nsec_sub0(2, 3), 0);
    ck_assert_uint_eq(nsec_sub0(NSEC_MAX, 3), NSEC_MAX);
    ck_assert_uint_eq(nsec_sub0(NSEC_MAX, NSEC_MAX), 0);
}
END_TEST

START_TEST(products_saturate_at_never)
{
    ck_assert_uint_eq(nsec_mul(NSEC_PER_MS, 1000), NSEC_PER_S);
    ck_assert_uint_eq(nsec_mul(NSEC_MAX / 2, 2), NSEC_MAX - 1);
    ck_assert_uint_eq(nsec_mul(NSEC_MAX / 2 + 1, 2), NSEC_MAX);
    ck_assert_uint_eq(nsec_mul(NSEC_MAX, 0), 0);
}
END_TEST

START_TEST(the_earlier_and_the_later)
{
    ck_assert_uint_eq(nsec_min(1, NSEC_MAX), 1);
    ck_assert_uint_eq(nsec_max(1, NSEC_MAX), NSEC_MAX);
}
END_TEST

START_TEST(rounding_up)
{
    ck_assert_uint_eq(nsec_round_up(0, NSEC_PER_S), 0);
    ck_assert_uint_eq(nsec_round_up(1, NSEC_PER_S), NSEC_PER_S);
    ck_assert_uint_eq(nsec_round_up(NSEC_PER_S, NSEC_PER_S), NSEC_PER_S);
    ck_assert_uint_eq(nsec_round_up(NSEC_MAX - 1, NSEC_PER_S), NSEC_MAX);
    ck_assert_uint_eq(nsec_round_up(NSEC_MAX, NSEC_PER_S), NSEC_MAX);
}
END_TEST

SUITE_MAIN("nsec", rounding_up, sums_saturate_at_never, differences_end_at_zero, products_saturate_at_never,
           the_earlier_and_the_later)
