/*
 * The tunnel's outside end: connectors register their connections here, the orchestrator's streams are spread
 * over them. It is the edge that pings, and so finds dead peers; connectors answer.
 *
 * Connection `b` of connector k is number k × connections + b; the connections of a tunnel, over all its
 * replicas, are then neighbours, as route wants them.
 */
#include <errno.h>
#include <stdlib.h>

#include "sim/base/list.h"
#include "sim/base/panic.h"
#include "sim/policy/route.h"
#include "sim/record/recorder.h"
#include "sim/world/answer_fault.h"
#include "sim/world/splice.h"

#define BYTES_ANSWER  300
#define BYTES_CONTROL 300
#define BYTES_PING    17
/* What a duplicate is told to wait when the edge itself never detects that the old connection is dead. */
#define DUPLICATE_RETRY_NS NSEC_PER_S
/* Streams at once over all connections: a bound of memory, far above what a plan needs. */
#define STREAMS_MAX (UINT32_C(1) << 22)

/* Tag of a carrier: its number + 1. */
struct carrier {
    struct list heard; /* in edge.heard, in the order of heard_at; first, so that it is found from its link */
    struct list pinged; /* in edge.pinged, in the order of pinged_at */
    uint32_t flow;      /* 0: not registered */
    uint32_t incarnation;
    nsec_t heard_at, pinged_at;
    bool draining, closing; /* closing: we have said MSG_LAST */
};

struct tunnel {
    bool seen;          /* was registered here before */
    bool reconnecting;  /* lost a connection, and not all are back */
    nsec_t lost_at;     /* the first of them */
    nsec_t unusable_at; /* NSEC_MAX: usable, or never was */
};

struct edge {
    struct component base;
    struct carrier *carriers;
    struct tunnel *tunnels;
    uint32_t carrier_count, ring; /* ring: connections of one tunnel */
    struct route *route;
    struct splices splices;
    struct list heard, pinged;
    struct prng faults;
    uint32_t registrations;
    nsec_t timer_at; /* NSEC_MAX: no timer is set */
    nsec_t grace_at; /* of the drain */
    bool draining;
};

static void edge_free(struct component *base)
{
    struct edge *e = (struct edge *)base;

    route_free(e->route);
    splices_deinit(&e->splices);
    free(e->carriers);
    free(e->tunnels);
    free(e);
}

static uint32_t streams_max(uint64_t carriers, uint32_t each)
{
    uint64_t n = carriers * each;

    if (n == 0) n = 1;
    return n < STREAMS_MAX ? (uint32_t)n : STREAMS_MAX;
}

static int edge_init(struct edge *e, const struct plan_tunnels *t)
{
    struct route_options opts = {.tunnels = t->count, .connections = e->ring, .streams_max = t->streams_max};
    int r;

    e->carriers = calloc((size_t)e->carrier_count + 1, sizeof *e->carriers);
    e->tunnels = calloc((size_t)t->count + 1, sizeof *e->tunnels);
    if (!e->carriers || !e->tunnels) return -ENOMEM;
    for (uint32_t i = 0; i < e->carrier_count; i++) {
        list_init(&e->carriers[i].heard);
        list_init(&e->carriers[i].pinged);
    }
    for (uint32_t i = 0; i < t->count; i++) e->tunnels[i].unusable_at = NSEC_MAX;
    r = route_new(&opts, &e->route);
    if (r < 0) return r;
    return splices_init(&e->splices, streams_max(e->carrier_count, t->streams_max));
}

static int edge_new(const struct env *env, struct component **ret)
{
    const struct plan_tunnels *t = &env->plan->tunnels;
    struct edge *e = calloc(1, sizeof *e);
    int r;

    if (!e) return -ENOMEM;
    e->base = (struct component){.ops = &edge_ops, .env = *env};
    e->ring = t->replicas * t->connections;
    e->carrier_count = t->count * e->ring;
    ASSERT(e->carrier_count < SPLICE_TAG_MIN - 1);
    e->faults = answer_fault_stream(env);
    e->timer_at = e->grace_at = NSEC_MAX;
    list_init(&e->heard);
    list_init(&e->pinged);
    r = edge_init(e, t);
    if (r < 0) {
        edge_free(&e->base);
        return r;
    }
    *ret = &e->base;
    return 0;
}

static size_t edge_memory(const struct component *base)
{
    const struct edge *e = (const struct edge *)base;

    return sizeof *e + e->carrier_count * sizeof *e->carriers + route_bytes(e->route) +
           e->base.env.plan->tunnels.count * sizeof *e->tunnels + slab_bytes(&e->splices.pairs);
}

static void count(struct edge *e, enum counter counter)
{
    recorder_count(e->base.env.recorder, counter, 1);
}

static uint32_t number_of(const struct edge *e, const struct carrier *k)
{
    return (uint32_t)(k - e->carriers);
}

static void refuse(uint32_t flow, uint32_t status, enum error_code code, nsec_t retry_after_ns,
                   struct outbox *out)
{
    flow_answer(out, flow,
                (struct msg){.kind = M_ERROR,
                             .flags = MSG_LAST,
                             .bytes = BYTES_ANSWER,
                             .a = status,
                             .b = code,
                             .c = retry_after_ns});
}

/* Outages
 * ---------------------------------------------------------------------------------------------------- */

/* A connection takes new streams from now on, or does not any more. */
static void set_usable(struct edge *e, nsec_t now, const struct carrier *k, bool usable)
{
    struct tunnel *t = &e->tunnels[number_of(e, k) / e->ring];
    struct recorder *rec = e->base.env.recorder;
    uint32_t left;

    if (route_is_usable(e->route, number_of(e, k)) == usable) return;
    route_set_usable(e->route, number_of(e, k), usable);
    left = route_usable(e->route, number_of(e, k) / e->ring);
    if (!usable) {
        if (!t->reconnecting) t->lost_at = now;
        t->reconnecting = true;
        if (left == 0) t->unusable_at = now;
        return;
    }
    if (t->unusable_at != NSEC_MAX) recorder_record(rec, METRIC_TUNNEL_USABLE, now - t->unusable_at);
    t->unusable_at = NSEC_MAX;
    if (left < e->ring || !t->reconnecting) return;
    recorder_record(rec, METRIC_TUNNEL_RECONNECT, now - t->lost_at);
    t->reconnecting = false;
}

/* Carriers
 * --------------------------------------------------------------------------------------------------- */

/* The carrier's flow is over, or was just reset. Its streams hear of it by themselves: RESET_CARRIER. */
static void carrier_gone(struct edge *e, nsec_t now, struct carrier *k)
{
    set_usable(e, now, k, false);
    list_remove(&k->heard);
    list_remove(&k->pinged);
    k->flow = 0;
}

/* Says the last word on a carrier. */
static void close_carrier(struct carrier *k, struct outbox *out)
{
    if (!k->flow || k->closing) return;
    k->closing = true;
    flow_data(out, k->flow, (struct msg){.kind = M_UNREGISTER, .flags = MSG_LAST, .bytes = BYTES_CONTROL});
}

/* A draining carrier without streams is closed. */
static void close_if_empty(struct edge *e, struct carrier *k, struct outbox *out)
{
    if (k->draining && !route_streams(e->route, number_of(e, k))) close_carrier(k, out);
}

static void heard_from(struct edge *e, nsec_t now, struct carrier *k)
{
    k->heard_at = now;
    list_remove(&k->heard);
    list_push_back(&e->heard, &k->heard);
}

static void pinged(struct edge *e, nsec_t now, struct carrier *k)
{
    k->pinged_at = now;
    list_remove(&k->pinged);
    list_push_back(&e->pinged, &k->pinged);
}

/* Pings twice in the time after which silence counts. */
static void ping_all(struct edge *e, nsec_t now, nsec_t gap, struct outbox *out)
{
    struct carrier *k;

    while ((k = list_first_entry(&e->pinged, struct carrier, pinged)) && nsec_add(k->pinged_at, gap) <= now) {
        pinged(e, now, k);
        if (!k->closing) flow_data(out, k->flow, (struct msg){.kind = M_PING, .bytes = BYTES_PING});
    }
}

/* Drops whoever was silent too long, and pings. Returns when that is due again. */
static nsec_t watch(struct edge *e, nsec_t now, struct outbox *out)
{
    nsec_t detect = e->base.env.plan->tunnels.edge_detect_ns, gap = nsec_max(detect / 2, 1), at;
    struct carrier *k;

    if (!detect) return NSEC_MAX;
    while ((k = list_first_entry(&e->heard, struct carrier, heard)) && nsec_add(k->heard_at, detect) <= now) {
        count(e, COUNTER_TIMEOUTS);
        flow_reset(out, k->flow, RESET_CUT);
        carrier_gone(e, now, k);
    }
    at = k ? nsec_add(k->heard_at, detect) : NSEC_MAX;
    ping_all(e, now, gap, out);
    if ((k = list_first_entry(&e->pinged, struct carrier, pinged)))
        at = nsec_min(at, nsec_add(k->pinged_at, gap));
    return at;
}

static enum ledger_end ledger_end_of(enum splice_outcome outcome)
{
    switch (outcome) {
    case SPLICE_CLOSED: return LEDGER_COMPLETED;
    case SPLICE_REFUSED: return LEDGER_FAILED;
    case SPLICE_DROPPED: return LEDGER_SHED;
    case SPLICE_CUT: return LEDGER_LOST;
    case SPLICE_GOES_ON: break;
    }
    UNREACHABLE();
}

static void stream_cut(void *user, const struct splice *pair)
{
    struct edge *e = user;

    recorder_end(e->base.env.recorder, ACCOUNT_STREAM, pair->ledger, ledger_end_of(SPLICE_CUT));
    route_release(e->route, pair->owner);
}

/* Streams that have not ended are cut, and all connections closed. */
static void grace_over(struct edge *e, struct outbox *out)
{
    e->grace_at = NSEC_MAX;
    splices_cut_all(&e->splices, out, stream_cut, e);
    for (uint32_t i = 0; i < e->carrier_count; i++) close_carrier(&e->carriers[i], out);
}

/* What is due is done, and the timer set for what is due next. */
static void go_on(struct edge *e, nsec_t now, struct outbox *out)
{
    nsec_t at = watch(e, now, out);

    if (e->grace_at <= now) grace_over(e, out);
    at = nsec_min(at, e->grace_at);
    if (at >= e->timer_at) return;
    e->timer_at = at;
    timer_set(out, at, 0);
}

/* The connection that a registration is for, or NULL when there can be no such. */
static struct carrier *carrier_for(const struct edge *e, const struct msg *m)
{
    const struct plan_tunnels *t = &e->base.env.plan->tunnels;
    uint64_t connector = m->c >> 32;

    if (m->a >= t->count || m->b >= t->connections || connector / t->replicas != m->a) return NULL;
    return &e->carriers[connector * t->connections + m->b];
}

static void accept_carrier(struct edge *e, nsec_t now, const struct event *ev, struct carrier *k,
                           struct outbox *out)
{
    struct tunnel *t = &e->tunnels[ev->msg.a];
    bool seen = t->seen;

    t->seen = true;
    k->flow = ev->flow;
    k->incarnation = (uint32_t)ev->msg.c;
    k->draining = k->closing = false;
    flow_tag(out, ev->flow, number_of(e, k) + 1);
    flow_answer(out, ev->flow,
                (struct msg){.kind = M_OK,
                             .bytes = BYTES_ANSWER,
                             .a = (uint64_t)e->base.env.incarnation << 32 | ++e->registrations,
                             .b = seen});
    heard_from(e, now, k);
    pinged(e, now, k);
    set_usable(e, now, k, true);
    go_on(e, now, out);
}

static void on_register(struct edge *e, nsec_t now, const struct event *ev, struct outbox *out)
{
    const struct plan_fault *fault = answer_fault(&e->base.env, now, &e->faults);
    nsec_t detect = e->base.env.plan->tunnels.edge_detect_ns;
    struct carrier *k = carrier_for(e, &ev->msg);

    if (!fault && k && k->flow && k->incarnation != (uint32_t)ev->msg.c) {
        /* The connector was started anew: its old self cannot be alive. */
        flow_reset(out, k->flow, RESET_CUT);
        carrier_gone(e, now, k);
    }
    if (!fault && !e->draining && k && !k->flow) {
        accept_carrier(e, now, ev, k, out);
        return;
    }
    count(e, COUNTER_CONNECTIONS_REJECTED);
    if (fault)
        flow_answer(out, ev->flow, answer_fault_msg(fault));
    else if (!k)
        refuse(ev->flow, 404, ERROR_NOT_FOUND, 0, out);
    else if (e->draining)
        refuse(ev->flow, 503, ERROR_OVERLOADED, 0, out);
    else
        refuse(ev->flow, 409, ERROR_CONFLICT,
               detect ? nsec_round_up(detect, NSEC_PER_MS) : DUPLICATE_RETRY_NS, out);
}

static void on_carrier_last(struct edge *e, nsec_t now, struct carrier *k, struct outbox *out)
{
    if (!k->closing)
        flow_data(out, k->flow,
                  (struct msg){.kind = M_UNREGISTER, .flags = MSG_LAST, .bytes = BYTES_CONTROL});
    carrier_gone(e, now, k);
}

static void on_carrier_msg(struct edge *e, nsec_t now, const struct event *ev, struct outbox *out)
{
    struct carrier *k;

    ASSERT(ev->tag <= e->carrier_count);
    k = &e->carriers[ev->tag - 1];
    ASSERT(k->flow == ev->flow);
    heard_from(e, now, k);
    if (ev->msg.type == MSG_RESET) {
        carrier_gone(e, now, k);
    } else if (ev->msg.flags & MSG_LAST) {
        on_carrier_last(e, now, k, out);
    } else if (ev->msg.kind == M_UNREGISTER) {
        k->draining = true;
        set_usable(e, now, k, false);
        close_if_empty(e, k, out);
    }
}

/* Streams
 * ---------------------------------------------------------------------------------------------------- */

static void refuse_stream(struct edge *e, uint32_t flow, enum route_outcome why, struct outbox *out)
{
    struct recorder *rec = e->base.env.recorder;
    bool unknown = why == ROUTE_E_UNKNOWN, full = why == ROUTE_E_FULL;

    recorder_end(rec, ACCOUNT_STREAM, recorder_open(rec, ACCOUNT_STREAM), full ? LEDGER_SHED : LEDGER_FAILED);
    count(e, unknown ? COUNTER_HTTP_4XX : COUNTER_HTTP_5XX);
    if (full) count(e, COUNTER_REQUESTS_SHED);
    refuse(flow, unknown ? 404 : full ? 503 : 502, unknown ? ERROR_NOT_FOUND : ERROR_OVERLOADED, 0, out);
}

static void answer_stream_with_fault(struct edge *e, uint32_t flow, const struct plan_fault *fault,
                                     struct outbox *out)
{
    struct recorder *rec = e->base.env.recorder;

    recorder_end(rec, ACCOUNT_STREAM, recorder_open(rec, ACCOUNT_STREAM), LEDGER_FAILED);
    recorder_count_status(rec, fault->status);
    flow_answer(out, flow, answer_fault_msg(fault));
}

static void on_stream(struct edge *e, nsec_t now, const struct event *ev, struct outbox *out)
{
    const struct plan_fault *fault = answer_fault(&e->base.env, now, &e->faults);
    struct splice_target target;
    enum route_outcome outcome;
    struct splice *pair;
    uint32_t number = 0;

    if (fault) {
        answer_stream_with_fault(e, ev->flow, fault, out);
        return;
    }
    outcome = route_take(e->route, HOST_TUNNEL(ev->msg.a), &number);
    if (outcome != ROUTE_OK) {
        refuse_stream(e, ev->flow, outcome, out);
        return;
    }
    target.to = ADDR(ROLE_CONNECTOR, number / e->base.env.plan->tunnels.connections);
    target.via = e->carriers[number].flow;
    pair = splice_begin(&e->splices, ev, target, out);
    if (!pair) {
        route_release(e->route, number);
        refuse_stream(e, ev->flow, ROUTE_E_FULL, out);
        return;
    }
    pair->owner = number;
    pair->ledger = recorder_open(e->base.env.recorder, ACCOUNT_STREAM);
}

static void on_stream_msg(struct edge *e, const struct event *ev, struct outbox *out)
{
    struct splice ended;
    enum splice_outcome outcome = splice_handle(&e->splices, ev, out, &ended);

    if (outcome == SPLICE_GOES_ON) return;
    recorder_end(e->base.env.recorder, ACCOUNT_STREAM, ended.ledger, ledger_end_of(outcome));
    route_release(e->route, ended.owner);
    close_if_empty(e, &e->carriers[ended.owner], out);
}

/* Life
 * ------------------------------------------------------------------------------------------------------- */

static void end_all(struct edge *e, enum ledger_end end)
{
    slab_for_each(id, &e->splices.pairs)
    {
        const struct splice *p = slab_get_unchecked(&e->splices.pairs, id);

        recorder_end(e->base.env.recorder, ACCOUNT_STREAM, p->ledger, end);
        slab_free(&e->splices.pairs, id);
    }
}

/* Nothing new comes in: every connection is told so, and closed when it carries nothing any more. */
static void drain(struct edge *e, nsec_t now, struct outbox *out)
{
    if (e->draining) return;
    e->draining = true;
    e->grace_at = nsec_add(now, e->base.env.plan->tunnels.grace_ns);
    for (uint32_t i = 0; i < e->carrier_count; i++) {
        struct carrier *k = &e->carriers[i];

        if (!k->flow || k->closing) continue;
        if (!k->draining) flow_data(out, k->flow, (struct msg){.kind = M_UNREGISTER, .bytes = BYTES_CONTROL});
        k->draining = true;
        set_usable(e, now, k, false);
        close_if_empty(e, k, out);
    }
    go_on(e, now, out);
}

static void on_open(struct edge *e, nsec_t now, const struct event *ev, struct outbox *out)
{
    switch (ev->msg.kind) {
    case M_REGISTER: on_register(e, now, ev, out); break;
    case M_TUNNEL_STREAM: on_stream(e, now, ev, out); break;
    default: count(e, COUNTER_PROTOCOL_VIOLATIONS); refuse(ev->flow, 400, ERROR_INVALID, 0, out);
    }
}

static void edge_handle(struct component *base, nsec_t now, const struct event *ev, struct outbox *out)
{
    struct edge *e = (struct edge *)base;

    switch (ev->type) {
    case EVENT_MSG:
        if (ev->tag >= SPLICE_TAG_MIN)
            on_stream_msg(e, ev, out);
        else if (ev->tag)
            on_carrier_msg(e, now, ev, out);
        else if (ev->msg.type == MSG_OPEN)
            on_open(e, now, ev, out);
        break; /* else: the rest of a flow that was refused */
    case EVENT_TIMER:
        if (e->timer_at <= now) e->timer_at = NSEC_MAX;
        go_on(e, now, out);
        break;
    case EVENT_DRAIN: drain(e, now, out); break;
    case EVENT_END: end_all(e, LEDGER_IN_FLIGHT); break;
    case EVENT_CRASH: end_all(e, LEDGER_LOST); break;
    default: break;
    }
}

const struct component_ops edge_ops = {
    .new = edge_new, .free = edge_free, .handle = edge_handle, .memory = edge_memory};
