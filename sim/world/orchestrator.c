#include <errno.h>
#include <stdlib.h>

#include "sim/world/answer_fault.h"
#include "sim/world/orchestrator_state.h"

#define RETRY_AFTER_LIMIT_NS NSEC_PER_S /* what a client over a limit is told */

_Static_assert((int)ITEM_QUEUED == (int)WORK_QUEUED && (int)ITEM_STARTING == (int)WORK_STARTING &&
                   (int)ITEM_ACTIVE == (int)WORK_ACTIVE && (int)ITEM_STOPPING == (int)WORK_STOPPING &&
                   (int)ITEM_STOPPED == (int)WORK_STOPPED,
               "states of work items are those of the wire");
_Static_assert(WORK_BEAT_NONE == HEARTBEAT_NONE, "the queue's word for no heartbeat is the wire's");

/* Small answers ------------------------------------------------------------------------------- */

void answer(const struct ctx *x, uint32_t flow, struct msg m)
{
    m.flags = MSG_LAST;
    m.bytes = BYTES_HEAD;
    flow_answer(x->out, flow, m);
}

void answer_error(const struct ctx *x, uint32_t flow, uint32_t status, enum error_code code)
{
    answer(x, flow, (struct msg){.kind = M_ERROR, .a = status, .b = code});
}

void answer_limit(struct orchestrator *o, const struct ctx *x, uint32_t flow)
{
    recorder_count(o->recorder, COUNTER_REQUESTS_SHED, 1);
    answer(x, flow, (struct msg){.kind = M_ERROR, .a = 429, .b = ERROR_LIMIT, .c = RETRY_AFTER_LIMIT_NS});
}

/* Timers -------------------------------------------------------------------------------------- */

void arm(const struct ctx *x, nsec_t *armed_at, nsec_t deadline, uint64_t token)
{
    if (deadline >= *armed_at) return;
    timer_set(x->out, deadline, token);
    *armed_at = deadline;
}

bool due(const struct ctx *x, nsec_t *armed_at, nsec_t deadline, uint64_t token)
{
    if (x->now >= *armed_at) *armed_at = NSEC_MAX;
    if (x->now >= deadline) return true;
    arm(x, armed_at, deadline, token);
    return false;
}

/* Life ---------------------------------------------------------------------------------------- */

static void orchestrator_free(struct component *component)
{
    struct orchestrator *o = (struct orchestrator *)component;

    if (!o) return;
    slab_for_each(ref, &o->uploads)
        vec_deinit(&((struct upload *)slab_get_unchecked(&o->uploads, ref))->more);
    session_log_store_deinit(&o->logs);
    work_queue_deinit(&o->work);
    mcp_pools_deinit(&o->mcp);
    slab_deinit(&o->sessions);
    slab_deinit(&o->calls);
    slab_deinit(&o->spills);
    slab_deinit(&o->streams);
    slab_deinit(&o->uploads);
    free(o->sessions_by_serial);
    free(o);
}

static int stores_init(struct orchestrator *o)
{
    uint32_t sessions = o->options->sessions_max ? o->options->sessions_max : 1;
    uint64_t streams = 4 * (uint64_t)sessions + 64;
    int r;

    if (sessions > SLAB_LIMIT_MAX) sessions = SLAB_LIMIT_MAX;
    for (o->buckets = 16; o->buckets < sessions;) o->buckets *= 2;
    o->sessions_by_serial = calloc(o->buckets, sizeof *o->sessions_by_serial);
    if (!o->sessions_by_serial) return -ENOMEM;
    if ((r = slab_init(&o->sessions, sizeof(struct session), sessions)) < 0) return r;
    if ((r = slab_init(&o->calls, sizeof(struct call), SLAB_LIMIT_MAX)) < 0) return r;
    if ((r = slab_init(&o->spills, sizeof(struct spilled), SLAB_LIMIT_MAX)) < 0) return r;
    if (streams >= TAG_LIMIT) streams = TAG_LIMIT;
    if ((r = slab_init(&o->streams, sizeof(struct event_stream), (uint32_t)streams)) < 0) return r;
    if ((r = slab_init(&o->uploads, sizeof(struct upload), UPLOADS_MAX)) < 0) return r;
    return session_log_store_init(&o->logs, UINT64_C(1) << 28);
}

static int orchestrator_new(const struct env *env, struct component **ret)
{
    struct orchestrator *o = calloc(1, sizeof *o);
    const struct plan *plan = env->plan;
    int r;

    if (!o) return -ENOMEM;
    o->component = (struct component){.ops = &orchestrator_ops, .env = *env};
    o->plan = plan;
    o->options = &plan->orchestrator;
    o->recorder = env->recorder;
    o->tunnels = plan->tunnels.count ? plan->tunnels.count : 1;
    o->retry_key = prng_key(plan->seed, plan->replicate, "mcp retry");
    o->faults = answer_fault_stream(env);
    agent_scripts_init(&o->scripts, plan);
    r = stores_init(o);
    if (r == 0) r = work_init(o);
    if (r == 0) r = mcp_init(o);
    if (r < 0) {
        orchestrator_free(&o->component);
        return r;
    }
    *ret = &o->component;
    return 0;
}

static size_t orchestrator_memory(const struct component *component)
{
    const struct orchestrator *o = (const struct orchestrator *)component;

    return sizeof *o + o->buckets * sizeof *o->sessions_by_serial + session_log_store_bytes(&o->logs) +
           work_queue_bytes(&o->work) + mcp_pools_bytes(&o->mcp) + slab_bytes(&o->sessions) +
           slab_bytes(&o->calls) + slab_bytes(&o->spills) + slab_bytes(&o->streams) + slab_bytes(&o->uploads);
}

/* What neither a durable state nor anything else keeps. */
static void drop_volatile(struct orchestrator *o, enum ledger_end end)
{
    streams_drop(o, end);
    mcp_drop(o, end);
    work_queue_polls_drop(&o->work);
}

/* The run, or this incarnation, is over: every open entry of the ledger ends. */
static void end_all(struct orchestrator *o, enum ledger_end end)
{
    drop_volatile(o, end);
    calls_end_all(o, end);
    work_end_all(o, end);
}

static void recover(struct orchestrator *o, const struct ctx *x)
{
    drop_volatile(o, LEDGER_LOST);
    work_recover(o, x);
    slab_for_each(ref, &o->sessions) turn_recover(o, x, session_get(o, ref));
}

/* Dispatch ------------------------------------------------------------------------------------ */

static void on_request(struct orchestrator *o, const struct ctx *x, const struct event *ev)
{
    const struct plan_fault *fault = answer_fault(&o->component.env, x->now, &o->faults);

    if (fault) {
        flow_answer(x->out, ev->flow, answer_fault_msg(fault));
        return;
    }
    switch ((enum msg_kind)ev->msg.kind) {
    case M_SESSION_CREATE: session_create(o, x, ev); break;
    case M_SESSION_GET: session_describe(o, x, ev); break;
    case M_SESSION_DELETE: session_delete(o, x, ev); break;
    case M_EVENTS_SEND: events_post(o, x, ev); break;
    case M_EVENTS_LIST: events_list(o, x, ev); break;
    case M_STREAM: events_stream(o, x, ev); break;
    case M_WORK_POLL:
    case M_WORK_ACK:
    case M_WORK_HEARTBEAT:
    case M_WORK_STOP:
    case M_WORK_GET:
    case M_WORK_STATS: work_request(o, x, ev); break;
    default:
        recorder_count(o->recorder, COUNTER_PROTOCOL_VIOLATIONS, 1);
        answer_error(x, ev->flow, 400, ERROR_INVALID);
        break;
    }
}

static void on_msg(struct orchestrator *o, const struct ctx *x, const struct event *ev)
{
    uint32_t ref = TAG_REF(ev->tag);

    switch (TAG_KIND(ev->tag)) {
    case FLOW_NONE:
        /* What follows on a flow that was answered already has nobody to go to. */
        if (ev->msg.type == MSG_OPEN) on_request(o, x, ev);
        break;
    case FLOW_POLL:
        if (ev->msg.type == MSG_RESET) work_queue_poll_end(&o->work, ref, NULL);
        break;
    case FLOW_STREAM: stream_event(o, x, ref, ev); break;
    case FLOW_UPLOAD: upload_event(o, x, ref, ev); break;
    case FLOW_MCP: mcp_event(o, x, ref, ev); break;
    }
}

static void on_timer(struct orchestrator *o, const struct ctx *x, uint64_t token)
{
    uint32_t ref = TOKEN_REF(token);
    struct session *s;

    switch (TOKEN_PURPOSE(token)) {
    case PURPOSE_MODEL:
        s = slab_get(&o->sessions, ref);
        if (s) turn_model_timer(o, x, s);
        break;
    case PURPOSE_CALLS:
        s = slab_get(&o->sessions, ref);
        if (s) calls_timer(o, x, s);
        break;
    case PURPOSE_ITEM: work_item_timer(o, x, ref); break;
    case PURPOSE_POLL: work_poll_timer(o, x, ref); break;
    case PURPOSE_RETRY: mcp_retry_timer(o, x, ref); break;
    case PURPOSE_MCP: mcp_stream_timer(o, x, ref); break;
    }
}

static void orchestrator_handle(struct component *component, nsec_t now, const struct event *ev,
                                struct outbox *out)
{
    struct orchestrator *o = (struct orchestrator *)component;
    const struct ctx x = {.now = now, .out = out};

    switch ((enum event_type)ev->type) {
    case EVENT_START:
    case EVENT_DRAIN: break;
    case EVENT_MSG: on_msg(o, &x, ev); break;
    case EVENT_TIMER: on_timer(o, &x, ev->token); break;
    case EVENT_RECOVERED: recover(o, &x); break;
    case EVENT_END: end_all(o, LEDGER_IN_FLIGHT); break;
    case EVENT_CRASH: end_all(o, LEDGER_LOST); break;
    }
}

/* Looking ahead: see component_ops.soon. References may be stale, but name slots that were used. */

static void session_soon(const struct orchestrator *o, uint32_t serial, uint32_t seq, unsigned step)
{
    uint32_t ref = o->sessions_by_serial[serial & (o->buckets - 1)];
    const struct session *s;

    if (!ref) return;
    s = slab_get_unchecked(&o->sessions, ref);
    if (step == 0) {
        prefetch_object(s, sizeof *s);
        return;
    }
    if (s->streams_first) __builtin_prefetch(slab_get_unchecked(&o->streams, s->streams_first));
    if (seq) session_log_soon(&o->logs, &s->log, seq);
    session_log_soon(&o->logs, &s->log, 0);
}

static void orchestrator_soon(const struct component *component, unsigned step, const struct prospect *what)
{
    const struct orchestrator *o = (const struct orchestrator *)component;

    if (what->msg && what->msg->kind == M_EVENTS_SEND && TAG_KIND(what->tag) == FLOW_NONE)
        session_soon(o, (uint32_t)what->msg->a, ID_SEQ(what->msg->c), step);
}

const struct component_ops orchestrator_ops = {
    .new = orchestrator_new,
    .free = orchestrator_free,
    .handle = orchestrator_handle,
    .soon = orchestrator_soon,
    .memory = orchestrator_memory,
};
