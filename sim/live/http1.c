#include "sim/live/http1.h"

#include "sim/base/panic.h"
#include "sim/live/http1_chars.h"

#include <errno.h>
#include <event2/buffer.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum state {
    S_HEAD,
    S_BODY_LENGTH,
    S_BODY_UNTIL_CLOSE,
    S_CHUNK_LINE,
    S_CHUNK_DATA,
    S_CHUNK_END, /* the CRLF after the data of a chunk */
    S_TRAILERS,
    S_END,
    S_ERROR,
};

enum {
    CHUNK_DIGITS_MAX = 15,
    TRAILER_LINE_MAX = 2048,
    COPY_MAX =
        2048, /* smaller pieces of a body are copied, so that they do not each keep a read buffer alive */
};

/* --- heads --- */

static void trim(const char **text, size_t *len)
{
    while (*len > 0 && http1_is_blank(**text)) (*text)++, (*len)--;
    while (*len > 0 && http1_is_blank((*text)[*len - 1])) (*len)--;
}

const char *http_head_get(const struct http_head *h, const char *name)
{
    for (unsigned i = 0; i < h->n_headers; i++)
        if (strcasecmp(h->headers[i].name, name) == 0) return h->headers[i].value;
    return NULL;
}

static bool list_has(const char *list, const char *token)
{
    size_t token_len = strlen(token);

    while (*list) {
        size_t len = strcspn(list, ",");
        const char *item = list;
        size_t item_len = len;

        trim(&item, &item_len);
        if (item_len == token_len && strncasecmp(item, token, token_len) == 0) return true;
        list += len + (list[len] == ',');
    }
    return false;
}

bool http_head_has_token(const struct http_head *h, const char *name, const char *token)
{
    for (unsigned i = 0; i < h->n_headers; i++)
        if (strcasecmp(h->headers[i].name, name) == 0 && list_has(h->headers[i].value, token)) return true;
    return false;
}

static nsec_t wait_of(const char *text, nsec_t unit)
{
    nsec_t n = 0;

    if (!text || !*text) return 0;
    for (; *text; text++) {
        if (*text < '0' || *text > '9') return 0;
        n = nsec_min(n * 10 + (nsec_t)(*text - '0'), RETRY_AFTER_MAX_NS / unit);
    }
    return n * unit;
}

nsec_t http_head_retry_after(const struct http_head *h)
{
    nsec_t wait = wait_of(http_head_get(h, "Retry-After-Ms"), NSEC_PER_MS);

    return wait ? wait : wait_of(http_head_get(h, "Retry-After"), NSEC_PER_S);
}

void http_head_free(struct http_head *h)
{
    free(h);
}

/* --- the parser --- */

void http1_parser_init(struct http1_parser *p, enum http1_kind kind, const struct http1_limits *limits)
{
    memset(p, 0, sizeof *p);
    p->kind = kind;
    if (limits) p->limits = *limits;
    if (!p->limits.head_bytes_max) p->limits.head_bytes_max = HTTP1_HEAD_BYTES_MAX;
    if (!p->limits.line_bytes_max) p->limits.line_bytes_max = HTTP1_LINE_BYTES_MAX;
}

void http1_parser_deinit(struct http1_parser *p)
{
    http_head_free(p->head);
    p->head = NULL;
}

void http1_parser_expect(struct http1_parser *p, bool no_body)
{
    p->no_body = no_body;
}

struct http_head *http1_take_head(struct http1_parser *p)
{
    struct http_head *head = p->head;

    ASSERT(head);
    p->head = NULL;
    return head;
}

bool http1_parser_idle(const struct http1_parser *p)
{
    return p->state == S_HEAD && p->scanned == 0;
}

bool http1_body_ends_within(const struct http1_parser *p, uint64_t bytes)
{
    switch ((enum state)p->state) {
    case S_HEAD:
    case S_END: return true;
    case S_BODY_LENGTH: return p->left <= bytes;
    default: return false;
    }
}

static enum http1_step fail(struct http1_parser *p, int status, const char *error)
{
    p->state = S_ERROR;
    p->error_status = p->kind == HTTP1_RESPONSE ? 502 : status;
    p->error = error;
    return HTTP1_ERROR;
}

/* Like fail(), for functions that return whether all is well. */
static bool refuse(struct http1_parser *p, int status, const char *error)
{
    fail(p, status, error);
    return false;
}

/* Splits and checks "Name: value". False: it is none. */
static bool split_header(const char *line, size_t len, size_t *ret_name_len, const char **ret_value,
                         size_t *ret_value_len)
{
    const char *colon = memchr(line, ':', len);
    const char *value;
    size_t name_len, value_len;

    if (!colon || colon == line) return false;
    name_len = colon - line;
    value = colon + 1;
    value_len = len - name_len - 1;
    if (!http1_all_of(line, name_len, HTTP1_C_TOKEN) || !http1_all_of(value, value_len, HTTP1_C_VALUE))
        return false;
    trim(&value, &value_len);
    *ret_name_len = name_len;
    *ret_value = value;
    *ret_value_len = value_len;
    return true;
}

static bool note_content_length(struct http1_parser *p, struct http_head *h, const char *value)
{
    int64_t n = 0;

    if (h->content_length >= 0) return refuse(p, 400, "more than one Content-Length header");
    if (!*value) return refuse(p, 400, "bad Content-Length");
    for (; *value; value++)
        if (*value < '0' || *value > '9' || __builtin_mul_overflow(n, 10, &n) ||
            __builtin_add_overflow(n, *value - '0', &n))
            return refuse(p, 400, "bad Content-Length");
    h->content_length = n;
    return true;
}

static bool note_transfer_encoding(struct http1_parser *p, struct http_head *h, const char *value)
{
    if (h->chunked) return refuse(p, 400, "more than one Transfer-Encoding header");
    if (h->minor == 0) return refuse(p, 400, "Transfer-Encoding in HTTP/1.0");
    if (strcasecmp(value, "chunked") != 0)
        return refuse(p, 501, "the only Transfer-Encoding understood is chunked");
    h->chunked = true;
    return true;
}

static bool note_host(struct http1_parser *p, struct http_head *h, const char *value)
{
    if (p->kind == HTTP1_RESPONSE) return true;
    if (h->host) return refuse(p, 400, "more than one Host header");
    if (!http1_all_of(value, strlen(value), HTTP1_C_HOST)) return refuse(p, 400, "bad Host");
    h->host = value;
    return true;
}

static bool note_expect(struct http1_parser *p, struct http_head *h, const char *value)
{
    if (p->kind == HTTP1_RESPONSE || h->minor == 0) return true;
    if (strcasecmp(value, "100-continue") != 0)
        return refuse(p, 417, "the only expectation met is 100-continue");
    h->expect_continue = true;
    return true;
}

/* Takes from a header what decides how the message is framed. */
static bool note_header(struct http1_parser *p, struct http_head *h, const struct http_header *x,
                        size_t name_len)
{
    switch (name_len) {
    case 4: return strcasecmp(x->name, "host") != 0 || note_host(p, h, x->value);
    case 6: return strcasecmp(x->name, "expect") != 0 || note_expect(p, h, x->value);
    case 14: return strcasecmp(x->name, "content-length") != 0 || note_content_length(p, h, x->value);
    case 17: return strcasecmp(x->name, "transfer-encoding") != 0 || note_transfer_encoding(p, h, x->value);
    default: return true;
    }
}

/* "HTTP/1.0" or "HTTP/1.1". */
static bool parse_version(struct http1_parser *p, struct http_head *h, const char *text, size_t len)
{
    if (len != 8 || memcmp(text, "HTTP/", 5) != 0 || text[5] < '0' || text[5] > '9' || text[6] != '.' ||
        text[7] < '0' || text[7] > '9')
        return refuse(p, 400, p->kind == HTTP1_REQUEST ? "bad request line" : "bad status line");
    if (text[5] != '1' || text[7] > '1') return refuse(p, 505, "the HTTP version is neither 1.0 nor 1.1");
    h->minor = text[7] - '0';
    return true;
}

/* Sets path and query from the copy of the target at `copy`. An absolute target names the host, too. */
static bool split_target(struct http1_parser *p, struct http_head *h, char *copy, const char **ret_authority)
{
    char *path = copy, *query;

    *ret_authority = NULL;
    if (strncasecmp(path, "http://", 7) == 0 || strncasecmp(path, "https://", 8) == 0) {
        char *authority = strstr(path, "//") + 2;
        size_t len = strcspn(authority, "/?");

        /* Moved one to the left, so that a NUL fits behind it. */
        memmove(authority - 1, authority, len);
        authority[len - 1] = '\0';
        path = authority + len;
        *ret_authority = authority - 1;
    }
    query = strchr(path, '?');
    if (query) *query++ = '\0';
    h->path = *path ? path : "/";
    h->query = query ? query : "";
    if (*h->path == '/') return true;
    if (strcmp(h->path, "*") == 0 && strcmp(h->method, "OPTIONS") == 0 && !query) return true;
    return refuse(p, 400, "bad request target");
}

static bool parse_request_line(struct http1_parser *p, struct http_head *h, char *line, size_t len,
                               char *copy, const char **ret_authority)
{
    char *end = line + len, *target, *version;

    target = memchr(line, ' ', len);
    if (!target || target == line) return refuse(p, 400, "bad request line");
    *target++ = '\0';
    version = memchr(target, ' ', end - target);
    if (!version || version == target) return refuse(p, 400, "bad request line");
    *version++ = '\0';
    if (!http1_all_of(line, strlen(line), HTTP1_C_TOKEN) ||
        !http1_all_of(target, strlen(target), HTTP1_C_TARGET) ||
        strlen(line) != (size_t)(target - line) - 1 || strlen(target) != (size_t)(version - target) - 1)
        return refuse(p, 400, "bad request line");
    if (!parse_version(p, h, version, end - version)) return false;
    if (strlen(line) > HTTP1_METHOD_MAX) return refuse(p, 501, "the method is too long");
    if (strcmp(line, "CONNECT") == 0) return refuse(p, 501, "CONNECT is not served");
    h->method = line;
    h->target = target;
    strcpy(copy, target);
    return split_target(p, h, copy, ret_authority);
}

static bool parse_status_line(struct http1_parser *p, struct http_head *h, char *line, size_t len)
{
    char *status = line + 9;

    if (len < 12 || line[8] != ' ') return refuse(p, 502, "bad status line");
    if (!parse_version(p, h, line, 8)) return false;
    for (int i = 0; i < 3; i++) {
        if (status[i] < '0' || status[i] > '9') return refuse(p, 502, "bad status line");
        h->status = h->status * 10 + status[i] - '0';
    }
    if (h->status < 100 || h->status > 599 || (len > 12 && line[12] != ' ') ||
        !http1_all_of(line, len, HTTP1_C_VALUE))
        return refuse(p, 502, "bad status line");
    line[len] = '\0';
    h->reason = len > 12 ? line + 13 : "";
    return true;
}

static bool parse_header_line(struct http1_parser *p, struct http_head *h, char *line, size_t len)
{
    struct http_header *x = &h->headers[h->n_headers];
    const char *value;
    size_t name_len, value_len;

    if (http1_is_blank(*line)) return refuse(p, 400, "folded header line");
    if (!split_header(line, len, &name_len, &value, &value_len)) return refuse(p, 400, "bad header line");
    line[name_len] = '\0';
    line[value - line + value_len] = '\0';
    x->name = line;
    x->value = value;
    h->n_headers++;
    return note_header(p, h, x, name_len);
}

/* What only the whole head tells. */
static bool check_head(struct http1_parser *p, struct http_head *h, const char *authority)
{
    bool close = http_head_has_token(h, "connection", "close");

    if (h->chunked && h->content_length >= 0)
        return refuse(p, 400, "both Content-Length and Transfer-Encoding");
    h->keep_alive = !close && (h->minor == 1 || http_head_has_token(h, "connection", "keep-alive"));
    h->upgrade = http_head_has_token(h, "connection", "upgrade") && http_head_get(h, "upgrade");
    if (p->kind == HTTP1_RESPONSE) return true;
    if (!h->host && h->minor == 1) return refuse(p, 400, "the Host header is missing");
    if (authority && !http1_all_of(authority, strlen(authority), HTTP1_C_HOST))
        return refuse(p, 400, "bad request target");
    if (!h->host) h->host = authority ? authority : "";
    if (authority && strcasecmp(authority, h->host) != 0)
        return refuse(p, 400, "the request target and the Host header name different hosts");
    return true;
}

/* Decides how the body is framed. */
static void begin_body(struct http1_parser *p, const struct http_head *h)
{
    bool interim = h->status >= 100 && h->status < 200;
    bool bodyless = interim || h->status == 204 || h->status == 304 || (h->status && p->no_body);

    if (h->status && !(interim && h->status != 101)) p->no_body = false;
    p->body_bytes = p->trailer_bytes = 0;
    p->left = h->content_length > 0 ? h->content_length : 0;
    if (bodyless)
        p->state = S_END;
    else if (h->chunked)
        p->state = S_CHUNK_LINE;
    else if (h->status && h->content_length < 0)
        p->state = S_BODY_UNTIL_CLOSE;
    else
        p->state = p->left > 0 ? S_BODY_LENGTH : S_END;
    p->until_close = p->state == S_BODY_UNTIL_CLOSE;
}

/* Parses the lines of the head in `text`, which ends with CRLF. */
static bool parse_lines(struct http1_parser *p, struct http_head *h, char *text, size_t len, char *copy)
{
    const char *authority = NULL;
    char *end = text + len;

    for (char *line = text, *cr; line < end; line = cr + 2) {
        cr = memchr(line, '\r', end - line);
        if (!cr || cr[1] != '\n') return refuse(p, 400, "CR without LF");
        if (line != text) {
            if (!parse_header_line(p, h, line, cr - line)) return false;
        } else if (p->kind == HTTP1_RESPONSE) {
            if (!parse_status_line(p, h, line, cr - line)) return false;
        } else if (!parse_request_line(p, h, line, cr - line, copy, &authority)) {
            return false;
        }
    }
    return check_head(p, h, authority);
}

static unsigned count_lines(const char *text, size_t len)
{
    const char *end = text + len;
    unsigned n = 0;

    while (text < end && (text = memchr(text, '\n', end - text))) n++, text++;
    return n;
}

/* One block: the struct, the headers, the text, and a copy of the first line for path and query. */
static struct http_head *head_new(const char *text, size_t len, unsigned n_headers, char **ret_text,
                                  char **ret_copy)
{
    size_t first = (const char *)memchr(text, '\n', len) - text;
    size_t headers = n_headers * sizeof(struct http_header);
    struct http_head *h = malloc(sizeof *h + headers + len + 1 + first + 1);

    if (!h) return NULL;
    memset(h, 0, sizeof *h);
    h->content_length = -1;
    h->headers = (struct http_header *)(h + 1);
    *ret_text = (char *)(h + 1) + headers;
    *ret_copy = *ret_text + len + 1;
    memcpy(*ret_text, text, len);
    (*ret_text)[len] = '\0';
    return h;
}

/* `text` holds all of the head, the empty line included. */
static enum http1_step parse_head(struct http1_parser *p, const char *text, size_t len)
{
    unsigned n_lines = count_lines(text, len);
    char *own, *copy;
    struct http_head *h;

    if ((const char *)memchr(text, '\n', len) - text > (ptrdiff_t)p->limits.line_bytes_max)
        return fail(p, p->kind == HTTP1_REQUEST ? 414 : 502, "the first line is too long");
    if (n_lines - 2 > HTTP1_HEADERS_MAX) return fail(p, 431, "too many headers");
    h = head_new(text, len, n_lines - 2, &own, &copy);
    if (!h) return fail(p, 503, "out of memory");
    h->wire_bytes = len;
    if (!parse_lines(p, h, own, len - 2, copy)) {
        http_head_free(h);
        return HTTP1_ERROR;
    }
    p->head = h;
    p->scanned = 0;
    p->skipped_line = false;
    begin_body(p, h);
    return HTTP1_HEAD;
}

/* No end of the head in sight: says so early if there never will be a good one. */
static enum http1_step check_partial_head(struct http1_parser *p, const char *text, size_t len)
{
    bool first_line_open = !memchr(text, '\n', len);

    for (size_t i = p->scanned; i < len; i++) {
        if (text[i] != '\r' && text[i] != '\n' && !(http1_classes[(unsigned char)text[i]] & HTTP1_C_VALUE))
            return fail(p, 400, "control character in the head");
        if (text[i] == '\n' && (i == 0 || text[i - 1] != '\r')) return fail(p, 400, "LF without CR");
    }
    if (first_line_open && len > p->limits.line_bytes_max)
        return fail(p, p->kind == HTTP1_REQUEST ? 414 : 502, "the first line is too long");
    if (len >= p->limits.head_bytes_max) return fail(p, 431, "the headers are too large");
    p->scanned = len;
    return HTTP1_MORE;
}

/* Where the head ends, the empty line included; 0: not yet. */
static size_t find_end(const char *text, size_t len, size_t scanned)
{
    size_t from = scanned > 3 ? scanned - 3 : 0;
    const char *end = memmem(text + from, len - from, "\r\n\r\n", 4);

    return end ? end + 4 - text : 0;
}

/* One empty line before a request is forgiven, as the standard asks. False: more input is needed to tell. */
static bool skip_empty_line(struct http1_parser *p, struct evbuffer *in, size_t *ret_drained)
{
    char start[2];
    ev_ssize_t n;

    if (p->kind == HTTP1_RESPONSE || p->skipped_line || p->scanned > 0) return true;
    n = evbuffer_copyout(in, start, sizeof start);
    if (n < 1 || start[0] != '\r') return true;
    if (n < 2) return false;
    if (start[1] != '\n') return true;
    evbuffer_drain(in, 2);
    *ret_drained += 2;
    p->skipped_line = true;
    return true;
}

static enum http1_step step_head(struct http1_parser *p, struct evbuffer *in, size_t *ret_drained)
{
    size_t len, head_len;
    const char *text;
    enum http1_step step;

    if (!skip_empty_line(p, in, ret_drained)) return HTTP1_MORE;
    len = evbuffer_get_contiguous_space(in);
    if (evbuffer_get_length(in) == 0) return HTTP1_MORE;
    if (len > p->limits.head_bytes_max) len = p->limits.head_bytes_max;
    text = (const char *)evbuffer_pullup(in, len);
    head_len = find_end(text, len, p->scanned < len ? p->scanned : len);
    if (!head_len && len < evbuffer_get_length(in) && len < p->limits.head_bytes_max) {
        len = evbuffer_get_length(in);
        if (len > p->limits.head_bytes_max) len = p->limits.head_bytes_max;
        text = (const char *)evbuffer_pullup(in, len);
        if (!text) return fail(p, 503, "out of memory");
        head_len = find_end(text, len, p->scanned < len ? p->scanned : len);
    }
    if (!head_len) return check_partial_head(p, text, len);
    step = parse_head(p, text, head_len);
    if (step == HTTP1_HEAD) {
        evbuffer_drain(in, head_len);
        *ret_drained += head_len;
    }
    return step;
}

/* --- bodies --- */

static int move_bytes(struct evbuffer *from, struct evbuffer *to, size_t n)
{
    char small[COPY_MAX];

    if (n > sizeof small) return evbuffer_remove_buffer(from, to, n);
    evbuffer_remove(from, small, n);
    return evbuffer_add(to, small, n);
}

/* Moves up to `max` bytes of body. */
static enum http1_step move_body(struct http1_parser *p, struct evbuffer *in, struct evbuffer *body,
                                 uint64_t max, size_t *ret_drained, size_t *ret_body)
{
    size_t n = evbuffer_get_length(in);

    if (n == 0) return HTTP1_MORE;
    if (n > max) n = max;
    if (!body)
        evbuffer_drain(in, n);
    else if (move_bytes(in, body, n) < 0)
        return fail(p, 503, "out of memory");
    p->body_bytes += n;
    *ret_drained += n;
    *ret_body += n;
    return HTTP1_BODY;
}

static bool body_fits(const struct http1_parser *p, uint64_t more)
{
    uint64_t max = p->limits.body_bytes_max;

    return max == 0 || (p->body_bytes <= max && more <= max - p->body_bytes);
}

static enum http1_step step_counted(struct http1_parser *p, struct evbuffer *in, struct evbuffer *body,
                                    size_t body_max, size_t *ret_drained, size_t *ret_body, enum state then)
{
    size_t before = *ret_body;
    enum http1_step step;

    if (!body_fits(p, p->left)) return fail(p, 413, "the body is too large");
    step = move_body(p, in, body, p->left < body_max ? p->left : body_max, ret_drained, ret_body);
    if (step == HTTP1_BODY) p->left -= *ret_body - before;
    if (step == HTTP1_BODY && p->left == 0) p->state = then;
    return step;
}

static enum http1_step step_until_close(struct http1_parser *p, struct evbuffer *in, struct evbuffer *body,
                                        size_t body_max, size_t *ret_drained, size_t *ret_body)
{
    size_t n = evbuffer_get_length(in);

    if (!body_fits(p, n)) return fail(p, 413, "the body is too large");
    return move_body(p, in, body, body_max, ret_drained, ret_body);
}

/* Reads "hex[;extension]". False: it is none. */
static bool parse_chunk_line(const char *line, size_t len, uint64_t *ret_size)
{
    uint64_t size = 0;
    size_t digits = 0;

    while (digits < len && http1_hex_digit(line[digits]) >= 0) {
        if (digits == CHUNK_DIGITS_MAX) return false;
        size = size * 16 + http1_hex_digit(line[digits++]);
    }
    if (digits == 0 || (digits < len && line[digits] != ';')) return false;
    if (!http1_all_of(line + digits, len - digits, HTTP1_C_VALUE)) return false;
    *ret_size = size;
    return true;
}

/* Copies the start of the input and looks for a line in it. Its length without CRLF, or -1 and `ret_step`. */
static ptrdiff_t find_line(struct http1_parser *p, struct evbuffer *in, char *line, size_t max,
                           const char *too_long, enum http1_step *ret_step)
{
    ev_ssize_t n = evbuffer_copyout(in, line, max);
    const char *lf = n > 0 ? memchr(line, '\n', n) : NULL;

    *ret_step = HTTP1_MORE;
    if (lf && lf > line && lf[-1] == '\r') return lf - 1 - line;
    if (lf)
        *ret_step = fail(p, 400, "LF without CR");
    else if (n > 0 && (size_t)n == max)
        *ret_step = fail(p, 400, too_long);
    return -1;
}

static enum http1_step step_chunk_line(struct http1_parser *p, struct evbuffer *in, size_t *ret_drained)
{
    char line[HTTP1_CHUNK_LINE_MAX];
    enum http1_step step;
    ptrdiff_t len = find_line(p, in, line, sizeof line, "the chunk line is too long", &step);
    uint64_t size;

    if (len < 0) return step;
    if (!parse_chunk_line(line, len, &size)) return fail(p, 400, "bad chunk size");
    if (!body_fits(p, size)) return fail(p, 413, "the body is too large");
    evbuffer_drain(in, len + 2);
    *ret_drained += len + 2;
    p->left = size;
    p->state = size > 0 ? S_CHUNK_DATA : S_TRAILERS;
    return HTTP1_BODY;
}

static enum http1_step step_chunk_end(struct http1_parser *p, struct evbuffer *in, size_t *ret_drained)
{
    char end[2];
    ev_ssize_t n = evbuffer_copyout(in, end, sizeof end);

    if (n >= 1 && end[0] != '\r') return fail(p, 400, "a chunk does not end where it should");
    if (n < 2) return HTTP1_MORE;
    if (end[1] != '\n') return fail(p, 400, "a chunk does not end where it should");
    evbuffer_drain(in, 2);
    *ret_drained += 2;
    p->state = S_CHUNK_LINE;
    return HTTP1_BODY;
}

/* Trailers are checked and dropped. */
static enum http1_step step_trailer(struct http1_parser *p, struct evbuffer *in, size_t *ret_drained)
{
    char line[TRAILER_LINE_MAX];
    enum http1_step step;
    const char *value;
    size_t name_len, value_len;
    ptrdiff_t len = find_line(p, in, line, sizeof line, "the trailer line is too long", &step);

    if (len < 0) return step;
    if (len > 0 && !split_header(line, len, &name_len, &value, &value_len))
        return fail(p, 400, "bad trailer line");
    evbuffer_drain(in, len + 2);
    *ret_drained += len + 2;
    p->trailer_bytes += len + 2;
    if (p->trailer_bytes > p->limits.head_bytes_max) return fail(p, 431, "the trailers are too large");
    if (len == 0) p->state = S_END;
    return HTTP1_BODY;
}

static enum http1_step step_once(struct http1_parser *p, struct evbuffer *in, struct evbuffer *body,
                                 size_t body_max, size_t *ret_drained, size_t *ret_body)
{
    switch ((enum state)p->state) {
    case S_HEAD: return step_head(p, in, ret_drained);
    case S_BODY_LENGTH: return step_counted(p, in, body, body_max, ret_drained, ret_body, S_END);
    case S_BODY_UNTIL_CLOSE: return step_until_close(p, in, body, body_max, ret_drained, ret_body);
    case S_CHUNK_LINE: return step_chunk_line(p, in, ret_drained);
    case S_CHUNK_DATA: return step_counted(p, in, body, body_max, ret_drained, ret_body, S_CHUNK_END);
    case S_CHUNK_END: return step_chunk_end(p, in, ret_drained);
    case S_TRAILERS: return step_trailer(p, in, ret_drained);
    case S_END: p->state = S_HEAD; return HTTP1_END;
    case S_ERROR: return HTTP1_ERROR;
    }
    UNREACHABLE();
}

enum http1_step http1_parse(struct http1_parser *p, struct evbuffer *in, struct evbuffer *body,
                            size_t body_max, size_t *ret_drained, size_t *ret_body)
{
    enum http1_step step;

    *ret_drained = *ret_body = 0;
    do { /* chunk framing makes steps without body: go on until there is something to tell */
        step = step_once(p, in, body, body_max, ret_drained, ret_body);
    } while (step == HTTP1_BODY && *ret_body == 0);
    return step;
}

enum http1_step http1_parse_eof(struct http1_parser *p)
{
    switch ((enum state)p->state) {
    case S_HEAD:
        if (p->scanned == 0) return HTTP1_MORE;
        return fail(p, 400, "cut in the middle of a head");
    case S_BODY_UNTIL_CLOSE:
    case S_END: p->state = S_HEAD; return HTTP1_END;
    case S_ERROR: return HTTP1_ERROR;
    default: return fail(p, 400, "cut in the middle of a body");
    }
}
