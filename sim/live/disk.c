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

#include "sim/base/list.h"
#include "sim/base/panic.h"
#include "sim/base/vec.h"
#include "sim/live/content.h"

enum { PIECE = 64 * 1024, STAGED_MAX = 256 << 20 };

struct file {
    addr_t disk; /* whose runner wrote it: several may share a process */
    uint64_t session, call;
};

/* What a `write` brought and the runner has not written yet. */
struct staged {
    struct list link;
    addr_t disk;
    uint64_t session, call;
    size_t len;
    char bytes[];
};

struct disk {
    struct dialer dialer;
    struct event_base *base;
    char *directory;
    VEC(struct file) files; /* to be removed */
    struct list staged;     /* oldest first */
    size_t staged_bytes;
};

/* One request: answered from the event loop, as a real file system would be. */
struct request {
    struct wire wire;
    struct event *answer_event;
    struct msg answer;
};

/* Names
 * ------------------------------------------------------------------------------------------------------ */

#define NAME "windtunnel-%016" PRIx64 ".txt"

void disk_path(uint64_t call, char ret_path[DISK_PATH_SIZE])
{
    snprintf(ret_path, DISK_PATH_SIZE, "/tmp/" NAME, call);
}

static void path_of(const struct disk *d, uint64_t call, char path[PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s/" NAME, d->directory, call);
}

static void remove_file(const struct disk *d, uint64_t call)
{
    char path[PATH_MAX];

    path_of(d, call, path);
    unlink(path);
}

/* What was brought
 * ------------------------------------------------------------------------------------------- */

static void staged_drop(struct disk *d, struct staged *s)
{
    list_remove(&s->link);
    d->staged_bytes -= s->len;
    free(s);
}

static struct staged *staged_find(const struct disk *d, addr_t disk, uint64_t call)
{
    list_for_each(s, &d->staged, struct staged, link)
    {
        if (s->disk == disk && s->call == call) return s;
    }
    return NULL;
}

void disk_stage(struct disk *d, const struct disk_write *w, const char *bytes, size_t len)
{
    addr_t disk = ADDR(ROLE_DISK, w->runner);
    struct staged *s = staged_find(d, disk, w->call);

    if (s) staged_drop(d, s); /* seen twice: on the stream and in the history */
    while (d->staged_bytes + len > STAGED_MAX && !list_is_empty(&d->staged))
        staged_drop(d, list_first_entry(&d->staged, struct staged, link));
    if (len > STAGED_MAX || !(s = malloc(sizeof *s + len))) return;
    s->disk = disk;
    s->session = w->session;
    s->call = w->call;
    s->len = len;
    memcpy(s->bytes, bytes, len);
    list_init(&s->link);
    list_push_back(&d->staged, &s->link);
    d->staged_bytes += len;
}

/* Requests
 * --------------------------------------------------------------------------------------------------- */

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

static int write_generated(int fd, uint64_t call, uint64_t chars)
{
    char text[PIECE];
    int r = 0;

    for (uint64_t at = 0; r == 0 && at < chars; at += PIECE) {
        size_t n = chars - at < PIECE ? (size_t)(chars - at) : PIECE;

        content_fill(call, at, text, n);
        r = write_all(fd, text, n);
    }
    return r;
}

static int write_staged(struct disk *d, int fd, addr_t disk, uint64_t call)
{
    struct staged *s = staged_find(d, disk, call);
    int r;

    if (!s) return -ENOENT;
    r = write_all(fd, s->bytes, s->len);
    staged_drop(d, s);
    return r;
}

static struct msg file_write(struct disk *d, addr_t disk, const struct msg *m)
{
    struct file f = {.disk = disk, .session = m->c, .call = m->a};
    char path[PATH_MAX];
    int fd, r;

    if (vec_push(&d->files, f) < 0) return failed();
    path_of(d, m->a, path);
    fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0) return failed();
    r = m->d ? write_staged(d, fd, disk, m->a) : write_generated(fd, m->a, m->b);
    if (close(fd) < 0) r = -errno;
    return r < 0 ? failed() : done(m->b, 0);
}

/* Reads up to `n` bytes of a call's file; how many, or a negative errno. */
static ssize_t read_at(const struct disk *d, uint64_t call, uint64_t offset, char *text, size_t n)
{
    char path[PATH_MAX];
    size_t got = 0;
    ssize_t r = 1;
    int fd;

    path_of(d, call, path);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -errno;
    while (got < n && (r = pread(fd, text + got, n - got, (off_t)(offset + got))) > 0) got += (size_t)r;
    close(fd);
    return r < 0 ? -EIO : (ssize_t)got;
}

static struct msg file_read(struct disk *d, const struct msg *m)
{
    char text[PIECE];
    uint64_t got = 0;
    bool intact = true;
    ssize_t n;

    do {
        size_t want = m->c - got < PIECE ? (size_t)(m->c - got) : PIECE;

        n = read_at(d, m->a, m->b + got, text, want);
        if (n < 0) return failed();
        intact &= content_check(m->a, m->b + got, text, (size_t)n);
        got += (uint64_t)n;
    } while (n > 0 && got < m->c);
    return done(got, !intact);
}

static bool is_listed(const struct disk *d, uint64_t call)
{
    for (size_t i = 0; i < d->files.len; i++)
        if (d->files.items[i].call == call) return true;
    return false;
}

static void staged_drop_session(struct disk *d, addr_t disk, uint64_t session)
{
    list_for_each(s, &d->staged, struct staged, link)
    {
        if (s->disk == disk && s->session == session) staged_drop(d, s);
    }
}

static struct msg files_drop(struct disk *d, addr_t disk, uint64_t session)
{
    for (size_t i = 0; i < d->files.len;) {
        struct file f = d->files.items[i];

        if (f.disk != disk || f.session != session) {
            i++;
            continue;
        }
        d->files.items[i] = vec_pop(&d->files);
        if (!is_listed(d, f.call)) remove_file(d, f.call);
    }
    staged_drop_session(d, disk, session);
    return done(session, 0);
}

void disk_copy(const struct disk *d, uint64_t call, uint64_t offset, uint64_t n, struct evbuffer *out)
{
    char text[PIECE];
    ssize_t got = 1;

    while (n && got > 0) {
        got = read_at(d, call, offset, text, n < PIECE ? (size_t)n : PIECE);
        if (got <= 0 || evbuffer_add(out, text, (size_t)got) < 0) return;
        offset += (uint64_t)got;
        n -= (uint64_t)got;
    }
}

struct msg disk_ask(struct disk *d, addr_t to, const struct msg *m)
{
    switch (m->kind) {
    case M_FILE_WRITE: return file_write(d, to, m);
    case M_FILE_READ: return file_read(d, m);
    default: return files_drop(d, to, m->a);
    }
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

    if (!r) PANIC_MEMORY("out of memory");
    r->wire.ops = &request_ops;
    r->answer = disk_ask(d, to, m);
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
    list_init(&d->staged);
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
    vec_for_each(f, &d->files) remove_file(d, f->call);
    while (!list_is_empty(&d->staged)) staged_drop(d, list_first_entry(&d->staged, struct staged, link));
    vec_deinit(&d->files);
    free(d->directory);
    free(d);
}

struct dialer *disk_dialer(struct disk *d)
{
    return &d->dialer;
}
