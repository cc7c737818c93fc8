/* What the Check programs of this room have in common: their main. */
#pragma once

#include <check.h>
#include <signal.h>
#include <stdlib.h>

/* Lists of tests, ended by NULL. Those of `aborting` must end in a failed assertion. Returns the program's
 * exit status. */
static inline int run_suite(const char *name, const TTest *const *tests, const TTest *const *aborting)
{
    Suite *suite = suite_create(name);
    TCase *all = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_set_timeout(all, 120);
    while (*tests) tcase_add_test(all, *tests++);
    while (*aborting) tcase_add_test_raise_signal(all, *aborting++, SIGABRT);
    suite_add_tcase(suite, all);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#define TESTS(...) ((const TTest *const[]){__VA_ARGS__, NULL})
#define NO_TESTS   ((const TTest *const[]){NULL})
