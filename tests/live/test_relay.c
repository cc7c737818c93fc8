/* The relay against what a link's faults, latency and rate say (sim/plan/fault_rules.h). */
#include "tests/live/live_test.h"

#include "sim/live/relay.h"

#define MS NSEC_PER_MS

static struct stage {
    struct event_base *base;
    struct plan plan;
    struct plan_fault fault;
    struct tcp_listener *listener;
    struct relay *relay;
    char address[TCP_ADDRESS_MAX];
    struct probe dialer, dialed, late; /* late: who was dialed second */
    nsec_t start;
} stage;

static void on_accept(void *user, struct stream *s, const char *peer)
{
    probe_init(stage.dialed.s ? &stage.late : &stage.dialed, s);
}

static struct plan_link *stage_link(void)
{
    return &stage.plan.links[LINK_RUNNER_ORCHESTRATOR];
}

/* A free port for the relay, which takes no "any". */
static void free_address(char *ret, size_t size)
{
    struct tcp_listener *l;

    ck_assert_int_eq(tcp_listener_new(stage.base, "127.0.0.1:0", NULL, on_accept, NULL, &l), 0);
    snprintf(ret, size, "127.0.0.1:%d", tcp_listener_port(l));
    tcp_listener_free(l);
}

static void stage_begin(void)
{
    memset(&stage, 0, sizeof stage);
    ck_assert_int_eq(tcp_base_new(&stage.base), 0);
    stage.plan.faults = &stage.fault;
    stage.fault.link = LINK_RUNNER_ORCHESTRATOR;
    stage_link()->latency_ns = dist_constant(0);
    stage_link()->dial_round_trips = 1;
}

/* Time 0 is now. */
static void stage_relay(void)
{
    struct relay_options o = {.base = stage.base,
                              .plan = &stage.plan,
                              .link = LINK_RUNNER_ORCHESTRATOR,
                              .from = ADDR(ROLE_RUNNER, 0),
                              .to = ADDR(ROLE_ORCHESTRATOR, 0)};
    char target[TCP_ADDRESS_MAX];

    ck_assert_int_eq(tcp_listener_new(stage.base, "127.0.0.1:0", NULL, on_accept, NULL, &stage.listener), 0);
    snprintf(target, sizeof target, "127.0.0.1:%d", tcp_listener_port(stage.listener));
    free_address(stage.address, sizeof stage.address);
    o.listen = stage.address;
    o.target = target;
    ck_assert_int_eq(relay_new(&o, &stage.relay), 0);
    stage.start = live_test_now();
    relay_start(stage.relay, stage.start);
}

static void stage_call(void)
{
    struct stream *s;

    ck_assert_int_eq(tcp_dial(stage.base, stage.address, NULL, &s), 0);
    probe_init(&stage.dialer, s);
}

static void stage_dial(void)
{
    stage_relay();
    stage_call();
    RUN_UNTIL(stage.base, stage.dialer.ready && stage.dialed.ready);
}

static nsec_t stage_now(void)
{
    return live_test_now() - stage.start;
}

static void stage_run_until(nsec_t at)
{
    while (stage_now() < at) live_test_turn(stage.base);
}

static void stage_end(void)
{
    relay_free(stage.relay);
    tcp_listener_free(stage.listener);
    probe_deinit(&stage.dialer, true);
    probe_deinit(&stage.dialed, true);
    live_test_base_free(stage.base);
}

static void half_open(nsec_t at, nsec_t length)
{
    stage.plan.fault_count = 1;
    stage.fault.kind = FAULT_LINK_HALF_OPEN;
    stage.fault.at_ns = at;
    stage.fault.for_ns = length;
}

static void assert_cut(void)
{
    RUN_UNTIL(stage.base, stage.dialer.ended && stage.dialed.ended);
    ck_assert_int_eq(stage.dialer.end, STREAM_END_RESET);
    ck_assert_int_eq(stage.dialed.end, STREAM_END_RESET);
}

/* Loses "hole" on the way to the dialer. */
static void make_a_hole(void)
{
    stage_begin();
    half_open(200 * MS, 400 * MS);
    stage_dial();
    probe_write(&stage.dialed, "before", 6);
    RUN_UNTIL(stage.base, probe_is(&stage.dialer, "before"));
    stage_run_until(250 * MS);
    probe_write(&stage.dialed, "hole", 4);
    probe_write(&stage.dialer, "through", 7);
    RUN_UNTIL(stage.base, probe_is(&stage.dialed, "through"));
    stage_run_until(650 * MS);
    ck_assert(!stage.dialer.ended && !stage.dialed.ended);
    ck_assert(probe_is(&stage.dialer, "before"));
}

START_TEST(a_hole_resets_the_connection)
{
    make_a_hole();
    probe_write(&stage.dialed, "after", 5);
    assert_cut();
    ck_assert(probe_is(&stage.dialer, "before"));
    stage_end();
}
END_TEST

START_TEST(a_hole_is_found_by_the_dialer_too)
{
    make_a_hole();
    probe_write(&stage.dialer, "after", 5);
    assert_cut();
    ck_assert(probe_is(&stage.dialed, "through"));
    stage_end();
}
END_TEST

START_TEST(who_lost_nothing_lives_on)
{
    stage_begin();
    half_open(100 * MS, 100 * MS);
    stage_dial();
    stage_run_until(250 * MS);
    probe_write(&stage.dialed, "after", 5);
    RUN_UNTIL(stage.base, probe_is(&stage.dialer, "after"));
    stage_end();
}
END_TEST

/* A length is no limit: what is sent at once arrives at once, a latency later. */
START_TEST(a_long_link_carries_as_much)
{
    const size_t size = 6 << 20;
    size_t got = 0;
    nsec_t sent_at;

    stage_begin();
    stage_link()->latency_ns = dist_constant(200 * MS);
    stage_dial();
    sent_at = stage_now();
    probe_write_pattern(&stage.dialed, 0, size);
    while (got < size) {
        live_test_turn(stage.base);
        got += probe_check_pattern(&stage.dialer, got);
        ck_assert_uint_lt(stage_now() - sent_at, 1500 * MS);
    }
    ck_assert_uint_ge(stage_now() - sent_at, 200 * MS);
    stage_end();
}
END_TEST

START_TEST(a_rate_is_kept)
{
    const size_t size = 1 << 20;
    size_t got = 0;
    nsec_t sent_at, took;

    stage_begin();
    stage_link()->bytes_per_second = 2 << 20;
    stage_dial();
    sent_at = stage_now();
    probe_write_pattern(&stage.dialer, 0, size);
    for (; got < size; got += probe_check_pattern(&stage.dialed, got)) live_test_turn(stage.base);
    took = stage_now() - sent_at;
    ck_assert_uint_ge(took, 490 * MS);
    ck_assert_uint_lt(took, 1200 * MS);
    stage_end();
}
END_TEST

/* Who does not read stops who writes, some time. */
START_TEST(a_slow_receiver_stops_the_sender)
{
    const size_t chunk = 8 << 20, most = 200 << 20;
    size_t written = 0, got = 0;

    stage_begin();
    stage_dial();
    stage.dialed.consume = false;
    while (written < most && stream_pending(stage.dialer.s) < 2 * chunk) {
        probe_write_pattern(&stage.dialer, written, chunk);
        written += chunk;
        live_test_run_ms(stage.base, 20);
    }
    ck_assert_uint_lt(written, most);
    stage.dialed.consume = true;
    probe_data(&stage.dialed, stream_input(stage.dialed.s));
    for (; got < written; got += probe_check_pattern(&stage.dialed, got)) live_test_turn(stage.base);
    stage_end();
}
END_TEST

START_TEST(a_stall_holds_everything)
{
    stage_begin();
    stage.plan.fault_count = 1;
    stage.fault.kind = FAULT_LINK_STALL;
    stage.fault.at_ns = 100 * MS;
    stage.fault.for_ns = 300 * MS;
    stage_dial();
    stage_run_until(150 * MS);
    probe_write(&stage.dialed, "a", 1);
    probe_write(&stage.dialer, "b", 1);
    RUN_UNTIL(stage.base, probe_is(&stage.dialer, "a") && probe_is(&stage.dialed, "b"));
    ck_assert_uint_ge(stage_now(), 400 * MS);
    stage_end();
}
END_TEST

/* There and back for TCP, then the way itself. */
START_TEST(what_is_first_said_comes_after_the_handshake)
{
    nsec_t dialed_at;

    stage_begin();
    stage_link()->latency_ns = dist_constant(100 * MS);
    stage_relay();
    dialed_at = stage_now();
    stage_call();
    RUN_UNTIL(stage.base, stage.dialer.ready);
    probe_write(&stage.dialer, "a", 1);
    RUN_UNTIL(stage.base, stage.dialed.ready && probe_is(&stage.dialed, "a"));
    ck_assert_uint_ge(stage_now() - dialed_at, 300 * MS);
    ck_assert_uint_lt(stage_now() - dialed_at, 600 * MS);
    stage_end();
}
END_TEST

/* What a new connection has to say takes no time of the link before it is open. */
START_TEST(a_dial_holds_up_nobody)
{
    struct probe other;
    struct stream *s;
    nsec_t sent_at;

    stage_begin();
    stage_link()->latency_ns = dist_constant(400 * MS);
    stage_link()->bytes_per_second = 2 << 20;
    stage_dial();
    ck_assert_int_eq(tcp_dial(stage.base, stage.address, NULL, &s), 0);
    probe_init(&other, s);
    RUN_UNTIL(stage.base, other.ready);
    probe_write(&other, "hello", 5);
    live_test_run_ms(stage.base, 20);
    sent_at = stage_now();
    probe_write(&stage.dialer, "a", 1);
    RUN_UNTIL(stage.base, probe_is(&stage.dialed, "a"));
    ck_assert_uint_lt(stage_now() - sent_at, 750 * MS);
    RUN_UNTIL(stage.base, stage.late.ready && probe_is(&stage.late, "hello"));
    probe_deinit(&other, true);
    probe_deinit(&stage.late, true);
    stage_end();
}
END_TEST

START_TEST(a_cut_is_one_also_while_the_target_is_down)
{
    struct plan_fault faults[] = {
        {.kind = FAULT_KILL, .at_ns = 100 * MS, .for_ns = 5000 * MS, .target = ADDR(ROLE_ORCHESTRATOR, 0)},
        {.kind = FAULT_LINK_CUT, .at_ns = 200 * MS, .for_ns = 100 * MS, .link = LINK_RUNNER_ORCHESTRATOR}};

    stage_begin();
    stage.plan.faults = faults;
    stage.plan.fault_count = 2;
    stage_dial();
    stage_run_until(150 * MS);
    ck_assert(!stage.dialer.ended && !stage.dialed.ended);
    assert_cut();
    ck_assert_uint_lt(stage_now(), 1000 * MS);
    stage_end();
}
END_TEST

START_TEST(who_dials_a_target_that_is_down_is_refused)
{
    stage_begin();
    stage.plan.fault_count = 1;
    stage.fault.kind = FAULT_KILL;
    stage.fault.target = ADDR(ROLE_ORCHESTRATOR, 0);
    stage.fault.at_ns = 100 * MS;
    stage.fault.for_ns = 400 * MS;
    stage_relay();
    stage_run_until(200 * MS);
    stage_call();
    RUN_UNTIL(stage.base, stage.dialer.ended);
    ck_assert(!stage.dialer.ready);
    ck_assert_int_eq(stage.dialer.end, STREAM_END_REFUSED);
    probe_deinit(&stage.dialer, true);
    stage_run_until(550 * MS);
    stage_call();
    RUN_UNTIL(stage.base, stage.dialer.ready && stage.dialed.ready);
    stage_end();
}
END_TEST

static void add(TCase *tc)
{
    tcase_add_test(tc, what_is_first_said_comes_after_the_handshake);
    tcase_add_test(tc, a_dial_holds_up_nobody);
    tcase_add_test(tc, a_cut_is_one_also_while_the_target_is_down);
    tcase_add_test(tc, who_dials_a_target_that_is_down_is_refused);
    tcase_add_test(tc, a_hole_resets_the_connection);
    tcase_add_test(tc, a_hole_is_found_by_the_dialer_too);
    tcase_add_test(tc, who_lost_nothing_lives_on);
    tcase_add_test(tc, a_long_link_carries_as_much);
    tcase_add_test(tc, a_rate_is_kept);
    tcase_add_test(tc, a_slow_receiver_stops_the_sender);
    tcase_add_test(tc, a_stall_holds_everything);
}

int main(void)
{
    return live_test_main("relay", add);
}
