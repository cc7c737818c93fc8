/*
 * Prints what the canonical scenarios give: each deployment under two seeds, with digest, ledger and a few
 * figures.
 *
 *     golden SCENARIOS_DIR
 *     golden SCENARIOS_DIR results     their result.json instead, as from a machine without properties
 */
#include <inttypes.h>

#include "reports/result.h"
#include "sim/cmd/measured.h"
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

static void print_result(const struct scenario_run_options *o)
{
    struct plan_load_options load = scenario_load_options(o);
    CLEANUP(str_deinit) struct str text = STR_INIT(RESULT_FILE_BYTES_MAX);
    CLEANUP(result_free_p) struct result *result = NULL;
    const struct watcher nobody = {.interval = NULL};
    const struct host_facts host = {.cores = 0};
    const char *names[M_KIND_COUNT];
    struct plan_error error;
    struct measured m;
    struct plan *plan;
    struct run_result run = {
        .clock = "virtual", .host = &host, .flow_names = names, .flow_name_count = M_KIND_COUNT};

    for (int k = 0; k < M_KIND_COUNT; k++) names[k] = msg_kind_name(k);
    load.names = objective_names();
    if (plan_load(&load, &plan, &error) != 0) PANIC("%s", error.text);
    if (measure_virtual(plan, &nobody, &m) < 0) PANIC("out of memory");
    run.plan = plan;
    run.digest = m.digest;
    run.recorder = m.recorder;
    run.series = m.series;
    run.spans = m.spans;
    run.marks_dropped = m.marks_dropped;
    run.end_ns = m.end_ns;
    run.engine = m.engine;
    if (result_new(&run, &result) < 0 || result_format(result, &text) < 0) PANIC("out of memory");
    fputs(str_text(&text), stdout);
    measured_deinit(&m);
    plan_free(plan);
}

static void print_scenario(const char *dir, const char *scenario, bool results)
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
            if (results)
                print_result(&o);
            else
                print_run(scenario, &o);
        }
    }
    free(deployments);
}

int main(int argc, char **argv)
{
    bool results = argc == 3 && strcmp(argv[2], "results") == 0;

    if (argc != 2 && !results) {
        fprintf(stderr, "usage: golden SCENARIOS_DIR [results]\n");
        return 2;
    }
    for (size_t i = 0; i < COUNT(scenarios); i++) print_scenario(argv[1], scenarios[i], results);
    return 0;
}
