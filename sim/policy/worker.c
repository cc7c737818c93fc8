#include "sim/policy/worker.h"

#include "sim/base/panic.h"

/* The SDK's: 1 s·2^n up to 60 s, less up to a quarter. */
static const struct backoff_rule poll_backoff = {
    .base_ns = NSEC_PER_S, .cap_ns = 60 * NSEC_PER_S, .exponent_max = UINT32_MAX, .jitter_ppm = 250000};
/* Its HTTP client's own retries. */
static const struct backoff_rule request_backoff = {
    .base_ns = NSEC_PER_S / 2, .cap_ns = 8 * NSEC_PER_S, .exponent_max = UINT32_MAX, .jitter_ppm = 250000};
static const struct backoff_rule stream_backoff = {.base_ns = NSEC_PER_S / 2,
                                                   .cap_ns = 10 * NSEC_PER_S,
                                                   .exponent_max = UINT32_MAX,
                                                   .jitter_ppm = BACKOFF_JITTER_NONE};
const struct backoff_rule worker_result_backoff = {
    .base_ns = NSEC_PER_S, .cap_ns = 30 * NSEC_PER_S, .exponent_max = UINT32_MAX, .jitter_ppm = 250000};

/* The only place where the state changes. `due`: when the new state acts, or ends. */
static void enter(struct worker *w, enum worker_state state, nsec_t due)
{
    ASSERT(w->state != WORKER_ENDED);
    w->state = (uint8_t)state;
    w->due = due;
    w->asked = false;
    w->failures = 0;
}

static void rest(struct worker *w, nsec_t until)
{
    enter(w, w->draining ? WORKER_ENDED : WORKER_RESTING, until);
}

static nsec_t first_poll(struct worker *w, nsec_t now)
{
    nsec_t within = w->plan->poll_pause_max_ns;

    return nsec_add(now, prng_below(&w->rng, within ? within : 1));
}

static void forget_item(struct worker *w)
{
    w->lease = LEASE_NONE;
    w->beating = false;
    w->reader = READER_OFF;
    w->reader_failures = w->history_failures = 0;
    w->idle_due = NSEC_MAX;
    w->leave = w->cut = false;
}

void worker_init(struct worker *w, const struct plan_runner *plan, struct prng rng, uint64_t beat_none,
                 nsec_t now)
{
    *w = (struct worker){.plan = plan, .rng = rng, .beat_last = beat_none, .crash_ns = NSEC_MAX};
    forget_item(w);
    enter(w, WORKER_RESTING, 0);
    w->due = first_poll(w, now);
}

bool worker_holds(const struct worker *w)
{
    return w->lease != LEASE_NONE;
}

bool worker_serves(const struct worker *w)
{
    return w->state == WORKER_SERVING && w->reader == READER_LIVE;
}

void worker_calls(struct worker *w, uint32_t calls)
{
    w->calls = calls;
}

void worker_drain(struct worker *w)
{
    w->draining = true;
    if (w->state == WORKER_POLLING && w->asked) w->cut = true;
    if (w->state == WORKER_RESTING || w->state == WORKER_POLLING || w->state == WORKER_GONE)
        enter(w, WORKER_ENDED, NSEC_MAX);
}

void worker_crash(struct worker *w, nsec_t at)
{
    w->crash_ns = at;
}

/* The session is left: at once, or when the calls that run are done. */
static void leave(struct worker *w)
{
    if (w->state == WORKER_FETCHING || w->state == WORKER_SERVING || w->state == WORKER_FINISHING)
        w->leave = true;
}

static void finish(struct worker *w, nsec_t now)
{
    if (w->state == WORKER_FETCHING) leave(w);
    if (w->state == WORKER_SERVING) enter(w, WORKER_FINISHING, nsec_add(now, WORKER_FINISH_NS));
}

/* The main line
 * ------------------------------------------------------------------------------------------------ */

void worker_on_work(struct worker *w, nsec_t now)
{
    w->poll_failures = 0;
    enter(w, WORKER_ACKING, now);
}

void worker_on_no_work(struct worker *w, nsec_t now)
{
    nsec_t min = w->plan->poll_pause_min_ns, max = nsec_max(w->plan->poll_pause_max_ns, min);

    w->poll_failures = 0;
    rest(w, nsec_add(now, min + prng_below(&w->rng, max - min + 1)));
}

void worker_on_ack(struct worker *w, nsec_t now, uint64_t beat_none)
{
    forget_item(w);
    w->lease = LEASE_HELD;
    w->beat_last = beat_none;
    w->beat_due = w->beat_ok_ns = now;
    w->ttl_ns = WORKER_LEASE_DEFAULT_NS;
    w->beat_every_ns = WORKER_BEAT_MAX_NS;
    enter(w, WORKER_FETCHING, now);
}

void worker_on_session(struct worker *w, nsec_t now, bool terminated)
{
    if (terminated) {
        leave(w);
        return;
    }
    enter(w, WORKER_SERVING, NSEC_MAX);
    w->reader = READER_WAITING;
    w->reader_due = now;
}

void worker_on_item_stopped(struct worker *w, nsec_t now)
{
    rest(w, now);
}

static void poll_failed(struct worker *w, nsec_t now, const struct worker_failure *failure)
{
    if (failure->final) {
        enter(w, WORKER_ENDED, NSEC_MAX);
        return;
    }
    rest(w, nsec_add(now, backoff_wait_at_least(&poll_backoff, w->poll_failures++, failure->retry_after_ns,
                                                &w->rng)));
}

void worker_on_failure(struct worker *w, nsec_t now, const struct worker_failure *failure)
{
    if (w->state == WORKER_POLLING) {
        poll_failed(w, now, failure);
    } else if (!failure->final && w->failures < WORKER_REQUEST_RETRIES) {
        w->due = nsec_add(
            now, backoff_wait_at_least(&request_backoff, w->failures++, failure->retry_after_ns, &w->rng));
        w->asked = false;
    } else if (w->state == WORKER_FETCHING) {
        leave(w);
    } else {
        rest(w,
             now); /* the claim was not acknowledged, or the item not stopped: the queue's timers see to it */
    }
}

/* Heartbeats
 * --------------------------------------------------------------------------------------------------- */

void worker_on_beat(struct worker *w, nsec_t now, const struct worker_beat *beat)
{
    w->beating = false;
    w->beat_last = beat->last;
    w->beat_ok_ns = now;
    if (beat->ttl_ns) {
        w->ttl_ns = beat->ttl_ns;
        w->beat_every_ns = nsec_max(WORKER_BEAT_MIN_NS, nsec_min(beat->ttl_ns / 2, WORKER_BEAT_MAX_NS));
    }
    w->beat_due = nsec_add(now, w->beat_every_ns);
    if (beat->stopping || !beat->extended) finish(w, now);
}

static void lease_over(struct worker *w, enum worker_lease how)
{
    w->beating = false;
    w->lease = (uint8_t)how;
    leave(w);
}

void worker_on_beat_mismatch(struct worker *w)
{
    lease_over(w, LEASE_LOST);
}

void worker_on_beat_failure(struct worker *w, nsec_t now, bool final)
{
    w->beating = false;
    w->beat_due = nsec_add(now, w->beat_every_ns);
    if (final)
        lease_over(w, LEASE_ENDED);
    else if (now - w->beat_ok_ns > w->ttl_ns)
        lease_over(w, LEASE_LOST);
}

/* Stream and history
 * ------------------------------------------------------------------------------------------- */

void worker_on_stream(struct worker *w, nsec_t now)
{
    w->reader = READER_UNREAD;
    w->reader_due = now;
    w->history_failures = 0;
}

void worker_on_stream_lost(struct worker *w, nsec_t now, bool final)
{
    w->reader = READER_WAITING;
    w->reader_due = nsec_add(now, backoff_wait(&stream_backoff, w->reader_failures, &w->rng));
    if (w->reader_failures < UINT8_MAX) w->reader_failures++;
    if (final) leave(w);
}

static void idle_from(struct worker *w, nsec_t now, bool idle)
{
    w->idle_due = idle ? nsec_add(now, w->plan->max_idle_ns) : NSEC_MAX;
}

void worker_on_history(struct worker *w, nsec_t now, bool idle)
{
    w->reader = READER_LIVE;
    w->reader_due = NSEC_MAX;
    idle_from(w, now, idle);
}

void worker_on_history_failure(struct worker *w, nsec_t now)
{
    if (w->history_failures < WORKER_REQUEST_RETRIES) {
        w->reader = READER_UNREAD;
        w->reader_due = nsec_add(now, backoff_wait(&request_backoff, w->history_failures++, &w->rng));
        return;
    }
    /* The SDK goes on without. Here the stream is opened again, so that no call stays unseen. */
    w->reader = READER_READING;
    w->reader_due = now;
}

void worker_on_event(struct worker *w, nsec_t now, bool idle, bool over)
{
    w->reader_failures = 0;
    idle_from(w, now, idle);
    if (over) leave(w);
}

/* What is to be done
 * ------------------------------------------------------------------------------------------- */

static enum worker_action next_main(struct worker *w, nsec_t now)
{
    static const enum worker_action requests[] = {
        [WORKER_RESTING] = WORKER_POLL,       [WORKER_POLLING] = WORKER_POLL,
        [WORKER_ACKING] = WORKER_ACK,         [WORKER_FETCHING] = WORKER_FETCH,
        [WORKER_STOPPING] = WORKER_STOP_ITEM, [WORKER_ENDED] = WORKER_NOTHING};
    struct worker_failure timeout = {0};
    enum worker_action action = requests[w->state];

    if (now < w->due || action == WORKER_NOTHING) return WORKER_NOTHING;
    if (w->asked) {
        worker_on_failure(w, now, &timeout);
        return WORKER_CUT_REQUEST;
    }
    if (w->state == WORKER_RESTING) enter(w, WORKER_POLLING, now);
    w->asked = true;
    w->due = nsec_add(now, WORKER_REQUEST_TIMEOUT_NS);
    return action;
}

static enum worker_action next_beat(struct worker *w, nsec_t now)
{
    if (w->lease != LEASE_HELD || now < w->beat_due) return WORKER_NOTHING;
    if (w->beating) {
        worker_on_beat_failure(w, now, false);
        return WORKER_CUT_BEAT;
    }
    w->beating = true;
    w->beat_due = nsec_add(now, w->beat_every_ns);
    return WORKER_BEAT;
}

static enum worker_action next_reader(struct worker *w, nsec_t now)
{
    if (now < w->reader_due) return WORKER_NOTHING;
    switch ((enum worker_reader)w->reader) {
    case READER_WAITING:
        w->reader = READER_OPENING;
        w->reader_due = nsec_add(now, WORKER_REQUEST_TIMEOUT_NS);
        return WORKER_OPEN_STREAM;
    case READER_UNREAD:
        w->reader = READER_READING;
        w->reader_due = nsec_add(now, WORKER_REQUEST_TIMEOUT_NS);
        return WORKER_READ_HISTORY;
    case READER_OPENING:
    case READER_READING: worker_on_stream_lost(w, now, false); return WORKER_CUT_STREAM;
    case READER_OFF:
    case READER_LIVE: break;
    }
    return WORKER_NOTHING;
}

static enum worker_action next_leave(struct worker *w, nsec_t now)
{
    w->lost = w->lease == LEASE_LOST;
    forget_item(w);
    if (w->lost)
        rest(w, now);
    else
        enter(w, WORKER_STOPPING, now);
    return WORKER_LEAVE;
}

static enum worker_action next_crash(struct worker *w, nsec_t now)
{
    w->crash_ns = NSEC_MAX;
    forget_item(w);
    w->poll_failures = 0;
    if (w->state != WORKER_ENDED)
        enter(w, w->draining ? WORKER_ENDED : WORKER_GONE, nsec_add(now, WORKER_RESTART_NS));
    return WORKER_VANISH;
}

static enum worker_action next_serving(struct worker *w, nsec_t now)
{
    enum worker_action action = next_reader(w, now);

    if (action) return action;
    if (w->state == WORKER_SERVING && now >= w->idle_due) finish(w, now);
    if (w->state == WORKER_FINISHING && (w->calls == 0 || now >= w->due)) return next_leave(w, now);
    return WORKER_NOTHING;
}

enum worker_action worker_next(struct worker *w, nsec_t now)
{
    enum worker_action action;

    if (now >= w->crash_ns && w->crash_ns != NSEC_MAX) return next_crash(w, now);
    if (w->cut) {
        w->cut = false;
        return WORKER_CUT_REQUEST;
    }
    action = next_beat(w, now);
    if (action) return action;
    if (w->leave) return next_leave(w, now);
    if (w->state == WORKER_SERVING || w->state == WORKER_FINISHING) return next_serving(w, now);
    if (w->state == WORKER_GONE) {
        if (now < w->due) return WORKER_NOTHING;
        enter(w, WORKER_RESTING, now);
    }
    return next_main(w, now);
}

nsec_t worker_deadline(const struct worker *w)
{
    nsec_t at = w->crash_ns;

    if (w->leave || w->cut) return 0;
    if (w->state != WORKER_ENDED) at = nsec_min(at, w->due);
    if (w->lease == LEASE_HELD) at = nsec_min(at, w->beat_due);
    if (w->state == WORKER_SERVING) at = nsec_min(at, w->idle_due);
    if (w->state == WORKER_SERVING || w->state == WORKER_FINISHING)
        at = nsec_min(at, w->reader == READER_OFF ? NSEC_MAX : w->reader_due);
    return at;
}
