#include "mock-mcp/reply.h"

#include <event2/buffer.h>
#include <stdlib.h>
#include <string.h>

#include "sim/live/content.h"
#include "sim/live/http_server.h"

enum { PIECE = 16 * 1024 };

static const struct http_header json_headers[] = {{"Content-Type", "application/json"}, {NULL, NULL}};
static const struct http_header sse_headers[] = {
    {"Content-Type", "text/event-stream"}, {"Cache-Control", "no-cache"}, {NULL, NULL}};

void mcp_reply_deinit(struct reply *r)
{
    free(r->id);
    if (r->text) evbuffer_free(r->text);
    *r = (struct reply){0};
}

static const char *tail(const struct reply *r)
{
    static const char *const tails[2][2] = {{"\"}],\"isError\":false}}", "\"}],\"isError\":false}}\n\n"},
                                            {"\"}],\"isError\":false,\"resultType\":\"complete\"}}",
                                             "\"}],\"isError\":false,\"resultType\":\"complete\"}}\n\n"}};

    return tails[r->era == ERA_MODERN][r->sse];
}

/* Appends the next piece of the text. */
static void add_piece(struct reply *r, struct evbuffer *out)
{
    struct evbuffer_iovec room;
    uint64_t left = r->chars - r->sent;
    size_t n = left < PIECE ? (size_t)left : PIECE;

    if (r->text) {
        evbuffer_remove_buffer(r->text, out, n);
    } else if (evbuffer_reserve_space(out, (ev_ssize_t)n, &room, 1) == 1) {
        content_fill(r->content_id, r->sent, room.iov_base, n);
        room.iov_len = n;
        evbuffer_commit_space(out, &room, 1);
    }
    r->sent += n;
}

bool mcp_reply_start(struct reply *r, struct http_exchange *x)
{
    struct evbuffer *out = evbuffer_new();
    size_t length;

    if (!out) {
        http_exchange_abort(x);
        return true;
    }
    r->started = true;
    if (r->text) r->chars = evbuffer_get_length(r->text); /* escaped, all of it ASCII or UTF-8 bytes */
    evbuffer_add_printf(
        out, "%s{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"",
        r->sse ? "event: message\ndata: " : "", r->id);
    length = evbuffer_get_length(out) + r->chars + strlen(tail(r));
    http_reply_start(x, 200, r->sse ? sse_headers : json_headers, r->sse ? -1 : (int64_t)length);
    http_reply_data(x, out);
    evbuffer_free(out);
    return mcp_reply_go_on(r, x);
}

bool mcp_reply_go_on(struct reply *r, struct http_exchange *x)
{
    struct evbuffer *out = evbuffer_new();

    if (!out) {
        http_exchange_abort(x);
        return true;
    }
    while (r->sent < r->chars && http_exchange_pending(x) <= STREAM_LOW_MARK) {
        add_piece(r, out);
        http_reply_data(x, out);
    }
    if (r->sent == r->chars) {
        evbuffer_add(out, tail(r), strlen(tail(r)));
        http_reply_data(x, out);
        http_reply_end(x);
    }
    evbuffer_free(out);
    return r->sent == r->chars;
}
