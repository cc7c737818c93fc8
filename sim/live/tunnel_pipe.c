#include "sim/live/tunnel_pipe.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/panic.h"
#include "sim/live/cause.h"
#include "sim/live/tunnel_http.h"

/* So much may lie without CREDIT before a message is spent on it. Small against a carrier's window divided
 * by its streams, which all may hold that much. */
enum { CREDIT_BATCH = 4096 };

int tunnel_pipes_init(struct tunnel_pipes *pipes)
{
    return slab_init(&pipes->slots, sizeof(struct tunnel_pipe *), SLAB_LIMIT_MAX);
}

void tunnel_pipes_deinit(struct tunnel_pipes *pipes)
{
    slab_deinit(&pipes->slots);
}

static struct tunnel_pipe *find(const struct tunnel_pipes *pipes, uint64_t id)
{
    struct tunnel_pipe **slot = id <= UINT32_MAX ? slab_get(&pipes->slots, (uint32_t)id) : NULL;

    return slot ? *slot : NULL;
}

static void on_fail(evutil_socket_t fd, short what, void *user)
{
    struct tunnel_pipe *p = user;

    tunnel_pipe_tell_reset(p, p->fail_cause);
}

int tunnel_pipe_init(struct tunnel_pipe *p, struct tunnel_pipes *pipes, const char *host)
{
    p->host = strdup(host);
    if (!p->host) return -ENOMEM;
    p->id = slab_alloc(&pipes->slots);
    if (!p->id) {
        free(p->host);
        return -ENOMEM;
    }
    *(struct tunnel_pipe **)slab_get_unchecked(&pipes->slots, p->id) = p;
    p->pipes = pipes;
    return 0;
}

void tunnel_pipe_deinit(struct tunnel_pipe *p)
{
    bool in_order = p->said_last && p->told_last && !p->told_reset;

    if (p->fail_event) event_free(p->fail_event);
    slab_free(&p->pipes->slots, p->id);
    stream_free(p->stream, !in_order);
    free(p->host);
}

const char *tunnel_pipe_host(const struct tunnel_pipes *pipes, const struct msg *open)
{
    const struct tunnel_pipe *p = find(pipes, open->e);

    return p ? p->host : NULL;
}

/* To the component
 * ------------------------------------------------------------------------------------------- */

void tunnel_pipe_tell_last(struct tunnel_pipe *p)
{
    if (p->told_last || p->told_reset) return;
    p->told_last = true;
    driver_receive(&p->wire, (struct msg){.type = MSG_DATA, .kind = M_BYTES, .flags = MSG_LAST});
}

void tunnel_pipe_tell_reset(struct tunnel_pipe *p, enum reset_cause cause)
{
    if (p->told_reset) return;
    p->told_reset = true;
    driver_receive(&p->wire, (struct msg){.type = MSG_RESET, .a = cause});
}

void tunnel_pipe_fail(struct tunnel_pipe *p, struct event_base *base, enum reset_cause cause)
{
    p->fail_cause = cause;
    p->fail_event = event_new(base, -1, 0, on_fail, p);
    if (!p->fail_event) PANIC_MEMORY("out of memory");
    event_active(p->fail_event, EV_TIMEOUT, 0);
}

void tunnel_pipe_tell_refused(struct tunnel_pipe *p, int status, bool unseen, nsec_t retry_after_ns)
{
    struct msg m = tunnel_refusal(status, retry_after_ns);

    if (p->told_last || p->told_reset) return;
    p->told_last = true;
    if (unseen)
        driver_returned(&p->wire, M_TUNNEL_STREAM, m);
    else
        driver_receive(&p->wire, m);
}

/* Announces what has come since. */
static void announce(struct tunnel_pipe *p)
{
    size_t more = evbuffer_get_length(stream_input(p->stream)) - p->announced;

    while (more && !p->told_last && !p->told_reset) {
        uint32_t n = more < BODY_CHUNK ? (uint32_t)more : BODY_CHUNK;

        driver_receive(&p->wire, (struct msg){.type = MSG_DATA, .kind = M_BYTES, .bytes = n, .a = p->id});
        p->announced += n;
        more -= n;
    }
}

static void give_credit(struct tunnel_pipe *p)
{
    uint32_t n = p->uncredited;

    if (n == 0) return;
    p->uncredited = 0;
    driver_receive(&p->wire, (struct msg){.type = MSG_CREDIT, .bytes = n});
}

/* From the stream
 * -------------------------------------------------------------------------------------------- */

static void on_data(void *user, struct evbuffer *in)
{
    announce(user);
}

static void on_writable(void *user)
{
    give_credit(user);
}

static void on_eof(void *user)
{
    struct tunnel_pipe *p = user;

    announce(p);
    tunnel_pipe_tell_last(p);
}

static void on_ended(void *user, enum stream_end end, const char *what)
{
    struct tunnel_pipe *p = user;

    /* CLEAN comes after eof, and after the component's own last word. */
    if (end != STREAM_END_CLEAN) tunnel_pipe_tell_reset(p, cause_of_end(end, true));
}

static const struct stream_handler handler = {
    .data = on_data,
    .writable = on_writable,
    .eof = on_eof,
    .ended = on_ended,
};

void tunnel_pipe_start(struct tunnel_pipe *p)
{
    ASSERT(p->stream && !p->relaying);
    p->relaying = true;
    stream_set_handler(p->stream, &handler, p);
}

/* From the component
 * ----------------------------------------------------------------------------------------- */

/* Moves the announced bytes out of the pipe that has them. */
static void fetch(struct tunnel_pipe *p, const struct msg *m)
{
    struct tunnel_pipe *from = find(p->pipes, m->a);
    struct evbuffer *piece;

    if (!from || !from->stream || from->announced < m->bytes)
        return; /* it broke meanwhile: a RESET follows */
    piece = evbuffer_new();
    if (!piece || evbuffer_remove_buffer(stream_input(from->stream), piece, m->bytes) != (int)m->bytes)
        PANIC_MEMORY("out of memory");
    from->announced -= m->bytes;
    stream_write(p->stream, piece);
    evbuffer_free(piece);
    p->uncredited += m->bytes;
    if (p->uncredited >= CREDIT_BATCH && stream_pending(p->stream) <= STREAM_LOW_MARK) give_credit(p);
}

void tunnel_pipe_send(struct tunnel_pipe *p, const struct msg *m)
{
    if (!p->relaying) {
        p->said_last |= m->flags & MSG_LAST;
        return; /* bytes before the answer: nobody may send them */
    }
    if (m->type == MSG_CREDIT) {
        stream_consumed(p->stream, m->bytes);
        return;
    }
    if (m->bytes) fetch(p, m);
    if (!(m->flags & MSG_LAST)) return;
    p->said_last = true;
    stream_shutdown(p->stream);
}
