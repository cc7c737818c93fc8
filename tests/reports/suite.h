/* What the Check programs of this room have in common: their main, and golden files. */
#pragma once

#include "sim/base/str.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static inline int run_suite(const char *name, const TTest *const *tests)
{
    Suite *suite = suite_create(name);
    TCase *all = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_set_timeout(all, 120);
    while (*tests) tcase_add_test(all, *tests++);
    suite_add_tcase(suite, all);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#define TESTS(...) ((const TTest *const[]){__VA_ARGS__, NULL})

/* Compares with golden/<name>; with WINDTUNNEL_GOLDEN=write in the environment, writes it instead. */
static inline void check_golden(const char *name, const struct str *text)
{
    struct str path = STR_INIT(4096), golden = STR_INIT(16u << 20);
    const char *mode = getenv("WINDTUNNEL_GOLDEN");
    bool write = mode && mode[0] == 'w';
    char buffer[4096];
    size_t n;
    FILE *f;

    str_appendf(&path, "%s/golden/%s", SOURCE_DIR, name);
    f = fopen(str_text(&path), write ? "w" : "r");
    ck_assert_msg(f != NULL, "cannot open %s", str_text(&path));
    if (write) {
        fwrite(str_text(text), 1, str_len(text), f);
    } else {
        while ((n = fread(buffer, 1, sizeof(buffer), f)) > 0) str_append(&golden, buffer, n);
        ck_assert_str_eq(str_text(text), str_text(&golden));
    }
    fclose(f);
    str_deinit(&path);
    str_deinit(&golden);
}
