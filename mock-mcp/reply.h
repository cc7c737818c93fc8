/*
 * The answer to one tools/call: a result with one block of text, written as fast as the client reads. The
 * text is generated from an id (content.h) or given.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "mock-mcp/revision.h"

struct evbuffer;
struct http_exchange;

struct reply {
    enum mcp_era era;
    bool sse;              /* as an event stream */
    char *id;              /* of JSON-RPC, as JSON; owned */
    struct evbuffer *text; /* given, already escaped for JSON; owned; NULL: generated */
    uint64_t content_id, chars;
    uint64_t sent; /* characters so far */
    bool started;
};

void mcp_reply_deinit(struct reply *r);

/* Starts the answer and writes what the connection takes. True: the exchange has been ended. Otherwise call
 * mcp_reply_go_on() when it is writable. */
bool mcp_reply_start(struct reply *r, struct http_exchange *x);
bool mcp_reply_go_on(struct reply *r, struct http_exchange *x);
