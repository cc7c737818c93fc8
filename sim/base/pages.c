#include "sim/base/pages.h"

#include "sim/base/panic.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

void *pages_alloc(size_t bytes)
{
    void *memory = aligned_alloc(PAGES_HUGE, bytes);

    ASSERT(bytes % PAGES_HUGE == 0);
    if (memory) pages_advise(memory, bytes);
    return memory;
}

void pages_advise(void *memory, size_t bytes)
{
    uintptr_t begin = ((uintptr_t)memory + PAGES_HUGE - 1) / PAGES_HUGE * PAGES_HUGE;
    uintptr_t end = ((uintptr_t)memory + bytes) / PAGES_HUGE * PAGES_HUGE;

    /* Advice: a kernel without huge pages refuses it, and all goes on as before. */
    if (begin < end) (void)madvise((void *)begin, end - begin, MADV_HUGEPAGE);
}
