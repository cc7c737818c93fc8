#include "sim/world/world.h"

#include <errno.h>
#include <stdlib.h>

#include "sim/base/panic.h"
#include "sim/base/slab.h"

struct world {
    const struct plan *plan;
    const struct component_ops *const *roles;
    struct slab ends;
    uint32_t over_first, over_last;
    struct component **components[ROLE_COUNT];
    uint32_t instances[ROLE_COUNT];
};

/* What a component writes its effects to: valid during one world_handle(). */
struct outbox {
    struct world *world;
    struct effects *effects;
    addr_t self;
};

/* Components ------------------------------------------------------------------------------------------------
 */

int world_new(const struct world_options *opts, struct world **ret)
{
    struct world *w = calloc(1, sizeof *w);
    int r;

    if (!w) return -ENOMEM;
    w->plan = opts->plan;
    w->roles = opts->roles;
    r = slab_init(&w->ends, sizeof(struct flow_end) + opts->end_bytes, opts->flows_max);
    for (enum role role = ROLE_MCP; r == 0 && role < ROLE_COUNT; role++) {
        w->instances[role] = plan_instances(opts->plan, role);
        w->components[role] = calloc(w->instances[role] + 1, sizeof *w->components[role]);
        if (!w->components[role]) r = -ENOMEM;
    }
    if (r < 0) {
        world_free(w);
        return r;
    }
    *ret = w;
    return 0;
}

static struct component **component_slot(const struct world *w, addr_t self)
{
    enum role role = ADDR_ROLE(self);

    if (role == ROLE_NONE || role >= ROLE_COUNT || ADDR_ORDINAL(self) >= w->instances[role]) return NULL;
    return &w->components[role][ADDR_ORDINAL(self)];
}

static void component_free(struct component *c)
{
    if (c) c->ops->free(c);
}

void world_free(struct world *w)
{
    if (!w) return;
    for (enum role role = ROLE_MCP; role < ROLE_COUNT; role++) {
        for (uint32_t i = 0; w->components[role] && i < w->instances[role]; i++)
            component_free(w->components[role][i]);
        free(w->components[role]);
    }
    slab_deinit(&w->ends);
    free(w);
}

int world_add(struct world *w, addr_t self, struct recorder *recorder, uint32_t incarnation)
{
    struct component **slot = component_slot(w, self);
    struct env env = {.plan = w->plan, .recorder = recorder, .self = self, .incarnation = incarnation};

    if (!slot || !w->roles[ADDR_ROLE(self)]) return -ENOENT;
    if (*slot) return -EEXIST;
    return w->roles[ADDR_ROLE(self)]->new (&env, slot);
}

struct component *world_component(const struct world *w, addr_t self)
{
    struct component **slot = component_slot(w, self);

    return slot ? *slot : NULL;
}

bool world_has(const struct world *w, addr_t self)
{
    return world_component(w, self) != NULL;
}

size_t world_memory(const struct world *w)
{
    size_t sum = sizeof *w + slab_bytes(&w->ends);

    for (enum role role = ROLE_MCP; role < ROLE_COUNT; role++) {
        for (uint32_t i = 0; i < w->instances[role]; i++) {
            const struct component *c = w->components[role][i];
            if (c && c->ops->memory) sum += c->ops->memory(c);
        }
    }
    return sum;
}

/* Flow ends -------------------------------------------------------------------------------------------------
 */

static struct flow_end *end_of(const struct world *w, uint32_t flow)
{
    struct flow_end *e = slab_get(&w->ends, flow);

    ASSERT(e);
    return e;
}

static uint32_t end_new(struct world *w, addr_t owner, addr_t peer, uint32_t via, uint32_t tag, bool opened)
{
    uint32_t flow = slab_alloc(&w->ends);
    struct flow_end *e;

    if (!flow && !slab_is_full(&w->ends)) PANIC_MEMORY("out of memory for a flow more");
    if (!flow) PANIC("more than %u flow ends at once: the plan's limits allow too much", w->ends.limit);
    e = slab_get_unchecked(&w->ends, flow);
    e->owner = owner;
    e->peer = peer;
    e->via = via;
    e->tag = tag;
    e->opened = opened;
    return flow;
}

static void end_over(struct world *w, uint32_t flow, struct flow_end *e)
{
    if (e->over) return;
    e->over = 1;
    if (w->over_last)
        end_of(w, w->over_last)->over_next = flow;
    else
        w->over_first = flow;
    w->over_last = flow;
}

uint32_t world_flow_accept(struct world *w, addr_t self, addr_t from, uint32_t via)
{
    return end_new(w, self, from, via, 0, false);
}

struct flow_view world_flow(const struct world *w, uint32_t flow)
{
    const struct flow_end *e = end_of(w, flow);

    return (struct flow_view){.owner = e->owner,
                              .peer = e->peer,
                              .via = e->via,
                              .tag = e->tag,
                              .user = e->user,
                              .over = e->over,
                              .held = e->holds != 0,
                              .opened = e->opened};
}

bool world_flow_alive(const struct world *w, uint32_t flow)
{
    const struct flow_end *e = slab_get(&w->ends, flow);

    return e && !e->over;
}

void world_flow_set_user(struct world *w, uint32_t flow, uint32_t user)
{
    end_of(w, flow)->user = user;
}

void world_flow_hold(struct world *w, uint32_t flow)
{
    struct flow_end *e = end_of(w, flow);

    ASSERT(e->holds < UINT16_MAX);
    e->holds++;
}

bool world_flow_release(struct world *w, uint32_t flow)
{
    struct flow_end *e = end_of(w, flow);

    ASSERT(e->holds);
    if (--e->holds || !e->settled) return false;
    slab_free(&w->ends, flow);
    return true;
}

const struct slab *world_flow_ends(const struct world *w)
{
    return &w->ends;
}

uint32_t world_flow_next(const struct world *w, uint32_t flow)
{
    return slab_next(&w->ends, flow);
}

uint32_t world_flow_count(const struct world *w)
{
    return slab_count(&w->ends);
}

void world_drop_flows(struct world *w, addr_t self)
{
    slab_for_each(flow, &w->ends)
    {
        struct flow_end *e = slab_get_unchecked(&w->ends, flow);
        if (e->owner == self) end_over(w, flow, e);
    }
}

void world_remove(struct world *w, addr_t self)
{
    struct component **slot = component_slot(w, self);

    ASSERT(slot && *slot);
    world_drop_flows(w, self);
    component_free(*slot);
    *slot = NULL;
}

void world_settle(struct world *w, void (*on_over)(void *user, uint32_t flow), void *user)
{
    while (w->over_first) {
        uint32_t flow = w->over_first;
        struct flow_end *e = end_of(w, flow);

        w->over_first = e->over_next;
        if (!w->over_first) w->over_last = 0;
        if (on_over) on_over(user, flow);
        e->settled = 1;
        if (!e->holds) slab_free(&w->ends, flow);
    }
}

/* The turn
 * --------------------------------------------------------------------------------------------------- */

void world_handle(struct world *w, nsec_t now, const struct event *ev, struct effects *effects)
{
    struct component *c = world_component(w, ev->self);
    struct outbox out = {.world = w, .effects = effects, .self = ev->self};
    struct flow_end *e = NULL;

    ASSERT(c);
    if (ev->type == EVENT_MSG) {
        e = end_of(w, ev->flow);
        ASSERT(!e->over && e->owner == ev->self);
        /* Credit and reset may follow the peer's last word. */
        ASSERT(!e->got_last || ev->msg.type == MSG_CREDIT || ev->msg.type == MSG_RESET);
        if (ev->msg.flags & MSG_LAST) e->got_last = 1;
        /* Over before the component sees it, so that a careless answer to a dead flow is caught. */
        if (ev->msg.type == MSG_RESET || (e->got_last && e->sent_last)) end_over(w, ev->flow, e);
    }
    c->ops->handle(c, now, ev, &out);
}

void world_soon(const struct world *w, addr_t self, unsigned step, const struct prospect *what)
{
    const struct component *c = world_component(w, self);

    if (c && c->ops->soon) c->ops->soon(c, step, what);
}

/* Room for one effect more, with nothing in it yet. */
static struct effect *effect_new(struct outbox *out)
{
    struct effects *es = out->effects;

    if (es->count == es->capacity) {
        size_t capacity = es->capacity ? es->capacity * 2 : 64;
        struct effect *items = realloc(es->items, capacity * sizeof *items);

        if (!items) PANIC_MEMORY("out of memory for %zu effects of a turn", capacity);
        es->items = items;
        es->capacity = capacity;
    }
    return &es->items[es->count++];
}

void effects_deinit(struct effects *es)
{
    free(es->items);
    *es = (struct effects){0};
}

uint32_t flow_open(struct outbox *out, addr_t to, uint32_t via, uint32_t tag, struct msg m)
{
    uint32_t flow = end_new(out->world, out->self, to, via, tag, true);
    struct flow_end *e = slab_get_unchecked(&out->world->ends, flow);

    m.type = MSG_OPEN;
    if (m.flags & MSG_LAST) e->sent_last = 1;
    *effect_new(out) =
        (struct effect){.type = EFFECT_OPEN, .self = out->self, .to = to, .flow = flow, .via = via, .msg = m};
    return flow;
}

void flow_soon(const struct outbox *out, uint32_t flow)
{
    __builtin_prefetch(slab_get_unchecked(&out->world->ends, flow));
}

void flow_tag(struct outbox *out, uint32_t flow, uint32_t tag)
{
    struct flow_end *e = end_of(out->world, flow);

    ASSERT(e->owner == out->self);
    e->tag = tag;
}

static void send(struct outbox *out, uint32_t flow, enum msg_type type, const struct msg *m)
{
    struct flow_end *e = end_of(out->world, flow);
    struct effect *ef;

    ASSERT(e->owner == out->self && !e->over && !(e->sent_last && type != MSG_CREDIT && type != MSG_RESET));
    if (m->flags & MSG_LAST) e->sent_last = 1;
    ef = effect_new(out);
    *ef = (struct effect){.type = EFFECT_SEND, .self = out->self, .flow = flow, .msg = *m};
    ef->msg.type = (uint8_t)type;
    if (type == MSG_RESET || (e->sent_last && e->got_last)) end_over(out->world, flow, e);
}

void flow_answer(struct outbox *out, uint32_t flow, struct msg m)
{
    send(out, flow, MSG_OPEN, &m);
}

void flow_data(struct outbox *out, uint32_t flow, struct msg m)
{
    send(out, flow, MSG_DATA, &m);
}

void flow_send_whole(struct outbox *out, uint32_t flow, bool open, struct msg m)
{
    uint32_t left = m.bytes;
    uint8_t last = m.flags & MSG_LAST;
    enum msg_type type = open ? MSG_OPEN : MSG_DATA;

    do {
        m.bytes = left < BODY_CHUNK ? left : BODY_CHUNK;
        left -= m.bytes;
        m.flags = left ? MSG_UNFINISHED : last;
        send(out, flow, type, &m);
        type = MSG_DATA;
        m.kind = M_BODY;
    } while (left);
}

void flow_credit(struct outbox *out, uint32_t flow, uint32_t bytes)
{
    /* The flow may be over by the very message that is credited: then nobody waits for it. */
    if (end_of(out->world, flow)->over) return;
    send(out, flow, MSG_CREDIT, &(struct msg){.bytes = bytes});
}

void flow_reset(struct outbox *out, uint32_t flow, enum reset_cause cause)
{
    send(out, flow, MSG_RESET, &(struct msg){.a = cause});
}

void timer_set(struct outbox *out, nsec_t at, uint64_t token)
{
    *effect_new(out) = (struct effect){.type = EFFECT_TIMER, .self = out->self, .at = at, .token = token};
}

void load_done(struct outbox *out)
{
    *effect_new(out) = (struct effect){.type = EFFECT_DONE, .self = out->self};
}
