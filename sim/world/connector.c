/*
 * A tunnel connector: keeps its connections to the edge registered, and splices the streams that come on them
 * to its proxy. When to dial is connector_set's affair.
 *
 * It never sees when a dial is done, only the answer to its registration or a RESET: so an unanswered one is
 * given up after dial and registration time-out together, and failed dials are the driver's word
 * (RESET_REFUSED, RESET_UNREACHABLE).
 *
 * It pings nobody: the edge does. The real one sets no time-out of pings on HTTP/2 and leaves a dead edge to
 * TCP; that its connection was silent stands for that here.
 */
#include <errno.h>
#include <stdlib.h>

#include "sim/base/panic.h"
#include "sim/policy/connector_set.h"
#include "sim/record/recorder.h"
#include "sim/world/splice.h"

#define BYTES_REGISTER 600
#define BYTES_CONTROL  300
#define BYTES_PING     17

/* Tag of a connection's flow: index + 1. */
struct connection {
    uint32_t flow; /* 0: none */
    uint32_t ledger;
    bool registered, closing; /* closing: we have said MSG_LAST */
    bool lost_before;
    nsec_t dialed_at, heard_at;
};

/* From the first connection lost until all are registered again. */
struct outage {
    bool on, ours; /* ours: an edge that knows nothing of it has taken us, so it is for us to record */
    nsec_t first_lost_at;
    nsec_t all_lost_at; /* NSEC_MAX: not since it was last recorded */
    nsec_t usable_at;   /* the first registration after that; NSEC_MAX: there is none */
};

struct connector {
    struct component base;
    struct connector_set *set;
    struct connection *connections;
    struct splices splices;
    struct connector_set_waits waits; /* already counted */
    struct outage outage;
    nsec_t timer_at; /* NSEC_MAX: no timer is set */
    nsec_t grace_at; /* of the drain */
    bool draining;
};

static const struct plan_tunnels *tunnels(const struct connector *c)
{
    return &c->base.env.plan->tunnels;
}

static uint32_t streams_max(const struct plan_tunnels *t)
{
    uint64_t n = (uint64_t)t->connections * t->streams_max;

    if (n == 0) n = 1;
    return n < SLAB_LIMIT_MAX ? (uint32_t)n : SLAB_LIMIT_MAX;
}

static void connector_free(struct component *base)
{
    struct connector *c = (struct connector *)base;

    connector_set_free(c->set);
    splices_deinit(&c->splices);
    free(c->connections);
    free(c);
}

static int connector_new(const struct env *env, struct component **ret)
{
    const struct plan_tunnels *t = &env->plan->tunnels;
    struct connector_set_options opts = {
        .connections = t->connections,
        .spacing_ns = t->spacing_ns,
        .backoff = t->backoff,
        .key = prng_key(env->plan->seed, env->plan->replicate, "connector"),
        .ordinal = (uint64_t)ADDR_ORDINAL(env->self) << 32 | env->incarnation,
    };
    struct connector *c = calloc(1, sizeof *c);
    int r;

    if (!c) return -ENOMEM;
    c->base = (struct component){.ops = &connector_ops, .env = *env};
    c->timer_at = c->grace_at = NSEC_MAX;
    c->connections = calloc(t->connections, sizeof *c->connections);
    r = c->connections ? connector_set_new(&opts, &c->set) : -ENOMEM;
    if (r == 0) r = splices_init(&c->splices, streams_max(t));
    if (r < 0) {
        connector_free(&c->base);
        return r;
    }
    *ret = &c->base;
    return 0;
}

static size_t connector_memory(const struct component *base)
{
    const struct connector *c = (const struct connector *)base;

    return sizeof *c + connector_set_bytes(c->set) + tunnels(c)->connections * sizeof *c->connections +
           slab_bytes(&c->splices.pairs);
}

static void count(struct connector *c, enum counter counter, uint64_t n)
{
    recorder_count(c->base.env.recorder, counter, n);
}

/* Outages
 * ---------------------------------------------------------------------------------------------------- */

static void outage_lost(struct connector *c, nsec_t now)
{
    struct outage *o = &c->outage;

    if (!o->on)
        *o =
            (struct outage){.on = true, .first_lost_at = now, .all_lost_at = NSEC_MAX, .usable_at = NSEC_MAX};
    if (connector_set_up(c->set) > 0) return;
    o->all_lost_at = now;
    o->usable_at = NSEC_MAX;
}

/* Answers overtake each other, each on a connection of its own: the tunnel may be up again before the answer
 * is here that says that the edge is new. */
static void outage_registered(struct connector *c, nsec_t now, bool edge_knows_tunnel)
{
    struct outage *o = &c->outage;
    struct recorder *rec = c->base.env.recorder;

    if (!o->on) return;
    if (o->usable_at == NSEC_MAX) o->usable_at = now;
    if (!edge_knows_tunnel) {
        o->ours = true;
        if (o->all_lost_at != NSEC_MAX)
            recorder_record(rec, METRIC_TUNNEL_USABLE, o->usable_at - o->all_lost_at);
        o->all_lost_at = NSEC_MAX;
    }
    if (connector_set_up(c->set) < tunnels(c)->connections) return;
    if (o->ours) recorder_record(rec, METRIC_TUNNEL_RECONNECT, now - o->first_lost_at);
    o->on = false;
}

/* Connections
 * ------------------------------------------------------------------------------------------------ */

static void dial(struct connector *c, nsec_t now, uint32_t index, struct outbox *out)
{
    struct connection *k = &c->connections[index];
    uint32_t self = ADDR_ORDINAL(c->base.env.self);

    ASSERT(!k->flow);
    k->registered = k->closing = false;
    k->dialed_at = now;
    k->ledger = recorder_open(c->base.env.recorder, ACCOUNT_CONNECTION);
    count(c, COUNTER_CONNECTIONS, 1);
    if (k->lost_before) count(c, COUNTER_RECONNECTS, 1);
    k->flow = flow_open(out, ADDR(ROLE_EDGE, 0), 0, index + 1,
                        (struct msg){.kind = M_REGISTER,
                                     .bytes = BYTES_REGISTER,
                                     .a = self / tunnels(c)->replicas,
                                     .b = index,
                                     .c = (uint64_t)self << 32 | c->base.env.incarnation});
}

/* The connection's flow is over, or was just reset. */
static void connection_ended(struct connector *c, nsec_t now, struct connection *k, enum ledger_end end,
                             enum connection_failure failure, nsec_t retry_after_ns)
{
    bool was_registered = k->registered;

    k->flow = 0;
    k->registered = false;
    recorder_end(c->base.env.recorder, ACCOUNT_CONNECTION, k->ledger, end);
    connector_set_failed(c->set, now, (uint32_t)(k - c->connections), failure, retry_after_ns);
    if (!was_registered) count(c, COUNTER_HANDSHAKES_FAILED, 1);
    if (!was_registered || c->draining) return;
    k->lost_before = true;
    outage_lost(c, now);
}

static void on_registered(struct connector *c, nsec_t now, struct connection *k, const struct msg *m)
{
    k->registered = true;
    k->heard_at = now;
    recorder_record(c->base.env.recorder, METRIC_TUNNEL_HANDSHAKE, now - k->dialed_at);
    count(c, COUNTER_HANDSHAKES, 1);
    connector_set_registered(c->set, now, (uint32_t)(k - c->connections));
    outage_registered(c, now, m->b == 1);
}

static void on_refused(struct connector *c, nsec_t now, struct connection *k, const struct msg *m,
                       struct outbox *out)
{
    flow_reset(out, k->flow, RESET_CANCEL);
    connection_ended(c, now, k, LEDGER_FAILED,
                     m->b == ERROR_CONFLICT ? CONNECTION_DUPLICATE : CONNECTION_OTHER, m->c);
}

static void on_reset(struct connector *c, nsec_t now, struct connection *k, const struct msg *m)
{
    bool never_up = !k->registered && (m->a == RESET_REFUSED || m->a == RESET_UNREACHABLE);

    connection_ended(c, now, k, k->registered ? LEDGER_LOST : LEDGER_FAILED,
                     never_up ? CONNECTION_DIAL_ERROR : CONNECTION_OTHER, 0);
}

/* The edge has said all: the connection ends in order. */
static void on_last(struct connector *c, nsec_t now, struct connection *k, struct outbox *out)
{
    if (!k->closing)
        flow_data(out, k->flow,
                  (struct msg){.kind = M_UNREGISTER, .flags = MSG_LAST, .bytes = BYTES_CONTROL});
    connection_ended(c, now, k, LEDGER_COMPLETED, CONNECTION_OTHER, 0);
}

static void on_connection_msg(struct connector *c, nsec_t now, const struct event *ev, struct outbox *out)
{
    struct connection *k;

    ASSERT(ev->tag <= tunnels(c)->connections);
    k = &c->connections[ev->tag - 1];
    ASSERT(k->flow == ev->flow);
    k->heard_at = now;
    if (ev->msg.type == MSG_RESET) {
        on_reset(c, now, k, &ev->msg);
    } else if (ev->msg.type == MSG_OPEN) {
        if (ev->msg.kind == M_OK && !(ev->msg.flags & MSG_LAST))
            on_registered(c, now, k, &ev->msg);
        else
            on_refused(c, now, k, &ev->msg, out);
    } else if (ev->msg.flags & MSG_LAST) {
        on_last(c, now, k, out);
    } else if (ev->msg.kind == M_PING && !k->closing) {
        flow_data(out, k->flow, (struct msg){.kind = M_PONG, .bytes = BYTES_PING});
    }
}

/* Streams
 * ---------------------------------------------------------------------------------------------------- */

static void refuse(uint32_t flow, uint32_t status, struct outbox *out)
{
    flow_answer(out, flow,
                (struct msg){.kind = M_ERROR,
                             .flags = MSG_LAST,
                             .bytes = BYTES_CONTROL,
                             .a = status,
                             .b = status == 400 ? ERROR_INVALID : ERROR_OVERLOADED});
}

static void on_stream(struct connector *c, const struct event *ev, struct outbox *out)
{
    addr_t proxy = ADDR(ROLE_PROXY, ADDR_ORDINAL(c->base.env.self));

    if (ev->msg.kind != M_TUNNEL_STREAM)
        refuse(ev->flow, 400, out);
    else if (c->draining || !splice_begin(&c->splices, ev, (struct splice_target){.to = proxy}, out))
        refuse(ev->flow, 503, out);
}

/* Time
 * ------------------------------------------------------------------------------------------------------- */

static nsec_t answer_timeout(const struct plan *plan)
{
    nsec_t dial = plan->links[LINK_CONNECTOR_EDGE].dial_timeout_ns;
    nsec_t timeout = nsec_add(dial, plan->tunnels.register_timeout_ns);

    return timeout ? timeout : NSEC_MAX;
}

static nsec_t connection_deadline(const struct connector *c, const struct connection *k)
{
    const struct plan_tunnels *t = tunnels(c);

    if (!k->flow) return NSEC_MAX;
    if (!k->registered) return nsec_add(k->dialed_at, answer_timeout(c->base.env.plan));
    return t->edge_detect_ns ? nsec_add(k->heard_at, t->edge_detect_ns) : NSEC_MAX;
}

/* Gives up what was not answered in time, or was silent for too long. */
static void connection_due(struct connector *c, nsec_t now, struct connection *k, struct outbox *out)
{
    if (connection_deadline(c, k) > now) return;
    count(c, COUNTER_TIMEOUTS, 1);
    flow_reset(out, k->flow, k->registered ? RESET_CUT : RESET_CANCEL);
    connection_ended(c, now, k, k->registered ? LEDGER_LOST : LEDGER_FAILED, CONNECTION_OTHER, 0);
}

static void grace_over(struct connector *c, struct outbox *out)
{
    c->grace_at = NSEC_MAX;
    splices_cut_all(&c->splices, out, NULL, NULL);
    for (uint32_t i = 0; i < tunnels(c)->connections; i++) {
        struct connection *k = &c->connections[i];

        if (!k->flow || k->closing) continue;
        k->closing = true;
        flow_data(out, k->flow,
                  (struct msg){.kind = M_UNREGISTER, .flags = MSG_LAST, .bytes = BYTES_CONTROL});
    }
}

static void count_waits(struct connector *c)
{
    struct connector_set_waits waits = connector_set_waits(c->set);

    count(c, COUNTER_BACKOFFS, waits.count - c->waits.count);
    count(c, COUNTER_BACKOFF_NS, waits.total_ns - c->waits.total_ns);
    c->waits = waits;
}

/* What is due is done, and the timer set for what is due next. */
static void go_on(struct connector *c, nsec_t now, struct outbox *out)
{
    nsec_t next;
    uint32_t index;

    if (c->grace_at <= now) grace_over(c, out);
    for (uint32_t i = 0; i < tunnels(c)->connections; i++) connection_due(c, now, &c->connections[i], out);
    while (connector_set_next(c->set, now, &index)) dial(c, now, index, out);
    count_waits(c);

    next = nsec_min(c->grace_at, connector_set_deadline(c->set));
    for (uint32_t i = 0; i < tunnels(c)->connections; i++)
        next = nsec_min(next, connection_deadline(c, &c->connections[i]));
    if (next >= c->timer_at) return;
    c->timer_at = next;
    timer_set(out, next, 0);
}

/* Life
 * ------------------------------------------------------------------------------------------------------- */

static void drain(struct connector *c, nsec_t now, struct outbox *out)
{
    if (c->draining) return;
    c->draining = true;
    c->grace_at = nsec_add(now, tunnels(c)->grace_ns);
    connector_set_stop(c->set);
    for (uint32_t i = 0; i < tunnels(c)->connections; i++) {
        struct connection *k = &c->connections[i];

        if (!k->flow) continue;
        if (k->registered) {
            flow_data(out, k->flow, (struct msg){.kind = M_UNREGISTER, .bytes = BYTES_CONTROL});
        } else {
            flow_reset(out, k->flow, RESET_CANCEL);
            connection_ended(c, now, k, LEDGER_FAILED, CONNECTION_OTHER, 0);
        }
    }
}

static void end_all(struct connector *c, enum ledger_end end)
{
    for (uint32_t i = 0; i < tunnels(c)->connections; i++) {
        struct connection *k = &c->connections[i];

        if (k->flow) recorder_end(c->base.env.recorder, ACCOUNT_CONNECTION, k->ledger, end);
        k->flow = 0;
    }
}

static void on_msg(struct connector *c, nsec_t now, const struct event *ev, struct outbox *out)
{
    struct splice ended;

    if (ev->tag >= SPLICE_TAG_MIN) {
        splice_handle(&c->splices, ev, out, &ended);
    } else if (ev->tag) {
        on_connection_msg(c, now, ev, out);
        go_on(c, now, out);
    } else if (ev->msg.type == MSG_OPEN) {
        on_stream(c, ev, out);
    } /* else: the rest of a stream that was refused */
}

static void connector_handle(struct component *base, nsec_t now, const struct event *ev, struct outbox *out)
{
    struct connector *c = (struct connector *)base;

    switch (ev->type) {
    case EVENT_START:
        connector_set_start(c->set, now);
        go_on(c, now, out);
        break;
    case EVENT_MSG: on_msg(c, now, ev, out); break;
    case EVENT_TIMER:
        if (c->timer_at <= now) c->timer_at = NSEC_MAX;
        go_on(c, now, out);
        break;
    case EVENT_DRAIN:
        drain(c, now, out);
        go_on(c, now, out);
        break;
    case EVENT_END: end_all(c, LEDGER_IN_FLIGHT); break;
    case EVENT_CRASH: end_all(c, LEDGER_LOST); break;
    default: break;
    }
}

const struct component_ops connector_ops = {
    .new = connector_new, .free = connector_free, .handle = connector_handle, .memory = connector_memory};
