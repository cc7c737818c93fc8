/*
 * Prints what the canonical scenarios give: each deployment under two seeds, with digest, ledger and a few
 * figures.
 *
 *     golden SCENARIOS_DIR
 */
#include <inttypes.h>

#include "tests/virtual/scenario_run.h"

static const char *const scenarios[] = {"cold-start", "fan-out", "reconnect-storm", "spill-100k"};
static const enum metric metrics[] = {METRIC_SESSION_TOTAL, METRIC_SANDBOX_START, METRIC_TOOL_CALL,
                                      METRIC_MCP_CALL,      METRIC_TUNNEL_USABLE, METRIC_EVENT_DELIVERY};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static void print_account(const struct ledger *ledger, enum account account)
{
    struct ledger_totals t;

    ledger_totals(ledger, account, &t);
    if (!t.opened) return;
    printf("  %-10s opened %" PRIu64, account_name(account), t.opened);
    for (enum ledger_end end = 0; end < LEDGER_END_COUNT; end++)
        printf(" %s %" PRIu64, ledger_end_name(end), t.ends[end]);
    printf(" at most %" PRIu64 "\n", t.open_max);
}

static void print_metric(const struct recorder *recorder, enum metric metric)
{
    const struct histogram *h = recorder_histogram(recorder, metric);

    if (!histogram_count(h)) return;
    printf("  %-15s count %" PRIu64 " mean %" PRIu64 " p50 %" PRIu64 " p95 %" PRIu64 " max %" PRIu64 "\n",
           metric_name(metric), histogram_count(h), histogram_mean(h), histogram_quantile(h, 500000),
           histogram_quantile(h, 950000), histogram_max(h));
}

static void print_run(const char *scenario, const struct scenario_run_options *o)
{
    struct scenario_run run;
    const char *wrong;

    scenario_run(&run, o);
    printf("%s %s seed %" PRIu64 "\n", scenario, o->deployment, o->seed);
    printf("  digest %s end %" PRIu64 " deliveries %" PRIu64 " timers %" PRIu64 "\n", run.result.digest,
           run.result.end_ns, run.result.deliveries, run.result.timers);
    for (enum account a = 0; a < ACCOUNT_COUNT; a++) print_account(recorder_ledger(run.recorder), a);
    for (size_t i = 0; i < COUNT(metrics); i++) print_metric(run.recorder, metrics[i]);
    wrong = scenario_run_wrong(&run);
    if (wrong) printf("  %s\n", wrong);
    scenario_run_end(&run);
}

static void print_scenario(const char *dir, const char *scenario)
{
    char path[1000], **deployments;
    struct scenario_run_options o = {.path = path};
    struct plan_load_options load;
    struct plan_error error;
    size_t count;

    snprintf(path, sizeof path, "%s/%s.json", dir, scenario);
    load = scenario_load_options(&o);
    if (plan_deployments(&load, &deployments, &count, &error) != 0) PANIC("%s", error.text);
    for (size_t i = 0; i < count; i++) {
        for (o.seed = 1; o.seed <= 2; o.seed++) {
            o.deployment = deployments[i];
            print_run(scenario, &o);
        }
    }
    free(deployments);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: golden SCENARIOS_DIR\n");
        return 2;
    }
    for (size_t i = 0; i < COUNT(scenarios); i++) print_scenario(argv[1], scenarios[i]);
    return 0;
}
