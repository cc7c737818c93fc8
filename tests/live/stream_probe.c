#include "tests/live/stream_probe.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "sim/base/mix.h"
#include "sim/base/panic.h"

enum { PENDING_MAX = 128 * 1024, PIECE = 16 * 1024, MARGIN = 8 };

uint8_t probe_pattern(uint64_t i)
{
    return (uint8_t)(mix64(i / 8 + 1) >> (i % 8 * 8));
}

static void fill(uint8_t *at, uint64_t from, size_t len)
{
    for (size_t i = 0; i < len; i++) at[i] = probe_pattern(from + i);
}

static void send_more(struct probe *p)
{
    struct evbuffer *bytes = evbuffer_new();
    ASSERT(bytes);
    while (p->stream && p->sent < p->to_send && stream_pending(p->stream) <= PENDING_MAX) {
        uint8_t piece[PIECE];
        size_t len = p->to_send - p->sent < PIECE ? (size_t)(p->to_send - p->sent) : PIECE;
        fill(piece, p->sent, len);
        p->sent += len;
        evbuffer_add(bytes, piece, len);
        stream_write(p->stream, bytes);
    }
    evbuffer_free(bytes);
    if (p->sent == p->to_send && p->shut_when_sent) {
        p->shut_when_sent = false;
        stream_shutdown(p->stream);
    }
}

static void check(struct probe *p, struct evbuffer *in)
{
    struct evbuffer_iovec piece;
    uint64_t at = p->received;
    struct evbuffer_ptr pos;
    evbuffer_ptr_set(in, &pos, 0, EVBUFFER_PTR_SET);
    for (size_t left = evbuffer_get_length(in); left > 0; left -= piece.iov_len) {
        evbuffer_peek(in, -1, &pos, &piece, 1);
        const uint8_t *bytes = piece.iov_base;
        for (size_t i = 0; i < piece.iov_len; i++)
            if (bytes[i] != probe_pattern(at + i)) p->bad = true;
        at += piece.iov_len;
        evbuffer_ptr_set(in, &pos, piece.iov_len, EVBUFFER_PTR_ADD);
    }
}

static void take(struct probe *p, struct evbuffer *in)
{
    size_t len = evbuffer_get_length(in);
    if (len == 0) return;
    if (p->flags & PROBE_CHECK) check(p, in);
    p->received += len;
    if (p->flags & PROBE_ECHO) {
        stream_write(p->stream, in);
    } else if (p->flags & PROBE_KEEP) {
        evbuffer_add_buffer(p->got, in);
    } else {
        evbuffer_drain(in, len);
    }
    stream_consumed(p->stream, len);
}

static void on_ready(void *user)
{
    struct probe *p = user;
    if (p->ready || p->ended) p->bad = true;
    p->ready++;
}

static void on_data(void *user, struct evbuffer *in)
{
    struct probe *p = user;
    if (!p->ready || p->eof || p->ended || in != stream_input(p->stream)) p->bad = true;
    if (!(p->flags & PROBE_HOLD)) take(p, in);
}

static void on_writable(void *user)
{
    struct probe *p = user;
    if (!p->ready || p->ended) p->bad = true;
    p->writable++;
    send_more(p);
}

static void on_eof(void *user)
{
    struct probe *p = user;
    if (!p->ready || p->eof || p->ended) p->bad = true;
    p->eof++;
    if (p->flags & (PROBE_ECHO | PROBE_SHUT_AT_EOF)) stream_shutdown(p->stream);
}

static void on_ended(void *user, enum stream_end end, const char *what)
{
    struct probe *p = user;
    if (p->ended) p->bad = true;
    p->ended++;
    p->end = end;
    snprintf(p->what, sizeof(p->what), "%s", what ? what : "");
    if (!(p->flags & PROBE_FREE_AT_END)) return;
    stream_free(p->stream, false);
    p->stream = NULL;
}

static const struct stream_handler handler = {
    .ready = on_ready,
    .data = on_data,
    .writable = on_writable,
    .eof = on_eof,
    .ended = on_ended,
};

void probe_init(struct probe *p, struct stream *s, unsigned flags)
{
    *p = (struct probe){.stream = s, .flags = flags, .got = evbuffer_new()};
    ASSERT(p->got);
    stream_set_handler(s, &handler, p);
}

void probe_deinit(struct probe *p)
{
    stream_free(p->stream, true);
    if (p->got) evbuffer_free(p->got);
    *p = (struct probe){0};
}

void probe_send(struct probe *p, uint64_t len, bool then_shut)
{
    p->to_send += len;
    p->shut_when_sent = then_shut;
    send_more(p);
}

void probe_write(struct probe *p, const void *bytes, size_t len)
{
    struct evbuffer *b = evbuffer_new();
    ASSERT(b);
    evbuffer_add(b, bytes, len);
    stream_write(p->stream, b);
    evbuffer_free(b);
}

void probe_puts(struct probe *p, const char *text)
{
    probe_write(p, text, strlen(text));
}

void probe_resume(struct probe *p)
{
    p->flags &= ~(unsigned)PROBE_HOLD;
    take(p, stream_input(p->stream));
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A loop must not sleep past the caller's limit when nothing comes. */
static void on_tick(evutil_socket_t fd, short events, void *user) {}

static bool run(struct event_base *base, double limit_s, bool (*done)(const void *arg, uint64_t enough),
                const void *arg, uint64_t enough)
{
    struct timeval tv = {.tv_usec = 20000};
    struct event *tick = event_new(base, -1, EV_PERSIST, on_tick, NULL);
    double limit = now_s() + limit_s;
    ASSERT(tick && event_add(tick, &tv) == 0);
    while (!done(arg, enough) && now_s() < limit) event_base_loop(base, EVLOOP_ONCE);
    event_free(tick);
    return done(arg, enough);
}

static bool is_set(const void *arg, uint64_t enough)
{
    return *(const int *)arg != 0;
}

static bool is_enough(const void *arg, uint64_t enough)
{
    return *(const uint64_t *)arg >= enough;
}

bool run_until(struct event_base *base, const int *flag)
{
    return run(base, MARGIN, is_set, flag, 0);
}

bool run_until_count(struct event_base *base, const uint64_t *count, uint64_t enough)
{
    return run(base, 4 * MARGIN, is_enough, count, enough);
}

void run_idle(struct event_base *base)
{
    for (int i = 0; i < 2000; i++) event_base_loop(base, EVLOOP_NONBLOCK);
}
