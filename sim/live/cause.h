/*
 * What a component is told of a flow whose connection failed: the one place where ends of streams and
 * failures of requests become causes of a RESET.
 */
#pragma once

#include <stdbool.h>

#include "sim/live/http_client.h"
#include "sim/live/stream.h"
#include "sim/world/msg.h"

/* Of a stream that ended; `was_up`: after it was there. REFUSED and UNREACHABLE say that it never came up. */
enum reset_cause cause_of_end(enum stream_end end, bool was_up);

/* Of a request that failed: REFUSED or UNREACHABLE if it never began, so surely nobody has it. */
enum reset_cause cause_of_failure(const struct http_failure *f);
