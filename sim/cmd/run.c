#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "reports/file.h"
#include "reports/html.h"
#include "reports/progress.h"
#include "reports/result.h"
#include "reports/run_file.h"
#include "reports/table.h"
#include "sim/base/pages.h"
#include "sim/cmd/commands.h"
#include "sim/cmd/load.h"
#include "sim/cmd/measured.h"
#include "sim/live/flight_folder.h"
#include "sim/world/msg.h"

enum { REPLICATES_MAX = 1000, OUT_BYTES_MAX = 1023 };

struct run_args {
    const char *clock, *deployment, *out, *flight, *progress;
    uint64_t seed, replicates;
    bool verify;
    struct cli_list sets;
};

/* One call of the command. */
struct session {
    const struct run_args *args;
    struct scenario scenario;
    char out[OUT_BYTES_MAX + 1];
    enum progress_mode progress;
    struct run_file file;
    VEC(struct result *) results;
    int lock, flight_lock; /* on the folders of results and of flight logs, or -1 */
    bool interrupted, unwritable;
    /* Of the run under way: */
    const struct plan *plan;
    struct progress_figures figures;
    uint64_t started_ns, last_line_ns;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int signo)
{
    interrupted = 1;
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return (uint64_t)ts.tv_sec * NSEC_PER_S + (uint64_t)ts.tv_nsec;
}

/* Progress
 * -------------------------------------------------------------------------------------------------------- */

static uint32_t terminal_columns(void)
{
    struct winsize w;

    return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 ? w.ws_col : 80;
}

static void show_progress(struct session *s, bool done)
{
    uint64_t now = clock_ns(CLOCK_MONOTONIC);
    struct str line = STR_INIT(4096);

    if (!done && now - s->last_line_ns < progress_period(s->progress)) return;
    s->last_line_ns = now;
    s->figures.elapsed_ns = now - s->started_ns;
    s->figures.done = done;
    progress_line(s->progress, &s->figures, terminal_columns(), &line);
    fputs(str_text(&line), stderr);
    fflush(stderr);
    str_deinit(&line);
}

/* What is in flight when the run is over has not ended. */
static uint64_t ended(const struct ledger *l, enum account a, uint64_t *ret_opened)
{
    struct ledger_totals t;
    uint64_t sum = 0;

    ledger_totals(l, a, &t);
    for (int e = 0; e < LEDGER_END_COUNT; e++) sum += e == LEDGER_IN_FLIGHT ? 0 : t.ends[e];
    *ret_opened = t.opened;
    return sum;
}

static void take_figures(struct session *s, nsec_t now, const struct recorder *const *recorders, size_t count)
{
    s->figures.now_ns = now;
    s->figures.sessions_opened = s->figures.sessions_ended = s->figures.calls_ended = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t opened, calls;

        s->figures.sessions_ended += ended(recorder_ledger(recorders[i]), ACCOUNT_SESSION, &opened);
        s->figures.sessions_opened += opened;
        s->figures.calls_ended += ended(recorder_ledger(recorders[i]), ACCOUNT_CALL, &calls);
    }
}

static bool is_stopped(void *user)
{
    return interrupted;
}

static bool on_interval(void *user, nsec_t now, const struct recorder *const *recorders, size_t count)
{
    struct session *s = user;

    take_figures(s, now, recorders, count);
    show_progress(s, false);
    return !interrupted;
}

/* Results
 * ---------------------------------------------------------------------------------------------------------
 */

/* What cannot be written is told once: the next file would fail for the same reason. */
static int tell(struct session *s, const struct report_error *e)
{
    s->unwritable = true;
    fprintf(stderr, "%s\n", e->text);
    return EXIT_BROKEN;
}

static int save(struct session *s, const struct run_result *run, struct result *result)
{
    struct report_error error;

    if (result_write(result, s->out, &error) != 0) return tell(s, &error);
    if (result_write_hlog(result, run, s->out, &error) != 0) return tell(s, &error);
    if (run_file_add(&s->file, result) != 0) return EXIT_BROKEN;
    s->file.interrupted = s->interrupted;
    if (run_json_write(&s->file, s->out, &error) != 0) return tell(s, &error);
    return 0;
}

static void print_result(const struct session *s, const struct result *result)
{
    struct table_options o = {.colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR")};
    struct str text = STR_INIT(4u << 20);

    if (s->results.len > 1) str_putc(&text, '\n');
    table_result(result, &o, &text);
    fputs(str_text(&text), stdout);
    fflush(stdout);
    str_deinit(&text);
}

static int make_result(struct session *s, const struct measured *m, uint64_t wall_ns)
{
    const char *names[M_KIND_COUNT], *reasons[1];
    struct host_facts host;
    struct result *result;
    struct run_result run = {.plan = s->plan,
                             .clock = s->args->clock,
                             .interrupted = m->interrupted,
                             .digest = m->digest,
                             .host = &host,
                             .recorder = m->recorder,
                             .series = m->series,
                             .spans = m->spans,
                             .end_ns = m->end_ns,
                             .marks_dropped = m->marks_dropped,
                             .engine = m->engine,
                             .schedule_lag_max_ns = s->plan->live.schedule_lag_max_ns,
                             .flow_names = names,
                             .flow_name_count = M_KIND_COUNT};
    int r;

    for (int k = 0; k < M_KIND_COUNT; k++) names[k] = msg_kind_name(k);
    if (m->failure[0]) {
        reasons[0] = m->failure;
        run.invalid_reasons = reasons;
        run.invalid_reason_count = 1;
    }
    host_facts_read(&host);
    snprintf(host.build, sizeof host.build, "%s", windtunnel_build);
    host.started_unix_ns = wall_ns;
    host.elapsed_ns = clock_ns(CLOCK_MONOTONIC) - s->started_ns;
    host.memory_max_bytes = m->memory_max_bytes;
    if (result_new(&run, &result) < 0) return EXIT_BROKEN;
    if (vec_push(&s->results, result) < 0) return EXIT_BROKEN;
    r = save(s, &run, result);
    print_result(s, result);
    return r;
}

/* Runs
 * ------------------------------------------------------------------------------------------------------------
 */

static int verify(struct session *s, const struct watcher *w)
{
    int r;

    s->figures.verifying = true;
    r = verify_virtual(s->plan, w);
    s->figures.verifying = false;
    if (r == -ECANCELED) s->interrupted = true;
    if (r == -ENOMEM) fputs("verify: out of memory\n", stderr);
    return r == 0 || r == -ECANCELED ? 0 : EXIT_BROKEN;
}

static int measure(struct session *s, struct measured *m)
{
    struct watcher watcher = {.interval = on_interval, .stopped = is_stopped, .user = s};

    if (strcmp(s->args->clock, "virtual") == 0) {
        int r = s->args->verify ? verify(s, &watcher) : 0;

        if (r != 0 || s->interrupted) return r;
        return measure_virtual(s->plan, &watcher, m) < 0 ? EXIT_BROKEN : 0;
    }
    return measure_live(s->plan, &watcher, s->args->flight, s->scenario.path, m) < 0 ? EXIT_BROKEN : 0;
}

static int run_one(struct session *s, const char *deployment, uint32_t replicate)
{
    uint64_t wall_ns = clock_ns(CLOCK_REALTIME);
    struct measured m = {0};
    struct plan *plan;
    int r = scenario_load(&s->scenario, deployment, replicate, &plan);

    if (r != 0) return r;
    s->plan = plan;
    s->started_ns = clock_ns(CLOCK_MONOTONIC);
    s->last_line_ns = s->started_ns;
    s->figures.deployment = deployment;
    s->figures.replicate = replicate;
    s->figures.now_ns = 0;
    s->figures.end_ns = nsec_add(plan->duration_ns, plan->drain_ns);
    r = measure(s, &m);
    if (m.recorder) {
        s->interrupted |= m.interrupted || interrupted;
        take_figures(s, m.end_ns, (const struct recorder *const *)&m.recorder, 1);
        show_progress(s, true);
        int saved = make_result(s, &m, wall_ns);
        if (r == 0) r = saved;
    }
    if (m.failure[0]) {
        fprintf(stderr, "%s\n", m.failure);
        if (r == 0) r = EXIT_BROKEN;
    }
    measured_deinit(&m);
    plan_free(plan);
    s->figures.step++;
    return r;
}

static int run_all(struct session *s, char **names, size_t count)
{
    int r = 0;

    s->figures.replicates = (uint32_t)s->args->replicates;
    s->figures.steps = (uint32_t)(count * s->args->replicates);
    for (size_t d = 0; r == 0 && d < count && !s->interrupted; d++) {
        for (uint32_t k = 0; r == 0 && k < s->args->replicates && !s->interrupted; k++)
            r = run_one(s, names[d], k);
    }
    return r;
}

static int finish(struct session *s)
{
    struct table_options o = {.colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR")};
    const struct result *const *results = (const struct result *const *)s->results.items;
    struct str text = STR_INIT(4u << 20);
    struct report_error error;

    int r = 0;

    if (s->results.len == 0) return 0;
    /* The file first: nobody may be there to read the table. */
    if (!s->unwritable && html_write(results, s->results.len, s->out, &error) != 0) r = tell(s, &error);
    if (s->results.len > 1) {
        str_putc(&text, '\n');
        table_compare(results, s->results.len, &o, &text);
        fputs(str_text(&text), stdout);
    }
    str_deinit(&text);
    if (s->unwritable) return EXIT_BROKEN;
    if (r == 0) printf("report: %s/report.html\n", s->out);
    if (fflush(stdout) != 0 && errno != EPIPE) {
        fprintf(stderr, "standard output: %s\n", strerror(errno));
        r = EXIT_BROKEN;
    }
    return r;
}

/* out/<scenario>, where a name cannot lead out of that folder. */
static void default_out(struct session *s, const char *name)
{
    size_t n = (size_t)snprintf(s->out, sizeof s->out, "out/%s", name);

    for (size_t i = strlen("out/"); i < n && i < sizeof s->out; i++) {
        bool leading_dot = s->out[i] == '.' && i == strlen("out/");
        if (s->out[i] == '/' || (unsigned char)s->out[i] < ' ' || leading_dot) s->out[i] = '_';
    }
}

static int describe(struct session *s, char **names, size_t count)
{
    struct plan *plan;
    int r = scenario_load(&s->scenario, names[0], 0, &plan);

    if (r != 0) return r;
    if (s->args->out)
        strcpy(s->out, s->args->out); /* refuse_misfits() looked at its length */
    else
        default_out(s, plan->scenario_name);
    s->file.scenario = run_file_text(&s->file, plan->scenario_name);
    s->file.sha256 = run_file_text(&s->file, plan->scenario_sha256);
    s->file.scenario_path = run_file_text(&s->file, s->scenario.path);
    s->file.clock = run_file_text(&s->file, s->args->clock);
    s->file.build = run_file_text(&s->file, windtunnel_build);
    s->file.seed = s->args->seed;
    s->file.replicates = (uint32_t)s->args->replicates;
    for (size_t i = 0; i < s->args->sets.count; i++)
        vec_push(&s->file.sets, run_file_text(&s->file, s->args->sets.items[i]));
    for (size_t i = 0; i < count; i++) vec_push(&s->file.deployments, run_file_text(&s->file, names[i]));
    plan_free(plan);
    return 0;
}

/* All that can be wrong with the input is found before anything starts. */
static int check_all(struct session *s, char **names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct plan *plan;
        int r = scenario_load(&s->scenario, names[i], 0, &plan);

        if (r != 0) return r;
        plan_free(plan);
    }
    return 0;
}

static void remove_in(const char *folder, const char *name)
{
    struct str path = STR_INIT(64u << 10);

    if (str_appendf(&path, "%s/%s", folder, name) >= 0) remove(str_text(&path));
    str_deinit(&path);
}

/* "<deployment>/<replicate>", and the deployment's folder when it is empty then. */
static void remove_result(const char *out, const struct run_entry *entry)
{
    struct str folder = STR_INIT(64u << 10);
    char *path;

    str_appendf(&folder, "%s/", out);
    if (result_folder(entry->deployment, entry->replicate, &folder) >= 0 &&
        (path = strdup(str_text(&folder)))) {
        remove_in(path, "result.json");
        remove_in(path, "intervals.hlog");
        rmdir(path);
        *strrchr(path, '/') = '\0';
        rmdir(path);
        free(path);
    }
    str_deinit(&folder);
}

/* Says in run.json what is going to be there. Of an earlier run into the same folder goes what its run.json
 * says, and nothing else, as soon as the new one stands: no results of two runs stand beside each other (but
 * for who is killed in between), and a disk that is full costs none. */
static int replace_earlier(const struct session *s, struct report_error *error)
{
    struct report_error none;
    struct run_file earlier;
    bool found;
    int r;

    run_file_init(&earlier);
    found = run_json_read(s->out, &earlier, &none) == 0;
    r = run_json_write(&s->file, s->out, error);
    if (r == 0 && found) {
        vec_for_each(entry, &earlier.results) remove_result(s->out, entry);
        remove_in(s->out, "report.html");
    }
    run_file_deinit(&earlier);
    return r;
}

static int claim_flight(struct session *s)
{
    char why[512];
    int r = s->args->flight ? flight_folder_claim(s->args->flight, &s->flight_lock) : 0;

    if (r == 0) return 0;
    flight_folder_explain(s->args->flight, r, why, sizeof why);
    fprintf(stderr, "%s\n", why);
    return EXIT_BAD_INPUT;
}

/* Results and flight logs may go into one folder, which this run has locked then. */
static bool is_ours(const struct session *s)
{
    struct stat out, flight;

    return s->flight_lock >= 0 && fstat(s->lock, &out) == 0 && fstat(s->flight_lock, &flight) == 0 &&
           out.st_dev == flight.st_dev && out.st_ino == flight.st_ino;
}

/* The folder is tried before hours are spent on what could not be kept. */
static int claim_out(struct session *s)
{
    struct report_error error;
    int r = folder_make(s->out, &error);

    if (r == 0) {
        s->lock = open(s->out, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (s->lock >= 0 && flock(s->lock, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK && !is_ours(s)) {
            fprintf(stderr, "--out %s: another run is writing there: wait for it, or choose another folder\n",
                    s->out);
            return EXIT_BAD_INPUT;
        }
        r = replace_earlier(s, &error);
    }
    if (r == 0) return 0;
    tell(s, &error);
    return EXIT_BAD_INPUT;
}

static int run_session(struct session *s)
{
    char **names = NULL;
    size_t count;
    int r = scenario_deployments(&s->scenario, s->args->deployment, &names, &count);

    if (r == 0) r = check_all(s, names, count);
    if (r == 0 && s->args->flight && count * s->args->replicates > 1) {
        fputs("--flight: keeps the logs of one run; ask for one deployment and one replicate\n", stderr);
        r = EXIT_BAD_INPUT;
    }
    if (r == 0) r = describe(s, names, count);
    if (r == 0) r = claim_flight(s);
    if (r == 0) r = claim_out(s);
    if (r == 0) {
        r = run_all(s, names, count);
        int written = finish(s);
        if (r == 0) r = written;
        int judged = results_exit_code((const struct result *const *)s->results.items, s->results.len);
        if (r == 0 || judged == EXIT_BROKEN) r = judged;
        if (s->interrupted && r != EXIT_BROKEN) r = EXIT_INTERRUPTED;
    }
    free(names);
    return r;
}

static int parse(struct run_args *a, int argc, char **argv, struct cli_list *positional)
{
    const struct cli_option options[] = {
        {"--clock", "live|virtual", "real sockets, or an event calendar (default live)", CLI_CHOICE,
         &a->clock, 0},
        {"--seed", "N", "seed of all randomness, 0 to 2^63-1 (default 1)", CLI_NUMBER, &a->seed,
         WINDTUNNEL_SEED_MAX},
        {"--deployment", "NAME|all", "which deployment (default: the first)", CLI_TEXT, &a->deployment, 0},
        {"--replicates", "N", "independent repetitions (default 1)", CLI_NUMBER, &a->replicates,
         REPLICATES_MAX, 1},
        {"--set", "POINTER=VALUE", "changes the scenario before it is read; may be given again", CLI_LIST,
         &a->sets, 0},
        {"--out", "DIR", "where results go (default out/<scenario>)", CLI_TEXT, &a->out, 0},
        {"--flight", "DIR", "live: keep every event of every process, for replay", CLI_TEXT, &a->flight, 0},
        {"--progress", "auto|plain|json|none", "how progress is told on standard error", CLI_CHOICE,
         &a->progress, 0},
        {"--verify", NULL, "virtual: run twice first and name the first event that differs", CLI_FLAG,
         &a->verify, 0},
    };
    const struct cli_command command = {
        .usage = "windtunnel run SCENARIO [options]",
        .about = "Runs a scenario to its results, a table and a report. The exit code says whether the "
                 "objectives were met.",
        .example = "  windtunnel run scenarios/reconnect-storm.json --out out/storm\n"
                   "  windtunnel run scenarios/cold-start.json --clock virtual --seed 7 --deployment all",
        .options = options,
        .option_count = sizeof options / sizeof *options,
        .positional_min = 1,
        .positional_max = 1};

    return cli_parse(&command, argc, argv, positional);
}

/* An option that would have no effect is a mistake, better told than passed over. */
static int refuse_misfits(const struct run_args *a)
{
    bool live = strcmp(a->clock, "live") == 0;

    if (a->out && strlen(a->out) > OUT_BYTES_MAX)
        fprintf(stderr, "--out: longer than %d bytes\n", OUT_BYTES_MAX);
    else if (live && a->verify)
        fputs("--verify: is for --clock virtual; no two live runs are the same\n", stderr);
    else if (!live && a->flight)
        fputs("--flight: is for --clock live; a virtual run is repeated by its seed\n", stderr);
    else
        return 0;
    return EXIT_BAD_INPUT;
}

int command_run(int argc, char **argv)
{
    struct run_args args = {.clock = "live", .seed = 1, .replicates = 1};
    struct session s = {.args = &args, .lock = -1, .flight_lock = -1};
    struct sigaction action = {.sa_handler = on_signal};
    struct cli_list positional;
    int r = parse(&args, argc, argv, &positional);

    if (r != 0) return r == CLI_HELP ? EXIT_MET : EXIT_BAD_INPUT;
    if ((r = refuse_misfits(&args)) != 0) return r;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    if (signal(SIGHUP, SIG_IGN) != SIG_IGN) sigaction(SIGHUP, &action, NULL); /* else it is nohup's wish */
    signal(SIGPIPE, SIG_IGN);
    if (strcmp(args.clock, "virtual") == 0) pages_prefer_huge();
    s.scenario = (struct scenario){.path = positional.items[0], .sets = &args.sets, .seed = args.seed};
    scenario_read(&s.scenario);
    progress_mode_of(args.progress, isatty(STDERR_FILENO), &s.progress);
    run_file_init(&s.file);
    vec_init(&s.results, (size_t)PLAN_DEPLOYMENTS_MAX * REPLICATES_MAX);
    r = run_session(&s);
    vec_for_each(result, &s.results) result_free(*result);
    vec_deinit(&s.results);
    run_file_deinit(&s.file);
    scenario_deinit(&s.scenario);
    if (s.lock >= 0) close(s.lock);
    if (s.flight_lock >= 0) close(s.flight_lock);
    return r;
}
