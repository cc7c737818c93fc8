/*
 * What the tests of the control plane's wire stand on: a plan, a driver on a loop, and the wire's client with
 * a disk. Who is at its other end, and which components there are, is the test's own.
 */
#pragma once

#include "mock-orchestrator/api_client.h"
#include "sim/live/disk.h"
#include "sim/live/driver.h"
#include "sim/plan/plan.h"
#include "sim/record/recorder.h"
#include "tests/live/api_test.h"

struct api_stage {
    struct event_base *base;
    struct plan *plan;
    struct recorder *recorder;
    struct driver *driver;
    bool done; /* the driver said that its components are */
    /* NULL before api_stage_connect() */
    struct api_client *client;
    struct dialer *local;
    struct disk *disk;
    char directory[32]; /* the disk's */
};

/* Fails the test where anything goes wrong, as all of these do. */
void api_stage_init(struct api_stage *s, const char *scenario);

/* The ways of clients and runners lead to a control plane at that port of 127.0.0.1, those of runners to a
 * disk too, and those of the orchestrator to MCP servers beside it. */
void api_stage_connect(struct api_stage *s, int port, const struct api_client_options *o);

/* Adds a component. */
void api_stage_add(struct api_stage *s, addr_t self);

/* Ends the components and what connects them, with balanced books. The test frees its server then. */
void api_stage_stop(struct api_stage *s);
/* Lets what lingers end, and frees the rest. */
void api_stage_deinit(struct api_stage *s);
