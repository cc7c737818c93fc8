#include "sim/cmd/cert_files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sim/cmd/commands.h"

static int refuse(const char *path, int error)
{
    fprintf(stderr, "%s: %s\n", path, strerror(-error));
    return EXIT_BAD_INPUT;
}

/* Where `is_edge`, others of its files are there: it does not mix them with new ones. */
static int read_file(const char *directory, const char *name, const char *end, bool is_edge, char **ret)
{
    char path[4096];
    int r;

    snprintf(path, sizeof path, "%s/%s.%s", directory, name, end);
    r = certs_read(path, ret);
    if (r != -ENOENT) return r < 0 ? refuse(path, r) : 0;
    if (is_edge)
        fprintf(stderr, "%s: is not there, though others of its folder are; an empty folder is filled anew\n",
                path);
    else
        fprintf(stderr, "%s: is not there; windtunnel edge --certs %s makes it, in an empty folder\n", path,
                directory);
    return EXIT_BAD_INPUT;
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

/* What the edge and its entrance need. */
static const struct edge_file {
    const char *name;
    bool with_key;
} edge_files[] = {{"outer-ca", false}, {"edge", true}, {"client", true}, {"tunnel-ca", false}};

enum { EDGE_FILES = sizeof edge_files / sizeof *edge_files };

static int read_all(const char *directory, struct run_certs *c)
{
    struct cert **certs[EDGE_FILES] = {&c->outer_ca, &c->edge, &c->orchestrator, &c->tunnel_ca};
    int r = 0;

    for (size_t i = 0; r == 0 && i < EDGE_FILES; i++) {
        struct cert *cert = *certs[i] = calloc(1, sizeof *cert);
        const struct edge_file *f = &edge_files[i];

        if (!cert) return EXIT_BROKEN;
        r = read_file(directory, f->name, "pem", true, &cert->cert_pem);
        if (r == 0 && f->with_key) r = read_file(directory, f->name, "key", true, &cert->key_pem);
    }
    return r;
}

static bool has_any(const char *directory)
{
    static const char *const ends[] = {"pem", "key"};
    char path[4096];

    for (size_t i = 0; i < 2 * EDGE_FILES; i++) {
        snprintf(path, sizeof path, "%s/%s.%s", directory, edge_files[i / 2].name, ends[i % 2]);
        if (access(path, F_OK) == 0) return true;
    }
    return false;
}

int cert_files_make(const struct plan *plan, const char *directory, struct run_certs *ret)
{
    int r;

    if (mkdir(directory, 0700) < 0 && errno != EEXIST) return refuse(directory, -errno);
    if (has_any(directory)) return read_all(directory, ret);
    r = run_certs_new(plan, ret);
    return r < 0 ? refuse(directory, r) : save_all(directory, ret);
}

int cert_files_read(const char *directory, uint32_t tunnel, struct cert *ret_outer_ca, struct cert *ret_proxy)
{
    char name[32];
    int r = read_file(directory, "outer-ca", "pem", false, &ret_outer_ca->cert_pem);

    snprintf(name, sizeof name, "proxy-%u", tunnel);
    if (r == 0) r = read_file(directory, name, "pem", false, &ret_proxy->cert_pem);
    return r == 0 ? read_file(directory, name, "key", false, &ret_proxy->key_pem) : r;
}
