/* One request: what is asked of the component, and the reply. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mock-orchestrator/api_server_state.h"
#include "sim/base/mix.h"
#include "sim/base/panic.h"
#include "sim/record/recorder.h"

/* Life
 * ------------------------------------------------------------------------------------------------------- */

static void on_writable(void *user, struct http_exchange *x)
{
    struct call *c = user;

    if (c->writable) c->writable(c);
}

/* The client went away. */
static void on_aborted(void *user, struct http_exchange *x)
{
    struct call *c = user;

    c->gone = true;
    if (c->bound)
        driver_receive(&c->wire, (struct msg){.type = MSG_RESET, .a = RESET_CANCEL});
    else
        call_cut(c);
}

static const struct http_exchange_handler exchange_handler = {.writable = on_writable, .aborted = on_aborted};

struct call *call_new(struct api_server *s, struct http_exchange *x, struct principal who)
{
    struct call *c = calloc(1, sizeof *c);

    if (!c) PANIC_MEMORY("out of memory for a request");
    c->s = s;
    c->x = x;
    c->who = who;
    vec_init(&c->events, LIST_LIMIT_MAX);
    list_push_back(&s->calls, &c->link);
    list_init(&c->stream);
    id_format(c->request_id, "req_", mix64_chain(s->request_key, ++s->request_count));
    http_exchange_set_handler(x, &exchange_handler, c);
    return c;
}

static void call_free(struct call *c)
{
    ASSERT(!c->bound);
    list_remove(&c->link);
    list_remove(&c->stream);
    vec_deinit(&c->events);
    json_decref(c->body);
    json_decref(c->result);
    if (c->op) c->op_free(c);
    free(c);
}

void call_end(struct call *c)
{
    http_reply_end(c->x);
    call_free(c);
}

void call_cut(struct call *c)
{
    http_exchange_abort(c->x);
    call_free(c);
}

/* The component
 * ---------------------------------------------------------------------------------------------- */

static void on_send(struct wire *w, const struct msg *m)
{
    struct call *c = (struct call *)w;

    if (c->gone) driver_cut(w, m);
    if (m->type == MSG_OPEN) {
        c->answer = *m;
    } else if (m->type == MSG_RESET) {
        c->answer = (struct msg){.type = MSG_RESET, .a = m->a};
    } else if (m->kind == M_EVENT && vec_push(&c->events, *m) < 0) {
        PANIC("a list of more than %d events", LIST_LIMIT_MAX);
    }
}

static void on_over(struct wire *w)
{
    struct call *c = (struct call *)w;

    c->bound = false;
    if (c->answer.type == MSG_OPEN)
        c->then(c);
    else if (c->s->draining)
        call_fail(c, 503, "shutting down");
    else
        call_cut(c);
}

const struct wire_ops call_ops = {.send = on_send, .over = on_over};

bool call_open(struct call *c, struct msg m, const struct wire_ops *ops)
{
    addr_t from = c->who.who == WHO_CONTROL ? ADDR(ROLE_CLIENT, 0) : ADDR(ROLE_RUNNER, 0);

    c->answer = (struct msg){0};
    vec_clear(&c->events);
    c->wire.ops = ops;
    if (!m.bytes) m.bytes = API_BYTES_HEAD;
    c->bound = !c->gone && driver_accept(c->s->driver, c->s->o.self, from, NULL, &c->wire, m);
    if (c->bound) c->asked |= !c->wire.uncounted;
    if (c->bound) return true;
    call_cut(c); /* nobody waits for it; or its component has not begun yet: as if nobody listened */
    return false;
}

void call_ask(struct call *c, struct msg m, call_fn *then)
{
    c->then = then;
    c->wire.uncounted = false;
    m.flags |= MSG_LAST;
    call_open(c, m, &call_ops);
}

void call_look(struct call *c, struct msg m, call_fn *then)
{
    c->then = then;
    c->wire.uncounted = true;
    m.flags |= MSG_LAST;
    call_open(c, m, &call_ops);
}

/* Replies
 * ---------------------------------------------------------------------------------------------------- */

static void reply(struct call *c, int status, struct evbuffer *body)
{
    http_reply(c->x, status, CALL_HEADERS(c, "application/json"), body);
    call_free(c);
}

void call_reply(struct call *c, struct evbuffer *body)
{
    reply(c, 200, body);
}

void call_reply_text(struct call *c, const char *json)
{
    struct evbuffer *body = evbuffer_new();

    evbuffer_add(body, json, strlen(json));
    call_reply(c, body);
    evbuffer_free(body);
}

void call_reply_json(struct call *c, json_t *json)
{
    struct evbuffer *body = evbuffer_new();

    if (!json || json_text_add(body, json) < 0)
        call_fail(c, 500, "out of memory");
    else
        call_reply(c, body);
    json_decref(json);
    evbuffer_free(body);
}

void call_write_error(struct evbuffer *out, int status, const char *message, const json_t *details,
                      const char *request_id)
{
    evbuffer_add_printf(
        out, "{\"type\":\"error\",\"error\":{\"type\":\"%s\",\"message\":", api_error_type(status));
    json_text_add_string(out, message, strlen(message));
    if (details) {
        evbuffer_add_printf(out, ",\"details\":");
        json_text_add(out, details);
    }
    evbuffer_add_printf(out, "},\"request_id\":");
    if (request_id)
        evbuffer_add_printf(out, "\"%s\"}", request_id);
    else
        evbuffer_add_printf(out, "null}");
}

static void fail(struct call *c, int status, const char *message, const json_t *details,
                 nsec_t retry_after_ns)
{
    struct evbuffer *body = evbuffer_new();
    char seconds[24], ms[24];
    struct http_header headers[6] = {
        {"Content-Type", "application/json"}, {"request-id", c->request_id}, {0}};
    size_t n = 2;

    if (!c->asked) headers[n++] = HTTP_UNSEEN;
    if (retry_after_ns) headers[n++] = (struct http_header){"retry-after", seconds};
    if (retry_after_ns) headers[n++] = (struct http_header){"retry-after-ms", ms};
    snprintf(seconds, sizeof seconds, "%" PRIu64, (retry_after_ns + NSEC_PER_S - 1) / NSEC_PER_S);
    snprintf(ms, sizeof ms, "%" PRIu64, (retry_after_ns + NSEC_PER_MS - 1) / NSEC_PER_MS);
    call_write_error(body, status, message, details, c->request_id);
    http_reply(c->x, status, headers, body);
    evbuffer_free(body);
    call_free(c);
}

void call_fail(struct call *c, int status, const char *format, ...)
{
    char message[512];
    va_list args;

    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    fail(c, status, message, NULL, 0);
}

void call_fail_details(struct call *c, int status, json_t *details, const char *message)
{
    fail(c, status, message, details, 0);
    json_decref(details);
}

static const char *refusal(enum error_code code)
{
    switch (code) {
    case ERROR_INVALID: return "the request does not fit the state of what it names";
    case ERROR_NOT_FOUND: return "there is nothing of that id";
    case ERROR_CONFLICT: return "the state does not allow it";
    case ERROR_LIMIT: return "a limit is reached; try again later";
    case ERROR_OVERLOADED: return "overloaded; try again later";
    case ERROR_NONE:
    case ERROR_INTERNAL: break;
    }
    return "internal error";
}

void call_refused(struct call *c)
{
    const struct msg *m = &c->answer;
    int status = m->kind == M_ERROR && m->a >= 400 && m->a < 600 ? (int)m->a : 500;

    fail(c, status, refusal((enum error_code)m->b), NULL, m->kind == M_ERROR ? m->c : 0);
}

/* Requests
 * --------------------------------------------------------------------------------------------------- */

bool call_body(struct call *c)
{
    struct evbuffer *body = http_exchange_body(c->x);
    char why[JSON_TEXT_WHY_MAX];
    int r;

    if (evbuffer_get_length(body) == 0) {
        c->body = json_object();
        return true;
    }
    r = json_text_parse_buffer(body, &c->body, why);
    /* The text is not needed any more, and may be large. */
    evbuffer_drain(body, evbuffer_get_length(body));
    if (r < 0)
        call_fail(c, r == -ENOMEM ? 500 : 400, "%s", r == -ENOMEM ? "out of memory" : why);
    else if (!json_is_object(c->body))
        call_fail(c, 400, "the body is not a JSON object");
    else
        return true;
    return false;
}

int call_query_number(struct call *c, const char *name, uint64_t *ret)
{
    char text[32], *end;
    int len = http_exchange_query(c->x, name, text, sizeof text);
    uint64_t n;

    if (len == -ENOENT || len == 0) return -ENOENT;
    if (len < 0 || text[0] < '0' || text[0] > '9') return -EINVAL;
    errno = 0;
    n = strtoull(text, &end, 10);
    if (*end || errno) return -EINVAL;
    *ret = n;
    return 0;
}

bool call_query_is(struct call *c, const char *name, const char *value)
{
    char text[32];

    return http_exchange_query(c->x, name, text, sizeof text) >= 0 && strcmp(text, value) == 0;
}

void call_query_each(struct call *c, const char *name, void (*each)(void *user, const char *value),
                     void *user)
{
    char key[64], value[256];

    for (const char *at = http_exchange_head(c->x)->query, *next; *at; at = next) {
        size_t len = strcspn(at, "&"), key_len = strcspn(at, "=&");
        const char *from = at + key_len + (at[key_len] == '=');

        next = at + len + (at[len] == '&');
        if (http1_decode(at, key_len, true, key, sizeof key) < 0 || strcmp(key, name) != 0) continue;
        if (http1_decode(from, (size_t)(at + len - from), true, value, sizeof value) >= 0) each(user, value);
    }
}

bool call_paging(struct call *c, uint64_t otherwise, bool newest_first)
{
    char page[ID_SIZE];
    int len = http_exchange_query(c->x, "page", page, sizeof page), r;

    c->limit = otherwise;
    r = call_query_number(c, "limit", &c->limit);
    if (r == -EINVAL || c->limit < 1 || c->limit > LIST_LIMIT_MAX) {
        call_fail(c, 400, "limit: a whole number from 1 to %d", LIST_LIMIT_MAX);
        return false;
    }
    c->cursor = 0;
    if (len != -ENOENT && len != 0 && (len < 0 || !id_parse(page, (size_t)len, API_PAGE, &c->cursor))) {
        call_fail(c, 400, "page: not a cursor of this list");
        return false;
    }
    c->newest_first = newest_first;
    if (call_query_is(c, "order", "asc")) c->newest_first = false;
    if (call_query_is(c, "order", "desc")) c->newest_first = true;
    return true;
}

void call_write_cursor(struct evbuffer *out, uint64_t cursor)
{
    char page[ID_SIZE];

    id_format(page, API_PAGE, cursor);
    if (cursor)
        evbuffer_add_printf(out, "\"%s\"", page);
    else
        evbuffer_add_printf(out, "null");
}

nsec_t call_now(const struct api_server *s)
{
    nsec_t now = driver_now(s->driver);

    return now ? now : 1;
}
