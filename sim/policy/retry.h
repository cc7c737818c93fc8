/*
 * Whether and when an attempt that did not succeed is made again, by a plan's rule.
 */
#pragma once

#include "sim/base/prng.h"
#include "sim/plan/plan.h"

#include <stdbool.h>

enum retry_cause {
    RETRY_RESET,   /* the attempt was lost on the way */
    RETRY_TIMEOUT, /* no answer in time */
    RETRY_STATUS,  /* answered with a status that is no success */
};

/* Whether another attempt is made after `attempts` (at least 1) were. `status` counts for RETRY_STATUS alone:
 * 429 and 5xx as the rule says, all others are final. */
bool retry_again(const struct plan_retry *rule, enum retry_cause cause, uint32_t status, uint32_t attempts);

/* The wait before the next attempt after `attempts` (at least 1), not below the peer's `retry_after_ns`. One
 * draw. */
nsec_t retry_wait(const struct plan_retry *rule, uint32_t attempts, nsec_t retry_after_ns, struct prng *p);
