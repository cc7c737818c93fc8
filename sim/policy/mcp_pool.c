#include "sim/policy/mcp_pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/panic.h"

struct wait {
    uint32_t call;
    uint32_t prev, next;
};

int mcp_pools_init(struct mcp_pools *p, const struct mcp_pool_options *options)
{
    uint64_t streams_max = (uint64_t)options->pools * options->streams_max;
    int r;

    ASSERT(options->streams_max);
    *p = (struct mcp_pools){.options = *options};
    if (streams_max > MCP_STREAMS_LIMIT) streams_max = MCP_STREAMS_LIMIT;
    r = slab_init(&p->streams, sizeof(struct mcp_stream), streams_max ? (uint32_t)streams_max : 1);
    if (r == 0) r = slab_init(&p->waits, sizeof(struct wait), SLAB_LIMIT_MAX);
    p->pools = calloc(options->pools + 1, sizeof *p->pools);
    if (r == 0 && !p->pools) r = -ENOMEM;
    if (r < 0) mcp_pools_deinit(p);
    return r;
}

void mcp_pools_deinit(struct mcp_pools *p)
{
    if (!p) return;
    slab_deinit(&p->streams);
    slab_deinit(&p->waits);
    free(p->pools);
    *p = (struct mcp_pools){0};
}

size_t mcp_pools_bytes(const struct mcp_pools *p)
{
    return slab_bytes(&p->streams) + slab_bytes(&p->waits) + p->options.pools * sizeof *p->pools;
}

struct mcp_stream *mcp_pool_stream(const struct mcp_pools *p, uint32_t stream)
{
    return slab_get(&p->streams, stream);
}

static struct mcp_stream *stream_of(const struct mcp_pools *p, uint32_t ref)
{
    struct mcp_stream *stream = slab_get(&p->streams, ref);

    ASSERT(stream);
    return stream;
}

static struct wait *wait_of(const struct mcp_pools *p, uint32_t ref)
{
    struct wait *wait = slab_get(&p->waits, ref);

    ASSERT(wait);
    return wait;
}

static void idle_put(struct mcp_pools *p, struct mcp_pool *pool, uint32_t ref)
{
    struct mcp_stream *stream = stream_of(p, ref);

    stream->call = 0;
    stream->idle_prev = 0;
    stream->idle_next = pool->idle_first;
    if (pool->idle_first) stream_of(p, pool->idle_first)->idle_prev = ref;
    pool->idle_first = ref;
}

static void idle_take(struct mcp_pools *p, struct mcp_pool *pool, uint32_t ref)
{
    struct mcp_stream *stream = stream_of(p, ref);

    if (stream->idle_prev)
        stream_of(p, stream->idle_prev)->idle_next = stream->idle_next;
    else
        pool->idle_first = stream->idle_next;
    if (stream->idle_next) stream_of(p, stream->idle_next)->idle_prev = stream->idle_prev;
    stream->idle_prev = stream->idle_next = 0;
}

/* A new stream for a call, or 0 when the pool has all it may. */
static uint32_t stream_new(struct mcp_pools *p, uint32_t pool, uint32_t call)
{
    struct mcp_stream *stream;
    uint32_t ref;

    if (p->pools[pool].streams >= p->options.streams_max) return 0;
    ref = slab_alloc(&p->streams);
    if (!ref) return 0;
    stream = stream_of(p, ref);
    stream->pool = pool;
    stream->call = call;
    stream->until = stream->armed_at = NSEC_MAX;
    p->pools[pool].streams++;
    return ref;
}

static uint32_t wait_new(struct mcp_pools *p, struct mcp_pool *pool, uint32_t call)
{
    uint32_t ref = pool->waiting < p->options.queue_max ? slab_alloc(&p->waits) : 0;

    if (!ref) return 0;
    *wait_of(p, ref) = (struct wait){.call = call, .prev = pool->wait_last};
    if (pool->wait_last)
        wait_of(p, pool->wait_last)->next = ref;
    else
        pool->wait_first = ref;
    pool->wait_last = ref;
    pool->waiting++;
    return ref;
}

enum mcp_admit mcp_pool_submit(struct mcp_pools *p, uint32_t index, uint32_t call, uint32_t *ret)
{
    struct mcp_pool *pool = &p->pools[index];
    uint32_t ref = pool->idle_first;

    ASSERT(index < p->options.pools && call);
    if (ref) {
        idle_take(p, pool, ref);
        stream_of(p, ref)->call = call;
        *ret = ref;
        return MCP_ADMIT_STREAM;
    }
    ref = stream_new(p, index, call);
    if (ref) {
        *ret = ref;
        return MCP_ADMIT_OPEN;
    }
    ref = wait_new(p, pool, call);
    if (!ref) return MCP_ADMIT_SHED;
    *ret = ref;
    return MCP_ADMIT_WAIT;
}

void mcp_pool_leave(struct mcp_pools *p, uint32_t index, uint32_t ref)
{
    struct mcp_pool *pool = &p->pools[index];
    const struct wait *wait = wait_of(p, ref);

    if (wait->prev)
        wait_of(p, wait->prev)->next = wait->next;
    else
        pool->wait_first = wait->next;
    if (wait->next)
        wait_of(p, wait->next)->prev = wait->prev;
    else
        pool->wait_last = wait->prev;
    pool->waiting--;
    slab_free(&p->waits, ref);
}

static uint32_t wait_next(struct mcp_pools *p, uint32_t index)
{
    uint32_t ref = p->pools[index].wait_first, call = 0;

    if (ref) {
        call = wait_of(p, ref)->call;
        mcp_pool_leave(p, index, ref);
    }
    return call;
}

uint32_t mcp_pool_release(struct mcp_pools *p, uint32_t ref)
{
    struct mcp_stream *stream = stream_of(p, ref);

    ASSERT(stream->call);
    stream->call = wait_next(p, stream->pool);
    if (!stream->call) idle_put(p, &p->pools[stream->pool], ref);
    return stream->call;
}

uint32_t mcp_pool_close(struct mcp_pools *p, uint32_t ref)
{
    struct mcp_stream *stream = stream_of(p, ref);
    uint32_t index = stream->pool;
    struct mcp_pool *pool = &p->pools[index];
    uint32_t opened;

    if (!stream->call) idle_take(p, pool, ref);
    pool->streams--;
    slab_free(&p->streams, ref);
    if (!pool->wait_first) return 0;
    opened = stream_new(p, index, wait_of(p, pool->wait_first)->call);
    if (opened) wait_next(p, index);
    return opened;
}

void mcp_pools_drop(struct mcp_pools *p)
{
    slab_for_each(stream, &p->streams) slab_free(&p->streams, stream);
    slab_for_each(wait, &p->waits) slab_free(&p->waits, wait);
    memset(p->pools, 0, p->options.pools * sizeof *p->pools);
}
