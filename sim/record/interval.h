/*
 * The time axis of a run: what was recorded between two cuts, for each metric.
 *
 * A series remembers the sums at the last cut; a cut stores, for each metric with new samples, the difference
 * as payload_encode() gives it, and a few figures for charts. Merging all intervals of a metric gives its
 * whole histogram.
 *
 * Memory is bounded by the options. When a bound is reached, neighbouring intervals are merged two by two,
 * nothing is lost, and from then on only every second (fourth, …) cut is kept: an interval is then twice
 * (four times, …) as long. So a run of any length has between half of intervals_max and intervals_max
 * intervals, but for its start.
 */
#pragma once

#include "sim/base/cleanup.h"
#include "sim/base/nsec.h"
#include "sim/base/str.h"
#include "sim/record/counter.h"
#include "sim/record/metrics.h"
#include "sim/record/payload.h"
#include "sim/record/recorder.h"

#include <stddef.h>
#include <stdint.h>

/* The metrics of a series: all but hop.*, which come at the end of a run. */
#define INTERVAL_METRICS METRIC_HOP_QUEUE

/* Room for two intervals with the largest payloads that there can be: 7 MB. */
#define INTERVAL_BYTES_MIN (2u * INTERVAL_METRICS * PAYLOAD_SIZE_MAX)

struct interval_options {
    nsec_t start;           /* of the first interval, in run time */
    uint32_t intervals_max; /* even, 2 … 10,000; about 1.5 kB each */
    size_t bytes_max; /* for all payloads together, INTERVAL_BYTES_MIN … 1 GiB; touched as it is used. An
                       * interval takes 40 bytes for each metric that has samples, and 2 or 3 for each cell
                       * that has some */
};

/* What one metric did in one interval. */
struct interval_figures {
    uint64_t count; /* never 0 */
    nsec_t p50_ns;  /* within one histogram bucket; whether so few samples support these two says */
    nsec_t p99_ns;  /* histogram_quantile_supported(count, …) */
    nsec_t max_ns;  /* within one histogram bucket */
    nsec_t mean_ns;
    uint64_t saturated;
    const uint8_t *payload; /* valid until the next cut */
    size_t n_payload;
};

struct interval_series; /* interval.c */

/* About 3.5 MB and the bounds. Returns 0, -ENOMEM; asserts the ranges of the options. */
int interval_series_new(const struct interval_options *options, struct interval_series **ret_series);

/* NULL is allowed. */
void interval_series_free(struct interval_series *series);
DEFINE_CLEANUP(struct interval_series *, interval_series_free)

/*
 * Ends the current interval at `now` (later than its start, else nothing happens). `recorders` are all that
 * there ever were: the list may grow from cut to cut but must keep those of dead roles, since only sums are
 * compared. They may be in use by their writers. The hop.* metrics are left out: they come at the end of a
 * run.
 */
void interval_cut(struct interval_series *series, const struct recorder *const *recorders, size_t n_recorders,
                  nsec_t now);

/* As interval_cut(), for the last time: what is between the last kept cut and `now` is stored whatever its
 * length. */
void interval_finish(struct interval_series *series, const struct recorder *const *recorders,
                     size_t n_recorders, nsec_t now);

/* How many intervals there are. */
uint32_t interval_count(const struct interval_series *series);

/* How many calls of interval_cut() make one interval now: 1, 2, 4, … */
uint32_t interval_fold(const struct interval_series *series);

/* Start and end of interval `i`; asserts i < interval_count(). Intervals touch. */
nsec_t interval_start(const struct interval_series *series, uint32_t i);
nsec_t interval_end(const struct interval_series *series, uint32_t i);

/* The figures of a metric in interval `i`. False, with the output untouched, where it had no samples. */
bool interval_figures(const struct interval_series *series, uint32_t i, enum metric metric,
                      struct interval_figures *ret_figures);

/* How much a counter grew in interval `i`. */
uint64_t interval_counter(const struct interval_series *series, uint32_t i, enum counter counter);

/* Appends all intervals as lines of an interval log, by interval and then by metric, tagged with the metric's
 * name. hlog_header() comes before. Returns 0 or str's error. */
int interval_hlog(const struct interval_series *series, struct str *out);
