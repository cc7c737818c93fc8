#include "sim/base/str.h"

#include "sim/base/utf8.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CAP_MIN 64

void str_init(struct str *s, size_t limit)
{
    *s = (struct str){.limit = limit};
}

void str_deinit(struct str *s)
{
    if (!s) return;
    free(s->data);
    str_init(s, 0);
}

static int fail(struct str *s, int error)
{
    return s->error = error;
}

/* Room for `more` bytes and a NUL. */
static int reserve(struct str *s, size_t more)
{
    if (s->error) return s->error;
    if (s->len > s->limit || more > s->limit - s->len) return fail(s, -ENOSPC);
    if (s->len + more < s->cap) return 0;

    size_t cap = s->cap ? 2 * s->cap : CAP_MIN;
    if (cap <= s->len + more) cap = s->len + more + 1;
    char *data = realloc(s->data, cap);
    if (!data) return fail(s, -ENOMEM);
    s->data = data;
    s->cap = cap;
    return 0;
}

int str_append(struct str *s, const void *bytes, size_t len)
{
    int r = reserve(s, len);
    if (r < 0) return r;

    if (len) memcpy(s->data + s->len, bytes, len);
    s->len += len;
    s->data[s->len] = '\0';
    return 0;
}

int str_puts(struct str *s, const char *text)
{
    return str_append(s, text, strlen(text));
}

int str_putc(struct str *s, char c)
{
    return str_append(s, &c, 1);
}

int str_appendf(struct str *s, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int r = str_vappendf(s, format, args);
    va_end(args);
    return r;
}

int str_vappendf(struct str *s, const char *format, va_list args)
{
    va_list again;

    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (len < 0) return s->error ? s->error : fail(s, -EINVAL);

    int r = reserve(s, len);
    if (r < 0) return r;
    vsnprintf(s->data + s->len, (size_t)len + 1, format, args);
    s->len += len;
    return 0;
}

int str_put_u64(struct str *s, uint64_t value)
{
    char digits[20];
    size_t at = sizeof(digits);

    do digits[--at] = '0' + value % 10;
    while (value /= 10);
    return str_append(s, digits + at, sizeof(digits) - at);
}

/* The escape of a character that may not stand in a JSON string as it is, or NULL. */
static const char *json_escape(unsigned char c, char buffer[7])
{
    switch (c) {
    case '"': return "\\\"";
    case '\\': return "\\\\";
    case '\b': return "\\b";
    case '\f': return "\\f";
    case '\n': return "\\n";
    case '\r': return "\\r";
    case '\t': return "\\t";
    }
    if (c >= 0x20) return NULL;
    snprintf(buffer, 7, "\\u%04x", c);
    return buffer;
}

/* What stands for the next character, and its bytes; NULL if it stands for itself. */
static const char *json_replacement(const char *text, size_t len, char buffer[7], size_t *ret_bytes)
{
    uint32_t code_point;
    size_t bytes = utf8_decode(text, len, &code_point);

    *ret_bytes = bytes ? bytes : len;
    if (bytes == 0 || code_point == UTF8_INVALID) return "\xef\xbf\xbd";
    return code_point < 0x80 ? json_escape(code_point, buffer) : NULL;
}

int str_append_json(struct str *s, const char *text, size_t len)
{
    size_t start = s->len;
    size_t plain = 0; /* where the text begins that is not yet written */
    size_t bytes;

    str_putc(s, '"');
    for (size_t i = 0; i < len; i += bytes) {
        char buffer[7];
        const char *instead = json_replacement(text + i, len - i, buffer, &bytes);

        if (!instead) continue;
        str_append(s, text + plain, i - plain);
        str_puts(s, instead);
        plain = i + bytes;
    }
    str_append(s, text ? text + plain : NULL, len - plain);
    str_putc(s, '"');
    if (s->error && s->data) s->data[s->len = start] = '\0';
    return s->error;
}

void str_clear(struct str *s)
{
    s->len = 0;
    s->error = 0;
    if (s->data) s->data[0] = '\0';
}

char *str_steal(struct str *s)
{
    if (str_append(s, NULL, 0) < 0) return NULL;

    char *data = s->data;
    str_init(s, s->limit);
    return data;
}
