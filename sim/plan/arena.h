/*
 * A bounded region of memory that lives as long as the plan that owns it: nothing is freed alone.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct plan_arena;

/* A region that hands out `limit_bytes` at most. Returns NULL when out of memory. */
struct plan_arena *plan_arena_new(size_t limit_bytes);

/* Frees the region and all that came from it; NULL is allowed. */
void plan_arena_free(struct plan_arena *arena);

/* `count` zeroed elements of `size` bytes, aligned for any type. NULL when the limit or the memory is
 * exhausted. A count of 0 gives a valid pointer to nothing. */
void *plan_arena_alloc(struct plan_arena *arena, size_t count, size_t size);

/* A copy of `length` bytes with a NUL behind them; NULL as above. */
char *plan_arena_copy(struct plan_arena *arena, const char *text, size_t length);

/* Bytes handed out so far. */
size_t plan_arena_used(const struct plan_arena *arena);

/* True once a request was refused because of the limit (and not for want of memory). */
bool plan_arena_full(const struct plan_arena *arena);
