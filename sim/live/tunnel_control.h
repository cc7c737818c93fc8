/* clang-format off: lines that show a protocol */
/*
 * The registration protocol on a tunnel's control stream: one JSON object a line, LF at the end.
 *
 * connector to edge:
 *     {"register":{"tunnel":"…","token":"…","connection":0,"connector":"…"}}   once, first
 *     {"unregister":{}}                                       to drain: send no new streams
 *     {"pong":{}}                                             the answer to a ping
 * edge to connector:
 *     {"registered":{"connection":"id","location":"loopback"}}                 accepted
 *     {"refused":{"error":"…","retry_after_ms":null}}         or not; a number: try again then
 *     {"draining":{}}                                         the edge will go away
 *     {"ping":{}}                                             is the connector there?
 *
 * Pings are so many that tunnel_link.c writes them, and knows them, by their bytes; to this codec they are
 * TUNNEL_CONTROL_E_UNKNOWN.
 *
 * This is the codec alone; who may say what, and when, is decided elsewhere. Members that are not named here
 * are ignored, so that either side may be newer than the other.
 */
/* clang-format on */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct evbuffer;

enum {
    TUNNEL_CONTROL_LINE_MAX = 8 * 1024, /* bytes of a line, without its LF */
    TUNNEL_CONTROL_NAME_MAX = 256,      /* room for a name or id */
    TUNNEL_CONTROL_TOKEN_MAX = 2048,    /* room for a token */
    TUNNEL_CONTROL_ERROR_MAX = 512,     /* room for an error's text */
    TUNNEL_CONTROL_WHY_MAX = 128,
};

enum tunnel_control_kind {
    TUNNEL_CONTROL_REGISTER = 1,
    TUNNEL_CONTROL_REGISTERED,
    TUNNEL_CONTROL_REFUSED,
    TUNNEL_CONTROL_UNREGISTER,
    TUNNEL_CONTROL_DRAINING,
};

/* One message. Text is UTF-8 without control characters. */
struct tunnel_control {
    enum tunnel_control_kind kind;
    union {
        struct {
            char tunnel[TUNNEL_CONTROL_NAME_MAX];
            char token[TUNNEL_CONTROL_TOKEN_MAX];
            uint32_t connection; /* its number at this connector, from 0 */
            char connector[TUNNEL_CONTROL_NAME_MAX];
        } register_;
        struct {
            char connection[TUNNEL_CONTROL_NAME_MAX]; /* the edge's id for it */
            char location[TUNNEL_CONTROL_NAME_MAX];
        } registered;
        struct {
            char error[TUNNEL_CONTROL_ERROR_MAX];
            bool may_retry;
            uint64_t retry_after_ms; /* only if `may_retry` */
        } refused;
    };
};

enum {
    TUNNEL_CONTROL_E_MORE = 1,  /* no whole line yet */
    TUNNEL_CONTROL_E_TOO_LONG,  /* a line beyond the limit: the peer is broken */
    TUNNEL_CONTROL_E_MALFORMED, /* not JSON, or a member is missing, of another type or too long */
    TUNNEL_CONTROL_E_UNKNOWN,   /* well-formed, of a kind that is not known: may be skipped */
};

/* Appends `message` as a line to `out`. -EINVAL: an unknown kind, text that is no UTF-8; -EMSGSIZE: the line
 * would be too long; -ENOMEM. */
int tunnel_control_encode(const struct tunnel_control *message, struct evbuffer *out);

/* Decodes one line of `len` bytes, without its LF. 0, TUNNEL_CONTROL_E_MALFORMED with one clear line in
 * `ret_why` (may be NULL), TUNNEL_CONTROL_E_UNKNOWN, or -ENOMEM. */
int tunnel_control_decode(const char *line, size_t len, struct tunnel_control *ret_message,
                          char ret_why[TUNNEL_CONTROL_WHY_MAX]);

/* Takes the next line out of `in` and decodes it; `ret_taken` (set in every case) is how many bytes that
 * took, for stream_consumed(). Results as above, and TUNNEL_CONTROL_E_MORE and TUNNEL_CONTROL_E_TOO_LONG,
 * which take none. */
int tunnel_control_read(struct evbuffer *in, struct tunnel_control *ret_message, size_t *ret_taken,
                        char ret_why[TUNNEL_CONTROL_WHY_MAX]);
