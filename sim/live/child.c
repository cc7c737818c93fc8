#include "sim/live/child.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sim/live/tcp.h"

struct child_link {
    const struct child_handler *handler;
    void *user;
    struct event *readable, *idle;
    int fd;
};

static void handle_line(struct child_link *l, const char *line)
{
    uint64_t a, b;

    if (sscanf(line, "go %" SCNu64 " %" SCNu64, &a, &b) == 2)
        l->handler->go(l->user, a, b);
    else if (sscanf(line, "crash %" SCNu64, &a) == 1)
        l->handler->crash(l->user, (addr_t)a);
    else if (sscanf(line, "start %" SCNu64 " %" SCNu64, &a, &b) == 2)
        l->handler->start(l->user, (addr_t)a, (uint32_t)b);
    else if (sscanf(line, "stop %" SCNu64, &a) == 1)
        l->handler->stop(l->user, (addr_t)a);
    else if (strcmp(line, "settle") == 0)
        event_active(l->idle, EV_TIMEOUT, 0);
    else if (strcmp(line, "end") == 0)
        l->handler->end(l->user);
    else
        l->handler->exit(l->user);
}

static void on_idle(evutil_socket_t fd, short what, void *arg)
{
    child_say(arg, "settled");
}

/* The socket keeps message boundaries (SOCK_SEQPACKET): one line a message. */
static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct child_link *l = arg;
    char line[128];
    ssize_t n = recv(fd, line, sizeof line - 1, MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
        event_del(l->readable);
        l->handler->exit(l->user);
        return;
    }
    line[n] = '\0';
    handle_line(l, line);
}

int child_link_new(struct event_base *base, int control_fd, const struct child_handler *h, void *user,
                   struct child_link **ret)
{
    struct child_link *l = calloc(1, sizeof *l);

    if (!l) return -ENOMEM;
    *l = (struct child_link){.handler = h, .user = user, .fd = control_fd};
    l->readable = event_new(base, control_fd, EV_READ | EV_PERSIST, on_readable, l);
    l->idle = event_new(base, -1, 0, on_idle, l);
    if (!l->readable || !l->idle || event_priority_set(l->idle, TCP_BASE_IDLE) < 0 ||
        event_add(l->readable, NULL) < 0) {
        child_link_free(l);
        return -ENOMEM;
    }
    *ret = l;
    return 0;
}

void child_link_free(struct child_link *l)
{
    if (!l) return;
    if (l->readable) event_free(l->readable);
    if (l->idle) event_free(l->idle);
    free(l);
}

void child_say(struct child_link *l, const char *line)
{
    /* A supervisor that is gone is noticed by the reader. */
    (void)!send(l->fd, line, strlen(line), MSG_NOSIGNAL);
}
