/* What the parts of the MCP server share. */
#pragma once

#include "mock-mcp/json_rpc.h"
#include "mock-mcp/mcp_server.h"
#include "mock-mcp/session.h"
#include "sim/live/http_server.h"

struct mcp_server {
    struct driver *driver;
    struct mcp_server_options options;
    char path[256];
    struct http_server *http;
    struct mcp_sessions sessions;
    struct list streaming; /* sessions with a stream */
    struct list calls;
    struct event *keep_alive; /* libevent's */
    uint64_t local_ids;       /* given out so far */
};

/* A posted message on its way. */
struct post {
    struct mcp_server *server;
    struct http_exchange *x;
    struct rpc_message message;
    enum mcp_era era;
    struct mcp_session *session; /* ERA_LEGACY, once known */
    uint32_t bytes;              /* on the wire, head and body */
};

/* Ends the exchange with a JSON-RPC error; `id` may be NULL. The error is deinitialised. */
void mcp_answer_error(struct http_exchange *x, const char *id, struct rpc_error *e);
/* Ends the exchange with a result, given as JSON without line breaks. */
void mcp_answer_result(struct post *p, const char *result);

/* Serves a tools/call, or refuses it: takes over the exchange either way. */
void mcp_call_begin(struct post *p);
/* The client does not want the call of this JSON-RPC id any more. */
void mcp_calls_cancel(struct mcp_session *session, const char *id);
/* Cuts all calls; those that the driver still knows are forgotten when it lets go of them. */
void mcp_calls_abort(struct mcp_server *server);
