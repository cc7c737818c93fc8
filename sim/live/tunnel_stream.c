#include "sim/live/tunnel_stream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/live/cause.h"
#include "sim/live/http_client.h"
#include "sim/live/tcp.h"
#include "sim/live/tunnel_http.h"
#include "sim/live/ws.h"

struct tunnel_outside {
    struct event_base *base;
    struct tls_context *outer, *inner;
    char edge_address[TCP_ADDRESS_MAX], edge_name[TLS_NAME_MAX];
    nsec_t dial_timeout_ns, answer_timeout_ns;
};

struct tunnel_opening {
    struct event_base *base;
    struct http_conn *conn;
    const struct tunnel_opening_handler *handler;
    void *user;
    char key[WS_KEY_SIZE];
};

int tunnel_outside_new(struct event_base *base, const struct tunnel_outside_options *o,
                       struct tunnel_outside **ret_outside, char ret_why[TLS_WHY_MAX])
{
    struct tls_options outer = {.cert_pem = o->client_cert_pem,
                                .key_pem = o->client_key_pem,
                                .ca_pem = o->edge_ca_pem,
                                .handshake_timeout_ns = o->dial_timeout_ns};
    struct tls_options inner = {.ca_pem = o->tunnel_ca_pem, .handshake_timeout_ns = o->inner_timeout_ns};
    struct tunnel_outside *t = calloc(1, sizeof *t);
    int r;

    if (!t) return -ENOMEM;
    t->base = base;
    t->dial_timeout_ns = o->dial_timeout_ns;
    t->answer_timeout_ns = o->answer_timeout_ns;
    snprintf(t->edge_address, sizeof t->edge_address, "%s", o->edge_address);
    snprintf(t->edge_name, sizeof t->edge_name, "%s", o->edge_name);
    r = tls_context_new(&outer, &t->outer, ret_why);
    if (r == 0) r = tls_context_new(&inner, &t->inner, ret_why);
    if (r < 0) {
        tunnel_outside_free(t);
        return r;
    }
    *ret_outside = t;
    return 0;
}

void tunnel_outside_free(struct tunnel_outside *o)
{
    if (!o) return;
    tls_context_free(o->outer);
    tls_context_free(o->inner);
    free(o);
}

void tunnel_opening_free(struct tunnel_opening *opening)
{
    if (!opening) return;
    http_conn_free(opening->conn, true);
    free(opening);
}

static void end_refused(struct tunnel_opening *opening, const struct http_head *head)
{
    const struct tunnel_opening_handler *h = opening->handler;
    void *user = opening->user;
    int status = head->status >= 400 ? head->status : 502;
    bool unseen = http_head_unseen(head);
    nsec_t retry_after_ns = http_head_retry_after(head);

    tunnel_opening_free(opening); /* and the head */
    h->refused(user, status, unseen, retry_after_ns);
}

static void end_failed(struct tunnel_opening *opening, enum reset_cause cause, const char *what)
{
    const struct tunnel_opening_handler *h = opening->handler;
    void *user = opening->user;
    char copy[TLS_WHY_MAX];

    /* `what` may be the connection's own. */
    snprintf(copy, sizeof copy, "%s", what ? what : "");
    tunnel_opening_free(opening);
    h->failed(user, cause, copy);
}

static void on_head(void *user, const struct http_head *head)
{
    struct tunnel_opening *opening = user;
    const struct tunnel_opening_handler *h = opening->handler;
    void *opener = opening->user;
    struct stream *below, *ws;

    if (!ws_judge_answer(head, opening->key)) {
        end_refused(opening, head);
        return;
    }
    below = http_conn_upgrade(opening->conn);
    opening->conn = NULL;
    if (ws_wrap(opening->base, below, true, NULL, &ws) < 0) {
        stream_free(below, true);
        end_failed(opening, RESET_CUT, "out of memory");
        return;
    }
    tunnel_opening_free(opening);
    h->opened(opener, ws);
}

static void on_failed(void *user, const struct http_failure *f)
{
    end_failed(user, cause_of_failure(f), f->what);
}

static const struct http_conn_handler conn_handler = {.head = on_head, .failed = on_failed};

static int dial(struct tunnel_outside *o, struct stream **ret)
{
    struct tcp_options tcp = {.connect_timeout_ns = o->dial_timeout_ns};
    struct stream *plain;
    int r = tcp_dial(o->base, o->edge_address, &tcp, &plain);

    if (r < 0) return r;
    r = tls_wrap_client(o->base, plain, o->outer, o->edge_name, ret);
    if (r < 0) stream_free(plain, true);
    return r;
}

static int start(struct tunnel_outside *o, struct tunnel_opening *opening, const char *host)
{
    struct http_header headers[WS_CLIENT_HEADERS];
    struct http_request request = {.method = "GET",
                                   .target = "/",
                                   .host = host,
                                   .headers = headers,
                                   .head_timeout_ns = o->answer_timeout_ns};
    struct stream *s;
    int r = ws_make_key(NULL, NULL, opening->key);

    if (r < 0) return r;
    ws_client_headers(opening->key, headers);
    if ((r = dial(o, &s)) < 0) return r;
    r = http_conn_new(o->base, s, 0, &conn_handler, opening, &opening->conn);
    if (r < 0) {
        stream_free(s, true);
        return r;
    }
    return http_conn_request(opening->conn, &request);
}

int tunnel_open(struct tunnel_outside *o, const char *host, const struct tunnel_opening_handler *h,
                void *user, struct tunnel_opening **ret_opening)
{
    struct tunnel_opening *opening = calloc(1, sizeof *opening);
    int r;

    if (!opening) return -ENOMEM;
    *opening = (struct tunnel_opening){.base = o->base, .handler = h, .user = user};
    r = start(o, opening, host);
    if (r < 0) {
        tunnel_opening_free(opening);
        return r;
    }
    *ret_opening = opening;
    return 0;
}

int tunnel_enter(struct tunnel_outside *o, struct stream *below, const char *host, struct stream **ret_stream)
{
    int r = tls_wrap_client(o->base, below, o->inner, host, ret_stream);

    if (r < 0) stream_free(below, true);
    return r;
}
