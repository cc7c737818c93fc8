#include "sim/base/heap.h"

#include <errno.h>
#include <stdlib.h>

#define CAP_MIN 16

void heap_init(struct heap *h, size_t limit)
{
    *h = (struct heap){.limit = limit};
}

void heap_deinit(struct heap *h)
{
    if (!h) return;
    free(h->items);
    heap_init(h, 0);
}

static int grow(struct heap *h)
{
    size_t cap = h->cap ? 2 * h->cap : CAP_MIN;
    if (cap > h->limit) cap = h->limit;

    struct heap_item *items = reallocarray(h->items, cap, sizeof(*items));
    if (!items) return -ENOMEM;
    h->items = items;
    h->cap = cap;
    return 0;
}

/* Each item has so many children: the fewer levels, the fewer cache lines on the way down. */
#define ARITY 4

/* Moves the hole at `i` up to where `item` belongs, and fills it. */
static void sift_up(struct heap_item *items, size_t i, const struct heap_item *item)
{
    while (i > 0) {
        size_t parent = (i - 1) / ARITY;

        if (!heap_item_before(item, &items[parent])) break;
        items[i] = items[parent];
        i = parent;
    }
    items[i] = *item;
}

static size_t first_of(const struct heap_item *items, size_t begin, size_t end)
{
    size_t first = begin;

    for (size_t i = begin + 1; i < end; i++)
        if (heap_item_before(&items[i], &items[first])) first = i;
    return first;
}

/* Fetches all children of the children that begin at `child`, while these are compared. */
static void prefetch_below(const struct heap_item *items, size_t len, size_t child)
{
    const char *begin = (const char *)&items[ARITY * child + 1];

    if (ARITY * child + 1 >= len) return;
    for (size_t at = 0; at < ARITY * ARITY * sizeof(*items); at += 64) __builtin_prefetch(begin + at);
}

/* Fills the hole at the top, with the last of `len` items in the end. */
static void sift_down(struct heap_item *items, size_t len, const struct heap_item *item)
{
    size_t i = 0;

    for (;;) {
        size_t child = ARITY * i + 1;

        if (child >= len) break;
        prefetch_below(items, len, child);
        child = first_of(items, child, child + ARITY < len ? child + ARITY : len);
        if (!heap_item_before(&items[child], item)) break;
        items[i] = items[child];
        i = child;
    }
    items[i] = *item;
}

int heap_push(struct heap *h, const struct heap_item *item)
{
    if (h->len == h->limit) return -ENOSPC;
    if (h->len == h->cap) {
        int r = grow(h);
        if (r < 0) return r;
    }
    sift_up(h->items, h->len++, item);
    return 0;
}

bool heap_pop(struct heap *h, struct heap_item *ret_item)
{
    if (h->len == 0) return false;
    *ret_item = h->items[0];
    h->len--;
    if (h->len) sift_down(h->items, h->len, &h->items[h->len]);
    return true;
}
