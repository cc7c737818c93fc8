#include "sim/live/tunnel_routes.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sim/live/tunnel_names.h"

struct route {
    char *name;
    struct tunnel_target target;
};

struct tunnel_routes {
    char *domain;
    size_t count;
    struct route routes[];
};

static int invalid(char *why, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int invalid(char *why, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(why, TUNNEL_ROUTES_WHY_MAX, format, args);
    va_end(args);
    return -EINVAL;
}

/* Addresses
 * -------------------------------------------------------------------------------------------- */

struct cidr {
    uint32_t net, mask;
};

static bool parse_cidr(const char *text, struct cidr *ret)
{
    char ip[INET_ADDRSTRLEN];
    const char *slash = strchr(text, '/');
    size_t len = slash ? (size_t)(slash - text) : 0;
    struct in_addr a;
    unsigned long bits;
    char *end;

    if (len == 0 || len >= sizeof ip || slash[1] < '0' || slash[1] > '9') return false;
    memcpy(ip, text, len);
    ip[len] = 0;
    bits = strtoul(slash + 1, &end, 10);
    if (*end || bits > 32 || inet_pton(AF_INET, ip, &a) != 1) return false;
    ret->mask = bits ? ~UINT32_C(0) << (32 - bits) : 0;
    ret->net = ntohl(a.s_addr) & ret->mask;
    return true;
}

static int check_ip(const struct tunnel_routes_options *o, const char *ip, char *why)
{
    static const char *const private_ips[] = {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", NULL};
    const char *const *allowed = o->allowed_ips ? o->allowed_ips : private_ips;
    struct in_addr a;
    struct cidr c;
    bool is_v4 = inet_pton(AF_INET, ip, &a) == 1;

    if (o->disable_ip_validation) return 0;
    for (; *allowed; allowed++) {
        if (!parse_cidr(*allowed, &c)) return invalid(why, "invalid CIDR: %s", *allowed);
        if (is_v4 && (ntohl(a.s_addr) & c.mask) == c.net) return 0;
    }
    return invalid(why, "IP validation failed: %s is not a private address", ip);
}

/* Upstreams
 * -------------------------------------------------------------------------------------------- */

/* Splits "host:port" or "[host]:port"; the port must be there and nothing after it. */
static bool split(const char *text, char host[TCP_ADDRESS_MAX], const char **ret_port)
{
    bool bracket = text[0] == '[';
    const char *start = text + bracket;
    const char *end = bracket ? strchr(start, ']') : strrchr(text, ':');
    size_t len = end ? (size_t)(end - start) : 0;

    if (len == 0 || len >= TCP_ADDRESS_MAX / 2) return false;
    memcpy(host, start, len);
    host[len] = 0;
    end += bracket;
    if (*end != ':' || !end[1] || !tunnel_port_is_valid(end) || atoi(end + 1) == 0) return false;
    *ret_port = end + 1;
    return true;
}

static int parse_upstream(const struct tunnel_routes_options *o, const char *text,
                          struct tunnel_target *target, char *why)
{
    unsigned char binary[sizeof(struct in6_addr)];
    const char *rest, *port, *ip;
    bool v6;

    if (strncmp(text, "http://", 7) == 0)
        rest = text + 7;
    else if (strncmp(text, "https://", 8) == 0)
        rest = text + 8;
    else
        return invalid(why, "invalid upstream (must be scheme://host:port): %s", text);
    target->tls = text[4] == 's';
    if (!split(rest, target->hostname, &port))
        return invalid(why, "invalid upstream (must be scheme://host:port): %s", text);
    ip = strcasecmp(target->hostname, "localhost") == 0 ? "127.0.0.1" : target->hostname;
    v6 = inet_pton(AF_INET6, ip, binary) == 1;
    if (!v6 && inet_pton(AF_INET, ip, binary) != 1)
        return invalid(why, "invalid upstream (the host must be an IP address): %s", text);
    if (snprintf(target->address, sizeof target->address, v6 ? "[%s]:%s" : "%s:%s", ip, port) >=
        (int)sizeof target->address)
        return invalid(why, "invalid upstream (must be scheme://host:port): %s", text);
    return check_ip(o, ip, why);
}

/* The table
 * -------------------------------------------------------------------------------------------- */

static const struct route *find_name(const struct tunnel_routes *r, const char *name, size_t len)
{
    for (size_t i = 0; i < r->count; i++) {
        const char *n = r->routes[i].name;
        if (strlen(n) == len && strncasecmp(n, name, len) == 0) return &r->routes[i];
    }
    return NULL;
}

static int add(struct tunnel_routes *r, const struct tunnel_routes_options *o,
               const struct tunnel_route *from, char *why)
{
    struct route *to = &r->routes[r->count];
    int e;

    if (!from->name || !*from->name) return invalid(why, "a route without a name");
    if (find_name(r, from->name, strlen(from->name))) return invalid(why, "two routes for %s", from->name);
    e = parse_upstream(o, from->upstream, &to->target, why);
    if (e < 0) return e;
    to->target.mcp = from->mcp;
    to->name = strdup(from->name);
    if (!to->name) return -ENOMEM;
    r->count++;
    return 0;
}

int tunnel_routes_new(const struct tunnel_routes_options *o, struct tunnel_routes **ret_routes,
                      char ret_why[TUNNEL_ROUTES_WHY_MAX])
{
    struct tunnel_routes *r;
    int e = 0;

    if (o->disable_ip_validation && o->allowed_ips)
        return invalid(ret_why, "disable_ip_validation excludes allowed_ips");
    r = calloc(1, sizeof *r + o->route_count * sizeof r->routes[0]);
    if (!r) return -ENOMEM;
    r->domain = strdup(o->domain);
    if (!r->domain) e = -ENOMEM;
    for (size_t i = 0; e == 0 && i < o->route_count; i++) e = add(r, o, &o->routes[i], ret_why);
    if (e < 0) {
        tunnel_routes_free(r);
        return e;
    }
    *ret_routes = r;
    return 0;
}

void tunnel_routes_free(struct tunnel_routes *r)
{
    if (!r) return;
    for (size_t i = 0; i < r->count; i++) free(r->routes[i].name);
    free(r->domain);
    free(r);
}

const struct tunnel_target *tunnel_routes_find(const struct tunnel_routes *r, const char *host)
{
    size_t len = strcspn(host, ":"), domain = strlen(r->domain);
    const struct route *found;

    if (!tunnel_port_is_valid(host + len)) return NULL;
    found = find_name(r, host, len);
    if (!found && len > domain + 1 && host[len - domain - 1] == '.' &&
        strncasecmp(host + len - domain, r->domain, domain) == 0)
        found = find_name(r, host, len - domain - 1);
    return found ? &found->target : NULL;
}

size_t tunnel_routes_count(const struct tunnel_routes *r)
{
    return r->count;
}

const struct tunnel_target *tunnel_routes_at(const struct tunnel_routes *r, size_t i)
{
    return &r->routes[i].target;
}
