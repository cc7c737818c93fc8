#include "sim/base/cleanup.h"
#include "sim/base/intern.h"
#include "tests/base/suite.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

START_TEST(ids_are_dense_in_order_of_first_sight)
{
    CLEANUP(intern_deinit) struct intern t = {0};
    static const char *kept[20000];
    uint32_t id;
    size_t len;
    char text[32];

    intern_init(&t, 1 << 20, 20000);
    for (uint32_t round = 0; round < 2; round++)
        for (uint32_t i = 0; i < 20000; i++) {
            int n = snprintf(text, sizeof(text), "cursor-%u", i * 7919);
            MUST(intern_find(&t, text, n) == (round ? i + 1 : 0));
            MUST(intern_put(&t, text, n, &id) == 0);
            MUST(id == i + 1);
            if (!round) kept[i] = intern_get(&t, id, NULL);
            MUST(intern_get(&t, id, &len) == kept[i]);
            MUST(len == n);
            ck_assert_str_eq(kept[i], text);
        }
    MUST(intern_count(&t) == 20000);
    ck_assert_int_eq(intern_put(&t, "one more", 8, &id), -ENOSPC);
    ck_assert_uint_ge(intern_bytes(&t), intern_text_bytes(&t));
}
END_TEST

START_TEST(any_bytes_and_no_bytes)
{
    CLEANUP(intern_deinit) struct intern t = {0};
    uint32_t empty, nul, nuls, again;
    size_t len = 99;

    intern_init(&t, 100, 100);
    ck_assert_int_eq(intern_put(&t, NULL, 0, &empty), 0);
    ck_assert_int_eq(intern_put(&t, "\0", 1, &nul), 0);
    ck_assert_int_eq(intern_put(&t, "\0\0", 2, &nuls), 0);
    ck_assert_int_eq(intern_put(&t, "", 0, &again), 0);
    ck_assert(empty == 1 && nul == 2 && nuls == 3 && again == 1);
    ck_assert_str_eq(intern_get(&t, empty, &len), "");
    ck_assert_uint_eq(len, 0);
    intern_get(&t, nuls, &len);
    ck_assert_uint_eq(len, 2);
    ck_assert_ptr_null(intern_get(&t, 0, &len));
    ck_assert_uint_eq(len, 0);
}
END_TEST

START_TEST(the_limit_of_bytes_counts_the_closing_nul)
{
    CLEANUP(intern_deinit) struct intern t = {0};
    uint32_t id = 77;

    intern_init(&t, 10, 100);
    ck_assert_int_eq(intern_put(&t, "1234", 4, &id), 0);
    ck_assert_int_eq(intern_put(&t, "12345", 5, &id), -ENOSPC);
    ck_assert_uint_eq(id, 1);
    ck_assert_int_eq(intern_put(&t, "5678", 4, &id), 0);
    ck_assert_int_eq(intern_put(&t, "", 0, &id), -ENOSPC);
    ck_assert_int_eq(intern_put(&t, "1234", 4, &id), 0);
    ck_assert_uint_eq(id, 1);
    ck_assert_uint_eq(intern_text_bytes(&t), 10);
}
END_TEST

START_TEST(long_strings_fit)
{
    CLEANUP(intern_deinit) struct intern t = {0};
    static char text[100000];
    uint32_t id;
    size_t len;

    intern_init(&t, SIZE_MAX, UINT32_MAX);
    for (size_t n = 0; n < sizeof(text); n = n * 2 + 1) {
        memset(text, 'x', n);
        MUST(intern_put(&t, text, n, &id) == 0);
        ck_assert_mem_eq(intern_get(&t, id, &len), text, n);
        MUST(len == n);
    }
    intern_deinit(NULL);
}
END_TEST

SUITE_MAIN("intern", ids_are_dense_in_order_of_first_sight, any_bytes_and_no_bytes,
           the_limit_of_bytes_counts_the_closing_nul, long_strings_fit)
