#include "sim/live/http_client.h"

#include "sim/base/panic.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct http_conn {
    struct stream *stream;
    const struct http_conn_handler *handler;
    void *user;
    struct http1_parser parser;
    struct http_head *head; /* of the answer under way */
    struct evbuffer *body;  /* of the answer, not drained yet */
    struct evbuffer *out;   /* scratch */
    struct event work, head_timer, timer;
    size_t held; /* body bytes that the user was given and has not consumed */
    uint64_t send_left;
    enum http1_framing framing; /* of the request's body */
    bool *gone;                 /* set while a callback may free the connection */
    bool up;
    bool active;    /* a request is under way */
    bool send_over; /* … and wholly written */
    bool close;     /* … and is to be the last */
    bool interim;   /* a 1xx head was taken, its end not yet */
    bool broken;    /* of no further use */
    bool doomed;    /* a request was made on a broken connection */
    bool eof;
};

/* --- ends --- */

static void stop_request(struct http_conn *c)
{
    c->active = false;
    event_del(&c->timer);
    event_del(&c->head_timer);
    if (c->held > 0) stream_consumed(c->stream, c->held);
    c->held = 0;
}

/* Ends the request in failure. The connection may be gone afterwards. */
static void fail(struct http_conn *c, enum http_outcome outcome, enum stream_end end, const char *what)
{
    struct http_failure f = {.outcome = outcome, .end = end, .what = what};

    stop_request(c);
    c->broken = true;
    if (c->handler && c->handler->failed) c->handler->failed(c->user, &f);
}

/* The stream can give no more. */
static void fail_cut(struct http_conn *c, enum stream_end end, const char *what)
{
    enum http_outcome outcome = c->head ? HTTP_CUT : c->up ? HTTP_NO_ANSWER : HTTP_NEVER_SENT;

    fail(c, outcome, end, what ? what : "the connection was closed");
}

static void break_idle(struct http_conn *c)
{
    if (c->broken) return;
    c->broken = true;
    if (c->handler && c->handler->closed) c->handler->closed(c->user);
}

/* The answer is complete. */
static void complete(struct http_conn *c)
{
    bool reusable = c->head->keep_alive && !c->parser.until_close && c->send_over && !c->close && !c->eof;

    stop_request(c);
    if (!reusable) c->broken = true;
    http_head_free(c->head);
    c->head = NULL;
    if (c->handler && c->handler->end) c->handler->end(c->user, reusable);
}

/* --- answers --- */

static void on_head(struct http_conn *c)
{
    struct http_head *head = http1_take_head(&c->parser);
    bool *gone = c->gone;

    if (head->status >= 100 && head->status < 200 && head->status != 101) {
        http_head_free(head);
        c->interim = true;
        return;
    }
    event_del(&c->head_timer);
    c->head = head;
    if (c->handler && c->handler->head) c->handler->head(c->user, head);
    if (!*gone && c->active && c->head && c->head->status == 101)
        fail(c, HTTP_MALFORMED, STREAM_END_PROTOCOL, "an upgrade that was not asked for");
}

static void on_body(struct http_conn *c, size_t bytes)
{
    c->held += bytes;
    if (c->handler && c->handler->data) c->handler->data(c->user, c->body);
}

static void on_end(struct http_conn *c)
{
    if (c->interim)
        c->interim = false;
    else
        complete(c);
}

/* One step of the parser. False: it has to wait, or the connection is gone. */
static bool step(struct http_conn *c)
{
    bool *gone = c->gone;
    size_t drained, moved;
    enum http1_step s = http1_parse(&c->parser, stream_input(c->stream), c->body, SIZE_MAX, &drained, &moved);

    if (drained > moved) stream_consumed(c->stream, drained - moved);
    switch (s) {
    case HTTP1_MORE: return false;
    case HTTP1_HEAD: on_head(c); break;
    case HTTP1_BODY: on_body(c, moved); break;
    case HTTP1_END: on_end(c); break;
    case HTTP1_ERROR: fail(c, HTTP_MALFORMED, STREAM_END_PROTOCOL, c->parser.error); break;
    }
    return !*gone;
}

/* Parses what is there. False: the connection is gone. */
static bool run(struct http_conn *c)
{
    bool gone = false;

    ASSERT(!c->gone);
    c->gone = &gone;
    while (c->active && !c->doomed && step(c)) continue;
    if (!gone && !c->active && evbuffer_get_length(stream_input(c->stream)) > 0) break_idle(c);
    if (!gone) c->gone = NULL;
    return !gone;
}

/* --- called from the stream and the loop --- */

static void on_ready(void *user)
{
    struct http_conn *c = user;

    c->up = true;
}

static void on_data(void *user, struct evbuffer *in)
{
    run(user);
}

static void on_writable(void *user)
{
    struct http_conn *c = user;

    if (c->active && !c->send_over && c->handler && c->handler->writable) c->handler->writable(c->user);
}

/* Nothing more comes: ends what is under way. */
static void finish_input(struct http_conn *c, enum stream_end end, const char *what)
{
    if (!run(c)) return;
    if (!c->active) {
        break_idle(c);
        return;
    }
    if (c->doomed) return; /* the loop will tell */
    if (end == STREAM_END_CLEAN && c->head && http1_parse_eof(&c->parser) == HTTP1_END)
        complete(c);
    else
        fail_cut(c, end, what);
}

static void on_eof(void *user)
{
    struct http_conn *c = user;

    c->eof = true;
    finish_input(c, STREAM_END_CLEAN, "the peer closed the connection");
}

static void on_ended(void *user, enum stream_end end, const char *what)
{
    struct http_conn *c = user;

    c->eof = true;
    finish_input(c, end, what);
}

static const struct stream_handler stream_handler = {
    .ready = on_ready,
    .data = on_data,
    .writable = on_writable,
    .eof = on_eof,
    .ended = on_ended,
};

static void on_work(evutil_socket_t fd, short what, void *user)
{
    struct http_conn *c = user;

    if (!c->doomed) return;
    c->doomed = false;
    fail(c, HTTP_NEVER_SENT, STREAM_END_CLEAN, "the connection was closed before the request");
}

static void on_timeout(evutil_socket_t fd, short what, void *user)
{
    struct http_conn *c = user;

    fail(c, HTTP_TIMED_OUT, STREAM_END_TIMEOUT,
         c->head ? "the answer was not complete in time" : "no answer came in time");
}

/* --- the connection --- */

int http_conn_new(struct event_base *base, struct stream *stream, uint64_t body_bytes_max,
                  const struct http_conn_handler *h, void *user, struct http_conn **ret_conn)
{
    struct http1_limits limits = {.body_bytes_max = body_bytes_max};
    struct http_conn *c = calloc(1, sizeof *c);

    if (!c) return -ENOMEM;
    c->body = evbuffer_new();
    c->out = evbuffer_new();
    if (!c->body || !c->out) {
        if (c->body) evbuffer_free(c->body);
        if (c->out) evbuffer_free(c->out);
        free(c);
        return -ENOMEM;
    }
    c->stream = stream;
    c->handler = h;
    c->user = user;
    http1_parser_init(&c->parser, HTTP1_RESPONSE, &limits);
    event_assign(&c->work, base, -1, 0, on_work, c);
    event_assign(&c->timer, base, -1, 0, on_timeout, c);
    event_assign(&c->head_timer, base, -1, 0, on_timeout, c);
    stream_set_handler(stream, &stream_handler, c);
    *ret_conn = c;
    return 0;
}

void http_conn_set_handler(struct http_conn *c, const struct http_conn_handler *h, void *user)
{
    c->handler = h;
    c->user = user;
}

/* Frees all but the stream. */
static void destroy(struct http_conn *c)
{
    if (c->gone) *c->gone = true;
    event_del(&c->work);
    event_del(&c->timer);
    event_del(&c->head_timer);
    http1_parser_deinit(&c->parser);
    http_head_free(c->head);
    evbuffer_free(c->body);
    evbuffer_free(c->out);
    free(c);
}

void http_conn_free(struct http_conn *c, bool abort)
{
    struct stream *s;

    if (!c) return;
    s = c->stream;
    destroy(c);
    stream_free(s, abort);
}

struct stream *http_conn_upgrade(struct http_conn *c)
{
    struct stream *s = c->stream;

    ASSERT(c->active && c->head && c->held == 0);
    stream_set_handler(s, NULL, NULL);
    destroy(c);
    return s;
}

/* --- requests --- */

static void arm(struct event *timer, nsec_t wait)
{
    struct timeval time = {.tv_sec = wait / NSEC_PER_S, .tv_usec = wait % NSEC_PER_S / NSEC_PER_US};

    if (wait > 0) event_add(timer, &time);
}

/* The common part: makes the request the active one and queues its head in `out`. */
static int begin(struct http_conn *c, const struct http_request *r, enum http1_framing framing,
                 uint64_t length)
{
    int error;

    ASSERT(!c->active);
    error = http1_add_request(c->out, r->method, r->target, r->host, r->headers, framing, length,
                              r->close ? "close" : NULL);
    if (error < 0) {
        evbuffer_drain(c->out, evbuffer_get_length(c->out));
        return error;
    }
    http_head_free(c->head);
    c->head = NULL;
    evbuffer_drain(c->body, evbuffer_get_length(c->body));
    c->active = true;
    c->close = r->close;
    c->send_over = c->interim = false;
    c->framing = framing;
    c->send_left = length;
    http1_parser_expect(&c->parser, strcmp(r->method, "HEAD") == 0);
    arm(&c->timer, r->timeout_ns);
    arm(&c->head_timer, r->head_timeout_ns);
    c->doomed = c->broken;
    if (c->doomed) event_active(&c->work, EV_TIMEOUT, 0);
    return 0;
}

/* Writes what is in `out`, unless there is nobody to write to. */
static void write_out(struct http_conn *c)
{
    if (c->doomed)
        evbuffer_drain(c->out, evbuffer_get_length(c->out));
    else
        stream_write(c->stream, c->out);
}

static bool method_wants_length(const char *method)
{
    return strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 || strcmp(method, "PATCH") == 0;
}

int http_conn_request(struct http_conn *c, const struct http_request *r)
{
    size_t len = r->body ? evbuffer_get_length(r->body) : 0;
    bool framed = len > 0 || method_wants_length(r->method);
    int error = begin(c, r, framed ? HTTP1_LENGTH : HTTP1_NO_BODY, len);

    if (error < 0) return error;
    if (len > 0) evbuffer_add_buffer(c->out, r->body);
    c->send_over = true;
    write_out(c);
    return 0;
}

int http_conn_request_start(struct http_conn *c, const struct http_request *r)
{
    bool known = r->stream_length >= 0;
    int error = begin(c, r, known ? HTTP1_LENGTH : HTTP1_CHUNKED, known ? r->stream_length : 0);

    if (error < 0) return error;
    write_out(c);
    return 0;
}

void http_conn_send(struct http_conn *c, struct evbuffer *bytes)
{
    size_t len = evbuffer_get_length(bytes);

    if (!c->active || c->doomed || c->broken) {
        evbuffer_drain(bytes, len);
        return;
    }
    ASSERT(!c->send_over);
    if (c->framing == HTTP1_CHUNKED) {
        http1_add_chunk(c->out, bytes);
        write_out(c);
        return;
    }
    ASSERT(len <= c->send_left);
    c->send_left -= len;
    stream_write(c->stream, bytes);
}

void http_conn_send_end(struct http_conn *c)
{
    if (!c->active || c->doomed || c->broken) return;
    ASSERT(!c->send_over && (c->framing == HTTP1_CHUNKED || c->send_left == 0));
    c->send_over = true;
    if (c->framing != HTTP1_CHUNKED) return;
    http1_add_last_chunk(c->out);
    write_out(c);
}

void http_conn_consumed(struct http_conn *c, size_t bytes)
{
    if (bytes > c->held) bytes = c->held;
    c->held -= bytes;
    if (bytes > 0) stream_consumed(c->stream, bytes);
}

bool http_conn_idle(const struct http_conn *c)
{
    return !c->active && !c->broken;
}

struct stream *http_conn_stream(const struct http_conn *c)
{
    return c->stream;
}
