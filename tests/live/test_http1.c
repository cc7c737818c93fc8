/* The HTTP/1.1 parser and encoders: tables of good and bad messages, cut at every place. */
#include "sim/live/http1.h"

#include <check.h>
#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REQ  "GET / HTTP/1.1\r\nHost: a\r\n"
#define POST "POST / HTTP/1.1\r\nHost: a\r\n"

/* Parses all of `text`, fed `piece` bytes at a time, into one line that tells everything. `eof`: the peer
 * closes at the end. */
static void describe(enum http1_kind kind, const char *text, size_t len, size_t piece, bool eof, bool no_body,
                     uint64_t body_max, char *ret_line, size_t size)
{
    struct http1_limits limits = {.body_bytes_max = body_max};
    struct http1_parser p;
    struct evbuffer *in = evbuffer_new(), *body = evbuffer_new();
    enum http1_step step = HTTP1_MORE;
    size_t fed = 0, drained, moved, total = 0, n = 0;

    http1_parser_init(&p, kind, &limits);
    http1_parser_expect(&p, no_body);
    ret_line[0] = '\0';
    while (step != HTTP1_ERROR) {
        step = http1_parse(&p, in, body, 1 << 20, &drained, &moved);
        total += drained;
        if (step == HTTP1_HEAD) {
            struct http_head *h = http1_take_head(&p);
            if (kind == HTTP1_REQUEST)
                n += snprintf(ret_line + n, size - n, "[%s %s ?%s host=%s", h->method, h->path, h->query,
                              h->host);
            else
                n += snprintf(ret_line + n, size - n, "[%d %s", h->status, h->reason);
            n += snprintf(ret_line + n, size - n, " len=%lld%s%s%s%s]", (long long)h->content_length,
                          h->chunked ? " chunked" : "", h->keep_alive ? "" : " close",
                          h->upgrade ? " upgrade" : "", h->expect_continue ? " expect" : "");
            http_head_free(h);
        } else if (step == HTTP1_END) {
            size_t have = evbuffer_get_length(body);
            n += snprintf(ret_line + n, size - n, "{%.*s}", (int)have, (char *)evbuffer_pullup(body, -1));
            evbuffer_drain(body, have);
        } else if (step == HTTP1_MORE) {
            if (fed == len) break;
            if (piece > len - fed) piece = len - fed;
            evbuffer_add(in, text + fed, piece);
            fed += piece;
        }
    }
    ck_assert_uint_eq(total + evbuffer_get_length(in), fed);
    if (step == HTTP1_MORE && eof) {
        step = http1_parse_eof(&p);
        if (step == HTTP1_END)
            n += snprintf(ret_line + n, size - n, "{%.*s}", (int)evbuffer_get_length(body),
                          (char *)evbuffer_pullup(body, -1));
    }
    if (step == HTTP1_ERROR) {
        n += snprintf(ret_line + n, size - n, "!%d %s", p.error_status, p.error);
        ck_assert_int_eq(http1_parse(&p, in, body, 1, &drained, &moved), HTTP1_ERROR); /* for good */
        ck_assert_uint_eq(drained, 0);
    }
    http1_parser_deinit(&p);
    evbuffer_free(in);
    evbuffer_free(body);
}

struct sample {
    const char *text, *want;
};

static const struct sample good_requests[] = {
    {REQ "\r\n", "[GET / ? host=a len=-1]{}"},
    {"\r\n" REQ "\r\n", "[GET / ? host=a len=-1]{}"},
    {"GET /a/b?c=d&e=%20f HTTP/1.1\r\nhOST:\t a.b:80 \t\r\n\r\n",
     "[GET /a/b ?c=d&e=%20f host=a.b:80 len=-1]{}"},
    {"GET http://x.y/p?q HTTP/1.1\r\nHost: x.y\r\n\r\n", "[GET /p ?q host=x.y len=-1]{}"},
    {"GET http://x.y?q HTTP/1.1\r\nHost: x.y\r\n\r\n", "[GET / ?q host=x.y len=-1]{}"},
    {"OPTIONS * HTTP/1.1\r\nHost: [::1]:8\r\n\r\n", "[OPTIONS * ? host=[::1]:8 len=-1]{}"},
    {"GET / HTTP/1.0\r\n\r\n", "[GET / ? host= len=-1 close]{}"},
    {"GET / HTTP/1.0\r\nConnection: x, Keep-Alive\r\n\r\n", "[GET / ? host= len=-1]{}"},
    {REQ "Connection: foo\r\nConnection: a , CLOSE\r\n\r\n", "[GET / ? host=a len=-1 close]{}"},
    {REQ "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", "[GET / ? host=a len=-1 upgrade]{}"},
    {REQ "Host2: b\r\nX-Empty:\r\nX-Obs: \xc3\xa4\r\n\r\n", "[GET / ? host=a len=-1]{}"},
    {POST "Content-Length: 5\r\nExpect: 100-Continue\r\n\r\nhello", "[POST / ? host=a len=5 expect]{hello}"},
    {POST "Content-Length: 0\r\n\r\n" REQ "\r\n", "[POST / ? host=a len=0]{}[GET / ? host=a len=-1]{}"},
    {POST "Content-Length: 3\r\n\r\nabc" POST "Content-Length: 2\r\n\r\nde",
     "[POST / ? host=a len=3]{abc}[POST / ? host=a len=2]{de}"},
    {POST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n00A;x=\"y\"\r\n0123456789\r\n0\r\n\r\n" REQ "\r\n",
     "[POST / ? host=a len=-1 chunked]{abc0123456789}[GET / ? host=a len=-1]{}"},
    {POST "Transfer-Encoding: Chunked\r\n\r\n0\r\nX-Trailer: 1\r\nContent-Length: 7\r\n\r\n",
     "[POST / ? host=a len=-1 chunked]{}"},
    {"M-SEARCH /x HTTP/1.1\r\nHost:\r\n\r\n", "[M-SEARCH /x ? host= len=-1]{}"},
};

static const struct sample bad_requests[] = {
    {"GET / HTTP/1.1\r\n\r\n", "!400 the Host header is missing"},
    {REQ "Host: b\r\n\r\n", "!400 more than one Host header"},
    {REQ "host: a\r\n\r\n", "!400 more than one Host header"},
    {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "!400 bad Host"},
    {"GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", "!400 bad Host"},
    {"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", "!400 bad Host"},
    {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "!400 bad Host"},
    {"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
     "!400 the request target and the Host header name different hosts"},
    {"GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", "!400 bad request target"},
    /* how long is it? */
    {POST "Content-Length: 1\r\nContent-Length: 1\r\n\r\na", "!400 more than one Content-Length header"},
    {POST "Content-Length: 1\r\ncontent-length: 2\r\n\r\nab", "!400 more than one Content-Length header"},
    {POST "Content-Length: 1, 1\r\n\r\na", "!400 bad Content-Length"},
    {POST "Content-Length: +3\r\n\r\nabc", "!400 bad Content-Length"},
    {POST "Content-Length: -1\r\n\r\n", "!400 bad Content-Length"},
    {POST "Content-Length: 0x3\r\n\r\nabc", "!400 bad Content-Length"},
    {POST "Content-Length: 3 3\r\n\r\nabc", "!400 bad Content-Length"},
    {POST "Content-Length:\r\n\r\n", "!400 bad Content-Length"},
    {POST "Content-Length: 9223372036854775808\r\n\r\n", "!400 bad Content-Length"},
    {POST "Content-Length: 99999999999999999999999\r\n\r\n", "!400 bad Content-Length"},
    {POST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     "!400 both Content-Length and Transfer-Encoding"},
    {POST "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
     "!400 both Content-Length and Transfer-Encoding"},
    {POST "Transfer-Encoding: gzip\r\n\r\n", "!501 the only Transfer-Encoding understood is chunked"},
    {POST "Transfer-Encoding: gzip, chunked\r\n\r\n",
     "!501 the only Transfer-Encoding understood is chunked"},
    {POST "Transfer-Encoding: chunked, identity\r\n\r\n",
     "!501 the only Transfer-Encoding understood is chunked"},
    {POST "Transfer-Encoding: xchunked\r\n\r\n", "!501 the only Transfer-Encoding understood is chunked"},
    {POST "Transfer-Encoding: \"chunked\"\r\n\r\n", "!501 the only Transfer-Encoding understood is chunked"},
    {POST "Transfer-Encoding:\r\n\r\n", "!501 the only Transfer-Encoding understood is chunked"},
    {POST "Transfer-Encoding:\x0b"
          "chunked\r\n\r\n",
     NULL},
    {POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
     "!400 more than one Transfer-Encoding header"},
    {POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n",
     "!400 more than one Transfer-Encoding header"},
    {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "!400 Transfer-Encoding in HTTP/1.0"},
    /* where does the header end? */
    {"POST / HTTP/1.1\r\nHost : a\r\n\r\n", "!400 bad header line"},
    {POST "Content-Length : 3\r\n\r\nabc", "!400 bad header line"},
    {POST "Content Length: 3\r\n\r\nabc", "!400 bad header line"},
    {POST " Content-Length: 3\r\n\r\nabc", "!400 folded header line"},
    {POST "X: a\r\n\tb\r\n\r\n", "!400 folded header line"},
    {POST ": x\r\n\r\n", "!400 bad header line"},
    {POST "no colon\r\n\r\n", "!400 bad header line"},
    {POST "X: a\nContent-Length: 3\r\n\r\nabc", NULL}, /* found early or late: any 400 */
    {POST "X: a\rContent-Length: 3\r\n\r\nabc", "!400 CR without LF"},
    {POST "X: a\r\r\n\r\n", "!400 CR without LF"},
    {"GET / HTTP/1.1\nHost: a\n\n", "!400 LF without CR"},
    {POST "X: a\x01z\r\n\r\n", NULL},
    {POST "X: a\x7fz\r\n\r\n", NULL},
    {POST "X\x80: a\r\n\r\n", "!400 bad header line"},
    /* the request line */
    {"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "!400 bad request line"},
    {"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "!400 bad request line"},
    {" GET / HTTP/1.1\r\nHost: a\r\n\r\n", "!400 bad request line"},
    {"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "!400 bad request line"},
    {"GET /\r\nHost: a\r\n\r\n", "!400 bad request line"},
    {"GET\r\n\r\n", "!400 bad request line"},
    {"\r\n\r\n" REQ "\r\n", "!400 bad request line"},
    {"GET /#f HTTP/1.1\r\nHost: a\r\n\r\n", "!400 bad request line"},
    {"GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n", "!400 bad request line"},
    {"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", NULL},
    {"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", "!400 bad request line"},
    {"GET x HTTP/1.1\r\nHost: a\r\n\r\n", "!400 bad request target"},
    {"GET * HTTP/1.1\r\nHost: a\r\n\r\n", "!400 bad request target"},
    {"GET / http/1.1\r\nHost: a\r\n\r\n", "!400 bad request line"},
    {"GET / HTTP/1.10\r\nHost: a\r\n\r\n", "!400 bad request line"},
    {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", "!505 the HTTP version is neither 1.0 nor 1.1"},
    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "!505 the HTTP version is neither 1.0 nor 1.1"},
    {"GET / HTTP/1.2\r\nHost: a\r\n\r\n", "!505 the HTTP version is neither 1.0 nor 1.1"},
    {"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", "!501 CONNECT is not served"},
    {"AAAAAAAAAABBBBBBBBBBCCCCCCCCCCDDD / HTTP/1.1\r\nHost: a\r\n\r\n", "!501 the method is too long"},
    {POST "Expect: 200-ok\r\n\r\n", "!417 the only expectation met is 100-continue"},
    /* chunks */
    {POST "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloZZ0\r\n\r\n", "a chunk does not end where it should"},
    {POST "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n", "a chunk does not end where it should"},
    {POST "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\rX0\r\n\r\n", "a chunk does not end where it should"},
    {POST "Transfer-Encoding: chunked\r\n\r\n5\rXhello\r\n0\r\n\r\n", "bad chunk size"},
    {POST "Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n", "LF without CR"},
    {POST "Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n", "bad chunk size"},
    {POST "Transfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n", "bad chunk size"},
    {POST "Transfer-Encoding: chunked\r\n\r\n 5\r\nhello\r\n0\r\n\r\n", "bad chunk size"},
    {POST "Transfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n", "bad chunk size"},
    {POST "Transfer-Encoding: chunked\r\n\r\n;x\r\n", "bad chunk size"},
    {POST "Transfer-Encoding: chunked\r\n\r\n\r\n", "bad chunk size"},
    {POST "Transfer-Encoding: chunked\r\n\r\n5;\x01\r\nhello\r\n0\r\n\r\n", "bad chunk size"},
    {POST "Transfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n", "bad chunk size"},
    {POST "Transfer-Encoding: chunked\r\n\r\n0\r\nbad trailer\r\n\r\n", "bad trailer line"},
    {POST "Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\n\r\n", "LF without CR"},
};

static const struct sample responses[] = {
    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "[200 OK len=2]{hi}"},
    {"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", "[200  len=0]{}"},
    {"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "[200  len=0]{}"},
    {"HTTP/1.1 200 OK\r\n\r\nuntil the end", "[200 OK len=-1]{until the end}"},
    {"HTTP/1.0 200 OK\r\n\r\nx", "[200 OK len=-1 close]{x}"},
    {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\nContent-Length: 9\r\n\r\nHTTP/1.1 304 Not\r\n\r\n",
     "[100 Continue len=-1]{}[204 No len=9]{}[304 Not len=-1]{}"},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
     "[200 OK len=-1 chunked]{a}"},
    {"HTTP/1.1 101 Up\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", "[101 Up len=-1 upgrade]{}"},
    {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi", "[200 OK len=3]!502 cut in the middle of a body"},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n",
     "[200 OK len=-1 chunked]!502 cut in the middle of a body"},
    {"HTTP/1.1 200 OK\r\nCont", "!502 cut in the middle of a head"},
    {"HTTP/1.1 99 OK\r\n\r\n", "!502 bad status line"},
    {"HTTP/1.1 600 OK\r\n\r\n", "!502 bad status line"},
    {"HTTP/1.1 2000 OK\r\n\r\n", "!502 bad status line"},
    {"HTTP/1.1  200 OK\r\n\r\n", "!502 bad status line"},
    {"ICY 200 OK\r\n\r\nabc", "!502 bad status line"},
    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
     "!502 more than one Content-Length header"},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
     "!502 the only Transfer-Encoding understood is chunked"},
};

static const size_t pieces[] = {1, 2, 3, 7, 16, 64, 1 << 20};

#define FOR_PIECES(piece)                                                                                    \
    for (size_t pieces_at = 0, piece;                                                                        \
         pieces_at < sizeof pieces / sizeof *pieces && (piece = pieces[pieces_at], true); pieces_at++)

START_TEST(good)
{
    const struct sample *s = &good_requests[_i];
    char line[4096];

    FOR_PIECES(piece)
    {
        describe(HTTP1_REQUEST, s->text, strlen(s->text), piece, false, false, 0, line, sizeof line);
        ck_assert_str_eq(line, s->want);
    }
}
END_TEST

START_TEST(bad)
{
    const struct sample *s = &bad_requests[_i];
    char line[4096];

    FOR_PIECES(piece)
    {
        describe(HTTP1_REQUEST, s->text, strlen(s->text), piece, false, false, 0, line, sizeof line);
        if (s->want && s->want[0] == '!')
            ck_assert_str_eq(line, s->want);
        else if (s->want)
            ck_assert_msg(strstr(line, s->want) && strstr(line, "!400"), "%s: %s", s->text, line);
        else
            ck_assert_msg(strncmp(line, "!400", 4) == 0, "%s: %s", s->text, line);
    }
}
END_TEST

START_TEST(response)
{
    const struct sample *s = &responses[_i];
    char line[4096];

    FOR_PIECES(piece)
    {
        describe(HTTP1_RESPONSE, s->text, strlen(s->text), piece, true, false, 0, line, sizeof line);
        ck_assert_str_eq(line, s->want);
    }
}
END_TEST

START_TEST(answer_to_head)
{
    static const char text[] = "HTTP/1.1 100 C\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
                               "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    char line[1024];

    describe(HTTP1_RESPONSE, text, strlen(text), 5, true, true, 0, line, sizeof line);
    ck_assert_str_eq(line, "[100 C len=-1]{}[200 OK len=5]{}[200 OK len=5]{hello}");
}
END_TEST

START_TEST(nul_bytes)
{
    static const char in_name[] = "GET / HTTP/1.1\r\nHost: a\r\nX\0: y\r\n\r\n";
    static const char in_value[] = "GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n";
    static const char in_target[] = "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n";
    const struct {
        const char *text;
        size_t len;
    } samples[] = {
        {in_name, sizeof in_name - 1}, {in_value, sizeof in_value - 1}, {in_target, sizeof in_target - 1}};
    char line[1024];

    for (size_t i = 0; i < 3; i++) {
        FOR_PIECES(piece)
        {
            describe(HTTP1_REQUEST, samples[i].text, samples[i].len, piece, false, false, 0, line,
                     sizeof line);
            ck_assert_msg(strncmp(line, "!400", 4) == 0, "%zu: %s", i, line);
        }
    }
}
END_TEST

/* `n` copies of a filler between two texts. */
static char *filled(const char *before, const char *filler, size_t n, const char *after, size_t *ret_len)
{
    size_t a = strlen(before), f = strlen(filler), b = strlen(after);
    char *text = malloc(a + n * f + b + 1);

    memcpy(text, before, a);
    for (size_t i = 0; i < n; i++) memcpy(text + a + i * f, filler, f);
    memcpy(text + a + n * f, after, b + 1);
    *ret_len = a + n * f + b;
    return text;
}

START_TEST(limits)
{
    static const struct {
        const char *before, *filler, *after, *want;
        size_t n;
    } samples[] = {
        {"GET /", "a", " HTTP/1.1\r\nHost: a\r\n\r\n", "!414 the first line is too long", 9000},
        {"GET /", "a", "", "!414 the first line is too long", 9000},
        {REQ "X: ", "a", "\r\n\r\n", "!431 the headers are too large", 17000},
        {REQ "X: ", "a", "", "!431 the headers are too large", 17000},
        {REQ, "X: a\r\n", "\r\n", "!431 too many headers", 129},
        {REQ, "X: a\r\n", "\r\n", "[GET / ", 127},
        {POST "Transfer-Encoding: chunked\r\n\r\n0;", "x", "\r\n\r\n", "]!400 the chunk line is too long",
         300},
        {POST "Transfer-Encoding: chunked\r\n\r\n0\r\n", "X: 0123456789012345678901234567\r\n", "\r\n",
         "]!431 the trailers are too large", 600},
        {POST "Transfer-Encoding: chunked\r\n\r\n0\r\nX: ", "x", "\r\n\r\n",
         "]!400 the trailer line is too long", 2100},
    };
    char line[20000];

    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        size_t len;
        char *text = filled(samples[i].before, samples[i].filler, samples[i].n, samples[i].after, &len);

        for (size_t piece = 100; piece <= 100000; piece *= 10) {
            describe(HTTP1_REQUEST, text, len, piece, false, false, 0, line, sizeof line);
            ck_assert_msg(strstr(line, samples[i].want) != NULL, "%zu: %s", i, line);
        }
        free(text);
    }
}
END_TEST

START_TEST(body_limit)
{
    static const char counted[] = POST "Content-Length: 11\r\n\r\nhello world";
    static const char chunked[] =
        POST "Transfer-Encoding: chunked\r\n\r\n6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n";
    char line[1024];

    describe(HTTP1_REQUEST, counted, strlen(counted), 3, false, false, 10, line, sizeof line);
    ck_assert_str_eq(line, "[POST / ? host=a len=11]!413 the body is too large");
    describe(HTTP1_REQUEST, counted, strlen(counted), 3, false, false, 11, line, sizeof line);
    ck_assert_str_eq(line, "[POST / ? host=a len=11]{hello world}");
    describe(HTTP1_REQUEST, chunked, strlen(chunked), 3, false, false, 10, line, sizeof line);
    ck_assert_str_eq(line, "[POST / ? host=a len=-1 chunked]!413 the body is too large");
    describe(HTTP1_REQUEST, chunked, strlen(chunked), 3, false, false, 11, line, sizeof line);
    ck_assert_str_eq(line, "[POST / ? host=a len=-1 chunked]{hello world}");
}
END_TEST

/* What the encoders write, the parser reads: for random bodies in random chunks, cut at random places. */
START_TEST(round_trip)
{
    unsigned seed = 1 + _i;

    for (int round = 0; round < 200; round++) {
        struct evbuffer *out = evbuffer_new(), *want = evbuffer_new(), *chunk = evbuffer_new();
        struct http_header headers[] = {{"X-Bad", "a\r\nInjected: 1"}, {"Content-Type", "t"}, {0}};
        size_t n_chunks = rand_r(&seed) % 5, len;
        char line[40000], expected[40000];
        char *text;

        ck_assert_int_eq(http1_add_request(out, "PUT", "/x?y", "h", headers, HTTP1_CHUNKED, 0, "close"), 0);
        for (size_t i = 0; i < n_chunks; i++) {
            size_t n = rand_r(&seed) % (rand_r(&seed) % 4 ? 40 : 6000);
            for (size_t j = 0; j < n; j++) {
                char c = 'a' + rand_r(&seed) % 26;
                evbuffer_add(chunk, &c, 1);
                evbuffer_add(want, &c, 1);
            }
            http1_add_chunk(out, chunk);
        }
        http1_add_last_chunk(out);
        len = evbuffer_get_length(out);
        text = (char *)evbuffer_pullup(out, len);
        snprintf(expected, sizeof expected, "[PUT /x ?y host=h len=-1 chunked close]{%.*s}",
                 (int)evbuffer_get_length(want), (char *)evbuffer_pullup(want, -1));
        describe(HTTP1_REQUEST, text, len, 1 + rand_r(&seed) % 50, false, false, 0, line, sizeof line);
        ck_assert_str_eq(line, expected);
        evbuffer_free(out);
        evbuffer_free(want);
        evbuffer_free(chunk);
    }
}
END_TEST

/* Bytes changed at random in good messages: nothing may break, and cutting must not change what is read. */
START_TEST(mutations)
{
    unsigned seed = 77 + _i;

    for (int round = 0; round < 3000; round++) {
        const struct sample *s =
            &good_requests[rand_r(&seed) % (sizeof good_requests / sizeof *good_requests)];
        char text[1024], whole[4096], cut[4096];
        size_t len = strlen(s->text);

        memcpy(text, s->text, len);
        for (int i = 1 + rand_r(&seed) % 3; i > 0; i--)
            text[rand_r(&seed) % len] = "\r\n: \0a0;,\x80+/%"[rand_r(&seed) % 14];
        describe(HTTP1_REQUEST, text, len, len, true, false, 100, whole, sizeof whole);
        describe(HTTP1_REQUEST, text, len, 1 + rand_r(&seed) % 5, true, false, 100, cut, sizeof cut);
        /* Which of several errors is found first may differ; whether there is one, and what was read before,
         * may not. */
        ck_assert_int_eq(strcspn(whole, "!"), strcspn(cut, "!"));
        ck_assert_int_eq(strncmp(whole, cut, strcspn(whole, "!")), 0);
    }
}
END_TEST

START_TEST(heads_and_decoding)
{
    static const char text[] = REQ "Accept: a/b, text/event-stream;q=1\r\nX: 1\r\nx: 2, Three ,\r\n\r\n";
    struct evbuffer *in = evbuffer_new();
    struct http1_parser p;
    struct http_head *h;
    size_t drained, moved;
    char out[8];

    http1_parser_init(&p, HTTP1_REQUEST, NULL);
    evbuffer_add(in, text, sizeof text - 1);
    ck_assert(http1_parser_idle(&p));
    ck_assert_int_eq(http1_parse(&p, in, NULL, 1, &drained, &moved), HTTP1_HEAD);
    h = http1_take_head(&p);
    ck_assert_str_eq(http_head_get(h, "X"), "1");
    ck_assert_ptr_null(http_head_get(h, "Y"));
    ck_assert(http_head_has_token(h, "X", "three"));
    ck_assert(!http_head_has_token(h, "X", "thre"));
    ck_assert(!http_head_has_token(h, "X", ""));
    ck_assert_uint_eq(h->wire_bytes, sizeof text - 1);
    http_head_free(h);
    http1_parser_deinit(&p);
    evbuffer_free(in);

    ck_assert_int_eq(http1_decode("a%2Fb+", 6, true, out, sizeof out), 4);
    ck_assert_str_eq(out, "a/b ");
    ck_assert_int_eq(http1_decode("+", 1, false, out, sizeof out), 1);
    ck_assert_str_eq(out, "+");
    ck_assert_int_eq(http1_decode("%4", 2, false, out, sizeof out), -22);
    ck_assert_int_eq(http1_decode("%zz", 3, false, out, sizeof out), -22);
    ck_assert_int_eq(http1_decode("%00", 3, false, out, sizeof out), -22);
    ck_assert_int_eq(http1_decode("12345678", 8, false, out, sizeof out), -28);
    ck_assert_int_eq(http1_decode("1234567", 7, false, out, sizeof out), 7);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("http1");
    TCase *tc = tcase_create("http1");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, good, 0, sizeof good_requests / sizeof *good_requests);
    tcase_add_loop_test(tc, bad, 0, sizeof bad_requests / sizeof *bad_requests);
    tcase_add_loop_test(tc, response, 0, sizeof responses / sizeof *responses);
    tcase_add_test(tc, answer_to_head);
    tcase_add_test(tc, nul_bytes);
    tcase_add_test(tc, limits);
    tcase_add_test(tc, body_limit);
    tcase_add_loop_test(tc, round_trip, 0, 4);
    tcase_add_loop_test(tc, mutations, 0, 4);
    tcase_add_test(tc, heads_and_decoding);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
