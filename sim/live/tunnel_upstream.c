#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/panic.h"
#include "sim/live/cause.h"
#include "sim/live/tunnel_http.h"
#include "sim/live/tunnel_proxy_state.h"

/* The flow of one request to an MCP server. */
struct upstream {
    struct wire wire;            /* first */
    struct proxy_stream *stream; /* NULL: gone */
    struct http_pool *pool;
    struct http_conn *conn; /* NULL: given back, or there never was one */
    struct event *fail_event;
};

/* A message of the answer: all carry what the head said. */
static struct msg message_of(const struct upstream *u, enum msg_type type, enum msg_kind kind, uint8_t flags,
                             uint32_t bytes)
{
    const struct proxy_stream *s = u->stream;

    return (struct msg){.type = (uint8_t)type,
                        .flags = flags,
                        .kind = (uint16_t)kind,
                        .bytes = bytes,
                        .a = s->attempt,
                        .b = (uint64_t)s->answer.status,
                        .c = s->answer.length > 0 ? (uint64_t)s->answer.length : 0,
                        .d = s->call};
}

static void tell_body(struct upstream *u, uint8_t flags, uint32_t bytes)
{
    driver_receive(&u->wire, message_of(u, MSG_DATA, M_BODY, flags, bytes));
}

static void tell_reset(struct upstream *u, enum reset_cause cause)
{
    driver_receive(&u->wire, (struct msg){.type = MSG_RESET, .a = cause});
}

/* The answer
 * -------------------------------------------------------------------------------------------- */

static void on_head(void *user, const struct http_head *head)
{
    struct upstream *u = user;
    struct proxy_answer *a;
    struct msg m;

    if (!u->stream) return;
    a = &u->stream->answer;
    a->headers = tunnel_pass_headers(head, NULL);
    if (!a->headers) PANIC_MEMORY("out of memory");
    a->status = head->status;
    a->length = head->content_length;
    m = message_of(u, MSG_OPEN, M_MCP_RESULT, MSG_UNFINISHED, (uint32_t)head->wire_bytes);
    if (http_head_unseen(head))
        driver_returned(&u->wire, M_MCP_CALL, m);
    else
        driver_receive(&u->wire, m);
}

static void on_data(void *user, struct evbuffer *body)
{
    struct upstream *u = user;
    size_t left = evbuffer_get_length(body);

    if (!u->stream) return;
    evbuffer_add_buffer(u->stream->owed, body);
    while (left) {
        uint32_t n = left < BODY_CHUNK ? (uint32_t)left : BODY_CHUNK;

        tell_body(u, MSG_UNFINISHED, n);
        left -= n;
    }
}

static void on_end(void *user, bool reusable)
{
    struct upstream *u = user;

    http_pool_give(u->pool, u->conn, reusable);
    u->conn = NULL;
    if (u->stream) tell_body(u, MSG_LAST, 0);
}

static void on_failed(void *user, const struct http_failure *f)
{
    struct upstream *u = user;

    tell_reset(u, cause_of_failure(f));
}

static const struct http_conn_handler conn_handler = {
    .head = on_head, .data = on_data, .end = on_end, .failed = on_failed};

void upstream_consumed(struct upstream *u, size_t bytes)
{
    if (u && u->conn) http_conn_consumed(u->conn, bytes);
}

void upstream_forget(struct upstream *u)
{
    if (u) u->stream = NULL;
}

/* The request
 * ------------------------------------------------------------------------------------------- */

static struct http_pool *pool_of(const struct proxy_stream *s)
{
    const struct proxy_instance *i = s->instance;

    for (size_t n = 0; n < tunnel_routes_count(i->routes); n++)
        if (tunnel_routes_at(i->routes, n) == s->target) return i->pools[n];
    return NULL;
}

static int send_request(struct upstream *u)
{
    const struct http_head *head = http_exchange_head(u->stream->x);
    const struct http_header forwarded[] = {{"X-Forwarded-Host", head->host}, {NULL, NULL}};
    struct http_header *headers = tunnel_pass_headers(head, forwarded);
    struct http_request request = {.method = head->method,
                                   .target = head->target,
                                   .host = http_pool_host(u->pool),
                                   .headers = headers,
                                   .body = http_exchange_body(u->stream->x)};
    int r = headers ? http_conn_request(u->conn, &request) : -ENOMEM;

    free(headers);
    return r;
}

static int start(struct upstream *u)
{
    int r;

    if (!u->stream || !u->stream->x) return -ECANCELED;
    u->pool = pool_of(u->stream);
    if (!u->pool) return -EHOSTUNREACH;
    r = http_pool_take(u->pool, &conn_handler, u, &u->conn);
    return r < 0 ? r : send_request(u);
}

static void upstream_send(struct wire *w, const struct msg *m)
{
    /* CREDIT: what was passed on was reported by upstream_consumed() already. RESET: `over` follows. */
}

static void upstream_over(struct wire *w)
{
    struct upstream *u = (struct upstream *)w;

    if (u->stream) u->stream->upstream = NULL;
    http_conn_free(u->conn, true);
    if (u->fail_event) event_free(u->fail_event);
    free(u);
}

static const struct wire_ops upstream_ops = {.send = upstream_send, .over = upstream_over};

static void on_fail(evutil_socket_t fd, short what, void *user)
{
    tell_reset(user, RESET_REFUSED);
}

struct wire *upstream_open(struct dialer *dialer, addr_t from, addr_t to, struct wire *via,
                           const struct msg *m)
{
    struct tunnel_proxy *p = (struct tunnel_proxy *)dialer;
    struct upstream *u = calloc(1, sizeof *u);

    if (!u) PANIC_MEMORY("out of memory");
    u->wire.ops = &upstream_ops;
    u->stream = proxy_stream_of(p, m);
    if (u->stream) u->stream->upstream = u;
    if (start(u) == 0) return &u->wire;
    u->fail_event = event_new(driver_base(p->driver), -1, 0, on_fail, u);
    if (!u->fail_event) PANIC_MEMORY("out of memory");
    event_active(u->fail_event, EV_TIMEOUT, 0);
    return &u->wire;
}
