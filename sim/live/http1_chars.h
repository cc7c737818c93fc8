/*
 * The characters of HTTP/1.1, for its parser and its encoders: which may stand where.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { HTTP1_C_TOKEN = 1, HTTP1_C_VALUE = 2, HTTP1_C_TARGET = 4, HTTP1_C_HOST = 8 };

/* What may stand in a token, a header value, a request target, a Host: bits of the above, by character. */
extern const unsigned char http1_classes[256];

/* Whether all characters of the text are of that class. */
static inline bool http1_all_of(const char *text, size_t len, int class)
{
    for (size_t i = 0; i < len; i++)
        if (!(http1_classes[(unsigned char)text[i]] & class)) return false;
    return true;
}

static inline bool http1_is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* The value of a hexadecimal digit, or -1. */
static inline int http1_hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}
