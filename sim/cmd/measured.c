#include "sim/cmd/measured.h"

#include <errno.h>
#include <stdlib.h>

#include "sim/world/limits.h"

enum { INTERVALS_MAX = 600, INTERVAL_BYTES_MAX = 64 << 20, SLOWEST = 20 };

int measured_series_new(const struct plan *plan, struct interval_series **ret)
{
    struct interval_options o = {.intervals_max = INTERVALS_MAX, .bytes_max = INTERVAL_BYTES_MAX};

    return interval_series_new(&o, ret);
}

static int join_spans(const struct recorder *const *recorders, size_t count, struct span_report **ret)
{
    struct span_join_options o = {.slowest_max = SLOWEST};
    struct span_source *sources = calloc(count + 1, sizeof *sources);
    int r;

    if (!sources) return -ENOMEM;
    for (size_t i = 0; i < count; i++) sources[i] = span_buffer_source(recorder_spans(recorders[i]));
    r = span_join(sources, count, &o, ret);
    free(sources);
    return r;
}

int measured_finish(struct measured *m, const struct plan *plan, const struct recorder *const *recorders,
                    size_t count, nsec_t end_ns)
{
    struct recorder_options o = recorder_options_of(plan);
    int r;

    o.marks_max = 1; /* marks are joined, not merged */
    m->end_ns = end_ns;
    interval_finish(m->series, recorders, count, end_ns);
    if ((r = recorder_new(&o, &m->recorder)) < 0) return r;
    for (size_t i = 0; i < count; i++) {
        recorder_merge(m->recorder, recorders[i]);
        m->marks_dropped += recorder_spans(recorders[i])->dropped;
    }
    if ((r = join_spans(recorders, count, &m->spans)) < 0) return r;
    recorder_add_hops(m->recorder, m->spans);
    return 0;
}

void measured_deinit(struct measured *m)
{
    recorder_free(m->recorder);
    interval_series_free(m->series);
    span_report_free(m->spans);
    *m = (struct measured){0};
}
