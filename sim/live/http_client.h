/*
 * An HTTP/1.1 client on one connection over any stream, one request at a time.
 *
 * No callback runs inside a call of the functions below; http_conn_free() and http_conn_request() are allowed
 * in every callback but where noted.
 */
#pragma once

#include "sim/base/nsec.h"
#include "sim/live/http1.h"
#include "sim/live/stream.h"

struct event_base;
struct evbuffer;
struct http_conn;

/* How far a request that failed had come. */
enum http_outcome {
    HTTP_NEVER_SENT, /* the stream never came up, or was closed before the request began: surely not executed
                      */
    HTTP_NO_ANSWER,  /* sent, at least in part, and cut before the head of an answer */
    HTTP_CUT,        /* cut in the middle of the answer */
    HTTP_TIMED_OUT,  /* not answered in whole in time */
    HTTP_MALFORMED,  /* the answer is no HTTP */
};

struct http_failure {
    enum http_outcome outcome;
    enum stream_end end; /* how the stream ended, where it did */
    const char *what;    /* one clear line, valid in the call only */
};

/* What is told about a request. Any member may be NULL. */
struct http_conn_handler {
    /* The head of the final answer; valid until the request is over. 1xx are skipped, but for 101. */
    void (*head)(void *user, const struct http_head *head);
    /* Bytes were appended to `body`; drain, and call http_conn_consumed(). What is not drained stops the
     * peer. */
    void (*data)(void *user, struct evbuffer *body);
    /* The request body's queue fell to STREAM_LOW_MARK after it had been above it. */
    void (*writable)(void *user);
    /* The answer is complete. `reusable`: another request may follow on this connection. */
    void (*end)(void *user, bool reusable);
    /* It failed; the connection is of no further use. Comes instead of `end`. */
    void (*failed)(void *user, const struct http_failure *f);
    /* An idle connection was closed by the peer, or broken. */
    void (*closed)(void *user);
};

struct http_request {
    const char *method;
    const char *target; /* path and query */
    const char *host;
    const struct http_header *headers; /* ends with a NULL name; may be NULL */
    struct evbuffer *body;             /* drained; NULL: none */
    int64_t stream_length;             /* for http_conn_request_start(): -1 chunked */
    nsec_t timeout_ns;                 /* to the end of the answer; 0: none */
    nsec_t head_timeout_ns;            /* to the head of the answer; 0: none */
    bool close;                        /* ask the server to close after it */
};

/* Takes `stream` (which may still be coming up). `h` must outlive the connection. Bodies of answers above
 * `body_bytes_max` (0: no limit) are HTTP_MALFORMED. -ENOMEM (the stream is still the caller's). */
int http_conn_new(struct event_base *base, struct stream *stream, uint64_t body_bytes_max,
                  const struct http_conn_handler *h, void *user, struct http_conn **ret_conn);

/* Other callbacks from now on, for the next request. */
void http_conn_set_handler(struct http_conn *c, const struct http_conn_handler *h, void *user);

/* Frees the connection and its stream. `abort`: with a reset. No callback follows. NULL is allowed. */
void http_conn_free(struct http_conn *c, bool abort);

/* Sends a request with its whole body. The connection must be idle. Also on a connection that has been closed
 * meanwhile: then `failed` tells HTTP_NEVER_SENT. -ENOMEM. */
int http_conn_request(struct http_conn *c, const struct http_request *r);

/* Sends a request whose body follows with http_conn_send() and http_conn_send_end(). */
int http_conn_request_start(struct http_conn *c, const struct http_request *r);
void http_conn_send(struct http_conn *c, struct evbuffer *bytes);
void http_conn_send_end(struct http_conn *c);

/* Done with `bytes` of the answer's body. */
void http_conn_consumed(struct http_conn *c, size_t bytes);

/* No request is under way and the stream is open. */
bool http_conn_idle(const struct http_conn *c);

/* The stream below, for what no HTTP says: shutting it down on one side, what TLS knows. The connection's
 * still. */
struct stream *http_conn_stream(const struct http_conn *c);

/* In `head` with status 101 (or, for a tunnel, any 2xx that the caller takes as an upgrade) and nowhere else:
 * gives the stream to the caller, leftover bytes in its input, and frees the connection. No callback follows.
 */
struct stream *http_conn_upgrade(struct http_conn *c);
