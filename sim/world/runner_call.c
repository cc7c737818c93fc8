/* A tool call: a sandbox, the execution, files, and the result's way back. */
#include "sim/base/mix.h"
#include "sim/base/panic.h"
#include "sim/world/request.h"
#include "sim/world/runner.h"

static addr_t disk_of(const struct runner *r)
{
    return ADDR(ROLE_DISK, ADDR_ORDINAL(r->component.env.self));
}

static void mark(const struct runner *r, const struct call *c, enum mark what, nsec_t now)
{
    /* A WRITE is a part of the MCP call whose output it spills. Its `arg` tells that until it is answered. */
    recorder_mark(runner_recorder(r), c->tool == TOOL_WRITE ? c->arg : c->id, what, now);
}

/* Done calls leave in the order of seq, so that one number says which are done for good. */
static void settle(struct runner *r, struct slot *s)
{
    while (s->first) {
        uint32_t id = s->first;
        struct call *c = slab_get_unchecked(&r->calls, id);

        if (c->state != CALL_DONE) return;
        s->settled = c->seq + 1;
        s->first = c->next;
        if (!s->first) s->last = 0;
        slab_free(&r->calls, id);
    }
}

static void call_done(struct runner *r, struct call *c)
{
    struct slot *s = runner_slot_of(r, c);

    c->state = CALL_DONE;
    s->open--;
    /* The first is never done, so while it is another's turn nothing leaves. */
    if (slab_get_unchecked(&r->calls, s->first) == c) settle(r, s);
}

/* Its own sandbox, when it has one, is free. */
static void sandbox_release(struct runner *r, struct call *c, nsec_t now, bool lost)
{
    if (!c->use) return;
    if (lost)
        sandbox_pool_lose(r->sandboxes, now, c->use);
    else
        sandbox_pool_release(r->sandboxes, now, c->use);
    c->use = 0;
    if (c->flags & CALL_BILLED)
        recorder_end(runner_recorder(r), ACCOUNT_SANDBOX, c->sandbox_entry,
                     lost ? LEDGER_LOST : LEDGER_COMPLETED);
    c->flags &= (uint8_t)~CALL_BILLED;
}

/* The result's way
 * ---------------------------------------------------------------------------------------------- */

static uint64_t result_chars(const struct runner *r, const struct call *c)
{
    if (c->flags & CALL_SPILLED) return SPILL_NOTE_CHARS + runner_plan(r)->orchestrator.preview_chars;
    return c->tool == TOOL_READ ? TOOL_PIECE_LENGTH(c->size) : c->size;
}

/* What there is to say of the text, beside its size: of a piece of a file, of which and where. */
static void describe(const struct call *c, struct msg *m)
{
    if (c->flags & CALL_SPILLED) m->e |= c->size << 8;
    if (c->tool != TOOL_READ || c->flags & CALL_IS_ERROR) return;
    m->b = EVENT_B(EV_USER_TOOL_RESULT, TOOL_READ, 0, c->file);
    m->e |= (uint64_t)TOOL_PIECE_OFFSET(c->size) << 8;
}

static void post(struct runner *r, uint32_t id, struct call *c, struct outbox *out)
{
    const struct slot *s = runner_slot_of(r, c);
    uint64_t chars = result_chars(r, c);
    uint64_t flags =
        c->flags & (EVENT_IS_ERROR | EVENT_SPILLED | EVENT_CORRUPT | EVENT_REFUSED | EVENT_FOREIGN);
    struct msg m = {
        .kind = M_EVENTS_SEND, .a = s->session, .b = EV_USER_TOOL_RESULT, .c = c->id, .d = chars, .e = flags};

    describe(c, &m);
    m.bytes = 450 + (uint32_t)(chars < INT32_MAX ? chars : INT32_MAX);
    c->state = CALL_POSTING;
    c->flow = request_open(out, ADDR(ROLE_ORCHESTRATOR, 0), id, m);
}

static void answer(struct runner *r, uint32_t id, struct call *c, nsec_t now, struct outbox *out)
{
    sandbox_release(r, c, now, false);
    mark(r, c, MARK_RESULT_SENT, now);
    if (c->tool == TOOL_READ) c->file = (uint32_t)(c->arg >> 32);
    c->arg = now;
    c->attempts = 0;
    c->entry = recorder_open(runner_recorder(r), ACCOUNT_RESULT);
    post(r, id, c, out);
}

static void answer_error(struct runner *r, uint32_t id, struct call *c, nsec_t now, struct outbox *out)
{
    c->flags = (uint8_t)((c->flags | CALL_IS_ERROR) & ~CALL_SPILLED);
    c->size = RESULT_ERROR_CHARS;
    answer(r, id, c, now, out);
}

static void post_over(struct runner *r, struct call *c, nsec_t now, enum ledger_end end)
{
    if (end == LEDGER_COMPLETED) recorder_record(runner_recorder(r), METRIC_RESULT_POST, now - c->arg);
    recorder_end(runner_recorder(r), ACCOUNT_RESULT, c->entry, end);
    call_done(r, c);
}

/* Tried again for as long as the lease may last. */
static void post_again(struct runner *r, uint32_t id, struct call *c, nsec_t now, nsec_t retry_after,
                       struct outbox *out)
{
    const struct slot *s = runner_slot_of(r, c);
    struct prng p = prng_derive(r->retry_key, mix64_chain(s->session, c->seq), c->attempts);
    nsec_t left = nsec_sub0(nsec_add(c->arg, s->worker.ttl_ns), now);
    nsec_t wait = backoff_wait_at_least(&worker_result_backoff, c->attempts, retry_after, &p);

    if (left == 0) {
        post_over(r, c, now, LEDGER_FAILED);
        return;
    }
    if (c->attempts < UINT8_MAX) c->attempts++;
    recorder_count(runner_recorder(r), COUNTER_RETRIES, 1);
    c->state = CALL_POST_WAIT;
    timer_set(out, nsec_add(now, nsec_min(wait, left)), RUNNER_TOKEN(RUNNER_TIMER_CALL, id));
}

static void post_answered(struct runner *r, uint32_t id, struct call *c, nsec_t now, const struct event *ev,
                          struct outbox *out)
{
    bool ok = ev->msg.type != MSG_RESET && ev->msg.kind == M_OK;
    bool error = ev->msg.type != MSG_RESET && ev->msg.kind == M_ERROR;

    request_over(out, ev, &c->flow);
    if (ok)
        post_over(r, c, now, LEDGER_COMPLETED);
    else if (error && status_is_final(ev->msg.a))
        post_over(r, c, now, LEDGER_FAILED);
    else
        post_again(r, id, c, now, error ? ev->msg.c : 0, out);
}

/* Files
 * ----------------------------------------------------------------------------------------------------------
 */

static void file_request(struct runner *r, uint32_t id, struct call *c, struct msg m, struct outbox *out)
{
    c->state = CALL_FILE;
    c->flow = request_open(out, disk_of(r), id, m);
}

static void file_write(struct runner *r, uint32_t id, struct call *c, uint64_t file, struct outbox *out)
{
    struct slot *s = runner_slot_of(r, c);
    struct msg m = {
        .kind = M_FILE_WRITE, .a = file, .b = c->size, .c = s->session, .d = c->tool == TOOL_WRITE};

    s->has_files = true;
    file_request(r, id, c, m, out);
}

static void file_read(struct runner *r, uint32_t id, struct call *c, struct outbox *out)
{
    struct msg m = {
        .kind = M_FILE_READ, .a = c->arg, .b = TOOL_PIECE_OFFSET(c->size), .c = TOOL_PIECE_LENGTH(c->size)};

    file_request(r, id, c, m, out);
}

static void spill_begin(struct runner *r, uint32_t id, struct call *c, nsec_t now, struct outbox *out)
{
    c->arg = now;
    c->flags |= CALL_SPILLED;
    c->entry = recorder_open(runner_recorder(r), ACCOUNT_SPILL);
    file_write(r, id, c, c->id, out);
}

static void spill_over(struct runner *r, uint32_t id, struct call *c, nsec_t now, bool ok, struct outbox *out)
{
    struct recorder *rec = runner_recorder(r);

    recorder_end(rec, ACCOUNT_SPILL, c->entry, ok ? LEDGER_COMPLETED : LEDGER_FAILED);
    if (!ok) {
        answer_error(r, id, c, now, out);
        return;
    }
    recorder_record(rec, METRIC_SPILL_WRITE, now - c->arg);
    recorder_count(rec, COUNTER_SPILLED_RESULTS, 1);
    recorder_count(rec, COUNTER_SPILLED_BYTES, c->size);
    mark(r, c, MARK_SPILL_DONE, now);
    answer(r, id, c, now, out);
}

static void read_over(struct runner *r, uint32_t id, struct call *c, nsec_t now, const struct msg *m,
                      struct outbox *out)
{
    c->size = TOOL_PIECE(TOOL_PIECE_OFFSET(c->size), m->a);
    if (m->b) {
        c->flags |= CALL_CORRUPT;
        recorder_count(runner_recorder(r), COUNTER_HASH_MISMATCHES, 1);
    }
    answer(r, id, c, now, out);
}

static void file_answered(struct runner *r, uint32_t id, struct call *c, nsec_t now, const struct event *ev,
                          struct outbox *out)
{
    bool ok = ev->msg.type != MSG_RESET && ev->msg.kind == M_OK;

    request_over(out, ev, &c->flow);
    if (c->tool == TOOL_BASH) {
        spill_over(r, id, c, now, ok, out);
        return;
    }
    mark(r, c, c->tool == TOOL_WRITE ? MARK_SPILL_DONE : MARK_EXEC_DONE, now);
    if (!ok) {
        answer_error(r, id, c, now, out);
    } else if (c->tool == TOOL_READ) {
        read_over(r, id, c, now, &ev->msg, out);
    } else {
        c->size = RESULT_WRITE_CHARS;
        answer(r, id, c, now, out);
    }
}

/* Execution
 * ------------------------------------------------------------------------------------------------------ */

static void bash_done(struct runner *r, uint32_t id, struct call *c, nsec_t now, struct outbox *out)
{
    mark(r, c, MARK_EXEC_DONE, now);
    if (c->flags & CALL_TIMED_OUT) {
        recorder_count(runner_recorder(r), COUNTER_TIMEOUTS, 1);
        answer_error(r, id, c, now, out);
    } else if (c->size > runner_plan(r)->orchestrator.spill_threshold_chars) {
        spill_begin(r, id, c, now, out);
    } else {
        answer(r, id, c, now, out);
    }
}

static void bash_begin(struct runner *r, uint32_t id, struct call *c, nsec_t now, struct outbox *out)
{
    nsec_t takes = nsec_min(c->arg, r->plan->tool_timeout_ns);

    if (takes < c->arg) c->flags |= CALL_TIMED_OUT;
    c->state = CALL_RUNNING;
    timer_set(out, nsec_add(now, takes), RUNNER_TOKEN(RUNNER_TIMER_CALL, id));
}

/* A sandbox is there. */
static void run(struct runner *r, uint32_t id, struct call *c, nsec_t now, struct outbox *out)
{
    switch (c->tool) {
    case TOOL_BASH: bash_begin(r, id, c, now, out); break;
    case TOOL_WRITE: file_write(r, id, c, c->arg, out); break;
    case TOOL_READ: file_read(r, id, c, out); break;
    default: /* a tool, or a command, that somebody would have to run in earnest */
        c->flags |= CALL_FOREIGN;
        answer_error(r, id, c, now, out);
    }
}

static void shed(struct runner *r, uint32_t id, struct call *c, nsec_t now, struct outbox *out)
{
    struct recorder *rec = runner_recorder(r);

    recorder_end(rec, ACCOUNT_SANDBOX, recorder_open(rec, ACCOUNT_SANDBOX), LEDGER_SHED);
    recorder_count(rec, COUNTER_REQUESTS_SHED, 1);
    c->flags |= CALL_REFUSED;
    answer_error(r, id, c, now, out);
}

static void own_sandbox(struct runner *r, uint32_t id, struct call *c, nsec_t now, struct outbox *out)
{
    struct slot *s = runner_slot_of(r, c);
    struct sandbox_request request = {
        .owner = &s->owner, .user = id, .entity = mix64_chain(s->session, c->seq)};

    switch (sandbox_pool_request(r->sandboxes, now, &request, &c->use)) {
    case SANDBOX_STARTING: runner_call_sandbox_started(r, c); break;
    case SANDBOX_WAITING: break;
    case SANDBOX_SHED: shed(r, id, c, now, out); break;
    }
}

static void session_sandbox(struct runner *r, uint32_t id, struct call *c, nsec_t now, struct outbox *out)
{
    struct slot *s = runner_slot_of(r, c);
    struct sandbox_request request = {
        .owner = &s->owner, .user = TAG(TAG_MAIN, s->number), .entity = mix64_chain(s->session, UINT64_MAX)};

    if (s->use) {
        if (s->sandbox_ready) run(r, id, c, now, out);
        return;
    }
    switch (sandbox_pool_request(r->sandboxes, now, &request, &s->use)) {
    case SANDBOX_STARTING:
        s->sandbox_entry = recorder_open(runner_recorder(r), ACCOUNT_SANDBOX);
        s->sandbox_billed = true;
        break;
    case SANDBOX_WAITING: break;
    case SANDBOX_SHED: shed(r, id, c, now, out); break;
    }
}

void runner_call_begin(struct runner *r, uint32_t id, struct call *c, nsec_t now, struct outbox *out)
{
    ASSERT(c->state == CALL_HELD);
    c->state = CALL_SANDBOX;
    mark(r, c, MARK_CLAIMED, now);
    if (r->plan->scope == SANDBOX_PER_CALL)
        own_sandbox(r, id, c, now, out);
    else
        session_sandbox(r, id, c, now, out);
}

void runner_call_sandbox_started(struct runner *r, struct call *c)
{
    c->sandbox_entry = recorder_open(runner_recorder(r), ACCOUNT_SANDBOX);
    c->flags |= CALL_BILLED;
}

void runner_call_sandbox_ready(struct runner *r, uint32_t id, struct call *c, nsec_t now, struct outbox *out)
{
    if (c->state != CALL_SANDBOX) return;
    mark(r, c, MARK_SANDBOX_READY, now); /* of those alone that had to wait: others have no such hop */
    run(r, id, c, now, out);
}

void runner_call_timer(struct runner *r, uint32_t id, struct call *c, nsec_t now, struct outbox *out)
{
    if (c->state == CALL_RUNNING)
        bash_done(r, id, c, now, out);
    else if (c->state == CALL_POST_WAIT)
        post(r, id, c, out);
}

void runner_call_message(struct runner *r, uint32_t id, struct call *c, nsec_t now, const struct event *ev,
                         struct outbox *out)
{
    if (c->flow != ev->flow || ev->msg.type == MSG_CREDIT) return;
    if (c->state == CALL_FILE)
        file_answered(r, id, c, now, ev, out);
    else
        post_answered(r, id, c, now, ev, out);
}

/* Ends
 * -----------------------------------------------------------------------------------------------------------
 */

void runner_call_answered(struct runner *r, struct slot *s, uint64_t id)
{
    for (uint32_t i = s->first; i;) {
        struct call *c = slab_get_unchecked(&r->calls, i);

        if (c->id == id) {
            if (c->state == CALL_HELD) call_done(r, c);
            return;
        }
        i = c->next;
    }
}

static void entries_end(struct runner *r, struct call *c, enum ledger_end end)
{
    struct recorder *rec = runner_recorder(r);

    if (c->state == CALL_POSTING || c->state == CALL_POST_WAIT)
        recorder_end(rec, ACCOUNT_RESULT, c->entry, end);
    if (c->state == CALL_FILE && c->tool == TOOL_BASH) recorder_end(rec, ACCOUNT_SPILL, c->entry, end);
}

void runner_calls_drop(struct runner *r, struct slot *s, nsec_t now, bool lost, struct outbox *out)
{
    while (s->first) {
        uint32_t id = s->first;
        struct call *c = slab_get_unchecked(&r->calls, id);

        entries_end(r, c, LEDGER_LOST);
        request_cancel(out, &c->flow);
        sandbox_release(r, c, now, lost);
        s->first = c->next;
        slab_free(&r->calls, id);
    }
    s->last = s->open = 0;
}

void runner_calls_end(struct runner *r, struct slot *s, enum ledger_end end)
{
    for (uint32_t id = s->first; id;) {
        struct call *c = slab_get_unchecked(&r->calls, id);

        entries_end(r, c, end);
        if (c->flags & CALL_BILLED) recorder_end(runner_recorder(r), ACCOUNT_SANDBOX, c->sandbox_entry, end);
        id = c->next;
    }
}
