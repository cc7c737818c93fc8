#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "sim/plan/units.h"

enum { DIGITS_MAX = 18 };

struct decimal {
    uint64_t digits;
    unsigned places; /* after the point */
};

struct unit {
    const char *suffix;
    uint64_t factor, divisor; /* divisor 0 is 1 */
};

static const struct unit durations[] = {
    {"h", 3600 * NSEC_PER_S, 0},
    {"min", 60 * NSEC_PER_S, 0},
    {"s", NSEC_PER_S, 0},
    {"ms", NSEC_PER_MS, 0},
    {"us", NSEC_PER_US, 0},
    {"ns", 1, 0},
    {NULL, 0, 0},
};
static const struct unit sizes[] = {
    {"GiB", UINT64_C(1) << 30, 0},
    {"GB", 1000000000, 0},
    {"MiB", 1 << 20, 0},
    {"MB", 1000000, 0},
    {"KiB", 1024, 0},
    {"kB", 1000, 0},
    {"B", 1, 0},
    {NULL, 0, 0},
};
static const struct unit bandwidths[] = {
    {"GiB/s", UINT64_C(1) << 30, 0},
    {"GB/s", 1000000000, 0},
    {"MiB/s", 1 << 20, 0},
    {"MB/s", 1000000, 0},
    {"KiB/s", 1024, 0},
    {"kB/s", 1000, 0},
    {"B/s", 1, 0},
    {"Gbit/s", 1000000000, 8},
    {"Mbit/s", 1000000, 8},
    {"kbit/s", 1000, 8},
    {NULL, 0, 0},
};
static const struct unit rates[] = {{"/s", 3600, 0}, {"/min", 60, 0}, {"/h", 1, 0}, {NULL, 0, 0}};
static const struct unit shares[] = {{"%", 10000, 0}, {NULL, 0, 0}};
static const struct unit prices[] = {{"", 1000000000, 0}, {NULL, 0, 0}};
static const struct unit percentiles[] = {{"", 10000, 0}, {NULL, 0, 0}};

static const char *decimal_read(const char *text, struct decimal *ret, const char **ret_rest)
{
    struct decimal d = {0};
    unsigned digits = 0;
    bool point = false;

    if (*text < '0' || *text > '9') return "does not start with a digit";
    for (;; text++) {
        if (*text == '.' && !point && text[1] >= '0' && text[1] <= '9') {
            point = true;
            continue;
        }
        if (*text < '0' || *text > '9') break;
        if (d.digits > 0 || *text != '0') digits++;
        if (digits > DIGITS_MAX || d.places >= DIGITS_MAX) return "has too many digits";
        d.digits = d.digits * 10 + (uint64_t)(*text - '0');
        d.places += point;
    }
    *ret = d;
    *ret_rest = text;
    return NULL;
}

static const char *decimal_scale(struct decimal d, const struct unit *unit, const char *too_fine,
                                 uint64_t *ret)
{
    unsigned __int128 value = (unsigned __int128)d.digits * unit->factor;
    unsigned __int128 divisor = unit->divisor ? unit->divisor : 1;

    for (unsigned i = 0; i < d.places; i++) divisor *= 10;
    if (value % divisor != 0) return too_fine;
    value /= divisor;
    if (value > INT64_MAX) return "is too large";
    *ret = (uint64_t)value;
    return NULL;
}

struct reader {
    const struct unit *units;
    const char *missing, *unknown, *too_fine;
};

static const char *read_number(const char *text, const struct reader *reader, uint64_t *ret)
{
    struct decimal d;
    const char *rest, *wrong = decimal_read(text, &d, &rest);

    if (wrong) return wrong;
    for (const struct unit *u = reader->units; u->suffix; u++)
        if (strcmp(rest, u->suffix) == 0) return decimal_scale(d, u, reader->too_fine, ret);
    return *rest ? reader->unknown : reader->missing;
}

const char *units_duration(const char *text, nsec_t *ret)
{
    static const struct reader reader = {durations, "has no unit (ns, us, ms, s, min, h)",
                                         "has an unknown unit (ns, us, ms, s, min, h)", "is finer than 1ns"};

    return read_number(text, &reader, ret);
}

const char *units_size(const char *text, uint64_t *ret_bytes)
{
    static const struct reader reader = {sizes, "has no unit (B, kB, MB, GB, KiB, MiB, GiB)",
                                         "has an unknown unit (B, kB, MB, GB, KiB, MiB, GiB)",
                                         "is no whole number of bytes"};

    return read_number(text, &reader, ret_bytes);
}

const char *units_bandwidth(const char *text, uint64_t *ret_bytes_per_second)
{
    static const struct reader reader = {
        bandwidths, "has no unit (B/s, kB/s, MB/s, GB/s, KiB/s, MiB/s, GiB/s, kbit/s, Mbit/s, Gbit/s)",
        "has an unknown unit (B/s, kB/s, MB/s, GB/s, KiB/s, MiB/s, GiB/s, kbit/s, Mbit/s, Gbit/s)",
        "is no whole number of bytes a second"};
    const char *wrong;
    uint64_t value;

    if (strcmp(text, "unlimited") == 0) {
        *ret_bytes_per_second = 0;
        return NULL;
    }
    wrong = read_number(text, &reader, &value);
    if (wrong) return wrong;
    if (value == 0) return "is 0; write \"unlimited\", or use a cut or a stall";
    *ret_bytes_per_second = value;
    return NULL;
}

const char *units_rate(const char *text, uint64_t *ret_per_hour)
{
    static const struct reader reader = {rates, "has no unit (/s, /min, /h)",
                                         "has an unknown unit (/s, /min, /h)", "is no whole number an hour"};

    return read_number(text, &reader, ret_per_hour);
}

const char *units_share(const char *text, uint64_t *ret_ppm)
{
    static const struct reader reader = {shares, "has no percent sign", "has an unknown unit (%)",
                                         "is finer than 0.0001%"};

    return read_number(text, &reader, ret_ppm);
}

const char *units_price(const char *text, uint64_t *ret_nanodollars)
{
    static const struct reader reader = {prices, "has no digits", "has something behind the number",
                                         "is finer than $0.000000001"};

    if (text[0] != '$') return "does not start with $";
    return read_number(text + 1, &reader, ret_nanodollars);
}

const char *units_percentile(const char *text, uint64_t *ret_ppm)
{
    static const struct reader reader = {percentiles, "has no digits", "has something behind the number",
                                         "is finer than 0.0001"};

    return read_number(text, &reader, ret_ppm);
}

static void format_exact(const struct unit *units, uint64_t value, char *ret, size_t size)
{
    const struct unit *u = units;

    while (u[1].suffix && (u->divisor || value == 0 || value % u->factor != 0)) u++;
    while (u->divisor) u--;
    snprintf(ret, size, "%llu%s", (unsigned long long)(value / u->factor), u->suffix);
}

/* A fraction without trailing zeros: value / 10^places. */
static void format_decimal(uint64_t value, unsigned places, const char *before, const char *after, char *ret,
                           size_t size)
{
    uint64_t scale = 1;

    while (places > 0 && value % 10 == 0) {
        value /= 10;
        places--;
    }
    for (unsigned i = 0; i < places; i++) scale *= 10;
    if (places == 0)
        snprintf(ret, size, "%s%llu%s", before, (unsigned long long)value, after);
    else
        snprintf(ret, size, "%s%llu.%0*llu%s", before, (unsigned long long)(value / scale), (int)places,
                 (unsigned long long)(value % scale), after);
}

void units_format(enum unit_kind kind, uint64_t value, char *ret, size_t size)
{
    static const struct unit seconds[] = {{"s", NSEC_PER_S, 0}, {NULL, 0, 0}};

    switch (kind) {
    case UNIT_DURATION: format_exact(value == 0 ? seconds : durations, value, ret, size); return;
    case UNIT_SIZE: format_exact(sizes, value, ret, size); return;
    case UNIT_BANDWIDTH:
        if (value == 0)
            snprintf(ret, size, "unlimited");
        else
            format_exact(bandwidths, value, ret, size);
        return;
    case UNIT_RATE: format_exact(rates, value, ret, size); return;
    case UNIT_SHARE: format_decimal(value, 4, "", "%", ret, size); return;
    case UNIT_PRICE: format_decimal(value, 9, "$", "", ret, size); return;
    case UNIT_NONE: snprintf(ret, size, "%llu", (unsigned long long)value); return;
    }
}
