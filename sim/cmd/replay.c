#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/cli.h"
#include "sim/base/slab.h"
#include "sim/cmd/commands.h"
#include "sim/live/flight.h"
#include "sim/plan/parse.h"
#include "sim/record/recorder.h"
#include "sim/world/limits.h"

/* A log is replayed by the build that wrote it: other code may rightly decide otherwise. */
static bool same_build(const char *path, const struct flight_header *h)
{
    if (strcmp(h->build, windtunnel_build) == 0) return true;
    fprintf(stderr, "%s: was written by %s, this is %s\n", path, h->build, windtunnel_build);
    return false;
}

static int world_of(const struct flight_header *h, const struct plan *plan, struct recorder *recorder,
                    struct world **ret)
{
    struct world_options o = {.plan = plan, .roles = world_roles, .flows_max = SLAB_LIMIT_MAX};
    int r = world_new(&o, ret);

    for (size_t i = 0; r == 0 && i < h->component_count; i++)
        r = world_add(*ret, h->components[i], recorder, h->incarnation);
    return r;
}

/* What was there is the same; whether there was more, nobody knows. */
static void tell_missing_end(const char *path, const struct flight_replayed *done)
{
    if (done->ended && !done->cut_short) return;
    fprintf(stderr, "%s: ends early, %s: its process was killed, or the file was cut off\n", path,
            done->cut_short ? "in the middle of a frame" : "without its end mark");
}

static int replay_log(const char *path, const struct flight_log *log)
{
    const struct flight_header *h = flight_log_header(log);
    struct plan_load_options o = {
        .path = h->name, .text = h->document, .seed = h->seed, .replicate = h->replicate};
    struct str error = STR_INIT(4096);
    struct plan_error plan_error;
    struct flight_replayed done;
    struct recorder *recorder = NULL;
    struct world *world = NULL;
    struct plan *plan = NULL;
    struct recorder_options ro;
    int r;

    if (!same_build(path, h)) return EXIT_BAD_INPUT;
    r = plan_load(&o, &plan, &plan_error);
    if (r != 0) {
        fprintf(stderr, "%s: its scenario: %s\n", path, plan_error.text);
        return EXIT_BAD_INPUT;
    }
    ro = recorder_options_of(plan);
    r = recorder_new(&ro, &recorder);
    if (r == 0) r = world_of(h, plan, recorder, &world);
    if (r == 0) r = flight_replay(log, world, recorder, &done, &error);
    if (r == 0) {
        printf("%s: %" PRIu64 " turns, %" PRIu64 " events, %" PRIu64 " effects: the same, to the bit\n", path,
               done.turns, done.events, done.effects);
        fflush(stdout);
        tell_missing_end(path, &done);
    } else {
        fprintf(stderr, "%s\n", str_len(&error) ? str_text(&error) : strerror(-r));
    }
    world_free(world);
    recorder_free(recorder);
    plan_free(plan);
    str_deinit(&error);
    return r == 0 ? EXIT_MET : EXIT_BROKEN;
}

static int replay_file(const char *path)
{
    struct str error = STR_INIT(4096);
    struct flight_log *log;
    int r = flight_read(path, &log, &error);

    if (r < 0) {
        fprintf(stderr, "%s\n", str_text(&error));
        str_deinit(&error);
        return EXIT_BROKEN;
    }
    str_deinit(&error);
    r = replay_log(path, log);
    flight_log_free(log);
    return r;
}

static int is_log(const struct dirent *e)
{
    size_t n = strlen(e->d_name);

    return n > 7 && strcmp(e->d_name + n - 7, ".flight") == 0;
}

static int replay_dir(const char *dir)
{
    struct dirent **entries = NULL;
    int n = scandir(dir, &entries, is_log, alphasort), r = EXIT_MET;

    if (n <= 0) {
        fprintf(stderr, "%s: no flight logs (*.flight) there\n", dir);
        free(entries);
        return EXIT_BAD_INPUT;
    }
    for (int i = 0; i < n; i++) {
        char path[4096];
        int one;

        snprintf(path, sizeof path, "%s/%s", dir, entries[i]->d_name);
        one = replay_file(path);
        if (one > r) r = one;
        free(entries[i]);
    }
    free(entries);
    return r;
}

int command_replay(int argc, char **argv)
{
    const struct cli_command command = {
        .usage = "windtunnel replay DIR",
        .about =
            "Feeds the flight logs of a live run to the same machines, alone, and compares every effect.",
        .example =
            "  windtunnel run scenarios/cold-start.json --flight out/flight\n  windtunnel replay out/flight",
        .positional_min = 1,
        .positional_max = 1};
    struct cli_list positional;
    int r = cli_parse(&command, argc, argv, &positional);

    if (r != 0) return r == CLI_HELP ? EXIT_MET : EXIT_BAD_INPUT;
    return replay_dir(positional.items[0]);
}
