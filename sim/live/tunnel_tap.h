/*
 * A stream that passes all through to the one below, and tells its maker when its user frees it. For streams
 * that are given to an owner who does not tell.
 */
#pragma once

#include <stdbool.h>

#include "sim/live/stream.h"

struct event_base;
struct tunnel_tap;

/* The user frees the stream; nothing follows. */
typedef void tunnel_tap_freed_fn(void *maker);

/* `below` belongs to the tap then (on failure it still is the caller's). -ENOMEM. */
int tunnel_tap_new(struct event_base *base, struct stream *below, tunnel_tap_freed_fn *freed, void *maker,
                   struct tunnel_tap **ret_tap);

/* What to hand to the user. */
struct stream *tunnel_tap_stream(struct tunnel_tap *t);

/* Who made the tap of this stream, which must come from a tap; NULL after tunnel_tap_cut(). */
void *tunnel_tap_maker(const struct stream *s);

/* The maker goes: the user is told, from the loop, that the stream was reset, and so it will be. */
void tunnel_tap_cut(struct tunnel_tap *t);
