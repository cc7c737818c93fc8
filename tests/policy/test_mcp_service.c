#include "sim/policy/mcp_service.h"

#include "sim/base/heap.h"

#include <check.h>
#include <stdlib.h>

#define MS NSEC_PER_MS

START_TEST(serves_in_order_of_arrival)
{
    struct gate g;
    struct ticket t[5] = {0};

    gate_init(&g, 2, 2);
    ck_assert_int_eq(gate_enter(&g, &t[0]), GATE_IN);
    ck_assert_int_eq(gate_enter(&g, &t[1]), GATE_IN);
    ck_assert_int_eq(gate_enter(&g, &t[2]), GATE_E_WAITS);
    ck_assert_int_eq(gate_enter(&g, &t[3]), GATE_E_WAITS);
    ck_assert_int_eq(gate_enter(&g, &t[4]), GATE_E_FULL);
    ck_assert_int_eq(t[4].state, TICKET_OUT);
    ck_assert_ptr_eq(gate_leave(&g, &t[1]), &t[2]);
    ck_assert_ptr_eq(gate_leave(&g, &t[0]), &t[3]);
    ck_assert_ptr_null(gate_leave(&g, &t[3]));
    ck_assert_uint_eq(g.inside, 1);
    ck_assert_int_eq(gate_enter(&g, &t[3]), GATE_IN);
}
END_TEST

START_TEST(a_waiting_one_may_leave)
{
    struct gate g;
    struct ticket t[4] = {0};

    gate_init(&g, 0, 3);
    for (int i = 0; i < 4; i++) gate_enter(&g, &t[i]);
    ck_assert_uint_eq(g.inside, 1);
    ck_assert_uint_eq(g.waiting, 3);
    ck_assert_ptr_null(gate_leave(&g, &t[2]));
    ck_assert_uint_eq(g.waiting, 2);
    ck_assert_ptr_eq(gate_leave(&g, &t[0]), &t[1]);
    ck_assert_ptr_eq(gate_leave(&g, &t[1]), &t[3]);
    ck_assert_ptr_null(gate_leave(&g, &t[3]));
    ck_assert_uint_eq(g.inside, 0);
}
END_TEST

static struct plan_mcp server(const char *name)
{
    return (struct plan_mcp){.name = name,
                             .service_ns = dist_exponential(10 * MS),
                             .output_chars = dist_uniform(100, 200),
                             .concurrency = 1,
                             .queue_max = 100000,
                             .error_ppm = 250000};
}

START_TEST(draws_belong_to_the_request)
{
    struct plan_mcp plan = server("github"), other_plan = server("jira");
    struct mcp_service s, other;
    struct mcp_request request = {.call_id = 5, .attempt_id = 9, .own_output = true}, retry = request;
    struct mcp_job a, b;

    mcp_service_init(&s, &plan, 42, 0);
    mcp_service_init(&other, &other_plan, 42, 0);
    mcp_service_draw(&s, &request, &a);
    mcp_service_draw(&s, &request, &b);
    ck_assert_uint_eq(a.service_ns, b.service_ns);
    ck_assert_uint_eq(a.output_chars, b.output_chars);
    ck_assert(a.output_chars >= 100 && a.output_chars <= 200);

    retry.attempt_id = 10;
    mcp_service_draw(&s, &retry, &b);
    ck_assert_uint_ne(a.service_ns, b.service_ns);
    mcp_service_draw(&other, &request, &b);
    ck_assert_uint_ne(a.service_ns, b.service_ns);
    /* The call's id changes nothing, unless there is no other. */
    retry = request;
    retry.call_id = 77;
    mcp_service_draw(&s, &retry, &b);
    ck_assert_uint_eq(a.service_ns, b.service_ns);
    retry.attempt_id = 0;
    mcp_service_draw(&s, &retry, &b);
    ck_assert_uint_ne(a.service_ns, b.service_ns);

    request.own_output = false;
    request.output_chars = 12345;
    request.extra_service_ns = 7 * MS;
    mcp_service_draw(&s, &request, &b);
    ck_assert_uint_eq(b.output_chars, 12345);
    ck_assert_uint_eq(b.service_ns, a.service_ns + 7 * MS);
}
END_TEST

START_TEST(errors_and_faults_have_their_shares)
{
    struct plan_mcp plan = server("github");
    struct mcp_service s;
    int errors = 0, faults = 0, both = 0;
    const int n = 40000;

    mcp_service_init(&s, &plan, 1, 2);
    for (int i = 0; i < n; i++) {
        struct mcp_request request = {.call_id = 3, .attempt_id = i + 1};
        struct mcp_job job;
        bool fault = mcp_service_fault_hits(&s, &request, 400000);

        mcp_service_draw(&s, &request, &job);
        errors += job.fails;
        faults += fault;
        both += job.fails && fault;
    }
    /* Standard errors: 87, 98, 60. */
    ck_assert_int_lt(abs(errors - n / 4), 350);
    ck_assert_int_lt(abs(faults - n * 2 / 5), 400);
    ck_assert_int_lt(abs(both - n / 10), 240);
}
END_TEST

struct station {
    struct mcp_service service;
    struct heap ends;
    struct mcp_job *jobs;
    nsec_t *came;
    uint64_t waited, begun, seq;
};

static void begin(struct station *st, struct mcp_job *job, nsec_t now)
{
    struct heap_item item = {.at = now + job->service_ns, .seq = st->seq++, .payload = job - st->jobs};

    st->waited += now - st->came[job - st->jobs];
    st->begun++;
    ck_assert_int_eq(heap_push(&st->ends, &item), 0);
}

/* Mean wait of `n` Poisson arrivals in nanoseconds. */
static nsec_t mean_wait(struct plan_mcp *plan, nsec_t gap, uint64_t n)
{
    struct station st = {.jobs = calloc(n, sizeof *st.jobs), .came = calloc(n, sizeof *st.came)};
    struct prng arrivals = prng_stream(99, 0, "arrivals", plan->concurrency, 0);
    nsec_t next = 0;
    uint64_t come = 0;

    mcp_service_init(&st.service, plan, 4, 0);
    heap_init(&st.ends, plan->concurrency);
    while (st.begun < n) {
        const struct heap_item *first = heap_peek(&st.ends);

        if (first && (come == n || first->at <= next)) {
            struct heap_item end;
            struct mcp_job *job;

            heap_pop(&st.ends, &end);
            job = mcp_service_leave(&st.service, &st.jobs[end.payload]);
            if (job) begin(&st, job, end.at);
            continue;
        }
        mcp_service_draw(&st.service, &(struct mcp_request){.call_id = come, .own_output = true},
                         &st.jobs[come]);
        st.came[come] = next;
        if (mcp_service_offer(&st.service, &st.jobs[come]) == GATE_IN) begin(&st, &st.jobs[come], next);
        next += prng_exponential(&arrivals, gap);
        come++;
    }
    heap_deinit(&st.ends);
    free(st.jobs);
    free(st.came);
    return st.waited / st.begun;
}

/* Within 4 % of `want_us`. */
static void check_wait(struct plan_mcp *plan, nsec_t gap, uint64_t want_us)
{
    nsec_t wait = mean_wait(plan, gap, 250000), want = want_us * NSEC_PER_US;

    ck_assert_uint_gt(wait, want - want / 25);
    ck_assert_uint_lt(wait, want + want / 25);
}

START_TEST(mean_waits_are_those_of_the_formulas)
{
    struct plan_mcp plan = server("m");
    const nsec_t gap = 14285714; /* a load of 0.7 */

    /* M/M/1: service · 0.7 / 0.3. */
    check_wait(&plan, gap, 23333);
    /* M/D/1: half of that. */
    plan.service_ns = dist_constant(10 * MS);
    check_wait(&plan, gap, 11667);
    /* M/G/1, uniform in 0 … 20 ms: load · E[S²] / (2 · E[S] · 0.3). */
    plan.service_ns = dist_uniform(0, 20 * MS);
    check_wait(&plan, gap, 15556);
    /* M/M/3 at 0.7 each: Erlang's C of 2.1 with 3 servers is 0.4923; 0.4923 · 10 ms / (3 - 2.1). */
    plan.concurrency = 3;
    plan.service_ns = dist_exponential(10 * MS);
    check_wait(&plan, gap / 3, 5470);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mcp_service");
    TCase *tc = tcase_create("mcp_service");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, serves_in_order_of_arrival);
    tcase_add_test(tc, a_waiting_one_may_leave);
    tcase_add_test(tc, draws_belong_to_the_request);
    tcase_add_test(tc, errors_and_faults_have_their_shares);
    tcase_add_test(tc, mean_waits_are_those_of_the_formulas);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
