#include "sim/base/panic.h"
#include "sim/world/orchestrator_state.h"

/* Open calls of a session
 * ------------------------------------------------------------------------------------ */

struct call *call_get(const struct orchestrator *o, uint32_t ref)
{
    return slab_get(&o->calls, ref);
}

static struct call *call_live(const struct orchestrator *o, uint32_t ref)
{
    struct call *c = call_get(o, ref);

    ASSERT(c);
    return c;
}

nsec_t call_issued_at(const struct call *c, uint32_t seq)
{
    nsec_t at = seq == c->seq ? c->issued_at : c->spill.since;

    ASSERT(seq == c->seq || (c->state == CALL_SPILLING && seq == c->spill.seq));
    return at ? at : 1;
}

/* A new call, issued now, at the end of the session's list. Its tool use is the caller's to emit. */
static uint32_t call_new(struct orchestrator *o, const struct ctx *x, struct session *s, enum tool tool,
                         uint32_t index)
{
    uint32_t ref = slab_alloc(&o->calls);
    struct call *c;

    if (!ref) PANIC("no memory for a call more than %u", slab_count(&o->calls));
    c = call_live(o, ref);
    c->issued_at = x->now;
    c->session = s->ref;
    c->tool = (uint8_t)tool;
    c->state = CALL_SANDBOX;
    c->index = (uint16_t)index;
    c->slot = recorder_open(o->recorder, ACCOUNT_CALL);
    c->prev = s->calls_last;
    if (c->prev)
        call_live(o, c->prev)->next = ref;
    else
        s->calls_first = ref;
    s->calls_last = ref;
    return ref;
}

static void call_free(struct orchestrator *o, struct session *s, uint32_t ref)
{
    const struct call *c = call_live(o, ref);

    if (c->prev)
        call_live(o, c->prev)->next = c->next;
    else
        s->calls_first = c->next;
    if (c->next)
        call_live(o, c->next)->prev = c->prev;
    else
        s->calls_last = c->prev;
    slab_free(&o->calls, ref);
}

/* The agent has a result: the call is over. Its tool use is ANSWERED, or CLOSED if nobody answered it. */
static void call_over(struct orchestrator *o, const struct ctx *x, uint32_t ref, enum log_state state,
                      enum ledger_end end)
{
    const struct call *c = call_live(o, ref);
    struct session *s = session_get(o, c->session);

    session_log_unbind(&o->logs, &s->log, c->seq, state, call_issued_at(c, c->seq));
    recorder_end(o->recorder, ACCOUNT_CALL, c->slot, end);
    recorder_mark(o->recorder, EVENT_ID(s->serial, c->seq), MARK_CALL_END, x->now);
    /* What a full queue refused took no time, and would only make the calls look fast. */
    if (end != LEDGER_SHED) recorder_record(o->recorder, METRIC_TOOL_CALL, x->now - c->issued_at);
    if (end == LEDGER_COMPLETED && !s->quote_seq) s->quote_seq = c->seq;
    call_free(o, s, ref);
}

void calls_mark(struct orchestrator *o, const struct ctx *x, const struct session *s, enum mark mark)
{
    const struct call *c;

    for (uint32_t ref = s->calls_first; ref; ref = c->next) {
        c = call_live(o, ref);
        if (c->state == CALL_SANDBOX) recorder_mark(o->recorder, EVENT_ID(s->serial, c->seq), mark, x->now);
    }
}

/* Outputs in files
 * ------------------------------------------------------------------------------------------- */

static struct spilled *spilled_get(const struct orchestrator *o, uint32_t ref)
{
    struct spilled *f = slab_get(&o->spills, ref);

    ASSERT(f);
    return f;
}

static void spilled_add(struct orchestrator *o, struct session *s, uint32_t seq, uint64_t chars)
{
    uint32_t ref = slab_alloc(&o->spills);

    if (!ref) PANIC("no memory for a spilled output more than %u", slab_count(&o->spills));
    *spilled_get(o, ref) =
        (struct spilled){.seq = seq, .chars = chars < UINT32_MAX ? (uint32_t)chars : UINT32_MAX};
    if (s->spills_last)
        spilled_get(o, s->spills_last)->next = ref;
    else
        s->spills_first = ref;
    s->spills_last = ref;
}

static bool spilled_take(struct orchestrator *o, struct session *s, struct spilled *ret)
{
    uint32_t ref = s->spills_first;

    if (!ref) return false;
    *ret = *spilled_get(o, ref);
    s->spills_first = ret->next;
    if (!ret->next) s->spills_last = 0;
    slab_free(&o->spills, ref);
    return true;
}

void spills_forget(struct orchestrator *o, struct session *s)
{
    struct spilled f;

    while (spilled_take(o, s, &f)) continue;
}

/* Issue
 * ------------------------------------------------------------------------------------------------------ */

/* A call for the sandbox is in the log: its worker sees it, or will. */
static void sandbox_issued(struct orchestrator *o, const struct ctx *x, struct session *s, uint32_t seq)
{
    recorder_mark(o->recorder, EVENT_ID(s->serial, seq), MARK_CALL_START, x->now);
    if (!work_held(o, s)) recorder_mark(o->recorder, EVENT_ID(s->serial, seq), MARK_QUEUED, x->now);
    streams_pump(o, x, s);
}

static void issue_bash(struct orchestrator *o, const struct ctx *x, struct session *s,
                       const struct agent_call *wanted)
{
    uint32_t ref = call_new(o, x, s, TOOL_BASH, wanted->index);
    struct call *c = call_live(o, ref);

    c->seq = session_emit_open(o, s, ref,
                               (struct log_entry){.kind = EV_AGENT_TOOL_USE,
                                                  .tool = TOOL_BASH,
                                                  .c = wanted->execution_ns,
                                                  .d = wanted->output_chars});
    sandbox_issued(o, x, s, c->seq);
}

/* Reads the piece at `offset` of an output. */
static void issue_read(struct orchestrator *o, const struct ctx *x, struct session *s, uint32_t index,
                       uint32_t file, uint32_t offset, uint32_t chars)
{
    uint32_t left = chars - offset, piece = o->options->read_piece_chars;
    uint32_t ref = call_new(o, x, s, TOOL_READ, index);
    struct call *c = call_live(o, ref);

    c->read.seq = file;
    c->read.offset = offset;
    c->read.chars = chars;
    c->seq =
        session_emit_open(o, s, ref,
                          (struct log_entry){.kind = EV_AGENT_TOOL_USE,
                                             .tool = TOOL_READ,
                                             .c = file,
                                             .d = TOOL_PIECE(offset, piece && piece < left ? piece : left)});
    sandbox_issued(o, x, s, c->seq);
}

static void issue_mcp(struct orchestrator *o, const struct ctx *x, struct session *s,
                      const struct agent_call *wanted)
{
    uint32_t ref = call_new(o, x, s, TOOL_MCP, wanted->index);
    struct call *c = call_live(o, ref);

    c->mcp.mcp = (uint16_t)wanted->mcp;
    c->mcp.chars = CHARS_OWN;
    if (wanted->output_given)
        c->mcp.chars = wanted->output_chars < CHARS_OWN ? (uint32_t)wanted->output_chars : CHARS_OWN - 1;
    c->seq = session_emit_open(o, s, ref,
                               (struct log_entry){.kind = EV_AGENT_MCP_TOOL_USE,
                                                  .tool = TOOL_MCP,
                                                  .c = mcp_host(o, s, wanted->mcp)});
    recorder_mark(o->recorder, EVENT_ID(s->serial, c->seq), MARK_CALL_START, x->now);
    streams_pump(o, x, s);
    mcp_submit(o, x, ref);
}

void call_issue(struct orchestrator *o, const struct ctx *x, struct session *s,
                const struct agent_call *wanted)
{
    struct spilled f;

    switch (wanted->tool) {
    case TOOL_BASH: issue_bash(o, x, s, wanted); break;
    case TOOL_MCP: issue_mcp(o, x, s, wanted); break;
    case TOOL_READ:
        while (spilled_take(o, s, &f)) issue_read(o, x, s, wanted->index, f.seq, 0, f.chars);
        break;
    case TOOL_WRITE: break; /* no script asks for it */
    }
}

/* Results
 * ---------------------------------------------------------------------------------------------------- */

/* The agent gets what an MCP call gave. */
static void emit_mcp_result(struct orchestrator *o, const struct ctx *x, struct session *s,
                            const struct call *c, uint32_t flags, uint64_t chars)
{
    session_emit(
        o, x, s, session_time(x),
        (struct log_entry){
            .kind = EV_AGENT_MCP_TOOL_RESULT, .tool = TOOL_MCP, .flags = flags, .c = c->seq, .d = chars});
}

/* The output is too large for the agent: it goes to a file in the sandbox. */
static void spill_begin(struct orchestrator *o, const struct ctx *x, struct session *s, uint32_t ref,
                        uint64_t chars)
{
    struct call *c = call_live(o, ref);

    recorder_count(o->recorder, COUNTER_SPILLED_RESULTS, 1);
    recorder_count(o->recorder, COUNTER_SPILLED_BYTES, chars);
    c->state = CALL_SPILLING;
    c->spill.since = x->now;
    c->spill.slot = recorder_open(o->recorder, ACCOUNT_SPILL);
    c->spill.seq = session_emit_open(
        o, s, ref,
        (struct log_entry){.kind = EV_AGENT_TOOL_USE, .tool = TOOL_WRITE, .c = c->seq, .d = chars});
    streams_pump(o, x, s);
}

/* The file is written, or not. `answered`: by a result. */
static void spill_over(struct orchestrator *o, struct session *s, struct call *c, enum log_state state,
                       enum ledger_end end)
{
    recorder_end(o->recorder, ACCOUNT_SPILL, c->spill.slot, end);
    session_log_unbind(&o->logs, &s->log, c->spill.seq, state, call_issued_at(c, c->spill.seq));
}

static void spill_answered(struct orchestrator *o, const struct ctx *x, struct session *s, uint32_t ref,
                           bool ok)
{
    struct call *c = call_live(o, ref);
    uint32_t preview = o->options->preview_chars;
    struct log_entry written;

    session_log_get(&o->logs, &s->log, c->spill.seq, &written);
    recorder_record(o->recorder, METRIC_SPILL_WRITE, x->now - c->spill.since);
    recorder_mark(o->recorder, EVENT_ID(s->serial, c->seq), MARK_SPILL_DONE, x->now);
    spill_over(o, s, c, LOG_ANSWERED, ok ? LEDGER_COMPLETED : LEDGER_FAILED);
    if (ok) spilled_add(o, s, c->seq, written.d);
    emit_mcp_result(o, x, s, c, ok ? EVENT_SPILLED : EVENT_IS_ERROR, ok ? preview : 0);
    call_over(o, x, ref, LOG_ANSWERED, ok ? LEDGER_COMPLETED : LEDGER_FAILED);
}

static void sandbox_answered(struct orchestrator *o, const struct ctx *x, struct session *s, uint32_t ref,
                             const struct posted *result)
{
    struct call c = *call_live(o, ref);
    bool ok = !(result->flags & EVENT_IS_ERROR);
    struct log_entry use;

    session_log_get(&o->logs, &s->log, c.seq, &use);
    recorder_mark(o->recorder, EVENT_ID(s->serial, c.seq), MARK_RESULT_BACK, x->now);
    call_over(o, x, ref, LOG_ANSWERED, ok ? LEDGER_COMPLETED : LEDGER_FAILED);
    if (c.tool == TOOL_READ) {
        uint64_t next = (uint64_t)c.read.offset + TOOL_PIECE_LENGTH(use.d);

        recorder_record(o->recorder, METRIC_SPILL_READ, x->now - c.issued_at);
        if (ok && next < c.read.chars) issue_read(o, x, s, c.index, c.read.seq, (uint32_t)next, c.read.chars);
    } else if (ok && (result->flags & EVENT_SPILLED)) {
        spilled_add(o, s, c.seq, result->chars);
    }
}

void call_answered(struct orchestrator *o, const struct ctx *x, uint32_t ref, uint32_t seq,
                   const struct posted *result)
{
    const struct call *c = call_live(o, ref);
    struct session *s = session_get(o, c->session);

    if (c->state == CALL_SPILLING) {
        ASSERT(seq == c->spill.seq);
        spill_answered(o, x, s, ref, !(result->flags & EVENT_IS_ERROR));
    } else {
        ASSERT(seq == c->seq && c->state == CALL_SANDBOX);
        sandbox_answered(o, x, s, ref, result);
    }
    calls_arm(o, x, s);
}

void call_mcp_over(struct orchestrator *o, const struct ctx *x, uint32_t ref, enum ledger_end end,
                   uint64_t chars)
{
    const struct call *c = call_live(o, ref);
    struct session *s = session_get(o, c->session);
    bool ok = end == LEDGER_COMPLETED;

    if (end != LEDGER_SHED) recorder_record(o->recorder, METRIC_MCP_CALL, x->now - c->issued_at);
    if (ok && chars > o->options->spill_threshold_chars) {
        spill_begin(o, x, s, ref, chars);
        return;
    }
    emit_mcp_result(o, x, s, c, ok ? 0 : EVENT_IS_ERROR, ok ? chars : 0);
    call_over(o, x, ref, LOG_ANSWERED, end);
}

/* Ends without a result
 * -------------------------------------------------------------------------------------- */

/* So that whoever reads the log sees that a tool use waits for nothing any more. */
static void emit_given_up(struct orchestrator *o, const struct ctx *x, struct session *s, uint32_t seq)
{
    session_emit(o, x, s, session_time(x),
                 (struct log_entry){.kind = EV_USER_TOOL_RESULT, .flags = EVENT_IS_ERROR, .c = seq});
}

/* The agent waits no longer for the call, and takes an error for its result. */
static void call_fail(struct orchestrator *o, const struct ctx *x, struct session *s, uint32_t ref)
{
    struct call *c = call_live(o, ref);

    if (c->tool != TOOL_MCP) {
        emit_given_up(o, x, s, c->seq);
    } else {
        if (c->state == CALL_SPILLING) {
            emit_given_up(o, x, s, c->spill.seq);
            spill_over(o, s, c, LOG_CLOSED, LEDGER_FAILED);
        } else {
            mcp_abandon(o, x, ref, LEDGER_FAILED);
            recorder_record(o->recorder, METRIC_MCP_CALL, x->now - c->issued_at);
        }
        emit_mcp_result(o, x, s, c, EVENT_IS_ERROR, 0);
    }
    call_over(o, x, ref, LOG_CLOSED, LEDGER_FAILED);
}

/* Both from the last one on, so that calls that wait for a stream leave before those that hold one. */

void calls_fail_all(struct orchestrator *o, const struct ctx *x, struct session *s)
{
    while (s->calls_last) call_fail(o, x, s, s->calls_last);
}

void calls_drop_all(struct orchestrator *o, const struct ctx *x, struct session *s)
{
    while (s->calls_last) {
        uint32_t ref = s->calls_last;
        const struct call *c = call_live(o, ref);

        if (c->state == CALL_SPILLING)
            recorder_end(o->recorder, ACCOUNT_SPILL, c->spill.slot, LEDGER_LOST);
        else if (c->tool == TOOL_MCP)
            mcp_abandon(o, x, ref, LEDGER_LOST);
        recorder_end(o->recorder, ACCOUNT_CALL, c->slot, LEDGER_LOST);
        call_free(o, s, ref);
    }
}

void calls_end_all(struct orchestrator *o, enum ledger_end end)
{
    slab_for_each(ref, &o->calls)
    {
        const struct call *c = call_live(o, ref);

        if (c->state == CALL_SPILLING) recorder_end(o->recorder, ACCOUNT_SPILL, c->spill.slot, end);
        recorder_end(o->recorder, ACCOUNT_CALL, c->slot, end);
    }
}

/* Time-outs
 * -------------------------------------------------------------------------------------------------- */

/* When the session's oldest call times out; calls stand in the order of their issue. */
static nsec_t calls_deadline(const struct orchestrator *o, const struct session *s)
{
    nsec_t timeout = o->options->call_timeout_ns;

    return s->calls_first && timeout ? nsec_add(call_live(o, s->calls_first)->issued_at, timeout) : NSEC_MAX;
}

void calls_arm(struct orchestrator *o, const struct ctx *x, struct session *s)
{
    nsec_t deadline = calls_deadline(o, s);

    /* One that is pending was set for an earlier call: it comes early, and then this is looked at again. */
    if (s->calls_armed || deadline == NSEC_MAX) return;
    timer_set(x->out, deadline, TOKEN(PURPOSE_CALLS, s->ref));
    s->calls_armed = true;
}

void calls_timer(struct orchestrator *o, const struct ctx *x, struct session *s)
{
    s->calls_armed = false;
    while (calls_deadline(o, s) <= x->now) {
        recorder_count(o->recorder, COUNTER_TIMEOUTS, 1);
        call_fail(o, x, s, s->calls_first);
    }
    calls_arm(o, x, s);
    turn_advance(o, x, s);
}
