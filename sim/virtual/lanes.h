/*
 * Queues of events that are entered in the order in which they come out: what leaves a link of constant
 * latency, for instance. The calendar keeps them beside its buckets, since a queue costs a fraction of a
 * place in a sorted order; what is entered out of order it keeps in its buckets.
 *
 * The heads of all lanes stand sorted, so that the first event of all is at hand.
 */
#pragma once

#include "sim/base/nsec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LANES_MAX 32u

/* An event of the calendar, as it is kept: by time, then by order (priority, sequence). */
struct cal_entry {
    nsec_t at;
    uint64_t order;
    uint64_t payload;
};

static inline bool cal_entry_before(const struct cal_entry *a, const struct cal_entry *b)
{
    return a->at < b->at || (a->at == b->at && a->order < b->order);
}

/* A ring of events in their order. */
struct lane {
    struct cal_entry *items;
    uint32_t first, len, cap; /* cap is a power of two, or 0 */
};

/* The event at place `i` from the first. */
static inline struct cal_entry *lane_item(const struct lane *lane, uint32_t i)
{
    return &lane->items[(lane->first + i) & (lane->cap - 1)];
}

struct lane_head {
    struct cal_entry entry;
    uint32_t lane;
};

/* Zeroed is empty. */
struct lanes {
    struct lane lane[LANES_MAX];
    struct lane_head heads[LANES_MAX]; /* of those that are not empty, the earliest last */
    uint32_t busy;                     /* lanes that are not empty */
    size_t bytes;
};

/* Frees all memory. NULL is allowed. */
void lanes_deinit(struct lanes *l);

/* Enters an event at the end of a lane (below LANES_MAX). False: it belongs before the lane's last, or there
 * is no memory; nothing has changed then. */
bool lanes_push(struct lanes *l, uint32_t lane, const struct cal_entry *entry);

/* The first event of all lanes, or NULL. Valid until the next change. */
static inline const struct cal_entry *lanes_first(const struct lanes *l)
{
    return l->busy ? &l->heads[l->busy - 1].entry : NULL;
}

/* Takes it out; there must be one. Returns the lane in which it stood, of which it was the first. */
const struct lane *lanes_pop(struct lanes *l);
