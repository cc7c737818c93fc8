#include "sim/world/msg.h"

#include <stddef.h>

static const char *const kind_names[M_KIND_COUNT] = {
    [M_NONE] = "none",
    [M_OK] = "ok",
    [M_ERROR] = "error",
    [M_SESSION_CREATE] = "session_create",
    [M_SESSION_GET] = "session_get",
    [M_SESSION_DELETE] = "session_delete",
    [M_SESSION] = "session",
    [M_EVENTS_SEND] = "events_send",
    [M_STREAM] = "stream",
    [M_EVENTS_LIST] = "events_list",
    [M_EVENT] = "event",
    [M_WORK_POLL] = "work_poll",
    [M_WORK] = "work",
    [M_NO_WORK] = "no_work",
    [M_WORK_ACK] = "work_ack",
    [M_WORK_HEARTBEAT] = "work_heartbeat",
    [M_HEARTBEAT] = "heartbeat",
    [M_HEARTBEAT_MISMATCH] = "heartbeat_mismatch",
    [M_WORK_STOP] = "work_stop",
    [M_WORK_GET] = "work_get",
    [M_WORK_STATS] = "work_stats",
    [M_WORK_STATS_ANSWER] = "work_stats_answer",
    [M_REGISTER] = "register",
    [M_UNREGISTER] = "unregister",
    [M_PING] = "ping",
    [M_PONG] = "pong",
    [M_TUNNEL_STREAM] = "tunnel_stream",
    [M_BYTES] = "bytes",
    [M_INNER_HELLO] = "inner_hello",
    [M_INNER_READY] = "inner_ready",
    [M_MCP_CALL] = "mcp_call",
    [M_MCP_RESULT] = "mcp_result",
    [M_BODY] = "body",
    [M_FILE_WRITE] = "file_write",
    [M_FILE_READ] = "file_read",
    [M_FILES_DROP] = "files_drop",
};

const char *msg_kind_name(enum msg_kind kind)
{
    return kind < M_KIND_COUNT && kind_names[kind] ? kind_names[kind] : "unknown";
}

const char *event_kind_name(enum event_kind kind)
{
    switch (kind) {
    case EV_NONE: break;
    case EV_USER_MESSAGE: return "user.message";
    case EV_USER_INTERRUPT: return "user.interrupt";
    case EV_USER_TOOL_RESULT: return "user.tool_result";
    case EV_USER_TOOL_CONFIRMATION: return "user.tool_confirmation";
    case EV_USER_CUSTOM_TOOL_RESULT: return "user.custom_tool_result";
    case EV_STATUS_RUNNING: return "session.status_running";
    case EV_STATUS_IDLE: return "session.status_idle";
    case EV_STATUS_TERMINATED: return "session.status_terminated";
    case EV_SESSION_DELETED: return "session.deleted";
    case EV_SESSION_ERROR: return "session.error";
    case EV_MODEL_START: return "span.model_request_start";
    case EV_MODEL_END: return "span.model_request_end";
    case EV_AGENT_MESSAGE: return "agent.message";
    case EV_AGENT_TOOL_USE: return "agent.tool_use";
    case EV_AGENT_MCP_TOOL_USE: return "agent.mcp_tool_use";
    case EV_AGENT_MCP_TOOL_RESULT: return "agent.mcp_tool_result";
    }
    return NULL;
}
