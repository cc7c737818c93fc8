/*
 * How late this machine wakes a process that does nothing else: the yardstick for a load's lag behind its
 * schedule, to be measured at the same time. Wakes every 2 ms until it is told to stop (SIGTERM, SIGINT),
 * then prints one line of JSON: the lateness in nanoseconds.
 *
 *     pause_meter [SECONDS]
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

#include "sim/base/nsec.h"
#include "sim/live/resources.h"
#include "sim/record/histogram.h"

#define STEP_NS (2 * NSEC_PER_MS)

static volatile sig_atomic_t stopped;

static void on_signal(int signal)
{
    stopped = 1;
}

static uint64_t clock_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NSEC_PER_S + (uint64_t)ts.tv_nsec;
}

static void sleep_until(uint64_t at)
{
    struct timespec ts = {.tv_sec = (time_t)(at / NSEC_PER_S), .tv_nsec = (long)(at % NSEC_PER_S)};

    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
}

int main(int argc, char **argv)
{
    static struct histogram late;
    uint64_t next = clock_ns(), end = argc > 1 ? next + strtoull(argv[1], NULL, 10) * NSEC_PER_S : UINT64_MAX;

    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    prctl(PR_SET_TIMERSLACK, 1); /* a load's timers have none either */
    resources_wake_promptly();
    histogram_init(&late);
    while (!stopped && next < end) {
        uint64_t now;

        next += STEP_NS;
        sleep_until(next);
        now = clock_ns();
        if (now < next) continue; /* a signal */
        /* What fell into a long pause is late too, as everything on a schedule is. */
        for (; next + STEP_NS <= now; next += STEP_NS) histogram_record(&late, now - next);
        histogram_record(&late, now - next);
    }
    printf("{\"samples\": %llu, \"p50_ns\": %llu, \"p90_ns\": %llu, \"p99_ns\": %llu, \"p999_ns\": %llu, "
           "\"max_ns\": %llu}\n",
           (unsigned long long)histogram_count(&late), (unsigned long long)histogram_quantile(&late, 500000),
           (unsigned long long)histogram_quantile(&late, 900000),
           (unsigned long long)histogram_quantile(&late, 990000),
           (unsigned long long)histogram_quantile(&late, 999000), (unsigned long long)histogram_max(&late));
    return 0;
}
