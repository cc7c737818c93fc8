#include "reports/file.h"
#include "reports/result.h"
#include "sim/record/hlog.h"
#include "tests/reports/schema.h"
#include "tests/reports/suite.h"
#include "tests/reports/synthetic.h"

#include <errno.h>
#include <string.h>

static struct synthetic s;

static struct result *make(void)
{
    synthetic_init(&s);
    return synthetic_result(&s);
}

START_TEST(json_is_golden)
{
    CLEANUP(result_free_p) struct result *r = make();
    CLEANUP(str_deinit) struct str text = STR_INIT(4u << 20);

    ck_assert_int_eq(result_format(r, &text), 0);
    check_golden("result.json", &text);
    synthetic_deinit(&s);
}
END_TEST

/* Equality is shown by writing both: what is written holds every field. */
START_TEST(reading_back_gives_the_same)
{
    CLEANUP(result_free_p) struct result *r = make();
    CLEANUP(result_free_p) struct result *back = NULL;
    CLEANUP(str_deinit) struct str text = STR_INIT(4u << 20);
    CLEANUP(str_deinit) struct str again = STR_INIT(4u << 20);
    struct report_error error = {""};

    result_format(r, &text);
    ck_assert_int_eq(result_parse(str_text(&text), str_len(&text), "x", &back, &error), 0);
    ck_assert_int_eq(result_format(back, &again), 0);
    ck_assert_str_eq(str_text(&again), str_text(&text));
    ck_assert_uint_eq(back->seed, UINT64_C(9223372036854775807));
    ck_assert_int_eq(memcmp(back->accounts, r->accounts, sizeof(r->accounts)), 0);
    ck_assert_int_eq(memcmp(back->counters, r->counters, sizeof(r->counters)), 0);
    ck_assert_int_eq(memcmp(back->hops, r->hops, sizeof(r->hops)), 0);
    ck_assert_uint_eq(back->slowest.items[0].call_id, r->slowest.items[0].call_id);
    ck_assert_uint_eq(back->slowest.items[1].first_segment, r->slowest.items[1].first_segment);
    synthetic_deinit(&s);
}
END_TEST

START_TEST(an_older_result_has_no_timer_lag)
{
    CLEANUP(result_free_p) struct result *r = make();
    CLEANUP(result_free_p) struct result *back = NULL;
    CLEANUP(str_deinit) struct str text = STR_INIT(4u << 20);
    struct report_error error = {""};
    char *older;
    json_t *value;

    result_format(r, &text);
    value = json_loads(str_text(&text), JSON_REJECT_DUPLICATES, NULL);
    ck_assert_int_eq(json_object_del(json_object_get(value, "metrics"), "timer.lag"), 0);
    older = json_dumps(value, 0);
    ck_assert_int_eq(result_parse(older, strlen(older), "x", &back, &error), 0);
    ck_assert_uint_eq(back->metrics[METRIC_TIMER_LAG].count, 0);
    ck_assert_uint_eq(back->metrics[METRIC_TIMER_LAG].quantile_ns[FIGURE_P99], FIGURE_NONE);
    ck_assert_uint_eq(back->metrics[METRIC_TIMER_LAG].max_ns, FIGURE_NONE);
    free(older);
    json_decref(value);
    synthetic_deinit(&s);
}
END_TEST

static json_t *schema_load(void)
{
    CLEANUP(str_deinit) struct str text = STR_INIT(1u << 20);
    struct report_error error = {""};
    json_t *schema;

    ck_assert_int_eq(report_file_read(SCHEMA, &text, &error), 0);
    schema = json_loads(str_text(&text), JSON_REJECT_DUPLICATES, NULL);
    ck_assert_ptr_nonnull(schema);
    return schema;
}

START_TEST(json_is_as_the_schema_says)
{
    CLEANUP(result_free_p) struct result *r = make();
    CLEANUP(str_deinit) struct str text = STR_INIT(4u << 20);
    CLEANUP(str_deinit) struct str wrong = STR_INIT(4096);
    json_t *schema = schema_load(), *value;

    result_format(r, &text);
    value = json_loads(str_text(&text), JSON_REJECT_DUPLICATES, NULL);
    ck_assert_msg(schema_valid(schema, schema, value, &wrong), "%s", str_text(&wrong));
    /* And the check does see what is wrong. */
    json_object_set_new(json_object_get(value, "metrics"), "tool.call", json_integer(1));
    ck_assert(!schema_valid(schema, schema, value, &wrong));
    json_object_del(json_object_get(value, "metrics"), "tool.call");
    ck_assert(!schema_valid(schema, schema, value, &wrong));
    json_decref(value);
    value = json_loads(str_text(&text), 0, NULL);
    json_object_set_new(value, "more", json_true());
    ck_assert(!schema_valid(schema, schema, value, &wrong));
    json_decref(value);
    json_decref(schema);
    synthetic_deinit(&s);
}
END_TEST

START_TEST(hops_add_up)
{
    CLEANUP(result_free_p) struct result *r = make();
    uint64_t sum = 0;

    for (enum hop h = 0; h < HOP_COUNT; h++) sum += r->hops[h].sum_ns;
    ck_assert_uint_eq(sum, r->hops_total_ns);
    ck_assert_uint_eq(r->hops_calls, 600);
    ck_assert_uint_eq(r->hops_total_ns, (uint64_t)s.spans->sum_ns);
    ck_assert_uint_eq(r->slowest.len, 3);
    for (size_t i = 0; i < r->slowest.len; i++) {
        const struct result_call *call = &r->slowest.items[i];

        sum = 0;
        for (uint32_t k = 0; k < call->n_segments; k++)
            sum += r->segments.items[call->first_segment + k].length_ns;
        ck_assert_uint_eq(sum, call->total_ns);
    }
    synthetic_deinit(&s);
}
END_TEST

START_TEST(host_is_the_only_difference)
{
    CLEANUP(result_free_p) struct result *a = make();
    CLEANUP(result_free_p) struct result *b = NULL;
    CLEANUP(str_deinit) struct str one = STR_INIT(4u << 20);
    CLEANUP(str_deinit) struct str other = STR_INIT(4u << 20);
    json_t *x, *y;

    host_facts_read(&s.host);
    s.host.elapsed_ns = 77;
    b = synthetic_result(&s);
    result_format(a, &one);
    result_format(b, &other);
    x = json_loads(str_text(&one), 0, NULL);
    y = json_loads(str_text(&other), 0, NULL);
    ck_assert(!json_equal(x, y));
    json_object_del(x, "host");
    json_object_del(y, "host");
    ck_assert(json_equal(x, y));
    ck_assert_uint_gt(s.host.cores, 0);
    ck_assert_uint_gt(strlen(s.host.kernel), 0);
    json_decref(x);
    json_decref(y);
    synthetic_deinit(&s);
}
END_TEST

START_TEST(faults_have_words)
{
    CLEANUP(result_free_p) struct result *r = make();

    ck_assert_uint_eq(r->faults.len, 5);
    ck_assert_str_eq(r->faults.items[0].text, "kill orchestrator");
    ck_assert_str_eq(r->faults.items[1].text, "cut connector-edge at connector/0-1");
    ck_assert_str_eq(r->faults.items[2].text, "kill orchestrator");
    ck_assert_str_eq(r->faults.items[3].text, "answer 503 to 25% at mcp/search");
    ck_assert_str_eq(r->faults.items[4].text, "delay runner-orchestrator, 40.0ms more");
    synthetic_deinit(&s);
}
END_TEST

static bool reason_starts(const struct result *r, const char *start)
{
    for (size_t i = 0; i < r->invalid_reasons.len; i++)
        if (strncmp(r->invalid_reasons.items[i], start, strlen(start)) == 0) return true;
    return false;
}

START_TEST(lateness_makes_a_run_invalid)
{
    CLEANUP(result_free_p) struct result *r = make();
    CLEANUP(result_free_p) struct result *late = NULL;
    CLEANUP(result_free_p) struct result *patient = NULL;

    ck_assert(r->valid);
    /* 40 on time and 60 late: the p90, which 100 samples support, is late; the maximum alone would not do. */
    for (unsigned i = 0; i < 60; i++) recorder_record(s.recorder, METRIC_SCHEDULE_LAG, 80 * NSEC_PER_MS);
    late = synthetic_result(&s);
    ck_assert(!late->valid);
    ck_assert_str_eq(late->invalid_reasons.items[0],
                     "the load could not keep its schedule: p90(schedule.lag) is 80.0ms, more than 50.0ms");
    ck_assert_int_eq(results_exit_code((const struct result *const[]){late}, 1), 3);
    s.run.schedule_lag_max_ns = NSEC_PER_S;
    patient = synthetic_result(&s);
    ck_assert(patient->valid);
    synthetic_deinit(&s);
}
END_TEST

/* So many sessions on time, and some that were late: whether such a run is valid. */
static bool valid_with(unsigned on_time, unsigned late, nsec_t lag)
{
    const struct recorder_options none = {
        .marks_max = 1, .sample_every = 1, .split_sizes = {[SPLIT_SERVER] = 2}};
    CLEANUP(result_free_p) struct result *r = NULL;
    bool valid;

    synthetic_init(&s);
    recorder_free(s.recorder);
    ck_assert_int_eq(recorder_new(&none, &s.recorder), 0);
    s.run.recorder = s.recorder;
    for (unsigned i = 0; i < on_time; i++) recorder_record(s.recorder, METRIC_SCHEDULE_LAG, 0);
    for (unsigned i = 0; i < late; i++) recorder_record(s.recorder, METRIC_SCHEDULE_LAG, lag);
    r = synthetic_result(&s);
    valid = r->valid;
    synthetic_deinit(&s);
    return valid;
}

START_TEST(a_load_of_few_sessions_that_stood_still_is_invalid)
{
    static const unsigned sessions[] = {1, 9, 10, 20, 49};

    for (size_t i = 0; i < sizeof sessions / sizeof *sessions; i++) {
        ck_assert(!valid_with(sessions[i] - 1, 1, 1500 * NSEC_PER_MS));
        ck_assert(valid_with(sessions[i] - 1, 1, 130 * NSEC_PER_MS));
    }
    ck_assert(!valid_with(4, 6, 80 * NSEC_PER_MS));
    ck_assert(valid_with(6, 4, 80 * NSEC_PER_MS));
    ck_assert(valid_with(499, 1, 1500 * NSEC_PER_MS));
}
END_TEST

START_TEST(ledgers_decide)
{
    CLEANUP(result_free_p) struct result *r = make();
    CLEANUP(result_free_p) struct result *full = NULL;
    CLEANUP(result_free_p) struct result *open = NULL;
    uint32_t slots[200];

    ck_assert_int_eq(results_exit_code((const struct result *const[]){r}, 1), 1);
    for (unsigned i = 0; i < 200; i++) slots[i] = recorder_open(s.recorder, ACCOUNT_TURN);
    for (unsigned i = 0; i < 200; i++) recorder_end(s.recorder, ACCOUNT_TURN, slots[i], LEDGER_COMPLETED);
    full = synthetic_result(&s);
    ck_assert(!full->valid && full->verdict == LEDGER_OVERFLOWED);
    ck_assert(reason_starts(full, "the ledger had no room for 100 of account turn"));
    recorder_open(s.recorder, ACCOUNT_WORK);
    open = synthetic_result(&s);
    ck_assert(
        reason_starts(open, "the ledger does not balance: account work has 1 opened, 0 ended, 1 still open"));
    ck_assert_int_eq(results_exit_code((const struct result *const[]){r, full, open}, 3), 4);
    ck_assert_int_eq(results_exit_code((const struct result *const[]){r, full}, 2), 3);
    r->informational = true;
    ck_assert_int_eq(results_exit_code((const struct result *const[]){r}, 1), 0);
    ck_assert_int_eq(results_exit_code(NULL, 0), 0);
    synthetic_deinit(&s);
}
END_TEST

static void money_is(unsigned __int128 n, const char *wanted)
{
    CLEANUP(str_deinit) struct str text = STR_INIT(64);

    ck_assert_int_eq(money_format(n, &text), 0);
    ck_assert_str_eq(str_text(&text), wanted);
}

START_TEST(money_is_exact)
{
    CLEANUP(result_free_p) struct result *r = make();
    CLEANUP(result_free_p) struct result *pools = NULL;
    CLEANUP(result_free_p) struct result *no_price = NULL;
    const uint64_t by_pool[2] = {10 * NSEC_PER_S, 1};

    money_is(0, "0.00");
    money_is(1, "0.000000000000000001");
    money_is((unsigned __int128)1000000000 * 1000000000 * 3 / 2, "1.50");
    money_is((unsigned __int128)UINT64_MAX * 26430, "487547.44586814344918445");
    ck_assert_str_eq(r->money, "0.03262962933595089");
    s.runners[1] = s.runners[0];
    s.runners[1].price_nanodollars_per_sandbox_second = 7;
    s.plan.runner_count = 2;
    no_price = synthetic_result(&s);
    ck_assert_ptr_null(no_price->money);
    s.run.pool_sandbox_ns = by_pool;
    pools = synthetic_result(&s);
    ck_assert_str_eq(pools->money, "0.000264300000000007");
    ck_assert_uint_eq(pools->sandbox_ns, 10 * NSEC_PER_S + 1);
    synthetic_deinit(&s);
}
END_TEST

START_TEST(a_sum_too_large_is_an_error)
{
    struct result *none = NULL;

    synthetic_init(&s);
    recorder_count(s.recorder, COUNTER_CPU_NS, UINT64_C(1) << 63);
    ck_assert_int_eq(result_new(&s.run, &none), -EOVERFLOW);
    ck_assert_ptr_null(none);
    synthetic_deinit(&s);
}
END_TEST

START_TEST(an_empty_run_has_a_result)
{
    struct recorder_options options = {.marks_max = 1, .sample_every = 1};
    CLEANUP(recorder_free_p) struct recorder *empty = NULL;
    CLEANUP(result_free_p) struct result *nothing = NULL;
    CLEANUP(result_free_p) struct result *back = NULL;
    CLEANUP(str_deinit) struct str text = STR_INIT(4u << 20);
    CLEANUP(str_deinit) struct str wrong = STR_INIT(4096);
    struct report_error error = {""};
    json_t *schema = schema_load(), *value;

    synthetic_init(&s);
    ck_assert_int_eq(recorder_new(&options, &empty), 0);
    s.run.recorder = empty;
    s.run.series = NULL;
    s.run.spans = NULL;
    s.run.digest = NULL;
    s.plan.objective_count = s.plan.fault_count = s.plan.runner_count = 0;
    nothing = synthetic_result(&s);
    ck_assert(nothing->valid && result_met(nothing));
    ck_assert_int_eq(result_format(nothing, &text), 0);
    value = json_loads(str_text(&text), 0, NULL);
    ck_assert_msg(schema_valid(schema, schema, value, &wrong), "%s", str_text(&wrong));
    ck_assert_int_eq(result_parse(str_text(&text), str_len(&text), "x", &back, &error), 0);
    json_decref(value);
    json_decref(schema);
    synthetic_deinit(&s);
}
END_TEST

/* Each line, damaged, is refused or read as something; nothing crashes. */
START_TEST(damaged_files_are_refused)
{
    CLEANUP(result_free_p) struct result *r = make();
    CLEANUP(str_deinit) struct str text = STR_INIT(4u << 20);
    struct report_error error = {""};
    struct result *none = NULL;
    size_t refused = 0;

    result_format(r, &text);
    ck_assert_int_eq(result_parse("{", 1, "f.json", &none, &error), RESULT_E_INVALID);
    ck_assert_int_eq(strncmp(error.text, "f.json:1:", 9), 0);
    ck_assert_int_eq(result_parse("{}", 2, "f.json", &none, &error), RESULT_E_INVALID);
    ck_assert_str_eq(error.text, "f.json: /schema: must be \"windtunnel.result/1\"");
    for (size_t cut = 1; cut < str_len(&text) - 2; cut += 97)
        ck_assert_int_eq(result_parse(str_text(&text), cut, "f", &none, &error), RESULT_E_INVALID);
    for (size_t at = 0; at < str_len(&text); at += 7) {
        CLEANUP(result_free_p) struct result *maybe = NULL;
        char before = text.data[at];

        text.data[at] = before == '"' ? 'x' : before == '1' ? '-' : before == 'a' ? 'b' : '"';
        error.text[0] = '\0';
        if (result_parse(str_text(&text), str_len(&text), "f", &maybe, &error) != 0) refused++;
        ck_assert_int_eq(maybe == NULL, error.text[0] != '\0');
        text.data[at] = before;
    }
    ck_assert_uint_gt(refused, 100);
    ck_assert_ptr_null(none);
    synthetic_deinit(&s);
}
END_TEST

START_TEST(errors_name_the_place)
{
    CLEANUP(result_free_p) struct result *r = make();
    CLEANUP(str_deinit) struct str text = STR_INIT(4u << 20);
    struct report_error error = {""};
    struct result *none = NULL;
    char *at;

    result_format(r, &text);
    at = strstr(text.data, "\"shed\": 0");
    memcpy(at + 8, "-", 1);
    ck_assert_int_eq(result_parse(str_text(&text), str_len(&text), "f", &none, &error), RESULT_E_INVALID);
    memcpy(at + 7, "\"a", 1);
    memcpy(at, "\"shut\": 0", 9);
    ck_assert_int_eq(result_parse(str_text(&text), str_len(&text), "f", &none, &error), RESULT_E_INVALID);
    ck_assert_str_eq(error.text, "f: /ledger/accounts/session/shed: must be a whole number from 0");
    synthetic_deinit(&s);
}
END_TEST

int main(void)
{
    return run_suite("result",
                     TESTS(json_is_golden, reading_back_gives_the_same, an_older_result_has_no_timer_lag,
                           json_is_as_the_schema_says, hops_add_up, host_is_the_only_difference,
                           faults_have_words, lateness_makes_a_run_invalid,
                           a_load_of_few_sessions_that_stood_still_is_invalid, ledgers_decide, money_is_exact,
                           a_sum_too_large_is_an_error, an_empty_run_has_a_result, damaged_files_are_refused,
                           errors_name_the_place));
}
