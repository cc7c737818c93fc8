#include <stdio.h>
#include <stdlib.h>

#include "sim/cmd/commands.h"
#include "sim/cmd/load.h"

static int check_one(const struct scenario *s, const char *deployment)
{
    struct plan *plan;
    int r = scenario_load(s, deployment, 0, &plan);

    if (r != 0) return r;
    fputs(plan_resolved(plan), stdout);
    plan_free(plan);
    return 0;
}

int command_check(int argc, char **argv)
{
    struct cli_list sets = {.count = 0}, positional;
    const char *deployment = NULL;
    const struct cli_option options[] = {
        {"--deployment", "NAME|all", "which deployment (default: all are checked, the first is printed)",
         CLI_TEXT, &deployment, 0},
        {"--set", "POINTER=VALUE", "changes the scenario before it is read; may be given again", CLI_LIST,
         &sets, 0},
    };
    const struct cli_command command = {.usage = "windtunnel check SCENARIO [options]",
                                        .about = "Validates a scenario under all its deployments and prints "
                                                 "the resolved plan, every default filled in.",
                                        .example =
                                            "  windtunnel check scenarios/fan-out.json --set /duration=5s",
                                        .options = options,
                                        .option_count = sizeof options / sizeof *options,
                                        .positional_min = 1,
                                        .positional_max = 1};
    struct scenario s = {.sets = &sets};
    char **names = NULL;
    size_t count;
    int r = cli_parse(&command, argc, argv, &positional);

    if (r != 0) return r == CLI_HELP ? EXIT_MET : EXIT_BAD_INPUT;
    s.path = positional.items[0];
    scenario_read(&s);
    r = scenario_deployments(&s, deployment ? deployment : "all", &names, &count);
    for (size_t i = 0; r == 0 && i < count; i++) {
        struct plan *plan;
        r = scenario_load(&s, names[i], 0, &plan);
        if (r == 0) plan_free(plan);
    }
    for (size_t i = 0; r == 0 && i < (deployment ? count : 1); i++) r = check_one(&s, names[i]);
    free(names);
    scenario_deinit(&s);
    return r;
}
