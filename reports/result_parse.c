/* A result out of result.json. What is not known is passed over, so that a later minor addition does not
 * hurt. */
#include "reports/json_in.h"
#include "reports/texts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Appends, and records a failure. */
#define PUSH(in, vec, ...)                                                                                   \
    do {                                                                                                     \
        int push_r_ = vec_push(vec, __VA_ARGS__);                                                            \
        if (push_r_ == -ENOSPC)                                                                              \
            json_in_fail(in, NULL, "is too long");                                                           \
        else if (push_r_ < 0 && (in)->result == 0)                                                           \
            (in)->result = push_r_;                                                                          \
    } while (0)

static void head(struct json_in *in, struct result *r)
{
    json_t *scenario = json_in_object(in, in->root, "scenario");
    json_t *reasons = json_in_list(in, in->root, "invalid_reasons");

    json_in_enter(in, "scenario", 0);
    r->scenario = json_in_text(in, scenario, "name");
    r->about = json_in_text(in, scenario, "about");
    r->sha256 = json_in_text(in, scenario, "sha256");
    json_in_leave(in);
    r->clock = json_in_text(in, in->root, "clock");
    r->seed = json_in_u64(in, in->root, "seed");
    r->deployment = json_in_text(in, in->root, "deployment");
    r->informational = json_in_bool(in, in->root, "informational");
    r->replicate = (uint32_t)json_in_u64(in, in->root, "replicate");
    r->duration_ns = json_in_u64(in, in->root, "duration_ns");
    r->drain_ns = json_in_u64(in, in->root, "drain_ns");
    r->end_ns = json_in_u64(in, in->root, "end_ns");
    r->valid = json_in_bool(in, in->root, "valid");
    r->interrupted = json_in_bool(in, in->root, "interrupted");
    r->digest = json_in_text(in, in->root, "digest");
    for (size_t i = 0; i < json_array_size(reasons); i++) {
        const char *text = json_string_value(json_array_get(reasons, i));
        const char *kept = text ? texts_keep(&r->texts, text) : NULL;

        if (kept)
            PUSH(in, &r->invalid_reasons, kept);
        else
            json_in_fail(in, "invalid_reasons", "must be a list of texts");
    }
}

static void host_text(struct json_in *in, json_t *host, const char *key, char *ret)
{
    snprintf(ret, HOST_TEXT_BYTES, "%s", json_in_text(in, host, key));
}

static void host(struct json_in *in, struct result *r)
{
    json_t *host = json_in_object(in, in->root, "host");
    json_t *engine = json_in_object(in, in->root, "engine");

    json_in_enter(in, "host", 0);
    host_text(in, host, "cpu_model", r->host.cpu_model);
    r->host.cores = (uint32_t)json_in_u64(in, host, "cores");
    host_text(in, host, "kernel", r->host.kernel);
    host_text(in, host, "compiler", r->host.compiler);
    host_text(in, host, "build", r->host.build);
    r->host.started_unix_ns = json_in_u64(in, host, "started_unix_ns");
    r->host.elapsed_ns = json_in_u64(in, host, "elapsed_ns");
    r->host.memory_max_bytes = json_in_figure(in, host, "memory_max_bytes");
    if (r->host.memory_max_bytes == FIGURE_NONE) r->host.memory_max_bytes = 0;
    json_in_leave(in);
    json_in_enter(in, "engine", 0);
    r->engine.deliveries = json_in_u64(in, engine, "deliveries");
    r->engine.polls = json_in_u64(in, engine, "polls");
    r->engine.timers = json_in_u64(in, engine, "timers");
    r->engine.timers_dead = json_in_u64(in, engine, "timers_dead");
    json_in_leave(in);
}

static enum objective_cmp comparison(struct json_in *in, json_t *object)
{
    const char *text = json_in_text(in, object, "comparison");

    for (enum objective_cmp cmp = CMP_LT; cmp <= CMP_GT; cmp++)
        if (strcmp(objective_cmp_text(cmp), text) == 0) return cmp;
    json_in_fail(in, "comparison", "must be one of <, <=, ==, !=, >=, >");
    return CMP_LT;
}

static void objectives(struct json_in *in, struct result *r)
{
    json_t *list = json_in_list(in, in->root, "objectives");

    json_in_enter(in, "objectives", 0);
    for (size_t i = 0; i < json_array_size(list) && in->result == 0; i++) {
        json_t *object = json_array_get(list, i);
        struct objective_result o = {.expr = NULL};

        json_in_enter(in, NULL, i);
        o.expr = json_in_text(in, object, "expr");
        o.value = json_in_figure(in, object, "value");
        o.met = json_in_bool(in, object, "met");
        o.fn = objective_fn_find(json_in_text(in, object, "function"));
        if (o.fn > OBJECTIVE_RATIO) json_in_fail(in, "function", "is unknown");
        o.cmp = comparison(in, object);
        o.wanted = json_in_u64(in, object, "wanted");
        o.reason = json_in_text_or_null(in, object, "reason");
        PUSH(in, &r->objectives, o);
        json_in_leave(in);
    }
    json_in_leave(in);
}

static void account(struct json_in *in, json_t *accounts, enum account a, struct result_account *to)
{
    json_t *object = json_in_object(in, accounts, account_name(a));

    json_in_enter(in, account_name(a), 0);
    to->opened = json_in_u64(in, object, "opened");
    for (enum ledger_end e = 0; e < LEDGER_END_COUNT; e++)
        to->ends[e] = json_in_u64(in, object, ledger_end_name(e));
    to->carried_in = json_in_u64(in, object, "carried_in");
    to->carried_out = json_in_u64(in, object, "carried_out");
    to->overflow = json_in_u64(in, object, "overflow");
    to->open = json_in_u64(in, object, "open");
    to->open_max = json_in_u64(in, object, "open_max");
    to->balanced = json_in_bool(in, object, "balanced");
    json_in_leave(in);
}

static void ledger(struct json_in *in, struct result *r)
{
    json_t *object = json_in_object(in, in->root, "ledger");
    json_t *accounts;
    const char *verdict;

    json_in_enter(in, "ledger", 0);
    verdict = json_in_text(in, object, "verdict");
    if (strcmp(verdict, "balanced") == 0)
        r->verdict = LEDGER_BALANCED;
    else if (strcmp(verdict, "overflowed") == 0)
        r->verdict = LEDGER_OVERFLOWED;
    else if (strcmp(verdict, "unbalanced") == 0)
        r->verdict = LEDGER_UNBALANCED;
    else
        json_in_fail(in, "verdict", "must be \"balanced\", \"overflowed\" or \"unbalanced\"");
    accounts = json_in_object(in, object, "accounts");
    json_in_enter(in, "accounts", 0);
    for (enum account a = 0; a < ACCOUNT_COUNT; a++) account(in, accounts, a, &r->accounts[a]);
    json_in_leave(in);
    json_in_leave(in);
}

static void curve(struct json_in *in, json_t *curves, enum metric m, struct result_metric *to)
{
    json_t *list = json_object_get(curves, metric_name(m));

    json_in_enter(in, metric_name(m), 0);
    for (size_t i = 0; i < json_array_size(list) && in->result == 0; i++) {
        json_t *row = json_array_get(list, i);
        struct result_point point;

        json_in_enter(in, NULL, i);
        point.q_ppm = (uint32_t)json_in_item(in, row, 0, false);
        point.ns = json_in_item(in, row, 1, false);
        if (point.q_ppm > HISTOGRAM_PPM) json_in_fail(in, NULL, "is no quantile in parts per million");
        PUSH(in, &to->curve, point);
        json_in_leave(in);
    }
    json_in_leave(in);
}

static void figures(struct json_in *in, json_t *object, struct result_metric *to)
{
    to->count = json_in_u64(in, object, "count");
    to->saturated = json_in_u64(in, object, "saturated");
    to->min_ns = json_in_figure(in, object, "min_ns");
    to->mean_ns = json_in_figure(in, object, "mean_ns");
    to->max_ns = json_in_figure(in, object, "max_ns");
    to->quantile_ns[FIGURE_P50] = json_in_figure(in, object, "p50_ns");
    to->quantile_ns[FIGURE_P90] = json_in_figure(in, object, "p90_ns");
    to->quantile_ns[FIGURE_P99] = json_in_figure(in, object, "p99_ns");
    to->quantile_ns[FIGURE_P999] = json_in_figure(in, object, "p999_ns");
}

/* The metric that a name with braces begins with, or METRIC_COUNT. */
static enum metric metric_of_part(const char *name)
{
    const char *brace = strchr(name, '{');

    for (enum metric m = 0; brace && m < METRIC_COUNT; m++)
        if (strlen(metric_name(m)) == (size_t)(brace - name) &&
            strncmp(metric_name(m), name, (size_t)(brace - name)) == 0)
            return m;
    return METRIC_COUNT;
}

static void metric_parts(struct json_in *in, struct result *r)
{
    json_t *all = json_in_object(in, in->root, "metrics"), *object;
    const char *name;

    json_in_enter(in, "metrics", 0);
    json_object_foreach(all, name, object)
    {
        struct result_part part = {.metric = metric_of_part(name)};

        if (part.metric == METRIC_COUNT) continue;
        json_in_enter(in, name, 0);
        part.name = texts_keep(&r->texts, name);
        if (!part.name && in->result == 0) in->result = -ENOMEM;
        figures(in, object, &part.figures);
        PUSH(in, &r->parts, part);
        json_in_leave(in);
    }
    json_in_leave(in);
}

/* What older results have none of. */
static bool is_newer(enum metric m, json_t *all)
{
    return m == METRIC_TIMER_LAG && !json_object_get(all, metric_name(m));
}

static void no_samples(struct result_metric *to)
{
    to->min_ns = to->mean_ns = to->max_ns = FIGURE_NONE;
    for (unsigned q = 0; q < FIGURE_QUANTILES; q++) to->quantile_ns[q] = FIGURE_NONE;
}

static void metrics(struct json_in *in, struct result *r)
{
    json_t *all = json_in_object(in, in->root, "metrics");
    json_t *curves = json_in_object(in, in->root, "curves");

    for (enum metric m = 0; m < METRIC_COUNT; m++) {
        struct result_metric *to = &r->metrics[m];
        json_t *object;

        if (is_newer(m, all)) {
            no_samples(to);
            continue;
        }
        object = json_in_object(in, all, metric_name(m));
        json_in_enter(in, "metrics", 0);
        json_in_enter(in, metric_name(m), 0);
        figures(in, object, to);
        json_in_leave(in);
        json_in_leave(in);
        json_in_enter(in, "curves", 0);
        curve(in, curves, m, to);
        json_in_leave(in);
    }
}

static void flow(struct json_in *in, json_t *object, const char *kind, struct result *r,
                 struct result_flow *ret)
{
    json_in_enter(in, kind, 0);
    *ret = (struct result_flow){.kind = texts_keep(&r->texts, kind)};
    for (enum flow_fate f = 0; f < FLOW_FATE_COUNT; f++)
        ret->counts[f] = json_in_u64(in, object, flow_fate_name(f));
    if (!ret->kind && in->result == 0) in->result = -ENOMEM;
    json_in_leave(in);
}

static void flow_link(struct json_in *in, json_t *object, struct result *r)
{
    struct result_way w = {.first_flow = (uint32_t)r->way_flows.len};
    json_t *flows = json_in_object(in, object, "flows"), *one;
    const char *kind;

    w.link = json_in_text(in, object, "link");
    w.from = json_in_text(in, object, "from");
    w.to = json_in_text(in, object, "to");
    w.balanced = json_in_bool(in, object, "balanced");
    w.may_lose = json_in_text_or_null(in, object, "may_lose");
    w.given_up = json_in_u64(in, object, "given_up");
    json_in_enter(in, "flows", 0);
    json_object_foreach(flows, kind, one)
    {
        struct result_flow item;

        flow(in, one, kind, r, &item);
        PUSH(in, &r->way_flows, item);
    }
    json_in_leave(in);
    w.n_flows = (uint32_t)(r->way_flows.len - w.first_flow);
    PUSH(in, &r->ways, w);
}

static void flow_links(struct json_in *in, struct result *r)
{
    json_t *list;

    if (!json_object_get(in->root, "flow_links")) return; /* older results have none */
    list = json_in_list(in, in->root, "flow_links");
    json_in_enter(in, "flow_links", 0);
    for (size_t i = 0; i < json_array_size(list) && in->result == 0; i++) {
        json_in_enter(in, NULL, i);
        flow_link(in, json_array_get(list, i), r);
        json_in_leave(in);
    }
    json_in_leave(in);
}

static void counts(struct json_in *in, struct result *r)
{
    json_t *counters = json_in_object(in, in->root, "counters");
    json_t *flows = json_in_object(in, in->root, "flows"), *object;
    const char *kind;

    json_in_enter(in, "counters", 0);
    for (enum counter c = 0; c < COUNTER_COUNT; c++)
        r->counters[c] = json_in_u64(in, counters, counter_name(c));
    json_in_leave(in);
    r->flows_balanced = json_in_bool(in, in->root, "flows_balanced");
    json_in_enter(in, "flows", 0);
    json_object_foreach(flows, kind, object)
    {
        struct result_flow item;

        flow(in, object, kind, r, &item);
        PUSH(in, &r->flows, item);
    }
    json_in_leave(in);
    flow_links(in, r);
}

static void rates(struct json_in *in, struct result *r)
{
    json_t *all = json_object_get(in->root, "rates");

    if (!all) return; /* older results have none */
    json_in_enter(in, "rates", 0);
    for (enum rate k = 0; k < RATE_COUNT; k++) {
        json_t *object = json_in_object(in, all, counter_name(rate_counter(k)));

        json_in_enter(in, counter_name(rate_counter(k)), 0);
        r->rates[k].mean = json_in_text_or_null(in, object, "mean_per_second");
        r->rates[k].peak = json_in_text_or_null(in, object, "peak_per_second");
        r->rates[k].peak_at_ns = json_in_u64(in, object, "peak_at_ns");
        json_in_leave(in);
    }
    json_in_leave(in);
}

static void hops(struct json_in *in, struct result *r)
{
    json_t *all = json_in_object(in, in->root, "hops");
    json_t *by_hop;

    json_in_enter(in, "hops", 0);
    r->hops_calls = json_in_u64(in, all, "calls");
    r->hops_calls_open = json_in_u64(in, all, "calls_open");
    /* Older results have none. */
    if (json_object_get(all, "calls_shed")) r->hops_calls_shed = json_in_u64(in, all, "calls_shed");
    r->hops_marks_stray = json_in_u64(in, all, "marks_stray");
    r->hops_marks_dropped = json_in_u64(in, all, "marks_dropped");
    r->hops_total_ns = json_in_u64(in, all, "total_ns");
    r->hops_p50_ns = json_in_figure(in, all, "p50_ns");
    r->hops_p99_ns = json_in_figure(in, all, "p99_ns");
    by_hop = json_in_object(in, all, "hop");
    json_in_enter(in, "hop", 0);
    for (enum hop h = 0; h < HOP_COUNT; h++) {
        json_t *object = json_in_object(in, by_hop, hop_name(h));

        json_in_enter(in, hop_name(h), 0);
        r->hops[h].calls = json_in_u64(in, object, "count");
        r->hops[h].sum_ns = json_in_u64(in, object, "sum_ns");
        r->hops[h].mean_ns = json_in_figure(in, object, "mean_ns");
        r->hops[h].p50_ns = json_in_figure(in, object, "p50_ns");
        r->hops[h].p99_ns = json_in_figure(in, object, "p99_ns");
        json_in_leave(in);
    }
    json_in_leave(in);
    json_in_leave(in);
}

static enum mark mark(struct json_in *in, json_t *object, const char *key)
{
    enum mark found = mark_find(json_in_text(in, object, key));

    if (found != MARK_COUNT) return found;
    json_in_fail(in, key, "is no mark");
    return MARK_CALL_START;
}

static enum hop hop(struct json_in *in, json_t *object)
{
    const char *name = json_in_text(in, object, "hop");

    for (enum hop h = 0; h < HOP_COUNT; h++)
        if (strcmp(hop_name(h), name) == 0) return h;
    json_in_fail(in, "hop", "is no hop");
    return HOP_OTHER;
}

static void segments(struct json_in *in, json_t *list, struct result *r)
{
    json_in_enter(in, "segments", 0);
    for (size_t i = 0; i < json_array_size(list) && in->result == 0; i++) {
        json_t *object = json_array_get(list, i);
        struct result_segment segment;

        json_in_enter(in, NULL, i);
        segment.from = mark(in, object, "from");
        segment.to = mark(in, object, "to");
        segment.hop = hop(in, object);
        segment.length_ns = json_in_u64(in, object, "length_ns");
        PUSH(in, &r->segments, segment);
        json_in_leave(in);
    }
    json_in_leave(in);
}

static void slowest(struct json_in *in, struct result *r)
{
    json_t *list = json_in_list(in, in->root, "slowest_calls");

    json_in_enter(in, "slowest_calls", 0);
    for (size_t i = 0; i < json_array_size(list) && in->result == 0; i++) {
        json_t *object = json_array_get(list, i);
        json_t *parts;
        struct result_call call = {.first_segment = (uint32_t)r->segments.len};

        json_in_enter(in, NULL, i);
        call.call_id = strtoull(json_in_text(in, object, "call"), NULL, 16);
        call.start_ns = json_in_u64(in, object, "start_ns");
        call.total_ns = json_in_u64(in, object, "total_ns");
        parts = json_in_list(in, object, "segments");
        segments(in, parts, r);
        call.n_segments = (uint32_t)(r->segments.len - call.first_segment);
        PUSH(in, &r->slowest, call);
        json_in_leave(in);
    }
    json_in_leave(in);
}

static void cost(struct json_in *in, struct result *r)
{
    json_t *object = json_in_object(in, in->root, "cost");

    json_in_enter(in, "cost", 0);
    r->sandbox_ns = json_in_u64(in, object, "sandbox_ns");
    r->money = json_in_text_or_null(in, object, "money");
    json_in_leave(in);
}

static void faults(struct json_in *in, struct result *r)
{
    json_t *list = json_in_list(in, in->root, "faults");

    json_in_enter(in, "faults", 0);
    for (size_t i = 0; i < json_array_size(list) && in->result == 0; i++) {
        json_t *object = json_array_get(list, i);
        struct result_fault fault;

        json_in_enter(in, NULL, i);
        fault.text = json_in_text(in, object, "fault");
        fault.at_ns = json_in_u64(in, object, "at_ns");
        fault.for_ns = json_in_u64(in, object, "for_ns");
        PUSH(in, &r->faults, fault);
        json_in_leave(in);
    }
    json_in_leave(in);
}

static void cuts(struct json_in *in, json_t *list, unsigned m, struct result *r)
{
    json_in_enter(in, metric_name((enum metric)m), 0);
    for (size_t i = 0; i < json_array_size(list) && in->result == 0; i++) {
        json_t *row = json_array_get(list, i);
        struct result_cut cut;

        json_in_enter(in, NULL, i);
        cut.start_ns = json_in_item(in, row, 0, false);
        cut.count = json_in_item(in, row, 1, false);
        cut.p50_ns = json_in_item(in, row, 2, true);
        cut.p99_ns = json_in_item(in, row, 3, true);
        cut.max_ns = json_in_item(in, row, 4, false);
        PUSH(in, &r->cuts[m], cut);
        json_in_leave(in);
    }
    json_in_leave(in);
}

static void intervals(struct json_in *in, struct result *r)
{
    json_t *object = json_in_object(in, in->root, "intervals");
    json_t *ends, *by_metric;

    json_in_enter(in, "intervals", 0);
    r->intervals_start_ns = json_in_u64(in, object, "start_ns");
    ends = json_in_list(in, object, "ends_ns");
    for (size_t i = 0; i < json_array_size(ends) && in->result == 0; i++) {
        nsec_t end = json_in_item(in, ends, i, false);

        PUSH(in, &r->interval_ends_ns, end);
    }
    by_metric = json_in_object(in, object, "metrics");
    json_in_enter(in, "metrics", 0);
    for (unsigned m = 0; m < INTERVAL_METRICS; m++)
        cuts(in, json_object_get(by_metric, metric_name((enum metric)m)), m, r);
    json_in_leave(in);
    json_in_leave(in);
}

int result_parse(const char *text, size_t len, const char *name, struct result **ret_result,
                 struct report_error *ret_error)
{
    static void (*const parts[])(struct json_in *, struct result *) = {
        head,  host, objectives, ledger, metrics, metric_parts, counts,
        rates, hops, slowest,    cost,   faults,  intervals,
    };
    CLEANUP(result_free_p) struct result *r = NULL;
    CLEANUP(json_in_deinit) struct json_in in;
    int e = json_in_init(&in, text, len, name, RESULT_SCHEMA, ret_error);

    if (e == 0) e = result_alloc(&r);
    if (e == 0) in.texts = &r->texts;
    for (size_t i = 0; e == 0 && i < sizeof(parts) / sizeof(parts[0]); i++) {
        parts[i](&in, r);
        e = in.result;
    }
    if (e == -ENOMEM) snprintf(ret_error->text, sizeof(ret_error->text), "%.600s: out of memory", name);
    if (e == 0) *ret_result = steal_ptr(r);
    return e;
}
