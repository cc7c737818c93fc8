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

void flowcount_add(struct flowcount *t, uint32_t kind, enum flow_fate fate, uint64_t n)
{
    ASSERT(kind < FLOWCOUNT_KINDS && fate < FLOW_FATE_COUNT);
    shared_add(&t->counts[kind][fate], n);
}

uint64_t flowcount_get(const struct flowcount *t, uint32_t kind, enum flow_fate fate)
{
    ASSERT(kind < FLOWCOUNT_KINDS && fate < FLOW_FATE_COUNT);
    return shared_load(&t->counts[kind][fate]);
}

void flowcount_merge(struct flowcount *dst, const struct flowcount *src)
{
    for (uint32_t kind = 0; kind < FLOWCOUNT_KINDS; kind++)
        for (enum flow_fate fate = 0; fate < FLOW_FATE_COUNT; fate++)
            flowcount_add(dst, kind, fate, flowcount_get(src, kind, fate));
}

bool flowcount_balanced(const struct flowcount *t, uint32_t *ret_kind)
{
    for (uint32_t kind = 0; kind < FLOWCOUNT_KINDS; kind++) {
        uint64_t ended = flowcount_get(t, kind, FLOW_DECODED) + flowcount_get(t, kind, FLOW_RETURNED) +
                         flowcount_get(t, kind, FLOW_CUT);

        if (flowcount_get(t, kind, FLOW_EMITTED) == ended) continue;
        if (ret_kind) *ret_kind = kind;
        return false;
    }
    return true;
}
