#include "sim/base/nearest.h"

#include <string.h>

enum { WORD_MAX = 64 };

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
    unsigned m = a < b ? a : b;

    return m < c ? m : c;
}

/* Edits of one character (insert, delete, replace, swap of neighbours) from `a` to `b`. */
static unsigned distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
    unsigned rows[3][WORD_MAX + 1];

    for (unsigned j = 0; j <= b_length; j++) rows[0][j] = j;
    for (unsigned i = 1; i <= a_length; i++) {
        unsigned *now = rows[i % 3], *last = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];

        now[0] = i;
        for (unsigned j = 1; j <= b_length; j++) {
            now[j] = min3(last[j] + 1, now[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < now[j])
                now[j] = before[j - 2] + 1;
        }
    }
    return rows[a_length % 3][b_length];
}

const char *nearest_name(const char *wrong, const char *const *names, size_t count)
{
    size_t length = strlen(wrong);
    unsigned best = (unsigned)(length / 3 > 2 ? length / 3 : 2) + 1;
    const char *found = NULL;

    if (length > WORD_MAX) return NULL;
    for (size_t i = 0; i < count; i++) {
        size_t n = strlen(names[i]);
        unsigned d;

        if (n == 0 || n > WORD_MAX) continue;
        d = distance(wrong, length, names[i], n);
        /* Words of two letters are all near each other. */
        if (d >= best || d >= n) continue;
        best = d;
        found = names[i];
    }
    return found;
}
