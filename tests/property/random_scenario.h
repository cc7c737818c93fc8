/*
 * Random scenarios: a canonical one, shortened, with random settings and random faults. The same number gives
 * the same scenario.
 */
#pragma once

#include <stdarg.h>

#include "sim/base/prng.h"
#include "tests/virtual/scenario_run.h"

#define RANDOM_SETS_MAX 48
#define RANDOM_SET_LEN  2000

struct random_scenario {
    struct prng prng;
    char path[1000], sets[RANDOM_SETS_MAX][RANDOM_SET_LEN];
    const char *set_list[RANDOM_SETS_MAX + 1];
    size_t set_count;
    const char *mcp; /* the name of its MCP server, or NULL */
    bool direct;
    uint32_t gateways;
    uint64_t duration_ms;
    struct scenario_run_options options;
};

static const struct {
    const char *name, *script, *mcp, *deployments[6];
    uint32_t deployment_count;
} canonical[] = {
    {"cold-start",
     "fix-a-bug",
     NULL,
     {"modal-cold", "modal-warm", "modal-prewarmed", "vercel-cold", "vercel-warm", "vercel-prewarmed"},
     6},
    {"fan-out", "sweep", NULL, {"unlimited", "queue", "shed"}, 3},
    {"reconnect-storm", "lookup", "search", {"retry", "no-retry"}, 2},
    {"spill-100k", "long-read", "archive", {"tunnel", "direct"}, 2},
};

static inline uint64_t random_below(struct random_scenario *r, uint64_t n)
{
    return prng_below(&r->prng, n);
}

static inline uint64_t random_between(struct random_scenario *r, uint64_t lo, uint64_t hi)
{
    return lo + random_below(r, hi - lo + 1);
}

__attribute__((format(printf, 2, 3))) static inline void random_set(struct random_scenario *r,
                                                                    const char *format, ...)
{
    char *set = r->sets[r->set_count];
    va_list args;

    ASSERT(r->set_count < RANDOM_SETS_MAX);
    va_start(args, format);
    ASSERT(vsnprintf(set, RANDOM_SET_LEN, format, args) < RANDOM_SET_LEN);
    va_end(args);
    r->set_list[r->set_count++] = set;
}

/* One setting of three is made. `lo` … `hi`: what it may be. */
static inline void random_number(struct random_scenario *r, const char *pointer, uint64_t lo, uint64_t hi)
{
    uint64_t value = random_between(r, lo, hi);

    if (random_below(r, 3) == 0) random_set(r, "%s=%lu", pointer, value);
}

static inline void random_ms(struct random_scenario *r, const char *pointer, uint64_t lo, uint64_t hi)
{
    uint64_t value = random_between(r, lo, hi);

    if (random_below(r, 3) == 0) random_set(r, "%s=\"%lums\"", pointer, value);
}

static inline void random_word(struct random_scenario *r, const char *pointer, const char *one,
                               const char *other)
{
    uint64_t value = random_below(r, 2);

    if (random_below(r, 3) == 0) random_set(r, "%s=%s", pointer, value ? one : other);
}

static inline void random_orchestrator(struct random_scenario *r)
{
    random_word(r, "/orchestrator/durable", "true", "false");
    random_ms(r, "/orchestrator/lease_ttl", 1000, 5000);
    random_ms(r, "/orchestrator/reclaim", 1, 2000);
    random_number(r, "/orchestrator/sessions_max", 1, 40);
    random_ms(r, "/orchestrator/call_timeout", 50, 5000);
    random_number(r, "/orchestrator/stream_buffer", 1, 50);
    random_ms(r, "/orchestrator/mcp/attempt_timeout", 10, 3000);
    random_number(r, "/orchestrator/mcp/retry/attempts", 1, 6);
    random_number(r, "/orchestrator/mcp/streams", 1, 8);
    random_number(r, "/orchestrator/mcp/queue", 0, 8);
    random_ms(r, "/orchestrator/mcp/stream_idle", 1, 2000);
}

static inline void random_tunnels(struct random_scenario *r)
{
    uint64_t tunnels = random_between(r, 1, 4), replicas = random_between(r, 1, 3);

    r->gateways = (uint32_t)(tunnels * replicas);
    random_set(r, "/tunnels/count=%lu", tunnels);
    random_set(r, "/tunnels/replicas=%lu", replicas);
    random_number(r, "/tunnels/connections", 1, 5);
    random_ms(r, "/tunnels/detect", 0, 2000);
    random_ms(r, "/tunnels/spacing", 0, 300);
    random_ms(r, "/links/connector-edge/dial_timeout", 1, 2000);
    random_ms(r, "/tunnels/register_timeout", 1, 1000);
    random_number(r, "/tunnels/streams", 1, 10);
    random_number(r, "/tunnels/upstream_connections", 1, 10);
    random_ms(r, "/tunnels/backoff/connection_base", 0, 300);
    random_ms(r, "/tunnels/backoff/supervisor_base", 0, 1000);
}

static inline void random_runners(struct random_scenario *r)
{
    uint64_t tenant;

    random_number(r, "/runners/pool/workers", 1, 20);
    random_number(r, "/runners/pool/instances", 1, 3);
    random_ms(r, "/runners/pool/poll_block", 1, 999);
    random_ms(r, "/runners/pool/max_idle", 0, 3000);
    random_ms(r, "/runners/pool/tool_timeout", 10, 2000);
    random_word(r, "/runners/pool/scope", "\"session\"", "\"call\"");
    random_number(r, "/runners/pool/parallel_per_agent", 0, 8);
    tenant = random_between(r, 0, 30); /* no limit, or at least one for each instance */
    random_set(r, "/runners/pool/parallel_per_tenant=%lu", tenant < 3 ? 0 : tenant);
    random_word(r, "/runners/pool/on_limit", "\"queue\"", "\"shed\"");
    random_number(r, "/runners/pool/limit_queue", 0, 20);
    random_ms(r, "/runners/pool/snapshot", 0, 500);
    random_ms(r, "/runners/pool/cold_start", 0, 1000);
}

static inline void random_load(struct random_scenario *r, const char *script)
{
    random_ms(r, "/load/agents/patience", 100, 8000);
    random_set(r, "/scripts/%s/turns/0/repeat=%lu", script, random_between(r, 1, 3));
    random_set(r, "/scripts/%s/turns/0/think={\"uniform\": [\"0ms\", \"%lums\"]}", script,
               random_below(r, 1500));
    if (r->mcp) {
        char pointer[100];

        snprintf(pointer, sizeof pointer, "/mcp/%s/concurrency", r->mcp);
        random_number(r, pointer, 1, 4);
        snprintf(pointer, sizeof pointer, "/mcp/%s/queue", r->mcp);
        random_number(r, pointer, 0, 8);
        if (random_below(r, 2)) random_set(r, "/mcp/%s/error_rate=\"20%%\"", r->mcp);
    }
}

static inline void random_network(struct random_scenario *r)
{
    static const char *const links[] = {"client-orchestrator", "runner-orchestrator", "orchestrator-edge",
                                        "connector-edge",      "connector-proxy",     "proxy-mcp",
                                        "orchestrator-mcp"};
    static const char *const hosts[] = {"mcp",       "orchestrator", "edge",  "proxy",
                                        "connector", "runner",       "client"};
    const char *link = links[random_below(r, 7)], *host = hosts[random_below(r, 7)];

    random_set(r,
               "/links/%s={\"latency\": {\"uniform\": [\"0ms\", \"%lums\"]}, \"rate\": \"%lukB/s\", "
               "\"dial_timeout\": "
               "\"%lums\", \"keep_alive\": %s}",
               link, random_below(r, 200), random_between(r, 20, 100000), random_between(r, 1, 1000),
               random_below(r, 2) ? "true" : "false");
    random_set(r, "/hosts/%s={\"cores\": %lu, \"message\": \"%luus\"}", host, random_below(r, 4),
               random_below(r, 300));
}

/* Faults
 * ------------------------------------------------------------------------------------------------------ */

/* A machine that can be killed: into `text`. */
static inline void random_machine(struct random_scenario *r, char *text, size_t size)
{
    static const char *const gateways[] = {"gateway", "connector", "proxy"};
    char which[32];

    switch (random_below(r, r->direct ? 3 : 7)) {
    case 0: snprintf(text, size, "orchestrator"); return;
    case 1: snprintf(text, size, "runner/%s", random_below(r, 2) ? "0" : "*"); return;
    case 2: snprintf(text, size, r->mcp ? "mcp/%s" : "orchestrator", r->mcp); return;
    case 3: snprintf(text, size, "edge"); return;
    default: break;
    }
    if (random_below(r, 2))
        snprintf(which, sizeof which, "%lu", random_below(r, r->gateways));
    else
        snprintf(which, sizeof which, "*");
    snprintf(text, size, "%s/%s", gateways[random_below(r, 3)], which);
}

static inline const char *random_link(struct random_scenario *r)
{
    static const char *const direct[] = {"client-orchestrator", "runner-orchestrator", "orchestrator-mcp"};
    static const char *const tunneled[] = {"client-orchestrator", "runner-orchestrator", "orchestrator-edge",
                                           "connector-edge",      "connector-proxy",     "proxy-mcp"};
    unsigned unused = r->mcp ? 0 : 1; /* the last, without a server */

    return r->direct ? direct[random_below(r, 3 - unused)] : tunneled[random_below(r, 6 - unused)];
}

static inline void random_link_fault(struct random_scenario *r, char *text, size_t size)
{
    static const char *const kinds[] = {"cut", "stall", "half-open", "delay", "rate"};
    uint64_t kind = random_below(r, 5);
    size_t n =
        (size_t)snprintf(text, size, "\"kind\": \"%s\", \"link\": \"%s\"", kinds[kind], random_link(r));

    if (kind == 3) snprintf(text + n, size - n, ", \"delay\": \"%lums\"", random_between(r, 1, 500));
    if (kind == 4) snprintf(text + n, size - n, ", \"rate\": \"%lukB/s\"", random_between(r, 1, 1000));
}

static inline void random_answer_fault(struct random_scenario *r, char *text, size_t size)
{
    static const unsigned statuses[] = {429, 500, 502, 503, 404};
    const char *target = "orchestrator";
    size_t n;

    if (!r->direct && random_below(r, 2)) target = random_below(r, 2) ? "edge" : "proxy/*";
    n = (size_t)snprintf(text, size,
                         "\"kind\": \"answer\", \"target\": \"%s\", \"status\": %u, \"share\": \"%lu%%\"",
                         target, statuses[random_below(r, 5)], random_between(r, 1, 100));
    if (random_below(r, 2)) snprintf(text + n, size - n, ", \"retry_after\": \"1s\"");
}

/* One fault as JSON, appended to `list`. */
static inline void random_fault(struct random_scenario *r, char *list, size_t size)
{
    char text[400], machine[64];
    uint64_t at = random_below(r, r->duration_ms), kind = random_below(r, 8);
    bool lasts = true;
    size_t n;

    if (kind <= 2) {
        random_machine(r, machine, sizeof machine);
        snprintf(text, sizeof text, "\"kind\": \"kill\", \"target\": \"%s\"", machine);
        lasts = random_below(r, 8) != 0;
    } else if (kind <= 5) {
        random_link_fault(r, text, sizeof text);
    } else if (kind == 6) {
        random_answer_fault(r, text, sizeof text);
    } else {
        snprintf(text, sizeof text, "\"kind\": \"worker-crash\", \"target\": \"runner/*\", \"count\": %lu",
                 random_between(r, 1, 5));
        lasts = false;
    }
    n = strlen(list);
    n += (size_t)snprintf(list + n, size - n, "%s{%s, \"at\": \"%lums\"", n > 1 ? ", " : "", text, at);
    if (lasts)
        n += (size_t)snprintf(list + n, size - n, ", \"for\": \"%lums\"",
                              random_between(r, 1, r->duration_ms - at));
    snprintf(list + n, size - n, "}");
}

static inline void random_faults(struct random_scenario *r)
{
    uint64_t count = random_below(r, 9);
    char list[1900] = "[";

    for (uint64_t i = 0; i < count; i++) random_fault(r, list, sizeof list);
    random_set(r, "/faults=%s]", list);
}

/* Makes scenario `number`, from the scenarios' folder. */
static inline void random_scenario(struct random_scenario *r, const char *folder, uint64_t number)
{
    uint64_t which;

    *r = (struct random_scenario){.prng = prng_stream(number, 0, "scenario", 0, 0)};
    which = random_below(r, sizeof canonical / sizeof *canonical);
    snprintf(r->path, sizeof r->path, "%s/%s.json", folder, canonical[which].name);
    r->mcp = canonical[which].mcp;
    r->options = (struct scenario_run_options){.path = r->path, .sets = r->set_list, .seed = number};
    r->options.deployment = canonical[which].deployments[random_below(r, canonical[which].deployment_count)];
    r->direct = strcmp(r->options.deployment, "direct") == 0;
    r->duration_ms = random_between(r, 1000, 8000);
    random_set(r, "/duration=\"%lums\"", r->duration_ms);
    random_set(r, "/drain=\"%lums\"", random_below(r, 8000));
    random_orchestrator(r);
    random_tunnels(r);
    random_runners(r);
    random_load(r, canonical[which].script);
    random_network(r);
    random_faults(r);
}
