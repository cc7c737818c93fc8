/* The figures that charts are drawn from. */
#include "reports/emit.h"
#include "reports/page.h"

#include <string.h>

static void curves(struct emit *j, const struct result *r)
{
    emit_object(j, "curves", false);
    for (enum metric m = 0; m < METRIC_HOP_QUEUE; m++) {
        const struct result_metric *metric = &r->metrics[m];

        if (metric->curve.len == 0) continue;
        emit_list(j, metric_name(m), true);
        for (size_t i = 0; i < metric->curve.len; i++) {
            emit_list(j, NULL, true);
            emit_u64(j, NULL, metric->curve.items[i].q_ppm);
            emit_u64(j, NULL, metric->curve.items[i].ns);
            emit_end(j);
        }
        emit_end(j);
    }
    emit_end(j);
}

static void cut(struct emit *j, const struct result_cut *c)
{
    emit_list(j, NULL, true);
    emit_u64(j, NULL, c->start_ns);
    emit_u64(j, NULL, c->count);
    emit_figure(j, NULL, c->p50_ns);
    emit_figure(j, NULL, c->p99_ns);
    emit_u64(j, NULL, c->max_ns);
    emit_end(j);
}

static void intervals(struct emit *j, const struct result *r)
{
    emit_u64(j, "start", r->intervals_start_ns);
    emit_list(j, "ends", true);
    for (size_t i = 0; i < r->interval_ends_ns.len; i++) emit_u64(j, NULL, r->interval_ends_ns.items[i]);
    emit_end(j);
    emit_object(j, "cuts", false);
    for (unsigned m = 0; m < INTERVAL_METRICS; m++) {
        if (r->cuts[m].len == 0) continue;
        emit_list(j, metric_name((enum metric)m), true);
        for (size_t i = 0; i < r->cuts[m].len; i++) cut(j, &r->cuts[m].items[i]);
        emit_end(j);
    }
    emit_end(j);
}

static void hops(struct emit *j, const struct result *r)
{
    emit_u64(j, "calls", r->hops_calls);
    emit_object(j, "hops", true);
    for (enum hop h = 0; h < HOP_COUNT; h++)
        if (r->hops[h].calls > 0) emit_u64(j, hop_name(h), r->hops[h].sum_ns);
    emit_end(j);
}

static void faults(struct emit *j, const struct result *r)
{
    emit_list(j, "faults", false);
    for (size_t i = 0; i < r->faults.len; i++) {
        emit_object(j, NULL, true);
        emit_text(j, "text", r->faults.items[i].text);
        emit_u64(j, "at", r->faults.items[i].at_ns);
        emit_u64(j, "for", r->faults.items[i].for_ns);
        emit_end(j);
    }
    emit_end(j);
}

static void one(struct emit *j, const struct result *r, bool replicates, bool timeline)
{
    CLEANUP(str_deinit) struct str label = STR_INIT(64u << 10);

    page_label(r, replicates, &label);
    emit_object(j, NULL, false);
    emit_text(j, "label", str_text(&label));
    emit_u64(j, "end", r->end_ns);
    curves(j, r);
    if (timeline) intervals(j, r);
    hops(j, r);
    faults(j, r);
    emit_end(j);
}

int page_data(const struct result *const *results, size_t count, struct str *out)
{
    CLEANUP(str_deinit) struct str json = STR_INIT(RESULT_FILE_BYTES_MAX);
    bool replicates = page_replicates(results, count);
    const char *text, *less;
    struct emit j;
    int r;

    emit_start(&j, &json);
    emit_list(&j, "results", false);
    for (size_t i = 0; i < count; i++) one(&j, results[i], replicates, i < PAGE_TIMELINES_MAX);
    emit_end(&j);
    r = emit_finish(&j);
    if (r < 0) return r;
    /* '<' occurs within strings only, where it may be written like this. */
    for (text = str_text(&json); (less = strchr(text, '<')) != NULL; text = less + 1) {
        str_append(out, text, (size_t)(less - text));
        str_puts(out, "\\u003c");
    }
    return str_puts(out, text);
}
