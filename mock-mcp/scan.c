#include "mock-mcp/scan.h"

#include <string.h>

enum state {
    STATE_VALUE,       /* a value must come */
    STATE_FIRST_VALUE, /* … or the array ends */
    STATE_KEY,         /* a key must come */
    STATE_FIRST_KEY,   /* … or the object ends */
    STATE_COLON,
    STATE_AFTER, /* a value is complete */
    STATE_STRING,
    STATE_ESCAPE,  /* after a backslash */
    STATE_UNICODE, /* in the digits of \uXXXX */
    STATE_WORD,    /* number or literal */
    STATE_BROKEN,
};

enum string { STRING_SKIPPED, STRING_KEY, STRING_TOKEN, STRING_TEXT };

void mcp_scan_reset(struct scan *s)
{
    s->id_found = s->result_found = s->error_found = false;
    s->state = STATE_VALUE;
    s->depth = 0;
    s->high = 0;
    s->token_len = 0;
}

bool mcp_scan_complete(const struct scan *s)
{
    return s->state == STATE_AFTER && s->depth == 0;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* --- where we are --- */

static struct scan_level *top(struct scan *s)
{
    return &s->levels[s->depth - 1];
}

/* Whether the value that begins now is that of the key path, from the outermost object on. */
static bool is_member(const struct scan *s, enum scan_key key)
{
    return s->depth == 1 && !s->levels[0].is_array && s->levels[0].key == key;
}

static bool is_block_text(const struct scan *s)
{
    return s->depth == 4 && s->levels[0].key == SCAN_RESULT && s->levels[1].key == SCAN_CONTENT &&
           s->levels[2].is_array && s->levels[3].key == SCAN_TEXT;
}

static enum scan_key key_of(const struct scan *s)
{
    static const char *const names[] = {
        [SCAN_ID] = "id",           [SCAN_RESULT] = "result", [SCAN_ERROR] = "error",
        [SCAN_CONTENT] = "content", [SCAN_TEXT] = "text",
    };

    for (unsigned i = SCAN_ID; i < sizeof names / sizeof names[0]; i++) {
        if (s->token_len == strlen(names[i]) && memcmp(s->token, names[i], s->token_len) == 0)
            return (enum scan_key)i;
    }
    return SCAN_OTHER;
}

/* --- containers --- */

static void open_container(struct scan *s, bool is_array)
{
    if (s->depth == SCAN_DEPTH_MAX) {
        s->state = STATE_BROKEN;
        return;
    }
    if (!is_array && is_member(s, SCAN_RESULT)) s->result_found = true;
    if (!is_array && is_member(s, SCAN_ERROR)) s->error_found = true;
    s->levels[s->depth++] = (struct scan_level){.is_array = is_array};
    s->state = is_array ? STATE_FIRST_VALUE : STATE_FIRST_KEY;
}

static void close_container(struct scan *s, bool is_array)
{
    if (s->depth == 0 || top(s)->is_array != is_array) {
        s->state = STATE_BROKEN;
        return;
    }
    s->depth--;
    s->state = STATE_AFTER;
}

static void go_on(struct scan *s)
{
    if (s->depth == 0)
        s->state = STATE_BROKEN;
    else
        s->state = top(s)->is_array ? STATE_VALUE : STATE_KEY;
}

/* --- strings --- */

static void emit(struct scan *s, const char *bytes, size_t n)
{
    size_t room = SCAN_TOKEN_MAX - s->token_len;

    if (s->string == STRING_TEXT) {
        if (s->on_text) s->on_text(s->user, bytes, n);
    } else if (s->string != STRING_SKIPPED && s->token_len <= SCAN_TOKEN_MAX) {
        if (n > room) {
            s->token_len = SCAN_TOKEN_MAX + 1;
            return;
        }
        memcpy(s->token + s->token_len, bytes, n);
        s->token_len += n;
    }
}

static void emit_code_point(struct scan *s, uint32_t c)
{
    char utf8[4];
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const uint8_t lead[5] = {0, 0, 0xc0, 0xe0, 0xf0};

    for (size_t i = n - 1; i > 0; i--) {
        utf8[i] = (char)(0x80 | (c & 0x3f));
        c >>= 6;
    }
    utf8[0] = (char)(lead[n] | c);
    emit(s, utf8, n);
}

/* A high surrogate has no other half. */
static void drop_high(struct scan *s)
{
    if (s->high) emit_code_point(s, 0xfffd);
    s->high = 0;
}

static void end_unit(struct scan *s)
{
    uint32_t unit = s->unit;
    bool is_low = unit >= 0xdc00 && unit <= 0xdfff;

    s->state = STATE_STRING;
    if (s->high && is_low) {
        emit_code_point(s, 0x10000 + ((s->high - 0xd800) << 10) + (unit - 0xdc00));
        s->high = 0;
        return;
    }
    drop_high(s);
    if (unit >= 0xd800 && unit <= 0xdbff)
        s->high = unit;
    else
        emit_code_point(s, is_low ? 0xfffd : unit);
}

static void open_string(struct scan *s)
{
    s->token_len = 0;
    s->high = 0;
    if (s->state == STATE_KEY || s->state == STATE_FIRST_KEY)
        s->string = STRING_KEY;
    else if (is_block_text(s))
        s->string = STRING_TEXT;
    else
        s->string = is_member(s, SCAN_ID) ? STRING_TOKEN : STRING_SKIPPED;
    s->state = STATE_STRING;
}

static void close_string(struct scan *s)
{
    drop_high(s);
    s->state = STATE_AFTER;
    if (s->string == STRING_KEY) {
        top(s)->key = (uint8_t)key_of(s);
        s->state = STATE_COLON;
    } else if (s->string == STRING_TOKEN) {
        s->id_found = s->id && s->token_len == strlen(s->id) && memcmp(s->token, s->id, s->token_len) == 0;
    }
}

/* The plain part of a string, then what ends it. Returns the bytes taken. */
static size_t take_string(struct scan *s, const char *bytes, size_t n)
{
    size_t plain = 0;

    while (plain < n && bytes[plain] != '"' && bytes[plain] != '\\' && (unsigned char)bytes[plain] >= 0x20)
        plain++;
    if (plain) {
        drop_high(s);
        emit(s, bytes, plain);
    }
    if (plain == n) return n;
    if (bytes[plain] == '"')
        close_string(s);
    else
        s->state = bytes[plain] == '\\' ? STATE_ESCAPE : STATE_BROKEN;
    return plain + 1;
}

static void take_escape(struct scan *s, char c)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *at = c ? strchr(from, c) : NULL;

    if (c == 'u') {
        s->unit = s->digits = 0;
        s->state = STATE_UNICODE;
    } else if (at) {
        drop_high(s);
        emit(s, &to[at - from], 1);
        s->state = STATE_STRING;
    } else {
        s->state = STATE_BROKEN;
    }
}

static void take_digit(struct scan *s, char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c ? strchr(digits, c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c) : NULL;

    if (!at) {
        s->state = STATE_BROKEN;
        return;
    }
    s->unit = s->unit << 4 | (uint32_t)(at - digits);
    if (++s->digits == 4) end_unit(s);
}

/* --- numbers and literals --- */

static size_t digits_at(const char *text)
{
    return strspn(text, "0123456789");
}

static bool is_number(const char *text)
{
    size_t n;

    text += *text == '-';
    n = digits_at(text);
    if (n == 0 || (*text == '0' && n > 1)) return false;
    text += n;
    if (*text == '.') {
        n = digits_at(++text);
        if (n == 0) return false;
        text += n;
    }
    if (*text == 'e' || *text == 'E') {
        text++;
        text += *text == '+' || *text == '-';
        n = digits_at(text);
        if (n == 0) return false;
        text += n;
    }
    return *text == '\0';
}

static bool is_word_byte(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == 'E' || c == '-' || c == '+' || c == '.';
}

static void end_word(struct scan *s)
{
    s->token[s->token_len] = '\0';
    if (strcmp(s->token, "true") == 0 || strcmp(s->token, "false") == 0 || strcmp(s->token, "null") == 0 ||
        is_number(s->token))
        s->state = STATE_AFTER;
    else
        s->state = STATE_BROKEN;
}

/* Returns 0 when the byte is not part of it: the word has ended. */
static size_t take_word(struct scan *s, char c)
{
    if (!is_word_byte(c)) {
        end_word(s);
        return 0;
    }
    if (s->token_len == SCAN_TOKEN_MAX)
        s->state = STATE_BROKEN;
    else
        s->token[s->token_len++] = c;
    return 1;
}

/* --- between --- */

static void take_value(struct scan *s, char c)
{
    if (c == ']' && s->state == STATE_FIRST_VALUE) {
        close_container(s, true);
    } else if (c == '{' || c == '[') {
        open_container(s, c == '[');
    } else if (c == '"') {
        open_string(s);
    } else if (is_word_byte(c)) {
        s->state = STATE_WORD;
        s->token[0] = c;
        s->token_len = 1;
    } else {
        s->state = STATE_BROKEN;
    }
}

static void take_structure(struct scan *s, char c)
{
    switch (s->state) {
    case STATE_VALUE:
    case STATE_FIRST_VALUE: take_value(s, c); return;
    case STATE_COLON: s->state = c == ':' ? STATE_VALUE : STATE_BROKEN; return;
    case STATE_KEY:
    case STATE_FIRST_KEY:
        if (c == '"')
            open_string(s);
        else if (c == '}' && s->state == STATE_FIRST_KEY)
            close_container(s, false);
        else
            s->state = STATE_BROKEN;
        return;
    case STATE_AFTER:
        if (c == ',')
            go_on(s);
        else if (c == '}' || c == ']')
            close_container(s, c == ']');
        else
            s->state = STATE_BROKEN;
        return;
    default: s->state = STATE_BROKEN;
    }
}

bool mcp_scan_feed(struct scan *s, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n && s->state != STATE_BROKEN;) {
        switch (s->state) {
        case STATE_STRING: i += take_string(s, bytes + i, n - i); break;
        case STATE_ESCAPE: take_escape(s, bytes[i++]); break;
        case STATE_UNICODE: take_digit(s, bytes[i++]); break;
        case STATE_WORD: i += take_word(s, bytes[i]); break;
        default:
            if (!is_space(bytes[i])) take_structure(s, bytes[i]);
            i++;
        }
    }
    return s->state != STATE_BROKEN;
}
