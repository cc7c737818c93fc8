#include "sim/world/splice.h"

#include "sim/base/panic.h"

int splices_init(struct splices *r, uint32_t limit)
{
    return slab_init(&r->pairs, sizeof(struct splice), limit);
}

void splices_deinit(struct splices *r)
{
    slab_deinit(&r->pairs);
}

struct splice *splice_begin(struct splices *r, const struct event *ev, struct splice_target target,
                            struct outbox *out)
{
    uint32_t id = slab_alloc(&r->pairs);
    struct splice *p;

    if (!id) return NULL;
    ASSERT(id >= SPLICE_TAG_MIN);
    p = slab_get_unchecked(&r->pairs, id);
    p->near = ev->flow;
    p->near_last = ev->msg.flags & MSG_LAST;
    p->far = flow_open(out, target.to, target.via, id, ev->msg);
    flow_tag(out, ev->flow, id);
    return p;
}

static enum splice_outcome end_pair(struct splices *r, uint32_t id, enum splice_outcome outcome,
                                    struct splice *ret_ended)
{
    *ret_ended = *(struct splice *)slab_get_unchecked(&r->pairs, id);
    slab_free(&r->pairs, id);
    return ret_ended->refused ? SPLICE_REFUSED : outcome;
}

/* Once the near side has hung up, or given up, it makes no difference what becomes of the far one. */
static enum splice_outcome outcome_of(const struct splice *p, enum reset_cause cause, bool by_near)
{
    if (p->near_last || (cause == RESET_CANCEL && by_near)) return SPLICE_CLOSED;
    return cause == RESET_OVERFLOW ? SPLICE_DROPPED : SPLICE_CUT;
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

static enum splice_outcome far_never_came_up(struct splices *r, uint32_t id, struct outbox *out,
                                             struct splice *ret_ended)
{
    struct splice *p = slab_get_unchecked(&r->pairs, id);

    p->far = 0;
    p->answered = p->refused = p->far_last = true;
    flow_answer(
        out, p->near,
        (struct msg){.kind = M_ERROR, .flags = MSG_LAST, .bytes = 300, .a = 502, .b = ERROR_OVERLOADED});
    return p->near_last ? end_pair(r, id, SPLICE_REFUSED, ret_ended) : SPLICE_GOES_ON;
}

static enum splice_outcome on_reset(struct splices *r, const struct event *ev, struct outbox *out,
                                    struct splice *ret_ended)
{
    struct splice *p = slab_get_unchecked(&r->pairs, ev->tag);
    enum reset_cause cause = (enum reset_cause)ev->msg.a;
    bool by_near = ev->flow == p->near;

    if (!by_near && !p->answered && (cause == RESET_REFUSED || cause == RESET_UNREACHABLE))
        return far_never_came_up(r, ev->tag, out, ret_ended);
    if (!by_near) flow_reset(out, p->near, passed_on(cause));
    if (by_near && p->far) flow_reset(out, p->far, passed_on(cause));
    return end_pair(r, ev->tag, outcome_of(p, cause, by_near), ret_ended);
}

static void pass_on(struct splice *p, const struct event *ev, struct outbox *out)
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

enum splice_outcome splice_handle(struct splices *r, const struct event *ev, struct outbox *out,
                                  struct splice *ret_ended)
{
    struct splice *p = slab_get(&r->pairs, ev->tag);

    if (!p) return SPLICE_GOES_ON;
    if (ev->msg.type == MSG_RESET) return on_reset(r, ev, out, ret_ended);
    pass_on(p, ev, out);
    if (!(ev->msg.flags & MSG_LAST)) return SPLICE_GOES_ON;
    if (ev->flow == p->near)
        p->near_last = true;
    else
        p->far_last = true;
    if (!p->near_last || !p->far_last) return SPLICE_GOES_ON;
    return end_pair(r, ev->tag, SPLICE_CLOSED, ret_ended);
}

void splices_cut_all(struct splices *r, struct outbox *out,
                     void (*on_end)(void *user, const struct splice *pair), void *user)
{
    slab_for_each(id, &r->pairs)
    {
        struct splice p = *(struct splice *)slab_get_unchecked(&r->pairs, id);

        flow_reset(out, p.near, RESET_CUT);
        if (p.far) flow_reset(out, p.far, RESET_CUT);
        slab_free(&r->pairs, id);
        if (on_end) on_end(user, &p);
    }
}
