/*
 * What a sample costs: recorder_record() and its neighbours, each beside a plain array increment in the same
 * run, so that the ratio holds on any machine. Prints nanoseconds an operation; fails if a sample takes 20 ns
 * or more.
 */
#include "sim/base/cleanup.h"
#include "sim/base/prng.h"
#include "sim/record/recorder.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define N_VALUES (1u << 12)
#define ROUNDS   4000u
#define REPEATS  5

#define SAMPLE_PS_MAX 20000u

static nsec_t values[N_VALUES];
static uint64_t plain[N_VALUES];

static uint64_t clock_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NSEC_PER_S + (uint64_t)ts.tv_nsec;
}

/* The yardstick: a load, an index and an increment in memory. */
static void increment(struct recorder *r)
{
    for (uint32_t i = 0; i < N_VALUES; i++) {
        plain[values[i] & (N_VALUES - 1)]++;
        __asm__ volatile("" ::: "memory");
    }
}

static void record(struct recorder *r)
{
    for (uint32_t i = 0; i < N_VALUES; i++) recorder_record(r, METRIC_TOOL_CALL, values[i]);
}

static void count(struct recorder *r)
{
    for (uint32_t i = 0; i < N_VALUES; i++) recorder_count(r, COUNTER_SPILLED_BYTES, values[i]);
}

static void open_and_end(struct recorder *r)
{
    for (uint32_t i = 0; i < N_VALUES; i++)
        recorder_end(r, ACCOUNT_CALL, recorder_open(r, ACCOUNT_CALL), LEDGER_COMPLETED);
}

static void mark_unsampled(struct recorder *r)
{
    for (uint32_t i = 0; i < N_VALUES; i++) recorder_mark(r, values[i], MARK_QUEUED, i);
}

/* The best of a few repeats, in picoseconds an operation: what the machine can do when it is let. */
static uint64_t measure(void (*run)(struct recorder *r), struct recorder *r)
{
    uint64_t best = UINT64_MAX;

    for (int repeat = 0; repeat < REPEATS; repeat++) {
        uint64_t start = clock_ns(), taken;

        for (uint32_t round = 0; round < ROUNDS; round++) run(r);
        taken = (clock_ns() - start) * 1000 / ((uint64_t)ROUNDS * N_VALUES);
        if (taken < best) best = taken;
    }
    return best;
}

static uint64_t report(const char *name, void (*run)(struct recorder *r), struct recorder *r,
                       uint64_t yardstick)
{
    uint64_t ps = measure(run, r);

    printf("%-36s %4llu.%03llu ns", name, (unsigned long long)(ps / 1000), (unsigned long long)(ps % 1000));
    if (yardstick)
        printf("  %3llu.%llu x", (unsigned long long)(ps / yardstick),
               (unsigned long long)(ps * 10 / yardstick % 10));
    printf("\n");
    return ps;
}

int main(void)
{
    static const struct recorder_options options = {
        .ledger = {.slots_max = {[ACCOUNT_CALL] = 1000}}, .marks_max = 1, .sample_every = 1000};
    CLEANUP(recorder_free_p) struct recorder *r = NULL;
    struct prng p = prng_stream(1, 0, "bench_record", 0, 0);
    uint64_t yardstick, sample;

    /* Latencies as they come: from 50 us to 50 ms, of any order of magnitude alike. */
    for (uint32_t i = 0; i < N_VALUES; i++)
        values[i] = 50000 + (prng_below(&p, 50000000) >> prng_below(&p, 10));
    if (recorder_new(&options, &r) < 0) return 1;
    yardstick = report("plain array increment", increment, r, 0);
    sample = report("recorder_record", record, r, yardstick);
    report("recorder_count", count, r, yardstick);
    report("recorder_open + recorder_end", open_and_end, r, yardstick);
    report("recorder_mark, call not sampled", mark_unsampled, r, yardstick);
    return sample < SAMPLE_PS_MAX ? 0 : 1;
}
