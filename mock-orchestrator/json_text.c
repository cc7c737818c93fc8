#include "mock-orchestrator/json_text.h"

#include <errno.h>
#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/cleanup.h"
#include "sim/base/str.h"
#include "sim/base/utf8.h"

/* The code unit of an escape "\uXXXX" at `at`, or -1. */
static int unit_at(const char *at, const char *end)
{
    int unit = 0;

    if (end - at < 6 || at[0] != '\\' || at[1] != 'u') return -1;
    for (int i = 2; i < 6; i++) {
        char c = at[i];

        unit <<= 4;
        if (c >= '0' && c <= '9')
            unit |= c - '0';
        else if ((c | 32) >= 'a' && (c | 32) <= 'f')
            unit |= (c | 32) - 'a' + 10;
        else
            return -1;
    }
    return unit;
}

static bool is_high(int unit)
{
    return unit >= 0xd800 && unit <= 0xdbff;
}
static bool is_low(int unit)
{
    return unit >= 0xdc00 && unit <= 0xdfff;
}

/* Halves of surrogate pairs become U+FFFD, in place: the escapes are of one length. */
static void repair_surrogates(char *text, size_t len)
{
    char *end = text + len;

    for (char *at = text; (at = memchr(at, '\\', (size_t)(end - at)));) {
        int unit = unit_at(at, end);

        if (is_high(unit) && is_low(unit_at(at + 6, end))) {
            at += 12;
            continue;
        }
        if (is_high(unit) || is_low(unit)) memcpy(at + 2, "fffd", 4);
        at += unit >= 0 ? 6 : 2;
        if (at >= end) return;
    }
}

int json_text_parse(const char *bytes, size_t len, json_t **ret_json, char ret_why[JSON_TEXT_WHY_MAX])
{
    bool valid = utf8_valid(bytes, len);
    _cleanup_free_ char *text = malloc(valid ? len + 1 : UTF8_REPAIRED_MAX(len) + 1);
    json_error_t error;
    json_t *json;

    if (!text) return -ENOMEM;
    if (valid)
        memcpy(text, bytes, len);
    else
        len = utf8_repair(bytes, len, text);
    repair_surrogates(text, len);
    json = json_loadb(text, len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (!json) {
        snprintf(ret_why, JSON_TEXT_WHY_MAX, "not JSON: line %d, column %d: %.100s", error.line, error.column,
                 error.text);
        return -EINVAL;
    }
    *ret_json = json;
    return 0;
}

int json_text_parse_buffer(struct evbuffer *b, json_t **ret_json, char ret_why[JSON_TEXT_WHY_MAX])
{
    size_t len = evbuffer_get_length(b);
    const char *bytes = len ? (const char *)evbuffer_pullup(b, -1) : "";

    if (!bytes) return -ENOMEM;
    return json_text_parse(bytes, len, ret_json, ret_why);
}

static int add_piece(const char *bytes, size_t len, void *user)
{
    return evbuffer_add(user, bytes, len);
}

int json_text_add(struct evbuffer *out, const json_t *json)
{
    return json_dump_callback(json, add_piece, out, JSON_COMPACT | JSON_ENCODE_ANY) < 0 ? -ENOMEM : 0;
}

void json_text_add_string(struct evbuffer *out, const char *text, size_t len)
{
    CLEANUP(str_deinit) struct str s = STR_INIT(SIZE_MAX);

    str_append_json(&s, text, len);
    evbuffer_add(out, str_text(&s), str_len(&s));
}

const char *json_text_get(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

bool json_text_get_bool(const json_t *object, const char *key, bool otherwise)
{
    const json_t *value = json_object_get(object, key);

    return json_is_boolean(value) ? json_is_true(value) : otherwise;
}

int json_text_merge(json_t *target, const json_t *patch)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)patch, key, value)
    {
        if (json_is_null(value))
            json_object_del(target, key);
        else if (json_object_set(target, key, value) < 0)
            return -ENOMEM;
    }
    return 0;
}
