#include "sim/virtual/lanes.h"

#include <stdlib.h>

#define LANE_MIN 64u

void lanes_deinit(struct lanes *l)
{
    if (!l) return;
    for (uint32_t i = 0; i < LANES_MAX; i++) free(l->lane[i].items);
    *l = (struct lanes){0};
}

static bool grow(struct lanes *l, struct lane *lane)
{
    uint32_t cap = lane->cap ? 2 * lane->cap : LANE_MIN;
    struct cal_entry *items = cap ? reallocarray(NULL, cap, sizeof *items) : NULL;

    if (!items) return false;
    for (uint32_t i = 0; i < lane->len; i++) items[i] = *lane_item(lane, i);
    free(lane->items);
    l->bytes += (cap - lane->cap) * sizeof *items;
    lane->items = items;
    lane->first = 0;
    lane->cap = cap;
    return true;
}

/* Puts a lane's first event among the heads. */
static void head_add(struct lanes *l, uint32_t lane, const struct cal_entry *entry)
{
    uint32_t i = l->busy++;

    for (; i > 0 && cal_entry_before(&l->heads[i - 1].entry, entry); i--) l->heads[i] = l->heads[i - 1];
    l->heads[i] = (struct lane_head){.entry = *entry, .lane = lane};
}

bool lanes_push(struct lanes *l, uint32_t number, const struct cal_entry *entry)
{
    struct lane *lane = &l->lane[number];

    if (lane->len && !cal_entry_before(lane_item(lane, lane->len - 1), entry)) return false;
    if (lane->len == lane->cap && !grow(l, lane)) return false;
    *lane_item(lane, lane->len++) = *entry;
    if (lane->len == 1) head_add(l, number, entry);
    return true;
}

const struct lane *lanes_pop(struct lanes *l)
{
    uint32_t number = l->heads[--l->busy].lane;
    struct lane *lane = &l->lane[number];

    lane->first = (lane->first + 1) & (lane->cap - 1);
    if (--lane->len) head_add(l, number, lane_item(lane, 0));
    return lane;
}
