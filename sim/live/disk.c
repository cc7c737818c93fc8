#include "sim/live/disk.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim/base/panic.h"
#include "sim/base/vec.h"
#include "sim/live/content.h"

enum { PIECE = 64 * 1024 };

struct disk {
    struct dialer dialer;
    struct event_base *base;
    char *directory;
    VEC(uint64_t) files; /* call ids, to be removed */
};

/* One request: answered from the event loop, as a real file system would be. */
struct request {
    struct wire wire;
    struct event *answer_event;
    struct msg answer;
};

static void path_of(const struct disk *d, uint64_t call, char path[PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s/%016" PRIx64, d->directory, call);
}

static int write_all(int fd, const char *text, size_t n)
{
    while (n) {
        ssize_t done = write(fd, text, n);

        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return -errno;
        text += done;
        n -= (size_t)done;
    }
    return 0;
}

static struct msg failed(void)
{
    return (struct msg){.type = MSG_OPEN, .flags = MSG_LAST, .kind = M_ERROR, .a = 500, .b = ERROR_INTERNAL};
}

static struct msg done(uint64_t a, uint64_t b)
{
    return (struct msg){.type = MSG_OPEN, .flags = MSG_LAST, .kind = M_OK, .a = a, .b = b};
}

static struct msg file_write(struct disk *d, const struct msg *m)
{
    char path[PATH_MAX], text[PIECE];
    int fd, r = 0;

    path_of(d, m->a, path);
    fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0) return failed();
    if (vec_push(&d->files, m->a) < 0) r = -ENOMEM;
    for (uint64_t at = 0; r == 0 && at < m->b; at += PIECE) {
        size_t n = m->b - at < PIECE ? (size_t)(m->b - at) : PIECE;

        content_fill(m->a, at, text, n);
        r = write_all(fd, text, n);
    }
    if (close(fd) < 0) r = -errno;
    return r < 0 ? failed() : done(m->b, 0);
}

static struct msg file_read(struct disk *d, const struct msg *m)
{
    char path[PATH_MAX], text[PIECE];
    uint64_t got = 0, corrupt = 0;
    int fd;

    path_of(d, m->a, path);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return failed();
    while (got < m->c) {
        size_t want = m->c - got < PIECE ? (size_t)(m->c - got) : PIECE;
        ssize_t n = pread(fd, text, want, (off_t)(m->b + got));

        if (n <= 0) break;
        if (!content_check(m->a, m->b + got, text, (size_t)n)) corrupt = 1;
        got += (uint64_t)n;
    }
    close(fd);
    return done(got, corrupt);
}

static void on_answer(evutil_socket_t fd, short what, void *arg)
{
    struct request *r = arg;

    driver_receive(&r->wire, r->answer);
}

static void request_send(struct wire *w, const struct msg *m)
{
    /* Nothing but a RESET may come, and `over` follows it. */
}

static void request_over(struct wire *w)
{
    struct request *r = (struct request *)w;

    event_free(r->answer_event);
    free(r);
}

static const struct wire_ops request_ops = {.send = request_send, .over = request_over};

static struct wire *disk_open(struct dialer *dialer, addr_t from, addr_t to, struct wire *via,
                              const struct msg *m)
{
    struct disk *d = (struct disk *)dialer;
    struct request *r = calloc(1, sizeof *r);

    if (!r) PANIC("out of memory");
    r->wire.ops = &request_ops;
    r->answer = m->kind == M_FILE_WRITE ? file_write(d, m) : file_read(d, m);
    r->answer_event = event_new(d->base, -1, 0, on_answer, r);
    event_active(r->answer_event, EV_TIMEOUT, 0);
    return &r->wire;
}

int disk_new(struct event_base *base, const char *directory, struct disk **ret)
{
    struct disk *d = calloc(1, sizeof *d);

    if (!d) return -ENOMEM;
    d->dialer = (struct dialer){.open = disk_open};
    d->base = base;
    d->directory = strdup(directory);
    vec_init(&d->files, 1u << 24);
    if (!d->directory) {
        free(d);
        return -ENOMEM;
    }
    *ret = d;
    return 0;
}

void disk_free(struct disk *d)
{
    if (!d) return;
    vec_for_each(call, &d->files)
    {
        char path[PATH_MAX];

        path_of(d, *call, path);
        unlink(path);
    }
    vec_deinit(&d->files);
    free(d->directory);
    free(d);
}

struct dialer *disk_dialer(struct disk *d)
{
    return &d->dialer;
}
