#include "sim/live/tunnel_control.h"

#include <check.h>
#include <errno.h>
#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/prng.h"
#include "sim/live/http1.h"
#include "sim/live/tunnel_link.h"

static struct evbuffer *buffer;

static void setup(void)
{
    buffer = evbuffer_new();
}

static void teardown(void)
{
    evbuffer_free(buffer);
}

static const struct {
    struct tunnel_control message;
    const char *line;
} good[] = {
    {{TUNNEL_CONTROL_REGISTER,
      .register_ = {.tunnel = "acme", .token = "t0k/\"é", .connection = 3, .connector = "gateway-1"}},
     "{\"register\":{\"tunnel\":\"acme\",\"token\":\"t0k/"
     "\\\"é\",\"connection\":3,\"connector\":\"gateway-1\"}}\n"},
    {{TUNNEL_CONTROL_REGISTERED, .registered = {.connection = "c-1", .location = "loopback"}},
     "{\"registered\":{\"connection\":\"c-1\",\"location\":\"loopback\"}}\n"},
    {{TUNNEL_CONTROL_REFUSED, .refused = {.error = "duplicate connection", .may_retry = false}},
     "{\"refused\":{\"error\":\"duplicate connection\",\"retry_after_ms\":null}}\n"},
    {{TUNNEL_CONTROL_REFUSED, .refused = {.error = "busy", .may_retry = true, .retry_after_ms = 1500}},
     "{\"refused\":{\"error\":\"busy\",\"retry_after_ms\":1500}}\n"},
    {{TUNNEL_CONTROL_UNREGISTER}, "{\"unregister\":{}}\n"},
    {{TUNNEL_CONTROL_DRAINING}, "{\"draining\":{}}\n"},
};

START_TEST(what_is_encoded_is_decoded)
{
    struct tunnel_control m;
    size_t taken;
    ck_assert_int_eq(tunnel_control_encode(&good[_i].message, buffer), 0);
    size_t len = strlen(good[_i].line);
    ck_assert_uint_eq(evbuffer_get_length(buffer), len);
    ck_assert_int_eq(memcmp(evbuffer_pullup(buffer, -1), good[_i].line, len), 0);
    ck_assert_int_eq(tunnel_control_read(buffer, &m, &taken, NULL), 0);
    ck_assert_uint_eq(taken, len);
    ck_assert_int_eq(m.kind, good[_i].message.kind);
    ck_assert_mem_eq(&m.register_, &good[_i].message.register_, sizeof(m.register_));
    ck_assert_int_eq(tunnel_control_read(buffer, &m, &taken, NULL), TUNNEL_CONTROL_E_MORE);
    ck_assert_uint_eq(taken, 0);
}
END_TEST

START_TEST(lines_come_in_pieces)
{
    struct tunnel_control m;
    size_t taken, n = 0;
    for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        for (const char *c = good[i].line; *c; c++) {
            evbuffer_add(buffer, c, 1);
            int r = tunnel_control_read(buffer, &m, &taken, NULL);
            ck_assert_int_eq(r, c[1] ? TUNNEL_CONTROL_E_MORE : 0);
            if (r == 0) n++;
        }
    ck_assert_uint_eq(n, sizeof(good) / sizeof(good[0]));
}
END_TEST

static const char *const malformed[] = {
    "",
    "x",
    "[]",
    "7",
    "{\"register\":{}}",
    "{\"register\":[]}",
    "{\"unregister\":null}",
    "{\"unregister\":{},\"unregister\":{}}",
    "{\"unregister\":{},\"draining\":{}}",
    "{\"register\":{\"tunnel\":\"a\",\"token\":\"t\",\"connection\":-1,\"connector\":\"c\"}}",
    "{\"register\":{\"tunnel\":\"a\",\"token\":\"t\",\"connection\":4294967296,\"connector\":\"c\"}}",
    "{\"register\":{\"tunnel\":\"a\",\"token\":\"t\",\"connection\":\"0\",\"connector\":\"c\"}}",
    "{\"register\":{\"tunnel\":\"a\\nb\",\"token\":\"t\",\"connection\":0,\"connector\":\"c\"}}",
    "{\"register\":{\"tunnel\":\"a\\u0000b\",\"token\":\"t\",\"connection\":0,\"connector\":\"c\"}}",
    "{\"registered\":{\"connection\":1,\"location\":\"x\"}}",
    "{\"registered\":{\"connection\":\"1\"}}",
    "{\"refused\":{\"retry_after_ms\":1}}",
    "{\"refused\":{\"error\":\"x\",\"retry_after_ms\":-1}}",
    "{\"refused\":{\"error\":\"x\",\"retry_after_ms\":1.5}}",
    "{\"refused\":{\"error\":\"\xff\"}}",
    "{\"draining\":{}} x",
};

START_TEST(what_is_malformed_is_told)
{
    struct tunnel_control m;
    char why[TUNNEL_CONTROL_WHY_MAX] = "";
    size_t len = strlen(malformed[_i]);
    ck_assert_int_eq(tunnel_control_decode(malformed[_i], len, &m, why), TUNNEL_CONTROL_E_MALFORMED);
    ck_assert_ptr_nonnull(strstr(why, "control stream: "));
}
END_TEST

START_TEST(members_and_messages_of_later_versions_are_skipped)
{
    struct tunnel_control m;
    static const char more[] =
        "{\"registered\":{\"connection\":\"1\",\"location\":\"x\",\"features\":[1]},\"v\":2}";
    static const char other[] = "{\"reconfigure\":{\"x\":1}}";
    ck_assert_int_eq(tunnel_control_decode(more, sizeof(more) - 1, &m, NULL), 0);
    ck_assert_str_eq(m.registered.location, "x");
    ck_assert_int_eq(tunnel_control_decode(other, sizeof(other) - 1, &m, NULL), TUNNEL_CONTROL_E_UNKNOWN);
}
END_TEST

START_TEST(long_lines_are_refused)
{
    struct tunnel_control m;
    size_t taken;
    for (int i = 0; i < TUNNEL_CONTROL_LINE_MAX; i++) evbuffer_add(buffer, " ", 1);
    ck_assert_int_eq(tunnel_control_read(buffer, &m, &taken, NULL), TUNNEL_CONTROL_E_MORE);
    evbuffer_add(buffer, " ", 1);
    ck_assert_int_eq(tunnel_control_read(buffer, &m, &taken, NULL), TUNNEL_CONTROL_E_TOO_LONG);
    evbuffer_add(buffer, "\n", 1);
    ck_assert_int_eq(tunnel_control_read(buffer, &m, &taken, NULL), TUNNEL_CONTROL_E_TOO_LONG);
}
END_TEST

START_TEST(texts_that_do_not_fit_are_refused)
{
    struct tunnel_control m = {TUNNEL_CONTROL_REGISTERED};
    static char line[2 * TUNNEL_CONTROL_NAME_MAX];
    memset(m.registered.connection, 'x', TUNNEL_CONTROL_NAME_MAX - 1);
    size_t taken;
    ck_assert_int_eq(tunnel_control_encode(&m, buffer), 0);
    ck_assert_int_eq(tunnel_control_read(buffer, &m, &taken, NULL), 0);
    int n = snprintf(line, sizeof(line), "{\"registered\":{\"connection\":\"%sx\",\"location\":\"\"}}",
                     m.registered.connection);
    ck_assert_int_eq(tunnel_control_decode(line, (size_t)n, &m, NULL), TUNNEL_CONTROL_E_MALFORMED);
}
END_TEST

START_TEST(what_cannot_be_encoded_is_refused)
{
    struct tunnel_control m = {0};
    ck_assert_int_eq(tunnel_control_encode(&m, buffer), -EINVAL);
    m = (struct tunnel_control){TUNNEL_CONTROL_REGISTERED, .registered = {.connection = "\xff"}};
    ck_assert_int_eq(tunnel_control_encode(&m, buffer), -EINVAL);
    m = (struct tunnel_control){TUNNEL_CONTROL_REFUSED,
                                .refused = {.may_retry = true, .retry_after_ms = UINT64_MAX}};
    ck_assert_int_eq(tunnel_control_encode(&m, buffer), -EINVAL);
    m = (struct tunnel_control){TUNNEL_CONTROL_REGISTER};
    memset(m.register_.token, 1, TUNNEL_CONTROL_TOKEN_MAX - 1); /* six characters each in JSON */
    ck_assert_int_eq(tunnel_control_encode(&m, buffer), -EMSGSIZE);
    ck_assert_uint_eq(evbuffer_get_length(buffer), 0);
}
END_TEST

START_TEST(damaged_lines_do_no_harm)
{
    for (uint64_t seed = 0; seed < 3000; seed++) {
        struct prng r = prng_stream(seed, 0, "control", 0, 0);
        struct tunnel_control m;
        char line[256];
        size_t len = strlen(good[seed % 6].line) - 1;
        memcpy(line, good[seed % 6].line, len);
        for (uint64_t i = prng_below(&r, 4); i < 4; i++) line[prng_below(&r, len)] = (char)prng_u64(&r);
        int result = tunnel_control_decode(line, len - prng_below(&r, 3), &m, NULL);
        ck_assert(result >= 0);
    }
}
END_TEST

/* An edge may ask for a wait, but its number neither wraps into none nor lasts for ever. */
START_TEST(the_wait_after_a_refusal_is_bounded)
{
    static const struct {
        const char *asked;
        nsec_t wait;
    } cases[] = {{"null", 0},
                 {"0", 0},
                 {"1500", 1500 * NSEC_PER_MS},
                 {"86400001", RETRY_AFTER_MAX_NS},
                 {"18446744073710", RETRY_AFTER_MAX_NS}, /* times a million: 448,384 ns past 2^64 */
                 {"9223372036854775807", RETRY_AFTER_MAX_NS}};
    struct tunnel_control m;
    char line[128];

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int n = snprintf(line, sizeof(line), "{\"refused\":{\"error\":\"not now\",\"retry_after_ms\":%s}}",
                         cases[i].asked);
        ck_assert_int_eq(tunnel_control_decode(line, (size_t)n, &m, NULL), 0);
        ck_assert_uint_eq(tunnel_link_answered(&m).c, cases[i].wait);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("tunnel_control");
    TCase *t = tcase_create("codec");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, what_is_encoded_is_decoded, 0, sizeof(good) / sizeof(good[0]));
    tcase_add_test(t, lines_come_in_pieces);
    tcase_add_loop_test(t, what_is_malformed_is_told, 0, sizeof(malformed) / sizeof(malformed[0]));
    tcase_add_test(t, members_and_messages_of_later_versions_are_skipped);
    tcase_add_test(t, long_lines_are_refused);
    tcase_add_test(t, texts_that_do_not_fit_are_refused);
    tcase_add_test(t, what_cannot_be_encoded_is_refused);
    tcase_add_test(t, damaged_lines_do_no_harm);
    tcase_add_test(t, the_wait_after_a_refusal_is_bounded);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    SRunner *runner = srunner_create(suite());
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
