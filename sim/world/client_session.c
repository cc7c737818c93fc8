/*
 * One session as its user lives it: create it, open its event stream; for each turn think, send a message and
 * wait until the session is idle again; then delete it.
 *
 * Two lines run side by side: the main line with at most one request at a time, and the event stream, which
 * is opened again whenever it is lost, what was missed being read from the cursor.
 */
#include "sim/base/panic.h"
#include "sim/policy/backoff.h"
#include "sim/world/client.h"
#include "sim/world/request.h"

#define RETRIES_MAX  6u
#define CREDIT_BATCH 16384u
#define LIST_LIMIT   1000u

static const struct backoff_rule retry_rule = {
    .base_ns = NSEC_PER_S / 2, .cap_ns = 8 * NSEC_PER_S, .exponent_max = UINT32_MAX, .jitter_ppm = 250000};
static const addr_t orchestrator = ADDR(ROLE_ORCHESTRATOR, 0);

static const struct plan_load *load_of(const struct client *c, const struct session *s)
{
    return &client_plan(c)->loads[s->load];
}

static const struct plan_script *script_of(const struct client *c, const struct session *s)
{
    return &client_plan(c)->scripts[load_of(c, s)->script];
}

/* Ends
 * ------------------------------------------------------------------------------------------------------------
 */

static bool turn_is_open(const struct session *s)
{
    return s->state == SESSION_SENDING || s->state == SESSION_IN_TURN;
}

void client_session_close_entries(struct client *c, const struct session *s, enum ledger_end end)
{
    /* A turn begins with its first attempt to send, so one that could not begin has no entry. */
    if (turn_is_open(s)) recorder_end(client_recorder(c), ACCOUNT_TURN, s->turn_entry, end);
    recorder_end(client_recorder(c), ACCOUNT_SESSION, s->entry, end);
}

/* The session is over for its user. What the orchestrator still has is deleted, without waiting for the
 * answer. */
static void session_end(struct client *c, uint32_t id, struct session *s, nsec_t now, enum ledger_end end,
                        struct outbox *out)
{
    struct recorder *rec = client_recorder(c);
    bool leftover = end != LEDGER_COMPLETED && s->id && s->state < SESSION_DELETING;

    if (end == LEDGER_COMPLETED) {
        recorder_record(rec, METRIC_SESSION_TOTAL, now - s->intended_ns);
        recorder_record_split(rec, SPLIT_SCRIPT, load_of(c, s)->script, now - s->intended_ns);
        recorder_record(rec, METRIC_SESSION_TOTAL_SERVICE, now - s->started_ns);
    }
    request_cancel(out, &s->flow);
    request_cancel(out, &s->history);
    request_cancel(out, &s->stream);
    if (leftover)
        request_open(out, orchestrator, id,
                     (struct msg){.kind = M_SESSION_DELETE, .bytes = REQUEST_BYTES, .a = s->id});
    client_session_close_entries(c, s, end);
    arrival_user_back(c->arrivals[s->load], now, s->user);
    slab_free(&c->sessions, id);
}

/* The main line
 * --------------------------------------------------------------------------------------------------- */

/* The only place where the state changes. */
static void enter(struct session *s, enum session_state state, nsec_t due)
{
    s->state = (uint8_t)state & 15;
    s->due = due;
    s->attempts = 0;
}

static void next_turn(struct client *c, struct session *s, nsec_t now)
{
    const struct plan_script *script = script_of(c, s);
    struct prng p = prng_derive(c->think_key, s->ordinal, s->turn);

    if (s->turn < script->turn_count)
        enter(s, SESSION_THINKING, nsec_add(now, dist_sample(&script->turns[s->turn].think_ns, &p)));
    else
        enter(s, SESSION_DELETING, now);
}

static void turn_completed(struct client *c, struct session *s, nsec_t now)
{
    recorder_end(client_recorder(c), ACCOUNT_TURN, s->turn_entry, LEDGER_COMPLETED);
    /* The answer to the message may come after what it led to: it is not waited for. */
    s->flow = 0;
    s->turn++;
    next_turn(c, s, now);
}

static struct msg request_of(const struct client *c, const struct session *s)
{
    const struct plan *plan = client_plan(c);
    uint32_t environments = plan->runner_count ? plan->runner_count : 1;
    uint32_t chars;

    switch ((enum session_state)s->state) {
    case SESSION_CREATING:
        return (struct msg){.kind = M_SESSION_CREATE,
                            .bytes = REQUEST_BYTES,
                            .a = load_of(c, s)->script,
                            .b = s->ordinal,
                            .c = s->ordinal % environments};
    case SESSION_SENDING:
        chars = script_of(c, s)->turns[s->turn].message_bytes;
        return (struct msg){.kind = M_EVENTS_SEND,
                            .bytes = REQUEST_BYTES + chars,
                            .a = s->id,
                            .b = EV_USER_MESSAGE,
                            .d = chars};
    case SESSION_DELETING: return (struct msg){.kind = M_SESSION_DELETE, .bytes = REQUEST_BYTES, .a = s->id};
    case SESSION_OPENING:
    case SESSION_THINKING:
    case SESSION_IN_TURN:
    case SESSION_LEAVING: break;
    }
    UNREACHABLE();
}

/* When the main line wants to act. A message is sent again only with the stream up to date: it may have
 * arrived, with only the answer lost, and then the stream shows it. */
static nsec_t main_due(const struct session *s)
{
    bool unsure = s->state == SESSION_SENDING && s->attempts != 0 && s->reader != STREAM_LIVE;

    return s->flow || unsure ? NSEC_MAX : s->due;
}

static void main_run(struct client *c, uint32_t id, struct session *s, nsec_t now, struct outbox *out)
{
    if (now < main_due(s)) return;
    if (s->state == SESSION_THINKING) {
        enter(s, SESSION_SENDING, now);
        s->turn_entry = recorder_open(client_recorder(c), ACCOUNT_TURN);
    }
    s->due = NSEC_MAX;
    s->flow = request_open(out, orchestrator, id, request_of(c, s));
}

/* False: there were too many attempts. */
static bool again(struct client *c, struct session *s, nsec_t now, nsec_t retry_after_ns)
{
    uint32_t purpose = (uint32_t)s->turn << 8 | (uint32_t)s->state << 4 | s->attempts;
    struct prng p = prng_derive(c->retry_key, s->ordinal, purpose);

    if (s->attempts == RETRIES_MAX) return false;
    s->due = nsec_add(now, backoff_wait_at_least(&retry_rule, s->attempts, retry_after_ns, &p));
    s->attempts = (s->attempts + 1) & 15;
    recorder_count(client_recorder(c), COUNTER_RETRIES, 1);
    return true;
}

/* What a good answer leads to; true: the session is deleted. */
static bool accepted(struct session *s, nsec_t now, const struct msg *m)
{
    switch ((enum session_state)s->state) {
    case SESSION_CREATING:
        s->id = m->a;
        enter(s, SESSION_OPENING, NSEC_MAX);
        s->reader = STREAM_WAITING;
        s->reader_due = now;
        return false;
    case SESSION_SENDING: enter(s, SESSION_IN_TURN, NSEC_MAX); return false;
    case SESSION_DELETING: enter(s, SESSION_LEAVING, NSEC_MAX); return true;
    case SESSION_OPENING:
    case SESSION_THINKING:
    case SESSION_IN_TURN:
    case SESSION_LEAVING: break;
    }
    return false;
}

/* A deleted session is over when its stream is, which ends by itself at that moment: whichever is heard of
 * first, both connections can be used again. True: the session is gone. */
static bool left(struct client *c, uint32_t id, struct session *s, nsec_t now, struct outbox *out)
{
    if (s->state != SESSION_LEAVING || s->stream) return false;
    session_end(c, id, s, now, LEDGER_COMPLETED, out);
    return true;
}

/* True: the session is gone. */
static bool main_message(struct client *c, uint32_t id, struct session *s, nsec_t now, const struct event *ev,
                         struct outbox *out)
{
    const struct msg *m = &ev->msg;
    bool reset = m->type == MSG_RESET;
    bool gone = s->state == SESSION_DELETING && !reset && m->kind == M_ERROR && m->a == 404;

    request_over(out, ev, &s->flow);
    if (gone || (!reset && (m->kind == M_OK || m->kind == M_SESSION))) {
        if (!accepted(s, now, m)) return false;
        return left(c, id, s, now, out);
    }
    if ((reset || !status_is_final(m->a)) && again(c, s, now, reset ? 0 : m->c)) return false;
    session_end(c, id, s, now, LEDGER_FAILED, out);
    return true;
}

/* The event stream
 * ------------------------------------------------------------------------------------------------ */

static void reader_run(uint32_t id, struct session *s, nsec_t now, struct outbox *out)
{
    if (s->reader != STREAM_WAITING || now < s->reader_due) return;
    s->reader = STREAM_OPENING;
    s->reader_due = NSEC_MAX;
    s->stream = request_open(out, orchestrator, id,
                             (struct msg){.kind = M_STREAM, .bytes = REQUEST_BYTES, .a = s->id});
}

static void list_more(uint32_t id, struct session *s, struct outbox *out)
{
    struct msg m = {
        .kind = M_EVENTS_LIST, .bytes = REQUEST_BYTES, .a = s->id, .b = s->cursor, .c = LIST_LIMIT};

    s->history = request_open(out, orchestrator, id, m);
}

/* Stream and list are given up for now; false: for good. */
static bool reader_lost(struct client *c, struct session *s, nsec_t now, nsec_t retry_after_ns,
                        struct outbox *out)
{
    struct prng p = prng_derive(c->retry_key, s->ordinal, UINT32_C(1) << 31 | s->reader_attempts);

    request_cancel(out, &s->history);
    request_cancel(out, &s->stream);
    s->credit = 0;
    if (s->reader_attempts == RETRIES_MAX) return false;
    s->reader = STREAM_WAITING;
    s->reader_due = nsec_add(now, backoff_wait_at_least(&retry_rule, s->reader_attempts, retry_after_ns, &p));
    s->reader_attempts = (s->reader_attempts + 1) & 15;
    recorder_count(client_recorder(c), COUNTER_RETRIES, 1);
    return true;
}

static void stream_up(struct client *c, uint32_t id, struct session *s, nsec_t now, struct outbox *out)
{
    if (s->state == SESSION_OPENING) {
        s->reader = STREAM_LIVE;
        next_turn(c, s, now);
        return;
    }
    s->reader = STREAM_CATCHING_UP;
    list_more(id, s, out);
}

/* An event that was not known. True: the session failed. */
static bool event_is_fatal(struct client *c, struct session *s, nsec_t now, const struct msg *m)
{
    switch (EVENT_KIND(m->b)) {
    case EV_USER_MESSAGE:
        /* The answer was lost, but not the message: it is not sent again. */
        if (s->state == SESSION_SENDING && !s->flow) enter(s, SESSION_IN_TURN, NSEC_MAX);
        return false;
    case EV_STATUS_IDLE:
        if (m->c == STOP_REQUIRES_ACTION || !turn_is_open(s)) return false;
        if (m->c != STOP_END_TURN) return true;
        turn_completed(c, s, now);
        s->cursor = EVENT_SEQ(m->b) + 1;
        return false;
    case EV_STATUS_TERMINATED:
    case EV_SESSION_DELETED: return s->state < SESSION_DELETING;
    default: return false;
    }
}

/* True: the session failed. */
static bool session_event(struct client *c, struct session *s, nsec_t now, const struct msg *m, bool live)
{
    struct recorder *rec = client_recorder(c);
    uint32_t seq = EVENT_SEQ(m->b);

    if (seq < s->cursor) {
        recorder_count(rec, COUNTER_EVENTS_DUPLICATE, 1);
        return false;
    }
    if (EVENT_FLAGS(m->b) & EVENT_CORRUPT) recorder_count(rec, COUNTER_HASH_MISMATCHES, 1);
    /* That it is deleted may come before or after the answer that says so, and after it nobody listens. */
    if (live && m->e && EVENT_KIND(m->b) != EV_SESSION_DELETED)
        recorder_record(rec, METRIC_EVENT_DELIVERY, nsec_sub0(now, m->e));
    s->reader_attempts = 0;
    /* While older events are being read, those of the stream come out of turn. */
    if (!live || s->reader == STREAM_LIVE) s->cursor = seq + 1;
    return event_is_fatal(c, s, now, m);
}

static void stream_credit(struct session *s, uint32_t bytes, struct outbox *out)
{
    uint32_t credit = s->credit + bytes;

    if (credit >= CREDIT_BATCH) {
        flow_credit(out, s->stream, credit);
        credit = 0;
    }
    s->credit = (uint16_t)credit;
}

/* An event is whole with the first message that has nothing more to come; M_BODY repeats what the head said.
 */
static bool event_is_whole(const struct msg *m)
{
    return m->type == MSG_DATA && (m->kind == M_EVENT || m->kind == M_BODY) && !(m->flags & MSG_UNFINISHED);
}

/* Both return true when the session failed. */
static bool stream_message(struct client *c, uint32_t id, struct session *s, nsec_t now,
                           const struct event *ev, struct outbox *out)
{
    const struct msg *m = &ev->msg;
    bool refused = m->type == MSG_OPEN && m->kind == M_ERROR;
    bool failed = event_is_whole(m) && session_event(c, s, now, m, true);

    if (m->type == MSG_OPEN && !refused) stream_up(c, id, s, now, out);
    if (m->type != MSG_RESET && !(m->flags & MSG_LAST) && !refused) {
        stream_credit(s, m->bytes, out);
        return failed;
    }
    request_over(out, ev, &s->stream);
    if (s->state >= SESSION_DELETING) {
        /* Deleted sessions have no stream; nothing is waited for on it. */
        s->reader = STREAM_NONE;
        return failed;
    }
    if (failed || (refused && status_is_final(m->a))) return true;
    return !reader_lost(c, s, now, refused ? m->c : 0, out);
}

static bool history_message(struct client *c, uint32_t id, struct session *s, nsec_t now,
                            const struct event *ev, struct outbox *out)
{
    const struct msg *m = &ev->msg;
    bool refused = m->type == MSG_OPEN && m->kind != M_OK;
    bool failed = event_is_whole(m) && session_event(c, s, now, m, false);

    if (m->type == MSG_RESET || refused) {
        request_over(out, ev, &s->history);
        if (s->state >= SESSION_DELETING) {
            /* Nor is there a history, then. */
            request_cancel(out, &s->stream);
            s->reader = STREAM_NONE;
            return failed;
        }
        return !reader_lost(c, s, now, refused ? m->c : 0, out);
    }
    /* A page without events is the last, whatever its cursor says. */
    if (m->type == MSG_OPEN && (m->a == 0 || m->flags & MSG_LAST)) s->reader = STREAM_LAST_PAGE;
    if (!(m->flags & MSG_LAST)) return failed;
    s->history = 0;
    if (s->reader == STREAM_CATCHING_UP)
        list_more(id, s, out);
    else
        s->reader = STREAM_LIVE;
    return failed;
}

/* Events
 * ----------------------------------------------------------------------------------------------------------
 */

static nsec_t patience_ends(const struct client *c, const struct session *s)
{
    return nsec_add(s->started_ns, load_of(c, s)->patience_ns);
}

static void session_run(struct client *c, uint32_t id, struct session *s, nsec_t now, struct outbox *out)
{
    nsec_t deadline;

    if (now >= patience_ends(c, s)) {
        recorder_count(client_recorder(c), COUNTER_TIMEOUTS, 1);
        session_end(c, id, s, now, LEDGER_LOST, out);
        return;
    }
    main_run(c, id, s, now, out);
    reader_run(id, s, now, out);
    deadline = nsec_min(nsec_min(main_due(s), s->reader_due), patience_ends(c, s));
    if (wakeup_want(&s->wakeup, deadline)) timer_set(out, deadline, CLIENT_TOKEN(CLIENT_TIMER_SESSION, id));
}

void client_session_begin(struct client *c, uint32_t id, struct session *s, const struct session_start *start,
                          nsec_t now, struct outbox *out)
{
    struct recorder *rec = client_recorder(c);

    s->intended_ns = start->intended_ns;
    s->started_ns = now;
    s->ordinal = start->ordinal;
    s->user = start->user;
    s->load = start->load;
    s->reader_due = NSEC_MAX;
    s->entry = recorder_open(rec, ACCOUNT_SESSION);
    recorder_record(rec, METRIC_SCHEDULE_LAG, nsec_sub0(now, start->intended_ns));
    wakeup_init(&s->wakeup);
    enter(s, SESSION_CREATING, now);
    session_run(c, id, s, now, out);
}

void client_session_message(struct client *c, uint32_t id, struct session *s, nsec_t now,
                            const struct event *ev, struct outbox *out)
{
    bool failed = false;

    if (ev->msg.type == MSG_CREDIT) return;
    if (ev->flow == s->flow) {
        if (main_message(c, id, s, now, ev, out)) return;
    } else if (ev->flow == s->stream) {
        failed = stream_message(c, id, s, now, ev, out);
    } else if (ev->flow == s->history) {
        failed = history_message(c, id, s, now, ev, out);
    }
    if (!failed && left(c, id, s, now, out)) return;
    if (failed)
        session_end(c, id, s, now, LEDGER_FAILED, out);
    else
        session_run(c, id, s, now, out);
}

void client_session_timer(struct client *c, uint32_t id, struct session *s, nsec_t now, struct outbox *out)
{
    wakeup_fired(&s->wakeup, now);
    session_run(c, id, s, now, out);
}
