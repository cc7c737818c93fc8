/* What a run needs of the machine: descriptors are counted for each process, raised, and missed by name. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "sim/live/resources.h"
#include "sim/plan/parse.h"

/* 3 tunnels with 2 gateways each and 4 connections; 10 + 2 × 20 workers; 30 users and 40 sessions at once. */
static const char scenario[] =
    "{\"schema\":\"windtunnel.scenario/1\",\"name\":\"t\",\"duration\":\"1s\","
    "\"load\":{\"a\":{\"script\":\"s\",\"process\":\"closed\",\"users\":30},"
    "\"b\":{\"script\":\"s\",\"process\":\"at-once\",\"sessions\":40},\"c\":{\"script\":\"s\",\"rate\":\"9/"
    "s\"}},"
    "\"scripts\":{\"s\":{\"turns\":[{\"steps\":[{\"model\":\"1ms\",\"calls\":[{\"mcp\":\"m\"}]}]}]}},"
    "\"tunnels\":{\"count\":3,\"replicas\":2,\"connections\":4},\"mcp\":{\"m\":{\"service_time\":\"5ms\"}},"
    "\"runners\":{\"p\":{\"workers\":10,\"cold_start\":\"1ms\"},"
    "\"q\":{\"workers\":20,\"instances\":2,\"cold_start\":\"1ms\"}}}";

static struct plan *plan;
static struct layout *layout;

static void setup(void)
{
    struct plan_load_options o = {.path = "t.json", .text = scenario, .seed = 7};
    struct plan_error error;

    ck_assert_msg(plan_load(&o, &plan, &error) == 0, "%s", error.text);
    ck_assert_int_eq(layout_new(plan, 1, &layout), 0);
}

static void teardown(void)
{
    layout_free(layout);
    plan_free(plan);
}

static uint64_t needed(const char *name)
{
    for (size_t i = 0; i < layout->process_count; i++) {
        if (strcmp(layout->processes[i].name, name) == 0)
            return resources_descriptors_needed(plan, &layout->processes[i]);
    }
    ck_abort_msg("there is no process %s", name);
}

static void set_limit(rlim_t soft, rlim_t hard)
{
    struct rlimit limit = {.rlim_cur = soft, .rlim_max = hard};

    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

START_TEST(each_process_needs_what_it_hosts)
{
    uint64_t own = needed("client") - 70;

    ck_assert_uint_eq(needed("orchestrator") - own, 50 + 70);
    ck_assert_uint_eq(needed("edge") - own, 6 * 4);
    ck_assert_uint_eq(needed("gateway-0") - own, 6 * (4 + 1));
    ck_assert_uint_eq(needed("runner-0") - own, 50);
    ck_assert_uint_eq(needed("mcp") - own, 1);
}
END_TEST

START_TEST(the_limit_is_raised)
{
    struct str error = STR_INIT(500);
    struct rlimit limit;

    set_limit(50, 1000);
    ck_assert_int_eq(resources_raise_descriptors(plan, layout, &error), 0);
    ck_assert_uint_eq(str_len(&error), 0);
    getrlimit(RLIMIT_NOFILE, &limit);
    ck_assert_uint_eq(limit.rlim_cur, 1000);
    str_deinit(&error);
}
END_TEST

START_TEST(a_limit_that_is_too_low_is_told_with_the_process)
{
    struct str error = STR_INIT(500);

    set_limit(50, 150);
    ck_assert_int_eq(resources_raise_descriptors(plan, layout, &error), -EMFILE);
    ck_assert_ptr_nonnull(strstr(str_text(&error), "orchestrator: needs at least 184 open descriptors"));
    ck_assert_ptr_nonnull(strstr(str_text(&error), "may have 150"));
    str_deinit(&error);
}
END_TEST

/* The relay is there when a link has a latency of its own, and needs a listener for each pair. */
START_TEST(the_relay_needs_a_listener_for_each_pair)
{
    struct str error = STR_INIT(500);
    char dialed[LAYOUT_ADDRESS_MAX], listening[LAYOUT_ADDRESS_MAX];

    ck_assert_uint_eq(layout->relayed_count, 0);
    layout_free(layout);
    plan->links[LINK_CONNECTOR_EDGE].latency_ns = dist_constant(30 * NSEC_PER_MS);
    ck_assert_int_eq(layout_new(plan, 1, &layout), 0);
    ck_assert_uint_eq(layout->relayed_count, 6);
    layout_dial_address(layout, ADDR(ROLE_CONNECTOR, 5), ADDR(ROLE_EDGE, 0), PORT_CONNECTOR, dialed);
    layout_relay_address(layout, 5, listening);
    ck_assert_str_eq(dialed, listening);
    set_limit(50, 69);
    ck_assert_int_eq(resources_raise_descriptors(plan, layout, &error), -EMFILE);
    ck_assert_ptr_nonnull(strstr(str_text(&error), "relay: needs at least 70"));
    str_deinit(&error);
}
END_TEST

START_TEST(so_many_pairs_have_no_relay)
{
    struct layout *none;

    plan->links[LINK_PROXY_MCP].bytes_per_second = 1000;
    plan->links[LINK_CONNECTOR_PROXY].bytes_per_second = 1000;
    plan->tunnels.count = 16001; /* of two replicas */
    ck_assert_int_eq(layout_new(plan, 1, &none), -E2BIG);
}
END_TEST

static unsigned port_of(enum role role, uint32_t ordinal, enum port port)
{
    char address[LAYOUT_ADDRESS_MAX];

    layout_address(layout, ADDR(role, ordinal), port, address);
    return (unsigned)strtoul(strchr(address, ':') + 1, NULL, 10);
}

/* However many a plan may have. */
START_TEST(no_two_listen_on_one_port)
{
    struct layout *none;

    ck_assert_uint_lt(port_of(ROLE_MCP, 1023, PORT_MCP), port_of(ROLE_PROXY, 0, PORT_PROXY));
    ck_assert_uint_lt(port_of(ROLE_EDGE, 0, PORT_PUBLIC), port_of(ROLE_MCP, 0, PORT_MCP));
    ck_assert_uint_lt(port_of(ROLE_PROXY, LAYOUT_PROXIES_MAX - 1, PORT_PROXY), 65536);
    plan->tunnels.count = LAYOUT_PROXIES_MAX / plan->tunnels.replicas + 1;
    ck_assert_int_eq(layout_new(plan, 1, &none), -ERANGE);
}
END_TEST

/* Also when the shortage is over, but for one that is still open. */
START_TEST(a_shortage_is_noticed)
{
    int fds[200], n = 0;
    uint64_t limit;

    set_limit(100, 100);
    ck_assert(!resources_descriptors_low(&limit));
    ck_assert_uint_eq(limit, 100);
    while ((fds[n] = open("/dev/null", O_RDONLY)) >= 0) n++;
    ck_assert(resources_descriptors_low(&limit));
    for (int i = 0; i < n; i++) {
        if (fds[i] != 96) close(fds[i]);
    }
    ck_assert(resources_descriptors_low(&limit));
    close(96);
    ck_assert(!resources_descriptors_low(&limit));
}
END_TEST

/* Where nobody may have it there is nothing to see but that it works on every kernel, and more than once. */
START_TEST(promptness_may_be_asked_for)
{
    int before = getpriority(PRIO_PROCESS, 0);
    bool real_time = resources_wake_promptly();

    ck_assert(!resources_wake_promptly());
    ck_assert_int_eq(getpriority(PRIO_PROCESS, 0), before);
    ck_assert_int_eq(sched_getscheduler(0), real_time ? SCHED_RR | SCHED_RESET_ON_FORK : SCHED_OTHER);
    if (real_time) resources_wake_as_usual();
    ck_assert_int_eq(sched_getscheduler(0), SCHED_OTHER);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("resources");
    TCase *tests = tcase_create("resources");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, each_process_needs_what_it_hosts);
    tcase_add_test(tests, the_limit_is_raised);
    tcase_add_test(tests, a_limit_that_is_too_low_is_told_with_the_process);
    tcase_add_test(tests, the_relay_needs_a_listener_for_each_pair);
    tcase_add_test(tests, so_many_pairs_have_no_relay);
    tcase_add_test(tests, no_two_listen_on_one_port);
    tcase_add_test(tests, a_shortage_is_noticed);
    tcase_add_test(tests, promptness_may_be_asked_for);
    suite_add_tcase(suite, tests);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
