/* The control plane's surface over real sockets, asked by hand: good requests, bad ones, slow ones. */
#include "mock-orchestrator/api_wire.h"
#include "mock-orchestrator/json_text.h"
#include "tests/live/api_hand.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Bad requests
 * ----------------------------------------------------------------------------------------------- */

START_TEST(refused)
{
    static const struct {
        const char *key, *method, *target, *body;
        int status;
        const char *says;
    } cases[] = {
        {"wrong", "GET", "/v1/agents", NULL, 401, "authentication_error"},
        {"W", "GET", "/v1/agents", NULL, 403, "permission_error"},
        {"V", "GET", "/v1/environments/env_x/work/poll", NULL, 403, "permission_error"},
        {"sk-ant-req-0000000000000001-0000000000000001-00000000000000000000000000000000", "GET",
         "/v1/sessions/sesn_0000000000000001", NULL, 401, "authentication_error"},
        {"K", "GET", "/", NULL, 404, "not_found_error"},
        {"K", "GET", "/v1//agents", NULL, 404, "not_found_error"},
        {"K", "GET", "/v1/agents/", NULL, 404, "not_found_error"},
        {"K", "GET", "/v2/agents", NULL, 404, "not_found_error"},
        {"K", "GET", "/v1/agents/agent_0000000000000001/versions/more", NULL, 404, "not_found_error"},
        {"K", "PUT", "/v1/agents", "{}", 405, "invalid_request_error"},
        {"K", "DELETE", "/v1/agents", NULL, 405, "invalid_request_error"},
        {"K", "GET", "/v1/agents/agent_x", NULL, 404, "not_found_error"},
        {"K", "GET", "/v1/agents/agent_ffffffffffffffff", NULL, 404, "not_found_error"},
        {"K", "GET", "/v1/agents?limit=0", NULL, 400, "limit"},
        {"K", "GET", "/v1/agents?limit=1001", NULL, 400, "limit"},
        {"K", "GET", "/v1/agents?limit=-1", NULL, 400, "limit"},
        {"K", "GET", "/v1/agents?page=7", NULL, 400, "page"},
        {"K", "POST", "/v1/agents", "{", 400, "not JSON: line 1, column 1"},
        {"K", "POST", "/v1/agents", "[]", 400, "not a JSON object"},
        {"K", "POST", "/v1/agents", "null", 400, "not a JSON object"},
        {"K", "POST", "/v1/agents", "\"\\ud800\"", 400, "not a JSON object"},
        {"K", "POST", "/v1/agents", "{\"name\":\"a\"} {}", 400, "not JSON"},
        {"K", "POST", "/v1/agents", "{}", 400, "name and model are required"},
        {"K", "POST", "/v1/agents", "{\"name\":7,\"model\":\"m\"}", 400, "name"},
        {"K", "POST", "/v1/agents", "{\"name\":\"a\",\"model\":7}", 400, "model"},
        {"K", "POST", "/v1/agents", "{\"name\":\"a\",\"model\":\"m\",\"tools\":{}}", 400, "tools"},
        {"K", "POST", "/v1/agents", "{\"name\":\"a\",\"model\":\"m\",\"tools\":[7]}", 400, "tools"},
        {"K", "POST", "/v1/agents", "{\"name\":\"a\",\"model\":\"m\",\"metadata\":[]}", 400, "metadata"},
        {"K", "POST", "/v1/environments", "{}", 400, "name"},
        {"K", "GET", "/v1/environments/env_none", NULL, 404, "environment_not_found"},
        {"K", "POST", "/v1/sessions", "{}", 400, "environment_id"},
        {"K", "POST", "/v1/sessions", "{\"environment_id\":\"env_none\"}", 404, "environment_not_found"},
        {"K", "POST", "/v1/sessions", "{\"environment_id\":\"env_x\"}", 400, "agent"},
        {"K", "POST", "/v1/sessions", "{\"environment_id\":\"env_x\",\"agent\":{}}", 400, "agent"},
        {"K", "POST", "/v1/sessions", "{\"environment_id\":\"env_x\",\"agent\":\"nobody\"}", 404, "agent"},
        {"K", "POST", "/v1/sessions", "{\"environment_id\":\"env_x\",\"agent\":{\"id\":\"s\",\"version\":9}}",
         404, "version"},
        {"K", "POST", "/v1/sessions", "{\"environment_id\":\"env_x\",\"agent\":\"s\",\"metadata\":7}", 400,
         "metadata"},
        {"K", "POST", "/v1/sessions", "{\"environment_id\":\"env_x\",\"agent\":\"s\",\"title\":7}", 400,
         "title"},
        {"K", "GET", "/v1/sessions/sesn_unknown", NULL, 404, "not_found_error"},
        {"K", "GET", "/v1/sessions/sesn_unknown/events", NULL, 404, "not_found_error"},
        {"K", "GET", "/v1/sessions/sesn_unknown/events/stream", NULL, 404, "not_found_error"},
        {"K", "GET", "/v1/sessions/sesn_unknown/threads", NULL, 404, "not_found_error"},
        {"K", "DELETE", "/v1/sessions/sesn_unknown", NULL, 404, "not_found_error"},
        {"W", "GET", "/v1/environments/env_x/work/poll?block_ms=0", NULL, 400, "block_ms"},
        {"W", "GET", "/v1/environments/env_x/work/poll?block_ms=1000", NULL, 400, "block_ms"},
        {"W", "GET", "/v1/environments/env_x/work/poll?block_ms=x", NULL, 400, "block_ms"},
        {"W", "GET", "/v1/environments/env_x/work/poll?reclaim_older_than_ms=x", NULL, 400, "reclaim"},
        {"W", "GET", "/v1/environments/env_none/work/poll", NULL, 404, "environment"},
        {"W", "POST", "/v1/environments/env_x/work/work_none/ack", NULL, 404, "not_found_error"},
        {"W", "POST", "/v1/environments/env_x/work/work_0000000000000001/heartbeat", NULL, 400,
         "expected_last_heartbeat"},
        {"W", "POST", "/v1/environments/env_x/work/work_0000000000000009/stop", "{\"force\":7}", 400,
         "force"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int status = hand_ask(cases[i].key, cases[i].method, cases[i].target, cases[i].body);

        ck_assert_msg(status == cases[i].status && strstr(hand_body(), cases[i].says), "case %zu: %s %s: %s",
                      i, cases[i].method, cases[i].target, hand.answer);
        ck_assert_msg(strstr(hand.answer, "request-id: req_") != NULL, "case %zu has no request-id: %s", i,
                      hand.answer);
        ck_assert_str_eq(hand_member("type"), "error");
    }
    ck_assert_uint_ge(recorder_counter(hand.stage.recorder, COUNTER_AUTH_REFUSED), 4);
}
END_TEST

START_TEST(bad_events)
{
    static const struct {
        const char *body;
        const char *says;
    } cases[] = {
        {"{}", "events"},
        {"{\"events\":{}}", "events"},
        {"{\"events\":[]}", "events"},
        {"{\"events\":[7]}", "type"},
        {"{\"events\":[{\"type\":\"agent.message\"}]}", "agent"},
        {"{\"events\":[{\"type\":\"session.status_idle\"}]}", "\"type\":\"error\""},
        {"{\"events\":[{\"type\":\"no.such\"}]}", "cannot be sent"},
        {"{\"events\":[{\"type\":\"user.message\"}]}", "content"},
        {"{\"events\":[{\"type\":\"user.message\",\"content\":7}]}", "content"},
        {"{\"events\":[{\"type\":\"user.message\",\"content\":[7]}]}", "content"},
        {"{\"events\":[{\"type\":\"user.message\",\"content\":[{\"type\":\"text\"}]}]}", "content"},
        {"{\"events\":[{\"type\":\"user.tool_result\"}]}", "tool use"},
        {"{\"events\":[{\"type\":\"user.tool_result\",\"tool_use_id\":\"sevt_none\"}]}",
         "invalid_request_error"},
        {"{\"events\":[{\"type\":\"user.tool_result\",\"tool_use_id\":\"x\",\"is_error\":\"no\"}]}",
         "is_error"},
        {"{\"events\":[{\"type\":\"user.tool_confirmation\",\"tool_use_id\":\"x\"}]}", "result"},
        {"{\"events\":[{\"type\":\"user.message\",\"content\":\"a\"},{\"type\":\"no.such\"}]}", "events.1"},
    };
    char id[64], target[128];

    hand_session_new("chat", id);
    snprintf(target, sizeof target, "/v1/sessions/%s/events", id);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int status = hand_ask("K", "POST", target, cases[i].body);

        ck_assert_msg(status == 400 && (strstr(hand_body(), cases[i].says) || i == 4), "case %zu: %.1000s", i,
                      hand.answer);
    }
    /* All or nothing: no event of these is there. */
    ck_assert_int_eq(hand_ask("K", "GET", target, NULL), 200);
    ck_assert_str_eq(hand_body(), "{\"data\":[],\"next_page\":null}");
}
END_TEST

START_TEST(sizes)
{
    static char large[BODY_MAX + 40000];
    static const char head[] =
        "POST /v1/agents HTTP/1.1\r\nHost: h\r\nx-api-key: K\r\nContent-Length: 300001\r\n\r\n";
    int fd, status;

    /* Told by the head, before the body has come; and found out on the way. */
    status = hand_raw(head, sizeof head - 1);
    ck_assert_int_eq(status, 413);
    ck_assert_ptr_nonnull(strstr(hand.answer, "request_too_large"));
    ck_assert_ptr_nonnull(strstr(hand.answer, "request-id: req_"));
    fd = hand_dial();
    hand_say(
        fd,
        "POST /v1/agents HTTP/1.1\r\nHost: h\r\nx-api-key: K\r\nTransfer-Encoding: chunked\r\n\r\n50000\r\n");
    memset(large, 'x', sizeof large);
    hand_say_bytes(fd, large, sizeof large);
    hand_hear(fd, NULL);
    close(fd);
    ck_assert_int_eq(atoi(hand.answer + 9), 413);
    ck_assert_ptr_nonnull(strstr(hand.answer, "request_too_large"));
    /* A deep document, and one of many parts. */
    memset(large, '[', 100000);
    large[100000] = '\0';
    ck_assert_int_eq(hand_ask("K", "POST", "/v1/agents", large), 400);
    /* Documents are bounded in sum: there comes a point at which no more are taken, and all else goes on. */
    memset(large, 'd', 30000);
    large[30000] = '\0';
    for (int i = 0; i < 3; i++) {
        char *body = malloc(40000);

        snprintf(body, 40000, "{\"name\":\"n\",\"model\":\"m\",\"description\":\"%s\"}", large);
        status = hand_ask("K", "POST", "/v1/agents", body);
        free(body);
    }
    ck_assert_int_eq(status, 400);
    ck_assert_ptr_nonnull(strstr(hand.answer, "no room"));
    ck_assert_int_eq(hand_ask("K", "GET", "/v1/agents", NULL), 200);
}
END_TEST

/* A request in pieces is one; one that never comes to its end is in nobody's way. */
START_TEST(slow_requests)
{
    static const char request[] =
        "GET /v1/agents?beta=true HTTP/1.1\r\nHost: h\r\nx-api-key: K\r\nConnection: close\r\n\r\n";
    int fd = hand_dial(), stuck = hand_dial();

    hand_say(stuck, "POST /v1/agents HTTP/1.1\r\nHost: h\r\nx-api-key: K\r\nContent-Length: 10\r\n\r\n{");
    for (size_t i = 0; i < sizeof request - 1; i++) {
        hand_say_bytes(fd, request + i, 1);
        hand_turn();
    }
    ck_assert(hand_hear(fd, NULL));
    ck_assert_int_eq(atoi(hand.answer + 9), 200);
    close(fd);
    close(stuck); /* gone in mid-body */
    api_test_run_ms(hand.stage.base, 20);
    ck_assert(hand_ask("K", "GET", "/v1/agents", NULL) == 200);
}
END_TEST

/* What the HTTP layer answers itself is an error of the API like any other: its JSON, its request id. */
static void check_own_error(int status)
{
    char header[128];

    ck_assert_msg(strncmp(hand.answer, "HTTP/1.1 ", 9) == 0 && atoi(hand.answer + 9) == status, "%.1000s",
                  hand.answer);
    ck_assert_str_eq(hand_member("type"), "error");
    snprintf(header, sizeof header, "request-id: %s\r\n", hand_member("request_id"));
    ck_assert_msg(strncmp(header, "request-id: req_", 16) == 0 && strstr(hand.answer, header), "%.1000s",
                  hand.answer);
}

START_TEST(no_requests_at_all)
{
    static const struct {
        const char *request;
        int status;
    } cases[] = {
        {"GARBAGE\r\n\r\n", 400},
        {"GET /v1/agents HTTP/1.1\r\nx-api-key: K\r\n\r\n", 400},
        {"GET /v1/%zz HTTP/1.1\r\nHost: h\r\n\r\n", 400},
        {"POST /v1/agents HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400},
        {"POST /v1/agents HTTP/1.1\r\nHost: h\r\nx-api-key: K\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
         400},
        {"GET /v1/agents HTTP/3.0\r\nHost: h\r\n\r\n", 505},
    };
    static const char begun[] = "GET /v1/agents HTTP/1.1\r\nHost: h\r\nX: ";
    static char head[40000];

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hand_raw(cases[i].request, strlen(cases[i].request));
        check_own_error(cases[i].status);
    }
    memset(head, 'h', sizeof head);
    memcpy(head, begun, sizeof begun - 1);
    hand_raw(head, sizeof head);
    check_own_error(431);
}
END_TEST

/* Many that drip: each is told when its time is up, and holds no more than its head until then. */
START_TEST(slowloris)
{
    enum { DRIPPING = 100 };
    static const char *const begun[] = {
        "GET /v1/agents HTTP/1.1\r\nHost: h\r\nX: ",
        "POST /v1/agents HTTP/1.1\r\nHost: h\r\nx-api-key: K\r\nContent-Length: 100000\r\n\r\n"};
    size_t before = mallinfo2().uordblks;
    nsec_t start = api_test_now();
    int fds[DRIPPING];

    for (int i = 0; i < DRIPPING; i++) {
        fds[i] = hand_dial();
        hand_say(fds[i], begun[i % 2]);
    }
    while (api_test_now() < start + 700 * NSEC_PER_MS) {
        for (int i = 0; i < DRIPPING; i++) hand_say(fds[i], "xxxx");
        api_test_run_ms(hand.stage.base, 20);
    }
    /* The sanitizer's heap tells nothing: 0. */
    if (before) ck_assert_uint_lt(mallinfo2().uordblks - before, DRIPPING * 32 * 1024);
    for (int i = 0; i < DRIPPING; i++) {
        ck_assert(hand_hear(fds[i], NULL));
        check_own_error(408);
        close(fds[i]);
    }
    ck_assert_int_eq(hand_ask("K", "GET", "/v1/agents", NULL), 200);
}
END_TEST

/* Texts
 * ------------------------------------------------------------------------------------------------------ */

/* Whatever a peer posts comes back to the letter: in the answer, in the history, in a stream. */
START_TEST(texts_come_back)
{
    static const struct {
        const char *posted, *stored;
    } cases[] = {
        {"plain", "plain"},
        {"K\xc3\xa4se \xf0\x9f\x8c\xaa \\u98a8\\u6d1e",
         "K\xc3\xa4se \xf0\x9f\x8c\xaa \xe9\xa2\xa8\xe6\xb4\x9e"},
        {"\\ud83c\\udf2a", "\xf0\x9f\x8c\xaa"},
        {"quote \\\" back \\\\ \\u0001 \\n \\u0000 end", "quote \\\" back \\\\ \\u0001 \\n \\u0000 end"},
        {"lone \\ud800 and \\udc00!", "lone \xef\xbf\xbd and \xef\xbf\xbd!"},
        {"\\\\ud800", "\\\\ud800"},
        {"bad \xff\xc3 bytes", "bad \xef\xbf\xbd\xef\xbf\xbd bytes"},
        {"plain", "plain"}, /* the same once more is an event of its own */
        {"12345", "12345"}, /* as long as the scenario's own */
    };
    char id[64], target[128], expected[256];
    int fd;

    hand_session_new("chat", id);
    snprintf(target, sizeof target, "/v1/sessions/%s/events", id);
    fd = hand_dial();
    hand_say(fd, hand_format("GET %s/stream HTTP/1.1\r\nHost: h\r\nx-api-key: K\r\n\r\n", target));
    ck_assert(hand_hear(fd, "text/event-stream"));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(expected, sizeof expected, "\"content\":[{\"type\":\"text\",\"text\":\"%s\"}]",
                 cases[i].stored);
        ck_assert_int_eq(
            hand_ask(
                "K", "POST", target,
                hand_format(
                    "{\"events\":[{\"type\":\"user.message\",\"content\":[{\"type\":\"text\",\"text\":\"%s\"}"
                    "]}]}",
                    cases[i].posted)),
            200);
        ck_assert_msg(strstr(hand.answer, expected) != NULL, "case %zu: %.1000s", i, hand.answer);
        ck_assert(hand_hear(fd, "session.status_idle"));
        ck_assert_msg(strstr(hand.answer, expected) != NULL, "case %zu, stream: %.1000s", i, hand.answer);
    }
    close(fd);
    ck_assert_int_eq(hand_ask("K", "GET", target, NULL), 200);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(expected, sizeof expected, "\"text\":\"%s\"}]", cases[i].stored);
        ck_assert_msg(strstr(hand.answer, expected) != NULL, "case %zu, history: %.1000s", i, hand.answer);
    }
    json_decref(hand_json());
}
END_TEST

/* Other blocks, several of them, and several events in one request. */
START_TEST(blocks_and_batches)
{
    static const char image[] = "{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"data\":\"AAAA\"}}";
    char id[64], target[128];

    hand_session_new("chat", id);
    snprintf(target, sizeof target, "/v1/sessions/%s/events", id);
    ck_assert_int_eq(
        hand_ask(
            "K", "POST", target,
            hand_format(
                "{\"events\":[{\"type\":\"user.message\",\"content\":[%s,{\"type\":\"text\",\"text\":\"a\"}]}"
                ","
                "{\"type\":\"user.message\",\"content\":\"b\"},{\"type\":\"user.message\",\"content\":[]}]}",
                image)),
        200);
    ck_assert_ptr_nonnull(strstr(hand.answer, image));
    ck_assert_ptr_nonnull(strstr(hand.answer, "\"content\":[{\"type\":\"text\",\"text\":\"b\"}]"));
    ck_assert_ptr_nonnull(strstr(hand.answer, "\"content\":[]"));
    {
        json_t *json = hand_json();

        ck_assert_uint_eq(json_array_size(json_object_get(json, "data")), 3);
        json_decref(json);
    }
}
END_TEST

/* The store of texts is bounded, and a deleted session gives its part back. */
START_TEST(texts_are_bounded)
{
    static char body[BODY_MAX];
    char id[64], other[64], target[128];
    int status = 200, n = 0;

    hand_session_new("chat", id);
    hand_session_new("chat", other);
    snprintf(target, sizeof target, "/v1/sessions/%s/events", id);
    snprintf(body, sizeof body, "{\"events\":[{\"type\":\"user.message\",\"content\":\"%0200000d\"}]}", 7);
    for (; status == 200 && n < 20; n++) status = hand_ask("K", "POST", target, body);
    ck_assert_int_eq(status, 529);
    ck_assert_int_eq(n, CONTENT_MAX / 200000 + 1);
    ck_assert_ptr_nonnull(strstr(hand.answer, "overloaded_error"));
    ck_assert_int_eq(hand_ask("K", "DELETE", hand_format("/v1/sessions/%s", id), NULL), 200);
    ck_assert_str_eq(hand_member("type"), "session_deleted");
    ck_assert_int_eq(hand_ask("K", "GET", hand_format("/v1/sessions/%s", id), NULL), 404);
    snprintf(target, sizeof target, "/v1/sessions/%s/events", other);
    ck_assert_int_eq(hand_ask("K", "POST", target, body), 200);
}
END_TEST

/* Pages
 * ------------------------------------------------------------------------------------------------------ */

START_TEST(pages_of_history)
{
    char id[64], target[256], page[64], all[200] = "", back[200] = "";
    size_t count = 0;

    hand_session_new("chat", id);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(hand_ask("K", "POST", hand_format("/v1/sessions/%s/events", id),
                                  "{\"events\":[{\"type\":\"user.message\",\"content\":\"hello\"}]}"),
                         200);
        api_test_run_ms(hand.stage.base, 10);
    }
    for (int descending = 0; descending < 2; descending++) {
        page[0] = '\0';
        do {
            json_t *json, *event;
            size_t i;

            snprintf(target, sizeof target, "/v1/sessions/%s/events?limit=3%s%s%s", id,
                     descending ? "&order=desc" : "", page[0] ? "&page=" : "", page);
            ck_assert_int_eq(hand_ask("K", "GET", target, NULL), 200);
            json = hand_json();
            ck_assert_uint_le(json_array_size(json_object_get(json, "data")), 3);
            json_array_foreach(json_object_get(json, "data"), i, event)
            {
                const char *type = json_string_value(json_object_get(event, "type"));
                char *to = descending ? back : all;
                char letter[2] = {type[strlen(type) - 1], '\0'};

                if (descending) {
                    memmove(to + 1, to, strlen(to) + 1);
                    to[0] = letter[0];
                } else {
                    strcat(to, letter);
                }
                count++;
            }
            snprintf(page, sizeof page, "%s",
                     json_is_null(json_object_get(json, "next_page"))
                         ? ""
                         : json_string_value(json_object_get(json, "next_page")));
            json_decref(json);
        } while (page[0]);
    }
    /* message, status_running, model_request_start, agent.message, model_request_end, status_idle */
    ck_assert_str_eq(all, "egtedeegtedeegtedeegtede");
    ck_assert_str_eq(back, all);
    ck_assert_uint_eq(count, 48);
    ck_assert_int_eq(
        hand_ask("K", "GET",
                 hand_format("/v1/sessions/%s/events?types[]=user.message&types%%5B%%5D=agent.message", id),
                 NULL),
        200);
    ck_assert_ptr_null(strstr(hand.answer, "session.status"));
    ck_assert_ptr_nonnull(strstr(hand.answer, "user.message"));
    ck_assert_ptr_nonnull(strstr(hand.answer, "agent.message"));
    ck_assert_int_eq(hand_ask("K", "GET",
                              hand_format("/v1/sessions/%s/events?created_at[gt]=2999-01-01T00:00:00Z", id),
                              NULL),
                     200);
    ck_assert_str_eq(hand_body(), "{\"data\":[],\"next_page\":null}");
    ck_assert_int_eq(
        hand_ask("K", "GET", hand_format("/v1/sessions/%s/events?created_at%%5Blte%%5D=soon", id), NULL),
        400);
}
END_TEST

START_TEST(lists_of_sessions)
{
    char ids[5][64];
    json_t *json;

    for (int i = 0; i < 5; i++) hand_session_new(i % 2 ? "chat" : "s", ids[i]);
    ck_assert_int_eq(hand_ask("K", "DELETE", hand_format("/v1/sessions/%s", ids[3]), NULL), 200);
    ck_assert_int_eq(hand_ask("K", "POST", hand_format("/v1/sessions/%s/archive", ids[0]), NULL), 200);
    ck_assert_int_eq(hand_ask("K", "GET", "/v1/sessions?limit=2", NULL), 200);
    json = hand_json();
    ck_assert_uint_eq(json_array_size(json_object_get(json, "data")), 2);
    ck_assert_str_eq(json_text_get(json_array_get(json_object_get(json, "data"), 0), "id"), ids[4]);
    ck_assert_str_eq(json_text_get(json_array_get(json_object_get(json, "data"), 1), "id"), ids[2]);
    ck_assert_int_eq(hand_ask("K", "GET",
                              hand_format("/v1/sessions?limit=2&page=%s", json_text_get(json, "next_page")),
                              NULL),
                     200);
    json_decref(json);
    json = hand_json();
    ck_assert_uint_eq(json_array_size(json_object_get(json, "data")), 1);
    ck_assert(json_is_null(json_object_get(json, "next_page")));
    json_decref(json);
    ck_assert_int_eq(hand_ask("K", "GET", "/v1/sessions?statuses[]=running", NULL), 200);
    ck_assert_ptr_nonnull(strstr(hand.answer, "\"data\":[]"));
    ck_assert_int_eq(hand_ask("K", "GET", "/v1/sessions?include_archived=true&order=asc", NULL), 200);
    ck_assert_ptr_nonnull(strstr(hand.answer, ids[0]));
}
END_TEST

START_TEST(documents)
{
    char id[64];

    ck_assert_int_eq(hand_ask("K", "POST", "/v1/agents",
                              "{\"name\":\"chat\",\"model\":\"m\",\"metadata\":{\"a\":\"1\",\"b\":\"2\"}}"),
                     200);
    snprintf(id, sizeof id, "%s", hand_member("id"));
    ck_assert_int_eq(
        hand_ask("K", "POST", hand_format("/v1/agents/%s", id), "{\"version\":7,\"name\":\"other\"}"), 409);
    ck_assert_int_eq(hand_ask("K", "POST", hand_format("/v1/agents/%s", id),
                              "{\"version\":1,\"name\":\"other\",\"metadata\":{\"a\":null,\"c\":\"3\"}}"),
                     200);
    ck_assert_ptr_nonnull(strstr(hand.answer, "\"metadata\":{\"b\":\"2\",\"c\":\"3\"}"));
    ck_assert_ptr_nonnull(strstr(hand.answer, "\"version\":2"));
    ck_assert_int_eq(hand_ask("K", "GET", hand_format("/v1/agents/%s?version=1", id), NULL), 200);
    ck_assert_str_eq(hand_member("name"), "chat");
    ck_assert_int_eq(hand_ask("K", "GET", hand_format("/v1/agents/%s/versions", id), NULL), 200);
    ck_assert_int_eq(hand_ask("K", "POST", hand_format("/v1/agents/%s/archive", id), NULL), 200);
    ck_assert_int_eq(hand_ask("K", "POST", "/v1/sessions",
                              hand_format("{\"agent\":\"%s\",\"environment_id\":\"env_x\"}", id)),
                     400);

    ck_assert_int_eq(hand_ask("K", "POST", "/v1/environments", "{\"name\":\"mine\"}"), 200);
    snprintf(id, sizeof id, "%s", hand_member("id"));
    ck_assert_int_eq(hand_ask("W", "GET", hand_format("/v1/environments/%s/work/stats", id), NULL), 200);
    ck_assert_int_eq(hand_ask("K", "POST", "/v1/environments", "{\"name\":\"too many\"}"), 400);
    ck_assert_int_eq(hand_ask("K", "POST", hand_format("/v1/environments/%s", id), "{\"description\":\"d\"}"),
                     200);
    ck_assert_str_eq(hand_member("description"), "d");
    ck_assert_int_eq(hand_ask("K", "POST", hand_format("/v1/environments/%s/archive", id), NULL), 200);
    ck_assert_int_eq(
        hand_ask("K", "POST", "/v1/sessions", hand_format("{\"agent\":\"s\",\"environment_id\":\"%s\"}", id)),
        400);
    ck_assert_ptr_nonnull(strstr(hand.answer, "environment_archived"));
    ck_assert_int_eq(hand_ask("K", "DELETE", hand_format("/v1/environments/%s", id), NULL), 200);
    ck_assert_int_eq(hand_ask("K", "GET", hand_format("/v1/environments/%s", id), NULL), 404);
    ck_assert_int_eq(hand_ask("K", "GET", "/v1/environments/env%20y", NULL), 200);

    hand_session_new("chat", id);
    ck_assert_int_eq(hand_ask("K", "POST", hand_format("/v1/sessions/%s", id),
                              "{\"title\":\"t\",\"metadata\":{\"x\":\"y\"}}"),
                     200);
    ck_assert_str_eq(hand_member("title"), "t");
    ck_assert_int_eq(hand_ask("K", "POST", hand_format("/v1/sessions/%s", id),
                              "{\"title\":null,\"metadata\":{\"x\":null}}"),
                     200);
    ck_assert_ptr_nonnull(strstr(hand.answer, "\"title\":null"));
    ck_assert_ptr_nonnull(strstr(hand.answer, "\"metadata\":{}"));
}
END_TEST

/* Work
 * ------------------------------------------------------------------------------------------------------- */

static void decode_token(char ret_token[256])
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const char *secret = hand_member("secret");
    char text[512];
    unsigned bits = 0, have = 0;
    size_t n = 0;
    json_t *json;

    for (; *secret; secret++) {
        bits = bits << 6 | (unsigned)(strchr(alphabet, *secret) - alphabet);
        have += 6;
        if (have >= 8) text[n++] = (char)(bits >> (have -= 8) & 255);
    }
    json = json_loadb(text, n, 0, NULL);
    ck_assert_ptr_nonnull(json);
    snprintf(ret_token, 256, "%s", json_text_get(json, "sessions_token"));
    json_decref(json);
}

static char *escape_beat(const char *beat)
{
    static char text[128];
    char *to = text;

    for (; *beat; beat++) to += snprintf(to, 4, *beat == ':' ? "%%3A" : "%c", *beat);
    return text;
}

START_TEST(one_item)
{
    char session[64], work[64], token[256], beat[64], path[128];

    ck_assert_int_eq(
        hand_ask("W", "GET", "/v1/environments/env_x/work/poll?block_ms=1&reclaim_older_than_ms=", NULL),
        200);
    ck_assert_str_eq(hand_body(), "null");
    hand_session_new("s", session);
    ck_assert_int_eq(hand_ask("W", "GET", "/v1/environments/env_x/work/stats", NULL), 200);
    ck_assert_ptr_nonnull(strstr(hand.answer, "\"depth\":1,\"pending\":0"));
    ck_assert_int_eq(hand_ask("W", "GET", "/v1/environments/env_x/work/poll?block_ms=999", NULL), 200);
    ck_assert_str_eq(hand_member("state"), "queued");
    snprintf(work, sizeof work, "%s", hand_member("id"));
    decode_token(token);
    snprintf(path, sizeof path, "/v1/environments/env_x/work/%s", work);
    /* The item's token is for this item and its session alone. */
    ck_assert_int_eq(hand_ask(token, "GET", "/v1/environments/env_x/work/poll", NULL), 403);
    ck_assert_int_eq(hand_ask(token, "GET", "/v1/sessions/sesn_0000000000000009", NULL), 403);
    ck_assert_int_eq(hand_ask(token, "POST", "/v1/environments/env_x/work/work_0000000000000009/stop", "{}"),
                     403);
    ck_assert_int_eq(hand_ask(token, "GET", hand_format("/v1/sessions/%s", session), NULL), 200);
    token[strlen(token) - 1] ^= 1;
    ck_assert_int_eq(hand_ask(token, "GET", hand_format("/v1/sessions/%s", session), NULL), 401);
    token[strlen(token) - 1] ^= 1;
    /* In another environment there is no such item. */
    ck_assert_int_eq(hand_ask("V", "POST", hand_format("/v1/environments/env%%20y/work/%s/ack", work), NULL),
                     404);
    ck_assert_int_eq(hand_ask("W", "POST", hand_format("%s/ack", path), NULL), 200);
    ck_assert_str_eq(hand_member("state"), "starting");
    ck_assert_ptr_nonnull(strstr(hand.answer, "\"secret\":null"));
    ck_assert_int_eq(
        hand_ask(token, "POST", hand_format("%s/heartbeat?expected_last_heartbeat=NO_HEARTBEAT", path), NULL),
        200);
    ck_assert_str_eq(hand_member("type"), "work_heartbeat");
    ck_assert_str_eq(hand_member("state"), "active");
    snprintf(beat, sizeof beat, "%s", hand_member("last_heartbeat"));
    ck_assert_int_eq(
        hand_ask(token, "POST", hand_format("%s/heartbeat?expected_last_heartbeat=NO_HEARTBEAT", path), NULL),
        412);
    ck_assert_ptr_nonnull(strstr(hand.answer, beat));
    ck_assert_ptr_nonnull(strstr(hand.answer, "heartbeat_precondition_failed"));
    ck_assert_int_eq(
        hand_ask(token, "POST", hand_format("%s/heartbeat?expected_last_heartbeat=yesterday", path), NULL),
        412);
    ck_assert_int_eq(hand_ask(token, "POST",
                              hand_format("%s/heartbeat?expected_last_heartbeat=%s&desired_ttl_seconds=7",
                                          path, escape_beat(beat)),
                              NULL),
                     200);
    ck_assert_ptr_nonnull(strstr(hand.answer, "\"ttl_seconds\":7"));
    ck_assert_str_ne(hand_member("last_heartbeat"), beat);
    ck_assert_int_eq(hand_ask("K", "POST", path, "{\"metadata\":{\"a\":\"b\"}}"), 200);
    ck_assert_ptr_nonnull(strstr(hand.answer, "\"metadata\":{\"a\":\"b\"}"));
    ck_assert_int_eq(hand_ask("W", "GET", "/v1/environments/env_x/work", NULL), 200);
    ck_assert_ptr_nonnull(strstr(hand.answer, work));
    ck_assert_int_eq(hand_ask("V", "GET", "/v1/environments/env%20y/work", NULL), 200);
    ck_assert_ptr_nonnull(strstr(hand.answer, "\"data\":[]"));
    ck_assert_int_eq(hand_ask(token, "POST", hand_format("%s/stop", path), NULL), 200);
    ck_assert_str_eq(hand_member("state"), "stopping");
    ck_assert_int_eq(hand_ask(token, "POST", hand_format("%s/stop", path), "{\"force\":true}"), 200);
    ck_assert_str_eq(hand_member("state"), "stopped");
    ck_assert_int_eq(hand_ask(token, "POST", hand_format("%s/stop", path), "{\"force\":true}"), 409);
}
END_TEST

/* Streams
 * ---------------------------------------------------------------------------------------------------- */

START_TEST(a_stream_is_kept_alive_and_ends)
{
    char id[64];
    const char *request;
    int fd = hand_dial();

    hand_session_new("chat", id);
    request =
        hand_format("GET /v1/sessions/%s/events/stream?event_deltas%%5B%%5D=agent.message HTTP/1.1\r\nHost: "
                    "h\r\nx-api-key: "
                    "K\r\nAccept: application/json\r\n\r\n",
                    id);
    hand_say(fd, request);
    ck_assert(hand_hear(fd, "event: ping\ndata: {\"type\":\"ping\"}\n\n"));
    ck_assert_int_eq(hand_ask("K", "DELETE", hand_format("/v1/sessions/%s", id), NULL), 200);
    ck_assert(hand_hear(fd, "\r\n0\r\n\r\n"));
    ck_assert_ptr_nonnull(strstr(hand.answer, "session.deleted"));
    close(fd);
}
END_TEST

/* A client that goes away is forgotten; one that reads nothing is cut off, and what waits for it is bounded.
 */
START_TEST(laggards)
{
    static char body[BODY_MAX];
    char id[64];
    const char *request;
    int fd = hand_dial(), small = 4096;

    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    hand_session_new("chat", id);
    request =
        hand_format("GET /v1/sessions/%s/events/stream HTTP/1.1\r\nHost: h\r\nx-api-key: K\r\n\r\n", id);
    hand_say(fd, request);
    ck_assert(hand_hear(fd, "text/event-stream"));
    snprintf(body, sizeof body, "{\"events\":[{\"type\":\"user.message\",\"content\":\"%050000d\"}]}", 7);
    for (int i = 0; i < 20; i++) {
        ck_assert_int_eq(hand_ask("K", "POST", hand_format("/v1/sessions/%s/events", id), body), 200);
        api_test_run_ms(hand.stage.base, 5);
    }
    /* Small events on top, until it is too far behind. */
    for (int i = 0; i < 40 && recorder_counter(hand.stage.recorder, COUNTER_LAGGARDS_DROPPED) == 0; i++) {
        hand_ask("K", "POST", hand_format("/v1/sessions/%s/events", id),
                 "{\"events\":[{\"type\":\"user.message\",\"content\":\"x\"}]}");
        api_test_run_ms(hand.stage.base, 5);
    }
    ck_assert_uint_eq(recorder_counter(hand.stage.recorder, COUNTER_LAGGARDS_DROPPED), 1);
    while (hand_hear(fd, "{")) continue; /* it is cut after what was under way */
    close(fd);
    fd = hand_dial();
    hand_say(fd, request);
    close(fd);
    api_test_run_ms(hand.stage.base, 30);
}
END_TEST

START_TEST(drain)
{
    char id[64];
    const char *request;
    int fd = hand_dial(), poll = hand_dial();
    nsec_t before;

    hand_session_new("chat", id);
    ck_assert_int_eq(hand_ask("W", "GET", "/v1/environments/env_x/work/poll", NULL), 200);
    request =
        hand_format("GET /v1/sessions/%s/events/stream HTTP/1.1\r\nHost: h\r\nx-api-key: K\r\n\r\n", id);
    hand_say(fd, request);
    ck_assert(hand_hear(fd, "text/event-stream"));
    request = "GET /v1/environments/env_x/work/poll?block_ms=999 HTTP/1.1\r\nHost: h\r\nx-api-key: K\r\n\r\n";
    hand_say(poll, request);
    api_test_run_ms(hand.stage.base, 20);
    before = api_test_now();
    api_server_drain(hand.server);
    ck_assert(hand_hear(fd, "0\r\n\r\n")); /* in order */
    ck_assert(hand_hear(poll, "503"));
    API_RUN_UNTIL(hand.stage.base, api_server_idle(hand.server));
    ck_assert_uint_lt(api_test_now() - before, NSEC_PER_S);
    close(fd);
    close(poll);
}
END_TEST

static void add_tests(TCase *tc)
{
    tcase_add_checked_fixture(tc, hand_setup, hand_teardown);
    tcase_add_test(tc, refused);
    tcase_add_test(tc, bad_events);
    tcase_add_test(tc, sizes);
    tcase_add_test(tc, slow_requests);
    tcase_add_test(tc, no_requests_at_all);
    tcase_add_test(tc, slowloris);
    tcase_add_test(tc, texts_come_back);
    tcase_add_test(tc, blocks_and_batches);
    tcase_add_test(tc, texts_are_bounded);
    tcase_add_test(tc, pages_of_history);
    tcase_add_test(tc, lists_of_sessions);
    tcase_add_test(tc, documents);
    tcase_add_test(tc, one_item);
    tcase_add_test(tc, a_stream_is_kept_alive_and_ends);
    tcase_add_test(tc, laggards);
    tcase_add_test(tc, drain);
}

int main(void)
{
    return api_test_main("orchestrator_api", add_tests);
}
