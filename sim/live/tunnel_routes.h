/*
 * Where a proxy sends a request, by its Host: the route table of a gateway's configuration.
 *
 * A route's name is a full hostname, or what stands before the tunnel's domain. The full name is looked for
 * first. What a table says is checked when it is made: an upstream must be scheme://host:port, and within the
 * allowed addresses. Names of upstreams are not resolved: `host` is a numeric address, or "localhost".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/live/tcp.h"

enum { TUNNEL_ROUTES_WHY_MAX = 256 };

struct tunnel_route {
    const char *name;     /* "files" or "files.t0.tunnel.example" */
    const char *upstream; /* "http://10.0.0.7:8080"; "https://…" */
    uint32_t mcp;         /* the plan's server that it stands for */
};

struct tunnel_routes_options {
    const char *domain; /* of the tunnel */
    const struct tunnel_route *routes;
    size_t route_count;
    const char *const *allowed_ips; /* IPv4 CIDRs, ends with NULL; NULL: RFC 1918's */
    bool disable_ip_validation;     /* any address goes; excludes `allowed_ips` */
};

struct tunnel_routes;

/* All is copied. -EINVAL with one clear line, -ENOMEM. */
int tunnel_routes_new(const struct tunnel_routes_options *o, struct tunnel_routes **ret_routes,
                      char ret_why[TUNNEL_ROUTES_WHY_MAX]);
/* NULL is allowed. */
void tunnel_routes_free(struct tunnel_routes *r);

struct tunnel_target {
    char address[TCP_ADDRESS_MAX];  /* numeric "ip:port", to dial */
    char hostname[TCP_ADDRESS_MAX]; /* host as it was given, for TLS */
    bool tls;
    uint32_t mcp;
};

/* By a Host header, of any case and perhaps with a port; NULL: no route for host. */
const struct tunnel_target *tunnel_routes_find(const struct tunnel_routes *r, const char *host);

size_t tunnel_routes_count(const struct tunnel_routes *r);
const struct tunnel_target *tunnel_routes_at(const struct tunnel_routes *r, size_t i);
