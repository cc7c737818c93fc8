#include "mock-mcp/json_rpc.h"

#include <errno.h>
#include <event2/buffer.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "sim/base/str.h"

enum { ESCAPE_LEN = 6 }; /* \uXXXX */

void rpc_error_deinit(struct rpc_error *e)
{
    json_decref(e->data);
    e->data = NULL;
}

int rpc_refuse(struct rpc_error *e, int status, int code, const char *format, ...)
{
    va_list args;

    e->status = status;
    e->code = code;
    va_start(args, format);
    vsnprintf(e->message, sizeof e->message, format, args);
    va_end(args);
    return RPC_E_REFUSED;
}

void rpc_message_deinit(struct rpc_message *m)
{
    json_decref(m->root);
    free(m->id);
    *m = (struct rpc_message){0};
}

/* --- lone surrogates --- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* The UTF-16 unit of the escape at `text`, or −1 if there is none. */
static long escaped_unit(const char *text, const char *end)
{
    long unit = 0;

    if (end - text < ESCAPE_LEN || text[0] != '\\' || text[1] != 'u') return -1;
    for (int i = 2; i < ESCAPE_LEN; i++) {
        int digit = hex_digit(text[i]);

        if (digit < 0) return -1;
        unit = unit << 4 | digit;
    }
    return unit;
}

static bool is_high(long unit)
{
    return unit >= 0xd800 && unit <= 0xdbff;
}

static bool is_low(long unit)
{
    return unit >= 0xdc00 && unit <= 0xdfff;
}

/* jansson refuses them; everybody else's JSON has them now and then. Backslashes stand only in strings. */
static void repair_surrogates(char *text, size_t len)
{
    char *end = text + len;

    for (char *at = text; (at = memchr(at, '\\', (size_t)(end - at)));) {
        long unit = escaped_unit(at, end);

        if (unit < 0) {
            if (end - at <= 2) return;
            at += 2;
        } else if (is_high(unit) && is_low(escaped_unit(at + ESCAPE_LEN, end))) {
            at += 2 * ESCAPE_LEN;
        } else {
            if (is_high(unit) || is_low(unit)) memcpy(at + 2, "fffd", 4);
            at += ESCAPE_LEN;
        }
    }
}

/* --- messages --- */

/* A string without NUL inside. */
static const char *plain_string(json_t *value)
{
    const char *text = json_string_value(value);

    return text && strlen(text) == json_string_length(value) ? text : NULL;
}

static int take_id(struct rpc_message *m, json_t *id, struct rpc_error *ret_error)
{
    if (!json_is_string(id) && !json_is_integer(id))
        return rpc_refuse(ret_error, 400, RPC_INVALID_REQUEST,
                          "the id is neither a string nor a whole number");
    m->id = json_dumps(id, JSON_ENCODE_ANY | JSON_COMPACT);
    return m->id ? 0 : -ENOMEM;
}

static int take_method(struct rpc_message *m, struct rpc_error *ret_error)
{
    json_t *params = json_object_get(m->root, "params");

    m->method = plain_string(json_object_get(m->root, "method"));
    if (!m->method) return rpc_refuse(ret_error, 400, RPC_INVALID_REQUEST, "the method is no string");
    if (params && !json_is_object(params))
        return rpc_refuse(ret_error, 400, RPC_INVALID_REQUEST, "the params are no object");
    m->params = params;
    return 0;
}

static int take_message(struct rpc_message *m, struct rpc_error *ret_error)
{
    json_t *id = json_object_get(m->root, "id");
    const char *version = plain_string(json_object_get(m->root, "jsonrpc"));
    bool answers = json_object_get(m->root, "result") || json_object_get(m->root, "error");
    int r;

    if (json_object_get(m->root, "method")) {
        m->kind = id ? RPC_REQUEST : RPC_NOTIFICATION;
        r = id ? take_id(m, id, ret_error) : 0;
        if (r == 0) r = take_method(m, ret_error);
        if (r != 0) return r;
    } else if (answers) {
        m->kind = RPC_RESPONSE;
    } else {
        return rpc_refuse(ret_error, 400, RPC_INVALID_REQUEST, "neither a request nor a response");
    }
    if (!version || strcmp(version, "2.0") != 0)
        return rpc_refuse(ret_error, 400, RPC_INVALID_REQUEST, "\"jsonrpc\" is not \"2.0\"");
    return 0;
}

int rpc_parse(struct evbuffer *body, struct rpc_message *ret_message, struct rpc_error *ret_error)
{
    size_t len = evbuffer_get_length(body);
    char *text = len ? (char *)evbuffer_pullup(body, -1) : NULL;
    json_error_t e;

    *ret_message = (struct rpc_message){0};
    if (len == 0) return rpc_refuse(ret_error, 400, RPC_PARSE_ERROR, "Parse error: the body is empty");
    if (!text) return -ENOMEM;
    repair_surrogates(text, len);
    ret_message->root = json_loadb(text, len, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
    if (!ret_message->root && json_error_code(&e) == json_error_out_of_memory) return -ENOMEM;
    if (!ret_message->root)
        return rpc_refuse(ret_error, 400, RPC_PARSE_ERROR, "Parse error: line %d, column %d: %.120s", e.line,
                          e.column, e.text);
    if (json_is_array(ret_message->root))
        return rpc_refuse(ret_error, 400, RPC_INVALID_REQUEST, "batches are not part of this revision");
    if (!json_is_object(ret_message->root))
        return rpc_refuse(ret_error, 400, RPC_INVALID_REQUEST, "a JSON-RPC message is an object");
    return take_message(ret_message, ret_error);
}

void rpc_put_error(struct str *out, const char *id, const struct rpc_error *e)
{
    str_puts(out, "{\"jsonrpc\":\"2.0\",\"id\":");
    str_puts(out, id ? id : "null");
    str_appendf(out, ",\"error\":{\"code\":%d,\"message\":", e->code);
    str_append_json(out, e->message, strlen(e->message));
    if (e->data) {
        char *data = json_dumps(e->data, JSON_COMPACT);

        str_puts(out, ",\"data\":");
        str_puts(out, data ? data : "null");
        free(data);
    }
    str_puts(out, "}}");
}
