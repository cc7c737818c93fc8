/*
 * One role alone: the same components and surfaces as in a run, without a supervisor, until SIGTERM or
 * SIGINT.
 */
#pragma once

#include "sim/base/str.h"
#include "sim/live/driver.h"

/* Whom a role dials, for what it says of it. */
struct alone_peer {
    const char *command, *address;
    enum role role;
};

enum alone_link { ALONE_UNTRIED, ALONE_UP, ALONE_REFUSED };

struct alone {
    struct event_base *base;
    struct plan *plan;
    struct recorder *recorder;
    struct driver *driver;
    struct event *signals[2];
    struct alone_peer peer; /* set by a role that dials, before alone_run() */
    enum alone_link link;   /* to it */
    bool connected;         /* at least once */
    bool ends_with_flows; /* set by the role: once told to stop, it has nothing to do when it has no flow any
                             more */
};

/* Which option of the command a part of its document was made from. */
struct alone_source {
    const char *pointer, *option;
};

/* Loads the scenario `document` and makes a driver. Returns 0, or an exit code after one clear line, which
 * names the option of `sources` (ended by NULL) that is wrong: nobody has written the document. */
int alone_new(struct alone *a, const char *document, const struct alone_source *sources);

/* Adds a component. 0, or an exit code after one clear line. */
int alone_add(struct alone *a, addr_t self);

/*
 * Prints `ready` (one line of JSON) and runs until a signal. Then the components are told to stop
 * (EVENT_DRAIN), as a restart of the timeline tells them, and have `grace_ns`: all of it, or with
 * `ends_with_flows` until the last flow has ended, and PLAN_LAST_WORDS_NS. Another signal ends that at once.
 * A role that dials prints {"connected":true} when its peer first takes it, and says on standard error when
 * the peer refuses it, why, and when it is up after that; a role that listens is ready when it says so.
 */
void alone_run(struct alone *a, const struct str *ready, nsec_t grace_ns);

/* Before the surfaces are freed. */
void alone_stop(struct alone *a);
void alone_deinit(struct alone *a);

/* Whether it is a numeric address with a port; tells if not. `dialed`: not port 0. */
bool alone_is_address(const char *option, const char *address, bool dialed);

/* "command: why" on standard error; EXIT_BAD_INPUT. */
int alone_refuse(const char *command, const char *why, int error);
