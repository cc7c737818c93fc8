/*
 * Between the surfaces that carry an MCP call and the JSON of MCP.
 *
 * A surface has a connection to an MCP server, through a tunnel or not, and knows HTTP; a codec knows what
 * stands in a call's request and in its answer. The codec is the agent's own client: its calls ask for
 * generated text (content.h), and it checks what comes back.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/live/http1.h"
#include "sim/world/msg.h"

struct evbuffer;

/* Headers that every request of a codec carries, so that all parties can put their marks under one id:
 * msg.a and msg.d of M_MCP_CALL, each as 16 hexadecimal digits. Names as they are sent. */
#define MCP_ATTEMPT_HEADER "windtunnel-attempt"
#define MCP_CALL_HEADER    "windtunnel-call"

enum {
    MCP_HEADERS_MAX = 16, /* of a request, with the NULL at the end */
    MCP_TEXT_MAX = 512,   /* of all their values */
};

/* A request but for its Host, which the surface knows. */
struct mcp_request {
    const char *method, *target;                 /* "POST", "/mcp"; static or in `text` */
    struct http_header headers[MCP_HEADERS_MAX]; /* ends with a NULL name; without Host and Content-Length */
    char text[MCP_TEXT_MAX];                     /* room for what they point at: do not copy the struct */
};

/* What an answer said. */
struct mcp_answer {
    uint32_t status; /* for M_MCP_RESULT.b: 200, or the failure: the HTTP status, or 502 for an answer of
                        200 that is no result of this call */
    uint64_t chars;  /* for M_MCP_RESULT.c: characters of text in the result */
    nsec_t retry_after_ns; /* for M_MCP_RESULT.e */
    bool corrupt;          /* the text is not the one that belongs to the call */
};

/* Reads one answer, in pieces. */
struct mcp_decoder;

struct mcp_codec {
    /* Fills in a request for `call` (an M_MCP_CALL) and appends its body to `body`. -ENOMEM. */
    int (*encode)(const struct mcp_codec *codec, const struct msg *call, struct mcp_request *ret_request,
                  struct evbuffer *body);
    /* The head of the answer to `call` has come; `head` is valid in the call only. -ENOMEM. */
    int (*decoder_new)(const struct mcp_codec *codec, const struct msg *call, const struct http_head *head,
                       struct mcp_decoder **ret_decoder);
    /* Takes all of `body`: the next bytes of the answer's body. Keeps a bounded amount, whatever comes. */
    void (*decoder_feed)(struct mcp_decoder *d, struct evbuffer *body);
    /* The answer is complete. Once. */
    void (*decoder_end)(struct mcp_decoder *d, struct mcp_answer *ret_answer);
    /* NULL is allowed; also before the end. */
    void (*decoder_free)(struct mcp_decoder *d);
};
