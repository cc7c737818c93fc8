/*
 * The wire of ROLE_CONNECTOR: the tunnel's inside end, for all connectors of a process.
 *
 * Towards the edge it dials TLS, each time with a full handshake, and serves HTTP/2 on it (h2_tunnel.h): the
 * control stream carries the registration, the others are tunnel streams. Towards its proxy it dials plain
 * TCP, asks for a WebSocket with the stream's Host, and from then on passes the bytes through as they are.
 *
 * It is the dialer of CONNECTOR → EDGE and CONNECTOR → PROXY, and registers itself as both.
 */
#pragma once

#include <stdint.h>

#include "sim/live/tls.h"

struct driver;
struct tunnel_connector;

/* For all connectors. Used in the call only. */
struct tunnel_connector_options {
    const char *edge_ca_pem; /* who signed the edge's certificate */
    const char *edge_name;   /* the name that it must carry */
};

/* For one of them; copied. */
struct tunnel_connector_member {
    const char *edge_address, *proxy_address; /* numeric "ip:port": what to dial */
    const char *token;                        /* see tunnel_token() */
};

/* -EINVAL with one line in `ret_why` (may be NULL), -ENOMEM. */
int tunnel_connector_new(struct driver *d, const struct tunnel_connector_options *o,
                         struct tunnel_connector **ret_connector, char ret_why[TLS_WHY_MAX]);

/* Tells where ADDR(ROLE_CONNECTOR, ordinal) dials; before that component is added to the driver. Again:
 * replaces what was told. -EINVAL: an address that is none; -ENOMEM. */
int tunnel_connector_add(struct tunnel_connector *t, uint32_t ordinal,
                         const struct tunnel_connector_member *member);

/* Cuts all connections. Only after driver_free(). NULL is allowed. */
void tunnel_connector_free(struct tunnel_connector *t);
