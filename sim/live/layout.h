/*
 * Who lives in which process of a live run, and at which address.
 *
 * Every run has a loopback address of its own (127.x.y.z, from the supervisor's process id), so that two runs
 * at once never want the same port.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "sim/plan/plan.h"

enum { LAYOUT_NAME_MAX = 32, LAYOUT_ADDRESS_MAX = 32 };

/* The most pairs of components whose link passes through the relay: a port each. */
#define LAYOUT_RELAYED_MAX 64000u

/* The most proxies: a port each. */
#define LAYOUT_PROXIES_MAX 55000u

/* What is listened on, by the component that listens. */
enum port {
    PORT_API,       /* orchestrator: HTTP */
    PORT_PUBLIC,    /* edge: TLS, WebSocket upgrades from the orchestrator */
    PORT_CONNECTOR, /* edge: TLS, connectors dial it */
    PORT_PROXY,     /* proxy: plain, its connector dials it */
    PORT_MCP,       /* MCP server: HTTP */
    PORT_COUNT,
};

/* A process without components is the relay. */
struct process {
    char name[LAYOUT_NAME_MAX]; /* "orchestrator", "gateway-3", … */
    addr_t *components;         /* in the order of start */
    size_t component_count;
};

/* A link that passes through the relay: the dialing side is given the relay's address instead of the
 * listener's. */
struct relayed {
    enum link_id link;
    addr_t from, to;
    enum port port; /* of the listener */
};

struct layout {
    char ip[16];       /* where all listeners of the run's components are */
    char relay_ip[16]; /* where the relay listens: an address of its own, a port for each pair that it serves
                        */
    struct relayed *relayed;
    size_t relayed_count;      /* 0: there is no relay process */
    struct process *processes; /* in the order of start; the client's is last */
    size_t process_count;
};

/* -ENOMEM; -E2BIG: more than LAYOUT_RELAYED_MAX pairs would need the relay; -ERANGE: more than
 * LAYOUT_PROXIES_MAX proxies. `id` tells runs apart: the
 * supervisor's process id. */
int layout_new(const struct plan *plan, unsigned id, struct layout **ret);
void layout_free(struct layout *l);

/* Whether a component of this role lives in it. */
bool process_hosts(const struct process *p, enum role role);

/* "ip:port" of the component's listener. */
void layout_address(const struct layout *l, addr_t component, enum port port, char ret[LAYOUT_ADDRESS_MAX]);
/* What `from` dials to reach it: the listener, or the relay before it. */
void layout_dial_address(const struct layout *l, addr_t from, addr_t to, enum port port,
                         char ret[LAYOUT_ADDRESS_MAX]);
/* Where the relay listens for the link of this index. */
void layout_relay_address(const struct layout *l, size_t index, char ret[LAYOUT_ADDRESS_MAX]);
