/*
 * What the parts of the parser share while one document is parsed.
 */
#pragma once

#include "sim/plan/arena.h"
#include "sim/plan/document.h"
#include "sim/plan/option.h"

struct str;

struct context {
    const struct plan_load_options *options;
    struct document document;
    json_t *root; /* merged */
    struct plan_arena *arena;
    struct pointer at;
    json_t *profile;    /* the provider profile, once one was needed */
    bool from_provider; /* a cold_start that nobody wrote: it comes from the keys `provider` and `regime` */
    struct plan_error *error;
};

/* All of these return PLAN_E_INVALID (or -ENOMEM), so that `return fail(…)` reads well. */

/* The value at the context's pointer is wrong. */
int fail(struct context *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The value of `key` within it is wrong. */
int fail_at(struct context *c, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The value of `key` within it (NULL: itself) does not go with others: keys within it, or pointers of the
 * document, NULL ends them. Where a --set gave one of those, and none gave the value, the --set is named. */
int fail_against(struct context *c, const char *key, const char *const *others, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
#define OTHERS(...) ((const char *const[]){__VA_ARGS__, NULL})
/* An element of the array `key` within it is wrong. */
int fail_element(struct context *c, const char *key, size_t index, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The key `key` within it must not be there (yet is). */
int fail_key(struct context *c, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A list of what is allowed, for the end of a message. */
struct choices {
    const char *const *names; /* "" is passed over */
    size_t count;
};

/* Appends "; did you mean "x"? allowed: a, b, …": the nearest is named only if it is near. */
void suggest(struct str *s, const char *wrong, const struct choices *choices);

/* An array in the plan's arena, zeroed; NULL after having written an error: then return context_full(). */
void *context_alloc(struct context *c, size_t count, size_t size);
int context_full(struct context *c);

/* Reads one value for `option` into the struct at `base`; `ret_resolved` is a new reference to what is to be
 * printed. */
int value_parse(struct context *c, const struct option *option, json_t *in, void *base,
                json_t **ret_resolved);
/* A distribution, into a struct dist. */
int dist_parse(struct context *c, const struct option *option, json_t *in, struct dist *ret,
               json_t **ret_resolved);
/* The start times of a provider from the profile file: a borrowed distribution in JSON. */
int profile_find(struct context *c, const char *provider, const char *regime, json_t **ret);
/* An object with the keys of a table, into `base`; unknown keys are errors, missing ones get their defaults.
 */
int table_parse(struct context *c, const struct option_table *table, json_t *in, void *base,
                json_t **ret_resolved);

/* Fault drafts into faults; objective texts into objectives. */
int faults_expand(struct context *c, struct draft *draft);
int objectives_expand(struct context *c, struct draft *draft);
/* What concerns more than one part of the document. */
int plan_check(struct context *c, struct draft *draft);
