/*
 * The machine and the moment: everything about a run that differs between machines. In a result file it
 * stands in the object "host" and nowhere else, so that virtual runs are byte-identical outside it.
 */
#pragma once

#include "sim/base/nsec.h"

#include <stddef.h>
#include <stdint.h>

#define HOST_TEXT_BYTES 128

struct host_facts {
    char cpu_model[HOST_TEXT_BYTES]; /* "" where unknown */
    uint32_t cores;                  /* that this process may use */
    char kernel[HOST_TEXT_BYTES];    /* "Linux 6.1.0 x86_64" */
    char compiler[HOST_TEXT_BYTES];
    char build[HOST_TEXT_BYTES]; /* the program's version; the caller fills it in */
    nsec_t started_unix_ns;    /* wall time at the start of the run, since the epoch of Unix; the caller's */
    nsec_t elapsed_ns;         /* real time that the run took; the caller's */
    uint64_t memory_max_bytes; /* the most that the run used; the caller's; 0: unknown */
};

/* Fills in what the system says; the caller's fields become 0 and "". Never fails: what is not known is left
 * out. */
void host_facts_read(struct host_facts *ret_facts);
