/*
 * Sessions of the revisions that have them: ids that were given out, and what hangs on each. The table is
 * bounded; the session that was not used for longest makes room for a new one. Bookkeeping of the wire, not
 * the agents' sessions.
 */
#pragma once

#include <stdint.h>

#include "mock-mcp/revision.h"
#include "sim/base/list.h"
#include "sim/base/slab.h"

struct http_exchange;

enum { MCP_SESSION_ID_SIZE = 48 };

struct mcp_session {
    struct list by_use; /* in mcp_sessions.by_use */
    uint32_t slot;
    uint64_t secret[2];
    enum mcp_revision revision;
    struct list calls;            /* of the server */
    struct list streaming;        /* the server's: sessions with a stream */
    struct http_exchange *stream; /* the answer to a GET, or NULL */
};

struct mcp_sessions {
    struct slab slab;
    struct list by_use; /* the least recently used first */
    uint32_t max;
};

/* -ENOMEM. */
int mcp_sessions_init(struct mcp_sessions *s, uint32_t sessions_max);
/* All sessions must have been removed, or hold nothing. */
void mcp_sessions_deinit(struct mcp_sessions *s);

/* The session that has to be removed before there is room for a new one, or NULL. */
struct mcp_session *mcp_sessions_excess(struct mcp_sessions *s);

/* A new one, with an id that cannot be guessed; there must be room. NULL: out of memory. */
struct mcp_session *mcp_session_new(struct mcp_sessions *s, enum mcp_revision revision);

/* Forgets a session. Its calls leave it; it must have no stream. */
void mcp_session_remove(struct mcp_sessions *s, struct mcp_session *session);

/* The one of this id, which counts as used now; or NULL. */
struct mcp_session *mcp_session_find(struct mcp_sessions *s, const char *id);

void mcp_session_id(const struct mcp_session *session, char ret_id[MCP_SESSION_ID_SIZE]);
