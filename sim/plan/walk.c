/* Walks a JSON object along an option table: unknown keys, defaults, nested tables. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "sim/base/str.h"
#include "sim/plan/context.h"

/* Errors ----------------------------------------------------------------------------------------------------
 */

static int __attribute__((format(printf, 3, 0)))
fail_va(struct context *c, bool key, const char *format, va_list args)
{
    char what[PLAN_ERROR_BYTES];

    vsnprintf(what, sizeof(what), format, args);
    return document_error(&c->document, c->at.text, key, what, c->error);
}

int fail(struct context *c, const char *format, ...)
{
    va_list args;
    int r;

    va_start(args, format);
    r = fail_va(c, false, format, args);
    va_end(args);
    return r;
}

int fail_at(struct context *c, const char *key, const char *format, ...)
{
    size_t before = pointer_push(&c->at, key, strlen(key));
    va_list args;
    int r;

    va_start(args, format);
    r = fail_va(c, false, format, args);
    va_end(args);
    pointer_pop(&c->at, before);
    return r;
}

static const char *set_of(const struct context *c, const char *other)
{
    struct pointer within = c->at;

    if (*other == '/') return document_set_of(&c->document, other);
    pointer_push(&within, other, strlen(other));
    return document_set_of(&c->document, within.text);
}

int fail_against(struct context *c, const char *key, const char *const *others, const char *format, ...)
{
    size_t before = c->at.length;
    const char *set = NULL;
    char what[PLAN_ERROR_BYTES];
    va_list args;
    int r;

    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    for (; *others && !set; others++) set = set_of(c, *others);
    if (key) pointer_push(&c->at, key, strlen(key));
    if (set && !document_set_of(&c->document, c->at.text))
        r = document_set_error(set, c->at.text, what, c->error);
    else
        r = document_error(&c->document, c->at.text, false, what, c->error);
    pointer_pop(&c->at, before);
    return r;
}

int fail_element(struct context *c, const char *key, size_t index, const char *format, ...)
{
    size_t before = pointer_push(&c->at, key, strlen(key));
    va_list args;
    int r;

    pointer_push_index(&c->at, index);
    va_start(args, format);
    r = fail_va(c, false, format, args);
    va_end(args);
    pointer_pop(&c->at, before);
    return r;
}

int fail_key(struct context *c, const char *key, const char *format, ...)
{
    size_t before = pointer_push(&c->at, key, strlen(key));
    va_list args;
    int r;

    va_start(args, format);
    r = fail_va(c, true, format, args);
    va_end(args);
    pointer_pop(&c->at, before);
    return r;
}

int context_full(struct context *c)
{
    if (!plan_arena_full(c->arena)) return -ENOMEM;
    return fail(c, "the plan grows beyond %u MiB here", PLAN_ARENA_BYTES >> 20);
}

void *context_alloc(struct context *c, size_t count, size_t size)
{
    return plan_arena_alloc(c->arena, count, size);
}

/* Tables ----------------------------------------------------------------------------------------------------
 */

static int unknown_key(struct context *c, const struct option_table *table, const char *key)
{
    CLEANUP(str_deinit) struct str s = STR_INIT(PLAN_ERROR_BYTES);
    const char *names[64];
    struct choices choices = {names, 0};

    for (size_t i = 0; i < table->count && i < 64; i++) names[choices.count++] = table->options[i].key;
    str_appendf(&s, "unknown key \"%.80s\"", key);
    suggest(&s, key, &choices);
    return fail_key(c, key, "%s", str_text(&s));
}

static const struct option *find_option(const struct option_table *table, const char *key)
{
    for (size_t i = 0; i < table->count; i++)
        if (strcmp(table->options[i].key, key) == 0) return &table->options[i];
    return NULL;
}

static int check_keys(struct context *c, const struct option_table *table, json_t *in)
{
    const char *key;
    json_t *value;

    json_object_foreach(in, key, value) if (!find_option(table, key)) return unknown_key(c, table, key);
    return 0;
}

/* A new reference to the value given or to the default; NULL with 0 when the key may stay away. */
static int value_or_fallback(struct context *c, const struct option *option, json_t *in, json_t **ret)
{
    json_t *value = json_object_get(in, option->key);

    if (value) {
        *ret = json_incref(value);
        return 0;
    }
    if (option->fallback == OPTION_REQUIRED)
        return fail(c, "\"%s\" is missing: it is required (%s)", option->key, option->help);
    *ret = NULL;
    if (!*option->fallback) return 0;
    *ret = json_loads(option->fallback, JSON_DECODE_ANY, NULL);
    return *ret ? 0 : -ENOMEM;
}

static int option_parse(struct context *c, const struct option *option, json_t *in, void *base,
                        json_t *resolved)
{
    CLEANUP(json_decref_p) json_t *value = NULL, *out = NULL;
    size_t before;
    int r = value_or_fallback(c, option, in, &value);

    if (r != 0 || !value) return r;
    before = pointer_push(&c->at, option->key, strlen(option->key));
    r = value_parse(c, option, value, base, &out);
    pointer_pop(&c->at, before);
    if (r != 0) return r;
    return json_object_set_new(resolved, option->key, steal_ptr(out)) < 0 ? -ENOMEM : 0;
}

int table_parse(struct context *c, const struct option_table *table, json_t *in, void *base,
                json_t **ret_resolved)
{
    CLEANUP(json_decref_p) json_t *resolved = json_object(), *prepared = NULL;
    int r = 0;

    if (!resolved) return -ENOMEM;
    prepared = table->prepare ? table->prepare(in) : json_incref(in);
    if (!prepared) return -ENOMEM;
    r = check_keys(c, table, prepared);
    c->from_provider = prepared != in;
    for (size_t i = 0; r == 0 && i < table->count; i++)
        r = option_parse(c, &table->options[i], prepared, base, resolved);
    c->from_provider = false;
    if (r == 0 && table->finish) r = table->finish(c, prepared, base);
    if (r == 0) *ret_resolved = steal_ptr(resolved);
    return r;
}
