/*
 * What stands in the engine's calendar, and how the memory it will need is fetched in time. Private to
 * sim/virtual.
 *
 * A run of many sessions waits for memory more than for anything else. So what an event will need is fetched
 * while those before it are handled, in steps, since each says where the next lies: the nearer the event, the
 * further the step. Nothing but __builtin_prefetch() follows from it.
 */
#pragma once

#include "sim/virtual/calendar.h"
#include "sim/world/world.h"

/* What a calendar entry stands for: the low bits of its payload, an id or a fault's index above. */
enum entry {
    ENTRY_MESSAGE, /* anywhere but at a host */
    ENTRY_SERVED,  /* a message, by a host */
    ENTRY_TIMER,
    ENTRY_FAULT_BEGIN,
    ENTRY_FAULT_END,
    ENTRY_BITS = 3
};
#define ENTRY_PAYLOAD(entry, id) ((uint64_t)(id) << ENTRY_BITS | (entry))
#define ENTRY_OF(payload)        ((enum entry)((payload) & ((1u << ENTRY_BITS) - 1)))
#define ENTRY_ID(payload)        ((uint32_t)((payload) >> ENTRY_BITS))

enum stage {
    STAGE_DIAL,  /* waits at the sender for its new connection */
    STAGE_LINK,  /* on its way to the receiver's host */
    STAGE_HOST,  /* served by the receiver's CPU */
    STAGE_LOCAL, /* the driver's own word to the end it names: a reset, a disk's answer */
};

/* A message on its way. `end` is the sender's end (which is held meanwhile), or the receiver's for
 * STAGE_LOCAL. */
struct transit {
    struct msg msg;
    uint32_t end;
    uint8_t stage;
    uint8_t dialed; /* the first on a new connection: costs the receiver the handshake too */
};

struct timer {
    addr_t self;
    uint32_t epoch;
    uint64_t token;
};

struct ahead {
    const struct world *world;
    const struct slab *ends, *transits, *timers;
    const struct calendar *calendar;
    size_t timer_next; /* of calendar_ready() */
    uint64_t refills;  /* of the calendar, when timer_next was set */
};

/* Those behind a message that has just come over its link, in whose lane it stood: each is one step further.
 * For a message all is done when it is about to arrive, not when it will have been served: a host has too few
 * of them for that. */
void ahead_messages(const struct ahead *a, const struct lane *lane);

/* To be called for each event: one timer further. */
void ahead_timers(struct ahead *a);
