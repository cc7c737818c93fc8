/*
 * Results as text for a terminal or a log. UTF-8; columns are aligned by display width; control characters in
 * names become '?'. '-' stands where too few samples support a number. Ends in a newline.
 */
#pragma once

#include "reports/result.h"

struct table_options {
    bool colour; /* ANSI colours: only if asked */
};

/* One result: header, objectives, metrics, hops of a tool call, ledger, cost; INVALID first where it is. 0 or
 * str's error, as all below. */
int table_result(const struct result *result, const struct table_options *options, struct str *out);

/* Several side by side, a column each: validity, objectives, the metrics' p50, p99 and max, ends, cost. */
int table_compare(const struct result *const *results, size_t count, const struct table_options *options,
                  struct str *out);
