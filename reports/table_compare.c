/* Several results side by side. */
#include "reports/grid.h"
#include "reports/human.h"
#include "reports/table.h"

#include <string.h>

#define COLUMNS_MAX 6 /* results beside each other; more go below */

struct side_by_side {
    const struct result *const *results;
    size_t count;
    bool replicates; /* some deployment has more than one */
    struct grid grid;
};

static void name_column(struct side_by_side *s, size_t i)
{
    struct str *out = grid_open(&s->grid, GRID_HEAD);

    human_text(out, s->results[i]->deployment, 24);
    if (s->replicates) str_appendf(out, "/%u", (unsigned)s->results[i]->replicate);
    grid_close(&s->grid);
}

static void row_heads(struct side_by_side *s)
{
    grid_text(&s->grid, GRID_HEAD, "");
    for (size_t i = 0; i < s->count; i++) name_column(s, i);
}

static void row_validity(struct side_by_side *s)
{
    grid_text(&s->grid, GRID_PLAIN, "valid");
    for (size_t i = 0; i < s->count; i++) {
        bool valid = s->results[i]->valid;

        grid_text(&s->grid, valid ? GRID_GOOD : GRID_BAD, valid ? "yes" : "INVALID");
    }
}

/* Nobody fails for what these miss. */
static void row_informational(struct side_by_side *s)
{
    bool any = false;

    for (size_t i = 0; i < s->count; i++) any |= s->results[i]->informational;
    if (!any) return;
    grid_text(&s->grid, GRID_PLAIN, "informational");
    for (size_t i = 0; i < s->count; i++)
        grid_text(&s->grid, GRID_DIM, s->results[i]->informational ? "yes" : "-");
}

static const struct objective_result *objective_of(const struct result *r, const char *expr)
{
    for (size_t i = 0; i < r->objectives.len; i++)
        if (strcmp(r->objectives.items[i].expr, expr) == 0) return &r->objectives.items[i];
    return NULL;
}

static void row_objective(struct side_by_side *s, const char *expr)
{
    human_text(grid_open(&s->grid, GRID_PLAIN), expr, 48);
    grid_close(&s->grid);
    for (size_t i = 0; i < s->count; i++) {
        const struct objective_result *o = objective_of(s->results[i], expr);
        struct str *out = grid_open(&s->grid, !o ? GRID_DIM : o->met ? GRID_GOOD : GRID_BAD);

        if (!o) {
            str_putc(out, '-');
        } else {
            human_objective(out, o->fn, o->value);
            str_puts(out, o->met ? " met" : " MISSED");
        }
        grid_close(&s->grid);
    }
}

/* Objectives in the order of the first result that has them. */
static void rows_objectives(struct side_by_side *s)
{
    for (size_t i = 0; i < s->count; i++) {
        for (size_t k = 0; k < s->results[i]->objectives.len; k++) {
            const char *expr = s->results[i]->objectives.items[k].expr;
            bool seen = objective_of(s->results[i], expr) != &s->results[i]->objectives.items[k];

            for (size_t before = 0; before < i && !seen; before++)
                seen = objective_of(s->results[before], expr);
            if (!seen) row_objective(s, expr);
        }
    }
}

enum figure { SHOW_P50, SHOW_P99, SHOW_MAX, SHOW_COUNT };

static uint64_t figure(const struct result_metric *m, enum figure which)
{
    return which == SHOW_P50   ? m->quantile_ns[FIGURE_P50]
           : which == SHOW_P99 ? m->quantile_ns[FIGURE_P99]
                               : m->max_ns;
}

static void row_metric(struct side_by_side *s, enum metric m, enum figure which)
{
    static const char *const names[] = {"p50", "p99", "max"};
    struct str *out = grid_open(&s->grid, GRID_PLAIN);

    str_appendf(out, "%s(%s)", names[which], metric_name(m));
    grid_close(&s->grid);
    for (size_t i = 0; i < s->count; i++) {
        human_duration(grid_open(&s->grid, GRID_PLAIN), figure(&s->results[i]->metrics[m], which));
        grid_close(&s->grid);
    }
}

static void rows_metrics(struct side_by_side *s)
{
    for (enum metric m = 0; m < METRIC_HOP_QUEUE; m++) {
        for (enum figure which = 0; which < SHOW_COUNT; which++) {
            bool any = false;

            for (size_t i = 0; i < s->count; i++)
                any |= figure(&s->results[i]->metrics[m], which) != FIGURE_NONE;
            if (any) row_metric(s, m, which);
        }
    }
}

static void row_end(struct side_by_side *s, enum account a, enum ledger_end e)
{
    bool any = e == LEDGER_COMPLETED && (a == ACCOUNT_SESSION || a == ACCOUNT_CALL);
    struct str *out;

    for (size_t i = 0; i < s->count; i++)
        any |= e != LEDGER_COMPLETED && s->results[i]->accounts[a].ends[e] > 0;
    if (!any) return;
    out = grid_open(&s->grid, GRID_PLAIN);
    str_appendf(out, "%s.%s", account_name(a), ledger_end_name(e));
    grid_close(&s->grid);
    for (size_t i = 0; i < s->count; i++) {
        uint64_t n = s->results[i]->accounts[a].ends[e];

        human_count(grid_open(&s->grid, n == 0 ? GRID_DIM : e == LEDGER_LOST ? GRID_BAD : GRID_PLAIN), n);
        grid_close(&s->grid);
    }
}

static void rows_cost(struct side_by_side *s)
{
    grid_text(&s->grid, GRID_PLAIN, "sandbox time");
    for (size_t i = 0; i < s->count; i++) {
        human_duration(grid_open(&s->grid, GRID_PLAIN), s->results[i]->sandbox_ns);
        grid_close(&s->grid);
    }
    grid_text(&s->grid, GRID_PLAIN, "cost");
    for (size_t i = 0; i < s->count; i++) {
        human_money(grid_open(&s->grid, GRID_PLAIN), s->results[i]->money);
        grid_close(&s->grid);
    }
}

static int block(struct side_by_side *s, bool colour, struct str *out)
{
    int r;

    grid_init(&s->grid, 1 + (uint32_t)s->count, 1);
    row_heads(s);
    row_validity(s);
    row_informational(s);
    rows_objectives(s);
    rows_metrics(s);
    for (enum account a = 0; a < ACCOUNT_COUNT; a++)
        for (enum ledger_end e = 0; e < LEDGER_END_COUNT; e++) row_end(s, a, e);
    rows_cost(s);
    r = grid_print(&s->grid, colour, out);
    grid_deinit(&s->grid);
    return r;
}

int table_compare(const struct result *const *results, size_t count, const struct table_options *options,
                  struct str *out)
{
    bool replicates = false;
    int r = 0;

    for (size_t i = 0; i < count; i++) replicates |= results[i]->replicate > 0;
    for (size_t at = 0; r == 0 && at < count; at += COLUMNS_MAX) {
        struct side_by_side s = {
            .results = results + at,
            .count = count - at < COLUMNS_MAX ? count - at : COLUMNS_MAX,
            .replicates = replicates,
        };

        if (at > 0) str_putc(out, '\n');
        r = block(&s, options->colour, out);
    }
    return r ? r : str_error(out);
}
