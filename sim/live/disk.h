/*
 * The sandboxes' file system, live: the driver's side of ROLE_DISK. Spilled outputs become real files in one
 * directory, with the text of content.h; what is read back is checked against it.
 */
#pragma once

#include "sim/live/driver.h"

struct disk;

/* `directory` must exist; files are named by call id and removed by disk_free(). */
int disk_new(struct event_base *base, const char *directory, struct disk **ret);
void disk_free(struct disk *d);
/* For driver_set_dialer(…, ROLE_RUNNER, ROLE_DISK, …). */
struct dialer *disk_dialer(struct disk *d);
