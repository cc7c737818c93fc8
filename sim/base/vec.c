#include "sim/base/vec.h"

#define CAP_MIN 8

int vec_grow(void *items, size_t item_size, size_t len, size_t more, size_t limit, size_t *ret_cap,
             void **ret_items)
{
    if (more > limit || len > limit - more) return -ENOSPC;

    size_t cap = *ret_cap ? *ret_cap : CAP_MIN;
    while (cap < len + more) cap = cap > limit / 2 ? limit : 2 * cap;
    if (cap > limit) cap = limit;

    void *grown = reallocarray(items, cap, item_size);
    if (!grown) return -ENOMEM;
    *ret_cap = cap;
    *ret_items = grown;
    return 0;
}
