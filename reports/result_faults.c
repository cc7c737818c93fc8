/* The faults of a scenario in words, as it names them, for tables and charts. */
#include "reports/human.h"
#include "reports/texts.h"
#include "sim/plan/fault_rules.h"
#include "sim/plan/units.h"

#include <errno.h>

static const char *const words[] = {"kill", "cut",    "stall",        "half-open", "delay",
                                    "rate", "answer", "worker-crash", "restart"};

static void fault_words(const struct plan_fault *f, struct str *out)
{
    char rate[48];

    str_puts(out, (size_t)f->kind < sizeof(words) / sizeof(words[0]) ? words[f->kind] : "fault");
    if (f->kind == FAULT_ANSWER) {
        str_appendf(out, " %u to ", (unsigned)f->status);
        human_share(out, f->share_ppm);
        str_puts(out, " at");
    }
    if (fault_is_of_link(f)) str_appendf(out, " %s", link_name(f->link));
    if (f->target_text) str_appendf(out, "%s %s", fault_is_of_link(f) ? " at" : "", f->target_text);
    if (f->kind == FAULT_LINK_DELAY) {
        str_puts(out, ", ");
        human_duration(out, f->delay_ns);
        str_puts(out, " more");
    } else if (f->kind == FAULT_LINK_RATE) {
        units_format(UNIT_BANDWIDTH, f->bytes_per_second, rate, sizeof(rate));
        str_appendf(out, ", %s", rate);
    } else if (f->kind == FAULT_WORKER_CRASH) {
        str_appendf(out, ", %u workers", (unsigned)f->count);
        if (!f->delay_ns) return;
        str_puts(out, " after ");
        human_duration(out, f->delay_ns);
    }
}

/* A restart lasts from its word to its return: it ends in a kill. */
static nsec_t lasts(const struct plan *plan, uint32_t i)
{
    const struct plan_fault *f = &plan->faults[i];

    if (f->kind != FAULT_RESTART) return f->for_ns;
    for (uint32_t k = i + 1; k < plan->fault_count; k++)
        if (plan->faults[k].source == f->source && plan->faults[k].kind == FAULT_KILL)
            return nsec_add(f->for_ns, plan->faults[k].for_ns);
    return f->for_ns;
}

int result_add_faults(const struct run_result *run, struct result *r)
{
    const struct plan *plan = run->plan;

    for (uint32_t i = 0; i < plan->fault_count; i++) {
        const struct plan_fault *f = &plan->faults[i];
        CLEANUP(str_deinit) struct str text = STR_INIT(4096);
        struct result_fault fault = {.at_ns = f->at_ns};
        int e;

        if (!f->first) continue;
        fault.for_ns = lasts(plan, i);
        fault_words(f, &text);
        fault.text = texts_keep(&r->texts, str_text(&text));
        if (!fault.text) return -ENOMEM;
        e = vec_push(&r->faults, fault);
        if (e < 0) return e;
    }
    return 0;
}
