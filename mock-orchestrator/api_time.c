#include "mock-orchestrator/api_time.h"

#include <inttypes.h>
#include <stdio.h>

#include "sim/base/nsec.h"

#define DAY_S UINT64_C(86400)

/* Days since 1970-01-01 of a date in the proleptic Gregorian calendar. Years are counted from March, so that
 * the leap day is the last of its year. */
static int64_t days_of(int year, int month, int day)
{
    int64_t y = month > 2 ? year : year - 1;
    int64_t era = y / 400, of_era = y % 400;
    int64_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

struct date {
    int year, month, day;
};

static struct date date_of(uint64_t days_since_1970)
{
    uint64_t days = days_since_1970 + 719468;
    uint64_t era = days / 146097, of_era = days % 146097;
    uint64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    uint64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    uint64_t month = (5 * of_year + 2) / 153;
    struct date d;

    d.day = (int)(of_year - (153 * month + 2) / 5) + 1;
    d.month = (int)(month < 10 ? month + 3 : month - 9);
    d.year = (int)(year + era * 400) + (d.month <= 2);
    return d;
}

size_t api_time_format(uint64_t wall_ns, char ret_text[API_TIME_SIZE])
{
    uint64_t s = wall_ns / NSEC_PER_S, of_day = s % DAY_S;
    struct date d = date_of(s / DAY_S);

    return (size_t)snprintf(
        ret_text, API_TIME_SIZE, "%04d-%02d-%02dT%02" PRIu64 ":%02" PRIu64 ":%02" PRIu64 ".%09" PRIu64 "Z",
        d.year, d.month, d.day, of_day / 3600, of_day / 60 % 60, of_day % 60, wall_ns % NSEC_PER_S);
}

/* Exactly `digits` digits; NULL: they are not there. */
static const char *take_digits(const char *text, int digits, int *ret)
{
    int n = 0;

    for (int i = 0; i < digits; i++, text++) {
        if (*text < '0' || *text > '9') return NULL;
        n = n * 10 + (*text - '0');
    }
    *ret = n;
    return text;
}

static const char *take_fraction(const char *text, uint64_t *ret_ns)
{
    uint64_t unit = NSEC_PER_S / 10;

    *ret_ns = 0;
    if (*text != '.') return text;
    if (*++text < '0' || *text > '9') return NULL;
    for (; *text >= '0' && *text <= '9'; text++, unit /= 10) *ret_ns += unit * (uint64_t)(*text - '0');
    return text;
}

/* "Z" or "+01:00", in seconds east of Greenwich, and nothing after it. */
static bool take_zone(const char *text, int *ret_s)
{
    int sign = *text == '-' ? -1 : 1, hours, minutes;

    if ((*text == 'Z' || *text == 'z') && !text[1]) {
        *ret_s = 0;
        return true;
    }
    if (*text != '+' && *text != '-') return false;
    text = take_digits(text + 1, 2, &hours);
    if (!text || *text != ':') return false;
    text = take_digits(text + 1, 2, &minutes);
    if (!text || *text || hours > 23 || minutes > 59) return false;
    *ret_s = sign * (hours * 3600 + minutes * 60);
    return true;
}

static bool take(const char **text, int digits, char then, int *ret)
{
    const char *after = take_digits(*text, digits, ret);

    if (!after || (then && *after != then)) return false;
    *text = then ? after + 1 : after;
    return true;
}

bool api_time_parse(const char *text, uint64_t *ret_wall_ns)
{
    int year, month, day, hour, minute, second, zone;
    uint64_t fraction;
    int64_t s;

    if (!take(&text, 4, '-', &year) || !take(&text, 2, '-', &month) || !take(&text, 2, 0, &day)) return false;
    if (*text != 'T' && *text != 't' && *text != ' ') return false;
    text++;
    if (!take(&text, 2, ':', &hour) || !take(&text, 2, ':', &minute) || !take(&text, 2, 0, &second))
        return false;
    text = take_fraction(text, &fraction);
    if (!text || !take_zone(text, &zone)) return false;
    if (month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60)
        return false;
    s = days_of(year, month, day) * (int64_t)DAY_S + hour * 3600 + minute * 60 + second - zone;
    if (s < 0) return false;
    *ret_wall_ns = nsec_add(nsec_mul((uint64_t)s, NSEC_PER_S), fraction);
    return true;
}
