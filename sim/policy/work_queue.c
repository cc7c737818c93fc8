#include "sim/policy/work_queue.h"

#include <errno.h>
#include <stdlib.h>

#include "sim/base/mix.h"
#include "sim/base/panic.h"

struct poll {
    uint32_t prev, next;
    uint32_t environment, handle;
};

/* A worker that polled in an environment. */
struct worker {
    uint64_t id;
    nsec_t seen_at;
    uint32_t prev, next; /* by seen_at */
    uint32_t hash_next;
    uint32_t environment;
};

/* Lists --------------------------------------------------------------------------------------- */

/* Items, polls and workers are linked alike: this is where their two links are. */
struct links {
    uint32_t *prev, *next;
};

static struct links item_links(const struct work_queue *q, uint32_t id)
{
    struct work_item *item = slab_get_unchecked(&q->items, id);

    return (struct links){&item->prev, &item->next};
}

static struct links poll_links(const struct work_queue *q, uint32_t id)
{
    struct poll *poll = slab_get_unchecked(&q->polls, id);

    return (struct links){&poll->prev, &poll->next};
}

static struct links worker_links(const struct work_queue *q, uint32_t id)
{
    struct worker *worker = slab_get_unchecked(&q->workers, id);

    return (struct links){&worker->prev, &worker->next};
}

typedef struct links links_fn(const struct work_queue *q, uint32_t id);

static void list_put(const struct work_queue *q, links_fn *links, struct work_list *list, uint32_t id,
                     bool in_front)
{
    struct links of = links(q, id);

    *of.prev = in_front ? 0 : list->last;
    *of.next = in_front ? list->first : 0;
    if (*of.prev)
        *links(q, *of.prev).next = id;
    else
        list->first = id;
    if (*of.next)
        *links(q, *of.next).prev = id;
    else
        list->last = id;
    list->count++;
}

static void list_take(const struct work_queue *q, links_fn *links, struct work_list *list, uint32_t id)
{
    struct links of = links(q, id);

    ASSERT(list->count);
    if (*of.prev)
        *links(q, *of.prev).next = *of.next;
    else
        list->first = *of.next;
    if (*of.next)
        *links(q, *of.next).prev = *of.prev;
    else
        list->last = *of.prev;
    *of.prev = *of.next = 0;
    list->count--;
}

/* The queue ----------------------------------------------------------------------------------- */

static uint32_t bucket_count(uint32_t items_max)
{
    uint32_t n = 16;

    while (n < items_max && n < UINT32_C(1) << 20) n *= 2;
    return n;
}

int work_queue_init(struct work_queue *q, const struct work_queue_options *options)
{
    int r;

    ASSERT(options->environments);
    *q = (struct work_queue){.options = *options, .buckets = bucket_count(options->items_max)};
    r = slab_init(&q->items, sizeof(struct work_item), options->items_max);
    if (r == 0) r = slab_init(&q->polls, sizeof(struct poll), options->polls_max);
    if (r == 0) r = slab_init(&q->workers, sizeof(struct worker), options->workers_max);
    q->environments = calloc(options->environments, sizeof *q->environments);
    q->items_by_id = calloc(q->buckets, sizeof *q->items_by_id);
    q->workers_by_id = calloc(q->buckets, sizeof *q->workers_by_id);
    if (r == 0 && (!q->environments || !q->items_by_id || !q->workers_by_id)) r = -ENOMEM;
    if (r < 0) work_queue_deinit(q);
    return r;
}

void work_queue_deinit(struct work_queue *q)
{
    if (!q) return;
    slab_deinit(&q->items);
    slab_deinit(&q->polls);
    slab_deinit(&q->workers);
    free(q->environments);
    free(q->items_by_id);
    free(q->workers_by_id);
    *q = (struct work_queue){0};
}

size_t work_queue_bytes(const struct work_queue *q)
{
    return slab_bytes(&q->items) + slab_bytes(&q->polls) + slab_bytes(&q->workers) +
           q->options.environments * sizeof *q->environments + 2 * q->buckets * sizeof *q->items_by_id;
}

static struct work_item *item_of(const struct work_queue *q, uint32_t id)
{
    struct work_item *item = slab_get(&q->items, id);

    ASSERT(item);
    return item;
}

static struct work_environment *environment_of(const struct work_queue *q, uint32_t environment)
{
    ASSERT(environment < q->options.environments);
    return &q->environments[environment];
}

struct work_item *work_queue_item(const struct work_queue *q, uint32_t item)
{
    return slab_get(&q->items, item);
}

uint32_t work_queue_find(const struct work_queue *q, uint64_t id)
{
    uint32_t ref = q->items_by_id[id & (q->buckets - 1)];

    while (ref && item_of(q, ref)->id != id) ref = item_of(q, ref)->hash_next;
    return ref;
}

static void item_forget(struct work_queue *q, uint32_t ref)
{
    struct work_item *item = item_of(q, ref);
    uint32_t *at = &q->items_by_id[item->id & (q->buckets - 1)];

    while (*at != ref) at = &item_of(q, *at)->hash_next;
    *at = item->hash_next;
    slab_free(&q->items, ref);
}

uint32_t work_queue_add(struct work_queue *q, nsec_t now, uint32_t environment, uint32_t session)
{
    struct work_environment *env = environment_of(q, environment);
    uint32_t ref = slab_alloc(&q->items);
    struct work_item *item;
    uint32_t *bucket;

    if (!ref) return 0;
    item = item_of(q, ref);
    *item = (struct work_item){.id = ++q->last_id,
                               .created_at = now,
                               .queued_at = now,
                               .until = NSEC_MAX,
                               .ttl_ns = q->options.lease_ttl_ns,
                               .beat = WORK_BEAT_NONE,
                               .armed_at = NSEC_MAX,
                               .session = session,
                               .environment = environment};
    bucket = &q->items_by_id[item->id & (q->buckets - 1)];
    item->hash_next = *bucket;
    *bucket = ref;
    list_put(q, item_links, &env->queued, ref, false);
    return ref;
}

bool work_item_held(const struct work_item *item)
{
    return item->state == ITEM_STARTING || item->state == ITEM_ACTIVE || item->state == ITEM_STOPPING;
}

/* Every change of state, and of being claimed, goes through here. */
static void item_set(struct work_queue *q, nsec_t now, uint32_t ref, enum item_state state, bool claimed)
{
    struct work_item *item = item_of(q, ref);
    struct work_environment *env = environment_of(q, item->environment);

    ASSERT(item->state != ITEM_STOPPED && (state == ITEM_QUEUED || !claimed));
    ASSERT(state == ITEM_QUEUED || state == ITEM_STOPPED || state > item->state);
    if (item->state == ITEM_QUEUED)
        list_take(q, item_links, item->claimed ? &env->claimed : &env->queued, ref);
    item->state = (uint8_t)state;
    item->claimed = claimed;
    item->until = NSEC_MAX;
    if (state != ITEM_QUEUED) return;
    if (claimed) {
        item->until = nsec_add(now, q->options.reclaim_ns);
        list_put(q, item_links, &env->claimed, ref, false);
    } else {
        item->queued_at = now;
        item->beat = WORK_BEAT_NONE;
        item->ttl_ns = q->options.lease_ttl_ns;
        list_put(q, item_links, &env->queued, ref, true);
    }
}

/* Polls --------------------------------------------------------------------------------------- */

static uint32_t *worker_bucket(const struct work_queue *q, uint64_t id, uint32_t environment)
{
    return &q->workers_by_id[mix64_chain(id, environment) & (q->buckets - 1)];
}

static struct worker *worker_of(const struct work_queue *q, uint32_t ref)
{
    return slab_get_unchecked(&q->workers, ref);
}

static void worker_forget(struct work_queue *q, uint32_t ref)
{
    struct worker *worker = worker_of(q, ref);
    uint32_t *at = worker_bucket(q, worker->id, worker->environment);

    while (*at != ref) at = &worker_of(q, *at)->hash_next;
    *at = worker->hash_next;
    environment_of(q, worker->environment)->workers--;
    list_take(q, worker_links, &q->seen, ref);
    slab_free(&q->workers, ref);
}

static void workers_forget_old(struct work_queue *q, nsec_t now)
{
    while (q->seen.first && now - worker_of(q, q->seen.first)->seen_at >= WORK_SEEN_NS)
        worker_forget(q, q->seen.first);
}

static void worker_seen(struct work_queue *q, nsec_t now, uint64_t id, uint32_t environment)
{
    uint32_t *bucket = worker_bucket(q, id, environment), ref;
    struct worker *worker;

    workers_forget_old(q, now); /* may forget this very worker */
    ref = *bucket;
    while (ref && (worker_of(q, ref)->id != id || worker_of(q, ref)->environment != environment))
        ref = worker_of(q, ref)->hash_next;
    if (ref) {
        list_take(q, worker_links, &q->seen, ref);
    } else {
        if (slab_count(&q->workers) == q->options.workers_max) worker_forget(q, q->seen.first);
        ref = slab_alloc(&q->workers);
        if (!ref) return; /* out of memory: the count is too low, nothing else */
        worker = worker_of(q, ref);
        worker->id = id;
        worker->environment = environment;
        worker->hash_next = *bucket;
        *bucket = ref;
        environment_of(q, environment)->workers++;
    }
    worker_of(q, ref)->seen_at = now;
    list_put(q, worker_links, &q->seen, ref, false);
}

static uint32_t claim_first(struct work_queue *q, nsec_t now, struct work_environment *env)
{
    uint32_t ref = env->queued.first;

    if (ref) item_set(q, now, ref, ITEM_QUEUED, true);
    return ref;
}

/* Claims older than this poll is ready to wait for are queued again. */
static void reclaim_for(struct work_queue *q, nsec_t now, struct work_environment *env, nsec_t reclaim_ns)
{
    nsec_t older = q->options.reclaim_ns;

    if (reclaim_ns == 0 || reclaim_ns >= older || env->queued.first || !env->claimed.first) return;
    older -= reclaim_ns;
    if (nsec_sub0(item_of(q, env->claimed.first)->until, older) <= now)
        item_set(q, now, env->claimed.first, ITEM_QUEUED, false);
}

enum work_poll_outcome work_queue_poll(struct work_queue *q, nsec_t now,
                                       const struct work_poll_request *request, uint32_t *ret)
{
    struct work_environment *env = environment_of(q, request->environment);
    uint32_t ref;

    worker_seen(q, now, request->worker, request->environment);
    reclaim_for(q, now, env, request->reclaim_ns);
    ref = claim_first(q, now, env);
    if (ref) {
        *ret = ref;
        return WORK_POLL_CLAIMED;
    }
    if (request->block_ns) ref = slab_alloc(&q->polls);
    if (!ref) return WORK_POLL_EMPTY;
    *(struct poll *)slab_get_unchecked(&q->polls, ref) =
        (struct poll){.environment = request->environment, .handle = request->handle};
    list_put(q, poll_links, &env->polls, ref, false);
    *ret = ref;
    return WORK_POLL_WAITS;
}

bool work_queue_match(struct work_queue *q, nsec_t now, uint32_t environment, struct work_match *ret_match)
{
    struct work_environment *env = environment_of(q, environment);
    uint32_t ref;

    if (!env->polls.first || !env->queued.first) return false;
    work_queue_poll_end(q, env->polls.first, &ret_match->handle);
    ref = claim_first(q, now, env);
    ret_match->item = ref;
    ret_match->waited_ns = now - item_of(q, ref)->queued_at;
    return true;
}

bool work_queue_poll_end(struct work_queue *q, uint32_t ref, uint32_t *ret_handle)
{
    const struct poll *poll = slab_get(&q->polls, ref);

    if (!poll) return false;
    if (ret_handle) *ret_handle = poll->handle;
    list_take(q, poll_links, &environment_of(q, poll->environment)->polls, ref);
    slab_free(&q->polls, ref);
    return true;
}

void work_queue_polls_drop(struct work_queue *q)
{
    for (uint32_t i = 0; i < q->options.environments; i++)
        while (q->environments[i].polls.first) work_queue_poll_end(q, q->environments[i].polls.first, NULL);
}

/* Holders ------------------------------------------------------------------------------------- */

enum work_outcome work_queue_ack(struct work_queue *q, nsec_t now, uint32_t ref)
{
    struct work_item *item = item_of(q, ref);

    ASSERT(now < item->until);
    if (item->state == ITEM_STARTING) return WORK_DONE; /* its worker did not get the answer */
    if (item->state != ITEM_QUEUED || !item->claimed) return WORK_CONFLICT;
    item_set(q, now, ref, ITEM_STARTING, false);
    item->until = nsec_add(now, item->ttl_ns);
    return WORK_DONE;
}

enum work_beat_outcome work_queue_heartbeat(struct work_queue *q, nsec_t now, uint32_t ref, uint64_t expected,
                                            nsec_t ttl_ns)
{
    struct work_item *item = item_of(q, ref);

    ASSERT(now < item->until);
    if (expected != item->beat) return WORK_BEAT_MISMATCH;
    if (item->state == ITEM_QUEUED) return WORK_BEAT_CONFLICT;
    if (item->state == ITEM_STOPPED) return WORK_BEAT_STOPPED;
    if (item->state == ITEM_STARTING) item_set(q, now, ref, ITEM_ACTIVE, false);
    item->ttl_ns = ttl_ns ? nsec_min(ttl_ns, q->options.lease_ttl_max_ns) : q->options.lease_ttl_ns;
    item->until = nsec_add(now, item->ttl_ns);
    item->beat = item->beat_last = now > item->beat_last ? now : item->beat_last + 1;
    return WORK_BEAT_ACCEPTED;
}

enum work_outcome work_queue_stop(struct work_queue *q, nsec_t now, uint32_t ref, bool force)
{
    struct work_item *item = item_of(q, ref);
    nsec_t until = item->until;

    ASSERT(now < until);
    if (item->state == ITEM_STOPPED) return WORK_CONFLICT;
    if (force || !work_item_held(item)) {
        item_set(q, now, ref, ITEM_STOPPED, false);
    } else if (item->state != ITEM_STOPPING) {
        item_set(q, now, ref, ITEM_STOPPING, false);
        item->until = until;
    }
    return WORK_DONE;
}

enum work_expiry work_queue_expire(struct work_queue *q, nsec_t now, uint32_t ref)
{
    struct work_item *item = item_of(q, ref);
    enum work_expiry expiry = item->state == ITEM_QUEUED ? WORK_EXPIRY_RECLAIMED : WORK_EXPIRY_LAPSED;

    if (now < item->until) return WORK_EXPIRY_NONE;
    if (item->state == ITEM_STOPPING) {
        item_set(q, now, ref, ITEM_STOPPED, false);
        return WORK_EXPIRY_STOPPED;
    }
    item_set(q, now, ref, ITEM_QUEUED, false);
    return expiry;
}

void work_queue_retire(struct work_queue *q, uint32_t ref)
{
    struct work_item *item = item_of(q, ref);

    ASSERT(item->state == ITEM_STOPPED && !item->retired);
    item->retired = true;
    list_put(q, item_links, &q->retired, ref, false);
    while (q->retired.count > q->options.retired_max) {
        uint32_t oldest = q->retired.first;

        list_take(q, item_links, &q->retired, oldest);
        item_forget(q, oldest);
    }
}

struct work_stats work_queue_stats(struct work_queue *q, nsec_t now, uint32_t environment)
{
    const struct work_environment *env = environment_of(q, environment);
    nsec_t oldest = NSEC_MAX;

    workers_forget_old(q, now);
    /* Those that came back stand in front and are the newest: so look at all. */
    for (uint32_t ref = env->queued.first; ref; ref = item_of(q, ref)->next)
        oldest = nsec_min(oldest, item_of(q, ref)->queued_at);
    return (struct work_stats){.depth = env->queued.count,
                               .pending = env->claimed.count,
                               .oldest_queued_at = env->queued.count ? oldest : 0,
                               .workers_polling = env->workers};
}
