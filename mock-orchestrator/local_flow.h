/*
 * Flows between components of one process, without a wire: what one end sends, the other receives. And a
 * dialer whom nobody answers.
 */
#pragma once

#include "sim/live/driver.h"

/* Opens flows to components of the driver itself; what is not there refuses. -ENOMEM. Free it after the
 * driver. */
int local_flow_new(struct driver *driver, struct dialer **ret_dialer);
void local_flow_free(struct dialer *dialer);
