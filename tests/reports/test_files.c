#include "reports/file.h"
#include "reports/run_file.h"
#include "reports/sha256.h"
#include "sim/record/hlog.h"
#include "tests/reports/suite.h"
#include "tests/reports/synthetic.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static struct synthetic s;
static char folder[64];

static void setup(void)
{
    strcpy(folder, "/tmp/windtunnel-files-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    synthetic_init(&s);
}

static const char *below(const char *path)
{
    static char text[512];

    snprintf(text, sizeof(text), "%s/%s", folder, path);
    return text;
}

/* Removes what is below `path`, and says how many files there were. */
static size_t clear(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    size_t count = 0;

    if (!dir) return unlink(path) == 0;
    while ((entry = readdir(dir)) != NULL) {
        char child[1024];

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        snprintf(child, sizeof(child), "%s/%s", path, entry->d_name);
        count += clear(child);
    }
    closedir(dir);
    rmdir(path);
    return count;
}

static void teardown(void)
{
    clear(folder);
    synthetic_deinit(&s);
}

START_TEST(a_result_is_written_and_read)
{
    CLEANUP(result_free_p) struct result *r = NULL;
    CLEANUP(result_free_p) struct result *back = NULL;
    struct report_error error = {""};

    setup();
    r = synthetic_result(&s);
    ck_assert_int_eq(result_write(r, below("a/b"), &error), 0);
    ck_assert_int_eq(result_write(r, below("a/b"), &error), 0);
    ck_assert_int_eq(result_read(below("a/b/queue%2Fgr%C3%B6%C3%9Fe/2/result.json"), &back, &error), 0);
    ck_assert_str_eq(back->deployment, "queue/größe");
    ck_assert_uint_eq(clear(folder), 1);
    teardown();
}
END_TEST

START_TEST(folders_cannot_lead_astray)
{
    CLEANUP(str_deinit) struct str path = STR_INIT(4096);

    result_folder("..", 0, &path);
    ck_assert_str_eq(str_text(&path), "%2E./0");
    str_clear(&path);
    result_folder("a/../b c%.x_-", 12, &path);
    ck_assert_str_eq(str_text(&path), "a%2F..%2Fb%20c%25.x_-/12");
}
END_TEST

/* The whole-run histogram of a metric is the sum of its lines. */
START_TEST(the_log_holds_everything)
{
    CLEANUP(result_free_p) struct result *r = NULL;
    CLEANUP(str_deinit) struct str text = STR_INIT(16u << 20);
    struct report_error error = {""};
    static struct histogram h;
    uint64_t counts[METRIC_COUNT] = {0};
    struct hlog_reader reader;
    struct hlog_record record;

    setup();
    r = synthetic_result(&s);
    ck_assert_int_eq(result_write_hlog(r, &s.run, folder, &error), 0);
    ck_assert_int_eq(report_file_read(below("queue%2Fgr%C3%B6%C3%9Fe/2/intervals.hlog"), &text, &error), 0);
    hlog_reader_init(&reader, str_text(&text), str_len(&text));
    while (hlog_next(&reader, &record, &h) == 1) counts[metric_find(record.tag)] += histogram_count(&h);
    ck_assert_uint_eq(reader.start_time, 0); /* a virtual run knows no wall time */
    ck_assert_uint_eq(counts[METRIC_TOOL_CALL], 600);
    for (enum metric m = METRIC_HOP_QUEUE; m < METRIC_COUNT; m++)
        ck_assert_uint_eq(counts[m], r->metrics[m].count);
    s.run.series = NULL;
    s.run.clock = "live";
    result_free(r);
    r = synthetic_result(&s);
    ck_assert_int_eq(result_write_hlog(r, &s.run, folder, &error), 0);
    teardown();
}
END_TEST

START_TEST(a_full_disk_is_told)
{
    CLEANUP(result_free_p) struct result *r = NULL;
    CLEANUP(str_deinit) struct str text = STR_INIT(1u << 20);
    struct rlimit limit = {2000, RLIM_INFINITY};
    struct report_error error = {""};

    setup();
    r = synthetic_result(&s);
    ck_assert_int_eq(result_write(r, folder, &error), 0);
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ck_assert_int_eq(result_write(r, folder, &error), -EFBIG);
    limit.rlim_cur = RLIM_INFINITY;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ck_assert_ptr_nonnull(strstr(error.text, "cannot write /tmp/windtunnel-files-"));
    ck_assert_ptr_nonnull(strstr(error.text, "result.json: File too large"));
    ck_assert_ptr_null(strchr(error.text, '\n'));
    /* What was there still is, and nothing else. */
    ck_assert_int_eq(report_file_read(below("queue%2Fgr%C3%B6%C3%9Fe/2/result.json"), &text, &error), 0);
    ck_assert_uint_gt(str_len(&text), 2000);
    ck_assert_uint_eq(clear(folder), 1);
    teardown();
}
END_TEST

START_TEST(what_cannot_be_written_is_told)
{
    CLEANUP(result_free_p) struct result *r = NULL;
    struct report_error error = {""};
    struct result *none = NULL;

    setup();
    r = synthetic_result(&s);
    ck_assert_int_eq(report_file_write(below("file"), "x", 1, &error), 0);
    ck_assert_int_eq(result_write(r, below("file"), &error), -ENOTDIR);
    ck_assert_ptr_nonnull(strstr(error.text, "cannot make folder "));
    ck_assert_int_eq(folder_make(below("file"), &error), -ENOTDIR);
    ck_assert_int_lt(result_write(r, "/proc/nowhere", &error), 0);
    ck_assert_ptr_nonnull(strstr(error.text, "cannot make folder /proc/nowhere: "));
    ck_assert_int_eq(folder_make("", &error), -ENOENT);
    ck_assert_int_eq(result_read(below("none.json"), &none, &error), -ENOENT);
    ck_assert_ptr_nonnull(strstr(error.text, "none.json: No such file or directory"));
    ck_assert_int_eq(result_read(folder, &none, &error), -EISDIR);
    teardown();
}
END_TEST

START_TEST(run_json_comes_back)
{
    CLEANUP(result_free_p) struct result *r = NULL;
    CLEANUP(run_file_deinit) struct run_file run;
    CLEANUP(run_file_deinit) struct run_file back;
    struct report_error error = {""};
    struct result **results = NULL;
    size_t count = 0;

    setup();
    r = synthetic_result(&s);
    run_file_init(&run);
    run_file_init(&back);
    run.scenario = run_file_text(&run, "storm");
    run.clock = "virtual";
    run.seed = UINT64_C(9223372036854775807);
    run.replicates = 3;
    vec_push(&run.sets, run_file_text(&run, "/duration=\"5s\""));
    vec_push(&run.deployments, run_file_text(&run, "queue/größe"));
    ck_assert_int_eq(run_json_write(&run, folder, &error), 0); /* before the first result */
    ck_assert_int_eq(result_write(r, folder, &error), 0);
    ck_assert_int_eq(run_file_add(&run, r), 0);
    ck_assert_int_eq(run_file_add(&run, r), 0); /* the same again replaces it */
    ck_assert_int_eq(run_json_write(&run, folder, &error), 0);
    ck_assert_int_eq(run_results_read(folder, &back, &results, &count, &error), 0);
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(results[0]->scenario, "storm <b>&amp;");
    ck_assert_uint_eq(back.seed, run.seed);
    ck_assert_str_eq(back.sets.items[0], "/duration=\"5s\"");
    ck_assert_str_eq(back.results.items[0].deployment, "queue/größe");
    ck_assert(!back.results.items[0].met && back.results.items[0].valid && back.results.items[0].balanced);
    results_free(results, count);
    teardown();
}
END_TEST

START_TEST(run_json_is_checked)
{
    CLEANUP(run_file_deinit) struct run_file run;
    CLEANUP(run_file_deinit) struct run_file back;
    struct report_error error = {""};
    struct result **results = NULL;
    size_t count = 0;

    setup();
    run_file_init(&run);
    run_file_init(&back);
    ck_assert_int_eq(run_json_read(folder, &back, &error), -ENOENT);
    ck_assert_int_eq(report_file_write(below("run.json"), "[]", 2, &error), 0);
    ck_assert_int_eq(run_json_read(folder, &back, &error), RESULT_E_INVALID);
    vec_push(&run.results, (struct run_entry){.deployment = "x", .path = "../../etc/passwd"});
    ck_assert_int_eq(run_json_write(&run, folder, &error), 0);
    ck_assert_int_eq(run_results_read(folder, &back, &results, &count, &error), RESULT_E_INVALID);
    ck_assert_ptr_nonnull(strstr(error.text, "is not below it"));
    teardown();
}
END_TEST

START_TEST(digests)
{
    char hex[SHA256_HEX_LEN + 1];

    ck_assert_int_eq(sha256_hex("abc", 3, hex), 0);
    ck_assert_str_eq(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    ck_assert_int_eq(sha256_hex("", 0, hex), 0);
    ck_assert_str_eq(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}
END_TEST

int main(void)
{
    return run_suite("files",
                     TESTS(a_result_is_written_and_read, folders_cannot_lead_astray, the_log_holds_everything,
                           a_full_disk_is_told, what_cannot_be_written_is_told, run_json_comes_back,
                           run_json_is_checked, digests));
}
