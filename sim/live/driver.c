#include "sim/live/driver.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <time.h>

#include "sim/base/heap.h"
#include "sim/base/panic.h"
#include "sim/base/slab.h"
#include "sim/base/vec.h"
#include "sim/record/recorder.h"

enum {
    /* A turn has one time, and its effects go out at its end: what is more waits for the next. */
    TURN_ARRIVALS_MAX = 512,
    TURN_TIMERS_MAX = 512,
    SETTLE_TURNS_MAX = 64,
};

struct timer {
    addr_t self;
    uint32_t epoch;
    uint64_t token;
};

/* An event that waits for its turn. Flows are named by their wire: the end of an accepted flow is made in the
 * turn that hands its OPEN over, so that a replay makes the same ends in the same order. */
struct arrival {
    struct event event;
    uint32_t wire, via; /* slots; EVENT_MSG */
    bool accept;
    bool uncounted; /* a surface said it */
    uint8_t way;    /* EVENT_MSG: that it came by */
};

struct driver {
    struct driver_options opts;
    uint64_t epoch_ns, wall_offset_ns;
    struct world *world;
    VEC(struct arrival) inbox;
    VEC(struct event) batch; /* the events of this turn */
    size_t inbox_done;       /* events of `inbox` already handled */
    struct effects effects;
    struct heap timer_heap;
    uint64_t timer_seq;
    nsec_t turn_at;
    struct slab timers;
    struct slab wires; /* struct wire *; the slot's id is the flow end's `user` */
    struct event *turn_event, *timer_event;
    struct dialer *dialers[ROLE_COUNT][ROLE_COUNT];
    struct recorder **recorders[ROLE_COUNT];
    uint32_t *epochs[ROLE_COUNT];
    addr_t crashing, any; /* any: a component that was here */
    bool ended;           /* what comes now is cut off by the end of the run */
};

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return (uint64_t)ts.tv_sec * NSEC_PER_S + (uint64_t)ts.tv_nsec;
}

nsec_t driver_now(const struct driver *d)
{
    uint64_t now = clock_ns(CLOCK_MONOTONIC);

    return now > d->epoch_ns ? now - d->epoch_ns : 0;
}

void driver_set_clock(struct driver *d, uint64_t epoch_ns, uint64_t wall_offset_ns)
{
    d->epoch_ns = epoch_ns;
    d->wall_offset_ns = wall_offset_ns;
}

uint64_t driver_wall_ns(const struct driver *d, nsec_t at)
{
    return d->wall_offset_ns + at;
}

struct event_base *driver_base(const struct driver *d)
{
    return d->opts.base;
}
const struct plan *driver_plan(const struct driver *d)
{
    return d->opts.plan;
}
struct world *driver_world(struct driver *d)
{
    return d->world;
}

struct recorder *driver_recorder(struct driver *d, addr_t self)
{
    return d->recorders[ADDR_ROLE(self)][ADDR_ORDINAL(self)];
}

/* Credit and resets are the transport's, and so is how it cuts bytes into pieces; files have no peer that
 * would count. A TLS client is ready before the server has heard so: what it takes for the answer may never
 * be sent. */
static bool is_counted(const struct msg *m)
{
    switch (m->kind) {
    case M_NONE:
    case M_BYTES:
    case M_BODY:
    case M_FILE_WRITE:
    case M_FILE_READ:
    case M_FILES_DROP:
    case M_INNER_READY: return false;
    default: return true;
    }
}

/* What is said within a tunnel stream passes the edge and the connector as ciphertext: its two ends alone
 * can count it, each of which knows the link next to it. */
static uint32_t way_of(uint32_t way, const struct msg *m)
{
    enum link_id link = (enum link_id)WAY_LINK(way);
    bool inner = m->kind == M_INNER_HELLO || m->kind == M_MCP_CALL || m->kind == M_MCP_RESULT;

    if (!inner || (link != LINK_ORCHESTRATOR_EDGE && link != LINK_CONNECTOR_PROXY)) return way;
    return WAY_TUNNEL + WAY_DIALS(way);
}

static void count_flow(struct driver *d, addr_t self, uint32_t way, const struct msg *m, enum flow_fate fate)
{
    if (is_counted(m)) recorder_flow(driver_recorder(d, self), way_of(way, m), m->kind, fate, 1);
}

/* Wires
 * ------------------------------------------------------------------------------------------------------ */

static struct wire *wire_get(struct driver *d, uint32_t slot)
{
    struct wire **w = slab_get(&d->wires, slot);

    return w ? *w : NULL;
}

static struct wire *wire_of(struct driver *d, uint32_t flow)
{
    return wire_get(d, world_flow(d->world, flow).user);
}

static void wire_bind(struct driver *d, struct wire *w, addr_t self, addr_t peer)
{
    w->slot = slab_alloc(&d->wires);
    if (!w->slot) PANIC("more than %u flows in one process", d->wires.limit);
    *(struct wire **)slab_get_unchecked(&d->wires, w->slot) = w;
    w->driver = d;
    w->flow = 0;
    w->way_out = (uint8_t)way_between(ADDR_ROLE(self), ADDR_ROLE(peer));
    w->way_in = (uint8_t)way_between(ADDR_ROLE(peer), ADDR_ROLE(self));
}

static void wire_set_flow(struct driver *d, struct wire *w, uint32_t flow)
{
    w->flow = flow;
    world_flow_set_user(d->world, flow, w->slot);
}

static void wire_over(struct driver *d, struct wire *w)
{
    slab_free(&d->wires, w->slot);
    w->slot = 0;
    w->flow = 0;
    w->ops->over(w);
}

void driver_give_up(const struct wire *w)
{
    if (!w->uncounted) recorder_give_up(driver_recorder(w->driver, w->driver->any), w->way_out);
}

static void wire_send(struct wire *w, const struct msg *m)
{
    if (m->type == MSG_RESET && !w->reads_on) driver_give_up(w);
    w->ops->send(w, m);
}

static void wire_reset(struct wire *w, enum reset_cause cause)
{
    wire_send(w, &(struct msg){.type = MSG_RESET, .a = cause});
}

static void on_over(void *user, uint32_t flow)
{
    struct driver *d = user;
    struct wire *w = wire_of(d, flow);

    if (!w) return;
    if (world_flow(d->world, flow).owner == d->crashing) wire_reset(w, RESET_CUT);
    world_flow_set_user(d->world, flow, 0);
    wire_over(d, w);
}

/* The inbox
 * -------------------------------------------------------------------------------------------------- */

/* The loop runs this before it looks at the sockets again, also when a turn calls for the next one. */
static void wake(struct driver *d)
{
    event_active(d->turn_event, EV_TIMEOUT, 0);
}

static void queue(struct driver *d, struct arrival a)
{
    if (vec_push(&d->inbox, a) < 0) PANIC_MEMORY("out of memory for %zu events", d->inbox.len);
    if (d->inbox.len - d->inbox_done == 1) wake(d);
}

static void queue_event(struct driver *d, enum event_type type, addr_t self, uint64_t token)
{
    queue(d, (struct arrival){.event = {.type = (uint8_t)type, .self = self, .token = token}});
}

bool driver_accept(struct driver *d, addr_t self, addr_t from, struct wire *via, struct wire *w,
                   struct msg open)
{
    uint32_t way = way_between(ADDR_ROLE(from), ADDR_ROLE(self));

    open.type = MSG_OPEN;
    if (!world_has(d->world, self) || (via && !via->slot)) {
        if (!w->uncounted) count_flow(d, self, way, &open, FLOW_CUT);
        return false;
    }
    wire_bind(d, w, self, from);
    w->opened_kind = M_NONE;
    queue(d, (struct arrival){.event = {.type = EVENT_MSG, .self = self, .from = from, .msg = open},
                              .wire = w->slot,
                              .via = via ? via->slot : 0,
                              .accept = true,
                              .way = w->way_in});
    return true;
}

void driver_receive(struct wire *w, struct msg m)
{
    if (!w->slot) {
        if (w->driver && !w->uncounted) count_flow(w->driver, w->driver->any, w->way_in, &m, FLOW_CUT);
        return;
    }
    queue(w->driver,
          (struct arrival){.event = {.type = EVENT_MSG, .msg = m}, .wire = w->slot, .way = w->way_in});
}

void driver_returned(struct wire *w, enum msg_kind request, struct msg m)
{
    struct msg returned = {.kind = (uint16_t)request};

    if (w->driver && !w->uncounted)
        count_flow(w->driver, w->driver->any, w->way_out, &returned, FLOW_RETURNED);
    if (w->slot)
        queue(w->driver,
              (struct arrival){.event = {.type = EVENT_MSG, .msg = m}, .wire = w->slot, .uncounted = true});
}

void driver_cut(const struct wire *w, const struct msg *m)
{
    if (!w->uncounted) count_flow(w->driver, w->driver->any, w->way_out, m, FLOW_CUT);
}

void driver_tell(struct driver *d, addr_t self, enum event_type type)
{
    if (world_has(d->world, self)) queue_event(d, type, self, 0);
}

void driver_tell_all(struct driver *d, enum event_type type)
{
    for (enum role role = ROLE_MCP; role < ROLE_COUNT; role++) {
        for (uint32_t i = 0; i < plan_instances(d->opts.plan, role); i++) driver_tell(d, ADDR(role, i), type);
    }
}

/* Timers
 * ----------------------------------------------------------------------------------------------------- */

static void arm_timer(struct driver *d, nsec_t now)
{
    const struct heap_item *first = heap_peek(&d->timer_heap);
    nsec_t wait;
    struct timeval tv;

    if (!first) return;
    wait = first->at > now ? first->at - now : 0;
    tv = (struct timeval){.tv_sec = (time_t)(wait / NSEC_PER_S),
                          .tv_usec = (suseconds_t)((wait % NSEC_PER_S + NSEC_PER_US - 1) / NSEC_PER_US)};
    event_add(d->timer_event, &tv);
}

/* Moves due timers into the batch, behind the arrivals of this turn. They do not queue with those: however
 * much waits, no timer comes later than the turns before it take. */
static void gather_timers(struct driver *d, nsec_t now)
{
    const struct heap_item *first;

    for (int n = 0; n < TURN_TIMERS_MAX && (first = heap_peek(&d->timer_heap)) && first->at <= now; n++) {
        struct heap_item item;
        struct timer t;
        struct event ev = {.type = EVENT_TIMER};

        heap_pop(&d->timer_heap, &item);
        t = *(struct timer *)slab_get_unchecked(&d->timers, (uint32_t)item.payload);
        slab_free(&d->timers, (uint32_t)item.payload);
        if (!world_has(d->world, t.self) || d->epochs[ADDR_ROLE(t.self)][ADDR_ORDINAL(t.self)] != t.epoch)
            continue;
        recorder_record(driver_recorder(d, t.self), METRIC_TIMER_LAG, now - item.at);
        ev.self = t.self;
        ev.token = t.token;
        if (vec_push(&d->batch, ev) < 0) PANIC_MEMORY("out of memory for a turn");
    }
}

static void perform_timer(struct driver *d, const struct effect *ef)
{
    uint32_t id = slab_alloc(&d->timers);
    /* One for a moment that has passed, as of a component that recovers, is due now. */
    struct heap_item item = {.at = nsec_max(ef->at, d->turn_at), .seq = d->timer_seq++, .payload = id};

    if (!id) PANIC("more than %u timers", d->timers.limit);
    *(struct timer *)slab_get_unchecked(&d->timers, id) =
        (struct timer){.self = ef->self,
                       .epoch = d->epochs[ADDR_ROLE(ef->self)][ADDR_ORDINAL(ef->self)],
                       .token = ef->token};
    if (heap_push(&d->timer_heap, &item) < 0) PANIC_MEMORY("out of memory for timers");
}

/* The turn
 * --------------------------------------------------------------------------------------------------- */

static void perform_open(struct driver *d, const struct effect *ef)
{
    struct dialer *dialer = d->dialers[ADDR_ROLE(ef->self)][ADDR_ROLE(ef->to)];
    struct wire *via = ef->via && world_flow_alive(d->world, ef->via) ? wire_of(d, ef->via) : NULL;
    struct wire *w;

    ASSERT(dialer);
    count_flow(d, ef->self, way_between(ADDR_ROLE(ef->self), ADDR_ROLE(ef->to)), &ef->msg, FLOW_EMITTED);
    w = dialer->open(dialer, ef->self, ef->to, via, &ef->msg);
    wire_bind(d, w, ef->self, ef->to);
    w->opened_kind = ef->msg.kind;
    wire_set_flow(d, w, ef->flow);
}

static void perform(struct driver *d, const struct effect *ef)
{
    struct wire *w;

    switch (ef->type) {
    case EFFECT_OPEN: perform_open(d, ef); break;
    case EFFECT_SEND:
        w = wire_of(d, ef->flow);
        ASSERT(w);
        if (!w->uncounted) count_flow(d, ef->self, w->way_out, &ef->msg, FLOW_EMITTED);
        wire_send(w, &ef->msg);
        break;
    case EFFECT_TIMER: perform_timer(d, ef); break;
    case EFFECT_DONE:
        if (d->opts.on_done) d->opts.on_done(d->opts.user);
        break;
    default: UNREACHABLE();
    }
}

/* Gives the OPEN of an accepted flow its end. False when it came too late: its component or carrier is gone.
 */
static bool accept_now(struct driver *d, struct arrival *a, struct wire *w)
{
    struct wire *via = a->via ? wire_get(d, a->via) : NULL;

    if (!world_has(d->world, a->event.self) || (a->via && !via)) {
        wire_reset(w, a->via ? RESET_CARRIER : RESET_CUT);
        wire_over(d, w);
        return false;
    }
    a->event.flow = world_flow_accept(d->world, a->event.self, a->event.from, via ? via->flow : 0);
    wire_set_flow(d, w, a->event.flow);
    return true;
}

/* The flow of a message that came for a wire. False: it is over. */
static bool find_flow(struct driver *d, struct arrival *a, struct wire *w)
{
    if (!w || !w->flow || !world_flow_alive(d->world, w->flow)) return false;
    a->event.flow = w->flow;
    a->event.self = world_flow(d->world, w->flow).owner;
    return true;
}

/* What became of the request that a flow was opened with, when it never came to its peer. */
static void count_returned(struct driver *d, const struct arrival *a, struct wire *w)
{
    struct msg opened = {.kind = w->opened_kind};

    if (a->event.msg.type != MSG_RESET) return;
    if (a->event.msg.a == RESET_REFUSED || a->event.msg.a == RESET_UNREACHABLE)
        count_flow(d, a->event.self, w->way_out, &opened, FLOW_RETURNED);
}

static bool from_disk(const struct driver *d, const struct arrival *a)
{
    return a->event.flow && ADDR_ROLE(world_flow(d->world, a->event.flow).peer) == ROLE_DISK;
}

/* Resolves what an arrival means now. False: nobody wants it any more. */
static bool resolve(struct driver *d, struct arrival *a)
{
    struct wire *w;
    bool wanted;

    if (a->event.type != EVENT_MSG)
        return (!d->ended || a->event.type == EVENT_END) && world_has(d->world, a->event.self);
    w = wire_get(d, a->wire);
    wanted = a->accept ? !d->ended && w && accept_now(d, a, w) : find_flow(d, a, w) && !d->ended;
    /* A message for a flow that is over has no owner any more: any recorder of this process counts it. */
    if (!from_disk(d, a) && !(w && w->uncounted) && !a->uncounted)
        count_flow(d, a->event.self ? a->event.self : d->any, a->way, &a->event.msg,
                   wanted ? FLOW_DECODED : FLOW_CUT);
    if (wanted && !a->accept) count_returned(d, a, w);
    return wanted;
}

/* Moves up to a turn's worth of the inbox into the batch. */
static void gather_arrivals(struct driver *d)
{
    size_t last = d->inbox.len;

    if (last - d->inbox_done > TURN_ARRIVALS_MAX) last = d->inbox_done + TURN_ARRIVALS_MAX;
    for (; d->inbox_done < last; d->inbox_done++) {
        struct arrival *a = &d->inbox.items[d->inbox_done];

        if (resolve(d, a) && vec_push(&d->batch, a->event) < 0) PANIC_MEMORY("out of memory for a turn");
    }
    if (d->inbox_done == d->inbox.len) {
        vec_clear(&d->inbox);
        d->inbox_done = 0;
    }
}

/* An earlier event of the same turn may have ended the flow. */
static bool still_wanted(const struct driver *d, const struct event *ev)
{
    return ev->type != EVENT_MSG || world_flow_alive(d->world, ev->flow);
}

static void turn(struct driver *d)
{
    nsec_t now = d->turn_at = driver_now(d);

    vec_clear(&d->batch);
    gather_arrivals(d);
    if (!d->ended) gather_timers(d, now);
    if (d->opts.on_turn && d->batch.len) d->opts.on_turn(d->opts.user, now, d->batch.items, d->batch.len);
    d->effects.count = 0;
    vec_for_each(ev, &d->batch)
    {
        if (!still_wanted(d, ev)) continue;
        if (ev->type == EVENT_MSG) ev->tag = world_flow(d->world, ev->flow).tag;
        world_handle(d->world, now, ev, &d->effects);
    }
    if (d->opts.on_effects) d->opts.on_effects(d->opts.user, now, d->effects.items, d->effects.count);
    for (size_t i = 0; i < d->effects.count; i++) perform(d, &d->effects.items[i]);
    world_settle(d->world, on_over, d);
    if (d->inbox.len > d->inbox_done) wake(d);
    if (!d->ended) arm_timer(d, now);
}

static void on_turn_event(evutil_socket_t fd, short what, void *arg)
{
    turn(arg);
}

static void settle(struct driver *d)
{
    for (int i = 0; i < SETTLE_TURNS_MAX && d->inbox.len > d->inbox_done; i++) turn(d);
}

/* Components
 * ------------------------------------------------------------------------------------------------- */

void driver_end(struct driver *d)
{
    settle(d);
    /* Nothing follows upon a component's END: a timer or message after it would open books that nobody
     * closes. */
    d->ended = true;
    driver_tell_all(d, EVENT_END);
    settle(d);
}

bool driver_has_ended(const struct driver *d)
{
    return d->ended;
}

int driver_attach(struct driver *d, addr_t self, struct recorder *recorder, uint32_t incarnation)
{
    int r = world_add(d->world, self, recorder, incarnation);

    if (r < 0) return r;
    d->recorders[ADDR_ROLE(self)][ADDR_ORDINAL(self)] = recorder;
    d->any = self;
    return 0;
}

int driver_add(struct driver *d, addr_t self, struct recorder *recorder, uint32_t incarnation)
{
    int r = driver_attach(d, self, recorder, incarnation);

    if (r == 0) queue_event(d, EVENT_START, self, 0);
    return r;
}

int driver_recover(struct driver *d, addr_t self)
{
    if (!world_has(d->world, self)) return -ENOENT;
    world_drop_flows(d->world, self);
    world_settle(d->world, on_over, d);
    queue_event(d, EVENT_RECOVERED, self, 0);
    return 0;
}

/* Flows that were to be opened to it in the next turn. Their OPENs stay, and are counted as cut off. */
static void drop_arrivals(struct driver *d, addr_t self)
{
    for (size_t i = d->inbox_done; i < d->inbox.len; i++) {
        const struct arrival *a = &d->inbox.items[i];
        struct wire *w = a->accept && a->event.self == self ? wire_get(d, a->wire) : NULL;

        if (!w) continue;
        wire_reset(w, RESET_CUT);
        wire_over(d, w);
    }
}

void driver_crash(struct driver *d, addr_t self)
{
    struct event ev = {.type = EVENT_CRASH, .self = self};

    if (!world_has(d->world, self)) return;
    drop_arrivals(d, self);
    d->effects.count = 0;
    world_handle(d->world, driver_now(d), &ev, &d->effects);
    world_remove(d->world, self);
    d->epochs[ADDR_ROLE(self)][ADDR_ORDINAL(self)]++;
    d->crashing = self;
    world_settle(d->world, on_over, d);
    d->crashing = 0;
}

void driver_set_dialer(struct driver *d, enum role from, enum role to, struct dialer *dialer)
{
    d->dialers[from][to] = dialer;
}

static int driver_init(struct driver *d)
{
    struct world_options world = {.plan = d->opts.plan, .roles = world_roles, .flows_max = d->opts.flows_max};
    int r;

    vec_init(&d->inbox, SIZE_MAX / sizeof(struct arrival));
    vec_init(&d->batch, SIZE_MAX / sizeof(struct event));
    heap_init(&d->timer_heap, SLAB_LIMIT_MAX);
    if ((r = slab_init(&d->timers, sizeof(struct timer), SLAB_LIMIT_MAX)) < 0) return r;
    if ((r = slab_init(&d->wires, sizeof(struct wire *), d->opts.flows_max)) < 0) return r;
    if ((r = world_new(&world, &d->world)) < 0) return r;
    for (enum role role = ROLE_MCP; role < ROLE_COUNT; role++) {
        uint32_t n = plan_instances(d->opts.plan, role);
        d->recorders[role] = calloc(n + 1, sizeof *d->recorders[role]);
        d->epochs[role] = calloc(n + 1, sizeof *d->epochs[role]);
        if (!d->recorders[role] || !d->epochs[role]) return -ENOMEM;
    }
    d->turn_event = event_new(d->opts.base, -1, EV_PERSIST, on_turn_event, d);
    d->timer_event = event_new(d->opts.base, -1, 0, on_turn_event, d);
    return d->turn_event && d->timer_event ? 0 : -ENOMEM;
}

int driver_new(const struct driver_options *opts, struct driver **ret)
{
    struct driver *d = calloc(1, sizeof *d);
    int r;

    if (!d) return -ENOMEM;
    d->opts = *opts;
    driver_set_clock(d, clock_ns(CLOCK_MONOTONIC), clock_ns(CLOCK_REALTIME));
    r = driver_init(d);
    if (r < 0) {
        driver_free(d);
        return r;
    }
    *ret = d;
    return 0;
}

void driver_free(struct driver *d)
{
    if (!d) return;
    /* Also those whose flow waits for its first turn. */
    slab_for_each(slot, &d->wires) wire_over(d, wire_get(d, slot));
    world_free(d->world);
    for (enum role role = ROLE_MCP; role < ROLE_COUNT; role++) {
        free(d->recorders[role]);
        free(d->epochs[role]);
    }
    if (d->turn_event) event_free(d->turn_event);
    if (d->timer_event) event_free(d->timer_event);
    slab_deinit(&d->wires);
    slab_deinit(&d->timers);
    heap_deinit(&d->timer_heap);
    vec_deinit(&d->inbox);
    vec_deinit(&d->batch);
    effects_deinit(&d->effects);
    free(d);
}
