/*
 * The control plane's HTTP surface: agents, environments, sessions, events, event streams, the work queue.
 *
 * What decides is the component behind it (sim/world/orchestrator.c): requests become its messages, its
 * messages answers. Kept here is only what the component has no numbers for: documents (agents, environments,
 * titles, metadata), texts that peers posted, and the moments of a work item that were seen to pass.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/live/driver.h"

struct api_server;
struct tls_context;

struct api_environment {
    const char *id;  /* "env_…" */
    const char *key; /* what its workers show; NULL: nothing is asked of them */
};

/* Zero in a member means the default in brackets. Strings are copied. */
struct api_server_options {
    addr_t self;             /* the orchestrator's address */
    const char *listen;      /* numeric "ip:port" */
    struct tls_context *tls; /* NULL: plain; a reference is taken */
    const char *api_key;     /* NULL: nothing is asked of clients */
    const char *base_url;    /* put into the secret of a work item; may be NULL */
    /* By number: environment i is the plan's pool i. Those of the plan that are not listed have the id
     * api_environment_id(i) and the key of the first; clients may claim the rest for environments that they
     * create, from `environment_count` on, when `create_environments` is set. */
    const struct api_environment *environments;
    size_t environment_count;
    bool create_environments;
    size_t content_bytes_max;  /* texts that peers posted, all sessions [256 MiB] */
    size_t document_bytes_max; /* agents and other documents [32 MiB] */
    uint64_t body_bytes_max;   /* of a request; 413 above [8 MiB] */
    unsigned connections_max;  /* [16384] */
    nsec_t request_timeout_ns; /* for a head, and for a body; 408 after it [10 s, 30 s] */
    nsec_t idle_timeout_ns;    /* between requests, for a reply that is not read [75 s] */
    nsec_t ping_ns;            /* a silent event stream gets a ping [15 s] */
    bool hash_commands;        /* see api_event.h */
    uint64_t token_seed;       /* of the tokens in these commands */
};

/* Opens the listener. -EADDRINUSE, -EINVAL, -ENOMEM, …. The driver is borrowed. */
int api_server_new(struct driver *driver, const struct api_server_options *o, struct api_server **ret_server);
/* After driver_free(), which ends what is under way. NULL is allowed. */
void api_server_free(struct api_server *s);

int api_server_port(const struct api_server *s);

/* Stops in order: takes no new connections, ends event streams and waiting polls. */
void api_server_drain(struct api_server *s);
/* Nothing is under way any more. */
bool api_server_idle(const struct api_server *s);

/* The id of environment `index` where none is given: "env_" and 16 hex digits. `ret_id` has ID_SIZE bytes. */
void api_environment_id(uint32_t index, char *ret_id);
