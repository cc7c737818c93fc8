#include "sim/base/list.h"
#include "tests/base/suite.h"

struct node {
    int value;
    struct list link;
};

static void check_order(const struct list *l, const int *values, size_t n)
{
    size_t i = 0;

    list_for_each(node, l, struct node, link)
    {
        ck_assert_uint_lt(i, n);
        ck_assert_int_eq(node->value, values[i++]);
    }
    ck_assert_uint_eq(i, n);
}

START_TEST(keeps_order_at_both_ends)
{
    struct node n[4] = {{.value = 1}, {.value = 2}, {.value = 3}, {.value = 4}};
    struct list l;

    list_init(&l);
    ck_assert(list_is_empty(&l));
    ck_assert_ptr_null(list_first(&l));
    ck_assert_ptr_null(list_last(&l));
    ck_assert_ptr_null(list_pop_front(&l));
    ck_assert_ptr_null(list_first_entry(&l, struct node, link));
    list_push_back(&l, &n[1].link);
    list_push_back(&l, &n[2].link);
    list_push_front(&l, &n[0].link);
    list_push_back(&l, &n[3].link);
    check_order(&l, (int[]){1, 2, 3, 4}, 4);
    ck_assert_ptr_eq(list_first_entry(&l, struct node, link), &n[0]);
    ck_assert_ptr_eq(list_last(&l), &n[3].link);
    ck_assert_ptr_eq(list_pop_front(&l), &n[0].link);
    check_order(&l, (int[]){2, 3, 4}, 3);
}
END_TEST

START_TEST(an_element_leaves_by_itself)
{
    struct node n[3] = {{.value = 1}, {.value = 2}, {.value = 3}};
    struct list l;

    list_init(&l);
    for (int i = 0; i < 3; i++) list_push_back(&l, &n[i].link);
    list_remove(&n[1].link);
    ck_assert(!list_is_linked(&n[1].link));
    list_remove(&n[1].link);
    check_order(&l, (int[]){1, 3}, 2);
    list_push_back(&l, &n[1].link);
    check_order(&l, (int[]){1, 3, 2}, 3);
}
END_TEST

START_TEST(the_walk_survives_removal)
{
    struct list l;

    list_init(&l);
    for (int i = 0; i < 10; i++) {
        struct node *n = malloc(sizeof(*n));
        n->value = i;
        list_push_back(&l, &n->link);
    }
    list_for_each(node, &l, struct node, link)
    {
        list_remove(&node->link);
        free(node);
    }
    ck_assert(list_is_empty(&l));
}
END_TEST

START_TEST(lists_can_be_joined)
{
    struct node n[4] = {{.value = 1}, {.value = 2}, {.value = 3}, {.value = 4}};
    struct list a, b;

    list_init(&a);
    list_init(&b);
    list_splice_back(&a, &b);
    ck_assert(list_is_empty(&a));
    list_push_back(&a, &n[0].link);
    list_push_back(&a, &n[1].link);
    list_push_back(&b, &n[2].link);
    list_push_back(&b, &n[3].link);
    list_splice_back(&a, &b);
    ck_assert(list_is_empty(&b));
    check_order(&a, (int[]){1, 2, 3, 4}, 4);
    list_splice_back(&b, &a);
    check_order(&b, (int[]){1, 2, 3, 4}, 4);
}
END_TEST

SUITE_MAIN("list", keeps_order_at_both_ends, an_element_leaves_by_itself, the_walk_survives_removal,
           lists_can_be_joined)
