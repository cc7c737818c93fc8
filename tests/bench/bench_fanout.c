/*
 * The fan-out scenario scaled up: what a message costs on the virtual clock, and what a session weighs.
 *
 * First with its own load, constant arrivals, at so high a rate that about SESSIONS are open at once before a
 * fixed number of workers, on hosts whose cores suffice; and again at half that rate: the difference is what
 * a session more weighs. Then the worst case: all sessions in one moment, a worker for each, all on the cores
 * of the small scenario, so that all their messages are on their way at once. Beside it, at the same number
 * of pending events, what the bare calendar does: the ratio says what all the rest costs, on any machine.
 *
 *     bench_fanout [SESSIONS [scaled]]    default 20,000, each with 50 tool calls, or FANOUT_SESSIONS in the
 *                                         environment; `scaled`: only the first of all these, for profiles
 *
 * Rates are by CPU time of this one thread, so that what else the machine does hardly shows.
 */
#include <inttypes.h>
#include <time.h>
#include <unistd.h>

#include "sim/base/pages.h"
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

#define SETS_MAX 20

struct settings {
    char load[200], instances[64], workers[64], sessions[64];
    const char *sets[SETS_MAX];
};

/* No limit in time, so that all sessions end well. */
static void settings_make(struct settings *s, uint64_t sessions_max, uint64_t instances, uint64_t workers)
{
    const char *const sets[SETS_MAX] = {s->load,
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

    snprintf(s->instances, sizeof s->instances, "/runners/pool/instances=%" PRIu64, instances);
    snprintf(s->workers, sizeof s->workers, "/runners/pool/workers=%" PRIu64,
             (workers + instances - 1) / instances);
    snprintf(s->sessions, sizeof s->sessions, "/orchestrator/sessions_max=%" PRIu64, sessions_max);
    memcpy(s->sets, sets, sizeof sets);
}

static void settings_add(struct settings *s, const char *set)
{
    size_t n = 0;

    while (s->sets[n]) n++;
    ASSERT(n + 1 < SETS_MAX);
    s->sets[n] = set;
}

/* `arrivals` in the scenario's 20 seconds. */
static void settings_constant(struct settings *s, uint64_t arrivals, uint64_t workers)
{
    settings_make(s, arrivals, 10, workers);
    snprintf(s->load, sizeof s->load,
             "/load/agents={\"script\": \"sweep\", \"process\": \"constant\", \"rate\": \"%" PRIu64
             "/min\", \"patience\": \"24h\"}",
             3 * arrivals);
    settings_add(s, "/hosts/orchestrator/cores=32");
    settings_add(s, "/hosts/client/cores=32");
    settings_add(s, "/hosts/runner/cores=8");
}

/* As many workers as sessions: all are really there at once. */
static void settings_at_once(struct settings *s, uint64_t sessions)
{
    settings_make(s, sessions, (sessions + WORKERS_MAX - 1) / WORKERS_MAX, sessions);
    snprintf(s->load, sizeof s->load,
             "/load/agents={\"script\": \"sweep\", \"process\": \"at-once\", \"sessions\": %" PRIu64
             ", \"patience\": \"24h\"}",
             sessions);
}

struct outcome {
    uint64_t at_once;
    size_t memory, pending;
    double rate;
    bool wrong;
};

static struct outcome measure(const char *what, const struct settings *settings)
{
    struct scenario_run_options o = {
        .path = SCENARIOS_DIR "/fan-out.json", .deployment = "unlimited", .sets = settings->sets, .seed = 1};
    struct scenario_run run;
    struct ledger_totals opened;
    struct outcome outcome;
    double begin = cpu_seconds(), took;
    const char *wrong;
    uint64_t counted;

    scenario_run(&run, &o);
    took = cpu_seconds() - begin;
    wrong = scenario_run_wrong(&run);
    ledger_totals(recorder_ledger(run.recorder), ACCOUNT_SESSION, &opened);
    counted = run.result.deliveries - run.result.polls;
    outcome = (struct outcome){.at_once = opened.open_max,
                               .memory = run.result.memory_max_bytes,
                               .pending = run.result.pending_max,
                               .rate = (double)counted / took,
                               .wrong = wrong != NULL};
    printf("%s: %" PRIu64 " sessions, %" PRIu64 " at once, %" PRIu64
           " completed, %.1f s simulated in %.2f s of CPU\n",
           what, opened.opened, opened.open_max, opened.ends[LEDGER_COMPLETED],
           (double)run.result.end_ns / 1e9, took);
    printf("  %.3f M deliveries/s (%" PRIu64 ", and %" PRIu64 " idle polls that do not count)\n",
           outcome.rate / 1e6, counted, run.result.polls);
    printf("  %.2f kB a session (%.1f MB in all, at most)\n",
           (double)outcome.memory / (double)outcome.at_once / 1e3, (double)outcome.memory / 1e6);
    if (wrong) printf("  %s\n", wrong);
    scenario_run_end(&run);
    return outcome;
}

/* By the end of the arrivals a twentieth as many workers have served a fifth of them. */
static struct outcome measure_scaled(uint64_t sessions)
{
    struct settings settings;

    settings_constant(&settings, sessions * 5 / 4, sessions / 20 + 1);
    return measure("fan-out, scaled", &settings);
}

static int bench(uint64_t sessions)
{
    struct settings settings;
    struct outcome half, full, all;
    double hold;

    settings_constant(&settings, sessions * 5 / 8, sessions / 20 + 1);
    half = measure("fan-out, half the rate", &settings);
    full = measure_scaled(sessions);
    printf("  a session more weighs %.2f kB\n",
           ((double)full.memory - (double)half.memory) / (double)(full.at_once - half.at_once) / 1e3);
    settings_at_once(&settings, sessions);
    all = measure("fan-out, all in one moment", &settings);
    hold = hold_rate(all.pending);
    printf("  the bare calendar at %zu pending: %.2f M holds/s; ratio %.3f deliveries a hold\n", all.pending,
           hold / 1e6, all.rate / hold);
    return half.wrong || full.wrong || all.wrong || full.at_once < sessions || all.at_once != sessions
               ? EXIT_FAILURE
               : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    const char *given = argc > 1 ? argv[1] : getenv("FANOUT_SESSIONS");
    uint64_t sessions = given ? strtoull(given, NULL, 10) : 20000;

    if (sessions == 0 || sessions > 1000000) {
        fprintf(stderr, "usage: bench_fanout [SESSIONS [scaled]]\n");
        return 2;
    }
    pages_prefer_huge();
    print_machine();
    if (argc > 2) return measure_scaled(sessions).wrong;
    return bench(sessions);
}
