/*
 * Keep-alive connections to one server: the most recently used idle one serves the next request, an idle one
 * too old is closed, otherwise a new one is dialed. The same rule as the virtual network's.
 *
 * It never repeats a request: a connection that breaks is the request's failure, and what to do about it is
 * decided by the component that made the request.
 */
#pragma once

#include "sim/base/nsec.h"
#include "sim/live/http_client.h"

struct event_base;
struct http_pool;
struct tls_context;

struct http_pool_options {
    const char *address;       /* numeric "ip:port" */
    const char *hostname;      /* for Host and, without a port, TLS; NULL: the address */
    struct tls_context *tls;   /* NULL: plain; borrowed, must outlive the pool */
    nsec_t connect_timeout_ns; /* 0: 10 s */
    nsec_t idle_ns;            /* an idle connection is used again up to this age; 0: never */
    uint64_t body_bytes_max;   /* of an answer; see http_conn_new() */
};

/* Strings are copied. -ENOMEM. */
int http_pool_new(struct event_base *base, const struct http_pool_options *o, struct http_pool **ret_pool);
/* Closes idle connections. Those in use live on and are freed by their users with http_conn_free(). NULL is
 * allowed. */
void http_pool_free(struct http_pool *p);

/* A connection that is idle or coming up, for one request; `h` as for http_conn_new(). -ENOMEM or the dial's
 * errno. */
int http_pool_take(struct http_pool *p, const struct http_conn_handler *h, void *user,
                   struct http_conn **ret_conn);

/* Gives a connection back. Closed unless `reusable` and idle. Not from within http_conn_request(). */
void http_pool_give(struct http_pool *p, struct http_conn *c, bool reusable);

/* What to put into http_request.host. */
const char *http_pool_host(const struct http_pool *p);
