/*
 * What the parts of the client share. Private to mock-orchestrator/.
 *
 *   api_client.c         life, connections, event streams
 *   api_client_encode.c  messages into requests
 *   api_client_decode.c  answers into messages
 */
#pragma once

#include "mock-orchestrator/api_client.h"
#include "mock-orchestrator/api_event.h"
#include "mock-orchestrator/api_wire.h"
#include "mock-orchestrator/json_text.h"
#include "mock-orchestrator/token_table.h"
#include "sim/base/cleanup.h"
#include "sim/base/intern.h"
#include "sim/base/list.h"
#include "sim/base/str.h"
#include "sim/live/http_client.h"

enum { PAGES_MAX = 256, TARGET_MAX = 2048 };

/* Where a list of a foreign control plane goes on: its own cursor for "from this place on". */
struct page {
    uint64_t session, from;
    char *cursor;
};

struct api_client {
    struct dialer dialer;
    struct driver *driver;
    struct api_client_options o; /* pointers in it are not kept, but `user` and `tls` */
    char *address, *hostname, *prefix, *api_key;
    struct environment_name {
        char *id, *key;
    } * environments; /* by the plan's pools */
    uint32_t environment_count;
    char **agents;                        /* by script */
    struct http_pool **pools[ROLE_COUNT]; /* by the ordinal of who dials */
    uint32_t pool_counts[ROLE_COUNT];
    struct intern ids;
    struct token_table tokens;
    struct list abandoned; /* requests whose answer nobody wants, but which is still counted */
    unsigned abandoned_count;
    struct page pages[PAGES_MAX]; /* a ring */
    unsigned pages_next;
};

/* A request, ready to be sent. */
struct encoded {
    const char *method;
    struct str target;
    struct str authorization, facts; /* header values; empty: none */
    bool with_api_key;
    char worker[ID_SIZE];  /* "": none */
    struct evbuffer *body; /* NULL: none */
};
void encoded_deinit(struct encoded *e);

/* The request for an OPEN. Components send nothing else: a kind that is none is a programmer's error.
 * -ENOMEM. */
int api_client_encode(struct api_client *c, addr_t from, const struct msg *m, struct encoded *ret);

/* Hands the component the messages that a complete answer stands for; false: it was not understood. */
bool api_client_decode(struct api_client *c, struct wire *w, addr_t from, const struct msg *request,
                       int status, nsec_t retry_after_ns, struct evbuffer *body);

/* What an answer with a status of 400 and more says. */
struct msg api_client_error(int status, nsec_t retry_after_ns);

/* The pool of the plan whose environment has this id; 0 if none has. */
uint32_t api_client_environment(const struct api_client *c, const char *id);
/* The cursor of the page that begins with event `from`, or NULL. */
const char *api_client_page(const struct api_client *c, uint64_t session, uint64_t from);
void api_client_page_put(struct api_client *c, uint64_t session, uint64_t from, const char *cursor);
/* What came was wrong, or not what it should be. */
void api_client_violation(struct api_client *c, addr_t from);
/* Reads an event of a session, see api_event_read(); what a `write` brings a runner goes to its disk. */
int api_client_event(struct api_client *c, addr_t from, uint64_t session, const json_t *json,
                     struct msg *ret_msg);
