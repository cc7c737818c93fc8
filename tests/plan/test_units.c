/* Numbers with units: exact, and back. */
#include "sim/plan/units.h"
#include "tests/plan/plan_test.h"

typedef const char *(*reader)(const char *, uint64_t *);

static const struct {
    reader read;
    enum unit_kind kind;
    const char *text;
    uint64_t value;
    const char *shown; /* NULL: as read */
} good[] = {
    {units_duration, UNIT_DURATION, "0s", 0, NULL},
    {units_duration, UNIT_DURATION, "0ms", 0, "0s"},
    {units_duration, UNIT_DURATION, "300ms", 300000000, NULL},
    {units_duration, UNIT_DURATION, "1.5s", 1500000000, "1500ms"},
    {units_duration, UNIT_DURATION, "1.000000001s", 1000000001, "1000000001ns"},
    {units_duration, UNIT_DURATION, "0.000001h", 3600000, "3600us"},
    {units_duration, UNIT_DURATION, "2min", 120000000000, NULL},
    {units_duration, UNIT_DURATION, "48h", 172800000000000, NULL},
    {units_duration, UNIT_DURATION, "007ns", 7, "7ns"},
    {units_size, UNIT_SIZE, "64KiB", 65536, NULL},
    {units_size, UNIT_SIZE, "1.5MB", 1500000, "1500kB"},
    {units_size, UNIT_SIZE, "1GiB", 1073741824, NULL},
    {units_size, UNIT_SIZE, "0B", 0, NULL},
    {units_bandwidth, UNIT_BANDWIDTH, "unlimited", 0, NULL},
    {units_bandwidth, UNIT_BANDWIDTH, "100MB/s", 100000000, NULL},
    {units_bandwidth, UNIT_BANDWIDTH, "1Gbit/s", 125000000, "125MB/s"},
    {units_bandwidth, UNIT_BANDWIDTH, "7B/s", 7, NULL},
    {units_rate, UNIT_RATE, "8/s", 28800, NULL},
    {units_rate, UNIT_RATE, "0.5/s", 1800, "30/min"},
    {units_rate, UNIT_RATE, "100/h", 100, NULL},
    {units_rate, UNIT_RATE, "0/s", 0, "0/h"},
    {units_share, UNIT_SHARE, "0.5%", 5000, NULL},
    {units_share, UNIT_SHARE, "100%", 1000000, NULL},
    {units_share, UNIT_SHARE, "0.0001%", 1, NULL},
    {units_price, UNIT_PRICE, "$0.0000142", 14200, NULL},
    {units_price, UNIT_PRICE, "$0.00002643", 26430, NULL},
    {units_price, UNIT_PRICE, "$12", 12000000000, NULL},
    {units_percentile, UNIT_NONE, "99.9", 999000, "999000"},
    {units_percentile, UNIT_NONE, "50", 500000, "500000"},
};

START_TEST(test_good)
{
    uint64_t value = 1;
    char shown[48];

    ck_assert_ptr_null(good[_i].read(good[_i].text, &value));
    ck_assert_uint_eq(value, good[_i].value);
    units_format(good[_i].kind, value, shown, sizeof(shown));
    ck_assert_str_eq(shown, good[_i].shown ? good[_i].shown : good[_i].text);
}
END_TEST

static const struct {
    reader read;
    const char *text;
} wrong[] = {
    {units_duration, ""},
    {units_duration, "s"},
    {units_duration, "1"},
    {units_duration, "1 s"},
    {units_duration, " 1s"},
    {units_duration, "+1s"},
    {units_duration, "-1s"},
    {units_duration, "1e3s"},
    {units_duration, ".5s"},
    {units_duration, "1.s"},
    {units_duration, "1.5.5s"},
    {units_duration, "0x10s"},
    {units_duration, "1S"},
    {units_duration, "1m"},
    {units_duration, "0.5ns"},
    {units_duration, "inf"},
    {units_duration, "9999999999s"},
    {units_duration, "1s\n"},
    {units_size, "1"},
    {units_size, "1kb"},
    {units_size, "0.5B"},
    {units_bandwidth, "0B/s"},
    {units_bandwidth, "1MB"},
    {units_bandwidth, "1bit/s"},
    {units_bandwidth, "0.001kbit/s"},
    {units_rate, "1"},
    {units_rate, "1/d"},
    {units_rate, "0.0001/s"},
    {units_share, "0.5"},
    {units_share, "0.00001%"},
    {units_price, "1"},
    {units_price, "$"},
    {units_price, "$1USD"},
    {units_price, "$0.0000000001"},
    {units_percentile, ""},
    {units_percentile, "99,9"},
    {units_duration, "100000000000000000000000s"},
    {units_duration, "0.0000000000000000000001s"},
};

START_TEST(test_wrong)
{
    uint64_t value = 77;

    ck_assert_ptr_nonnull(wrong[_i].read(wrong[_i].text, &value));
    ck_assert_uint_eq(value, 77);
}
END_TEST

/* Whatever is formatted is read back as the same. */
START_TEST(test_back)
{
    static const struct {
        enum unit_kind kind;
        reader read;
    } kinds[] = {{UNIT_DURATION, units_duration},   {UNIT_SIZE, units_size},
                 {UNIT_BANDWIDTH, units_bandwidth}, {UNIT_RATE, units_rate},
                 {UNIT_SHARE, units_share},         {UNIT_PRICE, units_price}};
    uint64_t x = 88172645463325252u, value;
    char text[48];

    for (int i = 0; i < 20000; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        value = (x >> 8) >> (x % 50);
        units_format(kinds[_i].kind, value, text, sizeof(text));
        x ^= value;
        uint64_t again = ~value;
        const char *why = kinds[_i].read(text, &again);
        ck_assert_msg(!why, "%s %s", text, why);
        ck_assert_uint_eq(again, value);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("units");
    TCase *tc = tcase_create("all");

    tcase_add_loop_test(tc, test_good, 0, sizeof(good) / sizeof(good[0]));
    tcase_add_loop_test(tc, test_wrong, 0, sizeof(wrong) / sizeof(wrong[0]));
    tcase_add_loop_test(tc, test_back, 0, 6);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
