#include "sim/base/slab.h"

#include "sim/base/panic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ALIGNMENT   16
#define CHUNK_BYTES ((size_t)64 << 10) /* about; one object at least */
#define INDEX_MASK  (SLAB_LIMIT_MAX - 1)
#define GENERATIONS 255 /* 1 … 255, so that no id is 0 */

/*
 * Behind the objects of a chunk stands one word for each slot. For a live slot it is the id; for a free one,
 * the generation to come over the index of the next free slot, which is never the slot's own. So "the word is
 * the id" tells live ids from all others.
 */
static uint32_t *slot_word(const struct slab *s, uint32_t index)
{
    char *words = s->chunks[index >> s->chunk_bits] + (s->object_size << s->chunk_bits);

    return (uint32_t *)(void *)words + (index & ((UINT32_C(1) << s->chunk_bits) - 1));
}

static size_t chunk_bytes(const struct slab *s)
{
    return (s->object_size + sizeof(uint32_t)) << s->chunk_bits;
}

static size_t chunks_max(const struct slab *s)
{
    return ((size_t)s->limit + (UINT32_C(1) << s->chunk_bits) - 1) >> s->chunk_bits;
}

int slab_init(struct slab *s, size_t object_size, uint32_t limit)
{
    ASSERT(object_size > 0 && limit > 0 && limit <= SLAB_LIMIT_MAX);

    struct slab new = {.object_size = (object_size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT, .limit = limit};
    while ((new.object_size << (new.chunk_bits + 1)) <= CHUNK_BYTES &&
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
        *chunk = malloc(chunk_bytes(s));
        if (!*chunk) return 0;
        s->bytes += chunk_bytes(s);
    }
    return (UINT32_C(1) << SLAB_INDEX_BITS) | s->used++;
}

/* The slot freed last; there must be one. */
static uint32_t take_free(struct slab *s)
{
    uint32_t index = s->free_head;
    uint32_t word = *slot_word(s, index);

    s->free_head = word & INDEX_MASK;
    s->free_len--;
    return (word & ~INDEX_MASK) | index;
}

uint32_t slab_alloc(struct slab *s)
{
    uint32_t id = s->free_len ? take_free(s) : take_new(s);

    if (!id) return 0;
    *slot_word(s, slab_index(id)) = id;
    memset(slab_get_unchecked(s, id), 0, s->object_size);
    return id;
}

void slab_free(struct slab *s, uint32_t id)
{
    ASSERT(slab_get(s, id));

    uint32_t index = slab_index(id);
    uint32_t generation = (id >> SLAB_INDEX_BITS) % GENERATIONS + 1;
    /* The last of the free list has no successor; anything but itself will do. */
    uint32_t next = s->free_len ? s->free_head : index ^ 1;

    *slot_word(s, index) = (generation << SLAB_INDEX_BITS) | next;
    s->free_head = index;
    s->free_len++;
}

void *slab_get(const struct slab *s, uint32_t id)
{
    uint32_t index = slab_index(id);

    return index < s->used && *slot_word(s, index) == id ? slab_get_unchecked(s, id) : NULL;
}

uint32_t slab_next(const struct slab *s, uint32_t id)
{
    for (uint32_t index = id ? slab_index(id) + 1 : 0; index < s->used; index++) {
        uint32_t word = *slot_word(s, index);
        if (slab_index(word) == index) return word;
    }
    return 0;
}

size_t slab_bytes_max(const struct slab *s)
{
    return chunks_max(s) * (chunk_bytes(s) + sizeof(*s->chunks));
}
