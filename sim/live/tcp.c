#include "sim/live/tcp.h"

#include "sim/base/panic.h"
#include "sim/live/stream_front.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    READ_MIN = 4 * 1024,  /* one read asks for this much at first … */
    READ_MAX = 64 * 1024, /* … and at most for this much, when reads come back full */
    CHAIN_BYTES = 64,     /* room for libevent's own header, so that an allocation stays a power of two */
    READ_TURN_MAX = 256 * 1024, /* bytes a connection may read in one turn of the loop */
    WRITE_VECS = 64,
    HEAP_TRIM_BYTES = 32 * 1024 * 1024,
    HEAP_MMAP_BYTES = 1024 * 1024,
    ACCEPT_TURN_MAX = 64,
    ACCEPT_REST_MS = 100,
    LINGER_ROUNDS_MAX = 150, /* times linger_ns that a flush may take if it makes progress */
};

#define CONNECT_TIMEOUT_NS (10 * NSEC_PER_S)
#define LINGER_NS          (2 * NSEC_PER_S)

struct tcp_stream {
    struct stream stream;
    struct stream_front front;
    struct event_base *base;
    struct event read_ev, write_ev;
    struct evbuffer *out;
    int fd;
    nsec_t linger_ns;
    size_t window, unconsumed, read_size;
    bool connecting;
    bool above_low; /* the output was above STREAM_LOW_MARK and `writable` is owed */
    bool shut_wanted, shut_done;
    bool write_failed; /* the sending direction is broken; what can still be read is read */
    char peer[TCP_ADDRESS_MAX];
};

static struct timeval timeval_of(nsec_t ns)
{
    return (struct timeval){.tv_sec = ns / NSEC_PER_S, .tv_usec = ns % NSEC_PER_S / NSEC_PER_US};
}

int tcp_base_new(struct event_base **ret_base)
{
    struct event_config *config = event_config_new();
    struct event_base *base = NULL;

    signal(SIGPIPE, SIG_IGN);
    /* Buffers come and go at the top of the heap: giving it back each time costs a quarter of bulk
     * throughput. */
    mallopt(M_TRIM_THRESHOLD, HEAP_TRIM_BYTES);
    mallopt(M_MMAP_THRESHOLD, HEAP_MMAP_BYTES);
    if (!config) return -ENOMEM;
    event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER | EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST |
                                      EVENT_BASE_FLAG_NOLOCK);
    base = event_base_new_with_config(config);
    event_config_free(config);
    if (!base) return -ENOMEM;
    if (event_base_priority_init(base, TCP_BASE_IDLE + 1) < 0) {
        event_base_free(base);
        return -ENOMEM;
    }
    *ret_base = base;
    return 0;
}

/* Sends what the socket takes of `out`. 0, or negative errno other than "try again". */
static int send_some(int fd, struct evbuffer *out)
{
    while (evbuffer_get_length(out) > 0) {
        struct evbuffer_iovec vecs[WRITE_VECS];
        int n = evbuffer_peek(out, -1, NULL, vecs, WRITE_VECS);
        struct msghdr message = {.msg_iov = vecs, .msg_iovlen = n < WRITE_VECS ? n : WRITE_VECS};
        ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL);

        if (sent < 0) {
            if (errno == EINTR) continue;
            return errno == EAGAIN ? 0 : -errno;
        }
        evbuffer_drain(out, sent);
    }
    return 0;
}

/* --- lingering: a freed stream that still flushes, then waits for the peer's FIN --- */

/* Closing a socket with unread input resets it, and the reset may overtake the last output. So what still
 * comes is read and thrown away, for a bounded time. */
struct tcp_linger {
    struct event read_ev, write_ev, timer;
    struct timeval time;
    struct evbuffer *out;
    size_t left; /* output when the timer was last set */
    unsigned rounds;
    int fd;
    struct tcp_linger *next; /* of those that were found on a base */
};

static void linger_free(struct tcp_linger *l)
{
    event_del(&l->read_ev);
    event_del(&l->write_ev);
    event_del(&l->timer);
    evbuffer_free(l->out);
    close(l->fd);
    free(l);
}

/* Once all is sent, says so, and is done if the peer was done before. */
static void linger_flush(struct tcp_linger *l)
{
    if (send_some(l->fd, l->out) < 0) {
        linger_free(l);
        return;
    }
    if (evbuffer_get_length(l->out) > 0) return;
    event_del(&l->write_ev);
    event_add(&l->timer, &l->time);
    shutdown(l->fd, SHUT_WR);
    if (!event_pending(&l->read_ev, EV_READ, NULL)) linger_free(l);
}

static void linger_on_readable(evutil_socket_t fd, short what, void *user)
{
    struct tcp_linger *l = user;
    char waste[READ_MAX];
    ssize_t n = recv(fd, waste, sizeof waste, 0);

    if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR))) return;
    if (n == 0 && evbuffer_get_length(l->out) > 0) {
        event_del(&l->read_ev); /* the peer may be half closed and still read */
        return;
    }
    linger_free(l);
}

static void linger_on_writable(evutil_socket_t fd, short what, void *user)
{
    linger_flush(user);
}

static void linger_on_timeout(evutil_socket_t fd, short what, void *user)
{
    struct tcp_linger *l = user;
    size_t left = evbuffer_get_length(l->out);
    bool progress = left < l->left;

    l->left = left;
    if (progress && left > 0 && ++l->rounds < LINGER_ROUNDS_MAX)
        event_add(&l->timer, &l->time);
    else
        linger_free(l);
}

/* Takes over the socket and the output of `t`. -ENOMEM: nothing was taken. */
static int linger_start(struct tcp_stream *t)
{
    struct tcp_linger *l = calloc(1, sizeof *l);

    if (!l) return -ENOMEM;
    l->time = timeval_of(t->linger_ns);
    l->left = evbuffer_get_length(t->out);
    l->fd = t->fd;
    l->out = t->out;
    t->fd = -1;
    t->out = NULL;
    event_assign(&l->read_ev, t->base, l->fd, EV_READ | EV_PERSIST, linger_on_readable, l);
    event_assign(&l->write_ev, t->base, l->fd, EV_WRITE | EV_PERSIST, linger_on_writable, l);
    event_assign(&l->timer, t->base, -1, 0, linger_on_timeout, l);
    event_add(&l->timer, &l->time);
    if (!t->front.eof) event_add(&l->read_ev, NULL);
    if (evbuffer_get_length(l->out) > 0) event_add(&l->write_ev, NULL);
    linger_flush(l);
    return 0;
}

static int linger_note(const struct event_base *base, const struct event *e, void *user)
{
    struct tcp_linger **first = user, *l;

    if (event_get_callback(e) != linger_on_timeout) return 0;
    l = event_get_callback_arg(e);
    l->next = *first;
    *first = l;
    return 0;
}

/* All that linger on this base: the timer of each is always set. */
static struct tcp_linger *lingering(struct event_base *base)
{
    struct tcp_linger *first = NULL;

    event_base_foreach_event(base, linger_note, &first);
    return first;
}

static void on_patience_over(evutil_socket_t fd, short what, void *user)
{
    *(bool *)user = true;
}

static void linger_wait(struct event_base *base, nsec_t patience)
{
    struct timeval time = timeval_of(patience);
    bool over = false;
    struct event *timer = event_new(base, -1, 0, on_patience_over, &over);

    if (!timer || event_add(timer, &time) < 0) over = true;
    while (!over && lingering(base)) event_base_loop(base, EVLOOP_ONCE);
    if (timer) event_free(timer);
}

void tcp_base_free(struct event_base *base, nsec_t patience)
{
    if (!base) return;
    if (patience > 0) linger_wait(base, patience);
    for (struct tcp_linger *l = lingering(base), *next; l; l = next) {
        next = l->next;
        linger_free(l);
    }
    event_base_free(base);
}

/* --- the stream --- */

static struct tcp_stream *tcp_of(const struct stream *s)
{
    return (struct tcp_stream *)s;
}

static void tcp_end(struct tcp_stream *t, enum stream_end end, int error, const char *doing)
{
    char line[TCP_ADDRESS_MAX + 160];

    snprintf(line, sizeof line, "%s%s%s: %s", doing, *t->peer ? " " : "", t->peer,
             error ? strerror(error) : "closed");
    event_del(&t->read_ev);
    event_del(&t->write_ev);
    evbuffer_drain(t->out, evbuffer_get_length(t->out));
    front_end(&t->front, end, end == STREAM_END_CLEAN ? NULL : line);
}

static void tcp_end_if_closed(struct tcp_stream *t)
{
    if (!t->front.eof || t->front.over) return;
    if (t->write_failed)
        tcp_end(t, STREAM_END_RESET, EPIPE, "connection");
    else if (t->shut_done)
        tcp_end(t, STREAM_END_CLEAN, 0, "connection");
}

static void tcp_shut_if_flushed(struct tcp_stream *t)
{
    if (!t->shut_wanted || t->shut_done || evbuffer_get_length(t->out) > 0) return;
    if (t->write_failed || shutdown(t->fd, SHUT_WR) < 0) t->write_failed = true;
    t->shut_done = true;
    tcp_end_if_closed(t);
}

/* Sends what goes. A broken sending direction is not the end yet: an answer may lie in the receive buffer. */
static void tcp_flush(struct tcp_stream *t)
{
    if (send_some(t->fd, t->out) < 0) {
        t->write_failed = true;
        evbuffer_drain(t->out, evbuffer_get_length(t->out));
        event_active(&t->read_ev, EV_READ, 0);
        tcp_end_if_closed(t);
    }
    if (evbuffer_get_length(t->out) == 0) {
        event_del(&t->write_ev);
        tcp_shut_if_flushed(t);
    } else if (!event_pending(&t->write_ev, EV_WRITE, NULL)) {
        event_add(&t->write_ev, NULL);
    }
}

/* Reads once. The number of bytes, 0: nothing there, negative: over or closed. */
static ssize_t tcp_read_once(struct tcp_stream *t)
{
    struct evbuffer_iovec vec;
    ssize_t n;

    if (evbuffer_reserve_space(t->front.in, t->read_size - CHAIN_BYTES, &vec, 1) < 1) return -ENOMEM;
    if (vec.iov_len > READ_MAX) vec.iov_len = READ_MAX;
    n = recv(t->fd, vec.iov_base, vec.iov_len, 0);
    if (n > 0) {
        bool full = (size_t)n == vec.iov_len;

        vec.iov_len = n;
        evbuffer_commit_space(t->front.in, &vec, 1);
        t->unconsumed += n;
        front_data(&t->front);
        if (full && t->read_size < READ_MAX) t->read_size *= 2;
        if ((size_t)n < t->read_size / 4 && t->read_size > READ_MIN) t->read_size /= 2;
        return full ? n : 0;
    }
    if (n == 0) {
        event_del(&t->read_ev);
        front_eof(&t->front);
        tcp_end_if_closed(t);
        return -1;
    }
    if (errno == EAGAIN || errno == EINTR) return 0;
    tcp_end(t, STREAM_END_RESET, errno, "connection");
    return -1;
}

/* Of a broken connection the end is told, not that there is room; unless the end waits behind input that
 * nobody may consume before there is room. */
static void tcp_check_writable(struct tcp_stream *t)
{
    if (!t->above_low || t->front.over || evbuffer_get_length(t->out) > STREAM_LOW_MARK) return;
    if (t->write_failed && t->unconsumed < t->window) return;
    t->above_low = false;
    front_writable(&t->front);
}

static void on_readable(evutil_socket_t fd, short what, void *user)
{
    struct tcp_stream *t = user;
    size_t turn = 0;
    ssize_t n;

    if (t->front.over || t->front.eof) return;
    do {
        n = tcp_read_once(t);
        if (n > 0) turn += n;
    } while (n > 0 && turn < READ_TURN_MAX && t->unconsumed < t->window);
    if (n == -ENOMEM) tcp_end(t, STREAM_END_RESET, ENOMEM, "connection");
    if (!t->front.over && t->unconsumed >= t->window) event_del(&t->read_ev);
    if (t->write_failed) tcp_check_writable(t);
    front_tell(&t->front);
}

static void tcp_connected(struct tcp_stream *t, short what)
{
    int error = 0;
    socklen_t len = sizeof error;

    if (what & EV_TIMEOUT) {
        tcp_end(t, STREAM_END_TIMEOUT, ETIMEDOUT, "connect to");
        return;
    }
    getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (error) {
        tcp_end(t, error == ETIMEDOUT ? STREAM_END_TIMEOUT : STREAM_END_REFUSED, error, "connect to");
        return;
    }
    t->connecting = false;
    front_up(&t->front);
    event_del(&t->write_ev); /* it had a timeout */
    event_add(&t->read_ev, NULL);
    tcp_flush(t);
}

static void on_writable(evutil_socket_t fd, short what, void *user)
{
    struct tcp_stream *t = user;

    if (t->front.over) return;
    if (t->connecting)
        tcp_connected(t, what);
    else
        tcp_flush(t);
    tcp_check_writable(t);
    front_tell(&t->front);
}

static void tcp_set_handler(struct stream *s, const struct stream_handler *h, void *user)
{
    front_set_handler(&tcp_of(s)->front, h, user);
}

static struct evbuffer *tcp_input(struct stream *s)
{
    return tcp_of(s)->front.in;
}

static void tcp_write(struct stream *s, struct evbuffer *bytes)
{
    struct tcp_stream *t = tcp_of(s);

    if (t->front.over || t->shut_wanted || t->write_failed) {
        evbuffer_drain(bytes, evbuffer_get_length(bytes));
        return;
    }
    evbuffer_add_buffer(t->out, bytes);
    if (!t->connecting && !event_pending(&t->write_ev, EV_WRITE, NULL)) {
        tcp_flush(t);
        if (t->front.over) front_defer(&t->front);
    }
    if (evbuffer_get_length(t->out) > STREAM_LOW_MARK) t->above_low = true;
}

static size_t tcp_pending(const struct stream *s)
{
    return evbuffer_get_length(tcp_of(s)->out);
}

static void tcp_consumed(struct stream *s, size_t bytes)
{
    struct tcp_stream *t = tcp_of(s);

    ASSERT(bytes <= t->unconsumed);
    t->unconsumed -= bytes;
    if (t->front.up && !t->front.eof && !t->front.over && t->unconsumed < t->window &&
        !event_pending(&t->read_ev, EV_READ, NULL))
        event_add(&t->read_ev, NULL);
}

static void tcp_shutdown(struct stream *s)
{
    struct tcp_stream *t = tcp_of(s);

    if (t->front.over || t->shut_wanted) return;
    t->shut_wanted = true;
    if (t->connecting) return;
    tcp_shut_if_flushed(t);
    if (t->front.over) front_defer(&t->front);
}

static void tcp_destroy(struct tcp_stream *t)
{
    event_del(&t->read_ev);
    event_del(&t->write_ev);
    front_deinit(&t->front);
    if (t->out) evbuffer_free(t->out);
    if (t->fd >= 0) close(t->fd);
    free(t);
}

static void tcp_free(struct stream *s, bool abort)
{
    struct tcp_stream *t = tcp_of(s);
    bool nothing_to_wait_for = t->connecting || t->front.over || t->write_failed ||
                               (t->front.eof && evbuffer_get_length(t->out) == 0);

    event_del(&t->read_ev);
    event_del(&t->write_ev);
    if (abort) {
        struct linger reset = {.l_onoff = 1, .l_linger = 0};
        setsockopt(t->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    } else if (!nothing_to_wait_for) {
        (void)linger_start(t); /* without memory it is closed at once */
    }
    tcp_destroy(t);
}

static const struct stream_ops tcp_ops = {
    .set_handler = tcp_set_handler,
    .input = tcp_input,
    .write = tcp_write,
    .pending = tcp_pending,
    .consumed = tcp_consumed,
    .shutdown = tcp_shutdown,
    .free = tcp_free,
};

/* Takes `fd` only on success. */
static int tcp_new(struct event_base *base, int fd, const struct tcp_options *o,
                   struct tcp_stream **ret_stream)
{
    static const struct tcp_options none;
    struct tcp_stream *t = calloc(1, sizeof *t);
    int r;

    if (!t) return -ENOMEM;
    if (!o) o = &none;
    r = front_init(&t->front, base, NULL, t);
    t->out = r < 0 ? NULL : evbuffer_new();
    if (!t->out) {
        front_deinit(&t->front);
        free(t);
        return -ENOMEM;
    }
    t->stream.ops = &tcp_ops;
    t->base = base;
    t->fd = fd;
    t->linger_ns = o->linger_ns ? o->linger_ns : LINGER_NS;
    t->window = o->window ? o->window : STREAM_WINDOW;
    t->read_size = READ_MIN;
    event_assign(&t->read_ev, base, fd, EV_READ | EV_PERSIST, on_readable, t);
    event_assign(&t->write_ev, base, fd, EV_WRITE | EV_PERSIST, on_writable, t);
    *ret_stream = t;
    return 0;
}

static void set_buffers(int fd, const struct tcp_options *o)
{
    if (!o) return;
    if (o->sndbuf > 0) setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &o->sndbuf, sizeof o->sndbuf);
    if (o->rcvbuf > 0) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &o->rcvbuf, sizeof o->rcvbuf);
}

int tcp_wrap(struct event_base *base, int fd, const struct tcp_options *o, struct stream **ret_stream)
{
    struct tcp_stream *t;
    int r = tcp_new(base, fd, o, &t);

    if (r < 0) return r;
    t->front.up = true;
    event_add(&t->read_ev, NULL);
    *ret_stream = &t->stream;
    return 0;
}

enum port_rule { PORT_NONZERO, PORT_ANY, PORT_OPTIONAL };

/* Reads the port behind the address. -1: it is none. */
static int parse_port(const char *text)
{
    int port = 0;

    if (!*text || strlen(text) > 5) return -1;
    for (; *text; text++) {
        if (*text < '0' || *text > '9') return -1;
        port = port * 10 + *text - '0';
    }
    return port <= UINT16_MAX ? port : -1;
}

/* Splits "1.2.3.4:80", "[::1]:80" or, where the port is optional, either without it. */
static int split_address(const char *text, char ret_ip[TCP_ADDRESS_MAX], int *ret_port)
{
    bool v6 = *text == '[';
    size_t len = v6 ? strcspn(text, "]") : strcspn(text, ":");
    const char *rest = text + len + (v6 && text[len]);

    if (v6 && text[len] != ']') return -EINVAL;
    if (len >= TCP_ADDRESS_MAX) return -EINVAL;
    memcpy(ret_ip, text + v6, len - v6);
    ret_ip[len - v6] = '\0';
    *ret_port = *rest == ':' ? parse_port(rest + 1) : -1;
    return *rest && *ret_port < 0 ? -EINVAL : 0;
}

static int parse_address(const char *text, enum port_rule rule, struct sockaddr_storage *ret_address,
                         int *ret_len)
{
    struct sockaddr_in *in4 = (struct sockaddr_in *)ret_address;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret_address;
    char ip[TCP_ADDRESS_MAX];
    int port, r = split_address(text, ip, &port);

    if (r < 0 || (port < 0 && rule != PORT_OPTIONAL) || (port == 0 && rule == PORT_NONZERO)) return -EINVAL;
    memset(ret_address, 0, sizeof *ret_address);
    if (*text == '[') {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(port < 0 ? 0 : port);
        *ret_len = sizeof *in6;
        return inet_pton(AF_INET6, ip, &in6->sin6_addr) == 1 ? 0 : -EINVAL;
    }
    in4->sin_family = AF_INET;
    in4->sin_port = htons(port < 0 ? 0 : port);
    *ret_len = sizeof *in4;
    return inet_pton(AF_INET, ip, &in4->sin_addr) == 1 ? 0 : -EINVAL;
}

bool tcp_is_address(const char *address, bool dialed)
{
    struct sockaddr_storage parsed;
    int len;

    return parse_address(address, dialed ? PORT_NONZERO : PORT_ANY, &parsed, &len) == 0;
}

static int open_socket(int family, const struct tcp_options *o, int *ret_fd)
{
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

    if (fd < 0) return -errno;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    set_buffers(fd, o);
    *ret_fd = fd;
    return 0;
}

/* -EINVAL for a bad source; what the system says otherwise. */
static int bind_source(int fd, const char *source)
{
    struct sockaddr_storage local;
    int len, r, on = 1;

    r = parse_address(source, PORT_OPTIONAL, &local, &len);
    if (r < 0) return r;
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    return bind(fd, (struct sockaddr *)&local, len) < 0 ? -errno : 0;
}

static void start_connect(struct tcp_stream *t, const struct sockaddr *to, int len, nsec_t timeout_ns)
{
    struct timeval timeout = timeval_of(timeout_ns);

    t->connecting = true;
    if (connect(t->fd, to, len) < 0 && errno != EINPROGRESS) {
        tcp_end(t, STREAM_END_REFUSED, errno, "connect to");
        front_defer(&t->front);
        return;
    }
    event_add(&t->write_ev, &timeout);
}

int tcp_dial(struct event_base *base, const char *address, const struct tcp_options *o,
             struct stream **ret_stream)
{
    struct sockaddr_storage to;
    struct tcp_stream *t;
    int fd = -1, len, r;

    r = parse_address(address, PORT_NONZERO, &to, &len);
    if (r < 0) return r;
    r = open_socket(to.ss_family, o, &fd);
    if (r < 0) return r;
    if (o && o->source) r = bind_source(fd, o->source);
    if (r >= 0) r = tcp_new(base, fd, o, &t);
    if (r < 0) {
        close(fd);
        return r;
    }
    snprintf(t->peer, sizeof t->peer, "%s", address);
    start_connect(t, (struct sockaddr *)&to, len,
                  o && o->connect_timeout_ns ? o->connect_timeout_ns : CONNECT_TIMEOUT_NS);
    *ret_stream = &t->stream;
    return 0;
}

/* --- the listener --- */

struct tcp_listener {
    struct event_base *base;
    struct event accept_ev, rest_ev;
    struct tcp_options options;
    tcp_accept_fn *accepted;
    void *user;
    bool accepting, free_wanted; /* freed in its own callback: later */
    int fd;
};

static void address_text(const struct sockaddr_storage *address, char ret_text[TCP_ADDRESS_MAX])
{
    char ip[INET6_ADDRSTRLEN] = "?";

    if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *)address;
        inet_ntop(AF_INET6, &in6->sin6_addr, ip, sizeof ip);
        snprintf(ret_text, TCP_ADDRESS_MAX, "[%s]:%d", ip, ntohs(in6->sin6_port));
    } else {
        const struct sockaddr_in *in4 = (const void *)address;
        inet_ntop(AF_INET, &in4->sin_addr, ip, sizeof ip);
        snprintf(ret_text, TCP_ADDRESS_MAX, "%s:%d", ip, ntohs(in4->sin_port));
    }
}

static void listener_rest(struct tcp_listener *l)
{
    struct timeval rest = timeval_of(ACCEPT_REST_MS * NSEC_PER_MS);

    event_del(&l->accept_ev);
    event_add(&l->rest_ev, &rest);
}

static void on_rested(evutil_socket_t fd, short what, void *user)
{
    struct tcp_listener *l = user;

    event_add(&l->accept_ev, NULL);
}

/* --- the hold --- */

static const struct timeval for_ever = {.tv_sec = INT32_MAX};

/* Known to its base by the timer. */
struct tcp_hold {
    struct event_base *base;
    struct event timer;
};

static void on_hold(evutil_socket_t fd, short what, void *user) {}
static void on_held(evutil_socket_t fd, short what, void *user) {}

static int hold_note(const struct event_base *base, const struct event *e, void *user)
{
    *(bool *)user |= event_get_callback(e) == on_hold;
    return 0;
}

static bool is_holding(struct event_base *base)
{
    bool found = false;

    event_base_foreach_event(base, hold_note, &found);
    return found;
}

static int held_note(const struct event_base *base, const struct event *e, void *user)
{
    struct tcp_listener **first = user;

    if (event_get_callback(e) == on_held) *first = event_get_callback_arg(e);
    return 0;
}

static struct tcp_listener *held_listener(struct event_base *base)
{
    struct tcp_listener *l = NULL;

    event_base_foreach_event(base, held_note, &l);
    return l;
}

/* Takes one connection. False: there is none now. */
static bool accept_one(struct tcp_listener *l)
{
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof address;
    char peer[TCP_ADDRESS_MAX];
    struct stream *s;
    int fd = accept4(l->fd, (struct sockaddr *)&address, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) listener_rest(l);
        return errno == ECONNABORTED || errno == EINTR;
    }
    if (tcp_wrap(l->base, fd, &l->options, &s) < 0) {
        close(fd);
        return true;
    }
    address_text(&address, peer);
    snprintf(tcp_of(s)->peer, TCP_ADDRESS_MAX, "%s", peer);
    l->accepted(l->user, s, peer);
    return true;
}

static void on_accept(evutil_socket_t fd, short what, void *user)
{
    struct tcp_listener *l = user;
    unsigned n = 0;

    l->accepting = true;
    while (n++ < ACCEPT_TURN_MAX && !l->free_wanted && accept_one(l)) continue;
    l->accepting = false;
    if (l->free_wanted) tcp_listener_free(l);
}

static int bind_to(const char *address, const struct tcp_options *o, int *ret_fd)
{
    struct sockaddr_storage at;
    int fd = -1, len, on = 1, r;

    r = parse_address(address, PORT_ANY, &at, &len);
    if (r < 0) return r;
    r = open_socket(at.ss_family, o, &fd);
    if (r < 0) return r;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&at, len) < 0) {
        r = -errno;
        close(fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
}

static int listener_listen(struct tcp_listener *l)
{
    if (listen(l->fd, TCP_BACKLOG) < 0) return -errno;
    event_add(&l->accept_ev, NULL);
    return 0;
}

/* Held ones rest until they may listen, for longer than any run. */
static void listener_hold(struct tcp_listener *l)
{
    event_assign(&l->rest_ev, l->base, -1, 0, on_held, l);
    event_add(&l->rest_ev, &for_ever);
}

int tcp_listener_new(struct event_base *base, const char *address, const struct tcp_options *o,
                     tcp_accept_fn *accepted, void *user, struct tcp_listener **ret_listener)
{
    struct tcp_listener *l = calloc(1, sizeof *l);
    int r;

    if (!l) return -ENOMEM;
    r = bind_to(address, o, &l->fd);
    if (r < 0) {
        free(l);
        return r;
    }
    l->base = base;
    if (o) l->options = *o;
    l->options.sndbuf = l->options.rcvbuf = 0; /* inherited from the listening socket */
    l->options.source = NULL;
    l->accepted = accepted;
    l->user = user;
    event_assign(&l->accept_ev, base, l->fd, EV_READ | EV_PERSIST, on_accept, l);
    event_assign(&l->rest_ev, base, -1, 0, on_rested, l);
    if (is_holding(base))
        listener_hold(l);
    else
        r = listener_listen(l);
    if (r < 0) {
        tcp_listener_free(l);
        return r;
    }
    *ret_listener = l;
    return 0;
}

const char *tcp_listen_why(int error)
{
    switch (error) {
    case -EADDRINUSE: return "it is in use by another program; port 0 takes any free one";
    case -EINVAL: return "it is not a numeric address with a port, such as 127.0.0.1:0";
    default: return strerrordesc_np(-error);
    }
}

int tcp_listener_port(const struct tcp_listener *l)
{
    struct sockaddr_storage at = {0};
    socklen_t len = sizeof at;

    getsockname(l->fd, (struct sockaddr *)&at, &len);
    return ntohs(at.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&at)->sin6_port
                                          : ((struct sockaddr_in *)&at)->sin_port);
}

int tcp_hold_new(struct event_base *base, struct tcp_hold **ret)
{
    struct tcp_hold *h = calloc(1, sizeof *h);

    if (!h) return -ENOMEM;
    h->base = base;
    event_assign(&h->timer, base, -1, 0, on_hold, h);
    event_add(&h->timer, &for_ever);
    *ret = h;
    return 0;
}

int tcp_hold_release(struct tcp_hold *h)
{
    struct tcp_listener *l;
    int r = 0;

    if (!h) return 0;
    while ((l = held_listener(h->base))) {
        int one;

        event_del(&l->rest_ev);
        event_assign(&l->rest_ev, l->base, -1, 0, on_rested, l);
        one = listener_listen(l);
        if (r == 0) r = one;
    }
    event_del(&h->timer);
    free(h);
    return r;
}

void tcp_listener_free(struct tcp_listener *l)
{
    if (!l) return;
    if (l->accepting) {
        l->free_wanted = true;
        return;
    }
    event_del(&l->accept_ev);
    event_del(&l->rest_ev);
    close(l->fd);
    free(l);
}
