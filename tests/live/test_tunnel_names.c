/* Names, route tables and headers of the tunnel: what is read, and what is refused. */
#include "sim/live/tunnel_http.h"
#include "sim/live/tunnel_limits.h"
#include "sim/live/tunnel_link.h"
#include "sim/live/tunnel_names.h"
#include "sim/live/tunnel_routes.h"

#include <check.h>
#include <errno.h>
#include <event2/buffer.h>
#include <stdlib.h>
#include <string.h>

static struct plan_mcp servers[] = {{.name = "files"}, {.name = "a.b"}};
static struct plan plan = {
    .tunnels = {.count = 12, .replicas = 1, .domain = "tunnel.test"}, .mcp = servers, .mcp_count = 2};

#define NOWHERE HOST(TUNNEL_UNKNOWN, TUNNEL_UNKNOWN)

START_TEST(hosts)
{
    static const struct {
        const char *text;
        uint64_t host;
    } cases[] = {
        {"files.t0.tunnel.test", HOST(0, 0)},
        {"FILES.T11.Tunnel.TEST:8443", HOST(11, 0)},
        {"a.b.t3.tunnel.test", HOST(3, 1)},
        {"other.t3.tunnel.test", HOST(3, TUNNEL_UNKNOWN)},
        {"b.t3.tunnel.test", HOST(3, TUNNEL_UNKNOWN)},
        {"files.t12.tunnel.test", NOWHERE},
        {"files.t01.tunnel.test", NOWHERE},
        {"files.t+1.tunnel.test", NOWHERE},
        {"files.t.tunnel.test", NOWHERE},
        {"files.t99999999999999999999.tunnel.test", NOWHERE},
        {"files.t0.tunnel.test.", NOWHERE},
        {"files.t0.tunnel.test:", NOWHERE},
        {"files.t0.tunnel.test:99999", NOWHERE},
        {"files.t0.tunnel.testing", NOWHERE},
        {".t0.tunnel.test", NOWHERE},
        {"t0.tunnel.test", NOWHERE},
        {"", NOWHERE},
        {"[::1]", NOWHERE},
    };
    char host[TUNNEL_HOST_MAX];

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ck_assert_msg(tunnel_of_host(&plan, cases[i].text) == cases[i].host, "%s", cases[i].text);
    for (uint32_t t = 0; t < 12; t++) {
        for (uint32_t m = 0; m < 2; m++) {
            ck_assert_int_eq(tunnel_host(&plan, HOST(t, m), host), 0);
            ck_assert_uint_eq(tunnel_of_host(&plan, host), HOST(t, m));
        }
    }
    ck_assert_int_eq(tunnel_host(&plan, HOST(12, 0), host), -EINVAL);
    ck_assert_int_eq(tunnel_host(&plan, HOST(0, 2), host), -EINVAL);
}
END_TEST

START_TEST(names_tokens_members)
{
    char name[TUNNEL_NAME_MAX], token[TUNNEL_TOKEN_SIZE], member[TUNNEL_MEMBER_MAX];
    uint64_t who = UINT64_C(7) << 32 | 4000000000u;

    tunnel_name(11, name);
    ck_assert_str_eq(name, "t11");
    ck_assert_uint_eq(tunnel_of_name(&plan, "t11"), 11);
    ck_assert_uint_eq(tunnel_of_name(&plan, "t12"), TUNNEL_UNKNOWN);
    ck_assert_uint_eq(tunnel_of_name(&plan, "t1x"), TUNNEL_UNKNOWN);
    ck_assert_uint_eq(tunnel_of_name(&plan, ""), TUNNEL_UNKNOWN);

    ck_assert_int_eq(tunnel_token("key", 1, token), 0);
    ck_assert_uint_eq(strlen(token), 64);
    ck_assert(tunnel_token_is("key", 1, token));
    ck_assert(!tunnel_token_is("key", 2, token));
    ck_assert(!tunnel_token_is("other", 1, token));
    ck_assert(!tunnel_token_is("key", 1, ""));
    token[63] ^= 1;
    ck_assert(!tunnel_token_is("key", 1, token));

    tunnel_member(who, member);
    ck_assert_str_eq(member, "connector-7.4000000000");
    ck_assert_uint_eq(tunnel_of_member(member), who);
    ck_assert_uint_eq(tunnel_of_member("connector-7"), UINT64_MAX);
    ck_assert_uint_eq(tunnel_of_member("connector-7.1x"), UINT64_MAX);
    ck_assert_uint_eq(tunnel_of_member("gateway-7.1"), UINT64_MAX);
}
END_TEST

static int load(const char *upstream, const char *const *allowed, bool disable,
                char why[TUNNEL_ROUTES_WHY_MAX])
{
    struct tunnel_route route = {"r", upstream, 0};
    struct tunnel_routes_options o = {.domain = "t0.tunnel.test",
                                      .routes = &route,
                                      .route_count = 1,
                                      .allowed_ips = allowed,
                                      .disable_ip_validation = disable};
    struct tunnel_routes *r = NULL;
    int e = tunnel_routes_new(&o, &r, why);

    tunnel_routes_free(r);
    return e;
}

START_TEST(upstreams)
{
    static const char *const good[] = {"http://10.0.0.1:80", "https://172.31.255.255:1",
                                       "http://192.168.1.1:65535"};
    static const struct {
        const char *text, *why;
    } bad[] = {
        {"10.0.0.1:80", "must be scheme://host:port"},
        {"ftp://10.0.0.1:80", "must be scheme://host:port"},
        {"http://10.0.0.1", "must be scheme://host:port"},
        {"http://10.0.0.1:", "must be scheme://host:port"},
        {"http://10.0.0.1:0", "must be scheme://host:port"},
        {"http://10.0.0.1:70000", "must be scheme://host:port"},
        {"http://10.0.0.1:80/", "must be scheme://host:port"},
        {"http://10.0.0.1:80/path", "must be scheme://host:port"},
        {"http://:80", "must be scheme://host:port"},
        {"http://files:80", "must be an IP address"},
        {"http://8.8.8.8:80", "IP validation failed: 8.8.8.8 is not a private address"},
        {"http://172.32.0.1:80", "IP validation failed: 172.32.0.1 is not a private address"},
        {"http://127.0.0.1:80", "IP validation failed: 127.0.0.1 is not a private address"},
        {"http://[::1]:80", "IP validation failed: ::1 is not a private address"},
    };
    static const char *const loopback[] = {"127.0.0.0/8", NULL}, *const wrong[] = {"127.0.0.0/33", NULL};
    char why[TUNNEL_ROUTES_WHY_MAX];

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        ck_assert_msg(load(good[i], NULL, false, why) == 0, "%s: %s", good[i], why);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ck_assert_int_eq(load(bad[i].text, NULL, false, why), -EINVAL);
        ck_assert_msg(strstr(why, bad[i].why) != NULL, "%s: %s", bad[i].text, why);
    }
    ck_assert_int_eq(load("http://127.0.0.1:80", loopback, false, why), 0);
    ck_assert_int_eq(load("http://localhost:80", loopback, false, why), 0);
    ck_assert_int_eq(load("http://10.0.0.1:80", loopback, false, why), -EINVAL);
    ck_assert_int_eq(load("http://127.0.0.1:80", wrong, false, why), -EINVAL);
    ck_assert_str_eq(why, "invalid CIDR: 127.0.0.0/33");
    ck_assert_int_eq(load("http://8.8.8.8:80", NULL, true, why), 0);
    ck_assert_int_eq(load("http://[::1]:80", NULL, true, why), 0);
    ck_assert_int_eq(load("http://127.0.0.1:80", loopback, true, why), -EINVAL);
}
END_TEST

START_TEST(routes)
{
    struct tunnel_route table[] = {{"files", "http://10.0.0.1:80", 0},
                                   {"a.b", "http://10.0.0.2:80", 1},
                                   {"files.t0.tunnel.test", "http://10.0.0.3:80", 2},
                                   {"mcp.example", "https://10.0.0.4:443", 3}};
    struct tunnel_routes_options o = {.domain = "t0.tunnel.test", .routes = table, .route_count = 4};
    struct tunnel_routes *r;
    char why[TUNNEL_ROUTES_WHY_MAX];

    ck_assert_int_eq(tunnel_routes_new(&o, &r, why), 0);
    ck_assert_uint_eq(tunnel_routes_find(r, "files.t0.tunnel.test")->mcp, 2); /* the full name first */
    ck_assert_uint_eq(tunnel_routes_find(r, "A.B.t0.tunnel.test:443")->mcp, 1);
    ck_assert_uint_eq(tunnel_routes_find(r, "mcp.example")->mcp, 3);
    ck_assert(tunnel_routes_find(r, "mcp.example")->tls);
    ck_assert_str_eq(tunnel_routes_find(r, "mcp.example")->address, "10.0.0.4:443");
    ck_assert_uint_eq(tunnel_routes_find(r, "files")->mcp, 0);
    ck_assert_ptr_null(tunnel_routes_find(r, "other.t0.tunnel.test"));
    ck_assert_ptr_null(tunnel_routes_find(r, "t0.tunnel.test"));
    ck_assert_ptr_null(tunnel_routes_find(r, ".t0.tunnel.test"));
    ck_assert_ptr_null(tunnel_routes_find(r, "files.t1.tunnel.test"));
    ck_assert_ptr_null(tunnel_routes_find(r, "files.t0.tunnel.test:x"));
    ck_assert_ptr_null(tunnel_routes_find(r, ""));
    tunnel_routes_free(r);
    table[1].name = "FILES";
    ck_assert_int_eq(tunnel_routes_new(&o, &r, why), -EINVAL);
    ck_assert_str_eq(why, "two routes for FILES");
}
END_TEST

static struct http_head *parse(const char *text)
{
    struct evbuffer *in = evbuffer_new();
    struct http1_parser p;
    struct http_head *head;
    size_t drained, moved;

    evbuffer_add(in, text, strlen(text));
    http1_parser_init(&p, HTTP1_REQUEST, NULL);
    ck_assert_int_eq(http1_parse(&p, in, NULL, SIZE_MAX, &drained, &moved), HTTP1_HEAD);
    head = http1_take_head(&p);
    http1_parser_deinit(&p);
    evbuffer_free(in);
    return head;
}

START_TEST(headers)
{
    static const struct http_header more[] = {{"X-Forwarded-Host", "h"}, {NULL, NULL}};
    struct http_head *head = parse(
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nTE: trailers\r\nx-forwarded-host: forged\r\n"
        "Connection: keep-alive, X-One\r\nX-One: 1\r\nX-Two: 2\r\nX-Two: 3\r\nUpgrade: h2c\r\n"
        "windtunnel-call: 00000000000000fF\r\nwindtunnel-attempt: 0xff\r\nRetry-After: 12\r\n\r\n");
    struct http_header *h = tunnel_pass_headers(head, more);
    uint64_t id = 0;

    ck_assert_str_eq(h[0].name, "X-Two");
    ck_assert_str_eq(h[0].value, "2");
    ck_assert_str_eq(h[1].value, "3");
    ck_assert_str_eq(h[2].name, "windtunnel-call");
    ck_assert_str_eq(h[3].name, "windtunnel-attempt");
    ck_assert_str_eq(h[4].name, "Retry-After");
    ck_assert_str_eq(h[5].name, "X-Forwarded-Host");
    ck_assert_str_eq(h[5].value, "h");
    ck_assert_ptr_null(h[6].name);
    ck_assert(tunnel_read_id(head, "windtunnel-call", &id));
    ck_assert_uint_eq(id, 255);
    ck_assert(!tunnel_read_id(head, "windtunnel-attempt", &id));
    ck_assert(!tunnel_read_id(head, "absent", &id));
    ck_assert_uint_eq(http_head_retry_after(head), 12 * NSEC_PER_S);
    free(h);
    http_head_free(head);
    head = parse("GET / HTTP/1.1\r\nHost: h\r\nRetry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\n\r\n");
    ck_assert_uint_eq(http_head_retry_after(head), 0);
    http_head_free(head);
}
END_TEST

START_TEST(answers_to_registrations)
{
    static const struct msg answers[] = {
        {.kind = M_OK, .a = 0x1234567890, .b = 1},
        {.kind = M_OK, .a = 1, .b = 0},
        {.kind = M_ERROR, .a = 409, .b = ERROR_CONFLICT, .c = 5 * NSEC_PER_S},
        {.kind = M_ERROR, .a = 404, .b = ERROR_NOT_FOUND},
        {.kind = M_ERROR, .a = 401, .b = ERROR_INVALID},
        {.kind = M_ERROR, .a = 429, .b = ERROR_LIMIT, .c = NSEC_PER_MS},
        {.kind = M_ERROR, .a = 503, .b = ERROR_OVERLOADED},
        {.kind = M_ERROR, .a = 599, .b = ERROR_OVERLOADED},
        /* Of a fault: no duplicate, whatever its status. */
        {.kind = M_ERROR, .a = 409, .b = ERROR_OVERLOADED},
        {.kind = M_ERROR, .a = 404, .b = ERROR_OVERLOADED, .c = NSEC_PER_S},
    };
    struct evbuffer *line = evbuffer_new();

    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        struct tunnel_control sent, got;
        struct msg m;
        size_t taken;

        tunnel_link_answer(&answers[i], &sent);
        ck_assert_int_eq(tunnel_control_encode(&sent, line), 0);
        ck_assert_int_eq(tunnel_control_read(line, &got, &taken, NULL), 0);
        m = tunnel_link_answered(&got);
        ck_assert_uint_eq(m.type, MSG_OPEN);
        ck_assert_uint_eq(m.kind, answers[i].kind);
        ck_assert_uint_eq(m.flags, m.kind == M_OK ? 0 : MSG_LAST);
        ck_assert_uint_eq(m.a, answers[i].a);
        ck_assert_uint_eq(m.b, answers[i].b);
        ck_assert_uint_eq(m.c, answers[i].c);
    }
    evbuffer_free(line);
}
END_TEST

/* Each guard is at least the limit that must come before it, whatever the plan allows. */
START_TEST(guards_come_last)
{
    static const nsec_t waits[] = {NSEC_PER_MS, 5 * NSEC_PER_S, 60 * NSEC_PER_S, 3600 * NSEC_PER_S};
    enum { WAITS = sizeof waits / sizeof waits[0] };

    for (size_t i = 0; i < WAITS * WAITS; i++) {
        struct plan p = plan;
        nsec_t a = waits[i / WAITS], b = waits[i % WAITS];

        p.links[LINK_CONNECTOR_EDGE].dial_timeout_ns = a;
        p.tunnels.register_timeout_ns = b;
        p.orchestrator.mcp_attempt_timeout_ns = a;
        p.orchestrator.mcp_stream_idle_ns = 24 * b;
        ck_assert_uint_ge(tunnel_guard_register(&p), a + b);
        ck_assert_uint_ge(tunnel_guard_request(&p), a);
        ck_assert_uint_gt(tunnel_guard_idle(&p), 24 * b);
        ck_assert_uint_ge(tunnel_guard_idle(&p), tunnel_guard_request(&p));
        p.orchestrator.mcp_stream_idle_ns = 0; /* never */
        ck_assert_uint_gt(tunnel_guard_idle(&p), 48 * 3600 * NSEC_PER_S);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("tunnel_names");
    TCase *t = tcase_create("names");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_add_test(t, hosts);
    tcase_add_test(t, guards_come_last);
    tcase_add_test(t, names_tokens_members);
    tcase_add_test(t, upstreams);
    tcase_add_test(t, routes);
    tcase_add_test(t, headers);
    tcase_add_test(t, answers_to_registrations);
    suite_add_tcase(s, t);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
