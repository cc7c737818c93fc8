/* The work queue. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mock-orchestrator/api_server_state.h"
#include "mock-orchestrator/api_time.h"
#include "sim/base/mix.h"
#include "sim/record/recorder.h"

#define BLOCK_MS_MAX 999

/* Records
 * ---------------------------------------------------------------------------------------------------- */

static void doc_free(struct api_server *s, struct work_doc *doc)
{
    if (!doc) return;
    document_drop(s, doc->metadata);
    free(doc);
}

void works_deinit(struct api_server *s)
{
    for (size_t i = 0; i < s->works.capacity; i++) doc_free(s, s->works.slots[i].value);
    id_map_deinit(&s->works);
}

/* The oldest is forgotten where there are too many. */
static void make_room(struct api_server *s)
{
    for (; s->works.count >= s->works_max && s->first_work < s->last_work; s->first_work++)
        doc_free(s, id_map_take(&s->works, s->first_work));
}

/* The record of an item that an M_WORK describes. NULL: out of memory. */
static struct work_doc *doc_of(struct api_server *s, const struct msg *m)
{
    struct work_doc *doc = id_map_get(&s->works, m->a);

    if (!doc) {
        make_room(s);
        doc = calloc(1, sizeof *doc);
        if (!doc || id_map_put(&s->works, m->a, doc) < 0) {
            free(doc);
            return NULL;
        }
        doc->id = m->a;
        doc->session = m->b;
        doc->environment = (uint32_t)m->d;
        if (s->last_work < m->a) s->last_work = m->a;
    }
    /* Queued again: its last holder's moments do not count any more. */
    if (m->c == WORK_QUEUED) doc->acknowledged_at = doc->started_at = doc->beat_at = 0;
    if (m->c == WORK_STOPPED && !doc->stopped_at) doc->stopped_at = call_now(s);
    return doc;
}

/* Writing
 * ---------------------------------------------------------------------------------------------------- */

static void write_base64url(const unsigned char *bytes, size_t n, struct evbuffer *out)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    for (size_t i = 0; i < n; i += 3) {
        size_t left = n - i < 3 ? n - i : 3;
        unsigned group = 0;
        char text[4];

        for (size_t k = 0; k < 3; k++) group = group << 8 | (k < left ? bytes[i + k] : 0);
        for (int k = 0; k < 4; k++) text[k] = alphabet[group >> (18 - 6 * k) & 63];
        evbuffer_add(out, text, left + 1);
    }
}

static void write_secret(const struct api_server *s, const struct work_doc *doc, struct evbuffer *out)
{
    char token[TOKEN_SIZE];
    json_t *json;
    _cleanup_free_ char *text = NULL;

    auth_item_token(s, doc->id, doc->session, token);
    json = json_pack("{s:s}", "sessions_token", token);
    if (s->base_url) json_object_set_new(json, "api_base_url", json_string(s->base_url));
    text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    evbuffer_add(out, "\"", 1);
    if (text) write_base64url((const unsigned char *)text, strlen(text), out);
    evbuffer_add(out, "\"", 1);
}

static void write_time(const struct api_server *s, const char *name, nsec_t at, struct evbuffer *out)
{
    evbuffer_add_printf(out, ",\"%s\":", name);
    api_time_write(s->driver, at, out);
}

static void write_item(const struct api_server *s, const struct work_doc *doc, const struct msg *m,
                       bool secret, struct evbuffer *out)
{
    char id[ID_SIZE], session[ID_SIZE];
    const char *environment = s->environments.items[doc->environment].id;

    id_format(id, API_WORK, doc->id);
    id_format(session, API_SESSION, doc->session);
    evbuffer_add_printf(
        out, "{\"id\":\"%s\",\"type\":\"work\",\"data\":{\"type\":\"session\",\"id\":\"%s\"},", id, session);
    evbuffer_add_printf(out, "\"state\":\"%s\",\"environment_id\":", api_work_state((enum work_state)m->c));
    json_text_add_string(out, environment, strlen(environment));
    evbuffer_add_printf(out, ",\"secret\":");
    if (secret)
        write_secret(s, doc, out);
    else
        evbuffer_add_printf(out, "null");
    evbuffer_add_printf(out, ",\"metadata\":");
    if (doc->metadata)
        json_text_add(out, doc->metadata->json);
    else
        evbuffer_add_printf(out, "{}");
    write_time(s, "created_at", m->e ? m->e : 1, out);
    write_time(s, "acknowledged_at", doc->acknowledged_at, out);
    write_time(s, "started_at", doc->started_at, out);
    write_time(s, "latest_heartbeat_at", doc->beat_at, out);
    write_time(s, "stop_requested_at", doc->stop_requested_at, out);
    write_time(s, "stopped_at", doc->stopped_at, out);
    evbuffer_add(out, "}", 1);
}

/* The record of c->answer, an M_WORK in the path's environment; otherwise NULL, and the call is over. */
static struct work_doc *expect_item(struct call *c)
{
    struct work_doc *doc = c->answer.kind == M_WORK ? doc_of(c->s, &c->answer) : NULL;

    if (c->answer.kind != M_WORK)
        call_refused(c);
    else if (!doc)
        call_fail(c, 500, "out of memory");
    else if (doc->environment != c->environment)
        call_fail(c, 404, "there is no work item of that id in this environment");
    else
        return doc;
    return NULL;
}

static void reply_item(struct call *c, const struct work_doc *doc, bool secret)
{
    struct evbuffer *body = evbuffer_new();

    write_item(c->s, doc, &c->answer, secret, body);
    call_reply(c, body);
    evbuffer_free(body);
}

/* Poll
 * ------------------------------------------------------------------------------------------------------- */

/* A number for the worker's name; ours say theirs. */
static uint64_t worker_number(const struct call *c)
{
    const char *name = http_exchange_header(c->x, "anthropic-worker-id");
    uint64_t number;

    if (!name || !*name) return mix_bytes(0, "", 0);
    if (id_parse(name, strlen(name), "windtunnel-", &number)) return number;
    return mix_bytes(1, name, strlen(name));
}

static void polled(struct call *c)
{
    struct work_doc *doc;

    if (c->answer.kind == M_NO_WORK)
        call_reply_text(c, "null");
    else if ((doc = expect_item(c)))
        reply_item(c, doc, true);
}

void serve_work_poll(struct call *c)
{
    uint64_t block_ms = 0, reclaim_ms = 0;
    int r = call_query_number(c, "block_ms", &block_ms);

    if (r == -EINVAL || (r == 0 && (block_ms < 1 || block_ms > BLOCK_MS_MAX))) {
        call_fail(c, 400, "block_ms: a whole number from 1 to %d", BLOCK_MS_MAX);
        return;
    }
    if (call_query_number(c, "reclaim_older_than_ms", &reclaim_ms) == -EINVAL) {
        call_fail(c, 400, "reclaim_older_than_ms: a whole number");
        return;
    }
    call_ask(c,
             (struct msg){.kind = M_WORK_POLL,
                          .a = c->environment,
                          .b = worker_number(c),
                          .c = block_ms * NSEC_PER_MS,
                          .d = nsec_mul(reclaim_ms, NSEC_PER_MS)},
             polled);
}

/* One item
 * --------------------------------------------------------------------------------------------------- */

/* That there is no such item the component may say itself. */
static void looked(struct call *c)
{
    bool unknown = c->answer.kind == M_ERROR && c->answer.a == 404;

    if (unknown || expect_item(c)) call_ask(c, c->next_ask, c->after);
}

/* Asks `m` about the path's item. Whether it is in the path's environment is looked at first, where it is not
 * known. */
static void ask_item(struct call *c, struct msg m, call_fn *then)
{
    const struct work_doc *doc;

    if (!id_parse(c->arg[1].at, c->arg[1].len, API_WORK, &c->number)) c->number = 0;
    m.a = c->number;
    doc = id_map_get(&c->s->works, c->number);
    if (doc && doc->environment == c->environment) {
        call_ask(c, m, then);
        return;
    }
    c->next_ask = m;
    c->after = then;
    call_look(c, (struct msg){.kind = M_WORK_GET, .a = c->number}, looked);
}

static void got(struct call *c)
{
    const struct work_doc *doc = expect_item(c);

    if (doc) reply_item(c, doc, false);
}

void serve_work_get(struct call *c)
{
    ask_item(c, (struct msg){.kind = M_WORK_GET}, got);
}

static void acknowledged(struct call *c)
{
    struct work_doc *doc = expect_item(c);

    if (!doc) return;
    if (!doc->acknowledged_at) doc->acknowledged_at = call_now(c->s);
    reply_item(c, doc, false);
}

void serve_work_ack(struct call *c)
{
    ask_item(c, (struct msg){.kind = M_WORK_ACK}, acknowledged);
}

static void updated(struct call *c)
{
    struct work_doc *doc = expect_item(c);
    json_t *metadata;

    if (!doc) return;
    metadata = document_copy(doc->metadata);
    json_text_merge(metadata, json_object_get(c->body, "metadata"));
    if (document_replace(c->s, &doc->metadata, metadata))
        reply_item(c, doc, false);
    else
        call_fail(c, 400, "there is no room for more documents");
}

void serve_work_update(struct call *c)
{
    const json_t *metadata;

    if (!call_body(c)) return;
    metadata = json_object_get(c->body, "metadata");
    if (metadata && !json_is_object(metadata))
        call_fail(c, 400, "metadata: an object");
    else
        ask_item(c, (struct msg){.kind = M_WORK_GET}, updated);
}

static void stopped(struct call *c)
{
    struct work_doc *doc = expect_item(c);

    if (!doc) return;
    if (!doc->stop_requested_at) doc->stop_requested_at = call_now(c->s);
    reply_item(c, doc, false);
}

void serve_work_stop(struct call *c)
{
    const json_t *force;

    if (!call_body(c)) return;
    force = json_object_get(c->body, "force");
    if (force && !json_is_boolean(force) && !json_is_null(force))
        call_fail(c, 400, "force: true or false");
    else
        ask_item(c, (struct msg){.kind = M_WORK_STOP, .b = json_is_true(force)}, stopped);
}

/* Heartbeats
 * ------------------------------------------------------------------------------------------------- */

/* `last_heartbeat` of a number: null for none. */
static json_t *beat_text(const struct api_server *s, uint64_t beat)
{
    return beat == HEARTBEAT_NONE ? json_null() : call_time(s, beat);
}

/* The number of a text that was answered; HEARTBEAT_ALIEN for any other. */
static uint64_t beat_number(const struct api_server *s, const char *text)
{
    char again[API_TIME_SIZE];
    uint64_t wall, origin = driver_wall_ns(s->driver, 0);

    if (strcmp(text, "NO_HEARTBEAT") == 0) return HEARTBEAT_NONE;
    if (!api_time_parse(text, &wall) || wall < origin) return HEARTBEAT_ALIEN;
    api_time_format(wall, again);
    return strcmp(text, again) == 0 ? wall - origin : HEARTBEAT_ALIEN;
}

/* Seconds, whole where they are. */
static json_t *seconds(nsec_t ns)
{
    return ns % NSEC_PER_S ? json_real((double)ns / 1e9) : json_integer((json_int_t)(ns / NSEC_PER_S));
}

static void beaten(struct call *c)
{
    const struct api_server *s = c->s;
    const struct msg *m = &c->answer;
    struct work_doc *doc = id_map_get(&s->works, c->number);

    if (m->kind != M_HEARTBEAT && m->kind != M_HEARTBEAT_MISMATCH) {
        call_refused(c);
    } else if (m->kind == M_HEARTBEAT_MISMATCH) {
        call_fail_details(c, 412,
                          json_pack("{s:s,s:{s:s,s:o,s:o,s:b}}", "error_code",
                                    "heartbeat_precondition_failed", "current_state", "state",
                                    api_work_state((enum work_state)m->c), "ttl_seconds", seconds(m->b),
                                    "last_heartbeat", beat_text(s, m->a), "lease_extended", 0),
                          "expected_last_heartbeat is not the last heartbeat");
    } else {
        if (doc && m->d) doc->beat_at = m->a;
        if (doc && m->d && !doc->started_at) doc->started_at = m->a;
        call_reply_json(c, json_pack("{s:s,s:o,s:b,s:s,s:o}", "type", "work_heartbeat", "last_heartbeat",
                                     beat_text(s, m->a), "lease_extended", m->d != 0, "state",
                                     api_work_state((enum work_state)m->c), "ttl_seconds", seconds(m->b)));
    }
}

void serve_work_heartbeat(struct call *c)
{
    char expected[64];
    uint64_t ttl_s = 0;
    int len = http_exchange_query(c->x, "expected_last_heartbeat", expected, sizeof expected);

    if (len == -ENOENT || len == -EINVAL) {
        call_fail(c, 400, "expected_last_heartbeat is required");
        return;
    }
    if (call_query_number(c, "desired_ttl_seconds", &ttl_s) == -EINVAL) {
        call_fail(c, 400, "desired_ttl_seconds: a whole number");
        return;
    }
    ask_item(c,
             (struct msg){.kind = M_WORK_HEARTBEAT,
                          .b = len < 0 ? HEARTBEAT_ALIEN : beat_number(c->s, expected),
                          .c = nsec_mul(ttl_s, NSEC_PER_S)},
             beaten);
}

/* The queue
 * -------------------------------------------------------------------------------------------------- */

static void counted(struct call *c)
{
    const struct msg *m = &c->answer;

    if (m->kind != M_WORK_STATS_ANSWER)
        call_refused(c);
    else
        call_reply_json(c, json_pack("{s:s,s:I,s:I,s:o,s:I}", "type", "work_queue_stats", "depth",
                                     (json_int_t)m->a, "pending", (json_int_t)m->b, "oldest_queued_at",
                                     call_time(c->s, m->c), "workers_polling", (json_int_t)m->d));
}

void serve_work_stats(struct call *c)
{
    call_ask(c, (struct msg){.kind = M_WORK_STATS, .a = c->environment}, counted);
}

static void list_next(struct call *c);

static void list_end(struct call *c, uint64_t cursor)
{
    struct evbuffer *body = evbuffer_new();

    evbuffer_add_printf(body, "{\"data\":");
    json_text_add(body, c->result);
    evbuffer_add_printf(body, ",\"next_page\":");
    call_write_cursor(body, cursor);
    evbuffer_add(body, "}", 1);
    call_reply(c, body);
    evbuffer_free(body);
}

static void list_got(struct call *c)
{
    struct api_server *s = c->s;
    const struct work_doc *doc = c->answer.kind == M_WORK ? doc_of(s, &c->answer) : NULL;
    char why[JSON_TEXT_WHY_MAX];
    json_t *json;

    if (c->answer.kind == M_ERROR && c->answer.a != 404) {
        call_refused(c);
        return;
    }
    if (!doc && c->number > s->last_work) {
        list_end(c, 0); /* ids are given in a row: there is none beyond */
        return;
    }
    if (!doc && c->number == s->first_work) doc_free(s, id_map_take(&s->works, s->first_work++));
    if (doc && doc->environment == c->environment) {
        struct evbuffer *one = evbuffer_new();

        write_item(s, doc, &c->answer, false, one);
        if (json_text_parse_buffer(one, &json, why) == 0) json_array_append_new(c->result, json);
        evbuffer_free(one);
    }
    c->number++;
    list_next(c);
}

static void list_next(struct call *c)
{
    if (json_array_size(c->result) >= c->limit)
        list_end(c, c->number);
    else
        call_look(c, (struct msg){.kind = M_WORK_GET, .a = c->number}, list_got);
}

/* Oldest first: the component is asked for one number after the other. */
void serve_work_list(struct call *c)
{
    if (!call_paging(c, 20, false)) return;
    c->number = c->cursor ? c->cursor : c->s->first_work;
    c->result = json_array();
    list_next(c);
}
