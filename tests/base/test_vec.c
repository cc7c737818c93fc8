#include "sim/base/vec.h"
#include "tests/base/suite.h"

struct event {
    int kind;
    long value;
};

struct inbox {
    VEC(struct event) events;
};

START_TEST(grows_to_its_limit_and_no_further)
{
    struct inbox in;
    int evaluated = 0;

    vec_init(&in.events, 1001);
    for (long i = 0; i < 1001; i++) ck_assert_int_eq(vec_push(&in.events, (struct event){1, i}), 0);
    ck_assert_int_eq(vec_push(&in.events, (struct event){++evaluated, 0}), -ENOSPC);
    ck_assert_int_eq(evaluated, 0);
    ck_assert_uint_eq(in.events.len, 1001);
    ck_assert_uint_eq(in.events.cap, 1001);
    ck_assert_int_eq(vec_pop(&in.events).value, 1000);

    long next = 0;
    vec_for_each(e, &in.events) ck_assert_int_eq(e->value, next++);
    ck_assert_int_eq(next, 1000);

    struct event *kept = in.events.items;
    vec_clear(&in.events);
    vec_for_each(e, &in.events) ck_abort_msg("not empty");
    ck_assert_int_eq(vec_push(&in.events, (struct event){2, 3}), 0);
    ck_assert_ptr_eq(in.events.items, kept);
    vec_deinit(&in.events);
}
END_TEST

START_TEST(room_can_be_reserved)
{
    VEC(char) bytes;

    vec_init(&bytes, 100);
    ck_assert_int_eq(vec_reserve(&bytes, 101), -ENOSPC);
    ck_assert_int_eq(vec_reserve(&bytes, SIZE_MAX), -ENOSPC);
    ck_assert_ptr_null(bytes.items);
    ck_assert_int_eq(vec_reserve(&bytes, 90), 0);
    char *before = bytes.items;
    for (int i = 0; i < 90; i++) ck_assert_int_eq(vec_push(&bytes, 'x'), 0);
    ck_assert_ptr_eq(bytes.items, before);
    ck_assert_int_eq(vec_reserve(&bytes, 11), -ENOSPC);
    ck_assert_int_eq(vec_reserve(&bytes, 10), 0);
    vec_deinit(&bytes);
}
END_TEST

START_TEST(zeroed_is_empty_and_takes_nothing)
{
    struct inbox in = {0};

    vec_for_each(e, &in.events) ck_abort_msg("not empty");
    ck_assert_int_eq(vec_push(&in.events, (struct event){0}), -ENOSPC);
    vec_deinit(&in.events);
}
END_TEST

SUITE_MAIN("vec", grows_to_its_limit_and_no_further, room_can_be_reserved, zeroed_is_empty_and_takes_nothing)
