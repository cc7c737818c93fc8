/* Input that nobody should write: mutated documents, and documents that are meant to be expensive. */
#include <jansson.h>

#include "sim/base/prng.h"
#include "tests/plan/plan_test.h"

enum { TEXT_MAX = 1 << 16, ROUNDS = 1000 };

/* Either a plan that survives its own round trip, or one proper line. */
static void check_outcome(const struct plan_load_options *options)
{
    CLEANUP(plan_free_p) struct plan *plan = NULL, *again = NULL;
    struct plan_error error = {""};
    int r = plan_load(options, &plan, &error);

    if (r != 0) {
        ck_assert_int_eq(r, PLAN_E_INVALID);
        ck_assert_ptr_null(plan);
        ck_assert_msg(strncmp(error.text, "s.json:", 7) == 0, "%s", error.text);
        ck_assert_ptr_nonnull(strstr(error.text, ": /"));
        ck_assert_ptr_null(strchr(error.text, '\n'));
        return;
    }
    again = NULL;
    struct plan_load_options resolved = text_options(plan_resolved(plan));
    again = load_or_fail(&resolved);
    ck_assert_str_eq(plan_resolved(again), plan_resolved(plan));
}

/* Bytes -----------------------------------------------------------------------------------------------------
 */

static size_t mutate(struct prng *p, char *text, size_t length)
{
    static const char bytes[] = "{}[]\",:0123456789.-eE\\/ntux \n\x7f\xc3\xa9\xff\x01";
    size_t at = prng_below(p, length), n = 1 + prng_below(p, 12), from;

    if (n > length - at) n = length - at;
    switch (prng_below(p, 5)) {
    case 0: text[at] = bytes[prng_below(p, sizeof(bytes) - 1)]; break;
    case 1: /* deletes */ memmove(text + at, text + at + n, length - at - n + 1); return length - n;
    case 2: /* repeats */
        if (length + n + 1 >= TEXT_MAX) break;
        memmove(text + at + n, text + at, length - at + 1);
        return length + n;
    case 3: /* copies a piece from elsewhere */
        from = prng_below(p, length - n + 1);
        memmove(text + at, text + from, n);
        break;
    default:
        if (prng_chance_ppm(p, 50000)) {
            text[at] = '\0';
            return at;
        }
        text[at] ^= (char)(1 << prng_below(p, 8));
    }
    return length;
}

START_TEST(test_mutated_bytes)
{
    CLEANUP(cleanup_free_p) char *text = malloc(TEXT_MAX);
    struct plan_load_options options = text_options(text);
    struct prng p = prng_stream(1, 0, "mutated bytes", 0, 0);

    for (int i = 0; i < ROUNDS; i++) {
        size_t length = strlen(small_scenario);

        strcpy(text, small_scenario);
        for (uint64_t n = 1 + prng_below(&p, 3); n > 0 && length > 1; n--) length = mutate(&p, text, length);
        /* A NUL made within ends the text early; that is a mutation too. */
        check_outcome(&options);
    }
}
END_TEST

/* Values ----------------------------------------------------------------------------------------------------
 */

static json_t *odd_value(struct prng *p)
{
    static const char *const odd[] = {
        "0",
        "-1",
        "1",
        "4294967295",
        "4294967296",
        "9223372036854775807",
        "1.5",
        "1e308",
        "\"\"",
        "\"0s\"",
        "\"1s\"",
        "\"48h\"",
        "\"9223372036854775807ns\"",
        "\"100%\"",
        "\"$1\"",
        "\"0/s\"",
        "\"100000/s\"",
        "\"unlimited\"",
        "\"bash\"",
        "\"closed\"",
        "\"gateway/*\"",
        "\"gateway/0-16777214\"",
        "\"a\"",
        "\"m\"",
        "[]",
        "{}",
        "[[]]",
        "[\"1s\", \"2s\"]",
        "[[\"0s\", \"1/s\"]]",
        "true",
        "null",
        "{\"uniform\": [\"0s\", \"1s\"]}",
        "{\"exponential\": \"1h\"}",
        "{\"quantiles\": {\"0\": \"1s\"}}",
        "{\"profile\": \"modal\"}",
        "{\"scale\": \"10000%\", \"of\": \"1h\"}",
        "{\"uniform\": [0, 64000000]}",
        "{\"set\": {}}",
        "\"p99(mcp.call) < 1s\"",
    };

    return json_loads(odd[prng_below(p, sizeof(odd) / sizeof(odd[0]))], JSON_DECODE_ANY, NULL);
}

/* Replaces one value somewhere below by an odd one. */
static void replace_somewhere(struct prng *p, json_t *at)
{
    for (;;) {
        size_t n = json_is_object(at) ? json_object_size(at) : json_array_size(at),
               pick = n ? prng_below(p, n) : 0;
        void *iter = json_object_iter(at);
        json_t *next;

        if (n == 0) return;
        for (size_t i = 0; json_is_object(at) && i < pick; i++) iter = json_object_iter_next(at, iter);
        next = json_is_object(at) ? json_object_iter_value(iter) : json_array_get(at, pick);
        if ((json_is_object(next) || json_is_array(next)) && !prng_chance_ppm(p, 200000)) {
            at = next;
            continue;
        }
        if (json_is_object(at))
            json_object_iter_set_new(at, iter, odd_value(p));
        else
            json_array_set_new(at, pick, odd_value(p));
        return;
    }
}

START_TEST(test_mutated_values)
{
    struct plan_load_options first = text_options(small_scenario);
    CLEANUP(plan_free_p) struct plan *plan = load_or_fail(&first);
    struct prng p = prng_stream(2, 0, "mutated values", 0, 0);

    for (int i = 0; i < ROUNDS; i++) {
        json_t *root = json_loads(i % 2 ? plan_resolved(plan) : small_scenario, 0, NULL);
        CLEANUP(cleanup_free_p) char *text = NULL;
        struct plan_load_options options;

        for (uint64_t n = 1 + prng_below(&p, 2); n > 0; n--) replace_somewhere(&p, root);
        text = json_dumps(root, JSON_INDENT(1));
        options = text_options(text);
        check_outcome(&options);
        json_decref(root);
    }
}
END_TEST

/* Every string may be a --set. */
START_TEST(test_mutated_sets)
{
    static const char *const seeds[] = {"/load/main/rate=3/s", "/faults/-={\"kind\":\"kill\"}",
                                        "/a/b/c=[1,2]", "/scripts/a/turns/0/steps/0=null"};
    struct plan_load_options options = text_options(small_scenario);
    struct prng p = prng_stream(3, 0, "mutated sets", 0, 0);
    CLEANUP(cleanup_free_p) char *text = malloc(TEXT_MAX);
    const char *sets[1] = {text};

    options.sets = sets;
    options.set_count = 1;
    for (int i = 0; i < ROUNDS; i++) {
        struct plan_error error = {""};
        struct plan *plan = NULL;
        size_t length;

        strcpy(text, seeds[i % 4]);
        length = strlen(text);
        for (uint64_t n = 1 + prng_below(&p, 3); n > 0 && length > 1; n--) length = mutate(&p, text, length);
        if (plan_load(&options, &plan, &error) == 0) plan_free(plan);
        ck_assert_ptr_null(strchr(error.text, '\n'));
    }
}
END_TEST

/* Memory ----------------------------------------------------------------------------------------------------
 */

/* What the JSON library holds, now and at most. The plan itself is in an arena with a limit. */
static size_t held, held_max;

static void *counted_malloc(size_t size)
{
    size_t *p = malloc(size + 16);

    if (!p) return NULL;
    *p = size;
    held += size;
    held_max = held > held_max ? held : held_max;
    return p + 2;
}

static void counted_free(void *p)
{
    size_t *head = p;

    if (!p) return;
    head -= 2;
    held -= *head;
    free(head);
}

/* As often as fits into 4 MiB: head, then `unit` with a comma between, then tail. */
static char *filled(const char *head, const char *unit, const char *tail, size_t count_max)
{
    size_t n = strlen(unit), room = PLAN_FILE_BYTES_MAX - strlen(head) - strlen(tail);
    char *text = malloc(PLAN_FILE_BYTES_MAX + 1), *out = stpcpy(text, head);

    for (size_t i = 0; i < count_max && room > n + 1; i++, room -= n + 1) {
        if (i > 0) *out++ = ',';
        out = stpcpy(out, unit);
    }
    strcpy(out, tail);
    return text;
}

#define HEAD "{\"schema\": \"windtunnel.scenario/1\", \"name\": \"t\", \"duration\": \"10s\", "
#define LOAD                                                                                                 \
    "\"load\": {\"main\": {\"script\": \"a\", \"rate\": \"2/s\"}}, \"runners\": {\"r\": {\"cold_start\": "   \
    "\"1s\"}}, "
#define BASH "{\"tool\":\"bash\",\"execution\":\"1s\",\"output\":1}"
#define TURN "{\"steps\":[{\"model\":\"1s\",\"calls\":[" BASH "," BASH "," BASH "," BASH "]}]}"

static const struct {
    const char *head, *unit, *tail;
    size_t count_max, megabytes; /* of JSON held at most */
    const char *error;           /* part of it; NULL: loads */
} expensive[] = {
    {HEAD "\"x\": [", "[]", "]}", SIZE_MAX, 192, "unknown key \"x\""},
    {HEAD "\"x\": [", "{}", "]}", SIZE_MAX, 384, "unknown key \"x\""},
    {HEAD "\"faults\": [", "0", "]}", SIZE_MAX, 192, "\"load\" is missing"},
    {HEAD LOAD "\"scripts\": {\"a\": {\"turns\": []}}, \"faults\": [", "{}", "]}", SIZE_MAX, 384,
     "0 elements"},
    {HEAD LOAD "\"scripts\": {\"a\": {\"turns\": [", TURN, "]}}}", 1000, 32, NULL},
    {HEAD LOAD "\"scripts\": {\"a\": {\"turns\": [{\"repeat\": 10000, \"steps\": [{\"repeat\": 10000, "
               "\"model\": \"1s\", \"calls\": [",
     BASH, "]}]}]}}}", 256, 32, NULL},
    {HEAD LOAD "\"scripts\": {\"a\": {\"turns\": [{\"steps\": [{\"model\": \"1s\", \"calls\": [" BASH
               "]}, {\"model\": \"1s\", \"calls\": [",
     BASH, "]}]}]}}}", SIZE_MAX, 192, "allowed: 1 to 256"},
    {HEAD LOAD "\"scripts\": {\"a\": {\"turns\": [{\"steps\": [",
     "{\"repeat\":10000,\"model\":\"1s\",\"calls\":[" BASH "]}", "]}]}}}", 1000, 32,
     "10000000 steps with all copies"},
    {HEAD LOAD "\"scripts\": {\"a\": {\"turns\": [",
     "{\"repeat\":10,\"steps\":[{\"repeat\":9999,\"model\":\"1s\",\"calls\":[" BASH "]}]}", "]}}}", 1000, 32,
     "the plan grows beyond 64 MiB here"},
    {HEAD LOAD "\"scripts\": {\"a\": {\"turns\": [{}]}}, \"faults\": [",
     "{\"kind\": \"kill\", \"at\": \"1s\", \"target\": \"connector/0-999999\"}",
     "], \"tunnels\": {\"count\": 1000000}}", 10000, 64, "more than 100000 faults with all instances"},
};

START_TEST(test_expensive)
{
    CLEANUP(cleanup_free_p)
    char *text = filled(expensive[_i].head, expensive[_i].unit, expensive[_i].tail, expensive[_i].count_max);
    struct plan_load_options options = text_options(text);
    struct plan_error error = {""};
    struct plan *plan = NULL;
    int r;

    json_set_alloc_funcs(counted_malloc, counted_free);
    held = held_max = 0;
    r = plan_load(&options, &plan, &error);
    ck_assert_uint_eq(held, 0);
    if (expensive[_i].error)
        ck_assert_msg(r == PLAN_E_INVALID && strstr(error.text, expensive[_i].error), "%d %s", r, error.text);
    else
        ck_assert_msg(r == 0, "%s", error.text);
    ck_assert_msg(held_max < expensive[_i].megabytes << 20, "%zu bytes held", held_max);
    plan_free(plan);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hostile scenarios");
    TCase *tc = tcase_create("all");

    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, test_mutated_bytes);
    tcase_add_test(tc, test_mutated_values);
    tcase_add_test(tc, test_mutated_sets);
    tcase_add_loop_test(tc, test_expensive, 0, sizeof(expensive) / sizeof(expensive[0]));
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
