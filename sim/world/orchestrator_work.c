#include "sim/base/panic.h"
#include "sim/world/orchestrator_state.h"

#define POLL_BLOCK_NS_MAX (60 * NSEC_PER_S)

/* Polls at once: each worker of the plan has one, foreign ones come on top. */
static uint32_t polls_max(const struct plan *plan)
{
    uint64_t n = 1 << 14;

    for (uint32_t i = 0; i < plan->runner_count; i++)
        n += (uint64_t)plan->runners[i].instances * plan->runners[i].workers;
    return n < TAG_LIMIT ? (uint32_t)n : TAG_LIMIT;
}

int work_init(struct orchestrator *o)
{
    uint64_t items = (uint64_t)o->sessions.limit + RETIRED_ITEMS_MAX + 2;
    struct work_queue_options options = {
        .environments = o->plan->runner_count ? o->plan->runner_count : 1,
        .items_max = items < SLAB_LIMIT_MAX ? (uint32_t)items : SLAB_LIMIT_MAX,
        .polls_max = polls_max(o->plan),
        .workers_max = polls_max(o->plan),
        .retired_max = RETIRED_ITEMS_MAX,
        .lease_ttl_ns = o->options->lease_ttl_ns,
        .lease_ttl_max_ns = o->options->lease_ttl_max_ns,
        .reclaim_ns = o->options->reclaim_ns,
    };

    return work_queue_init(&o->work, &options);
}

static struct work_item *item_get(const struct orchestrator *o, uint32_t ref)
{
    struct work_item *item = work_queue_item(&o->work, ref);

    ASSERT(item);
    return item;
}

static void answer_item(const struct ctx *x, uint32_t flow, const struct work_item *item)
{
    answer(x, flow,
           (struct msg){.kind = M_WORK,
                        .a = item->id,
                        .b = item->session,
                        .c = item->state,
                        .d = item->environment,
                        .e = item->created_at});
}

static void arm_item(struct orchestrator *o, const struct ctx *x, uint32_t ref)
{
    struct work_item *item = item_get(o, ref);

    arm(x, &item->armed_at, item->until, TOKEN(PURPOSE_ITEM, ref));
}

/* An item was given to the worker that asked on `flow`. */
static void give(struct orchestrator *o, const struct ctx *x, uint32_t flow, uint32_t ref, nsec_t waited_ns)
{
    const struct work_item *item = item_get(o, ref);
    const struct session *s = session_find(o, item->session);

    recorder_record(o->recorder, METRIC_QUEUE_WAIT, waited_ns);
    recorder_count(o->recorder, COUNTER_CLAIMS, 1);
    if (s) calls_mark(o, x, s, MARK_LEASED);
    answer_item(x, flow, item);
    arm_item(o, x, ref);
}

/* Gives what is queued to those that wait. */
static void match(struct orchestrator *o, const struct ctx *x, uint32_t environment)
{
    struct work_match match;

    while (work_queue_match(&o->work, x->now, environment, &match))
        give(o, x, match.handle, match.item, match.waited_ns);
}

/* An item is stopped: counted, and replaced if its session still needs a worker. */
static void stopped(struct orchestrator *o, const struct ctx *x, uint32_t ref)
{
    const struct work_item *item = item_get(o, ref);
    struct session *s = session_find(o, item->session);

    recorder_end(o->recorder, ACCOUNT_WORK, item->slot, LEDGER_COMPLETED);
    if (s && s->item == ref && s->loop.phase != AGENT_IDLE) work_wanted(o, x, s);
}

/* Acts on the item's deadline if it has come. */
static void expire(struct orchestrator *o, const struct ctx *x, uint32_t ref)
{
    enum work_expiry expiry = work_queue_expire(&o->work, x->now, ref);
    const struct work_item *item = item_get(o, ref);
    const struct session *s = session_find(o, item->session);

    switch (expiry) {
    case WORK_EXPIRY_NONE: return;
    case WORK_EXPIRY_STOPPED:
        recorder_count(o->recorder, COUNTER_LEASE_EXPIRED, 1);
        stopped(o, x, ref);
        return;
    case WORK_EXPIRY_LAPSED: recorder_count(o->recorder, COUNTER_LEASE_EXPIRED, 1); break;
    case WORK_EXPIRY_RECLAIMED: break;
    }
    recorder_count(o->recorder, COUNTER_WORK_REQUEUED, 1);
    if (s) calls_mark(o, x, s, MARK_QUEUED);
    match(o, x, item->environment);
}

/* Requests ------------------------------------------------------------------------------------ */

static void poll(struct orchestrator *o, const struct ctx *x, const struct event *ev)
{
    struct work_poll_request request = {.environment = (uint32_t)ev->msg.a,
                                        .worker = ev->msg.b,
                                        .handle = ev->flow,
                                        .block_ns = nsec_min(ev->msg.c, POLL_BLOCK_NS_MAX),
                                        .reclaim_ns = ev->msg.d};
    uint32_t ref;

    if (ev->msg.a >= o->work.options.environments) {
        answer_error(x, ev->flow, 404, ERROR_NOT_FOUND);
        return;
    }
    switch (work_queue_poll(&o->work, x->now, &request, &ref)) {
    case WORK_POLL_CLAIMED: give(o, x, ev->flow, ref, x->now - item_get(o, ref)->queued_at); break;
    case WORK_POLL_EMPTY: answer(x, ev->flow, (struct msg){.kind = M_NO_WORK}); break;
    case WORK_POLL_WAITS:
        flow_tag(x->out, ev->flow, TAG(FLOW_POLL, ref));
        timer_set(x->out, nsec_add(x->now, request.block_ns), TOKEN(PURPOSE_POLL, ref));
        break;
    }
}

static void ack(struct orchestrator *o, const struct ctx *x, uint32_t flow, uint32_t ref)
{
    if (work_queue_ack(&o->work, x->now, ref) == WORK_CONFLICT) {
        answer_error(x, flow, 409, ERROR_CONFLICT);
        return;
    }
    answer_item(x, flow, item_get(o, ref));
    arm_item(o, x, ref);
}

static void heartbeat(struct orchestrator *o, const struct ctx *x, const struct event *ev, uint32_t ref)
{
    enum work_beat_outcome outcome = work_queue_heartbeat(&o->work, x->now, ref, ev->msg.b, ev->msg.c);
    const struct work_item *item = item_get(o, ref);
    struct msg m = {.kind = M_HEARTBEAT, .a = item->beat, .b = item->ttl_ns, .c = item->state};

    switch (outcome) {
    case WORK_BEAT_ACCEPTED:
        m.d = 1;
        arm_item(o, x, ref);
        break;
    case WORK_BEAT_STOPPED: break;
    case WORK_BEAT_MISMATCH: m.kind = M_HEARTBEAT_MISMATCH; break;
    case WORK_BEAT_CONFLICT: answer_error(x, ev->flow, 409, ERROR_CONFLICT); return;
    }
    answer(x, ev->flow, m);
}

static void stop(struct orchestrator *o, const struct ctx *x, const struct event *ev, uint32_t ref)
{
    if (work_queue_stop(&o->work, x->now, ref, ev->msg.b != 0) == WORK_CONFLICT) {
        answer_error(x, ev->flow, 409, ERROR_CONFLICT);
        return;
    }
    answer_item(x, ev->flow, item_get(o, ref));
    if (item_get(o, ref)->state == ITEM_STOPPED) stopped(o, x, ref);
}

static void stats(struct orchestrator *o, const struct ctx *x, const struct event *ev)
{
    struct work_stats s;

    if (ev->msg.a >= o->work.options.environments) {
        answer_error(x, ev->flow, 404, ERROR_NOT_FOUND);
        return;
    }
    s = work_queue_stats(&o->work, x->now, (uint32_t)ev->msg.a);
    answer(x, ev->flow,
           (struct msg){.kind = M_WORK_STATS_ANSWER,
                        .a = s.depth,
                        .b = s.pending,
                        .c = s.oldest_queued_at,
                        .d = s.workers_polling});
}

static void item_request(struct orchestrator *o, const struct ctx *x, const struct event *ev)
{
    uint32_t ref = work_queue_find(&o->work, ev->msg.a);

    /* What is due comes first, also when its timer is behind this message in the same moment. */
    if (ref) expire(o, x, ref);
    if (!work_queue_item(&o->work, ref)) {
        answer_error(x, ev->flow, 404, ERROR_NOT_FOUND);
        return;
    }
    switch ((enum msg_kind)ev->msg.kind) {
    case M_WORK_ACK: ack(o, x, ev->flow, ref); break;
    case M_WORK_HEARTBEAT: heartbeat(o, x, ev, ref); break;
    case M_WORK_STOP: stop(o, x, ev, ref); break;
    case M_WORK_GET: answer_item(x, ev->flow, item_get(o, ref)); break;
    default: UNREACHABLE();
    }
}

void work_request(struct orchestrator *o, const struct ctx *x, const struct event *ev)
{
    if (ev->msg.kind == M_WORK_POLL)
        poll(o, x, ev);
    else if (ev->msg.kind == M_WORK_STATS)
        stats(o, x, ev);
    else
        item_request(o, x, ev);
}

/* Timers -------------------------------------------------------------------------------------- */

void work_poll_timer(struct orchestrator *o, const struct ctx *x, uint32_t ref)
{
    uint32_t flow;

    if (work_queue_poll_end(&o->work, ref, &flow)) answer(x, flow, (struct msg){.kind = M_NO_WORK});
}

void work_item_timer(struct orchestrator *o, const struct ctx *x, uint32_t ref)
{
    struct work_item *item = work_queue_item(&o->work, ref);

    if (item && due(x, &item->armed_at, item->until, TOKEN(PURPOSE_ITEM, ref))) expire(o, x, ref);
}

/* For sessions -------------------------------------------------------------------------------- */

void work_wanted(struct orchestrator *o, const struct ctx *x, struct session *s)
{
    const struct work_item *item = work_queue_item(&o->work, s->item);

    if (item && item->state != ITEM_STOPPED) return;
    if (item) work_queue_retire(&o->work, s->item);
    s->item = work_queue_add(&o->work, x->now, s->environment, s->serial);
    if (!s->item) PANIC_MEMORY("no memory for a work item more");
    item_get(o, s->item)->slot = recorder_open(o->recorder, ACCOUNT_WORK);
    match(o, x, s->environment);
}

void work_unwanted(struct orchestrator *o, const struct ctx *x, struct session *s)
{
    const struct work_item *item = work_queue_item(&o->work, s->item);

    if (!item) return;
    if (item->state != ITEM_STOPPED) {
        /* Due or not makes no difference any more. */
        if (work_queue_expire(&o->work, x->now, s->item) != WORK_EXPIRY_STOPPED)
            work_queue_stop(&o->work, x->now, s->item, true);
        recorder_end(o->recorder, ACCOUNT_WORK, item->slot, LEDGER_COMPLETED);
    }
    work_queue_retire(&o->work, s->item);
    s->item = 0;
}

bool work_held(const struct orchestrator *o, const struct session *s)
{
    const struct work_item *item = work_queue_item(&o->work, s->item);

    return item && work_item_held(item);
}

void work_end_all(struct orchestrator *o, enum ledger_end end)
{
    slab_for_each(ref, &o->work.items)
    {
        const struct work_item *item = item_get(o, ref);

        if (item->state != ITEM_STOPPED) recorder_end(o->recorder, ACCOUNT_WORK, item->slot, end);
    }
}

void work_recover(struct orchestrator *o, const struct ctx *x)
{
    slab_for_each(ref, &o->work.items)
    {
        item_get(o, ref)->armed_at = NSEC_MAX;
        arm_item(o, x, ref);
    }
}
