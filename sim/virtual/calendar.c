#include "sim/virtual/calendar.h"

#include "sim/base/mix.h"
#include "sim/base/panic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_ITEMS  31
#define BLOCK_CHUNKS 64
/* More in `ready` than this, and its time range is cut down. */
#define READY_MANY 96
/* A bucket with more is not made ready, but sinks to finer ones. */
#define READY_FEW 12
/* With fewer ready, the next buckets are made ready too. */
#define READY_ENOUGH 16
#define READY_MIN    (2 * READY_MANY)
#define SEQ_MASK     ((UINT64_C(1) << CALENDAR_SEQ_BITS) - 1)

/* A bucket is a chain of chunks, all full but the first. The order within a bucket does not matter. */
struct cal_chunk {
    struct cal_chunk *next;
    size_t len;
    struct cal_entry items[CHUNK_ITEMS];
};

/* A block of chunks; its first chunk links the blocks. */
static int add_block(struct calendar *c)
{
    struct cal_chunk *block = malloc(BLOCK_CHUNKS * sizeof(*block));

    if (!block) return -ENOMEM;
    block->next = c->blocks;
    c->blocks = block;
    for (int i = 1; i < BLOCK_CHUNKS; i++) {
        block[i].next = c->spare;
        c->spare = &block[i];
    }
    c->chunks += BLOCK_CHUNKS - 1;
    c->bytes += BLOCK_CHUNKS * sizeof(*block);
    return 0;
}

/* Memory for one event more than there is room for now, wherever they all may go. Each bucket may have one
 * chunk that is not full, and one more is being emptied. */
static int reserve(struct calendar *c)
{
    const size_t apart = CALENDAR_LEVELS * CALENDAR_DIGITS + 2;

    while (c->chunks <= apart || c->room == (c->chunks - apart) * CHUNK_ITEMS) {
        int r = add_block(c);
        if (r < 0) return r;
    }
    c->room = (c->chunks - apart) * CHUNK_ITEMS;
    return 0;
}

/* Room for one event more behind the last of `ready`. */
static void ready_reserve(struct calendar *c)
{
    size_t cap;

    if (c->ready_end < c->ready_cap) return;
    if (c->ready_first > c->ready_cap / 2) {
        memmove(c->ready, c->ready + c->ready_first, (c->ready_end - c->ready_first) * sizeof(*c->ready));
        c->ready_end -= c->ready_first;
        c->ready_first = 0;
        c->refills++;
        return;
    }
    cap = 2 * c->ready_cap;
    c->ready = reallocarray(c->ready, cap, sizeof(*c->ready));
    if (!c->ready) PANIC_MEMORY("out of memory for %zu events of one moment", cap);
    c->bytes += (cap - c->ready_cap) * sizeof(*c->ready);
    c->ready_cap = cap;
}

int calendar_init(struct calendar *c, size_t limit)
{
    *c = (struct calendar){.limit = limit};
    c->ready = malloc(READY_MIN * sizeof(*c->ready));
    if (!c->ready) return -ENOMEM;
    c->ready_cap = READY_MIN;
    c->bytes = READY_MIN * sizeof(*c->ready);

    int r = reserve(c);
    if (r < 0) calendar_deinit(c);
    return r;
}

void calendar_deinit(struct calendar *c)
{
    if (!c) return;
    for (struct cal_chunk *block = c->blocks, *next; block; block = next) {
        next = block->next;
        free(block);
    }
    free(c->ready);
    lanes_deinit(&c->lanes);
    *c = (struct calendar){0};
}

void calendar_shuffle_ties(struct calendar *c, uint64_t seed)
{
    ASSERT(c->len == 0);
    c->shuffled = true;
    c->shuffle = seed;
}

static void sift_down(struct cal_entry *items, size_t len, size_t i, struct cal_entry item)
{
    for (;;) {
        size_t child = 2 * i + 1;

        if (child >= len) break;
        if (child + 1 < len && cal_entry_before(&items[child], &items[child + 1])) child++;
        if (!cal_entry_before(&item, &items[child])) break;
        items[i] = items[child];
        i = child;
    }
    items[i] = item;
}

static void heap_sort(struct cal_entry *items, size_t len)
{
    for (size_t i = len / 2; i-- > 0;) sift_down(items, len, i, items[i]);
    for (size_t n = len; n > 1; n--) {
        struct cal_entry last = items[n - 1];

        items[n - 1] = items[0];
        sift_down(items, n - 1, 0, last);
    }
}

/* Moves the last of `ready` to where it belongs; all others are in order. */
static void settle_last(struct calendar *c, size_t first)
{
    size_t i = c->ready_end - 1;
    struct cal_entry item = c->ready[i];

    for (; i > first && cal_entry_before(&item, &c->ready[i - 1]); i--) c->ready[i] = c->ready[i - 1];
    c->ready[i] = item;
}

/* Puts an event, which is not before the base, into its bucket. */
static void place(struct calendar *c, const struct cal_entry *item)
{
    unsigned level = (63 - __builtin_clzll((item->at ^ c->base) | 1)) / CALENDAR_DIGIT_BITS;
    unsigned digit = item->at >> (level * CALENDAR_DIGIT_BITS) & (CALENDAR_DIGITS - 1);
    struct cal_chunk *chunk = c->buckets[level][digit];

    if (!chunk || chunk->len == CHUNK_ITEMS) {
        chunk = c->spare;
        c->spare = chunk->next;
        chunk->next = c->buckets[level][digit];
        chunk->len = 0;
        c->buckets[level][digit] = chunk;
        c->levels_used |= UINT32_C(1) << level;
        c->digits_used[level] |= UINT64_C(1) << digit;
    }
    chunk->items[chunk->len++] = *item;
}

/* Takes the earliest bucket out and moves the base to its first nanosecond. There must be one. */
static struct cal_chunk *take_bucket(struct calendar *c, unsigned *ret_level)
{
    unsigned level = __builtin_ctz(c->levels_used);
    unsigned digit = __builtin_ctzll(c->digits_used[level]);
    unsigned shift = level * CALENDAR_DIGIT_BITS;
    struct cal_chunk *bucket = c->buckets[level][digit];

    c->buckets[level][digit] = NULL;
    c->digits_used[level] &= c->digits_used[level] - 1;
    if (!c->digits_used[level]) c->levels_used &= c->levels_used - 1;
    /* The digits above stay, this one is the bucket's, those below become zero. */
    c->base = ((c->base >> shift & ~(nsec_t)(CALENDAR_DIGITS - 1)) | digit) << shift;
    *ret_level = level;
    return bucket;
}

static struct cal_chunk *drop_chunk(struct calendar *c, struct cal_chunk *chunk)
{
    struct cal_chunk *next = chunk->next;

    chunk->next = c->spare;
    c->spare = chunk;
    return next;
}

static nsec_t last_of(nsec_t time, unsigned level)
{
    return time | (((nsec_t)1 << (level * CALENDAR_DIGIT_BITS)) - 1);
}

/* Makes all events of a bucket ready, in order. What is ready now is before them, or nothing. */
static void make_ready(struct calendar *c, struct cal_chunk *chunk)
{
    bool few = !chunk->next;
    size_t first = c->ready_end;

    for (; chunk; chunk = drop_chunk(c, chunk)) {
        for (size_t i = 0; i < chunk->len; i++) {
            ready_reserve(c);
            c->ready[c->ready_end++] = chunk->items[i];
            if (few) settle_last(c, first);
        }
    }
    if (!few) heap_sort(c->ready + first, c->ready_end - first);
}

/* The same for the next buckets beside the last one, while there is little in them. */
static void make_more_ready(struct calendar *c)
{
    unsigned level = c->ready_level;

    while (c->ready_end < READY_ENOUGH && c->levels_used &&
           level == (unsigned)__builtin_ctz(c->levels_used)) {
        const struct cal_chunk *next = c->buckets[level][__builtin_ctzll(c->digits_used[level])];

        if (level > 0 && (next->next || next->len > READY_FEW)) return;
        make_ready(c, take_bucket(c, &level));
        c->ready_last = last_of(c->base, level);
    }
}

/* Gets the next events ready, if there are any: a bucket that is small or of a single time at once, others by
 * way of finer buckets. */
static void refill(struct calendar *c)
{
    while (c->ready_first == c->ready_end && c->levels_used) {
        unsigned level;
        struct cal_chunk *chunk = take_bucket(c, &level);

        if (level == 0 || (!chunk->next && chunk->len <= READY_FEW)) {
            c->ready_level = level;
            c->ready_last = last_of(c->base, level);
            c->ready_first = c->ready_end = 0;
            c->refills++;
            make_ready(c, chunk);
            make_more_ready(c);
            return;
        }
        for (; chunk; chunk = drop_chunk(c, chunk))
            for (size_t i = 0; i < chunk->len; i++) place(c, &chunk->items[i]);
    }
}

/* Puts what is not so near back into buckets while too much is ready: a bucket that was taken whole because
 * it held little may span a long time, in which much is entered afterwards. */
static void cut_ready(struct calendar *c)
{
    while (c->ready_end - c->ready_first > READY_MANY && c->ready_level > 0) {
        size_t kept = c->ready_end;

        /* Still in the bucket that was taken, so that the buckets of its level and above stay right. */
        c->base = nsec_max(c->base, c->now);
        c->ready_level--;
        c->ready_last = last_of(c->base, c->ready_level);
        while (kept > c->ready_first && c->ready[kept - 1].at > c->ready_last) kept--;
        for (size_t i = kept; i < c->ready_end; i++) place(c, &c->ready[i]);
        c->ready_end = kept;
    }
}

/* What is entered: where it stands in the order. 0, -ENOSPC or -ENOMEM; then nothing has changed. */
static inline int entry_new(struct calendar *c, nsec_t at, uint32_t prio, uint64_t payload,
                            struct cal_entry *ret_entry)
{
    uint64_t seq = c->next_seq;

    ASSERT(at >= c->now && prio <= CALENDAR_PRIO_MAX);
    if (c->len == c->limit) return -ENOSPC;
    if (c->len == c->room) {
        int r = reserve(c);
        if (r < 0) return r;
    }
    if (c->shuffled) seq = mix64_chain(c->shuffle, seq);
    c->next_seq++;
    c->len++;
    *ret_entry = (struct cal_entry){at, (uint64_t)prio << CALENDAR_SEQ_BITS | (seq & SEQ_MASK), payload};
    return 0;
}

/* Into a bucket, or among what is ready. */
static void insert(struct calendar *c, const struct cal_entry *entry)
{
    if (entry->at > c->ready_last) {
        place(c, entry);
        return;
    }
    ready_reserve(c);
    c->ready[c->ready_end++] = *entry;
    settle_last(c, c->ready_first);
    if (c->ready_end - c->ready_first > READY_MANY && c->ready_level > 0) cut_ready(c);
}

int calendar_push(struct calendar *c, nsec_t at, uint32_t prio, uint64_t payload)
{
    struct cal_entry entry;
    int r = entry_new(c, at, prio, payload, &entry);

    if (r == 0) insert(c, &entry);
    return r;
}

int calendar_push_lane(struct calendar *c, uint32_t lane, nsec_t at, uint32_t prio, uint64_t payload)
{
    struct cal_entry entry;
    int r = entry_new(c, at, prio, payload, &entry);

    if (r == 0 && !lanes_push(&c->lanes, lane, &entry)) insert(c, &entry);
    return r;
}

/* The first of all, or NULL; from a lane or from what is ready. */
static inline const struct cal_entry *first_of_all(struct calendar *c, bool *ret_in_lane)
{
    const struct cal_entry *lane = lanes_first(&c->lanes), *ready;

    if (c->ready_first == c->ready_end) refill(c);
    ready = c->ready_first < c->ready_end ? &c->ready[c->ready_first] : NULL;
    *ret_in_lane = lane && (!ready || cal_entry_before(lane, ready));
    return *ret_in_lane ? lane : ready;
}

bool calendar_pop(struct calendar *c, struct cal_item *ret_item)
{
    bool in_lane;
    const struct cal_entry *first = first_of_all(c, &in_lane);

    if (!first) return false;
    *ret_item = (struct cal_item){.at = first->at,
                                  .seq = first->order & SEQ_MASK,
                                  .payload = first->payload,
                                  .prio = (uint32_t)(first->order >> CALENDAR_SEQ_BITS)};
    if (in_lane)
        ret_item->lane = lanes_pop(&c->lanes);
    else
        c->ready_first++;
    c->now = ret_item->at;
    c->len--;
    return true;
}

nsec_t calendar_peek_at(struct calendar *c)
{
    bool in_lane;
    const struct cal_entry *first = first_of_all(c, &in_lane);

    return first ? first->at : NSEC_MAX;
}
