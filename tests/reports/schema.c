#include "tests/reports/schema.h"

#include "sim/base/cleanup.h"

#include <regex.h>
#include <string.h>

struct check {
    json_t *root;
    struct str *wrong;
    struct str place;
};

static bool valid(struct check *c, json_t *schema, json_t *value);

static bool fail(struct check *c, const char *what)
{
    str_appendf(c->wrong, "%s: %s", str_text(&c->place), what);
    return false;
}

static bool valid_at(struct check *c, const char *key, size_t index, json_t *schema, json_t *value)
{
    size_t before = str_len(&c->place);
    bool ok;

    if (key)
        str_appendf(&c->place, "/%s", key);
    else
        str_appendf(&c->place, "/%zu", index);
    ok = valid(c, schema, value);
    if (ok) {
        c->place.len = before;
        c->place.data[before] = '\0';
    }
    return ok;
}

static bool is_type(const char *type, const json_t *value)
{
    static const char *const names[] = {"object", "array",   "string",  "integer",
                                        "number", "boolean", "boolean", "null"};
    static const json_type types[] = {JSON_OBJECT, JSON_ARRAY, JSON_STRING, JSON_INTEGER,
                                      JSON_REAL,   JSON_TRUE,  JSON_FALSE,  JSON_NULL};

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (strcmp(names[i], type) == 0 && json_typeof(value) == types[i]) return true;
    return false;
}

static bool check_type(struct check *c, json_t *wanted, json_t *value)
{
    json_t *one;
    size_t i;

    if (json_is_string(wanted))
        return is_type(json_string_value(wanted), value) || fail(c, "has the wrong type");
    json_array_foreach(wanted, i, one) if (is_type(json_string_value(one), value)) return true;
    return fail(c, "has none of the types");
}

static bool check_enum(struct check *c, json_t *allowed, json_t *value)
{
    json_t *one;
    size_t i;

    json_array_foreach(allowed, i, one) if (json_equal(one, value)) return true;
    return fail(c, "is none of the values");
}

static bool check_const(struct check *c, json_t *wanted, json_t *value)
{
    return json_equal(wanted, value) || fail(c, "is not the value");
}

static bool check_required(struct check *c, json_t *keys, json_t *value)
{
    json_t *key;
    size_t i;

    json_array_foreach(
        keys, i,
        key) if (json_is_object(value) &&
                 !json_object_get(value, json_string_value(key))) return fail(c, json_string_value(key));
    return true;
}

/* properties and additionalProperties together. */
static bool check_members(struct check *c, json_t *schema, json_t *value)
{
    json_t *known = json_object_get(schema, "properties"),
           *others = json_object_get(schema, "additionalProperties");
    json_t *member;
    const char *key;

    json_object_foreach(value, key, member)
    {
        json_t *of_key = json_object_get(known, key);

        if (!of_key) of_key = others;
        if (json_is_false(of_key)) return fail(c, key);
        if (of_key && !valid_at(c, key, 0, of_key, member)) return false;
    }
    return true;
}

/* items and prefixItems together. */
static bool check_items(struct check *c, json_t *schema, json_t *value)
{
    json_t *prefix = json_object_get(schema, "prefixItems"), *items = json_object_get(schema, "items");
    json_t *element;
    size_t i;

    json_array_foreach(value, i, element)
    {
        json_t *of_index = i < json_array_size(prefix) ? json_array_get(prefix, i) : items;

        if (of_index && !valid_at(c, NULL, i, of_index, element)) return false;
    }
    return true;
}

static bool check_size(struct check *c, json_t *schema, json_t *value)
{
    json_t *min = json_object_get(schema, "minItems"), *max = json_object_get(schema, "maxItems");

    if (min && json_array_size(value) < (size_t)json_integer_value(min))
        return fail(c, "has too few elements");
    if (max && json_array_size(value) > (size_t)json_integer_value(max))
        return fail(c, "has too many elements");
    return true;
}

static bool check_minimum(struct check *c, json_t *minimum, json_t *value)
{
    return !json_is_integer(value) || json_integer_value(value) >= json_integer_value(minimum) ||
           fail(c, "is too small");
}

static bool check_pattern(struct check *c, json_t *pattern, json_t *value)
{
    regex_t regex;
    bool matches;

    if (!json_is_string(value)) return true;
    if (regcomp(&regex, json_string_value(pattern), REG_EXTENDED | REG_NOSUB))
        return fail(c, "has a bad pattern");
    matches = regexec(&regex, json_string_value(value), 0, NULL, 0) == 0;
    regfree(&regex);
    return matches || fail(c, "does not match the pattern");
}

static json_t *resolve(struct check *c, const char *reference)
{
    if (strncmp(reference, "#/$defs/", 8) != 0) return NULL;
    return json_object_get(json_object_get(c->root, "$defs"), reference + 8);
}

static bool keyword(struct check *c, const char *key, json_t *schema, json_t *argument, json_t *value)
{
    static const char *const silent[] = {"$schema",     "$id",   "$defs",      "title",
                                         "description", "items", "properties", "minItems"};

    for (size_t i = 0; i < sizeof(silent) / sizeof(silent[0]); i++)
        if (strcmp(silent[i], key) == 0) return true;
    if (strcmp(key, "$ref") == 0) {
        json_t *target = resolve(c, json_string_value(argument));

        return target ? valid(c, target, value) : fail(c, "has a reference to nothing");
    }
    if (strcmp(key, "type") == 0) return check_type(c, argument, value);
    if (strcmp(key, "enum") == 0) return check_enum(c, argument, value);
    if (strcmp(key, "const") == 0) return check_const(c, argument, value);
    if (strcmp(key, "required") == 0) return check_required(c, argument, value);
    if (strcmp(key, "minimum") == 0) return check_minimum(c, argument, value);
    if (strcmp(key, "pattern") == 0) return check_pattern(c, argument, value);
    if (strcmp(key, "additionalProperties") == 0 || strcmp(key, "prefixItems") == 0 ||
        strcmp(key, "maxItems") == 0)
        return true;
    return fail(c, key);
}

static bool valid(struct check *c, json_t *schema, json_t *value)
{
    json_t *argument;
    const char *key;

    json_object_foreach(schema, key, argument) if (!keyword(c, key, schema, argument, value)) return false;
    if (json_is_object(value)) return check_members(c, schema, value);
    return !json_is_array(value) || (check_size(c, schema, value) && check_items(c, schema, value));
}

bool schema_valid(json_t *root, json_t *schema, json_t *value, struct str *ret_wrong)
{
    struct check c = {.root = root, .wrong = ret_wrong, .place = STR_INIT(4096)};
    bool ok;

    str_puts(&c.place, "");
    ok = valid(&c, schema, value);
    str_deinit(&c.place);
    return ok;
}
