/* The faults of a plan in words, for charts. */
#include "reports/human.h"
#include "reports/texts.h"
#include "sim/plan/fault_rules.h"

#include <errno.h>

static const char *const words[] = {"kill", "cut",    "stall",        "half-open", "delay",
                                    "rate", "answer", "worker-crash", "restart"};

/* Whether the two are one event to a person: the same thing at the same time to instances of one role. */
static bool alike(const struct plan_fault *a, const struct plan_fault *b)
{
    return a->kind == b->kind && a->at_ns == b->at_ns && a->for_ns == b->for_ns && a->link == b->link &&
           a->all_instances == b->all_instances && ADDR_ROLE(a->target) == ADDR_ROLE(b->target) &&
           a->delay_ns == b->delay_ns && a->bytes_per_second == b->bytes_per_second &&
           a->status == b->status && a->share_ppm == b->share_ppm && a->count == b->count;
}

static void target_words(const struct plan *plan, const struct plan_fault *f, struct str *out)
{
    enum role role = ADDR_ROLE(f->target);
    uint32_t ordinal = ADDR_ORDINAL(f->target);

    if (role == ROLE_NONE) return;
    str_puts(out, fault_is_of_link(f) ? " at " : " ");
    if (f->all_instances) str_puts(out, "every ");
    str_puts(out, role_name(role));
    if (f->all_instances || plan_instances(plan, role) <= 1) return;
    if (role == ROLE_MCP && ordinal < plan->mcp_count)
        str_appendf(out, " %s", plan->mcp[ordinal].name);
    else
        str_appendf(out, " %u", (unsigned)ordinal);
}

static void fault_words(const struct plan *plan, const struct plan_fault *f, uint32_t count, struct str *out)
{
    str_puts(out, (size_t)f->kind < sizeof(words) / sizeof(words[0]) ? words[f->kind] : "fault");
    if (f->kind == FAULT_ANSWER) {
        str_appendf(out, " %u to ", (unsigned)f->status);
        human_share(out, f->share_ppm);
        str_puts(out, " at");
    }
    if (fault_is_of_link(f)) str_appendf(out, " %s", link_name(f->link));
    target_words(plan, f, out);
    if (count > 1) str_appendf(out, " and %u more", (unsigned)(count - 1));
    if (f->kind == FAULT_LINK_DELAY) {
        str_puts(out, ", ");
        human_duration(out, f->delay_ns);
        str_puts(out, " more");
    } else if (f->kind == FAULT_LINK_RATE) {
        str_puts(out, ", ");
        human_bytes(out, f->bytes_per_second);
        str_puts(out, "/s");
    } else if (f->kind == FAULT_WORKER_CRASH) {
        str_appendf(out, ", %u workers", (unsigned)f->count);
        if (!f->delay_ns) return;
        str_puts(out, " after ");
        human_duration(out, f->delay_ns);
    }
}

/* Whether one like the i-th stands before it. Faults are sorted by time, so that is near. */
static bool told_before(const struct plan *plan, uint32_t i)
{
    for (uint32_t k = i; k-- > 0 && plan->faults[k].at_ns == plan->faults[i].at_ns;)
        if (alike(&plan->faults[k], &plan->faults[i])) return true;
    return false;
}

static uint32_t count_alike(const struct plan *plan, uint32_t i)
{
    uint32_t count = 0;

    for (uint32_t k = i; k < plan->fault_count && plan->faults[k].at_ns == plan->faults[i].at_ns; k++)
        count += alike(&plan->faults[k], &plan->faults[i]);
    return count;
}

int result_add_faults(const struct run_result *run, struct result *r)
{
    const struct plan *plan = run->plan;

    for (uint32_t i = 0; i < plan->fault_count; i++) {
        const struct plan_fault *f = &plan->faults[i];
        CLEANUP(str_deinit) struct str text = STR_INIT(4096);
        struct result_fault fault = {.at_ns = f->at_ns, .for_ns = f->for_ns};
        int e;

        if (told_before(plan, i)) continue;
        fault_words(plan, f, count_alike(plan, i), &text);
        fault.text = texts_keep(&r->texts, str_text(&text));
        if (!fault.text) return -ENOMEM;
        e = vec_push(&r->faults, fault);
        if (e < 0) return e;
    }
    return 0;
}
