#include "sim/record/ledger.h"

#include "sim/base/panic.h"
#include "sim/record/shared.h"

#include <string.h>

#define LEDGER_MAGIC      UINT64_C(0x5452444c00000001)
#define LEDGER_SLOTS_MAX  (UINT32_C(1) << 24)
#define LEDGER_SLOT_BYTES 5u /* a state, and a place on the stack of free slots */

/* What a slot's byte says. */
enum slot_state {
    SLOT_FREE,
    SLOT_OPEN,
    SLOT_REPLAYED, /* open, but opened while the ledger was off */
};

/* One account. All indices are into its own areas, which lie behind the ledger. */
struct book {
    uint64_t opened;
    uint64_t ends[LEDGER_END_COUNT];
    uint64_t carried_in;
    uint64_t carried_out;
    uint64_t overflow;
    uint64_t merged_open; /* open slots of ledgers that were merged into this one */
    uint64_t open_max;
    uint64_t used;   /* slots 0 … used - 1 have been given out at some time */
    uint64_t n_free; /* of these, so many lie on the stack of free slots */
    uint64_t n_slots;
    uint64_t states_at; /* offset of the states from the ledger's start, one byte each */
    uint64_t free_at;   /* offset of the stack, four bytes each */
};

/*
 * An operation, written down before it is carried out: the values that everything it touches will have.
 * Carrying it out twice does no harm, so that a killed writer's last operation can be finished by somebody
 * else.
 */
struct intent {
    uint64_t active; /* the last to be set, and the first to be cleared */
    uint64_t account;
    uint64_t slot; /* LEDGER_SLOT_NONE: only the counts change */
    uint64_t state;
    uint64_t opened;
    uint64_t overflow;
    uint64_t carried_in;
    uint64_t carried_out;
    uint64_t end; /* which of the ends changes */
    uint64_t end_count;
    uint64_t used;
    uint64_t n_free;
    uint64_t open_max;
};

struct ledger {
    uint64_t magic;
    uint64_t size;
    uint64_t enabled;
    uint64_t pass_over; /* off for so many operations more; 0: until it is told otherwise */
    uint64_t ends_seen; /* all ends of all accounts; see WINDTUNNEL_PLANT_DROP_END */
    struct intent intent;
    struct book books[ACCOUNT_COUNT];
};

const char *account_name(enum account account)
{
    static const char *const names[ACCOUNT_COUNT] = {
        [ACCOUNT_SESSION] = "session",       [ACCOUNT_TURN] = "turn",     [ACCOUNT_CALL] = "call",
        [ACCOUNT_ATTEMPT] = "attempt",       [ACCOUNT_RESULT] = "result", [ACCOUNT_SPILL] = "spill",
        [ACCOUNT_CONNECTION] = "connection", [ACCOUNT_STREAM] = "stream", [ACCOUNT_WORK] = "work",
        [ACCOUNT_SANDBOX] = "sandbox",
    };

    ASSERT(account < ACCOUNT_COUNT);
    return names[account];
}

enum account account_find(const char *name)
{
    for (enum account a = 0; a < ACCOUNT_COUNT; a++)
        if (strcmp(account_name(a), name) == 0) return a;
    return ACCOUNT_COUNT;
}

const char *ledger_end_name(enum ledger_end end)
{
    static const char *const names[LEDGER_END_COUNT] = {
        [LEDGER_COMPLETED] = "completed", [LEDGER_FAILED] = "failed",       [LEDGER_SHED] = "shed",
        [LEDGER_LOST] = "lost",           [LEDGER_IN_FLIGHT] = "in_flight",
    };

    ASSERT(end < LEDGER_END_COUNT);
    return names[end];
}

size_t ledger_size(const struct ledger_options *options)
{
    size_t slots = 0;

    for (enum account a = 0; a < ACCOUNT_COUNT; a++) {
        ASSERT(options->slots_max[a] <= LEDGER_SLOTS_MAX);
        slots += options->slots_max[a];
    }
    /* The stacks come first, so that they are aligned; the whole is a multiple of 8. */
    return (sizeof(struct ledger) + slots * LEDGER_SLOT_BYTES + 7) & ~(size_t)7;
}

struct ledger *ledger_init(void *memory, const struct ledger_options *options, bool zeroed)
{
    struct ledger *l = memory;
    size_t size = ledger_size(options);
    size_t at = sizeof(*l);

    ASSERT((uintptr_t)memory % 8 == 0);
    memset(l, 0, zeroed ? sizeof(*l) : size);
    for (enum account a = 0; a < ACCOUNT_COUNT; a++) {
        l->books[a].n_slots = options->slots_max[a];
        l->books[a].free_at = at;
        at += sizeof(uint32_t) * options->slots_max[a];
    }
    for (enum account a = 0; a < ACCOUNT_COUNT; a++) {
        l->books[a].states_at = at;
        at += options->slots_max[a];
    }
    ASSERT(at <= size);
    l->size = size;
    l->enabled = 1;
    shared_store(&l->magic, LEDGER_MAGIC);
    return l;
}

bool ledger_valid(const void *memory, size_t size)
{
    const struct ledger *l = memory;

    if (size < sizeof(*l) || (uintptr_t)memory % 8 != 0) return false;
    if (shared_load(&l->magic) != LEDGER_MAGIC || l->size > size) return false;
    if (l->intent.account >= ACCOUNT_COUNT || l->intent.end >= LEDGER_END_COUNT) return false;
    for (enum account a = 0; a < ACCOUNT_COUNT; a++) {
        const struct book *b = &l->books[a];

        if (b->n_slots > LEDGER_SLOTS_MAX || b->used > b->n_slots || b->n_free > b->used) return false;
        if (b->free_at % 4 != 0 || b->free_at > size || b->states_at > size) return false;
        if (size - b->free_at < 4 * b->n_slots || size - b->states_at < b->n_slots) return false;
    }
    return true;
}

static uint8_t *state_of(const struct ledger *l, const struct book *b, uint64_t slot)
{
    ASSERT(slot < b->n_slots);
    return (uint8_t *)(uintptr_t)l + b->states_at + slot;
}

static uint8_t state_load(const struct ledger *l, const struct book *b, uint64_t slot)
{
    return __atomic_load_n(state_of(l, b, slot), __ATOMIC_ACQUIRE);
}

static uint32_t *free_stack(struct ledger *l, const struct book *b)
{
    return (uint32_t *)((uint8_t *)l + b->free_at);
}

/* The intent that changes nothing in the account. */
static struct intent intent_of(const struct ledger *l, enum account account)
{
    const struct book *b = &l->books[account];

    return (struct intent){
        .account = account,
        .slot = LEDGER_SLOT_NONE,
        .opened = b->opened,
        .overflow = b->overflow,
        .carried_in = b->carried_in,
        .carried_out = b->carried_out,
        .end_count = b->ends[0],
        .used = b->used,
        .n_free = b->n_free,
        .open_max = b->open_max,
    };
}

/* Carries out the intent that is written down. May be repeated. */
static void carry_out(struct ledger *l)
{
    const struct intent *i = &l->intent;
    struct book *b = &l->books[i->account];

    shared_store(&b->opened, i->opened);
    shared_store(&b->overflow, i->overflow);
    shared_store(&b->carried_in, i->carried_in);
    shared_store(&b->carried_out, i->carried_out);
    shared_store(&b->ends[i->end], i->end_count);
    if (i->slot != LEDGER_SLOT_NONE) {
        __atomic_store_n(state_of(l, b, i->slot), (uint8_t)i->state, __ATOMIC_RELEASE);
        /* A freed slot goes where the stack's new top will be; for one taken from the stack this is past the
         * top. */
        if (i->state == SLOT_FREE) free_stack(l, b)[i->n_free - 1] = (uint32_t)i->slot;
    }
    shared_store(&b->used, i->used);
    shared_store(&b->n_free, i->n_free);
    shared_store(&b->open_max, i->open_max);
    shared_store(&l->intent.active, 0);
    /* The next intent must not be written down before this one is over. */
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static void intend(struct ledger *l, const struct intent *intent)
{
    ASSERT(l->intent.active == 0);
    l->intent = *intent;
    shared_store(&l->intent.active, 1);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    carry_out(l);
}

void ledger_recover(struct ledger *l)
{
    if (shared_load(&l->intent.active)) carry_out(l);
}

/* Takes a slot: the one freed last, else the lowest never used. */
static void take_slot(struct ledger *l, struct intent *i)
{
    const struct book *b = &l->books[i->account];

    if (b->n_free > 0) {
        i->slot = free_stack(l, b)[b->n_free - 1];
        i->n_free--;
    } else if (b->used < b->n_slots) {
        i->slot = b->used;
        i->used++;
    } else {
        return;
    }
    i->state = l->enabled ? SLOT_OPEN : SLOT_REPLAYED;
    if (i->used - i->n_free > i->open_max) i->open_max = i->used - i->n_free;
}

/* One operation more; the last of those to be passed over switches on. */
static void passed(struct ledger *l)
{
    if (l->pass_over == 0 || --l->pass_over > 0) return;
    ledger_set_enabled(l, true);
}

uint32_t ledger_open(struct ledger *l, enum account account)
{
    struct intent i;

    ASSERT(account < ACCOUNT_COUNT);
    if (!l) return LEDGER_SLOT_NONE;
    i = intent_of(l, account);
    take_slot(l, &i);
    if (i.slot == LEDGER_SLOT_NONE) i.overflow++;
    if (l->enabled) i.opened++;
    intend(l, &i);
    passed(l);
    return (uint32_t)i.slot;
}

static void free_slot(struct ledger *l, struct intent *i, uint32_t slot)
{
    const struct book *b = &l->books[i->account];

    ASSERT(slot < b->used && state_load(l, b, slot) != SLOT_FREE);
    i->slot = slot;
    i->state = SLOT_FREE;
    i->n_free++;
}

/* True for the one end that a test build forgets, to show that the ledger notices. */
static bool planted_drop(struct ledger *l)
{
    shared_add(&l->ends_seen, 1);
#ifdef WINDTUNNEL_PLANT_DROP_END
    return l->ends_seen == (WINDTUNNEL_PLANT_DROP_END);
#else
    return false;
#endif
}

void ledger_end(struct ledger *l, enum account account, uint32_t slot, enum ledger_end end)
{
    struct intent i;
    bool counts;

    ASSERT(account < ACCOUNT_COUNT && end < LEDGER_END_COUNT);
    if (!l) return;
    i = intent_of(l, account);
    counts = l->enabled;
    if (slot != LEDGER_SLOT_NONE) {
        counts = state_load(l, &l->books[account], slot) == SLOT_OPEN;
        free_slot(l, &i, slot);
    }
    i.end = end;
    i.end_count = l->books[account].ends[end];
    if (counts && !planted_drop(l)) i.end_count++;
    intend(l, &i);
    passed(l);
}

void ledger_soon(const struct ledger *l, enum account account, uint32_t slot)
{
    const struct book *b = &l->books[account];

    if (slot < b->n_slots) __builtin_prefetch((const char *)l + b->states_at + slot);
}

uint64_t ledger_sweep(struct ledger *l, enum account account, enum ledger_end end)
{
    const struct book *b = &l->books[account];
    uint64_t swept = 0;

    ASSERT(account < ACCOUNT_COUNT && end < LEDGER_END_COUNT);
    ledger_recover(l);
    for (uint32_t slot = 0; slot < b->used; slot++) {
        if (state_load(l, b, slot) == SLOT_FREE) continue;
        ledger_end(l, account, slot, end);
        swept++;
    }
    return swept;
}

uint64_t ledger_hand_over(struct ledger *l, enum account account)
{
    const struct book *b = &l->books[account];
    uint64_t carried = 0;

    ASSERT(account < ACCOUNT_COUNT);
    ledger_recover(l);
    for (uint32_t slot = 0; slot < b->used; slot++) {
        uint8_t state = state_load(l, b, slot);
        struct intent i = intent_of(l, account);

        if (state == SLOT_FREE) continue;
        free_slot(l, &i, slot);
        if (state == SLOT_OPEN) {
            i.carried_out++;
            carried++;
        }
        intend(l, &i);
    }
    return carried;
}

/* What a replay left open counts from now on, as taken over. */
static void adopt(struct ledger *l, enum account account)
{
    const struct book *b = &l->books[account];

    for (uint32_t slot = 0; slot < b->used; slot++) {
        struct intent i = intent_of(l, account);

        if (state_load(l, b, slot) != SLOT_REPLAYED) continue;
        i.slot = slot;
        i.state = SLOT_OPEN;
        i.carried_in++;
        intend(l, &i);
    }
}

void ledger_set_enabled(struct ledger *l, bool enabled)
{
    if (!l || l->enabled == enabled) return;
    l->pass_over = 0;
    shared_store(&l->enabled, enabled);
    for (enum account a = 0; enabled && a < ACCOUNT_COUNT; a++) adopt(l, a);
}

uint64_t ledger_operations(struct ledger *l)
{
    uint64_t sum = 0;

    ledger_recover(l);
    for (enum account a = 0; a < ACCOUNT_COUNT; a++) {
        const struct book *b = &l->books[a];

        sum += b->opened;
        for (enum ledger_end end = 0; end < LEDGER_END_COUNT; end++) sum += b->ends[end];
    }
    return sum;
}

void ledger_pass_over(struct ledger *l, uint64_t operations)
{
    if (!l) return;
    ledger_set_enabled(l, operations == 0);
    l->pass_over = operations;
}

void ledger_totals(const struct ledger *l, enum account account, struct ledger_totals *ret_totals)
{
    const struct book *b = &l->books[account];
    uint64_t used = shared_load(&b->used);
    struct ledger_totals t = {
        .opened = shared_load(&b->opened),
        .carried_in = shared_load(&b->carried_in),
        .carried_out = shared_load(&b->carried_out),
        .overflow = shared_load(&b->overflow),
        .open = shared_load(&b->merged_open),
        .open_max = shared_load(&b->open_max),
    };

    ASSERT(account < ACCOUNT_COUNT);
    for (enum ledger_end end = 0; end < LEDGER_END_COUNT; end++) t.ends[end] = shared_load(&b->ends[end]);
    for (uint64_t slot = 0; slot < used; slot++) t.open += state_load(l, b, slot) != SLOT_FREE;
    *ret_totals = t;
}

void ledger_merge(struct ledger *dst, const struct ledger *src)
{
    for (enum account a = 0; a < ACCOUNT_COUNT; a++) {
        struct book *b = &dst->books[a];
        struct ledger_totals t;

        ledger_totals(src, a, &t);
        shared_add(&b->opened, t.opened);
        shared_add(&b->carried_in, t.carried_in);
        shared_add(&b->carried_out, t.carried_out);
        shared_add(&b->overflow, t.overflow);
        shared_add(&b->merged_open, t.open);
        if (t.open_max > b->open_max) shared_store(&b->open_max, t.open_max);
        for (enum ledger_end end = 0; end < LEDGER_END_COUNT; end++) shared_add(&b->ends[end], t.ends[end]);
    }
}

static enum ledger_verdict judge(const struct ledger_totals *t)
{
    uint64_t ended = 0;

    for (enum ledger_end end = 0; end < LEDGER_END_COUNT; end++) ended += t->ends[end];
    if (t->overflow > 0) return LEDGER_OVERFLOWED;
    return t->opened == ended && t->carried_in == t->carried_out && t->open == 0 ? LEDGER_BALANCED
                                                                                 : LEDGER_UNBALANCED;
}

enum ledger_verdict ledger_check(const struct ledger *l, enum account *ret_account)
{
    enum ledger_verdict worst = LEDGER_BALANCED;
    enum account at = ACCOUNT_COUNT;

    for (enum account a = 0; a < ACCOUNT_COUNT; a++) {
        struct ledger_totals t;
        enum ledger_verdict verdict;

        ledger_totals(l, a, &t);
        verdict = judge(&t);
        if (verdict <= worst) continue;
        worst = verdict;
        at = a;
    }
    if (worst != LEDGER_BALANCED && ret_account) *ret_account = at;
    return worst;
}

bool ledger_balanced(const struct ledger *l)
{
    return ledger_check(l, NULL) == LEDGER_BALANCED;
}
