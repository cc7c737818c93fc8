#include "sim/record/counter.h"
#include "sim/record/flowcount.h"
#include "sim/record/ledger.h"
#include "sim/record/metrics.h"
#include "sim/record/span.h"
#include "tests/record/suite.h"

#include <string.h>

/* The contract: names that others read. Each line here is a promise. */
static const char *const metric_names[] = {
    "session.total", "session.total.service",
    "queue.wait",    "sandbox.start",
    "tool.call",     "mcp.call",
    "mcp.attempt",   "tunnel.handshake",
    "tunnel.usable", "tunnel.reconnect",
    "spill.write",   "spill.read",
    "result.post",   "event.delivery",
    "http.request",  "schedule.lag",
    "timer.lag",     "hop.queue",
    "hop.claim",     "hop.cold_start",
    "hop.tunnel",    "hop.gateway",
    "hop.upstream",  "hop.execution",
    "hop.spill",     "hop.return",
    "hop.retry",     "hop.other",
};

START_TEST(every_metric_has_its_name)
{
    ck_assert_uint_eq(sizeof(metric_names) / sizeof(metric_names[0]), METRIC_COUNT);
    for (enum metric m = 0; m < METRIC_COUNT; m++) {
        ck_assert_str_eq(metric_name(m), metric_names[m]);
        ck_assert_uint_eq(metric_find(metric_names[m]), m);
        ck_assert_uint_gt(strlen(metric_description(m)), 10);
        ck_assert_uint_eq(metric_is_hop(m), strncmp(metric_name(m), "hop.", 4) == 0);
    }
    ck_assert_uint_eq(metric_find("session"), METRIC_COUNT);
    ck_assert_uint_eq(metric_find(""), METRIC_COUNT);
}
END_TEST

START_TEST(every_hop_is_a_metric)
{
    for (enum hop h = 0; h < HOP_COUNT; h++) {
        ck_assert(metric_is_hop(hop_metric(h)));
        ck_assert_str_eq(hop_name(h), metric_name(hop_metric(h)) + 4);
    }
    ck_assert_str_eq(hop_name(HOP_COLD_START), "cold_start");
    ck_assert_str_eq(hop_name(HOP_OTHER), "other");
}
END_TEST

START_TEST(every_counter_has_a_name_of_its_own)
{
    for (enum counter c = 0; c < COUNTER_COUNT; c++) {
        ck_assert_ptr_nonnull(counter_name(c));
        ck_assert_uint_eq(counter_find(counter_name(c)), c);
        ck_assert_uint_gt(strlen(counter_description(c)), 5);
    }
    ck_assert_uint_eq(counter_find("bytes"), COUNTER_COUNT);
    ck_assert_uint_eq(counter_find("sandbox_ns"), COUNTER_SANDBOX_NS);
}
END_TEST

START_TEST(every_account_end_and_mark_has_a_name)
{
    static const char *const ends[] = {"completed", "failed", "shed", "lost", "in_flight"};

    for (enum account a = 0; a < ACCOUNT_COUNT; a++) ck_assert_uint_eq(account_find(account_name(a)), a);
    ck_assert_uint_eq(account_find("tunnel"), ACCOUNT_COUNT);
    for (enum ledger_end e = 0; e < LEDGER_END_COUNT; e++) ck_assert_str_eq(ledger_end_name(e), ends[e]);
    for (enum mark m = 0; m < MARK_COUNT; m++) ck_assert_uint_eq(mark_find(mark_name(m)), m);
    ck_assert_uint_eq(mark_find("end"), MARK_COUNT);
}
END_TEST

START_TEST(flows_are_conserved)
{
    static struct flowcount a, b;
    const uint32_t way = WAY(LINK_PROXY_MCP, 1);
    uint32_t kind = 99;

    ck_assert(flowcount_balanced(&a, &kind));
    ck_assert_uint_eq(kind, 99);
    flowcount_add(&a, way, 3, FLOW_EMITTED, 10);
    flowcount_add(&a, way, 3, FLOW_RETURNED, 1);
    flowcount_add(&b, way, 3, FLOW_DECODED, 7);
    flowcount_add(&b, WAY_NONE, 63, FLOW_EMITTED, 1);
    flowcount_add(&b, WAY_NONE, 63, FLOW_CUT, 1);
    flowcount_give_up(&b, way);
    ck_assert(!flowcount_balanced(&a, &kind));
    ck_assert_uint_eq(kind, 3);
    flowcount_merge(&a, &b);
    ck_assert(!flowcount_balanced(&a, NULL));
    flowcount_add(&a, way, 3, FLOW_CUT, 2);
    ck_assert(flowcount_balanced(&a, NULL));
    ck_assert_uint_eq(flowcount_get(&a, way, 3, FLOW_DECODED), 7);
    ck_assert_uint_eq(flowcount_given_up(&a, way), 1);
    ck_assert_uint_eq(flowcount_given_up(&a, WAY_TUNNEL), 0);
    ck_assert_str_eq(flow_fate_name(FLOW_RETURNED), "returned");
}
END_TEST

START_TEST(each_way_balances_by_itself)
{
    static struct flowcount t;

    flowcount_add(&t, WAY(LINK_PROXY_MCP, 0), 3, FLOW_EMITTED, 1);
    flowcount_add(&t, WAY(LINK_PROXY_MCP, 1), 3, FLOW_CUT, 1);
    ck_assert(!flowcount_balanced(&t, NULL));
    ck_assert_uint_eq(flowcount_sum(&t, 3, FLOW_EMITTED), 1);
    ck_assert_uint_eq(flowcount_sum(&t, 3, FLOW_CUT), 1);
}
END_TEST

START_TEST(a_kind_out_of_range_is_a_programmer_error)
{
    static struct flowcount t;

    flowcount_add(&t, 0, FLOWCOUNT_KINDS, FLOW_EMITTED, 1);
}
END_TEST

START_TEST(a_way_out_of_range_is_a_programmer_error)
{
    static struct flowcount t;

    flowcount_add(&t, WAY_COUNT, 0, FLOW_EMITTED, 1);
}
END_TEST

int main(void)
{
    return run_suite(
        "names",
        TESTS(every_metric_has_its_name, every_hop_is_a_metric, every_counter_has_a_name_of_its_own,
              every_account_end_and_mark_has_a_name, flows_are_conserved, each_way_balances_by_itself),
        TESTS(a_kind_out_of_range_is_a_programmer_error, a_way_out_of_range_is_a_programmer_error));
}
