/* The wire's surfaces of one process: listeners for those of its components that listen, dialers for those
 * that dial. */
#pragma once

#include "sim/base/str.h"
#include "sim/cmd/role.h"
#include "sim/live/driver.h"

struct role_surfaces;

/* Listens at once, for all but those that are down from the start. A negative errno, with one clear line in
 * `error`. */
int role_surfaces_new(const struct live_run *run, const struct child *child, struct driver *driver,
                      struct role_surfaces **ret, struct str *error);

/* A component was killed: as if it had a process to itself, its listener is closed and its connections are
 * cut, so that its peers are refused. After driver_crash(). */
void role_surfaces_close(struct role_surfaces *s, addr_t component);
/* One that is back listens again. A negative errno, with one clear line in `error`. */
int role_surfaces_open(struct role_surfaces *s, addr_t component, struct str *error);

/* Closes all listeners and connections. After driver_free(). */
void role_surfaces_free(struct role_surfaces *s);
