/*
 * Bodies made from nothing: the text of a call's output is a pure function of the call's id, so that both
 * ends can make it, send it for real, and check what came without keeping it.
 *
 * One character is one byte; none needs escaping in JSON.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writes characters [offset, offset + n) of the text of `id`. */
void content_fill(uint64_t id, uint64_t offset, char *out, size_t n);

/* Whether `text` is exactly that. */
bool content_check(uint64_t id, uint64_t offset, const char *text, size_t n);
