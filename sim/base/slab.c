#include "sim/base/slab.h"

#include "sim/base/panic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ALIGNMENT   8
#define CACHE_LINE  64
#define CHUNK_BYTES ((size_t)64 << 10) /* about; one object at least */
#define INDEX_MASK  (SLAB_LIMIT_MAX - 1)
#define GENERATIONS 255 /* 1 … 255, so that no id is 0 */

/*
 * Behind each object stands a word. For a live slot it is the id; for a free one, the generation to come over
 * the index of the next free slot, which is never the slot's own. So "the word is the id" tells live ids from
 * all others, at the cost of one cache line for both.
 */
static uint32_t *word_at(const struct slab *s, uint32_t index)
{
    return slab_word(s, slab_get_unchecked(s, index));
}

static size_t chunk_bytes(const struct slab *s)
{
    return (((size_t)s->stride << s->chunk_bits) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
}

static size_t chunks_max(const struct slab *s)
{
    return ((size_t)s->limit + (UINT32_C(1) << s->chunk_bits) - 1) >> s->chunk_bits;
}

int slab_init(struct slab *s, size_t object_size, uint32_t limit)
{
    ASSERT(object_size > 0 && object_size < SLAB_LIMIT_MAX && limit > 0 && limit <= SLAB_LIMIT_MAX);

    struct slab new = {.limit = limit};
    new.stride = (uint32_t)((object_size + sizeof(uint32_t) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
    while (((size_t) new.stride << (new.chunk_bits + 1)) <= CHUNK_BYTES &&
           (UINT32_C(1) << new.chunk_bits) < limit)
        new.chunk_bits++;
    new.chunks = calloc(chunks_max(&new), sizeof(*new.chunks));
    if (!new.chunks) return -ENOMEM;
    new.bytes = chunks_max(&new) * sizeof(*new.chunks);
    *s = new;
    return 0;
}

void slab_deinit(struct slab *s)
{
    if (!s || !s->chunks) return;
    for (size_t i = 0; i < chunks_max(s); i++) free(s->chunks[i]);
    free(s->chunks);
    *s = (struct slab){0};
}

/* A slot that was never taken: its id, or 0. */
static uint32_t take_new(struct slab *s)
{
    if (s->used == s->limit) return 0;

    char **chunk = &s->chunks[s->used >> s->chunk_bits];
    if (!*chunk) {
        *chunk = aligned_alloc(CACHE_LINE, chunk_bytes(s));
        if (!*chunk) return 0;
        s->bytes += chunk_bytes(s);
    }
    return (UINT32_C(1) << SLAB_INDEX_BITS) | s->used++;
}

/* The slot freed last; there must be one. */
static uint32_t take_free(struct slab *s)
{
    uint32_t index = s->free_head;
    uint32_t word = *word_at(s, index);

    s->free_head = word & INDEX_MASK;
    s->free_len--;
    if (s->free_len) __builtin_prefetch(slab_get_unchecked(s, s->free_head)); /* will be taken next */
    return (word & ~INDEX_MASK) | index;
}

uint32_t slab_take(struct slab *s)
{
    uint32_t id = s->free_len ? take_free(s) : take_new(s);

    if (id) *word_at(s, slab_index(id)) = id;
    return id;
}

uint32_t slab_alloc(struct slab *s)
{
    uint32_t id = slab_take(s);

    if (id) memset(slab_get_unchecked(s, id), 0, s->stride - sizeof(uint32_t));
    return id;
}

void slab_free(struct slab *s, uint32_t id)
{
    void *object = slab_get(s, id);

    ASSERT(object);

    uint32_t index = slab_index(id);
    uint32_t generation = (id >> SLAB_INDEX_BITS) % GENERATIONS + 1;
    /* The last of the free list has no successor; anything but itself will do. */
    uint32_t next = s->free_len ? s->free_head : index ^ 1;

    *slab_word(s, object) = (generation << SLAB_INDEX_BITS) | next;
    s->free_head = index;
    s->free_len++;
}

uint32_t slab_next(const struct slab *s, uint32_t id)
{
    for (uint32_t index = id ? slab_index(id) + 1 : 0; index < s->used; index++) {
        uint32_t word = *word_at(s, index);
        if (slab_index(word) == index) return word;
    }
    return 0;
}

size_t slab_bytes_max(const struct slab *s)
{
    return chunks_max(s) * (chunk_bytes(s) + sizeof(*s->chunks));
}
