/* The MCP server, spoken to in raw bytes: refusals, sessions, streams, what the component's answers become.
 */
#include <check.h>
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mock-mcp/rules.h"
#include "sim/live/content.h"
#include "tests/live/mcp_stage.h"

#define META                                                                                                 \
    "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","                                 \
    "\"io.modelcontextprotocol/clientCapabilities\":{}}"
#define MODERN "MCP-Protocol-Version: 2026-07-28\r\n"

/* --- refusals --- */

static const struct {
    const char *request;
    int status, code;
} bad_requests[] = {
    {"GARBAGE\r\n\r\n", 400, RPC_SERVER_ERROR},
    {"POST /mcp HTTP/1.1\r\n\r\n", 400, RPC_SERVER_ERROR},
    {"POST /mcp HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400,
     RPC_SERVER_ERROR},
    {"POST /mcp HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\nContent-Type: application/json\r\n"
     "Accept: */*\r\n\r\n",
     413, RPC_SERVER_ERROR},
    {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 404, RPC_SERVER_ERROR},
    {"PUT /mcp HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 405, RPC_SERVER_ERROR},
    {"OPTIONS /mcp HTTP/1.1\r\nHost: a\r\n\r\n", 405, RPC_SERVER_ERROR},
    {"GET /mcp HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\n\r\n", 406, RPC_SERVER_ERROR},
    {"GET /mcp HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n", 400, RPC_SERVER_ERROR},
    {"GET /mcp HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\nMcp-Session-Id: 1\r\n\r\n", 404,
     RPC_SESSION_NOT_FOUND},
    {"DELETE /mcp HTTP/1.1\r\nHost: a\r\n\r\n", 400, RPC_SERVER_ERROR},
    {"POST /mcp HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", 406,
     RPC_SERVER_ERROR},
    {"POST /mcp HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nAccept: application/json\r\n"
     "Content-Length: 2\r\n\r\n{}",
     406, RPC_SERVER_ERROR},
    {"POST /mcp HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nAccept: application/jsonx, "
     "text/event-stream\r\n"
     "Content-Length: 2\r\n\r\n{}",
     406, RPC_SERVER_ERROR},
    {"POST /mcp HTTP/1.1\r\nHost: a\r\nContent-Type: application/json; charset=utf-8\r\n"
     "Accept: Application/*;q=1 ,\ttext/event-stream;q=0.5\r\nContent-Length: 2\r\n\r\n{}",
     400, RPC_INVALID_REQUEST},
    {"POST /mcp HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nAccept: */*\r\nContent-Length: "
     "2\r\n\r\n{}",
     415, RPC_SERVER_ERROR},
    {"POST /mcp HTTP/1.1\r\nHost: a\r\nContent-Type: application/jsonp\r\nAccept: */*\r\nContent-Length: "
     "2\r\n\r\n{}",
     415, RPC_SERVER_ERROR},
    {"POST /mcp HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nContent-Length: 2\r\n\r\n{}", 415, RPC_SERVER_ERROR},
};

START_TEST(refuses_bad_requests)
{
    mcp_stage_start(&stage, NULL);
    for (size_t i = 0; i < sizeof bad_requests / sizeof bad_requests[0]; i++) {
        int fd = mcp_stage_connect(&stage, 0);
        struct mcp_response r;

        mcp_stage_send(&stage, fd, bad_requests[i].request);
        r = mcp_stage_receive(&stage, fd);
        mcp_response_check(&r, bad_requests[i].request, bad_requests[i].status, bad_requests[i].code);
        close(fd);
    }
}
END_TEST

START_TEST(refuses_too_large_a_head)
{
    static const char begun[] = "GET /mcp HTTP/1.1\r\nHost: a\r\nX: ";
    static char head[64 * 1024];
    struct mcp_response r;
    int fd;

    memset(head, 'x', sizeof head - 1);
    memcpy(head, begun, sizeof begun - 1);
    mcp_stage_start(&stage, NULL);
    fd = mcp_stage_connect(&stage, 0);
    mcp_stage_send(&stage, fd, head);
    r = mcp_stage_receive(&stage, fd);
    mcp_response_check(&r, "a large head", 431, RPC_SERVER_ERROR);
    close(fd);
}
END_TEST

/* Many that do not come to their point: each is told so, and holds little until then. */
START_TEST(does_not_wait_for_ever)
{
    enum { SLOW = 50 };
    static const char *const begun[] = {
        "POST /mcp HTTP/1.1\r\nHost: a\r\nX: ",
        "POST /mcp HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nAccept: */*\r\n"
        "Content-Length: 1000000\r\n\r\n{"};
    struct mcp_server_options o = {.request_timeout_ns = 400 * NSEC_PER_MS};
    size_t before;
    int fds[SLOW];

    mcp_stage_start(&stage, &o);
    before = mallinfo2().uordblks;
    for (int i = 0; i < SLOW; i++) {
        fds[i] = mcp_stage_connect(&stage, 0);
        mcp_stage_send(&stage, fds[i], begun[i % 2]);
    }
    for (int n = 0; n < 5; n++) {
        for (int i = 0; i < SLOW; i++) mcp_stage_send(&stage, fds[i], "xx");
        mcp_stage_run_ms(&stage, 10);
    }
    /* The sanitizer's heap tells nothing: 0. */
    if (before) ck_assert_uint_lt(mallinfo2().uordblks - before, SLOW * 32 * 1024);
    for (int i = 0; i < SLOW; i++) {
        struct mcp_response r = mcp_stage_receive(&stage, fds[i]);

        mcp_response_check(&r, begun[i % 2], 408, RPC_SERVER_ERROR);
        close(fds[i]);
    }
}
END_TEST

static const struct {
    const char *body;
    int code;
} bad_bodies[] = {
    {"", RPC_PARSE_ERROR},
    {" ", RPC_PARSE_ERROR},
    {"{", RPC_PARSE_ERROR},
    {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}x", RPC_PARSE_ERROR},
    {"{\"jsonrpc\":\"2.0\",\"id\":1,\"id\":2,\"method\":\"ping\"}", RPC_PARSE_ERROR},
    {"{\"jsonrpc\":\"2.0\",\"id\":\"\xff\",\"method\":\"ping\"}", RPC_PARSE_ERROR},
    {"{\"jsonrpc\":\"2.0\",\"id\":\"\xed\xa0\x80\",\"method\":\"ping\"}", RPC_PARSE_ERROR},
    {"{\"jsonrpc\":\"2.0\",\"id\":99999999999999999999,\"method\":\"ping\"}", RPC_PARSE_ERROR},
    {"{\"\\u0000\":1}", RPC_PARSE_ERROR},
    {"1", RPC_INVALID_REQUEST},
    {"null", RPC_INVALID_REQUEST},
    {"\"text\"", RPC_INVALID_REQUEST},
    {"[]", RPC_INVALID_REQUEST},
    {"[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}]", RPC_INVALID_REQUEST},
    {"{}", RPC_INVALID_REQUEST},
    {"{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"ping\"}", RPC_INVALID_REQUEST},
    {"{\"id\":1,\"method\":\"ping\"}", RPC_INVALID_REQUEST},
    {"{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"ping\"}", RPC_INVALID_REQUEST},
    {"{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"ping\"}", RPC_INVALID_REQUEST},
    {"{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"ping\"}", RPC_INVALID_REQUEST},
    {"{\"jsonrpc\":\"2.0\",\"id\":true,\"method\":\"ping\"}", RPC_INVALID_REQUEST},
    {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":7}", RPC_INVALID_REQUEST},
    {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\\u0000\"}", RPC_INVALID_REQUEST},
    {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":[]}", RPC_INVALID_REQUEST},
    {"{\"jsonrpc\":\"2.0\",\"id\":1}", RPC_INVALID_REQUEST},
};

START_TEST(refuses_bad_bodies)
{
    char *deep = malloc(100001);

    mcp_stage_start(&stage, NULL);
    for (size_t i = 0; i < sizeof bad_bodies / sizeof bad_bodies[0]; i++) {
        struct mcp_response r = mcp_stage_ask(&stage, NULL, bad_bodies[i].body);

        mcp_response_check(&r, bad_bodies[i].body, 400, bad_bodies[i].code);
    }
    memset(deep, '[', 100000);
    deep[100000] = '\0';
    {
        struct mcp_response r = mcp_stage_ask(&stage, NULL, deep);

        mcp_response_check(&r, "deep", 400, RPC_PARSE_ERROR);
    }
    free(deep);
}
END_TEST

static const struct {
    const char *origin;
    bool good;
} origins[] = {
    {"http://localhost", true},
    {"https://localhost:5173", true},
    {"http://127.0.0.1:6274", true},
    {"http://127.5.6.7", true},
    {"http://[::1]:80", true},
    {"http://LOCALHOST:1", true},
    {"null", false},
    {"http://example.com", false},
    {"http://127.0.0.1.example.com", false},
    {"http://localhost.example.com", false},
    {"http://localhost:80@example.com", false},
    {"http://localhost:80.example.com", false},
    {"ftp://localhost", false},
    {"http://10.0.0.1", false},
    {"http://", false},
    {"http://[::1", false},
    {"http://[::1]x", false},
    {"localhost", false},
};

START_TEST(checks_origins)
{
    mcp_stage_start(&stage, NULL);
    for (size_t i = 0; i < sizeof origins / sizeof origins[0]; i++) {
        char header[128];
        struct mcp_response r;

        snprintf(header, sizeof header, "Origin: %s\r\n", origins[i].origin);
        r = mcp_stage_ask(&stage, header, "{}");
        mcp_response_check(&r, origins[i].origin, origins[i].good ? 400 : 403,
                           origins[i].good ? RPC_INVALID_REQUEST : RPC_SERVER_ERROR);
    }
}
END_TEST

static const struct {
    const char *headers, *body;
    int status, code;
} modern_requests[] = {
    {MODERN "Mcp-Method: server/discover\r\n",
     "{\"jsonrpc\":\"2.0\",\"id\":\"p-1\",\"method\":\"server/discover\",\"params\":{" META "}}", 200, 0},
    {MODERN "Mcp-Method: tools/list\r\n",
     "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{" META "}}", 200, 0},
    {MODERN "Mcp-Method: tools/call\r\nMcp-Name: echo\r\n",
     "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"echo\",\"arguments\":{"
     "\"text\":\"a\"}," META "}}",
     200, 0},
    {MODERN "Mcp-Method: tools/call\r\nMcp-Name: =?base64?ZWNobw==?=\r\n",
     "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"echo\",\"arguments\":{"
     "\"text\":\"a\"}," META "}}",
     200, 0},
    {MODERN "Mcp-Method: subscriptions/listen\r\n",
     "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"subscriptions/listen\",\"params\":{\"notifications\":{"
     "\"toolsListChanged\":true}," META "}}",
     200, 0},
    {MODERN "Mcp-Method: notifications/cancelled\r\n",
     "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{" META "}}", 202, 0},
    {MODERN, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\"}", 202, 0},
    /* headers against body */
    {"", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{" META "}}", 400,
     RPC_HEADER_MISMATCH},
    {MODERN, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{" META "}}", 400,
     RPC_HEADER_MISMATCH},
    {MODERN "Mcp-Method: tools/call\r\n",
     "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{" META "}}", 400,
     RPC_HEADER_MISMATCH},
    {"MCP-Protocol-Version: 2025-11-25\r\nMcp-Method: tools/list\r\n",
     "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{" META "}}", 400,
     RPC_HEADER_MISMATCH},
    {MODERN "Mcp-Method: tools/call\r\n",
     "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"echo\"," META "}}", 400,
     RPC_HEADER_MISMATCH},
    {MODERN "Mcp-Method: tools/call\r\nMcp-Name: generate\r\n",
     "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"echo\"," META "}}", 400,
     RPC_HEADER_MISMATCH},
    {MODERN "Mcp-Method: tools/call\r\nMcp-Name: =?base64?ZWNob?=\r\n",
     "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"echo\"," META "}}", 400,
     RPC_HEADER_MISMATCH},
    {MODERN "Mcp-Method: initialize\r\n",
     "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"2025-11-25\"}"
     "}",
     400, RPC_HEADER_MISMATCH},
    /* `_meta` */
    {MODERN "Mcp-Method: tools/list\r\n", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}", 400,
     RPC_INVALID_PARAMS},
    {MODERN "Mcp-Method: tools/list\r\n",
     "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{\"_meta\":{"
     "\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}}}",
     400, RPC_INVALID_PARAMS},
    {MODERN "Mcp-Method: tools/list\r\n",
     "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{\"_meta\":{"
     "\"io.modelcontextprotocol/protocolVersion\":7}}}",
     400, RPC_INVALID_PARAMS},
    {MODERN "Mcp-Method: tools/list\r\n",
     "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{\"_meta\":{"
     "\"io.modelcontextprotocol/clientInfo\":\"x\",\"io.modelcontextprotocol/clientCapabilities\":{},"
     "\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}}}",
     400, RPC_INVALID_PARAMS},
    /* revisions */
    {"MCP-Protocol-Version: 2027-01-01\r\nMcp-Method: tools/list\r\n",
     "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{\"_meta\":{"
     "\"io.modelcontextprotocol/clientCapabilities\":{},"
     "\"io.modelcontextprotocol/protocolVersion\":\"2027-01-01\"}}}",
     400, RPC_UNSUPPORTED_REVISION},
    /* methods */
    {MODERN "Mcp-Method: ping\r\n",
     "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":{" META "}}", 404, RPC_METHOD_NOT_FOUND},
    {MODERN "Mcp-Method: subscriptions/listen\r\n",
     "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"subscriptions/listen\",\"params\":{" META "}}", 200,
     RPC_INVALID_PARAMS},
    {MODERN "Mcp-Method: tools/call\r\nMcp-Name: nope\r\n",
     "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"nope\"," META "}}", 200,
     RPC_INVALID_PARAMS},
    {MODERN "Mcp-Method: tools/call\r\nMcp-Name: generate\r\n",
     "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/"
     "call\",\"params\":{\"name\":\"generate\",\"arguments\":{"
     "\"bytes\":-1}," META "}}",
     200, RPC_INVALID_PARAMS},
};

START_TEST(checks_each_request_without_sessions)
{
    mcp_stage_start(&stage, NULL);
    for (size_t i = 0; i < sizeof modern_requests / sizeof modern_requests[0]; i++) {
        struct mcp_response r = mcp_stage_ask(&stage, modern_requests[i].headers, modern_requests[i].body);

        mcp_response_check(&r, modern_requests[i].body, modern_requests[i].status, modern_requests[i].code);
    }
}
END_TEST

START_TEST(names_the_revisions_it_speaks)
{
    struct mcp_server_options o = {.revisions = MCP_REVISIONS_MODERN};
    struct mcp_response r;
    int fd;

    mcp_stage_start(&stage, &o);
    r = mcp_stage_ask(&stage, NULL,
                      "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{"
                      "\"protocolVersion\":\"2025-11-25\"}}");
    ck_assert_ptr_nonnull(
        strstr(r.body, "\"data\":{\"supported\":[\"2026-07-28\"],\"requested\":\"2025-11-25\"}"));
    mcp_response_check(&r, "initialize", 400, RPC_UNSUPPORTED_REVISION);
    r = mcp_stage_ask(&stage, NULL, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}");
    ck_assert_ptr_nonnull(strstr(r.body, "\"data\":{\"supported\":[\"2026-07-28\"]}"));
    mcp_response_check(&r, "no claim", 400, RPC_UNSUPPORTED_REVISION);
    r = mcp_stage_ask(&stage, NULL, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}");
    mcp_response_check(&r, "response", 400, RPC_INVALID_REQUEST);
    r = mcp_stage_ask(&stage, NULL, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
    ck_assert_int_eq(r.status, 202);
    mcp_response_deinit(&r);
    fd = mcp_stage_connect(&stage, 0);
    mcp_stage_send(&stage, fd, "GET /mcp HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n");
    r = mcp_stage_receive(&stage, fd);
    ck_assert_ptr_nonnull(strstr(r.head, "Allow: POST\r\n"));
    mcp_response_check(&r, "get", 405, RPC_SERVER_ERROR);
    close(fd);
}
END_TEST

START_TEST(speaks_only_the_revisions_given)
{
    struct mcp_server_options o = {.revisions = 1u << MCP_2025_06_18};
    struct mcp_response r;

    mcp_stage_start(&stage, &o);
    r = mcp_stage_ask(&stage, NULL,
                      "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{"
                      "\"protocolVersion\":\"2025-11-25\"}}");
    ck_assert_ptr_nonnull(strstr(r.body, "\"protocolVersion\":\"2025-06-18\""));
    mcp_response_check(&r, "initialize", 200, 0);
    r = mcp_stage_ask(&stage, MODERN,
                      "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"server/discover\",\"params\":{" META "}}");
    mcp_response_check(&r, "discover", 400, RPC_SERVER_ERROR);
}
END_TEST

/* --- sessions --- */

static struct mcp_response ask_in(const char *session, const char *body)
{
    return mcp_stage_ask(&stage, session, body);
}

START_TEST(a_session_lives_and_ends)
{
    char session[128], wrong[192];
    struct mcp_response r;

    mcp_stage_start(&stage, NULL);
    mcp_stage_initialize(&stage, session);
    ck_assert_uint_eq(mcp_server_sessions(stage.server), 1);
    r = ask_in(session, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
    ck_assert_int_eq(r.status, 202);
    ck_assert_uint_eq(r.body_len, 0);
    mcp_response_deinit(&r);
    r = ask_in(session, "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"ping\"}");
    ck_assert_str_eq(r.body, "{\"jsonrpc\":\"2.0\",\"id\":0,\"result\":{}}");
    mcp_response_check(&r, "ping", 200, 0);
    r = ask_in(session, "{\"jsonrpc\":\"2.0\",\"id\":\"\\u00e4\",\"method\":\"ping\"}");
    ck_assert_str_eq(r.body, "{\"jsonrpc\":\"2.0\",\"id\":\"ä\",\"result\":{}}");
    mcp_response_check(&r, "ping", 200, 0);
    r = ask_in(session, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}");
    ck_assert_int_eq(r.status, 202);
    mcp_response_deinit(&r);
    r = ask_in(session, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"prompts/get\"}");
    mcp_response_check(&r, "method", 200, RPC_METHOD_NOT_FOUND);
    r = ask_in(session,
               "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{\"cursor\":\"x\"}}");
    mcp_response_check(&r, "cursor", 200, RPC_INVALID_PARAMS);
    r = ask_in(session,
               "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{\"protocolVersion\":"
               "\"2025-11-25\"}}");
    mcp_response_check(&r, "again", 400, RPC_INVALID_REQUEST);
    snprintf(wrong, sizeof wrong, "%sMCP-Protocol-Version: 2024-01-01\r\n", session);
    r = ask_in(wrong, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}");
    mcp_response_check(&r, "version", 400, RPC_SERVER_ERROR);
    snprintf(wrong, sizeof wrong, "%sMCP-Protocol-Version: 2025-03-26\r\n", session);
    r = ask_in(wrong, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}");
    mcp_response_check(&r, "assumed version", 200, 0);
    snprintf(wrong, sizeof wrong, "%s", session);
    wrong[strlen(wrong) - 3] ^= 1;
    r = ask_in(wrong, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}");
    mcp_response_check(&r, "wrong", 404, RPC_SESSION_NOT_FOUND);
    r = mcp_stage_request(&stage, "DELETE", session);
    ck_assert_int_eq(r.status, 200);
    mcp_response_deinit(&r);
    r = ask_in(session, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}");
    mcp_response_check(&r, "ended", 404, RPC_SESSION_NOT_FOUND);
    ck_assert_uint_eq(mcp_server_sessions(stage.server), 0);
}
END_TEST

START_TEST(the_least_recently_used_session_makes_room)
{
    struct mcp_server_options o = {.sessions_max = 2};
    char a[128], b[128], c[128];
    struct mcp_response r;

    mcp_stage_start(&stage, &o);
    mcp_stage_initialize(&stage, a);
    mcp_stage_initialize(&stage, b);
    r = ask_in(a, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}");
    mcp_response_check(&r, "a", 200, 0);
    mcp_stage_initialize(&stage, c);
    ck_assert_uint_eq(mcp_server_sessions(stage.server), 2);
    r = ask_in(b, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}");
    mcp_response_check(&r, "b", 404, RPC_SESSION_NOT_FOUND);
    r = ask_in(a, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}");
    mcp_response_check(&r, "a", 200, 0);
}
END_TEST

static int open_stream(const char *session)
{
    int fd = mcp_stage_connect(&stage, 0);
    char request[512];
    struct mcp_response r;

    snprintf(request, sizeof request, "GET /mcp HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n%s\r\n",
             session);
    mcp_stage_send(&stage, fd, request);
    r = mcp_stage_receive_head(&stage, fd);
    ck_assert_int_eq(r.status, 200);
    mcp_response_deinit(&r);
    return fd;
}

START_TEST(a_session_has_one_stream)
{
    struct mcp_server_options o = {.keep_alive_ns = 20 * NSEC_PER_MS};
    char session[128];
    struct mcp_response r;
    int fd;

    mcp_stage_start(&stage, &o);
    mcp_stage_initialize(&stage, session);
    fd = open_stream(session);
    r = mcp_stage_request(&stage, "GET", session);
    mcp_response_check(&r, "second", 409, RPC_SERVER_ERROR);
    mcp_stage_run_ms(&stage, 100);
    close(fd);
    mcp_stage_run_ms(&stage, 20);
    fd = open_stream(session); /* its place was free again */
    mcp_stage_run_ms(&stage, 50);
    r = mcp_stage_request(&stage, "DELETE", session);
    ck_assert_int_eq(r.status, 200);
    mcp_response_deinit(&r);
    mcp_server_drain(stage.server);
    mcp_stage_run_ms(&stage, 50);
    ck_assert_uint_eq(mcp_server_connections(stage.server), 0);
    close(fd);
}
END_TEST

START_TEST(draining_ends_streams)
{
    char session[128];
    int fd, idle;

    mcp_stage_start(&stage, NULL);
    mcp_stage_initialize(&stage, session);
    fd = open_stream(session);
    idle = mcp_stage_connect(&stage, 0);
    mcp_stage_run_ms(&stage, 20);
    mcp_server_drain(stage.server);
    mcp_stage_run_ms(&stage, 50);
    ck_assert_uint_eq(mcp_server_connections(stage.server), 0);
    close(fd);
    close(idle);
}
END_TEST

START_TEST(decodes_header_text)
{
    static const struct {
        const char *value, *text;
    } rows[] = {
        {"echo", "echo"},
        {"=?base64?ZWNobw==?=", "echo"},
        {"=?base64?"
         "?=",
         ""},
        {"=?base64?w6Q=?=", "ä"},
        {"=?base64?/w==?=", NULL},
        {"=?base64?AA==?=", NULL},
        {"=?base64?ZWNob?=", NULL},
        {"=?base64?ZW!o?=", NULL},
        {"=?base64?=", "=?base64?="},
    };

    mcp_stage_start(&stage, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *text = mcp_rules_header_text(rows[i].value);

        if (rows[i].text)
            ck_assert_str_eq(text, rows[i].text);
        else
            ck_assert_msg(!text && errno == EINVAL, "%s", rows[i].value);
        free(text);
    }
}
END_TEST

static void add_tests(TCase *tc)
{
    tcase_add_test(tc, refuses_bad_requests);
    tcase_add_test(tc, refuses_too_large_a_head);
    tcase_add_test(tc, does_not_wait_for_ever);
    tcase_add_test(tc, refuses_bad_bodies);
    tcase_add_test(tc, checks_origins);
    tcase_add_test(tc, checks_each_request_without_sessions);
    tcase_add_test(tc, names_the_revisions_it_speaks);
    tcase_add_test(tc, speaks_only_the_revisions_given);
    tcase_add_test(tc, a_session_lives_and_ends);
    tcase_add_test(tc, the_least_recently_used_session_makes_room);
    tcase_add_test(tc, a_session_has_one_stream);
    tcase_add_test(tc, draining_ends_streams);
    tcase_add_test(tc, decodes_header_text);
}

int main(void)
{
    return mcp_stage_main("mcp_server", add_tests);
}
