/*
 * The live clock: runs the components of one process on real sockets.
 *
 * The driver turns what the wire's surfaces decode into events, hands them to the world in turns, and gives
 * the effects back to the surfaces to encode. It decides nothing. A surface is code that knows one wire
 * format: it owns listeners and connections, and stands for the far end of flows.
 *
 *     wire → surface → driver_accept(), driver_receive() → inbox → turn
 *     turn → effects → dialer->open(), wire_ops.send() → wire
 *
 * A turn takes a bounded number of what waits in the inbox, in the order in which it came, and then of the
 * timers that are due, which so are not held up by what waits. One turn follows the other until nothing
 * waits; only then are the sockets read again, so that the inbox never holds more than one look at them
 * brings.
 *
 * Single-threaded, one event_base. A turn runs from the loop, never inside a call from a surface; so a
 * surface is never re-entered from driver_accept() or driver_receive().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/base/nsec.h"
#include "sim/world/world.h"

struct event_base;
struct driver;
struct wire;

/* What a surface does for one end of a flow. */
struct wire_ops {
    /* Encode a message that the component sends on this flow: the answer OPEN, DATA, CREDIT or RESET. After
     * MSG_RESET, and when both directions have sent MSG_LAST, `over` follows in the same turn. */
    void (*send)(struct wire *w, const struct msg *m);
    /* The flow is over for the component: flush what was sent, then give the connection back or close it. The
     * driver has forgotten `w`; the surface frees it when it likes. What it still reads for it, it may hand
     * to driver_receive(), to be counted; nothing else. */
    void (*over)(struct wire *w);
};

/* The far end of one flow: the first member of a surface's own struct. */
struct wire {
    const struct wire_ops *ops;
    struct driver *driver;
    uint32_t slot, flow; /* the driver's own, and the next two */
    uint16_t opened_kind;
    uint8_t way_out, way_in; /* way_between() to the peer and back */
    /* Set by a surface: it asks on its own behalf, there is no peer to count the other end. */
    bool uncounted;
    /* Set by a surface: what the peer still says when the component has reset the flow, it reads and hands to
     * driver_receive(), to be counted; if it gives that up, it calls driver_give_up(). */
    bool reads_on;
};

/* Opens flows from one role to another. */
struct dialer {
    /* Encode the OPEN `m` of the new flow towards `to` (`via`: the wire of the carrier flow, or NULL) and
     * return the wire. Never fails in the call: what cannot be sent is told later by driver_receive() with a
     * RESET (REFUSED, UNREACHABLE). */
    struct wire *(*open)(struct dialer *d, addr_t from, addr_t to, struct wire *via, const struct msg *m);
};

struct driver_options {
    struct event_base *base; /* made with EVENT_BASE_FLAG_PRECISE_TIMER */
    const struct plan *plan;
    uint32_t flows_max;
    /* Sees each turn's events before they are handled (write-ahead), for the flight log and the journal; may
     * be NULL. */
    void (*on_turn)(void *user, nsec_t now, const struct event *events, size_t count);
    /* Sees each turn's effects before they are performed; may be NULL. */
    void (*on_effects)(void *user, nsec_t now, const struct effect *effects, size_t count);
    /* A client component has no more load; may be NULL. */
    void (*on_done)(void *user);
    void *user;
};

/* -ENOMEM. The plan is borrowed. */
int driver_new(const struct driver_options *opts, struct driver **ret);
/* Sets the run's clock; before the first component is made. `epoch_ns`: CLOCK_MONOTONIC at the run's time 0;
 * `wall_offset_ns`: wall time (ns since 1970) then. Without it, time 0 is when the driver was made. */
void driver_set_clock(struct driver *d, uint64_t epoch_ns, uint64_t wall_offset_ns);

/* Frees the driver and its components; wires still bound are told `over`. */
void driver_free(struct driver *d);

/* Makes a component and queues its EVENT_START. Errors of world_add(). */
int driver_add(struct driver *d, addr_t self, struct recorder *recorder, uint32_t incarnation);

/* Makes a component without its EVENT_START: its state is about to be rebuilt in driver_world() from a
 * journal, with nothing performed; driver_recover() then drops the flows that the journal made and queues
 * EVENT_RECOVERED. */
int driver_attach(struct driver *d, addr_t self, struct recorder *recorder, uint32_t incarnation);
int driver_recover(struct driver *d, addr_t self);

/* An in-process kill: the component hears EVENT_CRASH and is gone; its wires are told RESET then `over`, also
 * those whose OPEN it has not seen. No wire of it is left. */
void driver_crash(struct driver *d, addr_t self);

/* Queues an event of this type (EVENT_DRAIN) for a component; one that is not here hears nothing. */
void driver_tell(struct driver *d, addr_t self, enum event_type type);

/* Queues an event of this type (EVENT_DRAIN) for every component here. */
void driver_tell_all(struct driver *d, enum event_type type);

/* The end of the run: every component closes its books (EVENT_END). What still comes is counted as cut off,
 * and nothing more is handed over. What is queued is handled before, and what follows upon the end after,
 * both in no more than 64 turns: the last ones must not keep a stopping process alive. */
void driver_end(struct driver *d);
/* Whether that was. */
bool driver_has_ended(const struct driver *d);

void driver_set_dialer(struct driver *d, enum role from, enum role to, struct dialer *dialer);

/* A peer opened a flow to `self`: binds `w` to a new flow end and queues the OPEN. `via`: the carrier's wire
 * or NULL. Returns false when `self` is not here any more (crashed) or the carrier's flow is over: then
 * nothing was bound, and the OPEN is counted as cut off. A component that drains is here, and answers. */
bool driver_accept(struct driver *d, addr_t self, addr_t from, struct wire *via, struct wire *w,
                   struct msg open);

/* A message came for a bound flow: the answer OPEN, DATA, CREDIT or RESET. When the flow is over already it
 * is counted as cut off, and that is all. After a RESET, or when both sides sent MSG_LAST, `over` follows. */
void driver_receive(struct wire *w, struct msg m);

/* The far end's surface answered by itself (HTTP_UNSEEN): no component there has seen the `request` that was
 * sent on this flow, which is counted as returned, and none has said the answer `m`, which is not counted. */
void driver_returned(struct wire *w, enum msg_kind request, struct msg m);

/* A message that the component sent cannot be passed on, for its peer is gone: counted as cut off. */
void driver_cut(const struct wire *w, const struct msg *m);

/* What was on its way on this flow, in either direction, may have nobody left to count it: see
 * flowcount_give_up(). For a surface that `reads_on`; the driver does so by itself for the RESETs of all
 * others. */
void driver_give_up(const struct wire *w);

/* The run's clock. */
nsec_t driver_now(const struct driver *d);
uint64_t driver_wall_ns(const struct driver *d, nsec_t at);
struct event_base *driver_base(const struct driver *d);
const struct plan *driver_plan(const struct driver *d);
struct world *driver_world(struct driver *d);
struct recorder *driver_recorder(struct driver *d, addr_t self);
