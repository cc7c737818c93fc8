/*
 * A tunnel stream from outside: how to get one from the edge. TCP, the outer TLS with a client certificate,
 * the WebSocket upgrade with the Host of the stream's end, WebSocket frames; and on that, if wanted, the
 * inner TLS as client.
 */
#pragma once

#include "sim/base/nsec.h"
#include "sim/live/stream.h"
#include "sim/live/tls.h"
#include "sim/world/msg.h"

struct event_base;
struct tunnel_outside;
struct tunnel_opening;

/* What the outside of the tunnels needs to know. */
struct tunnel_outside_options {
    const char *edge_address; /* numeric "ip:port" of the edge's public listener */
    const char *edge_name;    /* the name that its certificate must carry */
    const char *edge_ca_pem;
    const char *client_cert_pem, *client_key_pem; /* what the edge demands */
    const char *tunnel_ca_pem; /* who signs the certificates inside; several may stand one after the other */
    nsec_t dial_timeout_ns;    /* for the connection and the outer TLS together; 0: 10 s, and 15 s for both */
    nsec_t answer_timeout_ns;  /* from tunnel_open() to the edge's answer; 0: none */
    nsec_t inner_timeout_ns;   /* for the inner TLS; 0: 15 s */
};

/* All is copied. -EINVAL with one line in `ret_why`, -ENOMEM. */
int tunnel_outside_new(struct event_base *base, const struct tunnel_outside_options *o,
                       struct tunnel_outside **ret_outside, char ret_why[TLS_WHY_MAX]);
/* Before that, all openings must be freed; streams live on. NULL is allowed. */
void tunnel_outside_free(struct tunnel_outside *o);

/* How an opening ends: one of these is called, once, and frees it. */
struct tunnel_opening_handler {
    /* The edge answered 101: the stream is the callee's. */
    void (*opened)(void *user, struct stream *s);
    /* It answered anything else; `unseen`: its surface did, see HTTP_UNSEEN_HEADER. */
    void (*refused)(void *user, int status, bool unseen, nsec_t retry_after_ns);
    /* It did not come to an answer. `what` is one line, valid in the call only. */
    void (*failed)(void *user, enum reset_cause cause, const char *what);
};

/* Starts. `h` must outlive it. -EINVAL, -EMFILE and the like, -ENOMEM. */
int tunnel_open(struct tunnel_outside *o, const char *host, const struct tunnel_opening_handler *h,
                void *user, struct tunnel_opening **ret_opening);
/* Gives it up; no callback follows. NULL is allowed. */
void tunnel_opening_free(struct tunnel_opening *opening);

/* The inner TLS over an opened stream, which belongs to it then (also on failure). `host` must be in the
 * certificate at the other end. -ENOMEM, -EINVAL: bad host. */
int tunnel_enter(struct tunnel_outside *o, struct stream *below, const char *host,
                 struct stream **ret_stream);
