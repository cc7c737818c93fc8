/*
 * Inside this room: keeping text, and what the files that make a result share.
 */
#pragma once

#include "reports/result.h"
#include "sim/base/intern.h"

#include <string.h>

/* Copies a text into the table; NULL when that fails. */
static inline const char *texts_keep(struct intern *texts, const char *text)
{
    uint32_t id;

    return intern_put(texts, text, strlen(text), &id) < 0 ? NULL : intern_get(texts, id, NULL);
}

/* An empty result with its limits set. -ENOMEM. */
int result_alloc(struct result **ret_result);

/* result_faults.c: the plan's faults in words. */
int result_add_faults(const struct run_result *run, struct result *r);

/* result_flows.c: what became of the messages between components. */
int result_add_flows(const struct run_result *run, struct result *r);

/* result_rates.c: how often counters grew, from the series. */
int result_add_rates(const struct run_result *run, struct result *r);

/* result_validity.c: whether the numbers mean anything, and why not. After all other parts. */
int result_add_validity(const struct run_result *run, struct result *r);
