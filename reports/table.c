#include "reports/table.h"

#include "reports/grid.h"
#include "reports/human.h"

#include <errno.h>
#include <string.h>

#define FAULTS_SHOWN       20u
#define BROKEN_FLOWS_SHOWN 3u

/* What all sections share. */
struct page {
    const struct result *r;
    bool colour;
    struct str *out;
    int error;
};

static void title(struct page *p, const char *text)
{
    str_appendf(p->out, "\n%s%s%s\n", grid_style_on(GRID_HEAD, p->colour), text,
                grid_style_off(GRID_HEAD, p->colour));
}

static void print(struct page *p, const struct grid *g)
{
    int r = grid_print(g, p->colour, p->out);

    if (r < 0 && !p->error) p->error = r;
}

static void duration_cell(struct grid *g, uint64_t ns)
{
    human_duration(grid_open(g, GRID_PLAIN), ns);
    grid_close(g);
}

static void count_cell(struct grid *g, enum grid_style style, uint64_t n)
{
    human_count(grid_open(g, n ? style : GRID_DIM), n);
    grid_close(g);
}

static void head(struct page *p)
{
    const struct result *r = p->r;
    struct str *out = p->out;

    str_puts(out, grid_style_on(GRID_HEAD, p->colour));
    human_text(out, r->scenario, 0);
    str_puts(out, " / ");
    human_text(out, r->deployment, 0);
    str_puts(out, grid_style_off(GRID_HEAD, p->colour));
    str_appendf(out, "%s\n  ", r->informational ? "  (informational)" : "");
    human_text(out, r->clock, 0);
    str_appendf(out, " clock, seed %llu, replicate %u, ", (unsigned long long)r->seed,
                (unsigned)r->replicate);
    human_duration(out, r->duration_ns);
    str_puts(out, " and ");
    human_duration(out, r->drain_ns);
    str_puts(out, " to drain; over at ");
    human_duration(out, r->end_ns);
    if (r->host.elapsed_ns > 0) {
        str_puts(out, ", in ");
        human_duration(out, r->host.elapsed_ns);
        str_puts(out, " of real time");
    }
    str_putc(out, '\n');
    if (r->digest[0]) str_appendf(out, "  digest %s\n", r->digest);
}

static void banner(struct page *p)
{
    const struct result *r = p->r;

    if (r->valid) return;
    str_appendf(p->out, "\n%sINVALID: these numbers do not tell what the scenario asks%s\n",
                grid_style_on(GRID_BAD, p->colour), grid_style_off(GRID_BAD, p->colour));
    for (size_t i = 0; i < r->invalid_reasons.len; i++) {
        str_puts(p->out, "  - ");
        human_text(p->out, r->invalid_reasons.items[i], 0);
        str_putc(p->out, '\n');
    }
}

static void objectives(struct page *p)
{
    CLEANUP(grid_deinit) struct grid g;

    grid_init(&g, 4, 0xb);
    if (p->r->objectives.len == 0) return;
    title(p, "Objectives");
    for (size_t i = 0; i < p->r->objectives.len; i++) {
        const struct objective_result *o = &p->r->objectives.items[i];

        grid_text(&g, o->met ? GRID_GOOD : GRID_BAD, o->met ? "met" : "MISSED");
        grid_text(&g, GRID_PLAIN, o->expr);
        human_objective(grid_open(&g, GRID_PLAIN), o->fn, o->value);
        grid_close(&g);
        grid_text(&g, GRID_PLAIN, o->reason ? o->reason : "");
    }
    print(p, &g);
}

static void faults(struct page *p)
{
    CLEANUP(grid_deinit) struct grid g;

    grid_init(&g, 2, 2);
    if (p->r->faults.len == 0) return;
    for (size_t i = 0; i < p->r->faults.len && i < FAULTS_SHOWN; i++) {
        const struct result_fault *f = &p->r->faults.items[i];
        struct str *out;

        duration_cell(&g, f->at_ns);
        out = grid_open(&g, GRID_PLAIN);
        human_text(out, f->text, 0);
        if (f->for_ns) {
            str_puts(out, ", for ");
            human_duration(out, f->for_ns);
        }
        grid_close(&g);
    }
    title(p, "Faults");
    print(p, &g);
    if (p->r->faults.len > FAULTS_SHOWN)
        str_appendf(p->out, "  and %zu more, see result.json\n", p->r->faults.len - FAULTS_SHOWN);
}

/* Whoever was still waiting had waited longest: latencies without them look better than they are. */
static void survivors(struct page *p)
{
    uint64_t sessions = p->r->accounts[ACCOUNT_SESSION].ends[LEDGER_IN_FLIGHT];
    uint64_t calls = p->r->accounts[ACCOUNT_CALL].ends[LEDGER_IN_FLIGHT];

    if (sessions == 0 && calls == 0) return;
    str_puts(p->out, "  in flight at the end, and so in no latency: sessions ");
    human_count(p->out, sessions);
    str_puts(p->out, ", calls ");
    human_count(p->out, calls);
    str_putc(p->out, '\n');
}

static void saturation(struct page *p)
{
    for (enum metric m = 0; m < METRIC_HOP_QUEUE; m++) {
        if (p->r->metrics[m].saturated == 0) continue;
        str_appendf(p->out, "  %s: samples above 1h, counted as 1h: ", metric_name(m));
        human_count(p->out, p->r->metrics[m].saturated);
        str_putc(p->out, '\n');
    }
}

static void metric_row(struct grid *g, const char *name, const struct result_metric *metric)
{
    grid_text(g, GRID_PLAIN, name);
    count_cell(g, GRID_PLAIN, metric->count);
    duration_cell(g, metric->mean_ns);
    for (unsigned q = 0; q < FIGURE_QUANTILES; q++) duration_cell(g, metric->quantile_ns[q]);
    duration_cell(g, metric->max_ns);
}

static void metrics(struct page *p)
{
    static const char *const heads[] = {"metric", "count", "mean", "p50", "p90", "p99", "p99.9", "max"};
    CLEANUP(grid_deinit) struct grid g;
    bool any = false;

    grid_init(&g, 8, 1);
    grid_heads(&g, heads);
    for (enum metric m = 0; m < METRIC_HOP_QUEUE; m++) {
        if (p->r->metrics[m].count == 0) continue;
        any = true;
        metric_row(&g, metric_name(m), &p->r->metrics[m]);
        for (size_t i = 0; i < p->r->parts.len; i++) {
            const struct result_part *part = &p->r->parts.items[i];

            if (part->metric == m) metric_row(&g, part->name, &part->figures);
        }
    }
    title(p, "Latencies");
    if (any)
        print(p, &g);
    else
        str_puts(p->out, "  nothing was measured\n");
    survivors(p);
    saturation(p);
}

static void hop_row(struct page *p, struct grid *g, enum hop h)
{
    const struct result_hop *hop = &p->r->hops[h];
    uint64_t calls = p->r->hops_calls;

    grid_text(g, GRID_PLAIN, hop_name(h));
    count_cell(g, GRID_PLAIN, hop->calls);
    duration_cell(g, hop->sum_ns / calls + (hop->sum_ns % calls >= calls - calls / 2));
    human_part(grid_open(g, GRID_PLAIN), hop->sum_ns, p->r->hops_total_ns);
    grid_close(g);
    duration_cell(g, hop->p50_ns);
    duration_cell(g, hop->p99_ns);
}

/* The mean is over all calls, so that the column adds up to the call. */
static void marks_dropped(struct page *p)
{
    if (p->r->hops_marks_dropped == 0) return;
    str_puts(p->out, "  warning: there was no room for ");
    human_count(p->out, p->r->hops_marks_dropped);
    str_puts(p->out, " marks, so hops may be wrong or missing; raise /spans/max or /spans/sample\n");
}

static void hops(struct page *p)
{
    static const char *const heads[] = {"hop", "calls", "mean", "share", "p50", "p99"};
    CLEANUP(grid_deinit) struct grid g;
    const struct result *r = p->r;

    grid_init(&g, 6, 1);
    if (r->hops_calls == 0) return;
    title(p, "A tool call, hop by hop (mean: over all calls; p50, p99: over the calls with the hop)");
    grid_heads(&g, heads);
    for (enum hop h = 0; h < HOP_COUNT; h++)
        if (r->hops[h].calls > 0) hop_row(p, &g, h);
    grid_text(&g, GRID_HEAD, "total");
    count_cell(&g, GRID_PLAIN, r->hops_calls);
    duration_cell(&g, r->hops_total_ns / r->hops_calls);
    grid_text(&g, GRID_PLAIN, "100.0%");
    duration_cell(&g, r->hops_p50_ns);
    duration_cell(&g, r->hops_p99_ns);
    print(p, &g);
}

static void ledger(struct page *p)
{
    static const char *const heads[] = {"account", "opened", "completed", "failed",
                                        "shed",    "lost",   "in flight", ""};
    CLEANUP(grid_deinit) struct grid g;
    bool any = false;

    grid_init(&g, 8, 0x81);
    grid_heads(&g, heads);
    for (enum account a = 0; a < ACCOUNT_COUNT; a++) {
        const struct result_account *account = &p->r->accounts[a];

        if (account->opened == 0 && account->balanced) continue;
        any = true;
        grid_text(&g, GRID_PLAIN, account_name(a));
        count_cell(&g, GRID_PLAIN, account->opened);
        for (enum ledger_end e = 0; e < LEDGER_END_COUNT; e++)
            count_cell(&g, e == LEDGER_LOST ? GRID_BAD : GRID_PLAIN, account->ends[e]);
        grid_text(&g, GRID_BAD, account->balanced ? "" : "DOES NOT BALANCE");
    }
    title(p, p->r->verdict == LEDGER_BALANCED ? "Ledger (balanced)" : "Ledger (NOT BALANCED)");
    if (any)
        print(p, &g);
    else
        str_puts(p->out, "  nothing was opened\n");
}

static void counters(struct page *p)
{
    CLEANUP(grid_deinit) struct grid g;

    grid_init(&g, 3, 5);
    for (enum counter c = 0; c < COUNTER_COUNT; c++) {
        uint64_t value = p->r->counters[c];

        if (value == 0) continue;
        grid_text(&g, GRID_PLAIN, counter_name(c));
        if (counter_is_time(c))
            duration_cell(&g, value);
        else
            count_cell(&g, GRID_PLAIN, value);
        grid_text(&g, GRID_DIM, counter_description(c));
    }
    if (g.cells.len == 0) return;
    title(p, "Counters");
    print(p, &g);
}

static void rates(struct page *p)
{
    static const char *const heads[] = {"a second", "mean", "peak", "at"};
    CLEANUP(grid_deinit) struct grid g;
    bool any = false;

    grid_init(&g, 4, 1);
    grid_heads(&g, heads);
    for (enum rate k = 0; k < RATE_COUNT; k++) {
        const struct result_rate *rate = &p->r->rates[k];

        if (!rate->mean || p->r->counters[rate_counter(k)] == 0) continue;
        any = true;
        grid_text(&g, GRID_PLAIN, counter_name(rate_counter(k)));
        grid_text(&g, GRID_PLAIN, rate->mean);
        grid_text(&g, GRID_PLAIN, rate->peak ? rate->peak : "-");
        duration_cell(&g, rate->peak ? rate->peak_at_ns : FIGURE_NONE);
    }
    if (!any) return;
    title(p, "Tunnel connections");
    print(p, &g);
}

static void cost(struct page *p)
{
    const struct result *r = p->r;

    if (r->sandbox_ns > 0 || r->money) {
        title(p, "Cost");
        str_puts(p->out, "  ");
        human_duration(p->out, r->sandbox_ns);
        str_puts(p->out, " of sandbox time");
        if (r->money) {
            str_puts(p->out, ", ");
            human_money(p->out, r->money);
        }
        str_putc(p->out, '\n');
    }
}

/* The kind of message whose count is wrong, and where. */
static void broken_flow(struct page *p, const struct result_way *w, const struct result_flow *f)
{
    human_text(p->out, w->from, 0);
    str_puts(p->out, " to ");
    human_text(p->out, w->to, 0);
    str_puts(p->out, " (");
    human_text(p->out, w->link, 0);
    str_puts(p->out, "), ");
    human_text(p->out, f->kind, 0);
    str_puts(p->out, ":");
    for (enum flow_fate fate = 0; fate < FLOW_FATE_COUNT; fate++)
        str_appendf(p->out, "%s %llu %s", fate ? "," : "", (unsigned long long)f->counts[fate],
                    flow_fate_name(fate));
}

static void flows(struct page *p)
{
    const struct result *r = p->r;
    unsigned count = 0;

    if (r->flows_balanced) return;
    str_puts(p->out,
             "\n  BROKEN: messages were lost or doubled (emitted = decoded + returned + cut is wrong)");
    for (size_t i = 0; i < r->ways.len; i++) {
        const struct result_way *w = &r->ways.items[i];

        for (uint32_t k = 0; k < w->n_flows; k++) {
            const struct result_flow *f = &r->way_flows.items[w->first_flow + k];

            if (result_flow_fits(f, w->may_lose)) continue;
            if (count++ >= BROKEN_FLOWS_SHOWN) continue;
            str_puts(p->out, count == 1 ? ": " : "; ");
            broken_flow(p, w, f);
        }
    }
    if (count > BROKEN_FLOWS_SHOWN) str_appendf(p->out, "; and %u more", count - BROKEN_FLOWS_SHOWN);
    str_puts(p->out, "; see flow_links in result.json\n");
}

int table_result(const struct result *result, const struct table_options *options, struct str *out)
{
    static void (*const sections[])(struct page *) = {
        head, banner, objectives, faults, metrics, hops, marks_dropped, ledger, counters, rates, cost, flows,
    };
    struct page p = {.r = result, .colour = options->colour, .out = out};

    for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) sections[i](&p);
    return p.error ? p.error : str_error(out);
}
