#include "sim/policy/agent_loop.h"

#include "sim/base/panic.h"

#define STEPS_MAX UINT16_MAX

void agent_scripts_init(struct agent_scripts *a, const struct plan *plan)
{
    ASSERT(plan->script_count);
    a->plan = plan;
    a->model_key = prng_key(plan->seed, plan->replicate, "model");
    a->call_key = prng_key(plan->seed, plan->replicate, "call");
}

uint32_t agent_script(const struct agent_scripts *a, uint64_t agent)
{
    return agent < a->plan->script_count ? (uint32_t)agent : 0;
}

static const struct plan_turn *turn_of(const struct agent_scripts *a, const struct agent_loop *l)
{
    const struct plan_script *script = &a->plan->scripts[l->script];

    ASSERT(script->turn_count);
    return &script->turns[l->turn % script->turn_count];
}

/* The step that is next or running; NULL: the answer. */
static const struct plan_step *step_of(const struct agent_scripts *a, const struct agent_loop *l)
{
    const struct plan_turn *turn = turn_of(a, l);

    return l->step < turn->step_count ? &turn->steps[l->step] : NULL;
}

static uint64_t place(const struct agent_loop *l)
{
    return (uint64_t)l->turn << 32 | l->step;
}

static nsec_t model_begin(const struct agent_scripts *a, struct agent_loop *l, uint64_t ordinal)
{
    const struct plan_step *step = step_of(a, l);
    struct prng p = prng_derive(a->model_key, mix64_chain(ordinal, place(l)), 0);

    l->phase = AGENT_MODEL;
    return dist_sample(step ? &step->model_ns : &turn_of(a, l)->answer_model_ns, &p);
}

nsec_t agent_turn_begin(const struct agent_scripts *a, struct agent_loop *l, uint64_t ordinal)
{
    ASSERT(l->phase == AGENT_IDLE);
    l->step = 0;
    return model_begin(a, l, ordinal);
}

bool agent_model_done(const struct agent_scripts *a, struct agent_loop *l, uint64_t ordinal,
                      struct agent_calls *ret_calls, uint32_t *ret_answer_bytes)
{
    const struct plan_step *step = step_of(a, l);

    ASSERT(l->phase == AGENT_MODEL);
    if (!step || step->call_count == 0) {
        *ret_answer_bytes = turn_of(a, l)->answer_bytes;
        agent_turn_break(l);
        return false;
    }
    l->phase = AGENT_CALLS;
    *ret_calls = (struct agent_calls){.step = step,
                                      .prng = prng_derive(a->call_key, mix64_chain(ordinal, place(l)), 0)};
    return true;
}

bool agent_calls_next(struct agent_calls *calls, struct agent_call *ret_call)
{
    const struct plan_call *group;

    while (calls->group < calls->step->call_count &&
           calls->in_group >= calls->step->calls[calls->group].count) {
        calls->group++;
        calls->in_group = 0;
    }
    if (calls->group >= calls->step->call_count) return false;
    group = &calls->step->calls[calls->group];
    calls->in_group++;
    *ret_call = (struct agent_call){
        .tool = group->tool, .index = calls->index++, .mcp = group->mcp, .output_given = group->output_given};
    /* Both are always drawn, so that one call's kind shifts nobody else's draws. */
    ret_call->execution_ns = dist_sample(&group->execution_ns, &calls->prng);
    ret_call->output_chars = dist_sample(&group->output_chars, &calls->prng);
    return true;
}

nsec_t agent_calls_done(const struct agent_scripts *a, struct agent_loop *l, uint64_t ordinal)
{
    ASSERT(l->phase == AGENT_CALLS && l->step < STEPS_MAX);
    l->step++;
    return model_begin(a, l, ordinal);
}

void agent_turn_break(struct agent_loop *l)
{
    l->phase = AGENT_IDLE;
    l->step = 0;
    l->turn++;
}

uint64_t agent_call_key(const struct agent_loop *l, uint64_t ordinal, uint32_t index)
{
    return mix64_chain(mix64_chain(ordinal, place(l)), index);
}
