/*
 * The wire of ROLE_PROXY: the gateway's inner half, for all proxies of a process.
 *
 * A plain listener takes WebSocket upgrades from the connector. On each such stream it is the inner TLS's
 * server, and on that an HTTP/1.1 server, one request at a time. A request is M_MCP_CALL to the component; it
 * is held here, raw, until the component opens its flow to the server, and then sent as it came: method,
 * path, query, headers but for those about one connection, and body. Host becomes the server's, the
 * original stands in X-Forwarded-Host. Of the answer the component sees sizes; the bytes are held here,
 * within the windows, and go out as it says. Errors that the component makes have a short JSON body.
 *
 * The headers `windtunnel-attempt` and `windtunnel-call` (mcp_codec.h) say which call a request is; without
 * them it gets an attempt id of its own, with bit 63 set.
 *
 * It is the dialer of PROXY → MCP, and registers itself as that.
 */
#pragma once

#include <stdint.h>

#include "sim/live/tls.h"
#include "sim/live/tunnel_routes.h"

struct driver;
struct tunnel_proxy;

/* For one proxy; all is copied or used in the call only. */
struct tunnel_proxy_options {
    const char *listen;                  /* numeric "ip:port", port 0: any free one */
    const char *cert_pem, *key_pem;      /* for *.t<k>.<domain>, signed by the tunnel's CA */
    const char *upstream_ca_pem;         /* for https upstreams; NULL: none */
    bool upstream_system_cas;            /* trust the system's too */
    struct tunnel_routes_options routes; /* `domain` may be NULL: the plan's for that tunnel */
};

/* -ENOMEM. */
int tunnel_proxy_new(struct driver *d, struct tunnel_proxy **ret_proxy);

/* Listens for ADDR(ROLE_PROXY, ordinal). -EINVAL with one clear line in `ret_why`, the listener's errors,
 * -ENOMEM. */
int tunnel_proxy_add(struct tunnel_proxy *p, uint32_t ordinal, const struct tunnel_proxy_options *o,
                     char ret_why[TLS_WHY_MAX]);

/* Closes the listener of one that was added and cuts its connections; it may be added again. After
 * driver_crash(): none of its flows is left. */
void tunnel_proxy_remove(struct tunnel_proxy *p, uint32_t ordinal);

/* The port of one that was added. */
int tunnel_proxy_port(const struct tunnel_proxy *p, uint32_t ordinal);

/* Cuts all connections. Only after driver_free(). NULL is allowed. */
void tunnel_proxy_free(struct tunnel_proxy *p);
