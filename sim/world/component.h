/*
 * A component: one or a few machines behind one address. Pure: it is handed `now` and an event, and answers
 * with effects through the outbox. It never reads a clock, opens a socket or draws an unseeded random number.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/base/nsec.h"
#include "sim/base/slab.h"
#include "sim/plan/plan.h"
#include "sim/world/msg.h"

struct recorder;
struct outbox;

enum event_type {
    EVENT_START = 1, /* first event of an incarnation; volatile state is empty */
    EVENT_MSG,       /* a message arrived on a flow */
    EVENT_TIMER,     /* a timer that was set; token as given. Timers cannot be cancelled: check the token's
                        generation */
    EVENT_RECOVERED, /* instead of START, for what is durable: the process died, without a word, and its state
                        came back; every flow and every timer is gone (no RESETs follow): drop the flows, set
                        the timers again */
    EVENT_DRAIN,     /* stop in order: take nothing new, finish or end what is there (SIGTERM) */
    EVENT_END,       /* the run is over: end what is still open in the ledger as in flight; the last event */
    EVENT_CRASH, /* the component dies now (only where memory survives it: virtual time, or one of several in
                    a process), with all it has: end that in the ledger as lost; the last event. What is
                    durable hears EVENT_RECOVERED later instead. Effects are ignored */
};

struct event {
    uint8_t type;
    addr_t self;    /* who handles it */
    addr_t from;    /* EVENT_MSG with MSG_OPEN of a new flow: who opened it; otherwise 0 */
    uint32_t flow;  /* EVENT_MSG */
    uint32_t tag;   /* the component's own handle for that flow; 0 when it never set one (a new flow) */
    uint64_t token; /* EVENT_TIMER */
    struct msg msg;
};

/* What a component knows from birth. */
struct env {
    const struct plan *plan;
    struct recorder *recorder;
    addr_t self;
    uint32_t incarnation; /* 0, then +1 with each restart */
};

struct component;

#define SOON_STEPS 2u

/* What may be known of an event before it comes. */
struct prospect {
    uint32_t tag;          /* of its flow; 0 for a new one */
    uint64_t token;        /* of a timer, otherwise 0 */
    const struct msg *msg; /* or NULL */
};

/* Fetches an object that may be long. */
static inline void prefetch_object(const void *object, size_t size)
{
    for (size_t at = 0; at < size; at += 64) __builtin_prefetch((const char *)object + at);
}

struct component_ops {
    /* Makes a component; returns 0 or -ENOMEM. The env is copied. */
    int (*new)(const struct env *env, struct component **ret);
    void (*free)(struct component *c);
    void (*handle)(struct component *c, nsec_t now, const struct event *ev, struct outbox *out);
    /* An event is near. Called some events before it, for each `step` from 0 to at most SOON_STEPS - 1, for
     * nothing but __builtin_prefetch(): each step may read what the one before it has fetched. What it is
     * told may turn out wrong (a tag may be stale), and that a step was called says nothing of those before
     * it; it must not change anything, nor may anything follow from it. May be NULL. */
    void (*soon)(const struct component *c, unsigned step, const struct prospect *what);
    /* Bytes of memory held now, for the bound per session; may be NULL. */
    size_t (*memory)(const struct component *c);
};

/* The first member of every component's own struct. */
struct component {
    const struct component_ops *ops;
    struct env env;
};

/* Roles that are addresses only: a driver answers their flows itself, and world_add() does not know them. */
static inline bool role_is_driver_served(enum role role)
{
    return role == ROLE_DISK;
}

extern const struct component_ops client_ops, orchestrator_ops, edge_ops, connector_ops, proxy_ops,
    runner_ops, mcp_ops;

/* Effects ---------------------------------------------------------------------------------------------------
 */

/* Opens a flow to `to` with the request `m` (type is set to MSG_OPEN). `via`: the carrier flow on which it
 * travels (edge to connector), or 0. `tag`: own handle, comes back with each event of the flow. Returns the
 * flow's id; never 0: the number of flows is bounded by the plan's own limits. */
uint32_t flow_open(struct outbox *out, addr_t to, uint32_t via, uint32_t tag, struct msg m);

/* Something will be sent on this flow, of the component's own, which must be alive: fetches its memory. */
void flow_soon(const struct outbox *out, uint32_t flow);

/* Sets the tag of a flow that the peer opened. */
void flow_tag(struct outbox *out, uint32_t flow, uint32_t tag);

/* Answers with an OPEN. */
void flow_answer(struct outbox *out, uint32_t flow, struct msg m);

/* Sends DATA. */
void flow_data(struct outbox *out, uint32_t flow, struct msg m);

/* Sends a head and its whole body: `m.bytes` may exceed BODY_CHUNK; it is cut into head and M_BODY chunks as
 * the header of msg.h says. `open`: the head is an OPEN (an answer), otherwise DATA. m.flags MSG_LAST applies
 * to the last chunk. */
void flow_send_whole(struct outbox *out, uint32_t flow, bool open, struct msg m);

/* Grants the peer `bytes` more on this flow. */
void flow_credit(struct outbox *out, uint32_t flow, uint32_t bytes);

/* Ends the flow at once; its id is dead after this. */
void flow_reset(struct outbox *out, uint32_t flow, enum reset_cause cause);

/* EVENT_TIMER with `token` comes at `at` (not before; at once if `at` is past). */
void timer_set(struct outbox *out, nsec_t at, uint64_t token);

/* The load is over: nothing more will come from this client (the run may end before duration + drain). */
void load_done(struct outbox *out);

/* A flow's life from a component's view ends, and its id is dead, after it: sent MSG_LAST and handled the
 * peer's MSG_LAST (either order); handled a RESET; sent one. */
