/*
 * The conservation ledger: whatever is opened ends exactly once, in one of five ways.
 *
 * Two independent books: the counts (opened, and each end by the event that ends it, never by subtraction),
 * and one byte for each open thing (its slot), so that a forgotten end and a doubled end are both seen. A run
 * whose ledger does not balance is wrong, whatever its latencies.
 *
 * Slots are handed out in an order that depends on the order of calls alone: the one freed last comes first,
 * then the lowest never used. So a replay of the same events gets the same slots.
 *
 * Position-independent and fixed in size, for a shared mapping with one writer. The writer may be killed at
 * any instruction: each operation is first written down as an intent, and ledger_recover() finishes the last
 * one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum account {
    ACCOUNT_SESSION,
    ACCOUNT_TURN,
    ACCOUNT_CALL,
    ACCOUNT_ATTEMPT,
    ACCOUNT_RESULT,
    ACCOUNT_SPILL,
    ACCOUNT_CONNECTION, /* a tunnel's connection */
    ACCOUNT_STREAM,
    ACCOUNT_WORK,
    ACCOUNT_SANDBOX,
    ACCOUNT_COUNT
};

enum ledger_end {
    LEDGER_COMPLETED,
    LEDGER_FAILED,    /* ended with an error that somebody was told of */
    LEDGER_SHED,      /* refused or cut off on purpose, by a limit */
    LEDGER_LOST,      /* ended by a death or a cut, without an answer */
    LEDGER_IN_FLIGHT, /* still going on when the run ended: counted by walking the things that are still alive
                       */
    LEDGER_END_COUNT
};

/* What ledger_open() returns when there is no slot: the limit is reached, or the ledger is NULL. */
#define LEDGER_SLOT_NONE UINT32_MAX

struct ledger_options {
    /* The most things open at a time, by account. 0: any open is an overflow. At most 2^24 each. */
    uint32_t slots_max[ACCOUNT_COUNT];
};

/* One account, summed up. */
struct ledger_totals {
    uint64_t opened;
    uint64_t ends[LEDGER_END_COUNT];
    uint64_t carried_in;  /* things taken over from an earlier incarnation by replaying its journal */
    uint64_t carried_out; /* things that a dead incarnation left to its successor */
    uint64_t overflow;    /* opened without a slot, for the limit was reached */
    uint64_t open;        /* slots open now, counted slot by slot */
    uint64_t open_max;    /* the most open at a time; after merging: of any one ledger */
};

enum ledger_verdict {
    LEDGER_BALANCED,
    LEDGER_OVERFLOWED, /* a limit was too low, so the second book is incomplete: the run is invalid (exit code
                          3) */
    LEDGER_UNBALANCED, /* an invariant broke (exit code 4) */
};

struct ledger; /* ledger.c */

/* "session", "turn", …: the names in result files. Static; asserts the range. */
const char *account_name(enum account account);

/* The account of that name, or ACCOUNT_COUNT. */
enum account account_find(const char *name);

/* "completed", "failed", "shed", "lost", "in_flight". Static; asserts the range. */
const char *ledger_end_name(enum ledger_end end);

/* Bytes that a ledger of these limits needs: 5 for each slot, and a fixed head. Asserts the limits' range. */
size_t ledger_size(const struct ledger_options *options);

/* Sets up an empty ledger in `memory` of ledger_size() bytes, aligned to 8. `zeroed`: the memory is known to
 * be zero, and is not written where that can be avoided. Returns `memory`. Nothing to deinit. */
struct ledger *ledger_init(void *memory, const struct ledger_options *options, bool zeroed);

/* Whether `memory` of `size` bytes holds a ledger that this build understands and that lies within. */
bool ledger_valid(const void *memory, size_t size);

/*
 * Off (false): opens get slots as usual but nothing is counted, and their ends are not counted either. For
 * the time in which a restarted role replays its journal. Switching on again counts what is then open from
 * the replay as `carried_in`, and its ends count from now on. Ends of what was opened while on always count.
 * NULL: does nothing.
 */
void ledger_set_enabled(struct ledger *l, bool enabled);

/*
 * The opens and ends that were counted so far, of all accounts. The sum over the incarnations of a role tells
 * its next one how many to pass over while it replays their journal: a role may be killed after it wrote an
 * event down and before, or while, it handled it. Calls ledger_recover() first: only when there is no writer
 * any more.
 */
uint64_t ledger_operations(struct ledger *l);

/*
 * Off, as ledger_set_enabled(false), for the next `operations` opens and ends, and then on by itself: what
 * follows in the replay was not counted by anybody yet. Who knows that the replay is over calls
 * ledger_set_enabled(true).
 */
void ledger_pass_over(struct ledger *l, uint64_t operations);

/*
 * Something began. Returns the slot that stands for it until ledger_end(); the caller keeps it. At the limit
 * returns LEDGER_SLOT_NONE, counts `overflow`, and the run becomes invalid (it still counts as opened). NULL:
 * returns LEDGER_SLOT_NONE, counts nothing.
 */
uint32_t ledger_open(struct ledger *l, enum account account);

/*
 * It ended. Asserts that the slot is open: a second end is a programmer error. LEDGER_SLOT_NONE is counted
 * without that check. NULL: does nothing.
 */
void ledger_end(struct ledger *l, enum account account, uint32_t slot, enum ledger_end end);
/* Fetches the memory of a slot that will end soon. Any number may be given. */
void ledger_soon(const struct ledger *l, enum account account, uint32_t slot);

/*
 * Ends every open slot of the account with `end`, and returns how many there were. For a supervisor, on the
 * ledger of a role that died: LEDGER_LOST. Calls ledger_recover() first. Not for LEDGER_IN_FLIGHT at the end
 * of a run: there, walk what is alive and end each by its own slot, else a forgotten end would pass as in
 * flight.
 */
uint64_t ledger_sweep(struct ledger *l, enum account account, enum ledger_end end);

/*
 * Instead of ledger_sweep() where a successor replays the dead role's journal: closes every open slot of the
 * account as `carried_out`, and returns how many. The successor's `carried_in` must match in the merged
 * ledger.
 */
uint64_t ledger_hand_over(struct ledger *l, enum account account);

/* Finishes the operation in which the writer was killed, if any. Only when there is no writer any more. */
void ledger_recover(struct ledger *l);

/* The account's numbers now. The ledger may be in use by its writer: then they may be of slightly different
 * times. */
void ledger_totals(const struct ledger *l, enum account account, struct ledger_totals *ret_totals);

/* Adds the totals of `src` to `dst`. Slots are not copied: open ones of `src` stay in dst's `open` as a
 * number. */
void ledger_merge(struct ledger *dst, const struct ledger *src);

/*
 * Whether the books agree: for each account opened = sum of the ends, carried_in = carried_out, and no slot
 * is open. `ret_account` (may be NULL) is the first account that is not balanced; untouched when all are.
 * Not before the writer has ended; if it was killed, after ledger_sweep() or ledger_hand_over().
 * The verdict is the worst of all accounts. Within one, overflow goes before imbalance: where slots ran out,
 * the books of that account prove nothing.
 */
enum ledger_verdict ledger_check(const struct ledger *l, enum account *ret_account);

/* ledger_check() == LEDGER_BALANCED. */
bool ledger_balanced(const struct ledger *l);
