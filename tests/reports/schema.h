/*
 * Validates JSON against the part of JSON Schema (2020-12) that result.schema.json uses: type, enum, const,
 * required, properties, additionalProperties, items, prefixItems, minItems, maxItems, minimum, pattern as a
 * POSIX expression, and $ref within the document. Any other keyword is an error, so that nothing is passed
 * over.
 */
#pragma once

#include "sim/base/str.h"

#include <jansson.h>
#include <stdbool.h>

/* True if `value` is as `schema` (of the document `root`) says. Otherwise appends "/pointer: what" to
 * `ret_wrong`. */
bool schema_valid(json_t *root, json_t *schema, json_t *value, struct str *ret_wrong);
