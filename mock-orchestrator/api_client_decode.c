/* Answers into messages. */
#include <errno.h>
#include <event2/buffer.h>
#include <stdlib.h>
#include <string.h>

#include "mock-orchestrator/api_client_state.h"
#include "mock-orchestrator/api_time.h"
#include "sim/base/panic.h"

/* The one message of a plain answer. */
static struct msg head(enum msg_kind kind)
{
    return (struct msg){.type = MSG_OPEN, .flags = MSG_LAST, .kind = (uint16_t)kind, .bytes = API_BYTES_HEAD};
}

static bool session_number(struct api_client *c, const char *id, uint64_t *ret)
{
    return id && api_id_number(&c->ids, API_SESSION, id, ret);
}

/* The number of a moment whose very text must come back; not 0. */
static bool beat_number(struct api_client *c, const char *text, uint64_t *ret)
{
    char again[API_TIME_SIZE];
    uint64_t wall, origin = driver_wall_ns(c->driver, 0);
    uint32_t id;

    if (api_time_parse(text, &wall) && wall > origin) {
        api_time_format(wall, again);
        *ret = wall - origin;
        if (strcmp(text, again) == 0) return true;
    }
    if (intern_put(&c->ids, text, strlen(text), &id) < 0) return false;
    *ret = API_FOREIGN | id;
    return true;
}

static nsec_t seconds(const json_t *object, const char *key)
{
    double s = json_number_value(json_object_get(object, key));

    return s > 0 && s < 1e9 ? (nsec_t)(s * 1e9 + 0.5) : 0;
}

/* Sessions
 * --------------------------------------------------------------------------------------------------- */

static bool read_session(struct api_client *c, const json_t *json, struct msg *m)
{
    const char *environment = json_text_get(json, "environment_id");

    *m = head(M_SESSION);
    m->b = api_session_status_of(json_text_get(json, "status"));
    m->d = api_time_read(c->driver, json_text_get(json, "created_at"));
    if (environment) m->e = api_client_environment(c, environment);
    return session_number(c, json_text_get(json, "id"), &m->a);
}

/* What was posted, if the answer says. */
static bool read_sent(struct api_client *c, const json_t *json, struct msg *m)
{
    const char *id = json_text_get(json_array_get(json_object_get(json, "data"), 0), "id");

    *m = head(M_OK);
    return !id || api_id_number(&c->ids, API_EVENT, id, &m->a);
}

/* Work
 * ------------------------------------------------------------------------------------------------------- */

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    if (c == '-' || c == '+') return 62;
    return c == '_' || c == '/' ? 63 : -1;
}

/* Base64url, padded or not. The length; 0: it is none. `ret` has room for as many bytes as the text. */
static size_t decode_base64(const char *text, char *ret)
{
    size_t n = 0;
    unsigned bits = 0, have = 0;

    for (; *text && *text != '='; text++) {
        int value = base64_value(*text);

        if (value < 0) return 0;
        bits = bits << 6 | (unsigned)value;
        have += 6;
        if (have < 8) continue;
        have -= 8;
        ret[n++] = (char)(bits >> have & 0xff);
    }
    return n;
}

/* Keeps the item's token, if it has one that can be read; without it the environment's key serves. */
static void keep_token(struct api_client *c, const json_t *json, const struct msg *m)
{
    const char *secret = json_text_get(json, "secret"), *token;
    _cleanup_free_ char *text = secret ? malloc(strlen(secret) + 1) : NULL;
    CLEANUP(json_decref_p) json_t *inside = NULL;
    char why[JSON_TEXT_WHY_MAX];
    size_t n = text ? decode_base64(secret, text) : 0;

    if (!n || json_text_parse(text, n, &inside, why) < 0) return;
    token = json_text_get(inside, "sessions_token");
    if (token) (void)token_table_put(&c->tokens, m->a, m->b, token);
}

static bool read_work(struct api_client *c, const json_t *json, struct msg *m)
{
    const json_t *data = json_object_get(json, "data");
    const char *id = json_text_get(json, "id"), *environment = json_text_get(json, "environment_id");

    *m = head(M_WORK);
    m->c = api_work_state_of(json_text_get(json, "state"));
    m->d = environment ? api_client_environment(c, environment) : 0;
    m->e = api_time_read(c->driver, json_text_get(json, "created_at"));
    return id && api_id_number(&c->ids, API_WORK, id, &m->a) &&
           session_number(c, json_text_get(data, "id"), &m->b);
}

static bool read_poll(struct api_client *c, const json_t *json, struct msg *m)
{
    if (json_is_null(json)) {
        *m = head(M_NO_WORK);
        return true;
    }
    if (!read_work(c, json, m)) return false;
    keep_token(c, json, m);
    return true;
}

/* The answers to an acknowledgement and to a stop are read by nobody: what counts is the status. */
static bool read_done(struct api_client *c, const json_t *json, const struct msg *request, struct msg *m)
{
    if (request->kind == M_WORK_STOP && request->b) token_table_drop(&c->tokens, request->a);
    if (!read_work(c, json, m)) *m = head(M_OK);
    return true;
}

static bool read_heartbeat(struct api_client *c, const json_t *json, struct msg *m)
{
    const char *last = json_text_get(json, "last_heartbeat");

    *m = head(M_HEARTBEAT);
    m->b = seconds(json, "ttl_seconds");
    m->c = api_work_state_of(json_text_get(json, "state"));
    m->d = json_text_get_bool(json, "lease_extended", true);
    m->a = HEARTBEAT_NONE;
    /* An item that was stopped before its first heartbeat has none. */
    return last ? beat_number(c, last, &m->a) : !m->d;
}

/* A 412 that says what the server's view is. */
static bool read_mismatch(struct api_client *c, const json_t *json, struct msg *m)
{
    const json_t *details = json_object_get(json_object_get(json, "error"), "details");
    const json_t *state = json_object_get(details, "current_state");
    const char *last = json_text_get(state, "last_heartbeat");

    if (!json_is_object(state)) return false;
    *m = head(M_HEARTBEAT_MISMATCH);
    m->a = HEARTBEAT_NONE;
    m->b = seconds(state, "ttl_seconds");
    m->c = api_work_state_of(json_text_get(state, "state"));
    return !last || beat_number(c, last, &m->a);
}

static bool read_stats(struct api_client *c, const json_t *json, struct msg *m)
{
    *m = head(M_WORK_STATS_ANSWER);
    m->a = (uint64_t)json_integer_value(json_object_get(json, "depth"));
    m->b = (uint64_t)json_integer_value(json_object_get(json, "pending"));
    m->c = api_time_read(c->driver, json_text_get(json, "oldest_queued_at"));
    m->d = (uint64_t)json_integer_value(json_object_get(json, "workers_polling"));
    return json_is_object(json);
}

/* Lists
 * ------------------------------------------------------------------------------------------------------ */

/* Reads the events of a page, from the place that was asked for on. False: one is no event. */
static bool read_events(struct api_client *c, addr_t from, const struct msg *request, const json_t *data,
                        struct msg *ret, size_t *ret_count)
{
    uint32_t first = request->d ? 0 : (uint32_t)request->b;
    size_t i;
    json_t *event;

    *ret_count = 0;
    json_array_foreach((json_t *)data, i, event)
    {
        struct msg *m = &ret[*ret_count];

        if (api_client_event(c, from, request->a, event, m) < 0) return false;
        if (EVENT_SEQ(m->b) >= first) ++*ret_count;
    }
    return true;
}

/* The number for the page after this one. */
static uint64_t next_page(struct api_client *c, const struct msg *request, const char *cursor,
                          const struct msg *last)
{
    uint64_t number;

    if (id_parse(cursor, strlen(cursor), API_PAGE, &number)) return number;
    number = last ? (uint64_t)EVENT_SEQ(last->b) + 1 : request->b + 1;
    api_client_page_put(c, request->a, number, cursor);
    return number;
}

static bool receive_list(struct api_client *c, struct wire *w, addr_t from, const struct msg *request,
                         const json_t *json)
{
    const json_t *data = json_object_get(json, "data");
    const char *cursor = json_text_get(json, "next_page");
    size_t count = json_array_size(data);
    _cleanup_free_ struct msg *events = calloc(count + 1, sizeof *events);
    struct msg m = head(M_OK);

    if (!events) PANIC_MEMORY("out of memory for %zu events", count);
    if (!json_is_array(data)) return false;
    if (!read_events(c, from, request, data, events, &count)) return false;
    if (cursor && *cursor) m.a = next_page(c, request, cursor, count ? &events[count - 1] : NULL);
    m.b = count;
    m.flags = count ? 0 : MSG_LAST;
    driver_receive(w, m);
    for (size_t i = 0; i < count; i++) {
        if (i + 1 == count) events[i].flags = MSG_LAST;
        api_receive(w, &events[i]);
    }
    return true;
}

/* All -------------------------------------------------------------------------------------------------------
 */

struct msg api_client_error(int status, nsec_t retry_after_ns)
{
    struct msg m = head(M_ERROR);

    m.a = (uint64_t)status;
    m.b = api_error_code(status);
    m.c = retry_after_ns;
    return m;
}

static void receive_error(struct api_client *c, struct wire *w, const struct msg *request, int status,
                          nsec_t retry_after_ns, const json_t *json)
{
    struct msg m;

    if (status == 412 && request->kind == M_WORK_HEARTBEAT && read_mismatch(c, json, &m)) {
        driver_receive(w, m);
        return;
    }
    driver_receive(w, api_client_error(status, retry_after_ns));
}

static bool read_answer(struct api_client *c, const struct msg *request, const json_t *json, struct msg *m)
{
    switch ((enum msg_kind)request->kind) {
    case M_SESSION_CREATE:
    case M_SESSION_GET: return read_session(c, json, m);
    case M_SESSION_DELETE:
        *m = head(M_OK);
        m->a = request->a;
        return true;
    case M_EVENTS_SEND: return read_sent(c, json, m);
    case M_WORK_POLL: return read_poll(c, json, m);
    case M_WORK_ACK:
    case M_WORK_STOP: return read_done(c, json, request, m);
    case M_WORK_GET: return read_work(c, json, m);
    case M_WORK_HEARTBEAT: return read_heartbeat(c, json, m);
    case M_WORK_STATS: return read_stats(c, json, m);
    default: UNREACHABLE();
    }
}

bool api_client_decode(struct api_client *c, struct wire *w, addr_t from, const struct msg *request,
                       int status, nsec_t retry_after_ns, struct evbuffer *body)
{
    CLEANUP(json_decref_p) json_t *json = NULL;
    char why[JSON_TEXT_WHY_MAX];
    bool parsed = json_text_parse_buffer(body, &json, why) == 0;
    struct msg m;

    if (status >= 400) {
        receive_error(c, w, request, status, retry_after_ns, json);
        return true;
    }
    if (status < 200 || status >= 300) return false;
    /* These say all by their status. */
    if (!parsed && request->kind != M_SESSION_DELETE && request->kind != M_WORK_ACK &&
        request->kind != M_WORK_STOP)
        return false;
    if (request->kind == M_EVENTS_LIST) return receive_list(c, w, from, request, json);
    if (!read_answer(c, request, json, &m)) return false;
    driver_receive(w, m);
    return true;
}
