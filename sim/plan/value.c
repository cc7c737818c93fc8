/* Single values: reading, ranges, storing. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sim/base/panic.h"
#include "sim/base/str.h"
#include "sim/plan/context.h"
#include "sim/plan/value.h"

enum { KNOTS_MAX = 1000, NAMES_LISTED_MAX = 64 };

static const char *json_type_words(const json_t *in)
{
    switch (json_typeof(in)) {
    case JSON_OBJECT: return "an object";
    case JSON_ARRAY: return "an array";
    case JSON_STRING: return "a string";
    case JSON_INTEGER: return "a number";
    case JSON_REAL: return "a number with a fraction";
    case JSON_TRUE: return "true";
    case JSON_FALSE: return "false";
    case JSON_NULL: return "null";
    }
    return "something else";
}

static bool has_unit(enum option_type type)
{
    return type == OPTION_DURATION || type == OPTION_RATE || type == OPTION_BANDWIDTH ||
           type == OPTION_SHARE || type == OPTION_PRICE || type == OPTION_DURATIONS;
}

int fail_type(struct context *c, enum option_type type, const json_t *in)
{
    return fail(c, "must be %s, not %s%s", option_type_words(type), json_type_words(in),
                has_unit(type) && json_is_number(in) ? ": a plain number has no unit" : "");
}

/* Numbers ---------------------------------------------------------------------------------------------------
 */

static const struct {
    const char *(*read)(const char *text, uint64_t *ret);
    enum unit_kind unit;
} number_types[] = {
    [OPTION_DURATION] = {units_duration, UNIT_DURATION},
    [OPTION_COUNT] = {NULL, UNIT_NONE},
    [OPTION_SIZE] = {units_size, UNIT_SIZE},
    [OPTION_RATE] = {units_rate, UNIT_RATE},
    [OPTION_BANDWIDTH] = {units_bandwidth, UNIT_BANDWIDTH},
    [OPTION_SHARE] = {units_share, UNIT_SHARE},
    [OPTION_PRICE] = {units_price, UNIT_PRICE},
};

enum unit_kind option_unit(enum option_type type)
{
    if (type == OPTION_DURATIONS || type == OPTION_SPAN) return UNIT_DURATION;
    if (type == OPTION_KNOTS) return UNIT_RATE;
    return (size_t)type < sizeof(number_types) / sizeof(number_types[0]) ? number_types[type].unit
                                                                         : UNIT_NONE;
}

void option_range_words(const struct option *option, char *ret, size_t size)
{
    enum unit_kind unit = option_unit(option->type);
    char lo[48], hi[48];

    units_format(unit, option->min, lo, sizeof(lo));
    units_format(unit, option->max, hi, sizeof(hi));
    if (option->type == OPTION_BANDWIDTH)
        snprintf(ret, size, option->min > 0 ? "at least 1B/s" : "at least 1B/s, or unlimited");
    else if (option->max == INT64_MAX)
        snprintf(ret, size, "at least %s", lo);
    else
        snprintf(ret, size, "%s to %s", lo, hi);
}

static int fail_range(struct context *c, const struct option *option, const char *shown)
{
    char range[128];

    option_range_words(option, range, sizeof(range));
    return fail(c, "%.60s is out of range; allowed: %s", shown, range);
}

static int integer_parse(struct context *c, const struct option *option, json_t *in, uint64_t *ret)
{
    json_int_t value = json_integer_value(in);
    char shown[32];

    if (!json_is_integer(in)) return fail_type(c, option->type, in);
    snprintf(shown, sizeof(shown), "%lld", (long long)value);
    if (value < 0 || (uint64_t)value < option->min || (uint64_t)value > option->max)
        return fail_range(c, option, shown);
    *ret = (uint64_t)value;
    return 0;
}

static int text_parse(struct context *c, const struct option *option, enum option_type type, json_t *in,
                      uint64_t *ret)
{
    const char *text = json_string_value(in), *wrong;
    char shown[72];
    uint64_t value;

    if (!text) return fail_type(c, type, in);
    wrong = number_types[type].read(text, &value);
    if (wrong) return fail(c, "\"%.60s\" %s; it must be %s", text, wrong, option_type_words(type));
    snprintf(shown, sizeof(shown), "\"%.60s\"", text);
    if (value < option->min || value > option->max) return fail_range(c, option, shown);
    *ret = value;
    return 0;
}

int number_parse(struct context *c, const struct option *option, enum option_type type, json_t *in,
                 uint64_t *ret)
{
    if (type == OPTION_COUNT) return integer_parse(c, option, in, ret);
    if (type == OPTION_SIZE && !json_is_string(in)) return integer_parse(c, option, in, ret);
    return text_parse(c, option, type, in, ret);
}

static void store_number(const struct option *option, void *base, uint64_t value)
{
    uint32_t narrow = (uint32_t)value;

    if (option->offset == OPTION_NOT_STORED) return;
    ASSERT(option->width == 8 || (option->width == 4 && value <= UINT32_MAX));
    if (option->width == 8)
        memcpy((char *)base + option->offset, &value, sizeof(value));
    else
        memcpy((char *)base + option->offset, &narrow, sizeof(narrow));
}

static void store_array(const struct option *option, void *base, const void *array, size_t count)
{
    uint32_t n = (uint32_t)count;

    memcpy((char *)base + option->offset, &array, sizeof(array));
    memcpy((char *)base + option->count_offset, &n, sizeof(n));
}

/* Words, names ----------------------------------------------------------------------------------------------
 */

static size_t words_count(const char *const *words)
{
    size_t n = 0;

    while (words[n]) n++;
    return n;
}

/* `what` and the text, quoted. */
static int fail_choice(struct context *c, const char *text, const char *what, const struct choices *choices)
{
    CLEANUP(str_deinit) struct str s = STR_INIT(PLAN_ERROR_BYTES);

    str_appendf(&s, "%s \"%.80s\"", what, text);
    suggest(&s, text, choices);
    return fail(c, "%s", str_text(&s));
}

static int word_find(struct context *c, const struct option *option, json_t *in, uint32_t *ret)
{
    const char *text = json_string_value(in);
    struct choices choices = {option->words, words_count(option->words)};

    if (!text) {
        CLEANUP(str_deinit) struct str s = STR_INIT(PLAN_ERROR_BYTES);

        suggest(&s, NULL, &choices);
        return fail(c, "must be a word, not %s%s", json_type_words(in), str_text(&s));
    }
    for (size_t i = 0; i < choices.count; i++) {
        if (!*text || strcmp(text, choices.names[i]) != 0) continue;
        *ret = (uint32_t)i;
        return 0;
    }
    return fail_choice(c, text, "unknown word", &choices);
}

static int words_parse(struct context *c, const struct option *option, json_t *in, void *base)
{
    bool *flags = (bool *)((char *)base + option->offset);
    size_t i, before;
    uint32_t word;
    json_t *value;

    if (!json_is_array(in)) return fail_type(c, option->type, in);
    json_array_foreach(in, i, value)
    {
        int r;

        before = pointer_push_index(&c->at, i);
        r = word_find(c, option, value, &word);
        if (r == 0 && flags[word]) r = fail(c, "\"%s\" is given twice", option->words[word]);
        pointer_pop(&c->at, before);
        if (r != 0) return r;
        flags[word] = true;
    }
    return 0;
}

static size_t names_of(json_t *map, const char **names, size_t max)
{
    const char *key;
    json_t *value;
    size_t n = 0;

    json_object_foreach(map, key, value) if (n < max) names[n++] = key;
    return n;
}

/* An element's index is its place in the object, for maps are parsed in that order. */
static int reference_find(struct context *c, const struct option *option, json_t *in, uint32_t *ret)
{
    json_t *map = json_object_get(c->root, option->of), *value;
    const char *text = json_string_value(in), *key, *names[NAMES_LISTED_MAX];
    struct choices choices;
    char what[64];
    uint32_t i = 0;

    if (!text) return fail_type(c, option->type, in);
    json_object_foreach(map, key, value)
    {
        if (strcmp(key, text) == 0) {
            *ret = i;
            return 0;
        }
        i++;
    }
    choices = (struct choices){names, names_of(map, names, NAMES_LISTED_MAX)};
    snprintf(what, sizeof(what), "nothing in /%s is called", option->of);
    return fail_choice(c, text, what, &choices);
}

static int string_parse(struct context *c, const struct option *option, json_t *in, const char **ret)
{
    size_t length = json_string_length(in);
    char *copy;

    if (!json_is_string(in)) return fail_type(c, option->type, in);
    if (length < option->min || length > option->max)
        return fail(c, "%zu bytes long; allowed: %llu to %llu bytes", length, (unsigned long long)option->min,
                    (unsigned long long)option->max);
    copy = plan_arena_copy(c->arena, json_string_value(in), length);
    if (!copy) return context_full(c);
    *ret = copy;
    return 0;
}

static int strings_parse(struct context *c, const struct option *option, json_t *in, void *base)
{
    struct option each = {.type = OPTION_STRING, .min = 1, .max = 200};
    size_t n = json_array_size(in), i;
    const char **array;
    json_t *value;

    if (!json_is_array(in)) return fail_type(c, option->type, in);
    if (n < option->min || n > option->max)
        return fail(c, "%zu elements; allowed: %llu to %llu", n, (unsigned long long)option->min,
                    (unsigned long long)option->max);
    array = context_alloc(c, n, sizeof(*array));
    if (!array) return context_full(c);
    json_array_foreach(in, i, value)
    {
        size_t before = pointer_push_index(&c->at, i);
        int r = string_parse(c, &each, value, &array[i]);

        pointer_pop(&c->at, before);
        if (r != 0) return r;
    }
    store_array(option, base, array, n);
    return 0;
}

/* Spans and rates -------------------------------------------------------------------------------------------
 */

static int element_parse(struct context *c, const struct option *option, enum option_type type, json_t *in,
                         size_t index, uint64_t *ret)
{
    size_t before = pointer_push_index(&c->at, index);
    int r = number_parse(c, option, type, json_array_get(in, index), ret);

    pointer_pop(&c->at, before);
    return r;
}

static int span_parse(struct context *c, const struct option *option, json_t *in, void *base)
{
    nsec_t span[2];
    int r = 0;

    if (json_array_size(in) != 2) return fail(c, "must be %s", option_type_words(option->type));
    for (size_t i = 0; r == 0 && i < 2; i++) r = element_parse(c, option, OPTION_DURATION, in, i, &span[i]);
    if (r != 0) return r;
    if (span[0] > span[1]) return fail(c, "the first duration is longer than the second");
    memcpy((char *)base + option->offset, span, sizeof(span));
    return 0;
}

static int rate_parse(struct context *c, const struct option *option, json_t *in, void *base)
{
    struct rate_knot *knot = context_alloc(c, 1, sizeof(*knot));
    int r;

    if (!knot) return context_full(c);
    r = number_parse(c, option, OPTION_RATE, in, &knot->per_hour);
    if (r == 0) store_array(option, base, knot, 1);
    return r;
}

static int knot_parse(struct context *c, const struct option *option, json_t *in, struct rate_knot *ret)
{
    struct option at = {.type = OPTION_DURATION, .min = 0, .max = 48 * 3600 * NSEC_PER_S};
    int r;

    if (json_array_size(in) != 2) return fail(c, "must be a moment and a rate, such as [\"10s\", \"8/s\"]");
    r = element_parse(c, &at, OPTION_DURATION, in, 0, &ret->at_ns);
    if (r != 0) return r;
    at = *option;
    at.type = OPTION_RATE;
    return element_parse(c, &at, OPTION_RATE, in, 1, &ret->per_hour);
}

static int knots_parse(struct context *c, const struct option *option, json_t *in, void *base)
{
    size_t n = json_array_size(in), i;
    struct rate_knot *knots;
    json_t *value;

    if (!json_is_array(in)) return fail_type(c, option->type, in);
    if (n < 1 || n > KNOTS_MAX) return fail(c, "%zu knots; allowed: 1 to %d", n, KNOTS_MAX);
    knots = context_alloc(c, n, sizeof(*knots));
    if (!knots) return context_full(c);
    json_array_foreach(in, i, value)
    {
        size_t before = pointer_push_index(&c->at, i);
        int r = knot_parse(c, option, value, &knots[i]);

        if (r == 0 && i == 0 && knots[0].at_ns != 0) r = fail(c, "the first knot is at 0s");
        if (r == 0 && i > 0 && knots[i].at_ns <= knots[i - 1].at_ns)
            r = fail(c, "not later than the knot before it");
        pointer_pop(&c->at, before);
        if (r != 0) return r;
    }
    store_array(option, base, knots, n);
    return 0;
}

/* Maps and lists --------------------------------------------------------------------------------------------
 */

static bool is_alnum(char ch)
{
    return (ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z');
}

static bool name_valid(enum name_rule rule, const char *name)
{
    size_t length = strlen(name);
    bool label = rule == NAME_LABEL;

    if (length == 0 || length > (label ? 32 : 64) || !is_alnum(name[0])) return false;
    if (label && name[length - 1] == '-') return false;
    if (rule == NAME_FOLDER && strcmp(name, "all") == 0) return false;
    for (size_t i = 0; i < length; i++) {
        char ch = name[i];

        if (label && ((ch >= 'A' && ch <= 'Z') || ch == '.' || ch == '_')) return false;
        if (!is_alnum(ch) && ch != '-' && ch != '_' && ch != '.') return false;
    }
    return true;
}

static int fail_name(struct context *c, enum name_rule rule, const char *key)
{
    static const char *const words[] = {
        [NAME_ANY] = "a letter or digit, then letters, digits, '.', '_' and '-'; at most 64",
        [NAME_LABEL] = "a part of a host name: a-z, 0-9, and '-' inside; at most 32",
        [NAME_FOLDER] = "a letter or digit, then letters, digits, '.', '_' and '-'; at most 64; not \"all\"",
    };

    char what[320];

    snprintf(what, sizeof(what), "\"%.80s\" is no valid name; allowed: %s", key, words[rule]);
    return document_error(&c->document, c->at.text, true, what, c->error);
}

static int count_check(struct context *c, const struct option *option, size_t n)
{
    if (n >= option->min && n <= option->max) return 0;
    return fail(c, "%zu elements; allowed: %llu to %llu", n, (unsigned long long)option->min,
                (unsigned long long)option->max);
}

static int named_parse(struct context *c, const struct option_table *table, const char *key, json_t *in,
                       char *element, json_t *resolved)
{
    CLEANUP(json_decref_p) json_t *out = NULL;
    char *name;
    int r;

    if (!name_valid(table->names, key)) return fail_name(c, table->names, key);
    name = plan_arena_copy(c->arena, key, strlen(key));
    if (!name) return context_full(c);
    memcpy(element + table->name_offset, &name, sizeof(name));
    if (!json_is_object(in)) return fail_type(c, OPTION_TABLE, in);
    r = table_parse(c, table, in, element, &out);
    if (r != 0) return r;
    return json_object_set_new(resolved, key, steal_ptr(out)) < 0 ? -ENOMEM : 0;
}

static int map_parse(struct context *c, const struct option *option, json_t *in, void *base,
                     json_t **ret_resolved)
{
    CLEANUP(json_decref_p) json_t *resolved = json_object();
    size_t n = json_object_size(in), i = 0;
    const char *key;
    json_t *value;
    char *array;
    int r;

    if (!json_is_object(in)) return fail_type(c, option->type, in);
    r = count_check(c, option, n);
    if (r != 0) return r;
    array = context_alloc(c, n, option->table->size);
    if (!array) return context_full(c);
    if (!resolved) return -ENOMEM;
    json_object_foreach(in, key, value)
    {
        size_t before = pointer_push(&c->at, key, strlen(key));

        r = named_parse(c, option->table, key, value, array + i++ * option->table->size, resolved);
        pointer_pop(&c->at, before);
        if (r != 0) return r;
    }
    store_array(option, base, array, n);
    *ret_resolved = steal_ptr(resolved);
    return 0;
}

static int item_parse(struct context *c, const struct option_table *table, json_t *in, char *element,
                      json_t *resolved)
{
    CLEANUP(json_decref_p) json_t *out = NULL;
    int r;

    if (!json_is_object(in)) return fail_type(c, OPTION_TABLE, in);
    r = table_parse(c, table, in, element, &out);
    if (r != 0) return r;
    return json_array_append_new(resolved, steal_ptr(out)) < 0 ? -ENOMEM : 0;
}

static int list_parse(struct context *c, const struct option *option, json_t *in, void *base,
                      json_t **ret_resolved)
{
    CLEANUP(json_decref_p) json_t *resolved = json_array();
    size_t n = json_array_size(in), i;
    json_t *value;
    char *array;
    int r;

    if (!json_is_array(in)) return fail_type(c, option->type, in);
    r = count_check(c, option, n);
    if (r != 0) return r;
    array = context_alloc(c, n, option->table->size);
    if (!array) return context_full(c);
    if (!resolved) return -ENOMEM;
    json_array_foreach(in, i, value)
    {
        size_t before = pointer_push_index(&c->at, i);

        r = item_parse(c, option->table, value, array + i * option->table->size, resolved);
        pointer_pop(&c->at, before);
        if (r != 0) return r;
    }
    store_array(option, base, array, n);
    *ret_resolved = steal_ptr(resolved);
    return 0;
}

/* One value -------------------------------------------------------------------------------------------------
 */

static int number_store(struct context *c, const struct option *option, json_t *in, void *base)
{
    uint64_t value;
    int r = number_parse(c, option, option->type, in, &value);

    if (r == 0) store_number(option, base, value);
    return r;
}

static int index_store(struct context *c, const struct option *option, json_t *in, void *base)
{
    uint32_t index;
    int r = option->type == OPTION_WORD ? word_find(c, option, in, &index)
                                        : reference_find(c, option, in, &index);

    if (r == 0) store_number(option, base, index);
    return r;
}

static int string_store(struct context *c, const struct option *option, json_t *in, void *base)
{
    const char *text;
    int r = string_parse(c, option, in, &text);

    if (r == 0) memcpy((char *)base + option->offset, &text, sizeof(text));
    return r;
}

static int bool_store(struct context *c, const struct option *option, json_t *in, void *base)
{
    bool value = json_is_true(in);

    if (!json_is_boolean(in)) return fail_type(c, option->type, in);
    memcpy((char *)base + option->offset, &value, sizeof(value));
    return 0;
}

/* Values that are printed as they were given. */
static int plain_parse(struct context *c, const struct option *option, json_t *in, void *base)
{
    switch (option->type) {
    case OPTION_DURATION:
    case OPTION_COUNT:
    case OPTION_SIZE:
    case OPTION_BANDWIDTH:
    case OPTION_SHARE:
    case OPTION_PRICE: return number_store(c, option, in, base);
    case OPTION_RATE: return rate_parse(c, option, in, base);
    case OPTION_STRING: return string_store(c, option, in, base);
    case OPTION_STRINGS: return strings_parse(c, option, in, base);
    case OPTION_BOOL: return bool_store(c, option, in, base);
    case OPTION_WORD:
    case OPTION_REFERENCE: return index_store(c, option, in, base);
    case OPTION_WORDS: return words_parse(c, option, in, base);
    case OPTION_SPAN: return span_parse(c, option, in, base);
    case OPTION_KNOTS: return knots_parse(c, option, in, base);
    case OPTION_PATCH: return json_is_object(in) ? 0 : fail_type(c, option->type, in);
    case OPTION_DURATIONS:
    case OPTION_COUNTS:
    case OPTION_TABLE:
    case OPTION_MAP:
    case OPTION_LIST: break;
    }
    UNREACHABLE();
}

int value_parse(struct context *c, const struct option *option, json_t *in, void *base, json_t **ret_resolved)
{
    char *place = (char *)base + (option->offset == OPTION_NOT_STORED ? 0 : option->offset);
    int r;

    switch (option->type) {
    case OPTION_DURATIONS:
    case OPTION_COUNTS: return dist_parse(c, option, in, (struct dist *)place, ret_resolved);
    case OPTION_TABLE:
        if (!json_is_object(in)) return fail_type(c, option->type, in);
        return table_parse(c, option->table, in, place, ret_resolved);
    case OPTION_MAP: return map_parse(c, option, in, base, ret_resolved);
    case OPTION_LIST: return list_parse(c, option, in, base, ret_resolved);
    default: break;
    }
    r = plain_parse(c, option, in, base);
    if (r == 0) *ret_resolved = json_incref(in);
    return r;
}
