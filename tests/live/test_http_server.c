/* The HTTP server, spoken to in raw bytes: framing, order, limits, deadlines, aborts, upgrades, bounded
 * memory. */
#include "sim/live/certs.h"
#include "sim/live/http_server.h"
#include "sim/live/tls.h"
#include "tests/live/live_test.h"

#include <errno.h>

static struct event_base *base;
static struct http_server *server;
static struct http_server_options options;
static struct probe client;
static char address[TCP_ADDRESS_MAX];

/* What the handler saw and holds. */
static struct http_exchange *held;
static struct stream *upgraded;
static int requests, routes, aborted, body_ends, writables;
static size_t body_bytes, body_check, sent_bytes, pending_max;
static bool lazy; /* streamed body: do not consume */
static bool in_call;

enum { BIG = 64 << 20 };

static void on_body(void *user, struct http_exchange *x, struct evbuffer *body)
{
    size_t n = evbuffer_get_length(body);

    ck_assert(!in_call);
    if (lazy) return;
    body_bytes += n;
    if (strcmp(http_exchange_path(x), "/stream-echo") == 0)
        http_reply_data(x, body);
    else
        evbuffer_drain(body, n);
    http_exchange_consumed(x, n);
}

static void on_body_end(void *user, struct http_exchange *x)
{
    body_ends++;
    if (lazy) return;
    if (strcmp(http_exchange_path(x), "/stream-echo") == 0)
        http_reply_end(x);
    else if (strcmp(http_exchange_path(x), "/upload") == 0)
        http_reply_bytes(x, 200, "text/plain", "got it", 6);
}

/* Sends the big answer as fast as the client reads. */
static void pump_big(struct http_exchange *x)
{
    char piece[32768];
    struct evbuffer *b = evbuffer_new();

    while (sent_bytes < BIG && http_exchange_pending(x) <= STREAM_LOW_MARK) {
        for (size_t i = 0; i < sizeof piece; i++) piece[i] = pattern_at(sent_bytes + i);
        evbuffer_add(b, piece, sizeof piece);
        http_reply_data(x, b);
        sent_bytes += sizeof piece;
        if (http_exchange_pending(x) > pending_max) pending_max = http_exchange_pending(x);
    }
    evbuffer_free(b);
    if (sent_bytes == BIG) http_reply_end(x);
}

static void on_writable(void *user, struct http_exchange *x)
{
    writables++;
    if (strcmp(http_exchange_path(x), "/big") == 0) pump_big(x);
}

static void on_aborted(void *user, struct http_exchange *x)
{
    ck_assert_ptr_eq(user, &aborted);
    ck_assert_ptr_eq(http_exchange_user(x), user);
    ck_assert(http_exchange_gone(x));
    ck_assert_ptr_null(http_exchange_stream(x));
    ck_assert_uint_eq(http_exchange_pending(x), 0);
    aborted++;
    if (strcmp(http_exchange_path(x), "/stream-echo") == 0) http_exchange_abort(x); /* allowed here, too */
}

static const struct http_exchange_handler exchange_handler = {on_body, on_body_end, on_writable, on_aborted};

static enum http_body_mode on_route(void *user, struct http_exchange *x)
{
    const char *path = http_exchange_path(x);

    ck_assert(!in_call);
    routes++;
    http_exchange_set_handler(x, &exchange_handler, &aborted);
    if (strcmp(path, "/denied") == 0) http_reply_error(x, 401, "who are you?");
    if (strcmp(path, "/route-abort") == 0) http_exchange_abort(x);
    if (strcmp(path, "/limit-6") == 0) http_exchange_limit_body(x, 6);
    if (strcmp(path, "/stream-echo") == 0 || strcmp(path, "/upload") == 0 ||
        strcmp(path, "/upgrade-now") == 0)
        return HTTP_BODY_STREAM;
    return HTTP_BODY_BUFFER;
}

static void reply_query(struct http_exchange *x)
{
    char value[16], line[64];
    int r = http_exchange_query(x, "key", value, sizeof value);

    snprintf(line, sizeof line, "%d:%s", r, r >= 0 ? value : "");
    http_reply_bytes(x, 200, NULL, line, strlen(line));
}

static void reply_in_pieces(struct http_exchange *x, int64_t length, size_t n)
{
    struct evbuffer *b = evbuffer_new();

    http_reply_start(x, 200, NULL, length);
    for (size_t i = 0; i < n; i++) {
        evbuffer_add(b, "12345", 5);
        http_reply_data(x, b);
        ck_assert_uint_eq(evbuffer_get_length(b), 0);
    }
    evbuffer_free(b);
    http_reply_end(x);
}

static void reply_upgrade(struct http_exchange *x)
{
    struct http_header headers[] = {{"Upgrade", "raw"}, {0}};

    upgraded = http_exchange_upgrade(x, headers);
}

static void on_request(void *user, struct http_exchange *x)
{
    const char *path = http_exchange_path(x);

    ck_assert(!in_call);
    requests++;
    if (strcmp(path, "/echo") == 0 || strcmp(path, "/limit-6") == 0)
        http_reply(x, 200, NULL, http_exchange_body(x));
    else if (strcmp(path, "/hold") == 0)
        held = x;
    else if (strcmp(path, "/stream-echo") == 0)
        http_reply_start(x, 200, NULL, -1);
    else if (strcmp(path, "/upload") == 0)
        held = x;
    else if (strcmp(path, "/big") == 0)
        http_reply_start(x, 200, NULL, BIG), held = x, pump_big(x);
    else if (strcmp(path, "/quiet") == 0)
        http_reply_start(x, 200, NULL, -1), held = x;
    else if (strcmp(path, "/query") == 0)
        reply_query(x);
    else if (strcmp(path, "/chunks") == 0)
        reply_in_pieces(x, -1, 2);
    else if (strcmp(path, "/counted") == 0)
        reply_in_pieces(x, 10, 2);
    else if (strcmp(path, "/short") == 0)
        reply_in_pieces(x, 10, 1);
    else if (strcmp(path, "/nothing") == 0)
        http_reply_bytes(x, 204, NULL, "ignored", 7);
    else if (strcmp(path, "/abort") == 0)
        http_exchange_abort(x);
    else if (strncmp(path, "/upgrade", 8) == 0)
        reply_upgrade(x);
    else if (strcmp(path, "/who") == 0)
        http_reply_bytes(x, 200, NULL, http_exchange_peer(x), 10);
    else if (strcmp(path, "/free-server") == 0)
        http_server_free(server), server = NULL, http_exchange_abort(x);
    else
        http_reply_error(x, 404, "no such thing");
}

static const char *json_error(void *user, int status, const char *what, struct evbuffer *body)
{
    evbuffer_add_printf(body, "{\"e\":%d}", status);
    return "application/json";
}

static struct http_server_handler handler = {on_route, on_request, NULL};

static void start_server(void)
{
    options.listen = "127.0.0.1:0";
    ck_assert_int_eq(http_server_new(base, &options, &handler, NULL, &server), 0);
    snprintf(address, sizeof address, "127.0.0.1:%d", http_server_port(server));
}

static void dial(void)
{
    struct stream *s;

    if (client.got) probe_deinit(&client, false);
    ck_assert_int_eq(tcp_dial(base, address, NULL, &s), 0);
    probe_init(&client, s);
}

static void start(void)
{
    start_server();
    dial();
}

static void setup(void)
{
    ck_assert_int_eq(tcp_base_new(&base), 0);
}

static void teardown(void)
{
    if (client.got) probe_deinit(&client, false);
    http_server_free(server);
    live_test_base_free(base);
}

static void say(const char *text)
{
    probe_write(&client, text, strlen(text));
}

static char *got_text(void)
{
    evbuffer_add(client.got, "", 1);
    return (char *)evbuffer_pullup(client.got, -1);
}

static void expect(const char *text)
{
    nsec_t until = live_test_now() + 5 * NSEC_PER_S;

    while (probe_len(&client) < strlen(text) && !client.ended && !client.eof && live_test_now() < until)
        live_test_turn(base);
    ck_assert_msg(probe_is(&client, text), "got: %s", got_text());
    evbuffer_drain(client.got, probe_len(&client));
}

#define GET(path)  "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"
#define OK(n)      "HTTP/1.1 200 OK\r\nContent-Length: " #n "\r\n\r\n"
#define TEXT_ERROR "Content-Type: text/plain; charset=utf-8\r\nwindtunnel-unseen: 1\r\n"

START_TEST(plain_exchanges)
{
    start();
    say("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello");
    expect(OK(5) "hello");
    say("POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
        "chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n");
    expect(OK(5) "hello");
    say("HEAD /counted HTTP/1.1\r\nHost: h\r\n\r\n");
    expect("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n");
    say("HEAD /chunks HTTP/1.1\r\nHost: h\r\n\r\n");
    expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    say(GET("/counted"));
    expect(OK(10) "1234512345");
    say(GET("/chunks"));
    expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n5\r\n12345\r\n0\r\n\r\n");
    say(GET("/nothing"));
    expect("HTTP/1.1 204 No Content\r\n\r\n");
    say(GET("/query?a=1&key=x%20y+z&key=2"));
    expect(OK(7) "5:x y z");
    say(GET("/query?k%65y"));
    expect(OK(2) "0:");
    say(GET("/query?keys=1"));
    expect(OK(3) "-2:");
    say(GET("/query?key=%4"));
    expect(OK(4) "-22:");
    say(GET("/query?key=0123456789abcdef"));
    expect(OK(4) "-28:");
    say(GET("/%71uery"));
    expect(OK(3) "-2:");
    say(GET("/missing"));
    expect("HTTP/1.1 404 Not Found\r\n" TEXT_ERROR "Content-Length: 14\r\n\r\nno such thing\n");
    say("HEAD /missing HTTP/1.1\r\nHost: h\r\n\r\n");
    expect("HTTP/1.1 404 Not Found\r\n" TEXT_ERROR "Content-Length: 14\r\n\r\n");
    say(GET("/who"));
    expect(OK(10) "127.0.0.1:");
    ck_assert_uint_eq(http_server_connections(server), 1);
    ck_assert_int_eq(client.eof, 0);
    say("GET /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    expect("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n");
    say("GET /chunks HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    RUN_UNTIL(base, client.eof);
    expect("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n1234512345");
    dial();
    say("GET /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    RUN_UNTIL(base, client.eof);
    expect("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    ck_assert_uint_eq(http_server_connections(server), 0);
}
END_TEST

START_TEST(pipelining_keeps_order)
{
    start();
    say(GET("/hold")
            GET("/counted") "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx" GET("/missing"));
    RUN_UNTIL(base, held);
    live_test_run_ms(base, 20);
    ck_assert_int_eq(requests, 1); /* the others wait */
    in_call = true;
    http_reply_bytes(held, 200, NULL, "first", 5);
    in_call = false;
    expect(OK(5) "first" OK(10) "1234512345" OK(1) "x"
                                                   "HTTP/1.1 404 Not Found\r\n" TEXT_ERROR
                                                   "Content-Length: 14\r\n\r\nno such thing\n");
}
END_TEST

/* Thousands of pipelined requests by a client that does not read: the output stays bounded. */
START_TEST(pipelining_is_bounded)
{
    struct evbuffer *b = evbuffer_new();
    int done;

    options.sndbuf = 128 * 1024;
    start();
    client.consume = false;
    for (int i = 0; i < 1500; i++) {
        evbuffer_add_printf(b, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 10000\r\n\r\n%10000d", i);
        if (i % 100 == 0) stream_write(client.s, b);
    }
    stream_write(client.s, b);
    evbuffer_free(b);
    live_test_run_ms(base, 500);
    done = requests;
    ck_assert_int_lt(done, 900); /* 9 MB: what the kernel's buffers hold at the very most */
    client.consume = true;
    stream_set_handler(client.s, &probe_handler, &client);
    RUN_UNTIL(base, requests == 1500);
    RUN_UNTIL(base, probe_len(&client) == 1500 * (10000 + strlen(OK(10000))));
}
END_TEST

START_TEST(malformed)
{
    static const struct {
        const char *text, *want;
    } samples[] = {
        {"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n"},
        {"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
         "HTTP/1.1 400 Bad Request\r\n"},
        {"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n" GET("/echo"),
         "HTTP/1.1 501 Not Implemented\r\n"},
        {"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\naX" GET("/echo"),
         "HTTP/1.1 400 Bad Request\r\n"},
        {"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 101\r\n\r\n",
         "HTTP/1.1 413 Content Too Large\r\n"},
        {"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 101\r\nExpect: 100-continue\r\n\r\n",
         "HTTP/1.1 413 Content Too Large\r\n"},
        {"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n",
         "HTTP/1.1 413 Content Too Large\r\n"},
        {"GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n"},
        {"GET /%00 HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n"},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 505 HTTP Version Not Supported\r\n"},
        {"\x16\x03\x01\x02", "HTTP/1.1 400 Bad Request\r\n"},
    };
    char *text;

    options.body_bytes_max = 100;
    handler.error_body = _i ? json_error : NULL;
    start_server();
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        dial();
        say(samples[i].text);
        RUN_UNTIL(base, client.eof);
        text = got_text();
        ck_assert_msg(strncmp(text, samples[i].want, strlen(samples[i].want)) == 0, "%zu: %s", i, text);
        ck_assert_ptr_nonnull(strstr(text, "Connection: close\r\n"));
        ck_assert_ptr_nonnull(strstr(text, _i ? "\r\n\r\n{\"e\":" : TEXT_ERROR));
        ck_assert_ptr_null(strstr(text + 1, "HTTP/1.1 200"));
    }
    ck_assert_int_eq(requests, 0);
    ck_assert_uint_eq(http_server_connections(server), 0);
}
END_TEST

START_TEST(deadlines)
{
    options.header_timeout_ns = 60 * NSEC_PER_MS;
    options.body_timeout_ns = 80 * NSEC_PER_MS;
    options.idle_timeout_ns = 100 * NSEC_PER_MS;
    start(); /* nothing is sent: closed without a word */
    RUN_UNTIL(base, client.eof);
    ck_assert_uint_eq(probe_len(&client), 0);
    dial();
    for (const char *c = "GET / HTTP/1.1\r\nHost: h\r\nX: aaaaaaaaaaaaaaaaaaaaaaa"; *c && !client.eof; c++) {
        probe_write(&client, c, 1); /* a drip does not help */
        live_test_run_ms(base, 10);
    }
    RUN_UNTIL(base, client.eof);
    ck_assert_int_eq(strncmp(got_text(), "HTTP/1.1 408 Request Timeout\r\n", 30), 0);
    dial();
    say("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 50\r\n\r\n");
    for (int i = 0; i < 30 && !client.eof; i++) {
        say("x");
        live_test_run_ms(base, 10);
    }
    RUN_UNTIL(base, client.eof);
    ck_assert_int_eq(strncmp(got_text(), "HTTP/1.1 408 Request Timeout\r\n", 30), 0);
    ck_assert_int_eq(aborted, 1); /* `route` had seen it */
    ck_assert_int_eq(requests, 0);
    dial();
    say(GET("/counted"));
    expect(OK(10) "1234512345");
    RUN_UNTIL(base, client.eof); /* idle */
    ck_assert_uint_eq(probe_len(&client), 0);
    /* A request under way has no deadline. */
    dial();
    say(GET("/hold"));
    live_test_run_ms(base, 250);
    ck_assert_ptr_nonnull(held);
    ck_assert_int_eq(client.eof, 0);
    http_reply_bytes(held, 200, NULL, "x", 1);
    expect(OK(1) "x");
}
END_TEST

/* A streamed body may pause as long as the handler does, but not on the client's side. */
START_TEST(stream_deadline)
{
    options.body_timeout_ns = 80 * NSEC_PER_MS;
    lazy = true;
    start();
    say("POST /upload HTTP/1.1\r\nHost: h\r\nContent-Length: 50\r\n\r\nhello");
    live_test_run_ms(base, 200);
    ck_assert_ptr_nonnull(held);
    ck_assert_int_eq(aborted, 0);
    evbuffer_drain(http_exchange_body(held), 5);
    http_exchange_consumed(held, 5);
    RUN_UNTIL(base, client.eof);
    ck_assert_int_eq(strncmp(got_text(), "HTTP/1.1 408 Request Timeout\r\n", 30), 0);
    ck_assert_int_eq(aborted, 1);
    http_exchange_abort(held);
}
END_TEST

static void ask_for_too_much(void)
{
    options.sndbuf = 128 * 1024;
    start();
    client.consume = false;
    say(GET("/big"));
}

/* Who stops reading in mid-reply is cut off: the handler hears of it, and can give back what it holds for it.
 */
START_TEST(a_reply_that_is_not_read_is_ended)
{
    options.idle_timeout_ns = 100 * NSEC_PER_MS;
    ask_for_too_much();
    RUN_UNTIL(base, aborted == 1);
    ck_assert_uint_lt(sent_bytes, BIG);
    ck_assert_uint_eq(http_server_connections(server), 0);
    http_exchange_abort(held);
}
END_TEST

START_TEST(a_slow_reader_makes_progress)
{
    options.idle_timeout_ns = 500 * NSEC_PER_MS;
    ask_for_too_much();
    for (int i = 0; i < 15; i++) {
        struct evbuffer *in = stream_input(client.s);
        size_t n = evbuffer_get_length(in);

        evbuffer_drain(in, n);
        stream_consumed(client.s, n);
        live_test_run_ms(base, 100);
    }
    ck_assert_int_eq(aborted, 0);
    ck_assert_uint_lt(sent_bytes, BIG);
    http_exchange_abort(held);
}
END_TEST

/* An event stream without events: nothing is pending, so nobody is to blame. */
START_TEST(a_quiet_reply_is_not_ended)
{
    options.idle_timeout_ns = 100 * NSEC_PER_MS;
    start();
    say(GET("/quiet"));
    expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    live_test_run_ms(base, 350);
    ck_assert_int_eq(aborted, 0);
    http_reply_end(held);
    expect("0\r\n\r\n");
}
END_TEST

/* The same when the handler has said all. */
START_TEST(the_rest_of_a_reply_is_not_waited_for_without_end)
{
    static char body[1 << 20];

    options.idle_timeout_ns = 100 * NSEC_PER_MS;
    options.sndbuf = 128 * 1024;
    start();
    client.consume = false;
    say("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1048576\r\n\r\n");
    probe_write(&client, body, sizeof body);
    RUN_UNTIL(base, requests == 1);
    ck_assert_uint_eq(http_server_connections(server), 1);
    RUN_UNTIL(base, http_server_connections(server) == 0);
}
END_TEST

START_TEST(expect_continue)
{
    start();
    say("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    expect("HTTP/1.1 100 Continue\r\n\r\n");
    say("hello");
    expect(OK(5) "hello");
    say("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello"); /* did
                                                                                                        not
                                                                                                        wait
                                                                                                      */
    expect(OK(5) "hello");
    say("POST /denied HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    expect("HTTP/1.1 401 Unauthorized\r\n" TEXT_ERROR
           "Content-Length: 13\r\nConnection: close\r\n\r\nwho are you?\n");
    RUN_UNTIL(base, client.eof);
}
END_TEST

/* An early answer: a small rest of the body is read past, a large one ends the connection. */
START_TEST(early_reply)
{
    start();
    say("POST /denied HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhel");
    expect("HTTP/1.1 401 Unauthorized\r\n" TEXT_ERROR "Content-Length: 13\r\n\r\nwho are you?\n");
    say("lo" GET("/counted"));
    expect(OK(10) "1234512345");
    say("POST /denied HTTP/1.1\r\nHost: h\r\nContent-Length: 5000000\r\n\r\n");
    probe_write_pattern(&client, 0, 5000000);
    RUN_UNTIL(base, client.eof);
    expect("HTTP/1.1 401 Unauthorized\r\n" TEXT_ERROR
           "Content-Length: 13\r\nConnection: close\r\n\r\nwho are you?\n");
    dial();
    say("POST /denied HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    RUN_UNTIL(base, client.eof);
    expect("HTTP/1.1 401 Unauthorized\r\n" TEXT_ERROR
           "Content-Length: 13\r\nConnection: close\r\n\r\nwho are you?\n");
    ck_assert_int_eq(requests, 1);
    ck_assert_uint_eq(http_server_connections(server), 0);
}
END_TEST

START_TEST(streamed_echo)
{
    start();
    say("POST /stream-echo HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\nConnection: keep-alive\r\n\r\n");
    expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    say("hello");
    expect("5\r\nhello\r\n");
    say("world" GET("/counted"));
    expect("5\r\nworld\r\n0\r\n\r\n" OK(10) "1234512345");
    say("POST /upload HTTP/1.1\r\nHost: h\r\n\r\n"); /* no body: ends at once */
    expect("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\ngot it");
    ck_assert_int_eq(body_ends, 2);
}
END_TEST

/* 64 MiB up: what a handler does not consume stays with the client. */
START_TEST(big_upload)
{
    size_t sent = 0;

    lazy = true;
    start();
    say("POST /upload HTTP/1.1\r\nHost: h\r\nContent-Length: 67108864\r\n\r\n");
    RUN_UNTIL(base, held);
    while (body_check < BIG) {
        struct evbuffer *body = http_exchange_body(held);
        size_t n = evbuffer_get_length(body);
        const char *bytes;

        while (sent < BIG && stream_pending(client.s) <= STREAM_LOW_MARK) {
            probe_write_pattern(&client, sent, 65536);
            sent += 65536;
        }
        ck_assert_uint_le(n, STREAM_WINDOW + 64 * 1024);
        bytes = (const char *)evbuffer_pullup(body, n);
        for (size_t i = 0; i < n; i++)
            if (bytes[i] != pattern_at(body_check + i)) ck_abort_msg("byte %zu is wrong", body_check + i);
        evbuffer_drain(body, n);
        body_check += n;
        if (n) http_exchange_consumed(held, n);
        live_test_turn(base);
    }
    ck_assert_int_eq(body_ends, 1);
    http_reply_bytes(held, 200, "text/plain", "got it", 6);
    expect("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\ngot it");
}
END_TEST

/* 64 MiB down to a client that pauses. */
START_TEST(big_download)
{
    size_t head = strlen(OK(67108864)), got = 0;

    start();
    say(GET("/big"));
    RUN_UNTIL(base, probe_len(&client) > head);
    ck_assert_int_eq(evbuffer_drain(client.got, head), 0);
    while (got < BIG) {
        got += probe_check_pattern(&client, got);
        client.consume = !client.consume;
        if (client.consume) stream_set_handler(client.s, &probe_handler, &client);
        live_test_turn(base);
    }
    ck_assert_uint_eq(got, BIG);
    ck_assert_uint_le(pending_max, STREAM_LOW_MARK + 32768 + 200);
    ck_assert_int_gt(writables, 0);
}
END_TEST

START_TEST(aborts)
{
    start();
    say(GET("/hold"));
    RUN_UNTIL(base, held);
    stream_free(client.s, true);
    client.s = NULL;
    RUN_UNTIL(base, aborted == 1);
    ck_assert_uint_eq(http_server_connections(server), 0);
    http_reply_bytes(held, 200, NULL, "into the void", 13);

    held = NULL; /* the client closes in order: gone as well */
    dial();
    say(GET("/hold"));
    RUN_UNTIL(base, held);
    stream_shutdown(client.s);
    RUN_UNTIL(base, aborted == 2);
    reply_in_pieces(held, -1, 3);
    RUN_UNTIL(base, client.ended);

    dial();
    say("POST /upload HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhello");
    RUN_UNTIL(base, body_bytes == 5);
    stream_free(client.s, true);
    client.s = NULL;
    RUN_UNTIL(base, aborted == 3);
    http_exchange_abort(held);

    dial();
    say(GET("/abort") GET("/echo"));
    RUN_UNTIL(base, client.ended);
    ck_assert_int_eq(client.end, STREAM_END_RESET);
    dial();
    say(GET("/route-abort"));
    RUN_UNTIL(base, client.ended);
    ck_assert_int_eq(client.end, STREAM_END_RESET);
    dial();
    say(GET("/short"));
    RUN_UNTIL(base, client.ended);
    ck_assert_int_eq(client.end, STREAM_END_RESET);
    ck_assert_int_eq(aborted, 3);
}
END_TEST

/* A client that is gone is told as that, not as room for more. */
START_TEST(a_reset_is_no_room)
{
    int before;

    options.sndbuf = 128 * 1024;
    start();
    client.consume = false;
    say(GET("/big"));
    RUN_UNTIL(base, held && http_exchange_pending(held) > STREAM_LOW_MARK);
    live_test_run_ms(base, 50);
    before = writables;
    stream_free(client.s, true);
    client.s = NULL;
    RUN_UNTIL(base, aborted == 1);
    ck_assert_int_eq(writables, before);
    http_exchange_abort(held);
}
END_TEST

/* A broken chunk after the reply began: cut, and told. */
START_TEST(bad_chunk_in_stream)
{
    start();
    say("POST /upload HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n");
    RUN_UNTIL(base, aborted == 1);
    RUN_UNTIL(base, client.eof);
    ck_assert_int_eq(strncmp(got_text(), "HTTP/1.1 400 Bad Request\r\n", 26), 0);
    http_reply_bytes(held, 200, NULL, "late", 4);
    dial();
    say("POST /stream-echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    RUN_UNTIL(base, requests == 2);
    say("xyz\r\n");
    RUN_UNTIL(base, aborted == 2);
    RUN_UNTIL(base, client.ended);
}
END_TEST

START_TEST(half_close)
{
    options.half_close = true;
    start();
    say(GET("/hold") GET("/counted"));
    stream_shutdown(client.s);
    RUN_UNTIL(base, held);
    live_test_run_ms(base, 30);
    ck_assert_int_eq(aborted, 0);
    http_reply_bytes(held, 200, NULL, "x", 1);
    RUN_UNTIL(base, client.eof);
    expect(OK(1) "x" OK(10) "1234512345");
    dial();
    say("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhello");
    stream_shutdown(client.s);
    RUN_UNTIL(base, aborted == 1); /* half a body is no request */
    ck_assert_int_eq(requests, 2);
}
END_TEST

START_TEST(upgrade)
{
    struct probe raw;

    start();
    say("GET /upgrade HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\nfirst bytes");
    RUN_UNTIL(base, upgraded);
    probe_init(&raw, upgraded);
    RUN_UNTIL(base, probe_is(&raw, "first bytes"));
    expect("HTTP/1.1 101 Switching Protocols\r\nUpgrade: raw\r\nConnection: Upgrade\r\n\r\n");
    probe_write(&raw, "and back", 8);
    expect("and back");
    ck_assert_uint_eq(http_server_connections(server), 0);
    probe_deinit(&raw, false);
}
END_TEST

START_TEST(too_many_connections)
{
    struct probe first;

    options.connections_max = 1;
    start();
    RUN_UNTIL(base, client.ready && http_server_connections(server) == 1);
    first = client;
    stream_set_handler(first.s, &probe_handler, &first);
    client.got = NULL;
    dial();
    say(GET("/echo"));
    RUN_UNTIL(base, client.eof);
    ck_assert_int_eq(strncmp(got_text(), "HTTP/1.1 503 Service Unavailable\r\n", 34), 0);
    probe_deinit(&first, false);
    RUN_UNTIL(base, http_server_connections(server) == 0);
    dial();
    say(GET("/counted"));
    expect(OK(10) "1234512345");
}
END_TEST

START_TEST(draining)
{
    struct probe idle;

    start();
    say(GET("/counted"));
    expect(OK(10) "1234512345");
    idle = client;
    stream_set_handler(idle.s, &probe_handler, &idle);
    client.got = NULL;
    dial();
    say(GET("/hold"));
    RUN_UNTIL(base, held);
    http_server_drain(server);
    RUN_UNTIL(base, idle.eof);
    http_reply_bytes(held, 200, NULL, "x", 1);
    RUN_UNTIL(base, client.eof);
    expect("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx");
    probe_deinit(&idle, false);
    dial();
    RUN_UNTIL(base, client.ended);
    ck_assert_int_eq(client.end, STREAM_END_REFUSED);
}
END_TEST

START_TEST(freed_server)
{
    start();
    say(GET("/hold"));
    RUN_UNTIL(base, held);
    http_server_free(server);
    server = NULL;
    ck_assert(http_exchange_gone(held));
    ck_assert_str_eq(http_exchange_header(held, "host"), "h");
    reply_in_pieces(held, -1, 1);
    RUN_UNTIL(base, client.ended);
    start();
    say(GET("/free-server") GET("/counted"));
    RUN_UNTIL(base, client.ended);
    ck_assert_ptr_null(server);
}
END_TEST

/* The same over TLS. */
START_TEST(over_tls)
{
    static const char *const names[] = {"localhost", NULL};
    struct cert_options ca_options = {.kind = CERT_CA, .common_name = "ca"};
    struct cert_options server_options = {.kind = CERT_SERVER, .common_name = "s", .names = names};
    struct tls_options tls = {.server = true};
    struct tls_context *server_ctx, *client_ctx;
    struct cert *ca, *cert;
    struct stream *s;

    ck_assert_int_eq(cert_new(&ca_options, NULL, &ca), 0);
    ck_assert_int_eq(cert_new(&server_options, ca, &cert), 0);
    tls.cert_pem = cert->cert_pem;
    tls.key_pem = cert->key_pem;
    ck_assert_int_eq(tls_context_new(&tls, &server_ctx, NULL), 0);
    tls = (struct tls_options){.ca_pem = ca->cert_pem};
    ck_assert_int_eq(tls_context_new(&tls, &client_ctx, NULL), 0);
    options.tls = server_ctx;
    start_server();
    tls_context_free(server_ctx);
    ck_assert_int_eq(tcp_dial(base, address, NULL, &s), 0);
    ck_assert_int_eq(tls_wrap_client(base, s, client_ctx, "localhost", &s), 0);
    probe_init(&client, s);
    say(GET("/counted"));
    expect(OK(10) "1234512345");
    say("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello");
    RUN_UNTIL(base, client.eof);
    ck_assert_int_eq(client.ended, 0); /* close_notify came */
    expect("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello");
    tls_context_free(client_ctx);
    probe_deinit(&client, false);
    http_server_free(server);

    /* A client that is not let in learns why: the alert is not overtaken by a reset. */
    tls = (struct tls_options){
        .server = true, .cert_pem = cert->cert_pem, .key_pem = cert->key_pem, .ca_pem = ca->cert_pem};
    ck_assert_int_eq(tls_context_new(&tls, &server_ctx, NULL), 0);
    options.tls = server_ctx;
    start_server();
    tls_context_free(server_ctx);
    tls = (struct tls_options){.ca_pem = ca->cert_pem};
    ck_assert_int_eq(tls_context_new(&tls, &client_ctx, NULL), 0);
    ck_assert_int_eq(tcp_dial(base, address, NULL, &s), 0);
    ck_assert_int_eq(tls_wrap_client(base, s, client_ctx, "localhost", &s), 0);
    probe_init(&client, s);
    say(GET("/counted"));
    RUN_UNTIL(base, client.ended);
    ck_assert_str_eq(client.what, "tls handshake failed: tlsv13 alert certificate required");
    tls_context_free(client_ctx);
    cert_free(ca);
    cert_free(cert);
}
END_TEST

START_TEST(upgrade_with_body)
{
    start();
    say("GET /upgrade-now HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n");
    expect("HTTP/1.1 400 Bad Request\r\n" TEXT_ERROR "Content-Length: 23\r\n\r\nan upgrade with a body\n");
    ck_assert_ptr_null(upgraded);
}
END_TEST

START_TEST(limit_by_route)
{
    options.body_bytes_max = 4;
    start();
    say("POST /limit-6 HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nhello!");
    expect(OK(6) "hello!");
    say("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nhell");
    expect(OK(4) "hell");
    say("POST /limit-6 HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\n\r\nhello!!");
    RUN_UNTIL(base, client.eof);
    ck_assert_int_eq(strncmp(got_text(), "HTTP/1.1 413 Content Too Large\r\n", 32), 0);
}
END_TEST

/* Any cutting of a valid conversation gives the same answers. */
START_TEST(random_cutting)
{
    static const char talk[] =
        GET("/counted") "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
                        "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
                        "chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nT: 1\r\n\r\n" GET(
                            "/chunks") "POST /denied HTTP/1.1\r\nHost: h\r\nContent-Length: "
                                       "4\r\n\r\nwhat" GET("/query?key=1");
    static const char want[] = OK(10) "1234512345" OK(5) "hello" OK(
        5) "hello"
           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n5\r\n12345\r\n0\r\n\r\n"
           "HTTP/1.1 401 Unauthorized\r\n" TEXT_ERROR "Content-Length: 13\r\n\r\nwho are you?\n" OK(3) "1:1";
    unsigned seed = 5;

    start_server();
    for (int round = 0; round < 40; round++) {
        dial();
        for (size_t at = 0, n; at < sizeof talk - 1; at += n) {
            n = 1 + rand_r(&seed) % (round < 10 ? 4 : 60);
            if (n > sizeof talk - 1 - at) n = sizeof talk - 1 - at;
            probe_write(&client, talk + at, n);
            live_test_turn(base);
        }
        expect(want);
    }
}
END_TEST

static void add(TCase *tc)
{
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, plain_exchanges);
    tcase_add_test(tc, pipelining_keeps_order);
    tcase_add_test(tc, pipelining_is_bounded);
    tcase_add_loop_test(tc, malformed, 0, 2);
    tcase_add_test(tc, deadlines);
    tcase_add_test(tc, stream_deadline);
    tcase_add_test(tc, a_reply_that_is_not_read_is_ended);
    tcase_add_test(tc, a_slow_reader_makes_progress);
    tcase_add_test(tc, a_quiet_reply_is_not_ended);
    tcase_add_test(tc, the_rest_of_a_reply_is_not_waited_for_without_end);
    tcase_add_test(tc, expect_continue);
    tcase_add_test(tc, early_reply);
    tcase_add_test(tc, streamed_echo);
    tcase_add_test(tc, big_upload);
    tcase_add_test(tc, big_download);
    tcase_add_test(tc, aborts);
    tcase_add_test(tc, a_reset_is_no_room);
    tcase_add_test(tc, bad_chunk_in_stream);
    tcase_add_test(tc, half_close);
    tcase_add_test(tc, upgrade);
    tcase_add_test(tc, upgrade_with_body);
    tcase_add_test(tc, limit_by_route);
    tcase_add_test(tc, too_many_connections);
    tcase_add_test(tc, draining);
    tcase_add_test(tc, freed_server);
    tcase_add_test(tc, over_tls);
    tcase_add_test(tc, random_cutting);
}

int main(void)
{
    return live_test_main("http_server", add);
}
