#include "sim/record/hlog.h"

#include "sim/base/cleanup.h"
#include "sim/base/panic.h"
#include "sim/record/payload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define COOKIE_COMPRESSED UINT32_C(0x1c849314)
#define ENVELOPE_SIZE     8 /* cookie and length before the zlib stream */
#define ZLIB_LEVEL        6
#define START_TIME        "#[StartTime: "
#define BASE_TIME         "#[BaseTime: "
#define TAG_PREFIX        "Tag="
#define LEGEND            "\"StartTimestamp\""

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

bool hlog_tag_valid(const char *tag)
{
    size_t len = strlen(tag);

    for (size_t i = 0; i < len; i++)
        if (tag[i] <= ' ' || tag[i] > '~' || tag[i] == ',' || tag[i] == '"') return false;
    return len > 0 && len <= HLOG_TAG_MAX;
}

static void put_seconds(struct str *out, uint64_t ms)
{
    str_appendf(out, "%llu.%03llu", (unsigned long long)(ms / 1000), (unsigned long long)(ms % 1000));
}

/* A date of the Gregorian calendar, for a person; `ms` since the epoch of Unix. */
static void put_date(struct str *out, uint64_t ms)
{
    static const uint8_t month_days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    uint64_t seconds = ms / 1000 % 86400, days = ms / 1000 / 86400;
    unsigned year = 1970, month = 0;
    bool leap;

    for (;; year++) {
        leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        if (days < 365u + leap) break;
        days -= 365u + leap;
    }
    for (; days >= month_days[month] + (leap && month == 1); month++)
        days -= month_days[month] + (leap && month == 1);
    str_appendf(out, "%04u-%02u-%02uT%02u:%02u:%02uZ", year, month + 1, (unsigned)days + 1,
                (unsigned)(seconds / 3600), (unsigned)(seconds / 60 % 60), (unsigned)(seconds % 60));
}

int hlog_comment(struct str *out, const char *text)
{
    str_putc(out, '#');
    for (; *text; text++) str_putc(out, *text == '\n' || *text == '\r' ? ' ' : *text);
    str_putc(out, '\n');
    return str_error(out);
}

int hlog_header(struct str *out, nsec_t wall_start_ns)
{
    uint64_t ms = wall_start_ns / NSEC_PER_MS;

    str_puts(out, "#[Histogram log format version 1.3]\n" START_TIME);
    put_seconds(out, ms);
    str_puts(out, " (seconds since epoch), ");
    put_date(out, ms);
    str_puts(out, "]\n" BASE_TIME);
    put_seconds(out, ms);
    str_puts(out, " (seconds since epoch)]\n");
    str_puts(out, LEGEND ",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n");
    return str_error(out);
}

static void put_base64(struct str *out, const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i += 3) {
        size_t have = n - i < 3 ? n - i : 3;
        uint32_t group = (uint32_t)bytes[i] << 16;
        char digits[4];

        if (have > 1) group |= (uint32_t)bytes[i + 1] << 8;
        if (have > 2) group |= bytes[i + 2];
        for (unsigned d = 0; d < 4; d++)
            digits[d] = d <= have ? base64_digits[(group >> (18 - 6 * d)) & 63] : '=';
        str_append(out, digits, 4);
    }
}

static int base64_value(char c)
{
    const char *at = c ? strchr(base64_digits, c) : NULL;

    return at ? (int)(at - base64_digits) : -1;
}

/* Into bytes[3 * (n / 4)]. Returns how many, or -EPROTO. Padding only at the end, and only as much as is
 * needed. */
static int64_t get_base64(const char *text, size_t n, uint8_t *bytes)
{
    size_t n_bytes = 0, padding = 0;

    if (n == 0 || n % 4 != 0) return -EPROTO;
    if (text[n - 1] == '=') padding = text[n - 2] == '=' ? 2 : 1;
    for (size_t i = 0; i < n; i += 4) {
        uint32_t group = 0;
        size_t digits = i + 4 == n ? 4 - padding : 4;

        for (size_t d = 0; d < 4; d++) {
            int value = d < digits ? base64_value(text[i + d]) : 0;

            if (value < 0) return -EPROTO;
            group = group << 6 | (uint32_t)value;
        }
        for (size_t b = 0; b + 1 < digits; b++) bytes[n_bytes++] = (uint8_t)(group >> (16 - 8 * b));
    }
    return (int64_t)n_bytes;
}

static void put_u32(uint8_t *bytes, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++) bytes[i] = (uint8_t)(value >> (24 - 8 * i));
}

static uint32_t get_u32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void put_payload(struct str *out, const uint8_t *payload, size_t n_payload)
{
    uLongf length = compressBound((uLong)n_payload);
    _cleanup_free_ uint8_t *bytes = malloc(ENVELOPE_SIZE + length);

    if (!bytes || compress2(bytes + ENVELOPE_SIZE, &length, payload, (uLong)n_payload, ZLIB_LEVEL) != Z_OK) {
        if (out->error == 0) out->error = -ENOMEM;
        return;
    }
    put_u32(bytes, COOKIE_COMPRESSED);
    put_u32(bytes + 4, (uint32_t)length);
    put_base64(out, bytes, ENVELOPE_SIZE + length);
}

int hlog_encode(struct str *out, const struct histogram *h)
{
    _cleanup_free_ uint8_t *payload = malloc(PAYLOAD_SIZE_MAX);
    int64_t n_payload;

    if (!payload) {
        if (out->error == 0) out->error = -ENOMEM;
        return str_error(out);
    }
    n_payload = payload_encode(h, payload, PAYLOAD_SIZE_MAX);
    ASSERT(n_payload > 0);
    put_payload(out, payload, (size_t)n_payload);
    return str_error(out);
}

/* All of a line but its payload. */
static void put_fields(struct str *out, const struct hlog_interval *interval, nsec_t max_ns)
{
    uint64_t start_ms = interval->start / NSEC_PER_MS, end_ms = interval->end / NSEC_PER_MS;

    ASSERT(interval->end >= interval->start);
    if (interval->tag) {
        ASSERT(hlog_tag_valid(interval->tag));
        str_appendf(out, TAG_PREFIX "%s,", interval->tag);
    }
    put_seconds(out, start_ms);
    str_putc(out, ',');
    put_seconds(out, end_ms - start_ms);
    str_putc(out, ',');
    put_seconds(out,
                max_ns / NSEC_PER_US + (max_ns % NSEC_PER_US >= NSEC_PER_US / 2)); /* us, written as ms */
    str_putc(out, ',');
}

int hlog_line(struct str *out, const struct hlog_interval *interval, const struct histogram *h)
{
    put_fields(out, interval, histogram_max(h));
    hlog_encode(out, h);
    str_putc(out, '\n');
    return str_error(out);
}

int hlog_line_payload(struct str *out, const struct hlog_interval *interval, nsec_t max_ns,
                      const uint8_t *payload, size_t n_payload)
{
    put_fields(out, interval, max_ns);
    put_payload(out, payload, n_payload);
    str_putc(out, '\n');
    return str_error(out);
}

/* Inflates what the envelope holds and reads it. */
static int open_envelope(const uint8_t *bytes, size_t n_bytes, struct histogram *ret_histogram)
{
    uLongf n_payload = PAYLOAD_SIZE_MAX;
    _cleanup_free_ uint8_t *payload = NULL;
    int z;

    if (n_bytes < ENVELOPE_SIZE || get_u32(bytes) != COOKIE_COMPRESSED) return -EPROTO;
    if (get_u32(bytes + 4) != n_bytes - ENVELOPE_SIZE) return -EPROTO;
    payload = malloc(PAYLOAD_SIZE_MAX);
    if (!payload) return -ENOMEM;
    z = uncompress(payload, &n_payload, bytes + ENVELOPE_SIZE, (uLong)(n_bytes - ENVELOPE_SIZE));
    if (z != Z_OK) return z == Z_MEM_ERROR ? -ENOMEM : -EPROTO;
    return payload_decode(payload, n_payload, ret_histogram);
}

int hlog_decode(const char *base64, size_t n_base64, struct histogram *ret_histogram)
{
    _cleanup_free_ uint8_t *bytes = NULL;
    int64_t n_bytes;

    /* More than any histogram can take, even if nothing compresses. */
    if (n_base64 > 2 * (size_t)PAYLOAD_SIZE_MAX) return -EPROTO;
    bytes = malloc(n_base64 / 4 * 3 + 1);
    if (!bytes) return -ENOMEM;
    n_bytes = get_base64(base64, n_base64, bytes);
    if (n_bytes < 0) return (int)n_bytes;
    return open_envelope(bytes, (size_t)n_bytes, ret_histogram);
}

void hlog_reader_init(struct hlog_reader *reader, const char *text, size_t len)
{
    *reader = (struct hlog_reader){.at = text, .end = text + len};
}

/*
 * Reads a decimal number such as 12.345 from the front of [*at, end), as an integer in units of 10^-decimals;
 * digits beyond that are dropped. No sign, no exponent. False if there is none, or it does not fit.
 */
static bool get_decimal(const char **at, const char *end, unsigned decimals, uint64_t *ret_value)
{
    const char *p = *at;
    uint64_t value = 0;
    bool digits = false, point = false;

    for (; p < end; p++) {
        if (*p == '.' && !point) {
            point = true;
            continue;
        }
        if (*p < '0' || *p > '9') break;
        digits = true;
        if (point && decimals == 0) continue;
        if (__builtin_mul_overflow(value, 10, &value)) return false;
        if (__builtin_add_overflow(value, (uint64_t)(*p - '0'), &value)) return false;
        if (point) decimals--;
    }
    for (; decimals > 0; decimals--)
        if (__builtin_mul_overflow(value, 10, &value)) return false;
    *at = p;
    *ret_value = value;
    return digits;
}

/* As get_decimal(), and a comma after it. */
static bool get_field(const char **at, const char *end, unsigned decimals, uint64_t *ret_value)
{
    if (!get_decimal(at, end, decimals, ret_value) || *at == end || **at != ',') return false;
    ++*at;
    return true;
}

static bool starts_with(const char *line, const char *end, const char *prefix)
{
    size_t n = strlen(prefix);

    return (size_t)(end - line) >= n && memcmp(line, prefix, n) == 0;
}

/* Takes the time out of a comment that has one. */
static void read_comment(struct hlog_reader *reader, const char *line, const char *end)
{
    const char *at = line;
    uint64_t ns;

    if (starts_with(line, end, START_TIME)) {
        at += strlen(START_TIME);
        if (get_decimal(&at, end, 9, &ns)) reader->start_time = ns;
    } else if (starts_with(line, end, BASE_TIME)) {
        at += strlen(BASE_TIME);
        if (get_decimal(&at, end, 9, &ns)) reader->base_time = ns;
    }
}

static int read_interval(const char *at, const char *end, struct hlog_record *ret_record,
                         struct histogram *ret_histogram)
{
    struct hlog_record record = {.tag = ""};

    if (starts_with(at, end, TAG_PREFIX)) {
        const char *tag = at + strlen(TAG_PREFIX);
        const char *comma = memchr(tag, ',', (size_t)(end - tag));

        if (!comma || comma - tag > HLOG_TAG_MAX) return -EPROTO;
        memcpy(record.tag, tag, (size_t)(comma - tag));
        if (!hlog_tag_valid(record.tag)) return -EPROTO;
        at = comma + 1;
    }
    if (!get_field(&at, end, 9, &record.start) || !get_field(&at, end, 9, &record.length)) return -EPROTO;
    if (!get_field(&at, end, 6, &record.max)) return -EPROTO;
    *ret_record = record;
    return hlog_decode(at, (size_t)(end - at), ret_histogram);
}

int hlog_next(struct hlog_reader *reader, struct hlog_record *ret_record, struct histogram *ret_histogram)
{
    while (reader->at < reader->end) {
        const char *line = reader->at;
        const char *end = memchr(line, '\n', (size_t)(reader->end - line));
        int r;

        reader->at = end ? end + 1 : reader->end;
        if (!end) end = reader->end;
        if (end > line && end[-1] == '\r') end--;
        reader->line++;
        if (end == line || starts_with(line, end, LEGEND)) continue;
        if (*line == '#') {
            read_comment(reader, line, end);
            continue;
        }
        r = read_interval(line, end, ret_record, ret_histogram);
        return r < 0 ? r : 1;
    }
    return 0;
}

/* The largest integer whose square is at most n. */
static uint64_t square_root(unsigned __int128 n)
{
    unsigned __int128 root = 0;

    for (unsigned bit = 64; bit-- > 0;) {
        unsigned __int128 candidate = root | (unsigned __int128)1 << bit;

        if (candidate <= n / candidate) root = candidate;
    }
    return (uint64_t)root;
}

static nsec_t standard_deviation(const struct histogram *h)
{
    nsec_t mean_ns = histogram_mean(h);
    unsigned __int128 squares = 0;
    struct histogram_cell cell;
    uint32_t walk = 0;

    while (histogram_next(h, &walk, &cell)) {
        nsec_t middle_ns = cell.low_ns + (cell.high_ns - cell.low_ns + 1) / 2;
        nsec_t distance_ns = middle_ns > mean_ns ? middle_ns - mean_ns : mean_ns - middle_ns;

        squares += (unsigned __int128)distance_ns * distance_ns * cell.count;
    }
    return square_root(squares / histogram_count(h));
}

/* A step of the table: numerator / denominator, and the number of the halving that it lies in. */
struct level {
    unsigned __int128 numerator;
    unsigned __int128 denominator;
    uint32_t half;
    uint32_t tick;
};

/* Enough for 2^48 samples, and products with 2^64 still fit. */
#define HALVES_MAX 48

static struct level level_at(uint32_t half, uint32_t tick, uint32_t ticks_per_half)
{
    unsigned __int128 halves = (unsigned __int128)1 << half;

    /* 1 - 2^-half, and then ticks of which 2 * ticks_per_half would make up the rest. */
    return (struct level){
        .numerator = (halves - 1) * 2 * ticks_per_half + tick,
        .denominator = halves * 2 * ticks_per_half,
        .half = half,
        .tick = tick,
    };
}

static struct level level_next(const struct level *l, uint32_t ticks_per_half)
{
    if (l->tick + 1 < ticks_per_half) return level_at(l->half, l->tick + 1, ticks_per_half);
    return level_at(l->half + 1, 0, ticks_per_half);
}

static void put_value(struct str *out, nsec_t ns)
{
    uint64_t us = ns / NSEC_PER_US + (ns % NSEC_PER_US >= NSEC_PER_US / 2);

    str_appendf(out, "%8llu.%03llu", (unsigned long long)(us / 1000), (unsigned long long)(us % 1000));
}

static void put_row(struct str *out, const struct histogram_cell *cell, uint64_t count, const struct level *l)
{
    const uint64_t trillion = UINT64_C(1000000000000);
    unsigned __int128 rest = l->denominator - l->numerator;
    uint64_t part = (uint64_t)((l->numerator * trillion + l->denominator / 2) / l->denominator);
    uint64_t inverse = rest ? (uint64_t)((l->denominator * 100 + rest / 2) / rest) : 0;

    put_value(out, cell->high_ns);
    str_appendf(out, " %llu.%012llu %10llu", (unsigned long long)(part / trillion),
                (unsigned long long)(part % trillion), (unsigned long long)count);
    if (rest)
        str_appendf(out, " %11llu.%02llu", (unsigned long long)(inverse / 100),
                    (unsigned long long)(inverse % 100));
    str_putc(out, '\n');
}

static void put_rows(struct str *out, const struct histogram *h, uint32_t ticks_per_half)
{
    const struct level all = {.numerator = 1, .denominator = 1};
    struct level level = level_at(0, 0, ticks_per_half);
    uint64_t total = histogram_count(h), seen = 0;
    struct histogram_cell cell;
    uint32_t walk = 0;

    while (histogram_next(h, &walk, &cell)) {
        seen += cell.count;
        while (level.half < HALVES_MAX && seen * level.denominator >= total * level.numerator) {
            put_row(out, &cell, seen, &level);
            level = level_next(&level, ticks_per_half);
            if (seen == total) break;
        }
        if (seen == total) put_row(out, &cell, seen, &all);
    }
}

int hgrm_write(struct str *out, const struct histogram *h, uint32_t ticks_per_half)
{
    bool empty = histogram_count(h) == 0;

    ASSERT(ticks_per_half >= 1 && ticks_per_half <= 100);
    str_puts(out, "       Value     Percentile TotalCount 1/(1-Percentile)\n\n");
    put_rows(out, h, ticks_per_half);
    str_puts(out, "#[Mean    = ");
    put_value(out, histogram_mean(h));
    str_puts(out, ", StdDeviation   = ");
    put_value(out, empty ? 0 : standard_deviation(h));
    str_puts(out, "]\n#[Max     = ");
    put_value(out, histogram_max(h));
    str_appendf(out, ", Total count    = %12llu]\n", (unsigned long long)histogram_count(h));
    str_appendf(out, "#[Buckets = %12u, SubBuckets     = %12u]\n", HISTOGRAM_BUCKETS,
                2u << HISTOGRAM_HALF_MAGNITUDE);
    return str_error(out);
}
