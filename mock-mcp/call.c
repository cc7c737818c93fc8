/*
 * Calls: each is one flow to the component, and one exchange with the client. They end on their own: the flow
 * when the component has answered, the exchange when the client has read all.
 */
#include <errno.h>
#include <event2/buffer.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "mock-mcp/reply.h"
#include "mock-mcp/state.h"
#include "sim/base/str.h"
#include "sim/live/mcp_codec.h"

#define LOCAL_ID_BIT (UINT64_C(1) << 63)
#define ESCAPED_MAX  6 /* bytes for one, in JSON */

struct call {
    struct wire wire;
    struct list link, in_session;
    struct http_exchange *x; /* NULL: ended */
    bool bound;              /* the driver knows the wire */
    struct reply reply;
};

static void call_free(struct call *c)
{
    list_remove(&c->link);
    list_remove(&c->in_session);
    mcp_reply_deinit(&c->reply);
    free(c);
}

static void call_release(struct call *c)
{
    if (!c->x && !c->bound) call_free(c);
}

static void cancel_flow(struct call *c)
{
    if (c->bound) driver_receive(&c->wire, (struct msg){.type = MSG_RESET, .a = RESET_CANCEL});
}

/* --- the client's side --- */

static void on_writable(void *user, struct http_exchange *x)
{
    struct call *c = user;

    if (!c->reply.started || !mcp_reply_go_on(&c->reply, x)) return;
    c->x = NULL;
    call_release(c);
}

static void on_aborted(void *user, struct http_exchange *x)
{
    struct call *c = user;

    http_exchange_abort(x);
    c->x = NULL;
    cancel_flow(c);
    call_release(c);
}

static const struct http_exchange_handler exchange_handler = {.writable = on_writable, .aborted = on_aborted};

/* --- the component's side --- */

static int error_code(uint64_t status)
{
    return status == 500 ? RPC_INTERNAL : RPC_SERVER_ERROR;
}

static void answer_failure(struct call *c, const struct msg *m)
{
    CLEANUP(str_deinit) struct str body = STR_INIT(64 * 1024 + 2 * strlen(c->reply.id));
    struct rpc_error e = {.data = NULL};
    char seconds[24], ms[24];
    struct http_header headers[4] = {{"Content-Type", "application/json"}};
    struct evbuffer *out = evbuffer_new();

    if (!out) {
        http_exchange_abort(c->x);
        return;
    }
    if (m->e) {
        snprintf(seconds, sizeof seconds, "%" PRIu64, (m->e + NSEC_PER_S - 1) / NSEC_PER_S);
        snprintf(ms, sizeof ms, "%" PRIu64, (m->e + NSEC_PER_MS - 1) / NSEC_PER_MS);
        headers[1] = (struct http_header){"Retry-After", seconds};
        headers[2] = (struct http_header){"Retry-After-Ms", ms};
    }
    rpc_refuse(&e, (int)m->b, error_code(m->b), "%s", http1_reason((int)m->b));
    rpc_put_error(&body, c->reply.id, &e);
    evbuffer_add(out, str_text(&body), str_len(&body));
    http_reply(c->x, (int)m->b, headers, out);
    evbuffer_free(out);
}

static void answer(struct call *c, const struct msg *m)
{
    if (m->b == 200) {
        c->reply.chars = m->c;
        if (!mcp_reply_start(&c->reply, c->x)) return;
    } else {
        answer_failure(c, m);
    }
    c->x = NULL;
}

/* Only the head matters: what follows it in M_BODY is made as the client reads. */
static void call_send(struct wire *w, const struct msg *m)
{
    struct call *c = container_of(w, struct call, wire);

    if (!c->x || c->reply.started) return;
    if (m->type == MSG_OPEN && m->kind == M_MCP_RESULT) {
        answer(c, m);
    } else if (m->type == MSG_RESET) {
        http_exchange_abort(c->x);
        c->x = NULL;
    }
}

static void call_over(struct wire *w)
{
    struct call *c = container_of(w, struct call, wire);

    c->bound = false;
    if (c->x && !c->reply.started) {
        http_exchange_abort(c->x);
        c->x = NULL;
    }
    call_release(c);
}

static const struct wire_ops call_ops = {.send = call_send, .over = call_over};

/* --- from both --- */

static bool header_id(const struct http_exchange *x, const char *name, uint64_t *ret)
{
    const char *text = http_exchange_header(x, name);
    char *end;

    if (!text || strlen(text) != 16 || strspn(text, "0123456789abcdefABCDEF") != 16) return false;
    *ret = strtoull(text, &end, 16);
    return true;
}

static struct msg call_message(struct post *p, const struct tool_call *tool)
{
    struct mcp_server *s = p->server;
    struct msg m = {.type = MSG_OPEN,
                    .flags = MSG_LAST,
                    .kind = M_MCP_CALL,
                    .bytes = p->bytes,
                    .b = HOST(0, ADDR_ORDINAL(s->options.self)),
                    .c = tool->chars,
                    .e = tool->delay_ns};
    uint64_t local = LOCAL_ID_BIT | ++s->local_ids;

    if (!header_id(p->x, MCP_ATTEMPT_HEADER, &m.a)) m.a = local;
    if (!header_id(p->x, MCP_CALL_HEADER, &m.d)) m.d = local;
    return m;
}

/* The text to give back, as it stands in the answer. */
static int take_text(struct reply *r, const struct tool_call *tool)
{
    CLEANUP(str_deinit) struct str escaped = STR_INIT(ESCAPED_MAX * tool->text_len + 2);

    if (!tool->text) return 0;
    str_append_json(&escaped, tool->text, tool->text_len);
    r->text = evbuffer_new();
    if (str_error(&escaped) || !r->text) return -ENOMEM;
    return evbuffer_add(r->text, str_text(&escaped) + 1, str_len(&escaped) - 2) < 0 ? -ENOMEM : 0;
}

static struct call *call_new(struct post *p, const struct tool_call *tool, const struct msg *m)
{
    struct call *c = calloc(1, sizeof *c);

    if (!c) return NULL;
    c->wire.ops = &call_ops;
    list_init(&c->link);
    list_init(&c->in_session);
    c->reply = (struct reply){.era = p->era, .sse = p->server->options.event_streams, .content_id = m->d};
    c->reply.id = steal_ptr(p->message.id);
    if (take_text(&c->reply, tool) < 0) {
        call_free(c);
        return NULL;
    }
    return c;
}

void mcp_call_begin(struct post *p)
{
    struct mcp_server *s = p->server;
    struct rpc_error e = {.data = NULL};
    struct tool_call tool;
    struct call *c;
    struct msg m;

    if (mcp_tool_call_read(s->options.tools, p->message.params, &tool, &e) != 0) {
        mcp_answer_error(p->x, p->message.id, &e);
        return;
    }
    m = call_message(p, &tool);
    c = call_new(p, &tool, &m);
    if (!c || !driver_accept(s->driver, s->options.self, s->options.from, NULL, &c->wire, m)) {
        if (c) call_free(c);
        http_exchange_abort(p->x); /* its component has not begun yet: as if nobody were there */
        return;
    }
    c->bound = true;
    c->x = p->x;
    http_exchange_set_handler(c->x, &exchange_handler, c);
    list_push_back(&s->calls, &c->link);
    if (p->session) list_push_back(&p->session->calls, &c->in_session);
}

/* An answer that has begun runs to its end. */
void mcp_calls_cancel(struct mcp_session *session, const char *id)
{
    static const struct http_header headers[] = {{"Content-Type", "text/event-stream"}, {NULL, NULL}};

    list_for_each(c, &session->calls, struct call, in_session)
    {
        if (!c->x || c->reply.started || strcmp(c->reply.id, id) != 0) continue;
        http_reply(c->x, 200, headers, NULL); /* a stream without a message: no answer */
        c->x = NULL;
        cancel_flow(c);
        call_release(c);
        return;
    }
}

void mcp_calls_abort(struct mcp_server *server)
{
    list_for_each(c, &server->calls, struct call, link)
    {
        if (c->x) http_exchange_abort(c->x);
        c->x = NULL;
        list_remove(&c->link);
        list_remove(&c->in_session);
        cancel_flow(c);
        call_release(c);
    }
}
