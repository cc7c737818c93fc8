/*
 * What links did with flows, by link and direction (a way) and by kind: emitted = decoded by the peer +
 * returned undeliverable + cut in flight.
 *
 * Each is counted at a place of its own (the sender's encoder, the receiver's decoder, the driver's failure
 * path, the link), so the equation is a check and not a definition. It holds for the tables of all processes
 * merged. The kinds are the driver's: small numbers below FLOWCOUNT_KINDS, whose names this room does not
 * know.
 */
#pragma once

#include "sim/plan/way.h"

#include <stdbool.h>
#include <stdint.h>

#define FLOWCOUNT_KINDS 64

enum flow_fate { FLOW_EMITTED, FLOW_DECODED, FLOW_RETURNED, FLOW_CUT, FLOW_FATE_COUNT };

/* Zero is empty. Position-independent; one writer, readers at any time. */
struct flowcount {
    uint64_t counts[WAY_COUNT][FLOWCOUNT_KINDS][FLOW_FATE_COUNT];
    uint64_t given_up[WAY_COUNT];
};

/* "emitted", "decoded", "returned", "cut". Static; asserts the range. */
const char *flow_fate_name(enum flow_fate fate);

/* Adds n flows of the kind; asserts way < WAY_COUNT and kind < FLOWCOUNT_KINDS. */
void flowcount_add(struct flowcount *t, uint32_t way, uint32_t kind, enum flow_fate fate, uint64_t n);

/* One who sends on this way gave up a flow: what its peer was about to say, or it had itself just said, may
 * have nobody left to count it. */
void flowcount_give_up(struct flowcount *t, uint32_t way);
uint64_t flowcount_given_up(const struct flowcount *t, uint32_t way);

/* The count of a way, or of all; asserts the ranges. */
uint64_t flowcount_get(const struct flowcount *t, uint32_t way, uint32_t kind, enum flow_fate fate);
uint64_t flowcount_sum(const struct flowcount *t, uint32_t kind, enum flow_fate fate);

/* dst += src; src may be in use by its writer. */
void flowcount_merge(struct flowcount *dst, const struct flowcount *src);

/* Whether the equation holds for every way and kind. `ret_kind` (may be NULL): the first for which it does
 * not; untouched when it holds. */
bool flowcount_balanced(const struct flowcount *t, uint32_t *ret_kind);
