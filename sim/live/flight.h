/*
 * The flight log: every (now, event) of one process incarnation, turn by turn, in one framed and checksummed
 * file; and the replay that feeds it to the same machines and gets the same effects, to the bit. The
 * orchestrator's journal, from which durable sessions come back after a kill, is the same file.
 *
 * File: the 8 bytes "WTFLIGHT", then frames. Frame: type u32, length u32, payload, CRC-32C u32 over type,
 * length and payload; all little endian. Frames are appended with one write() a turn, so that a SIGKILL loses
 * at most the turn that was being written. A process that leaves in order ends its log with a mark: a log
 * without one is of a process that was killed, or lost its end. The log of an incarnation that goes on from a
 * journal begins with that journal.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/base/digest.h"
#include "sim/base/nsec.h"
#include "sim/base/str.h"
#include "sim/world/world.h"

#define FLIGHT_MAGIC  "WTFLIGHT"
#define FLIGHT_FORMAT "windtunnel.flight/1"

/* What stands in a log's first frame: enough to build the same plan and world from it alone. */
struct flight_header {
    const char *build;    /* the program's build id */
    const char *document; /* the scenario as it was run, after --set */
    const char *name;     /* the scenario's path as given, for messages */
    const char *deployment;
    uint64_t seed;
    uint32_t replicate, incarnation;
    const addr_t *components;
    size_t component_count;
};

struct flight_writer;
struct flight_log;

/* Creates (or truncates) `path`. Negative errno. */
int flight_create(const char *path, const struct flight_header *h, struct flight_writer **ret);
/* Opens a log that was read to append to it; a last frame that was cut off is removed. */
int flight_append(const struct flight_log *log, struct flight_writer **ret);
void flight_close(struct flight_writer *w);
/* Appends the mark that nothing is missing: the process leaves in order. */
void flight_end(struct flight_writer *w);

/* Appends one turn's events (before they are handled). A failed write (a full disk) is remembered:
 * flight_error(). */
void flight_turn(struct flight_writer *w, nsec_t now, const struct event *events, size_t count);
/* Appends the digest of the effects of the turn just written. */
void flight_effects(struct flight_writer *w, const struct effect *effects, size_t count);
/* The component was killed within its process (it is made anew by flight_added()). */
void flight_crashed(struct flight_writer *w, nsec_t now, addr_t self);
void flight_added(struct flight_writer *w, addr_t self, uint32_t incarnation);
/* All components lost their flows and go on (driver_recover()). */
void flight_recovered(struct flight_writer *w);
/* Appends all that stands in `log` after its header. */
void flight_add_log(struct flight_writer *w, const struct flight_log *log);
/* 0, or the negative errno of the first write that failed. */
int flight_error(const struct flight_writer *w);

/* Reading
 * ---------------------------------------------------------------------------------------------------- */

/* Reads a whole log and checks its frames. -errno when the file cannot be read; -EBADMSG when it is damaged:
 * then `error` has one line that names file, frame and byte. A frame cut off at the very end (the process
 * died while writing) is left out and not an error. */
int flight_read(const char *path, struct flight_log **ret, struct str *error);
void flight_log_free(struct flight_log *log);
const struct flight_header *flight_log_header(const struct flight_log *log);

struct flight_replayed {
    uint64_t turns, events, effects, turns_checked;
    bool ended;     /* flight_end() is the last that stands in the log */
    bool cut_short; /* its last frame was cut off */
};

/* Feeds the log to `world`, whose components are those of the header (and nothing was handled yet). Checks
 * effects where the log has their digests. -EBADMSG: `error` names the first turn whose flows or effects
 * differ. */
int flight_replay(const struct flight_log *log, struct world *world, struct recorder *recorder,
                  struct flight_replayed *ret, struct str *error);
