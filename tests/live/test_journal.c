/* The orchestrator's journal: killed while it writes the last frame, at each byte of it, it comes back. */
#include <check.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sim/live/driver.h"
#include "sim/live/flight.h"
#include "sim/live/tcp.h"
#include "sim/plan/parse.h"
#include "sim/record/recorder.h"
#include "sim/world/limits.h"

/* Nothing happens by itself: the model takes longer than the test. */
static const char scenario[] =
    "{\"schema\":\"windtunnel.scenario/1\",\"name\":\"t\",\"duration\":\"1h\","
    "\"load\":{\"l\":{\"script\":\"s\",\"rate\":\"1/s\"}},\"scripts\":{\"s\":{\"turns\":[{\"steps\":["
    "{\"model\":\"30min\",\"calls\":[{\"tool\":\"bash\",\"execution\":\"1s\",\"output\":10}]}]}]}},"
    "\"orchestrator\":{\"sessions_max\":10},\"runners\":{\"r\":{\"cold_start\":\"1ms\"}}}";

static const addr_t self = ADDR(ROLE_ORCHESTRATOR, 0);

/* One incarnation. */
struct life {
    struct event_base *base;
    struct driver *driver;
    struct flight_writer *journal;
    struct recorder *recorder;
    /* As they were when the last turn was to be written, of the first incarnation: */
    void *left;
    off_t frame_at;
};

struct caller {
    struct wire wire;
    int overs;
    struct msg answer;
};

static char path[] = "/tmp/test_journal.XXXXXX", copy_path[sizeof path + 4];
static struct plan *plan;
static size_t recorder_bytes;

static void caller_send(struct wire *w, const struct msg *m)
{
    if (m->type == MSG_OPEN) ((struct caller *)w)->answer = *m;
}

static void caller_over(struct wire *w)
{
    ((struct caller *)w)->overs++;
}

static const struct wire_ops caller_ops = {.send = caller_send, .over = caller_over};

static void on_turn(void *user, nsec_t now, const struct event *events, size_t count)
{
    struct life *l = user;
    struct stat st;

    if (l->left) {
        memcpy(l->left, l->recorder, recorder_bytes);
        ck_assert_int_eq(stat(path, &st), 0);
        l->frame_at = st.st_size;
    }
    if (l->journal) flight_turn(l->journal, now, events, count);
}

static void life_begin(struct life *l)
{
    struct driver_options o = {.plan = plan, .flows_max = 1000, .on_turn = on_turn, .user = l};
    struct recorder_options ro = recorder_options_of(plan);

    *l = (struct life){0};
    recorder_bytes = recorder_size(&ro);
    ck_assert_int_eq(recorder_new(&ro, &l->recorder), 0);
    ck_assert_int_eq(tcp_base_new(&l->base), 0);
    o.base = l->base;
    ck_assert_int_eq(driver_new(&o, &l->driver), 0);
}

static void life_end(struct life *l)
{
    driver_free(l->driver);
    flight_close(l->journal);
    event_base_free(l->base);
    recorder_free(l->recorder);
    free(l->left);
}

static struct msg ask(struct life *l, struct msg m)
{
    struct caller c = {.wire.ops = &caller_ops};

    m.flags |= MSG_LAST;
    ck_assert(driver_accept(l->driver, self, ADDR(ROLE_CLIENT, 0), NULL, &c.wire, m));
    for (int i = 0; i < 100 && !c.overs; i++) event_base_loop(l->base, EVLOOP_NONBLOCK);
    ck_assert_int_eq(c.overs, 1);
    return c.answer;
}

static uint64_t create(struct life *l)
{
    struct msg m = ask(l, (struct msg){.kind = M_SESSION_CREATE});

    ck_assert_int_eq(m.kind, M_SESSION);
    return m.a;
}

/* A session that has work, whose item is held, and whose events somebody reads; and then one more session. */
static void live_first(struct life *l, struct caller *reader, uint64_t ret_sessions[2])
{
    struct flight_header h = {.build = "test",
                              .document = scenario,
                              .name = "t.json",
                              .deployment = "default",
                              .seed = 7,
                              .components = &self,
                              .component_count = 1};
    struct msg item;

    life_begin(l);
    l->left = aligned_alloc(RECORDER_ALIGN, recorder_bytes);
    ck_assert_ptr_nonnull(l->left);
    ck_assert_int_eq(flight_create(path, &h, &l->journal), 0);
    ck_assert_int_eq(driver_add(l->driver, self, l->recorder, 0), 0);
    ret_sessions[0] = create(l);
    *reader = (struct caller){.wire.ops = &caller_ops};
    ck_assert(driver_accept(l->driver, self, ADDR(ROLE_CLIENT, 0), NULL, &reader->wire,
                            (struct msg){.kind = M_STREAM, .flags = MSG_LAST, .a = ret_sessions[0]}));
    ck_assert_int_eq(
        ask(l, (struct msg){.kind = M_EVENTS_SEND, .a = ret_sessions[0], .b = EV_USER_MESSAGE, .d = 10}).kind,
        M_OK);
    item = ask(l, (struct msg){.kind = M_WORK_POLL, .b = 1});
    ck_assert_int_eq(item.kind, M_WORK);
    ck_assert_int_eq(ask(l, (struct msg){.kind = M_WORK_ACK, .a = item.a}).kind, M_WORK);
    ret_sessions[1] = create(l);
}

/* The journal as a kill would leave it. */
static void leave(off_t size)
{
    char bytes[65536];
    int from = open(path, O_RDONLY), to = open(copy_path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    ssize_t n = read(from, bytes, sizeof bytes);

    ck_assert(n >= size && n < (ssize_t)sizeof bytes);
    ck_assert_int_eq(write(to, bytes, (size_t)size), size);
    close(from);
    close(to);
}

static void come_back(struct life *l, uint64_t operations)
{
    struct str error = STR_INIT(4096);
    struct flight_replayed done;
    struct flight_log *log;

    life_begin(l);
    ck_assert_msg(flight_read(copy_path, &log, &error) == 0, "%s", str_text(&error));
    recorder_set_enabled(l->recorder, false);
    ledger_pass_over(recorder_ledger_mutable(l->recorder), operations);
    ck_assert_int_eq(driver_attach(l->driver, self, l->recorder, 0), 0);
    ck_assert_msg(flight_replay(log, driver_world(l->driver), l->recorder, &done, &error) == 0, "%s",
                  str_text(&error));
    recorder_set_enabled(l->recorder, true);
    ck_assert_int_eq(flight_append(log, &l->journal), 0);
    flight_recovered(l->journal);
    ck_assert_int_eq(driver_recover(l->driver, self), 0);
    flight_log_free(log);
    str_deinit(&error);
}

/* The books of all incarnations together. */
static void check_books(struct recorder *const *recorders, int n)
{
    struct recorder_options ro = recorder_options_of(plan);
    struct ledger_totals t;
    struct recorder *sum;

    ck_assert_int_eq(recorder_new(&ro, &sum), 0);
    for (int i = 0; i < n; i++) {
        for (enum account a = 0; i < n - 1 && a < ACCOUNT_COUNT; a++)
            ledger_hand_over(recorder_ledger_mutable(recorders[i]), a);
        recorder_merge(sum, recorders[i]);
    }
    ck_assert(ledger_balanced(recorder_ledger(sum)));
    ledger_totals(recorder_ledger(sum), ACCOUNT_TURN, &t);
    ck_assert_uint_eq(t.opened, 0); /* turns are the client's */
    ledger_totals(recorder_ledger(sum), ACCOUNT_WORK, &t);
    ck_assert_uint_ge(t.opened, 1);
    recorder_free(sum);
}

/* Comes back twice from what is left of the journal: `whole`: the last turn stands in it. */
static void check_recovery(const uint64_t sessions[2], struct recorder *dead, bool whole)
{
    uint64_t operations = ledger_operations(recorder_ledger_mutable(dead));
    struct recorder *all[3] = {dead};
    struct life second, third;
    uint64_t made;

    come_back(&second, operations);
    ck_assert_int_eq(ask(&second, (struct msg){.kind = M_SESSION_GET, .a = sessions[0]}).kind, M_SESSION);
    ck_assert_int_eq(ask(&second, (struct msg){.kind = M_SESSION_GET, .a = sessions[1]}).kind,
                     whole ? M_SESSION : M_ERROR);
    made = create(&second);
    ck_assert_uint_eq(made, sessions[1] + whole);
    all[1] = second.recorder;
    operations += ledger_operations(recorder_ledger_mutable(second.recorder));

    come_back(&third, operations);
    ck_assert_int_eq(ask(&third, (struct msg){.kind = M_SESSION_GET, .a = sessions[0]}).kind, M_SESSION);
    ck_assert_int_eq(ask(&third, (struct msg){.kind = M_SESSION_GET, .a = made}).kind, M_SESSION);
    driver_end(third.driver);
    all[2] = third.recorder;
    check_books(all, 3);
    life_end(&second);
    life_end(&third);
}

static struct recorder *left_by(struct life *l)
{
    struct recorder *r;

    ck_assert_int_eq(recorder_attach(l->left, recorder_bytes, &r), 0);
    return r;
}

static void setup(void)
{
    struct plan_load_options o = {.path = "t.json", .text = scenario, .seed = 7};
    struct plan_error error;
    int fd;

    ck_assert_msg(plan_load(&o, &plan, &error) == 0, "%s", error.text);
    strcpy(strrchr(path, '.'), ".XXXXXX");
    fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    close(fd);
    snprintf(copy_path, sizeof copy_path, "%s.cut", path);
}

static void teardown(void)
{
    unlink(path);
    unlink(copy_path);
    plan_free(plan);
}

START_TEST(killed_at_any_byte_of_the_last_frame_it_comes_back)
{
    uint64_t sessions[2];
    struct caller reader;
    struct life first;
    struct stat st;
    void *left;

    live_first(&first, &reader, sessions);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_gt(st.st_size - first.frame_at, 80);
    left = malloc(recorder_bytes);
    memcpy(left, first.left, recorder_bytes);
    for (off_t size = first.frame_at; size <= st.st_size; size++) {
        memcpy(first.left, left, recorder_bytes);
        leave(size);
        check_recovery(sessions, left_by(&first), size == st.st_size);
    }
    free(left);
    life_end(&first);
}
END_TEST

START_TEST(killed_after_the_last_turn_it_comes_back)
{
    uint64_t sessions[2];
    struct caller reader;
    struct life first;
    struct stat st;

    live_first(&first, &reader, sessions);
    ck_assert_int_eq(stat(path, &st), 0);
    leave(st.st_size);
    check_recovery(sessions, first.recorder, true);
    life_end(&first);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("journal");
    TCase *tests = tcase_create("journal");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, killed_at_any_byte_of_the_last_frame_it_comes_back);
    tcase_add_test(tests, killed_after_the_last_turn_it_comes_back);
    suite_add_tcase(suite, tests);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
