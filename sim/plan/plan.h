/*
 * The immutable plan: everything that a run may know, resolved from a scenario, one deployment, a seed and a
 * replicate. Plain data, no pointers out of it but its own arrays; nothing here changes after
 * plan_load() but scenario_sha256, which whoever loads it may fill in.
 *
 * Units stand last in a name. Times are relative to the start of the run. Probabilities are parts per
 * million.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/base/nsec.h"
#include "sim/base/sampler.h"

/* What a component is. The order is the order of start; it is part of an address. */
enum role {
    ROLE_NONE = 0,
    ROLE_MCP,          /* a synthetic MCP server */
    ROLE_ORCHESTRATOR, /* control plane, agent loop, MCP client */
    ROLE_EDGE,         /* the tunnel's outside end */
    ROLE_PROXY,        /* gateway, inner half: ends the inner TLS, routes to MCP servers */
    ROLE_CONNECTOR,    /* gateway, outer half: dials the edge, relays streams to its proxy */
    ROLE_RUNNER,       /* environment workers and their sandbox pool */
    ROLE_CLIENT,       /* the load */
    ROLE_DISK,         /* a runner's file system, by the runner's ordinal: no component, drivers serve it */
    ROLE_COUNT,
};

/* Address of a component: role and ordinal. 0 is nobody. */
typedef uint32_t addr_t;
#define ADDR(role, ordinal) ((addr_t)(((uint32_t)(role) << 24) | (uint32_t)(ordinal)))
#define ADDR_ROLE(addr)     ((enum role)((addr) >> 24))
#define ADDR_ORDINAL(addr)  ((uint32_t)(addr)&0xffffffu)

/* Load ------------------------------------------------------------------------------------------------------
 */

enum arrival_process {
    ARRIVAL_CONSTANT, /* open model, evenly spaced */
    ARRIVAL_POISSON,  /* open model, exponential gaps */
    ARRIVAL_CLOSED,   /* `users` users, each starts its next session after think time */
    ARRIVAL_AT_ONCE,  /* open model, `sessions` sessions all at `start_ns` */
};

/* A knot of a piecewise linear rate: between knots the rate is interpolated. */
struct rate_knot {
    nsec_t at_ns;
    uint64_t per_hour; /* sessions per hour: an integer that holds fractions of a session a second */
};

struct plan_load {
    const char *name;
    enum arrival_process process;
    uint32_t script;         /* index into scripts */
    struct rate_knot *knots; /* open models: at least one; a constant rate is one knot */
    uint32_t knot_count;
    uint32_t users;       /* closed model */
    struct dist think_ns; /* closed model: between one user's sessions */
    uint64_t sessions;    /* AT_ONCE: how many; otherwise a limit, 0 = none but the duration */
    nsec_t start_ns;      /* first arrival not before */
    nsec_t patience_ns;   /* a session not over after this is given up (lost); never 0 */
};

/* What a call does. */
enum tool {
    TOOL_BASH,  /* runs in a sandbox: execution time, output */
    TOOL_WRITE, /* writes a file in the sandbox (spilled MCP results) */
    TOOL_READ,  /* reads a piece of a file in the sandbox */
    TOOL_MCP,   /* a call to an MCP server through the tunnel */
};

struct plan_call {
    enum tool tool;           /* BASH or MCP; READ: read the step before's spilled outputs back in pieces */
    uint32_t count;           /* so many in parallel, >= 1 */
    uint32_t mcp;             /* MCP: index into mcp servers */
    struct dist execution_ns; /* BASH: time in the sandbox; MCP: ignored (the server's service time counts) */
    struct dist output_chars; /* BASH: characters of output; MCP: overrides the server's when output_given */
    bool output_given;
};

/* One model request: it thinks, then calls tools in parallel (none: it speaks and the turn ends). */
struct plan_step {
    struct dist model_ns;
    struct plan_call *calls;
    uint32_t call_count;
};

struct plan_turn {
    struct dist think_ns; /* the user's, before the message; for the first turn 0 is usual */
    uint32_t message_bytes;
    struct plan_step *steps;
    uint32_t step_count;
    struct dist answer_model_ns; /* the last model request, which speaks */
    uint32_t answer_bytes;
};

struct plan_script {
    const char *name; /* also the agent's name */
    struct plan_turn *turns;
    uint32_t turn_count;
    uint32_t calls_max; /* calls in the largest step, READ pieces included as an estimate */
};

/* Retry, as the orchestrator's MCP client does it. */
struct plan_retry {
    uint32_t attempts_max;  /* 1 = never again */
    nsec_t base_ns, cap_ns; /* wait before retry n (from 0): uniform in [0, min(cap, base·2^n)] or exactly the
                               cap when jitter is off; a retry-after of the peer is a lower bound */
    bool jitter;
    bool on_reset, on_status_5xx, on_status_429, on_timeout;
};

/* Orchestrator ----------------------------------------------------------------------------------------------
 */

struct plan_orchestrator {
    bool durable;        /* sessions and the queue survive a kill */
    nsec_t lease_ttl_ns; /* default lease of a work item */
    nsec_t lease_ttl_max_ns;
    nsec_t reclaim_ns; /* default for claimed-but-not-acknowledged */
    uint32_t sessions_max;
    uint64_t spill_threshold_chars; /* an output above is spilled to a file */
    uint32_t preview_chars;
    uint32_t read_piece_chars; /* size of one piece when the script reads back */
    nsec_t call_timeout_ns;    /* a tool call unanswered for this long ends failed */
    nsec_t mcp_attempt_timeout_ns;
    struct plan_retry mcp_retry;
    uint32_t mcp_streams_max;  /* tunnel streams kept for each (tunnel, MCP server) */
    nsec_t mcp_stream_idle_ns; /* an idle tunnel stream is closed after this */
    uint32_t mcp_queue_max; /* calls waiting for a tunnel stream, for each (tunnel, server); beyond: shed */
    uint32_t stream_buffer_events; /* an event stream further behind than this is dropped (laggard) */
    bool mcp_direct;               /* deployment without tunnels: MCP servers are reached directly */
};

/* Tunnels ---------------------------------------------------------------------------------------------------
 */

/* Connector back-off; defaults are cloudflared's, wire notes connector-behaviour. */
struct plan_backoff {
    nsec_t connection_base_ns;        /* first stage, 1 s */
    uint32_t connection_max_exponent; /* 5: cap 32 s */
    nsec_t supervisor_base_ns;        /* second stage, shared timer, 10 s */
    uint32_t supervisor_max_exponent;
    bool jitter; /* full jitter: uniform in [0, base·2^n) */
};

struct plan_tunnels {
    uint32_t count;
    uint32_t replicas;    /* connectors for each tunnel */
    uint32_t connections; /* for each connector */
    nsec_t spacing_ns;    /* between the first dials of connections 1, 2, … */
    nsec_t register_timeout_ns;
    nsec_t grace_ns;      /* drain */
    uint32_t streams_max; /* at once on one connection */
    struct plan_backoff backoff;
    const char *domain;    /* tunnel k is t<k>.<domain>; a host is <mcp name>.t<k>.<domain> */
    nsec_t edge_detect_ns; /* a connection silent for so long is given up, at either end; 0 = never */
    uint32_t upstream_connections_max; /* proxy to one MCP server */
};

/* MCP servers -----------------------------------------------------------------------------------------------
 */

struct plan_mcp {
    const char *name;
    struct dist service_ns;
    struct dist output_chars;
    uint32_t concurrency; /* calls in service at once */
    uint32_t queue_max;   /* waiting; beyond: 503 */
    uint32_t error_ppm;   /* calls answered with 500 */
};

/* Sandboxes -------------------------------------------------------------------------------------------------
 */

enum sandbox_scope { SANDBOX_PER_SESSION, SANDBOX_PER_CALL };
enum limit_policy { LIMIT_QUEUE, LIMIT_SHED };

struct plan_runner {
    const char *name;
    uint32_t instances;                          /* runner components */
    uint32_t workers;                            /* in each: sessions served at once */
    nsec_t poll_block_ns;                        /* 1–999 ms */
    nsec_t poll_pause_min_ns, poll_pause_max_ns; /* after an empty poll, uniform */
    nsec_t max_idle_ns;                          /* after end_turn, before the item is stopped */
    nsec_t tool_timeout_ns;
    enum sandbox_scope scope;
    const char *provider; /* name, for the report */
    const char *regime;
    struct dist cold_start_ns;
    struct dist warm_start_ns;    /* used when a warm sandbox is at hand */
    uint32_t prewarmed;           /* sandboxes ready when the run starts, and kept ready (refilled) */
    uint32_t warm_max;            /* used sandboxes kept for reuse after release */
    nsec_t warm_keep_ns;          /* … for so long */
    uint32_t parallel_per_agent;  /* sandboxes at once for one session; 0 = no limit */
    uint32_t parallel_per_tenant; /* of all instances; 0 = no limit, else at least one each */
    enum limit_policy on_limit;
    uint32_t limit_queue_max;
    nsec_t snapshot_ns;         /* taken when a session's sandbox is released; 0 = none */
    struct dist spill_write_ns; /* virtual time only: the file system's time for one spilled output */
    struct dist spill_read_ns;  /* virtual time only: for one piece */
    uint64_t price_nanodollars_per_sandbox_second; /* 0 = not given */
};

/* Links and hosts -------------------------------------------------------------------------------------------
 */

enum link_id {
    LINK_CLIENT_ORCHESTRATOR,
    LINK_RUNNER_ORCHESTRATOR,
    LINK_ORCHESTRATOR_EDGE,
    LINK_CONNECTOR_EDGE,
    LINK_CONNECTOR_PROXY,
    LINK_PROXY_MCP,
    LINK_ORCHESTRATOR_MCP,
    LINK_COUNT,
};

struct plan_link {
    struct dist latency_ns;    /* one way */
    uint64_t bytes_per_second; /* 0 = unlimited */
    uint32_t dial_round_trips; /* TCP, TLS: before the first message of a new connection can leave */
    nsec_t dial_cpu_client_ns, dial_cpu_server_ns;
    nsec_t dial_timeout_ns;
    bool keep_alive; /* an idle connection is used again (the most recently used first) */
    nsec_t keep_alive_idle_ns;
};

/* CPU of one component's host, virtual time only. */
struct plan_host {
    uint32_t cores;     /* 0 = infinitely fast */
    nsec_t message_ns;  /* cost of each message delivered */
    nsec_t kilobyte_ns; /* and of each 1024 bytes of it */
};

/* Faults ----------------------------------------------------------------------------------------------------
 */

enum fault_kind {
    FAULT_KILL,       /* target loses everything it does not keep durably; back after `for_ns` (0: never) */
    FAULT_LINK_CUT,   /* every connection on the link is reset, dials are refused, for `for_ns` */
    FAULT_LINK_STALL, /* nothing moves, connections stay, for `for_ns`; then everything arrives */
    /* What the dialed side sends vanishes for `for_ns`. A connection that lost something is reset when the
     * next thing is to be delivered on it after that. */
    FAULT_LINK_HALF_OPEN,
    FAULT_LINK_DELAY, /* `delay_ns` more, one way, for `for_ns` */
    FAULT_LINK_RATE,  /* `bytes_per_second` for `for_ns` */
    FAULT_ANSWER, /* target answers `share_ppm` of requests with `status` (and retry-after) for `for_ns` */
    FAULT_WORKER_CRASH, /* the next `count` workers of the runner that acknowledge an item vanish, `delay_ns`
                           later */
    FAULT_RESTART,      /* target is told to stop (EVENT_DRAIN) and has `for_ns` to let its streams end */
};

/* What is told to stop has /tunnels/grace for its streams, and after that so long for its last words. */
#define PLAN_LAST_WORDS_NS (100 * NSEC_PER_MS)

/* A restart is two faults in a plan: FAULT_RESTART, and FAULT_KILL of the same target when that is over. */
struct plan_fault {
    enum fault_kind kind;
    nsec_t at_ns, for_ns;
    addr_t target; /* component; for link faults: the instance of the link's first-named role or 0 = all */
    bool all_instances; /* target names a role: every instance of it */
    enum link_id link;
    nsec_t delay_ns;
    uint64_t bytes_per_second;
    uint32_t status, share_ppm;
    nsec_t retry_after_ns;
    uint32_t count;
    bool first;              /* of those that one entry of /faults became: once it is counted, and told */
    uint32_t source;         /* that entry's place */
    const char *target_text; /* as written there; NULL: a link as a whole */
};

/* Objectives ------------------------------------------------------------------------------------------------
 */

enum objective_fn {
    OBJECTIVE_QUANTILE, /* p50(metric), p99.9(metric): quantile_ppm */
    OBJECTIVE_MEAN,
    OBJECTIVE_MAX,
    OBJECTIVE_MIN,
    OBJECTIVE_COUNT, /* count(metric) or count(account.end) or count(counter) */
    OBJECTIVE_RATE,  /* count per second of the planned duration */
    OBJECTIVE_RATIO, /* ratio(account.end): ends / opened, in ppm */
};
enum objective_cmp { CMP_LT, CMP_LE, CMP_EQ, CMP_NE, CMP_GE, CMP_GT };

struct plan_objective {
    const char *expr; /* as written */
    enum objective_fn fn;
    uint32_t quantile_ppm;
    const char
        *subject; /* metric, account.end or counter name: resolved by reports/, checked by the parser */
    enum objective_cmp cmp;
    uint64_t value; /* ns, count, per hour (RATE) or ppm (RATIO) */
};

/* Processes of a live run. */
struct plan_live {
    uint32_t gateway_processes; /* tunnels are spread over so many gateway processes; 0 = one each */
    uint32_t mcp_processes;     /* 0 = one each */
    uint32_t runner_processes;
    bool relay_links; /* relays on all links, also on those that plan_link_relayed() would leave alone */
    bool keep_awake;  /* processors do not sleep during the run */
    nsec_t schedule_lag_max_ns; /* a run whose load came later is invalid */
};

struct plan {
    const char *scenario_name, *about, *deployment;
    bool informational;
    char scenario_sha256[65]; /* of the document given, after --set; "" until known */
    uint64_t seed;
    uint32_t replicate;
    nsec_t duration_ns, drain_ns, interval_ns;
    struct plan_load *loads;
    uint32_t load_count;
    struct plan_script *scripts;
    uint32_t script_count;
    struct plan_orchestrator orchestrator;
    struct plan_tunnels tunnels;
    struct plan_mcp *mcp;
    uint32_t mcp_count;
    struct plan_runner *runners; /* pools; sessions are spread over them by ordinal */
    uint32_t runner_count;
    struct plan_link links[LINK_COUNT];
    struct plan_host hosts[ROLE_COUNT];
    struct plan_fault *faults; /* sorted by at_ns, then as written */
    uint32_t fault_count;
    struct plan_objective *objectives;
    uint32_t objective_count;
    struct plan_live live;
    uint32_t spans_max; /* marks kept; calls are sampled by hash above it */
    uint32_t span_sample_every;
    const char *document, *resolved; /* see plan_document() and plan_resolved() in parse.h */
    struct plan_arena *arena;        /* owns every array and string above */
};

/* Frees a plan and all it owns; NULL is allowed. */
void plan_free(struct plan *plan);

/* Components of a role: how many instances the plan has (ROLE_CLIENT, ORCHESTRATOR, EDGE: 1; CONNECTOR:
 * tunnels × replicas; PROXY the same; RUNNER: sum of instances; MCP: mcp_count). With mcp_direct no EDGE,
 * CONNECTOR, PROXY. */
uint32_t plan_instances(const struct plan *plan, enum role role);

/* "orchestrator", "mcp", …; "none" for ROLE_NONE. */
const char *role_name(enum role role);
/* By which names calls and sessions are told apart, where a plan has more than one. */
enum plan_split {
    SPLIT_TOOL,   /* index: enum tool; an MCP call's is TOOL_MCP, whatever the server */
    SPLIT_SERVER, /* index: of the MCP server */
    SPLIT_SCRIPT, /* index: of the script */
    SPLIT_COUNT
};
/* "tool", "server", "script". */
const char *plan_split_key(enum plan_split split);
/* One more than the largest index. */
uint32_t plan_split_size(const struct plan *plan, enum plan_split split);
/* The name at an index; NULL: the plan has none there (a tool that no script calls). */
const char *plan_split_name(const struct plan *plan, enum plan_split split, uint32_t index);
/* How many names there are. */
uint32_t plan_split_names(const struct plan *plan, enum plan_split split);

/* "client-orchestrator", … */
const char *link_name(enum link_id link);
/* Who dials whom on a link; `listens` may be NULL. */
enum role plan_link_dials(enum link_id link, enum role *ret_listens);
/* The link between two roles and whether `from` is the side that dials; -ENOENT when they never talk. */
int plan_link_between(enum role from, enum role to, enum link_id *ret_link, bool *ret_from_dials);

/* From this mean latency on, a link has one of its own, live: below, what the machine takes by itself is
 * nearer to it than what a relay would add (docs/ARCHITECTURE.md). */
#define PLAN_RELAY_LATENCY_NS (200 * NSEC_PER_US)

/* Whether a live run leads the link through a relay: it has a rate, a latency of its own or a fault, or
 * plan.live.relay_links asks for all. Says nothing of whether anybody talks on that link. */
bool plan_link_relayed(const struct plan *plan, enum link_id link);

/* The pool that runner component `ordinal` belongs to. */
const struct plan_runner *plan_runner_of(const struct plan *plan, uint32_t ordinal, uint32_t *ret_pool);

/* How many of its pool's parallel_per_tenant runner component `ordinal` may use: the pool's machines share
 * the limit evenly, the first of them take what is left over, so that all together never exceed it. 0 = no
 * limit. */
uint32_t plan_tenant_share(const struct plan *plan, uint32_t ordinal);
