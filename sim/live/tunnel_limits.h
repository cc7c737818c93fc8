/*
 * How long the tunnel's surfaces wait for a peer, and how many they admit.
 *
 * In a run they decide nothing: whoever waits there is a machine of the same plan, and its own limit, which
 * both clocks know, comes first. So what is here guards a role alone (`windtunnel edge`, `windtunnel
 * gateway`) against peers that are no part of a plan, and holds for them with the plan's defaults. Each is
 * measured from a later moment than the limit that it must not come before, and is not shorter:
 *
 * - the connection's: the connector gives a connection up when dial and registration time-out are over,
 *   counted from its dial;
 *
 * - the request's: the orchestrator gives an attempt up attempt_timeout after it began, dial and both TLS
 *   handshakes included;
 *
 * - the idle stream's: the orchestrator closes it after stream_idle.
 */
#pragma once

#include "sim/base/nsec.h"
#include "sim/plan/plan.h"

/* No run is longer. */
#define TUNNEL_FOREVER_NS (4 * 24 * 3600 * NSEC_PER_S)
/* What a foreign peer gets at least. */
#define TUNNEL_PATIENCE_NS (60 * NSEC_PER_S)
#define TUNNEL_CONNECTIONS 16384u

/* Edge and connector: from the TCP connection to the answered registration. */
static inline nsec_t tunnel_guard_register(const struct plan *plan)
{
    return nsec_add(plan->links[LINK_CONNECTOR_EDGE].dial_timeout_ns, plan->tunnels.register_timeout_ns);
}

/* Edge and proxy: each step of a stream's opening and of a request: the handshakes, its head, its body. */
static inline nsec_t tunnel_guard_request(const struct plan *plan)
{
    return nsec_max(plan->orchestrator.mcp_attempt_timeout_ns, TUNNEL_PATIENCE_NS);
}

/* Proxy: between the requests of a stream, and for an answer of which its reader takes nothing. */
static inline nsec_t tunnel_guard_idle(const struct plan *plan)
{
    nsec_t idle = plan->orchestrator.mcp_stream_idle_ns;

    if (!idle) return TUNNEL_FOREVER_NS;
    return nsec_max(nsec_mul(idle, 2), nsec_max(tunnel_guard_request(plan), 10 * TUNNEL_PATIENCE_NS));
}

/* Edge and proxy: connections at once. The orchestrator opens no more streams than its pools hold, and an old
 * one may not have gone when a new one comes. */
static inline unsigned tunnel_guard_connections(const struct plan *plan)
{
    uint64_t streams = (uint64_t)plan->tunnels.count * plan->mcp_count * plan->orchestrator.mcp_streams_max;
    uint64_t guard = streams < UINT32_MAX / 2 ? 2 * streams : UINT32_MAX;

    return guard > TUNNEL_CONNECTIONS ? (unsigned)guard : TUNNEL_CONNECTIONS;
}
