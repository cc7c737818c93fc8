#include "sim/base/cli.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/nearest.h"

static void print_help(const struct cli_command *c)
{
    printf("usage: %s\n\n%s\n", c->usage, c->about);
    if (c->option_count) printf("\noptions:\n");
    for (size_t i = 0; i < c->option_count; i++) {
        const struct cli_option *o = &c->options[i];
        char left[64];

        snprintf(left, sizeof left, "%s%s%s", o->name, o->argument ? " " : "",
                 o->argument ? o->argument : "");
        printf("  %-34s %s\n", left, o->help);
    }
    printf("\nexample:\n%s\n", c->example);
}

int cli_flush(void)
{
    if (fflush(stdout) == 0) return 0;
    fprintf(stderr, "standard output: %s\n", strerror(errno));
    return -EIO;
}

static const struct cli_option *find(const struct cli_command *c, const char *name, size_t len)
{
    for (size_t i = 0; i < c->option_count; i++) {
        if (strlen(c->options[i].name) == len && strncmp(c->options[i].name, name, len) == 0)
            return &c->options[i];
    }
    return NULL;
}

static int unknown(const struct cli_command *c, const char *arg)
{
    const char *names[64], *near;
    size_t n = 0;

    for (size_t i = 0; i < c->option_count && n < 64; i++) names[n++] = c->options[i].name;
    near = nearest_name(arg, names, n);
    fprintf(stderr, "%.*s: unknown option%s%s%s; --help lists them\n", (int)strcspn(arg, "="), arg,
            near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    return -EINVAL;
}

static int take_number(const struct cli_option *o, const char *value)
{
    char *end;
    uint64_t n;

    errno = 0;
    n = strtoull(value, &end, 10);
    if (value[0] < '0' || value[0] > '9' || *end || errno || n < o->min || n > o->max) {
        fprintf(stderr, "%s: \"%s\" is not a whole number from %" PRIu64 " to %" PRIu64 "\n", o->name, value,
                o->min, o->max);
        return -EINVAL;
    }
    *(uint64_t *)o->to = n;
    return 0;
}

static int take_choice(const struct cli_option *o, const char *value)
{
    size_t n = strlen(value);

    for (const char *p = o->argument; p; p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL) {
        if (n && strcspn(p, "|") == n && strncmp(p, value, n) == 0) {
            *(const char **)o->to = value;
            return 0;
        }
    }
    fprintf(stderr, "%s: \"%s\" is none of %s\n", o->name, value, o->argument);
    return -EINVAL;
}

static int push(struct cli_list *l, const char *value, const char *what)
{
    if (l->count == CLI_LIST_MAX) {
        fprintf(stderr, "%s: given more than %d times\n", what, CLI_LIST_MAX);
        return -EINVAL;
    }
    l->items[l->count++] = value;
    return 0;
}

static int take(const struct cli_option *o, const char *value)
{
    switch (o->kind) {
    case CLI_FLAG: *(bool *)o->to = true; return 0;
    case CLI_TEXT: *(const char **)o->to = value; return 0;
    case CLI_NUMBER: return take_number(o, value);
    case CLI_CHOICE: return take_choice(o, value);
    case CLI_LIST: return push(o->to, value, o->name);
    }
    return -EINVAL;
}

static int take_option(const struct cli_command *c, int argc, char **argv, int *i)
{
    const char *arg = argv[*i], *equals = strchr(arg, '=');
    const struct cli_option *o = find(c, arg, equals ? (size_t)(equals - arg) : strlen(arg));

    if (!o) return unknown(c, arg);
    if (o->kind == CLI_FLAG) {
        if (!equals) return take(o, NULL);
        fprintf(stderr, "%s: takes no value\n", o->name);
        return -EINVAL;
    }
    if (equals) return take(o, equals + 1);
    if (*i + 1 >= argc) {
        fprintf(stderr, "%s: needs a value: %s\n", o->name, o->argument);
        return -EINVAL;
    }
    return take(o, argv[++*i]);
}

static int check_count(const struct cli_command *c, const struct cli_list *positional)
{
    if (positional->count < c->positional_min)
        fprintf(stderr, "usage: %s: an argument is missing\n", c->usage);
    else if (positional->count > c->positional_max)
        fprintf(stderr, "usage: %s: \"%s\" is one argument too many\n", c->usage,
                positional->items[c->positional_max]);
    else
        return 0;
    return -EINVAL;
}

int cli_parse(const struct cli_command *c, int argc, char **argv, struct cli_list *ret_positional)
{
    bool options = true;
    int r = 0;

    ret_positional->count = 0;
    for (int i = 0; r == 0 && i < argc; i++) {
        if (options && strcmp(argv[i], "--") == 0) {
            options = false;
        } else if (options && (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)) {
            print_help(c);
            return cli_flush() == 0 ? CLI_HELP : -EIO;
        } else if (options && argv[i][0] == '-' && argv[i][1]) {
            r = take_option(c, argc, argv, &i);
        } else {
            r = push(ret_positional, argv[i], "arguments");
        }
    }
    if (r < 0) return r;
    return check_count(c, ret_positional);
}
