/*
 * Which era a posted message belongs to, and what the transport demands of it before any method is looked
 * at: headers, `_meta`, revisions, origin, media types.
 *
 * The body decides: a message that names its revision in `_meta` is of 2026-07-28 or later; the headers are
 * checked against it.
 */
#pragma once

#include "mock-mcp/json_rpc.h"
#include "mock-mcp/revision.h"
#include "sim/live/http1.h"

/* Keys of `_meta` in 2026-07-28. */
#define META_REVISION     "io.modelcontextprotocol/protocolVersion"
#define META_CLIENT       "io.modelcontextprotocol/clientInfo"
#define META_CAPABILITIES "io.modelcontextprotocol/clientCapabilities"
#define META_SERVER       "io.modelcontextprotocol/serverInfo"
#define META_SUBSCRIPTION "io.modelcontextprotocol/subscriptionId"

/* What concerns the head alone: method, Origin, Content-Type, Accept. `methods`: those that are served, as
 * the Allow header says it; static. 0, or RPC_E_REFUSED. */
int mcp_rules_check_head(const char *methods, const struct http_head *head, struct rpc_error *ret_error);

/* `revisions`: those that the server speaks. 0 with the era, RPC_E_REFUSED, or -ENOMEM. A notification of the
 * legacy era is let pass also where that era is not spoken: it is to be dropped. */
int mcp_rules_check_message(unsigned revisions, const struct http_head *head, const struct rpc_message *m,
                            enum mcp_era *ret_era, struct rpc_error *ret_error);

/* The text of a header value that may be wrapped as "=?base64?…?=" for what cannot stand in a header.
 * Allocated; NULL with errno EINVAL (bad base64, or no valid UTF-8) or ENOMEM. */
char *mcp_rules_header_text(const char *value);
