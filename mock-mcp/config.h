/*
 * The configuration of a standalone mock: the keys of one MCP server as they stand in a scenario, with
 * defaults of their own, and a few about the wire. Read by the scenario's parser, so that errors name file,
 * line, column and key.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "sim/plan/parse.h"

struct str;

struct mock_config {
    struct plan *plan; /* one MCP server, nothing else that matters; owned */
    unsigned revisions, tools;
    bool event_streams;
};

/* `path`: NULL for the defaults alone. 0, PLAN_E_INVALID with `ret_error`, or -ENOMEM. */
int mock_config_load(const char *path, uint64_t seed, struct mock_config *ret_config,
                     struct plan_error *ret_error);
void mock_config_deinit(struct mock_config *config);

/* Appends the keys with their defaults and meanings, a line each. */
void mock_config_put_help(struct str *out);
