#include "sim/base/panic.h"
#include "sim/world/orchestrator_state.h"

/* Sessions by id ------------------------------------------------------------------------------ */

struct session *session_get(const struct orchestrator *o, uint32_t ref)
{
    struct session *s = slab_get(&o->sessions, ref);

    ASSERT(s);
    return s;
}

static uint32_t *bucket_of(const struct orchestrator *o, uint32_t serial)
{
    return &o->sessions_by_serial[serial & (o->buckets - 1)];
}

struct session *session_find(const struct orchestrator *o, uint64_t serial)
{
    uint32_t ref;

    if (serial == 0 || serial > UINT32_MAX) return NULL;
    for (ref = *bucket_of(o, (uint32_t)serial); ref; ref = session_get(o, ref)->hash_next)
        if (session_get(o, ref)->serial == serial) return session_get(o, ref);
    return NULL;
}

static void forget(struct orchestrator *o, struct session *s)
{
    uint32_t *at = bucket_of(o, s->serial);

    while (*at != s->ref) at = &session_get(o, *at)->hash_next;
    *at = s->hash_next;
    slab_free(&o->sessions, s->ref);
}

/* Requests ------------------------------------------------------------------------------------ */

static void describe(const struct ctx *x, uint32_t flow, const struct session *s)
{
    enum session_status status = s->loop.phase == AGENT_IDLE ? SESSION_IDLE : SESSION_RUNNING;

    answer(x, flow,
           (struct msg){.kind = M_SESSION,
                        .a = s->serial,
                        .b = status,
                        .c = s->agent,
                        .d = s->created_at,
                        .e = s->environment});
}

void session_create(struct orchestrator *o, const struct ctx *x, const struct event *ev)
{
    uint32_t *bucket, ref;
    struct session *s;

    if (ev->msg.c >= o->work.options.environments) {
        answer_error(x, ev->flow, 404, ERROR_NOT_FOUND);
        return;
    }
    ref = slab_alloc(&o->sessions);
    if (!ref) {
        answer_limit(o, x, ev->flow);
        return;
    }
    s = session_get(o, ref);
    s->ref = ref;
    s->serial = ++o->last_serial;
    s->agent = ev->msg.a;
    s->ordinal = ev->msg.b;
    s->environment = (uint32_t)ev->msg.c;
    s->created_at = x->now;
    s->loop.script = agent_script(&o->scripts, s->agent);
    bucket = bucket_of(o, s->serial);
    s->hash_next = *bucket;
    *bucket = ref;
    describe(x, ev->flow, s);
    work_wanted(o, x, s);
}

void session_describe(struct orchestrator *o, const struct ctx *x, const struct event *ev)
{
    const struct session *s = session_find(o, ev->msg.a);

    if (s)
        describe(x, ev->flow, s);
    else
        answer_error(x, ev->flow, 404, ERROR_NOT_FOUND);
}

void session_delete(struct orchestrator *o, const struct ctx *x, const struct event *ev)
{
    struct session *s = session_find(o, ev->msg.a);

    if (!s) {
        answer_error(x, ev->flow, 404, ERROR_NOT_FOUND);
        return;
    }
    calls_drop_all(o, x, s);
    /* Its readers hear of the end before it is confirmed: their connections may be used again. */
    streams_finish(o, x, s);
    answer(x, ev->flow, (struct msg){.kind = M_OK, .a = s->serial});
    work_unwanted(o, x, s);
    spills_forget(o, s);
    session_log_free(&o->logs, &s->log);
    forget(o, s);
}

/* Events -------------------------------------------------------------------------------------- */

nsec_t session_time(const struct ctx *x)
{
    return x->now ? x->now : 1;
}

static uint32_t append(struct orchestrator *o, struct session *s, const struct log_entry *entry)
{
    uint32_t seq = session_log_append(&o->logs, &s->log, entry);

    if (!seq)
        PANIC_MEMORY("no memory for an event more: %zu bytes of events", session_log_store_bytes(&o->logs));
    return seq;
}

uint32_t session_emit(struct orchestrator *o, const struct ctx *x, struct session *s, nsec_t at,
                      struct log_entry entry)
{
    uint32_t seq;

    entry.at = at;
    seq = append(o, s, &entry);
    streams_pump(o, x, s);
    return seq;
}

uint32_t session_emit_open(struct orchestrator *o, struct session *s, uint32_t call, struct log_entry entry)
{
    uint32_t seq = append(o, s, &entry);

    session_log_bind(&o->logs, &s->log, seq, call);
    return seq;
}

/* Whether `c` of an event names another event of its session. */
static bool names_event(const struct log_entry *e)
{
    switch ((enum event_kind)e->kind) {
    case EV_USER_TOOL_RESULT:
    case EV_USER_TOOL_CONFIRMATION:
    case EV_USER_CUSTOM_TOOL_RESULT:
    case EV_MODEL_END:
    case EV_AGENT_MESSAGE:
    case EV_AGENT_MCP_TOOL_RESULT: return true;
    case EV_AGENT_TOOL_USE: return e->tool != TOOL_BASH;
    default: return false;
    }
}

/* Characters of text that an event carries, beside its head. */
static uint64_t text_chars(const struct log_entry *e)
{
    switch ((enum event_kind)e->kind) {
    case EV_USER_MESSAGE:
    case EV_USER_CUSTOM_TOOL_RESULT:
    case EV_AGENT_MESSAGE: return e->d;
    case EV_USER_TOOL_RESULT:
    case EV_AGENT_MCP_TOOL_RESULT: return e->flags & EVENT_SPILLED ? TOOL_PIECE_LENGTH(e->d) : e->d;
    case EV_AGENT_TOOL_USE: return e->tool == TOOL_WRITE ? e->d : 0; /* what is to be written */
    default: return 0;
    }
}

/* `d` of the result of a READ: the log keeps but its size, the rest stands in the tool use. */
static uint64_t piece_of(const struct orchestrator *o, const struct session *s, const struct log_entry *e)
{
    struct log_entry use;

    session_log_get(&o->logs, &s->log, (uint32_t)e->c, &use);
    return TOOL_PIECE(use.c, TOOL_PIECE_OFFSET(use.d) + e->d);
}

struct msg session_event(const struct orchestrator *o, const struct session *s, uint32_t seq)
{
    const uint64_t chars_max = UINT32_MAX / 2;
    struct log_entry e;
    uint64_t chars;

    session_log_get(&o->logs, &s->log, seq, &e);
    if (e.state == LOG_OPEN) e.at = nsec_max(call_issued_at(o, s, seq, &e), 1);
    chars = text_chars(&e);
    if (e.kind == EV_USER_TOOL_RESULT && e.tool == TOOL_READ) e.d = piece_of(o, s, &e);
    return (struct msg){.kind = M_EVENT,
                        .bytes = BYTES_EVENT + (uint32_t)(chars < chars_max ? chars : chars_max),
                        .a = EVENT_ID(s->serial, seq),
                        .b = EVENT_B(e.kind, e.tool, e.flags, seq),
                        .c = names_event(&e) && e.c ? EVENT_ID(s->serial, e.c) : e.c,
                        .d = e.d,
                        .e = e.at};
}
