/*
 * Numbers with units, exact: decimal text to integers and back. Each reader returns NULL, or what is wrong in
 * words that complete "the value …"; `*ret` is then untouched.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "sim/base/nsec.h"

/* "300ms", "1.5s", "2min", "1h"; also us, ns. */
const char *units_duration(const char *text, nsec_t *ret);
/* "512B", "64KiB", "1.5MB", "1GiB". */
const char *units_size(const char *text, uint64_t *ret_bytes);
/* "100MB/s", "1Gbit/s"; "unlimited" is 0. */
const char *units_bandwidth(const char *text, uint64_t *ret_bytes_per_second);
/* "8/s", "30/min", "0.5/h" is refused: the result is a whole number per hour. */
const char *units_rate(const char *text, uint64_t *ret_per_hour);
/* "0.5%", in parts per million. */
const char *units_share(const char *text, uint64_t *ret_ppm);
/* "$0.0000142", in nanodollars. */
const char *units_price(const char *text, uint64_t *ret_nanodollars);
/* "99.9", in parts per million of 100. */
const char *units_percentile(const char *text, uint64_t *ret_ppm);

enum unit_kind { UNIT_NONE, UNIT_DURATION, UNIT_SIZE, UNIT_BANDWIDTH, UNIT_RATE, UNIT_SHARE, UNIT_PRICE };

/* Writes a value so that its reader gives it back: the largest unit without a fraction. At most 40 bytes. */
void units_format(enum unit_kind kind, uint64_t value, char *ret, size_t size);
