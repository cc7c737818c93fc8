/*
 * run.json: what was asked of a run, and which results exist. Written again after each result, so that an
 * interrupted run tells what there is.
 */
#pragma once

#include "reports/result.h"
#include "sim/base/intern.h"
#include "sim/base/vec.h"

#include <stdbool.h>
#include <stdint.h>

#define RUN_SCHEMA "windtunnel.run/1"

/* One result that exists. */
struct run_entry {
    const char *deployment;
    uint32_t replicate;
    const char *path; /* of its result.json, relative to the run's folder */
    bool valid, met, balanced, informational;
};

/* Text passed to the functions below is copied. */
struct run_file {
    struct intern texts;
    const char *scenario, *sha256, *scenario_path, *clock, *build;
    uint64_t seed;
    uint32_t replicates;
    bool interrupted;
    VEC(const char *) sets;        /* --set, as given */
    VEC(const char *) deployments; /* asked for */
    VEC(struct run_entry) results;
};

/* An empty one. Nothing is allocated yet. */
void run_file_init(struct run_file *run);
void run_file_deinit(struct run_file *run);

/* Copies a text; for the fields of run_file. NULL when out of memory or beyond 16 MiB. */
const char *run_file_text(struct run_file *run, const char *text);

/* Adds what there is to say of a result that was written (or replaces what was said of it). 0 or -ENOMEM. */
int run_file_add(struct run_file *run, const struct result *result);

/* Writes <out_dir>/run.json, making the folder. 0, or a negative errno with the error filled. */
int run_json_write(const struct run_file *run, const char *out_dir, struct report_error *ret_error);

/* Reads <out_dir>/run.json into an initialised run_file. As result_read(). */
int run_json_read(const char *out_dir, struct run_file *run, struct report_error *ret_error);

/* Reads <out_dir>/run.json and all results that it names. `ret_results` is for results_free(). As
 * result_read(). */
int run_results_read(const char *out_dir, struct run_file *run, struct result ***ret_results,
                     size_t *ret_count, struct report_error *ret_error);
void results_free(struct result **results, size_t count);
