/*
 * Lines that tell how far a run is. Pure formatting: the caller has the clock and does the writing.
 */
#pragma once

#include "sim/base/cleanup.h"
#include "sim/base/nsec.h"
#include "sim/base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum progress_mode {
    PROGRESS_NONE,
    PROGRESS_REWRITE, /* one line of a terminal, written over and over */
    PROGRESS_PLAIN,   /* a line each time */
    PROGRESS_JSON,    /* a JSON object on a line each time */
};

struct progress_figures {
    const char *deployment;
    uint32_t replicate, replicates; /* from 0; how many */
    uint32_t step, steps;           /* which run of how many, from 0: deployments times replicates */
    nsec_t now_ns, end_ns;          /* run time; the end that the plan allows */
    nsec_t elapsed_ns;              /* real time of this run so far */
    uint64_t sessions_opened, sessions_ended;
    uint64_t calls_ended;
    bool done;      /* the run is over: the last line */
    bool verifying; /* it is run for --verify first, whose sessions and calls nobody counts */
};

/* "auto", "plain", "json", "none"; NULL is auto. auto: REWRITE if the caller writes to a terminal, else
 * PLAIN. Unknown words: false, untouched. */
bool progress_mode_of(const char *word, bool is_terminal, enum progress_mode *ret_mode);

/* How often a line is worth writing, in real time: 200 ms for REWRITE, 5 s for PLAIN, 1 s for JSON; NSEC_MAX
 * for NONE. */
nsec_t progress_period(enum progress_mode mode);

/* Real time that this run still takes, going on as so far; NSEC_MAX while unknown (less than 1 % done). */
nsec_t progress_remaining(const struct progress_figures *f);

/* Appends the line, with what ends it (REWRITE: a carriage return before, and a newline only when done).
 * `columns`: a REWRITE line is cut to so many; 0: 80. Nothing for NONE. 0 or str's error. */
int progress_line(enum progress_mode mode, const struct progress_figures *f, uint32_t columns,
                  struct str *out);

/* What clears a REWRITE line, so that something else can be written; "" in other modes. */
const char *progress_clear(enum progress_mode mode);
