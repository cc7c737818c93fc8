/*
 * HTML in pieces: escaped text, tables, and the data that charts are drawn from.
 */
#pragma once

#include "reports/result.h"
#include "sim/base/str.h"

/* Appends text with what HTML would read as its own escaped, also within attributes in double quotes; control
 * characters become '?', invalid UTF-8 U+FFFD. */
void page_text(struct str *out, const char *text);

/* Appends the data of the charts as JSON that can stand in a script element: no '<' is in it. 0 or str's
 * error. */
int page_data(const struct result *const *results, size_t count, struct str *out);

/* Results whose course over time a page shows: more would make it too large to open. */
#define PAGE_TIMELINES_MAX 24

/* What a result is called beside others: "queue", or "queue/2" if `replicates`. Not escaped. */
void page_label(const struct result *r, bool replicates, struct str *out);

/* Whether some result is a replicate after the first. */
bool page_replicates(const struct result *const *results, size_t count);

/* The parts of one result's section. */
void page_objectives(const struct result *r, struct str *out);
void page_metrics(const struct result *r, struct str *out);
void page_hops(const struct result *r, struct str *out);
void page_slowest(const struct result *r, struct str *out);
void page_ledger(const struct result *r, struct str *out);
void page_counters(const struct result *r, struct str *out);
void page_rates(const struct result *r, struct str *out);
void page_host(const struct result *r, struct str *out);
