/*
 * A byte stream: what TCP, TLS, a WebSocket and an HTTP/2 stream have in common.
 *
 * Layers stack by holding the stream below and offering a stream above: HTTP/1.1 over inner TLS over
 * WebSocket frames over HTTP/2 over outer TLS over TCP is six of them, and none knows what it stands on.
 *
 * Single-threaded. Callbacks never run inside a call to one of the functions below: a layer defers them to
 * the event loop, so that no caller is re-entered. Every function below may be called inside any callback,
 * also stream_free(); so a layer must look whether it is still there after it called back.
 *
 * A new handler need not know the past: stream_set_handler() makes the loop tell it what holds already, in
 * this order: `ready` (if the stream is up), `data` (if input lies unread), `eof`, `ended`. So handing a
 * stream over, the leftover of an HTTP upgrade for one, is one call of stream_set_handler().
 *
 * Flow control. Input: a layer stops reading while the bytes that it appended to its input and that were not
 * yet reported by stream_consumed() reach its window (STREAM_WINDOW, where it has no option of its own).
 * Output: stream_write() takes everything; a writer bounds it by stopping while stream_pending() is above a
 * limit of its own, at least STREAM_LOW_MARK, and going on at `writable`.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct evbuffer;
struct stream;

enum {
    STREAM_LOW_MARK = 64 * 1024,   /* `writable` is reported when the output falls to this */
    STREAM_HIGH_MARK = 128 * 1024, /* where the layers here stop filling the layer below */
    STREAM_WINDOW = 256 * 1024,    /* input delivered and not consumed */
};

/* Why a stream ended. */
enum stream_end {
    STREAM_END_CLEAN,    /* both directions closed in order (FIN after close_notify, END_STREAM, …) */
    STREAM_END_RESET,    /* cut: RST, EOF without close_notify, RST_STREAM, a lost carrier */
    STREAM_END_REFUSED,  /* never came up: connection refused, no route */
    STREAM_END_TIMEOUT,  /* never came up in time */
    STREAM_END_TLS,      /* handshake or certificate failure */
    STREAM_END_PROTOCOL, /* the peer broke the layer's protocol */
};

/* What the user of a stream wants to hear. Any member may be NULL. */
struct stream_handler {
    /* The stream is up: connected, handshake done, upgrade answered. Once for each handler that is set,
     * before any other callback but `ended`. Writing does not have to wait for it. */
    void (*ready)(void *user);
    /* Bytes arrived and were appended to `in`, which is stream_input(). The user drains what it wants and
     * must later call stream_consumed() for what it drained; what stays in `in` stops the peer at the
     * stream's window. Not called again for bytes that were left there, until more come or a handler is set.
     */
    void (*data)(void *user, struct evbuffer *in);
    /* The output fell to or below STREAM_LOW_MARK after it had been above it. */
    void (*writable)(void *user);
    /* The peer has finished sending (half close); writing is still allowed. */
    void (*eof)(void *user);
    /* The stream is over, nothing follows; once. `what` is one clear line for a person or NULL; valid in the
     * call only. CLEAN comes only after `eof` and a stream_shutdown() of one's own that was flushed. The user
     * still owns the stream and frees it (stream_free() is allowed here). */
    void (*ended)(void *user, enum stream_end end, const char *what);
};

struct stream_ops {
    void (*set_handler)(struct stream *s, const struct stream_handler *h, void *user);
    struct evbuffer *(*input)(struct stream *s);
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

/* Names who is called from now on. `h` must outlive the stream; NULL silences it. See above for what a new
 * handler is told. */
static inline void stream_set_handler(struct stream *s, const struct stream_handler *h, void *user)
{
    s->ops->set_handler(s, h, user);
}

/* The input: the same buffer for the whole life of the stream, owned by it. */
static inline struct evbuffer *stream_input(struct stream *s)
{
    return s->ops->input(s);
}

/* Moves all of `bytes` to the output. Never blocks; look at stream_pending() to bound it. Allowed before the
 * stream is up; bytes written after stream_shutdown() or after the end are dropped. */
static inline void stream_write(struct stream *s, struct evbuffer *bytes)
{
    s->ops->write(s, bytes);
}

/* Bytes written and not yet handed to the kernel, over all layers that this stream has for itself (so a TLS
 * stream counts what its TCP stream still holds, ciphertext, and an HTTP/2 stream does not count its
 * siblings). */
static inline size_t stream_pending(const struct stream *s)
{
    return s->ops->pending(s);
}

/* Gives the peer room for `bytes` more: the user is done with that many. */
static inline void stream_consumed(struct stream *s, size_t bytes)
{
    s->ops->consumed(s, bytes);
}

/* Ends the sending direction in order once the output is flushed (close_notify, FIN, END_STREAM). Again: no
 * effect. */
static inline void stream_shutdown(struct stream *s)
{
    s->ops->shutdown(s);
}

/* Frees the stream and the layers that it owns. `abort`: at once with a reset (RST, RST_STREAM), queued
 * output is dropped; otherwise queued output is flushed first, in the background, for a bounded time. NULL is
 * allowed. No callback follows. */
static inline void stream_free(struct stream *s, bool abort)
{
    if (s) s->ops->free(s, abort);
}
