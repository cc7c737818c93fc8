#include "reports/grid.h"
#include "reports/human.h"
#include "reports/table.h"
#include "tests/reports/suite.h"
#include "tests/reports/synthetic.h"

#include <string.h>

START_TEST(table_is_golden)
{
    CLEANUP(synthetic_deinit) struct synthetic s;
    CLEANUP(str_deinit) struct str text = STR_INIT(1u << 20);
    CLEANUP(result_free_p) struct result *r = NULL;

    synthetic_init(&s);
    r = synthetic_result(&s);
    ck_assert_int_eq(table_result(r, &(struct table_options){.colour = false}, &text), 0);
    ck_assert_ptr_null(strchr(str_text(&text), '\033'));
    check_golden("table.txt", &text);
}
END_TEST

START_TEST(side_by_side_is_golden)
{
    CLEANUP(synthetic_deinit) struct synthetic s;
    CLEANUP(str_deinit) struct str text = STR_INIT(1u << 20);
    CLEANUP(result_free_p) struct result *a = NULL;
    CLEANUP(result_free_p) struct result *b = NULL;
    const struct result *all[7];

    synthetic_init(&s);
    a = synthetic_result(&s);
    s.plan.deployment = "shed";
    s.plan.objective_count = 2;
    s.objectives[0].expr = "ratio(session.completed) > 99%";
    s.objectives[0].value = 990000;
    s.run.interrupted = true;
    s.runners[0].price_nanodollars_per_sandbox_second = 0;
    b = synthetic_result(&s);
    for (unsigned i = 0; i < 7; i++) all[i] = i % 2 ? b : a;
    ck_assert_int_eq(table_compare(all, 2, &(struct table_options){.colour = false}, &text), 0);
    check_golden("compare.txt", &text);
    /* More than fit beside each other go below. */
    str_clear(&text);
    ck_assert_int_eq(table_compare(all, 7, &(struct table_options){.colour = true}, &text), 0);
    ck_assert_ptr_nonnull(strstr(str_text(&text), "\n\n"));
    ck_assert_ptr_nonnull(strchr(str_text(&text), '\033'));
}
END_TEST

START_TEST(invalid_and_unbalanced_show)
{
    CLEANUP(synthetic_deinit) struct synthetic s;
    CLEANUP(str_deinit) struct str text = STR_INIT(1u << 20);
    CLEANUP(result_free_p) struct result *r = NULL;
    static const char *const reasons[] = {"a \033[2Jpeer went\naway"};

    synthetic_init(&s);
    recorder_open(s.recorder, ACCOUNT_SPILL);
    s.run.invalid_reasons = reasons;
    s.run.invalid_reason_count = 1;
    r = synthetic_result(&s);
    ck_assert_int_eq(table_result(r, &(struct table_options){.colour = false}, &text), 0);
    ck_assert_ptr_nonnull(strstr(str_text(&text), "INVALID: "));
    ck_assert_ptr_nonnull(strstr(str_text(&text), "a ?[2Jpeer went?away\n"));
    ck_assert_ptr_nonnull(strstr(str_text(&text), "Ledger (NOT BALANCED)"));
    ck_assert_ptr_nonnull(strstr(str_text(&text), "account spill has 1 opened, 0 ended, 1 still open"));
}
END_TEST

static void duration_is(uint64_t ns, const char *wanted)
{
    CLEANUP(str_deinit) struct str s = STR_INIT(64);

    human_duration(&s, ns);
    ck_assert_str_eq(str_text(&s), wanted);
}

START_TEST(durations)
{
    duration_is(FIGURE_NONE, "-");
    duration_is(0, "0s");
    duration_is(999, "<1us");
    duration_is(1000, "1.00us");
    duration_is(9994, "9.99us");
    duration_is(9996, "10.0us");
    duration_is(99960, "100us");
    duration_is(999499, "999us");
    duration_is(999500, "1.00ms");
    duration_is(999499999, "999ms");
    duration_is(999500000, "1.00s");
    duration_is(12345678901, "12.3s");
    duration_is(UINT64_C(99940000000), "99.9s");
    duration_is(UINT64_C(99960000000), "1min40s");
    duration_is(UINT64_C(125000000000), "2min05s");
    duration_is(UINT64_C(3599400000000), "59min59s");
    duration_is(UINT64_C(3600000000000), "1h00min");
    duration_is(UINT64_C(18446744073709551614), "5124095h35min");
}
END_TEST

#define SHOWS(call, wanted)                                                                                  \
    do {                                                                                                     \
        CLEANUP(str_deinit) struct str out = STR_INIT(256);                                                  \
        call;                                                                                                \
        ck_assert_str_eq(str_text(&out), wanted);                                                            \
    } while (0)

START_TEST(other_numbers)
{
    SHOWS(human_count(&out, 0), "0");
    SHOWS(human_count(&out, 999), "999");
    SHOWS(human_count(&out, 1234567), "1,234,567");
    SHOWS(human_share(&out, 995000), "99.5%");
    SHOWS(human_share(&out, 1), "0.0001%");
    SHOWS(human_share(&out, 1000000), "100%");
    SHOWS(human_rate(&out, 4320), "1.2/s");
    SHOWS(human_rate(&out, 90), "1.5/min");
    SHOWS(human_rate(&out, 59), "59/h");
    SHOWS(human_bytes(&out, 1023), "1023 B");
    SHOWS(human_bytes(&out, 1536), "1.5 KiB");
    SHOWS(human_bytes(&out, UINT64_C(300) << 20), "300 MiB");
    SHOWS(human_part(&out, 1, 3), "33.3%");
    SHOWS(human_part(&out, 1, 0), "-");
    SHOWS(human_money(&out, NULL), "-");
    SHOWS(human_money(&out, "0.03262962933595089"), "$0.03262");
    SHOWS(human_money(&out, "1234.567890"), "$1234.56");
    SHOWS(human_money(&out, "0.00"), "$0.00");
    SHOWS(human_money(&out, "1.5<script>"), "$1.5");
}
END_TEST

START_TEST(text_has_a_width)
{
    ck_assert_uint_eq(human_width("plain"), 5);
    ck_assert_uint_eq(human_width("größe"), 5);
    ck_assert_uint_eq(human_width("e\xcc\x81"), 1); /* e and a combining accent */
    ck_assert_uint_eq(human_width("東京"), 4);
    ck_assert_uint_eq(human_width("\xff\xfe"), 2);
    SHOWS(human_text(&out,
                     "a\tb\x7f\xe2\x80\xae"
                     "c",
                     0),
          "a?b??c");
    SHOWS(human_text(&out, "bad \xff end", 0), "bad \xef\xbf\xbd end");
    SHOWS(human_text(&out, "cut \xe6\x9d", 0), "cut \xef\xbf\xbd");
    SHOWS(human_text(&out, "abcdef", 6), "abcdef");
    SHOWS(human_text(&out, "abcdef", 4), "abc…");
    SHOWS(human_text(&out, "東京都", 4), "東…");
}
END_TEST

START_TEST(columns_are_aligned_by_width)
{
    CLEANUP(grid_deinit) struct grid g;
    CLEANUP(str_deinit) struct str text = STR_INIT(4096);
    static const char *const cells[] = {"name", "n", "東京", "1", "größe", "1000", "x", ""};

    grid_init(&g, 2, 1);
    for (unsigned i = 0; i < 8; i++) grid_text(&g, GRID_PLAIN, cells[i]);
    ck_assert_int_eq(grid_print(&g, false, &text), 0);
    ck_assert_str_eq(str_text(&text), "  name      n\n  東京      1\n  größe  1000\n  x\n");
}
END_TEST

int main(void)
{
    return run_suite("table",
                     TESTS(table_is_golden, side_by_side_is_golden, invalid_and_unbalanced_show, durations,
                           other_numbers, text_has_a_width, columns_are_aligned_by_width));
}
