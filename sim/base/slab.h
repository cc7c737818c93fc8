/*
 * Fixed-size objects addressed by 32-bit ids that notice when the object is gone.
 *
 * An id is 8 bits of generation over 24 bits of index. A slot's generation changes each time it is freed, so
 * that an old id finds nothing, until the generations come round after 255 reuses of that very slot. Ids are
 * no names: reuse makes them depend on history; nothing that shows may be derived from one.
 *
 * Objects never move. Storage grows by chunks and is kept until deinit. The most recently freed slot is
 * reused first.
 *
 * An object takes its size and 4 bytes, rounded up to 8; it is aligned to 8. So one of 60 bytes has a cache
 * line of its own.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SLAB_INDEX_BITS 24
#define SLAB_LIMIT_MAX  (UINT32_C(1) << SLAB_INDEX_BITS)

struct slab {
    char **chunks;
    size_t bytes;
    uint32_t stride;     /* from one object to the next */
    uint32_t chunk_bits; /* log2 of the objects in a chunk */
    uint32_t limit;
    uint32_t used;      /* slots that were ever taken: all indices below */
    uint32_t free_len;  /* of these, now free */
    uint32_t free_head; /* index of the slot freed last, if any */
};

/* A slab of up to `limit` objects (1 … SLAB_LIMIT_MAX) of `object_size` bytes. -ENOMEM. */
int slab_init(struct slab *s, size_t object_size, uint32_t limit);
/* Frees all storage, whatever is still allocated. NULL and a zeroed slab are allowed. */
void slab_deinit(struct slab *s);

/* Takes a slot; the object is zeroed. Returns its id, or 0 at the limit or out of memory. */
uint32_t slab_alloc(struct slab *s);
/* The same, but the object is not zeroed: for who writes all of it. */
uint32_t slab_take(struct slab *s);
/* Gives the slot back. The id must be live: freeing twice is a programmer error. */
void slab_free(struct slab *s, uint32_t id);

/* The slot's number, below the limit: for side tables of one entry per slot. */
static inline uint32_t slab_index(uint32_t id)
{
    return id & (SLAB_LIMIT_MAX - 1);
}

/* The object of a live id; the result for any other id is undefined. For ids whose life the caller has
 * proved. */
static inline void *slab_get_unchecked(const struct slab *s, uint32_t id)
{
    uint32_t index = slab_index(id);
    uint32_t in_chunk = index & ((UINT32_C(1) << s->chunk_bits) - 1);

    return s->chunks[index >> s->chunk_bits] + (size_t)in_chunk * s->stride;
}

/* The word behind an object: for a live slot its id, otherwise anything else. */
static inline uint32_t *slab_word(const struct slab *s, void *object)
{
    return (uint32_t *)(void *)((char *)object + s->stride - sizeof(uint32_t));
}

/* The object of `id`, or NULL when the id is 0, stale or was never given out. */
static inline void *slab_get(const struct slab *s, uint32_t id)
{
    void *object;

    if (slab_index(id) >= s->used) return NULL;
    object = slab_get_unchecked(s, id);
    return *slab_word(s, object) == id ? object : NULL;
}

/* The live id after `id` in index order, or the first for 0; 0 at the end. O(slots), so not for hot paths.
 * The object of `id` may have been freed meanwhile. */
uint32_t slab_next(const struct slab *s, uint32_t id);

/* Walks all live objects in index order. Declares `id`. The body may free the object of `id`. */
#define slab_for_each(id, slab) for (uint32_t id = slab_next((slab), 0); id; id = slab_next((slab), id))

/* Whether it is at its limit: then no slot is given, otherwise one is refused for want of memory alone. */
static inline bool slab_is_full(const struct slab *s)
{
    return s->used == s->limit && s->free_len == 0;
}

/* Live objects. */
static inline uint32_t slab_count(const struct slab *s)
{
    return s->used - s->free_len;
}
/* Bytes of memory taken so far, and at most ever: the bound that follows from the limit. */
static inline size_t slab_bytes(const struct slab *s)
{
    return s->bytes;
}
size_t slab_bytes_max(const struct slab *s);
