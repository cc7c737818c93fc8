/*
 * A way: a link and a direction on it. Small numbers, for tables.
 */
#pragma once

#include "sim/plan/plan.h"

/* On a link the side that dials sends, or the one that listens. What orchestrator and proxy say to each other
 * within a tunnel stream has ways of its own where nobody between them can count it (live it is ciphertext
 * there); and so has what goes between roles that no link joins. */
#define WAY(link, from_dials) (2u * (link) + (from_dials))
#define WAY_TUNNEL            WAY(LINK_COUNT, false)
#define WAY_NONE              WAY(LINK_COUNT + 1, false)
#define WAY_COUNT             (WAY_NONE + 1)
#define WAY_LINK(way)         ((way) / 2u) /* LINK_COUNT: the tunnel; above: none */
#define WAY_DIALS(way)        ((way) % 2u)

/* The way from one role to another; WAY_NONE if no link joins them. */
uint32_t way_between(enum role from, enum role to);

/* "client-orchestrator", …, "tunnel", "none", and the roles at the ends of the way: who sends on it and who
 * receives; ROLE_NONE if that is unknown. Static; asserts the range. */
const char *way_name(uint32_t way, enum role *ret_from, enum role *ret_to);
