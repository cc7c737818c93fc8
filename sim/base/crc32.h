/*
 * CRC-32C (Castagnoli; RFC 3720 appendix B.4): the check sum of framed logs.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Extends a check sum by `len` bytes; start with 0. In one call or in many: the same sum. */
uint32_t crc32c(uint32_t sum, const void *bytes, size_t len);
