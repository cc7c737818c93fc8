/* The agent's codec: its requests against the server, its decoder against answers cut anywhere. */
#include <event2/buffer.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mock-mcp/mcp_codec.h"
#include "mock-mcp/scan.h"
#include "sim/base/prng.h"
#include "sim/live/content.h"
#include "tests/live/mcp_stage.h"

enum { BODY_MAX = 1024 };

#define ID "00000000000000ab" /* of the attempt */

static const struct msg call = {.type = MSG_OPEN, .kind = M_MCP_CALL, .a = 0xab, .c = 8, .d = 5};

static const char *text8(void)
{
    static char text[9];

    content_fill(call.d, 0, text, 8);
    return text;
}

/* Decodes a body in pieces of `piece` bytes. */
static struct mcp_answer decode(const struct msg *m, int status, const char *type, const char *body, size_t n,
                                size_t piece)
{
    const struct mcp_codec *codec = mcp_codec_agent();
    struct http_header headers[] = {{"Content-Type", type}, {"Retry-After", "3"}};
    struct http_head head = {.status = status, .n_headers = 2, .headers = headers};
    struct evbuffer *in = evbuffer_new();
    struct mcp_decoder *d;
    struct mcp_answer answer;

    ck_assert_int_eq(codec->decoder_new(codec, m, &head, &d), 0);
    for (size_t at = 0; at < n; at += piece) {
        evbuffer_add(in, body + at, n - at < piece ? n - at : piece);
        codec->decoder_feed(d, in);
        ck_assert_uint_eq(evbuffer_get_length(in), 0);
    }
    codec->decoder_end(d, &answer);
    codec->decoder_free(d);
    evbuffer_free(in);
    return answer;
}

#define RESULT(text)                                                                                         \
    "{\"jsonrpc\":\"2.0\",\"id\":\"" ID "\",\"result\":{\"content\":[" text "],\"isError\":false}}"
#define BLOCK(text) "{\"type\":\"text\",\"text\":\"" text "\"}"

/* @: the text that belongs to the call; #: the first three characters of it. */
static const struct {
    const char *type, *body;
    uint32_t status;
    uint64_t chars;
    bool corrupt;
} answers[] = {
    {"application/json", RESULT(BLOCK("@")), 200, 8, false},
    {"Application/JSON; charset=utf-8", " \r\n\t" RESULT(BLOCK("@")) "\n ", 200, 8, false},
    {"application/json", RESULT(BLOCK("#") "," BLOCK("@")), 200, 11, true},
    {"application/json", RESULT(""), 200, 0, true},
    {"application/json", RESULT(BLOCK("12345678")), 200, 8, true},
    {"application/json", RESULT(BLOCK("@9")), 200, 9, true},
    {"application/json", RESULT(BLOCK("\\ud83c\\udf2a\\ud800\\udc0x")), 502, 0, false},
    {"application/json", RESULT(BLOCK("\\ud83c\\udf2a\\ud800x\\udc00\\n")), 200, 5, true},
    {"application/json", RESULT(BLOCK("\xc3\xa4\xff\xf0\x9f\x8c\xaa")), 200, 3, true},
    {"application/json", RESULT(BLOCK("\\u0061\\u0000\\/")), 200, 3, true},
    /* the same text elsewhere does not count */
    {"application/json",
     RESULT(
         "{\"type\":\"resource\",\"resource\":{\"text\":\"no\"}}," BLOCK("@") ",{\"type\":\"x\",\"text\":1}"),
     200, 8, false},
    {"application/json",
     "{\"result\":{\"x\":{\"content\":[" BLOCK("no") "]},\"content\":[" BLOCK(
         "@") "]},"
              "\"content\":[" BLOCK("no") "],\"id\":\"" ID "\",\"jsonrpc\":\"2.0\"}",
     200, 8, false},
    /* no result of this call */
    {"application/json",
     "{\"jsonrpc\":\"2.0\",\"id\":\"" ID "\",\"error\":{\"code\":-32602,\"message\":\"no\"}}", 502, 0, false},
    {"application/json", "{\"jsonrpc\":\"2.0\",\"id\":\"00000000000000ac\",\"result\":{}}", 502, 0, false},
    {"application/json", "{\"jsonrpc\":\"2.0\",\"id\":171,\"result\":{}}", 502, 0, false},
    {"application/json", "{\"jsonrpc\":\"2.0\",\"result\":{}}", 502, 0, false},
    {"application/json", "{\"id\":\"" ID "\",\"result\":7}", 502, 0, false},
    {"application/json", "{\"id\":\"" ID "\",\"result\":{}", 502, 0, false},
    {"application/json", "{\"id\":\"" ID "\",\"result\":{}}}", 502, 0, false},
    {"application/json", "{\"id\":\"" ID "\",\"result\":{}}{}", 502, 0, false},
    {"application/json", "[{\"id\":\"" ID "\",\"result\":{}}]", 502, 0, false},
    {"application/json", "", 502, 0, false},
    {"text/html", RESULT(BLOCK("@")), 502, 0, false},
    {"application/jsonl", RESULT(BLOCK("@")), 502, 0, false},
    /* event streams */
    {"text/event-stream", "event: message\ndata: " RESULT(BLOCK("@")) "\n\n", 200, 8, false},
    {"text/event-stream; charset=utf-8", "data:" RESULT(BLOCK("@")) "\r\n\r\n", 200, 8, false},
    {"text/event-stream", "data: " RESULT(BLOCK("@")) "\r\r", 200, 8, false},
    {"text/event-stream",
     ": hello\nid: 1\nretry: 5\ndata\n\n"
     "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{}}\n\n"
     "event: other\ndata: " RESULT(BLOCK("no")) "\n\n"
                                                "eventx: message\ndata: {\ndata: \"id\":\"" ID
                                                "\",\ndata:\"result\":{\"content\":[" BLOCK(
                                                    "@") "]}}\n\n"
                                                         "data: " RESULT(BLOCK("no")) "\n\n",
     200, 8, false},
    {"text/event-stream", "data: " RESULT(BLOCK("@")) "\n", 502, 0, false},
    {"text/event-stream", "data: " RESULT(BLOCK("@")) "\ndata: {}\n\n", 502, 0, false},
    {"text/event-stream", "data: {}\n\ndata: x\n\n: \n\n", 502, 0, false},
    {"text/event-stream", "datax: " RESULT(BLOCK("@")) "\n\n", 502, 0, false},
    {"text/event-stream", "event: messages_that_are_none\ndata: " RESULT(BLOCK("@")) "\n\n", 502, 0, false},
};

/* Puts the text in its places. */
static size_t fill_in(const char *from, char ret_body[BODY_MAX])
{
    size_t n = 0;

    for (; *from; from++) {
        size_t take = *from == '@' ? 8 : *from == '#' ? 3 : 1;

        ck_assert_uint_lt(n + take, BODY_MAX);
        memcpy(ret_body + n, take == 1 ? from : text8(), take);
        n += take;
    }
    ret_body[n] = '\0';
    return n;
}

START_TEST(decodes_answers_cut_anywhere)
{
    mcp_stage_start(&stage, NULL);
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        char body[BODY_MAX];
        size_t n = fill_in(answers[i].body, body);

        for (size_t piece = 1; piece <= n + 1; piece++) {
            struct mcp_answer a = decode(&call, 200, answers[i].type, body, n, piece);

            ck_assert_msg(a.status == answers[i].status && a.chars == answers[i].chars &&
                              a.corrupt == answers[i].corrupt,
                          "pieces of %zu: %u %lu %d: %s", piece, a.status, (unsigned long)a.chars, a.corrupt,
                          body);
        }
    }
}
END_TEST

START_TEST(decodes_failures)
{
    static const struct {
        const char *name, *value;
        nsec_t wait_ns;
    } waits[] = {
        {"retry-after", "2", 2 * NSEC_PER_S},
        {"Retry-After-Ms", "1500", 1500 * NSEC_PER_MS},
        {"retry-after", "", 0},
        {"retry-after", "-1", 0},
        {"retry-after", "Wed, 21 Oct 2015 07:28", 0},
        {"retry-after", "1.5", 0},
        {"retry-after", "99999999999999999999999999", 86400 * NSEC_PER_S},
    };
    const struct mcp_codec *codec = mcp_codec_agent();
    struct mcp_answer a;

    mcp_stage_start(&stage, NULL);
    for (size_t i = 0; i < sizeof waits / sizeof waits[0]; i++) {
        struct http_header header = {waits[i].name, waits[i].value};
        struct http_head head = {.status = 429, .n_headers = 1, .headers = &header};
        struct mcp_decoder *d;

        ck_assert_int_eq(codec->decoder_new(codec, &call, &head, &d), 0);
        codec->decoder_end(d, &a);
        codec->decoder_free(d);
        ck_assert_uint_eq(a.status, 429);
        ck_assert_uint_eq(a.retry_after_ns, waits[i].wait_ns);
    }
    a = decode(&call, 202, "application/json", "", 0, 1);
    ck_assert_uint_eq(a.status, 502);
    a = decode(&call, 404, "application/json", RESULT(BLOCK("x")), strlen(RESULT(BLOCK("x"))), 7);
    ck_assert_uint_eq(a.status, 404);
    ck_assert_uint_eq(a.chars, 0);
    codec->decoder_free(NULL);
}
END_TEST

/* --- against the server --- */

static char *request_of(const struct msg *m)
{
    const struct mcp_codec *codec = mcp_codec_agent();
    struct evbuffer *body = evbuffer_new(), *out = evbuffer_new();
    struct mcp_request request;
    char *text;
    size_t n;

    ck_assert_int_eq(codec->encode(codec, m, &request, body), 0);
    ck_assert_int_eq(http1_add_request(out, request.method, request.target, "test", request.headers,
                                       HTTP1_LENGTH, evbuffer_get_length(body), NULL),
                     0);
    evbuffer_add_buffer(out, body);
    n = evbuffer_get_length(out);
    text = calloc(1, n + 1);
    evbuffer_remove(out, text, n);
    evbuffer_free(body);
    evbuffer_free(out);
    return text;
}

static void talk(uint64_t chars, uint64_t expected)
{
    struct msg m = {.kind = M_MCP_CALL, .a = UINT64_MAX - 1, .c = chars, .d = UINT64_C(0xfedcba9876543210)};
    char *request = request_of(&m), type[64];
    int fd = mcp_stage_connect(&stage, 0);
    struct mcp_response r;
    struct mcp_answer a;

    mcp_stage_send(&stage, fd, request);
    r = mcp_stage_receive(&stage, fd);
    mcp_response_header(&r, "content-type", type, sizeof type);
    a = decode(&m, r.status, type, r.body, r.body_len, 1460);
    ck_assert_uint_eq(a.status, 200);
    ck_assert_uint_eq(a.chars, expected);
    ck_assert(!a.corrupt);
    if (a.chars > 10) {
        r.body[r.body_len / 2] ^= 1;
        a = decode(&m, r.status, type, r.body, r.body_len, 1460);
        ck_assert_uint_eq(a.status, 200);
        ck_assert(a.corrupt);
    }
    mcp_response_deinit(&r);
    close(fd);
    free(request);
}

START_TEST(the_server_understands_it)
{
    struct mcp_server_options o = {.event_streams = _i};

    mcp_stage_start(&stage, &o);
    talk(0, 0);
    talk(1, 1);
    talk(400000, 400000);
    talk(MCP_OWN_OUTPUT, 1000); /* the default of a server */
}
END_TEST

/* --- the scanner against jansson --- */

static const char *const seeds[] = {
    "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"result\":{\"content\":[{\"text\":\"a\\n\\\"\"}],\"n\":-1.5e+10}}",
    "[1,2.0,[],{},{\"a\":[true,false,null]},0,-0,\"\\t\"]",
    "  {\"a\" : 1 , \"b\":[ ] }  ",
};

static bool scan_takes(const char *text, size_t n)
{
    struct scan s = {.on_text = NULL};

    mcp_scan_reset(&s);
    if (!mcp_scan_feed(&s, text, n)) return false;
    mcp_scan_feed(&s, "\n", 1); /* ends a number */
    return mcp_scan_complete(&s);
}

START_TEST(the_scanner_agrees_with_jansson)
{
    static const char bytes[] = "{}[]\",:\\/0123456789.eE+-truefalsn \t\nu";
    struct prng p = prng_stream(1, 0, "test", 0, 0);
    int taken = 0;

    mcp_stage_start(&stage, NULL);
    for (int i = 0; i < 200000; i++) {
        const char *seed = seeds[prng_below(&p, 3)];
        char text[256];
        size_t n = strlen(seed);
        json_t *j;
        bool valid;

        memcpy(text, seed, n);
        for (uint64_t k = prng_below(&p, 4); k > 0; k--)
            text[prng_below(&p, n)] = bytes[prng_below(&p, sizeof bytes - 1)];
        if (memmem(text, n, "\\u", 2)) continue; /* surrogates are another matter */
        j = json_loadb(text, n, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, NULL);
        valid = scan_takes(text, n);
        if (!j != !valid) {
            json_error_t e;

            json_decref(json_loadb(text, n, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, &e));
            ck_assert_msg(!j && strstr(e.text, "real number overflow"), "%d: %.*s", valid, (int)n, text);
        }
        taken += valid;
        json_decref(j);
    }
    ck_assert_int_gt(taken, 10000);
}
END_TEST

START_TEST(the_scanner_has_a_depth)
{
    struct scan s = {.on_text = NULL};
    char deep[SCAN_DEPTH_MAX + 1];

    mcp_stage_start(&stage, NULL);
    memset(deep, '[', sizeof deep);
    mcp_scan_reset(&s);
    ck_assert(mcp_scan_feed(&s, deep, SCAN_DEPTH_MAX));
    ck_assert(!mcp_scan_feed(&s, deep, 1));
    ck_assert(!mcp_scan_feed(&s, "]", 1));
}
END_TEST

static void add_tests(TCase *tc)
{
    tcase_add_test(tc, decodes_answers_cut_anywhere);
    tcase_add_test(tc, decodes_failures);
    tcase_add_loop_test(tc, the_server_understands_it, 0, 2);
    tcase_add_test(tc, the_scanner_agrees_with_jansson);
    tcase_add_test(tc, the_scanner_has_a_depth);
}

int main(void)
{
    return mcp_stage_main("mcp_server_codec", add_tests);
}
