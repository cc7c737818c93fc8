#include "sim/world/runner.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/panic.h"
#include "sim/base/prng.h"
#include "sim/plan/fault_rules.h"

/* The pool
 * ------------------------------------------------------------------------------------------------------- */

static void session_sandbox_ready(struct runner *r, struct slot *s, nsec_t now, struct outbox *out)
{
    s->sandbox_ready = true;
    for (uint32_t id = s->first; id;) {
        struct call *c = slab_get_unchecked(&r->calls, id);
        uint32_t next = c->next;

        runner_call_sandbox_ready(r, id, c, now, out);
        id = next;
    }
}

static void pool_event(struct runner *r, const struct sandbox_event *ev, nsec_t now, struct outbox *out)
{
    bool ready = ev->type == SANDBOX_READY;

    if (ready) recorder_record(runner_recorder(r), METRIC_SANDBOX_START, ev->waited_ns);
    if (TAG_KIND(ev->user) == TAG_CALL) {
        struct call *c = slab_get(&r->calls, ev->user);

        ASSERT(c && c->use == ev->use);
        if (ready)
            runner_call_sandbox_ready(r, ev->user, c, now, out);
        else
            runner_call_sandbox_started(r, c);
    } else {
        struct slot *s = &r->slots[TAG_NUMBER(ev->user)];

        ASSERT(s->use == ev->use);
        if (ready) {
            session_sandbox_ready(r, s, now, out);
        } else {
            s->sandbox_entry = recorder_open(runner_recorder(r), ACCOUNT_SANDBOX);
            s->sandbox_billed = true;
        }
    }
}

static void pool_count(struct runner *r, nsec_t now, bool all)
{
    struct sandbox_stats stats = sandbox_pool_collect(r->sandboxes, now, all);
    struct recorder *rec = runner_recorder(r);

    recorder_meter(rec, METER_SANDBOX, &stats.billed);
    recorder_meter(rec, METER_SANDBOX_IDLE, &stats.idle);
    if (stats.starts) recorder_count(rec, COUNTER_SANDBOX_STARTS, stats.starts);
    if (stats.warm_hits) recorder_count(rec, COUNTER_SANDBOX_WARM_HITS, stats.warm_hits);
    if (stats.snapshots) recorder_count(rec, COUNTER_SANDBOX_SNAPSHOTS, stats.snapshots);
    if (stats.destroyed) recorder_count(rec, COUNTER_SANDBOX_DESTROYED, stats.destroyed);
}

/* What is due in the pool, by itself or by what an event did to it. */
static void pool_run(struct runner *r, nsec_t now, struct outbox *out)
{
    struct sandbox_event ev;
    nsec_t deadline;

    while (sandbox_pool_pop(r->sandboxes, now, &ev)) pool_event(r, &ev, now, out);
    pool_count(r, now, false);
    deadline = sandbox_pool_deadline(r->sandboxes);
    if (wakeup_want(&r->pool_wakeup, deadline)) timer_set(out, deadline, RUNNER_TOKEN(RUNNER_TIMER_POOL, 0));
}

/* Events
 * ---------------------------------------------------------------------------------------------------------
 */

static int pool_begin(struct runner *r, nsec_t now)
{
    struct sandbox_pool_options options = {
        .plan = r->plan,
        .seed = runner_plan(r)->seed,
        .replicate = runner_plan(r)->replicate,
        .ordinal = ADDR_ORDINAL(r->component.env.self),
        .parallel_max = plan_tenant_share(runner_plan(r), ADDR_ORDINAL(r->component.env.self)),
        .uses_max = r->calls.limit + r->plan->workers,
        .now = now};

    return sandbox_pool_new(&options, &r->sandboxes);
}

/* A crash that was due before this incarnation began is no concern of its workers. */
static void crashes_begin(struct runner *r, nsec_t now)
{
    const struct plan *plan = r->component.env.plan;
    nsec_t since = plan_back_since(plan, r->component.env.self, now);

    for (uint32_t i = 0; i < plan->fault_count; i++)
        r->crashes_left[i] = plan->faults[i].at_ns < since ? 0 : plan->faults[i].count;
}

static void start(struct runner *r, nsec_t now, struct outbox *out)
{
    crashes_begin(r, now);
    if (pool_begin(r, now) < 0) PANIC_MEMORY("out of memory for a sandbox pool");
    wakeup_init(&r->pool_wakeup);
    for (uint32_t i = 0; i < r->plan->workers; i++) {
        struct slot *s = &r->slots[i];
        uint64_t entity = (uint64_t)ADDR_ORDINAL(r->component.env.self) << 32 | i;

        *s = (struct slot){.number = i};
        wakeup_init(&s->wakeup);
        sandbox_owner_init(&s->owner);
        worker_init(&s->worker, r->plan, prng_derive(r->worker_key, entity, r->component.env.incarnation),
                    HEARTBEAT_NONE, now);
        runner_slot_run(r, s, now, out);
    }
}

static void on_timer(struct runner *r, nsec_t now, uint64_t token, struct outbox *out)
{
    uint32_t id = (uint32_t)token;
    struct slot *s = NULL;
    struct call *c;

    switch ((enum runner_timer)(token >> 32)) {
    case RUNNER_TIMER_SLOT:
        s = &r->slots[id];
        wakeup_fired(&s->wakeup, now);
        break;
    case RUNNER_TIMER_CALL:
        c = slab_get(&r->calls, id);
        if (!c) return;
        s = runner_slot_of(r, c);
        runner_call_timer(r, id, c, now, out);
        if (s->open) return; /* a worker waits for the last of its calls alone */
        break;
    case RUNNER_TIMER_POOL:
        wakeup_fired(&r->pool_wakeup, now);
        pool_run(r, now, out);
        break;
    }
    if (s) runner_slot_run(r, s, now, out);
}

/* A worker stops the item that it leaves, as the vendor's does, also when the control plane has stopped it,
 * with a deleted session: that this is said back is the usual course, and no error of anybody. */
static bool was_stopped_already(const struct runner *r, const struct event *ev)
{
    return TAG_KIND(ev->tag) == TAG_MAIN && ev->msg.a == 409 &&
           r->slots[TAG_NUMBER(ev->tag)].worker.state == WORKER_STOPPING;
}

static void on_message(struct runner *r, nsec_t now, const struct event *ev, struct outbox *out)
{
    struct slot *s;

    if (ev->from) { /* nobody has anything to ask of a runner */
        recorder_count(runner_recorder(r), COUNTER_PROTOCOL_VIOLATIONS, 1);
        if (ev->msg.type != MSG_RESET) flow_reset(out, ev->flow, RESET_PROTOCOL);
        return;
    }
    if (ev->msg.kind == M_ERROR && !was_stopped_already(r, ev))
        recorder_count_status(runner_recorder(r), ev->msg.a);
    if (TAG_KIND(ev->tag) == TAG_CALL) {
        struct call *c = slab_get(&r->calls, ev->tag);

        if (!c) return;
        s = runner_slot_of(r, c);
        runner_call_message(r, ev->tag, c, now, ev, out);
        if (s->open) return;
    } else {
        s = &r->slots[TAG_NUMBER(ev->tag)];
        if (!runner_slot_message(r, s, now, ev, out)) return;
    }
    runner_slot_run(r, s, now, out);
}

static void drain(struct runner *r, nsec_t now, struct outbox *out)
{
    for (uint32_t i = 0; i < r->plan->workers; i++) {
        worker_drain(&r->slots[i].worker);
        runner_slot_run(r, &r->slots[i], now, out);
    }
}

static void end(struct runner *r, nsec_t now, enum ledger_end how)
{
    if (!r->sandboxes) return; /* never started */
    for (uint32_t i = 0; i < r->plan->workers; i++) {
        struct slot *s = &r->slots[i];

        runner_calls_end(r, s, how);
        if (s->sandbox_billed) recorder_end(runner_recorder(r), ACCOUNT_SANDBOX, s->sandbox_entry, how);
    }
    pool_count(r, now, true);
}

static void runner_handle(struct component *component, nsec_t now, const struct event *ev, struct outbox *out)
{
    struct runner *r = (struct runner *)component;

    switch ((enum event_type)ev->type) {
    case EVENT_START: start(r, now, out); break;
    case EVENT_MSG: on_message(r, now, ev, out); break;
    case EVENT_TIMER: on_timer(r, now, ev->token, out); break;
    case EVENT_DRAIN: drain(r, now, out); break;
    case EVENT_END: end(r, now, LEDGER_IN_FLIGHT); return;
    case EVENT_CRASH: end(r, now, LEDGER_LOST); return;
    case EVENT_RECOVERED: PANIC("a runner keeps nothing");
    }
    if (sandbox_pool_has_news(r->sandboxes, now)) pool_run(r, now, out);
}

/* Birth and death
 * ------------------------------------------------------------------------------------------------ */

/* A session's calls at once: those of the plan's scripts, or generously many of a foreign orchestrator's. */
static uint32_t calls_limit(const struct plan *plan, uint32_t workers)
{
    uint64_t each = 256, all;

    for (uint32_t i = 0; i < plan->script_count; i++)
        if (2 * (uint64_t)plan->scripts[i].calls_max > each) each = 2 * (uint64_t)plan->scripts[i].calls_max;
    all = each * (workers ? workers : 1);
    return all < RUNNER_CALLS_MAX ? (uint32_t)all : RUNNER_CALLS_MAX;
}

static void runner_free(struct component *component)
{
    struct runner *r = (struct runner *)component;

    sandbox_pool_free(r->sandboxes);
    slab_deinit(&r->calls);
    free(r->slots);
    free(r->crashes_left);
    free(r);
}

static int runner_new(const struct env *env, struct component **ret)
{
    struct runner *r = calloc(1, sizeof *r);
    int error = -ENOMEM;

    if (!r) return -ENOMEM;
    r->component = (struct component){.ops = &runner_ops, .env = *env};
    r->plan = plan_runner_of(env->plan, ADDR_ORDINAL(env->self), &r->pool);
    ASSERT(r->plan && r->plan->workers < RUNNER_CALLS_MAX);
    r->slots = aligned_alloc(_Alignof(struct slot), (r->plan->workers + 1) * sizeof *r->slots);
    r->crashes_left = calloc((size_t)env->plan->fault_count + 1, sizeof *r->crashes_left);
    if (r->slots) memset(r->slots, 0, (r->plan->workers + 1) * sizeof *r->slots);
    if (r->slots && r->crashes_left)
        error = slab_init(&r->calls, sizeof(struct call), calls_limit(env->plan, r->plan->workers));
    if (error < 0) {
        runner_free(&r->component);
        return error;
    }
    r->worker_key = prng_key(env->plan->seed, env->plan->replicate, "worker");
    r->retry_key = prng_key(env->plan->seed, env->plan->replicate, "result retry");
    *ret = &r->component;
    return 0;
}

static size_t runner_memory(const struct component *component)
{
    const struct runner *r = (const struct runner *)component;
    size_t sum = sizeof *r + r->plan->workers * sizeof *r->slots + slab_bytes(&r->calls);

    return sum + (r->sandboxes ? sandbox_pool_memory(r->sandboxes) : 0);
}

static void slot_soon(const struct runner *r, uint32_t number)
{
    if (number < r->plan->workers) __builtin_prefetch(&r->slots[number]);
}

static void call_soon(const struct runner *r, uint32_t id, unsigned step)
{
    const struct call *c;

    if (slab_index(id) >= r->calls.used) return;
    c = slab_get_unchecked(&r->calls, id);
    if (step == 0) {
        __builtin_prefetch(c);
    } else if (step == 1) {
        slot_soon(r, c->slot);
        if (c->use) sandbox_pool_soon(r->sandboxes, c->use, 0);
        if (c->flags & CALL_BILLED) recorder_soon(runner_recorder(r), ACCOUNT_SANDBOX, c->sandbox_entry);
        if (c->state == CALL_POSTING) recorder_soon(runner_recorder(r), ACCOUNT_RESULT, c->entry);
    }
}

static void timer_soon(const struct runner *r, uint64_t token, unsigned step)
{
    switch ((enum runner_timer)(token >> 32)) {
    case RUNNER_TIMER_SLOT:
        if (step == 0) slot_soon(r, (uint32_t)token);
        break;
    case RUNNER_TIMER_CALL: call_soon(r, (uint32_t)token, step); break;
    case RUNNER_TIMER_POOL: {
        uint32_t user = sandbox_pool_soon(r->sandboxes, 0, step);
        if (user && TAG_KIND(user) == TAG_CALL) call_soon(r, user, 0);
        break;
    }
    }
}

static void runner_soon(const struct component *component, unsigned step, const struct prospect *what)
{
    const struct runner *r = (const struct runner *)component;
    uint32_t number = TAG_NUMBER(what->tag);

    if (!r->sandboxes) return;
    if (what->token)
        timer_soon(r, what->token, step);
    else if (TAG_KIND(what->tag) == TAG_CALL)
        call_soon(r, what->tag, step);
    else if (step == 0)
        slot_soon(r, number);
    else if (step == 1 && number < r->plan->workers) /* a tool use goes behind the last */
        call_soon(r, r->slots[number].last, 0);
}

const struct component_ops runner_ops = {
    .new = runner_new,
    .free = runner_free,
    .handle = runner_handle,
    .soon = runner_soon,
    .memory = runner_memory,
};
