/*
 * Plain named counts. They only grow, and are summed when recorders are merged. The names stand in result
 * files.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum counter {
    COUNTER_HTTP_REQUESTS,
    COUNTER_HTTP_ERRORS,
    COUNTER_HTTP_429,
    COUNTER_HTTP_4XX,
    COUNTER_HTTP_5XX,
    COUNTER_RETRIES,
    COUNTER_BACKOFFS,
    COUNTER_BACKOFF_NS,
    COUNTER_TIMEOUTS,
    COUNTER_HANDSHAKES,
    COUNTER_HANDSHAKES_FAILED,
    COUNTER_CONNECTIONS,
    COUNTER_RECONNECTS,
    COUNTER_CONNECTIONS_REJECTED,
    COUNTER_SPILLED_RESULTS,
    COUNTER_SPILLED_BYTES,
    COUNTER_HASH_MISMATCHES,
    COUNTER_POLLS,
    COUNTER_POLLS_EMPTY,
    COUNTER_CLAIMS,
    COUNTER_HEARTBEATS,
    COUNTER_LEASE_LOST,
    COUNTER_LEASE_EXPIRED,
    COUNTER_WORK_REQUEUED,
    COUNTER_EVENTS_SENT,
    COUNTER_EVENTS_REPLAYED,
    COUNTER_EVENTS_DUPLICATE,
    COUNTER_LAGGARDS_DROPPED,
    COUNTER_REQUESTS_SHED,
    COUNTER_RESULTS_DUPLICATE,
    COUNTER_SANDBOX_STARTS,
    COUNTER_SANDBOX_WARM_HITS,
    COUNTER_SANDBOX_SNAPSHOTS,
    COUNTER_SANDBOX_DESTROYED,
    COUNTER_SANDBOX_NS,      /* sandbox-nanoseconds billed */
    COUNTER_SANDBOX_IDLE_NS, /* of these, warm and waiting */
    COUNTER_CPU_NS,
    COUNTER_FAULTS_INJECTED,
    COUNTER_ROLE_RESTARTS,
    COUNTER_PROTOCOL_VIOLATIONS,
    COUNTER_AUTH_REFUSED,
    COUNTER_COUNT
};

/* The name in result files, like "spilled_bytes". Static; asserts the range. */
const char *counter_name(enum counter c);

/* One line for a person. Static; asserts the range. */
const char *counter_description(enum counter c);

/* Whether it counts nanoseconds. Asserts the range. */
bool counter_is_time(enum counter c);

/* The counter of that name, or COUNTER_COUNT. */
enum counter counter_find(const char *name);
