#include "sim/record/recorder.h"

#include "sim/base/mix.h"
#include "sim/base/panic.h"
#include "sim/record/shared.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RECORDER_MAGIC     UINT64_C(0x524543574e440001)
#define RECORDER_VERSION   UINT64_C(1)
#define MARKS_MAX          (UINT32_C(1) << 28)
#define RECORDER_SPLIT_MAX 4096u

/* The head of the memory; the ledger's slots and the marks lie behind it, at the offsets that it names. */
struct recorder {
    uint64_t magic; /* set last */
    uint64_t version;
    uint64_t layout;
    uint64_t size;
    uint64_t ledger_at;
    uint64_t spans_at;
    uint64_t splits_at;
    uint64_t split_sizes[SPLIT_COUNT];
    uint64_t enabled;
    uint64_t counters[COUNTER_COUNT];
    /* The current one is never written to: a writer that is killed leaves a whole one. */
    struct {
        uint64_t current;
        struct meter two[2];
    } meters[METER_COUNT];
    struct flowcount flows;
    struct histogram histograms[METRIC_COUNT];
};

/* Where things lie. */
struct layout {
    size_t ledger_at;
    size_t spans_at;
    size_t splits_at;
    size_t size;
};

/* Differs between builds that would misread each other's memory. */
static uint64_t layout_hash(void)
{
    const uint64_t words[] = {
        sizeof(struct recorder),
        METRIC_COUNT,
        ACCOUNT_COUNT,
        COUNTER_COUNT,
        LEDGER_END_COUNT,
        MARK_COUNT,
        HISTOGRAM_CELLS,
        sizeof(struct span_mark),
        WAY_COUNT,
    };
    uint64_t hash = RECORDER_VERSION;

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) hash = mix64_chain(hash, words[i]);
    return hash;
}

static size_t aligned(size_t n)
{
    return (n + RECORDER_ALIGN - 1) & ~(size_t)(RECORDER_ALIGN - 1);
}

static size_t splits_size(const uint32_t sizes[SPLIT_COUNT])
{
    size_t n = 0;

    for (int s = 0; s < SPLIT_COUNT; s++) {
        ASSERT(sizes[s] <= RECORDER_SPLIT_MAX);
        n += sizes[s];
    }
    return n * sizeof(struct histogram);
}

static struct layout layout_of(const struct recorder_options *options)
{
    struct layout l;

    ASSERT(options->marks_max <= MARKS_MAX && options->sample_every > 0);
    l.ledger_at = aligned(sizeof(struct recorder));
    l.spans_at = aligned(l.ledger_at + ledger_size(&options->ledger));
    l.splits_at = aligned(l.spans_at + span_buffer_size(options->marks_max));
    l.size = aligned(l.splits_at + splits_size(options->split_sizes));
    return l;
}

size_t recorder_size(const struct recorder_options *options)
{
    return layout_of(options).size;
}

/*
 * These are called for each sample: static, since a compiler that makes position-independent code does not
 * inline what another module could replace.
 */
static inline bool is_on(const struct recorder *r)
{
    return r && r->enabled;
}

static inline struct ledger *ledger_of(struct recorder *r)
{
    return (struct ledger *)(void *)((uint8_t *)r + r->ledger_at);
}

static inline struct span_buffer *spans_of(struct recorder *r)
{
    return (struct span_buffer *)(void *)((uint8_t *)r + r->spans_at);
}

static inline struct histogram *split_of(struct recorder *r, enum plan_split split, uint32_t index)
{
    struct histogram *h = (struct histogram *)(void *)((uint8_t *)r + r->splits_at);

    if (index >= r->split_sizes[split]) return NULL;
    for (int s = 0; s < (int)split; s++) index += (uint32_t)r->split_sizes[s];
    return h + index;
}

static void splits_init(struct recorder *r, const struct recorder_options *options)
{
    for (int s = 0; s < SPLIT_COUNT; s++) r->split_sizes[s] = options->split_sizes[s];
    for (int s = 0; s < SPLIT_COUNT; s++) {
        for (uint32_t i = 0; i < options->split_sizes[s]; i++) {
            struct histogram *h = split_of(r, (enum plan_split)s, i);

            if (!options->zeroed) memset(h, 0, sizeof(*h));
            histogram_init_zeroed(h);
        }
    }
}

struct recorder *recorder_init(void *memory, size_t size, const struct recorder_options *options)
{
    struct recorder *r = memory;
    struct layout l = layout_of(options);

    ASSERT((uintptr_t)memory % RECORDER_ALIGN == 0 && size >= l.size);
    if (!options->zeroed) memset(r, 0, sizeof(*r));
    for (enum metric m = 0; m < METRIC_COUNT; m++) histogram_init_zeroed(&r->histograms[m]);
    r->version = RECORDER_VERSION;
    r->layout = layout_hash();
    r->size = l.size;
    r->ledger_at = l.ledger_at;
    r->spans_at = l.spans_at;
    r->splits_at = l.splits_at;
    splits_init(r, options);
    r->enabled = 1;
    ledger_init((uint8_t *)memory + l.ledger_at, &options->ledger, options->zeroed);
    span_buffer_init((uint8_t *)memory + l.spans_at, options->marks_max, options->sample_every);
    shared_store(&r->magic, RECORDER_MAGIC);
    return r;
}

static bool splits_valid(const struct recorder *r)
{
    uint64_t n = 0;

    for (int s = 0; s < SPLIT_COUNT; s++) {
        if (r->split_sizes[s] > RECORDER_SPLIT_MAX) return false;
        n += r->split_sizes[s];
    }
    return r->splits_at % RECORDER_ALIGN == 0 && r->splits_at >= r->spans_at && r->splits_at <= r->size &&
           r->size - r->splits_at >= n * sizeof(struct histogram);
}

int recorder_attach(void *memory, size_t size, struct recorder **ret_recorder)
{
    struct recorder *r = memory;
    const struct span_buffer *spans;

    if (size < sizeof(*r) || (uintptr_t)memory % RECORDER_ALIGN != 0) return -EPROTO;
    if (shared_load(&r->magic) != RECORDER_MAGIC || r->version != RECORDER_VERSION) return -EPROTO;
    if (r->layout != layout_hash() || r->size > size) return -EPROTO;
    if (r->ledger_at != aligned(sizeof(*r)) || r->spans_at < r->ledger_at || r->spans_at > r->size)
        return -EPROTO;
    if (!splits_valid(r)) return -EPROTO;
    if (!ledger_valid((uint8_t *)memory + r->ledger_at, r->spans_at - r->ledger_at)) return -EPROTO;
    spans = spans_of(r);
    if (r->spans_at % RECORDER_ALIGN != 0 || r->splits_at - r->spans_at < sizeof(*spans)) return -EPROTO;
    if (r->splits_at - r->spans_at < span_buffer_size(spans->marks_max)) return -EPROTO;
    if (shared_load(&spans->used) > spans->marks_max || spans->sample_every == 0) return -EPROTO;
    *ret_recorder = r;
    return 0;
}

/* Of calloc()'s memory, which is zero without being touched; there is no such thing that is aligned, so what
 * is to be freed stands in front. */
int recorder_new(const struct recorder_options *options, struct recorder **ret_recorder)
{
    size_t size = recorder_size(options);
    struct recorder_options zeroed = *options;
    uint8_t *whole = calloc(1, RECORDER_ALIGN + size), *memory;

    if (!whole) return -ENOMEM;
    memory = whole + RECORDER_ALIGN - (uintptr_t)whole % RECORDER_ALIGN;
    ASSERT((size_t)(memory - whole) >= sizeof(whole));
    ((uint8_t **)(void *)memory)[-1] = whole;
    zeroed.zeroed = true;
    *ret_recorder = recorder_init(memory, size, &zeroed);
    return 0;
}

void recorder_free(struct recorder *r)
{
    if (r) free(((uint8_t **)(void *)r)[-1]);
}

void recorder_set_enabled(struct recorder *r, bool enabled)
{
    if (!r) return;
    shared_store(&r->enabled, enabled);
    ledger_set_enabled(ledger_of(r), enabled);
}

bool recorder_enabled(const struct recorder *r)
{
    return r && r->enabled;
}

void recorder_record(struct recorder *r, enum metric metric, nsec_t value_ns)
{
    ASSERT(metric < METRIC_COUNT);
    if (is_on(r)) histogram_record(&r->histograms[metric], value_ns);
}

void recorder_count_status(struct recorder *r, uint64_t status)
{
    if (status == 429)
        recorder_count(r, COUNTER_HTTP_429, 1);
    else if (status >= 400)
        recorder_count(r, status < 500 ? COUNTER_HTTP_4XX : COUNTER_HTTP_5XX, 1);
}

void recorder_record_split(struct recorder *r, enum plan_split split, uint32_t index, nsec_t value_ns)
{
    ASSERT(split < SPLIT_COUNT);
    if (is_on(r) && index < r->split_sizes[split]) histogram_record(split_of(r, split, index), value_ns);
}

void recorder_count(struct recorder *r, enum counter counter, uint64_t n)
{
    ASSERT(counter < COUNTER_COUNT);
    if (is_on(r)) shared_add(&r->counters[counter], n);
}

static const enum counter counter_of_meter[METER_COUNT] = {COUNTER_SANDBOX_NS, COUNTER_SANDBOX_IDLE_NS};

static void meter_set(struct recorder *r, enum meter_kind kind, const struct meter *m)
{
    uint64_t next = !r->meters[kind].current;

    r->meters[kind].two[next] = *m;
    shared_store(&r->meters[kind].current, next);
    shared_store(&r->counters[counter_of_meter[kind]], m->ns);
}

void recorder_meter(struct recorder *r, enum meter_kind kind, const struct meter *change)
{
    struct meter m;

    ASSERT(kind < METER_COUNT);
    if (!is_on(r) || !(change->ns | change->running | change->since_ns)) return;
    m = r->meters[kind].two[r->meters[kind].current];
    meter_add(&m, change);
    meter_set(r, kind, &m);
}

void recorder_bill_running(struct recorder *r, nsec_t now)
{
    for (enum meter_kind kind = 0; kind < METER_COUNT; kind++) {
        const struct meter *m = &r->meters[kind].two[r->meters[kind].current];

        if (m->running) meter_set(r, kind, &(struct meter){.ns = meter_read(m, now)});
    }
}

void recorder_flow(struct recorder *r, uint32_t way, uint32_t kind, enum flow_fate fate, uint64_t n)
{
    if (is_on(r)) flowcount_add(&r->flows, way, kind, fate, n);
}

void recorder_give_up(struct recorder *r, uint32_t way)
{
    if (is_on(r)) flowcount_give_up(&r->flows, way);
}

void recorder_mark(struct recorder *r, uint64_t call_id, enum mark mark, nsec_t at)
{
    if (is_on(r)) span_mark(spans_of(r), call_id, mark, at);
}

uint32_t recorder_open(struct recorder *r, enum account account)
{
    return ledger_open(r ? ledger_of(r) : NULL, account);
}

void recorder_end(struct recorder *r, enum account account, uint32_t slot, enum ledger_end end)
{
    ledger_end(r ? ledger_of(r) : NULL, account, slot, end);
}

void recorder_soon(const struct recorder *r, enum account account, uint32_t slot)
{
    if (r)
        ledger_soon((const struct ledger *)(const void *)((const uint8_t *)r + r->ledger_at), account, slot);
}

const struct histogram *recorder_histogram(const struct recorder *r, enum metric metric)
{
    ASSERT(metric < METRIC_COUNT);
    return &r->histograms[metric];
}

const struct histogram *recorder_split(const struct recorder *r, enum plan_split split, uint32_t index)
{
    ASSERT(split < SPLIT_COUNT);
    return split_of((struct recorder *)r, split, index);
}

uint64_t recorder_counter(const struct recorder *r, enum counter counter)
{
    ASSERT(counter < COUNTER_COUNT);
    return shared_load(&r->counters[counter]);
}

const struct flowcount *recorder_flows(const struct recorder *r)
{
    return &r->flows;
}

const struct span_buffer *recorder_spans(const struct recorder *r)
{
    return (const struct span_buffer *)(const void *)((const uint8_t *)r + r->spans_at);
}

const struct ledger *recorder_ledger(const struct recorder *r)
{
    return (const struct ledger *)(const void *)((const uint8_t *)r + r->ledger_at);
}

struct ledger *recorder_ledger_mutable(struct recorder *r)
{
    return ledger_of(r);
}

void recorder_add_hops(struct recorder *r, const struct span_report *report)
{
    for (enum hop hop = 0; hop < HOP_COUNT; hop++)
        histogram_merge(&r->histograms[hop_metric(hop)], &report->hops[hop].histogram);
}

void recorder_merge(struct recorder *dst, const struct recorder *src)
{
    for (enum metric m = 0; m < METRIC_COUNT; m++) histogram_merge(&dst->histograms[m], &src->histograms[m]);
    for (int s = 0; s < SPLIT_COUNT; s++) {
        for (uint32_t i = 0; i < dst->split_sizes[s] && i < src->split_sizes[s]; i++)
            histogram_merge(split_of(dst, (enum plan_split)s, i), recorder_split(src, (enum plan_split)s, i));
    }
    for (enum counter c = 0; c < COUNTER_COUNT; c++) shared_add(&dst->counters[c], recorder_counter(src, c));
    flowcount_merge(&dst->flows, &src->flows);
    ledger_merge(ledger_of(dst), recorder_ledger(src));
}
