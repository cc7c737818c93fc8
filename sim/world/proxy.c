/*
 * The gateway's inner half: ends the inner TLS of each tunnel stream, takes MCP calls from it one at a time,
 * and passes each on to its server.
 *
 * An answer is passed on as it comes, as long as the caller's window allows. What is beyond the window is
 * held, as a number of bytes only, and the server gets credit for no more than was passed on. The window
 * holds from a stream's first CREDIT on: a caller that never grants any has none.
 */
#include <errno.h>
#include <stdlib.h>

#include "sim/base/panic.h"
#include "sim/base/slab.h"
#include "sim/policy/gate.h"
#include "sim/record/recorder.h"
#include "sim/world/answer_fault.h"

#define BYTES_ANSWER 300
#define BYTES_READY  1500
#define BYTES_RESULT 500
/* Of an answer, so much may be on its way to the caller without its credit. */
#define WINDOW (UINT32_C(1) << 20)
/* Calls that wait for one server, for each connection to it. */
#define WAITING_PER_CONNECTION 4
/* Streams at once: a bound of memory, far above what a plan needs. */
#define STREAMS_MAX (UINT32_C(1) << 22)

enum stream_state {
    STREAM_NEW,       /* before the inner TLS */
    STREAM_IDLE,      /* waits for a call */
    STREAM_RECEIVING, /* a call's body is coming */
    STREAM_WAITING,   /* the call waits at its server's gate */
    STREAM_CALLING,   /* the server has the call */
    STREAM_ANSWERING, /* the answer's head was passed on, its body is coming or held */
};

struct stream {
    struct ticket ticket; /* of its server's gate */
    uint32_t id;
    uint32_t flow;
    uint32_t upstream; /* 0: none */
    uint32_t server;
    uint8_t state;
    bool peer_last;   /* the caller has said all */
    bool whole;       /* ANSWERING: the server has said all */
    bool windowed;    /* the caller grants credit */
    uint64_t unacked; /* bytes of this answer that were passed on and not credited */
    uint64_t held;
    struct msg msg; /* the call; ANSWERING: the answer's head */
};

struct proxy {
    struct component base;
    struct slab streams;
    struct gate *gates; /* one for each MCP server */
    struct prng faults;
};

static void proxy_free(struct component *base)
{
    struct proxy *p = (struct proxy *)base;

    slab_deinit(&p->streams);
    free(p->gates);
    free(p);
}

static int proxy_init(struct proxy *p, const struct plan *plan)
{
    uint32_t width = plan->tunnels.upstream_connections_max ? plan->tunnels.upstream_connections_max : 1;
    uint64_t streams = (uint64_t)plan->tunnels.connections * plan->tunnels.streams_max;

    if (streams == 0) streams = 1;
    p->gates = calloc((size_t)plan->mcp_count + 1, sizeof *p->gates);
    if (!p->gates) return -ENOMEM;
    for (uint32_t i = 0; i < plan->mcp_count; i++)
        gate_init(&p->gates[i], width, WAITING_PER_CONNECTION * width);
    return slab_init(&p->streams, sizeof(struct stream),
                     streams < STREAMS_MAX ? (uint32_t)streams : STREAMS_MAX);
}

static int proxy_new(const struct env *env, struct component **ret)
{
    struct proxy *p = calloc(1, sizeof *p);
    int r;

    if (!p) return -ENOMEM;
    p->base = (struct component){.ops = &proxy_ops, .env = *env};
    p->faults = answer_fault_stream(env);
    r = proxy_init(p, env->plan);
    if (r < 0) {
        proxy_free(&p->base);
        return r;
    }
    *ret = &p->base;
    return 0;
}

static size_t proxy_memory(const struct component *base)
{
    const struct proxy *p = (const struct proxy *)base;

    return sizeof *p + slab_bytes(&p->streams) + p->base.env.plan->mcp_count * sizeof *p->gates;
}

/* The one place where a stream changes its state. */
static void move(struct stream *s, enum stream_state to)
{
    enum stream_state from = (enum stream_state)s->state;

    switch (to) {
    case STREAM_NEW: UNREACHABLE();
    case STREAM_IDLE: ASSERT(from != STREAM_IDLE); break;
    case STREAM_RECEIVING: ASSERT(from == STREAM_IDLE); break;
    case STREAM_WAITING: ASSERT(from == STREAM_RECEIVING); break;
    case STREAM_CALLING: ASSERT(from == STREAM_RECEIVING || from == STREAM_WAITING); break;
    case STREAM_ANSWERING: ASSERT(from == STREAM_CALLING); break;
    }
    s->state = (uint8_t)to;
}

static void count(struct proxy *p, enum counter counter)
{
    recorder_count(p->base.env.recorder, counter, 1);
}

/* Gates
 * ------------------------------------------------------------------------------------------------------ */

static void call_server(struct stream *s, struct outbox *out)
{
    struct msg m = s->msg;

    move(s, STREAM_CALLING);
    m.flags = MSG_LAST;
    s->upstream = flow_open(out, ADDR(ROLE_MCP, s->server), 0, s->id, m);
}

/* The stream's call is through with its server, or waits no more: the next one may go. */
static void leave_gate(struct proxy *p, struct stream *s, struct outbox *out)
{
    struct ticket *next;

    if (s->ticket.state == TICKET_OUT) return;
    next = gate_leave(&p->gates[s->server], &s->ticket);
    if (next) call_server(container_of(next, struct stream, ticket), out);
}

/* Streams
 * ---------------------------------------------------------------------------------------------------- */

/* The stream waits for its next call, or ends when there will be none: then `s` is gone. */
static void rest(struct proxy *p, struct stream *s, struct outbox *out)
{
    if (s->state != STREAM_IDLE) move(s, STREAM_IDLE);
    if (!s->peer_last) return;
    flow_data(out, s->flow, (struct msg){.kind = M_BYTES, .flags = MSG_LAST});
    slab_free(&p->streams, s->id);
}

/* Both ways off, after the caller's flow is over. `s` is gone. */
static void drop(struct proxy *p, struct stream *s, struct outbox *out)
{
    if (s->upstream) flow_reset(out, s->upstream, RESET_CANCEL);
    leave_gate(p, s, out);
    slab_free(&p->streams, s->id);
}

static void violation(struct proxy *p, struct stream *s, struct outbox *out)
{
    count(p, COUNTER_PROTOCOL_VIOLATIONS);
    flow_reset(out, s->flow, RESET_PROTOCOL);
    drop(p, s, out);
}

/* The call is answered. */
static void finish(struct proxy *p, nsec_t now, struct stream *s, struct outbox *out)
{
    recorder_mark(p->base.env.recorder, s->msg.d, MARK_GATEWAY_OUT, now);
    rest(p, s, out);
}

static void answer_error(struct proxy *p, nsec_t now, struct stream *s, uint32_t status,
                         nsec_t retry_after_ns, struct outbox *out)
{
    recorder_count_status(p->base.env.recorder, status);
    flow_data(out, s->flow,
              (struct msg){.kind = M_MCP_RESULT,
                           .bytes = BYTES_RESULT,
                           .a = s->msg.a,
                           .b = status,
                           .d = s->msg.d,
                           .e = retry_after_ns});
    finish(p, now, s, out);
}

/* Calls
 * ------------------------------------------------------------------------------------------------------ */

static void on_call(struct proxy *p, nsec_t now, struct stream *s, struct outbox *out)
{
    const struct env *env = &p->base.env;
    const struct plan_fault *fault = answer_fault(env, now, &p->faults);
    uint32_t tunnel = ADDR_ORDINAL(env->self) / env->plan->tunnels.replicas;

    recorder_mark(env->recorder, s->msg.d, MARK_GATEWAY_IN, now);
    if (fault) {
        answer_error(p, now, s, fault->status, answer_fault_wait(fault), out);
        return;
    }
    s->server = HOST_MCP(s->msg.b);
    if (HOST_TUNNEL(s->msg.b) != tunnel || s->server >= env->plan->mcp_count) {
        answer_error(p, now, s, 404, 0, out);
        return;
    }
    switch (gate_enter(&p->gates[s->server], &s->ticket)) {
    case GATE_IN: call_server(s, out); break;
    case GATE_E_WAITS: move(s, STREAM_WAITING); break;
    case GATE_E_FULL:
        count(p, COUNTER_REQUESTS_SHED);
        answer_error(p, now, s, 503, 0, out);
        break;
    }
}

static void on_hello(struct proxy *p, struct stream *s, const struct msg *m, struct outbox *out)
{
    if (m->flags & MSG_UNFINISHED) return;
    flow_data(out, s->flow, (struct msg){.kind = M_INNER_READY, .bytes = BYTES_READY});
    rest(p, s, out);
}

static void on_caller_data(struct proxy *p, nsec_t now, struct stream *s, const struct msg *m,
                           struct outbox *out)
{
    bool unfinished = m->flags & MSG_UNFINISHED;

    if (m->flags & MSG_LAST) s->peer_last = true;
    if (s->peer_last && (m->kind == M_NONE || m->kind == M_BYTES)) {
        if (s->state == STREAM_NEW || s->state == STREAM_IDLE) rest(p, s, out);
    } else if (s->state == STREAM_NEW && (m->kind == M_INNER_HELLO || m->kind == M_BODY)) {
        on_hello(p, s, m, out);
    } else if (s->state == STREAM_IDLE && m->kind == M_MCP_CALL) {
        s->msg = *m;
        move(s, STREAM_RECEIVING);
        if (!unfinished) on_call(p, now, s, out);
    } else if (s->state == STREAM_RECEIVING && m->kind == M_BODY) {
        s->msg.bytes = m->bytes > UINT32_MAX - s->msg.bytes ? UINT32_MAX : s->msg.bytes + m->bytes;
        if (!unfinished) on_call(p, now, s, out);
    } else {
        violation(p, s, out);
    }
}

/* Answers
 * ---------------------------------------------------------------------------------------------------- */

static bool may_pass(const struct stream *s, uint32_t bytes)
{
    return !s->windowed || s->unacked + bytes <= WINDOW;
}

/* Passes the next `bytes` of the answer on. */
static void pass_piece(struct stream *s, uint32_t bytes, struct outbox *out)
{
    struct msg m = s->msg;

    s->unacked += bytes;
    m.bytes = bytes;
    m.flags = s->whole && !s->held ? 0 : MSG_UNFINISHED;
    flow_data(out, s->flow, m);
    s->msg.kind = M_BODY;
    if (s->upstream) flow_credit(out, s->upstream, bytes);
}

static void pass_held(struct proxy *p, nsec_t now, struct stream *s, struct outbox *out)
{
    while (s->held) {
        uint32_t piece = s->held < BODY_CHUNK ? (uint32_t)s->held : BODY_CHUNK;

        if (!may_pass(s, piece)) return;
        s->held -= piece;
        pass_piece(s, piece, out);
    }
    if (s->whole) finish(p, now, s, out);
}

static void on_caller_credit(struct proxy *p, nsec_t now, struct stream *s, uint32_t bytes,
                             struct outbox *out)
{
    s->windowed = true;
    s->unacked -= bytes < s->unacked ? bytes : s->unacked;
    if (s->state == STREAM_ANSWERING && s->held) pass_held(p, now, s, out);
}

static void on_answer_piece(struct proxy *p, nsec_t now, struct stream *s, const struct msg *m,
                            struct outbox *out)
{
    if (!(m->flags & MSG_UNFINISHED)) {
        s->whole = true;
        if (!(m->flags & MSG_LAST)) flow_reset(out, s->upstream, RESET_CANCEL);
        s->upstream = 0;
        leave_gate(p, s, out);
    }
    if (!s->held && may_pass(s, m->bytes))
        pass_piece(s, m->bytes, out);
    else
        s->held += m->bytes;
    if (s->whole && !s->held) finish(p, now, s, out);
}

static void on_answer(struct proxy *p, nsec_t now, struct stream *s, const struct msg *m, struct outbox *out)
{
    if (m->kind != M_MCP_RESULT) {
        if (!(m->flags & MSG_LAST)) flow_reset(out, s->upstream, RESET_CANCEL);
        s->upstream = 0;
        leave_gate(p, s, out);
        answer_error(p, now, s, 502, 0, out);
        return;
    }
    move(s, STREAM_ANSWERING);
    s->msg = *m;
    s->whole = false;
    s->held = 0;
    s->unacked = 0;
    on_answer_piece(p, now, s, m, out);
}

static void on_upstream_reset(struct proxy *p, nsec_t now, struct stream *s, struct outbox *out)
{
    s->upstream = 0;
    leave_gate(p, s, out);
    if (s->state == STREAM_CALLING) {
        answer_error(p, now, s, 502, 0, out);
        return;
    }
    /* The answer's head is out: all that is left is to break off. */
    flow_reset(out, s->flow, RESET_CUT);
    drop(p, s, out);
}

/* Events
 * ----------------------------------------------------------------------------------------------------- */

static void on_upstream_msg(struct proxy *p, nsec_t now, struct stream *s, const struct msg *m,
                            struct outbox *out)
{
    switch (m->type) {
    case MSG_OPEN: on_answer(p, now, s, m, out); break;
    case MSG_DATA:
        if (s->state == STREAM_ANSWERING) on_answer_piece(p, now, s, m, out);
        break;
    case MSG_RESET: on_upstream_reset(p, now, s, out); break;
    default: break;
    }
}

static void on_caller_msg(struct proxy *p, nsec_t now, struct stream *s, const struct msg *m,
                          struct outbox *out)
{
    switch (m->type) {
    case MSG_DATA: on_caller_data(p, now, s, m, out); break;
    case MSG_CREDIT: on_caller_credit(p, now, s, m->bytes, out); break;
    case MSG_RESET: drop(p, s, out); break;
    default: violation(p, s, out);
    }
}

static void refuse(uint32_t flow, uint32_t status, enum error_code code, struct outbox *out)
{
    flow_answer(
        out, flow,
        (struct msg){.kind = M_ERROR, .flags = MSG_LAST, .bytes = BYTES_ANSWER, .a = status, .b = code});
}

static void on_stream(struct proxy *p, const struct event *ev, struct outbox *out)
{
    struct stream *s;
    uint32_t id;

    if (ev->msg.kind != M_TUNNEL_STREAM || ev->msg.flags & MSG_LAST) {
        count(p, COUNTER_PROTOCOL_VIOLATIONS);
        refuse(ev->flow, 400, ERROR_INVALID, out);
        return;
    }
    id = slab_alloc(&p->streams);
    if (!id) {
        count(p, COUNTER_REQUESTS_SHED);
        refuse(ev->flow, 503, ERROR_OVERLOADED, out);
        return;
    }
    s = slab_get_unchecked(&p->streams, id);
    s->id = id;
    s->flow = ev->flow;
    flow_tag(out, ev->flow, id);
    flow_answer(out, ev->flow, (struct msg){.kind = M_OK, .bytes = BYTES_ANSWER});
}

static void proxy_handle(struct component *base, nsec_t now, const struct event *ev, struct outbox *out)
{
    struct proxy *p = (struct proxy *)base;
    struct stream *s;

    if (ev->type != EVENT_MSG) return;
    if (!ev->tag) {
        if (ev->msg.type == MSG_OPEN) on_stream(p, ev, out);
        return; /* else: the rest of a stream that was refused */
    }
    s = slab_get(&p->streams, ev->tag);
    if (!s) return;
    if (ev->flow == s->upstream)
        on_upstream_msg(p, now, s, &ev->msg, out);
    else if (ev->flow == s->flow)
        on_caller_msg(p, now, s, &ev->msg, out);
}

const struct component_ops proxy_ops = {
    .new = proxy_new, .free = proxy_free, .handle = proxy_handle, .memory = proxy_memory};
