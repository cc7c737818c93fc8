#include "sim/policy/gate.h"

#include "tests/base/suite.h"

START_TEST(lets_so_many_in_and_keeps_so_many_waiting)
{
    struct ticket t[5] = {0};
    struct gate g;

    gate_init(&g, 2, 2);
    ck_assert_int_eq(gate_enter(&g, &t[0]), GATE_IN);
    ck_assert_int_eq(gate_enter(&g, &t[1]), GATE_IN);
    ck_assert_int_eq(gate_enter(&g, &t[2]), GATE_E_WAITS);
    ck_assert_int_eq(gate_enter(&g, &t[3]), GATE_E_WAITS);
    ck_assert_int_eq(gate_enter(&g, &t[4]), GATE_E_FULL);
    ck_assert_int_eq(t[4].state, TICKET_OUT);
    ck_assert_uint_eq(g.inside, 2);
    ck_assert_uint_eq(g.waiting, 2);
}
END_TEST

START_TEST(who_came_first_is_let_in_first)
{
    struct ticket t[4] = {0};
    struct gate g;

    gate_init(&g, 1, 3);
    for (int i = 0; i < 4; i++) gate_enter(&g, &t[i]);
    for (int i = 0; i < 3; i++) {
        ck_assert_ptr_eq(gate_leave(&g, &t[i]), &t[i + 1]);
        ck_assert_int_eq(t[i].state, TICKET_OUT);
        ck_assert_int_eq(t[i + 1].state, TICKET_INSIDE);
        ck_assert_uint_eq(g.inside, 1);
        ck_assert_uint_eq(g.waiting, (uint32_t)(2 - i));
    }
    ck_assert_ptr_null(gate_leave(&g, &t[3]));
    ck_assert_uint_eq(g.inside, 0);
    /* It may come again. */
    ck_assert_int_eq(gate_enter(&g, &t[3]), GATE_IN);
}
END_TEST

START_TEST(who_gives_up_waiting_lets_nobody_in)
{
    struct ticket t[4] = {0};
    struct gate g;

    gate_init(&g, 1, 2);
    for (int i = 0; i < 3; i++) gate_enter(&g, &t[i]);
    ck_assert_ptr_null(gate_leave(&g, &t[1]));
    ck_assert_uint_eq(g.inside, 1);
    /* Its place in the queue is free again, behind the others. */
    ck_assert_int_eq(gate_enter(&g, &t[3]), GATE_E_WAITS);
    ck_assert_ptr_eq(gate_leave(&g, &t[0]), &t[2]);
    ck_assert_ptr_eq(gate_leave(&g, &t[2]), &t[3]);
}
END_TEST

START_TEST(a_gate_without_width_or_queue)
{
    struct ticket t[2] = {0};
    struct gate g;

    gate_init(&g, 0, 0);
    ck_assert_int_eq(gate_enter(&g, &t[0]), GATE_IN);
    ck_assert_int_eq(gate_enter(&g, &t[1]), GATE_E_FULL);
    ck_assert_ptr_null(gate_leave(&g, &t[0]));
    ck_assert_int_eq(gate_enter(&g, &t[1]), GATE_IN);
}
END_TEST

SUITE_MAIN("gate", lets_so_many_in_and_keeps_so_many_waiting, who_came_first_is_let_in_first,
           who_gives_up_waiting_lets_nobody_in, a_gate_without_width_or_queue)
