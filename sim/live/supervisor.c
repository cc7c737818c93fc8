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
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sim/base/panic.h"
#include "sim/base/vec.h"
#include "sim/plan/fault_rules.h"
#include "sim/record/recorder.h"
#include "sim/world/limits.h"

/* How long a child may take to listen, to close its books, to leave. */
static const nsec_t patience_ns = 20 * NSEC_PER_S;
static const nsec_t exit_patience_ns = 10 * NSEC_PER_S;
static const nsec_t late_ns = 100 * NSEC_PER_MS;
/* More than the longest way that a message may have before it at the end: a new tunnel stream's, through four
 * processes and back for each flight of its handshakes. */
enum { SETTLE_ROUNDS = 64 };
/* The clock starts a moment after everybody was told, so that time 0 has not passed when they hear it. */
static const nsec_t head_start_ns = 20 * NSEC_PER_MS;

enum child_state { CHILD_NONE, CHILD_STARTING, CHILD_READY, CHILD_RUNNING, CHILD_ENDED, CHILD_KILLED };

/* What interrupts a run. */
static const int stop_signals[] = {SIGINT, SIGTERM, SIGHUP};

struct running {
    enum child_state state;
    bool settled; /* since it was last asked */
    pid_t pid;
    int fd;
    uint32_t incarnation;
    struct recorder *recorder;
    bool *down;             /* by component: a fault keeps it down */
    bool *gone;             /* by component: the process was told so, or was started without it */
    uint32_t *incarnations; /* by component: of its last start */
    uint64_t operations;    /* of dead incarnations' ledgers, where a journal is kept */
    nsec_t up_at;           /* when the faults let this incarnation begin */
};

/* Something that a fault does, in the order of time: it begins, or it is over. */
struct action {
    nsec_t at;
    uint32_t fault;
    bool begins;
};

/* Books that a dead incarnation left open, where a successor may go on with them. */
struct estate {
    size_t child;
    struct recorder *recorder;
};

struct supervisor {
    const struct supervisor_options *opts;
    struct str *error;
    struct running *children;
    struct pollfd *fds; /* one for each child, and the signals' */
    VEC(struct recorder *) recorders;
    VEC(struct estate) estates;
    VEC(struct action) actions;
    struct recorder *own; /* for what no child can count */
    size_t next_action, recorder_bytes;
    uint64_t epoch_ns, wall_offset_ns;
    int signal_fd;
    sigset_t old_mask;
    bool done, interrupted, running, ending;
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

/* Only a build with sanitizers has it. */
int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

/* _exit() leaves out what exit() would check. What the fork copied is not the child's to free, and is found
 * on its stack. A leak is told on standard error. */
static int leaks(void)
{
    return __lsan_do_recoverable_leak_check && __lsan_do_recoverable_leak_check() ? 4 : 0;
}

static void child_process(struct supervisor *s, struct running *c, int fd, pid_t parent)
{
    struct child child = {.process = process_of(s, c),
                          .index = (size_t)(c - s->children),
                          .incarnation = c->incarnation,
                          .down = c->gone,
                          .standby = s->running,
                          .control_fd = fd,
                          .recorder = c->recorder,
                          .operations = c->operations};
    int code;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(4);
    prctl(PR_SET_NAME, child.process->name);
    /* Ctrl-C on a terminal reaches the whole group: the supervisor alone decides what it means. */
    for (size_t i = 0; i < sizeof stop_signals / sizeof *stop_signals; i++) signal(stop_signals[i], SIG_IGN);
    sigprocmask(SIG_SETMASK, &s->old_mask, NULL);
    close(s->signal_fd);
    for (size_t i = 0; i < s->opts->layout->process_count; i++) {
        if (s->children[i].fd >= 0) close(s->children[i].fd);
    }
    code = s->opts->child_main(s->opts->child_user, &child);
    _exit(code ? code : leaks());
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

bool process_keeps_state(const struct plan *plan, const struct process *p)
{
    return p->component_count && plan_keeps_state(plan, p->components[0]) &&
           plan_kills(plan, p->components[0]);
}

/* What a dead incarnation left open is lost, or waits for its successor; what it had running is billed. */
static void sweep(struct supervisor *s, struct running *c)
{
    struct ledger *l = recorder_ledger_mutable(c->recorder);

    recorder_bill_running(c->recorder, run_now(s));
    if (process_keeps_state(s->opts->plan, process_of(s, c))) {
        c->operations += ledger_operations(l);
        if (vec_push(&s->estates, (struct estate){(size_t)(c - s->children), c->recorder}) < 0)
            fail(s, -ENOMEM, "out of memory for what %s left open", process_of(s, c)->name);
        return;
    }
    for (enum account a = 0; a < ACCOUNT_COUNT; a++) ledger_sweep(l, a, LEDGER_LOST);
}

/* A child has rebuilt what those before it had: their books are closed. */
static void inherit(struct supervisor *s, const struct running *c)
{
    vec_for_each(e, &s->estates)
    {
        if (e->child != (size_t)(c - s->children) || e->recorder == c->recorder) continue;
        for (enum account a = 0; a < ACCOUNT_COUNT; a++)
            ledger_hand_over(recorder_ledger_mutable(e->recorder), a);
    }
}

/* What is kept and has no heir when the run ends is where it was. */
static void close_estates(struct supervisor *s)
{
    vec_for_each(e, &s->estates)
    {
        for (enum account a = 0; a < ACCOUNT_COUNT; a++)
            ledger_sweep(recorder_ledger_mutable(e->recorder), a, LEDGER_IN_FLIGHT);
    }
}

/* What a child used is known when it is gone, however it went. */
static void count_cpu(struct supervisor *s, const struct rusage *u)
{
    recorder_count(s->own, COUNTER_CPU_NS,
                   (uint64_t)(u->ru_utime.tv_sec + u->ru_stime.tv_sec) * NSEC_PER_S +
                       (uint64_t)(u->ru_utime.tv_usec + u->ru_stime.tv_usec) * NSEC_PER_US);
}

static void child_gone(struct supervisor *s, struct running *c, int status)
{
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
    c->pid = 0;
    if (c->state == CHILD_KILLED) return;
    if (c->state != CHILD_ENDED) sweep(s, c);
    /* It was told to leave, perhaps before it ever ran. Closed books make a death after them no better. */
    if ((c->state == CHILD_ENDED || (s->ending && c->state != CHILD_RUNNING)) && status == 0) return;
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
    struct rusage used;
    int status;
    pid_t pid;

    while ((pid = wait4(-1, &status, WNOHANG, &used)) > 0) {
        for (size_t i = 0; i < s->opts->layout->process_count; i++) {
            if (s->children[i].pid != pid) continue;
            count_cpu(s, &used);
            child_gone(s, &s->children[i], status);
        }
    }
}

/* Tells a process which of its components went down or came up since it was told last. */
static void tell_components(struct supervisor *s, struct running *c)
{
    const struct process *p = process_of(s, c);

    for (size_t i = 0; c->state == CHILD_RUNNING && i < p->component_count; i++) {
        if (c->down[i] == c->gone[i]) continue;
        c->gone[i] = c->down[i];
        if (c->down[i])
            say(c, "crash %" PRIu32, p->components[i]);
        else
            say(c, "start %" PRIu32 " %" PRIu32, p->components[i], ++c->incarnations[i]);
    }
}

static bool lives(const struct supervisor *s, const struct running *c)
{
    for (size_t i = 0; i < process_of(s, c)->component_count; i++)
        if (!c->down[i]) return true;
    return false;
}

static void send_on(struct supervisor *s, struct running *c)
{
    say(c, "go %" PRIu64 " %" PRIu64, s->epoch_ns, s->wall_offset_ns);
    c->state = CHILD_RUNNING;
    tell_components(s, c);
}

/* One that is ready before its fault is over waits for that. */
static void on_ready(struct supervisor *s, struct running *c)
{
    c->state = CHILD_READY;
    if (s->running && !s->ending && lives(s, c)) send_on(s, c);
}

static void hear_line(struct supervisor *s, struct running *c, const char *line)
{
    if (strcmp(line, "ready") == 0)
        on_ready(s, c);
    else if (strcmp(line, "recovered") == 0)
        inherit(s, c);
    else if (strcmp(line, "done") == 0)
        s->done = true;
    else if (strcmp(line, "ended") == 0)
        c->state = CHILD_ENDED;
    else if (strcmp(line, "settled") == 0)
        c->settled = true;
    else if (strncmp(line, "error ", 6) == 0)
        fail(s, -EIO, "%s: %s", process_of(s, c)->name, line + 6);
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

/* By force. What it had said until then stands. */
static void end_child(struct supervisor *s, struct running *c)
{
    struct rusage used;
    bool ended;

    kill(c->pid, SIGKILL);
    if (wait4(c->pid, NULL, 0, &used) > 0) count_cpu(s, &used);
    hear(s, c);
    ended = c->state == CHILD_ENDED;
    c->state = CHILD_KILLED;
    child_gone(s, c, 0);
    if (!ended) sweep(s, c);
}

/* Waiting
 * ------------------------------------------------------------------------------------------------------ */

static void take_signals(struct supervisor *s)
{
    struct signalfd_siginfo info;

    while (read(s->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo != SIGCHLD) s->interrupted = true;
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

/* Which processes are meant. */
typedef bool (*which)(const struct process *p);

static bool any(const struct process *p)
{
    return true;
}

/* Whether its components ask the control plane, and wait for its answers. */
static bool is_asking(const struct process *p)
{
    return process_hosts(p, ROLE_CLIENT) || process_hosts(p, ROLE_RUNNER);
}

static bool is_answering(const struct process *p)
{
    return !is_asking(p);
}

static bool all_in(const struct supervisor *s, which of, enum child_state state)
{
    for (size_t i = 0; i < s->opts->layout->process_count; i++) {
        const struct running *c = &s->children[i];
        if (c->pid && c->state != state && of(process_of(s, c))) return false;
    }
    return true;
}

static void await_all(struct supervisor *s, which of, enum child_state state, const char *what)
{
    uint64_t until = clock_ns(CLOCK_MONOTONIC) + patience_ns;

    while (!s->failure && !all_in(s, of, state) && clock_ns(CLOCK_MONOTONIC) < until &&
           !(state == CHILD_READY && s->interrupted))
        wait_until(s, until);
    for (size_t i = 0; !s->failure && i < s->opts->layout->process_count; i++) {
        struct running *c = &s->children[i];
        if (c->pid && c->state != state && of(process_of(s, c)) && !s->interrupted)
            fail(s, -ETIMEDOUT, "%s: is not %s after %u s", process_of(s, c)->name, what,
                 (unsigned)(patience_ns / NSEC_PER_S));
    }
}

/* Faults
 * ------------------------------------------------------------------------------------------------------- */

/* Whether one of the kills that begin or end at the moment of the next action concerns the component. */
static bool is_concerned(const struct supervisor *s, addr_t component)
{
    nsec_t at = s->actions.items[s->next_action].at;

    for (size_t i = s->next_action; i < s->actions.len && s->actions.items[i].at == at; i++) {
        const struct plan_fault *f = &s->opts->plan->faults[s->actions.items[i].fault];
        if (f->kind == FAULT_KILL && fault_hits(f, component)) return true;
    }
    return false;
}

/* When a process comes back of which nothing lives at `at`: with the first of its components. NSEC_MAX:
 * never. */
static nsec_t comes_back_at(const struct supervisor *s, const struct process *p, nsec_t at)
{
    const struct plan *plan = s->opts->plan;
    nsec_t back = NSEC_MAX;

    for (uint32_t k = 0; k < plan->fault_count; k++) {
        const struct plan_fault *f = &plan->faults[k];
        nsec_t end = nsec_add(f->at_ns, f->for_ns);

        if (f->kind != FAULT_KILL || !f->for_ns || end <= at || end >= back) continue;
        for (size_t i = 0; i < p->component_count; i++)
            if (fault_hits(f, p->components[i]) && !plan_is_killed(plan, p->components[i], end)) back = end;
    }
    return back;
}

/* Coming back takes no time in the model: so a process is made while the fault lasts. */
static void prepare(struct supervisor *s, struct running *c, nsec_t at)
{
    const struct process *p = process_of(s, c);
    uint32_t last = 0;

    c->up_at = comes_back_at(s, p, at);
    if (c->up_at == NSEC_MAX) return;
    for (size_t i = 0; i < p->component_count; i++)
        c->gone[i] = plan_is_killed(s->opts->plan, p->components[i], c->up_at);
    for (size_t i = 0; i < p->component_count; i++)
        if (c->incarnations[i] > last) last = c->incarnations[i];
    c->incarnation = last + 1;
    for (size_t i = 0; i < p->component_count; i++) c->incarnations[i] = c->incarnation;
    child_start(s, c);
}

/* Makes a process what the faults of this moment want it to be. */
static void play(struct supervisor *s, struct running *c, nsec_t at)
{
    const struct process *p = process_of(s, c);
    bool concerned = false;

    for (size_t i = 0; i < p->component_count; i++) {
        if (is_concerned(s, p->components[i])) {
            bool down = plan_is_killed(s->opts->plan, p->components[i], at);

            if (c->down[i] && !down) recorder_count(s->own, COUNTER_ROLE_RESTARTS, 1);
            c->down[i] = down;
            concerned = true;
        }
    }
    if (!concerned || !c->pid) return;
    if (!lives(s, c)) {
        /* A process dies when the last of its components does. One that waits for a later time lives on. */
        if (c->state == CHILD_RUNNING || at > c->up_at) end_child(s, c);
    } else if (c->state == CHILD_READY) {
        send_on(s, c);
    } else {
        tell_components(s, c);
    }
}

/* A component that is told to stop in order; one that is down, or just comes up, hears nothing. */
static void tell_to_stop(struct supervisor *s, const struct plan_fault *f)
{
    for (size_t k = 0; k < s->opts->layout->process_count; k++) {
        struct running *c = &s->children[k];
        const struct process *p = process_of(s, c);

        for (size_t i = 0; c->state == CHILD_RUNNING && i < p->component_count; i++)
            if (fault_hits(f, p->components[i]) && !c->gone[i]) say(c, "stop %" PRIu32, p->components[i]);
    }
}

static void play_actions(struct supervisor *s)
{
    while (s->next_action < s->actions.len && s->actions.items[s->next_action].at <= run_now(s)) {
        nsec_t at = s->actions.items[s->next_action].at;

        for (size_t i = 0; i < s->opts->layout->process_count; i++) play(s, &s->children[i], at);
        for (size_t i = 0; i < s->opts->layout->process_count; i++)
            if (s->children[i].state == CHILD_KILLED) prepare(s, &s->children[i], at);
        for (; s->next_action < s->actions.len && s->actions.items[s->next_action].at == at;
             s->next_action++) {
            const struct action *a = &s->actions.items[s->next_action];
            const struct plan_fault *f = &s->opts->plan->faults[a->fault];

            if (f->kind == FAULT_RESTART) tell_to_stop(s, f);
            if (a->begins && f->first) recorder_count(s->own, COUNTER_FAULTS_INJECTED, 1);
        }
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

        if (vec_push(&s->actions, (struct action){f->at_ns, i, true}) < 0) return -ENOMEM;
        if (f->kind != FAULT_KILL || !f->for_ns) continue;
        if (vec_push(&s->actions, (struct action){nsec_add(f->at_ns, f->for_ns), i, false}) < 0)
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

static void tell_all(struct supervisor *s, which of, const char *line)
{
    for (size_t i = 0; i < s->opts->layout->process_count; i++)
        if (of(process_of(s, &s->children[i]))) say(&s->children[i], "%s", line);
}

static bool all_settled(const struct supervisor *s)
{
    for (size_t i = 0; i < s->opts->layout->process_count; i++) {
        const struct running *c = &s->children[i];
        if (c->pid && c->state == CHILD_ENDED && !c->settled) return false;
    }
    return true;
}

/* What is still on its way arrives, and is counted. How long that takes only the machine knows: so everybody
 * is asked for a moment at which it has nothing left to do, and again. In each round, all that is under way
 * gets at least one process further. What a relay holds back gets a while besides. */
static void settle(struct supervisor *s)
{
    uint64_t now = clock_ns(CLOCK_MONOTONIC), least = now + late_ns, most = now + patience_ns;

    for (int round = 0; round < SETTLE_ROUNDS && clock_ns(CLOCK_MONOTONIC) < most; round++) {
        for (size_t i = 0; i < s->opts->layout->process_count; i++) s->children[i].settled = false;
        tell_all(s, any, "settle");
        while (!all_settled(s) && clock_ns(CLOCK_MONOTONIC) < most) wait_until(s, most);
    }
    while (clock_ns(CLOCK_MONOTONIC) < least) wait_until(s, least);
}

/* Ends what is left: first by word, then by force. */
static void end_all(struct supervisor *s)
{
    static const char books[] = "done with its books";
    uint64_t until;

    s->ending = true;
    if (s->running) {
        /* Who asks ends first: a request that the control plane's end cut off would be an error to one that
         * has not heard of its own. */
        tell_all(s, is_asking, "end");
        await_all(s, is_asking, CHILD_ENDED, books);
        tell_all(s, is_answering, "end");
        await_all(s, is_answering, CHILD_ENDED, books);
        settle(s);
    }
    tell_all(s, any, "exit");
    until = clock_ns(CLOCK_MONOTONIC) + exit_patience_ns;
    for (bool left = true; left && clock_ns(CLOCK_MONOTONIC) < until;) {
        left = false;
        for (size_t i = 0; i < s->opts->layout->process_count; i++) left |= s->children[i].pid != 0;
        if (left) wait_until(s, clock_ns(CLOCK_MONOTONIC) + 50 * NSEC_PER_MS);
    }
    for (size_t i = 0; i < s->opts->layout->process_count; i++) {
        struct running *c = &s->children[i];

        if (!c->pid) continue;
        if (c->state == CHILD_ENDED)
            fail(s, -ETIMEDOUT, "%s: has not left after %u s", process_of(s, c)->name,
                 (unsigned)(exit_patience_ns / NSEC_PER_S));
        end_child(s, c);
    }
    close_estates(s);
}

static int components_init(struct supervisor *s, struct running *c)
{
    size_t n = process_of(s, c)->component_count + 1;

    c->fd = -1;
    c->down = calloc(n, sizeof *c->down);
    c->gone = calloc(n, sizeof *c->gone);
    c->incarnations = calloc(n, sizeof *c->incarnations);
    return c->down && c->gone && c->incarnations ? 0 : -ENOMEM;
}

/* The children's ends and what interrupts are read from a descriptor from now on. What is ignored stays so:
 * nohup. */
static int take_over_signals(struct supervisor *s)
{
    sigset_t mask;
    struct sigaction a;

    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    for (size_t i = 0; i < sizeof stop_signals / sizeof *stop_signals; i++) {
        sigaction(stop_signals[i], NULL, &a);
        if (a.sa_handler != SIG_IGN) sigaddset(&mask, stop_signals[i]);
    }
    sigprocmask(SIG_BLOCK, &mask, &s->old_mask);
    s->signal_fd = signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC);
    if (s->signal_fd < 0) return -errno;
    s->interrupted = s->opts->stopped && s->opts->stopped(s->opts->user);
    return 0;
}

static int supervisor_init(struct supervisor *s)
{
    size_t n = s->opts->layout->process_count;
    int r = 0;

    vec_init(&s->recorders, 1u << 20);
    vec_init(&s->estates, 1u << 20);
    s->children = calloc(n, sizeof *s->children);
    s->fds = calloc(n + 1, sizeof *s->fds);
    if (!s->children || !s->fds) return -ENOMEM;
    for (size_t i = 0; r == 0 && i < n; i++) r = components_init(s, &s->children[i]);
    if (r == 0) r = recorder_map(s, &s->own);
    if (r == 0) r = take_over_signals(s);
    if (r < 0) return r;
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
    for (size_t i = 0; !s->failure && !s->interrupted && i < opts->layout->process_count; i++)
        child_start(s, &s->children[i]);
    await_all(s, any, CHILD_READY, "listening");
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
    vec_deinit(&s->estates);
    vec_deinit(&s->actions);
    for (size_t i = 0; s->children && i < s->opts->layout->process_count; i++) {
        free(s->children[i].down);
        free(s->children[i].gone);
        free(s->children[i].incarnations);
    }
    free(s->children);
    free(s->fds);
    if (s->signal_fd >= 0) close(s->signal_fd);
    free(s);
}
