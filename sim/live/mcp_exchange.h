/*
 * One call of the agent's own MCP client: a request and its answer on an HTTP connection, with what a codec
 * knows of them.
 */
#pragma once

#include "sim/live/http_client.h"
#include "sim/live/mcp_codec.h"

struct mcp_exchange;
struct wire;

struct mcp_exchange_handler {
    /* The answer has come whole: the M_MCP_RESULT, without type and flags; `bytes` is its size on the wire,
     * MCP_CORRUPT says that its text is not the call's. `reusable`: the connection may serve another. Goes to
     * the driver with mcp_exchange_receive(). */
    void (*done)(void *user, struct msg result, bool reusable);
    /* It has not. The connection is of no further use. */
    void (*failed)(void *user, enum reset_cause cause);
    /* The connection was closed between two calls. */
    void (*closed)(void *user);
};

/* Embedded; one call at a time, any number after each other. */
struct mcp_exchange {
    const struct mcp_codec *codec;
    const struct mcp_exchange_handler *handler;
    void *user;
    struct http_conn *conn; /* borrowed */
    struct msg call;
    struct mcp_decoder *decoder; /* from the head of the answer to its end */
    uint64_t bytes;
    bool unseen; /* the answer is not the component's: see HTTP_UNSEEN_HEADER */
};

/* What to give to http_conn_new() or http_pool_take(), with the exchange as its user. */
extern const struct http_conn_handler mcp_exchange_conn;

/* Sends `call` on `conn`, which has mcp_exchange_conn as its handler. `codec`, `handler` and `user` must be
 * set. -ENOMEM. */
int mcp_exchange_start(struct mcp_exchange *x, struct http_conn *conn, const char *host,
                       const struct msg *call);

/* Hands the driver what `done` gave, with type and flags. */
void mcp_exchange_receive(const struct mcp_exchange *x, struct wire *w, struct msg result);

/* Frees what it holds; the connection is the caller's. */
void mcp_exchange_deinit(struct mcp_exchange *x);
