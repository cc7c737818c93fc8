#include "sim/live/tunnel_edge.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/panic.h"
#include "sim/live/cause.h"
#include "sim/live/driver.h"
#include "sim/live/http_server.h"
#include "sim/live/tcp.h"
#include "sim/live/tunnel_carrier.h"
#include "sim/live/tunnel_http.h"
#include "sim/live/tunnel_limits.h"
#include "sim/live/tunnel_names.h"
#include "sim/live/tunnel_pipe.h"
#include "sim/live/ws.h"
#include "sim/record/recorder.h"

/* What was refused and does not close is cut after this: nobody waits for it. */
#define CLOSE_NS (5 * NSEC_PER_S)
#define SELF     ADDR(ROLE_EDGE, 0)

enum {
    CARRIERS_SPARE = 256, /* connections beyond those of the plan: old ones, and some that come to nothing */
    BYTES_REGISTER = 600,
};

struct tunnel_edge {
    struct dialer dialer; /* first */
    struct driver *driver;
    struct tls_context *public_tls, *connector_tls;
    struct http_server *server;
    struct tcp_listener *listener;
    struct tunnel_pipes pipes;
    struct list carriers;
    uint32_t carrier_count;
    char *token_key;
};

/* Streams from outside
 * ---------------------------------------------------------------------------------- */

struct visitor {
    struct tunnel_pipe pipe; /* first */
    struct http_exchange *x; /* until it is answered */
    char accept[WS_ACCEPT_SIZE];
};

/* What an error is called on the wire. */
static const char *text_of(uint64_t status)
{
    switch (status) {
    case 404: return "no such tunnel";
    case 502: return "no connection to the tunnel's origin";
    case 503: return "too many streams";
    default: return "the stream was refused";
    }
}

static void visitor_aborted(void *user, struct http_exchange *x)
{
    struct visitor *v = user;

    tunnel_pipe_tell_reset(&v->pipe, RESET_CANCEL);
}

static const struct http_exchange_handler visitor_exchange = {.aborted = visitor_aborted};

static void visitor_admit(struct visitor *v)
{
    struct http_header headers[WS_SERVER_HEADERS];

    ws_server_headers(v->accept, headers);
    v->pipe.stream = http_exchange_upgrade(v->x, headers);
    v->x = NULL;
    if (v->pipe.stream)
        tunnel_pipe_start(&v->pipe);
    else
        tunnel_pipe_tell_reset(&v->pipe, RESET_CANCEL);
}

static void visitor_refuse(struct visitor *v, const struct msg *m)
{
    int status = m->a >= 400 && m->a <= 599 ? (int)m->a : 502;

    tunnel_reply_error(v->x, status, text_of(m->a), m->c);
    v->x = NULL;
    v->pipe.said_last = true;
    tunnel_pipe_tell_last(&v->pipe);
}

static void visitor_send(struct wire *w, const struct msg *m)
{
    struct visitor *v = (struct visitor *)w;

    if (m->type != MSG_OPEN)
        tunnel_pipe_send(&v->pipe, m);
    else if (!v->x)
        return;
    else if (m->kind == M_OK)
        visitor_admit(v);
    else
        visitor_refuse(v, m);
}

static void visitor_over(struct wire *w)
{
    struct visitor *v = (struct visitor *)w;

    if (v->x) http_exchange_abort(v->x);
    tunnel_pipe_deinit(&v->pipe);
    free(v);
}

static const struct wire_ops visitor_ops = {.send = visitor_send, .over = visitor_over};

static void visitor_enter(struct tunnel_edge *e, struct http_exchange *x, const char *accept)
{
    const struct http_head *head = http_exchange_head(x);
    struct visitor *v = calloc(1, sizeof *v);
    struct msg open = {.kind = M_TUNNEL_STREAM,
                       .bytes = (uint32_t)head->wire_bytes,
                       .a = tunnel_of_host(driver_plan(e->driver), head->host)};

    if (!v || tunnel_pipe_init(&v->pipe, &e->pipes, head->host) < 0) {
        free(v);
        http_reply_error(x, 503, "out of memory");
        return;
    }
    v->pipe.wire.ops = &visitor_ops;
    v->x = x;
    memcpy(v->accept, accept, sizeof v->accept);
    http_exchange_set_handler(x, &visitor_exchange, v);
    open.e = v->pipe.id;
    if (driver_accept(e->driver, SELF, ADDR(ROLE_ORCHESTRATOR, 0), NULL, &v->pipe.wire, open)) return;
    v->x = NULL;
    http_exchange_set_handler(x, NULL, NULL);
    tunnel_pipe_deinit(&v->pipe);
    free(v);
    http_exchange_abort(x);
}

static void on_request(void *user, struct http_exchange *x)
{
    static const struct http_header version[] = {{"Sec-WebSocket-Version", "13"}, {NULL, NULL}};
    char accept[WS_ACCEPT_SIZE];
    int status = ws_judge_request(http_exchange_head(x), accept);

    if (status == 101)
        visitor_enter(user, x, accept);
    else if (status == 426)
        http_reply(x, 426, version, NULL);
    else
        http_reply_error(x, status, "a WebSocket upgrade is expected");
}

static const char *on_error_body(void *user, int status, const char *what, struct evbuffer *body)
{
    return tunnel_add_error(body, status, what) < 0 ? NULL : "application/json";
}

static const struct http_server_handler server_handler = {.request = on_request, .error_body = on_error_body};

/* Streams to connectors
 * --------------------------------------------------------------------------------- */

static void guest_ready(void *user)
{
    struct tunnel_pipe *p = user;

    driver_receive(&p->wire, (struct msg){.type = MSG_OPEN, .kind = M_OK});
    tunnel_pipe_start(p);
}

static void guest_ended(void *user, enum stream_end end, const char *what)
{
    struct tunnel_pipe *p = user;
    int status = h2_stream_status(p->stream);

    if (end == STREAM_END_REFUSED && status >= 300)
        tunnel_pipe_tell_refused(p, status, false, 0);
    else
        tunnel_pipe_tell_reset(p, cause_of_end(end, false));
}

static const struct stream_handler guest_handler = {.ready = guest_ready, .ended = guest_ended};

static void guest_send(struct wire *w, const struct msg *m)
{
    tunnel_pipe_send((struct tunnel_pipe *)w, m);
}

static void guest_over(struct wire *w)
{
    tunnel_pipe_deinit((struct tunnel_pipe *)w);
    free(w);
}

static const struct wire_ops guest_ops = {.send = guest_send, .over = guest_over};

static int open_guest(struct tunnel_pipe *p, struct wire *via)
{
    struct tunnel_carrier *c = (struct tunnel_carrier *)via;
    struct h2_request request = {.authority = p->host, .upgrade = H2_UPGRADE_WEBSOCKET};
    int r;

    if (!c || c->dying || !c->h2) return -EPIPE;
    r = h2_edge_open(c->h2, &request, &p->stream);
    if (r == 0) stream_set_handler(p->stream, &guest_handler, p);
    return r;
}

static struct wire *edge_dial(struct dialer *dialer, addr_t from, addr_t to, struct wire *via,
                              const struct msg *m)
{
    struct tunnel_edge *e = (struct tunnel_edge *)dialer;
    struct tunnel_pipe *p = calloc(1, sizeof *p);
    const char *asked = tunnel_pipe_host(&e->pipes, m);
    char host[TUNNEL_HOST_MAX] = "";
    int r;

    if (!asked) (void)tunnel_host(driver_plan(e->driver), m->a, host);
    if (!p || tunnel_pipe_init(p, &e->pipes, asked ? asked : host) < 0) PANIC_MEMORY("out of memory");
    p->wire.ops = &guest_ops;
    r = open_guest(p, via);
    /* A carrier that is gone takes with it what was to be opened on it, as it does what was open. */
    if (r != 0) tunnel_pipe_fail(p, driver_base(e->driver), r == -EPIPE ? RESET_CARRIER : RESET_REFUSED);
    return &p->wire;
}

/* Connectors
 * ------------------------------------------------------------------------------------------- */

struct edge_carrier {
    struct tunnel_carrier carrier; /* first */
    struct tunnel_edge *edge;
    struct stream *control; /* until it is up */
};

static void control_ready(void *user)
{
    struct edge_carrier *c = user;
    struct stream *s = c->control;

    c->control = NULL;
    tunnel_carrier_control(&c->carrier, s);
}

static void control_ended(void *user, enum stream_end end, const char *what)
{
    struct edge_carrier *c = user;

    tunnel_carrier_break(&c->carrier, RESET_PROTOCOL);
}

static const struct stream_handler control_handler = {.ready = control_ready, .ended = control_ended};

static void on_carrier_ready(struct tunnel_carrier *carrier)
{
    struct edge_carrier *c = (struct edge_carrier *)carrier;
    struct h2_request request = {.authority = "control", .upgrade = H2_UPGRADE_CONTROL};

    if (h2_edge_open(carrier->h2, &request, &c->control) == 0)
        stream_set_handler(c->control, &control_handler, c);
    else
        tunnel_carrier_break(carrier, RESET_CUT);
}

static void answer(struct tunnel_carrier *c, const struct msg *m)
{
    struct tunnel_control line;

    tunnel_link_answer(m, &line);
    tunnel_link_write(&c->control, &line);
    if (m->flags & MSG_LAST) tunnel_link_shutdown(&c->control);
}

static void carrier_send(struct wire *w, const struct msg *m)
{
    struct tunnel_carrier *c = (struct tunnel_carrier *)w;

    if (m->type == MSG_OPEN) answer(c, m);
    tunnel_carrier_send(c, m);
    /* The connector closes what was refused; it is not waited for without end. */
    if (m->type == MSG_OPEN && m->flags & MSG_LAST) tunnel_carrier_limit(c, CLOSE_NS);
}

static const struct wire_ops carrier_wire_ops = {.send = carrier_send, .over = tunnel_carrier_over};

static void register_carrier(struct tunnel_edge *e, struct tunnel_carrier *c, const struct tunnel_control *m)
{
    uint32_t tunnel = tunnel_of_name(driver_plan(e->driver), m->register_.tunnel);
    uint64_t member = tunnel_of_member(m->register_.connector);
    struct msg open = {.kind = M_REGISTER,
                       .bytes = BYTES_REGISTER,
                       .a = tunnel == TUNNEL_UNKNOWN ? UINT64_MAX : tunnel,
                       .b = m->register_.connection,
                       .c = member};
    struct msg refused = {.kind = M_ERROR, .flags = MSG_LAST, .a = 401, .b = ERROR_INVALID};

    tunnel_carrier_limit(c, 0);
    if (tunnel != TUNNEL_UNKNOWN && !tunnel_token_is(e->token_key, tunnel, m->register_.token)) {
        recorder_count(driver_recorder(e->driver, SELF), COUNTER_AUTH_REFUSED, 1);
        answer(c, &refused);
        tunnel_carrier_limit(c, CLOSE_NS);
        return;
    }
    c->bound = driver_accept(e->driver, SELF, ADDR(ROLE_CONNECTOR, (uint32_t)(member >> 32) & 0xffffff), NULL,
                             &c->wire, open);
    if (!c->bound) tunnel_carrier_break(c, RESET_CUT);
}

static void on_first(struct tunnel_carrier *c, const struct tunnel_control *m)
{
    register_carrier(((struct edge_carrier *)c)->edge, c, m);
}

static void on_gone(struct tunnel_carrier *carrier)
{
    struct edge_carrier *c = (struct edge_carrier *)carrier;

    stream_free(c->control, true);
    c->edge->carrier_count--;
}

static const struct tunnel_carrier_ops carrier_ops = {
    .is_edge = true, .ready = on_carrier_ready, .first = on_first, .gone = on_gone};

static uint32_t carriers_max(const struct tunnel_edge *e)
{
    const struct plan_tunnels *t = &driver_plan(e->driver)->tunnels;

    return 2 * t->count * t->replicas * t->connections + CARRIERS_SPARE;
}

static void on_connector(void *user, struct stream *s, const char *peer)
{
    struct tunnel_edge *e = user;
    struct event_base *base = driver_base(e->driver);
    bool full = e->carrier_count >= carriers_max(e);
    struct edge_carrier *c = full ? NULL : calloc(1, sizeof *c);
    struct stream *top;

    if (full) recorder_count(driver_recorder(e->driver, SELF), COUNTER_CONNECTIONS_REJECTED, 1);
    if (!c || tls_wrap_server(base, s, e->connector_tls, &top) < 0) {
        stream_free(s, true);
        free(c);
        return;
    }
    c->edge = e;
    c->carrier.wire.ops = &carrier_wire_ops;
    if (tunnel_carrier_init(&c->carrier, base, &carrier_ops) < 0) {
        stream_free(top, true);
        free(c);
        return;
    }
    list_push_back(&e->carriers, &c->carrier.siblings);
    e->carrier_count++;
    if (tunnel_carrier_attach(&c->carrier, base, driver_plan(e->driver), top) < 0)
        tunnel_carrier_free(&c->carrier);
    else
        tunnel_carrier_limit(&c->carrier, tunnel_guard_register(driver_plan(e->driver)));
}

/* Life
 * ------------------------------------------------------------------------------------------------- */

static int make_tls(struct tunnel_edge *e, const struct tunnel_edge_options *o, char ret_why[TLS_WHY_MAX])
{
    const struct plan *plan = driver_plan(e->driver);
    struct tls_options tls = {.server = true,
                              .cert_pem = o->cert_pem,
                              .key_pem = o->key_pem,
                              .handshake_timeout_ns = tunnel_guard_register(plan)};
    int r = tls_context_new(&tls, &e->connector_tls, ret_why);

    if (r < 0) return r;
    tls.ca_pem = o->client_ca_pem;
    tls.handshake_timeout_ns = tunnel_guard_request(plan);
    return tls_context_new(&tls, &e->public_tls, ret_why);
}

static int cannot_listen(const char *address, int error, char ret_why[TLS_WHY_MAX])
{
    snprintf(ret_why, TLS_WHY_MAX, "cannot listen on %s: %s", address, tcp_listen_why(error));
    return error;
}

static int edge_init(struct tunnel_edge *e, const struct tunnel_edge_options *o, char ret_why[TLS_WHY_MAX])
{
    struct event_base *base = driver_base(e->driver);
    nsec_t guard = tunnel_guard_request(driver_plan(e->driver));
    struct http_server_options http = {.listen = o->public_listen,
                                       .connections_max = tunnel_guard_connections(driver_plan(e->driver)),
                                       .header_timeout_ns = guard,
                                       .idle_timeout_ns = guard};
    int r;

    e->token_key = strdup(o->token_key);
    if (!e->token_key) return -ENOMEM;
    if ((r = tunnel_pipes_init(&e->pipes)) < 0) return r;
    if ((r = make_tls(e, o, ret_why)) < 0) return r;
    http.tls = e->public_tls;
    r = http_server_new(base, &http, &server_handler, e, &e->server);
    if (r < 0) return cannot_listen(o->public_listen, r, ret_why);
    r = tcp_listener_new(base, o->connector_listen, NULL, on_connector, e, &e->listener);
    return r < 0 ? cannot_listen(o->connector_listen, r, ret_why) : 0;
}

int tunnel_edge_new(struct driver *d, const struct tunnel_edge_options *o, struct tunnel_edge **ret_edge,
                    char ret_why[TLS_WHY_MAX])
{
    char nobody_asks[TLS_WHY_MAX];
    struct tunnel_edge *e;
    int r;

    if (!o->client_ca_pem || !o->token_key || !*o->token_key) return -EINVAL;
    e = calloc(1, sizeof *e);
    if (!e) return -ENOMEM;
    e->dialer.open = edge_dial;
    e->driver = d;
    list_init(&e->carriers);
    if (!ret_why) ret_why = nobody_asks;
    *ret_why = 0;
    r = edge_init(e, o, ret_why);
    if (r < 0) {
        tunnel_edge_free(e);
        return r;
    }
    driver_set_dialer(d, ROLE_EDGE, ROLE_CONNECTOR, &e->dialer);
    *ret_edge = e;
    return 0;
}

int tunnel_edge_public_port(const struct tunnel_edge *e)
{
    return http_server_port(e->server);
}

int tunnel_edge_connector_port(const struct tunnel_edge *e)
{
    return tcp_listener_port(e->listener);
}

void tunnel_edge_free(struct tunnel_edge *e)
{
    if (!e) return;
    http_server_free(e->server);
    tcp_listener_free(e->listener);
    list_for_each(c, &e->carriers, struct tunnel_carrier, siblings) tunnel_carrier_free(c);
    tls_context_free(e->public_tls);
    tls_context_free(e->connector_tls);
    tunnel_pipes_deinit(&e->pipes);
    free(e->token_key);
    free(e);
}
