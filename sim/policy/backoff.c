#include "sim/policy/backoff.h"

#include "sim/base/panic.h"

nsec_t backoff_limit(const struct backoff_rule *rule, uint32_t failures)
{
    uint32_t exponent = failures < rule->exponent_max ? failures : rule->exponent_max;
    nsec_t wait = exponent < 64 ? nsec_mul(rule->base_ns, UINT64_C(1) << exponent) : NSEC_MAX;

    if (rule->base_ns == 0) return 0;
    return nsec_min(wait, rule->cap_ns);
}

/* ppm millionths of `value`, rounded down, without overflow. */
static uint64_t share(uint64_t value, uint32_t ppm)
{
    return (uint64_t)((unsigned __int128)value * ppm / BACKOFF_JITTER_FULL);
}

nsec_t backoff_wait(const struct backoff_rule *rule, uint32_t failures, struct prng *p)
{
    nsec_t limit = backoff_limit(rule, failures);
    nsec_t spread;
    uint64_t drawn;

    ASSERT(rule->jitter_ppm <= BACKOFF_JITTER_FULL);
    spread = share(limit, rule->jitter_ppm);
    drawn = prng_below(p, spread ? spread : 1);
    return spread ? limit - spread + drawn : limit;
}

nsec_t backoff_wait_at_least(const struct backoff_rule *rule, uint32_t failures, nsec_t at_least_ns,
                             struct prng *p)
{
    return nsec_max(backoff_wait(rule, failures, p), at_least_ns);
}
