#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mock-orchestrator/api_client.h"
#include "sim/base/cli.h"
#include "sim/cmd/alone.h"
#include "sim/cmd/commands.h"
#include "sim/live/disk.h"
#include "sim/record/recorder.h"

struct runner_args {
    const char *orchestrator, *environment, *key, *cold_start;
    uint64_t workers;
};

struct runner_command {
    const struct runner_args *args;
    struct alone alone;
    struct api_client *client;
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

static int open_client(struct runner_command *c)
{
    static const char scheme[] = "http://";
    struct api_environment environment = {.id = c->args->environment, .key = c->args->key};
    struct api_client_options o = {.environments = &environment, .environment_count = 1};
    char address[64];
    int r;

    if (strncmp(c->args->orchestrator, scheme, strlen(scheme)) != 0)
        return alone_refuse("runner", "--orchestrator must be http://<ip>:<port>", 0);
    snprintf(address, sizeof address, "%s", c->args->orchestrator + strlen(scheme));
    address[strcspn(address, "/")] = '\0';
    o.address = address;
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

static bool is_connected(const struct alone *a)
{
    return recorder_counter(a->recorder, COUNTER_POLLS_EMPTY) ||
           recorder_counter(a->recorder, COUNTER_HEARTBEATS);
}

static int run(struct runner_command *c)
{
    static const struct alone_source sources[] = {
        {"/runners/pool/workers", "--workers"}, {"/runners/pool/cold_start", "--cold-start"}, {NULL, NULL}};
    struct str document = STR_INIT(4096), ready = STR_INIT(4096);
    int r;

    document_of(c->args, &document);
    r = alone_new(&c->alone, str_text(&document), sources);
    if (r == 0) r = open_client(c);
    if (r == 0) r = open_disk(c);
    if (r == 0) r = alone_add(&c->alone, ADDR(ROLE_RUNNER, 0));
    if (r == 0) {
        str_puts(&ready, "{\"orchestrator\":");
        str_append_json(&ready, c->args->orchestrator, strlen(c->args->orchestrator));
        str_puts(&ready, ",\"workers\":");
        str_put_u64(&ready, c->args->workers);
        str_putc(&ready, '}');
        alone_run(&c->alone, &ready, is_connected, 500 * NSEC_PER_MS);
    }
    alone_stop(&c->alone);
    api_client_free(c->client);
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
        {"--orchestrator", "URL", "the control plane: http://<ip>:<port> (needed)", CLI_TEXT, &a.orchestrator,
         0},
        {"--environment", "ID", "the environment to serve (needed)", CLI_TEXT, &a.environment, 0},
        {"--environment-key", "KEY", "its key (needed)", CLI_TEXT, &a.key, 0},
        {"--workers", "N", "sessions served at once (default 1)", CLI_NUMBER, &a.workers, 10000, 1},
        {"--cold-start", "TIME", "how long a sandbox takes to start (default 1s)", CLI_TEXT, &a.cold_start,
         0},
    };
    const struct cli_command command = {
        .usage = "windtunnel runner --orchestrator URL --environment ID --environment-key KEY [options]",
        .about = "Runs environment workers with simulated sandboxes against any orchestrator. Stops in order "
                 "on SIGTERM.",
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
