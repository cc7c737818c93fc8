/*
 * Writes JSON into a string: integers, texts, lists and objects, in the order of the calls; nested lines are
 * indented by two blanks, flat lists and objects stand on one line. Errors stick in the string (str_error()).
 */
#pragma once

#include "sim/base/str.h"

#include <stdbool.h>
#include <stdint.h>

#define EMIT_DEPTH_MAX 12

struct emit {
    struct str *out;
    uint32_t depth;
    struct {
        char close;
        bool flat;
        bool used;
    } levels[EMIT_DEPTH_MAX];
};

/* Starts a document, which is one object. emit_finish() ends it, with a newline, and returns str_error(). */
void emit_start(struct emit *j, struct str *out);
int emit_finish(struct emit *j);

/* A nested object or list. `key` is NULL in lists. What is within a flat one must be flat. */
void emit_object(struct emit *j, const char *key, bool flat);
void emit_list(struct emit *j, const char *key, bool flat);
void emit_end(struct emit *j);

/* Values. emit_figure() writes null for FIGURE_NONE; emit_text() for NULL. */
void emit_u64(struct emit *j, const char *key, uint64_t value);
void emit_figure(struct emit *j, const char *key, uint64_t value);
void emit_bool(struct emit *j, const char *key, bool value);
void emit_text(struct emit *j, const char *key, const char *text);
