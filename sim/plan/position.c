#include <stdint.h>
#include <string.h>

#include "sim/plan/position.h"

enum {
    FRAMES_MAX = 64, /* deeper levels are counted but not named */
    KEY_TEXT_MAX = 256,
};

struct frame {
    bool object, value_next; /* value_next: in an object, the key was read */
    size_t index;            /* array */
    size_t key, key_length;  /* object: the key's text, without quotes */
};

struct scan {
    const char *text;
    size_t length, at;
    unsigned depth;
    struct frame frames[FRAMES_MAX];
};

enum token { TOKEN_END, TOKEN_VALUE, TOKEN_OTHER };

static struct frame *scan_top(struct scan *s)
{
    return s->depth > 0 && s->depth <= FRAMES_MAX ? &s->frames[s->depth - 1] : NULL;
}

static void scan_open(struct scan *s, bool object)
{
    if (++s->depth <= FRAMES_MAX) s->frames[s->depth - 1] = (struct frame){.object = object};
}

static void scan_string(struct scan *s)
{
    for (s->at++; s->at < s->length && s->text[s->at] != '"'; s->at++)
        if (s->text[s->at] == '\\') s->at++;
    s->at = s->at < s->length ? s->at + 1 : s->length;
}

static void scan_comma(struct scan *s)
{
    struct frame *top = scan_top(s);

    if (!top) return;
    top->index++;
    top->value_next = false;
}

static enum token scan_quoted(struct scan *s, size_t start)
{
    struct frame *top = scan_top(s);

    scan_string(s);
    if (!top || !top->object || top->value_next) return TOKEN_VALUE;
    top->key = start + 1;
    top->key_length = s->at - start >= 2 ? s->at - start - 2 : 0;
    top->value_next = true;
    return TOKEN_OTHER;
}

static bool ends_word(char c)
{
    return strchr(" \t\r\n,:[]{}\"", c) != NULL;
}

/* Reads one token; before a value's first byte is passed, `*ret_start` is set to it. */
static enum token scan_next(struct scan *s, size_t *ret_start)
{
    while (s->at < s->length && strchr(" \t\r\n", s->text[s->at]) && s->text[s->at]) s->at++;
    *ret_start = s->at;
    if (s->at >= s->length) return TOKEN_END;
    switch (s->text[s->at]) {
    case '{':
    case '[': return TOKEN_VALUE; /* entered by scan_enter(), so that the pointer is still the container's */
    case '}':
    case ']':
        if (s->depth > 0) s->depth--;
        s->at++;
        return TOKEN_OTHER;
    case ',':
        scan_comma(s);
        s->at++;
        return TOKEN_OTHER;
    case ':': s->at++; return TOKEN_OTHER;
    case '"': return scan_quoted(s, s->at);
    default: break;
    }
    for (s->at++; s->at < s->length && !ends_word(s->text[s->at]);) s->at++;
    return TOKEN_VALUE;
}

static void scan_enter(struct scan *s)
{
    if (s->at >= s->length || (s->text[s->at] != '{' && s->text[s->at] != '[')) return;
    scan_open(s, s->text[s->at] == '{');
    s->at++;
}

static size_t put_utf8(char *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3f));
        out[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3f));
    out[2] = (char)(0x80 | (c >> 6 & 0x3f));
    out[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

static bool hex4(const char *text, const char *end, uint32_t *ret)
{
    uint32_t value = 0;

    if (end - text < 4) return false;
    for (int i = 0; i < 4; i++) {
        char c = text[i];

        value <<= 4;
        if (c >= '0' && c <= '9')
            value |= (uint32_t)(c - '0');
        else if ((c | 32) >= 'a' && (c | 32) <= 'f')
            value |= (uint32_t)((c | 32) - 'a' + 10);
        else
            return false;
    }
    *ret = value;
    return true;
}

/* Reads what follows "\u"; a pair of surrogates is one character. Returns the bytes read. */
static size_t unescape_unicode(const char *text, const char *end, uint32_t *ret)
{
    uint32_t low;

    if (!hex4(text, end, ret)) return 0;
    if (*ret < 0xd800 || *ret > 0xdbff || end - text < 10 || text[4] != '\\' || text[5] != 'u') return 4;
    if (!hex4(text + 6, end, &low) || low < 0xdc00 || low > 0xdfff) return 4;
    *ret = 0x10000 + ((*ret - 0xd800) << 10) + (low - 0xdc00);
    return 10;
}

/* A key's text as the parser sees it, at most KEY_TEXT_MAX bytes of it. */
static size_t unescape(const char *raw, size_t length, char *out)
{
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    const char *end = raw + length;
    size_t n = 0;

    while (raw < end && n + 4 <= KEY_TEXT_MAX) {
        uint32_t c = 0xfffd;
        const char *hit;

        if (*raw != '\\' || raw + 1 >= end) {
            out[n++] = *raw++;
            continue;
        }
        raw++;
        hit = *raw ? strchr(from, *raw) : NULL;
        if (*raw == 'u') {
            raw += 1 + unescape_unicode(raw + 1, end, &c);
            n += put_utf8(out + n, c);
        } else {
            out[n++] = hit ? to[hit - from] : *raw;
            raw++;
        }
    }
    return n;
}

/* The pointer of the value that starts here. */
static void scan_pointer(const struct scan *s, struct pointer *ret)
{
    char key[KEY_TEXT_MAX];

    ret->length = 0;
    ret->text[0] = '\0';
    for (unsigned i = 0; i < s->depth && i < FRAMES_MAX; i++) {
        const struct frame *f = &s->frames[i];

        if (!f->object)
            pointer_push_index(ret, f->index);
        else if (f->value_next)
            pointer_push(ret, key, unescape(s->text + f->key, f->key_length, key));
    }
}

static struct place place_of(const char *text, size_t offset)
{
    struct place place = {1, 1};

    for (size_t i = 0; i < offset; i++) {
        if (text[i] == '\n') {
            place.line++;
            place.column = 1;
        } else if (((unsigned char)text[i] & 0xc0) != 0x80) {
            place.column++;
        }
    }
    return place;
}

/* True if `around` names the value `pointer` names, or one that contains it. */
static bool contains(const struct pointer *around, const char *pointer)
{
    if (strncmp(around->text, pointer, around->length) != 0) return false;
    return pointer[around->length] == '\0' || pointer[around->length] == '/';
}

static size_t key_offset(struct scan *s, size_t value)
{
    const struct frame *top = scan_top(s);

    return top && top->object && top->value_next ? top->key - 1 : value;
}

struct place position_find(const char *text, size_t length, const char *pointer, bool key, bool *ret_exact)
{
    struct scan s = {.text = text, .length = length};
    struct pointer here;
    size_t best = 0, best_length = 0, start;
    bool any = false, exact = false;

    for (enum token t; !exact && (t = scan_next(&s, &start)) != TOKEN_END;) {
        if (t != TOKEN_VALUE) continue;
        scan_pointer(&s, &here);
        if (contains(&here, pointer) && (!any || here.length > best_length)) {
            any = true;
            exact = strcmp(here.text, pointer) == 0;
            best_length = here.length;
            best = exact && key ? key_offset(&s, start) : start;
        }
        scan_enter(&s);
    }
    if (ret_exact) *ret_exact = exact;
    return place_of(text, best);
}

void position_pointer(const char *text, size_t length, size_t offset, struct pointer *ret)
{
    struct scan s = {.text = text, .length = offset < length ? offset : length};
    size_t start;

    for (enum token t; (t = scan_next(&s, &start)) != TOKEN_END;)
        if (t == TOKEN_VALUE) scan_enter(&s);
    scan_pointer(&s, ret);
}
