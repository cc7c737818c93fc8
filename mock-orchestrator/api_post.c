/* What clients and workers post: validated, its texts put aside, and handed to the component as numbers. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mock-orchestrator/api_body.h"
#include "mock-orchestrator/api_server_state.h"

/* One event of a request. */
struct posted {
    enum event_kind kind;
    uint64_t c, d; /* as in M_EVENTS_SEND */
    uint64_t flags, spilled;
    uint64_t file, offset; /* of a piece of a file; 0: it is none */
    uint64_t key;          /* of its content, if `stored` for it */
    bool stored;
    json_t *content; /* borrowed from the request */
};

struct post {
    call_fn *then;
    bool taken; /* the component has them: their texts stay */
    size_t count;
    struct posted items[];
};

/* Reading
 * ---------------------------------------------------------------------------------------------------- */

/* What is wrong with a content member: an array of blocks, or a text; NULL if nothing. */
static const char *content_complaint(const json_t *content, bool required)
{
    size_t i;
    json_t *block;

    if (!content || json_is_null(content)) return required ? "content is required" : NULL;
    if (json_is_string(content)) return NULL;
    if (!json_is_array(content)) return "content: an array of blocks";
    json_array_foreach((json_t *)content, i, block)
    {
        const char *type = json_text_get(block, "type");

        if (!type) return "content: each block is an object with a type";
        if (strcmp(type, "text") == 0 && !json_is_string(json_object_get(block, "text")))
            return "content: a text block has a text";
    }
    return NULL;
}

/* The tool use that a member names: 0 if it cannot be one of ours, which the component refuses. */
static const char *read_ref(const json_t *event, const char *key, uint64_t *ret)
{
    const json_t *id = json_object_get(event, key);

    *ret = 0;
    if (!json_is_string(id)) return "the id of a tool use is required";
    id_parse(json_string_value(id), json_string_length(id), API_EVENT, ret);
    return NULL;
}

static const char *read_result(const json_t *event, const char *of, struct posted *p)
{
    const json_t *is_error = json_object_get(event, "is_error");
    const char *wrong;

    p->content = json_object_get(event, "content");
    if ((wrong = content_complaint(p->content, false)) || (wrong = read_ref(event, of, &p->c))) return wrong;
    if (is_error && !json_is_boolean(is_error) && !json_is_null(is_error)) return "is_error: true or false";
    if (json_is_true(is_error)) p->flags |= EVENT_IS_ERROR;
    return NULL;
}

static const char *read_confirmation(const json_t *event, struct posted *p)
{
    const char *result = json_text_get(event, "result");

    if (!result || (strcmp(result, "allow") != 0 && strcmp(result, "deny") != 0))
        return "result: allow or deny";
    if (strcmp(result, "deny") == 0) p->flags |= EVENT_IS_ERROR;
    return read_ref(event, "tool_use_id", &p->c);
}

/* What is wrong with the event, NULL if nothing. */
static const char *read_event(const json_t *event, struct posted *p)
{
    const char *type = json_text_get(event, "type");

    if (!type) return "each event is an object with a type";
    p->kind = api_event_kind_of(type);
    switch (p->kind) {
    case EV_USER_MESSAGE:
        p->content = json_object_get(event, "content");
        return content_complaint(p->content, true);
    case EV_USER_TOOL_RESULT: return read_result(event, "tool_use_id", p);
    case EV_USER_CUSTOM_TOOL_RESULT: return read_result(event, "custom_tool_use_id", p);
    case EV_USER_TOOL_CONFIRMATION: return read_confirmation(event, p);
    case EV_USER_INTERRUPT: return NULL;
    default: return "an event of this type cannot be sent";
    }
}

/* Contents
 * --------------------------------------------------------------------------------------------------- */

/* Sizes of the messages of our own client: its events have these for `d`, and nobody else's. */
static bool is_own_size(const struct plan *plan, uint64_t chars)
{
    for (uint32_t i = 0; i < plan->script_count; i++) {
        for (uint32_t t = 0; t < plan->scripts[i].turn_count; t++) {
            if (plan->scripts[i].turns[t].message_bytes == chars) return true;
        }
    }
    return false;
}

/* The text of a content that is one text block; NULL: it is not. */
static const json_t *only_text(const json_t *content)
{
    return json_array_size(content) == 1 ? json_object_get(json_array_get(content, 0), "text") : NULL;
}

/* The text is said to be generated: checks it instead of keeping it. */
static void take_generated(const struct call *c, const struct api_facts *facts, struct posted *p)
{
    const json_t *text = only_text(p->content);
    size_t len = json_string_length(text);
    struct api_body body = {.id = facts->file                  ? facts->file
                                  : p->kind == EV_USER_MESSAGE ? API_TEXT_OF_USER(c->session)
                                                               : p->c,
                            .offset = facts->offset,
                            .spilled = facts->spilled,
                            .chars = facts->chars};

    p->d = facts->chars;
    p->spilled = facts->spilled;
    p->file = facts->file;
    p->offset = facts->offset;
    if (facts->spilled) p->flags |= EVENT_SPILLED;
    if (facts->refused) p->flags |= EVENT_REFUSED;
    /* A session's files are its own. */
    if (p->file && p->file != API_EVENT_ID(c->session, API_EVENT_SEQ(p->file))) p->flags |= EVENT_CORRUPT;
    if (facts->corrupt || !api_body_check(&body, len ? json_string_value(text) : "", len))
        p->flags |= EVENT_CORRUPT;
}

/* As it will be shown: an array. */
static char *stored_form(const json_t *content)
{
    CLEANUP(json_decref_p)
    json_t *array = json_is_array(content)    ? json_incref((json_t *)content)
                    : json_is_string(content) ? json_pack("[{s:s,s:O}]", "type", "text", "text", content)
                                              : json_array();

    return array ? json_dumps(array, JSON_COMPACT) : NULL;
}

/* Keeps the text under a key that the event's numbers will tell. Messages have but `d`: a number near the
 * text's length that stands for no other text in this session. */
static int store(struct call *c, struct posted *p)
{
    const struct plan *plan = driver_plan(c->s->driver);
    _cleanup_free_ char *form = stored_form(p->content);
    uint64_t chars = api_content_chars(p->content);
    int r;

    if (!form) return -ENOMEM;
    p->d = chars < INT32_MAX ? chars : INT32_MAX;
    for (;; p->d++) {
        bool message = p->kind == EV_USER_MESSAGE;

        if (message && is_own_size(plan, p->d)) continue;
        p->key = message ? API_CONTENT_MESSAGE(p->d) : API_CONTENT_RESULT(p->c);
        r = content_store_put(c->s->contents, c->session, p->key, form, strlen(form));
        if (r != -EEXIST || !message) break;
    }
    p->stored = r == 0;
    /* A result that came before, or comes twice at once: the first one counts. */
    return r == -EEXIST ? 0 : r;
}

static void post_free(struct call *c)
{
    struct post *post = c->op;

    for (size_t i = 0; !post->taken && i < post->count; i++) {
        if (post->items[i].stored) content_store_drop(c->s->contents, c->session, post->items[i].key);
    }
    free(post);
}

static bool has_text(const struct posted *p)
{
    return p->kind == EV_USER_MESSAGE || p->kind == EV_USER_TOOL_RESULT ||
           p->kind == EV_USER_CUSTOM_TOOL_RESULT;
}

/* 0, or a negative errno. */
static int take_contents(struct call *c, struct post *post)
{
    struct api_facts facts;
    bool generated = api_facts_parse(http_exchange_header(c->x, API_FACTS_HEADER), &facts);
    const struct plan *plan = driver_plan(c->s->driver);
    int r = 0;

    for (size_t i = 0; r == 0 && i < post->count; i++) {
        struct posted *p = &post->items[i];
        bool message = p->kind == EV_USER_MESSAGE;

        if (!has_text(p)) continue;
        /* The message of a client with another scenario has a size that says nothing here. */
        if (generated && post->count == 1 && (!message || is_own_size(plan, facts.chars)))
            take_generated(c, &facts, p);
        else
            r = store(c, p);
    }
    return r;
}

/* Sending
 * ---------------------------------------------------------------------------------------------------- */

static struct msg message_of(const struct call *c, const struct posted *p)
{
    bool result = p->kind == EV_USER_TOOL_RESULT || p->kind == EV_USER_CUSTOM_TOOL_RESULT;
    uint32_t file = API_EVENT_SEQ(p->file);

    return (struct msg){.kind = M_EVENTS_SEND,
                        .bytes = api_bytes(result ? API_BYTES_RESULT : API_BYTES_HEAD, p->d),
                        .a = c->session,
                        .b = p->file ? EVENT_B(p->kind, TOOL_READ, 0, file) : EVENT_B(p->kind, 0, 0, 0),
                        .c = p->c,
                        .d = p->d,
                        .e = p->flags | (p->file ? p->offset : p->spilled) << 8};
}

static void answered(struct call *c)
{
    struct post *post = c->op;

    post->taken = c->answer.kind == M_OK;
    post->then(c);
}

static void send_all(struct call *c)
{
    struct post *post = c->op;

    c->then = answered;
    for (size_t i = 0; i < post->count; i++) {
        struct msg m = message_of(c, &post->items[i]), first;

        if (i + 1 == post->count) m.flags = MSG_LAST;
        first = api_first_part(&m);
        if (i > 0) {
            first.type = MSG_DATA;
            first.kind = M_EVENT;
            driver_receive(&c->wire, first);
        } else if (!call_open(c, first, &call_ops)) {
            return;
        }
        api_receive_rest(&c->wire, &m);
    }
}

void posts_send(struct call *c, const json_t *events, call_fn *then)
{
    size_t count = json_array_size(events);
    struct post *post;
    int r;

    if (count < 1 || count > POST_EVENTS_MAX) {
        call_fail(c, count ? 413 : 400, "events: an array of 1 to %d events", POST_EVENTS_MAX);
        return;
    }
    post = calloc(1, sizeof *post + count * sizeof *post->items);
    if (!post) {
        call_fail(c, 500, "out of memory");
        return;
    }
    c->op = post;
    c->op_free = post_free;
    post->then = then;
    post->count = count;
    for (size_t i = 0; i < count; i++) {
        const char *wrong = read_event(json_array_get(events, i), &post->items[i]);

        if (!wrong) continue;
        call_fail(c, 400, "events.%zu: %s", i, wrong);
        return;
    }
    r = take_contents(c, post);
    if (r < 0)
        call_fail(c, r == -ENOSPC ? 529 : 500, r == -ENOSPC ? "no room for more texts" : "out of memory");
    else
        send_all(c);
}

/* The reply
 * -------------------------------------------------------------------------------------------------- */

/* The event of the list that is this one: the next of its kind and numbers. */
static const struct msg *find_stored(struct call *c, const struct posted *p)
{
    for (size_t i = c->next; i < c->events.len; i++) {
        const struct msg *m = &c->events.items[i];

        if (EVENT_KIND(m->b) != p->kind) continue;
        if (p->kind == EV_USER_MESSAGE ? m->d != p->d : m->c != p->c) continue;
        c->next = i + 1;
        return m;
    }
    return NULL;
}

static void reply_stored(struct call *c)
{
    struct api_event_writer w = call_event_writer(c);
    const struct post *post = c->op;
    struct evbuffer *body = evbuffer_new();
    bool any = false;

    evbuffer_add_printf(body, "{\"data\":[");
    for (size_t i = 0; i < post->count; i++) {
        const struct msg *m = find_stored(c, &post->items[i]);

        if (m && any) evbuffer_add(body, ",", 1);
        if (m) api_event_write(&w, m, body);
        any |= m != NULL;
    }
    evbuffer_add_printf(body, "]}");
    call_reply(c, body);
    evbuffer_free(body);
}

/* Our own programs do not read what they know; others are shown the events as they are stored. */
static void posted(struct call *c)
{
    const struct post *post = c->op;
    struct api_facts facts;
    char id[ID_SIZE];

    if (c->answer.kind != M_OK) {
        call_refused(c);
    } else if (api_facts_parse(http_exchange_header(c->x, API_FACTS_HEADER), &facts)) {
        id_format(id, API_EVENT, c->answer.a);
        call_reply_json(
            c, json_pack("{s:[{s:s,s:s}]}", "data", "id", id, "type", event_kind_name(post->items[0].kind)));
    } else if (c->answer.a == 0) {
        call_reply_text(c, "{\"data\":[]}");
    } else {
        call_ask(c,
                 (struct msg){.kind = M_EVENTS_LIST,
                              .a = c->session,
                              .b = API_EVENT_SEQ(c->answer.a),
                              .c = post->count == 1 ? 1 : LIST_LIMIT_MAX},
                 reply_stored);
    }
}

void serve_events_post(struct call *c)
{
    if (call_body(c)) posts_send(c, json_object_get(c->body, "events"), posted);
}
