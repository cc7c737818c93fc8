#include "tests/live/api_hand.h"

#include "tests/live/pair_stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ANSWER_MAX = 4 << 20, REQUEST_MAX = BODY_MAX + 4096 };

static const char scenario[] =
    "{\"schema\":\"windtunnel.scenario/1\",\"name\":\"api\",\"duration\":\"1h\","
    "\"load\":{\"a\":{\"script\":\"s\",\"process\":\"at-once\",\"sessions\":1}},"
    "\"scripts\":{\"s\":{\"turns\":[{\"message_bytes\":5,\"steps\":[{\"model\":\"1ms\",\"calls\":"
    "[{\"tool\":\"bash\",\"execution\":\"1500ms\",\"output\":67}]}],\"answer\":{\"model\":\"1ms\"}}]},"
    "\"chat\":{\"turns\":[{\"answer\":{\"model\":\"0s\",\"bytes\":20}}]}},"
    "\"orchestrator\":{\"sessions_max\":100,\"stream_buffer\":50},"
    "\"runners\":{\"p\":{\"cold_start\":\"3ms\"},\"q\":{\"cold_start\":\"3ms\"},\"r\":{\"cold_start\":"
    "\"3ms\"}}}";

struct api_hand hand;

void hand_setup(void)
{
    static const struct api_environment environments[] = {{"env_x", "W"}, {"env y", "V"}};
    struct api_server_options server_options = {.self = ADDR(ROLE_ORCHESTRATOR, 0),
                                                .listen = "127.0.0.1:0",
                                                .api_key = "K",
                                                .environments = environments,
                                                .environment_count = 2,
                                                .create_environments = true,
                                                .body_bytes_max = BODY_MAX,
                                                .content_bytes_max = CONTENT_MAX,
                                                .document_bytes_max = DOCUMENTS_MAX,
                                                .request_timeout_ns = NSEC_PER_S,
                                                .ping_ns = 50 * NSEC_PER_MS,
                                                .hash_commands = true};

    hand.answer = malloc(ANSWER_MAX);
    api_stage_init(&hand.stage, scenario);
    api_stage_add(&hand.stage, ADDR(ROLE_ORCHESTRATOR, 0));
    ck_assert_int_eq(api_server_new(hand.stage.driver, &server_options, &hand.server), 0);
}

void hand_teardown(void)
{
    api_stage_stop(&hand.stage);
    api_server_free(hand.server);
    api_stage_deinit(&hand.stage);
    free(hand.answer);
}

int hand_dial(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)api_server_port(hand.server))};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

void hand_turn(void)
{
    event_base_loop(hand.stage.base, EVLOOP_NONBLOCK);
    usleep(100);
}

void hand_say_bytes(int fd, const char *bytes, size_t n)
{
    while (n) {
        ssize_t done = send(fd, bytes, n, MSG_NOSIGNAL);

        if (done < 0 && errno != EAGAIN) return; /* the server has had enough */
        if (done > 0) {
            bytes += done;
            n -= (size_t)done;
        }
        hand_turn();
    }
}

void hand_say(int fd, const char *text)
{
    hand_say_bytes(fd, text, strlen(text));
}

bool hand_hear(int fd, const char *until)
{
    size_t n = 0;
    nsec_t deadline = api_test_now() + (until ? 3 : 10) * NSEC_PER_S;

    hand.answer[0] = '\0';
    while (!until || !strstr(hand.answer, until)) {
        ssize_t got = recv(fd, hand.answer + n, ANSWER_MAX - 1 - n, 0);

        if (got == 0 || (got < 0 && errno != EAGAIN)) return !until;
        if (api_test_now() > deadline) return false;
        if (got > 0) n += (size_t)got;
        hand.answer[n] = '\0';
        hand_turn();
    }
    return true;
}

int hand_raw(const char *request, size_t n)
{
    int fd = hand_dial();

    hand_say_bytes(fd, request, n);
    hand_hear(fd, NULL);
    close(fd);
    return strncmp(hand.answer, "HTTP/1.1 ", 9) == 0 ? atoi(hand.answer + 9) : 0;
}

/* The bytes of a request, in `ret`. */
static size_t write_request(char ret[REQUEST_MAX], const char *key, const char *method, const char *target,
                            const char *body)
{
    return (size_t)snprintf(
        ret, REQUEST_MAX,
        "%s %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\nAuthorization: Bearer %s\r\n%sContent-Length: "
        "%zu\r\n\r\n%s",
        method, target, key, body ? "Content-Type: application/json\r\n" : "", body ? strlen(body) : 0,
        body ? body : "");
}

int hand_ask(const char *key, const char *method, const char *target, const char *body)
{
    static char request[REQUEST_MAX];

    return hand_raw(request, write_request(request, key, method, target, body));
}

void hand_ask_and_leave(const char *method, const char *target, const char *body)
{
    static char request[REQUEST_MAX];
    size_t n = write_request(request, "K", method, target, body);
    uint64_t before = hand.server->request_count;
    struct evbuffer *out = evbuffer_new();
    struct stream *mine, *theirs;

    pair_stream_new(hand.stage.base, NULL, &mine, &theirs);
    ck_assert_int_eq(http_server_serve_stream(hand.server->http, theirs, NULL), 0);
    evbuffer_add(out, request, n);
    stream_write(mine, out);
    stream_shutdown(mine);
    API_RUN_UNTIL(hand.stage.base, hand.server->request_count > before && api_server_idle(hand.server));
    stream_free(mine, false);
    evbuffer_free(out);
}

const char *hand_body(void)
{
    const char *body = strstr(hand.answer, "\r\n\r\n");

    return body ? body + 4 : "";
}

json_t *hand_json(void)
{
    json_t *json = json_loads(hand_body(), JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);

    ck_assert_msg(json != NULL, "not JSON: %.1000s", hand.answer);
    return json;
}

const char *hand_member(const char *name)
{
    static char text[512];
    json_t *json = hand_json();
    const char *value = json_string_value(json_object_get(json, name));

    snprintf(text, sizeof text, "%s", value ? value : "");
    json_decref(json);
    return text;
}

const char *hand_format(const char *pattern, ...)
{
    static char text[4096];
    va_list args;

    va_start(args, pattern);
    vsnprintf(text, sizeof text, pattern, args);
    va_end(args);
    return text;
}

void hand_session_new(const char *agent, char ret_id[64])
{
    ck_assert_int_eq(hand_ask("K", "POST", "/v1/sessions",
                              hand_format("{\"agent\":\"%s\",\"environment_id\":\"env_x\"}", agent)),
                     200);
    snprintf(ret_id, 64, "%s", hand_member("id"));
}
