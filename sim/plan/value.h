/*
 * Single values of the option table, for the parser's other parts.
 */
#pragma once

#include "sim/plan/context.h"
#include "sim/plan/units.h"

/* "must be …, not …". Returns PLAN_E_INVALID. */
int fail_type(struct context *c, enum option_type type, const json_t *in);

/* A number of `type` within the option's range. */
int number_parse(struct context *c, const struct option *option, enum option_type type, json_t *in,
                 uint64_t *ret);

/* In which unit the plan holds values of that type. */
enum unit_kind option_unit(enum option_type type);

/* "1 to 1000000", "1ms to 48h". */
void option_range_words(const struct option *option, char *ret, size_t size);
