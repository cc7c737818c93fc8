#include "sim/policy/route.h"

#include <errno.h>
#include <stdlib.h>

#include "sim/base/panic.h"

struct tunnel {
    uint32_t turn; /* index of the connection whose turn it is */
    uint32_t usable;
};

struct place {
    uint32_t streams;
    bool usable;
};

struct route {
    struct route_options opts;
    struct tunnel *tunnels;
    struct place *places;
};

int route_new(const struct route_options *opts, struct route **ret)
{
    struct route *r = calloc(1, sizeof *r);
    size_t places = (size_t)opts->tunnels * opts->connections;

    if (!r) return -ENOMEM;
    r->opts = *opts;
    r->tunnels = calloc((size_t)opts->tunnels + 1, sizeof *r->tunnels);
    r->places = calloc(places + 1, sizeof *r->places);
    if (!r->tunnels || !r->places) {
        route_free(r);
        return -ENOMEM;
    }
    *ret = r;
    return 0;
}

void route_free(struct route *r)
{
    if (!r) return;
    free(r->tunnels);
    free(r->places);
    free(r);
}

size_t route_bytes(const struct route *r)
{
    size_t places = (size_t)r->opts.tunnels * r->opts.connections;

    return sizeof *r + r->opts.tunnels * sizeof *r->tunnels + places * sizeof *r->places;
}

static struct place *place_of(const struct route *r, uint32_t connection)
{
    ASSERT(connection / r->opts.connections < r->opts.tunnels);
    return &r->places[connection];
}

void route_set_usable(struct route *r, uint32_t connection, bool usable)
{
    struct place *p = place_of(r, connection);
    struct tunnel *t = &r->tunnels[connection / r->opts.connections];

    if (p->usable == usable) return;
    p->usable = usable;
    if (usable)
        t->usable++;
    else
        t->usable--;
}

bool route_is_usable(const struct route *r, uint32_t connection)
{
    return place_of(r, connection)->usable;
}

uint32_t route_usable(const struct route *r, uint32_t tunnel)
{
    return tunnel < r->opts.tunnels ? r->tunnels[tunnel].usable : 0;
}

uint32_t route_streams(const struct route *r, uint32_t connection)
{
    return place_of(r, connection)->streams;
}

enum route_outcome route_take(struct route *r, uint32_t tunnel, uint32_t *ret_connection)
{
    uint32_t ring = r->opts.connections;
    struct tunnel *t;

    if (tunnel >= r->opts.tunnels) return ROUTE_E_UNKNOWN;
    t = &r->tunnels[tunnel];
    if (!t->usable) return ROUTE_E_NONE;
    for (uint32_t i = 0; i < ring; i++) {
        uint32_t index = (t->turn + i) % ring;
        struct place *p = &r->places[(size_t)tunnel * ring + index];

        if (!p->usable || p->streams >= r->opts.streams_max) continue;
        p->streams++;
        t->turn = (index + 1) % ring;
        *ret_connection = tunnel * ring + index;
        return ROUTE_OK;
    }
    return ROUTE_E_FULL;
}

void route_release(struct route *r, uint32_t connection)
{
    struct place *p = place_of(r, connection);

    ASSERT(p->streams);
    p->streams--;
}
