/*
 * The tools of the mock: what they are called, what they take, how much they answer.
 */
#pragma once

#include <stdint.h>

#include "mock-mcp/json_rpc.h"
#include "mock-mcp/revision.h"
#include "sim/base/nsec.h"

enum mcp_tool {
    MCP_TOOL_ECHO,     /* gives back its `text` */
    MCP_TOOL_GENERATE, /* `bytes` of text, not before `delay_ms` */
    MCP_TOOL_CALL, /* what the agents of a scenario call: `output_chars`, or as much as the server draws */
    MCP_TOOL_COUNT,
};

/* Sets of them: bit 1 << tool. */
#define MCP_TOOLS_STANDALONE (1u << MCP_TOOL_ECHO | 1u << MCP_TOOL_GENERATE)
#define MCP_TOOLS_ALL        (MCP_TOOLS_STANDALONE | 1u << MCP_TOOL_CALL)

#define MCP_OUTPUT_MAX UINT64_C(64000000) /* characters of one result */

/* What a tools/call asks for. */
struct tool_call {
    enum mcp_tool tool;
    uint64_t chars; /* of the result; MCP_OWN_OUTPUT: the server draws */
    nsec_t delay_ns;
    const char *text; /* echo: in the params, may hold NUL; otherwise NULL */
    size_t text_len;
};

/* "echo", … */
const char *mcp_tool_name(enum mcp_tool tool);

/* Appends the result of tools/list. */
void mcp_tools_put_list(struct str *out, unsigned tools, enum mcp_era era);

/* Reads the params of a tools/call. 0, or RPC_E_REFUSED: an unknown tool, bad arguments. */
int mcp_tool_call_read(unsigned tools, json_t *params, struct tool_call *ret_call,
                       struct rpc_error *ret_error);
