/* Where a live run may lose messages, and where none may be missing. */
#include "reports/result.h"
#include "reports/table.h"
#include "tests/reports/suite.h"
#include "tests/reports/synthetic.h"

#include <string.h>

#define CALL 2u /* a kind */

static struct synthetic s;

/* A live run without faults. */
static void begin(void)
{
    synthetic_init(&s);
    s.run.clock = "live";
    s.plan.fault_count = 0;
}

static void fault(struct plan_fault f)
{
    s.faults[0] = f;
    s.plan.fault_count = 1;
}

static void kills(enum role role)
{
    fault((struct plan_fault){.kind = FAULT_KILL, .target = ADDR(role, 0)});
}

static struct result *with_counts(uint32_t way, uint64_t emitted, uint64_t decoded)
{
    recorder_flow(s.recorder, way, CALL, FLOW_EMITTED, emitted);
    recorder_flow(s.recorder, way, CALL, FLOW_DECODED, decoded);
    return synthetic_result(&s);
}

/* Whether the run so far may lose one of three messages on the way; ends it. */
static bool may_lose_one(uint32_t way)
{
    CLEANUP(result_free_p) struct result *r = with_counts(way, 3, 2);
    const struct result *all[] = {r};
    bool fits = r->flows_balanced;

    ck_assert_int_eq(results_exit_code(all, 1) == 4, !fits);
    synthetic_deinit(&s);
    return fits;
}

#define WAYS(link) WAY(link, 0), WAY(link, 1)

static const uint32_t all_ways[] = {
    WAYS(LINK_CLIENT_ORCHESTRATOR),
    WAYS(LINK_RUNNER_ORCHESTRATOR),
    WAYS(LINK_ORCHESTRATOR_EDGE),
    WAYS(LINK_CONNECTOR_EDGE),
    WAYS(LINK_CONNECTOR_PROXY),
    WAYS(LINK_PROXY_MCP),
    WAYS(LINK_ORCHESTRATOR_MCP),
    WAYS(LINK_COUNT),
    WAY_NONE,
};

/* Sets up the fault anew for each way, and asserts that messages may be lost on the links of the mask alone.
 */
static void loses_on(void (*set_up)(void), unsigned mask)
{
    for (size_t i = 0; i < sizeof(all_ways) / sizeof(*all_ways); i++) {
        begin();
        set_up();
        ck_assert_msg(may_lose_one(all_ways[i]) == (mask >> WAY_LINK(all_ways[i]) & 1), "way %u",
                      (unsigned)all_ways[i]);
    }
}

#define ON(link)  (1u << (link))
#define ON_TUNNEL ON(LINK_COUNT)

static void nothing(void) {}
static void mcp_kill(void)
{
    kills(ROLE_MCP);
}
static void edge_kill(void)
{
    kills(ROLE_EDGE);
}
static void runner_kill(void)
{
    kills(ROLE_RUNNER);
}
static void orchestrator_kill(void)
{
    kills(ROLE_ORCHESTRATOR);
}
static void link_cut(void)
{
    fault((struct plan_fault){.kind = FAULT_LINK_CUT, .link = LINK_CONNECTOR_PROXY});
}
static void link_latency(void)
{
    s.plan.links[LINK_CLIENT_ORCHESTRATOR].latency_ns = dist_constant(PLAN_RELAY_LATENCY_NS);
}
static void refusals(void)
{
    fault((struct plan_fault){.kind = FAULT_ANSWER, .target = ADDR(ROLE_ORCHESTRATOR, 0), .status = 503});
}
static void worker_crash(void)
{
    fault((struct plan_fault){.kind = FAULT_WORKER_CRASH, .target = ADDR(ROLE_RUNNER, 0), .count = 1});
}
/* Time-outs and losses say nothing of where: the flows that were given up do. */
static void counted_losses(void)
{
    recorder_count(s.recorder, COUNTER_TIMEOUTS, 1);
    recorder_count(s.recorder, COUNTER_LAGGARDS_DROPPED, 1);
    recorder_count(s.recorder, COUNTER_LEASE_EXPIRED, 1);
}
static void laggard(void)
{
    recorder_give_up(s.recorder, WAY(LINK_RUNNER_ORCHESTRATOR, 0));
}
static void late_attempt(void)
{
    recorder_give_up(s.recorder, WAY(LINK_ORCHESTRATOR_EDGE, 1));
}
static void interruption(void)
{
    s.run.interrupted = true;
}

START_TEST(where_nothing_happened_nothing_is_missing)
{
    loses_on(nothing, 0);
    loses_on(refusals, 0);
    loses_on(worker_crash, 0);
    loses_on(counted_losses, 0);
}
END_TEST

START_TEST(a_kill_loses_on_the_links_of_the_killed)
{
    loses_on(mcp_kill, ON(LINK_PROXY_MCP) | ON(LINK_ORCHESTRATOR_MCP));
    loses_on(runner_kill, ON(LINK_RUNNER_ORCHESTRATOR));
    loses_on(edge_kill, ON(LINK_ORCHESTRATOR_EDGE) | ON(LINK_CONNECTOR_EDGE) | ON_TUNNEL);
    loses_on(orchestrator_kill, ON(LINK_CLIENT_ORCHESTRATOR) | ON(LINK_RUNNER_ORCHESTRATOR) |
                                    ON(LINK_ORCHESTRATOR_EDGE) | ON(LINK_ORCHESTRATOR_MCP) | ON_TUNNEL);
}
END_TEST

START_TEST(a_relay_loses_on_its_link_and_what_that_carries)
{
    loses_on(link_cut, ON(LINK_CONNECTOR_PROXY) | ON_TUNNEL);
    loses_on(link_latency, ON(LINK_CLIENT_ORCHESTRATOR));
}
END_TEST

START_TEST(what_was_given_up_loses_on_its_link)
{
    loses_on(laggard, ON(LINK_RUNNER_ORCHESTRATOR));
    loses_on(late_attempt, ON(LINK_ORCHESTRATOR_EDGE) | ON_TUNNEL);
}
END_TEST

START_TEST(an_interrupted_run_loses_anywhere)
{
    loses_on(interruption, ~0u);
}
END_TEST

START_TEST(in_virtual_time_nothing_is_missing)
{
    begin();
    mcp_kill();
    s.run.clock = "virtual";
    ck_assert(!may_lose_one(WAY(LINK_PROXY_MCP, 0)));
}
END_TEST

START_TEST(more_than_was_emitted_is_wrong_anywhere)
{
    CLEANUP(result_free_p) struct result *r = NULL;

    begin();
    interruption();
    r = with_counts(WAY(LINK_PROXY_MCP, 1), 2, 3);
    ck_assert(!r->flows_balanced);
    synthetic_deinit(&s);
}
END_TEST

START_TEST(one_link_does_not_make_up_for_another)
{
    CLEANUP(result_free_p) struct result *lost = NULL;
    CLEANUP(result_free_p) struct result *both = NULL;

    begin();
    lost = with_counts(WAY(LINK_CLIENT_ORCHESTRATOR, 1), 3, 2);
    both = with_counts(WAY(LINK_CLIENT_ORCHESTRATOR, 0), 2, 3);
    ck_assert(!lost->flows_balanced && !both->flows_balanced);
    ck_assert_uint_eq(both->flows.items[1].counts[FLOW_EMITTED], both->flows.items[1].counts[FLOW_DECODED]);
    synthetic_deinit(&s);
}
END_TEST

START_TEST(a_failure_names_link_direction_kind_and_figures)
{
    CLEANUP(result_free_p) struct result *r = NULL;
    CLEANUP(result_free_p) struct result *back = NULL;
    CLEANUP(str_deinit) struct str json = STR_INIT(4u << 20);
    CLEANUP(str_deinit) struct str again = STR_INIT(4u << 20);
    CLEANUP(str_deinit) struct str table = STR_INIT(1u << 20);
    struct report_error error = {""};

    begin();
    mcp_kill();
    recorder_flow(s.recorder, WAY(LINK_PROXY_MCP, 1), CALL, FLOW_EMITTED, 1);
    r = with_counts(WAY(LINK_CLIENT_ORCHESTRATOR, 1), 3, 2);
    ck_assert_int_eq(result_format(r, &json), 0);
    ck_assert_int_eq(result_parse(str_text(&json), str_len(&json), "x", &back, &error), 0);
    ck_assert_int_eq(result_format(back, &again), 0);
    ck_assert_str_eq(str_text(&again), str_text(&json));
    ck_assert_int_eq(table_result(back, &(struct table_options){.colour = false}, &table), 0);
    ck_assert_ptr_nonnull(strstr(
        str_text(&table),
        "BROKEN: messages were lost or doubled (emitted = decoded + returned + cut is wrong): client to "
        "orchestrator (client-orchestrator), error: 3 emitted, 2 decoded, 0 returned, 0 cut; see "
        "flow_links in result.json\n"));
    synthetic_deinit(&s);
}
END_TEST

int main(void)
{
    return run_suite(
        "flows", TESTS(where_nothing_happened_nothing_is_missing, a_kill_loses_on_the_links_of_the_killed,
                       a_relay_loses_on_its_link_and_what_that_carries, what_was_given_up_loses_on_its_link,
                       an_interrupted_run_loses_anywhere, in_virtual_time_nothing_is_missing,
                       more_than_was_emitted_is_wrong_anywhere, one_link_does_not_make_up_for_another,
                       a_failure_names_link_direction_kind_and_figures));
}
