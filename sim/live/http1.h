/*
 * HTTP/1.1 on the wire: one incremental, strict parser for requests and responses, and the encoders.
 *
 * It pulls from an evbuffer and never touches more than one message: what follows (a pipelined request, the
 * bytes of an upgraded protocol) stays where it is. Whatever could be read in two ways by two programs is
 * refused: bare LF or CR, folded lines, space before the colon, Content-Length twice or beside
 * Transfer-Encoding, a Transfer-Encoding other than "chunked", sloppy chunk delimiters. (Debian's
 * libhttp-parser is built non-strict and lets the last one pass.)
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/base/nsec.h"

struct evbuffer;

enum {
    HTTP1_HEAD_BYTES_MAX = 16 * 1024, /* request or status line and all headers */
    HTTP1_LINE_BYTES_MAX = 8 * 1024,  /* request line, chunk line for one 256 */
    HTTP1_HEADERS_MAX = 128,
    HTTP1_METHOD_MAX = 32,
    HTTP1_CHUNK_LINE_MAX = 256,
};

struct http_header {
    const char *name, *value;
};

/* The head of a message: one block on the heap, all text NUL-terminated inside it. */
struct http_head {
    /* request */
    const char *method; /* NULL in a response */
    const char *target; /* as sent */
    const char *path;   /* of `target`, still encoded, without the query; "*" for OPTIONS */
    const char *query;  /* after the '?', "" if there is none */
    const char *host;   /* "" if HTTP/1.0 without */
    /* response */
    int status; /* 0 in a request */
    const char *reason;
    /* both */
    int minor;       /* HTTP/1.minor */
    bool keep_alive; /* by version and Connection */
    bool chunked;
    bool expect_continue;
    bool upgrade;           /* Connection: upgrade and an Upgrade header */
    int64_t content_length; /* -1: not given */
    size_t wire_bytes;      /* size on the wire */
    unsigned n_headers;
    struct http_header *headers;
};

/* The value of the first header of that name (any case), NULL if there is none. */
const char *http_head_get(const struct http_head *h, const char *name);

/* Whether the comma-separated list in all headers `name` has `token` (any case). */
bool http_head_has_token(const struct http_head *h, const char *name, const char *token);

/* A peer that asks to be left alone for longer is left alone for this: a day. */
#define RETRY_AFTER_MAX_NS (24 * 3600 * NSEC_PER_S)

/* How long the peer asks to be left alone: Retry-After-Ms in milliseconds, or else Retry-After in seconds; at
 * most RETRY_AFTER_MAX_NS, 0 if there is neither or it is anything but a whole number, such as a date. */
nsec_t http_head_retry_after(const struct http_head *h);

/* A header of every answer that a server, or a surface on it, made by itself: no component has seen the
 * request. Where both ends are of one run, the end that reads it counts the request as returned; see
 * driver_returned(). */
#define HTTP_UNSEEN_HEADER "windtunnel-unseen"
#define HTTP_UNSEEN        ((struct http_header){HTTP_UNSEEN_HEADER, "1"})
static inline bool http_head_unseen(const struct http_head *h)
{
    return http_head_get(h, HTTP_UNSEEN_HEADER) != NULL;
}

void http_head_free(struct http_head *h);

enum http1_kind { HTTP1_REQUEST, HTTP1_RESPONSE };

enum http1_step {
    HTTP1_MORE,  /* nothing further without more input */
    HTTP1_HEAD,  /* the head is complete: http1_take_head() */
    HTTP1_BODY,  /* body bytes were moved */
    HTTP1_END,   /* the message is complete; the next call starts the next one */
    HTTP1_ERROR, /* broken for good: `error_status`, `error` */
};

struct http1_limits {
    size_t head_bytes_max;   /* 0: HTTP1_HEAD_BYTES_MAX */
    size_t line_bytes_max;   /* 0: HTTP1_LINE_BYTES_MAX */
    uint64_t body_bytes_max; /* 0: no limit */
};

struct http1_parser {
    enum http1_kind kind;
    struct http1_limits limits;
    int state;
    bool until_close;  /* the body under way, or the last one, ends with the connection */
    bool skipped_line; /* one empty line before a request was let pass */
    bool no_body;      /* the answer to a HEAD */
    struct http_head *head;
    size_t scanned;      /* bytes of the input known to hold no end of head or line */
    uint64_t left;       /* of the body or the chunk */
    uint64_t body_bytes; /* so far in this message */
    size_t trailer_bytes;
    int error_status;  /* what a server answers: 400, 413, 414, 417, 431, 501, 505; 502 for a response */
    const char *error; /* one clear line, static */
};

/* `limits` may be NULL. */
void http1_parser_init(struct http1_parser *p, enum http1_kind kind, const struct http1_limits *limits);
void http1_parser_deinit(struct http1_parser *p);

/* Response parser: before each response, whether it has no body whatever its head says (HEAD). */
void http1_parser_expect(struct http1_parser *p, bool no_body);

/* One step. Drains from `in` what it understood and moves body bytes, at most `body_max` (> 0) a call, to the
 * end of `body` (NULL: they are thrown away). `ret_drained` counts all bytes drained from `in`, `ret_body`
 * those of them that were body. Transfer encoding and trailers are taken off. */
enum http1_step http1_parse(struct http1_parser *p, struct evbuffer *in, struct evbuffer *body,
                            size_t body_max, size_t *ret_drained, size_t *ret_body);

/* After HTTP1_HEAD: the head, now the caller's. */
struct http_head *http1_take_head(struct http1_parser *p);

/* The peer ended its sending direction. HTTP1_END: that completes a response without length; HTTP1_MORE:
 * between two messages, all is well; HTTP1_ERROR: cut in mid-message. */
enum http1_step http1_parse_eof(struct http1_parser *p);

/* Nothing of the next message has been seen yet. */
bool http1_parser_idle(const struct http1_parser *p);

/* The body is known to end within `bytes` more (false for chunked and until-close bodies). */
bool http1_body_ends_within(const struct http1_parser *p, uint64_t bytes);

/* How the body of a message to encode is framed. */
enum http1_framing { HTTP1_NO_BODY, HTTP1_LENGTH, HTTP1_CHUNKED, HTTP1_UNTIL_CLOSE };

/* Append a head with the framing's own header and the empty line. `headers` ends with a NULL name and may be
 * NULL. Bytes that may not stand in a header value are sent as spaces. -ENOMEM. `connection`: value of that
 * header, or NULL. */
int http1_add_request(struct evbuffer *out, const char *method, const char *target, const char *host,
                      const struct http_header *headers, enum http1_framing framing, uint64_t length,
                      const char *connection);
int http1_add_response(struct evbuffer *out, int status, const struct http_header *headers,
                       enum http1_framing framing, uint64_t length, const char *connection);

/* Moves all of `bytes` into `out` as one chunk; nothing if it is empty. */
int http1_add_chunk(struct evbuffer *out, struct evbuffer *bytes);
int http1_add_last_chunk(struct evbuffer *out);

/* "Not Found" for 404; "Status" for what is not known. */
const char *http1_reason(int status);

/* Percent-decodes [text, text+len) into `ret_out` (room for `size` bytes with the NUL); `plus` makes '+' a
 * space. The length; -EINVAL: bad escape or an encoded NUL; -ENOSPC. */
int http1_decode(const char *text, size_t len, bool plus, char *ret_out, size_t size);
