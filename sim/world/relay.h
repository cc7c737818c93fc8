/*
 * Pairs of flows, of which each side is passed on to the other unlooked-at: what the edge and the connectors
 * do with tunnel streams.
 *
 * The near flow is the one that came; for it a far flow was opened with the same request. Answer, DATA,
 * CREDIT and MSG_LAST pass in both directions, RESETs too: a lost carrier (RESET_CARRIER) goes on as
 * RESET_CUT. Only a far side that never came up is answered by the relay itself: M_ERROR 502. Nothing is kept
 * of what passes.
 *
 * Both flows have the pair's id as their tag. It is never below RELAY_TAG_MIN, so that an owner may use
 * smaller tags for flows of its own.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/base/slab.h"
#include "sim/world/component.h"

#define RELAY_TAG_MIN SLAB_LIMIT_MAX

struct relay_pair {
    uint32_t near, far; /* far: 0 when it never came up */
    uint32_t owner;     /* the caller's words */
    uint32_t ledger;
    bool answered, refused, near_last, far_last;
};

struct stream_relay {
    struct slab pairs;
};

enum relay_outcome {
    RELAY_GOES_ON,
    RELAY_CLOSED,  /* both sides said all, or the near side did not want it any more */
    RELAY_REFUSED, /* the far side, or the relay, answered with an error */
    RELAY_DROPPED, /* a side dropped the other for a limit */
    RELAY_CUT,     /* anything else */
};

/* `limit` pairs at most. 0 or -ENOMEM. */
int relay_init(struct stream_relay *r, uint32_t limit);
void relay_deinit(struct stream_relay *r);

struct relay_target {
    addr_t to;
    uint32_t via; /* carrier, or 0 */
};

/* Makes a pair for the flow that came with `ev`: opens the far flow with the same request. NULL at the limit:
 * then nothing happened. The caller sets the words of the pair. */
struct relay_pair *relay_begin(struct stream_relay *r, const struct event *ev, struct relay_target target,
                               struct outbox *out);

/* Handles a message on one of a pair's flows. When the pair ends, it is freed, and `ret_ended` is a copy of
 * it. A tag that is no pair is ignored (RELAY_GOES_ON). */
enum relay_outcome relay_handle(struct stream_relay *r, const struct event *ev, struct outbox *out,
                                struct relay_pair *ret_ended);

/* Resets both flows of every pair, and frees them. `on_end` (may be NULL) is called for each. */
void relay_cut_all(struct stream_relay *r, struct outbox *out,
                   void (*on_end)(void *user, const struct relay_pair *pair), void *user);
