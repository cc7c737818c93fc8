/*
 * The wire of the orchestrator's MCP calls: ORCHESTRATOR → EDGE, tunnel streams with the inner TLS and HTTP
 * in them, and ORCHESTRATOR → MCP, straight to the servers.
 */
#pragma once

#include "sim/live/mcp_codec.h"
#include "sim/live/tunnel_stream.h"

struct driver;
struct tunnel_dialer;
struct mcp_direct;

/* Registers itself as the dialer of ORCHESTRATOR → EDGE. The time-outs of `o` are not used: they are the
 * plan's. `codec` must outlive it. Errors of tunnel_outside_new(). */
int tunnel_dialer_new(struct driver *d, const struct tunnel_outside_options *o, const struct mcp_codec *codec,
                      struct tunnel_dialer **ret_dialer, char ret_why[TLS_WHY_MAX]);
/* Only after driver_free(). NULL is allowed. */
void tunnel_dialer_free(struct tunnel_dialer *t);

/* Registers itself as the dialer of ORCHESTRATOR → MCP. `addresses`: numeric "ip:port" of each of the plan's
 * servers. `codec` must outlive it. -ENOMEM. */
int mcp_direct_new(struct driver *d, const char *const *addresses, const struct mcp_codec *codec,
                   struct mcp_direct **ret_direct);
/* Only after driver_free(). NULL is allowed. */
void mcp_direct_free(struct mcp_direct *t);
