/* The faults of a plan in words, for charts. */
#include "reports/human.h"
#include "reports/texts.h"

#include <errno.h>

static const char *const words[] = {"kill",  "cut",  "stall",  "half-open",
                                    "delay", "rate", "answer", "worker-crash"};

static bool is_link_fault(const struct plan_fault *f)
{
    return f->kind >= FAULT_LINK_CUT && f->kind <= FAULT_LINK_RATE;
}

/* Whether the two are one event to a person: the same thing at the same time to instances of one role. */
static bool alike(const struct plan_fault *a, const struct plan_fault *b)
{
    return a->kind == b->kind && a->at_ns == b->at_ns && a->for_ns == b->for_ns && a->link == b->link &&
           a->all_instances == b->all_instances && ADDR_ROLE(a->target) == ADDR_ROLE(b->target);
}

static void target_words(const struct plan *plan, const struct plan_fault *f, struct str *out)
{
    enum role role = ADDR_ROLE(f->target);
    uint32_t ordinal = ADDR_ORDINAL(f->target);

    if (role == ROLE_NONE) return;
    str_puts(out, is_link_fault(f) ? " at " : " ");
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
    if (is_link_fault(f)) str_appendf(out, " %s", link_name(f->link));
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
    }
}

int result_add_faults(const struct run_result *run, struct result *r)
{
    const struct plan *plan = run->plan;

    for (uint32_t i = 0, count; i < plan->fault_count; i += count) {
        const struct plan_fault *f = &plan->faults[i];
        CLEANUP(str_deinit) struct str text = STR_INIT(4096);
        struct result_fault fault = {.at_ns = f->at_ns, .for_ns = f->for_ns};
        int e;

        for (count = 1; i + count < plan->fault_count && alike(f, &plan->faults[i + count]); count++) {
        }
        fault_words(plan, f, count, &text);
        fault.text = texts_keep(&r->texts, str_text(&text));
        if (!fault.text) return -ENOMEM;
        e = vec_push(&r->faults, fault);
        if (e < 0) return e;
    }
    return 0;
}
