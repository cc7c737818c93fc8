/* The parts of the control plane's wire that need no socket. */
#include "mock-orchestrator/api_body.h"
#include "mock-orchestrator/api_event.h"
#include "mock-orchestrator/api_time.h"
#include "mock-orchestrator/api_wire.h"
#include "mock-orchestrator/content_store.h"
#include "mock-orchestrator/id_map.h"
#include "mock-orchestrator/json_text.h"
#include "mock-orchestrator/token_table.h"
#include "sim/base/prng.h"
#include "sim/base/str.h"
#include "sim/live/content.h"
#include "sim/live/disk.h"
#include "tests/live/api_stage.h"

#include <errno.h>
#include <event2/buffer.h>
#include <stdlib.h>
#include <string.h>

/* Times
 * ------------------------------------------------------------------------------------------------------ */

START_TEST(times)
{
    static const struct {
        const char *text;
        uint64_t s, ns;
    } good[] = {
        {"1970-01-01T00:00:00Z", 0, 0},
        {"2000-02-29T23:59:59.5Z", 951868799, 500000000},
        {"2026-11-20T23:41:50.123456789Z", 1795218110, 123456789},
        {"2026-11-20T23:41:50.1234567899Z", 1795218110, 123456789},
        {"2026-11-21T01:11:50.001+01:30", 1795218110, 1000000},
        {"2026-11-20t22:41:50-01:00", 1795218110, 0},
        {"2100-03-01T00:00:00z", 4107542400, 0},
    };
    static const char *const bad[] = {"",
                                      "now",
                                      "2026-11-20",
                                      "2026-11-20T23:41Z",
                                      "2026-11-20T23:41:50",
                                      "2026-13-20T23:41:50Z",
                                      "2026-00-20T23:41:50Z",
                                      "2026-11-20T24:41:50Z",
                                      "2026-11-20T23:41:50.Z",
                                      "2026-11-20T23:41:50Zz",
                                      "2026-11-20T23:41:50+1:00",
                                      "1969-12-31T23:59:59Z",
                                      "20261120T234150Z",
                                      "-026-11-20T23:41:50Z"};
    char text[API_TIME_SIZE];
    uint64_t got;

    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        ck_assert_msg(api_time_parse(good[i].text, &got), "%s", good[i].text);
        ck_assert_msg(got == good[i].s * NSEC_PER_S + good[i].ns, "%s", good[i].text);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(!api_time_parse(bad[i], &got), "%s", bad[i]);
    ck_assert(api_time_parse("9999-12-31T23:59:59Z", &got) && got == UINT64_MAX);
    api_time_format(1795218110123456789, text);
    ck_assert_str_eq(text, "2026-11-20T23:41:50.123456789Z");
}
END_TEST

/* Every number comes back from its text. */
START_TEST(times_round_trip)
{
    struct prng p = prng_stream(1, 0, "times", 0, 0);

    for (int i = 0; i < 20000; i++) {
        uint64_t wall = prng_u64(&p) >> (i % 3 ? 1 : 20), got;
        char text[API_TIME_SIZE];

        ck_assert_uint_lt(api_time_format(wall, text), API_TIME_SIZE);
        if (!api_time_parse(text, &got) || got != wall) ck_abort_msg("%s", text);
    }
}
END_TEST

/* JSON
 * ------------------------------------------------------------------------------------------------------- */

START_TEST(json_from_anybody)
{
    static const struct {
        const char *in, *out; /* NULL: refused */
    } cases[] = {
        {"{\"a\":1}", "{\"a\":1}"},
        {" null ", "null"},
        {"\"\\ud83c\\udf2a\"", "\"\xf0\x9f\x8c\xaa\""},
        {"\"\\ud800\"", "\"\xef\xbf\xbd\""},
        {"\"\\udc00\\ud800\"", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
        {"\"\\ud800\\ud83c\\udf2a\"", "\"\xef\xbf\xbd\xf0\x9f\x8c\xaa\""},
        {"\"\\uD800x\"", "\"\xef\xbf\xbdx\""},
        {"\"\\\\ud800\"", "\"\\\\ud800\""},
        {"\"\\\\\\ud800\"", "\"\\\\\xef\xbf\xbd\""},
        {"\"a\\u0000b\"", "\"a\\u0000b\""},
        {"\"\xff\"", "\"\xef\xbf\xbd\""},
        {"\"\xed\xa0\x80\"", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
        {"\"\\u12\"", NULL},
        {"\"\\", NULL},
        {"", NULL},
        {"{\"a\":}", NULL},
        {"1 2", NULL},
    };
    char why[JSON_TEXT_WHY_MAX];

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *json = NULL;
        char *copy = strdup(cases[i].in); /* exactly as long as it says, for the sanitizer */
        int r = json_text_parse(copy, strlen(copy), &json, why);
        char *out = r == 0 ? json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;

        free(copy);
        if (cases[i].out) {
            ck_assert_msg(out && strcmp(out, cases[i].out) == 0, "case %zu: %s", i, out ? out : why);
        } else {
            ck_assert_int_eq(r, -EINVAL);
            ck_assert_int_eq(strncmp(why, "not JSON: line 1", 16), 0);
        }
        free(out);
        json_decref(json);
    }
}
END_TEST

/* Random bytes never do harm, and text that is repaired parses as JSON again. */
START_TEST(json_from_noise)
{
    static const char alphabet[] = "\"\\ud8dcf0{}[]:,1 ab\xff\xed\xa0\x80";
    struct prng p = prng_stream(2, 0, "noise", 0, 0);
    char why[JSON_TEXT_WHY_MAX];

    for (int i = 0; i < 10000; i++) {
        size_t n = prng_below(&p, 24);
        char *text = malloc(n + 1);
        json_t *json = NULL;

        for (size_t k = 0; k < n; k++) text[k] = alphabet[prng_below(&p, sizeof alphabet - 1)];
        if (json_text_parse(text, n, &json, why) == 0) {
            char *out = json_dumps(json, JSON_ENCODE_ANY);
            json_t *again = out ? json_loads(out, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL) : NULL;

            ck_assert_ptr_nonnull(again);
            json_decref(again);
            free(out);
        }
        json_decref(json);
        free(text);
    }
}
END_TEST

/* Tables
 * ----------------------------------------------------------------------------------------------------- */

/* Against a plain array. */
START_TEST(maps)
{
    enum { KEYS = 500 };
    struct id_map m = {0};
    static char values[KEYS];
    bool there[KEYS] = {false};
    struct prng p = prng_stream(3, 0, "map", 0, 0);
    size_t count = 0;

    for (int i = 0; i < 20000; i++) {
        uint64_t k = prng_below(&p, KEYS), key = k << 40 | k;

        if (prng_below(&p, 5) < 2) {
            ck_assert_ptr_eq(id_map_take(&m, key), there[k] ? &values[k] : NULL);
            count -= there[k];
            there[k] = false;
        } else {
            ck_assert_int_eq(id_map_put(&m, key, &values[k]), 0);
            count += !there[k];
            there[k] = true;
        }
        ck_assert_uint_eq(m.count, count);
        k = prng_below(&p, KEYS);
        if (id_map_get(&m, k << 40 | k) != (there[k] ? &values[k] : NULL)) ck_abort_msg("key %d", (int)k);
    }
    id_map_deinit(&m);
    ck_assert_ptr_null(id_map_get(&m, 1));
    ck_assert_ptr_null(id_map_take(&m, 1));
}
END_TEST

START_TEST(contents)
{
    struct content_store *s;
    size_t len;

    ck_assert_int_eq(content_store_new(1000, &s), 0);
    ck_assert_int_eq(content_store_put(s, 1, 7, "abc", 3), 0);
    ck_assert_int_eq(content_store_put(s, 1, 7, "xyz", 3), -EEXIST);
    ck_assert_int_eq(content_store_put(s, 2, 7, "", 0), 0);
    ck_assert_int_eq(content_store_put(s, 1, 8, "defg", 4), 0);
    ck_assert_int_eq(memcmp(content_store_get(s, 1, 7, &len), "abc", 3), 0);
    ck_assert_uint_eq(len, 3);
    ck_assert_ptr_nonnull(content_store_get(s, 2, 7, &len));
    ck_assert_uint_eq(len, 0);
    ck_assert_ptr_null(content_store_get(s, 3, 7, &len));
    content_store_drop(s, 1, 7);
    content_store_drop(s, 1, 7);
    ck_assert_ptr_null(content_store_get(s, 1, 7, &len));
    ck_assert_ptr_nonnull(content_store_get(s, 1, 8, &len));
    ck_assert_int_eq(content_store_put(s, 1, 9, NULL, 100000), -ENOSPC);
    content_store_drop_session(s, 1);
    content_store_drop_session(s, 1);
    ck_assert_ptr_null(content_store_get(s, 1, 8, &len));
    content_store_drop_session(s, 2);
    ck_assert_uint_eq(content_store_bytes(s), 0);
    /* Full, emptied, full again: nothing is lost on the way. */
    for (int round = 0; round < 3; round++) {
        int n = 0;

        while (content_store_put(s, 5, (uint64_t)n, "0123456789", 10) == 0) n++;
        ck_assert_int_gt(n, 5);
        for (int i = 0; i < n; i += 2) content_store_drop(s, 5, (uint64_t)i);
        content_store_drop_session(s, 5);
        ck_assert_uint_eq(content_store_bytes(s), 0);
    }
    ck_assert_int_eq(content_store_put(s, 6, 1, "left over", 9), 0);
    content_store_free(s);
    content_store_free(NULL);
}
END_TEST

START_TEST(tokens)
{
    struct token_table t;

    token_table_init(&t, 3);
    for (uint64_t i = 1; i <= 3; i++) {
        char text[16];

        snprintf(text, sizeof text, "token %d", (int)i);
        ck_assert_int_eq(token_table_put(&t, i, 100 + i, text), 0);
    }
    ck_assert_str_eq(token_table_of_session(&t, 101), "token 1"); /* used: now 2 is the oldest */
    ck_assert_int_eq(token_table_put(&t, 4, 104, "token 4"), 0);
    ck_assert_ptr_null(token_table_of_work(&t, 2));
    ck_assert_ptr_null(token_table_of_session(&t, 102));
    ck_assert_str_eq(token_table_of_work(&t, 1), "token 1");
    /* The session's next item. */
    ck_assert_int_eq(token_table_put(&t, 5, 101, "token 5"), 0);
    ck_assert_str_eq(token_table_of_session(&t, 101), "token 5");
    token_table_drop(&t, 1);
    ck_assert_str_eq(token_table_of_session(&t, 101), "token 5");
    token_table_drop(&t, 9);
    token_table_deinit(&t);
}
END_TEST

/* Words
 * ------------------------------------------------------------------------------------------------------ */

START_TEST(facts)
{
    static const char *const bad[] = {"",
                                      "chars=",
                                      "chars=x",
                                      "chars=1;",
                                      "chars=1; spilled=",
                                      "chars=1; corrupt; more",
                                      "chars=1; refused; corrupt",
                                      "chars=1; file=1",
                                      "chars=1; file=1; offset=",
                                      "chars=1; file=1; offset=2; spilled=3",
                                      "7"};
    struct api_facts f, got;
    char text[API_FACTS_SIZE];

    for (int i = 0; i < 32; i++) {
        f = (struct api_facts){.file = i & 16 ? UINT64_MAX : 0,
                               .offset = i & 16 ? UINT64_MAX : 0,
                               .chars = i & 1 ? UINT64_MAX : 0,
                               .spilled = i & 2 ? UINT64_MAX : 0,
                               .corrupt = (i & 4) != 0,
                               .refused = (i & 8) != 0};
        api_facts_format(&f, text);
        ck_assert_msg(api_facts_parse(text, &got), "%s", text);
        ck_assert(got.file == f.file && got.offset == f.offset);
        ck_assert(got.chars == f.chars && got.spilled == f.spilled && got.corrupt == f.corrupt &&
                  got.refused == f.refused);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(!api_facts_parse(bad[i], &got), "%s", bad[i]);
    ck_assert(!api_facts_parse(NULL, &got));
}
END_TEST

START_TEST(ids_and_numbers)
{
    struct intern t;
    char buffer[ID_SIZE];
    uint64_t a, b, c;

    intern_init(&t, 64, 2);
    ck_assert(api_id_number(&t, API_EVENT, "sevt_00000002000000ff", &a));
    ck_assert_uint_eq(a, 0x2000000ff);
    ck_assert_uint_eq(API_EVENT_SEQ(a), 2);
    ck_assert_str_eq(api_id_text(&t, API_EVENT, a, buffer), "sevt_00000002000000ff");
    ck_assert(api_id_number(&t, API_EVENT, "sevt_01HXYZ", &b));
    ck_assert(api_id_number(&t, API_EVENT, "sevt_ff00000000000000",
                            &c)); /* like ours, but with the bit of foreign ones */
    ck_assert((b & API_FOREIGN) && (c & API_FOREIGN) && b != c);
    ck_assert_uint_lt(API_EVENT_SEQ(b), API_EVENT_SEQ(c));
    ck_assert_str_eq(api_id_text(&t, API_EVENT, b, buffer), "sevt_01HXYZ");
    ck_assert_str_eq(api_id_text(&t, API_EVENT, c, buffer), "sevt_ff00000000000000");
    ck_assert(!api_id_number(&t, API_EVENT, "one too many", &c));
    intern_deinit(&t);
}
END_TEST

START_TEST(words)
{
    CLEANUP(str_deinit) struct str s = STR_INIT(100);

    for (int i = SESSION_IDLE; i <= SESSION_TERMINATED; i++)
        ck_assert_int_eq(api_session_status_of(api_session_status((enum session_status)i)), i);
    for (int i = WORK_QUEUED; i <= WORK_STOPPED; i++)
        ck_assert_int_eq(api_work_state_of(api_work_state((enum work_state)i)), i);
    for (int i = STOP_END_TURN; i <= STOP_BUDGET; i++)
        ck_assert_int_eq(api_stop_reason_of(api_stop_reason((enum stop_reason)i)), i);
    for (int i = EV_USER_MESSAGE; i <= EV_AGENT_MCP_TOOL_RESULT; i++)
        ck_assert_int_eq(api_event_kind_of(event_kind_name((enum event_kind)i)), i);
    ck_assert_int_eq(api_event_kind_of("session.updated"), EV_NONE);
    ck_assert_int_eq(api_event_kind_of(NULL), EV_NONE);
    api_add_escaped(&s, "a-Z_0.~ /%?\xc3");
    ck_assert_str_eq(str_text(&s), "a-Z_0.~%20%2F%25%3F%C3");
}
END_TEST

/* Events
 * ----------------------------------------------------------------------------------------------------- */

static struct api_stage stage;

static void setup(void)
{
    api_stage_init(&stage,
                   "{\"schema\":\"windtunnel.scenario/"
                   "1\",\"name\":\"e\",\"duration\":\"1s\",\"load\":{\"a\":{\"script\":\"s\","
                   "\"rate\":\"1/"
                   "s\"}},\"scripts\":{\"s\":{\"turns\":[{}]}},\"mcp\":{\"m\":{\"service_time\":\"1ms\"}}}");
}

static void teardown(void)
{
    api_stage_stop(&stage);
    api_stage_deinit(&stage);
}

/* Writes and reads again. */
static struct msg there_and_back(const struct msg *m)
{
    struct api_event_writer w = {.driver = stage.driver, .session = 5};
    struct intern ids;
    struct api_event_reader r = {.driver = stage.driver, .ids = &ids};
    struct evbuffer *out = evbuffer_new();
    char why[JSON_TEXT_WHY_MAX];
    json_t *json;
    struct msg got;
    int e;

    intern_init(&ids, 1000, 10);
    api_event_write(&w, m, out);
    ck_assert_int_eq(json_text_parse_buffer(out, &json, why), 0);
    e = api_event_read(&r, json, &got);
    ck_assert_int_eq(e, 0);
    ck_assert_uint_eq(intern_count(&ids), 0);
    json_decref(json);
    evbuffer_free(out);
    intern_deinit(&ids);
    return got;
}

START_TEST(events_there_and_back)
{
    static const struct {
        enum event_kind kind;
        uint32_t tool, flags;
        uint64_t c, d;
        bool c_lost, d_lost; /* the wire does not say */
    } cases[] = {
        {EV_USER_MESSAGE, 0, 0, 0, 200, false, false},
        {EV_USER_MESSAGE, 0, 0, 0, 0, false, false},
        {EV_USER_INTERRUPT, 0, 0, 0, 0, false, false},
        {EV_USER_TOOL_RESULT, 0, 0, 0x300000005, 100000, false, false},
        {EV_USER_TOOL_RESULT, 0, EVENT_IS_ERROR, 0x300000005, 60, false, false},
        {EV_USER_TOOL_CONFIRMATION, 0, 0, 0x300000005, 0, false, false},
        {EV_USER_TOOL_CONFIRMATION, 0, EVENT_IS_ERROR, 0x300000005, 0, false, false},
        {EV_USER_CUSTOM_TOOL_RESULT, 0, 0, 0x300000005, 7, false, false},
        {EV_STATUS_RUNNING, 0, 0, 0, 0, false, false},
        {EV_STATUS_IDLE, 0, 0, STOP_END_TURN, 0, false, false},
        {EV_STATUS_IDLE, 0, 0, STOP_REQUIRES_ACTION, 0, false, false},
        {EV_STATUS_IDLE, 0, 0, STOP_RETRIES_EXHAUSTED, 0, false, false},
        {EV_STATUS_TERMINATED, 0, 0, 0, 0, false, false},
        {EV_SESSION_DELETED, 0, 0, 0, 0, false, false},
        {EV_SESSION_ERROR, 0, 0, 0, 0, false, false},
        {EV_SESSION_ERROR, 0, 0, 1, 0, false, false},
        {EV_SESSION_ERROR, 0, 0, 2, 0, false, false},
        {EV_MODEL_START, 0, 0, 0, 0, false, false},
        {EV_MODEL_END, 0, 0, 0x300000005, 0, false, false},
        {EV_AGENT_MESSAGE, 0, 0, 0x300000005, 500, true, false},
        {EV_AGENT_TOOL_USE, TOOL_BASH, 0, 1234567890, 4000, false, false},
        {EV_AGENT_TOOL_USE, TOOL_BASH, 0, 0, 0, false, false},
        {EV_AGENT_TOOL_USE, TOOL_READ, 0, 0x300000005, TOOL_PIECE(150000, 50000), false, false},
        {EV_AGENT_TOOL_USE, TOOL_WRITE, 0, 0x300000005, 400000, false, false},
        {EV_AGENT_MCP_TOOL_USE, TOOL_MCP, 0, HOST(3, 0), 0, true, false},
        {EV_AGENT_MCP_TOOL_RESULT, TOOL_MCP, 0, 0x300000005, 2000, false, false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct msg m = {.kind = M_EVENT,
                        .a = UINT64_C(0x900000005),
                        .b = EVENT_B(cases[i].kind, cases[i].tool, cases[i].flags, 9),
                        .c = cases[i].c,
                        .d = cases[i].d,
                        .e = 123456789};
        bool mcp = cases[i].tool == TOOL_MCP, text = true;
        struct msg got = there_and_back(&m);

        ck_assert_uint_eq(got.type, MSG_DATA);
        ck_assert_uint_eq(got.a, m.a);
        ck_assert_uint_eq(got.b, mcp ? EVENT_B(cases[i].kind, 0, 0, 9) : m.b);
        ck_assert_uint_eq(got.e, m.e);
        if (!cases[i].c_lost) ck_assert_msg(got.c == m.c, "case %zu", i);
        if (!cases[i].d_lost) ck_assert_msg(got.d == m.d, "case %zu", i);
        text = cases[i].kind == EV_AGENT_TOOL_USE ? cases[i].tool == TOOL_WRITE : true;
        ck_assert_msg(got.bytes == API_BYTES_EVENT + (text ? m.d : 0), "case %zu: %u", i, got.bytes);
    }
}
END_TEST

/* Texts
 * ------------------------------------------------------------------------------------------------------ */

/* The text as a string of its own. */
static char *text_of(const struct api_body *b)
{
    struct evbuffer *out = evbuffer_new();
    size_t n;
    char *text;

    api_body_write(b, out);
    n = evbuffer_get_length(out);
    text = calloc(1, n + 1);
    evbuffer_remove(out, text, n);
    evbuffer_free(out);
    return text;
}

/* The model learns where the rest is, and how much. */
START_TEST(a_preview_names_its_file)
{
    struct api_body b = {.id = 0x300000005, .spilled = 400000, .chars = SPILL_NOTE_CHARS + 2000};
    char path[DISK_PATH_SIZE], *text = text_of(&b), head[2000];

    disk_path(b.id, path);
    ck_assert_str_eq(path, "/tmp/windtunnel-0000000300000005.txt");
    ck_assert_uint_eq(strlen(text), b.chars);
    ck_assert_ptr_nonnull(strstr(text, path));
    ck_assert_ptr_nonnull(strstr(text, "400000 characters"));
    content_fill(b.id, 0, head, sizeof head);
    ck_assert_int_eq(memcmp(text + SPILL_NOTE_CHARS, head, sizeof head), 0);
    free(text);
    /* Whatever a peer says of its size; and one without a beginning. */
    b.spilled = UINT64_MAX;
    b.chars = SPILL_NOTE_CHARS;
    text = text_of(&b);
    ck_assert(api_body_check(&b, text, strlen(text)));
    free(text);
    b.chars = 7;
    text = text_of(&b);
    ck_assert_uint_eq(strlen(text), 7);
    free(text);
}
END_TEST

START_TEST(texts_are_checked)
{
    const struct api_body bodies[] = {{.id = 7, .chars = 300},
                                      {.id = 7, .offset = 50000, .chars = 300},
                                      {.id = 7, .spilled = 400000, .chars = 300}};

    for (int i = 0; i < 3; i++) {
        char *text = text_of(&bodies[i]);
        struct api_body other = bodies[i];

        ck_assert(api_body_check(&bodies[i], text, 300));
        ck_assert(!api_body_check(&bodies[i], text, 299));
        for (size_t at = 0; at < 300; at++) {
            text[at] ^= 1;
            ck_assert_msg(!api_body_check(&bodies[i], text, 300), "body %d, character %zu", i, at);
            text[at] ^= 1;
        }
        other.id++;
        ck_assert(!api_body_check(&other, text, 300));
        other = bodies[i];
        other.offset += 8;
        ck_assert(!api_body_check(&other, text, 300));
        free(text);
    }
}
END_TEST

/* Writes the event, changes a character of its text, and reads it again. */
static struct msg spoilt(const struct msg *m, bool spoil)
{
    struct api_event_writer w = {.driver = stage.driver, .session = 5};
    struct intern ids;
    struct api_event_reader r = {.driver = stage.driver, .ids = &ids};
    struct evbuffer *out = evbuffer_new();
    char why[JSON_TEXT_WHY_MAX], *text;
    json_t *json;
    struct msg got;

    intern_init(&ids, 1000, 10);
    api_event_write(&w, m, out);
    evbuffer_add(out, "", 1);
    text = strstr((char *)evbuffer_pullup(out, -1), "\"text\":\"");
    ck_assert_ptr_nonnull(text);
    if (spoil) text[strlen("\"text\":\"") + 150] ^= 1;
    text = (char *)evbuffer_pullup(out, -1);
    ck_assert_int_eq(json_text_parse(text, strlen(text), &json, why), 0);
    ck_assert_int_eq(api_event_read(&r, json, &got), 0);
    json_decref(json);
    evbuffer_free(out);
    intern_deinit(&ids);
    return got;
}

/* Whoever reads a stream or a history sees that a text is not what it was. */
START_TEST(texts_of_events_are_checked)
{
    static const struct {
        enum event_kind kind;
        uint32_t tool, flags;
        uint64_t d;
        uint64_t chars;
    } cases[] = {
        {EV_USER_MESSAGE, 0, 0, 200, 200},
        {EV_AGENT_MESSAGE, 0, 0, 200, 200},
        {EV_USER_TOOL_RESULT, 0, 0, 200, 200},
        {EV_USER_TOOL_RESULT, 0, EVENT_SPILLED, TOOL_PIECE(400000, 2100), 2100},
        {EV_USER_TOOL_RESULT, TOOL_READ, 0, TOOL_PIECE(3, 100000), 50000},
        {EV_USER_TOOL_RESULT, TOOL_READ, 0, TOOL_PIECE(3, 100001), 1},
        {EV_AGENT_MCP_TOOL_RESULT, TOOL_MCP, 0, 200, 200},
        {EV_AGENT_MCP_TOOL_RESULT, TOOL_MCP, EVENT_SPILLED, TOOL_PIECE(400000, 2100), 2100},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct msg m = {.kind = M_EVENT,
                        .a = UINT64_C(0x900000005),
                        .b = EVENT_B(cases[i].kind, cases[i].tool, cases[i].flags, 9),
                        .c = 0x300000005,
                        .d = cases[i].d,
                        .e = 1};
        struct msg got = spoilt(&m, false);

        ck_assert_msg(got.d == cases[i].chars && EVENT_FLAGS(got.b) == 0, "case %zu", i);
        if (cases[i].chars == 1) continue; /* the character of interest is none of the text */
        ck_assert_msg(EVENT_FLAGS(spoilt(&m, true).b) == EVENT_CORRUPT, "case %zu", i);
    }
}
END_TEST

/* What a command must be run for is not said to be simulated. */
START_TEST(a_command_in_earnest)
{
    const struct msg m = {.kind = M_EVENT,
                          .a = 0x100000005,
                          .b = EVENT_B(EV_AGENT_TOOL_USE, TOOL_BASH, 0, 1),
                          .c = 1000,
                          .d = 67};
    struct api_event_writer w = {.driver = stage.driver, .session = 5, .hash_commands = true};
    struct intern ids;
    struct api_event_reader r = {.driver = stage.driver, .ids = &ids};
    struct evbuffer *out = evbuffer_new();
    char why[JSON_TEXT_WHY_MAX];
    struct msg got;
    json_t *json;

    intern_init(&ids, 1000, 10);
    api_event_write(&w, &m, out);
    ck_assert_int_eq(json_text_parse_buffer(out, &json, why), 0);
    ck_assert_ptr_nonnull(strstr(json_text_get(json_object_get(json, "input"), "command"), "sha256sum"));
    ck_assert_int_eq(api_event_read(&r, json, &got), 0);
    ck_assert_uint_eq(EVENT_TOOL(got.b), 255);
    json_decref(json);
    evbuffer_free(out);
    intern_deinit(&ids);
}
END_TEST

/* An event that is not processed yet, and one whose text was changed on the way. */
START_TEST(events_otherwise)
{
    struct msg m = {.kind = M_EVENT, .a = 0x100000005, .b = EVENT_B(EV_USER_MESSAGE, 0, 0, 1), .d = 3};
    struct intern ids;
    struct api_event_reader r = {.driver = stage.driver, .ids = &ids};
    json_t *json;

    ck_assert_uint_eq(there_and_back(&m).e, 0);
    intern_init(&ids, 1000, 10);
    json = json_pack("{s:s,s:s,s:s,s:{s:s,s:{s:s}}}", "id", "sevt_0000000100000005", "type", "agent.tool_use",
                     "name", "write", "input", "content", "not what was generated", "windtunnel", "call",
                     "sevt_0000000100000004");
    ck_assert_int_eq(api_event_read(&r, json, &m), 0);
    ck_assert_uint_eq(EVENT_FLAGS(m.b), EVENT_CORRUPT);
    json_decref(json);
    /* Of a control plane that is not ours: its own ids, a tool that nobody here has, no hints. */
    json = json_pack("{s:s,s:s,s:s,s:{}}", "id", "sevt_01ABC", "type", "agent.tool_use", "name", "grep",
                     "input");
    ck_assert_int_eq(api_event_read(&r, json, &m), 0);
    ck_assert_uint_eq(EVENT_TOOL(m.b), 255);
    ck_assert(m.a & API_FOREIGN);
    json_decref(json);
    json = json_pack("{s:s,s:s,s:s,s:{s:s}}", "id", "sevt_01ABE", "type", "agent.tool_use", "name", "bash",
                     "input", "command", "ls");
    ck_assert_int_eq(api_event_read(&r, json, &m), 0);
    ck_assert_uint_eq(EVENT_TOOL(m.b), 255);
    json_decref(json);
    json = json_pack("{s:s,s:s}", "id", "sevt_01ABD", "type", "session.usage");
    ck_assert_int_eq(api_event_read(&r, json, &m), 0);
    ck_assert_int_eq(EVENT_KIND(m.b), EV_NONE);
    json_decref(json);
    json = json_pack("{s:s}", "type", "session.usage");
    ck_assert_int_eq(api_event_read(&r, json, &m), -EINVAL);
    json_decref(json);
    intern_deinit(&ids);
}
END_TEST

static void add_tests(TCase *tc)
{
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, times);
    tcase_add_test(tc, times_round_trip);
    tcase_add_test(tc, json_from_anybody);
    tcase_add_test(tc, json_from_noise);
    tcase_add_test(tc, maps);
    tcase_add_test(tc, contents);
    tcase_add_test(tc, tokens);
    tcase_add_test(tc, facts);
    tcase_add_test(tc, ids_and_numbers);
    tcase_add_test(tc, words);
    tcase_add_test(tc, events_there_and_back);
    tcase_add_test(tc, a_preview_names_its_file);
    tcase_add_test(tc, texts_are_checked);
    tcase_add_test(tc, a_command_in_earnest);
    tcase_add_test(tc, texts_of_events_are_checked);
    tcase_add_test(tc, events_otherwise);
}

int main(void)
{
    return api_test_main("orchestrator_api_parts", add_tests);
}
