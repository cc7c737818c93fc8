#include "sim/record/counter.h"

#include "sim/base/panic.h"

#include <string.h>

static const struct {
    const char *name;
    const char *description;
} counters[COUNTER_COUNT] = {
    [COUNTER_HTTP_REQUESTS] = {"http_requests", "HTTP requests sent"},
    [COUNTER_HTTP_ERRORS] =
        {"http_errors", "HTTP requests that got no answer or an error, but for a stop of what was stopped"},
    [COUNTER_HTTP_429] = {"http_429", "answers with status 429"},
    [COUNTER_HTTP_4XX] = {"http_4xx", "answers with another status 4xx, but for a stop of what was stopped"},
    [COUNTER_HTTP_5XX] = {"http_5xx", "answers with status 5xx"},
    [COUNTER_RETRIES] = {"retries", "requests and attempts that were tried again"},
    [COUNTER_BACKOFFS] = {"backoffs", "waits before trying again"},
    [COUNTER_BACKOFF_NS] = {"backoff_ns", "time planned for waits before trying again"},
    [COUNTER_TIMEOUTS] = {"timeouts", "waits that were given up"},
    [COUNTER_HANDSHAKES] =
        {"handshakes",
         "tunnel connections that a connector dialed and registered: a full TLS handshake each"},
    [COUNTER_HANDSHAKES_FAILED] = {"handshakes_failed",
                                   "tunnel connections that a connector dialed and did not get registered"},
    [COUNTER_CONNECTIONS] = {"connections", "tunnel connections that a connector dialed"},
    [COUNTER_RECONNECTS] = {"reconnects", "tunnel connections dialed in the place of a lost one"},
    [COUNTER_CONNECTIONS_REJECTED] = {"connections_rejected", "connections that the other side refused"},
    [COUNTER_SPILLED_RESULTS] = {"spilled_results", "results that were put aside for their size"},
    [COUNTER_SPILLED_BYTES] = {"spilled_bytes", "bytes of results that were put aside"},
    [COUNTER_HASH_MISMATCHES] = {"hash_mismatches", "bodies that arrived with other bytes than were sent"},
    [COUNTER_POLLS] = {"polls", "polls for work"},
    [COUNTER_POLLS_EMPTY] = {"polls_empty", "polls that got no work"},
    [COUNTER_CLAIMS] = {"claims", "work items claimed"},
    [COUNTER_HEARTBEATS] = {"heartbeats", "heartbeats of leases"},
    [COUNTER_LEASE_LOST] = {"lease_lost", "workers that learned that their lease was gone"},
    [COUNTER_LEASE_EXPIRED] = {"lease_expired", "leases that the queue took back"},
    [COUNTER_WORK_REQUEUED] = {"work_requeued", "work items queued again"},
    [COUNTER_EVENTS_SENT] = {"events_sent", "events written to event streams"},
    [COUNTER_EVENTS_REPLAYED] = {"events_replayed", "events sent again after a reader came back"},
    [COUNTER_EVENTS_DUPLICATE] = {"events_duplicate", "events that a reader had seen before"},
    [COUNTER_LAGGARDS_DROPPED] = {"laggards_dropped", "event streams cut because their reader was too slow"},
    [COUNTER_REQUESTS_SHED] = {"requests_shed", "requests refused by a limit"},
    [COUNTER_RESULTS_DUPLICATE] = {"results_duplicate", "results that had been accepted before"},
    [COUNTER_SANDBOX_STARTS] = {"sandbox_starts", "sandboxes started"},
    [COUNTER_SANDBOX_WARM_HITS] = {"sandbox_warm_hits", "calls that found a warm sandbox"},
    [COUNTER_SANDBOX_SNAPSHOTS] = {"sandbox_snapshots", "sandboxes snapshotted after their session"},
    [COUNTER_SANDBOX_DESTROYED] = {"sandbox_destroyed", "sandboxes that ended: not kept, expired or lost"},
    [COUNTER_SANDBOX_NS] = {"sandbox_ns", "sandbox time billed"},
    [COUNTER_SANDBOX_IDLE_NS] = {"sandbox_idle_ns", "of it, warm and waiting"},
    [COUNTER_CPU_NS] = {"cpu_ns", "CPU time: of the hosts as modelled; live, of the run's processes"},
    [COUNTER_FAULTS_INJECTED] = {"faults_injected", "faults of the scenario that began"},
    [COUNTER_ROLE_RESTARTS] = {"role_restarts", "incarnations of roles after the first"},
    [COUNTER_PROTOCOL_VIOLATIONS] = {"protocol_violations", "messages that broke their protocol"},
    [COUNTER_AUTH_REFUSED] = {"auth_refused", "requests refused for their credentials"},
};

const char *counter_name(enum counter c)
{
    ASSERT(c < COUNTER_COUNT);
    return counters[c].name;
}

const char *counter_description(enum counter c)
{
    ASSERT(c < COUNTER_COUNT);
    return counters[c].description;
}

bool counter_is_time(enum counter c)
{
    const char *suffix = strrchr(counter_name(c), '_');

    return suffix && strcmp(suffix, "_ns") == 0;
}

enum counter counter_find(const char *name)
{
    for (enum counter c = 0; c < COUNTER_COUNT; c++)
        if (strcmp(counters[c].name, name) == 0) return c;
    return COUNTER_COUNT;
}
