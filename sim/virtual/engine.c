#include "sim/virtual/engine.h"

#include <errno.h>
#include <stdlib.h>

#include "sim/base/panic.h"
#include "sim/base/slab.h"
#include "sim/plan/fault_rules.h"
#include "sim/record/recorder.h"
#include "sim/virtual/ahead.h"
#include "sim/virtual/network.h"
#include "sim/virtual/run_digest.h"

/* Faults come before what happens at the same time. */
enum priority { PRIORITY_FAULT, PRIORITY_NORMAL };

/* What the engine knows of a flow end, behind what the world does: when the last message that was sent from
 * here left, arrived and was served, since the order of a flow is kept. With the world's part it fills a
 * cache line. */
struct end {
    nsec_t leaves_at, arrived_at, served_at;
};

/* flow_end.flags */
enum end_flag {
    END_CUT = 1,    /* nothing sent from here arrives any more */
    END_RESET = 2,  /* ended by a reset: its connection is not used again */
    END_OWN = 4,    /* its connection is its own */
    END_MISSED = 8, /* the peer that its OPEN is on its way to died: a later incarnation is not meant */
    END_LOST = 16,  /* a half-open link swallowed something of its connection's */
};

/* flow_end.driver names one of these for an end that is carried by another, or carries others. */
struct carriage {
    uint32_t carrier;                        /* the end that carries this one */
    uint32_t children_first, children_last;  /* ends carried by this one, in the order of their opening */
    uint32_t sibling_next, sibling_previous; /* ends carried by the same one */
};

struct state {
    uint32_t epoch; /* of timers: +1 with each crash */
    uint32_t incarnation;
    bool down; /* durable and waiting for its restart */
};

struct engine {
    const struct engine_options *opts;
    const struct plan *plan;
    struct engine_result *result;
    struct world *world;
    const struct slab *ends; /* the world's */
    struct network *network;
    struct calendar calendar;
    struct slab transits, timers, carriages;
    struct state *states[ROLE_COUNT];
    struct effects effects;
    struct digest digest;
    uint64_t disk_key;
    nsec_t now;
    uint64_t events;
    struct ahead ahead;
    bool crashing, done;
};

static void handle(struct engine *e, const struct event *ev);

/* Bookkeeping
 * ------------------------------------------------------------------------------------------------ */

/* Of a flow that is alive or held. */
static inline struct flow_end *flow_of(const struct engine *e, uint32_t flow)
{
    return slab_get_unchecked(e->ends, flow);
}

static inline struct end *end_of(struct flow_end *f)
{
    return flow_end_more(f);
}

/* What it carries and is carried by; made when first asked for. */
static struct carriage *carriage_of(struct engine *e, uint32_t flow)
{
    struct flow_end *f = flow_of(e, flow);

    if (!f->driver) f->driver = slab_alloc(&e->carriages);
    if (!f->driver && !slab_is_full(&e->carriages)) PANIC_MEMORY("out of memory for a carried flow more");
    if (!f->driver) PANIC("more than %u carried flows at once", e->carriages.limit);
    return slab_get_unchecked(&e->carriages, f->driver);
}

/* Links a new end to the end that carries it, if that is not over. */
static void end_begin(struct engine *e, uint32_t flow, uint32_t carrier)
{
    struct carriage *child, *parent;

    if (!carrier || flow_of(e, carrier)->over) return;
    child = carriage_of(e, flow);
    parent = carriage_of(e, carrier);
    *child = (struct carriage){.carrier = carrier, .sibling_previous = parent->children_last};
    if (parent->children_last)
        carriage_of(e, parent->children_last)->sibling_next = flow;
    else
        parent->children_first = flow;
    parent->children_last = flow;
}

/* Takes an end that is over off its carrier's list. */
static void end_leave_carrier(struct engine *e, const struct carriage *c)
{
    struct carriage *parent;

    if (!c->carrier) return;
    parent = carriage_of(e, c->carrier);
    if (c->sibling_previous)
        carriage_of(e, c->sibling_previous)->sibling_next = c->sibling_next;
    else
        parent->children_first = c->sibling_next;
    if (c->sibling_next)
        carriage_of(e, c->sibling_next)->sibling_previous = c->sibling_previous;
    else
        parent->children_last = c->sibling_previous;
}

static struct state *state_of(struct engine *e, addr_t self)
{
    return &e->states[ADDR_ROLE(self)][ADDR_ORDINAL(self)];
}

static bool is_up(struct engine *e, addr_t self)
{
    return world_has(e->world, self) && !state_of(e, self)->down;
}

/* What calendar_push() answered. */
static void pushed(const struct engine *e, int r)
{
    if (r == -ENOMEM) PANIC_MEMORY("out of memory for an event more");
    if (r < 0) PANIC("more than %zu events at once: the plan's limits allow too much", e->calendar.limit);
}

static void schedule(struct engine *e, nsec_t at, enum priority priority, uint64_t payload)
{
    pushed(e, calendar_push(&e->calendar, at > e->now ? at : e->now, priority, payload));
}

static void schedule_transit(struct engine *e, nsec_t at, uint32_t id)
{
    schedule(e, at, PRIORITY_NORMAL, ENTRY_PAYLOAD(ENTRY_MESSAGE, id));
}

/* What passes one direction of a link, or is served by the hosts of one role, mostly comes out in the order
 * in which it went in. */
#define LANE_OF_HOST(role) (NETWORK_WAYS + (role))
_Static_assert(LANE_OF_HOST(ROLE_COUNT) <= LANES_MAX, "a lane for each way and each role");

static void schedule_in_lane(struct engine *e, uint32_t lane, nsec_t at, enum entry entry, uint32_t id)
{
    pushed(e, calendar_push_lane(&e->calendar, lane, at, PRIORITY_NORMAL, ENTRY_PAYLOAD(entry, id)));
}

/* A message sets out from an end, which is held until transit_over(). Nothing is scheduled. */
static struct transit *transit_new(struct engine *e, uint32_t flow, enum stage stage, const struct msg *m,
                                   uint32_t *ret_id)
{
    uint32_t id = slab_take(&e->transits);
    struct transit *t;

    if (!id && !slab_is_full(&e->transits)) PANIC_MEMORY("out of memory for a message more");
    if (!id) PANIC("more than %u messages on their way at once", e->transits.limit);
    t = slab_get_unchecked(&e->transits, id);
    t->msg = *m;
    t->end = flow;
    t->stage = (uint8_t)stage;
    t->dialed = 0;
    flow_end_hold(flow_of(e, flow));
    *ret_id = id;
    return t;
}

/* `f`: the sender's end. */
static void count_flow(struct engine *e, const struct flow_end *f, const struct msg *m, enum flow_fate fate)
{
    recorder_flow(e->opts->recorder, network_way(e->network, f->owner, f->peer), m->kind, fate, 1);
}

/* The driver tells an end something itself, after a while. */
static void tell(struct engine *e, uint32_t flow, nsec_t at, struct msg m)
{
    uint32_t id;

    transit_new(e, flow, STAGE_LOCAL, &m, &id);
    schedule_transit(e, at, id);
}

static struct msg reset_msg(enum reset_cause cause)
{
    return (struct msg){.type = MSG_RESET, .a = cause};
}

/* Effects
 * ---------------------------------------------------------------------------------------------------- */

/* `at`, but not before the flow's last message. What shuffles ties must not shuffle a flow: then there is a
 * nanosecond between its messages. */
static nsec_t in_order(const struct engine *e, nsec_t at, nsec_t *last)
{
    return *last = nsec_max(at, nsec_add(*last, e->opts->shuffle_ties != 0));
}

static void leave(struct engine *e, uint32_t id, struct transit *t)
{
    struct flow_end *f = flow_of(e, t->end);
    nsec_t at = network_transfer(e->network, f->owner, f->peer, e->now, t->msg.bytes);

    t->stage = STAGE_LINK;
    schedule_in_lane(e, network_way(e->network, f->owner, f->peer), in_order(e, at, &end_of(f)->arrived_at),
                     ENTRY_MESSAGE, id);
}

static void transmit(struct engine *e, uint32_t flow, const struct msg *m, bool dialed)
{
    struct flow_end *f = flow_of(e, flow);
    struct end *end = end_of(f);
    uint32_t id;
    struct transit *t = transit_new(e, flow, STAGE_DIAL, m, &id);

    t->dialed = dialed;
    count_flow(e, f, m, FLOW_EMITTED);
    if (end->leaves_at && end->leaves_at >= e->now)
        schedule_transit(e, in_order(e, e->now, &end->leaves_at), id);
    else
        leave(e, id, t);
}

/* An OPEN finds nobody. */
static void undeliverable(struct engine *e, const struct effect *ef, nsec_t told_at, enum reset_cause cause)
{
    struct flow_end *f = flow_of(e, ef->flow);

    count_flow(e, f, &ef->msg, FLOW_EMITTED);
    count_flow(e, f, &ef->msg, FLOW_RETURNED);
    f->flags |= END_CUT;
    tell(e, ef->flow, told_at, reset_msg(cause));
}

/* The OPEN leaves when its new connection is up. */
static void dial(struct engine *e, const struct effect *ef)
{
    enum link_id id;
    const struct plan_link *link = network_link(e->network, ef->self, ef->to, &id);
    nsec_t sent_at = network_serve(e->network, ef->self, e->now, link->dial_cpu_client_ns);
    nsec_t up_at = network_dial(e->network, ef->self, ef->to, sent_at);
    nsec_t too_late = link->dial_timeout_ns ? nsec_add(e->now, link->dial_timeout_ns) : NSEC_MAX;

    if (up_at > too_late) {
        undeliverable(e, ef, too_late, RESET_UNREACHABLE);
        return;
    }
    if (up_at > e->now) end_of(flow_of(e, ef->flow))->leaves_at = up_at;
    transmit(e, ef->flow, &ef->msg, link->dial_cpu_server_ns > 0);
}

static void perform_disk(struct engine *e, const struct effect *ef)
{
    uint32_t pool;
    const struct plan_runner *runner = plan_runner_of(e->plan, ADDR_ORDINAL(ef->to), &pool);
    bool writes = ef->msg.kind == M_FILE_WRITE;
    struct prng p = prng_derive(e->disk_key, ef->msg.a, writes ? 0 : 1 + (uint32_t)ef->msg.b);
    nsec_t takes = dist_sample(writes ? &runner->spill_write_ns : &runner->spill_read_ns, &p);

    tell(
        e, ef->flow, ef->msg.kind == M_FILES_DROP ? e->now : nsec_add(e->now, takes),
        (struct msg){.type = MSG_OPEN, .flags = MSG_LAST, .kind = M_OK, .a = writes ? ef->msg.b : ef->msg.c});
}

/* What is upgraded shares no connection with what came before or comes after, live neither. */
static bool has_own_connection(const struct msg *m)
{
    return m->kind == M_TUNNEL_STREAM || m->kind == M_REGISTER;
}

static void perform_open(struct engine *e, const struct effect *ef)
{
    end_begin(e, ef->flow, ef->via);
    if (ADDR_ROLE(ef->to) == ROLE_DISK) {
        perform_disk(e, ef);
        return;
    }
    if (has_own_connection(&ef->msg)) flow_of(e, ef->flow)->flags |= END_OWN;
    if (ef->via || (!has_own_connection(&ef->msg) && network_reuse(e->network, ef->self, ef->to, e->now))) {
        transmit(e, ef->flow, &ef->msg, false);
    } else if (!is_up(e, ef->to) || network_fault(e->network, FAULT_LINK_CUT, ef->self, ef->to, e->now)) {
        nsec_t there_and_back = 2 * network_latency(e->network, ef->self, ef->to, e->now);
        undeliverable(e, ef, nsec_add(e->now, there_and_back), RESET_REFUSED);
    } else {
        dial(e, ef);
    }
}

static void perform_send(struct engine *e, const struct effect *ef)
{
    struct flow_end *f = flow_of(e, ef->flow);

    if (ef->msg.type == MSG_RESET) f->flags |= END_RESET;
    /* A disk is not told: what it has to say to an end that is over is dropped. */
    if (ADDR_ROLE(f->peer) == ROLE_DISK) return;
    if (ef->msg.type == MSG_RESET)
        recorder_give_up(e->opts->recorder, network_way(e->network, f->owner, f->peer));
    transmit(e, ef->flow, &ef->msg, false);
}

static void perform_timer(struct engine *e, const struct effect *ef)
{
    uint32_t id = slab_take(&e->timers);

    if (!id && !slab_is_full(&e->timers)) PANIC_MEMORY("out of memory for a timer more");
    if (!id) PANIC("more than %u timers at once: the plan's limits allow too much", e->timers.limit);
    *(struct timer *)slab_get_unchecked(&e->timers, id) =
        (struct timer){.self = ef->self, .epoch = state_of(e, ef->self)->epoch, .token = ef->token};
    schedule(e, ef->at, PRIORITY_NORMAL, ENTRY_PAYLOAD(ENTRY_TIMER, id));
}

static void perform(struct engine *e, const struct effect *ef)
{
    digest_effect(&e->digest, ef);
    switch (ef->type) {
    case EFFECT_OPEN: perform_open(e, ef); break;
    case EFFECT_SEND: perform_send(e, ef); break;
    case EFFECT_TIMER: perform_timer(e, ef); break;
    case EFFECT_DONE: e->done = true; break;
    default: UNREACHABLE();
    }
}

/* What an end carried ends with it. */
static void drop_children(struct engine *e, struct carriage *carrier)
{
    uint32_t child = carrier->children_first;

    while (child) {
        struct carriage *c = carriage_of(e, child);
        uint32_t next = c->sibling_next;

        c->carrier = c->sibling_next = c->sibling_previous = 0;
        if (!flow_of(e, child)->over) tell(e, child, e->now, reset_msg(RESET_CARRIER));
        child = next;
    }
}

static void carriage_over(struct engine *e, struct flow_end *f)
{
    struct carriage *c = slab_get(&e->carriages, f->driver);

    if (!c) return;
    drop_children(e, c);
    end_leave_carrier(e, c);
    slab_free(&e->carriages, f->driver);
    f->driver = 0;
}

/* The two ends of a flow know each other until the first of them is freed: so what is on its way always finds
 * its end. */
static void unlink_peer(struct engine *e, uint32_t peer)
{
    if (peer) flow_of(e, peer)->user = 0;
}

/* A flow end is over: its connection goes back to the pool or dies, what it carried dies with it. */
static void on_over(void *user, uint32_t flow)
{
    struct engine *e = user;
    struct flow_end *f = flow_of(e, flow);

    if (e->crashing) {
        f->flags |= END_RESET;
        if (ADDR_ROLE(f->peer) != ROLE_DISK) {
            struct msg m = reset_msg(RESET_CUT);
            transmit(e, flow, &m, false);
        }
    }
    carriage_over(e, f);
    if (f->opened && !f->via && !(f->flags & (END_RESET | END_OWN | END_LOST)) &&
        ADDR_ROLE(f->peer) != ROLE_DISK)
        network_idle(e->network, f->owner, f->peer, e->now);
    if (!f->holds) unlink_peer(e, f->user);
}

/* Events
 * ----------------------------------------------------------------------------------------------------- */

static void handle(struct engine *e, const struct event *ev)
{
    if (e->opts->on_event) e->opts->on_event(e->opts->user, e->events, e->now, ev);
    e->events++;
    digest_event(&e->digest, e->now, ev);
    e->effects.count = 0;
    world_handle(e->world, e->now, ev, &e->effects);
    if (ev->type != EVENT_CRASH && ev->type != EVENT_END) {
        for (size_t i = 0; i < e->effects.count; i++) perform(e, &e->effects.items[i]);
    }
    world_settle(e->world, on_over, e);
}

/* Frees a message and leaves its end. */
static void transit_over(struct engine *e, uint32_t id, const struct transit *t)
{
    uint32_t end = t->end, peer = flow_of(e, end)->user;

    slab_free(&e->transits, id);
    if (flow_end_release(flow_of(e, end))) return;
    world_flow_release(e->world, end);
    unlink_peer(e, peer);
}

static void deliver(struct engine *e, uint32_t flow, addr_t from, const struct msg *m)
{
    struct flow_end *f = flow_of(e, flow);
    struct event ev = {
        .type = EVENT_MSG, .self = f->owner, .from = from, .flow = flow, .tag = f->tag, .msg = *m};

    if (m->type == MSG_RESET) f->flags |= END_RESET;
    e->result->deliveries++;
    if (m->kind == M_WORK_POLL || m->kind == M_NO_WORK) e->result->polls++;
    handle(e, &ev);
}

/* The first message of a flow reached its component. */
static void deliver_open(struct engine *e, uint32_t from_end, struct flow_end *from, const struct msg *m)
{
    bool carried = from->via && world_flow_alive(e->world, from->via);
    uint32_t carrier = carried ? flow_of(e, from->via)->user : 0;
    uint32_t flow;

    if (!is_up(e, from->peer) || from->flags & END_MISSED || (from->via && !carrier)) {
        enum reset_cause cause = from->via ? RESET_CARRIER : RESET_REFUSED;
        count_flow(e, from, m, FLOW_RETURNED);
        if (!from->over)
            tell(e, from_end, nsec_add(e->now, network_latency(e->network, from->peer, from->owner, e->now)),
                 reset_msg(cause));
        return;
    }
    flow = world_flow_accept(e->world, from->peer, from->owner, carrier);
    end_begin(e, flow, carrier);
    flow_of(e, flow)->user = from_end;
    from->user = flow;
    count_flow(e, from, m, FLOW_DECODED);
    deliver(e, flow, from->owner, m);
}

static void deliver_transit(struct engine *e, const struct transit *t, struct flow_end *f)
{
    if (f->opened && t->msg.type == MSG_OPEN) {
        deliver_open(e, t->end, f, &t->msg);
    } else if (f->user && !flow_of(e, f->user)->over) {
        count_flow(e, f, &t->msg, FLOW_DECODED);
        deliver(e, f->user, 0, &t->msg);
    } else {
        count_flow(e, f, &t->msg, FLOW_CUT);
    }
}

static bool sender_dialed(const struct flow_end *f)
{
    enum link_id id;
    bool dials;

    return plan_link_between(ADDR_ROLE(f->owner), ADDR_ROLE(f->peer), &id, &dials) == 0 && dials;
}

/* This side's end of the flow whose connection it is: a carried one's is that of its carrier. */
static uint32_t connection_of(struct engine *e, uint32_t flow)
{
    const struct carriage *c;

    while ((c = slab_get(&e->carriages, flow_of(e, flow)->driver)) && c->carrier) flow = c->carrier;
    return flow;
}

static void cut_end(struct engine *e, uint32_t flow)
{
    struct flow_end *f = flow_of(e, flow);

    f->flags |= END_CUT;
    if (!f->over) tell(e, flow, e->now, reset_msg(RESET_CUT));
}

/* What the dialed side sends over a half-open link is swallowed. A connection with such a hole is reset when
 * something is to be delivered on it after the fault, which is swallowed too. */
static bool is_swallowed(struct engine *e, const struct transit *t, const struct flow_end *f)
{
    bool half_open = network_fault(e->network, FAULT_LINK_HALF_OPEN, f->owner, f->peer, e->now);
    uint32_t ends[2];

    if (!network_is_faulty(e->network, f->owner, f->peer) || (half_open && sender_dialed(f))) return false;
    ends[0] = connection_of(e, t->end);
    ends[1] = flow_of(e, ends[0])->user;
    if (!half_open && !(flow_of(e, ends[0])->flags & END_LOST)) return false;
    for (int i = 0; i < 2 && ends[i]; i++) {
        flow_of(e, ends[i])->flags |= END_LOST;
        if (!half_open) cut_end(e, ends[i]);
    }
    return true;
}

/* A message's link time is over: now faults, then the host. False: it must wait there, and is scheduled. */
static bool arrive(struct engine *e, uint32_t id, struct transit *t, struct flow_end *f)
{
    struct end *end = end_of(f);
    nsec_t before = end->served_at, cost = network_message_cost(e->network, f->peer, t->msg.bytes), at;
    enum link_id link;

    if (f->flags & END_CUT || is_swallowed(e, t, f)) {
        count_flow(e, f, &t->msg, FLOW_CUT);
        return true;
    }
    if (t->dialed)
        cost = nsec_add(cost, network_link(e->network, f->owner, f->peer, &link)->dial_cpu_server_ns);
    at = in_order(e, network_serve(e->network, f->peer, e->now, cost), &end->served_at);
    t->stage = STAGE_HOST;
    /* One served at this very moment may still stand in the calendar. */
    if (at > e->now || at == before) {
        schedule_in_lane(e, LANE_OF_HOST(ADDR_ROLE(f->peer)), at, ENTRY_SERVED, id);
        return false;
    }
    deliver_transit(e, t, f);
    return true;
}

static void on_message(struct engine *e, uint32_t id)
{
    struct transit *t = slab_get_unchecked(&e->transits, id);
    struct flow_end *f = flow_of(e, t->end);

    switch ((enum stage)t->stage) {
    case STAGE_DIAL: leave(e, id, t); return;
    case STAGE_LINK:
        if (!arrive(e, id, t, f)) return;
        break;
    case STAGE_HOST: deliver_transit(e, t, f); break;
    case STAGE_LOCAL:
        if (!f->over) deliver(e, t->end, 0, &t->msg);
        break;
    }
    transit_over(e, id, t);
}

static void on_timer(struct engine *e, uint32_t id)
{
    struct timer t = *(struct timer *)slab_get_unchecked(&e->timers, id);
    struct event ev = {.type = EVENT_TIMER, .self = t.self, .token = t.token};

    slab_free(&e->timers, id);
    if (!is_up(e, t.self) || state_of(e, t.self)->epoch != t.epoch) {
        e->result->timers_dead++;
        return;
    }
    e->result->timers++;
    handle(e, &ev);
}

/* Faults
 * ----------------------------------------------------------------------------------------------------- */

/* What is on its way to one that dies finds nobody, even if it is back by then. */
static void miss_opens(struct engine *e, addr_t self)
{
    for (uint32_t flow = 0; (flow = world_flow_next(e->world, flow));) {
        struct flow_end *f = flow_of(e, flow);
        if (f->opened && f->peer == self && !f->user) f->flags |= END_MISSED;
    }
}

static void crash(struct engine *e, addr_t self)
{
    struct event ev = {.type = EVENT_CRASH, .self = self};
    struct state *s = state_of(e, self);

    if (!is_up(e, self)) return;
    e->crashing = true;
    /* A durable component dies without a word to its ledger: what it keeps goes on when it is back. */
    if (plan_keeps_state(e->plan, self)) {
        s->down = true;
        world_drop_flows(e->world, self);
    } else {
        handle(e, &ev);
        world_remove(e->world, self);
    }
    s->epoch++;
    world_settle(e->world, on_over, e);
    miss_opens(e, self);
    network_forget(e->network, self);
    e->crashing = false;
}

static void start(struct engine *e, addr_t self)
{
    struct state *s = state_of(e, self);
    struct event ev = {.type = EVENT_START, .self = self};

    if (s->down) {
        s->down = false;
        ev.type = EVENT_RECOVERED;
    } else if (world_add(e->world, self, e->opts->recorder, s->incarnation) < 0) {
        PANIC_MEMORY("out of memory for %s %u", role_name(ADDR_ROLE(self)), ADDR_ORDINAL(self));
    }
    s->incarnation++;
    if (s->incarnation > 1) recorder_count(e->opts->recorder, COUNTER_ROLE_RESTARTS, 1);
    handle(e, &ev);
}

static void for_each_target(struct engine *e, const struct plan_fault *f,
                            void (*act)(struct engine *, addr_t))
{
    enum role role = ADDR_ROLE(f->target);

    if (!f->all_instances) {
        act(e, f->target);
        return;
    }
    for (uint32_t i = 0; i < plan_instances(e->plan, role); i++) act(e, ADDR(role, i));
}

static void cut_link(struct engine *e, const struct plan_fault *f)
{
    enum link_id id;
    bool dials;

    for (uint32_t flow = world_flow_next(e->world, 0); flow; flow = world_flow_next(e->world, flow)) {
        struct flow_view v = world_flow(e->world, flow);

        if (plan_link_between(ADDR_ROLE(v.owner), ADDR_ROLE(v.peer), &id, &dials) < 0 || id != f->link)
            continue;
        if (!fault_concerns(f, v.owner, v.peer)) continue;
        cut_end(e, flow);
    }
    network_forget_link(e->network, f);
}

/* Unless another kill keeps it down. */
static void start_if_down(struct engine *e, addr_t self)
{
    if (!is_up(e, self) && !plan_is_killed(e->plan, self, e->now)) start(e, self);
}

static void tell_to_stop(struct engine *e, addr_t self)
{
    if (is_up(e, self)) handle(e, &(struct event){.type = EVENT_DRAIN, .self = self});
}

static void on_fault(struct engine *e, uint32_t index, bool begin)
{
    const struct plan_fault *f = &e->plan->faults[index];

    if (f->kind == FAULT_KILL) for_each_target(e, f, begin ? crash : start_if_down);
    if (f->kind == FAULT_RESTART && begin) for_each_target(e, f, tell_to_stop);
    if (f->kind == FAULT_LINK_CUT && begin) cut_link(e, f);
    if (begin && f->first) recorder_count(e->opts->recorder, COUNTER_FAULTS_INJECTED, 1);
}

static void schedule_faults(struct engine *e)
{
    for (uint32_t i = 0; i < e->plan->fault_count; i++) {
        const struct plan_fault *f = &e->plan->faults[i];

        schedule(e, f->at_ns, PRIORITY_FAULT, ENTRY_PAYLOAD(ENTRY_FAULT_BEGIN, i));
        if (f->for_ns)
            schedule(e, nsec_add(f->at_ns, f->for_ns), PRIORITY_FAULT, ENTRY_PAYLOAD(ENTRY_FAULT_END, i));
    }
}

/* The run
 * ---------------------------------------------------------------------------------------------------- */

static void start_all(struct engine *e)
{
    for (enum role role = ROLE_MCP; role < ROLE_COUNT; role++) {
        for (uint32_t i = 0; !role_is_driver_served(role) && i < plan_instances(e->plan, role); i++)
            start(e, ADDR(role, i));
    }
}

static void end_all(struct engine *e)
{
    for (enum role role = ROLE_MCP; role < ROLE_COUNT; role++) {
        for (uint32_t i = 0; i < plan_instances(e->plan, role); i++) {
            struct event ev = {.type = EVENT_END, .self = ADDR(role, i)};
            if (world_has(e->world, ev.self)) handle(e, &ev);
        }
    }
}

/* What is still on its way when the run is over arrives nowhere. */
static void count_in_flight(struct engine *e)
{
    slab_for_each(id, &e->transits)
    {
        const struct transit *t = slab_get_unchecked(&e->transits, id);
        if (t->stage != STAGE_LOCAL) count_flow(e, flow_of(e, t->end), &t->msg, FLOW_CUT);
    }
}

static void measure_size(struct engine *e)
{
    size_t sum = world_memory(e->world) + calendar_bytes(&e->calendar) + slab_bytes(&e->transits) +
                 slab_bytes(&e->timers) + slab_bytes(&e->carriages) + network_memory(e->network);

    if (sum > e->result->memory_max_bytes) e->result->memory_max_bytes = sum;
    if (calendar_len(&e->calendar) > e->result->pending_max)
        e->result->pending_max = calendar_len(&e->calendar);
}

static void step(struct engine *e)
{
    struct cal_item item;

    if (!calendar_pop(&e->calendar, &item)) UNREACHABLE();
    e->now = item.at;
    ahead_timers(&e->ahead);
    switch (ENTRY_OF(item.payload)) {
    case ENTRY_MESSAGE:
        if (item.lane) ahead_messages(&e->ahead, item.lane);
        on_message(e, ENTRY_ID(item.payload));
        break;
    case ENTRY_SERVED: on_message(e, ENTRY_ID(item.payload)); break;
    case ENTRY_TIMER: on_timer(e, ENTRY_ID(item.payload)); break;
    case ENTRY_FAULT_BEGIN: on_fault(e, ENTRY_ID(item.payload), true); break;
    case ENTRY_FAULT_END: on_fault(e, ENTRY_ID(item.payload), false); break;
    default: UNREACHABLE();
    }
}

static bool pass_interval(struct engine *e, nsec_t at)
{
    measure_size(e);
    return !e->opts->on_interval || e->opts->on_interval(e->opts->user, at);
}

static void run(struct engine *e)
{
    nsec_t stop_at = nsec_add(e->plan->duration_ns, e->plan->drain_ns);
    nsec_t next_interval = e->plan->interval_ns;

    start_all(e);
    schedule_faults(e);
    while (!e->done) {
        nsec_t at = calendar_peek_at(&e->calendar);

        if (at > stop_at) at = stop_at;
        for (; next_interval <= at; next_interval = nsec_add(next_interval, e->plan->interval_ns)) {
            if (pass_interval(e, next_interval)) continue;
            e->result->interrupted = true;
            e->now = next_interval;
            goto out;
        }
        if (at == stop_at && calendar_peek_at(&e->calendar) > stop_at) {
            e->now = stop_at;
            break;
        }
        step(e);
    }
    e->result->load_done = e->done;
out:
    measure_size(e);
    count_in_flight(e);
    end_all(e);
    recorder_count(e->opts->recorder, COUNTER_CPU_NS, network_cpu(e->network));
    e->result->end_ns = e->now;
    digest_hex(&e->digest, e->result->digest);
}

static int engine_init(struct engine *e)
{
    struct world_options world = {
        .plan = e->plan, .roles = world_roles, .flows_max = SLAB_LIMIT_MAX, .end_bytes = sizeof(struct end)};
    int r;

    e->disk_key = prng_key(e->plan->seed, e->plan->replicate, "disk");
    digest_init(&e->digest);
    if ((r = calendar_init(&e->calendar, 2 * (size_t)SLAB_LIMIT_MAX)) < 0) return r;
    if (e->opts->shuffle_ties) calendar_shuffle_ties(&e->calendar, e->opts->shuffle_ties);
    if ((r = slab_init(&e->transits, sizeof(struct transit), SLAB_LIMIT_MAX)) < 0) return r;
    if ((r = slab_init(&e->timers, sizeof(struct timer), SLAB_LIMIT_MAX)) < 0) return r;
    if ((r = slab_init(&e->carriages, sizeof(struct carriage), SLAB_LIMIT_MAX)) < 0) return r;
    for (enum role role = ROLE_MCP; role < ROLE_COUNT; role++) {
        e->states[role] = calloc(plan_instances(e->plan, role) + 1, sizeof(struct state));
        if (!e->states[role]) return -ENOMEM;
    }
    if ((r = network_new(e->plan, &e->network)) < 0) return r;
    if ((r = world_new(&world, &e->world)) < 0) return r;
    e->ends = world_flow_ends(e->world);
    e->ahead = (struct ahead){.world = e->world,
                              .ends = e->ends,
                              .transits = &e->transits,
                              .timers = &e->timers,
                              .calendar = &e->calendar};
    return 0;
}

static void engine_deinit(struct engine *e)
{
    world_free(e->world);
    network_free(e->network);
    for (enum role role = ROLE_MCP; role < ROLE_COUNT; role++) free(e->states[role]);
    slab_deinit(&e->timers);
    slab_deinit(&e->transits);
    slab_deinit(&e->carriages);
    calendar_deinit(&e->calendar);
    effects_deinit(&e->effects);
}

int engine_run(const struct engine_options *opts, struct engine_result *ret)
{
    struct engine_result result = {0};
    struct engine e = {.opts = opts, .plan = opts->plan, .result = &result};
    int r = engine_init(&e);

    if (r == 0) {
        run(&e);
        *ret = result;
    }
    engine_deinit(&e);
    return r;
}
