/*
 * TCP: streams over non-blocking sockets, dialed or accepted, on a libevent base.
 */
#pragma once

#include "sim/base/nsec.h"
#include "sim/live/stream.h"

struct event_base;
struct tcp_listener;
struct tcp_hold;

enum {
    TCP_BACKLOG = 4096,
    TCP_BASE_IDLE = 2,    /* for event_priority_set(); what is set to nothing has 1 */
    TCP_ADDRESS_MAX = 64, /* "[ipv6%scope]:port" and its NUL */
};

/* Zero in a member means the default in brackets. */
struct tcp_options {
    /* For dials [10 s]. */
    nsec_t connect_timeout_ns;
    /* How long a freed stream waits for its flush to make progress, 150 times at most, and then for the
     * peer's FIN [2 s]. */
    nsec_t linger_ns;
    /* Unconsumed input at which reading stops, bytes [STREAM_WINDOW]. It may be passed by one read. */
    size_t window;
    /* SO_SNDBUF and SO_RCVBUF in bytes [the kernel's]. The kernel's send buffer hides a slow reader for
     * megabytes; one below 64 KiB, a segment on loopback, stalls on delayed acknowledgements there. */
    int sndbuf, rcvbuf;
    /* For dials: local "ip", "[ip6]" or either with ":port" [any]. */
    const char *source;
};

/* A base as the streams want it: precise timers, the epoll change list, no locks, a priority below the usual
 * (TCP_BASE_IDLE): such an event waits until a look at all descriptors and timers found nothing else to do.
 * For the whole process, SIGPIPE is ignored and the heap keeps up to 32 MiB of freed memory from then on. The
 * caller frees the base with tcp_base_free(). -ENOMEM. */
int tcp_base_new(struct event_base **ret_base);

/* Frees a base, after everything that lives on it. Freed streams that still flush, or wait for their peer's
 * end, are given at most `patience` for that (0: none); what is left of them then is cut. NULL is allowed. */
void tcp_base_free(struct event_base *base, nsec_t patience);

/* Whether it is a numeric address with a port, as one to dial (not port 0) or to listen on. */
bool tcp_is_address(const char *address, bool dialed);

/* Starts to connect to a numeric `address`, "127.0.0.1:80" or "[::1]:80". Whether it worked is told by
 * `ready` or `ended` (REFUSED, TIMEOUT), also when it is known at once. `o` may be NULL. -EINVAL: `address`
 * or `o->source` is no numeric address with a port; -EMFILE and the like: no socket. */
int tcp_dial(struct event_base *base, const char *address, const struct tcp_options *o,
             struct stream **ret_stream);

/* Wraps a connected, non-blocking socket; the stream owns `fd` from then on. -ENOMEM. */
int tcp_wrap(struct event_base *base, int fd, const struct tcp_options *o, struct stream **ret_stream);

/* A connection came in. The stream is the callee's. `peer` is "ip:port", valid in the call only. */
typedef void tcp_accept_fn(void *user, struct stream *s, const char *peer);

/* Listens on a numeric "ip:port" (port 0: any free one) with TCP_NODELAY, SO_REUSEADDR and TCP_BACKLOG. When
 * the process is out of descriptors, it rests for 100 ms. `o` applies to the accepted streams and may be
 * NULL. -EINVAL: bad address; -EADDRINUSE, -EACCES, …: the system's. */
int tcp_listener_new(struct event_base *base, const char *address, const struct tcp_options *o,
                     tcp_accept_fn *accepted, void *user, struct tcp_listener **ret_listener);

/* Why a listener could not be made, for "cannot listen on ADDRESS: …". Static. */
const char *tcp_listen_why(int error);

/* Until it is released, listeners that are made on `base` have their address but refuse connections: what
 * takes time to set up can be there from one moment to the next. -ENOMEM. */
int tcp_hold_new(struct event_base *base, struct tcp_hold **ret);
/* Listens now, and frees the hold. 0, or the negative errno of the first that could not. NULL is allowed. */
int tcp_hold_release(struct tcp_hold *h);

/* The port that is listened on, in host order. */
int tcp_listener_port(const struct tcp_listener *l);

/* Stops accepting and closes the socket; accepted streams live on. NULL is allowed. */
void tcp_listener_free(struct tcp_listener *l);
