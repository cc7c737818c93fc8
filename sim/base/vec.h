/*
 * Growable arrays with a type and a limit: inboxes, outboxes, small tables.
 *
 *     struct inbox { VEC(struct event) events; };
 *     vec_init(&inbox->events, limit);
 *     r = vec_push(&inbox->events, (struct event){ … });
 *     vec_for_each(e, &inbox->events) use(e);
 *     vec_clear(&inbox->events);
 *
 * `items`, `len` and `limit` may be read directly. Items move when the array grows. A zeroed VEC is empty,
 * takes nothing, and may be deinitialised.
 */
#pragma once

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#define VEC(type)                                                                                            \
    struct {                                                                                                 \
        type *items;                                                                                         \
        size_t len;                                                                                          \
        size_t cap;                                                                                          \
        size_t limit; /* items */                                                                            \
    }

/* An empty array of up to `limit` items. Allocates nothing yet. */
#define vec_init(v, limit_items)                                                                             \
    ((void)((v)->items = NULL, (v)->len = 0, (v)->cap = 0, (v)->limit = (limit_items)))

/* Frees the storage; what items point to is the caller's. */
#define vec_deinit(v)                                                                                        \
    ((void)(free((v)->items), (v)->items = NULL, (v)->len = 0, (v)->cap = 0, (v)->limit = 0))

/* Forgets all items and keeps the storage. */
#define vec_clear(v) ((void)((v)->len = 0))

/* Makes room for `more` items. 0, -ENOSPC past the limit, -ENOMEM; on failure nothing has changed. */
#define vec_reserve(v, more)                                                                                 \
    ({                                                                                                       \
        int vec_r_ = 0;                                                                                      \
        if ((v)->cap - (v)->len < (size_t)(more)) {                                                          \
            void *vec_grown_;                                                                                \
            vec_r_ = vec_grow((v)->items, sizeof(*(v)->items), (v)->len, (more), (v)->limit, &(v)->cap,      \
                              &vec_grown_);                                                                  \
            if (vec_r_ == 0) (v)->items = vec_grown_;                                                        \
        }                                                                                                    \
        vec_r_;                                                                                              \
    })

/* Appends a value (a compound literal is fine). 0, -ENOSPC, -ENOMEM. The value is evaluated only on success.
 */
#define vec_push(v, ...)                                                                                     \
    ({                                                                                                       \
        int vec_push_r_ = vec_reserve(v, 1);                                                                 \
        if (vec_push_r_ == 0) (v)->items[(v)->len++] = (__VA_ARGS__);                                        \
        vec_push_r_;                                                                                         \
    })

/* The last item, removed. The array must not be empty. */
#define vec_pop(v) ((v)->items[--(v)->len])

/* Walks pointers to the items from first to last. Declares `var`. The body must not grow the array. */
#define vec_for_each(var, v)                                                                                 \
    for (__typeof__((v)->items) var = (v)->items, var##_end = (v)->len ? (v)->items + (v)->len : var;        \
         var < var##_end; var++)

/* The function behind vec_reserve(): reallocates for at least `len` + `more` items, doubling, never past
 * `limit`. */
int vec_grow(void *items, size_t item_size, size_t len, size_t more, size_t limit, size_t *ret_cap,
             void **ret_items);
