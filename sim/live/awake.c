#include "sim/live/awake.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* The child: computes nothing, for ever. Whatever it cannot have, it goes: it must not take time from others.
 */
static void compute(int processor, pid_t parent)
{
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    struct sched_param no_priority = {0};
    cpu_set_t here;

    CPU_ZERO(&here);
    CPU_SET(processor, &here);
    /* An end by one of these would be the parent's to notice, who may be asked to end by the same. */
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++) signal(ignored[i], SIG_IGN);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent) _exit(1);
    if (sched_setscheduler(0, SCHED_IDLE, &no_priority) < 0) _exit(1);
    if (sched_setaffinity(0, sizeof here, &here) < 0) _exit(1);
    prctl(PR_SET_NAME, "awake");
    close_range(0, ~0U, 0);
    for (;;) relax();
}

static int start(struct awake *a, int processor)
{
    pid_t parent = getpid(), pid = fork();

    if (pid == 0) compute(processor, parent);
    if (pid < 0) return -errno;
    a->pids[a->count++] = pid;
    return 0;
}

int awake_begin(struct awake *ret)
{
    cpu_set_t all;
    int r = 0;

    *ret = (struct awake){0};
    if (sched_getaffinity(0, sizeof all, &all) < 0) return -errno;
    for (int i = 0; r == 0 && i < CPU_SETSIZE && ret->count < AWAKE_MAX; i++)
        if (CPU_ISSET(i, &all)) r = start(ret, i);
    if (r < 0) awake_end(ret);
    return r;
}

void awake_end(struct awake *a)
{
    for (size_t i = 0; i < a->count; i++) {
        kill(a->pids[i], SIGKILL);
        waitpid(a->pids[i], NULL, 0);
    }
    a->count = 0;
}
