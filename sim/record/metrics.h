/*
 * The durations that are measured, by name.
 *
 * The names are a contract: they stand in result files, in the tags of `.hlog` files, in budgets and in
 * objectives. All values are nanoseconds.
 */
#pragma once

#include "sim/plan/plan.h"

#include <stdbool.h>
#include <stdint.h>

enum metric {
    METRIC_SESSION_TOTAL,         /* session.total */
    METRIC_SESSION_TOTAL_SERVICE, /* session.total.service */
    METRIC_QUEUE_WAIT,            /* queue.wait */
    METRIC_SANDBOX_START,         /* sandbox.start */
    METRIC_TOOL_CALL,             /* tool.call */
    METRIC_MCP_CALL,              /* mcp.call */
    METRIC_MCP_ATTEMPT,           /* mcp.attempt */
    METRIC_TUNNEL_HANDSHAKE,      /* tunnel.handshake */
    METRIC_TUNNEL_USABLE,         /* tunnel.usable */
    METRIC_TUNNEL_RECONNECT,      /* tunnel.reconnect */
    METRIC_SPILL_WRITE,           /* spill.write */
    METRIC_SPILL_READ,            /* spill.read */
    METRIC_RESULT_POST,           /* result.post */
    METRIC_EVENT_DELIVERY,        /* event.delivery */
    METRIC_HTTP_REQUEST,          /* http.request */
    METRIC_SCHEDULE_LAG,          /* schedule.lag */
    METRIC_TIMER_LAG,             /* timer.lag */
    METRIC_HOP_QUEUE,             /* hop.queue: the hops, in the order of enum hop (span.h) */
    METRIC_HOP_CLAIM,             /* hop.claim */
    METRIC_HOP_COLD_START,        /* hop.cold_start */
    METRIC_HOP_TUNNEL,            /* hop.tunnel */
    METRIC_HOP_GATEWAY,           /* hop.gateway */
    METRIC_HOP_UPSTREAM,          /* hop.upstream */
    METRIC_HOP_EXECUTION,         /* hop.execution */
    METRIC_HOP_SPILL,             /* hop.spill */
    METRIC_HOP_RETURN,            /* hop.return */
    METRIC_HOP_RETRY,             /* hop.retry */
    METRIC_HOP_OTHER,             /* hop.other: between two marks that no table entry names */
    METRIC_COUNT
};

/* The name in the contract, like "queue.wait". Static. Asserts that `m` is below METRIC_COUNT. */
const char *metric_name(enum metric m);

/* One line for a person: what is measured, from where to where. Static. Asserts as metric_name() does. */
const char *metric_description(enum metric m);

/* The metric of that name, or METRIC_COUNT if there is none. `name` must not be NULL. */
enum metric metric_find(const char *name);

/* The metric whose samples are told apart by these names too: tool.call by tool, mcp.call by server,
 * session.total by script. Asserts the range. */
enum metric metric_of_split(enum plan_split split);

/* Whether the metric is one of `hop.*`: these are filled by joining spans at the end, not while running. */
bool metric_is_hop(enum metric m);
