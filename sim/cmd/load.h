/* Loading a scenario for a command, with its errors told on standard error. */
#pragma once

#include "sim/base/cli.h"
#include "sim/plan/parse.h"

struct scenario {
    const char *path;
    char *text; /* of the file, as it was when it was first read; for scenario_deinit() */
    const struct cli_list *sets;
    uint64_t seed;
};

/* Reads the file, once for all that is loaded from it: who changes it meanwhile changes the next run. What
 * cannot be read is told by whoever loads it. */
void scenario_read(struct scenario *s);
void scenario_deinit(struct scenario *s);

/* Loads one deployment (NULL: the first) with the document's hash filled in. Returns 0, or the exit code
 * after one clear line. */
int scenario_load(const struct scenario *s, const char *deployment, uint32_t replicate, struct plan **ret);

/* The deployments to run: `wanted` is a name, "all", or NULL for the first. `ret_names` is one allocation for
 * free(). */
int scenario_deployments(const struct scenario *s, const char *wanted, char ***ret_names, size_t *ret_count);
