/*
 * JSON from anybody. Text that is no text (invalid UTF-8, halves of surrogate pairs) is not refused but
 * repaired, each with U+FFFD, as a browser would; U+0000 is kept.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct evbuffer;
struct str;

enum { JSON_TEXT_WHY_MAX = 200 };

/* Parses `len` bytes: any JSON value. 0; -EINVAL with one line in `ret_why`; -ENOMEM. */
int json_text_parse(const char *bytes, size_t len, json_t **ret_json, char ret_why[JSON_TEXT_WHY_MAX]);
/* The same from the whole of a buffer, which is not drained. */
int json_text_parse_buffer(struct evbuffer *b, json_t **ret_json, char ret_why[JSON_TEXT_WHY_MAX]);

/* Appends the value as compact JSON. -ENOMEM. */
int json_text_add(struct evbuffer *out, const json_t *json);
/* Appends a JSON string with its quotes. */
void json_text_add_string(struct evbuffer *out, const char *text, size_t len);

/* Members of an object, by type; what is not there or of another type gives NULL or `otherwise`. */
const char *json_text_get(const json_t *object, const char *key);
bool json_text_get_bool(const json_t *object, const char *key, bool otherwise);

/* Merges `patch` into `target`, one level deep: null removes. -ENOMEM. */
int json_text_merge(json_t *target, const json_t *patch);

static inline void json_decref_p(json_t **json)
{
    json_decref(*json);
}
