/* A session's history, written as fast as the client takes it. */
#include <errno.h>

#include "mock-orchestrator/api_server_state.h"

static void want_type(void *user, const char *value)
{
    struct call *c = user;

    c->kinds |= UINT64_C(1) << api_event_kind_of(value);
}

static const char *const time_bounds[] = {"created_at[gt]", "created_at[gte]", "created_at[lt]",
                                          "created_at[lte]"};

/* The moment of such a bound: 1, or 0 where it is not there; -EINVAL: it is no time. */
static int time_bound(struct call *c, int which, nsec_t *ret)
{
    char text[64];
    int len = http_exchange_query(c->x, time_bounds[which], text, sizeof text);

    if (len == -ENOENT) return 0;
    *ret = len < 0 ? 0 : api_time_read(c->s->driver, text);
    return *ret ? 1 : -EINVAL;
}

static bool in_time(struct call *c, nsec_t at)
{
    for (int i = 0; i < 4; i++) {
        nsec_t bound;

        if (time_bound(c, i, &bound) <= 0) continue;
        if ((i == 0 && at <= bound) || (i == 1 && at < bound) || (i == 2 && at >= bound) ||
            (i == 3 && at > bound))
            return false;
    }
    return true;
}

static bool wanted(struct call *c, const struct msg *m)
{
    if (c->kinds && !(c->kinds >> EVENT_KIND(m->b) & 1)) return false;
    return !c->by_time || in_time(c, m->e);
}

/* Writes events until there is enough to send. True: all are written. */
static bool write_some(struct call *c, struct evbuffer *out)
{
    struct api_event_writer w = call_event_writer(c);

    while (c->next < c->events.len && evbuffer_get_length(out) < STREAM_LOW_MARK) {
        const struct msg *m = &c->events.items[c->next++];

        if (!wanted(c, m)) continue;
        if (c->shown++) evbuffer_add(out, ",", 1);
        api_event_write(&w, m, out);
    }
    if (c->next < c->events.len) return false;
    evbuffer_add_printf(out, "],\"next_page\":");
    call_write_cursor(out, c->answer.a);
    evbuffer_add(out, "}", 1);
    return true;
}

static void more(struct call *c)
{
    struct evbuffer *out = evbuffer_new();
    bool done = false;

    while (!done && http_exchange_pending(c->x) <= STREAM_HIGH_MARK) {
        done = write_some(c, out);
        http_reply_data(c->x, out);
    }
    evbuffer_free(out);
    if (done) call_end(c);
}

static void listed(struct call *c)
{
    struct evbuffer *out;

    if (c->answer.kind != M_OK) {
        call_refused(c);
        return;
    }
    if (c->gone) {
        call_cut(c); /* nobody reads it, and nothing would slow the writing down */
        return;
    }
    out = evbuffer_new();
    evbuffer_add_printf(out, "{\"data\":[");
    if (write_some(c, out)) {
        call_reply(c, out);
        evbuffer_free(out);
        return;
    }
    http_reply_start(c->x, 200, CALL_HEADERS(c, "application/json"), -1);
    http_reply_data(c->x, out);
    evbuffer_free(out);
    c->started = true;
    c->writable = more;
    more(c);
}

void serve_events_list(struct call *c)
{
    if (!call_paging(c, LIST_LIMIT_MAX, false)) return;
    call_query_each(c, "types[]", want_type, c);
    for (int i = 0; i < 4; i++) {
        nsec_t bound;
        int r = time_bound(c, i, &bound);

        if (r < 0) {
            call_fail(c, 400, "%s: a time of RFC 3339", time_bounds[i]);
            return;
        }
        c->by_time |= r > 0;
    }
    call_ask(c,
             (struct msg){
                 .kind = M_EVENTS_LIST, .a = c->session, .b = c->cursor, .c = c->limit, .d = c->newest_first},
             listed);
}
