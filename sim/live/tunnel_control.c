#include "sim/live/tunnel_control.h"

#include <errno.h>
#include <event2/buffer.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/cleanup.h"

DEFINE_CLEANUP(json_t *, json_decref)

static const char *const kind_names[] = {
    [TUNNEL_CONTROL_REGISTER] = "register", [TUNNEL_CONTROL_REGISTERED] = "registered",
    [TUNNEL_CONTROL_REFUSED] = "refused",   [TUNNEL_CONTROL_UNREGISTER] = "unregister",
    [TUNNEL_CONTROL_DRAINING] = "draining",
};

enum { N_KINDS = sizeof(kind_names) / sizeof(kind_names[0]) };

/* ---- encoding ---- */

/* The object that stands under the kind's name. NULL: no memory, or text that is no UTF-8. */
static json_t *pack(const struct tunnel_control *m)
{
    switch (m->kind) {
    case TUNNEL_CONTROL_REGISTER:
        return json_pack("{ss ss sI ss}", "tunnel", m->register_.tunnel, "token", m->register_.token,
                         "connection", (json_int_t)m->register_.connection, "connector",
                         m->register_.connector);
    case TUNNEL_CONTROL_REGISTERED:
        return json_pack("{ss ss}", "connection", m->registered.connection, "location",
                         m->registered.location);
    case TUNNEL_CONTROL_REFUSED:
        return json_pack("{ss so}", "error", m->refused.error, "retry_after_ms",
                         m->refused.may_retry ? json_integer((json_int_t)m->refused.retry_after_ms)
                                              : json_null());
    case TUNNEL_CONTROL_UNREGISTER:
    case TUNNEL_CONTROL_DRAINING: return json_object();
    }
    return NULL;
}

int tunnel_control_encode(const struct tunnel_control *message, struct evbuffer *out)
{
    if (message->kind < TUNNEL_CONTROL_REGISTER || message->kind > TUNNEL_CONTROL_DRAINING) return -EINVAL;
    bool is_retry = message->kind == TUNNEL_CONTROL_REFUSED && message->refused.may_retry;
    if (is_retry && message->refused.retry_after_ms > INT64_MAX) return -EINVAL;
    json_t *body = pack(message);
    if (!body) return -EINVAL;
    CLEANUP(json_decref_p) json_t *root = json_pack("{so}", kind_names[message->kind], body);
    _cleanup_free_ char *line = root ? json_dumps(root, JSON_COMPACT) : NULL;
    if (!line) return -ENOMEM;
    size_t len = strlen(line);
    if (len > TUNNEL_CONTROL_LINE_MAX) return -EMSGSIZE;
    line[len] = '\n';
    return evbuffer_add(out, line, len + 1) < 0 ? -ENOMEM : 0;
}

/* ---- decoding ---- */

static int malformed(char *ret_why, const char *what, const char *name)
{
    if (ret_why)
        snprintf(ret_why, TUNNEL_CONTROL_WHY_MAX, "control stream: %s%s%.64s", what, name ? " " : "",
                 name ? name : "");
    return TUNNEL_CONTROL_E_MALFORMED;
}

/* Copies the text member `name`, which must be there and fit. */
static bool take_text(const json_t *body, const char *name, char *ret_text, size_t size)
{
    const json_t *value = json_object_get(body, name);
    size_t len = json_string_length(value);
    if (!json_is_string(value) || len >= size) return false;
    const char *text = json_string_value(value);
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) return false;
    memcpy(ret_text, text, len + 1);
    return true;
}

static bool take_number(const json_t *body, const char *name, uint64_t max, uint64_t *ret_number)
{
    const json_t *value = json_object_get(body, name);
    json_int_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < 0 || (uint64_t)number > max) return false;
    *ret_number = (uint64_t)number;
    return true;
}

/* The name of the member that is bad, NULL if all are good. */
static const char *unpack_register(const json_t *body, struct tunnel_control *m)
{
    uint64_t connection;
    if (!take_text(body, "tunnel", m->register_.tunnel, sizeof(m->register_.tunnel))) return "tunnel";
    if (!take_text(body, "token", m->register_.token, sizeof(m->register_.token))) return "token";
    if (!take_number(body, "connection", UINT32_MAX, &connection)) return "connection";
    m->register_.connection = (uint32_t)connection;
    if (!take_text(body, "connector", m->register_.connector, sizeof(m->register_.connector)))
        return "connector";
    return NULL;
}

static const char *unpack_registered(const json_t *body, struct tunnel_control *m)
{
    if (!take_text(body, "connection", m->registered.connection, sizeof(m->registered.connection)))
        return "connection";
    if (!take_text(body, "location", m->registered.location, sizeof(m->registered.location)))
        return "location";
    return NULL;
}

static const char *unpack_refused(const json_t *body, struct tunnel_control *m)
{
    const json_t *retry = json_object_get(body, "retry_after_ms");
    if (!take_text(body, "error", m->refused.error, sizeof(m->refused.error))) return "error";
    m->refused.may_retry = retry && !json_is_null(retry);
    if (m->refused.may_retry && !take_number(body, "retry_after_ms", INT64_MAX, &m->refused.retry_after_ms))
        return "retry_after_ms";
    return NULL;
}

static const char *unpack(const json_t *body, struct tunnel_control *m)
{
    switch (m->kind) {
    case TUNNEL_CONTROL_REGISTER: return unpack_register(body, m);
    case TUNNEL_CONTROL_REGISTERED: return unpack_registered(body, m);
    case TUNNEL_CONTROL_REFUSED: return unpack_refused(body, m);
    case TUNNEL_CONTROL_UNREGISTER:
    case TUNNEL_CONTROL_DRAINING: return NULL;
    }
    return NULL;
}

int tunnel_control_decode(const char *line, size_t len, struct tunnel_control *ret_message,
                          char ret_why[TUNNEL_CONTROL_WHY_MAX])
{
    json_error_t error;
    struct tunnel_control m = {0};
    CLEANUP(json_decref_p) json_t *root = json_loadb(line, len, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        return json_error_code(&error) == json_error_out_of_memory ? -ENOMEM
                                                                   : malformed(ret_why, "not JSON", NULL);
    if (!json_is_object(root)) return malformed(ret_why, "not an object", NULL);
    for (unsigned kind = TUNNEL_CONTROL_REGISTER; kind < N_KINDS; kind++) {
        const json_t *body = json_object_get(root, kind_names[kind]);
        if (!body) continue;
        if (m.kind) return malformed(ret_why, "two messages in one line:", kind_names[kind]);
        if (!json_is_object(body)) return malformed(ret_why, "not an object:", kind_names[kind]);
        m.kind = (enum tunnel_control_kind)kind;
        const char *bad = unpack(body, &m);
        if (bad) return malformed(ret_why, "missing or bad:", bad);
    }
    if (!m.kind) return TUNNEL_CONTROL_E_UNKNOWN;
    *ret_message = m;
    return 0;
}

int tunnel_control_read(struct evbuffer *in, struct tunnel_control *ret_message, size_t *ret_taken,
                        char ret_why[TUNNEL_CONTROL_WHY_MAX])
{
    struct evbuffer_ptr end = evbuffer_search_eol(in, NULL, NULL, EVBUFFER_EOL_LF);
    size_t len = end.pos < 0 ? evbuffer_get_length(in) : (size_t)end.pos;
    *ret_taken = 0;
    if (len > TUNNEL_CONTROL_LINE_MAX) return TUNNEL_CONTROL_E_TOO_LONG;
    if (end.pos < 0) return TUNNEL_CONTROL_E_MORE;
    const char *line = (const char *)evbuffer_pullup(in, (ev_ssize_t)len + 1);
    if (!line) return -ENOMEM;
    int r = tunnel_control_decode(line, len, ret_message, ret_why);
    evbuffer_drain(in, len + 1);
    *ret_taken = len + 1;
    return r;
}
