#include "sim/policy/connector_set.h"

#include <errno.h>
#include <stdlib.h>

#include "sim/base/panic.h"
#include "sim/policy/tunnel_backoff.h"

enum slot_state {
    SLOT_IDLE,  /* not dialed yet; at `at` */
    SLOT_READY, /* to be dialed now */
    SLOT_DIALING,
    SLOT_UP,
    SLOT_WAITING, /* in its own stage, until `at` */
    SLOT_PARKED,  /* in the second stage: the shared timer restarts it */
};

struct slot {
    enum slot_state state;
    bool skips_shared; /* WAITING: dialed right after its own stage */
    nsec_t at;
    struct tunnel_backoff own;
};

struct connector_set {
    uint32_t count, up;
    nsec_t spacing_ns;
    bool first_loops; /* number 0 is still in its own loop */
    bool spread;      /* the first dials of the others are set */
    bool stopped;
    struct tunnel_backoff shared;
    nsec_t shared_at; /* NSEC_MAX: the timer is not running */
    struct connector_set_waits waits;
    struct slot slots[];
};

int connector_set_new(const struct connector_set_options *opts, struct connector_set **ret)
{
    const struct plan_backoff *b = &opts->backoff;
    struct connector_set *s;

    ASSERT(opts->connections > 0);
    s = calloc(1, sizeof *s + opts->connections * sizeof s->slots[0]);
    if (!s) return -ENOMEM;
    s->count = opts->connections;
    s->spacing_ns = opts->spacing_ns;
    s->first_loops = true;
    s->shared_at = NSEC_MAX;
    tunnel_backoff_init(&s->shared, b->supervisor_base_ns, b->supervisor_max_exponent, b->jitter,
                        prng_derive(opts->key, opts->ordinal, 0));
    for (uint32_t i = 0; i < s->count; i++) {
        s->slots[i].at = NSEC_MAX;
        tunnel_backoff_init(&s->slots[i].own, b->connection_base_ns, b->connection_max_exponent, b->jitter,
                            prng_derive(opts->key, opts->ordinal, i + 1));
    }
    *ret = s;
    return 0;
}

void connector_set_free(struct connector_set *s)
{
    free(s);
}

size_t connector_set_bytes(const struct connector_set *s)
{
    return sizeof *s + s->count * sizeof s->slots[0];
}

/* The one place where a slot changes its state. */
static void move(struct connector_set *s, struct slot *slot, enum slot_state to)
{
    enum slot_state from = slot->state;

    switch (to) {
    case SLOT_IDLE: UNREACHABLE();
    case SLOT_READY: ASSERT(from == SLOT_IDLE || from == SLOT_WAITING || from == SLOT_PARKED); break;
    case SLOT_DIALING: ASSERT(from == SLOT_READY); break;
    case SLOT_UP: ASSERT(from == SLOT_DIALING); break;
    case SLOT_WAITING: ASSERT(from == SLOT_DIALING || from == SLOT_UP); break;
    case SLOT_PARKED: ASSERT(from == SLOT_WAITING); break;
    }
    if (from == SLOT_UP) s->up--;
    if (to == SLOT_UP) s->up++;
    slot->state = to;
}

static nsec_t wait_begun(struct connector_set *s, nsec_t wait)
{
    s->waits.count++;
    s->waits.total_ns = nsec_add(s->waits.total_ns, wait);
    return wait;
}

void connector_set_start(struct connector_set *s, nsec_t now)
{
    s->slots[0].at = now;
}

static void first_dials(struct connector_set *s, nsec_t now)
{
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->slots[i].state == SLOT_IDLE && s->slots[i].at <= now) move(s, &s->slots[i], SLOT_READY);
    }
}

static void end_own_waits(struct connector_set *s, nsec_t now)
{
    for (uint32_t i = 0; i < s->count; i++) {
        struct slot *slot = &s->slots[i];

        if (slot->state != SLOT_WAITING || slot->at > now) continue;
        move(s, slot, slot->skips_shared ? SLOT_READY : SLOT_PARKED);
        if (slot->state == SLOT_PARKED && s->shared_at == NSEC_MAX)
            s->shared_at = nsec_add(now, wait_begun(s, tunnel_backoff_wait(&s->shared, now, 0)));
    }
}

static void end_shared_wait(struct connector_set *s, nsec_t now)
{
    if (s->shared_at > now) return;
    s->shared_at = NSEC_MAX;
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->slots[i].state == SLOT_PARKED) move(s, &s->slots[i], SLOT_READY);
    }
}

bool connector_set_next(struct connector_set *s, nsec_t now, uint32_t *ret_index)
{
    if (s->stopped) return false;
    first_dials(s, now);
    end_own_waits(s, now);
    end_shared_wait(s, now);
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->slots[i].state != SLOT_READY) continue;
        move(s, &s->slots[i], SLOT_DIALING);
        *ret_index = i;
        return true;
    }
    return false;
}

nsec_t connector_set_deadline(const struct connector_set *s)
{
    nsec_t at = s->shared_at;

    if (s->stopped) return NSEC_MAX;
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->slots[i].state == SLOT_IDLE || s->slots[i].state == SLOT_WAITING)
            at = nsec_min(at, s->slots[i].at);
        if (s->slots[i].state == SLOT_READY) at = 0;
    }
    return at;
}

static void spread_others(struct connector_set *s, nsec_t now)
{
    if (s->spread) return;
    s->spread = true;
    for (uint32_t i = 1; i < s->count; i++) s->slots[i].at = nsec_add(now, nsec_mul(s->spacing_ns, i - 1));
}

void connector_set_registered(struct connector_set *s, nsec_t now, uint32_t index)
{
    ASSERT(index < s->count);
    move(s, &s->slots[index], SLOT_UP);
    tunnel_backoff_reset(&s->slots[index].own);
    if (index == 0) spread_others(s, now);
    if (s->up == s->count) tunnel_backoff_reset_later(&s->shared, now);
}

void connector_set_failed(struct connector_set *s, nsec_t now, uint32_t index,
                          enum connection_failure failure, nsec_t retry_after_ns)
{
    struct slot *slot;
    nsec_t wait;

    ASSERT(index < s->count);
    slot = &s->slots[index];
    if (failure == CONNECTION_OTHER && index == 0) s->first_loops = false;
    slot->skips_shared = index == 0 && s->first_loops;
    move(s, slot, SLOT_WAITING);
    if (s->stopped) return;
    wait = wait_begun(s, tunnel_backoff_wait(&slot->own, now, retry_after_ns));
    slot->at = nsec_add(now, wait);
}

void connector_set_stop(struct connector_set *s)
{
    s->stopped = true;
}

uint32_t connector_set_up(const struct connector_set *s)
{
    return s->up;
}

struct connector_set_waits connector_set_waits(const struct connector_set *s)
{
    return s->waits;
}
