#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "sim/cmd/role.h"
#include "sim/live/tunnel_names.h"

static int make(enum cert_kind kind, const char *common_name, const char *const *names,
                const struct cert *issuer, struct cert **ret)
{
    struct cert_options o = {.kind = kind, .common_name = common_name, .names = names};

    return cert_new(&o, issuer, ret);
}

/* The inner certificate of one tunnel: *.t<k>.<domain>. */
static int make_proxy(const struct plan *plan, uint32_t tunnel, const struct cert *ca, struct cert **ret)
{
    char domain[TUNNEL_HOST_MAX], wildcard[TUNNEL_HOST_MAX + 2];
    const char *names[] = {wildcard, NULL};
    int r = tunnel_domain(plan, tunnel, domain);

    if (r < 0) return r;
    snprintf(wildcard, sizeof wildcard, "*.%s", domain);
    return make(CERT_SERVER, "tunnel proxy", names, ca, ret);
}

int run_certs_new(const struct plan *plan, struct run_certs *ret)
{
    const char *edge_names[] = {RUN_EDGE_NAME, NULL};
    const char *api_names[] = {RUN_API_NAME, "localhost", "127.0.0.1", NULL};
    uint32_t tunnels = plan_instances(plan, ROLE_CONNECTOR) ? plan->tunnels.count : 0;
    int r = make(CERT_CA, "windtunnel outer CA", NULL, NULL, &ret->outer_ca);

    if (r == 0) r = make(CERT_SERVER, "control plane", api_names, ret->outer_ca, &ret->api);
    if (r == 0) r = make(CERT_SERVER, "edge", edge_names, ret->outer_ca, &ret->edge);
    if (r == 0) r = make(CERT_CLIENT, "orchestrator", NULL, ret->outer_ca, &ret->orchestrator);
    if (r == 0) r = make(CERT_CA, "windtunnel tunnel CA", NULL, NULL, &ret->tunnel_ca);
    if (r == 0 && !(ret->proxies = calloc(tunnels + 1, sizeof *ret->proxies))) r = -ENOMEM;
    for (; r == 0 && ret->proxy_count < tunnels; ret->proxy_count++)
        r = make_proxy(plan, ret->proxy_count, ret->tunnel_ca, &ret->proxies[ret->proxy_count]);
    return r;
}

void run_certs_deinit(struct run_certs *c)
{
    for (uint32_t i = 0; i < c->proxy_count; i++) cert_free(c->proxies[i]);
    free(c->proxies);
    cert_free(c->tunnel_ca);
    cert_free(c->orchestrator);
    cert_free(c->edge);
    cert_free(c->api);
    cert_free(c->outer_ca);
    *c = (struct run_certs){0};
}
