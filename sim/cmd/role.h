/* One process of a live run: its surfaces, its components, and its life by the supervisor's word. */
#pragma once

#include "sim/live/certs.h"
#include "sim/live/layout.h"
#include "sim/live/supervisor.h"

/* What stands in the certificates of the edge and of the control plane. */
#define RUN_EDGE_NAME "edge.windtunnel"
#define RUN_API_NAME  "orchestrator.windtunnel"

/* Certificates of a run, made before the first process starts. */
struct run_certs {
    struct cert *outer_ca;     /* of the vendor's servers, and of those who may open streams at the edge */
    struct cert *api;          /* the control plane's server certificate */
    struct cert *edge;         /* the edge's server certificate */
    struct cert *orchestrator; /* the orchestrator's client certificate */
    struct cert *tunnel_ca;    /* registered on every tunnel */
    struct cert **proxies;     /* the inner server certificate of each tunnel */
    uint32_t proxy_count;
};

/* Makes all that the plan needs, keys of every tunnel among it, into a zeroed `ret`. 0; a negative errno:
 * what was made until then is there for run_certs_deinit() nevertheless. */
int run_certs_new(const struct plan *plan, struct run_certs *ret);
/* What is zeroed is allowed. */
void run_certs_deinit(struct run_certs *c);

/* What all processes of a run share. */
struct live_run {
    const struct plan *plan;
    const struct layout *layout;
    struct run_certs certs;
    const char *flight;  /* folder of flight logs, or NULL */
    const char *name;    /* the scenario's */
    char directory[256]; /* of this run alone: journals, spilled files */
    int lock;            /* on it, for as long as the run lives; or -1 */
};

/*
 * The child_main of the supervisor, `live_run` a struct live_run that outlives the child: makes the loop, the
 * surfaces and the components of the child's process, says "ready", and lives by the supervisor's words until
 * "exit" or until the supervisor is gone. What fails is said with "error …". Returns the exit code.
 */
int role_main(void *live_run, const struct child *child);
