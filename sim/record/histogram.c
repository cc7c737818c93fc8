#include "sim/record/histogram.h"

#include "sim/base/panic.h"
#include "sim/record/shared.h"

#include <stddef.h>
#include <string.h>

#define HALF_COUNT (UINT32_C(1) << HISTOGRAM_HALF_MAGNITUDE)

/* Bits of the largest value that the first bucket holds. */
#define FIRST_BUCKET_BITS (HISTOGRAM_HALF_MAGNITUDE + 1 + HISTOGRAM_UNIT_MAGNITUDE)
#define FIRST_BUCKET_MASK (((UINT64_C(1) << (HISTOGRAM_HALF_MAGNITUDE + 1)) - 1) << HISTOGRAM_UNIT_MAGNITUDE)

_Static_assert((UINT64_C(1) << HISTOGRAM_UNIT_MAGNITUDE) <= HISTOGRAM_LOWEST_NS,
               "unit above the lowest value");
_Static_assert((UINT64_C(2) << HISTOGRAM_UNIT_MAGNITUDE) > HISTOGRAM_LOWEST_NS,
               "unit smaller than it needs to be");
_Static_assert((UINT64_C(1) << (FIRST_BUCKET_BITS + HISTOGRAM_BUCKETS - 1)) > HISTOGRAM_HIGHEST_NS,
               "too few buckets");
_Static_assert((UINT64_C(1) << (FIRST_BUCKET_BITS + HISTOGRAM_BUCKETS - 2)) <= HISTOGRAM_HIGHEST_NS,
               "too many");

/* Cells [first, end) may be other than zero; the extremes that say so. Empty: end is 0. */
struct range {
    uint32_t first;
    uint32_t end;
    nsec_t min_ns;
    nsec_t max_ns;
};

static inline uint32_t index_of(nsec_t value_ns)
{
    /* The mask sends all that the first bucket holds, 0 included, to bucket 0. */
    uint32_t bits = 64 - (uint32_t)__builtin_clzll(value_ns | FIRST_BUCKET_MASK);
    uint32_t bucket = bits - FIRST_BUCKET_BITS;
    uint32_t sub = (uint32_t)(value_ns >> (bucket + HISTOGRAM_UNIT_MAGNITUDE));

    /* Buckets share their lower half with the one before; only bucket 0 uses its own. */
    return (bucket << HISTOGRAM_HALF_MAGNITUDE) + sub;
}

static inline void cell_add(struct histogram *h, uint32_t index, uint64_t n)
{
    shared_add(&h->cells[index], n);
}

static void sum_add(struct histogram *h, unsigned __int128 n)
{
    unsigned __int128 sum = ((unsigned __int128)h->sum_high << 64) + h->sum_low + n;

    if (h->sum_high != (uint64_t)(sum >> 64)) shared_store(&h->sum_high, (uint64_t)(sum >> 64));
    shared_store(&h->sum_low, (uint64_t)sum);
}

static inline void extremes_add(struct histogram *h, nsec_t low_ns, nsec_t high_ns)
{
    if (low_ns < h->min_ns) shared_store(&h->min_ns, low_ns);
    if (high_ns > h->max_ns) shared_store(&h->max_ns, high_ns);
}

/* Where to look, from minimum and maximum: the writer stores these before it touches a cell. */
static struct range touched(const struct histogram *h)
{
    nsec_t min_ns = shared_load(&h->min_ns);
    nsec_t max_ns = shared_load(&h->max_ns);

    /* Empty, or a writer that has stored only the minimum of its first sample so far. */
    if (min_ns > max_ns || max_ns > HISTOGRAM_HIGHEST_NS) return (struct range){.end = 0};
    return (struct range){index_of(min_ns), index_of(max_ns) + 1, min_ns, max_ns};
}

void histogram_init(struct histogram *h)
{
    memset(h, 0, sizeof(*h));
    h->min_ns = UINT64_MAX;
}

void histogram_clear(struct histogram *h)
{
    struct range range = touched(h);

    if (range.end) memset(h->cells + range.first, 0, (range.end - range.first) * sizeof(h->cells[0]));
    memset(h, 0, offsetof(struct histogram, cells));
    h->min_ns = UINT64_MAX;
}

void histogram_init_zeroed(struct histogram *h)
{
    h->min_ns = UINT64_MAX;
}

void histogram_record(struct histogram *h, nsec_t value_ns)
{
    uint64_t low;

    if (__builtin_expect(value_ns > HISTOGRAM_HIGHEST_NS, 0)) {
        value_ns = HISTOGRAM_HIGHEST_NS;
        shared_add(&h->saturated, 1);
    }
    extremes_add(h, value_ns, value_ns);
    if (__builtin_add_overflow(h->sum_low, value_ns, &low)) shared_add(&h->sum_high, 1);
    shared_store(&h->sum_low, low);
    cell_add(h, index_of(value_ns), 1);
    shared_add(&h->count, 1);
}

void histogram_record_many(struct histogram *h, nsec_t value_ns, uint64_t times)
{
    if (times == 0) return;
    if (value_ns > HISTOGRAM_HIGHEST_NS) {
        value_ns = HISTOGRAM_HIGHEST_NS;
        shared_add(&h->saturated, times);
    }
    extremes_add(h, value_ns, value_ns);
    sum_add(h, (unsigned __int128)value_ns * times);
    cell_add(h, index_of(value_ns), times);
    shared_add(&h->count, times);
}

void histogram_copy(struct histogram *dst, const struct histogram *src)
{
    histogram_init(dst);
    histogram_merge(dst, src);
}

void histogram_merge(struct histogram *dst, const struct histogram *src)
{
    struct range range = touched(src);
    uint64_t count = 0;

    if (range.end == 0) return;
    extremes_add(dst, range.min_ns, range.max_ns);
    sum_add(dst, histogram_sum(src));
    shared_add(&dst->saturated, shared_load(&src->saturated));
    for (uint32_t i = range.first; i < range.end; i++) {
        uint64_t n = shared_load(&src->cells[i]);

        if (n) cell_add(dst, i, n);
        count += n;
    }
    /* Not src->count: its writer may have been between the cell and the count, for a moment or for ever. */
    shared_add(&dst->count, count);
}

/* The extremes of what was added between two copies, as closely as they show it. */
static void subtract_extremes(struct histogram *dst, const struct histogram *now,
                              const struct histogram *before, uint32_t first, uint32_t last)
{
    bool new_min = now->min_ns<before->min_ns, new_max = now->max_ns> before->max_ns;

    dst->min_ns = new_min ? now->min_ns : nsec_max(histogram_lowest_of(first), now->min_ns);
    dst->max_ns = new_max ? now->max_ns : nsec_min(histogram_highest_of(last), now->max_ns);
}

void histogram_subtract(struct histogram *dst, const struct histogram *now, const struct histogram *before)
{
    struct range range = touched(now);
    unsigned __int128 sum = histogram_sum(now) - histogram_sum(before);
    uint32_t first = UINT32_MAX, last = 0;

    histogram_clear(dst);
    ASSERT(now->count >= before->count && now->saturated >= before->saturated);
    for (uint32_t i = range.first; i < range.end; i++) {
        ASSERT(now->cells[i] >= before->cells[i]);
        if (now->cells[i] == before->cells[i]) continue;
        dst->cells[i] = now->cells[i] - before->cells[i];
        dst->count += dst->cells[i];
        if (first == UINT32_MAX) first = i;
        last = i;
    }
    ASSERT(dst->count == now->count - before->count);
    if (dst->count == 0) return;
    dst->sum_low = (uint64_t)sum;
    dst->sum_high = (uint64_t)(sum >> 64);
    dst->saturated = now->saturated - before->saturated;
    subtract_extremes(dst, now, before, first, last);
}

uint64_t histogram_count(const struct histogram *h)
{
    return shared_load(&h->count);
}

uint64_t histogram_saturated(const struct histogram *h)
{
    return shared_load(&h->saturated);
}

nsec_t histogram_min(const struct histogram *h)
{
    nsec_t min_ns = shared_load(&h->min_ns);

    return min_ns == UINT64_MAX ? 0 : min_ns;
}

nsec_t histogram_max(const struct histogram *h)
{
    return shared_load(&h->max_ns);
}

unsigned __int128 histogram_sum(const struct histogram *h)
{
    uint64_t high = shared_load(&h->sum_high);
    uint64_t low = shared_load(&h->sum_low);

    /* A carry between the two reads is seen once in five million hours of samples. */
    if (shared_load(&h->sum_high) != high) {
        high = shared_load(&h->sum_high);
        low = shared_load(&h->sum_low);
    }
    return ((unsigned __int128)high << 64) + low;
}

nsec_t histogram_mean(const struct histogram *h)
{
    uint64_t count = histogram_count(h);

    return count ? (nsec_t)((histogram_sum(h) + count / 2) / count) : 0;
}

nsec_t histogram_quantile(const struct histogram *h, uint32_t q_ppm)
{
    ASSERT(q_ppm <= HISTOGRAM_PPM);
    return histogram_quantile_at(h, q_ppm, HISTOGRAM_PPM);
}

nsec_t histogram_quantile_at(const struct histogram *h, uint64_t numerator, uint64_t denominator)
{
    struct range range = touched(h);
    unsigned __int128 scaled = (unsigned __int128)histogram_count(h) * numerator;
    uint64_t rank, seen = 0;

    ASSERT(denominator > 0 && numerator <= denominator);
    if (histogram_count(h) == 0 || range.end == 0) return 0;
    rank = (uint64_t)(scaled / denominator) + (scaled % denominator != 0);
    if (rank == 0) rank = 1;
    for (uint32_t i = range.first; i < range.end; i++) {
        seen += shared_load(&h->cells[i]);
        if (seen >= rank) return numerator == 0 ? histogram_lowest_of(i) : histogram_highest_of(i);
    }
    return histogram_highest_of(range.end - 1);
}

bool histogram_quantile_supported(uint64_t count, uint32_t q_ppm)
{
    uint32_t outside_ppm = q_ppm < HISTOGRAM_PPM / 2 ? q_ppm : HISTOGRAM_PPM - q_ppm;

    ASSERT(q_ppm <= HISTOGRAM_PPM);
    if (outside_ppm == 0) return count > 0;
    return (unsigned __int128)count * outside_ppm >= (unsigned __int128)HISTOGRAM_SUPPORT * HISTOGRAM_PPM;
}

uint64_t histogram_count_within(const struct histogram *h, nsec_t limit_ns)
{
    struct range range = touched(h);
    uint64_t count = 0;

    if (histogram_max(h) <= limit_ns && histogram_saturated(h) == 0) return histogram_count(h);
    for (uint32_t i = range.first; i < range.end && histogram_highest_of(i) <= limit_ns; i++)
        count += shared_load(&h->cells[i]);
    return count;
}

bool histogram_next(const struct histogram *h, uint32_t *cursor, struct histogram_cell *ret_cell)
{
    struct range range = touched(h);

    for (uint32_t i = *cursor > range.first ? *cursor : range.first; i < range.end; i++) {
        uint64_t count = shared_load(&h->cells[i]);

        if (count == 0) continue;
        *ret_cell = (struct histogram_cell){histogram_lowest_of(i), histogram_highest_of(i), count};
        *cursor = i + 1;
        return true;
    }
    *cursor = range.end;
    return false;
}

uint32_t histogram_index(nsec_t value_ns)
{
    ASSERT(value_ns <= HISTOGRAM_HIGHEST_NS);
    return index_of(value_ns);
}

/* The power of two that is the width of a cell. */
static uint32_t width_bits(uint32_t index)
{
    uint32_t half = index >> HISTOGRAM_HALF_MAGNITUDE;

    return HISTOGRAM_UNIT_MAGNITUDE + (half > 1 ? half - 1 : 0);
}

nsec_t histogram_lowest_of(uint32_t index)
{
    uint32_t half = index >> HISTOGRAM_HALF_MAGNITUDE;
    uint32_t sub = half > 1 ? (index & (HALF_COUNT - 1)) + HALF_COUNT : index;

    ASSERT(index < HISTOGRAM_CELLS);
    return (nsec_t)sub << width_bits(index);
}

nsec_t histogram_highest_of(uint32_t index)
{
    return histogram_lowest_of(index) + (UINT64_C(1) << width_bits(index)) - 1;
}

void histogram_add_cell(struct histogram *h, uint32_t index, uint64_t count)
{
    nsec_t low_ns = histogram_lowest_of(index);
    nsec_t middle_ns = low_ns + (UINT64_C(1) << width_bits(index)) / 2;

    ASSERT(low_ns <= HISTOGRAM_HIGHEST_NS);
    if (count == 0) return;
    extremes_add(h, low_ns, nsec_min(histogram_highest_of(index), HISTOGRAM_HIGHEST_NS));
    sum_add(h, (unsigned __int128)middle_ns * count);
    cell_add(h, index, count);
    shared_add(&h->count, count);
}
