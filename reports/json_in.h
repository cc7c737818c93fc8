/*
 * Reads JSON with checks: each getter names what it wants, the first thing that is wrong is kept as one line
 * ("name: /pointer: what"), and after it all getters give 0, "" or NULL. So a reader reads on and looks at
 * the end.
 */
#pragma once

#include "reports/result.h"
#include "sim/base/intern.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_IN_DEPTH_MAX 8

struct json_in {
    const char *name; /* of the file */
    struct report_error *error;
    struct intern *texts; /* where texts are kept */
    int result;           /* 0 so far, or RESULT_E_INVALID, -ENOMEM */
    json_t *root;
    const char *at[JSON_IN_DEPTH_MAX]; /* keys from the root; NULL for an element of a list */
    size_t index[JSON_IN_DEPTH_MAX];
    size_t depth;
};

/* Parses the text and checks its "schema". Returns in->result; `in` is to be ended by json_in_deinit() in any
 * case. `name` and `texts` must outlive it; `texts` may be set later. */
int json_in_init(struct json_in *in, const char *text, size_t len, const char *name, const char *schema,
                 struct report_error *error);
void json_in_deinit(struct json_in *in);

/* Records that the current place (or its member `key`, if not NULL) is wrong. */
void json_in_fail(struct json_in *in, const char *key, const char *what);

/* Goes into a member or an element (to be left by json_in_leave()); for messages only. */
void json_in_enter(struct json_in *in, const char *key, size_t index);
void json_in_leave(struct json_in *in);

/* The member as an object or list; NULL if it is missing or something else (which is recorded). */
json_t *json_in_object(struct json_in *in, json_t *parent, const char *key);
json_t *json_in_list(struct json_in *in, json_t *parent, const char *key);

/* Members of an object. */
uint64_t json_in_u64(struct json_in *in, json_t *parent, const char *key);
uint64_t json_in_figure(struct json_in *in, json_t *parent, const char *key); /* null is FIGURE_NONE */
bool json_in_bool(struct json_in *in, json_t *parent, const char *key);
const char *json_in_text(struct json_in *in, json_t *parent, const char *key); /* kept; never NULL */
const char *json_in_text_or_null(struct json_in *in, json_t *parent, const char *key);

/* Element `index` of a list of numbers; null is FIGURE_NONE where allowed. */
uint64_t json_in_item(struct json_in *in, json_t *list, size_t index, bool null_allowed);
