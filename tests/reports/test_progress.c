#include "reports/human.h"
#include "reports/progress.h"
#include "tests/reports/suite.h"

#include <jansson.h>
#include <string.h>

static struct progress_figures some(void)
{
    return (struct progress_figures){
        .deployment = "queue",
        .replicates = 1,
        .steps = 3,
        .step = 1,
        .now_ns = 5 * NSEC_PER_S,
        .end_ns = 20 * NSEC_PER_S,
        .elapsed_ns = 2 * NSEC_PER_S,
        .sessions_opened = 1200,
        .sessions_ended = 7,
        .calls_ended = 99,
    };
}

START_TEST(words)
{
    enum progress_mode mode = PROGRESS_JSON;

    ck_assert(progress_mode_of(NULL, true, &mode));
    ck_assert_int_eq(mode, PROGRESS_REWRITE);
    ck_assert(progress_mode_of("auto", false, &mode));
    ck_assert_int_eq(mode, PROGRESS_PLAIN);
    ck_assert(progress_mode_of("json", true, &mode));
    ck_assert_int_eq(mode, PROGRESS_JSON);
    ck_assert(progress_mode_of("none", true, &mode));
    ck_assert_int_eq(mode, PROGRESS_NONE);
    ck_assert(!progress_mode_of("loud", true, &mode));
    ck_assert_int_eq(mode, PROGRESS_NONE);
    ck_assert_uint_eq(progress_period(PROGRESS_NONE), NSEC_MAX);
    ck_assert_uint_lt(progress_period(PROGRESS_REWRITE), NSEC_PER_S);
}
END_TEST

START_TEST(the_rest_is_estimated)
{
    struct progress_figures f = some();

    ck_assert_uint_eq(progress_remaining(&f), 6 * NSEC_PER_S);
    f.now_ns = 0;
    ck_assert_uint_eq(progress_remaining(&f), NSEC_MAX);
    f.now_ns = 25 * NSEC_PER_S; /* beyond the plan's end */
    ck_assert_uint_eq(progress_remaining(&f), 0);
    f.end_ns = 0;
    ck_assert_uint_eq(progress_remaining(&f), NSEC_MAX);
    f.done = true;
    ck_assert_uint_eq(progress_remaining(&f), 0);
}
END_TEST

START_TEST(plain_lines)
{
    CLEANUP(str_deinit) struct str s = STR_INIT(4096);
    struct progress_figures f = some();

    progress_line(PROGRESS_PLAIN, &f, 0, &s);
    ck_assert_str_eq(
        str_text(&s),
        "[2/3] queue   25%  at 5.00s of 20.0s  at most 6.00s left  sessions 7/1,200  calls 99\n");
    str_clear(&s);
    f.done = true;
    f.steps = 1;
    f.replicate = 1;
    f.replicates = 4;
    progress_line(PROGRESS_PLAIN, &f, 0, &s);
    ck_assert_str_eq(
        str_text(&s),
        "queue replicate 1  100%  at 5.00s of 20.0s  done in 2.00s  sessions 7/1,200  calls 99\n");
    str_clear(&s);
    progress_line(PROGRESS_NONE, &f, 0, &s);
    ck_assert_uint_eq(str_len(&s), 0);
}
END_TEST

START_TEST(a_rewritten_line_fits)
{
    CLEANUP(str_deinit) struct str s = STR_INIT(4096);
    struct progress_figures f = some();

    f.deployment = "größe\n";
    progress_line(PROGRESS_REWRITE, &f, 40, &s);
    ck_assert_int_eq(strncmp(str_text(&s), progress_clear(PROGRESS_REWRITE), 4), 0);
    ck_assert_ptr_null(strchr(str_text(&s), '\n'));
    ck_assert_uint_eq(human_width(str_text(&s) + 4), 39);
    str_clear(&s);
    f.done = true;
    progress_line(PROGRESS_REWRITE, &f, 200, &s);
    ck_assert_int_eq(s.data[s.len - 1], '\n');
    ck_assert_str_eq(progress_clear(PROGRESS_PLAIN), "");
}
END_TEST

START_TEST(json_lines)
{
    CLEANUP(str_deinit) struct str s = STR_INIT(4096);
    struct progress_figures f = some();
    json_t *root;

    f.deployment = "a \"quoted\" one";
    progress_line(PROGRESS_JSON, &f, 0, &s);
    root = json_loads(str_text(&s), 0, NULL);
    ck_assert_ptr_nonnull(root);
    ck_assert_str_eq(json_string_value(json_object_get(root, "deployment")), f.deployment);
    ck_assert_int_eq(json_integer_value(json_object_get(root, "remaining_ns")), 6000000000);
    ck_assert(json_is_false(json_object_get(root, "done")));
    json_decref(root);
    f.now_ns = 0;
    str_clear(&s);
    progress_line(PROGRESS_JSON, &f, 0, &s);
    ck_assert_ptr_nonnull(strstr(str_text(&s), "\"remaining_ns\": null"));
}
END_TEST

int main(void)
{
    return run_suite("progress",
                     TESTS(words, the_rest_is_estimated, plain_lines, a_rewritten_line_fits, json_lines));
}
