/*
 * Where in a JSON text a value stands. The JSON library tells the place of syntax errors only; this walks the
 * text again, when there is an error to report.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "sim/plan/pointer.h"

/* Both from 1; columns count characters. */
struct place {
    unsigned line, column;
};

/* The place of the value (or, with `key`, of its key) that `pointer` names, or of the nearest value around it
 * that exists. The text need not be valid: garbage gives some place within it. `ret_exact` may be NULL. */
struct place position_find(const char *text, size_t length, const char *pointer, bool key, bool *ret_exact);

/* The pointer of the innermost value that is being read at byte `offset`. */
void position_pointer(const char *text, size_t length, size_t offset, struct pointer *ret);
