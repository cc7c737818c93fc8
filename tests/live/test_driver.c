/* The live driver's turns and the flight log: an MCP server component whose callers are played by fake wires.
 */
#include <check.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim/live/driver.h"
#include "sim/live/flight.h"
#include "sim/live/tcp.h"
#include "sim/plan/parse.h"
#include "sim/record/recorder.h"
#include "sim/world/limits.h"

static const char scenario[] =
    "{\"schema\":\"windtunnel.scenario/"
    "1\",\"name\":\"t\",\"duration\":\"1s\",\"load\":{\"l\":{\"script\":\"s\",\"rate\":\"1/s\"}},"
    "\"scripts\":{\"s\":{\"turns\":[{\"steps\":[{\"model\":\"1ms\",\"calls\":[{\"mcp\":\"m\"}]}]}]}},"
    "\"mcp\":{\"m\":{\"service_time\":\"5ms\",\"output\":1000,\"concurrency\":2}},\"runners\":{\"r\":{\"cold_"
    "start\":\"1ms\"}}}";

/* A caller: notes what the component sends back. */
struct caller {
    struct wire wire;
    int answers, resets, overs;
    struct msg answer;
};

static struct event_base *base;
static struct plan *plan;
static struct recorder *recorder;
static struct driver *driver;
static struct flight_writer *flight;
static char flight_path[] = "/tmp/test_driver.XXXXXX";
static const addr_t server = ADDR(ROLE_MCP, 0);

static void caller_send(struct wire *w, const struct msg *m)
{
    struct caller *c = (struct caller *)w;

    c->resets += m->type == MSG_RESET;
    c->answers += m->type == MSG_OPEN;
    if (m->type == MSG_OPEN) c->answer = *m;
}

static void caller_over(struct wire *w)
{
    ((struct caller *)w)->overs++;
}

static const struct wire_ops caller_ops = {.send = caller_send, .over = caller_over};

/* Until the caller is answered, more comes in each turn than is handled in it. */
static struct {
    const struct caller *caller;
    nsec_t until; /* given up then */
    bool given_up;
} flood;

enum { TURN = 512 }; /* what a turn takes */

static void pour(int events)
{
    /* Nothing to an MCP server. */
    for (int i = 0; i < events; i++) driver_tell(driver, server, EVENT_DRAIN);
}

static int turns;

static void on_turn(void *user, nsec_t now, const struct event *events, size_t count)
{
    turns++;
    if (flood.caller && !flood.caller->overs) {
        flood.given_up = now > flood.until;
        if (flood.given_up)
            flood.caller = NULL;
        else
            pour(TURN);
    }
    flight_turn(flight, now, events, count);
}

static void on_effects(void *user, nsec_t now, const struct effect *effects, size_t count)
{
    if (count) flight_effects(flight, effects, count);
}

static void load(void)
{
    struct plan_load_options o = {.path = "t.json", .text = scenario, .seed = 7};
    struct plan_error error;
    int r = plan_load(&o, &plan, &error);

    ck_assert_msg(r == 0, "%s", error.text);
}

static void setup(void)
{
    struct recorder_options ro;
    struct driver_options o = {.flows_max = 1000, .on_turn = on_turn, .on_effects = on_effects};
    struct flight_header h = {.build = "test",
                              .document = scenario,
                              .name = "t.json",
                              .deployment = "default",
                              .seed = 7,
                              .components = &server,
                              .component_count = 1};

    load();
    ro = recorder_options_of(plan);
    ck_assert_int_eq(recorder_new(&ro, &recorder), 0);
    ck_assert_int_eq(tcp_base_new(&base), 0);
    strcpy(strrchr(flight_path, '.'), ".XXXXXX");
    close(mkstemp(flight_path));
    ck_assert_int_eq(flight_create(flight_path, &h, &flight), 0);
    o.base = base;
    o.plan = plan;
    ck_assert_int_eq(driver_new(&o, &driver), 0);
    ck_assert_int_eq(driver_add(driver, server, recorder, 0), 0);
}

static void teardown(void)
{
    driver_free(driver);
    flight_close(flight);
    unlink(flight_path);
    event_base_free(base);
    recorder_free(recorder);
    plan_free(plan);
}

static struct msg call(uint64_t attempt)
{
    return (struct msg){.kind = M_MCP_CALL,
                        .flags = MSG_LAST,
                        .bytes = 600,
                        .a = attempt,
                        .b = HOST(0, 0),
                        .c = MCP_OWN_OUTPUT,
                        .d = attempt};
}

/* No second one, which might find a timer due where the machine stood still meanwhile. */
static void one_look(void)
{
    event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

static void run_until_over(struct caller *callers, int n)
{
    for (int i = 0; i < 1000; i++) {
        int overs = 0;

        event_base_loop(base, EVLOOP_ONCE);
        for (int k = 0; k < n; k++) overs += callers[k].overs;
        if (overs == n) return;
    }
    ck_abort_msg("the callers were not answered");
}

/* Replays what was logged so far. */
static int replay(struct flight_replayed *done, struct str *error)
{
    struct world_options wo = {.plan = plan, .roles = world_roles, .flows_max = 1000};
    struct flight_log *log;
    struct world *world;
    int r = flight_read(flight_path, &log, error);

    if (r < 0) return r;
    ck_assert_int_eq(world_new(&wo, &world), 0);
    ck_assert_int_eq(world_add(world, server, NULL, 0), 0);
    r = flight_replay(log, world, NULL, done, error);
    world_free(world);
    flight_log_free(log);
    return r;
}

START_TEST(a_call_is_answered_after_its_service_time)
{
    struct caller c = {.wire.ops = &caller_ops};
    nsec_t before = driver_now(driver);

    ck_assert(driver_accept(driver, server, ADDR(ROLE_PROXY, 0), NULL, &c.wire, call(1)));
    run_until_over(&c, 1);
    ck_assert_int_eq(c.answers, 1);
    ck_assert_int_eq(c.answer.kind, M_MCP_RESULT);
    ck_assert_uint_eq(c.answer.b, 200);
    ck_assert_uint_eq(c.answer.c, 1000);
    ck_assert_uint_ge(driver_now(driver) - before, 5 * NSEC_PER_MS);
    ck_assert_uint_eq(world_flow_count(driver_world(driver)), 0);
}
END_TEST

START_TEST(a_timer_that_is_late_is_recorded_as_such)
{
    struct caller c = {.wire.ops = &caller_ops};
    const struct histogram *lag = recorder_histogram(recorder, METRIC_TIMER_LAG);
    nsec_t due, busy_until;

    ck_assert(driver_accept(driver, server, ADDR(ROLE_PROXY, 0), NULL, &c.wire, call(1)));
    one_look();
    due = driver_now(driver) + 5 * NSEC_PER_MS;
    busy_until = due + 40 * NSEC_PER_MS;
    while (driver_now(driver) < busy_until)
        ;
    run_until_over(&c, 1);
    ck_assert_uint_eq(histogram_count(lag), 1);
    ck_assert_uint_ge(histogram_max(lag), busy_until - due);
    ck_assert_uint_le(histogram_max(lag), driver_now(driver));
}
END_TEST

START_TEST(a_caller_that_resets_hears_nothing_more)
{
    struct caller c = {.wire.ops = &caller_ops};

    ck_assert(driver_accept(driver, server, ADDR(ROLE_PROXY, 0), NULL, &c.wire, call(1)));
    driver_receive(&c.wire, (struct msg){.type = MSG_RESET, .a = RESET_CANCEL});
    driver_receive(&c.wire, (struct msg){.type = MSG_CREDIT, .bytes = 1});
    run_until_over(&c, 1);
    ck_assert_int_eq(c.answers, 0);
    ck_assert_int_eq(c.overs, 1);
}
END_TEST

START_TEST(what_comes_after_the_end_is_counted_as_cut_off)
{
    struct caller c = {.wire.ops = &caller_ops};

    ck_assert(driver_accept(driver, server, ADDR(ROLE_PROXY, 0), NULL, &c.wire, call(1)));
    run_until_over(&c, 1);
    driver_receive(&c.wire, (struct msg){.type = MSG_OPEN, .kind = M_HEARTBEAT});
    driver_receive(&c.wire, (struct msg){.type = MSG_RESET, .a = RESET_CUT});
    event_base_loop(base, EVLOOP_NONBLOCK);
    ck_assert_uint_eq(flowcount_sum(recorder_flows(recorder), M_HEARTBEAT, FLOW_CUT), 1);
    ck_assert_uint_eq(flowcount_sum(recorder_flows(recorder), M_HEARTBEAT, FLOW_DECODED), 0);
    ck_assert_uint_eq(flowcount_sum(recorder_flows(recorder), M_NONE, FLOW_CUT), 0);
}
END_TEST

static uint64_t counted(uint32_t way, enum msg_kind kind, enum flow_fate fate)
{
    return flowcount_get(recorder_flows(recorder), way, kind, fate);
}

START_TEST(each_direction_of_a_link_is_counted)
{
    const uint32_t there = way_between(ROLE_PROXY, ROLE_MCP), back = way_between(ROLE_MCP, ROLE_PROXY);
    struct caller c = {.wire.ops = &caller_ops};

    ck_assert(driver_accept(driver, server, ADDR(ROLE_PROXY, 0), NULL, &c.wire, call(1)));
    run_until_over(&c, 1);
    ck_assert_uint_eq(counted(there, M_MCP_CALL, FLOW_DECODED), 1);
    ck_assert_uint_eq(counted(back, M_MCP_RESULT, FLOW_EMITTED), 1);
    driver_receive(&c.wire, (struct msg){.type = MSG_OPEN, .kind = M_HEARTBEAT});
    driver_cut(&c.wire, &(struct msg){.type = MSG_OPEN, .kind = M_HEARTBEAT});
    ck_assert_uint_eq(counted(there, M_HEARTBEAT, FLOW_CUT), 1);
    ck_assert_uint_eq(counted(back, M_HEARTBEAT, FLOW_CUT), 1);
    driver_returned(&c.wire, M_HEARTBEAT, (struct msg){.type = MSG_OPEN});
    ck_assert_uint_eq(counted(back, M_HEARTBEAT, FLOW_RETURNED), 1);
}
END_TEST

START_TEST(a_flow_that_is_reset_is_given_up_unless_its_surface_reads_on)
{
    const uint32_t way = way_between(ROLE_MCP, ROLE_PROXY);
    struct caller c[2] = {{.wire = {.ops = &caller_ops}}, {.wire = {.ops = &caller_ops, .reads_on = true}}};

    for (uint64_t i = 0; i < 2; i++)
        ck_assert(driver_accept(driver, server, ADDR(ROLE_PROXY, 0), NULL, &c[i].wire, call(i + 1)));
    one_look();
    driver_crash(driver, server);
    ck_assert(c[0].resets == 1 && c[1].resets == 1);
    ck_assert_uint_eq(flowcount_given_up(recorder_flows(recorder), way), 1);
    driver_give_up(&c[1].wire);
    ck_assert_uint_eq(flowcount_given_up(recorder_flows(recorder), way), 2);
}
END_TEST

START_TEST(a_crash_resets_its_callers_and_refuses_new_ones)
{
    struct caller c = {.wire.ops = &caller_ops}, late = {.wire.ops = &caller_ops};

    ck_assert(driver_accept(driver, server, ADDR(ROLE_PROXY, 0), NULL, &c.wire, call(1)));
    one_look();
    driver_crash(driver, server);
    ck_assert_int_eq(c.resets, 1);
    ck_assert_int_eq(c.overs, 1);
    ck_assert(!driver_accept(driver, server, ADDR(ROLE_PROXY, 0), NULL, &late.wire, call(2)));
    ck_assert_int_eq(driver_add(driver, server, recorder, 1), 0);
    ck_assert(driver_accept(driver, server, ADDR(ROLE_PROXY, 0), NULL, &late.wire, call(2)));
    run_until_over(&late, 1);
    ck_assert_int_eq(late.answers, 1);
}
END_TEST

START_TEST(a_replay_gets_every_effect)
{
    enum { N = 50 };
    struct caller c[N];
    struct flight_replayed done;
    struct str error = STR_INIT(4096);

    for (int i = 0; i < N; i++) {
        c[i] = (struct caller){.wire.ops = &caller_ops};
        ck_assert(
            driver_accept(driver, server, ADDR(ROLE_PROXY, 0), NULL, &c[i].wire, call((uint64_t)i + 1)));
        if (i % 7 == 0) event_base_loop(base, EVLOOP_NONBLOCK);
        if (i % 11 == 0) driver_receive(&c[i].wire, (struct msg){.type = MSG_RESET, .a = RESET_CANCEL});
    }
    run_until_over(c, N);
    ck_assert_msg(replay(&done, &error) == 0, "%s", str_text(&error));
    ck_assert_uint_ge(done.events, N);
    ck_assert_uint_gt(done.turns_checked, 5);
    str_deinit(&error);
}
END_TEST

/* A process that does not come to the end of its inbox keeps its times nevertheless. */
START_TEST(what_waits_holds_up_no_timer)
{
    struct caller c = {.wire.ops = &caller_ops};
    struct flight_replayed done;
    struct str error = STR_INIT(4096);

    flood.caller = &c;
    flood.until = driver_now(driver) + NSEC_PER_S;
    ck_assert(driver_accept(driver, server, ADDR(ROLE_PROXY, 0), NULL, &c.wire, call(1)));
    pour(2 * TURN);
    run_until_over(&c, 1);
    ck_assert_int_eq(c.answers, 1);
    ck_assert(!flood.given_up);
    ck_assert_msg(replay(&done, &error) == 0, "%s", str_text(&error));
    str_deinit(&error);
}
END_TEST

static void on_readable(evutil_socket_t fd, short what, void *user)
{
    ++*(int *)user;
}

/* Else the inbox of a process that cannot keep up would grow for as long as that lasts. */
START_TEST(all_that_waits_is_handled_before_more_is_read)
{
    int fd[2], looks = 0;
    struct event *readable;

    event_base_loop(base, EVLOOP_NONBLOCK); /* START */
    ck_assert_int_eq(pipe(fd), 0);
    ck_assert_int_eq(write(fd[1], "x", 1), 1);
    readable = event_new(base, fd[0], EV_READ | EV_PERSIST, on_readable, &looks);
    event_add(readable, NULL);
    pour(5 * TURN);
    turns = 0;
    event_base_loop(base, EVLOOP_ONCE);
    ck_assert_int_eq(turns, 5);
    ck_assert_int_eq(looks, 1);
    event_free(readable);
    close(fd[0]);
    close(fd[1]);
}
END_TEST

/* Each byte of the log, flipped, is found: by its frame's check sum. */
START_TEST(a_flipped_byte_is_named)
{
    struct caller c = {.wire.ops = &caller_ops};
    struct flight_replayed done;
    int fd;
    off_t size;

    ck_assert(driver_accept(driver, server, ADDR(ROLE_PROXY, 0), NULL, &c.wire, call(1)));
    run_until_over(&c, 1);
    fd = open(flight_path, O_RDWR);
    size = lseek(fd, 0, SEEK_END);
    for (off_t at = 0; at < size; at += 3) {
        struct str error = STR_INIT(4096);
        unsigned char byte, wrong;
        int r;

        ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
        wrong = byte ^ 0x10;
        ck_assert_int_eq(pwrite(fd, &wrong, 1, at), 1);
        r = replay(&done, &error);
        ck_assert_msg(r == -EBADMSG, "byte %ld: %d", (long)at, r);
        ck_assert_ptr_nonnull(strstr(str_text(&error), flight_path));
        ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
        str_deinit(&error);
    }
    close(fd);
}
END_TEST

START_TEST(a_log_cut_off_in_its_last_frame_is_replayed_up_to_it)
{
    struct caller c = {.wire.ops = &caller_ops};
    struct flight_replayed whole, cut;
    struct str error = STR_INIT(4096);
    off_t size;
    int fd;

    ck_assert(driver_accept(driver, server, ADDR(ROLE_PROXY, 0), NULL, &c.wire, call(1)));
    run_until_over(&c, 1);
    ck_assert_int_eq(replay(&whole, &error), 0);
    fd = open(flight_path, O_RDWR);
    size = lseek(fd, 0, SEEK_END);
    ck_assert_int_eq(ftruncate(fd, size - 3), 0);
    close(fd);
    ck_assert_msg(replay(&cut, &error) == 0, "%s", str_text(&error));
    ck_assert_uint_eq(cut.turns_checked + 1, whole.turns_checked);
    str_deinit(&error);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("driver");
    TCase *tests = tcase_create("driver");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, a_call_is_answered_after_its_service_time);
    tcase_add_test(tests, a_caller_that_resets_hears_nothing_more);
    tcase_add_test(tests, what_comes_after_the_end_is_counted_as_cut_off);
    tcase_add_test(tests, each_direction_of_a_link_is_counted);
    tcase_add_test(tests, a_flow_that_is_reset_is_given_up_unless_its_surface_reads_on);
    tcase_add_test(tests, a_crash_resets_its_callers_and_refuses_new_ones);
    tcase_add_test(tests, a_replay_gets_every_effect);
    tcase_add_test(tests, what_waits_holds_up_no_timer);
    tcase_add_test(tests, a_timer_that_is_late_is_recorded_as_such);
    tcase_add_test(tests, all_that_waits_is_handled_before_more_is_read);
    tcase_add_test(tests, a_flipped_byte_is_named);
    tcase_add_test(tests, a_log_cut_off_in_its_last_frame_is_replayed_up_to_it);
    suite_add_tcase(suite, tests);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
