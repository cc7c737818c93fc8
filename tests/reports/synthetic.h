/* A run that never took place, the same each time: for tests of what is made of a run. */
#pragma once

#include "reports/result.h"

struct synthetic {
    struct plan plan;
    struct plan_objective objectives[7];
    struct plan_fault faults[6];
    struct plan_runner runners[2];
    struct plan_mcp mcp[2];
    struct host_facts host;
    struct recorder *recorder;
    struct interval_series *series;
    struct span_report *spans;
    struct run_result run;
};

/* Everything set up, `run` ready for result_new(). Aborts if it cannot. */
void synthetic_init(struct synthetic *s);
void synthetic_deinit(struct synthetic *s);

/* Its result. */
struct result *synthetic_result(const struct synthetic *s);
