#include "mock-mcp/rules.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/evp.h>
#include <string.h>
#include <strings.h>

#include "sim/base/utf8.h"

/* --- heads --- */

/* "http://localhost:5173" and the like. Only addresses: a name could be made to point here. */
static bool is_local_origin(const char *origin)
{
    const char *at = strstr(origin, "://");
    char host[64];
    struct in_addr address;
    size_t len;

    if (!at || (strncmp(origin, "http://", 7) != 0 && strncmp(origin, "https://", 8) != 0)) return false;
    at += 3;
    len = at[0] == '[' ? strcspn(at, "]") + 1 : strcspn(at, ":");
    if (len >= sizeof host || strnlen(at, len) < len) return false;
    memcpy(host, at, len);
    host[len] = '\0';
    if (at[len] && (at[len] != ':' || at[len + 1 + strspn(at + len + 1, "0123456789")])) return false;
    if (strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0) return true;
    return inet_pton(AF_INET, host, &address) == 1 && ntohl(address.s_addr) >> 24 == 127;
}

static bool is_json(const char *content_type)
{
    static const char json[] = "application/json";
    size_t len = sizeof json - 1;

    return content_type && strncasecmp(content_type, json, len) == 0 &&
           strchr("; \t", content_type[len]) != NULL; /* the end counts, too */
}

static bool element_is(const char *at, size_t len, const char *type)
{
    return strlen(type) == len && strncasecmp(at, type, len) == 0;
}

/* Whether one Accept header takes `type`, such as "text/event-stream" under `range`, "text/…". */
static bool value_accepts(const char *value, const char *type, const char *range)
{
    while (*value) {
        size_t element = strcspn(value, ","), len;

        while (element > 0 && (*value == ' ' || *value == '\t')) {
            value++;
            element--;
        }
        len = strcspn(value, "; \t,");
        if (len > element) len = element;
        if (element_is(value, len, type) || element_is(value, len, range) || element_is(value, len, "*/*"))
            return true;
        value += element;
        value += *value == ',';
    }
    return false;
}

static bool accepts(const struct http_head *head, const char *type, const char *range)
{
    for (unsigned i = 0; i < head->n_headers; i++) {
        if (strcasecmp(head->headers[i].name, "accept") == 0 &&
            value_accepts(head->headers[i].value, type, range))
            return true;
    }
    return false;
}

static bool is_served(const char *methods, const char *method)
{
    size_t len = strlen(method);

    for (const char *at = methods; *at; at += strcspn(at, ","), at += strspn(at, ", ")) {
        if (strcspn(at, ",") == len && strncmp(at, method, len) == 0) return true;
    }
    return false;
}

int mcp_rules_check_head(const char *methods, const struct http_head *head, struct rpc_error *ret_error)
{
    const char *origin = http_head_get(head, "origin");
    bool post = strcmp(head->method, "POST") == 0, get = strcmp(head->method, "GET") == 0;
    bool events = accepts(head, "text/event-stream", "text/*");

    if (origin && *origin && !is_local_origin(origin))
        return rpc_refuse(ret_error, 403, RPC_SERVER_ERROR, "Invalid Origin header: %.100s", origin);
    if (!is_served(methods, head->method)) {
        ret_error->allow = methods;
        return rpc_refuse(ret_error, 405, RPC_SERVER_ERROR, "Method not allowed.");
    }
    if (get && !events)
        return rpc_refuse(ret_error, 406, RPC_SERVER_ERROR,
                          "Not Acceptable: Client must accept text/event-stream");
    if (post && !(events && accepts(head, "application/json", "application/*")))
        return rpc_refuse(ret_error, 406, RPC_SERVER_ERROR,
                          "Not Acceptable: Client must accept both application/json and text/event-stream");
    if (post && !is_json(http_head_get(head, "content-type")))
        return rpc_refuse(ret_error, 415, RPC_SERVER_ERROR,
                          "Unsupported Media Type: Content-Type must be application/json");
    return 0;
}

/* --- the era without sessions --- */

static int mismatch(const char *header, const char *what, const char *body, struct rpc_error *ret_error)
{
    ret_error->data =
        json_pack("{s:{s:s, s:s}}", "mismatch", "header", header ? header : "(missing)", "body", body);
    if (!ret_error->data) ret_error->data = json_null();
    return rpc_refuse(ret_error, 400, RPC_HEADER_MISMATCH,
                      "Bad Request: the %s header %s, but the body says %.80s", what,
                      header ? "differs" : "is missing", body);
}

static int unsupported(unsigned revisions, const char *requested, struct rpc_error *ret_error)
{
    json_t *supported = json_array();

    for (int i = 0; i < MCP_REVISION_COUNT; i++) {
        if (revisions & MCP_REVISIONS_MODERN & 1u << i)
            json_array_append_new(supported, json_string(mcp_revision_name(i)));
    }
    ret_error->data = json_pack("{s:o}", "supported", supported);
    if (requested && ret_error->data)
        json_object_set_new(ret_error->data, "requested", json_stringn(requested, strlen(requested)));
    if (!requested)
        return rpc_refuse(ret_error, 400, RPC_UNSUPPORTED_REVISION,
                          "Unsupported protocol version: the request did not name a protocol version");
    return rpc_refuse(ret_error, 400, RPC_UNSUPPORTED_REVISION, "Unsupported protocol version: %.80s",
                      requested);
}

static int bad_meta(const char *key, const char *what, struct rpc_error *ret_error)
{
    return rpc_refuse(ret_error, 400, RPC_INVALID_PARAMS,
                      "Invalid _meta for protocol revision 2026-07-28: %s: %s", key, what);
}

/* The keys of `_meta`, the revision being there. */
static int check_meta(json_t *meta, struct rpc_error *ret_error)
{
    json_t *revision = json_object_get(meta, META_REVISION), *client = json_object_get(meta, META_CLIENT);
    json_t *capabilities = json_object_get(meta, META_CAPABILITIES);

    if (!json_is_string(revision) || strlen(json_string_value(revision)) != json_string_length(revision))
        return bad_meta(META_REVISION, "must be a string", ret_error);
    if (!capabilities) return bad_meta(META_CAPABILITIES, "missing", ret_error);
    if (!json_is_object(capabilities)) return bad_meta(META_CAPABILITIES, "must be an object", ret_error);
    if (!client) return 0;
    if (!json_is_string(json_object_get(client, "name")) ||
        !json_is_string(json_object_get(client, "version")))
        return bad_meta(META_CLIENT, "must be an object with name and version", ret_error);
    return 0;
}

char *mcp_rules_header_text(const char *value)
{
    static const char head[] = "=?base64?", tail[] = "?=";
    size_t len = strlen(value), head_len = sizeof head - 1, tail_len = sizeof tail - 1, padding = 0;
    unsigned char *text;
    int n;

    if (len < head_len + tail_len || strncmp(value, head, head_len) != 0 ||
        strcmp(value + len - tail_len, tail) != 0)
        return strdup(value);
    value += head_len;
    len -= head_len + tail_len;
    text = malloc(len + 4);
    if (!text) return NULL;
    while (padding < 2 && len > padding && value[len - 1 - padding] == '=') padding++;
    n = len % 4 ? -1 : EVP_DecodeBlock(text, (const unsigned char *)value, (int)len);
    if (n >= 0) n -= (int)padding;
    if (n < 0 || memchr(text, 0, (size_t)n) || !utf8_valid((char *)text, (size_t)n)) {
        free(text);
        errno = EINVAL;
        return NULL;
    }
    text[n] = '\0';
    return (char *)text;
}

/* Mcp-Name, for the methods whose params name something. */
static int check_name(const struct http_head *head, const struct rpc_message *m, struct rpc_error *ret_error)
{
    static const struct {
        const char *method, *param;
    } sources[] = {{"tools/call", "name"}, {"prompts/get", "name"}, {"resources/read", "uri"}};
    const char *header = http_head_get(head, "mcp-name"), *param = NULL;
    CLEANUP(cleanup_free_p) char *name = NULL;

    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
        if (strcmp(m->method, sources[i].method) == 0)
            param = json_string_value(json_object_get(m->params, sources[i].param));
    }
    if (!param) return 0;
    if (!header) return mismatch(NULL, "Mcp-Name", param, ret_error);
    name = mcp_rules_header_text(header);
    if (!name && errno == ENOMEM) return -ENOMEM;
    if (!name || strcmp(name, param) != 0) return mismatch(header, "Mcp-Name", param, ret_error);
    return 0;
}

static int check_claim(unsigned revisions, const struct http_head *head, const struct rpc_message *m,
                       json_t *meta, struct rpc_error *ret_error)
{
    const char *header = http_head_get(head, "mcp-protocol-version");
    const char *method = http_head_get(head, "mcp-method"), *claim;
    int r = m->kind == RPC_REQUEST || !json_is_string(json_object_get(meta, META_REVISION))
                ? check_meta(meta, ret_error)
                : 0;

    if (r != 0) return r;
    claim = json_string_value(json_object_get(meta, META_REVISION));
    if (header && strcmp(header, claim) != 0)
        return mismatch(header, "MCP-Protocol-Version", claim, ret_error);
    if (method && strcmp(method, m->method) != 0) return mismatch(method, "Mcp-Method", m->method, ret_error);
    if (mcp_revision_find(revisions & MCP_REVISIONS_MODERN, claim) < 0)
        return unsupported(revisions, claim, ret_error);
    if (m->kind != RPC_REQUEST) return 0;
    if (!header) return mismatch(NULL, "MCP-Protocol-Version", claim, ret_error);
    if (!method) return mismatch(NULL, "Mcp-Method", m->method, ret_error);
    return check_name(head, m, ret_error);
}

/* --- the era with sessions --- */

/* What a request without the header is taken for, by the specification: so it may as well say it. */
#define ASSUMED_REVISION "2025-03-26"

static int check_legacy_version(unsigned revisions, const char *header, struct rpc_error *ret_error)
{
    char list[MCP_REVISION_COUNT * 16] = "";

    if (!header || strcmp(header, ASSUMED_REVISION) == 0) return 0;
    if (mcp_revision_find(revisions & MCP_REVISIONS_LEGACY, header) >= 0) return 0;
    for (int i = 0; i < MCP_REVISION_COUNT; i++) {
        if (!(revisions & 1u << i)) continue;
        if (*list) strcat(list, ", ");
        strcat(list, mcp_revision_name(i));
    }
    return rpc_refuse(ret_error, 400, RPC_SERVER_ERROR,
                      "Bad Request: Unsupported protocol version: %.40s (supported versions: %s)", header,
                      list);
}

/* A server of the new era alone. */
static int refuse_legacy(unsigned revisions, const char *header, const struct rpc_message *m,
                         struct rpc_error *ret_error)
{
    json_t *requested = json_object_get(m->params, "protocolVersion");

    if (m->kind == RPC_NOTIFICATION) return 0;
    if (m->kind == RPC_RESPONSE)
        return rpc_refuse(ret_error, 400, RPC_INVALID_REQUEST,
                          "Bad Request: JSON-RPC responses cannot be posted to this endpoint");
    if (strcmp(m->method, "initialize") == 0) header = json_string_value(requested);
    return unsupported(revisions, header, ret_error);
}

int mcp_rules_check_message(unsigned revisions, const struct http_head *head, const struct rpc_message *m,
                            enum mcp_era *ret_era, struct rpc_error *ret_error)
{
    const char *header = http_head_get(head, "mcp-protocol-version");
    json_t *meta = json_object_get(m->params, "_meta");
    bool initialize = m->kind == RPC_REQUEST && strcmp(m->method, "initialize") == 0;
    bool modern_header = header && mcp_revision_is_modern(header);

    *ret_era = ERA_LEGACY;
    if (!(revisions & MCP_REVISIONS_MODERN))
        return initialize ? 0 : check_legacy_version(revisions, header, ret_error);
    if (m->kind != RPC_RESPONSE && json_object_get(meta, META_REVISION)) {
        *ret_era = ERA_MODERN;
        return check_claim(revisions, head, m, meta, ret_error);
    }
    if (initialize && modern_header) return mismatch(header, "MCP-Protocol-Version", "initialize", ret_error);
    if (m->kind == RPC_REQUEST && modern_header)
        return bad_meta(META_REVISION, "missing, but the MCP-Protocol-Version header names it", ret_error);
    if (m->kind == RPC_NOTIFICATION && modern_header) {
        *ret_era = ERA_MODERN;
        return 0;
    }
    if (!(revisions & MCP_REVISIONS_LEGACY)) return refuse_legacy(revisions, header, m, ret_error);
    return initialize ? 0 : check_legacy_version(revisions, header, ret_error);
}
