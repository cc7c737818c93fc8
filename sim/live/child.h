/*
 * The child's side of the supervisor's socket: lines from it become calls.
 */
#pragma once

#include <stdint.h>

#include "sim/plan/plan.h"

struct event_base;
struct child_link;

struct child_handler {
    void (*go)(void *user, uint64_t epoch_ns, uint64_t wall_offset_ns);
    void (*crash)(void *user, addr_t component); /* an in-process kill */
    void (*start)(void *user, addr_t component, uint32_t incarnation);
    void (*end)(void *user);  /* the run is over: close the books, then child_say("ended") */
    void (*exit)(void *user); /* leave; also when the supervisor is gone */
};

int child_link_new(struct event_base *base, int control_fd, const struct child_handler *h, void *user,
                   struct child_link **ret);
void child_link_free(struct child_link *l);

/* "ready", "recovered", "done", "ended", or "error <one clear line>". */
void child_say(struct child_link *l, const char *line);
