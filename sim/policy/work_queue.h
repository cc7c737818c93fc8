/*
 * The leased work queue: items that wait for a worker, workers that wait for an item, and leases kept alive
 * by heartbeats that compare and set.
 *
 * An item: QUEUED (waiting, or claimed: offered to a worker that has not acknowledged it) → STARTING
 * (acknowledged, a lease runs) → ACTIVE (a heartbeat was accepted) → STOPPING (a stop was asked for; the
 * holder learns it at its next heartbeat) → STOPPED, the end. A claim that is not acknowledged in time, and a
 * lease that lapses, bring it back to QUEUED, in front; a lapse while STOPPING ends it instead. An accepted
 * heartbeat gives a number that was never given before for that item, and each number (and "none yet", once
 * for each holder) is accepted once.
 *
 * Times: each item has one deadline, `until`. When it has come the caller calls work_queue_expire() before it
 * does anything else with the item. Waiting polls have a deadline of their own.
 */
#pragma once

#include "sim/base/nsec.h"
#include "sim/base/slab.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The expected heartbeat of a holder whose first it is; a number that no heartbeat ever has. */
#define WORK_BEAT_NONE UINT64_MAX

/* A worker counts as polling for so long after its last poll. */
#define WORK_SEEN_NS (30 * NSEC_PER_S)

enum item_state { ITEM_QUEUED, ITEM_STARTING, ITEM_ACTIVE, ITEM_STOPPING, ITEM_STOPPED };

struct work_item {
    uint64_t id; /* for the wire: 1, 2, …; never used again */
    nsec_t created_at;
    nsec_t queued_at; /* when it was last put into the queue */
    nsec_t until;     /* claimed: offered again; STARTING to STOPPING: the lease lapses; otherwise NSEC_MAX */
    nsec_t ttl_ns;    /* of the lease */
    uint64_t beat;    /* the last heartbeat accepted from this holder, or WORK_BEAT_NONE */
    uint64_t beat_last; /* the greatest ever given out */
    nsec_t armed_at;    /* the caller's: its pending timer */
    uint32_t session;   /* the caller's */
    uint32_t slot;      /* the caller's: place in its ledger */
    uint32_t environment;
    uint32_t prev, next; /* in the list of its state */
    uint32_t hash_next;
    uint8_t state; /* enum item_state */
    bool claimed;  /* QUEUED: offered and not acknowledged */
    bool retired;
};

struct work_list {
    uint32_t first, last, count;
};

/* What waits in one environment. */
struct work_environment {
    struct work_list queued;  /* items, the one to be claimed next first */
    struct work_list claimed; /* items, in order of claim */
    struct work_list polls;   /* the one that waits longest first */
    uint32_t workers;         /* different ones seen polling */
};

struct work_queue_options {
    uint32_t environments;                      /* at least 1 */
    uint32_t items_max, polls_max, workers_max; /* each at least 1; workers_max: remembered for the count */
    uint32_t retired_max; /* stopped items that are still known after work_queue_retire() */
    nsec_t lease_ttl_ns;  /* default */
    nsec_t lease_ttl_max_ns;
    nsec_t reclaim_ns; /* default */
};

struct work_queue {
    struct work_queue_options options;
    struct slab items, polls, workers;
    struct work_environment *environments;
    uint32_t *items_by_id; /* hash chains by the low bits of the id */
    uint32_t *workers_by_id;
    uint32_t buckets; /* of each of the two; a power of two */
    struct work_list retired, seen;
    uint64_t last_id;
};

struct work_poll_request {
    uint32_t environment;
    uint64_t worker;
    uint32_t handle;   /* the caller's, comes back with the answer */
    nsec_t block_ns;   /* 0: does not wait */
    nsec_t reclaim_ns; /* 0: the default */
};

struct work_match {
    uint32_t handle; /* of the poll that is answered */
    uint32_t item;
    nsec_t waited_ns; /* in the queue */
};

struct work_stats {
    uint32_t depth;           /* items waiting */
    uint32_t pending;         /* items claimed and not acknowledged */
    nsec_t oldest_queued_at;  /* of those waiting; 0 = none */
    uint32_t workers_polling; /* different ones in the last 30 s */
};

enum work_poll_outcome {
    WORK_POLL_CLAIMED, /* an item was at hand */
    WORK_POLL_WAITS,
    WORK_POLL_EMPTY, /* nothing, and it must not wait (or no more polls can) */
};

enum work_outcome {
    WORK_DONE,
    WORK_CONFLICT, /* the item's state does not allow it */
};

enum work_beat_outcome {
    WORK_BEAT_ACCEPTED, /* the lease is extended; item->beat is the new number */
    WORK_BEAT_STOPPED,  /* the number is right but the item is stopped: nothing was extended */
    WORK_BEAT_MISMATCH, /* the item's beat, ttl_ns and state are what the worker is told */
    WORK_BEAT_CONFLICT, /* there is no holder: the item is queued */
};

enum work_expiry {
    WORK_EXPIRY_NONE,      /* not due */
    WORK_EXPIRY_RECLAIMED, /* a claim was not acknowledged: queued again */
    WORK_EXPIRY_LAPSED,    /* a lease lapsed: queued again */
    WORK_EXPIRY_STOPPED,   /* a lease lapsed while stopping: stopped */
};

/* An empty queue. -ENOMEM. */
int work_queue_init(struct work_queue *q, const struct work_queue_options *options);
/* Frees all. NULL and a zeroed queue are allowed. */
void work_queue_deinit(struct work_queue *q);
/* Bytes of memory taken. */
size_t work_queue_bytes(const struct work_queue *q);

/* Queues a new item, at the end. Returns its reference, or 0 at the limit. Then call work_queue_match(). */
uint32_t work_queue_add(struct work_queue *q, nsec_t now, uint32_t environment, uint32_t session);

/* The item of a reference, NULL when it is gone. The fields said to be the caller's may be set. */
struct work_item *work_queue_item(const struct work_queue *q, uint32_t item);
/* The reference of an item by its id, 0 when there is none. */
uint32_t work_queue_find(const struct work_queue *q, uint64_t id);

/* A worker asks for work: takes the first item, or waits. `ret`: the item (CLAIMED; now - queued_at is how
 * long it waited), or the poll's reference (WAITS). A `reclaim_ns` below the default makes claims of that age
 * claimable to this poll. */
enum work_poll_outcome work_queue_poll(struct work_queue *q, nsec_t now,
                                       const struct work_poll_request *request, uint32_t *ret);
/* Gives an item to the poll that waits longest in the environment. False: no pair left. To be called until
 * then after all that may put an item into the queue. */
bool work_queue_match(struct work_queue *q, nsec_t now, uint32_t environment, struct work_match *ret_match);
/* Ends a waiting poll (timed out, or its worker is gone); `ret_handle` may be NULL. False when there is none
 * of that reference any more. */
bool work_queue_poll_end(struct work_queue *q, uint32_t poll, uint32_t *ret_handle);
/* Ends all waiting polls. */
void work_queue_polls_drop(struct work_queue *q);

/* The claim is acknowledged: QUEUED → STARTING, off the queue. Once more while STARTING changes nothing. */
enum work_outcome work_queue_ack(struct work_queue *q, nsec_t now, uint32_t item);
/* The holder beats. `ttl_ns` 0: the default; otherwise at most the plan's greatest. */
enum work_beat_outcome work_queue_heartbeat(struct work_queue *q, nsec_t now, uint32_t item,
                                            uint64_t expected, nsec_t ttl_ns);
/* Asks for the end; with `force`, or when nobody holds the item, it is STOPPED at once. CONFLICT: it is
 * already. */
enum work_outcome work_queue_stop(struct work_queue *q, nsec_t now, uint32_t item, bool force);
/* Acts on the item's deadline if it has come. Then call work_queue_match(). */
enum work_expiry work_queue_expire(struct work_queue *q, nsec_t now, uint32_t item);

/* The caller has no use for a STOPPED item any more: it is known for a while yet, then forgotten. */
void work_queue_retire(struct work_queue *q, uint32_t item);

/* True while a worker holds the item with a lease. */
bool work_item_held(const struct work_item *item);

struct work_stats work_queue_stats(struct work_queue *q, nsec_t now, uint32_t environment);
