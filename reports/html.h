/*
 * report.html: one file that needs nothing else, neither network nor neighbours. The tables are plain HTML;
 * charts are drawn by Chart.js, which the program carries within itself. All text of a result is escaped.
 */
#pragma once

#include "reports/result.h"

/* Appends the page for the results of one run, in this order. 0 or str's error. */
int html_report(const struct result *const *results, size_t count, struct str *out);

/* Writes <out_dir>/report.html, whole or not at all. 0, or a negative errno with the error filled. */
int html_write(const struct result *const *results, size_t count, const char *out_dir,
               struct report_error *ret_error);
