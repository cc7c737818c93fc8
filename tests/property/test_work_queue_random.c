/*
 * Random interleavings of everything that workers, users and time can do to the work queue, against a model
 * that knows only the rules: no expected value is accepted twice, no two live leases, no item lost, each
 * claim of a waiting item once.
 */
#include "sim/policy/work_queue.h"

#include <string.h>

#include "sim/base/prng.h"
#include "tests/base/suite.h"

enum { SEEDS = 3000, STEPS = 400, ITEMS = 12, WORKERS = 5, ENVIRONMENTS = 2, BEATS = STEPS };

struct model_item {
    uint32_t ref;
    bool waiting; /* in the queue, not claimed */
    nsec_t queued_at;
    uint32_t epoch;        /* +1 each time it is queued again */
    uint32_t none_epoch;   /* 1 + the epoch in which "none yet" was accepted */
    int holder;            /* worker with the live lease, or -1 */
    uint64_t beats[BEATS]; /* expected values that were accepted */
    uint32_t beat_count;
    bool stopped;
};

struct model_worker {
    int item;      /* that it was given, or -1 */
    uint64_t last; /* the heartbeat it got last */
    uint64_t old;  /* one that it got before */
    uint32_t poll; /* its waiting poll, or 0 */
};

struct model {
    struct work_queue queue;
    struct prng prng;
    struct model_item items[ITEMS];
    struct model_worker workers[WORKERS];
    int item_count;
    nsec_t now;
    uint64_t claims;
};

static uint64_t totals[2]; /* heartbeats accepted, claims */

static int below(struct model *m, int n)
{
    return (int)prng_below(&m->prng, (uint64_t)n);
}

static const struct work_item *item_at(const struct model *m, int i)
{
    return work_queue_item(&m->queue, m->items[i].ref);
}

static void given(struct model *m, int worker, uint32_t ref, nsec_t waited_ns)
{
    for (int i = 0; i < m->item_count; i++) {
        struct model_item *item = &m->items[i];

        if (item->ref != ref) continue;
        MUST(item->waiting && !item->stopped);
        MUST(waited_ns == m->now - item->queued_at);
        item->waiting = false;
        m->claims++;
        m->workers[worker] = (struct model_worker){
            .item = i,
            .last = WORK_BEAT_NONE,
            .old = m->workers[worker].item == i ? m->workers[worker].last : WORK_BEAT_NONE - 1};
        return;
    }
    ck_abort_msg("an item that was never added");
}

static void match_all(struct model *m)
{
    struct work_match match;

    for (uint32_t e = 0; e < ENVIRONMENTS; e++)
        while (work_queue_match(&m->queue, m->now, e, &match)) {
            m->workers[match.handle].poll = 0;
            given(m, (int)match.handle, match.item, match.waited_ns);
        }
}

static void requeued(struct model *m, struct model_item *item)
{
    item->waiting = true;
    item->queued_at = m->now;
    item->epoch++;
    item->holder = -1;
}

static void expire_all(struct model *m)
{
    for (int i = 0; i < m->item_count; i++) {
        struct model_item *item = &m->items[i];

        switch (work_queue_expire(&m->queue, m->now, item->ref)) {
        case WORK_EXPIRY_NONE: break;
        case WORK_EXPIRY_RECLAIMED:
            MUST(item->holder == -1);
            requeued(m, item);
            break;
        case WORK_EXPIRY_LAPSED: requeued(m, item); break;
        case WORK_EXPIRY_STOPPED:
            item->stopped = true;
            item->holder = -1;
            break;
        }
    }
}

static void do_add(struct model *m)
{
    struct model_item *item = &m->items[m->item_count];

    if (m->item_count == ITEMS) return;
    item->ref = work_queue_add(&m->queue, m->now, (uint32_t)below(m, ENVIRONMENTS), 0);
    MUST(item->ref != 0);
    item->waiting = true;
    item->queued_at = m->now;
    item->holder = -1;
    m->item_count++;
}

static void do_poll(struct model *m, int worker)
{
    struct work_poll_request request = {.environment = (uint32_t)below(m, ENVIRONMENTS),
                                        .worker = (uint64_t)worker,
                                        .handle = (uint32_t)worker,
                                        .block_ns = (nsec_t)below(m, 2),
                                        .reclaim_ns = (nsec_t)below(m, 3) * 10};
    uint32_t claimed = m->queue.environments[request.environment].claimed.first, ref;
    uint32_t waiting = m->queue.environments[request.environment].queued.first;

    if (m->workers[worker].poll) {
        if (below(m, 2)) return;
        MUST(work_queue_poll_end(&m->queue, m->workers[worker].poll, NULL));
        m->workers[worker].poll = 0;
    }
    switch (work_queue_poll(&m->queue, m->now, &request, &ref)) {
    case WORK_POLL_CLAIMED:
        /* A poll may take over a claim that is old enough for it: that is a reclaim first. */
        if (!waiting && ref == claimed)
            for (int i = 0; i < m->item_count; i++)
                if (m->items[i].ref == ref) requeued(m, &m->items[i]);
        given(m, worker, ref, m->now - work_queue_item(&m->queue, ref)->queued_at);
        break;
    case WORK_POLL_WAITS: m->workers[worker].poll = ref; break;
    case WORK_POLL_EMPTY: break;
    }
}

static void do_ack(struct model *m, int worker)
{
    int i = m->workers[worker].item;

    if (i < 0) return;
    if (work_queue_ack(&m->queue, m->now, m->items[i].ref) == WORK_DONE)
        MUST(!m->items[i].waiting && !m->items[i].stopped);
}

static void accepted(struct model *m, int worker, int i, uint64_t expected)
{
    struct model_item *item = &m->items[i];
    const struct work_item *real = item_at(m, i);

    if (expected == WORK_BEAT_NONE) {
        MUST(item->none_epoch != item->epoch + 1);
        item->none_epoch = item->epoch + 1;
        MUST(item->holder == -1);
    } else {
        for (uint32_t b = 0; b < item->beat_count; b++) MUST(item->beats[b] != expected);
        item->beats[item->beat_count++] = expected;
        MUST(item->holder == worker);
    }
    MUST(real->beat > expected || expected == WORK_BEAT_NONE);
    MUST(!item->waiting && !item->stopped);
    item->holder = worker;
    m->workers[worker].old = m->workers[worker].last;
    m->workers[worker].last = real->beat;
    totals[0]++;
}

static void do_heartbeat(struct model *m, int worker)
{
    struct model_worker *w = &m->workers[worker];
    const uint64_t choices[] = {w->last, w->last, w->last, w->old, WORK_BEAT_NONE, WORK_BEAT_NONE - 1};
    uint64_t expected = choices[below(m, 6)];

    if (w->item < 0) return;
    if (work_queue_heartbeat(&m->queue, m->now, m->items[w->item].ref, expected, (nsec_t)below(m, 40)) ==
        WORK_BEAT_ACCEPTED)
        accepted(m, worker, w->item, expected);
}

static void do_stop(struct model *m)
{
    int i = m->item_count ? below(m, m->item_count) : -1;

    if (i < 0) return;
    if (work_queue_stop(&m->queue, m->now, m->items[i].ref, below(m, 2)) != WORK_DONE) {
        MUST(m->items[i].stopped);
    } else if (item_at(m, i)->state == ITEM_STOPPED) {
        m->items[i].stopped = true;
        m->items[i].waiting = false;
        m->items[i].holder = -1;
    }
}

static void check_all(struct model *m)
{
    uint32_t waiting = 0, claimed = 0;

    for (uint32_t e = 0; e < ENVIRONMENTS; e++) {
        const struct work_environment *env = &m->queue.environments[e];

        MUST(!env->queued.first || !env->polls.first);
        waiting += env->queued.count;
        claimed += env->claimed.count;
    }
    for (int i = 0; i < m->item_count; i++) {
        const struct work_item *item = item_at(m, i);

        MUST(item);
        MUST(m->items[i].stopped == (item->state == ITEM_STOPPED));
        MUST(m->items[i].waiting == (item->state == ITEM_QUEUED && !item->claimed));
        if (item->state == ITEM_QUEUED)
            *(item->claimed ? &claimed : &waiting) -= 1;
        else if (item->state != ITEM_STOPPED)
            MUST(item->until > m->now && item->until != NSEC_MAX); /* its lease will end */
        if (item->claimed) MUST(item->until > m->now && item->until != NSEC_MAX);
    }
    MUST(waiting == 0);
    MUST(claimed == 0);
}

static void step(struct model *m)
{
    int worker = below(m, WORKERS);

    switch (below(m, 16)) {
    case 0: do_add(m); break;
    case 1:
    case 2:
    case 3: do_poll(m, worker); break;
    case 4:
    case 5:
    case 6: do_ack(m, worker); break;
    case 7: do_stop(m); break;
    case 8: m->now += (nsec_t)below(m, 60); break;
    case 9: m->now += (nsec_t)below(m, 5); break;
    default: do_heartbeat(m, worker); break;
    }
    expire_all(m);
    match_all(m);
    check_all(m);
}

START_TEST(rules_hold_under_random_interleaving)
{
    static struct model m;

    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct work_queue_options options = {.environments = ENVIRONMENTS,
                                             .items_max = ITEMS,
                                             .polls_max = WORKERS,
                                             .workers_max = 3,
                                             .retired_max = ITEMS,
                                             .lease_ttl_ns = 50,
                                             .lease_ttl_max_ns = 30,
                                             .reclaim_ns = 20};

        memset(&m, 0, sizeof m);
        m.prng = prng_stream(seed, 0, "work queue", 0, 0);
        for (int w = 0; w < WORKERS; w++)
            m.workers[w] = (struct model_worker){.item = -1, .last = WORK_BEAT_NONE};
        MUST(work_queue_init(&m.queue, &options) == 0);
        for (int i = 0; i < STEPS; i++) step(&m);
        totals[1] += m.claims;
        work_queue_deinit(&m.queue);
    }
    /* The walk does reach what it is to test. */
    ck_assert_uint_gt(totals[0], SEEDS * 10);
    ck_assert_uint_gt(totals[1], SEEDS * 10);
}
END_TEST

SUITE_MAIN("work_queue_random", rules_hold_under_random_interleaving)
