/*
 * Large outputs on the wire: what the model is told of them, where they lie, and what is read back; and that
 * the bytes of whatever is posted are looked at. Client, runner and orchestrator speak HTTP over loopback,
 * and the test asks by hand beside them.
 */
#include "mock-orchestrator/api_body.h"
#include "mock-orchestrator/api_server.h"
#include "mock-orchestrator/json_text.h"
#include "sim/base/ids.h"
#include "sim/live/content.h"
#include "sim/live/disk.h"
#include "tests/live/api_stage.h"

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ANSWER_MAX = 8 << 20, BASH_CHARS = 250000, MCP_CHARS = 400000 };

#define SESSION "sesn_0000000000000001"

/* After the first turn nothing happens for a while, so that it can be looked at. */
static const char scenario[] =
    "{\"schema\":\"windtunnel.scenario/1\",\"name\":\"api\",\"duration\":\"5min\",\"drain\":\"10s\","
    "\"load\":{\"a\":{\"script\":\"s\",\"process\":\"at-once\",\"sessions\":1}},"
    "\"scripts\":{\"s\":{\"turns\":[{\"message_bytes\":5,\"steps\":["
    "{\"model\":\"5ms\",\"calls\":[{\"tool\":\"bash\",\"execution\":\"3ms\",\"output\":250000}]},"
    "{\"model\":\"5ms\",\"calls\":[{\"tool\":\"read\"}]},"
    "{\"model\":\"5ms\",\"calls\":[{\"mcp\":\"m\",\"output\":400000}]},"
    "{\"model\":\"5ms\",\"calls\":[{\"tool\":\"read\"}]}],\"answer\":{\"model\":\"5ms\"}},"
    "{\"think\":\"4min\",\"answer\":{\"model\":\"5ms\"}}]}},"
    "\"mcp\":{\"m\":{\"service_time\":\"2ms\"}},"
    "\"orchestrator\":{\"sessions_max\":1000,\"mcp\":{\"direct\":true},\"read_piece\":60000},"
    "\"runners\":{\"p\":{\"workers\":2,\"poll_pause\":[\"5ms\",\"20ms\"],\"max_idle\":\"1min\",\"cold_"
    "start\":"
    "\"3ms\"}}}";

static struct api_stage stage;
static struct api_server *server;
static char *answer;

static void start(void)
{
    static const struct api_environment environment = {"env_x", "W"};
    struct api_server_options server_options = {.self = ADDR(ROLE_ORCHESTRATOR, 0),
                                                .listen = "127.0.0.1:0",
                                                .environments = &environment,
                                                .environment_count = 1};
    struct api_client_options client_options = {.environments = &environment, .environment_count = 1};

    answer = malloc(ANSWER_MAX);
    api_stage_init(&stage, scenario);
    ck_assert_int_eq(api_server_new(stage.driver, &server_options, &server), 0);
    api_stage_connect(&stage, api_server_port(server), &client_options);
    api_stage_add(&stage, ADDR(ROLE_MCP, 0));
    api_stage_add(&stage, ADDR(ROLE_ORCHESTRATOR, 0));
}

static void stop(void)
{
    api_stage_stop(&stage);
    api_server_free(server);
    api_stage_deinit(&stage);
    free(answer);
}

static uint64_t mismatches(void)
{
    return recorder_counter(stage.recorder, COUNTER_HASH_MISMATCHES);
}

static uint64_t turns_done(void)
{
    struct ledger_totals totals;

    ledger_totals(recorder_ledger(stage.recorder), ACCOUNT_TURN, &totals);
    return totals.ends[LEDGER_COMPLETED];
}

/* By hand
 * ----------------------------------------------------------------------------------------------------- */

/* A body as it is, of one that came in chunks. */
static void join_chunks(char *body)
{
    char *to = body, *end;
    size_t n;

    while ((n = strtoul(body, &end, 16)) != 0) {
        memmove(to, end + 2, n);
        to += n;
        body = end + 2 + n + 2;
    }
    *to = '\0';
}

/* One request on a connection of its own, and its whole answer; the JSON is the caller's. `facts`: what the
 * header says of the text; NULL: nothing. */
static json_t *ask(const char *method, const char *target, const char *facts, const char *body)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)api_server_port(server))};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    nsec_t until = api_test_now() + 20 * NSEC_PER_S;
    size_t n = 0;
    ssize_t got = -1;
    char head[512], *content;
    json_t *json;

    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    snprintf(head, sizeof head,
             "%s %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n%s%s%sContent-Length: %zu\r\n\r\n", method,
             target, facts ? "windtunnel-event: " : "", facts ? facts : "", facts ? "\r\n" : "",
             strlen(body));
    ck_assert_int_eq(send(fd, head, strlen(head), MSG_NOSIGNAL), (ssize_t)strlen(head));
    ck_assert_int_eq(send(fd, body, strlen(body), MSG_NOSIGNAL), (ssize_t)strlen(body));
    fcntl(fd, F_SETFL, O_NONBLOCK);
    while (got != 0 && api_test_now() < until) {
        got = recv(fd, answer + n, ANSWER_MAX - 1 - n, 0);
        if (got > 0) n += (size_t)got;
        event_base_loop(stage.base, EVLOOP_NONBLOCK);
    }
    close(fd);
    answer[n] = '\0';
    ck_assert_msg(strncmp(answer, "HTTP/1.1 200 ", 13) == 0, "%.500s", answer);
    content = strstr(answer, "\r\n\r\n");
    if (strstr(answer, "chunked")) join_chunks(content + 4);
    json = json_loads(content + 4, JSON_DECODE_ANY, NULL);
    ck_assert_msg(json != NULL, "%.500s", answer);
    return json;
}

static const char *text_of(const json_t *event)
{
    return json_string_value(json_object_get(json_array_get(json_object_get(event, "content"), 0), "text"));
}

/* The event of a type whose member is `value`; the first one from `from` on. */
static const json_t *find(const json_t *events, const char *type, const char *member, const char *value)
{
    size_t i;
    json_t *e;

    json_array_foreach((json_t *)events, i, e)
    {
        if (strcmp(json_text_get(e, "type"), type) == 0 && strcmp(json_text_get(e, member), value) == 0)
            return e;
    }
    ck_abort_msg("no %s with %s", type, value);
}

/* The output of `call` as the reads of `path` gave it, in the order in which they were asked for. */
static char *read_back(const json_t *events, const char *path, size_t *ret_pieces)
{
    char *all = calloc(1, MCP_CHARS + 1);
    size_t i, n = 0;
    json_t *e;

    *ret_pieces = 0;
    json_array_foreach((json_t *)events, i, e)
    {
        const json_t *input = json_object_get(e, "input");
        const char *piece;

        if (strcmp(json_text_get(e, "type"), "agent.tool_use") != 0) continue;
        if (strcmp(json_text_get(e, "name"), "read") != 0) continue;
        if (strcmp(json_text_get(input, "file_path"), path) != 0) continue;
        ck_assert_uint_eq((size_t)json_integer_value(json_object_get(input, "offset")), n);
        piece = text_of(find(events, "user.tool_result", "tool_use_id", json_text_get(e, "id")));
        ck_assert_uint_le(n + strlen(piece), MCP_CHARS);
        memcpy(all + n, piece, strlen(piece));
        n += strlen(piece);
        ++*ret_pieces;
    }
    return all;
}

/* The preview names the path and the size; there lies the file; what was read of it is the whole output. */
static void check_spilled(const json_t *events, const char *id, const json_t *result, size_t chars)
{
    char path[DISK_PATH_SIZE], real[PATH_MAX], size[64], *expected = malloc(chars), *got;
    const char *preview = text_of(result);
    size_t pieces;
    struct stat st;
    uint64_t call;

    ck_assert(id_parse(id, strlen(id), "sevt_", &call));
    disk_path(call, path);
    snprintf(size, sizeof size, "%zu characters", chars);
    ck_assert_msg(strstr(preview, path) && strstr(preview, size), "%.200s", preview);
    ck_assert_uint_eq(strlen(preview), SPILL_NOTE_CHARS + 2000);
    content_fill(call, 0, expected, chars);
    ck_assert_int_eq(memcmp(preview + SPILL_NOTE_CHARS, expected, 2000), 0);
    snprintf(real, sizeof real, "%s%s", stage.directory, path + strlen("/tmp"));
    ck_assert_int_eq(stat(real, &st), 0);
    ck_assert_uint_eq((size_t)st.st_size, chars);
    got = read_back(events, path, &pieces);
    ck_assert_uint_eq(pieces, (chars + 59999) / 60000);
    ck_assert_uint_eq(strlen(got), chars);
    ck_assert_int_eq(memcmp(got, expected, chars), 0);
    free(got);
    free(expected);
}

START_TEST(an_output_is_read_back_from_where_it_lies)
{
    const json_t *events, *use, *write;
    json_t *list;

    start();
    api_stage_add(&stage, ADDR(ROLE_RUNNER, 0));
    api_stage_add(&stage, ADDR(ROLE_CLIENT, 0));
    API_RUN_UNTIL(stage.base, turns_done() == 1);
    list = ask("GET", "/v1/sessions/" SESSION "/events?limit=1000", NULL, "");
    events = json_object_get(list, "data");
    use = find(events, "agent.tool_use", "name", "bash");
    check_spilled(events, json_text_get(use, "id"),
                  find(events, "user.tool_result", "tool_use_id", json_text_get(use, "id")), BASH_CHARS);
    use = find(events, "agent.mcp_tool_use", "mcp_server_name", "m");
    check_spilled(events, json_text_get(use, "id"),
                  find(events, "agent.mcp_tool_result", "mcp_tool_use_id", json_text_get(use, "id")),
                  MCP_CHARS);
    write = find(events, "agent.tool_use", "name", "write");
    ck_assert_uint_eq(json_string_length(json_object_get(json_object_get(write, "input"), "content")),
                      MCP_CHARS);
    json_decref(list);
    ck_assert_uint_eq(mismatches(), 0);
    stop();
}
END_TEST

/* Other bytes on the disk are seen when they are read, by the runner, and by whoever they are posted to. */
START_TEST(a_spoilt_file_is_noticed_at_both_ends)
{
    char path[DISK_PATH_SIZE], real[PATH_MAX] = "";
    int fd = -1;

    start();
    api_stage_add(&stage, ADDR(ROLE_RUNNER, 0));
    api_stage_add(&stage, ADDR(ROLE_CLIENT, 0));
    while (fd < 0) { /* until the command's output is there, which then is read piece by piece */
        event_base_loop(stage.base, EVLOOP_ONCE);
        for (uint32_t seq = 1; seq < 8 && fd < 0; seq++) {
            disk_path((uint64_t)seq << 32 | 1, path);
            snprintf(real, sizeof real, "%s%s", stage.directory, path + strlen("/tmp"));
            fd = open(real, O_WRONLY);
        }
    }
    ck_assert_int_eq(pwrite(fd, "!", 1, BASH_CHARS - 1), 1);
    close(fd);
    API_RUN_UNTIL(stage.base, turns_done() == 1);
    ck_assert_uint_eq(mismatches(), 2);
    stop();
}
END_TEST

/* What is posted as ours must be ours. */
static void post(const char *facts, const struct api_body *body, const char *event, size_t spoil)
{
    struct evbuffer *text = evbuffer_new();
    char *json = malloc(10000);
    size_t n;

    api_body_write(body, text);
    evbuffer_add(text, "", 1);
    n = (size_t)snprintf(json, 10000, "{\"events\":[{%s,\"content\":[{\"type\":\"text\",\"text\":\"", event);
    snprintf(json + n, 10000 - n, "%s\"}]}]}", (const char *)evbuffer_pullup(text, -1));
    if (spoil) json[n + spoil - 1] ^= 1;
    json_decref(ask("POST", "/v1/sessions/" SESSION "/events", facts, json));
    evbuffer_free(text);
    free(json);
}

static json_t *history(void)
{
    return ask("GET", "/v1/sessions/" SESSION "/events", NULL, "");
}

static const char *last_call(const json_t *events)
{
    for (size_t i = json_array_size(events); i > 0; i--) {
        const json_t *e = json_array_get(events, i - 1);

        if (strcmp(json_text_get(e, "type"), "agent.tool_use") == 0) return json_text_get(e, "id");
    }
    return "";
}

/* Until the agent makes another call than `ret_call`; the beginning of an event that answers it, and its
 * number. */
static void until_called(char *ret_event, size_t size, uint64_t *ret_call)
{
    uint64_t call = *ret_call;

    while (call == *ret_call) {
        json_t *list = history();
        const char *id = last_call(json_object_get(list, "data"));

        id_parse(id, strlen(id), "sevt_", &call);
        snprintf(ret_event, size, "\"type\":\"user.tool_result\",\"tool_use_id\":\"%s\"", id);
        json_decref(list);
        if (call == *ret_call) api_test_run_ms(stage.base, 20);
    }
    *ret_call = call;
}

static void session_new(void)
{
    json_decref(ask("POST", "/v1/sessions", NULL, "{\"agent\":\"s\",\"environment_id\":\"env_x\"}"));
}

static const struct api_body message = {.id = 1, .chars = 5};

START_TEST(a_message_is_checked)
{
    for (size_t spoil = 0; spoil <= 5; spoil += 5) {
        start();
        session_new();
        post("chars=5", &message, "\"type\":\"user.message\"", spoil);
        ck_assert_uint_eq(mismatches(), spoil ? 1 : 0);
        stop();
    }
}
END_TEST

/* A result, a preview with its note, a piece: as it should be, and with one character changed. */
START_TEST(a_result_is_checked)
{
    for (int kind = 0; kind < 2; kind++) {
        for (size_t spoil = 0; spoil <= 20; spoil += 20) {
            struct api_body body = {.chars = 300, .spilled = kind ? BASH_CHARS : 0};
            char event[200];

            start();
            session_new();
            post("chars=5", &message, "\"type\":\"user.message\"", 0);
            until_called(event, sizeof event, &body.id);
            post(kind ? "chars=300; spilled=250000" : "chars=300", &body, event, spoil);
            ck_assert_uint_eq(mismatches(), spoil ? 1 : 0);
            stop();
        }
    }
}
END_TEST

START_TEST(a_piece_is_checked)
{
    for (int wrong = 0; wrong < 4; wrong++) {
        struct api_body first = {.chars = 300, .spilled = BASH_CHARS}, piece = {.chars = 6000};
        char event[200], facts[100];
        uint64_t read = 0;

        start();
        session_new();
        post("chars=5", &message, "\"type\":\"user.message\"", 0);
        until_called(event, sizeof event, &first.id);
        post("chars=300; spilled=250000", &first, event, 0);
        read = first.id;
        until_called(event, sizeof event, &read);
        piece.id = wrong == 2 ? read : first.id; /* another text than the file's */
        piece.offset = wrong == 3 ? 6000 : 0;    /* another place than was asked for */
        snprintf(facts, sizeof facts, "chars=6000; file=%llu; offset=%llu", (unsigned long long)piece.id,
                 (unsigned long long)piece.offset);
        post(facts, &piece, event, wrong == 1 ? 5000 : 0);
        ck_assert_msg(mismatches() == (wrong ? 1 : 0), "case %d", wrong);
        stop();
    }
}
END_TEST

static void add_tests(TCase *tc)
{
    tcase_add_test(tc, an_output_is_read_back_from_where_it_lies);
    tcase_add_test(tc, a_spoilt_file_is_noticed_at_both_ends);
    tcase_add_test(tc, a_message_is_checked);
    tcase_add_test(tc, a_result_is_checked);
    tcase_add_test(tc, a_piece_is_checked);
}

int main(void)
{
    return api_test_main("orchestrator_api_spill", add_tests);
}
