/* Bounds of memory that follow from the plan. */
#pragma once

#include "sim/plan/plan.h"
#include "sim/record/recorder.h"

/* A recorder large enough for any one process of the plan. `zeroed` is set: for fresh mappings and calloc().
 */
struct recorder_options recorder_options_of(const struct plan *plan);
