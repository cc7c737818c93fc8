/* For looking at a report with one's own eyes: writes the synthetic run to a folder. usage: write_sample DIR
 */
#include "reports/html.h"
#include "reports/run_file.h"
#include "reports/table.h"
#include "tests/reports/synthetic.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    CLEANUP(synthetic_deinit) struct synthetic s;
    CLEANUP(result_free_p) struct result *a = NULL;
    CLEANUP(result_free_p) struct result *b = NULL;
    CLEANUP(str_deinit) struct str text = STR_INIT(1u << 20);
    struct report_error error = {"usage: write_sample DIR"};
    int r = argc == 2 ? 0 : 1;

    if (r == 0) {
        synthetic_init(&s);
        a = synthetic_result(&s);
        s.plan.deployment = "shed";
        s.plan.informational = true;
        for (unsigned i = 0; i < 2000; i++)
            recorder_record(s.recorder, METRIC_TOOL_CALL, 9 * NSEC_PER_MS + i * 70000);
        s.run.interrupted = true;
        b = synthetic_result(&s);
        r = html_write((const struct result *const[]){a, b}, 2, argv[1], &error);
        if (r == 0) r = result_write(a, argv[1], &error);
        if (r == 0) r = result_write_hlog(a, &s.run, argv[1], &error);
        table_result(a, &(struct table_options){.colour = true}, &text);
        table_compare((const struct result *const[]){a, b}, 2, &(struct table_options){.colour = true},
                      &text);
        fputs(str_text(&text), stdout);
    } else {
        s = (struct synthetic){.recorder = NULL};
    }
    if (r != 0) fprintf(stderr, "write_sample: %s\n", error.text);
    return r != 0;
}
