#include "sim/base/cleanup.h"
#include "sim/base/str.h"
#include "tests/base/suite.h"

#include <errno.h>
#include <string.h>

START_TEST(appends_of_all_kinds)
{
    CLEANUP(str_deinit) struct str s = STR_INIT(1000);

    ck_assert_str_eq(str_text(&s), "");
    ck_assert_int_eq(str_puts(&s, "a"), 0);
    ck_assert_int_eq(str_putc(&s, 'b'), 0);
    ck_assert_int_eq(str_append(&s, "cde", 2), 0);
    ck_assert_int_eq(str_append(&s, NULL, 0), 0);
    ck_assert_int_eq(str_appendf(&s, "%d-%s", 7, "x"), 0);
    ck_assert_int_eq(str_put_u64(&s, 0), 0);
    ck_assert_int_eq(str_put_u64(&s, UINT64_MAX), 0);
    ck_assert_str_eq(str_text(&s), "abcd7-x018446744073709551615");
    ck_assert_uint_eq(str_len(&s), strlen(str_text(&s)));
}
END_TEST

START_TEST(grows_and_keeps_nul_bytes)
{
    CLEANUP(str_deinit) struct str s = STR_INIT(100000);

    for (int i = 0; i < 100000; i++) MUST(str_putc(&s, i % 256) == 0);
    for (int i = 0; i < 100000; i++) MUST((unsigned char)s.data[i] == i % 256);
    ck_assert_int_eq(s.data[100000], 0);
    ck_assert_int_eq(str_putc(&s, 'x'), -ENOSPC);
}
END_TEST

START_TEST(errors_stick_until_cleared)
{
    CLEANUP(str_deinit) struct str s = STR_INIT(5);

    ck_assert_int_eq(str_puts(&s, "abc"), 0);
    ck_assert_int_eq(str_puts(&s, "def"), -ENOSPC);
    ck_assert_int_eq(str_putc(&s, 'd'), -ENOSPC);
    ck_assert_int_eq(str_appendf(&s, "%d", 1), -ENOSPC);
    ck_assert_int_eq(str_append_json(&s, "", 0), -ENOSPC);
    ck_assert_int_eq(str_error(&s), -ENOSPC);
    ck_assert_str_eq(str_text(&s), "abc");
    ck_assert_ptr_null(str_steal(&s));
    str_clear(&s);
    ck_assert_int_eq(str_error(&s), 0);
    ck_assert_str_eq(str_text(&s), "");
    ck_assert_int_eq(str_appendf(&s, "%05d", 42), 0);
    ck_assert_str_eq(str_text(&s), "00042");
    ck_assert_int_eq(str_appendf(&s, "%s", ""), 0);
    str_deinit(NULL);
}
END_TEST

static void check_json(const char *text, size_t len, const char *expected)
{
    CLEANUP(str_deinit) struct str s = STR_INIT(1000);

    ck_assert_int_eq(str_append_json(&s, text, len), 0);
    ck_assert_str_eq(str_text(&s), expected);
}

START_TEST(json_strings)
{
    check_json(NULL, 0, "\"\"");
    check_json("plain", 5, "\"plain\"");
    check_json("a\"b\\c/d", 7, "\"a\\\"b\\\\c/d\"");
    check_json("\b\f\n\r\t", 5, "\"\\b\\f\\n\\r\\t\"");
    check_json("\0\x01\x1f\x7f", 4, "\"\\u0000\\u0001\\u001f\x7f\"");
    check_json("h\xc3\xa9 \xf0\x9f\x98\x80", 8, "\"h\xc3\xa9 \xf0\x9f\x98\x80\"");
    check_json("a\xff\xed\xa0\x80z", 6, "\"a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\"");
    check_json("cut\xf0\x9f\x98", 6, "\"cut\xef\xbf\xbd\"");
}
END_TEST

START_TEST(json_is_all_or_nothing)
{
    for (size_t limit = 0; limit < 16; limit++) {
        CLEANUP(str_deinit) struct str s = STR_INIT(limit);
        int r = str_append_json(&s, "ab\n\x01\"", 5);

        MUST(r == (limit < 14 ? -ENOSPC : 0));
        ck_assert_str_eq(str_text(&s), limit < 14 ? "" : "\"ab\\n\\u0001\\\"\"");
        MUST(str_len(&s) == strlen(str_text(&s)));
    }
}
END_TEST

START_TEST(the_text_can_be_taken_away)
{
    struct str s = STR_INIT(10);
    _cleanup_free_ char *empty = str_steal(&s);

    ck_assert_str_eq(empty, "");
    str_puts(&s, "mine");
    _cleanup_free_ char *mine = str_steal(&s);
    ck_assert_str_eq(mine, "mine");
    ck_assert_uint_eq(str_len(&s), 0);
    ck_assert_int_eq(str_puts(&s, "0123456789"), 0);
    str_deinit(&s);
    ck_assert_int_eq(str_puts(&s, "x"), -ENOSPC);
    str_deinit(&s);
}
END_TEST

SUITE_MAIN("str", appends_of_all_kinds, grows_and_keeps_nul_bytes, errors_stick_until_cleared, json_strings,
           json_is_all_or_nothing, the_text_can_be_taken_away)
