/*
 * The names of a plan's tunnels on the wire. Tunnel k is "t<k>", its domain "t<k>.<domain>", and a server
 * behind it "<mcp name>.t<k>.<domain>"; in messages that is HOST(k, mcp).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "sim/plan/plan.h"
#include "sim/world/msg.h"

enum {
    TUNNEL_HOST_MAX = 256,  /* room for a host name */
    TUNNEL_NAME_MAX = 16,   /* room for "t<k>" */
    TUNNEL_TOKEN_SIZE = 65, /* room for a token */
    TUNNEL_MEMBER_MAX = 64, /* room for a connector's name */
};

#define TUNNEL_UNKNOWN UINT32_MAX /* in either half of a HOST */

/* Writes "t<k>". */
void tunnel_name(uint32_t tunnel, char ret_name[TUNNEL_NAME_MAX]);

/* Writes "t<k>.<domain>". -EINVAL: too long for a host name. */
int tunnel_domain(const struct plan *plan, uint32_t tunnel, char ret_domain[TUNNEL_HOST_MAX]);

/* Writes the name of HOST(tunnel, mcp). -EINVAL: the plan has no such, or it is too long for a host name. */
int tunnel_host(const struct plan *plan, uint64_t host, char ret_host[TUNNEL_HOST_MAX]);

/* Reads "t<k>", as written above and not otherwise; TUNNEL_UNKNOWN if the plan has no such tunnel. */
uint32_t tunnel_of_name(const struct plan *plan, const char *name);

/* Reads a Host header: any case, a port may follow. A host in no tunnel's domain is HOST(TUNNEL_UNKNOWN,
 * TUNNEL_UNKNOWN), one whose first part is no server of the plan HOST(k, TUNNEL_UNKNOWN). */
uint64_t tunnel_of_host(const struct plan *plan, const char *host);

/* Whether `port` is what may follow a host: nothing, or ':' and a port number. */
bool tunnel_port_is_valid(const char *port);

/* The token with which connectors register for the tunnel: an HMAC of its name under `key`. 0, or -EIO. */
int tunnel_token(const char *key, uint32_t tunnel, char ret_token[TUNNEL_TOKEN_SIZE]);
/* Compares in constant time. */
bool tunnel_token_is(const char *key, uint32_t tunnel, const char *token);

/* What stands in a registration for M_REGISTER's c: the connector and its incarnation. */
void tunnel_member(uint64_t connector, char ret_member[TUNNEL_MEMBER_MAX]);
/* Reads it; UINT64_MAX, which is none, for anything else. */
uint64_t tunnel_of_member(const char *member);
