/* One run of a scenario file on the virtual clock, in one call. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/panic.h"
#include "sim/plan/parse.h"
#include "sim/record/recorder.h"
#include "sim/virtual/engine.h"
#include "sim/world/limits.h"

struct scenario_run_options {
    const char *path, *deployment;
    const char *const *sets; /* "/pointer=value", ends with NULL; or NULL */
    uint64_t seed;
    uint32_t replicate;
    uint64_t shuffle_ties;
    bool (*on_interval)(void *user, nsec_t now, const struct recorder *recorder);
    void (*on_event)(void *user, uint64_t number, nsec_t now, const struct event *ev);
    void *user;
};

struct scenario_run {
    const struct scenario_run_options *options;
    struct plan *plan;
    struct recorder *recorder;
    struct engine_result result;
};

static inline struct plan_load_options scenario_load_options(const struct scenario_run_options *o)
{
    struct plan_load_options load = {.path = o->path,
                                     .deployment = o->deployment,
                                     .sets = o->sets,
                                     .seed = o->seed,
                                     .replicate = o->replicate};

    while (o->sets && o->sets[load.set_count]) load.set_count++;
    return load;
}

static inline bool scenario_run_interval(void *user, nsec_t now)
{
    const struct scenario_run *run = user;

    return run->options->on_interval(run->options->user, now, run->recorder);
}

static inline void scenario_run_event(void *user, uint64_t number, nsec_t now, const struct event *ev)
{
    const struct scenario_run *run = user;

    run->options->on_event(run->options->user, number, now, ev);
}

/* Panics when the scenario cannot be loaded. Freed with scenario_run_end(). */
static inline void scenario_run(struct scenario_run *run, const struct scenario_run_options *o)
{
    struct plan_load_options load = scenario_load_options(o);
    struct engine_options engine = {.shuffle_ties = o->shuffle_ties,
                                    .on_interval = o->on_interval ? scenario_run_interval : NULL,
                                    .on_event = o->on_event ? scenario_run_event : NULL,
                                    .user = run};
    struct recorder_options recorder;
    struct plan_error error;

    *run = (struct scenario_run){.options = o};
    if (plan_load(&load, &run->plan, &error) != 0) PANIC("%s", error.text);
    recorder = recorder_options_of(run->plan);
    if (recorder_new(&recorder, &run->recorder) < 0) PANIC("out of memory");
    engine.plan = run->plan;
    engine.recorder = run->recorder;
    if (engine_run(&engine, &run->result) < 0) PANIC("out of memory");
}

static inline void scenario_run_end(struct scenario_run *run)
{
    recorder_free(run->recorder);
    plan_free(run->plan);
}

/* What is wrong with the books of a run that is over, or NULL. */
static inline const char *scenario_run_wrong(const struct scenario_run *run)
{
    static char text[200];
    enum account account;
    uint32_t kind;
    enum ledger_verdict verdict = ledger_check(recorder_ledger(run->recorder), &account);

    if (verdict == LEDGER_UNBALANCED)
        snprintf(text, sizeof text, "the ledger is not balanced: %s", account_name(account));
    else if (verdict == LEDGER_OVERFLOWED)
        snprintf(text, sizeof text, "the ledger overflowed: %s", account_name(account));
    else if (!flowcount_balanced(recorder_flows(run->recorder), &kind))
        snprintf(text, sizeof text, "flows are not balanced: %s", msg_kind_name(kind));
    else
        return NULL;
    return text;
}
