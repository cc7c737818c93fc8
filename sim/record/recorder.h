/*
 * Everything that one role measures, in one block of memory: histograms of all metrics, ledger, counters,
 * flow counts and marks of calls.
 *
 * The memory is the caller's. It may be a shared mapping that a supervisor owns, one for each incarnation of
 * a role: there are no pointers inside. One writer. Readers attach at any time, also after the writer was
 * killed: each 64-bit number is whole, and recorder_merge() and histogram_copy() give views that are
 * consistent in themselves. No allocation, no clock, no locks.
 */
#pragma once

#include "sim/base/cleanup.h"
#include "sim/base/meter.h"
#include "sim/base/nsec.h"
#include "sim/record/counter.h"
#include "sim/record/flowcount.h"
#include "sim/record/histogram.h"
#include "sim/record/ledger.h"
#include "sim/record/metrics.h"
#include "sim/record/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Alignment of a recorder's memory. Mappings have it. */
#define RECORDER_ALIGN 64

struct recorder_options {
    struct ledger_options ledger;
    uint32_t marks_max;                /* of sampled calls; 24 bytes each, at most 2^28 */
    uint32_t split_sizes[SPLIT_COUNT]; /* names by which samples are told apart; 0: they are not */
    uint32_t sample_every;             /* marks are kept for one call in so many; 1 for all; asserted not 0 */
    bool zeroed; /* the memory is known to be all zero (a fresh mapping): it is then touched only as used */
};

struct recorder; /* recorder.c */

/* Bytes that a recorder of these options needs: about 5.5 MB, 5 for each ledger slot, 24 for each mark, and
 * 192 KiB for each name of a split; of the latter one page is touched before there are samples. */
size_t recorder_size(const struct recorder_options *options);

/*
 * Sets up an empty recorder, switched on, in `memory`. Asserts that `size` is at least recorder_size() and
 * the alignment RECORDER_ALIGN. Returns `memory`. There is nothing to deinit.
 */
struct recorder *recorder_init(void *memory, size_t size, const struct recorder_options *options);

/*
 * Takes `size` bytes that somebody else set up, which may be read-only then. Returns 0, or -EPROTO if they
 * are no recorder of this build's layout (magic, version, layout, size). Nothing is changed.
 */
int recorder_attach(void *memory, size_t size, struct recorder **ret_recorder);

/*
 * On the heap, for tests, for virtual runs and for sums. 0 or -ENOMEM. Freed with recorder_free(), which
 * allows NULL and must not be used on mappings.
 */
int recorder_new(const struct recorder_options *options, struct recorder **ret_recorder);
void recorder_free(struct recorder *r);
DEFINE_CLEANUP(struct recorder *, recorder_free)

/*
 * Off while a journal is replayed without recording: the functions below then change nothing, but that the
 * ledger keeps its slots (see ledger_set_enabled()). All functions with a recorder that may be NULL do
 * nothing then, so a caller without a recorder need not ask.
 */
void recorder_set_enabled(struct recorder *r, bool enabled);
bool recorder_enabled(const struct recorder *r); /* false for NULL */

/* Counts one sample of the metric; more than 1 h counts as 1 h and as saturated. NULL: does nothing. */
void recorder_record(struct recorder *r, enum metric metric, nsec_t value_ns);

/* Counts the sample of metric_of_split() under a name of its own too, as recorder_record() does for all. Not
 * told apart (size 0), or an index beyond, or NULL: does nothing. */
void recorder_record_split(struct recorder *r, enum plan_split split, uint32_t index, nsec_t value_ns);

/* Adds to a counter. NULL: does nothing. */
void recorder_count(struct recorder *r, enum counter counter, uint64_t n);
/* Counts an answer by its HTTP status: 429, another 4xx, 5xx. Below 400 it is none of them. */
void recorder_count_status(struct recorder *r, uint64_t status);

/* What is billed while it runs: its counter has what has ended. */
enum meter_kind { METER_SANDBOX, METER_SANDBOX_IDLE, METER_COUNT };

/* Adds a change to a meter, and its `ns` to the counter. NULL: does nothing. */
void recorder_meter(struct recorder *r, enum meter_kind kind, const struct meter *change);
/* For the supervisor of a dead role: whatever ran is billed up to `now`, when it died. */
void recorder_bill_running(struct recorder *r, nsec_t now);

/* Adds to a flow count; see flowcount_add() and flowcount_give_up(). NULL: does nothing. */
void recorder_flow(struct recorder *r, uint32_t way, uint32_t kind, enum flow_fate fate, uint64_t n);
void recorder_give_up(struct recorder *r, uint32_t way);

/* Marks a moment of a call; see span_mark(). NULL: does nothing. */
void recorder_mark(struct recorder *r, uint64_t call_id, enum mark mark, nsec_t at);

/* See ledger_open() and ledger_end(). NULL: LEDGER_SLOT_NONE, nothing. */
uint32_t recorder_open(struct recorder *r, enum account account);
void recorder_end(struct recorder *r, enum account account, uint32_t slot, enum ledger_end end);
/* Fetches the memory of a slot that will end soon. Any number may be given; NULL: does nothing. */
void recorder_soon(const struct recorder *r, enum account account, uint32_t slot);

/* The parts; they live as long as the recorder's memory. Not NULL-safe. */
const struct histogram *recorder_histogram(const struct recorder *r, enum metric metric);
/* NULL: not told apart, or an index beyond. */
const struct histogram *recorder_split(const struct recorder *r, enum plan_split split, uint32_t index);
uint64_t recorder_counter(const struct recorder *r, enum counter counter);
const struct flowcount *recorder_flows(const struct recorder *r);
const struct span_buffer *recorder_spans(const struct recorder *r);
const struct ledger *recorder_ledger(const struct recorder *r);
struct ledger *
recorder_ledger_mutable(struct recorder *r); /* for the supervisor of a dead role: sweep, hand over */

/* The lengths of the hops of all complete calls, into the hop.* metrics: hop_metric(). Once for a run. */
void recorder_add_hops(struct recorder *r, const struct span_report *report);

/*
 * dst += src: histograms, counters, flow counts, ledger totals. Marks are not copied: span_join() takes those
 * of each recorder. `src` may be in use by its writer. Splits are merged where both have the name.
 */
void recorder_merge(struct recorder *dst, const struct recorder *src);
