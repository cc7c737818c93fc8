/*
 * UTF-8: counting, checking, repairing. Strict: no overlong forms, no surrogates, nothing above U+10FFFF.
 *
 * What is invalid is replaced by U+FFFD as the Unicode standard recommends (and as the WHATWG decoder does):
 * one for each longest start of a sequence that could have been valid, otherwise one for each byte. A
 * surrogate that somebody encoded in UTF-8 (ED A0 80 … ED BF BF) is thus three bytes that fit nowhere: three
 * replacements.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UTF8_REPLACEMENT UINT32_C(0xfffd)
#define UTF8_INVALID     UINT32_MAX

/* Reads one character. Returns its bytes (1 … 4) and its code point; for an invalid sequence, the bytes that
 * one U+FFFD replaces (1 … 3) and UTF8_INVALID; 0 when `len` bytes are the start of a character whose rest is
 * missing. */
size_t utf8_decode(const char *text, size_t len, uint32_t *ret_code_point);

/* True if all of the text is valid. */
bool utf8_valid(const char *text, size_t len);
/* Code points, each U+FFFD of a repair counted as one. */
size_t utf8_count(const char *text, size_t len);
/* The byte offset of the nth code point, from 0; `len` where there are not so many. Never inside a character.
 */
size_t utf8_offset(const char *text, size_t len, size_t n);

/* The most bytes that utf8_repair() makes of `len` bytes, and utf8_repair_chunk() of a chunk. */
#define UTF8_REPAIRED_MAX(len) (3 * ((len) + 3))

/* Writes the text with invalid sequences replaced to `ret_out`, which has room for UTF8_REPAIRED_MAX(len)
 * bytes and is not the input. Returns the bytes written. No NUL is added. */
size_t utf8_repair(const char *text, size_t len, char *ret_out);

/* A text that arrives in chunks, which may end within a character. Start with all zeros. */
struct utf8_stream {
    uint64_t count;    /* code points so far, replacements included */
    uint64_t replaced; /* replacements so far: 0 for a valid text */
    uint8_t held[4];   /* the unfinished character at the end of the last chunk */
    uint8_t held_len;
};

/* Takes the next chunk; `last` says that none follows, so that an unfinished character is invalid. Writes the
 * repaired text to `ret_out` (room: UTF8_REPAIRED_MAX(len)), or nothing if that is NULL: then only counts.
 * Returns the bytes written. The concatenated output does not depend on where the chunks end. */
size_t utf8_repair_chunk(struct utf8_stream *s, const char *chunk, size_t len, bool last, char *ret_out);
