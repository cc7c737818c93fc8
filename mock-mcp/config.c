#include "mock-mcp/config.h"

#include <errno.h>
#include <string.h>

#include "mock-mcp/tools.h"
#include "sim/base/panic.h"
#include "sim/base/str.h"
#include "sim/plan/context.h"

enum { KEYS_MAX = 16, SCENARIO_BYTES_MAX = 8 << 20 };

/* What the table below fills in. The server's own part is read for its errors; it gets into the plan with the
 * resolved document. */
struct config_draft {
    struct plan_mcp mcp;
    bool tools[MCP_TOOL_COUNT], revisions[MCP_REVISION_COUNT];
    uint32_t answers;
};

struct config_table {
    struct option options[KEYS_MAX];
    struct option_table table;
};

static const char *const tool_words[] = {"echo", "generate", "call", NULL};
static const char *const revision_words[] = {"2025-06-18", "2025-11-25", "2026-07-28", NULL};
static const char *const answer_words[] = {"json", "event-stream", NULL};

static const struct option own_options[] = {
    {"tools", OPTION_WORDS, .width = sizeof(bool), .offset = offsetof(struct config_draft, tools), .max = 3,
     .words = tool_words, .fallback = "[\"echo\", \"generate\"]", .help = "what is offered"},
    {"revisions", OPTION_WORDS, .width = sizeof(bool), .offset = offsetof(struct config_draft, revisions),
     .max = 3, .words = revision_words, .fallback = "[\"2025-06-18\", \"2025-11-25\", \"2026-07-28\"]",
     .help = "revisions of MCP that are spoken"},
    {"answers", OPTION_WORD, .width = 4, .offset = offsetof(struct config_draft, answers),
     .words = answer_words, .fallback = "\"json\"", .help = "form of the answers"},
};

static const struct option_table *server_table(void)
{
    for (size_t i = 0; i < scenario_table.count; i++) {
        if (strcmp(scenario_table.options[i].key, "mcp") == 0) return scenario_table.options[i].table;
    }
    UNREACHABLE();
}

/* Standing alone, a server is fast and large unless it is told otherwise. */
static const char *own_default(const struct option *option)
{
    if (strcmp(option->key, "service_time") == 0) return "\"0s\"";
    if (strcmp(option->key, "concurrency") == 0) return "1000";
    return option->fallback;
}

/* The scenario's keys of a server, and ours. */
static void make_table(struct config_table *t)
{
    const struct option_table *server = server_table();
    size_t own = sizeof own_options / sizeof own_options[0];

    ASSERT(server->count + own <= KEYS_MAX);
    memset(t, 0, sizeof *t);
    for (size_t i = 0; i < server->count; i++) {
        t->options[i] = server->options[i];
        t->options[i].fallback = own_default(&server->options[i]);
    }
    memcpy(t->options + server->count, own_options, sizeof own_options);
    t->table = (struct option_table){.options = t->options,
                                     .count = server->count + own,
                                     .size = sizeof(struct config_draft),
                                     .name_offset = OPTION_NOT_STORED};
}

static unsigned set_of(const bool *members, int n)
{
    unsigned set = 0;

    for (int i = 0; i < n; i++) set |= (unsigned)members[i] << i;
    return set;
}

/* A scenario around a server, for the world that the component lives in. */
static int make_plan(json_t *server, const char *path, uint64_t seed, struct plan **ret_plan,
                     struct plan_error *ret_error)
{
    CLEANUP(str_deinit) struct str text = STR_INIT(SCENARIO_BYTES_MAX);
    char *json = json_dumps(server, JSON_COMPACT);
    struct plan_load_options options = {.path = path, .seed = seed};

    if (!json) return -ENOMEM;
    str_puts(&text, "{\"schema\":\"" PLAN_SCHEMA "\",\"name\":\"mock-mcp\",\"duration\":\"24h\","
                    "\"load\":{\"none\":{\"script\":\"none\",\"process\":\"at-once\",\"sessions\":1}},"
                    "\"scripts\":{\"none\":{\"turns\":[{}]}},"
                    "\"spans\":{\"max\":0},\"mcp\":{\"server\":");
    str_puts(&text, json);
    str_puts(&text, "}}");
    free(json);
    if (str_error(&text)) return -ENOMEM;
    options.text = str_text(&text);
    return plan_load(&options, ret_plan, ret_error);
}

static int check_sets(struct context *c, const struct config_draft *draft)
{
    if (set_of(draft->tools, MCP_TOOL_COUNT) == 0) return fail_at(c, "tools", "must name at least one");
    if (set_of(draft->revisions, MCP_REVISION_COUNT) == 0)
        return fail_at(c, "revisions", "must name at least one");
    return 0;
}

static int read_config(struct context *c, uint64_t seed, struct mock_config *ret_config)
{
    CLEANUP(json_decref_p) json_t *resolved = NULL;
    struct config_draft draft = {.answers = 0};
    struct config_table t;
    struct plan *plan;
    int r;

    make_table(&t);
    r = table_parse(c, &t.table, c->root, &draft, &resolved);
    if (r == 0) r = check_sets(c, &draft);
    if (r != 0) return r;
    for (size_t i = 0; i < sizeof own_options / sizeof own_options[0]; i++)
        json_object_del(resolved, own_options[i].key);
    r = make_plan(resolved, c->document.name, seed, &plan, c->error);
    if (r != 0) return r;
    *ret_config = (struct mock_config){.plan = plan,
                                       .revisions = set_of(draft.revisions, MCP_REVISION_COUNT),
                                       .tools = set_of(draft.tools, MCP_TOOL_COUNT),
                                       .event_streams = draft.answers == 1};
    return 0;
}

int mock_config_load(const char *path, uint64_t seed, struct mock_config *ret_config,
                     struct plan_error *ret_error)
{
    struct plan_load_options options = {
        .path = path ? path : "defaults", .text = path ? NULL : "{}", .seed = seed};
    struct context c = {.options = &options, .error = ret_error};
    int r = document_init(&c.document, &options, ret_error);

    if (r != 0) return r;
    c.arena = plan_arena_new(PLAN_ARENA_BYTES);
    c.root = json_incref(c.document.root);
    r = c.arena ? read_config(&c, seed, ret_config) : -ENOMEM;
    json_decref(c.root);
    json_decref(c.profile);
    document_deinit(&c.document);
    plan_arena_free(c.arena);
    return r;
}

void mock_config_deinit(struct mock_config *config)
{
    plan_free(config->plan);
    config->plan = NULL;
}

static void put_words(struct str *out, const char *const *words)
{
    str_puts(out, " of");
    for (; *words; words++) str_appendf(out, " %s%s", *words, words[1] ? "," : "");
}

void mock_config_put_help(struct str *out)
{
    struct config_table t;

    make_table(&t);
    for (size_t i = 0; i < t.table.count; i++) {
        const struct option *o = &t.options[i];
        const char *end = i + 1 < t.table.count ? "\n" : "";

        str_appendf(out, "  %-14s %s (%s", o->key, o->help, option_type_words(o->type));
        if (o->words) put_words(out, o->words);
        str_appendf(out, "); default %s%s", o->fallback, end);
    }
}
