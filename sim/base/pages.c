#include "sim/base/pages.h"

#include <limits.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define HUGE_PAGE ((uintptr_t)2 << 20)
#define RESERVE   (1 << 30) /* of addresses: memory is taken when it is used */
#define FROM_HEAP (1 << 25) /* what is smaller comes from the heap; the most that glibc takes */
#define STEP      (1 << 17) /* in which the heap grows beyond that, as usual */

void pages_prefer_huge(void)
{
    void *volatile more; /* a compiler may leave out what is only freed */
    uintptr_t begin = ((uintptr_t)sbrk(0) + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE, end;

    mallopt(M_MMAP_THRESHOLD, FROM_HEAP);
    mallopt(M_TRIM_THRESHOLD, INT_MAX);
    mallopt(M_TOP_PAD, RESERVE);
    more = malloc(HUGE_PAGE); /* more than the heap has left, so that it grows now */
    free(more);
    mallopt(M_TOP_PAD, STEP);
    end = (uintptr_t)sbrk(0) / HUGE_PAGE * HUGE_PAGE;
    if (begin < end) (void)madvise((void *)begin, end - begin, MADV_HUGEPAGE);
}
