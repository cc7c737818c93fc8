/*
 * What a synthetic MCP server draws for a request, and whom it serves when: a queue of the kind M/G/c with a
 * bounded number of waiting requests.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "sim/base/nsec.h"
#include "sim/plan/plan.h"
#include "sim/policy/gate.h"

struct mcp_service {
    const struct plan_mcp *plan; /* borrowed */
    uint64_t key;
    struct gate gate;
};

/* What is served. */
struct mcp_job {
    struct ticket ticket;
    nsec_t service_ns;
    uint64_t output_chars;
    bool fails; /* answered with an error after its service time */
};

/* A request. Its draws belong to the attempt's id, which is unique over all calls: a retried attempt draws
 * anew, and the caller may make the id the same in every deployment. Without one (0), they belong to the
 * call. */
struct mcp_request {
    uint64_t call_id, attempt_id;
    uint64_t output_chars;   /* wanted, unless own_output */
    bool own_output;         /* the server draws the size of its output */
    nsec_t extra_service_ns; /* on top of what is drawn */
};

/* The service must not move. `plan` must live as long. */
void mcp_service_init(struct mcp_service *s, const struct plan_mcp *plan, uint64_t seed, uint32_t replicate);

/* Draws service time, output size and failure of a request. A pure function of the run's seed, the server's
 * name, the request. */
void mcp_service_draw(const struct mcp_service *s, const struct mcp_request *request,
                      struct mcp_job *ret_job);

/* Whether a request falls to a fault that hits `share_ppm` of them. Independent of the other draws. */
bool mcp_service_fault_hits(const struct mcp_service *s, const struct mcp_request *request,
                            uint32_t share_ppm);

/* A job comes: GATE_IN when its service begins now. */
enum gate_outcome mcp_service_offer(struct mcp_service *s, struct mcp_job *job);

/* A job is done, or is cancelled while it waits or is served. Returns the job whose service begins now
 * instead, or NULL. */
struct mcp_job *mcp_service_leave(struct mcp_service *s, struct mcp_job *job);
