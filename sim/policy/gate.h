/*
 * A gate that lets so many in at once, and keeps so many waiting, first come, first served. Whoever comes
 * when the queue is full is turned away. Tickets are embedded in what passes, so nothing is allocated.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "sim/base/list.h"

enum gate_outcome {
    GATE_IN,      /* inside now */
    GATE_E_WAITS, /* waits: gate_leave() of somebody else will let it in */
    GATE_E_FULL,  /* turned away: the ticket is as before */
};

enum ticket_state { TICKET_OUT, TICKET_WAITING, TICKET_INSIDE };

/* Zeroed: outside. */
struct ticket {
    struct list link;
    enum ticket_state state;
};

struct gate {
    uint32_t width, queue_max;
    uint32_t inside, waiting;
    struct list queue;
};

/* `width` of 0 counts as 1. The gate must not move: it is the head of a list. */
void gate_init(struct gate *g, uint32_t width, uint32_t queue_max);

/* The ticket must be out. */
enum gate_outcome gate_enter(struct gate *g, struct ticket *t);

/* The ticket, waiting or inside, goes out. Returns the ticket that is let in instead, or NULL. */
struct ticket *gate_leave(struct gate *g, struct ticket *t);
