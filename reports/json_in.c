#include "reports/json_in.h"

#include "reports/texts.h"
#include "sim/base/panic.h"

#include <errno.h>
#include <stdio.h>

static const char whole_number[] = "must be a whole number from 0";

int json_in_init(struct json_in *in, const char *text, size_t len, const char *name, const char *schema,
                 struct report_error *error)
{
    json_error_t wrong;
    const char *found;

    *in = (struct json_in){.name = name, .error = error};
    in->root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &wrong);
    if (!in->root) {
        snprintf(error->text, sizeof(error->text), "%.600s:%d:%d: %s", name, wrong.line, wrong.column,
                 wrong.text);
        return in->result = RESULT_E_INVALID;
    }
    found = json_string_value(json_object_get(in->root, "schema"));
    if (!found || strcmp(found, schema) != 0) {
        snprintf(error->text, sizeof(error->text), "%.600s: /schema: must be \"%s\"", name, schema);
        in->result = RESULT_E_INVALID;
    }
    return in->result;
}

void json_in_deinit(struct json_in *in)
{
    json_decref(in->root);
    in->root = NULL;
}

void json_in_fail(struct json_in *in, const char *key, const char *what)
{
    CLEANUP(str_deinit) struct str place = STR_INIT(4096);

    if (in->result != 0) return;
    in->result = RESULT_E_INVALID;
    for (size_t i = 0; i < in->depth; i++) {
        if (in->at[i])
            str_appendf(&place, "/%.60s", in->at[i]);
        else
            str_appendf(&place, "/%zu", in->index[i]);
    }
    if (key) str_appendf(&place, "/%.60s", key);
    snprintf(in->error->text, sizeof(in->error->text), "%.400s: %.500s: %s", in->name,
             str_len(&place) ? str_text(&place) : "/", what);
}

void json_in_enter(struct json_in *in, const char *key, size_t index)
{
    ASSERT(in->depth < JSON_IN_DEPTH_MAX);
    in->at[in->depth] = key;
    in->index[in->depth++] = index;
}

void json_in_leave(struct json_in *in)
{
    ASSERT(in->depth > 0);
    in->depth--;
}

json_t *json_in_object(struct json_in *in, json_t *parent, const char *key)
{
    json_t *member = json_object_get(parent, key);

    if (json_is_object(member)) return member;
    json_in_fail(in, key, "must be an object");
    return NULL;
}

json_t *json_in_list(struct json_in *in, json_t *parent, const char *key)
{
    json_t *member = json_object_get(parent, key);

    if (json_is_array(member)) return member;
    json_in_fail(in, key, "must be a list");
    return NULL;
}

static uint64_t number(struct json_in *in, const json_t *value, const char *key, bool null_allowed)
{
    if (null_allowed && json_is_null(value)) return FIGURE_NONE;
    if (json_is_integer(value) && json_integer_value(value) >= 0) return (uint64_t)json_integer_value(value);
    json_in_fail(in, key, null_allowed ? "must be a whole number from 0, or null" : whole_number);
    return 0;
}

uint64_t json_in_u64(struct json_in *in, json_t *parent, const char *key)
{
    return number(in, json_object_get(parent, key), key, false);
}

uint64_t json_in_figure(struct json_in *in, json_t *parent, const char *key)
{
    return number(in, json_object_get(parent, key), key, true);
}

uint64_t json_in_item(struct json_in *in, json_t *list, size_t index, bool null_allowed)
{
    return number(in, json_array_get(list, index), NULL, null_allowed);
}

bool json_in_bool(struct json_in *in, json_t *parent, const char *key)
{
    const json_t *value = json_object_get(parent, key);

    if (!json_is_boolean(value)) json_in_fail(in, key, "must be true or false");
    return json_is_true(value);
}

static const char *keep(struct json_in *in, const json_t *value)
{
    const char *text = texts_keep(in->texts, json_string_value(value));

    if (text) return text;
    if (in->result == 0) {
        in->result = -ENOMEM;
        snprintf(in->error->text, sizeof(in->error->text), "%.600s: out of memory for its texts", in->name);
    }
    return "";
}

const char *json_in_text(struct json_in *in, json_t *parent, const char *key)
{
    const json_t *value = json_object_get(parent, key);

    if (json_is_string(value)) return keep(in, value);
    json_in_fail(in, key, "must be a text");
    return "";
}

const char *json_in_text_or_null(struct json_in *in, json_t *parent, const char *key)
{
    const json_t *value = json_object_get(parent, key);

    if (json_is_null(value)) return NULL;
    return json_in_text(in, parent, key);
}
