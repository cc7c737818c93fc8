/*
 * The tokens that came with work items, by two numbers each: the item's and its session's. Bounded: the one
 * unused for longest is forgotten.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "mock-orchestrator/id_map.h"
#include "sim/base/list.h"

struct token;

struct token_table {
    struct id_map by_work, by_session; /* struct token */
    struct list used;                  /* the one used last is first */
    size_t count, max;
};

void token_table_init(struct token_table *t, size_t max);
void token_table_deinit(struct token_table *t);

/* Sets the token of an item and of its session. -ENOMEM. */
int token_table_put(struct token_table *t, uint64_t work, uint64_t session, const char *text);
/* NULL: none. Valid until the next put or drop. */
const char *token_table_of_work(struct token_table *t, uint64_t work);
const char *token_table_of_session(struct token_table *t, uint64_t session);
/* The item is over. */
void token_table_drop(struct token_table *t, uint64_t work);
