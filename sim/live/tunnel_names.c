#include "sim/live/tunnel_names.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LABELS_BYTES_MAX = 253 }; /* of a host name, RFC 1035 */

void tunnel_name(uint32_t tunnel, char ret_name[TUNNEL_NAME_MAX])
{
    snprintf(ret_name, TUNNEL_NAME_MAX, "t%" PRIu32, tunnel);
}

static int fits(int length)
{
    return length > 0 && length <= LABELS_BYTES_MAX ? 0 : -EINVAL;
}

int tunnel_domain(const struct plan *plan, uint32_t tunnel, char ret_domain[TUNNEL_HOST_MAX])
{
    return fits(snprintf(ret_domain, TUNNEL_HOST_MAX, "t%" PRIu32 ".%s", tunnel, plan->tunnels.domain));
}

int tunnel_host(const struct plan *plan, uint64_t host, char ret_host[TUNNEL_HOST_MAX])
{
    if (HOST_TUNNEL(host) >= plan->tunnels.count || HOST_MCP(host) >= plan->mcp_count) return -EINVAL;
    return fits(snprintf(ret_host, TUNNEL_HOST_MAX, "%s.t%" PRIu32 ".%s", plan->mcp[HOST_MCP(host)].name,
                         HOST_TUNNEL(host), plan->tunnels.domain));
}

/* A number below `limit` as printf writes it; `ret_end` is where it ends. */
static bool read_number(const char *text, uint64_t limit, uint64_t *ret_number, const char **ret_end)
{
    char *end;
    uint64_t n;

    if (!isdigit((unsigned char)text[0]) || (text[0] == '0' && isdigit((unsigned char)text[1]))) return false;
    errno = 0;
    n = strtoull(text, &end, 10);
    if (end == text || errno || n >= limit) return false;
    *ret_number = n;
    *ret_end = end;
    return true;
}

uint32_t tunnel_of_name(const struct plan *plan, const char *name)
{
    const char *end;
    uint64_t n;

    if (name[0] != 't' || !read_number(name + 1, plan->tunnels.count, &n, &end) || *end)
        return TUNNEL_UNKNOWN;
    return (uint32_t)n;
}

bool tunnel_port_is_valid(const char *port)
{
    size_t digits;

    if (!*port) return true;
    if (*port++ != ':') return false;
    digits = strspn(port, "0123456789");
    return digits > 0 && digits <= 5 && !port[digits] && atoi(port) <= 65535;
}

static uint32_t mcp_of_label(const struct plan *plan, const char *label, size_t len)
{
    for (uint32_t i = 0; i < plan->mcp_count; i++) {
        const char *name = plan->mcp[i].name;
        if (strlen(name) == len && strncasecmp(name, label, len) == 0) return i;
    }
    return TUNNEL_UNKNOWN;
}

/* The tunnel of "t<k>.<domain>" and an optional port. */
static uint32_t tunnel_of_domain(const struct plan *plan, const char *text)
{
    size_t len = strlen(plan->tunnels.domain);
    const char *end;
    uint64_t n;

    if (tolower((unsigned char)*text) != 't' || !read_number(text + 1, plan->tunnels.count, &n, &end) ||
        *end++ != '.' || strncasecmp(end, plan->tunnels.domain, len) != 0 || !tunnel_port_is_valid(end + len))
        return TUNNEL_UNKNOWN;
    return (uint32_t)n;
}

uint64_t tunnel_of_host(const struct plan *plan, const char *host)
{
    size_t label;

    /* The name of a server may have dots itself: each could be the one before "t<k>". */
    for (const char *dot = strchr(host, '.'); dot; dot = strchr(dot + 1, '.')) {
        uint32_t tunnel = tunnel_of_domain(plan, dot + 1);

        if (tunnel == TUNNEL_UNKNOWN) continue;
        label = (size_t)(dot - host);
        return label ? HOST(tunnel, mcp_of_label(plan, host, label)) : HOST(TUNNEL_UNKNOWN, TUNNEL_UNKNOWN);
    }
    return HOST(TUNNEL_UNKNOWN, TUNNEL_UNKNOWN);
}

int tunnel_token(const char *key, uint32_t tunnel, char ret_token[TUNNEL_TOKEN_SIZE])
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    char name[TUNNEL_NAME_MAX];
    unsigned len = 0;

    tunnel_name(tunnel, name);
    if (!HMAC(EVP_sha256(), key, (int)strlen(key), (const unsigned char *)name, strlen(name), mac, &len))
        return -EIO;
    for (unsigned i = 0; i < len && 2 * i + 2 < TUNNEL_TOKEN_SIZE; i++)
        snprintf(ret_token + (size_t)2 * i, 3, "%02x", mac[i]);
    return 0;
}

bool tunnel_token_is(const char *key, uint32_t tunnel, const char *token)
{
    char expected[TUNNEL_TOKEN_SIZE];

    if (tunnel_token(key, tunnel, expected) < 0 || strlen(token) != strlen(expected)) return false;
    return CRYPTO_memcmp(expected, token, strlen(expected)) == 0;
}

void tunnel_member(uint64_t connector, char ret_member[TUNNEL_MEMBER_MAX])
{
    snprintf(ret_member, TUNNEL_MEMBER_MAX, "connector-%" PRIu64 ".%" PRIu64, connector >> 32,
             connector & UINT32_MAX);
}

uint64_t tunnel_of_member(const char *member)
{
    static const char prefix[] = "connector-";
    uint64_t ordinal, incarnation;
    const char *end;

    if (strncmp(member, prefix, sizeof(prefix) - 1) != 0 ||
        !read_number(member + sizeof(prefix) - 1, UINT32_MAX, &ordinal, &end) || *end != '.' ||
        !read_number(end + 1, UINT32_MAX, &incarnation, &end) || *end)
        return UINT64_MAX;
    return ordinal << 32 | incarnation;
}
