#include "sim/live/ws.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wslay/wslay.h>

#include "sim/base/panic.h"
#include "sim/base/utf8.h"
#include "sim/live/stream_front.h"

enum {
    WS_CONTROL_MAX = 125, /* payload of a control frame */
    WS_HEADER_MAX = 14,
    WS_WHAT_MAX = 128, /* room for the line that explains an end */
    /* Below this a frame's payload is copied beside its header; above, the buffers move. */
    WS_COPY_MAX = 4096,
    /* A peer that sends pings and does not read the answers is not read either beyond this much output. */
    WS_STALL = 4 * STREAM_HIGH_MARK,
};

static const uint64_t WS_DEFAULT_MAX_MESSAGE = 16 * 1024 * 1024;
static const nsec_t WS_DEFAULT_CLOSE_TIMEOUT_NS = 30 * NSEC_PER_S;

struct ws {
    struct stream stream;
    struct stream_front front;
    struct stream *below;
    struct ws_options options;
    bool is_client;
    struct evbuffer *out;    /* from the user, not framed */
    struct evbuffer *frames; /* scratch: framed, on the way below; empty between calls */
    struct event ping;
    struct event close_wait;

    /* What arrives. */
    wslay_frame_context_ptr wslay;
    bool in_message;         /* a message is unfinished */
    uint64_t message_length; /* of it, so far */
    uint64_t frame_left;     /* payload bytes of the frame that are still to come */
    uint8_t control[WS_CONTROL_MAX];
    size_t control_len;
    uint64_t taken;    /* bytes from below, all told */
    uint64_t returned; /* of them, reported as consumed to below */
    size_t unconsumed; /* given to the user, not yet given back */

    uint8_t mask_pool[256];
    size_t mask_left;
    bool above_low; /* the output is above STREAM_LOW_MARK and `writable` is owed */
    bool heard;     /* something arrived since the last ping */
    bool pinged;    /* a ping was sent */
    bool shut;      /* the user will write no more */
    bool sent_close;
    bool got_close;
    uint16_t code_sent;
    uint16_t code_received;
};

static struct ws *ws_of(struct stream *s)
{
    return (struct ws *)s;
}

static struct timeval timeval_of(nsec_t ns)
{
    return (struct timeval){.tv_sec = (time_t)(ns / NSEC_PER_S),
                            .tv_usec = (suseconds_t)(ns % NSEC_PER_S / NSEC_PER_US)};
}

/* ---- handshake ---- */

static int random_bytes(ws_random_fn *random, void *user, void *buf, size_t len)
{
    if (random) return random(user, buf, len);
    return RAND_bytes(buf, (int)len) == 1 ? 0 : -EIO;
}

int ws_make_key(ws_random_fn *random, void *random_user, char ret_key[static WS_KEY_SIZE])
{
    unsigned char nonce[16];
    int r = random_bytes(random, random_user, nonce, sizeof(nonce));
    if (r < 0) return r;
    EVP_EncodeBlock((unsigned char *)ret_key, nonce, sizeof(nonce));
    return 0;
}

/* 16 bytes in base64 are 22 characters and two signs of padding. */
static bool is_key(const char *key)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    return strlen(key) == WS_KEY_SIZE - 1 && strspn(key, alphabet) == 22 && strcmp(key + 22, "==") == 0;
}

int ws_accept_of(const char *key, char ret_accept[static WS_ACCEPT_SIZE])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    unsigned char joined[WS_KEY_SIZE - 1 + sizeof(guid)];
    unsigned char digest[SHA_DIGEST_LENGTH];
    if (!key || !is_key(key)) return -EINVAL;
    memcpy(joined, key, WS_KEY_SIZE - 1);
    memcpy(joined + WS_KEY_SIZE - 1, guid, sizeof(guid));
    SHA1(joined, sizeof(joined) - 1, digest);
    EVP_EncodeBlock((unsigned char *)ret_accept, digest, sizeof(digest));
    return 0;
}

void ws_client_headers(const char *key, struct http_header ret_headers[static WS_CLIENT_HEADERS])
{
    ret_headers[0] = (struct http_header){"Upgrade", "websocket"};
    ret_headers[1] = (struct http_header){"Connection", "Upgrade"};
    ret_headers[2] = (struct http_header){"Sec-WebSocket-Version", "13"};
    ret_headers[3] = (struct http_header){"Sec-WebSocket-Key", key};
    ret_headers[4] = (struct http_header){NULL, NULL};
}

void ws_server_headers(const char *accept, struct http_header ret_headers[static WS_SERVER_HEADERS])
{
    ret_headers[0] = (struct http_header){"Upgrade", "websocket"};
    ret_headers[1] = (struct http_header){"Connection", "Upgrade"};
    ret_headers[2] = (struct http_header){"Sec-WebSocket-Accept", accept};
    ret_headers[3] = (struct http_header){NULL, NULL};
}

static bool asks_for_websocket(const struct http_head *head)
{
    return http_head_has_token(head, "Upgrade", "websocket") &&
           http_head_has_token(head, "Connection", "Upgrade");
}

int ws_judge_request(const struct http_head *request, char ret_accept[static WS_ACCEPT_SIZE])
{
    const char *version = http_head_get(request, "Sec-WebSocket-Version");
    if (strcmp(request->method, "GET") != 0) return 405;
    if (!asks_for_websocket(request)) return 400;
    if (!version || strcmp(version, "13") != 0) return 426;
    return ws_accept_of(http_head_get(request, "Sec-WebSocket-Key"), ret_accept) < 0 ? 400 : 101;
}

bool ws_judge_answer(const struct http_head *answer, const char *key)
{
    char expected[WS_ACCEPT_SIZE];
    const char *accept = http_head_get(answer, "Sec-WebSocket-Accept");
    if (answer->status != 101 || !asks_for_websocket(answer)) return false;
    return accept && ws_accept_of(key, expected) == 0 && strcmp(accept, expected) == 0;
}

/* ---- ends ---- */

/* The stream is over: no more output, and nothing more is looked at. */
static void finish(struct ws *ws, enum stream_end end, const char *what)
{
    event_del(&ws->ping);
    event_del(&ws->close_wait);
    evbuffer_drain(ws->out, evbuffer_get_length(ws->out));
    front_end(&ws->front, end, what);
    stream_shutdown(ws->below);
}

/* ---- output ---- */

/* Masking keys come from the generator in batches: one call each would cost more than the masking. */
static int next_mask(struct ws *ws, uint8_t ret_mask[static 4])
{
    if (ws->mask_left == 0) {
        int r = random_bytes(ws->options.mask, ws->options.mask_user, ws->mask_pool, sizeof(ws->mask_pool));
        if (r < 0) return r;
        ws->mask_left = sizeof(ws->mask_pool);
    }
    ws->mask_left -= 4;
    memcpy(ret_mask, ws->mask_pool + ws->mask_left, 4);
    return 0;
}

static void apply_mask(uint8_t *bytes, size_t len, const uint8_t mask[static 4])
{
    uint8_t twice[8];
    uint64_t wide, word;
    memcpy(twice, mask, 4);
    memcpy(twice + 4, mask, 4);
    memcpy(&wide, twice, 8);
    size_t i = 0;
    for (; i + 8 <= len; i += 8) {
        memcpy(&word, bytes + i, 8);
        word ^= wide;
        memcpy(bytes + i, &word, 8);
    }
    for (; i < len; i++) bytes[i] ^= mask[i % 4];
}

/* Writes the header of an unfragmented frame. Returns its length. */
static size_t put_header(uint8_t at[static WS_HEADER_MAX], uint8_t opcode, size_t len, const uint8_t *mask)
{
    size_t n = 2;
    at[0] = 0x80 | opcode;
    at[1] = mask ? 0x80 : 0;
    if (len <= 125) {
        at[1] |= (uint8_t)len;
    } else if (len <= 0xffff) {
        at[1] |= 126;
        at[n++] = (uint8_t)(len >> 8);
        at[n++] = (uint8_t)len;
    } else {
        at[1] |= 127;
        for (int shift = 56; shift >= 0; shift -= 8) at[n++] = (uint8_t)((uint64_t)len >> shift);
    }
    if (mask) memcpy(at + n, mask, 4);
    return mask ? n + 4 : n;
}

/* Builds a frame in place: header and payload side by side, and masked where they stand. The payload is the
 * next `len` bytes of `out`, or of `bytes` if that is not NULL. */
static int build_frame(struct ws *ws, uint8_t opcode, const void *bytes, size_t len)
{
    uint8_t header[WS_HEADER_MAX], mask[4];
    struct evbuffer_iovec space;
    int r = ws->is_client ? next_mask(ws, mask) : 0;
    if (r < 0) return r;
    size_t header_len = put_header(header, opcode, len, ws->is_client ? mask : NULL);
    if (evbuffer_reserve_space(ws->frames, (ev_ssize_t)(header_len + len), &space, 1) < 1) return -ENOMEM;
    uint8_t *payload = (uint8_t *)space.iov_base + header_len;
    memcpy(space.iov_base, header, header_len);
    if (bytes)
        memcpy(payload, bytes, len);
    else
        evbuffer_remove(ws->out, payload, len);
    if (ws->is_client) apply_mask(payload, len, mask);
    space.iov_len = header_len + len;
    return evbuffer_commit_space(ws->frames, &space, 1) < 0 ? -ENOMEM : 0;
}

/* A server's frame with the next `len` bytes of `out`, whose buffers move. */
static int move_frame(struct ws *ws, size_t len)
{
    uint8_t header[WS_HEADER_MAX];
    size_t header_len = put_header(header, WSLAY_BINARY_FRAME, len, NULL);
    if (evbuffer_add(ws->frames, header, header_len) < 0) return -ENOMEM;
    return evbuffer_remove_buffer(ws->out, ws->frames, len) == (int)len ? 0 : -ENOMEM;
}

/* Hands the built frame down; ends the stream if there is none. */
static bool send_built(struct ws *ws, int r)
{
    if (r < 0) {
        finish(ws, STREAM_END_RESET, "WebSocket: no memory or no masking key for a frame");
        return false;
    }
    stream_write(ws->below, ws->frames);
    return true;
}

static bool send_data(struct ws *ws)
{
    size_t len = evbuffer_get_length(ws->out);
    if (len > WS_FRAME_MAX) len = WS_FRAME_MAX;
    bool copy = ws->is_client || len < WS_COPY_MAX;
    return send_built(ws, copy ? build_frame(ws, WSLAY_BINARY_FRAME, NULL, len) : move_frame(ws, len));
}

static bool send_control(struct ws *ws, uint8_t opcode, const void *bytes, size_t len)
{
    return send_built(ws, build_frame(ws, opcode, bytes, len));
}

/* Sends a Close; code 1005 stands for one without a code. */
static bool send_close(struct ws *ws, uint16_t code)
{
    uint8_t payload[2] = {(uint8_t)(code >> 8), (uint8_t)code};
    event_del(&ws->ping);
    ws->sent_close = true;
    ws->code_sent = code;
    return send_control(ws, WSLAY_CONNECTION_CLOSE, payload, code == WSLAY_CODE_NO_STATUS_RCVD ? 0 : 2);
}

/* Both sides have closed. */
static void finish_closed(struct ws *ws)
{
    uint16_t code = ws->code_received;
    bool in_order = code == WSLAY_CODE_NORMAL_CLOSURE || code == WSLAY_CODE_GOING_AWAY ||
                    code == WSLAY_CODE_NO_STATUS_RCVD;
    char what[WS_WHAT_MAX];
    snprintf(what, sizeof(what), "WebSocket: the peer closed with %u", code);
    finish(ws, in_order ? STREAM_END_CLEAN : STREAM_END_RESET, in_order ? NULL : what);
}

static void wait_for_close(struct ws *ws)
{
    struct timeval tv = timeval_of(ws->options.close_timeout_ns);
    event_add(&ws->close_wait, &tv);
}

/* The user is done and all is sent: our Close, which answers the peer's if that came first. */
static void close_output(struct ws *ws)
{
    if (!send_close(ws, ws->got_close ? ws->code_received : WSLAY_CODE_NORMAL_CLOSURE)) return;
    if (ws->got_close)
        finish_closed(ws);
    else
        wait_for_close(ws);
}

static size_t ws_pending(const struct stream *s)
{
    const struct ws *ws = (const struct ws *)s;
    return evbuffer_get_length(ws->out) + stream_pending(ws->below);
}

static void note_output(struct ws *ws)
{
    size_t pending = ws_pending(&ws->stream);
    if (pending > STREAM_LOW_MARK) {
        ws->above_low = true;
    } else if (ws->above_low && ws->front.up) {
        ws->above_low = false;
        if (!ws->front.over) front_writable(&ws->front);
    }
}

static void pump(struct ws *ws)
{
    while (evbuffer_get_length(ws->out) > 0 && stream_pending(ws->below) < STREAM_HIGH_MARK) {
        if (!send_data(ws)) return;
    }
    if (ws->shut && !ws->sent_close && !ws->front.over && evbuffer_get_length(ws->out) == 0) close_output(ws);
    note_output(ws);
}

/* ---- input ---- */

static ssize_t on_wslay_recv(uint8_t *buf, size_t len, int flags, void *user)
{
    struct ws *ws = user;
    int n = evbuffer_remove(stream_input(ws->below), buf, len);
    return n > 0 ? n : -1;
}

static void refuse(struct ws *ws, uint16_t code, const char *why)
{
    char what[WS_WHAT_MAX];
    snprintf(what, sizeof(what), "WebSocket: %s (%u)", why, code);
    if (!ws->sent_close && !send_close(ws, code)) return;
    finish(ws, STREAM_END_PROTOCOL, what);
}

static bool is_close_code(uint16_t code)
{
    if (code >= 3000 && code <= 4999) return true;
    return code >= 1000 && code <= 1014 && code != 1004 && code != WSLAY_CODE_NO_STATUS_RCVD &&
           code != WSLAY_CODE_ABNORMAL_CLOSURE;
}

static void take_close(struct ws *ws)
{
    uint16_t code = WSLAY_CODE_NO_STATUS_RCVD;
    if (ws->control_len >= 2) code = (uint16_t)(ws->control[0] << 8 | ws->control[1]);
    if (ws->control_len == 1 || (ws->control_len >= 2 && !is_close_code(code))) {
        refuse(ws, WSLAY_CODE_PROTOCOL_ERROR, "a Close with a code that is none");
        return;
    }
    if (ws->control_len > 2 && !utf8_valid((const char *)ws->control + 2, ws->control_len - 2)) {
        refuse(ws, WSLAY_CODE_INVALID_FRAME_PAYLOAD_DATA, "a Close with a reason that is no text");
        return;
    }
    ws->got_close = true;
    ws->code_received = code;
    event_del(&ws->ping);
    front_eof(&ws->front);
    if (ws->sent_close) finish_closed(ws);
}

static void take_control(struct ws *ws, uint8_t opcode)
{
    if (opcode == WSLAY_CONNECTION_CLOSE)
        take_close(ws);
    else if (opcode == WSLAY_PING && !ws->sent_close)
        send_control(ws, WSLAY_PONG, ws->control, ws->control_len);
    ws->control_len = 0;
}

/* Judges the header of a frame that begins. False: refused. */
static bool begin_frame(struct ws *ws, const struct wslay_frame_iocb *frame)
{
    bool is_control = wslay_is_ctrl_frame(frame->opcode);
    bool continues = frame->opcode == WSLAY_CONTINUATION_FRAME;
    const char *why = NULL;
    if (frame->rsv != 0)
        why = "a frame of an extension";
    else if (!!frame->mask == ws->is_client)
        why = ws->is_client ? "a masked frame from a server" : "an unmasked frame from a client";
    else if (is_control ? frame->opcode > WSLAY_PONG : frame->opcode > WSLAY_BINARY_FRAME)
        why = "a frame of an unknown kind";
    else if (!is_control && continues != ws->in_message)
        why = continues ? "a continuation of nothing" : "a message inside another";
    if (why) {
        refuse(ws, WSLAY_CODE_PROTOCOL_ERROR, why);
        return false;
    }
    if (frame->opcode == WSLAY_TEXT_FRAME) {
        refuse(ws, WSLAY_CODE_UNSUPPORTED_DATA, "a text message");
        return false;
    }
    ws->frame_left = frame->payload_length;
    if (is_control) return true;
    ws->message_length = frame->payload_length + (continues ? ws->message_length : 0);
    if (ws->message_length > ws->options.max_message) {
        refuse(ws, WSLAY_CODE_MESSAGE_TOO_BIG, "a message beyond the limit");
        return false;
    }
    ws->in_message = !frame->fin;
    return true;
}

/* Takes a piece of a frame's payload. Returns how many bytes of it went to the user. */
static size_t take_piece(struct ws *ws, const struct wslay_frame_iocb *frame)
{
    ws->frame_left -= frame->data_length;
    if (!wslay_is_ctrl_frame(frame->opcode)) {
        if (evbuffer_add(ws->front.in, frame->data, frame->data_length) == 0) return frame->data_length;
        finish(ws, STREAM_END_RESET, "WebSocket: no memory for input");
        return 0;
    }
    memcpy(ws->control + ws->control_len, frame->data, frame->data_length);
    ws->control_len += frame->data_length;
    if (ws->frame_left == 0) take_control(ws, frame->opcode);
    return 0;
}

/* Takes what can be taken at once. Returns the bytes given to the user, or -1 when more input is needed. */
static ssize_t take_next(struct ws *ws)
{
    struct wslay_frame_iocb frame = {0};
    bool begins = ws->frame_left == 0;
    ssize_t n = wslay_frame_recv(ws->wslay, &frame);
    if (n == WSLAY_ERR_WANT_READ) return -1;
    if (n < 0) {
        refuse(ws, WSLAY_CODE_PROTOCOL_ERROR, "a broken frame header");
        return 0;
    }
    if (begins && !begin_frame(ws, &frame)) return 0;
    return (ssize_t)take_piece(ws, &frame);
}

/* Gives back to below all that the user is done with, and what was never the user's: headers and control
 * frames. */
static void settle(struct ws *ws)
{
    if (ws->taken <= ws->returned + ws->unconsumed) return;
    size_t credit = (size_t)(ws->taken - ws->returned - ws->unconsumed);
    ws->returned += credit;
    stream_consumed(ws->below, credit);
}

/* Parses what lies in the input below. `to_the_end`: although the answers to pings pile up, as below is over.
 */
static void parse(struct ws *ws, bool to_the_end)
{
    struct evbuffer *from = stream_input(ws->below);
    size_t before = evbuffer_get_length(from), given = 0;
    while (!ws->front.over && !ws->got_close && (to_the_end || stream_pending(ws->below) < WS_STALL)) {
        ssize_t n = take_next(ws);
        if (n < 0) break;
        given += (size_t)n;
    }
    /* After the end, or the peer's Close, what comes is of no interest. */
    if (ws->front.over || ws->got_close) evbuffer_drain(from, evbuffer_get_length(from));
    ws->taken += before - evbuffer_get_length(from);
    ws->unconsumed += given;
    ws->heard = true;
    settle(ws);
    if (given > 0) front_data(&ws->front);
    if (ws->sent_close && !ws->front.over) wait_for_close(ws);
}

/* ---- what below tells ---- */

static void arm_ping(struct ws *ws)
{
    struct timeval tv = timeval_of(ws->options.ping_interval_ns);
    if (ws->options.ping_interval_ns > 0 && !ws->sent_close && !ws->got_close) event_add(&ws->ping, &tv);
}

static void come_up(struct ws *ws)
{
    if (ws->front.up || ws->front.over) return;
    front_up(&ws->front);
    note_output(ws);
    arm_ping(ws);
}

static void on_below_ready(void *user)
{
    struct ws *ws = user;
    come_up(ws);
    front_tell(&ws->front);
}

static void on_below_data(void *user, struct evbuffer *in)
{
    struct ws *ws = user;
    come_up(ws);
    parse(ws, false);
    front_tell(&ws->front);
}

static void on_below_writable(void *user)
{
    struct ws *ws = user;
    if (ws->front.over) return;
    parse(ws, false);
    pump(ws);
    front_tell(&ws->front);
}

static void on_below_eof(void *user)
{
    struct ws *ws = user;
    come_up(ws);
    parse(ws, true);
    if (!ws->front.over && !ws->got_close) finish(ws, STREAM_END_RESET, "WebSocket: cut without a Close");
    front_tell(&ws->front);
}

static void on_below_ended(void *user, enum stream_end end, const char *what)
{
    struct ws *ws = user;
    if (evbuffer_get_length(stream_input(ws->below)) > 0) come_up(ws);
    parse(ws, true);
    if (end == STREAM_END_CLEAN)
        finish(ws, STREAM_END_RESET, "WebSocket: cut without a Close");
    else
        finish(ws, end, what);
    front_tell(&ws->front);
}

static const struct stream_handler below_handler = {
    .ready = on_below_ready,
    .data = on_below_data,
    .writable = on_below_writable,
    .eof = on_below_eof,
    .ended = on_below_ended,
};

/* ---- timers ---- */

/* Silence counts against the peer only while the user takes what comes: else pongs may be stuck behind it. */
static void on_ping(evutil_socket_t fd, short events, void *user)
{
    struct ws *ws = user;
    static const uint8_t payload[4] = "ping";
    if (ws->pinged && !ws->heard && ws->unconsumed == 0) {
        finish(ws, STREAM_END_RESET, "WebSocket: no answer to a ping");
    } else {
        ws->pinged = true;
        ws->heard = false;
        if (send_control(ws, WSLAY_PING, payload, sizeof(payload))) arm_ping(ws);
    }
    front_tell(&ws->front);
}

static void on_close_wait(evutil_socket_t fd, short events, void *user)
{
    struct ws *ws = user;
    finish(ws, STREAM_END_RESET, "WebSocket: no Close from the peer");
    front_tell(&ws->front);
}

/* ---- the stream above ---- */

static void ws_set_handler(struct stream *s, const struct stream_handler *h, void *user)
{
    front_set_handler(&ws_of(s)->front, h, user);
}

static struct evbuffer *ws_input(struct stream *s)
{
    return ws_of(s)->front.in;
}

/* After a call by the user. */
static void tell_later(struct ws *ws)
{
    if (ws->front.writable_due || ws->front.ended_due) front_defer(&ws->front);
}

static void ws_write(struct stream *s, struct evbuffer *bytes)
{
    struct ws *ws = ws_of(s);
    if (ws->shut || ws->front.over) {
        evbuffer_drain(bytes, evbuffer_get_length(bytes));
        return;
    }
    if (evbuffer_add_buffer(ws->out, bytes) < 0) {
        finish(ws, STREAM_END_RESET, "WebSocket: no memory for output");
    } else {
        pump(ws);
    }
    tell_later(ws);
}

static void ws_consumed(struct stream *s, size_t bytes)
{
    struct ws *ws = ws_of(s);
    ASSERT(bytes <= ws->unconsumed);
    ws->unconsumed -= bytes;
    settle(ws);
}

static void ws_shutdown(struct stream *s)
{
    struct ws *ws = ws_of(s);
    if (ws->shut || ws->front.over) return;
    ws->shut = true;
    pump(ws);
    tell_later(ws);
}

static void ws_release(struct ws *ws)
{
    event_del(&ws->ping);
    event_del(&ws->close_wait);
    if (ws->wslay) wslay_frame_context_free(ws->wslay);
    if (ws->out) evbuffer_free(ws->out);
    if (ws->frames) evbuffer_free(ws->frames);
    front_deinit(&ws->front);
    free(ws);
}

/* All that is queued goes below at once, however long: it is below's to flush, as long as it takes. */
static void flush_all(struct ws *ws)
{
    while (evbuffer_get_length(ws->out) > 0 && send_data(ws)) continue;
    if (ws->sent_close || ws->front.over) return;
    send_close(ws, ws->got_close ? ws->code_received : WSLAY_CODE_NORMAL_CLOSURE);
}

static void ws_free(struct stream *s, bool abort)
{
    struct ws *ws = ws_of(s);
    struct stream_front *front = &ws->front;
    if (!front->over && !abort) flush_all(ws);
    /* A Close that tells the peer why must not be cut off. */
    bool said_why = front->over && (front->end == STREAM_END_CLEAN || front->end == STREAM_END_PROTOCOL);
    stream_free(ws->below, abort && !said_why);
    ws_release(ws);
}

static const struct stream_ops ws_ops = {
    .set_handler = ws_set_handler,
    .input = ws_input,
    .write = ws_write,
    .pending = ws_pending,
    .consumed = ws_consumed,
    .shutdown = ws_shutdown,
    .free = ws_free,
};

static void set_options(struct ws *ws, const struct ws_options *options)
{
    if (options) ws->options = *options;
    if (!ws->options.max_message) ws->options.max_message = WS_DEFAULT_MAX_MESSAGE;
    if (!ws->options.close_timeout_ns) ws->options.close_timeout_ns = WS_DEFAULT_CLOSE_TIMEOUT_NS;
}

int ws_wrap(struct event_base *base, struct stream *below, bool is_client, const struct ws_options *options,
            struct stream **ret_stream)
{
    static const struct wslay_frame_callbacks callbacks = {.recv_callback = on_wslay_recv};
    struct ws *ws = calloc(1, sizeof(*ws));
    if (!ws) return -ENOMEM;
    if (front_init(&ws->front, base, NULL, ws) < 0) {
        free(ws);
        return -ENOMEM;
    }
    ws->stream.ops = &ws_ops;
    event_assign(&ws->ping, base, -1, 0, on_ping, ws);
    event_assign(&ws->close_wait, base, -1, 0, on_close_wait, ws);
    ws->out = evbuffer_new();
    ws->frames = evbuffer_new();
    if (!ws->out || !ws->frames || wslay_frame_context_init(&ws->wslay, &callbacks, ws) != 0) {
        ws_release(ws);
        return -ENOMEM;
    }
    ws->below = below;
    ws->is_client = is_client;
    set_options(ws, options);
    stream_set_handler(below, &below_handler, ws);
    *ret_stream = &ws->stream;
    return 0;
}

struct ws_close_codes ws_close_codes(const struct stream *s)
{
    const struct ws *ws = (const struct ws *)s;
    ASSERT(s->ops == &ws_ops);
    return (struct ws_close_codes){.sent = ws->code_sent, .received = ws->code_received};
}
