#include "sim/base/cleanup.h"
#include "sim/base/prng.h"
#include "sim/record/hlog.h"
#include "tests/record/suite.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct histogram h, back;

static void fill(uint64_t seed, int n)
{
    struct prng p = prng_stream(seed, 0, "hlog", 0, 0);

    histogram_init(&h);
    while (n-- > 0) histogram_record(&h, prng_below(&p, HISTOGRAM_HIGHEST_NS >> prng_below(&p, 30)));
}

START_TEST(the_header)
{
    CLEANUP(str_deinit) struct str out = STR_INIT(10000);

    ck_assert_int_eq(hlog_comment(&out, "by whom,\nfor whom"), 0);
    ck_assert_int_eq(hlog_header(&out, UINT64_C(1709210096007999999)), 0);
    ck_assert_str_eq(
        str_text(&out),
        "#by whom, for whom\n"
        "#[Histogram log format version 1.3]\n"
        "#[StartTime: 1709210096.007 (seconds since epoch), 2024-02-29T12:34:56Z]\n"
        "#[BaseTime: 1709210096.007 (seconds since epoch)]\n"
        "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n");
}
END_TEST

START_TEST(dates_are_of_this_calendar)
{
    static const struct {
        uint64_t seconds;
        const char *date;
    } dates[] = {
        {0, " 1970-01-01T00:00:00Z]"},          {86399, " 1970-01-01T23:59:59Z]"},
        {951782399, " 2000-02-28T23:59:59Z]"},  {951782400, " 2000-02-29T00:00:00Z]"},
        {951868800, " 2000-03-01T00:00:00Z]"},  {1798761599, " 2026-12-31T23:59:59Z]"},
        {4107542400, " 2100-03-01T00:00:00Z]"}, {4107456000, " 2100-02-28T00:00:00Z]"},
    };

    for (size_t i = 0; i < sizeof(dates) / sizeof(dates[0]); i++) {
        CLEANUP(str_deinit) struct str out = STR_INIT(10000);

        hlog_header(&out, dates[i].seconds * NSEC_PER_S);
        ck_assert_ptr_nonnull(strstr(str_text(&out), dates[i].date));
    }
}
END_TEST

START_TEST(fields_of_a_line)
{
    CLEANUP(str_deinit) struct str out = STR_INIT(10000);
    struct hlog_interval interval = {"tool.call", 1999999999, 61002000000};

    histogram_init(&h);
    histogram_record(&h, 1234567500);
    ck_assert_int_eq(hlog_line(&out, &interval, &h), 0);
    ck_assert_msg(strncmp(str_text(&out), "Tag=tool.call,1.999,59.003,1234.568,HISTF", 41) == 0, "%s",
                  str_text(&out));
    interval.tag = NULL;
    str_clear(&out);
    ck_assert_int_eq(hlog_line(&out, &interval, &h), 0);
    ck_assert_int_eq(strncmp(str_text(&out), "1.999,", 6), 0);
    ck_assert_int_eq(str_text(&out)[str_len(&out) - 1], '\n');
}
END_TEST

START_TEST(round_trip)
{
    CLEANUP(str_deinit) struct str out = STR_INIT(10 << 20);
    struct hlog_reader reader;
    struct hlog_record record;

    hlog_header(&out, 1700000000123000000);
    for (int i = 0; i < 200; i++) {
        char tag[20];
        struct hlog_interval interval = {tag, i * NSEC_PER_S, (i + 1) * NSEC_PER_S};

        snprintf(tag, sizeof(tag), "tag.%d", i);
        fill(i, i * i);
        ck_assert_int_eq(hlog_line(&out, &interval, &h), 0);
        hlog_comment(&out, "between");
    }
    hlog_reader_init(&reader, str_text(&out), str_len(&out));
    for (int i = 0; i < 200; i++) {
        char tag[20];

        snprintf(tag, sizeof(tag), "tag.%d", i);
        fill(i, i * i);
        ck_assert_int_eq(hlog_next(&reader, &record, &back), 1);
        ck_assert_str_eq(record.tag, tag);
        ck_assert_uint_eq(record.start, i * NSEC_PER_S);
        ck_assert_uint_eq(record.length, NSEC_PER_S);
        ck_assert_uint_eq(record.max, (histogram_max(&h) + 500) / 1000 * 1000);
        ck_assert_mem_eq(back.cells, h.cells, sizeof(h.cells));
    }
    ck_assert_int_eq(hlog_next(&reader, &record, &back), 0);
    ck_assert_int_eq(hlog_next(&reader, &record, &back), 0);
    ck_assert_uint_eq(reader.start_time, 1700000000123000000);
    ck_assert_uint_eq(reader.base_time, 1700000000123000000);
}
END_TEST

START_TEST(what_a_reader_tolerates)
{
    CLEANUP(str_deinit) struct str field = STR_INIT(10000);
    CLEANUP(str_deinit) struct str out = STR_INIT(10000);
    struct hlog_reader reader;
    struct hlog_record record;

    fill(1, 10);
    hlog_encode(&field, &h);
    str_appendf(&out,
                "\r\n#[StartTime: 12 (seconds since epoch), then]\r\n\n1,2.5,0.0000001234,%s\r\n3.,4,5,%s",
                str_text(&field), str_text(&field));
    hlog_reader_init(&reader, str_text(&out), str_len(&out));
    ck_assert_int_eq(hlog_next(&reader, &record, &back), 1);
    ck_assert_str_eq(record.tag, "");
    ck_assert_uint_eq(record.start, NSEC_PER_S);
    ck_assert_uint_eq(record.length, 2500 * NSEC_PER_MS);
    ck_assert_uint_eq(record.max, 0);
    ck_assert_int_eq(hlog_next(&reader, &record, &back), 1);
    ck_assert_uint_eq(record.start, 3 * NSEC_PER_S);
    ck_assert_uint_eq(record.max, 5 * NSEC_PER_MS);
    ck_assert_int_eq(hlog_next(&reader, &record, &back), 0);
    ck_assert_uint_eq(reader.start_time, 12 * NSEC_PER_S);
}
END_TEST

START_TEST(lines_that_are_none)
{
    static const char *const lines[] = {
        "x",
        "Tag=",
        "Tag=a",
        "Tag=a,",
        "Tag=,1,1,1,AAAA",
        "Tag=a b,1,1,1,AAAA",
        "1",
        "1,",
        "1,1",
        "1,1,1",
        "1,1,1,",
        ",,,",
        "1,1,1,AAAA",
        "1,1,1,AAA",
        "1,1,1,A===",
        "1,1,1,====",
        "1,1,1,AA=A",
        "-1,1,1,AAAA",
        "1e3,1,1,AAAA",
        "1..2,1,1,AAAA",
        ".,1,1,AAAA",
        "99999999999999999999,1,1,AAAA",
        "1,1,1,HISTFAAAAAA=",
        "1,1,1,HISTFAAAAAB4",
        "1,1,1,HISTFAAAAAEA",
        "1,1,1,\xff\xff\xff\xff",
    };
    struct hlog_reader reader;
    struct hlog_record record;

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        CLEANUP(str_deinit) struct str out = STR_INIT(10000);

        str_appendf(&out, "# first\n%s\n", lines[i]);
        hlog_reader_init(&reader, str_text(&out), str_len(&out));
        ck_assert_msg(hlog_next(&reader, &record, &back) == -EPROTO, "%s", lines[i]);
        ck_assert_uint_eq(reader.line, 2);
    }
}
END_TEST

START_TEST(a_damaged_payload_is_refused)
{
    CLEANUP(str_deinit) struct str field = STR_INIT(100000);
    size_t n, refused = 0;

    fill(3, 1000);
    hlog_encode(&field, &h);
    n = str_len(&field);
    ck_assert_int_eq(hlog_decode(str_text(&field), n, &back), 0);
    for (size_t cut = 0; cut < n; cut++) ck_assert_int_eq(hlog_decode(str_text(&field), cut, &back), -EPROTO);
    /* The stream's own checksum notices all of these but those in bits that it does not use. */
    for (size_t i = 0; i < n; i++) {
        int r;

        field.data[i] ^= 1;
        r = hlog_decode(str_text(&field), n, &back);
        refused += r == -EPROTO;
        if (r == 0) ck_assert_mem_eq(back.cells, h.cells, sizeof(h.cells));
        field.data[i] ^= 1;
    }
    ck_assert_uint_ge(refused, n - 8);
}
END_TEST

START_TEST(a_full_string_says_so)
{
    CLEANUP(str_deinit) struct str out = STR_INIT(50);
    struct hlog_interval interval = {"a", 0, 1};

    fill(1, 100);
    ck_assert_int_eq(hlog_line(&out, &interval, &h), -ENOSPC);
    ck_assert_int_eq(hgrm_write(&out, &h, 5), -ENOSPC);
    ck_assert_int_eq(hlog_header(&out, 0), -ENOSPC);
}
END_TEST

START_TEST(tags)
{
    char longest[HLOG_TAG_MAX + 2];

    memset(longest, 'a', sizeof(longest));
    longest[HLOG_TAG_MAX] = '\0';
    ck_assert(hlog_tag_valid(longest));
    longest[HLOG_TAG_MAX] = 'a';
    longest[HLOG_TAG_MAX + 1] = '\0';
    ck_assert(!hlog_tag_valid(longest));
    ck_assert(hlog_tag_valid("a/b~!"));
    ck_assert(!hlog_tag_valid(""));
    ck_assert(!hlog_tag_valid("a b"));
    ck_assert(!hlog_tag_valid("a,b"));
    ck_assert(!hlog_tag_valid("a\nb"));
    ck_assert(!hlog_tag_valid("\xc3\xa4"));
}
END_TEST

START_TEST(the_percentile_table)
{
    CLEANUP(str_deinit) struct str out = STR_INIT(100000);

    histogram_init(&h);
    for (nsec_t ms = 1; ms <= 8; ms++) histogram_record(&h, ms * NSEC_PER_MS);
    ck_assert_int_eq(hgrm_write(&out, &h, 2), 0);
    ck_assert_str_eq(str_text(&out), "       Value     Percentile TotalCount 1/(1-Percentile)\n"
                                     "\n"
                                     "       1.000 0.000000000000          1           1.00\n"
                                     "       2.001 0.250000000000          2           1.33\n"
                                     "       4.002 0.500000000000          4           2.00\n"
                                     "       5.001 0.625000000000          5           2.67\n"
                                     "       6.001 0.750000000000          6           4.00\n"
                                     "       7.000 0.812500000000          7           5.33\n"
                                     "       7.000 0.875000000000          7           8.00\n"
                                     "       8.004 0.906250000000          8          10.67\n"
                                     "       8.004 1.000000000000          8\n"
                                     "#[Mean    =        4.500, StdDeviation   =        2.291]\n"
                                     "#[Max     =        8.000, Total count    =            8]\n"
                                     "#[Buckets =           23, SubBuckets     =         2048]\n");
}
END_TEST

START_TEST(the_table_of_nothing)
{
    CLEANUP(str_deinit) struct str out = STR_INIT(100000);

    histogram_init(&h);
    ck_assert_int_eq(hgrm_write(&out, &h, 5), 0);
    ck_assert_ptr_nonnull(strstr(str_text(&out), "#[Mean    =        0.000, StdDeviation   =        0.000]"));
}
END_TEST

START_TEST(the_table_of_very_many)
{
    CLEANUP(str_deinit) struct str out = STR_INIT(1000000);

    histogram_init(&h);
    histogram_record_many(&h, 1000, UINT64_C(1) << 62);
    histogram_record_many(&h, HISTOGRAM_HIGHEST_NS, UINT64_C(1) << 60);
    histogram_record(&h, NSEC_PER_S);
    ck_assert_int_eq(hgrm_write(&out, &h, 100), 0);
}
END_TEST

START_TEST(a_tag_that_would_break_the_line)
{
    CLEANUP(str_deinit) struct str out = STR_INIT(10000);
    struct hlog_interval interval = {"a,b", 0, 1};

    fill(1, 1);
    hlog_line(&out, &interval, &h);
}
END_TEST

int main(void)
{
    return run_suite("hlog",
                     TESTS(the_header, dates_are_of_this_calendar, fields_of_a_line, round_trip,
                           what_a_reader_tolerates, lines_that_are_none, a_damaged_payload_is_refused,
                           a_full_string_says_so, tags, the_percentile_table, the_table_of_nothing,
                           the_table_of_very_many),
                     TESTS(a_tag_that_would_break_the_line));
}
