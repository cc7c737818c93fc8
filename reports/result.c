#include "reports/result.h"

#include "reports/human.h"
#include "reports/texts.h"
#include "sim/base/panic.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Servers, scripts and tools of a plan are fewer. */
#define RESULT_PARTS_MAX 10000u

#define FIGURE_MAX ((unsigned __int128)INT64_MAX)

const uint32_t figure_rank_ppm[FIGURE_QUANTILES] = {500000, 900000, 990000, 999000};

/* Where a curve has points: even on the axis 1 / (1 - q), where p90, p99 and p99.9 are one step apart. */
static const uint32_t curve_ppm[] = {
    0,      100000, 200000, 300000, 400000, 500000, 600000, 700000, 750000, 800000, 850000, 875000,
    900000, 920000, 940000, 950000, 960000, 970000, 975000, 980000, 985000, 987500, 990000, 992000,
    994000, 995000, 996000, 997000, 997500, 998000, 998500, 998750, 999000, 999200, 999400, 999500,
    999600, 999700, 999800, 999850, 999900, 999920, 999950, 999970, 999980, 999990,
};

#define CURVE_POINTS (sizeof(curve_ppm) / sizeof(curve_ppm[0]))

int result_alloc(struct result **ret_result)
{
    struct result *result = calloc(1, sizeof(*result));

    if (!result) return -ENOMEM;
    intern_init(&result->texts, 16u << 20, 1u << 20);
    result->scenario = result->about = result->sha256 = result->deployment = result->clock = result->digest =
        "";
    vec_init(&result->invalid_reasons, 1000);
    vec_init(&result->objectives, 1000);
    vec_init(&result->parts, RESULT_PARTS_MAX);
    vec_init(&result->flows, FLOWCOUNT_KINDS);
    vec_init(&result->ways, WAY_COUNT);
    vec_init(&result->way_flows, (size_t)WAY_COUNT * FLOWCOUNT_KINDS);
    vec_init(&result->slowest, RESULT_SLOWEST_MAX);
    vec_init(&result->segments, 1u << 20);
    vec_init(&result->interval_ends_ns, 10000);
    vec_init(&result->faults, 1u << 20);
    for (unsigned m = 0; m < INTERVAL_METRICS; m++) vec_init(&result->cuts[m], 10000);
    for (enum metric m = 0; m < METRIC_COUNT; m++) vec_init(&result->metrics[m].curve, 1000);
    *ret_result = result;
    return 0;
}

void result_free(struct result *result)
{
    if (!result) return;
    intern_deinit(&result->texts);
    vec_deinit(&result->invalid_reasons);
    vec_deinit(&result->objectives);
    vec_deinit(&result->parts);
    vec_deinit(&result->flows);
    vec_deinit(&result->ways);
    vec_deinit(&result->way_flows);
    vec_deinit(&result->slowest);
    vec_deinit(&result->segments);
    vec_deinit(&result->interval_ends_ns);
    vec_deinit(&result->faults);
    for (unsigned m = 0; m < INTERVAL_METRICS; m++) vec_deinit(&result->cuts[m]);
    for (enum metric m = 0; m < METRIC_COUNT; m++) vec_deinit(&result->metrics[m].curve);
    free(result);
}

/* A sum as a figure of a file. */
static int figure_of(unsigned __int128 sum, uint64_t *ret)
{
    if (sum > FIGURE_MAX) return -EOVERFLOW;
    *ret = (uint64_t)sum;
    return 0;
}

static int add_head(const struct run_result *run, struct result *r)
{
    const struct plan *plan = run->plan;
    const struct {
        const char **to;
        const char *text;
    } texts[] = {
        {&r->scenario, plan->scenario_name}, {&r->about, plan->about}, {&r->sha256, plan->scenario_sha256},
        {&r->deployment, plan->deployment},  {&r->clock, run->clock},  {&r->digest, run->digest},
    };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        *texts[i].to = texts_keep(&r->texts, texts[i].text ? texts[i].text : "");
        if (!*texts[i].to) return -ENOMEM;
    }
    r->informational = plan->informational;
    r->seed = plan->seed;
    r->replicate = plan->replicate;
    r->duration_ns = plan->duration_ns;
    r->drain_ns = plan->drain_ns;
    r->end_ns = run->end_ns;
    r->interrupted = run->interrupted;
    r->host = *run->host;
    r->engine = run->engine;
    return 0;
}

/* The reason with its numbers. */
static const char *reason_of(const struct objective_result *o, struct result *r)
{
    CLEANUP(str_deinit) struct str text = STR_INIT(256);

    if (o->samples_needed == 0) return o->reason;
    str_appendf(&text, "%s: %" PRIu64 " of %" PRIu64, o->reason, o->samples, o->samples_needed);
    return texts_keep(&r->texts, str_text(&text));
}

static int add_objectives(const struct run_result *run, struct result *r)
{
    for (uint32_t i = 0; i < run->plan->objective_count; i++) {
        struct objective_result one;
        int e;

        objective_evaluate(&run->plan->objectives[i], run->plan, run->recorder, &one);
        one.expr = texts_keep(&r->texts, one.expr);
        if (!one.expr) return -ENOMEM;
        if (one.reason && !(one.reason = reason_of(&one, r))) return -ENOMEM;
        if (one.value != FIGURE_NONE && one.value > INT64_MAX) one.value = INT64_MAX;
        e = vec_push(&r->objectives, one);
        if (e < 0) return e;
    }
    return 0;
}

static int add_ledger(const struct run_result *run, struct result *r)
{
    const struct ledger *ledger = recorder_ledger(run->recorder);

    r->verdict = ledger_check(ledger, NULL);
    for (enum account a = 0; a < ACCOUNT_COUNT; a++) {
        struct result_account *to = &r->accounts[a];
        struct ledger_totals t;
        uint64_t ended = 0;

        ledger_totals(ledger, a, &t);
        *to = (struct result_account){
            .opened = t.opened,
            .carried_in = t.carried_in,
            .carried_out = t.carried_out,
            .overflow = t.overflow,
            .open = t.open,
            .open_max = t.open_max,
        };
        for (enum ledger_end e = 0; e < LEDGER_END_COUNT; e++) ended += to->ends[e] = t.ends[e];
        to->balanced = ended == t.opened && t.open == 0 && t.overflow == 0 && t.carried_in == t.carried_out;
    }
    return 0;
}

static void add_figures(const struct histogram *h, struct result_metric *to)
{
    to->count = histogram_count(h);
    to->saturated = histogram_saturated(h);
    to->min_ns = to->count ? histogram_min(h) : FIGURE_NONE;
    to->mean_ns = to->count ? histogram_mean(h) : FIGURE_NONE;
    to->max_ns = to->count ? histogram_max(h) : FIGURE_NONE;
    for (unsigned q = 0; q < FIGURE_QUANTILES; q++)
        to->quantile_ns[q] = figure_quantile(h, figure_rank_ppm[q]);
}

static int add_metric(const struct histogram *h, struct result_metric *to)
{
    add_figures(h, to);
    for (size_t i = 0; i < CURVE_POINTS; i++) {
        struct result_point point = {curve_ppm[i], 0};
        uint64_t ns = curve_ppm[i] == 0 ? to->min_ns : figure_quantile(h, curve_ppm[i]);
        int e;

        if (ns == FIGURE_NONE) continue;
        point.ns = ns;
        e = vec_push(&to->curve, point);
        if (e < 0) return e;
    }
    return 0;
}

static int add_parts(const struct run_result *run, struct result *r)
{
    for (int s = 0; s < SPLIT_COUNT; s++) {
        enum plan_split split = (enum plan_split)s;

        for (uint32_t i = 0; i < plan_split_size(run->plan, split); i++) {
            CLEANUP(str_deinit) struct str name = STR_INIT(256);
            const struct histogram *h = recorder_split(run->recorder, split, i);
            struct result_part part = {.metric = metric_of_split(split)};
            int e;

            if (!h || !plan_split_name(run->plan, split, i)) continue;
            add_figures(h, &part.figures);
            e = split_name(run->plan, split, i, &name);
            part.name = e < 0 ? NULL : texts_keep(&r->texts, str_text(&name));
            if (!part.name) return -ENOMEM;
            if ((e = vec_push(&r->parts, part)) < 0) return e;
        }
    }
    return 0;
}

static int add_counts(const struct run_result *run, struct result *r)
{
    int e = 0;

    for (enum metric m = 0; e == 0 && m < METRIC_COUNT; m++)
        e = add_metric(recorder_histogram(run->recorder, m), &r->metrics[m]);
    for (enum counter c = 0; e == 0 && c < COUNTER_COUNT; c++)
        e = figure_of(recorder_counter(run->recorder, c), &r->counters[c]);
    return e < 0 ? e : add_parts(run, r);
}

static int add_slowest(const struct span_report *spans, struct result *r)
{
    for (uint32_t i = 0; i < spans->n_slowest && i < RESULT_SLOWEST_MAX; i++) {
        const struct span_call *from = &spans->slowest[i];
        struct result_call call = {
            .call_id = from->call_id,
            .start_ns = from->start,
            .total_ns = from->total_ns,
            .first_segment = (uint32_t)r->segments.len,
            .n_segments = from->n_segments,
        };
        int e = vec_push(&r->slowest, call);

        for (uint32_t s = 0; e == 0 && s < from->n_segments; s++) {
            const struct span_segment *segment = &spans->segments[from->first_segment + s];

            e = vec_push(&r->segments, (struct result_segment){segment->from, segment->to, segment->hop,
                                                               segment->length_ns});
        }
        if (e < 0) return e;
    }
    return 0;
}

static int add_hops(const struct run_result *run, struct result *r)
{
    const struct span_report *spans = run->spans;
    int e;

    r->hops_p50_ns = r->hops_p99_ns = FIGURE_NONE;
    r->hops_marks_dropped = run->marks_dropped;
    for (enum hop h = 0; h < HOP_COUNT; h++)
        r->hops[h] =
            (struct result_hop){.mean_ns = FIGURE_NONE, .p50_ns = FIGURE_NONE, .p99_ns = FIGURE_NONE};
    if (!spans) return 0;
    r->hops_calls = spans->calls;
    r->hops_calls_open = spans->calls_open;
    r->hops_calls_shed = spans->calls_shed;
    r->hops_marks_stray = spans->marks_stray;
    r->hops_p50_ns = figure_quantile(&spans->total, figure_rank_ppm[FIGURE_P50]);
    r->hops_p99_ns = figure_quantile(&spans->total, figure_rank_ppm[FIGURE_P99]);
    e = figure_of(spans->sum_ns, &r->hops_total_ns);
    for (enum hop h = 0; e == 0 && h < HOP_COUNT; h++) {
        const struct span_hop *from = &spans->hops[h];
        struct result_hop *to = &r->hops[h];

        to->calls = from->calls;
        e = figure_of(from->sum_ns, &to->sum_ns);
        if (e < 0 || to->calls == 0) continue;
        to->mean_ns = (to->sum_ns + to->calls / 2) / to->calls;
        to->p50_ns = figure_quantile(&from->histogram, figure_rank_ppm[FIGURE_P50]);
        to->p99_ns = figure_quantile(&from->histogram, figure_rank_ppm[FIGURE_P99]);
    }
    return e < 0 ? e : add_slowest(spans, r);
}

int money_format(unsigned __int128 nanodollar_ns, struct str *out)
{
    /* Dollars times 10^18: nanodollars per second times nanoseconds. */
    const unsigned __int128 dollar = (unsigned __int128)NSEC_PER_S * NSEC_PER_S;
    unsigned __int128 fraction = nanodollar_ns % dollar;
    unsigned __int128 whole = nanodollar_ns / dollar;
    char digits[19];
    unsigned places = 18;

    for (unsigned i = 18; i > 0; i--, fraction /= 10) digits[i - 1] = (char)('0' + (unsigned)(fraction % 10));
    while (places > 2 && digits[places - 1] == '0') places--;
    digits[places] = '\0';
    if (whole > UINT64_MAX) return -EOVERFLOW;
    return str_appendf(out, "%" PRIu64 ".%s", (uint64_t)whole, digits);
}

/* The price of all sandbox time. False if it cannot be told. */
static bool price_of(const struct run_result *run, unsigned __int128 *ret)
{
    const struct plan *plan = run->plan;
    unsigned __int128 sum = 0;

    for (uint32_t i = 0; i < plan->runner_count; i++) {
        uint64_t price = plan->runners[i].price_nanodollars_per_sandbox_second;

        if (!run->pool_sandbox_ns) {
            if (price == 0 || price != plan->runners[0].price_nanodollars_per_sandbox_second) return false;
            sum = (unsigned __int128)recorder_counter(run->recorder, COUNTER_SANDBOX_NS) * price;
        } else {
            if (price == 0 && run->pool_sandbox_ns[i] > 0) return false;
            sum += (unsigned __int128)run->pool_sandbox_ns[i] * price;
        }
    }
    *ret = sum;
    return plan->runner_count > 0;
}

static int add_cost(const struct run_result *run, struct result *r)
{
    CLEANUP(str_deinit) struct str text = STR_INIT(64);
    unsigned __int128 sum = 0, price;
    int e;

    if (run->pool_sandbox_ns)
        for (uint32_t i = 0; i < run->plan->runner_count; i++) sum += run->pool_sandbox_ns[i];
    else
        sum = recorder_counter(run->recorder, COUNTER_SANDBOX_NS);
    e = figure_of(sum, &r->sandbox_ns);
    if (e < 0 || !price_of(run, &price)) return e;
    e = money_format(price, &text);
    if (e < 0) return e;
    r->money = texts_keep(&r->texts, str_text(&text));
    return r->money ? 0 : -ENOMEM;
}

static int add_cuts(const struct interval_series *series, uint32_t i, struct result *r)
{
    for (unsigned m = 0; m < INTERVAL_METRICS; m++) {
        struct interval_figures f;
        struct result_cut cut = {
            .start_ns = interval_start(series, i), .p50_ns = FIGURE_NONE, .p99_ns = FIGURE_NONE};
        int e;

        if (!interval_figures(series, i, (enum metric)m, &f)) continue;
        cut.count = f.count;
        cut.max_ns = f.max_ns;
        if (histogram_quantile_supported(f.count, figure_rank_ppm[FIGURE_P50]))
            cut.p50_ns = nsec_min(f.p50_ns, f.max_ns);
        if (histogram_quantile_supported(f.count, figure_rank_ppm[FIGURE_P99]))
            cut.p99_ns = nsec_min(f.p99_ns, f.max_ns);
        e = vec_push(&r->cuts[m], cut);
        if (e < 0) return e;
    }
    return 0;
}

static int add_intervals(const struct run_result *run, struct result *r)
{
    uint32_t count = run->series ? interval_count(run->series) : 0;
    int e = 0;

    if (count > 0) r->intervals_start_ns = interval_start(run->series, 0);
    for (uint32_t i = 0; e == 0 && i < count; i++) {
        e = vec_push(&r->interval_ends_ns, interval_end(run->series, i));
        if (e == 0) e = add_cuts(run->series, i, r);
    }
    return e;
}

int result_new(const struct run_result *run, struct result **ret_result)
{
    static int (*const parts[])(const struct run_result *, struct result *) = {
        add_head, add_objectives, add_ledger,    add_counts,        result_add_rates,    result_add_flows,
        add_hops, add_cost,       add_intervals, result_add_faults, result_add_validity,
    };
    CLEANUP(result_free_p) struct result *r = NULL;
    int e = result_alloc(&r);

    for (size_t i = 0; e == 0 && i < sizeof(parts) / sizeof(parts[0]); i++) e = parts[i](run, r);
    if (e < 0) return e == -ENOSPC ? -EOVERFLOW : e;
    *ret_result = steal_ptr(r);
    return 0;
}

bool result_met(const struct result *result)
{
    return objectives_met(result->objectives.items, result->objectives.len);
}

int results_exit_code(const struct result *const *results, size_t count)
{
    bool invalid = false, missed = false;

    for (size_t i = 0; i < count; i++) {
        if (results[i]->verdict == LEDGER_UNBALANCED || !results[i]->flows_balanced) return 4;
        if (!results[i]->valid) invalid = true;
        if (!results[i]->informational && !result_met(results[i])) missed = true;
    }
    return invalid ? 3 : missed ? 1 : 0;
}
