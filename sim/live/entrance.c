#include "sim/live/entrance.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/list.h"
#include "sim/live/http1.h"
#include "sim/live/tcp.h"
#include "sim/live/tunnel_http.h"
#include "sim/live/tunnel_names.h"

#define HEAD_TIMEOUT_NS (10 * NSEC_PER_S)

enum { CONNECTIONS_MAX = 1024 };

struct entrance {
    struct event_base *base;
    struct tunnel_outside *outside;
    struct tcp_listener *listener;
    struct list passages;
    unsigned count, connections_max;
    nsec_t head_timeout_ns;
};

struct side {
    struct passage *passage;
    struct stream *stream;
    bool eof;   /* it has said all */
    bool ended; /* … and heard all */
};

/* One connection. */
struct passage {
    struct list siblings;
    struct entrance *entrance;
    struct side client, tunnel;
    struct tunnel_opening *opening;
    struct event *timer; /* for the head */
    char host[TUNNEL_HOST_MAX];
};

static void passage_free(struct passage *p, bool abort)
{
    list_remove(&p->siblings);
    p->entrance->count--;
    if (p->timer) event_free(p->timer);
    tunnel_opening_free(p->opening);
    stream_free(p->client.stream, abort);
    stream_free(p->tunnel.stream, abort);
    free(p);
}

/* Answers the client in plain HTTP, and closes. */
static void passage_refuse(struct passage *p, int status, const char *message, nsec_t retry_after_ns)
{
    char seconds[TUNNEL_RETRY_SIZE];
    struct http_header headers[3] = {{"Content-Type", "application/json"}};
    struct evbuffer *body = evbuffer_new(), *out = evbuffer_new();

    if (retry_after_ns) {
        tunnel_retry_text(retry_after_ns, seconds);
        headers[1] = (struct http_header){"Retry-After", seconds};
    }
    if (body && out && tunnel_add_error(body, status, message) == 0 &&
        http1_add_response(out, status, headers, HTTP1_LENGTH, evbuffer_get_length(body), "close") == 0) {
        evbuffer_add_buffer(out, body);
        stream_write(p->client.stream, out);
    }
    if (body) evbuffer_free(body);
    if (out) evbuffer_free(out);
    passage_free(p, false);
}

/* Passing through
 * -------------------------------------------------------------------------------------- */

static void pump(struct side *from, struct side *to)
{
    struct evbuffer *in = stream_input(from->stream);
    size_t n = evbuffer_get_length(in);

    if (n && stream_pending(to->stream) <= STREAM_LOW_MARK) {
        stream_write(to->stream, in);
        stream_consumed(from->stream, n);
        n = 0;
    }
    if (from->eof && n == 0) stream_shutdown(to->stream);
}

static struct side *other(struct side *s)
{
    return s == &s->passage->client ? &s->passage->tunnel : &s->passage->client;
}

static void side_data(void *user, struct evbuffer *in)
{
    struct side *s = user;

    pump(s, other(s));
}

static void side_writable(void *user)
{
    struct side *s = user;

    pump(other(s), s);
}

static void side_eof(void *user)
{
    struct side *s = user;

    s->eof = true;
    pump(s, other(s));
}

static void side_ended(void *user, enum stream_end end, const char *what)
{
    struct side *s = user;

    s->ended = true;
    if (end != STREAM_END_CLEAN)
        passage_free(s->passage, true);
    else if (other(s)->ended)
        passage_free(s->passage, false);
}

static const struct stream_handler side_handler = {
    .data = side_data, .writable = side_writable, .eof = side_eof, .ended = side_ended};

/* The tunnel
 * ------------------------------------------------------------------------------------------- */

static void inner_ready(void *user)
{
    struct passage *p = user;

    stream_set_handler(p->tunnel.stream, &side_handler, &p->tunnel);
    stream_set_handler(p->client.stream, &side_handler, &p->client);
}

static void inner_ended(void *user, enum stream_end end, const char *what)
{
    passage_refuse(user, 502, end == STREAM_END_TLS ? "tls handshake failed" : "the tunnel broke", 0);
}

static const struct stream_handler inner_handler = {.ready = inner_ready, .ended = inner_ended};

static void on_opened(void *user, struct stream *s)
{
    struct passage *p = user;

    p->opening = NULL;
    if (tunnel_enter(p->entrance->outside, s, p->host, &p->tunnel.stream) < 0)
        passage_refuse(p, 502, "the host cannot be reached", 0);
    else
        stream_set_handler(p->tunnel.stream, &inner_handler, p);
}

static void on_refused(void *user, int status, bool unseen, nsec_t retry_after_ns)
{
    struct passage *p = user;

    p->opening = NULL;
    passage_refuse(p, status, status == 404 ? "no such tunnel" : "the tunnel refused the stream",
                   retry_after_ns);
}

static void on_failed(void *user, enum reset_cause cause, const char *what)
{
    struct passage *p = user;

    p->opening = NULL;
    passage_refuse(p, 502, "the tunnel cannot be reached", 0);
}

static const struct tunnel_opening_handler opening_handler = {
    .opened = on_opened, .refused = on_refused, .failed = on_failed};

/* The first head
 * --------------------------------------------------------------------------------------- */

/* Reads the Host out of the input, which stays as it is. 0: not whole yet; a status: what to answer. */
static int read_host(struct evbuffer *in, char host[TUNNEL_HOST_MAX])
{
    size_t len = evbuffer_get_length(in), drained, moved;
    struct evbuffer *copy = evbuffer_new();
    const void *bytes =
        evbuffer_pullup(in, (ev_ssize_t)(len < HTTP1_HEAD_BYTES_MAX ? len : HTTP1_HEAD_BYTES_MAX));
    struct http_head *head = NULL;
    struct http1_parser parser;
    int status = 0;

    http1_parser_init(&parser, HTTP1_REQUEST, NULL);
    if (!copy || !bytes ||
        evbuffer_add(copy, bytes, len < HTTP1_HEAD_BYTES_MAX ? len : HTTP1_HEAD_BYTES_MAX) < 0) {
        status = 503;
    } else {
        switch (http1_parse(&parser, copy, NULL, SIZE_MAX, &drained, &moved)) {
        case HTTP1_HEAD: head = http1_take_head(&parser); break;
        case HTTP1_MORE: status = len >= HTTP1_HEAD_BYTES_MAX ? 431 : 0; break;
        default: status = parser.error_status ? parser.error_status : 400; break;
        }
    }
    if (head && (!*head->host || snprintf(host, TUNNEL_HOST_MAX, "%s", head->host) >= TUNNEL_HOST_MAX))
        status = 400;
    else if (head)
        status = 200;
    http_head_free(head);
    http1_parser_deinit(&parser);
    if (copy) evbuffer_free(copy);
    return status;
}

static void client_data(void *user, struct evbuffer *in)
{
    struct passage *p = user;
    int status;

    if (p->host[0]) return; /* it waits for the tunnel */
    status = read_host(in, p->host);
    if (status == 0) return;
    event_del(p->timer);
    if (status != 200) {
        passage_refuse(p, status, http1_reason(status), 0);
        return;
    }
    if (tunnel_open(p->entrance->outside, p->host, &opening_handler, p, &p->opening) < 0)
        passage_refuse(p, 502, "the edge cannot be reached", 0);
    else
        p->host[strcspn(p->host, ":")] = 0; /* the port is no part of a certificate's name */
}

static void client_ended(void *user, enum stream_end end, const char *what)
{
    passage_free(user, true);
}

static void client_eof(void *user)
{
    struct passage *p = user;

    if (!p->host[0]) passage_free(p, false);
}

static const struct stream_handler client_handler = {
    .data = client_data, .eof = client_eof, .ended = client_ended};

static void on_timer(evutil_socket_t fd, short what, void *user)
{
    passage_refuse(user, 408, "no request came in time", 0);
}

static void on_accepted(void *user, struct stream *s, const char *peer)
{
    struct entrance *e = user;
    struct timeval tv = {.tv_sec = (time_t)(e->head_timeout_ns / NSEC_PER_S),
                         .tv_usec = (suseconds_t)(e->head_timeout_ns % NSEC_PER_S / NSEC_PER_US)};
    struct passage *p = e->count < e->connections_max ? calloc(1, sizeof *p) : NULL;

    if (p) p->timer = event_new(e->base, -1, 0, on_timer, p);
    if (!p || !p->timer) {
        stream_free(s, true);
        free(p);
        return;
    }
    p->entrance = e;
    p->client = (struct side){.passage = p, .stream = s};
    p->tunnel = (struct side){.passage = p};
    list_push_back(&e->passages, &p->siblings);
    e->count++;
    event_add(p->timer, &tv);
    stream_set_handler(s, &client_handler, p);
}

/* Life
 * ------------------------------------------------------------------------------------------------- */

int entrance_new(struct event_base *base, const struct entrance_options *o, struct entrance **ret_entrance)
{
    struct entrance *e = calloc(1, sizeof *e);
    int r;

    if (!e) return -ENOMEM;
    e->base = base;
    e->outside = o->outside;
    e->connections_max = o->connections_max ? o->connections_max : CONNECTIONS_MAX;
    e->head_timeout_ns = o->head_timeout_ns ? o->head_timeout_ns : HEAD_TIMEOUT_NS;
    list_init(&e->passages);
    r = tcp_listener_new(base, o->listen, NULL, on_accepted, e, &e->listener);
    if (r < 0) {
        free(e);
        return r;
    }
    *ret_entrance = e;
    return 0;
}

int entrance_port(const struct entrance *e)
{
    return tcp_listener_port(e->listener);
}

void entrance_free(struct entrance *e)
{
    if (!e) return;
    tcp_listener_free(e->listener);
    list_for_each(p, &e->passages, struct passage, siblings) passage_free(p, true);
    free(e);
}
