#include "sim/policy/arrival.h"

#include "sim/base/heap.h"
#include "sim/base/mix.h"
#include "sim/base/panic.h"
#include "sim/base/prng.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned __int128 wide;

/* Rates are in sessions per hour and times in nanoseconds; so this much area under the rate is one session.
 */
#define WORK_PER_SESSION (3600 * NSEC_PER_S)

enum purpose { PURPOSE_GAP, PURPOSE_THINK };

struct arrival {
    const struct plan_load *load;
    nsec_t end_ns;
    nsec_t next_ns;
    uint64_t taken;
    uint64_t key; /* of the load's streams */
    uint64_t entity;

    /* Open models: the next start is where the area from the segment's begin reaches `target`. */
    struct prng gaps;
    uint32_t segment;
    wide target;

    /* Closed model. */
    struct heap waiting;   /* users by the time of their next start */
    uint32_t *sessions_of; /* by user: how many it has had */
};

/* A piece of the rate: from `r0` to `r1` over `length_ns`; NSEC_MAX: constant for ever. */
struct segment {
    nsec_t from_ns, length_ns;
    uint64_t r0, r1;
};

static struct segment segment_at(const struct plan_load *load, uint32_t i)
{
    const struct rate_knot *knots = load->knots;
    uint32_t n = load->knot_count;

    if (i == 0) return (struct segment){0, knots[0].at_ns, knots[0].per_hour, knots[0].per_hour};
    if (i == n)
        return (struct segment){knots[n - 1].at_ns, NSEC_MAX, knots[n - 1].per_hour, knots[n - 1].per_hour};
    return (struct segment){knots[i - 1].at_ns, knots[i].at_ns - knots[i - 1].at_ns, knots[i - 1].per_hour,
                            knots[i].per_hour};
}

/*
 * The area under the segment's first `x` ns, rounded down: x·(r0 + r(x))/2, with r(x) linear. Written so that
 * each product fits for rates below 2^63 and lengths below 2^62.
 */
static wide area(const struct segment *s, nsec_t x)
{
    wide numerator, whole, rest, double_length;

    if (s->r0 == s->r1) return (wide)x * s->r0;
    if (s->length_ns == 0) return 0;
    double_length = (wide)s->length_ns * 2;
    numerator = (wide)s->r0 * (double_length - x) + (wide)s->r1 * x;
    whole = numerator / double_length;
    rest = numerator % double_length;
    return whole * x + rest * x / double_length;
}

/* The smallest x with area(x) >= target, where there is one. */
static nsec_t inverse(const struct segment *s, wide target)
{
    nsec_t low = 0, high = s->length_ns;

    if (s->r0 == s->r1) {
        wide x = (target + s->r0 - 1) / s->r0;
        return x < NSEC_MAX ? (nsec_t)x : NSEC_MAX;
    }
    while (low < high) {
        nsec_t middle = low + (high - low) / 2;

        if (area(s, middle) >= target)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* Goes on by `work` and returns when that is reached. */
static nsec_t rate_advance(struct arrival *a, wide work)
{
    a->target += work;
    for (;; a->segment++) {
        struct segment s = segment_at(a->load, a->segment);
        bool last = s.length_ns == NSEC_MAX;
        wide whole;

        if (s.from_ns >= a->end_ns) return NSEC_MAX;
        if (last) return s.r0 ? nsec_add(s.from_ns, inverse(&s, a->target)) : NSEC_MAX;
        whole = area(&s, s.length_ns);
        if (whole && a->target <= whole) return s.from_ns + inverse(&s, a->target);
        a->target -= whole;
    }
}

/* Puts the position to the load's start, which may lie within a segment. */
static void rate_begin(struct arrival *a)
{
    nsec_t start = a->load->start_ns;

    for (;; a->segment++) {
        struct segment s = segment_at(a->load, a->segment);

        if (s.length_ns != NSEC_MAX && start - s.from_ns >= s.length_ns) continue;
        a->target = area(&s, start - s.from_ns);
        return;
    }
}

static wide gap(struct arrival *a)
{
    if (a->load->process == ARRIVAL_POISSON) return prng_exponential(&a->gaps, WORK_PER_SESSION);
    return a->taken ? WORK_PER_SESSION : 0;
}

static nsec_t closed_next(const struct arrival *a)
{
    const struct heap_item *first = heap_peek(&a->waiting);

    return first ? first->at : NSEC_MAX;
}

static nsec_t find_next(struct arrival *a)
{
    const struct plan_load *load = a->load;
    nsec_t next = NSEC_MAX;

    if (load->sessions && a->taken >= load->sessions) return NSEC_MAX;
    switch (load->process) {
    case ARRIVAL_CONSTANT:
    case ARRIVAL_POISSON:
        /* The area is rounded down, so that its inverse at the start itself may be a little before. */
        next = nsec_max(rate_advance(a, gap(a)), load->start_ns);
        break;
    case ARRIVAL_CLOSED: next = closed_next(a); break;
    case ARRIVAL_AT_ONCE: next = load->sessions ? load->start_ns : NSEC_MAX; break;
    }
    return next < a->end_ns ? next : NSEC_MAX;
}

static void user_wait(struct arrival *a, nsec_t at, uint32_t user)
{
    struct heap_item item = {.at = at, .seq = user, .payload = user};

    if (heap_push(&a->waiting, &item) < 0) PANIC_MEMORY("out of memory for %u users", a->load->users);
}

static int closed_begin(struct arrival *a)
{
    heap_init(&a->waiting, a->load->users);
    a->sessions_of = calloc((size_t)a->load->users + 1, sizeof *a->sessions_of);
    if (!a->sessions_of) return -ENOMEM;
    for (uint32_t user = 0; user < a->load->users; user++) user_wait(a, a->load->start_ns, user);
    return 0;
}

int arrival_new(const struct arrival_options *options, struct arrival **ret_arrival)
{
    struct arrival *a = calloc(1, sizeof *a);
    const char *name = options->load->name ? options->load->name : "";
    int r = 0;

    if (!a) return -ENOMEM;
    a->load = options->load;
    a->end_ns = options->end_ns;
    a->key = prng_key(options->seed, options->replicate, "arrival");
    a->entity = mix_bytes(0, name, strlen(name));
    a->gaps = prng_derive(a->key, a->entity, PURPOSE_GAP);
    if (a->load->process == ARRIVAL_CLOSED)
        r = closed_begin(a);
    else if (a->load->process != ARRIVAL_AT_ONCE)
        rate_begin(a);
    if (r < 0) {
        arrival_free(a);
        return r;
    }
    a->next_ns = find_next(a);
    *ret_arrival = a;
    return 0;
}

void arrival_free(struct arrival *a)
{
    if (!a) return;
    heap_deinit(&a->waiting);
    free(a->sessions_of);
    free(a);
}

nsec_t arrival_deadline(const struct arrival *a)
{
    return a->next_ns;
}

bool arrival_take(struct arrival *a, nsec_t now, nsec_t *ret_intended, uint32_t *ret_user)
{
    struct heap_item item = {0};

    if (a->next_ns == NSEC_MAX || a->next_ns > now) return false;
    if (a->load->process == ARRIVAL_CLOSED) heap_pop(&a->waiting, &item);
    *ret_intended = a->next_ns;
    *ret_user = (uint32_t)item.payload;
    a->taken++;
    a->next_ns = find_next(a);
    return true;
}

void arrival_user_back(struct arrival *a, nsec_t now, uint32_t user)
{
    struct prng p;
    nsec_t at;

    if (a->load->process != ARRIVAL_CLOSED) return;
    ASSERT(user < a->load->users);
    p = prng_derive(a->key, mix64_chain(a->entity, user), PURPOSE_THINK);
    p.counter = a->sessions_of[user]++;
    at = nsec_add(now, dist_sample(&a->load->think_ns, &p));
    /* A user who would come back after the end leaves for good. */
    if (at < a->end_ns) user_wait(a, at, user);
    a->next_ns = find_next(a);
}

size_t arrival_memory(const struct arrival *a)
{
    size_t users = a->load->process == ARRIVAL_CLOSED ? a->load->users : 0;

    return sizeof *a + users * (sizeof(struct heap_item) + sizeof *a->sessions_of);
}
