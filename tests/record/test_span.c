#include "sim/base/cleanup.h"
#include "sim/base/prng.h"
#include "sim/record/span.h"
#include "tests/record/suite.h"

#include <string.h>

/* A buffer on the heap; the caller frees it. */
static struct span_buffer *buffer_new(uint32_t marks_max, uint32_t sample_every)
{
    return span_buffer_init(malloc(span_buffer_size(marks_max)), marks_max, sample_every);
}

/* Joins the buffers, up to a NULL. */
static struct span_report *join(uint32_t slowest_max, struct span_buffer *const *buffers)
{
    struct span_source sources[8];
    struct span_report *report = NULL;
    size_t n = 0;

    for (; buffers[n]; n++) sources[n] = span_buffer_source(buffers[n]);
    ck_assert_int_eq(span_join(sources, n, &(struct span_join_options){.slowest_max = slowest_max}, &report),
                     0);
    return report;
}

#define JOIN(slowest_max, ...) join(slowest_max, (struct span_buffer *const[]){__VA_ARGS__, NULL})

static void check_sums(const struct span_report *report)
{
    unsigned __int128 hops = 0;

    for (enum hop h = 0; h < HOP_COUNT; h++) {
        hops += report->hops[h].sum_ns;
        ck_assert(histogram_sum(&report->hops[h].histogram) == report->hops[h].sum_ns);
        ck_assert_uint_eq(histogram_count(&report->hops[h].histogram), report->hops[h].calls);
    }
    ck_assert(hops == report->sum_ns);
    ck_assert_uint_eq(histogram_count(&report->total), report->calls);
    for (uint32_t i = 0; i < report->n_slowest; i++) {
        const struct span_call *call = &report->slowest[i];
        nsec_t by_hop = 0, by_segment = 0;

        for (enum hop h = 0; h < HOP_COUNT; h++) by_hop += call->hops_ns[h];
        for (uint32_t s = 0; s < call->n_segments; s++)
            by_segment += report->segments[call->first_segment + s].length_ns;
        ck_assert_uint_eq(by_hop, call->total_ns);
        ck_assert_uint_eq(by_segment, call->total_ns);
        if (i > 0) ck_assert_uint_ge(report->slowest[i - 1].total_ns, call->total_ns);
    }
}

/* A worker's call: the orchestrator's marks in one buffer and the worker's in another. */
static void worker_call(struct span_buffer *orchestrator, struct span_buffer *worker, uint64_t id, nsec_t at)
{
    span_mark(orchestrator, id, MARK_CALL_START, at);
    span_mark(orchestrator, id, MARK_QUEUED, at + 1000);
    span_mark(orchestrator, id, MARK_LEASED, at + 31000);
    span_mark(worker, id, MARK_CLAIMED, at + 36000);
    span_mark(worker, id, MARK_SANDBOX_READY, at + 136000);
    span_mark(worker, id, MARK_EXEC_DONE, at + 636000);
    span_mark(worker, id, MARK_SPILL_DONE, at + 656000);
    span_mark(worker, id, MARK_RESULT_SENT, at + 657000);
    span_mark(orchestrator, id, MARK_RESULT_BACK, at + 662000);
    span_mark(orchestrator, id, MARK_CALL_END, at + 663000);
}

START_TEST(a_workers_call_is_parted_into_hops)
{
    _cleanup_free_ struct span_buffer *a = buffer_new(100, 1), *b = buffer_new(100, 1);
    CLEANUP(span_report_free_p) struct span_report *report = NULL;
    const struct span_call *call;

    worker_call(a, b, 7, 5000000);
    report = JOIN(10, a, b);
    ck_assert_uint_eq(report->calls, 1);
    ck_assert_uint_eq(report->n_slowest, 1);
    call = &report->slowest[0];
    ck_assert_uint_eq(call->call_id, 7);
    ck_assert_uint_eq(call->start, 5000000);
    ck_assert_uint_eq(call->total_ns, 663000);
    ck_assert_uint_eq(call->n_segments, 9);
    ck_assert_uint_eq(call->hops_ns[HOP_QUEUE], 31000);
    ck_assert_uint_eq(call->hops_ns[HOP_CLAIM], 5000);
    ck_assert_uint_eq(call->hops_ns[HOP_COLD_START], 100000);
    ck_assert_uint_eq(call->hops_ns[HOP_EXECUTION], 500000);
    ck_assert_uint_eq(call->hops_ns[HOP_SPILL], 20000);
    ck_assert_uint_eq(call->hops_ns[HOP_RETURN], 7000);
    ck_assert_uint_eq(report->hops[HOP_TUNNEL].calls, 0);
    check_sums(report);
}
END_TEST

START_TEST(an_mcp_call_with_a_retry)
{
    _cleanup_free_ struct span_buffer *b = buffer_new(100, 1);
    CLEANUP(span_report_free_p) struct span_report *report = NULL;
    const struct span_call *call;

    span_mark(b, 1, MARK_CALL_START, 0);
    span_mark(b, 1, MARK_ATTEMPT_START, 10);
    span_mark(b, 1, MARK_ATTEMPT_END, 110); /* refused in the tunnel */
    span_mark(b, 1, MARK_RETRY_WAIT, 110);
    span_mark(b, 1, MARK_ATTEMPT_START, 1110);
    span_mark(b, 1, MARK_STREAM_READY, 1310);
    span_mark(b, 1, MARK_GATEWAY_IN, 1360);
    span_mark(b, 1, MARK_UPSTREAM_IN, 1363);
    span_mark(b, 1, MARK_UPSTREAM_OUT, 6363);
    span_mark(b, 1, MARK_GATEWAY_OUT, 6365);
    span_mark(b, 1, MARK_ATTEMPT_END, 6400);
    span_mark(b, 1, MARK_CALL_END, 6401);
    report = JOIN(1, b);
    call = &report->slowest[0];
    ck_assert_uint_eq(call->hops_ns[HOP_QUEUE], 10);
    ck_assert_uint_eq(call->hops_ns[HOP_RETRY], 1000);
    ck_assert_uint_eq(call->hops_ns[HOP_TUNNEL], 100 + 250 + 35);
    ck_assert_uint_eq(call->hops_ns[HOP_GATEWAY], 5);
    ck_assert_uint_eq(call->hops_ns[HOP_UPSTREAM], 5000);
    ck_assert_uint_eq(call->hops_ns[HOP_RETURN], 1);
    ck_assert_uint_eq(call->hops_ns[HOP_OTHER], 0);
    check_sums(report);
}
END_TEST

START_TEST(an_attempt_that_starts_as_the_last_one_ends)
{
    _cleanup_free_ struct span_buffer *b = buffer_new(100, 1);
    CLEANUP(span_report_free_p) struct span_report *report = NULL;

    span_mark(b, 1, MARK_CALL_START, 0);
    span_mark(b, 1, MARK_ATTEMPT_START, 0);
    span_mark(b, 1, MARK_STREAM_READY, 10);
    span_mark(b, 1, MARK_GATEWAY_IN, 20);
    span_mark(b, 1, MARK_ATTEMPT_END, 1020);
    span_mark(b, 1, MARK_RETRY_WAIT, 1020);
    span_mark(b, 1, MARK_ATTEMPT_START, 1020);
    span_mark(b, 1, MARK_STREAM_READY, 1050);
    span_mark(b, 1, MARK_ATTEMPT_END, 1060);
    span_mark(b, 1, MARK_CALL_END, 1060);
    report = JOIN(1, b);
    ck_assert_uint_eq(report->slowest[0].hops_ns[HOP_GATEWAY], 1000);
    ck_assert_uint_eq(report->slowest[0].hops_ns[HOP_TUNNEL], 60);
    ck_assert_uint_eq(report->slowest[0].hops_ns[HOP_OTHER], 0);
    check_sums(report);
}
END_TEST

START_TEST(calls_that_are_not_complete_are_left_out)
{
    _cleanup_free_ struct span_buffer *b = buffer_new(100, 1);
    CLEANUP(span_report_free_p) struct span_report *report = NULL;

    span_mark(b, 1, MARK_CALL_START, 10); /* no end */
    span_mark(b, 1, MARK_QUEUED, 20);
    span_mark(b, 2, MARK_CALL_END, 30); /* no start */
    span_mark(b, 3, MARK_CLAIMED, 40);
    span_mark(b, 4, MARK_CALL_END, 50); /* the wrong way round */
    span_mark(b, 4, MARK_CALL_START, 60);
    span_mark(b, 5, MARK_RESULT_SENT, 5); /* a mark before and two after: strays */
    span_mark(b, 5, MARK_CALL_START, 10);
    span_mark(b, 5, MARK_CALL_END, 20);
    span_mark(b, 5, MARK_RESULT_SENT, 21);
    span_mark(b, 5, MARK_RESULT_BACK, 22);
    span_mark(b, 6, MARK_CALL_START, 10); /* no time at all */
    span_mark(b, 6, MARK_CALL_END, 10);
    report = JOIN(10, b);
    ck_assert_uint_eq(report->calls, 2);
    ck_assert_uint_eq(report->calls_open, 4);
    ck_assert_uint_eq(report->marks_stray, 3);
    ck_assert(report->sum_ns == 10);
    ck_assert_uint_eq(report->slowest[0].hops_ns[HOP_OTHER], 10);
    check_sums(report);
}
END_TEST

/* Its output is large, and waits for a worker and for a sandbox before it is put aside. */
START_TEST(an_mcp_call_with_a_spill)
{
    _cleanup_free_ struct span_buffer *b = buffer_new(100, 1);
    CLEANUP(span_report_free_p) struct span_report *report = NULL;
    const struct span_call *call;

    span_mark(b, 1, MARK_CALL_START, 0);
    span_mark(b, 1, MARK_ATTEMPT_START, 0);
    span_mark(b, 1, MARK_UPSTREAM_IN, 100);
    span_mark(b, 1, MARK_UPSTREAM_OUT, 5100);
    span_mark(b, 1, MARK_ATTEMPT_END, 5200);
    span_mark(b, 1, MARK_LEASED, 35200);
    span_mark(b, 1, MARK_CLAIMED, 35207);
    span_mark(b, 1, MARK_SANDBOX_READY, 75207);
    span_mark(b, 1, MARK_SPILL_DONE, 75807);
    span_mark(b, 1, MARK_RESULT_SENT, 75807);
    span_mark(b, 1, MARK_RESULT_BACK, 75812);
    span_mark(b, 1, MARK_CALL_END, 75812);
    report = JOIN(10, b);
    call = &report->slowest[0];
    ck_assert_uint_eq(call->hops_ns[HOP_UPSTREAM], 5000);
    ck_assert_uint_eq(call->hops_ns[HOP_TUNNEL], 200);
    ck_assert_uint_eq(call->hops_ns[HOP_QUEUE], 30000);
    ck_assert_uint_eq(call->hops_ns[HOP_CLAIM], 7);
    ck_assert_uint_eq(call->hops_ns[HOP_COLD_START], 40000);
    ck_assert_uint_eq(call->hops_ns[HOP_SPILL], 600);
    ck_assert_uint_eq(call->hops_ns[HOP_RETURN], 5);
    ck_assert_uint_eq(report->hops[HOP_OTHER].calls, 0);
    check_sums(report);
}
END_TEST

START_TEST(refused_calls_are_counted_and_left_out)
{
    _cleanup_free_ struct span_buffer *a = buffer_new(100, 1), *b = buffer_new(100, 1);
    CLEANUP(span_report_free_p) struct span_report *report = NULL;

    worker_call(a, b, 7, 5000);
    span_mark(a, 8, MARK_CALL_START, 10);
    span_mark(b, 8, MARK_CLAIMED, 20);
    span_mark(b, 8, MARK_RESULT_SENT, 20);
    span_mark(a, 8, MARK_CALL_SHED, 30);
    report = JOIN(10, a, b);
    ck_assert_uint_eq(report->calls, 1);
    ck_assert_uint_eq(report->calls_shed, 1);
    ck_assert_uint_eq(report->calls_open, 0);
    ck_assert_uint_eq(report->n_slowest, 1);
    check_sums(report);
}
END_TEST

START_TEST(nothing_joins_to_nothing)
{
    CLEANUP(span_report_free_p) struct span_report *report = NULL;

    ck_assert_int_eq(span_join(NULL, 0, &(struct span_join_options){.slowest_max = 5}, &report), 0);
    ck_assert_uint_eq(report->calls, 0);
    ck_assert_uint_eq(report->n_slowest, 0);
    check_sums(report);
    span_report_free(NULL);
}
END_TEST

START_TEST(the_order_of_the_sources_does_not_show)
{
    struct prng p = prng_stream(1, 0, "span", 0, 0);
    _cleanup_free_ struct span_buffer *a = buffer_new(20000, 1), *b = buffer_new(20000, 1);
    CLEANUP(span_report_free_p) struct span_report *one = NULL;
    CLEANUP(span_report_free_p) struct span_report *two = NULL;

    /* Any marks at any times, with many ties. */
    for (int i = 0; i < 15000; i++) {
        span_mark(prng_below(&p, 2) ? a : b, prng_below(&p, 500), prng_below(&p, MARK_CALL_SHED),
                  prng_below(&p, 1000) * 1000);
        span_mark(prng_below(&p, 2) ? a : b, prng_below(&p, 500), prng_below(&p, MARK_CALL_SHED),
                  prng_below(&p, 1000) * 1000);
    }
    one = JOIN(50, a, b);
    two = JOIN(50, b, a);
    ck_assert_uint_gt(one->calls, 400);
    ck_assert_uint_eq(one->n_slowest, 50);
    check_sums(one);
    ck_assert_mem_eq(one->slowest, two->slowest, 50 * sizeof(*one->slowest));
    ck_assert_uint_eq(one->n_segments, two->n_segments);
    ck_assert_mem_eq(one->segments, two->segments, one->n_segments * sizeof(*one->segments));
    ck_assert_mem_eq(&one->hops, &two->hops, sizeof(one->hops));
}
END_TEST

START_TEST(a_full_buffer_says_so)
{
    _cleanup_free_ struct span_buffer *b = buffer_new(3, 1);

    for (uint64_t id = 0; id < 5; id++) span_mark(b, id, MARK_QUEUED, id);
    ck_assert_uint_eq(span_buffer_source(b).n_marks, 3);
    ck_assert_uint_eq(b->dropped, 2);
    span_mark(NULL, 1, MARK_QUEUED, 1);
}
END_TEST

START_TEST(sampling_keeps_calls_whole)
{
    _cleanup_free_ struct span_buffer *a = buffer_new(50000, 10), *b = buffer_new(50000, 10);
    CLEANUP(span_report_free_p) struct span_report *report = NULL;

    for (uint64_t id = 1; id <= 3000; id++) worker_call(a, b, id, id * 1000);
    report = JOIN(0, a, b);
    ck_assert_uint_gt(report->calls, 230);
    ck_assert_uint_lt(report->calls, 370);
    ck_assert_uint_eq(report->calls_open, 0);
    ck_assert_uint_eq(report->n_slowest, 0);
    ck_assert_uint_eq(report->hops[HOP_EXECUTION].calls, report->calls);
    ck_assert(report->sum_ns == (unsigned __int128)663000 * report->calls);
    for (uint64_t id = 1; id < 100; id++) ck_assert(span_sampled(id, 1));
    check_sums(report);
}
END_TEST

START_TEST(the_usual_course_has_no_other)
{
    /* From each mark of a path to each later one that optional marks may leave adjacent. */
    static const enum mark worker[] = {MARK_CALL_START, MARK_QUEUED,      MARK_LEASED,      MARK_CLAIMED,
                                       MARK_EXEC_DONE,  MARK_RESULT_SENT, MARK_RESULT_BACK, MARK_CALL_END};
    static const enum mark mcp[] = {MARK_CALL_START,  MARK_ATTEMPT_START, MARK_STREAM_READY,
                                    MARK_GATEWAY_IN,  MARK_UPSTREAM_IN,   MARK_UPSTREAM_OUT,
                                    MARK_GATEWAY_OUT, MARK_ATTEMPT_END,   MARK_CALL_END};

    for (size_t i = 0; i + 1 < sizeof(worker) / sizeof(worker[0]); i++)
        ck_assert_uint_ne(hop_between(worker[i], worker[i + 1]), HOP_OTHER);
    for (size_t i = 0; i + 1 < sizeof(mcp) / sizeof(mcp[0]); i++)
        ck_assert_uint_ne(hop_between(mcp[i], mcp[i + 1]), HOP_OTHER);
    ck_assert_uint_eq(hop_between(MARK_CALL_START, MARK_CALL_END), HOP_OTHER);
    ck_assert_uint_eq(hop_between(MARK_CALL_END, MARK_CALL_START), HOP_OTHER);
}
END_TEST

int main(void)
{
    return run_suite("span",
                     TESTS(a_workers_call_is_parted_into_hops, an_mcp_call_with_a_retry,
                           an_attempt_that_starts_as_the_last_one_ends,
                           calls_that_are_not_complete_are_left_out, an_mcp_call_with_a_spill,
                           refused_calls_are_counted_and_left_out, nothing_joins_to_nothing,
                           the_order_of_the_sources_does_not_show, a_full_buffer_says_so,
                           sampling_keeps_calls_whole, the_usual_course_has_no_other),
                     NO_TESTS);
}
