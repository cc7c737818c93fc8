/*
 * A growable string with a limit. Errors stick: after one append has failed, all later ones fail with the
 * same error and change nothing, so that a caller may append away and look at str_error() once, at the end.
 *
 * The text may hold NUL bytes; there is always one more after the end.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

struct str {
    char *data; /* NULL until the first append */
    size_t len;
    size_t cap;
    size_t limit; /* bytes of text */
    int error;
};

/* For declarations: an empty string of up to `limit_bytes`. */
#define STR_INIT(limit_bytes)                                                                                \
    {                                                                                                        \
        .limit = (limit_bytes)                                                                               \
    }

/* An empty string of up to `limit` bytes. Allocates nothing yet. */
void str_init(struct str *s, size_t limit);
/* Frees the text; the string is then empty, with the limit 0. NULL is allowed. Fits CLEANUP(). */
void str_deinit(struct str *s);

/* Each append returns 0, -ENOSPC at the limit or -ENOMEM (-EINVAL for a format that libc refuses); it adds
 * all of its text or nothing. */
int str_append(struct str *s, const void *bytes, size_t len);
int str_puts(struct str *s, const char *text);
int str_putc(struct str *s, char c);
int str_appendf(struct str *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
int str_vappendf(struct str *s, const char *format, va_list args) __attribute__((format(printf, 2, 0)));
/* A decimal number, faster than a format. */
int str_put_u64(struct str *s, uint64_t value);
/* A JSON string with its quotes. Control characters, quote and backslash are escaped, invalid UTF-8 becomes
 * U+FFFD, all other characters stand for themselves. */
int str_append_json(struct str *s, const char *text, size_t len);

/* Empties the string, forgets its error and keeps the storage. */
void str_clear(struct str *s);

/* The text with a NUL after it, never NULL; valid until the next change. */
static inline const char *str_text(const struct str *s)
{
    return s->data ? s->data : "";
}
static inline size_t str_len(const struct str *s)
{
    return s->len;
}
/* The first error since init or clear, or 0. */
static inline int str_error(const struct str *s)
{
    return s->error;
}

/* Gives the text away: memory to be freed with free(), never NULL on success. The string is empty afterwards.
 * NULL if an append failed, or out of memory. */
char *str_steal(struct str *s);
