/*
 * Command lines: one table of options for each command, from which come parsing, `--help` and the errors.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cli_kind {
    CLI_FLAG,   /* bool */
    CLI_TEXT,   /* const char * */
    CLI_NUMBER, /* uint64_t, decimal, `min` to `max` */
    CLI_CHOICE, /* const char *, one of `argument`: "live|virtual" */
    CLI_LIST,   /* struct cli_list, may be given again and again */
};

enum { CLI_LIST_MAX = 256 };

struct cli_list {
    const char *items[CLI_LIST_MAX];
    size_t count;
};

struct cli_option {
    const char *name;     /* with its dashes: "--seed" */
    const char *argument; /* what --help shows for the value; NULL for a flag */
    const char *help;     /* one line */
    enum cli_kind kind;
    void *to;
    uint64_t max, min; /* CLI_NUMBER */
};

struct cli_command {
    const char *usage;   /* "windtunnel run SCENARIO [options]" */
    const char *about;   /* a paragraph */
    const char *example; /* lines */
    const struct cli_option *options;
    size_t option_count;
    size_t positional_min, positional_max;
};

#define CLI_HELP 1 /* --help was asked for and printed: exit 0 */

/*
 * Reads the arguments after the command's name. Values point into `argv`. Options may stand anywhere;
 * `--name=value` and
 * `--name value` mean the same; after `--` all is positional. Returns 0, CLI_HELP, or -EINVAL after one clear
 * line on standard error (with the nearest option for an unknown one).
 */
int cli_parse(const struct cli_command *c, int argc, char **argv, struct cli_list *ret_positional);

/* Whether all that was printed has been written: 0, or -EIO after one clear line on standard error. */
int cli_flush(void);
