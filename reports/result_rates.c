/* How often counters grew a second. */
#include "reports/texts.h"

#include "sim/base/panic.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

enum counter rate_counter(enum rate rate)
{
    static const enum counter counters[RATE_COUNT] = {
        [RATE_CONNECTIONS] = COUNTER_CONNECTIONS,
        [RATE_HANDSHAKES] = COUNTER_HANDSHAKES,
    };

    ASSERT(rate < RATE_COUNT);
    return counters[rate];
}

static uint64_t thousandths_per_second(uint64_t count, nsec_t length_ns)
{
    return (uint64_t)((unsigned __int128)count * 1000 * NSEC_PER_S / nsec_max(length_ns, 1));
}

static int keep(struct result *r, uint64_t thousandths, const char **ret)
{
    char text[32];

    snprintf(text, sizeof(text), "%" PRIu64 ".%03" PRIu64, thousandths / 1000, thousandths % 1000);
    *ret = texts_keep(&r->texts, text);
    return *ret ? 0 : -ENOMEM;
}

/* The end of a run may cut an interval to a moment, in which a single event would be a high rate: so none is
 * taken for shorter than planned. */
static int add_peak(const struct run_result *run, enum counter counter, struct result *r,
                    struct result_rate *rate)
{
    const struct interval_series *series = run->series;
    uint64_t highest = 0;

    rate->peak_at_ns = interval_start(series, 0);
    for (uint32_t i = 0; i < interval_count(series); i++) {
        nsec_t start = interval_start(series, i);
        nsec_t length = nsec_max(interval_end(series, i) - start, run->plan->interval_ns);
        uint64_t here = thousandths_per_second(interval_counter(series, i, counter), length);

        if (here <= highest) continue;
        highest = here;
        rate->peak_at_ns = start;
    }
    return keep(r, highest, &rate->peak);
}

int result_add_rates(const struct run_result *run, struct result *r)
{
    int e = 0;

    for (enum rate k = 0; e == 0 && k < RATE_COUNT; k++) {
        e = keep(r, thousandths_per_second(r->counters[rate_counter(k)], run->end_ns), &r->rates[k].mean);
        if (e == 0 && run->series && interval_count(run->series) > 0)
            e = add_peak(run, rate_counter(k), r, &r->rates[k]);
    }
    return e;
}
