/*
 * What the option table cannot say of one element: keys that depend on each other, repeated elements. See
 * option_table.finish and .prepare.
 */
#pragma once

#include "sim/plan/context.h"

/* Elements that can be given `repeat` times. */
struct step_draft {
    struct plan_step step;
    uint32_t repeat;
};
struct turn_draft {
    struct plan_turn turn;
    uint32_t repeat;
};

int load_finish(struct context *c, json_t *in, void *element);
int call_finish(struct context *c, json_t *in, void *element);
int turn_finish(struct context *c, json_t *in, void *element);
int script_finish(struct context *c, json_t *in, void *element);
int orchestrator_finish(struct context *c, json_t *in, void *element);
int retry_finish(struct context *c, json_t *in, void *element);
int runner_finish(struct context *c, json_t *in, void *element);
int fault_finish(struct context *c, json_t *in, void *element);

/* A runner without start times gets those of its provider. A new reference, NULL when out of memory. */
json_t *runner_prepare(json_t *in);
