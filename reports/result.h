/*
 * The result of a run: figures made from what was recorded, written to and read from result.json.
 *
 *     struct run_result      what a finished run hands over (recorder, series, spans: memory of the run)
 *     struct result          the figures, plain data; what tables and pages are made of
 *     result.json            the same figures ("windtunnel.result/1"; reports/result.schema.json,
 * docs/RESULTS.md) intervals.hlog         the histograms themselves, by interval and metric
 *
 *     result_new(&run, &result);  result_write(result, "out", &error);  result_read(path, &result, &error);
 *
 * result_read() of what result_write() wrote gives an equal struct, so a report made again is the same
 * report.
 */
#pragma once

#include "reports/host.h"
#include "reports/objectives.h"
#include "sim/base/cleanup.h"
#include "sim/base/intern.h"
#include "sim/base/str.h"
#include "sim/base/vec.h"
#include "sim/plan/plan.h"
#include "sim/record/interval.h"
#include "sim/record/recorder.h"
#include "sim/record/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RESULT_SCHEMA "windtunnel.result/1"

/* A result file that is longer is refused. */
#define RESULT_FILE_BYTES_MAX ((size_t)256 << 20)

/* Slowest calls kept with their segments, at most. */
#define RESULT_SLOWEST_MAX 100

/* One clear line without a newline: what failed, on which file, why. */
struct report_error {
    char text[1024];
};

/* A result file that is none of ours, or damaged; the error says where. */
#define RESULT_E_INVALID 1

/* Work of the engine, the same on every machine for a virtual run. Live: zeros. */
struct engine_figures {
    uint64_t deliveries;
    uint64_t polls;
    uint64_t timers;
    uint64_t timers_dead;
};

/* What a finished run hands over. Everything is borrowed for the call of result_new(). */
struct run_result {
    const struct plan *plan;
    const char *clock; /* "live" or "virtual" */
    bool interrupted;
    const char *const *invalid_reasons; /* that the driver found; result_new() adds its own */
    size_t invalid_reason_count;
    const char *digest; /* of a virtual run; NULL or "" otherwise */
    const struct host_facts *host;
    const struct recorder *recorder;      /* of all roles, merged, hops added (recorder_add_hops()) */
    const struct interval_series *series; /* may be NULL */
    const struct span_report *spans;      /* may be NULL */
    uint64_t marks_dropped;               /* of all roles: struct span_buffer.dropped */
    nsec_t end_ns;                        /* when the run was over, in run time */
    struct engine_figures engine;
    const char *const *flow_names; /* by kind; NULL, or beyond: "kind_7" */
    size_t flow_name_count;
    /* Sandbox time billed, by runner pool of the plan. NULL: the counter sandbox_ns counts, which has a price
     * only if all pools have the same. */
    const uint64_t *pool_sandbox_ns;
    /* The run is invalid if the load ran later than this: see docs/RESULTS.md. 0: RESULT_SCHEDULE_LAG_MAX_NS.
     */
    nsec_t schedule_lag_max_ns;
};

#define RESULT_SCHEDULE_LAG_MAX_NS (50 * NSEC_PER_MS)
/* Where there are too few sessions for a p90, none may be later than so many times that. A virtual machine
 * that pauses once, for up to 130 ms as was seen, does not make a run invalid; a load that stood still does.
 */
#define RESULT_SCHEDULE_LAG_SINGLE 4

/* Quantiles of a metric that have a field of their own. */
enum figure_rank { FIGURE_P50, FIGURE_P90, FIGURE_P99, FIGURE_P999, FIGURE_QUANTILES };

/* In ppm. */
extern const uint32_t figure_rank_ppm[FIGURE_QUANTILES];

struct result_point {
    uint32_t q_ppm;
    nsec_t ns;
};

/* One metric. Numbers that there are not are FIGURE_NONE. */
struct result_metric {
    uint64_t count;
    uint64_t saturated; /* samples above 1 h, counted as 1 h */
    uint64_t min_ns, mean_ns, max_ns;
    uint64_t quantile_ns[FIGURE_QUANTILES];
    VEC(struct result_point) curve; /* as far as the samples support it */
};

/* The samples of a metric under one of the names by which they are told apart. */
struct result_part {
    const char *name; /* "mcp.call{server=search}" */
    enum metric metric;
    struct result_metric figures; /* without a curve */
};

struct result_account {
    uint64_t opened;
    uint64_t ends[LEDGER_END_COUNT];
    uint64_t carried_in, carried_out, overflow, open, open_max;
    bool balanced; /* opened = sum of the ends, nothing open, nothing beyond the limit */
};

struct result_flow {
    const char *kind;
    uint64_t counts[FLOW_FATE_COUNT];
};

/* The messages of a link in one direction. */
struct result_way {
    const char *link;             /* "client-orchestrator", …, "tunnel", "none" */
    const char *from, *to;        /* roles: who sends and who receives */
    const char *may_lose;         /* why fewer may have ended than were emitted; NULL: they must balance */
    uint64_t given_up;            /* flows that the sender broke off */
    bool balanced;                /* as far as they must */
    uint32_t first_flow, n_flows; /* in result.way_flows: kinds that occurred */
};

/* Counters that are also told a second. */
enum rate { RATE_CONNECTIONS, RATE_HANDSHAKES, RATE_COUNT };

/* How often a counter grew a second, as a decimal text with three places, rounded down. */
struct result_rate {
    const char *mean;  /* over the whole run */
    const char *peak;  /* in the interval where it was highest, one cut short by the end taken as whole; NULL:
                          no axis */
    nsec_t peak_at_ns; /* start of that interval */
};

/* Static; asserts the range. */
enum counter rate_counter(enum rate rate);

/* One hop over all complete calls. sum_ns over all hops is result.hops_total_ns, exactly. */
struct result_hop {
    uint64_t calls; /* in which it occurred */
    uint64_t sum_ns;
    uint64_t mean_ns; /* over the calls in which it occurred */
    uint64_t p50_ns, p99_ns;
};

struct result_segment {
    enum mark from, to;
    enum hop hop;
    nsec_t length_ns;
};

struct result_call {
    uint64_t call_id;
    nsec_t start_ns, total_ns;
    uint32_t first_segment, n_segments; /* in result.segments */
};

/* One metric in one interval. */
struct result_cut {
    nsec_t start_ns; /* of the interval */
    uint64_t count;
    uint64_t p50_ns, p99_ns, max_ns; /* FIGURE_NONE where too few samples */
};

struct result_fault {
    const char *text; /* "kill orchestrator", "cut connector-edge" */
    nsec_t at_ns, for_ns;
};

/* All figures of one run. Text lives as long as the result. */
struct result {
    struct intern texts; /* owns all text */

    const char *scenario, *about, *sha256, *deployment, *clock;
    bool informational;
    uint64_t seed;
    uint32_t replicate;
    nsec_t duration_ns, drain_ns, end_ns;

    bool valid, interrupted;
    VEC(const char *) invalid_reasons;
    const char *digest; /* "" unless virtual */
    struct host_facts host;
    struct engine_figures engine;

    VEC(struct objective_result) objectives;

    enum ledger_verdict verdict;
    struct result_account accounts[ACCOUNT_COUNT];
    struct result_metric metrics[METRIC_COUNT];
    VEC(struct result_part) parts; /* of metrics with more than one name, by metric; the largest index last */
    uint64_t counters[COUNTER_COUNT];
    struct result_rate rates[RATE_COUNT];
    VEC(struct result_flow) flows; /* kinds that occurred */
    VEC(struct result_way) ways;   /* on which there were any */
    VEC(struct result_flow) way_flows;
    bool flows_balanced; /* each way is */

    uint64_t hops_calls, hops_calls_open, hops_calls_shed, hops_marks_stray, hops_marks_dropped,
        hops_total_ns;
    uint64_t hops_p50_ns, hops_p99_ns;
    struct result_hop hops[HOP_COUNT];
    VEC(struct result_call) slowest;
    VEC(struct result_segment) segments;

    uint64_t sandbox_ns;
    const char *money; /* exact decimal of US dollars, "0.0123"; NULL: no price given */

    nsec_t intervals_start_ns;
    VEC(nsec_t) interval_ends_ns; /* each interval starts where the one before ended */
    VEC(struct result_cut) cuts[INTERVAL_METRICS];
    VEC(struct result_fault) faults;
};

/* Makes the figures. 0; -ENOMEM; -EOVERFLOW for a sum of 2^63 or more (292 years). */
int result_new(const struct run_result *run, struct result **ret_result);

/* Whether a kind's counts are as they must be: emitted = decoded + returned + cut, or, where messages may be
 * lost (not NULL), no more of them than were emitted. */
bool result_flow_fits(const struct result_flow *flow, const char *may_lose);

/* NULL is allowed. */
void result_free(struct result *result);
DEFINE_CLEANUP(struct result *, result_free)

/* Appends result.json, the same bytes for the same figures. 0 or str's error. */
int result_format(const struct result *result, struct str *out);

/* The other way round. `name` stands in errors. 0; RESULT_E_INVALID; -ENOMEM. */
int result_parse(const char *text, size_t len, const char *name, struct result **ret_result,
                 struct report_error *ret_error);

/* The folder of a result below the run's folder: "<deployment>/<replicate>". What a file name cannot hold in
 * a deployment's name (anything but letters, digits, '.', '_', '-'; a leading '.') becomes %XX. 0 or str's
 * error. */
int result_folder(const char *deployment, uint32_t replicate, struct str *out);

/* Writes <out_dir>/<deployment>/<replicate>/result.json, making the folders. Each file appears whole or not
 * at all. 0, or a negative errno (-ENOSPC, -EACCES, …) with `ret_error` filled. */
int result_write(const struct result *result, const char *out_dir, struct report_error *ret_error);

/* Writes intervals.hlog beside it: each interval and metric of the series, then hop.* as one interval of the
 * whole run. Its wall time is host.started_unix_ns for a live run and 0 for a virtual one. As result_write().
 */
int result_write_hlog(const struct result *result, const struct run_result *run, const char *out_dir,
                      struct report_error *ret_error);

/* Reads a result.json. 0; RESULT_E_INVALID; a negative errno; the error is filled for all but 0. */
int result_read(const char *path, struct result **ret_result, struct report_error *ret_error);

/* Whether all objectives are met. */
bool result_met(const struct result *result);

/*
 * The exit code for results together: 4 if a ledger or the flows are unbalanced, else 3 if one is invalid,
 * else 1 if an objective of one that is not informational is missed, else 0. 130 (interrupted) is the
 * caller's.
 */
int results_exit_code(const struct result *const *results, size_t count);

/* Appends nanoseconds times nanodollars per second as an exact decimal of dollars, at least two places. */
int money_format(unsigned __int128 nanodollar_ns, struct str *out);
