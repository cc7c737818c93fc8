/*
 * Queues against what is known exactly about them: waiting times of M/M/1, M/M/3, M/G/1 and M/D/1 systems,
 * Little's law, and the distribution of the time in an M/M/1 system. All through a scenario file, from the
 * load's client to an MCP server and back; a deployment of scenarios/queue.json for each.
 *
 * The bounds are confidence intervals over independent replicates: with 99.9 % confidence, by Student's t.
 * Seeds are fixed, so a test that passes does so always.
 */
#include <check.h>
#include <math.h>

#include "tests/virtual/scenario_run.h"

#if defined(__SANITIZE_ADDRESS__)
#define REPLICATES 4
#define STUDENT_T  12.924 /* 3 degrees of freedom */
#define PRECISION  1.0    /* here only that it runs */
#else
#define REPLICATES 20
#define STUDENT_T  3.883 /* 19 degrees of freedom */
#define PRECISION  0.09
#endif

/* Of one replicate; times in ms. */
struct sample {
    double time_ms;     /* mean of mcp.call */
    double rate_per_ms; /* of calls, measured */
    double open_calls;  /* average over time */
};

struct measured {
    struct sample samples[REPLICATES];
    struct histogram *times; /* of all replicates */
};

struct watch {
    double sum;
    uint64_t count;
};

static bool watch_open(void *user, nsec_t now, const struct recorder *recorder)
{
    struct watch *w = user;
    struct ledger_totals t;

    /* Behind the load's end it only drains. */
    if (now > 200 * NSEC_PER_S) return true;
    ledger_totals(recorder_ledger(recorder), ACCOUNT_CALL, &t);
    w->sum += (double)t.open;
    w->count++;
    return true;
}

static struct measured measure(const char *deployment)
{
    struct measured m = {.times = malloc(sizeof *m.times)};

    histogram_init(m.times);
    for (uint32_t i = 0; i < REPLICATES; i++) {
        struct watch watch = {0};
        struct scenario_run_options o = {.path = SCENARIOS "/queue.json",
                                         .deployment = deployment,
                                         .seed = 11,
                                         .replicate = i,
                                         .on_interval = watch_open,
                                         .user = &watch};
        struct scenario_run run;
        const struct histogram *h;

        scenario_run(&run, &o);
        ck_assert_ptr_null(scenario_run_wrong(&run));
        h = recorder_histogram(run.recorder, METRIC_MCP_CALL);
        m.samples[i] = (struct sample){
            .time_ms = (double)histogram_sum(h) / (double)histogram_count(h) / 1e6,
            .rate_per_ms = (double)histogram_count(h) / ((double)run.plan->duration_ns / 1e6),
            .open_calls = watch.sum / (double)watch.count,
        };
        histogram_merge(m.times, h);
        scenario_run_end(&run);
    }
    return m;
}

/* The confidence interval of the mean of n numbers. */
struct interval {
    double mean, half_width;
};

static struct interval interval_of(const double *x)
{
    double sum = 0, squares = 0, mean;

    for (int i = 0; i < REPLICATES; i++) sum += x[i];
    mean = sum / REPLICATES;
    for (int i = 0; i < REPLICATES; i++) squares += (x[i] - mean) * (x[i] - mean);
    return (struct interval){mean, STUDENT_T * sqrt(squares / (REPLICATES - 1) / REPLICATES)};
}

/* That what is expected is within the interval, and that the interval says something. */
static void expect(const char *what, struct interval seen, double expected)
{
    if (fabs(seen.mean - expected) > seen.half_width || seen.half_width > PRECISION * expected)
        ck_abort_msg("%s: %.4f ± %.4f, expected %.4f", what, seen.mean, seen.half_width, expected);
}

/* Waiting time of M/M/c by Erlang's C formula; rates per ms. */
static double erlang_wait_ms(double arrivals, double service_ms, int c)
{
    double offered = arrivals * service_ms, term = 1, sum = 0, waits;

    for (int k = 0; k < c; k++) {
        sum += term;
        term *= offered / (k + 1);
    }
    waits = term * c / (c - offered);
    waits /= sum + waits;
    return waits * service_ms / (c - offered);
}

/* Waiting time of M/G/1 by Pollaczek and Khinchine; the second moment of the service time in ms^2. */
static double pollaczek_khinchine_ms(double arrivals, double service_ms, double second_moment)
{
    return arrivals * second_moment / (2 * (1 - arrivals * service_ms));
}

static void check_wait(const char *deployment, const struct measured *m, double expected_ms,
                       double service_ms)
{
    double waits[REPLICATES];

    for (int i = 0; i < REPLICATES; i++) waits[i] = m->samples[i].time_ms - service_ms;
    expect(deployment, interval_of(waits), expected_ms);
}

static void check_deployment(const char *deployment, double expected_ms, double service_ms)
{
    struct measured m = measure(deployment);

    check_wait(deployment, &m, expected_ms, service_ms);
    free(m.times);
}

START_TEST(the_formulas_agree_with_each_other)
{
    /* M/M/1 is M/G/1 with a second moment of 2 s^2, and its wait is rho s / (1 - rho). */
    ck_assert_double_eq_tol(erlang_wait_ms(0.07, 10, 1), 0.7 * 10 / 0.3, 1e-9);
    ck_assert_double_eq_tol(pollaczek_khinchine_ms(0.07, 10, 200), 0.7 * 10 / 0.3, 1e-9);
    /* M/M/2 at load rho: s rho^2 / (1 - rho^2). */
    ck_assert_double_eq_tol(erlang_wait_ms(0.1, 10, 2), 10 * 0.25 / 0.75, 1e-9);
}
END_TEST

/* The time in the system is exponential. */
static void check_quantiles(const struct measured *m)
{
    static const uint32_t quantiles[] = {100000, 250000, 500000, 750000, 900000, 990000};

    for (size_t i = 0; i < sizeof quantiles / sizeof *quantiles; i++) {
        double q = quantiles[i] / 1e6, expected = -log(1 - q) * 10 / 0.5;
        double seen = (double)histogram_quantile(m->times, quantiles[i]) / 1e6;

        if (fabs(seen - expected) > PRECISION * expected)
            ck_abort_msg("quantile %.2f: %.3f, expected %.3f", q, seen, expected);
    }
}

/* L = rho / (1 - rho); and L = lambda W in each run, up to what looking five times a second leaves. */
static void check_littles_law(const struct measured *m)
{
    double open[REPLICATES], difference[REPLICATES];
    struct interval gap;

    for (int i = 0; i < REPLICATES; i++) {
        open[i] = m->samples[i].open_calls;
        difference[i] = open[i] - m->samples[i].rate_per_ms * m->samples[i].time_ms;
    }
    expect("open calls", interval_of(open), 1);
    gap = interval_of(difference);
    ck_assert_double_le(fabs(gap.mean), gap.half_width);
    ck_assert_double_le(gap.half_width, PRECISION);
}

START_TEST(mm1)
{
    struct measured m = measure("mm1");

    check_wait("mm1", &m, erlang_wait_ms(0.05, 10, 1), 10);
    check_quantiles(&m);
    check_littles_law(&m);
    free(m.times);
}
END_TEST

START_TEST(mm3)
{
    check_deployment("mm3", erlang_wait_ms(0.05, 40, 3), 40);
}
END_TEST

START_TEST(mg1)
{
    check_deployment("mg1", pollaczek_khinchine_ms(0.05, 10, 400.0 / 3), 10);
}
END_TEST

START_TEST(md1_at_a_host)
{
    check_deployment("md1-host", pollaczek_khinchine_ms(0.06, 10, 100), 10);
}
END_TEST

/* One run, and what its calls took in all. */
static double total_ms(const char *deployment, uint64_t *ret_calls)
{
    struct scenario_run_options o = {.path = SCENARIOS "/queue.json", .deployment = deployment, .seed = 11};
    struct scenario_run run;
    const struct histogram *h;
    double total;

    scenario_run(&run, &o);
    ck_assert_ptr_null(scenario_run_wrong(&run));
    h = recorder_histogram(run.recorder, METRIC_MCP_CALL);
    total = (double)histogram_sum(h) / 1e6;
    *ret_calls = histogram_count(h);
    scenario_run_end(&run);
    return total;
}

/* The same arrivals and draws meet the same queue at another place: the same times. */
START_TEST(a_queue_elsewhere)
{
    static const struct {
        const char *one, *other;
        double more_ms; /* for each call */
    } pairs[] = {
        {"mm1", "mm1-tunnel", 0},
        {"mm3-light", "mm3-gate", 0},
        /* The wire there takes what the core takes. 501 bytes at 60 kB/s come back, which never wait: they
         * are further apart than they take. */
        {"md1-host", "md1-link", 8.35},
    };
    uint64_t calls[2];
    double one = total_ms(pairs[_i].one, &calls[0]), other = total_ms(pairs[_i].other, &calls[1]);

    ck_assert_uint_eq(calls[0], calls[1]);
    ck_assert_double_eq_tol(other, one + pairs[_i].more_ms * (double)calls[0], 1e-6 * one);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("queues");
    TCase *tc = tcase_create("queues");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 300);
    tcase_add_test(tc, the_formulas_agree_with_each_other);
    tcase_add_test(tc, mm1);
    tcase_add_test(tc, mm3);
    tcase_add_test(tc, mg1);
    tcase_add_test(tc, md1_at_a_host);
    tcase_add_loop_test(tc, a_queue_elsewhere, 0, 3);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
