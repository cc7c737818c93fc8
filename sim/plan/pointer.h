/*
 * A JSON pointer (RFC 6901) that grows and shrinks while a document is walked. The whole document is the
 * empty text.
 */
#pragma once

#include <stddef.h>

#define POINTER_TEXT_MAX 512

struct pointer {
    char text[POINTER_TEXT_MAX]; /* always ends in NUL; a path that does not fit is cut short */
    size_t length;
};

/* Appends one segment, escaped; a very long key is cut short, with "…". Returns the length before,
 * for pointer_pop(). */
size_t pointer_push(struct pointer *p, const char *key, size_t length);
size_t pointer_push_index(struct pointer *p, size_t index);
void pointer_pop(struct pointer *p, size_t length);

/* The pointer as given by a user, segment by segment: unescapes the segment that starts at `text` (behind its
 * '/') into `ret`, of `size` bytes. Returns where the next '/' or the end is, or NULL when the segment is too
 * long or holds a '~' without 0 or 1 behind it. */
const char *pointer_segment(const char *text, char *ret, size_t size);
