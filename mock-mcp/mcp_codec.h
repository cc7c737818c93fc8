/*
 * The agent's own MCP client, as far as it is JSON: revision 2026-07-28, each call on its own, of the tool
 * `call` (tools.h). The id in JSON-RPC is the attempt's, as 16 hexadecimal digits.
 *
 * Answers may come as JSON or as an event stream, in pieces of any size; of the text nothing is kept: it is
 * compared with the call's (content.h) and counted as it passes.
 */
#pragma once

#include "sim/live/mcp_codec.h"

/* It has no state and lives for ever. */
const struct mcp_codec *mcp_codec_agent(void);
