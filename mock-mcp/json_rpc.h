/*
 * JSON-RPC 2.0 as MCP uses it: one message a body, parameters by name, ids that are strings or whole numbers.
 */
#pragma once

#include <jansson.h>
#include <stddef.h>

#include "sim/base/cleanup.h"

struct evbuffer;
struct str;

enum {
    RPC_PARSE_ERROR = -32700,
    RPC_INVALID_REQUEST = -32600,
    RPC_METHOD_NOT_FOUND = -32601,
    RPC_INVALID_PARAMS = -32602,
    RPC_INTERNAL = -32603,
    RPC_SERVER_ERROR = -32000,
    RPC_SESSION_NOT_FOUND = -32001,
    RPC_HEADER_MISMATCH = -32020,      /* 2026-07-28 */
    RPC_UNSUPPORTED_REVISION = -32022, /* 2026-07-28 */
};

/* An outcome of the functions that fill in a struct rpc_error. */
#define RPC_E_REFUSED 1

struct rpc_error {
    int status; /* of HTTP */
    int code;
    char message[200];
    json_t *data;      /* or NULL */
    const char *allow; /* with status 405: the methods that are; static */
};
void rpc_error_deinit(struct rpc_error *e);

/* Fills in an error and returns RPC_E_REFUSED. The message is cut to its room. */
int rpc_refuse(struct rpc_error *e, int status, int code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

enum rpc_kind { RPC_REQUEST, RPC_NOTIFICATION, RPC_RESPONSE };

struct rpc_message {
    enum rpc_kind kind;
    json_t *root;
    const char *method; /* NULL for a response; in `root` */
    json_t *params;     /* an object, or NULL; in `root` */
    char *id;           /* JSON, NULL for none */
};
void rpc_message_deinit(struct rpc_message *m);

/*
 * Reads a body, which may be changed: a lone surrogate (an escape such as \ud800 without its pair) becomes
 * U+FFFD. 0, -ENOMEM, or RPC_E_REFUSED with `ret_error`; then `ret_message->id` is set where one could be
 * read. `ret_message` is to be deinitialised in every case.
 */
int rpc_parse(struct evbuffer *body, struct rpc_message *ret_message, struct rpc_error *ret_error);

/* Appends the members of an error response, from '{' to '}'. `id` as above; NULL: null. */
void rpc_put_error(struct str *out, const char *id, const struct rpc_error *e);
