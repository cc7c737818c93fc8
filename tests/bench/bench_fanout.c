/*
 * The fan-out scenario with all its sessions at once: what a message costs on the virtual clock, and what a
 * session weighs. Beside it, in the same run and at the same number of pending events, what the bare calendar
 * does: the ratio says what all the rest costs, on any machine.
 *
 *     bench_fanout [SESSIONS]     default 20,000, each with 50 tool calls; or FANOUT_SESSIONS in the
 * environment
 *
 * Rates are by CPU time of this one thread, so that what else the machine does hardly shows.
 */
#include <inttypes.h>
#include <time.h>
#include <unistd.h>

#include "sim/base/prng.h"
#include "sim/virtual/calendar.h"
#include "tests/virtual/scenario_run.h"

#define WORKERS_MAX 10000 /* of one runner */
#define HOLDS       3000000
#define DELAYS      (1 << 16)

static double cpu_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Takes an event out and enters it again, an exponential span later. */
static double hold_rate(size_t pending)
{
    static nsec_t delays[DELAYS];
    struct prng p = prng_stream(1, 0, "bench", 0, 0);
    struct calendar c;
    struct cal_item item;
    double begin;

    for (size_t i = 0; i < DELAYS; i++) delays[i] = prng_exponential(&p, NSEC_PER_S);
    ASSERT(calendar_init(&c, pending + 1) == 0);
    for (size_t i = 0; i < pending; i++)
        ASSERT(calendar_push(&c, prng_exponential(&p, NSEC_PER_S), 0, i) == 0);
    begin = cpu_seconds();
    for (size_t i = 0; i < HOLDS; i++) {
        ASSERT(calendar_pop(&c, &item));
        ASSERT(calendar_push(&c, item.at + delays[i % DELAYS], 0, item.payload) == 0);
    }
    calendar_deinit(&c);
    return HOLDS / (cpu_seconds() - begin);
}

static void print_machine(void)
{
    char line[256], model[200] = "unknown CPU";
    FILE *f = fopen("/proc/cpuinfo", "r");

    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "model name : %199[^\n]", model) == 1) break;
    if (f) fclose(f);
    printf("machine: %s, %ld cores, compiler " __VERSION__ "\n", model, sysconf(_SC_NPROCESSORS_ONLN));
}

struct settings {
    char load[200], instances[64], workers[64], sessions[64];
    const char *sets[16];
};

/* As many workers as sessions, no limit in time: all are really there at once. */
static void settings_make(struct settings *s, uint64_t sessions)
{
    uint64_t instances = (sessions + WORKERS_MAX - 1) / WORKERS_MAX;
    const char *const sets[16] = {s->load,
                                  s->instances,
                                  s->workers,
                                  s->sessions,
                                  "/drain=\"24h\"",
                                  "/orchestrator/call_timeout=\"24h\"",
                                  "/orchestrator/lease_ttl_max=\"24h\"",
                                  "/orchestrator/lease_ttl=\"24h\"",
                                  "/orchestrator/reclaim=\"1h\"",
                                  "/runners/pool/tool_timeout=\"24h\"",
                                  "/objectives=[]",
                                  "/spans={\"max\": 0, \"sample\": 1000000}"};

    snprintf(s->load, sizeof s->load,
             "/load/agents={\"script\": \"sweep\", \"process\": \"at-once\", \"sessions\": %" PRIu64
             ", \"patience\": \"24h\"}",
             sessions);
    snprintf(s->instances, sizeof s->instances, "/runners/pool/instances=%" PRIu64, instances);
    snprintf(s->workers, sizeof s->workers, "/runners/pool/workers=%" PRIu64,
             (sessions + instances - 1) / instances);
    snprintf(s->sessions, sizeof s->sessions, "/orchestrator/sessions_max=%" PRIu64, sessions);
    memcpy(s->sets, sets, sizeof sets);
}

static int bench(uint64_t sessions)
{
    struct settings settings;
    struct scenario_run_options o = {
        .path = SCENARIOS_DIR "/fan-out.json", .deployment = "unlimited", .sets = settings.sets, .seed = 1};
    struct scenario_run run;
    struct ledger_totals opened;
    double begin = cpu_seconds(), took, rate, hold;
    const char *wrong;

    settings_make(&settings, sessions);
    scenario_run(&run, &o);
    took = cpu_seconds() - begin;
    wrong = scenario_run_wrong(&run);
    ledger_totals(recorder_ledger(run.recorder), ACCOUNT_SESSION, &opened);
    rate = (double)(run.result.deliveries - run.result.polls) / took;
    hold = hold_rate(run.result.pending_max);
    print_machine();
    printf("fan-out: %" PRIu64 " sessions, %" PRIu64 " at once, %" PRIu64
           " completed, %.1f s simulated in %.2f s of CPU\n",
           opened.opened, opened.open_max, opened.ends[LEDGER_COMPLETED], (double)run.result.end_ns / 1e9,
           took);
    printf("  %.3f M deliveries/s (%" PRIu64 ", and %" PRIu64 " idle polls that do not count)\n", rate / 1e6,
           run.result.deliveries - run.result.polls, run.result.polls);
    printf("  %.1f KiB a session (%.1f MiB in all, at most)\n",
           (double)run.result.memory_max_bytes / (double)opened.open_max / 1024,
           (double)run.result.memory_max_bytes / 1048576);
    printf("  the bare calendar at %zu pending: %.2f M holds/s; ratio %.3f deliveries a hold\n",
           run.result.pending_max, hold / 1e6, rate / hold);
    if (wrong) printf("  %s\n", wrong);
    scenario_run_end(&run);
    return wrong || opened.open_max != sessions ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    const char *given = argc > 1 ? argv[1] : getenv("FANOUT_SESSIONS");
    uint64_t sessions = given ? strtoull(given, NULL, 10) : 20000;

    if (sessions == 0 || sessions > 1000000) {
        fprintf(stderr, "usage: bench_fanout [SESSIONS]\n");
        return 2;
    }
    return bench(sessions);
}
