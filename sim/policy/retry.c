#include "sim/policy/retry.h"

#include "sim/base/panic.h"
#include "sim/policy/backoff.h"

static bool wanted(const struct plan_retry *rule, enum retry_cause cause, uint32_t status)
{
    switch (cause) {
    case RETRY_RESET: return rule->on_reset;
    case RETRY_TIMEOUT: return rule->on_timeout;
    case RETRY_STATUS:
        if (status == 429) return rule->on_status_429;
        return status >= 500 && status <= 599 && rule->on_status_5xx;
    }
    UNREACHABLE();
}

bool retry_again(const struct plan_retry *rule, enum retry_cause cause, uint32_t status, uint32_t attempts)
{
    ASSERT(attempts >= 1);
    return attempts < rule->attempts_max && wanted(rule, cause, status);
}

nsec_t retry_wait(const struct plan_retry *rule, uint32_t attempts, nsec_t retry_after_ns, struct prng *p)
{
    const struct backoff_rule backoff = {
        .base_ns = rule->base_ns,
        .cap_ns = rule->cap_ns,
        .exponent_max = UINT32_MAX,
        .jitter_ppm = rule->jitter ? BACKOFF_JITTER_FULL : BACKOFF_JITTER_NONE,
    };

    ASSERT(attempts >= 1);
    /* Without jitter plan.h asks for "exactly the cap" of that retry: min(cap, base * 2^n). */
    return backoff_wait_at_least(&backoff, attempts - 1, retry_after_ns, p);
}
