/*
 * The whole tunnel on the virtual clock: edge, connectors, proxies and MCP servers as they are; the
 * orchestrator is a small stand-in that keeps a few streams and calls on each without a pause.
 */
#include <check.h>
#include <stdlib.h>

#include "sim/base/panic.h"
#include "sim/record/recorder.h"
#include "sim/virtual/engine.h"
#include "sim/world/limits.h"
#include "sim/world/world.h"

#define S  NSEC_PER_S
#define MS NSEC_PER_MS

/* The stand-in
 * ----------------------------------------------------------------------------------------------- */

#define LINES_MAX 16

/* One stream after the other, and its calls. Tag of its flow: index + 1. */
struct line {
    uint32_t flow; /* 0: none */
    uint32_t calls;
};

struct caller {
    struct component base;
    struct line lines[LINES_MAX];
};

/* What the stand-in saw, for the test. */
static struct {
    uint64_t results, errors, resets, refusals;
    uint64_t bytes;
    uint32_t lines, tunnels;
    uint64_t output_chars;  /* wanted of each call */
    nsec_t cancel_after_ns; /* not 0: every second call is given up after so long */
} seen;

static int caller_new(const struct env *env, struct component **ret)
{
    struct caller *c = calloc(1, sizeof *c);

    ASSERT(c);
    c->base = (struct component){.ops = &orchestrator_ops, .env = *env};
    *ret = &c->base;
    return 0;
}

static void caller_free(struct component *base)
{
    free(base);
}

static void open_stream(struct caller *c, uint32_t index, struct outbox *out)
{
    c->lines[index].flow =
        flow_open(out, ADDR(ROLE_EDGE, 0), 0, index + 1,
                  (struct msg){.kind = M_TUNNEL_STREAM, .bytes = 250, .a = HOST(index % seen.tunnels, 0)});
}

static void call(struct caller *c, nsec_t now, uint32_t index, struct outbox *out)
{
    struct line *l = &c->lines[index];
    struct msg m = {
        .kind = M_MCP_CALL, .bytes = 600, .b = HOST(index % seen.tunnels, 0), .c = seen.output_chars};

    m.a = m.d = (uint64_t)index << 32 | ++l->calls;
    flow_data(out, l->flow, m);
    if (seen.cancel_after_ns && l->calls % 2) timer_set(out, now + seen.cancel_after_ns, m.a);
}

static void again(struct caller *c, nsec_t now, uint32_t index, struct outbox *out)
{
    c->lines[index].flow = 0;
    timer_set(out, now + S, (uint64_t)index << 32);
}

static void give_up(struct caller *c, nsec_t now, uint32_t index, struct outbox *out)
{
    flow_reset(out, c->lines[index].flow, RESET_CANCEL);
    again(c, now, index, out);
}

static void result(struct caller *c, nsec_t now, uint32_t index, const struct msg *m, struct outbox *out)
{
    seen.bytes += m->bytes;
    flow_credit(out, c->lines[index].flow, m->bytes);
    if (m->flags & MSG_UNFINISHED) return;
    if (m->b == 200) {
        seen.results++;
        call(c, now, index, out);
    } else {
        seen.errors++;
        give_up(c, now, index, out);
    }
}

static void caller_msg(struct caller *c, nsec_t now, const struct event *ev, struct outbox *out)
{
    const struct msg *m = &ev->msg;
    uint32_t index = ev->tag - 1;

    if (m->type == MSG_RESET) {
        seen.resets++;
        again(c, now, index, out);
    } else if (m->type == MSG_OPEN && m->kind == M_OK) {
        flow_data(out, ev->flow, (struct msg){.kind = M_INNER_HELLO, .bytes = 400});
    } else if (m->type == MSG_OPEN) {
        seen.refusals++;
        give_up(c, now, index, out);
    } else if (m->kind == M_INNER_READY) {
        call(c, now, index, out);
    } else if (m->kind == M_MCP_RESULT || m->kind == M_BODY) {
        result(c, now, index, m, out);
    }
}

/* A token is that of a call to be given up, or, without a call, of a line to be opened. */
static void caller_timer(struct caller *c, nsec_t now, uint64_t token, struct outbox *out)
{
    uint32_t index = (uint32_t)(token >> 32), calls = (uint32_t)token;
    struct line *l = &c->lines[index];

    if (calls == 0 && !l->flow) open_stream(c, index, out);
    if (calls && calls == l->calls && l->flow) give_up(c, now, index, out);
}

static void caller_handle(struct component *base, nsec_t now, const struct event *ev, struct outbox *out)
{
    struct caller *c = (struct caller *)base;

    if (ev->type == EVENT_START)
        for (uint32_t i = 0; i < seen.lines; i++) again(c, now, i, out);
    if (ev->type == EVENT_MSG) caller_msg(c, now, ev, out);
    if (ev->type == EVENT_TIMER) caller_timer(c, now, ev->token, out);
}

static int idle_new(const struct env *env, struct component **ret)
{
    int r = caller_new(env, ret);

    if (r == 0) (*ret)->ops = &client_ops;
    return r;
}

static void idle_handle(struct component *base, nsec_t now, const struct event *ev, struct outbox *out)
{
    (void)base, (void)now, (void)ev, (void)out;
}

const struct component_ops orchestrator_ops = {
    .new = caller_new, .free = caller_free, .handle = caller_handle};
const struct component_ops client_ops = {.new = idle_new, .free = caller_free, .handle = idle_handle};
const struct component_ops runner_ops = {.new = idle_new, .free = caller_free, .handle = idle_handle};

/* The tests
 * -------------------------------------------------------------------------------------------------- */

struct bench {
    struct plan plan;
    struct plan_mcp mcp;
    struct plan_fault faults[8];
    struct recorder *recorder;
    struct engine_result result;
};

static struct bench *bench_new(void)
{
    struct bench *b = calloc(1, sizeof *b);

    ASSERT(b);
    seen = (__typeof__(seen)){.lines = 1, .tunnels = 1, .output_chars = 1000};
    b->mcp = (struct plan_mcp){
        .name = "m", .service_ns = dist_exponential(5 * MS), .concurrency = 4, .queue_max = 10};
    b->plan = (struct plan){
        .seed = 5,
        .duration_ns = 600 * S,
        .interval_ns = 60 * S,
        .tunnels = {.count = 1,
                    .replicas = 1,
                    .connections = 4,
                    .spacing_ns = S,
                    .register_timeout_ns = 5 * S,
                    .grace_ns = 30 * S,
                    .streams_max = 100,
                    .backoff = {.connection_base_ns = S,
                                .connection_max_exponent = 5,
                                .supervisor_base_ns = 10 * S,
                                .supervisor_max_exponent = 5,
                                .jitter = true},
                    .upstream_connections_max = 4},
        .mcp = &b->mcp,
        .mcp_count = 1,
        .orchestrator.sessions_max = 100,
        .faults = b->faults,
        .spans_max = 1000,
        .span_sample_every = 1000,
    };
    for (int i = 0; i < LINK_COUNT; i++)
        b->plan.links[i] = (struct plan_link){.latency_ns = dist_constant(MS),
                                              .dial_round_trips = 3,
                                              .dial_timeout_ns = 15 * S,
                                              .keep_alive = true,
                                              .keep_alive_idle_ns = 60 * S};
    return b;
}

static void bench_run(struct bench *b)
{
    struct recorder_options opts = recorder_options_of(&b->plan);
    struct engine_options engine = {.plan = &b->plan};

    ck_assert_int_eq(recorder_new(&opts, &b->recorder), 0);
    engine.recorder = b->recorder;
    ck_assert_int_eq(engine_run(&engine, &b->result), 0);
    ck_assert(ledger_balanced(recorder_ledger(b->recorder)));
}

static void bench_free(struct bench *b)
{
    recorder_free(b->recorder);
    free(b);
}

static uint64_t ends(const struct bench *b, enum account account, enum ledger_end end)
{
    struct ledger_totals totals;

    ledger_totals(recorder_ledger(b->recorder), account, &totals);
    return totals.ends[end];
}

START_TEST(calls_pass)
{
    struct bench *b = bench_new();

    b->plan.duration_ns = 60 * S;
    bench_run(b);
    /* A call takes 8 ms on the links and 5 ms at the server: 59 s / 13 ms. */
    ck_assert_uint_gt(seen.results, 4300);
    ck_assert_uint_lt(seen.results, 4700);
    ck_assert_uint_eq(seen.errors + seen.resets, 0);
    ck_assert_uint_eq(histogram_count(recorder_histogram(b->recorder, METRIC_TUNNEL_HANDSHAKE)), 4);
    ck_assert_uint_eq(histogram_max(recorder_histogram(b->recorder, METRIC_TUNNEL_HANDSHAKE)), 8 * MS);
    ck_assert_uint_eq(ends(b, ACCOUNT_CONNECTION, LEDGER_IN_FLIGHT), 4);
    ck_assert_uint_eq(ends(b, ACCOUNT_STREAM, LEDGER_IN_FLIGHT), 1);
    bench_free(b);
}
END_TEST

START_TEST(large_answers_pass)
{
    struct bench *b = bench_new();

    seen.output_chars = 10 << 20;
    b->plan.duration_ns = 10 * S;
    bench_run(b);
    ck_assert_uint_gt(seen.results, 100);
    ck_assert_uint_ge(seen.bytes, seen.results * (10 << 20));
    bench_free(b);
}
END_TEST

START_TEST(cancelled_calls_leave_nothing_behind)
{
    struct bench *b = bench_new();

    seen.cancel_after_ns = 50 * MS;
    b->mcp = (struct plan_mcp){.name = "m", .service_ns = dist_constant(100 * MS), .concurrency = 1};
    b->faults[0] = (struct plan_fault){
        .kind = FAULT_LINK_CUT, .at_ns = 300 * S, .for_ns = S, .link = LINK_CONNECTOR_EDGE};
    b->plan.fault_count = 1;
    bench_run(b);
    ck_assert_uint_gt(seen.results, 450);
    ck_assert_uint_gt(ends(b, ACCOUNT_STREAM, LEDGER_COMPLETED), 450);
    /* The server has one place and no queue: a place that was not freed would show. */
    ck_assert_uint_eq(recorder_counter(b->recorder, COUNTER_REQUESTS_SHED), 0);
    bench_free(b);
}
END_TEST

START_TEST(all_connections_lost_at_once_on_many_tunnels)
{
    struct bench *b = bench_new();
    const struct histogram *usable, *reconnect;

    b->plan.tunnels.count = 1000;
    b->faults[0] = (struct plan_fault){
        .kind = FAULT_LINK_CUT, .at_ns = 300 * S, .for_ns = 1, .link = LINK_CONNECTOR_EDGE};
    b->plan.fault_count = 1;
    bench_run(b);
    usable = recorder_histogram(b->recorder, METRIC_TUNNEL_USABLE);
    reconnect = recorder_histogram(b->recorder, METRIC_TUNNEL_RECONNECT);
    ck_assert_uint_eq(histogram_count(usable), 1000);
    ck_assert_uint_eq(histogram_count(reconnect), 1000);
    /* The first of four U[0, 2 s), then U[0, 20 s), then 8 ms; standard error 0.18 s. */
    ck_assert_uint_gt(histogram_mean(usable), 9800 * MS);
    ck_assert_uint_lt(histogram_mean(usable), 11000 * MS);
    ck_assert_uint_lt(histogram_max(usable), 22100 * MS);
    ck_assert_uint_gt(histogram_mean(reconnect), histogram_mean(usable));
    ck_assert_uint_eq(ends(b, ACCOUNT_CONNECTION, LEDGER_LOST), 4000);
    ck_assert_uint_eq(ends(b, ACCOUNT_CONNECTION, LEDGER_IN_FLIGHT), 4000);
    ck_assert_uint_eq(seen.resets, 1);
    ck_assert_uint_gt(seen.refusals, 0);
    bench_free(b);
}
END_TEST

START_TEST(a_killed_edge)
{
    struct bench *b = bench_new();

    b->plan.tunnels.count = 100;
    b->faults[0] =
        (struct plan_fault){.kind = FAULT_KILL, .at_ns = 300 * S, .for_ns = S, .target = ADDR(ROLE_EDGE, 0)};
    b->plan.fault_count = 1;
    bench_run(b);
    /* The new edge knows nothing: the connectors record. */
    ck_assert_uint_eq(histogram_count(recorder_histogram(b->recorder, METRIC_TUNNEL_USABLE)), 100);
    ck_assert_uint_eq(histogram_count(recorder_histogram(b->recorder, METRIC_TUNNEL_RECONNECT)), 100);
    ck_assert_uint_gt(seen.results, 10000);
    bench_free(b);
}
END_TEST

START_TEST(a_killed_gateway)
{
    struct bench *b = bench_new();
    const struct histogram *usable;

    b->faults[0] = (struct plan_fault){
        .kind = FAULT_KILL, .at_ns = 300 * S, .for_ns = 2 * S, .target = ADDR(ROLE_CONNECTOR, 0)};
    b->faults[1] = (struct plan_fault){
        .kind = FAULT_KILL, .at_ns = 400 * S, .for_ns = 2 * S, .target = ADDR(ROLE_PROXY, 0)};
    b->faults[2] = (struct plan_fault){
        .kind = FAULT_KILL, .at_ns = 500 * S, .for_ns = 2 * S, .target = ADDR(ROLE_MCP, 0)};
    b->plan.fault_count = 3;
    bench_run(b);
    /* No back-off: number 0 at once, the others at their spacing. */
    usable = recorder_histogram(b->recorder, METRIC_TUNNEL_USABLE);
    ck_assert_uint_eq(histogram_count(usable), 1);
    ck_assert_uint_ge(histogram_max(usable), 2 * S);
    ck_assert_uint_le(histogram_max(usable), 2 * S + 10 * MS);
    ck_assert_uint_eq(histogram_count(recorder_histogram(b->recorder, METRIC_TUNNEL_RECONNECT)), 1);
    ck_assert_uint_eq(recorder_counter(b->recorder, COUNTER_BACKOFFS), 0);
    /* A dead proxy and a dead server are answers, not cuts of the tunnel. */
    ck_assert_uint_gt(seen.refusals, 0);
    ck_assert_uint_gt(seen.errors, 0);
    ck_assert_uint_gt(seen.results, 40000);
    bench_free(b);
}
END_TEST

/* Told to stop, dead when the grace is over, and back: meanwhile streams go on, and no new ones come. */
START_TEST(a_restarted_gateway)
{
    struct bench *b = bench_new();
    const struct histogram *usable;

    b->plan.tunnels.grace_ns = 10 * S;
    b->faults[0] = (struct plan_fault){
        .kind = FAULT_RESTART, .at_ns = 300 * S, .for_ns = 10 * S, .target = ADDR(ROLE_CONNECTOR, 0)};
    b->faults[1] = (struct plan_fault){
        .kind = FAULT_KILL, .at_ns = 310 * S, .for_ns = 2 * S, .target = ADDR(ROLE_CONNECTOR, 0)};
    b->plan.fault_count = 2;
    bench_run(b);
    usable = recorder_histogram(b->recorder, METRIC_TUNNEL_USABLE);
    ck_assert_uint_eq(histogram_count(usable), 1);
    /* From the word to the first registration of the new one. */
    ck_assert_uint_ge(histogram_max(usable), 12 * S);
    ck_assert_uint_le(histogram_max(usable), 12 * S + 10 * MS);
    ck_assert_uint_eq(recorder_counter(b->recorder, COUNTER_BACKOFFS), 0);
    ck_assert_uint_gt(seen.refusals, 0);
    bench_free(b);
}
END_TEST

START_TEST(a_restarted_edge)
{
    struct bench *b = bench_new();

    b->plan.tunnels.grace_ns = 10 * S;
    b->faults[0] = (struct plan_fault){
        .kind = FAULT_RESTART, .at_ns = 300 * S, .for_ns = 10 * S, .target = ADDR(ROLE_EDGE, 0)};
    b->faults[1] = (struct plan_fault){
        .kind = FAULT_KILL, .at_ns = 310 * S, .for_ns = 2 * S, .target = ADDR(ROLE_EDGE, 0)};
    b->plan.fault_count = 2;
    bench_run(b);
    ck_assert_uint_eq(histogram_count(recorder_histogram(b->recorder, METRIC_TUNNEL_USABLE)), 1);
    ck_assert_uint_gt(recorder_counter(b->recorder, COUNTER_BACKOFFS), 0);
    ck_assert_uint_gt(seen.refusals, 0);
    ck_assert_uint_eq(ends(b, ACCOUNT_CONNECTION, LEDGER_IN_FLIGHT), 4);
    bench_free(b);
}
END_TEST

START_TEST(a_half_open_link_is_found)
{
    struct bench *b = bench_new();

    b->plan.tunnels.edge_detect_ns = 10 * S;
    b->faults[0] = (struct plan_fault){
        .kind = FAULT_LINK_HALF_OPEN, .at_ns = 300 * S, .for_ns = 60 * S, .link = LINK_CONNECTOR_EDGE};
    b->plan.fault_count = 1;
    bench_run(b);
    ck_assert_uint_ge(recorder_counter(b->recorder, COUNTER_TIMEOUTS), 4);
    ck_assert_uint_ge(ends(b, ACCOUNT_CONNECTION, LEDGER_LOST), 4);
    ck_assert_uint_eq(ends(b, ACCOUNT_CONNECTION, LEDGER_IN_FLIGHT), 4);
    bench_free(b);
}
END_TEST

START_TEST(the_same_plan_gives_the_same_run)
{
    char digest[2][DIGEST_HEX_LEN + 1];

    for (int i = 0; i < 2; i++) {
        struct bench *b = bench_new();

        b->faults[0] = (struct plan_fault){
            .kind = FAULT_LINK_CUT, .at_ns = 300 * S, .for_ns = S, .link = LINK_CONNECTOR_EDGE};
        b->plan.fault_count = 1;
        bench_run(b);
        memcpy(digest[i], b->result.digest, sizeof digest[i]);
        bench_free(b);
    }
    ck_assert_str_eq(digest[0], digest[1]);
}
END_TEST

static int by_start(const void *a, const void *b)
{
    const struct plan_fault *x = a, *y = b;

    return (x->at_ns > y->at_ns) - (x->at_ns < y->at_ns);
}

static struct plan_fault random_fault(struct prng *p)
{
    const enum fault_kind kinds[] = {FAULT_KILL,           FAULT_LINK_CUT,   FAULT_LINK_STALL,
                                     FAULT_LINK_HALF_OPEN, FAULT_LINK_DELAY, FAULT_ANSWER};
    const enum link_id links[] = {LINK_ORCHESTRATOR_EDGE, LINK_CONNECTOR_EDGE, LINK_CONNECTOR_PROXY,
                                  LINK_PROXY_MCP};
    const enum role roles[] = {ROLE_MCP, ROLE_EDGE, ROLE_PROXY, ROLE_CONNECTOR};

    struct plan_fault f = {
        .kind = kinds[prng_below(p, 6)],
        .at_ns = prng_below(p, 200 * S),
        .for_ns = 1 + prng_below(p, 30 * S),
        .link = links[prng_below(p, 4)],
        .delay_ns = prng_below(p, S),
        .status = 503,
        .share_ppm = 300000,
    };

    if (f.kind == FAULT_KILL || f.kind == FAULT_ANSWER) f.target = ADDR(roles[prng_below(p, 4)], 0);
    return f;
}

/* In place of the first two. */
static void random_restart(struct bench *b, struct prng *p)
{
    struct plan_fault *f = b->faults;

    b->plan.tunnels.grace_ns = prng_below(p, 20 * S);
    f[0].kind = FAULT_RESTART;
    f[0].target = ADDR(prng_below(p, 2) ? ROLE_EDGE : ROLE_CONNECTOR, 0);
    f[0].for_ns = b->plan.tunnels.grace_ns;
    f[1] = f[0];
    f[1].kind = FAULT_KILL;
    f[1].at_ns = f[0].at_ns + f[0].for_ns;
    f[1].for_ns = 1 + prng_below(p, 10 * S);
}

START_TEST(any_faults_leave_balanced_books)
{
    struct bench *b = bench_new();
    struct prng p = prng_stream(_i, 0, "faults", 0, 0);

    seen.lines = LINES_MAX;
    seen.tunnels = 3;
    seen.output_chars = prng_below(&p, 300000);
    seen.cancel_after_ns = 200 * MS;
    b->plan.seed = _i;
    b->plan.duration_ns = 400 * S;
    b->plan.tunnels.count = 3;
    b->plan.tunnels.replicas = 1 + prng_below(&p, 2);
    b->plan.tunnels.streams_max = 1 + prng_below(&p, 4);
    b->plan.tunnels.edge_detect_ns = prng_below(&p, 2) ? 5 * S : 0;
    b->mcp.service_ns = dist_exponential(300 * MS);
    b->plan.fault_count = 8;
    for (int i = 0; i < 8; i++) b->faults[i] = random_fault(&p);
    if (prng_below(&p, 2)) random_restart(b, &p);
    qsort(b->faults, 8, sizeof b->faults[0], by_start);
    bench_run(b);
    ck_assert_uint_gt(seen.results, 100);
    bench_free(b);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tunnel_path");
    TCase *tc = tcase_create("tunnel_path");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, calls_pass);
    tcase_add_test(tc, large_answers_pass);
    tcase_add_test(tc, cancelled_calls_leave_nothing_behind);
    tcase_add_test(tc, all_connections_lost_at_once_on_many_tunnels);
    tcase_add_test(tc, a_killed_edge);
    tcase_add_test(tc, a_killed_gateway);
    tcase_add_test(tc, a_restarted_gateway);
    tcase_add_test(tc, a_restarted_edge);
    tcase_add_test(tc, a_half_open_link_is_found);
    tcase_add_test(tc, the_same_plan_gives_the_same_run);
    tcase_add_loop_test(tc, any_faults_leave_balanced_books, 0, 40);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
