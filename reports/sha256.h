/*
 * SHA-256 as text, for the identity of a scenario.
 */
#pragma once

#include <stddef.h>

#define SHA256_HEX_LEN 64

/* The digest of `len` bytes as 64 lowercase hex digits and a NUL. 0, or -EIO if the library refuses. */
int sha256_hex(const void *bytes, size_t len, char ret_hex[SHA256_HEX_LEN + 1]);
