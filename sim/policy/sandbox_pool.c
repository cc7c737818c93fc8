#include "sim/policy/sandbox_pool.h"

#include "sim/base/panic.h"
#include "sim/base/prng.h"
#include "sim/base/slab.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum purpose { PURPOSE_START, PURPOSE_REFILL };

enum use_state {
    USE_HELD = 1, /* by its owner's limit: in the owner's list */
    USE_QUEUED,   /* by the pool's limit: in the heap `queue` */
    USE_STARTING, /* in the heap `starting` */
    USE_READY,
};

/* There are as many as calls, so each is small. */
struct use {
    struct sandbox_owner *owner;
    nsec_t asked_ns;
    union {
        uint64_t entity; /* HELD, QUEUED */
        nsec_t since_ns; /* STARTING, READY: begin of its start */
    };
    uint32_t order; /* of requests, modulo 2^32 */
    uint32_t user;
    uint32_t prev, next; /* HELD: in its owner's list */
    uint8_t state;
};
#define USE_BYTES 60u /* with its slab's word, a cache line of its own */
_Static_assert(sizeof(struct use) <= USE_BYTES, "a cache line");

/* A sandbox that nobody uses. */
struct spare {
    struct list link;
    nsec_t since_ns; /* in this list */
    uint32_t id;
};

/* Something due, in a heap of four children a node. Ties go by `order`, compared modulo 2^32: what is in a
 * heap at one time is not further apart. */
struct due {
    nsec_t at;
    uint32_t order;
    uint32_t use;
};

/* `items` lies so that each node's children, which are compared with each other, fill a cache line. */
struct due_heap {
    struct due *items;
    size_t len, cap;
};

struct sandbox_pool {
    const struct plan_runner *plan;
    uint64_t key;
    struct prng refills;
    struct slab uses, spares;
    struct due_heap queue;    /* by order alone; entries of uses that ended are stale */
    struct due_heap starting; /* by time; a use, or USE_REFILL */
    struct list warm;         /* in the order of release */
    struct list snapshots;    /* in the order of their begin */
    struct list prewarmed;
    uint32_t warm_count, prewarmed_count;
    uint32_t parallel_max, taken; /* taken: counted by this limit */
    uint32_t waiting;             /* held or queued */
    uint32_t order;
    struct sandbox_stats stats;
    bool touched;            /* since the last collect() */
    nsec_t refills_since_ns; /* refills that are starting are billed together … */
    uint32_t refilling;      /* … so many of them */
};

#define USE_REFILL UINT32_MAX /* no id of a slab: these are fewer */

/* What is due
 * -------------------------------------------------------------------------------------------------- */

#define ARITY      4
#define CACHE_LINE 64
/* Before the first, so that its children begin a line. */
#define UNUSED (CACHE_LINE / sizeof(struct due) - 1)
_Static_assert(ARITY * sizeof(struct due) == CACHE_LINE, "a node's children fill a cache line");

static void *due_memory(const struct due_heap *h)
{
    return h->items ? h->items - UNUSED : NULL;
}

/* By a quarter: a heap may hold a large part of the pool's memory. */
static void due_grow(struct due_heap *h)
{
    size_t cap = (h->cap + h->cap / 4 + 2 * ARITY * ARITY) / ARITY * ARITY + 1; /* with UNUSED, whole lines */
    struct due *memory = aligned_alloc(CACHE_LINE, (cap + UNUSED) * sizeof *memory);

    if (!memory) PANIC_MEMORY("out of memory for %zu sandboxes that start or are waited for", cap);
    if (h->cap) memcpy(memory + UNUSED, h->items, h->cap * sizeof *memory);
    free(due_memory(h));
    h->items = memory + UNUSED;
    h->cap = cap;
}

static bool due_before(const struct due *a, const struct due *b)
{
    return a->at < b->at || (a->at == b->at && (int32_t)(a->order - b->order) < 0);
}

static void due_push(struct due_heap *h, struct due due)
{
    size_t i = h->len++;

    if (i == h->cap) due_grow(h);
    for (; i > 0 && due_before(&due, &h->items[(i - 1) / ARITY]); i = (i - 1) / ARITY)
        h->items[i] = h->items[(i - 1) / ARITY];
    h->items[i] = due;
}

static const struct due *due_peek(const struct due_heap *h)
{
    return h->len ? h->items : NULL;
}

/* Takes the first out; there must be one. */
static struct due due_pop(struct due_heap *h)
{
    struct due first = h->items[0], last = h->items[--h->len];
    size_t i = 0, child, end;

    while ((child = ARITY * i + 1) < h->len) {
        end = child + ARITY < h->len ? child + ARITY : h->len;
        /* The children of these, of which some will be compared next. */
        for (size_t k = child; k < end && ARITY * k + 1 < h->len; k++)
            __builtin_prefetch(&h->items[ARITY * k + 1]);
        for (size_t k = child + 1; k < end; k++)
            if (due_before(&h->items[k], &h->items[child])) child = k;
        if (!due_before(&h->items[child], &last)) break;
        h->items[i] = h->items[child];
        i = child;
    }
    h->items[i] = last;
    return first;
}

/* Construction
 * ------------------------------------------------------------------------------------------------ */

static void prewarmed_add(struct sandbox_pool *pool, nsec_t now);

static uint32_t bounded_sum(uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t sum = a + b + c + 1;

    return sum < SLAB_LIMIT_MAX ? (uint32_t)sum : SLAB_LIMIT_MAX;
}

int sandbox_pool_new(const struct sandbox_pool_options *options, struct sandbox_pool **ret_pool)
{
    const struct plan_runner *plan = options->plan;
    struct sandbox_pool *pool = calloc(1, sizeof *pool);
    uint32_t uses_max = bounded_sum(options->uses_max, 0, 0) - 1;
    int r;

    if (!pool) return -ENOMEM;
    pool->plan = plan;
    pool->parallel_max = options->parallel_max;
    pool->key = prng_key(options->seed, options->replicate, "sandbox");
    pool->refills = prng_derive(pool->key, options->ordinal, PURPOSE_REFILL);
    list_init(&pool->warm);
    list_init(&pool->snapshots);
    list_init(&pool->prewarmed);
    pool->touched = true;
    r = slab_init(&pool->uses, USE_BYTES, uses_max);
    if (r == 0)
        r = slab_init(&pool->spares, sizeof(struct spare),
                      bounded_sum(plan->warm_max, plan->prewarmed, uses_max));
    if (r < 0) {
        sandbox_pool_free(pool);
        return r;
    }
    for (uint32_t i = 0; i < plan->prewarmed; i++) prewarmed_add(pool, options->now);
    *ret_pool = pool;
    return 0;
}

void sandbox_pool_free(struct sandbox_pool *pool)
{
    if (!pool) return;
    slab_deinit(&pool->uses);
    slab_deinit(&pool->spares);
    free(due_memory(&pool->queue));
    free(due_memory(&pool->starting));
    free(pool);
}

void sandbox_owner_init(struct sandbox_owner *owner)
{
    *owner = (struct sandbox_owner){0};
}

/* Billing and idle sandboxes
 * ---------------------------------------------------------------------------------- */

static void bill_begin(struct sandbox_pool *pool, nsec_t now, bool idle)
{
    meter_begin(&pool->stats.billed, now, 1);
    if (idle) meter_begin(&pool->stats.idle, now, 1);
}

static void bill(struct sandbox_pool *pool, nsec_t from, nsec_t to, bool idle)
{
    meter_end(&pool->stats.billed, from, to, 1);
    if (idle) meter_end(&pool->stats.idle, from, to, 1);
}

static void spare_add(struct sandbox_pool *pool, struct list *list, nsec_t now)
{
    uint32_t id = slab_alloc(&pool->spares);
    struct spare *s;

    if (!id) PANIC("no room for one of %u idle sandboxes", pool->spares.limit);
    s = slab_get_unchecked(&pool->spares, id);
    s->since_ns = now;
    s->id = id;
    bill_begin(pool, now, list != &pool->snapshots);
    list_init(&s->link);
    list_push_back(list, &s->link);
}

static void spare_end(struct sandbox_pool *pool, struct spare *s, nsec_t at, bool idle)
{
    bill(pool, s->since_ns, at, idle);
    list_remove(&s->link);
    slab_free(&pool->spares, s->id);
}

static void prewarmed_add(struct sandbox_pool *pool, nsec_t now)
{
    spare_add(pool, &pool->prewarmed, now);
    pool->prewarmed_count++;
}

static void warm_end(struct sandbox_pool *pool, struct spare *s, nsec_t at)
{
    spare_end(pool, s, at, true);
    pool->warm_count--;
}

static void warm_destroy(struct sandbox_pool *pool, nsec_t at)
{
    warm_end(pool, list_first_entry(&pool->warm, struct spare, link), at);
    pool->stats.destroyed++;
}

static void warm_add(struct sandbox_pool *pool, nsec_t now)
{
    if (pool->plan->warm_max == 0 || pool->plan->warm_keep_ns == 0) {
        pool->stats.destroyed++;
        return;
    }
    if (pool->warm_count == pool->plan->warm_max) warm_destroy(pool, now);
    spare_add(pool, &pool->warm, now);
    pool->warm_count++;
}

/* Entries of uses that are given up leave when their time comes. */
static void starting_add(struct sandbox_pool *pool, nsec_t at, uint32_t use)
{
    due_push(&pool->starting, (struct due){.at = at, .order = pool->order++, .use = use});
}

static void refills_bill(struct sandbox_pool *pool, nsec_t now)
{
    meter_end(&pool->stats.billed, pool->refills_since_ns, now, pool->refilling);
    pool->refills_since_ns = now;
}

/* So many are starting from now on. */
static void refills_are(struct sandbox_pool *pool, nsec_t now, uint32_t refilling)
{
    refills_bill(pool, now);
    pool->refilling = refilling;
    meter_begin(&pool->stats.billed, now, refilling);
}

static void refill_start(struct sandbox_pool *pool, nsec_t now)
{
    refills_are(pool, now, pool->refilling + 1);
    pool->stats.starts++;
    starting_add(pool, nsec_add(now, dist_sample(&pool->plan->cold_start_ns, &pool->refills)), USE_REFILL);
}

static void refill_end(struct sandbox_pool *pool, nsec_t at)
{
    refills_are(pool, at, pool->refilling - 1);
    prewarmed_add(pool, at);
}

/* Takes an idle sandbox, if there is one. */
static bool idle_take(struct sandbox_pool *pool, nsec_t now)
{
    struct list *latest = list_last(&pool->warm);
    struct spare *s;

    if (latest) {
        warm_end(pool, container_of(latest, struct spare, link), now);
        return true;
    }
    s = list_first_entry(&pool->prewarmed, struct spare, link);
    if (!s) return false;
    spare_end(pool, s, now, true);
    pool->prewarmed_count--;
    refill_start(pool, now);
    return true;
}

/* Uses
 * -------------------------------------------------------------------------------------------------------- */

static bool agent_limited(const struct sandbox_pool *pool)
{
    return pool->plan->scope == SANDBOX_PER_CALL && pool->plan->parallel_per_agent != 0;
}

static bool agent_has_room(const struct sandbox_pool *pool, const struct sandbox_owner *owner)
{
    return !agent_limited(pool) || owner->counted < pool->plan->parallel_per_agent;
}

static bool pool_has_room(const struct sandbox_pool *pool)
{
    return pool->parallel_max == 0 || pool->taken < pool->parallel_max;
}

static void use_start(struct sandbox_pool *pool, nsec_t now, uint32_t id, struct use *u)
{
    struct prng p = prng_derive(pool->key, u->entity, PURPOSE_START);
    bool warm = idle_take(pool, now);
    nsec_t takes = dist_sample(warm ? &pool->plan->warm_start_ns : &pool->plan->cold_start_ns, &p);

    u->state = USE_STARTING;
    u->since_ns = now;
    bill_begin(pool, now, false);
    pool->taken++;
    if (warm)
        pool->stats.warm_hits++;
    else
        pool->stats.starts++;
    starting_add(pool, nsec_add(now, takes), id);
}

static void use_queue(struct sandbox_pool *pool, uint32_t id, struct use *u)
{
    u->state = USE_QUEUED;
    due_push(&pool->queue, (struct due){.order = u->order, .use = id});
}

static struct use *use_of(const struct sandbox_pool *pool, uint32_t id)
{
    return slab_get_unchecked(&pool->uses, id);
}

/* Behind all others of its owner that are held. */
static void use_hold(struct sandbox_pool *pool, uint32_t id, struct use *u)
{
    struct sandbox_owner *owner = u->owner;

    u->state = USE_HELD;
    u->prev = owner->held_last;
    if (u->prev)
        use_of(pool, u->prev)->next = id;
    else
        owner->held_first = id;
    owner->held_last = id;
}

static void use_unhold(struct sandbox_pool *pool, struct use *u)
{
    struct sandbox_owner *owner = u->owner;

    if (u->prev)
        use_of(pool, u->prev)->next = u->next;
    else
        owner->held_first = u->next;
    if (u->next)
        use_of(pool, u->next)->prev = u->prev;
    else
        owner->held_last = u->prev;
    u->prev = u->next = 0;
}

static bool shed(const struct sandbox_pool *pool, bool room)
{
    if (slab_count(&pool->uses) == pool->uses.limit) return true;
    if (room) return false;
    return pool->plan->on_limit == LIMIT_SHED || pool->waiting >= pool->plan->limit_queue_max;
}

enum sandbox_answer sandbox_pool_request(struct sandbox_pool *pool, nsec_t now,
                                         const struct sandbox_request *request, uint32_t *ret_use)
{
    struct sandbox_owner *owner = request->owner;
    bool agent_room = agent_has_room(pool, owner);
    bool room = agent_room && pool_has_room(pool);
    uint32_t id = shed(pool, room) ? 0 : slab_alloc(&pool->uses);
    struct use *u = slab_get(&pool->uses, id);

    pool->touched = true;
    if (!u) return SANDBOX_SHED;
    *u = (struct use){.owner = owner,
                      .order = pool->order++,
                      .entity = request->entity,
                      .asked_ns = now,
                      .user = request->user};
    *ret_use = id;
    if (agent_room) owner->counted++;
    if (room) {
        use_start(pool, now, id, u);
        return SANDBOX_STARTING;
    }
    pool->waiting++;
    if (agent_room)
        use_queue(pool, id, u);
    else
        use_hold(pool, id, u);
    return SANDBOX_WAITING;
}

/* Its own limit has room again for an owner's next use: it goes to where its order puts it. */
static void owner_let_go(struct sandbox_pool *pool, struct sandbox_owner *owner)
{
    while (owner->held_first && agent_has_room(pool, owner)) {
        uint32_t id = owner->held_first;
        struct use *u = use_of(pool, id);

        use_unhold(pool, u);
        owner->counted++;
        use_queue(pool, id, u);
    }
}

static void sandbox_end(struct sandbox_pool *pool, nsec_t now, struct use *u, bool keep)
{
    bool snapshot = keep && pool->plan->scope == SANDBOX_PER_SESSION && pool->plan->snapshot_ns != 0;

    bill(pool, u->since_ns, now, false);
    if (snapshot) {
        spare_add(pool, &pool->snapshots, now);
        return; /* it stays taken until that is done */
    }
    pool->taken--;
    if (keep)
        warm_add(pool, now);
    else
        pool->stats.destroyed++;
}

static void use_end(struct sandbox_pool *pool, nsec_t now, uint32_t id, bool keep)
{
    struct use *u = slab_get(&pool->uses, id);
    struct sandbox_owner *owner;

    ASSERT(u);
    pool->touched = true;
    owner = u->owner;
    if (u->state == USE_HELD || u->state == USE_QUEUED) {
        pool->waiting--;
        if (u->state == USE_HELD) use_unhold(pool, u);
    } else {
        sandbox_end(pool, now, u, keep && u->state == USE_READY);
    }
    if (u->state != USE_HELD) owner->counted--;
    slab_free(&pool->uses, id);
    owner_let_go(pool, owner);
}

void sandbox_pool_release(struct sandbox_pool *pool, nsec_t now, uint32_t use)
{
    use_end(pool, now, use, true);
}

void sandbox_pool_lose(struct sandbox_pool *pool, nsec_t now, uint32_t use)
{
    use_end(pool, now, use, false);
}

/* What comes next
 * -------------------------------------------------------------------------------------------------- */

static nsec_t snapshot_due(const struct sandbox_pool *pool)
{
    const struct spare *s = list_first_entry(&pool->snapshots, struct spare, link);

    return s ? nsec_add(s->since_ns, pool->plan->snapshot_ns) : NSEC_MAX;
}

static nsec_t warm_due(const struct sandbox_pool *pool)
{
    const struct spare *s = list_first_entry(&pool->warm, struct spare, link);

    return s ? nsec_add(s->since_ns, pool->plan->warm_keep_ns) : NSEC_MAX;
}

static void expire(struct sandbox_pool *pool, nsec_t now)
{
    while (snapshot_due(pool) <= now) {
        nsec_t at = snapshot_due(pool);

        spare_end(pool, list_first_entry(&pool->snapshots, struct spare, link), at, false);
        pool->stats.snapshots++;
        pool->taken--;
        warm_add(pool, at);
    }
    while (warm_due(pool) <= now) warm_destroy(pool, warm_due(pool));
}

/* The first use in the queue, stale entries thrown away; or 0. */
static uint32_t queue_first(struct sandbox_pool *pool)
{
    const struct due *first;

    while ((first = due_peek(&pool->queue))) {
        const struct use *u = slab_get(&pool->uses, first->use);

        if (u && u->state == USE_QUEUED && u->order == first->order) return first->use;
        due_pop(&pool->queue);
    }
    return 0;
}

static bool pop_queue(struct sandbox_pool *pool, nsec_t now, struct sandbox_event *ret_event)
{
    uint32_t id = pool_has_room(pool) ? queue_first(pool) : 0;
    struct use *u;

    if (!id) return false;
    u = use_of(pool, id);
    due_pop(&pool->queue);
    pool->waiting--;
    use_start(pool, now, id, u);
    *ret_event = (struct sandbox_event){SANDBOX_STARTED, id, u->user, now - u->asked_ns};
    return true;
}

static bool pop_starting(struct sandbox_pool *pool, nsec_t now, struct sandbox_event *ret_event)
{
    while (pool->starting.len && pool->starting.items[0].at <= now) {
        struct due due = due_pop(&pool->starting);
        struct use *u;

        if (due.use == USE_REFILL) {
            refill_end(pool, due.at);
            continue;
        }
        u = slab_get(&pool->uses, due.use);
        if (!u || u->state != USE_STARTING) continue; /* given up meanwhile */
        u->state = USE_READY;
        *ret_event = (struct sandbox_event){SANDBOX_READY, due.use, u->user, now - u->asked_ns};
        return true;
    }
    return false;
}

bool sandbox_pool_pop(struct sandbox_pool *pool, nsec_t now, struct sandbox_event *ret_event)
{
    expire(pool, now);
    return pop_starting(pool, now, ret_event) || pop_queue(pool, now, ret_event);
}

bool sandbox_pool_has_news(const struct sandbox_pool *pool, nsec_t now)
{
    return pool->touched || sandbox_pool_deadline(pool) <= now;
}

nsec_t sandbox_pool_deadline(const struct sandbox_pool *pool)
{
    const struct due *first = due_peek(&pool->starting);

    return nsec_min(first ? first->at : NSEC_MAX, nsec_min(snapshot_due(pool), warm_due(pool)));
}

uint32_t sandbox_pool_soon(const struct sandbox_pool *pool, uint32_t use, unsigned step)
{
    const struct due *first = due_peek(&pool->starting);
    const struct use *u;

    if (!use && first && first->use != USE_REFILL) use = first->use;
    if (!use || slab_index(use) >= pool->uses.used) return 0;
    u = slab_get_unchecked(&pool->uses, use);
    if (step) return u->user;
    __builtin_prefetch(u);
    return 0;
}

/* Numbers
 * ------------------------------------------------------------------------------------------------------ */

static void bill_list(struct sandbox_pool *pool, struct list *list, nsec_t now, bool idle)
{
    list_for_each(s, list, struct spare, link)
    {
        bill(pool, s->since_ns, now, idle);
        s->since_ns = now;
    }
}

struct sandbox_stats sandbox_pool_collect(struct sandbox_pool *pool, nsec_t now, bool all)
{
    struct sandbox_stats stats;

    if (all) {
        bill_list(pool, &pool->warm, now, true);
        bill_list(pool, &pool->prewarmed, now, true);
        bill_list(pool, &pool->snapshots, now, false);
        refills_bill(pool, now);
        slab_for_each(id, &pool->uses)
        {
            struct use *u = slab_get_unchecked(&pool->uses, id);

            if (u->state != USE_STARTING && u->state != USE_READY) continue;
            bill(pool, u->since_ns, now, false);
            u->since_ns = now;
        }
    }
    stats = pool->stats;
    pool->touched = false;
    pool->stats = (struct sandbox_stats){0};
    return stats;
}

uint32_t sandbox_pool_in_use(const struct sandbox_pool *pool)
{
    return pool->taken;
}

uint32_t sandbox_pool_waiting(const struct sandbox_pool *pool)
{
    return pool->waiting;
}

uint32_t sandbox_pool_idle(const struct sandbox_pool *pool)
{
    return pool->warm_count + pool->prewarmed_count;
}

size_t sandbox_pool_memory(const struct sandbox_pool *pool)
{
    size_t heaps = pool->queue.cap + pool->starting.cap;

    return sizeof *pool + slab_bytes(&pool->uses) + slab_bytes(&pool->spares) + heaps * sizeof(struct due);
}
