/*
 * Two streams back to back in memory, for tests: what is written to one arrives at the other, later, in
 * pieces.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/live/stream.h"

struct event_base;

/* Zero in a member means the default in brackets. */
struct pair_options {
    size_t window;    /* unconsumed bytes at which delivery stops [STREAM_WINDOW] */
    size_t chunk_max; /* bytes delivered at a time [all] */
    uint64_t seed;    /* draws the size of each piece from 1 … chunk_max [always chunk_max] */
};

/* Makes both ends, which are up at once. `o` may be NULL. Aborts if out of memory. */
void pair_stream_new(struct event_base *base, const struct pair_options *o, struct stream **ret_a,
                     struct stream **ret_b);

/* Cuts the line: both ends are told RESET. */
void pair_stream_cut(struct stream *end);

/* While held, nothing that is written to `end` gets across. */
void pair_stream_hold(struct stream *end, bool held);

/* The most bytes that ever lay undelivered in, or unconsumed behind, `end`. */
size_t pair_stream_peak(const struct stream *end);
