/* Event streams: server-sent events, from now on, for as long as both sides like. */
#include "mock-orchestrator/api_server_state.h"

enum { CREDIT_BATCH = 16 * 1024 };

struct api_event_writer call_event_writer(const struct call *c)
{
    return (struct api_event_writer){.driver = c->s->driver,
                                     .contents = c->s->contents,
                                     .session = c->session,
                                     .token_key = c->s->o.token_seed,
                                     .hash_commands = c->s->o.hash_commands};
}

/* What was written out is credited: all that was taken, once the output is nearly empty. */
static void credit(struct call *c, uint32_t at_least)
{
    if (!c->bound || c->owed < at_least || http_exchange_pending(c->x) > STREAM_LOW_MARK) return;
    driver_receive(&c->wire, (struct msg){.type = MSG_CREDIT, .bytes = c->owed});
    c->owed = 0;
}

static void write_event(struct call *c, const struct msg *m)
{
    struct api_event_writer w = call_event_writer(c);
    struct evbuffer *out = evbuffer_new();

    api_event_write_sse(&w, m, out);
    http_reply_data(c->x, out);
    evbuffer_free(out);
}

static void on_send(struct wire *w, const struct msg *m)
{
    struct call *c = (struct call *)w;

    if (c->gone) driver_cut(w, m);
    if (m->type == MSG_OPEN) c->answer = *m;
    if (m->type == MSG_OPEN && m->kind == M_OK) {
        http_reply_start(c->x, 200,
                         ((struct http_header[]){{"Content-Type", "text/event-stream"},
                                                 {"Cache-Control", "no-cache"},
                                                 {"request-id", c->request_id},
                                                 {0}}),
                         -1);
        c->started = true;
        list_push_back(&c->s->streams, &c->stream);
    } else if (m->type == MSG_DATA) {
        /* A large event's M_BODY parts are in what its head made. */
        if (m->kind == M_EVENT) write_event(c, m);
        c->owed += m->bytes;
        credit(c, CREDIT_BATCH);
    } else if (m->type == MSG_RESET) {
        c->answer = (struct msg){.type = MSG_RESET, .a = m->a};
    }
}

static void on_over(struct wire *w)
{
    struct call *c = (struct call *)w;
    bool lost = c->answer.type == MSG_RESET;

    c->bound = false;
    if (c->gone || (lost && !c->s->draining))
        call_cut(c); /* a reader too slow, or the component was lost: not an end in order */
    else if (c->started)
        call_end(c);
    else if (c->answer.type == MSG_OPEN)
        call_refused(c);
    else
        call_cut(c);
}

static const struct wire_ops stream_ops = {.send = on_send, .over = on_over};

static void on_room(struct call *c)
{
    credit(c, 1);
}

void serve_events_stream(struct call *c)
{
    c->writable = on_room;
    call_open(c, (struct msg){.kind = M_STREAM, .flags = MSG_LAST, .a = c->session}, &stream_ops);
}

void event_streams_ping(struct api_server *s)
{
    static const char ping[] = "event: ping\ndata: {\"type\":\"ping\"}\n\n";

    list_for_each(c, &s->streams, struct call, stream)
    {
        struct evbuffer *out;

        if (http_exchange_pending(c->x) > STREAM_LOW_MARK) continue;
        out = evbuffer_new();
        evbuffer_add(out, ping, sizeof ping - 1);
        http_reply_data(c->x, out);
        evbuffer_free(out);
    }
}
