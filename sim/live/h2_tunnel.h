/*
 * HTTP/2 with reversed roles, as a carrier of byte streams.
 *
 * The connector dials, and on that connection it is the HTTP/2 server; the edge is the client and opens the
 * streams. A stream is a request whose body and answer's body carry the bytes of the two directions: `200`
 * says that it is up, any other status that it will not be (502: the connector could not reach the origin).
 * Its purpose is in the header H2_UPGRADE. There is no ALPN; the stream below is TLS over TCP, or anything
 * else.
 *
 * Flow control. A stream's peer may send `stream_window` bytes that were not consumed, all streams together
 * `connection_window`: that many unread bytes of a few streams stop all of them, so choose it for the number
 * of users that are allowed to be slow. Output goes below as long as less than STREAM_LOW_MARK is pending
 * there, one frame for each stream in turn, so that a small stream beside bulk waits for that much and no
 * longer.
 *
 * When the carrier is lost or h2_free() is called, each stream ends with RESET; its user still owns it and
 * frees it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/base/nsec.h"
#include "sim/live/http1.h"
#include "sim/live/stream.h"

struct event_base;
struct h2;

#define H2_UPGRADE           "windtunnel-upgrade" /* the header that says what a stream is for */
#define H2_UPGRADE_CONTROL   "control-stream"
#define H2_UPGRADE_WEBSOCKET "websocket"

enum {
    H2_HEADERS_MAX = 64,            /* headers of one message */
    H2_HEADER_BYTES_MAX = 8 * 1024, /* names and values of one message, with 32 for each header */

    H2_E_GOING = 1, /* the connection is over, or its end was announced: no new streams */
    H2_E_FULL,      /* as many streams as this side or the peer allows are active */
};

/* What a stream is opened with. Optional members may be NULL. */
struct h2_request {
    const char *authority;             /* for example "name.tunnel.example" */
    const char *path;                  /* [/] */
    const char *upgrade;               /* the value of H2_UPGRADE; optional */
    const struct http_header *headers; /* others, names in lower case, ended by a NULL name; optional */
};

/* Zero in a member means the default in brackets. */
struct h2_options {
    uint32_t stream_window;     /* bytes [1 MiB] */
    uint32_t connection_window; /* bytes [8 MiB] */
    uint32_t max_streams;       /* active at a time [1024] */
    nsec_t
        settings_timeout_ns; /* for the peer's first frame; without it the connection ends TIMEOUT [15 s] */
    nsec_t ping_interval_ns; /* how often the peer is asked whether it is there [never] */
    nsec_t ping_timeout_ns;  /* silence allowed after that; then the connection is RESET [the interval] */
    nsec_t linger_ns;        /* how long a freed stream may still flush and wait for the peer's end [5 s] */
};

/* What is told about a connection. Any member may be NULL. h2_free() is allowed in each. */
struct h2_callbacks {
    /* The peer's settings have come: it speaks HTTP/2. Once. */
    void (*ready)(void *user);
    /* Connector: a stream was opened. It is the callee's to own, to answer with h2_stream_respond() and to
     * free. `request` is valid in the call only; its `headers` hold all but the pseudo headers, H2_UPGRADE
     * and host. NULL: every stream is answered 501. */
    void (*opened)(void *user, struct stream *s, const struct h2_request *request);
    /* The peer announced that it takes no new streams; those that are there go on. Once. */
    void (*draining)(void *user);
    /* The connection is over; all its streams have been told. CLEAN: after a drain, by either side, with no
     * stream left. PROTOCOL: the peer broke HTTP/2 and was told so with GOAWAY. Others: as the stream below
     * ended. */
    void (*closed)(void *user, enum stream_end end, const char *what);
};

/* The edge's end (HTTP/2 client) or the connector's end (HTTP/2 server) of a tunnel over `below`, which
 * belongs to it (on failure it still is the caller's) and may still be coming up. `options` may be NULL;
 * `callbacks` must outlive the connection. -ENOMEM; -EINVAL: windows above 2^31 − 1. */
int h2_edge_new(struct event_base *base, struct stream *below, const struct h2_options *options,
                const struct h2_callbacks *callbacks, void *user, struct h2 **ret_h2);
int h2_connector_new(struct event_base *base, struct stream *below, const struct h2_options *options,
                     const struct h2_callbacks *callbacks, void *user, struct h2 **ret_h2);

/* Edge: opens a stream, to be freed by the caller. It is ready when the connector has answered 200; another
 * status ends it with REFUSED. What is written before goes out at once. Before `ready`, 100 streams may be
 * opened. H2_E_GOING, H2_E_FULL; -EINVAL: a header that HTTP/2 does not allow or too much of them; -ENOMEM.
 */
int h2_edge_open(struct h2 *h2, const struct h2_request *request, struct stream **ret_stream);

/* Connector: answers a stream, once. A 2xx makes it ready; any other status ends the sending direction and
 * the stream, CLEAN. Has no effect on a stream that has ended. One that is freed without an answer ends with
 * RESET at the edge, where REFUSED means that nobody has what the stream was opened for: another status, or
 * HTTP/2 itself did not take it (too many streams, or after GOAWAY). */
void h2_stream_respond(struct stream *s, int status);

/* The status that a stream was answered with, at either end; 0: none yet. */
int h2_stream_status(const struct stream *s);

/* Announces the end (GOAWAY): no new streams in either direction; when those that are there have ended, the
 * connection is closed. Streams that the edge opened before it heard of it are still served. */
void h2_drain(struct h2 *h2);

/* Ends the connection: its streams end with RESET. `abort`: with a reset of the stream below, otherwise after
 * GOAWAY. No callback about the connection follows. NULL is allowed. */
void h2_free(struct h2 *h2, bool abort);

struct h2_counters {
    uint64_t opened;     /* streams, by either side */
    uint64_t refused;    /* streams that were not answered with 2xx */
    uint64_t reset;      /* streams that ended with RST_STREAM or with the carrier */
    uint64_t payload_in; /* bytes of streams */
    uint64_t payload_out;
    uint32_t active; /* streams that have not ended yet */
};
struct h2_counters h2_counters(const struct h2 *h2);
