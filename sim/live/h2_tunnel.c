#include "sim/live/h2_tunnel.h"

#include <errno.h>
#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/panic.h"
#include "sim/live/h2_state.h"

enum {
    H2_DEFAULT_STREAM_WINDOW = 1 << 20,
    H2_DEFAULT_CONNECTION_WINDOW = 8 << 20,
    H2_DEFAULT_MAX_STREAMS = 1024,
    /* Resets that the peer may send: a load that gives up on thousands of calls is no attack here. */
    H2_RESET_BURST = 20000,
    H2_RESETS_PER_S = 10000,
};

#define H2_DEFAULT_SETTINGS_TIMEOUT_NS (15 * NSEC_PER_S)
#define H2_DEFAULT_LINGER_NS           (5 * NSEC_PER_S)

static const uint8_t drain_ping[8] = "wt-drain";
static const uint8_t alive_ping[8] = "wt-alive";

/* ---- what nghttp2 tells ---- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2 *h2 = user;
    struct h2_stream *s;
    if (h2->is_edge || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    if (h2_stream_new(h2, &s) < 0) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    s->incoming = calloc(1, sizeof(*s->incoming));
    if (!s->incoming) {
        h2_stream_release(s);
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    s->id = frame->hd.stream_id;
    s->open = true;
    h2->counters.opened++;
    h2->counters.active++;
    nghttp2_session_set_stream_user_data(session, s->id, s);
    return 0;
}

/* Copies a text into the request that arrives. */
static const char *keep(struct h2_incoming *in, const uint8_t *text, size_t len)
{
    char *at = in->text + in->text_len;
    memcpy(at, text, len);
    at[len] = 0;
    in->text_len += len + 1;
    return at;
}

static void take_header(struct h2_incoming *in, const uint8_t *name, size_t name_len, const uint8_t *value,
                        size_t value_len)
{
    in->cost += name_len + value_len + H2_HEADER_COST;
    if (in->cost > H2_HEADER_BYTES_MAX || in->n_headers >= H2_HEADERS_MAX) in->too_much = true;
    if (in->too_much) return;
    const char *n = keep(in, name, name_len), *v = keep(in, value, value_len);
    if (strcmp(n, ":authority") == 0)
        in->request.authority = v;
    else if (strcmp(n, ":path") == 0)
        in->request.path = v;
    else if (strcmp(n, H2_UPGRADE) == 0)
        in->request.upgrade = v;
    else if (strcmp(n, "host") == 0)
        in->host = v;
    else if (n[0] != ':')
        in->headers[in->n_headers++] = (struct http_header){n, v};
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *user)
{
    struct h2 *h2 = user;
    struct h2_stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (!s) return 0;
    if (!h2->is_edge && s->incoming && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        take_header(s->incoming, name, name_len, value, value_len);
    /* nghttp2 has made sure that these are three digits. */
    if (h2->is_edge && name_len == 7 && memcmp(name, ":status", 7) == 0)
        s->arriving_status = atoi((const char *)value);
    return 0;
}

static void took_headers(struct h2 *h2, struct h2_stream *s, const nghttp2_frame *frame)
{
    if (!h2->is_edge && s->incoming && s->incoming->too_much) {
        h2_stream_cut(s, NGHTTP2_ENHANCE_YOUR_CALM);
        h2_stream_release(s);
        return;
    }
    if (s->incoming && !list_is_linked(&s->fresh)) list_push_back(&h2->fresh, &s->fresh);
    if (h2->is_edge && s->status == 0 && s->arriving_status >= 200) h2_stream_answered(s, s->arriving_status);
    if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) h2_stream_got_end(s);
}

static void took_goaway(struct h2 *h2, const nghttp2_goaway *goaway)
{
    h2->goaway_received_code = goaway->error_code;
    if (h2->got_goaway) return;
    h2->got_goaway = true;
    h2->draining_due = true;
}

static void took_ping_answer(struct h2 *h2, const nghttp2_ping *ping)
{
    if (!h2->draining || h2->final_goaway || memcmp(ping->opaque_data, drain_ping, sizeof(drain_ping)) != 0)
        return;
    /* All streams that the edge opened before it heard of the drain are here by now. */
    h2->final_goaway = true;
    nghttp2_submit_goaway(h2->session, NGHTTP2_FLAG_NONE,
                          nghttp2_session_get_last_proc_stream_id(h2->session), NGHTTP2_NO_ERROR, NULL, 0);
}

static void took_settings(struct h2 *h2)
{
    if (h2->got_settings) return;
    h2->got_settings = true;
    h2->ready_due = true;
    event_del(&h2->settings_wait);
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2 *h2 = user;
    bool is_ack = frame->hd.flags & NGHTTP2_FLAG_ACK;
    struct h2_stream *s =
        frame->hd.stream_id > 0 ? nghttp2_session_get_stream_user_data(session, frame->hd.stream_id) : NULL;
    switch (frame->hd.type) {
    case NGHTTP2_SETTINGS:
        if (!is_ack) took_settings(h2);
        break;
    case NGHTTP2_PING:
        if (is_ack) took_ping_answer(h2, &frame->ping);
        break;
    case NGHTTP2_GOAWAY: took_goaway(h2, &frame->goaway); break;
    case NGHTTP2_HEADERS:
        if (s) took_headers(h2, s, frame);
        break;
    case NGHTTP2_DATA:
        if (s && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) h2_stream_got_end(s);
        break;
    case NGHTTP2_RST_STREAM:
        if (s) s->reset_by_peer = true;
        break;
    default: break;
    }
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t len,
                   void *user)
{
    struct h2 *h2 = user;
    struct h2_stream *s = nghttp2_session_get_stream_user_data(session, id);
    h2->counters.payload_in += len;
    if (!s || s->orphan || s->front.over) {
        nghttp2_session_consume(session, id, len);
        return 0;
    }
    if (evbuffer_add(s->front.in, data, len) < 0) return NGHTTP2_ERR_NOMEM;
    s->unconsumed += len;
    if (s->front.up) {
        front_data(&s->front);
        front_defer(&s->front);
    }
    return 0;
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2 *h2 = user;
    if (frame->hd.type == NGHTTP2_GOAWAY) h2->goaway_sent_code = frame->goaway.error_code;
    if (frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS) return 0;
    struct h2_stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (s && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) s->sent_end = true;
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    struct h2_stream *s = nghttp2_session_get_stream_user_data(session, id);
    if (s && s->open) h2_stream_closed(s, code);
    return 0;
}

/* ---- the end ---- */

/* The connection is over. Streams are told in their events, which are due before the one for `closed`. */
static void finish(struct h2 *h2, enum stream_end end, const char *what)
{
    char line[H2_WHAT_MAX];
    if (h2->over) return;
    h2->over = true;
    h2->end = end;
    snprintf(h2->what, sizeof(h2->what), "%s", what ? what : "");
    snprintf(line, sizeof(line), "the tunnel is lost: %s", what ? what : "closed");
    event_del(&h2->turn);
    event_del(&h2->settings_wait);
    event_del(&h2->ping);
    list_for_each(s, &h2->streams, struct h2_stream, link)
    {
        if (s->open) {
            s->open = false;
            h2->counters.active--;
            h2->counters.reset++;
        }
        if (s->orphan || s->incoming)
            h2_stream_release(s);
        else
            h2_stream_end(s, STREAM_END_RESET, line);
    }
    stream_shutdown(h2->below);
    event_active(&h2->tell_closed, 0, 0);
}

/* Ends a connection whose peer broke the protocol; tells it so. */
static void pump(struct h2 *h2);

static void finish_broken(struct h2 *h2, uint32_t code, const char *detail)
{
    char what[H2_WHAT_MAX];
    snprintf(what, sizeof(what), "HTTP/2: %s", detail);
    nghttp2_session_terminate_session(h2->session, code);
    pump(h2);
    finish(h2, STREAM_END_PROTOCOL, what);
}

static void on_tell_closed(evutil_socket_t fd, short events, void *user)
{
    struct h2 *h2 = user;
    if (h2->callbacks->closed) h2->callbacks->closed(h2->user, h2->end, h2->what[0] ? h2->what : NULL);
}

/* nghttp2 has nothing more to do: GOAWAY and the last stream are through. */
static void finish_if_done(struct h2 *h2)
{
    char what[H2_WHAT_MAX];
    if (h2->over || nghttp2_session_want_read(h2->session) || nghttp2_session_want_write(h2->session)) return;
    if (h2->goaway_sent_code != NGHTTP2_NO_ERROR) {
        snprintf(what, sizeof(what), "HTTP/2: ended with %s", nghttp2_http2_strerror(h2->goaway_sent_code));
        finish(h2, STREAM_END_PROTOCOL, what);
    } else if (h2->goaway_received_code != NGHTTP2_NO_ERROR) {
        snprintf(what, sizeof(what), "HTTP/2: the peer ended with %s",
                 nghttp2_http2_strerror(h2->goaway_received_code));
        finish(h2, STREAM_END_RESET, what);
    } else {
        finish(h2, STREAM_END_CLEAN, NULL);
    }
}

/* ---- the turn ---- */

/* Takes output from nghttp2 until it has none or the output below is full. False: nghttp2 failed. */
static bool fill_frames(struct h2 *h2)
{
    const uint8_t *bytes;
    h2->below_pending = stream_pending(h2->below);
    while (h2->below_pending + evbuffer_get_length(h2->frames) <= STREAM_LOW_MARK) {
        ssize_t n = nghttp2_session_mem_send(h2->session, &bytes);
        if (n == 0) break;
        if (n < 0 || evbuffer_add(h2->frames, bytes, (size_t)n) < 0) return false;
    }
    return true;
}

static void pump(struct h2 *h2)
{
    size_t n;
    do {
        if (!fill_frames(h2)) {
            finish(h2, STREAM_END_RESET, "HTTP/2: no memory for output");
            return;
        }
        n = evbuffer_get_length(h2->frames);
        if (n > 0) stream_write(h2->below, h2->frames);
    } while (n > 0);
}

/* Shows a stream to the connector's user, or answers it if there is none. */
static void show(struct h2 *h2, struct h2_stream *s)
{
    struct h2_incoming *in = s->incoming;
    s->incoming = NULL;
    if (!in->request.authority) in->request.authority = in->host;
    in->request.headers = in->headers;
    if (in->request.authority && h2->callbacks->opened) {
        h2->callbacks->opened(h2->user, &s->stream, &in->request);
    } else {
        h2_stream_respond(&s->stream, in->request.authority ? 501 : 400);
        stream_free(&s->stream, false);
    }
    free(in);
}

/* Tells what is due about the connection. False: it is gone. */
static bool tell(struct h2 *h2)
{
    bool gone = false;
    h2->gone = &gone;
    if (h2->ready_due) {
        h2->ready_due = false;
        if (h2->callbacks->ready) h2->callbacks->ready(h2->user);
    }
    while (!gone && !h2->over && !list_is_empty(&h2->fresh)) {
        struct h2_stream *s = list_first_entry(&h2->fresh, struct h2_stream, fresh);
        list_remove(&s->fresh);
        show(h2, s);
    }
    if (!gone && h2->draining_due) {
        h2->draining_due = false;
        if (h2->callbacks->draining) h2->callbacks->draining(h2->user);
    }
    if (!gone) h2->gone = NULL;
    return !gone;
}

static void on_turn(evutil_socket_t fd, short events, void *user)
{
    struct h2 *h2 = user;
    if (!tell(h2) || h2->over) return;
    pump(h2);
    finish_if_done(h2);
}

/* ---- what below tells ---- */

static void start(struct h2 *h2)
{
    struct timeval settings = h2_timeval(h2->options.settings_timeout_ns);
    struct timeval ping = h2_timeval(h2->options.ping_interval_ns);
    if (h2->started) return;
    h2->started = true;
    if (!h2->got_settings) event_add(&h2->settings_wait, &settings);
    if (h2->options.ping_interval_ns > 0) event_add(&h2->ping, &ping);
    h2_later(h2);
}

static void on_below_ready(void *user)
{
    struct h2 *h2 = user;
    if (!h2->over) start(h2);
}

/* Takes what came. nghttp2's callbacks note it; nobody is called here. */
static void on_below_data(void *user, struct evbuffer *in)
{
    struct h2 *h2 = user;
    struct evbuffer_iovec piece;
    size_t taken = 0;
    h2->heard = true;
    if (!h2->over) start(h2);
    while (!h2->over && evbuffer_peek(in, -1, NULL, &piece, 1) > 0 && piece.iov_len > 0) {
        ssize_t n = nghttp2_session_mem_recv(h2->session, piece.iov_base, piece.iov_len);
        if (n < 0) {
            bool flooded = n == NGHTTP2_ERR_FLOODED;
            finish_broken(h2, flooded ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_PROTOCOL_ERROR,
                          nghttp2_strerror((int)n));
            break;
        }
        evbuffer_drain(in, (size_t)n);
        taken += (size_t)n;
    }
    if (h2->over) {
        taken += evbuffer_get_length(in);
        evbuffer_drain(in, evbuffer_get_length(in));
    }
    stream_consumed(h2->below, taken);
    h2_later(h2);
}

static void on_below_writable(void *user)
{
    h2_later(user);
}

/* The carrier stopped: in order only if that was announced and no stream is left. */
static void finish_cut(struct h2 *h2, enum stream_end end, const char *what)
{
    char line[H2_WHAT_MAX];
    if (h2->goaway_received_code != NGHTTP2_NO_ERROR) {
        snprintf(line, sizeof(line), "HTTP/2: the peer ended with %s",
                 nghttp2_http2_strerror(h2->goaway_received_code));
        what = line;
    }
    bool announced = (h2->got_goaway || h2->draining) && h2->counters.active == 0;
    if (announced && h2->goaway_sent_code == NGHTTP2_NO_ERROR &&
        h2->goaway_received_code == NGHTTP2_NO_ERROR && end != STREAM_END_PROTOCOL)
        finish(h2, STREAM_END_CLEAN, NULL);
    else
        finish(h2, end == STREAM_END_CLEAN ? STREAM_END_RESET : end, what ? what : "cut");
}

static void on_below_eof(void *user)
{
    struct h2 *h2 = user;
    on_below_data(h2, stream_input(h2->below));
    finish_cut(user, STREAM_END_RESET, "the carrier was closed");
}

static void on_below_ended(void *user, enum stream_end end, const char *what)
{
    finish_cut(user, end, what);
}

static const struct stream_handler below_handler = {
    .ready = on_below_ready,
    .data = on_below_data,
    .writable = on_below_writable,
    .eof = on_below_eof,
    .ended = on_below_ended,
};

/* ---- timers ---- */

static void on_settings_wait(evutil_socket_t fd, short events, void *user)
{
    finish(user, STREAM_END_TIMEOUT, "HTTP/2: no settings from the peer");
}

/* Asks, then looks whether anything came since. */
static void on_ping(evutil_socket_t fd, short events, void *user)
{
    struct h2 *h2 = user;
    if (h2->pinged && !h2->heard) {
        finish(h2, STREAM_END_RESET, "HTTP/2: no answer to a PING");
        return;
    }
    h2->pinged = !h2->pinged;
    if (h2->pinged) {
        h2->heard = false;
        nghttp2_submit_ping(h2->session, NGHTTP2_FLAG_NONE, alive_ping);
        h2_later(h2);
    }
    struct timeval tv = h2_timeval(h2->pinged ? h2->options.ping_timeout_ns : h2->options.ping_interval_ns);
    event_add(&h2->ping, &tv);
}

/* ---- the connection ---- */

void h2_drain(struct h2 *h2)
{
    if (h2->over || h2->draining) return;
    h2->draining = true;
    if (h2->is_edge) {
        nghttp2_submit_goaway(h2->session, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, NULL, 0);
    } else {
        nghttp2_submit_shutdown_notice(h2->session);
        nghttp2_submit_ping(h2->session, NGHTTP2_FLAG_NONE, drain_ping);
    }
    h2_later(h2);
}

static void detach(struct h2 *h2)
{
    list_for_each(s, &h2->streams, struct h2_stream, link)
    {
        s->h2 = NULL;
        list_remove(&s->link);
    }
}

static void release(struct h2 *h2)
{
    event_del(&h2->turn);
    event_del(&h2->tell_closed);
    event_del(&h2->settings_wait);
    event_del(&h2->ping);
    if (h2->session) nghttp2_session_del(h2->session);
    if (h2->frames) evbuffer_free(h2->frames);
    free(h2);
}

void h2_free(struct h2 *h2, bool abort)
{
    if (!h2) return;
    if (h2->gone) *h2->gone = true;
    if (!h2->over && !abort) {
        nghttp2_session_terminate_session(h2->session, NGHTTP2_NO_ERROR);
        pump(h2);
    }
    finish(h2, STREAM_END_RESET, "closed here");
    bool said_why = h2->end == STREAM_END_PROTOCOL || h2->end == STREAM_END_CLEAN;
    detach(h2);
    stream_free(h2->below, abort && !said_why);
    release(h2);
}

struct h2_counters h2_counters(const struct h2 *h2)
{
    return h2->counters;
}

static void set_options(struct h2 *h2, const struct h2_options *options)
{
    struct h2_options *o = &h2->options;
    if (options) *o = *options;
    if (!o->stream_window) o->stream_window = H2_DEFAULT_STREAM_WINDOW;
    if (!o->connection_window) o->connection_window = H2_DEFAULT_CONNECTION_WINDOW;
    if (!o->max_streams) o->max_streams = H2_DEFAULT_MAX_STREAMS;
    if (!o->settings_timeout_ns) o->settings_timeout_ns = H2_DEFAULT_SETTINGS_TIMEOUT_NS;
    if (!o->ping_timeout_ns) o->ping_timeout_ns = o->ping_interval_ns;
    if (!o->linger_ns) o->linger_ns = H2_DEFAULT_LINGER_NS;
}

static int make_session(struct h2 *h2)
{
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    if (nghttp2_session_callbacks_new(&callbacks) != 0) return -ENOMEM;
    if (nghttp2_option_new(&option) != 0) {
        nghttp2_session_callbacks_del(callbacks);
        return -ENOMEM;
    }
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, h2_stream_send_data);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_stream_reset_rate_limit(option, H2_RESET_BURST, H2_RESETS_PER_S);
    int r = h2->is_edge ? nghttp2_session_client_new2(&h2->session, callbacks, h2, option)
                        : nghttp2_session_server_new2(&h2->session, callbacks, h2, option);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return r != 0 ? -ENOMEM : 0;
}

static int submit_settings(struct h2 *h2)
{
    const nghttp2_settings_entry entries[] = {
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, h2->options.stream_window},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, H2_HEADER_BYTES_MAX},
        h2->is_edge
            ? (nghttp2_settings_entry){NGHTTP2_SETTINGS_ENABLE_PUSH, 0}
            : (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, h2->options.max_streams},
    };
    int r = nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, entries,
                                    sizeof(entries) / sizeof(entries[0]));
    if (r == 0)
        r = nghttp2_session_set_local_window_size(h2->session, NGHTTP2_FLAG_NONE, 0,
                                                  (int32_t)h2->options.connection_window);
    return r != 0 ? -ENOMEM : 0;
}

static int h2_new(struct event_base *base, struct stream *below, bool is_edge,
                  const struct h2_options *options, const struct h2_callbacks *callbacks, void *user,
                  struct h2 **ret_h2)
{
    struct h2 *h2 = calloc(1, sizeof(*h2));
    if (!h2) return -ENOMEM;
    h2->base = base;
    h2->is_edge = is_edge;
    h2->callbacks = callbacks;
    h2->user = user;
    set_options(h2, options);
    list_init(&h2->streams);
    list_init(&h2->fresh);
    event_assign(&h2->turn, base, -1, 0, on_turn, h2);
    event_assign(&h2->tell_closed, base, -1, 0, on_tell_closed, h2);
    event_assign(&h2->settings_wait, base, -1, 0, on_settings_wait, h2);
    event_assign(&h2->ping, base, -1, 0, on_ping, h2);
    h2->frames = evbuffer_new();
    int r = h2->options.stream_window > INT32_MAX || h2->options.connection_window > INT32_MAX ? -EINVAL : 0;
    if (r == 0 && !h2->frames) r = -ENOMEM;
    if (r == 0) r = make_session(h2);
    if (r == 0) r = submit_settings(h2);
    if (r < 0) {
        release(h2);
        return r;
    }
    h2->below = below;
    stream_set_handler(below, &below_handler, h2);
    h2_later(h2);
    *ret_h2 = h2;
    return 0;
}

int h2_edge_new(struct event_base *base, struct stream *below, const struct h2_options *options,
                const struct h2_callbacks *callbacks, void *user, struct h2 **ret_h2)
{
    return h2_new(base, below, true, options, callbacks, user, ret_h2);
}

int h2_connector_new(struct event_base *base, struct stream *below, const struct h2_options *options,
                     const struct h2_callbacks *callbacks, void *user, struct h2 **ret_h2)
{
    return h2_new(base, below, false, options, callbacks, user, ret_h2);
}
