/*
 * Objectives: what a good run looks like, and whether this one was.
 *
 * An objective is a function of a subject, compared with a value. Subjects: a metric's name ("mcp.call"), one
 * of the names by which its samples are told apart ("mcp.call{server=search}"), an account and one of its
 * ends
 * ("call.lost"), a counter's name ("retries").
 *
 *     p50 … p100, mean, min, max (metric)      ns
 *     count (metric, account.end, counter)     a number
 *     rate (the same)                          per hour of the planned duration
 *     ratio (account.end)                      parts per million of what was opened
 *
 * Comparisons are exact; the value that is shown for a rate or a ratio is rounded down. What cannot be known
 * is not met: a percentile that too few samples support (histogram_quantile_supported()), a mean of no
 * samples, a ratio of nothing opened. count and rate of nothing are 0.
 */
#pragma once

#include "sim/base/str.h"
#include "sim/plan/parse.h"
#include "sim/plan/plan.h"
#include "sim/record/recorder.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "There is no number", in every figure of this room. */
#define FIGURE_NONE UINT64_MAX

/* How an objective turned out. */
struct objective_result {
    const char *expr;     /* as written; borrowed */
    enum objective_fn fn; /* tells the unit of the two values */
    enum objective_cmp cmp;
    uint64_t wanted;    /* ns, count, per hour or ppm */
    uint64_t value;     /* the same unit; FIGURE_NONE where there is none */
    const char *reason; /* why there is no value ("too few samples"), else NULL; static */
    uint64_t samples,
        samples_needed; /* with too few samples: how many there are, how many it takes; else 0 */
    bool met;
};

/* The names that the scenario parser checks subjects against: metrics, account.end, counters. Static. */
const struct plan_names *objective_names(void);

/* Evaluates one objective on a finished run's merged recorder. The plan has the names and the planned
 * duration, for rates. A subject that there is not (a plan that was loaded without names) is not met, with
 * the reason "unknown subject".
 */
void objective_evaluate(const struct plan_objective *objective, const struct plan *plan,
                        const struct recorder *recorder, struct objective_result *ret_result);

/* Appends "mcp.call{server=search}": a name by which samples are told apart. 0 or str's error. */
int split_name(const struct plan *plan, enum plan_split split, uint32_t index, struct str *out);

/* Whether all are met; true for none. */
bool objectives_met(const struct objective_result *results, size_t count);

/* "<", "<=", "==", "!=", ">=", ">". Static; asserts the range. */
const char *objective_cmp_text(enum objective_cmp cmp);

/* "quantile", "mean", …: the names in result files. Static; asserts the range. And back: OBJECTIVE_RATIO + 1
 * for none. */
const char *objective_fn_name(enum objective_fn fn);
enum objective_fn objective_fn_find(const char *name);

/*
 * The value at a quantile as this room shows it: histogram_quantile(), but not above the largest sample; the
 * exact largest sample for 1,000,000 ppm. FIGURE_NONE where too few samples support it.
 */
uint64_t figure_quantile(const struct histogram *h, uint32_t q_ppm);
