/*
 * Streams to MCP servers, and the calls that wait for one: for each pool (one server behind one tunnel) so
 * many streams at most, one call at a time on each, and a bounded queue in order of arrival.
 *
 * A stream is opened for a call and belongs to it from then on; when the call is done with it, the one that
 * waits longest gets it, or it idles. The stream idle for the shortest time is used again first. What happens
 * on streams is the caller's; so are the fields that are said to be.
 */
#pragma once

#include "sim/base/nsec.h"
#include "sim/base/slab.h"

#include <stddef.h>
#include <stdint.h>

/* The most streams over all pools, whatever the options say. */
#define MCP_STREAMS_LIMIT (UINT32_C(1) << 21)

struct mcp_stream {
    uint32_t pool;
    uint32_t call; /* whose it is; 0: idle */
    uint32_t idle_prev, idle_next;
    uint32_t flow, slot; /* the caller's */
    uint8_t state;       /* the caller's */
    nsec_t begun_at;     /* the caller's: of the attempt */
    nsec_t until;        /* the caller's: its deadline, */
    nsec_t armed_at;     /* … and its pending timer; NSEC_MAX at first */
    uint64_t attempt;    /* the caller's */
};

struct mcp_pool_options {
    uint32_t pools, streams_max, queue_max; /* the latter two for each pool; streams_max at least 1 */
};

struct mcp_pool {
    uint32_t streams; /* now, idle ones included */
    uint32_t idle_first;
    uint32_t wait_first, wait_last, waiting;
};

struct mcp_pools {
    struct mcp_pool_options options;
    struct mcp_pool *pools;
    struct slab streams, waits;
};

enum mcp_admit {
    MCP_ADMIT_STREAM, /* an idle stream is the call's now */
    MCP_ADMIT_OPEN,   /* a new stream is the call's; to be opened */
    MCP_ADMIT_WAIT,
    MCP_ADMIT_SHED, /* too many wait */
};

/* -ENOMEM. */
int mcp_pools_init(struct mcp_pools *p, const struct mcp_pool_options *options);
/* Frees all. NULL and zeroed pools are allowed. */
void mcp_pools_deinit(struct mcp_pools *p);
size_t mcp_pools_bytes(const struct mcp_pools *p);

/* The stream of a reference, NULL when it is gone. */
struct mcp_stream *mcp_pool_stream(const struct mcp_pools *p, uint32_t stream);

/* A call (not 0) wants a stream. `ret`: the stream (STREAM, OPEN) or the place in the queue (WAIT). */
enum mcp_admit mcp_pool_submit(struct mcp_pools *p, uint32_t pool, uint32_t call, uint32_t *ret);

/* A waiting call wants none any more. */
void mcp_pool_leave(struct mcp_pools *p, uint32_t pool, uint32_t wait);

/* The call is done with its stream, which is still good. Returns the call whose it is now, or 0: it idles. */
uint32_t mcp_pool_release(struct mcp_pools *p, uint32_t stream);

/* The stream is gone, idle or not. If a call waits, a new stream is made for it, to be opened: returns that,
 * or 0. */
uint32_t mcp_pool_close(struct mcp_pools *p, uint32_t stream);

/* All streams and waiting calls are gone. */
void mcp_pools_drop(struct mcp_pools *p);
