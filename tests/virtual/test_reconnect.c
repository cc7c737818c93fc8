/*
 * When connectors come back after they lost the edge, against the closed form, through a scenario file
 * (scenarios/reconnect.json): 2,000 connectors at once, compared by the distance of Kolmogorov and Smirnov.
 *
 * With the defaults a connection waits U[0, 2 s) in its own stage; the first of a connector's that has done
 * so starts the shared timer of U[0, 20 s), which restarts all that wait for it.
 */
#include <check.h>
#include <math.h>

#include "tests/virtual/scenario_run.h"

#define CONNECTORS  2000
#define CONNECTIONS 4
#define WAITS       6 /* of number 0, looked at */
#define LOST_AT     (60 * NSEC_PER_S)
/* Two round trips and the registration's way, 1 ms each way. */
#define DIAL_NS (5 * NSEC_PER_MS)

/* A distance above this comes about once in a thousand runs: 1.95 / sqrt(n). */
#define KS_LIMIT 0.0436

static struct {
    nsec_t back_at[CONNECTORS][CONNECTIONS]; /* first registration after the loss, as the edge sees it */
    nsec_t refused_at[CONNECTORS][WAITS + 1];
    uint32_t refusals[CONNECTORS];
    uint32_t tags_seen; /* a bit for each connection's tag that was refused */
} seen;

static void watch(void *user, uint64_t number, nsec_t now, const struct event *ev)
{
    uint32_t connector = ADDR_ORDINAL(ev->self);

    (void)user, (void)number;
    if (ev->type != EVENT_MSG) return;
    if (ev->self == ADDR(ROLE_EDGE, 0) && ev->from && ev->msg.kind == M_REGISTER && now > LOST_AT) {
        nsec_t *at = &seen.back_at[ADDR_ORDINAL(ev->from)][ev->msg.b];
        if (!*at) *at = now;
    }
    if (ADDR_ROLE(ev->self) == ROLE_CONNECTOR && ev->msg.type == MSG_RESET && ev->msg.a == RESET_REFUSED) {
        seen.tags_seen |= 1u << ev->tag;
        if (seen.refusals[connector] <= WAITS) seen.refused_at[connector][seen.refusals[connector]++] = now;
    }
}

static void run(const char *deployment)
{
    struct scenario_run_options o = {
        .path = SCENARIOS "/reconnect.json", .deployment = deployment, .seed = 5, .on_event = watch};
    struct scenario_run r;

    scenario_run(&r, &o);
    ck_assert_ptr_null(scenario_run_wrong(&r));
    scenario_run_end(&r);
}

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

/* The distance between what was seen, n = CONNECTORS, and a distribution function with one parameter. */
static double ks_distance(double *x, double (*cdf)(double x, double parameter), double parameter)
{
    double most = 0;

    qsort(x, CONNECTORS, sizeof *x, by_value);
    for (int i = 0; i < CONNECTORS; i++) {
        double f = cdf(x[i], parameter);

        most = fmax(most, fmax(fabs(f - (double)i / CONNECTORS), fabs((double)(i + 1) / CONNECTORS - f)));
    }
    return most;
}

static double uniform(double x, double width)
{
    return x <= 0 ? 0 : x >= width ? 1 : x / width;
}

/* The integral from 0 to x of the distribution function of the least of k numbers from U[0, 2). */
static double integral_of_least(double x, double k)
{
    if (x <= 0) return 0;
    if (x >= 2) return x - 2 / (k + 1);
    return x - 2 / (k + 1) * (1 - pow(1 - x / 2, k + 1));
}

/* The least of k numbers from U[0, 2), plus one from U[0, 20). */
static double two_stages(double x, double k)
{
    return (integral_of_least(x, k) - integral_of_least(x - 20, k)) / 20;
}

/* When the first connection of connector i was dialed, after the loss. */
static double first_back_s(uint32_t i, uint32_t connections)
{
    nsec_t first = NSEC_MAX;

    for (uint32_t k = 0; k < connections; k++) {
        ck_assert_uint_ne(seen.back_at[i][k], 0);
        first = nsec_min(first, seen.back_at[i][k]);
    }
    return (double)(first - LOST_AT - DIAL_NS) / 1e9;
}

START_TEST(the_closed_form_is_a_distribution)
{
    /* By hand: E = 2/5 + 10 for four; the median of one is where (x - 1) / 20 = 1/2. */
    double mean = 0;

    for (int i = 0; i < 22000; i++) mean += (1 - two_stages((i + 0.5) / 1000, 4)) / 1000;
    ck_assert_double_eq_tol(mean, 10.4, 1e-5);
    ck_assert_double_eq_tol(two_stages(11, 1), 0.5, 1e-12);
    ck_assert_double_eq_tol(two_stages(22, 4), 1, 1e-12);
}
END_TEST

START_TEST(one_connection_lost_alone)
{
    double waits[CONNECTORS];

    run("alone");
    for (uint32_t i = 0; i < CONNECTORS; i++) waits[i] = first_back_s(i, 1);
    ck_assert_double_lt(ks_distance(waits, two_stages, 1), KS_LIMIT);
    ck_assert_double_lt(waits[CONNECTORS - 1], 22);
    /* The limit would tell one stage from two, and one connection from four. */
    ck_assert_double_gt(ks_distance(waits, uniform, 20), KS_LIMIT);
}
END_TEST

START_TEST(all_lost_at_once)
{
    double waits[CONNECTORS], share;
    int together = 0;

    run("all-at-once");
    for (uint32_t i = 0; i < CONNECTORS; i++) {
        int same = 0;

        waits[i] = first_back_s(i, CONNECTIONS);
        for (uint32_t k = 1; k < CONNECTIONS; k++) same += seen.back_at[i][k] == seen.back_at[i][0];
        together += same == CONNECTIONS - 1;
    }
    ck_assert_double_lt(ks_distance(waits, two_stages, CONNECTIONS), KS_LIMIT);
    /* All four come back at once unless the timer fires before the last of them waits for it: with the range
     * of four numbers from U[0, 2), 1.2 on average, 1 - 1.2 / 20. Within 3.3 standard deviations. */
    share = (double)together / CONNECTORS;
    ck_assert_double_eq_tol(share, 0.94, 3.3 * sqrt(0.94 * 0.06 / CONNECTORS));
}
END_TEST

START_TEST(number_0_has_one_stage)
{
    double waits[CONNECTORS];

    run("number-0");
    for (int n = 0; n < WAITS; n++) {
        /* The nth wait is U[0, 2^n s), up to 2^5; a refusal takes 1 ms there and back. */
        double width = n < 5 ? 2 << n : 32;

        for (uint32_t i = 0; i < CONNECTORS; i++) {
            ck_assert_uint_gt(seen.refusals[i], n + 1);
            waits[i] = (double)(seen.refused_at[i][n + 1] - seen.refused_at[i][n] - 2 * NSEC_PER_MS) / 1e9;
        }
        if (ks_distance(waits, uniform, width) > KS_LIMIT)
            ck_abort_msg("wait %d is not uniform in %g s", n, width);
    }
    /* The others are not dialed before it is registered. */
    ck_assert_uint_eq(seen.tags_seen, 1u << 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reconnect");
    TCase *tc = tcase_create("reconnect");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, the_closed_form_is_a_distribution);
    tcase_add_test(tc, one_connection_lost_alone);
    tcase_add_test(tc, all_lost_at_once);
    tcase_add_test(tc, number_0_has_one_stage);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
