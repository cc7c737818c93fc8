#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/cli.h"
#include "sim/cmd/alone.h"
#include "sim/cmd/cert_files.h"
#include "sim/cmd/commands.h"
#include "sim/live/tunnel_connector.h"
#include "sim/live/tunnel_names.h"
#include "sim/live/tunnel_proxy.h"

struct gateway_args {
    const char *edge, *certs, *token_key;
    uint64_t tunnel, connections, grace_s;
    bool any_address;
    struct cli_list routes; /* NAME=URL */
};

struct gateway_command {
    const struct gateway_args *args;
    struct alone alone;
    struct cert outer_ca, proxy_cert;
    struct tunnel_connector *connector;
    struct tunnel_proxy *proxy;
    char (*names)[256];
    struct tunnel_route *routes;
};

static int split_routes(struct gateway_command *c)
{
    size_t n = c->args->routes.count;

    c->names = calloc(n + 1, sizeof *c->names);
    c->routes = calloc(n + 1, sizeof *c->routes);
    if (!c->names || !c->routes) return EXIT_BROKEN;
    for (size_t i = 0; i < n; i++) {
        const char *route = c->args->routes.items[i], *equals = strchr(route, '=');

        if (!equals || equals == route || (size_t)(equals - route) >= sizeof *c->names) {
            fprintf(stderr, "windtunnel gateway: --route %s: must be NAME=scheme://host:port\n", route);
            return EXIT_BAD_INPUT;
        }
        snprintf(c->names[i], sizeof *c->names, "%.*s", (int)(equals - route), route);
        c->routes[i] = (struct tunnel_route){.name = c->names[i], .upstream = equals + 1, .mcp = (uint32_t)i};
    }
    return 0;
}

static void document_of(const struct gateway_command *c, struct str *out)
{
    str_puts(out, "{\"schema\":\"windtunnel.scenario/"
                  "1\",\"name\":\"gateway\",\"duration\":\"1s\",\"scripts\":{\"none\":{\"turns\":[{}]}},"
                  "\"load\":{\"none\":{\"script\":\"none\",\"rate\":\"1/"
                  "h\"}},\"runners\":{\"none\":{\"cold_start\":\"1s\"}},\"mcp\":{");
    for (size_t i = 0; i < c->args->routes.count; i++) {
        if (i) str_putc(out, ',');
        str_append_json(out, c->names[i], strlen(c->names[i]));
        str_puts(out, ":{\"service_time\":\"0s\",\"output\":0}");
    }
    str_appendf(out, "},\"tunnels\":{\"count\":%llu,\"connections\":%llu,\"grace\":\"%llus\"}}",
                (unsigned long long)c->args->tunnel + 1, (unsigned long long)c->args->connections,
                (unsigned long long)c->args->grace_s);
}

static int open_proxy(struct gateway_command *c)
{
    char why[TLS_WHY_MAX] = "";
    struct tunnel_proxy_options o = {.listen = "127.0.0.1:0",
                                     .cert_pem = c->proxy_cert.cert_pem,
                                     .key_pem = c->proxy_cert.key_pem,
                                     .routes = {.routes = c->routes,
                                                .route_count = c->args->routes.count,
                                                .disable_ip_validation = c->args->any_address}};
    int r = tunnel_proxy_new(c->alone.driver, &c->proxy);

    if (r == 0) r = tunnel_proxy_add(c->proxy, (uint32_t)c->args->tunnel, &o, why);
    return r < 0 ? alone_refuse("gateway", why, r) : 0;
}

static int open_connector(struct gateway_command *c)
{
    uint32_t tunnel = (uint32_t)c->args->tunnel;
    char why[TLS_WHY_MAX] = "", proxy[32], token[TUNNEL_TOKEN_SIZE];
    struct tunnel_connector_options o = {.edge_ca_pem = c->outer_ca.cert_pem, .edge_name = RUN_EDGE_NAME};
    struct tunnel_connector_member m = {
        .edge_address = c->args->edge, .proxy_address = proxy, .token = token};
    int r = tunnel_connector_new(c->alone.driver, &o, &c->connector, why);

    snprintf(proxy, sizeof proxy, "127.0.0.1:%d", tunnel_proxy_port(c->proxy, tunnel));
    if (r == 0) r = tunnel_token(c->args->token_key, tunnel, token);
    if (r == 0) r = tunnel_connector_add(c->connector, tunnel, &m);
    return r < 0 ? alone_refuse("gateway", why, r) : 0;
}

static int run(struct gateway_command *c)
{
    static const struct alone_source sources[] = {{"/mcp", "--route"}, {NULL, NULL}};
    struct str document = STR_INIT(1 << 20), ready = STR_INIT(4096);
    uint32_t tunnel = (uint32_t)c->args->tunnel;
    int r = split_routes(c);

    if (r == 0) r = cert_files_read(c->args->certs, tunnel, &c->outer_ca, &c->proxy_cert);
    if (r == 0) document_of(c, &document);
    if (r == 0) r = alone_new(&c->alone, str_text(&document), sources);
    if (r == 0) r = open_proxy(c);
    if (r == 0) r = open_connector(c);
    if (r == 0) r = alone_add(&c->alone, ADDR(ROLE_PROXY, tunnel));
    if (r == 0) r = alone_add(&c->alone, ADDR(ROLE_CONNECTOR, tunnel));
    if (r == 0) {
        str_appendf(&ready, "{\"tunnel\":\"t%u\",\"proxy\":\"127.0.0.1:%d\"}", tunnel,
                    tunnel_proxy_port(c->proxy, tunnel));
        c->alone.ends_with_flows = true;
        c->alone.peer = (struct alone_peer){"windtunnel gateway", c->args->edge, ROLE_EDGE};
        alone_run(&c->alone, &ready, c->alone.plan->tunnels.grace_ns);
    }
    alone_stop(&c->alone);
    tunnel_connector_free(c->connector);
    tunnel_proxy_free(c->proxy);
    alone_deinit(&c->alone);
    free(c->outer_ca.cert_pem);
    free(c->outer_ca.key_pem);
    free(c->proxy_cert.cert_pem);
    free(c->proxy_cert.key_pem);
    free(c->names);
    free(c->routes);
    str_deinit(&document);
    str_deinit(&ready);
    return r;
}

int command_gateway(int argc, char **argv)
{
    struct gateway_args a = {.token_key = "windtunnel", .connections = 4, .grace_s = 30};
    const struct cli_option options[] = {
        {"--edge", "ADDR", "the edge's address for connectors (needed)", CLI_TEXT, &a.edge, 0},
        {"--certs", "DIR", "the folder of certificates that the edge made (needed)", CLI_TEXT, &a.certs, 0},
        {"--route", "NAME=URL", "a server behind the tunnel; may be given again (needed)", CLI_LIST,
         &a.routes, 0},
        {"--tunnel", "K", "which tunnel: tK (default 0)", CLI_NUMBER, &a.tunnel, 9999},
        {"--connections", "N", "connections to the edge (default 4)", CLI_NUMBER, &a.connections, 64, 1},
        {"--grace", "SECONDS", "told to stop, streams have so long to end (default 30)", CLI_NUMBER,
         &a.grace_s, 180},
        {"--any-address", NULL, "upstreams may be anywhere, not only at private addresses", CLI_FLAG,
         &a.any_address, 0},
        {"--token-key", "KEY", "from which the tunnels' tokens are made (default windtunnel)", CLI_TEXT,
         &a.token_key, 0},
    };
    const struct cli_command command = {
        .usage = "windtunnel gateway --edge ADDR --certs DIR --route NAME=URL [options]",
        .about = "Runs connector and proxy of one tunnel alone. Prints one line of JSON when ready, stops in "
                 "order on SIGTERM.",
        .example = "  windtunnel gateway --edge 127.0.0.1:7844 --certs /tmp/certs --any-address \\\n"
                   "      --route search=http://127.0.0.1:9000",
        .options = options,
        .option_count = sizeof options / sizeof *options};
    struct gateway_command c = {.args = &a};
    struct cli_list positional;
    int r = cli_parse(&command, argc, argv, &positional);

    if (r != 0) return r == CLI_HELP ? EXIT_MET : EXIT_BAD_INPUT;
    if (!a.edge || !a.certs || a.routes.count == 0)
        return alone_refuse("gateway", "--edge, --certs and at least one --route are needed", 0);
    if (!alone_is_address("--edge", a.edge, true)) return EXIT_BAD_INPUT;
    return run(&c);
}
