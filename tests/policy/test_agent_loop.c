#include "sim/policy/agent_loop.h"

#include <check.h>
#include <stdlib.h>

static struct plan_call calls_a[] = {
    {.tool = TOOL_BASH,
     .count = 2,
     .execution_ns = {.kind = DIST_UNIFORM, .lo = 1000, .hi = 2000},
     .output_chars = {.kind = DIST_UNIFORM, .lo = 1, .hi = 1000000}},
    {.tool = TOOL_MCP, .count = 1, .mcp = 1, .output_chars = {.lo = 77}, .output_given = true},
};
static struct plan_call calls_b[] = {{.tool = TOOL_READ, .count = 1}};
static struct plan_step steps[] = {
    {.model_ns = {.kind = DIST_UNIFORM, .lo = 10, .hi = 1000000}, .calls = calls_a, .call_count = 2},
    {.model_ns = {.lo = 20}, .calls = calls_b, .call_count = 1},
};
static struct plan_turn turns[] = {
    {.steps = steps, .step_count = 2, .answer_model_ns = {.lo = 30}, .answer_bytes = 500},
    {.answer_model_ns = {.lo = 40}, .answer_bytes = 600},
};
static struct plan_script scripts[] = {{.name = "s", .turns = turns, .turn_count = 2}};
static struct plan plan = {.seed = 4, .scripts = scripts, .script_count = 1};
static struct agent_scripts agents;

static void setup(void)
{
    agent_scripts_init(&agents, &plan);
}

START_TEST(a_session_goes_through_its_script)
{
    struct agent_loop l = {0};
    struct agent_calls walk;
    struct agent_call call;
    uint32_t bytes = 0;

    ck_assert_uint_ge(agent_turn_begin(&agents, &l, 9), 10);
    ck_assert(agent_model_done(&agents, &l, 9, &walk, &bytes));
    for (uint32_t i = 0; i < 2; i++) {
        ck_assert(agent_calls_next(&walk, &call));
        ck_assert(call.tool == TOOL_BASH && call.index == i && call.execution_ns >= 1000);
    }
    ck_assert(agent_calls_next(&walk, &call));
    ck_assert(call.tool == TOOL_MCP && call.mcp == 1 && call.output_given && call.output_chars == 77);
    ck_assert(!agent_calls_next(&walk, &call));
    ck_assert_uint_eq(agent_calls_done(&agents, &l, 9), 20);
    ck_assert(agent_model_done(&agents, &l, 9, &walk, &bytes));
    ck_assert(agent_calls_next(&walk, &call) && call.tool == TOOL_READ);
    ck_assert_uint_eq(agent_calls_done(&agents, &l, 9), 30);
    ck_assert(!agent_model_done(&agents, &l, 9, &walk, &bytes));
    ck_assert_uint_eq(bytes, 500);
    ck_assert(l.phase == AGENT_IDLE && l.turn == 1);
    ck_assert_uint_eq(agent_turn_begin(&agents, &l, 9), 40);
    ck_assert(!agent_model_done(&agents, &l, 9, &walk, &bytes));
    ck_assert_uint_eq(bytes, 600);
    agent_turn_begin(&agents, &l, 9); /* the script's first turn again */
    ck_assert(agent_model_done(&agents, &l, 9, &walk, &bytes));
    agent_turn_break(&l);
    ck_assert(l.phase == AGENT_IDLE && l.turn == 3 && l.step == 0);
}
END_TEST

static uint64_t first_output(uint64_t ordinal, uint32_t turn)
{
    struct agent_loop l = {.turn = turn};
    struct agent_calls walk;
    struct agent_call call;
    uint32_t bytes;

    agent_turn_begin(&agents, &l, ordinal);
    agent_model_done(&agents, &l, ordinal, &walk, &bytes);
    agent_calls_next(&walk, &call);
    return call.output_chars;
}

START_TEST(draws_follow_ordinal_and_place)
{
    struct agent_loop l = {0}, m = {.turn = 1};

    ck_assert_uint_eq(first_output(5, 0), first_output(5, 0));
    ck_assert_uint_ne(first_output(5, 0), first_output(6, 0));
    ck_assert_uint_ne(first_output(5, 0), first_output(5, 2));
    ck_assert_uint_ne(agent_call_key(&l, 1, 0), agent_call_key(&l, 1, 1));
    ck_assert_uint_ne(agent_call_key(&l, 1, 0), agent_call_key(&m, 1, 0));
    ck_assert_uint_eq(agent_script(&agents, 0), 0);
    ck_assert_uint_eq(agent_script(&agents, 12345), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("agent_loop");
    TCase *tc = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_add_test(tc, a_session_goes_through_its_script);
    tcase_add_test(tc, draws_follow_ordinal_and_place);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
