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
    void (*stop)(void *user, addr_t component); /* it is to stop in order: EVENT_DRAIN */
    void (*end)(void *user);  /* the run is over: close the books, then child_say("ended") */
    void (*exit)(void *user); /* leave; also when the supervisor is gone */
};

/* `control_fd`: a SOCK_SEQPACKET socket, one line a message; it stays the caller's, as do `base`
 * (tcp_base_new()) and `h`, and all three must outlive the link. Lines are handed on from the loop, never
 * from within this call. One of them, "settle", is answered here: with "settled", when this process has
 * nothing left to do, all that it was sent is read, and what follows upon that is sent as far as the others
 * take it. 0; -ENOMEM. */
int child_link_new(struct event_base *base, int control_fd, const struct child_handler *h, void *user,
                   struct child_link **ret);
/* NULL is allowed. */
void child_link_free(struct child_link *l);

/* "ready", "recovered", "done", "ended", or "error <one clear line>". Blocks until the supervisor's socket
 * takes it; one that is gone is noticed by the reader, not here. */
void child_say(struct child_link *l, const char *line);
