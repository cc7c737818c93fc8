#include "sim/live/stream_front.h"

#include "sim/base/panic.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

static void on_defer(evutil_socket_t fd, short what, void *user)
{
    struct stream_front *f = user;

    if (f->work) {
        bool gone = false;
        f->gone = &gone;
        f->work(f->layer);
        if (gone) return;
        f->gone = NULL;
    }
    front_tell(f);
}

int front_init(struct stream_front *f, struct event_base *base, void (*work)(void *layer), void *layer)
{
    memset(f, 0, sizeof *f);
    f->work = work;
    f->layer = layer;
    f->in = evbuffer_new();
    if (!f->in) return -ENOMEM;
    event_assign(&f->defer, base, -1, 0, on_defer, f);
    return 0;
}

void front_deinit(struct stream_front *f)
{
    if (!f->in) return;
    if (f->gone) *f->gone = true;
    event_del(&f->defer);
    evbuffer_free(f->in);
    f->in = NULL;
    free(f->what);
    f->what = NULL;
}

void front_defer(struct stream_front *f)
{
    event_active(&f->defer, EV_TIMEOUT, 0);
}

void front_set_handler(struct stream_front *f, const struct stream_handler *h, void *user)
{
    f->handler = h;
    f->user = user;
    f->ready_due = f->up;
    f->data_due = evbuffer_get_length(f->in) > 0;
    f->writable_due = false;
    f->eof_due = f->eof;
    f->ended_due = f->over;
    if (f->ready_due || f->data_due || f->eof_due || f->ended_due) front_defer(f);
}

void front_up(struct stream_front *f)
{
    ASSERT(!f->up);
    f->up = f->ready_due = true;
}

void front_data(struct stream_front *f)
{
    f->data_due = true;
}

void front_writable(struct stream_front *f)
{
    f->writable_due = true;
}

void front_eof(struct stream_front *f)
{
    if (f->eof || f->over) return;
    f->eof = f->eof_due = true;
}

void front_end(struct stream_front *f, enum stream_end end, const char *what)
{
    if (f->over) return;
    f->over = f->ended_due = true;
    f->writable_due = false;
    f->end = end;
    f->what = what ? strdup(what) : NULL;
}

/* Takes the flag down and calls, if there is somebody to call. */
static bool take(bool *due)
{
    bool was = *due;

    *due = false;
    return was;
}

bool front_tell(struct stream_front *f)
{
    bool gone = false;

    ASSERT(!f->gone);
    f->gone = &gone;
    if (take(&f->ready_due) && f->handler && f->handler->ready) f->handler->ready(f->user);
    if (!gone && take(&f->data_due) && f->handler && f->handler->data) f->handler->data(f->user, f->in);
    if (!gone && take(&f->writable_due) && f->handler && f->handler->writable) f->handler->writable(f->user);
    if (!gone && take(&f->eof_due) && f->handler && f->handler->eof) f->handler->eof(f->user);
    if (!gone && take(&f->ended_due) && f->handler && f->handler->ended)
        f->handler->ended(f->user, f->end, f->what);
    if (!gone) f->gone = NULL;
    return !gone;
}
