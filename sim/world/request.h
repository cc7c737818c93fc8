/* Small things that components which send requests have in common. */
#pragma once

#include "sim/world/component.h"

#define REQUEST_BYTES 300u /* a plain request's head, as an estimate */

/* Opens a flow with a request and its whole body, on which nothing more is said: as flow_open(), but
 * `m.bytes` may exceed BODY_CHUNK. */
static inline uint32_t request_open(struct outbox *out, addr_t to, uint32_t tag, struct msg m)
{
    uint32_t rest = m.bytes > BODY_CHUNK ? m.bytes - BODY_CHUNK : 0;
    uint32_t flow;

    m.bytes -= rest;
    m.flags = rest ? MSG_UNFINISHED : MSG_LAST;
    flow = flow_open(out, to, 0, tag, m);
    if (rest == 0) return flow;
    m.kind = M_BODY;
    m.bytes = rest;
    m.flags = MSG_LAST;
    flow_send_whole(out, flow, false, m);
    return flow;
}

/* A status with which trying again makes no sense. */
static inline bool status_is_final(uint64_t status)
{
    return status >= 400 && status < 500 && status != 408 && status != 409 && status != 429;
}

/* An answer was handled: forgets the flow, and cancels what the peer might still say. */
static inline void request_over(struct outbox *out, const struct event *ev, uint32_t *flow)
{
    if (ev->msg.type != MSG_RESET && !(ev->msg.flags & MSG_LAST)) flow_reset(out, *flow, RESET_CANCEL);
    *flow = 0;
}

/* Cancels a flow that may be there. */
static inline void request_cancel(struct outbox *out, uint32_t *flow)
{
    if (*flow) flow_reset(out, *flow, RESET_CANCEL);
    *flow = 0;
}
