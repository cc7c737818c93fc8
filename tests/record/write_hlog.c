/*
 * Writes an interval log, and the percentile tables of its histograms, for hlog_js.test.mjs: stdout gets one
 * JSON object with the log's text and, for each interval, what this side says about it.
 */
#include "sim/base/cleanup.h"
#include "sim/base/panic.h"
#include "sim/base/prng.h"
#include "sim/record/hlog.h"

#include <stdio.h>

#define INTERVALS 12

/* Different shapes: one sample, few, many; narrow, wide; up to the top. */
static void fill(struct histogram *h, uint32_t i)
{
    struct prng p = prng_stream(1, 0, "write_hlog", i, 0);
    uint64_t n = i < 2 ? i : UINT64_C(1) << (i + 4);

    histogram_init(h);
    while (n-- > 0)
        histogram_record(h, prng_below(&p, (HISTOGRAM_HIGHEST_NS * 5 / 4) >> prng_below(&p, 3 * i + 1)));
    if (i == 5) histogram_record_many(h, 123456789, UINT64_C(1) << 40);
}

static void put_interval(struct str *out, uint32_t i, const char *tag, const struct histogram *h)
{
    static const uint32_t quantiles[] = {500000, 900000, 990000, 999000, 1000000};
    CLEANUP(str_deinit) struct str table = STR_INIT(1 << 20);

    str_appendf(out, "%s{\"tag\":\"%s\",\"count\":%llu,\"min\":%llu,\"percentiles\":[", i ? "," : "", tag,
                (unsigned long long)histogram_count(h), (unsigned long long)histogram_min(h));
    for (size_t q = 0; q < sizeof(quantiles) / sizeof(quantiles[0]); q++)
        str_appendf(out, "%s%llu", q ? "," : "", (unsigned long long)histogram_quantile(h, quantiles[q]));
    str_puts(out, "],\"hgrm\":");
    ASSERT(hgrm_write(&table, h, 5) == 0);
    str_append_json(out, str_text(&table), str_len(&table));
    str_puts(out, "}");
}

int main(void)
{
    static struct histogram h;
    CLEANUP(str_deinit) struct str log = STR_INIT(8 << 20);
    CLEANUP(str_deinit) struct str out = STR_INIT(32 << 20);

    hlog_header(&log, UINT64_C(1700000000123456789));
    str_puts(&out, "{\"intervals\":[");
    for (uint32_t i = 0; i < INTERVALS; i++) {
        char tag[16];
        struct hlog_interval interval = {tag, i * NSEC_PER_S, (i + 1) * NSEC_PER_S};

        snprintf(tag, sizeof(tag), "metric.%u", i);
        fill(&h, i);
        hlog_line(&log, &interval, &h);
        put_interval(&out, i, tag, &h);
    }
    str_puts(&out, "],\"log\":");
    str_append_json(&out, str_text(&log), str_len(&log));
    str_puts(&out, "}\n");
    if (str_error(&log) || str_error(&out)) return 1;
    return fwrite(str_text(&out), 1, str_len(&out), stdout) == str_len(&out) && fflush(stdout) == 0 ? 0 : 1;
}
