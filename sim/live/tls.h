/*
 * TLS 1.3 over any stream. The stream above owns the stream below.
 *
 * A FIN without close_notify is a cut (STREAM_END_RESET); failures of the handshake end the stream with
 * STREAM_END_TLS and a line "tls handshake failed: <reason>".
 */
#pragma once

#include "sim/base/nsec.h"
#include "sim/live/stream.h"

struct event_base;
struct tls_context;

enum {
    TLS_WHY_MAX = 256,  /* room for one line of explanation */
    TLS_NAME_MAX = 256, /* room for a host or common name */
};

/* PEM text, NULL where there is none. All is copied. */
struct tls_options {
    bool server;
    const char *cert_pem; /* own certificate, the chain after it; a server must have one */
    const char *key_pem;  /* its key */
    const char
        *ca_pem;     /* who is trusted: client, to verify the server; server, to demand client certificates */
    bool system_cas; /* client: trust the system's CAs as well */
    bool no_verify;  /* client: accept any server certificate */
    bool no_resumption;          /* no session tickets: every handshake is a full one */
    nsec_t handshake_timeout_ns; /* 0: 15 s */
};

/* Checks and keeps what `o` says. -EINVAL with one line in `ret_why` (may be NULL): no such certificate, key
 * does not match, a client that trusts nobody. -ENOMEM. */
int tls_context_new(const struct tls_options *o, struct tls_context **ret_ctx, char ret_why[TLS_WHY_MAX]);

/* One more reference; returns `ctx`. */
struct tls_context *tls_context_ref(struct tls_context *ctx);

/* Gives up the caller's reference; streams that use it hold their own. NULL is allowed. */
void tls_context_free(struct tls_context *ctx);

/* TLS as client over `below`, which now belongs to the new stream (on failure it still is the caller's).
 * `hostname` is sent as SNI (unless it is an IP address) and the server's certificate must carry it. -ENOMEM,
 * -EINVAL: bad hostname. */
int tls_wrap_client(struct event_base *base, struct stream *below, struct tls_context *ctx,
                    const char *hostname, struct stream **ret_stream);

/* TLS as server over `below`; ownership as above. -ENOMEM. */
int tls_wrap_server(struct event_base *base, struct stream *below, struct tls_context *ctx,
                    struct stream **ret_stream);

/* What the handshake told. `s` must be a stream made here, else false / NULL. */
bool tls_is(const struct stream *s);
/* The handshake resumed an earlier session. */
bool tls_resumed(const struct stream *s);
/* Server: the name that the client asked for (SNI), NULL if none. Valid as long as the stream. */
const char *tls_server_name(const struct stream *s);
/* The common name of the peer's verified certificate, false if it sent none. */
bool tls_peer_name(const struct stream *s, char ret_name[TLS_NAME_MAX]);
