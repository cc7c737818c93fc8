/*
 * Requests a second of the HTTP server: POST of 100 bytes, 32 connections, loopback, the server in a process
 * of its own.
 *
 *     bench_http [SECONDS]
 *     bench_http serve          the server alone, for somebody else's client: prints its port; see
 * http_peer.sh
 *
 * Three lines: from a bare socket loop (the server is the limit), from the HTTP client of this folder, and
 * the latter over TLS 1.3. The server's CPU time for a request stands beside each.
 */
#include "sim/base/nsec.h"
#include "sim/base/panic.h"
#include "sim/live/certs.h"
#include "sim/live/http_client.h"
#include "sim/live/http_server.h"
#include "sim/live/tcp.h"
#include "sim/live/tls.h"

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS = 32, BODY_BYTES = 100 };

static nsec_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * NSEC_PER_S + t.tv_nsec;
}

/* --- the server's process --- */

static void on_request(void *user, struct http_exchange *x)
{
    http_reply(x, 200, NULL, http_exchange_body(x));
}

static int open_server(struct tls_context *tls, struct event_base **ret_base)
{
    static const struct http_server_handler handler = {.request = on_request};
    struct http_server_options o = {.listen = "127.0.0.1:0", .tls = tls};
    struct http_server *server;

    ASSERT(tcp_base_new(ret_base) == 0 && http_server_new(*ret_base, &o, &handler, NULL, &server) == 0);
    return http_server_port(server);
}

static void serve(struct tls_context *tls, int port_fd)
{
    struct event_base *base;
    int port;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    port = open_server(tls, &base);
    ASSERT(write(port_fd, &port, sizeof port) == sizeof port);
    event_base_dispatch(base);
    _exit(0);
}

static pid_t start_server(struct tls_context *tls, int *ret_port)
{
    int fds[2];
    pid_t pid;

    ASSERT(pipe(fds) == 0);
    pid = fork();
    ASSERT(pid >= 0);
    if (pid == 0) serve(tls, fds[1]);
    ASSERT(read(fds[0], ret_port, sizeof *ret_port) == sizeof *ret_port);
    close(fds[0]);
    close(fds[1]);
    return pid;
}

/* Ends the server and prints the line. */
static void report(const char *what, pid_t pid, unsigned long done, nsec_t took)
{
    struct rusage usage;
    double cpu_us;

    kill(pid, SIGKILL);
    wait4(pid, NULL, 0, &usage);
    cpu_us = (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 + usage.ru_utime.tv_usec +
             usage.ru_stime.tv_usec;
    printf("%-12s %8.0f req/s, %5.2f us of server CPU each\n", what, done * 1e9 / took, cpu_us / done);
    fflush(stdout);
}

/* --- a bare socket loop --- */

static void bare(unsigned seconds)
{
    char request[512], answer[4096];
    int port, poll_fd = epoll_create1(0), fds[CONNECTIONS];
    size_t want, have[CONNECTIONS] = {0}, len;
    unsigned long done = 0;
    pid_t pid = start_server(NULL, &port);
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    nsec_t start, end;

    len = snprintf(request, sizeof request,
                   "POST /echo HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n%*d", BODY_BYTES,
                   BODY_BYTES, 1);
    want = strlen("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n") + BODY_BYTES;
    for (int i = 0; i < CONNECTIONS; i++) {
        struct epoll_event e = {.events = EPOLLIN, .data.u32 = i};
        int on = 1;

        fds[i] = socket(AF_INET, SOCK_STREAM, 0);
        ASSERT(connect(fds[i], (struct sockaddr *)&to, sizeof to) == 0);
        setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        epoll_ctl(poll_fd, EPOLL_CTL_ADD, fds[i], &e);
        ASSERT(send(fds[i], request, len, 0) == (ssize_t)len);
    }
    start = now_ns();
    end = start + seconds * NSEC_PER_S;
    while (now_ns() < end) {
        struct epoll_event events[CONNECTIONS];
        int n = epoll_wait(poll_fd, events, CONNECTIONS, 100);

        for (int i = 0; i < n; i++) {
            unsigned at = events[i].data.u32;
            ssize_t got = recv(fds[at], answer, sizeof answer, MSG_DONTWAIT);

            ASSERT(got > 0);
            have[at] += got;
            ASSERT(have[at] <= want);
            if (have[at] < want) continue;
            have[at] = 0;
            done++;
            ASSERT(send(fds[at], request, len, 0) == (ssize_t)len);
        }
    }
    report("bare sockets", pid, done, now_ns() - start);
    for (int i = 0; i < CONNECTIONS; i++) close(fds[i]);
    close(poll_fd);
}

/* --- the HTTP client --- */

struct caller {
    struct http_conn *conn;
    unsigned long *done;
    struct evbuffer *body;
};

static void call(struct caller *c)
{
    static const char body[BODY_BYTES];
    struct http_request r = {.method = "POST", .target = "/echo", .host = "127.0.0.1", .body = c->body};

    evbuffer_add(c->body, body, sizeof body);
    ASSERT(http_conn_request(c->conn, &r) == 0);
}

static void on_data(void *user, struct evbuffer *body)
{
    struct caller *c = user;
    size_t n = evbuffer_get_length(body);

    evbuffer_drain(body, n);
    http_conn_consumed(c->conn, n);
}

static void on_end(void *user, bool reusable)
{
    struct caller *c = user;

    ASSERT(reusable);
    ++*c->done;
    call(c);
}

static void on_failed(void *user, const struct http_failure *f)
{
    PANIC("a request failed: %s", f->what);
}

static void through_client(const char *what, struct tls_context *server_tls, struct tls_context *client_tls,
                           unsigned seconds)
{
    static const struct http_conn_handler handler = {.data = on_data, .end = on_end, .failed = on_failed};
    struct timeval time = {.tv_sec = seconds};
    struct caller callers[CONNECTIONS];
    unsigned long done = 0;
    struct event_base *base;
    char address[TCP_ADDRESS_MAX];
    nsec_t start;
    int port;
    pid_t pid = start_server(server_tls, &port);

    ASSERT(tcp_base_new(&base) == 0);
    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    for (int i = 0; i < CONNECTIONS; i++) {
        struct stream *s;

        ASSERT(tcp_dial(base, address, NULL, &s) == 0);
        if (client_tls) ASSERT(tls_wrap_client(base, s, client_tls, "localhost", &s) == 0);
        callers[i] = (struct caller){.done = &done, .body = evbuffer_new()};
        ASSERT(http_conn_new(base, s, 0, &handler, &callers[i], &callers[i].conn) == 0);
        call(&callers[i]);
    }
    event_base_loopexit(base, &time);
    start = now_ns();
    event_base_dispatch(base);
    report(what, pid, done, now_ns() - start);
    for (int i = 0; i < CONNECTIONS; i++) {
        http_conn_free(callers[i].conn, true);
        evbuffer_free(callers[i].body);
    }
    event_base_free(base);
}

static void over_tls(unsigned seconds)
{
    static const char *const names[] = {"localhost", NULL};
    struct cert_options ca_options = {.kind = CERT_CA, .common_name = "ca"};
    struct cert_options server_options = {.kind = CERT_SERVER, .common_name = "server", .names = names};
    struct tls_context *server_tls, *client_tls;
    struct tls_options o = {.server = true};
    struct cert *ca, *cert;

    ASSERT(cert_new(&ca_options, NULL, &ca) == 0 && cert_new(&server_options, ca, &cert) == 0);
    o.cert_pem = cert->cert_pem;
    o.key_pem = cert->key_pem;
    ASSERT(tls_context_new(&o, &server_tls, NULL) == 0);
    o = (struct tls_options){.ca_pem = ca->cert_pem};
    ASSERT(tls_context_new(&o, &client_tls, NULL) == 0);
    through_client("TLS", server_tls, client_tls, seconds);
    tls_context_free(server_tls);
    tls_context_free(client_tls);
    cert_free(ca);
    cert_free(cert);
}

static int serve_alone(void)
{
    struct event_base *base;

    printf("%d\n", open_server(NULL, &base));
    fflush(stdout);
    return event_base_dispatch(base);
}

int main(int argc, char **argv)
{
    unsigned seconds = argc > 1 ? atoi(argv[1]) : 2;

    if (argc > 1 && strcmp(argv[1], "serve") == 0) return serve_alone();
    if (seconds < 1) seconds = 1;
    bare(seconds);
    through_client("HTTP client", NULL, NULL, seconds);
    over_tls(seconds);
    return 0;
}
