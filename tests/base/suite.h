/* What each Check program here has in common: its main. */
#pragma once

#include <check.h>
#include <stdlib.h>

/* For hot loops: Check writes a message for each of its own assertions, which is too slow for millions. */
#define MUST(cond)                                                                                           \
    do {                                                                                                     \
        if (!(cond)) ck_abort_msg("%s", #cond);                                                              \
    } while (0)

/* Runs the tests, a NULL-ended list, as one suite; returns the exit status of the program. */
static inline int run_suite(const char *name, const TTest *const *tests)
{
    Suite *suite = suite_create(name);
    TCase *all = tcase_create("all");

    tcase_set_timeout(all, 120);
    while (*tests) tcase_add_test(all, *tests++);
    suite_add_tcase(suite, all);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#define SUITE_MAIN(name, ...)                                                                                \
    int main(void)                                                                                           \
    {                                                                                                        \
        return run_suite(name, (const TTest *const[]){__VA_ARGS__, NULL});                                   \
    }
