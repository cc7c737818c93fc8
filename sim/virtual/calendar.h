/*
 * The event calendar of the virtual clock: what is to happen, in the total order (time, priority, sequence).
 *
 * Monotone: nothing may be entered before the time of the last event taken out. The sequence number is given
 * out here, so that events of one time and priority come out in the order in which they were entered (or,
 * when shuffled, in an order that the seed decides).
 *
 * How: simulated time never goes back, so a radix tree of buckets does what a heap would do at less cost. An
 * event waits in the bucket of the highest 6-bit digit in which its time differs from the calendar's base
 * time, and sinks to finer buckets as the base comes near. The next few events stand sorted in `ready`, and
 * come out of it. Memory is bounded by the limit: 50
 * bytes an event and 0.8 MiB; 24 more for events of a single nanosecond. Only init and push can run out of it
 * (but for the latter, where a pop panics).
 */
#pragma once

#include "sim/base/nsec.h"
#include "sim/virtual/lanes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One event. `seq` is unique within a calendar: its number in the order of entering, or 56 bits of a hash of
 * it when shuffled. */
struct cal_item {
    nsec_t at;
    uint64_t seq;
    uint64_t payload;        /* the caller's */
    uint32_t prio;           /* lower first */
    const struct lane *lane; /* in which it was, or NULL; valid until the next change */
};

#define CALENDAR_SEQ_BITS 56
#define CALENDAR_PRIO_MAX 255

struct cal_chunk;

#define CALENDAR_DIGIT_BITS 6
#define CALENDAR_DIGITS     (1 << CALENDAR_DIGIT_BITS)
#define CALENDAR_LEVELS     11 /* 64 bits in digits of 6, rounded up */

struct calendar {
    nsec_t now;              /* of the last event taken out */
    nsec_t base;             /* what the buckets' digits are compared with */
    nsec_t ready_last;       /* all up to here are in `ready`, all later ones in buckets */
    unsigned ready_level;    /* the level of the bucket within which all in `ready` was at first */
    struct cal_entry *ready; /* sorted, from ready_first to before ready_end */
    size_t ready_first;
    size_t ready_end;
    size_t ready_cap;
    size_t len;
    size_t limit;
    uint64_t next_seq;
    uint64_t shuffle; /* mixed into the sequence numbers, if `shuffled` */
    bool shuffled;
    uint32_t levels_used; /* a bit for each level with events */
    uint64_t digits_used[CALENDAR_LEVELS];
    struct cal_chunk *buckets[CALENDAR_LEVELS][CALENDAR_DIGITS]; /* the chunk that is not full */
    struct cal_chunk *spare;                                     /* chunks to be used */
    struct cal_chunk *blocks;                                    /* all memory for chunks, chained */
    struct lanes lanes;                                          /* what was entered in order */
    size_t chunks;                                               /* in all blocks, but the links */
    size_t room;                                                 /* events for which there are chunks */
    uint64_t refills;                                            /* of `ready` */
    size_t bytes;
};

/* An empty calendar at time 0 for up to `limit` events. -ENOMEM. The struct is about 6 KiB. */
int calendar_init(struct calendar *c, size_t limit);
/* Frees all memory. NULL and a zeroed calendar are allowed. */
void calendar_deinit(struct calendar *c);

/* From now on, events of one time and priority come out in an order that `seed` decides, to expose code that
 * depends on the order of entering. To be called while the calendar is empty. */
void calendar_shuffle_ties(struct calendar *c, uint64_t seed);

/* Enters an event. `at` must not be before the last event taken out, `prio` not above CALENDAR_PRIO_MAX. 0;
 * -ENOSPC at the limit, -ENOMEM: then nothing has changed. */
int calendar_push(struct calendar *c, nsec_t at, uint32_t prio, uint64_t payload);

/* The same, for events that mostly are entered in the order in which they come out, those of one `lane`
 * (below LANES_MAX): a hint that changes nothing but the cost. */
int calendar_push_lane(struct calendar *c, uint32_t lane, nsec_t at, uint32_t prio, uint64_t payload);

/* Takes the first event out. False, and `ret_item` untouched, when there is none. */
bool calendar_pop(struct calendar *c, struct cal_item *ret_item);

/* The time of the first event, or NSEC_MAX when there is none. Earlier events may still be entered
 * afterwards. */
nsec_t calendar_peek_at(struct calendar *c);

/* Those outside the lanes that stand in order already, ret_first … ret_end - 1 of what is returned: what will
 * come soon, whatever else comes between. An event keeps its place, but for those entered before it, until
 * `refills` has changed. */
static inline const struct cal_entry *calendar_ready(const struct calendar *c, size_t *ret_first,
                                                     size_t *ret_end)
{
    *ret_first = c->ready_first;
    *ret_end = c->ready_end;
    return c->ready;
}

static inline size_t calendar_len(const struct calendar *c)
{
    return c->len;
}
/* Bytes of memory taken so far. */
static inline size_t calendar_bytes(const struct calendar *c)
{
    return c->bytes + c->lanes.bytes;
}
