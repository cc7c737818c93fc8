#include "sim/cmd/role_surfaces.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mock-mcp/mcp_codec.h"
#include "mock-mcp/mcp_server.h"
#include "mock-orchestrator/api_client.h"
#include "mock-orchestrator/api_server.h"
#include "sim/base/ids.h"
#include "sim/cmd/run_limits.h"
#include "sim/live/disk.h"
#include "sim/live/resources.h"
#include "sim/live/tcp.h"
#include "sim/live/tls.h"
#include "sim/live/tunnel_connector.h"
#include "sim/live/tunnel_dialer.h"
#include "sim/live/tunnel_edge.h"
#include "sim/live/tunnel_names.h"
#include "sim/live/tunnel_proxy.h"
#include "sim/live/tunnel_stream.h"

/* Keys of a run on loopback: anybody on the machine may read them here. What they prove is that they are
 * asked for. */
#define RUN_API_KEY         "sk-ant-api03-windtunnel"
#define RUN_ENVIRONMENT_KEY "sk-ant-oat01-windtunnel"
#define RUN_TOKEN_KEY       "windtunnel"

struct role_surfaces {
    const struct live_run *run;
    const struct child *child;
    struct driver *driver;
    struct str *error;
    struct mcp_server **mcp_servers; /* by ordinal; NULL: elsewhere, or down */
    struct api_server *api_server;
    struct api_client *api_client;
    struct tls_context *api_client_tls;
    struct tunnel_edge *edge;
    struct tunnel_connector *connector;
    struct tunnel_proxy *proxy;
    struct tunnel_dialer *tunnel_dialer;
    struct mcp_direct *mcp_direct;
    struct disk *disk;
    char files[300]; /* the disk's folder, "" when there is none */
};

static bool hosts(const struct role_surfaces *s, enum role role)
{
    return process_hosts(s->child->process, role);
}

static int told(struct role_surfaces *s, int r, const char *listen, const char *why)
{
    if (r >= 0 || str_len(s->error) > 0) return r;
    if (why && why[0])
        str_puts(s->error, why);
    else
        str_appendf(s->error, "cannot listen on %s: %s", listen, tcp_listen_why(r));
    return r;
}

/* One for each role
 * ---------------------------------------------------------------------------------------------- */

static int open_mcp(struct role_surfaces *s, addr_t self)
{
    char listen[LAYOUT_ADDRESS_MAX];
    struct mcp_server_options o = {.self = self,
                                   .listen = listen,
                                   .connections_max = RUN_CONNECTIONS,
                                   .request_timeout_ns = run_limit_wait(s->run->plan),
                                   .idle_timeout_ns = run_limit_wait(s->run->plan)};
    int r;

    if (s->run->plan->orchestrator.mcp_direct) o.from = ADDR(ROLE_ORCHESTRATOR, 0);
    layout_address(s->run->layout, self, PORT_MCP, listen);
    r = mcp_server_new(s->driver, &o, &s->mcp_servers[ADDR_ORDINAL(self)]);
    return told(s, r, listen, NULL);
}

/* No handshake is resumed: the users of the load stand for machines that share nothing, and so each dial
 * costs what /links says. */
static int api_server_tls(const struct role_surfaces *s, struct tls_context **ret, char *ret_why)
{
    struct tls_options o = {.server = true,
                            .cert_pem = s->run->certs.api->cert_pem,
                            .key_pem = s->run->certs.api->key_pem,
                            .no_resumption = true,
                            .handshake_timeout_ns = run_limit_wait(s->run->plan)};

    return tls_context_new(&o, ret, ret_why);
}

static int open_api_server(struct role_surfaces *s, addr_t self)
{
    char listen[LAYOUT_ADDRESS_MAX], id[ID_SIZE], why[TLS_WHY_MAX] = "";
    struct api_environment environment = {.id = id, .key = RUN_ENVIRONMENT_KEY};
    struct api_server_options o = {.self = self,
                                   .listen = listen,
                                   .api_key = RUN_API_KEY,
                                   .environments = &environment,
                                   .environment_count = 1,
                                   .body_bytes_max = run_limit_body(s->run->plan),
                                   .connections_max = RUN_CONNECTIONS,
                                   .request_timeout_ns = run_limit_wait(s->run->plan),
                                   .idle_timeout_ns = run_limit_wait(s->run->plan)};
    int r = api_server_tls(s, &o.tls, why);

    api_environment_id(0, id);
    layout_address(s->run->layout, self, PORT_API, listen);
    if (r == 0) r = api_server_new(s->driver, &o, &s->api_server);
    tls_context_free(o.tls);
    return told(s, r, listen, why);
}

static int open_tunnel_dialer(struct role_surfaces *s, addr_t self)
{
    char edge[LAYOUT_ADDRESS_MAX], why[TLS_WHY_MAX] = "";
    struct tunnel_outside_options o = {.edge_address = edge,
                                       .edge_name = RUN_EDGE_NAME,
                                       .edge_ca_pem = s->run->certs.outer_ca->cert_pem,
                                       .client_cert_pem = s->run->certs.orchestrator->cert_pem,
                                       .client_key_pem = s->run->certs.orchestrator->key_pem,
                                       .tunnel_ca_pem = s->run->certs.tunnel_ca->cert_pem};
    int r;

    layout_dial_address(s->run->layout, self, ADDR(ROLE_EDGE, 0), PORT_PUBLIC, edge);
    r = tunnel_dialer_new(s->driver, &o, mcp_codec_agent(), &s->tunnel_dialer, why);
    if (r < 0 && why[0]) str_puts(s->error, why);
    return r;
}

static int open_mcp_direct(struct role_surfaces *s, addr_t self)
{
    uint32_t n = s->run->plan->mcp_count;
    char(*texts)[LAYOUT_ADDRESS_MAX] = calloc(n + 1, sizeof *texts);
    const char **addresses = calloc(n + 1, sizeof *addresses);
    int r = -ENOMEM;

    for (uint32_t i = 0; texts && addresses && i < n; i++) {
        layout_dial_address(s->run->layout, self, ADDR(ROLE_MCP, i), PORT_MCP, texts[i]);
        addresses[i] = texts[i];
    }
    if (texts && addresses) r = mcp_direct_new(s->driver, addresses, mcp_codec_agent(), &s->mcp_direct);
    free(addresses);
    free(texts);
    return r;
}

static int open_orchestrator(struct role_surfaces *s, addr_t self)
{
    int r = open_api_server(s, self);

    if (r < 0) return r;
    return s->run->plan->orchestrator.mcp_direct ? open_mcp_direct(s, self) : open_tunnel_dialer(s, self);
}

static int open_edge(struct role_surfaces *s, addr_t self)
{
    char public_listen[LAYOUT_ADDRESS_MAX], connector_listen[LAYOUT_ADDRESS_MAX], why[TLS_WHY_MAX] = "";
    struct tunnel_edge_options o = {.public_listen = public_listen,
                                    .connector_listen = connector_listen,
                                    .cert_pem = s->run->certs.edge->cert_pem,
                                    .key_pem = s->run->certs.edge->key_pem,
                                    .client_ca_pem = s->run->certs.outer_ca->cert_pem,
                                    .token_key = RUN_TOKEN_KEY};

    layout_address(s->run->layout, self, PORT_PUBLIC, public_listen);
    layout_address(s->run->layout, self, PORT_CONNECTOR, connector_listen);
    return told(s, tunnel_edge_new(s->driver, &o, &s->edge, why), public_listen, why);
}

static int add_connector(struct role_surfaces *s, addr_t self)
{
    uint32_t k = ADDR_ORDINAL(self);
    char edge[LAYOUT_ADDRESS_MAX], proxy[LAYOUT_ADDRESS_MAX], token[TUNNEL_TOKEN_SIZE];
    struct tunnel_connector_member m = {.edge_address = edge, .proxy_address = proxy, .token = token};
    int r = tunnel_token(RUN_TOKEN_KEY, k / s->run->plan->tunnels.replicas, token);

    layout_dial_address(s->run->layout, self, ADDR(ROLE_EDGE, 0), PORT_CONNECTOR, edge);
    layout_dial_address(s->run->layout, self, ADDR(ROLE_PROXY, k), PORT_PROXY, proxy);
    return r < 0 ? r : tunnel_connector_add(s->connector, k, &m);
}

static int open_connectors(struct role_surfaces *s)
{
    struct tunnel_connector_options o = {.edge_ca_pem = s->run->certs.outer_ca->cert_pem,
                                         .edge_name = RUN_EDGE_NAME};
    char why[TLS_WHY_MAX] = "";
    int r = tunnel_connector_new(s->driver, &o, &s->connector, why);

    if (r < 0) str_puts(s->error, why);
    return r;
}

/* Every proxy knows a route to every server: whether it is used, the scenario says. */
static int add_proxy(struct role_surfaces *s, addr_t self)
{
    const struct plan *plan = s->run->plan;
    uint32_t tunnel = ADDR_ORDINAL(self) / plan->tunnels.replicas;
    char listen[LAYOUT_ADDRESS_MAX], why[TLS_WHY_MAX] = "", (*upstreams)[LAYOUT_ADDRESS_MAX + 8];
    struct tunnel_route *routes = calloc(plan->mcp_count + 1, sizeof *routes);
    struct tunnel_proxy_options o = {
        .listen = listen,
        .cert_pem = s->run->certs.proxies[tunnel]->cert_pem,
        .key_pem = s->run->certs.proxies[tunnel]->key_pem,
        .routes = {.routes = routes, .route_count = plan->mcp_count, .disable_ip_validation = true}};
    int r = -ENOMEM;

    upstreams = calloc(plan->mcp_count + 1, sizeof *upstreams);
    layout_address(s->run->layout, self, PORT_PROXY, listen);
    if (routes && upstreams) {
        for (uint32_t i = 0; i < plan->mcp_count; i++) {
            char address[LAYOUT_ADDRESS_MAX];

            layout_dial_address(s->run->layout, self, ADDR(ROLE_MCP, i), PORT_MCP, address);
            snprintf(upstreams[i], sizeof upstreams[i], "http://%s", address);
            routes[i] = (struct tunnel_route){.name = plan->mcp[i].name, .upstream = upstreams[i], .mcp = i};
        }
        r = tunnel_proxy_add(s->proxy, ADDR_ORDINAL(self), &o, why);
    }
    free(upstreams);
    free(routes);
    return told(s, r, listen, why);
}

static void api_address(void *user, addr_t from, char *ret_address, size_t size)
{
    struct role_surfaces *s = user;
    char address[LAYOUT_ADDRESS_MAX];

    layout_dial_address(s->run->layout, from, ADDR(ROLE_ORCHESTRATOR, 0), PORT_API, address);
    snprintf(ret_address, size, "%s", address);
}

/* The load and the runners have processes of their own: there is one link that it dials over. */
static int api_client_tls(struct role_surfaces *s)
{
    enum link_id link = hosts(s, ROLE_CLIENT) ? LINK_CLIENT_ORCHESTRATOR : LINK_RUNNER_ORCHESTRATOR;
    struct tls_options o = {.ca_pem = s->run->certs.outer_ca->cert_pem,
                            .handshake_timeout_ns = s->run->plan->links[link].dial_timeout_ns};
    char why[TLS_WHY_MAX] = "";
    int r = tls_context_new(&o, &s->api_client_tls, why);

    if (r < 0) str_puts(s->error, why);
    return r;
}

static int open_api_client(struct role_surfaces *s)
{
    char id[ID_SIZE];
    struct api_environment environment = {.id = id, .key = RUN_ENVIRONMENT_KEY};
    struct api_client_options o = {.address_of = api_address,
                                   .user = s,
                                   .hostname = RUN_API_NAME,
                                   .api_key = RUN_API_KEY,
                                   .environments = &environment,
                                   .environment_count = 1,
                                   .disk = s->disk,
                                   .body_bytes_max = run_limit_answer(s->run->plan)};
    int r = api_client_tls(s);

    if (r < 0) return r;
    api_environment_id(0, id);
    o.tls = s->api_client_tls;
    r = api_client_new(s->driver, &o, &s->api_client);
    if (r < 0) return r;
    driver_set_dialer(s->driver, ROLE_CLIENT, ROLE_ORCHESTRATOR, api_client_dialer(s->api_client));
    driver_set_dialer(s->driver, ROLE_RUNNER, ROLE_ORCHESTRATOR, api_client_dialer(s->api_client));
    return 0;
}

static int open_disk(struct role_surfaces *s)
{
    int r;

    snprintf(s->files, sizeof s->files, "%s/%s.%u", s->run->directory, s->child->process->name,
             s->child->incarnation);
    if (mkdir(s->files, 0700) < 0) {
        r = -errno;
        str_appendf(s->error, "%s: %s", s->files, strerror(errno));
        s->files[0] = '\0';
        return r;
    }
    r = disk_new(driver_base(s->driver), s->files, &s->disk);
    if (r == 0) driver_set_dialer(s->driver, ROLE_RUNNER, ROLE_DISK, disk_dialer(s->disk));
    return r;
}

/* All together
 * ---------------------------------------------------------------------------------------------------- */

static int open_component(struct role_surfaces *s, addr_t self)
{
    switch (ADDR_ROLE(self)) {
    case ROLE_MCP: return open_mcp(s, self);
    case ROLE_ORCHESTRATOR: return open_orchestrator(s, self);
    case ROLE_EDGE: return open_edge(s, self);
    case ROLE_CONNECTOR: return add_connector(s, self);
    case ROLE_PROXY: return add_proxy(s, self);
    default: return 0;
    }
}

static int open_shared(struct role_surfaces *s)
{
    int r = 0;

    s->mcp_servers = calloc((size_t)s->run->plan->mcp_count + 1, sizeof *s->mcp_servers);
    if (!s->mcp_servers) return -ENOMEM;
    if (r == 0 && hosts(s, ROLE_CONNECTOR)) r = open_connectors(s);
    if (r == 0 && hosts(s, ROLE_PROXY)) r = tunnel_proxy_new(s->driver, &s->proxy);
    if (r == 0 && hosts(s, ROLE_RUNNER)) r = open_disk(s);
    if (r == 0 && (hosts(s, ROLE_CLIENT) || hosts(s, ROLE_RUNNER))) r = open_api_client(s);
    return r;
}

/* Of those that can be killed while their process lives; the others dial only. */
static bool listens_again(addr_t component)
{
    return ADDR_ROLE(component) == ROLE_MCP || ADDR_ROLE(component) == ROLE_PROXY;
}

void role_surfaces_close(struct role_surfaces *s, addr_t component)
{
    uint32_t ordinal = ADDR_ORDINAL(component);

    if (ADDR_ROLE(component) == ROLE_PROXY) tunnel_proxy_remove(s->proxy, ordinal);
    if (ADDR_ROLE(component) == ROLE_RUNNER) api_client_cut(s->api_client, component);
    if (ADDR_ROLE(component) != ROLE_MCP) return;
    mcp_server_free(s->mcp_servers[ordinal]);
    s->mcp_servers[ordinal] = NULL;
}

int role_surfaces_open(struct role_surfaces *s, addr_t component, struct str *error)
{
    int r;

    if (!listens_again(component)) return 0;
    s->error = error;
    r = open_component(s, component);
    s->error = NULL;
    return r;
}

int role_surfaces_new(const struct live_run *run, const struct child *child, struct driver *driver,
                      struct role_surfaces **ret, struct str *error)
{
    struct role_surfaces *s = calloc(1, sizeof *s);
    int r;

    if (!s) return -ENOMEM;
    *s = (struct role_surfaces){.run = run, .child = child, .driver = driver, .error = error};
    r = open_shared(s);
    for (size_t i = 0; r == 0 && i < child->process->component_count; i++)
        if (!child->down[i] || !listens_again(child->process->components[i]))
            r = open_component(s, child->process->components[i]);
    *ret = s; /* also on failure: the caller frees it after the driver */
    return r;
}

void role_surfaces_free(struct role_surfaces *s)
{
    if (!s) return;
    for (uint32_t i = 0; s->mcp_servers && i < s->run->plan->mcp_count; i++)
        mcp_server_free(s->mcp_servers[i]);
    free(s->mcp_servers);
    api_server_free(s->api_server);
    api_client_free(s->api_client);
    tls_context_free(s->api_client_tls);
    tunnel_edge_free(s->edge);
    tunnel_connector_free(s->connector);
    tunnel_proxy_free(s->proxy);
    tunnel_dialer_free(s->tunnel_dialer);
    mcp_direct_free(s->mcp_direct);
    disk_free(s->disk);
    if (s->files[0]) rmdir(s->files);
    free(s);
}
