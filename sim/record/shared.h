/*
 * Numbers in memory that one writer changes while others read: each access whole, in the program's order.
 *
 * The stores are releases, so that a reader, or the kernel that kills the writer, sees them in the order in
 * which they are written down here. On x86 that costs nothing. There are no read-modify-write instructions:
 * there is one writer.
 */
#pragma once

#include <stdint.h>

static inline uint64_t shared_load(const uint64_t *number)
{
    return __atomic_load_n(number, __ATOMIC_ACQUIRE);
}

static inline void shared_store(uint64_t *number, uint64_t value)
{
    __atomic_store_n(number, value, __ATOMIC_RELEASE);
}

/* By the writer alone. */
static inline void shared_add(uint64_t *number, uint64_t n)
{
    shared_store(number, __atomic_load_n(number, __ATOMIC_RELAXED) + n);
}
