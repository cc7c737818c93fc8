/*
 * What links did with flows, by kind: emitted = decoded by the peer + returned undeliverable + cut in flight.
 *
 * Each is counted at a place of its own (the sender's encoder, the receiver's decoder, the driver's failure
 * path, the link), so the equation is a check and not a definition. It holds for the tables of all processes
 * merged. The kinds are the driver's: small numbers below FLOWCOUNT_KINDS, whose names this room does not
 * know.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define FLOWCOUNT_KINDS 64

enum flow_fate { FLOW_EMITTED, FLOW_DECODED, FLOW_RETURNED, FLOW_CUT, FLOW_FATE_COUNT };

/* Zero is empty. Position-independent; one writer, readers at any time. */
struct flowcount {
    uint64_t counts[FLOWCOUNT_KINDS][FLOW_FATE_COUNT];
};

/* "emitted", "decoded", "returned", "cut". Static; asserts the range. */
const char *flow_fate_name(enum flow_fate fate);

/* Adds n flows of the kind; asserts kind < FLOWCOUNT_KINDS. */
void flowcount_add(struct flowcount *t, uint32_t kind, enum flow_fate fate, uint64_t n);

/* The count; asserts the ranges. */
uint64_t flowcount_get(const struct flowcount *t, uint32_t kind, enum flow_fate fate);

/* dst += src; src may be in use by its writer. */
void flowcount_merge(struct flowcount *dst, const struct flowcount *src);

/* Whether the equation holds for every kind. `ret_kind` (may be NULL): the first for which it does not;
 * untouched when it holds. */
bool flowcount_balanced(const struct flowcount *t, uint32_t *ret_kind);
