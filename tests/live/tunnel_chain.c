#include "tests/live/tunnel_chain.h"

#include "sim/base/panic.h"
#include "sim/live/content.h"
#include "sim/live/driver.h"
#include "sim/live/mcp_codec.h"
#include "sim/live/tunnel_names.h"
#include "sim/plan/parse.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char edge_name[] = "edge.tunnel.test";
static const char token_key[] = "a key of the test";

char chain_pattern(uint64_t at)
{
    return (char)(at * 31 + (at >> 8) * 7 + (at >> 16));
}

/* Relay
 * ------------------------------------------------------------------------------------------------ */

struct relay_end {
    struct chain_wire *wire;
    int index;
};

static void wire_drop(struct chain_wire *w, bool abort)
{
    for (int i = 0; i < 2; i++) {
        stream_free(w->ends[i], abort);
        w->ends[i] = NULL;
    }
}

static void move(struct chain_wire *w, int from)
{
    struct evbuffer *in = stream_input(w->ends[from]);
    size_t n = evbuffer_get_length(in);

    if (!n || stream_pending(w->ends[!from]) > STREAM_LOW_MARK) return;
    stream_write(w->ends[!from], in);
    stream_consumed(w->ends[from], n);
}

static void on_ended(void *user, enum stream_end end, const char *what)
{
    wire_drop(user, end != STREAM_END_CLEAN);
}

static void near_data(void *user, struct evbuffer *in)
{
    move(user, 0);
}
static void near_writable(void *user)
{
    move(user, 1);
}
static void near_eof(void *user)
{
    struct chain_wire *w = user;
    move(w, 0);
    stream_shutdown(w->ends[1]);
}
static void far_data(void *user, struct evbuffer *in)
{
    move(user, 1);
}
static void far_writable(void *user)
{
    move(user, 0);
}
static void far_eof(void *user)
{
    struct chain_wire *w = user;
    move(w, 1);
    stream_shutdown(w->ends[0]);
}

static const struct stream_handler near_handler = {NULL, near_data, near_writable, near_eof, on_ended};
static const struct stream_handler far_handler = {NULL, far_data, far_writable, far_eof, on_ended};

static void on_accepted(void *user, struct stream *s, const char *peer)
{
    struct chain_relay *r = user;

    r->accepted++;
    for (int i = 0; i < CHAIN_WIRES && !r->refuse; i++) {
        struct chain_wire *w = &r->wires[i];

        if (w->ends[0]) continue;
        w->relay = r;
        w->ends[0] = s;
        ASSERT(tcp_dial(r->base, r->to, NULL, &w->ends[1]) == 0);
        stream_set_handler(w->ends[0], &near_handler, w);
        stream_set_handler(w->ends[1], &far_handler, w);
        return;
    }
    stream_free(s, true);
}

void chain_relay_cut(struct chain_relay *r)
{
    for (int i = 0; i < CHAIN_WIRES; i++) wire_drop(&r->wires[i], true);
}

/* The MCP server
 * --------------------------------------------------------------------------------------- */

struct reply {
    struct chain *chain;
    uint64_t at, size;
};

static void reply_more(void *user, struct http_exchange *x)
{
    struct reply *r = user;
    char piece[16384];
    struct evbuffer *b = evbuffer_new();

    while (r->at < r->size && http_exchange_pending(x) <= STREAM_LOW_MARK) {
        size_t n = r->size - r->at < sizeof piece ? (size_t)(r->size - r->at) : sizeof piece;

        for (size_t i = 0; i < n; i++) piece[i] = chain_pattern(r->at + i);
        evbuffer_add(b, piece, n);
        http_reply_data(x, b);
        r->at += n;
        r->chain->served += n;
    }
    evbuffer_free(b);
    if (r->at < r->size) return;
    free(r);
    http_reply_end(x);
}

static void reply_aborted(void *user, struct http_exchange *x)
{
    struct reply *r = user;

    r->chain->aborted++;
    free(r);
    http_exchange_abort(x);
}

static const struct http_exchange_handler reply_handler = {.writable = reply_more, .aborted = reply_aborted};

static void hold_aborted(void *user, struct http_exchange *x)
{
    struct chain *c = user;

    c->aborted++;
    for (int i = 0; i < c->held_count; i++)
        if (c->held[i] == x) c->held[i] = c->held[--c->held_count];
    http_exchange_abort(x);
}

static const struct http_exchange_handler hold_handler = {.aborted = hold_aborted};

static void note_head(struct chain *c, const struct http_head *h)
{
    int n = snprintf(c->last_head, sizeof c->last_head, "%s %s\nhost: %s\n", h->method, h->target, h->host);

    for (unsigned i = 0; i < h->n_headers && n < (int)sizeof c->last_head; i++)
        n += snprintf(c->last_head + n, sizeof c->last_head - n, "%s: %s\n", h->headers[i].name,
                      h->headers[i].value);
}

/* The text of the call that the request is for. */
static void reply_content(struct chain *c, struct http_exchange *x, uint64_t chars)
{
    const char *id = http_exchange_header(x, MCP_CALL_HEADER);
    char *text = malloc(chars + 1);

    content_fill(id ? strtoull(id, NULL, 16) : 0, 0, text, chars);
    if (c->corrupt) text[chars / 2] ^= 1;
    http_reply_bytes(x, 200, "text/plain", text, chars);
    free(text);
}

static void on_mcp_request(void *user, struct http_exchange *x)
{
    struct chain *c = user;
    const char *path = http_exchange_path(x);
    struct evbuffer *body = http_exchange_body(x);

    c->requests++;
    note_head(c, http_exchange_head(x));
    if (strncmp(path, "/bytes/", 7) == 0 || strncmp(path, "/chunked/", 9) == 0) {
        struct reply *r = calloc(1, sizeof *r);

        *r = (struct reply){.chain = c, .size = strtoull(strrchr(path, '/') + 1, NULL, 10)};
        http_exchange_set_handler(x, &reply_handler, r);
        http_reply_start(x, 200, NULL, path[1] == 'b' ? (int64_t)r->size : -1);
        reply_more(r, x);
    } else if (strncmp(path, "/content/", 9) == 0) {
        reply_content(c, x, strtoull(path + 9, NULL, 10));
    } else if (strcmp(path, "/hold") == 0 || strcmp(path, "/drip") == 0) {
        ASSERT(c->held_count < CHAIN_WIRES);
        c->held[c->held_count++] = x;
        http_exchange_set_handler(x, &hold_handler, c);
        if (path[1] == 'd') http_reply_start(x, 200, NULL, -1);
    } else if (strcmp(path, "/cut") == 0) {
        struct evbuffer *b = evbuffer_new();

        evbuffer_add_printf(b, "half");
        http_reply_start(x, 200, NULL, 100);
        http_reply_data(x, b);
        evbuffer_free(b);
        http_reply_end(x);
    } else if (strcmp(path, "/abort") == 0) {
        http_exchange_abort(x);
    } else if (strcmp(path, "/teapot") == 0) {
        struct http_header h[] = {
            {"Retry-After", "7"}, {"Connection", "x-hop"}, {"X-Hop", "1"}, {NULL, NULL}};
        http_reply(x, 418, h, body);
    } else {
        http_reply(x, 200, NULL, body);
    }
}

static const struct http_server_handler mcp_handler = {.request = on_mcp_request};

/* The chain
 * -------------------------------------------------------------------------------------------- */

static void make_plan(struct chain *c, const char *tunnels, const char *mcp_client)
{
    char text[2048];
    struct plan_error error;
    struct plan_load_options o = {.path = "chain.json", .text = text, .seed = 1};

    snprintf(text, sizeof text,
             "{\"schema\":\"windtunnel.scenario/1\",\"name\":\"chain\",\"duration\":\"10s\","
             "\"load\":{\"l\":{\"script\":\"s\",\"process\":\"poisson\",\"rate\":\"1/s\"}},"
             "\"scripts\":{\"s\":{\"turns\":[{\"steps\":[{\"model\":\"1ms\",\"calls\":[{\"mcp\":\"files\"},"
             "{\"mcp\":\"files\"},{\"mcp\":\"search\"}]}],\"answer\":{\"model\":\"1ms\"}}]}},"
             "\"mcp\":{\"files\":{\"service_time\":\"1ms\"},\"search\":{\"service_time\":\"1ms\"}},"
             "\"orchestrator\":{\"mcp\":%s,\"spill_threshold\":1000000},\"tunnels\":%s}",
             mcp_client ? mcp_client : "{}", tunnels ? tunnels : "{}");
    if (plan_load(&o, &c->plan, &error) != 0) PANIC("%s", error.text);
}

static void make_certificates(struct chain *c)
{
    static const char *const edge_names[] = {edge_name, NULL};
    static const char *const inner_names[] = {"*.t0.tunnel.test", NULL};
    struct cert_options ca = {.kind = CERT_CA, .common_name = "chain CA"};
    struct cert_options edge = {.kind = CERT_SERVER, .common_name = "edge", .names = edge_names};
    struct cert_options inner = {.kind = CERT_SERVER, .common_name = "proxy", .names = inner_names};
    struct cert_options client = {.kind = CERT_CLIENT, .common_name = "orchestrator"};

    ASSERT(cert_new(&ca, NULL, &c->ca) == 0);
    ASSERT(cert_new(&edge, c->ca, &c->edge_cert) == 0);
    ASSERT(cert_new(&inner, c->ca, &c->inner_cert) == 0);
    ASSERT(cert_new(&client, c->ca, &c->client_cert) == 0);
}

static void local(int port, char address[TCP_ADDRESS_MAX])
{
    snprintf(address, TCP_ADDRESS_MAX, "127.0.0.1:%d", port);
}

static void make_edge(struct chain *c)
{
    char why[TLS_WHY_MAX];
    struct tunnel_edge_options o = {.public_listen = "127.0.0.1:0",
                                    .connector_listen = "127.0.0.1:0",
                                    .cert_pem = c->edge_cert->cert_pem,
                                    .key_pem = c->edge_cert->key_pem,
                                    .client_ca_pem = c->ca->cert_pem,
                                    .token_key = token_key};

    ASSERT(tunnel_edge_new(c->driver, &o, &c->edge, why) == 0);
    c->carriers.base = c->base;
    local(tunnel_edge_connector_port(c->edge), c->carriers.to);
    ASSERT(tcp_listener_new(c->base, "127.0.0.1:0", NULL, on_accepted, &c->carriers, &c->carriers.listener) ==
           0);
}

static void make_gateway(struct chain *c)
{
    static const char *const allowed[] = {"127.0.0.0/8", NULL};
    char why[TLS_WHY_MAX], edge[TCP_ADDRESS_MAX], proxy[TCP_ADDRESS_MAX], mcp[80];
    struct tunnel_connector_options co = {.edge_ca_pem = c->ca->cert_pem, .edge_name = edge_name};
    struct tunnel_connector_member member = {.edge_address = edge, .proxy_address = proxy, .token = c->token};
    struct tunnel_route routes[] = {{"files", mcp, 0}, {"search.t0.tunnel.test", "http://127.0.0.1:1", 1}};
    struct tunnel_proxy_options po = {.listen = "127.0.0.1:0",
                                      .cert_pem = c->inner_cert->cert_pem,
                                      .key_pem = c->inner_cert->key_pem,
                                      .routes = {.routes = routes, .route_count = 2, .allowed_ips = allowed}};

    snprintf(mcp, sizeof mcp, "http://127.0.0.1:%d", http_server_port(c->mcp));
    ASSERT(tunnel_proxy_new(c->driver, &c->proxy) == 0);
    ASSERT(tunnel_connector_new(c->driver, &co, &c->connector, why) == 0);
    if (tunnel_proxy_add(c->proxy, 0, &po, why) < 0) PANIC("%s", why);
    local(tcp_listener_port(c->carriers.listener), edge);
    local(tunnel_proxy_port(c->proxy, 0), proxy);
    if (!c->token[0]) ASSERT(tunnel_token(token_key, 0, c->token) == 0);
    ASSERT(tunnel_connector_add(c->connector, 0, &member) == 0);
}

struct tunnel_outside_options chain_outside(struct chain *c, char address[TCP_ADDRESS_MAX])
{
    local(tunnel_edge_public_port(c->edge), address);
    return (struct tunnel_outside_options){.edge_address = address,
                                           .edge_name = edge_name,
                                           .edge_ca_pem = c->ca->cert_pem,
                                           .client_cert_pem = c->client_cert->cert_pem,
                                           .client_key_pem = c->client_cert->key_pem,
                                           .tunnel_ca_pem = c->ca->cert_pem};
}

static void make_entrance(struct chain *c)
{
    char why[TLS_WHY_MAX], address[TCP_ADDRESS_MAX];
    struct tunnel_outside_options o = chain_outside(c, address);
    struct entrance_options eo = {.listen = "127.0.0.1:0"};

    ASSERT(tunnel_outside_new(c->base, &o, &c->outside, why) == 0);
    eo.outside = c->outside;
    ASSERT(entrance_new(c->base, &eo, &c->entrance) == 0);
}

uint64_t chain_counter(struct chain *c, enum counter counter)
{
    return recorder_counter(c->recorder, counter);
}

void chain_init_base(struct chain *c, const char *tunnels, const char *mcp_client)
{
    struct http_server_options mcp = {.listen = "127.0.0.1:0"};
    struct recorder_options ro = {.marks_max = 1024, .sample_every = 1};
    struct driver_options o = {.flows_max = 10000};

    for (int a = 0; a < ACCOUNT_COUNT; a++) ro.ledger.slots_max[a] = 4096;
    ASSERT(tcp_base_new(&c->base) == 0);
    make_plan(c, tunnels, mcp_client);
    ASSERT(recorder_new(&ro, &c->recorder) == 0);
    o.base = c->base;
    o.plan = c->plan;
    ASSERT(driver_new(&o, &c->driver) == 0);
    ASSERT(http_server_new(c->base, &mcp, &mcp_handler, c, &c->mcp) == 0);
}

void chain_init_tunnels(struct chain *c)
{
    make_certificates(c);
    make_edge(c);
    make_gateway(c);
    make_entrance(c);
    ASSERT(driver_add(c->driver, ADDR(ROLE_EDGE, 0), c->recorder, 0) == 0);
    chain_start_gateway(c, 0);
}

void chain_init(struct chain *c, const char *tunnels)
{
    chain_init_base(c, tunnels, NULL);
    chain_init_tunnels(c);
}

void chain_start_gateway(struct chain *c, uint32_t incarnation)
{
    ASSERT(driver_add(c->driver, ADDR(ROLE_PROXY, 0), c->recorder, incarnation) == 0);
    ASSERT(driver_add(c->driver, ADDR(ROLE_CONNECTOR, 0), c->recorder, incarnation) == 0);
}

void chain_kill_gateway(struct chain *c)
{
    driver_crash(c->driver, ADDR(ROLE_CONNECTOR, 0));
    driver_crash(c->driver, ADDR(ROLE_PROXY, 0));
}

void chain_drain(struct chain *c)
{
    driver_tell_all(c->driver, EVENT_DRAIN);
}

static void on_tick(evutil_socket_t fd, short what, void *user) {}

void chain_run_until(struct chain *c, bool (*cond)(struct chain *c))
{
    struct timeval tick = {.tv_usec = 20000};
    nsec_t end = driver_now(c->driver) + 20 * NSEC_PER_S;

    while (!cond(c)) {
        if (driver_now(c->driver) > end) PANIC("timed out");
        event_base_once(c->base, -1, EV_TIMEOUT, on_tick, NULL, &tick);
        event_base_loop(c->base, EVLOOP_ONCE);
    }
}

void chain_deinit(struct chain *c)
{
    driver_free(c->driver);
    entrance_free(c->entrance);
    tunnel_outside_free(c->outside);
    tunnel_connector_free(c->connector);
    tunnel_proxy_free(c->proxy);
    tunnel_edge_free(c->edge);
    chain_relay_cut(&c->carriers);
    tcp_listener_free(c->carriers.listener);
    for (int i = 0; i < c->held_count; i++) http_exchange_abort(c->held[i]);
    http_server_free(c->mcp);
    cert_free(c->ca);
    cert_free(c->edge_cert);
    cert_free(c->client_cert);
    cert_free(c->inner_cert);
    event_base_dispatch(c->base); /* what lingers */
    event_base_free(c->base);
    recorder_free(c->recorder);
    plan_free(c->plan);
}

void chain_end(struct chain *c)
{
    driver_end(c->driver);
}

/* Requests
 * --------------------------------------------------------------------------------------------- */

static void fetch_head(void *user, const struct http_head *h)
{
    struct fetch *f = user;
    const char *type = http_head_get(h, "Content-Type");

    f->status = h->status;
    snprintf(f->type, sizeof f->type, "%s", type ? type : "");
}

static void take(struct fetch *f, struct evbuffer *body)
{
    size_t n = evbuffer_get_length(body);
    const char *bytes = (const char *)evbuffer_pullup(body, -1);

    for (size_t i = 0; i < n; i++) {
        if (f->bytes + i < sizeof f->body - 1) f->body[f->bytes + i] = bytes[i];
        if (bytes[i] != chain_pattern(f->bytes + i)) f->wrong++;
    }
    f->bytes += n;
    evbuffer_drain(body, n);
    http_conn_consumed(f->conn, n);
}

static void fetch_data(void *user, struct evbuffer *body)
{
    struct fetch *f = user;

    f->in = body;
    if (!f->hold) take(f, body);
}

void fetch_resume(struct fetch *f)
{
    f->hold = false;
    if (f->in) take(f, f->in);
}

static void fetch_end(void *user, bool reusable)
{
    struct fetch *f = user;

    f->ended = true;
    f->reusable = reusable;
}

static void fetch_failed(void *user, const struct http_failure *failure)
{
    struct fetch *f = user;

    f->failed = true;
    snprintf(f->what, sizeof f->what, "%s", failure->what);
}

static const struct http_conn_handler fetch_handler = {
    .head = fetch_head, .data = fetch_data, .end = fetch_end, .failed = fetch_failed};

void fetch_init(struct fetch *f, struct chain *c)
{
    char address[TCP_ADDRESS_MAX];
    struct stream *s;

    *f = (struct fetch){.chain = c};
    local(entrance_port(c->entrance), address);
    ASSERT(tcp_dial(c->base, address, NULL, &s) == 0);
    ASSERT(http_conn_new(c->base, s, 0, &fetch_handler, f, &f->conn) == 0);
}

void fetch_send(struct fetch *f, const char *method, const char *host, const char *target,
                const struct http_header *headers, const char *body)
{
    struct evbuffer *b = evbuffer_new();
    struct http_request r = {
        .method = method, .host = host, .target = target, .headers = headers, .body = body ? b : NULL};

    f->status = 0;
    f->bytes = f->wrong = 0;
    f->ended = f->failed = false;
    f->in = NULL;
    memset(f->body, 0, sizeof f->body);
    if (body) evbuffer_add(b, body, strlen(body));
    ASSERT(http_conn_request(f->conn, &r) == 0);
    evbuffer_free(b);
}

void fetch_deinit(struct fetch *f)
{
    http_conn_free(f->conn, true);
}
