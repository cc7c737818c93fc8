#include "sim/record/payload.h"

#include "sim/base/panic.h"
#include "sim/record/shared.h"

#include <errno.h>
#include <string.h>

#define COOKIE UINT32_C(0x1c849313)

/* 1.0 as an IEEE 754 double. */
#define RATIO_ONE UINT64_C(0x3ff0000000000000)

/* A place in bytes that are being written or read. `failed` sticks. */
struct cursor {
    uint8_t *out;
    const uint8_t *in;
    size_t left;
    bool failed;
};

static void put_u8(struct cursor *c, uint8_t byte)
{
    if (c->left == 0) {
        c->failed = true;
        return;
    }
    *c->out++ = byte;
    c->left--;
}

static uint8_t get_u8(struct cursor *c)
{
    if (c->left == 0) {
        c->failed = true;
        return 0;
    }
    c->left--;
    return *c->in++;
}

static void put_big_endian(struct cursor *c, uint64_t value, unsigned bytes)
{
    while (bytes-- > 0) put_u8(c, (uint8_t)(value >> (8 * bytes)));
}

static uint64_t get_big_endian(struct cursor *c, unsigned bytes)
{
    uint64_t value = 0;

    while (bytes-- > 0) value = value << 8 | get_u8(c);
    return value;
}

/* Zigzag, then seven bits a byte, the lowest first; a ninth byte carries eight. */
static void put_varint(struct cursor *c, int64_t value)
{
    uint64_t rest = ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);

    for (unsigned i = 0; i < 8; i++) {
        if (rest < 0x80) {
            put_u8(c, (uint8_t)rest);
            return;
        }
        put_u8(c, (uint8_t)(rest | 0x80));
        rest >>= 7;
    }
    put_u8(c, (uint8_t)rest);
}

static int64_t get_varint(struct cursor *c)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < 9; i++) {
        uint64_t byte = get_u8(c);
        bool last = i == 8 || byte < 0x80;

        value |= (last ? byte : byte & 0x7f) << (7 * i);
        if (last) break;
    }
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

/* The counts up to the last cell that is not empty; runs of two or more empty cells as one negative number.
 */
static void put_cells(struct cursor *c, const struct histogram *h)
{
    uint32_t index = 0;

    for (uint32_t walk = 0;;) {
        struct histogram_cell cell;
        uint32_t empty;

        if (!histogram_next(h, &walk, &cell)) return;
        empty = walk - 1 - index;
        if (empty == 1) put_varint(c, 0);
        if (empty > 1) put_varint(c, -(int64_t)empty);
        put_varint(c, (int64_t)cell.count);
        index = walk;
    }
}

int64_t payload_encode(const struct histogram *h, uint8_t *bytes, size_t capacity)
{
    struct cursor head = {.out = bytes, .left = PAYLOAD_HEAD_SIZE};
    struct cursor cells;
    size_t length;

    if (capacity < PAYLOAD_HEAD_SIZE) return -ENOBUFS;
    cells = (struct cursor){.out = bytes + PAYLOAD_HEAD_SIZE, .left = capacity - PAYLOAD_HEAD_SIZE};
    put_cells(&cells, h);
    if (cells.failed) return -ENOBUFS;
    length = (size_t)(cells.out - bytes) - PAYLOAD_HEAD_SIZE;
    put_big_endian(&head, COOKIE, 4);
    put_big_endian(&head, length, 4);
    put_big_endian(&head, 0, 4);
    put_big_endian(&head, HISTOGRAM_DIGITS, 4);
    put_big_endian(&head, HISTOGRAM_LOWEST_NS, 8);
    put_big_endian(&head, HISTOGRAM_HIGHEST_NS, 8);
    put_big_endian(&head, RATIO_ONE, 8);
    return (int64_t)(length + PAYLOAD_HEAD_SIZE);
}

static int get_head(struct cursor *c)
{
    if (get_big_endian(c, 4) != COOKIE) return -EPROTO;
    if (get_big_endian(c, 4) != (c->failed ? 0 : c->left - (PAYLOAD_HEAD_SIZE - 8))) return -EPROTO;
    if (get_big_endian(c, 4) != 0) return -EPROTO;
    if (get_big_endian(c, 4) != HISTOGRAM_DIGITS) return -EPROTO;
    if (get_big_endian(c, 8) != HISTOGRAM_LOWEST_NS) return -EPROTO;
    if (get_big_endian(c, 8) != HISTOGRAM_HIGHEST_NS) return -EPROTO;
    if (get_big_endian(c, 8) != RATIO_ONE) return -EPROTO;
    return c->failed ? -EPROTO : 0;
}

int payload_add(const uint8_t *bytes, size_t n_bytes, struct histogram *h)
{
    struct cursor c = {.in = bytes, .left = n_bytes};
    uint32_t n_cells = histogram_index(HISTOGRAM_HIGHEST_NS) + 1;
    uint64_t index = 0;
    uint64_t total = histogram_count(h);
    int r = get_head(&c);

    if (r < 0) return r;
    while (c.left > 0) {
        int64_t count = get_varint(&c);

        if (c.failed || index >= n_cells) return -EPROTO;
        if (count < 0) {
            /* More cells than there are would also overflow the negation. */
            if (count < -(int64_t)n_cells) return -EPROTO;
            index += (uint64_t)-count;
            continue;
        }
        if (__builtin_add_overflow(total, (uint64_t)count, &total)) return -EPROTO;
        histogram_add_cell(h, (uint32_t)index++, (uint64_t)count);
    }
    /* Empty cells after the last that is not are allowed, up to the end. */
    return index <= n_cells ? 0 : -EPROTO;
}

int payload_decode(const uint8_t *bytes, size_t n_bytes, struct histogram *ret_histogram)
{
    histogram_init(ret_histogram);
    return payload_add(bytes, n_bytes, ret_histogram);
}
