/* Server-sent events: what the standard says about lines, fields and ends, cut at every place. */
#include "sim/live/sse.h"

#include <check.h>
#include <errno.h>
#include <event2/buffer.h>
#include <stdio.h>
#include <string.h>

struct sample {
    const char *text, *want; /* "event|id|data;" for each */
};

static const struct sample samples[] = {
    {"data: a\n\n", "message||a;"},
    {"data:a\r\rdata: b\r\n\r\n", "message||a;message||b;"},
    {"\xef\xbb\xbf"
     "data: a\n\n",
     "message||a;"},
    {"\xef\xbb"
     "data: a\n\n",
     ""}, /* no mark: an unknown field */
    {"\n\n: comment\n\nevent: x\ndata: 1\ndata: 2\n\ndata: 3\n\n", "x||1\n2;message||3;"},
    {"id: 7\ndata: a\n\ndata: b\n\nid\ndata: c\n\n", "message|7|a;message|7|b;message||c;"},
    {"data\n\ndata\ndata\n\n", "message||;message||\n;"},
    {"data:  two\n\n", "message|| two;"},
    {"event: lost\n\ndata: a\n\n", "message||a;"},
    {"retry: 1500\nretry: x\ndata: a\n\n", "message||a;"},
    {"unknown: x\nDATA: y\ndata: a:b\n\n", "message||a:b;"},
    {"data: never ended\n", ""},
    {"data: a\r\n\r\n\r\n\r\ndata: b\n\n", "message||a;message||b;"},
};

static void decode(const char *text, size_t piece, char *ret_line, size_t size)
{
    struct evbuffer *in = evbuffer_new();
    struct sse_decoder *d;
    struct sse_event e;
    size_t n = 0, len = strlen(text);
    int r;

    ret_line[0] = '\0';
    ck_assert_int_eq(sse_decoder_new(0, &d), 0);
    for (size_t at = 0; at < len; at += piece) {
        evbuffer_add(in, text + at, at + piece < len ? piece : len - at);
        while ((r = sse_decode(d, in, &e)) == 1) {
            ck_assert_uint_eq(strlen(e.data), e.len);
            n += snprintf(ret_line + n, size - n, "%s|%s|%s;", e.event, e.id, e.data);
        }
        ck_assert_int_eq(r, 0);
        ck_assert_uint_eq(evbuffer_get_length(in), 0);
    }
    sse_decoder_free(d);
    evbuffer_free(in);
}

START_TEST(decoding)
{
    char line[1024];

    for (size_t piece = 1; piece < 30; piece++) {
        decode(samples[_i].text, piece, line, sizeof line);
        ck_assert_str_eq(line, samples[_i].want);
    }
}
END_TEST

START_TEST(encoding)
{
    struct evbuffer *out = evbuffer_new();

    ck_assert_int_eq(sse_add(out, "e\nf", "1", "a\nb\r\nc\rd", 8), 0);
    ck_assert_int_eq(sse_add(out, NULL, NULL, "", 0), 0);
    ck_assert_int_eq(sse_add(out, NULL, NULL, "x\n", 2), 0);
    ck_assert_int_eq(sse_add_comment(out, "ping\npong"), 0);
    ck_assert_int_eq(sse_add_retry(out, 2500), 0);
    evbuffer_add(out, "", 1);
    ck_assert_str_eq((char *)evbuffer_pullup(out, -1),
                     "event: e f\nid: 1\ndata: a\ndata: b\ndata: c\ndata: d\n\n"
                     "data: \n\ndata: x\ndata: \n\n: ping pong\n\nretry: 2500\n\n");
    evbuffer_free(out);
}
END_TEST

START_TEST(round_trip)
{
    static const char *data[] = {"", "{\"a\":1}", "one\ntwo\n", "\n", " lead", ": x", "data: y"};
    struct evbuffer *buffer = evbuffer_new();
    struct sse_decoder *d;
    struct sse_event e;

    ck_assert_int_eq(sse_decoder_new(0, &d), 0);
    for (size_t i = 0; i < sizeof data / sizeof *data; i++) {
        sse_add_comment(buffer, "tick");
        ck_assert_int_eq(sse_add(buffer, "kind", "id-9", data[i], strlen(data[i])), 0);
        sse_add_retry(buffer, i);
        ck_assert_int_eq(sse_decode(d, buffer, &e), 1);
        ck_assert_str_eq(e.event, "kind");
        ck_assert_str_eq(e.id, "id-9");
        ck_assert_str_eq(e.data, data[i]);
        ck_assert(sse_saw_comment(d));
        ck_assert(!sse_saw_comment(d));
        ck_assert_int_eq(sse_decode(d, buffer, &e), 0);
        ck_assert_int_eq(sse_retry_ms(d), i);
    }
    ck_assert_str_eq(sse_last_id(d), "id-9");
    sse_decoder_free(d);
    evbuffer_free(buffer);
}
END_TEST

START_TEST(limits)
{
    struct evbuffer *in = evbuffer_new();
    struct sse_decoder *d;
    struct sse_event e;

    ck_assert_int_eq(sse_decoder_new(100, &d), 0);
    for (int i = 0; i < 9; i++)
        evbuffer_add_printf(in, "data: 0123456789\n"); /* 98 bytes with their line feeds */
    evbuffer_add_printf(in, "\n");
    ck_assert_int_eq(sse_decode(d, in, &e), 1);
    ck_assert_uint_eq(e.len, 98);
    for (int i = 0; i < 10; i++) evbuffer_add_printf(in, "data: 0123456789\n");
    ck_assert_int_eq(sse_decode(d, in, &e), -EMSGSIZE);
    ck_assert_int_eq(sse_decode(d, in, &e), -EMSGSIZE);
    sse_decoder_free(d);

    ck_assert_int_eq(sse_decoder_new(100, &d), 0);
    evbuffer_drain(in, evbuffer_get_length(in));
    for (int i = 0; i < 102; i++) evbuffer_add_printf(in, "x"); /* a line without an end */
    ck_assert_int_eq(sse_decode(d, in, &e), -EMSGSIZE);
    sse_decoder_free(d);
    evbuffer_free(in);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sse");
    TCase *tc = tcase_create("sse");
    SRunner *runner;
    int failed;

    tcase_add_loop_test(tc, decoding, 0, sizeof samples / sizeof *samples);
    tcase_add_test(tc, encoding);
    tcase_add_test(tc, round_trip);
    tcase_add_test(tc, limits);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
