#include "sim/cmd/commands.h"

#include <stdio.h>
#include <string.h>

#include "sim/base/cli.h"
#include "sim/base/nearest.h"

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *about;
} commands[] = {
    {"run", command_run, "runs a scenario, live or in virtual time, to its results and report"},
    {"check", command_check, "validates a scenario and prints the resolved plan"},
    {"report", command_report, "renders results again"},
    {"replay", command_replay, "feeds a flight log to the same machines and compares the effects"},
    {"edge", command_edge, "one role alone: the tunnel's outside end, with an entrance for plain HTTP"},
    {"gateway", command_gateway, "one role alone: connector and proxy of one tunnel"},
    {"runner", command_runner, "one role alone: environment workers against any orchestrator"},
};

enum { COMMANDS = sizeof commands / sizeof *commands };

static void print_help(void)
{
    fputs("usage: windtunnel COMMAND [arguments]\n\n"
          "Simulates and load-tests hybrid AI-agent deployments: one scenario, two clocks.\n\ncommands:\n",
          stdout);
    for (size_t i = 0; i < COMMANDS; i++) printf("  %-9s %s\n", commands[i].name, commands[i].about);
    fputs(
        "\nexit codes: 0 objectives met, 1 an objective missed, 2 bad usage or input, 3 the run is invalid,\n"
        "4 an invariant broke or the program failed, 130 interrupted\n\n"
        "example:\n  windtunnel run scenarios/cold-start.json --clock virtual --deployment all\n"
        "  windtunnel COMMAND --help\n",
        stdout);
}

static int unknown(const char *name)
{
    const char *names[COMMANDS], *near;

    for (size_t i = 0; i < COMMANDS; i++) names[i] = commands[i].name;
    near = nearest_name(name, names, COMMANDS);
    fprintf(stderr, "windtunnel: unknown command \"%s\"%s%s%s; windtunnel --help lists them\n", name,
            near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    return EXIT_BAD_INPUT;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fputs("usage: windtunnel COMMAND [arguments]; windtunnel --help lists the commands\n", stderr);
        return EXIT_BAD_INPUT;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        print_help();
        return cli_flush() == 0 ? EXIT_MET : EXIT_BROKEN;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts(windtunnel_build);
        return cli_flush() == 0 ? EXIT_MET : EXIT_BROKEN;
    }
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(argv[1], commands[i].name) == 0) return commands[i].run(argc - 2, argv + 2);
    }
    return unknown(argv[1]);
}
