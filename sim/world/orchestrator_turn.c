#include "sim/base/panic.h"
#include "sim/world/orchestrator_state.h"

static uint32_t emit(struct orchestrator *o, const struct ctx *x, struct session *s, enum event_kind kind,
                     uint64_t c, uint64_t d)
{
    return session_emit(o, x, s, session_time(x), (struct log_entry){.kind = kind, .c = c, .d = d});
}

/* The model thinks for so long. */
static void model_begin(struct orchestrator *o, const struct ctx *x, struct session *s, nsec_t takes)
{
    s->model_seq = emit(o, x, s, EV_MODEL_START, 0, 0);
    s->model_until = nsec_add(x->now, takes);
    timer_set(x->out, s->model_until, TOKEN(PURPOSE_MODEL, s->ref));
}

void turn_begin(struct orchestrator *o, const struct ctx *x, struct session *s)
{
    spills_forget(o, s);
    s->quote_seq = 0;
    emit(o, x, s, EV_STATUS_RUNNING, 0, 0);
    model_begin(o, x, s, agent_turn_begin(&o->scripts, &s->loop, s->ordinal));
    work_wanted(o, x, s);
}

/* The first message that waits begins the next turn. */
static void next_turn(struct orchestrator *o, const struct ctx *x, struct session *s)
{
    struct log_entry entry;

    if (!s->pending) return;
    for (;; s->pending_seq++) {
        session_log_get(&o->logs, &s->log, s->pending_seq, &entry);
        if (entry.kind == EV_USER_MESSAGE && entry.at == 0) break;
    }
    session_log_set_at(&o->logs, &s->log, s->pending_seq, session_time(x));
    s->pending_seq++;
    s->pending--;
    turn_begin(o, x, s);
}

static void turn_over(struct orchestrator *o, const struct ctx *x, struct session *s)
{
    emit(o, x, s, EV_STATUS_IDLE, STOP_END_TURN, 0);
    next_turn(o, x, s);
}

void turn_interrupt(struct orchestrator *o, const struct ctx *x, struct session *s)
{
    if (s->loop.phase == AGENT_IDLE) return;
    if (s->loop.phase == AGENT_MODEL) emit(o, x, s, EV_MODEL_END, s->model_seq, 0);
    calls_fail_all(o, x, s);
    agent_turn_break(&s->loop);
    turn_over(o, x, s);
}

void turn_model_timer(struct orchestrator *o, const struct ctx *x, struct session *s)
{
    struct agent_calls calls;
    struct agent_call wanted;
    uint32_t bytes;

    if (s->loop.phase != AGENT_MODEL || x->now < s->model_until) return; /* of a turn that was interrupted */
    if (!agent_model_done(&o->scripts, &s->loop, s->ordinal, &calls, &bytes)) {
        emit(o, x, s, EV_AGENT_MESSAGE, s->quote_seq, bytes);
        emit(o, x, s, EV_MODEL_END, s->model_seq, 0);
        turn_over(o, x, s);
        return;
    }
    s->quote_seq = 0;
    calls_begin(x, s);
    while (agent_calls_next(&calls, &wanted)) call_issue(o, x, s, &wanted);
    emit(o, x, s, EV_MODEL_END, s->model_seq, 0);
    calls_arm(o, x, s);
    turn_advance(o, x, s);
}

void turn_advance(struct orchestrator *o, const struct ctx *x, struct session *s)
{
    if (s->loop.phase != AGENT_CALLS || calls_open(s)) return;
    model_begin(o, x, s, agent_calls_done(&o->scripts, &s->loop, s->ordinal));
}

void turn_recover(struct orchestrator *o, const struct ctx *x, struct session *s)
{
    uint32_t next;

    s->calls_armed = false;
    if (s->loop.phase == AGENT_MODEL) timer_set(x->out, s->model_until, TOKEN(PURPOSE_MODEL, s->ref));
    calls_arm(o, x, s);
    for (uint32_t ref = s->calls_first; ref; ref = next) {
        next = call_get(o, ref)->next;
        mcp_recover(o, x, ref);
    }
    turn_advance(o, x, s);
}
