/*
 * A min-heap in the total order (at, prio, seq): for live timers, and as the calendar's oracle.
 */
#pragma once

#include "sim/base/nsec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Ordered by `at`, then `prio` (lower first), then `seq`, which the caller makes unique. */
struct heap_item {
    nsec_t at;
    uint64_t seq;
    uint64_t payload;
    uint32_t prio;
};

struct heap {
    struct heap_item *items;
    size_t len;
    size_t cap;
    size_t limit;
};

/* True if `a` comes before `b`. */
static inline bool heap_item_before(const struct heap_item *a, const struct heap_item *b)
{
    if (a->at != b->at) return a->at < b->at;
    if (a->prio != b->prio) return a->prio < b->prio;
    return a->seq < b->seq;
}

/* An empty heap that takes up to `limit` items. Allocates nothing yet. */
void heap_init(struct heap *h, size_t limit);
/* Frees the storage; the heap is then empty and takes nothing. NULL is allowed. */
void heap_deinit(struct heap *h);

/* Adds a copy of `item`. -ENOSPC at the limit, -ENOMEM; then nothing has changed. */
int heap_push(struct heap *h, const struct heap_item *item);
/* Takes the first item out. False, and `ret_item` untouched, when the heap is empty. */
bool heap_pop(struct heap *h, struct heap_item *ret_item);

/* The first item, or NULL when empty. Valid until the next push or pop. */
static inline const struct heap_item *heap_peek(const struct heap *h)
{
    return h->len ? &h->items[0] : NULL;
}
static inline size_t heap_len(const struct heap *h)
{
    return h->len;
}
