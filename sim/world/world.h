/*
 * A world: the components that live in this process (virtual time: all of them), the flows between them, and the effects
 * of a turn. Knows no driver. One turn:
 *
 *     world_handle(world, now, &event, &effects);   for each event of the inbox
 *     driver performs the effects
 *
 * The world owns the flow table: each end of a flow has an id of its own in the world where its component lives. A driver
 * pairs the two ends (virtual) or binds an end to a connection (live).
 */
#pragma once

#include "sim/world/component.h"

struct world;

enum effect_type {
    EFFECT_OPEN = 1, /* new flow from self to `to`, carrier `via` */
    EFFECT_SEND,     /* msg on `flow`: answer OPEN, DATA, CREDIT, RESET */
    EFFECT_TIMER,    /* at, token */
    EFFECT_DONE,     /* load_done */
};

struct effect {
    uint8_t type;
    addr_t self, to;
    uint32_t flow, via;
    nsec_t at;
    uint64_t token;
    struct msg msg;
};

/* Growable, reused each turn. */
struct effects {
    struct effect *items;
    size_t count, capacity;
};
void effects_deinit(struct effects *e);

struct world_options {
    const struct plan *plan;
    uint32_t flows_max; /* limit of the flow table; exceeding it is a programmer's error of the plan's bounds: PANIC */
};

int world_new(const struct world_options *opts, struct world **ret);
void world_free(struct world *w);

/* Makes the component `self` and gives it a recorder. -EEXIST, -ENOENT (not in the plan), -ENOMEM. No event is sent. */
int world_add(struct world *w, addr_t self, struct recorder *recorder, uint32_t incarnation);

/* Frees a component. Its flow ends are freed, `on_end` is called for each (in id order) before. */
void world_remove(struct world *w, addr_t self, void (*on_end)(void *user, uint32_t flow), void *user);

/* Frees all flow ends of a component that stays (EVENT_RECOVERED follows). */
void world_drop_flows(struct world *w, addr_t self, void (*on_end)(void *user, uint32_t flow), void *user);

bool world_has(const struct world *w, addr_t self);
struct component *world_component(const struct world *w, addr_t self);
size_t world_memory(const struct world *w);

/* Handles one event; effects are appended to `effects` in the order made. Frees ends whose flow is over. */
void world_handle(struct world *w, nsec_t now, const struct event *ev, struct effects *effects);

/* Flow ends -------------------------------------------------------------------------------------------------- */

/* The driver's accept: a new end at `self`; the event to hand to world_handle() is an OPEN from `from`. */
uint32_t world_flow_accept(struct world *w, addr_t self);

bool world_flow_alive(const struct world *w, uint32_t flow);
addr_t world_flow_owner(const struct world *w, uint32_t flow);
/* The driver's word for each end (virtual: the index of the link state; live: of the transport). 0 at first. */
uint32_t world_flow_user(const struct world *w, uint32_t flow);
void world_flow_set_user(struct world *w, uint32_t flow, uint32_t user);
uint32_t world_flow_tag(const struct world *w, uint32_t flow);
/* The end's carrier flow given at open, 0 = none. */
uint32_t world_flow_via(const struct world *w, uint32_t flow);
