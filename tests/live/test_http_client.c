/* The HTTP client against scripted servers (raw bytes) and against the server of this folder. */
#include "sim/live/http_client.h"
#include "sim/live/http_server.h"
#include "tests/live/live_test.h"

#include <errno.h>

static struct event_base *base;
static struct tcp_listener *listener;
static struct probe peer; /* the scripted server's end */
static struct http_conn *conn;
static struct http_server *server;
static char address[TCP_ADDRESS_MAX];

/* What the request's user was told, as one line. */
static char told[4096];
static struct evbuffer *body;
static bool again, upgrade, free_in_head, free_in_end;
static int writables;
static struct stream *upgraded;

static void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void note(const char *format, ...)
{
    size_t n = strlen(told);
    va_list args;

    va_start(args, format);
    vsnprintf(told + n, sizeof told - n, format, args);
    va_end(args);
}

static void request(const char *method, const char *target, const char *text)
{
    struct evbuffer *b = evbuffer_new();
    struct http_request r = {.method = method, .target = target, .host = "h", .body = text ? b : NULL};

    if (text) evbuffer_add(b, text, strlen(text));
    ck_assert_int_eq(http_conn_request(conn, &r), 0);
    evbuffer_free(b);
}

static void on_head(void *user, const struct http_head *head)
{
    note("[%d]", head->status);
    if (upgrade) {
        upgraded = http_conn_upgrade(conn);
        conn = NULL;
    }
    if (free_in_head) {
        http_conn_free(conn, false);
        conn = NULL;
    }
}

static void on_data(void *user, struct evbuffer *b)
{
    size_t n = evbuffer_get_length(b);

    evbuffer_add_buffer(body, b);
    http_conn_consumed(conn, n);
}

static void on_writable(void *user)
{
    writables++;
}

static void on_end(void *user, bool reusable)
{
    note("{%.*s}%s", (int)(evbuffer_get_length(body) > 100 ? 0 : evbuffer_get_length(body)),
         (char *)evbuffer_pullup(body, -1), reusable ? "" : "close");
    if (evbuffer_get_length(body) <= 100) evbuffer_drain(body, evbuffer_get_length(body));
    if (free_in_end) {
        http_conn_free(conn, false);
        conn = NULL;
    } else if (again) {
        again = false;
        request("GET", "/again", NULL);
    }
}

static void on_failed(void *user, const struct http_failure *f)
{
    static const char *const names[] = {"never-sent", "no-answer", "cut", "timed-out", "malformed"};

    note("!%s: %s", names[f->outcome], f->what);
    ck_assert(!http_conn_idle(conn));
    if (free_in_end) {
        http_conn_free(conn, false);
        conn = NULL;
    }
}

static void on_closed(void *user)
{
    note("closed");
}

static const struct http_conn_handler handler = {on_head, on_data, on_writable, on_end, on_failed, on_closed};

static void on_accept(void *user, struct stream *s, const char *from)
{
    probe_init(&peer, s);
}

static void dial(void)
{
    struct stream *s;

    ck_assert_int_eq(tcp_dial(base, address, NULL, &s), 0);
    ck_assert_int_eq(http_conn_new(base, s, 0, &handler, NULL, &conn), 0);
}

static void setup(void)
{
    ck_assert_int_eq(tcp_base_new(&base), 0);
    body = evbuffer_new();
    ck_assert_int_eq(tcp_listener_new(base, "127.0.0.1:0", NULL, on_accept, NULL, &listener), 0);
    snprintf(address, sizeof address, "127.0.0.1:%d", tcp_listener_port(listener));
}

static void teardown(void)
{
    http_conn_free(conn, false);
    if (peer.got) probe_deinit(&peer, false);
    tcp_listener_free(listener);
    http_server_free(server);
    evbuffer_free(body);
    live_test_base_free(base);
}

static void expect_told(const char *text)
{
    RUN_UNTIL(base, strlen(told) >= strlen(text));
    ck_assert_str_eq(told, text);
    told[0] = '\0';
}

static void answer(const char *text)
{
    probe_write(&peer, text, strlen(text));
}

/* The request arrived at the scripted server as `text`. */
static void expect_request(const char *text)
{
    RUN_UNTIL(base, peer.got && probe_len(&peer) >= strlen(text));
    ck_assert(probe_is(&peer, text));
    evbuffer_drain(peer.got, probe_len(&peer));
}

START_TEST(keep_alive)
{
    struct http_header headers[] = {{"X-A", "1"}, {0}};
    struct http_request r = {.method = "DELETE", .target = "/d", .host = "h", .headers = headers};

    dial();
    ck_assert(http_conn_idle(conn));
    request("POST", "/p?q", "hello");
    ck_assert(!http_conn_idle(conn));
    expect_request("POST /p?q HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello");
    answer("HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    expect_told("[200]{hi}");
    ck_assert(http_conn_idle(conn));
    request("POST", "/empty", NULL);
    expect_request("POST /empty HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    expect_told("[200]{abc}");
    ck_assert_int_eq(http_conn_request(conn, &r), 0);
    expect_request("DELETE /d HTTP/1.1\r\nHost: h\r\nX-A: 1\r\n\r\n");
    answer("HTTP/1.1 204 No Content\r\n\r\n");
    expect_told("[204]{}");
    request("HEAD", "/h", NULL);
    expect_request("HEAD /h HTTP/1.1\r\nHost: h\r\n\r\n");
    answer("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    expect_told("[200]{}");
    again = true; /* a request from inside `end` */
    request("GET", "/first", NULL);
    expect_request("GET /first HTTP/1.1\r\nHost: h\r\n\r\n");
    answer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na");
    expect_request("GET /again HTTP/1.1\r\nHost: h\r\n\r\n");
    answer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nb");
    expect_told("[200]{a}[200]{b}close");
    ck_assert(!http_conn_idle(conn));
    request("GET", "/never", NULL);
    ck_assert_str_eq(told, ""); /* not inside the call */
    expect_told("!never-sent: the connection was closed before the request");
}
END_TEST

/* One request, what the server does, and what is told. */
static const struct {
    const char *answer;
    int then; /* 'c' closes, 'r' resets, 'n' nothing */
    const char *told;
} outcomes[] = {
    {"", 'c', "!no-answer: the peer closed the connection"},
    {"", 'r', "!no-answer: connection 127.0.0.1"},
    {"HTTP/1.1 200 OK\r\nContent-", 'c', "!no-answer: the peer closed the connection"},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", 'c', "[200]!cut: the peer closed the connection"},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n", 'c',
     "[200]!cut: the peer closed the connection"},
    {"HTTP/1.1 200 OK\r\n\r\nhello", 'c', "[200]{hello}close"},
    {"HTTP/1.1 200 OK\r\n\r\nhello", 'r', "[200]!cut: connection 127.0.0.1"},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 'c', "[200]{hello}closed"},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200", 'n', "[200]{hello}closed"},
    {"HTTP/1.1 2xx OK\r\n\r\n", 'n', "!malformed: bad status line"},
    {"SSH-2.0-OpenSSH\r\n\r\n", 'n', "!malformed: bad status line"},
    {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 'n',
     "!malformed: more than one Content-Length"},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", 'n', "[200]!malformed: bad chunk size"},
    {"HTTP/1.1 101 Up\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", 'n',
     "[101]!malformed: an upgrade that was not asked for"},
    {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", 'n', "[200]{x}close"},
};

START_TEST(outcome)
{
    free_in_end = _i % 2 && !strstr(outcomes[_i / 2].told, "closed");
    dial();
    request("GET", "/", NULL);
    expect_request("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    answer(outcomes[_i / 2].answer);
    if (outcomes[_i / 2].then == 'r') {
        live_test_run_ms(base, 10); /* else the reset overtakes the answer */
        stream_free(peer.s, true);
        peer.s = NULL;
    }
    if (outcomes[_i / 2].then == 'c') stream_shutdown(peer.s);
    RUN_UNTIL(base, strlen(told) >= strlen(outcomes[_i / 2].told));
    ck_assert_msg(strncmp(told, outcomes[_i / 2].told, strlen(outcomes[_i / 2].told)) == 0, "%s", told);
    ck_assert_int_eq(conn == NULL, free_in_end);
    live_test_run_ms(base, 20);
    ck_assert_msg(!strchr(told, '!') || !strstr(told, "closed") || strstr(told, "closed the"), "%s", told);
}
END_TEST

START_TEST(never_sent)
{
    tcp_listener_free(listener);
    listener = NULL;
    dial();
    request("GET", "/", NULL);
    RUN_UNTIL(base, *told);
    ck_assert_int_eq(strncmp(told, "!never-sent: connect to ", 24), 0);
}
END_TEST

START_TEST(timeouts)
{
    struct http_request r = {.method = "GET", .target = "/", .host = "h", .timeout_ns = 50 * NSEC_PER_MS};

    dial();
    ck_assert_int_eq(http_conn_request(conn, &r), 0);
    expect_told("!timed-out: no answer came in time");
    http_conn_free(conn, true);
    RUN_UNTIL(base, peer.ended);
    probe_deinit(&peer, true);
    memset(&peer, 0, sizeof peer);
    dial();
    r.timeout_ns = 0;
    r.head_timeout_ns = 50 * NSEC_PER_MS;
    ck_assert_int_eq(http_conn_request(conn, &r), 0);
    expect_request("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel");
    live_test_run_ms(base, 100);
    answer("lo");
    expect_told("[200]{hello}");
    r.timeout_ns = 50 * NSEC_PER_MS;
    ck_assert_int_eq(http_conn_request(conn, &r), 0);
    expect_request("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel");
    expect_told("[200]!timed-out: the answer was not complete in time");
}
END_TEST

START_TEST(idle_close)
{
    dial();
    RUN_UNTIL(base, peer.ready);
    stream_shutdown(peer.s);
    expect_told("closed");
    ck_assert(!http_conn_idle(conn));
    request("GET", "/", NULL);
    expect_told("!never-sent: the connection was closed before the request");
}
END_TEST

START_TEST(upgrades)
{
    struct probe raw;

    upgrade = true;
    dial();
    request("GET", "/ws", NULL);
    expect_request("GET /ws HTTP/1.1\r\nHost: h\r\n\r\n");
    answer("HTTP/1.1 101 Up\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nleftover");
    expect_told("[101]");
    probe_init(&raw, upgraded);
    RUN_UNTIL(base, probe_is(&raw, "leftover"));
    probe_write(&raw, "back", 4);
    expect_request("back");
    probe_deinit(&raw, false);
}
END_TEST

START_TEST(freed_in_head)
{
    free_in_head = true;
    dial();
    request("GET", "/", NULL);
    expect_request("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    expect_told("[200]");
    RUN_UNTIL(base, peer.eof);
}
END_TEST

START_TEST(streamed_request)
{
    struct http_request r = {.method = "PUT", .target = "/", .host = "h", .stream_length = -1};
    struct evbuffer *b = evbuffer_new();

    dial();
    ck_assert_int_eq(http_conn_request_start(conn, &r), 0);
    evbuffer_add(b, "hello", 5);
    http_conn_send(conn, b);
    http_conn_send(conn, b); /* empty: nothing */
    evbuffer_add(b, "!", 1);
    http_conn_send(conn, b);
    http_conn_send_end(conn);
    expect_request(
        "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n");
    answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    expect_told("[200]{}");
    r.stream_length = 3;
    ck_assert_int_eq(http_conn_request_start(conn, &r), 0);
    expect_request("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n");
    evbuffer_add(b, "abc", 3);
    http_conn_send(conn, b);
    http_conn_send_end(conn);
    expect_request("abc");
    answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    expect_told("[200]{}");
    /* An answer before the end of the request: it is whole, the connection is used up. */
    ck_assert_int_eq(http_conn_request_start(conn, &r), 0);
    expect_request("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n");
    answer("HTTP/1.1 413 Too Much\r\nContent-Length: 0\r\n\r\n");
    expect_told("[413]{}close");
    evbuffer_add(b, "abc", 3);
    http_conn_send(conn, b); /* too late, harmless */
    http_conn_send_end(conn);
    evbuffer_free(b);
}
END_TEST

static size_t big_sent;

enum { BIG = 64 << 20 };

static void send_big(void *user, struct http_exchange *x)
{
    struct evbuffer *b = evbuffer_new();
    char piece[32768];

    while (big_sent < BIG && http_exchange_pending(x) <= STREAM_LOW_MARK) {
        for (size_t i = 0; i < sizeof piece; i++) piece[i] = pattern_at(big_sent + i);
        evbuffer_add(b, piece, sizeof piece);
        http_reply_data(x, b);
        big_sent += sizeof piece;
    }
    evbuffer_free(b);
    if (big_sent == BIG) http_reply_end(x);
}

static const struct http_exchange_handler sending = {.writable = send_big};

static void serve(void *user, struct http_exchange *x)
{
    if (strcmp(http_exchange_path(x), "/again") == 0) {
        http_reply_bytes(x, 200, NULL, "again", 5);
        return;
    }
    http_exchange_set_handler(x, &sending, NULL);
    http_reply_start(x, 200, NULL, BIG);
    send_big(NULL, x);
}

/* Notes only where the bytes are. */
static void on_big_data(void *user, struct evbuffer *b)
{
    *(struct evbuffer **)user = b;
}

static const struct http_conn_handler big_handler = {on_head, on_big_data, on_writable,
                                                     on_end,  on_failed,   on_closed};

/* Checks, throws away and consumes what lies in `body`. Its length. */
static size_t take_pattern(size_t from)
{
    size_t len = evbuffer_get_length(body);
    const char *bytes = (const char *)evbuffer_pullup(body, len);

    for (size_t i = 0; i < len; i++)
        if (bytes[i] != pattern_at(from + i)) ck_abort_msg("byte %zu is wrong", from + i);
    evbuffer_drain(body, len);
    http_conn_consumed(conn, len);
    return len;
}

/* 64 MiB to a reader that pauses: what it does not consume stays with the server. */
START_TEST(big_answer)
{
    static const struct http_server_handler h = {NULL, serve, NULL};
    struct http_server_options o = {.listen = "127.0.0.1:0"};
    struct evbuffer *in = NULL;
    size_t got = 0;

    ck_assert_int_eq(http_server_new(base, &o, &h, NULL, &server), 0);
    snprintf(address, sizeof address, "127.0.0.1:%d", http_server_port(server));
    dial();
    request("GET", "/", NULL);
    http_conn_set_handler(conn, &big_handler, &in);
    while (got < BIG) {
        live_test_turn(base);
        live_test_turn(base);
        if (!in) continue;
        evbuffer_add_buffer(body, in);
        ck_assert_uint_le(evbuffer_get_length(body), STREAM_WINDOW + 64 * 1024);
        got += take_pattern(got);
    }
    expect_told("[200]{}");
    ck_assert_uint_eq(big_sent, BIG);
    http_conn_set_handler(conn, &handler, NULL);
    request("GET", "/again", NULL);
    expect_told("[200]{again}");
}
END_TEST

static void add(TCase *tc)
{
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, keep_alive);
    tcase_add_loop_test(tc, outcome, 0, 2 * (sizeof outcomes / sizeof *outcomes));
    tcase_add_test(tc, never_sent);
    tcase_add_test(tc, timeouts);
    tcase_add_test(tc, idle_close);
    tcase_add_test(tc, upgrades);
    tcase_add_test(tc, freed_in_head);
    tcase_add_test(tc, streamed_request);
    tcase_add_test(tc, big_answer);
}

int main(void)
{
    return live_test_main("http_client", add);
}
