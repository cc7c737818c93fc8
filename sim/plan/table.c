#include "sim/plan/finish.h"
#include "sim/plan/option.h"

/* Ranges that several options share. */
#define HOURS(n)     ((n)*3600 * NSEC_PER_S)
#define TIME_MAX     HOURS(UINT64_C(48))
#define MILLION      UINT64_C(1000000)
#define CHARS_MAX    (64 * MILLION)
#define PARALLEL_MAX (10 * UINT64_C(1000))

/* One line of a table: PUT(struct, field) says where it goes, RANGE() what it may be. */
#define PUT(type_, field)     .offset = offsetof(type_, field), .width = sizeof(((type_ *)0)->field)
#define COUNTED(type_, field) .count_offset = offsetof(type_, field)
#define RANGE(lo, hi)         .min = (lo), .max = (hi)
#define TABLE_OF(options_)    .options = options_, .count = sizeof(options_) / sizeof(options_[0])

_Static_assert(sizeof(enum arrival_process) == 4, "OPTION_WORD writes 4 bytes");

static const char *const type_words[] = {
    [OPTION_DURATION] = "a duration such as \"300ms\"",
    [OPTION_COUNT] = "a whole number",
    [OPTION_SIZE] = "a size such as \"64KiB\", or a whole number of bytes",
    [OPTION_RATE] = "a rate such as \"8/s\"",
    [OPTION_BANDWIDTH] = "a bandwidth such as \"100MB/s\", or \"unlimited\"",
    [OPTION_SHARE] = "a share such as \"0.5%\"",
    [OPTION_PRICE] = "a price such as \"$0.0000142\"",
    [OPTION_DURATIONS] = "a duration such as \"300ms\", or a distribution of durations",
    [OPTION_COUNTS] = "a whole number, or a distribution of whole numbers",
    [OPTION_STRING] = "a string",
    [OPTION_STRINGS] = "an array of strings",
    [OPTION_BOOL] = "true or false",
    [OPTION_WORD] = "one of a few words",
    [OPTION_WORDS] = "an array of words",
    [OPTION_REFERENCE] = "a name",
    [OPTION_SPAN] = "two durations such as [\"1s\", \"3s\"]",
    [OPTION_KNOTS] = "an array of knots such as [\"10s\", \"8/s\"]",
    [OPTION_TABLE] = "an object",
    [OPTION_MAP] = "an object",
    [OPTION_PATCH] = "an object",
    [OPTION_LIST] = "an array of objects",
};

const char *option_type_words(enum option_type type)
{
    return type_words[type];
}

/* Load ------------------------------------------------------------------------------------------------------
 */

static const char *const process_words[] = {"constant", "poisson", "closed", "at-once", NULL};

static const struct option load_options[] = {
    {"script", OPTION_REFERENCE, PUT(struct plan_load, script), .of = "scripts", .fallback = OPTION_REQUIRED,
     .help = "the script that these sessions run"},
    {"process", OPTION_WORD, PUT(struct plan_load, process), .words = process_words,
     .fallback = "\"poisson\"",
     .help = "how sessions arrive: evenly spaced, at random, from users who start the next session after the "
             "last, or all "
             "at one moment"},
    {"rate", OPTION_RATE, PUT(struct plan_load, knots), COUNTED(struct plan_load, knot_count),
     RANGE(0, 3600 * 100000), .fallback = OPTION_ABSENT,
     .help = "constant and poisson: sessions started; this or `ramp`"},
    {"ramp", OPTION_KNOTS, PUT(struct plan_load, knots), COUNTED(struct plan_load, knot_count),
     RANGE(0, 3600 * 100000), .fallback = OPTION_ABSENT,
     .help = "constant and poisson: the rate at moments of the run, linear between them; the first at 0s; at "
             "most 1000"},
    {"users", OPTION_COUNT, PUT(struct plan_load, users), RANGE(1, MILLION), .fallback = OPTION_ABSENT,
     .help = "closed: so many users"},
    {"think", OPTION_DURATIONS, PUT(struct plan_load, think_ns), RANGE(0, TIME_MAX), .fallback = "\"1s\"",
     .help = "closed: a user's pause between two sessions"},
    {"sessions", OPTION_COUNT, PUT(struct plan_load, sessions), RANGE(0, 10 * MILLION), .fallback = "0",
     .help = "at-once: how many sessions; otherwise a limit, 0 for none but the duration"},
    {"start", OPTION_DURATION, PUT(struct plan_load, start_ns), RANGE(0, TIME_MAX), .fallback = "\"0s\"",
     .help = "no arrival before"},
    {"patience", OPTION_DURATION, PUT(struct plan_load, patience_ns), RANGE(NSEC_PER_MS, TIME_MAX),
     .fallback = "\"10min\"",
     .help = "a session that is not over after this is given up and counted as lost"},
};
static const struct option_table load_table = {TABLE_OF(load_options), .size = sizeof(struct plan_load),
                                               .name_offset = offsetof(struct plan_load, name),
                                               .finish = load_finish};

/* Scripts ---------------------------------------------------------------------------------------------------
 */

static const char *const tool_words[] = {"bash", "", "read", NULL};

static const struct option call_options[] = {
    {"tool", OPTION_WORD, PUT(struct plan_call, tool), .words = tool_words, .fallback = OPTION_ABSENT,
     .help = "a tool in the sandbox: a command, or reading back, in pieces, all that this turn "
             "spilled and did not read yet; "
             "this or `mcp`"},
    {"mcp", OPTION_REFERENCE, PUT(struct plan_call, mcp), .of = "mcp", .fallback = OPTION_ABSENT,
     .help = "the MCP server that is called; this or `tool`"},
    {"count", OPTION_COUNT, PUT(struct plan_call, count), RANGE(1, PARALLEL_MAX), .fallback = "1",
     .help = "so many of these calls in parallel"},
    {"execution", OPTION_DURATIONS, PUT(struct plan_call, execution_ns), RANGE(0, TIME_MAX),
     .fallback = OPTION_ABSENT, .help = "bash, and required there: time in the sandbox"},
    {"output", OPTION_COUNTS, PUT(struct plan_call, output_chars), RANGE(0, CHARS_MAX),
     .fallback = OPTION_ABSENT,
     .help = "characters of output; required with bash; with mcp in place of the server's"},
};
static const struct option_table call_table = {TABLE_OF(call_options), .size = sizeof(struct plan_call),
                                               .name_offset = OPTION_NOT_STORED, .finish = call_finish};

static const struct option step_options[] = {
    {"model", OPTION_DURATIONS, PUT(struct step_draft, step.model_ns), RANGE(0, TIME_MAX),
     .fallback = OPTION_REQUIRED, .help = "the model's thinking before the calls"},
    {"repeat", OPTION_COUNT, PUT(struct step_draft, repeat), RANGE(1, 10000), .fallback = "1",
     .help = "so many copies of this step, one after the other"},
    {"calls", OPTION_LIST, PUT(struct step_draft, step.calls), COUNTED(struct step_draft, step.call_count),
     RANGE(1, 256), .fallback = OPTION_REQUIRED, .table = &call_table,
     .help = "the tool calls, all in parallel"},
};
static const struct option_table step_table = {TABLE_OF(step_options), .size = sizeof(struct step_draft),
                                               .name_offset = OPTION_NOT_STORED};

static const struct option answer_options[] = {
    {"model", OPTION_DURATIONS, PUT(struct turn_draft, turn.answer_model_ns), RANGE(0, TIME_MAX),
     .fallback = "\"500ms\"", .help = "the model's thinking before it speaks"},
    {"bytes", OPTION_SIZE, PUT(struct turn_draft, turn.answer_bytes), RANGE(1, MILLION), .fallback = "500",
     .help = "length of what it says"},
};
static const struct option_table answer_table = {TABLE_OF(answer_options), .name_offset = OPTION_NOT_STORED};

static const struct option turn_options[] = {
    {"think", OPTION_DURATIONS, PUT(struct turn_draft, turn.think_ns), RANGE(0, TIME_MAX),
     .fallback = "\"0s\"", .help = "the user's pause before the message"},
    {"message_bytes", OPTION_SIZE, PUT(struct turn_draft, turn.message_bytes), RANGE(1, MILLION),
     .fallback = "200", .help = "length of the user's message"},
    {"repeat", OPTION_COUNT, PUT(struct turn_draft, repeat), RANGE(1, 10000), .fallback = "1",
     .help = "so many copies of this turn, one after the other"},
    {"steps", OPTION_LIST, PUT(struct turn_draft, turn.steps), COUNTED(struct turn_draft, turn.step_count),
     RANGE(0, 1000), .fallback = "[]", .table = &step_table,
     .help = "model requests that call tools, one after the other; at most 10000 with all copies"},
    {"answer", OPTION_TABLE, .table = &answer_table, .fallback = "{}",
     .help = "the last model request, which speaks and ends the turn"},
};
static const struct option_table turn_table = {TABLE_OF(turn_options), .size = sizeof(struct turn_draft),
                                               .name_offset = OPTION_NOT_STORED, .finish = turn_finish};

static const struct option script_options[] = {
    {"turns", OPTION_LIST, PUT(struct plan_script, turns), COUNTED(struct plan_script, turn_count),
     RANGE(1, 1000), .fallback = OPTION_REQUIRED, .table = &turn_table,
     .help = "what happens from each message of the user to the answer; at most 10000 with all copies"},
};
static const struct option_table script_table = {TABLE_OF(script_options), .size = sizeof(struct plan_script),
                                                 .name_offset = offsetof(struct plan_script, name),
                                                 .finish = script_finish};

/* Orchestrator ----------------------------------------------------------------------------------------------
 */

static const char *const retry_words[] = {"reset", "5xx", "429", "timeout", NULL};

_Static_assert(offsetof(struct plan_retry, on_timeout) == offsetof(struct plan_retry, on_reset) + 3,
               "OPTION_WORDS writes bools in the order of the words");

static const struct option retry_options[] = {
    {"attempts", OPTION_COUNT, PUT(struct plan_retry, attempts_max), RANGE(1, 100), .fallback = "4",
     .help = "attempts of one call, the first included; 1 is no retry"},
    {"base", OPTION_DURATION, PUT(struct plan_retry, base_ns), RANGE(0, HOURS(1)), .fallback = "\"500ms\"",
     .help = "wait before the first retry; doubled for each more"},
    {"cap", OPTION_DURATION, PUT(struct plan_retry, cap_ns), RANGE(0, HOURS(1)), .fallback = "\"8s\"",
     .help = "longest wait"},
    {"jitter", OPTION_BOOL, PUT(struct plan_retry, jitter), .fallback = "true",
     .help = "each wait is uniform between 0 and the value"},
    {"on", OPTION_WORDS, PUT(struct plan_retry, on_reset), .words = retry_words,
     .fallback = "[\"reset\", \"5xx\", \"429\"]", .help = "what is tried again"},
};
static const struct option_table retry_table = {TABLE_OF(retry_options), .name_offset = OPTION_NOT_STORED,
                                                .finish = retry_finish};

static const struct option mcp_client_options[] = {
    {"attempt_timeout", OPTION_DURATION, PUT(struct plan_orchestrator, mcp_attempt_timeout_ns),
     RANGE(NSEC_PER_MS, HOURS(1)), .fallback = "\"60s\"",
     .help = "one attempt without an answer is given up"},
    {"retry", OPTION_TABLE, .offset = offsetof(struct plan_orchestrator, mcp_retry), .table = &retry_table,
     .fallback = "{}", .help = "when and how a failed attempt is made again"},
    {"streams", OPTION_COUNT, PUT(struct plan_orchestrator, mcp_streams_max), RANGE(1, 10000),
     .fallback = "32", .help = "tunnel streams kept for each tunnel and MCP server"},
    {"stream_idle", OPTION_DURATION, PUT(struct plan_orchestrator, mcp_stream_idle_ns), RANGE(0, HOURS(24)),
     .fallback = "\"60s\"", .help = "an idle tunnel stream is closed after this"},
    {"queue", OPTION_COUNT, PUT(struct plan_orchestrator, mcp_queue_max), RANGE(0, MILLION),
     .fallback = "1000",
     .help = "calls that wait for a stream, for each tunnel and MCP server; beyond, calls are shed"},
    {"direct", OPTION_BOOL, PUT(struct plan_orchestrator, mcp_direct), .fallback = "false",
     .help = "no tunnels: MCP servers are reached directly"},
};
static const struct option_table mcp_client_table = {TABLE_OF(mcp_client_options),
                                                     .name_offset = OPTION_NOT_STORED};

static const struct option orchestrator_options[] = {
    {"durable", OPTION_BOOL, PUT(struct plan_orchestrator, durable), .fallback = "true",
     .help = "sessions and the work queue survive a kill"},
    {"lease_ttl", OPTION_DURATION, PUT(struct plan_orchestrator, lease_ttl_ns), RANGE(NSEC_PER_S, HOURS(24)),
     .fallback = "\"300s\"", .help = "default lease of a work item"},
    {"lease_ttl_max", OPTION_DURATION, PUT(struct plan_orchestrator, lease_ttl_max_ns),
     RANGE(NSEC_PER_S, HOURS(24)), .fallback = "\"1h\"", .help = "longest lease that a worker may ask for"},
    {"reclaim", OPTION_DURATION, PUT(struct plan_orchestrator, reclaim_ns), RANGE(NSEC_PER_MS, HOURS(1)),
     .fallback = "\"5s\"",
     .help = "an item that was claimed but not acknowledged is offered again after this"},
    {"sessions_max", OPTION_COUNT, PUT(struct plan_orchestrator, sessions_max), RANGE(1, 10 * MILLION),
     .fallback = "100000", .help = "sessions at once; beyond, they are shed"},
    {"spill_threshold", OPTION_COUNT, PUT(struct plan_orchestrator, spill_threshold_chars),
     RANGE(1, CHARS_MAX), .fallback = "100000",
     .help = "an output of more characters is spilled to a file in the sandbox"},
    {"preview", OPTION_COUNT, PUT(struct plan_orchestrator, preview_chars), RANGE(0, MILLION),
     .fallback = "2000",
     .help = "characters of a spilled output that the model gets at once, after a note of its size and path"},
    {"read_piece", OPTION_COUNT, PUT(struct plan_orchestrator, read_piece_chars), RANGE(1, MILLION),
     .fallback = "50000", .help = "characters that one read call brings back"},
    {"call_timeout", OPTION_DURATION, PUT(struct plan_orchestrator, call_timeout_ns),
     RANGE(NSEC_PER_MS, TIME_MAX), .fallback = "\"300s\"",
     .help = "a tool call that is unanswered for this long ends as failed"},
    {"stream_buffer", OPTION_COUNT, PUT(struct plan_orchestrator, stream_buffer_events), RANGE(1, MILLION),
     .fallback = "1000", .help = "an event stream that is so many events behind is dropped"},
    {"mcp", OPTION_TABLE, .table = &mcp_client_table, .fallback = "{}",
     .help = "the client with which the orchestrator calls MCP servers"},
};
static const struct option_table orchestrator_table = {
    TABLE_OF(orchestrator_options), .name_offset = OPTION_NOT_STORED, .finish = orchestrator_finish};

/* Tunnels ---------------------------------------------------------------------------------------------------
 */

static const struct option backoff_options[] = {
    {"connection_base", OPTION_DURATION, PUT(struct plan_backoff, connection_base_ns), RANGE(0, HOURS(1)),
     .fallback = "\"1s\"", .help = "first stage: a connection's own wait is below base x 2^n"},
    {"connection_max_exponent", OPTION_COUNT, PUT(struct plan_backoff, connection_max_exponent), RANGE(0, 16),
     .fallback = "5", .help = "largest n of the first stage"},
    {"supervisor_base", OPTION_DURATION, PUT(struct plan_backoff, supervisor_base_ns), RANGE(0, HOURS(1)),
     .fallback = "\"10s\"", .help = "second stage: one shared timer that restarts all waiting connections"},
    {"supervisor_max_exponent", OPTION_COUNT, PUT(struct plan_backoff, supervisor_max_exponent), RANGE(0, 16),
     .fallback = "5", .help = "largest n of the second stage"},
    {"jitter", OPTION_BOOL, PUT(struct plan_backoff, jitter), .fallback = "true",
     .help = "each wait is uniform between 0 and the value"},
};
static const struct option_table backoff_table = {TABLE_OF(backoff_options),
                                                  .name_offset = OPTION_NOT_STORED};

static const struct option tunnel_options[] = {
    {"count", OPTION_COUNT, PUT(struct plan_tunnels, count), RANGE(1, MILLION), .fallback = "1",
     .help = "tunnels"},
    {"replicas", OPTION_COUNT, PUT(struct plan_tunnels, replicas), RANGE(1, 64), .fallback = "1",
     .help = "gateways (a connector and its proxy) for each tunnel"},
    {"connections", OPTION_COUNT, PUT(struct plan_tunnels, connections), RANGE(1, 64), .fallback = "4",
     .help = "connections of each connector to the edge"},
    {"spacing", OPTION_DURATION, PUT(struct plan_tunnels, spacing_ns), RANGE(0, HOURS(1)),
     .fallback = "\"1s\"", .help = "between the first dials of two connections"},
    {"register_timeout", OPTION_DURATION, PUT(struct plan_tunnels, register_timeout_ns),
     RANGE(NSEC_PER_MS, HOURS(1)), .fallback = "\"5s\"",
     .help = "a registration without an answer is given up"},
    {"grace", OPTION_DURATION, PUT(struct plan_tunnels, grace_ns), RANGE(0, 180 * NSEC_PER_S),
     .fallback = "\"30s\"",
     .help = "a gateway or an edge that is told to stop lets its streams end for so long"},
    {"streams", OPTION_COUNT, PUT(struct plan_tunnels, streams_max), RANGE(1, 100000), .fallback = "250",
     .help = "streams at once on one connection"},
    {"domain", OPTION_STRING, PUT(struct plan_tunnels, domain), RANGE(1, 128), .fallback = "\"tunnel.test\"",
     .help = "tunnel k is t<k>.<domain>; a server's host is <mcp name>.t<k>.<domain>"},
    {"detect", OPTION_DURATION, PUT(struct plan_tunnels, edge_detect_ns), RANGE(0, HOURS(24)),
     .fallback = "\"30s\"",
     .help =
         "a connection that is silent for so long is given up, at either end; the edge pings at half of it; "
         "0s is never"},
    {"upstream_connections", OPTION_COUNT, PUT(struct plan_tunnels, upstream_connections_max),
     RANGE(1, 10000), .fallback = "100", .help = "connections of a proxy to one MCP server"},
    {"backoff", OPTION_TABLE, .offset = offsetof(struct plan_tunnels, backoff), .table = &backoff_table,
     .fallback = "{}", .help = "waits before a lost connection is dialed again"},
};
static const struct option_table tunnel_table = {TABLE_OF(tunnel_options), .name_offset = OPTION_NOT_STORED};

/* MCP servers -----------------------------------------------------------------------------------------------
 */

static const struct option mcp_options[] = {
    {"service_time", OPTION_DURATIONS, PUT(struct plan_mcp, service_ns), RANGE(0, HOURS(1)),
     .fallback = OPTION_REQUIRED, .help = "time to answer one call"},
    {"output", OPTION_COUNTS, PUT(struct plan_mcp, output_chars), RANGE(0, CHARS_MAX), .fallback = "1000",
     .help = "characters of a result"},
    {"concurrency", OPTION_COUNT, PUT(struct plan_mcp, concurrency), RANGE(1, 100000), .fallback = "16",
     .help = "calls in service at once"},
    {"queue", OPTION_COUNT, PUT(struct plan_mcp, queue_max), RANGE(0, MILLION), .fallback = "256",
     .help = "calls that wait; beyond, 503"},
    {"error_rate", OPTION_SHARE, PUT(struct plan_mcp, error_ppm), RANGE(0, MILLION), .fallback = "\"0%\"",
     .help = "calls that are answered with 500"},
};
static const struct option_table mcp_table = {TABLE_OF(mcp_options), .size = sizeof(struct plan_mcp),
                                              .name_offset = offsetof(struct plan_mcp, name),
                                              .names = NAME_LABEL};

/* Runners ---------------------------------------------------------------------------------------------------
 */

static const char *const scope_words[] = {"session", "call", NULL};
static const char *const limit_words[] = {"queue", "shed", NULL};

_Static_assert(offsetof(struct plan_runner, poll_pause_max_ns) ==
                   offsetof(struct plan_runner, poll_pause_min_ns) + sizeof(nsec_t),
               "OPTION_SPAN writes both");

static const struct option runner_options[] = {
    {"instances", OPTION_COUNT, PUT(struct plan_runner, instances), RANGE(1, 10000), .fallback = "1",
     .help = "runner machines in this pool"},
    {"workers", OPTION_COUNT, PUT(struct plan_runner, workers), RANGE(1, 10000), .fallback = "4",
     .help = "sessions that one machine serves at once"},
    {"poll_block", OPTION_DURATION, PUT(struct plan_runner, poll_block_ns),
     RANGE(NSEC_PER_MS, 999 * NSEC_PER_MS), .fallback = "\"999ms\"",
     .help = "how long a poll for work waits at the orchestrator"},
    {"poll_pause", OPTION_SPAN, PUT(struct plan_runner, poll_pause_min_ns), RANGE(0, HOURS(1)),
     .fallback = "[\"1s\", \"3s\"]", .help = "pause after an empty poll, uniform between the two"},
    {"max_idle", OPTION_DURATION, PUT(struct plan_runner, max_idle_ns), RANGE(0, HOURS(24)),
     .fallback = "\"60s\"", .help = "a worker stays with a session for so long after its turn ended"},
    {"tool_timeout", OPTION_DURATION, PUT(struct plan_runner, tool_timeout_ns), RANGE(NSEC_PER_MS, HOURS(24)),
     .fallback = "\"120s\"", .help = "a tool call is cut off after this"},
    {"scope", OPTION_WORD, PUT(struct plan_runner, scope), .words = scope_words, .fallback = "\"session\"",
     .help = "one sandbox for a session, or one for each call"},
    {"provider", OPTION_STRING, PUT(struct plan_runner, provider), RANGE(0, 64), .fallback = "\"\"",
     .help = "whose sandboxes: a name in profiles/sandbox-tti.json, or, with `cold_start`, any"},
    {"regime", OPTION_STRING, PUT(struct plan_runner, regime), RANGE(0, 64), .fallback = "\"sequential\"",
     .help = "which of the provider's measurements: sequential or burst"},
    {"cold_start", OPTION_DURATIONS, PUT(struct plan_runner, cold_start_ns), RANGE(0, HOURS(1)),
     .fallback = OPTION_REQUIRED,
     .help = "time until a new sandbox is ready; default: the provider's measurements"},
    {"warm_start", OPTION_DURATIONS, PUT(struct plan_runner, warm_start_ns), RANGE(0, HOURS(1)),
     .fallback = OPTION_ABSENT,
     .help =
         "time until a waiting sandbox is ready; required with `prewarmed` or `warm`: nothing is guessed"},
    {"prewarmed", OPTION_COUNT, PUT(struct plan_runner, prewarmed), RANGE(0, 100000), .fallback = "0",
     .help = "sandboxes of one machine that are ready when the run starts, and are kept ready"},
    {"warm", OPTION_COUNT, PUT(struct plan_runner, warm_max), RANGE(0, 100000), .fallback = "0",
     .help = "used sandboxes of one machine that are kept for the next user"},
    {"warm_keep", OPTION_DURATION, PUT(struct plan_runner, warm_keep_ns), RANGE(0, TIME_MAX),
     .fallback = "\"5min\"", .help = "for how long they are kept"},
    {"parallel_per_agent", OPTION_COUNT, PUT(struct plan_runner, parallel_per_agent), RANGE(0, 100000),
     .fallback = "0",
     .help = "sandboxes at once for one agent, that is one session, wherever it runs; with scope call; 0 is "
             "no limit"},
    {"parallel_per_tenant", OPTION_COUNT, PUT(struct plan_runner, parallel_per_tenant), RANGE(0, MILLION),
     .fallback = "0",
     .help = "sandboxes at once for the tenant, that is all sessions of this pool: its instances share the "
             "limit evenly, a fixed part each; 0 is no limit"},
    {"on_limit", OPTION_WORD, PUT(struct plan_runner, on_limit), .words = limit_words,
     .fallback = "\"queue\"", .help = "what happens to a call for which a limit leaves no sandbox"},
    {"limit_queue", OPTION_COUNT, PUT(struct plan_runner, limit_queue_max), RANGE(0, MILLION),
     .fallback = "1000", .help = "calls of one machine that wait for a sandbox; beyond, they are shed"},
    {"snapshot", OPTION_DURATION, PUT(struct plan_runner, snapshot_ns), RANGE(0, HOURS(1)),
     .fallback = "\"0s\"", .help = "taken when a session's sandbox is released; 0s is none"},
    {"spill_write", OPTION_DURATIONS, PUT(struct plan_runner, spill_write_ns), RANGE(0, HOURS(1)),
     .fallback = "\"1ms\"", .help = "virtual time only: writing one spilled output"},
    {"spill_read", OPTION_DURATIONS, PUT(struct plan_runner, spill_read_ns), RANGE(0, HOURS(1)),
     .fallback = "\"200us\"", .help = "virtual time only: reading one piece back"},
    {"price_per_sandbox_second", OPTION_PRICE, PUT(struct plan_runner, price_nanodollars_per_sandbox_second),
     RANGE(0, UINT64_C(1000000000000)), .fallback = "\"$0\"", .help = "for the report; $0 is not given"},
};
static const struct option_table runner_table = {TABLE_OF(runner_options), .size = sizeof(struct plan_runner),
                                                 .name_offset = offsetof(struct plan_runner, name),
                                                 .prepare = runner_prepare, .finish = runner_finish};

/* Links -----------------------------------------------------------------------------------------------------
 */

static const struct option dial_cpu_tls_options[] = {
    {"client", OPTION_DURATION, PUT(struct plan_link, dial_cpu_client_ns), RANGE(0, NSEC_PER_S),
     .fallback = "\"410us\"", .help = "CPU of the side that dials"},
    {"server", OPTION_DURATION, PUT(struct plan_link, dial_cpu_server_ns), RANGE(0, NSEC_PER_S),
     .fallback = "\"190us\"", .help = "CPU of the side that is dialed"},
};
static const struct option_table dial_cpu_tls_table = {TABLE_OF(dial_cpu_tls_options),
                                                       .name_offset = OPTION_NOT_STORED};

static const struct option dial_cpu_plain_options[] = {
    {"client", OPTION_DURATION, PUT(struct plan_link, dial_cpu_client_ns), RANGE(0, NSEC_PER_S),
     .fallback = "\"30us\"", .help = "CPU of the side that dials"},
    {"server", OPTION_DURATION, PUT(struct plan_link, dial_cpu_server_ns), RANGE(0, NSEC_PER_S),
     .fallback = "\"30us\"", .help = "CPU of the side that is dialed"},
};
static const struct option_table dial_cpu_plain_table = {TABLE_OF(dial_cpu_plain_options),
                                                         .name_offset = OPTION_NOT_STORED};

/* Links differ by how often a dial goes there and back: once for TCP, once more for TLS, and once more where
 * the dialed side opens the stream on which the dialer registers. A WebSocket's upgrade is a message of its
 * own: M_TUNNEL_STREAM. */
#define LINK_OPTIONS(name, round_trips, cpu_table)                                                           \
    static const struct option name##_options[] = {                                                          \
        {"latency", OPTION_DURATIONS, PUT(struct plan_link, latency_ns), RANGE(0, 60 * NSEC_PER_S),          \
         .fallback = "\"50us\"", .help = "one way; beyond what the machine itself takes, in a live run"},    \
        {"rate", OPTION_BANDWIDTH, PUT(struct plan_link, bytes_per_second), RANGE(0, INT64_MAX),             \
         .fallback = "\"unlimited\"", .help = "bandwidth"},                                                  \
        {"dial_round_trips", OPTION_COUNT, PUT(struct plan_link, dial_round_trips), RANGE(0, 20),            \
         .fallback = round_trips,                                                                            \
         .help = "virtual time only: there and back before a new connection's first message"},               \
        {"dial_cpu", OPTION_TABLE, .table = &cpu_table, .fallback = "{}",                                    \
         .help = "virtual time only: CPU of a new connection's handshakes"},                                 \
        {"dial_timeout", OPTION_DURATION, PUT(struct plan_link, dial_timeout_ns),                            \
         RANGE(NSEC_PER_MS, HOURS(1)), .fallback = "\"15s\"",                                                \
         .help = "a dial without an answer is given up"},                                                    \
        {"keep_alive", OPTION_BOOL, PUT(struct plan_link, keep_alive), .fallback = "true",                   \
         .help = "an idle connection is used again"},                                                        \
        {"keep_alive_idle", OPTION_DURATION, PUT(struct plan_link, keep_alive_idle_ns),                      \
         RANGE(0, NSEC_PER_S * 60), .fallback = "\"60s\"",                                                   \
         .help = "an idle connection is closed after this"},                                                 \
    };                                                                                                       \
    static const struct option_table name##_table = {TABLE_OF(name##_options),                               \
                                                     .name_offset = OPTION_NOT_STORED}

LINK_OPTIONS(plain_link, "1", dial_cpu_plain_table);
LINK_OPTIONS(tls_link, "2", dial_cpu_tls_table);
LINK_OPTIONS(registering_link, "3", dial_cpu_tls_table);

#define LINK(name, id, table_, help_)                                                                        \
    {                                                                                                        \
        name, OPTION_TABLE, .offset = (id) * sizeof(struct plan_link), .table = &table_, .fallback = "{}",   \
                            .help = help_                                                                    \
    }

static const struct option link_options[] = {
    LINK("client-orchestrator", LINK_CLIENT_ORCHESTRATOR, tls_link_table, "the load to the control plane"),
    LINK("runner-orchestrator", LINK_RUNNER_ORCHESTRATOR, tls_link_table, "workers to the control plane"),
    LINK("orchestrator-edge", LINK_ORCHESTRATOR_EDGE, tls_link_table, "MCP calls into the tunnel"),
    LINK("connector-edge", LINK_CONNECTOR_EDGE, registering_link_table,
         "tunnel connections, dialed from inside"),
    LINK("connector-proxy", LINK_CONNECTOR_PROXY, plain_link_table, "within a gateway"),
    LINK("proxy-mcp", LINK_PROXY_MCP, plain_link_table, "a gateway to the MCP servers"),
    LINK("orchestrator-mcp", LINK_ORCHESTRATOR_MCP, plain_link_table, "MCP calls without a tunnel"),
};
static const struct option_table links_table = {TABLE_OF(link_options), .name_offset = OPTION_NOT_STORED};

/* Hosts -----------------------------------------------------------------------------------------------------
 */

/* Hosts differ by what they do with bytes: JSON is decoded, ciphertext is passed on. docs/CALIBRATION.md has
 * the measurements. */
#define HOST_OPTIONS(name, kilobyte)                                                                         \
    static const struct option name##_options[] = {                                                          \
        {"cores", OPTION_COUNT, PUT(struct plan_host, cores), RANGE(0, 1024), .fallback = "2",               \
         .help = "0 is infinitely fast"},                                                                    \
        {"message", OPTION_DURATION, PUT(struct plan_host, message_ns), RANGE(0, NSEC_PER_S),                \
         .fallback = "\"20us\"", .help = "CPU of each message that arrives; measured on loopback"},          \
        {"kilobyte", OPTION_DURATION, PUT(struct plan_host, kilobyte_ns), RANGE(0, NSEC_PER_S),              \
         .fallback = (kilobyte), .help = "CPU of each 1024 bytes of it; measured on loopback"},              \
    };                                                                                                       \
    static const struct option_table name##_table = {TABLE_OF(name##_options),                               \
                                                     .name_offset = OPTION_NOT_STORED}

HOST_OPTIONS(control_plane_host, "\"20us\"");
HOST_OPTIONS(api_client_host, "\"30us\"");
HOST_OPTIONS(forwarding_host, "\"4us\"");
HOST_OPTIONS(mcp_host, "\"1us\"");

#define HOST(name, role, table_, help_)                                                                      \
    {                                                                                                        \
        name, OPTION_TABLE, .offset = (role) * sizeof(struct plan_host), .table = &table_, .fallback = "{}", \
                            .help = help_                                                                    \
    }

static const struct option hosts_options[] = {
    HOST("mcp", ROLE_MCP, mcp_host_table, "each MCP server"),
    HOST("orchestrator", ROLE_ORCHESTRATOR, control_plane_host_table, "the control plane"),
    HOST("edge", ROLE_EDGE, forwarding_host_table, "the tunnel's edge"),
    HOST("proxy", ROLE_PROXY, forwarding_host_table, "each gateway's proxy"),
    HOST("connector", ROLE_CONNECTOR, forwarding_host_table, "each gateway's connector"),
    HOST("runner", ROLE_RUNNER, api_client_host_table, "each runner machine"),
    HOST("client", ROLE_CLIENT, api_client_host_table, "the load"),
};
static const struct option_table hosts_table = {TABLE_OF(hosts_options), .name_offset = OPTION_NOT_STORED};

/* Faults ----------------------------------------------------------------------------------------------------
 */

static const char *const fault_words[] = {"kill", "cut",    "stall",        "half-open", "delay",
                                          "rate", "answer", "worker-crash", "restart",   NULL};
static const char *const link_words[] = {
    "client-orchestrator", "runner-orchestrator", "orchestrator-edge", "connector-edge",
    "connector-proxy",     "proxy-mcp",           "orchestrator-mcp",  NULL};

static const struct option fault_options[] = {
    {"kind", OPTION_WORD, PUT(struct fault_draft, fault.kind), .words = fault_words,
     .fallback = OPTION_REQUIRED,
     .help = "kill: the target dies; cut, stall, half-open, delay, rate: of a link; answer: the target "
             "answers with a "
             "status; worker-crash: workers vanish after they acknowledged an item; restart: the target is "
             "told to "
             "stop, and dies after /tunnels/grace"},
    {"at", OPTION_DURATION, PUT(struct fault_draft, fault.at_ns), RANGE(0, TIME_MAX),
     .fallback = OPTION_REQUIRED, .help = "when, from the start of the run"},
    {"for", OPTION_DURATION, PUT(struct fault_draft, fault.for_ns), RANGE(NSEC_PER_MS, TIME_MAX),
     .fallback = OPTION_ABSENT,
     .help = "how long; a kill without it is for ever; of a restart: from its end to the new start; not for "
             "worker-crash"},
    {"target", OPTION_STRING, PUT(struct fault_draft, target), RANGE(1, 128), .fallback = OPTION_ABSENT,
     .help = "orchestrator, edge, mcp/NAME, gateway/N, connector/N, proxy/N, runner/N; ranges N-M; /* is "
             "every one; gateway "
             "is connector and proxy; gateway N is tunnel x replicas + replica"},
    {"link", OPTION_WORD, PUT(struct fault_draft, fault.link), .words = link_words, .fallback = OPTION_ABSENT,
     .help = "cut, stall, half-open, delay, rate: which link; `target` narrows it to an instance of its "
             "first-named role"},
    {"delay", OPTION_DURATION, PUT(struct fault_draft, fault.delay_ns), RANGE(1, HOURS(1)),
     .fallback = OPTION_ABSENT,
     .help = "delay: so much more, one way; worker-crash: so long after; without it at once"},
    {"rate", OPTION_BANDWIDTH, PUT(struct fault_draft, fault.bytes_per_second), RANGE(1, INT64_MAX),
     .fallback = OPTION_ABSENT, .help = "rate: bandwidth meanwhile"},
    {"status", OPTION_COUNT, PUT(struct fault_draft, fault.status), RANGE(400, 599),
     .fallback = OPTION_ABSENT, .help = "answer: HTTP status"},
    {"share", OPTION_SHARE, PUT(struct fault_draft, fault.share_ppm), RANGE(1, MILLION),
     .fallback = OPTION_ABSENT, .help = "answer: of the requests; without it all of them"},
    {"retry_after", OPTION_DURATION, PUT(struct fault_draft, fault.retry_after_ns),
     RANGE(NSEC_PER_S, HOURS(1)), .fallback = OPTION_ABSENT,
     .help = "answer: what the peer is told to wait; edge and proxy say whole seconds, rounded up"},
    {"count", OPTION_COUNT, PUT(struct fault_draft, fault.count), RANGE(1, 100000), .fallback = OPTION_ABSENT,
     .help = "worker-crash: so many workers; without it one"},
};
static const struct option_table fault_table = {TABLE_OF(fault_options), .size = sizeof(struct fault_draft),
                                                .name_offset = OPTION_NOT_STORED, .finish = fault_finish};

/* Live, spans, deployments ----------------------------------------------------------------------------------
 */

static const struct option live_options[] = {
    {"gateway_processes", OPTION_COUNT, PUT(struct plan_live, gateway_processes), RANGE(0, 256),
     .fallback = "1", .help = "gateways are spread over so many processes; 0 is one each"},
    {"mcp_processes", OPTION_COUNT, PUT(struct plan_live, mcp_processes), RANGE(0, 256), .fallback = "1",
     .help = "MCP servers are spread over so many processes; 0 is one each"},
    {"runner_processes", OPTION_COUNT, PUT(struct plan_live, runner_processes), RANGE(0, 256),
     .fallback = "1", .help = "runner machines are spread over so many processes; 0 is one each"},
    {"relay", OPTION_BOOL, PUT(struct plan_live, relay_links), .fallback = "false",
     .help =
         "a relay on every link; without it on those that need one: with a rate, a mean latency of 200us or "
         "more, or a fault"},
    {"keep_awake", OPTION_BOOL, PUT(struct plan_live, keep_awake), .fallback = "false",
     .help =
         "processors do not sleep, so that a virtual machine too wakes the load in time; what nobody else "
         "uses of them is used for nothing"},
    {"schedule_lag", OPTION_DURATION, PUT(struct plan_live, schedule_lag_max_ns),
     RANGE(NSEC_PER_MS, HOURS(1)), .fallback = "\"50ms\"",
     .help = "a run whose load came later than this is invalid (docs/RESULTS.md); more where only behaviour "
             "counts, "
             "as with sanitizers"},
};
static const struct option_table live_table = {TABLE_OF(live_options), .name_offset = OPTION_NOT_STORED};

static const struct option span_options[] = {
    {"max", OPTION_COUNT, PUT(struct plan, spans_max), RANGE(0, 100 * MILLION), .fallback = "1000000",
     .help = "marks that are kept; beyond, calls are sampled by hash"},
    {"sample", OPTION_COUNT, PUT(struct plan, span_sample_every), RANGE(1, MILLION), .fallback = "1",
     .help = "one call of so many is traced"},
};
static const struct option_table span_table = {TABLE_OF(span_options), .name_offset = OPTION_NOT_STORED};

static const struct option deployment_options[] = {
    {"informational", OPTION_BOOL, PUT(struct deployment_draft, informational), .fallback = "false",
     .help = "objectives that it misses do not fail the run"},
    {"about", OPTION_STRING, PUT(struct deployment_draft, about), RANGE(0, 4000), .fallback = "\"\"",
     .help = "for people"},
    {"set", OPTION_PATCH, .offset = OPTION_NOT_STORED, .fallback = "{}",
     .help = "what differs from the scenario: a JSON merge patch (RFC 7386) over the document; null removes "
             "a key"},
};
static const struct option_table deployment_table = {
    TABLE_OF(deployment_options), .size = sizeof(struct deployment_draft),
    .name_offset = offsetof(struct deployment_draft, name), .names = NAME_FOLDER};

/* The document ----------------------------------------------------------------------------------------------
 */

static const char *const schema_words[] = {PLAN_SCHEMA, NULL};

static const struct option scenario_options[] = {
    {"$schema", OPTION_STRING, PUT(struct draft, editor_schema), RANGE(0, 1000), .fallback = OPTION_ABSENT,
     .help = "for editors; ignored"},
    {"schema", OPTION_WORD, .offset = OPTION_NOT_STORED, .words = schema_words, .fallback = OPTION_REQUIRED,
     .help = "the format and its version"},
    {"name", OPTION_STRING, PUT(struct draft, plan.scenario_name), RANGE(1, 64), .fallback = OPTION_REQUIRED,
     .help = "of the scenario, in reports"},
    {"about", OPTION_STRING, PUT(struct draft, plan.about), RANGE(0, 4000), .fallback = "\"\"",
     .help = "for people"},
    {"duration", OPTION_DURATION, PUT(struct draft, plan.duration_ns), RANGE(NSEC_PER_MS, TIME_MAX),
     .fallback = OPTION_REQUIRED, .help = "sessions start for so long"},
    {"drain", OPTION_DURATION, PUT(struct draft, plan.drain_ns), RANGE(0, TIME_MAX), .fallback = "\"10s\"",
     .help = "and may end for so long after; both together at most 48h"},
    {"interval", OPTION_DURATION, PUT(struct draft, plan.interval_ns), RANGE(10 * NSEC_PER_MS, HOURS(1)),
     .fallback = "\"1s\"", .help = "of the report's time axis; at most 200000 intervals"},
    {"load", OPTION_MAP, PUT(struct draft, plan.loads), COUNTED(struct draft, plan.load_count), RANGE(1, 64),
     .fallback = OPTION_REQUIRED, .table = &load_table, .help = "who starts sessions, and when"},
    {"scripts", OPTION_MAP, PUT(struct draft, plan.scripts), COUNTED(struct draft, plan.script_count),
     RANGE(1, 256), .fallback = OPTION_REQUIRED, .table = &script_table,
     .help = "what happens in a session; the name is the agent's"},
    {"orchestrator", OPTION_TABLE, .offset = offsetof(struct draft, plan.orchestrator),
     .table = &orchestrator_table, .fallback = "{}", .help = "control plane and agent loop"},
    {"tunnels", OPTION_TABLE, .offset = offsetof(struct draft, plan.tunnels), .table = &tunnel_table,
     .fallback = "{}",
     .help = "connections dialed from inside; the defaults are those of cloudflared 2026.8.2"},
    {"mcp", OPTION_MAP, PUT(struct draft, plan.mcp), COUNTED(struct draft, plan.mcp_count), RANGE(0, 1024),
     .fallback = "{}", .table = &mcp_table, .help = "MCP servers; each tunnel reaches all of them"},
    {"runners", OPTION_MAP, PUT(struct draft, plan.runners), COUNTED(struct draft, plan.runner_count),
     RANGE(0, 64), .fallback = "{}", .table = &runner_table, .help = "pools of workers and their sandboxes"},
    {"links", OPTION_TABLE, .offset = offsetof(struct draft, plan.links), .table = &links_table,
     .fallback = "{}", .help = "what lies between two components"},
    {"hosts", OPTION_TABLE, .offset = offsetof(struct draft, plan.hosts), .table = &hosts_table,
     .fallback = "{}", .help = "CPU of each component, in virtual time"},
    {"faults", OPTION_LIST, PUT(struct draft, faults), COUNTED(struct draft, fault_count), RANGE(0, 10000),
     .fallback = "[]", .table = &fault_table, .help = "what breaks, and when"},
    {"objectives", OPTION_STRINGS, PUT(struct draft, objectives), COUNTED(struct draft, objective_count),
     RANGE(0, 256), .fallback = "[]", .help = "what a good run looks like, such as \"p99(mcp.call) < 2s\""},
    {"live", OPTION_TABLE, .offset = offsetof(struct draft, plan.live), .table = &live_table,
     .fallback = "{}", .help = "processes of a live run"},
    {"spans", OPTION_TABLE, .offset = offsetof(struct draft, plan), .table = &span_table, .fallback = "{}",
     .help = "traces of single calls"},
    {"deployments", OPTION_MAP, PUT(struct draft, deployments), COUNTED(struct draft, deployment_count),
     RANGE(0, PLAN_DEPLOYMENTS_MAX), .fallback = "{}", .table = &deployment_table,
     .help = "variants that are compared; without any there is one called default"},
};
const struct option_table scenario_table = {TABLE_OF(scenario_options), .size = sizeof(struct draft),
                                            .name_offset = OPTION_NOT_STORED};
