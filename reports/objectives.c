#include "reports/objectives.h"

#include "sim/base/panic.h"

#include <string.h>

#define NSEC_PER_HOUR (3600 * NSEC_PER_S)

static const char too_few[] = "too few samples", none_sampled[] = "no samples",
                  none_opened[] = "nothing was opened", unknown[] = "unknown subject";

static const char *const fn_names[] = {"quantile", "mean", "max", "min", "count", "rate", "ratio"};

/* What an objective speaks of: exactly one of the three. */
struct subject {
    const struct histogram *histogram;
    bool is_end;
    struct ledger_totals totals;
    enum ledger_end end;
    bool is_counter;
    uint64_t counter;
};

#define END_NAME_BYTES 32

const struct plan_names *objective_names(void)
{
    static const char *metrics[METRIC_COUNT], *counters[COUNTER_COUNT],
        *ends[ACCOUNT_COUNT * LEDGER_END_COUNT];
    static char end_text[ACCOUNT_COUNT * LEDGER_END_COUNT][END_NAME_BYTES];
    static struct plan_names names = {
        .metrics = metrics,
        .metric_count = METRIC_COUNT,
        .ends = ends,
        .end_count = ACCOUNT_COUNT * LEDGER_END_COUNT,
        .counters = counters,
        .counter_count = COUNTER_COUNT,
    };
    size_t n = 0;

    for (int s = 0; s < SPLIT_COUNT; s++)
        names.split_metrics[s] = metric_name(metric_of_split((enum plan_split)s));

    for (enum metric m = 0; m < METRIC_COUNT; m++) metrics[m] = metric_name(m);
    for (enum counter c = 0; c < COUNTER_COUNT; c++) counters[c] = counter_name(c);
    for (enum account a = 0; a < ACCOUNT_COUNT; a++) {
        for (enum ledger_end e = 0; e < LEDGER_END_COUNT; e++, n++) {
            char *text = end_text[n];

            text[0] = '\0';
            strncat(text, account_name(a), END_NAME_BYTES - 1);
            strncat(text, ".", END_NAME_BYTES - 1 - strlen(text));
            strncat(text, ledger_end_name(e), END_NAME_BYTES - 1 - strlen(text));
            ends[n] = text;
        }
    }
    return &names;
}

static bool end_find(const char *name, const struct recorder *recorder, struct subject *ret)
{
    const char *dot = strchr(name, '.');

    if (!dot) return false;
    for (enum account a = 0; a < ACCOUNT_COUNT; a++) {
        const char *account = account_name(a);

        if (strlen(account) != (size_t)(dot - name) || strncmp(account, name, strlen(account)) != 0) continue;
        for (enum ledger_end e = 0; e < LEDGER_END_COUNT; e++) {
            if (strcmp(ledger_end_name(e), dot + 1) != 0) continue;
            ret->is_end = true;
            ret->end = e;
            ledger_totals(recorder_ledger(recorder), a, &ret->totals);
            return true;
        }
    }
    return false;
}

int split_name(const struct plan *plan, enum plan_split split, uint32_t index, struct str *out)
{
    return str_appendf(out, "%s{%s=%s}", metric_name(metric_of_split(split)), plan_split_key(split),
                       plan_split_name(plan, split, index));
}

/* Where there is but one name, it has all the samples. */
static bool split_find(const char *name, const struct plan *plan, const struct recorder *recorder,
                       struct subject *ret)
{
    for (int s = 0; s < SPLIT_COUNT; s++) {
        enum plan_split split = (enum plan_split)s;

        for (uint32_t i = 0; i < plan_split_size(plan, split); i++) {
            CLEANUP(str_deinit) struct str full = STR_INIT(256);

            if (!plan_split_name(plan, split, i) || split_name(plan, split, i, &full) < 0) continue;
            if (strcmp(str_text(&full), name) != 0) continue;
            ret->histogram = recorder_split(recorder, split, i);
            if (!ret->histogram) ret->histogram = recorder_histogram(recorder, metric_of_split(split));
            return true;
        }
    }
    return false;
}

static bool subject_find(const char *name, const struct plan *plan, const struct recorder *recorder,
                         struct subject *ret)
{
    enum metric metric = metric_find(name);
    enum counter counter = counter_find(name);

    *ret = (struct subject){.histogram = NULL};
    if (metric != METRIC_COUNT) {
        ret->histogram = recorder_histogram(recorder, metric);
        return true;
    }
    if (strchr(name, '{')) return split_find(name, plan, recorder, ret);
    if (end_find(name, recorder, ret)) return true;
    if (counter == COUNTER_COUNT) return false;
    ret->is_counter = true;
    ret->counter = recorder_counter(recorder, counter);
    return true;
}

static uint64_t subject_count(const struct subject *s)
{
    if (s->histogram) return histogram_count(s->histogram);
    return s->is_end ? s->totals.ends[s->end] : s->counter;
}

uint64_t figure_quantile(const struct histogram *h, uint32_t q_ppm)
{
    if (!histogram_quantile_supported(histogram_count(h), q_ppm)) return FIGURE_NONE;
    if (q_ppm == HISTOGRAM_PPM) return histogram_max(h);
    return nsec_min(histogram_quantile(h, q_ppm), histogram_max(h));
}

static bool compare(unsigned __int128 a, enum objective_cmp cmp, unsigned __int128 b)
{
    switch (cmp) {
    case CMP_LT: return a < b;
    case CMP_LE: return a <= b;
    case CMP_EQ: return a == b;
    case CMP_NE: return a != b;
    case CMP_GE: return a >= b;
    case CMP_GT: return a > b;
    }
    UNREACHABLE();
}

static void lacking(uint32_t q_ppm, const struct histogram *h, struct objective_result *ret)
{
    uint32_t side = q_ppm < HISTOGRAM_PPM - q_ppm ? q_ppm : HISTOGRAM_PPM - q_ppm;

    ret->reason = too_few;
    ret->samples = histogram_count(h);
    ret->samples_needed = side ? (HISTOGRAM_SUPPORT * (uint64_t)HISTOGRAM_PPM + side - 1) / side : 1;
}

/* A figure of a histogram, or a count. */
static void plain(const struct plan_objective *o, const struct subject *s, struct objective_result *ret)
{
    const struct histogram *h = s->histogram;

    if (o->fn == OBJECTIVE_COUNT) {
        ret->value = subject_count(s);
    } else if (!h) {
        ret->reason = unknown;
    } else if (o->fn == OBJECTIVE_QUANTILE) {
        ret->value = figure_quantile(h, o->quantile_ppm);
        if (ret->value == FIGURE_NONE) lacking(o->quantile_ppm, h, ret);
    } else if (histogram_count(h) == 0) {
        ret->reason = none_sampled;
    } else {
        ret->value = o->fn == OBJECTIVE_MEAN  ? histogram_mean(h)
                     : o->fn == OBJECTIVE_MAX ? histogram_max(h)
                                              : histogram_min(h);
    }
    ret->met = !ret->reason && compare(ret->value, o->cmp, o->value);
}

/* part / whole in units of 1 / scale, without rounding it before it is compared. */
static void fraction(const struct plan_objective *o, uint64_t part, uint64_t scale, uint64_t whole,
                     struct objective_result *ret)
{
    unsigned __int128 scaled = (unsigned __int128)part * scale;
    unsigned __int128 value = scaled / whole;

    ret->value = value < FIGURE_NONE ? (uint64_t)value : FIGURE_NONE - 1;
    ret->met = compare(scaled, o->cmp, (unsigned __int128)o->value * whole);
}

void objective_evaluate(const struct plan_objective *objective, const struct plan *plan,
                        const struct recorder *recorder, struct objective_result *ret_result)
{
    struct objective_result result = {
        .expr = objective->expr,
        .fn = objective->fn,
        .cmp = objective->cmp,
        .wanted = objective->value,
        .value = FIGURE_NONE,
    };
    struct subject s;

    if (!subject_find(objective->subject, plan, recorder, &s)) {
        result.reason = unknown;
    } else if (objective->fn == OBJECTIVE_RATE) {
        if (plan->duration_ns == 0)
            result.reason = none_sampled;
        else
            fraction(objective, subject_count(&s), NSEC_PER_HOUR, plan->duration_ns, &result);
    } else if (objective->fn == OBJECTIVE_RATIO) {
        if (!s.is_end)
            result.reason = unknown;
        else if (s.totals.opened == 0)
            result.reason = none_opened;
        else
            fraction(objective, subject_count(&s), HISTOGRAM_PPM, s.totals.opened, &result);
    } else {
        plain(objective, &s, &result);
    }
    *ret_result = result;
}

bool objectives_met(const struct objective_result *results, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!results[i].met) return false;
    return true;
}

const char *objective_cmp_text(enum objective_cmp cmp)
{
    static const char *const texts[] = {"<", "<=", "==", "!=", ">=", ">"};

    ASSERT(cmp <= CMP_GT);
    return texts[cmp];
}

const char *objective_fn_name(enum objective_fn fn)
{
    ASSERT(fn <= OBJECTIVE_RATIO);
    return fn_names[fn];
}

enum objective_fn objective_fn_find(const char *name)
{
    for (enum objective_fn fn = 0; fn <= OBJECTIVE_RATIO; fn++)
        if (strcmp(fn_names[fn], name) == 0) return fn;
    return OBJECTIVE_RATIO + 1;
}
