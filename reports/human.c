#include "reports/human.h"

#include "sim/base/utf8.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct range {
    uint32_t low, high;
};

/* Two columns in terminals: East Asian wide forms and pictographs. */
static const struct range wide[] = {
    {0x1100, 0x115f},   {0x2e80, 0x303e},   {0x3041, 0xa4cf},   {0xac00, 0xd7a3},   {0xf900, 0xfaff},
    {0xfe30, 0xfe6f},   {0xff00, 0xff60},   {0xffe0, 0xffe6},   {0x1f300, 0x1f64f}, {0x1f680, 0x1f6ff},
    {0x1f900, 0x1f9ff}, {0x1fa70, 0x1faff}, {0x20000, 0x3fffd},
};

/* No column: marks that combine, joiners, variation selectors. */
static const struct range narrow[] = {
    {0x0300, 0x036f}, {0x1ab0, 0x1aff}, {0x1dc0, 0x1dff}, {0x200b, 0x200d},
    {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}, {0xfeff, 0xfeff},
};

/* What may move the cursor or turn the direction of text. */
static const struct range control[] = {
    {0x00, 0x1f}, {0x7f, 0x9f}, {0x061c, 0x061c}, {0x200e, 0x200f}, {0x2028, 0x202e}, {0x2066, 0x2069},
};

static bool in_ranges(uint32_t c, const struct range *ranges, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (c >= ranges[i].low && c <= ranges[i].high) return true;
    return false;
}

#define IN(c, table) in_ranges(c, table, sizeof(table) / sizeof((table)[0]))

static size_t columns(uint32_t c)
{
    if (c == UTF8_INVALID || IN(c, control)) return 1;
    if (IN(c, narrow)) return 0;
    return IN(c, wide) ? 2 : 1;
}

/* One character from text[at]; an unfinished one at the end is invalid. */
static size_t next(const char *text, size_t len, size_t at, uint32_t *ret_c)
{
    size_t n = utf8_decode(text + at, len - at, ret_c);

    if (n > 0) return n;
    *ret_c = UTF8_INVALID;
    return len - at;
}

size_t human_width(const char *text)
{
    size_t len = strlen(text), width = 0;
    uint32_t c;

    for (size_t at = 0; at < len;) {
        at += next(text, len, at, &c);
        width += columns(c);
    }
    return width;
}

int human_text(struct str *out, const char *text, size_t width_max)
{
    size_t len = strlen(text), width = 0;
    bool cut = width_max > 0 && human_width(text) > width_max;
    uint32_t c;

    for (size_t at = 0; at < len;) {
        size_t n = next(text, len, at, &c);

        width += columns(c);
        if (cut && width > width_max - 1) break;
        if (c == UTF8_INVALID)
            str_puts(out, "\xef\xbf\xbd");
        else if (IN(c, control))
            str_putc(out, '?');
        else
            str_append(out, text + at, n);
        at += n;
    }
    if (cut) str_puts(out, "\xe2\x80\xa6");
    return str_error(out);
}

/* Three digits of v / unit, with the unit's name; v is below 1,000 units, or the unit is the last one. */
static bool three_digits(struct str *out, uint64_t v, uint64_t unit, uint64_t unit_next, const char *name)
{
    unsigned decimals = v < 10 * unit ? 2 : v < 100 * unit ? 1 : 0;
    uint64_t scale = decimals == 2 ? 100 : decimals == 1 ? 10 : 1;
    uint64_t rounded = (uint64_t)(((unsigned __int128)v * scale + unit / 2) / unit);

    /* 9.996 is 10.0, and 999.6 us is 1.00 ms. */
    if (decimals > 0 && rounded >= 1000) {
        decimals--;
        rounded /= 10;
        scale /= 10;
    }
    if (unit_next && rounded / scale >= unit_next / unit) return false;
    if (decimals == 0)
        str_appendf(out, "%llu%s", (unsigned long long)rounded, name);
    else
        str_appendf(out, "%llu.%0*llu%s", (unsigned long long)(rounded / scale), (int)decimals,
                    (unsigned long long)(rounded % scale), name);
    return true;
}

static int long_duration(struct str *out, uint64_t ns)
{
    uint64_t s = ns / NSEC_PER_S + (ns % NSEC_PER_S >= NSEC_PER_S / 2), minutes;

    if (s < 3600) return str_appendf(out, "%umin%02us", (unsigned)(s / 60), (unsigned)(s % 60));
    minutes = (s + 30) / 60;
    return str_appendf(out, "%lluh%02umin", (unsigned long long)(minutes / 60), (unsigned)(minutes % 60));
}

int human_duration(struct str *out, uint64_t ns)
{
    static const struct {
        uint64_t unit, next;
        const char *name;
    } units[] = {
        {NSEC_PER_US, NSEC_PER_MS, "us"},
        {NSEC_PER_MS, NSEC_PER_S, "ms"},
        {NSEC_PER_S, 100 * NSEC_PER_S, "s"},
    };

    if (ns == FIGURE_NONE) return str_putc(out, '-');
    if (ns == 0) return str_puts(out, "0s");
    /* Below a histogram's resolution. */
    if (ns < NSEC_PER_US) return str_puts(out, "<1us");
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (ns >= units[i].next) continue;
        if (three_digits(out, ns, units[i].unit, units[i].next, units[i].name)) return str_error(out);
    }
    return long_duration(out, ns);
}

int human_count(struct str *out, uint64_t n)
{
    char digits[24];
    size_t len;

    if (n == FIGURE_NONE) return str_putc(out, '-');
    len = (size_t)snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n);
    for (size_t i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0) str_putc(out, ',');
        str_putc(out, digits[i]);
    }
    return str_error(out);
}

/* whole.fraction without zeros at the end; `fraction` has `places` decimal places. */
static int decimal(struct str *out, uint64_t whole, uint64_t fraction, unsigned places, const char *unit)
{
    str_put_u64(out, whole);
    while (places > 0 && fraction % 10 == 0) {
        fraction /= 10;
        places--;
    }
    if (places > 0) str_appendf(out, ".%0*llu", (int)places, (unsigned long long)fraction);
    return str_puts(out, unit);
}

int human_share(struct str *out, uint64_t ppm)
{
    if (ppm == FIGURE_NONE) return str_putc(out, '-');
    return decimal(out, ppm / 10000, ppm % 10000, 4, "%");
}

int human_rate(struct str *out, uint64_t per_hour)
{
    uint64_t whole = per_hour >= 3600 ? 3600 : per_hour >= 60 ? 60 : 1;
    const char *unit = whole == 3600 ? "/s" : whole == 60 ? "/min" : "/h";

    if (per_hour == FIGURE_NONE) return str_putc(out, '-');
    return decimal(out, per_hour / whole, per_hour % whole * 100 / whole, 2, unit);
}

int human_bytes(struct str *out, uint64_t bytes)
{
    static const char *const names[] = {" B", " KiB", " MiB", " GiB", " TiB"};
    unsigned i = 0;
    uint64_t unit = 1;

    if (bytes == FIGURE_NONE) return str_putc(out, '-');
    while (i < 4 && bytes / unit >= 1024) {
        unit *= 1024;
        i++;
    }
    if (bytes / unit >= 100 || i == 0) return decimal(out, bytes / unit, 0, 0, names[i]);
    return decimal(out, bytes / unit, bytes % unit * 10 / unit, 1, names[i]);
}

int human_money(struct str *out, const char *money)
{
    unsigned places = 0, telling = 0;
    bool dot = false;

    if (!money) return str_putc(out, '-');
    str_putc(out, '$');
    for (; *money == '.' || (*money >= '0' && *money <= '9'); money++) {
        if (dot && places >= 2 && telling >= 4) break;
        str_putc(out, *money);
        if (*money == '.')
            dot = true;
        else
            places += dot;
        if (telling > 0 || (*money >= '1' && *money <= '9')) telling += *money != '.';
    }
    return str_error(out);
}

int human_objective(struct str *out, enum objective_fn fn, uint64_t value)
{
    switch (fn) {
    case OBJECTIVE_COUNT: return human_count(out, value);
    case OBJECTIVE_RATE: return human_rate(out, value);
    case OBJECTIVE_RATIO: return human_share(out, value);
    default: return human_duration(out, value);
    }
}

int human_part(struct str *out, uint64_t part, uint64_t whole)
{
    uint64_t permille;

    if (whole == 0) return str_putc(out, '-');
    permille = (uint64_t)(((unsigned __int128)part * 1000 + whole / 2) / whole);
    return str_appendf(out, "%llu.%llu%%", (unsigned long long)(permille / 10),
                       (unsigned long long)(permille % 10));
}
