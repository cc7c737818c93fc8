#include "reports/html.h"

#include "reports/embedded.h"
#include "reports/file.h"
#include "reports/human.h"
#include "reports/page.h"

#include <string.h>

#define HTML_BYTES_MAX ((size_t)1 << 30)
#define SHA256_SHOWN   12 /* digits */

static void head(const struct result *const *results, size_t count, struct str *out)
{
    const char *scenario = count ? results[0]->scenario : "no results";

    str_puts(out, "<!doctype html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n"
                  "<meta name=viewport content=\"width=device-width, initial-scale=1\">\n"
                  "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; script-src "
                  "'unsafe-inline'; style-src 'unsafe-inline'\">\n<title>");
    page_text(out, scenario);
    str_puts(out, " – Windtunnel</title>\n<style>\n");
    str_append(out, embedded_report_css, embedded_report_css_len);
    str_puts(out, "</style>\n</head>\n<body>\n<header>\n<p class=brand>Windtunnel</p>\n<h1>");
    page_text(out, scenario);
    str_puts(out, "</h1>\n");
}

static void about(const struct result *r, struct str *out)
{
    CLEANUP(str_deinit) struct str start = STR_INIT(SHA256_SHOWN);

    if (r->about[0]) {
        str_puts(out, "<p class=about>");
        page_text(out, r->about);
        str_puts(out, "</p>\n");
    }
    str_puts(out, "<p class=facts><span>");
    page_text(out, r->clock);
    str_appendf(out, " clock</span> <span>seed %llu</span> <span>", (unsigned long long)r->seed);
    human_duration(out, r->duration_ns);
    str_puts(out, " and ");
    human_duration(out, r->drain_ns);
    str_puts(out, " to drain</span>");
    if (r->sha256[0]) {
        str_puts(out, " <span title=\"");
        page_text(out, r->sha256);
        str_puts(out, "\">scenario ");
        str_append(&start, r->sha256, strnlen(r->sha256, SHA256_SHOWN));
        page_text(out, str_text(&start));
        str_puts(out, "</span>");
    }
    str_puts(out, "</p>\n");
}

static void badges(const struct result *r, struct str *out)
{
    if (!r->valid) str_puts(out, "<span class=\"badge bad\">invalid</span> ");
    if (r->objectives.len > 0) {
        bool met = result_met(r);

        str_appendf(out, "<span class=\"badge %s\">%s</span> ", met ? "good" : "bad",
                    met ? "objectives met" : "objectives missed");
    }
    if (r->informational) str_puts(out, "<span class=badge>informational</span> ");
}

static void summary_row(const struct result *r, size_t i, bool replicates, struct str *out)
{
    CLEANUP(str_deinit) struct str label = STR_INIT(64u << 10);
    const struct result_account *session = &r->accounts[ACCOUNT_SESSION];
    const struct result_metric *call = &r->metrics[METRIC_TOOL_CALL];

    page_label(r, replicates, &label);
    str_appendf(out, "<tr><td><a href=\"#r%zu\">", i);
    page_text(out, str_text(&label));
    str_puts(out, "</a></td><td>");
    badges(r, out);
    str_puts(out, "</td><td class=n>");
    human_count(out, session->ends[LEDGER_COMPLETED]);
    str_puts(out, " / ");
    human_count(out, session->opened);
    str_puts(out, "</td><td class=n>");
    human_duration(out, call->quantile_ns[FIGURE_P50]);
    str_puts(out, "</td><td class=n>");
    human_duration(out, call->quantile_ns[FIGURE_P99]);
    str_puts(out, "</td><td class=n>");
    human_count(out, r->accounts[ACCOUNT_CALL].ends[LEDGER_LOST]);
    str_puts(out, "</td><td class=n>");
    human_duration(out, r->sandbox_ns);
    str_puts(out, "</td><td class=n>");
    human_money(out, r->money);
    str_puts(out, "</td></tr>\n");
}

static void summary(const struct result *const *results, size_t count, struct str *out)
{
    str_puts(
        out,
        "<div class=scroll><table class=summary><thead><tr><th>deployment</th><th></th>"
        "<th class=n>sessions completed</th><th class=n>p50(tool.call)</th><th class=n>p99(tool.call)</th>"
        "<th class=n>calls lost</th><th class=n>sandbox time</th><th "
        "class=n>cost</th></tr></thead><tbody>\n");
    for (size_t i = 0; i < count; i++) summary_row(results[i], i, page_replicates(results, count), out);
    str_puts(out, "</tbody></table></div>\n</header>\n<main>\n");
}

/* Charts that show all results together. */
static void together(struct str *out)
{
    str_puts(out,
             "<section class=card>\n<h2>Latency by percentile</h2>\n"
             "<p class=controls><label>metric <select id=curve-metric></select></label> "
             "<label><input type=checkbox id=curve-log> logarithmic</label></p>\n"
             "<div class=chart><canvas id=curve></canvas></div>\n"
             "<p class=note>A curve ends where fewer than 5 samples are expected beyond it.</p>\n</section>\n"
             "<section class=card id=hops-card>\n<h2>Where the time of a tool call goes</h2>\n"
             "<div class=chart id=hops-box><canvas id=hops></canvas></div>\n"
             "<p class=note>Mean over all complete calls; the parts add up to the call.</p>\n</section>\n");
}

static void invalid(const struct result *r, struct str *out)
{
    if (r->valid) return;
    str_puts(out, "<div class=invalid><strong>Invalid: these numbers do not tell what the scenario "
                  "asks.</strong><ul>\n");
    for (size_t i = 0; i < r->invalid_reasons.len; i++) {
        str_puts(out, "<li>");
        page_text(out, r->invalid_reasons.items[i]);
        str_puts(out, "</li>\n");
    }
    str_puts(out, "</ul></div>\n");
}

static void timeline(size_t i, struct str *out)
{
    str_appendf(
        out,
        "<h3>Over time</h3>\n<p class=controls><label>metric <select class=time-metric "
        "data-result=%zu></select></label> <label><input type=checkbox class=time-log data-result=%zu> "
        "logarithmic</label></p>\n<div class=chart><canvas class=time data-result=%zu></canvas></div>\n",
        i, i, i);
}

static void section(const struct result *r, size_t i, bool replicates, struct str *out)
{
    CLEANUP(str_deinit) struct str label = STR_INIT(64u << 10);

    page_label(r, replicates, &label);
    str_appendf(out, "<section class=card id=r%zu>\n<h2>", i);
    page_text(out, str_text(&label));
    str_puts(out, " ");
    badges(r, out);
    str_puts(out, "</h2>\n");
    invalid(r, out);
    page_objectives(r, out);
    if (i < PAGE_TIMELINES_MAX) timeline(i, out);
    page_metrics(r, out);
    page_hops(r, out);
    page_slowest(r, out);
    page_ledger(r, out);
    page_rates(r, out);
    page_counters(r, out);
    page_host(r, out);
    str_puts(out, "</section>\n");
}

static int scripts(const struct result *const *results, size_t count, struct str *out)
{
    int r;

    str_puts(out, "</main>\n<script type=\"application/json\" id=data>\n");
    r = page_data(results, count, out);
    if (r < 0) return r;
    str_puts(out, "</script>\n<script>\n");
    str_append(out, embedded_chart_js, embedded_chart_js_len);
    str_puts(out, "\n</script>\n<script>\n");
    str_append(out, embedded_report_js, embedded_report_js_len);
    return str_puts(out, "</script>\n</body>\n</html>\n");
}

int html_report(const struct result *const *results, size_t count, struct str *out)
{
    bool replicates = page_replicates(results, count);

    head(results, count, out);
    if (count > 0) about(results[0], out);
    summary(results, count, out);
    together(out);
    for (size_t i = 0; i < count; i++) section(results[i], i, replicates, out);
    return scripts(results, count, out);
}

int html_write(const struct result *const *results, size_t count, const char *out_dir,
               struct report_error *ret_error)
{
    CLEANUP(str_deinit) struct str text = STR_INIT(HTML_BYTES_MAX);
    CLEANUP(str_deinit) struct str path = STR_INIT(64u << 10);
    int r;

    str_puts(&path, out_dir);
    if (str_puts(&path, "/report.html") < 0)
        return report_file_fail(ret_error, "write below", out_dir, str_error(&path));
    r = html_report(results, count, &text);
    if (r < 0) return report_file_fail(ret_error, "make", str_text(&path), r);
    r = folder_make(out_dir, ret_error);
    return r < 0 ? r : report_file_write(str_text(&path), str_text(&text), str_len(&text), ret_error);
}
