/*
 * Waits between attempts: exponential, capped, with jitter.
 *
 * The wait before attempt n + 1 (n from 0) is w = min(cap, base·2^min(n, exponent_max)), less a random share
 * of up to `jitter_ppm` of it: uniform in [w - w·jitter, w). With 1,000,000 this is full jitter, [0, w); with
 * 0 exactly w.
 */
#pragma once

#include "sim/base/nsec.h"
#include "sim/base/prng.h"

#include <stdint.h>

#define BACKOFF_JITTER_NONE 0u
#define BACKOFF_JITTER_FULL 1000000u

struct backoff_rule {
    nsec_t base_ns;
    nsec_t cap_ns;         /* NSEC_MAX: none */
    uint32_t exponent_max; /* no doubling after so many; UINT32_MAX: only the cap ends it */
    uint32_t jitter_ppm;   /* at most BACKOFF_JITTER_FULL */
};

/* The longest that the wait after `failures` earlier waits can be, which is also the wait without jitter.
 * Saturates. */
nsec_t backoff_limit(const struct backoff_rule *rule, uint32_t failures);

/* The wait after `failures` earlier waits. One draw, also when there is no jitter. */
nsec_t backoff_wait(const struct backoff_rule *rule, uint32_t failures, struct prng *p);

/* As backoff_wait(), but not shorter than `at_least_ns`: a peer's retry-after. The cap does not bound that.
 */
nsec_t backoff_wait_at_least(const struct backoff_rule *rule, uint32_t failures, nsec_t at_least_ns,
                             struct prng *p);
