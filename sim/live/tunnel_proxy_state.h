/*
 * What the two halves of the proxy's surface share: tunnel_proxy.c, towards the caller, and
 * tunnel_upstream.c, towards the MCP servers.
 */
#pragma once

#include "sim/base/slab.h"
#include "sim/live/driver.h"
#include "sim/live/http_pool.h"
#include "sim/live/http_server.h"
#include "sim/live/tunnel_proxy.h"
#include "sim/live/tunnel_tap.h"
#include "sim/live/ws.h"

struct upstream;

/* One proxy. */
struct proxy_instance {
    struct tunnel_proxy *surface;
    addr_t self;
    uint32_t tunnel;
    struct http_server *outer, *inner; /* the upgrades; what is inside */
    struct tls_context *inner_tls, *upstream_tls;
    struct tunnel_routes *routes;
    struct http_pool **pools; /* one for each route */
};

struct tunnel_proxy {
    struct dialer dialer; /* first; to the MCP servers */
    struct driver *driver;
    struct slab streams; /* struct proxy_stream *: what M_MCP_CALL's e names */
    struct proxy_instance **instances;
    uint32_t instance_count;
    uint64_t next_attempt; /* for requests that name none */
};

/* The answer of an upstream, but for its body. */
struct proxy_answer {
    int status; /* 0: there is none */
    int64_t length;
    struct http_header *headers;
};

/* The flow of a tunnel stream. One request at a time is under way on it. */
struct proxy_stream {
    struct wire wire; /* first */
    struct proxy_instance *instance;
    uint32_t id;
    struct http_exchange *upgrade; /* until it is answered */
    char accept[WS_ACCEPT_SIZE];
    struct stream *tls;     /* while the inner handshake is under way */
    struct tunnel_tap *tap; /* after it */
    bool told_last, told_reset;

    struct http_exchange *x; /* the request; NULL: none */
    const struct tunnel_target *target;
    uint64_t attempt, call;
    struct upstream *upstream; /* its flow; NULL: not yet, or over */
    struct proxy_answer answer;
    struct evbuffer *owed; /* of the answer's body: has come and was not passed on */
    uint32_t uncredited;
};

/* The stream that a call of the component came from; NULL: it is gone. */
struct proxy_stream *proxy_stream_of(const struct tunnel_proxy *p, const struct msg *call);

/* The dialer of PROXY → MCP. */
struct wire *upstream_open(struct dialer *dialer, addr_t from, addr_t to, struct wire *via,
                           const struct msg *m);

/* `bytes` of the body were passed on: the server may send more. */
void upstream_consumed(struct upstream *u, size_t bytes);

/* The stream is gone; the flow is about to end. */
void upstream_forget(struct upstream *u);
