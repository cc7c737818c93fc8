/* The tunnel's listeners, each against peers that send nonsense, too much, or too slowly: it answers with an
 * error of its own protocol or hangs up, it holds little for them, and others go on. */
#include "tests/live/tunnel_chain.h"

#include "sim/live/tls.h"
#include "tests/live/live_test.h"

#include <malloc.h>

#define FILES "files.t0.tunnel.test"
/* One connection; who does not register is given up after 600 ms. */
#define TUNNELS                                                                                              \
    "{\"count\":1,\"connections\":1,\"spacing\":\"1ms\",\"register_timeout\":\"200ms\","                     \
    "\"backoff\":{\"connection_base\":\"1ms\",\"supervisor_base\":\"1ms\"}},"                                \
    "\"links\":{\"connector-edge\":{\"dial_timeout\":\"400ms\"}}"
#define UPGRADE(version)                                                                                     \
    "GET / HTTP/1.1\r\nHost: " FILES "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"                     \
    "Sec-WebSocket-Version: " version "\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
#define TLS_ALERT "\x15\x03"
#define COUNT(a)  (sizeof(a) / sizeof(a)[0])

enum door { PUBLIC, PUBLIC_TLS, CONNECTORS, CONNECTORS_TLS, PROXY, ENTRANCE };
enum { DRIPPING = 40 };

static struct chain chain;
static struct tls_context *client_tls;

static void setup(void)
{
    struct tls_options o = {0};
    char why[TLS_WHY_MAX];

    memset(&chain, 0, sizeof chain);
    chain_init(&chain, TUNNELS);
    o.ca_pem = chain.ca->cert_pem;
    o.cert_pem = chain.client_cert->cert_pem;
    o.key_pem = chain.client_cert->key_pem;
    ck_assert_msg(tls_context_new(&o, &client_tls, why) == 0, "%s", why);
    RUN_UNTIL(chain.base, chain_counter(&chain, COUNTER_HANDSHAKES) >= 1);
}

static void others_go_on(void)
{
    struct fetch f;

    fetch_init(&f, &chain);
    fetch_send(&f, "GET", FILES, "/bytes/100000", NULL, NULL);
    RUN_UNTIL(chain.base, f.ended || f.failed);
    ck_assert_int_eq(f.status, 200);
    ck_assert_uint_eq(f.bytes, 100000);
    ck_assert_uint_eq(f.wrong, 0);
    fetch_deinit(&f);
}

static void teardown(void)
{
    others_go_on();
    tls_context_free(client_tls);
    chain_deinit(&chain);
}

static void dial_port(struct probe *p, int port, bool with_tls)
{
    char address[TCP_ADDRESS_MAX];
    struct stream *s;

    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    ck_assert_int_eq(tcp_dial(chain.base, address, NULL, &s), 0);
    if (with_tls) ck_assert_int_eq(tls_wrap_client(chain.base, s, client_tls, "edge.tunnel.test", &s), 0);
    probe_init(p, s);
}

static void dial(struct probe *p, enum door door)
{
    switch (door) {
    case PUBLIC:
    case PUBLIC_TLS: dial_port(p, tunnel_edge_public_port(chain.edge), door == PUBLIC_TLS); break;
    case CONNECTORS:
    case CONNECTORS_TLS: dial_port(p, tunnel_edge_connector_port(chain.edge), door == CONNECTORS_TLS); break;
    case PROXY: dial_port(p, tunnel_proxy_port(chain.proxy, 0), false); break;
    case ENTRANCE: dial_port(p, entrance_port(chain.entrance), false); break;
    }
}

static bool begins(struct probe *p, const char *with, size_t len)
{
    return probe_len(p) >= len && memcmp(evbuffer_pullup(p->got, (ev_ssize_t)len), with, len) == 0;
}

static bool contains(struct probe *p, const char *text)
{
    return evbuffer_search(p->got, text, strlen(text), NULL).pos >= 0;
}

/* Nonsense
 * --------------------------------------------------------------------------------------------------- */

static const struct {
    enum door door;
    const char *says, *answer, *body; /* how the answer begins; what is in it; NULL: whatever it is */
} nonsense[] = {
    {PUBLIC, "GET / HTTP/1.1\r\n\r\n", NULL, NULL},
    {PUBLIC, "\x16\x03\x01\xff\xfftoo long", TLS_ALERT, NULL},
    {PUBLIC_TLS, "nonsense\r\n\r\n", "HTTP/1.1 400 ", "{\"error\":{\"status\":400,"},
    {PUBLIC_TLS, "GET / HTTP/1.1\r\nHost: " FILES "\r\n\r\n", "HTTP/1.1 400 ", "{\"error\":{\"status\":400,"},
    {PUBLIC_TLS, "PUT / HTTP/1.1\r\nHost: " FILES "\r\n\r\n", "HTTP/1.1 405 ", "{\"error\":{\"status\":405,"},
    {PUBLIC_TLS, UPGRADE("8"), "HTTP/1.1 426 ", "Sec-WebSocket-Version: 13\r\n"},
    {CONNECTORS, "GET / HTTP/1.1\r\n\r\n", NULL, NULL},
    {CONNECTORS, "\x16\x03\x01\xff\xfftoo long", TLS_ALERT, NULL},
    {CONNECTORS_TLS, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", NULL, NULL},
    {CONNECTORS_TLS, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\x04\x01\x01\x01\x01\x01", NULL, NULL},
    {PROXY, "nonsense\r\n\r\n", "HTTP/1.1 400 ", "{\"error\":{\"status\":400,"},
    {PROXY, "GET / HTTP/1.1\r\nHost: " FILES "\r\n\r\n", "HTTP/1.1 400 ", "{\"error\":{\"status\":400,"},
    {PROXY, UPGRADE("8"), "HTTP/1.1 426 ", "Sec-WebSocket-Version: 13\r\n"},
    {ENTRANCE, "nonsense\r\n\r\n", "HTTP/1.1 400 ", "{\"error\":{\"status\":400,"},
};

START_TEST(nonsense_is_answered)
{
    struct probe p;

    dial(&p, nonsense[_i].door);
    probe_write(&p, nonsense[_i].says, strlen(nonsense[_i].says));
    RUN_UNTIL(chain.base, p.eof || p.ended || (nonsense[_i].body && contains(&p, nonsense[_i].body)));
    if (nonsense[_i].answer) ck_assert(begins(&p, nonsense[_i].answer, strlen(nonsense[_i].answer)));
    if (nonsense[_i].body) ck_assert(contains(&p, nonsense[_i].body));
    probe_deinit(&p, true);
}
END_TEST

static const enum door http_doors[] = {PUBLIC_TLS, PROXY, ENTRANCE};

START_TEST(too_large_a_head_is_431)
{
    static char head[64 * 1024];
    static const char begun[] = "GET / HTTP/1.1\r\nHost: " FILES "\r\nX: ";
    struct probe p;

    memset(head, 'x', sizeof head);
    memcpy(head, begun, sizeof begun - 1);
    dial(&p, http_doors[_i]);
    probe_write(&p, head, sizeof head);
    RUN_UNTIL(chain.base, p.eof || p.ended);
    ck_assert(begins(&p, "HTTP/1.1 431 ", 13));
    probe_deinit(&p, true);
}
END_TEST

/* What breaks the protocol inside a stream. The edge passes it on untouched; the proxy, where the frames end,
 * says so. */
static const struct {
    const char *bytes;
    size_t len;
    unsigned code; /* of the Close that comes back; 0: it is a matter of the TLS inside */
} frames[] = {
    {"\x82\x02hi", 4, 1002},                                                 /* not masked */
    {"\x81\x82\x01\x02\x03\x04hi", 8, 1003},                                 /* text */
    {"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x01\x02\x03\x04x", 15, 1009}, /* 2^63 - 1 bytes */
    {"\x82\x85\x01\x02\x03\x04hello", 11, 0},
};

START_TEST(broken_frames_end_a_stream)
{
    enum door door = _i % 2 ? PUBLIC_TLS : PROXY;
    char close[4] = {(char)0x88, 2, (char)(frames[_i / 2].code >> 8), (char)frames[_i / 2].code};
    struct probe p;

    dial(&p, door);
    probe_write(&p, UPGRADE("13"), strlen(UPGRADE("13")));
    RUN_UNTIL(chain.base, contains(&p, "\r\n\r\n") || p.eof || p.ended);
    ck_assert(begins(&p, "HTTP/1.1 101 ", 13));
    evbuffer_drain(p.got, (size_t)evbuffer_search(p.got, "\r\n\r\n", 4, NULL).pos + 4);
    probe_write(&p, frames[_i / 2].bytes, frames[_i / 2].len);
    RUN_UNTIL(chain.base, p.eof || p.ended);
    if (frames[_i / 2].code && door == PROXY) ck_assert(begins(&p, close, sizeof close));
    probe_deinit(&p, true);
}
END_TEST

/* Too slow
 * --------------------------------------------------------------------------------------------------- */

/* Connections that say nothing, or do not come to their point: none holds much, and none is in the way. */
START_TEST(drips_cost_little)
{
    static const struct {
        enum door door;
        const char *begun;
    } cases[] = {
        {PUBLIC, "\x16\x03\x01\x02"},
        {PUBLIC_TLS, "GET / HTTP/1.1\r\nHost: " FILES "\r\nX: "},
        {PROXY, "GET / HTTP/1.1\r\nHost: " FILES "\r\nX: "},
        {ENTRANCE, "GET / HTTP/1.1\r\nHost: " FILES "\r\nX: "},
    };
    struct probe p[DRIPPING];
    size_t before;

    others_go_on();
    before = mallinfo2().uordblks;
    for (int i = 0; i < DRIPPING; i++) {
        dial(&p[i], cases[_i].door);
        probe_write(&p[i], cases[_i].begun, strlen(cases[_i].begun));
    }
    for (int n = 0; n < 20; n++) {
        for (int i = 0; i < DRIPPING; i++)
            if (!p[i].eof && !p[i].ended) probe_write(&p[i], "x", 1);
        live_test_run_ms(chain.base, 5);
    }
    others_go_on();
    /* Both ends of each; the sanitizer's heap tells nothing: 0. */
    if (before) ck_assert_uint_lt(mallinfo2().uordblks - before, DRIPPING * 256 * 1024);
    for (int i = 0; i < DRIPPING; i++) probe_deinit(&p[i], true);
}
END_TEST

START_TEST(who_does_not_register_is_cut)
{
    struct probe p[DRIPPING];
    nsec_t begun = live_test_now();

    for (int i = 0; i < DRIPPING; i++) {
        dial(&p[i], i % 2 ? CONNECTORS_TLS : CONNECTORS);
        if (i % 4 == 0) probe_write(&p[i], "\x16", 1);
    }
    for (int i = 0; i < DRIPPING; i++) {
        RUN_UNTIL(chain.base, p[i].eof || p[i].ended);
        probe_deinit(&p[i], true);
    }
    ck_assert_uint_ge(live_test_now() - begun, 300 * NSEC_PER_MS);
}
END_TEST

START_TEST(the_entrance_waits_for_a_head_only_so_long)
{
    struct entrance_options o = {
        .listen = "127.0.0.1:0", .outside = chain.outside, .head_timeout_ns = 200 * NSEC_PER_MS};
    struct probe p[DRIPPING];
    struct entrance *e;

    ck_assert_int_eq(entrance_new(chain.base, &o, &e), 0);
    for (int i = 0; i < DRIPPING; i++) {
        dial_port(&p[i], entrance_port(e), false);
        if (i % 2) probe_write(&p[i], "GET / HT", 8);
    }
    for (int i = 0; i < DRIPPING; i++) {
        RUN_UNTIL(chain.base, p[i].eof || p[i].ended);
        ck_assert(begins(&p[i], "HTTP/1.1 408 ", 13));
        probe_deinit(&p[i], true);
    }
    entrance_free(e);
}
END_TEST

/* Too many
 * --------------------------------------------------------------------------------------------------- */

START_TEST(the_edge_counts_whom_it_refuses)
{
    enum { MANY = 270, ALLOWED = 2 + 256 };
    struct probe *p = calloc(MANY, sizeof *p);
    uint64_t refused = MANY + 1 - ALLOWED; /* one is the gateway's */
    unsigned cut = 0;

    ck_assert_ptr_nonnull(p);
    for (int i = 0; i < MANY; i++) dial(&p[i], CONNECTORS);
    RUN_UNTIL(chain.base, chain_counter(&chain, COUNTER_CONNECTIONS_REJECTED) >= refused);
    ck_assert_uint_eq(chain_counter(&chain, COUNTER_CONNECTIONS_REJECTED), refused);
    others_go_on();
    for (int i = 0; i < MANY; i++) {
        cut += p[i].ended != 0;
        probe_deinit(&p[i], true);
    }
    ck_assert_uint_ge(cut, refused);
    free(p);
}
END_TEST

START_TEST(the_entrance_takes_only_so_many)
{
    struct entrance_options o = {.listen = "127.0.0.1:0", .outside = chain.outside, .connections_max = 2};
    struct entrance *e;
    struct probe p[3];

    ck_assert_int_eq(entrance_new(chain.base, &o, &e), 0);
    for (int i = 0; i < 3; i++) dial_port(&p[i], entrance_port(e), false);
    RUN_UNTIL(chain.base, p[2].ended);
    ck_assert_int_eq(p[0].ended + p[1].ended, 0);
    for (int i = 0; i < 3; i++) probe_deinit(&p[i], true);
    entrance_free(e);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("tunnel_trouble");
    TCase *t = tcase_create("trouble");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, nonsense_is_answered, 0, COUNT(nonsense));
    tcase_add_loop_test(t, too_large_a_head_is_431, 0, COUNT(http_doors));
    tcase_add_loop_test(t, broken_frames_end_a_stream, 0, 2 * COUNT(frames));
    tcase_add_loop_test(t, drips_cost_little, 0, 4);
    tcase_add_test(t, who_does_not_register_is_cut);
    tcase_add_test(t, the_entrance_waits_for_a_head_only_so_long);
    tcase_add_test(t, the_edge_counts_whom_it_refuses);
    tcase_add_test(t, the_entrance_takes_only_so_many);
    suite_add_tcase(s, t);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
