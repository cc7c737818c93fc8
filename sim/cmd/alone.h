/*
 * One role alone: the same components and surfaces as in a run, without a supervisor, until SIGTERM or
 * SIGINT.
 */
#pragma once

#include "sim/base/str.h"
#include "sim/live/driver.h"

struct alone {
    struct event_base *base;
    struct plan *plan;
    struct recorder *recorder;
    struct driver *driver;
    struct event *signals[2];
};

/* Loads the scenario `document` and makes a driver. Returns 0, or an exit code after one clear line. */
int alone_new(struct alone *a, const char *document);

/* Adds a component. 0, or an exit code after one clear line. */
int alone_add(struct alone *a, addr_t self);

/* Prints `ready` (one line of JSON) and runs until a signal; then drains for at most `grace_ns`. */
void alone_run(struct alone *a, const struct str *ready, nsec_t grace_ns);

/* Before the surfaces are freed. */
void alone_stop(struct alone *a);
void alone_deinit(struct alone *a);

/* "command: why" on standard error; EXIT_BAD_INPUT. */
int alone_refuse(const char *command, const char *why, int error);
