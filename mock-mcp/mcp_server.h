/*
 * The wire of an MCP server: streamable HTTP over a component of the role `mcp`, which decides when and with
 * what status each tools/call is answered.
 *
 * A request that carries MCP_ATTEMPT_HEADER and MCP_CALL_HEADER (sim/live/mcp_codec.h) keeps its ids, and the
 * text of its result belongs to the call's id; any other gets ids of this process, with bit 63 set.
 */
#pragma once

#include "mock-mcp/revision.h"
#include "mock-mcp/tools.h"
#include "sim/live/driver.h"

struct mcp_server;

/* Zero in a member means the default in brackets. */
struct mcp_server_options {
    addr_t self;
    addr_t from;               /* whom the component sees as its caller [ADDR(ROLE_PROXY, 0)] */
    const char *listen;        /* numeric "ip:port" */
    const char *path;          /* ["/mcp"] */
    unsigned revisions;        /* set of enum mcp_revision [all] */
    unsigned tools;            /* set of enum mcp_tool [all] */
    bool event_streams;        /* answers are event streams instead of JSON */
    uint32_t sessions_max;     /* [4096] */
    unsigned connections_max;  /* [16384]; as many calls are under way at most */
    nsec_t request_timeout_ns; /* for a head, and for a body; 408 after it [10 s, 30 s] */
    nsec_t idle_timeout_ns;    /* between requests, for a reply that is not read [75 s] */
    uint64_t keep_alive_ns;    /* between two comments on a stream that a GET opened [15 s] */
};

/* Listens. The driver must outlive the server, or be freed first: then the server is told nothing more.
 * -EINVAL, -EADDRINUSE, …: see tcp_listener_new(); -ENOMEM. */
int mcp_server_new(struct driver *driver, const struct mcp_server_options *o, struct mcp_server **ret_server);

int mcp_server_port(const struct mcp_server *server);

/* Sessions of the revisions that have them. */
uint32_t mcp_server_sessions(const struct mcp_server *server);

/* Connections that are open. */
unsigned mcp_server_connections(const struct mcp_server *server);

/* Stops listening, ends the streams of sessions; connections are closed as soon as their call is answered. */
void mcp_server_drain(struct mcp_server *server);

/* Cuts all connections. NULL is allowed. */
void mcp_server_free(struct mcp_server *server);
