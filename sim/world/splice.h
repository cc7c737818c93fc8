/*
 * Splices: pairs of flows, of which each side is passed on to the other unlooked-at: what the edge and the
 * connectors do with tunnel streams.
 *
 * The near flow is the one that came; for it a far flow was opened with the same request. Answer, DATA,
 * CREDIT and MSG_LAST pass in both directions, RESETs too: a lost carrier (RESET_CARRIER) goes on as
 * RESET_CUT. Only a far side that never came up is answered by the splice itself: M_ERROR 502. Nothing is
 * kept of what passes.
 *
 * Both flows have the pair's id as their tag. It is never below SPLICE_TAG_MIN, so that an owner may use
 * smaller tags for flows of its own.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/base/slab.h"
#include "sim/world/component.h"

#define SPLICE_TAG_MIN SLAB_LIMIT_MAX

struct splice {
    uint32_t near, far; /* far: 0 when it never came up */
    uint32_t owner;     /* the caller's words */
    uint32_t ledger;
    bool answered, refused, near_last, far_last;
};

struct splices {
    struct slab pairs;
};

enum splice_outcome {
    SPLICE_GOES_ON,
    SPLICE_CLOSED,  /* both sides said all, or the near side did not want it any more */
    SPLICE_REFUSED, /* the far side, or the splice, answered with an error */
    SPLICE_DROPPED, /* a side dropped the other for a limit */
    SPLICE_CUT,     /* anything else */
};

/* `limit` pairs at most. 0 or -ENOMEM. */
int splices_init(struct splices *r, uint32_t limit);
void splices_deinit(struct splices *r);

struct splice_target {
    addr_t to;
    uint32_t via; /* carrier, or 0 */
};

/* Makes a pair for the flow that came with `ev`: opens the far flow with the same request. NULL at the limit:
 * then nothing happened. The caller sets the words of the pair. */
struct splice *splice_begin(struct splices *r, const struct event *ev, struct splice_target target,
                            struct outbox *out);

/* Handles a message on one of a pair's flows. When the pair ends, it is freed, and `ret_ended` is a copy of
 * it. A tag that is no pair is ignored (SPLICE_GOES_ON). */
enum splice_outcome splice_handle(struct splices *r, const struct event *ev, struct outbox *out,
                                  struct splice *ret_ended);

/* Resets both flows of every pair, and frees them. `on_end` (may be NULL) is called for each. */
void splices_cut_all(struct splices *r, struct outbox *out,
                     void (*on_end)(void *user, const struct splice *pair), void *user);
