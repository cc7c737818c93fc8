/*
 * Ids as they stand on the wire: a prefix that says of what, and 16 lowercase hex digits:
 * "sesn_0123456789abcdef".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ID_DIGITS     16
#define ID_PREFIX_MAX 15
#define ID_SIZE       32 /* the longest id with its NUL */

/* Writes the id with its NUL and returns its length. The prefix, with its underscore, has at most
 * ID_PREFIX_MAX bytes. */
size_t id_format(char ret_text[ID_SIZE], const char *prefix, uint64_t value);

/* Reads an id. False, and `ret_value` untouched, unless the text is exactly the prefix and 16 lowercase hex
 * digits. */
bool id_parse(const char *text, size_t len, const char *prefix, uint64_t *ret_value);
