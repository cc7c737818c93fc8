/*
 * Scenario files into plans.
 *
 * A scenario is one JSON document ("windtunnel.scenario/1"; the keys are in docs/SCENARIO.md). What is loaded
 * is the document after the `--set` changes, with one deployment's merge patch applied and every default
 * filled in.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "sim/base/cleanup.h"
#include "sim/plan/plan.h"

#define PLAN_FILE_BYTES_MAX  (4u << 20) /* of a scenario file, and of a profile file */
#define PLAN_DEPTH_MAX       32         /* levels of JSON */
#define PLAN_ARENA_BYTES     (64u << 20)
#define PLAN_SETS_MAX        256
#define PLAN_DEPLOYMENTS_MAX 256
#define PLAN_SCHEMA          "windtunnel.scenario/1"
#define PLAN_ERROR_BYTES     2048

/* The input is wrong; the error says where and what. */
#define PLAN_E_INVALID 1

/* One line without a newline: "file:line:col: /json/pointer: what is wrong, what is allowed", or for a value
 * that a --set gave, or that does not go with what a --set gave: "--set /pointer=value: /json/pointer: …".
 * The whole document's pointer is printed as "/". */
struct plan_error {
    char text[PLAN_ERROR_BYTES];
};

/* The names that objectives may speak of. */
struct plan_names {
    const char *const *metrics; /* for p50 …, mean, max, min, count, rate */
    size_t metric_count;
    const char *const *ends; /* "account.end": for count, rate, ratio */
    size_t end_count;
    const char *const *counters; /* for count, rate */
    size_t counter_count;
    const char *split_metrics[SPLIT_COUNT]; /* of the metrics those that may be named as metric{key=name} */
};

struct plan_load_options {
    const char *path; /* the file; with `text`, only its name in errors and where profiles are looked for */
    const char *text; /* the document itself, instead of reading the file; NULL: read it */
    const char *deployment;  /* NULL: the first */
    const char *const *sets; /* "/pointer=value" each */
    size_t set_count;
    uint64_t seed; /* below 2^63 */
    uint32_t replicate;
    const char *profiles_dir; /* where provider profiles are that are not beside the scenario; may be NULL */
    const struct plan_names *names; /* NULL: objectives' subjects are not looked up */
};

/*
 * Loads a plan. Returns 0, PLAN_E_INVALID with `ret_error` filled, or -ENOMEM (ret_error says so). The plan
 * holds nothing of the options; free it with plan_free(). `scenario_sha256` is left empty: it is the SHA-256
 * of plan_document().
 */
int plan_load(const struct plan_load_options *options, struct plan **ret_plan, struct plan_error *ret_error);

/* The names of the deployments, in the document's order; { "default" } where it has none. `ret_names` is one
 * allocation for free(), names included. Only `path`, `text` and `sets` of the options count. Errors as
 * above. */
int plan_deployments(const struct plan_load_options *options, char ***ret_names, size_t *ret_count,
                     struct plan_error *ret_error);

/* The document given, after --set, in canonical form: compact, keys in the order written. Owned by the plan.
 */
const char *plan_document(const struct plan *plan);

/* The resolved document: this deployment merged in, every default filled in, provider profiles replaced by
 * their quantiles, keys in the order of the option table. Loads again to the same plan. Ends in a newline.
 * Owned by the plan. */
const char *plan_resolved(const struct plan *plan);

DEFINE_CLEANUP(struct plan *, plan_free)
