#include "sim/record/interval.h"

#include "sim/base/panic.h"
#include "sim/record/hlog.h"
#include "sim/record/payload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define INTERVALS_MAX 10000u
#define BYTES_MAX     (UINT32_C(1) << 30)
#define PENDING_SIZE  ((size_t)INTERVAL_METRICS * PAYLOAD_SIZE_MAX)

/* A metric in an interval. Its payload is in the series' bytes. */
struct entry {
    uint64_t count; /* 0: there is no payload, and nothing else counts */
    nsec_t p50_ns;
    nsec_t p99_ns;
    nsec_t max_ns;
    uint64_t saturated;
    unsigned __int128 sum_ns;
    uint32_t at; /* of the payload in the bytes */
    uint32_t size;
};

struct interval {
    nsec_t end;
    uint32_t at; /* where its payloads start; they lie in the order of intervals, and then of metrics */
    struct entry entries[INTERVAL_METRICS];
    uint64_t counters[COUNTER_COUNT];
};

struct interval_series {
    struct interval_options options;
    uint32_t fold;      /* cuts that make one interval */
    uint32_t waiting;   /* cuts since the last interval's end */
    uint32_t last_cuts; /* cuts in the last interval; fewer than `fold` means that it is to grow */
    uint32_t count;
    uint32_t used; /* bytes */
    struct interval *intervals;
    uint8_t *bytes;
    uint8_t *pending;                           /* the payloads of an interval in the making */
    uint64_t counters[COUNTER_COUNT];           /* the sums at the last interval's end … */
    struct histogram *before[INTERVAL_METRICS]; /* … and these */
    struct histogram *now;                      /* for use within a call, as the next two */
    struct histogram *delta;
};

static struct histogram *histogram_new(void)
{
    struct histogram *h = calloc(1, sizeof(*h));

    if (h) histogram_init_zeroed(h);
    return h;
}

static bool allocate(struct interval_series *s)
{
    bool ok = true;

    s->intervals = calloc(s->options.intervals_max, sizeof(*s->intervals));
    s->bytes = malloc(s->options.bytes_max);
    s->pending = malloc(PENDING_SIZE);
    s->now = histogram_new();
    s->delta = histogram_new();
    for (enum metric m = 0; m < INTERVAL_METRICS; m++) {
        s->before[m] = histogram_new();
        ok = ok && s->before[m];
    }
    return ok && s->intervals && s->bytes && s->pending && s->now && s->delta;
}

int interval_series_new(const struct interval_options *options, struct interval_series **ret_series)
{
    CLEANUP(interval_series_free_p) struct interval_series *s = NULL;

    ASSERT(options->intervals_max >= 2 && options->intervals_max <= INTERVALS_MAX &&
           options->intervals_max % 2 == 0);
    ASSERT(options->bytes_max >= INTERVAL_BYTES_MIN && options->bytes_max <= BYTES_MAX);
    s = calloc(1, sizeof(*s));
    if (!s) return -ENOMEM;
    s->options = *options;
    s->fold = 1;
    if (!allocate(s)) return -ENOMEM;
    *ret_series = steal_ptr(s);
    return 0;
}

void interval_series_free(struct interval_series *s)
{
    if (!s) return;
    free(s->intervals);
    free(s->bytes);
    free(s->pending);
    free(s->now);
    free(s->delta);
    for (enum metric m = 0; m < INTERVAL_METRICS; m++) free(s->before[m]);
    free(s);
}

/* Describes the samples in `h`, with its payload appended to the pending bytes. The payload's place is set
 * later. */
static void describe(struct interval_series *s, const struct histogram *h, struct entry *ret_entry,
                     uint32_t *pending)
{
    int64_t size = payload_encode(h, s->pending + *pending, PENDING_SIZE - *pending);

    ASSERT(size > 0);
    *ret_entry = (struct entry){
        .count = histogram_count(h),
        .p50_ns = histogram_quantile(h, 500000),
        .p99_ns = histogram_quantile(h, 990000),
        .max_ns = histogram_max(h),
        .saturated = histogram_saturated(h),
        .sum_ns = histogram_sum(h),
        .size = (uint32_t)size,
    };
    *pending += (uint32_t)size;
}

/* Puts the pending payloads behind those in use, and sets their places. There must be room. */
static void settle(struct interval_series *s, struct interval *interval, uint32_t pending)
{
    uint32_t at = s->used;

    ASSERT(s->options.bytes_max - s->used >= pending);
    memcpy(s->bytes + s->used, s->pending, pending);
    interval->at = at;
    for (enum metric m = 0; m < INTERVAL_METRICS; m++) {
        if (interval->entries[m].count == 0) continue;
        interval->entries[m].at = at;
        at += interval->entries[m].size;
    }
    s->used += pending;
}

/* h += the samples of the entry: the cells, which is all that a payload holds. */
static void add_payload(const struct interval_series *s, const struct entry *e, struct histogram *h)
{
    int r = e->count ? payload_add(s->bytes + e->at, e->size, h) : 0;

    ASSERT(r == 0);
}

static void merge_entries(struct interval_series *s, const struct entry *a, const struct entry *b,
                          struct entry *ret_entry, uint32_t *pending)
{
    *ret_entry = (struct entry){0};
    if (a->count + b->count == 0) return;
    histogram_clear(s->delta);
    add_payload(s, a, s->delta);
    add_payload(s, b, s->delta);
    describe(s, s->delta, ret_entry, pending);
    /* What the payloads do not know. */
    ret_entry->max_ns = nsec_max(a->max_ns, b->max_ns);
    ret_entry->saturated = a->saturated + b->saturated;
    ret_entry->sum_ns = a->sum_ns + b->sum_ns;
}

/*
 * Makes one interval of a and b = a + 1 and puts it in *dst, at or before a. Its payloads are never longer
 * than those of the two together, and go to s->used, at or before where those start; so the bytes are
 * compacted in place.
 */
static void merge_pair(struct interval_series *s, const struct interval *a, const struct interval *b,
                       struct interval *dst)
{
    struct interval merged = {.end = b->end};
    uint32_t pending = 0;

    for (enum metric m = 0; m < INTERVAL_METRICS; m++)
        merge_entries(s, &a->entries[m], &b->entries[m], &merged.entries[m], &pending);
    for (enum counter c = 0; c < COUNTER_COUNT; c++) merged.counters[c] = a->counters[c] + b->counters[c];
    settle(s, &merged, pending);
    *dst = merged;
}

/* Moves an interval that has no partner forward. */
static void move(struct interval_series *s, const struct interval *from, struct interval *dst)
{
    struct interval moved = *from;
    uint32_t size = 0;

    for (enum metric m = 0; m < INTERVAL_METRICS; m++) size += moved.entries[m].size;
    memcpy(s->pending, s->bytes + moved.at, size);
    settle(s, &moved, size);
    *dst = moved;
}

/* Halves the number of intervals; from now on one takes twice as many cuts. */
static void fold(struct interval_series *s)
{
    uint32_t count = s->count;

    ASSERT(count >= 2);
    s->used = 0;
    s->count = 0;
    for (uint32_t i = 0; i + 1 < count; i += 2)
        merge_pair(s, &s->intervals[i], &s->intervals[i + 1], &s->intervals[s->count++]);
    if (count % 2 != 0)
        move(s, &s->intervals[count - 1], &s->intervals[s->count++]);
    else
        s->last_cuts += s->fold;
    s->fold *= 2;
}

/* Makes one of the last two intervals. */
static void merge_last(struct interval_series *s)
{
    struct interval *a = &s->intervals[s->count - 2];

    s->used = a->at;
    merge_pair(s, a, a + 1, a);
    s->count--;
}

/* Whether the recorders have samples of the metric that are in no interval yet. */
static bool has_news(const struct interval_series *s, const struct recorder *const *recorders,
                     size_t n_recorders, enum metric m)
{
    uint64_t count = 0;

    for (size_t i = 0; i < n_recorders; i++) count += histogram_count(recorder_histogram(recorders[i], m));
    return count != histogram_count(s->before[m]);
}

static bool has_any_news(const struct interval_series *s, const struct recorder *const *recorders,
                         size_t n_recorders)
{
    for (enum metric m = 0; m < INTERVAL_METRICS; m++)
        if (has_news(s, recorders, n_recorders, m)) return true;
    return false;
}

/* What is new of one metric, described in `ret_entry`. */
static void take_metric(struct interval_series *s, const struct recorder *const *recorders,
                        size_t n_recorders, enum metric m, struct entry *ret_entry, uint32_t *pending)
{
    struct histogram *before = s->before[m];

    if (!has_news(s, recorders, n_recorders, m)) return;
    histogram_clear(s->now);
    for (size_t i = 0; i < n_recorders; i++) histogram_merge(s->now, recorder_histogram(recorders[i], m));
    histogram_subtract(s->delta, s->now, before);
    if (histogram_count(s->delta) > 0) describe(s, s->delta, ret_entry, pending);
    s->before[m] = s->now;
    s->now = before;
}

static void take_counters(struct interval_series *s, const struct recorder *const *recorders,
                          size_t n_recorders, struct interval *interval)
{
    for (enum counter c = 0; c < COUNTER_COUNT; c++) {
        uint64_t sum = 0;

        for (size_t i = 0; i < n_recorders; i++) sum += recorder_counter(recorders[i], c);
        interval->counters[c] = sum - s->counters[c];
        s->counters[c] = sum;
    }
}

static nsec_t end_so_far(const struct interval_series *s)
{
    return s->count ? s->intervals[s->count - 1].end : s->options.start;
}

/* Stores what is new as an interval, or as a part of the last one. There is always room for one more of any
 * size. */
static void store(struct interval_series *s, const struct recorder *const *recorders, size_t n_recorders,
                  nsec_t now, bool extend)
{
    struct interval interval = {.end = now};
    uint32_t pending = 0;

    for (enum metric m = 0; m < INTERVAL_METRICS; m++)
        take_metric(s, recorders, n_recorders, m, &interval.entries[m], &pending);
    take_counters(s, recorders, n_recorders, &interval);
    settle(s, &interval, pending);
    s->intervals[s->count++] = interval;
    s->last_cuts = extend ? s->last_cuts + s->waiting : s->waiting;
    s->waiting = 0;
    if (extend) merge_last(s);
    if (s->count == s->options.intervals_max) fold(s);
    while (s->count >= 2 && s->options.bytes_max - s->used < PENDING_SIZE) fold(s);
}

/* Whether a bound was reached when the last interval was the odd one out: it is still to get its second half.
 */
static bool last_is_partial(const struct interval_series *s)
{
    return s->count > 0 && s->last_cuts < s->fold;
}

void interval_cut(struct interval_series *s, const struct recorder *const *recorders, size_t n_recorders,
                  nsec_t now)
{
    bool extend = last_is_partial(s);

    if (now <= end_so_far(s)) return;
    s->waiting++;
    if (s->waiting >= s->fold - (extend ? s->last_cuts : 0)) store(s, recorders, n_recorders, now, extend);
}

void interval_finish(struct interval_series *s, const struct recorder *const *recorders, size_t n_recorders,
                     nsec_t now)
{
    nsec_t end = end_so_far(s);

    /* What was recorded after the last cut but at its very time belongs to the last interval. */
    if (now > end)
        store(s, recorders, n_recorders, now, last_is_partial(s));
    else if (has_any_news(s, recorders, n_recorders))
        store(s, recorders, n_recorders, end, s->count > 0);
}

uint32_t interval_count(const struct interval_series *s)
{
    return s->count;
}

uint32_t interval_fold(const struct interval_series *s)
{
    return s->fold;
}

nsec_t interval_start(const struct interval_series *s, uint32_t i)
{
    ASSERT(i < s->count);
    return i ? s->intervals[i - 1].end : s->options.start;
}

nsec_t interval_end(const struct interval_series *s, uint32_t i)
{
    ASSERT(i < s->count);
    return s->intervals[i].end;
}

bool interval_figures(const struct interval_series *s, uint32_t i, enum metric metric,
                      struct interval_figures *ret_figures)
{
    const struct entry *e;

    ASSERT(i < s->count && metric < METRIC_COUNT);
    if (metric >= INTERVAL_METRICS) return false;
    e = &s->intervals[i].entries[metric];
    if (e->count == 0) return false;
    *ret_figures = (struct interval_figures){
        .count = e->count,
        .p50_ns = e->p50_ns,
        .p99_ns = e->p99_ns,
        .max_ns = e->max_ns,
        .mean_ns = (nsec_t)((e->sum_ns + e->count / 2) / e->count),
        .saturated = e->saturated,
        .payload = s->bytes + e->at,
        .n_payload = e->size,
    };
    return true;
}

uint64_t interval_counter(const struct interval_series *s, uint32_t i, enum counter counter)
{
    ASSERT(i < s->count && counter < COUNTER_COUNT);
    return s->intervals[i].counters[counter];
}

int interval_hlog(const struct interval_series *s, struct str *out)
{
    for (uint32_t i = 0; i < s->count; i++) {
        for (enum metric m = 0; m < INTERVAL_METRICS; m++) {
            const struct entry *e = &s->intervals[i].entries[m];
            struct hlog_interval line = {metric_name(m), interval_start(s, i), interval_end(s, i)};

            if (e->count) hlog_line_payload(out, &line, e->max_ns, s->bytes + e->at, e->size);
        }
    }
    return str_error(out);
}
