/*
 * Times on the wire: RFC 3339 in UTC, to the nanosecond, so that a number comes back as it went.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { API_TIME_SIZE = 40 }; /* the text with its NUL */

/* Writes "2026-11-20T23:41:50.123456789Z" for nanoseconds since 1970, always with nine digits. Its length. */
size_t api_time_format(uint64_t wall_ns, char ret_text[API_TIME_SIZE]);

/* Reads any RFC 3339 time from 1970 on, offsets included; digits after the ninth of the fraction are
 * dropped, and times from 2554 on are UINT64_MAX.
 * False, and `ret_wall_ns` untouched, when it is none. */
bool api_time_parse(const char *text, uint64_t *ret_wall_ns);
