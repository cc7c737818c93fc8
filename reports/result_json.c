/* result.json out of a result. Each key stands in result.schema.json and in docs/RESULTS.md. */
#include "reports/emit.h"
#include "reports/result.h"

#include <inttypes.h>
#include <stdio.h>

static void head(struct emit *j, const struct result *r)
{
    emit_text(j, "schema", RESULT_SCHEMA);
    emit_object(j, "scenario", false);
    emit_text(j, "name", r->scenario);
    emit_text(j, "about", r->about);
    emit_text(j, "sha256", r->sha256);
    emit_end(j);
    emit_text(j, "clock", r->clock);
    emit_u64(j, "seed", r->seed);
    emit_text(j, "deployment", r->deployment);
    emit_bool(j, "informational", r->informational);
    emit_u64(j, "replicate", r->replicate);
    emit_u64(j, "duration_ns", r->duration_ns);
    emit_u64(j, "drain_ns", r->drain_ns);
    emit_u64(j, "end_ns", r->end_ns);
    emit_bool(j, "valid", r->valid);
    emit_bool(j, "interrupted", r->interrupted);
    emit_list(j, "invalid_reasons", false);
    for (size_t i = 0; i < r->invalid_reasons.len; i++) emit_text(j, NULL, r->invalid_reasons.items[i]);
    emit_end(j);
    emit_text(j, "digest", r->digest);
}

static void host(struct emit *j, const struct result *r)
{
    const struct host_facts *h = &r->host;
    unsigned __int128 per_second = FIGURE_NONE;

    if (h->elapsed_ns > 0 && r->engine.deliveries > 0)
        per_second = (unsigned __int128)r->engine.deliveries * NSEC_PER_S / h->elapsed_ns;
    emit_object(j, "host", false);
    emit_text(j, "cpu_model", h->cpu_model);
    emit_u64(j, "cores", h->cores);
    emit_text(j, "kernel", h->kernel);
    emit_text(j, "compiler", h->compiler);
    emit_text(j, "build", h->build);
    emit_u64(j, "started_unix_ns", h->started_unix_ns);
    emit_u64(j, "elapsed_ns", h->elapsed_ns);
    emit_figure(j, "deliveries_per_second", (uint64_t)per_second);
    emit_figure(j, "memory_max_bytes", h->memory_max_bytes ? h->memory_max_bytes : FIGURE_NONE);
    emit_end(j);
}

static void engine(struct emit *j, const struct result *r)
{
    emit_object(j, "engine", false);
    emit_u64(j, "deliveries", r->engine.deliveries);
    emit_u64(j, "polls", r->engine.polls);
    emit_u64(j, "timers", r->engine.timers);
    emit_u64(j, "timers_dead", r->engine.timers_dead);
    emit_end(j);
}

static const char *unit_of(enum objective_fn fn)
{
    switch (fn) {
    case OBJECTIVE_COUNT: return "count";
    case OBJECTIVE_RATE: return "per_hour";
    case OBJECTIVE_RATIO: return "ppm";
    default: return "ns";
    }
}

static void objectives(struct emit *j, const struct result *r)
{
    emit_list(j, "objectives", false);
    for (size_t i = 0; i < r->objectives.len; i++) {
        const struct objective_result *o = &r->objectives.items[i];

        emit_object(j, NULL, true);
        emit_text(j, "expr", o->expr);
        emit_figure(j, "value", o->value);
        emit_bool(j, "met", o->met);
        emit_text(j, "function", objective_fn_name(o->fn));
        emit_text(j, "comparison", objective_cmp_text(o->cmp));
        emit_u64(j, "wanted", o->wanted);
        emit_text(j, "unit", unit_of(o->fn));
        emit_text(j, "reason", o->reason);
        emit_end(j);
    }
    emit_end(j);
}

static void ledger(struct emit *j, const struct result *r)
{
    static const char *const verdicts[] = {"balanced", "overflowed", "unbalanced"};

    emit_object(j, "ledger", false);
    emit_bool(j, "balanced", r->verdict == LEDGER_BALANCED);
    emit_text(j, "verdict", verdicts[r->verdict]);
    emit_object(j, "accounts", false);
    for (enum account a = 0; a < ACCOUNT_COUNT; a++) {
        const struct result_account *account = &r->accounts[a];

        emit_object(j, account_name(a), true);
        emit_u64(j, "opened", account->opened);
        for (enum ledger_end e = 0; e < LEDGER_END_COUNT; e++)
            emit_u64(j, ledger_end_name(e), account->ends[e]);
        emit_u64(j, "carried_in", account->carried_in);
        emit_u64(j, "carried_out", account->carried_out);
        emit_u64(j, "overflow", account->overflow);
        emit_u64(j, "open", account->open);
        emit_u64(j, "open_max", account->open_max);
        emit_bool(j, "balanced", account->balanced);
        emit_end(j);
    }
    emit_end(j);
    emit_end(j);
}

static void metric(struct emit *j, const char *name, const struct result_metric *metric)
{
    emit_object(j, name, true);
    emit_u64(j, "count", metric->count);
    emit_figure(j, "min_ns", metric->min_ns);
    emit_figure(j, "mean_ns", metric->mean_ns);
    emit_figure(j, "p50_ns", metric->quantile_ns[FIGURE_P50]);
    emit_figure(j, "p90_ns", metric->quantile_ns[FIGURE_P90]);
    emit_figure(j, "p99_ns", metric->quantile_ns[FIGURE_P99]);
    emit_figure(j, "p999_ns", metric->quantile_ns[FIGURE_P999]);
    emit_figure(j, "max_ns", metric->max_ns);
    emit_u64(j, "saturated", metric->saturated);
    emit_end(j);
}

static void metrics(struct emit *j, const struct result *r)
{
    emit_object(j, "metrics", false);
    for (enum metric m = 0; m < METRIC_COUNT; m++) metric(j, metric_name(m), &r->metrics[m]);
    for (size_t i = 0; i < r->parts.len; i++) metric(j, r->parts.items[i].name, &r->parts.items[i].figures);
    emit_end(j);
}

static void flows(struct emit *j, const struct result_flow *items, size_t n)
{
    emit_object(j, "flows", false);
    for (size_t i = 0; i < n; i++) {
        emit_object(j, items[i].kind, true);
        for (enum flow_fate f = 0; f < FLOW_FATE_COUNT; f++)
            emit_u64(j, flow_fate_name(f), items[i].counts[f]);
        emit_end(j);
    }
    emit_end(j);
}

static void flow_links(struct emit *j, const struct result *r)
{
    emit_list(j, "flow_links", false);
    for (size_t i = 0; i < r->ways.len; i++) {
        const struct result_way *w = &r->ways.items[i];

        emit_object(j, NULL, false);
        emit_text(j, "link", w->link);
        emit_text(j, "from", w->from);
        emit_text(j, "to", w->to);
        emit_bool(j, "balanced", w->balanced);
        emit_text(j, "may_lose", w->may_lose);
        emit_u64(j, "given_up", w->given_up);
        flows(j, r->way_flows.items + w->first_flow, w->n_flows);
        emit_end(j);
    }
    emit_end(j);
}

static void counts(struct emit *j, const struct result *r)
{
    emit_object(j, "counters", false);
    for (enum counter c = 0; c < COUNTER_COUNT; c++) emit_u64(j, counter_name(c), r->counters[c]);
    emit_end(j);
    emit_object(j, "rates", false);
    for (enum rate k = 0; k < RATE_COUNT; k++) {
        emit_object(j, counter_name(rate_counter(k)), true);
        emit_text(j, "mean_per_second", r->rates[k].mean);
        emit_text(j, "peak_per_second", r->rates[k].peak);
        emit_u64(j, "peak_at_ns", r->rates[k].peak_at_ns);
        emit_end(j);
    }
    emit_end(j);
    emit_bool(j, "flows_balanced", r->flows_balanced);
    flows(j, r->flows.items, r->flows.len);
    flow_links(j, r);
}

static void hops(struct emit *j, const struct result *r)
{
    emit_object(j, "hops", false);
    emit_u64(j, "calls", r->hops_calls);
    emit_u64(j, "calls_open", r->hops_calls_open);
    emit_u64(j, "calls_shed", r->hops_calls_shed);
    emit_u64(j, "marks_stray", r->hops_marks_stray);
    emit_u64(j, "marks_dropped", r->hops_marks_dropped);
    emit_u64(j, "total_ns", r->hops_total_ns);
    emit_figure(j, "p50_ns", r->hops_p50_ns);
    emit_figure(j, "p99_ns", r->hops_p99_ns);
    emit_object(j, "hop", false);
    for (enum hop h = 0; h < HOP_COUNT; h++) {
        emit_object(j, hop_name(h), true);
        emit_u64(j, "count", r->hops[h].calls);
        emit_u64(j, "sum_ns", r->hops[h].sum_ns);
        emit_figure(j, "mean_ns", r->hops[h].mean_ns);
        emit_figure(j, "p50_ns", r->hops[h].p50_ns);
        emit_figure(j, "p99_ns", r->hops[h].p99_ns);
        emit_end(j);
    }
    emit_end(j);
    emit_end(j);
}

static void slowest(struct emit *j, const struct result *r)
{
    emit_list(j, "slowest_calls", false);
    for (size_t i = 0; i < r->slowest.len; i++) {
        const struct result_call *call = &r->slowest.items[i];
        char id[17];

        snprintf(id, sizeof(id), "%016" PRIx64, call->call_id);
        emit_object(j, NULL, false);
        emit_text(j, "call", id);
        emit_u64(j, "start_ns", call->start_ns);
        emit_u64(j, "total_ns", call->total_ns);
        emit_list(j, "segments", false);
        for (uint32_t s = 0; s < call->n_segments; s++) {
            const struct result_segment *segment = &r->segments.items[call->first_segment + s];

            emit_object(j, NULL, true);
            emit_text(j, "from", mark_name(segment->from));
            emit_text(j, "to", mark_name(segment->to));
            emit_text(j, "hop", hop_name(segment->hop));
            emit_u64(j, "length_ns", segment->length_ns);
            emit_end(j);
        }
        emit_end(j);
        emit_end(j);
    }
    emit_end(j);
}

/* Whole sandbox seconds and their fraction, exactly. */
static void cost(struct emit *j, const struct result *r)
{
    char seconds[40];

    snprintf(seconds, sizeof(seconds), "%" PRIu64 ".%09" PRIu64, r->sandbox_ns / NSEC_PER_S,
             r->sandbox_ns % NSEC_PER_S);
    emit_object(j, "cost", true);
    emit_text(j, "sandbox_seconds", seconds);
    emit_u64(j, "sandbox_ns", r->sandbox_ns);
    emit_text(j, "money", r->money);
    emit_text(j, "currency", "USD");
    emit_end(j);
}

static void curves(struct emit *j, const struct result *r)
{
    emit_object(j, "curves", false);
    for (enum metric m = 0; m < METRIC_COUNT; m++) {
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

static void cuts(struct emit *j, const struct result *r, unsigned m)
{
    emit_list(j, metric_name((enum metric)m), false);
    for (size_t i = 0; i < r->cuts[m].len; i++) {
        const struct result_cut *cut = &r->cuts[m].items[i];

        emit_list(j, NULL, true);
        emit_u64(j, NULL, cut->start_ns);
        emit_u64(j, NULL, cut->count);
        emit_figure(j, NULL, cut->p50_ns);
        emit_figure(j, NULL, cut->p99_ns);
        emit_u64(j, NULL, cut->max_ns);
        emit_end(j);
    }
    emit_end(j);
}

static void intervals(struct emit *j, const struct result *r)
{
    emit_object(j, "intervals", false);
    emit_u64(j, "start_ns", r->intervals_start_ns);
    emit_list(j, "ends_ns", true);
    for (size_t i = 0; i < r->interval_ends_ns.len; i++) emit_u64(j, NULL, r->interval_ends_ns.items[i]);
    emit_end(j);
    emit_object(j, "metrics", false);
    for (unsigned m = 0; m < INTERVAL_METRICS; m++)
        if (r->cuts[m].len > 0) cuts(j, r, m);
    emit_end(j);
    emit_end(j);
}

static void faults(struct emit *j, const struct result *r)
{
    emit_list(j, "faults", false);
    for (size_t i = 0; i < r->faults.len; i++) {
        emit_object(j, NULL, true);
        emit_text(j, "fault", r->faults.items[i].text);
        emit_u64(j, "at_ns", r->faults.items[i].at_ns);
        emit_u64(j, "for_ns", r->faults.items[i].for_ns);
        emit_end(j);
    }
    emit_end(j);
}

int result_format(const struct result *result, struct str *out)
{
    static void (*const parts[])(struct emit *, const struct result *) = {
        head,    host, objectives, ledger, metrics, counts,    hops,
        slowest, cost, engine,     faults, curves,  intervals,
    };
    struct emit j;

    emit_start(&j, out);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) parts[i](&j, result);
    return emit_finish(&j);
}
