/* TLS over TCP on loopback, and over TLS: who may talk to whom, what a failure is called, ends, flow control.
 */
#include "sim/live/certs.h"
#include "sim/live/tls.h"
#include "tests/live/live_test.h"

#include <errno.h>

static struct event_base *base;
static struct tcp_listener *listener;
static struct cert *ca, *other_ca, *server_cert, *client_cert, *stray_cert, *expired_cert;
static struct tls_context *server_ctx, *client_ctx;
static struct probe server, client;
static struct tcp_options server_tcp, client_tcp;
static struct stream *accepted_tcp;
static char address[TCP_ADDRESS_MAX];
static bool accept_plain; /* do not wrap what is accepted */

static struct cert *make(enum cert_kind kind, const char *name, const struct cert *issuer, long to_s)
{
    static const char *const names[] = {"*.tunnel.example", "localhost", "127.0.0.1", NULL};
    struct cert_options o = {.kind = kind, .common_name = name, .names = kind == CERT_SERVER ? names : NULL};
    struct cert *c;

    if (to_s) o.from_s = -1000, o.to_s = to_s;
    ck_assert_int_eq(cert_new(&o, issuer, &c), 0);
    return c;
}

static void on_accept(void *user, struct stream *s, const char *peer)
{
    struct stream *over = s;

    if (!accept_plain) ck_assert_int_eq(tls_wrap_server(base, s, server_ctx, &over), 0);
    accepted_tcp = s;
    probe_init(&server, over);
}

static void setup(void)
{
    ca = make(CERT_CA, "ca", NULL, 0);
    other_ca = make(CERT_CA, "other", NULL, 0);
    server_cert = make(CERT_SERVER, "server", ca, 0);
    expired_cert = make(CERT_SERVER, "server", ca, -10);
    client_cert = make(CERT_CLIENT, "the client", ca, 0);
    stray_cert = make(CERT_CLIENT, "a stranger", other_ca, 0);
    ck_assert_int_eq(tcp_base_new(&base), 0);
    ck_assert_int_eq(tcp_listener_new(base, "127.0.0.1:0", &server_tcp, on_accept, NULL, &listener), 0);
    snprintf(address, sizeof address, "127.0.0.1:%d", tcp_listener_port(listener));
}

static void teardown(void)
{
    tcp_listener_free(listener);
    if (client.got) probe_deinit(&client, false);
    if (server.got) probe_deinit(&server, false);
    tls_context_free(server_ctx);
    tls_context_free(client_ctx);
    live_test_base_free(base);
    cert_free(ca);
    cert_free(other_ca);
    cert_free(server_cert);
    cert_free(expired_cert);
    cert_free(client_cert);
    cert_free(stray_cert);
}

static void make_server(const struct tls_options *extra)
{
    struct tls_options o = extra ? *extra : (struct tls_options){0};
    char why[TLS_WHY_MAX] = "";

    o.server = true;
    if (!o.cert_pem) o.cert_pem = server_cert->cert_pem;
    if (!o.key_pem) o.key_pem = server_cert->key_pem;
    ck_assert_msg(tls_context_new(&o, &server_ctx, why) == 0, "%s", why);
}

static void make_client(const struct tls_options *extra)
{
    struct tls_options o = extra ? *extra : (struct tls_options){0};
    char why[TLS_WHY_MAX] = "";

    if (!o.ca_pem) o.ca_pem = ca->cert_pem;
    ck_assert_msg(tls_context_new(&o, &client_ctx, why) == 0, "%s", why);
}

static void dial(const char *hostname)
{
    struct stream *s, *over;

    ck_assert_int_eq(tcp_dial(base, address, &client_tcp, &s), 0);
    ck_assert_int_eq(tls_wrap_client(base, s, client_ctx, hostname, &over), 0);
    probe_init(&client, over);
}

static void open_pair(void)
{
    make_server(NULL);
    make_client(NULL);
    dial("a.tunnel.example");
    RUN_UNTIL(base, server.ready && client.ready);
}

START_TEST(echo_and_clean_end)
{
    make_server(NULL);
    make_client(NULL);
    dial("a.tunnel.example");
    probe_write(&client, "early", 5);
    RUN_UNTIL(base, server.got && probe_is(&server, "early"));
    ck_assert_int_eq(client.ready, 1);
    ck_assert_str_eq(tls_server_name(server.s), "a.tunnel.example");
    ck_assert(tls_is(server.s));
    probe_write(&server, "answer", 6);
    RUN_UNTIL(base, probe_is(&client, "answer"));
    stream_shutdown(client.s);
    RUN_UNTIL(base, server.eof);
    probe_write(&server, " more", 5);
    RUN_UNTIL(base, probe_is(&client, "answer more"));
    ck_assert_int_eq(client.ended + server.ended, 0);
    stream_shutdown(server.s);
    RUN_UNTIL(base, client.ended && server.ended);
    ck_assert_int_eq(client.end, STREAM_END_CLEAN);
    ck_assert_int_eq(server.end, STREAM_END_CLEAN);
}
END_TEST

/* Clients that the server, or that dislike the server: one line each. */
struct failure {
    const char *hostname;
    int trust; /* 0: the CA, 1: another */
    int cert;  /* 0: none, 1: good, 2: a stranger's */
    bool mutual, expired;
    const char *client_what, *server_what;
};

static const struct failure failures[] = {
    {"127.0.0.1", 0, 0, false, false, NULL, NULL},
    {"localhost", 0, 1, true, false, NULL, NULL},
    {"a.b.tunnel.example", 0, 0, false, false,
     "tls handshake failed: certificate verify failed: hostname mismatch", "tls handshake failed: "},
    {"127.0.0.2", 0, 0, false, false, "tls handshake failed: certificate verify failed: IP address mismatch",
     "tls handshake failed: "},
    {"localhost", 1, 0, false, false,
     "tls handshake failed: certificate verify failed: unable to get local issuer certificate",
     "tls handshake failed: tlsv1 alert unknown ca"},
    {"localhost", 0, 0, false, true,
     "tls handshake failed: certificate verify failed: certificate has expired",
     "tls handshake failed: sslv3 alert certificate expired"},
    {"localhost", 0, 0, true, false, "tls handshake failed: tlsv13 alert certificate required",
     "tls handshake failed: peer did not return a certificate"},
    {"localhost", 0, 2, true, false, "tls handshake failed: tlsv1 alert unknown ca",
     "tls handshake failed: certificate verify failed: unable to get local issuer certificate"},
};

START_TEST(verification)
{
    const struct failure *f = &failures[_i];
    const struct cert *own = f->cert == 1 ? client_cert : f->cert == 2 ? stray_cert : NULL;
    struct tls_options s = {.ca_pem = f->mutual ? ca->cert_pem : NULL};
    struct tls_options c = {.ca_pem = f->trust ? other_ca->cert_pem : ca->cert_pem,
                            .cert_pem = own ? own->cert_pem : NULL,
                            .key_pem = own ? own->key_pem : NULL};
    char name[TLS_NAME_MAX];

    if (f->expired) s.cert_pem = expired_cert->cert_pem, s.key_pem = expired_cert->key_pem;
    make_server(&s);
    make_client(&c);
    dial(f->hostname);
    if (!f->client_what) {
        RUN_UNTIL(base, client.ready && server.ready);
        ck_assert_int_eq(tls_peer_name(server.s, name), f->cert == 1);
        if (f->cert == 1) ck_assert_str_eq(name, "the client");
        ck_assert(tls_peer_name(client.s, name));
        ck_assert_str_eq(name, "server");
        return;
    }
    RUN_UNTIL(base, client.ended && server.ended);
    ck_assert_str_eq(client.what, f->client_what);
    ck_assert_int_eq(strncmp(server.what, f->server_what, strlen(f->server_what)), 0);
    ck_assert_int_eq(client.end, STREAM_END_TLS);
    ck_assert_int_eq(server.end, STREAM_END_TLS);
    ck_assert_int_eq(server.ready, 0);
}
END_TEST

START_TEST(not_tls)
{
    struct stream *s;

    /* A server that does not speak it. */
    make_client(NULL);
    make_server(NULL);
    accept_plain = true;
    dial("localhost");
    RUN_UNTIL(base, server.ready);
    probe_write(&server, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
    RUN_UNTIL(base, client.ended);
    ck_assert_int_eq(client.end, STREAM_END_TLS);
    ck_assert_str_eq(client.what, "tls handshake failed: wrong version number");
    probe_deinit(&client, false);
    probe_deinit(&server, false);

    /* A client that does not. */
    accept_plain = false;
    memset(&server, 0, sizeof server);
    ck_assert_int_eq(tcp_dial(base, address, NULL, &s), 0);
    probe_init(&client, s);
    probe_write(&client, "GET / HTTP/1.1\r\n\r\n", 18);
    RUN_UNTIL(base, server.ended);
    ck_assert_int_eq(server.end, STREAM_END_TLS);
    ck_assert_str_eq(server.what, "tls handshake failed: http request");
}
END_TEST

START_TEST(handshake_ends)
{
    struct tls_options hasty = {.handshake_timeout_ns = 50 * NSEC_PER_MS};
    struct stream *s;

    /* Nobody answers. */
    make_client(&hasty);
    accept_plain = true;
    dial("localhost");
    RUN_UNTIL(base, client.ended);
    ck_assert_int_eq(client.end, STREAM_END_TIMEOUT);
    ck_assert_str_eq(client.what, "tls handshake failed: timed out");
    probe_deinit(&client, false);
    probe_deinit(&server, true);
    memset(&server, 0, sizeof server);

    /* The peer closes in the middle. */
    dial("localhost");
    RUN_UNTIL(base, server.ready && probe_len(&server) > 0);
    stream_shutdown(server.s);
    RUN_UNTIL(base, client.ended);
    ck_assert_int_eq(client.end, STREAM_END_TLS);
    ck_assert_str_eq(client.what, "tls handshake failed: the peer closed the connection");
    probe_deinit(&client, false);
    probe_deinit(&server, true);
    memset(&server, 0, sizeof server);

    /* Nobody listens. */
    ck_assert_int_eq(tcp_dial(base, "127.0.0.1:1", NULL, &s), 0);
    ck_assert_int_eq(tls_wrap_client(base, s, client_ctx, "localhost", &s), 0);
    probe_init(&client, s);
    RUN_UNTIL(base, client.ended);
    ck_assert_int_eq(client.end, STREAM_END_REFUSED);
    ck_assert_str_eq(client.what, "connect to 127.0.0.1:1: Connection refused");
}
END_TEST

/* FIN without close_notify is a cut, after whatever came before it. */
START_TEST(cut_is_told)
{
    open_pair();
    probe_write(&server, "half of it", 10);
    stream_shutdown(accepted_tcp);
    RUN_UNTIL(base, client.ended);
    ck_assert(probe_is(&client, "half of it"));
    ck_assert_int_eq(client.eof, 0);
    ck_assert_int_eq(client.end, STREAM_END_RESET);
    ck_assert_str_eq(client.what, "connection cut: end without close_notify");
    stream_free(client.s, true);
    client.s = NULL;
    RUN_UNTIL(base, server.ended);
    ck_assert_int_eq(server.end, STREAM_END_RESET);
}
END_TEST

START_TEST(abort_is_told)
{
    open_pair();
    stream_free(client.s, true);
    client.s = NULL;
    RUN_UNTIL(base, server.ended);
    ck_assert_int_eq(server.end, STREAM_END_RESET);
}
END_TEST

/* Bytes that are no TLS record in mid-stream. */
START_TEST(garbage)
{
    struct evbuffer *b = evbuffer_new();

    open_pair();
    evbuffer_add_printf(b, "%64s", "x");
    stream_write(accepted_tcp, b);
    RUN_UNTIL(base, client.ended);
    ck_assert_int_eq(client.end, STREAM_END_PROTOCOL);
    ck_assert_int_eq(strncmp(client.what, "tls: ", 5), 0);
    evbuffer_free(b);
}
END_TEST

START_TEST(flush_after_free)
{
    client_tcp.sndbuf = 128 * 1024;
    open_pair();
    probe_write_pattern(&client, 0, 8 << 20);
    ck_assert_uint_gt(stream_pending(client.s), 0);
    stream_free(client.s, false);
    client.s = NULL;
    RUN_UNTIL(base, server.eof);
    ck_assert_uint_eq(probe_check_pattern(&server, 0), 8 << 20);
    ck_assert_int_eq(server.ended, 0);
}
END_TEST

/* 64 MiB through a reader that stops again and again. */
START_TEST(slow_reader)
{
    const size_t total = 64 << 20, piece = 100000;
    size_t sent = 0, got = 0, pending_max = 0, held_max = 0;
    unsigned turn = 0;

    open_pair();
    server.consume = false;
    while (got < total) {
        struct evbuffer *in = stream_input(server.s);

        while (sent < total && stream_pending(client.s) <= STREAM_LOW_MARK) {
            size_t n = total - sent < piece ? total - sent : piece;
            probe_write_pattern(&client, sent, n);
            sent += n;
        }
        live_test_turn(base);
        if (stream_pending(client.s) > pending_max) pending_max = stream_pending(client.s);
        if (evbuffer_get_length(in) + evbuffer_get_length(stream_input(accepted_tcp)) > held_max)
            held_max = evbuffer_get_length(in) + evbuffer_get_length(stream_input(accepted_tcp));
        if (evbuffer_get_length(in) > 0 && turn++ % 3 == 0) {
            size_t n = evbuffer_remove_buffer(in, server.got, SIZE_MAX >> 1);
            got += probe_check_pattern(&server, got);
            stream_consumed(server.s, n);
        }
    }
    ck_assert_uint_le(pending_max, STREAM_LOW_MARK + 2 * piece);
    ck_assert_uint_le(held_max, 2 * (STREAM_WINDOW + 64 * 1024));
    ck_assert_int_eq(server.ended + client.ended, 0);
}
END_TEST

START_TEST(writable)
{
    client_tcp.sndbuf = 128 * 1024;
    open_pair();
    server.consume = false;
    probe_write_pattern(&client, 0, 4 << 20);
    live_test_run_ms(base, 50);
    ck_assert_uint_gt(stream_pending(client.s), STREAM_LOW_MARK);
    ck_assert_int_eq(client.writable, 0);
    server.consume = true;
    stream_set_handler(server.s, &probe_handler, &server);
    RUN_UNTIL(base, probe_len(&server) == 4 << 20);
    RUN_UNTIL(base, client.writable == 1);
    probe_check_pattern(&server, 0);
}
END_TEST

START_TEST(resumption)
{
    struct tls_options full = {.no_resumption = _i == 1, .ca_pem = _i == 2 ? ca->cert_pem : NULL};
    struct tls_options own = {.cert_pem = client_cert->cert_pem, .key_pem = client_cert->key_pem};
    char name[TLS_NAME_MAX];

    make_server(&full);
    make_client(_i == 2 ? &own : NULL);
    for (int i = 0; i < 3; i++) {
        memset(&server, 0, sizeof server);
        dial(i < 2 ? "x.tunnel.example" : "y.tunnel.example");
        RUN_UNTIL(base, server.ready && client.ready);
        ck_assert_int_eq(tls_resumed(client.s), i == 1 && _i != 1);
        ck_assert_int_eq(tls_resumed(server.s), i == 1 && _i != 1);
        ck_assert_str_eq(tls_server_name(server.s), i < 2 ? "x.tunnel.example" : "y.tunnel.example");
        if (_i == 2) {
            ck_assert(tls_peer_name(server.s, name));
            ck_assert_str_eq(name, "the client");
        }
        probe_write(&server, "x", 1);
        RUN_UNTIL(base, probe_len(&client) == 1); /* the ticket came before it */
        if (i == 2) break;
        probe_deinit(&client, false);
        probe_deinit(&server, false);
    }
}
END_TEST

/* TLS inside TLS, freed inside a callback. */
START_TEST(nested)
{
    struct stream *inner_server, *inner_client;

    open_pair();
    ck_assert_int_eq(tls_wrap_server(base, server.s, server_ctx, &inner_server), 0);
    ck_assert_int_eq(tls_wrap_client(base, client.s, client_ctx, "inner.tunnel.example", &inner_client), 0);
    evbuffer_free(server.got);
    evbuffer_free(client.got);
    probe_init(&server, inner_server);
    probe_init(&client, inner_client);
    RUN_UNTIL(base, server.ready && client.ready);
    probe_write_pattern(&client, 0, 1 << 20);
    RUN_UNTIL(base, probe_len(&server) == 1 << 20);
    probe_check_pattern(&server, 0);
    client.free_in_data = true;
    probe_write(&server, "x", 1);
    RUN_UNTIL(base, server.eof);
    ck_assert_ptr_null(client.s);
    ck_assert_int_eq(server.ended, 0);
}
END_TEST

START_TEST(bad_contexts)
{
    struct tls_options o = {.server = true};
    struct tls_context *ctx;
    char why[TLS_WHY_MAX];

    ck_assert_int_eq(tls_context_new(&o, &ctx, why), -EINVAL);
    ck_assert_str_eq(why, "a server needs a certificate and a key");
    o.cert_pem = "rubbish";
    o.key_pem = server_cert->key_pem;
    ck_assert_int_eq(tls_context_new(&o, &ctx, why), -EINVAL);
    ck_assert_int_eq(strncmp(why, "bad certificate: ", 17), 0);
    o.cert_pem = server_cert->cert_pem;
    o.key_pem = client_cert->key_pem;
    ck_assert_int_eq(tls_context_new(&o, &ctx, why), -EINVAL);
    ck_assert_int_eq(strncmp(why, "bad private key: ", 17), 0);
    o = (struct tls_options){0};
    ck_assert_int_eq(tls_context_new(&o, &ctx, why), -EINVAL);
    ck_assert_str_eq(why, "no CA is given to verify servers by");
    o.ca_pem = "";
    ck_assert_int_eq(tls_context_new(&o, &ctx, NULL), -EINVAL);
}
END_TEST

static void add(TCase *tc)
{
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, echo_and_clean_end);
    tcase_add_loop_test(tc, verification, 0, sizeof failures / sizeof *failures);
    tcase_add_test(tc, not_tls);
    tcase_add_test(tc, handshake_ends);
    tcase_add_test(tc, cut_is_told);
    tcase_add_test(tc, abort_is_told);
    tcase_add_test(tc, garbage);
    tcase_add_test(tc, flush_after_free);
    tcase_add_test(tc, slow_reader);
    tcase_add_test(tc, writable);
    tcase_add_loop_test(tc, resumption, 0, 3);
    tcase_add_test(tc, nested);
    tcase_add_test(tc, bad_contexts);
}

int main(void)
{
    return live_test_main("tls", add);
}
