/*
 * Memory that the kernel may back with huge pages: for what grows large and is walked without order, where
 * half of the time goes into finding pages.
 */
#pragma once

#include <stddef.h>

#define PAGES_HUGE ((size_t)2 << 20)

/* `bytes`, a multiple of PAGES_HUGE, aligned to that, not zeroed. To be freed with free(). NULL: out of
 * memory. */
void *pages_alloc(size_t bytes);

/* The same for memory that is there already: for the whole huge pages in it, if there are any. */
void pages_advise(void *memory, size_t bytes);
