#include "sim/live/tunnel_tap.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>

#include "sim/base/panic.h"

struct tunnel_tap {
    struct stream stream; /* first */
    struct stream *below;
    const struct stream_handler *handler; /* the user's */
    void *user;
    tunnel_tap_freed_fn *freed;
    void *maker; /* NULL: cut */
    struct event *cut_event;
};

static struct tunnel_tap *tap_of(struct stream *s)
{
    return (struct tunnel_tap *)s;
}

static void tap_set_handler(struct stream *s, const struct stream_handler *h, void *user)
{
    struct tunnel_tap *t = tap_of(s);

    t->handler = h;
    t->user = user;
    if (t->maker) stream_set_handler(t->below, h, user);
}

static struct evbuffer *tap_input(struct stream *s)
{
    return stream_input(tap_of(s)->below);
}

static void tap_write(struct stream *s, struct evbuffer *bytes)
{
    stream_write(tap_of(s)->below, bytes);
}

static size_t tap_pending(const struct stream *s)
{
    return stream_pending(((const struct tunnel_tap *)s)->below);
}

static void tap_consumed(struct stream *s, size_t bytes)
{
    stream_consumed(tap_of(s)->below, bytes);
}

static void tap_shutdown(struct stream *s)
{
    stream_shutdown(tap_of(s)->below);
}

static void tap_free(struct stream *s, bool abort)
{
    struct tunnel_tap *t = tap_of(s);

    stream_free(t->below, abort || !t->maker);
    if (t->maker) t->freed(t->maker);
    event_free(t->cut_event);
    free(t);
}

static const struct stream_ops tap_ops = {
    .set_handler = tap_set_handler,
    .input = tap_input,
    .write = tap_write,
    .pending = tap_pending,
    .consumed = tap_consumed,
    .shutdown = tap_shutdown,
    .free = tap_free,
};

static void on_cut(evutil_socket_t fd, short what, void *user)
{
    struct tunnel_tap *t = user;

    if (t->handler && t->handler->ended) t->handler->ended(t->user, STREAM_END_RESET, "cut");
}

int tunnel_tap_new(struct event_base *base, struct stream *below, tunnel_tap_freed_fn *freed, void *maker,
                   struct tunnel_tap **ret_tap)
{
    struct tunnel_tap *t = calloc(1, sizeof *t);

    ASSERT(maker);
    if (!t) return -ENOMEM;
    *t = (struct tunnel_tap){.stream = {.ops = &tap_ops}, .below = below, .freed = freed, .maker = maker};
    t->cut_event = event_new(base, -1, 0, on_cut, t);
    if (!t->cut_event) {
        free(t);
        return -ENOMEM;
    }
    *ret_tap = t;
    return 0;
}

struct stream *tunnel_tap_stream(struct tunnel_tap *t)
{
    return &t->stream;
}

void *tunnel_tap_maker(const struct stream *s)
{
    ASSERT(s->ops == &tap_ops);
    return ((const struct tunnel_tap *)s)->maker;
}

void tunnel_tap_cut(struct tunnel_tap *t)
{
    t->maker = NULL;
    stream_set_handler(t->below, NULL, NULL);
    event_active(t->cut_event, EV_TIMEOUT, 0);
}
