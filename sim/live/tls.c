#include "sim/live/tls.h"

#include "sim/base/panic.h"
#include "sim/live/stream_front.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    RECORD_MAX = 16 * 1024, /* plaintext in one TLS record */
    SESSIONS_MAX = 16,      /* hosts that a client context remembers a session of */
};

/* The cheap one first, as Go's library, and so the real connector, has it. */
#define CIPHERS              "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define HANDSHAKE_TIMEOUT_NS (15 * NSEC_PER_S)

struct tls_session {
    char host[TLS_NAME_MAX];
    SSL_SESSION *session;
};

struct tls_context {
    unsigned refs;
    bool server;
    bool no_resumption;
    nsec_t handshake_timeout_ns;
    SSL_CTX *ssl;
    BIO_METHOD *bio;
    struct tls_session sessions[SESSIONS_MAX];
    unsigned next_session; /* the slot that a new host takes */
};

struct tls_stream {
    struct stream stream;
    struct stream_front front;
    struct event timeout;
    struct stream *below;
    struct tls_context *ctx;
    SSL *ssl;
    struct evbuffer *plain;  /* written by the user, not yet encrypted */
    struct evbuffer *cipher; /* encrypted, about to go below */
    size_t drained;          /* taken from below's input and not yet reported as consumed */
    size_t unconsumed;
    bool above_low;
    bool got_data;     /* the peer's first data came through */
    bool read_blocked; /* the window is full: what lies below waits */
    bool shut_wanted, shut_done;
    bool below_eof, below_over;
    enum stream_end below_end;
    char *below_what;
    char host[TLS_NAME_MAX];
};

static struct tls_stream *tls_of(const struct stream *s)
{
    return (struct tls_stream *)s;
}

/* --- the BIO: from below's input, into `cipher` --- */

static int bio_read(BIO *bio, char *to, int size)
{
    struct tls_stream *t = BIO_get_data(bio);
    int n = evbuffer_remove(stream_input(t->below), to, size);

    BIO_clear_retry_flags(bio);
    if (n > 0) {
        t->drained += n;
        return n;
    }
    BIO_set_retry_read(bio);
    return -1;
}

static int bio_write(BIO *bio, const char *from, int size)
{
    struct tls_stream *t = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    return evbuffer_add(t->cipher, from, size) < 0 ? -1 : size;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    return command == BIO_CTRL_FLUSH;
}

static int bio_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

static BIO_METHOD *bio_method_new(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "stream");

    if (!m) return NULL;
    BIO_meth_set_read(m, bio_read);
    BIO_meth_set_write(m, bio_write);
    BIO_meth_set_ctrl(m, bio_ctrl);
    BIO_meth_set_create(m, bio_create);
    return m;
}

/* --- the context --- */

static const char *ssl_reason(void)
{
    unsigned long error = ERR_peek_last_error();
    const char *text = error ? ERR_reason_error_string(error) : NULL;

    return text ? text : "unknown reason";
}

static int refuse(char *ret_why, const char *what)
{
    if (ret_why) snprintf(ret_why, TLS_WHY_MAX, "%s: %s", what, ssl_reason());
    return -EINVAL;
}

static BIO *memory_bio(const char *pem)
{
    return BIO_new_mem_buf(pem, -1);
}

/* The certificate of its own and the rest of the chain. 0 or 1. */
static int use_chain(SSL_CTX *ssl, const char *pem)
{
    BIO *bio = memory_bio(pem);
    X509 *cert = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    int ok = cert && SSL_CTX_use_certificate(ssl, cert) == 1;

    X509_free(cert);
    while (ok && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)))
        ok = SSL_CTX_add0_chain_cert(ssl, cert) == 1;
    if (ok) ERR_clear_error(); /* "no start line" ends the chain */
    BIO_free(bio);
    return ok;
}

static int use_key(SSL_CTX *ssl, const char *pem)
{
    BIO *bio = memory_bio(pem);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
    int ok = key && SSL_CTX_use_PrivateKey(ssl, key) == 1 && SSL_CTX_check_private_key(ssl) == 1;

    EVP_PKEY_free(key);
    BIO_free(bio);
    return ok;
}

/* Trusts every certificate in `pem`; a server also names them when it asks for a client certificate. */
static int use_cas(SSL_CTX *ssl, const char *pem, bool server)
{
    X509_STORE *store = SSL_CTX_get_cert_store(ssl);
    BIO *bio = memory_bio(pem);
    X509 *cert;
    int n = 0, ok = bio != NULL;

    while (ok && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
        ok = X509_STORE_add_cert(store, cert) == 1 && (!server || SSL_CTX_add_client_CA(ssl, cert) == 1);
        X509_free(cert);
        n++;
    }
    if (ok && n > 0) ERR_clear_error();
    BIO_free(bio);
    return ok && n > 0;
}

static int configure_peer(struct tls_context *ctx, const struct tls_options *o, char *ret_why)
{
    int mode = SSL_VERIFY_PEER;

    if (o->ca_pem && !use_cas(ctx->ssl, o->ca_pem, o->server)) return refuse(ret_why, "bad CA certificate");
    if (o->server) {
        mode = o->ca_pem ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT : SSL_VERIFY_NONE;
    } else {
        if (o->system_cas) SSL_CTX_set_default_verify_paths(ctx->ssl);
        if (o->no_verify) mode = SSL_VERIFY_NONE;
        if (!o->ca_pem && !o->system_cas && !o->no_verify) {
            if (ret_why) snprintf(ret_why, TLS_WHY_MAX, "no CA is given to verify servers by");
            return -EINVAL;
        }
    }
    SSL_CTX_set_verify(ctx->ssl, mode, NULL);
    return 0;
}

static int configure_own(struct tls_context *ctx, const struct tls_options *o, char *ret_why)
{
    if (o->server && (!o->cert_pem || !o->key_pem)) {
        if (ret_why) snprintf(ret_why, TLS_WHY_MAX, "a server needs a certificate and a key");
        return -EINVAL;
    }
    if (o->cert_pem && !use_chain(ctx->ssl, o->cert_pem)) return refuse(ret_why, "bad certificate");
    if (o->key_pem && !use_key(ctx->ssl, o->key_pem)) return refuse(ret_why, "bad private key");
    return 0;
}

/* Keeps the newest session of a host, for the next connection to it. */
static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls_stream *t = SSL_get_app_data(ssl);
    struct tls_context *ctx = t->ctx;
    struct tls_session *slot = NULL;

    for (unsigned i = 0; i < SESSIONS_MAX && !slot; i++)
        if (ctx->sessions[i].session && strcmp(ctx->sessions[i].host, t->host) == 0) slot = &ctx->sessions[i];
    if (!slot) slot = &ctx->sessions[ctx->next_session++ % SESSIONS_MAX];
    SSL_SESSION_free(slot->session);
    slot->session = session;
    snprintf(slot->host, sizeof slot->host, "%s", t->host);
    return 1;
}

static int on_server_name(SSL *ssl, int *alert, void *user)
{
    return SSL_TLSEXT_ERR_OK;
}

static void configure_sessions(struct tls_context *ctx)
{
    static const unsigned char session_context[] = "streams";

    if (ctx->server) {
        SSL_CTX_set_session_cache_mode(ctx->ssl, SSL_SESS_CACHE_OFF);
        SSL_CTX_set_session_id_context(ctx->ssl, session_context, sizeof session_context - 1);
        SSL_CTX_set_num_tickets(ctx->ssl, ctx->no_resumption ? 0 : 1);
        SSL_CTX_set_tlsext_servername_callback(ctx->ssl, on_server_name);
    } else if (!ctx->no_resumption) {
        SSL_CTX_set_session_cache_mode(ctx->ssl, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(ctx->ssl, on_new_session);
    }
}

int tls_context_new(const struct tls_options *o, struct tls_context **ret_ctx, char ret_why[TLS_WHY_MAX])
{
    struct tls_context *ctx = calloc(1, sizeof *ctx);
    int r = -ENOMEM;

    if (!ctx) return -ENOMEM;
    ctx->refs = 1;
    ctx->server = o->server;
    ctx->no_resumption = o->no_resumption;
    ctx->handshake_timeout_ns = o->handshake_timeout_ns ? o->handshake_timeout_ns : HANDSHAKE_TIMEOUT_NS;
    ctx->bio = bio_method_new();
    ctx->ssl = SSL_CTX_new(o->server ? TLS_server_method() : TLS_client_method());
    ERR_clear_error();
    if (ctx->ssl && ctx->bio) {
        SSL_CTX_set_min_proto_version(ctx->ssl, TLS1_3_VERSION);
        SSL_CTX_set_ciphersuites(ctx->ssl, CIPHERS);
        SSL_CTX_set_mode(ctx->ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                       SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        configure_sessions(ctx);
        r = configure_own(ctx, o, ret_why);
        if (r >= 0) r = configure_peer(ctx, o, ret_why);
    }
    ERR_clear_error();
    if (r < 0) {
        tls_context_free(ctx);
        return r;
    }
    *ret_ctx = ctx;
    return 0;
}

struct tls_context *tls_context_ref(struct tls_context *ctx)
{
    ctx->refs++;
    return ctx;
}

void tls_context_free(struct tls_context *ctx)
{
    if (!ctx || --ctx->refs > 0) return;
    for (unsigned i = 0; i < SESSIONS_MAX; i++) SSL_SESSION_free(ctx->sessions[i].session);
    SSL_CTX_free(ctx->ssl);
    BIO_meth_free(ctx->bio);
    free(ctx);
}

/* --- the stream: ends --- */

static void tls_end(struct tls_stream *t, enum stream_end end, const char *what)
{
    event_del(&t->timeout);
    evbuffer_drain(t->plain, evbuffer_get_length(t->plain));
    front_end(&t->front, end, what);
}

/* Hands below what was encrypted, and the room that was made. */
static void tls_settle(struct tls_stream *t)
{
    if (evbuffer_get_length(t->cipher) > 0) stream_write(t->below, t->cipher);
    if (t->drained > 0) {
        stream_consumed(t->below, t->drained);
        t->drained = 0;
    }
}

/* The library gave up. Names the reason, as an error of the handshake if no data came through yet: with
 * TLS 1.3 a client learns after its own handshake that the server did not like it. */
static void tls_fail(struct tls_stream *t)
{
    unsigned long error = ERR_peek_last_error();
    bool refused = ERR_GET_REASON(error) >= SSL_AD_REASON_OFFSET && !t->got_data; /* an alert */
    long verdict = SSL_get_verify_result(t->ssl);
    char line[TLS_WHY_MAX];

    if (!t->front.up || refused) {
        bool unverified = ERR_GET_REASON(error) == SSL_R_CERTIFICATE_VERIFY_FAILED && verdict != X509_V_OK;
        snprintf(line, sizeof line, "tls handshake failed: %s%s%s", ssl_reason(), unverified ? ": " : "",
                 unverified ? X509_verify_cert_error_string(verdict) : "");
        tls_end(t, STREAM_END_TLS, line);
    } else {
        snprintf(line, sizeof line, "tls: %s", ssl_reason());
        tls_end(t, STREAM_END_PROTOCOL, line);
    }
    ERR_clear_error();
}

/* What is below has ended and nothing more can be read from it. */
static void tls_end_with_below(struct tls_stream *t)
{
    char line[TLS_WHY_MAX];
    const char *what = t->below_what ? t->below_what : "connection closed";
    bool was_up = t->front.up;

    if (t->below_over && t->below_end != STREAM_END_CLEAN) {
        snprintf(line, sizeof line, "%s%s",
                 was_up || t->below_end != STREAM_END_RESET ? "" : "tls handshake failed: ", what);
        tls_end(t, t->below_end, line);
    } else if (!was_up) {
        tls_end(t, STREAM_END_TLS, "tls handshake failed: the peer closed the connection");
    } else if (!t->front.eof) {
        tls_end(t, STREAM_END_RESET, "connection cut: end without close_notify");
    }
}

/* --- the stream: moving bytes --- */

/* One step of SSL_do_handshake(). */
static void tls_handshake(struct tls_stream *t)
{
    int r;

    ERR_clear_error();
    r = SSL_do_handshake(t->ssl);
    if (r == 1) {
        event_del(&t->timeout);
        front_up(&t->front);
    } else if (SSL_get_error(t->ssl, r) != SSL_ERROR_WANT_READ) {
        tls_fail(t);
    }
}

/* Decrypts one record. False: no more for now. */
static bool tls_read_record(struct tls_stream *t)
{
    unsigned char record[RECORD_MAX];
    size_t n = 0;
    int error;

    ERR_clear_error();
    if (SSL_read_ex(t->ssl, record, sizeof record, &n)) {
        evbuffer_add(t->front.in, record, n);
        t->unconsumed += n;
        t->got_data = true;
        front_data(&t->front);
        return true;
    }
    error = SSL_get_error(t->ssl, 0);
    if (error == SSL_ERROR_ZERO_RETURN)
        front_eof(&t->front);
    else if (error != SSL_ERROR_WANT_READ)
        tls_fail(t);
    return false;
}

static void tls_pump_read(struct tls_stream *t)
{
    bool more = true;

    if (t->front.eof) {
        size_t waste = evbuffer_get_length(stream_input(t->below));
        evbuffer_drain(stream_input(t->below), waste);
        t->drained += waste;
        return;
    }
    while (more && t->unconsumed < STREAM_WINDOW) more = tls_read_record(t);
    t->read_blocked = more;
}

/* Encrypts one record's worth of `plain`. */
static void tls_write_record(struct tls_stream *t)
{
    unsigned char gathered[RECORD_MAX];
    struct evbuffer_iovec first;
    size_t len = evbuffer_get_length(t->plain), n = 0;
    const void *from = gathered;

    if (len > RECORD_MAX) len = RECORD_MAX;
    evbuffer_peek(t->plain, len, NULL, &first, 1);
    if (first.iov_len >= len)
        from = first.iov_base;
    else
        evbuffer_copyout(t->plain, gathered, len);
    ERR_clear_error();
    if (SSL_write_ex(t->ssl, from, len, &n))
        evbuffer_drain(t->plain, n);
    else
        tls_fail(t);
}

static void tls_end_if_closed(struct tls_stream *t)
{
    if (t->front.eof && t->shut_done) tls_end(t, STREAM_END_CLEAN, NULL);
}

/* Encrypts while there is room below; `all`: whether there is room or not. */
static void tls_pump_write(struct tls_stream *t, bool all)
{
    while (!t->front.over && evbuffer_get_length(t->plain) > 0) {
        if (!all && stream_pending(t->below) > STREAM_HIGH_MARK) return;
        tls_write_record(t);
        if (evbuffer_get_length(t->cipher) > STREAM_LOW_MARK) stream_write(t->below, t->cipher);
    }
    if (t->front.over || !t->shut_wanted || t->shut_done) return;
    t->shut_done = true;
    SSL_shutdown(t->ssl);
    stream_write(t->below, t->cipher);
    stream_shutdown(t->below);
    tls_end_if_closed(t);
}

static void tls_check_writable(struct tls_stream *t)
{
    if (!t->above_low || t->front.over || stream_pending(&t->stream) > STREAM_LOW_MARK) return;
    if (t->below_over && t->unconsumed < STREAM_WINDOW) return; /* the end is told, not that there is room */
    t->above_low = false;
    front_writable(&t->front);
}

/* All that can be done now, in both directions. Only from the event loop. */
static void tls_pump(struct tls_stream *t)
{
    if (t->front.over) return;
    if (!t->front.up) tls_handshake(t);
    if (t->front.up && !t->front.over) tls_pump_read(t);
    if (t->front.up && !t->front.over) tls_pump_write(t, false);
    tls_settle(t);
    if (!t->front.over) tls_end_if_closed(t);
    if (!t->front.over && (t->below_eof || t->below_over) && !t->read_blocked) tls_end_with_below(t);
    tls_check_writable(t);
}

/* --- called from below --- */

static void on_below_event(void *user)
{
    struct tls_stream *t = user;

    tls_pump(t);
    front_tell(&t->front);
}

static void on_below_data(void *user, struct evbuffer *in)
{
    on_below_event(user);
}

static void on_below_eof(void *user)
{
    struct tls_stream *t = user;

    t->below_eof = true;
    on_below_event(t);
}

static void on_below_ended(void *user, enum stream_end end, const char *what)
{
    struct tls_stream *t = user;

    t->below_over = true;
    t->below_end = end;
    t->below_what = what ? strdup(what) : NULL;
    on_below_event(t);
}

static const struct stream_handler below_handler = {
    .ready = on_below_event,
    .data = on_below_data,
    .writable = on_below_event,
    .eof = on_below_eof,
    .ended = on_below_ended,
};

static void on_timeout(evutil_socket_t fd, short what, void *user)
{
    struct tls_stream *t = user;

    tls_end(t, STREAM_END_TIMEOUT, "tls handshake failed: timed out");
    front_tell(&t->front);
}

/* --- called from above --- */

static void tls_work(void *layer)
{
    tls_pump(layer);
}

static void tls_set_handler(struct stream *s, const struct stream_handler *h, void *user)
{
    front_set_handler(&tls_of(s)->front, h, user);
}

static struct evbuffer *tls_input(struct stream *s)
{
    return tls_of(s)->front.in;
}

static void tls_write(struct stream *s, struct evbuffer *bytes)
{
    struct tls_stream *t = tls_of(s);

    if (t->front.over || t->shut_wanted) {
        evbuffer_drain(bytes, evbuffer_get_length(bytes));
        return;
    }
    evbuffer_add_buffer(t->plain, bytes);
    if (t->front.up) {
        tls_pump_write(t, false);
        tls_settle(t);
        if (t->front.over) front_defer(&t->front);
    }
    if (stream_pending(s) > STREAM_LOW_MARK) t->above_low = true;
}

static size_t tls_pending(const struct stream *s)
{
    const struct tls_stream *t = tls_of(s);

    return evbuffer_get_length(t->plain) + evbuffer_get_length(t->cipher) + stream_pending(t->below);
}

static void tls_consumed(struct stream *s, size_t bytes)
{
    struct tls_stream *t = tls_of(s);

    ASSERT(bytes <= t->unconsumed);
    t->unconsumed -= bytes;
    if (!t->read_blocked || t->unconsumed >= STREAM_WINDOW) return;
    t->read_blocked = false;
    front_defer(&t->front);
}

static void tls_shutdown(struct stream *s)
{
    struct tls_stream *t = tls_of(s);

    if (t->front.over || t->shut_wanted) return;
    t->shut_wanted = true;
    if (!t->front.up) return;
    tls_pump_write(t, false);
    tls_settle(t);
    if (t->front.over) front_defer(&t->front);
}

static void tls_destroy(struct tls_stream *t)
{
    event_del(&t->timeout);
    front_deinit(&t->front);
    SSL_free(t->ssl);
    if (t->plain) evbuffer_free(t->plain);
    if (t->cipher) evbuffer_free(t->cipher);
    tls_context_free(t->ctx);
    free(t->below_what);
    free(t);
}

/* An orderly end encrypts what is queued at once, so that only the stream below has to linger. */
static void tls_free(struct stream *s, bool abort)
{
    struct tls_stream *t = tls_of(s);
    struct stream *below = t->below;

    stream_set_handler(below, NULL, NULL);
    if (!abort && t->front.up && !t->front.over) {
        t->shut_wanted = true;
        tls_pump_write(t, true);
    }
    if (!abort) tls_settle(t);
    SSL_set_quiet_shutdown(t->ssl, 1);
    tls_destroy(t);
    stream_free(below, abort);
}

static const struct stream_ops tls_ops = {
    .set_handler = tls_set_handler,
    .input = tls_input,
    .write = tls_write,
    .pending = tls_pending,
    .consumed = tls_consumed,
    .shutdown = tls_shutdown,
    .free = tls_free,
};

/* --- making one --- */

static bool is_ip(const char *host)
{
    unsigned char address[16];

    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

/* Says who the server must be, and offers the last session with it. */
static int expect_host(struct tls_stream *t, const char *host)
{
    if (*host == '\0' || strlen(host) >= sizeof t->host) return -EINVAL;
    snprintf(t->host, sizeof t->host, "%s", host);
    if (is_ip(host)) {
        if (!X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(t->ssl), host)) return -EINVAL;
    } else {
        SSL_set_hostflags(t->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        if (!SSL_set1_host(t->ssl, host) || !SSL_set_tlsext_host_name(t->ssl, host)) return -EINVAL;
    }
    for (unsigned i = 0; i < SESSIONS_MAX; i++) {
        struct tls_session *known = &t->ctx->sessions[i];
        if (known->session && strcmp(known->host, host) == 0) SSL_set_session(t->ssl, known->session);
    }
    return 0;
}

static int attach_bio(struct tls_stream *t)
{
    BIO *bio = BIO_new(t->ctx->bio);

    if (!bio) return -ENOMEM;
    BIO_set_data(bio, t);
    SSL_set_bio(t->ssl, bio, bio);
    return 0;
}

static int tls_init(struct tls_stream *t, struct event_base *base, const char *hostname)
{
    event_assign(&t->timeout, base, -1, 0, on_timeout, t);
    if (front_init(&t->front, base, tls_work, t) < 0) return -ENOMEM;
    t->plain = evbuffer_new();
    t->cipher = evbuffer_new();
    t->ssl = SSL_new(t->ctx->ssl);
    if (!t->plain || !t->cipher || !t->ssl || attach_bio(t) < 0) return -ENOMEM;
    SSL_set_app_data(t->ssl, t);
    if (t->ctx->server) {
        SSL_set_accept_state(t->ssl);
        return 0;
    }
    SSL_set_connect_state(t->ssl);
    return expect_host(t, hostname);
}

static int tls_wrap(struct event_base *base, struct stream *below, struct tls_context *ctx,
                    const char *hostname, struct stream **ret_stream)
{
    struct tls_stream *t = calloc(1, sizeof *t);
    struct timeval timeout = {.tv_sec = ctx->handshake_timeout_ns / NSEC_PER_S,
                              .tv_usec = ctx->handshake_timeout_ns % NSEC_PER_S / NSEC_PER_US};
    int r;

    if (!t) return -ENOMEM;
    t->stream.ops = &tls_ops;
    t->ctx = ctx;
    ctx->refs++;
    r = tls_init(t, base, hostname);
    if (r < 0) {
        tls_destroy(t);
        return r;
    }
    t->below = below;
    stream_set_handler(below, &below_handler, t);
    event_add(&t->timeout, &timeout);
    if (!ctx->server) front_defer(&t->front); /* the hello may be queued before the stream below is up */
    *ret_stream = &t->stream;
    return 0;
}

int tls_wrap_client(struct event_base *base, struct stream *below, struct tls_context *ctx,
                    const char *hostname, struct stream **ret_stream)
{
    ASSERT(!ctx->server);
    return tls_wrap(base, below, ctx, hostname, ret_stream);
}

int tls_wrap_server(struct event_base *base, struct stream *below, struct tls_context *ctx,
                    struct stream **ret_stream)
{
    ASSERT(ctx->server);
    return tls_wrap(base, below, ctx, NULL, ret_stream);
}

bool tls_is(const struct stream *s)
{
    return s->ops == &tls_ops;
}

bool tls_resumed(const struct stream *s)
{
    return tls_is(s) && SSL_session_reused(tls_of(s)->ssl);
}

const char *tls_server_name(const struct stream *s)
{
    return tls_is(s) ? SSL_get_servername(tls_of(s)->ssl, TLSEXT_NAMETYPE_host_name) : NULL;
}

bool tls_peer_name(const struct stream *s, char ret_name[TLS_NAME_MAX])
{
    X509 *cert;
    int n;

    if (!tls_is(s)) return false;
    cert = SSL_get0_peer_certificate(tls_of(s)->ssl);
    if (!cert || SSL_get_verify_result(tls_of(s)->ssl) != X509_V_OK) return false;
    n = X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, ret_name, TLS_NAME_MAX);
    return n > 0;
}
