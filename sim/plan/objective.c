/* "p99(mcp.call) < 2s" into an objective. */
#include <stdio.h>
#include <string.h>

#include "sim/base/str.h"
#include "sim/plan/context.h"
#include "sim/plan/units.h"

enum { PART_MAX = 100, SUBJECTS_MAX = 512 };

static const char grammar[] = "function(subject) comparison value, such as \"p99(mcp.call) < 2s\"";

/* The text in its parts: function, subject, comparison, value. */
struct parts {
    char function[PART_MAX], subject[PART_MAX], cmp[PART_MAX], value[PART_MAX];
};

static bool take(const char **text, const char *until, bool inside, char *ret)
{
    size_t n = inside ? strspn(*text, until) : strcspn(*text, until);

    if (n == 0 || n >= PART_MAX) return false;
    memcpy(ret, *text, n);
    ret[n] = '\0';
    *text += n;
    return true;
}

static void blanks(const char **text)
{
    *text += strspn(*text, " ");
}

static bool split(const char *text, struct parts *ret)
{
    blanks(&text);
    if (!take(&text, "( ", false, ret->function) || *text++ != '(') return false;
    blanks(&text);
    if (!take(&text, ") ", false, ret->subject)) return false;
    blanks(&text);
    if (*text++ != ')') return false;
    blanks(&text);
    if (!take(&text, "<>=!", true, ret->cmp)) return false;
    blanks(&text);
    if (!take(&text, " ", false, ret->value)) return false;
    blanks(&text);
    return *text == '\0';
}

static int fail_word(struct context *c, const char *what, const char *word, const struct choices *choices)
{
    CLEANUP(str_deinit) struct str s = STR_INIT(PLAN_ERROR_BYTES);

    str_appendf(&s, "%s \"%.80s\"", what, word);
    suggest(&s, word, choices);
    return fail(c, "%s", str_text(&s));
}

static int function_read(struct context *c, const char *word, struct plan_objective *ret)
{
    static const char *const names[] = {"",      "mean", "max", "min", "count", "rate",
                                        "ratio", "p50",  "p90", "p99", "p99.9"};
    static const struct choices choices = {names, sizeof(names) / sizeof(names[0])};
    uint64_t ppm;

    if (word[0] == 'p' && word[1] >= '0' && word[1] <= '9') {
        const char *wrong = units_percentile(word + 1, &ppm);

        if (wrong) return fail(c, "the percentile \"%.40s\" %s", word, wrong);
        if (ppm < 1 || ppm > 1000000)
            return fail(c, "the percentile \"%.40s\" is out of range; allowed: above p0 to p100", word);
        ret->fn = OBJECTIVE_QUANTILE;
        ret->quantile_ppm = (uint32_t)ppm;
        return 0;
    }
    for (enum objective_fn fn = OBJECTIVE_MEAN; fn <= OBJECTIVE_RATIO; fn++) {
        if (strcmp(names[fn], word) != 0) continue;
        ret->fn = fn;
        return 0;
    }
    return fail_word(c, "unknown function", word, &choices);
}

static int cmp_read(struct context *c, const char *word, struct plan_objective *ret)
{
    static const char *const names[] = {"<", "<=", "==", "!=", ">=", ">"};

    for (enum objective_cmp cmp = CMP_LT; cmp <= CMP_GT; cmp++) {
        if (strcmp(names[cmp], word) != 0) continue;
        ret->cmp = cmp;
        return 0;
    }
    return fail(c, "unknown comparison \"%.40s\"; allowed: <, <=, ==, !=, >=, >", word);
}

static void add_names(struct choices *choices, const char **names, const char *const *more, size_t count)
{
    for (size_t i = 0; i < count && choices->count < SUBJECTS_MAX; i++) names[choices->count++] = more[i];
}

/* "metric{key=name}": one of the names by which the metric's samples are told apart. */
static int split_check(struct context *c, const struct plan *plan, const struct plan_objective *objective,
                       const char *word)
{
    CLEANUP(str_deinit) struct str s = STR_INIT(PLAN_ERROR_BYTES);
    const char *brace = strchr(word, '{'), *equals = strchr(brace, '=');
    const char *names[SUBJECTS_MAX];
    struct choices choices = {names, 0};
    size_t len = strlen(word);

    if (objective->fn == OBJECTIVE_RATIO)
        return fail(c, "ratio is of an end of the ledger, such as call.lost");
    for (int i = 0; i < SPLIT_COUNT; i++) {
        const char *metric = c->options->names->split_metrics[i], *key = plan_split_key((enum plan_split)i);
        uint32_t size = plan_split_size(plan, (enum plan_split)i);

        if (!metric || !equals || strlen(metric) != (size_t)(brace - word) ||
            strncmp(metric, word, strlen(metric)) != 0 || strlen(key) != (size_t)(equals - brace - 1) ||
            strncmp(key, brace + 1, strlen(key)) != 0 || word[len - 1] != '}')
            continue;
        for (uint32_t k = 0; k < size && choices.count < SUBJECTS_MAX; k++) {
            const char *name = plan_split_name(plan, (enum plan_split)i, k);

            if (!name) continue;
            if (strlen(name) == len - (size_t)(equals + 1 - word) - 1 &&
                strncmp(name, equals + 1, strlen(name)) == 0)
                return 0;
            names[choices.count++] = name;
        }
        str_appendf(&s, "unknown %s \"%.*s\"", key, (int)(len - (size_t)(equals + 1 - word) - 1), equals + 1);
        suggest(&s, equals + 1, &choices);
        return fail(c, "%s", str_text(&s));
    }
    str_appendf(&s, "unknown subject \"%.80s\"; allowed with braces:", word);
    for (int i = 0; i < SPLIT_COUNT; i++)
        if (c->options->names->split_metrics[i])
            str_appendf(&s, "%s %s{%s=NAME}", i ? "," : "", c->options->names->split_metrics[i],
                        plan_split_key((enum plan_split)i));
    return fail(c, "%s", str_text(&s));
}

/* What a function may be asked of. */
static int subject_check(struct context *c, const struct plan *plan, const struct plan_objective *objective,
                         const char *word)
{
    const struct plan_names *known = c->options->names;
    bool ends = objective->fn >= OBJECTIVE_COUNT, counts = ends && objective->fn != OBJECTIVE_RATIO;
    const char *names[SUBJECTS_MAX];
    struct choices choices = {names, 0};

    if (!known) return 0;
    if (strchr(word, '{')) return split_check(c, plan, objective, word);
    if (ends) add_names(&choices, names, known->ends, known->end_count);
    if (counts) add_names(&choices, names, known->counters, known->counter_count);
    if (objective->fn != OBJECTIVE_RATIO) add_names(&choices, names, known->metrics, known->metric_count);
    for (size_t i = 0; i < choices.count; i++)
        if (strcmp(choices.names[i], word) == 0) return 0;
    return fail_word(c, "unknown subject", word, &choices);
}

static const char *count_read(const char *text, uint64_t *ret)
{
    uint64_t value = 0;

    if (!*text) return "has no digits";
    for (; *text; text++) {
        if (*text < '0' || *text > '9') return "is no whole number";
        if (value > INT64_MAX / 10 - 10) return "is too large";
        value = value * 10 + (uint64_t)(*text - '0');
    }
    *ret = value;
    return NULL;
}

static int value_read(struct context *c, const char *text, struct plan_objective *ret)
{
    const char *wrong, *like;

    switch (ret->fn) {
    case OBJECTIVE_COUNT:
        wrong = count_read(text, &ret->value);
        like = "a whole number";
        break;
    case OBJECTIVE_RATE:
        wrong = units_rate(text, &ret->value);
        like = "a rate such as 5/s";
        break;
    case OBJECTIVE_RATIO:
        wrong = units_share(text, &ret->value);
        like = "a share such as 0.1%";
        break;
    default:
        wrong = units_duration(text, &ret->value);
        like = "a duration such as 300ms";
        break;
    }
    return wrong ? fail(c, "the value \"%.40s\" %s; it must be %s", text, wrong, like) : 0;
}

static int objective_parse(struct context *c, const struct plan *plan, const char *text,
                           struct plan_objective *ret)
{
    struct parts parts;
    int r;

    ret->expr = text;
    if (!split(text, &parts)) return fail(c, "\"%.120s\" is no objective; it must be %s", text, grammar);
    r = function_read(c, parts.function, ret);
    if (r == 0) r = subject_check(c, plan, ret, parts.subject);
    if (r == 0) r = cmp_read(c, parts.cmp, ret);
    if (r == 0) r = value_read(c, parts.value, ret);
    if (r != 0) return r;
    ret->subject = plan_arena_copy(c->arena, parts.subject, strlen(parts.subject));
    return ret->subject ? 0 : context_full(c);
}

int objectives_expand(struct context *c, struct draft *draft)
{
    size_t outer = pointer_push(&c->at, "objectives", strlen("objectives"));
    int r = 0;

    draft->plan.objectives = context_alloc(c, draft->objective_count, sizeof(*draft->plan.objectives));
    if (!draft->plan.objectives) return context_full(c);
    draft->plan.objective_count = draft->objective_count;
    for (uint32_t i = 0; r == 0 && i < draft->objective_count; i++) {
        size_t before = pointer_push_index(&c->at, i);

        r = objective_parse(c, &draft->plan, draft->objectives[i], &draft->plan.objectives[i]);
        pointer_pop(&c->at, before);
    }
    pointer_pop(&c->at, outer);
    return r;
}
