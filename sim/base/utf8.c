#include "sim/base/utf8.h"

#include <string.h>

/* How many bytes at the start are surely ASCII: whole words at a time. */
static size_t ascii_run(const char *text, size_t len)
{
    size_t run = 0;

    for (uint64_t word; len - run >= sizeof(word); run += sizeof(word)) {
        memcpy(&word, text + run, sizeof(word));
        if (word & UINT64_C(0x8080808080808080)) break;
    }
    return run;
}

size_t utf8_decode(const char *text, size_t len, uint32_t *ret_code_point)
{
    const unsigned char *p = (const unsigned char *)text;
    unsigned lo = 0x80,
             hi = 0xbf; /* what may come second; this is where overlong forms and surrogates fail */
    uint32_t code_point;
    size_t need;

    if (len == 0) return 0;
    if (p[0] < 0x80) return *ret_code_point = p[0], 1;
    if (p[0] < 0xc2 || p[0] > 0xf4) return *ret_code_point = UTF8_INVALID, 1;
    need = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (p[0] == 0xe0) lo = 0xa0;
    if (p[0] == 0xed) hi = 0x9f;
    if (p[0] == 0xf0) lo = 0x90;
    if (p[0] == 0xf4) hi = 0x8f;

    code_point = p[0] & (0x7f >> need);
    for (size_t i = 1; i < need; i++, lo = 0x80, hi = 0xbf) {
        if (i == len) return 0;
        if (p[i] < lo || p[i] > hi) return *ret_code_point = UTF8_INVALID, i;
        code_point = code_point << 6 | (p[i] & 0x3f);
    }
    *ret_code_point = code_point;
    return need;
}

bool utf8_valid(const char *text, size_t len)
{
    struct utf8_stream s = {0};

    utf8_repair_chunk(&s, text, len, true, NULL);
    return s.replaced == 0;
}

size_t utf8_count(const char *text, size_t len)
{
    struct utf8_stream s = {0};

    utf8_repair_chunk(&s, text, len, true, NULL);
    return s.count;
}

size_t utf8_offset(const char *text, size_t len, size_t n)
{
    size_t at = ascii_run(text, len < n ? len : n);
    n -= at;

    for (; n && at < len; n--) {
        uint32_t code_point;
        size_t bytes = utf8_decode(text + at, len - at, &code_point);

        at += bytes ? bytes : len - at;
    }
    return at;
}

size_t utf8_repair(const char *text, size_t len, char *ret_out)
{
    struct utf8_stream s = {0};

    return utf8_repair_chunk(&s, text, len, true, ret_out);
}

/* Appends to the output, if there is one. */
static void put(char *out, size_t *written, const void *bytes, size_t len)
{
    if (out && len) memcpy(out + *written, bytes, len);
    *written += len;
}

static void put_replacement(struct utf8_stream *s, char *out, size_t *written)
{
    put(out, written, "\xef\xbf\xbd", 3);
    s->count++;
    s->replaced++;
}

/* Completes, or gives up, the character held from the chunk before. Returns the bytes of this chunk used up.
 */
static size_t finish_held(struct utf8_stream *s, const char *chunk, size_t len, char *out, size_t *written)
{
    size_t at = 0;

    while (s->held_len && at < len) {
        uint32_t code_point;

        s->held[s->held_len++] = chunk[at++];
        size_t bytes = utf8_decode((const char *)s->held, s->held_len, &code_point);
        if (bytes == 0) continue;
        if (code_point == UTF8_INVALID) {
            at--; /* the byte that did not fit begins something new */
            put_replacement(s, out, written);
        } else {
            put(out, written, s->held, s->held_len);
            s->count++;
        }
        s->held_len = 0;
    }
    return at;
}

size_t utf8_repair_chunk(struct utf8_stream *s, const char *chunk, size_t len, bool last, char *ret_out)
{
    size_t written = 0;
    size_t at = finish_held(s, chunk, len, ret_out, &written);

    while (at < len) {
        uint32_t code_point;
        size_t run = ascii_run(chunk + at, len - at);

        put(ret_out, &written, chunk + at, run);
        s->count += run;
        at += run;
        size_t bytes = utf8_decode(chunk + at, len - at, &code_point);
        if (bytes == 0) break;
        if (code_point == UTF8_INVALID) {
            put_replacement(s, ret_out, &written);
        } else {
            put(ret_out, &written, chunk + at, bytes);
            s->count++;
        }
        at += bytes;
    }
    for (; at < len; at++) s->held[s->held_len++] = chunk[at];
    if (last && s->held_len) {
        put_replacement(s, ret_out, &written);
        s->held_len = 0;
    }
    return written;
}
