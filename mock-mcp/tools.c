#include "mock-mcp/tools.h"

#include <inttypes.h>
#include <string.h>

#include "sim/base/str.h"
#include "sim/base/utf8.h"
#include "sim/world/msg.h"

#define DELAY_MS_MAX UINT64_C(3600000)

enum { LIST_TTL_MS = 3600000 }; /* the list never changes */

static const struct tool {
    const char *name, *about, *properties, *required;
} tool_table[MCP_TOOL_COUNT] = {
    [MCP_TOOL_ECHO] = {"echo", "Gives back its text.",
                       "\"text\":{\"type\":\"string\",\"description\":\"what to give back\"}", "\"text\""},
    [MCP_TOOL_GENERATE] = {"generate", "Makes so many bytes of text, and may take its time.",
                           "\"bytes\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":64000000,"
                           "\"description\":\"length of the text\"},"
                           "\"delay_ms\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":3600000,"
                           "\"description\":\"not answered before, in milliseconds\"}",
                           "\"bytes\""},
    [MCP_TOOL_CALL] = {"call", "Does what the scenario says this server does.",
                       "\"output_chars\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":64000000,"
                       "\"description\":\"length of the result; left out: the server draws it\"}",
                       ""},
};

const char *mcp_tool_name(enum mcp_tool tool)
{
    return tool_table[tool].name;
}

void mcp_tools_put_list(struct str *out, unsigned tools, enum mcp_era era)
{
    const char *comma = "";

    str_puts(out, "{\"tools\":[");
    for (int i = 0; i < MCP_TOOL_COUNT; i++) {
        const struct tool *t = &tool_table[i];

        if (!(tools & 1u << i)) continue;
        str_appendf(out,
                    "%s{\"name\":\"%s\",\"description\":\"%s\",\"inputSchema\":{\"type\":\"object\","
                    "\"properties\":{%s},\"required\":[%s]}}",
                    comma, t->name, t->about, t->properties, t->required);
        comma = ",";
    }
    str_puts(out, "]");
    if (era == ERA_MODERN)
        str_appendf(out, ",\"resultType\":\"complete\",\"ttlMs\":%d,\"cacheScope\":\"public\"", LIST_TTL_MS);
    str_puts(out, "}");
}

static int bad_argument(struct rpc_error *ret_error, const char *tool, const char *name, const char *allowed)
{
    return rpc_refuse(ret_error, 200, RPC_INVALID_PARAMS, "Invalid arguments for tool %s: \"%s\" must be %s",
                      tool, name, allowed);
}

/* A whole number up to `max`; left out, `ret` stays. */
static int take_number(json_t *arguments, const struct tool *t, const char *name, uint64_t max, uint64_t *ret,
                       struct rpc_error *ret_error)
{
    json_t *value = json_object_get(arguments, name);
    char allowed[64];

    if (!value) return 0;
    if (json_is_integer(value) && json_integer_value(value) >= 0 &&
        (uint64_t)json_integer_value(value) <= max) {
        *ret = (uint64_t)json_integer_value(value);
        return 0;
    }
    snprintf(allowed, sizeof allowed, "a whole number from 0 to %" PRIu64, max);
    return bad_argument(ret_error, t->name, name, allowed);
}

static int read_echo(json_t *arguments, struct tool_call *call, struct rpc_error *ret_error)
{
    json_t *text = json_object_get(arguments, "text");

    if (!json_is_string(text)) return bad_argument(ret_error, "echo", "text", "a string");
    call->text = json_string_value(text);
    call->text_len = json_string_length(text);
    call->chars = utf8_count(call->text, call->text_len);
    return 0;
}

static int read_generate(json_t *arguments, struct tool_call *call, struct rpc_error *ret_error)
{
    const struct tool *t = &tool_table[MCP_TOOL_GENERATE];
    uint64_t delay_ms = 0;
    int r;

    if (!json_object_get(arguments, "bytes")) return bad_argument(ret_error, t->name, "bytes", "given");
    r = take_number(arguments, t, "bytes", MCP_OUTPUT_MAX, &call->chars, ret_error);
    if (r == 0) r = take_number(arguments, t, "delay_ms", DELAY_MS_MAX, &delay_ms, ret_error);
    if (r == 0) call->delay_ns = delay_ms * NSEC_PER_MS;
    return r;
}

int mcp_tool_call_read(unsigned tools, json_t *params, struct tool_call *ret_call,
                       struct rpc_error *ret_error)
{
    json_t *name = json_object_get(params, "name"), *arguments = json_object_get(params, "arguments");
    struct tool_call call = {.chars = MCP_OWN_OUTPUT};
    int r = 0, tool = 0;

    if (!json_is_string(name))
        return rpc_refuse(ret_error, 200, RPC_INVALID_PARAMS, "Invalid params: \"name\" must be a string");
    while (tool < MCP_TOOL_COUNT &&
           !((tools & 1u << tool) && strcmp(tool_table[tool].name, json_string_value(name)) == 0))
        tool++;
    if (tool == MCP_TOOL_COUNT)
        return rpc_refuse(ret_error, 200, RPC_INVALID_PARAMS, "Unknown tool: %.80s", json_string_value(name));
    if (arguments && !json_is_object(arguments))
        return rpc_refuse(ret_error, 200, RPC_INVALID_PARAMS,
                          "Invalid params: \"arguments\" must be an object");
    call.tool = (enum mcp_tool)tool;
    switch (call.tool) {
    case MCP_TOOL_ECHO: r = read_echo(arguments, &call, ret_error); break;
    case MCP_TOOL_GENERATE: r = read_generate(arguments, &call, ret_error); break;
    default:
        r = take_number(arguments, &tool_table[tool], "output_chars", MCP_OUTPUT_MAX, &call.chars, ret_error);
    }
    if (r == 0) *ret_call = call;
    return r;
}
