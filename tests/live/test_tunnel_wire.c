/* The tunnel's surfaces: requests through the whole chain, and what becomes of them when parts of it go. */
#include "tests/live/tunnel_chain.h"

#include "sim/live/mcp_codec.h"
#include "tests/live/live_test.h"

#include <inttypes.h>

#define FILES  "files.t0.tunnel.test"
#define SEARCH "search.t0.tunnel.test"
/* One connection, and waits that a test can afford. */
#define TUNNELS(more)                                                                                        \
    "{\"count\":1,\"connections\":1,\"spacing\":\"1ms\",\"backoff\":{\"connection_base\":\"1ms\","           \
    "\"supervisor_base\":\"1ms\"}" more "}"

static struct chain chain;

static void start(const char *tunnels)
{
    memset(&chain, 0, sizeof chain);
    chain_init(&chain, tunnels);
}

static void start_up(const char *tunnels)
{
    start(tunnels);
    RUN_UNTIL(chain.base, chain_counter(&chain, COUNTER_HANDSHAKES) >= 1);
}

static void run_fetch(struct fetch *f)
{
    RUN_UNTIL(chain.base, f->ended || f->failed);
}

static struct ledger_totals streams(void)
{
    struct ledger_totals t;

    ledger_totals(recorder_ledger(chain.recorder), ACCOUNT_STREAM, &t);
    return t;
}

static void fetch_once(struct fetch *f, const char *host, const char *target)
{
    fetch_init(f, &chain);
    fetch_send(f, "GET", host, target, NULL, NULL);
    run_fetch(f);
}

START_TEST(a_request_passes_untouched)
{
    struct http_header headers[] = {{"Accept", "text/event-stream"},
                                    {"Mcp-Session-Id", "x y"},
                                    {"Connection", "X-Private"},
                                    {"X-Private", "1"},
                                    {MCP_ATTEMPT_HEADER, "00000000000000ff"},
                                    {NULL, NULL}};
    struct fetch f;

    start_up(TUNNELS(""));
    fetch_init(&f, &chain);
    fetch_send(&f, "POST", FILES, "/a%20b/c?q=%22&r", headers, "the body");
    run_fetch(&f);
    ck_assert_msg(f.ended, "%s", f.what);
    ck_assert_int_eq(f.status, 200);
    ck_assert_str_eq(f.body, "the body");
    ck_assert_ptr_eq(strstr(chain.last_head, "POST /a%20b/c?q=%22&r\nhost: 127.0.0.1:"), chain.last_head);
    ck_assert_ptr_nonnull(strstr(chain.last_head, "Accept: text/event-stream\n"));
    ck_assert_ptr_nonnull(strstr(chain.last_head, "Mcp-Session-Id: x y\n"));
    ck_assert_ptr_nonnull(strstr(chain.last_head, "windtunnel-attempt: 00000000000000ff\n"));
    ck_assert_ptr_nonnull(strstr(chain.last_head, "X-Forwarded-Host: " FILES "\n"));
    ck_assert_ptr_nonnull(strstr(chain.last_head, "Content-Length: 8\n"));
    ck_assert_ptr_null(strstr(chain.last_head, "X-Private"));
    ck_assert(f.reusable);

    /* Another one on the same connection, and its answer's headers. */
    fetch_send(&f, "PUT", FILES, "/teapot", NULL, "tea");
    run_fetch(&f);
    ck_assert_int_eq(f.status, 418);
    ck_assert_str_eq(f.body, "tea");
    ck_assert_int_eq(chain.requests, 2);
    fetch_deinit(&f);
    chain_deinit(&chain);
}
END_TEST

START_TEST(answers_without_bodies)
{
    struct fetch f;

    start_up(TUNNELS(""));
    fetch_init(&f, &chain);
    fetch_send(&f, "HEAD", FILES, "/bytes/1000", NULL, NULL);
    run_fetch(&f);
    ck_assert(f.ended && f.reusable);
    ck_assert_int_eq(f.status, 200);
    ck_assert_uint_eq(f.bytes, 0);
    fetch_send(&f, "DELETE", FILES, "/none", NULL, NULL);
    run_fetch(&f);
    ck_assert(f.ended && f.reusable);
    ck_assert_uint_eq(f.bytes, 0);
    fetch_deinit(&f);
    chain_deinit(&chain);
}
END_TEST

START_TEST(large_answers_come_whole)
{
    struct fetch f[8];

    start_up(TUNNELS(""));
    for (int i = 0; i < 8; i++) {
        fetch_init(&f[i], &chain);
        fetch_send(&f[i], "GET", "FILES.T0.tunnel.test:80", i % 2 ? "/bytes/400000" : "/chunked/400001", NULL,
                   NULL);
    }
    for (int i = 0; i < 8; i++) {
        run_fetch(&f[i]);
        ck_assert_msg(f[i].ended, "%s", f[i].what);
        ck_assert_uint_eq(f[i].bytes, i % 2 ? 400000 : 400001);
        ck_assert_uint_eq(f[i].wrong, 0);
        fetch_deinit(&f[i]);
    }
    RUN_UNTIL(chain.base, streams().open == 0);
    ck_assert_uint_eq(streams().opened, 8);
    ck_assert_uint_eq(streams().ends[LEDGER_COMPLETED] + streams().ends[LEDGER_LOST], 8);
    chain_deinit(&chain);
}
END_TEST

static void drip(const char *text)
{
    struct evbuffer *b = evbuffer_new();

    evbuffer_add(b, text, strlen(text));
    http_reply_data(chain.held[0], b);
    evbuffer_free(b);
}

START_TEST(events_come_at_once)
{
    struct fetch f;

    start_up(TUNNELS(""));
    fetch_init(&f, &chain);
    fetch_send(&f, "GET", FILES, "/drip", NULL, NULL);
    RUN_UNTIL(chain.base, f.status == 200);
    drip("one");
    RUN_UNTIL(chain.base, f.bytes == 3);
    drip("two");
    RUN_UNTIL(chain.base, f.bytes == 6);
    http_reply_end(chain.held[0]);
    chain.held_count = 0;
    run_fetch(&f);
    ck_assert(f.ended && f.reusable);
    ck_assert_str_eq(f.body, "onetwo");
    fetch_deinit(&f);
    chain_deinit(&chain);
}
END_TEST

START_TEST(streams_end_in_order)
{
    struct fetch f;

    start_up(TUNNELS(""));
    for (int i = 0; i < 3; i++) {
        fetch_once(&f, FILES, "/bytes/10");
        ck_assert(f.ended);
        http_conn_free(f.conn, false);
    }
    RUN_UNTIL(chain.base, streams().open == 0);
    ck_assert_uint_eq(streams().ends[LEDGER_COMPLETED], 3);
    chain_deinit(&chain);
}
END_TEST

START_TEST(an_unknown_tunnel_is_404)
{
    static const char *const hosts[] = {"files.t1.tunnel.test", "files.t0.tunnel.other", "x",
                                        "files.t00.tunnel.test", "t0.tunnel.test"};
    struct fetch f;

    start_up(TUNNELS(""));
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        fetch_once(&f, hosts[i], "/");
        ck_assert_int_eq(f.status, 404);
        ck_assert_str_eq(f.type, "application/json");
        ck_assert_ptr_nonnull(strstr(f.body, "no such tunnel"));
        fetch_deinit(&f);
    }
    ck_assert_int_eq(chain.requests, 0);
    chain_deinit(&chain);
}
END_TEST

START_TEST(an_unknown_server_is_404_inside)
{
    struct fetch f;

    start_up(TUNNELS(""));
    fetch_once(&f, "other.t0.tunnel.test", "/");
    ck_assert_int_eq(f.status, 404);
    ck_assert_ptr_nonnull(strstr(f.body, "no route for host"));
    fetch_deinit(&f);
    chain_deinit(&chain);
}
END_TEST

START_TEST(without_a_connection_is_502)
{
    struct fetch f;

    start(TUNNELS(""));
    chain.carriers.refuse = true;
    fetch_once(&f, FILES, "/");
    ck_assert_int_eq(f.status, 502);
    fetch_deinit(&f);
    ck_assert_uint_eq(chain_counter(&chain, COUNTER_HANDSHAKES), 0);
    chain.carriers.refuse = false;
    RUN_UNTIL(chain.base, chain_counter(&chain, COUNTER_HANDSHAKES) == 1);
    fetch_once(&f, FILES, "/bytes/5");
    ck_assert_int_eq(f.status, 200);
    fetch_deinit(&f);
    chain_deinit(&chain);
}
END_TEST

START_TEST(an_upstream_that_is_down_is_502)
{
    struct fetch f;

    start_up(TUNNELS(""));
    fetch_once(&f, SEARCH, "/");
    ck_assert_int_eq(f.status, 502);
    ck_assert_str_eq(f.type, "application/json");
    ck_assert_ptr_nonnull(strstr(f.body, "the upstream cannot be reached"));
    ck_assert(f.reusable);
    fetch_deinit(&f);
    fetch_once(&f, FILES, "/abort");
    ck_assert_int_eq(f.status, 502);
    fetch_deinit(&f);
    /* Broken in mid-answer: so is the caller's. */
    fetch_once(&f, FILES, "/cut");
    ck_assert(f.failed);
    fetch_deinit(&f);
    chain_deinit(&chain);
}
END_TEST

START_TEST(a_lost_carrier_breaks_its_streams)
{
    struct fetch f, g;

    start_up(TUNNELS(""));
    fetch_init(&f, &chain);
    f.hold = true;
    fetch_send(&f, "GET", FILES, "/bytes/50000000", NULL, NULL);
    fetch_init(&g, &chain);
    fetch_send(&g, "GET", FILES, "/hold", NULL, NULL);
    RUN_UNTIL(chain.base, f.status == 200 && chain.held_count == 1);
    chain_relay_cut(&chain.carriers);
    RUN_UNTIL(chain.base, g.failed && chain.held_count == 0 && streams().open == 0);
    ck_assert_uint_eq(streams().ends[LEDGER_LOST], 2);
    fetch_deinit(&f);
    fetch_deinit(&g);
    /* And the tunnel comes back. */
    RUN_UNTIL(chain.base, chain_counter(&chain, COUNTER_HANDSHAKES) == 2);
    fetch_once(&f, FILES, "/bytes/400000");
    ck_assert_uint_eq(f.bytes, 400000);
    ck_assert_uint_eq(f.wrong, 0);
    fetch_deinit(&f);
    ck_assert_uint_eq(histogram_count(recorder_histogram(chain.recorder, METRIC_TUNNEL_USABLE)), 1);
    chain_deinit(&chain);
}
END_TEST

START_TEST(a_killed_gateway_breaks_its_streams)
{
    struct fetch f;

    start_up(TUNNELS(""));
    fetch_init(&f, &chain);
    fetch_send(&f, "GET", FILES, "/hold", NULL, NULL);
    RUN_UNTIL(chain.base, chain.held_count == 1);
    chain_kill_gateway(&chain);
    RUN_UNTIL(chain.base, f.failed && chain.held_count == 0);
    fetch_deinit(&f);
    fetch_once(&f, FILES, "/");
    ck_assert_int_eq(f.status, 502);
    fetch_deinit(&f);
    chain_start_gateway(&chain, 1);
    RUN_UNTIL(chain.base, chain_counter(&chain, COUNTER_HANDSHAKES) == 2);
    fetch_once(&f, FILES, "/bytes/7");
    ck_assert_int_eq(f.status, 200);
    fetch_deinit(&f);
    chain_deinit(&chain);
}
END_TEST

START_TEST(a_client_that_leaves_ends_the_call)
{
    struct fetch f;

    start_up(TUNNELS(""));
    fetch_init(&f, &chain);
    fetch_send(&f, "GET", FILES, "/hold", NULL, NULL);
    RUN_UNTIL(chain.base, chain.held_count == 1);
    fetch_deinit(&f);
    RUN_UNTIL(chain.base, chain.held_count == 0 && streams().open == 0);
    chain_deinit(&chain);
}
END_TEST

START_TEST(a_slow_reader_is_bounded)
{
    struct fetch f, g;
    uint64_t before;

    start_up(TUNNELS(""));
    fetch_init(&f, &chain);
    f.hold = true;
    fetch_send(&f, "GET", FILES, "/bytes/100000000", NULL, NULL);
    RUN_UNTIL(chain.base, f.status == 200);
    for (before = 1; before != chain.served;) {
        before = chain.served;
        live_test_run_ms(chain.base, 300);
    }
    /* Windows and the kernel's buffers of six hops. */
    ck_assert_msg(chain.served < 40000000, "%llu bytes", (unsigned long long)chain.served);
    /* Others go on beside it. */
    fetch_once(&g, FILES, "/bytes/400000");
    ck_assert_uint_eq(g.bytes, 400000);
    fetch_deinit(&g);
    fetch_resume(&f);
    RUN_UNTIL(chain.base, f.bytes > 60000000 || f.failed);
    ck_assert(!f.failed);
    ck_assert_uint_eq(f.wrong, 0);
    fetch_deinit(&f);
    RUN_UNTIL(chain.base, streams().open == 0);
    live_test_run_ms(chain.base, 100);
    chain_deinit(&chain);
}
END_TEST

START_TEST(pings_keep_a_connection)
{
    struct fetch f;

    start_up(TUNNELS(",\"detect\":\"300ms\""));
    live_test_run_ms(chain.base, 1200);
    ck_assert_uint_eq(chain_counter(&chain, COUNTER_TIMEOUTS), 0);
    ck_assert_uint_eq(chain_counter(&chain, COUNTER_HANDSHAKES), 1);
    fetch_once(&f, FILES, "/bytes/1");
    ck_assert_int_eq(f.status, 200);
    fetch_deinit(&f);
    chain_deinit(&chain);
}
END_TEST

START_TEST(a_drained_connector_lets_streams_end)
{
    struct ledger_totals t;
    struct fetch f, g;

    start_up(TUNNELS(""));
    fetch_init(&f, &chain);
    fetch_send(&f, "GET", FILES, "/hold", NULL, NULL);
    RUN_UNTIL(chain.base, chain.held_count == 1);
    chain_drain(&chain);
    live_test_run_ms(chain.base, 100);
    fetch_once(&g, FILES, "/bytes/1");
    ck_assert_int_eq(g.status, 502);
    fetch_deinit(&g);
    http_reply_bytes(chain.held[0], 200, NULL, "late", 4);
    chain.held_count = 0;
    run_fetch(&f);
    ck_assert_str_eq(f.body, "late");
    http_conn_free(f.conn, false);
    do {
        live_test_run_ms(chain.base, 20);
        ledger_totals(recorder_ledger(chain.recorder), ACCOUNT_CONNECTION, &t);
    } while (t.open);
    ck_assert_uint_eq(t.ends[LEDGER_COMPLETED], 1);
    RUN_UNTIL(chain.base, !chain.carriers.wires[0].ends[0]);
    chain_deinit(&chain);
}
END_TEST

START_TEST(a_wrong_token_is_refused)
{
    struct fetch f;

    memset(&chain, 0, sizeof chain);
    strcpy(chain.token, "wrong");
    chain_init(&chain, TUNNELS(""));
    RUN_UNTIL(chain.base, chain_counter(&chain, COUNTER_AUTH_REFUSED) >= 2);
    ck_assert_uint_eq(chain_counter(&chain, COUNTER_HANDSHAKES), 0);
    fetch_once(&f, FILES, "/");
    ck_assert_int_eq(f.status, 502);
    fetch_deinit(&f);
    chain_deinit(&chain);
}
END_TEST

/* Many requests while carriers are cut, gateways killed, and clients leave. */
enum { CHAOS_FETCHES = 12, CHAOS_ROUNDS = 400 };

static uint64_t chaos_seed;
static uint32_t chance(uint32_t below)
{
    chaos_seed = chaos_seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(chaos_seed >> 33) % below;
}

static void chaos_fetch(struct fetch *f)
{
    char target[64];

    snprintf(target, sizeof target, chance(2) ? "/bytes/%u" : "/chunked/%u", chance(600000));
    if (!f->conn || f->failed || !f->reusable) {
        fetch_deinit(f);
        fetch_init(f, &chain);
    }
    fetch_send(f, "GET", chance(20) ? FILES : SEARCH, target, NULL, NULL);
}

START_TEST(chaos_leaves_nothing_behind)
{
    struct fetch f[CHAOS_FETCHES] = {0};
    uint64_t whole = 0, broken = 0;
    uint32_t incarnation = 0;
    enum account account = ACCOUNT_STREAM;
    enum ledger_verdict verdict;
    struct ledger_totals t;

    chaos_seed = (uint64_t)_i;
    start_up(TUNNELS(",\"grace\":\"1s\""));
    for (int i = 0; i < CHAOS_FETCHES; i++) chaos_fetch(&f[i]);
    for (int round = 0; round < CHAOS_ROUNDS; round++) {
        live_test_turn(chain.base);
        for (int i = 0; i < CHAOS_FETCHES; i++) {
            bool over = f[i].ended || f[i].failed;

            if (f[i].ended && f[i].status == 200) ck_assert_uint_eq(f[i].wrong, 0);
            if (over) *(f[i].ended ? &whole : &broken) += 1;
            if (!over && chance(100) == 0) {
                fetch_deinit(&f[i]);
                f[i].conn = NULL;
                over = true;
            }
            if (over) chaos_fetch(&f[i]);
        }
        if (chance(100) == 0) chain_relay_cut(&chain.carriers);
        if (chance(150) == 0) {
            chain_kill_gateway(&chain);
            chain_start_gateway(&chain, ++incarnation);
        }
    }
    for (int i = 0; i < CHAOS_FETCHES; i++) fetch_deinit(&f[i]);
    ck_assert_uint_gt(whole, 0);
    RUN_UNTIL(chain.base, streams().open == 0);
    chain_end(&chain);
    verdict = ledger_check(recorder_ledger(chain.recorder), &account);
    ledger_totals(recorder_ledger(chain.recorder), account, &t);
    ck_assert_msg(verdict == LEDGER_BALANCED, "account %d: %" PRIu64 " opened, %" PRIu64 " open",
                  (int)account, t.opened, t.open);
    chain_deinit(&chain);
}
END_TEST

/* A raw connection to the entrance. */
static void raw(struct probe *p, const char *text)
{
    char address[TCP_ADDRESS_MAX];
    struct stream *s;

    snprintf(address, sizeof address, "127.0.0.1:%d", entrance_port(chain.entrance));
    ck_assert_int_eq(tcp_dial(chain.base, address, NULL, &s), 0);
    probe_init(p, s);
    probe_write(p, text, strlen(text));
}

START_TEST(the_entrance_refuses_what_is_no_request)
{
    static const struct {
        const char *text, *status;
    } cases[] = {
        {"nonsense\r\n\r\n", "HTTP/1.1 400 "},
        {"GET / HTTP/1.1\r\nHost: \r\n\r\n", "HTTP/1.1 400 "},
        {"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "},
    };
    struct probe p;

    start_up(TUNNELS(""));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        raw(&p, cases[i].text);
        RUN_UNTIL(chain.base, p.eof || p.ended);
        ck_assert_uint_gt(probe_len(&p), 13);
        ck_assert_msg(memcmp(evbuffer_pullup(p.got, -1), cases[i].status, 13) == 0, "%s", cases[i].text);
        probe_deinit(&p, true);
    }
    chain_deinit(&chain);
}
END_TEST

START_TEST(the_entrance_passes_pipelined_bytes)
{
    struct probe p;

    start_up(TUNNELS(""));
    raw(&p,
        "POST /a HTTP/1.1\r\nHost: " FILES "\r\nContent-Length: 3\r\n\r\noneGET /b HTTP/1.1\r\nHost: " FILES
        "\r\nConnection: close\r\n\r\n");
    RUN_UNTIL(chain.base, p.eof);
    ck_assert_int_eq(chain.requests, 2);
    probe_deinit(&p, false);
    RUN_UNTIL(chain.base, streams().open == 0);
    ck_assert_uint_eq(streams().ends[LEDGER_COMPLETED], 1);
    chain_deinit(&chain);
}
END_TEST

static void on_opened(void *user, struct stream *s)
{
    *(int *)user = 1;
    stream_free(s, true);
}
static void on_refused(void *user, int status, bool unseen, nsec_t retry_after_ns)
{
    *(int *)user = status;
}
static void on_failed(void *user, enum reset_cause cause, const char *what)
{
    *(int *)user = -(int)cause;
}
static const struct tunnel_opening_handler opening = {on_opened, on_refused, on_failed};

static int try_open(const struct tunnel_outside_options *o)
{
    struct tunnel_outside *outside;
    struct tunnel_opening *open;
    char why[TLS_WHY_MAX];
    int result = 0;

    ck_assert_int_eq(tunnel_outside_new(chain.base, o, &outside, why), 0);
    ck_assert_int_eq(tunnel_open(outside, FILES, &opening, &result, &open), 0);
    RUN_UNTIL(chain.base, result != 0);
    tunnel_outside_free(outside);
    return result;
}

START_TEST(the_edge_wants_to_know_who_calls)
{
    struct cert_options ca = {.kind = CERT_CA, .common_name = "chain CA"};
    struct cert_options client = {.kind = CERT_CLIENT, .common_name = "stranger"};
    struct tunnel_outside_options o;
    struct cert *other_ca, *other;
    char address[TCP_ADDRESS_MAX];

    start_up(TUNNELS(""));
    o = chain_outside(&chain, address);
    ck_assert_int_eq(try_open(&o), 1);
    ck_assert_int_eq(cert_new(&ca, NULL, &other_ca), 0);
    ck_assert_int_eq(cert_new(&client, other_ca, &other), 0);
    o.client_cert_pem = other->cert_pem;
    o.client_key_pem = other->key_pem;
    ck_assert_int_lt(try_open(&o), 0);
    o.client_cert_pem = o.client_key_pem = NULL;
    ck_assert_int_lt(try_open(&o), 0);
    o = chain_outside(&chain, address);
    o.edge_ca_pem = other_ca->cert_pem;
    ck_assert_int_eq(try_open(&o), -RESET_UNREACHABLE);
    o = chain_outside(&chain, address);
    o.edge_address = "127.0.0.1:1";
    ck_assert_int_eq(try_open(&o), -RESET_REFUSED);
    cert_free(other_ca);
    cert_free(other);
    chain_deinit(&chain);
}
END_TEST

static void hang_up(void *user, struct stream *s, const char *peer)
{
    probe_init(user, s);
    ((struct probe *)user)->free_in_data = true;
}

static uint64_t streams_to_connector(enum flow_fate fate)
{
    return flowcount_get(recorder_flows(chain.recorder), way_between(ROLE_EDGE, ROLE_CONNECTOR),
                         M_TUNNEL_STREAM, fate);
}

/* A connector that has passed a stream on and lost it before its answer has not refused it: the caller is cut
 * off, as in virtual time, and the stream is not counted as if it had come back. */
START_TEST(a_stream_lost_before_its_answer_is_not_refused)
{
    char proxy[TCP_ADDRESS_MAX], address[TCP_ADDRESS_MAX];
    struct tunnel_connector_member member = {.edge_address = "127.0.0.1:1", .proxy_address = proxy};
    struct tunnel_outside_options o;
    struct tcp_listener *listener;
    struct probe peer = {0};

    start_up(TUNNELS(""));
    ck_assert_int_eq(tcp_listener_new(chain.base, "127.0.0.1:0", NULL, hang_up, &peer, &listener), 0);
    snprintf(proxy, sizeof proxy, "127.0.0.1:%d", tcp_listener_port(listener));
    member.token = chain.token;
    ck_assert_int_eq(tunnel_connector_add(chain.connector, 0, &member), 0);
    o = chain_outside(&chain, address);
    ck_assert_int_eq(try_open(&o), -RESET_CUT);
    ck_assert_int_eq(peer.data, 1);
    ck_assert_uint_eq(streams_to_connector(FLOW_EMITTED), 1);
    ck_assert_uint_eq(streams_to_connector(FLOW_DECODED), 1);
    ck_assert_uint_eq(streams_to_connector(FLOW_RETURNED), 0);
    ck_assert_uint_eq(streams().ends[LEDGER_LOST], 1);
    tcp_listener_free(listener);
    probe_deinit(&peer, true);
    chain_deinit(&chain);
}
END_TEST

static void keep_mute(void *user, struct stream *s, const char *peer)
{
    *(struct stream **)user = s;
}

/* Who accepts and says nothing is given up when the dial's time is over, with the handshake in it. */
START_TEST(a_dial_ends_with_its_handshake)
{
    struct stream *mute = NULL;
    struct tcp_listener *listener;
    struct tunnel_outside_options o;
    char address[TCP_ADDRESS_MAX];
    nsec_t begun;

    start_up(TUNNELS(""));
    o = chain_outside(&chain, address);
    ck_assert_int_eq(tcp_listener_new(chain.base, "127.0.0.1:0", NULL, keep_mute, &mute, &listener), 0);
    snprintf(address, sizeof address, "127.0.0.1:%d", tcp_listener_port(listener));
    o.dial_timeout_ns = 200 * NSEC_PER_MS;
    begun = live_test_now();
    ck_assert_int_eq(try_open(&o), -RESET_UNREACHABLE);
    ck_assert_uint_ge(live_test_now() - begun, 199 * NSEC_PER_MS);
    ck_assert_uint_lt(live_test_now() - begun, 10 * NSEC_PER_S);
    stream_free(mute, true);
    tcp_listener_free(listener);
    chain_deinit(&chain);
}
END_TEST

/* An edge that has a session ticket for whoever comes, and then says nothing that could be understood. */
struct ticket_edge {
    struct tls_context *tls;
    struct probe probe;
    int accepted;
};

static void serve_tickets(void *user, struct stream *s, const char *peer)
{
    struct ticket_edge *e = user;

    if (e->accepted++) probe_deinit(&e->probe, true);
    ck_assert_int_eq(tls_wrap_server(chain.base, s, e->tls, &s), 0);
    probe_init(&e->probe, s);
}

/* What is counted as a handshake is a full one, also when a connection is dialed again. */
START_TEST(a_connector_resumes_no_session)
{
    struct tls_options o = {.server = true};
    struct ticket_edge edge = {0};
    struct tcp_listener *listener;

    start(TUNNELS(""));
    o.cert_pem = chain.edge_cert->cert_pem;
    o.key_pem = chain.edge_cert->key_pem;
    ck_assert_int_eq(tls_context_new(&o, &edge.tls, NULL), 0);
    ck_assert_int_eq(tcp_listener_new(chain.base, "127.0.0.1:0", NULL, serve_tickets, &edge, &listener), 0);
    snprintf(chain.carriers.to, sizeof chain.carriers.to, "127.0.0.1:%d", tcp_listener_port(listener));
    for (int i = 1; i <= 3; i++) {
        RUN_UNTIL(chain.base, edge.accepted == i && edge.probe.ready);
        ck_assert(!tls_resumed(edge.probe.s));
        probe_write(&edge.probe, "this is no preface of HTTP/2", 28); /* behind the ticket */
    }
    tcp_listener_free(listener);
    probe_deinit(&edge.probe, true);
    tls_context_free(edge.tls);
    chain_deinit(&chain);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("tunnel_wire");
    TCase *t = tcase_create("chain");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_set_timeout(t, 60);
    tcase_add_test(t, a_request_passes_untouched);
    tcase_add_test(t, answers_without_bodies);
    tcase_add_test(t, large_answers_come_whole);
    tcase_add_test(t, events_come_at_once);
    tcase_add_loop_test(t, chaos_leaves_nothing_behind, 0, 3);
    tcase_add_test(t, a_dial_ends_with_its_handshake);
    tcase_add_test(t, a_stream_lost_before_its_answer_is_not_refused);
    tcase_add_test(t, a_connector_resumes_no_session);
    tcase_add_test(t, streams_end_in_order);
    tcase_add_test(t, an_unknown_tunnel_is_404);
    tcase_add_test(t, an_unknown_server_is_404_inside);
    tcase_add_test(t, without_a_connection_is_502);
    tcase_add_test(t, an_upstream_that_is_down_is_502);
    tcase_add_test(t, a_lost_carrier_breaks_its_streams);
    tcase_add_test(t, a_killed_gateway_breaks_its_streams);
    tcase_add_test(t, a_client_that_leaves_ends_the_call);
    tcase_add_test(t, a_slow_reader_is_bounded);
    tcase_add_test(t, pings_keep_a_connection);
    tcase_add_test(t, a_drained_connector_lets_streams_end);
    tcase_add_test(t, a_wrong_token_is_refused);
    tcase_add_test(t, the_entrance_refuses_what_is_no_request);
    tcase_add_test(t, the_entrance_passes_pipelined_bytes);
    tcase_add_test(t, the_edge_wants_to_know_who_calls);
    suite_add_tcase(s, t);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
