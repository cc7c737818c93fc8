/*
 * The sandboxes of one runner: cold starts, warm reuse, a prewarmed stock, limits, billing.
 *
 * A *use* is one holder's need for a sandbox, from the request to the release. It starts from a warm sandbox
 * (one used before and kept, the latest released first; else a prewarmed one) in the plan's warm_start_ns, or
 * cold. A released sandbox is snapshotted (scope per session only), then kept warm for warm_keep_ns, at most
 * warm_max of them: the one that waited longest goes first. A prewarmed sandbox that was taken is replaced by
 * a cold start at once.
 *
 * Limits count uses from the moment they start until they are released, the snapshot included; idle sandboxes
 * do not count. parallel_per_agent bounds the uses of one owner (a session), with scope per call only;
 * parallel_max those of the pool. Beyond a limit a request waits, at most limit_queue_max of them, or
 * is shed at once. Those that wait go in the order of their requests, but one that its own session's limit
 * holds back lets others pass.
 *
 * Billed is every sandbox-nanosecond from the begin of its start to its end; of these `idle` while warm and
 * waiting.
 *
 * After each call that passes `now`, and at each deadline, call sandbox_pool_pop() until it returns false.
 */
#pragma once

#include "sim/base/list.h"
#include "sim/base/meter.h"
#include "sim/base/nsec.h"
#include "sim/plan/plan.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sandbox_pool;

/* One session's part in a pool; the holder embeds it. To be initialised before, and without uses when it
 * goes. */
struct sandbox_owner {
    uint32_t held_first, held_last; /* uses that the session's own limit holds back */
    uint32_t counted;               /* against that limit: started, or waiting for the pool's limit only */
};

struct sandbox_pool_options {
    const struct plan_runner *plan; /* borrowed, outlives the pool */
    uint64_t seed;
    uint32_t replicate;
    uint32_t ordinal;      /* of the runner component: names its refills' random stream */
    uint32_t parallel_max; /* this pool's part of parallel_per_tenant: plan_tenant_share(); 0 = no limit */
    uint32_t uses_max;     /* at most so many uses at a time, the waiting ones included; beyond: shed */
    nsec_t now;            /* the prewarmed sandboxes are billed from here */
};

enum sandbox_answer {
    SANDBOX_STARTING, /* it will be ready */
    SANDBOX_WAITING,  /* behind a limit */
    SANDBOX_SHED,     /* refused by a limit: there is no use */
};

struct sandbox_request {
    struct sandbox_owner *owner; /* stays where it is until the release */
    uint32_t user;               /* the holder's word, comes back in events */
    uint64_t entity;             /* names the random stream of the start: same entity, same start time */
};

enum sandbox_event_type {
    SANDBOX_STARTED = 1, /* a use that waited has begun to start */
    SANDBOX_READY,
};

struct sandbox_event {
    enum sandbox_event_type type;
    uint32_t use, user;
    nsec_t waited_ns; /* since the request */
};

struct sandbox_stats {
    struct meter billed, idle; /* idle is part of billed */
    uint64_t starts;           /* cold, refills included */
    uint64_t warm_hits;        /* uses that started from a warm sandbox */
    uint64_t snapshots;        /* that are done; one under way at the end is none */
    uint64_t destroyed;        /* not kept after use, expired, given up while starting, or lost */
};

/* 0 or -ENOMEM. Freed with sandbox_pool_free(), which allows NULL. */
int sandbox_pool_new(const struct sandbox_pool_options *options, struct sandbox_pool **ret_pool);
void sandbox_pool_free(struct sandbox_pool *pool);

void sandbox_owner_init(struct sandbox_owner *owner);

/* Asks for a sandbox. `ret_use` is set unless shed. */
enum sandbox_answer sandbox_pool_request(struct sandbox_pool *pool, nsec_t now,
                                         const struct sandbox_request *request, uint32_t *ret_use);

/* Ends a use in whatever state: one that waits or starts is given up, one that is ready may become warm. The
 * id must be live. */
void sandbox_pool_release(struct sandbox_pool *pool, nsec_t now, uint32_t use);

/* Ends a use whose holder died: the sandbox is gone, too. */
void sandbox_pool_lose(struct sandbox_pool *pool, nsec_t now, uint32_t use);

/* The next thing that is due at `now`; false when there is nothing more. */
bool sandbox_pool_pop(struct sandbox_pool *pool, nsec_t now, struct sandbox_event *ret_event);

/* Whether something is due at `now`, or uses came or went since the last collect(). If not, pop(), deadline()
 * and collect() have nothing to say that they have not said. */
bool sandbox_pool_has_news(const struct sandbox_pool *pool, nsec_t now);

/* When something will be due. */
nsec_t sandbox_pool_deadline(const struct sandbox_pool *pool);

/* A use, or (0) what is due next, will be asked about soon: fetches memory in `step` 0, and in 1 returns the
 * user of what is due next, if that is known. Changes nothing. */
uint32_t sandbox_pool_soon(const struct sandbox_pool *pool, uint32_t use, unsigned step);

/* What has come together since the last call. `all`: what is alive ends running in the meters at `now` (the
 * end of a run). */
struct sandbox_stats sandbox_pool_collect(struct sandbox_pool *pool, nsec_t now, bool all);

/* For tests and reports: uses counted by the pool's limit, uses waiting, idle sandboxes ready for use. */
uint32_t sandbox_pool_in_use(const struct sandbox_pool *pool);
uint32_t sandbox_pool_waiting(const struct sandbox_pool *pool);
uint32_t sandbox_pool_idle(const struct sandbox_pool *pool);

/* Bytes of memory held. */
size_t sandbox_pool_memory(const struct sandbox_pool *pool);
