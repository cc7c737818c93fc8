#include "sim/live/resources.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Files, listeners, the event loop, the supervisor's socket; connections that idle between two requests. */
enum { DESCRIPTORS_OWN = 64 };

/* The shortest slice that the kernel takes. */
#define SLICE_NS UINT64_C(100000)

static uint64_t workers_of(const struct plan *plan)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < plan->runner_count; i++)
        sum += (uint64_t)plan->runners[i].instances * plan->runners[i].workers;
    return sum;
}

/* Sessions that are open at one time whatever happens; each holds its client's event stream. */
static uint64_t sessions_of(const struct plan *plan)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < plan->load_count; i++) {
        const struct plan_load *load = &plan->loads[i];

        if (load->process == ARRIVAL_CLOSED) sum += load->users;
        if (load->process == ARRIVAL_AT_ONCE) sum += load->sessions;
    }
    return sum < plan->orchestrator.sessions_max ? sum : plan->orchestrator.sessions_max;
}

static uint64_t needed_by(const struct plan *plan, addr_t component)
{
    uint32_t pool;

    switch (ADDR_ROLE(component)) {
    case ROLE_ORCHESTRATOR: return workers_of(plan) + sessions_of(plan);
    case ROLE_EDGE: return (uint64_t)plan_instances(plan, ROLE_CONNECTOR) * plan->tunnels.connections;
    case ROLE_CONNECTOR: return plan->tunnels.connections;
    case ROLE_PROXY: return 1; /* its listener */
    case ROLE_RUNNER: return plan_runner_of(plan, ADDR_ORDINAL(component), &pool)->workers;
    case ROLE_CLIENT: return sessions_of(plan);
    default: return 1;
    }
}

uint64_t resources_descriptors_needed(const struct plan *plan, const struct process *process)
{
    uint64_t sum = DESCRIPTORS_OWN;

    for (size_t i = 0; i < process->component_count; i++) sum += needed_by(plan, process->components[i]);
    return sum;
}

int resources_raise_descriptors(const struct plan *plan, const struct layout *layout, struct str *error)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return -errno;
    limit.rlim_cur = limit.rlim_max;
    /* A limit that cannot be raised is the one there is. */
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0 && getrlimit(RLIMIT_NOFILE, &limit) < 0) return -errno;
    for (size_t i = 0; i < layout->process_count; i++) {
        uint64_t needed = resources_descriptors_needed(plan, &layout->processes[i]);

        if (layout->processes[i].component_count == 0) needed += layout->relayed_count; /* a listener each */

        if (needed <= limit.rlim_cur) continue;
        str_appendf(error,
                    "%s: needs at least %" PRIu64 " open descriptors, and a process may have %" PRIu64
                    ": raise the hard limit (ulimit -Hn), or spread the role over more processes (/live)",
                    layout->processes[i].name, needed, (uint64_t)limit.rlim_cur);
        return -EMFILE;
    }
    return 0;
}

bool resources_descriptors_low(uint64_t *ret_limit)
{
    struct rlimit limit;
    int nearly, got;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > INT32_MAX) return false;
    *ret_limit = limit.rlim_cur;
    /* The kernel gives the lowest number that is free: whoever has this one open had all below it in use. */
    nearly = (int)(limit.rlim_cur - limit.rlim_cur / 32 - 1);
    got = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, nearly);
    if (got >= 0) close(got);
    return got < 0 ? errno == EMFILE : got != nearly;
}

/* glibc has no wrapper yet, and the kernel's header defines what sched.h does too. */
struct sched_request {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime_ns, deadline_ns, period_ns;
};

/* A real-time policy, for those who may: root, CAP_SYS_NICE, RLIMIT_RTPRIO. What it forks does not inherit
 * it. */
static bool real_time(void)
{
    struct sched_param lowest = {.sched_priority = sched_get_priority_min(SCHED_RR)};

    return sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &lowest) == 0;
}

bool resources_wake_promptly(void)
{
    struct sched_request now;

    memset(&now, 0, sizeof now);
    if (syscall(SYS_sched_getattr, 0, &now, sizeof now, 0) < 0) return false;
    if (now.policy != SCHED_OTHER) return false; /* real time, or idle: somebody has chosen otherwise */
    if (real_time()) return true;
    now.size = sizeof now;
    now.runtime_ns = SLICE_NS;
    (void)!syscall(SYS_sched_setattr, 0, &now, 0);
    return false;
}

void resources_wake_as_usual(void)
{
    (void)!sched_setscheduler(0, SCHED_OTHER, &(struct sched_param){.sched_priority = 0});
}
