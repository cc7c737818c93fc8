/*
 * One environment worker's life, as the published SDK's worker leads it (wire notes, "How the real worker
 * behaves"): poll → acknowledge → heartbeats beside all that follows → fetch the session → open its event
 * stream, read its history → serve, until the session ends, is idle for too long, or the lease is lost or
 * ended → stop the item → poll again.
 *
 * The machine decides what to ask and when; its holder does it and tells the outcome:
 *
 *     worker_on_…(w, now, …);                         what happened
 *     while ((act = worker_next(w, now))) perform(act);
 *     wake me at worker_deadline(w)
 *
 * Requests of the main line (poll, acknowledge, fetch, stop) come one at a time; a heartbeat, the stream and
 * the reading of history go beside it. Tool calls are the holder's: worker_calls() tells how many are not
 * done.
 */
#pragma once

#include "sim/base/nsec.h"
#include "sim/base/prng.h"
#include "sim/plan/plan.h"
#include "sim/policy/backoff.h"

#include <stdbool.h>
#include <stdint.h>

/* The SDK's own numbers. */
#define WORKER_REQUEST_TIMEOUT_NS (600 * NSEC_PER_S)
#define WORKER_BEAT_MAX_NS        (30 * NSEC_PER_S) /* between heartbeats; also before the first answer */
#define WORKER_BEAT_MIN_NS        NSEC_PER_S
#define WORKER_LEASE_DEFAULT_NS   (90 * NSEC_PER_S) /* until the server tells */
#define WORKER_FINISH_NS          (30 * NSEC_PER_S) /* for the calls that run when a session is left */
#define WORKER_REQUEST_RETRIES    2u                /* of acknowledge, fetch, history, stop */
/* Ours: a worker that crashed is started again after this. */
#define WORKER_RESTART_NS NSEC_PER_S

/* Waits between attempts to post a result, for as long as the lease may last. */
extern const struct backoff_rule worker_result_backoff;

enum worker_state {
    WORKER_RESTING = 1, /* polls at `due` */
    WORKER_POLLING,
    WORKER_ACKING,
    WORKER_FETCHING, /* the session */
    WORKER_SERVING,
    WORKER_FINISHING, /* nothing new; what runs may end until `due` */
    WORKER_STOPPING,  /* tells the queue to stop the item */
    WORKER_GONE,      /* crashed; a new worker comes at `due` */
    WORKER_ENDED,     /* drained, or refused for good: does nothing any more */
};

enum worker_action {
    WORKER_NOTHING,
    WORKER_POLL,
    WORKER_ACK,
    WORKER_FETCH,
    WORKER_STOP_ITEM,
    WORKER_BEAT,
    WORKER_OPEN_STREAM,
    WORKER_READ_HISTORY, /* from its begin */
    WORKER_CUT_REQUEST,  /* cancel the main line's request */
    WORKER_CUT_BEAT,     /* cancel the heartbeat's */
    WORKER_CUT_STREAM,   /* cancel the stream and the reading of history */
    WORKER_LEAVE,  /* end with the session: cancel heartbeat, stream, reading; give up calls; release the
                      sandbox */
    WORKER_VANISH, /* die: cancel everything, calls and the sandbox are lost; the next poll is another
                      worker's */
};

enum worker_reader { READER_OFF, READER_WAITING, READER_OPENING, READER_UNREAD, READER_READING, READER_LIVE };
enum worker_lease { LEASE_NONE, LEASE_HELD, LEASE_ENDED, LEASE_LOST };

struct worker {
    const struct plan_runner *plan;
    struct prng rng;
    nsec_t due;        /* main line: when to ask, or when to give up what was asked */
    nsec_t crash_ns;   /* NSEC_MAX: not */
    nsec_t beat_due;   /* when to beat, or when to give up the beat in flight */
    nsec_t beat_ok_ns; /* the last success */
    nsec_t ttl_ns, beat_every_ns;
    uint64_t beat_last; /* what the server answered last */
    nsec_t reader_due;  /* when to open or read, or when to give that up */
    nsec_t idle_due;    /* when the session has been idle for too long; NSEC_MAX: it is busy */
    uint32_t calls;
    uint32_t poll_failures;
    uint8_t state, failures, reader, reader_failures, history_failures, lease;
    bool asked, beating, draining, leave, cut;
    bool lost; /* the item last left was left because its lease was lost */
};

/* What a refused or failed request said. */
struct worker_failure {
    bool final;            /* 4xx but 408, 409, 429: no use in trying again */
    nsec_t retry_after_ns; /* or 0 */
};

/* The answer to a heartbeat. */
struct worker_beat {
    uint64_t last;
    nsec_t ttl_ns;
    bool extended, stopping; /* stopping: or stopped */
};

/* `beat_none`: what the first heartbeat expects. The first poll comes at a random time within
 * poll_pause_max_ns. */
void worker_init(struct worker *w, const struct plan_runner *plan, struct prng rng, uint64_t beat_none,
                 nsec_t now);

enum worker_action worker_next(struct worker *w, nsec_t now);
/* When worker_next() will have something; a time in the past: now. */
nsec_t worker_deadline(const struct worker *w);

/* The main line. */
void worker_on_work(struct worker *w, nsec_t now);
void worker_on_no_work(struct worker *w, nsec_t now);
void worker_on_ack(struct worker *w, nsec_t now, uint64_t beat_none);
void worker_on_session(struct worker *w, nsec_t now, bool terminated);
void worker_on_item_stopped(struct worker *w, nsec_t now);
void worker_on_failure(struct worker *w, nsec_t now, const struct worker_failure *failure);

/* Heartbeats. */
void worker_on_beat(struct worker *w, nsec_t now, const struct worker_beat *beat);
void worker_on_beat_mismatch(struct worker *w);
void worker_on_beat_failure(struct worker *w, nsec_t now, bool final);

/* Stream and history. `idle`: the last event of the history ended a turn, and no call is open. */
void worker_on_stream(struct worker *w, nsec_t now);
void worker_on_stream_lost(struct worker *w, nsec_t now, bool final);
void worker_on_history(struct worker *w, nsec_t now, bool idle);
void worker_on_history_failure(struct worker *w, nsec_t now);
/* An event on the stream: `idle`: it ended a turn. `over`: the session is deleted or terminated. */
void worker_on_event(struct worker *w, nsec_t now, bool idle, bool over);

/* How many calls are not done. */
void worker_calls(struct worker *w, uint32_t calls);

/* No polls any more; what it serves goes on. */
void worker_drain(struct worker *w);
/* It will crash at `at`. */
void worker_crash(struct worker *w, nsec_t at);

/* Whether calls may begin: the history is read, and the session is not being left. */
bool worker_serves(const struct worker *w);
/* Whether it has an item, acknowledged and not yet left. */
bool worker_holds(const struct worker *w);
