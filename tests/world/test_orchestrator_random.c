/*
 * The orchestrator against peers that do anything: requests of every kind with ids that may be right, answers
 * in and out of place, cuts, deaths. Nothing may panic, and the ledger must balance whenever the run ends.
 */
#include "tests/world/orchestrator_hand.h"

#include "sim/base/prng.h"

enum { SEEDS = 600, STEPS = 400, FLOWS_MAX = 64 };

/* A flow as its peer sees it. */
struct peer {
    uint32_t flow;
    bool opened;    /* by the orchestrator */
    bool said_open; /* the peer has sent its OPEN */
    bool said_last;
    uint64_t attempt; /* of the last MCP call on it */
};

struct chaos {
    struct orch *t;
    struct prng prng;
    struct peer peers[FLOWS_MAX];
    size_t count;
    uint64_t tool_uses[8]; /* seen on streams, the latest */
    uint64_t items[4], beats[4];
};

static struct {
    uint64_t completed, failed, lost, shed, retries, recovered;
} totals;

static uint64_t below(struct chaos *c, uint64_t n)
{
    return prng_below(&c->prng, n);
}

static void remember(struct chaos *c, uint32_t flow, bool opened, bool said_last)
{
    if (c->count == FLOWS_MAX || !world_flow_alive(c->t->h->world, flow)) return;
    c->peers[c->count++] =
        (struct peer){.flow = flow, .opened = opened, .said_open = !opened, .said_last = said_last};
}

static void see(struct chaos *c, const struct effect *ef)
{
    const struct msg *m = &ef->msg;

    if (ef->type == EFFECT_OPEN) remember(c, ef->flow, true, false);
    if (m->kind == M_EVENT && EVENT_KIND(m->b) == EV_AGENT_TOOL_USE) c->tool_uses[below(c, 8)] = m->a;
    if (m->kind == M_WORK) c->items[m->a % 4] = m->a;
    if (m->kind == M_HEARTBEAT) c->beats[below(c, 4)] = m->a;
    for (size_t i = 0; m->kind == M_MCP_CALL && i < c->count; i++)
        if (c->peers[i].flow == ef->flow) c->peers[i].attempt = m->a;
}

/* Takes in what the orchestrator did, and forgets flows that are over. */
static void look(struct chaos *c)
{
    struct hand *h = c->t->h;
    size_t kept = 0;

    vec_for_each(ef, &h->seen) see(c, ef);
    vec_clear(&h->seen);
    for (size_t i = 0; i < c->count; i++)
        if (world_flow_alive(h->world, c->peers[i].flow)) c->peers[kept++] = c->peers[i];
    c->count = kept;
}

static struct msg random_request(struct chaos *c)
{
    static const enum msg_kind kinds[] = {M_SESSION_CREATE, M_SESSION_GET, M_SESSION_DELETE, M_EVENTS_SEND,
                                          M_EVENTS_SEND,    M_EVENTS_SEND, M_EVENTS_SEND,    M_EVENTS_SEND,
                                          M_STREAM,         M_EVENTS_LIST, M_WORK_POLL,      M_WORK_POLL,
                                          M_WORK_ACK,       M_WORK_ACK,    M_WORK_HEARTBEAT, M_WORK_HEARTBEAT,
                                          M_WORK_STOP,      M_WORK_GET,    M_WORK_STATS,     M_MCP_CALL};
    struct msg m = {.kind = kinds[below(c, 20)], .a = 1 + below(c, 12), .b = below(c, 5), .bytes = 300};

    switch ((enum msg_kind)m.kind) {
    case M_SESSION_CREATE: m.c = below(c, 8) == 0; break;
    case M_EVENTS_SEND:
        m.b = below(c, 4) ? (below(c, 3) ? EV_USER_TOOL_RESULT : EV_USER_MESSAGE) : below(c, 20);
        m.c = below(c, 6) ? c->tool_uses[below(c, 8)] : prng_u64(&c->prng) >> below(c, 64);
        if (m.b == EV_USER_TOOL_RESULT && below(c, 8)) m.a = (uint32_t)m.c;
        m.d = below(c, 200000);
        m.e = below(c, 8) | below(c, 500000) << 8;
        break;
    case M_EVENTS_LIST: m.b = below(c, 30), m.c = below(c, 10), m.d = below(c, 2); break;
    case M_WORK_POLL: m.a = below(c, 8) == 0, m.c = below(c, 2) * below(c, S), m.d = below(c, 2) * S; break;
    case M_WORK_ACK:
    case M_WORK_HEARTBEAT:
    case M_WORK_STOP:
        m.a = c->items[below(c, 4)];
        if (m.kind == M_WORK_HEARTBEAT) m.b = below(c, 2) ? HEARTBEAT_NONE : c->beats[below(c, 4)];
        break;
    default: break;
    }
    m.flags = below(c, 8) ? MSG_LAST : below(c, 2) ? MSG_UNFINISHED : 0;
    return m;
}

/* What a peer says on a flow that the orchestrator opened, mostly as it should be. */
static struct msg random_answer(struct chaos *c, const struct peer *p)
{
    static const uint64_t statuses[] = {200, 200, 200, 200, 200, 500, 502, 404, 429};
    uint64_t status = statuses[below(c, 9)];

    if (!p->said_open && !c->t->h->plan.orchestrator.mcp_direct)
        return below(c, 5) ? (struct msg){.kind = M_OK, .a = 200}
                           : (struct msg){.kind = M_ERROR, .flags = MSG_LAST, .a = 404 + below(c, 2) * 98};
    if (!p->attempt && below(c, 4)) return (struct msg){.kind = M_INNER_READY};
    return (struct msg){.kind = below(c, 10) ? M_MCP_RESULT : M_BODY,
                        .flags = below(c, 10) ? 0 : MSG_UNFINISHED,
                        .a = below(c, 10) ? p->attempt : 5,
                        .b = status,
                        .c = below(c, 250000)};
}

static void say_something(struct chaos *c)
{
    struct hand *h = c->t->h;
    size_t i = below(c, c->count);
    struct peer *p = &c->peers[i];
    struct msg m = p->opened ? random_answer(c, p) : random_request(c);
    enum msg_type type = p->said_open ? MSG_DATA : MSG_OPEN;

    switch (below(c, 12)) {
    case 0: type = MSG_RESET, m = (struct msg){.a = 1 + below(c, 7)}; break;
    case 1: type = MSG_CREDIT, m = (struct msg){.bytes = (uint32_t)below(c, 300000)}; break;
    case 2: m.flags |= MSG_LAST; break;
    default: break;
    }
    if (p->said_last && type != MSG_RESET && type != MSG_CREDIT) return;
    if (type == MSG_CREDIT && !p->said_open) return;
    if (type == MSG_OPEN) p->said_open = true;
    if (m.flags & MSG_LAST) p->said_last = true;
    hand_msg(h, p->flow, type, m);
}

static void die(struct chaos *c)
{
    struct hand *h = c->t->h;

    world_drop_flows(h->world, h->self);
    world_settle(h->world, NULL, NULL);
    vec_clear(&h->timers);
    c->count = 0;
    h->now += below(c, 3 * S);
    hand_event(h, EVENT_RECOVERED);
    totals.recovered++;
}

static void step(struct chaos *c)
{
    struct hand *h = c->t->h;
    uint64_t what = below(c, 100);

    if (what == 0 && h->plan.orchestrator.durable) {
        die(c);
    } else if (what < 20) {
        hand_until(h, h->now + below(c, below(c, 10) ? 800 * MS : 20 * S));
    } else if (what < 65 && c->count) {
        say_something(c);
    } else if (c->count < FLOWS_MAX) {
        struct msg m = random_request(c);
        uint32_t flow = ask(c->t, CLIENT, m);

        look(c);
        remember(c, flow, false, m.flags & MSG_LAST);
    }
    look(c);
}

static struct orch *random_plan(struct chaos *c)
{
    struct orch *t = orch_new();
    struct plan_orchestrator *o = &t->h->plan.orchestrator;

    t->calls[0].count = (uint32_t)below(c, 4);
    t->calls[1] = (struct plan_call){.tool = TOOL_MCP, .count = 1 + (uint32_t)below(c, 5)};
    t->calls[2].tool = TOOL_READ;
    t->steps[0].call_count = 2;
    t->steps[1].calls = &t->calls[2];
    t->steps[0].model_ns = t->steps[1].model_ns = dist_constant(below(c, 500 * MS));
    t->h->turns[0].step_count = 2;
    o->durable = below(c, 2);
    o->mcp_direct = below(c, 4) == 0;
    o->call_timeout_ns = 10 * S;
    o->lease_ttl_ns = 5 * S;
    o->mcp_attempt_timeout_ns = 3 * S;
    o->mcp_stream_idle_ns = 2 * S;
    o->stream_buffer_events = 10;
    o->sessions_max = 6;
    o->mcp_retry.jitter = true;
    o->mcp_retry.on_status_429 = true;
    return t;
}

static void run(uint64_t seed)
{
    static struct chaos c;
    struct hand *h;

    c = (struct chaos){.prng = prng_stream(seed, 0, "chaos", 0, 0)};
    c.t = random_plan(&c);
    h = c.t->h;
    orch_start(c.t);
    for (int i = 0; i < STEPS; i++) step(&c);
    totals.completed += ended(c.t, ACCOUNT_CALL, LEDGER_COMPLETED);
    totals.failed += ended(c.t, ACCOUNT_CALL, LEDGER_FAILED);
    totals.lost += ended(c.t, ACCOUNT_CALL, LEDGER_LOST);
    totals.shed += ended(c.t, ACCOUNT_CALL, LEDGER_SHED);
    totals.retries += hand_count(h, COUNTER_RETRIES);
    orch_end(c.t, below(&c, 2) || h->plan.orchestrator.durable ? EVENT_END : EVENT_CRASH);
}

START_TEST(nothing_breaks_it)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) run(seed);
    /* The walk does reach what it is to test. */
    ck_assert_uint_gt(totals.completed, SEEDS);
    ck_assert_uint_gt(totals.failed, SEEDS);
    ck_assert_uint_gt(totals.lost, SEEDS);
    ck_assert_uint_gt(totals.shed, SEEDS / 10);
    ck_assert_uint_gt(totals.retries, SEEDS);
    ck_assert_uint_gt(totals.recovered, SEEDS / 10);
}
END_TEST

SUITE_MAIN("orchestrator_random", nothing_breaks_it)
