/* What the tests of streams share: a loop with a deadline, and a stream's user that keeps what it is told. */
#pragma once

#include "sim/base/nsec.h"
#include "sim/live/stream.h"
#include "sim/live/tcp.h"

#include <check.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Runs the loop until `cond` holds; fails the test after 20 s. */
#define RUN_UNTIL(base, cond)                                                                                \
    do {                                                                                                     \
        nsec_t run_until_ = live_test_now() + 20 * NSEC_PER_S;                                               \
        while (!(cond)) {                                                                                    \
            ck_assert_msg(live_test_now() < run_until_, "timed out waiting for " #cond);                     \
            live_test_turn(base);                                                                            \
        }                                                                                                    \
    } while (0)

static inline nsec_t live_test_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * NSEC_PER_S + t.tv_nsec;
}

static inline void live_test_on_timer(evutil_socket_t fd, short what, void *user) {}

/* One turn of the loop, of at most 20 ms. */
static inline void live_test_turn(struct event_base *base)
{
    struct timeval limit = {.tv_usec = 20000};
    struct event timer;

    evtimer_assign(&timer, base, live_test_on_timer, NULL);
    event_add(&timer, &limit);
    event_base_loop(base, EVLOOP_ONCE);
    event_del(&timer);
}

static inline void live_test_run_ms(struct event_base *base, int ms)
{
    nsec_t until = live_test_now() + ms * NSEC_PER_MS;

    while (live_test_now() < until) live_test_turn(base);
}

/* Runs whatever lingers to its end and frees the base. */
static inline void live_test_base_free(struct event_base *base)
{
    event_base_dispatch(base);
    event_base_free(base);
}

/* A user of one stream. */
struct probe {
    struct stream *s;
    struct evbuffer *got;
    bool consume; /* take and consume what comes */
    int ready, data, writable, eof, ended;
    enum stream_end end;
    char what[300];
    bool free_in_data, free_in_ended;
};

static void probe_ready(void *user)
{
    struct probe *p = user;
    p->ready++;
}

static void probe_data(void *user, struct evbuffer *in)
{
    struct probe *p = user;
    size_t n = evbuffer_get_length(in);

    p->data++;
    if (p->free_in_data) {
        stream_free(p->s, false);
        p->s = NULL;
        return;
    }
    if (!p->consume) return;
    evbuffer_add_buffer(p->got, in);
    stream_consumed(p->s, n);
}

static void probe_writable(void *user)
{
    struct probe *p = user;
    p->writable++;
}

static void probe_eof(void *user)
{
    struct probe *p = user;
    ck_assert_int_eq(p->ended, 0);
    p->eof++;
}

static void probe_ended(void *user, enum stream_end end, const char *what)
{
    struct probe *p = user;
    p->ended++;
    p->end = end;
    snprintf(p->what, sizeof p->what, "%s", what ? what : "");
    if (!p->free_in_ended) return;
    stream_free(p->s, false);
    p->s = NULL;
}

static const struct stream_handler probe_handler = {probe_ready, probe_data, probe_writable, probe_eof,
                                                    probe_ended};

static inline void probe_init(struct probe *p, struct stream *s)
{
    memset(p, 0, sizeof *p);
    p->s = s;
    p->consume = true;
    p->got = evbuffer_new();
    if (s) stream_set_handler(s, &probe_handler, p);
}

static inline void probe_deinit(struct probe *p, bool abort)
{
    stream_free(p->s, abort);
    evbuffer_free(p->got);
}

static inline size_t probe_len(const struct probe *p)
{
    return evbuffer_get_length(p->got);
}

static inline void probe_write(struct probe *p, const void *bytes, size_t len)
{
    struct evbuffer *b = evbuffer_new();

    evbuffer_add(b, bytes, len);
    stream_write(p->s, b);
    ck_assert_uint_eq(evbuffer_get_length(b), 0);
    evbuffer_free(b);
}

/* Bytes that tell their place. */
static inline char pattern_at(size_t i)
{
    return (char)(i * 31 + (i >> 8) * 7 + (i >> 16));
}

static inline void probe_write_pattern(struct probe *p, size_t from, size_t len)
{
    char *bytes = malloc(len);

    for (size_t i = 0; i < len; i++) bytes[i] = pattern_at(from + i);
    probe_write(p, bytes, len);
    free(bytes);
}

/* Checks and throws away what was got, as the pattern from `from` on. Its length. */
static inline size_t probe_check_pattern(struct probe *p, size_t from)
{
    size_t len = probe_len(p);
    const char *bytes = (const char *)evbuffer_pullup(p->got, -1);

    for (size_t i = 0; i < len; i++)
        if (bytes[i] != pattern_at(from + i)) ck_abort_msg("byte %zu is wrong", from + i);
    evbuffer_drain(p->got, len);
    return len;
}

static inline bool probe_is(struct probe *p, const char *text)
{
    return probe_len(p) == strlen(text) && memcmp(evbuffer_pullup(p->got, -1), text, strlen(text)) == 0;
}

/* Runs one suite with one case. */
static inline int live_test_main(const char *name, void (*add)(TCase *tc))
{
    Suite *suite = suite_create(name);
    TCase *tc = tcase_create(name);
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 60);
    add(tc);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
