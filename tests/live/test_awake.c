/* Processors that are kept awake: one process each, out of everybody's way, and never one too long. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sim/live/awake.h"
#include "tests/base/suite.h"

#define PATIENCE_MS 20000

static size_t processors(void)
{
    cpu_set_t all;

    ck_assert_int_eq(sched_getaffinity(0, sizeof all, &all), 0);
    return (size_t)CPU_COUNT(&all);
}

static bool is_idle(pid_t pid)
{
    cpu_set_t where;

    return sched_getscheduler(pid) == SCHED_IDLE && sched_getaffinity(pid, sizeof where, &where) == 0 &&
           CPU_COUNT(&where) == 1;
}

static bool is_dead(pid_t pid)
{
    return waitpid(pid, NULL, WNOHANG) == pid;
}

static bool comes_true(bool (*what)(pid_t), pid_t pid)
{
    for (int ms = 0; ms < PATIENCE_MS; ms++) {
        if (what(pid)) return true;
        usleep(1000);
    }
    return false;
}

START_TEST(each_processor_has_one_that_gives_way)
{
    struct awake a;

    ck_assert_int_eq(awake_begin(&a), 0);
    ck_assert_uint_eq(a.count, processors() < AWAKE_MAX ? processors() : AWAKE_MAX);
    for (size_t i = 0; i < a.count; i++) {
        ck_assert(comes_true(is_idle, a.pids[i]));
        ck_assert_int_eq(kill(a.pids[i], SIGINT), 0);
        ck_assert_int_eq(kill(a.pids[i], SIGTERM), 0);
    }
    usleep(20000);
    for (size_t i = 0; i < a.count; i++) ck_assert_int_eq(waitpid(a.pids[i], NULL, WNOHANG), 0);
    awake_end(&a);
    ck_assert_uint_eq(a.count, 0);
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
    ck_assert_int_eq(errno, ECHILD);
    awake_end(&a);
}
END_TEST

START_TEST(they_hold_no_descriptor_and_die_with_their_parent)
{
    struct awake a;
    int fds[2];
    pid_t parent;

    /* Orphans come to us: whoever else has them may never ask how they ended, as in a container. */
    ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    ck_assert_int_eq(pipe(fds), 0);
    parent = fork();
    if (parent == 0) {
        if (awake_begin(&a) < 0 || write(fds[1], &a, sizeof a) != sizeof a) _exit(1);
        pause();
        _exit(0);
    }
    close(fds[1]);
    ck_assert_int_eq(read(fds[0], &a, sizeof a), sizeof a);
    ck_assert_uint_gt(a.count, 0);
    ck_assert(comes_true(is_idle, a.pids[0]));
    ck_assert_int_eq(kill(parent, SIGKILL), 0);
    ck_assert_int_eq(waitpid(parent, NULL, 0), parent);
    ck_assert_int_eq(read(fds[0], &a.count, 1), 0); /* nobody can write there any more */
    for (size_t i = 0; i < processors(); i++) ck_assert(comes_true(is_dead, a.pids[i]));
    close(fds[0]);
}
END_TEST

SUITE_MAIN("awake", each_processor_has_one_that_gives_way, they_hold_no_descriptor_and_die_with_their_parent)
