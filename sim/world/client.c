#include "sim/world/client.h"

#include <errno.h>
#include <stdlib.h>

#include "sim/base/panic.h"
#include "sim/base/prng.h"

/* Sessions beyond what the orchestrator takes: those that are refused and wait to try again. */
#define SESSIONS_REFUSED_MAX 1000u

/* Arrivals
 * -------------------------------------------------------------------------------------------------------- */

/* The load whose next start is the earliest, the first of several. */
static uint32_t load_first(const struct client *c, nsec_t *ret_at)
{
    const struct plan *plan = client_plan(c);
    uint32_t first = 0;

    *ret_at = NSEC_MAX;
    for (uint32_t i = 0; i < plan->load_count; i++) {
        nsec_t at = arrival_deadline(c->arrivals[i]);

        if (at >= *ret_at) continue;
        *ret_at = at;
        first = i;
    }
    return first;
}

/* No room for one session more: it ends before it began. Its user comes back after a second at least, so that
 * a think time of 0 does not mean to try for ever in this very moment. */
static void shed(struct client *c, const struct session_start *start, nsec_t now)
{
    struct recorder *rec = client_recorder(c);

    recorder_end(rec, ACCOUNT_SESSION, recorder_open(rec, ACCOUNT_SESSION), LEDGER_SHED);
    recorder_record(rec, METRIC_SCHEDULE_LAG, nsec_sub0(now, start->intended_ns));
    recorder_count(rec, COUNTER_REQUESTS_SHED, 1);
    arrival_user_back(c->arrivals[start->load], nsec_add(now, NSEC_PER_S), start->user);
}

static void arrive(struct client *c, const struct session_start *start, nsec_t now, struct outbox *out)
{
    uint32_t id = slab_alloc(&c->sessions);

    if (id)
        client_session_begin(c, id, slab_get_unchecked(&c->sessions, id), start, now, out);
    else
        shed(c, start, now);
}

/* Starts what is due, in the order of the intended starts, and arms the timer for the next. */
static void arrivals_run(struct client *c, nsec_t now, struct outbox *out)
{
    nsec_t at;
    uint32_t load;

    while (load = load_first(c, &at), at <= now && at != NSEC_MAX) {
        struct session_start start = {.load = (uint16_t)load, .ordinal = c->next_ordinal++};

        if (arrival_take(c->arrivals[load], now, &start.intended_ns, &start.user))
            arrive(c, &start, now, out);
    }
    if (wakeup_want(&c->wakeup, at)) timer_set(out, at, CLIENT_TOKEN(CLIENT_TIMER_ARRIVAL, 0));
    if (c->done || at != NSEC_MAX || slab_count(&c->sessions)) return;
    c->done = true;
    load_done(out);
}

/* A client that was killed goes on with its schedule where it is now: the starts between are missed, and keep
 * their numbers. */
static void skip_past(struct client *c, nsec_t now)
{
    nsec_t at;
    uint32_t load, user;

    while (load = load_first(c, &at), at < now) {
        bool closed = client_plan(c)->loads[load].process == ARRIVAL_CLOSED;

        arrival_take(c->arrivals[load], now, &at, &user);
        c->next_ordinal++;
        if (closed) arrival_user_back(c->arrivals[load], now, user);
    }
}

/* Events
 * ----------------------------------------------------------------------------------------------------------
 */

static void on_timer(struct client *c, nsec_t now, uint64_t token, struct outbox *out)
{
    struct session *s;

    switch ((enum client_timer)(token >> 32)) {
    case CLIENT_TIMER_ARRIVAL: wakeup_fired(&c->wakeup, now); break;
    case CLIENT_TIMER_SESSION:
        s = slab_get(&c->sessions, (uint32_t)token);
        if (s) client_session_timer(c, (uint32_t)token, s, now, out);
        break;
    }
}

static void on_message(struct client *c, nsec_t now, const struct event *ev, struct outbox *out)
{
    struct session *s = slab_get(&c->sessions, ev->tag);

    if (s && !ev->from) {
        if (ev->msg.kind == M_ERROR) recorder_count_status(client_recorder(c), ev->msg.a);
        client_session_message(c, ev->tag, s, now, ev, out);
        return;
    }
    if (ev->from)
        recorder_count(client_recorder(c), COUNTER_PROTOCOL_VIOLATIONS, 1); /* nobody calls a client */
    if (ev->msg.type == MSG_RESET || ev->msg.type == MSG_CREDIT) return;
    if (ev->from || !(ev->msg.flags & MSG_LAST)) flow_reset(out, ev->flow, RESET_CANCEL);
}

static void end(struct client *c, enum ledger_end how)
{
    slab_for_each(id, &c->sessions)
        client_session_close_entries(c, slab_get_unchecked(&c->sessions, id), how);
}

static void client_handle(struct component *component, nsec_t now, const struct event *ev, struct outbox *out)
{
    struct client *c = (struct client *)component;

    switch ((enum event_type)ev->type) {
    case EVENT_START:
        wakeup_init(&c->wakeup);
        if (component->env.incarnation) skip_past(c, now);
        break;
    case EVENT_MSG: on_message(c, now, ev, out); break;
    case EVENT_TIMER: on_timer(c, now, ev->token, out); break;
    case EVENT_DRAIN: return;
    case EVENT_END: end(c, LEDGER_IN_FLIGHT); return;
    case EVENT_CRASH: end(c, LEDGER_LOST); return;
    case EVENT_RECOVERED: PANIC("a client keeps nothing");
    }
    arrivals_run(c, now, out);
}

/* Birth and death
 * --------------------------------------------------------------------------------------------------- */

static void client_free(struct component *component)
{
    struct client *c = (struct client *)component;

    for (uint32_t i = 0; c->arrivals && i < client_plan(c)->load_count; i++) arrival_free(c->arrivals[i]);
    free(c->arrivals);
    slab_deinit(&c->sessions);
    free(c);
}

static int arrivals_new(struct client *c)
{
    const struct plan *plan = client_plan(c);
    int r = 0;

    c->arrivals = calloc((size_t)plan->load_count + 1, sizeof(struct arrival *));
    if (!c->arrivals) return -ENOMEM;
    for (uint32_t i = 0; r == 0 && i < plan->load_count; i++) {
        struct arrival_options options = {.load = &plan->loads[i],
                                          .seed = plan->seed,
                                          .replicate = plan->replicate,
                                          .end_ns = plan->duration_ns};
        r = arrival_new(&options, &c->arrivals[i]);
    }
    return r;
}

static uint32_t sessions_limit(const struct plan *plan)
{
    uint64_t limit = (uint64_t)plan->orchestrator.sessions_max + SESSIONS_REFUSED_MAX;

    return limit < SLAB_LIMIT_MAX ? (uint32_t)limit : SLAB_LIMIT_MAX;
}

static int client_new(const struct env *env, struct component **ret)
{
    struct client *c = calloc(1, sizeof *c);
    int r;

    if (!c) return -ENOMEM;
    ASSERT(env->plan->load_count <= UINT16_MAX);
    c->component = (struct component){.ops = &client_ops, .env = *env};
    c->think_key = prng_key(env->plan->seed, env->plan->replicate, "think");
    c->retry_key = prng_key(env->plan->seed, env->plan->replicate, "client retry");
    r = slab_init(&c->sessions, sizeof(struct session), sessions_limit(env->plan));
    if (r == 0) r = arrivals_new(c);
    if (r < 0) {
        client_free(&c->component);
        return r;
    }
    *ret = &c->component;
    return 0;
}

static size_t client_memory(const struct component *component)
{
    const struct client *c = (const struct client *)component;
    size_t sum = sizeof *c + slab_bytes(&c->sessions);

    for (uint32_t i = 0; i < client_plan(c)->load_count; i++) sum += arrival_memory(c->arrivals[i]);
    return sum;
}

static void client_soon(const struct component *component, unsigned step, const struct prospect *what)
{
    const struct client *c = (const struct client *)component;
    uint32_t id = what->token ? (uint32_t)what->token : what->tag;

    if (step == 0 && slab_index(id) < c->sessions.used)
        prefetch_object(slab_get_unchecked(&c->sessions, id), sizeof(struct session));
}

const struct component_ops client_ops = {
    .new = client_new,
    .free = client_free,
    .handle = client_handle,
    .soon = client_soon,
    .memory = client_memory,
};
