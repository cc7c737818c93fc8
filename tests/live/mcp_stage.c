#include "tests/live/mcp_stage.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "sim/live/tcp.h"

enum { LIMIT_MS = 20000 };

static long now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void turn(struct mcp_stage *st)
{
    event_base_loop(st->base, EVLOOP_NONBLOCK);
}

struct mcp_stage stage;

void mcp_stage_run_ms(struct mcp_stage *st, int ms)
{
    for (long end = now_ms() + ms; now_ms() < end; usleep(500)) turn(st);
}

void mcp_stage_init(struct mcp_stage *st)
{
    struct plan_error error;

    memset(st, 0, sizeof *st);
    ck_assert_msg(mock_config_load(NULL, 1, &st->config, &error) == 0, "%s", error.text);
}

void mcp_stage_start(struct mcp_stage *st, const struct mcp_server_options *options)
{
    struct mcp_server_options o = options ? *options : (struct mcp_server_options){.self = 0};
    struct driver_options driver = {.plan = st->config.plan, .flows_max = 1024};

    o.self = ADDR(ROLE_MCP, 0);
    o.listen = "127.0.0.1:0";
    ck_assert_int_eq(tcp_base_new(&st->base), 0);
    driver.base = st->base;
    ck_assert_int_eq(driver_new(&driver, &st->driver), 0);
    ck_assert_int_eq(driver_add(st->driver, o.self, NULL, 0), 0);
    ck_assert_int_eq(mcp_server_new(st->driver, &o, &st->server), 0);
}

void mcp_stage_deinit(struct mcp_stage *st)
{
    mcp_server_free(st->server);
    driver_end(st->driver);
    driver_free(st->driver);
    mock_config_deinit(&st->config);
    event_base_dispatch(st->base);
    event_base_free(st->base);
}

int mcp_stage_connect(struct mcp_stage *st, int rcvbuf)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)mcp_server_port(st->server)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_ge(fd, 0);
    if (rcvbuf) ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof rcvbuf), 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    ck_assert_int_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

void mcp_stage_send(struct mcp_stage *st, int fd, const char *text)
{
    long end = now_ms() + LIMIT_MS;

    for (size_t done = 0, n = strlen(text); done < n;) {
        ssize_t sent = send(fd, text + done, n - done, MSG_NOSIGNAL);

        ck_assert_int_lt(now_ms(), end);
        if (sent > 0)
            done += (size_t)sent;
        else if (errno == EPIPE || errno == ECONNRESET)
            return; /* refused half-way, as it may be */
        turn(st);
    }
}

/* --- responses --- */

struct input {
    char *bytes;
    size_t len;
    bool eof;
};

static void input_more(struct mcp_stage *st, int fd, struct input *in)
{
    static char piece[65536];
    struct pollfd p = {.fd = fd, .events = POLLIN};
    ssize_t n;

    turn(st);
    poll(&p, 1, 1);
    n = recv(fd, piece, sizeof piece, 0);
    if (n == 0 || (n < 0 && errno == ECONNRESET)) in->eof = true;
    if (n <= 0) return;
    in->bytes = realloc(in->bytes, in->len + (size_t)n + 1);
    memcpy(in->bytes + in->len, piece, (size_t)n);
    in->len += (size_t)n;
    in->bytes[in->len] = '\0';
}

const char *mcp_response_header(const struct mcp_response *r, const char *name, char *ret, size_t size)
{
    size_t n = strlen(name);

    *ret = '\0';
    for (const char *line = strchr(r->head, '\n'); line; line = strchr(line + 1, '\n')) {
        if (strncasecmp(line + 1, name, n) == 0 && line[1 + n] == ':')
            snprintf(ret, size, "%.*s", (int)strcspn(line + n + 3, "\r"), line + n + 3);
    }
    return ret;
}

/* Takes the chunks of a chunked body apart in place; false while it is incomplete. */
static bool unchunk(struct mcp_response *r, const char *from, size_t n)
{
    size_t at = 0;

    free(r->body);
    r->body = calloc(1, n + 1);
    r->body_len = 0;
    for (;;) {
        const char *line_end = at < n ? memmem(from + at, n - at, "\r\n", 2) : NULL;
        size_t size;

        if (!line_end) return false;
        size = strtoul(from + at, NULL, 16);
        at = (size_t)(line_end - from) + 2;
        if (at + size + 2 > n) return false;
        if (size == 0) return true;
        memcpy(r->body + r->body_len, from + at, size);
        r->body_len += size;
        at += size + 2;
    }
}

static bool body_complete(struct mcp_response *r, const struct input *in, size_t head_len)
{
    char value[64];
    const char *body = in->bytes + head_len;
    size_t n = in->len - head_len;

    if (*mcp_response_header(r, "transfer-encoding", value, sizeof value)) return unchunk(r, body, n);
    if (n < strtoul(mcp_response_header(r, "content-length", value, sizeof value), NULL, 10)) return false;
    free(r->body);
    r->body = calloc(1, n + 1);
    memcpy(r->body, body, n);
    r->body_len = n;
    return true;
}

static struct mcp_response receive(struct mcp_stage *st, int fd, bool head_only)
{
    struct input in = {.bytes = NULL};
    struct mcp_response r = {.status = 0};
    size_t head_len = 0;

    for (long end = now_ms() + LIMIT_MS;;) {
        ck_assert_msg(now_ms() < end, "no response in time; so far: %.300s", in.bytes ? in.bytes : "");
        if (in.bytes && !head_len && strstr(in.bytes, "\r\n\r\n")) {
            head_len = (size_t)(strstr(in.bytes, "\r\n\r\n") - in.bytes) + 4;
            r.head = strndup(in.bytes, head_len);
            r.status = atoi(r.head + strlen("HTTP/1.1 "));
        }
        if (head_len && (head_only || body_complete(&r, &in, head_len))) break;
        if (in.eof) {
            r.status = 0; /* cut */
            break;
        }
        input_more(st, fd, &in);
    }
    free(in.bytes);
    return r;
}

struct mcp_response mcp_stage_receive(struct mcp_stage *st, int fd)
{
    return receive(st, fd, false);
}

struct mcp_response mcp_stage_receive_head(struct mcp_stage *st, int fd)
{
    return receive(st, fd, true);
}

void mcp_response_deinit(struct mcp_response *r)
{
    free(r->head);
    free(r->body);
    *r = (struct mcp_response){.status = 0};
}

/* --- requests --- */

void mcp_stage_post(struct mcp_stage *st, int fd, const char *headers, const char *body)
{
    char *request;
    int n = asprintf(&request,
                     "POST /mcp HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
                     "Accept: application/json, text/event-stream\r\n%sContent-Length: %zu\r\n\r\n%s",
                     headers ? headers : "", strlen(body), body);

    ck_assert_int_gt(n, 0);
    mcp_stage_send(st, fd, request);
    free(request);
}

struct mcp_response mcp_stage_ask(struct mcp_stage *st, const char *headers, const char *body)
{
    int fd = mcp_stage_connect(st, 0);
    struct mcp_response r;

    mcp_stage_post(st, fd, headers, body);
    r = mcp_stage_receive(st, fd);
    close(fd);
    return r;
}

void mcp_stage_initialize(struct mcp_stage *st, char ret_header[128])
{
    char id[100];
    struct mcp_response r =
        mcp_stage_ask(st, NULL,
                      "{\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"2025-11-25\","
                      "\"capabilities\":{},\"clientInfo\":{\"name\":\"t\",\"version\":\"0\"}},"
                      "\"jsonrpc\":\"2.0\",\"id\":0}");

    ck_assert_int_eq(r.status, 200);
    mcp_response_header(&r, "mcp-session-id", id, sizeof id);
    ck_assert_uint_gt(strlen(id), 0);
    snprintf(ret_header, 128, "Mcp-Session-Id: %s\r\n", id);
    mcp_response_deinit(&r);
}

struct mcp_response mcp_stage_request(struct mcp_stage *st, const char *method, const char *session)
{
    int fd = mcp_stage_connect(st, 0);
    char request[512];
    struct mcp_response r;

    snprintf(request, sizeof request, "%s /mcp HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n%s\r\n",
             method, session);
    mcp_stage_send(st, fd, request);
    r = mcp_stage_receive(st, fd);
    close(fd);
    return r;
}

void mcp_response_check(struct mcp_response *r, const char *what, int status, int code)
{
    char expected[32];

    ck_assert_msg(r->status == status, "%s: %d instead of %d: %s", what, r->status, status, r->body);
    snprintf(expected, sizeof expected, "\"code\":%d,", code);
    if (code)
        ck_assert_msg(strstr(r->body, expected) != NULL, "%s: no %s in %s", what, expected, r->body);
    else
        ck_assert_msg(!strstr(r->body, "\"error\""), "%s: %s", what, r->body);
    mcp_response_deinit(r);
}

static void setup(void)
{
    mcp_stage_init(&stage);
}

static void teardown(void)
{
    mcp_stage_deinit(&stage);
}

int mcp_stage_main(const char *name, void (*add)(TCase *tc))
{
    Suite *suite = suite_create(name);
    TCase *tc = tcase_create(name);
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    add(tc);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
