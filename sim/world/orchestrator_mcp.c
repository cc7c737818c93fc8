#include "sim/base/panic.h"
#include "sim/policy/retry.h"
#include "sim/world/orchestrator_state.h"

int mcp_init(struct orchestrator *o)
{
    struct mcp_pool_options options = {.pools = o->tunnels * o->plan->mcp_count,
                                       .streams_max =
                                           o->options->mcp_streams_max ? o->options->mcp_streams_max : 1,
                                       .queue_max = o->options->mcp_queue_max};

    return mcp_pools_init(&o->mcp, &options);
}

static uint32_t tunnel_of(const struct orchestrator *o, const struct session *s)
{
    return (uint32_t)(s->ordinal % o->tunnels);
}

uint64_t mcp_host(const struct orchestrator *o, const struct session *s, uint32_t mcp)
{
    return HOST(tunnel_of(o, s), mcp);
}

static uint32_t pool_of(const struct orchestrator *o, const struct session *s, const struct call *c)
{
    ASSERT(c->mcp.mcp < o->plan->mcp_count);
    return tunnel_of(o, s) * o->plan->mcp_count + c->mcp.mcp;
}

static struct mcp_stream *stream_get(const struct orchestrator *o, uint32_t ref)
{
    struct mcp_stream *stream = mcp_pool_stream(&o->mcp, ref);

    ASSERT(stream);
    return stream;
}

static struct call *call_of(const struct orchestrator *o, uint32_t ref)
{
    struct call *c = call_get(o, ref);

    ASSERT(c);
    return c;
}

static void mark(struct orchestrator *o, const struct ctx *x, const struct call *c, enum mark what)
{
    recorder_mark(o->recorder, EVENT_ID(session_get(o, c->session)->serial, c->seq), what, x->now);
}

static void arm_stream(const struct ctx *x, uint32_t ref, struct mcp_stream *stream, nsec_t in_ns)
{
    stream->until = in_ns ? nsec_add(x->now, in_ns) : NSEC_MAX;
    arm(x, &stream->armed_at, stream->until, TOKEN(PURPOSE_MCP, ref));
}

/* Attempts ------------------------------------------------------------------------------------ */

static struct msg call_msg(const struct orchestrator *o, const struct mcp_stream *stream)
{
    const struct call *c = call_of(o, stream->call);
    const struct session *s = session_get(o, c->session);

    return (struct msg){.kind = M_MCP_CALL,
                        .bytes = BYTES_MCP_CALL,
                        .a = stream->attempt,
                        .b = mcp_host(o, s, c->mcp.mcp),
                        .c = c->mcp.chars == CHARS_OWN ? MCP_OWN_OUTPUT : c->mcp.chars,
                        .d = EVENT_ID(s->serial, c->seq)};
}

/* The stream's call begins an attempt. */
static void attempt_begin(struct orchestrator *o, const struct ctx *x, uint32_t ref)
{
    struct mcp_stream *stream = stream_get(o, ref);
    struct call *c = call_of(o, stream->call);
    const struct session *s = session_get(o, c->session);

    c->state = CALL_ATTEMPT;
    c->mcp.ref = ref;
    c->mcp.attempts++;
    /* The same in every deployment, so that what a server draws by it is too. */
    stream->attempt = mix64_chain(agent_call_key(&s->loop, s->ordinal, c->index), c->mcp.attempts);
    stream->begun_at = x->now;
    stream->slot = recorder_open(o->recorder, ACCOUNT_ATTEMPT);
    mark(o, x, c, MARK_ATTEMPT_START);
    arm_stream(x, ref, stream, o->options->mcp_attempt_timeout_ns);
}

/* The stream's attempt is over; the call is the caller's to go on with. */
static void attempt_end(struct orchestrator *o, const struct ctx *x, const struct mcp_stream *stream,
                        enum ledger_end end)
{
    recorder_record(o->recorder, METRIC_MCP_ATTEMPT, x->now - stream->begun_at);
    recorder_end(o->recorder, ACCOUNT_ATTEMPT, stream->slot, end);
    mark(o, x, call_of(o, stream->call), MARK_ATTEMPT_END);
}

/* Sets the timer for another attempt. */
static void retry_later(struct orchestrator *o, const struct ctx *x, uint32_t ref, nsec_t retry_after_ns)
{
    struct call *c = call_of(o, ref);
    const struct session *s = session_get(o, c->session);
    struct prng p =
        prng_derive(o->retry_key, agent_call_key(&s->loop, s->ordinal, c->index), c->mcp.attempts);
    uint32_t attempts = c->mcp.attempts ? c->mcp.attempts : 1;
    nsec_t wait = retry_wait(&o->options->mcp_retry, attempts, retry_after_ns, &p);

    c->state = CALL_RETRY;
    timer_set(x->out, nsec_add(x->now, wait), TOKEN(PURPOSE_RETRY, ref));
}

struct failure {
    enum retry_cause cause;
    uint32_t status;
    nsec_t retry_after_ns;
};

/* An attempt failed: another one, or the end of the call. */
static void attempt_failed(struct orchestrator *o, const struct ctx *x, uint32_t ref, const struct failure *f)
{
    const struct call *c = call_of(o, ref);

    if (retry_again(&o->options->mcp_retry, f->cause, f->status, c->mcp.attempts)) {
        recorder_count(o->recorder, COUNTER_RETRIES, 1);
        mark(o, x, c, MARK_RETRY_WAIT);
        retry_later(o, x, ref, f->retry_after_ns);
    } else {
        call_mcp_over(o, x, ref, f->cause == RETRY_RESET ? LEDGER_LOST : LEDGER_FAILED, 0);
    }
}

/* Streams ------------------------------------------------------------------------------------- */

/* Opens a new stream's flow; its call's attempt begins with that. */
static void stream_open(struct orchestrator *o, const struct ctx *x, uint32_t ref)
{
    struct mcp_stream *stream = stream_get(o, ref);
    struct msg m;

    attempt_begin(o, x, ref);
    m = call_msg(o, stream);
    if (o->options->mcp_direct) {
        m.flags = MSG_LAST;
        stream->state = MCP_READY;
        stream->flow = flow_open(x->out, ADDR(ROLE_MCP, HOST_MCP(m.b)), 0, TAG(FLOW_MCP, ref), m);
    } else {
        stream->state = MCP_OPENING;
        stream->flow =
            flow_open(x->out, ADDR(ROLE_EDGE, 0), 0, TAG(FLOW_MCP, ref),
                      (struct msg){.kind = M_TUNNEL_STREAM, .bytes = BYTES_TUNNEL_STREAM, .a = m.b});
    }
}

/* A usable stream has a call. */
static void stream_use(struct orchestrator *o, const struct ctx *x, uint32_t ref)
{
    const struct mcp_stream *stream = stream_get(o, ref);

    mark(o, x, call_of(o, stream->call), MARK_STREAM_READY);
    flow_data(x->out, stream->flow, call_msg(o, stream));
}

/* The stream's flow is over: room for another, if a call waits for that. */
static void stream_gone(struct orchestrator *o, const struct ctx *x, uint32_t ref)
{
    uint32_t opened = mcp_pool_close(&o->mcp, ref);

    if (opened) stream_open(o, x, opened);
}

/* The stream's call is done and the stream is good: the next call, or it idles. */
static void stream_release(struct orchestrator *o, const struct ctx *x, uint32_t ref)
{
    if (mcp_pool_release(&o->mcp, ref)) {
        attempt_begin(o, x, ref);
        stream_use(o, x, ref);
    } else {
        arm_stream(x, ref, stream_get(o, ref), o->options->mcp_stream_idle_ns);
    }
}

/* Our side ends the flow in order, as the peer did or will. */
static void stream_finish(struct orchestrator *o, const struct ctx *x, uint32_t ref)
{
    const struct mcp_stream *stream = stream_get(o, ref);

    if (!o->options->mcp_direct) { /* a direct call said all in its first message */
        flow_tag(x->out, stream->flow, 0);
        flow_data(x->out, stream->flow, (struct msg){.flags = MSG_LAST});
    }
    stream_gone(o, x, ref);
}

/* The flow is over, or useless, in mid-call or before it. */
static void stream_failed(struct orchestrator *o, const struct ctx *x, uint32_t ref, const struct failure *f)
{
    const struct mcp_stream *stream = stream_get(o, ref);
    uint32_t call = stream->call;
    struct session *s;

    if (call) attempt_end(o, x, stream, f->cause == RETRY_RESET ? LEDGER_LOST : LEDGER_FAILED);
    stream_gone(o, x, ref);
    if (!call) return;
    s = session_get(o, call_of(o, call)->session);
    attempt_failed(o, x, call, f);
    turn_advance(o, x, s);
}

/* The whole answer to the stream's call is there. `last`: nothing more comes on it. */
static void stream_answered(struct orchestrator *o, const struct ctx *x, uint32_t ref, const struct msg *m)
{
    const struct mcp_stream *stream = stream_get(o, ref);
    uint32_t call = stream->call;
    struct session *s = session_get(o, call_of(o, call)->session);
    struct failure f = {.cause = RETRY_STATUS, .status = (uint32_t)m->b, .retry_after_ns = m->e};
    bool ok = f.status == 200;

    if (m->b & MCP_CORRUPT) recorder_count(o->recorder, COUNTER_HASH_MISMATCHES, 1);
    attempt_end(o, x, stream, ok ? LEDGER_COMPLETED : LEDGER_FAILED);
    if (o->options->mcp_direct || (m->flags & MSG_LAST))
        stream_finish(o, x, ref);
    else
        stream_release(o, x, ref);
    if (ok)
        call_mcp_over(o, x, call, LEDGER_COMPLETED, m->c);
    else
        attempt_failed(o, x, call, &f);
    turn_advance(o, x, s);
}

/* The edge's answer to the stream's opening. */
static void stream_opened(struct orchestrator *o, const struct ctx *x, uint32_t ref, const struct msg *m)
{
    struct mcp_stream *stream = stream_get(o, ref);
    struct failure f = {.cause = RETRY_STATUS, .status = (uint32_t)m->a, .retry_after_ns = m->c};

    if (m->kind == M_OK) {
        stream->state = MCP_HELLO;
        flow_data(x->out, stream->flow, (struct msg){.kind = M_INNER_HELLO, .bytes = BYTES_INNER_HELLO});
        return;
    }
    flow_tag(x->out, stream->flow, 0);
    if (m->flags & MSG_LAST)
        flow_data(x->out, stream->flow, (struct msg){.flags = MSG_LAST});
    else
        flow_reset(x->out, stream->flow, RESET_CANCEL);
    stream_failed(o, x, ref, &f);
}

static void stream_data(struct orchestrator *o, const struct ctx *x, uint32_t ref, const struct msg *m)
{
    const struct failure lost = {.cause = RETRY_RESET};
    struct mcp_stream *stream = stream_get(o, ref);
    bool whole = !(m->flags & MSG_UNFINISHED);

    if (stream->state == MCP_HELLO && m->kind == M_INNER_READY && whole && !(m->flags & MSG_LAST)) {
        stream->state = MCP_READY;
        stream_use(o, x, ref);
    } else if (stream->state == MCP_READY && stream->call && whole && m->a == stream->attempt &&
               (m->kind == M_MCP_RESULT || m->kind == M_BODY)) {
        stream_answered(o, x, ref, m);
    } else if (m->flags & MSG_LAST) {
        /* The peer ends the stream, idle or not. */
        if (!o->options->mcp_direct) {
            flow_tag(x->out, stream->flow, 0);
            flow_data(x->out, stream->flow, (struct msg){.flags = MSG_LAST});
        }
        stream_failed(o, x, ref, &lost);
    }
}

void mcp_event(struct orchestrator *o, const struct ctx *x, uint32_t ref, const struct event *ev)
{
    const struct mcp_stream *stream = mcp_pool_stream(&o->mcp, ref);
    const struct failure lost = {.cause = RETRY_RESET};
    struct failure refused = {
        .cause = RETRY_STATUS, .status = (uint32_t)ev->msg.a, .retry_after_ns = ev->msg.c};

    if (!stream || ev->msg.type == MSG_CREDIT) return;
    if (ev->msg.type == MSG_RESET)
        stream_failed(o, x, ref, &lost);
    else if (stream->state == MCP_OPENING)
        stream_opened(o, x, ref, &ev->msg);
    else if (o->options->mcp_direct && ev->msg.kind == M_ERROR)
        stream_failed(o, x, ref, &refused); /* with MSG_LAST: the flow is over */
    else
        stream_data(o, x, ref, &ev->msg);
}

void mcp_stream_timer(struct orchestrator *o, const struct ctx *x, uint32_t ref)
{
    struct mcp_stream *stream = mcp_pool_stream(&o->mcp, ref);
    const struct failure late = {.cause = RETRY_TIMEOUT};

    if (!stream || !due(x, &stream->armed_at, stream->until, TOKEN(PURPOSE_MCP, ref))) return;
    if (!stream->call) {
        stream_finish(o, x, ref);
        return;
    }
    recorder_count(o->recorder, COUNTER_TIMEOUTS, 1);
    flow_reset(x->out, stream->flow, RESET_CANCEL);
    stream_failed(o, x, ref, &late);
}

/* Calls --------------------------------------------------------------------------------------- */

void mcp_submit(struct orchestrator *o, const struct ctx *x, uint32_t ref)
{
    struct call *c = call_of(o, ref);
    uint32_t got;

    switch (mcp_pool_submit(&o->mcp, pool_of(o, session_get(o, c->session), c), ref, &got)) {
    case MCP_ADMIT_STREAM:
        attempt_begin(o, x, got);
        stream_use(o, x, got);
        break;
    case MCP_ADMIT_OPEN: stream_open(o, x, got); break;
    case MCP_ADMIT_WAIT:
        c->state = CALL_WAITING;
        c->mcp.ref = got;
        break;
    case MCP_ADMIT_SHED:
        recorder_count(o->recorder, COUNTER_REQUESTS_SHED, 1);
        call_mcp_over(o, x, ref, LEDGER_SHED, 0);
        break;
    }
}

void mcp_abandon(struct orchestrator *o, const struct ctx *x, uint32_t ref, enum ledger_end end)
{
    const struct call *c = call_of(o, ref);
    uint32_t stream = c->mcp.ref;

    switch ((enum call_state)c->state) {
    case CALL_WAITING: mcp_pool_leave(&o->mcp, pool_of(o, session_get(o, c->session), c), stream); break;
    case CALL_ATTEMPT:
        attempt_end(o, x, stream_get(o, stream), end);
        flow_reset(x->out, stream_get(o, stream)->flow, RESET_CANCEL);
        stream_gone(o, x, stream);
        break;
    case CALL_RETRY:
    case CALL_LOST: break;
    case CALL_SANDBOX:
    case CALL_SPILLING: UNREACHABLE();
    }
}

void mcp_retry_timer(struct orchestrator *o, const struct ctx *x, uint32_t ref)
{
    const struct call *c = call_get(o, ref);
    struct session *s;

    if (!c || c->state != CALL_RETRY) return;
    s = session_get(o, c->session);
    mcp_submit(o, x, ref);
    turn_advance(o, x, s);
}

void mcp_drop(struct orchestrator *o, enum ledger_end end)
{
    slab_for_each(ref, &o->mcp.streams)
    {
        const struct mcp_stream *stream = stream_get(o, ref);

        if (!stream->call) continue;
        recorder_end(o->recorder, ACCOUNT_ATTEMPT, stream->slot, end);
        call_of(o, stream->call)->state = CALL_LOST;
    }
    mcp_pools_drop(&o->mcp);
}

void mcp_recover(struct orchestrator *o, const struct ctx *x, uint32_t ref)
{
    const struct failure lost = {.cause = RETRY_RESET};
    const struct call *c = call_of(o, ref);

    switch ((enum call_state)c->state) {
    case CALL_LOST:
        mark(o, x, c, MARK_ATTEMPT_END);
        attempt_failed(o, x, ref, &lost);
        break;
    case CALL_WAITING: mcp_submit(o, x, ref); break;
    case CALL_RETRY: retry_later(o, x, ref, 0); break;
    case CALL_SANDBOX:
    case CALL_SPILLING: break;
    case CALL_ATTEMPT: UNREACHABLE();
    }
}
