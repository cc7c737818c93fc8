/*
 * A world of puppets: each component does at set times what the test wrote down, answers what asks for it,
 * and otherwise only listens. What arrives where, and when, is all that is looked at.
 *
 * This header defines the components of all roles: they take the place of those in the library.
 */
#pragma once

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/panic.h"
#include "sim/record/recorder.h"
#include "sim/virtual/engine.h"
#include "sim/world/limits.h"
#include "sim/world/world.h"

#define S  NSEC_PER_S
#define MS NSEC_PER_MS
#define US NSEC_PER_US

#define ACTS_MAX  600
#define SEEN_MAX  4000
#define FLOWS_MAX 600

/* Who plays. */
#define CLIENT       ADDR(ROLE_CLIENT, 0)
#define ORCHESTRATOR ADDR(ROLE_ORCHESTRATOR, 0)
#define EDGE         ADDR(ROLE_EDGE, 0)
#define CONNECTOR(n) ADDR(ROLE_CONNECTOR, n)
#define RUNNER(n)    ADDR(ROLE_RUNNER, n)

enum act_kind { ACT_OPEN, ACT_ANSWER, ACT_DATA, ACT_RESET, ACT_TIMER };

/* A flow is known by a number that the test gives it, at both ends; it is the `e` of all its messages. A
 * message is known by its `a`. An OPEN whose `b` is REPLY is answered at once, with MSG_LAST. */
#define REPLY 1
struct act {
    addr_t self;
    nsec_t at;
    enum act_kind kind;
    uint32_t flow;
    uint64_t a; /* 0: messages are numbered from 1, as they are sent */
    uint32_t bytes;
    bool last;
    bool reply;   /* OPEN */
    addr_t to;    /* OPEN */
    uint32_t via; /* OPEN: the carrier's number, or 0 */
    nsec_t timer; /* TIMER: when; its token is `a` */
};

/* An event, as the engine handed it to a component. */
struct seen {
    nsec_t at;
    addr_t self;
    uint8_t type, msg_type;
    uint64_t a; /* of messages and RESETs (the cause); of timers the token */
    uint32_t flow;
};

static struct stage {
    struct plan plan;
    struct plan_mcp mcp[1];
    struct plan_runner runner[1];
    struct plan_fault faults[8];
    struct act acts[ACTS_MAX];
    uint32_t act_count;
    struct seen seen[SEEN_MAX];
    uint32_t seen_count;
    uint32_t incarnations[ROLE_COUNT]; /* of number 0 of each role */
    uint64_t numbered;                 /* messages without a number of the test's */
    struct recorder *recorder;
    struct engine_options options;
    struct engine_result result;
} stage;

struct puppet {
    struct component base;
    uint32_t flows[FLOWS_MAX]; /* by the test's number */
};

/* The test's acts have even tokens below this; its timers have theirs above. */
#define TOKEN_ACT_MAX 1000000u

static void puppet_act(struct puppet *p, const struct act *act, struct outbox *out)
{
    struct msg m = {.kind = M_EVENT,
                    .flags = act->last ? MSG_LAST : 0,
                    .bytes = act->bytes,
                    .a = act->a ? act->a : ++stage.numbered,
                    .b = act->reply ? REPLY : 0,
                    .e = act->flow};
    uint32_t *flow = &p->flows[act->flow];

    switch (act->kind) {
    case ACT_OPEN: *flow = flow_open(out, act->to, p->flows[act->via], act->flow, m); break;
    case ACT_ANSWER: flow_answer(out, *flow, m); break;
    case ACT_DATA: flow_data(out, *flow, m); break;
    case ACT_RESET: flow_reset(out, *flow, (enum reset_cause)act->a); break;
    case ACT_TIMER: timer_set(out, act->timer, TOKEN_ACT_MAX + act->a); break;
    }
}

static void puppet_message(struct puppet *p, const struct event *ev, struct outbox *out)
{
    const struct msg *m = &ev->msg;

    if (m->type != MSG_OPEN || !ev->from) return;
    p->flows[m->e] = ev->flow;
    flow_tag(out, ev->flow, (uint32_t)m->e);
    if (m->b == REPLY)
        flow_answer(out, ev->flow, (struct msg){.kind = M_OK, .flags = MSG_LAST, .a = m->a, .e = m->e});
}

static void puppet_handle(struct component *base, nsec_t now, const struct event *ev, struct outbox *out)
{
    struct puppet *p = (struct puppet *)base;

    (void)now;
    if (ev->type == EVENT_START && base->env.incarnation == 0) {
        for (uint32_t i = 0; i < stage.act_count; i++)
            if (stage.acts[i].self == base->env.self) timer_set(out, stage.acts[i].at, i);
    }
    if (ev->type == EVENT_START && ADDR_ORDINAL(base->env.self) == 0)
        stage.incarnations[ADDR_ROLE(base->env.self)] = base->env.incarnation;
    if (ev->type == EVENT_TIMER && ev->token < TOKEN_ACT_MAX) puppet_act(p, &stage.acts[ev->token], out);
    if (ev->type == EVENT_MSG) puppet_message(p, ev, out);
}

static void puppet_free(struct component *base)
{
    free(base);
}

static int puppet_new(const struct env *env, struct component **ret)
{
    static const struct component_ops ops = {.new = puppet_new, .free = puppet_free, .handle = puppet_handle};
    struct puppet *p = calloc(1, sizeof *p);

    ASSERT(p);
    p->base = (struct component){.ops = &ops, .env = *env};
    *ret = &p->base;
    return 0;
}

#define PUPPET(role)                                                                                         \
    const struct component_ops role = {.new = puppet_new, .free = puppet_free, .handle = puppet_handle}
PUPPET(client_ops);
PUPPET(orchestrator_ops);
PUPPET(edge_ops);
PUPPET(connector_ops);
PUPPET(proxy_ops);
PUPPET(runner_ops);
PUPPET(mcp_ops);

static void stage_see(void *user, uint64_t number, nsec_t now, const struct event *ev)
{
    struct seen *seen = &stage.seen[stage.seen_count++];
    bool reset = ev->type == EVENT_MSG && ev->msg.type == MSG_RESET;

    (void)user, (void)number;
    ASSERT(stage.seen_count < SEEN_MAX);
    *seen = (struct seen){.at = now, .self = ev->self, .type = ev->type};
    if (ev->type == EVENT_TIMER) seen->a = ev->token;
    if (ev->type != EVENT_MSG) return;
    seen->msg_type = ev->msg.type;
    seen->a = ev->msg.a;
    seen->flow = reset ? ev->tag : (uint32_t)ev->msg.e;
}

/* A plan in which nothing costs any time, with three runners and two gateways; to be changed before
 * stage_run(). */
static inline void stage_begin(void)
{
    recorder_free(stage.recorder);
    memset(&stage, 0, sizeof stage);
    stage.mcp[0] = (struct plan_mcp){.name = "m", .concurrency = 1};
    stage.runner[0] = (struct plan_runner){.name = "r", .instances = 3, .workers = 1};
    stage.plan = (struct plan){
        .seed = 3,
        .duration_ns = 1000 * S,
        .interval_ns = 100 * S,
        .tunnels = {.count = 2, .replicas = 1, .connections = 4, .streams_max = 100},
        .mcp = stage.mcp,
        .mcp_count = 1,
        .runners = stage.runner,
        .runner_count = 1,
        .orchestrator.sessions_max = 100,
        .faults = stage.faults,
        .spans_max = 10,
        .span_sample_every = 1,
    };
    stage.options = (struct engine_options){.plan = &stage.plan, .on_event = stage_see};
}

static inline void stage_act(struct act act)
{
    ASSERT(stage.act_count < ACTS_MAX && act.flow < FLOWS_MAX);
    stage.acts[stage.act_count++] = act;
}
#define DO(...) stage_act((struct act){__VA_ARGS__})

static inline void stage_fault(struct plan_fault fault)
{
    stage.faults[stage.plan.fault_count++] = fault;
}
#define FAULT(...) stage_fault((struct plan_fault){__VA_ARGS__})

/* Runs, and makes sure that no message was lost sight of. */
static inline void stage_run(void)
{
    struct recorder_options opts = recorder_options_of(&stage.plan);
    uint32_t kind;

    recorder_free(stage.recorder);
    stage.seen_count = 0;
    stage.numbered = 0;
    ck_assert_int_eq(recorder_new(&opts, &stage.recorder), 0);
    stage.options.recorder = stage.recorder;
    ck_assert_int_eq(engine_run(&stage.options, &stage.result), 0);
    if (!flowcount_balanced(recorder_flows(stage.recorder), &kind)) ck_abort_msg("kind %u", kind);
}

/* The nth message `a` that came to `self`, from 0; or NULL. */
static inline const struct seen *seen_nth(addr_t self, uint64_t a, uint32_t n)
{
    for (uint32_t i = 0; i < stage.seen_count; i++) {
        const struct seen *s = &stage.seen[i];

        if (s->self != self || s->type != EVENT_MSG || s->msg_type == MSG_RESET || s->a != a) continue;
        if (n-- == 0) return s;
    }
    return NULL;
}

/* When message `a` came to `self`; NSEC_MAX: never. */
static inline nsec_t came(addr_t self, uint64_t a)
{
    const struct seen *s = seen_nth(self, a, 0);

    return s ? s->at : NSEC_MAX;
}

/* When, and why, the test's flow was reset at `self`; NSEC_MAX: never. */
static inline nsec_t reset_came(addr_t self, uint32_t flow, uint64_t *ret_cause)
{
    for (uint32_t i = 0; i < stage.seen_count; i++) {
        const struct seen *s = &stage.seen[i];

        if (s->self != self || s->type != EVENT_MSG || s->msg_type != MSG_RESET || s->flow != flow) continue;
        *ret_cause = s->a;
        return s->at;
    }
    return NSEC_MAX;
}

#define ASSERT_RESET(self, flow, cause, when)                                                                \
    do {                                                                                                     \
        uint64_t cause_ = 0;                                                                                 \
        ck_assert_uint_eq(reset_came(self, flow, &cause_), when);                                            \
        ck_assert_uint_eq(cause_, cause);                                                                    \
    } while (0)

/* The nth event of a type at `self`, from 0; NSEC_MAX: there were not so many. */
static inline nsec_t event_nth(addr_t self, enum event_type type, uint32_t n)
{
    for (uint32_t i = 0; i < stage.seen_count; i++) {
        if (stage.seen[i].self == self && stage.seen[i].type == type && n-- == 0) return stage.seen[i].at;
    }
    return NSEC_MAX;
}
