/*
 * The upper side of a stream layer: who is told what, in which order, and never inside a call. TCP, TLS and
 * whatever else offers a stream embed one.
 *
 * A layer notes what happened (front_up(), front_data(), …) and then either tells at once, where it was
 * called by the event loop (front_tell()), or lets the loop tell (front_defer()), where it was called by its
 * user.
 */
#pragma once

#include "sim/live/stream.h"

#include <event2/event_struct.h>

struct event_base;
struct evbuffer;

struct stream_front {
    const struct stream_handler *handler;
    void *user;
    struct evbuffer *in; /* what stream_input() gives */
    struct event defer;
    void (*work)(
        void *layer); /* run by the loop before it tells, for work that a call put off; may be NULL */
    void *layer;
    bool *gone; /* set while telling: becomes true if the stream is freed meanwhile */
    enum stream_end end;
    char *what;
    bool up, eof, over; /* what holds */
    bool ready_due, data_due, writable_due, eof_due, ended_due;
};

/* `work` and `layer` see above. -ENOMEM. */
int front_init(struct stream_front *f, struct event_base *base, void (*work)(void *layer), void *layer);

/* Frees the input; a front_tell() that is under way returns false. */
void front_deinit(struct stream_front *f);

/* The set_handler of a layer. */
void front_set_handler(struct stream_front *f, const struct stream_handler *h, void *user);

/* Lets the loop run `work` and tell what is due. */
void front_defer(struct stream_front *f);

/* Note what happened. `ended` wins once: later ends are ignored. `what` is copied and may be NULL. */
void front_up(struct stream_front *f);
void front_data(struct stream_front *f);
void front_writable(struct stream_front *f);
void front_eof(struct stream_front *f);
void front_end(struct stream_front *f, enum stream_end end, const char *what);

/* Tells what is due: ready, data, writable, eof, ended. False: the stream is gone, do not touch it again.
 * Only from the event loop. */
bool front_tell(struct stream_front *f);
