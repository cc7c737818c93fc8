/*
 * Clients and runners work a scenario through against the orchestrator, every message over HTTP on loopback:
 * the same world as in virtual time, in one process, with api_client at one end of the wire and api_server at
 * the other, plain or over TLS.
 */
#include "mock-orchestrator/api_server.h"
#include "sim/live/certs.h"
#include "sim/live/tls.h"
#include "tests/live/api_stage.h"

#include <stdio.h>

/* Small outputs, outputs that are spilled and read back, from the sandbox and from an MCP server; two pools;
 * two turns. */
static const char scenario[] =
    "{\"schema\":\"windtunnel.scenario/1\",\"name\":\"api\",\"duration\":\"10s\",\"drain\":\"10s\","
    "\"load\":{\"a\":{\"script\":\"s\",\"process\":\"at-once\",\"sessions\":10}},"
    "\"scripts\":{\"s\":{\"turns\":[{\"message_bytes\":70000,\"steps\":["
    "{\"model\":\"5ms\",\"calls\":[{\"tool\":\"bash\",\"execution\":\"3ms\",\"output\":500,\"count\":10}]},"
    "{\"model\":\"5ms\",\"calls\":[{\"tool\":\"bash\",\"execution\":\"3ms\",\"output\":90000}]},"
    "{\"model\":\"5ms\",\"calls\":[{\"tool\":\"bash\",\"execution\":\"3ms\",\"output\":250000}]},"
    "{\"model\":\"5ms\",\"calls\":[{\"tool\":\"read\"}]},"
    "{\"model\":\"5ms\",\"calls\":[{\"mcp\":\"m\",\"output\":400000}]},"
    "{\"model\":\"5ms\",\"calls\":[{\"tool\":\"read\"}]}],\"answer\":{\"model\":\"5ms\"}},"
    "{\"think\":\"20ms\",\"steps\":[{\"model\":\"1ms\",\"calls\":[{\"mcp\":\"m\",\"output\":20},"
    "{\"tool\":\"bash\",\"execution\":\"1ms\",\"output\":0}]}]}]}},"
    "\"mcp\":{\"m\":{\"service_time\":\"2ms\"}},"
    "\"orchestrator\":{\"sessions_max\":1000,\"mcp\":{\"direct\":true}},"
    "\"runners\":{\"p\":{\"workers\":8,\"poll_pause\":[\"5ms\",\"20ms\"],\"max_idle\":\"50ms\",\"cold_"
    "start\":\"3ms\"},"
    "\"q\":{\"instances\":2,\"workers\":4,\"poll_block\":\"100ms\",\"poll_pause\":[\"5ms\",\"20ms\"],\"max_"
    "idle\":\"50ms\","
    "\"cold_start\":\"3ms\"}}%s}";

static struct api_stage stage;
static struct api_server *server;
static struct tls_context *server_tls, *client_tls; /* NULL: plain */
static uint64_t body_bytes_max;                     /* the server's; 0: its own default */

static void start(const char *more)
{
    static const struct api_environment environments[] = {{"env_first", "key-1"}, {"env_second", "key-2"}};
    char text[8192];
    struct api_server_options server_options = {.self = ADDR(ROLE_ORCHESTRATOR, 0),
                                                .listen = "127.0.0.1:0",
                                                .tls = server_tls,
                                                .api_key = "key-0",
                                                .environments = environments,
                                                .environment_count = 2,
                                                .body_bytes_max = body_bytes_max};
    struct api_client_options client_options = {
        .tls = client_tls, .api_key = "key-0", .environments = environments, .environment_count = 2};

    snprintf(text, sizeof text, scenario, more);
    api_stage_init(&stage, text);
    ck_assert_int_eq(api_server_new(stage.driver, &server_options, &server), 0);
    api_stage_connect(&stage, api_server_port(server), &client_options);
    api_stage_add(&stage, ADDR(ROLE_MCP, 0));
    api_stage_add(&stage, ADDR(ROLE_ORCHESTRATOR, 0));
    for (uint32_t i = 0; i < plan_instances(stage.plan, ROLE_RUNNER); i++)
        api_stage_add(&stage, ADDR(ROLE_RUNNER, i));
    api_stage_add(&stage, ADDR(ROLE_CLIENT, 0));
}

static void stop(void)
{
    api_stage_stop(&stage);
    api_server_free(server);
    api_stage_deinit(&stage);
    tls_context_free(server_tls);
    tls_context_free(client_tls);
}

static uint64_t ends(enum account account, enum ledger_end end)
{
    struct ledger_totals totals;

    ledger_totals(recorder_ledger(stage.recorder), account, &totals);
    return totals.ends[end];
}

static uint64_t flows(enum msg_kind kind, enum flow_fate fate)
{
    return flowcount_sum(recorder_flows(stage.recorder), kind, fate);
}

START_TEST(a_scenario_over_http)
{
    const uint64_t sessions = 10, calls = sessions * (10 + 1 + 1 + 5 + 1 + 8 + 2);

    start("");
    API_RUN_UNTIL(stage.base, stage.done);
    ck_assert_uint_eq(ends(ACCOUNT_SESSION, LEDGER_COMPLETED), sessions);
    ck_assert_uint_eq(ends(ACCOUNT_TURN, LEDGER_COMPLETED), 2 * sessions);
    ck_assert_uint_eq(ends(ACCOUNT_CALL, LEDGER_COMPLETED), calls);
    ck_assert_uint_eq(recorder_counter(stage.recorder, COUNTER_HASH_MISMATCHES), 0);
    ck_assert_uint_eq(recorder_counter(stage.recorder, COUNTER_PROTOCOL_VIOLATIONS), 0);
    ck_assert_uint_eq(recorder_counter(stage.recorder, COUNTER_AUTH_REFUSED), 0);
    ck_assert_uint_eq(recorder_counter(stage.recorder, COUNTER_HTTP_5XX), 0);
    /* One spilled in the sandbox and one from the MCP server, each. */
    ck_assert_uint_eq(recorder_counter(stage.recorder, COUNTER_SPILLED_RESULTS), 2 * sessions);
    /* What one end of the wire sent the other has read, in as many messages. */
    ck_assert_uint_eq(flows(M_SESSION_CREATE, FLOW_EMITTED), flows(M_SESSION_CREATE, FLOW_DECODED));
    ck_assert_uint_eq(flows(M_SESSION, FLOW_EMITTED), flows(M_SESSION, FLOW_DECODED));
    ck_assert_uint_eq(flows(M_EVENTS_SEND, FLOW_EMITTED), flows(M_EVENTS_SEND, FLOW_DECODED));
    ck_assert_uint_eq(flows(M_WORK_ACK, FLOW_EMITTED), flows(M_WORK_ACK, FLOW_DECODED));
    ck_assert_uint_ge(flows(M_EVENT, FLOW_EMITTED), flows(M_EVENT, FLOW_DECODED));
    stop();
}
END_TEST

static struct cert *make_cert(enum cert_kind kind, const struct cert *issuer)
{
    const char *names[] = {"127.0.0.1", NULL};
    struct cert_options o = {
        .kind = kind, .common_name = "test", .names = kind == CERT_SERVER ? names : NULL};
    struct cert *made = NULL;

    ck_assert_int_eq(cert_new(&o, issuer, &made), 0);
    return made;
}

/* A server whose certificate is of one CA, and clients that trust this one, or another. */
static void use_tls(bool trusted)
{
    struct cert *ca = make_cert(CERT_CA, NULL), *other = make_cert(CERT_CA, NULL),
                *own = make_cert(CERT_SERVER, ca);
    struct tls_options s = {.server = true, .cert_pem = own->cert_pem, .key_pem = own->key_pem};
    struct tls_options c = {.ca_pem = (trusted ? ca : other)->cert_pem};

    ck_assert_int_eq(tls_context_new(&s, &server_tls, NULL), 0);
    ck_assert_int_eq(tls_context_new(&c, &client_tls, NULL), 0);
    cert_free(own);
    cert_free(other);
    cert_free(ca);
}

/* The same over TLS, nothing lost on the way: its ends are cut, closed and half closed as those of TCP. */
START_TEST(a_scenario_over_tls)
{
    use_tls(true);
    start("");
    API_RUN_UNTIL(stage.base, stage.done);
    ck_assert_uint_eq(ends(ACCOUNT_SESSION, LEDGER_COMPLETED), 10);
    ck_assert_uint_eq(recorder_counter(stage.recorder, COUNTER_HASH_MISMATCHES), 0);
    ck_assert_uint_eq(recorder_counter(stage.recorder, COUNTER_HTTP_ERRORS), 0);
    ck_assert_uint_eq(recorder_counter(stage.recorder, COUNTER_HTTP_4XX), 0);
    ck_assert_uint_eq(flows(M_SESSION_CREATE, FLOW_EMITTED), flows(M_SESSION_CREATE, FLOW_DECODED));
    ck_assert_uint_eq(flows(M_WORK_ACK, FLOW_EMITTED), flows(M_WORK_ACK, FLOW_DECODED));
    stop();
}
END_TEST

/* Not a request is sent to a server that cannot prove who it is. */
START_TEST(an_unknown_server)
{
    use_tls(false);
    start("");
    api_test_run_ms(stage.base, 1500);
    ck_assert_uint_ge(recorder_counter(stage.recorder, COUNTER_HTTP_ERRORS), 2 * 10);
    ck_assert_uint_gt(flows(M_SESSION_CREATE, FLOW_EMITTED), 0);
    ck_assert_uint_eq(flows(M_SESSION_CREATE, FLOW_DECODED), 0);
    ck_assert_uint_eq(flows(M_WORK_POLL, FLOW_DECODED), 0);
    stop();
}
END_TEST

/* While requests are refused everything is tried again, and nothing is lost or done twice. */
START_TEST(refusals)
{
    start(",\"faults\":[{\"kind\":\"answer\",\"target\":\"orchestrator\",\"at\":\"30ms\",\"for\":\"1s\","
          "\"status\":429,"
          "\"share\":\"30%\",\"retry_after\":\"1s\"}]");
    API_RUN_UNTIL(stage.base, stage.done);
    ck_assert_uint_eq(ends(ACCOUNT_SESSION, LEDGER_COMPLETED), 10);
    ck_assert_uint_gt(recorder_counter(stage.recorder, COUNTER_HTTP_429), 0);
    ck_assert_uint_eq(recorder_counter(stage.recorder, COUNTER_HASH_MISMATCHES), 0);
    ck_assert_uint_eq(ends(ACCOUNT_CALL, LEDGER_FAILED), 0);
    stop();
}
END_TEST

/* Nobody listens: each request is refused at once, and tried again later. */
START_TEST(nobody_listens)
{
    start("");
    api_server_drain(server);
    api_test_run_ms(stage.base, 1500);
    ck_assert_uint_ge(recorder_counter(stage.recorder, COUNTER_HTTP_ERRORS), 2 * 10);
    ck_assert_uint_ge(recorder_counter(stage.recorder, COUNTER_RETRIES), 2 * 10);
    ck_assert_uint_eq(ends(ACCOUNT_SESSION, LEDGER_COMPLETED), 0);
    stop();
}
END_TEST

/* What the server refuses by itself, here every message of a user, no component has seen: the books of the
 * wire balance nevertheless. */
START_TEST(refused_by_the_server)
{
    body_bytes_max = 60000;
    start("");
    API_RUN_UNTIL(stage.base, flows(M_EVENTS_SEND, FLOW_EMITTED) >= 10 &&
                                  flows(M_EVENTS_SEND, FLOW_RETURNED) == flows(M_EVENTS_SEND, FLOW_EMITTED));
    ck_assert_uint_eq(flows(M_ERROR, FLOW_EMITTED), flows(M_ERROR, FLOW_DECODED) + flows(M_ERROR, FLOW_CUT));
    ck_assert_uint_eq(flows(M_SESSION_CREATE, FLOW_RETURNED), 0);
    stop();
}
END_TEST

static void add_tests(TCase *tc)
{
    tcase_add_test(tc, a_scenario_over_http);
    tcase_add_test(tc, a_scenario_over_tls);
    tcase_add_test(tc, an_unknown_server);
    tcase_add_test(tc, refusals);
    tcase_add_test(tc, nobody_listens);
    tcase_add_test(tc, refused_by_the_server);
}

int main(void)
{
    return api_test_main("orchestrator_api_run", add_tests);
}
