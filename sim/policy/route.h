/*
 * Which connection a new tunnel stream takes: the tunnel's connections in turn, leaving out those that are
 * down, drain, or carry as many streams as they may. Nothing steers between the replicas of a tunnel: all its
 * connections are one ring.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum route_outcome {
    ROUTE_OK,
    ROUTE_E_UNKNOWN, /* no such tunnel */
    ROUTE_E_NONE,    /* the tunnel has no usable connection */
    ROUTE_E_FULL,    /* every usable connection carries streams_max */
};

struct route_options {
    uint32_t tunnels;
    uint32_t connections; /* of each tunnel, over all its replicas */
    uint32_t streams_max; /* on one connection */
};

struct route;

/* 0 or -ENOMEM. All connections are down. */
int route_new(const struct route_options *opts, struct route **ret);
/* NULL is allowed. */
void route_free(struct route *r);
size_t route_bytes(const struct route *r);

/* Connection `connection` is numbered over all tunnels: tunnel × connections of each + index. */
void route_set_usable(struct route *r, uint32_t connection, bool usable);
bool route_is_usable(const struct route *r, uint32_t connection);

/* Usable connections of a tunnel; 0 for an unknown one. */
uint32_t route_usable(const struct route *r, uint32_t tunnel);

/* Streams on a connection, usable or not. */
uint32_t route_streams(const struct route *r, uint32_t connection);

/* Takes a place on the next connection of a tunnel; route_release() gives it back. `ret_connection` only with
 * ROUTE_OK. */
enum route_outcome route_take(struct route *r, uint32_t tunnel, uint32_t *ret_connection);
void route_release(struct route *r, uint32_t connection);
