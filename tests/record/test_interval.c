#include "sim/base/cleanup.h"
#include "sim/base/prng.h"
#include "sim/record/hlog.h"
#include "sim/record/interval.h"
#include "tests/record/suite.h"

#include <string.h>

static const struct recorder_options recorder_options = {.sample_every = 1};

static struct recorder *recorder_make(void)
{
    struct recorder *r = NULL;

    ck_assert_int_eq(recorder_new(&recorder_options, &r), 0);
    return r;
}

static struct interval_series *series_make(nsec_t start, uint32_t intervals_max, size_t bytes_max)
{
    struct interval_series *s = NULL;
    struct interval_options options = {
        .start = start, .intervals_max = intervals_max, .bytes_max = bytes_max};

    ck_assert_int_eq(interval_series_new(&options, &s), 0);
    return s;
}

/* All intervals of a metric, added up again, must be its whole histogram. */
static void check_whole(const struct interval_series *s, const struct recorder *const *recorders, size_t n,
                        enum metric m)
{
    static struct histogram whole, parts;
    unsigned __int128 sum = 0;
    uint64_t saturated = 0;

    histogram_init(&whole);
    histogram_init(&parts);
    for (size_t i = 0; i < n; i++) histogram_merge(&whole, recorder_histogram(recorders[i], m));
    for (uint32_t i = 0; i < interval_count(s); i++) {
        struct interval_figures f;

        if (!interval_figures(s, i, m, &f)) continue;
        ck_assert_int_eq(payload_add(f.payload, f.n_payload, &parts), 0);
        sum += (unsigned __int128)f.mean_ns * f.count;
        saturated += f.saturated;
    }
    ck_assert_uint_eq(histogram_count(&parts), histogram_count(&whole));
    ck_assert_mem_eq(parts.cells, whole.cells, sizeof(parts.cells));
    ck_assert_uint_eq(saturated, histogram_saturated(&whole));
    /* Means are rounded by at most half a nanosecond each. */
    ck_assert(sum + whole.count >= histogram_sum(&whole) && sum <= histogram_sum(&whole) + whole.count);
}

START_TEST(cuts_part_the_samples)
{
    CLEANUP(recorder_free_p) struct recorder *r = recorder_make();
    CLEANUP(interval_series_free_p) struct interval_series *s = series_make(1000, 10, INTERVAL_BYTES_MIN);
    const struct recorder *const all[] = {r};
    struct interval_figures f = {0};

    recorder_record(r, METRIC_TOOL_CALL, 5000000);
    recorder_record(r, METRIC_TOOL_CALL, 7000000);
    recorder_count(r, COUNTER_POLLS, 3);
    interval_cut(s, all, 1, 2000);
    recorder_record(r, METRIC_QUEUE_WAIT, 100);
    recorder_count(r, COUNTER_POLLS, 4);
    interval_cut(s, all, 1, 3000);
    interval_cut(s, all, 1, 3000); /* no time has passed: nothing happens */
    interval_cut(s, all, 1, 4000);

    ck_assert_uint_eq(interval_count(s), 3);
    ck_assert_uint_eq(interval_start(s, 0), 1000);
    ck_assert_uint_eq(interval_end(s, 0), 2000);
    ck_assert_uint_eq(interval_start(s, 1), 2000);
    ck_assert(interval_figures(s, 0, METRIC_TOOL_CALL, &f));
    ck_assert_uint_eq(f.count, 2);
    ck_assert_uint_eq(f.max_ns, 7000000);
    ck_assert_uint_eq(f.mean_ns, 6000000);
    ck_assert_uint_eq(f.p50_ns, histogram_highest_of(histogram_index(5000000)));
    ck_assert_uint_eq(f.p99_ns, histogram_highest_of(histogram_index(7000000)));
    ck_assert(!interval_figures(s, 1, METRIC_TOOL_CALL, &f));
    ck_assert(interval_figures(s, 1, METRIC_QUEUE_WAIT, &f));
    ck_assert(!interval_figures(s, 2, METRIC_QUEUE_WAIT, &f));
    ck_assert(!interval_figures(s, 2, METRIC_HOP_QUEUE, &f));
    ck_assert_uint_eq(interval_counter(s, 0, COUNTER_POLLS), 3);
    ck_assert_uint_eq(interval_counter(s, 1, COUNTER_POLLS), 4);
    ck_assert_uint_eq(interval_counter(s, 2, COUNTER_POLLS), 0);
}
END_TEST

/* Records in two recorders, of which one comes later, through several foldings. */
START_TEST(folding_loses_nothing)
{
    struct prng p = prng_stream(1, 0, "fold", 0, 0);
    CLEANUP(recorder_free_p) struct recorder *a = recorder_make();
    CLEANUP(recorder_free_p) struct recorder *b = recorder_make();
    CLEANUP(interval_series_free_p) struct interval_series *s = series_make(0, 8, INTERVAL_BYTES_MIN);
    const struct recorder *const all[] = {a, b};
    uint64_t polls = 0, counted = 0;

    for (nsec_t t = 1; t <= 77; t++) {
        size_t n = t > 20 ? 2 : 1;

        for (uint64_t k = prng_below(&p, 40); k > 0; k--) {
            enum metric m = (enum metric)prng_below(&p, INTERVAL_METRICS);

            recorder_record(prng_below(&p, n) ? b : a, m,
                            prng_below(&p, HISTOGRAM_HIGHEST_NS * 11 / 10 >> prng_below(&p, 30)));
            recorder_count(a, COUNTER_POLLS, k);
            polls += k;
        }
        interval_cut(s, all, n, t * 100);
        ck_assert_uint_lt(interval_count(s), 8);
        for (uint32_t i = 0; i < interval_count(s); i++)
            ck_assert_uint_eq(interval_end(s, i) - interval_start(s, i), 100 * interval_fold(s));
    }
    ck_assert_uint_eq(interval_fold(s), 16);
    recorder_record(b, METRIC_MCP_CALL, 123456);
    interval_finish(s, all, 2, 7750);
    ck_assert_uint_eq(interval_end(s, interval_count(s) - 1), 7750);
    for (enum metric m = 0; m < INTERVAL_METRICS; m++) check_whole(s, all, 2, m);
    for (uint32_t i = 0; i < interval_count(s); i++) counted += interval_counter(s, i, COUNTER_POLLS);
    ck_assert_uint_eq(counted, polls);
}
END_TEST

START_TEST(what_comes_at_the_time_of_the_last_cut_is_kept)
{
    CLEANUP(recorder_free_p) struct recorder *r = recorder_make();
    CLEANUP(interval_series_free_p) struct interval_series *s = series_make(0, 10, INTERVAL_BYTES_MIN);
    const struct recorder *const all[] = {r};

    for (nsec_t t = 100; t <= 300; t += 100) {
        recorder_record(r, METRIC_HTTP_REQUEST, t * 1000);
        interval_cut(s, all, 1, t);
    }
    interval_finish(s, all, 1, 300);
    ck_assert_uint_eq(interval_count(s), 3);
    recorder_record(r, METRIC_HTTP_REQUEST, 77777);
    recorder_record(r, METRIC_QUEUE_WAIT, 77777);
    interval_finish(s, all, 1, 300);
    ck_assert_uint_eq(interval_count(s), 3);
    ck_assert_uint_eq(interval_end(s, 2), 300);
    check_whole(s, all, 1, METRIC_HTTP_REQUEST);
    check_whole(s, all, 1, METRIC_QUEUE_WAIT);
}
END_TEST

START_TEST(a_run_that_ends_as_it_starts)
{
    CLEANUP(recorder_free_p) struct recorder *r = recorder_make();
    CLEANUP(interval_series_free_p) struct interval_series *s = series_make(500, 10, INTERVAL_BYTES_MIN);
    const struct recorder *const all[] = {r};

    interval_finish(s, all, 1, 500);
    ck_assert_uint_eq(interval_count(s), 0);
    recorder_record(r, METRIC_QUEUE_WAIT, 1);
    interval_finish(s, all, 1, 500);
    ck_assert_uint_eq(interval_count(s), 1);
    check_whole(s, all, 1, METRIC_QUEUE_WAIT);
}
END_TEST

/* Fills a metric's histogram to its last cell, with counts that take nine bytes. */
static void stuff(struct recorder *r, enum metric m)
{
    struct histogram *h = (struct histogram *)(uintptr_t)recorder_histogram(r, m);

    for (uint32_t i = 0; i <= histogram_index(HISTOGRAM_HIGHEST_NS); i++)
        histogram_record_many(h, histogram_lowest_of(i), UINT64_C(1) << 30);
}

START_TEST(the_bound_on_bytes_folds_too)
{
    CLEANUP(recorder_free_p) struct recorder *r = recorder_make();
    CLEANUP(interval_series_free_p) struct interval_series *s = series_make(0, 1000, INTERVAL_BYTES_MIN);
    const struct recorder *const all[] = {r};
    nsec_t total = 0;

    for (nsec_t t = 1; t <= 60; t++) {
        for (enum metric m = 0; m < 9; m++) stuff(r, m);
        interval_cut(s, all, 1, t);
    }
    interval_finish(s, all, 1, 61);
    ck_assert_uint_gt(interval_fold(s), 1);
    ck_assert_uint_lt(interval_count(s), 30);
    for (uint32_t i = 0; i < interval_count(s); i++) total += interval_end(s, i) - interval_start(s, i);
    for (uint32_t i = 0; i + 1 < interval_count(s); i++)
        ck_assert_uint_eq(interval_end(s, i) - interval_start(s, i), interval_fold(s));
    ck_assert_uint_eq(total, 61);
    for (enum metric m = 0; m < 9; m++) check_whole(s, all, 1, m);
}
END_TEST

START_TEST(the_log_holds_all_intervals)
{
    CLEANUP(recorder_free_p) struct recorder *r = recorder_make();
    CLEANUP(interval_series_free_p) struct interval_series *s = series_make(0, 10, INTERVAL_BYTES_MIN);
    CLEANUP(str_deinit) struct str text = STR_INIT(1 << 20);
    const struct recorder *const all[] = {r};
    static struct histogram h;
    struct hlog_reader reader;
    struct hlog_record record;

    recorder_record(r, METRIC_MCP_CALL, 5000000);
    recorder_record(r, METRIC_TOOL_CALL, 6000000);
    interval_cut(s, all, 1, NSEC_PER_S);
    recorder_record(r, METRIC_TOOL_CALL, 8000000);
    interval_cut(s, all, 1, 2 * NSEC_PER_S);
    ck_assert_int_eq(hlog_header(&text, 0), 0);
    ck_assert_int_eq(interval_hlog(s, &text), 0);
    hlog_reader_init(&reader, str_text(&text), str_len(&text));
    ck_assert_int_eq(hlog_next(&reader, &record, &h), 1);
    ck_assert_str_eq(record.tag, "tool.call");
    ck_assert_uint_eq(record.start, 0);
    ck_assert_int_eq(hlog_next(&reader, &record, &h), 1);
    ck_assert_str_eq(record.tag, "mcp.call");
    ck_assert_int_eq(hlog_next(&reader, &record, &h), 1);
    ck_assert_str_eq(record.tag, "tool.call");
    ck_assert_uint_eq(record.start, NSEC_PER_S);
    ck_assert_uint_eq(record.length, NSEC_PER_S);
    ck_assert_uint_eq(record.max, 8000000);
    ck_assert_uint_eq(h.count, 1);
    ck_assert_int_eq(hlog_next(&reader, &record, &h), 0);
}
END_TEST

int main(void)
{
    return run_suite("interval",
                     TESTS(cuts_part_the_samples, folding_loses_nothing,
                           what_comes_at_the_time_of_the_last_cut_is_kept, a_run_that_ends_as_it_starts,
                           the_bound_on_bytes_folds_too, the_log_holds_all_intervals),
                     NO_TESTS);
}
