/*
 * The runner's inside: worker slots, each with at most one session and its tool calls, over one sandbox pool.
 *
 *     runner.c          events in, the pool, begin and end
 *     runner_slot.c     a worker's requests and their answers
 *     runner_session.c  what a session's stream and history say
 *     runner_call.c     a tool call: sandbox, execution, files, result
 */
#pragma once

#include "sim/base/slab.h"
#include "sim/policy/sandbox_pool.h"
#include "sim/policy/wakeup.h"
#include "sim/policy/worker.h"
#include "sim/record/recorder.h"
#include "sim/world/component.h"

/* Characters of a result that is no tool's output: an error, or what WRITE answers. (The text that says why a
 * foreign call is refused has as many, see api_client.h.) */
#define RESULT_ERROR_CHARS 60u
#define RESULT_WRITE_CHARS 80u

/* A flow's tag and a sandbox's user: a call's id, or a slot's number with one of these above it. So calls and
 * slots are fewer than 2^22. */
#define TAG_SHIFT         22
#define TAG_NUMBER(tag)   ((tag) & ((1u << TAG_SHIFT) - 1))
#define TAG_KIND(tag)     ((tag) >> TAG_SHIFT & 3)
#define TAG(kind, number) ((uint32_t)(kind) << TAG_SHIFT | (number))
enum tag_kind { TAG_CALL, TAG_MAIN, TAG_BEAT, TAG_READER };
#define RUNNER_CALLS_MAX (1u << TAG_SHIFT)

enum runner_timer { RUNNER_TIMER_SLOT = 1, RUNNER_TIMER_CALL, RUNNER_TIMER_POOL };
#define RUNNER_TOKEN(purpose, id) ((uint64_t)(purpose) << 32 | (id))

enum call_state {
    CALL_HELD,    /* seen, but the history is not read to its end */
    CALL_SANDBOX, /* waits for a sandbox */
    CALL_RUNNING, /* until its timer */
    CALL_FILE,    /* a file is written or read */
    CALL_POSTING,
    CALL_POST_WAIT, /* until its timer */
    CALL_DONE,      /* kept while an earlier call of the session is not */
};

enum call_flag {
    CALL_IS_ERROR = EVENT_IS_ERROR,
    CALL_SPILLED = EVENT_SPILLED,
    CALL_CORRUPT = EVENT_CORRUPT,
    CALL_REFUSED = EVENT_REFUSED,
    CALL_FOREIGN = EVENT_FOREIGN,
    CALL_TIMED_OUT = 32,
    CALL_BILLED = 64, /* its own sandbox stands in the ledger */
};

struct call {
    uint64_t id;   /* the tool use's event */
    uint64_t arg;  /* BASH: execution_ns; READ, WRITE: the file's call; CALL_FILE of BASH: when the write
                      began; from  CALL_POSTING on: when the post began */
    uint64_t size; /* characters; READ: TOOL_PIECE */
    uint32_t seq, slot, next;
    uint32_t use;   /* scope per call: its sandbox, or 0 */
    uint32_t flow;  /* CALL_FILE, CALL_POSTING */
    uint32_t entry; /* ledger: of the spill in CALL_FILE, of the result from CALL_POSTING on */
    union {
        uint32_t sandbox_entry; /* CALL_BILLED */
        uint32_t file;          /* READ, from CALL_POSTING on: the sequence number of the file's call */
    };
    uint8_t tool, state, flags, attempts;
};

/* What its calls and their events need comes first, in one cache line. */
struct slot {
    _Alignas(64) uint64_t session;
    uint32_t number;
    uint32_t first, last; /* calls in the order of seq */
    uint32_t open;        /* of these not done */
    uint32_t settled;     /* each call of a lower seq is done */
    uint32_t stream_flow;
    uint32_t credit; /* bytes of the stream handled and not yet granted */
    struct sandbox_owner owner;
    uint32_t use; /* scope per session: its sandbox, or 0 */
    uint32_t sandbox_entry;
    bool sandbox_ready, sandbox_billed;
    bool has_files;    /* the disk has something of its session */
    bool history_idle; /* the last event of the history ended a turn */
    struct worker worker;
    struct wakeup wakeup;
    uint64_t item;
    uint64_t history_cursor;
    uint32_t lives;
    uint32_t main_flow, beat_flow, history_flow;
};
_Static_assert(offsetof(struct slot, worker) <= 64, "one cache line");

struct runner {
    struct component component;
    const struct plan_runner *plan;
    uint32_t pool; /* index of the plan's pool: the environment */
    struct slot *slots;
    struct slab calls;
    struct sandbox_pool *sandboxes;
    struct wakeup pool_wakeup;
    uint64_t worker_key, retry_key;
    uint32_t *crashes_left; /* by the plan's fault */
};

static inline struct recorder *runner_recorder(const struct runner *r)
{
    return r->component.env.recorder;
}
static inline const struct plan *runner_plan(const struct runner *r)
{
    return r->component.env.plan;
}
static inline struct slot *runner_slot_of(const struct runner *r, const struct call *c)
{
    return &r->slots[c->slot];
}

/* runner_slot.c: does what the worker wants next and arms its timer. */
void runner_slot_run(struct runner *r, struct slot *s, nsec_t now, struct outbox *out);
/* A message on one of the slot's own flows. False: nothing in it could make the worker want something now. */
bool runner_slot_message(struct runner *r, struct slot *s, nsec_t now, const struct event *ev,
                         struct outbox *out);

/* runner_session.c: an event of the session, `live` from the stream, otherwise from its history. */
void runner_session_event(struct runner *r, struct slot *s, nsec_t now, const struct msg *m, bool live,
                          struct outbox *out);
/* The history is read: what is unanswered begins. */
void runner_history_read(struct runner *r, struct slot *s, nsec_t now, struct outbox *out);

/* runner_call.c */
void runner_call_begin(struct runner *r, uint32_t id, struct call *c, nsec_t now, struct outbox *out);
void runner_call_sandbox_started(struct runner *r, struct call *c);
void runner_call_sandbox_ready(struct runner *r, uint32_t id, struct call *c, nsec_t now, struct outbox *out);
void runner_call_timer(struct runner *r, uint32_t id, struct call *c, nsec_t now, struct outbox *out);
void runner_call_message(struct runner *r, uint32_t id, struct call *c, nsec_t now, const struct event *ev,
                         struct outbox *out);
/* Somebody else's result stands in the session: a call that has not begun is done. */
void runner_call_answered(struct runner *r, struct slot *s, uint64_t id);
/* Ends all calls of a slot: `lost`: with their sandboxes; otherwise these are released. */
void runner_calls_drop(struct runner *r, struct slot *s, nsec_t now, bool lost, struct outbox *out);
/* Ends in the ledger what the slot's calls still hold open, and nothing else. */
void runner_calls_end(struct runner *r, struct slot *s, enum ledger_end end);
