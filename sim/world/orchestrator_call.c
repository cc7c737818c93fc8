#include "sim/base/panic.h"
#include "sim/world/orchestrator_state.h"

/* Open calls of a session --------------------------------------------------------------------- */

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

/* Ledger slots as owners: 24 bits, all ones for none. */
#define SLOT_OWNER_NONE ((1u << SLAB_INDEX_BITS) - 1)

static uint32_t owner_of_slot(uint32_t slot)
{
    return slot < SLOT_OWNER_NONE ? slot : SLOT_OWNER_NONE;
}

static uint32_t slot_of_owner(uint32_t owner)
{
    return owner < SLOT_OWNER_NONE ? owner : LEDGER_SLOT_NONE;
}

static bool is_bash(const struct log_entry *use)
{
    return use->kind == EV_AGENT_TOOL_USE && use->tool == TOOL_BASH;
}

nsec_t call_issued_at(const struct orchestrator *o, const struct session *s, uint32_t seq,
                      const struct log_entry *use)
{
    const struct call *c;

    if (is_bash(use)) return s->step_at;
    c = call_live(o, use->owner);
    ASSERT(seq == c->seq || (c->state == CALL_SPILLING && seq == c->spill.seq));
    return seq == c->seq ? c->issued_at : c->spill.since;
}

void calls_begin(const struct ctx *x, struct session *s)
{
    ASSERT(!calls_open(s));
    s->step_at = x->now;
    s->step_seq = s->log.count + 1;
}

bool calls_open(const struct session *s)
{
    return s->calls_first || s->bash_open;
}

/* The next open call of TOOL_BASH behind `seq`, or 0. */
static uint32_t bash_next(const struct orchestrator *o, const struct session *s, uint32_t seq,
                          struct log_entry *ret_use)
{
    if (!s->bash_open) return 0;
    for (seq = seq < s->step_seq ? s->step_seq : seq + 1; seq <= s->log.count; seq++) {
        session_log_get(&o->logs, &s->log, seq, ret_use);
        if (ret_use->state == LOG_OPEN && is_bash(ret_use)) return seq;
    }
    return 0;
}

/* A new call, issued now, at the end of the session's list. Its tool use is the caller's to emit. */
static uint32_t call_new(struct orchestrator *o, const struct ctx *x, struct session *s, enum tool tool,
                         uint32_t index)
{
    uint32_t ref = slab_alloc(&o->calls);
    struct call *c;

    if (!ref) PANIC_MEMORY("no memory for a call more than %u", slab_count(&o->calls));
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

/* A tool use waits for nothing any more: ANSWERED, or CLOSED if nobody answered it. */
static void unbind(struct orchestrator *o, struct session *s, uint32_t seq, enum log_state state,
                   nsec_t issued_at)
{
    session_log_unbind(&o->logs, &s->log, seq, state, nsec_max(issued_at, 1));
}

/* The agent has a result for a call. */
static void use_over(struct orchestrator *o, const struct ctx *x, struct session *s, uint32_t seq,
                     enum tool tool, uint32_t slot, nsec_t issued_at, enum ledger_end end)
{
    bool ran = end != LEDGER_SHED;

    recorder_end(o->recorder, ACCOUNT_CALL, slot, end);
    recorder_mark(o->recorder, EVENT_ID(s->serial, seq), ran ? MARK_CALL_END : MARK_CALL_SHED, x->now);
    /* What a limit refused did not run, and would only make the calls look fast. */
    if (ran) {
        recorder_record(o->recorder, METRIC_TOOL_CALL, x->now - issued_at);
        recorder_record_split(o->recorder, SPLIT_TOOL, tool, x->now - issued_at);
    }
    if (end == LEDGER_COMPLETED && !s->quote_seq) s->quote_seq = seq;
}

static void bash_over(struct orchestrator *o, const struct ctx *x, struct session *s, uint32_t seq,
                      const struct log_entry *use, enum log_state state, enum ledger_end end)
{
    ASSERT(s->bash_open);
    s->bash_open--;
    unbind(o, s, seq, state, s->step_at);
    use_over(o, x, s, seq, TOOL_BASH, slot_of_owner(use->owner), s->step_at, end);
}

static void call_over(struct orchestrator *o, const struct ctx *x, uint32_t ref, enum log_state state,
                      enum ledger_end end)
{
    const struct call *c = call_live(o, ref);
    struct session *s = session_get(o, c->session);

    unbind(o, s, c->seq, state, c->issued_at);
    use_over(o, x, s, c->seq, (enum tool)c->tool, c->slot, c->issued_at, end);
    call_free(o, s, ref);
}

void calls_mark(struct orchestrator *o, const struct ctx *x, const struct session *s, enum mark mark)
{
    const struct call *c;
    struct log_entry use;

    for (uint32_t seq = 0; (seq = bash_next(o, s, seq, &use));)
        recorder_mark(o->recorder, EVENT_ID(s->serial, seq), mark, x->now);
    for (uint32_t ref = s->calls_first; ref; ref = c->next) {
        c = call_live(o, ref);
        if (c->state == CALL_SANDBOX || c->state == CALL_SPILLING)
            recorder_mark(o->recorder, EVENT_ID(s->serial, c->seq), mark, x->now);
    }
}

/* Outputs in files ---------------------------------------------------------------------------- */

static struct spilled *spilled_get(const struct orchestrator *o, uint32_t ref)
{
    struct spilled *f = slab_get(&o->spills, ref);

    ASSERT(f);
    return f;
}

static void spilled_add(struct orchestrator *o, struct session *s, uint32_t seq, uint64_t chars)
{
    uint32_t ref = slab_alloc(&o->spills);

    if (!ref) PANIC_MEMORY("no memory for a spilled output more than %u", slab_count(&o->spills));
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

/* Issue --------------------------------------------------------------------------------------- */

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
    struct log_entry use = {
        .kind = EV_AGENT_TOOL_USE, .tool = TOOL_BASH, .c = wanted->execution_ns, .d = wanted->output_chars};
    uint32_t slot = recorder_open(o->recorder, ACCOUNT_CALL);

    s->bash_open++;
    sandbox_issued(o, x, s, session_emit_open(o, s, owner_of_slot(slot), use));
}

/* Reads the piece at `from->read.offset` of an output. */
static void issue_read(struct orchestrator *o, const struct ctx *x, struct session *s,
                       const struct call *from)
{
    uint32_t left = from->read.chars - from->read.offset, piece = o->options->read_piece_chars;
    uint32_t ref = call_new(o, x, s, TOOL_READ, from->index);
    struct log_entry use = {.kind = EV_AGENT_TOOL_USE,
                            .tool = TOOL_READ,
                            .c = from->read.seq,
                            .d = TOOL_PIECE(from->read.offset, piece && piece < left ? piece : left)};
    struct call *c = call_live(o, ref);

    c->read = from->read;
    c->seq = session_emit_open(o, s, ref, use);
    sandbox_issued(o, x, s, c->seq);
}

static void issue_mcp(struct orchestrator *o, const struct ctx *x, struct session *s,
                      const struct agent_call *wanted)
{
    uint32_t ref = call_new(o, x, s, TOOL_MCP, wanted->index);
    struct log_entry use = {
        .kind = EV_AGENT_MCP_TOOL_USE, .tool = TOOL_MCP, .c = mcp_host(o, s, wanted->mcp)};
    struct call *c = call_live(o, ref);

    c->mcp.mcp = (uint16_t)wanted->mcp;
    c->mcp.chars = CHARS_OWN;
    if (wanted->output_given)
        c->mcp.chars = wanted->output_chars < CHARS_OWN ? (uint32_t)wanted->output_chars : CHARS_OWN - 1;
    c->seq = session_emit_open(o, s, ref, use);
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
        while (spilled_take(o, s, &f)) {
            struct call first = {.index = (uint16_t)wanted->index, .read.seq = f.seq, .read.chars = f.chars};

            issue_read(o, x, s, &first);
        }
        break;
    case TOOL_WRITE: break; /* no script asks for it */
    }
}

/* Results ------------------------------------------------------------------------------------- */

/* The agent gets what an MCP call gave. */
static void emit_mcp_result(struct orchestrator *o, const struct ctx *x, struct session *s,
                            const struct call *c, uint32_t flags, uint64_t chars)
{
    struct log_entry result = {
        .kind = EV_AGENT_MCP_TOOL_RESULT, .tool = TOOL_MCP, .flags = flags, .c = c->seq, .d = chars};

    session_emit(o, x, s, session_time(x), result);
}

/* The output is too large for the agent: it goes to a file in the sandbox. */
static void spill_begin(struct orchestrator *o, const struct ctx *x, struct session *s, uint32_t ref,
                        uint64_t chars)
{
    struct call *c = call_live(o, ref);
    struct log_entry use = {.kind = EV_AGENT_TOOL_USE, .tool = TOOL_WRITE, .c = c->seq, .d = chars};

    recorder_count(o->recorder, COUNTER_SPILLED_RESULTS, 1);
    recorder_count(o->recorder, COUNTER_SPILLED_BYTES, chars);
    c->state = CALL_SPILLING;
    c->spill.since = x->now;
    c->spill.slot = recorder_open(o->recorder, ACCOUNT_SPILL);
    c->spill.seq = session_emit_open(o, s, ref, use);
    streams_pump(o, x, s);
}

static void spill_over(struct orchestrator *o, struct session *s, const struct call *c, enum log_state state,
                       enum ledger_end end)
{
    recorder_end(o->recorder, ACCOUNT_SPILL, c->spill.slot, end);
    unbind(o, s, c->spill.seq, state, c->spill.since);
}

/* How a call ended whose worker posted this. */
static enum ledger_end end_of(const struct posted *result)
{
    if (!(result->flags & EVENT_IS_ERROR)) return LEDGER_COMPLETED;
    return result->flags & EVENT_REFUSED ? LEDGER_SHED : LEDGER_FAILED;
}

/* The file is written, or could not be: `how`. A call whose file was refused ran nevertheless. */
static void spill_answered(struct orchestrator *o, const struct ctx *x, struct session *s,
                           const struct log_entry *use, enum ledger_end how)
{
    const struct call *c = call_live(o, use->owner);
    bool ok = how == LEDGER_COMPLETED;
    uint64_t preview = TOOL_PIECE(use->d, SPILL_NOTE_CHARS + o->options->preview_chars);

    ASSERT(c->state == CALL_SPILLING);
    if (how != LEDGER_SHED) recorder_record(o->recorder, METRIC_SPILL_WRITE, x->now - c->spill.since);
    recorder_mark(o->recorder, EVENT_ID(s->serial, c->seq), MARK_RESULT_BACK, x->now);
    spill_over(o, s, c, LOG_ANSWERED, how);
    if (ok) spilled_add(o, s, c->seq, use->d);
    emit_mcp_result(o, x, s, c, ok ? EVENT_SPILLED : EVENT_IS_ERROR, ok ? preview : 0);
    call_over(o, x, use->owner, LOG_ANSWERED, ok ? LEDGER_COMPLETED : LEDGER_FAILED);
}

static void bash_answered(struct orchestrator *o, const struct ctx *x, struct session *s, uint32_t seq,
                          const struct log_entry *use, const struct posted *result)
{
    enum ledger_end end = end_of(result);

    bash_over(o, x, s, seq, use, LOG_ANSWERED, end);
    if (end == LEDGER_COMPLETED && (result->flags & EVENT_SPILLED)) spilled_add(o, s, seq, result->chars);
}

/* A piece was read: the next one. */
static void read_answered(struct orchestrator *o, const struct ctx *x, struct session *s,
                          const struct log_entry *use, const struct posted *result)
{
    struct call c = *call_live(o, use->owner);
    uint32_t length = TOOL_PIECE_LENGTH(use->d);
    enum ledger_end end = end_of(result);

    if (end != LEDGER_SHED) recorder_record(o->recorder, METRIC_SPILL_READ, x->now - c.issued_at);
    call_over(o, x, use->owner, LOG_ANSWERED, end);
    if (end != LEDGER_COMPLETED || length >= c.read.chars - c.read.offset) return;
    c.read.offset += length;
    issue_read(o, x, s, &c);
}

void call_answered(struct orchestrator *o, const struct ctx *x, struct session *s, uint32_t seq,
                   const struct log_entry *use, const struct posted *result)
{
    if (use->tool == TOOL_WRITE) {
        spill_answered(o, x, s, use, end_of(result));
    } else {
        recorder_mark(o->recorder, EVENT_ID(s->serial, seq), MARK_RESULT_BACK, x->now);
        if (is_bash(use))
            bash_answered(o, x, s, seq, use, result);
        else
            read_answered(o, x, s, use, result);
    }
    calls_arm(o, x, s);
}

/* Before the call turns to its spill: it then forgets its server. */
static void record_mcp(struct orchestrator *o, const struct ctx *x, const struct call *c)
{
    recorder_record(o->recorder, METRIC_MCP_CALL, x->now - c->issued_at);
    recorder_record_split(o->recorder, SPLIT_SERVER, c->mcp.mcp, x->now - c->issued_at);
}

void call_mcp_over(struct orchestrator *o, const struct ctx *x, uint32_t ref, enum ledger_end end,
                   uint64_t chars)
{
    const struct call *c = call_live(o, ref);
    struct session *s = session_get(o, c->session);
    bool ok = end == LEDGER_COMPLETED;

    if (end != LEDGER_SHED) record_mcp(o, x, c);
    if (ok && chars > o->options->spill_threshold_chars) {
        spill_begin(o, x, s, ref, chars);
        return;
    }
    emit_mcp_result(o, x, s, c, ok ? 0 : EVENT_IS_ERROR, ok ? chars : 0);
    call_over(o, x, ref, LOG_ANSWERED, end);
}

/* Ends without a result ----------------------------------------------------------------------- */

/* So that whoever reads the log sees that a tool use waits for nothing any more. */
static void emit_given_up(struct orchestrator *o, const struct ctx *x, struct session *s, uint32_t seq)
{
    session_emit(o, x, s, session_time(x),
                 (struct log_entry){.kind = EV_USER_TOOL_RESULT, .flags = EVENT_IS_ERROR, .c = seq});
}

static void bash_fail_all(struct orchestrator *o, const struct ctx *x, struct session *s)
{
    struct log_entry use;

    for (uint32_t seq = 0; (seq = bash_next(o, s, seq, &use));) {
        emit_given_up(o, x, s, seq);
        bash_over(o, x, s, seq, &use, LOG_CLOSED, LEDGER_FAILED);
    }
}

/* They leave the ledger; the session's log is of no use any more. */
static void bash_drop_all(struct orchestrator *o, struct session *s, enum ledger_end end)
{
    struct log_entry use;

    for (uint32_t seq = 0; (seq = bash_next(o, s, seq, &use)); s->bash_open--)
        recorder_end(o->recorder, ACCOUNT_CALL, slot_of_owner(use.owner), end);
}

/* The agent waits no longer for the call, and takes an error for its result. */
static void call_fail(struct orchestrator *o, const struct ctx *x, struct session *s, uint32_t ref)
{
    const struct call *c = call_live(o, ref);

    if (c->tool != TOOL_MCP) {
        emit_given_up(o, x, s, c->seq);
    } else {
        if (c->state == CALL_SPILLING) {
            emit_given_up(o, x, s, c->spill.seq);
            spill_over(o, s, c, LOG_CLOSED, LEDGER_FAILED);
        } else {
            mcp_abandon(o, x, ref, LEDGER_FAILED);
            record_mcp(o, x, c);
        }
        emit_mcp_result(o, x, s, c, EVENT_IS_ERROR, 0);
    }
    call_over(o, x, ref, LOG_CLOSED, LEDGER_FAILED);
}

/* Both from the last one on, so that calls that wait for a stream leave before those that hold one. */

void calls_fail_all(struct orchestrator *o, const struct ctx *x, struct session *s)
{
    bash_fail_all(o, x, s);
    while (s->calls_last) call_fail(o, x, s, s->calls_last);
}

void calls_drop_all(struct orchestrator *o, const struct ctx *x, struct session *s)
{
    bash_drop_all(o, s, LEDGER_LOST);
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
    slab_for_each(session, &o->sessions) bash_drop_all(o, session_get(o, session), end);
    slab_for_each(ref, &o->calls)
    {
        const struct call *c = call_live(o, ref);

        if (c->state == CALL_SPILLING) recorder_end(o->recorder, ACCOUNT_SPILL, c->spill.slot, end);
        recorder_end(o->recorder, ACCOUNT_CALL, c->slot, end);
    }
}

/* Time-outs ----------------------------------------------------------------------------------- */

static nsec_t bash_deadline(const struct orchestrator *o, const struct session *s)
{
    nsec_t timeout = o->options->call_timeout_ns;

    return s->bash_open && timeout ? nsec_add(s->step_at, timeout) : NSEC_MAX;
}

/* Calls stand in the order of their issue, so the first is the first to time out. */
static nsec_t first_deadline(const struct orchestrator *o, const struct session *s)
{
    nsec_t timeout = o->options->call_timeout_ns;

    return s->calls_first && timeout ? nsec_add(call_live(o, s->calls_first)->issued_at, timeout) : NSEC_MAX;
}

void calls_arm(struct orchestrator *o, const struct ctx *x, struct session *s)
{
    nsec_t deadline = nsec_min(bash_deadline(o, s), first_deadline(o, s));

    /* One that is pending was set for an earlier call: it comes early, and then this is looked at again. */
    if (s->calls_armed || deadline == NSEC_MAX) return;
    timer_set(x->out, deadline, TOKEN(PURPOSE_CALLS, s->ref));
    s->calls_armed = true;
}

void calls_timer(struct orchestrator *o, const struct ctx *x, struct session *s)
{
    s->calls_armed = false;
    if (bash_deadline(o, s) <= x->now) {
        recorder_count(o->recorder, COUNTER_TIMEOUTS, s->bash_open);
        bash_fail_all(o, x, s);
    }
    while (first_deadline(o, s) <= x->now) {
        recorder_count(o->recorder, COUNTER_TIMEOUTS, 1);
        call_fail(o, x, s, s->calls_first);
    }
    calls_arm(o, x, s);
    turn_advance(o, x, s);
}
