#include "sim/base/cleanup.h"
#include "sim/base/prng.h"
#include "sim/record/ledger.h"
#include "tests/record/suite.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct ledger_options options = {
    .slots_max = {[ACCOUNT_SESSION] = 4, [ACCOUNT_CALL] = 100, [ACCOUNT_SPILL] = 3}};

/* The caller frees it. */
static struct ledger *ledger_new(void)
{
    return ledger_init(aligned_alloc(8, ledger_size(&options)), &options, false);
}

static struct ledger_totals totals_of(const struct ledger *l, enum account account)
{
    struct ledger_totals t;

    ledger_totals(l, account, &t);
    return t;
}

START_TEST(each_end_is_counted_once)
{
    _cleanup_free_ struct ledger *l = ledger_new();
    struct ledger_totals t;
    enum account account = ACCOUNT_COUNT;

    for (enum ledger_end end = 0; end < LEDGER_END_COUNT; end++)
        for (unsigned i = 0; i <= end; i++) ledger_end(l, ACCOUNT_CALL, ledger_open(l, ACCOUNT_CALL), end);
    t = totals_of(l, ACCOUNT_CALL);
    ck_assert_uint_eq(t.opened, 15);
    for (enum ledger_end end = 0; end < LEDGER_END_COUNT; end++) ck_assert_uint_eq(t.ends[end], end + 1);
    ck_assert_uint_eq(t.open, 0);
    ck_assert_uint_eq(t.open_max, 1);
    ck_assert_int_eq(ledger_check(l, &account), LEDGER_BALANCED);
    ck_assert_uint_eq(account, ACCOUNT_COUNT);
    ck_assert(ledger_balanced(l));
}
END_TEST

START_TEST(what_is_open_unbalances)
{
    _cleanup_free_ struct ledger *l = ledger_new();
    enum account account = ACCOUNT_COUNT;
    uint32_t slot = ledger_open(l, ACCOUNT_SPILL);

    ck_assert_int_eq(ledger_check(l, &account), LEDGER_UNBALANCED);
    ck_assert_uint_eq(account, ACCOUNT_SPILL);
    ck_assert_int_eq(ledger_check(l, NULL), LEDGER_UNBALANCED);
    ledger_end(l, ACCOUNT_SPILL, slot, LEDGER_SHED);
    ck_assert(ledger_balanced(l));
}
END_TEST

START_TEST(slots_come_back_in_a_fixed_order)
{
    _cleanup_free_ struct ledger *l = ledger_new();

    for (uint32_t i = 0; i < 4; i++) ck_assert_uint_eq(ledger_open(l, ACCOUNT_CALL), i);
    ledger_end(l, ACCOUNT_CALL, 2, LEDGER_COMPLETED);
    ledger_end(l, ACCOUNT_CALL, 0, LEDGER_COMPLETED);
    ck_assert_uint_eq(ledger_open(l, ACCOUNT_CALL), 0);
    ck_assert_uint_eq(ledger_open(l, ACCOUNT_CALL), 2);
    ck_assert_uint_eq(ledger_open(l, ACCOUNT_CALL), 4);
    ck_assert_uint_eq(ledger_open(l, ACCOUNT_SPILL), 0);
    ck_assert_uint_eq(totals_of(l, ACCOUNT_CALL).open_max, 5);
}
END_TEST

START_TEST(too_low_a_limit_invalidates)
{
    _cleanup_free_ struct ledger *l = ledger_new();
    uint32_t slots[5];

    for (int i = 0; i < 5; i++) slots[i] = ledger_open(l, ACCOUNT_SESSION);
    ck_assert_uint_eq(slots[4], LEDGER_SLOT_NONE);
    for (int i = 0; i < 5; i++) ledger_end(l, ACCOUNT_SESSION, slots[i], LEDGER_COMPLETED);
    ck_assert_uint_eq(totals_of(l, ACCOUNT_SESSION).overflow, 1);
    ck_assert_uint_eq(totals_of(l, ACCOUNT_SESSION).opened, 5);
    ck_assert_uint_eq(totals_of(l, ACCOUNT_SESSION).ends[LEDGER_COMPLETED], 5);
    ck_assert_int_eq(ledger_check(l, NULL), LEDGER_OVERFLOWED);
    ck_assert(!ledger_balanced(l));
    /* An account whose books are whole and do not agree is worse. */
    ledger_open(l, ACCOUNT_CALL);
    ck_assert_int_eq(ledger_check(l, NULL), LEDGER_UNBALANCED);
}
END_TEST

START_TEST(without_a_ledger_nothing_happens)
{
    ck_assert_uint_eq(ledger_open(NULL, ACCOUNT_CALL), LEDGER_SLOT_NONE);
    ledger_end(NULL, ACCOUNT_CALL, LEDGER_SLOT_NONE, LEDGER_FAILED);
    ledger_set_enabled(NULL, true);
}
END_TEST

START_TEST(a_dead_role_loses_what_was_open)
{
    _cleanup_free_ struct ledger *l = ledger_new();

    for (int i = 0; i < 10; i++) ledger_open(l, ACCOUNT_CALL);
    ledger_end(l, ACCOUNT_CALL, 3, LEDGER_COMPLETED);
    ck_assert_uint_eq(ledger_sweep(l, ACCOUNT_CALL, LEDGER_LOST), 9);
    ck_assert_uint_eq(totals_of(l, ACCOUNT_CALL).ends[LEDGER_LOST], 9);
    ck_assert(ledger_balanced(l));
    ck_assert_uint_eq(ledger_sweep(l, ACCOUNT_CALL, LEDGER_LOST), 0);
}
END_TEST

START_TEST(merging_adds)
{
    _cleanup_free_ struct ledger *a = ledger_new(), *b = ledger_new(), *sum = ledger_new();
    uint32_t slot;

    ledger_end(a, ACCOUNT_CALL, ledger_open(a, ACCOUNT_CALL), LEDGER_FAILED);
    for (int i = 0; i < 3; i++) slot = ledger_open(b, ACCOUNT_CALL);
    ledger_merge(sum, a);
    ck_assert(ledger_balanced(sum));
    ledger_merge(sum, b);
    ck_assert_uint_eq(totals_of(sum, ACCOUNT_CALL).opened, 4);
    ck_assert_uint_eq(totals_of(sum, ACCOUNT_CALL).open, 3);
    ck_assert_uint_eq(totals_of(sum, ACCOUNT_CALL).open_max, 3);
    ck_assert(!ledger_balanced(sum));
    ledger_end(b, ACCOUNT_CALL, slot, LEDGER_FAILED);
    ck_assert_uint_eq(totals_of(sum, ACCOUNT_CALL).ends[LEDGER_FAILED], 1);
}
END_TEST

/* Opens 5 and ends 2 of them, as a journal would have it. */
static void play(struct ledger *l)
{
    for (int i = 0; i < 5; i++) ledger_open(l, ACCOUNT_CALL);
    ledger_end(l, ACCOUNT_CALL, 1, LEDGER_COMPLETED);
    ledger_end(l, ACCOUNT_CALL, 4, LEDGER_FAILED);
}

START_TEST(a_successor_ends_what_it_took_over)
{
    _cleanup_free_ struct ledger *first = ledger_new(), *second = ledger_new(), *sum = ledger_new();

    play(first);
    ck_assert_uint_eq(ledger_hand_over(first, ACCOUNT_CALL), 3);

    ledger_set_enabled(second, false);
    play(second);
    ck_assert_uint_eq(totals_of(second, ACCOUNT_CALL).opened, 0);
    ck_assert_uint_eq(totals_of(second, ACCOUNT_CALL).ends[LEDGER_COMPLETED], 0);
    ledger_set_enabled(second, true);
    ck_assert_uint_eq(totals_of(second, ACCOUNT_CALL).carried_in, 3);
    ledger_end(second, ACCOUNT_CALL, 0, LEDGER_COMPLETED);
    ledger_end(second, ACCOUNT_CALL, 3, LEDGER_COMPLETED);

    ledger_merge(sum, first);
    ck_assert(!ledger_balanced(sum));
    ledger_end(second, ACCOUNT_CALL, 2, LEDGER_COMPLETED);
    ledger_merge(sum, second);
    ck_assert(ledger_balanced(sum));
    ck_assert_uint_eq(totals_of(sum, ACCOUNT_CALL).opened, 5);
    ck_assert_uint_eq(totals_of(sum, ACCOUNT_CALL).ends[LEDGER_COMPLETED], 4);
}
END_TEST

/* A journal of 60 operations, of which the first so many are done: by a role that dies in the middle of it.
 */
static void play_some(struct ledger *l, uint64_t seed, int operations)
{
    struct prng p = prng_derive(seed, 0, 0);
    uint32_t open[100];
    int n = 0;

    for (int i = 0; i < operations; i++) {
        if (n && prng_below(&p, 5) < 2) {
            int at = (int)prng_below(&p, (uint64_t)n);
            ledger_end(l, ACCOUNT_CALL, open[at], prng_below(&p, 2) ? LEDGER_COMPLETED : LEDGER_FAILED);
            open[at] = open[--n];
        } else {
            open[n++] = ledger_open(l, ACCOUNT_CALL);
        }
    }
}

/* Written down, but not carried out when it died: the next incarnation counts it, and nobody twice. */
START_TEST(what_the_dead_had_not_handled_is_counted_by_the_successor)
{
    enum { ALL = 60 };
    _cleanup_free_ struct ledger *whole = ledger_new();

    play_some(whole, 1, ALL);
    ledger_sweep(whole, ACCOUNT_CALL, LEDGER_LOST);
    for (int first = 0; first <= ALL; first++) {
        for (int second = first; second <= ALL; second += 7) {
            _cleanup_free_ struct ledger *a = ledger_new(), *b = ledger_new(), *c = ledger_new();
            _cleanup_free_ struct ledger *sum = ledger_new();
            struct ledger_totals t, expected = totals_of(whole, ACCOUNT_CALL);

            play_some(a, 1, first);
            ledger_pass_over(b, ledger_operations(a));
            play_some(b, 1, second);
            ledger_set_enabled(b, true);
            ledger_pass_over(c, ledger_operations(a) + ledger_operations(b));
            play_some(c, 1, ALL);
            ledger_set_enabled(c, true);
            ledger_hand_over(a, ACCOUNT_CALL);
            ledger_hand_over(b, ACCOUNT_CALL);
            ledger_sweep(c, ACCOUNT_CALL, LEDGER_LOST);
            ledger_merge(sum, a);
            ledger_merge(sum, b);
            ledger_merge(sum, c);
            ck_assert_msg(ledger_balanced(sum), "killed after %d and %d", first, second);
            t = totals_of(sum, ACCOUNT_CALL);
            ck_assert_uint_eq(t.opened, expected.opened);
            for (enum ledger_end end = 0; end < LEDGER_END_COUNT; end++)
                ck_assert_uint_eq(t.ends[end], expected.ends[end]);
        }
    }
}
END_TEST

START_TEST(what_nobody_took_over_unbalances)
{
    _cleanup_free_ struct ledger *first = ledger_new();

    play(first);
    ledger_hand_over(first, ACCOUNT_CALL);
    ck_assert_int_eq(ledger_check(first, NULL), LEDGER_UNBALANCED);
}
END_TEST

START_TEST(death_during_the_replay_carries_nothing)
{
    _cleanup_free_ struct ledger *l = ledger_new();

    ledger_set_enabled(l, false);
    play(l);
    ck_assert_uint_eq(ledger_hand_over(l, ACCOUNT_CALL), 0);
    ck_assert(ledger_balanced(l));
}
END_TEST

START_TEST(ends_of_what_was_counted_always_count)
{
    _cleanup_free_ struct ledger *l = ledger_new();
    uint32_t slot = ledger_open(l, ACCOUNT_CALL);

    ledger_set_enabled(l, false);
    ledger_end(l, ACCOUNT_CALL, slot, LEDGER_COMPLETED);
    ledger_end(l, ACCOUNT_CALL, LEDGER_SLOT_NONE, LEDGER_COMPLETED);
    ck_assert(ledger_balanced(l));
}
END_TEST

/* A naive ledger: one flag for each slot. */
START_TEST(agrees_with_a_naive_ledger)
{
    _cleanup_free_ struct ledger *l = ledger_new();
    struct prng p = prng_stream(1, 0, "ledger", 0, 0);
    bool open[100] = {false};
    uint64_t opened = 0, ended = 0;

    for (int i = 0; i < 100000; i++) {
        if (opened - ended < 100 && prng_below(&p, 2)) {
            uint32_t slot = ledger_open(l, ACCOUNT_CALL);

            ck_assert_uint_lt(slot, 100);
            ck_assert(!open[slot]);
            open[slot] = true;
            opened++;
        } else if (opened > ended) {
            uint32_t slot = (uint32_t)prng_below(&p, 100);

            while (!open[slot]) slot = (slot + 1) % 100;
            ledger_end(l, ACCOUNT_CALL, slot, prng_below(&p, LEDGER_END_COUNT));
            open[slot] = false;
            ended++;
        }
    }
    ck_assert_uint_eq(totals_of(l, ACCOUNT_CALL).opened, opened);
    ck_assert_uint_eq(totals_of(l, ACCOUNT_CALL).open, opened - ended);
}
END_TEST

START_TEST(memory_that_is_no_ledger)
{
    _cleanup_free_ struct ledger *l = ledger_new();
    size_t size = ledger_size(&options);
    _cleanup_free_ char *noise = calloc(1, size);

    ck_assert(ledger_valid(l, size));
    ck_assert(!ledger_valid(l, size - 1));
    ck_assert(!ledger_valid(l, 8));
    ck_assert(!ledger_valid(noise, size));
}
END_TEST

/* A page of its own that a child shares. */
static void *shared_page(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(memory, MAP_FAILED);
    return memory;
}

/* What the role in the two tests below does: opens, ends, a replay that it takes over. */
static void work(struct ledger *l)
{
    uint32_t slots[3];

    ledger_set_enabled(l, false);
    slots[0] = ledger_open(l, ACCOUNT_CALL);
    ledger_set_enabled(l, true);
    slots[1] = ledger_open(l, ACCOUNT_CALL);
    slots[2] = ledger_open(l, ACCOUNT_SPILL);
    ledger_end(l, ACCOUNT_CALL, slots[0], LEDGER_COMPLETED);
    slots[0] = ledger_open(l, ACCOUNT_CALL);
    ledger_end(l, ACCOUNT_SPILL, slots[2], LEDGER_FAILED);
    ledger_end(l, ACCOUNT_CALL, slots[1], LEDGER_SHED);
    ledger_end(l, ACCOUNT_CALL, slots[0], LEDGER_COMPLETED);
}

/* The books after the writer's death: all that was opened or taken over is ended or lost. */
static bool settles(struct ledger *l)
{
    for (enum account a = 0; a < ACCOUNT_COUNT; a++) {
        struct ledger_totals t;
        uint64_t ended = 0;

        ledger_sweep(l, a, LEDGER_LOST);
        ledger_totals(l, a, &t);
        for (enum ledger_end end = 0; end < LEDGER_END_COUNT; end++) ended += t.ends[end];
        if (t.opened + t.carried_in != ended || t.open != 0) return false;
    }
    return true;
}

/* Runs work() in a child, one instruction at a time, and takes at each what a kill would leave behind. */
START_TEST(killed_at_any_instruction_it_settles)
{
    size_t size = ledger_size(&options);
    struct ledger *l = ledger_init(shared_page(size), &options, true);
    _cleanup_free_ struct ledger *left = malloc(size);
    uint64_t steps = 0, changes = 0;
    int status;
    pid_t child = fork();

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) _exit(77);
        raise(SIGSTOP);
        work(l);
        raise(SIGSTOP);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) return; /* tracing is not allowed here */
    memcpy(left, l, size);
    for (;; steps++) {
        ck_assert_int_eq(ptrace(PTRACE_SINGLESTEP, child, NULL, NULL), 0);
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        if (!WIFSTOPPED(status) || WSTOPSIG(status) == SIGSTOP) break;
        if (WSTOPSIG(status) != SIGTRAP) continue;
        memcpy(left, l, size);
        ck_assert_msg(settles(left), "after instruction %llu", (unsigned long long)steps);
        changes += totals_of(l, ACCOUNT_CALL).opened;
    }
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    ck_assert_uint_gt(steps, 500);
    ck_assert_uint_gt(changes, 0);
    ck_assert_uint_eq(totals_of(l, ACCOUNT_CALL).ends[LEDGER_COMPLETED], 2);
    munmap(l, size);
}
END_TEST

START_TEST(killed_at_any_time_it_settles)
{
    size_t size = ledger_size(&options);
    void *memory = shared_page(size);

    for (int round = 0; round < 100; round++) {
        struct ledger *l = ledger_init(memory, &options, false);
        int status;
        pid_t child = fork();

        ck_assert_int_ge(child, 0);
        if (child == 0)
            for (;;) work(l);
        usleep(500 + 37 * round);
        kill(child, SIGKILL);
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        ck_assert(ledger_valid(l, size));
        ck_assert(settles(l));
    }
    munmap(memory, size);
}
END_TEST

START_TEST(ending_twice)
{
    _cleanup_free_ struct ledger *l = ledger_new();
    uint32_t slot = ledger_open(l, ACCOUNT_CALL);

    ledger_end(l, ACCOUNT_CALL, slot, LEDGER_COMPLETED);
    ledger_end(l, ACCOUNT_CALL, slot, LEDGER_COMPLETED);
}
END_TEST

START_TEST(ending_what_never_began)
{
    _cleanup_free_ struct ledger *l = ledger_new();

    ledger_end(l, ACCOUNT_CALL, 0, LEDGER_COMPLETED);
}
END_TEST

START_TEST(ending_in_the_wrong_account)
{
    _cleanup_free_ struct ledger *l = ledger_new();

    ledger_end(l, ACCOUNT_TURN, ledger_open(l, ACCOUNT_CALL), LEDGER_COMPLETED);
}
END_TEST

int main(void)
{
    return run_suite("ledger",
                     TESTS(each_end_is_counted_once, what_is_open_unbalances,
                           what_the_dead_had_not_handled_is_counted_by_the_successor,
                           slots_come_back_in_a_fixed_order, too_low_a_limit_invalidates,
                           without_a_ledger_nothing_happens, a_dead_role_loses_what_was_open, merging_adds,
                           a_successor_ends_what_it_took_over, what_nobody_took_over_unbalances,
                           death_during_the_replay_carries_nothing, ends_of_what_was_counted_always_count,
                           agrees_with_a_naive_ledger, memory_that_is_no_ledger,
                           killed_at_any_instruction_it_settles, killed_at_any_time_it_settles),
                     TESTS(ending_twice, ending_what_never_began, ending_in_the_wrong_account));
}
