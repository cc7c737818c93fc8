#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>

#include "sim/base/panic.h"
#include "sim/live/driver.h"
#include "sim/live/http_pool.h"
#include "sim/live/mcp_exchange.h"
#include "sim/live/tunnel_dialer.h"
#include "sim/record/recorder.h"

struct mcp_direct {
    struct dialer dialer; /* first */
    struct driver *driver;
    const struct mcp_codec *codec;
    struct http_pool **pools; /* by server */
    uint32_t count;
};

/* One call. */
struct direct_call {
    struct wire wire; /* first */
    struct mcp_direct *surface;
    struct http_pool *pool;
    struct http_conn *conn; /* NULL: given back, or there never was one */
    struct mcp_exchange exchange;
    struct event *fail_event;
};

static void on_done(void *user, struct msg result, bool reusable)
{
    struct direct_call *c = user;

    http_pool_give(c->pool, c->conn, reusable);
    c->conn = NULL;
    result.type = MSG_OPEN;
    result.flags = MSG_LAST;
    mcp_exchange_receive(&c->exchange, &c->wire, result);
}

static void on_call_failed(void *user, enum reset_cause cause)
{
    struct direct_call *c = user;

    driver_receive(&c->wire, (struct msg){.type = MSG_RESET, .a = cause});
}

static const struct mcp_exchange_handler exchange_handler = {.done = on_done, .failed = on_call_failed};

static void call_send(struct wire *w, const struct msg *m)
{
    /* The call was sent with the OPEN; nothing but CREDIT and RESET may follow. */
}

static void call_over(struct wire *w)
{
    struct direct_call *c = (struct direct_call *)w;

    http_conn_free(c->conn, true);
    mcp_exchange_deinit(&c->exchange);
    if (c->fail_event) event_free(c->fail_event);
    free(c);
}

static const struct wire_ops call_ops = {.send = call_send, .over = call_over};

static void on_fail(evutil_socket_t fd, short what, void *user)
{
    on_call_failed(user, RESET_REFUSED);
}

static int start(struct direct_call *c, const struct msg *m)
{
    int r = http_pool_take(c->pool, &mcp_exchange_conn, &c->exchange, &c->conn);

    return r < 0 ? r : mcp_exchange_start(&c->exchange, c->conn, http_pool_host(c->pool), m);
}

static struct wire *call_open(struct dialer *dialer, addr_t from, addr_t to, struct wire *via,
                              const struct msg *m)
{
    struct mcp_direct *t = (struct mcp_direct *)dialer;
    struct direct_call *c = calloc(1, sizeof *c);

    if (!c) PANIC_MEMORY("out of memory");
    ASSERT(ADDR_ORDINAL(to) < t->count);
    c->wire.ops = &call_ops;
    c->surface = t;
    c->pool = t->pools[ADDR_ORDINAL(to)];
    c->exchange = (struct mcp_exchange){.codec = t->codec, .handler = &exchange_handler, .user = c};
    if (start(c, m) == 0) return &c->wire;
    c->fail_event = event_new(driver_base(t->driver), -1, 0, on_fail, c);
    if (!c->fail_event) PANIC_MEMORY("out of memory");
    event_active(c->fail_event, EV_TIMEOUT, 0);
    return &c->wire;
}

static int make_pools(struct mcp_direct *t, const char *const *addresses)
{
    const struct plan_link *link = &driver_plan(t->driver)->links[LINK_ORCHESTRATOR_MCP];
    int r = 0;

    for (uint32_t i = 0; i < t->count && r == 0; i++) {
        struct http_pool_options o = {.address = addresses[i],
                                      .connect_timeout_ns = link->dial_timeout_ns,
                                      .idle_ns = link->keep_alive ? link->keep_alive_idle_ns : 0};
        r = http_pool_new(driver_base(t->driver), &o, &t->pools[i]);
    }
    return r;
}

int mcp_direct_new(struct driver *d, const char *const *addresses, const struct mcp_codec *codec,
                   struct mcp_direct **ret_direct)
{
    struct mcp_direct *t = calloc(1, sizeof *t);
    int r;

    if (!t) return -ENOMEM;
    t->dialer.open = call_open;
    t->driver = d;
    t->codec = codec;
    t->count = driver_plan(d)->mcp_count;
    t->pools = calloc((size_t)t->count + 1, sizeof(struct http_pool *));
    r = t->pools ? make_pools(t, addresses) : -ENOMEM;
    if (r < 0) {
        mcp_direct_free(t);
        return r;
    }
    driver_set_dialer(d, ROLE_ORCHESTRATOR, ROLE_MCP, &t->dialer);
    *ret_direct = t;
    return 0;
}

void mcp_direct_free(struct mcp_direct *t)
{
    if (!t) return;
    for (uint32_t i = 0; t->pools && i < t->count; i++) http_pool_free(t->pools[i]);
    free(t->pools);
    free(t);
}
