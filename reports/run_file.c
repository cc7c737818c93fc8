#include "reports/run_file.h"

#include "reports/emit.h"
#include "reports/file.h"
#include "reports/json_in.h"
#include "reports/texts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define RUN_FILE_BYTES_MAX ((size_t)64 << 20)
#define RUN_RESULTS_MAX    1000000u

void run_file_init(struct run_file *run)
{
    *run = (struct run_file){.scenario = "", .sha256 = "", .scenario_path = "", .clock = "", .build = ""};
    intern_init(&run->texts, 16u << 20, 1u << 20);
    vec_init(&run->sets, 1000);
    vec_init(&run->deployments, 1000);
    vec_init(&run->results, RUN_RESULTS_MAX);
}

void run_file_deinit(struct run_file *run)
{
    if (!run) return;
    intern_deinit(&run->texts);
    vec_deinit(&run->sets);
    vec_deinit(&run->deployments);
    vec_deinit(&run->results);
}

const char *run_file_text(struct run_file *run, const char *text)
{
    return texts_keep(&run->texts, text);
}

int run_file_add(struct run_file *run, const struct result *result)
{
    CLEANUP(str_deinit) struct str path = STR_INIT(64u << 10);
    struct run_entry entry = {
        .replicate = result->replicate,
        .valid = result->valid,
        .met = result_met(result),
        .balanced = result->verdict == LEDGER_BALANCED,
        .informational = result->informational,
    };

    result_folder(result->deployment, result->replicate, &path);
    if (str_puts(&path, "/result.json") < 0) return str_error(&path);
    entry.deployment = texts_keep(&run->texts, result->deployment);
    entry.path = texts_keep(&run->texts, str_text(&path));
    if (!entry.deployment || !entry.path) return -ENOMEM;
    vec_for_each(known, &run->results)
    {
        if (known->path != entry.path) continue;
        *known = entry;
        return 0;
    }
    return vec_push(&run->results, entry);
}

static void texts_emit(struct emit *j, const char *key, const char *const *texts, size_t count)
{
    emit_list(j, key, false);
    for (size_t i = 0; i < count; i++) emit_text(j, NULL, texts[i]);
    emit_end(j);
}

static int run_format(const struct run_file *run, struct str *out)
{
    struct emit j;

    emit_start(&j, out);
    emit_text(&j, "schema", RUN_SCHEMA);
    emit_object(&j, "scenario", false);
    emit_text(&j, "name", run->scenario);
    emit_text(&j, "path", run->scenario_path);
    emit_text(&j, "sha256", run->sha256);
    emit_end(&j);
    texts_emit(&j, "set", run->sets.items, run->sets.len);
    emit_text(&j, "clock", run->clock);
    emit_u64(&j, "seed", run->seed);
    texts_emit(&j, "deployments", run->deployments.items, run->deployments.len);
    emit_u64(&j, "replicates", run->replicates);
    emit_text(&j, "build", run->build);
    emit_bool(&j, "interrupted", run->interrupted);
    emit_list(&j, "results", false);
    for (size_t i = 0; i < run->results.len; i++) {
        const struct run_entry *entry = &run->results.items[i];

        emit_object(&j, NULL, true);
        emit_text(&j, "deployment", entry->deployment);
        emit_u64(&j, "replicate", entry->replicate);
        emit_text(&j, "path", entry->path);
        emit_bool(&j, "valid", entry->valid);
        emit_bool(&j, "objectives_met", entry->met);
        emit_bool(&j, "ledger_balanced", entry->balanced);
        emit_bool(&j, "informational", entry->informational);
        emit_end(&j);
    }
    emit_end(&j);
    return emit_finish(&j);
}

static int run_path(const char *out_dir, struct str *ret_path, struct report_error *ret_error)
{
    str_puts(ret_path, out_dir);
    if (str_puts(ret_path, "/run.json") == 0) return 0;
    return report_file_fail(ret_error, "find run.json in", out_dir, str_error(ret_path));
}

int run_json_write(const struct run_file *run, const char *out_dir, struct report_error *ret_error)
{
    CLEANUP(str_deinit) struct str text = STR_INIT(RUN_FILE_BYTES_MAX);
    CLEANUP(str_deinit) struct str path = STR_INIT(64u << 10);
    int r = run_path(out_dir, &path, ret_error);

    if (r == 0) r = folder_make(out_dir, ret_error);
    if (r < 0) return r;
    r = run_format(run, &text);
    if (r < 0) return report_file_fail(ret_error, "make", str_text(&path), r);
    return report_file_write(str_text(&path), str_text(&text), str_len(&text), ret_error);
}

static void entries_read(struct json_in *in, struct run_file *run)
{
    json_t *list = json_in_list(in, in->root, "results");

    json_in_enter(in, "results", 0);
    for (size_t i = 0; i < json_array_size(list) && in->result == 0; i++) {
        json_t *object = json_array_get(list, i);
        struct run_entry entry;

        json_in_enter(in, NULL, i);
        entry.deployment = json_in_text(in, object, "deployment");
        entry.replicate = (uint32_t)json_in_u64(in, object, "replicate");
        entry.path = json_in_text(in, object, "path");
        entry.valid = json_in_bool(in, object, "valid");
        entry.met = json_in_bool(in, object, "objectives_met");
        entry.balanced = json_in_bool(in, object, "ledger_balanced");
        entry.informational = json_in_bool(in, object, "informational");
        if (in->result == 0 && vec_push(&run->results, entry) < 0) json_in_fail(in, NULL, "is one too many");
        json_in_leave(in);
    }
    json_in_leave(in);
}

static const char *element_text(struct json_in *in, json_t *list, size_t i)
{
    const char *text = json_string_value(json_array_get(list, i));
    const char *kept = text ? texts_keep(in->texts, text) : NULL;

    if (!kept) json_in_fail(in, NULL, "must be a list of texts");
    return kept ? kept : "";
}

static void run_take(struct json_in *in, struct run_file *run)
{
    json_t *scenario = json_in_object(in, in->root, "scenario");
    json_t *sets = json_in_list(in, in->root, "set");
    json_t *deployments = json_in_list(in, in->root, "deployments");

    run->scenario = json_in_text(in, scenario, "name");
    run->scenario_path = json_in_text(in, scenario, "path");
    run->sha256 = json_in_text(in, scenario, "sha256");
    run->clock = json_in_text(in, in->root, "clock");
    run->seed = json_in_u64(in, in->root, "seed");
    run->replicates = (uint32_t)json_in_u64(in, in->root, "replicates");
    run->build = json_in_text(in, in->root, "build");
    run->interrupted = json_in_bool(in, in->root, "interrupted");
    for (size_t i = 0; i < json_array_size(sets); i++)
        if (vec_push(&run->sets, element_text(in, sets, i)) < 0) json_in_fail(in, "set", "is too long");
    for (size_t i = 0; i < json_array_size(deployments); i++)
        if (vec_push(&run->deployments, element_text(in, deployments, i)) < 0)
            json_in_fail(in, "deployments", "is too long");
    entries_read(in, run);
}

int run_json_read(const char *out_dir, struct run_file *run, struct report_error *ret_error)
{
    CLEANUP(str_deinit) struct str text = STR_INIT(RUN_FILE_BYTES_MAX);
    CLEANUP(str_deinit) struct str path = STR_INIT(64u << 10);
    CLEANUP(json_in_deinit) struct json_in in = {.root = NULL};
    int r = run_path(out_dir, &path, ret_error);

    if (r == 0) r = report_file_read(str_text(&path), &text, ret_error);
    if (r < 0) return r;
    r = json_in_init(&in, str_text(&text), str_len(&text), str_text(&path), RUN_SCHEMA, ret_error);
    if (r != 0) return r;
    in.texts = &run->texts;
    run_take(&in, run);
    return in.result;
}

void results_free(struct result **results, size_t count)
{
    for (size_t i = 0; results && i < count; i++) result_free(results[i]);
    free(results);
}

/* A path of a run.json that leads out of its folder is refused. */
static bool path_inside(const char *path)
{
    if (path[0] == '/' || path[0] == '\0') return false;
    for (const char *at = path; at; at = strchr(at, '/')) {
        at += *at == '/';
        if (strncmp(at, "..", 2) == 0 && (at[2] == '/' || at[2] == '\0')) return false;
    }
    return true;
}

static int one_read(const char *out_dir, const char *relative, struct result **ret,
                    struct report_error *ret_error)
{
    CLEANUP(str_deinit) struct str path = STR_INIT(64u << 10);

    str_puts(&path, out_dir);
    str_putc(&path, '/');
    if (!path_inside(relative)) {
        snprintf(ret_error->text, sizeof(ret_error->text),
                 "%.400s/run.json: the result \"%.400s\" is not below it", out_dir, relative);
        return RESULT_E_INVALID;
    }
    if (str_puts(&path, relative) < 0) return report_file_fail(ret_error, "read", relative, str_error(&path));
    return result_read(str_text(&path), ret, ret_error);
}

int run_results_read(const char *out_dir, struct run_file *run, struct result ***ret_results,
                     size_t *ret_count, struct report_error *ret_error)
{
    int r = run_json_read(out_dir, run, ret_error);
    size_t count = run->results.len;
    struct result **results;

    if (r != 0) return r;
    results = calloc(count + 1, sizeof(*results));
    if (!results) return report_file_fail(ret_error, "read", out_dir, -ENOMEM);
    for (size_t i = 0; r == 0 && i < count; i++)
        r = one_read(out_dir, run->results.items[i].path, &results[i], ret_error);
    if (r != 0) {
        results_free(results, count);
        return r;
    }
    *ret_results = results;
    *ret_count = count;
    return 0;
}
