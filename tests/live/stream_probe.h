/*
 * A user of a stream, for tests: it notes what it is told, checks the order of the contract, writes a pattern
 * and checks the pattern that arrives.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/live/stream.h"

struct event_base;
struct evbuffer;

enum {
    PROBE_HOLD = 1 << 0,        /* does not drain */
    PROBE_ECHO = 1 << 1,        /* writes back what comes, and shuts down at eof */
    PROBE_SHUT_AT_EOF = 1 << 2, /* shuts down at eof */
    PROBE_KEEP = 1 << 3,        /* keeps what comes in `got` */
    PROBE_CHECK = 1 << 4,       /* what comes must be the pattern */
    PROBE_FREE_AT_END = 1 << 5, /* frees the stream in `ended`, with `stream` NULL then */
};

struct probe {
    struct stream *stream;
    unsigned flags;
    struct evbuffer *got;
    int ready, eof, ended, writable;
    enum stream_end end;
    char what[200];
    uint64_t received;      /* bytes */
    uint64_t sent, to_send; /* bytes of the pattern */
    bool shut_when_sent;
    bool bad; /* a wrong byte came, or a callback out of order */
};

/* Becomes the handler of `s`. `p` must outlive the stream, or probe_deinit() must come before. */
void probe_init(struct probe *p, struct stream *s, unsigned flags);

/* Frees the stream, if it is still there, and what `p` holds. */
void probe_deinit(struct probe *p);

/* Writes `len` bytes of the pattern, never with more than 128 KiB pending. */
void probe_send(struct probe *p, uint64_t len, bool then_shut);

/* Writes a text. */
void probe_puts(struct probe *p, const char *text);
void probe_write(struct probe *p, const void *bytes, size_t len);

/* Drains what was held, and goes on draining. */
void probe_resume(struct probe *p);

/* Byte `i` of the pattern. */
uint8_t probe_pattern(uint64_t i);

/* Runs the loop until `*flag` is not zero, or 8 s have passed; whether it is. */
bool run_until(struct event_base *base, const int *flag);

/* Runs the loop until `*count` has reached `enough`, or 32 s have passed; whether it has. */
bool run_until_count(struct event_base *base, const uint64_t *count, uint64_t enough);

/* Runs 2,000 turns of the loop without waiting. */
void run_idle(struct event_base *base);
