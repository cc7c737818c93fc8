/* Calls to the MCP server: what the component's answers become, and who leaves when. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mock-mcp/json_rpc.h"
#include "sim/live/content.h"
#include "tests/live/mcp_stage.h"

static struct mcp_response ask_in(const char *session, const char *body)
{
    return mcp_stage_ask(&stage, session, body);
}

static char *call_body(const char *id, const char *tool, const char *arguments)
{
    char *body;

    ck_assert_int_gt(
        asprintf(&body,
                 "{\"jsonrpc\":\"2.0\",\"id\":%s,\"method\":\"tools/call\",\"params\":{\"name\":\"%s\","
                 "\"arguments\":%s}}",
                 id, tool, arguments),
        0);
    return body;
}

static struct mcp_response call(const char *session, const char *id, const char *tool, const char *arguments)
{
    char *body = call_body(id, tool, arguments);
    struct mcp_response r = ask_in(session, body);

    free(body);
    return r;
}

static const struct {
    const char *sent, *back;
} echoes[] = {
    {"", ""},
    {"plain", "plain"},
    {"\\u0000\\u001f\\\"\\\\\\/\\n\\t", "\\u0000\\u001f\\\"\\\\/\\n\\t"},
    {"K\xc3\xa4se \xf0\x9f\x8c\xaa", "K\xc3\xa4se \xf0\x9f\x8c\xaa"},
    {"\\ud83c\\udf2a", "\xf0\x9f\x8c\xaa"},
    {"\\ud83c", "\xef\xbf\xbd"},
    {"\\udf2a", "\xef\xbf\xbd"},
    {"\\ud83c\\ud83c\\udf2a", "\xef\xbf\xbd\xf0\x9f\x8c\xaa"},
    {"\\ud83cx\\uDF2Ay", "\xef\xbf\xbdx\xef\xbf\xbdy"},
    {"\\\\ud83c", "\\\\ud83c"},
    {"\\\\\\ud83c", "\\\\\xef\xbf\xbd"},
};

START_TEST(echo_gives_back_any_text)
{
    char session[128];

    mcp_stage_start(&stage, NULL);
    mcp_stage_initialize(&stage, session);
    for (size_t i = 0; i < sizeof echoes / sizeof echoes[0]; i++) {
        char arguments[256], expected[256];
        struct mcp_response r;

        snprintf(arguments, sizeof arguments, "{\"text\":\"%s\"}", echoes[i].sent);
        r = call(session, "7", "echo", arguments);
        snprintf(
            expected, sizeof expected,
            "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"%s\"}],"
            "\"isError\":false}}",
            echoes[i].back);
        ck_assert_str_eq(r.body, expected);
        mcp_response_check(&r, echoes[i].sent, 200, 0);
    }
}
END_TEST

static const struct {
    const char *tool, *arguments;
} bad_calls[] = {
    {"nope", "{}"},
    {"echo", "{}"},
    {"echo", "[]"},
    {"echo", "{\"text\":1}"},
    {"generate", "{}"},
    {"generate", "{\"bytes\":1.5}"},
    {"generate", "{\"bytes\":\"1\"}"},
    {"generate", "{\"bytes\":64000001}"},
    {"generate", "{\"bytes\":1,\"delay_ms\":-1}"},
    {"call", "{\"output_chars\":null}"},
};

START_TEST(refuses_bad_calls)
{
    char session[128];
    struct mcp_response r;

    mcp_stage_start(&stage, NULL);
    mcp_stage_initialize(&stage, session);
    for (size_t i = 0; i < sizeof bad_calls / sizeof bad_calls[0]; i++) {
        r = call(session, "1", bad_calls[i].tool, bad_calls[i].arguments);
        mcp_response_check(&r, bad_calls[i].arguments, 200, RPC_INVALID_PARAMS);
    }
    r = ask_in(session, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\"}");
    mcp_response_check(&r, "no params", 200, RPC_INVALID_PARAMS);
}
END_TEST

static void check_generated(const struct mcp_response *r, uint64_t id, size_t n)
{
    const char *text = strstr(r->body, "\"text\":\"");

    ck_assert_int_eq(r->status, 200);
    ck_assert_ptr_nonnull(text);
    text += strlen("\"text\":\"");
    ck_assert_uint_eq(strcspn(text, "\""), n);
    ck_assert(content_check(id, 0, text, n));
}

START_TEST(output_belongs_to_the_calls_id)
{
    char session[128], headers[256];
    struct mcp_response r;
    char *body = call_body("1", "call", "{\"output_chars\":300000}");

    stage.config.plan->mcp[0].output_chars = (struct dist){0};
    mcp_stage_start(&stage, NULL);
    mcp_stage_initialize(&stage, session);
    snprintf(headers, sizeof headers,
             "%swindtunnel-attempt: 00000000000000ab\r\nwindtunnel-call: 0123456789abcdef\r\n", session);
    r = ask_in(headers, body);
    check_generated(&r, UINT64_C(0x123456789abcdef), 300000);
    mcp_response_deinit(&r);
    r = ask_in(session, body);
    check_generated(&r, UINT64_C(1) << 63 | 2, 300000); /* the second call of this process */
    mcp_response_deinit(&r);
    free(body);
}
END_TEST

START_TEST(failures_are_statuses)
{
    char session[128], value[64];
    struct mcp_response r;

    stage.config.plan->mcp[0].error_ppm = 1000000;
    mcp_stage_start(&stage, NULL);
    mcp_stage_initialize(&stage, session);
    r = call(session, "\"x\"", "echo", "{\"text\":\"\"}");
    ck_assert_ptr_nonnull(strstr(r.body, "\"id\":\"x\""));
    mcp_response_check(&r, "error", 500, RPC_INTERNAL);
    stage.fault = (struct plan_fault){.kind = FAULT_ANSWER,
                                      .for_ns = NSEC_MAX,
                                      .target = ADDR(ROLE_MCP, 0),
                                      .status = 429,
                                      .share_ppm = 1000000,
                                      .retry_after_ns = 1500 * NSEC_PER_MS};
    stage.config.plan->faults = &stage.fault;
    stage.config.plan->fault_count = 1;
    r = call(session, "1", "echo", "{\"text\":\"\"}");
    ck_assert_str_eq(mcp_response_header(&r, "retry-after", value, sizeof value), "2");
    ck_assert_str_eq(mcp_response_header(&r, "retry-after-ms", value, sizeof value), "1500");
    mcp_response_check(&r, "fault", 429, RPC_SERVER_ERROR);
}
END_TEST

/* One call at a time, and nobody waits. */
static void start_narrow(char session[128])
{
    stage.config.plan->mcp[0].concurrency = 1;
    stage.config.plan->mcp[0].queue_max = 0;
    mcp_stage_start(&stage, NULL);
    mcp_stage_initialize(&stage, session);
}

static int call_slow(const char *session, const char *id)
{
    int fd = mcp_stage_connect(&stage, 0);
    char *body = call_body(id, "generate", "{\"bytes\":1,\"delay_ms\":60000}");

    mcp_stage_post(&stage, fd, session, body);
    mcp_stage_run_ms(&stage, 30);
    free(body);
    return fd;
}

START_TEST(a_client_that_leaves_frees_its_place)
{
    char session[128];
    struct mcp_response r;
    int fd;

    start_narrow(session);
    fd = call_slow(session, "1");
    r = call(session, "2", "echo", "{\"text\":\"\"}");
    mcp_response_check(&r, "full", 503, RPC_SERVER_ERROR);
    close(fd);
    mcp_stage_run_ms(&stage, 30);
    r = call(session, "3", "echo", "{\"text\":\"\"}");
    mcp_response_check(&r, "free", 200, 0);
}
END_TEST

START_TEST(a_cancelled_call_frees_its_place)
{
    char session[128], value[64];
    struct mcp_response r;
    int fd;

    start_narrow(session);
    fd = call_slow(session, "\"a\"");
    r = ask_in(
        session,
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":\"b\"}}");
    ck_assert_int_eq(r.status, 202);
    mcp_response_deinit(&r);
    r = call(session, "2", "echo", "{\"text\":\"\"}");
    mcp_response_check(&r, "full", 503, RPC_SERVER_ERROR);
    r = ask_in(
        session,
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":\"a\"}}");
    ck_assert_int_eq(r.status, 202);
    mcp_response_deinit(&r);
    r = mcp_stage_receive(&stage, fd);
    ck_assert_int_eq(r.status, 200);
    ck_assert_uint_eq(r.body_len, 0);
    ck_assert_str_eq(mcp_response_header(&r, "content-type", value, sizeof value), "text/event-stream");
    mcp_response_deinit(&r);
    close(fd);
    r = call(session, "3", "echo", "{\"text\":\"\"}");
    mcp_response_check(&r, "free", 200, 0);
}
END_TEST

START_TEST(a_session_may_end_under_its_calls)
{
    char session[128];
    struct mcp_response r;
    int fd;

    mcp_stage_start(&stage, NULL);
    mcp_stage_initialize(&stage, session);
    fd = mcp_stage_connect(&stage, 0);
    {
        char *body = call_body("1", "generate", "{\"bytes\":10,\"delay_ms\":100}");

        mcp_stage_post(&stage, fd, session, body);
        free(body);
    }
    mcp_stage_run_ms(&stage, 30);
    r = mcp_stage_request(&stage, "DELETE", session);
    ck_assert_int_eq(r.status, 200);
    mcp_response_deinit(&r);
    r = mcp_stage_receive(&stage, fd);
    check_generated(&r, UINT64_C(1) << 63 | 1, 10);
    mcp_response_deinit(&r);
    close(fd);
}
END_TEST

START_TEST(a_component_that_dies_cuts_its_calls)
{
    char session[128];
    struct mcp_response r;
    int fd;

    mcp_stage_start(&stage, NULL);
    mcp_stage_initialize(&stage, session);
    fd = call_slow(session, "1");
    driver_crash(stage.driver, ADDR(ROLE_MCP, 0));
    r = mcp_stage_receive(&stage, fd);
    ck_assert_int_eq(r.status, 0);
    close(fd);
    r = call(session, "2", "echo", "{\"text\":\"\"}");
    ck_assert_int_eq(r.status, 0);
    ck_assert_int_eq(driver_add(stage.driver, ADDR(ROLE_MCP, 0), NULL, 1), 0);
    r = call(session, "3", "echo", "{\"text\":\"\"}");
    mcp_response_check(&r, "again", 200, 0);
}
END_TEST

START_TEST(stops_with_calls_under_way)
{
    char session[128];
    int fds[3];

    mcp_stage_start(&stage, NULL);
    mcp_stage_initialize(&stage, session);
    for (int i = 0; i < 3; i++) fds[i] = call_slow(session, "1");
    for (int i = 0; i < 3; i++) close(fds[i]);
}
END_TEST

static size_t heap_bytes(void)
{
    return mallinfo2().uordblks;
}

START_TEST(a_slow_reader_costs_little)
{
    char session[128];
    char *body = call_body("1", "generate", "{\"bytes\":20000000}");
    struct mcp_response r;
    size_t before;
    int fd;

    mcp_stage_start(&stage, NULL);
    mcp_stage_initialize(&stage, session);
    fd = mcp_stage_connect(&stage, 4096);
    before = heap_bytes();
    mcp_stage_post(&stage, fd, session, body);
    mcp_stage_run_ms(&stage, 300);
    if (before) ck_assert_uint_lt(heap_bytes() - before, 1000000); /* the sanitizer's heap tells nothing: 0 */
    close(fd);                                                     /* in the middle */
    mcp_stage_run_ms(&stage, 30);
    fd = mcp_stage_connect(&stage, 0);
    mcp_stage_post(&stage, fd, session, body);
    r = mcp_stage_receive(&stage, fd);
    check_generated(&r, UINT64_C(1) << 63 | 2, 20000000);
    mcp_response_deinit(&r);
    close(fd);
    free(body);
}
END_TEST

START_TEST(answers_as_event_streams)
{
    struct mcp_server_options o = {.event_streams = true};
    char session[128], value[64];
    struct mcp_response r;

    mcp_stage_start(&stage, &o);
    mcp_stage_initialize(&stage, session);
    r = call(session, "1", "generate", "{\"bytes\":100000}");
    ck_assert_str_eq(mcp_response_header(&r, "content-type", value, sizeof value), "text/event-stream");
    ck_assert_int_eq(strncmp(r.body, "event: message\ndata: {", 22), 0);
    ck_assert_str_eq(r.body + r.body_len - 4, "}}\n\n");
    check_generated(&r, UINT64_C(1) << 63 | 1, 100000);
    mcp_response_deinit(&r);
}
END_TEST

static void add_tests(TCase *tc)
{
    tcase_add_test(tc, echo_gives_back_any_text);
    tcase_add_test(tc, refuses_bad_calls);
    tcase_add_test(tc, output_belongs_to_the_calls_id);
    tcase_add_test(tc, failures_are_statuses);
    tcase_add_test(tc, a_client_that_leaves_frees_its_place);
    tcase_add_test(tc, a_cancelled_call_frees_its_place);
    tcase_add_test(tc, a_session_may_end_under_its_calls);
    tcase_add_test(tc, a_component_that_dies_cuts_its_calls);
    tcase_add_test(tc, stops_with_calls_under_way);
    tcase_add_test(tc, a_slow_reader_costs_little);
    tcase_add_test(tc, answers_as_event_streams);
}

int main(void)
{
    return mcp_stage_main("mcp_server_calls", add_tests);
}
