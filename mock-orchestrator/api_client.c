/* Life of the client, its connections, and event streams. */
#include "mock-orchestrator/api_client.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "mock-orchestrator/api_client_state.h"
#include "mock-orchestrator/api_time.h"
#include "sim/base/panic.h"
#include "sim/live/cause.h"
#include "sim/live/http_pool.h"
#include "sim/live/sse.h"
#include "sim/live/tcp.h"
#include "sim/record/recorder.h"

enum {
    EVENT_BYTES_MAX = 72 << 20, /* of one event on a stream: the largest output, and room */
    ABANDONED_MAX = 64,         /* requests that are seen through though nobody wants the answer */
};

/* Above it a stream is not read further before the component has handled what it has. */
#define UNCREDITED_MAX (192u * 1024)
/* One flow: a request and its answer, or an event stream. */
struct request {
    struct wire wire;
    struct list abandoned; /* in the client's list */
    struct api_client *c;
    struct http_pool *pool;
    struct http_conn *conn; /* NULL: given back, or never had */
    addr_t from;
    struct msg open;
    nsec_t begun_at;
    nsec_t retry_after_ns;
    int status;
    bool unseen; /* the answer is the server's own: no component has seen the request */
    struct evbuffer *body;
    struct sse_decoder *sse; /* an event stream that is open */
    uint32_t uncredited;     /* stream: bytes of messages that the component has not handled */
    size_t held;             /* stream: bytes taken from the connection and not yet reported as consumed */
    struct event *failed;    /* for what failed in the call that opened it; later, for its patience */
#ifdef WINDTUNNEL_PLANT_RETRY
    bool repeated;
#endif
};

static struct recorder *recorder_of(const struct request *r)
{
    return driver_recorder(r->c->driver, r->from);
}

/* Small things
 * ----------------------------------------------------------------------------------------------- */

uint32_t api_client_environment(const struct api_client *c, const char *id)
{
    for (uint32_t i = 0; i < c->environment_count; i++) {
        if (strcmp(c->environments[i].id, id) == 0) return i;
    }
    return 0;
}

const char *api_client_page(const struct api_client *c, uint64_t session, uint64_t from)
{
    for (int i = 0; i < PAGES_MAX; i++) {
        const struct page *p = &c->pages[i];

        if (p->cursor && p->session == session && p->from == from) return p->cursor;
    }
    return NULL;
}

void api_client_page_put(struct api_client *c, uint64_t session, uint64_t from, const char *cursor)
{
    struct page *p = &c->pages[c->pages_next++ % PAGES_MAX];

    free(p->cursor);
    *p = (struct page){.session = session, .from = from, .cursor = strdup(cursor)};
}

void api_client_violation(struct api_client *c, addr_t from)
{
    recorder_count(driver_recorder(c->driver, from), COUNTER_PROTOCOL_VIOLATIONS, 1);
}

int api_client_event(struct api_client *c, addr_t from, uint64_t session, const json_t *json,
                     struct msg *ret_msg)
{
    const struct api_event_reader reader = {.driver = c->driver, .ids = &c->ids};
    const json_t *text = json_object_get(json_object_get(json, "input"), "content");
    int r = api_event_read(&reader, json, ret_msg);
    struct disk_write w = {.runner = ADDR_ORDINAL(from), .session = session, .call = ret_msg->c};

    if (r < 0 || ADDR_ROLE(from) != ROLE_RUNNER || !json_is_string(text)) return r;
    if (EVENT_KIND(ret_msg->b) == EV_AGENT_TOOL_USE && EVENT_TOOL(ret_msg->b) == TOOL_WRITE)
        disk_stage(c->o.disk, &w, json_string_value(text), json_string_length(text));
    return 0;
}

/* Ends
 * ------------------------------------------------------------------------------------------------------- */

static void reset(struct request *r, enum reset_cause cause)
{
    driver_receive(&r->wire, (struct msg){.type = MSG_RESET, .a = cause});
}

static void drop_conn(struct request *r, bool abort)
{
    http_conn_free(r->conn, abort);
    r->conn = NULL;
}

static void request_free(struct request *r)
{
    drop_conn(r, true);
    if (list_is_linked(&r->abandoned)) {
        list_remove(&r->abandoned);
        r->c->abandoned_count--;
    }
    if (r->failed) event_free(r->failed);
    sse_decoder_free(r->sse);
    evbuffer_free(r->body);
    free(r);
}

static void malformed(struct request *r)
{
    api_client_violation(r->c, r->from);
    drop_conn(r, true);
    reset(r, RESET_PROTOCOL);
}

static void count_answer(const struct request *r)
{
    struct recorder *rec = recorder_of(r);
    bool stopped_already =
        r->open.kind == M_WORK_STOP && r->status == 409; /* the usual course, see runner.c */

    if (r->open.kind != M_STREAM)
        recorder_record(rec, METRIC_HTTP_REQUEST, driver_now(r->c->driver) - r->begun_at);
    if (r->status >= 400 && !stopped_already) recorder_count(rec, COUNTER_HTTP_ERRORS, 1);
}

/* Streams
 * ---------------------------------------------------------------------------------------------------- */

/* Lets the peer send on, unless the component has enough to do. */
static void stream_flow_on(struct request *r)
{
    bool full = r->uncredited > UNCREDITED_MAX && !list_is_linked(&r->abandoned);

    if (!r->conn || full || r->held == 0) return;
    http_conn_consumed(r->conn, r->held);
    r->held = 0;
}

/* False: it was no event, and the stream is over. */
static bool stream_event(struct request *r, const struct sse_event *e)
{
    CLEANUP(json_decref_p) json_t *json = NULL;
    char why[JSON_TEXT_WHY_MAX];
    struct msg m;

    if (strcmp(e->event, "ping") == 0 || strcmp(e->event, "event_start") == 0 ||
        strcmp(e->event, "event_delta") == 0)
        return true;
    if (json_text_parse(e->data, e->len, &json, why) < 0 ||
        api_client_event(r->c, r->from, r->open.a, json, &m) < 0) {
        malformed(r);
        return false;
    }
    r->uncredited += m.bytes;
    api_receive(&r->wire, &m);
    return true;
}

static void stream_data(struct request *r, struct evbuffer *body)
{
    struct sse_event e;
    int got;

    r->held += evbuffer_get_length(body);
    while ((got = sse_decode(r->sse, body, &e)) > 0) {
        if (!stream_event(r, &e)) return;
    }
    if (got < 0)
        malformed(r);
    else
        stream_flow_on(r);
}

static void stream_open(struct request *r)
{
    if (sse_decoder_new(EVENT_BYTES_MAX, &r->sse) < 0) PANIC_MEMORY("out of memory for an event stream");
    driver_receive(&r->wire, (struct msg){.type = MSG_OPEN, .kind = M_OK, .bytes = API_BYTES_HEAD});
}

/* Connections
 * ------------------------------------------------------------------------------------------------ */

/* Nobody waits for the rest of the answer, but it is counted as long as it comes. */
static void be_patient(struct request *r)
{
    struct timeval patience = {.tv_sec = 1};

    event_add(r->failed, &patience);
}

static void on_head(void *user, const struct http_head *head)
{
    struct request *r = user;

    r->status = head->status;
    r->retry_after_ns = http_head_retry_after(head);
    r->unseen = http_head_unseen(head);
    if (r->open.kind != M_STREAM || r->status != 200) return;
    count_answer(r);
    stream_open(r);
}

static void on_data(void *user, struct evbuffer *body)
{
    struct request *r = user;
    size_t n = evbuffer_get_length(body);

    if (r->failed) be_patient(r);
    if (r->sse) {
        stream_data(r, body);
        if (!r->conn && list_is_linked(&r->abandoned)) request_free(r);
        return;
    }
    if (n > r->c->o.body_bytes_max - evbuffer_get_length(r->body)) {
        malformed(r);
        return;
    }
    evbuffer_add_buffer(r->body, body);
    http_conn_consumed(r->conn, n);
}

#ifdef WINDTUNNEL_PLANT_RETRY
static int request_send(struct request *r);
#endif

/* True for an answer that a test build does not pass on: it makes the request again behind the component's
 * back, to show that the count of messages notices. */
static bool planted_retry(struct request *r)
{
#ifdef WINDTUNNEL_PLANT_RETRY
    if (r->status == 503 && !r->repeated) {
        r->repeated = true;
        evbuffer_drain(r->body, evbuffer_get_length(r->body));
        return request_send(r) == 0;
    }
#endif
    return false;
}

static void on_end(void *user, bool reusable)
{
    struct request *r = user;

    /* A connection on which a request was given up serves no other, on either clock. */
    http_pool_give(r->pool, r->conn, reusable && !list_is_linked(&r->abandoned));
    r->conn = NULL;
    if (planted_retry(r)) return;
    if (r->sse) {
        driver_receive(&r->wire, (struct msg){.type = MSG_DATA, .flags = MSG_LAST});
        if (list_is_linked(&r->abandoned)) request_free(r);
        return;
    }
    if (!list_is_linked(&r->abandoned)) count_answer(r);
    if (r->unseen && r->status >= 400)
        driver_returned(&r->wire, r->open.kind, api_client_error(r->status, r->retry_after_ns));
    else if ((r->open.kind == M_STREAM && r->status < 400) ||
             !api_client_decode(r->c, &r->wire, r->from, &r->open, r->status, r->retry_after_ns, r->body))
        malformed(r);
    if (list_is_linked(&r->abandoned)) request_free(r);
}

/* A request that was on its way when the run ended here has not failed: nobody waits for its answer. */
static void count_failure(const struct request *r)
{
    if (!driver_has_ended(r->c->driver)) recorder_count(recorder_of(r), COUNTER_HTTP_ERRORS, 1);
}

static void on_failed(void *user, const struct http_failure *f)
{
    struct request *r = user;

    if (f->outcome == HTTP_MALFORMED) api_client_violation(r->c, r->from);
    if (list_is_linked(&r->abandoned)) {
        if (f->outcome == HTTP_NEVER_SENT) driver_cut(&r->wire, &r->open);
        request_free(r);
        return;
    }
    count_failure(r);
    drop_conn(r, true);
    reset(r, cause_of_failure(f));
}

static const struct http_conn_handler conn_handler = {
    .head = on_head, .data = on_data, .end = on_end, .failed = on_failed};

static int pool_of(struct api_client *c, addr_t from, struct http_pool **ret)
{
    bool runner = ADDR_ROLE(from) == ROLE_RUNNER;
    const struct plan_link *link =
        &driver_plan(c->driver)->links[runner ? LINK_RUNNER_ORCHESTRATOR : LINK_CLIENT_ORCHESTRATOR];
    struct http_pool **pool = &c->pools[ADDR_ROLE(from)][ADDR_ORDINAL(from)];
    char address[TCP_ADDRESS_MAX];
    struct http_pool_options o = {.address = c->address,
                                  .hostname = c->hostname,
                                  .tls = c->o.tls,
                                  .connect_timeout_ns = link->dial_timeout_ns,
                                  .idle_ns = link->keep_alive ? link->keep_alive_idle_ns : 0,
                                  /* A stream has no end; other answers: see on_data(). */
                                  .body_bytes_max = 0};
    int r;

    if (!*pool) {
        if (c->o.address_of) {
            c->o.address_of(c->o.user, from, address, sizeof address);
            o.address = address;
        }
        if ((r = http_pool_new(driver_base(c->driver), &o, pool)) < 0) return r;
    }
    *ret = *pool;
    return 0;
}

/* Flows
 * ------------------------------------------------------------------------------------------------------ */

static int request_send(struct request *r)
{
    struct api_client *c = r->c;
    CLEANUP(encoded_deinit) struct encoded e = {0};
    struct http_header headers[9];
    int n = 0, result = api_client_encode(c, r->from, &r->open, &e);

    if (result < 0 || (result = pool_of(c, r->from, &r->pool)) < 0) return result;
    headers[n++] =
        (struct http_header){"Accept", r->open.kind == M_STREAM ? "text/event-stream" : "application/json"};
    headers[n++] = (struct http_header){"anthropic-version", "2023-06-01"};
    headers[n++] = (struct http_header){"anthropic-beta", "managed-agents-2026-04-01"};
    if (e.with_api_key) headers[n++] = (struct http_header){"x-api-key", c->api_key};
    if (str_len(&e.authorization))
        headers[n++] = (struct http_header){"Authorization", str_text(&e.authorization)};
    if (str_len(&e.facts)) headers[n++] = (struct http_header){API_FACTS_HEADER, str_text(&e.facts)};
    if (e.worker[0]) headers[n++] = (struct http_header){"Anthropic-Worker-ID", e.worker};
    if (evbuffer_get_length(e.body)) headers[n++] = (struct http_header){"Content-Type", "application/json"};
    headers[n] = (struct http_header){0};
    if ((result = http_pool_take(r->pool, &conn_handler, r, &r->conn)) < 0) return result;
    recorder_count(recorder_of(r), COUNTER_HTTP_REQUESTS, 1);
    return http_conn_request(r->conn,
                             &(struct http_request){.method = e.method,
                                                    .target = str_text(&e.target),
                                                    .host = http_pool_host(r->pool),
                                                    .headers = headers,
                                                    .body = evbuffer_get_length(e.body) ? e.body : NULL});
}

static void on_refused(evutil_socket_t fd, short what, void *user)
{
    reset(user, RESET_REFUSED);
}

static void request_say(struct wire *w, const struct msg *m)
{
    struct request *r = (struct request *)w;

    /* Of a body in parts all went out with its head; a RESET is seen to in `over`, which follows. */
    if (m->type != MSG_CREDIT) return;
    r->uncredited -= m->bytes < r->uncredited ? m->bytes : r->uncredited;
    stream_flow_on(r);
}

/* What its peer still says is not counted any more. */
static void turn_away(struct request *r)
{
    driver_give_up(&r->wire);
    request_free(r);
}

static void on_abandoned_long(evutil_socket_t fd, short what, void *user)
{
    turn_away(user);
}

/* What waits at the server, a poll or a stream, must be told at once that nobody is there. */
static void hang_up(struct request *r)
{
    stream_shutdown(http_conn_stream(r->conn));
    r->failed = event_new(driver_base(r->c->driver), -1, 0, on_abandoned_long, r);
    if (!r->failed) PANIC_MEMORY("out of memory for a request");
    be_patient(r);
}

/* An answer, or events, may be on their way when the component loses interest. They are still read, and
 * counted as cut off; a connection that is torn down would take them along uncounted. */
static void see_through(struct request *r)
{
    struct api_client *c = r->c;

    list_push_back(&c->abandoned, &r->abandoned);
    if (r->open.kind == M_STREAM || r->open.kind == M_WORK_POLL) hang_up(r);
    stream_flow_on(r);
    if (++c->abandoned_count > ABANDONED_MAX)
        turn_away(container_of(list_first(&c->abandoned), struct request, abandoned));
}

static void request_over(struct wire *w)
{
    struct request *r = (struct request *)w;

    if (r->conn)
        see_through(r);
    else
        request_free(r);
}

static const struct wire_ops request_ops = {.send = request_say, .over = request_over};

static struct wire *client_open(struct dialer *dialer, addr_t from, addr_t to, struct wire *via,
                                const struct msg *m)
{
    struct api_client *c = (struct api_client *)dialer;
    struct request *r = calloc(1, sizeof *r);

    if (!r || !(r->body = evbuffer_new())) PANIC_MEMORY("out of memory for a request");
    list_init(&r->abandoned);
    r->wire.ops = &request_ops;
    r->wire.reads_on = true;
    r->c = c;
    r->from = from;
    r->open = *m;
    r->begun_at = driver_now(c->driver);
    if (request_send(r) == 0) return &r->wire;
    count_failure(r);
    drop_conn(r, true);
    r->failed = event_new(driver_base(c->driver), -1, 0, on_refused, r);
    if (!r->failed) PANIC_MEMORY("out of memory for a request");
    event_active(r->failed, EV_TIMEOUT, 0);
    return &r->wire;
}

/* Life
 * ------------------------------------------------------------------------------------------------------- */

static int copy(char **to, const char *text)
{
    *to = text ? strdup(text) : NULL;
    return text && !*to ? -ENOMEM : 0;
}

static int copy_environments(struct api_client *c, const struct api_client_options *o)
{
    uint32_t pools = driver_plan(c->driver)->runner_count;
    int r = 0;

    c->environment_count = pools ? pools : 1;
    c->environments = calloc(c->environment_count, sizeof *c->environments);
    if (!c->environments) return -ENOMEM;
    for (uint32_t i = 0; r == 0 && i < c->environment_count; i++) {
        const struct api_environment *given = i < o->environment_count ? &o->environments[i] : NULL;
        const struct api_environment *first = o->environment_count ? &o->environments[0] : NULL;
        char id[ID_SIZE];

        api_environment_id(i, id);
        r = copy(&c->environments[i].id, given ? given->id : id);
        if (r == 0) r = copy(&c->environments[i].key, given ? given->key : first ? first->key : NULL);
    }
    return r;
}

static int copy_agents(struct api_client *c, const struct api_client_options *o)
{
    const struct plan *plan = driver_plan(c->driver);
    int r = 0;

    c->agents = calloc(plan->script_count + 1, sizeof *c->agents);
    if (!c->agents) return -ENOMEM;
    for (uint32_t i = 0; r == 0 && i < plan->script_count; i++)
        r = copy(&c->agents[i], o->agents ? o->agents[i] : plan->scripts[i].name);
    return r;
}

static int init(struct api_client *c, const struct api_client_options *o)
{
    static const enum role roles[] = {ROLE_CLIENT, ROLE_RUNNER};
    int r;

    if ((r = copy(&c->address, o->address)) < 0 || (r = copy(&c->hostname, o->hostname)) < 0) return r;
    if ((r = copy(&c->prefix, o->prefix)) < 0 || (r = copy(&c->api_key, o->api_key)) < 0) return r;
    if ((r = copy_environments(c, o)) < 0 || (r = copy_agents(c, o)) < 0) return r;
    for (int i = 0; i < 2; i++) {
        c->pool_counts[roles[i]] = plan_instances(driver_plan(c->driver), roles[i]);
        c->pools[roles[i]] = calloc(c->pool_counts[roles[i]] + 1, sizeof(struct http_pool *));
        if (!c->pools[roles[i]]) return -ENOMEM;
    }
    return 0;
}

int api_client_new(struct driver *driver, const struct api_client_options *o, struct api_client **ret_client)
{
    struct api_client *c = calloc(1, sizeof *c);
    uint32_t ids = o->foreign_ids_max ? o->foreign_ids_max : 4u << 20;
    int r;

    if (!c) return -ENOMEM;
    list_init(&c->abandoned);
    c->dialer.open = client_open;
    c->driver = driver;
    c->o = *o;
    if (!c->o.body_bytes_max) c->o.body_bytes_max = 256u << 20;
    intern_init(&c->ids, (size_t)ids * 64, ids);
    token_table_init(&c->tokens, 1u << 16);
    r = init(c, o);
    if (r < 0) {
        api_client_free(c);
        return r;
    }
    *ret_client = c;
    return 0;
}

void api_client_free(struct api_client *c)
{
    if (!c) return;
    while (!list_is_empty(&c->abandoned))
        request_free(container_of(list_first(&c->abandoned), struct request, abandoned));
    for (enum role role = ROLE_MCP; role < ROLE_COUNT; role++) {
        for (uint32_t i = 0; c->pools[role] && i < c->pool_counts[role]; i++)
            http_pool_free(c->pools[role][i]);
        free(c->pools[role]);
    }
    for (uint32_t i = 0; c->environments && i < c->environment_count; i++) {
        free(c->environments[i].id);
        free(c->environments[i].key);
    }
    for (uint32_t i = 0; c->agents && c->agents[i]; i++) free(c->agents[i]);
    for (int i = 0; i < PAGES_MAX; i++) free(c->pages[i].cursor);
    token_table_deinit(&c->tokens);
    intern_deinit(&c->ids);
    free(c->environments);
    free(c->agents);
    free(c->address);
    free(c->hostname);
    free(c->prefix);
    free(c->api_key);
    free(c);
}

void api_client_cut(struct api_client *c, addr_t from)
{
    struct http_pool **pool = &c->pools[ADDR_ROLE(from)][ADDR_ORDINAL(from)];

    list_for_each(r, &c->abandoned, struct request, abandoned)
    {
        if (r->from == from) request_free(r);
    }
    http_pool_free(*pool);
    *pool = NULL;
}

struct dialer *api_client_dialer(struct api_client *c)
{
    return &c->dialer;
}
