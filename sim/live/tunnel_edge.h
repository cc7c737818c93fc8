/*
 * The wire of ROLE_EDGE: where the outside meets the tunnels.
 *
 * Public listener: TLS with a client certificate demanded, and on it the WebSocket upgrade of HTTP/1.1, whose
 * Host names the stream's end (tunnel_names.h). It is answered 101, or with the component's error: 404 for a
 * name that is in no tunnel, 502 without a connection, and so on, each with a short JSON body. After 101 the
 * bytes go through as they are, the WebSocket's frames too: both their ends are elsewhere.
 *
 * Connector listener: TLS, the connections of tunnels (h2_tunnel.h). The edge opens the control stream; a
 * registration whose token is wrong is refused here and counted (auth_refused), all others by the component.
 *
 * It is also the dialer of EDGE → CONNECTOR, and registers itself as that.
 */
#pragma once

#include "sim/live/tls.h"

struct driver;
struct tunnel_edge;

/* All strings and PEM texts are copied or used in the call only. */
struct tunnel_edge_options {
    const char *public_listen, *connector_listen; /* numeric "ip:port", port 0: any free one */
    const char *cert_pem, *key_pem;               /* of both listeners */
    const char *client_ca_pem; /* who signed the certificates of those who may open streams */
    const char *token_key;     /* see tunnel_token() */
};

/* Listens for ADDR(ROLE_EDGE, 0), which may be added to the driver before or after. -EINVAL or the
 * listeners' errors with one line in `ret_why` (may be NULL), -ENOMEM. */
int tunnel_edge_new(struct driver *d, const struct tunnel_edge_options *o, struct tunnel_edge **ret_edge,
                    char ret_why[TLS_WHY_MAX]);

int tunnel_edge_public_port(const struct tunnel_edge *e);
int tunnel_edge_connector_port(const struct tunnel_edge *e);

/* Cuts all connections. Only after driver_free(). NULL is allowed. */
void tunnel_edge_free(struct tunnel_edge *e);
