#include "reports/html.h"
#include "reports/page.h"
#include "tests/reports/suite.h"
#include "tests/reports/synthetic.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <unistd.h>

static size_t occurrences(const char *text, const char *what)
{
    size_t n = 0;

    for (; (text = strstr(text, what)) != NULL; text += strlen(what)) n++;
    return n;
}

static void make(struct synthetic *s, struct str *page)
{
    CLEANUP(result_free_p) struct result *r = NULL;

    synthetic_init(s);
    r = synthetic_result(s);
    ck_assert_int_eq(html_report((const struct result *const[]){r}, 1, page), 0);
}

START_TEST(text_is_escaped)
{
    CLEANUP(synthetic_deinit) struct synthetic s;
    CLEANUP(str_deinit) struct str page = STR_INIT(4u << 20);
    CLEANUP(str_deinit) struct str text = STR_INIT(4096);

    page_text(&text, "<a href=\"x\" title='y'>&amp; \x01\xff");
    ck_assert_str_eq(str_text(&text),
                     "&lt;a href=&quot;x&quot; title=&#39;y&#39;&gt;&amp;amp; ?\xef\xbf\xbd");
    make(&s, &page);
    ck_assert_ptr_null(strstr(str_text(&page), "alert(1)</script>"));
    ck_assert_ptr_null(strstr(str_text(&page), "storm <b>"));
    ck_assert_ptr_nonnull(strstr(str_text(&page), "storm &lt;b&gt;&amp;amp;"));
    /* The data, Chart.js and the drawing: three scripts, and nobody else's. */
    ck_assert_uint_eq(occurrences(str_text(&page), "<script"), 3);
    ck_assert_uint_eq(occurrences(str_text(&page), "</script>"), 3);
}
END_TEST

START_TEST(nothing_is_fetched)
{
    CLEANUP(synthetic_deinit) struct synthetic s;
    CLEANUP(str_deinit) struct str page = STR_INIT(4u << 20);

    make(&s, &page);
    ck_assert_ptr_null(strstr(str_text(&page), "src="));
    ck_assert_ptr_null(strstr(str_text(&page), "<link"));
    ck_assert_ptr_null(strstr(str_text(&page), "@import"));
    ck_assert_ptr_null(strstr(str_text(&page), "url("));
    ck_assert_ptr_nonnull(strstr(str_text(&page), "default-src 'none'"));
    ck_assert_ptr_nonnull(strstr(str_text(&page), "Chart.js v"));
}
END_TEST

START_TEST(data_is_json_without_tags)
{
    CLEANUP(synthetic_deinit) struct synthetic s;
    CLEANUP(result_free_p) struct result *r = NULL;
    CLEANUP(str_deinit) struct str data = STR_INIT(4u << 20);
    json_t *root, *first;

    synthetic_init(&s);
    s.plan.deployment = "</script><!--";
    r = synthetic_result(&s);
    ck_assert_int_eq(page_data((const struct result *const[]){r}, 1, &data), 0);
    ck_assert_ptr_null(strchr(str_text(&data), '<'));
    root = json_loads(str_text(&data), 0, NULL);
    ck_assert_ptr_nonnull(root);
    first = json_array_get(json_object_get(root, "results"), 0);
    ck_assert_str_eq(json_string_value(json_object_get(first, "label")), "</script><!--/2");
    ck_assert_uint_eq(json_array_size(json_object_get(first, "faults")), 5);
    ck_assert_uint_gt(json_array_size(json_object_get(json_object_get(first, "cuts"), "tool.call")), 5);
    json_decref(root);
}
END_TEST

/* More time charts than a browser likes are left out; the tables stay. */
START_TEST(many_results_are_bounded)
{
    CLEANUP(synthetic_deinit) struct synthetic s;
    CLEANUP(result_free_p) struct result *r = NULL;
    CLEANUP(str_deinit) struct str page = STR_INIT(16u << 20);
    const struct result *all[PAGE_TIMELINES_MAX + 6];

    synthetic_init(&s);
    r = synthetic_result(&s);
    for (size_t i = 0; i < PAGE_TIMELINES_MAX + 6; i++) all[i] = r;
    ck_assert_int_eq(html_report(all, PAGE_TIMELINES_MAX + 6, &page), 0);
    ck_assert_uint_eq(occurrences(str_text(&page), "<canvas class=time"), PAGE_TIMELINES_MAX);
    ck_assert_uint_eq(occurrences(str_text(&page), "<h3>Latencies"), PAGE_TIMELINES_MAX + 6);
    ck_assert_uint_eq(occurrences(str_text(&page), "\"cuts\""), PAGE_TIMELINES_MAX);
}
END_TEST

START_TEST(no_results_make_a_page_too)
{
    CLEANUP(str_deinit) struct str page = STR_INIT(4u << 20);

    ck_assert_int_eq(html_report(NULL, 0, &page), 0);
    ck_assert_ptr_nonnull(strstr(str_text(&page), "</html>"));
}
END_TEST

START_TEST(it_is_written_or_says_why_not)
{
    CLEANUP(synthetic_deinit) struct synthetic s;
    CLEANUP(result_free_p) struct result *r = NULL;
    CLEANUP(str_deinit) struct str path = STR_INIT(4096);
    struct report_error error = {""};
    char folder[] = "/tmp/windtunnel-html-XXXXXX";

    ck_assert_ptr_nonnull(mkdtemp(folder));
    synthetic_init(&s);
    r = synthetic_result(&s);
    ck_assert_int_eq(html_write((const struct result *const[]){r}, 1, folder, &error), 0);
    str_appendf(&path, "%s/report.html", folder);
    ck_assert_int_eq(html_write((const struct result *const[]){r}, 1, str_text(&path), &error), -ENOTDIR);
    ck_assert_ptr_nonnull(strstr(error.text, "report.html: Not a directory"));
    ck_assert_int_eq(unlink(str_text(&path)), 0);
    ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

int main(void)
{
    return run_suite("html", TESTS(text_is_escaped, nothing_is_fetched, data_is_json_without_tags,
                                   many_results_are_bounded, no_results_make_a_page_too,
                                   it_is_written_or_says_why_not));
}
