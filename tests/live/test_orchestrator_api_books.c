/* What the control plane's surface keeps of texts and documents, it gives back: whatever the component
 * answers, and whether or not the client waits for it. */
#include "mock-orchestrator/json_text.h"
#include "tests/live/api_hand.h"

#include <stdio.h>
#include <string.h>

enum { TEXT = 50000, LARGE = 40000 /* twice does not fit */ };

#define UNKNOWN "sesn_00000000000000ff"

/* `pattern` with a text of `n` characters in the place of its star. */
static const char *body_of(const char *pattern, size_t n)
{
    static char body[BODY_MAX], text[BODY_MAX];
    const char *star = strchr(pattern, '*');

    memset(text, 'x', n);
    text[n] = '\0';
    snprintf(body, sizeof body, "%.*s%s%s", (int)(star - pattern), pattern, text, star + 1);
    return body;
}

static const char *message(void)
{
    return body_of("{\"events\":[{\"type\":\"user.message\",\"content\":\"*\"}]}", TEXT);
}

static size_t texts(void)
{
    return content_store_bytes(hand.server->contents);
}

/* Who leaves
 * ------------------------------------------------------------------------------------------------- */

START_TEST(texts_that_are_refused)
{
    ck_assert_int_eq(hand_ask("K", "POST", "/v1/sessions/" UNKNOWN "/events", message()), 404);
    ck_assert_uint_eq(texts(), 0);
    hand_ask_and_leave("POST", "/v1/sessions/" UNKNOWN "/events", message());
    ck_assert_uint_eq(texts(), 0);
    /* Nobody is there to answer. */
    driver_crash(hand.stage.driver, ADDR(ROLE_ORCHESTRATOR, 0));
    ck_assert_int_eq(hand_ask("K", "POST", "/v1/sessions/" UNKNOWN "/events", message()), 0);
    ck_assert_uint_eq(texts(), 0);
}
END_TEST

START_TEST(texts_that_are_taken)
{
    char id[64], target[128];

    hand_session_new("chat", id);
    snprintf(target, sizeof target, "/v1/sessions/%s/events", id);
    hand_ask_and_leave("POST", target, message());
    ck_assert_uint_gt(texts(), TEXT);
    ck_assert_int_eq(hand_ask("K", "GET", target, NULL), 200);
    ck_assert_ptr_nonnull(strstr(hand.answer, "xxxx"));
    hand_ask_and_leave("GET", target, NULL); /* a history for nobody */
}
END_TEST

START_TEST(a_session_made_and_deleted_by_who_leaves)
{
    size_t before = hand.server->document_bytes;
    char id[64];
    json_t *json;

    hand_ask_and_leave("POST", "/v1/sessions",
                       body_of("{\"agent\":\"chat\",\"environment_id\":\"env_x\",\"title\":\"t*\"}", 1000));
    ck_assert_int_eq(hand_ask("K", "GET", "/v1/sessions", NULL), 200);
    json = hand_json();
    ck_assert_uint_eq(json_array_size(json_object_get(json, "data")), 1);
    snprintf(id, sizeof id, "%s", json_text_get(json_array_get(json_object_get(json, "data"), 0), "id"));
    json_decref(json);
    ck_assert_ptr_nonnull(strstr(hand.answer, "\"title\":\"txxx"));
    ck_assert_ptr_nonnull(strstr(hand.answer, "\"name\":\"chat\""));
    ck_assert_uint_gt(hand.server->document_bytes, before + 1000);
    ck_assert_int_eq(hand_ask("K", "POST", hand_format("/v1/sessions/%s/events", id), message()), 200);
    ck_assert_uint_gt(texts(), TEXT);
    hand_ask_and_leave("DELETE", hand_format("/v1/sessions/%s", id), NULL);
    ck_assert_int_eq(hand_ask("K", "GET", hand_format("/v1/sessions/%s", id), NULL), 404);
    ck_assert_uint_eq(texts(), 0);
    ck_assert_uint_eq(hand.server->document_bytes, before);
    ck_assert_uint_eq(hand.server->sessions.count, 0);
}
END_TEST

/* The session is there; what was to follow was not asked any more. */
START_TEST(first_events_of_who_leaves)
{
    hand_ask_and_leave(
        "POST", "/v1/sessions",
        body_of("{\"agent\":\"chat\",\"environment_id\":\"env_x\",\"initial_events\":[{\"type\":"
                "\"user.message\",\"content\":\"*\"}]}",
                TEXT));
    ck_assert_uint_eq(texts(), 0);
    ck_assert_uint_eq(hand.server->sessions.count, 1);
}
END_TEST

START_TEST(sessions_that_are_refused)
{
    const char *body = body_of("{\"agent\":\"chat\",\"environment_id\":\"env_x\",\"title\":\"*\"}", LARGE);
    size_t before = hand.server->document_bytes;
    char id[64];

    driver_crash(hand.stage.driver, ADDR(ROLE_ORCHESTRATOR, 0));
    ck_assert_int_eq(hand_ask("K", "POST", "/v1/sessions", body), 0);
    ck_assert_uint_eq(hand.server->document_bytes, before);
    api_stage_add(&hand.stage, ADDR(ROLE_ORCHESTRATOR, 0));
    for (uint32_t i = 0; i < hand.stage.plan->orchestrator.sessions_max; i++) hand_session_new("chat", id);
    ck_assert_int_eq(hand_ask("K", "POST", "/v1/sessions", body), 429);
    ck_assert_uint_eq(hand.server->document_bytes, before);
}
END_TEST

/* Documents
 * ------------------------------------------------------------------------------------------------- */

/* What takes the place of something needs no room of its own, however often. */
static void check_replaced(const char *target, const char *pattern)
{
    size_t before = hand.server->document_bytes;

    for (int i = 0; i < 5; i++)
        ck_assert_msg(hand_ask("K", "POST", target, body_of(pattern, LARGE)) == 200, "%s: %.300s", target,
                      hand.answer);
    ck_assert_uint_gt(hand.server->document_bytes, LARGE);
    ck_assert_int_eq(hand_ask("K", "POST", target, body_of(pattern, 0)), 200);
    ck_assert_uint_lt(hand.server->document_bytes, before + 500);
}

START_TEST(documents_are_replaced)
{
    char session[64], target[128];
    size_t before;

    hand_session_new("s", session);
    check_replaced(hand_format("/v1/sessions/%s", session), "{\"title\":\"*\"}");
    check_replaced(hand_format("/v1/sessions/%s", session), "{\"metadata\":{\"k\":\"*\"}}");
    check_replaced(hand_format("/v1/sessions/%s", session), "{\"agent\":{\"system\":\"*\"}}");
    ck_assert_int_eq(hand_ask("W", "GET", "/v1/environments/env_x/work/poll?block_ms=999", NULL), 200);
    snprintf(target, sizeof target, "/v1/environments/env_x/work/%s", hand_member("id"));
    check_replaced(target, "{\"metadata\":{\"k\":\"*\"}}");
    before = hand.server->document_bytes;
    ck_assert_int_eq(hand_ask("K", "POST", "/v1/environments", "{\"name\":\"mine\"}"), 200);
    snprintf(target, sizeof target, "/v1/environments/%s", hand_member("id"));
    check_replaced(target, "{\"description\":\"*\"}");
    check_replaced(target, "{\"metadata\":{\"k\":\"*\"}}");
    ck_assert_int_eq(hand_ask("K", "DELETE", target, NULL), 200);
    ck_assert_uint_eq(hand.server->document_bytes, before);
}
END_TEST

/* Items that the component does not know any more go when a list comes upon them. */
START_TEST(forgotten_items)
{
    char id[64];

    hand_session_new("s", id);
    ck_assert_int_eq(hand_ask("W", "GET", "/v1/environments/env_x/work/poll?block_ms=999", NULL), 200);
    ck_assert_uint_eq(hand.server->works.count, 1);
    driver_crash(hand.stage.driver, ADDR(ROLE_ORCHESTRATOR, 0));
    api_stage_add(&hand.stage, ADDR(ROLE_ORCHESTRATOR, 0));
    ck_assert_int_eq(hand_ask("W", "GET", "/v1/environments/env_x/work", NULL), 200);
    ck_assert_uint_eq(hand.server->works.count, 0);
}
END_TEST

/* One that is refused has changed nothing. */
START_TEST(no_room)
{
    char id[64], path[128];
    size_t before;

    hand_session_new("chat", id);
    snprintf(path, sizeof path, "/v1/sessions/%s", id);
    ck_assert_int_eq(hand_ask("K", "POST", path, "{\"title\":\"old\"}"), 200);
    before = hand.server->document_bytes;
    ck_assert_int_eq(
        hand_ask("K", "POST", path, body_of("{\"title\":\"new\",\"budget\":\"*\"}", DOCUMENTS_MAX)), 400);
    ck_assert_ptr_nonnull(strstr(hand.answer, "no room"));
    ck_assert_int_eq(hand_ask("K", "GET", path, NULL), 200);
    ck_assert_str_eq(hand_member("title"), "old");
    ck_assert_uint_eq(hand.server->document_bytes, before);
}
END_TEST

/* What a session's agent has of its own counts, from the session's beginning and later. */
START_TEST(agents_of_sessions)
{
    size_t before = hand.server->document_bytes;
    char id[64], pattern[128];
    int n = 0;

    hand_session_new("chat", id);
    for (int status = 200; status == 200 && n < 10; n++) {
        snprintf(pattern, sizeof pattern, "{\"agent\":{\"k%d\":\"*\"}}", n);
        status = hand_ask("K", "POST", hand_format("/v1/sessions/%s", id), body_of(pattern, 20000));
    }
    ck_assert_int_eq(n, DOCUMENTS_MAX / 20000 + 1);
    ck_assert_int_eq(hand_ask("K", "DELETE", hand_format("/v1/sessions/%s", id), NULL), 200);
    ck_assert_uint_eq(hand.server->document_bytes, before);
    n = 0;
    for (int status = 200; status == 200 && n < 10; n++)
        status = hand_ask(
            "K", "POST", "/v1/sessions",
            body_of("{\"agent\":{\"type\":\"agent_with_overrides\",\"id\":\"chat\",\"system\":\"*\"},"
                    "\"environment_id\":\"env_x\"}",
                    20000));
    ck_assert_int_eq(n, DOCUMENTS_MAX / 20000 + 1);
}
END_TEST

/* An agent keeps its last versions, and a session the one that it was made with. */
START_TEST(versions)
{
    char agent[64], session[64], first[64] = "";
    size_t before;
    int n = 0;

    ck_assert_int_eq(hand_ask("K", "POST", "/v1/agents", "{\"name\":\"a\",\"model\":\"m\"}"), 200);
    snprintf(agent, sizeof agent, "%s", hand_member("id"));
    for (int i = 0; i < 3 * VERSIONS_MAX; i++)
        ck_assert_int_eq(
            hand_ask("K", "POST", hand_format("/v1/agents/%s", agent), body_of("{\"system\":\"*\"}", 3000)),
            200);
    before = hand.server->document_bytes;
    ck_assert_uint_gt(before, VERSIONS_MAX * 3000);
    for (int status = 200; status == 200 && n < 100; n++) {
        hand_session_new(agent, session);
        if (n == 0) strcpy(first, session);
        status =
            hand_ask("K", "POST", hand_format("/v1/agents/%s", agent), body_of("{\"system\":\"*\"}", 3000));
    }
    ck_assert_int_lt(n, DOCUMENTS_MAX / 3000 + 2);
    ck_assert_int_eq(hand_ask("K", "DELETE", hand_format("/v1/sessions/%s", first), NULL), 200);
    ck_assert_int_eq(
        hand_ask("K", "POST", hand_format("/v1/agents/%s", agent), body_of("{\"system\":\"*\"}", 3000)), 200);
}
END_TEST

static void add_tests(TCase *tc)
{
    tcase_add_checked_fixture(tc, hand_setup, hand_teardown);
    tcase_add_test(tc, texts_that_are_refused);
    tcase_add_test(tc, texts_that_are_taken);
    tcase_add_test(tc, a_session_made_and_deleted_by_who_leaves);
    tcase_add_test(tc, first_events_of_who_leaves);
    tcase_add_test(tc, sessions_that_are_refused);
    tcase_add_test(tc, documents_are_replaced);
    tcase_add_test(tc, forgotten_items);
    tcase_add_test(tc, no_room);
    tcase_add_test(tc, agents_of_sessions);
    tcase_add_test(tc, versions);
}

int main(void)
{
    return api_test_main("orchestrator_api_books", add_tests);
}
