#include "sim/live/cause.h"

enum reset_cause cause_of_end(enum stream_end end, bool was_up)
{
    if (end == STREAM_END_PROTOCOL) return RESET_PROTOCOL;
    if (was_up) return RESET_CUT;
    switch (end) {
    case STREAM_END_REFUSED: return RESET_REFUSED;
    case STREAM_END_TIMEOUT:
    case STREAM_END_TLS: return RESET_UNREACHABLE;
    case STREAM_END_PROTOCOL:
    case STREAM_END_CLEAN:
    case STREAM_END_RESET: break;
    }
    return RESET_CUT;
}

enum reset_cause cause_of_failure(const struct http_failure *f)
{
    switch (f->outcome) {
    case HTTP_NEVER_SENT:
        return cause_of_end(f->end, false) == RESET_UNREACHABLE ? RESET_UNREACHABLE : RESET_REFUSED;
    case HTTP_MALFORMED: return RESET_PROTOCOL;
    case HTTP_TIMED_OUT:
    case HTTP_NO_ANSWER:
    case HTTP_CUT: break;
    }
    return RESET_CUT;
}
