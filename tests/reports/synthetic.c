#include "tests/reports/synthetic.h"

#include "sim/base/panic.h"

#include <stdio.h>

#define SESSIONS 40
#define CALLS    600

static const char *const flow_names[] = {"none", "ok", "error"};

static void plan_fill(struct synthetic *s)
{
    s->objectives[0] = (struct plan_objective){
        "ratio(session.completed) > 90%", OBJECTIVE_RATIO, 0, "session.completed", CMP_GT, 900000};
    s->objectives[1] = (struct plan_objective){
        "p99(tool.call) < 2s", OBJECTIVE_QUANTILE, 990000, "tool.call", CMP_LT, 2 * NSEC_PER_S};
    s->objectives[2] = (struct plan_objective){
        "p99.9(tool.call) < 9s", OBJECTIVE_QUANTILE, 999000, "tool.call", CMP_LT, 9 * NSEC_PER_S};
    s->objectives[3] =
        (struct plan_objective){"count(call.lost) == 0", OBJECTIVE_COUNT, 0, "call.lost", CMP_EQ, 0};
    s->objectives[4] =
        (struct plan_objective){"rate(retries) <= 1/s", OBJECTIVE_RATE, 0, "retries", CMP_LE, 3600};
    s->objectives[5] =
        (struct plan_objective){"mean(mcp.call) < 1s", OBJECTIVE_MEAN, 0, "mcp.call", CMP_LT, NSEC_PER_S};
    s->objectives[6] =
        (struct plan_objective){"max(queue.wait) >= 1us", OBJECTIVE_MAX, 0, "queue.wait", CMP_GE, 1000};
    s->faults[0] = (struct plan_fault){.kind = FAULT_KILL,
                                       .at_ns = 3 * NSEC_PER_S,
                                       .for_ns = NSEC_PER_S,
                                       .target = ADDR(ROLE_ORCHESTRATOR, 0),
                                       .target_text = "orchestrator"};
    s->faults[1] = (struct plan_fault){.kind = FAULT_LINK_CUT,
                                       .at_ns = 5 * NSEC_PER_S,
                                       .for_ns = NSEC_PER_S,
                                       .link = LINK_CONNECTOR_EDGE,
                                       .target = ADDR(ROLE_CONNECTOR, 0),
                                       .source = 1,
                                       .target_text = "connector/0-1"};
    s->faults[2] = s->faults[1];
    s->faults[2].target = ADDR(ROLE_CONNECTOR, 1);
    s->faults[3] = s->faults[0];
    s->faults[3].at_ns = 5 * NSEC_PER_S;
    s->faults[3].source = 2;
    s->faults[4] = (struct plan_fault){.kind = FAULT_ANSWER,
                                       .at_ns = 6 * NSEC_PER_S,
                                       .for_ns = 2 * NSEC_PER_S,
                                       .target = ADDR(ROLE_MCP, 1),
                                       .source = 3,
                                       .target_text = "mcp/search",
                                       .status = 503,
                                       .share_ppm = 250000};
    s->faults[5] = (struct plan_fault){.kind = FAULT_LINK_DELAY,
                                       .at_ns = 7 * NSEC_PER_S,
                                       .for_ns = NSEC_PER_S,
                                       .link = LINK_RUNNER_ORCHESTRATOR,
                                       .source = 4,
                                       .delay_ns = 40 * NSEC_PER_MS};
    for (int i = 0; i < 6; i++) s->faults[i].first = i != 2;
    s->runners[0] =
        (struct plan_runner){.name = "pool", .instances = 1, .price_nanodollars_per_sandbox_second = 26430};
    s->mcp[0].name = "files";
    s->mcp[1].name = "search";
    s->plan = (struct plan){
        .scenario_name = "storm <b>&amp;",
        .about = "A run that never took place, with \"quotes\" and </script><script>alert(1)</script>.",
        .deployment = "queue/größe",
        .scenario_sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        .seed = UINT64_C(9223372036854775807),
        .replicate = 2,
        .duration_ns = 10 * NSEC_PER_S,
        .drain_ns = 5 * NSEC_PER_S,
        .interval_ns = NSEC_PER_S,
        .tunnels = {.count = 2, .replicas = 1, .connections = 2},
        .mcp = s->mcp,
        .mcp_count = 2,
        .runners = s->runners,
        .runner_count = 1,
        .faults = s->faults,
        .fault_count = 6,
        .objectives = s->objectives,
        .objective_count = 7,
    };
}

static void one_session(struct synthetic *s, uint32_t i)
{
    uint32_t slot = recorder_open(s->recorder, ACCOUNT_SESSION);

    recorder_record(s->recorder, METRIC_SESSION_TOTAL, (i + 1) * 100 * NSEC_PER_MS);
    recorder_record(s->recorder, METRIC_SCHEDULE_LAG, 0);
    recorder_end(s->recorder, ACCOUNT_SESSION, slot, i % 20 == 19 ? LEDGER_FAILED : LEDGER_COMPLETED);
}

/* A call of a worker, or every third time of an MCP server, with all its marks. */
static void one_call(struct synthetic *s, uint32_t i)
{
    struct recorder *r = s->recorder;
    uint64_t id = UINT64_C(0xf000000000000000) + i;
    nsec_t start = (nsec_t)i * 15 * NSEC_PER_MS, length = 20 * NSEC_PER_MS + (nsec_t)i * i * 3000;
    uint32_t slot = recorder_open(r, ACCOUNT_CALL);

    recorder_mark(r, id, MARK_CALL_START, start);
    if (i % 3 == 0) {
        recorder_mark(r, id, MARK_ATTEMPT_START, start + length / 10);
        recorder_mark(r, id, MARK_STREAM_READY, start + length / 5);
        recorder_mark(r, id, MARK_GATEWAY_IN, start + length / 4);
        recorder_mark(r, id, MARK_UPSTREAM_IN, start + length / 3);
        recorder_mark(r, id, MARK_UPSTREAM_OUT, start + length / 2);
        recorder_mark(r, id, MARK_GATEWAY_OUT, start + length / 2 + 7);
        recorder_mark(r, id, MARK_ATTEMPT_END, start + length - 1);
        recorder_record(r, METRIC_MCP_CALL, length);
        recorder_record_split(r, SPLIT_SERVER, i % 2, length);
    } else {
        recorder_mark(r, id, MARK_QUEUED, start + 1);
        recorder_mark(r, id, MARK_CLAIMED, start + length / 7);
        recorder_mark(r, id, MARK_SANDBOX_READY, start + length / 3);
        recorder_mark(r, id, MARK_EXEC_DONE, start + length * 4 / 5);
        recorder_mark(r, id, MARK_RESULT_SENT, start + length * 4 / 5 + 11);
        recorder_mark(r, id, MARK_RESULT_BACK, start + length - 3);
    }
    recorder_mark(r, id, MARK_CALL_END, start + length);
    recorder_record(r, METRIC_TOOL_CALL, length);
    recorder_record(r, METRIC_QUEUE_WAIT, length / 7 + 400);
    if (i % 100 == 0) recorder_record(r, METRIC_TUNNEL_USABLE, length);
    recorder_flow(r, WAY(LINK_CLIENT_ORCHESTRATOR, 1), 1, FLOW_EMITTED, 1);
    recorder_flow(r, WAY(LINK_CLIENT_ORCHESTRATOR, 1), 1, FLOW_DECODED, 1);
    recorder_end(r, ACCOUNT_CALL, slot, i == 77 ? LEDGER_LOST : LEDGER_COMPLETED);
}

static void record(struct synthetic *s)
{
    const struct recorder *all[1];
    uint32_t in_flight;

    all[0] = s->recorder;
    for (uint32_t i = 0; i < CALLS; i++) {
        if (i % (CALLS / SESSIONS) == 0) one_session(s, i / (CALLS / SESSIONS));
        one_call(s, i);
        recorder_count(s->recorder, COUNTER_CONNECTIONS, i / 60 == 4 ? 3 : 1);
        if (i % 60 == 59) interval_cut(s->series, all, 1, (i / 60 + 1) * NSEC_PER_S);
    }
    interval_finish(s->series, all, 1, 12 * NSEC_PER_S);
    in_flight = recorder_open(s->recorder, ACCOUNT_CONNECTION);
    recorder_end(s->recorder, ACCOUNT_CONNECTION, in_flight, LEDGER_IN_FLIGHT);
    recorder_record(s->recorder, METRIC_EVENT_DELIVERY, 4000 * NSEC_PER_S);
    recorder_count(s->recorder, COUNTER_RETRIES, 12);
    recorder_count(s->recorder, COUNTER_SANDBOX_NS, 1234567890123);
    recorder_flow(s->recorder, WAY(LINK_PROXY_MCP, 0), 9, FLOW_EMITTED, 3);
    recorder_flow(s->recorder, WAY(LINK_PROXY_MCP, 0), 9, FLOW_RETURNED, 2);
    recorder_flow(s->recorder, WAY(LINK_PROXY_MCP, 0), 9, FLOW_CUT, 1);
}

static void spans(struct synthetic *s)
{
    struct span_source source = span_buffer_source(recorder_spans(s->recorder));
    struct span_join_options options = {.slowest_max = 3};

    ASSERT(span_join(&source, 1, &options, &s->spans) == 0);
    recorder_add_hops(s->recorder, s->spans);
}

void synthetic_init(struct synthetic *s)
{
    struct recorder_options options = {
        .marks_max = 20000, .sample_every = 1, .split_sizes = {[SPLIT_SERVER] = 2}};
    struct interval_options intervals = {.intervals_max = 100, .bytes_max = INTERVAL_BYTES_MIN};

    *s = (struct synthetic){.recorder = NULL};
    for (enum account a = 0; a < ACCOUNT_COUNT; a++) options.ledger.slots_max[a] = 100;
    ASSERT(recorder_new(&options, &s->recorder) == 0);
    ASSERT(interval_series_new(&intervals, &s->series) == 0);
    plan_fill(s);
    record(s);
    spans(s);
    s->host = (struct host_facts){.cpu_model = "Some CPU",
                                  .cores = 2,
                                  .kernel = "Linux 6.1",
                                  .compiler = "gcc 12",
                                  .build = "0.1.0",
                                  .started_unix_ns = UINT64_C(1700000000123456789),
                                  .elapsed_ns = 1500 * NSEC_PER_MS,
                                  .memory_max_bytes = 5u << 20};
    s->run = (struct run_result){
        .plan = &s->plan,
        .clock = "virtual",
        .digest = "00112233445566778899aabbccddeeff",
        .host = &s->host,
        .recorder = s->recorder,
        .series = s->series,
        .spans = s->spans,
        .end_ns = 12 * NSEC_PER_S,
        .engine = {.deliveries = 123456, .polls = 1000, .timers = 2000, .timers_dead = 3},
        .flow_names = flow_names,
        .flow_name_count = 3,
    };
}

void synthetic_deinit(struct synthetic *s)
{
    recorder_free(s->recorder);
    interval_series_free(s->series);
    span_report_free(s->spans);
}

struct result *synthetic_result(const struct synthetic *s)
{
    struct result *r = NULL;

    ASSERT(result_new(&s->run, &r) == 0);
    return r;
}
