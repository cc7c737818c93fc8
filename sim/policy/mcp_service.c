#include "sim/policy/mcp_service.h"

#include "sim/base/prng.h"

enum purpose { PURPOSE_SERVICE = 1, PURPOSE_OUTPUT, PURPOSE_ERROR, PURPOSE_FAULT };

void mcp_service_init(struct mcp_service *s, const struct plan_mcp *plan, uint64_t seed, uint32_t replicate)
{
    *s = (struct mcp_service){.plan = plan, .key = prng_key(prng_key(seed, replicate, "mcp"), 0, plan->name)};
    gate_init(&s->gate, plan->concurrency, plan->queue_max);
}

static struct prng stream(const struct mcp_service *s, const struct mcp_request *request,
                          enum purpose purpose)
{
    return prng_derive(s->key, request->attempt_id ? request->attempt_id : request->call_id, purpose);
}

void mcp_service_draw(const struct mcp_service *s, const struct mcp_request *request, struct mcp_job *ret_job)
{
    struct prng service = stream(s, request, PURPOSE_SERVICE);
    struct prng output = stream(s, request, PURPOSE_OUTPUT);
    struct prng error = stream(s, request, PURPOSE_ERROR);

    *ret_job = (struct mcp_job){
        .service_ns = nsec_add(dist_sample(&s->plan->service_ns, &service), request->extra_service_ns),
        .output_chars =
            request->own_output ? dist_sample(&s->plan->output_chars, &output) : request->output_chars,
        .fails = prng_chance_ppm(&error, s->plan->error_ppm),
    };
}

bool mcp_service_fault_hits(const struct mcp_service *s, const struct mcp_request *request,
                            uint32_t share_ppm)
{
    struct prng p = stream(s, request, PURPOSE_FAULT);

    return prng_chance_ppm(&p, share_ppm);
}

enum gate_outcome mcp_service_offer(struct mcp_service *s, struct mcp_job *job)
{
    return gate_enter(&s->gate, &job->ticket);
}

struct mcp_job *mcp_service_leave(struct mcp_service *s, struct mcp_job *job)
{
    struct ticket *next = gate_leave(&s->gate, &job->ticket);

    return next ? container_of(next, struct mcp_job, ticket) : NULL;
}
