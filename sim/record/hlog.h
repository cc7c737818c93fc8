/*
 * HdrHistogram's text formats: interval logs (`.hlog`, format 1.3) with tags, and percentile tables
 * (`.hgrm`).
 *
 * Source: the HdrHistogram project's log format 1.3 and V2 compressed encoding. A log is lines: comments with
 * `#`, a legend, and `Tag=NAME,start,length,max,payload`, where start (after the base time) and length are
 * seconds with three decimals, max is milliseconds, and the payload is base64 of: cookie 0x1c849314, length,
 * zlib stream of the bytes that payload_encode() gives.
 *
 * Everything is in memory. The only part of this room that uses zlib; its level is fixed, so that one zlib
 * version gives the same bytes for the same histogram.
 */
#pragma once

#include "sim/base/nsec.h"
#include "sim/base/str.h"
#include "sim/record/histogram.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HLOG_TAG_MAX 63

/* When, in run time, and of what. */
struct hlog_interval {
    const char *tag; /* NULL for none; asserted to be hlog_tag_valid() */
    nsec_t start;    /* both are cut to whole milliseconds, so that intervals that touch still do */
    nsec_t end;
};

/* A line that was read. */
struct hlog_record {
    char tag[HLOG_TAG_MAX + 1]; /* "" for none */
    nsec_t start;               /* after the base time, to the millisecond */
    nsec_t length;
    nsec_t max; /* as the line says it, to the microsecond */
};

/* Where a reader is. hlog_reader_init() fills it in; the text is borrowed. */
struct hlog_reader {
    const char *at;
    const char *end;
    uint64_t line; /* of the line read last, from 1 */
    nsec_t
        start_time; /* from the comments, since the epoch of Unix, to the millisecond; 0 when there is none */
    nsec_t base_time;
};

/* Whether a log can hold the tag: 1 to HLOG_TAG_MAX printable ASCII characters, no comma, blank or quote. */
bool hlog_tag_valid(const char *tag);

/* Appends one comment line; a line break in `text` is written as a blank. */
int hlog_comment(struct str *out, const char *text);

/* Appends the comments that name the format, start and base time (`wall_start_ns` since the epoch of Unix),
 * and the legend. All functions that append return 0, or str's error (-ENOSPC, -ENOMEM). */
int hlog_header(struct str *out, nsec_t wall_start_ns);

/* Appends one line for a histogram. */
int hlog_line(struct str *out, const struct hlog_interval *interval, const struct histogram *h);

/* Appends one line for a histogram that is already encoded by payload_encode(), with its largest sample. */
int hlog_line_payload(struct str *out, const struct hlog_interval *interval, nsec_t max_ns,
                      const uint8_t *payload, size_t n_payload);

/* Appends the payload field alone: base64 of the compressed encoding. */
int hlog_encode(struct str *out, const struct histogram *h);

/* Reads a payload field back. Returns 0; -EPROTO if it is anything else; -ENOMEM. `ret_histogram` is
 * undefined on failure. */
int hlog_decode(const char *base64, size_t n_base64, struct histogram *ret_histogram);

/* Starts reading a log of `len` bytes. */
void hlog_reader_init(struct hlog_reader *reader, const char *text, size_t len);

/*
 * Reads up to the next interval line. Returns 1 with both outputs set; 0 at the end of the log; -EPROTO for a
 * line that is none (reader->line says which); -ENOMEM. After a failure there is no going on.
 */
int hlog_next(struct hlog_reader *reader, struct hlog_record *ret_record, struct histogram *ret_histogram);

/*
 * Appends the percentile table: value in milliseconds, percentile, count up to it, 1 / (1 - percentile), with
 * `ticks_per_half` steps for each halving of the distance to 100 % (5 is usual; asserts 1 … 100), and the
 * summary comments. An empty histogram gives an empty table.
 */
int hgrm_write(struct str *out, const struct histogram *h, uint32_t ticks_per_half);
