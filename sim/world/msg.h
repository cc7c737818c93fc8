/*
 * What components say to each other: messages on flows.
 *
 * A flow is a two-way exchange between two components. One side opens it with an OPEN that carries a request;
 * the other answers with an OPEN of its own on the same flow; DATA may follow on both sides; a side that has
 * said all sets MSG_LAST on its last message. A plain request or answer is thus one OPEN with MSG_LAST. RESET
 * ends a flow at once.
 *
 *   over when: both sides sent MSG_LAST and both arrived, or a RESET was sent or received.
 *
 * `bytes` is what the message weighs on the wire, head and body. A body larger than BODY_CHUNK follows its
 * head in M_BODY messages of at most BODY_CHUNK (MSG_UNFINISHED on all but the last), so that links and
 * splices can interleave; the message is complete with the first one that has no MSG_UNFINISHED.
 *
 * Splices (edge, connector) pass DATA of a tunnel stream on as it is and never look at kind or a…e: live they
 * see M_BYTES, since the payload is the inner TLS's ciphertext.
 */
#pragma once

#include <stdint.h>

#include "sim/base/nsec.h"

enum msg_type { MSG_OPEN = 1, MSG_DATA, MSG_CREDIT, MSG_RESET };

enum msg_flag {
    MSG_LAST = 1,       /* the sender says no more on this flow */
    MSG_UNFINISHED = 2, /* this message's body continues in M_BODY messages */
};

#define BODY_CHUNK 65536u

/* RESET: a = cause. */
enum reset_cause {
    RESET_REFUSED = 1, /* nobody listens there: the flow never came up */
    RESET_UNREACHABLE, /* dial time-out: the flow never came up */
    RESET_CUT,         /* the connection or the peer was lost */
    RESET_CANCEL,      /* the peer does not want it any more */
    RESET_OVERFLOW,    /* the peer dropped us: too slow, or a limit */
    RESET_PROTOCOL,    /* what came was not understood */
    RESET_CARRIER,     /* the flow that carried this one is gone */
};

/*
 * Kinds. "→" is the request's OPEN, "←" the answer's OPEN, "·" DATA either way as stated. All times in ns
 * since the run's epoch. Unused fields are 0. Ids are numbers here; on the wire they are strings (see ids.h)
 * or, where a foreign peer chose them, interned by the driver.
 */
enum msg_kind {
    M_NONE,

    /* Any answer: ← a = HTTP-like status, b = detail (M_ERROR: enum error_code), c = retry_after_ns or 0. */
    M_OK,    /* 2xx; a = id of what was made, if any */
    M_ERROR, /* refused */

    /* Sessions, client and worker to orchestrator. */
    M_SESSION_CREATE, /* → a = agent (index of a script; foreign agents: their id), b = session ordinal, c =
                         environment, d = driver's content handle or 0 */
    M_SESSION_GET,    /* → a = session */
    M_SESSION_DELETE, /* → a = session; its work item is stopped, its streams end */
    M_SESSION,     /* ← a = session, b = enum session_status, c = agent, d = created_at, e = environment */
    M_EVENTS_SEND, /* → a = session, b = enum event_kind, c = tool use answered (results, confirmations),
                      d = content handle or, from our own client and runner, body size in characters,
                      e = EVENT_… flags, bits 8.. characters of the whole output if it was spilled; ← M_OK a =
                      event id. More events of the same request follow as · M_EVENT. Of a piece of a file, b =
                      EVENT_B(kind, TOOL_READ, 0, sequence number of the file's call), e bits 8.. its offset
                    */
    M_STREAM, /* → a = session: its events from now on. ← M_OK, then · M_EVENT…; CREDIT goes back */
    M_EVENTS_LIST, /* → a = session, b = cursor (sequence to start at), c = limit, d = 1 newest first.
                      ← M_OK a = next cursor or 0, b = count; then · M_EVENT × count, the last with MSG_LAST
                    */
    M_EVENT,       /* · a = event id, b = EVENT_B(kind, tool, flags, seq), c, d by kind (see event_kind),
                      e = processed_at, 0 = not yet */

    /* Work queue, worker to orchestrator. */
    M_WORK_POLL, /* → a = environment, b = worker, c = block_ns (0 = at once), d = reclaim_ns (0 = default) */
    M_WORK,      /* ← a = work item, b = session, c = enum work_state, d = environment, e = created_at */
    M_NO_WORK,   /* ← nothing to do */
    M_WORK_ACK,           /* → a = work item; ← M_WORK or M_ERROR */
    M_WORK_HEARTBEAT,     /* → a = work item, b = expected last heartbeat (HEARTBEAT_NONE, the value last
                             answered, or HEARTBEAT_ALIEN: the text was none of ours), c = desired ttl_ns
                             (0 = default) */
    M_HEARTBEAT,          /* ← a = last heartbeat, b = ttl_ns, c = enum work_state, d = 1 extended */
    M_HEARTBEAT_MISMATCH, /* ← 412: a = last heartbeat (HEARTBEAT_NONE: never), b = ttl_ns, c = state */
    M_WORK_STOP,          /* → a = work item, b = 1 force; ← M_WORK or M_ERROR 409 */
    M_WORK_GET,           /* → a = work item; ← M_WORK */
    M_WORK_STATS,         /* → a = environment; ← M_WORK_STATS_ANSWER */
    M_WORK_STATS_ANSWER,  /* ← a = depth, b = pending, c = oldest queued at (0 = none), d = workers polling
                             (last 30 s) */

    /* Tunnel: connector to edge. The flow stays open: it is the carrier of the tunnel's streams. */
    M_REGISTER, /* → a = tunnel, b = connection index, c = connector (ordinal) << 32 | incarnation; ← M_OK a =
                   connection id, b = 1 when the edge has known this tunnel before, or M_ERROR c =
                   retry_after_ns */
    M_UNREGISTER, /* · connector drains: no new streams on this connection; · from the edge: it drains */
    M_PING,       /* · from the edge: is anybody there? */
    M_PONG,       /* · from the connector: yes */

    /* Tunnel streams: orchestrator to edge, edge to connector (via the carrier), connector to proxy. */
    M_TUNNEL_STREAM, /* → a = HOST(tunnel, mcp): ← M_OK, or M_ERROR a = 404 (no such tunnel) 502 (no
                        connection, no proxy) 503 */
    M_BYTES,         /* · opaque bytes (live splices) */
    M_INNER_HELLO,   /* · orchestrator to proxy: the inner TLS begins */
    M_INNER_READY,   /* · proxy to orchestrator: the inner TLS is up */

    /* MCP: DATA inside a tunnel stream between orchestrator and proxy; OPEN between proxy and MCP server
     * (and, with mcp_direct, between orchestrator and MCP server). */
    M_MCP_CALL,   /* a = attempt id, b = HOST(tunnel, mcp), c = output characters wanted (MCP_OWN_OUTPUT: the
                     server   draws), d = call id, e = extra service time in ns (foreign `delay_ms`) or 0 */
    M_MCP_RESULT, /* a = attempt id, b = status (200, 429, 500, 502, 503), at the caller also MCP_CORRUPT, c =
                     output characters, d = call id, e = retry_after_ns */
    M_BODY,       /* the body of the message before goes on; a…e as in its head */

    /* Files of a sandbox, runner to ADDR(ROLE_DISK, the runner's ordinal). Drivers serve that role
     * themselves: in virtual time the answer comes after the pool's spill_write_ns or spill_read_ns, drawn by
     * call id (and offset), live from a real file with generated, hashed content. */
    M_FILE_WRITE, /* → a = call id, b = characters, c = session, d = 1: the bytes are those that a WRITE
                     brought; ← M_OK a = characters written, or M_ERROR */
    M_FILE_READ,  /* → a = call id, b = offset, c = length, both in characters; ← M_OK a = characters read
                     (fewer at the end), b = 1 the integrity check failed; or M_ERROR: no such file */
    M_FILES_DROP, /* → a = session: its files are wanted no more; ← M_OK */

    M_KIND_COUNT,
};

#define HEARTBEAT_NONE  UINT64_MAX
#define HEARTBEAT_ALIEN (UINT64_MAX - 1)
#define MCP_OWN_OUTPUT  UINT64_MAX
/* In M_MCP_RESULT.b: the text that came is not the call's. */
#define MCP_CORRUPT (UINT64_C(1) << 32)

/* A tunneled host: <mcp name>.t<tunnel>.<domain>. */
#define HOST(tunnel, mcp) (((uint64_t)(tunnel) << 32) | (uint32_t)(mcp))
#define HOST_TUNNEL(host) ((uint32_t)((host) >> 32))
#define HOST_MCP(host)    ((uint32_t)(host))

/* M_ERROR.b */
enum error_code {
    ERROR_NONE,
    ERROR_INVALID,
    ERROR_NOT_FOUND,
    ERROR_CONFLICT,
    ERROR_LIMIT,
    ERROR_OVERLOADED,
    ERROR_INTERNAL
};

enum session_status { SESSION_IDLE, SESSION_RUNNING, SESSION_RESCHEDULING, SESSION_TERMINATED };
enum work_state { WORK_QUEUED, WORK_STARTING, WORK_ACTIVE, WORK_STOPPING, WORK_STOPPED };
enum stop_reason { STOP_END_TURN, STOP_REQUIRES_ACTION, STOP_RETRIES_EXHAUSTED, STOP_BUDGET };

/* Session events; the comment names the wire type and c, d. */
enum event_kind {
    EV_NONE,
    EV_USER_MESSAGE,           /* user.message; d = content handle or bytes */
    EV_USER_INTERRUPT,         /* user.interrupt */
    EV_USER_TOOL_RESULT,       /* user.tool_result; c = tool use, d = content handle or characters, flags
                                  EVENT_IS_ERROR; with EVENT_SPILLED d = TOOL_PIECE(characters of the whole
                                  output, characters); of a piece of a file (tool TOOL_READ) d =
                                  TOOL_PIECE(sequence number of the file's call, end of the piece): it begins
                                  at the last multiple of /orchestrator/read_piece before that */
    EV_USER_TOOL_CONFIRMATION, /* user.tool_confirmation; c = tool use, flags EVENT_IS_ERROR = deny */
    EV_USER_CUSTOM_TOOL_RESULT,
    EV_STATUS_RUNNING,    /* session.status_running */
    EV_STATUS_IDLE,       /* session.status_idle; c = enum stop_reason */
    EV_STATUS_TERMINATED, /* session.status_terminated */
    EV_SESSION_DELETED,   /* session.deleted */
    EV_SESSION_ERROR,     /* session.error; c = 0 retrying 1 exhausted 2 terminal */
    EV_MODEL_START,       /* span.model_request_start */
    EV_MODEL_END,         /* span.model_request_end; c = its start event */
    EV_AGENT_MESSAGE,  /* agent.message; c = tool use whose result is quoted (0 = none), d = bytes of text */
    EV_AGENT_TOOL_USE, /* agent.tool_use; tool in b; c = execution_ns (BASH) or the spilled call's id (READ,
                          WRITE); d = output characters (BASH), characters written (WRITE), TOOL_PIECE(offset,
                          n) (READ) */
    EV_AGENT_MCP_TOOL_USE,    /* agent.mcp_tool_use; c = HOST(tunnel, mcp) */
    EV_AGENT_MCP_TOOL_RESULT, /* agent.mcp_tool_result; c = tool use, d as of user.tool_result */
};

#define EVENT_IS_ERROR 1u
#define EVENT_SPILLED  2u
#define EVENT_CORRUPT  4u /* the integrity check of a body failed; of an M_EVENT: at its reader */
#define EVENT_REFUSED                                                                                        \
    8u /* with EVENT_IS_ERROR, of a posted result: a limit refused the call, it never ran                    \
        */

#define EVENT_FOREIGN                                                                                        \
    16u /* with EVENT_IS_ERROR, of a posted result: nothing was simulated, the call is not one of ours       \
         */

/* What the model gets of a spilled output: a note of so many characters, which says how long the output is
 * and in which file it stands, and then its beginning. */
#define SPILL_NOTE_CHARS 100u

#define EVENT_B(kind, tool, flags, seq)                                                                      \
    ((uint64_t)(kind) | (uint64_t)(tool) << 8 | (uint64_t)(flags) << 16 | (uint64_t)(seq) << 32)
#define EVENT_KIND(b)  ((enum event_kind)((b)&0xff))
#define EVENT_TOOL(b)  ((uint32_t)((b) >> 8 & 0xff))
#define EVENT_FLAGS(b) ((uint32_t)((b) >> 16 & 0xffff))
#define EVENT_SEQ(b)   ((uint32_t)((b) >> 32))

/* A piece of a file in characters. */
#define TOOL_PIECE(offset, n) ((uint64_t)(offset) << 32 | (uint32_t)(n))
#define TOOL_PIECE_OFFSET(d)  ((uint32_t)((d) >> 32))
#define TOOL_PIECE_LENGTH(d)  ((uint32_t)(d))

struct msg {
    uint8_t type;  /* enum msg_type */
    uint8_t flags; /* enum msg_flag */
    uint16_t kind; /* enum msg_kind */
    uint32_t bytes;
    uint64_t a, b, c, d, e;
};

/* "session_create", …: stable names, for counts and logs. */
const char *msg_kind_name(enum msg_kind kind);
/* "session.status_idle", …: the wire's own; NULL for EV_NONE. */
const char *event_kind_name(enum event_kind kind);
