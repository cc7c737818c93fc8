#include "sim/base/panic.h"
#include "tests/base/suite.h"

#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs `die` in a child; gives the signal that ended it and what it wrote to stderr. */
static int death_of(void (*die)(void), char *ret_text, size_t size)
{
    int pipe_fd[2], status;
    size_t len = 0;
    ssize_t n;

    ck_assert_int_eq(pipe(pipe_fd), 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        dup2(pipe_fd[1], STDERR_FILENO);
        die();
        _exit(0);
    }
    close(pipe_fd[1]);
    while (len < size - 1 && (n = read(pipe_fd[0], ret_text + len, size - 1 - len)) > 0) len += n;
    ret_text[len] = '\0';
    close(pipe_fd[0]);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void fail_assertion(void)
{
    ASSERT(1 + 1 == 3);
}
static void panic_with_number(void)
{
    PANIC("%d of %s", 7, "nine");
}
static void reach_the_unreachable(void)
{
    UNREACHABLE();
}
static void live_on(void)
{
    ASSERT(true);
}

START_TEST(a_failed_assertion_names_place_and_expression)
{
    char text[512];

    ck_assert_int_eq(death_of(fail_assertion, text, sizeof(text)), SIGABRT);
    ck_assert_ptr_nonnull(strstr(text, "test_panic.c:"));
    ck_assert_ptr_nonnull(strstr(text, "1 + 1 == 3\n"));
}
END_TEST

START_TEST(a_panic_says_its_message)
{
    char text[512];

    ck_assert_int_eq(death_of(panic_with_number, text, sizeof(text)), SIGABRT);
    ck_assert_ptr_nonnull(strstr(text, ": 7 of nine\n"));
    ck_assert_int_eq(death_of(reach_the_unreachable, text, sizeof(text)), SIGABRT);
    ck_assert_ptr_nonnull(strstr(text, "unreachable"));
}
END_TEST

START_TEST(what_holds_is_silent)
{
    char text[512];

    ck_assert_int_eq(death_of(live_on, text, sizeof(text)), 0);
    ck_assert_str_eq(text, "");
}
END_TEST

SUITE_MAIN("panic", a_failed_assertion_names_place_and_expression, a_panic_says_its_message,
           what_holds_is_silent)
