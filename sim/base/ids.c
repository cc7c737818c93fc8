#include "sim/base/ids.h"

#include "sim/base/panic.h"

#include <string.h>

size_t id_format(char ret_text[ID_SIZE], const char *prefix, uint64_t value)
{
    size_t prefix_len = strlen(prefix);
    ASSERT(prefix_len <= ID_PREFIX_MAX);

    memcpy(ret_text, prefix, prefix_len);
    for (int i = 0; i < ID_DIGITS; i++)
        ret_text[prefix_len + i] = "0123456789abcdef"[value >> (60 - 4 * i) & 15];
    ret_text[prefix_len + ID_DIGITS] = '\0';
    return prefix_len + ID_DIGITS;
}

bool id_parse(const char *text, size_t len, const char *prefix, uint64_t *ret_value)
{
    size_t prefix_len = strlen(prefix);
    uint64_t value = 0;

    if (len != prefix_len + ID_DIGITS || memcmp(text, prefix, prefix_len) != 0) return false;
    for (size_t i = prefix_len; i < len; i++) {
        char c = text[i];

        if (c >= '0' && c <= '9')
            value = value << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            value = value << 4 | (uint64_t)(c - 'a' + 10);
        else
            return false;
    }
    *ret_value = value;
    return true;
}
