#include "sim/base/cleanup.h"
#include "sim/record/recorder.h"
#include "tests/record/suite.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct recorder_options options = {
    .ledger = {.slots_max = {[ACCOUNT_CALL] = 1000, [ACCOUNT_SESSION] = 10}},
    .marks_max = 1000,
    .sample_every = 1,
};

static void *mapping(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(memory, MAP_FAILED);
    return memory;
}

static struct recorder *make(void)
{
    struct recorder *r = NULL;

    ck_assert_int_eq(recorder_new(&options, &r), 0);
    return r;
}

/* One of everything. */
static void do_something(struct recorder *r, uint64_t id)
{
    uint32_t slot = recorder_open(r, ACCOUNT_CALL);

    recorder_record(r, METRIC_TOOL_CALL, id * 1000);
    recorder_count(r, COUNTER_POLLS, 2);
    recorder_flow(r, WAY(LINK_PROXY_MCP, 1), 5, FLOW_EMITTED, 1);
    recorder_mark(r, id, MARK_CALL_START, id);
    recorder_mark(r, id, MARK_CALL_END, id + 50);
    recorder_end(r, ACCOUNT_CALL, slot, LEDGER_COMPLETED);
}

START_TEST(parts_are_recorded_and_merged)
{
    CLEANUP(recorder_free_p) struct recorder *a = make();
    CLEANUP(recorder_free_p) struct recorder *b = make();
    CLEANUP(recorder_free_p) struct recorder *sum = make();
    struct ledger_totals t;

    do_something(a, 1);
    do_something(b, 2);
    do_something(b, 3);
    recorder_merge(sum, a);
    recorder_merge(sum, b);
    ck_assert_uint_eq(histogram_count(recorder_histogram(sum, METRIC_TOOL_CALL)), 3);
    ck_assert_uint_eq(recorder_counter(sum, COUNTER_POLLS), 6);
    ck_assert_uint_eq(flowcount_sum(recorder_flows(sum), 5, FLOW_EMITTED), 3);
    ledger_totals(recorder_ledger(sum), ACCOUNT_CALL, &t);
    ck_assert_uint_eq(t.opened, 3);
    ck_assert(ledger_balanced(recorder_ledger(sum)));
    ck_assert_uint_eq(span_buffer_source(recorder_spans(b)).n_marks, 4);
    ck_assert_uint_eq(span_buffer_source(recorder_spans(sum)).n_marks, 0);
}
END_TEST

START_TEST(names_are_told_apart)
{
    CLEANUP(recorder_free_p) struct recorder *plain = make();
    CLEANUP(recorder_free_p) struct recorder *a = NULL;
    CLEANUP(recorder_free_p) struct recorder *sum = NULL;
    struct recorder_options split = options;

    split.split_sizes[SPLIT_TOOL] = 4;
    split.split_sizes[SPLIT_SCRIPT] = 2;
    ck_assert_int_eq(recorder_new(&split, &a), 0);
    ck_assert_int_eq(recorder_new(&split, &sum), 0);
    recorder_record_split(a, SPLIT_TOOL, 3, 7000000);
    recorder_record_split(a, SPLIT_SCRIPT, 0, 5000000);
    recorder_record_split(a, SPLIT_SCRIPT, 1, 6000000);
    recorder_record_split(a, SPLIT_SCRIPT, 2, 1); /* there is no such name */
    recorder_record_split(a, SPLIT_SERVER, 0, 1); /* these are not told apart */
    recorder_record_split(plain, SPLIT_TOOL, 0, 1);
    recorder_record_split(NULL, SPLIT_TOOL, 0, 1);
    recorder_merge(sum, a);
    recorder_merge(sum, plain);
    recorder_merge(sum, a);
    recorder_merge(plain, a);
    ck_assert_uint_eq(histogram_count(recorder_split(sum, SPLIT_TOOL, 3)), 2);
    ck_assert_uint_eq(histogram_max(recorder_split(sum, SPLIT_TOOL, 3)), 7000000);
    ck_assert_uint_eq(histogram_count(recorder_split(sum, SPLIT_TOOL, 2)), 0);
    ck_assert_uint_eq(histogram_max(recorder_split(sum, SPLIT_SCRIPT, 0)), 5000000);
    ck_assert_uint_eq(histogram_max(recorder_split(sum, SPLIT_SCRIPT, 1)), 6000000);
    ck_assert_ptr_null(recorder_split(sum, SPLIT_SCRIPT, 2));
    ck_assert_ptr_null(recorder_split(sum, SPLIT_SERVER, 0));
    ck_assert_ptr_null(recorder_split(plain, SPLIT_TOOL, 0));
    ck_assert_uint_eq(histogram_count(recorder_histogram(sum, METRIC_TOOL_CALL)),
                      0); /* the caller's to count */
}
END_TEST

START_TEST(off_records_nothing)
{
    CLEANUP(recorder_free_p) struct recorder *r = make();

    ck_assert(recorder_enabled(r));
    recorder_set_enabled(r, false);
    ck_assert(!recorder_enabled(r));
    do_something(r, 1);
    ck_assert_uint_eq(histogram_count(recorder_histogram(r, METRIC_TOOL_CALL)), 0);
    ck_assert_uint_eq(recorder_counter(r, COUNTER_POLLS), 0);
    ck_assert_uint_eq(flowcount_sum(recorder_flows(r), 5, FLOW_EMITTED), 0);
    ck_assert_uint_eq(span_buffer_source(recorder_spans(r)).n_marks, 0);
    ck_assert(ledger_balanced(recorder_ledger(r)));
    recorder_set_enabled(r, true);
    do_something(r, 1);
    ck_assert_uint_eq(histogram_count(recorder_histogram(r, METRIC_TOOL_CALL)), 1);
}
END_TEST

START_TEST(no_recorder_no_harm)
{
    do_something(NULL, 1);
    recorder_set_enabled(NULL, true);
    ck_assert(!recorder_enabled(NULL));
    recorder_free(NULL);
}
END_TEST

START_TEST(hops_become_metrics)
{
    CLEANUP(recorder_free_p) struct recorder *r = make();
    CLEANUP(span_report_free_p) struct span_report *report = NULL;
    struct span_source source;

    recorder_mark(r, 1, MARK_CALL_START, 0);
    recorder_mark(r, 1, MARK_ATTEMPT_START, 5000000);
    recorder_mark(r, 1, MARK_ATTEMPT_END, 5000000);
    recorder_mark(r, 1, MARK_CALL_END, 7000000);
    source = span_buffer_source(recorder_spans(r));
    ck_assert_int_eq(span_join(&source, 1, &(struct span_join_options){.slowest_max = 1}, &report), 0);
    recorder_add_hops(r, report);
    ck_assert_uint_eq(histogram_max(recorder_histogram(r, METRIC_HOP_QUEUE)), 5000000);
    ck_assert_uint_eq(histogram_max(recorder_histogram(r, METRIC_HOP_RETURN)), 2000000);
    ck_assert_uint_eq(histogram_count(recorder_histogram(r, METRIC_HOP_OTHER)), 0);
}
END_TEST

START_TEST(attaching_checks_what_it_gets)
{
    size_t size = recorder_size(&options);
    _cleanup_free_ uint64_t *memory = aligned_alloc(RECORDER_ALIGN, size);
    struct recorder *r = NULL;

    memset(memory, 0, size);
    ck_assert_int_eq(recorder_attach(memory, size, &r), -EPROTO);
    ck_assert_ptr_null(r);
    recorder_init(memory, size, &options);
    ck_assert_int_eq(recorder_attach(memory, size - 1, &r), -EPROTO);
    ck_assert_int_eq(recorder_attach(memory, 10, &r), -EPROTO);
    ck_assert_int_eq(recorder_attach((char *)memory + 8, size - 8, &r), -EPROTO);
    /* Each word of the head that says where things are. */
    for (int word = 0; word < 6; word++) {
        memory[word]++;
        ck_assert_int_eq(recorder_attach(memory, size, &r), -EPROTO);
        memory[word]--;
    }
    ck_assert_int_eq(recorder_attach(memory, size, &r), 0);
    ck_assert_ptr_eq(r, memory);
}
END_TEST

START_TEST(a_moved_copy_is_as_good)
{
    size_t size = recorder_size(&options);
    CLEANUP(recorder_free_p) struct recorder *r = make();
    _cleanup_free_ void *memory = aligned_alloc(RECORDER_ALIGN, size);
    struct recorder *copy;

    do_something(r, 1);
    memcpy(memory, r, size);
    ck_assert_int_eq(recorder_attach(memory, size, &copy), 0);
    do_something(copy, 2);
    ck_assert_uint_eq(histogram_count(recorder_histogram(copy, METRIC_TOOL_CALL)), 2);
    ck_assert_uint_eq(histogram_count(recorder_histogram(r, METRIC_TOOL_CALL)), 1);
}
END_TEST

START_TEST(a_fresh_mapping_is_touched_little)
{
    static unsigned char resident[4096];
    struct recorder_options fresh = options;
    size_t size = recorder_size(&options), pages = 0;
    void *memory = mapping(size);

    fresh.zeroed = true;
    do_something(recorder_init(memory, size, &fresh), 1);
    ck_assert_uint_lt(size / 4096, sizeof(resident));
    ck_assert_int_eq(mincore(memory, size, resident), 0);
    for (size_t i = 0; i <= size / 4096; i++) pages += resident[i] & 1;
    ck_assert_uint_lt(pages, 60);
    ck_assert_uint_gt(size / 4096, 1000);
    munmap(memory, size);
}
END_TEST

/* The role: records as fast as it can, until it is killed. */
static void record_for_ever(struct recorder *r)
{
    for (uint64_t id = 1;; id++) do_something(r, id % 5000);
}

START_TEST(a_supervisor_reads_while_and_after)
{
    struct recorder_options fresh = options;
    size_t size = recorder_size(&options);
    static struct histogram before, now, delta;

    fresh.zeroed = true;
    for (int round = 0; round < 20; round++) {
        void *memory = mapping(size);
        struct recorder *r = recorder_init(memory, size, &fresh);
        struct ledger_totals t;
        int status;
        pid_t child = fork();

        ck_assert_int_ge(child, 0);
        if (child == 0) record_for_ever(r);
        histogram_init(&before);
        for (int look = 0; look < 20; look++) {
            struct histogram_cell cell;
            uint64_t count = 0;
            uint32_t walk = 0;

            usleep(200 + round);
            histogram_copy(&now, recorder_histogram(r, METRIC_TOOL_CALL));
            while (histogram_next(&now, &walk, &cell)) count += cell.count;
            ck_assert_uint_eq(count, now.count);
            histogram_init(&delta);
            histogram_subtract(&delta, &now, &before); /* asserts that nothing went back */
            before = now;
        }
        kill(child, SIGKILL);
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert(WIFSIGNALED(status));
        ck_assert_int_eq(recorder_attach(memory, size, &r), 0);
        ledger_sweep(recorder_ledger_mutable(r), ACCOUNT_CALL, LEDGER_LOST);
        ck_assert(ledger_balanced(recorder_ledger(r)));
        ledger_totals(recorder_ledger(r), ACCOUNT_CALL, &t);
        histogram_copy(&now, recorder_histogram(r, METRIC_TOOL_CALL));
        /* One sample for each call; the last call may have had its sample or not. */
        ck_assert_uint_ge(now.count + 1, t.opened);
        ck_assert_uint_le(now.count, t.opened);
        ck_assert_uint_le(t.ends[LEDGER_LOST], 1);
        munmap(memory, size);
    }
}
END_TEST

START_TEST(what_ran_is_billed_to_the_end)
{
    CLEANUP(recorder_free_p) struct recorder *r = make();
    struct meter change = {0};

    meter_begin(&change, 10, 3);
    meter_end(&change, 10, 14, 1);
    recorder_meter(r, METER_SANDBOX, &change);
    ck_assert_uint_eq(recorder_counter(r, COUNTER_SANDBOX_NS), 4);
    change = (struct meter){0};
    meter_begin(&change, 20, 1);
    recorder_meter(r, METER_SANDBOX, &change);
    ck_assert_uint_eq(recorder_counter(r, COUNTER_SANDBOX_NS), 4);
    /* Two run since 10, one since 20. */
    recorder_bill_running(r, 100);
    ck_assert_uint_eq(recorder_counter(r, COUNTER_SANDBOX_NS), 4 + 90 + 90 + 80);
    recorder_bill_running(r, 200);
    ck_assert_uint_eq(recorder_counter(r, COUNTER_SANDBOX_NS), 4 + 90 + 90 + 80);
    ck_assert_uint_eq(recorder_counter(r, COUNTER_SANDBOX_IDLE_NS), 0);
}
END_TEST

START_TEST(too_little_memory)
{
    size_t size = recorder_size(&options);
    _cleanup_free_ void *memory = aligned_alloc(RECORDER_ALIGN, size);

    recorder_init(memory, size - 1, &options);
}
END_TEST

START_TEST(no_such_metric)
{
    CLEANUP(recorder_free_p) struct recorder *r = make();

    recorder_record(r, METRIC_COUNT, 1);
}
END_TEST

int main(void)
{
    return run_suite("recorder",
                     TESTS(parts_are_recorded_and_merged, names_are_told_apart, off_records_nothing,
                           no_recorder_no_harm, hops_become_metrics, attaching_checks_what_it_gets,
                           a_moved_copy_is_as_good, a_fresh_mapping_is_touched_little,
                           a_supervisor_reads_while_and_after, what_ran_is_billed_to_the_end),
                     TESTS(too_little_memory, no_such_metric));
}
