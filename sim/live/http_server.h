/*
 * An HTTP/1.1 server over any stream.
 *
 * Requests on one connection are taken one after the other: the next is not looked at before the reply to the
 * last was ended. From `request` on an exchange belongs to the handler, until the handler ends it, once, with
 * http_reply(), http_reply_bytes(), http_reply_error(), http_reply_end(), http_exchange_abort() or
 * http_exchange_upgrade() — also if the client went away, or the server was freed, before: what is written
 * then is dropped. Before `request` it belongs to the server; `route` may end it.
 *
 * No callback runs inside a call of the functions below, but for `error_body` and `error_headers`, which only
 * format.
 */
#pragma once

#include "sim/base/nsec.h"
#include "sim/live/http1.h"
#include "sim/live/stream.h"

struct event_base;
struct evbuffer;
struct tls_context;
struct http_server;
struct http_exchange;

/* Zero in a member means the default in brackets. */
struct http_server_options {
    const char *listen;       /* numeric "ip:port"; NULL: only http_server_serve_stream() */
    struct tls_context *tls;  /* for accepted connections; a reference is taken */
    unsigned connections_max; /* above it: 503 and close (with TLS: closed at once) [16384] */
    nsec_t header_timeout_ns; /* from the first byte to the end of the head, then 408 [10 s] */
    nsec_t body_timeout_ns; /* buffered: for the whole body; streamed: between two pieces; then 408 [30 s] */
    /* Between requests; and for a client that takes nothing of what is pending for it: it is cut off. A reply
     * that has nothing to say is not limited. [75 s] */
    nsec_t idle_timeout_ns;
    size_t head_bytes_max;     /* 431 above [16 KiB] */
    uint64_t body_bytes_max;   /* of a buffered body; 413 above [1 MiB] */
    uint64_t stream_bytes_max; /* of a streamed body; 413 or a cut above [no limit] */
    int sndbuf;                /* SO_SNDBUF of accepted sockets [the kernel's] */
    bool half_close; /* a client that finished sending still gets its reply; otherwise it counts as gone */
};

enum http_body_mode {
    HTTP_BODY_BUFFER, /* `request` is called when the whole body is there */
    HTTP_BODY_STREAM, /* `request` is called at once, the body comes through `body` and `body_end` */
};

struct http_server_handler {
    /* The head is complete; says what to do with the body. May end the exchange at once (401, 404, 413), then
     * `request` does not follow. NULL: all are buffered. */
    enum http_body_mode (*route)(void *user, struct http_exchange *x);
    /* The request can be served. Must be there. */
    void (*request)(void *user, struct http_exchange *x);
    /* The body for an answer that the server makes itself (400, 408, 413, …). Fills `body` and returns its
     * content type, or NULL for a line of plain text. `what` is one clear line. NULL: plain text. */
    const char *(*error_body)(void *user, int status, const char *what, struct evbuffer *body);
    /* More headers for such an answer, asked for right after its body: at most HTTP_ERROR_HEADERS_MAX, the
     * last with a NULL name, to stay valid until this returns to the loop. NULL: none. */
    const struct http_header *(*error_headers)(void *user);
};

enum { HTTP_ERROR_HEADERS_MAX = 3 };

/* What is called for one exchange, by the exchange's own user pointer. Any member may be NULL. */
struct http_exchange_handler {
    /* Streamed body: bytes were appended to `body`; the handler drains and calls http_exchange_consumed(). */
    void (*body)(void *user, struct http_exchange *x, struct evbuffer *body);
    /* All of the body has come; some of it may still lie undrained. */
    void (*body_end)(void *user, struct http_exchange *x);
    /* The output fell to STREAM_LOW_MARK after it had been above it. */
    void (*writable)(void *user, struct http_exchange *x);
    /* The client went away, took nothing of its reply for too long, or broke the protocol in its body. Once;
     * the exchange still has to be ended, unless `request` was not called yet: then it is gone after this. */
    void (*aborted)(void *user, struct http_exchange *x);
};

/* Opens the listener, if there is one. `h` must outlive the server. -EINVAL, -EADDRINUSE, …: see
 * tcp_listener_new(). */
int http_server_new(struct event_base *base, const struct http_server_options *o,
                    const struct http_server_handler *h, void *user, struct http_server **ret_server);

/* The listener's port, 0 without one. */
int http_server_port(const struct http_server *server);

/* Connections that are open now and were not upgraded. */
unsigned http_server_connections(const struct http_server *server);

/* Stops listening; idle connections are closed, the others after their reply. */
void http_server_drain(struct http_server *server);

/* Cuts all connections. Exchanges that the handler has not ended live on, without a client and without being
 * told; those that only `route` has seen are gone. NULL is allowed. */
void http_server_free(struct http_server *server);

/* Serves HTTP on `stream`, which is the server's from then on; `peer` is a name for it (copied, may be NULL).
 * Above connections_max it is answered 503. -ENOMEM (the stream is freed then, too). */
int http_server_serve_stream(struct http_server *server, struct stream *stream, const char *peer);

/* --- an exchange --- */

const struct http_head *http_exchange_head(const struct http_exchange *x);
static inline const char *http_exchange_header(const struct http_exchange *x, const char *name)
{
    return http_head_get(http_exchange_head(x), name);
}
static inline const char *http_exchange_method(const struct http_exchange *x)
{
    return http_exchange_head(x)->method;
}
/* Percent-decoded path; the raw one is in the head. A path with a bad escape is answered 400 before it is
 * shown. */
const char *http_exchange_path(const struct http_exchange *x);
/* The value of the first query parameter `name`, percent-decoded ('+' is a space), into `ret_value`. Its
 * length; -ENOENT: not there; -EINVAL: bad escape; -ENOSPC: `size` is too small. */
int http_exchange_query(const struct http_exchange *x, const char *name, char *ret_value, size_t size);
/* The buffered body (may be drained), or what of a streamed one was not drained. Never NULL. */
struct evbuffer *http_exchange_body(struct http_exchange *x);
/* "ip:port" of the client, or the name given with the stream, "" if none or if the client is gone. */
const char *http_exchange_peer(const struct http_exchange *x);
/* The stream below (for what TLS knows about the peer); NULL when the client is gone. Do not read or write
 * it. */
struct stream *http_exchange_stream(const struct http_exchange *x);
/* Whether the client went away. */
bool http_exchange_gone(const struct http_exchange *x);

/* Names who is called about this exchange. `h` must outlive it; NULL silences it. */
void http_exchange_set_handler(struct http_exchange *x, const struct http_exchange_handler *h, void *user);
void *http_exchange_user(const struct http_exchange *x);

/* In `route` only: how large the body of this request may be, instead of the server's limit. */
void http_exchange_limit_body(struct http_exchange *x, uint64_t bytes_max);

/* Streamed body: the handler is done with `bytes`; the client may send as much again. */
void http_exchange_consumed(struct http_exchange *x, size_t bytes);

/* Replies with a whole body and ends the exchange. `headers` ends with a NULL name and may be NULL;
 * Content-Length, Transfer-Encoding and Connection are set by the server. `body` is drained (NULL: none). */
void http_reply(struct http_exchange *x, int status, const struct http_header *headers,
                struct evbuffer *body);
/* The same with bytes and a content type (NULL: none). */
void http_reply_bytes(struct http_exchange *x, int status, const char *content_type, const void *bytes,
                      size_t len);
/* The server's own error reply, through `error_body`, with HTTP_UNSEEN. */
void http_reply_error(struct http_exchange *x, int status, const char *what);

/* Starts a reply of `length` bytes, -1: unknown (chunked, or until close for HTTP/1.0). The head is sent at
 * once. */
void http_reply_start(struct http_exchange *x, int status, const struct http_header *headers, int64_t length);
/* Moves all of `bytes` to the client. More than `length` is a programmer error. */
void http_reply_data(struct http_exchange *x, struct evbuffer *bytes);
/* Ends the exchange. If less than `length` was sent, the connection is cut. */
void http_reply_end(struct http_exchange *x);
/* Bytes of the connection that are queued and not yet the kernel's. */
size_t http_exchange_pending(const struct http_exchange *x);

/* Cuts the connection with a reset and ends the exchange. */
void http_exchange_abort(struct http_exchange *x);

/* Answers 101 and ends the exchange; the connection's stream, with any bytes that came after the request in
 * its input, is the caller's (stream_set_handler() makes the loop show them). NULL if there is none: the
 * client is gone, or its request has a body that has not come yet, and was answered 400. */
struct stream *http_exchange_upgrade(struct http_exchange *x, const struct http_header *headers);
