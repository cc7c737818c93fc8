#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mock-orchestrator/api_client.h"
#include "sim/base/cleanup.h"
#include "sim/base/cli.h"
#include "sim/cmd/alone.h"
#include "sim/cmd/commands.h"
#include "sim/live/certs.h"
#include "sim/live/disk.h"
#include "sim/live/tcp.h"
#include "sim/live/tls.h"

struct runner_args {
    const char *orchestrator, *environment, *key, *cold_start, *ca;
    uint64_t workers;
};

struct runner_command {
    const struct runner_args *args;
    struct alone alone;
    struct api_client *client;
    struct tls_context *tls; /* NULL: plain */
    struct disk *disk;
    char files[64];
};

static void document_of(const struct runner_args *a, struct str *out)
{
    str_puts(
        out,
        "{\"schema\":\"windtunnel.scenario/"
        "1\",\"name\":\"runner\",\"duration\":\"1s\",\"scripts\":{\"none\":{\"turns\":[{}]}},"
        "\"load\":{\"none\":{\"script\":\"none\",\"rate\":\"1/h\"}},\"runners\":{\"pool\":{\"workers\":");
    str_put_u64(out, a->workers);
    str_puts(out, ",\"cold_start\":");
    str_append_json(out, a->cold_start, strlen(a->cold_start));
    str_puts(out, "}}}");
}

/* Where the URL has its "<ip>:<port>"; NULL: it is none of this scheme. */
static const char *after(const char *url, const char *scheme)
{
    return strncmp(url, scheme, strlen(scheme)) == 0 ? url + strlen(scheme) : NULL;
}

static int open_tls(struct runner_command *c)
{
    nsec_t limit = c->alone.plan->links[LINK_RUNNER_ORCHESTRATOR].dial_timeout_ns;
    CLEANUP(cleanup_free_p) char *ca = NULL;
    char why[TLS_WHY_MAX + 16] = "--ca: ";
    size_t said = strlen(why);
    int r = c->args->ca ? certs_read(c->args->ca, &ca) : 0;

    if (r < 0) {
        snprintf(why + said, sizeof why - said, "%s", strerror(-r));
        return alone_refuse("runner", why, r);
    }
    r = tls_context_new(&(struct tls_options){.ca_pem = ca, .system_cas = !ca, .handshake_timeout_ns = limit},
                        &c->tls, why + said);
    return r < 0 ? alone_refuse("runner", why, r) : 0;
}

static int open_client(struct runner_command *c)
{
    const char *plain = after(c->args->orchestrator, "http://"),
               *secret = after(c->args->orchestrator, "https://");
    struct api_environment environment = {.id = c->args->environment, .key = c->args->key};
    struct api_client_options o = {.environments = &environment, .environment_count = 1, .disk = c->disk};
    char address[64];
    int r;

    if (!plain && !secret)
        return alone_refuse("runner", "--orchestrator must be http://<ip>:<port> or https://<ip>:<port>", 0);
    if (c->args->ca && !secret) return alone_refuse("runner", "--ca is for an orchestrator of https://", 0);
    if (secret && (r = open_tls(c)) != 0) return r;
    snprintf(address, sizeof address, "%s", plain ? plain : secret);
    address[strcspn(address, "/")] = '\0';
    if (!tcp_is_address(address, true))
        return alone_refuse("runner", "--orchestrator must be http://<ip>:<port> or https://<ip>:<port>", 0);
    o.address = address;
    o.tls = c->tls;
    r = api_client_new(c->alone.driver, &o, &c->client);
    if (r < 0) return alone_refuse("runner", NULL, r);
    driver_set_dialer(c->alone.driver, ROLE_RUNNER, ROLE_ORCHESTRATOR, api_client_dialer(c->client));
    return 0;
}

static int open_disk(struct runner_command *c)
{
    int r;

    snprintf(c->files, sizeof c->files, "/tmp/windtunnel-XXXXXX");
    if (!mkdtemp(c->files)) {
        c->files[0] = '\0';
        return alone_refuse("runner", "no folder can be made in /tmp", 0);
    }
    r = disk_new(c->alone.base, c->files, &c->disk);
    if (r < 0) return alone_refuse("runner", NULL, r);
    driver_set_dialer(c->alone.driver, ROLE_RUNNER, ROLE_DISK, disk_dialer(c->disk));
    return 0;
}

static int run(struct runner_command *c)
{
    static const struct alone_source sources[] = {
        {"/runners/pool/workers", "--workers"}, {"/runners/pool/cold_start", "--cold-start"}, {NULL, NULL}};
    struct str document = STR_INIT(4096), ready = STR_INIT(4096);
    int r;

    document_of(c->args, &document);
    r = alone_new(&c->alone, str_text(&document), sources);
    if (r == 0) r = open_disk(c);
    if (r == 0) r = open_client(c);
    if (r == 0) r = alone_add(&c->alone, ADDR(ROLE_RUNNER, 0));
    if (r == 0) {
        str_puts(&ready, "{\"orchestrator\":");
        str_append_json(&ready, c->args->orchestrator, strlen(c->args->orchestrator));
        str_puts(&ready, ",\"workers\":");
        str_put_u64(&ready, c->args->workers);
        str_putc(&ready, '}');
        c->alone.peer = (struct alone_peer){"windtunnel runner", c->args->orchestrator, ROLE_ORCHESTRATOR};
        alone_run(&c->alone, &ready, 500 * NSEC_PER_MS);
    }
    alone_stop(&c->alone);
    api_client_free(c->client);
    tls_context_free(c->tls);
    disk_free(c->disk);
    if (c->files[0]) rmdir(c->files);
    alone_deinit(&c->alone);
    str_deinit(&document);
    str_deinit(&ready);
    return r;
}

int command_runner(int argc, char **argv)
{
    struct runner_args a = {.workers = 1, .cold_start = "1s"};
    const struct cli_option options[] = {
        {"--orchestrator", "URL", "the control plane: http://<ip>:<port> or https://<ip>:<port> (needed)",
         CLI_TEXT, &a.orchestrator, 0},
        {"--ca", "FILE", "who signed its certificate, PEM (default: the system's CAs)", CLI_TEXT, &a.ca, 0},
        {"--environment", "ID", "the environment to serve (needed)", CLI_TEXT, &a.environment, 0},
        {"--environment-key", "KEY", "its key (needed)", CLI_TEXT, &a.key, 0},
        {"--workers", "N", "sessions served at once (default 1)", CLI_NUMBER, &a.workers, 10000, 1},
        {"--cold-start", "TIME", "how long a sandbox takes to start (default 1s)", CLI_TEXT, &a.cold_start,
         0},
    };
    const struct cli_command command = {
        .usage = "windtunnel runner --orchestrator URL --environment ID --environment-key KEY [options]",
        .about =
            "Runs environment workers with simulated sandboxes against any orchestrator: calls of a "
            "scenario's script are\nsimulated, all others are answered with an error, for nothing is run. "
            "Stops in order on SIGTERM.",
        .example = "  windtunnel runner --orchestrator http://127.0.0.1:8080 --environment env_x "
                   "--environment-key K2",
        .options = options,
        .option_count = sizeof options / sizeof *options};
    struct runner_command c = {.args = &a};
    struct cli_list positional;
    int r = cli_parse(&command, argc, argv, &positional);

    if (r != 0) return r == CLI_HELP ? EXIT_MET : EXIT_BAD_INPUT;
    if (!a.orchestrator || !a.environment || !a.key)
        return alone_refuse("runner", "--orchestrator, --environment and --environment-key are needed", 0);
    return run(&c);
}
