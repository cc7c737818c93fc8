#include "sim/world/relay.h"

#include "sim/base/panic.h"

int relay_init(struct stream_relay *r, uint32_t limit)
{
    return slab_init(&r->pairs, sizeof(struct relay_pair), limit);
}

void relay_deinit(struct stream_relay *r)
{
    slab_deinit(&r->pairs);
}

struct relay_pair *relay_begin(struct stream_relay *r, const struct event *ev, struct relay_target target,
                               struct outbox *out)
{
    uint32_t id = slab_alloc(&r->pairs);
    struct relay_pair *p;

    if (!id) return NULL;
    ASSERT(id >= RELAY_TAG_MIN);
    p = slab_get_unchecked(&r->pairs, id);
    p->near = ev->flow;
    p->near_last = ev->msg.flags & MSG_LAST;
    p->far = flow_open(out, target.to, target.via, id, ev->msg);
    flow_tag(out, ev->flow, id);
    return p;
}

static enum relay_outcome end_pair(struct stream_relay *r, uint32_t id, enum relay_outcome outcome,
                                   struct relay_pair *ret_ended)
{
    *ret_ended = *(struct relay_pair *)slab_get_unchecked(&r->pairs, id);
    slab_free(&r->pairs, id);
    return ret_ended->refused ? RELAY_REFUSED : outcome;
}

/* Once the near side has hung up, or given up, it makes no difference what becomes of the far one. */
static enum relay_outcome outcome_of(const struct relay_pair *p, enum reset_cause cause, bool by_near)
{
    if (p->near_last || (cause == RESET_CANCEL && by_near)) return RELAY_CLOSED;
    return cause == RESET_OVERFLOW ? RELAY_DROPPED : RELAY_CUT;
}

/* What the other side is told of a reset. */
static enum reset_cause passed_on(enum reset_cause cause)
{
    switch (cause) {
    case RESET_CANCEL:
    case RESET_OVERFLOW:
    case RESET_PROTOCOL: return cause;
    default: return RESET_CUT;
    }
}

static enum relay_outcome far_never_came_up(struct stream_relay *r, uint32_t id, struct outbox *out,
                                            struct relay_pair *ret_ended)
{
    struct relay_pair *p = slab_get_unchecked(&r->pairs, id);

    p->far = 0;
    p->answered = p->refused = p->far_last = true;
    flow_answer(
        out, p->near,
        (struct msg){.kind = M_ERROR, .flags = MSG_LAST, .bytes = 300, .a = 502, .b = ERROR_OVERLOADED});
    return p->near_last ? end_pair(r, id, RELAY_REFUSED, ret_ended) : RELAY_GOES_ON;
}

static enum relay_outcome on_reset(struct stream_relay *r, const struct event *ev, struct outbox *out,
                                   struct relay_pair *ret_ended)
{
    struct relay_pair *p = slab_get_unchecked(&r->pairs, ev->tag);
    enum reset_cause cause = (enum reset_cause)ev->msg.a;
    bool by_near = ev->flow == p->near;

    if (!by_near && !p->answered && (cause == RESET_REFUSED || cause == RESET_UNREACHABLE))
        return far_never_came_up(r, ev->tag, out, ret_ended);
    if (!by_near) flow_reset(out, p->near, passed_on(cause));
    if (by_near && p->far) flow_reset(out, p->far, passed_on(cause));
    return end_pair(r, ev->tag, outcome_of(p, cause, by_near), ret_ended);
}

static void pass_on(struct relay_pair *p, const struct event *ev, struct outbox *out)
{
    uint32_t other = ev->flow == p->near ? p->far : p->near;

    if (!other) return;
    switch (ev->msg.type) {
    case MSG_OPEN:
        p->answered = true;
        p->refused = ev->msg.kind == M_ERROR;
        flow_answer(out, other, ev->msg);
        break;
    case MSG_DATA: flow_data(out, other, ev->msg); break;
    case MSG_CREDIT: flow_credit(out, other, ev->msg.bytes); break;
    default: UNREACHABLE();
    }
}

enum relay_outcome relay_handle(struct stream_relay *r, const struct event *ev, struct outbox *out,
                                struct relay_pair *ret_ended)
{
    struct relay_pair *p = slab_get(&r->pairs, ev->tag);

    if (!p) return RELAY_GOES_ON;
    if (ev->msg.type == MSG_RESET) return on_reset(r, ev, out, ret_ended);
    pass_on(p, ev, out);
    if (!(ev->msg.flags & MSG_LAST)) return RELAY_GOES_ON;
    if (ev->flow == p->near)
        p->near_last = true;
    else
        p->far_last = true;
    if (!p->near_last || !p->far_last) return RELAY_GOES_ON;
    return end_pair(r, ev->tag, RELAY_CLOSED, ret_ended);
}

void relay_cut_all(struct stream_relay *r, struct outbox *out,
                   void (*on_end)(void *user, const struct relay_pair *pair), void *user)
{
    slab_for_each(id, &r->pairs)
    {
        struct relay_pair p = *(struct relay_pair *)slab_get_unchecked(&r->pairs, id);

        flow_reset(out, p.near, RESET_CUT);
        if (p.far) flow_reset(out, p.far, RESET_CUT);
        slab_free(&r->pairs, id);
        if (on_end) on_end(user, &p);
    }
}
