/*
 * What the parts of the server share. Private to mock-orchestrator/.
 *
 *   api_server.c     life, routes
 *   api_auth.c       credentials
 *   api_call.c       one request: what is asked of the component, and the reply
 *   api_document.c   what is kept of documents, bounded
 *   api_agents.c, api_environments.c    documents
 *   api_sessions.c   sessions
 *   api_post.c, api_list.c, api_stream.c    events in, events out
 *   api_work.c       the work queue
 */
#pragma once

#include <event2/buffer.h>
#include <event2/event.h>
#include <jansson.h>

#include "mock-orchestrator/api_event.h"
#include "mock-orchestrator/api_server.h"
#include "mock-orchestrator/api_wire.h"
#include "mock-orchestrator/content_store.h"
#include "mock-orchestrator/id_map.h"
#include "mock-orchestrator/json_text.h"
#include "sim/base/cleanup.h"
#include "sim/base/list.h"
#include "sim/base/vec.h"
#include "sim/live/http_server.h"

enum {
    LIST_LIMIT_MAX = 1000,
    POST_EVENTS_MAX = 1000, /* of one request; the component takes fewer */
    VERSIONS_MAX = 16,      /* of one agent that are kept */
    ENVIRONMENT_ID_MAX = 128,
    NO_ENVIRONMENT = UINT32_MAX,
    SECRET_BYTES = 32,
    TOKEN_SIZE = 160,
};

/* Documents
 * -------------------------------------------------------------------------------------------------- */

/* A JSON value that is kept. Its bytes are taken from those of all documents when it is made, and given back
 * when its last holder drops it; so it is never changed (but for the moment of its archiving), another takes
 * its place. */
struct document {
    json_t *json;
    size_t bytes; /* of its text, as a measure */
    size_t holders;
};

struct agent {
    uint64_t number; /* from 1; the id is made of it */
    uint32_t script; /* whose it is by its name, or a number beyond all scripts */
    size_t version_count;
    struct document *versions[VERSIONS_MAX]; /* as they are answered: the last ones, oldest first */
    bool archived;
};

struct environment {
    char *id, *key;
    struct document *document; /* NULL: deleted */
    bool archived;
};

/* A session's own documents. Most sessions of a run have none: then the record is all there is. */
struct session_doc {
    uint64_t number;
    uint64_t ordinal;
    struct document *agent; /* the version that it was made with; NULL: unknown */
    struct document *extra; /* members that are not as by default or as that agent; NULL: none */
    nsec_t updated_at, archived_at;
    uint32_t environment;
    bool ours; /* made by our own client: its only metadata is the ordinal */
};

/* What was seen of a work item. */
struct work_doc {
    uint64_t id, session;
    struct document *metadata; /* NULL: {} */
    nsec_t acknowledged_at, started_at, beat_at, stop_requested_at, stopped_at;
    uint32_t environment;
};

/* Server
 * ----------------------------------------------------------------------------------------------------- */

struct api_server {
    struct driver *driver;
    struct api_server_options o; /* pointers in it are not kept */
    char *api_key, *base_url;
    struct http_server *http;
    struct content_store *contents;
    VEC(struct agent *) agents;
    VEC(struct environment) environments; /* by number */
    uint32_t environments_max;
    struct id_map sessions; /* struct session_doc, by number */
    struct id_map works;    /* struct work_doc, by id */
    size_t document_bytes;  /* of all documents, at most o.document_bytes_max */
    size_t works_max;
    uint64_t last_session, first_work, last_work; /* numbers seen */
    uint64_t next_ordinal;
    struct list calls, streams;
    struct event *ping;
    uint64_t request_key, request_count;
    char error_id[ID_SIZE]; /* of the last request that the HTTP server answered itself */
    struct http_header error_headers[2];
    unsigned char secret[SECRET_BYTES]; /* signs the tokens of work items */
    bool draining;
};

/* Calls
 * ------------------------------------------------------------------------------------------------------ */

enum who { WHO_NOBODY, WHO_CONTROL, WHO_WORKER, WHO_ITEM };

/* Who asks. */
struct principal {
    enum who who;
    const char *credential;
    uint64_t work, session; /* WHO_ITEM */
};

/* A part of the path. */
struct segment {
    const char *at;
    size_t len;
};

struct call;
typedef void call_fn(struct call *c);

/* One request, from its arrival to the end of its reply. */
struct call {
    struct wire wire;
    struct list link;   /* in calls */
    struct list stream; /* in streams */
    struct api_server *s;
    struct http_exchange *x;
    struct principal who;
    struct segment arg[2];
    call_fn *then, *writable; /* the component has answered; the output has room */
    struct msg next_ask;      /* what is asked when the answer to a look allows it … */
    call_fn *after;           /* … and its `then` */
    struct msg answer;
    VEC(struct msg) events;   /* M_EVENTs of the answer */
    size_t next;              /* the first of these that was not written */
    json_t *body, *result;    /* of the request; for the reply */
    uint64_t session, number; /* what the path names: a session; a work item or agent */
    uint64_t cursor, limit;
    uint64_t kinds; /* wanted, a bit for each; 0: all */
    uint32_t environment;
    uint32_t owed;  /* event stream: bytes taken and not yet credited */
    uint32_t shown; /* events written */
    bool bound, gone, started, newest_first, by_time;
    bool asked;       /* the component has seen the request */
    void *op;         /* what the handler has for this request alone … */
    call_fn *op_free; /* … and gives back with it, however the call ends */
    char request_id[ID_SIZE];
};

/* api_call.c
 * ------------------------------------------------------------------------------------------------- */

struct call *call_new(struct api_server *s, struct http_exchange *x, struct principal who);
/* Asks the component: the OPEN `m`, with MSG_LAST and a head's size unless it says otherwise; `then` comes
 * with the answer in c->answer and c->events, an M_ERROR included, whether or not the client is still there:
 * it books what the component did, and replies, to nobody if so. */
void call_ask(struct call *c, struct msg m, call_fn *then);
/* The same for what the surface itself wants to know: no peer asked it, so no peer's count has the other end.
 */
void call_look(struct call *c, struct msg m, call_fn *then);
/* The same with wire_ops of the caller's own, or with those of call_ask(), which end in c->then. False: the
 * component is not there, or the client is not any more, and the call is over. */
bool call_open(struct call *c, struct msg m, const struct wire_ops *ops);
extern const struct wire_ops call_ops;

/* Each of these ends the call. */
void call_reply(struct call *c, struct evbuffer *body); /* 200; drained */
void call_reply_json(struct call *c, json_t *json);     /* takes the reference; NULL: out of memory */
void call_reply_text(struct call *c, const char *json);
void call_fail(struct call *c, int status, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* With `error.details`, whose reference is taken. */
void call_fail_details(struct call *c, int status, json_t *details, const char *message);
void call_refused(struct call *c); /* as c->answer, which is none of those that were expected, says */
void call_cut(struct call *c);     /* without an answer: the connection is cut */
void call_end(struct call *c);     /* after http_reply_start() */

/* The headers of every reply; `type` is its content type. Valid in the caller's scope only. */
#define CALL_HEADERS(c, type)                                                                                \
    ((struct http_header[]){{"Content-Type", (type)}, {"request-id", (c)->request_id}, {0}})
/* The JSON of an error. */
void call_write_error(struct evbuffer *out, int status, const char *message, const json_t *details,
                      const char *request_id);

/* Reads the body into c->body: an object, empty where there is no body. False: it was refused. */
bool call_body(struct call *c);
/* Reads `limit` (1 … LIST_LIMIT_MAX, else `otherwise`), `page` and `order` of the query. False: refused. */
bool call_paging(struct call *c, uint64_t otherwise, bool newest_first);
/* A number in the query: 0 and `ret` when it is there; -ENOENT: not there, or empty; -EINVAL. */
int call_query_number(struct call *c, const char *name, uint64_t *ret);
bool call_query_is(struct call *c, const char *name, const char *value);
/* Calls `each` with every value of a parameter that may be repeated, decoded. */
void call_query_each(struct call *c, const char *name, void (*each)(void *user, const char *value),
                     void *user);
/* A page's cursor as JSON: its text in quotes, or null for 0. */
void call_write_cursor(struct evbuffer *out, uint64_t cursor);
/* For jansson: the same moment, and a new reference. */
json_t *call_time(const struct api_server *s, nsec_t at);
nsec_t call_now(const struct api_server *s);

/* api_document.c
 * --------------------------------------------------------------------------------------------- */

/* A document of `json`, whose reference is taken, with one holder. NULL: no room for it, or `json` is NULL.
 */
struct document *document_new(struct api_server *s, json_t *json);
/* One holder more. */
struct document *document_hold(struct document *d);
/* NULL is allowed. */
void document_drop(struct api_server *s, struct document *d);
/* Puts a document of `json` (taken) in the place of *d (may be NULL), whose bytes it may use. False: no room,
 * nothing has changed. */
bool document_replace(struct api_server *s, struct document **d, json_t *json);
/* A new object with the members of the document's; without any for NULL. */
json_t *document_copy(const struct document *d);

/* api_auth.c
 * ------------------------------------------------------------------------------------------------- */

void auth_init(struct api_server *s);
/* WHO_NOBODY: the request shows no credential that is known. `for_workers`: an environment without a key lets
 * anybody serve it. */
struct principal auth_principal(const struct api_server *s, const struct http_exchange *x, bool for_workers);
/* May act as a worker of the environment. */
bool auth_may_serve(const struct api_server *s, const struct principal *p, uint32_t environment);
/* The token of a work item. */
void auth_item_token(const struct api_server *s, uint64_t work, uint64_t session, char ret_token[TOKEN_SIZE]);

/* api_agents.c, api_environments.c
 * --------------------------------------------------------------------------- */

int agents_init(struct api_server *s);
void agents_deinit(struct api_server *s);
/* The agent of an id, or the scenario's own of a name; NULL: none. */
struct agent *agents_find(const struct api_server *s, const char *text);
/* A version of it, 0: the last; NULL: no such version. */
struct document *agents_version(const struct agent *a, uint64_t version);
/* As sessions show it, with overrides (NULL: none). A new reference. */
json_t *agents_in_session(const struct document *version, const json_t *overrides);

call_fn serve_agents_create, serve_agents_list, serve_agents_get, serve_agents_update, serve_agents_archive,
    serve_agents_versions;

int environments_init(struct api_server *s, const struct api_server_options *o);
void environments_deinit(struct api_server *s);
/* NO_ENVIRONMENT: none of that id. */
uint32_t environments_find(const struct api_server *s, const char *text, size_t len);

call_fn serve_environments_create, serve_environments_list, serve_environments_get, serve_environments_update,
    serve_environments_delete, serve_environments_archive;

/* api_sessions.c
 * --------------------------------------------------------------------------------------------- */

void sessions_deinit(struct api_server *s);
/* The number of the session that the path names, 0 if it cannot be one of ours. */
uint64_t sessions_number(struct segment segment);

call_fn serve_sessions_create, serve_sessions_list, serve_sessions_get, serve_sessions_update,
    serve_sessions_delete, serve_sessions_archive, serve_sessions_threads, serve_sessions_thread,
    serve_sessions_resources;

/* api_post.c, api_list.c, api_stream.c
 * ----------------------------------------------------------------------- */

call_fn serve_events_post, serve_events_list, serve_events_stream;
/* Posts the events of a JSON array to c->session; then `then`, as call_ask(). */
void posts_send(struct call *c, const json_t *events, call_fn *then);
struct api_event_writer call_event_writer(const struct call *c);
void event_streams_ping(struct api_server *s);

/* api_work.c
 * ------------------------------------------------------------------------------------------------- */

void works_deinit(struct api_server *s);
call_fn serve_work_poll, serve_work_ack, serve_work_heartbeat, serve_work_stop, serve_work_get,
    serve_work_update, serve_work_list, serve_work_stats;
