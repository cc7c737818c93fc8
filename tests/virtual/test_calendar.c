#include "sim/base/cleanup.h"
#include "sim/base/heap.h"
#include "sim/base/mix.h"
#include "sim/base/prng.h"
#include "sim/virtual/calendar.h"
#include "tests/base/suite.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

/* A calendar beside its oracle: whatever is done to one is done to the other. */
struct pair {
    struct calendar calendar;
    struct heap oracle;
    uint64_t seq;
    uint64_t shuffle;
    nsec_t now;
};

static void pair_init(struct pair *p, size_t limit, uint64_t shuffle)
{
    *p = (struct pair){.shuffle = shuffle};
    ck_assert_int_eq(calendar_init(&p->calendar, limit), 0);
    heap_init(&p->oracle, limit);
    if (shuffle) calendar_shuffle_ties(&p->calendar, shuffle);
}

static void pair_deinit(struct pair *p)
{
    calendar_deinit(&p->calendar);
    heap_deinit(&p->oracle);
}

static void push(struct pair *p, nsec_t at, uint32_t prio)
{
    uint64_t seq = p->seq++;
    uint64_t hash = mix64_chain(p->shuffle, seq) & ((UINT64_C(1) << CALENDAR_SEQ_BITS) - 1);
    struct heap_item item = {at, p->shuffle ? hash : seq, ~seq, prio};

    MUST(calendar_push(&p->calendar, at, prio, ~seq) == 0);
    MUST(heap_push(&p->oracle, &item) == 0);
    MUST(calendar_len(&p->calendar) == heap_len(&p->oracle));
}

/* Takes one out of both, and compares. */
static void pop(struct pair *p)
{
    struct cal_item is = {.seq = 1};
    struct heap_item should = {.seq = 1};

    MUST(calendar_pop(&p->calendar, &is) == heap_pop(&p->oracle, &should));
    if (is.at != should.at || is.prio != should.prio || is.seq != should.seq || is.payload != should.payload)
        ck_abort_msg("is at %llu prio %u seq %llu, should be at %llu prio %u seq %llu",
                     (unsigned long long)is.at, is.prio, (unsigned long long)is.seq,
                     (unsigned long long)should.at, should.prio, (unsigned long long)should.seq);
    if (is.at > p->now) p->now = is.at;
    MUST(calendar_len(&p->calendar) == heap_len(&p->oracle));
}

static void peek(struct pair *p)
{
    const struct heap_item *first = heap_peek(&p->oracle);

    MUST(calendar_peek_at(&p->calendar) == (first ? first->at : NSEC_MAX));
}

/* A delay of any size: nothing, a few, or any number of bits; now and then never. */
static nsec_t any_delay(struct prng *r, unsigned bits_max)
{
    switch (prng_below(r, 8)) {
    case 0: return 0;
    case 1: return prng_below(r, 3);
    case 2: return prng_chance_ppm(r, 1000) ? NSEC_MAX : 64;
    default: return prng_u64(r) >> (63 - prng_below(r, bits_max));
    }
}

/* One run in phases: each has its own mix of pushes, pops and peeks, its own spread of delays, and its bursts
 * of ties. */
static void run_against_oracle(uint64_t seed, uint64_t shuffle, unsigned bits_max, size_t limit)
{
    CLEANUP(pair_deinit) struct pair p;
    struct prng r = prng_stream(seed, 0, "calendar", bits_max, limit);

    pair_init(&p, limit, shuffle);
    for (int phase = 0; phase < 12; phase++) {
        uint32_t push_ppm = 300000 + prng_below(&r, 500000);
        unsigned bits = 1 + prng_below(&r, bits_max);

        for (int i = 0; i < 1500; i++) {
            size_t room = limit - heap_len(&p.oracle);

            if (prng_chance_ppm(&r, 10000)) {
                nsec_t at = nsec_add(p.now, any_delay(&r, bits));
                uint64_t burst = prng_below(&r, 150);
                for (uint64_t j = 0; j < burst && j < room; j++) push(&p, at, prng_below(&r, 3));
            } else if (prng_chance_ppm(&r, 100000)) {
                peek(&p);
            } else if (room && prng_chance_ppm(&r, push_ppm)) {
                push(&p, nsec_add(p.now, any_delay(&r, bits)), prng_below(&r, 4));
            } else {
                pop(&p);
            }
        }
    }
    while (heap_len(&p.oracle)) pop(&p);
    pop(&p);
    peek(&p);
}

START_TEST(agrees_with_the_heap_event_by_event)
{
    for (uint64_t seed = 0; seed < 60; seed++)
        for (unsigned bits = 4; bits <= 60; bits += 14) run_against_oracle(seed, 0, bits, 100000);
}
END_TEST

START_TEST(agrees_with_the_heap_when_shuffled)
{
    for (uint64_t seed = 1; seed <= 60; seed++) run_against_oracle(seed, seed, 5 + seed % 40, 100000);
}
END_TEST

START_TEST(agrees_with_the_heap_at_its_limit)
{
    for (uint64_t seed = 0; seed < 100; seed++) run_against_oracle(seed, 0, 30, 1 + seed);
}
END_TEST

/* Many pending, as in a real run, where the buckets are many and full. */
START_TEST(agrees_with_the_heap_holding_many)
{
    enum { PENDING = 50000 };
    CLEANUP(pair_deinit) struct pair p;
    struct prng r = prng_stream(7, 0, "hold", 0, 0);

    pair_init(&p, PENDING, 0);
    for (int i = 0; i < PENDING; i++) push(&p, prng_exponential(&r, NSEC_PER_S), 0);
    for (int i = 0; i < 10 * PENDING; i++) {
        pop(&p);
        push(&p, nsec_add(p.now, prng_exponential(&r, NSEC_PER_S)), prng_below(&r, 2));
    }
}
END_TEST

START_TEST(ties_come_in_order_of_priority_and_entering)
{
    CLEANUP(calendar_deinit) struct calendar c = {0};
    struct cal_item item;

    MUST(calendar_init(&c, 100000) == 0);
    for (uint64_t i = 0; i < 99999; i++) MUST(calendar_push(&c, 5000, 2 - i % 3, i) == 0);
    for (uint64_t i = 0; i < 99999; i++) {
        uint64_t prio = i / 33333, nth = i % 33333;
        MUST(calendar_pop(&c, &item));
        MUST(item.prio == prio);
        MUST(item.payload == 3 * nth + 2 - prio);
    }
    MUST(!calendar_pop(&c, &item));
}
END_TEST

/* Fills `ret_order` with the payloads 0 … 9 of ten ties, in the order that the seed gives. */
static void order_of_ties(uint64_t seed, uint64_t ret_order[10])
{
    CLEANUP(calendar_deinit) struct calendar c = {0};
    struct cal_item item;

    MUST(calendar_init(&c, 20) == 0);
    calendar_shuffle_ties(&c, seed);
    for (uint64_t i = 0; i < 10; i++) MUST(calendar_push(&c, 1000, 1, i) == 0);
    MUST(calendar_push(&c, 1000, 0, 77) == 0);
    MUST(calendar_push(&c, 999, 9, 78) == 0);
    MUST(calendar_pop(&c, &item) && item.payload == 78);
    MUST(calendar_pop(&c, &item) && item.payload == 77);
    for (int i = 0; i < 10; i++) {
        MUST(calendar_pop(&c, &item));
        ret_order[i] = item.payload;
    }
}

START_TEST(the_shuffle_is_of_ties_alone_and_the_seeds)
{
    unsigned firsts[10] = {0};

    for (uint64_t seed = 0; seed < 1000; seed++) {
        uint64_t order[10], again[10];
        unsigned seen = 0;

        order_of_ties(seed, order);
        order_of_ties(seed, again);
        ck_assert_mem_eq(order, again, sizeof(order));
        for (int i = 0; i < 10; i++) seen |= 1u << order[i];
        ck_assert_uint_eq(seen, 1023);
        firsts[order[0]]++;
    }
    for (int i = 0; i < 10; i++) ck_assert(firsts[i] > 50 && firsts[i] < 150);
}
END_TEST

START_TEST(peeking_leaves_room_before_what_was_seen)
{
    CLEANUP(pair_deinit) struct pair p;

    pair_init(&p, 1000, 0);
    push(&p, UINT64_C(1) << 50, 0);
    peek(&p);
    for (nsec_t at = 500; at > 0; at--) push(&p, at << 20, 0);
    peek(&p);
    while (heap_len(&p.oracle)) pop(&p);
}
END_TEST

START_TEST(the_ends_of_time)
{
    CLEANUP(pair_deinit) struct pair p;

    pair_init(&p, 1000, 0);
    peek(&p);
    push(&p, NSEC_MAX, 1);
    push(&p, NSEC_MAX, 0);
    push(&p, NSEC_MAX - 1, 0);
    push(&p, 0, 1);
    push(&p, 0, 0);
    for (int i = 0; i < 5; i++) pop(&p);
    for (int i = 0; i < 200; i++) push(&p, NSEC_MAX, i % 3);
    for (int i = 0; i < 201; i++) pop(&p);
}
END_TEST

START_TEST(limit_and_memory_are_bounded)
{
    enum { LIMIT = 100000 };
    CLEANUP(calendar_deinit) struct calendar c = {0};
    struct prng r = prng_stream(8, 0, "bound", 0, 0);
    struct cal_item item;

    MUST(calendar_init(&c, LIMIT) == 0);
    for (int i = 0; i < LIMIT; i++) MUST(calendar_push(&c, any_delay(&r, 60), 0, i) == 0);
    MUST(calendar_push(&c, 0, 0, 0) == -ENOSPC);
    ck_assert_uint_eq(calendar_len(&c), LIMIT);
    size_t bytes = calendar_bytes(&c);
    ck_assert_uint_le(bytes, LIMIT * 50 + (819 << 10));
    for (int i = 0; i < 5 * LIMIT; i++) {
        MUST(calendar_pop(&c, &item));
        MUST(calendar_push(&c, nsec_add(item.at, any_delay(&r, 40)), 0, i) == 0);
    }
    ck_assert_uint_eq(calendar_bytes(&c), bytes);
    calendar_deinit(NULL);
}
END_TEST

START_TEST(the_past_is_closed)
{
    CLEANUP(calendar_deinit) struct calendar c = {0};
    struct cal_item item;

    ck_assert_int_eq(calendar_init(&c, 10), 0);
    ck_assert_int_eq(calendar_push(&c, 10, 0, 0), 0);
    ck_assert(calendar_pop(&c, &item));
    ck_assert_int_eq(calendar_push(&c, 10, 0, 0), 0);
    calendar_push(&c, 9, 0, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("calendar");
    TCase *all = tcase_create("all");

    tcase_set_timeout(all, 300);
    tcase_add_test(all, agrees_with_the_heap_event_by_event);
    tcase_add_test(all, agrees_with_the_heap_when_shuffled);
    tcase_add_test(all, agrees_with_the_heap_at_its_limit);
    tcase_add_test(all, agrees_with_the_heap_holding_many);
    tcase_add_test(all, ties_come_in_order_of_priority_and_entering);
    tcase_add_test(all, the_shuffle_is_of_ties_alone_and_the_seeds);
    tcase_add_test(all, peeking_leaves_room_before_what_was_seen);
    tcase_add_test(all, the_ends_of_time);
    tcase_add_test(all, limit_and_memory_are_bounded);
    tcase_add_test_raise_signal(all, the_past_is_closed, SIGABRT);
    suite_add_tcase(suite, all);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
