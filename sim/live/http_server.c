#include "sim/live/http_server.h"

#include "sim/base/list.h"
#include "sim/base/panic.h"
#include "sim/live/stream_watch.h"
#include "sim/live/tcp.h"
#include "sim/live/tls.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CONNECTIONS_MAX = 16384,
    BODY_BYTES_MAX = 1024 * 1024,
    DISCARD_BYTES_MAX =
        64 * 1024, /* rest of a body that is read to keep the connection after an early reply */
};

#define HEADER_TIMEOUT_NS (10 * NSEC_PER_S)
#define BODY_TIMEOUT_NS   (30 * NSEC_PER_S)
#define IDLE_TIMEOUT_NS   (75 * NSEC_PER_S)

struct http_server {
    struct event_base *base;
    struct http_server_options options;
    const struct http_server_handler *handler;
    void *user;
    struct tcp_listener *listener;
    struct list conns;
    unsigned n_conns;
    bool draining;
};

/* One connection. It has an exchange from the end of a head to the end of the reply; the body may outlast the
 * exchange (it is thrown away then), and the exchange the body. */
struct conn {
    struct list link;
    struct http_server *server;
    struct stream *stream;
    struct http1_parser parser;
    struct evbuffer *out; /* scratch */
    struct stream_watch watch;
    struct event work;
    struct http_exchange *x;
    size_t held; /* body bytes that the handler was given and has not consumed */
    size_t discarded;
    bool running; /* in conn_run(): do not free the struct */
    bool dead;
    bool body_done;
    bool keep;
    bool discarding; /* the rest of a body whose exchange is over */
    bool head_begun; /* the deadline is that of a head */
    bool continue_due;
    bool eof;
    char peer[TCP_ADDRESS_MAX];
};

struct http_exchange {
    struct conn *conn; /* NULL: the client is gone */
    struct http_head *head;
    struct evbuffer *body;
    const struct http_exchange_handler *handler;
    void *user;
    enum http_body_mode mode;
    enum http1_framing framing;
    uint64_t left;     /* of a reply with a length */
    uint64_t body_max; /* 0: the server's */
    bool is_head;      /* the method is HEAD */
    bool shown;        /* to `request`: it is the handler's */
    bool held;         /* a callback is under way that needs it afterwards */
    bool started, ended;
    char path[];
};

static void conn_run(struct conn *c);

/* --- ends of connections and exchanges --- */

static void exchange_free(struct http_exchange *x)
{
    http_head_free(x->head);
    if (x->body) evbuffer_free(x->body);
    free(x);
}

/* The handler is done with it. */
static void exchange_release(struct http_exchange *x)
{
    ASSERT(!x->ended);
    x->ended = true;
    if (!x->held) exchange_free(x);
}

static struct http_exchange *detach_exchange(struct conn *c)
{
    struct http_exchange *x = c->x;

    if (!x) return NULL;
    c->x = NULL;
    x->conn = NULL;
    return x;
}

/* Tells the handler that the client is gone. */
static void notify_aborted(struct http_exchange *x)
{
    x->held = true;
    if (x->handler && x->handler->aborted) x->handler->aborted(x->user, x);
    x->held = false;
    if (x->ended || !x->shown) exchange_free(x);
}

static void conn_destroy(struct conn *c)
{
    http1_parser_deinit(&c->parser);
    if (c->out) evbuffer_free(c->out);
    free(c);
}

/* Gives the stream up (or away) and leaves the server. The struct goes as soon as nobody runs in it. */
static void conn_leave(struct conn *c)
{
    struct http_exchange *x = detach_exchange(c);

    c->dead = true;
    c->stream = NULL;
    event_del(&c->work);
    stream_watch_deinit(&c->watch);
    list_remove(&c->link);
    c->server->n_conns--;
    if (x && !x->shown && !x->held) exchange_free(x);
    if (!c->running) conn_destroy(c);
}

static void conn_close(struct conn *c, bool abort)
{
    if (c->dead) return;
    stream_free(c->stream, abort);
    conn_leave(c);
}

/* The client is gone, or may as well be. */
static void conn_gone(struct conn *c, bool abort)
{
    struct http_exchange *x = detach_exchange(c);

    conn_close(c, abort);
    if (x) notify_aborted(x);
}

/* --- replies that the server makes itself --- */

static bool status_has_body(int status)
{
    return status >= 200 && status != 204 && status != 304;
}

static void add_error(struct http_server *server, struct evbuffer *out, int status, const char *what,
                      const char *connection, bool is_head)
{
    struct evbuffer *body = evbuffer_new();
    struct http_header headers[2 + HTTP_ERROR_HEADERS_MAX + 1] = {0};
    const struct http_header *more = NULL;
    const char *type = NULL;

    if (!body) return;
    if (server->handler->error_body) type = server->handler->error_body(server->user, status, what, body);
    if (!type) {
        evbuffer_drain(body, evbuffer_get_length(body));
        evbuffer_add_printf(body, "%s\n", what);
        type = "text/plain; charset=utf-8";
    }
    headers[0] = (struct http_header){"Content-Type", type};
    headers[1] = HTTP_UNSEEN;
    if (server->handler->error_headers) more = server->handler->error_headers(server->user);
    for (size_t i = 0; more && more[i].name; i++) {
        ASSERT(i < HTTP_ERROR_HEADERS_MAX);
        headers[2 + i] = more[i];
    }
    http1_add_response(out, status, headers, HTTP1_LENGTH, evbuffer_get_length(body), connection);
    if (!is_head) evbuffer_add_buffer(out, body);
    evbuffer_free(body);
}

/* Answers with an error, if nothing was answered yet, and closes. */
static void conn_refuse(struct conn *c, int status, const char *what)
{
    struct http_exchange *x = detach_exchange(c);
    bool cut = x && x->started;

    if (!cut) {
        add_error(c->server, c->out, status, what, "close", x && x->is_head);
        stream_watch_write(&c->watch, c->out);
    }
    conn_close(c, cut);
    if (x) notify_aborted(x);
}

/* What the client had to send did not come. */
static void conn_late(struct conn *c)
{
    if (c->x)
        conn_refuse(c, 408, "the request body did not come in time");
    else if (c->head_begun)
        conn_refuse(c, 408, "the request head did not come in time");
    else if (stream_pending(c->stream) > 0) /* the last reply still makes its way */
        stream_watch_set_deadline(&c->watch, c->server->options.idle_timeout_ns);
    else
        conn_close(c, false);
}

static void on_due(evutil_socket_t fd, short what, void *user)
{
    struct conn *c = user;

    switch (stream_watch_due(&c->watch)) {
    case STREAM_WATCH_GOES_ON: break;
    case STREAM_WATCH_LATE: conn_late(c); break;
    case STREAM_WATCH_STALLED: conn_gone(c, true); break;
    }
}

/* --- the run of a connection --- */

static void conn_consumed(struct conn *c, size_t bytes)
{
    if (bytes > 0) stream_consumed(c->stream, bytes);
}

/* The last message is over in both directions. */
static void conn_next(struct conn *c)
{
    c->body_done = c->head_begun = c->continue_due = c->discarding = false;
    c->discarded = 0;
    c->parser.limits.body_bytes_max = 0;
    stream_watch_set_deadline(&c->watch, c->server->options.idle_timeout_ns);
}

/* The reply is written; the exchange has been detached. */
static void conn_replied(struct conn *c)
{
    conn_consumed(c, c->held);
    c->held = 0;
    if (!c->keep || (c->server->draining && c->body_done)) {
        conn_close(c, false);
        return;
    }
    c->discarding = !c->body_done;
    if (c->body_done)
        conn_next(c);
    else
        stream_watch_set_deadline(&c->watch, c->server->options.body_timeout_ns);
    if (!c->running && (c->eof || evbuffer_get_length(stream_input(c->stream)) > 0))
        event_active(&c->work, EV_TIMEOUT, 0);
}

static struct http_exchange *exchange_new(struct conn *c, struct http_head *head)
{
    size_t size = strlen(head->path) + 1;
    struct http_exchange *x = malloc(sizeof *x + size);

    if (!x) return NULL;
    memset(x, 0, sizeof *x);
    if (http1_decode(head->path, size - 1, false, x->path, size) < 0) {
        free(x);
        return NULL;
    }
    x->conn = c;
    x->head = head;
    x->is_head = strcmp(head->method, "HEAD") == 0;
    return x;
}

/* Shows the exchange to `request`; a streamed body that is empty ends at once. */
static void conn_request(struct conn *c)
{
    struct http_exchange *x = c->x;

    x->shown = true;
    c->server->handler->request(c->server->user, x);
    if (c->x != x || x->mode != HTTP_BODY_STREAM || !c->body_done) return;
    if (x->handler && x->handler->body_end) x->handler->body_end(x->user, x);
}

/* Asks the handler what to do with the body. False: the exchange has been ended. */
static bool conn_route(struct conn *c)
{
    struct http_exchange *x = c->x;
    const struct http_server_handler *h = c->server->handler;

    x->held = true;
    if (h->route) x->mode = h->route(c->server->user, x);
    x->held = false;
    if (c->x == x) return true;
    exchange_free(x);
    return false;
}

static uint64_t body_limit(const struct http_exchange *x, const struct http_server_options *o)
{
    if (x->body_max) return x->body_max;
    return x->mode == HTTP_BODY_BUFFER ? o->body_bytes_max : o->stream_bytes_max;
}

/* A head is complete. */
static void conn_head(struct conn *c)
{
    const struct http_server_options *o = &c->server->options;
    struct http_head *head = http1_take_head(&c->parser);
    size_t drained, moved;

    c->head_begun = false;
    c->keep = head->keep_alive;
    c->continue_due = head->expect_continue;
    c->x = exchange_new(c, head);
    if (!c->x) {
        http_head_free(head);
        conn_refuse(c, 400, "bad escape in the path");
        return;
    }
    stream_watch_clear_deadline(&c->watch);
    if (http1_body_ends_within(&c->parser, 0)) /* this step moves nothing */
        c->body_done =
            http1_parse(&c->parser, stream_input(c->stream), NULL, 1, &drained, &moved) == HTTP1_END;
    if (!conn_route(c)) return;
    c->parser.limits.body_bytes_max = body_limit(c->x, o);
    if (!c->body_done) stream_watch_set_deadline(&c->watch, o->body_timeout_ns);
    if (c->body_done || c->x->mode == HTTP_BODY_STREAM) conn_request(c);
}

/* The end of a body. */
static void conn_body_end(struct conn *c)
{
    struct http_exchange *x = c->x;

    c->body_done = true;
    stream_watch_clear_deadline(&c->watch);
    if (!x) {
        if (c->keep && !c->server->draining)
            conn_next(c);
        else
            conn_close(c, false);
    } else if (x->mode == HTTP_BODY_BUFFER) {
        conn_request(c);
    } else if (x->handler && x->handler->body_end) {
        x->handler->body_end(x->user, x);
    }
}

/* Body bytes came. */
static void conn_body(struct conn *c, size_t bytes)
{
    struct http_exchange *x = c->x;

    c->continue_due = false; /* the client did not wait */
    if (!x) {
        c->discarded += bytes;
        if (c->discarded > DISCARD_BYTES_MAX) conn_close(c, false);
        return;
    }
    if (x->mode == HTTP_BODY_BUFFER) return;
    stream_watch_clear_deadline(&c->watch);
    c->held += bytes;
    if (x->handler && x->handler->body) x->handler->body(x->user, x, x->body);
}

/* There is no input that could be used. */
static void conn_wait(struct conn *c)
{
    bool begun = !http1_parser_idle(&c->parser) || evbuffer_get_length(stream_input(c->stream)) > 0;

    if (c->x && c->continue_due && !c->body_done && !c->x->started) {
        c->continue_due = false;
        http1_add_response(c->out, 100, NULL, HTTP1_NO_BODY, 0, NULL);
        stream_watch_write(&c->watch, c->out);
    }
    if (c->x || c->discarding || c->eof || !begun || c->head_begun) return;
    c->head_begun = true;
    stream_watch_set_deadline(&c->watch, c->server->options.header_timeout_ns);
}

/* Whether there is anything to parse for: not while a reply is awaited, nor while too much output is queued.
 */
static bool conn_may_parse(const struct conn *c)
{
    if (c->dead) return false;
    if (c->x) return !c->body_done;
    return stream_pending(c->stream) <= STREAM_HIGH_MARK;
}

/* One step of the parser. False: it has to wait. */
static bool conn_step(struct conn *c)
{
    struct http_exchange *x = c->x;
    size_t drained, moved;
    enum http1_step step;

    if (x && !http_exchange_body(x)) {
        conn_refuse(c, 503, "out of memory");
        return false;
    }
    step = http1_parse(&c->parser, stream_input(c->stream), x ? x->body : NULL, SIZE_MAX, &drained, &moved);
    conn_consumed(c, x && x->mode == HTTP_BODY_STREAM ? drained - moved : drained);
    switch (step) {
    case HTTP1_MORE: conn_wait(c); return false;
    case HTTP1_HEAD: conn_head(c); return true;
    case HTTP1_BODY: conn_body(c, moved); return true;
    case HTTP1_END: conn_body_end(c); return true;
    case HTTP1_ERROR: conn_refuse(c, c->parser.error_status, c->parser.error); return false;
    }
    UNREACHABLE();
}

static void conn_run(struct conn *c)
{
    if (c->running) return;
    c->running = true;
    while (conn_may_parse(c) && conn_step(c)) continue;
    c->running = false;
    if (c->dead)
        conn_destroy(c);
    else if (c->eof && !c->x && conn_may_parse(c))
        conn_close(c, false); /* nothing more can come */
}

/* --- called from the stream --- */

static void on_ready(void *user)
{
    struct conn *c = user;

    stream_watch_set_deadline(&c->watch, c->server->options.header_timeout_ns);
}

static void on_data(void *user, struct evbuffer *in)
{
    conn_run(user);
}

static void on_writable(void *user)
{
    struct conn *c = user;
    struct http_exchange *x = c->x;

    if (!x)
        conn_run(c);
    else if (x->started && x->handler && x->handler->writable)
        x->handler->writable(x->user, x);
}

static void on_eof(void *user)
{
    struct conn *c = user;

    c->eof = true;
    if (c->x && (!c->body_done || !c->server->options.half_close))
        conn_gone(c, false); /* what was written before it heard so may still be read, and counted */
    else
        conn_run(c);
}

/* Not with a reset: if TLS failed, its alert is still on the way. */
static void on_ended(void *user, enum stream_end end, const char *what)
{
    conn_gone(user, false);
}

static const struct stream_handler stream_handler = {
    .ready = on_ready,
    .data = on_data,
    .writable = on_writable,
    .eof = on_eof,
    .ended = on_ended,
};

static void on_work(evutil_socket_t fd, short what, void *user)
{
    conn_run(user);
}

/* --- the server --- */

/* Says 503 and closes. */
static void turn_away(struct http_server *server, struct stream *stream)
{
    struct evbuffer *out = evbuffer_new();

    if (out) {
        add_error(server, out, 503, "too many connections", "close", false);
        stream_write(stream, out);
        evbuffer_free(out);
    }
    stream_free(stream, false);
}

int http_server_serve_stream(struct http_server *server, struct stream *stream, const char *peer)
{
    struct http1_limits limits = {.head_bytes_max = server->options.head_bytes_max};
    struct conn *c;

    if (server->n_conns >= server->options.connections_max) {
        turn_away(server, stream);
        return 0;
    }
    c = calloc(1, sizeof *c);
    if (c) c->out = evbuffer_new();
    if (!c || !c->out) {
        free(c);
        stream_free(stream, true);
        return -ENOMEM;
    }
    c->server = server;
    c->stream = stream;
    http1_parser_init(&c->parser, HTTP1_REQUEST, &limits);
    event_assign(&c->work, server->base, -1, 0, on_work, c);
    stream_watch_init(&c->watch, server->base, stream, server->options.idle_timeout_ns, on_due, c);
    if (peer) snprintf(c->peer, sizeof c->peer, "%s", peer);
    list_push_back(&server->conns, &c->link);
    server->n_conns++;
    stream_set_handler(stream, &stream_handler, c);
    return 0;
}

static void on_accepted(void *user, struct stream *s, const char *peer)
{
    struct http_server *server = user;
    struct stream *over = s;

    if (server->options.tls && (server->n_conns >= server->options.connections_max ||
                                tls_wrap_server(server->base, s, server->options.tls, &over) < 0)) {
        stream_free(s, true);
        return;
    }
    (void)http_server_serve_stream(server, over, peer);
}

static void set_defaults(struct http_server_options *o)
{
    if (!o->connections_max) o->connections_max = CONNECTIONS_MAX;
    if (!o->header_timeout_ns) o->header_timeout_ns = HEADER_TIMEOUT_NS;
    if (!o->body_timeout_ns) o->body_timeout_ns = BODY_TIMEOUT_NS;
    if (!o->idle_timeout_ns) o->idle_timeout_ns = IDLE_TIMEOUT_NS;
    if (!o->body_bytes_max) o->body_bytes_max = BODY_BYTES_MAX;
}

int http_server_new(struct event_base *base, const struct http_server_options *o,
                    const struct http_server_handler *h, void *user, struct http_server **ret_server)
{
    struct http_server *server = calloc(1, sizeof *server);
    struct tcp_options tcp = {.sndbuf = o->sndbuf};
    int r = 0;

    ASSERT(h->request);
    if (!server) return -ENOMEM;
    server->base = base;
    server->options = *o;
    server->handler = h;
    server->user = user;
    list_init(&server->conns);
    set_defaults(&server->options);
    if (o->listen) r = tcp_listener_new(base, o->listen, &tcp, on_accepted, server, &server->listener);
    if (r < 0) {
        free(server);
        return r;
    }
    if (o->tls) tls_context_ref(o->tls);
    server->options.listen = NULL;
    *ret_server = server;
    return 0;
}

int http_server_port(const struct http_server *server)
{
    return server->listener ? tcp_listener_port(server->listener) : 0;
}

unsigned http_server_connections(const struct http_server *server)
{
    return server->n_conns;
}

void http_server_drain(struct http_server *server)
{
    server->draining = true;
    tcp_listener_free(server->listener);
    server->listener = NULL;
    list_for_each(c, &server->conns, struct conn, link)
    {
        bool idle = !c->x && !c->discarding && http1_parser_idle(&c->parser);
        if (idle && evbuffer_get_length(stream_input(c->stream)) == 0) conn_close(c, false);
    }
}

void http_server_free(struct http_server *server)
{
    if (!server) return;
    tcp_listener_free(server->listener);
    list_for_each(c, &server->conns, struct conn, link) conn_close(c, true);
    tls_context_free(server->options.tls);
    free(server);
}

/* --- an exchange --- */

const struct http_head *http_exchange_head(const struct http_exchange *x)
{
    return x->head;
}

const char *http_exchange_path(const struct http_exchange *x)
{
    return x->path;
}

int http_exchange_query(const struct http_exchange *x, const char *name, char *ret_value, size_t size)
{
    char key[256];

    for (const char *at = x->head->query, *next; *at; at = next) {
        size_t len = strcspn(at, "&"), key_len = strcspn(at, "=&");
        const char *value = at + key_len + (at[key_len] == '=');

        next = at + len + (at[len] == '&');
        if (http1_decode(at, key_len, true, key, sizeof key) < 0 || strcmp(key, name) != 0) continue;
        return http1_decode(value, at + len - value, true, ret_value, size);
    }
    return -ENOENT;
}

struct evbuffer *http_exchange_body(struct http_exchange *x)
{
    if (!x->body) x->body = evbuffer_new();
    return x->body;
}

const char *http_exchange_peer(const struct http_exchange *x)
{
    return x->conn ? x->conn->peer : "";
}

struct stream *http_exchange_stream(const struct http_exchange *x)
{
    return x->conn ? x->conn->stream : NULL;
}

bool http_exchange_gone(const struct http_exchange *x)
{
    return !x->conn;
}

void http_exchange_set_handler(struct http_exchange *x, const struct http_exchange_handler *h, void *user)
{
    x->handler = h;
    x->user = user;
}

void *http_exchange_user(const struct http_exchange *x)
{
    return x->user;
}

void http_exchange_limit_body(struct http_exchange *x, uint64_t bytes_max)
{
    ASSERT(!x->shown && bytes_max > 0);
    x->body_max = bytes_max;
}

void http_exchange_consumed(struct http_exchange *x, size_t bytes)
{
    struct conn *c = x->conn;

    if (!c || x->mode != HTTP_BODY_STREAM) return;
    ASSERT(bytes <= c->held);
    c->held -= bytes;
    conn_consumed(c, bytes);
    if (c->held == 0 && !c->body_done)
        stream_watch_set_deadline(&c->watch, c->server->options.body_timeout_ns);
}

/* Whether the connection can go on after this reply, given how much of the request is still to come. */
static bool may_keep(const struct conn *c)
{
    if (!c->keep || c->server->draining) return false;
    return c->body_done || (!c->continue_due && http1_body_ends_within(&c->parser, DISCARD_BYTES_MAX));
}

static const char *connection_header(struct http_exchange *x)
{
    x->conn->keep = may_keep(x->conn);
    if (!x->conn->keep) return "close";
    return x->head->minor == 0 ? "keep-alive" : NULL;
}

/* Detaches the exchange from its connection, which goes on, and ends it. */
static void finish(struct http_exchange *x)
{
    struct conn *c = x->conn;

    detach_exchange(c);
    exchange_release(x);
    conn_replied(c);
}

void http_reply(struct http_exchange *x, int status, const struct http_header *headers, struct evbuffer *body)
{
    struct conn *c = x->conn;
    bool has_body = status_has_body(status);
    size_t len = body ? evbuffer_get_length(body) : 0;

    ASSERT(!x->started);
    if (c) {
        http1_add_response(c->out, status, headers, has_body ? HTTP1_LENGTH : HTTP1_NO_BODY, len,
                           connection_header(x));
        if (body && has_body && !x->is_head) evbuffer_add_buffer(c->out, body);
        stream_watch_write(&c->watch, c->out);
    }
    if (body) evbuffer_drain(body, evbuffer_get_length(body));
    if (c)
        finish(x);
    else
        exchange_release(x);
}

void http_reply_bytes(struct http_exchange *x, int status, const char *content_type, const void *bytes,
                      size_t len)
{
    struct http_header headers[2] = {{"Content-Type", content_type}};
    struct conn *c = x->conn;
    bool has_body = status_has_body(status);

    ASSERT(!x->started);
    if (!c) {
        exchange_release(x);
        return;
    }
    http1_add_response(c->out, status, content_type ? headers : NULL, has_body ? HTTP1_LENGTH : HTTP1_NO_BODY,
                       len, connection_header(x));
    if (has_body && !x->is_head && len > 0) evbuffer_add(c->out, bytes, len);
    stream_watch_write(&c->watch, c->out);
    finish(x);
}

void http_reply_error(struct http_exchange *x, int status, const char *what)
{
    struct conn *c = x->conn;

    ASSERT(!x->started);
    if (!c) {
        exchange_release(x);
        return;
    }
    add_error(c->server, c->out, status, what, connection_header(x), x->is_head);
    stream_watch_write(&c->watch, c->out);
    finish(x);
}

static enum http1_framing framing_of(const struct http_exchange *x, int status, int64_t length)
{
    if (!status_has_body(status)) return HTTP1_NO_BODY;
    if (length >= 0) return HTTP1_LENGTH;
    return x->head->minor == 0 ? HTTP1_UNTIL_CLOSE : HTTP1_CHUNKED;
}

void http_reply_start(struct http_exchange *x, int status, const struct http_header *headers, int64_t length)
{
    struct conn *c = x->conn;

    ASSERT(!x->started);
    x->started = true;
    x->framing = framing_of(x, status, length);
    x->left = x->framing == HTTP1_LENGTH && !x->is_head ? length : 0;
    if (!c) return;
    if (x->framing == HTTP1_UNTIL_CLOSE) c->keep = false;
    http1_add_response(c->out, status, headers, x->framing, length < 0 ? 0 : length, connection_header(x));
    stream_watch_write(&c->watch, c->out);
}

void http_reply_data(struct http_exchange *x, struct evbuffer *bytes)
{
    struct conn *c = x->conn;
    size_t len = evbuffer_get_length(bytes);

    ASSERT(x->started);
    if (!c || x->is_head || x->framing == HTTP1_NO_BODY) {
        evbuffer_drain(bytes, len);
        return;
    }
    if (x->framing == HTTP1_CHUNKED) {
        http1_add_chunk(c->out, bytes);
        stream_watch_write(&c->watch, c->out);
        return;
    }
    if (x->framing == HTTP1_LENGTH) {
        ASSERT(len <= x->left);
        x->left -= len;
    }
    stream_watch_write(&c->watch, bytes);
}

void http_reply_end(struct http_exchange *x)
{
    struct conn *c = x->conn;

    ASSERT(x->started);
    if (!c) {
        exchange_release(x);
        return;
    }
    if (x->left > 0) {
        http_exchange_abort(x);
        return;
    }
    if (x->framing == HTTP1_CHUNKED && !x->is_head) {
        http1_add_last_chunk(c->out);
        stream_watch_write(&c->watch, c->out);
    }
    finish(x);
}

size_t http_exchange_pending(const struct http_exchange *x)
{
    return x->conn ? stream_pending(x->conn->stream) : 0;
}

void http_exchange_abort(struct http_exchange *x)
{
    struct conn *c = x->conn;

    if (c) {
        detach_exchange(c);
        conn_close(c, true);
    }
    exchange_release(x);
}

struct stream *http_exchange_upgrade(struct http_exchange *x, const struct http_header *headers)
{
    struct conn *c = x->conn;
    struct stream *s;

    ASSERT(!x->started);
    if (!c) {
        exchange_release(x);
        return NULL;
    }
    if (!c->body_done) {
        http_reply_error(x, 400, "an upgrade with a body");
        return NULL;
    }
    s = c->stream;
    http1_add_response(c->out, 101, headers, HTTP1_NO_BODY, 0, "Upgrade");
    stream_write(s, c->out);
    stream_set_handler(s, NULL, NULL);
    detach_exchange(c);
    conn_leave(c);
    exchange_release(x);
    return s;
}
