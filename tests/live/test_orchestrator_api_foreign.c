/*
 * Our runner and our client against a control plane that is not ours: its ids, its heartbeats, its cursors,
 * nothing but the documented members; and against one that misbehaves.
 */
#include "mock-orchestrator/json_text.h"
#include "sim/live/http_server.h"
#include "tests/live/api_stage.h"

#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BEAT_1 "2026-01-01T00:00:00.000Z" /* before the run, and not as we would write it */
#define BEAT_2 "2126-01-01T00:00:00.123+00:00"

static const char scenario[] =
    "{\"schema\":\"windtunnel.scenario/"
    "1\",\"name\":\"f\",\"duration\":\"1h\",\"load\":{\"a\":{\"script\":\"s\",\"process\":"
    "\"at-once\",\"sessions\":1}},\"scripts\":{\"s\":{\"turns\":[{\"message_bytes\":10}]}},"
    "\"runners\":{\"p\":{\"workers\":1,\"poll_pause\":[\"5ms\",\"5ms\"],\"max_idle\":\"30ms\",\"cold_start\":"
    "\"1ms\"}}}";

static struct api_stage stage;
static struct http_server *server;

/* What was asked, one line each: method, target, credential, body. */
static char asked[65536];
static struct http_exchange *stream;
static int polls, beats;
static const char *misbehaviour; /* what every request is answered with; NULL: properly */
static bool cut;                 /* every request is cut off */

static void event(const char *type, const char *json)
{
    struct evbuffer *out = evbuffer_new();

    if (type) evbuffer_add_printf(out, "event: %s\r\n", type);
    evbuffer_add_printf(out, "data: %s\r\n\r\n", json);
    http_reply_data(stream, out);
    evbuffer_free(out);
}

static void reply(struct http_exchange *x, int status, const char *json)
{
    http_reply_bytes(x, status, "application/json; charset=utf-8", json, strlen(json));
}

static void note(struct http_exchange *x)
{
    struct evbuffer *body = http_exchange_body(x);
    size_t n = strlen(asked), len = evbuffer_get_length(body);
    const char *credential = http_exchange_header(x, "authorization");

    if (!credential) credential = http_exchange_header(x, "x-api-key");
    snprintf(asked + n, sizeof asked - n, "%s %s [%s] %.*s\n", http_exchange_method(x),
             http_exchange_head(x)->target, credential ? credential : "", (int)len,
             len ? (const char *)evbuffer_pullup(body, -1) : "");
}

static bool is(struct http_exchange *x, const char *method, const char *path)
{
    return strcmp(http_exchange_method(x), method) == 0 && strcmp(http_exchange_path(x), path) == 0;
}

static void on_gone(void *user, struct http_exchange *x)
{
    http_reply_end(x);
    stream = NULL;
}

static const struct http_exchange_handler stream_handler = {.aborted = on_gone};

static void begin_stream(struct http_exchange *x)
{
    struct http_header headers[] = {{"Content-Type", "text/event-stream; charset=utf-8"}, {0}};

    http_reply_start(x, 200, headers, -1);
    http_exchange_set_handler(x, &stream_handler, NULL);
    stream = x;
    event("ping", "{\"type\":\"ping\"}");
}

/* One item, whose session has one call in its history and gets one more on the stream. */
static void serve(struct http_exchange *x)
{
    if (is(x, "GET", "/base/v1/environments/env_01Fremd/work/poll")) {
        reply(x, 200,
              polls++ ? "null"
                      : "{\"id\":\"work_01W\",\"type\":\"work\",\"data\":{\"type\":\"session\",\"id\":\"sesn_"
                        "01S/x\"},"
                        "\"environment_id\":\"env_01Fremd\",\"state\":\"queued\",\"secret\":"
                        "\"eyJzZXNzaW9uc190b2tlbiI6InNrLWFudC1yZXEtMSJ9\",\"created_at\":\"2026-01-01T00:00:"
                        "00Z\"}");
    } else if (is(x, "POST", "/base/v1/environments/env_01Fremd/work/work_01W/ack")) {
        reply(x, 200, "{}");
    } else if (is(x, "POST", "/base/v1/environments/env_01Fremd/work/work_01W/heartbeat")) {
        reply(x, 200,
              beats++ ? "{\"type\":\"work_heartbeat\",\"last_heartbeat\":\"" BEAT_2
                        "\",\"lease_extended\":true,\"state\":\"active\",\"ttl_seconds\":2}"
                      : "{\"type\":\"work_heartbeat\",\"last_heartbeat\":\"" BEAT_1
                        "\",\"lease_extended\":true,\"state\":\"active\",\"ttl_seconds\":2}");
    } else if (is(x, "POST", "/base/v1/environments/env_01Fremd/work/work_01W/stop")) {
        reply(x, 200, "{}");
    } else if (is(x, "GET", "/base/v1/sessions/sesn_01S/x")) {
        reply(x, 200, "{\"id\":\"sesn_01S/x\",\"status\":\"running\"}");
    } else if (is(x, "GET", "/base/v1/sessions/sesn_01S/x/events/stream")) {
        begin_stream(x);
    } else if (is(x, "GET", "/base/v1/sessions/sesn_01S/x/events") &&
               strstr(http_exchange_head(x)->query, "page=c%3D1")) {
        reply(x, 200,
              "{\"data\":[{\"id\":\"sevt_b\",\"type\":\"agent.tool_use\",\"name\":\"bash\",\"input\":{"
              "\"command\":\"ls\"},"
              "\"processed_at\":\"2026-01-01T00:00:00Z\"}],\"next_page\":null}");
    } else if (is(x, "GET", "/base/v1/sessions/sesn_01S/x/events")) {
        reply(x, 200,
              "{\"data\":[{\"id\":\"sevt_a\",\"type\":\"user.message\",\"content\":[{\"type\":\"text\","
              "\"text\":\"\\ud800\"}],"
              "\"processed_at\":null}],\"next_page\":\"c=1\"}");
    } else if (is(x, "POST", "/base/v1/sessions/sesn_01S/x/events")) {
        reply(x, 200, "{}");
    } else {
        reply(x, 404, "nothing there");
    }
}

static void on_request(void *user, struct http_exchange *x)
{
    note(x);
    if (cut)
        http_exchange_abort(x);
    else if (misbehaviour)
        reply(x, atoi(misbehaviour), strchr(misbehaviour, ' ') + 1);
    else
        serve(x);
}

static const struct http_server_handler server_handler = {.request = on_request};

static void start(enum role role)
{
    static const struct api_environment environment = {"env_01Fremd", "env-key"};
    static const char *const agents[] = {"agent_01Fremd"};
    struct http_server_options server_options = {.listen = "127.0.0.1:0"};
    struct api_client_options client_options = {.api_key = "api-key",
                                                .prefix = "/base",
                                                .hostname = "control.example",
                                                .environments = &environment,
                                                .environment_count = 1,
                                                .agents = agents};

    api_stage_init(&stage, scenario);
    ck_assert_int_eq(http_server_new(stage.base, &server_options, &server_handler, NULL, &server), 0);
    api_stage_connect(&stage, http_server_port(server), &client_options);
    api_stage_add(&stage, ADDR(role, 0));
}

static void stop(void)
{
    api_stage_stop(&stage);
    api_test_run_ms(stage.base, 20); /* the server sees that its clients are gone */
    http_server_free(server);
    api_stage_deinit(&stage);
}

#define ASKED(text)                                                                                          \
    ck_assert_msg(strstr(asked, (text)) != NULL, "not asked: %s; but:\n%.3000s", (text), asked)

START_TEST(a_runner)
{
    start(ROLE_RUNNER);
    API_RUN_UNTIL(stage.base, strstr(asked, "\"tool_use_id\":\"sevt_b\"") && stream);
    event("agent.tool_use",
          "{\"id\":\"sevt_c\",\"type\":\"agent.tool_use\",\"name\":\"grep\",\"input\":{},\"processed_at\":"
          "\"2026-01-01T00:00:01Z\"}");
    event("event_delta", "{\"event_id\":\"x\"}");
    event("some.novelty", "{\"id\":\"sevt_d\",\"type\":\"some.novelty\"}");
    API_RUN_UNTIL(stage.base, strstr(asked, "\"tool_use_id\":\"sevt_c\""));
    API_RUN_UNTIL(stage.base, beats >= 3);
    event("session.status_idle",
          "{\"id\":\"sevt_e\",\"type\":\"session.status_idle\",\"stop_reason\":{\"type\":\"end_turn\"},"
          "\"processed_at\":\"2026-01-01T00:00:02Z\"}");
    API_RUN_UNTIL(stage.base, strstr(asked, "{\"force\":true}"));
    ASKED("GET /base/v1/environments/env_01Fremd/work/poll?block_ms=999 [Bearer env-key]");
    ASKED("POST /base/v1/environments/env_01Fremd/work/work_01W/ack [Bearer env-key] \n");
    ASKED(
        "POST /base/v1/environments/env_01Fremd/work/work_01W/heartbeat?expected_last_heartbeat=NO_HEARTBEAT "
        "[Bearer "
        "sk-ant-req-1] \n");
    ASKED("expected_last_heartbeat=2026-01-01T00%3A00%3A00.000Z [Bearer sk-ant-req-1] \n");
    ASKED("expected_last_heartbeat=2126-01-01T00%3A00%3A00.123%2B00%3A00 [Bearer sk-ant-req-1] \n");
    ASKED("GET /base/v1/sessions/sesn_01S%2Fx [Bearer sk-ant-req-1]");
    ASKED("GET /base/v1/sessions/sesn_01S%2Fx/events/stream [Bearer sk-ant-req-1]");
    ASKED("GET /base/v1/sessions/sesn_01S%2Fx/events?limit=1000 [Bearer sk-ant-req-1]");
    ASKED("GET /base/v1/sessions/sesn_01S%2Fx/events?limit=1000&page=c%3D1 [Bearer sk-ant-req-1]");
    /* Neither could be run here: both are told so, and nothing is made up. */
    ASKED("{\"events\":[{\"type\":\"user.tool_result\",\"tool_use_id\":\"sevt_b\",\"is_error\":true,"
          "\"content\":"
          "[{\"type\":\"text\",\"text\":\"" API_CLIENT_FOREIGN "\"}]}]}");
    ASKED("{\"events\":[{\"type\":\"user.tool_result\",\"tool_use_id\":\"sevt_c\",\"is_error\":true,"
          "\"content\":"
          "[{\"type\":\"text\",\"text\":\"" API_CLIENT_FOREIGN "\"}]}]}");
    ASKED("work_01W/stop [Bearer sk-ant-req-1] {\"force\":true}");
    ck_assert_uint_eq(recorder_counter(stage.recorder, COUNTER_HASH_MISMATCHES), 0);
    stop();
}
END_TEST

START_TEST(a_client)
{
    start(ROLE_CLIENT);
    API_RUN_UNTIL(stage.base, asked[0]);
    ASKED("POST /base/v1/sessions [api-key] "
          "{\"agent\":\"agent_01Fremd\",\"environment_id\":\"env_01Fremd\",\"metadata\":{"
          "\"windtunnel.ordinal\":\"0\"}}\n");
    stop();
}
END_TEST

/* Answers that are none, each with how often it is seen as the peer's fault and as one that may pass. */
START_TEST(misbehaving)
{
    static const struct {
        const char *answer;
        bool violation;
    } cases[] = {
        {"200 <html>", true},
        {"200 ", true},
        {"200 []", true},
        {"200 {\"id\":7}", true},
        {"200 {\"id\":\"work_1\",\"data\":{}}", true},
        {"302 {}", true},
        {"500 no JSON at all", false},
        {"529 {\"type\":\"error\"}", false},
        {"429 {}", false},
        {"408 {}", false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        misbehaviour = cases[i].answer;
        asked[0] = '\0';
        start(ROLE_RUNNER);
        API_RUN_UNTIL(stage.base,
                      recorder_counter(stage.recorder, cases[i].violation ? COUNTER_PROTOCOL_VIOLATIONS
                                                                          : COUNTER_HTTP_ERRORS));
        ck_assert_msg(strstr(asked, "work/poll"), "case %zu", i);
        stop();
    }
}
END_TEST

START_TEST(cut_off)
{
    cut = true;
    start(ROLE_RUNNER);
    API_RUN_UNTIL(stage.base,
                  recorder_counter(stage.recorder, COUNTER_HTTP_ERRORS) >= 2); /* it tries again, later */
    ck_assert_uint_eq(recorder_counter(stage.recorder, COUNTER_PROTOCOL_VIOLATIONS), 0);
    stop();
}
END_TEST

static void add_tests(TCase *tc)
{
    tcase_add_test(tc, a_runner);
    tcase_add_test(tc, a_client);
    tcase_add_test(tc, misbehaving);
    tcase_add_test(tc, cut_off);
}

int main(void)
{
    return api_test_main("orchestrator_api_foreign", add_tests);
}
