/*
 * How long the user of a stream waits for its peer: for what the peer has to send, until a deadline, and for
 * it to take what is written, of which some has to go in each `patience_ns`.
 *
 * The kernel takes bytes only as the peer's kernel does, so a peer that reads slowly, or pauses for less,
 * makes progress; one that reads nothing stops what is pending, and is to blame for it. A writer that has
 * nothing to say leaves nothing pending, and may say nothing for ever.
 */
#pragma once

#include "sim/base/nsec.h"
#include "sim/live/stream.h"

#include <event2/event.h>
#include <event2/event_struct.h>

struct evbuffer;

struct stream_watch {
    struct stream *stream;
    struct event timer;
    nsec_t patience_ns;
    nsec_t deadline;  /* NSEC_MAX: nothing is waited for */
    nsec_t stalls_at; /* unless some output goes before; NSEC_MAX: none was pending at the last look */
    nsec_t timer_at;  /* the timer may be set earlier than needed: it looks then */
    size_t pending;   /* at the last look */
};

enum stream_watch_due {
    STREAM_WATCH_GOES_ON,
    STREAM_WATCH_LATE,    /* the deadline is over; it has to be set anew, or cleared */
    STREAM_WATCH_STALLED, /* the peer takes nothing */
};

/* Watches `stream`. `due` is called by the loop, with `user` for its last argument, when stream_watch_due()
 * is to be asked. */
void stream_watch_init(struct stream_watch *w, struct event_base *base, struct stream *stream,
                       nsec_t patience_ns, event_callback_fn due, void *user);
/* The stream is not touched: it may be gone. */
void stream_watch_deinit(struct stream_watch *w);

/* Moves the deadline to `wait_ns` from now. */
void stream_watch_set_deadline(struct stream_watch *w, nsec_t wait_ns);
void stream_watch_clear_deadline(struct stream_watch *w);

/* stream_write(); all output that is to be watched goes this way. */
void stream_watch_write(struct stream_watch *w, struct evbuffer *bytes);

/* What is due now. Sets the timer for what will be. */
enum stream_watch_due stream_watch_due(struct stream_watch *w);
