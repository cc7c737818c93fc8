#include "sim/live/mcp_exchange.h"

#include <errno.h>
#include <event2/buffer.h>

#include "sim/base/panic.h"
#include "sim/live/cause.h"
#include "sim/live/driver.h"
#include "sim/live/tunnel_http.h"

static void drop_decoder(struct mcp_exchange *x)
{
    if (x->decoder) x->codec->decoder_free(x->decoder);
    x->decoder = NULL;
}

static void on_head(void *user, const struct http_head *head)
{
    struct mcp_exchange *x = user;

    x->bytes = head->wire_bytes;
    x->unseen = http_head_unseen(head);
    if (x->codec->decoder_new(x->codec, &x->call, head, &x->decoder) < 0) PANIC_MEMORY("out of memory");
}

static void on_data(void *user, struct evbuffer *body)
{
    struct mcp_exchange *x = user;
    size_t n = evbuffer_get_length(body);

    x->bytes += n;
    x->codec->decoder_feed(x->decoder, body);
    evbuffer_drain(body, evbuffer_get_length(body));
    http_conn_consumed(x->conn, n);
}

static void on_end(void *user, bool reusable)
{
    struct mcp_exchange *x = user;
    struct mcp_answer a = {0};

    x->codec->decoder_end(x->decoder, &a);
    drop_decoder(x);
    x->handler->done(x->user,
                     (struct msg){.kind = M_MCP_RESULT,
                                  .bytes = x->bytes < UINT32_MAX ? (uint32_t)x->bytes : UINT32_MAX,
                                  .a = x->call.a,
                                  .b = a.status | (a.corrupt ? MCP_CORRUPT : 0),
                                  .c = a.chars,
                                  .d = x->call.d,
                                  .e = a.retry_after_ns},
                     reusable);
}

static void on_failed(void *user, const struct http_failure *f)
{
    struct mcp_exchange *x = user;

    drop_decoder(x);
    x->handler->failed(x->user, cause_of_failure(f));
}

static void on_closed(void *user)
{
    struct mcp_exchange *x = user;

    if (x->handler->closed) x->handler->closed(x->user);
}

const struct http_conn_handler mcp_exchange_conn = {
    .head = on_head, .data = on_data, .end = on_end, .failed = on_failed, .closed = on_closed};

int mcp_exchange_start(struct mcp_exchange *x, struct http_conn *conn, const char *host,
                       const struct msg *call)
{
    struct mcp_request text;
    struct evbuffer *body = evbuffer_new();
    int r = body ? x->codec->encode(x->codec, call, &text, body) : -ENOMEM;

    ASSERT(!x->decoder);
    x->conn = conn;
    x->call = *call;
    if (r == 0) {
        struct http_request request = {.method = text.method,
                                       .target = text.target,
                                       .host = host,
                                       .headers = text.headers,
                                       .body = body};
        r = http_conn_request(conn, &request);
    }
    if (body) evbuffer_free(body);
    return r;
}

void mcp_exchange_receive(const struct mcp_exchange *x, struct wire *w, struct msg result)
{
    if (x->unseen)
        driver_returned(w, M_MCP_CALL, result);
    else
        driver_receive(w, result);
}

void mcp_exchange_deinit(struct mcp_exchange *x)
{
    drop_decoder(x);
}
