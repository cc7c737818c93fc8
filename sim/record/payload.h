/*
 * A histogram as bytes: HdrHistogram's V2 encoding, not compressed.
 *
 * Source: the HdrHistogram project's description of its V2 format. All integers are big-endian: cookie
 * 0x1c849313, length of the counts in bytes, normalizing offset 0, significant digits 3, lowest discernible
 * value, highest trackable value, conversion ratio 1.0 as a double; then the counts from the first cell to
 * the last that is not empty, each as zigzag LEB128 of at most 9 bytes, a negative number standing for so
 * many empty cells.
 */
#pragma once

#include "sim/record/histogram.h"

#include <stddef.h>
#include <stdint.h>

#define PAYLOAD_HEAD_SIZE 40

/* The most bytes that any histogram can take. */
#define PAYLOAD_SIZE_MAX (PAYLOAD_HEAD_SIZE + 9u * HISTOGRAM_CELLS)

/*
 * Writes the histogram to `bytes`. Returns the number of bytes, or -ENOBUFS if `capacity` is too small (then
 * what is there is undefined). Minimum, maximum, sum and `saturated` are not in the format, but for the
 * cells.
 */
int64_t payload_encode(const struct histogram *h, uint8_t *bytes, size_t capacity);

/*
 * Reads a histogram of this very geometry (lowest, highest, digits) back. Returns 0; -EPROTO if the bytes are
 * anything else, cut off, or longer than they say. `ret_histogram` is undefined on failure.
 */
int payload_decode(const uint8_t *bytes, size_t n_bytes, struct histogram *ret_histogram);

/* As payload_decode(), but adds the samples to an initialised histogram. On failure some of them may have
 * been added. */
int payload_add(const uint8_t *bytes, size_t n_bytes, struct histogram *h);
