/* Built with a ledger that forgets its fifth end (WINDTUNNEL_PLANT_DROP_END=5): every run must say so,
 * whatever the scenario. */
#include <check.h>

#include "tests/property/random_scenario.h"

START_TEST(a_forgotten_end_shows)
{
    struct scenario_run_options o = {.seed = 1, .deployment = canonical[_i].deployments[0]};
    struct scenario_run run;
    enum account account = ACCOUNT_COUNT;
    struct ledger_totals t;
    uint64_t ended = 0;
    char path[1000];

    snprintf(path, sizeof path, "%s/%s.json", SCENARIOS_DIR, canonical[_i].name);
    o.path = path;
    scenario_run(&run, &o);
    ck_assert_int_eq(ledger_check(recorder_ledger(run.recorder), &account), LEDGER_UNBALANCED);
    ck_assert(!ledger_balanced(recorder_ledger(run.recorder)));
    ledger_totals(recorder_ledger(run.recorder), account, &t);
    for (enum ledger_end end = 0; end < LEDGER_END_COUNT; end++) ended += t.ends[end];
    ck_assert_uint_eq(ended + 1, t.opened);
    scenario_run_end(&run);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ledger_plant");
    TCase *tc = tcase_create("ledger_plant");
    SRunner *runner;
    int failed;

    tcase_add_loop_test(tc, a_forgotten_end_shows, 0, sizeof canonical / sizeof *canonical);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
