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
    if (doc->extra) documents_give(s, doc->extra);
    json_decref(doc->agent);
    json_decref(doc->extra);
    free(doc);
}

void sessions_deinit(struct api_server *s)
{
    for (size_t i = 0; i < s->sessions.capacity; i++) doc_free(s, s->sessions.slots[i].value);
    id_map_deinit(&s->sessions);
}

/* The record of a session that is there, made if it is not known (this process may have been born later than
 * the session). NULL: out of memory. */
static struct session_doc *doc_of(struct api_server *s, const struct msg *session)
{
    struct session_doc *doc = id_map_get(&s->sessions, session->a);
    uint32_t scripts = driver_plan(s->driver)->script_count;

    if (doc) return doc;
    doc = calloc(1, sizeof *doc);
    if (!doc || id_map_put(&s->sessions, session->a, doc) < 0) {
        free(doc);
        return NULL;
    }
    doc->number = session->a;
    doc->environment = (uint32_t)session->e;
    if (session->c < scripts) doc->agent = json_incref(s->agents.items[session->c]->in_session);
    if (s->last_session < session->a) s->last_session = session->a;
    return doc;
}

/* Writing
 * ---------------------------------------------------------------------------------------------------- */

static void write_member(struct evbuffer *out, const struct session_doc *doc, const char *key,
                         const char *otherwise)
{
    const json_t *value = json_object_get(doc->extra, key);

    evbuffer_add_printf(out, ",\"%s\":", key);
    if (value)
        json_text_add(out, value);
    else
        evbuffer_add(out, otherwise, strlen(otherwise));
}

static void write_metadata(struct evbuffer *out, const struct session_doc *doc)
{
    if (doc->ours && !json_object_get(doc->extra, "metadata"))
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

    evbuffer_add_printf(out, ",\"agent\":");
    if (doc->agent)
        json_text_add(out, doc->agent);
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

/* What a creation was asked for; the agent as the session will show it is in c->result. */
struct creation {
    const struct agent *agent;
    uint64_t ordinal;
    bool ours;
};

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
static json_t *extra_of(const json_t *body, const struct creation *of)
{
    static const char *const keys[] = {"title", "metadata", "resources", "vault_ids", "budget", NULL};
    json_t *extra = NULL;

    for (size_t i = 0; keys[i]; i++) {
        json_t *value = json_object_get(body, keys[i]);

        if (!value || json_is_null(value)) continue;
        if (i == 1 && of->ours && json_object_size(value) == 1) continue;
        if (!extra) extra = json_object();
        json_object_set(extra, keys[i], value);
    }
    return extra;
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
    struct creation *of = c->op;
    const json_t *events = json_object_get(c->body, "initial_events");
    struct session_doc *doc = c->answer.kind == M_SESSION ? doc_of(c->s, &c->answer) : NULL;

    if (!doc) {
        call_refused(c);
        return;
    }
    json_decref(doc->agent);
    doc->agent = steal_ptr(c->result);
    doc->ordinal = of->ordinal;
    doc->ours = of->ours;
    doc->extra = extra_of(c->body, of);
    if (doc->extra) documents_take(c->s, doc->extra);
    c->session = c->answer.a;
    if (json_array_size(events))
        posts_send(c, events, describe_created);
    else
        reply_session(c);
}

/* The agent that the request names, as the session will show it. False: refused. */
static bool find_agent(struct call *c, struct creation *of)
{
    const json_t *wanted = json_object_get(c->body, "agent");
    const char *id = json_is_string(wanted) ? json_string_value(wanted) : json_text_get(wanted, "id");
    const char *type = json_text_get(wanted, "type");
    json_int_t version = json_integer_value(json_object_get(wanted, "version"));

    of->agent = id ? agents_find(c->s, id) : NULL;
    if (!id)
        call_fail(c, 400, "agent: an id, or an object with one, is required");
    else if (!of->agent)
        call_fail(c, 404, "there is no agent of that id");
    else if (of->agent->archived)
        call_fail(c, 400, "the agent is archived");
    else {
        c->result = agents_in_session(of->agent, version > 0 ? (uint64_t)version : 0,
                                      type && strcmp(type, "agent_with_overrides") == 0 ? wanted : NULL);
        if (c->result) return true;
        call_fail(c, 404, "the agent has no such version");
    }
    return false;
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

void serve_sessions_create(struct call *c)
{
    const char *wrong;
    struct creation *of = c->op = calloc(1, sizeof *of);
    json_t *extra;
    bool room;

    if (!of) {
        call_fail(c, 500, "out of memory");
        return;
    }
    if (!call_body(c) || !find_environment(c)) return;
    wrong = complaint(c->body);
    if (wrong) {
        call_fail(c, 400, "%s", wrong);
        return;
    }
    of->ours = read_ordinal(json_object_get(c->body, "metadata"), &of->ordinal);
    extra = extra_of(c->body, of);
    room = !extra || documents_take(c->s, extra);
    if (extra && room) documents_give(c->s, extra); /* taken for good when the session is there */
    json_decref(extra);
    if (!room) {
        call_fail(c, 400, "there is no room for more documents");
        return;
    }
    if (!find_agent(c, of)) return;
    if (!of->ours) of->ordinal = c->s->next_ordinal++;
    call_ask(
        c,
        (struct msg){.kind = M_SESSION_CREATE, .a = of->agent->script, .b = of->ordinal, .c = c->environment},
        created);
}

/* One session
 * ------------------------------------------------------------------------------------------------ */

void serve_sessions_get(struct call *c)
{
    call_ask(c, (struct msg){.kind = M_SESSION_GET, .a = c->session}, reply_session);
}

static void update(struct call *c, struct session_doc *doc)
{
    static const char *const keys[] = {"title", "vault_ids", "budget", NULL};
    json_t *metadata = json_object_get(c->body, "metadata"), *agent = json_object_get(c->body, "agent");

    if (!doc->extra) doc->extra = json_object();
    documents_give(c->s, doc->extra);
    for (size_t i = 0; keys[i]; i++) {
        json_t *value = json_object_get(c->body, keys[i]);

        if (value) json_object_set(doc->extra, keys[i], value);
    }
    if (metadata) {
        json_t *merged = json_copy(json_object_get(doc->extra, "metadata"));

        if (!merged) merged = json_object();
        if (doc->ours && !json_object_get(merged, ORDINAL_KEY))
            json_object_set_new(merged, ORDINAL_KEY, json_sprintf("%" PRIu64, doc->ordinal));
        json_text_merge(merged, metadata);
        json_object_set_new(doc->extra, "metadata", merged);
    }
    if (json_is_object(agent) && doc->agent) {
        json_t *changed = json_copy(doc->agent);

        json_text_merge(changed, agent);
        json_decref(doc->agent);
        doc->agent = changed;
    }
    documents_take(c->s, doc->extra);
    doc->updated_at = call_now(c->s);
}

static void updated(struct call *c)
{
    struct session_doc *doc = c->answer.kind == M_SESSION ? doc_of(c->s, &c->answer) : NULL;

    if (doc && !documents_take(c->s, c->body)) {
        call_fail(c, 400, "there is no room for more documents");
        return;
    }
    if (doc) {
        documents_give(c->s, c->body);
        update(c, doc);
    }
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
    json_t *array = doc ? json_object_get(doc->extra, "resources") : NULL;

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
    const char *id = json_text_get(doc->agent, "id");

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
