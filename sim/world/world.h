/*
 * A world: the components that live in this process (virtual time: all of them), the flows between them, and
 * the effects of a turn. Knows no driver. One turn:
 *
 *     world_handle(world, now, &event, &effects);   for each event of the inbox
 *     driver performs the effects
 *
 * The world owns the flow table: each end of a flow has an id of its own in the world where its component
 * lives. A driver pairs the two ends (virtual) or binds an end to a connection (live).
 */
#pragma once

#include "sim/base/panic.h"
#include "sim/base/slab.h"
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

/* The real component of each role (roles.c); roles that a driver serves itself are NULL. */
extern const struct component_ops *const world_roles[ROLE_COUNT];

struct world_options {
    const struct plan *plan;
    const struct component_ops *const *roles; /* ROLE_COUNT entries: world_roles, or a test's own */
    size_t end_bytes;                         /* for the driver, with each flow end: see flow_end_more() */
    uint32_t flows_max; /* limit of the flow table; exceeding it is a programmer's error of the plan's bounds:
                           PANIC */
};

int world_new(const struct world_options *opts, struct world **ret);
void world_free(struct world *w);

/* Makes the component `self` and gives it a recorder. -EEXIST, -ENOENT (not in the plan), -ENOMEM. No event
 * is sent. */
int world_add(struct world *w, addr_t self, struct recorder *recorder, uint32_t incarnation);

/* The component dies with all it knows: its flow ends are over (world_settle() reports them) and it is freed.
 */
void world_remove(struct world *w, addr_t self);

/* The component stays, its flows do not (EVENT_RECOVERED follows when it is back). */
void world_drop_flows(struct world *w, addr_t self);

bool world_has(const struct world *w, addr_t self);
struct component *world_component(const struct world *w, addr_t self);
/* Bytes held by the flow table and by all components. */
size_t world_memory(const struct world *w);

/* Handles one event; effects are appended to `effects` in the order made. The component must be there. A MSG
 * for a flow that is over is a driver's error. */
void world_handle(struct world *w, nsec_t now, const struct event *ev, struct effects *effects);

/* Call after the effects of a turn were performed: tells the driver of each end that is over, in the order in
 * which they ended, and frees those that nobody holds. `on_over` may take or drop holds and read the end, and
 * must not handle events.
 */
void world_settle(struct world *w, void (*on_over)(void *user, uint32_t flow), void *user);

/* Flow ends
 * --------------------------------------------------------------------------------------------------
 *
 * An end lives until it is over, settled, and held by nobody. A driver holds an end while it still needs to
 * look at it, such as for each message in flight from it, so that an id is never used again while something
 * refers to it.
 */

/* The driver's accept: a new end at `self`, for an OPEN that came from `from`; the event to hand to
 * world_handle() next is that OPEN. `via`: this side's end of the carrier, or 0. */
uint32_t world_flow_accept(struct world *w, addr_t self, addr_t from, uint32_t via);

/*
 * The ends themselves, for a driver that looks at them for each message. `user`, `driver` and `flags` are the
 * driver's; of the rest it changes nothing.
 */
struct flow_end {
    addr_t owner, peer; /* components; peer: who it was opened to or came from */
    uint32_t via, tag, user;
    uint32_t over_next; /* in the list of those that are over and not yet settled */
    uint32_t driver;
    uint16_t holds;
    uint8_t opened : 1, sent_last : 1, got_last : 1, over : 1, settled : 1;
    uint8_t flags;
};
_Static_assert(sizeof(struct flow_end) == 32, "what follows it is aligned to 8");

/* As world_flow_hold(), and world_flow_release() where the end does not go. */
static inline void flow_end_hold(struct flow_end *e)
{
    ASSERT(e->holds < UINT16_MAX);
    e->holds++;
}
static inline bool flow_end_release(struct flow_end *e)
{
    if (e->holds == 1 && e->settled) return false;
    ASSERT(e->holds);
    e->holds--;
    return true;
}

/* A slab of struct flow_end, addressed by flow. Stays where it is as long as the world. */
const struct slab *world_flow_ends(const struct world *w);
/* world_options.end_bytes of the driver's own, zero at first. */
static inline void *flow_end_more(struct flow_end *e)
{
    return e + 1;
}

struct flow_view {
    addr_t owner, peer; /* components; peer: who it was opened to or came from */
    uint32_t via, tag;
    uint32_t user; /* the driver's word */
    bool over;     /* no event may be handed to it any more */
    bool held;     /* a driver holds it */
    bool opened;   /* the owner opened it (otherwise: accepted) */
};
/* Whether the id still names an end and events may be handed to it. */
bool world_flow_alive(const struct world *w, uint32_t flow);
/* The end must be alive or held. */
struct flow_view world_flow(const struct world *w, uint32_t flow);
void world_flow_set_user(struct world *w, uint32_t flow, uint32_t user);
void world_flow_hold(struct world *w, uint32_t flow);
/* Frees the end when it is over and settled and this was the last hold; then `true`. */
bool world_flow_release(struct world *w, uint32_t flow);
/* An event is near, as far as the driver can see: lets the component fetch memory, see component_ops.soon.
 * Changes nothing. */
void world_soon(const struct world *w, addr_t self, unsigned step, const struct prospect *what);

/* Walks all ends in index order, starting with 0; 0 at the end. Ends that are over are included while held.
 */
uint32_t world_flow_next(const struct world *w, uint32_t flow);
uint32_t world_flow_count(const struct world *w);
