#include <check.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sim/live/child.h"
#include "sim/live/tcp.h"

enum { SUPERVISOR, CHILD };

static struct event_base *base;
static struct child_link *link_;
static int control[2], work[2];
static uint64_t epoch;
static int ends;

static void on_go(void *user, uint64_t epoch_ns, uint64_t wall_offset_ns)
{
    epoch = epoch_ns;
}

static void on_end(void *user)
{
    ends++;
}

static void on_exit_word(void *user)
{
    event_base_loopbreak(base);
}

static const struct child_handler handler = {.go = on_go, .end = on_end, .exit = on_exit_word};

static void setup(void)
{
    epoch = 0;
    ends = 0;
    ck_assert_int_eq(tcp_base_new(&base), 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, control), 0);
    ck_assert_int_eq(pipe2(work, O_NONBLOCK), 0);
    ck_assert_int_eq(child_link_new(base, control[CHILD], &handler, NULL, &link_), 0);
}

static void teardown(void)
{
    child_link_free(link_);
    tcp_base_free(base, 0);
    for (int i = 0; i < 2; i++) {
        close(control[i]);
        close(work[i]);
    }
}

static void say(const char *line)
{
    ck_assert_int_eq(send(control[SUPERVISOR], line, strlen(line), 0), (ssize_t)strlen(line));
}

static bool hears(const char *line)
{
    char got[64];
    ssize_t n = recv(control[SUPERVISOR], got, sizeof got, 0);

    return n == (ssize_t)strlen(line) && memcmp(got, line, (size_t)n) == 0;
}

START_TEST(lines_become_calls)
{
    say("go 7 8");
    say("end");
    for (int i = 0; i < 2; i++) event_base_loop(base, EVLOOP_ONCE);
    ck_assert_uint_eq(epoch, 7);
    ck_assert_int_eq(ends, 1);
    child_say(link_, "ended");
    ck_assert(hears("ended"));
    say("exit");
    ck_assert_int_eq(event_base_dispatch(base), 0);
    ck_assert(event_base_got_break(base));
}
END_TEST

static void on_work(evutil_socket_t fd, short what, void *user)
{
    char c;

    if (read(fd, &c, 1) == 1) ++*(int *)user;
}

/* It reads piece by piece, and says that it is idle when nothing is left. */
START_TEST(it_has_settled_when_it_has_nothing_left_to_do)
{
    int done = 0;
    struct event *e = event_new(base, work[0], EV_READ | EV_PERSIST, on_work, &done);

    event_add(e, NULL);
    say("settle");
    event_base_loop(base, EVLOOP_ONCE); /* it idles: told at once */
    event_base_loop(base, EVLOOP_NONBLOCK);
    ck_assert(hears("settled"));
    ck_assert_int_eq(write(work[1], "12345678", 8), 8);
    say("settle");
    for (int i = 0; i < 100 && done < 8; i++) {
        ck_assert_msg(!hears("settled"), "after %d of 8", done);
        event_base_loop(base, EVLOOP_ONCE);
    }
    ck_assert_int_eq(done, 8);
    event_base_loop(base, EVLOOP_NONBLOCK);
    ck_assert(hears("settled"));
    event_base_loop(base, EVLOOP_NONBLOCK);
    ck_assert_msg(!hears("settled"), "once for each time that it was asked");
    event_free(e);
}
END_TEST

START_TEST(a_supervisor_that_is_gone_ends_it)
{
    close(control[SUPERVISOR]);
    ck_assert_int_eq(event_base_dispatch(base), 0);
    ck_assert(event_base_got_break(base));
    control[SUPERVISOR] = dup(control[CHILD]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("child");
    TCase *tests = tcase_create("child");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, lines_become_calls);
    tcase_add_test(tests, it_has_settled_when_it_has_nothing_left_to_do);
    tcase_add_test(tests, a_supervisor_that_is_gone_ends_it);
    suite_add_tcase(suite, tests);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
