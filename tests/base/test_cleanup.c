#include "sim/base/cleanup.h"
#include "tests/base/suite.h"

struct thing {
    int *freed;
};

static void thing_free(struct thing *t)
{
    ++*t->freed;
    free(t);
}

static struct thing *thing_new(int *freed)
{
    struct thing *t = malloc(sizeof(*t));

    t->freed = freed;
    return t;
}

DEFINE_CLEANUP(struct thing *, thing_free)

START_TEST(the_scope_frees_what_it_owns)
{
    int freed = 0;

    {
        CLEANUP(thing_free_p) struct thing *owned = thing_new(&freed);
        CLEANUP(thing_free_p) struct thing *nothing = NULL;
        _cleanup_free_ char *memory = malloc(10);

        ck_assert_ptr_nonnull(owned);
        ck_assert_ptr_null(nothing);
        ck_assert_ptr_nonnull(memory);
    }
    ck_assert_int_eq(freed, 1);
}
END_TEST

static struct thing *give_away(int *freed)
{
    CLEANUP(thing_free_p) struct thing *owned = thing_new(freed);

    return steal_ptr(owned);
}

START_TEST(what_is_given_away_lives)
{
    int freed = 0;
    struct thing *mine = give_away(&freed);

    ck_assert_int_eq(freed, 0);
    thing_free(mine);
    ck_assert_int_eq(freed, 1);
}
END_TEST

SUITE_MAIN("cleanup", the_scope_frees_what_it_owns, what_is_given_away_lives)
