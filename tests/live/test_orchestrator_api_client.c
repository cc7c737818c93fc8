/* The client's connections, request by request: which serve again, what becomes of them when a request is
 * given up or its component dies, and how an answer is counted that no component gave. */
#include "sim/live/http_server.h"
#include "sim/live/tcp.h"
#include "tests/live/api_stage.h"

#include <stdio.h>
#include <string.h>

static const char scenario[] =
    "{\"schema\":\"windtunnel.scenario/1\",\"name\":\"c\",\"duration\":\"1h\",\"load\":{\"a\":{\"script\":"
    "\"s\",\"process\":\"at-once\",\"sessions\":1}},\"scripts\":{\"s\":{\"turns\":[{}]}},"
    "\"runners\":{\"p\":{\"instances\":2,\"cold_start\":\"1ms\"}}}";

enum { ASKED_MAX = 8 };

static struct api_stage stage;
static struct http_server *server;

/* Requests, in the order of their arrival; the server holds them until the test answers. */
static struct {
    struct http_exchange *x; /* NULL: answered, or its client is gone */
    char peer[TCP_ADDRESS_MAX];
} asked[ASKED_MAX];
static size_t asked_count, gone_count;

static void on_aborted(void *user, struct http_exchange *x)
{
    for (size_t i = 0; i < asked_count; i++)
        if (asked[i].x == x) asked[i].x = NULL;
    gone_count++;
    http_exchange_abort(x);
}

static const struct http_exchange_handler exchange_handler = {.aborted = on_aborted};

static void on_request(void *user, struct http_exchange *x)
{
    ck_assert_uint_lt(asked_count, ASKED_MAX);
    asked[asked_count].x = x;
    snprintf(asked[asked_count++].peer, TCP_ADDRESS_MAX, "%s", http_exchange_peer(x));
    http_exchange_set_handler(x, &exchange_handler, NULL);
}

static const struct http_server_handler server_handler = {.request = on_request};

static void reply_with(size_t i, const char *json)
{
    http_reply_bytes(asked[i].x, 200, "application/json", json, strlen(json));
    asked[i].x = NULL;
}

static void reply(size_t i)
{
    reply_with(i, "{\"id\":\"sesn_0000000000000001\"}");
}

static void setup(void)
{
    struct http_server_options server_options = {.listen = "127.0.0.1:0", .half_close = true};
    struct api_client_options client_options = {.api_key = "key"};

    asked_count = gone_count = 0;
    api_stage_init(&stage, scenario);
    ck_assert_int_eq(http_server_new(stage.base, &server_options, &server_handler, NULL, &server), 0);
    api_stage_connect(&stage, http_server_port(server), &client_options);
    for (uint32_t i = 0; i < 2; i++)
        ck_assert_int_eq(driver_attach(stage.driver, ADDR(ROLE_RUNNER, i), stage.recorder, 0), 0);
}

static void teardown(void)
{
    api_stage_stop(&stage);
    api_test_run_ms(stage.base, 20); /* the server sees that its clients are gone */
    http_server_free(server);
    api_stage_deinit(&stage);
}

static struct wire *open_for(uint32_t runner, struct msg m)
{
    struct dialer *d = api_client_dialer(stage.client);

    m.type = MSG_OPEN;
    m.flags = MSG_LAST;
    return d->open(d, ADDR(ROLE_RUNNER, runner), ADDR(ROLE_ORCHESTRATOR, 0), NULL, &m);
}

/* A runner asks, and the server has the request. */
static struct wire *ask_for(uint32_t runner, struct msg m)
{
    size_t before = asked_count;
    struct wire *w = open_for(runner, m);

    API_RUN_UNTIL(stage.base, asked_count > before);
    return w;
}

static struct wire *ask(uint32_t runner)
{
    return ask_for(runner, (struct msg){.kind = M_SESSION_GET, .a = 1});
}

static void over(struct wire *w)
{
    w->ops->over(w);
}

static bool same_connection(size_t a, size_t b)
{
    return strcmp(asked[a].peer, asked[b].peer) == 0;
}

START_TEST(a_connection_serves_again_unless_its_request_was_given_up)
{
    struct wire *w = ask(0);

    reply(0);
    api_test_run_ms(stage.base, 20);
    over(w);
    w = ask(0);
    ck_assert(same_connection(0, 1));
    over(w); /* before the answer */
    reply(1);
    api_test_run_ms(stage.base, 20);
    w = ask(0);
    ck_assert(!same_connection(1, 2));
    over(w);
}
END_TEST

START_TEST(a_component_dies_with_its_connections)
{
    struct wire *w = ask(0), *another = ask(1);

    reply(0);
    api_test_run_ms(stage.base, 20);
    over(w);
    ck_assert_uint_eq(http_server_connections(server), 2);
    over(ask(0)); /* is seen through */
    w = ask(0);
    reply(3); /* idle from now on */
    api_test_run_ms(stage.base, 20);
    over(w);
    ck_assert_uint_eq(http_server_connections(server), 3);
    api_client_cut(stage.client, ADDR(ROLE_RUNNER, 0));
    API_RUN_UNTIL(stage.base, http_server_connections(server) == 1);
    ck_assert_uint_eq(gone_count, 1);
    ck_assert_ptr_null(asked[2].x);
    ck_assert_ptr_nonnull(asked[1].x); /* the other runner's */
    w = ask(0);
    ck_assert(!same_connection(3, 4));
    over(w);
    over(another);
}
END_TEST

static uint64_t flows(enum msg_kind kind, enum flow_fate fate)
{
    return flowcount_sum(recorder_flows(stage.recorder), kind, fate);
}

/* The driver binds the wire; here it is enough that it knows its driver and what it was opened with. */
START_TEST(what_the_server_says_by_itself_is_no_message)
{
    struct wire *w = ask(0);

    w->driver = stage.driver;
    http_reply_error(asked[0].x, 413, "the request body is too large");
    asked[0].x = NULL;
    API_RUN_UNTIL(stage.base, flows(M_SESSION_GET, FLOW_RETURNED) == 1);
    ck_assert_uint_eq(flows(M_ERROR, FLOW_DECODED) + flows(M_ERROR, FLOW_CUT), 0);
    over(w);
    w = ask(0);
    w->driver = stage.driver;
    http_reply_bytes(asked[1].x, 503, "application/json", "{}", 2); /* as a component's answer is */
    asked[1].x = NULL;
    API_RUN_UNTIL(stage.base, flows(M_ERROR, FLOW_CUT) == 1); /* the wire is bound to no flow */
    ck_assert_uint_eq(flows(M_SESSION_GET, FLOW_RETURNED), 1);
    over(w);
}
END_TEST

/* The connection does not come about, and nobody waits for it any more: what was never sent is booked. */
START_TEST(what_is_given_up_before_it_was_sent_was_cut)
{
    struct wire *w;

    http_server_free(server);
    server = NULL;
    w = open_for(0, (struct msg){.kind = M_SESSION_GET, .a = 1});
    w->driver = stage.driver;
    over(w);
    API_RUN_UNTIL(stage.base, flows(M_SESSION_GET, FLOW_CUT) == 1);
    ck_assert_uint_eq(flows(M_SESSION_GET, FLOW_RETURNED), 0);
}
END_TEST

/* An item that was stopped before its first heartbeat has no last one, and its lease is not extended. Where
 * the lease is, the answer must say what to name next time. */
START_TEST(a_lease_that_is_not_extended_needs_no_last_heartbeat)
{
    static const char *const answers[] = {
        "{\"last_heartbeat\":null,\"lease_extended\":false,\"state\":\"stopped\",\"ttl_seconds\":0}",
        "{\"lease_extended\":false,\"state\":\"stopping\",\"ttl_seconds\":0}",
        "{\"last_heartbeat\":\"x\",\"lease_extended\":true,\"state\":\"active\",\"ttl_seconds\":9}",
        "{\"last_heartbeat\":null,\"lease_extended\":true,\"state\":\"active\",\"ttl_seconds\":9}",
        "{\"last_heartbeat\":null,\"state\":\"active\",\"ttl_seconds\":9}",
    };
    enum { UNDERSTOOD = 3 };

    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        struct wire *w = ask_for(0, (struct msg){.kind = M_WORK_HEARTBEAT, .a = 1, .b = HEARTBEAT_NONE});

        w->driver = stage.driver;
        reply_with(i, answers[i]);
        api_test_run_ms(stage.base, 20);
        ck_assert_msg(flows(M_HEARTBEAT, FLOW_CUT) == (i < UNDERSTOOD ? i + 1 : UNDERSTOOD), "%s",
                      answers[i]);
        ck_assert_msg(recorder_counter(stage.recorder, COUNTER_PROTOCOL_VIOLATIONS) ==
                          (i < UNDERSTOOD ? 0 : i + 1 - UNDERSTOOD),
                      "%s", answers[i]);
        over(w);
    }
}
END_TEST

static void add_tests(TCase *tc)
{
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_connection_serves_again_unless_its_request_was_given_up);
    tcase_add_test(tc, a_component_dies_with_its_connections);
    tcase_add_test(tc, what_the_server_says_by_itself_is_no_message);
    tcase_add_test(tc, what_is_given_up_before_it_was_sent_was_cut);
    tcase_add_test(tc, a_lease_that_is_not_extended_needs_no_last_heartbeat);
}

int main(void)
{
    return api_test_main("orchestrator_api_client", add_tests);
}
