/*
 * The client's inside: the loads' schedules, and the sessions that are open.
 *
 *     client.c          events in, arrivals, begin and end
 *     client_session.c  one session: its requests, its event stream, its turns
 */
#pragma once

#include "sim/base/slab.h"
#include "sim/policy/arrival.h"
#include "sim/policy/wakeup.h"
#include "sim/record/recorder.h"
#include "sim/world/component.h"

enum client_timer { CLIENT_TIMER_ARRIVAL = 1, CLIENT_TIMER_SESSION };
#define CLIENT_TOKEN(purpose, id) ((uint64_t)(purpose) << 32 | (id))

/* Each with its request in flight (flow != 0), or not before `due`. */
enum session_state {
    SESSION_CREATING = 1,
    SESSION_OPENING, /* waits for its first event stream */
    SESSION_THINKING,
    SESSION_SENDING, /* the user's message; from here on a turn is open */
    SESSION_IN_TURN,
    SESSION_DELETING,
    SESSION_LEAVING, /* it is deleted, but its stream is still there */
};

enum session_reader {
    STREAM_NONE,
    STREAM_WAITING, /* until reader_due */
    STREAM_OPENING,
    STREAM_CATCHING_UP, /* it is open, and what was missed is being read; more pages follow … */
    STREAM_LAST_PAGE,   /* … or this is the last */
    STREAM_LIVE,
};

/* One open session; many of them, so each is small. */
struct session {
    uint64_t id; /* the orchestrator's */
    nsec_t intended_ns, started_ns;
    nsec_t due, reader_due;
    struct wakeup wakeup;
    uint32_t ordinal;
    uint32_t user; /* closed model */
    uint32_t flow, stream, history;
    uint32_t entry, turn_entry; /* ledger */
    uint32_t cursor;            /* events of a lower sequence number are known or do not matter any more */
    uint16_t load, turn;
    uint16_t credit; /* bytes of the stream handled and not yet granted */
    uint8_t state : 4, reader : 4;
    uint8_t attempts : 4, reader_attempts : 4;
};
_Static_assert(sizeof(struct session) <= 96, "a session's state at the client is to be compact");

struct client {
    struct component component;
    struct arrival **arrivals; /* by load */
    struct slab sessions;
    struct wakeup wakeup;
    uint64_t think_key, retry_key;
    uint32_t next_ordinal;
    bool done;
};

static inline const struct plan *client_plan(const struct client *c)
{
    return c->component.env.plan;
}
static inline struct recorder *client_recorder(const struct client *c)
{
    return c->component.env.recorder;
}

/* client_session.c: a zeroed session begins. */
struct session_start {
    nsec_t intended_ns;
    uint32_t ordinal, user;
    uint16_t load;
};
void client_session_begin(struct client *c, uint32_t id, struct session *s, const struct session_start *start,
                          nsec_t now, struct outbox *out);
/* A message on one of its flows, or its timer. The session may be gone after it. */
void client_session_message(struct client *c, uint32_t id, struct session *s, nsec_t now,
                            const struct event *ev, struct outbox *out);
void client_session_timer(struct client *c, uint32_t id, struct session *s, nsec_t now, struct outbox *out);
/* Ends in the ledger what it holds open, and nothing else. */
void client_session_close_entries(struct client *c, const struct session *s, enum ledger_end end);
