/*
 * One connection of a tunnel at either end: HTTP/2, its control stream, and the flow of M_REGISTER, which
 * carries the flows of the streams.
 *
 * It frees itself, from the loop: when its flow is over (or never began) and its connection has ended or was
 * cut.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "sim/base/list.h"
#include "sim/live/driver.h"
#include "sim/live/h2_tunnel.h"
#include "sim/live/tunnel_link.h"

struct plan;
struct tunnel_carrier;

struct tunnel_carrier_ops {
    bool is_edge;
    /* Edge: the peer speaks HTTP/2, the control stream can be opened. NULL at the connector. */
    void (*ready)(struct tunnel_carrier *c);
    /* Connector: a stream was opened; it is the callee's. NULL at the edge. */
    void (*opened)(struct tunnel_carrier *c, struct stream *s, const struct h2_request *request);
    /* The first line from the peer: register at the edge, registered or refused at the connector. */
    void (*first)(struct tunnel_carrier *c, const struct tunnel_control *message);
    /* It is going to be freed, and has no connection any more. May be NULL. */
    void (*gone)(struct tunnel_carrier *c);
};

struct tunnel_carrier {
    struct wire wire; /* of the registration; first */
    struct list siblings;
    const struct tunnel_carrier_ops *ops;
    struct h2 *h2;
    struct tunnel_link control;
    struct event *timer;   /* the limit of the phase it is in; at once: to break or to free itself */
    enum reset_cause late; /* what the component is told then */
    bool bound;            /* the driver has the wire */
    bool said_last, told_last, told_reset, was_reset;
    bool closed; /* the connection is over */
    bool dying;  /* frees itself with the next turn of the loop */
};

/* The windows for that many streams at a time, and their number with some to spare for those that still
 * close. */
struct h2_options tunnel_carrier_h2_options(const struct plan *plan);

/* Sets up a zeroed carrier; it and all around it came from one calloc(), by which it is freed. It has no
 * connection yet. -ENOMEM. */
int tunnel_carrier_init(struct tunnel_carrier *c, struct event_base *base,
                        const struct tunnel_carrier_ops *ops);

/* Gives it its connection, over `below`, which is its own then, also on failure. -ENOMEM. */
int tunnel_carrier_attach(struct tunnel_carrier *c, struct event_base *base, const struct plan *plan,
                          struct stream *below);

/* Cuts a carrier that is not bound, at once, and frees it. */
void tunnel_carrier_free(struct tunnel_carrier *c);

/* What it has to reach next is due in `wait_ns`, or it is cut; 0: no such limit any more. */
void tunnel_carrier_limit(struct tunnel_carrier *c, nsec_t wait_ns);

/* Takes the control stream. */
void tunnel_carrier_control(struct tunnel_carrier *c, struct stream *s);

/* Tells the component; without effect when it does not want to know any more. */
void tunnel_carrier_tell(struct tunnel_carrier *c, struct msg m);

/* Breaks it: the component is told, if there is one, and the connection cut; now, or from the loop, for use
 * in a call in which the driver does not know the wire yet. */
void tunnel_carrier_break(struct tunnel_carrier *c, enum reset_cause cause);
void tunnel_carrier_fail(struct tunnel_carrier *c, enum reset_cause cause);

/* The parts of wire_ops: DATA and RESET, and `over`. */
void tunnel_carrier_send(struct tunnel_carrier *c, const struct msg *m);
void tunnel_carrier_over(struct wire *w);
