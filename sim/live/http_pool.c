#include "sim/live/http_pool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sim/base/list.h"
#include "sim/live/tcp.h"
#include "sim/live/tls.h"

struct idle {
    struct list link;
    struct http_pool *pool;
    struct http_conn *conn;
    nsec_t since_ns;
};

struct http_pool {
    struct event_base *base;
    struct http_pool_options opts;
    char *address, *hostname;
    struct list idle; /* the one used last is first */
};

static nsec_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (nsec_t)ts.tv_sec * NSEC_PER_S + (nsec_t)ts.tv_nsec;
}

static struct http_conn *idle_end(struct idle *i)
{
    struct http_conn *c = i->conn;

    list_remove(&i->link);
    free(i);
    return c;
}

/* The server closed an idle connection. */
static void on_closed(void *user)
{
    http_conn_free(idle_end(user), false);
}

static const struct http_conn_handler idle_handler = {.closed = on_closed};

int http_pool_new(struct event_base *base, const struct http_pool_options *o, struct http_pool **ret_pool)
{
    struct http_pool *p = calloc(1, sizeof *p);

    if (!p) return -ENOMEM;
    p->base = base;
    p->opts = *o;
    p->address = strdup(o->address);
    p->hostname = strdup(o->hostname ? o->hostname : o->address);
    list_init(&p->idle);
    if (!p->address || !p->hostname) {
        http_pool_free(p);
        return -ENOMEM;
    }
    *ret_pool = p;
    return 0;
}

void http_pool_free(struct http_pool *p)
{
    if (!p) return;
    while (!list_is_empty(&p->idle))
        http_conn_free(idle_end(container_of(list_first(&p->idle), struct idle, link)), false);
    free(p->address);
    free(p->hostname);
    free(p);
}

const char *http_pool_host(const struct http_pool *p)
{
    return p->hostname;
}

/* Of "host:port", "[::1]:port" or "host": the host, as a certificate has it. */
static void tls_name(const char *hostname, char ret_name[TLS_NAME_MAX])
{
    if (*hostname == '[')
        snprintf(ret_name, TLS_NAME_MAX, "%.*s", (int)strcspn(hostname + 1, "]"), hostname + 1);
    else
        snprintf(ret_name, TLS_NAME_MAX, "%.*s", (int)strcspn(hostname, ":"), hostname);
}

static int dial(struct http_pool *p, struct stream **ret)
{
    char name[TLS_NAME_MAX];
    struct tcp_options tcp = {.connect_timeout_ns = p->opts.connect_timeout_ns};
    struct stream *plain;
    int r = tcp_dial(p->base, p->address, &tcp, &plain);

    if (r < 0) return r;
    if (!p->opts.tls) {
        *ret = plain;
        return 0;
    }
    tls_name(p->hostname, name);
    r = tls_wrap_client(p->base, plain, p->opts.tls, name, ret);
    if (r < 0) stream_free(plain, true);
    return r;
}

int http_pool_take(struct http_pool *p, const struct http_conn_handler *h, void *user,
                   struct http_conn **ret_conn)
{
    struct stream *s;
    int r;

    while (!list_is_empty(&p->idle)) {
        struct idle *i = container_of(list_first(&p->idle), struct idle, link);
        bool young = now_ns() - i->since_ns <= p->opts.idle_ns;
        struct http_conn *c = idle_end(i);

        if (young && http_conn_idle(c)) {
            http_conn_set_handler(c, h, user);
            *ret_conn = c;
            return 0;
        }
        http_conn_free(c, false);
    }
    if ((r = dial(p, &s)) < 0) return r;
    r = http_conn_new(p->base, s, p->opts.body_bytes_max, h, user, ret_conn);
    if (r < 0) stream_free(s, true);
    return r;
}

void http_pool_give(struct http_pool *p, struct http_conn *c, bool reusable)
{
    struct idle *i = reusable && p->opts.idle_ns && http_conn_idle(c) ? malloc(sizeof *i) : NULL;

    if (!i) {
        http_conn_free(c, false);
        return;
    }
    *i = (struct idle){.pool = p, .conn = c, .since_ns = now_ns()};
    list_push_front(&p->idle, &i->link);
    http_conn_set_handler(c, &idle_handler, i);
}
