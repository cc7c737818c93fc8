/*
 * Numbers and names as people read them, and how wide text is on a terminal.
 */
#pragma once

#include "reports/objectives.h"
#include "sim/base/nsec.h"
#include "sim/base/str.h"

#include <stddef.h>
#include <stdint.h>

/* Appends, as str_append() does; '-' for FIGURE_NONE. */

/* Three digits and a unit: "812ns", "12.3us", "1.50s", then "2min05s", "1h02min". Rounded to the nearest. */
int human_duration(struct str *out, uint64_t ns);
/* "1,234,567" */
int human_count(struct str *out, uint64_t n);
/* Of parts per million: "99.5%", exact. */
int human_share(struct str *out, uint64_t ppm);
/* Of a number per hour: "12.5/s", "3/min", "7/h". */
int human_rate(struct str *out, uint64_t per_hour);
/* "1.5 GiB", "300 MiB", "12 kB" … in powers of 1024. */
int human_bytes(struct str *out, uint64_t bytes);
/* An exact decimal of dollars ("0.03262962933595089") cut to two places, or four digits that say something:
 * "$0.03262", "$12.34"; '-' for NULL. Ends at what is neither digit nor dot. */
int human_money(struct str *out, const char *money);
/* The value of an objective in its unit. */
int human_objective(struct str *out, enum objective_fn fn, uint64_t value);
/* part / whole with one decimal: "12.3%"; '-' if whole is 0. */
int human_part(struct str *out, uint64_t part, uint64_t whole);

/* Columns that a text takes on a terminal. */
size_t human_width(const char *text);
/* Appends the text with control and bidirectional characters replaced by '?', cut to `width_max` columns with
 * "…" at the end (0: not cut). */
int human_text(struct str *out, const char *text, size_t width_max);
