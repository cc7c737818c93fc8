/* The orchestrator's MCP calls on the wire: through the tunnel, and straight to the servers. */
#include "tests/live/tunnel_chain.h"

#include "sim/base/panic.h"
#include "sim/live/content.h"
#include "sim/live/driver.h"
#include "sim/live/mcp_codec.h"
#include "sim/live/tunnel_dialer.h"

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ORCHESTRATOR ADDR(ROLE_ORCHESTRATOR, 0)
#define TUNNELS                                                                                              \
    "{\"count\":1,\"connections\":2,\"spacing\":\"1ms\",\"backoff\":{\"connection_base\":\"1ms\","           \
    "\"supervisor_base\":\"1ms\"}}"

static struct chain chain;

/* A codec without JSON: the answer's body is the text.
 * ------------------------------------------------------- */

struct plain_codec {
    struct mcp_codec codec; /* first */
    char target[64];
};

struct mcp_decoder {
    uint64_t call, chars;
    int status;
    bool corrupt;
};

static int encode(const struct mcp_codec *codec, const struct msg *call, struct mcp_request *r,
                  struct evbuffer *body)
{
    r->method = "POST";
    r->target = ((const struct plain_codec *)codec)->target;
    snprintf(r->text, sizeof r->text, "%016" PRIx64, call->a);
    snprintf(r->text + 32, 32, "%016" PRIx64, call->d);
    r->headers[0] = (struct http_header){MCP_ATTEMPT_HEADER, r->text};
    r->headers[1] = (struct http_header){MCP_CALL_HEADER, r->text + 32};
    r->headers[2] = (struct http_header){NULL, NULL};
    return evbuffer_add(body, "call", 4) < 0 ? -ENOMEM : 0;
}

static int decoder_new(const struct mcp_codec *codec, const struct msg *call, const struct http_head *head,
                       struct mcp_decoder **ret)
{
    *ret = calloc(1, sizeof **ret);
    (*ret)->call = call->d;
    (*ret)->status = head->status;
    return 0;
}

static void decoder_feed(struct mcp_decoder *d, struct evbuffer *body)
{
    size_t n = evbuffer_get_length(body);

    if (d->status == 200 && !content_check(d->call, d->chars, (const char *)evbuffer_pullup(body, -1), n))
        d->corrupt = true;
    d->chars += n;
    evbuffer_drain(body, n);
}

static void decoder_end(struct mcp_decoder *d, struct mcp_answer *a)
{
    *a = (struct mcp_answer){
        .status = (uint32_t)d->status, .chars = d->status == 200 ? d->chars : 0, .corrupt = d->corrupt};
}

static void decoder_free(struct mcp_decoder *d)
{
    free(d);
}

static struct plain_codec codec = {.codec = {encode, decoder_new, decoder_feed, decoder_end, decoder_free},
                                   .target = "/content/400000"};

/* A client by hand
 * ----------------------------------------------------------------------------------------- */

struct hand {
    struct wire wire; /* first */
    struct msg answer;
    bool over;
};

static void hand_send(struct wire *w, const struct msg *m)
{
    struct hand *h = (struct hand *)w;

    if (m->type == MSG_OPEN) h->answer = *m;
}
static void hand_over(struct wire *w)
{
    ((struct hand *)w)->over = true;
}
static const struct wire_ops hand_ops = {hand_send, hand_over};

static struct hand hand;

static bool hand_is_over(struct chain *c)
{
    return hand.over;
}

static struct msg ask(struct msg m)
{
    hand = (struct hand){.wire = {.ops = &hand_ops}};
    m.flags = MSG_LAST;
    m.bytes = 300;
    ASSERT(driver_accept(chain.driver, ORCHESTRATOR, ADDR(ROLE_CLIENT, 0), NULL, &hand.wire, m));
    chain_run_until(&chain, hand_is_over);
    ck_assert_int_ne(hand.answer.kind, M_ERROR);
    return hand.answer;
}

/* One session with one turn: two calls to "files", one to "search". */
static void begin_turn(uint64_t ordinal)
{
    struct msg s = ask((struct msg){.kind = M_SESSION_CREATE, .b = ordinal});

    ask((struct msg){.kind = M_EVENTS_SEND, .a = s.a, .b = EV_USER_MESSAGE, .d = 100});
}

static struct ledger_totals calls(enum account account)
{
    struct ledger_totals t;

    ledger_totals(recorder_ledger(chain.recorder), account, &t);
    return t;
}

static uint64_t turns;
static bool turns_done(struct chain *c)
{
    struct ledger_totals t = calls(ACCOUNT_CALL);

    return t.opened == 3 * turns && t.open == 0;
}

static bool registered(struct chain *c)
{
    return chain_counter(c, COUNTER_HANDSHAKES) == 2;
}

static bool one_held(struct chain *c)
{
    return c->held_count >= 1;
}

static bool none_held(struct chain *c)
{
    return c->held_count == 0;
}

static bool streams_done(struct chain *c)
{
    return calls(ACCOUNT_STREAM).open == 0;
}

static void start_driver(void)
{
    ASSERT(driver_add(chain.driver, ORCHESTRATOR, chain.recorder, 0) == 0);
}

static struct tunnel_dialer *start_tunnel(const char *mcp_client)
{
    char why[TLS_WHY_MAX], address[TCP_ADDRESS_MAX];
    struct tunnel_outside_options o;
    struct tunnel_dialer *dialer;

    memset(&chain, 0, sizeof chain);
    chain_init_base(&chain, TUNNELS, mcp_client);
    chain_init_tunnels(&chain);
    o = chain_outside(&chain, address);
    ck_assert_int_eq(tunnel_dialer_new(chain.driver, &o, &codec.codec, &dialer, why), 0);
    start_driver();
    chain_run_until(&chain, registered);
    return dialer;
}

static void stop(struct tunnel_dialer *dialer)
{
    driver_free(chain.driver);
    chain.driver = NULL;
    tunnel_dialer_free(dialer);
    chain_deinit(&chain);
}

START_TEST(calls_go_through_the_tunnel)
{
    struct tunnel_dialer *dialer = start_tunnel(
        "{\"streams\":4,\"retry\":{\"attempts\":2,\"base\":\"1ms\",\"on\":[\"5xx\",\"reset\"]}}");

    for (turns = 1; turns <= 4; turns++) {
        begin_turn(turns - 1);
        if (turns == 2) continue; /* the third turn beside the second */
        chain_run_until(&chain, turns_done);
    }
    ck_assert_uint_eq(calls(ACCOUNT_CALL).ends[LEDGER_COMPLETED], 8);
    ck_assert_uint_eq(calls(ACCOUNT_CALL).ends[LEDGER_FAILED], 4); /* "search" is down */
    ck_assert_uint_eq(calls(ACCOUNT_ATTEMPT).ends[LEDGER_COMPLETED], 8);
    ck_assert_uint_eq(calls(ACCOUNT_ATTEMPT).ends[LEDGER_FAILED], 8);
    ck_assert_int_eq(chain.requests, 8);
    /* The streams were used again. */
    ck_assert_uint_le(calls(ACCOUNT_STREAM).opened, 4 + 4);
    ck_assert_uint_eq(chain_counter(&chain, COUNTER_HASH_MISMATCHES), 0);
    stop(dialer);
}
END_TEST

START_TEST(a_wrong_text_is_noticed)
{
    struct tunnel_dialer *dialer = start_tunnel("{\"streams\":1,\"retry\":{\"attempts\":1}}");

    chain.corrupt = true;
    turns = 1;
    begin_turn(0);
    chain_run_until(&chain, turns_done);
    ck_assert_uint_eq(chain_counter(&chain, COUNTER_HASH_MISMATCHES), 2);
    stop(dialer);
}
END_TEST

static void all_came(uint32_t way, enum msg_kind kind, uint64_t n)
{
    ck_assert_uint_eq(flowcount_get(recorder_flows(chain.recorder), way, kind, FLOW_EMITTED), n);
    ck_assert_uint_eq(flowcount_get(recorder_flows(chain.recorder), way, kind, FLOW_DECODED), n);
}

START_TEST(idle_streams_end_in_order)
{
    struct tunnel_dialer *dialer =
        start_tunnel("{\"streams\":2,\"stream_idle\":\"100ms\",\"retry\":{\"attempts\":1}}");

    turns = 1;
    begin_turn(0);
    chain_run_until(&chain, turns_done);
    chain_run_until(&chain, streams_done);
    ck_assert_uint_eq(calls(ACCOUNT_STREAM).ends[LEDGER_COMPLETED], calls(ACCOUNT_STREAM).opened);
    /* Of a call within a stream edge and connector see nothing. */
    all_came(WAY_TUNNEL + 1, M_MCP_CALL, 3);
    all_came(WAY_TUNNEL, M_MCP_RESULT, 3);
    all_came(way_between(ROLE_ORCHESTRATOR, ROLE_EDGE), M_MCP_CALL, 0);
    all_came(way_between(ROLE_CONNECTOR, ROLE_PROXY), M_TUNNEL_STREAM, calls(ACCOUNT_STREAM).opened);
    stop(dialer);
}
END_TEST

START_TEST(a_lost_carrier_loses_the_attempt)
{
    struct tunnel_dialer *dialer;

    strcpy(codec.target, "/hold");
    dialer = start_tunnel(
        "{\"streams\":2,\"retry\":{\"attempts\":8,\"base\":\"10ms\",\"on\":[\"5xx\",\"reset\"]}}");
    turns = 1;
    begin_turn(0);
    chain_run_until(&chain, one_held);
    strcpy(codec.target, "/content/400000");
    chain_relay_cut(&chain.carriers);
    chain_run_until(&chain, turns_done);
    ck_assert_uint_eq(calls(ACCOUNT_CALL).ends[LEDGER_COMPLETED], 2);
    ck_assert_uint_ge(calls(ACCOUNT_ATTEMPT).ends[LEDGER_LOST], 1);
    stop(dialer);
}
END_TEST

static uint64_t given_up(enum role from, enum role to)
{
    return flowcount_given_up(recorder_flows(chain.recorder), way_between(from, to));
}

START_TEST(a_late_attempt_is_cancelled)
{
    struct tunnel_dialer *dialer;

    strcpy(codec.target, "/hold");
    dialer = start_tunnel("{\"streams\":2,\"attempt_timeout\":\"300ms\",\"retry\":{\"attempts\":1}}");
    turns = 1;
    begin_turn(0);
    chain_run_until(&chain, turns_done);
    ck_assert_uint_eq(calls(ACCOUNT_CALL).ends[LEDGER_FAILED], 3);
    chain_run_until(&chain, none_held);
    ck_assert_int_eq(chain.aborted, 2);
    /* In between the end of the stream is passed on, and nothing given up. */
    ck_assert_uint_eq(given_up(ROLE_ORCHESTRATOR, ROLE_EDGE), 2);
    ck_assert_uint_eq(given_up(ROLE_PROXY, ROLE_MCP), 2);
    ck_assert_uint_eq(given_up(ROLE_EDGE, ROLE_CONNECTOR), 0);
    strcpy(codec.target, "/content/400000");
    stop(dialer);
}
END_TEST

START_TEST(calls_go_directly)
{
    char files[TCP_ADDRESS_MAX];
    const char *addresses[] = {files, "127.0.0.1:1"};
    struct mcp_direct *direct;

    memset(&chain, 0, sizeof chain);
    chain_init_base(&chain, NULL, "{\"direct\":true,\"streams\":2,\"retry\":{\"attempts\":1}}");
    snprintf(files, sizeof files, "127.0.0.1:%d", http_server_port(chain.mcp));
    ck_assert_int_eq(mcp_direct_new(chain.driver, addresses, &codec.codec, &direct), 0);
    start_driver();
    for (turns = 1; turns <= 2; turns++) {
        begin_turn(turns - 1);
        chain_run_until(&chain, turns_done);
    }
    ck_assert_uint_eq(calls(ACCOUNT_CALL).ends[LEDGER_COMPLETED], 4);
    ck_assert_uint_eq(calls(ACCOUNT_CALL).ends[LEDGER_LOST] + calls(ACCOUNT_CALL).ends[LEDGER_FAILED], 2);
    ck_assert_uint_eq(chain_counter(&chain, COUNTER_HASH_MISMATCHES), 0);
    chain.corrupt = true;
    begin_turn(turns - 1);
    chain_run_until(&chain, turns_done);
    ck_assert_uint_eq(chain_counter(&chain, COUNTER_HASH_MISMATCHES), 2);
    driver_free(chain.driver);
    chain.driver = NULL;
    mcp_direct_free(direct);
    chain_deinit(&chain);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("tunnel_calls");
    TCase *t = tcase_create("calls");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_set_timeout(t, 60);
    tcase_add_test(t, calls_go_through_the_tunnel);
    tcase_add_test(t, a_wrong_text_is_noticed);
    tcase_add_test(t, idle_streams_end_in_order);
    tcase_add_test(t, a_lost_carrier_loses_the_attempt);
    tcase_add_test(t, a_late_attempt_is_cancelled);
    tcase_add_test(t, calls_go_directly);
    suite_add_tcase(s, t);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
