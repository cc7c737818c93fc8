#include "sim/live/tunnel_carrier.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>

#include "sim/base/panic.h"
#include "sim/live/cause.h"
#include "sim/live/tunnel_limits.h"
#include "sim/plan/plan.h"

/* How long a connection that was ended in order may take to close: its flow is over, nobody waits for it. */
#define CLOSE_NS (5 * NSEC_PER_S)

enum {
    STREAM_WINDOW_BYTES = 1024 * 1024,
    CARRIER_WINDOW_MIN = 8 * 1024 * 1024,
    CARRIER_WINDOW_MAX = 32 * 1024 * 1024,
    STREAM_SHARE = 16 * 1024, /* of the carrier's window, for each stream: more than a pipe holds back */
};

struct h2_options tunnel_carrier_h2_options(const struct plan *plan)
{
    uint64_t streams = (uint64_t)plan->tunnels.streams_max * 2 + 16;
    uint64_t window = streams * STREAM_SHARE;

    if (window < CARRIER_WINDOW_MIN) window = CARRIER_WINDOW_MIN;
    if (window > CARRIER_WINDOW_MAX) window = CARRIER_WINDOW_MAX;
    return (struct h2_options){.stream_window = STREAM_WINDOW_BYTES,
                               .connection_window = (uint32_t)window,
                               .max_streams = streams < UINT32_MAX ? (uint32_t)streams : UINT32_MAX,
                               .settings_timeout_ns = tunnel_guard_register(plan)};
}

/* Its end
 * ----------------------------------------------------------------------------------------------- */

void tunnel_carrier_free(struct tunnel_carrier *c)
{
    ASSERT(!c->bound);
    event_free(c->timer);
    tunnel_link_deinit(&c->control);
    h2_free(c->h2, !c->closed);
    c->h2 = NULL;
    list_remove(&c->siblings);
    if (c->ops->gone) c->ops->gone(c);
    free(c);
}

/* Not at once: whoever calls may be in a callback of its connection. */
static void die(struct tunnel_carrier *c)
{
    if (c->bound) return;
    c->dying = true;
    event_active(c->timer, EV_TIMEOUT, 0);
}

void tunnel_carrier_break(struct tunnel_carrier *c, enum reset_cause cause)
{
    if (c->bound && !c->told_reset) {
        c->told_reset = true;
        driver_receive(&c->wire, (struct msg){.type = MSG_RESET, .a = cause});
    }
    die(c);
}

static void on_timer(evutil_socket_t fd, short what, void *user)
{
    struct tunnel_carrier *c = user;

    if (c->dying || !c->bound)
        tunnel_carrier_free(c);
    else
        tunnel_carrier_break(c, c->late);
}

void tunnel_carrier_fail(struct tunnel_carrier *c, enum reset_cause cause)
{
    c->late = cause;
    event_active(c->timer, EV_TIMEOUT, 0);
}

void tunnel_carrier_limit(struct tunnel_carrier *c, nsec_t wait_ns)
{
    struct timeval tv = {.tv_sec = (time_t)(wait_ns / NSEC_PER_S),
                         .tv_usec = (suseconds_t)(wait_ns % NSEC_PER_S / NSEC_PER_US)};

    event_del(c->timer);
    if (wait_ns) event_add(c->timer, &tv);
}

void tunnel_carrier_over(struct wire *w)
{
    struct tunnel_carrier *c = (struct tunnel_carrier *)w;
    bool in_order = c->said_last && c->told_last && !c->was_reset && !c->told_reset;

    c->bound = false;
    if (!in_order || c->closed) {
        die(c);
        return;
    }
    h2_drain(c->h2);
    tunnel_carrier_limit(c, CLOSE_NS);
}

/* The connection
 * -------------------------------------------------------------------------------------- */

static void on_ready(void *user)
{
    struct tunnel_carrier *c = user;

    if (c->ops->ready) c->ops->ready(c);
}

static void on_opened(void *user, struct stream *s, const struct h2_request *request)
{
    struct tunnel_carrier *c = user;

    if (c->ops->opened && !c->dying)
        c->ops->opened(c, s, request);
    else
        stream_free(s, true);
}

static void on_closed(void *user, enum stream_end end, const char *what)
{
    struct tunnel_carrier *c = user;

    c->closed = true;
    tunnel_carrier_break(c, cause_of_end(end, c->control.stream != NULL));
}

static const struct h2_callbacks callbacks = {.ready = on_ready, .opened = on_opened, .closed = on_closed};

int tunnel_carrier_init(struct tunnel_carrier *c, struct event_base *base,
                        const struct tunnel_carrier_ops *ops)
{
    c->ops = ops;
    c->late = RESET_UNREACHABLE;
    list_init(&c->siblings);
    c->timer = event_new(base, -1, 0, on_timer, c);
    return c->timer ? 0 : -ENOMEM;
}

int tunnel_carrier_attach(struct tunnel_carrier *c, struct event_base *base, const struct plan *plan,
                          struct stream *below)
{
    struct h2_options o = tunnel_carrier_h2_options(plan);
    int r = c->ops->is_edge ? h2_edge_new(base, below, &o, &callbacks, c, &c->h2)
                            : h2_connector_new(base, below, &o, &callbacks, c, &c->h2);

    if (r < 0) stream_free(below, true);
    return r;
}

/* The control stream
 * ---------------------------------------------------------------------------------- */

void tunnel_carrier_tell(struct tunnel_carrier *c, struct msg m)
{
    if (!c->bound || c->told_last || c->told_reset) return;
    if (m.flags & MSG_LAST) c->told_last = true;
    driver_receive(&c->wire, m);
}

static void on_first(void *user, const struct tunnel_control *message)
{
    struct tunnel_carrier *c = user;

    c->ops->first(c, message);
}

static void on_told(void *user, struct msg m)
{
    tunnel_carrier_tell(user, m);
}

static void on_last(void *user)
{
    /* Without a kind: the line that said why it ends was told before. */
    tunnel_carrier_tell(user, (struct msg){.type = MSG_DATA, .kind = M_BYTES, .flags = MSG_LAST});
}

static void on_broken(void *user, enum reset_cause cause, const char *what)
{
    tunnel_carrier_break(user, cause);
}

static const struct tunnel_link_handler link_handler = {
    .first = on_first,
    .told = on_told,
    .last = on_last,
    .broken = on_broken,
};

void tunnel_carrier_control(struct tunnel_carrier *c, struct stream *s)
{
    tunnel_link_start(&c->control, s, c->ops->is_edge, &link_handler, c);
}

void tunnel_carrier_send(struct tunnel_carrier *c, const struct msg *m)
{
    if (m->type == MSG_RESET) {
        c->was_reset = true;
        return;
    }
    if (m->flags & MSG_LAST) c->said_last = true;
    if (m->type == MSG_DATA) tunnel_link_send(&c->control, m);
}
