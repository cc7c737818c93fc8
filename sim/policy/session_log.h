/*
 * The events of many sessions, stored compactly: 16 bytes an event, 32 for one whose two numbers are large.
 *
 * Append only. An event is found by its sequence number, from 1, at a cost that does not depend on how long
 * ago it was (one step for each 240 events behind it, but for the first 128). The kinds are the caller's:
 * numbers below LOG_KINDS.
 *
 * An event that waits for an answer can be bound to its owner, a 32-bit handle of the caller; while it is,
 * the owner stands in the place of its time, which the caller must know itself. So an answer finds its owner
 * at once, without a table beside the log.
 */
#pragma once

#include "sim/base/nsec.h"
#include "sim/base/slab.h"

#include <stddef.h>
#include <stdint.h>

#define LOG_KINDS 32
#define LOG_TOOLS 4
#define LOG_FLAGS 8

/* The latest time that is kept exactly: 13 days. Later ones are stored as this. */
#define LOG_TIME_MAX ((UINT64_C(1) << 50) - 1)

enum log_state {
    LOG_PLAIN,    /* waits for nothing */
    LOG_OPEN,     /* bound to its owner */
    LOG_ANSWERED, /* its answer came */
    LOG_CLOSED,   /* was given up: no answer is wanted any more */
};

struct log_entry {
    uint32_t kind, tool, flags; /* below LOG_KINDS, LOG_TOOLS, LOG_FLAGS */
    enum log_state state;
    uint32_t owner; /* LOG_OPEN: the handle; otherwise 0 */
    nsec_t at;      /* LOG_OPEN: 0 */
    uint64_t c, d;
};

/* The memory of all logs. */
struct session_log_store {
    struct slab chunks, directories, wides;
};

/* One session's log. Zeroed is empty. */
#define LOG_OWN_CHUNKS 8 /* of 16 events: those of most sessions */
struct session_log {
    uint32_t chunks[LOG_OWN_CHUNKS]; /* the first ones; the others stand in directories */
    uint32_t directory_first, directory_last;
    uint32_t count; /* also the last sequence number */
};

/* Room for `events_max` events over all logs, rounded up; at most 2^28. -ENOMEM. */
int session_log_store_init(struct session_log_store *store, uint64_t events_max);
/* Frees all logs. NULL and a zeroed store are allowed. */
void session_log_store_deinit(struct session_log_store *store);
/* Bytes of memory taken. */
size_t session_log_store_bytes(const struct session_log_store *store);

/* Appends an event (state and owner are not looked at: it is LOG_PLAIN). Returns its sequence number, or 0
 * when there is no room; then nothing has changed. */
uint32_t session_log_append(struct session_log_store *store, struct session_log *log,
                            const struct log_entry *entry);

/* Reads event `seq`, which must be 1 … count. */
void session_log_get(const struct session_log_store *store, const struct session_log *log, uint32_t seq,
                     struct log_entry *ret_entry);

/* Event `seq` will be read soon, or (0) the next one appended: fetches its memory, if a look at the log alone
 * tells where it is. Changes nothing; there need be no such event. */
void session_log_soon(const struct session_log_store *store, const struct session_log *log, uint32_t seq);

/* Sets the time of an event that is not bound. */
void session_log_set_at(struct session_log_store *store, const struct session_log *log, uint32_t seq,
                        nsec_t at);

/* LOG_PLAIN becomes LOG_OPEN, and its time is forgotten. */
void session_log_bind(struct session_log_store *store, const struct session_log *log, uint32_t seq,
                      uint32_t owner);

/* LOG_OPEN becomes `state` (LOG_ANSWERED or LOG_CLOSED), and gets its time back. */
void session_log_unbind(struct session_log_store *store, const struct session_log *log, uint32_t seq,
                        enum log_state state, nsec_t at);

/* Gives the log's memory back to the store; it is empty then. */
void session_log_free(struct session_log_store *store, struct session_log *log);
