/*
 * Client and runner against a peer that answers at random: well, badly, twice, never, or with what was not
 * asked for. Whatever it does, books balance, flows end, timers stay few, and a result that was accepted is
 * not posted again within a claim.
 */
#include "tests/world/hand.h"

#define FLOWS_MAX 4096
#define POSTS_MAX 4096

struct open_flow {
    uint32_t flow;
    enum msg_kind kind;
    bool up;       /* a stream that was answered */
    uint32_t next; /* its next event */
    uint64_t session, call;
};

struct peer {
    struct hand *h;
    struct prng rng;
    struct open_flow flows[FLOWS_MAX];
    uint32_t flow_count;
    uint64_t accepted[POSTS_MAX]; /* calls whose result was accepted in this claim of their session */
    uint32_t accepted_count;
    uint64_t sessions; /* ids given out */
};

static uint64_t below(struct peer *p, uint64_t n)
{
    return prng_below(&p->rng, n);
}

/* What the component did since the last look. */
static void look(struct peer *p)
{
    vec_for_each(ef, &p->h->seen)
    {
        if (ef->type != EFFECT_OPEN) continue;
        ASSERT(p->flow_count < FLOWS_MAX);
        p->flows[p->flow_count++] = (struct open_flow){
            .flow = ef->flow, .kind = ef->msg.kind, .session = ef->msg.a, .call = ef->msg.c};
        if (ef->msg.kind == M_WORK_ACK) p->accepted_count = 0;
        if (ef->msg.kind != M_EVENTS_SEND || ef->msg.b != EV_USER_TOOL_RESULT) continue;
        for (uint32_t i = 0; i < p->accepted_count; i++) ck_assert_uint_ne(p->accepted[i], ef->msg.c);
    }
    vec_clear(&p->h->seen);
    for (uint32_t i = 0; i < p->flow_count;) {
        if (world_flow_alive(p->h->world, p->flows[i].flow))
            i++;
        else
            p->flows[i] = p->flows[--p->flow_count];
    }
}

static void stream_event(struct peer *p, struct open_flow *f, uint32_t flags)
{
    static const enum event_kind kinds[] = {
        EV_AGENT_TOOL_USE, EV_AGENT_TOOL_USE, EV_AGENT_TOOL_USE, EV_USER_TOOL_RESULT, EV_STATUS_IDLE,
        EV_STATUS_IDLE,    EV_USER_MESSAGE,   EV_AGENT_MESSAGE,  EV_STATUS_RUNNING,   EV_SESSION_ERROR};
    enum event_kind kind = kinds[below(p, 10)];
    uint32_t seq = f->next + (uint32_t)below(p, 2), tool = (uint32_t)below(p, 4);
    struct msg m = {.kind = M_EVENT, .flags = (uint8_t)flags, .bytes = 350, .a = 1000 + seq};

    if (below(p, 60) == 0) kind = below(p, 2) ? EV_SESSION_DELETED : EV_STATUS_TERMINATED;
    f->next = seq + 1;
    m.b = EVENT_B(kind, tool, 0, seq);
    m.c = kind == EV_AGENT_TOOL_USE ? below(p, 150 * S) : below(p, 2) ? STOP_END_TURN : below(p, 4);
    m.d = below(p, 200000);
    if (kind == EV_USER_TOOL_RESULT) m.c = 1000 + below(p, seq + 1);
    m.e = p->h->now;
    if (below(p, 5) == 0) { /* a large one */
        m.bytes = BODY_CHUNK;
        m.flags = MSG_UNFINISHED;
        hand_msg(p->h, f->flow, MSG_DATA, m);
        if (!world_flow_alive(p->h->world, f->flow)) return;
        m.kind = M_BODY;
        m.flags = (uint8_t)flags;
    }
    hand_msg(p->h, f->flow, MSG_DATA, m);
}

static struct msg good_answer(struct peer *p, const struct open_flow *f)
{
    struct msg m = {.kind = M_OK, .flags = MSG_LAST, .a = 1, .bytes = 300};

    switch (f->kind) {
    case M_SESSION_CREATE: m.kind = M_SESSION, m.a = ++p->sessions; break;
    case M_SESSION_GET:
        m.kind = M_SESSION, m.a = f->session, m.b = below(p, 20) ? SESSION_RUNNING : SESSION_TERMINATED;
        break;
    case M_WORK_POLL:
        m.kind = below(p, 2) ? M_NO_WORK : M_WORK;
        m.a = below(p, 1000);
        m.b = below(p, 5);
        break;
    case M_WORK_ACK:
    case M_WORK_STOP: m.kind = M_WORK; break;
    case M_WORK_HEARTBEAT:
        m = (struct msg){.kind = M_HEARTBEAT,
                         .flags = MSG_LAST,
                         .a = p->h->now,
                         .b = below(p, 100) * S,
                         .c = below(p, 10) ? WORK_ACTIVE : WORK_STOPPING,
                         .d = below(p, 20) != 0};
        if (below(p, 20) == 0) m.kind = M_HEARTBEAT_MISMATCH;
        break;
    case M_FILE_READ: m.b = below(p, 3) == 0; break;
    default: break;
    }
    return m;
}

static void bad_answer(struct peer *p, struct open_flow *f)
{
    static const uint32_t statuses[] = {500, 503, 529, 429, 409, 408, 400, 404};
    static const enum msg_kind kinds[] = {M_OK, M_WORK, M_SESSION, M_HEARTBEAT, M_NO_WORK, M_ERROR};
    /* A worker whose poll is refused for good does nothing any more. */
    uint64_t final = f->kind != M_WORK_POLL && below(p, 4) == 0;
    struct msg m = {
        .kind = M_ERROR, .flags = MSG_LAST, .a = statuses[below(p, final ? 8 : 6)], .c = below(p, 3) * S};

    if (below(p, 10) == 0) m.kind = (uint16_t)kinds[below(p, 6)];
    if (below(p, 20) == 0) m.flags = 0; /* it says no more, but does not say so */
    if (below(p, 3) == 0)
        hand_reset(p->h, f->flow);
    else
        hand_msg(p->h, f->flow, MSG_OPEN, m);
}

static void list_answer(struct peer *p, struct open_flow *f)
{
    uint32_t n = (uint32_t)below(p, 6);
    struct msg m = {
        .kind = M_OK, .flags = n ? 0 : MSG_LAST, .a = below(p, 4) ? 0 : f->next + 1, .b = n, .bytes = 300};

    hand_msg(p->h, f->flow, MSG_OPEN, m);
    for (uint32_t i = 0; i < n && world_flow_alive(p->h->world, f->flow); i++)
        stream_event(p, f, i + 1 == n ? MSG_LAST : 0);
}

static void answer(struct peer *p, struct open_flow *f)
{
    struct msg m;

    if (f->kind == M_STREAM && f->up) {
        if (below(p, 30) == 0)
            hand_reset(p->h, f->flow);
        else
            stream_event(p, f, below(p, 50) ? 0 : MSG_LAST);
        return;
    }
    if (below(p, 6) == 0) {
        bad_answer(p, f);
        return;
    }
    if (f->kind == M_EVENTS_LIST) {
        list_answer(p, f);
        return;
    }
    m = good_answer(p, f);
    if (f->kind == M_STREAM) {
        m.flags = 0;
        f->up = true;
    }
    if (f->kind == M_EVENTS_SEND && p->accepted_count < POSTS_MAX && f->call)
        p->accepted[p->accepted_count++] = f->call;
    hand_msg(p->h, f->flow, MSG_OPEN, m);
}

static void step(struct peer *p)
{
    look(p);
    if (p->flow_count && below(p, 3)) {
        answer(p, &p->flows[below(p, p->flow_count)]);
    } else {
        nsec_t most = below(p, 10) ? 2 * S : 100 * S;

        hand_until(p->h, p->h->now + below(p, most));
    }
}

static struct hand *random_hand(struct peer *p, uint64_t seed)
{
    struct hand *h = hand_new();

    h->plan.seed = seed;
    h->runner.workers = 1; /* one, so that claims are told apart */
    h->runner.scope = below(p, 2) ? SANDBOX_PER_CALL : SANDBOX_PER_SESSION;
    h->runner.parallel_per_agent = (uint32_t)below(p, 3);
    h->runner.parallel_per_tenant = (uint32_t)below(p, 4);
    h->runner.on_limit = below(p, 2) ? LIMIT_QUEUE : LIMIT_SHED;
    h->runner.limit_queue_max = (uint32_t)below(p, 3);
    h->runner.prewarmed = (uint32_t)below(p, 3);
    h->runner.warm_max = (uint32_t)below(p, 3);
    h->runner.warm_keep_ns = below(p, 2) * 30 * S;
    h->runner.snapshot_ns = below(p, 2) * 5 * S;
    h->runner.max_idle_ns = 20 * S;
    h->plan.fault_count = (uint32_t)below(p, 2);
    h->fault = (struct plan_fault){.kind = FAULT_WORKER_CRASH,
                                   .at_ns = 500 * S,
                                   .target = ADDR(ROLE_RUNNER, 0),
                                   .all_instances = below(p, 2) != 0,
                                   .count = 5,
                                   .delay_ns = below(p, 2) * 7 * S};
    h->loads[0].process = ARRIVAL_CLOSED;
    h->loads[0].users = 8;
    h->loads[0].sessions = 0;
    h->loads[0].think_ns = dist_exponential(3 * S);
    h->loads[0].patience_ns = 300 * S;
    h->plan.duration_ns = 100000 * S;
    h->script.turn_count = (uint32_t)below(p, 4);
    return h;
}

static void play(addr_t self, uint64_t seed, int steps)
{
    struct peer *p = calloc(1, sizeof *p);

    ASSERT(p);
    p->rng = prng_stream(seed, 0, "random peer", self, 0);
    p->h = random_hand(p, seed);
    hand_start(p->h, self);
    for (int i = 0; i < steps; i++) {
        step(p);
        ck_assert_uint_le(p->h->timers.len, 1000);
    }
    if (seed % 2 && self == ADDR(ROLE_RUNNER, 0)) hand_event(p->h, EVENT_DRAIN);
    for (int i = 0; i < 100; i++) step(p);
    hand_end(p->h, seed % 3 ? EVENT_END : EVENT_CRASH);
    free(p);
}

START_TEST(runner_against_a_random_peer)
{
    for (uint64_t seed = 0; seed < 40; seed++) play(ADDR(ROLE_RUNNER, 0), seed, 3000);
}
END_TEST

START_TEST(client_against_a_random_peer)
{
    for (uint64_t seed = 0; seed < 40; seed++) play(ADDR(ROLE_CLIENT, 0), seed, 3000);
}
END_TEST

SUITE_MAIN("load_random", runner_against_a_random_peer, client_against_a_random_peer)
