#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/str.h"
#include "sim/plan/context.h"

/* Before the tables: is it a scenario of ours, and which deployment is meant?
 * ------------------------------------ */

static int check_schema(struct context *c)
{
    json_t *schema = json_object_get(c->document.root, "schema");
    const char *text = json_string_value(schema);

    if (!schema) return fail(c, "\"schema\" is missing; allowed: \"%s\"", PLAN_SCHEMA);
    if (text && strcmp(text, PLAN_SCHEMA) == 0) return 0;
    if (!text) return fail_at(c, "schema", "must be a string; allowed: \"%s\"", PLAN_SCHEMA);
    return fail_at(c, "schema", "this is \"%.80s\"; allowed: \"%s\"", text, PLAN_SCHEMA);
}

/* What a deployment cannot change. */
static int check_patch(struct context *c, json_t *patch)
{
    static const char *const fixed[] = {"schema", "name", "deployments"};

    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
        if (json_object_get(patch, fixed[i]))
            return fail_key(c, fixed[i], "\"%s\" is the same for all deployments", fixed[i]);
    return 0;
}

static int check_deployment(struct context *c, const char *name, json_t *deployment)
{
    size_t before = pointer_push(&c->at, name, strlen(name));
    json_t *patch = json_object_get(deployment, "set");
    int r = 0;

    if (!json_is_object(deployment)) r = fail(c, "must be an object");
    if (r == 0 && patch && !json_is_object(patch)) r = fail_at(c, "set", "must be an object: a merge patch");
    if (r == 0) {
        pointer_push(&c->at, "set", 3);
        r = check_patch(c, patch);
    }
    pointer_pop(&c->at, before);
    return r;
}

static int check_deployments(struct context *c)
{
    json_t *deployments = json_object_get(c->document.root, "deployments"), *value;
    size_t before = pointer_push(&c->at, "deployments", strlen("deployments"));
    const char *key;
    int r = 0;

    if (deployments && !json_is_object(deployments)) r = fail(c, "must be an object");
    if (r == 0 && json_object_size(deployments) > PLAN_DEPLOYMENTS_MAX)
        r = fail(c, "%zu elements; allowed: 0 to %d", json_object_size(deployments), PLAN_DEPLOYMENTS_MAX);
    json_object_foreach(deployments, key, value) if (r == 0) r = check_deployment(c, key, value);
    pointer_pop(&c->at, before);
    return r;
}

static int fail_deployment(struct context *c, const char *wanted)
{
    CLEANUP(str_deinit) struct str s = STR_INIT(PLAN_ERROR_BYTES);
    json_t *deployments = json_object_get(c->document.root, "deployments"), *value;
    const char *names[PLAN_DEPLOYMENTS_MAX] = {"default"}, *key;
    struct choices choices = {names, 0};

    json_object_foreach(deployments, key, value) names[choices.count++] = key;
    if (choices.count == 0) choices.count = 1;
    str_appendf(&s, "there is no deployment \"%.80s\"", wanted);
    suggest(&s, wanted, &choices);
    return fail_at(c, "deployments", "%s", str_text(&s));
}

/* Plan ------------------------------------------------------------------------------------------------------
 */

static int copy_dump(struct context *c, json_t *value, size_t flags, const char *end, const char **ret)
{
    size_t length = json_dumpb(value, NULL, 0, flags), end_length = strlen(end);
    char *copy;

    if (length == 0) return -ENOMEM;
    copy = plan_arena_alloc(c->arena, length + end_length + 1, 1);
    if (!copy) return context_full(c);
    if (json_dumpb(value, copy, length, flags) != length) return -ENOMEM;
    memcpy(copy + length, end, end_length);
    *ret = copy;
    return 0;
}

/* The resolved document is one deployment's: only that stays, with nothing left to change. */
static int keep_deployment(json_t *resolved, const char *deployment)
{
    json_t *deployments = json_object_get(resolved, "deployments");
    CLEANUP(json_decref_p) json_t *kept = NULL, *only = json_object();
    json_t *found = json_object_get(deployments, deployment);

    kept = found ? json_copy(found) : json_pack("{s:b, s:s}", "informational", 0, "about", "");
    if (!only || !kept || json_object_set_new(kept, "set", json_object()) < 0) return -ENOMEM;
    if (json_object_set(only, deployment, kept) < 0) return -ENOMEM;
    return json_object_set(resolved, "deployments", only) < 0 ? -ENOMEM : 0;
}

static void keep_draft_deployment(struct draft *draft, const char *deployment)
{
    for (uint32_t i = 0; i < draft->deployment_count; i++)
        if (strcmp(draft->deployments[i].name, deployment) == 0)
            draft->plan.informational = draft->deployments[i].informational;
}

static int parse_merged(struct context *c, const char *deployment, struct draft *draft)
{
    CLEANUP(json_decref_p) json_t *resolved = NULL;
    int r = table_parse(c, &scenario_table, c->root, draft, &resolved);

    if (r == 0) r = plan_check(c, draft);
    if (r == 0) r = keep_deployment(resolved, deployment);
    if (r == 0) r = copy_dump(c, resolved, JSON_INDENT(2), "\n", &draft->plan.resolved);
    if (r == 0) r = copy_dump(c, c->document.root, JSON_COMPACT, "", &draft->plan.document);
    if (r != 0) return r;
    draft->plan.deployment = plan_arena_copy(c->arena, deployment, strlen(deployment));
    keep_draft_deployment(draft, deployment);
    return draft->plan.deployment ? 0 : context_full(c);
}

static int parse(struct context *c, struct draft *draft)
{
    const char *deployment;
    int r = check_schema(c);

    if (r == 0) r = check_deployments(c);
    if (r != 0) return r;
    deployment = document_deployment(&c->document, c->options->deployment);
    if (!deployment) return fail_deployment(c, c->options->deployment);
    c->root = document_merge(&c->document, deployment);
    return c->root ? parse_merged(c, deployment, draft) : -ENOMEM;
}

static int make_plan(struct context *c, struct draft *draft, struct plan **ret_plan)
{
    struct plan *plan = malloc(sizeof(*plan));

    if (!plan) return -ENOMEM;
    *plan = draft->plan;
    plan->seed = c->options->seed;
    plan->replicate = c->options->replicate;
    plan->arena = steal_ptr(c->arena);
    *ret_plan = plan;
    return 0;
}

static void context_deinit(struct context *c)
{
    json_decref(c->root);
    json_decref(c->profile);
    document_deinit(&c->document);
    plan_arena_free(c->arena);
}

static int load(struct context *c, struct plan **ret_plan)
{
    struct draft draft = {0};
    int r;

    if (c->options->seed > INT64_MAX) return fail(c, "the seed is 2^63 or more");
    c->arena = plan_arena_new(PLAN_ARENA_BYTES);
    if (!c->arena) return -ENOMEM;
    r = parse(c, &draft);
    return r ? r : make_plan(c, &draft, ret_plan);
}

static int out_of_memory(int r, struct plan_error *ret_error)
{
    if (r < 0) snprintf(ret_error->text, sizeof(ret_error->text), "%s", strerrordesc_np(-r));
    return r;
}

int plan_load(const struct plan_load_options *options, struct plan **ret_plan, struct plan_error *ret_error)
{
    struct context c = {.options = options, .error = ret_error};
    int r = document_init(&c.document, options, ret_error);

    if (r == 0) {
        r = load(&c, ret_plan);
        context_deinit(&c);
    }
    return out_of_memory(r, ret_error);
}

const char *plan_document(const struct plan *plan)
{
    return plan->document;
}

const char *plan_resolved(const struct plan *plan)
{
    return plan->resolved;
}

/* Deployments -----------------------------------------------------------------------------------------------
 */

/* One allocation: the pointers, then the texts. */
static int copy_names(const char *const *names, size_t count, char ***ret_names)
{
    size_t bytes = count * sizeof(char *);
    char **copy, *text;

    for (size_t i = 0; i < count; i++) bytes += strlen(names[i]) + 1;
    copy = malloc(bytes);
    if (!copy) return -ENOMEM;
    text = (char *)(copy + count);
    for (size_t i = 0; i < count; i++) {
        copy[i] = text;
        text = stpcpy(text, names[i]) + 1;
    }
    *ret_names = copy;
    return 0;
}

static int list_deployments(struct context *c, char ***ret_names, size_t *ret_count)
{
    const char *names[PLAN_DEPLOYMENTS_MAX] = {"default"}, *key;
    size_t count = 0;
    json_t *value;
    int r = check_schema(c);

    if (r == 0) r = check_deployments(c);
    if (r != 0) return r;
    json_object_foreach(json_object_get(c->document.root, "deployments"), key, value) names[count++] = key;
    if (count == 0) count = 1;
    r = copy_names(names, count, ret_names);
    if (r == 0) *ret_count = count;
    return r;
}

int plan_deployments(const struct plan_load_options *options, char ***ret_names, size_t *ret_count,
                     struct plan_error *ret_error)
{
    struct context c = {.options = options, .error = ret_error};
    int r = document_init(&c.document, options, ret_error);

    if (r == 0) {
        r = list_deployments(&c, ret_names, ret_count);
        context_deinit(&c);
    }
    return out_of_memory(r, ret_error);
}
