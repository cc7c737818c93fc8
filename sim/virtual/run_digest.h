/*
 * What the digest of a virtual run is made of: every event and every effect, in the order in which they are
 * handled and performed.
 */
#pragma once

#include "sim/base/digest.h"
#include "sim/world/world.h"

/* A message's head, and who it is that has it: each fits in four bits. */
static inline uint64_t digest_head(const struct msg *m, uint8_t type)
{
    return (uint64_t)m->type | (uint64_t)type << 4 | (uint64_t)m->flags << 8 | (uint64_t)m->kind << 16 |
           (uint64_t)m->bytes << 32;
}

static inline uint64_t digest_pair(uint32_t low, uint32_t high)
{
    return (uint64_t)high << 32 | low;
}

static inline void digest_effect(struct digest *d, const struct effect *ef)
{
    const struct msg *m = &ef->msg;

    if (ef->type == EFFECT_OPEN || ef->type == EFFECT_SEND) {
        digest_quad(d, digest_pair(ef->self, ef->to), digest_pair(ef->flow, ef->via),
                    digest_head(m, ef->type), m->a);
        digest_quad(d, m->b, m->c, m->d, m->e);
    } else {
        digest_quad(d, ef->self, ef->type, ef->at, ef->token);
    }
}

static inline void digest_event(struct digest *d, nsec_t now, const struct event *ev)
{
    const struct msg *m = &ev->msg;

    digest_quad(d, now, digest_pair(ev->self, ev->from), digest_pair(ev->flow, ev->tag),
                digest_head(m, ev->type));
    if (ev->type == EVENT_MSG) {
        digest_quad(d, m->a, m->b, m->c, m->d);
        digest_quad(d, m->e, 0, 0, 0);
    } else {
        digest_quad(d, ev->token, 0, 0, 0);
    }
}
