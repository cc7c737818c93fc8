/*
 * The control stream of a tunnel's connection, between the flow of M_REGISTER at one end and the lines of
 * tunnel_control.h on the wire. M_PING and M_PONG are lines of their own: {"ping":{}}, {"pong":{}}.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "sim/live/stream.h"
#include "sim/live/tunnel_control.h"
#include "sim/world/msg.h"

struct tunnel_link;

struct tunnel_link_handler {
    /* The first line, by which the flow begins or is answered: register at the edge, registered or refused at
     * the connector. All members must be there. */
    void (*first)(void *user, const struct tunnel_control *message);
    /* A later line as a message for the flow: DATA M_PING, M_PONG or M_UNREGISTER. */
    void (*told)(void *user, struct msg m);
    /* The peer has said all. */
    void (*last)(void *user);
    /* What came was not understood, or the stream is over but for CLEAN. Nothing follows. */
    void (*broken)(void *user, enum reset_cause cause, const char *what);
};

struct tunnel_link {
    struct stream *stream; /* NULL before there is one */
    const struct tunnel_link_handler *handler;
    void *user;
    bool is_edge;
    bool begun; /* the first line has come */
    bool over;  /* `broken` was told */
};

/* Takes the control stream, which is up. */
void tunnel_link_start(struct tunnel_link *l, struct stream *stream, bool is_edge,
                       const struct tunnel_link_handler *handler, void *user);
void tunnel_link_deinit(struct tunnel_link *l);

/* Sends a line. */
void tunnel_link_write(struct tunnel_link *l, const struct tunnel_control *message);
/* Sends DATA of the flow, and ends the sending direction with MSG_LAST. */
void tunnel_link_send(struct tunnel_link *l, const struct msg *m);
void tunnel_link_shutdown(struct tunnel_link *l);

/* The edge's answer to a registration as a line: M_OK (a, b) or M_ERROR (a, b, c). */
void tunnel_link_answer(const struct msg *answer, struct tunnel_control *ret_message);
/* The answer that a line is; its wait is RETRY_AFTER_MAX_NS at most. */
struct msg tunnel_link_answered(const struct tunnel_control *message);
