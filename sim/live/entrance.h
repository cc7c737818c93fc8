/*
 * A plain door to the tunnels, for clients that know nothing of them: HTTP on TCP in front, a tunnel stream
 * behind. Of the first request on a connection it reads the head, to know the Host; then a stream for that
 * Host is opened, and all bytes of the connection, that head first, go through it untouched, both ways. So a
 * connection belongs to one host.
 *
 * It answers itself only when there is no way: the status that the edge gave (404, 502, 503, …), 502 when the
 * edge cannot be reached or the inner TLS fails, 400, 408 and 431 for a head that is none.
 */
#pragma once

#include "sim/live/tunnel_stream.h"

struct entrance;

struct entrance_options {
    const char *listen;             /* numeric "ip:port", port 0: any free one */
    struct tunnel_outside *outside; /* borrowed, must outlive the entrance */
    unsigned connections_max;       /* further ones are closed; 0: 1024 */
    nsec_t head_timeout_ns;         /* 0: 10 s */
};

/* -EINVAL, -EADDRINUSE, …: the listener's; -ENOMEM. */
int entrance_new(struct event_base *base, const struct entrance_options *o, struct entrance **ret_entrance);
int entrance_port(const struct entrance *e);
/* Cuts all connections. NULL is allowed. */
void entrance_free(struct entrance *e);
