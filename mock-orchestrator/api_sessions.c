/* Sessions: the component's numbers, with the documents around them. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "mock-orchestrator/api_server_state.h"

#define ORDINAL_KEY "windtunnel.ordinal"

/* Records
 * ---------------------------------------------------------------------------------------------------- */

uint64_t sessions_number(struct segment segment)
{
    uint64_t number = 0;

    return id_parse(segment.at, segment.len, API_SESSION, &number) ? number : 0;
}

static void doc_free(struct api_server *s, struct session_doc *doc)
{
    if (!doc) return;
    document_drop(s, doc->agent);
    document_drop(s, doc->extra);
    free(doc);
}

void sessions_deinit(struct api_server *s)
{
    for (size_t i = 0; i < s->sessions.capacity; i++) doc_free(s, s->sessions.slots[i].value);
    id_map_deinit(&s->sessions);
}

/* Makes it the record of the session. -ENOMEM: nothing has changed. */
static int doc_add(struct api_server *s, struct session_doc *doc, const struct msg *session)
{
    int r = id_map_put(&s->sessions, session->a, doc);

    if (r < 0) return r;
    doc->number = session->a;
    doc->environment = (uint32_t)session->e;
    if (s->last_session < session->a) s->last_session = session->a;
    return 0;
}

/* The record of a session that is there, made if it is not known (this process may have been born later than
 * the session). NULL: out of memory. */
static struct session_doc *doc_of(struct api_server *s, const struct msg *session)
{
    struct session_doc *doc = id_map_get(&s->sessions, session->a);
    uint32_t scripts = driver_plan(s->driver)->script_count;

    if (doc) return doc;
    doc = calloc(1, sizeof *doc);
    if (!doc || doc_add(s, doc, session) < 0) {
        free(doc);
        return NULL;
    }
    if (session->c < scripts) doc->agent = document_hold(agents_version(s->agents.items[session->c], 0));
    return doc;
}

/* A member that is not as by default; NULL: it is. */
static json_t *extra_get(const struct session_doc *doc, const char *key)
{
    return doc->extra ? json_object_get(doc->extra->json, key) : NULL;
}

/* Its agent as it is shown, in an object of the caller's own; NULL: unknown. */
static json_t *agent_of(const struct session_doc *doc)
{
    json_t *own = extra_get(doc, "agent");

    if (own) return json_copy(own);
    return doc->agent ? agents_in_session(doc->agent, NULL) : NULL;
}

/* Writing
 * ---------------------------------------------------------------------------------------------------- */

static void write_member(struct evbuffer *out, const struct session_doc *doc, const char *key,
                         const char *otherwise)
{
    const json_t *value = extra_get(doc, key);

    evbuffer_add_printf(out, ",\"%s\":", key);
    if (value)
        json_text_add(out, value);
    else
        evbuffer_add(out, otherwise, strlen(otherwise));
}

static void write_metadata(struct evbuffer *out, const struct session_doc *doc)
{
    if (doc->ours && !extra_get(doc, "metadata"))
        evbuffer_add_printf(out, ",\"metadata\":{\"" ORDINAL_KEY "\":\"%" PRIu64 "\"}", doc->ordinal);
    else
        write_member(out, doc, "metadata", "{}");
}

static void write_agent(struct evbuffer *out, const struct session_doc *doc)
{
    static const char unknown[] =
        "{\"id\":\"agent_unknown\",\"type\":\"agent\",\"name\":\"unknown\",\"description\":null,\"model\":{"
        "\"id\":"
        "\"windtunnel\"},\"system\":null,\"tools\":[],\"mcp_servers\":[],\"skills\":[],\"multiagent\":null,"
        "\"execution_identity\":{\"type\":\"service_account\"},\"version\":1}";
    CLEANUP(json_decref_p) json_t *agent = agent_of(doc);

    evbuffer_add_printf(out, ",\"agent\":");
    if (agent)
        json_text_add(out, agent);
    else
        evbuffer_add(out, unknown, sizeof unknown - 1);
}

static void write_session(const struct api_server *s, const struct session_doc *doc, const struct msg *m,
                          struct evbuffer *out)
{
    char id[ID_SIZE];
    nsec_t created = m->d ? m->d : 1;

    id_format(id, API_SESSION, m->a);
    evbuffer_add_printf(out, "{\"id\":\"%s\",\"type\":\"session\",\"status\":\"%s\",\"environment_id\":", id,
                        doc->archived_at ? "terminated" : api_session_status((enum session_status)m->b));
    json_text_add_string(out, s->environments.items[doc->environment].id,
                         strlen(s->environments.items[doc->environment].id));
    write_member(out, doc, "title", "null");
    write_metadata(out, doc);
    write_member(out, doc, "resources", "[]");
    write_member(out, doc, "vault_ids", "[]");
    write_member(out, doc, "budget", "null");
    write_agent(out, doc);
    evbuffer_add_printf(
        out, ",\"outcome_evaluations\":[],\"stats\":{\"active_seconds\":0,\"duration_seconds\":0},"
             "\"usage\":{\"input_tokens\":0,\"output_tokens\":0,\"cache_read_input_tokens\":0,"
             "\"cache_creation\":{\"ephemeral_5m_input_tokens\":0,\"ephemeral_1h_input_tokens\":0},"
             "\"active_seconds\":0},\"created_at\":");
    api_time_write(s->driver, created, out);
    evbuffer_add_printf(out, ",\"updated_at\":");
    api_time_write(s->driver, doc->updated_at ? doc->updated_at : created, out);
    evbuffer_add_printf(out, ",\"archived_at\":");
    api_time_write(s->driver, doc->archived_at, out);
    evbuffer_add_printf(out, ",\"deployment_id\":null}");
}

/* Replies with the session that c->answer describes. */
static void reply_session(struct call *c)
{
    struct session_doc *doc = c->answer.kind == M_SESSION ? doc_of(c->s, &c->answer) : NULL;
    struct evbuffer *body;

    if (c->answer.kind != M_SESSION) {
        call_refused(c);
        return;
    }
    if (!doc || doc->environment >= c->s->environments.len) {
        call_fail(c, 500, "out of memory, or the session is in an environment that is not known");
        return;
    }
    body = evbuffer_new();
    write_session(c->s, doc, &c->answer, body);
    call_reply(c, body);
    evbuffer_free(body);
}

/* Creation
 * --------------------------------------------------------------------------------------------------- */

static bool read_ordinal(const json_t *metadata, uint64_t *ret)
{
    const char *text = json_text_get(metadata, ORDINAL_KEY);
    char *end;

    if (!text || *text < '0' || *text > '9') return false;
    errno = 0;
    *ret = strtoull(text, &end, 10);
    return !*end && !errno;
}

/* What is wrong with the optional members, NULL if nothing. */
static const char *complaint(const json_t *body)
{
    const json_t *title = json_object_get(body, "title"), *metadata = json_object_get(body, "metadata");
    const json_t *resources = json_object_get(body, "resources"),
                 *vaults = json_object_get(body, "vault_ids");
    const json_t *events = json_object_get(body, "initial_events");

    if (title && !json_is_string(title) && !json_is_null(title)) return "title: a text";
    if (metadata && !json_is_object(metadata)) return "metadata: an object";
    if (resources && !json_is_array(resources)) return "resources: an array";
    if (vaults && !json_is_array(vaults)) return "vault_ids: an array";
    if (events && !json_is_array(events)) return "initial_events: an array";
    return NULL;
}

/* Members that are to be kept; NULL: none, or all are as by default. */
static json_t *extra_of(const json_t *body, const struct session_doc *doc)
{
    static const char *const keys[] = {"title", "metadata", "resources", "vault_ids", "budget", NULL};
    const json_t *agent = json_object_get(body, "agent");
    const char *type = json_text_get(agent, "type");
    json_t *extra = json_object();

    for (size_t i = 0; keys[i]; i++) {
        json_t *value = json_object_get(body, keys[i]);

        if (!value || json_is_null(value)) continue;
        if (i == 1 && doc->ours && json_object_size(value) == 1) continue;
        json_object_set(extra, keys[i], value);
    }
    if (type && strcmp(type, "agent_with_overrides") == 0)
        json_object_set_new(extra, "agent", agents_in_session(doc->agent, agent));
    if (json_object_size(extra)) return extra;
    json_decref(extra);
    return NULL;
}

static void describe_created(struct call *c)
{
    if (c->answer.kind == M_OK)
        call_ask(c, (struct msg){.kind = M_SESSION_GET, .a = c->session}, reply_session);
    else
        call_refused(c);
}

static void created(struct call *c)
{
    const json_t *events = json_object_get(c->body, "initial_events");

    if (c->answer.kind != M_SESSION) {
        call_refused(c);
        return;
    }
    if (doc_add(c->s, c->op, &c->answer) < 0) {
        call_fail(c, 500, "out of memory");
        return;
    }
    c->op = NULL; /* the server's now */
    c->session = c->answer.a;
    if (json_array_size(events))
        posts_send(c, events, describe_created);
    else
        reply_session(c);
}

/* The agent that the request names, and the version that it means (borrowed). NULL: refused. */
static const struct agent *find_agent(struct call *c, struct document **ret_version)
{
    const json_t *wanted = json_object_get(c->body, "agent");
    const char *id = json_is_string(wanted) ? json_string_value(wanted) : json_text_get(wanted, "id");
    json_int_t version = json_integer_value(json_object_get(wanted, "version"));
    const struct agent *agent = id ? agents_find(c->s, id) : NULL;

    *ret_version = agent ? agents_version(agent, version > 0 ? (uint64_t)version : 0) : NULL;
    if (!id)
        call_fail(c, 400, "agent: an id, or an object with one, is required");
    else if (!agent)
        call_fail(c, 404, "there is no agent of that id");
    else if (agent->archived)
        call_fail(c, 400, "the agent is archived");
    else if (!*ret_version)
        call_fail(c, 404, "the agent has no such version");
    else
        return agent;
    return NULL;
}

/* The environment that it names. False: refused. */
static bool find_environment(struct call *c)
{
    const json_t *id = json_object_get(c->body, "environment_id");

    if (!json_is_string(id)) {
        call_fail(c, 400, "environment_id: an id is required");
        return false;
    }
    c->environment = environments_find(c->s, json_string_value(id), json_string_length(id));
    if (c->environment == NO_ENVIRONMENT)
        call_fail_details(c, 404, json_pack("{s:s}", "error_code", "environment_not_found"),
                          "there is no environment of that id");
    else if (c->s->environments.items[c->environment].archived)
        call_fail_details(c, 400, json_pack("{s:s}", "error_code", "environment_archived"),
                          "the environment is archived");
    else
        return true;
    return false;
}

static void draft_free(struct call *c)
{
    doc_free(c->s, c->op);
}

void serve_sessions_create(struct call *c)
{
    const char *wrong;
    const struct agent *agent;
    struct document *version;
    struct session_doc *doc;
    json_t *extra;

    if (!call_body(c) || !find_environment(c)) return;
    wrong = complaint(c->body);
    if (wrong) {
        call_fail(c, 400, "%s", wrong);
        return;
    }
    if (!(agent = find_agent(c, &version))) return;
    c->op = doc = calloc(1, sizeof *doc);
    c->op_free = draft_free;
    if (!doc) {
        call_fail(c, 500, "out of memory");
        return;
    }
    doc->agent = document_hold(version);
    doc->ours = read_ordinal(json_object_get(c->body, "metadata"), &doc->ordinal);
    extra = extra_of(c->body, doc);
    if (extra && !document_replace(c->s, &doc->extra, extra)) {
        call_fail(c, 400, "there is no room for more documents");
        return;
    }
    if (!doc->ours) doc->ordinal = c->s->next_ordinal++;
    call_ask(
        c, (struct msg){.kind = M_SESSION_CREATE, .a = agent->script, .b = doc->ordinal, .c = c->environment},
        created);
}

/* One session
 * ------------------------------------------------------------------------------------------------ */

void serve_sessions_get(struct call *c)
{
    call_ask(c, (struct msg){.kind = M_SESSION_GET, .a = c->session}, reply_session);
}

/* The members that are to be kept, with what the request changes. */
static json_t *updated_extra(const struct session_doc *doc, const json_t *body)
{
    static const char *const keys[] = {"title", "vault_ids", "budget", NULL};
    const json_t *metadata = json_object_get(body, "metadata"), *agent = json_object_get(body, "agent");
    json_t *extra = document_copy(doc->extra);

    for (size_t i = 0; keys[i]; i++) {
        json_t *value = json_object_get(body, keys[i]);

        if (value) json_object_set(extra, keys[i], value);
    }
    if (metadata) {
        json_t *merged = json_copy(json_object_get(extra, "metadata"));

        if (!merged) merged = json_object();
        if (doc->ours && !json_object_get(merged, ORDINAL_KEY))
            json_object_set_new(merged, ORDINAL_KEY, json_sprintf("%" PRIu64, doc->ordinal));
        json_text_merge(merged, metadata);
        json_object_set_new(extra, "metadata", merged);
    }
    if (json_is_object(agent) && doc->agent) {
        json_t *merged = agent_of(doc);

        json_text_merge(merged, agent);
        json_object_set_new(extra, "agent", merged);
    }
    return extra;
}

static void updated(struct call *c)
{
    struct session_doc *doc = c->answer.kind == M_SESSION ? doc_of(c->s, &c->answer) : NULL;

    if (doc && !document_replace(c->s, &doc->extra, updated_extra(doc, c->body))) {
        call_fail(c, 400, "there is no room for more documents");
        return;
    }
    if (doc) doc->updated_at = call_now(c->s);
    reply_session(c);
}

void serve_sessions_update(struct call *c)
{
    const char *wrong;

    c->session = sessions_number(c->arg[0]);
    if (!call_body(c)) return;
    wrong = complaint(c->body);
    if (wrong)
        call_fail(c, 400, "%s", wrong);
    else
        call_ask(c, (struct msg){.kind = M_SESSION_GET, .a = c->session}, updated);
}

static void deleted(struct call *c)
{
    char id[ID_SIZE];

    if (c->answer.kind != M_OK) {
        call_refused(c);
        return;
    }
    doc_free(c->s, id_map_take(&c->s->sessions, c->session));
    content_store_drop_session(c->s->contents, c->session);
    id_format(id, API_SESSION, c->session);
    call_reply_json(c, json_pack("{s:s,s:s}", "id", id, "type", "session_deleted"));
}

void serve_sessions_delete(struct call *c)
{
    c->session = sessions_number(c->arg[0]);
    call_ask(c, (struct msg){.kind = M_SESSION_DELETE, .a = c->session}, deleted);
}

static void archived(struct call *c)
{
    struct session_doc *doc = c->answer.kind == M_SESSION ? doc_of(c->s, &c->answer) : NULL;

    if (doc && !doc->archived_at) doc->archived_at = doc->updated_at = call_now(c->s);
    reply_session(c);
}

void serve_sessions_archive(struct call *c)
{
    c->session = sessions_number(c->arg[0]);
    call_ask(c, (struct msg){.kind = M_SESSION_GET, .a = c->session}, archived);
}

/* There is one thread, the session's own, which events do not name. */

static void empty_list(struct call *c)
{
    if (c->answer.kind == M_SESSION)
        call_reply_text(c, "{\"data\":[],\"next_page\":null}");
    else
        call_refused(c);
}

void serve_sessions_threads(struct call *c)
{
    call_ask(c, (struct msg){.kind = M_SESSION_GET, .a = c->session}, empty_list);
}

void serve_sessions_thread(struct call *c)
{
    call_fail(c, 404, "there is no thread of that id");
}

static void resources(struct call *c)
{
    const struct session_doc *doc = c->answer.kind == M_SESSION ? doc_of(c->s, &c->answer) : NULL;
    json_t *array = doc ? extra_get(doc, "resources") : NULL;

    if (!doc)
        call_refused(c);
    else
        call_reply_json(
            c, json_pack("{s:o,s:n}", "data", array ? json_incref(array) : json_array(), "next_page"));
}

void serve_sessions_resources(struct call *c)
{
    call_ask(c, (struct msg){.kind = M_SESSION_GET, .a = c->session}, resources);
}

/* The list
 * --------------------------------------------------------------------------------------------------- */

static void list_next(struct call *c);

static void want_status(void *user, const char *value)
{
    struct call *c = user;

    c->kinds |= UINT64_C(1) << api_session_status_of(value);
}

/* Whether the session that c->answer describes belongs into the list. */
static bool listed(struct call *c, const struct session_doc *doc)
{
    char agent[ID_SIZE + 1];
    int len = http_exchange_query(c->x, "agent_id", agent, sizeof agent);
    CLEANUP(json_decref_p) json_t *shown = agent_of(doc);
    const char *id = json_text_get(shown, "id");

    if (doc->archived_at && !call_query_is(c, "include_archived", "true")) return false;
    if (c->kinds && !(c->kinds >> c->answer.b & 1)) return false;
    return len < 0 || (id && strcmp(id, agent) == 0);
}

static void list_end(struct call *c)
{
    struct evbuffer *body = evbuffer_new();

    evbuffer_add_printf(body, "{\"data\":");
    json_text_add(body, c->result);
    evbuffer_add_printf(body, ",\"next_page\":");
    call_write_cursor(body, c->number);
    evbuffer_add_printf(body, ",\"prev_page\":null}");
    call_reply(c, body);
    evbuffer_free(body);
}

static void list_got(struct call *c)
{
    const struct session_doc *doc = c->answer.kind == M_SESSION ? doc_of(c->s, &c->answer) : NULL;
    struct evbuffer *one;
    char why[JSON_TEXT_WHY_MAX];
    json_t *json;

    if (!doc && c->answer.kind != M_SESSION && c->answer.a != 404) {
        call_refused(c);
        return;
    }
    if (doc && doc->environment < c->s->environments.len && listed(c, doc)) {
        one = evbuffer_new();
        write_session(c->s, doc, &c->answer, one);
        if (json_text_parse_buffer(one, &json, why) == 0) json_array_append_new(c->result, json);
        evbuffer_free(one);
    }
    c->number += c->newest_first ? UINT64_MAX : 1;
    list_next(c);
}

/* Asks for the next session that is known, until the page is full. */
static void list_next(struct call *c)
{
    uint64_t last = c->s->last_session;

    while (c->number >= 1 && c->number <= last && !id_map_get(&c->s->sessions, c->number))
        c->number += c->newest_first ? UINT64_MAX : 1;
    if (c->number > last) c->number = 0;
    if (c->number && json_array_size(c->result) < c->limit)
        call_ask(c, (struct msg){.kind = M_SESSION_GET, .a = c->number}, list_got);
    else
        list_end(c);
}

void serve_sessions_list(struct call *c)
{
    if (!call_paging(c, 20, true)) return;
    call_query_each(c, "statuses[]", want_status, c);
    c->number = c->cursor ? c->cursor : c->newest_first ? c->s->last_session : 1;
    c->result = json_array();
    list_next(c);
}
