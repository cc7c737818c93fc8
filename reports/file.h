/*
 * Files, whole: each appears complete or not at all.
 */
#pragma once

#include "reports/result.h"
#include "sim/base/str.h"

#include <stddef.h>

/* Fills the error in: "cannot <what> <path>: <why>". Returns `error` (a negative errno). */
int report_file_fail(struct report_error *ret_error, const char *what, const char *path, int error);

/* Makes the folder `path` and those above it, and adds nothing to what is there. 0 or a negative errno, with
 * the error filled in. */
int folder_make(const char *path, struct report_error *ret_error);

/* Puts `len` bytes into `path`, by way of a temporary file beside it that is synced and renamed. On failure
 * `path` is as it was. As folder_make(). */
int report_file_write(const char *path, const void *bytes, size_t len, struct report_error *ret_error);

/* Appends the file to `out`. -EFBIG beyond its limit. As folder_make(). */
int report_file_read(const char *path, struct str *out, struct report_error *ret_error);
