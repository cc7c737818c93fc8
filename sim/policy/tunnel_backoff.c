#include "sim/policy/tunnel_backoff.h"

void tunnel_backoff_init(struct tunnel_backoff *b, nsec_t base_ns, uint32_t exponent_max, bool jitter,
                         struct prng prng)
{
    *b = (struct tunnel_backoff){
        .rule = {.base_ns = base_ns,
                 .cap_ns = NSEC_MAX,
                 .exponent_max = exponent_max,
                 .jitter_ppm = jitter ? BACKOFF_JITTER_FULL : BACKOFF_JITTER_NONE},
        .reset_at = NSEC_MAX,
        .prng = prng,
    };
}

void tunnel_backoff_reset(struct tunnel_backoff *b)
{
    b->waits = 0;
    b->reset_at = NSEC_MAX;
}

nsec_t tunnel_backoff_wait(struct tunnel_backoff *b, nsec_t now, nsec_t at_least_ns)
{
    if (b->reset_at <= now) tunnel_backoff_reset(b);
    if (b->waits < b->rule.exponent_max) b->waits++;
    return backoff_wait_at_least(&b->rule, b->waits, at_least_ns, &b->prng);
}

nsec_t tunnel_backoff_reset_later(struct tunnel_backoff *b, nsec_t now)
{
    struct backoff_rule grace = b->rule;

    /* Twice beyond the wait that would come next, whatever the limit of the waits is. */
    grace.exponent_max = UINT32_MAX;
    b->reset_at = nsec_add(now, backoff_wait(&grace, b->waits + 2, &b->prng));
    return b->reset_at;
}
