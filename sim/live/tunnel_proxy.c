#include "sim/live/tunnel_proxy.h"

#include <errno.h>
#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/panic.h"
#include "sim/live/cause.h"
#include "sim/live/mcp_codec.h"
#include "sim/live/tunnel_http.h"
#include "sim/live/tunnel_limits.h"
#include "sim/live/tunnel_names.h"
#include "sim/live/tunnel_proxy_state.h"

#define OWN_ATTEMPT (UINT64_C(1) << 63)

enum {
    CREDIT_BATCH = 64 * 1024, /* of an answer, goes out before a message is spent on its CREDIT */
    BYTES_HELLO = 400,
};

/* To the component
 * ------------------------------------------------------------------------------------------- */

static void tell(struct proxy_stream *s, struct msg m)
{
    if (s->told_last || s->told_reset) return;
    if (m.flags & MSG_LAST) s->told_last = true;
    driver_receive(&s->wire, m);
}

static void tell_reset(struct proxy_stream *s, enum reset_cause cause)
{
    if (s->told_reset) return;
    s->told_reset = true;
    driver_receive(&s->wire, (struct msg){.type = MSG_RESET, .a = cause});
}

static void give_credit(struct proxy_stream *s)
{
    uint32_t n = s->uncredited;

    s->uncredited = 0;
    if (!s->told_reset) driver_receive(&s->wire, (struct msg){.type = MSG_CREDIT, .bytes = n});
}

/* Requests
 * --------------------------------------------------------------------------------------------- */

struct proxy_stream *proxy_stream_of(const struct tunnel_proxy *p, const struct msg *call)
{
    struct proxy_stream **slot = call->e <= UINT32_MAX ? slab_get(&p->streams, (uint32_t)call->e) : NULL;

    return slot ? *slot : NULL;
}

static void forget_answer(struct proxy_stream *s)
{
    free(s->answer.headers);
    s->answer = (struct proxy_answer){0};
    evbuffer_drain(s->owed, evbuffer_get_length(s->owed));
    s->uncredited = 0;
}

static void on_writable(void *user, struct http_exchange *x)
{
    struct proxy_stream *s = user;

    if (s->uncredited) give_credit(s);
}

static void on_aborted(void *user, struct http_exchange *x)
{
    struct proxy_stream *s = user;

    s->x = NULL;
    http_exchange_abort(x);
    tell_reset(s, RESET_CANCEL);
}

static const struct http_exchange_handler exchange_handler = {.writable = on_writable, .aborted = on_aborted};

static void on_request(void *user, struct http_exchange *x)
{
    struct proxy_instance *i = user;
    const struct http_head *head = http_exchange_head(x);
    const struct stream *stream = http_exchange_stream(x);
    struct proxy_stream *s = stream ? tunnel_tap_maker(stream) : NULL;

    if (!s) {
        http_exchange_abort(x);
        return;
    }
    ASSERT(!s->x);
    forget_answer(s);
    s->x = x;
    s->target = tunnel_routes_find(i->routes, head->host);
    if (!tunnel_read_id(head, MCP_ATTEMPT_HEADER, &s->attempt))
        s->attempt = OWN_ATTEMPT | i->surface->next_attempt++;
    if (!tunnel_read_id(head, MCP_CALL_HEADER, &s->call)) s->call = 0;
    http_exchange_set_handler(x, &exchange_handler, s);
    tell(s, (struct msg){.type = MSG_DATA,
                         .kind = M_MCP_CALL,
                         .bytes = (uint32_t)(head->wire_bytes + evbuffer_get_length(http_exchange_body(x))),
                         .a = s->attempt,
                         .b = HOST(i->tunnel, s->target ? s->target->mcp : TUNNEL_UNKNOWN),
                         .c = MCP_OWN_OUTPUT,
                         .d = s->call,
                         .e = s->id});
}

static const char *on_error_body(void *user, int status, const char *what, struct evbuffer *body)
{
    return tunnel_add_error(body, status, what) < 0 ? NULL : "application/json";
}

static const struct http_server_handler inner_handler = {.request = on_request, .error_body = on_error_body};

/* Answers
 * ---------------------------------------------------------------------------------------------- */

static const char *text_of(uint64_t status)
{
    switch (status) {
    case 404: return "no route for host";
    case 429:
    case 503: return "too many requests";
    case 502: return "the upstream cannot be reached";
    default: return "the request failed";
    }
}

/* The component's own answer, or the head of the upstream's. */
static void send_head(struct proxy_stream *s, const struct msg *m)
{
    struct http_exchange *x = s->x;

    if (s->answer.status) {
        http_reply_start(x, s->answer.status, s->answer.headers, s->answer.length);
        return;
    }
    s->x = NULL;
    tunnel_reply_error(x, m->b >= 400 && m->b <= 599 ? (int)m->b : 502, text_of(m->b), m->e);
}

static void send_body(struct proxy_stream *s, uint32_t bytes)
{
    struct evbuffer *piece = evbuffer_new();

    if (!piece || evbuffer_remove_buffer(s->owed, piece, bytes) != (int)bytes) PANIC_MEMORY("out of memory");
    upstream_consumed(s->upstream, bytes);
    http_reply_data(s->x, piece);
    evbuffer_free(piece);
}

static void send_result(struct proxy_stream *s, const struct msg *m)
{
    struct http_exchange *x;

    if (!s->x) return; /* the caller is gone; the component hears of it next */
    if (m->kind == M_MCP_RESULT)
        send_head(s, m);
    else if (m->bytes)
        send_body(s, m->bytes);
    if (!s->x) return;
    if (m->flags & MSG_UNFINISHED) {
        s->uncredited += m->bytes;
        if (s->uncredited >= CREDIT_BATCH && http_exchange_pending(s->x) <= STREAM_LOW_MARK) give_credit(s);
        return;
    }
    x = s->x;
    s->x = NULL;
    http_reply_end(x);
}

/* Streams
 * ---------------------------------------------------------------------------------------------- */

/* The HTTP server closed the connection; if in mid-request, on_aborted() follows. */
static void on_closed(void *maker)
{
    struct proxy_stream *s = maker;

    s->tap = NULL;
    if (!s->x) tell(s, (struct msg){.type = MSG_DATA, .kind = M_BYTES, .flags = MSG_LAST});
}

static void inner_ready(void *user)
{
    struct proxy_stream *s = user;
    struct stream *tls = s->tls;

    if (tunnel_tap_new(driver_base(s->wire.driver), tls, on_closed, s, &s->tap) < 0)
        PANIC_MEMORY("out of memory");
    s->tls = NULL;
    tell(s, (struct msg){.type = MSG_DATA, .kind = M_INNER_HELLO, .bytes = BYTES_HELLO});
    /* From the first CREDIT on, the component keeps to its window. */
    give_credit(s);
    (void)http_server_serve_stream(s->instance->inner, tunnel_tap_stream(s->tap), "tunnel");
}

static void inner_ended(void *user, enum stream_end end, const char *what)
{
    tell_reset(user, cause_of_end(end, true));
}

static const struct stream_handler inner_stream = {.ready = inner_ready, .ended = inner_ended};

/* The layers of an admitted stream. */
static int wrap(struct proxy_stream *s, struct stream *below)
{
    struct event_base *base = driver_base(s->wire.driver);
    struct stream *ws;
    int r = ws_wrap(base, below, false, NULL, &ws);

    if (r < 0) {
        stream_free(below, true);
        return r;
    }
    r = tls_wrap_server(base, ws, s->instance->inner_tls, &s->tls);
    if (r < 0) stream_free(ws, true);
    return r;
}

static void admit(struct proxy_stream *s)
{
    struct http_header headers[WS_SERVER_HEADERS];
    struct stream *below;

    ws_server_headers(s->accept, headers);
    below = http_exchange_upgrade(s->upgrade, headers);
    s->upgrade = NULL;
    if (below && wrap(s, below) == 0)
        stream_set_handler(s->tls, &inner_stream, s);
    else
        tell_reset(s, RESET_CANCEL);
}

static void refuse(struct proxy_stream *s, const struct msg *m)
{
    struct http_exchange *x = s->upgrade;

    s->upgrade = NULL;
    tunnel_reply_error(x, m->a >= 400 && m->a <= 599 ? (int)m->a : 502, "the stream was refused", m->c);
    tell(s, (struct msg){.type = MSG_DATA, .kind = M_BYTES, .flags = MSG_LAST});
}

static void stream_send(struct wire *w, const struct msg *m)
{
    struct proxy_stream *s = (struct proxy_stream *)w;

    if (m->type == MSG_OPEN && s->upgrade) {
        if (m->kind == M_OK)
            admit(s);
        else
            refuse(s, m);
    } else if (m->type == MSG_DATA && (m->kind == M_MCP_RESULT || m->kind == M_BODY)) {
        send_result(s, m);
    }
}

static void stream_release(struct proxy_stream *s)
{
    slab_free(&s->instance->surface->streams, s->id);
    if (s->owed) evbuffer_free(s->owed);
    free(s->answer.headers);
    free(s);
}

static void stream_over(struct wire *w)
{
    struct proxy_stream *s = (struct proxy_stream *)w;
    struct tunnel_tap *tap = s->tap;

    upstream_forget(s->upstream);
    if (s->upgrade) http_exchange_abort(s->upgrade);
    if (tap) tunnel_tap_cut(tap);
    if (s->x) http_exchange_abort(s->x);
    stream_free(s->tls, true);
    stream_release(s);
}

static const struct wire_ops stream_ops = {.send = stream_send, .over = stream_over};

static struct proxy_stream *stream_make(struct proxy_instance *i)
{
    struct proxy_stream *s = calloc(1, sizeof *s);

    if (!s) return NULL;
    s->wire.ops = &stream_ops;
    s->instance = i;
    s->id = slab_alloc(&i->surface->streams);
    s->owed = evbuffer_new();
    if (!s->id || !s->owed) {
        if (s->owed) evbuffer_free(s->owed);
        if (s->id) slab_free(&i->surface->streams, s->id);
        free(s);
        return NULL;
    }
    *(struct proxy_stream **)slab_get_unchecked(&i->surface->streams, s->id) = s;
    return s;
}

static void upgrade_aborted(void *user, struct http_exchange *x)
{
    struct proxy_stream *s = user;

    s->upgrade = NULL;
    http_exchange_abort(x);
    tell_reset(s, RESET_CANCEL);
}

static const struct http_exchange_handler upgrade_exchange = {.aborted = upgrade_aborted};

static void enter(struct proxy_instance *i, struct http_exchange *x, const char *accept)
{
    struct driver *d = i->surface->driver;
    const struct http_head *head = http_exchange_head(x);
    struct proxy_stream *s = stream_make(i);
    struct msg open = {.kind = M_TUNNEL_STREAM,
                       .bytes = (uint32_t)head->wire_bytes,
                       .a = tunnel_of_host(driver_plan(d), head->host)};

    if (!s) {
        http_reply_error(x, 503, "out of memory");
        return;
    }
    if (!driver_accept(d, i->self, ADDR(ROLE_CONNECTOR, ADDR_ORDINAL(i->self)), NULL, &s->wire, open)) {
        stream_release(s);
        http_exchange_abort(x);
        return;
    }
    s->upgrade = x;
    memcpy(s->accept, accept, sizeof s->accept);
    http_exchange_set_handler(x, &upgrade_exchange, s);
}

static void on_upgrade(void *user, struct http_exchange *x)
{
    static const struct http_header version[] = {{"Sec-WebSocket-Version", "13"}, {NULL, NULL}};
    char accept[WS_ACCEPT_SIZE];
    int status = ws_judge_request(http_exchange_head(x), accept);

    if (status == 101)
        enter(user, x, accept);
    else if (status == 426)
        http_reply(x, 426, version, NULL);
    else
        http_reply_error(x, status, "a WebSocket upgrade is expected");
}

static const struct http_server_handler outer_handler = {.request = on_upgrade, .error_body = on_error_body};

/* Life
 * ------------------------------------------------------------------------------------------------- */

static void instance_free(struct proxy_instance *i)
{
    if (!i) return;
    http_server_free(i->outer);
    http_server_free(i->inner);
    for (size_t n = 0; i->pools && n < tunnel_routes_count(i->routes); n++) http_pool_free(i->pools[n]);
    free(i->pools);
    tunnel_routes_free(i->routes);
    tls_context_free(i->inner_tls);
    tls_context_free(i->upstream_tls);
    free(i);
}

static int make_pools(struct proxy_instance *i)
{
    const struct plan_link *link = &driver_plan(i->surface->driver)->links[LINK_PROXY_MCP];
    size_t count = tunnel_routes_count(i->routes);
    int r = 0;

    i->pools = calloc(count + 1, sizeof(struct http_pool *));
    if (!i->pools) return -ENOMEM;
    for (size_t n = 0; n < count && r == 0; n++) {
        const struct tunnel_target *t = tunnel_routes_at(i->routes, n);
        struct http_pool_options o = {.address = t->address,
                                      .hostname = t->tls ? t->hostname : NULL,
                                      .tls = t->tls ? i->upstream_tls : NULL,
                                      .connect_timeout_ns = link->dial_timeout_ns,
                                      .idle_ns = link->keep_alive ? link->keep_alive_idle_ns : 0};

        r = http_pool_new(driver_base(i->surface->driver), &o, &i->pools[n]);
    }
    return r;
}

static bool any_tls(const struct proxy_instance *i)
{
    for (size_t n = 0; n < tunnel_routes_count(i->routes); n++)
        if (tunnel_routes_at(i->routes, n)->tls) return true;
    return false;
}

static int make_tls(struct proxy_instance *i, const struct tunnel_proxy_options *o, char *why)
{
    const struct plan *plan = driver_plan(i->surface->driver);
    struct tls_options inner = {.server = true,
                                .cert_pem = o->cert_pem,
                                .key_pem = o->key_pem,
                                .handshake_timeout_ns = tunnel_guard_request(plan)};
    struct tls_options upstream = {.ca_pem = o->upstream_ca_pem,
                                   .system_cas = o->upstream_system_cas,
                                   .handshake_timeout_ns = plan->links[LINK_PROXY_MCP].dial_timeout_ns};
    int r = tls_context_new(&inner, &i->inner_tls, why);

    if (r < 0 || !any_tls(i)) return r;
    return tls_context_new(&upstream, &i->upstream_tls, why);
}

static int instance_init(struct proxy_instance *i, const struct tunnel_proxy_options *o, char *why)
{
    const struct plan *plan = driver_plan(i->surface->driver);
    struct event_base *base = driver_base(i->surface->driver);
    struct tunnel_routes_options routes = o->routes;
    nsec_t guard = tunnel_guard_request(plan);
    struct http_server_options outer = {.listen = o->listen,
                                        .connections_max = tunnel_guard_connections(plan),
                                        .header_timeout_ns = guard,
                                        .idle_timeout_ns = guard};
    struct http_server_options inner = {.connections_max = tunnel_guard_connections(plan),
                                        .header_timeout_ns = guard,
                                        .body_timeout_ns = guard,
                                        .idle_timeout_ns = tunnel_guard_idle(plan)};
    char domain[TUNNEL_HOST_MAX];
    int r;

    if (!routes.domain) {
        if ((r = tunnel_domain(plan, i->tunnel, domain)) < 0) return r;
        routes.domain = domain;
    }
    if ((r = tunnel_routes_new(&routes, &i->routes, why)) < 0) return r;
    if ((r = make_tls(i, o, why)) < 0) return r;
    if ((r = make_pools(i)) < 0) return r;
    if ((r = http_server_new(base, &inner, &inner_handler, i, &i->inner)) < 0) return r;
    return http_server_new(base, &outer, &outer_handler, i, &i->outer);
}

int tunnel_proxy_new(struct driver *d, struct tunnel_proxy **ret_proxy)
{
    struct tunnel_proxy *p = calloc(1, sizeof *p);
    int r;

    if (!p) return -ENOMEM;
    p->dialer.open = upstream_open;
    p->driver = d;
    p->next_attempt = 1;
    p->instance_count = plan_instances(driver_plan(d), ROLE_PROXY);
    p->instances = calloc((size_t)p->instance_count + 1, sizeof(struct proxy_instance *));
    r = p->instances ? slab_init(&p->streams, sizeof(struct proxy_stream *), SLAB_LIMIT_MAX) : -ENOMEM;
    if (r < 0) {
        tunnel_proxy_free(p);
        return r;
    }
    driver_set_dialer(d, ROLE_PROXY, ROLE_MCP, &p->dialer);
    *ret_proxy = p;
    return 0;
}

int tunnel_proxy_add(struct tunnel_proxy *p, uint32_t ordinal, const struct tunnel_proxy_options *o,
                     char ret_why[TLS_WHY_MAX])
{
    struct proxy_instance *i;
    int r;

    *ret_why = 0;
    if (ordinal >= p->instance_count || p->instances[ordinal]) return -EINVAL;
    i = calloc(1, sizeof *i);
    if (!i) return -ENOMEM;
    i->surface = p;
    i->self = ADDR(ROLE_PROXY, ordinal);
    i->tunnel = ordinal / driver_plan(p->driver)->tunnels.replicas;
    r = instance_init(i, o, ret_why);
    if (r < 0) {
        instance_free(i);
        return r;
    }
    p->instances[ordinal] = i;
    return 0;
}

void tunnel_proxy_remove(struct tunnel_proxy *p, uint32_t ordinal)
{
    ASSERT(ordinal < p->instance_count);
    instance_free(p->instances[ordinal]);
    p->instances[ordinal] = NULL;
}

int tunnel_proxy_port(const struct tunnel_proxy *p, uint32_t ordinal)
{
    ASSERT(ordinal < p->instance_count && p->instances[ordinal]);
    return http_server_port(p->instances[ordinal]->outer);
}

void tunnel_proxy_free(struct tunnel_proxy *p)
{
    if (!p) return;
    for (uint32_t n = 0; p->instances && n < p->instance_count; n++) instance_free(p->instances[n]);
    free(p->instances);
    slab_deinit(&p->streams);
    free(p);
}
