/*
 * The orchestrator alone, with its clients, workers and the edge played by hand: on top of hand.h.
 */
#pragma once

#include "tests/world/hand.h"

#define CLIENT ADDR(ROLE_CLIENT, 0)
#define WORKER ADDR(ROLE_RUNNER, 0)

struct orch {
    struct hand *h;
    struct plan_step steps[3];
    struct plan_call calls[3];
    struct plan_mcp mcp;
};

/* A plan with one turn of one step of one bash call, 1 s of model time before it and 2 s after it; to be
 * changed before orch_start(). */
static inline struct orch *orch_new(void)
{
    struct orch *t = calloc(1, sizeof *t);
    struct hand *h = hand_new();

    ASSERT(t);
    t->h = h;
    for (int i = 0; i < 3; i++) {
        t->calls[i] = (struct plan_call){.tool = TOOL_BASH,
                                         .count = 1,
                                         .execution_ns = dist_constant(5 * S),
                                         .output_chars = dist_constant(1234)};
        t->steps[i] =
            (struct plan_step){.model_ns = dist_constant(1 * S), .calls = &t->calls[i], .call_count = 1};
    }
    h->turns[0] = (struct plan_turn){.message_bytes = 100,
                                     .steps = t->steps,
                                     .step_count = 1,
                                     .answer_model_ns = dist_constant(2 * S),
                                     .answer_bytes = 700};
    h->script.turn_count = 1;
    t->mcp = (struct plan_mcp){.name = "m"};
    h->plan.mcp = &t->mcp;
    h->plan.mcp_count = 1;
    h->plan.tunnels.count = 3;
    h->plan.tunnels.replicas = 1;
    h->plan.orchestrator = (struct plan_orchestrator){.lease_ttl_ns = 300 * S,
                                                      .lease_ttl_max_ns = 600 * S,
                                                      .reclaim_ns = 5 * S,
                                                      .sessions_max = 20,
                                                      .spill_threshold_chars = 100000,
                                                      .preview_chars = 2000,
                                                      .read_piece_chars = 150000,
                                                      .call_timeout_ns = 600 * S,
                                                      .mcp_attempt_timeout_ns = 30 * S,
                                                      .mcp_retry = {.attempts_max = 3,
                                                                    .base_ns = 1 * S,
                                                                    .cap_ns = 10 * S,
                                                                    .on_reset = true,
                                                                    .on_status_5xx = true,
                                                                    .on_timeout = true},
                                                      .mcp_streams_max = 2,
                                                      .mcp_stream_idle_ns = 60 * S,
                                                      .mcp_queue_max = 2,
                                                      .stream_buffer_events = 1000};
    return t;
}

static inline void orch_start(struct orch *t)
{
    static const struct component_ops *const roles[ROLE_COUNT] = {[ROLE_ORCHESTRATOR] = &orchestrator_ops};
    struct hand *h = t->h;
    struct world_options opts = {.plan = &h->plan, .roles = roles, .flows_max = 100000};
    struct recorder_options rec = recorder_options_of(&h->plan);

    h->self = ADDR(ROLE_ORCHESTRATOR, 0);
    ASSERT(recorder_new(&rec, &h->recorder) == 0);
    ASSERT(world_new(&opts, &h->world) == 0);
    ASSERT(world_add(h->world, h->self, h->recorder, 0) == 0);
    hand_event(h, EVENT_START);
}

/* The ledger must balance. */
static inline void orch_end(struct orch *t, enum event_type last)
{
    hand_end(t->h, last);
    free(t);
}

/* A new flow with a request. */
static inline uint32_t ask(struct orch *t, addr_t from, struct msg m)
{
    struct hand *h = t->h;
    uint32_t flow = world_flow_accept(h->world, h->self, from, 0);
    struct event ev = {.type = EVENT_MSG, .self = h->self, .from = from, .flow = flow, .msg = m};

    ev.msg.type = MSG_OPEN;
    world_handle(h->world, h->now, &ev, &h->effects);
    hand_take(h);
    return flow;
}

static inline struct msg got(struct orch *t, uint32_t flow)
{
    struct msg m = {0};

    ck_assert_msg(hand_sent(t->h, flow, MSG_OPEN, &m), "no answer");
    return m;
}

static inline void got_none(struct orch *t, uint32_t flow)
{
    ck_assert_msg(!hand_sent(t->h, flow, MSG_OPEN, NULL), "an answer");
}

/* A plain request and its answer. */
static inline struct msg request(struct orch *t, struct msg m)
{
    uint32_t flow;

    m.flags |= MSG_LAST;
    flow = ask(t, CLIENT, m);
    return got(t, flow);
}

static inline uint64_t create(struct orch *t, uint64_t ordinal)
{
    struct msg m = request(t, (struct msg){.kind = M_SESSION_CREATE, .b = ordinal});

    ck_assert_int_eq(m.kind, M_SESSION);
    return m.a;
}

static inline struct msg post(struct orch *t, uint64_t session, enum event_kind kind, uint64_t c, uint64_t d,
                              uint64_t e)
{
    return request(t, (struct msg){.kind = M_EVENTS_SEND, .a = session, .b = kind, .c = c, .d = d, .e = e});
}

static inline void say(struct orch *t, uint64_t session)
{
    ck_assert_int_eq(post(t, session, EV_USER_MESSAGE, 0, 100, 0).kind, M_OK);
}

static inline struct msg poll(struct orch *t)
{
    return request(t, (struct msg){.kind = M_WORK_POLL, .b = 1});
}

/* A worker takes the next item: claimed, acknowledged, beaten once. Returns the item. */
static inline uint64_t serve(struct orch *t)
{
    struct msg m = poll(t);
    uint64_t item = m.a;

    ck_assert_int_eq(m.kind, M_WORK);
    m = request(t, (struct msg){.kind = M_WORK_ACK, .a = item});
    ck_assert(m.kind == M_WORK && m.c == WORK_STARTING);
    m = request(t, (struct msg){.kind = M_WORK_HEARTBEAT, .a = item, .b = HEARTBEAT_NONE});
    ck_assert(m.kind == M_HEARTBEAT && m.c == WORK_ACTIVE && m.d == 1);
    return item;
}

static inline uint32_t stream(struct orch *t, uint64_t session)
{
    uint32_t flow = ask(t, CLIENT, (struct msg){.kind = M_STREAM, .a = session});
    struct msg m = got(t, flow);

    ck_assert(m.kind == M_OK && !(m.flags & MSG_LAST));
    return flow;
}

/* The next event of this kind on the stream; those before it are passed over. */
static inline struct msg event_of(struct orch *t, uint32_t flow, enum event_kind kind)
{
    struct msg m;

    while (hand_sent(t->h, flow, MSG_DATA, &m))
        if (m.kind == M_EVENT && EVENT_KIND(m.b) == kind) return m;
    ck_abort_msg("no event %s", event_kind_name(kind));
}

static inline bool has_event(struct orch *t, uint32_t flow, enum event_kind kind)
{
    struct msg m;

    while (hand_sent(t->h, flow, MSG_DATA, &m))
        if (m.kind == M_EVENT && EVENT_KIND(m.b) == kind) return true;
    return false;
}

/* The edge's and the proxy's side of a new tunnel stream, up to the call on it. */
static inline struct msg accept_stream(struct orch *t, struct effect *ret_open)
{
    struct msg m;

    *ret_open = hand_request(t->h, M_TUNNEL_STREAM);
    ck_assert_uint_eq(ret_open->to, ADDR(ROLE_EDGE, 0));
    hand_msg(t->h, ret_open->flow, MSG_OPEN, (struct msg){.kind = M_OK});
    ck_assert(hand_sent(t->h, ret_open->flow, MSG_DATA, &m) && m.kind == M_INNER_HELLO);
    hand_msg(t->h, ret_open->flow, MSG_DATA, (struct msg){.kind = M_INNER_READY, .bytes = 1500});
    ck_assert(hand_sent(t->h, ret_open->flow, MSG_DATA, &m) && m.kind == M_MCP_CALL);
    ck_assert_uint_eq(m.b, ret_open->msg.a);
    return m;
}

static inline void mcp_result(struct orch *t, uint32_t flow, uint64_t attempt, uint32_t status,
                              uint64_t chars)
{
    hand_msg(t->h, flow, MSG_DATA, (struct msg){.kind = M_MCP_RESULT, .a = attempt, .b = status, .c = chars});
}

static inline uint64_t ended(struct orch *t, enum account account, enum ledger_end end)
{
    return hand_totals(t->h, account).ends[end];
}
