#include "sim/base/intern.h"

#include "sim/base/mix.h"
#include "sim/base/panic.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define COUNT_MAX   (UINT32_C(1) << 30)
#define SLOTS_MIN   64
#define BLOCK_BYTES ((size_t)16 << 10)

struct intern_entry {
    const char *text;
    uint32_t len;
    uint32_t hash;
};

struct intern_block {
    struct intern_block *next;
    size_t used;
    size_t size;
    char text[];
};

void intern_init(struct intern *t, size_t limit_bytes, uint32_t limit_count)
{
    *t = (struct intern){
        .limit_bytes = limit_bytes,
        .limit_count = limit_count < COUNT_MAX ? limit_count : COUNT_MAX,
    };
}

void intern_deinit(struct intern *t)
{
    if (!t) return;
    for (struct intern_block *b = t->blocks, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    free(t->entries);
    free(t->slots);
    intern_init(t, 0, 0);
}

/* The slot of the string, or the free one where it belongs. There is always a free slot. */
static uint32_t *find_slot(const struct intern *t, const char *text, size_t len, uint32_t hash)
{
    for (uint32_t i = hash;; i++) {
        uint32_t *slot = &t->slots[i & (t->slots_cap - 1)];
        if (!*slot) return slot;

        const struct intern_entry *e = &t->entries[*slot - 1];
        if (e->hash == hash && e->len == len && (len == 0 || memcmp(e->text, text, len) == 0)) return slot;
    }
}

static uint32_t hash_of(const char *text, size_t len)
{
    return (uint32_t)mix_bytes(0, text, len);
}

uint32_t intern_find(const struct intern *t, const char *text, size_t len)
{
    return t->slots ? *find_slot(t, text, len, hash_of(text, len)) : 0;
}

/* Room for one more entry. */
static int reserve_entry(struct intern *t)
{
    if (t->count < t->entries_cap) return 0;

    uint32_t cap = t->entries_cap ? 2 * t->entries_cap : SLOTS_MIN / 2;
    struct intern_entry *entries = reallocarray(t->entries, cap, sizeof(*entries));
    if (!entries) return -ENOMEM;
    t->entries = entries;
    t->entries_cap = cap;
    return 0;
}

/* A table at most half full after one more. */
static int reserve_slot(struct intern *t)
{
    if (t->count < t->slots_cap / 2) return 0;

    uint32_t cap = t->slots_cap ? 2 * t->slots_cap : SLOTS_MIN;
    uint32_t *slots = calloc(cap, sizeof(*slots));
    if (!slots) return -ENOMEM;
    for (uint32_t id = 1; id <= t->count; id++) {
        uint32_t i = t->entries[id - 1].hash;
        while (slots[i & (cap - 1)]) i++;
        slots[i & (cap - 1)] = id;
    }
    free(t->slots);
    t->slots = slots;
    t->slots_cap = cap;
    return 0;
}

/* A block with room for `len` bytes, first in the chain. A long string fills a block of its own. */
static int reserve_text(struct intern *t, size_t len)
{
    if (t->blocks && t->blocks->size - t->blocks->used >= len) return 0;

    size_t size = len > BLOCK_BYTES ? len : BLOCK_BYTES;
    struct intern_block *block = malloc(sizeof(*block) + size);
    if (!block) return -ENOMEM;
    *block = (struct intern_block){.next = t->blocks, .size = size};
    t->blocks = block;
    return 0;
}

static const char *keep_text(struct intern *t, const char *text, size_t len)
{
    char *copy = t->blocks->text + t->blocks->used;

    if (len) memcpy(copy, text, len);
    copy[len] = '\0';
    t->blocks->used += len + 1;
    t->bytes += len + 1;
    return copy;
}

static bool has_room(const struct intern *t, size_t len)
{
    return t->count < t->limit_count && len < UINT32_MAX && len < t->limit_bytes - t->bytes;
}

int intern_put(struct intern *t, const char *text, size_t len, uint32_t *ret_id)
{
    int r;
    uint32_t known = intern_find(t, text, len);

    if (known) {
        *ret_id = known;
        return 0;
    }
    if (!has_room(t, len)) return -ENOSPC;
    if ((r = reserve_entry(t)) < 0 || (r = reserve_slot(t)) < 0 || (r = reserve_text(t, len + 1)) < 0)
        return r;

    uint32_t hash = hash_of(text, len);
    uint32_t *slot = find_slot(t, text, len, hash);
    t->entries[t->count] = (struct intern_entry){.text = keep_text(t, text, len), .len = len, .hash = hash};
    *ret_id = *slot = ++t->count;
    return 0;
}

const char *intern_get(const struct intern *t, uint32_t id, size_t *ret_len)
{
    ASSERT(id <= t->count);

    if (ret_len) *ret_len = id ? t->entries[id - 1].len : 0;
    return id ? t->entries[id - 1].text : NULL;
}

size_t intern_bytes(const struct intern *t)
{
    size_t bytes = t->entries_cap * sizeof(*t->entries) + t->slots_cap * sizeof(*t->slots);

    for (const struct intern_block *b = t->blocks; b; b = b->next) bytes += sizeof(*b) + b->size;
    return bytes;
}
