#include "tests/live/tunnel_stack.h"

#include <event2/event.h>
#include <stdio.h>
#include <string.h>

#include "sim/base/panic.h"
#include "sim/live/ws.h"

static const char host[] = "mcp.tunnel.example";

static void on_edge_ready(void *user)
{
    struct tunnel_stack *t = user;
    t->ready = 1;
}

static void on_edge_closed(void *user, enum stream_end end, const char *what)
{
    struct tunnel_stack *t = user;
    t->edge_closed = 1;
    t->edge_end = end;
}

static void on_connector_closed(void *user, enum stream_end end, const char *what)
{
    struct tunnel_stack *t = user;
    t->connector_closed = 1;
    t->connector_end = end;
}

/* The layers of one stream at one end. */
static struct stream *layer(struct tunnel_stack *t, struct stream *s, bool is_client)
{
    if (t->layers & STACK_WS) ASSERT(ws_wrap(t->base, s, is_client, NULL, &s) == 0);
    if (!(t->layers & STACK_INNER_TLS)) return s;
    if (is_client)
        ASSERT(tls_wrap_client(t->base, s, t->client_tls, host, &s) == 0);
    else
        ASSERT(tls_wrap_server(t->base, s, t->server_tls, &s) == 0);
    return s;
}

static void on_opened(void *user, struct stream *s, const struct h2_request *request)
{
    struct tunnel_stack *t = user;
    ASSERT(strcmp(request->authority, host) == 0);
    h2_stream_respond(s, 200);
    t->arrived(t->user, layer(t, s, false));
}

static const struct h2_callbacks edge_callbacks = {.ready = on_edge_ready, .closed = on_edge_closed};
static const struct h2_callbacks connector_callbacks = {.opened = on_opened, .closed = on_connector_closed};

static void on_accepted(void *user, struct stream *s, const char *peer)
{
    struct tunnel_stack *t = user;
    if (t->layers & STACK_OUTER_TLS) ASSERT(tls_wrap_server(t->base, s, t->server_tls, &s) == 0);
    ASSERT(!t->edge && h2_edge_new(t->base, s, NULL, &edge_callbacks, t, &t->edge) == 0);
}

static void make_certificates(struct tunnel_stack *t)
{
    const char *const names[] = {host, NULL};
    char why[TLS_WHY_MAX];
    struct cert_options ca = {.kind = CERT_CA, .common_name = "test CA"};
    struct cert_options server = {.kind = CERT_SERVER, .common_name = host, .names = names};
    ASSERT(cert_new(&ca, NULL, &t->ca) == 0 && cert_new(&server, t->ca, &t->cert) == 0);
    struct tls_options c = {.ca_pem = t->ca->cert_pem};
    struct tls_options s = {.server = true, .cert_pem = t->cert->cert_pem, .key_pem = t->cert->key_pem};
    ASSERT(tls_context_new(&c, &t->client_tls, why) == 0 && tls_context_new(&s, &t->server_tls, why) == 0);
}

void tunnel_stack_init(struct tunnel_stack *t, unsigned layers,
                       void (*arrived)(void *user, struct stream *top), void *user)
{
    char address[TCP_ADDRESS_MAX];
    struct stream *s;
    *t = (struct tunnel_stack){.layers = layers, .arrived = arrived, .user = user};
    ASSERT(tcp_base_new(&t->base) == 0);
    make_certificates(t);
    ASSERT(tcp_listener_new(t->base, "127.0.0.1:0", NULL, on_accepted, t, &t->listener) == 0);
    snprintf(address, sizeof(address), "127.0.0.1:%d", tcp_listener_port(t->listener));
    ASSERT(tcp_dial(t->base, address, NULL, &s) == 0);
    if (layers & STACK_OUTER_TLS) ASSERT(tls_wrap_client(t->base, s, t->client_tls, host, &s) == 0);
    ASSERT(h2_connector_new(t->base, s, NULL, &connector_callbacks, t, &t->connector) == 0);
}

struct stream *tunnel_stack_open(struct tunnel_stack *t)
{
    struct stream *s;
    struct h2_request request = {.authority = host, .upgrade = H2_UPGRADE_WEBSOCKET};
    ASSERT(h2_edge_open(t->edge, &request, &s) == 0);
    return layer(t, s, true);
}

void tunnel_stack_deinit(struct tunnel_stack *t)
{
    h2_free(t->edge, true);
    h2_free(t->connector, true);
    tcp_listener_free(t->listener);
    tls_context_free(t->client_tls);
    tls_context_free(t->server_tls);
    cert_free(t->ca);
    cert_free(t->cert);
    event_base_dispatch(t->base); /* what lingers */
    event_base_free(t->base);
}
