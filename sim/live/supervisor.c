#include "sim/live/supervisor.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sim/base/panic.h"
#include "sim/base/vec.h"
#include "sim/record/recorder.h"
#include "sim/world/limits.h"

/* How long a child may take to listen, to close its books, to leave. */
static const nsec_t patience_ns = 20 * NSEC_PER_S;
static const nsec_t exit_patience_ns = 3 * NSEC_PER_S;
static const nsec_t late_ns = 100 * NSEC_PER_MS;
/* The clock starts a moment after everybody was told, so that time 0 has not passed when they hear it. */
static const nsec_t head_start_ns = 20 * NSEC_PER_MS;

enum child_state { CHILD_NONE, CHILD_STARTING, CHILD_READY, CHILD_RUNNING, CHILD_ENDED, CHILD_KILLED };

struct running {
    enum child_state state;
    pid_t pid;
    int fd;
    uint32_t incarnation;
    struct recorder *recorder;
};

/* A fault that kills, in the order of time: what goes down when, and what comes up again. */
struct action {
    nsec_t at;
    uint32_t fault;
    bool up;
};

struct supervisor {
    const struct supervisor_options *opts;
    struct str *error;
    struct running *children;
    struct pollfd *fds; /* one for each child, and the signals' */
    uint32_t restarts;  /* so far: the incarnation of what is started next, unique in the run */
    VEC(struct recorder *) recorders;
    VEC(struct action) actions;
    size_t next_action, recorder_bytes;
    uint64_t epoch_ns, wall_offset_ns;
    int signal_fd;
    sigset_t old_mask;
    bool done, interrupted, running;
    int failure;
    nsec_t pause_max_ns;
};

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return (uint64_t)ts.tv_sec * NSEC_PER_S + (uint64_t)ts.tv_nsec;
}

static nsec_t run_now(const struct supervisor *s)
{
    uint64_t now = clock_ns(CLOCK_MONOTONIC);

    return now > s->epoch_ns ? now - s->epoch_ns : 0;
}

static const struct process *process_of(const struct supervisor *s, const struct running *c)
{
    return &s->opts->layout->processes[c - s->children];
}

/* Only the first failure is told: the others follow from it. */
static void fail(struct supervisor *s, int error, const char *format, ...)
{
    va_list args;

    if (s->failure) return;
    s->failure = error;
    va_start(args, format);
    str_vappendf(s->error, format, args);
    va_end(args);
}

/* Children
 * ---------------------------------------------------------------------------------------------------- */

static void say(struct running *c, const char *format, ...)
{
    char line[128];
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (c->fd >= 0) (void)!send(c->fd, line, strlen(line), MSG_NOSIGNAL);
}

static int recorder_map(struct supervisor *s, struct recorder **ret)
{
    struct recorder_options o = recorder_options_of(s->opts->plan);
    size_t size = recorder_size(&o);
    void *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (memory == MAP_FAILED) return -errno;
    s->recorder_bytes = size;
    *ret = recorder_init(memory, size, &o);
    if (vec_push(&s->recorders, *ret) < 0) return -ENOMEM;
    return 0;
}

static void child_process(struct supervisor *s, struct running *c, int fd, pid_t parent)
{
    struct child child = {.process = process_of(s, c),
                          .index = (size_t)(c - s->children),
                          .incarnation = c->incarnation,
                          .control_fd = fd,
                          .recorder = c->recorder};

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(4);
    prctl(PR_SET_NAME, child.process->name);
    /* Ctrl-C on a terminal reaches the whole group: the supervisor alone decides what it means. */
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    sigprocmask(SIG_SETMASK, &s->old_mask, NULL);
    close(s->signal_fd);
    for (size_t i = 0; i < s->opts->layout->process_count; i++) {
        if (s->children[i].fd >= 0) close(s->children[i].fd);
    }
    _exit(s->opts->child_main(s->opts->child_user, &child));
}

static void child_start(struct supervisor *s, struct running *c)
{
    int fds[2], r = recorder_map(s, &c->recorder);
    pid_t parent = getpid();

    if (r == 0 && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0) r = -errno;
    if (r < 0) {
        fail(s, r, "%s: cannot be started: %s", process_of(s, c)->name, strerror(-r));
        return;
    }
    fflush(NULL);
    c->pid = fork();
    if (c->pid == 0) {
        close(fds[0]);
        child_process(s, c, fds[1], parent);
    }
    close(fds[1]);
    if (c->pid < 0) {
        fail(s, -errno, "%s: cannot fork: %s", process_of(s, c)->name, strerror(errno));
        close(fds[0]);
        return;
    }
    c->fd = fds[0];
    c->state = CHILD_STARTING;
}

static bool keeps_state(const struct supervisor *s, const struct running *c)
{
    const struct process *p = process_of(s, c);

    return p->component_count && s->opts->plan->orchestrator.durable &&
           ADDR_ROLE(p->components[0]) == ROLE_ORCHESTRATOR;
}

/* What a dead incarnation left open is lost, or goes on in its successor. */
static void sweep(struct supervisor *s, struct running *c)
{
    struct ledger *l = recorder_ledger_mutable(c->recorder);

    for (enum account a = 0; a < ACCOUNT_COUNT; a++) {
        if (keeps_state(s, c))
            ledger_hand_over(l, a);
        else
            ledger_sweep(l, a, LEDGER_LOST);
    }
}

static void child_gone(struct supervisor *s, struct running *c, int status)
{
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
    c->pid = 0;
    if (c->state == CHILD_KILLED) return;
    /* Its books are closed, but what it did after that is no better for it. */
    if (c->state == CHILD_ENDED && status == 0) return;
    if (c->state != CHILD_ENDED) sweep(s, c);
    c->state = CHILD_NONE;
    if (WIFSIGNALED(status))
        fail(s, -ECHILD, "%s: killed by signal %d (%s)", process_of(s, c)->name, WTERMSIG(status),
             strsignal(WTERMSIG(status)));
    else
        fail(s, -ECHILD, "%s: ended by itself with exit code %d", process_of(s, c)->name,
             WEXITSTATUS(status));
}

static void reap(struct supervisor *s)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (size_t i = 0; i < s->opts->layout->process_count; i++) {
            if (s->children[i].pid == pid) child_gone(s, &s->children[i], status);
        }
    }
}

static void hear_line(struct supervisor *s, struct running *c, const char *line)
{
    if (strcmp(line, "ready") == 0) {
        c->state = CHILD_READY;
        if (s->running) {
            say(c, "go %" PRIu64 " %" PRIu64, s->epoch_ns, s->wall_offset_ns);
            c->state = CHILD_RUNNING;
        }
    } else if (strcmp(line, "done") == 0) {
        s->done = true;
    } else if (strcmp(line, "ended") == 0) {
        c->state = CHILD_ENDED;
    } else if (strncmp(line, "error ", 6) == 0) {
        fail(s, -EIO, "%s: %s", process_of(s, c)->name, line + 6);
    }
}

static void hear(struct supervisor *s, struct running *c)
{
    char line[1024];
    ssize_t n;

    while (c->fd >= 0 && (n = recv(c->fd, line, sizeof line - 1, MSG_DONTWAIT)) > 0) {
        line[n] = '\0';
        hear_line(s, c, line);
    }
}

/* Waiting
 * ------------------------------------------------------------------------------------------------------ */

static void take_signals(struct supervisor *s)
{
    struct signalfd_siginfo info;

    while (read(s->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGINT || info.ssi_signo == SIGTERM) s->interrupted = true;
    }
    reap(s);
}

/* Waits for something to happen, at most until `until` (CLOCK_MONOTONIC), and takes note of it. */
static void wait_until(struct supervisor *s, uint64_t until)
{
    size_t n = s->opts->layout->process_count;
    struct pollfd *fds = s->fds;
    uint64_t now = clock_ns(CLOCK_MONOTONIC), after;
    struct timespec wait = {.tv_sec = until > now ? (time_t)((until - now) / NSEC_PER_S) : 0,
                            .tv_nsec = until > now ? (long)((until - now) % NSEC_PER_S) : 0};

    fds[n] = (struct pollfd){.fd = s->signal_fd, .events = POLLIN};
    for (size_t i = 0; i < n; i++) fds[i] = (struct pollfd){.fd = s->children[i].fd, .events = POLLIN};
    if (ppoll(fds, n + 1, &wait, NULL) == 0) {
        after = clock_ns(CLOCK_MONOTONIC);
        if (after > until && after - until > s->pause_max_ns) s->pause_max_ns = after - until;
    }
    for (size_t i = 0; i < n; i++) {
        if (!fds[i].revents) continue;
        hear(s, &s->children[i]);
        /* A child's end is told by the signal; until then its closed socket must not keep us awake. */
        if (s->children[i].fd >= 0 && fds[i].revents & POLLHUP) {
            close(s->children[i].fd);
            s->children[i].fd = -1;
        }
    }
    take_signals(s);
}

static bool all_in(const struct supervisor *s, enum child_state state)
{
    for (size_t i = 0; i < s->opts->layout->process_count; i++) {
        const struct running *c = &s->children[i];
        if (c->pid && c->state != state) return false;
    }
    return true;
}

static void await_all(struct supervisor *s, enum child_state state, const char *what)
{
    uint64_t until = clock_ns(CLOCK_MONOTONIC) + patience_ns;

    while (!s->failure && !all_in(s, state) && clock_ns(CLOCK_MONOTONIC) < until &&
           !(state == CHILD_READY && s->interrupted))
        wait_until(s, until);
    for (size_t i = 0; !s->failure && i < s->opts->layout->process_count; i++) {
        struct running *c = &s->children[i];
        if (c->pid && c->state != state && !s->interrupted)
            fail(s, -ETIMEDOUT, "%s: is not %s after %u s", process_of(s, c)->name, what,
                 (unsigned)(patience_ns / NSEC_PER_S));
    }
}

/* Faults
 * ------------------------------------------------------------------------------------------------------- */

static bool fault_hits(const struct plan_fault *f, addr_t component)
{
    return f->all_instances ? ADDR_ROLE(f->target) == ADDR_ROLE(component) : f->target == component;
}

/* Whether one of the kills that fall at the same moment hits the component. */
static bool killed_at(const struct supervisor *s, nsec_t at, bool up, addr_t component)
{
    for (size_t i = s->next_action; i < s->actions.len && s->actions.items[i].at == at; i++) {
        const struct action *a = &s->actions.items[i];
        if (a->up == up && fault_hits(&s->opts->plan->faults[a->fault], component)) return true;
    }
    return false;
}

static size_t count_hit(const struct supervisor *s, const struct process *p, nsec_t at, bool up)
{
    size_t hit = 0;

    for (size_t i = 0; i < p->component_count; i++) hit += killed_at(s, at, up, p->components[i]);
    return hit;
}

static void take_down(struct supervisor *s, struct running *c, nsec_t at)
{
    const struct process *p = process_of(s, c);
    size_t hit = count_hit(s, p, at, false);

    if (hit == 0 || c->state != CHILD_RUNNING) return;
    if (hit < p->component_count) {
        for (size_t i = 0; i < p->component_count; i++) {
            if (killed_at(s, at, false, p->components[i])) say(c, "crash %" PRIu32, p->components[i]);
        }
        return;
    }
    c->state = CHILD_KILLED;
    kill(c->pid, SIGKILL);
    waitpid(c->pid, NULL, 0);
    child_gone(s, c, 0);
    sweep(s, c);
}

static void bring_up(struct supervisor *s, struct running *c, nsec_t at)
{
    const struct process *p = process_of(s, c);

    if (count_hit(s, p, at, true) == 0) return;
    if (c->state == CHILD_KILLED) {
        c->incarnation = ++s->restarts;
        child_start(s, c);
        return;
    }
    for (size_t i = 0; i < p->component_count; i++) {
        addr_t component = p->components[i];
        if (!killed_at(s, at, true, component)) continue;
        say(c, "start %" PRIu32 " %" PRIu32, component, ++s->restarts);
    }
}

static void play_actions(struct supervisor *s)
{
    while (s->next_action < s->actions.len && s->actions.items[s->next_action].at <= run_now(s)) {
        nsec_t at = s->actions.items[s->next_action].at;

        for (size_t i = 0; i < s->opts->layout->process_count; i++) {
            take_down(s, &s->children[i], at);
            bring_up(s, &s->children[i], at);
        }
        while (s->next_action < s->actions.len && s->actions.items[s->next_action].at == at) s->next_action++;
    }
}

static int by_time(const void *a, const void *b)
{
    const struct action *x = a, *y = b;

    if (x->at != y->at) return x->at < y->at ? -1 : 1;
    return x->fault < y->fault ? -1 : x->fault > y->fault;
}

static int plan_actions(struct supervisor *s)
{
    const struct plan *plan = s->opts->plan;

    vec_init(&s->actions, 2 * (size_t)plan->fault_count + 1);
    for (uint32_t i = 0; i < plan->fault_count; i++) {
        const struct plan_fault *f = &plan->faults[i];

        if (f->kind != FAULT_KILL) continue;
        if (vec_push(&s->actions, (struct action){.at = f->at_ns, .fault = i}) < 0) return -ENOMEM;
        if (f->for_ns && vec_push(&s->actions, (struct action){f->at_ns + f->for_ns, i, true}) < 0)
            return -ENOMEM;
    }
    if (s->actions.len) qsort(s->actions.items, s->actions.len, sizeof *s->actions.items, by_time);
    return 0;
}

/* The run
 * ------------------------------------------------------------------------------------------------------ */

static void go(struct supervisor *s)
{
    s->epoch_ns = clock_ns(CLOCK_MONOTONIC) + head_start_ns;
    s->wall_offset_ns = clock_ns(CLOCK_REALTIME) + head_start_ns;
    s->running = true;
    for (size_t i = 0; i < s->opts->layout->process_count; i++) {
        say(&s->children[i], "go %" PRIu64 " %" PRIu64, s->epoch_ns, s->wall_offset_ns);
        s->children[i].state = CHILD_RUNNING;
    }
}

static void work(struct supervisor *s)
{
    const struct plan *plan = s->opts->plan;
    nsec_t stop_at = nsec_add(plan->duration_ns, plan->drain_ns), next_interval = plan->interval_ns;

    while (!s->failure && !s->interrupted && !s->done && run_now(s) < stop_at) {
        nsec_t until = next_interval < stop_at ? next_interval : stop_at;

        if (s->next_action < s->actions.len && s->actions.items[s->next_action].at < until)
            until = s->actions.items[s->next_action].at;
        wait_until(s, s->epoch_ns + until);
        play_actions(s);
        while (run_now(s) >= next_interval) {
            if (s->opts->on_interval &&
                !s->opts->on_interval(s->opts->user, next_interval,
                                      (const struct recorder *const *)s->recorders.items, s->recorders.len))
                s->interrupted = true;
            next_interval = nsec_add(next_interval, plan->interval_ns);
        }
    }
}

static void tell_all(struct supervisor *s, const char *line)
{
    for (size_t i = 0; i < s->opts->layout->process_count; i++) say(&s->children[i], "%s", line);
}

/* Ends what is left: first by word, then by force. */
static void end_all(struct supervisor *s)
{
    uint64_t until;

    if (s->running) {
        tell_all(s, "end");
        if (!s->failure) await_all(s, CHILD_ENDED, "done with its books");
        /* What is still on its way arrives, and is counted. */
        wait_until(s, clock_ns(CLOCK_MONOTONIC) + late_ns);
    }
    tell_all(s, "exit");
    until = clock_ns(CLOCK_MONOTONIC) + exit_patience_ns;
    for (bool left = true; left && clock_ns(CLOCK_MONOTONIC) < until;) {
        left = false;
        for (size_t i = 0; i < s->opts->layout->process_count; i++) left |= s->children[i].pid != 0;
        if (left) wait_until(s, clock_ns(CLOCK_MONOTONIC) + 50 * NSEC_PER_MS);
    }
    for (size_t i = 0; i < s->opts->layout->process_count; i++) {
        struct running *c = &s->children[i];

        if (!c->pid) continue;
        if (c->state != CHILD_ENDED)
            sweep(s, c);
        else
            fail(s, -ETIMEDOUT, "%s: has not left after %u s", process_of(s, c)->name,
                 (unsigned)(exit_patience_ns / NSEC_PER_S));
        c->state = CHILD_KILLED;
        kill(c->pid, SIGKILL);
        waitpid(c->pid, NULL, 0);
        child_gone(s, c, 0);
    }
}

static int supervisor_init(struct supervisor *s)
{
    size_t n = s->opts->layout->process_count;
    sigset_t mask;

    vec_init(&s->recorders, 1u << 20);
    s->children = calloc(n, sizeof *s->children);
    s->fds = calloc(n + 1, sizeof *s->fds);
    if (!s->children || !s->fds) return -ENOMEM;
    for (size_t i = 0; i < n; i++) s->children[i].fd = -1;
    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    sigaddset(&mask, SIGINT);
    sigaddset(&mask, SIGTERM);
    sigprocmask(SIG_BLOCK, &mask, &s->old_mask);
    s->signal_fd = signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC);
    if (s->signal_fd < 0) return -errno;
    return plan_actions(s);
}

int supervisor_run(const struct supervisor_options *opts, struct supervisor **ret,
                   struct supervisor_result *ret_result, struct str *error)
{
    struct supervisor *s = calloc(1, sizeof *s);
    int r;

    if (!s) return -ENOMEM;
    s->opts = opts;
    s->error = error;
    s->signal_fd = -1;
    if ((r = supervisor_init(s)) < 0) {
        str_appendf(error, "cannot set up the run: %s", strerror(-r));
        supervisor_free(s);
        return r;
    }
    for (size_t i = 0; !s->failure && i < opts->layout->process_count; i++) child_start(s, &s->children[i]);
    await_all(s, CHILD_READY, "listening");
    if (!s->failure && !s->interrupted) {
        go(s);
        work(s);
    }
    *ret_result = (struct supervisor_result){.end_ns = s->running ? run_now(s) : 0,
                                             .load_done = s->done,
                                             .interrupted = s->interrupted,
                                             .pause_max_ns = s->pause_max_ns};
    end_all(s);
    s->opts = opts;
    *ret = s;
    sigprocmask(SIG_SETMASK, &s->old_mask, NULL);
    return s->failure;
}

const struct recorder *const *supervisor_recorders(const struct supervisor *s, size_t *ret_count)
{
    *ret_count = s->recorders.len;
    return (const struct recorder *const *)s->recorders.items;
}

void supervisor_free(struct supervisor *s)
{
    if (!s) return;
    vec_for_each(r, &s->recorders) munmap(*r, s->recorder_bytes);
    vec_deinit(&s->recorders);
    vec_deinit(&s->actions);
    free(s->children);
    free(s->fds);
    if (s->signal_fd >= 0) close(s->signal_fd);
    free(s);
}
