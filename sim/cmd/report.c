#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "reports/html.h"
#include "reports/run_file.h"
#include "reports/table.h"
#include "sim/base/cli.h"
#include "sim/cmd/commands.h"

static int report_one(const char *dir)
{
    struct table_options o = {.colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR")};
    struct str text = STR_INIT(16u << 20);
    struct report_error error;
    struct run_file file;
    struct result **results = NULL;
    size_t count = 0;
    bool read;
    int r;

    run_file_init(&file);
    r = run_results_read(dir, &file, &results, &count, &error);
    read = r == 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        if (i > 0) str_putc(&text, '\n');
        r = table_result(results[i], &o, &text);
    }
    if (r == 0 && count > 1) {
        str_putc(&text, '\n');
        r = table_compare((const struct result *const *)results, count, &o, &text);
    }
    if (r == 0) {
        fputs(str_text(&text), stdout);
        r = html_write((const struct result *const *)results, count, dir, &error);
    }
    if (r == 0)
        printf("report: %s/report.html\n", dir);
    else
        fprintf(stderr, "%s\n", error.text);
    results_free(results, count);
    run_file_deinit(&file);
    str_deinit(&text);
    return r == 0 ? EXIT_MET : read ? EXIT_BROKEN : EXIT_BAD_INPUT;
}

int command_report(int argc, char **argv)
{
    const struct cli_command command = {
        .usage = "windtunnel report DIR...",
        .about = "Renders the table and report.html again from the result files of a run.",
        .example = "  windtunnel report out/reconnect-storm",
        .positional_min = 1,
        .positional_max = CLI_LIST_MAX};
    struct cli_list positional;
    int r = cli_parse(&command, argc, argv, &positional);

    if (r != 0) return r == CLI_HELP ? EXIT_MET : EXIT_BAD_INPUT;
    for (size_t i = 0; r == 0 && i < positional.count; i++) r = report_one(positional.items[i]);
    return r;
}
