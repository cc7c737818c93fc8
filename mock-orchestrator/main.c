/* The mock-orchestrator command: a control plane alone, for anybody's clients and workers. */
#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "mock-orchestrator/api_server.h"
#include "mock-orchestrator/json_text.h"
#include "mock-orchestrator/local_flow.h"
#include "sim/base/build_id.h"
#include "sim/base/cleanup.h"
#include "sim/base/cli.h"
#include "sim/base/ids.h"
#include "sim/base/str.h"
#include "sim/live/certs.h"
#include "sim/live/flight.h"
#include "sim/live/flight_folder.h"
#include "sim/live/tcp.h"
#include "sim/live/tls.h"
#include "sim/plan/parse.h"
#include "sim/record/recorder.h"
#include "sim/world/limits.h"

#ifndef WINDTUNNEL_PROFILES
#define WINDTUNNEL_PROFILES NULL
#endif

enum {
    EXIT_BAD_INPUT = 2,
    EXIT_BROKEN = 4,
    POOLS = 64,
    FLOWS_MAX = 1 << 20,
    STOP_TICK_MS = 10,
    STOP_TICKS = 80, /* for what is under way */
};

/* Then, for connections that are being closed. */
#define FLUSH_NS (200 * NSEC_PER_MS)

struct args {
    const char *listen, *api_key, *script, *deployment, *flight, *tls_cert, *tls_key;
    struct cli_list environments, environment_keys;
    uint64_t seed;
};

struct program {
    const struct args *args;
    struct event_base *base;
    struct plan *plan;
    struct recorder *recorder;
    struct driver *driver;
    struct dialer *local;
    struct tls_context *tls; /* NULL: plain */
    struct api_server *server;
    struct flight_writer *flight; /* NULL: nothing is kept */
    int flight_lock;              /* on its folder, or -1 */
    struct event *on_term, *on_int, *stop_tick;
    int stop_ticks;
    bool ended; /* in order */
};

/* The scenario
 * ----------------------------------------------------------------------------------------------- */

/* One script: a command whose output proves that somebody ran it, and an answer that quotes it. */
static void default_scenario(struct str *out)
{
    str_puts(out, "{\"schema\":\"windtunnel.scenario/"
                  "1\",\"name\":\"mock-orchestrator\",\"duration\":\"24h\",\"load\":{\"none\":"
                  "{\"script\":\"hash-a-token\",\"process\":\"at-once\",\"sessions\":1}},\"scripts\":{\"hash-"
                  "a-token\":{\"turns\":"
                  "[{\"steps\":[{\"model\":\"50ms\",\"calls\":[{\"tool\":\"bash\",\"execution\":\"20ms\","
                  "\"output\":67}]}],"
                  "\"answer\":{\"model\":\"50ms\",\"bytes\":100}}]}},\"orchestrator\":{\"sessions_max\":"
                  "20000},\"runners\":{");
    for (int i = 0; i < POOLS; i++)
        str_appendf(out, "%s\"pool-%d\":{\"cold_start\":\"100ms\"}", i ? "," : "", i);
    str_puts(out, "}}");
}

static int load_plan(const struct args *args, struct plan **ret)
{
    CLEANUP(str_deinit) struct str text = STR_INIT(1 << 20);
    struct plan_error error;
    struct plan_load_options o = {.path = args->script ? args->script : "built-in scenario",
                                  .deployment = args->deployment,
                                  .seed = args->seed,
                                  .profiles_dir = WINDTUNNEL_PROFILES};
    int r;

    if (!args->script) {
        default_scenario(&text);
        o.text = str_text(&text);
    }
    r = plan_load(&o, ret, &error);
    if (r != 0) fprintf(stderr, "mock-orchestrator: %s\n", error.text);
    return r == 0 ? 0 : r == PLAN_E_INVALID ? EXIT_BAD_INPUT : EXIT_BROKEN;
}

/* Stopping
 * --------------------------------------------------------------------------------------------------- */

static void on_stop_tick(evutil_socket_t fd, short what, void *user)
{
    struct program *p = user;

    if (api_server_idle(p->server) || ++p->stop_ticks >= STOP_TICKS) event_base_loopbreak(p->base);
}

/* Ends what is under way, and waits a moment for it. */
static void on_signal(evutil_socket_t fd, short what, void *user)
{
    struct program *p = user;
    struct timeval tick = {.tv_usec = STOP_TICK_MS * 1000};

    if (p->stop_tick) {
        event_base_loopbreak(p->base); /* asked twice */
        return;
    }
    api_server_drain(p->server);
    p->stop_tick = event_new(p->base, -1, EV_PERSIST, on_stop_tick, p);
    if (!p->stop_tick || event_add(p->stop_tick, &tick) < 0) event_base_loopbreak(p->base);
}

/* Start
 * ------------------------------------------------------------------------------------------------------ */

static void on_turn(void *user, nsec_t now, const struct event *events, size_t count)
{
    struct program *p = user;

    if (p->flight) flight_turn(p->flight, now, events, count);
}

static void on_effects(void *user, nsec_t now, const struct effect *effects, size_t count)
{
    struct program *p = user;

    if (p->flight && count) flight_effects(p->flight, effects, count);
}

/* The log of every event, for `windtunnel replay`. */
static int open_flight(struct program *p)
{
    addr_t components[1 + POOLS] = {ADDR(ROLE_ORCHESTRATOR, 0)};
    struct flight_header h = {.build = windtunnel_build,
                              .document = plan_resolved(p->plan),
                              .name = "mock-orchestrator",
                              .deployment = p->plan->deployment,
                              .seed = p->plan->seed,
                              .components = components,
                              .component_count = 1};
    char path[4096], why[512];
    int r;

    if (!p->args->flight) return 0;
    for (uint32_t i = 0; p->plan->orchestrator.mcp_direct && i < p->plan->mcp_count && i < POOLS; i++)
        components[h.component_count++] = ADDR(ROLE_MCP, i);
    snprintf(path, sizeof path, "%s/mock-orchestrator.flight", p->args->flight);
    r = flight_folder_claim(p->args->flight, &p->flight_lock);
    if (r == 0) r = flight_create(path, &h, &p->flight);
    if (r == 0) return 0;
    flight_folder_explain(p->args->flight, r, why, sizeof why);
    fprintf(stderr, "mock-orchestrator: %s\n", why);
    return EXIT_BAD_INPUT;
}

static int start_driver(struct program *p)
{
    struct recorder_options recorder = recorder_options_of(p->plan);
    struct driver_options o = {.base = p->base,
                               .plan = p->plan,
                               .flows_max = FLOWS_MAX,
                               .on_turn = on_turn,
                               .on_effects = on_effects,
                               .user = p};
    int r;

    recorder.zeroed = false;
    if ((r = recorder_new(&recorder, &p->recorder)) < 0 || (r = driver_new(&o, &p->driver)) < 0) return r;
    if ((r = local_flow_new(p->driver, &p->local)) < 0) return r;
    driver_set_dialer(p->driver, ROLE_ORCHESTRATOR, ROLE_EDGE, p->local);
    driver_set_dialer(p->driver, ROLE_ORCHESTRATOR, ROLE_MCP, p->local);
    r = driver_add(p->driver, ADDR(ROLE_ORCHESTRATOR, 0), p->recorder, 0);
    /* Servers that need no tunnel are played here; there is no tunnel, so calls through one are refused. */
    for (uint32_t i = 0; r == 0 && p->plan->orchestrator.mcp_direct && i < p->plan->mcp_count; i++)
        r = driver_add(p->driver, ADDR(ROLE_MCP, i), p->recorder, 0);
    return r;
}

static int refuse_file(const char *option, const char *path, const char *why)
{
    fprintf(stderr, "mock-orchestrator: %s %s: %s\n", option, path, why);
    return EXIT_BAD_INPUT;
}

static int start_tls(struct program *p)
{
    const struct args *a = p->args;
    CLEANUP(cleanup_free_p) char *cert = NULL, *key = NULL;
    struct tls_options o = {.server = true};
    char why[TLS_WHY_MAX];
    int r;

    if (!a->tls_cert) return 0;
    if ((r = certs_read(a->tls_cert, &cert)) < 0) return refuse_file("--tls-cert", a->tls_cert, strerror(-r));
    if ((r = certs_read(a->tls_key, &key)) < 0) return refuse_file("--tls-key", a->tls_key, strerror(-r));
    o.cert_pem = cert;
    o.key_pem = key;
    return tls_context_new(&o, &p->tls, why) < 0 ? refuse_file("--tls-cert", a->tls_cert, why) : 0;
}

static int start_server(struct program *p)
{
    const struct args *args = p->args;
    struct api_environment environments[CLI_LIST_MAX];
    struct api_server_options o = {.self = ADDR(ROLE_ORCHESTRATOR, 0),
                                   .listen = args->listen,
                                   .tls = p->tls,
                                   .api_key = args->api_key,
                                   .environments = environments,
                                   .environment_count = args->environments.count,
                                   .create_environments = true,
                                   .hash_commands = !args->script,
                                   .token_seed = args->seed};

    for (size_t i = 0; i < args->environments.count; i++) {
        const struct cli_list *keys = &args->environment_keys;

        environments[i] = (struct api_environment){.id = args->environments.items[i],
                                                   .key = i < keys->count ? keys->items[i]
                                                          : keys->count   ? keys->items[0]
                                                                          : NULL};
    }
    return api_server_new(p->driver, &o, &p->server);
}

static int watch_signals(struct program *p)
{
    p->on_term = evsignal_new(p->base, SIGTERM, on_signal, p);
    p->on_int = evsignal_new(p->base, SIGINT, on_signal, p);
    if (!p->on_term || !p->on_int) return -ENOMEM;
    return event_add(p->on_term, NULL) < 0 || event_add(p->on_int, NULL) < 0 ? -ENOMEM : 0;
}

/* "http://127.0.0.1:1234" of the address that was asked for and the port that was got. */
static void print_ready(const struct program *p)
{
    const char *listen = p->args->listen, *colon = strrchr(listen, ':');
    json_t *url = json_sprintf("%s://%.*s:%d", p->tls ? "https" : "http", (int)(colon - listen), listen,
                               api_server_port(p->server));
    json_t *ready = json_pack("{s:o,s:s}", "listening", url, "environment", p->args->environments.items[0]);

    json_dumpf(ready, stdout, JSON_COMPACT);
    putchar('\n');
    fflush(stdout);
    json_decref(ready);
}

static void program_deinit(struct program *p)
{
    if (p->driver) driver_end(p->driver);
    driver_free(p->driver);
    if (p->flight && p->ended) flight_end(p->flight);
    flight_close(p->flight);
    if (p->flight_lock >= 0) close(p->flight_lock);
    api_server_free(p->server);
    tls_context_free(p->tls);
    local_flow_free(p->local);
    recorder_free(p->recorder);
    if (p->on_term) event_free(p->on_term);
    if (p->on_int) event_free(p->on_int);
    if (p->stop_tick) event_free(p->stop_tick);
    plan_free(p->plan);
    tcp_base_free(p->base, FLUSH_NS);
}

/* An environment's id stands in paths of requests as it is. */
static int check_environments(const struct args *args)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";

    for (size_t i = 0; i < args->environments.count; i++) {
        const char *id = args->environments.items[i];

        if (id[0] && !id[strspn(id, allowed)]) continue;
        fprintf(stderr, "mock-orchestrator: --environment: \"%s\" is no id: letters, digits, _, - and .\n",
                id);
        return EXIT_BAD_INPUT;
    }
    if (args->environment_keys.count <= args->environments.count) return 0;
    fprintf(stderr, "mock-orchestrator: --environment-key: given %zu times, --environment only %zu\n",
            args->environment_keys.count, args->environments.count);
    return EXIT_BAD_INPUT;
}

static int run(const struct args *args)
{
    CLEANUP(program_deinit) struct program p = {.args = args, .flight_lock = -1};
    int r = load_plan(args, &p.plan);

    if (r != 0) return r;
    if ((r = check_environments(args)) != 0) return r;
    if (args->environments.count > p.plan->runner_count) {
        fprintf(stderr,
                "mock-orchestrator: --environment: given %zu times, but the scenario has %" PRIu32
                " runner pools\n",
                args->environments.count, p.plan->runner_count);
        return EXIT_BAD_INPUT;
    }
    if ((r = start_tls(&p)) != 0) return r;
    if ((r = open_flight(&p)) != 0) return r;
    r = tcp_base_new(&p.base);
    if (r == 0) r = start_driver(&p);
    if (r < 0) {
        fprintf(stderr, "mock-orchestrator: cannot start: %s\n", strerror(-r));
        return EXIT_BROKEN;
    }
    r = start_server(&p);
    if (r == 0) r = watch_signals(&p);
    if (r < 0) {
        fprintf(stderr, "mock-orchestrator: cannot listen on %s: %s\n", args->listen, tcp_listen_why(r));
        return EXIT_BAD_INPUT;
    }
    print_ready(&p);
    if (event_base_dispatch(p.base) < 0) return EXIT_BROKEN;
    p.ended = true;
    return 0;
}

/* Arguments
 * -------------------------------------------------------------------------------------------------- */

static int read_args(int argc, char **argv, struct args *args)
{
    const struct cli_option options[] = {
        {"--listen", "IP:PORT", "where to listen; port 0 is any free one [127.0.0.1:0]", CLI_TEXT,
         &args->listen, 0},
        {"--api-key", "KEY", "what clients must show; without it, nothing is asked of them", CLI_TEXT,
         &args->api_key, 0},
        {"--environment", "ID", "an environment's id, as often as there are [env_local]", CLI_LIST,
         &args->environments, 0},
        {"--environment-key", "KEY",
         "the key of its workers, in the same order; the first is also for all others", CLI_LIST,
         &args->environment_keys, 0},
        {"--script", "FILE", "a scenario whose scripts the agents follow; an agent's name chooses", CLI_TEXT,
         &args->script, 0},
        {"--tls-cert", "FILE", "serve https with this certificate, PEM, the chain after it", CLI_TEXT,
         &args->tls_cert, 0},
        {"--tls-key", "FILE", "and its key, PEM", CLI_TEXT, &args->tls_key, 0},
        {"--flight", "DIR", "keep every event there, for windtunnel replay", CLI_TEXT, &args->flight, 0},
        {"--deployment", "NAME", "which deployment of that scenario [the first]", CLI_TEXT, &args->deployment,
         0},
        {"--seed", "N", "of all that is drawn [a random one]", CLI_NUMBER, &args->seed, INT64_MAX},
    };
    const struct cli_command command = {
        .usage = "mock-orchestrator [options]",
        .about =
            "A control plane for agents: sessions, events, and a work queue for the workers of self-hosted\n"
            "environments, on the wire of the real one. Without --script every turn makes one bash call, "
            "which\n"
            "hashes a random token, and quotes its result. MCP calls of a script end in errors, unless the\n"
            "scenario reaches its MCP servers directly: then they are simulated here.\n\n"
            "When it is ready it prints one line of JSON: where it listens. SIGTERM and SIGINT stop it.",
        .example = "  mock-orchestrator --listen 127.0.0.1:8080 --api-key K --environment env_1 "
                   "--environment-key W\n"
                   "  curl -s -H 'x-api-key: K' http://127.0.0.1:8080/v1/environments",
        .options = options,
        .option_count = sizeof options / sizeof *options,
    };
    struct cli_list positional;

    return cli_parse(&command, argc, argv, &positional);
}

int main(int argc, char **argv)
{
    struct args args = {.listen = "127.0.0.1:0", .seed = UINT64_MAX};
    int r = read_args(argc - 1, argv + 1, &args);

    if (r == CLI_HELP) return 0;
    if (r < 0) return EXIT_BAD_INPUT;
    if (args.environments.count == 0) args.environments.items[args.environments.count++] = "env_local";
    if (args.seed == UINT64_MAX && getrandom(&args.seed, sizeof args.seed, 0) != sizeof args.seed)
        return EXIT_BROKEN;
    args.seed &= INT64_MAX;
    if (!args.tls_cert != !args.tls_key) {
        fprintf(stderr, "mock-orchestrator: --tls-cert and --tls-key are given together\n");
        return EXIT_BAD_INPUT;
    }
    if (!strrchr(args.listen, ':')) {
        fprintf(stderr, "--listen: \"%s\" is not IP:PORT\n", args.listen);
        return EXIT_BAD_INPUT;
    }
    return run(&args);
}
