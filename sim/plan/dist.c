/* Distributions, and the provider profiles that some come from. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/str.h"
#include "sim/plan/value.h"

enum { SCALE_PPM_MAX = 100 * DIST_PPM_ONE };

static const char profile_file[] = "sandbox-tti.json";

DEFINE_CLEANUP(char *, free)

/* Profiles --------------------------------------------------------------------------------------------------
 */

/* `folder`/`sub``profile_file`; NULL when out of memory. */
static char *profile_path(const char *folder, size_t length, const char *sub)
{
    char *path;

    return asprintf(&path, "%.*s%s%s", (int)length, folder, sub, profile_file) < 0 ? NULL : path;
}

static int profile_read(struct context *c, const char *path, json_t **ret)
{
    CLEANUP(free_p) char *text = NULL;
    json_error_t e;
    size_t length;
    int r = file_read(path, PLAN_FILE_BYTES_MAX, &text, &length);

    if (r == -ENOENT || r == -ENOTDIR || r == -ENOMEM) return r;
    if (r < 0) return fail(c, "the profile file %s cannot be read: %s", path, strerrordesc_np(-r));
    *ret = json_loadb(text, length, JSON_REJECT_DUPLICATES, &e);
    if (*ret) return 0;
    return fail(c, "the profile file %s:%d:%d: not valid JSON: %s", path, e.line, e.column, e.text);
}

/* Beside the scenario first, then where the options say. */
static int profile_load(struct context *c)
{
    const char *name = c->options->path ? c->options->path : "", *slash = strrchr(name, '/');
    const char *dir = c->options->profiles_dir;
    CLEANUP(free_p) char *beside = profile_path(name, slash ? (size_t)(slash - name) + 1 : 0, "profiles/");
    CLEANUP(free_p) char *elsewhere = dir ? profile_path(dir, strlen(dir), "/") : NULL;
    int r;

    if (c->profile) return 0;
    if (!beside || (dir && !elsewhere)) return -ENOMEM;
    r = profile_read(c, beside, &c->profile);
    if ((r == -ENOENT || r == -ENOTDIR) && elsewhere) r = profile_read(c, elsewhere, &c->profile);
    if (r != -ENOENT && r != -ENOTDIR) return r;
    return fail(c, "there is no profile file: looked for %s%s%s", beside, elsewhere ? " and " : "",
                elsewhere ? elsewhere : "");
}

/* At the key that stands beside where we are, in the same object. */
static int fail_beside(struct context *c, const char *key, const char *what)
{
    struct pointer here = c->at;
    int r;

    pointer_pop(&c->at, (size_t)(strrchr(c->at.text, '/') - c->at.text));
    r = fail_at(c, key, "%s", what);
    c->at = here;
    return r;
}

static int fail_profile(struct context *c, json_t *map, const char *what, const char *name)
{
    CLEANUP(str_deinit) struct str s = STR_INIT(PLAN_ERROR_BYTES);
    const char *names[64], *key;
    struct choices choices = {names, 0};
    json_t *value;

    json_object_foreach(map, key, value) if (choices.count < 64) names[choices.count++] = key;
    str_appendf(&s, "the provider profiles know no %s \"%.80s\"", what, name);
    suggest(&s, name, &choices);
    if (c->from_provider) return fail_beside(c, what, str_text(&s));
    return fail(c, "%s", str_text(&s));
}

int profile_find(struct context *c, const char *provider, const char *regime, json_t **ret)
{
    json_t *regimes, *providers, *start;
    int r = profile_load(c);

    if (r != 0) return r;
    regimes = json_object_get(c->profile, "regimes");
    providers = json_object_get(json_object_get(regimes, regime), "providers");
    if (!providers) return fail_profile(c, regimes, "regime", regime);
    start = json_object_get(json_object_get(providers, provider), "start");
    if (!start) return fail_profile(c, providers, "provider", provider);
    *ret = start;
    return 0;
}

/* Parts -----------------------------------------------------------------------------------------------------
 */

static enum option_type single_type(const struct option *option)
{
    return option->type == OPTION_DURATIONS ? OPTION_DURATION : OPTION_COUNT;
}

static int single_parse(struct context *c, const struct option *option, json_t *in, uint64_t *ret)
{
    if (json_is_object(in) || json_is_array(in)) return fail_type(c, single_type(option), in);
    return number_parse(c, option, single_type(option), in, ret);
}

static int uniform_parse(struct context *c, const struct option *option, json_t *in, struct dist *ret)
{
    uint64_t bounds[2];

    if (json_array_size(in) != 2) return fail(c, "must be two values, the smallest and the largest");
    for (size_t i = 0; i < 2; i++) {
        size_t before = pointer_push_index(&c->at, i);
        int r = single_parse(c, option, json_array_get(in, i), &bounds[i]);

        pointer_pop(&c->at, before);
        if (r != 0) return r;
    }
    if (bounds[0] > bounds[1]) return fail(c, "the first value is larger than the second");
    *ret = dist_uniform(bounds[0], bounds[1]);
    return 0;
}

static int exponential_parse(struct context *c, const struct option *option, json_t *in, struct dist *ret)
{
    uint64_t mean;
    int r = single_parse(c, option, in, &mean);

    if (r == 0) *ret = dist_exponential(mean);
    return r;
}

/* "0", "50%", "99.9%", "100%". */
static bool share_read(const char *text, uint32_t *ret_ppm)
{
    uint64_t ppm;

    if (strcmp(text, "0") == 0) {
        *ret_ppm = 0;
        return true;
    }
    if (units_share(text, &ppm) || ppm > DIST_PPM_ONE) return false;
    *ret_ppm = (uint32_t)ppm;
    return true;
}

static int point_parse(struct context *c, const struct option *option, const char *key, json_t *in,
                       struct dist *ret)
{
    struct dist_point *point = &ret->points[ret->points_len];
    size_t before = pointer_push(&c->at, key, strlen(key));
    int r;

    if (!share_read(key, &point->ppm))
        r = fail(c, "\"%.40s\" is no share; allowed: \"0%%\" to \"100%%\"", key);
    else
        r = single_parse(c, option, in, &point->value);
    if (r == 0 && ret->points_len > 0 && point->ppm <= point[-1].ppm)
        r = fail(c, "not above the share before it");
    if (r == 0 && ret->points_len > 0 && point->value < point[-1].value)
        r = fail(c, "less than the value before it");
    pointer_pop(&c->at, before);
    ret->points_len++;
    return r;
}

static int quantiles_parse(struct context *c, const struct option *option, json_t *in, struct dist *ret)
{
    size_t n = json_object_size(in);
    const char *key;
    json_t *value;

    if (!json_is_object(in) || n < 1 || n > DIST_POINTS_MAX)
        return fail(c, "must be 1 to %d quantiles such as {\"0%%\": …, \"50%%\": …, \"100%%\": …}",
                    DIST_POINTS_MAX);
    *ret = (struct dist){.kind = DIST_QUANTILES};
    json_object_foreach(in, key, value)
    {
        int r = point_parse(c, option, key, value, ret);

        if (r != 0) return r;
    }
    return 0;
}

/* {"profile": "modal", "regime": "burst"}: becomes the quantiles of the profile file. */
static int profile_parse(struct context *c, const struct option *option, json_t *in, struct dist *ret,
                         json_t **ret_resolved)
{
    const char *provider = json_string_value(json_object_get(in, "profile"));
    json_t *regime = json_object_get(in, "regime"), *start;
    int r;

    if (option->type != OPTION_DURATIONS) return fail_at(c, "profile", "profiles hold durations, not counts");
    if (!provider) return fail_at(c, "profile", "must be the name of a provider");
    if (regime && !json_is_string(regime)) return fail_at(c, "regime", "must be the name of a regime");
    r = profile_find(c, provider, regime ? json_string_value(regime) : "sequential", &start);
    if (r != 0) return r;
    if (json_object_get(start, "profile") || json_object_get(start, "of"))
        return fail(c, "the profile of \"%.40s\" is malformed", provider);
    return dist_parse(c, option, start, ret, ret_resolved);
}

static uint64_t dist_largest(const struct dist *d)
{
    if (d->kind == DIST_UNIFORM) return d->hi;
    if (d->kind == DIST_QUANTILES) return d->points[d->points_len - 1].value;
    return d->lo;
}

/* {"scale": "120%", "of": …} */
static int scale_parse(struct context *c, const struct option *option, json_t *in, struct dist *ret,
                       json_t **ret_resolved)
{
    struct option share = {.type = OPTION_SHARE, .min = 1, .max = SCALE_PPM_MAX};
    json_t *scale = json_object_get(in, "scale"), *of = json_object_get(in, "of");
    CLEANUP(json_decref_p) json_t *inner = NULL;
    size_t before = pointer_push(&c->at, "scale", 5);
    uint64_t ppm;
    int r = number_parse(c, &share, OPTION_SHARE, scale, &ppm);

    pointer_pop(&c->at, before);
    if (r != 0) return r;
    if (!of) return fail(c, "\"of\" is missing: what is to be scaled");
    before = pointer_push(&c->at, "of", 2);
    /* One scale is enough, and no document can nest them deep. */
    r = json_object_get(of, "scale") ? fail(c, "a scale of a scale; multiply them")
                                     : dist_parse(c, option, of, ret, &inner);
    pointer_pop(&c->at, before);
    if (r != 0) return r;
    dist_scale_ppm(ret, ppm);
    if (dist_largest(ret) > option->max) return fail(c, "out of range once scaled");
    *ret_resolved = json_pack("{s:O, s:O}", "scale", scale, "of", inner);
    return *ret_resolved ? 0 : -ENOMEM;
}

/* Whole -----------------------------------------------------------------------------------------------------
 */

static const char *const dist_keys[] = {"uniform", "exponential", "quantiles", "profile",
                                        "regime",  "scale",       "of"};

/* Only the keys of one form. */
static int keys_check(struct context *c, json_t *in, const char *form)
{
    const char *beside = strcmp(form, "profile") == 0 ? "regime" : strcmp(form, "scale") == 0 ? "of" : "";
    const char *key;
    json_t *value;

    json_object_foreach(in, key, value)
    {
        if (strcmp(key, form) != 0 && strcmp(key, beside) != 0)
            return fail_key(c, key, "\"%.80s\" means nothing beside \"%s\"", key, form);
    }
    return 0;
}

static int fail_form(struct context *c, json_t *in)
{
    static const struct choices choices = {dist_keys, sizeof(dist_keys) / sizeof(dist_keys[0])};
    CLEANUP(str_deinit) struct str s = STR_INIT(PLAN_ERROR_BYTES);
    const char *key = json_object_iter_key(json_object_iter(in));

    if (!key)
        return fail(
            c,
            "an empty object is no distribution; allowed: uniform, exponential, quantiles, profile, scale");
    for (size_t i = 0; i < choices.count; i++)
        if (strcmp(key, choices.names[i]) == 0) return fail(c, "\"%s\" alone is no distribution", key);
    str_appendf(&s, "unknown key \"%.80s\"", key);
    suggest(&s, key, &choices);
    return fail_key(c, key, "%s", str_text(&s));
}

static int form_parse(struct context *c, const struct option *option, json_t *in, struct dist *ret,
                      const char *form)
{
    json_t *value = json_object_get(in, form);
    size_t before = pointer_push(&c->at, form, strlen(form));
    int r;

    if (strcmp(form, "uniform") == 0)
        r = uniform_parse(c, option, value, ret);
    else if (strcmp(form, "exponential") == 0)
        r = exponential_parse(c, option, value, ret);
    else
        r = quantiles_parse(c, option, value, ret);
    pointer_pop(&c->at, before);
    return r;
}

static int wrapped_parse(struct context *c, const struct option *option, json_t *in, struct dist *ret,
                         json_t **ret_resolved)
{
    static const char *const forms[] = {"uniform", "exponential", "quantiles", "profile", "scale"};
    const char *form = NULL;
    int r;

    for (size_t i = 0; !form && i < sizeof(forms) / sizeof(forms[0]); i++)
        if (json_object_get(in, forms[i])) form = forms[i];
    if (!form) return fail_form(c, in);
    r = keys_check(c, in, form);
    if (r != 0) return r;
    if (strcmp(form, "profile") == 0) return profile_parse(c, option, in, ret, ret_resolved);
    if (strcmp(form, "scale") == 0) return scale_parse(c, option, in, ret, ret_resolved);
    r = form_parse(c, option, in, ret, form);
    if (r == 0) *ret_resolved = json_incref(in);
    return r;
}

int dist_parse(struct context *c, const struct option *option, json_t *in, struct dist *ret,
               json_t **ret_resolved)
{
    const char *wrong;
    uint64_t value;
    int r;

    if (json_is_object(in)) {
        r = wrapped_parse(c, option, in, ret, ret_resolved);
    } else {
        if (json_is_array(in) || json_is_boolean(in) || json_is_null(in))
            return fail_type(c, option->type, in);
        r = number_parse(c, option, single_type(option), in, &value);
        if (r == 0) {
            *ret = dist_constant(value);
            *ret_resolved = json_incref(in);
        }
    }
    if (r != 0) return r;
    wrong = dist_check(ret);
    if (!wrong) return 0;
    json_decref(*ret_resolved);
    *ret_resolved = NULL;
    return fail(c, "the distribution %s", wrong);
}
