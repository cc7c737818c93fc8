/*
 * The hold model: with n events pending, take the first one out and enter it again an exponential span later.
 * Prints millions of holds a second for the calendar and for the plain binary heap, and how they compare.
 *
 *     bench_calendar [HOLDS]     default 5,000,000 at each size
 */
#include "sim/base/heap.h"
#include "sim/base/panic.h"
#include "sim/base/prng.h"
#include "sim/virtual/calendar.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define MEAN   NSEC_PER_S
#define DELAYS (1 << 16) /* drawn beforehand: the queues are measured, not the generator */
#define ROUNDS 3

static nsec_t delays[DELAYS];

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static double hold_calendar(struct calendar *c, size_t holds)
{
    double start = seconds();

    for (size_t i = 0; i < holds; i++) {
        struct cal_item item;

        ASSERT(calendar_pop(c, &item));
        ASSERT(calendar_push(c, nsec_add(item.at, delays[i % DELAYS]), 0, item.payload) == 0);
    }
    return holds / (seconds() - start);
}

static double hold_heap(struct heap *h, size_t holds)
{
    double start = seconds();
    uint64_t seq = h->len;

    for (size_t i = 0; i < holds; i++) {
        struct heap_item item;

        ASSERT(heap_pop(h, &item));
        item.at = nsec_add(item.at, delays[i % DELAYS]);
        item.seq = seq++;
        ASSERT(heap_push(h, &item) == 0);
    }
    return holds / (seconds() - start);
}

/* Fills both with the same events, runs some holds to settle, then measures in turns and keeps the best of
 * each. */
static void compare(size_t pending, size_t holds)
{
    struct prng p = prng_stream(1, 0, "bench", pending, 0);
    struct calendar c;
    struct heap h;
    double best_calendar = 0, best_heap = 0;

    ASSERT(calendar_init(&c, pending) == 0);
    heap_init(&h, pending);
    for (size_t i = 0; i < pending; i++) {
        nsec_t at = prng_exponential(&p, MEAN);

        ASSERT(calendar_push(&c, at, 0, i) == 0);
        ASSERT(heap_push(&h, &(struct heap_item){.at = at, .seq = i, .payload = i}) == 0);
    }
    hold_calendar(&c, 2 * pending);
    hold_heap(&h, 2 * pending);
    for (int round = 0; round < ROUNDS; round++) {
        double rate = hold_calendar(&c, holds);
        if (rate > best_calendar) best_calendar = rate;
        rate = hold_heap(&h, holds);
        if (rate > best_heap) best_heap = rate;
    }
    printf(
        "%9zu pending: calendar %6.2f M/s, binary heap %6.2f M/s, ratio %.2f; calendar %.1f bytes an event\n",
        pending, best_calendar / 1e6, best_heap / 1e6, best_calendar / best_heap,
        (double)calendar_bytes(&c) / pending);
    calendar_deinit(&c);
    heap_deinit(&h);
}

int main(int argc, char **argv)
{
    size_t holds = argc > 1 ? strtoull(argv[1], NULL, 10) : 5000000;
    struct prng p = prng_stream(1, 0, "bench", 0, 1);

    for (size_t i = 0; i < DELAYS; i++) delays[i] = prng_exponential(&p, MEAN);
    compare(1000, holds);
    compare(100000, holds);
    compare(1000000, holds);
    return 0;
}
