/*
 * A whole tunnel in one process and on one loop, for tests and benchmarks: edge and connector over loopback
 * TCP, and on each stream what the two ends of an MCP call put there.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "sim/live/certs.h"
#include "sim/live/h2_tunnel.h"
#include "sim/live/tcp.h"
#include "sim/live/tls.h"

/* What stands on what, from the bottom: TCP, outer TLS, HTTP/2, WebSocket, inner TLS. */
enum {
    STACK_OUTER_TLS = 1 << 0,
    STACK_WS = 1 << 1,
    STACK_INNER_TLS = 1 << 2,
    STACK_ALL = STACK_OUTER_TLS | STACK_WS | STACK_INNER_TLS,
};

struct tunnel_stack {
    struct event_base *base;
    unsigned layers;
    struct cert *ca, *cert;
    struct tls_context *client_tls, *server_tls;
    struct tcp_listener *listener;
    struct h2 *edge, *connector; /* NULL before they are there */
    int ready;                   /* the edge may open streams */
    int edge_closed, connector_closed;
    enum stream_end edge_end, connector_end;
    /* Called for each stream that reaches the connector, with its top. */
    void (*arrived)(void *user, struct stream *top);
    void *user;
};

/* Builds it and dials. Aborts when something cannot be made. */
void tunnel_stack_init(struct tunnel_stack *t, unsigned layers,
                       void (*arrived)(void *user, struct stream *top), void *user);

/* Opens a stream through the tunnel: the top of its layers at the edge, which may be written to at once. */
struct stream *tunnel_stack_open(struct tunnel_stack *t);

/* Frees all but the streams, which must be freed before. */
void tunnel_stack_deinit(struct tunnel_stack *t);
