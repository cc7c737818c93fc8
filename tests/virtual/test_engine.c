/* What lies between components on the virtual clock, exact to the nanosecond. */
#include "tests/virtual/puppet.h"

static struct plan_link *link_of(enum link_id id)
{
    return &stage.plan.links[id];
}

/* Links
 * ------------------------------------------------------------------------------------------------------ */

START_TEST(rate_and_latency)
{
    stage_begin();
    link_of(LINK_CLIENT_ORCHESTRATOR)->latency_ns = dist_constant(7 * MS);
    link_of(LINK_CLIENT_ORCHESTRATOR)->bytes_per_second = 1000000;
    DO(CLIENT, 10 * MS, ACT_OPEN, 1, .a = 1, .bytes = 1000, .to = ORCHESTRATOR);
    /* The wire is taken until 11 ms … */
    DO(CLIENT, 10 * MS, ACT_OPEN, 2, .a = 2, .bytes = 500, .to = ORCHESTRATOR);
    /* … and free again at 11.5 ms; the other direction is a wire of its own. */
    DO(CLIENT, 11800 * US, ACT_OPEN, 3, .a = 3, .bytes = 1, .to = ORCHESTRATOR);
    DO(ORCHESTRATOR, 19 * MS, ACT_DATA, 1, .a = 4, .bytes = 2000);
    DO(ORCHESTRATOR, 19 * MS, ACT_DATA, 1, .a = 5);
    stage_run();
    ck_assert_uint_eq(came(ORCHESTRATOR, 1), 18 * MS);
    ck_assert_uint_eq(came(ORCHESTRATOR, 2), 18500 * US);
    ck_assert_uint_eq(came(ORCHESTRATOR, 3), 18801 * US);
    ck_assert_uint_eq(came(CLIENT, 4), 28 * MS);
    ck_assert_uint_eq(came(CLIENT, 5), 28 * MS);
    ck_assert_uint_eq(stage.result.end_ns, 1000 * S);
}
END_TEST

START_TEST(a_wire_for_each_pair)
{
    stage_begin();
    link_of(LINK_RUNNER_ORCHESTRATOR)->bytes_per_second = 3;
    for (uint32_t i = 0; i < 3; i++)
        DO(RUNNER(i), 0, ACT_OPEN, 1 + i, .a = 1 + i, .bytes = 1 + i, .to = ORCHESTRATOR);
    stage_run();
    for (uint64_t i = 0; i < 3; i++) ck_assert_uint_eq(came(ORCHESTRATOR, 1 + i), (1 + i) * S / 3);
}
END_TEST

/* Whether `n` messages came to `self` in the order of their numbers, from 1. */
static bool in_order(addr_t self, uint64_t n)
{
    uint64_t next = 1;

    for (uint32_t i = 0; i < stage.seen_count; i++) {
        const struct seen *s = &stage.seen[i];

        if (s->self != self || s->type != EVENT_MSG) continue;
        if (s->a != next++) return false;
    }
    ck_assert_uint_eq(next, n + 1);
    return true;
}

START_TEST(a_flow_keeps_its_order)
{
    /* Latencies overtake each other; several cores too. */
    stage_begin();
    link_of(LINK_CLIENT_ORCHESTRATOR)->latency_ns = dist_uniform(0, 100 * MS);
    stage.plan.hosts[ROLE_ORCHESTRATOR] = (struct plan_host){.cores = 3, .kilobyte_ns = MS};
    stage.options.shuffle_ties = _i;
    DO(CLIENT, 0, ACT_OPEN, 1, .to = ORCHESTRATOR);
    for (uint32_t i = 1; i < 500; i++) DO(CLIENT, (1 + i / 5) * MS, ACT_DATA, 1, .bytes = i * 7919 % 5000);
    stage_run();
    ck_assert(in_order(ORCHESTRATOR, 500));
}
END_TEST

START_TEST(flows_overtake_each_other)
{
    stage_begin();
    link_of(LINK_CLIENT_ORCHESTRATOR)->latency_ns = dist_uniform(0, 100 * MS);
    for (uint32_t i = 1; i <= 200; i++)
        DO(CLIENT, i * MS, ACT_OPEN, i, .a = i, .last = true, .to = ORCHESTRATOR);
    stage_run();
    ck_assert(!in_order(ORCHESTRATOR, 200));
}
END_TEST

/* Hosts
 * ------------------------------------------------------------------------------------------------------ */

START_TEST(a_queue_for_the_cores)
{
    static const struct {
        uint32_t cores;
        nsec_t done_ms[6];
    } cases[] = {{0, {0, 0, 0, 0, 0, 0}},
                 {1, {10, 20, 30, 40, 50, 60}},
                 {2, {10, 10, 20, 20, 30, 30}},
                 {4, {10, 10, 10, 10, 20, 20}},
                 {1024, {10, 10, 10, 10, 10, 10}}};

    stage_begin();
    stage.plan.hosts[ROLE_ORCHESTRATOR] = (struct plan_host){.cores = cases[_i].cores, .message_ns = 10 * MS};
    for (uint32_t i = 0; i < 6; i++)
        DO(CLIENT, S, ACT_OPEN, 1 + i, .a = 1 + i, .last = true, .to = ORCHESTRATOR);
    /* Later, when all is done: nothing is left of the queue. */
    DO(CLIENT, 2 * S, ACT_OPEN, 7, .a = 7, .last = true, .to = ORCHESTRATOR);
    stage_run();
    for (uint32_t i = 0; i < 6; i++)
        ck_assert_uint_eq(came(ORCHESTRATOR, 1 + i), S + cases[_i].done_ms[i] * MS);
    ck_assert_uint_eq(came(ORCHESTRATOR, 7), 2 * S + (cases[_i].cores ? 10 * MS : 0));
}
END_TEST

START_TEST(more_cores_than_a_few)
{
    stage_begin();
    stage.plan.hosts[ROLE_ORCHESTRATOR] = (struct plan_host){.cores = 100, .message_ns = S};
    for (uint32_t i = 1; i <= 101; i++) DO(CLIENT, S, ACT_OPEN, i, .a = i, .last = true, .to = ORCHESTRATOR);
    stage_run();
    ck_assert_uint_eq(came(ORCHESTRATOR, 100), 2 * S);
    ck_assert_uint_eq(came(ORCHESTRATOR, 101), 3 * S);
}
END_TEST

START_TEST(bytes_cost)
{
    stage_begin();
    stage.plan.hosts[ROLE_ORCHESTRATOR] =
        (struct plan_host){.cores = 1, .message_ns = 5 * US, .kilobyte_ns = 1000};
    DO(CLIENT, S, ACT_OPEN, 1, .a = 1, .bytes = 2560, .last = true, .to = ORCHESTRATOR);
    stage_run();
    ck_assert_uint_eq(came(ORCHESTRATOR, 1), S + 7500);
}
END_TEST

START_TEST(a_short_message_waits_for_the_long_one_before_it)
{
    stage_begin();
    stage.plan.hosts[ROLE_ORCHESTRATOR] = (struct plan_host){.cores = 2, .kilobyte_ns = MS};
    DO(CLIENT, S, ACT_OPEN, 1, .a = 1, .bytes = 10240, .to = ORCHESTRATOR);
    DO(CLIENT, S, ACT_DATA, 1, .a = 2, .bytes = 1024);
    /* It comes at the very moment at which the others are done, and costs nothing. */
    DO(CLIENT, S + 10 * MS, ACT_DATA, 1, .a = 3);
    stage_run();
    ck_assert_uint_eq(came(ORCHESTRATOR, 1), S + 10 * MS);
    ck_assert_uint_eq(came(ORCHESTRATOR, 2), S + 10 * MS);
    ck_assert_uint_eq(came(ORCHESTRATOR, 3), S + 10 * MS);
    ck_assert(in_order(ORCHESTRATOR, 3));
}
END_TEST

/* Connections
 * ------------------------------------------------------------------------------------------------ */

static void dialing_stage(void)
{
    stage_begin();
    *link_of(LINK_CLIENT_ORCHESTRATOR) = (struct plan_link){.latency_ns = dist_constant(3 * MS),
                                                            .dial_round_trips = 2,
                                                            .dial_cpu_client_ns = 500 * US,
                                                            .dial_cpu_server_ns = 200 * US,
                                                            .dial_timeout_ns = 15 * S,
                                                            .keep_alive = true,
                                                            .keep_alive_idle_ns = 10 * S};
    stage.plan.hosts[ROLE_ORCHESTRATOR] = (struct plan_host){.cores = 1, .message_ns = 40 * US};
    stage.plan.hosts[ROLE_CLIENT] = (struct plan_host){.cores = 1};
}

#define DIALED (500 * US + 5 * 3 * MS + 240 * US)
#define REUSED (3 * MS + 40 * US)

START_TEST(a_dial_costs_round_trips_and_cpu)
{
    dialing_stage();
    DO(CLIENT, S, ACT_OPEN, 1, .a = 1, .to = ORCHESTRATOR);
    DO(CLIENT, S, ACT_OPEN, 2, .a = 2, .to = ORCHESTRATOR);
    /* What follows on the new connection waits for it, and does not pay again. */
    DO(CLIENT, S + MS, ACT_DATA, 1, .a = 3);
    stage_run();
    ck_assert_uint_eq(came(ORCHESTRATOR, 1), S + DIALED);
    ck_assert_uint_eq(came(ORCHESTRATOR, 3), S + DIALED + 40 * US);
    /* The client's one core shakes hands one after the other. */
    ck_assert_uint_eq(came(ORCHESTRATOR, 2), S + DIALED + 500 * US);
}
END_TEST

START_TEST(a_connection_is_used_again)
{
    dialing_stage();
    DO(CLIENT, 1 * S, ACT_OPEN, 1, .a = 1, .last = true, .reply = true, .to = ORCHESTRATOR);
    /* While it is in use it is not there for others. */
    DO(CLIENT, 1 * S + DIALED, ACT_OPEN, 2, .a = 2, .last = true, .reply = true, .to = ORCHESTRATOR);
    DO(CLIENT, 2 * S, ACT_OPEN, 3, .a = 3, .last = true, .reply = true, .to = ORCHESTRATOR);
    DO(CLIENT, 2 * S, ACT_OPEN, 4, .a = 4, .last = true, .reply = true, .to = ORCHESTRATOR);
    DO(CLIENT, 2 * S, ACT_OPEN, 5, .a = 5, .last = true, .reply = true, .to = ORCHESTRATOR);
    stage_run();
    ck_assert_uint_eq(came(ORCHESTRATOR, 1), S + DIALED);
    ck_assert_uint_eq(came(ORCHESTRATOR, 2), S + 2 * DIALED);
    ck_assert_uint_eq(came(ORCHESTRATOR, 3), 2 * S + REUSED);
    ck_assert_uint_eq(came(ORCHESTRATOR, 4), 2 * S + REUSED + 40 * US);
    ck_assert_uint_eq(came(ORCHESTRATOR, 5), 2 * S + DIALED);
}
END_TEST

START_TEST(an_old_connection_is_not_used_again)
{
    nsec_t idle_at = S + DIALED + 3 * MS; /* the answer costs the client nothing */
    nsec_t again_at = idle_at + 10 * S + (nsec_t)_i;

    dialing_stage();
    DO(CLIENT, S, ACT_OPEN, 1, .a = 1, .last = true, .reply = true, .to = ORCHESTRATOR);
    DO(CLIENT, again_at, ACT_OPEN, 2, .a = 2, .last = true, .reply = true, .to = ORCHESTRATOR);
    stage_run();
    ck_assert_uint_eq(came(CLIENT, 1), idle_at);
    ck_assert_uint_eq(came(ORCHESTRATOR, 2), again_at + (_i ? DIALED : REUSED));
}
END_TEST

START_TEST(no_connection_is_kept_where_the_link_keeps_none)
{
    dialing_stage();
    link_of(LINK_CLIENT_ORCHESTRATOR)->keep_alive = false;
    DO(CLIENT, 1 * S, ACT_OPEN, 1, .a = 1, .last = true, .reply = true, .to = ORCHESTRATOR);
    DO(CLIENT, 2 * S, ACT_OPEN, 2, .a = 2, .last = true, .reply = true, .to = ORCHESTRATOR);
    stage_run();
    ck_assert_uint_eq(came(ORCHESTRATOR, 2), 2 * S + DIALED);
}
END_TEST

START_TEST(a_reset_ends_its_connection)
{
    dialing_stage();
    DO(CLIENT, 1 * S, ACT_OPEN, 1, .a = 1, .to = ORCHESTRATOR);
    DO(CLIENT, 2 * S, ACT_RESET, 1, .a = RESET_CANCEL);
    DO(CLIENT, 3 * S, ACT_OPEN, 2, .a = 2, .last = true, .to = ORCHESTRATOR);
    stage_run();
    ASSERT_RESET(ORCHESTRATOR, 1, RESET_CANCEL, 2 * S + REUSED);
    ck_assert_uint_eq(came(ORCHESTRATOR, 2), 3 * S + DIALED);
}
END_TEST

START_TEST(a_dial_does_not_keep_the_wire)
{
    dialing_stage();
    link_of(LINK_CLIENT_ORCHESTRATOR)->bytes_per_second = 1000000;
    DO(CLIENT, 1 * S, ACT_OPEN, 1, .a = 1, .to = ORCHESTRATOR);
    DO(CLIENT, 2 * S, ACT_OPEN, 2, .a = 2, .bytes = 1000, .to = ORCHESTRATOR);
    DO(CLIENT, 2 * S + MS, ACT_DATA, 1, .a = 3, .bytes = 2000);
    stage_run();
    ck_assert_uint_eq(came(ORCHESTRATOR, 3), 2 * S + MS + 2 * MS + REUSED);
    ck_assert_uint_eq(came(ORCHESTRATOR, 2), 2 * S + DIALED + MS);
}
END_TEST

START_TEST(a_dial_takes_too_long)
{
    dialing_stage();
    link_of(LINK_CLIENT_ORCHESTRATOR)->dial_timeout_ns = 12 * MS;
    DO(CLIENT, S, ACT_OPEN, 1, .a = 1, .to = ORCHESTRATOR);
    DO(CLIENT, S + 2 * MS, ACT_DATA, 1, .a = 2);
    stage_run();
    ASSERT_RESET(CLIENT, 1, RESET_UNREACHABLE, S + 12 * MS);
    ck_assert_uint_eq(came(ORCHESTRATOR, 1), NSEC_MAX);
    ck_assert_uint_eq(came(ORCHESTRATOR, 2), NSEC_MAX);
}
END_TEST

START_TEST(a_dial_waits_for_the_link)
{
    enum fault_kind kind = _i ? FAULT_LINK_STALL : FAULT_LINK_HALF_OPEN;

    dialing_stage();
    FAULT(kind, .at_ns = S, .for_ns = 5 * S, .link = LINK_CLIENT_ORCHESTRATOR);
    FAULT(kind, .at_ns = 20 * S, .for_ns = 50 * S, .link = LINK_CLIENT_ORCHESTRATOR);
    DO(CLIENT, 2 * S, ACT_OPEN, 1, .a = 1, .to = ORCHESTRATOR);
    DO(CLIENT, 20 * S, ACT_OPEN, 2, .a = 2, .to = ORCHESTRATOR);
    stage_run();
    /* The first way is held back, or the first way back is lost until the link is well; then the rest. */
    ck_assert_uint_eq(came(ORCHESTRATOR, 1), 6 * S + (_i ? 4 : 3) * 3 * MS + 240 * US);
    ASSERT_RESET(CLIENT, 2, RESET_UNREACHABLE, 35 * S);
}
END_TEST

START_TEST(nobody_listens)
{
    dialing_stage();
    FAULT(FAULT_KILL, .at_ns = S, .for_ns = S, .target = ORCHESTRATOR);
    FAULT(FAULT_LINK_CUT, .at_ns = 10 * S, .for_ns = S, .link = LINK_CLIENT_ORCHESTRATOR);
    DO(CLIENT, S + 500 * MS, ACT_OPEN, 1, .a = 1, .to = ORCHESTRATOR);
    DO(CLIENT, 2 * S, ACT_OPEN, 2, .a = 2, .to = ORCHESTRATOR);
    DO(CLIENT, 10 * S, ACT_OPEN, 3, .a = 3, .to = ORCHESTRATOR);
    DO(CLIENT, 11 * S, ACT_OPEN, 4, .a = 4, .to = ORCHESTRATOR);
    stage_run();
    ASSERT_RESET(CLIENT, 1, RESET_REFUSED, S + 506 * MS);
    ck_assert_uint_eq(came(ORCHESTRATOR, 2), 2 * S + DIALED);
    ASSERT_RESET(CLIENT, 3, RESET_REFUSED, 10 * S + 6 * MS);
    ck_assert_uint_eq(came(ORCHESTRATOR, 4), 11 * S + DIALED);
}
END_TEST

START_TEST(the_listener_dies_meanwhile)
{
    dialing_stage();
    FAULT(FAULT_KILL, .at_ns = S + MS, .for_ns = S, .target = ORCHESTRATOR);
    DO(CLIENT, S, ACT_OPEN, 1, .a = 1, .to = ORCHESTRATOR);
    stage_run();
    /* It notices when its first message comes to a dead host. */
    ASSERT_RESET(CLIENT, 1, RESET_REFUSED, S + DIALED + 3 * MS);
}
END_TEST

START_TEST(the_listener_is_another_by_then)
{
    dialing_stage();
    FAULT(FAULT_KILL, .at_ns = S + MS, .for_ns = MS, .target = ORCHESTRATOR);
    DO(CLIENT, S, ACT_OPEN, 1, .a = 1, .to = ORCHESTRATOR);
    DO(CLIENT, S + 2 * MS, ACT_OPEN, 2, .a = 2, .to = ORCHESTRATOR);
    stage_run();
    /* What was on its way to the one that died is not for the one that came after it. */
    ASSERT_RESET(CLIENT, 1, RESET_REFUSED, S + DIALED + 3 * MS);
    ck_assert_uint_eq(came(ORCHESTRATOR, 2), S + 2 * MS + DIALED);
}
END_TEST

/* Link faults
 * ------------------------------------------------------------------------------------------------ */

/* Three runners with an answered flow each, 1 to 3, over 5 ms. */
static void runners_stage(void)
{
    stage_begin();
    link_of(LINK_RUNNER_ORCHESTRATOR)->latency_ns = dist_constant(5 * MS);
    for (uint32_t i = 0; i < 3; i++) {
        DO(RUNNER(i), S, ACT_OPEN, 1 + i, .a = 1 + i, .to = ORCHESTRATOR);
        DO(ORCHESTRATOR, 2 * S, ACT_ANSWER, 1 + i, .a = 11 + i);
    }
}

START_TEST(a_cut)
{
    runners_stage();
    FAULT(FAULT_LINK_CUT, .at_ns = 10 * S, .for_ns = S, .link = LINK_RUNNER_ORCHESTRATOR);
    DO(RUNNER(0), 10 * S - MS, ACT_DATA, 1, .a = 21);
    DO(ORCHESTRATOR, 10 * S - 5 * MS, ACT_DATA, 2, .a = 22);
    stage_run();
    for (uint32_t i = 0; i < 3; i++) {
        ASSERT_RESET(ORCHESTRATOR, 1 + i, RESET_CUT, 10 * S);
        ASSERT_RESET(RUNNER(i), 1 + i, RESET_CUT, 10 * S);
    }
    ck_assert_uint_eq(came(ORCHESTRATOR, 21), NSEC_MAX);
    /* The fault comes before what happens at its time. */
    ck_assert_uint_eq(came(RUNNER(1), 22), NSEC_MAX);
    ck_assert_uint_eq(flowcount_sum(recorder_flows(stage.recorder), M_EVENT, FLOW_CUT), 2);
}
END_TEST

START_TEST(a_cut_of_one_instance)
{
    runners_stage();
    *link_of(LINK_RUNNER_ORCHESTRATOR) = (struct plan_link){.latency_ns = dist_constant(5 * MS),
                                                            .dial_round_trips = 1,
                                                            .keep_alive = true,
                                                            .keep_alive_idle_ns = 60 * S};
    FAULT(FAULT_LINK_CUT, .at_ns = 10 * S, .for_ns = S, .link = LINK_RUNNER_ORCHESTRATOR,
          .target = RUNNER(1));
    for (uint32_t i = 0; i < 3; i++) {
        DO(RUNNER(i), 5 * S, ACT_OPEN, 31 + i, .a = 31 + i, .last = true, .reply = true, .to = ORCHESTRATOR);
        DO(RUNNER(i), 20 * S, ACT_OPEN, 41 + i, .a = 41 + i, .last = true, .to = ORCHESTRATOR);
    }
    stage_run();
    ASSERT_RESET(RUNNER(0), 1, 0, NSEC_MAX);
    ASSERT_RESET(RUNNER(1), 2, RESET_CUT, 10 * S);
    ASSERT_RESET(RUNNER(2), 3, 0, NSEC_MAX);
    /* Idle connections elsewhere are still there. */
    ck_assert_uint_eq(came(ORCHESTRATOR, 41), 20 * S + 5 * MS);
    ck_assert_uint_eq(came(ORCHESTRATOR, 42), 20 * S + 15 * MS);
    ck_assert_uint_eq(came(ORCHESTRATOR, 43), 20 * S + 5 * MS);
}
END_TEST

START_TEST(a_cut_of_all_instances_by_name)
{
    runners_stage();
    FAULT(FAULT_LINK_CUT, .at_ns = 10 * S, .for_ns = S, .link = LINK_RUNNER_ORCHESTRATOR, .target = RUNNER(0),
          .all_instances = true);
    stage_run();
    for (uint32_t i = 0; i < 3; i++) ASSERT_RESET(RUNNER(i), 1 + i, RESET_CUT, 10 * S);
}
END_TEST

START_TEST(a_stall)
{
    runners_stage();
    FAULT(FAULT_LINK_STALL, .at_ns = 10 * S, .for_ns = 4 * S, .link = LINK_RUNNER_ORCHESTRATOR,
          .target = RUNNER(0));
    FAULT(FAULT_LINK_STALL, .at_ns = 14 * S, .for_ns = 1 * S, .link = LINK_RUNNER_ORCHESTRATOR,
          .target = RUNNER(0));
    DO(RUNNER(0), 10 * S - 6 * MS, ACT_DATA, 1, .a = 4);
    DO(RUNNER(0), 10 * S - 4 * MS, ACT_DATA, 1, .a = 5);
    DO(RUNNER(0), 12 * S, ACT_DATA, 1, .a = 6);
    /* This one would come just then, held back or not: but not before what was sent before it. */
    DO(RUNNER(0), 15 * S - 5 * MS, ACT_DATA, 1, .a = 7);
    DO(ORCHESTRATOR, 12 * S, ACT_DATA, 1, .a = 30);
    DO(RUNNER(1), 12 * S, ACT_DATA, 2, .a = 31);
    stage_run();
    ck_assert_uint_eq(came(ORCHESTRATOR, 4), 10 * S - MS);
    ck_assert_uint_eq(came(ORCHESTRATOR, 5), 15 * S);
    ck_assert_uint_eq(came(ORCHESTRATOR, 6), 15 * S);
    ck_assert_uint_eq(came(ORCHESTRATOR, 7), 15 * S);
    ck_assert(seen_nth(ORCHESTRATOR, 5, 0) < seen_nth(ORCHESTRATOR, 6, 0));
    ck_assert(seen_nth(ORCHESTRATOR, 6, 0) < seen_nth(ORCHESTRATOR, 7, 0));
    ck_assert_uint_eq(came(RUNNER(0), 30), 15 * S);
    ck_assert_uint_eq(came(ORCHESTRATOR, 31), 12 * S + 5 * MS);
}
END_TEST

START_TEST(a_half_open_link)
{
    runners_stage();
    FAULT(FAULT_LINK_HALF_OPEN, .at_ns = 10 * S, .for_ns = 4 * S, .link = LINK_RUNNER_ORCHESTRATOR);
    DO(RUNNER(0), 11 * S, ACT_DATA, 1, .a = 21);
    DO(ORCHESTRATOR, 11 * S, ACT_DATA, 1, .a = 22);
    /* Flow 1 has a hole by now; flow 2 lost nothing. */
    DO(ORCHESTRATOR, 14 * S - 5 * MS, ACT_DATA, 1, .a = 23);
    DO(ORCHESTRATOR, 14 * S - 5 * MS, ACT_DATA, 2, .a = 24);
    DO(RUNNER(0), 15 * S, ACT_OPEN, 4, .to = ORCHESTRATOR, .reply = true, .a = 25);
    stage_run();
    ck_assert_uint_eq(came(ORCHESTRATOR, 21), 11 * S + 5 * MS);
    ck_assert_uint_eq(came(RUNNER(0), 22), NSEC_MAX);
    ck_assert_uint_eq(came(RUNNER(0), 23), NSEC_MAX);
    ASSERT_RESET(RUNNER(0), 1, RESET_CUT, 14 * S);
    ASSERT_RESET(ORCHESTRATOR, 1, RESET_CUT, 14 * S);
    ck_assert_uint_eq(came(RUNNER(1), 24), 14 * S);
    ck_assert_uint_eq(came(RUNNER(0), 25), 15 * S + 10 * MS);
}
END_TEST

/* It does not matter who speaks first after the fault. */
START_TEST(a_hole_is_found_by_the_dialer_too)
{
    runners_stage();
    FAULT(FAULT_LINK_HALF_OPEN, .at_ns = 10 * S, .for_ns = 4 * S, .link = LINK_RUNNER_ORCHESTRATOR);
    DO(ORCHESTRATOR, 11 * S, ACT_DATA, 1, .a = 22);
    DO(RUNNER(0), 14 * S - 6 * MS, ACT_DATA, 1, .a = 21);
    DO(RUNNER(0), 20 * S, ACT_DATA, 1, .a = 23);
    stage_run();
    ck_assert_uint_eq(came(ORCHESTRATOR, 21), 14 * S - MS);
    ck_assert_uint_eq(came(ORCHESTRATOR, 23), NSEC_MAX);
    ASSERT_RESET(RUNNER(0), 1, RESET_CUT, 20 * S + 5 * MS);
    ASSERT_RESET(ORCHESTRATOR, 1, RESET_CUT, 20 * S + 5 * MS);
}
END_TEST

START_TEST(delay_and_rate_faults)
{
    runners_stage();
    FAULT(FAULT_LINK_DELAY, .at_ns = 10 * S, .for_ns = S, .link = LINK_RUNNER_ORCHESTRATOR,
          .delay_ns = 70 * MS);
    FAULT(FAULT_LINK_RATE, .at_ns = 20 * S, .for_ns = S, .link = LINK_RUNNER_ORCHESTRATOR,
          .bytes_per_second = 1000);
    DO(RUNNER(0), 10 * S, ACT_DATA, 1, .a = 21);
    DO(ORCHESTRATOR, 11 * S - 1, ACT_DATA, 1, .a = 22);
    DO(RUNNER(1), 11 * S, ACT_DATA, 2, .a = 23);
    DO(RUNNER(0), 20 * S, ACT_DATA, 1, .a = 24, .bytes = 100);
    DO(RUNNER(0), 20 * S, ACT_DATA, 1, .a = 25, .bytes = 50);
    DO(RUNNER(1), 21 * S, ACT_DATA, 2, .a = 26, .bytes = 50);
    stage_run();
    ck_assert_uint_eq(came(ORCHESTRATOR, 21), 10 * S + 75 * MS);
    ck_assert_uint_eq(came(RUNNER(0), 22), 11 * S - 1 + 75 * MS);
    ck_assert_uint_eq(came(ORCHESTRATOR, 23), 11 * S + 5 * MS);
    ck_assert_uint_eq(came(ORCHESTRATOR, 24), 20 * S + 105 * MS);
    ck_assert_uint_eq(came(ORCHESTRATOR, 25), 20 * S + 155 * MS);
    ck_assert_uint_eq(came(ORCHESTRATOR, 26), 21 * S + 5 * MS);
}
END_TEST

/* Carriers
 * ----------------------------------------------------------------------------------------------------- */

/* Connector 0 registers (flow 1), the edge opens streams 2 and 3 on that. */
static void carrier_stage(void)
{
    stage_begin();
    link_of(LINK_CONNECTOR_EDGE)->latency_ns = dist_constant(5 * MS);
    DO(CONNECTOR(0), S, ACT_OPEN, 1, .a = 1, .to = EDGE);
    DO(EDGE, 2 * S, ACT_ANSWER, 1, .a = 2);
    DO(EDGE, 3 * S, ACT_OPEN, 2, .a = 3, .to = CONNECTOR(0), .via = 1);
    DO(EDGE, 4 * S, ACT_OPEN, 3, .a = 4, .to = CONNECTOR(0), .via = 1);
}

START_TEST(a_carried_flow_dials_nothing)
{
    carrier_stage();
    link_of(LINK_CONNECTOR_EDGE)->dial_round_trips = 3;
    stage_run();
    ck_assert_uint_eq(came(EDGE, 1), S + 35 * MS);
    ck_assert_uint_eq(came(CONNECTOR(0), 3), 3 * S + 5 * MS);
    ck_assert_uint_eq(came(CONNECTOR(0), 4), 4 * S + 5 * MS);
}
END_TEST

START_TEST(a_lost_carrier_takes_its_flows_along)
{
    carrier_stage();
    DO(CONNECTOR(0), 10 * S, ACT_RESET, 1, .a = RESET_CANCEL);
    /* On its way when the carrier dies: nobody is there for it. */
    DO(EDGE, 10 * S + 2 * MS, ACT_OPEN, 4, .a = 5, .to = CONNECTOR(0), .via = 1);
    stage_run();
    for (uint32_t flow = 2; flow <= 3; flow++) {
        ASSERT_RESET(CONNECTOR(0), flow, RESET_CARRIER, 10 * S);
        ASSERT_RESET(EDGE, flow, RESET_CARRIER, 10 * S + 5 * MS);
    }
    ASSERT_RESET(EDGE, 1, RESET_CANCEL, 10 * S + 5 * MS);
    ASSERT_RESET(EDGE, 4, RESET_CARRIER, 10 * S + 5 * MS);
    ck_assert_uint_eq(came(CONNECTOR(0), 5), NSEC_MAX);
}
END_TEST

START_TEST(a_hole_in_a_carrier_takes_its_flows_along)
{
    carrier_stage();
    FAULT(FAULT_LINK_HALF_OPEN, .at_ns = 10 * S, .for_ns = 2 * S, .link = LINK_CONNECTOR_EDGE);
    DO(EDGE, 11 * S, ACT_DATA, 2, .a = 21);
    DO(CONNECTOR(0), 11 * S, ACT_DATA, 3, .a = 22);
    DO(CONNECTOR(0), 13 * S, ACT_DATA, 3, .a = 23);
    stage_run();
    ck_assert_uint_eq(came(CONNECTOR(0), 21), NSEC_MAX);
    ck_assert_uint_eq(came(EDGE, 22), 11 * S + 5 * MS);
    ck_assert_uint_eq(came(EDGE, 23), NSEC_MAX);
    ASSERT_RESET(CONNECTOR(0), 1, RESET_CUT, 13 * S + 5 * MS);
    ASSERT_RESET(EDGE, 1, RESET_CUT, 13 * S + 5 * MS);
    for (uint32_t flow = 2; flow <= 3; flow++) {
        ASSERT_RESET(CONNECTOR(0), flow, RESET_CARRIER, 13 * S + 5 * MS);
        ASSERT_RESET(EDGE, flow, RESET_CARRIER, 13 * S + 5 * MS);
    }
}
END_TEST

START_TEST(a_finished_stream_is_off_its_carrier)
{
    carrier_stage();
    DO(EDGE, 5 * S, ACT_RESET, 2, .a = RESET_CANCEL);
    DO(EDGE, 6 * S, ACT_OPEN, 4, .a = 5, .to = CONNECTOR(0), .via = 1);
    DO(CONNECTOR(0), 10 * S, ACT_RESET, 1, .a = RESET_CANCEL);
    stage_run();
    ASSERT_RESET(CONNECTOR(0), 2, RESET_CANCEL, 5 * S + 5 * MS);
    ASSERT_RESET(EDGE, 2, 0, NSEC_MAX);
    ASSERT_RESET(EDGE, 3, RESET_CARRIER, 10 * S + 5 * MS);
    ASSERT_RESET(CONNECTOR(0), 4, RESET_CARRIER, 10 * S);
}
END_TEST

/* Kills
 * ------------------------------------------------------------------------------------------------------ */

START_TEST(a_kill_and_a_restart)
{
    runners_stage();
    FAULT(FAULT_KILL, .at_ns = 10 * S, .for_ns = 2 * S, .target = RUNNER(0));
    DO(RUNNER(0), 9 * S, ACT_TIMER, 1, .a = 1, .timer = 11 * S);
    DO(RUNNER(0), 9 * S, ACT_TIMER, 1, .a = 2, .timer = 20 * S);
    DO(RUNNER(1), 9 * S, ACT_TIMER, 1, .a = 3, .timer = 20 * S);
    DO(RUNNER(0), 13 * S, ACT_DATA, 1, .a = 21); /* a timer of the first life, too */
    DO(RUNNER(0), 10 * S - MS, ACT_DATA, 1, .a = 22);
    DO(ORCHESTRATOR, 10 * S - MS, ACT_DATA, 1, .a = 23);
    stage_run();
    ck_assert_uint_eq(event_nth(RUNNER(0), EVENT_CRASH, 0), 10 * S);
    ck_assert_uint_eq(event_nth(RUNNER(0), EVENT_START, 1), 12 * S);
    ck_assert_uint_eq(stage.incarnations[ROLE_RUNNER], 1);
    /* The peer notices after a while; what was sent before still comes. */
    ASSERT_RESET(ORCHESTRATOR, 1, RESET_CUT, 10 * S + 5 * MS);
    ck_assert_uint_eq(came(ORCHESTRATOR, 22), 10 * S + 4 * MS);
    ck_assert_uint_eq(came(RUNNER(0), 23), NSEC_MAX);
    /* No timer of the first life is heard in the second. */
    ck_assert_uint_eq(came(ORCHESTRATOR, 21), NSEC_MAX);
    ck_assert_uint_eq(stage.result.timers_dead, 3);
    ck_assert_uint_ne(event_nth(RUNNER(1), EVENT_TIMER, 2), NSEC_MAX);
    ck_assert_uint_eq(recorder_counter(stage.recorder, COUNTER_ROLE_RESTARTS), 1);
}
END_TEST

START_TEST(what_is_durable_recovers)
{
    runners_stage();
    stage.plan.orchestrator.durable = _i;
    FAULT(FAULT_KILL, .at_ns = 10 * S, .for_ns = 2 * S, .target = ORCHESTRATOR);
    DO(ORCHESTRATOR, 9 * S, ACT_TIMER, 1, .a = 1, .timer = 15 * S);
    DO(RUNNER(0), 11 * S, ACT_OPEN, 7, .a = 7, .to = ORCHESTRATOR);
    stage_run();
    ck_assert_uint_eq(event_nth(ORCHESTRATOR, EVENT_CRASH, 0), _i ? NSEC_MAX : 10 * S);
    ck_assert_uint_eq(event_nth(ORCHESTRATOR, EVENT_RECOVERED, 0), _i ? 12 * S : NSEC_MAX);
    ck_assert_uint_eq(event_nth(ORCHESTRATOR, EVENT_START, 1), _i ? NSEC_MAX : 12 * S);
    for (uint32_t i = 0; i < 3; i++) ASSERT_RESET(RUNNER(i), 1 + i, RESET_CUT, 10 * S + 5 * MS);
    ASSERT_RESET(RUNNER(0), 7, RESET_REFUSED, 11 * S + 10 * MS);
    ck_assert_uint_eq(stage.result.timers_dead, 1);
    /* Nothing is said to ends that are gone. */
    ASSERT_RESET(ORCHESTRATOR, 1, 0, NSEC_MAX);
}
END_TEST

START_TEST(kills_that_overlap)
{
    stage_begin();
    FAULT(FAULT_KILL, .at_ns = 10 * S, .for_ns = 4 * S, .target = RUNNER(0));
    FAULT(FAULT_KILL, .at_ns = 12 * S, .for_ns = 5 * S, .target = RUNNER(0), .all_instances = true);
    FAULT(FAULT_KILL, .at_ns = 20 * S, .for_ns = 5 * S, .target = RUNNER(1));
    FAULT(FAULT_KILL, .at_ns = 25 * S, .for_ns = 5 * S, .target = RUNNER(1));
    FAULT(FAULT_KILL, .at_ns = 30 * S, .for_ns = 5 * S, .target = RUNNER(2));
    FAULT(FAULT_KILL, .at_ns = 31 * S, .target = RUNNER(2)); /* for ever */
    stage.options.shuffle_ties = _i;
    stage_run();
    ck_assert_uint_eq(event_nth(RUNNER(0), EVENT_CRASH, 1), NSEC_MAX);
    ck_assert_uint_eq(event_nth(RUNNER(0), EVENT_START, 1), 17 * S);
    ck_assert_uint_eq(event_nth(RUNNER(1), EVENT_START, 1), 17 * S);
    ck_assert_uint_le(event_nth(RUNNER(1), EVENT_START, 2), 30 * S);
    ck_assert_uint_ge(event_nth(RUNNER(1), EVENT_START, 2), 25 * S);
    ck_assert_uint_eq(event_nth(RUNNER(2), EVENT_START, 2), NSEC_MAX);
    ck_assert_uint_eq(event_nth(RUNNER(2), EVENT_END, 0), NSEC_MAX);
    ck_assert_uint_eq(event_nth(RUNNER(1), EVENT_END, 0), 1000 * S);
}
END_TEST

START_TEST(a_killed_host_keeps_no_connections)
{
    dialing_stage();
    FAULT(FAULT_KILL, .at_ns = 2 * S, .for_ns = MS, .target = ORCHESTRATOR);
    DO(CLIENT, S, ACT_OPEN, 1, .a = 1, .last = true, .reply = true, .to = ORCHESTRATOR);
    DO(CLIENT, 3 * S, ACT_OPEN, 2, .a = 2, .last = true, .reply = true, .to = ORCHESTRATOR);
    stage_run();
    ck_assert_uint_eq(came(ORCHESTRATOR, 2), 3 * S + DIALED);
}
END_TEST

/* The run
 * ---------------------------------------------------------------------------------------------------- */

static nsec_t intervals[16];
static uint32_t interval_count;

static bool on_interval(void *user, nsec_t now)
{
    uint32_t *stop_after = user;

    intervals[interval_count++] = now;
    return interval_count != *stop_after;
}

START_TEST(intervals_and_interruption)
{
    uint32_t stop_after = _i ? 3 : 0;

    stage_begin();
    stage.plan.duration_ns = 9 * S;
    stage.plan.drain_ns = S;
    stage.plan.interval_ns = 2 * S;
    stage.options.on_interval = on_interval;
    stage.options.user = &stop_after;
    interval_count = 0;
    DO(CLIENT, 4 * S, ACT_OPEN, 1, .a = 1, .to = ORCHESTRATOR);
    DO(CLIENT, 10 * S, ACT_DATA, 1, .a = 2);
    DO(CLIENT, 10 * S + 1, ACT_DATA, 1, .a = 3);
    stage_run();
    ck_assert_uint_eq(interval_count, _i ? 3 : 5);
    for (uint32_t i = 0; i < interval_count; i++) ck_assert_uint_eq(intervals[i], (i + 1) * 2 * S);
    ck_assert_uint_eq(stage.result.end_ns, _i ? 6 * S : 10 * S);
    ck_assert_int_eq(stage.result.interrupted, _i);
    /* The end is within. */
    ck_assert_uint_eq(came(ORCHESTRATOR, 2), _i ? NSEC_MAX : 10 * S);
    ck_assert_uint_eq(came(ORCHESTRATOR, 3), NSEC_MAX);
    ck_assert_uint_eq(event_nth(CLIENT, EVENT_END, 0), stage.result.end_ns);
}
END_TEST

START_TEST(a_digest_is_of_the_whole_run)
{
    char first[DIGEST_HEX_LEN + 1];

    runners_stage();
    DO(RUNNER(0), 5 * S, ACT_DATA, 1, .a = 9);
    stage_run();
    memcpy(first, stage.result.digest, sizeof first);
    stage_run();
    ck_assert_str_eq(first, stage.result.digest);
    stage.acts[stage.act_count - 1].a = 10;
    stage_run();
    ck_assert_str_ne(first, stage.result.digest);
    stage.acts[stage.act_count - 1].a = 9;
    stage.acts[stage.act_count - 1].at++;
    stage_run();
    ck_assert_str_ne(first, stage.result.digest);
}
END_TEST

static void add_tests(TCase *tc)
{
    const TTest *const tests[] = {rate_and_latency,
                                  a_wire_for_each_pair,
                                  flows_overtake_each_other,
                                  more_cores_than_a_few,
                                  bytes_cost,
                                  a_short_message_waits_for_the_long_one_before_it,
                                  a_dial_costs_round_trips_and_cpu,
                                  a_connection_is_used_again,
                                  no_connection_is_kept_where_the_link_keeps_none,
                                  a_reset_ends_its_connection,
                                  a_dial_does_not_keep_the_wire,
                                  a_dial_takes_too_long,
                                  nobody_listens,
                                  the_listener_dies_meanwhile,
                                  the_listener_is_another_by_then,
                                  a_cut,
                                  a_cut_of_one_instance,
                                  a_cut_of_all_instances_by_name,
                                  a_stall,
                                  a_half_open_link,
                                  a_hole_is_found_by_the_dialer_too,
                                  a_hole_in_a_carrier_takes_its_flows_along,
                                  delay_and_rate_faults,
                                  a_carried_flow_dials_nothing,
                                  a_lost_carrier_takes_its_flows_along,
                                  a_finished_stream_is_off_its_carrier,
                                  a_kill_and_a_restart,
                                  a_killed_host_keeps_no_connections,
                                  a_digest_is_of_the_whole_run};

    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) tcase_add_test(tc, tests[i]);
    tcase_add_loop_test(tc, a_flow_keeps_its_order, 0, 3);
    tcase_add_loop_test(tc, a_queue_for_the_cores, 0, 5);
    tcase_add_loop_test(tc, an_old_connection_is_not_used_again, 0, 2);
    tcase_add_loop_test(tc, a_dial_waits_for_the_link, 0, 2);
    tcase_add_loop_test(tc, what_is_durable_recovers, 0, 2);
    tcase_add_loop_test(tc, kills_that_overlap, 0, 3);
    tcase_add_loop_test(tc, intervals_and_interruption, 0, 2);
}

int main(void)
{
    Suite *suite = suite_create("engine");
    TCase *tc = tcase_create("engine");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 60);
    add_tests(tc);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
