/*
 * One component alone in a world, whose peers the test plays by hand: it looks for the requests that the
 * component made, in any order, answers them, and lets time pass.
 */
#pragma once

#include "tests/base/suite.h"

#include "sim/base/panic.h"
#include "sim/base/vec.h"
#include "sim/record/recorder.h"
#include "sim/world/limits.h"
#include "sim/world/world.h"

#define S  NSEC_PER_S
#define MS NSEC_PER_MS

struct hand_timer {
    nsec_t at;
    uint64_t token;
};

struct hand {
    struct plan plan;
    struct plan_load loads[2];
    struct plan_script script;
    struct plan_turn turns[3];
    struct plan_runner runner;
    struct plan_fault fault;
    struct recorder *recorder;
    struct world *world;
    struct effects effects;
    addr_t self;
    nsec_t now;
    VEC(struct effect) seen; /* opens, sends, done; type 0: looked at */
    VEC(struct hand_timer) timers;
    uint32_t timers_fired;
};

/* A plan with one session a second, of two turns, and one runner with two workers; to be changed before
 * hand_start(). */
static inline struct hand *hand_new(void)
{
    struct hand *h = calloc(1, sizeof *h);

    ASSERT(h);
    vec_init(&h->seen, 1000000);
    vec_init(&h->timers, 1000000);
    h->loads[0] = (struct plan_load){.name = "load",
                                     .process = ARRIVAL_AT_ONCE,
                                     .sessions = 1,
                                     .start_ns = 1 * S,
                                     .patience_ns = 3600 * S};
    for (int i = 0; i < 3; i++)
        h->turns[i] =
            (struct plan_turn){.think_ns = dist_constant((uint64_t)i * 10 * S), .message_bytes = 100};
    h->script = (struct plan_script){.name = "script", .turns = h->turns, .turn_count = 2, .calls_max = 60};
    h->runner = (struct plan_runner){.name = "pool",
                                     .instances = 1,
                                     .workers = 1,
                                     .poll_block_ns = 999 * MS,
                                     .poll_pause_min_ns = 1 * S,
                                     .poll_pause_max_ns = 3 * S,
                                     .max_idle_ns = 60 * S,
                                     .tool_timeout_ns = 120 * S,
                                     .cold_start_ns = dist_constant(2 * S),
                                     .warm_start_ns = dist_constant(100 * MS),
                                     .limit_queue_max = 100};
    h->plan = (struct plan){
        .seed = 1,
        .duration_ns = 1000 * S,
        .loads = h->loads,
        .load_count = 1,
        .scripts = &h->script,
        .script_count = 1,
        .runners = &h->runner,
        .runner_count = 1,
        .faults = &h->fault,
        .orchestrator = {.sessions_max = 100, .spill_threshold_chars = 100000, .preview_chars = 2000},
        .spans_max = 1000,
        .span_sample_every = 1};
    return h;
}

static inline void hand_take(struct hand *h)
{
    for (size_t i = 0; i < h->effects.count; i++) {
        const struct effect *ef = &h->effects.items[i];

        if (ef->type == EFFECT_TIMER)
            ASSERT(vec_push(&h->timers, (struct hand_timer){ef->at, ef->token}) == 0);
        else
            ASSERT(vec_push(&h->seen, *ef) == 0);
    }
    h->effects.count = 0;
    world_settle(h->world, NULL, NULL);
}

static inline void hand_event(struct hand *h, enum event_type type)
{
    struct event ev = {.type = (uint8_t)type, .self = h->self};

    world_handle(h->world, h->now, &ev, &h->effects);
    if (type == EVENT_END || type == EVENT_CRASH) h->effects.count = 0;
    hand_take(h);
}

static inline void hand_start(struct hand *h, addr_t self)
{
    static const struct component_ops *const roles[ROLE_COUNT] = {
        [ROLE_RUNNER] = &runner_ops, [ROLE_CLIENT] = &client_ops};
    struct world_options opts = {.plan = &h->plan, .roles = roles, .flows_max = 100000};
    struct recorder_options rec = recorder_options_of(&h->plan);

    ASSERT(recorder_new(&rec, &h->recorder) == 0);
    ASSERT(world_new(&opts, &h->world) == 0);
    ASSERT(world_add(h->world, self, h->recorder, 0) == 0);
    h->self = self;
    hand_event(h, EVENT_START);
}

/* Ends the run by `last`, EVENT_END or EVENT_CRASH: the ledger must balance. */
static inline void hand_end(struct hand *h, enum event_type last)
{
    hand_event(h, last);
    ck_assert(ledger_balanced(recorder_ledger(h->recorder)));
    world_free(h->world);
    effects_deinit(&h->effects);
    recorder_free(h->recorder);
    vec_deinit(&h->seen);
    vec_deinit(&h->timers);
    free(h);
}

static inline void hand_msg(struct hand *h, uint32_t flow, enum msg_type type, struct msg m)
{
    struct flow_view v = world_flow(h->world, flow);
    struct event ev = {.type = EVENT_MSG, .self = h->self, .flow = flow, .tag = v.tag, .msg = m};

    ev.msg.type = (uint8_t)type;
    world_handle(h->world, h->now, &ev, &h->effects);
    hand_take(h);
}

/* The whole answer. */
static inline void hand_answer(struct hand *h, uint32_t flow, struct msg m)
{
    m.flags |= MSG_LAST;
    hand_msg(h, flow, MSG_OPEN, m);
}
static inline void hand_error(struct hand *h, uint32_t flow, uint32_t status)
{
    hand_answer(h, flow, (struct msg){.kind = M_ERROR, .a = status});
}
static inline void hand_reset(struct hand *h, uint32_t flow)
{
    hand_msg(h, flow, MSG_RESET, (struct msg){.a = RESET_CUT});
}

/* Lets time pass until `at`, with the timers that come due. */
static inline void hand_until(struct hand *h, nsec_t at)
{
    for (;;) {
        struct event ev = {.type = EVENT_TIMER, .self = h->self};
        struct hand_timer *first = NULL;

        vec_for_each(t, &h->timers)
        {
            if (t->at <= at && (!first || t->at < first->at)) first = t;
        }
        if (!first) break;
        h->now = nsec_max(h->now, first->at);
        ev.token = first->token;
        *first = vec_pop(&h->timers);
        h->timers_fired++;
        world_handle(h->world, h->now, &ev, &h->effects);
        hand_take(h);
    }
    h->now = at;
}

/* Whether the component made a request of this kind that was not looked at; then it is. */
static inline bool hand_asked(struct hand *h, enum msg_kind kind, struct effect *ret_open)
{
    vec_for_each(ef, &h->seen)
    {
        if (ef->type != EFFECT_OPEN || ef->msg.kind != kind) continue;
        if (ret_open) *ret_open = *ef;
        ef->type = 0;
        return true;
    }
    return false;
}

/* The first request of this kind that was not looked at: it must be there. */
static inline struct effect hand_request(struct hand *h, enum msg_kind kind)
{
    struct effect open = {0};

    ck_assert_msg(hand_asked(h, kind, &open), "no request %s", msg_kind_name(kind));
    return open;
}
static inline void hand_no_request(struct hand *h, enum msg_kind kind)
{
    ck_assert_msg(!hand_asked(h, kind, NULL), "a request %s", msg_kind_name(kind));
}

/* Lets time pass until there is such a request, at most until `at`. */
static inline struct effect hand_wait(struct hand *h, enum msg_kind kind, nsec_t at)
{
    struct effect open = {0};

    while (!hand_asked(h, kind, &open)) {
        nsec_t next = NSEC_MAX;

        vec_for_each(t, &h->timers) next = nsec_min(next, t->at);
        ck_assert_msg(next <= at, "no request %s", msg_kind_name(kind));
        hand_until(h, nsec_max(next, h->now));
    }
    return open;
}

/* Whether a message of this type was sent on the flow since the last look, which ends all before it too. */
static inline bool hand_sent(struct hand *h, uint32_t flow, enum msg_type type, struct msg *ret_msg)
{
    vec_for_each(ef, &h->seen)
    {
        if (ef->type != EFFECT_SEND || ef->flow != flow || ef->msg.type != type) continue;
        if (ret_msg) *ret_msg = ef->msg;
        ef->type = 0;
        return true;
    }
    return false;
}

static inline bool hand_done(struct hand *h)
{
    vec_for_each(ef, &h->seen)
    {
        if (ef->type == EFFECT_DONE) return true;
    }
    return false;
}

/* An event on a stream or in a list. */
static inline void hand_session_event(struct hand *h, uint32_t flow, enum event_kind kind, uint32_t seq,
                                      uint64_t c, uint32_t flags)
{
    struct msg m = {.kind = M_EVENT,
                    .flags = (uint8_t)flags,
                    .bytes = 350,
                    .a = 1000 + seq,
                    .b = EVENT_B(kind, 0, 0, seq),
                    .c = c,
                    .e = h->now};

    hand_msg(h, flow, MSG_DATA, m);
}

static inline struct ledger_totals hand_totals(const struct hand *h, enum account account)
{
    struct ledger_totals totals;

    ledger_totals(recorder_ledger(h->recorder), account, &totals);
    return totals;
}
static inline uint64_t hand_count(const struct hand *h, enum counter counter)
{
    return recorder_counter(h->recorder, counter);
}
/* How often a moment of a call was marked. */
static inline unsigned hand_marked(const struct hand *h, uint64_t call_id, enum mark mark)
{
    struct span_source source = span_buffer_source(recorder_spans(h->recorder));
    unsigned n = 0;

    for (size_t i = 0; i < source.n_marks; i++)
        n += source.marks[i].call_id == call_id && source.marks[i].mark == (uint32_t)mark;
    return n;
}
static inline const struct histogram *hand_metric(const struct hand *h, enum metric metric)
{
    return recorder_histogram(h->recorder, metric);
}
