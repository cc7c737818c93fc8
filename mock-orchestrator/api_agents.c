/* Agents: documents with versions. Each script of the scenario is one from the start, under its name. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mock-orchestrator/api_server_state.h"
#include "mock-orchestrator/api_time.h"

/* Documents
 * -------------------------------------------------------------------------------------------------- */

json_t *call_time(const struct api_server *s, nsec_t at)
{
    char text[API_TIME_SIZE];

    if (at == 0) return json_null();
    api_time_format(driver_wall_ns(s->driver, at), text);
    return json_string(text);
}

/* A new reference to the member, or to what stands there otherwise; takes `otherwise`. */
static json_t *member_or(const json_t *object, const char *key, json_t *otherwise)
{
    json_t *value = json_object_get(object, key);

    if (!value || json_is_null(value)) return otherwise;
    json_decref(otherwise);
    return json_incref(value);
}

static json_t *model_of(const json_t *wanted)
{
    json_t *model = json_is_object(wanted) ? json_copy((json_t *)wanted) : json_pack("{s:O?}", "id", wanted);

    if (model && !json_object_get(model, "speed"))
        json_object_set_new(model, "speed", json_string("standard"));
    return model;
}

/* A toolset as it is answered: what requests may leave out is filled in. */
static json_t *tool_of(const json_t *wanted)
{
    json_t *tool = json_deep_copy(wanted);
    const char *type = json_text_get(tool, "type");

    if (!type || strcmp(type, "custom") == 0) return tool;
    if (!json_object_get(tool, "configs")) json_object_set_new(tool, "configs", json_array());
    if (!json_object_get(tool, "default_config"))
        json_object_set_new(
            tool, "default_config",
            json_pack("{s:b,s:{s:s}}", "enabled", 1, "permission_policy", "type", "always_allow"));
    return tool;
}

static json_t *tools_of(const json_t *wanted)
{
    json_t *tools = json_array(), *tool;
    size_t i;

    json_array_foreach((json_t *)wanted, i, tool) json_array_append_new(tools, tool_of(tool));
    return tools;
}

static const char *const arrays[] = {"tools", "mcp_servers", "skills", NULL};

/* What is wrong with the members that a client may set, NULL if nothing. Those that are not there are not
 * looked at. */
static const char *complaint(const json_t *body)
{
    const json_t *name = json_object_get(body, "name"), *model = json_object_get(body, "model");
    const json_t *metadata = json_object_get(body, "metadata");

    if (name && json_string_length(name) == 0) return "name: a text that is not empty";
    if (model && !json_is_string(model) && !json_text_get(model, "id"))
        return "model: an id, or an object with one";
    if (metadata && !json_is_object(metadata)) return "metadata: an object";
    for (size_t i = 0; arrays[i]; i++) {
        const json_t *array = json_object_get(body, arrays[i]), *item;
        size_t at;

        if (array && !json_is_array(array) && !json_is_null(array))
            return "tools, mcp_servers, skills: arrays of objects";
        json_array_foreach((json_t *)array, at, item)
        {
            if (!json_is_object(item)) return "tools, mcp_servers, skills: arrays of objects";
        }
    }
    return NULL;
}

/* The whole document that a request describes. */
static json_t *document_of(const struct api_server *s, const char *id, const json_t *body)
{
    json_t *now = call_time(s, call_now(s));

    return json_pack(
        "{s:s,s:s,s:O,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:i,s:O,s:o,s:n}", "id", id, "type", "agent",
        "name", json_object_get(body, "name"), "description", member_or(body, "description", json_null()),
        "model", model_of(json_object_get(body, "model")), "system", member_or(body, "system", json_null()),
        "tools", tools_of(json_object_get(body, "tools")), "mcp_servers",
        member_or(body, "mcp_servers", json_array()), "skills", member_or(body, "skills", json_array()),
        "metadata", member_or(body, "metadata", json_object()), "multiagent",
        member_or(body, "multiagent", json_null()), "execution_identity",
        member_or(body, "execution_identity", json_pack("{s:s}", "type", "service_account")), "version", 1,
        "created_at", now, "updated_at", now, "archived_at");
}

/* The store
 * -------------------------------------------------------------------------------------------------- */

static void agent_free(struct api_server *s, struct agent *a)
{
    for (size_t i = 0; i < a->version_count; i++) document_drop(s, a->versions[i]);
    free(a);
}

/* The current version. */
static json_t *json_of(const struct agent *a)
{
    return a->versions[a->version_count - 1]->json;
}

/* The script of that name, or a number that none has. */
static uint32_t script_of(const struct api_server *s, const char *name, uint64_t number)
{
    const struct plan *plan = driver_plan(s->driver);

    for (uint32_t i = 0; i < plan->script_count; i++) {
        if (strcmp(plan->scripts[i].name, name) == 0) return i;
    }
    return plan->script_count + (uint32_t)number;
}

/* Makes `json` (taken) the current version. -ENOSPC: no room, nothing has changed. */
static int agent_set(struct api_server *s, struct agent *a, json_t *json)
{
    bool full = a->version_count == VERSIONS_MAX;
    struct document *version = full ? a->versions[0] : NULL;

    if (!document_replace(s, &version, json)) return -ENOSPC;
    if (full) memmove(a->versions, a->versions + 1, --a->version_count * sizeof *a->versions);
    a->versions[a->version_count++] = version;
    a->script = script_of(s, json_text_get(json, "name"), a->number);
    return 0;
}

static int agent_add(struct api_server *s, const json_t *body, struct agent **ret)
{
    struct agent *a = calloc(1, sizeof *a);
    char id[ID_SIZE];
    int r;

    if (!a) return -ENOMEM;
    a->number = s->agents.len + 1;
    id_format(id, API_AGENT, a->number);
    r = agent_set(s, a, document_of(s, id, body));
    if (r == 0) r = vec_push(&s->agents, a);
    if (r < 0) {
        agent_free(s, a);
        return r;
    }
    if (ret) *ret = a;
    return 0;
}

int agents_init(struct api_server *s)
{
    const struct plan *plan = driver_plan(s->driver);

    vec_init(&s->agents, 1u << 20);
    for (uint32_t i = 0; i < plan->script_count; i++) {
        CLEANUP(json_decref_p)
        json_t *body =
            json_pack("{s:s,s:s,s:s,s:[{s:s}]}", "name", plan->scripts[i].name, "model", "windtunnel",
                      "description", "a script of the scenario", "tools", "type", "agent_toolset_20260401");
        int r = agent_add(s, body, NULL);

        if (r < 0) return r;
    }
    return 0;
}

void agents_deinit(struct api_server *s)
{
    vec_for_each(a, &s->agents) agent_free(s, *a);
    vec_deinit(&s->agents);
}

static struct agent *by_id(const struct api_server *s, const char *id, size_t len)
{
    uint64_t number;

    if (!id_parse(id, len, API_AGENT, &number) || number < 1 || number > s->agents.len) return NULL;
    return s->agents.items[number - 1];
}

struct agent *agents_find(const struct api_server *s, const char *text)
{
    const struct plan *plan = driver_plan(s->driver);
    struct agent *a = by_id(s, text, strlen(text));

    for (uint32_t i = 0; !a && i < plan->script_count; i++) {
        if (strcmp(plan->scripts[i].name, text) == 0) a = s->agents.items[i];
    }
    return a;
}

struct document *agents_version(const struct agent *a, uint64_t version)
{
    /* They are numbered in a row. */
    uint64_t last = (uint64_t)json_integer_value(json_object_get(json_of(a), "version"));
    uint64_t back = version ? last - version : 0;

    return back < a->version_count ? a->versions[a->version_count - 1 - back] : NULL;
}

json_t *agents_in_session(const struct document *version, const json_t *overrides)
{
    static const char *const own[] = {"model", "system", "tools", "mcp_servers", "skills", NULL};
    json_t *form = document_copy(version);

    json_object_del(form, "metadata");
    json_object_del(form, "created_at");
    json_object_del(form, "updated_at");
    json_object_del(form, "archived_at");
    for (size_t i = 0; own[i]; i++) {
        json_t *value = json_object_get(overrides, own[i]);

        if (!value) continue;
        if (strcmp(own[i], "model") == 0)
            json_object_set_new(form, own[i], model_of(value));
        else if (strcmp(own[i], "tools") == 0)
            json_object_set_new(form, own[i], tools_of(value));
        else
            json_object_set(form, own[i], value);
    }
    return form;
}

/* Requests
 * --------------------------------------------------------------------------------------------------- */

static struct agent *agent_of(struct call *c)
{
    struct agent *a = by_id(c->s, c->arg[0].at, c->arg[0].len);

    if (!a) call_fail(c, 404, "there is no agent of that id");
    return a;
}

void serve_agents_create(struct call *c)
{
    const char *wrong;
    struct agent *a;

    if (!call_body(c)) return;
    wrong = complaint(c->body);
    if (!wrong && (!json_text_get(c->body, "name") || !json_object_get(c->body, "model")))
        wrong = "name and model are required";
    if (wrong)
        call_fail(c, 400, "%s", wrong);
    else if (agent_add(c->s, c->body, &a) < 0)
        call_fail(c, 400, "there is no room for more agents");
    else
        call_reply_json(c, json_incref(json_of(a)));
}

void serve_agents_get(struct call *c)
{
    const struct agent *a = agent_of(c);
    const struct document *document;
    uint64_t version = 0;
    int r;

    if (!a) return;
    r = call_query_number(c, "version", &version);
    document = r == 0 && version == 0 ? NULL : agents_version(a, version);
    if (r == -EINVAL || !document)
        call_fail(c, document ? 400 : 404, "the agent has no such version");
    else
        call_reply_json(c, json_incref(document->json));
}

/* The next version, as the request wants it. */
static json_t *updated(const struct api_server *s, const struct agent *a, const json_t *body)
{
    static const char *const settable[] = {
        "name", "description", "system", "mcp_servers", "skills", "multiagent", "execution_identity", NULL};
    json_t *json = json_copy(json_of(a)), *metadata = json_object_get(body, "metadata");

    for (size_t i = 0; settable[i]; i++) {
        json_t *value = json_object_get(body, settable[i]);
        bool array = i == 3 || i == 4;

        if (value)
            json_object_set_new(json, settable[i],
                                json_is_null(value) && array ? json_array() : json_incref(value));
    }
    if (json_object_get(body, "model"))
        json_object_set_new(json, "model", model_of(json_object_get(body, "model")));
    if (json_object_get(body, "tools"))
        json_object_set_new(json, "tools", tools_of(json_object_get(body, "tools")));
    if (metadata) {
        json_t *merged = json_copy(json_object_get(json, "metadata"));

        json_text_merge(merged, metadata);
        json_object_set_new(json, "metadata", merged);
    }
    json_object_set_new(json, "version",
                        json_integer(json_integer_value(json_object_get(json, "version")) + 1));
    json_object_set_new(json, "updated_at", call_time(s, call_now(s)));
    return json;
}

void serve_agents_update(struct call *c)
{
    struct agent *a = agent_of(c);
    const json_t *expected;
    const char *wrong;

    if (!a || !call_body(c)) return;
    wrong = complaint(c->body);
    if (!wrong && json_is_null(json_object_get(c->body, "name"))) wrong = "name: a text that is not empty";
    expected = json_object_get(c->body, "version");
    if (wrong)
        call_fail(c, 400, "%s", wrong);
    else if (a->archived)
        call_fail(c, 400, "the agent is archived");
    else if (expected && !json_equal(expected, json_object_get(json_of(a), "version")))
        call_fail(c, 409, "the agent has another version by now");
    else if (agent_set(c->s, a, updated(c->s, a, c->body)) < 0)
        call_fail(c, 400, "there is no room for more documents");
    else
        call_reply_json(c, json_incref(json_of(a)));
}

void serve_agents_archive(struct call *c)
{
    struct agent *a = agent_of(c);

    if (!a) return;
    if (!a->archived) {
        json_object_set_new(json_of(a), "archived_at", call_time(c->s, call_now(c->s)));
        a->archived = true;
    }
    call_reply_json(c, json_incref(json_of(a)));
}

void serve_agents_versions(struct call *c)
{
    const struct agent *a = agent_of(c);
    json_t *data;

    if (!a) return;
    data = json_array();
    for (size_t i = a->version_count; i > 0; i--) json_array_append(data, a->versions[i - 1]->json);
    call_reply_json(c, json_pack("{s:o,s:n}", "data", data, "next_page"));
}

/* Newest first; the cursor is the number of the next one. */
void serve_agents_list(struct call *c)
{
    const struct api_server *s = c->s;
    bool archived = call_query_is(c, "include_archived", "true");
    uint64_t shown = 0, i;
    struct evbuffer *body;

    if (!call_paging(c, 20, true)) return;
    body = evbuffer_new();
    i = c->cursor && c->cursor < s->agents.len ? c->cursor : s->agents.len;
    evbuffer_add_printf(body, "{\"data\":[");
    for (; i > 0 && shown < c->limit; i--) {
        const struct agent *a = s->agents.items[i - 1];

        if (a->archived && !archived) continue;
        if (shown++) evbuffer_add(body, ",", 1);
        json_text_add(body, json_of(a));
    }
    evbuffer_add_printf(body, "],\"next_page\":");
    call_write_cursor(body, i);
    evbuffer_add(body, "}", 1);
    call_reply(c, body);
    evbuffer_free(body);
}
