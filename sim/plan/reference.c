#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/plan/pointer.h"
#include "sim/plan/reference.h"
#include "sim/plan/value.h"

/* JSON Schema -----------------------------------------------------------------------------------------------
 */

static const char *const name_patterns[] = {
    [NAME_ANY] = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
    [NAME_LABEL] = "^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$",
    [NAME_FOLDER] = "^(?!all$)[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
};

#define NUMBER "[0-9]+(\\.[0-9]+)?"

static const struct {
    const char *name, *pattern;
} text_types[] = {
    {"duration", "^" NUMBER "(ns|us|ms|s|min|h)$"},
    {"size", "^" NUMBER "(B|kB|MB|GB|KiB|MiB|GiB)$"},
    {"rate", "^" NUMBER "/(s|min|h)$"},
    {"bandwidth", "^(unlimited|" NUMBER "([kMG]?B|[KMG]iB|[kMG]bit)/s)$"},
    {"share", "^" NUMBER "%$"},
    {"price", "^\\$" NUMBER "$"},
};

static json_t *ref(const char *name)
{
    return json_pack("{s:s+}", "$ref", "#/$defs/", name);
}

static json_t *words_schema(const struct option *option)
{
    json_t *list = json_array();

    for (const char *const *word = option->words; *word; word++)
        if (**word) json_array_append_new(list, json_string(*word));
    return json_pack("{s:o}", "enum", list);
}

static json_t *table_schema(const struct option_table *table);

static json_t *range_schema(const char *type, const char *least, const char *most,
                            const struct option *option)
{
    return json_pack("{s:s, s:I, s:I}", "type", type, least, (json_int_t)option->min, most,
                     (json_int_t)option->max);
}

static json_t *map_schema(const struct option *option)
{
    return json_pack("{s:s, s:I, s:I, s:{s:s}, s:o}", "type", "object", "minProperties",
                     (json_int_t)option->min, "maxProperties", (json_int_t)option->max, "propertyNames",
                     "pattern", name_patterns[option->table->names], "additionalProperties",
                     table_schema(option->table));
}

static json_t *list_schema(const struct option *option, json_t *items)
{
    json_t *schema = range_schema("array", "minItems", "maxItems", option);

    json_object_set_new(schema, "items", items);
    return schema;
}

static json_t *knots_schema(void)
{
    return json_pack("{s:s, s:i, s:{s:s, s:[o, o], s:i}}", "type", "array", "minItems", 1, "items", "type",
                     "array", "prefixItems", ref("duration"), ref("rate"), "minItems", 2);
}

static json_t *type_schema(const struct option *option)
{
    switch (option->type) {
    case OPTION_DURATION: return ref("duration");
    case OPTION_COUNT: return range_schema("integer", "minimum", "maximum", option);
    case OPTION_SIZE:
        return json_pack("{s:[o, o]}", "anyOf", ref("size"),
                         range_schema("integer", "minimum", "maximum", option));
    case OPTION_RATE: return ref("rate");
    case OPTION_BANDWIDTH: return ref("bandwidth");
    case OPTION_SHARE: return ref("share");
    case OPTION_PRICE: return ref("price");
    case OPTION_DURATIONS: return ref("durations");
    case OPTION_COUNTS: return ref("counts");
    case OPTION_STRING: return range_schema("string", "minLength", "maxLength", option);
    case OPTION_STRINGS: return list_schema(option, json_pack("{s:s}", "type", "string"));
    case OPTION_BOOL: return json_pack("{s:s}", "type", "boolean");
    case OPTION_WORD: return words_schema(option);
    case OPTION_WORDS:
        return json_pack("{s:s, s:b, s:o}", "type", "array", "uniqueItems", 1, "items", words_schema(option));
    case OPTION_REFERENCE: return json_pack("{s:s}", "type", "string");
    case OPTION_SPAN:
        return json_pack("{s:s, s:o, s:i, s:i}", "type", "array", "items", ref("duration"), "minItems", 2,
                         "maxItems", 2);
    case OPTION_KNOTS: return knots_schema();
    case OPTION_TABLE: return table_schema(option->table);
    case OPTION_MAP: return map_schema(option);
    case OPTION_LIST: return list_schema(option, table_schema(option->table));
    case OPTION_PATCH: return json_pack("{s:s}", "type", "object");
    }
    return NULL;
}

/* A runner's cold_start may come from its provider. */
static bool always_required(const struct option_table *table, const struct option *option)
{
    return option->fallback == OPTION_REQUIRED && !(table->prepare && strcmp(option->key, "cold_start") == 0);
}

static json_t *option_schema(const struct option *option)
{
    json_t *schema = type_schema(option);

    json_object_set_new(schema, "description", json_string(option->help));
    if (option->fallback && *option->fallback)
        json_object_set_new(schema, "default", json_loads(option->fallback, JSON_DECODE_ANY, NULL));
    return schema;
}

static json_t *table_schema(const struct option_table *table)
{
    json_t *properties = json_object(), *required = json_array();
    json_t *schema =
        json_pack("{s:s, s:b, s:o}", "type", "object", "additionalProperties", 0, "properties", properties);

    for (size_t i = 0; i < table->count; i++) {
        const struct option *option = &table->options[i];

        json_object_set_new(properties, option->key, option_schema(option));
        if (always_required(table, option)) json_array_append_new(required, json_string(option->key));
    }
    if (json_array_size(required) > 0)
        json_object_set_new(schema, "required", required);
    else
        json_decref(required);
    return schema;
}

/* Every form of a distribution of `single` values. */
static json_t *dist_schema(const char *single, const char *self, bool profiles)
{
    json_t *forms = json_array();

#define FORM(...) json_array_append_new(forms, json_pack(__VA_ARGS__))
    FORM("{s:s+}", "$ref", "#/$defs/", single);
    FORM("{s:s, s:b, s:[s], s:{s:{s:s, s:{s:s+}, s:i, s:i}}}", "type", "object", "additionalProperties", 0,
         "required", "uniform", "properties", "uniform", "type", "array", "items", "$ref", "#/$defs/", single,
         "minItems", 2, "maxItems", 2);
    FORM("{s:s, s:b, s:[s], s:{s:{s:s+}}}", "type", "object", "additionalProperties", 0, "required",
         "exponential", "properties", "exponential", "$ref", "#/$defs/", single);
    FORM("{s:s, s:b, s:[s], s:{s:{s:s, s:i, s:i, s:{s:s}, s:{s:s+}}}}", "type", "object",
         "additionalProperties", 0, "required", "quantiles", "properties", "quantiles", "type", "object",
         "minProperties", 1, "maxProperties", DIST_POINTS_MAX, "propertyNames", "pattern",
         "^(0|" NUMBER "%)$", "additionalProperties", "$ref", "#/$defs/", single);
    FORM("{s:s, s:b, s:[s, s], s:{s:{s:s}, s:{s:s+}}}", "type", "object", "additionalProperties", 0,
         "required", "scale", "of", "properties", "scale", "$ref", "#/$defs/share", "of", "$ref", "#/$defs/",
         self);
    if (profiles)
        FORM("{s:s, s:b, s:[s], s:{s:{s:s}, s:{s:s}}}", "type", "object", "additionalProperties", 0,
             "required", "profile", "properties", "profile", "type", "string", "regime", "type", "string");
#undef FORM
    return json_pack("{s:o}", "anyOf", forms);
}

static json_t *defs_schema(void)
{
    json_t *defs = json_object();

    for (size_t i = 0; i < sizeof(text_types) / sizeof(text_types[0]); i++)
        json_object_set_new(defs, text_types[i].name,
                            json_pack("{s:s, s:s}", "type", "string", "pattern", text_types[i].pattern));
    json_object_set_new(defs, "count", json_pack("{s:s, s:i}", "type", "integer", "minimum", 0));
    json_object_set_new(defs, "durations", dist_schema("duration", "durations", true));
    json_object_set_new(defs, "counts", dist_schema("count", "counts", false));
    return defs;
}

static int put_json(const char *text, size_t length, void *out)
{
    return str_append(out, text, length) < 0 ? -1 : 0;
}

int plan_schema(struct str *out)
{
    CLEANUP(json_decref_p) json_t *schema = json_object(), *body = table_schema(&scenario_table);

    json_object_set_new(schema, "$schema", json_string("https://json-schema.org/draft/2020-12/schema"));
    json_object_set_new(schema, "title", json_string("Windtunnel scenario, " PLAN_SCHEMA));
    json_object_update(schema, body);
    json_object_set_new(schema, "$defs", defs_schema());
    if (json_dump_callback(schema, put_json, out, JSON_INDENT(1)) < 0)
        return str_error(out) ? str_error(out) : -ENOMEM;
    return str_putc(out, '\n');
}

/* Markdown --------------------------------------------------------------------------------------------------
 */

static void put_words(struct str *out, const struct option *option)
{
    const char *separator = "";

    for (const char *const *word = option->words; *word; word++) {
        if (!**word) continue;
        str_appendf(out, "%s`%s`", separator, *word);
        separator = ", ";
    }
}

static void put_type(struct str *out, const struct option *option)
{
    static const char *const names[] = {
        [OPTION_DURATION] = "duration",
        [OPTION_COUNT] = "number",
        [OPTION_SIZE] = "size",
        [OPTION_RATE] = "rate",
        [OPTION_BANDWIDTH] = "bandwidth",
        [OPTION_SHARE] = "share",
        [OPTION_PRICE] = "price",
        [OPTION_DURATIONS] = "durations",
        [OPTION_COUNTS] = "numbers",
        [OPTION_STRING] = "string",
        [OPTION_STRINGS] = "array of strings",
        [OPTION_BOOL] = "true, false",
        [OPTION_SPAN] = "two durations",
        [OPTION_KNOTS] = "array of [duration, rate]",
        [OPTION_PATCH] = "object",
    };

    switch (option->type) {
    case OPTION_WORD: put_words(out, option); return;
    case OPTION_WORDS:
        str_puts(out, "array of ");
        put_words(out, option);
        return;
    case OPTION_REFERENCE: str_appendf(out, "name in `/%s`", option->of); return;
    default: str_puts(out, names[option->type]); return;
    }
}

static bool has_range(enum option_type type)
{
    return type <= OPTION_COUNTS || type == OPTION_SPAN || type == OPTION_KNOTS || type == OPTION_STRINGS ||
           type == OPTION_STRING;
}

static void put_range(struct str *out, const struct option *option)
{
    char range[128];

    if (!has_range(option->type)) return;
    option_range_words(option, range, sizeof(range));
    str_puts(out, range);
    if (option->type == OPTION_STRING) str_puts(out, " bytes");
    if (option->type == OPTION_STRINGS) str_puts(out, " elements");
}

static const char *default_words(const struct option_table *table, const struct option *option)
{
    if (!option->fallback) return always_required(table, option) ? "required" : "from `provider`";
    return *option->fallback ? option->fallback : "–";
}

static void put_row(struct str *out, const struct option_table *table, const struct option *option,
                    const char *path)
{
    const char *fallback = default_words(table, option);
    bool code = option->fallback && *option->fallback;

    str_appendf(out, "| `%s/%s` | ", path, option->key);
    put_type(out, option);
    str_puts(out, " | ");
    put_range(out, option);
    str_appendf(out, " | %s%s%s | %s |\n", code ? "`" : "", fallback, code ? "`" : "", option->help);
}

static bool is_section(enum option_type type)
{
    return type == OPTION_TABLE || type == OPTION_MAP || type == OPTION_LIST;
}

static void put_rows(struct str *out, const struct option_table *table, const char *path);

static void put_section(struct str *out, const struct option *option, const char *path)
{
    const char *each = option->type == OPTION_MAP ? "/NAME" : option->type == OPTION_LIST ? "/N" : "";
    char inner[POINTER_TEXT_MAX];

    snprintf(inner, sizeof(inner), "%s/%s%s", path, option->key, each);
    str_appendf(out, "| `%s/%s` | %s", path, option->key,
                option->type == OPTION_LIST ? "array of objects" : "object");
    if (option->type == OPTION_TABLE)
        str_puts(out, " | ");
    else
        str_appendf(out, " | %llu to %llu elements", (unsigned long long)option->min,
                    (unsigned long long)option->max);
    str_appendf(out, " | %s | %s |\n", option->fallback ? "" : "required", option->help);
    put_rows(out, option->table, inner);
}

static void put_rows(struct str *out, const struct option_table *table, const char *path)
{
    for (size_t i = 0; i < table->count; i++) {
        if (is_section(table->options[i].type))
            put_section(out, &table->options[i], path);
        else
            put_row(out, table, &table->options[i], path);
    }
}

static const char table_head[] =
    "| key | type | allowed | default | meaning |\n| --- | --- | --- | --- | --- |\n";

int plan_reference(struct str *out)
{
    str_puts(out, "### The document\n\n");
    str_puts(out, table_head);
    for (size_t i = 0; i < scenario_table.count; i++)
        if (!is_section(scenario_table.options[i].type))
            put_row(out, &scenario_table, &scenario_table.options[i], "");
    for (size_t i = 0; i < scenario_table.count; i++) {
        const struct option *option = &scenario_table.options[i];

        if (!is_section(option->type)) continue;
        str_appendf(out, "\n### %s\n\n", option->key);
        str_puts(out, table_head);
        put_section(out, option, "");
    }
    return str_error(out);
}
