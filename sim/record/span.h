/*
 * Marks of tool calls, and the hops between them.
 *
 * Each process marks the moments of a call that it sees, under the call's id from the wire, on the run's one
 * clock. Joined over all processes, consecutive marks of a call bound an interval, a table gives each
 * interval to one hop, and so the hops of a call add up to CALL_END - CALL_START exactly, by construction.
 *
 * Sampling keeps a call everywhere or nowhere: the choice is a hash of its id.
 */
#pragma once

#include "sim/base/cleanup.h"
#include "sim/base/nsec.h"
#include "sim/record/histogram.h"
#include "sim/record/metrics.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The moments. At equal times marks of one call are put in this order, so it is the order of the usual
 * course. Those of a worker's call and those of an MCP call may be mixed in one call.
 */
enum mark {
    MARK_CALL_START,    /* the agent issues the call */
    MARK_QUEUED,        /* it needs a worker: its item is queued */
    MARK_LEASED,        /* the queue gave the item out (optional: parts waiting from delivery) */
    MARK_CLAIMED,       /* the worker has it */
    MARK_SANDBOX_READY, /* a sandbox is there */
    MARK_EXEC_DONE,     /* the tool has run */
    MARK_SPILL_DONE,    /* a large result has been put aside */
    MARK_RESULT_SENT,   /* the worker sends the result */
    MARK_RESULT_BACK,   /* the orchestrator has it */
    MARK_ATTEMPT_START, /* the caller starts an attempt at an MCP server */
    MARK_STREAM_READY,  /* tunnel stream and inner TLS are usable */
    MARK_GATEWAY_IN,    /* the proxy has the request */
    MARK_UPSTREAM_IN,   /* the MCP server has it */
    MARK_UPSTREAM_OUT,  /* the MCP server has answered */
    MARK_GATEWAY_OUT,   /* the proxy has passed the answer on */
    MARK_ATTEMPT_END,   /* the caller has the answer, or has given up */
    MARK_RETRY_WAIT,    /* a wait before another attempt begins */
    MARK_CALL_END,      /* the agent has the result */
    MARK_CALL_SHED,     /* instead: a limit refused the call, it never ran */
    MARK_COUNT
};

/* Where the time of a call goes. The order is that of METRIC_HOP_QUEUE and the following. */
enum hop {
    HOP_QUEUE,
    HOP_CLAIM,
    HOP_COLD_START,
    HOP_TUNNEL,
    HOP_GATEWAY,
    HOP_UPSTREAM,
    HOP_EXECUTION,
    HOP_SPILL,
    HOP_RETURN,
    HOP_RETRY,
    HOP_OTHER,
    HOP_COUNT
};

struct span_mark {
    uint64_t call_id;
    nsec_t at;
    uint32_t mark; /* enum mark */
    uint32_t unused;
};

/* A bounded array of marks, position-independent. One writer; a reader sees the first `used` marks whole. */
struct span_buffer {
    uint32_t marks_max;
    uint32_t sample_every;
    uint64_t used;
    uint64_t dropped; /* marks of sampled calls for which there was no room */
    struct span_mark marks[];
};

/* The marks of one process, as span_join() wants them. Borrowed. */
struct span_source {
    const struct span_mark *marks;
    size_t n_marks;
};

struct span_segment {
    enum mark from;
    enum mark to;
    enum hop hop;
    nsec_t length_ns;
};

/* One complete call. */
struct span_call {
    uint64_t call_id;
    nsec_t start;    /* at MARK_CALL_START */
    nsec_t total_ns; /* = the sum of hops_ns = the sum over its segments */
    nsec_t hops_ns[HOP_COUNT];
    uint32_t first_segment; /* into span_report.segments */
    uint32_t n_segments;
};

/* One hop over all complete calls. */
struct span_hop {
    uint64_t calls;           /* calls in which it occurred */
    unsigned __int128 sum_ns; /* over all calls; the sums of all hops give span_report.sum_ns exactly */
    struct histogram
        histogram; /* of its length in each call in which it occurred (several segments are added) */
};

struct span_join_options {
    uint32_t slowest_max; /* how many calls to keep in `slowest`; at most 10,000 */
};

/* About 2 MB, on the heap. */
struct span_report {
    uint64_t calls;           /* complete: CALL_START, then CALL_END */
    uint64_t calls_open;      /* with one of the two missing: not in any number below */
    uint64_t calls_shed;      /* with CALL_SHED: not in any other number */
    uint64_t marks_stray;     /* outside their call's start and end: late or doubled */
    unsigned __int128 sum_ns; /* of total_ns of all complete calls */
    struct histogram total;   /* of total_ns */
    struct span_hop hops[HOP_COUNT];
    struct span_call *slowest; /* the longest first; ties by start, then by id */
    uint32_t n_slowest;
    struct span_segment *segments; /* of the calls in `slowest`, each call's in the order of time */
    uint32_t n_segments;
};

/* "call_start", …. Static; asserts the range. */
const char *mark_name(enum mark mark);

/* The mark of that name, or MARK_COUNT. */
enum mark mark_find(const char *name);

/* "queue", "claim", …: the metric's name without "hop.". Static; asserts the range. */
const char *hop_name(enum hop hop);

/* hop.* as a metric; asserts the range. */
enum metric hop_metric(enum hop hop);

/* The hop that the time between two consecutive marks belongs to; HOP_OTHER for a pair without a rule. */
enum hop hop_between(enum mark from, enum mark to);

/* Bytes for a buffer of `marks_max` marks. */
size_t span_buffer_size(uint32_t marks_max);

/* Sets up an empty buffer in memory of span_buffer_size() bytes, aligned to 8. `sample_every`: 1 keeps all
 * calls, n about every n-th; asserts that it is not 0. */
struct span_buffer *span_buffer_init(void *memory, uint32_t marks_max, uint32_t sample_every);

/* Whether a call of this id is kept when one in `sample_every` is. Depends on the two arguments alone. */
bool span_sampled(uint64_t call_id, uint32_t sample_every);

/* Appends a mark if the call is sampled; without room, counts it as dropped. NULL: does nothing. */
void span_mark(struct span_buffer *b, uint64_t call_id, enum mark mark, nsec_t at);

/* The marks in the buffer by now. */
struct span_source span_buffer_source(const struct span_buffer *b);

/*
 * Joins the marks of all sources by call id, at and mark. The order of the sources does not show in the
 * result. Uses memory of the order of all marks. Returns 0; -ENOMEM; -EOVERFLOW for more than 2^31 marks. The
 * report is the caller's: span_report_free().
 */
int span_join(const struct span_source *sources, size_t n_sources, const struct span_join_options *options,
              struct span_report **ret_report);

/* NULL is allowed. */
void span_report_free(struct span_report *report);
DEFINE_CLEANUP(struct span_report *, span_report_free)
