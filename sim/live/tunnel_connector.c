#include "sim/live/tunnel_connector.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/panic.h"
#include "sim/live/cause.h"
#include "sim/live/driver.h"
#include "sim/live/http_client.h"
#include "sim/live/tcp.h"
#include "sim/live/tunnel_carrier.h"
#include "sim/live/tunnel_http.h"
#include "sim/live/tunnel_names.h"
#include "sim/live/tunnel_pipe.h"
#include "sim/live/ws.h"

struct member {
    char edge_address[TCP_ADDRESS_MAX], proxy_address[TCP_ADDRESS_MAX];
    char *token;
};

struct to_proxy {
    struct dialer dialer; /* first */
    struct tunnel_connector *surface;
};

struct tunnel_connector {
    struct dialer dialer; /* first; to the edge */
    struct to_proxy to_proxy;
    struct driver *driver;
    struct tls_context *tls;
    char edge_name[TLS_NAME_MAX];
    struct tunnel_pipes pipes;
    struct list carriers;
    struct member **members; /* by ordinal; NULL: not told */
    uint32_t member_count;
};

static const struct member *member_of(const struct tunnel_connector *t, addr_t connector)
{
    uint32_t ordinal = ADDR_ORDINAL(connector);

    ASSERT(ordinal < t->member_count && t->members[ordinal]);
    return t->members[ordinal];
}

/* Streams from the edge
 * --------------------------------------------------------------------------------- */

struct guest {
    struct tunnel_pipe pipe; /* first */
    bool answered;
};

static void guest_ended(void *user, enum stream_end end, const char *what)
{
    struct guest *g = user;

    if (!g->answered) tunnel_pipe_tell_reset(&g->pipe, cause_of_end(end, true));
}

/* Until the answer; what comes before lies in the input. */
static const struct stream_handler guest_handler = {.ended = guest_ended};

static void guest_answer(struct guest *g, const struct msg *m)
{
    g->answered = true;
    if (m->kind == M_OK) {
        h2_stream_respond(g->pipe.stream, 200);
        tunnel_pipe_start(&g->pipe);
        return;
    }
    h2_stream_respond(g->pipe.stream, m->a >= 400 && m->a <= 599 ? (int)m->a : 502);
    g->pipe.said_last = true;
    tunnel_pipe_tell_last(&g->pipe);
}

static void guest_send(struct wire *w, const struct msg *m)
{
    struct guest *g = (struct guest *)w;

    if (m->type == MSG_OPEN)
        guest_answer(g, m);
    else
        tunnel_pipe_send(&g->pipe, m);
}

static void guest_over(struct wire *w)
{
    struct guest *g = (struct guest *)w;

    tunnel_pipe_deinit(&g->pipe);
    free(g);
}

static const struct wire_ops guest_ops = {.send = guest_send, .over = guest_over};

static void turn_away(struct stream *s, int status)
{
    h2_stream_respond(s, status);
    stream_free(s, false);
}

static void guest_enter(struct tunnel_connector *t, struct tunnel_carrier *carrier, addr_t self,
                        struct stream *s, const struct h2_request *request)
{
    const char *host = request->authority ? request->authority : "";
    struct guest *g = calloc(1, sizeof *g);
    struct msg open = {.kind = M_TUNNEL_STREAM,
                       .bytes = (uint32_t)strlen(host),
                       .a = tunnel_of_host(driver_plan(t->driver), host)};

    if (!g || tunnel_pipe_init(&g->pipe, &t->pipes, host) < 0) {
        free(g);
        stream_free(s, true);
        return;
    }
    g->pipe.wire.ops = &guest_ops;
    open.e = g->pipe.id;
    if (!driver_accept(t->driver, self, ADDR(ROLE_EDGE, 0), &carrier->wire, &g->pipe.wire, open)) {
        tunnel_pipe_deinit(&g->pipe);
        free(g);
        stream_free(s, true); /* counted as cut off; nobody is left who could refuse it */
        return;
    }
    g->pipe.stream = s;
    stream_set_handler(s, &guest_handler, g);
}

/* Streams to the proxy
 * ---------------------------------------------------------------------------------- */

struct errand {
    struct tunnel_pipe pipe; /* first */
    struct http_conn *conn;  /* until it is upgraded */
    char key[WS_KEY_SIZE];
};

static void errand_head(void *user, const struct http_head *head)
{
    struct errand *r = user;

    if (!ws_judge_answer(head, r->key)) {
        int status = head->status >= 400 ? head->status : 502;

        http_conn_set_handler(r->conn, NULL, NULL);
        tunnel_pipe_tell_refused(&r->pipe, status, http_head_unseen(head), http_head_retry_after(head));
        return;
    }
    r->pipe.stream = http_conn_upgrade(r->conn);
    r->conn = NULL;
    driver_receive(&r->pipe.wire, (struct msg){.type = MSG_OPEN, .kind = M_OK});
    tunnel_pipe_start(&r->pipe);
}

static void errand_failed(void *user, const struct http_failure *f)
{
    struct errand *r = user;

    tunnel_pipe_tell_reset(&r->pipe, cause_of_failure(f));
}

static const struct http_conn_handler errand_handler = {.head = errand_head, .failed = errand_failed};

static void errand_send(struct wire *w, const struct msg *m)
{
    tunnel_pipe_send((struct tunnel_pipe *)w, m);
}

static void errand_over(struct wire *w)
{
    struct errand *r = (struct errand *)w;

    http_conn_free(r->conn, true);
    tunnel_pipe_deinit(&r->pipe);
    free(r);
}

static const struct wire_ops errand_ops = {.send = errand_send, .over = errand_over};

static int errand_start(struct tunnel_connector *t, struct errand *r, addr_t from)
{
    const struct plan *plan = driver_plan(t->driver);
    struct event_base *base = driver_base(t->driver);
    struct tcp_options tcp = {.connect_timeout_ns = plan->links[LINK_CONNECTOR_PROXY].dial_timeout_ns};
    struct http_header headers[WS_CLIENT_HEADERS];
    struct http_request request = {.method = "GET", .target = "/", .host = r->pipe.host, .headers = headers};
    struct stream *s;
    int e = ws_make_key(NULL, NULL, r->key);

    if (e < 0) return e;
    ws_client_headers(r->key, headers);
    e = tcp_dial(base, member_of(t, from)->proxy_address, &tcp, &s);
    if (e < 0) return e;
    e = http_conn_new(base, s, 0, &errand_handler, r, &r->conn);
    if (e < 0) {
        stream_free(s, true);
        return e;
    }
    return http_conn_request(r->conn, &request);
}

static struct wire *dial_proxy(struct dialer *dialer, addr_t from, addr_t to, struct wire *via,
                               const struct msg *m)
{
    struct tunnel_connector *t = ((struct to_proxy *)dialer)->surface;
    const char *asked = tunnel_pipe_host(&t->pipes, m);
    char host[TUNNEL_HOST_MAX] = "";
    struct errand *r = calloc(1, sizeof *r);

    if (!asked) (void)tunnel_host(driver_plan(t->driver), m->a, host);
    if (!r || tunnel_pipe_init(&r->pipe, &t->pipes, asked ? asked : host) < 0) PANIC_MEMORY("out of memory");
    r->pipe.wire.ops = &errand_ops;
    if (errand_start(t, r, from) < 0) tunnel_pipe_fail(&r->pipe, driver_base(t->driver), RESET_REFUSED);
    return &r->pipe.wire;
}

/* The connection to the edge
 * ---------------------------------------------------------------------------- */

struct inside_carrier {
    struct tunnel_carrier carrier; /* first */
    struct tunnel_connector *surface;
    addr_t self;
    struct msg registration;
};

static void write_registration(struct inside_carrier *c)
{
    const struct msg *m = &c->registration;
    struct tunnel_control line = {.kind = TUNNEL_CONTROL_REGISTER};

    tunnel_name((uint32_t)m->a, line.register_.tunnel);
    snprintf(line.register_.token, sizeof line.register_.token, "%s", member_of(c->surface, c->self)->token);
    line.register_.connection = (uint32_t)m->b;
    tunnel_member(m->c, line.register_.connector);
    tunnel_link_write(&c->carrier.control, &line);
}

static void on_opened(struct tunnel_carrier *carrier, struct stream *s, const struct h2_request *request)
{
    struct inside_carrier *c = (struct inside_carrier *)carrier;
    const char *upgrade = request->upgrade ? request->upgrade : "";

    if (strcmp(upgrade, H2_UPGRADE_CONTROL) == 0 && !carrier->control.stream) {
        h2_stream_respond(s, 200);
        tunnel_carrier_control(carrier, s);
        write_registration(c);
    } else if (strcmp(upgrade, H2_UPGRADE_WEBSOCKET) == 0) {
        guest_enter(c->surface, carrier, c->self, s, request);
    } else {
        turn_away(s, 501);
    }
}

static void on_first(struct tunnel_carrier *c, const struct tunnel_control *m)
{
    tunnel_carrier_tell(c, tunnel_link_answered(m));
}

static const struct tunnel_carrier_ops carrier_ops = {.opened = on_opened, .first = on_first};

static void carrier_send(struct wire *w, const struct msg *m)
{
    tunnel_carrier_send((struct tunnel_carrier *)w, m);
}

static const struct wire_ops carrier_wire_ops = {.send = carrier_send, .over = tunnel_carrier_over};

static int dial_edge(struct inside_carrier *c)
{
    struct tunnel_connector *t = c->surface;
    struct event_base *base = driver_base(t->driver);
    const struct plan *plan = driver_plan(t->driver);
    struct tcp_options tcp = {.connect_timeout_ns = plan->links[LINK_CONNECTOR_EDGE].dial_timeout_ns};
    struct stream *s, *top;
    int e = tcp_dial(base, member_of(t, c->self)->edge_address, &tcp, &s);

    if (e < 0) return e;
    e = tls_wrap_client(base, s, t->tls, t->edge_name, &top);
    if (e < 0) {
        stream_free(s, true);
        return e;
    }
    return tunnel_carrier_attach(&c->carrier, base, plan, top);
}

static struct wire *register_open(struct dialer *dialer, addr_t from, addr_t to, struct wire *via,
                                  const struct msg *m)
{
    struct tunnel_connector *t = (struct tunnel_connector *)dialer;
    struct inside_carrier *c = calloc(1, sizeof *c);

    if (!c || tunnel_carrier_init(&c->carrier, driver_base(t->driver), &carrier_ops) < 0)
        PANIC_MEMORY("out of memory");
    c->surface = t;
    c->self = from;
    c->registration = *m;
    c->carrier.wire.ops = &carrier_wire_ops;
    c->carrier.bound = true;
    if (dial_edge(c) < 0) tunnel_carrier_fail(&c->carrier, RESET_REFUSED);
    list_push_back(&t->carriers, &c->carrier.siblings);
    return &c->carrier.wire;
}

/* Life
 * ------------------------------------------------------------------------------------------------- */

int tunnel_connector_new(struct driver *d, const struct tunnel_connector_options *o,
                         struct tunnel_connector **ret_connector, char ret_why[TLS_WHY_MAX])
{
    const struct plan_link *link = &driver_plan(d)->links[LINK_CONNECTOR_EDGE];
    /* Go's library, and so the real connector, resumes only if told to; the dial is over when TLS is up: one
     * limit for both. */
    struct tls_options tls = {
        .ca_pem = o->edge_ca_pem, .no_resumption = true, .handshake_timeout_ns = link->dial_timeout_ns};
    struct tunnel_connector *t = calloc(1, sizeof *t);
    int r;

    if (!t) return -ENOMEM;
    t->dialer.open = register_open;
    t->to_proxy = (struct to_proxy){.dialer = {.open = dial_proxy}, .surface = t};
    t->driver = d;
    t->member_count = plan_instances(driver_plan(d), ROLE_CONNECTOR);
    t->members = calloc((size_t)t->member_count + 1, sizeof(struct member *));
    list_init(&t->carriers);
    snprintf(t->edge_name, sizeof t->edge_name, "%s", o->edge_name);
    r = t->members ? tunnel_pipes_init(&t->pipes) : -ENOMEM;
    if (r == 0) r = tls_context_new(&tls, &t->tls, ret_why);
    if (r < 0) {
        tunnel_connector_free(t);
        return r;
    }
    driver_set_dialer(d, ROLE_CONNECTOR, ROLE_EDGE, &t->dialer);
    driver_set_dialer(d, ROLE_CONNECTOR, ROLE_PROXY, &t->to_proxy.dialer);
    *ret_connector = t;
    return 0;
}

static void member_free(struct member *m)
{
    if (!m) return;
    free(m->token);
    free(m);
}

static bool copy_address(char to[TCP_ADDRESS_MAX], const char *from)
{
    return snprintf(to, TCP_ADDRESS_MAX, "%s", from) < TCP_ADDRESS_MAX;
}

int tunnel_connector_add(struct tunnel_connector *t, uint32_t ordinal,
                         const struct tunnel_connector_member *member)
{
    struct member *m;

    if (ordinal >= t->member_count) return -EINVAL;
    m = calloc(1, sizeof *m);
    if (!m) return -ENOMEM;
    m->token = strdup(member->token);
    if (!m->token || strlen(m->token) >= TUNNEL_CONTROL_TOKEN_MAX ||
        !copy_address(m->edge_address, member->edge_address) ||
        !copy_address(m->proxy_address, member->proxy_address)) {
        member_free(m);
        return -EINVAL;
    }
    member_free(t->members[ordinal]);
    t->members[ordinal] = m;
    return 0;
}

void tunnel_connector_free(struct tunnel_connector *t)
{
    if (!t) return;
    list_for_each(c, &t->carriers, struct tunnel_carrier, siblings) tunnel_carrier_free(c);
    for (uint32_t i = 0; t->members && i < t->member_count; i++) member_free(t->members[i]);
    free(t->members);
    tls_context_free(t->tls);
    tunnel_pipes_deinit(&t->pipes);
    free(t);
}
