#include "mock-orchestrator/api_body.h"

#include <event2/buffer.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sim/base/panic.h"
#include "sim/live/content.h"
#include "sim/live/disk.h"
#include "sim/world/msg.h"

enum { TEXT_PIECE = 16 * 1024 };

static void generate(struct evbuffer *out, uint64_t id, uint64_t offset, uint64_t n)
{
    char text[TEXT_PIECE];

    for (uint64_t done = 0; done < n;) {
        size_t take = n - done < sizeof text ? (size_t)(n - done) : sizeof text;

        content_fill(id, offset + done, text, take);
        evbuffer_add(out, text, take);
        done += take;
    }
}

/* Always as long, so that a preview's size does not depend on the output's. */
static void note(const struct api_body *b, char ret_text[SPILL_NOTE_CHARS + 1])
{
    uint64_t whole = b->spilled < UINT32_MAX ? b->spilled : UINT32_MAX; /* what a peer may say has no limit */
    char path[DISK_PATH_SIZE];
    int n;

    disk_path(b->id, path);
    n = snprintf(ret_text, SPILL_NOTE_CHARS + 1,
                 "[%" PRIu64 " characters, all in the file %s, which begins so]", whole, path);
    ASSERT(n > 0 && n <= (int)SPILL_NOTE_CHARS);
    memset(ret_text + n, ' ', SPILL_NOTE_CHARS - (size_t)n);
    ret_text[SPILL_NOTE_CHARS] = '\0';
}

/* Characters of the note in a text of `chars`, into `ret_text`. */
static size_t note_of(const struct api_body *b, char ret_text[SPILL_NOTE_CHARS + 1])
{
    if (!b->spilled) return 0;
    note(b, ret_text);
    return b->chars < SPILL_NOTE_CHARS ? (size_t)b->chars : SPILL_NOTE_CHARS;
}

void api_body_write(const struct api_body *b, struct evbuffer *out)
{
    char text[SPILL_NOTE_CHARS + 1];
    size_t n = note_of(b, text);

    if (n > 0) evbuffer_add(out, text, n);
    generate(out, b->id, b->offset, b->chars - n);
}

bool api_body_check(const struct api_body *b, const char *text, size_t len)
{
    char expected[SPILL_NOTE_CHARS + 1];
    size_t n = note_of(b, expected);

    if (len != b->chars || memcmp(text, expected, n) != 0) return false;
    return content_check(b->id, b->offset, text + n, len - n);
}
