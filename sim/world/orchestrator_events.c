#include "sim/base/panic.h"
#include "sim/world/orchestrator_state.h"

/* Lists --------------------------------------------------------------------------------------- */

void events_list(struct orchestrator *o, const struct ctx *x, const struct event *ev)
{
    const struct session *s = session_find(o, ev->msg.a);
    uint64_t limit = ev->msg.c && ev->msg.c < LIST_MAX ? ev->msg.c : LIST_MAX, cursor = ev->msg.b, count;
    bool newest_first = ev->msg.d != 0;
    uint64_t left; /* events from the cursor on */

    if (!s) {
        answer_error(x, ev->flow, 404, ERROR_NOT_FOUND);
        return;
    }
    if (cursor == 0) cursor = newest_first ? s->log.count : 1;
    if (newest_first)
        left = cursor < s->log.count ? cursor : s->log.count;
    else
        left = cursor <= s->log.count ? s->log.count - cursor + 1 : 0;
    count = left < limit ? left : limit;
    flow_answer(x->out, ev->flow,
                (struct msg){.kind = M_OK,
                             .flags = count ? 0 : MSG_LAST,
                             .bytes = BYTES_HEAD,
                             .a = left == count  ? 0
                                  : newest_first ? cursor - count
                                                 : cursor + count,
                             .b = count});
    if (newest_first && cursor > s->log.count) cursor = s->log.count;
    for (uint64_t i = 0; i < count; i++) {
        struct msg m = session_event(o, s, (uint32_t)(newest_first ? cursor - i : cursor + i));

        if (i + 1 == count) m.flags = MSG_LAST;
        flow_send_whole(x->out, ev->flow, false, m);
    }
    recorder_count(o->recorder, COUNTER_EVENTS_REPLAYED, count);
}

/* Streams ------------------------------------------------------------------------------------- */

static struct event_stream *stream_get(const struct orchestrator *o, uint32_t ref)
{
    struct event_stream *stream = slab_get(&o->streams, ref);

    ASSERT(stream);
    return stream;
}

static void stream_free(struct orchestrator *o, uint32_t ref, enum ledger_end end)
{
    struct event_stream *stream = stream_get(o, ref);

    if (stream->prev)
        stream_get(o, stream->prev)->next = stream->next;
    else
        session_get(o, stream->session)->streams_first = stream->next;
    if (stream->next) stream_get(o, stream->next)->prev = stream->prev;
    recorder_end(o->recorder, ACCOUNT_STREAM, stream->slot, end);
    slab_free(&o->streams, ref);
}

void events_stream(struct orchestrator *o, const struct ctx *x, const struct event *ev)
{
    struct session *s = session_find(o, ev->msg.a);
    struct event_stream *stream;
    uint32_t ref;

    if (!s) {
        answer_error(x, ev->flow, 404, ERROR_NOT_FOUND);
        return;
    }
    ref = slab_alloc(&o->streams);
    if (!ref) {
        answer_limit(o, x, ev->flow);
        return;
    }
    stream = stream_get(o, ref);
    *stream = (struct event_stream){.session = s->ref,
                                    .flow = ev->flow,
                                    .next = s->streams_first,
                                    .next_seq = s->log.count + 1,
                                    .slot = recorder_open(o->recorder, ACCOUNT_STREAM)};
    if (stream->next) stream_get(o, stream->next)->prev = ref;
    s->streams_first = ref;
    flow_tag(x->out, ev->flow, TAG(FLOW_STREAM, ref));
    flow_answer(x->out, ev->flow, (struct msg){.kind = M_OK, .bytes = BYTES_HEAD});
}

/* Sends what the window allows. */
static void stream_send(struct orchestrator *o, const struct ctx *x, const struct session *s,
                        struct event_stream *stream)
{
    while (stream->next_seq <= s->log.count && stream->unacked < STREAM_WINDOW) {
        struct msg m = session_event(o, s, stream->next_seq++);

        stream->unacked += m.bytes;
        flow_send_whole(x->out, stream->flow, false, m);
        recorder_count(o->recorder, COUNTER_EVENTS_SENT, 1);
    }
}

/* Something will be sent on the session's streams: their ends are fetched meanwhile. */
static void streams_soon(const struct orchestrator *o, const struct ctx *x, const struct session *s)
{
    for (uint32_t ref = s->streams_first; ref;) {
        const struct event_stream *stream = stream_get(o, ref);

        flow_soon(x->out, stream->flow);
        ref = stream->next;
    }
}

void streams_pump(struct orchestrator *o, const struct ctx *x, struct session *s)
{
    uint32_t behind_max = o->options->stream_buffer_events;

    for (uint32_t ref = s->streams_first, next; ref; ref = next) {
        struct event_stream *stream = stream_get(o, ref);

        next = stream->next;
        stream_send(o, x, s, stream);
        if (s->log.count + 1 - stream->next_seq <= behind_max) continue;
        recorder_count(o->recorder, COUNTER_LAGGARDS_DROPPED, 1);
        flow_reset(x->out, stream->flow, RESET_OVERFLOW);
        stream_free(o, ref, LEDGER_SHED);
    }
}

void streams_finish(struct orchestrator *o, const struct ctx *x, struct session *s)
{
    const struct log_entry deleted = {.kind = EV_SESSION_DELETED, .at = session_time(x)};
    struct msg m;

    if (!s->streams_first) return;
    if (!session_log_append(&o->logs, &s->log, &deleted)) PANIC_MEMORY("no memory for an event more");
    m = session_event(o, s, s->log.count);
    m.flags = MSG_LAST;
    while (s->streams_first) {
        uint32_t ref = s->streams_first;
        const struct event_stream *stream = stream_get(o, ref);

        /* The client may still say something, to nobody. */
        flow_tag(x->out, stream->flow, 0);
        if (stream->next_seq == s->log.count) {
            flow_data(x->out, stream->flow, m);
            recorder_count(o->recorder, COUNTER_EVENTS_SENT, 1);
        } else {
            flow_reset(x->out, stream->flow, RESET_CANCEL); /* behind: it could not be told in order */
        }
        stream_free(o, ref, LEDGER_COMPLETED);
    }
}

void stream_event(struct orchestrator *o, const struct ctx *x, uint32_t ref, const struct event *ev)
{
    struct event_stream *stream = slab_get(&o->streams, ref);
    uint32_t bytes = ev->msg.bytes;

    if (!stream) return;
    if (ev->msg.type == MSG_RESET) {
        /* Its reader has left. Whether it wanted to, or died, or was cut off, a server does not learn. */
        stream_free(o, ref, LEDGER_COMPLETED);
    } else if (ev->msg.type == MSG_CREDIT) {
        stream->unacked -= bytes < stream->unacked ? bytes : stream->unacked;
        stream_send(o, x, session_get(o, stream->session), stream);
    } else if (ev->msg.flags & MSG_LAST) {
        /* It wants no more, in order. */
        flow_tag(x->out, stream->flow, 0);
        flow_data(x->out, stream->flow, (struct msg){.flags = MSG_LAST});
        stream_free(o, ref, LEDGER_COMPLETED);
    }
}

void streams_drop(struct orchestrator *o, enum ledger_end end)
{
    slab_for_each(ref, &o->streams) stream_free(o, ref, end);
    slab_for_each(upload, &o->uploads)
    {
        vec_deinit(&((struct upload *)slab_get_unchecked(&o->uploads, upload))->more);
        slab_free(&o->uploads, upload);
    }
}

/* What clients and workers post --------------------------------------------------------------- */

static struct posted posted_of(const struct msg *m)
{
    return (struct posted){.kind = EVENT_KIND(m->b),
                           .flags = (EVENT_FLAGS(m->b) | (uint32_t)m->e) &
                                    (EVENT_IS_ERROR | EVENT_SPILLED | EVENT_CORRUPT | EVENT_REFUSED),
                           .tool = EVENT_TOOL(m->b),
                           .file = EVENT_SEQ(m->b),
                           .c = m->c,
                           .d = m->d,
                           .chars = m->e >> 8};
}

/* The sequence number of the event of this session that an id names, or 0. */
static uint32_t seq_of(const struct session *s, uint64_t id)
{
    uint32_t seq = ID_SEQ(id);

    return ID_SESSION(id) == s->serial && seq >= 1 && seq <= s->log.count ? seq : 0;
}

/* The tool use that an event answers, if that is open or was answered. */
static bool find_tool_use(const struct orchestrator *o, const struct session *s, uint64_t id,
                          struct log_entry *ret_entry)
{
    uint32_t seq = seq_of(s, id);

    if (!seq) return false;
    session_log_get(&o->logs, &s->log, seq, ret_entry);
    return ret_entry->kind == EV_AGENT_TOOL_USE &&
           (ret_entry->state == LOG_OPEN || ret_entry->state == LOG_ANSWERED);
}

/* The status with which an event must be refused, or 0. */
static uint32_t check_posted(const struct orchestrator *o, const struct session *s, const struct posted *p)
{
    struct log_entry entry;

    switch ((enum event_kind)p->kind) {
    case EV_USER_MESSAGE:
        return s->pending >= PENDING_MESSAGES_MAX || s->log.count >= SESSION_EVENTS_MAX ? 429 : 0;
    case EV_USER_INTERRUPT: return s->log.count >= SESSION_EVENTS_MAX ? 429 : 0;
    case EV_USER_TOOL_RESULT: return find_tool_use(o, s, p->c, &entry) ? 0 : 400;
    case EV_USER_TOOL_CONFIRMATION: return seq_of(s, p->c) && s->log.count < SESSION_EVENTS_MAX ? 0 : 400;
    default: return 400; /* what only the agent says, and results of custom tools, which it never calls */
    }
}

/* The event that answered a tool use; for a repeated result, so rarely. */
static uint32_t find_result(const struct orchestrator *o, const struct session *s, uint32_t tool_use)
{
    struct log_entry entry;

    for (uint32_t seq = tool_use + 1; seq <= s->log.count; seq++) {
        session_log_get(&o->logs, &s->log, seq, &entry);
        if (entry.kind == EV_USER_TOOL_RESULT && entry.c == tool_use) return seq;
    }
    return 0;
}

/* A worker of ours says which piece of which file it read: it must be the one that was asked for. */
static bool is_wrong_piece(const struct log_entry *use, const struct posted *p)
{
    if (p->tool != TOOL_READ) return false;
    return use->tool != TOOL_READ || p->file != use->c || p->chars != TOOL_PIECE_OFFSET(use->d) ||
           p->d > TOOL_PIECE_LENGTH(use->d);
}

static struct log_entry result_entry(const struct posted *p, uint32_t tool_use)
{
    struct log_entry e = {.kind = EV_USER_TOOL_RESULT,
                          .flags = p->flags & (LOG_FLAGS - 1), /* that it was refused is told */
                          .c = tool_use,
                          .d = p->d};

    if (p->flags & EVENT_SPILLED) e.d = TOOL_PIECE(p->chars < UINT32_MAX ? p->chars : UINT32_MAX, p->d);
    if (p->tool == TOOL_READ && p->d > 0) e.tool = TOOL_READ;
    return e;
}

/* What its bytes are worth is seen when they are read; which they are, here. */
static struct posted checked(struct orchestrator *o, const struct log_entry *use, struct posted p)
{
    if (is_wrong_piece(use, &p)) {
        p.tool = 0;
        p.flags |= EVENT_CORRUPT;
    }
    if (p.flags & EVENT_CORRUPT) recorder_count(o->recorder, COUNTER_HASH_MISMATCHES, 1);
    return p;
}

static uint32_t post_result(struct orchestrator *o, const struct ctx *x, struct session *s,
                            const struct posted *p)
{
    struct log_entry entry;
    struct posted result;
    uint32_t tool_use = ID_SEQ(p->c), seq;

    if (!find_tool_use(o, s, p->c, &entry))
        return 0; /* an interrupt before it in the same request ended it */
    if (entry.state == LOG_ANSWERED) {
        recorder_count(o->recorder, COUNTER_RESULTS_DUPLICATE, 1);
        return find_result(o, s, tool_use);
    }
    result = checked(o, &entry, *p);
    seq = session_emit(o, x, s, session_time(x), result_entry(&result, tool_use));
    call_answered(o, x, s, tool_use, &entry, &result);
    turn_advance(o, x, s);
    return seq;
}

static uint32_t post_message(struct orchestrator *o, const struct ctx *x, struct session *s,
                             const struct posted *p)
{
    bool at_once = s->loop.phase == AGENT_IDLE;
    uint32_t seq = session_emit(o, x, s, at_once ? session_time(x) : 0,
                                (struct log_entry){.kind = EV_USER_MESSAGE, .d = p->d});

    if (p->flags & EVENT_CORRUPT) recorder_count(o->recorder, COUNTER_HASH_MISMATCHES, 1);
    if (at_once) {
        turn_begin(o, x, s);
    } else {
        if (s->pending++ == 0) s->pending_seq = seq;
    }
    return seq;
}

/* Stores an event and does what it asks for. Returns its sequence number. */
static uint32_t post_one(struct orchestrator *o, const struct ctx *x, struct session *s,
                         const struct posted *p)
{
    uint32_t seq;

    switch ((enum event_kind)p->kind) {
    case EV_USER_MESSAGE: return post_message(o, x, s, p);
    case EV_USER_TOOL_RESULT: return post_result(o, x, s, p);
    case EV_USER_INTERRUPT:
        seq = session_emit(o, x, s, session_time(x), (struct log_entry){.kind = EV_USER_INTERRUPT});
        turn_interrupt(o, x, s);
        return seq;
    case EV_USER_TOOL_CONFIRMATION:
        return session_emit(o, x, s, session_time(x),
                            (struct log_entry){.kind = EV_USER_TOOL_CONFIRMATION,
                                               .flags = p->flags & EVENT_IS_ERROR,
                                               .c = ID_SEQ(p->c)});
    default: UNREACHABLE();
    }
}

static void refuse(struct orchestrator *o, const struct ctx *x, uint32_t flow, uint32_t status)
{
    if (status == 429)
        answer_limit(o, x, flow);
    else
        answer_error(x, flow, status, status == 404 ? ERROR_NOT_FOUND : ERROR_INVALID);
}

/* Posts the events of one request: all, or none. */
static void post_all(struct orchestrator *o, const struct ctx *x, uint32_t flow, uint64_t serial,
                     const struct posted *first, const struct posted *more, uint32_t count)
{
    struct session *s = session_find(o, serial);
    uint32_t status = s ? 0 : 404, seq = 0;

    if (s) streams_soon(o, x, s);
    for (uint32_t i = 0; i < count && !status; i++) status = check_posted(o, s, i ? &more[i - 1] : first);
    if (status) {
        refuse(o, x, flow, status);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t one = post_one(o, x, s, i ? &more[i - 1] : first);

        if (i == 0) seq = one;
    }
    answer(x, flow, (struct msg){.kind = M_OK, .a = seq ? EVENT_ID(s->serial, seq) : 0});
}

/* Ends an upload, with what came or with a status. */
static void upload_over(struct orchestrator *o, const struct ctx *x, uint32_t ref, uint32_t flow,
                        uint32_t status)
{
    struct upload *upload = slab_get_unchecked(&o->uploads, ref);

    flow_tag(x->out, flow, 0);
    if (status)
        refuse(o, x, flow, status);
    else
        post_all(o, x, flow, upload->session, &upload->first, upload->more.items, upload->count);
    vec_deinit(&upload->more);
    slab_free(&o->uploads, ref);
}

/* A part of the request's body. */
static void upload_take(struct orchestrator *o, const struct ctx *x, uint32_t ref, uint32_t flow,
                        const struct msg *m)
{
    struct upload *upload = slab_get_unchecked(&o->uploads, ref);
    bool is_event = m->kind == M_EVENTS_SEND || m->kind == M_EVENT || m->kind == M_BODY;

    if (is_event && !(m->flags & MSG_UNFINISHED)) {
        if (upload->count == 0)
            upload->first = posted_of(m);
        else if (vec_push(&upload->more, posted_of(m)) < 0) {
            upload_over(o, x, ref, flow, 413);
            return;
        }
        upload->count++;
    }
    if (m->flags & MSG_LAST) upload_over(o, x, ref, flow, upload->count ? 0 : 400);
}

void upload_event(struct orchestrator *o, const struct ctx *x, uint32_t ref, const struct event *ev)
{
    struct upload *upload = slab_get(&o->uploads, ref);

    if (!upload || ev->msg.type == MSG_CREDIT) return;
    if (ev->msg.type == MSG_RESET) {
        vec_deinit(&upload->more);
        slab_free(&o->uploads, ref);
    } else {
        upload_take(o, x, ref, ev->flow, &ev->msg);
    }
}

void events_post(struct orchestrator *o, const struct ctx *x, const struct event *ev)
{
    struct upload *upload;
    struct posted posted;
    uint32_t ref;

    if (ev->msg.flags & MSG_LAST) { /* by far the usual case: one event in one message */
        posted = posted_of(&ev->msg);
        post_all(o, x, ev->flow, ev->msg.a, &posted, NULL, 1);
        return;
    }
    ref = slab_alloc(&o->uploads);
    if (!ref) {
        answer_limit(o, x, ev->flow);
        return;
    }
    upload = slab_get_unchecked(&o->uploads, ref);
    upload->session = ev->msg.a <= UINT32_MAX ? (uint32_t)ev->msg.a : 0;
    vec_init(&upload->more, UPLOAD_EVENTS_MAX - 1);
    flow_tag(x->out, ev->flow, TAG(FLOW_UPLOAD, ref));
    upload_take(o, x, ref, ev->flow, &ev->msg);
}
