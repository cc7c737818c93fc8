/* Messages into requests. */
#include <errno.h>
#include <event2/buffer.h>
#include <inttypes.h>
#include <string.h>

#include "mock-orchestrator/api_body.h"
#include "mock-orchestrator/api_client_state.h"
#include "mock-orchestrator/api_time.h"
#include "sim/base/panic.h"

#define ADD(out, literal) evbuffer_add((out), "" literal, sizeof(literal) - 1)

void encoded_deinit(struct encoded *e)
{
    str_deinit(&e->target);
    str_deinit(&e->authorization);
    str_deinit(&e->facts);
    if (e->body) evbuffer_free(e->body);
}

/* Paths
 * ------------------------------------------------------------------------------------------------------ */

static void put_id(struct api_client *c, struct str *out, const char *prefix, uint64_t number)
{
    char buffer[ID_SIZE];

    api_add_escaped(out, api_id_text(&c->ids, prefix, number, buffer));
}

static void session_path(struct api_client *c, struct encoded *e, uint64_t session, const char *then)
{
    str_puts(&e->target, "/v1/sessions/");
    put_id(c, &e->target, API_SESSION, session);
    str_puts(&e->target, then);
}

/* A runner's own environment: that of its pool. */
static uint32_t environment_of(const struct api_client *c, addr_t from)
{
    uint32_t pool = 0;

    if (ADDR_ROLE(from) == ROLE_RUNNER) plan_runner_of(driver_plan(c->driver), ADDR_ORDINAL(from), &pool);
    return pool < c->environment_count ? pool : 0;
}

static void work_path(struct api_client *c, struct encoded *e, uint32_t environment, uint64_t work,
                      const char *then)
{
    str_puts(&e->target, "/v1/environments/");
    api_add_escaped(&e->target, c->environments[environment].id);
    str_puts(&e->target, "/work/");
    if (work) put_id(c, &e->target, API_WORK, work);
    str_puts(&e->target, then);
}

/* Credentials
 * ------------------------------------------------------------------------------------------------ */

static void bearer(struct encoded *e, const char *credential)
{
    if (!credential) return;
    str_puts(&e->authorization, "Bearer ");
    str_puts(&e->authorization, credential);
}

/* A client shows the API key; a worker the token of what it works on, or, where it has none, its
 * environment's key. */
static void credentials(struct api_client *c, struct encoded *e, addr_t from, const char *token)
{
    if (ADDR_ROLE(from) != ROLE_RUNNER)
        e->with_api_key = c->api_key != NULL;
    else
        bearer(e, token ? token : c->environments[environment_of(c, from)].key);
}

/* Bodies
 * ----------------------------------------------------------------------------------------------------- */

static int create_session(struct api_client *c, const struct msg *m, struct encoded *e)
{
    const struct plan *plan = driver_plan(c->driver);
    const char *agent = m->a < plan->script_count ? c->agents[m->a] : "";
    const char *environment = c->environments[m->c < c->environment_count ? m->c : 0].id;

    e->method = "POST";
    str_puts(&e->target, "/v1/sessions");
    ADD(e->body, "{\"agent\":");
    json_text_add_string(e->body, agent, strlen(agent));
    ADD(e->body, ",\"environment_id\":");
    json_text_add_string(e->body, environment, strlen(environment));
    evbuffer_add_printf(e->body, ",\"metadata\":{\"windtunnel.ordinal\":\"%" PRIu64 "\"}}", m->b);
    return 0;
}

static void write_ref(struct api_client *c, struct evbuffer *out, const char *name, uint64_t event)
{
    char buffer[ID_SIZE];
    const char *id = api_id_text(&c->ids, API_EVENT, event, buffer);

    evbuffer_add_printf(out, ",\"%s\":", name);
    json_text_add_string(out, id, strlen(id));
}

/* `,"content":[…]` with generated text. */
static void write_text(struct evbuffer *out, const struct api_body *body)
{
    ADD(out, ",\"content\":[{\"type\":\"text\",\"text\":\"");
    api_body_write(body, out);
    ADD(out, "\"}]");
}

/* … with what is given, whatever is in it. */
static void write_bytes(struct evbuffer *out, const char *text, size_t len)
{
    ADD(out, ",\"content\":[{\"type\":\"text\",\"text\":");
    json_text_add_string(out, text, len);
    ADD(out, "}]");
}

static bool is_piece(const struct msg *m)
{
    return EVENT_KIND(m->b) == EV_USER_TOOL_RESULT && EVENT_TOOL(m->b) == TOOL_READ;
}

/* The call whose output stands in the file, of the same session. */
static uint64_t file_of(const struct msg *m)
{
    return API_EVENT_ID(m->a, EVENT_SEQ(m->b));
}

static void write_piece(struct api_client *c, const struct msg *m, struct evbuffer *out)
{
    struct evbuffer *piece = evbuffer_new();

    if (!piece) PANIC_MEMORY("out of memory for a piece of a file");
    disk_copy(c->o.disk, file_of(m), m->e >> 8, m->d, piece);
    write_bytes(out, (const char *)evbuffer_pullup(piece, -1), evbuffer_get_length(piece));
    evbuffer_free(piece);
}

static void write_result(struct api_client *c, const struct msg *m, const char *of, struct evbuffer *out)
{
    struct api_body body = {.id = m->c, .chars = m->d};

    if (m->e & EVENT_SPILLED) body.spilled = m->e >> 8;
    write_ref(c, out, of, m->c);
    evbuffer_add_printf(out, ",\"is_error\":%s", m->e & EVENT_IS_ERROR ? "true" : "false");
    if (m->e & EVENT_FOREIGN)
        write_bytes(out, API_CLIENT_FOREIGN, strlen(API_CLIENT_FOREIGN));
    else if (is_piece(m))
        write_piece(c, m, out);
    else
        write_text(out, &body);
}

/* Not for a text that is said as it is. */
static void write_facts(const struct msg *m, struct str *out)
{
    struct api_facts facts = {
        .chars = m->d, .corrupt = (m->e & EVENT_CORRUPT) != 0, .refused = (m->e & EVENT_REFUSED) != 0};
    char text[API_FACTS_SIZE];

    if (m->e & EVENT_FOREIGN) return;
    if (m->e & EVENT_SPILLED) facts.spilled = m->e >> 8;
    if (is_piece(m)) {
        facts.file = file_of(m);
        facts.offset = m->e >> 8;
    }
    api_facts_format(&facts, text);
    str_puts(out, text);
}

static int send_event(struct api_client *c, const struct msg *m, struct encoded *e)
{
    struct api_body said = {.id = API_TEXT_OF_USER(m->a), .chars = m->d};

    e->method = "POST";
    session_path(c, e, m->a, "/events");
    write_facts(m, &e->facts);
    evbuffer_add_printf(e->body, "{\"events\":[{\"type\":\"%s\"", event_kind_name(EVENT_KIND(m->b)));
    switch (EVENT_KIND(m->b)) {
    case EV_USER_MESSAGE: write_text(e->body, &said); break;
    case EV_USER_TOOL_RESULT: write_result(c, m, "tool_use_id", e->body); break;
    case EV_USER_CUSTOM_TOOL_RESULT: write_result(c, m, "custom_tool_use_id", e->body); break;
    case EV_USER_TOOL_CONFIRMATION:
        write_ref(c, e->body, "tool_use_id", m->c);
        evbuffer_add_printf(e->body, ",\"result\":\"%s\"", m->e & EVENT_IS_ERROR ? "deny" : "allow");
        break;
    case EV_USER_INTERRUPT: break;
    default: UNREACHABLE();
    }
    ADD(e->body, "}]}");
    return 0;
}

/* Requests
 * --------------------------------------------------------------------------------------------------- */

static void list_events(struct api_client *c, const struct msg *m, struct encoded *e)
{
    const char *cursor = api_client_page(c, m->a, m->b);
    char own[ID_SIZE];

    session_path(c, e, m->a, "/events");
    str_appendf(&e->target, "?limit=%" PRIu64, m->c ? m->c : 1000);
    if (m->d) str_puts(&e->target, "&order=desc");
    /* A foreign control plane knows its own cursors alone: without one the list begins at its beginning. */
    if (!cursor && m->b && !(m->a & API_FOREIGN)) {
        id_format(own, API_PAGE, m->b);
        cursor = own;
    }
    if (!cursor) return;
    str_puts(&e->target, "&page=");
    api_add_escaped(&e->target, cursor);
}

static uint64_t ms_of(nsec_t ns)
{
    return (ns + NSEC_PER_MS - 1) / NSEC_PER_MS;
}

static void poll_work(struct api_client *c, const struct msg *m, struct encoded *e)
{
    char separator = '?';

    work_path(c, e, m->a < c->environment_count ? (uint32_t)m->a : 0, 0, "poll");
    if (m->c) {
        str_appendf(&e->target, "?block_ms=%" PRIu64, ms_of(m->c) < 999 ? ms_of(m->c) : 999);
        separator = '&';
    }
    if (m->d) str_appendf(&e->target, "%creclaim_older_than_ms=%" PRIu64, separator, ms_of(m->d));
    id_format(e->worker, "windtunnel-", m->b);
}

/* The last heartbeat to the letter as it was answered: a moment of the run, or a text that is none. */
static void put_beat(struct api_client *c, struct str *out, uint64_t beat)
{
    char text[API_TIME_SIZE];

    if (beat == HEARTBEAT_NONE) {
        str_puts(out, "NO_HEARTBEAT");
    } else if (beat & API_FOREIGN) {
        api_add_escaped(out, intern_get(&c->ids, (uint32_t)beat, NULL));
    } else {
        api_time_format(driver_wall_ns(c->driver, beat), text);
        api_add_escaped(out, text);
    }
}

static void heartbeat(struct api_client *c, addr_t from, const struct msg *m, struct encoded *e)
{
    e->method = "POST";
    work_path(c, e, environment_of(c, from), m->a, "/heartbeat?expected_last_heartbeat=");
    put_beat(c, &e->target, m->b);
    if (m->c) str_appendf(&e->target, "&desired_ttl_seconds=%" PRIu64, m->c / NSEC_PER_S);
}

static void post_work(struct api_client *c, addr_t from, const struct msg *m, struct encoded *e)
{
    bool stop = m->kind == M_WORK_STOP;

    e->method = "POST";
    work_path(c, e, environment_of(c, from), m->a, stop ? "/stop" : "/ack");
    if (stop) evbuffer_add_printf(e->body, m->b ? "{\"force\":true}" : "{}");
}

/* The token with which this is asked; NULL: the environment's key. */
static const char *token_of(struct api_client *c, const struct msg *m)
{
    switch ((enum msg_kind)m->kind) {
    case M_WORK_HEARTBEAT:
    case M_WORK_STOP: return token_table_of_work(&c->tokens, m->a);
    case M_SESSION_GET:
    case M_EVENTS_SEND:
    case M_STREAM:
    case M_EVENTS_LIST: return token_table_of_session(&c->tokens, m->a);
    default: return NULL;
    }
}

static int encode(struct api_client *c, addr_t from, const struct msg *m, struct encoded *e)
{
    switch ((enum msg_kind)m->kind) {
    case M_SESSION_CREATE: return create_session(c, m, e);
    case M_SESSION_GET: session_path(c, e, m->a, ""); return 0;
    case M_SESSION_DELETE:
        e->method = "DELETE";
        session_path(c, e, m->a, "");
        return 0;
    case M_EVENTS_SEND: return send_event(c, m, e);
    case M_STREAM: session_path(c, e, m->a, "/events/stream"); return 0;
    case M_EVENTS_LIST: list_events(c, m, e); return 0;
    case M_WORK_POLL: poll_work(c, m, e); return 0;
    case M_WORK_ACK:
    case M_WORK_STOP: post_work(c, from, m, e); return 0;
    case M_WORK_HEARTBEAT: heartbeat(c, from, m, e); return 0;
    case M_WORK_GET: work_path(c, e, environment_of(c, from), m->a, ""); return 0;
    case M_WORK_STATS:
        work_path(c, e, m->a < c->environment_count ? (uint32_t)m->a : 0, 0, "stats");
        return 0;
    default: UNREACHABLE();
    }
}

int api_client_encode(struct api_client *c, addr_t from, const struct msg *m, struct encoded *ret)
{
    *ret = (struct encoded){.method = "GET"};
    str_init(&ret->target, TARGET_MAX);
    str_init(&ret->authorization, TARGET_MAX);
    str_init(&ret->facts, API_FACTS_SIZE);
    ret->body = evbuffer_new();
    if (!ret->body) return -ENOMEM;
    if (c->prefix) str_puts(&ret->target, c->prefix);
    encode(c, from, m, ret);
    credentials(c, ret, from, token_of(c, m));
    if (str_error(&ret->target)) return str_error(&ret->target);
    return str_error(&ret->authorization);
}
