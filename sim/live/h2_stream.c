/* The streams of a tunnel: their life, their output, and what their users call. */
#include <errno.h>
#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/panic.h"
#include "sim/live/h2_state.h"

static const struct stream_ops h2_stream_ops;

static struct h2_stream *stream_of(struct stream *s)
{
    ASSERT(s->ops == &h2_stream_ops);
    return (struct h2_stream *)s;
}

/* ---- a stream's life ---- */

static void on_linger(evutil_socket_t fd, short events, void *user);

int h2_stream_new(struct h2 *h2, struct h2_stream **ret_s)
{
    struct h2_stream *s = calloc(1, sizeof(*s));
    if (!s) return -ENOMEM;
    s->out = evbuffer_new();
    if (!s->out || front_init(&s->front, h2->base, NULL, s) < 0) {
        if (s->out) evbuffer_free(s->out);
        free(s);
        return -ENOMEM;
    }
    s->stream.ops = &h2_stream_ops;
    s->h2 = h2;
    event_assign(&s->linger, h2->base, -1, 0, on_linger, s);
    list_push_back(&h2->streams, &s->link);
    list_init(&s->fresh);
    *ret_s = s;
    return 0;
}

void h2_stream_release(struct h2_stream *s)
{
    list_remove(&s->link);
    list_remove(&s->fresh);
    event_del(&s->linger);
    evbuffer_free(s->out);
    front_deinit(&s->front);
    free(s->incoming);
    free(s);
}

/* Gives `bytes` of the windows back to the peer. */
static void give_back(struct h2_stream *s, size_t bytes)
{
    ASSERT(bytes <= s->unconsumed);
    s->unconsumed -= bytes;
    if (bytes == 0 || !s->h2 || s->h2->over) return;
    nghttp2_session_consume(s->h2->session, s->id, bytes);
    h2_later(s->h2);
}

void h2_stream_end(struct h2_stream *s, enum stream_end end, const char *what)
{
    front_end(&s->front, end, what);
    front_defer(&s->front);
}

/* Lets nghttp2 ask for this stream's output again. */
static void feed(struct h2_stream *s)
{
    if (!s->open || !s->h2 || s->h2->over) return;
    if (s->starved) {
        s->starved = false;
        nghttp2_session_resume_data(s->h2->session, s->id);
    }
    h2_later(s->h2);
}

/* Cuts the stream; nghttp2 forgets whom it belonged to. */
void h2_stream_cut(struct h2_stream *s, uint32_t code)
{
    struct h2 *h2 = s->h2;
    if (!s->open || !h2 || h2->over) return;
    nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, s->id, code);
    nghttp2_session_set_stream_user_data(h2->session, s->id, NULL);
    s->open = false;
    h2->counters.active--;
    h2->counters.reset++;
    h2_later(h2);
}

/* Ends the stream at both ends, for a failure here. */
static void break_stream(struct h2_stream *s, const char *what)
{
    h2_stream_cut(s, NGHTTP2_INTERNAL_ERROR);
    h2_stream_end(s, STREAM_END_RESET, what);
}

static void on_linger(evutil_socket_t fd, short events, void *user)
{
    struct h2_stream *s = user;
    h2_stream_cut(s, s->sent_end ? NGHTTP2_NO_ERROR : NGHTTP2_CANCEL);
    h2_stream_release(s);
}

/* `writable` follows from the length of the output; it is told when the stream is up, not before. */
static void note_output(struct h2_stream *s)
{
    if (!s->above_low || !s->front.up || evbuffer_get_length(s->out) > STREAM_LOW_MARK) return;
    s->above_low = false;
    front_writable(&s->front);
    front_defer(&s->front);
}

/* The stream is up; what came before is told after that. */
static void stream_up(struct h2_stream *s)
{
    if (s->front.over) return;
    front_up(&s->front);
    if (evbuffer_get_length(s->front.in) > 0) front_data(&s->front);
    if (s->got_end) front_eof(&s->front);
    note_output(s);
    front_defer(&s->front);
}

void h2_stream_got_end(struct h2_stream *s)
{
    s->got_end = true;
    if (!s->front.up) return;
    front_eof(&s->front);
    front_defer(&s->front);
}

/* Edge: the connector has answered. */
void h2_stream_answered(struct h2_stream *s, int status)
{
    char what[H2_WHAT_MAX];
    s->status = status;
    if (status / 100 == 2) {
        stream_up(s);
        return;
    }
    s->h2->counters.refused++;
    snprintf(what, sizeof(what), "tunnel: the connector answered %d", status);
    h2_stream_end(s, STREAM_END_REFUSED, what);
    /* Closed in order, not with RST_STREAM, of which a peer bears only so many. */
    evbuffer_drain(s->out, evbuffer_get_length(s->out));
    s->shut = true;
    feed(s);
}

/* How a stream ended that nghttp2 closed with `code`. */
static enum stream_end end_of(const struct h2_stream *s, uint32_t code)
{
    if (code == NGHTTP2_NO_ERROR) return s->got_end && s->sent_end ? STREAM_END_CLEAN : STREAM_END_RESET;
    if (code == NGHTTP2_REFUSED_STREAM) return STREAM_END_REFUSED;
    if (s->reset_by_peer || code == NGHTTP2_CANCEL) return STREAM_END_RESET;
    return STREAM_END_PROTOCOL;
}

void h2_stream_closed(struct h2_stream *s, uint32_t code)
{
    struct h2_counters *counters = &s->h2->counters;
    enum stream_end end = end_of(s, code);
    char what[H2_WHAT_MAX];
    s->open = false;
    counters->active--;
    if (end == STREAM_END_REFUSED) counters->refused++;
    if (end == STREAM_END_RESET || end == STREAM_END_PROTOCOL) counters->reset++;
    if (s->orphan || s->incoming) {
        give_back(s, s->unconsumed);
        h2_stream_release(s);
        return;
    }
    snprintf(what, sizeof(what), "tunnel: stream ended with %s", nghttp2_http2_strerror(code));
    h2_stream_end(s, end, end == STREAM_END_CLEAN ? NULL : what);
}

/* ---- what nghttp2 asks for ---- */

/* nghttp2 sends a DATA frame as long as the output has room, and asks this for its length. */
static ssize_t on_read(nghttp2_session *session, int32_t id, uint8_t *buf, size_t length, uint32_t *flags,
                       nghttp2_data_source *source, void *user)
{
    struct h2 *h2 = user;
    struct h2_stream *s = nghttp2_session_get_stream_user_data(session, id);
    if (!s) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    size_t have = evbuffer_get_length(s->out);
    if (have == 0 && !s->shut) {
        s->starved = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    if (h2->below_pending + evbuffer_get_length(h2->frames) > STREAM_LOW_MARK) return NGHTTP2_ERR_PAUSE;
    size_t n = have < length ? have : length;
    if (n > 0) *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (n == have && s->shut) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

/* Moves the bytes that on_read() promised. */
int h2_stream_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *header, size_t length,
                        nghttp2_data_source *source, void *user)
{
    struct h2 *h2 = user;
    struct h2_stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (!s) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (evbuffer_add(h2->frames, header, 9) < 0) return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (evbuffer_remove_buffer(s->out, h2->frames, length) != (int)length)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    h2->counters.payload_out += length;
    note_output(s);
    return 0;
}

static const nghttp2_data_provider output = {.read_callback = on_read};

/* ---- the stream above ---- */

static void h2_set_handler(struct stream *stream, const struct stream_handler *h, void *user)
{
    struct h2_stream *s = stream_of(stream);
    front_set_handler(&s->front, h, user);
    /* What comes before the answer is told after it. */
    if (!s->front.up) s->front.data_due = false;
}

static struct evbuffer *h2_input(struct stream *s)
{
    return stream_of(s)->front.in;
}

static void h2_write(struct stream *stream, struct evbuffer *bytes)
{
    struct h2_stream *s = stream_of(stream);
    if (s->shut || s->front.over) {
        evbuffer_drain(bytes, evbuffer_get_length(bytes));
        return;
    }
    if (evbuffer_add_buffer(s->out, bytes) < 0) {
        break_stream(s, "tunnel: no memory for output");
        return;
    }
    if (evbuffer_get_length(s->out) > STREAM_LOW_MARK) s->above_low = true;
    feed(s);
}

static size_t h2_pending(const struct stream *stream)
{
    return evbuffer_get_length(((const struct h2_stream *)stream)->out);
}

static void h2_consumed(struct stream *s, size_t bytes)
{
    give_back(stream_of(s), bytes);
}

static void h2_shutdown(struct stream *stream)
{
    struct h2_stream *s = stream_of(stream);
    if (s->shut || s->front.over) return;
    s->shut = true;
    feed(s);
}

/* The user has gone; the rest of the output is sent, what comes is dropped, until the linger time is up. */
static void linger(struct h2_stream *s)
{
    struct timeval tv = h2_timeval(s->h2->options.linger_ns);
    s->orphan = true;
    front_set_handler(&s->front, NULL, NULL);
    evbuffer_drain(s->front.in, evbuffer_get_length(s->front.in));
    event_add(&s->linger, &tv);
    s->shut = true;
    feed(s);
}

/* A stream that was not answered is reset, not REFUSED: whoever had it may have passed it on. */
static void h2_stream_free(struct stream *stream, bool abort)
{
    struct h2_stream *s = stream_of(stream);
    bool unanswered = s->h2 && !s->h2->is_edge && s->status == 0;
    give_back(s, s->unconsumed);
    if (s->open && !unanswered && (!abort || s->front.over)) {
        linger(s);
        return;
    }
    h2_stream_cut(s, NGHTTP2_CANCEL);
    h2_stream_release(s);
}

static const struct stream_ops h2_stream_ops = {
    .set_handler = h2_set_handler,
    .input = h2_input,
    .write = h2_write,
    .pending = h2_pending,
    .consumed = h2_consumed,
    .shutdown = h2_shutdown,
    .free = h2_stream_free,
};

/* ---- opening and answering ---- */

static nghttp2_nv nv_of(const char *name, const char *value)
{
    return (nghttp2_nv){.name = (uint8_t *)name,
                        .value = (uint8_t *)value,
                        .namelen = strlen(name),
                        .valuelen = strlen(value)};
}

static bool is_header(const nghttp2_nv *nv)
{
    return nv->namelen > 0 && nv->name[0] != ':' && nghttp2_check_header_name(nv->name, nv->namelen) &&
           nghttp2_check_header_value(nv->value, nv->valuelen);
}

/* Fills `nv` with the headers of `request`. Their number, or -EINVAL. */
static int request_headers(const struct h2_request *request, nghttp2_nv nv[static H2_HEADERS_MAX])
{
    const char *path = request->path ? request->path : "/";
    size_t n = 0, cost = 0;
    nv[n++] = nv_of(":method", "GET");
    nv[n++] = nv_of(":scheme", "https");
    nv[n++] = nv_of(":authority", request->authority);
    nv[n++] = nv_of(":path", path);
    if (!nghttp2_check_authority(nv[2].value, nv[2].valuelen) || nv[2].valuelen == 0) return -EINVAL;
    if (path[0] != '/' || !nghttp2_check_path(nv[3].value, nv[3].valuelen)) return -EINVAL;
    if (request->upgrade) {
        nv[n] = nv_of(H2_UPGRADE, request->upgrade);
        if (!is_header(&nv[n++])) return -EINVAL;
    }
    for (const struct http_header *h = request->headers; h && h->name; h++) {
        if (n >= H2_HEADERS_MAX) return -EINVAL;
        nv[n] = nv_of(h->name, h->value);
        if (!is_header(&nv[n++])) return -EINVAL;
    }
    for (size_t i = 0; i < n; i++) cost += nv[i].namelen + nv[i].valuelen + H2_HEADER_COST;
    return cost > H2_HEADER_BYTES_MAX ? -EINVAL : (int)n;
}

static bool is_full(struct h2 *h2)
{
    uint32_t allowed =
        nghttp2_session_get_remote_settings(h2->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    if (allowed > h2->options.max_streams) allowed = h2->options.max_streams;
    return h2->counters.active >= allowed;
}

int h2_edge_open(struct h2 *h2, const struct h2_request *request, struct stream **ret_stream)
{
    nghttp2_nv nv[H2_HEADERS_MAX];
    struct h2_stream *s;
    ASSERT(h2->is_edge);
    int n = request_headers(request, nv);
    if (n < 0) return n;
    if (h2->over || h2->draining || h2->got_goaway) return H2_E_GOING;
    if (is_full(h2)) return H2_E_FULL;
    if (h2_stream_new(h2, &s) < 0) return -ENOMEM;
    s->id = nghttp2_submit_request(h2->session, NULL, nv, (size_t)n, &output, s);
    if (s->id < 0) {
        bool used_up = s->id == NGHTTP2_ERR_STREAM_ID_NOT_AVAILABLE;
        h2_stream_release(s);
        return used_up ? H2_E_GOING : -ENOMEM;
    }
    s->open = true;
    h2->counters.opened++;
    h2->counters.active++;
    h2_later(h2);
    *ret_stream = &s->stream;
    return 0;
}

void h2_stream_respond(struct stream *stream, int status)
{
    struct h2_stream *s = stream_of(stream);
    char text[4];
    bool grants = status / 100 == 2;
    ASSERT(status >= 200 && status <= 599);
    if (!s->open || s->front.over) return;
    ASSERT(!s->h2->is_edge && s->status == 0);
    s->status = status;
    snprintf(text, sizeof(text), "%d", status);
    nghttp2_nv nv = nv_of(":status", text);
    if (nghttp2_submit_response(s->h2->session, s->id, &nv, 1, grants ? &output : NULL) != 0) {
        break_stream(s, "tunnel: no memory for an answer");
        return;
    }
    h2_later(s->h2);
    if (grants) {
        stream_up(s);
        return;
    }
    s->h2->counters.refused++;
    s->shut = true;
    h2_stream_end(s, STREAM_END_CLEAN, NULL);
}

int h2_stream_status(const struct stream *s)
{
    ASSERT(s->ops == &h2_stream_ops);
    return ((const struct h2_stream *)s)->status;
}
