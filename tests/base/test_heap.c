#include "sim/base/cleanup.h"
#include "sim/base/heap.h"
#include "sim/base/prng.h"
#include "tests/base/suite.h"

#include <errno.h>

static int by_order(const void *a, const void *b)
{
    const struct heap_item *x = a, *y = b;

    return heap_item_before(x, y) ? -1 : heap_item_before(y, x);
}

START_TEST(comes_out_sorted)
{
    enum { N = 5000 };
    static struct heap_item sorted[N];
    CLEANUP(heap_deinit) struct heap h = {0};
    struct prng p = prng_stream(1, 0, "heap", 0, 0);
    struct heap_item item;

    heap_init(&h, N);
    for (size_t i = 0; i < N; i++) {
        sorted[i] = (struct heap_item){prng_below(&p, 100), i, prng_u64(&p), prng_below(&p, 3)};
        MUST(heap_push(&h, &sorted[i]) == 0);
    }
    qsort(sorted, N, sizeof(sorted[0]), by_order);
    for (size_t i = 0; i < N; i++) {
        MUST(heap_peek(&h)->seq == sorted[i].seq);
        MUST(heap_pop(&h, &item));
        MUST(item.at == sorted[i].at && item.prio == sorted[i].prio && item.seq == sorted[i].seq &&
             item.payload == sorted[i].payload);
        MUST(heap_len(&h) == N - 1 - i);
    }
    ck_assert(!heap_pop(&h, &item));
    ck_assert_ptr_null(heap_peek(&h));
}
END_TEST

START_TEST(pushes_and_pops_may_mix)
{
    CLEANUP(heap_deinit) struct heap h = {0};
    struct prng p = prng_stream(2, 0, "heap", 0, 0);
    nsec_t now = 0;

    heap_init(&h, 1000);
    for (uint64_t seq = 0; seq < 100000; seq++) {
        struct heap_item item = {now + prng_below(&p, 50), seq, 0, 0};
        if (heap_len(&h) < 1000 && prng_chance_ppm(&p, 505000)) {
            MUST(heap_push(&h, &item) == 0);
        } else if (heap_pop(&h, &item)) {
            MUST(item.at >= now);
            now = item.at;
        }
    }
}
END_TEST

START_TEST(the_limit_holds)
{
    CLEANUP(heap_deinit) struct heap h = {0};

    heap_init(&h, 17);
    for (size_t i = 0; i < 17; i++) MUST(heap_push(&h, &(struct heap_item){.at = i}) == 0);
    ck_assert_int_eq(heap_push(&h, &(struct heap_item){.at = 0}), -ENOSPC);
    ck_assert_uint_eq(heap_len(&h), 17);
    ck_assert_uint_eq(h.cap, 17);
    heap_deinit(NULL);
}
END_TEST

SUITE_MAIN("heap", comes_out_sorted, pushes_and_pops_may_mix, the_limit_holds)
