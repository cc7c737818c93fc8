/*
 * A stage for one component, whose peers the test plays by hand: it opens flows to the component, sends on
 * them, lets time pass, and looks at what the component did, effect by effect.
 */
#pragma once

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/panic.h"
#include "sim/record/recorder.h"
#include "sim/world/limits.h"
#include "sim/world/world.h"

#define S  NSEC_PER_S
#define MS NSEC_PER_MS

#define STAGE_TIMERS 256

struct stage {
    struct plan plan;
    struct plan_mcp mcp[2];
    struct plan_fault fault;
    struct recorder *recorder;
    struct world *world;
    struct effects effects;
    size_t looked_at; /* effects that the test has seen */
    addr_t self;
    nsec_t now;
    struct {
        nsec_t at;
        uint64_t token;
    } timers[STAGE_TIMERS];
    uint32_t timer_count, timers_fired;
    struct effect keep[4096]; /* what was not looked at yet, over several turns */
    size_t kept;
};

static const struct component_ops *const stage_roles[ROLE_COUNT] = {[ROLE_MCP] = &mcp_ops,
                                                                    [ROLE_EDGE] = &edge_ops,
                                                                    [ROLE_PROXY] = &proxy_ops,
                                                                    [ROLE_CONNECTOR] = &connector_ops};

/* A plan of two tunnels with one connector each; to be changed before stage_add(). */
static inline struct stage *stage_new(void)
{
    struct stage *st = calloc(1, sizeof *st);

    ASSERT(st);
    st->plan = (struct plan){
        .seed = 1,
        .tunnels = {.count = 2,
                    .replicas = 1,
                    .connections = 2,
                    .spacing_ns = S,
                    .register_timeout_ns = 5 * S,
                    .grace_ns = 30 * S,
                    .streams_max = 100,
                    .backoff = {.connection_base_ns = S,
                                .connection_max_exponent = 5,
                                .supervisor_base_ns = 10 * S,
                                .supervisor_max_exponent = 5},
                    .upstream_connections_max = 2},
        .links[LINK_CONNECTOR_EDGE].dial_timeout_ns = 15 * S,
        .orchestrator.sessions_max = 10,
        .mcp = st->mcp,
        .mcp_count = 2,
        .spans_max = 1000,
        .span_sample_every = 1,
    };
    for (int i = 0; i < 2; i++)
        st->mcp[i] = (struct plan_mcp){.name = i ? "jira" : "github",
                                       .service_ns = dist_constant(10 * MS),
                                       .output_chars = dist_constant(1000),
                                       .concurrency = 2,
                                       .queue_max = 2};
    return st;
}

static inline void stage_take_effects(struct stage *st)
{
    for (size_t i = 0; i < st->effects.count; i++) {
        const struct effect *ef = &st->effects.items[i];

        if (ef->type == EFFECT_TIMER) {
            ASSERT(st->timer_count < STAGE_TIMERS);
            st->timers[st->timer_count].at = ef->at;
            st->timers[st->timer_count++].token = ef->token;
        } else {
            ASSERT(st->kept < 4096);
            st->keep[st->kept++] = *ef;
        }
    }
    st->effects.count = 0;
    world_settle(st->world, NULL, NULL);
}

static inline void stage_event(struct stage *st, enum event_type type)
{
    struct event ev = {.type = (uint8_t)type, .self = st->self};

    world_handle(st->world, st->now, &ev, &st->effects);
    if (type == EVENT_END || type == EVENT_CRASH) st->effects.count = 0;
    stage_take_effects(st);
}

/* Makes the component and starts it. */
static inline void stage_add(struct stage *st, addr_t self)
{
    struct world_options opts = {.plan = &st->plan, .roles = stage_roles, .flows_max = 10000};
    struct recorder_options rec = recorder_options_of(&st->plan);

    ASSERT(recorder_new(&rec, &st->recorder) == 0);
    ASSERT(world_new(&opts, &st->world) == 0);
    ASSERT(world_add(st->world, self, st->recorder, 3) == 0);
    st->self = self;
    stage_event(st, EVENT_START);
}

/* Ends the run by `last` (EVENT_END or EVENT_CRASH) and checks the ledger. */
static inline void stage_end(struct stage *st, enum event_type last)
{
    stage_event(st, last);
    ck_assert(ledger_balanced(recorder_ledger(st->recorder)));
    world_free(st->world);
    effects_deinit(&st->effects);
    recorder_free(st->recorder);
    free(st);
}

/* A message of a peer on a flow. */
static inline void stage_msg(struct stage *st, uint32_t flow, struct msg m)
{
    struct flow_view v = world_flow(st->world, flow);
    struct event ev = {.type = EVENT_MSG, .self = st->self, .flow = flow, .tag = v.tag, .msg = m};

    world_handle(st->world, st->now, &ev, &st->effects);
    stage_take_effects(st);
}

/* A peer opens a flow; `via`: the component's end of the carrier, or 0. Returns the component's end. */
static inline uint32_t stage_open(struct stage *st, addr_t from, uint32_t via, struct msg m)
{
    uint32_t flow = world_flow_accept(st->world, st->self, from, via);
    struct event ev = {.type = EVENT_MSG, .self = st->self, .from = from, .flow = flow, .msg = m};

    ev.msg.type = MSG_OPEN;
    world_handle(st->world, st->now, &ev, &st->effects);
    stage_take_effects(st);
    return flow;
}

static inline void stage_answer(struct stage *st, uint32_t flow, struct msg m)
{
    m.type = MSG_OPEN;
    stage_msg(st, flow, m);
}

static inline void stage_data(struct stage *st, uint32_t flow, struct msg m)
{
    m.type = MSG_DATA;
    stage_msg(st, flow, m);
}

static inline void stage_credit(struct stage *st, uint32_t flow, uint32_t bytes)
{
    stage_msg(st, flow, (struct msg){.type = MSG_CREDIT, .bytes = bytes});
}

static inline void stage_reset(struct stage *st, uint32_t flow, enum reset_cause cause)
{
    stage_msg(st, flow, (struct msg){.type = MSG_RESET, .a = cause});
}

/* Lets time pass until `at`, with the timers that come due. */
static inline void stage_until(struct stage *st, nsec_t at)
{
    for (;;) {
        uint32_t first = UINT32_MAX;
        struct event ev = {.type = EVENT_TIMER, .self = st->self};

        for (uint32_t i = 0; i < st->timer_count; i++) {
            if (st->timers[i].at <= at && (first == UINT32_MAX || st->timers[i].at < st->timers[first].at))
                first = i;
        }
        if (first == UINT32_MAX) break;
        st->now = nsec_max(st->now, st->timers[first].at);
        ev.token = st->timers[first].token;
        st->timers[first] = st->timers[--st->timer_count];
        st->timers_fired++;
        world_handle(st->world, st->now, &ev, &st->effects);
        stage_take_effects(st);
    }
    st->now = at;
}

static inline bool stage_quiet(const struct stage *st)
{
    return st->looked_at == st->kept;
}

/* The next effect, which must be there. */
static inline struct effect stage_next(struct stage *st)
{
    ck_assert_msg(!stage_quiet(st), "an effect was expected");
    return st->keep[st->looked_at++];
}

/* The next effect must open a flow to `to` with a request of this kind; returns the flow. */
static inline struct effect stage_opened(struct stage *st, addr_t to, enum msg_kind kind)
{
    struct effect ef = stage_next(st);

    ck_assert_int_eq(ef.type, EFFECT_OPEN);
    ck_assert_uint_eq(ef.to, to);
    ck_assert_str_eq(msg_kind_name(ef.msg.kind), msg_kind_name(kind));
    return ef;
}

/* The next effect must send a message of this type and kind on `flow`. */
static inline struct msg stage_sent(struct stage *st, uint32_t flow, enum msg_type type, enum msg_kind kind)
{
    struct effect ef = stage_next(st);

    ck_assert_int_eq(ef.type, EFFECT_SEND);
    ck_assert_uint_eq(ef.flow, flow);
    ck_assert_int_eq(ef.msg.type, type);
    ck_assert_str_eq(msg_kind_name(ef.msg.kind), msg_kind_name(kind));
    return ef.msg;
}

/* The next effect must reset `flow`. */
static inline void stage_was_reset(struct stage *st, uint32_t flow, enum reset_cause cause)
{
    ck_assert_uint_eq(stage_sent(st, flow, MSG_RESET, M_NONE).a, cause);
}

static inline uint64_t stage_ends(const struct stage *st, enum account account, enum ledger_end end)
{
    struct ledger_totals totals;

    ledger_totals(recorder_ledger(st->recorder), account, &totals);
    return totals.ends[end];
}

static inline uint64_t stage_opens(const struct stage *st, enum account account)
{
    struct ledger_totals totals;

    ledger_totals(recorder_ledger(st->recorder), account, &totals);
    return totals.opened;
}

static inline uint64_t stage_counter(const struct stage *st, enum counter counter)
{
    return recorder_counter(st->recorder, counter);
}

static inline const struct histogram *stage_metric(const struct stage *st, enum metric metric)
{
    return recorder_histogram(st->recorder, metric);
}

static inline int stage_run(const char *name, TCase *tc)
{
    Suite *suite = suite_create(name);
    SRunner *runner;
    int failed;

    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
