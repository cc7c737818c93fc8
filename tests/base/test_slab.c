#include "sim/base/cleanup.h"
#include "sim/base/prng.h"
#include "sim/base/slab.h"
#include "tests/base/suite.h"

#include <stdint.h>
#include <string.h>

START_TEST(objects_are_zeroed_aligned_and_stay)
{
    CLEANUP(slab_deinit) struct slab s = {0};
    static uint32_t ids[10000];
    static void *objects[10000];

    ck_assert_int_eq(slab_init(&s, 40, 10000), 0);
    for (int i = 0; i < 10000; i++) {
        ids[i] = slab_alloc(&s);
        MUST(ids[i] != 0);
        MUST(slab_index(ids[i]) == i);
        objects[i] = slab_get(&s, ids[i]);
        MUST((uintptr_t)objects[i] % 8 == 0);
        for (int j = 0; j < 40; j++) MUST(((char *)objects[i])[j] == 0);
        memset(objects[i], i, 40);
    }
    for (int i = 0; i < 10000; i++) {
        MUST(slab_get(&s, ids[i]) == objects[i]);
        MUST(slab_get_unchecked(&s, ids[i]) == objects[i]);
        for (int j = 0; j < 40; j++) MUST(((char *)objects[i])[j] == (char)i);
    }
    ck_assert_uint_eq(slab_alloc(&s), 0);
    ck_assert_uint_eq(slab_count(&s), 10000);
    ck_assert_uint_le(slab_bytes(&s), slab_bytes_max(&s));
    ck_assert_uint_ge(slab_bytes(&s), 10000 * 40);
}
END_TEST

START_TEST(the_slot_freed_last_is_reused_first_under_a_new_id)
{
    CLEANUP(slab_deinit) struct slab s = {0};

    ck_assert_int_eq(slab_init(&s, 1, 8), 0);
    uint32_t a = slab_alloc(&s), b = slab_alloc(&s), c = slab_alloc(&s);
    *(char *)slab_get(&s, b) = 'b';
    slab_free(&s, a);
    slab_free(&s, b);
    ck_assert_uint_eq(slab_count(&s), 1);
    ck_assert_ptr_null(slab_get(&s, a));
    ck_assert_ptr_null(slab_get(&s, b));
    ck_assert_ptr_nonnull(slab_get(&s, c));

    uint32_t b2 = slab_alloc(&s), a2 = slab_alloc(&s);
    ck_assert_uint_eq(slab_index(b2), slab_index(b));
    ck_assert_uint_eq(slab_index(a2), slab_index(a));
    ck_assert_uint_ne(b2, b);
    ck_assert_ptr_null(slab_get(&s, b));
    ck_assert_int_eq(*(char *)slab_get(&s, b2), 0);
}
END_TEST

START_TEST(foreign_ids_find_nothing)
{
    CLEANUP(slab_deinit) struct slab s = {0};

    ck_assert_int_eq(slab_init(&s, 8, 1000), 0);
    ck_assert_ptr_null(slab_get(&s, 0));
    ck_assert_ptr_null(slab_get(&s, 1 << 24));
    uint32_t id = slab_alloc(&s);
    for (uint32_t generation = 0; generation < 256; generation++)
        for (uint32_t index = 0; index < 3; index++) {
            uint32_t other = generation << 24 | index;
            MUST(other == id ? slab_get(&s, other) != NULL : slab_get(&s, other) == NULL);
        }
    MUST(!slab_get(&s, UINT32_MAX));
}
END_TEST

START_TEST(generations_come_round_without_zero)
{
    CLEANUP(slab_deinit) struct slab s = {0};

    ck_assert_int_eq(slab_init(&s, 8, 1), 0);
    uint32_t first = slab_alloc(&s), id = first;
    for (int i = 0; i < 255; i++) {
        slab_free(&s, id);
        MUST(!slab_get(&s, id));
        MUST(slab_next(&s, 0) == 0);
        id = slab_alloc(&s);
        MUST(id != 0);
        MUST(i == 254 ? id == first : id != first);
    }
}
END_TEST

START_TEST(the_walk_is_in_index_order_and_survives_freeing)
{
    CLEANUP(slab_deinit) struct slab s = {0};
    struct prng p = prng_stream(1, 0, "slab", 0, 0);
    uint32_t seen = 0, before = 0, ids[3000];

    ck_assert_int_eq(slab_init(&s, 100, 3000), 0);
    ck_assert_uint_eq(slab_next(&s, 0), 0);
    for (int i = 0; i < 3000; i++) ids[i] = slab_alloc(&s);
    for (int i = 0; i < 3000; i++)
        if (prng_chance_ppm(&p, 500000)) slab_free(&s, ids[i]);
    uint32_t count = slab_count(&s);
    slab_for_each(id, &s)
    {
        ck_assert(seen == 0 || slab_index(id) > slab_index(before));
        MUST(slab_get(&s, id));
        before = id;
        seen++;
        slab_free(&s, id);
    }
    ck_assert_uint_eq(seen, count);
    ck_assert_uint_eq(slab_count(&s), 0);
}
END_TEST

/* Against a plain table, over many allocations. */
START_TEST(agrees_with_a_table)
{
    enum { N = 500 };
    CLEANUP(slab_deinit) struct slab s = {0};
    struct prng p = prng_stream(2, 0, "slab", 0, 0);
    struct {
        uint32_t id;
        uint64_t value;
    } table[N];
    size_t len = 0;

    ck_assert_int_eq(slab_init(&s, sizeof(uint64_t), N), 0);
    for (int i = 0; i < 200000; i++) {
        if (prng_chance_ppm(&p, 500000)) {
            uint32_t id = slab_alloc(&s);
            MUST((id == 0) == (len == N));
            if (!id) continue;
            table[len].id = id;
            table[len].value = *(uint64_t *)slab_get(&s, id) = prng_u64(&p);
            len++;
        } else if (len) {
            size_t at = prng_below(&p, len);
            MUST(*(uint64_t *)slab_get(&s, table[at].id) == table[at].value);
            slab_free(&s, table[at].id);
            MUST(!slab_get(&s, table[at].id));
            table[at] = table[--len];
        }
        MUST(slab_count(&s) == len);
    }
}
END_TEST

START_TEST(sizes_from_one_byte_to_more_than_a_chunk)
{
    for (size_t size = 1; size < 300000; size = size * 3 + 1) {
        CLEANUP(slab_deinit) struct slab s = {0};

        MUST(slab_init(&s, size, 5) == 0);
        for (int i = 0; i < 5; i++) memset(slab_get(&s, slab_alloc(&s)), 0xff, size);
        MUST(slab_alloc(&s) == 0);
        MUST(slab_bytes(&s) == slab_bytes_max(&s));
    }
    slab_deinit(NULL);
}
END_TEST

START_TEST(sixteen_million_ids)
{
    CLEANUP(slab_deinit) struct slab s = {0};
    uint32_t last = 0;

    ck_assert_int_eq(slab_init(&s, 1, SLAB_LIMIT_MAX), 0);
    ck_assert_uint_lt(slab_bytes(&s), 1 << 20);
    for (uint32_t i = 0; i < SLAB_LIMIT_MAX; i++) last = slab_alloc(&s);
    ck_assert_uint_eq(slab_index(last), SLAB_LIMIT_MAX - 1);
    ck_assert_uint_eq(slab_alloc(&s), 0);
    slab_free(&s, last);
    ck_assert_ptr_null(slab_get(&s, last));
    ck_assert_uint_eq(slab_index(slab_alloc(&s)), SLAB_LIMIT_MAX - 1);
}
END_TEST

SUITE_MAIN("slab", objects_are_zeroed_aligned_and_stay, the_slot_freed_last_is_reused_first_under_a_new_id,
           foreign_ids_find_nothing, generations_come_round_without_zero,
           the_walk_is_in_index_order_and_survives_freeing, agrees_with_a_table,
           sizes_from_one_byte_to_more_than_a_chunk, sixteen_million_ids)
