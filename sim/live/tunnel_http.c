#include "sim/live/tunnel_http.h"

#include <errno.h>
#include <event2/buffer.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Headers about one connection, and those that each hop writes itself. */
static bool is_own(const char *name)
{
    static const char *const own[] = {
        "Connection",         "Keep-Alive", "Proxy-Connection", "TE",
        "Transfer-Encoding",  "Trailer",    "Upgrade",          "Proxy-Authorization",
        "Proxy-Authenticate", "Host",       "Content-Length",   "Expect",
        HTTP_UNSEEN_HEADER};

    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        if (strcasecmp(own[i], name) == 0) return true;
    return false;
}

static bool is_among(const struct http_header *list, const char *name)
{
    for (; list && list->name; list++)
        if (strcasecmp(list->name, name) == 0) return true;
    return false;
}

static bool passes(const struct http_head *head, const struct http_header *more, const char *name)
{
    return !is_own(name) && !is_among(more, name) && !http_head_has_token(head, "Connection", name);
}

static char *copy_header(struct http_header *to, const struct http_header *from, char *text)
{
    to->name = text;
    text = stpcpy(text, from->name) + 1;
    to->value = text;
    return stpcpy(text, from->value) + 1;
}

static size_t cost(const struct http_header *h)
{
    return sizeof *h + strlen(h->name) + strlen(h->value) + 2;
}

struct http_header *tunnel_pass_headers(const struct http_head *head, const struct http_header *more)
{
    size_t size = sizeof(struct http_header), n = 0, at = 0;
    struct http_header *out;
    char *text;

    for (const struct http_header *h = more; h && h->name; h++, n++) size += cost(h);
    for (unsigned i = 0; i < head->n_headers; i++) {
        if (!passes(head, more, head->headers[i].name)) continue;
        size += cost(&head->headers[i]);
        n++;
    }
    out = malloc(size);
    if (!out) return NULL;
    text = (char *)(out + n + 1);
    for (unsigned i = 0; i < head->n_headers; i++)
        if (passes(head, more, head->headers[i].name))
            text = copy_header(&out[at++], &head->headers[i], text);
    for (const struct http_header *h = more; h && h->name; h++) text = copy_header(&out[at++], h, text);
    out[at] = (struct http_header){0};
    return out;
}

bool tunnel_read_id(const struct http_head *head, const char *name, uint64_t *ret_id)
{
    const char *text = http_head_get(head, name);

    if (!text || strlen(text) != 16 || strspn(text, "0123456789abcdefABCDEF") != 16) return false;
    *ret_id = strtoull(text, NULL, 16);
    return true;
}

void tunnel_retry_text(nsec_t wait_ns, char ret_seconds[TUNNEL_RETRY_SIZE])
{
    snprintf(ret_seconds, TUNNEL_RETRY_SIZE, "%" PRIu64, nsec_round_up(wait_ns, NSEC_PER_S) / NSEC_PER_S);
}

struct msg tunnel_refusal(int status, nsec_t retry_after_ns)
{
    return (struct msg){.type = MSG_OPEN,
                        .kind = M_ERROR,
                        .flags = MSG_LAST,
                        .a = (uint64_t)status,
                        .b = status == 404 ? ERROR_NOT_FOUND : ERROR_OVERLOADED,
                        .c = retry_after_ns};
}

int tunnel_add_error(struct evbuffer *body, int status, const char *message)
{
    return evbuffer_add_printf(body, "{\"error\":{\"status\":%d,\"message\":\"%s\"}}\n", status, message) < 0
               ? -ENOMEM
               : 0;
}

void tunnel_reply_error(struct http_exchange *x, int status, const char *message, nsec_t retry_after_ns)
{
    char seconds[TUNNEL_RETRY_SIZE];
    struct http_header headers[3] = {{"Content-Type", "application/json"}};
    struct evbuffer *body = evbuffer_new();

    if (retry_after_ns) {
        tunnel_retry_text(retry_after_ns, seconds);
        headers[1] = (struct http_header){"Retry-After", seconds};
    }
    if (!body || tunnel_add_error(body, status, message) < 0) {
        http_reply_bytes(x, status, NULL, NULL, 0);
    } else {
        http_reply(x, status, headers, body);
    }
    if (body) evbuffer_free(body);
}
