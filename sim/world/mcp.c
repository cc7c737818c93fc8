/*
 * A synthetic MCP server: a queue with a bounded number of waiting requests in front of `concurrency`
 * servers.
 */
#include <errno.h>
#include <stdlib.h>

#include "sim/base/panic.h"
#include "sim/base/slab.h"
#include "sim/plan/fault_rules.h"
#include "sim/policy/mcp_service.h"
#include "sim/record/recorder.h"
#include "sim/world/answer_fault.h"
#include "sim/world/component.h"

#define BYTES_RESULT 500
/* Requests whose bodies are still coming, besides those that wait or are served. */
#define RECEIVING_MAX 64

struct request {
    struct mcp_job job;
    uint32_t id, flow;
    struct mcp_request draw;
    nsec_t done_at; /* while in service */
};

struct mcp {
    struct component base;
    struct mcp_service service;
    struct slab requests;
};

static void mcp_free(struct component *base)
{
    struct mcp *s = (struct mcp *)base;

    slab_deinit(&s->requests);
    free(s);
}

static int mcp_new(const struct env *env, struct component **ret)
{
    const struct plan_mcp *plan = &env->plan->mcp[ADDR_ORDINAL(env->self)];
    uint64_t limit = (uint64_t)plan->concurrency + plan->queue_max + RECEIVING_MAX;
    struct mcp *s = calloc(1, sizeof *s);
    int r;

    if (!s) return -ENOMEM;
    s->base = (struct component){.ops = &mcp_ops, .env = *env};
    mcp_service_init(&s->service, plan, env->plan->seed, env->plan->replicate);
    r = slab_init(&s->requests, sizeof(struct request),
                  limit < SLAB_LIMIT_MAX ? (uint32_t)limit : SLAB_LIMIT_MAX);
    if (r < 0) {
        free(s);
        return r;
    }
    *ret = &s->base;
    return 0;
}

static size_t mcp_memory(const struct component *base)
{
    const struct mcp *s = (const struct mcp *)base;

    return sizeof *s + slab_bytes(&s->requests);
}

static void count(struct mcp *s, enum counter counter)
{
    recorder_count(s->base.env.recorder, counter, 1);
}

/* What the answer says besides its ids. */
struct answer {
    uint32_t status;
    uint64_t chars;
    nsec_t retry_after_ns;
};

static void answer(struct mcp *s, nsec_t now, uint32_t flow, const struct mcp_request *request,
                   struct answer a, struct outbox *out)
{
    uint64_t bytes =
        BYTES_RESULT + (a.chars < UINT32_MAX - BYTES_RESULT ? a.chars : UINT32_MAX - BYTES_RESULT);

    recorder_count_status(s->base.env.recorder, a.status);
    recorder_mark(s->base.env.recorder, request->call_id, MARK_UPSTREAM_OUT, now);
    flow_send_whole(out, flow, true,
                    (struct msg){.kind = M_MCP_RESULT,
                                 .flags = MSG_LAST,
                                 .bytes = (uint32_t)bytes,
                                 .a = request->attempt_id,
                                 .b = a.status,
                                 .c = a.chars,
                                 .d = request->call_id,
                                 .e = a.retry_after_ns});
}

static void begin(nsec_t now, struct request *q, struct outbox *out)
{
    q->done_at = nsec_add(now, q->job.service_ns);
    timer_set(out, q->done_at, q->id);
}

/* The request is done or cancelled: its place is free. */
static void leave(struct mcp *s, nsec_t now, struct request *q, struct outbox *out)
{
    struct mcp_job *next = q->job.ticket.state == TICKET_OUT ? NULL : mcp_service_leave(&s->service, &q->job);

    slab_free(&s->requests, q->id);
    if (next) begin(now, container_of(next, struct request, job), out);
}

static void on_done(struct mcp *s, nsec_t now, struct request *q, struct outbox *out)
{
    struct answer a = {.status = q->job.fails ? 500 : 200, .chars = q->job.fails ? 0 : q->job.output_chars};

    answer(s, now, q->flow, &q->draw, a, out);
    leave(s, now, q, out);
}

/* The whole request is here. */
static void on_request(struct mcp *s, nsec_t now, struct request *q, struct outbox *out)
{
    const struct plan_fault *fault = plan_answer_fault(s->base.env.plan, s->base.env.self, now);
    struct answer a = {.status = 503};

    if (fault && mcp_service_fault_hits(&s->service, &q->draw, fault->share_ppm)) {
        a = (struct answer){.status = fault->status, .retry_after_ns = answer_fault_wait(fault)};
    } else {
        mcp_service_draw(&s->service, &q->draw, &q->job);
        switch (mcp_service_offer(&s->service, &q->job)) {
        case GATE_IN: begin(now, q, out); return;
        case GATE_E_WAITS: return;
        case GATE_E_FULL: count(s, COUNTER_REQUESTS_SHED); break;
        }
    }
    answer(s, now, q->flow, &q->draw, a, out);
    leave(s, now, q, out);
}

static void on_open(struct mcp *s, nsec_t now, const struct event *ev, struct outbox *out)
{
    const struct msg *m = &ev->msg;
    struct mcp_request draw = {.call_id = m->d,
                               .attempt_id = m->a,
                               .output_chars = m->c,
                               .own_output = m->c == MCP_OWN_OUTPUT,
                               .extra_service_ns = m->e};
    uint32_t id = m->kind == M_MCP_CALL ? slab_alloc(&s->requests) : 0;
    struct request *q;

    recorder_mark(s->base.env.recorder, m->d, MARK_UPSTREAM_IN, now);
    if (!id) {
        count(s, m->kind == M_MCP_CALL ? COUNTER_REQUESTS_SHED : COUNTER_PROTOCOL_VIOLATIONS);
        answer(s, now, ev->flow, &draw, (struct answer){.status = m->kind == M_MCP_CALL ? 503 : 400}, out);
        return;
    }
    q = slab_get_unchecked(&s->requests, id);
    q->id = id;
    q->flow = ev->flow;
    q->draw = draw;
    flow_tag(out, ev->flow, id);
    if (!(m->flags & MSG_UNFINISHED)) on_request(s, now, q, out);
}

static void on_msg(struct mcp *s, nsec_t now, const struct event *ev, struct outbox *out)
{
    struct request *q = slab_get(&s->requests, ev->tag);

    if (!ev->tag && ev->msg.type == MSG_OPEN) {
        on_open(s, now, ev, out);
    } else if (!q) {
        return; /* the rest of a request that is answered already */
    } else if (ev->msg.type == MSG_RESET) {
        leave(s, now, q, out);
    } else if (ev->msg.type == MSG_DATA && ev->msg.kind == M_BODY && q->job.ticket.state == TICKET_OUT) {
        if (!(ev->msg.flags & MSG_UNFINISHED)) on_request(s, now, q, out);
    }
}

static void mcp_handle(struct component *base, nsec_t now, const struct event *ev, struct outbox *out)
{
    struct mcp *s = (struct mcp *)base;
    struct request *q;

    switch (ev->type) {
    case EVENT_MSG: on_msg(s, now, ev, out); break;
    case EVENT_TIMER:
        /* A request that was cancelled meanwhile is not found; or its id has come round, and names one that
         * is not due. */
        q = slab_get(&s->requests, (uint32_t)ev->token);
        if (q && q->job.ticket.state == TICKET_INSIDE && q->done_at <= now) on_done(s, now, q, out);
        break;
    default: break;
    }
}

const struct component_ops mcp_ops = {
    .new = mcp_new, .free = mcp_free, .handle = mcp_handle, .memory = mcp_memory};
