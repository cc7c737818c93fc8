#include <stdio.h>
#include <string.h>

#include "sim/plan/pointer.h"

enum { SEGMENT_MAX = 80 };

static const char ellipsis[] = "\xe2\x80\xa6";

/* The longest start of `length` bytes, at most `max`, that ends between two characters. */
static size_t cut_length(const char *key, size_t length, size_t max)
{
    if (length <= max) return length;
    while (max > 0 && ((unsigned char)key[max] & 0xc0) == 0x80) max--;
    return max;
}

static void put(struct pointer *p, const char *text, size_t length)
{
    if (length >= sizeof(p->text) - p->length) return;
    memcpy(p->text + p->length, text, length);
    p->length += length;
    p->text[p->length] = '\0';
}

static void put_escaped(struct pointer *p, const char *key, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (key[i] == '~')
            put(p, "~0", 2);
        else if (key[i] == '/')
            put(p, "~1", 2);
        else
            put(p, key + i, 1);
    }
}

size_t pointer_push(struct pointer *p, const char *key, size_t length)
{
    size_t before = p->length, shown = cut_length(key, length, SEGMENT_MAX);

    /* Room for the worst case, so that no segment is left half written. */
    if (sizeof(p->text) - p->length < 2 * shown + 8) return before;
    put(p, "/", 1);
    put_escaped(p, key, shown);
    if (shown < length) put(p, ellipsis, sizeof(ellipsis) - 1);
    return before;
}

size_t pointer_push_index(struct pointer *p, size_t index)
{
    char text[24];

    return pointer_push(p, text, (size_t)snprintf(text, sizeof(text), "%zu", index));
}

void pointer_pop(struct pointer *p, size_t length)
{
    p->length = length;
    p->text[length] = '\0';
}

const char *pointer_segment(const char *text, char *ret, size_t size)
{
    size_t n = 0;

    for (; *text && *text != '/'; text++) {
        char c = *text;

        if (c == '~') {
            if (text[1] != '0' && text[1] != '1') return NULL;
            c = *++text == '0' ? '~' : '/';
        }
        if (n + 1 >= size) return NULL;
        ret[n++] = c;
    }
    ret[n] = '\0';
    return text;
}
