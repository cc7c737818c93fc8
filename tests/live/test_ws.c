#include "sim/live/ws.h"

#include <check.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/prng.h"
#include "tests/live/pair_stream.h"
#include "tests/live/stream_probe.h"

static struct event_base *base;

static void setup(void)
{
    base = event_base_new();
}

static void teardown(void)
{
    event_base_free(base);
}

/* ---- handshake ---- */

START_TEST(accept_is_that_of_the_rfc)
{
    char accept[WS_ACCEPT_SIZE];
    ck_assert_int_eq(ws_accept_of("dGhlIHNhbXBsZSBub25jZQ==", accept), 0);
    ck_assert_str_eq(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    ck_assert_int_lt(ws_accept_of("dGhlIHNhbXBsZSBub25jZQ=", accept), 0);
    ck_assert_int_lt(ws_accept_of("dGhlIHNhbXBsZSBub25jZQ!!", accept), 0);
    ck_assert_int_lt(ws_accept_of("dGhlIHNhbXBsZSBub25jZQ===", accept), 0);
    ck_assert_int_lt(ws_accept_of("", accept), 0);
    ck_assert_int_lt(ws_accept_of(NULL, accept), 0);
}
END_TEST

static int zeros(void *user, void *buf, size_t len)
{
    memset(buf, 0, len);
    return 0;
}

START_TEST(keys_differ_and_can_be_drawn_by_the_caller)
{
    char a[WS_KEY_SIZE], b[WS_KEY_SIZE], accept[WS_ACCEPT_SIZE];
    ck_assert_int_eq(ws_make_key(NULL, NULL, a), 0);
    ck_assert_int_eq(ws_make_key(NULL, NULL, b), 0);
    ck_assert_str_ne(a, b);
    ck_assert_int_eq(ws_accept_of(a, accept), 0);
    ck_assert_int_eq(ws_make_key(zeros, NULL, a), 0);
    ck_assert_str_eq(a, "AAAAAAAAAAAAAAAAAAAAAA==");
}
END_TEST

static unsigned count_headers(const struct http_header *h)
{
    unsigned n = 0;
    while (h[n].name) n++;
    return n;
}

START_TEST(both_sides_agree_on_an_upgrade)
{
    char key[WS_KEY_SIZE], accept[WS_ACCEPT_SIZE];
    struct http_header asked[WS_CLIENT_HEADERS], answered[WS_SERVER_HEADERS];
    ws_make_key(NULL, NULL, key);
    ws_client_headers(key, asked);
    struct http_head request = {.method = "GET", .n_headers = count_headers(asked), .headers = asked};
    ck_assert_int_eq(ws_judge_request(&request, accept), 101);
    ws_server_headers(accept, answered);
    struct http_head answer = {.status = 101, .n_headers = count_headers(answered), .headers = answered};
    ck_assert(ws_judge_answer(&answer, key));
    answer.status = 200;
    ck_assert(!ws_judge_answer(&answer, key));
    answer.status = 101;
    answered[2].value = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    ck_assert(!ws_judge_answer(&answer, key));
}
END_TEST

START_TEST(bad_requests_get_the_right_status)
{
    char accept[WS_ACCEPT_SIZE];
    struct http_header asked[WS_CLIENT_HEADERS];
    ws_client_headers("dGhlIHNhbXBsZSBub25jZQ==", asked);
    struct http_head request = {.method = "POST", .n_headers = 4, .headers = asked};
    ck_assert_int_eq(ws_judge_request(&request, accept), 405);
    request.method = "GET";
    asked[2].value = "8";
    ck_assert_int_eq(ws_judge_request(&request, accept), 426);
    asked[2].value = "13";
    request.n_headers = 3;
    ck_assert_int_eq(ws_judge_request(&request, accept), 400);
    request.n_headers = 4;
    asked[1].value = "keep-alive";
    ck_assert_int_eq(ws_judge_request(&request, accept), 400);
    asked[1].value = "keep-alive, upgrade";
    ck_assert_int_eq(ws_judge_request(&request, accept), 101);
}
END_TEST

/* ---- two WebSockets ---- */

struct two {
    struct stream *below_client, *below_server;
    struct probe client, server;
};

static void two_new(struct two *t, const struct pair_options *o, const struct ws_options *w,
                    unsigned client_flags, unsigned server_flags)
{
    struct stream *c, *s;
    pair_stream_new(base, o, &t->below_client, &t->below_server);
    ck_assert_int_eq(ws_wrap(base, t->below_client, true, w, &c), 0);
    ck_assert_int_eq(ws_wrap(base, t->below_server, false, w, &s), 0);
    probe_init(&t->client, c, client_flags);
    probe_init(&t->server, s, server_flags);
}

static void two_free(struct two *t)
{
    ck_assert(!t->client.bad);
    ck_assert(!t->server.bad);
    probe_deinit(&t->client);
    probe_deinit(&t->server);
}

static const struct pair_options lines[] = {
    {0},
    {.chunk_max = 1},
    {.chunk_max = 3000, .seed = 1},
    {.chunk_max = 7, .seed = 2},
    {.window = 5000, .chunk_max = 4096, .seed = 3},
};

START_TEST(bytes_come_back_and_the_close_is_clean)
{
    struct two t;
    uint64_t len = lines[_i].chunk_max && lines[_i].chunk_max < 100 ? 20000 : 400000;
    two_new(&t, &lines[_i], NULL, PROBE_CHECK, PROBE_ECHO | PROBE_CHECK);
    probe_send(&t.client, len, true);
    ck_assert(run_until(base, &t.client.ended));
    ck_assert(run_until(base, &t.server.ended));
    ck_assert_uint_eq(t.client.received, len);
    ck_assert_uint_eq(t.server.received, len);
    ck_assert_int_eq(t.client.end, STREAM_END_CLEAN);
    ck_assert_int_eq(t.server.end, STREAM_END_CLEAN);
    ck_assert_int_eq(t.client.eof, 1);
    ck_assert_int_eq(ws_close_codes(t.client.stream).sent, 1000);
    ck_assert_int_eq(ws_close_codes(t.client.stream).received, 1000);
    ck_assert_int_eq(ws_close_codes(t.server.stream).received, 1000);
    two_free(&t);
}
END_TEST

START_TEST(both_directions_are_bulk_at_once)
{
    struct two t;
    two_new(&t, &(struct pair_options){.chunk_max = 9000, .seed = 7}, NULL, PROBE_CHECK, PROBE_CHECK);
    probe_send(&t.client, 3000000, true);
    probe_send(&t.server, 3000000, true);
    ck_assert(run_until_count(base, &t.client.received, 3000000));
    ck_assert(run_until_count(base, &t.server.received, 3000000));
    ck_assert(run_until(base, &t.client.ended));
    ck_assert_int_eq(t.client.end, STREAM_END_CLEAN);
    two_free(&t);
}
END_TEST

START_TEST(a_half_closed_stream_still_sends)
{
    struct two t;
    two_new(&t, NULL, NULL, PROBE_CHECK, PROBE_CHECK);
    stream_shutdown(t.client.stream);
    ck_assert(run_until(base, &t.server.eof));
    probe_send(&t.server, 100000, false);
    ck_assert(run_until_count(base, &t.client.received, 100000));
    ck_assert_int_eq(t.client.ended, 0);
    stream_shutdown(t.server.stream);
    ck_assert(run_until(base, &t.client.ended));
    ck_assert_int_eq(t.client.end, STREAM_END_CLEAN);
    two_free(&t);
}
END_TEST

START_TEST(a_reader_that_holds_stops_the_writer)
{
    struct two t;
    two_new(&t, &(struct pair_options){.window = 100000}, NULL, 0, PROBE_CHECK | PROBE_HOLD);
    probe_send(&t.client, 5000000, true);
    run_idle(base);
    uint64_t sent = t.client.sent;
    run_idle(base);
    ck_assert_uint_eq(t.client.sent, sent);
    ck_assert_uint_lt(sent, 100000 + 400000);
    ck_assert_uint_lt(evbuffer_get_length(stream_input(t.server.stream)), 110000);
    ck_assert_int_eq(t.server.eof, 0);
    probe_resume(&t.server);
    ck_assert(run_until(base, &t.server.eof));
    ck_assert_uint_eq(t.server.received, 5000000);
    ck_assert_int_ge(t.client.writable, 1);
    ck_assert_uint_lt(pair_stream_peak(t.below_client), 100000 + 400000);
    two_free(&t);
}
END_TEST

START_TEST(freed_in_order_flushes_and_closes)
{
    struct two t;
    two_new(&t, &(struct pair_options){.chunk_max = 500}, NULL, 0, PROBE_CHECK | PROBE_SHUT_AT_EOF);
    probe_send(&t.client, 100000, false);
    stream_free(t.client.stream, false);
    t.client.stream = NULL;
    ck_assert(run_until(base, &t.server.ended));
    ck_assert_uint_eq(t.server.received, 100000);
    ck_assert_int_eq(t.server.end, STREAM_END_CLEAN);
    ck_assert_int_eq(ws_close_codes(t.server.stream).received, 1000);
    two_free(&t);
}
END_TEST

START_TEST(an_abort_is_a_reset_at_the_peer)
{
    struct two t;
    two_new(&t, NULL, NULL, 0, 0);
    stream_free(t.client.stream, true);
    t.client.stream = NULL;
    ck_assert(run_until(base, &t.server.ended));
    ck_assert_int_eq(t.server.end, STREAM_END_RESET);
    two_free(&t);
}
END_TEST

START_TEST(a_cut_is_a_reset_at_both_ends)
{
    struct two t;
    two_new(&t, NULL, NULL, PROBE_FREE_AT_END, PROBE_FREE_AT_END);
    probe_send(&t.client, 50000, false);
    pair_stream_cut(t.below_client);
    ck_assert(run_until(base, &t.client.ended));
    ck_assert(run_until(base, &t.server.ended));
    ck_assert_int_eq(t.client.end, STREAM_END_RESET);
    ck_assert_int_eq(t.server.end, STREAM_END_RESET);
    two_free(&t);
}
END_TEST

START_TEST(a_new_handler_is_told_what_holds)
{
    struct two t;
    struct probe second;
    two_new(&t, NULL, NULL, 0, PROBE_HOLD);
    probe_send(&t.client, 1000, true);
    ck_assert(run_until(base, &t.server.eof));
    probe_init(&second, t.server.stream, PROBE_CHECK | PROBE_SHUT_AT_EOF);
    ck_assert(run_until(base, &second.ended));
    ck_assert_uint_eq(second.received, 1000);
    ck_assert(!second.bad);
    t.server.stream = NULL;
    probe_deinit(&second);
    two_free(&t);
}
END_TEST

static const struct ws_options impatient = {.ping_interval_ns = 20 * NSEC_PER_MS,
                                            .close_timeout_ns = 30 * NSEC_PER_MS};

START_TEST(pings_that_are_answered_keep_it_open)
{
    static const struct ws_options o = {.ping_interval_ns = 300 * NSEC_PER_MS};
    struct two t;
    struct timeval tv = {.tv_usec = 950000}; /* a busy machine must answer within one interval */
    two_new(&t, NULL, &o, 0, 0);
    event_base_loopexit(base, &tv);
    event_base_dispatch(base);
    ck_assert_int_eq(t.client.ended + t.server.ended, 0);
    pair_stream_hold(t.below_server, true);
    ck_assert(run_until(base, &t.client.ended));
    ck_assert_int_eq(t.client.end, STREAM_END_RESET);
    ck_assert_ptr_nonnull(strstr(t.client.what, "ping"));
    two_free(&t);
}
END_TEST

START_TEST(a_peer_that_does_not_answer_a_close_is_left)
{
    struct two t;
    two_new(&t, NULL, &impatient, 0, 0);
    stream_shutdown(t.client.stream);
    ck_assert(run_until(base, &t.client.ended));
    ck_assert_int_eq(t.client.end, STREAM_END_RESET);
    ck_assert_ptr_nonnull(strstr(t.client.what, "Close"));
    ck_assert_int_eq(t.server.eof, 1);
    two_free(&t);
}
END_TEST

/* ---- a WebSocket and a raw peer ---- */

struct raw {
    struct stream *below;
    struct probe peer; /* sends and reads frames byte for byte */
    struct probe ws;   /* the stream under test */
};

static void raw_new(struct raw *t, bool is_client, const struct ws_options *o, unsigned flags)
{
    struct stream *a, *s;
    pair_stream_new(base, NULL, &a, &t->below);
    probe_init(&t->peer, a, PROBE_KEEP);
    ck_assert_int_eq(ws_wrap(base, t->below, is_client, o, &s), 0);
    probe_init(&t->ws, s, flags);
}

static void raw_free(struct raw *t)
{
    ck_assert(!t->ws.bad);
    probe_deinit(&t->ws);
    probe_deinit(&t->peer);
}

/* A masked frame, with the key 0, as a client sends it. */
#define MASK "\0\0\0\0"

struct bad_case {
    const char *bytes;
    size_t len;
    uint16_t code;
};
#define BAD(text, close_code)                                                                                \
    {                                                                                                        \
        text, sizeof(text) - 1, close_code                                                                   \
    }

static const struct bad_case bad_cases[] = {
    BAD("\x81\x82" MASK "hi", 1003),                                /* text */
    BAD("\x01\x82" MASK "hi", 1003),                                /* the first part of a text */
    BAD("\x82\x02hi", 1002),                                        /* unmasked */
    BAD("\xc2\x82" MASK "hi", 1002),                                /* compressed */
    BAD("\x92\x82" MASK "hi", 1002),                                /* another reserved bit */
    BAD("\x80\x82" MASK "hi", 1002),                                /* a continuation of nothing */
    BAD("\x02\x82" MASK "hi\x82\x82" MASK "hi", 1002),              /* a message inside another */
    BAD("\x83\x82" MASK "hi", 1002),                                /* an unknown data frame */
    BAD("\x8b\x82" MASK "hi", 1002),                                /* an unknown control frame */
    BAD("\x09\x82" MASK "hi", 1002),                                /* a ping in parts */
    BAD("\x89\xfe\x00\x7e" MASK, 1002),                             /* a ping of 126 bytes */
    BAD("\x82\xfe\x00\x05" MASK "hello", 1002),                     /* a length that is longer than need be */
    BAD("\x82\xff\x00\x00\x00\x00\x00\x00\xff\xff" MASK "x", 1002), /* the same with 64 bits */
    BAD("\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00" MASK "x", 1002), /* 2^63 bytes */
    BAD("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff" MASK "x", 1009), /* 2^63 - 1 bytes */
    BAD("\x82\xfe\x03\xe9" MASK "x", 1009),                         /* 1,001 bytes; 1,000 are allowed */
    BAD("\x02\x82" MASK "hi\x80\xfe\x03\xe7" MASK "x", 1009),       /* the same in two parts */
    BAD("\x88\x81" MASK "x", 1002),                                 /* Close with half a code */
    BAD("\x88\x82" MASK "\x03\xed", 1002),                          /* Close with 1005 */
    BAD("\x88\x82" MASK "\x03\xe7", 1002),                          /* Close with 999 */
    BAD("\x88\x83" MASK "\x03\xe8\xff", 1007),                      /* Close with a reason that is no text */
};

START_TEST(what_breaks_the_protocol_is_refused)
{
    const struct bad_case *c = &bad_cases[_i];
    struct raw t;
    uint8_t answer[4];
    raw_new(&t, false, &(struct ws_options){.max_message = 1000}, 0);
    probe_write(&t.peer, c->bytes, c->len);
    ck_assert(run_until(base, &t.ws.ended));
    ck_assert_int_eq(t.ws.end, STREAM_END_PROTOCOL);
    ck_assert_ptr_nonnull(strstr(t.ws.what, "WebSocket"));
    ck_assert_int_eq(ws_close_codes(t.ws.stream).sent, c->code);
    /* The Close goes out although the stream is freed with a reset. */
    stream_free(t.ws.stream, true);
    t.ws.stream = NULL;
    ck_assert(run_until(base, &t.peer.eof));
    ck_assert_int_eq(evbuffer_remove(t.peer.got, answer, 4), 4);
    ck_assert_uint_eq(answer[0], 0x88);
    ck_assert_uint_eq(answer[1], 2);
    ck_assert_uint_eq(answer[2] << 8 | answer[3], c->code);
    raw_free(&t);
}
END_TEST

START_TEST(a_client_refuses_masked_frames)
{
    struct raw t;
    raw_new(&t, true, NULL, 0);
    probe_write(&t.peer, "\x82\x82" MASK "hi", 8);
    ck_assert(run_until(base, &t.ws.ended));
    ck_assert_int_eq(t.ws.end, STREAM_END_PROTOCOL);
    ck_assert_int_eq(ws_close_codes(t.ws.stream).sent, 1002);
    raw_free(&t);
}
END_TEST

START_TEST(parts_and_pings_between_them)
{
    struct raw t;
    static const char bytes[] = "\x02\x83" MASK "one\x89\x84" MASK "ping\x00\x80" MASK "\x80\x83" MASK
                                "two\x82\x80" MASK "\x8a\x80" MASK "\x82\x83" MASK "six";
    raw_new(&t, false, NULL, PROBE_KEEP);
    probe_write(&t.peer, bytes, sizeof(bytes) - 1);
    ck_assert(run_until_count(base, &t.ws.received, 9));
    ck_assert_int_eq(memcmp(evbuffer_pullup(t.ws.got, 9), "onetwosix", 9), 0);
    ck_assert(run_until_count(base, &t.peer.received, 6));
    ck_assert_int_eq(memcmp(evbuffer_pullup(t.peer.got, 6), "\x8a\x04ping", 6), 0);
    raw_free(&t);
}
END_TEST

START_TEST(a_client_masks_with_the_keys_it_is_given)
{
    struct raw t;
    raw_new(&t, true, &(struct ws_options){.mask = zeros}, 0);
    probe_puts(&t.ws, "hello");
    ck_assert(run_until_count(base, &t.peer.received, 11));
    ck_assert_int_eq(memcmp(evbuffer_pullup(t.peer.got, 11), "\x82\x85" MASK "hello", 11), 0);
    raw_free(&t);
}
END_TEST

static int none(void *user, void *buf, size_t len)
{
    return -EIO;
}

START_TEST(without_a_masking_key_nothing_is_sent)
{
    struct raw t;
    raw_new(&t, true, &(struct ws_options){.mask = none}, 0);
    probe_puts(&t.ws, "secret");
    ck_assert(run_until(base, &t.ws.ended));
    ck_assert_int_eq(t.ws.end, STREAM_END_RESET);
    ck_assert(run_until(base, &t.peer.eof));
    ck_assert_uint_eq(t.peer.received, 0);
    raw_free(&t);
}
END_TEST

START_TEST(frames_are_64_kib_at_most)
{
    struct raw t;
    raw_new(&t, false, NULL, 0);
    struct evbuffer *bytes = evbuffer_new();
    for (int i = 0; i < 200000; i++) evbuffer_add(bytes, "x", 1);
    stream_write(t.ws.stream, bytes);
    evbuffer_free(bytes);
    ck_assert(run_until_count(base, &t.peer.received, 200000 + 3 * 10 + 4));
    const uint8_t *at = evbuffer_pullup(t.peer.got, -1);
    for (int i = 0; i < 3; i++, at += 10 + 65536)
        ck_assert_int_eq(memcmp(at, "\x82\x7f\0\0\0\0\0\1\0\0", 10), 0);
    ck_assert_int_eq(at[0], 0x82);
    ck_assert_int_eq(at[1], 126);
    ck_assert_int_eq(at[2] << 8 | at[3], 200000 - 3 * 65536);
    raw_free(&t);
}
END_TEST

START_TEST(what_lay_in_the_input_before_the_upgrade_is_read)
{
    struct stream *a, *b, *s;
    struct probe raw, http, ws;
    pair_stream_new(base, NULL, &a, &b);
    probe_init(&raw, a, PROBE_KEEP);
    probe_init(&http, b, PROBE_HOLD);
    probe_write(&raw, "\x82\x83" MASK "one", 9);
    run_idle(base);
    ck_assert_uint_eq(evbuffer_get_length(stream_input(b)), 9);
    ck_assert_int_eq(ws_wrap(base, b, false, NULL, &s), 0);
    http.stream = NULL;
    probe_init(&ws, s, PROBE_KEEP);
    ck_assert(run_until_count(base, &ws.received, 3));
    ck_assert_int_eq(ws.ready, 1);
    probe_deinit(&ws);
    probe_deinit(&http);
    probe_deinit(&raw);
}
END_TEST

START_TEST(close_codes_of_the_peer_decide_the_end)
{
    static const struct {
        const char *bytes;
        size_t len;
        uint16_t code;
        enum stream_end end;
    } cases[] = {
        {"\x88\x80" MASK, 6, 1005, STREAM_END_CLEAN},
        {"\x88\x82" MASK "\x03\xe9", 8, 1001, STREAM_END_CLEAN},
        {"\x88\x84" MASK "\x03\xf3no", 10, 1011, STREAM_END_RESET},
        {"\x88\x82" MASK "\x0f\xa0", 8, 4000, STREAM_END_RESET},
    };
    struct raw t;
    raw_new(&t, false, NULL, PROBE_SHUT_AT_EOF);
    probe_write(&t.peer, cases[_i].bytes, cases[_i].len);
    ck_assert(run_until(base, &t.ws.ended));
    ck_assert_int_eq(t.ws.eof, 1);
    ck_assert_int_eq(t.ws.end, cases[_i].end);
    ck_assert_int_eq(ws_close_codes(t.ws.stream).received, cases[_i].code);
    ck_assert_int_eq(ws_close_codes(t.ws.stream).sent, cases[_i].code);
    raw_free(&t);
}
END_TEST

START_TEST(an_end_without_a_close_is_a_reset)
{
    struct raw t;
    raw_new(&t, false, NULL, PROBE_KEEP);
    probe_write(&t.peer, "\x82\x83" MASK "one\x82\x83", 11);
    stream_shutdown(t.peer.stream);
    ck_assert(run_until(base, &t.ws.ended));
    ck_assert_uint_eq(t.ws.received, 3);
    ck_assert_int_eq(t.ws.eof, 0);
    ck_assert_int_eq(t.ws.end, STREAM_END_RESET);
    raw_free(&t);
}
END_TEST

/* A peer that sends pings and never reads the answers. */
START_TEST(a_flood_of_pings_is_not_answered_without_end)
{
    struct raw t;
    struct evbuffer *bytes = evbuffer_new();
    raw_new(&t, false, NULL, 0);
    t.peer.flags |= PROBE_HOLD;
    for (int i = 0; i < 300; i++) {
        for (int j = 0; j < 1000; j++) evbuffer_add(bytes, "\x89\x84" MASK "ping", 10);
        stream_write(t.peer.stream, bytes);
        run_idle(base);
    }
    ck_assert_uint_lt(stream_pending(t.ws.stream), 1000000);
    ck_assert_uint_gt(stream_pending(t.peer.stream), 1000000);
    probe_resume(&t.peer);
    ck_assert(run_until_count(base, &t.peer.received, 1800000));
    evbuffer_free(bytes);
    raw_free(&t);
}
END_TEST

/* Frames as a peer may send them, well-formed for the most part, then damaged. */
static void add_frame(struct evbuffer *out, struct prng *r)
{
    static const uint8_t opcodes[] = {0x82, 0x82, 0x02, 0x00, 0x80, 0x89, 0x8a, 0x88, 0x81, 0xc2};
    uint8_t bytes[200];
    size_t len = prng_below(r, 126);
    bytes[0] = opcodes[prng_below(r, prng_below(r, 20) ? 7 : sizeof(opcodes))];
    bytes[1] = 0x80 | (uint8_t)len;
    for (size_t i = 0; i < len + 4; i++) bytes[2 + i] = (uint8_t)prng_u64(r);
    if (prng_below(r, 10) == 0) bytes[prng_below(r, 6)] ^= 1u << prng_below(r, 8);
    evbuffer_add(out, bytes, len + 6);
}

START_TEST(garbage_ends_in_an_error_and_no_worse)
{
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct prng r = prng_stream(seed, 0, "garbage", (uint64_t)_i, 0);
        struct stream *a, *b, *s;
        struct probe raw, ws;
        struct evbuffer *bytes = evbuffer_new();
        pair_stream_new(base, &(struct pair_options){.chunk_max = 100, .seed = seed}, &a, &b);
        probe_init(&raw, a, 0);
        ck_assert_int_eq(ws_wrap(base, b, _i == 2, &(struct ws_options){.max_message = 100000}, &s), 0);
        probe_init(&ws, s, PROBE_ECHO);
        for (int i = 0; i < 100; i++) {
            uint64_t word = prng_u64(&r);
            if (_i == 0)
                evbuffer_add(bytes, &word, 8);
            else
                add_frame(bytes, &r);
        }
        stream_write(a, bytes);
        stream_shutdown(a);
        evbuffer_free(bytes);
        ck_assert(run_until(base, &ws.ended));
        ck_assert(!ws.bad);
        ck_assert(ws.end == STREAM_END_PROTOCOL || ws.end == STREAM_END_RESET ||
                  ws_close_codes(s).received != 0);
        probe_deinit(&ws);
        probe_deinit(&raw);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("ws");
    TCase *t = tcase_create("handshake");
    tcase_add_test(t, accept_is_that_of_the_rfc);
    tcase_add_test(t, keys_differ_and_can_be_drawn_by_the_caller);
    tcase_add_test(t, both_sides_agree_on_an_upgrade);
    tcase_add_test(t, bad_requests_get_the_right_status);
    suite_add_tcase(s, t);
    t = tcase_create("stream");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, bytes_come_back_and_the_close_is_clean, 0, sizeof(lines) / sizeof(lines[0]));
    tcase_add_test(t, both_directions_are_bulk_at_once);
    tcase_add_test(t, a_half_closed_stream_still_sends);
    tcase_add_test(t, a_reader_that_holds_stops_the_writer);
    tcase_add_test(t, freed_in_order_flushes_and_closes);
    tcase_add_test(t, an_abort_is_a_reset_at_the_peer);
    tcase_add_test(t, a_cut_is_a_reset_at_both_ends);
    tcase_add_test(t, a_new_handler_is_told_what_holds);
    tcase_add_test(t, pings_that_are_answered_keep_it_open);
    tcase_add_test(t, a_peer_that_does_not_answer_a_close_is_left);
    tcase_add_loop_test(t, what_breaks_the_protocol_is_refused, 0, sizeof(bad_cases) / sizeof(bad_cases[0]));
    tcase_add_test(t, a_client_refuses_masked_frames);
    tcase_add_test(t, parts_and_pings_between_them);
    tcase_add_test(t, a_client_masks_with_the_keys_it_is_given);
    tcase_add_test(t, without_a_masking_key_nothing_is_sent);
    tcase_add_test(t, frames_are_64_kib_at_most);
    tcase_add_test(t, what_lay_in_the_input_before_the_upgrade_is_read);
    tcase_add_loop_test(t, close_codes_of_the_peer_decide_the_end, 0, 4);
    tcase_add_test(t, an_end_without_a_close_is_a_reset);
    tcase_add_test(t, a_flood_of_pings_is_not_answered_without_end);
    tcase_add_loop_test(t, garbage_ends_in_an_error_and_no_worse, 0, 3);
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
