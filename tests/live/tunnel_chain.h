/*
 * The whole chain of a tunneled request in one process and on one loop: a client, the entrance or the
 * orchestrator, the edge, connectors and proxies with their real components, and an MCP server that is a
 * plain HTTP server of this file.
 */
#pragma once

#include "sim/live/certs.h"
#include "sim/live/entrance.h"
#include "sim/live/http_client.h"
#include "sim/live/http_server.h"
#include "sim/live/tunnel_connector.h"
#include "sim/live/tunnel_edge.h"
#include "sim/live/tunnel_proxy.h"
#include "sim/live/tunnel_stream.h"
#include "sim/plan/plan.h"
#include "sim/record/recorder.h"

#include <event2/buffer.h>

struct driver;

enum { CHAIN_WIRES = 64 };

/* A TCP connection that goes through the test, so that it can be cut or held. */
struct chain_wire {
    struct chain_relay *relay;
    struct stream *ends[2]; /* NULL: free slot */
};

struct chain_relay {
    struct event_base *base;
    struct tcp_listener *listener;
    char to[TCP_ADDRESS_MAX];
    struct chain_wire wires[CHAIN_WIRES];
    int accepted;
    bool refuse; /* cut what comes */
};

struct chain {
    struct event_base *base;
    struct plan *plan;
    struct recorder *recorder;
    struct driver *driver;
    struct cert *ca, *edge_cert, *client_cert, *inner_cert;
    struct tunnel_edge *edge;
    struct tunnel_connector *connector;
    struct tunnel_proxy *proxy;
    struct tunnel_outside *outside;
    struct entrance *entrance;
    struct http_server *mcp;
    struct chain_relay carriers; /* between connector and edge */
    char token[80];
    /* The MCP server */
    int requests, aborted;
    bool corrupt;                            /* spoil what /content answers */
    struct http_exchange *held[CHAIN_WIRES]; /* asked for /hold, or for /drip, whose answers are begun */
    int held_count;
    uint64_t served;      /* bytes of bodies written */
    char last_head[2048]; /* method, target and headers of the last request, one a line */
};

/* The plan, the driver and the MCP server alone, with the scenario's `tunnels` and `mcp client` sections;
 * NULL: all defaults. */
void chain_init_base(struct chain *c, const char *tunnels, const char *mcp_client);

/* Builds it all, with the scenario's `tunnels` section. `c` is zeroed, but for a `token` other than the right
 * one. */
void chain_init(struct chain *c, const char *tunnels);
/* The same for what has its base already. */
void chain_init_tunnels(struct chain *c);
void chain_deinit(struct chain *c);

/* Lets the loop run until `cond`, at most 20 s. */
void chain_run_until(struct chain *c, bool (*cond)(struct chain *c));

/* What stands at this place of a body. */
char chain_pattern(uint64_t at);

struct tunnel_outside_options chain_outside(struct chain *c, char address[TCP_ADDRESS_MAX]);

/* Cuts all TCP connections that pass through it. */
void chain_relay_cut(struct chain_relay *r);

/* Kills the connector and the proxy, and starts them again. */
void chain_kill_gateway(struct chain *c);
void chain_start_gateway(struct chain *c, uint32_t incarnation);
/* Tells all to stop in order. */
void chain_drain(struct chain *c);
/* Tells all that the run is over, and lets them handle it. */
void chain_end(struct chain *c);

uint64_t chain_counter(struct chain *c, enum counter counter);

/* A request through the entrance. */
struct fetch {
    struct chain *chain;
    struct http_conn *conn;
    int status;    /* 0: none yet */
    char type[64]; /* Content-Type */
    char body[512];
    uint64_t bytes, wrong; /* of the body; that were not the pattern's */
    bool ended, failed, reusable;
    bool hold; /* do not read the body */
    struct evbuffer *in;
    char what[200];
};

void fetch_init(struct fetch *f, struct chain *c);
void fetch_send(struct fetch *f, const char *method, const char *host, const char *target,
                const struct http_header *headers, const char *body);
/* Reads on, after `hold`. */
void fetch_resume(struct fetch *f);
void fetch_deinit(struct fetch *f);
