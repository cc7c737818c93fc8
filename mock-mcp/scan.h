/*
 * Reads one JSON-RPC response as it arrives, without keeping it: checks its syntax, finds what kind of
 * response it is, and hands on the text of the result's blocks (`result.content[i].text`), unescaped.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SCAN_DEPTH_MAX = 64, SCAN_TOKEN_MAX = 64 };

enum scan_key { SCAN_OTHER, SCAN_ID, SCAN_RESULT, SCAN_ERROR, SCAN_CONTENT, SCAN_TEXT };

struct scan_level {
    bool is_array;
    uint8_t key; /* of the member that is being read: enum scan_key */
};

struct scan {
    /* The next bytes of the text: UTF-8 as far as the sender's was. Lone surrogates are U+FFFD. */
    void (*on_text)(void *user, const char *text, size_t n);
    void *user;
    const char *id; /* the response's, if it is a string; borrowed */

    bool id_found, result_found, error_found; /* read these when mcp_scan_complete() */

    int state;
    unsigned depth;
    struct scan_level levels[SCAN_DEPTH_MAX];
    int string;          /* what the string under way is for */
    uint32_t unit, high; /* of \uXXXX: digits so far; a high surrogate that waits for its other half */
    unsigned digits;
    size_t token_len;               /* SCAN_TOKEN_MAX + 1: too long */
    char token[SCAN_TOKEN_MAX + 1]; /* key, id, number or literal */
};

/* Before each response. `on_text`, `user` and `id` stay. */
void mcp_scan_reset(struct scan *s);

/* Takes the next bytes. False: this is no JSON, or nested deeper than SCAN_DEPTH_MAX; for good. */
bool mcp_scan_feed(struct scan *s, const char *bytes, size_t n);

/* Whether all of a value has been read, and nothing but white space after it. */
bool mcp_scan_complete(const struct scan *s);
