/* What the tests of the control plane's wire share: a loop with a deadline. (live_test.h cannot stand beside
 * world.h: both libevent and the world have a `struct event`.) */
#pragma once

#include "sim/base/nsec.h"

#include <check.h>
#include <event2/event.h>
#include <time.h>

/* Runs the loop until `cond` holds; fails the test after a minute. */
#define API_RUN_UNTIL(base, cond)                                                                            \
    do {                                                                                                     \
        nsec_t run_until_ = api_test_now() + 60 * NSEC_PER_S;                                                \
        struct event *tick_ = api_test_tick(base);                                                           \
        while (!(cond)) {                                                                                    \
            ck_assert_msg(api_test_now() < run_until_, "timed out waiting for " #cond);                      \
            event_base_loop(base, EVLOOP_ONCE);                                                              \
        }                                                                                                    \
        event_free(tick_);                                                                                   \
    } while (0)

static inline nsec_t api_test_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (nsec_t)t.tv_sec * NSEC_PER_S + (nsec_t)t.tv_nsec;
}

static inline void api_test_on_tick(evutil_socket_t fd, short what, void *user) {}

static inline struct event *api_test_tick(struct event_base *base)
{
    struct timeval every = {.tv_usec = 10000};
    struct event *tick = event_new(base, -1, EV_PERSIST, api_test_on_tick, NULL);

    event_add(tick, &every);
    return tick;
}

static inline void api_test_run_ms(struct event_base *base, unsigned ms)
{
    nsec_t until = api_test_now() + ms * NSEC_PER_MS;

    API_RUN_UNTIL(base, api_test_now() >= until);
}

/* Runs one suite with one case. */
static inline int api_test_main(const char *name, void (*add)(TCase *tc))
{
    Suite *suite = suite_create(name);
    TCase *tc = tcase_create(name);
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 120);
    add(tc);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
