#include "reports/page.h"

#include "reports/human.h"

#include <inttypes.h>
#include <string.h>

void page_text(struct str *out, const char *text)
{
    CLEANUP(str_deinit) struct str clean = STR_INIT(16u << 20);
    const char *at;
    size_t plain;

    human_text(&clean, text, 0);
    for (at = str_text(&clean);; at += plain + 1) {
        plain = strcspn(at, "&<>\"'");
        str_append(out, at, plain);
        switch (at[plain]) {
        case '&': str_puts(out, "&amp;"); break;
        case '<': str_puts(out, "&lt;"); break;
        case '>': str_puts(out, "&gt;"); break;
        case '"': str_puts(out, "&quot;"); break;
        case '\'': str_puts(out, "&#39;"); break;
        default: return;
        }
    }
}

void page_label(const struct result *r, bool replicates, struct str *out)
{
    str_puts(out, r->deployment);
    if (replicates) str_appendf(out, "/%u", (unsigned)r->replicate);
}

bool page_replicates(const struct result *const *results, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (results[i]->replicate > 0) return true;
    return false;
}

static void cell(struct str *out, const char *class, const char *text)
{
    str_appendf(out, "<td%s>", class);
    page_text(out, text);
    str_puts(out, "</td>");
}

static void duration_cell(struct str *out, uint64_t ns)
{
    str_puts(out, "<td class=n>");
    human_duration(out, ns);
    str_puts(out, "</td>");
}

static void count_cell(struct str *out, const char *class, uint64_t n)
{
    str_appendf(out, "<td class=\"n%s\">", n == 0 ? " dim" : class);
    human_count(out, n);
    str_puts(out, "</td>");
}

/* The head of a table whose first `left` columns hold text. */
static void table_start(struct str *out, const char *const *heads, size_t count, size_t left)
{
    str_puts(out, "<div class=scroll><table><thead><tr>");
    for (size_t i = 0; i < count; i++)
        str_appendf(out, "<th%s>%s</th>", i < left ? "" : " class=n", heads[i]);
    str_puts(out, "</tr></thead><tbody>\n");
}

static void table_end(struct str *out)
{
    str_puts(out, "</tbody></table></div>\n");
}

#define TABLE(out, left, ...)                                                                                \
    table_start(out, (const char *const[]){__VA_ARGS__},                                                     \
                sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *), left)

void page_objectives(const struct result *r, struct str *out)
{
    if (r->objectives.len == 0) return;
    str_puts(out, "<h3>Objectives</h3>\n");
    TABLE(out, 2, "", "objective", "value");
    for (size_t i = 0; i < r->objectives.len; i++) {
        const struct objective_result *o = &r->objectives.items[i];

        str_appendf(out, "<tr><td><span class=\"badge %s\">%s</span></td><td><code>", o->met ? "good" : "bad",
                    o->met ? "met" : "missed");
        page_text(out, o->expr);
        str_puts(out, "</code></td><td class=n>");
        if (o->reason)
            page_text(out, o->reason);
        else
            human_objective(out, o->fn, o->value);
        str_puts(out, "</td></tr>\n");
    }
    table_end(out);
}

static void metric_cells(const struct result_metric *metric, struct str *out)
{
    count_cell(out, "", metric->count);
    duration_cell(out, metric->mean_ns);
    for (unsigned q = 0; q < FIGURE_QUANTILES; q++) duration_cell(out, metric->quantile_ns[q]);
    duration_cell(out, metric->max_ns);
    str_puts(out, "</tr>\n");
    if (metric->saturated > 0)
        str_appendf(out, "<tr><td colspan=8>%" PRIu64 " of these were above 1h, and count as 1h</td></tr>\n",
                    metric->saturated);
}

/* Whoever was still waiting had waited longest: latencies without them look better than they are. */
static void survivors(const struct result *r, struct str *out)
{
    uint64_t sessions = r->accounts[ACCOUNT_SESSION].ends[LEDGER_IN_FLIGHT];
    uint64_t calls = r->accounts[ACCOUNT_CALL].ends[LEDGER_IN_FLIGHT];

    if (sessions == 0 && calls == 0) return;
    str_puts(out, "<p class=note>In flight at the end, and so in no latency: sessions ");
    human_count(out, sessions);
    str_puts(out, ", calls ");
    human_count(out, calls);
    str_puts(out, ".</p>\n");
}

void page_metrics(const struct result *r, struct str *out)
{
    str_puts(out, "<h3>Latencies</h3>\n");
    TABLE(out, 1, "metric", "count", "mean", "p50", "p90", "p99", "p99.9", "max");
    for (enum metric m = 0; m < METRIC_HOP_QUEUE; m++) {
        const struct result_metric *metric = &r->metrics[m];

        if (metric->count == 0) continue;
        str_appendf(out, "<tr><td title=\"%s\"><code>%s</code></td>", metric_description(m), metric_name(m));
        metric_cells(metric, out);
        for (size_t i = 0; i < r->parts.len; i++) {
            const struct result_part *part = &r->parts.items[i];

            if (part->metric != m) continue;
            str_puts(out, "<tr><td><code>");
            page_text(out, part->name);
            str_puts(out, "</code></td>");
            metric_cells(&part->figures, out);
        }
    }
    table_end(out);
    survivors(r, out);
}

static void hop_row(const struct result *r, enum hop h, struct str *out)
{
    const struct result_hop *hop = &r->hops[h];

    str_appendf(out, "<tr><td>%s</td>", hop_name(h));
    count_cell(out, "", hop->calls);
    duration_cell(out, hop->sum_ns / r->hops_calls);
    str_puts(out, "<td class=n>");
    human_part(out, hop->sum_ns, r->hops_total_ns);
    str_puts(out, "</td>");
    duration_cell(out, hop->p50_ns);
    duration_cell(out, hop->p99_ns);
    str_puts(out, "</tr>\n");
}

static void hop_table(const struct result *r, struct str *out)
{
    str_puts(out,
             "<h3>A tool call, hop by hop</h3>\n"
             "<p class=note>The mean is over all calls, so that the hops add up to the call; p50 and p99 are "
             "over the calls in which the hop occurred.</p>\n");
    TABLE(out, 1, "hop", "calls", "mean", "share", "p50", "p99");
    for (enum hop h = 0; h < HOP_COUNT; h++)
        if (r->hops[h].calls > 0) hop_row(r, h, out);
    str_puts(out, "<tr class=total><td>total</td>");
    count_cell(out, "", r->hops_calls);
    duration_cell(out, r->hops_total_ns / r->hops_calls);
    str_puts(out, "<td class=n>100.0%</td>");
    duration_cell(out, r->hops_p50_ns);
    duration_cell(out, r->hops_p99_ns);
    str_puts(out, "</tr>\n");
    table_end(out);
}

void page_hops(const struct result *r, struct str *out)
{
    if (r->hops_calls > 0) hop_table(r, out);
    if (r->hops_marks_dropped == 0) return;
    str_puts(out, "<p class=note><span class=\"badge bad\">warning</span> There was no room for ");
    human_count(out, r->hops_marks_dropped);
    str_puts(out, " marks, so hops may be wrong or missing.</p>\n");
}

static void segments(const struct result *r, const struct result_call *call, struct str *out)
{
    for (uint32_t s = 0; s < call->n_segments; s++) {
        const struct result_segment *segment = &r->segments.items[call->first_segment + s];

        if (segment->length_ns == 0) continue;
        str_appendf(out, "%s<span class=segment title=\"%s to %s\">%s ", s ? " " : "",
                    mark_name(segment->from), mark_name(segment->to), hop_name(segment->hop));
        human_duration(out, segment->length_ns);
        str_puts(out, "</span>");
    }
}

void page_slowest(const struct result *r, struct str *out)
{
    if (r->slowest.len == 0) return;
    str_appendf(out, "<details><summary>The %zu slowest calls</summary>\n", r->slowest.len);
    TABLE(out, 1, "call", "start", "total", "where the time went");
    for (size_t i = 0; i < r->slowest.len; i++) {
        const struct result_call *call = &r->slowest.items[i];

        str_appendf(out, "<tr><td><code>%016" PRIx64 "</code></td>", call->call_id);
        duration_cell(out, call->start_ns);
        duration_cell(out, call->total_ns);
        str_puts(out, "<td class=wrap>");
        segments(r, call, out);
        str_puts(out, "</td></tr>\n");
    }
    table_end(out);
    str_puts(out, "</details>\n");
}

void page_ledger(const struct result *r, struct str *out)
{
    bool balanced = r->verdict == LEDGER_BALANCED;

    str_appendf(out, "<h3>Ledger <span class=\"badge %s\">%s</span></h3>\n", balanced ? "good" : "bad",
                balanced ? "balanced" : "not balanced");
    TABLE(out, 1, "account", "opened", "completed", "failed", "shed", "lost", "in flight", "");
    for (enum account a = 0; a < ACCOUNT_COUNT; a++) {
        const struct result_account *account = &r->accounts[a];

        if (account->opened == 0 && account->balanced) continue;
        str_appendf(out, "<tr><td>%s</td>", account_name(a));
        count_cell(out, "", account->opened);
        for (enum ledger_end e = 0; e < LEDGER_END_COUNT; e++)
            count_cell(out, e == LEDGER_LOST ? " alarm" : "", account->ends[e]);
        str_puts(out, account->balanced ? "<td></td>"
                                        : "<td><span class=\"badge bad\">does not balance</span></td>");
        str_puts(out, "</tr>\n");
    }
    table_end(out);
}

void page_counters(const struct result *r, struct str *out)
{
    str_puts(out, "<details><summary>Counters</summary>\n");
    TABLE(out, 1, "counter", "value", "");
    for (enum counter c = 0; c < COUNTER_COUNT; c++) {
        if (r->counters[c] == 0) continue;
        str_appendf(out, "<tr><td><code>%s</code></td>", counter_name(c));
        if (counter_is_time(c))
            duration_cell(out, r->counters[c]);
        else
            count_cell(out, "", r->counters[c]);
        cell(out, " class=dim", counter_description(c));
        str_puts(out, "</tr>\n");
    }
    table_end(out);
    str_puts(out, "</details>\n");
}

void page_rates(const struct result *r, struct str *out)
{
    if (!r->rates[RATE_CONNECTIONS].mean || r->counters[rate_counter(RATE_CONNECTIONS)] == 0) return;
    str_puts(out, "<h3>Tunnel connections</h3>\n");
    TABLE(out, 1, "a second", "mean", "peak", "at");
    for (enum rate k = 0; k < RATE_COUNT; k++) {
        const struct result_rate *rate = &r->rates[k];

        str_appendf(out, "<tr><td><code>%s</code></td>", counter_name(rate_counter(k)));
        cell(out, "", rate->mean);
        cell(out, "", rate->peak ? rate->peak : "-");
        duration_cell(out, rate->peak ? rate->peak_at_ns : FIGURE_NONE);
        str_puts(out, "</tr>\n");
    }
    table_end(out);
}

static void fact(struct str *out, const char *name, const char *value)
{
    if (!value[0]) return;
    str_appendf(out, "<tr><td>%s</td>", name);
    cell(out, "", value);
    str_puts(out, "</tr>\n");
}

void page_host(const struct result *r, struct str *out)
{
    str_puts(out, "<details><summary>Machine</summary>\n<div class=scroll><table><tbody>\n");
    fact(out, "CPU", r->host.cpu_model);
    str_appendf(out, "<tr><td>cores</td><td>%u</td></tr>\n", (unsigned)r->host.cores);
    fact(out, "kernel", r->host.kernel);
    fact(out, "compiler", r->host.compiler);
    fact(out, "build", r->host.build);
    str_puts(out, "<tr><td>real time</td><td>");
    human_duration(out, r->host.elapsed_ns);
    str_puts(out, "</td></tr>\n");
    if (r->host.memory_max_bytes) {
        str_puts(out, "<tr><td>memory</td><td>");
        human_bytes(out, r->host.memory_max_bytes);
        str_puts(out, "</td></tr>\n");
    }
    fact(out, "digest", r->digest);
    table_end(out);
    str_puts(out, "</details>\n");
}
