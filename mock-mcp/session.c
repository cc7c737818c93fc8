#include "mock-mcp/session.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "sim/base/panic.h"

int mcp_sessions_init(struct mcp_sessions *s, uint32_t sessions_max)
{
    s->max = sessions_max;
    list_init(&s->by_use);
    return slab_init(&s->slab, sizeof(struct mcp_session), sessions_max);
}

void mcp_sessions_deinit(struct mcp_sessions *s)
{
    slab_deinit(&s->slab);
    list_init(&s->by_use);
}

struct mcp_session *mcp_sessions_excess(struct mcp_sessions *s)
{
    if (slab_count(&s->slab) < s->max) return NULL;
    return list_first_entry(&s->by_use, struct mcp_session, by_use);
}

struct mcp_session *mcp_session_new(struct mcp_sessions *s, enum mcp_revision revision)
{
    uint64_t secret[2];
    struct mcp_session *session;
    uint32_t slot;

    if (getrandom(secret, sizeof secret, 0) != sizeof secret) return NULL;
    slot = slab_alloc(&s->slab);
    if (!slot) return NULL;
    session = slab_get_unchecked(&s->slab, slot);
    session->slot = slot;
    session->revision = revision;
    memcpy(session->secret, secret, sizeof secret);
    list_init(&session->by_use);
    list_init(&session->calls);
    list_init(&session->streaming);
    list_push_back(&s->by_use, &session->by_use);
    return session;
}

void mcp_session_remove(struct mcp_sessions *s, struct mcp_session *session)
{
    ASSERT(!session->stream);
    while (list_pop_front(&session->calls)) continue;
    list_remove(&session->by_use);
    list_remove(&session->streaming);
    slab_free(&s->slab, session->slot);
}

void mcp_session_id(const struct mcp_session *session, char ret_id[MCP_SESSION_ID_SIZE])
{
    snprintf(ret_id, MCP_SESSION_ID_SIZE, "%08" PRIx32 "-%016" PRIx64 "%016" PRIx64, session->slot,
             session->secret[0], session->secret[1]);
}

struct mcp_session *mcp_session_find(struct mcp_sessions *s, const char *id)
{
    char expected[MCP_SESSION_ID_SIZE];
    struct mcp_session *session = slab_get(&s->slab, (uint32_t)strtoul(id, NULL, 16));

    if (!session) return NULL;
    mcp_session_id(session, expected);
    if (strcmp(id, expected) != 0) return NULL;
    list_remove(&session->by_use);
    list_push_back(&s->by_use, &session->by_use);
    return session;
}
