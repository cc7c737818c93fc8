#include "mock-orchestrator/id_map.h"

#include <errno.h>
#include <stdlib.h>

#include "sim/base/mix.h"

void id_map_deinit(struct id_map *m)
{
    free(m->slots);
    *m = (struct id_map){0};
}

/* The key's slot, or the free one where it would go. The table is not empty. */
static size_t slot_of(const struct id_map *m, uint64_t key)
{
    size_t i = mix64(key) & (m->capacity - 1);

    while (m->slots[i].value && m->slots[i].key != key) i = (i + 1) & (m->capacity - 1);
    return i;
}

static int grow(struct id_map *m)
{
    struct id_map bigger = {.capacity = m->capacity ? 2 * m->capacity : 64, .count = m->count};

    bigger.slots = calloc(bigger.capacity, sizeof *bigger.slots);
    if (!bigger.slots) return -ENOMEM;
    for (size_t i = 0; i < m->capacity; i++) {
        if (m->slots[i].value) bigger.slots[slot_of(&bigger, m->slots[i].key)] = m->slots[i];
    }
    free(m->slots);
    *m = bigger;
    return 0;
}

int id_map_put(struct id_map *m, uint64_t key, void *value)
{
    size_t i;

    if (!id_map_get(m, key) && 2 * (m->count + 1) > m->capacity && grow(m) < 0) return -ENOMEM;
    i = slot_of(m, key);
    m->count += !m->slots[i].value;
    m->slots[i] = (struct id_map_slot){.key = key, .value = value};
    return 0;
}

void *id_map_get(const struct id_map *m, uint64_t key)
{
    return m->capacity ? m->slots[slot_of(m, key)].value : NULL;
}

/* Closes the gap at `hole`: what stands after it and would not be found any more moves up. */
static void close_gap(struct id_map *m, size_t hole)
{
    size_t mask = m->capacity - 1;

    for (size_t i = (hole + 1) & mask; m->slots[i].value; i = (i + 1) & mask) {
        size_t home = mix64(m->slots[i].key) & mask;

        if (((i - home) & mask) < ((i - hole) & mask)) continue;
        m->slots[hole] = m->slots[i];
        hole = i;
    }
    m->slots[hole].value = NULL;
}

void *id_map_take(struct id_map *m, uint64_t key)
{
    size_t i;
    void *value;

    if (!m->capacity) return NULL;
    i = slot_of(m, key);
    value = m->slots[i].value;
    if (!value) return NULL;
    m->count--;
    close_gap(m, i);
    return value;
}
