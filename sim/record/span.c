#include "sim/record/span.h"

#include "sim/base/cleanup.h"
#include "sim/base/mix.h"
#include "sim/base/panic.h"
#include "sim/record/shared.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SLOWEST_MAX 10000u

_Static_assert(METRIC_COUNT - METRIC_HOP_QUEUE == HOP_COUNT, "a metric for each hop");
_Static_assert(sizeof(struct span_mark) == 24, "marks have no holes");

/* The marks of one call among the sorted ones: [first, first + n), CALL_START to CALL_END. */
struct stretch {
    uint64_t call_id;
    nsec_t start;
    nsec_t total_ns;
    size_t first;
    size_t n;
};

const char *mark_name(enum mark mark)
{
    static const char *const names[MARK_COUNT] = {
        [MARK_CALL_START] = "call_start",
        [MARK_QUEUED] = "queued",
        [MARK_LEASED] = "leased",
        [MARK_CLAIMED] = "claimed",
        [MARK_SANDBOX_READY] = "sandbox_ready",
        [MARK_EXEC_DONE] = "exec_done",
        [MARK_SPILL_DONE] = "spill_done",
        [MARK_RESULT_SENT] = "result_sent",
        [MARK_RESULT_BACK] = "result_back",
        [MARK_ATTEMPT_START] = "attempt_start",
        [MARK_STREAM_READY] = "stream_ready",
        [MARK_GATEWAY_IN] = "gateway_in",
        [MARK_UPSTREAM_IN] = "upstream_in",
        [MARK_UPSTREAM_OUT] = "upstream_out",
        [MARK_GATEWAY_OUT] = "gateway_out",
        [MARK_ATTEMPT_END] = "attempt_end",
        [MARK_RETRY_WAIT] = "retry_wait",
        [MARK_CALL_END] = "call_end",
        [MARK_CALL_SHED] = "call_shed",
    };

    ASSERT(mark < MARK_COUNT);
    return names[mark];
}

enum mark mark_find(const char *name)
{
    for (enum mark m = 0; m < MARK_COUNT; m++)
        if (strcmp(mark_name(m), name) == 0) return m;
    return MARK_COUNT;
}

enum metric hop_metric(enum hop hop)
{
    ASSERT(hop < HOP_COUNT);
    return METRIC_HOP_QUEUE + hop;
}

const char *hop_name(enum hop hop)
{
    return metric_name(hop_metric(hop)) + strlen("hop.");
}

/*
 * One row for each pair of marks that can follow each other, in the usual course, when optional marks are
 * left out, and after failures. What is not here is HOP_OTHER. Stored one higher, so that zero is a pair
 * without a row.
 */
#define PAIR(from, to, hop) [MARK_##from][MARK_##to] = HOP_##hop + 1

static const uint8_t hop_table[MARK_COUNT][MARK_COUNT] = {
    /* A worker's call. */
    PAIR(CALL_START, QUEUED, QUEUE),
    PAIR(CALL_START, LEASED, QUEUE),
    PAIR(CALL_START, CLAIMED, CLAIM), /* the session has a worker already: an event is delivered */
    PAIR(QUEUED, LEASED, QUEUE),
    PAIR(QUEUED, CLAIMED, QUEUE),
    PAIR(QUEUED, CALL_END, QUEUE), /* given up while it waited */
    PAIR(LEASED, CLAIMED, CLAIM),
    PAIR(LEASED, CALL_END, CLAIM),
    PAIR(CLAIMED, SANDBOX_READY, COLD_START),
    PAIR(CLAIMED, EXEC_DONE, EXECUTION), /* a sandbox was there */
    PAIR(CLAIMED, CALL_END, COLD_START),
    PAIR(CLAIMED, RESULT_SENT, RETURN), /* refused by a limit */
    PAIR(SANDBOX_READY, EXEC_DONE, EXECUTION),
    PAIR(SANDBOX_READY, CALL_END, EXECUTION),
    PAIR(EXEC_DONE, SPILL_DONE, SPILL),
    PAIR(EXEC_DONE, RESULT_SENT, RETURN),
    PAIR(EXEC_DONE, RESULT_BACK, RETURN),
    PAIR(EXEC_DONE, CALL_END, RETURN),
    PAIR(SPILL_DONE, SPILL_DONE, SPILL),
    PAIR(SPILL_DONE, RESULT_SENT, RETURN),
    PAIR(SPILL_DONE, RESULT_BACK, RETURN),
    PAIR(SPILL_DONE, CALL_END, RETURN),
    PAIR(RESULT_SENT, RESULT_BACK, RETURN),
    PAIR(RESULT_SENT, CALL_END, RETURN),
    PAIR(RESULT_SENT, RESULT_SENT, RETRY), /* posted again */
    PAIR(RESULT_BACK, RESULT_SENT, RETURN),
    PAIR(RESULT_BACK, RESULT_BACK, RETURN),
    PAIR(RESULT_BACK, CALL_END, RETURN),
    /* The lease was lost, and the item is queued or claimed again. */
    PAIR(QUEUED, QUEUED, RETRY),
    PAIR(LEASED, QUEUED, RETRY),
    PAIR(LEASED, LEASED, RETRY),
    PAIR(CLAIMED, QUEUED, RETRY),
    PAIR(CLAIMED, LEASED, RETRY),
    PAIR(CLAIMED, CLAIMED, RETRY),
    PAIR(SANDBOX_READY, QUEUED, RETRY),
    PAIR(SANDBOX_READY, LEASED, RETRY),
    PAIR(SANDBOX_READY, CLAIMED, RETRY),
    PAIR(EXEC_DONE, QUEUED, RETRY),
    PAIR(EXEC_DONE, LEASED, RETRY),
    PAIR(EXEC_DONE, CLAIMED, RETRY),
    PAIR(SPILL_DONE, QUEUED, RETRY),
    PAIR(SPILL_DONE, LEASED, RETRY),
    PAIR(SPILL_DONE, CLAIMED, RETRY),
    PAIR(RESULT_SENT, QUEUED, RETRY),
    PAIR(RESULT_SENT, LEASED, RETRY),
    PAIR(RESULT_SENT, CLAIMED, RETRY),
    /* An MCP call. */
    PAIR(CALL_START, ATTEMPT_START, QUEUE),
    PAIR(ATTEMPT_START, STREAM_READY, TUNNEL),
    PAIR(ATTEMPT_START, GATEWAY_IN, TUNNEL),
    PAIR(ATTEMPT_START, UPSTREAM_IN, TUNNEL), /* no gateway between */
    PAIR(ATTEMPT_START, ATTEMPT_END, TUNNEL), /* refused or lost on the way */
    PAIR(STREAM_READY, STREAM_READY, TUNNEL),
    PAIR(STREAM_READY, GATEWAY_IN, TUNNEL),
    PAIR(STREAM_READY, UPSTREAM_IN, TUNNEL),
    PAIR(STREAM_READY, ATTEMPT_END, TUNNEL),
    PAIR(GATEWAY_IN, UPSTREAM_IN, GATEWAY),
    PAIR(GATEWAY_IN, GATEWAY_OUT, GATEWAY), /* the proxy answered for itself */
    PAIR(GATEWAY_IN, ATTEMPT_END, GATEWAY),
    PAIR(UPSTREAM_IN, UPSTREAM_OUT, UPSTREAM),
    PAIR(UPSTREAM_IN, GATEWAY_OUT, UPSTREAM), /* the proxy gave up waiting */
    PAIR(UPSTREAM_IN, ATTEMPT_END, UPSTREAM), /* the caller gave up waiting */
    PAIR(UPSTREAM_OUT, GATEWAY_OUT, GATEWAY),
    PAIR(UPSTREAM_OUT, ATTEMPT_END, TUNNEL),
    PAIR(GATEWAY_OUT, UPSTREAM_OUT, UPSTREAM), /* an answer that came too late */
    PAIR(GATEWAY_OUT, ATTEMPT_END, TUNNEL),
    PAIR(ATTEMPT_END, CALL_END, RETURN),
    PAIR(ATTEMPT_END, RESULT_BACK, RETURN),
    /* Its large result is put aside by the session's worker: from here on as a worker's call. */
    PAIR(ATTEMPT_END, QUEUED, QUEUE),
    PAIR(ATTEMPT_END, LEASED, QUEUE),
    PAIR(ATTEMPT_END, CLAIMED, CLAIM),
    PAIR(ATTEMPT_END, SPILL_DONE, SPILL),
    PAIR(CLAIMED, SPILL_DONE, SPILL),
    PAIR(SANDBOX_READY, SPILL_DONE, SPILL),
    /* Another attempt. */
    PAIR(ATTEMPT_END, RETRY_WAIT, RETRY),
    PAIR(ATTEMPT_END, ATTEMPT_START, RETRY),
    PAIR(RETRY_WAIT, ATTEMPT_START, RETRY),
    PAIR(RETRY_WAIT, CALL_END, RETRY),
    /* An attempt that starts at the very moment at which the one before ended sorts in front of that end. */
    PAIR(ATTEMPT_START, ATTEMPT_START, TUNNEL),
    PAIR(STREAM_READY, ATTEMPT_START, TUNNEL),
    PAIR(GATEWAY_IN, ATTEMPT_START, GATEWAY),
    PAIR(UPSTREAM_IN, ATTEMPT_START, UPSTREAM),
    PAIR(UPSTREAM_OUT, ATTEMPT_START, TUNNEL),
    PAIR(GATEWAY_OUT, ATTEMPT_START, TUNNEL),
    PAIR(ATTEMPT_END, STREAM_READY, TUNNEL),
    PAIR(ATTEMPT_END, GATEWAY_IN, TUNNEL),
    PAIR(ATTEMPT_END, ATTEMPT_END, TUNNEL),
    PAIR(RETRY_WAIT, STREAM_READY, TUNNEL),
    PAIR(RETRY_WAIT, GATEWAY_IN, TUNNEL),
    PAIR(RETRY_WAIT, ATTEMPT_END, TUNNEL),
};

enum hop hop_between(enum mark from, enum mark to)
{
    ASSERT(from < MARK_COUNT && to < MARK_COUNT);
    return hop_table[from][to] ? (enum hop)(hop_table[from][to] - 1) : HOP_OTHER;
}

size_t span_buffer_size(uint32_t marks_max)
{
    return sizeof(struct span_buffer) + marks_max * sizeof(struct span_mark);
}

struct span_buffer *span_buffer_init(void *memory, uint32_t marks_max, uint32_t sample_every)
{
    struct span_buffer *b = memory;

    ASSERT(sample_every > 0 && (uintptr_t)memory % 8 == 0);
    *b = (struct span_buffer){.marks_max = marks_max, .sample_every = sample_every};
    return b;
}

bool span_sampled(uint64_t call_id, uint32_t sample_every)
{
    return sample_every == 1 || mix64(call_id) % sample_every == 0;
}

void span_mark(struct span_buffer *b, uint64_t call_id, enum mark mark, nsec_t at)
{
    ASSERT(mark < MARK_COUNT);
    if (!b || !span_sampled(call_id, b->sample_every)) return;
    if (b->used >= b->marks_max) {
        shared_add(&b->dropped, 1);
        return;
    }
    b->marks[b->used] = (struct span_mark){.call_id = call_id, .at = at, .mark = mark};
    shared_add(&b->used, 1);
}

struct span_source span_buffer_source(const struct span_buffer *b)
{
    return (struct span_source){b->marks, shared_load(&b->used)};
}

static int mark_compare(const void *pa, const void *pb)
{
    const struct span_mark *a = pa, *b = pb;

    if (a->call_id != b->call_id) return a->call_id < b->call_id ? -1 : 1;
    if (a->at != b->at) return a->at < b->at ? -1 : 1;
    return (a->mark > b->mark) - (a->mark < b->mark);
}

/* The longest first. */
static int stretch_compare(const void *pa, const void *pb)
{
    const struct stretch *a = pa, *b = pb;

    if (a->total_ns != b->total_ns) return a->total_ns > b->total_ns ? -1 : 1;
    if (a->start != b->start) return a->start < b->start ? -1 : 1;
    return (a->call_id > b->call_id) - (a->call_id < b->call_id);
}

/* All marks in one array, sorted. */
static int gather(const struct span_source *sources, size_t n_sources, struct span_mark **ret_marks,
                  size_t *ret_n)
{
    struct span_mark *marks;
    size_t n = 0;

    for (size_t i = 0; i < n_sources; i++) {
        n += sources[i].n_marks;
        if (n > INT32_MAX) return -EOVERFLOW;
    }
    marks = malloc((n + 1) * sizeof(*marks));
    if (!marks) return -ENOMEM;
    *ret_n = n;
    n = 0;
    for (size_t i = 0; i < n_sources; i++) {
        if (sources[i].n_marks == 0) continue;
        memcpy(marks + n, sources[i].marks, sources[i].n_marks * sizeof(*marks));
        n += sources[i].n_marks;
    }
    qsort(marks, n, sizeof(*marks), mark_compare);
    *ret_marks = marks;
    return 0;
}

/* Adds up one complete call, into `ret_call` and, unless that is NULL, lists its segments in `ret_segments`.
 */
static void measure(const struct span_mark *marks, const struct stretch *s, struct span_call *ret_call,
                    bool ret_occurs[HOP_COUNT], struct span_segment *ret_segments)
{
    *ret_call = (struct span_call){.call_id = s->call_id, .start = s->start, .total_ns = s->total_ns};
    for (size_t i = s->first; i + 1 < s->first + s->n; i++) {
        enum mark from = marks[i].mark, to = marks[i + 1].mark;
        enum hop hop = hop_between(from, to);
        nsec_t length_ns = marks[i + 1].at - marks[i].at;

        ret_call->hops_ns[hop] += length_ns;
        ret_occurs[hop] = true;
        if (ret_segments) ret_segments[i - s->first] = (struct span_segment){from, to, hop, length_ns};
    }
    ret_call->n_segments = (uint32_t)(s->n - 1);
}

static void tally(struct span_report *report, const struct span_mark *marks, const struct stretch *s)
{
    bool occurs[HOP_COUNT] = {false};
    struct span_call call;

    measure(marks, s, &call, occurs, NULL);
    report->calls++;
    report->sum_ns += call.total_ns;
    histogram_record(&report->total, call.total_ns);
    for (enum hop hop = 0; hop < HOP_COUNT; hop++) {
        if (!occurs[hop]) continue;
        report->hops[hop].calls++;
        report->hops[hop].sum_ns += call.hops_ns[hop];
        histogram_record(&report->hops[hop].histogram, call.hops_ns[hop]);
    }
}

/* Finds the first CALL_START and the last CALL_END after it among the marks [first, end) of one call. */
static bool stretch_find(const struct span_mark *marks, size_t first, size_t end, struct stretch *ret_stretch)
{
    size_t start = first, stop = end;

    while (start < end && marks[start].mark != MARK_CALL_START) start++;
    while (stop > start && marks[stop - 1].mark != MARK_CALL_END) stop--;
    if (stop <= start) return false;
    *ret_stretch = (struct stretch){
        .call_id = marks[start].call_id,
        .start = marks[start].at,
        .total_ns = marks[stop - 1].at - marks[start].at,
        .first = start,
        .n = stop - start,
    };
    return true;
}

static bool was_shed(const struct span_mark *marks, size_t first, size_t end)
{
    for (; first < end; first++)
        if (marks[first].mark == MARK_CALL_SHED) return true;
    return false;
}

/* Tallies all calls, and lists the complete ones in `ret_stretches`, which has room for half as many as there
 * are marks. */
static size_t tally_all(struct span_report *report, const struct span_mark *marks, size_t n_marks,
                        struct stretch *ret_stretches)
{
    size_t n = 0;

    for (size_t first = 0, end; first < n_marks; first = end) {
        for (end = first + 1; end < n_marks && marks[end].call_id == marks[first].call_id;) end++;
        if (was_shed(marks, first, end)) {
            report->calls_shed++;
            continue;
        }
        if (!stretch_find(marks, first, end, &ret_stretches[n])) {
            report->calls_open++;
            continue;
        }
        report->marks_stray += end - first - ret_stretches[n].n;
        tally(report, marks, &ret_stretches[n]);
        n++;
    }
    return n;
}

static int keep_slowest(struct span_report *report, const struct span_mark *marks, struct stretch *stretches,
                        size_t n, uint32_t slowest_max)
{
    size_t n_segments = 0;

    qsort(stretches, n, sizeof(*stretches), stretch_compare);
    if (n > slowest_max) n = slowest_max;
    for (size_t i = 0; i < n; i++) n_segments += stretches[i].n - 1;
    report->slowest = calloc(n + 1, sizeof(*report->slowest));
    report->segments = calloc(n_segments + 1, sizeof(*report->segments));
    if (!report->slowest || !report->segments) return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        bool occurs[HOP_COUNT];

        measure(marks, &stretches[i], &report->slowest[i], occurs, report->segments + report->n_segments);
        report->slowest[i].first_segment = report->n_segments;
        report->n_segments += report->slowest[i].n_segments;
    }
    report->n_slowest = (uint32_t)n;
    return 0;
}

static struct span_report *span_report_new(void)
{
    struct span_report *report = calloc(1, sizeof(*report));

    if (!report) return NULL;
    histogram_init_zeroed(&report->total);
    for (enum hop hop = 0; hop < HOP_COUNT; hop++) histogram_init_zeroed(&report->hops[hop].histogram);
    return report;
}

int span_join(const struct span_source *sources, size_t n_sources, const struct span_join_options *options,
              struct span_report **ret_report)
{
    CLEANUP(span_report_free_p) struct span_report *report = NULL;
    _cleanup_free_ struct span_mark *marks = NULL;
    _cleanup_free_ struct stretch *stretches = NULL;
    size_t n_marks, n_stretches;
    int r;

    ASSERT(options->slowest_max <= SLOWEST_MAX);
    r = gather(sources, n_sources, &marks, &n_marks);
    if (r < 0) return r;
    report = span_report_new();
    stretches = malloc((n_marks / 2 + 1) * sizeof(*stretches));
    if (!report || !stretches) return -ENOMEM;
    n_stretches = tally_all(report, marks, n_marks, stretches);
    r = keep_slowest(report, marks, stretches, n_stretches, options->slowest_max);
    if (r < 0) return r;
    *ret_report = steal_ptr(report);
    return 0;
}

void span_report_free(struct span_report *report)
{
    if (!report) return;
    free(report->slowest);
    free(report->segments);
    free(report);
}
