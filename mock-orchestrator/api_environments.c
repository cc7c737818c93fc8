/* Environments: the scenario's pools under their ids, and those that clients create in the place of pools
 * left over. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mock-orchestrator/api_server_state.h"

static json_t *document_of(const struct api_server *s, const char *id, const json_t *body)
{
    json_t *now = call_time(s, call_now(s));
    json_t *name = json_object_get(body, "name"), *config = json_object_get(body, "config");
    json_t *description = json_object_get(body, "description"), *metadata = json_object_get(body, "metadata");

    return json_pack("{s:s,s:s,s:o,s:o,s:o,s:o,s:O,s:o,s:n}", "id", id, "type", "environment", "name",
                     name ? json_incref(name) : json_string(id), "description",
                     description ? json_incref(description) : json_null(), "config",
                     json_is_object(config) ? json_incref(config) : json_pack("{s:s}", "type", "self_hosted"),
                     "metadata", json_is_object(metadata) ? json_incref(metadata) : json_object(),
                     "created_at", now, "updated_at", now, "archived_at");
}

/* -ENOSPC: no pool is left, or no room. */
static int add(struct api_server *s, const char *id, const char *key, const json_t *body)
{
    struct environment e = {0};
    int r = -ENOSPC;

    if (s->environments.len < s->environments_max &&
        (e.document = document_new(s, document_of(s, id, body)))) {
        e.id = strdup(id);
        e.key = key ? strdup(key) : NULL;
        r = e.id && (e.key || !key) ? vec_push(&s->environments, e) : -ENOMEM;
    }
    if (r == 0) return 0;
    document_drop(s, e.document);
    free(e.id);
    free(e.key);
    return r;
}

int environments_init(struct api_server *s, const struct api_server_options *o)
{
    uint32_t pools = driver_plan(s->driver)->runner_count;
    size_t given = o->environment_count, now;
    int r = 0;

    s->environments_max = pools ? pools : 1;
    vec_init(&s->environments, s->environments_max);
    if (given > s->environments_max) return -EINVAL;
    now = o->create_environments && given ? given : s->environments_max;
    for (size_t i = 0; r == 0 && i < now; i++) {
        char id[ID_SIZE];

        api_environment_id((uint32_t)i, id);
        r = add(s, i < given ? o->environments[i].id : id,
                i < given ? o->environments[i].key
                : given   ? o->environments[0].key
                          : NULL,
                NULL);
    }
    return r;
}

void environments_deinit(struct api_server *s)
{
    vec_for_each(e, &s->environments)
    {
        document_drop(s, e->document);
        free(e->id);
        free(e->key);
    }
    vec_deinit(&s->environments);
}

uint32_t environments_find(const struct api_server *s, const char *text, size_t len)
{
    for (uint32_t i = 0; i < s->environments.len; i++) {
        const struct environment *e = &s->environments.items[i];

        if (e->document && strlen(e->id) == len && memcmp(e->id, text, len) == 0) return i;
    }
    return NO_ENVIRONMENT;
}

/* Requests
 * --------------------------------------------------------------------------------------------------- */

static struct environment *environment_of(struct call *c)
{
    uint32_t i = environments_find(c->s, c->arg[0].at, c->arg[0].len);

    if (i != NO_ENVIRONMENT) return &c->s->environments.items[i];
    call_fail_details(c, 404, json_pack("{s:s}", "error_code", "environment_not_found"),
                      "there is no environment of that id");
    return NULL;
}

void serve_environments_create(struct call *c)
{
    struct api_server *s = c->s;
    char id[ID_SIZE];
    int r;

    if (!call_body(c)) return;
    if (json_string_length(json_object_get(c->body, "name")) == 0) {
        call_fail(c, 400, "name: a text that is not empty");
        return;
    }
    api_environment_id((uint32_t)s->environments.len, id);
    r = add(s, id, s->environments.items[0].key, c->body);
    if (r < 0)
        call_fail(c, 400, "there is no room for more than %zu environments", s->environments.len);
    else
        call_reply_json(c, json_incref(s->environments.items[s->environments.len - 1].document->json));
}

void serve_environments_get(struct call *c)
{
    const struct environment *e = environment_of(c);

    if (e) call_reply_json(c, json_incref(e->document->json));
}

/* The document with what the request changes. */
static json_t *updated(const struct api_server *s, const struct document *document, const json_t *body)
{
    static const char *const settable[] = {"name", "description", "config", NULL};
    json_t *json = document_copy(document), *metadata = json_copy(json_object_get(json, "metadata"));

    for (size_t i = 0; settable[i]; i++) {
        json_t *value = json_object_get(body, settable[i]);

        if (value) json_object_set(json, settable[i], value);
    }
    json_text_merge(metadata, json_object_get(body, "metadata"));
    json_object_set_new(json, "metadata", metadata);
    json_object_set_new(json, "updated_at", call_time(s, call_now(s)));
    return json;
}

void serve_environments_update(struct call *c)
{
    struct environment *e = environment_of(c);
    const json_t *metadata, *name;

    if (!e || !call_body(c)) return;
    metadata = json_object_get(c->body, "metadata");
    name = json_object_get(c->body, "name");
    if ((metadata && !json_is_object(metadata)) || (name && json_string_length(name) == 0)) {
        call_fail(c, 400, "metadata: an object; name: a text that is not empty");
        return;
    }
    if (document_replace(c->s, &e->document, updated(c->s, e->document, c->body)))
        call_reply_json(c, json_incref(e->document->json));
    else
        call_fail(c, 400, "there is no room for more documents");
}

void serve_environments_delete(struct call *c)
{
    struct environment *e = environment_of(c);

    if (!e) return;
    document_drop(c->s, steal_ptr(e->document));
    call_reply_json(c, json_pack("{s:s,s:s}", "id", e->id, "type", "environment_deleted"));
}

void serve_environments_archive(struct call *c)
{
    struct environment *e = environment_of(c);

    if (!e) return;
    if (!e->archived) json_object_set_new(e->document->json, "archived_at", call_time(c->s, call_now(c->s)));
    e->archived = true;
    call_reply_json(c, json_incref(e->document->json));
}

/* Newest first; the cursor is the place of the next one, from 1. */
void serve_environments_list(struct call *c)
{
    const struct api_server *s = c->s;
    bool archived = call_query_is(c, "include_archived", "true");
    uint64_t shown = 0, i;
    struct evbuffer *body;

    if (!call_paging(c, 20, true)) return;
    body = evbuffer_new();
    i = c->cursor && c->cursor < s->environments.len ? c->cursor : s->environments.len;
    evbuffer_add_printf(body, "{\"data\":[");
    for (; i > 0 && shown < c->limit; i--) {
        const struct environment *e = &s->environments.items[i - 1];

        if (!e->document || (e->archived && !archived)) continue;
        if (shown++) evbuffer_add(body, ",", 1);
        json_text_add(body, e->document->json);
    }
    evbuffer_add_printf(body, "],\"next_page\":");
    call_write_cursor(body, i);
    evbuffer_add(body, "}", 1);
    call_reply(c, body);
    evbuffer_free(body);
}
