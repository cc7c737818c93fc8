/* The files of a result, and where they lie. */
#include "reports/file.h"
#include "reports/result.h"
#include "sim/record/hlog.h"

#include <errno.h>
#include <string.h>

#define HLOG_BYTES_MAX ((size_t)2 << 30)

int result_folder(const char *deployment, uint32_t replicate, struct str *out)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

    for (const char *c = deployment; *c; c++) {
        if (strchr(plain, *c) && (*c != '.' || c > deployment))
            str_putc(out, *c);
        else
            str_appendf(out, "%%%02X", (unsigned)(unsigned char)*c);
    }
    return str_appendf(out, "/%u", (unsigned)replicate);
}

/* <out_dir>/<folder>/, made. */
static int result_place(const struct result *result, const char *out_dir, struct str *ret_path,
                        struct report_error *ret_error)
{
    str_puts(ret_path, out_dir);
    str_putc(ret_path, '/');
    result_folder(result->deployment, result->replicate, ret_path);
    if (str_error(ret_path)) return report_file_fail(ret_error, "write below", out_dir, str_error(ret_path));
    return folder_make(str_text(ret_path), ret_error);
}

static int put_file(const struct result *result, const char *out_dir, const char *name,
                    const struct str *text, struct report_error *ret_error)
{
    CLEANUP(str_deinit) struct str path = STR_INIT(64u << 10);
    int r = result_place(result, out_dir, &path, ret_error);

    if (r < 0) return r;
    str_putc(&path, '/');
    str_puts(&path, name);
    if (str_error(&path)) return report_file_fail(ret_error, "write", name, str_error(&path));
    if (str_error(text)) return report_file_fail(ret_error, "make", str_text(&path), str_error(text));
    return report_file_write(str_text(&path), str_text(text), str_len(text), ret_error);
}

int result_write(const struct result *result, const char *out_dir, struct report_error *ret_error)
{
    CLEANUP(str_deinit) struct str text = STR_INIT(RESULT_FILE_BYTES_MAX);

    result_format(result, &text);
    return put_file(result, out_dir, "result.json", &text, ret_error);
}

/* The metrics from `first` on as one interval of the whole run each. */
static void whole_run(const struct run_result *run, enum metric first, struct str *out)
{
    for (enum metric m = first; m < METRIC_COUNT; m++) {
        struct hlog_interval interval = {.tag = metric_name(m), .start = 0, .end = run->end_ns};
        const struct histogram *h = recorder_histogram(run->recorder, m);

        if (histogram_count(h) > 0) hlog_line(out, &interval, h);
    }
}

int result_write_hlog(const struct result *result, const struct run_result *run, const char *out_dir,
                      struct report_error *ret_error)
{
    CLEANUP(str_deinit) struct str text = STR_INIT(HLOG_BYTES_MAX);
    bool is_live = strcmp(result->clock, "live") == 0;

    hlog_comment(&text, "[Windtunnel: one line for each interval and metric; hop.* are of the whole run]");
    hlog_header(&text, is_live ? result->host.started_unix_ns : 0);
    if (run->series) interval_hlog(run->series, &text);
    whole_run(run, run->series ? METRIC_HOP_QUEUE : 0, &text);
    return put_file(result, out_dir, "intervals.hlog", &text, ret_error);
}

int result_read(const char *path, struct result **ret_result, struct report_error *ret_error)
{
    CLEANUP(str_deinit) struct str text = STR_INIT(RESULT_FILE_BYTES_MAX);
    int r = report_file_read(path, &text, ret_error);

    return r < 0 ? r : result_parse(str_text(&text), str_len(&text), path, ret_result, ret_error);
}
