/*
 * What a session's event stream and its history say to its worker.
 *
 * No tool use is served twice within one claim. Calls are listed by their sequence number; those that are
 * done leave in that order, and `settled` is one beyond the last that left. That is enough: calls begin only
 * when all history before them has been read, so an unknown tool use below `settled` cannot come.
 */
#include "sim/base/panic.h"
#include "sim/world/runner.h"

/* The call after which one of `seq` belongs, 0 for the front; false if there already is one of that number.
 */
static bool place_of(const struct runner *r, const struct slot *s, uint32_t seq, uint32_t *ret_after)
{
    const struct call *last = slab_get(&r->calls, s->last);

    *ret_after = 0;
    if (last && last->seq < seq) {
        *ret_after = s->last;
        return true;
    }
    for (uint32_t id = s->first; id;) {
        const struct call *c = slab_get_unchecked(&r->calls, id);

        if (c->seq == seq) return false;
        if (c->seq > seq) return true;
        *ret_after = id;
        id = c->next;
    }
    return true;
}

static void insert(struct runner *r, struct slot *s, uint32_t id, struct call *c, uint32_t after)
{
    struct call *before = slab_get(&r->calls, after);

    c->next = before ? before->next : s->first;
    if (before)
        before->next = id;
    else
        s->first = id;
    if (!c->next) s->last = id;
    s->open++;
}

/* Returns the call's id, or 0 when it is known or there is no room. */
static uint32_t note_call(struct runner *r, struct slot *s, const struct msg *m)
{
    uint32_t seq = EVENT_SEQ(m->b), after, id;
    struct call *c;

    if (seq < s->settled || !place_of(r, s, seq, &after)) return 0;
    id = slab_alloc(&r->calls);
    if (!id) {
        recorder_count(runner_recorder(r), COUNTER_REQUESTS_SHED, 1);
        return 0;
    }
    c = slab_get_unchecked(&r->calls, id);
    *c = (struct call){.id = m->a,
                       .arg = m->c,
                       .size = m->d,
                       .seq = seq,
                       .slot = s->number,
                       .tool = (uint8_t)EVENT_TOOL(m->b),
                       .state = CALL_HELD};
    insert(r, s, id, c, after);
    return id;
}

/* What the event says about idleness: -1 nothing, 0 busy, 1 a turn has ended. */
static int idleness(const struct msg *m)
{
    switch (EVENT_KIND(m->b)) {
    case EV_USER_TOOL_CONFIRMATION: return -1;
    case EV_STATUS_IDLE: return m->c != STOP_REQUIRES_ACTION;
    default: return 0;
    }
}

void runner_session_event(struct runner *r, struct slot *s, nsec_t now, const struct msg *m, bool live,
                          struct outbox *out)
{
    enum event_kind kind = EVENT_KIND(m->b);
    bool over = kind == EV_SESSION_DELETED || kind == EV_STATUS_TERMINATED;
    int idle = idleness(m);
    uint32_t id;

    /* What a WRITE brings lies with the disk from here on, whether it is written or was long ago. */
    if (kind == EV_AGENT_TOOL_USE && EVENT_TOOL(m->b) == TOOL_WRITE) s->has_files = true;
    if (EVENT_FLAGS(m->b) & EVENT_CORRUPT) recorder_count(runner_recorder(r), COUNTER_HASH_MISMATCHES, 1);
    if (live ? idle >= 0 : over) worker_on_event(&s->worker, now, idle > 0, over);
    if (!live && idle >= 0) s->history_idle = idle > 0;
    if (kind == EV_USER_TOOL_RESULT &&
        !worker_serves(&s->worker)) { /* once it serves, no call is held back */
        runner_call_answered(r, s, m->c);
    } else if (kind == EV_AGENT_TOOL_USE && s->worker.state == WORKER_SERVING) {
        id = note_call(r, s, m);
        if (id && live && worker_serves(&s->worker))
            runner_call_begin(r, id, slab_get_unchecked(&r->calls, id), now, out);
    }
}

void runner_history_read(struct runner *r, struct slot *s, nsec_t now, struct outbox *out)
{
    worker_on_history(&s->worker, now, s->history_idle && s->open == 0);
    for (uint32_t id = s->first; id;) {
        struct call *c = slab_get_unchecked(&r->calls, id);
        uint32_t next = c->next;

        if (c->state == CALL_HELD) runner_call_begin(r, id, c, now, out);
        id = next;
    }
}
