#include "sim/record/flowcount.h"

#include "sim/base/panic.h"
#include "sim/record/shared.h"

const char *flow_fate_name(enum flow_fate fate)
{
    static const char *const names[FLOW_FATE_COUNT] = {
        [FLOW_EMITTED] = "emitted",
        [FLOW_DECODED] = "decoded",
        [FLOW_RETURNED] = "returned",
        [FLOW_CUT] = "cut",
    };

    ASSERT(fate < FLOW_FATE_COUNT);
    return names[fate];
}

void flowcount_add(struct flowcount *t, uint32_t way, uint32_t kind, enum flow_fate fate, uint64_t n)
{
    ASSERT(way < WAY_COUNT && kind < FLOWCOUNT_KINDS && fate < FLOW_FATE_COUNT);
    shared_add(&t->counts[way][kind][fate], n);
}

void flowcount_give_up(struct flowcount *t, uint32_t way)
{
    ASSERT(way < WAY_COUNT);
    shared_add(&t->given_up[way], 1);
}

uint64_t flowcount_given_up(const struct flowcount *t, uint32_t way)
{
    ASSERT(way < WAY_COUNT);
    return shared_load(&t->given_up[way]);
}

uint64_t flowcount_get(const struct flowcount *t, uint32_t way, uint32_t kind, enum flow_fate fate)
{
    ASSERT(way < WAY_COUNT && kind < FLOWCOUNT_KINDS && fate < FLOW_FATE_COUNT);
    return shared_load(&t->counts[way][kind][fate]);
}

uint64_t flowcount_sum(const struct flowcount *t, uint32_t kind, enum flow_fate fate)
{
    uint64_t sum = 0;

    for (uint32_t way = 0; way < WAY_COUNT; way++) sum += flowcount_get(t, way, kind, fate);
    return sum;
}

void flowcount_merge(struct flowcount *dst, const struct flowcount *src)
{
    for (uint32_t way = 0; way < WAY_COUNT; way++) {
        shared_add(&dst->given_up[way], flowcount_given_up(src, way));
        for (uint32_t kind = 0; kind < FLOWCOUNT_KINDS; kind++)
            for (enum flow_fate fate = 0; fate < FLOW_FATE_COUNT; fate++)
                flowcount_add(dst, way, kind, fate, flowcount_get(src, way, kind, fate));
    }
}

static bool is_balanced(const struct flowcount *t, uint32_t way, uint32_t kind)
{
    return flowcount_get(t, way, kind, FLOW_EMITTED) == flowcount_get(t, way, kind, FLOW_DECODED) +
                                                            flowcount_get(t, way, kind, FLOW_RETURNED) +
                                                            flowcount_get(t, way, kind, FLOW_CUT);
}

bool flowcount_balanced(const struct flowcount *t, uint32_t *ret_kind)
{
    for (uint32_t way = 0; way < WAY_COUNT; way++) {
        for (uint32_t kind = 0; kind < FLOWCOUNT_KINDS; kind++) {
            if (is_balanced(t, way, kind)) continue;
            if (ret_kind) *ret_kind = kind;
            return false;
        }
    }
    return true;
}
