/* Whether the numbers of a run mean anything. The rules stand in docs/RESULTS.md. */
#include "reports/human.h"
#include "reports/texts.h"

#include <errno.h>

static int add_reason(struct result *r, struct str *reason)
{
    const char *text = str_error(reason) ? NULL : texts_keep(&r->texts, str_text(reason));

    if (!text) return -ENOMEM;
    return vec_push(&r->invalid_reasons, text);
}

static int given_reasons(const struct run_result *run, struct result *r)
{
    int e = 0;

    for (size_t i = 0; e == 0 && i < run->invalid_reason_count; i++) {
        const char *text = texts_keep(&r->texts, run->invalid_reasons[i]);

        e = text ? vec_push(&r->invalid_reasons, text) : -ENOMEM;
    }
    return e;
}

static int interruption(struct result *r)
{
    CLEANUP(str_deinit) struct str reason = STR_INIT(256);

    if (!r->interrupted) return 0;
    str_puts(&reason, "interrupted after ");
    human_duration(&reason, r->end_ns);
    return add_reason(r, &reason);
}

static int ledger_reasons(struct result *r)
{
    for (enum account a = 0; a < ACCOUNT_COUNT; a++) {
        const struct result_account *account = &r->accounts[a];
        CLEANUP(str_deinit) struct str reason = STR_INIT(512);
        uint64_t ended = 0;
        int e;

        if (account->balanced) continue;
        for (enum ledger_end end = 0; end < LEDGER_END_COUNT; end++) ended += account->ends[end];
        if (account->overflow > 0)
            str_appendf(&reason, "the ledger had no room for %llu of account %s",
                        (unsigned long long)account->overflow, account_name(a));
        else
            str_appendf(
                &reason,
                "the ledger does not balance: account %s has %llu opened, %llu ended, %llu still open, "
                "%llu carried out, %llu carried in",
                account_name(a), (unsigned long long)account->opened, (unsigned long long)ended,
                (unsigned long long)account->open, (unsigned long long)account->carried_out,
                (unsigned long long)account->carried_in);
        e = add_reason(r, &reason);
        if (e < 0) return e;
    }
    return 0;
}

static int too_late(struct result *r, const char *figure, uint64_t lag, nsec_t limit)
{
    CLEANUP(str_deinit) struct str reason = STR_INIT(256);

    str_appendf(&reason, "the load could not keep its schedule: %s(schedule.lag) is ", figure);
    human_duration(&reason, lag);
    str_puts(&reason, ", more than ");
    human_duration(&reason, limit);
    return add_reason(r, &reason);
}

/* The highest of p99, p90 and p50 that the samples support; FIGURE_NONE where they support none. */
static uint64_t highest_percentile(const struct result_metric *m, const char **ret_name)
{
    static const char *const names[] = {[FIGURE_P50] = "p50", [FIGURE_P90] = "p90", [FIGURE_P99] = "p99"};
    int rank = FIGURE_P99;

    while (rank > FIGURE_P50 && m->quantile_ns[rank] == FIGURE_NONE) rank--;
    *ret_name = names[rank];
    return m->quantile_ns[rank];
}

/* A percentile says how late the load was as a rule. That a load of few sessions stood still for a while it
 * does not show: where there is no p90, each single session counts. */
static int schedule_reason(const struct run_result *run, struct result *r)
{
    const struct result_metric *lag = &r->metrics[METRIC_SCHEDULE_LAG];
    nsec_t limit = run->schedule_lag_max_ns ? run->schedule_lag_max_ns : RESULT_SCHEDULE_LAG_MAX_NS;
    nsec_t single = RESULT_SCHEDULE_LAG_SINGLE * limit;
    const char *name;
    uint64_t usual = highest_percentile(lag, &name);
    bool few = lag->count && lag->quantile_ns[FIGURE_P90] == FIGURE_NONE;

    if (usual != FIGURE_NONE && usual > limit) return too_late(r, name, usual, limit);
    return few && lag->max_ns > single ? too_late(r, "max", lag->max_ns, single) : 0;
}

int result_add_validity(const struct run_result *run, struct result *r)
{
    int e = given_reasons(run, r);

    if (e == 0) e = interruption(r);
    if (e == 0) e = ledger_reasons(r);
    if (e == 0) e = schedule_reason(run, r);
    r->valid = r->invalid_reasons.len == 0;
    return e;
}
