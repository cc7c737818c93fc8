/* Which program this is: its version and the revision it was built from. */
#pragma once

/* "windtunnel 0.1.0 (1a2b3c4d5e6f)"; with "-dirty" when the tree had changes. Goes into flight logs, which
 * only the build that wrote them can replay, and into results. */
extern const char windtunnel_build[];
