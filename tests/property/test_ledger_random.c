/* Whatever breaks, and whatever the settings: everything that was opened ends exactly once, and no message is
 * lost sight of. A failure names the scenario's number: test_ledger_random NUMBER runs that one alone, and
 * prints it. */
#include <check.h>

#include "tests/property/random_scenario.h"

#if defined(__SANITIZE_ADDRESS__)
#define SCENARIOS 60
#else
#define SCENARIOS 600
#endif

static struct ledger_totals totals_of(const struct scenario_run *run, enum account account)
{
    struct ledger_totals t;

    ledger_totals(recorder_ledger(run->recorder), account, &t);
    return t;
}

static uint64_t flows(const struct scenario_run *run, enum flow_fate fate)
{
    uint64_t sum = 0;

    for (uint32_t kind = 0; kind < M_KIND_COUNT; kind++)
        sum += flowcount_sum(recorder_flows(run->recorder), kind, fate);
    return sum;
}

START_TEST(the_books_balance)
{
    struct random_scenario r;
    struct scenario_run run;
    const char *wrong;

    random_scenario(&r, SCENARIOS_DIR, (uint64_t)_i);
    scenario_run(&run, &r.options);
    wrong = scenario_run_wrong(&run);
    if (wrong) ck_abort_msg("scenario %d: %s", _i, wrong);
    ck_assert_uint_le(run.result.end_ns, run.plan->duration_ns + run.plan->drain_ns);
    /* Handed over are those that were decoded, and what the driver itself says. */
    ck_assert_uint_ge(run.result.deliveries, flows(&run, FLOW_DECODED));
    /* Each session is one turn at a time; each call ends in one account. */
    ck_assert_uint_ge(totals_of(&run, ACCOUNT_SESSION).open_max, totals_of(&run, ACCOUNT_TURN).open_max);
    if (run.result.load_done) ck_assert_uint_eq(totals_of(&run, ACCOUNT_SESSION).ends[LEDGER_IN_FLIGHT], 0);
    scenario_run_end(&run);
}
END_TEST

START_TEST(a_run_can_be_repeated)
{
    struct random_scenario r;
    struct scenario_run run[2];

    random_scenario(&r, SCENARIOS_DIR, (uint64_t)_i);
    for (int i = 0; i < 2; i++) scenario_run(&run[i], &r.options);
    ck_assert_str_eq(run[0].result.digest, run[1].result.digest);
    for (int i = 0; i < 2; i++) scenario_run_end(&run[i]);
}
END_TEST

/* The canonical scenarios as they are, in any order of what happens at one time. */
START_TEST(the_order_of_ties_does_not_matter_to_the_books)
{
    static const char *const sets[] = {"/duration=\"5s\"", "/faults=[]", NULL};
    struct scenario_run_options o = {.sets = sets, .seed = 1};
    struct scenario_run run;
    char path[1000];

    for (size_t i = 0; i < sizeof canonical / sizeof *canonical; i++) {
        for (uint32_t d = 0; d < canonical[i].deployment_count; d++) {
            const char *wrong;

            snprintf(path, sizeof path, "%s/%s.json", SCENARIOS_DIR, canonical[i].name);
            o.path = path;
            o.deployment = canonical[i].deployments[d];
            o.shuffle_ties = (uint64_t)_i;
            scenario_run(&run, &o);
            wrong = scenario_run_wrong(&run);
            if (wrong) ck_abort_msg("%s %s: %s", canonical[i].name, o.deployment, wrong);
            /* Nothing breaks in it, so nothing may be lost. */
            ck_assert_uint_eq(totals_of(&run, ACCOUNT_CALL).ends[LEDGER_LOST], 0);
            ck_assert_uint_eq(totals_of(&run, ACCOUNT_SESSION).ends[LEDGER_LOST], 0);
            scenario_run_end(&run);
        }
    }
}
END_TEST

START_TEST(shuffled_storms_leave_balanced_books)
{
    struct random_scenario r;
    struct scenario_run run;
    const char *wrong;

    random_scenario(&r, SCENARIOS_DIR, 100000 + (uint64_t)_i);
    r.options.shuffle_ties = 1 + (uint64_t)_i;
    scenario_run(&run, &r.options);
    wrong = scenario_run_wrong(&run);
    if (wrong) ck_abort_msg("scenario %d: %s", 100000 + _i, wrong);
    scenario_run_end(&run);
}
END_TEST

static int one(uint64_t number)
{
    struct random_scenario r;
    struct scenario_run run;
    const char *wrong;

    random_scenario(&r, SCENARIOS_DIR, number);
    if (number >= 100000) r.options.shuffle_ties = number - 100000 + 1;
    fprintf(stderr, "%s --deployment %s --seed %lu", r.path, r.options.deployment, number);
    for (size_t i = 0; i < r.set_count; i++) fprintf(stderr, " --set '%s'", r.set_list[i]);
    fprintf(stderr, "\n");
    scenario_run(&run, &r.options);
    wrong = scenario_run_wrong(&run);
    fprintf(stderr, "%s, end %.3f s, digest %s\n", wrong ? wrong : "balanced",
            (double)run.result.end_ns / 1e9, run.result.digest);
    scenario_run_end(&run);
    return wrong ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int all(void)
{
    Suite *suite = suite_create("ledger_random");
    TCase *tc = tcase_create("ledger_random");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, the_books_balance, 0, SCENARIOS);
    /* Workers that lost their leases post beside their successors. */
    tcase_add_loop_test(tc, the_books_balance, 4904, 4905);
    tcase_add_loop_test(tc, a_run_can_be_repeated, 0, SCENARIOS / 20);
    tcase_add_loop_test(tc, the_order_of_ties_does_not_matter_to_the_books, 1, 21);
    tcase_add_loop_test(tc, shuffled_storms_leave_balanced_books, 0, SCENARIOS / 4);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    return argc > 1 ? one(strtoull(argv[1], NULL, 10)) : all();
}
