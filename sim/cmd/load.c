#include "sim/cmd/load.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reports/objectives.h"
#include "sim/cmd/commands.h"
#include "sim/plan/document.h"

#ifndef WINDTUNNEL_PROFILES
#define WINDTUNNEL_PROFILES NULL
#endif

static struct plan_load_options options_of(const struct scenario *s)
{
    return (struct plan_load_options){.path = s->path,
                                      .text = s->text,
                                      .sets = s->sets ? s->sets->items : NULL,
                                      .set_count = s->sets ? s->sets->count : 0,
                                      .seed = s->seed,
                                      .profiles_dir = WINDTUNNEL_PROFILES,
                                      .names = objective_names()};
}

void scenario_read(struct scenario *s)
{
    size_t length;

    if (file_read(s->path, PLAN_FILE_BYTES_MAX, &s->text, &length) < 0)
        s->text = NULL;
    else if (strlen(s->text) != length) /* it is no text: the parser says where */
        scenario_deinit(s);
}

void scenario_deinit(struct scenario *s)
{
    free(s->text);
    s->text = NULL;
}

static int told(int r, const struct plan_error *error)
{
    fprintf(stderr, "%s\n", error->text);
    return r == PLAN_E_INVALID ? EXIT_BAD_INPUT : EXIT_BROKEN;
}

static void hash_document(const struct plan *plan, char ret[65])
{
    const char *document = plan_document(plan);
    unsigned char hash[SHA256_DIGEST_LENGTH];

    SHA256((const unsigned char *)document, strlen(document), hash);
    for (size_t i = 0; i < sizeof hash; i++) snprintf(ret + 2 * i, 3, "%02x", hash[i]);
}

int scenario_load(const struct scenario *s, const char *deployment, uint32_t replicate, struct plan **ret)
{
    struct plan_load_options o = options_of(s);
    struct plan_error error;
    int r;

    o.deployment = deployment;
    o.replicate = replicate;
    r = plan_load(&o, ret, &error);
    if (r != 0) return told(r, &error);
    hash_document(*ret, (*ret)->scenario_sha256);
    return 0;
}

int scenario_deployments(const struct scenario *s, const char *wanted, char ***ret_names, size_t *ret_count)
{
    struct plan_load_options o = options_of(s);
    struct plan_error error;
    size_t count, kept = 0;
    int r = plan_deployments(&o, ret_names, &count, &error);

    if (r != 0) return told(r, &error);
    for (size_t i = 0; i < count; i++) {
        bool keep = wanted ? strcmp(wanted, "all") == 0 || strcmp(wanted, (*ret_names)[i]) == 0 : i == 0;
        if (keep) (*ret_names)[kept++] = (*ret_names)[i];
    }
    *ret_count = kept;
    if (kept) return 0;
    fprintf(stderr, "--deployment: the scenario has no deployment \"%s\"; allowed: all", wanted);
    for (size_t i = 0; i < count; i++) fprintf(stderr, ", %s", (*ret_names)[i]);
    fputc('\n', stderr);
    return EXIT_BAD_INPUT;
}
