/* The scenarios that ship, the round trip of the resolved plan, and the generated files. With
 * PLAN_WRITE_REFERENCE=1 in the environment the generated files are written instead of compared. */
#include <jansson.h>

#include "sim/plan/reference.h"
#include "sim/record/counter.h"
#include "sim/record/ledger.h"
#include "sim/record/metrics.h"
#include "tests/plan/plan_test.h"

enum { NAMES_MAX = 256, FILE_MAX = 1 << 22 };

static const char *const scenarios[] = {"reconnect-storm", "cold-start", "fan-out", "spill-100k"};

/* The real names, so that the scenarios' objectives are known to be measurable. */
static const struct plan_names *real_names(void)
{
    static const char *metrics[METRIC_COUNT], *counters[COUNTER_COUNT],
        *ends[ACCOUNT_COUNT * LEDGER_END_COUNT];
    static char texts[ACCOUNT_COUNT * LEDGER_END_COUNT][64];
    static struct plan_names names;
    size_t n = 0;

    for (enum metric m = 0; m < METRIC_COUNT; m++) metrics[m] = metric_name(m);
    for (enum counter c = 0; c < COUNTER_COUNT; c++) counters[c] = counter_name(c);
    for (enum account a = 0; a < ACCOUNT_COUNT; a++) {
        for (enum ledger_end e = 0; e < LEDGER_END_COUNT; e++) {
            snprintf(texts[n], sizeof(texts[n]), "%s.%s", account_name(a), ledger_end_name(e));
            ends[n] = texts[n];
            n++;
        }
    }
    names = (struct plan_names){metrics, METRIC_COUNT, ends, n, counters, COUNTER_COUNT};
    return &names;
}

static struct plan_load_options file_options(const char *name, char *path, size_t size)
{
    snprintf(path, size, SCENARIOS "/%s.json", name);
    return (struct plan_load_options){.path = path, .names = real_names()};
}

static char *slurp(const char *path)
{
    FILE *file = fopen(path, "r");
    char *text = calloc(1, FILE_MAX);

    ck_assert_msg(file != NULL, "%s", path);
    ck_assert(fread(text, 1, FILE_MAX - 1, file) > 0);
    fclose(file);
    return text;
}

/* The resolved document loads to the same plan, without the profile files and without other deployments. */
static void check_round_trip(const struct plan *plan)
{
    struct plan_load_options options = {
        .path = "/nonexistent/resolved.json", .text = plan_resolved(plan), .names = real_names()};
    CLEANUP(plan_free_p) struct plan *again = load_or_fail(&options);

    ck_assert_str_eq(plan_resolved(again), plan_resolved(plan));
    ck_assert_str_eq(again->deployment, plan->deployment);
    ck_assert(again->informational == plan->informational);
    ck_assert_uint_eq(again->fault_count, plan->fault_count);
    ck_assert_mem_eq(&again->tunnels.backoff, &plan->tunnels.backoff, sizeof(plan->tunnels.backoff));
    for (uint32_t i = 0; i < plan->fault_count; i++) {
        ck_assert_mem_eq(&again->faults[i], &plan->faults[i], offsetof(struct plan_fault, target_text));
        ck_assert_pstr_eq(again->faults[i].target_text, plan->faults[i].target_text);
    }
    for (uint32_t i = 0; i < plan->runner_count; i++)
        ck_assert_mem_eq(&again->runners[i].cold_start_ns, &plan->runners[i].cold_start_ns,
                         sizeof(struct dist));
}

START_TEST(test_scenario_loads)
{
    char path[512], **names = NULL;
    struct plan_load_options options = file_options(scenarios[_i], path, sizeof(path));
    struct plan_error error;
    size_t count = 0;

    ck_assert_int_eq(plan_deployments(&options, &names, &count, &error), 0);
    ck_assert_uint_ge(count, 2);
    for (size_t i = 0; i < count; i++) {
        CLEANUP(plan_free_p) struct plan *plan = NULL;

        options.deployment = names[i];
        plan = load_or_fail(&options);
        ck_assert_str_eq(plan->scenario_name, scenarios[_i]);
        ck_assert_str_eq(plan->deployment, names[i]);
        ck_assert_uint_lt(plan->duration_ns + plan->drain_ns, 60 * NSEC_PER_S);
        ck_assert_uint_gt(plan->objective_count, 0);
        check_round_trip(plan);
    }
    free(names);
}
END_TEST

START_TEST(test_spill_scenario)
{
    char path[512];
    struct plan_load_options options = file_options("spill-100k", path, sizeof(path));
    CLEANUP(plan_free_p) struct plan *plan = load_or_fail(&options);

    ck_assert_uint_eq(plan->orchestrator.spill_threshold_chars, 100000);
    ck_assert_uint_eq(plan->scripts[0].calls_max, 8);
}
END_TEST

/* The profile: every number has its origin, every provider loads. */
START_TEST(test_profile)
{
    CLEANUP(cleanup_free_p) char *text = slurp(SCENARIOS "/profiles/sandbox-tti.json");
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, NULL), *entry, *one;
    const char *regime, *provider;

    ck_assert_ptr_nonnull(root);
    ck_assert_str_eq(json_string_value(json_object_get(root, "kind")), "third-party");
    ck_assert(json_string_length(json_object_get(root, "source")) > 0);
    json_object_foreach(json_object_get(root, "regimes"), regime, entry)
    {
        ck_assert(json_string_length(json_object_get(entry, "date")) > 0);
        json_object_foreach(json_object_get(entry, "providers"), provider, one)
        {
            struct plan_load_options options = text_options(small_scenario);
            CLEANUP(cleanup_free_p) char *set = NULL;
            const char *sets[1];

            ck_assert(json_integer_value(json_object_get(one, "n")) > 0);
            ck_assert(asprintf(&set, "/runners/r={\"provider\": \"%s\", \"regime\": \"%s\"}", provider,
                               regime) > 0);
            sets[0] = set;
            options.sets = sets;
            options.set_count = 1;
            CLEANUP(plan_free_p) struct plan *plan = load_or_fail(&options);
            ck_assert_uint_eq(plan->runners[0].cold_start_ns.points_len, 10);
        }
    }
    json_decref(root);
}
END_TEST

/* Generated files -------------------------------------------------------------------------------------------
 */

static void write_file(const char *path, const char *text, size_t length)
{
    FILE *file = fopen(path, "w");

    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(text, 1, length, file), length);
    ck_assert_int_eq(fclose(file), 0);
}

START_TEST(test_schema_file)
{
    static const char path[] = SCENARIOS "/scenario.schema.json";
    CLEANUP(str_deinit) struct str schema = STR_INIT(FILE_MAX);
    CLEANUP(cleanup_free_p) char *committed = NULL;

    ck_assert_int_eq(plan_schema(&schema), 0);
    if (getenv("PLAN_WRITE_REFERENCE")) write_file(path, str_text(&schema), str_len(&schema));
    committed = slurp(path);
    ck_assert_msg(strcmp(committed, str_text(&schema)) == 0, "%s is out of date", path);
}
END_TEST

START_TEST(test_reference_page)
{
    static const char path[] = SOURCE_ROOT "/docs/SCENARIO.md";
    static const char begin[] = "<!-- generated from the option table: begin -->\n",
                      end[] = "<!-- generated: end -->\n";
    CLEANUP(str_deinit) struct str tables = STR_INIT(FILE_MAX), page = STR_INIT(FILE_MAX);
    CLEANUP(cleanup_free_p) char *committed = slurp(path);
    const char *from = strstr(committed, begin), *to = strstr(committed, end);

    ck_assert(from && to && from < to);
    from += strlen(begin);
    ck_assert_int_eq(plan_reference(&tables), 0);
    str_append(&page, committed, (size_t)(from - committed));
    str_puts(&page, str_text(&tables));
    str_puts(&page, to);
    if (getenv("PLAN_WRITE_REFERENCE")) {
        write_file(path, str_text(&page), str_len(&page));
        return;
    }
    ck_assert_msg(strcmp(committed, str_text(&page)) == 0, "%s is out of date", path);
}
END_TEST

/* What the page shows must work. */
START_TEST(test_page_example)
{
    CLEANUP(cleanup_free_p) char *page = slurp(SOURCE_ROOT "/docs/SCENARIO.md");
    char *example = strstr(page, "```json\n"), *end = example ? strstr(example, "\n```\n") : NULL;
    struct plan_load_options options;
    CLEANUP(plan_free_p) struct plan *plan = NULL;

    ck_assert(example && end);
    *end = '\0';
    options = (struct plan_load_options){
        .path = SCENARIOS "/example.json", .text = example + 8, .names = real_names()};
    plan = load_or_fail(&options);
    ck_assert_uint_gt(plan->objective_count, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("scenarios");
    TCase *tc = tcase_create("all");

    tcase_add_loop_test(tc, test_scenario_loads, 0, sizeof(scenarios) / sizeof(scenarios[0]));
    tcase_add_test(tc, test_spill_scenario);
    tcase_add_test(tc, test_profile);
    tcase_add_test(tc, test_schema_file);
    tcase_add_test(tc, test_reference_page);
    tcase_add_test(tc, test_page_example);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
