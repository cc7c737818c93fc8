/*
 * A hash table from 64-bit numbers to pointers.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct id_map_slot {
    uint64_t key;
    void *value; /* NULL: free */
};

/* Zeroed is empty. */
struct id_map {
    struct id_map_slot *slots;
    size_t capacity, count; /* a power of two, at most half of it used */
};

/* Frees the table; what it points to is the caller's. */
void id_map_deinit(struct id_map *m);
/* Sets the value (not NULL) of a key. -ENOMEM, for new keys only: nothing has changed. */
int id_map_put(struct id_map *m, uint64_t key, void *value);
/* NULL: not there. */
void *id_map_get(const struct id_map *m, uint64_t key);
/* Takes the key out and returns its value, NULL if it was not there. */
void *id_map_take(struct id_map *m, uint64_t key);
