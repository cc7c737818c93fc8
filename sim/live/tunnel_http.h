/*
 * What the tunnel's surfaces share of HTTP.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "sim/base/nsec.h"
#include "sim/live/http1.h"
#include "sim/live/http_client.h"
#include "sim/live/http_server.h"
#include "sim/world/msg.h"

/* A copy of all headers of `head` that go through a proxy: without those that are about one connection
 * (RFC 9110, 7.6.1), Host, Content-Length and those named in `more`, which follow. `more` ends with a NULL
 * name and may be NULL. One block, to be freed with free(); NULL: out of memory. */
struct http_header *tunnel_pass_headers(const struct http_head *head, const struct http_header *more);

/* The header's 16 hexadecimal digits; false if it is not there or anything else. */
bool tunnel_read_id(const struct http_head *head, const char *name, uint64_t *ret_id);

enum { TUNNEL_RETRY_SIZE = 24 };
/* The text of Retry-After: whole seconds, rounded up; the edge and the proxy choose no others. */
void tunnel_retry_text(nsec_t wait_ns, char ret_seconds[TUNNEL_RETRY_SIZE]);

/* What a component is told whose tunnel stream was answered with a status that refuses it. */
struct msg tunnel_refusal(int status, nsec_t retry_after_ns);

/* The body of an error answer. -ENOMEM. */
int tunnel_add_error(struct evbuffer *body, int status, const char *message);

/* Replies with an error: a short JSON body and, if it is not 0, Retry-After. Ends the exchange. `message` is
 * plain text without quotes. */
void tunnel_reply_error(struct http_exchange *x, int status, const char *message, nsec_t retry_after_ns);
