#include "sim/live/tunnel_dialer.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/panic.h"
#include "sim/live/driver.h"
#include "sim/live/mcp_exchange.h"
#include "sim/live/tunnel_http.h"
#include "sim/live/tunnel_limits.h"
#include "sim/live/tunnel_names.h"
#include "sim/record/recorder.h"

enum { BYTES_READY = 1500 };

struct tunnel_dialer {
    struct dialer dialer; /* first */
    struct driver *driver;
    struct tunnel_outside *outside;
    const struct mcp_codec *codec;
};

/* A tunnel stream. It has an opening, then the stream, then the inner TLS, then the HTTP connection. */
struct outgoing {
    struct wire wire; /* first */
    struct tunnel_dialer *surface;
    struct tunnel_opening *opening;
    struct stream *stream;
    struct http_conn *conn;
    struct mcp_exchange exchange;
    struct event *fail_event;
    bool told_last, told_reset;
    bool orderly; /* the component said its last word, or gave up */
    char host[TUNNEL_HOST_MAX];
};

static void tell(struct outgoing *s, struct msg m)
{
    if (s->told_last || s->told_reset) return;
    if (m.flags & MSG_LAST) s->told_last = true;
    driver_receive(&s->wire, m);
}

static void tell_reset(struct outgoing *s, enum reset_cause cause)
{
    if (s->told_reset) return;
    s->told_reset = true;
    driver_receive(&s->wire, (struct msg){.type = MSG_RESET, .a = cause});
}

/* Opening
 * ---------------------------------------------------------------------------------------------- */

static void stream_ended(void *user, enum stream_end end, const char *what)
{
    tell_reset(user, end == STREAM_END_PROTOCOL ? RESET_PROTOCOL : RESET_CUT);
}

/* Before the inner TLS: nothing may come. */
static const struct stream_handler idle_stream = {.ended = stream_ended};

static void on_opened(void *user, struct stream *stream)
{
    struct outgoing *s = user;

    s->opening = NULL;
    s->stream = stream;
    stream_set_handler(stream, &idle_stream, s);
    tell(s, (struct msg){.type = MSG_OPEN, .kind = M_OK});
}

static void on_refused(void *user, int status, bool unseen, nsec_t retry_after_ns)
{
    struct outgoing *s = user;
    struct msg m = tunnel_refusal(status, retry_after_ns);

    s->opening = NULL;
    s->told_last = true;
    if (unseen)
        driver_returned(&s->wire, M_TUNNEL_STREAM, m);
    else
        driver_receive(&s->wire, m);
}

static void on_open_failed(void *user, enum reset_cause cause, const char *what)
{
    struct outgoing *s = user;

    s->opening = NULL;
    tell_reset(s, cause);
}

static const struct tunnel_opening_handler opening_handler = {
    .opened = on_opened, .refused = on_refused, .failed = on_open_failed};

/* Calls
 * ------------------------------------------------------------------------------------------------ */

static void on_done(void *user, struct msg result, bool reusable)
{
    struct outgoing *s = user;

    result.type = MSG_DATA;
    result.flags = reusable ? 0 : MSG_LAST;
    if (s->told_last || s->told_reset) return;
    s->told_last = !reusable;
    mcp_exchange_receive(&s->exchange, &s->wire, result);
}

static void on_call_failed(void *user, enum reset_cause cause)
{
    tell_reset(user, cause == RESET_PROTOCOL ? RESET_PROTOCOL : RESET_CUT);
}

static void on_conn_closed(void *user)
{
    tell(user, (struct msg){.type = MSG_DATA, .kind = M_BYTES, .flags = MSG_LAST});
}

static const struct mcp_exchange_handler exchange_handler = {
    .done = on_done, .failed = on_call_failed, .closed = on_conn_closed};

static void inner_ready(void *user)
{
    struct outgoing *s = user;

    if (http_conn_new(driver_base(s->surface->driver), s->stream, 0, &mcp_exchange_conn, &s->exchange,
                      &s->conn) < 0)
        PANIC_MEMORY("out of memory");
    s->stream = NULL;
    tell(s, (struct msg){.type = MSG_DATA, .kind = M_INNER_READY, .bytes = BYTES_READY});
}

static const struct stream_handler inner_stream = {.ready = inner_ready, .ended = stream_ended};

static void begin_inner(struct outgoing *s)
{
    struct stream *below = s->stream;

    s->stream = NULL;
    if (!below || tunnel_enter(s->surface->outside, below, s->host, &s->stream) < 0)
        tell_reset(s, RESET_CUT);
    else
        stream_set_handler(s->stream, &inner_stream, s);
}

/* Ends in order. The component's flow is over with that: what the peer still says is nobody's business. */
static void finish(struct outgoing *s)
{
    s->orderly = true;
    tell(s, (struct msg){.type = MSG_DATA, .kind = M_BYTES, .flags = MSG_LAST});
}

static void outgoing_send(struct wire *w, const struct msg *m)
{
    struct outgoing *s = (struct outgoing *)w;

    /* `over` follows. Who gives up hangs up: the edge can tell that from a connection that was cut. */
    if (m->type == MSG_RESET) s->orderly = m->a == RESET_CANCEL;
    if (m->type != MSG_DATA) return;
    if (m->kind == M_INNER_HELLO)
        begin_inner(s);
    else if (m->kind == M_MCP_CALL && (!s->conn || mcp_exchange_start(&s->exchange, s->conn, s->host, m) < 0))
        tell_reset(s, RESET_CUT);
    if (m->flags & MSG_LAST) finish(s);
}

static void outgoing_over(struct wire *w)
{
    struct outgoing *s = (struct outgoing *)w;
    bool abort = !s->orderly;

    tunnel_opening_free(s->opening);
    http_conn_free(s->conn, abort);
    stream_free(s->stream, abort);
    mcp_exchange_deinit(&s->exchange);
    if (s->fail_event) event_free(s->fail_event);
    free(s);
}

static const struct wire_ops outgoing_ops = {.send = outgoing_send, .over = outgoing_over};

static void on_fail(evutil_socket_t fd, short what, void *user)
{
    tell_reset(user, RESET_REFUSED);
}

static struct wire *outgoing_open(struct dialer *dialer, addr_t from, addr_t to, struct wire *via,
                                  const struct msg *m)
{
    struct tunnel_dialer *t = (struct tunnel_dialer *)dialer;
    struct outgoing *s = calloc(1, sizeof *s);
    int r;

    if (!s) PANIC_MEMORY("out of memory");
    s->wire.ops = &outgoing_ops;
    s->surface = t;
    s->exchange = (struct mcp_exchange){.codec = t->codec, .handler = &exchange_handler, .user = s};
    r = tunnel_host(driver_plan(t->driver), m->a, s->host);
    if (r == 0) r = tunnel_open(t->outside, s->host, &opening_handler, s, &s->opening);
    if (r == 0) return &s->wire;
    s->fail_event = event_new(driver_base(t->driver), -1, 0, on_fail, s);
    if (!s->fail_event) PANIC_MEMORY("out of memory");
    event_active(s->fail_event, EV_TIMEOUT, 0);
    return &s->wire;
}

int tunnel_dialer_new(struct driver *d, const struct tunnel_outside_options *o, const struct mcp_codec *codec,
                      struct tunnel_dialer **ret_dialer, char ret_why[TLS_WHY_MAX])
{
    const struct plan *plan = driver_plan(d);
    struct tunnel_outside_options outside = *o;
    struct tunnel_dialer *t = calloc(1, sizeof *t);
    int r;

    if (!t) return -ENOMEM;
    outside.dial_timeout_ns = plan->links[LINK_ORCHESTRATOR_EDGE].dial_timeout_ns;
    /* The component gives its attempt up itself; the inner TLS has no other limit. */
    outside.answer_timeout_ns = 0;
    outside.inner_timeout_ns = tunnel_guard_request(plan);
    t->dialer.open = outgoing_open;
    t->driver = d;
    t->codec = codec;
    r = tunnel_outside_new(driver_base(d), &outside, &t->outside, ret_why);
    if (r < 0) {
        free(t);
        return r;
    }
    driver_set_dialer(d, ROLE_ORCHESTRATOR, ROLE_EDGE, &t->dialer);
    *ret_dialer = t;
    return 0;
}

void tunnel_dialer_free(struct tunnel_dialer *t)
{
    if (!t) return;
    tunnel_outside_free(t->outside);
    free(t);
}
