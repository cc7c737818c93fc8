/* Built with a ledger that forgets its third end: WINDTUNNEL_PLANT_DROP_END=3. */
#include "sim/base/cleanup.h"
#include "sim/record/ledger.h"
#include "tests/record/suite.h"

START_TEST(a_forgotten_end_is_noticed)
{
    static const struct ledger_options options = {.slots_max = {[ACCOUNT_WORK] = 10, [ACCOUNT_CALL] = 10}};
    _cleanup_free_ struct ledger *l = ledger_init(aligned_alloc(8, ledger_size(&options)), &options, false);
    enum account account = ACCOUNT_COUNT;

    for (int i = 0; i < 2; i++) ledger_end(l, ACCOUNT_CALL, ledger_open(l, ACCOUNT_CALL), LEDGER_COMPLETED);
    ck_assert(ledger_balanced(l));
    ledger_end(l, ACCOUNT_WORK, ledger_open(l, ACCOUNT_WORK), LEDGER_COMPLETED);
    ck_assert_int_eq(ledger_check(l, &account), LEDGER_UNBALANCED);
    ck_assert_uint_eq(account, ACCOUNT_WORK);
    /* No sweep covers it up. */
    ledger_sweep(l, ACCOUNT_WORK, LEDGER_LOST);
    for (int i = 0; i < 5; i++) ledger_end(l, ACCOUNT_WORK, ledger_open(l, ACCOUNT_WORK), LEDGER_COMPLETED);
    ck_assert_int_eq(ledger_check(l, NULL), LEDGER_UNBALANCED);
}
END_TEST

int main(void)
{
    return run_suite("ledger_plant", TESTS(a_forgotten_end_is_noticed), NO_TESTS);
}
