/*
 * WebSocket (RFC 6455) as a byte stream.
 *
 * What is written becomes binary messages below; what binary messages bring is one stream of bytes above,
 * where message borders do not show. Incoming frames are taken apart by wslay; text and extensions are
 * refused.
 *
 * Half close: stream_shutdown() sends Close once the output is flushed, and the peer's Close is `eof` to the
 * user, whose own Close goes out when it shuts down in turn. With both Closes exchanged the stream ends CLEAN
 * and the stream below is shut down. A stream below that stops without a Close is a RESET, and so is a Close
 * with a code that reports an error.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/base/nsec.h"
#include "sim/live/http1.h"
#include "sim/live/stream.h"

struct event_base;

enum {
    WS_KEY_SIZE = 25,         /* Sec-WebSocket-Key in text, with its NUL */
    WS_ACCEPT_SIZE = 29,      /* Sec-WebSocket-Accept in text, with its NUL */
    WS_FRAME_MAX = 64 * 1024, /* payload of a frame that is sent */
};

/* Fills `buf` with `len` unpredictable bytes. 0, or a negative errno. */
typedef int ws_random_fn(void *user, void *buf, size_t len);

/* A new Sec-WebSocket-Key. `random` NULL: OpenSSL's generator. 0, or a negative errno. */
int ws_make_key(ws_random_fn *random, void *random_user, char ret_key[static WS_KEY_SIZE]);

/* The Sec-WebSocket-Accept that answers `key`. 0, or -EINVAL when `key` is not 16 bytes in base64. */
int ws_accept_of(const char *key, char ret_accept[static WS_ACCEPT_SIZE]);

/* The headers of a client's upgrade request, ended by a NULL name; they point at `key`. */
enum { WS_CLIENT_HEADERS = 5 };
void ws_client_headers(const char *key, struct http_header ret_headers[static WS_CLIENT_HEADERS]);

/* The headers of a server's answer 101, ended by a NULL name; they point at `accept`. */
enum { WS_SERVER_HEADERS = 4 };
void ws_server_headers(const char *accept, struct http_header ret_headers[static WS_SERVER_HEADERS]);

/* How a server answers `request`: the status 101 (then `ret_accept` is set), 400, 405 (not GET) or 426
 * (another version; the answer should carry `Sec-WebSocket-Version: 13`). */
int ws_judge_request(const struct http_head *request, char ret_accept[static WS_ACCEPT_SIZE]);

/* Whether `answer` grants the upgrade that was asked for with `key`. */
bool ws_judge_answer(const struct http_head *answer, const char *key);

/* Zero in a member means the default in brackets. */
struct ws_options {
    uint64_t max_message;    /* bytes of one message; more is refused with 1009 [16 MiB] */
    nsec_t ping_interval_ns; /* how often a ping is sent; one that brings nothing until the next is a RESET
                                [never] */
    nsec_t close_timeout_ns; /* silence allowed between our Close and the peer's [30 s] */
    ws_random_fn *mask;      /* a client's masking keys [OpenSSL's generator] */
    void *mask_user;
};

/* Puts a WebSocket on `below`, where the upgrade is done; what follows the upgrade may lie in its input
 * already. `below` belongs to the new stream (on failure it still is the caller's). `options` may be NULL.
 * -ENOMEM. */
int ws_wrap(struct event_base *base, struct stream *below, bool is_client, const struct ws_options *options,
            struct stream **ret_stream);

/* The codes of the Close frames of a stream from ws_wrap(): 0 while there was none, 1005 for one without a
 * code. */
struct ws_close_codes {
    uint16_t sent;
    uint16_t received;
};
struct ws_close_codes ws_close_codes(const struct stream *ws);
