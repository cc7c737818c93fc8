/* The commands of `windtunnel`: each gets the arguments after its name and returns the exit code. */
#pragma once

#include "sim/base/build_id.h"

enum exit_code {
    EXIT_MET = 0,
    EXIT_MISSED = 1,    /* an objective missed */
    EXIT_BAD_INPUT = 2, /* bad usage or bad input */
    EXIT_INVALID = 3,   /* the run is invalid */
    EXIT_BROKEN = 4,    /* an invariant broke or the program failed */
    EXIT_INTERRUPTED = 130,
};

int command_run(int argc, char **argv);
int command_check(int argc, char **argv);
int command_report(int argc, char **argv);
int command_replay(int argc, char **argv);
int command_edge(int argc, char **argv);
int command_gateway(int argc, char **argv);
int command_runner(int argc, char **argv);

#define WINDTUNNEL_SEED_MAX ((uint64_t)INT64_MAX)
