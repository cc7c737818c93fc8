/*
 * Strings that a peer chose, kept once and spoken of by number.
 *
 * Ids are dense from 1 in the order of first sight, so they depend on the history and on nothing else.
 * Strings are kept until deinit, never move, may hold NUL bytes, and have one NUL more at the end.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct intern_entry;
struct intern_block;

struct intern {
    struct intern_entry *entries; /* by id - 1 */
    uint32_t *slots;              /* hash table of ids, open addressing; 0 is free */
    struct intern_block *blocks;  /* the text; newest first */
    size_t bytes;                 /* of text, the closing NUL of each counted */
    size_t limit_bytes;
    uint32_t count;
    uint32_t entries_cap;
    uint32_t slots_cap; /* a power of two, or 0 */
    uint32_t limit_count;
};

/* An empty table of up to `limit_count` different strings (never more than 2^30) with `limit_bytes` of text,
 * each string's closing NUL counted. Allocates nothing yet. */
void intern_init(struct intern *t, size_t limit_bytes, uint32_t limit_count);
/* Frees all. NULL and a zeroed table are allowed. */
void intern_deinit(struct intern *t);

/* Finds or adds a string. 0 and its id; -ENOSPC at either limit (strings already known are still found),
 * -ENOMEM. */
int intern_put(struct intern *t, const char *text, size_t len, uint32_t *ret_id);
/* The id of a known string, or 0. Adds nothing. */
uint32_t intern_find(const struct intern *t, const char *text, size_t len);

/* The string of an id, valid until deinit; `ret_len` may be NULL. The id must be one that intern_put() gave;
 * id 0 gives NULL and length 0. */
const char *intern_get(const struct intern *t, uint32_t id, size_t *ret_len);

static inline uint32_t intern_count(const struct intern *t)
{
    return t->count;
}
/* Bytes of text, and all memory taken, tables included. */
static inline size_t intern_text_bytes(const struct intern *t)
{
    return t->bytes;
}
size_t intern_bytes(const struct intern *t);
