/*
 * One stage of a tunnel connector's back-off.
 *
 * Each wait is uniform in [0, base·2^n), where n is 1 for the first wait after a reset and grows by one with
 * each wait up to exponent_max; without jitter it is exactly base·2^n. There are two ways back to the start:
 * at once, as a connection's own stage does when it is registered, or at a random moment later, as the stage
 * that all connections share does: then a wait that begins before that moment still continues the series.
 *
 * Modelled on the retry handler of cloudflared 2026.8.2.
 */
#pragma once

#include <stdbool.h>

#include "sim/base/prng.h"
#include "sim/policy/backoff.h"

struct tunnel_backoff {
    struct backoff_rule rule;
    uint32_t waits;  /* since the reset, at most exponent_max */
    nsec_t reset_at; /* NSEC_MAX: no reset is to come */
    struct prng prng;
};

/* A stage at its start. `prng` is the stage's own stream. */
void tunnel_backoff_init(struct tunnel_backoff *b, nsec_t base_ns, uint32_t exponent_max, bool jitter,
                         struct prng prng);

/* Begins a wait at `now` and returns its length, at least `at_least_ns` (a peer's retry-after). One draw. */
nsec_t tunnel_backoff_wait(struct tunnel_backoff *b, nsec_t now, nsec_t at_least_ns);

/* Back to the start. */
void tunnel_backoff_reset(struct tunnel_backoff *b);

/* Back to the start at a moment uniform in [now, now + base·2^(n + 2)), or without jitter at the end of that.
 * Replaces a reset that is still to come. Returns that moment. One draw. */
nsec_t tunnel_backoff_reset_later(struct tunnel_backoff *b, nsec_t now);
