#include "sim/live/sse.h"

#include "sim/base/panic.h"

#include <errno.h>
#include <event2/buffer.h>
#include <stdlib.h>
#include <string.h>

enum {
    EVENT_BYTES_MAX = 1024 * 1024,
    NAME_BYTES_MAX = 1024, /* of an event's name and of an id */
};

/* --- the encoder --- */

/* "field: text", where line breaks and NUL become spaces. */
static int add_field(struct evbuffer *out, const char *field, const char *text)
{
    int r = evbuffer_add(out, field, strlen(field));

    while (r >= 0 && *text) {
        size_t len = strcspn(text, "\r\n");
        r = evbuffer_add(out, text, len);
        text += len;
        if (*text && r >= 0) r = evbuffer_add(out, " ", 1), text++;
    }
    return r < 0 ? r : evbuffer_add(out, "\n", 1);
}

static int add_data(struct evbuffer *out, const char *data, size_t len)
{
    const char *end = data + len;
    int r;

    do {
        const char *line = data;
        while (data < end && *data != '\r' && *data != '\n') data++;
        r = evbuffer_add(out, "data: ", 6);
        if (r >= 0) r = evbuffer_add(out, line, data - line);
        if (r >= 0) r = evbuffer_add(out, "\n", 1);
        if (data == end) break;
        data += data[0] == '\r' && data + 1 < end && data[1] == '\n' ? 2 : 1;
    } while (r >= 0);
    return r;
}

int sse_add(struct evbuffer *out, const char *event, const char *id, const char *data, size_t len)
{
    int r = 0;

    if (event) r = add_field(out, "event: ", event);
    if (id && r >= 0) r = add_field(out, "id: ", id);
    if (r >= 0) r = add_data(out, data, len);
    if (r >= 0) r = evbuffer_add(out, "\n", 1);
    return r < 0 ? -ENOMEM : 0;
}

int sse_add_comment(struct evbuffer *out, const char *text)
{
    int r = add_field(out, ": ", text);

    if (r >= 0) r = evbuffer_add(out, "\n", 1);
    return r < 0 ? -ENOMEM : 0;
}

int sse_add_retry(struct evbuffer *out, uint64_t retry_ms)
{
    return evbuffer_add_printf(out, "retry: %llu\n\n", (unsigned long long)retry_ms) < 0 ? -ENOMEM : 0;
}

/* --- the decoder --- */

struct text {
    char *bytes;
    size_t len, cap;
};

struct sse_decoder {
    size_t max;
    struct text line, data;
    char event[NAME_BYTES_MAX], id[NAME_BYTES_MAX];
    int64_t retry_ms;
    unsigned bom;  /* bytes of a byte order mark seen; 3: it is past */
    bool after_cr; /* an LF now belongs to the line before */
    bool given;    /* `data` was given out and goes at the next call */
    bool has_data; /* a data field was seen, maybe an empty one */
    bool saw_comment;
    bool too_large;
};

int sse_decoder_new(size_t event_bytes_max, struct sse_decoder **ret_decoder)
{
    struct sse_decoder *d = calloc(1, sizeof *d);

    if (!d) return -ENOMEM;
    d->max = event_bytes_max ? event_bytes_max : EVENT_BYTES_MAX;
    d->retry_ms = -1;
    *ret_decoder = d;
    return 0;
}

void sse_decoder_free(struct sse_decoder *d)
{
    if (!d) return;
    free(d->line.bytes);
    free(d->data.bytes);
    free(d);
}

static int text_add(struct text *t, const char *bytes, size_t len, size_t max)
{
    if (len > max - t->len) return -EMSGSIZE;
    if (t->len + len + 1 > t->cap) {
        size_t cap = 2 * (t->len + len + 1);
        char *grown = realloc(t->bytes, cap);

        if (!grown) return -ENOMEM;
        t->bytes = grown;
        t->cap = cap;
    }
    if (len > 0) memcpy(t->bytes + t->len, bytes, len);
    t->len += len;
    t->bytes[t->len] = '\0';
    return 0;
}

/* Copies a name or an id. One that is too long for its field is refused: cut, an id would resume elsewhere.
 */
static int set_name(char to[NAME_BYTES_MAX], const char *value, size_t len)
{
    if (len >= NAME_BYTES_MAX) return -EMSGSIZE;
    memcpy(to, value, len);
    to[len] = '\0';
    return 0;
}

static void set_retry(struct sse_decoder *d, const char *value, size_t len)
{
    int64_t ms = 0;

    if (len == 0) return;
    for (size_t i = 0; i < len; i++) {
        if (value[i] < '0' || value[i] > '9') return;
        if (__builtin_mul_overflow(ms, 10, &ms) || __builtin_add_overflow(ms, value[i] - '0', &ms)) return;
    }
    d->retry_ms = ms;
}

static bool is_field(const char *name, size_t len, const char *field)
{
    return strlen(field) == len && memcmp(name, field, len) == 0;
}

static int add_data_line(struct sse_decoder *d, const char *value, size_t len)
{
    int r = d->has_data ? text_add(&d->data, "\n", 1, d->max) : 0;

    d->has_data = true;
    return r < 0 ? r : text_add(&d->data, value, len, d->max);
}

/* A whole, non-empty line. */
static int take_line(struct sse_decoder *d, const char *line, size_t len)
{
    const char *colon = memchr(line, ':', len);
    size_t name_len = colon ? (size_t)(colon - line) : len;
    const char *value = colon ? colon + 1 : line + len;
    size_t value_len = line + len - value;

    if (name_len == 0) {
        d->saw_comment = true;
        return 0;
    }
    if (value_len > 0 && *value == ' ') value++, value_len--;
    if (is_field(line, name_len, "data")) return add_data_line(d, value, value_len);
    if (is_field(line, name_len, "event")) return set_name(d->event, value, value_len);
    if (is_field(line, name_len, "id") && !memchr(value, '\0', value_len))
        return set_name(d->id, value, value_len);
    if (is_field(line, name_len, "retry")) set_retry(d, value, value_len);
    return 0;
}

/* An empty line: 1 if it completes an event. */
static int dispatch(struct sse_decoder *d, struct sse_event *ret_event)
{
    if (!d->has_data) {
        d->event[0] = '\0';
        return 0;
    }
    d->given = true;
    if (!d->data.bytes && text_add(&d->data, "", 0, d->max) < 0) return -ENOMEM;
    ret_event->event = *d->event ? d->event : "message";
    ret_event->id = d->id;
    ret_event->data = d->data.bytes;
    ret_event->len = d->data.len;
    return 1;
}

/* The line in `d->line` is complete. */
static int end_line(struct sse_decoder *d, struct sse_event *ret_event)
{
    int r = d->line.len > 0 ? take_line(d, d->line.bytes, d->line.len) : dispatch(d, ret_event);

    d->line.len = 0;
    return r;
}

/* Takes bytes up to the end of a line or event. What of `bytes` was used up; `ret` as sse_decode(). */
static size_t take_bytes(struct sse_decoder *d, const char *bytes, size_t len, struct sse_event *ret_event,
                         int *ret)
{
    size_t at = 0;

    *ret = 0;
    while (at < len && *ret == 0) {
        size_t run = 0;

        if (d->after_cr && bytes[at] == '\n') {
            d->after_cr = false;
            at++;
            continue;
        }
        d->after_cr = false;
        while (at + run < len && bytes[at + run] != '\n' && bytes[at + run] != '\r') run++;
        *ret = text_add(&d->line, bytes + at, run, d->max);
        at += run;
        if (*ret < 0 || at == len) break;
        d->after_cr = bytes[at++] == '\r';
        *ret = end_line(d, ret_event);
    }
    return at;
}

/* Lets a byte order mark at the very beginning pass; what only looked like one is data. */
static size_t skip_bom(struct sse_decoder *d, const char *bytes, size_t len)
{
    static const char mark[] = "\xef\xbb\xbf";
    size_t n = 0;

    while (d->bom < 3 && n < len) {
        if (bytes[n] != mark[d->bom]) {
            (void)text_add(&d->line, mark, d->bom, d->max);
            d->bom = 3;
            break;
        }
        n++;
        d->bom++;
    }
    return n;
}

static void forget_given(struct sse_decoder *d)
{
    if (!d->given) return;
    d->given = d->has_data = false;
    d->data.len = 0;
    d->event[0] = '\0';
}

int sse_decode(struct sse_decoder *d, struct evbuffer *in, struct sse_event *ret_event)
{
    int r = 0;

    forget_given(d);
    while (r == 0 && !d->too_large && evbuffer_get_length(in) > 0) {
        struct evbuffer_iovec first;
        size_t used;

        evbuffer_peek(in, -1, NULL, &first, 1);
        used = skip_bom(d, first.iov_base, first.iov_len);
        used += take_bytes(d, (const char *)first.iov_base + used, first.iov_len - used, ret_event, &r);
        evbuffer_drain(in, used);
    }
    if (r == -EMSGSIZE) d->too_large = true;
    return d->too_large ? -EMSGSIZE : r;
}

const char *sse_last_id(const struct sse_decoder *d)
{
    return d->id;
}

int64_t sse_retry_ms(const struct sse_decoder *d)
{
    return d->retry_ms;
}

bool sse_saw_comment(struct sse_decoder *d)
{
    bool saw = d->saw_comment;

    d->saw_comment = false;
    return saw;
}
