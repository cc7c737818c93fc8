/*
 * The agent's course through its script: a turn is a row of model requests, each of which calls tools in
 * parallel, and a last one that speaks.
 *
 * What is drawn depends on the seed, the session's ordinal and the place in the script alone, so that two
 * deployments meet the same model times, execution times and outputs. A turn beyond the script's last begins
 * at its first again, with other draws.
 */
#pragma once

#include "sim/plan/plan.h"

#include <stdbool.h>

enum agent_phase {
    AGENT_IDLE,  /* no turn */
    AGENT_MODEL, /* a model request is running */
    AGENT_CALLS, /* its calls are running */
};

/* What all sessions share. */
struct agent_scripts {
    const struct plan *plan;
    uint64_t model_key, call_key;
};

/* One session's place. Zeroed: before the first turn of script 0. */
struct agent_loop {
    uint32_t script;
    uint32_t turn; /* of the session, from 0: may exceed the script's */
    uint16_t step;
    uint8_t phase; /* enum agent_phase */
};

/* One call to be made. */
struct agent_call {
    enum tool tool;
    uint32_t index;      /* in its step */
    uint32_t mcp;        /* TOOL_MCP */
    nsec_t execution_ns; /* TOOL_BASH */
    bool output_given;   /* TOOL_MCP: otherwise the server draws its output */
    uint64_t output_chars;
};

/* Walks the calls of a step. */
struct agent_calls {
    const struct plan_step *step;
    struct prng prng;
    uint32_t group, in_group, index;
};

void agent_scripts_init(struct agent_scripts *a, const struct plan *plan);

/* The script of an agent that the caller knows by number: that number's, or the first. */
uint32_t agent_script(const struct agent_scripts *a, uint64_t agent);

/* IDLE → MODEL: a turn begins. Returns how long the model thinks. */
nsec_t agent_turn_begin(const struct agent_scripts *a, struct agent_loop *l, uint64_t ordinal);

/* The model request is over. True: MODEL → CALLS, and `ret_calls` walks them (there may turn out to be none:
 * a READ without anything to read). False: the agent speaks `ret_answer_bytes`, MODEL → IDLE, the turn is
 * over. */
bool agent_model_done(const struct agent_scripts *a, struct agent_loop *l, uint64_t ordinal,
                      struct agent_calls *ret_calls, uint32_t *ret_answer_bytes);

/* The next call of the walk. False at the end. */
bool agent_calls_next(struct agent_calls *calls, struct agent_call *ret_call);

/* CALLS → MODEL: all results are there. Returns how long the model thinks. */
nsec_t agent_calls_done(const struct agent_scripts *a, struct agent_loop *l, uint64_t ordinal);

/* The turn ends here, in whatever phase: IDLE, at the next turn. */
void agent_turn_break(struct agent_loop *l);

/* A number for one call of the session, the same in every deployment; `index` within the step. */
uint64_t agent_call_key(const struct agent_loop *l, uint64_t ordinal, uint32_t index);
