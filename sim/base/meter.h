/*
 * Time that is billed: what has come together, and what runs meanwhile. Two numbers say of all that runs how
 * much it has come to at any later time, so whoever finds a meter can read it, also after its owner died.
 *
 * A meter can also hold a change of another one: all sums wrap.
 */
#pragma once

#include "sim/base/nsec.h"

#include <stdint.h>

struct meter {
    uint64_t ns;       /* of what has ended */
    uint64_t running;  /* how many do */
    uint64_t since_ns; /* the sum of their begins */
};

/* `n` begin to run at `at`. */
static inline void meter_begin(struct meter *m, nsec_t at, uint64_t n)
{
    m->running += n;
    m->since_ns += n * at;
}

/* `n` that began at `from` end at `to`. */
static inline void meter_end(struct meter *m, nsec_t from, nsec_t to, uint64_t n)
{
    m->ns += nsec_mul(nsec_sub0(to, from), n);
    m->running -= n;
    m->since_ns -= n * from;
}

static inline void meter_add(struct meter *m, const struct meter *change)
{
    m->ns += change->ns;
    m->running += change->running;
    m->since_ns += change->since_ns;
}

/* What it comes to at `now`, which is not before anything that runs began. */
static inline uint64_t meter_read(const struct meter *m, nsec_t now)
{
    return m->ns + m->running * now - m->since_ns;
}
