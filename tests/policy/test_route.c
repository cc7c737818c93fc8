#include "sim/policy/route.h"

#include <check.h>
#include <stdlib.h>

static struct route *route_of(uint32_t tunnels, uint32_t connections, uint32_t streams_max)
{
    struct route_options opts = {.tunnels = tunnels, .connections = connections, .streams_max = streams_max};
    struct route *r = NULL;

    ck_assert_int_eq(route_new(&opts, &r), 0);
    return r;
}

static uint32_t take(struct route *r, uint32_t tunnel)
{
    uint32_t connection = UINT32_MAX;

    ck_assert_int_eq(route_take(r, tunnel, &connection), ROUTE_OK);
    return connection;
}

START_TEST(takes_usable_connections_in_turn)
{
    struct route *r = route_of(3, 4, 100);

    for (uint32_t i = 4; i < 8; i++) route_set_usable(r, i, true);
    route_set_usable(r, 6, false);
    route_set_usable(r, 6, false);
    ck_assert_uint_eq(route_usable(r, 1), 3);
    for (int round = 0; round < 3; round++) {
        ck_assert_uint_eq(take(r, 1), 4);
        ck_assert_uint_eq(take(r, 1), 5);
        ck_assert_uint_eq(take(r, 1), 7);
    }
    ck_assert_uint_eq(route_streams(r, 5), 3);
    route_free(r);
}
END_TEST

START_TEST(tells_why_there_is_none)
{
    struct route *r = route_of(2, 2, 1);
    uint32_t connection = 77;

    ck_assert_int_eq(route_take(r, 2, &connection), ROUTE_E_UNKNOWN);
    ck_assert_int_eq(route_take(r, 0, &connection), ROUTE_E_NONE);
    route_set_usable(r, 1, true);
    ck_assert_uint_eq(take(r, 0), 1);
    ck_assert_int_eq(route_take(r, 0, &connection), ROUTE_E_FULL);
    ck_assert_uint_eq(connection, 77);
    route_release(r, 1);
    ck_assert_uint_eq(take(r, 0), 1);
    route_set_usable(r, 1, false);
    ck_assert(!route_is_usable(r, 1));
    ck_assert_int_eq(route_take(r, 0, &connection), ROUTE_E_NONE);
    /* What is there may go on and end. */
    ck_assert_uint_eq(route_streams(r, 1), 1);
    route_release(r, 1);
    ck_assert_uint_eq(route_usable(r, 9), 0);
    route_free(r);
}
END_TEST

START_TEST(fills_every_place_before_it_is_full)
{
    struct route *r = route_of(1, 3, 5);
    uint32_t count[3] = {0}, connection;

    for (uint32_t i = 0; i < 3; i++) route_set_usable(r, i, true);
    for (int i = 0; i < 15; i++) count[take(r, 0)]++;
    ck_assert_int_eq(route_take(r, 0, &connection), ROUTE_E_FULL);
    for (uint32_t i = 0; i < 3; i++) ck_assert_uint_eq(count[i], 5);
    route_free(r);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("route");
    TCase *tc = tcase_create("route");
    SRunner *runner;
    int failed;

    tcase_add_test(tc, takes_usable_connections_in_turn);
    tcase_add_test(tc, tells_why_there_is_none);
    tcase_add_test(tc, fills_every_place_before_it_is_full);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
