#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim/base/str.h"
#include "sim/base/utf8.h"
#include "sim/plan/document.h"
#include "sim/plan/position.h"

enum { SEGMENT_BYTES = 256, SHOWN_BYTES = 120 };

DEFINE_CLEANUP(char *, free)

/* File ------------------------------------------------------------------------------------------------------
 */

static int read_all(int fd, char *text, size_t limit, size_t *ret_length)
{
    size_t length = 0;

    while (length <= limit) {
        ssize_t n = read(fd, text + length, limit + 1 - length);

        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -errno;
        if (n == 0) break;
        length += (size_t)n;
    }
    if (length > limit) return -EFBIG;
    text[length] = '\0';
    *ret_length = length;
    return 0;
}

int file_read(const char *path, size_t limit, char **ret_text, size_t *ret_length)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY), r;
    char *text, *shrunk;

    if (fd < 0) return -errno;
    text = malloc(limit + 2);
    r = text ? read_all(fd, text, limit, ret_length) : -ENOMEM;
    close(fd);
    if (r < 0) {
        free(text);
        return r;
    }
    shrunk = realloc(text, *ret_length + 1);
    if (!shrunk) {
        free(text);
        return -ENOMEM;
    }
    *ret_text = shrunk;
    return 0;
}

/* Errors ----------------------------------------------------------------------------------------------------
 */

/* Text of others on one line of ours: control characters and what is no UTF-8 become '?'. */
static void put_plain(struct str *s, const char *text, size_t max)
{
    size_t length = strlen(text), shown = 0;

    while (shown < length) {
        uint32_t c;
        size_t n = utf8_decode(text + shown, length - shown, &c);
        bool odd = n == 0 || c == UTF8_INVALID || c < 0x20 || c == 0x7f;

        if (shown + n > max) {
            str_puts(s, "…");
            return;
        }
        if (odd)
            str_putc(s, '?');
        else
            str_append(s, text + shown, n);
        shown += n ? n : 1;
    }
}

/* Line 0: of the file as a whole, which has no places. */
static void write_error(const struct document *doc, struct place place, const char *pointer, const char *what,
                        struct plan_error *ret_error)
{
    CLEANUP(str_deinit) struct str s = STR_INIT(PLAN_ERROR_BYTES * 4);

    put_plain(&s, doc->name, 512);
    if (place.line) {
        str_appendf(&s, ":%u:%u: ", place.line, place.column);
        put_plain(&s, *pointer ? pointer : "/", POINTER_TEXT_MAX);
    }
    str_puts(&s, ": ");
    put_plain(&s, what, PLAN_ERROR_BYTES);
    snprintf(ret_error->text, sizeof(ret_error->text), "%s", str_text(&s));
}

int document_set_error(const char *set, const char *pointer, const char *what, struct plan_error *ret_error)
{
    CLEANUP(str_deinit) struct str s = STR_INIT(PLAN_ERROR_BYTES * 4);

    str_puts(&s, "--set ");
    put_plain(&s, set, SHOWN_BYTES);
    str_puts(&s, ": ");
    put_plain(&s, *pointer ? pointer : "/", POINTER_TEXT_MAX);
    str_puts(&s, ": ");
    put_plain(&s, what, PLAN_ERROR_BYTES);
    snprintf(ret_error->text, sizeof(ret_error->text), "%s", str_text(&s));
    return PLAN_E_INVALID;
}

static bool below(const char *inner, const char *outer, size_t outer_length)
{
    return strncmp(inner, outer, outer_length) == 0 &&
           (inner[outer_length] == '\0' || inner[outer_length] == '/');
}

/* The last --set that gave the value at `pointer`, or made what is around it; NULL when none did. */
static const char *find_set(const struct document *doc, const char *pointer, bool in_text)
{
    for (size_t i = doc->options->set_count; i > 0; i--) {
        const char *set = doc->set_pointers ? doc->set_pointers[i - 1] : NULL;

        if (!set) continue;
        if (below(pointer, set, strlen(set))) return doc->options->sets[i - 1];
        if (!in_text && *pointer && below(set, pointer, strlen(pointer))) return doc->options->sets[i - 1];
    }
    return NULL;
}

static bool names_key(const char *what, const char *key)
{
    char quoted[SEGMENT_BYTES + 2];

    return snprintf(quoted, sizeof(quoted), "\"%s\"", key) < (int)sizeof(quoted) && strstr(what, quoted);
}

/* The last --set that removed a member of `pointer` which the error names; NULL when none did. */
static const char *find_removal(const struct document *doc, const char *pointer, const char *what)
{
    size_t length = strlen(pointer);

    for (size_t i = doc->options->set_count; i > 0; i--) {
        const char *set = doc->set_pointers ? doc->set_pointers[i - 1] : NULL;
        const char *key = set ? strrchr(set, '/') : NULL, *whole = doc->options->sets[i - 1];

        if (!key || (size_t)(key - set) != length || strcmp(strchr(whole, '='), "=null") != 0) continue;
        if (strncmp(set, pointer, length) == 0 && names_key(what, key + 1)) return whole;
    }
    return NULL;
}

static int error_at_source(const struct document *doc, const char *pointer, bool key, const char *what,
                           struct plan_error *ret_error)
{
    bool exact;
    struct place place = position_find(doc->text, doc->length, pointer, key, &exact);
    const char *set = find_set(doc, pointer, exact);

    if (!set) set = find_removal(doc, pointer, what);
    if (set) return document_set_error(set, pointer, what, ret_error);
    write_error(doc, place, pointer, what, ret_error);
    return PLAN_E_INVALID;
}

static json_t *child(json_t *value, const char *segment)
{
    char *end;
    unsigned long index;

    if (json_is_object(value)) return json_object_get(value, segment);
    if (!json_is_array(value) || *segment < '0' || *segment > '9') return NULL;
    index = strtoul(segment, &end, 10);
    return *end ? NULL : json_array_get(value, index);
}

static bool exists(json_t *value, const char *pointer)
{
    char segment[SEGMENT_BYTES];

    while (value && *pointer == '/') {
        pointer = pointer_segment(pointer + 1, segment, sizeof(segment));
        if (!pointer) return false;
        value = child(value, segment);
    }
    return value != NULL;
}

static json_t *deployment_patch(const struct document *doc, const char *deployment)
{
    json_t *deployments = json_object_get(doc->root, "deployments");

    return json_object_get(json_object_get(deployments, deployment), "set");
}

/* Where the value at `pointer` of the merged document was written: there, or in the deployment's patch, whose
 * pointer is put together in `room`. */
static const char *source_of(const struct document *doc, const char *pointer, struct pointer *room)
{
    json_t *patch = doc->deployment ? deployment_patch(doc, doc->deployment) : NULL;
    size_t length = strlen(pointer);

    if (!patch || !*pointer || !exists(patch, pointer)) return pointer;
    room->length = 0;
    pointer_push(room, "deployments", strlen("deployments"));
    pointer_push(room, doc->deployment, strlen(doc->deployment));
    pointer_push(room, "set", 3);
    if (room->length + length < sizeof(room->text)) memcpy(room->text + room->length, pointer, length + 1);
    return room->text;
}

int document_error(const struct document *doc, const char *pointer, bool key, const char *what,
                   struct plan_error *ret_error)
{
    struct pointer room;

    return error_at_source(doc, source_of(doc, pointer, &room), key, what, ret_error);
}

const char *document_set_of(const struct document *doc, const char *pointer)
{
    struct pointer room;

    return find_set(doc, source_of(doc, pointer, &room), true);
}

/* --set -----------------------------------------------------------------------------------------------------
 */

static int set_error(const char *set, const char *what, struct plan_error *ret_error)
{
    CLEANUP(free_p) char *pointer = strndup(set, strcspn(set, "="));

    if (!pointer) return -ENOMEM;
    return document_set_error(set, pointer, what, ret_error);
}

static json_t *set_value(const char *text)
{
    size_t flags = JSON_DECODE_ANY | JSON_REJECT_DUPLICATES;
    json_t *value = json_loads(text, flags, NULL);

    return value ? value : json_string(text);
}

/* The place in an array, "-" being behind the end; or -1. */
static long array_index(json_t *array, const char *segment, bool may_append)
{
    size_t size = json_array_size(array), index = 0;

    if (may_append && strcmp(segment, "-") == 0) return (long)size;
    if (!*segment || (segment[0] == '0' && segment[1])) return -1;
    for (; *segment >= '0' && *segment <= '9' && index < 100000000; segment++)
        index = index * 10 + (size_t)(*segment - '0');
    if (*segment || index > size || (index == size && !may_append)) return -1;
    return (long)index;
}

/* The container one step down; an object is made where there is nothing. Borrowed. */
static json_t *set_descend(json_t *at, const char *segment, const char **ret_wrong)
{
    json_t *next = NULL;
    long index;

    if (json_is_object(at)) {
        next = json_object_get(at, segment);
        if (next) return next;
        if (json_object_set_new(at, segment, json_object()) < 0) {
            *ret_wrong = "is no valid UTF-8";
            return NULL;
        }
        return json_object_get(at, segment);
    }
    *ret_wrong = "leads through something that is neither object nor array";
    if (!json_is_array(at)) return NULL;
    index = array_index(at, segment, false);
    *ret_wrong = "names no element of the array";
    return index < 0 ? NULL : json_array_get(at, (size_t)index);
}

/* null removes, as in a merge patch. */
static const char *set_in_object(json_t *at, const char *segment, json_t *value)
{
    if (json_is_null(value)) {
        json_object_del(at, segment);
        return NULL;
    }
    return json_object_set(at, segment, value) < 0 ? "is no valid UTF-8" : NULL;
}

static const char *set_in_array(json_t *at, const char *segment, json_t *value)
{
    long index = array_index(at, segment, !json_is_null(value));
    int r;

    if (index < 0) return "names no element of the array; \"-\" appends one";
    if (json_is_null(value))
        r = json_array_remove(at, (size_t)index);
    else if ((size_t)index == json_array_size(at))
        r = json_array_append(at, value);
    else
        r = json_array_set(at, (size_t)index, value);
    return r < 0 ? "cannot be set" : NULL;
}

static const char *set_apply(json_t *root, const char *pointer, json_t *value, json_t **ret_container)
{
    char segment[SEGMENT_BYTES];
    json_t *at = root;
    const char *wrong = NULL;
    unsigned depth = 0;

    for (;;) {
        pointer = pointer_segment(pointer + 1, segment, sizeof(segment));
        if (!pointer) return "has a segment that is too long, or a ~ without 0 or 1 behind it";
        if (!*pointer) break;
        if (++depth >= PLAN_DEPTH_MAX) return "is too deep";
        at = set_descend(at, segment, &wrong);
        if (!at) return wrong;
    }
    *ret_container = at;
    if (json_is_object(at)) return set_in_object(at, segment, value);
    if (json_is_array(at)) return set_in_array(at, segment, value);
    return "leads through something that is neither object nor array";
}

/* Where the value went: "-" becomes the index that it got. A copy for free(). */
static char *set_place(const char *pointer, json_t *container)
{
    size_t length = strlen(pointer);
    char *place;

    if (!json_is_array(container) || length < 2 || strcmp(pointer + length - 2, "/-") != 0)
        return strdup(pointer);
    if (asprintf(&place, "%.*s%zu", (int)length - 1, pointer, json_array_size(container) - 1) < 0)
        return NULL;
    return place;
}

static int document_set(struct document *doc, size_t i, struct plan_error *ret_error)
{
    const char *set = doc->options->sets[i], *equals = strchr(set, '='), *wrong;
    CLEANUP(json_decref_p) json_t *value = NULL;
    CLEANUP(free_p) char *pointer = NULL;
    json_t *container = NULL;
    char what[160];

    if (set[0] != '/' || !equals) return set_error(set, "is not of the form /json/pointer=value", ret_error);
    pointer = strndup(set, (size_t)(equals - set));
    if (!pointer) return -ENOMEM;
    value = set_value(equals + 1);
    if (!value) return set_error(set, "the value is no valid UTF-8", ret_error);
    wrong = set_apply(doc->root, pointer, value, &container);
    if (!wrong) {
        doc->set_pointers[i] = set_place(pointer, container);
        return doc->set_pointers[i] ? 0 : -ENOMEM;
    }
    snprintf(what, sizeof(what), "the pointer %s", wrong);
    return set_error(set, what, ret_error);
}

/* Parsing ---------------------------------------------------------------------------------------------------
 */

static unsigned depth_of(json_t *value, unsigned limit)
{
    unsigned deepest = 0, d;
    const char *key;
    json_t *inner;
    size_t i;

    if (limit == 0 || (!json_is_object(value) && !json_is_array(value))) return 1;
    json_object_foreach(value, key, inner)
    {
        d = depth_of(inner, limit - 1);
        deepest = d > deepest ? d : deepest;
    }
    json_array_foreach(value, i, inner)
    {
        d = depth_of(inner, limit - 1);
        deepest = d > deepest ? d : deepest;
    }
    return deepest + 1;
}

static int syntax_error(const struct document *doc, const json_error_t *e, struct plan_error *ret_error)
{
    size_t offset = e->position > 0 ? (size_t)e->position : 0;
    struct place place = {e->line > 0 ? (unsigned)e->line : 1, e->column > 0 ? (unsigned)e->column : 1};
    struct pointer pointer;
    char what[JSON_ERROR_TEXT_LENGTH + 32];

    if (json_error_code(e) == json_error_out_of_memory) return -ENOMEM;
    position_pointer(doc->text, doc->length, offset, &pointer);
    if (json_error_code(e) == json_error_null_character)
        snprintf(what, sizeof(what), "a NUL character (\\u0000) is not allowed");
    else
        snprintf(what, sizeof(what), "not valid JSON: %s", e->text);
    write_error(doc, place, pointer.text, what, ret_error);
    return PLAN_E_INVALID;
}

static int document_parse(struct document *doc, struct plan_error *ret_error)
{
    json_error_t e;

    doc->root = json_loadb(doc->text, doc->length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
    if (!doc->root) return syntax_error(doc, &e, ret_error);
    if (!json_is_object(doc->root))
        return document_error(doc, "", false, "a scenario is a JSON object", ret_error);
    return 0;
}

static int document_read(struct document *doc, struct plan_error *ret_error)
{
    const char *given = doc->options->text;
    char what[160];
    int r = 0;

    if (given) {
        doc->length = strnlen(given, PLAN_FILE_BYTES_MAX + 1);
        if (doc->length > PLAN_FILE_BYTES_MAX) r = -EFBIG;
        if (r == 0) doc->text = strndup(given, doc->length);
        if (r == 0 && !doc->text) return -ENOMEM;
    } else {
        r = file_read(doc->options->path, PLAN_FILE_BYTES_MAX, &doc->text, &doc->length);
    }
    if (r == 0 || r == -ENOMEM) return r;
    if (r == -EFBIG)
        snprintf(what, sizeof(what), "larger than %u MiB", PLAN_FILE_BYTES_MAX >> 20);
    else
        snprintf(what, sizeof(what), "cannot be read: %s", strerrordesc_np(-r));
    write_error(doc, (struct place){0, 0}, "", what, ret_error);
    return PLAN_E_INVALID;
}

static int document_load(struct document *doc, struct plan_error *ret_error)
{
    char what[80];
    int r = document_read(doc, ret_error);

    if (r == 0) r = document_parse(doc, ret_error);
    if (r == 0 && doc->options->set_count > PLAN_SETS_MAX) {
        snprintf(what, sizeof(what), "more than %u --set options", PLAN_SETS_MAX);
        write_error(doc, (struct place){1, 1}, "", what, ret_error);
        return PLAN_E_INVALID;
    }
    if (r == 0) doc->set_pointers = calloc(doc->options->set_count + 1, sizeof(char *));
    if (r == 0 && !doc->set_pointers) return -ENOMEM;
    for (size_t i = 0; r == 0 && i < doc->options->set_count; i++) r = document_set(doc, i, ret_error);
    if (r == 0 && depth_of(doc->root, PLAN_DEPTH_MAX) > PLAN_DEPTH_MAX) {
        snprintf(what, sizeof(what), "nested deeper than %u levels", PLAN_DEPTH_MAX);
        return document_error(doc, "", false, what, ret_error);
    }
    return r;
}

int document_init(struct document *doc, const struct plan_load_options *options, struct plan_error *ret_error)
{
    int r;

    *doc = (struct document){.options = options, .name = options->path ? options->path : "<text>"};
    r = document_load(doc, ret_error);
    if (r != 0) document_deinit(doc);
    return r;
}

void document_deinit(struct document *doc)
{
    for (size_t i = 0; doc->set_pointers && i < doc->options->set_count; i++) free(doc->set_pointers[i]);
    free(doc->set_pointers);
    json_decref(doc->root);
    free(doc->text);
    *doc = (struct document){0};
}

/* Deployments -----------------------------------------------------------------------------------------------
 */

const char *document_deployment(const struct document *doc, const char *wanted)
{
    json_t *deployments = json_object_get(doc->root, "deployments");
    const char *key;
    json_t *value;

    if (json_object_size(deployments) == 0)
        return !wanted || strcmp(wanted, "default") == 0 ? "default" : NULL;
    json_object_foreach(deployments, key, value) if (!wanted || strcmp(wanted, key) == 0) return key;
    return NULL;
}

static json_t *merge(json_t *target, json_t *patch);

static int merge_key(json_t *into, const char *key, json_t *patch)
{
    json_t *merged;

    if (json_is_null(patch)) {
        json_object_del(into, key);
        return 0;
    }
    merged = merge(json_object_get(into, key), patch);
    return merged ? json_object_set_new(into, key, merged) : -1;
}

/* RFC 7386. Only objects on the way to a change are copied; all else is shared. */
static json_t *merge(json_t *target, json_t *patch)
{
    CLEANUP(json_decref_p) json_t *into = NULL;
    const char *key;
    json_t *value;

    if (!json_is_object(patch)) return json_incref(patch);
    into = json_is_object(target) ? json_copy(target) : json_object();
    if (!into) return NULL;
    json_object_foreach(patch, key, value) if (merge_key(into, key, value) < 0) return NULL;
    return steal_ptr(into);
}

json_t *document_merge(struct document *doc, const char *deployment)
{
    json_t *patch = deployment_patch(doc, deployment);

    doc->deployment = deployment;
    return patch ? merge(doc->root, patch) : json_incref(doc->root);
}
