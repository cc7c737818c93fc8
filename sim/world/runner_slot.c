/* A worker's own requests and their answers. */
#include "sim/base/panic.h"
#include "sim/plan/fault_rules.h"
#include "sim/world/request.h"
#include "sim/world/runner.h"

#define HISTORY_LIMIT 1000u
#define CREDIT_BATCH  16384u

static const addr_t orchestrator = ADDR(ROLE_ORCHESTRATOR, 0);

/* A worker's name: unique over runners, slots, and the lives of both. */
static uint64_t worker_id(const struct runner *r, const struct slot *s)
{
    const struct env *env = &r->component.env;
    uint64_t life = ((uint64_t)env->incarnation << 12) + s->lives;

    return (uint64_t)(ADDR_ORDINAL(env->self) + 1) << 42 | (uint64_t)s->number << 20 | (life & 0xfffff);
}

static uint32_t ask(struct slot *s, enum tag_kind kind, struct msg m, struct outbox *out)
{
    m.bytes = REQUEST_BYTES;
    return request_open(out, orchestrator, TAG(kind, s->number), m);
}

/* What the worker wants
 * --------------------------------------------------------------------------------------- */

static void ask_poll(struct runner *r, struct slot *s, struct outbox *out)
{
    struct msg m = {.kind = M_WORK_POLL, .a = r->pool, .b = worker_id(r, s), .c = r->plan->poll_block_ns};

    recorder_count(runner_recorder(r), COUNTER_POLLS, 1);
    s->main_flow = ask(s, TAG_MAIN, m, out);
}

static void ask_beat(struct runner *r, struct slot *s, struct outbox *out)
{
    struct msg m = {.kind = M_WORK_HEARTBEAT, .a = s->item, .b = s->worker.beat_last};

    recorder_count(runner_recorder(r), COUNTER_HEARTBEATS, 1);
    s->beat_flow = ask(s, TAG_BEAT, m, out);
}

static void ask_history(struct slot *s, struct outbox *out)
{
    struct msg m = {.kind = M_EVENTS_LIST, .a = s->session, .b = s->history_cursor, .c = HISTORY_LIMIT};

    s->history_flow = ask(s, TAG_READER, m, out);
}

static void reader_cut(struct slot *s, struct outbox *out)
{
    request_cancel(out, &s->history_flow);
    request_cancel(out, &s->stream_flow);
    s->credit = 0;
}

static void sandbox_end(struct runner *r, struct slot *s, nsec_t now, bool lost)
{
    if (!s->use) return;
    if (lost)
        sandbox_pool_lose(r->sandboxes, now, s->use);
    else
        sandbox_pool_release(r->sandboxes, now, s->use);
    if (s->sandbox_billed)
        recorder_end(runner_recorder(r), ACCOUNT_SANDBOX, s->sandbox_entry,
                     lost ? LEDGER_LOST : LEDGER_COMPLETED);
    s->use = 0;
    s->sandbox_billed = s->sandbox_ready = false;
}

/* The session's files go with its last slot here: one whose lease was lost may have served it until now
 * beside another, which has files of its own. */
static void files_drop(struct runner *r, struct slot *s, struct outbox *out)
{
    addr_t disk = ADDR(ROLE_DISK, ADDR_ORDINAL(r->component.env.self));

    if (!s->has_files) return;
    s->has_files = false;
    for (uint32_t i = 0; i < r->plan->workers; i++)
        if (r->slots[i].has_files && r->slots[i].session == s->session) return;
    /* Nobody waits for the answer: its tag is no call's. */
    request_open(out, disk, 0, (struct msg){.kind = M_FILES_DROP, .a = s->session});
}

/* The item is left, or (`lost`) the worker died: all flows and calls end, the sandbox is given back or lost.
 */
static void slot_drop(struct runner *r, struct slot *s, nsec_t now, bool lost, struct outbox *out)
{
    request_cancel(out, &s->main_flow);
    request_cancel(out, &s->beat_flow);
    reader_cut(s, out);
    runner_calls_drop(r, s, now, lost, out);
    sandbox_end(r, s, now, lost);
    files_drop(r, s, out);
    s->settled = 0;
}

static void vanish(struct runner *r, struct slot *s, nsec_t now, struct outbox *out)
{
    slot_drop(r, s, now, true, out);
    s->lives++;
}

static void leave(struct runner *r, struct slot *s, nsec_t now, struct outbox *out)
{
    if (s->worker.lost) recorder_count(runner_recorder(r), COUNTER_LEASE_LOST, 1);
    slot_drop(r, s, now, false, out);
}

static void perform(struct runner *r, struct slot *s, nsec_t now, enum worker_action action,
                    struct outbox *out)
{
    switch (action) {
    case WORKER_NOTHING: break;
    case WORKER_POLL: ask_poll(r, s, out); break;
    case WORKER_ACK:
        s->main_flow = ask(s, TAG_MAIN, (struct msg){.kind = M_WORK_ACK, .a = s->item}, out);
        break;
    case WORKER_FETCH:
        s->main_flow = ask(s, TAG_MAIN, (struct msg){.kind = M_SESSION_GET, .a = s->session}, out);
        break;
    case WORKER_STOP_ITEM:
        s->main_flow = ask(s, TAG_MAIN, (struct msg){.kind = M_WORK_STOP, .a = s->item, .b = 1}, out);
        break;
    case WORKER_BEAT: ask_beat(r, s, out); break;
    case WORKER_OPEN_STREAM:
        s->stream_flow = ask(s, TAG_READER, (struct msg){.kind = M_STREAM, .a = s->session}, out);
        break;
    case WORKER_READ_HISTORY:
        s->history_cursor = 0;
        s->history_idle = false;
        ask_history(s, out);
        break;
    case WORKER_CUT_REQUEST: request_cancel(out, &s->main_flow); break;
    case WORKER_CUT_BEAT: request_cancel(out, &s->beat_flow); break;
    case WORKER_CUT_STREAM: reader_cut(s, out); break;
    case WORKER_LEAVE: leave(r, s, now, out); break;
    case WORKER_VANISH: vanish(r, s, now, out); break;
    }
}

void runner_slot_run(struct runner *r, struct slot *s, nsec_t now, struct outbox *out)
{
    enum worker_action action;
    nsec_t deadline;

    do {
        worker_calls(&s->worker, s->open);
        action = worker_next(&s->worker, now);
        perform(r, s, now, action, out);
    } while (action != WORKER_NOTHING);
    deadline = worker_deadline(&s->worker);
    if (wakeup_want(&s->wakeup, deadline))
        timer_set(out, deadline, RUNNER_TOKEN(RUNNER_TIMER_SLOT, s->number));
}

/* Answers on the main line
 * ------------------------------------------------------------------------------------- */

static void crash_by_fault(struct runner *r, struct slot *s, nsec_t now)
{
    const struct plan *plan = runner_plan(r);
    addr_t self = r->component.env.self;

    for (uint32_t i = 0; i < plan->fault_count && plan->faults[i].at_ns <= now; i++) {
        const struct plan_fault *f = &plan->faults[i];

        if (f->kind != FAULT_WORKER_CRASH || !fault_hits(f, self) || r->crashes_left[i] == 0) continue;
        r->crashes_left[i]--;
        worker_crash(&s->worker, nsec_add(now, f->delay_ns));
        return;
    }
}

static bool poll_answered(struct runner *r, struct slot *s, nsec_t now, const struct msg *m)
{
    if (m->kind == M_NO_WORK) {
        recorder_count(runner_recorder(r), COUNTER_POLLS_EMPTY, 1);
        worker_on_no_work(&s->worker, now);
        return true;
    }
    if (m->kind != M_WORK) return false;
    s->item = m->a;
    s->session = m->b;
    worker_on_work(&s->worker, now);
    return true;
}

static bool ack_answered(struct runner *r, struct slot *s, nsec_t now, const struct msg *m)
{
    if (m->kind != M_WORK && m->kind != M_OK) return false;
    worker_on_ack(&s->worker, now, HEARTBEAT_NONE);
    crash_by_fault(r, s, now);
    return true;
}

static bool fetch_answered(struct slot *s, nsec_t now, const struct msg *m)
{
    if (m->kind != M_SESSION) return false;
    worker_on_session(&s->worker, now, m->b == SESSION_TERMINATED);
    return true;
}

static bool stop_answered(struct slot *s, nsec_t now, const struct msg *m)
{
    bool stopped_before = m->kind == M_ERROR && m->a == 409;

    if (m->kind != M_WORK && m->kind != M_OK && !stopped_before) return false;
    worker_on_item_stopped(&s->worker, now);
    return true;
}

/* False: it is no answer to what was asked. */
static bool answered(struct runner *r, struct slot *s, nsec_t now, const struct msg *m)
{
    switch (s->worker.state) {
    case WORKER_POLLING: return poll_answered(r, s, now, m);
    case WORKER_ACKING: return ack_answered(r, s, now, m);
    case WORKER_FETCHING: return fetch_answered(s, now, m);
    case WORKER_STOPPING: return stop_answered(s, now, m);
    default: return false;
    }
}

static void main_message(struct runner *r, struct slot *s, nsec_t now, const struct event *ev,
                         struct outbox *out)
{
    const struct msg *m = &ev->msg;
    struct worker_failure failure = {0};

    request_over(out, ev, &s->main_flow);
    if (m->type != MSG_RESET && answered(r, s, now, m)) return;
    if (m->type != MSG_RESET && m->kind == M_ERROR)
        failure = (struct worker_failure){.final = status_is_final(m->a), .retry_after_ns = m->c};
    else if (m->type != MSG_RESET)
        recorder_count(runner_recorder(r), COUNTER_PROTOCOL_VIOLATIONS, 1);
    worker_on_failure(&s->worker, now, &failure);
}

static void beat_message(struct runner *r, struct slot *s, nsec_t now, const struct event *ev,
                         struct outbox *out)
{
    const struct msg *m = &ev->msg;
    bool reset = m->type == MSG_RESET;

    request_over(out, ev, &s->beat_flow);
    if (!reset && m->kind == M_HEARTBEAT) {
        struct worker_beat beat = {.last = m->a,
                                   .ttl_ns = m->b,
                                   .extended = m->d != 0,
                                   .stopping = m->c == WORK_STOPPING || m->c == WORK_STOPPED};
        worker_on_beat(&s->worker, now, &beat);
    } else if (!reset && m->kind == M_HEARTBEAT_MISMATCH) {
        worker_on_beat_mismatch(&s->worker);
    } else {
        worker_on_beat_failure(&s->worker, now, !reset && m->kind == M_ERROR && status_is_final(m->a));
    }
}

/* Stream and history
 * -------------------------------------------------------------------------------------------- */

/* An event is whole with the first message that has nothing more to come; M_BODY repeats what the head said.
 */
static bool event_is_whole(const struct msg *m)
{
    return (m->kind == M_EVENT || m->kind == M_BODY) && !(m->flags & MSG_UNFINISHED);
}

static void stream_credit(struct slot *s, uint32_t bytes, struct outbox *out)
{
    s->credit += bytes;
    if (s->credit < CREDIT_BATCH) return;
    flow_credit(out, s->stream_flow, s->credit);
    s->credit = 0;
}

static void stream_message(struct runner *r, struct slot *s, nsec_t now, const struct event *ev,
                           struct outbox *out)
{
    const struct msg *m = &ev->msg;
    bool refused = m->type == MSG_OPEN && m->kind == M_ERROR;
    bool over = m->type == MSG_RESET || m->flags & MSG_LAST || refused;

    if (m->type == MSG_OPEN && m->kind == M_OK) worker_on_stream(&s->worker, now);
    if (m->type == MSG_DATA && event_is_whole(m)) runner_session_event(r, s, now, m, true, out);
    if (!over) {
        stream_credit(s, m->bytes, out);
        return;
    }
    request_over(out, ev, &s->stream_flow);
    reader_cut(s, out);
    worker_on_stream_lost(&s->worker, now, refused && status_is_final(m->a));
}

static void history_page_read(struct runner *r, struct slot *s, nsec_t now, struct outbox *out)
{
    if (s->history_cursor)
        ask_history(s, out);
    else
        runner_history_read(r, s, now, out);
}

static void history_message(struct runner *r, struct slot *s, nsec_t now, const struct event *ev,
                            struct outbox *out)
{
    const struct msg *m = &ev->msg;
    bool last = m->type != MSG_RESET && m->flags & MSG_LAST;

    if (m->type == MSG_RESET || (m->type == MSG_OPEN && m->kind != M_OK)) {
        request_over(out, ev, &s->history_flow);
        worker_on_history_failure(&s->worker, now);
        return;
    }
    if (m->type == MSG_OPEN) s->history_cursor = m->a;
    if (m->type == MSG_DATA && event_is_whole(m)) runner_session_event(r, s, now, m, false, out);
    if (!last) return;
    s->history_flow = 0;
    history_page_read(r, s, now, out);
}

/* By far the most events of a session: they concern its calls alone. */
static bool is_of_calls(const struct msg *m)
{
    enum event_kind kind = EVENT_KIND(m->b);

    return m->type == MSG_DATA && !(m->flags & MSG_LAST) && event_is_whole(m) &&
           (kind == EV_AGENT_TOOL_USE || kind == EV_USER_TOOL_RESULT);
}

bool runner_slot_message(struct runner *r, struct slot *s, nsec_t now, const struct event *ev,
                         struct outbox *out)
{
    if (ev->msg.type == MSG_CREDIT) return false;
    if (ev->flow == s->main_flow)
        main_message(r, s, now, ev, out);
    else if (ev->flow == s->beat_flow)
        beat_message(r, s, now, ev, out);
    else if (ev->flow == s->stream_flow)
        stream_message(r, s, now, ev, out);
    else if (ev->flow == s->history_flow)
        history_message(r, s, now, ev, out);
    return !is_of_calls(&ev->msg);
}
