#include <errno.h>
#include <event2/buffer.h>
#include <string.h>

#include "sim/base/panic.h"
#include "sim/live/http1.h"
#include "sim/live/http1_chars.h"

#define HTTP1_C_WORD (HTTP1_C_TOKEN | HTTP1_C_VALUE | HTTP1_C_TARGET | HTTP1_C_HOST)

const unsigned char http1_classes[256] = {
    ['\t'] = HTTP1_C_VALUE,
    [' '] = HTTP1_C_VALUE,
    ['!'] = HTTP1_C_WORD,
    ['"'] = HTTP1_C_VALUE | HTTP1_C_TARGET,
    ['#'] = HTTP1_C_TOKEN | HTTP1_C_VALUE,
    ['$' ... '\''] = HTTP1_C_WORD,
    ['('] = HTTP1_C_VALUE | HTTP1_C_TARGET | HTTP1_C_HOST,
    [')'] = HTTP1_C_VALUE | HTTP1_C_TARGET | HTTP1_C_HOST,
    ['*'] = HTTP1_C_WORD,
    ['+'] = HTTP1_C_WORD,
    [','] = HTTP1_C_VALUE | HTTP1_C_TARGET,
    ['-'] = HTTP1_C_WORD,
    ['.'] = HTTP1_C_WORD,
    ['/'] = HTTP1_C_VALUE | HTTP1_C_TARGET,
    ['0' ... '9'] = HTTP1_C_WORD,
    [':'] = HTTP1_C_VALUE | HTTP1_C_TARGET | HTTP1_C_HOST,
    [';'] = HTTP1_C_VALUE | HTTP1_C_TARGET | HTTP1_C_HOST,
    ['<'] = HTTP1_C_VALUE | HTTP1_C_TARGET,
    ['='] = HTTP1_C_VALUE | HTTP1_C_TARGET | HTTP1_C_HOST,
    ['>' ... '@'] = HTTP1_C_VALUE | HTTP1_C_TARGET,
    ['A' ... 'Z'] = HTTP1_C_WORD,
    ['['] = HTTP1_C_VALUE | HTTP1_C_TARGET | HTTP1_C_HOST,
    ['\\'] = HTTP1_C_VALUE | HTTP1_C_TARGET,
    [']'] = HTTP1_C_VALUE | HTTP1_C_TARGET | HTTP1_C_HOST,
    ['^'] = HTTP1_C_TOKEN | HTTP1_C_VALUE | HTTP1_C_TARGET,
    ['_'] = HTTP1_C_WORD,
    ['`'] = HTTP1_C_TOKEN | HTTP1_C_VALUE | HTTP1_C_TARGET,
    ['a' ... 'z'] = HTTP1_C_WORD,
    ['{'] = HTTP1_C_VALUE | HTTP1_C_TARGET,
    ['|'] = HTTP1_C_TOKEN | HTTP1_C_VALUE | HTTP1_C_TARGET,
    ['}'] = HTTP1_C_VALUE | HTTP1_C_TARGET,
    ['~'] = HTTP1_C_WORD,
    [0x80 ... 0xff] = HTTP1_C_VALUE,
};

/* Text on its way into an evbuffer, in few pieces. */
struct put {
    struct evbuffer *out;
    size_t len;
    bool failed;
    char text[1024];
};

static void put_flush(struct put *p)
{
    if (p->len > 0 && evbuffer_add(p->out, p->text, p->len) < 0) p->failed = true;
    p->len = 0;
}

static void put_char(struct put *p, char c)
{
    if (p->len == sizeof p->text) put_flush(p);
    p->text[p->len++] = c;
}

/* Copies text of that class; what is not of it becomes `instead`. */
static void put_class(struct put *p, const char *text, int class, char instead)
{
    for (; *text; text++) put_char(p, http1_classes[(unsigned char)*text] & class ? *text : instead);
}

static void put_text(struct put *p, const char *text)
{
    for (; *text; text++) put_char(p, *text);
}

static void put_number(struct put *p, uint64_t n, unsigned radix)
{
    char digits[20];
    size_t len = 0;

    do {
        digits[len++] = "0123456789abcdef"[n % radix];
        n /= radix;
    } while (n > 0);
    while (len > 0) put_char(p, digits[--len]);
}

static void put_headers(struct put *p, const struct http_header *headers)
{
    for (; headers && headers->name; headers++) {
        put_class(p, headers->name, HTTP1_C_TOKEN, '-');
        put_text(p, ": ");
        put_class(p, headers->value, HTTP1_C_VALUE, ' ');
        put_text(p, "\r\n");
    }
}

static int put_rest(struct put *p, enum http1_framing framing, uint64_t length, const char *connection)
{
    if (framing == HTTP1_LENGTH) {
        put_text(p, "Content-Length: ");
        put_number(p, length, 10);
        put_text(p, "\r\n");
    } else if (framing == HTTP1_CHUNKED) {
        put_text(p, "Transfer-Encoding: chunked\r\n");
    }
    if (connection) {
        put_text(p, "Connection: ");
        put_text(p, connection);
        put_text(p, "\r\n");
    }
    put_text(p, "\r\n");
    put_flush(p);
    return p->failed ? -ENOMEM : 0;
}

int http1_add_request(struct evbuffer *out, const char *method, const char *target, const char *host,
                      const struct http_header *headers, enum http1_framing framing, uint64_t length,
                      const char *connection)
{
    struct put p;

    p.out = out;
    p.len = 0;
    p.failed = false;
    put_class(&p, method, HTTP1_C_TOKEN, '-');
    put_char(&p, ' ');
    put_class(&p, target, HTTP1_C_TARGET, '_');
    put_text(&p, " HTTP/1.1\r\nHost: ");
    put_class(&p, host, HTTP1_C_HOST, '-');
    put_text(&p, "\r\n");
    put_headers(&p, headers);
    return put_rest(&p, framing, length, connection);
}

int http1_add_response(struct evbuffer *out, int status, const struct http_header *headers,
                       enum http1_framing framing, uint64_t length, const char *connection)
{
    struct put p;

    ASSERT(status >= 100 && status <= 599);
    p.out = out;
    p.len = 0;
    p.failed = false;
    put_text(&p, "HTTP/1.1 ");
    put_number(&p, status, 10);
    put_char(&p, ' ');
    put_text(&p, http1_reason(status));
    put_text(&p, "\r\n");
    put_headers(&p, headers);
    return put_rest(&p, framing, length, connection);
}

int http1_add_chunk(struct evbuffer *out, struct evbuffer *bytes)
{
    struct put p;

    if (evbuffer_get_length(bytes) == 0) return 0;
    p.out = out;
    p.len = 0;
    p.failed = false;
    put_number(&p, evbuffer_get_length(bytes), 16);
    put_text(&p, "\r\n");
    put_flush(&p);
    if (p.failed || evbuffer_add_buffer(out, bytes) < 0) return -ENOMEM;
    return evbuffer_add(out, "\r\n", 2) < 0 ? -ENOMEM : 0;
}

int http1_add_last_chunk(struct evbuffer *out)
{
    return evbuffer_add(out, "0\r\n\r\n", 5) < 0 ? -ENOMEM : 0;
}

const char *http1_reason(int status)
{
    switch (status) {
    case 100: return "Continue";
    case 101: return "Switching Protocols";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 402: return "Payment Required";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 411: return "Length Required";
    case 412: return "Precondition Failed";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 417: return "Expectation Failed";
    case 421: return "Misdirected Request";
    case 422: return "Unprocessable Content";
    case 425: return "Too Early";
    case 426: return "Upgrade Required";
    case 428: return "Precondition Required";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    case 529: return "Overloaded";
    default: return "Status";
    }
}

int http1_decode(const char *text, size_t len, bool plus, char *ret_out, size_t size)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        int c = (unsigned char)text[i];

        if (c == '%') {
            if (i + 2 >= len || http1_hex_digit(text[i + 1]) < 0 || http1_hex_digit(text[i + 2]) < 0)
                return -EINVAL;
            c = http1_hex_digit(text[i + 1]) * 16 + http1_hex_digit(text[i + 2]);
            i += 2;
            if (c == 0) return -EINVAL;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        if (n + 1 >= size) return -ENOSPC;
        ret_out[n++] = c;
    }
    if (n >= size) return -ENOSPC;
    ret_out[n] = '\0';
    return n;
}
