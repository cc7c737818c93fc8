/*
 * Ownership by scope: a local variable that owns something names the function that ends it.
 *
 *     CLEANUP(str_deinit) struct str text = STR_INIT(4096);      embedded: deinit takes the variable's
 * address DEFINE_CLEANUP(struct plan *, plan_free)                   once, beside the declaration of
 * plan_free() CLEANUP(plan_free_p) struct plan *plan = NULL;             on the heap: freed at the end of the
 * scope … *ret_plan = steal_ptr(plan);                               … unless given away
 */
#pragma once

#include <stdlib.h>

/* Calls fn(&variable) when the variable leaves its scope. The variable must be initialised. */
#define CLEANUP(fn) __attribute__((cleanup(fn)))

/* Defines fn_p(type *), which calls fn() on a value that is not NULL (or zero): the form that CLEANUP wants.
 */
#define DEFINE_CLEANUP(type, fn)                                                                             \
    static inline void fn##_p(type *owned)                                                                   \
    {                                                                                                        \
        if (*owned) fn(*owned);                                                                              \
    }

/* For a local pointer of any type to memory from malloc(). */
#define _cleanup_free_ CLEANUP(cleanup_free_p)

static inline void cleanup_free_p(void *pointer_to_owned)
{
    free(*(void **)pointer_to_owned);
}

/* The value of the pointer variable `ptr`, which becomes NULL: ownership leaves the variable. */
#define steal_ptr(ptr)                                                                                       \
    ({                                                                                                       \
        __typeof__(ptr) *steal_from_ = &(ptr);                                                               \
        __typeof__(ptr) stolen_ = *steal_from_;                                                              \
        *steal_from_ = NULL;                                                                                 \
        stolen_;                                                                                             \
    })
