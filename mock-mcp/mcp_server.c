#include "mock-mcp/mcp_server.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <stdio.h>
#include <string.h>

#include "mock-mcp/rules.h"
#include "mock-mcp/state.h"
#include "sim/base/panic.h"
#include "sim/base/str.h"
#include "sim/live/sse.h"

enum { SESSIONS_MAX = 4096, CONNECTIONS_MAX = 16384, DISCOVER_TTL_MS = 3600000 };

#define KEEP_ALIVE_NS   (15 * NSEC_PER_S)
#define ANSWER_MAX      (64u << 10) /* besides the client's own id */
#define SERVER_IDENTITY "{\"name\":\"mock-mcp\",\"version\":\"0.1.0\"}"

/* --- answers --- */

void mcp_answer_error(struct http_exchange *x, const char *id, struct rpc_error *e)
{
    CLEANUP(str_deinit) struct str body = STR_INIT(ANSWER_MAX + (id ? strlen(id) : 0));
    struct http_header headers[4] = {{"Content-Type", "application/json"}, HTTP_UNSEEN};
    struct evbuffer *out = evbuffer_new();

    if (e->allow) headers[2] = (struct http_header){"Allow", e->allow};
    rpc_put_error(&body, id, e);
    rpc_error_deinit(e);
    if (out && !str_error(&body)) {
        evbuffer_add(out, str_text(&body), str_len(&body));
        http_reply(x, e->status, headers, out);
    } else {
        http_exchange_abort(x);
    }
    if (out) evbuffer_free(out);
}

static void answer_result_with(struct post *p, const char *result, struct http_header extra)
{
    CLEANUP(str_deinit) struct str body = STR_INIT(ANSWER_MAX + 2 * strlen(p->message.id) + strlen(result));
    bool sse = p->server->options.event_streams;
    struct http_header headers[3] = {{"Content-Type", sse ? "text/event-stream" : "application/json"}, extra};
    struct evbuffer *out = evbuffer_new();

    str_puts(&body, "{\"jsonrpc\":\"2.0\",\"id\":");
    str_puts(&body, p->message.id);
    str_puts(&body, ",\"result\":");
    str_puts(&body, result);
    str_puts(&body, "}");
    if (!out || str_error(&body)) {
        http_exchange_abort(p->x);
    } else {
        if (sse)
            sse_add(out, "message", NULL, str_text(&body), str_len(&body));
        else
            evbuffer_add(out, str_text(&body), str_len(&body));
        http_reply(p->x, 200, headers, out);
    }
    if (out) evbuffer_free(out);
}

void mcp_answer_result(struct post *p, const char *result)
{
    answer_result_with(p, result, (struct http_header){NULL, NULL});
}

static void refuse(struct post *p, int status, int code, const char *what)
{
    struct rpc_error e = {.data = NULL};

    rpc_refuse(&e, status, code, "%s", what);
    mcp_answer_error(p->x, p->message.id, &e);
}

static void answer_nothing(struct http_exchange *x, int status)
{
    http_reply(x, status, NULL, NULL);
}

/* --- sessions --- */

static void end_stream(struct mcp_session *session)
{
    struct http_exchange *x = session->stream;

    list_remove(&session->streaming);
    session->stream = NULL;
    if (x) http_reply_end(x);
}

static void end_session(struct mcp_server *s, struct mcp_session *session)
{
    end_stream(session);
    mcp_session_remove(&s->sessions, session);
}

/* The session that a request names. NULL: it has been answered. */
static struct mcp_session *find_session(struct mcp_server *s, struct http_exchange *x, const char *rpc_id)
{
    const char *id = http_exchange_header(x, "mcp-session-id");
    struct mcp_session *session = id ? mcp_session_find(&s->sessions, id) : NULL;
    struct rpc_error e = {.data = NULL};

    if (session) return session;
    if (id)
        rpc_refuse(&e, 404, RPC_SESSION_NOT_FOUND, "Session not found");
    else
        rpc_refuse(&e, 400, RPC_SERVER_ERROR, "Bad Request: Mcp-Session-Id header is required");
    mcp_answer_error(x, rpc_id, &e);
    return NULL;
}

static void on_initialize(struct post *p)
{
    struct mcp_server *s = p->server;
    const char *wanted = json_string_value(json_object_get(p->message.params, "protocolVersion"));
    unsigned legacy = s->options.revisions & MCP_REVISIONS_LEGACY;
    int revision = wanted ? mcp_revision_find(legacy, wanted) : -1;
    const char *known = http_exchange_header(p->x, "mcp-session-id");
    struct mcp_session *session, *excess;
    char id[MCP_SESSION_ID_SIZE], result[256];

    if (known && mcp_session_find(&s->sessions, known)) {
        refuse(p, 400, RPC_INVALID_REQUEST, "Invalid Request: Server already initialized");
        return;
    }
    if (!wanted) {
        refuse(p, 200, RPC_INVALID_PARAMS, "Invalid params: \"protocolVersion\" must be a string");
        return;
    }
    if (revision < 0) revision = mcp_revision_latest(legacy);
    excess = mcp_sessions_excess(&s->sessions);
    if (excess) end_session(s, excess);
    session = mcp_session_new(&s->sessions, (enum mcp_revision)revision);
    if (!session) {
        http_exchange_abort(p->x);
        return;
    }
    mcp_session_id(session, id);
    snprintf(result, sizeof result,
             "{\"protocolVersion\":\"%s\",\"capabilities\":{\"tools\":{\"listChanged\":false}},"
             "\"serverInfo\":" SERVER_IDENTITY "}",
             mcp_revision_name(session->revision));
    answer_result_with(p, result, (struct http_header){"Mcp-Session-Id", id});
}

/* --- streams of sessions --- */

static void on_stream_aborted(void *user, struct http_exchange *x)
{
    struct mcp_session *session = user;

    list_remove(&session->streaming);
    session->stream = NULL;
    http_exchange_abort(x);
}

static const struct http_exchange_handler stream_handler = {.aborted = on_stream_aborted};

static void add_comment(struct http_exchange *x, const char *text)
{
    struct evbuffer *out = evbuffer_new();

    if (!out) return;
    sse_add_comment(out, text);
    http_reply_data(x, out);
    evbuffer_free(out);
}

/* The server has nothing to say of its own: the stream carries comments only. */
static void on_get(struct mcp_server *s, struct http_exchange *x)
{
    static const struct http_header headers[] = {
        {"Content-Type", "text/event-stream"}, {"Cache-Control", "no-cache"}, {NULL, NULL}};
    struct mcp_session *session = find_session(s, x, NULL);
    struct rpc_error e = {.data = NULL};

    if (!session) return;
    if (session->stream) {
        rpc_refuse(&e, 409, RPC_SERVER_ERROR, "Conflict: Only one SSE stream is allowed per session");
        mcp_answer_error(x, NULL, &e);
        return;
    }
    session->stream = x;
    list_push_back(&s->streaming, &session->streaming);
    http_exchange_set_handler(x, &stream_handler, session);
    http_reply_start(x, 200, headers, -1);
    add_comment(x, "open");
}

static void on_keep_alive(evutil_socket_t fd, short what, void *user)
{
    struct mcp_server *s = user;

    list_for_each(session, &s->streaming, struct mcp_session, streaming)
    {
        if (http_exchange_pending(session->stream) == 0) add_comment(session->stream, "alive");
    }
}

static void on_delete(struct mcp_server *s, struct http_exchange *x)
{
    struct mcp_session *session = find_session(s, x, NULL);

    if (!session) return;
    end_session(s, session);
    answer_nothing(x, 200);
}

/* --- methods --- */

static void on_ping(struct post *p)
{
    mcp_answer_result(p, "{}");
}

static void on_tools_list(struct post *p)
{
    CLEANUP(str_deinit) struct str result = STR_INIT(ANSWER_MAX);

    if (json_object_get(p->message.params, "cursor")) {
        refuse(p, 200, RPC_INVALID_PARAMS, "Invalid cursor: the list has one page");
        return;
    }
    mcp_tools_put_list(&result, p->server->options.tools, p->era);
    mcp_answer_result(p, str_text(&result));
}

static void on_discover(struct post *p)
{
    CLEANUP(str_deinit) struct str result = STR_INIT(ANSWER_MAX);
    const char *comma = "";

    str_puts(&result, "{\"resultType\":\"complete\",\"supportedVersions\":[");
    for (int i = 0; i < MCP_REVISION_COUNT; i++) {
        if (!(p->server->options.revisions & MCP_REVISIONS_MODERN & 1u << i)) continue;
        str_appendf(&result, "%s\"%s\"", comma, mcp_revision_name((enum mcp_revision)i));
        comma = ",";
    }
    str_appendf(&result,
                "],\"capabilities\":{\"tools\":{}},\"ttlMs\":%d,\"cacheScope\":\"public\","
                "\"_meta\":{\"" META_SERVER "\":" SERVER_IDENTITY "}}",
                DISCOVER_TTL_MS);
    mcp_answer_result(p, str_text(&result));
}

/* Nothing here ever changes, so no kind of notification is honoured, and the subscription ends at once. */
static void on_listen(struct post *p)
{
    static const struct http_header headers[] = {{"Content-Type", "text/event-stream"}, {NULL, NULL}};
    const char *id = p->message.id;
    CLEANUP(str_deinit) struct str line = STR_INIT(ANSWER_MAX + 4 * strlen(id));
    struct evbuffer *out;

    if (!json_is_object(json_object_get(p->message.params, "notifications"))) {
        refuse(p, 200, RPC_INVALID_PARAMS, "Invalid params: \"notifications\" must be an object");
        return;
    }
    out = evbuffer_new();
    if (!out) {
        http_exchange_abort(p->x);
        return;
    }
    str_appendf(&line,
                "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\",\"params\":"
                "{\"notifications\":{},\"_meta\":{\"" META_SUBSCRIPTION "\":%s}}}",
                id);
    sse_add(out, "message", NULL, str_text(&line), str_len(&line));
    str_clear(&line);
    str_appendf(&line,
                "{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{\"resultType\":\"complete\",\"_meta\":"
                "{\"" META_SUBSCRIPTION "\":%s,\"" META_SERVER "\":" SERVER_IDENTITY "}}}",
                id, id);
    sse_add(out, "message", NULL, str_text(&line), str_len(&line));
    http_reply(p->x, 200, headers, out);
    evbuffer_free(out);
}

static const struct method {
    const char *name;
    enum mcp_era era;
    void (*serve)(struct post *p);
} methods[] = {
    {"ping", ERA_LEGACY, on_ping},
    {"tools/list", ERA_LEGACY, on_tools_list},
    {"tools/call", ERA_LEGACY, mcp_call_begin},
    {"server/discover", ERA_MODERN, on_discover},
    {"tools/list", ERA_MODERN, on_tools_list},
    {"tools/call", ERA_MODERN, mcp_call_begin},
    {"subscriptions/listen", ERA_MODERN, on_listen},
};

static void serve_method(struct post *p)
{
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        if (methods[i].era == p->era && strcmp(methods[i].name, p->message.method) == 0) {
            methods[i].serve(p);
            return;
        }
    }
    refuse(p, p->era == ERA_MODERN ? 404 : 200, RPC_METHOD_NOT_FOUND, "Method not found");
}

/* --- posts --- */

static void on_notification(struct post *p)
{
    json_t *request = json_object_get(p->message.params, "requestId");
    CLEANUP(cleanup_free_p) char *id = NULL;

    if (p->session && strcmp(p->message.method, "notifications/cancelled") == 0 && request)
        id = json_dumps(request, JSON_ENCODE_ANY | JSON_COMPACT);
    if (id) mcp_calls_cancel(p->session, id);
    answer_nothing(p->x, 202);
}

static void serve_legacy(struct post *p)
{
    bool spoken = p->server->options.revisions & MCP_REVISIONS_LEGACY;

    if (!spoken) { /* a notification: whatever it says is of no use here */
        answer_nothing(p->x, 202);
        return;
    }
    if (p->message.kind == RPC_REQUEST && strcmp(p->message.method, "initialize") == 0) {
        on_initialize(p);
        return;
    }
    p->session = find_session(p->server, p->x, p->message.id);
    if (!p->session) return;
    switch (p->message.kind) {
    case RPC_REQUEST: serve_method(p); break;
    case RPC_NOTIFICATION: on_notification(p); break;
    case RPC_RESPONSE: answer_nothing(p->x, 202); break;
    }
}

static void on_post(struct mcp_server *s, struct http_exchange *x)
{
    const struct http_head *head = http_exchange_head(x);
    struct evbuffer *body = http_exchange_body(x);
    struct post p = {.server = s, .x = x, .bytes = (uint32_t)(head->wire_bytes + evbuffer_get_length(body))};
    struct rpc_error e = {.data = NULL};
    int r = rpc_parse(body, &p.message, &e);

    if (r == 0) r = mcp_rules_check_message(s->options.revisions, head, &p.message, &p.era, &e);
    if (r < 0)
        http_exchange_abort(x);
    else if (r == RPC_E_REFUSED)
        mcp_answer_error(x, p.message.id, &e);
    else if (p.era == ERA_LEGACY)
        serve_legacy(&p);
    else if (p.message.kind == RPC_REQUEST)
        serve_method(&p);
    else
        on_notification(&p);
    rpc_message_deinit(&p.message);
}

/* --- the HTTP server's callbacks --- */

/* What can be said before the body has come. */
static enum http_body_mode on_route(void *user, struct http_exchange *x)
{
    struct mcp_server *s = user;
    const struct http_head *head = http_exchange_head(x);
    struct rpc_error e = {.data = NULL};
    bool sessions = s->options.revisions & MCP_REVISIONS_LEGACY;
    int r;

    if (strcmp(http_exchange_path(x), s->path) != 0)
        r = rpc_refuse(&e, 404, RPC_SERVER_ERROR, "Not found: MCP is spoken at %.100s", s->path);
    else
        r = mcp_rules_check_head(sessions ? "GET, POST, DELETE" : "POST", head, &e);
    if (r != 0) mcp_answer_error(x, NULL, &e);
    return HTTP_BODY_BUFFER;
}

static void on_request(void *user, struct http_exchange *x)
{
    const char *method = http_exchange_method(x);

    if (strcmp(method, "POST") == 0)
        on_post(user, x);
    else if (strcmp(method, "GET") == 0)
        on_get(user, x);
    else
        on_delete(user, x);
}

static const char *on_error_body(void *user, int status, const char *what, struct evbuffer *body)
{
    CLEANUP(str_deinit) struct str text = STR_INIT(ANSWER_MAX);
    struct rpc_error e = {.data = NULL};

    rpc_refuse(&e, status, RPC_SERVER_ERROR, "%s", what);
    rpc_put_error(&text, NULL, &e);
    evbuffer_add(body, str_text(&text), str_len(&text));
    return "application/json";
}

static const struct http_server_handler http_handler = {
    .route = on_route, .request = on_request, .error_body = on_error_body};

/* --- the server --- */

static void set_defaults(struct mcp_server_options *o)
{
    if (!o->from) o->from = ADDR(ROLE_PROXY, 0);
    if (!o->path) o->path = "/mcp";
    if (!o->revisions) o->revisions = MCP_REVISIONS_ALL;
    if (!o->tools) o->tools = MCP_TOOLS_ALL;
    if (!o->sessions_max) o->sessions_max = SESSIONS_MAX;
    if (!o->connections_max) o->connections_max = CONNECTIONS_MAX;
    if (!o->keep_alive_ns) o->keep_alive_ns = KEEP_ALIVE_NS;
}

static int server_listen(struct mcp_server *s)
{
    struct http_server_options http = {.listen = s->options.listen,
                                       .header_timeout_ns = s->options.request_timeout_ns,
                                       .body_timeout_ns = s->options.request_timeout_ns,
                                       .idle_timeout_ns = s->options.idle_timeout_ns,
                                       .connections_max = s->options.connections_max};
    nsec_t every = s->options.keep_alive_ns;
    struct timeval period = {.tv_sec = (time_t)(every / NSEC_PER_S),
                             .tv_usec = (suseconds_t)(every % NSEC_PER_S / NSEC_PER_US)};
    struct event_base *base = driver_base(s->driver);
    int r = http_server_new(base, &http, &http_handler, s, &s->http);

    if (r < 0) return r;
    s->keep_alive = event_new(base, -1, EV_PERSIST, on_keep_alive, s);
    if (s->keep_alive && event_add(s->keep_alive, &period) == 0) return 0;
    http_server_free(s->http);
    return -ENOMEM;
}

int mcp_server_new(struct driver *driver, const struct mcp_server_options *o, struct mcp_server **ret_server)
{
    struct mcp_server *s = calloc(1, sizeof *s);
    int r;

    if (!s) return -ENOMEM;
    s->driver = driver;
    s->options = *o;
    set_defaults(&s->options);
    list_init(&s->streaming);
    list_init(&s->calls);
    snprintf(s->path, sizeof s->path, "%s", s->options.path);
    r = mcp_sessions_init(&s->sessions, s->options.sessions_max);
    if (r == 0) r = server_listen(s);
    s->options.listen = s->options.path = NULL;
    if (r < 0) {
        mcp_sessions_deinit(&s->sessions);
        free(s);
        return r;
    }
    *ret_server = s;
    return 0;
}

int mcp_server_port(const struct mcp_server *server)
{
    return http_server_port(server->http);
}

uint32_t mcp_server_sessions(const struct mcp_server *server)
{
    return slab_count(&server->sessions.slab);
}

unsigned mcp_server_connections(const struct mcp_server *server)
{
    return http_server_connections(server->http);
}

void mcp_server_drain(struct mcp_server *server)
{
    http_server_drain(server->http);
    list_for_each(session, &server->streaming, struct mcp_session, streaming) end_stream(session);
}

void mcp_server_free(struct mcp_server *server)
{
    if (!server) return;
    event_free(server->keep_alive);
    list_for_each(session, &server->streaming, struct mcp_session, streaming) end_stream(session);
    mcp_calls_abort(server);
    list_for_each(session, &server->sessions.by_use, struct mcp_session, by_use)
        mcp_session_remove(&server->sessions, session);
    http_server_free(server->http);
    mcp_sessions_deinit(&server->sessions);
    free(server);
}
