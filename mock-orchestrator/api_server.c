/* Life of the server, and its routes. */
#include "mock-orchestrator/api_server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mock-orchestrator/api_server_state.h"
#include "sim/base/mix.h"
#include "sim/record/recorder.h"

enum { SEGMENTS_MAX = 8 };

/* Routes
 * ----------------------------------------------------------------------------------------------------- */

/* Whom a route is for. */
enum audience {
    FOR_CONTROL, /* the API key alone */
    FOR_SESSION, /* and workers of the session's environment; the first part that varies is the session */
    FOR_QUEUE,   /* and workers of the environment that the first one is */
    FOR_ITEM,    /* and who holds the work item that the second one is */
};

static const struct route {
    const char *method, *path; /* one part of the path may be a star: any */
    enum audience audience;
    call_fn *serve;
} routes[] = {
    {"POST", "v1/agents", FOR_CONTROL, serve_agents_create},
    {"GET", "v1/agents", FOR_CONTROL, serve_agents_list},
    {"GET", "v1/agents/*", FOR_CONTROL, serve_agents_get},
    {"POST", "v1/agents/*", FOR_CONTROL, serve_agents_update},
    {"POST", "v1/agents/*/archive", FOR_CONTROL, serve_agents_archive},
    {"GET", "v1/agents/*/versions", FOR_CONTROL, serve_agents_versions},
    {"POST", "v1/environments", FOR_CONTROL, serve_environments_create},
    {"GET", "v1/environments", FOR_CONTROL, serve_environments_list},
    {"GET", "v1/environments/*", FOR_CONTROL, serve_environments_get},
    {"POST", "v1/environments/*", FOR_CONTROL, serve_environments_update},
    {"DELETE", "v1/environments/*", FOR_CONTROL, serve_environments_delete},
    {"POST", "v1/environments/*/archive", FOR_CONTROL, serve_environments_archive},
    {"GET", "v1/environments/*/work", FOR_QUEUE, serve_work_list},
    {"GET", "v1/environments/*/work/poll", FOR_QUEUE, serve_work_poll},
    {"GET", "v1/environments/*/work/stats", FOR_QUEUE, serve_work_stats},
    {"GET", "v1/environments/*/work/*", FOR_ITEM, serve_work_get},
    {"POST", "v1/environments/*/work/*", FOR_ITEM, serve_work_update},
    {"POST", "v1/environments/*/work/*/ack", FOR_ITEM, serve_work_ack},
    {"POST", "v1/environments/*/work/*/heartbeat", FOR_ITEM, serve_work_heartbeat},
    {"POST", "v1/environments/*/work/*/stop", FOR_ITEM, serve_work_stop},
    {"POST", "v1/sessions", FOR_CONTROL, serve_sessions_create},
    {"GET", "v1/sessions", FOR_CONTROL, serve_sessions_list},
    {"GET", "v1/sessions/*", FOR_SESSION, serve_sessions_get},
    {"POST", "v1/sessions/*", FOR_CONTROL, serve_sessions_update},
    {"DELETE", "v1/sessions/*", FOR_CONTROL, serve_sessions_delete},
    {"POST", "v1/sessions/*/archive", FOR_CONTROL, serve_sessions_archive},
    {"GET", "v1/sessions/*/resources", FOR_SESSION, serve_sessions_resources},
    {"GET", "v1/sessions/*/threads", FOR_SESSION, serve_sessions_threads},
    {"GET", "v1/sessions/*/threads/*", FOR_SESSION, serve_sessions_thread},
    {"GET", "v1/sessions/*/threads/*/events", FOR_SESSION, serve_sessions_thread},
    {"GET", "v1/sessions/*/threads/*/stream", FOR_SESSION, serve_sessions_thread},
    {"POST", "v1/sessions/*/threads/*/archive", FOR_CONTROL, serve_sessions_thread},
    {"POST", "v1/sessions/*/events", FOR_SESSION, serve_events_post},
    {"GET", "v1/sessions/*/events", FOR_SESSION, serve_events_list},
    {"GET", "v1/sessions/*/events/stream", FOR_SESSION, serve_events_stream},
};

enum { ROUTES = sizeof routes / sizeof *routes };

static bool segment_is(struct segment s, const char *text, size_t len)
{
    return s.len == len && memcmp(s.at, text, len) == 0;
}

/* The parts of a path, without the first '/'; 0: too many of them, or one is empty. */
static size_t split(const char *path, struct segment ret[SEGMENTS_MAX])
{
    size_t n = 0;

    for (; *path == '/' && n < SEGMENTS_MAX; n++) {
        ret[n] = (struct segment){.at = path + 1, .len = strcspn(path + 1, "/")};
        if (ret[n].len == 0) return 0;
        path += 1 + ret[n].len;
    }
    return *path ? 0 : n;
}

static bool matches(const char *pattern, const struct segment *parts, size_t n, struct segment ret_args[2])
{
    size_t args = 0;

    for (size_t i = 0; i < n; i++) {
        size_t len = strcspn(pattern, "/");

        if (len == 1 && *pattern == '*')
            ret_args[args++] = parts[i];
        else if (!segment_is(parts[i], pattern, len))
            return false;
        pattern += len;
        if (*pattern)
            pattern++;
        else
            return i + 1 == n;
    }
    return false;
}

/* The route of a request. NULL: none, and `ret_other_method` says whether the path has one of another method.
 */
static const struct route *find_route(const struct http_exchange *x, struct segment ret_args[2],
                                      bool *ret_other_method)
{
    struct segment parts[SEGMENTS_MAX];
    size_t n = split(http_exchange_path(x), parts);

    *ret_other_method = false;
    for (size_t i = 0; n && i < ROUTES; i++) {
        if (!matches(routes[i].path, parts, n, ret_args)) continue;
        if (strcmp(routes[i].method, http_exchange_method(x)) == 0) return &routes[i];
        /* Another route may fit: "poll" also looks like the id of a work item. */
        *ret_other_method = true;
    }
    return NULL;
}

/* Admission
 * -------------------------------------------------------------------------------------------------- */

static void next_request_id(struct api_server *s, char ret_id[ID_SIZE])
{
    id_format(ret_id, "req_", mix64_chain(s->request_key, ++s->request_count));
}

static void refuse(struct api_server *s, struct http_exchange *x, int status, const char *message)
{
    char id[ID_SIZE];
    struct http_header headers[] = {
        {"Content-Type", "application/json"}, {"request-id", id}, HTTP_UNSEEN, {0}};
    struct evbuffer *body = evbuffer_new();

    next_request_id(s, id);
    call_write_error(body, status, message, NULL, id);
    http_reply(x, status, headers, body);
    evbuffer_free(body);
}

static bool may_use(const struct api_server *s, const struct route *route, const struct principal *p,
                    const struct segment args[2])
{
    uint64_t session = sessions_number(args[0]), work;
    const struct session_doc *doc = id_map_get(&s->sessions, session);
    uint32_t environment;

    if (p->who == WHO_CONTROL) return true;
    switch (route->audience) {
    case FOR_CONTROL: return false;
    case FOR_SESSION:
        if (p->who == WHO_ITEM) return session == p->session;
        /* Of one that is not known here the component will say so. */
        return !doc || auth_may_serve(s, p, doc->environment);
    case FOR_ITEM:
        if (p->who == WHO_ITEM) return id_parse(args[1].at, args[1].len, API_WORK, &work) && work == p->work;
        break;
    case FOR_QUEUE: break;
    }
    environment = environments_find(s, args[0].at, args[0].len);
    return p->who == WHO_WORKER && (environment == NO_ENVIRONMENT || auth_may_serve(s, p, environment));
}

/* Decides by the head alone. */
static enum http_body_mode on_route(void *user, struct http_exchange *x)
{
    struct api_server *s = user;
    struct segment args[2] = {{"", 0}, {"", 0}};
    bool other_method;
    const struct route *route = find_route(x, args, &other_method);
    struct principal p;

    if (!route) {
        refuse(s, x, other_method ? 405 : 404,
               other_method ? "this path has no such method" : "there is no such path");
        return HTTP_BODY_BUFFER;
    }
    p = auth_principal(s, x, route->audience != FOR_CONTROL);
    if (p.who == WHO_NOBODY || !may_use(s, route, &p, args)) {
        recorder_count(driver_recorder(s->driver, s->o.self), COUNTER_AUTH_REFUSED, 1);
        refuse(s, x, p.who == WHO_NOBODY ? 401 : 403,
               p.who == WHO_NOBODY ? "invalid credentials" : "these credentials are not for that");
    } else if (http_exchange_head(x)->content_length > (int64_t)s->o.body_bytes_max) {
        refuse(s, x, 413, "the request body is too large");
    }
    return HTTP_BODY_BUFFER;
}

static void on_request(void *user, struct http_exchange *x)
{
    struct api_server *s = user;
    struct segment args[2] = {{"", 0}, {"", 0}};
    bool other_method;
    const struct route *route = find_route(x, args, &other_method);
    struct call *c = call_new(s, x, auth_principal(s, x, route->audience != FOR_CONTROL));

    c->arg[0] = args[0];
    c->arg[1] = args[1];
    c->environment = NO_ENVIRONMENT;
    if (route->audience == FOR_SESSION) c->session = sessions_number(args[0]);
    if (route->audience == FOR_QUEUE || route->audience == FOR_ITEM) {
        c->environment = environments_find(s, args[0].at, args[0].len);
        if (c->environment == NO_ENVIRONMENT) {
            call_fail(c, 404, "there is no environment of that id");
            return;
        }
    }
    route->serve(c);
}

static const char *on_error_body(void *user, int status, const char *what, struct evbuffer *body)
{
    struct api_server *s = user;

    next_request_id(s, s->error_id);
    call_write_error(body, status, what, NULL, s->error_id);
    return "application/json";
}

static const struct http_header *on_error_headers(void *user)
{
    struct api_server *s = user;

    s->error_headers[0] = (struct http_header){"request-id", s->error_id};
    return s->error_headers;
}

static const struct http_server_handler http_handler = {
    .route = on_route, .request = on_request, .error_body = on_error_body, .error_headers = on_error_headers};

/* Life
 * ------------------------------------------------------------------------------------------------------- */

static void on_ping(evutil_socket_t fd, short what, void *user)
{
    event_streams_ping(user);
}

static int listen_on(struct api_server *s, const struct api_server_options *o)
{
    struct http_server_options http = {.listen = o->listen,
                                       .tls = o->tls,
                                       .connections_max = o->connections_max,
                                       .header_timeout_ns = o->request_timeout_ns,
                                       .body_timeout_ns = o->request_timeout_ns,
                                       .idle_timeout_ns = o->idle_timeout_ns,
                                       .body_bytes_max = s->o.body_bytes_max,
                                       .sndbuf = 256 * 1024};
    struct timeval tick = {.tv_sec = (time_t)(s->o.ping_ns / NSEC_PER_S),
                           .tv_usec = (suseconds_t)(s->o.ping_ns % NSEC_PER_S / NSEC_PER_US)};

    s->ping = event_new(driver_base(s->driver), -1, EV_PERSIST, on_ping, s);
    if (!s->ping || event_add(s->ping, &tick) < 0) return -ENOMEM;
    return http_server_new(driver_base(s->driver), &http, &http_handler, s, &s->http);
}

static int init(struct api_server *s, const struct api_server_options *o)
{
    int r;

    s->api_key = o->api_key ? strdup(o->api_key) : NULL;
    s->base_url = o->base_url ? strdup(o->base_url) : NULL;
    if ((o->api_key && !s->api_key) || (o->base_url && !s->base_url)) return -ENOMEM;
    s->works_max = (size_t)driver_plan(s->driver)->orchestrator.sessions_max + 8192;
    s->first_work = 1;
    s->request_key = mix64_chain(o->token_seed, driver_wall_ns(s->driver, 0));
    if ((r = content_store_new(s->o.content_bytes_max, &s->contents)) < 0) return r;
    if ((r = environments_init(s, o)) < 0) return r;
    if ((r = agents_init(s)) < 0) return r;
    auth_init(s);
    return listen_on(s, o);
}

int api_server_new(struct driver *driver, const struct api_server_options *o, struct api_server **ret_server)
{
    struct api_server *s = calloc(1, sizeof *s);
    int r;

    if (!s) return -ENOMEM;
    s->driver = driver;
    s->o = *o;
    if (!s->o.content_bytes_max) s->o.content_bytes_max = (size_t)256 << 20;
    if (!s->o.document_bytes_max) s->o.document_bytes_max = (size_t)32 << 20;
    if (!s->o.body_bytes_max) s->o.body_bytes_max = 8 << 20;
    if (!s->o.ping_ns) s->o.ping_ns = 15 * NSEC_PER_S;
    list_init(&s->calls);
    list_init(&s->streams);
    r = init(s, o);
    if (r < 0) {
        api_server_free(s);
        return r;
    }
    *ret_server = s;
    return 0;
}

void api_server_free(struct api_server *s)
{
    if (!s) return;
    /* What is left waits for its client to read. */
    list_for_each(c, &s->calls, struct call, link) call_cut(c);
    http_server_free(s->http);
    if (s->ping) event_free(s->ping);
    agents_deinit(s);
    environments_deinit(s);
    sessions_deinit(s);
    works_deinit(s);
    content_store_free(s->contents);
    free(s->api_key);
    free(s->base_url);
    free(s);
}

int api_server_port(const struct api_server *s)
{
    return http_server_port(s->http);
}

void api_server_drain(struct api_server *s)
{
    s->draining = true;
    http_server_drain(s->http);
    list_for_each(c, &s->calls, struct call, link)
    {
        if (c->bound) driver_receive(&c->wire, (struct msg){.type = MSG_RESET, .a = RESET_CANCEL});
    }
}

bool api_server_idle(const struct api_server *s)
{
    return list_is_empty(&s->calls) && http_server_connections(s->http) == 0;
}

void api_environment_id(uint32_t index, char *ret_id)
{
    id_format(ret_id, "env_", (uint64_t)index + 1);
}
