#include "sim/policy/mcp_pool.h"

#include <check.h>
#include <stdlib.h>

static struct mcp_pools pools;

static void setup(void)
{
    struct mcp_pool_options options = {.pools = 2, .streams_max = 2, .queue_max = 2};

    ck_assert_int_eq(mcp_pools_init(&pools, &options), 0);
}

static void teardown(void)
{
    mcp_pools_deinit(&pools);
}

START_TEST(opens_then_waits_then_sheds)
{
    uint32_t a, b, ref;

    ck_assert_int_eq(mcp_pool_submit(&pools, 0, 1, &a), MCP_ADMIT_OPEN);
    ck_assert_int_eq(mcp_pool_submit(&pools, 0, 2, &b), MCP_ADMIT_OPEN);
    ck_assert_int_eq(mcp_pool_submit(&pools, 0, 3, &ref), MCP_ADMIT_WAIT);
    ck_assert_int_eq(mcp_pool_submit(&pools, 0, 4, &ref), MCP_ADMIT_WAIT);
    ck_assert_int_eq(mcp_pool_submit(&pools, 0, 5, &ref), MCP_ADMIT_SHED);
    ck_assert_int_eq(mcp_pool_submit(&pools, 1, 6, &ref), MCP_ADMIT_OPEN);
    ck_assert_uint_eq(mcp_pool_release(&pools, b), 3);
    ck_assert_uint_eq(mcp_pool_stream(&pools, b)->call, 3);
    ck_assert_uint_eq(mcp_pool_release(&pools, b), 4);
    ck_assert_uint_eq(mcp_pool_release(&pools, b), 0);
    ck_assert_uint_eq(mcp_pool_release(&pools, a), 0);
    /* The last one to become idle is used again first. */
    ck_assert_int_eq(mcp_pool_submit(&pools, 0, 7, &ref), MCP_ADMIT_STREAM);
    ck_assert_uint_eq(ref, a);
}
END_TEST

START_TEST(a_closed_stream_makes_room_for_another)
{
    uint32_t a, b, wait, first, opened;

    mcp_pool_submit(&pools, 0, 1, &a);
    mcp_pool_submit(&pools, 0, 2, &b);
    mcp_pool_submit(&pools, 0, 3, &first);
    mcp_pool_submit(&pools, 0, 4, &wait);
    mcp_pool_leave(&pools, 0, first);
    opened = mcp_pool_close(&pools, a);
    ck_assert_uint_ne(opened, 0);
    ck_assert_ptr_null(mcp_pool_stream(&pools, a));
    ck_assert_uint_eq(mcp_pool_stream(&pools, opened)->call, 4);
    ck_assert_uint_eq(mcp_pool_close(&pools, b), 0);
    ck_assert_uint_eq(mcp_pool_release(&pools, opened), 0);
    ck_assert_uint_eq(mcp_pool_close(&pools, opened), 0); /* an idle one */
    ck_assert_uint_eq(pools.pools[0].streams, 0);
    ck_assert_int_eq(mcp_pool_submit(&pools, 0, 9, &a), MCP_ADMIT_OPEN);
    mcp_pools_drop(&pools);
    ck_assert_uint_eq(pools.pools[0].streams, 0);
    ck_assert_uint_eq(slab_count(&pools.streams), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mcp_pool");
    TCase *tc = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, opens_then_waits_then_sheds);
    tcase_add_test(tc, a_closed_stream_makes_room_for_another);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
