/*
 * What the orchestrator's parts share: its state, and how they call each other. Private to
 * sim/world/orchestrator*.c.
 *
 *   orchestrator.c          life, dispatch of events, small answers
 *   orchestrator_session.c  sessions and their logs
 *   orchestrator_events.c   events in and out: requests, lists, event streams
 *   orchestrator_work.c     the work queue
 *   orchestrator_turn.c     the agent loop
 *   orchestrator_call.c     the agent's calls: issue, results, spills
 *   orchestrator_mcp.c      the MCP client: streams, attempts, retries
 */
#pragma once

#include "sim/base/vec.h"
#include "sim/policy/agent_loop.h"
#include "sim/policy/mcp_pool.h"
#include "sim/policy/session_log.h"
#include "sim/policy/work_queue.h"
#include "sim/record/recorder.h"
#include "sim/world/component.h"

#include <stdint.h>

/* Bytes on the wire, estimated; a character is a byte. */
#define BYTES_HEAD          300u /* any request, any plain answer */
#define BYTES_EVENT         350u /* an event without its text */
#define BYTES_TUNNEL_STREAM 250u
#define BYTES_INNER_HELLO   400u
#define BYTES_MCP_CALL      600u

#define STREAM_WINDOW        (256u << 10) /* bytes sent on an event stream and not yet acknowledged, about */
#define LIST_MAX             1000u        /* events of one answer */
#define UPLOAD_EVENTS_MAX    32u          /* events of one request */
#define UPLOADS_MAX          (1u << 16)   /* requests at once that come in more than one message */
#define PENDING_MESSAGES_MAX 64u          /* user messages that wait for the turns before them */
#define SESSION_EVENTS_MAX   (1u << 20)   /* a session this long takes no more messages */
#define RETIRED_ITEMS_MAX    4096u        /* stopped work items that are still known */

/* What a timer's token says: purpose << 32 | reference. */
enum purpose {
    PURPOSE_MODEL = 1, /* session: its model request is over */
    PURPOSE_CALLS,     /* session: its oldest call may have timed out */
    PURPOSE_ITEM,      /* work item: its deadline */
    PURPOSE_POLL,      /* waiting poll: its deadline */
    PURPOSE_RETRY,     /* call: the wait before the next attempt is over */
    PURPOSE_MCP,       /* MCP stream: its deadline */
};
#define TOKEN(purpose, ref)  ((uint64_t)(purpose) << 32 | (ref))
#define TOKEN_PURPOSE(token) ((enum purpose)((token) >> 32))
#define TOKEN_REF(token)     ((uint32_t)(token))

/* What a flow's tag says: its kind in 3 bits, then the reference, whose 8 bits of generation are kept and of
 * whose index 21, so that no more than TAG_LIMIT objects of a kind may exist. */
enum flow_kind { FLOW_NONE, FLOW_POLL, FLOW_STREAM, FLOW_UPLOAD, FLOW_MCP };
#define TAG_LIMIT      (1u << 21)
#define TAG(kind, ref) ((uint32_t)(kind) << 29 | ((ref) >> SLAB_INDEX_BITS) << 21 | ((ref) & (TAG_LIMIT - 1)))
#define TAG_KIND(tag)  ((enum flow_kind)((tag) >> 29))
#define TAG_REF(tag)   (((tag) >> 21 & 0xff) << SLAB_INDEX_BITS | ((tag) & (TAG_LIMIT - 1)))

/* A session's id is a serial number, so that no id of a session or an event is ever used twice. */
#define EVENT_ID(serial, seq) ((uint64_t)(seq) << 32 | (serial))
#define ID_SESSION(id)        ((uint32_t)(id))
#define ID_SEQ(id)            ((uint32_t)((id) >> 32))

struct session {
    uint64_t ordinal; /* the client's */
    uint64_t agent;
    nsec_t created_at;
    nsec_t model_until; /* AGENT_MODEL */
    nsec_t step_at;     /* when the last step's calls were issued */
    uint32_t ref;       /* in the slab */
    uint32_t serial;
    uint32_t hash_next;
    uint32_t environment;
    struct session_log log;
    struct agent_loop loop;
    uint32_t item;                    /* its work item, stopped or not; 0 before the first */
    uint32_t step_seq;                /* the last step's tool uses stand here and behind */
    uint32_t calls_first, calls_last; /* open ones with a struct call, in order of issue */
    uint32_t streams_first;
    uint32_t spills_first, spills_last; /* outputs in files that the agent has not read */
    uint32_t model_seq;                 /* of the running model request */
    uint32_t quote_seq;                 /* the tool use whose result came first in the last step */
    uint32_t pending_seq;               /* no message that waits stands before it */
    uint16_t pending;                   /* messages that wait */
    uint32_t bash_open;                 /* open calls of TOOL_BASH */
    bool calls_armed;                   /* a PURPOSE_CALLS timer is pending */
};

enum call_state {
    CALL_SANDBOX,  /* the worker has it, or will */
    CALL_WAITING,  /* MCP: for a stream; `ref` is its place */
    CALL_ATTEMPT,  /* MCP: on a stream; `ref` is that */
    CALL_RETRY,    /* MCP: for its next attempt */
    CALL_LOST,     /* MCP: its attempt died with this process; only before mcp_recover() */
    CALL_SPILLING, /* MCP: its output is being written to a file in the sandbox */
};

#define CHARS_OWN UINT32_MAX /* an MCP server draws its output itself */

/* A call of the agent without a result yet. Calls of TOOL_BASH, of which there are most, have none of these:
 * all of a step are issued at session.step_at, and where the owner stands in the log's entry, theirs is their
 * place in the ledger. */
struct call {
    nsec_t issued_at;
    uint32_t session;
    uint32_t seq; /* of its tool use */
    uint32_t prev, next;
    uint32_t slot;  /* in the ledger */
    uint16_t index; /* in its step */
    uint8_t tool;   /* enum tool */
    uint8_t state;  /* enum call_state */
    union {
        struct {
            uint32_t seq; /* the tool use whose output is read */
            uint32_t offset;
            uint32_t chars; /* of the whole output */
        } read;
        struct {
            uint32_t chars; /* wanted, or CHARS_OWN */
            uint32_t ref;
            uint16_t mcp;
            uint16_t attempts;
        } mcp;
        struct {
            nsec_t since;  /* when the whole output was in hand */
            uint32_t seq;  /* of the WRITE */
            uint32_t slot; /* in the ledger */
        } spill;
    };
};

/* An output that stands in a file. */
struct spilled {
    uint32_t next;
    uint32_t seq; /* of the tool use */
    uint32_t chars;
};

struct event_stream {
    uint32_t session;
    uint32_t flow;
    uint32_t prev, next;
    uint32_t next_seq; /* to be sent */
    uint32_t unacked;  /* bytes */
    uint32_t slot;     /* in the ledger */
};

/* One event as it came in. */
struct posted {
    uint32_t kind, flags;
    uint32_t tool, file; /* TOOL_READ: a piece of the file of that call */
    uint64_t c, d;
    uint64_t chars; /* of the whole output, when it was spilled; where the piece begins */
};

/* A request to send events that comes in more than one message. */
struct upload {
    uint32_t session; /* serial */
    uint32_t count;   /* events that are complete */
    struct posted first;
    VEC(struct posted) more;
};

/* States of an MCP stream. */
enum mcp_stream_state { MCP_OPENING, MCP_HELLO, MCP_READY };

struct orchestrator {
    struct component component;
    const struct plan *plan;
    const struct plan_orchestrator *options;
    struct recorder *recorder;
    struct agent_scripts scripts;
    struct session_log_store logs;
    struct work_queue work;
    struct mcp_pools mcp;
    struct slab sessions, calls, spills, streams, uploads;
    uint32_t *sessions_by_serial; /* hash chains by the low bits of the serial */
    uint32_t buckets;             /* a power of two */
    uint32_t last_serial;
    uint32_t tunnels; /* at least 1 */
    uint64_t retry_key;
    struct prng faults;
};

/* The event being handled: when, and where effects go. */
struct ctx {
    nsec_t now;
    struct outbox *out;
};

/* orchestrator.c ------------------------------------------------------------------------------ */

/* Answers a request and ends our side of the flow. */
void answer(const struct ctx *x, uint32_t flow, struct msg m);
void answer_error(const struct ctx *x, uint32_t flow, uint32_t status, enum error_code code);
/* 429: too many of something. Counted as shed. */
void answer_limit(struct orchestrator *o, const struct ctx *x, uint32_t flow);

/* Sets a timer for `deadline` unless one that is pending comes no later. */
void arm(const struct ctx *x, nsec_t *armed_at, nsec_t deadline, uint64_t token);
/* A timer came: true if the deadline has come too, otherwise the timer is set again. */
bool due(const struct ctx *x, nsec_t *armed_at, nsec_t deadline, uint64_t token);

/* orchestrator_session.c ---------------------------------------------------------------------- */

/* The session of a reference that must be live. */
struct session *session_get(const struct orchestrator *o, uint32_t ref);
/* The session with this id on the wire, or NULL. */
struct session *session_find(const struct orchestrator *o, uint64_t serial);

/* Requests. */
void session_create(struct orchestrator *o, const struct ctx *x, const struct event *ev);
void session_describe(struct orchestrator *o, const struct ctx *x, const struct event *ev);
void session_delete(struct orchestrator *o, const struct ctx *x, const struct event *ev);

/* Appends an event to the session's log and sends it on its streams. `at` 0: not handled yet. `c` of those
 * kinds that name an event is its sequence number. Returns the new one. Out of memory for logs: panics. */
uint32_t session_emit(struct orchestrator *o, const struct ctx *x, struct session *s, nsec_t at,
                      struct log_entry entry);
/* Appends a tool use that waits for its result, bound to `call`. Its time is what call_issued_at() says; it
 * is not sent on the streams before the caller calls streams_pump(), with all that depends on it in place. */
uint32_t session_emit_open(struct orchestrator *o, struct session *s, uint32_t call, struct log_entry entry);
/* Now as a time that is not "not yet". */
nsec_t session_time(const struct ctx *x);
/* Event `seq` as the message that carries it; its bytes may exceed BODY_CHUNK. */
struct msg session_event(const struct orchestrator *o, const struct session *s, uint32_t seq);

/* orchestrator_events.c ----------------------------------------------------------------------- */

/* Requests. */
void events_list(struct orchestrator *o, const struct ctx *x, const struct event *ev);
void events_post(struct orchestrator *o, const struct ctx *x, const struct event *ev);
void events_stream(struct orchestrator *o, const struct ctx *x, const struct event *ev);

/* What comes on the flows of the latter two after their first message. */
void upload_event(struct orchestrator *o, const struct ctx *x, uint32_t ref, const struct event *ev);
void stream_event(struct orchestrator *o, const struct ctx *x, uint32_t ref, const struct event *ev);

/* Sends what is new in the session's log on its streams, as far as their windows allow. */
void streams_pump(struct orchestrator *o, const struct ctx *x, struct session *s);
/* The log's last event is the session's last: ends its streams with it. */
void streams_finish(struct orchestrator *o, const struct ctx *x, struct session *s);
/* All streams, and uploads, are gone without a word: the process died, or the run is over. */
void streams_drop(struct orchestrator *o, enum ledger_end end);

/* orchestrator_work.c ------------------------------------------------------------------------- */

int work_init(struct orchestrator *o);
/* Requests of the queue. */
void work_request(struct orchestrator *o, const struct ctx *x, const struct event *ev);
void work_poll_timer(struct orchestrator *o, const struct ctx *x, uint32_t ref);
void work_item_timer(struct orchestrator *o, const struct ctx *x, uint32_t ref);

/* The session needs a worker: makes an item unless it has one. */
void work_wanted(struct orchestrator *o, const struct ctx *x, struct session *s);
/* The session is going: its item is stopped. */
void work_unwanted(struct orchestrator *o, const struct ctx *x, struct session *s);
/* True while a worker holds the session's item. */
bool work_held(const struct orchestrator *o, const struct session *s);
/* Ends the ledger's entries of all items that are not stopped. */
void work_end_all(struct orchestrator *o, enum ledger_end end);
/* Timers are gone (the process died and came back). */
void work_recover(struct orchestrator *o, const struct ctx *x);

/* orchestrator_turn.c ------------------------------------------------------------------------- */

/* A user message came and no turn is running. */
void turn_begin(struct orchestrator *o, const struct ctx *x, struct session *s);
void turn_interrupt(struct orchestrator *o, const struct ctx *x, struct session *s);
void turn_model_timer(struct orchestrator *o, const struct ctx *x, struct session *s);
/* Goes on to the next model request when no call is open any more. To be called after calls ended. */
void turn_advance(struct orchestrator *o, const struct ctx *x, struct session *s);
/* Timers and streams are gone (the process died and came back). */
void turn_recover(struct orchestrator *o, const struct ctx *x, struct session *s);

/* orchestrator_call.c ------------------------------------------------------------------------- */

/* The call of a reference, NULL when it is gone. */
struct call *call_get(const struct orchestrator *o, uint32_t ref);
/* When the open tool use `seq`, read from the log, was issued. */
nsec_t call_issued_at(const struct orchestrator *o, const struct session *s, uint32_t seq,
                      const struct log_entry *use);
/* The calls of a step begin: none is open. */
void calls_begin(const struct ctx *x, struct session *s);
/* Whether a call of the session is open. */
bool calls_open(const struct session *s);
/* Issues what the script asks for: one call; for READ one for each output to be read, maybe none. */
void call_issue(struct orchestrator *o, const struct ctx *x, struct session *s,
                const struct agent_call *wanted);
/* A tool's result came in and is stored: the answer to the open tool use `seq`, as it was read from the log.
 */
void call_answered(struct orchestrator *o, const struct ctx *x, struct session *s, uint32_t seq,
                   const struct log_entry *use, const struct posted *result);
/* An MCP call's last attempt is over. `chars`: of the output, if COMPLETED. turn_advance() is the caller's.
 */
void call_mcp_over(struct orchestrator *o, const struct ctx *x, uint32_t call, enum ledger_end end,
                   uint64_t chars);
/* Ends all open calls of the session with an error result. */
void calls_fail_all(struct orchestrator *o, const struct ctx *x, struct session *s);
/* The session is going: its calls are lost without a result. */
void calls_drop_all(struct orchestrator *o, const struct ctx *x, struct session *s);
void calls_timer(struct orchestrator *o, const struct ctx *x, struct session *s);
void calls_arm(struct orchestrator *o, const struct ctx *x, struct session *s);
/* Ends the ledger's entries of all calls and their spills. */
void calls_end_all(struct orchestrator *o, enum ledger_end end);
/* Marks a moment of all calls that wait for the session's worker. */
void calls_mark(struct orchestrator *o, const struct ctx *x, const struct session *s, enum mark mark);
/* Forgets which outputs stand in files. */
void spills_forget(struct orchestrator *o, struct session *s);

/* orchestrator_mcp.c -------------------------------------------------------------------------- */

int mcp_init(struct orchestrator *o);
uint64_t mcp_host(const struct orchestrator *o, const struct session *s, uint32_t mcp);
/* Sends a call on its way. It may be over (shed) when this returns. */
void mcp_submit(struct orchestrator *o, const struct ctx *x, uint32_t call);
/* Gives up whatever goes on for the call; its attempt, if one runs, ends with `end`. */
void mcp_abandon(struct orchestrator *o, const struct ctx *x, uint32_t call, enum ledger_end end);
void mcp_event(struct orchestrator *o, const struct ctx *x, uint32_t stream, const struct event *ev);
void mcp_retry_timer(struct orchestrator *o, const struct ctx *x, uint32_t call);
void mcp_stream_timer(struct orchestrator *o, const struct ctx *x, uint32_t stream);
/* All streams are gone without a word: attempts end with `end`, their calls wait for mcp_recover(). */
void mcp_drop(struct orchestrator *o, enum ledger_end end);
/* After mcp_drop(): the call goes on as the rule for lost attempts says. */
void mcp_recover(struct orchestrator *o, const struct ctx *x, uint32_t call);
