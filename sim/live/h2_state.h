/*
 * What the halves of the tunnel's HTTP/2 share: h2_tunnel.c, the connection and nghttp2's session, and
 * h2_stream.c, its streams. For these two alone.
 */
#pragma once

#include <event2/event.h>
#include <event2/event_struct.h>
#include <nghttp2/nghttp2.h>

#include "sim/base/list.h"
#include "sim/live/h2_tunnel.h"
#include "sim/live/stream_front.h"

enum {
    H2_WHAT_MAX = 160,   /* room for the line that explains an end */
    H2_HEADER_COST = 32, /* what a header counts beside its text, as in RFC 9113 */
};

struct h2 {
    struct stream *below;
    bool is_edge;
    struct h2_options options;
    const struct h2_callbacks *callbacks;
    void *user;
    struct event_base *base;
    nghttp2_session *session;
    struct evbuffer *frames; /* scratch: output on the way below; empty between calls */
    struct list streams;     /* all that are not freed */
    struct list fresh;       /* of them, those not shown to the connector's user yet, as they came */
    struct event turn;       /* shows what came and sends what is due, once for all that happens in a turn */
    struct event tell_closed;
    struct event settings_wait;
    struct event ping;
    size_t below_pending; /* what was pending below when the pump began */
    struct h2_counters counters;
    bool started; /* the stream below came up */
    bool got_settings;
    bool ready_due;
    bool draining_due;
    bool draining;     /* h2_drain() was called */
    bool final_goaway; /* the connector's second GOAWAY was queued */
    bool got_goaway;
    bool pinged; /* an answer is being waited for */
    bool heard;  /* something came since */
    bool over;
    uint32_t goaway_sent_code;
    uint32_t goaway_received_code;
    enum stream_end end;
    char what[H2_WHAT_MAX];
    bool *gone; /* set to true when h2 is freed inside a callback */
};

/* A request that arrives, until it is shown. */
struct h2_incoming {
    struct h2_request request;
    const char *host;
    size_t n_headers;
    size_t cost;
    size_t text_len;
    bool too_much;
    struct http_header headers[H2_HEADERS_MAX + 1];
    char text[H2_HEADER_BYTES_MAX];
};

struct h2_stream {
    struct stream stream;
    struct stream_front front;
    struct h2 *h2; /* NULL when the connection is gone */
    struct list link;
    struct list fresh;
    struct event linger;
    struct evbuffer *out;
    struct h2_incoming
        *incoming;     /* until it is shown: before that, it goes by itself when the peer takes it back */
    size_t unconsumed; /* arrived and not given back, whether told or not */
    int32_t id;
    int status;
    int arriving_status; /* of the header block that is arriving */
    bool open;           /* nghttp2 has it */
    bool starved;        /* nghttp2 waits for nghttp2_session_resume_data() */
    bool above_low;
    bool got_end;
    bool shut; /* nothing will be written any more */
    bool sent_end;
    bool reset_by_peer;
    bool orphan; /* freed by its user */
};

/* Has the connection's turn done soon: shows what came, sends what is due. */
static inline void h2_later(struct h2 *h2)
{
    if (!h2->over) event_active(&h2->turn, 0, 0);
}

static inline struct timeval h2_timeval(nsec_t ns)
{
    return (struct timeval){.tv_sec = (time_t)(ns / NSEC_PER_S),
                            .tv_usec = (suseconds_t)(ns % NSEC_PER_S / NSEC_PER_US)};
}

/* A stream of `h2` without an id yet. -ENOMEM. */
int h2_stream_new(struct h2 *h2, struct h2_stream **ret_s);
/* Frees it. */
void h2_stream_release(struct h2_stream *s);
/* Its user is told that it has ended. */
void h2_stream_end(struct h2_stream *s, enum stream_end end, const char *what);
/* Cuts it with an HTTP/2 error code; nghttp2 forgets whom it belonged to. */
void h2_stream_cut(struct h2_stream *s, uint32_t code);

/* What nghttp2 tells: edge: the connector's answer is there; the peer has said all; it was closed. The last
 * may free it. */
void h2_stream_answered(struct h2_stream *s, int status);
void h2_stream_got_end(struct h2_stream *s);
void h2_stream_closed(struct h2_stream *s, uint32_t code);

/* nghttp2's send_data_callback. */
int h2_stream_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *header, size_t length,
                        nghttp2_data_source *source, void *user);
