#include "sim/record/metrics.h"

#include "sim/base/panic.h"

#include <string.h>

static const struct {
    const char *name;
    const char *description;
} metrics[METRIC_COUNT] = {
    [METRIC_SESSION_TOTAL] = {"session.total", "a session from its intended start to its end"},
    [METRIC_SESSION_TOTAL_SERVICE] = {"session.total.service", "a session from its actual start to its end"},
    [METRIC_QUEUE_WAIT] = {"queue.wait", "a work item from being queued to being claimed by a worker"},
    [METRIC_SANDBOX_START] = {"sandbox.start", "from the request for a sandbox to its being ready"},
    [METRIC_TOOL_CALL] = {"tool.call", "a tool call in a sandbox, from the agent's issuing it to its result"},
    [METRIC_MCP_CALL] = {"mcp.call", "an MCP tool call with all its attempts, as the agent sees it"},
    [METRIC_MCP_ATTEMPT] = {"mcp.attempt", "one attempt of an MCP tool call"},
    [METRIC_TUNNEL_HANDSHAKE] = {"tunnel.handshake",
                                 "a tunnel connection from its dial to its being registered"},
    [METRIC_TUNNEL_USABLE] = {"tunnel.usable",
                              "a tunnel from the loss of its last connection to the first one back"},
    [METRIC_TUNNEL_RECONNECT] = {"tunnel.reconnect",
                                 "a tunnel from the loss of its first connection to all of them back"},
    [METRIC_SPILL_WRITE] = {"spill.write", "a large output from its being in hand to its file being written"},
    [METRIC_SPILL_READ] = {"spill.read", "one piece of such a file from its being asked for to its arrival"},
    [METRIC_RESULT_POST] = {"result.post", "posting a result, from the first attempt to its acceptance"},
    [METRIC_EVENT_DELIVERY] = {"event.delivery",
                               "an event from being logged to its arrival at a stream's reader"},
    [METRIC_HTTP_REQUEST] = {"http.request", "an HTTP request from its first byte to the end of its answer"},
    [METRIC_SCHEDULE_LAG] = {"schedule.lag",
                             "how late an intended start was: the load generator's own lateness"},
    [METRIC_TIMER_LAG] = {"timer.lag", "how late a role's timer was: what the machine and the testbed add"},
    [METRIC_HOP_QUEUE] = {"hop.queue", "of a call: waiting at the orchestrator"},
    [METRIC_HOP_CLAIM] = {"hop.claim", "of a call: delivery to the worker that took it"},
    [METRIC_HOP_COLD_START] = {"hop.cold_start", "of a call: waiting for a sandbox"},
    [METRIC_HOP_TUNNEL] = {"hop.tunnel", "of a call: in the tunnel, both ways, with the inner TLS handshake"},
    [METRIC_HOP_GATEWAY] = {"hop.gateway", "of a call: in the proxy at the customer's side"},
    [METRIC_HOP_UPSTREAM] = {"hop.upstream", "of a call: in the MCP server"},
    [METRIC_HOP_EXECUTION] = {"hop.execution", "of a call: running in the sandbox"},
    [METRIC_HOP_SPILL] = {"hop.spill", "of a call: putting a large result aside"},
    [METRIC_HOP_RETURN] = {"hop.return", "of a call: the result's way back to the agent"},
    [METRIC_HOP_RETRY] = {"hop.retry", "of a call: failed deliveries and waits before another attempt"},
    [METRIC_HOP_OTHER] = {"hop.other", "of a call: between two moments that no rule names"},
};

const char *metric_name(enum metric m)
{
    ASSERT(m < METRIC_COUNT);
    return metrics[m].name;
}

const char *metric_description(enum metric m)
{
    ASSERT(m < METRIC_COUNT);
    return metrics[m].description;
}

enum metric metric_find(const char *name)
{
    for (enum metric m = 0; m < METRIC_COUNT; m++)
        if (strcmp(metrics[m].name, name) == 0) return m;
    return METRIC_COUNT;
}

enum metric metric_of_split(enum plan_split split)
{
    static const enum metric of[SPLIT_COUNT] = {[SPLIT_TOOL] = METRIC_TOOL_CALL,
                                                [SPLIT_SERVER] = METRIC_MCP_CALL,
                                                [SPLIT_SCRIPT] = METRIC_SESSION_TOTAL};

    ASSERT(split < SPLIT_COUNT);
    return of[split];
}

bool metric_is_hop(enum metric m)
{
    ASSERT(m < METRIC_COUNT);
    return m >= METRIC_HOP_QUEUE;
}
