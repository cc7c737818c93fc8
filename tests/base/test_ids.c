#include "sim/base/ids.h"
#include "tests/base/suite.h"

#include <string.h>

START_TEST(there_and_back)
{
    uint64_t values[] = {0, 1, UINT64_C(0x0123456789abcdef), UINT64_C(0xfedcba9876543210), UINT64_MAX};

    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        char text[ID_SIZE];
        uint64_t value = 5;
        size_t len = id_format(text, "sesn_", values[i]);

        ck_assert_uint_eq(len, strlen(text));
        ck_assert_uint_eq(len, 21);
        ck_assert(id_parse(text, len, "sesn_", &value));
        ck_assert_uint_eq(value, values[i]);
    }
}
END_TEST

START_TEST(as_it_stands_on_the_wire)
{
    char text[ID_SIZE];

    id_format(text, "sesn_", UINT64_C(0x0123456789abcdef));
    ck_assert_str_eq(text, "sesn_0123456789abcdef");
    ck_assert_uint_eq(id_format(text, "", 10), 16);
    ck_assert_str_eq(text, "000000000000000a");
    ck_assert_uint_eq(id_format(text, "fifteen_bytes__", 0), ID_SIZE - 1);
}
END_TEST

START_TEST(nothing_else_parses)
{
    const char *wrong[] = {
        "",
        "sesn_",
        "sesn_0123456789abcde",
        "sesn_0123456789abcdef0",
        "sesn_0123456789ABCDEF",
        "sesn_0123456789abcdeg",
        "sesn_ 123456789abcdef",
        "sesn_+123456789abcdef",
        "work_0123456789abcdef",
        "sesn-0123456789abcdef",
        "0123456789abcdefsesn_",
    };
    uint64_t value = 5;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        ck_assert_msg(!id_parse(wrong[i], strlen(wrong[i]), "sesn_", &value), "%s", wrong[i]);
    ck_assert(!id_parse("sesn_0123456789abcde\0", 21, "sesn_", &value));
    ck_assert_uint_eq(value, 5);
}
END_TEST

SUITE_MAIN("ids", there_and_back, as_it_stands_on_the_wire, nothing_else_parses)
