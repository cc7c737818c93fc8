#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sim/plan/arena.h"

enum {
    BLOCK_BYTES = 64 * 1024,
    ALIGN_BYTES = 16,
};

/* The payload follows the header, which is padded to the alignment. */
struct block {
    struct block *next;
    size_t size, used;
    size_t pad;
};

_Static_assert(sizeof(struct block) % ALIGN_BYTES == 0, "the payload would not be aligned");

struct plan_arena {
    struct block *blocks;
    size_t limit, used;
    bool full;
};

struct plan_arena *plan_arena_new(size_t limit_bytes)
{
    struct plan_arena *arena = calloc(1, sizeof(*arena));

    if (arena) arena->limit = limit_bytes;
    return arena;
}

void plan_arena_free(struct plan_arena *arena)
{
    if (!arena) return;
    while (arena->blocks) {
        struct block *block = arena->blocks;

        arena->blocks = block->next;
        free(block);
    }
    free(arena);
}

static struct block *block_new(struct plan_arena *arena, size_t bytes)
{
    size_t size = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
    struct block *block = calloc(1, sizeof(*block) + size);

    if (!block) return NULL;
    block->size = size;
    block->next = arena->blocks;
    arena->blocks = block;
    return block;
}

void *plan_arena_alloc(struct plan_arena *arena, size_t count, size_t size)
{
    struct block *block = arena->blocks;
    size_t bytes;
    char *p;

    if (__builtin_mul_overflow(count, size, &bytes) || bytes > arena->limit) bytes = arena->limit;
    bytes = (bytes + ALIGN_BYTES) & ~(size_t)(ALIGN_BYTES - 1);
    if (bytes > arena->limit - arena->used) {
        arena->full = true;
        return NULL;
    }
    if (!block || block->size - block->used < bytes) block = block_new(arena, bytes);
    if (!block) return NULL;
    p = (char *)(block + 1) + block->used;
    block->used += bytes;
    arena->used += bytes;
    return p;
}

char *plan_arena_copy(struct plan_arena *arena, const char *text, size_t length)
{
    char *copy = plan_arena_alloc(arena, length + 1, 1);

    if (copy && length > 0) memcpy(copy, text, length);
    return copy;
}

size_t plan_arena_used(const struct plan_arena *arena)
{
    return arena->used;
}

bool plan_arena_full(const struct plan_arena *arena)
{
    return arena->full;
}
