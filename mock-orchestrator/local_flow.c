#include "mock-orchestrator/local_flow.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>

#include "sim/base/panic.h"

struct local_flow {
    struct dialer dialer;
    struct driver *driver;
};

/* One end. The ends know of each other while both are bound. */
struct end {
    struct wire wire;
    struct end *peer;
    struct event *refuse; /* of an end whose peer was not there */
};

static void end_send(struct wire *w, const struct msg *m)
{
    struct end *e = (struct end *)w;

    if (e->peer) driver_receive(&e->peer->wire, *m);
}

static void end_over(struct wire *w)
{
    struct end *e = (struct end *)w;

    if (e->peer) e->peer->peer = NULL;
    if (e->refuse) event_free(e->refuse);
    free(e);
}

static const struct wire_ops end_ops = {.send = end_send, .over = end_over};

static struct end *end_new(void)
{
    struct end *e = calloc(1, sizeof *e);

    if (!e) PANIC_MEMORY("out of memory for a flow");
    e->wire.ops = &end_ops;
    return e;
}

static void on_refuse(evutil_socket_t fd, short what, void *user)
{
    struct end *e = user;

    driver_receive(&e->wire, (struct msg){.type = MSG_RESET, .a = RESET_REFUSED});
}

static struct wire *local_open(struct dialer *dialer, addr_t from, addr_t to, struct wire *via,
                               const struct msg *m)
{
    struct local_flow *l = (struct local_flow *)dialer;
    struct end *near = end_new(), *far = end_new();

    if (driver_accept(l->driver, to, from, NULL, &far->wire, *m)) {
        near->peer = far;
        far->peer = near;
        return &near->wire;
    }
    free(far);
    near->refuse = event_new(driver_base(l->driver), -1, 0, on_refuse, near);
    if (!near->refuse) PANIC_MEMORY("out of memory for a flow");
    event_active(near->refuse, EV_TIMEOUT, 0);
    return &near->wire;
}

int local_flow_new(struct driver *driver, struct dialer **ret_dialer)
{
    struct local_flow *l = calloc(1, sizeof *l);

    if (!l) return -ENOMEM;
    l->dialer.open = local_open;
    l->driver = driver;
    *ret_dialer = &l->dialer;
    return 0;
}

void local_flow_free(struct dialer *dialer)
{
    free(dialer);
}
