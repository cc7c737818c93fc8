#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "sim/base/cli.h"
#include "sim/cmd/alone.h"
#include "sim/cmd/cert_files.h"
#include "sim/cmd/commands.h"
#include "sim/cmd/role.h"
#include "sim/live/entrance.h"
#include "sim/live/tcp.h"
#include "sim/live/tunnel_edge.h"
#include "sim/live/tunnel_limits.h"
#include "sim/live/tunnel_names.h"
#include "sim/live/tunnel_stream.h"

struct edge_args {
    const char *public_listen, *connectors, *entrance, *certs, *token_key;
    uint64_t tunnels, grace_s;
    struct cli_list servers;
};

struct edge_command {
    const struct edge_args *args;
    struct alone alone;
    struct run_certs certs;
    struct tunnel_edge *edge;
    struct tunnel_outside *outside;
    struct entrance *entrance;
};

static void document_of(const struct edge_args *a, struct str *out)
{
    str_puts(out, "{\"schema\":\"windtunnel.scenario/"
                  "1\",\"name\":\"edge\",\"duration\":\"1s\",\"scripts\":{\"none\":{\"turns\":[{}]}},"
                  "\"load\":{\"none\":{\"script\":\"none\",\"rate\":\"1/"
                  "h\"}},\"runners\":{\"none\":{\"cold_start\":\"1s\"}},\"mcp\":{");
    for (size_t i = 0; i < a->servers.count; i++) {
        if (i) str_putc(out, ',');
        str_append_json(out, a->servers.items[i], strlen(a->servers.items[i]));
        str_puts(out, ":{\"service_time\":\"0s\",\"output\":0}");
    }
    str_appendf(out, "},\"tunnels\":{\"count\":%llu,\"grace\":\"%llus\"}}", (unsigned long long)a->tunnels,
                (unsigned long long)a->grace_s);
}

static int open_edge(struct edge_command *c)
{
    char why[TLS_WHY_MAX] = "";
    struct tunnel_edge_options o = {.public_listen = c->args->public_listen,
                                    .connector_listen = c->args->connectors,
                                    .cert_pem = c->certs.edge->cert_pem,
                                    .key_pem = c->certs.edge->key_pem,
                                    .client_ca_pem = c->certs.outer_ca->cert_pem,
                                    .token_key = c->args->token_key};
    int r = tunnel_edge_new(c->alone.driver, &o, &c->edge, why);

    return r < 0 ? alone_refuse("edge", why, r) : 0;
}

static int open_entrance(struct edge_command *c)
{
    char why[TLS_WHY_MAX] = "", edge[32];
    struct tunnel_outside_options outside = {.edge_address = edge,
                                             .edge_name = RUN_EDGE_NAME,
                                             .edge_ca_pem = c->certs.outer_ca->cert_pem,
                                             .client_cert_pem = c->certs.orchestrator->cert_pem,
                                             .client_key_pem = c->certs.orchestrator->key_pem,
                                             .tunnel_ca_pem = c->certs.tunnel_ca->cert_pem,
                                             .answer_timeout_ns = TUNNEL_PATIENCE_NS};
    struct entrance_options o = {.listen = c->args->entrance};
    int r;

    if (!c->args->entrance) return 0;
    snprintf(edge, sizeof edge, "127.0.0.1:%d", tunnel_edge_public_port(c->edge));
    r = tunnel_outside_new(c->alone.base, &outside, &c->outside, why);
    if (r < 0) return alone_refuse("edge", why, r);
    o.outside = c->outside;
    r = entrance_new(c->alone.base, &o, &c->entrance);
    if (r == 0) return 0;
    snprintf(why, sizeof why, "cannot listen on %s: %s", c->args->entrance, tcp_listen_why(r));
    return alone_refuse("edge", why, r);
}

static void describe(const struct edge_command *c, struct str *out)
{
    const struct plan *plan = c->alone.plan;

    str_appendf(out, "{\"public\":\"127.0.0.1:%d\",\"connectors\":\"127.0.0.1:%d\"",
                tunnel_edge_public_port(c->edge), tunnel_edge_connector_port(c->edge));
    if (c->entrance) str_appendf(out, ",\"listening\":\"http://127.0.0.1:%d\"", entrance_port(c->entrance));
    str_puts(out, ",\"hosts\":[");
    for (uint32_t t = 0; t < plan->tunnels.count; t++) {
        for (uint32_t m = 0; m < plan->mcp_count; m++) {
            char host[TUNNEL_HOST_MAX] = "";

            tunnel_host(plan, HOST(t, m), host);
            str_appendf(out, "%s\"%s\"", t || m ? "," : "", host);
        }
    }
    str_puts(out, "]}");
}

static int run(struct edge_command *c)
{
    static const struct alone_source sources[] = {{"/mcp", "--mcp"}, {NULL, NULL}};
    struct str document = STR_INIT(1 << 20), ready = STR_INIT(1 << 20);
    int r;

    document_of(c->args, &document);
    r = alone_new(&c->alone, str_text(&document), sources);
    if (r == 0) r = cert_files_make(c->alone.plan, c->args->certs, &c->certs);
    if (r == 0) r = open_edge(c);
    if (r == 0) r = open_entrance(c);
    if (r == 0) r = alone_add(&c->alone, ADDR(ROLE_EDGE, 0));
    if (r == 0) {
        describe(c, &ready);
        c->alone.ends_with_flows = true;
        alone_run(&c->alone, &ready, c->alone.plan->tunnels.grace_ns);
    }
    alone_stop(&c->alone);
    entrance_free(c->entrance);
    tunnel_outside_free(c->outside);
    tunnel_edge_free(c->edge);
    run_certs_deinit(&c->certs);
    alone_deinit(&c->alone);
    str_deinit(&document);
    str_deinit(&ready);
    return r;
}

int command_edge(int argc, char **argv)
{
    struct edge_args a = {.public_listen = "127.0.0.1:0",
                          .connectors = "127.0.0.1:0",
                          .token_key = "windtunnel",
                          .tunnels = 1,
                          .grace_s = 30};
    const struct cli_option options[] = {
        {"--certs", "DIR", "where certificates are kept; made there when missing (needed)", CLI_TEXT,
         &a.certs, 0},
        {"--public", "ADDR", "where orchestrators open streams: TLS (default 127.0.0.1:0)", CLI_TEXT,
         &a.public_listen, 0},
        {"--connectors", "ADDR", "where gateways dial in: TLS (default 127.0.0.1:0)", CLI_TEXT, &a.connectors,
         0},
        {"--entrance", "ADDR", "a plain HTTP listener that leads into a tunnel by Host", CLI_TEXT,
         &a.entrance, 0},
        {"--tunnels", "N", "how many tunnels: t0, t1, ... (default 1)", CLI_NUMBER, &a.tunnels, 10000, 1},
        {"--mcp", "NAME", "a server behind the tunnels; may be given again (default mcp)", CLI_LIST,
         &a.servers, 0},
        {"--grace", "SECONDS", "told to stop, streams have so long to end (default 30)", CLI_NUMBER,
         &a.grace_s, 180},
        {"--token-key", "KEY", "from which the tunnels' tokens are made (default windtunnel)", CLI_TEXT,
         &a.token_key, 0},
    };
    const struct cli_command command = {
        .usage = "windtunnel edge --certs DIR [options]",
        .about = "Runs the tunnel's outside end alone. Prints one line of JSON when ready, stops in order on "
                 "SIGTERM.",
        .example = "  windtunnel edge --certs /tmp/certs --entrance 127.0.0.1:8000 --mcp search",
        .options = options,
        .option_count = sizeof options / sizeof *options};
    struct edge_command c = {.args = &a};
    struct cli_list positional;
    int r = cli_parse(&command, argc, argv, &positional);

    if (r != 0) return r == CLI_HELP ? EXIT_MET : EXIT_BAD_INPUT;
    if (!a.certs) return alone_refuse("edge", "--certs DIR is needed: where certificates are kept", 0);
    if (!alone_is_address("--public", a.public_listen, false) ||
        !alone_is_address("--connectors", a.connectors, false) ||
        (a.entrance && !alone_is_address("--entrance", a.entrance, false)))
        return EXIT_BAD_INPUT;
    if (a.servers.count == 0) a.servers.items[a.servers.count++] = "mcp";
    return run(&c);
}
