/*
 * The flows of a relay (edge, connector) on byte streams.
 *
 * Each end of a tunnel stream at a relay is a pipe: a wire and a stream. Bytes that arrive are announced to
 * the component as DATA M_BYTES of that size and stay where they are, in the stream's input; the component
 * passes the message on to its other flow, and there the pipe that is told to send it fetches them. The
 * message's `a` names the pipe that has them. When that much has gone out, CREDIT goes back the same way, and
 * the first stream's peer gets room for more. So a relay holds no more than the windows of its streams.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "sim/base/slab.h"
#include "sim/live/driver.h"
#include "sim/live/stream.h"

struct event_base;

/* All pipes of one surface. */
struct tunnel_pipes {
    struct slab slots; /* struct tunnel_pipe * */
};

struct tunnel_pipe {
    struct wire wire;
    struct tunnel_pipes *pipes;
    uint32_t id;
    struct stream *stream;                 /* owned; NULL before there is one */
    char *host;                            /* the name that the stream was opened for; owned */
    size_t announced;                      /* bytes of the input that the component knows of */
    uint32_t uncredited;                   /* bytes that went out, or will, without CREDIT */
    bool relaying;                         /* tunnel_pipe_start() was called */
    bool said_last, told_last, told_reset; /* to the peer; to the component */
    enum reset_cause fail_cause;
    struct event *fail_event; /* NULL: not needed so far */
};

/* -ENOMEM. */
int tunnel_pipes_init(struct tunnel_pipes *pipes);
void tunnel_pipes_deinit(struct tunnel_pipes *pipes);

/* Sets up a zeroed pipe, with a copy of `host`. -ENOMEM: nothing is held then. */
int tunnel_pipe_init(struct tunnel_pipe *p, struct tunnel_pipes *pipes, const char *host);

/* Frees what it holds: in order if both sides have said all, else its stream is reset. */
void tunnel_pipe_deinit(struct tunnel_pipe *p);

/* The host of the pipe that an OPEN came on (its e), NULL if that is gone. */
const char *tunnel_pipe_host(const struct tunnel_pipes *pipes, const struct msg *open);

/* Begins to relay on `p->stream`, which is up. */
void tunnel_pipe_start(struct tunnel_pipe *p);

/* Sends DATA or CREDIT. A RESET needs nothing: tunnel_pipe_deinit() comes with `over`. */
void tunnel_pipe_send(struct tunnel_pipe *p, const struct msg *m);

/* Tell the component: the peer has said all; the flow is broken (now, or from the loop, for use in a call in
 * which the driver does not know the wire yet). Each has an effect once. */
void tunnel_pipe_tell_last(struct tunnel_pipe *p);
void tunnel_pipe_tell_reset(struct tunnel_pipe *p, enum reset_cause cause);
void tunnel_pipe_fail(struct tunnel_pipe *p, struct event_base *base, enum reset_cause cause);

/* Tells the component that the stream was refused with a status; `unseen`: by the peer's surface, see
 * HTTP_UNSEEN_HEADER. */
void tunnel_pipe_tell_refused(struct tunnel_pipe *p, int status, bool unseen, nsec_t retry_after_ns);
