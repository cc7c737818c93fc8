#include "sim/cmd/cert_files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "sim/cmd/commands.h"

static int refuse(const char *path, int error)
{
    fprintf(stderr, "%s: %s\n", path, strerror(-error));
    return EXIT_BAD_INPUT;
}

/* `<directory>/<name>.pem` and `.key`; a missing key is none. */
static int read_cert(const char *directory, const char *name, struct cert *ret)
{
    char path[4096];
    int r;

    snprintf(path, sizeof path, "%s/%s.pem", directory, name);
    r = certs_read(path, &ret->cert_pem);
    if (r == -ENOENT) {
        fprintf(stderr, "%s: is not there; windtunnel edge --certs %s makes it\n", path, directory);
        return EXIT_BAD_INPUT;
    }
    if (r < 0) return refuse(path, r);
    snprintf(path, sizeof path, "%s/%s.key", directory, name);
    r = certs_read(path, &ret->key_pem);
    return r < 0 && r != -ENOENT ? refuse(path, r) : 0;
}

static int save_cert(const char *directory, const char *name, const struct cert *c)
{
    char pem[4096], key[4096];
    int r;

    snprintf(pem, sizeof pem, "%s/%s.pem", directory, name);
    snprintf(key, sizeof key, "%s/%s.key", directory, name);
    r = cert_save(c, pem, key);
    return r < 0 ? refuse(pem, r) : 0;
}

static int save_all(const char *directory, const struct run_certs *c)
{
    int r = save_cert(directory, "outer-ca", c->outer_ca);

    if (r == 0) r = save_cert(directory, "orchestrator", c->api);
    if (r == 0) r = save_cert(directory, "edge", c->edge);
    if (r == 0) r = save_cert(directory, "client", c->orchestrator);
    if (r == 0) r = save_cert(directory, "tunnel-ca", c->tunnel_ca);
    for (uint32_t k = 0; r == 0 && k < c->proxy_count; k++) {
        char name[32];

        snprintf(name, sizeof name, "proxy-%u", k);
        r = save_cert(directory, name, c->proxies[k]);
    }
    return r;
}

static int read_one(const char *directory, const char *name, struct cert **ret)
{
    *ret = calloc(1, sizeof **ret);
    return *ret ? read_cert(directory, name, *ret) : EXIT_BROKEN;
}

static int read_all(const char *directory, struct run_certs *c)
{
    int r = read_one(directory, "outer-ca", &c->outer_ca);

    if (r == 0) r = read_one(directory, "edge", &c->edge);
    if (r == 0) r = read_one(directory, "client", &c->orchestrator);
    if (r == 0) r = read_one(directory, "tunnel-ca", &c->tunnel_ca);
    return r;
}

int cert_files_make(const struct plan *plan, const char *directory, struct run_certs *ret)
{
    char path[4096];
    struct stat st;
    int r;

    if (mkdir(directory, 0700) < 0 && errno != EEXIST) return refuse(directory, -errno);
    snprintf(path, sizeof path, "%s/outer-ca.pem", directory);
    if (stat(path, &st) == 0) return read_all(directory, ret);
    r = run_certs_new(plan, ret);
    return r < 0 ? refuse(directory, r) : save_all(directory, ret);
}

int cert_files_read(const char *directory, uint32_t tunnel, struct cert *ret_outer_ca, struct cert *ret_proxy)
{
    char name[32];
    int r = read_cert(directory, "outer-ca", ret_outer_ca);

    snprintf(name, sizeof name, "proxy-%u", tunnel);
    return r == 0 ? read_cert(directory, name, ret_proxy) : r;
}
