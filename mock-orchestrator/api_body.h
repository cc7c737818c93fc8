/*
 * Texts as both ends of the wire make and check them: descriptors of what content.h makes, written out as
 * text.
 *
 * The preview of a spilled output is a note of SPILL_NOTE_CHARS for the model, which says how long the whole
 * is and in which file of its sandbox (disk_path()) it reads on, and then the output's beginning.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct evbuffer;

struct api_body {
    uint64_t id;      /* of content.h: whose text it is */
    uint64_t offset;  /* of its first character in that */
    uint64_t spilled; /* characters of the whole output, of which this is the preview; 0: it is none */
    uint64_t chars;
};

/* Appends the text, which needs no escapes in JSON. */
void api_body_write(const struct api_body *b, struct evbuffer *out);
/* Whether `text` is exactly that. */
bool api_body_check(const struct api_body *b, const char *text, size_t len);
