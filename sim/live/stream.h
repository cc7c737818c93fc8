/*
 * A byte stream: what TCP, TLS, a WebSocket and an HTTP/2 stream have in common.
 *
 * Layers stack by holding the stream below and offering a stream above: HTTP/1.1 over inner TLS over WebSocket
 * frames over HTTP/2 over outer TLS over TCP is six of them, and none knows what it stands on.
 *
 * Single-threaded. Callbacks never run inside a call to stream_write(), stream_consumed(), stream_shutdown() or
 * stream_free(): a layer defers them to the event loop, so that no caller is re-entered.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct evbuffer;
struct stream;

/* Why a stream ended. */
enum stream_end {
    STREAM_END_CLEAN,     /* the peer closed in order (FIN after close_notify, WebSocket close, END_STREAM) */
    STREAM_END_RESET,     /* cut: RST, EOF without close_notify, RST_STREAM, a lost carrier */
    STREAM_END_REFUSED,   /* never came up: connection refused, no route */
    STREAM_END_TIMEOUT,   /* never came up in time */
    STREAM_END_TLS,       /* handshake or certificate failure */
    STREAM_END_PROTOCOL,  /* the peer broke the layer's protocol */
};

/* What the user of a stream wants to hear. Any member may be NULL. */
struct stream_handler {
    /* The stream is up: connected, handshake done, upgrade answered. Once, before any other callback but `ended`. */
    void (*ready)(void *user);
    /* Bytes arrived and were appended to `in`. The user drains what it wants and must later call
     * stream_consumed() for what it drained; what stays in `in` stops the peer at the stream's window. */
    void (*data)(void *user, struct evbuffer *in);
    /* The output fell to or below the low mark after it had been above the high mark. */
    void (*writable)(void *user);
    /* The peer has finished sending (half close); writing is still allowed. */
    void (*eof)(void *user);
    /* The stream is over, nothing follows. `what` is one clear line for a person or NULL; valid in the call only.
     * The user still owns the stream and frees it (stream_free() is allowed here). */
    void (*ended)(void *user, enum stream_end end, const char *what);
};

struct stream_ops {
    void (*set_handler)(struct stream *s, const struct stream_handler *h, void *user);
    void (*write)(struct stream *s, struct evbuffer *bytes);
    size_t (*pending)(const struct stream *s);
    void (*consumed)(struct stream *s, size_t bytes);
    void (*shutdown)(struct stream *s);
    void (*free)(struct stream *s, bool abort);
};

/* The first member of every layer's own struct. */
struct stream {
    const struct stream_ops *ops;
};

/* Names who is called from now on. `h` must outlive the stream; NULL silences it. */
static inline void stream_set_handler(struct stream *s, const struct stream_handler *h, void *user)
{
    s->ops->set_handler(s, h, user);
}

/* Moves all of `bytes` to the output. Never blocks; look at stream_pending() to bound it. */
static inline void stream_write(struct stream *s, struct evbuffer *bytes) { s->ops->write(s, bytes); }

/* Bytes written and not yet handed to the layer below (for TCP: to the kernel). */
static inline size_t stream_pending(const struct stream *s) { return s->ops->pending(s); }

/* Gives the peer room for `bytes` more: the user is done with that many. */
static inline void stream_consumed(struct stream *s, size_t bytes) { s->ops->consumed(s, bytes); }

/* Ends the sending direction in order once the output is flushed (close_notify, FIN, END_STREAM). */
static inline void stream_shutdown(struct stream *s) { s->ops->shutdown(s); }

/* Frees the stream and the layers that it owns. `abort`: at once with a reset (RST, RST_STREAM), queued output is dropped;
 * otherwise queued output is flushed first, in the background, for a bounded time. NULL is allowed. No callback follows. */
static inline void stream_free(struct stream *s, bool abort)
{
    if (s) s->ops->free(s, abort);
}
