/* What a plan holds: defaults, deployments, --set, faults, objectives, distributions. */
#include <errno.h>

#include "sim/plan/arena.h"
#include "sim/plan/fault_rules.h"
#include "sim/plan/way.h"
#include "tests/plan/plan_test.h"

static struct plan *load_small(const char *deployment, const char *const *sets, size_t set_count)
{
    struct plan_load_options options = text_options(small_scenario);

    options.deployment = deployment;
    options.sets = sets;
    options.set_count = set_count;
    options.seed = 42;
    options.replicate = 3;
    return load_or_fail(&options);
}

START_TEST(test_defaults)
{
    CLEANUP(plan_free_p) struct plan *p = load_small("y", NULL, 0);

    ck_assert_str_eq(p->scenario_name, "t");
    ck_assert_str_eq(p->about, "");
    ck_assert_str_eq(p->deployment, "y");
    ck_assert_str_eq(p->scenario_sha256, "");
    ck_assert(p->informational);
    ck_assert_uint_eq(p->seed, 42);
    ck_assert_uint_eq(p->replicate, 3);
    ck_assert_uint_eq(p->duration_ns, 10 * NSEC_PER_S);
    ck_assert_uint_eq(p->drain_ns, 10 * NSEC_PER_S);
    ck_assert_uint_eq(p->interval_ns, NSEC_PER_S);
    ck_assert_uint_eq(p->loads[0].patience_ns, 600 * NSEC_PER_S);
    ck_assert_uint_eq(p->loads[0].think_ns.lo, NSEC_PER_S);
    ck_assert_uint_eq(p->spans_max, 1000000);
    ck_assert_uint_eq(p->span_sample_every, 1);
    ck_assert_uint_eq(p->live.gateway_processes, 1);
    ck_assert(!p->live.relay_links);
}
END_TEST

/* The numbers that the real products are known for. */
START_TEST(test_defaults_of_products)
{
    CLEANUP(plan_free_p) struct plan *p = load_small("y", NULL, 0);
    const struct plan_tunnels *t = &p->tunnels;
    const struct plan_orchestrator *o = &p->orchestrator;
    const struct plan_runner *r = &p->runners[0];

    ck_assert_uint_eq(t->count, 1);
    ck_assert_uint_eq(t->connections, 4);
    ck_assert_uint_eq(t->spacing_ns, NSEC_PER_S);
    ck_assert_uint_eq(t->register_timeout_ns, 5 * NSEC_PER_S);
    ck_assert_uint_eq(t->grace_ns, 30 * NSEC_PER_S);
    ck_assert_uint_eq(t->backoff.connection_base_ns, NSEC_PER_S);
    ck_assert_uint_eq(t->backoff.connection_max_exponent, 5);
    ck_assert_uint_eq(t->backoff.supervisor_base_ns, 10 * NSEC_PER_S);
    ck_assert_uint_eq(t->backoff.supervisor_max_exponent, 5);
    ck_assert(t->backoff.jitter);
    ck_assert(o->durable);
    ck_assert_uint_eq(o->lease_ttl_ns, 300 * NSEC_PER_S);
    ck_assert_uint_eq(o->reclaim_ns, 5 * NSEC_PER_S);
    ck_assert_uint_eq(o->spill_threshold_chars, 100000);
    ck_assert(o->mcp_retry.on_reset && o->mcp_retry.on_status_5xx && o->mcp_retry.on_status_429);
    ck_assert(!o->mcp_retry.on_timeout);
    ck_assert_uint_eq(r->poll_block_ns, 999 * NSEC_PER_MS);
    ck_assert_uint_eq(r->poll_pause_min_ns, NSEC_PER_S);
    ck_assert_uint_eq(r->poll_pause_max_ns, 3 * NSEC_PER_S);
    ck_assert_uint_eq(r->max_idle_ns, 60 * NSEC_PER_S);
    ck_assert_uint_eq(r->tool_timeout_ns, 120 * NSEC_PER_S);
}
END_TEST

/* Which links a live run leads through a relay by itself. */
START_TEST(test_splits)
{
    static const char *const sets[] = {"/objectives/0=max(mcp.call{server=m}) < 2s",
                                       "/objectives/-=count(tool.call{tool=read}) > 0",
                                       "/objectives/-=rate(session.total{script=a}) > 1/s"};
    CLEANUP(plan_free_p) struct plan *p = load_small("y", sets, 3);

    ck_assert_str_eq(p->objectives[0].subject, "mcp.call{server=m}");
    ck_assert_uint_eq(plan_split_names(p, SPLIT_TOOL), 3);
    ck_assert_uint_eq(plan_split_names(p, SPLIT_SERVER), 1);
    ck_assert_uint_eq(plan_split_names(p, SPLIT_SCRIPT), 1);
    ck_assert_str_eq(plan_split_name(p, SPLIT_TOOL, TOOL_BASH), "bash");
    ck_assert_ptr_null(plan_split_name(p, SPLIT_TOOL, TOOL_WRITE));
    ck_assert_ptr_null(plan_split_name(p, SPLIT_SERVER, 1));
}
END_TEST

START_TEST(test_relayed_links)
{
    static const struct {
        const char *set;
        bool relayed;
    } cases[] = {
        {"/links/proxy-mcp/latency=50us", false},
        {"/links/proxy-mcp/latency=199us", false},
        {"/links/proxy-mcp/latency=200us", true},
        {"/links/proxy-mcp/latency={\"uniform\":[\"0s\",\"400us\"]}", true},
        {"/links/proxy-mcp/rate=10Gbit/s", true},
        {"/links/proxy-mcp/rate=unlimited", false},
        {"/faults/-={\"kind\":\"cut\",\"at\":\"1s\",\"for\":\"1s\",\"link\":\"proxy-mcp\"}", true},
        {"/faults/-={\"kind\":\"kill\",\"at\":\"1s\",\"for\":\"1s\",\"target\":\"edge\"}", false},
        {"/live/relay=true", true},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CLEANUP(plan_free_p) struct plan *p = load_small("y", &cases[i].set, 1);

        ck_assert_msg(plan_link_relayed(p, LINK_PROXY_MCP) == cases[i].relayed, "%s", cases[i].set);
        ck_assert_msg(plan_link_relayed(p, LINK_CONNECTOR_EDGE) == p->live.relay_links, "%s", cases[i].set);
    }
}
END_TEST

START_TEST(test_defaults_of_links_and_hosts)
{
    static const uint32_t round_trips[LINK_COUNT] = {2, 2, 2, 3, 1, 1, 1};
    static const nsec_t client_us[LINK_COUNT] = {410, 410, 410, 410, 30, 30, 30};
    static const nsec_t server_us[LINK_COUNT] = {190, 190, 190, 190, 30, 30, 30};
    static const nsec_t kilobyte_us[] = {
        [ROLE_MCP] = 1,       [ROLE_ORCHESTRATOR] = 20, [ROLE_EDGE] = 4,   [ROLE_PROXY] = 4,
        [ROLE_CONNECTOR] = 4, [ROLE_RUNNER] = 30,       [ROLE_CLIENT] = 30};
    CLEANUP(plan_free_p) struct plan *p = load_small("y", NULL, 0);

    for (int i = 0; i < LINK_COUNT; i++) {
        ck_assert_uint_eq(p->links[i].dial_round_trips, round_trips[i]);
        ck_assert_uint_eq(p->links[i].dial_cpu_client_ns, client_us[i] * NSEC_PER_US);
        ck_assert_uint_eq(p->links[i].dial_cpu_server_ns, server_us[i] * NSEC_PER_US);
        ck_assert_uint_eq(p->links[i].latency_ns.lo, 50 * NSEC_PER_US);
        ck_assert_uint_eq(p->links[i].bytes_per_second, 0);
        ck_assert(p->links[i].keep_alive);
    }
    for (int i = ROLE_MCP; i <= ROLE_CLIENT; i++) {
        ck_assert_uint_eq(p->hosts[i].cores, 2);
        ck_assert_uint_eq(p->hosts[i].message_ns, 20 * NSEC_PER_US);
        ck_assert_uint_eq(p->hosts[i].kilobyte_ns, kilobyte_us[i] * NSEC_PER_US);
    }
}
END_TEST

START_TEST(test_scripts)
{
    static const char *const sets[] = {"/scripts/a/turns/0/repeat=3", "/scripts/a/turns/0/steps/0/repeat=2",
                                       "/scripts/a/turns/0/steps/0/calls/0/output=400000",
                                       "/scripts/a/turns/0/steps/0/calls/0/count=5"};
    CLEANUP(plan_free_p) struct plan *p = load_small("y", sets, 4);
    const struct plan_script *s = &p->scripts[0];
    const struct plan_step *steps = s->turns[0].steps;

    ck_assert_uint_eq(s->turn_count, 3);
    ck_assert_uint_eq(s->turns[2].step_count, 3);
    ck_assert_int_eq(steps[0].calls[0].tool, TOOL_BASH);
    ck_assert_ptr_eq(steps[0].calls, steps[1].calls);
    ck_assert_int_eq(steps[2].calls[0].tool, TOOL_MCP);
    ck_assert(!steps[2].calls[0].output_given);
    ck_assert_int_eq(steps[2].calls[1].tool, TOOL_READ);
    /* 5 outputs of 8 pieces, and the MCP call beside them. */
    ck_assert_uint_eq(s->calls_max, 41);
    ck_assert_uint_eq(s->turns[0].message_bytes, 200);
    ck_assert_uint_eq(s->turns[0].answer_bytes, 500);
}
END_TEST

/* Deployments -----------------------------------------------------------------------------------------------
 */

START_TEST(test_deployment_merge)
{
    CLEANUP(plan_free_p)
    struct plan *first = load_small(NULL, NULL, 0), *x = load_small("x", NULL, 0),
                *y = load_small("y", NULL, 0);

    ck_assert_str_eq(first->deployment, "x");
    ck_assert_uint_eq(x->tunnels.count, 2);
    ck_assert_uint_eq(x->tunnels.connections, 4);
    ck_assert(!x->informational);
    ck_assert_uint_eq(y->tunnels.count, 1);
    ck_assert_str_eq(plan_document(x), plan_document(y));
}
END_TEST

/* Arrays are replaced as a whole, null removes, objects are merged. */
START_TEST(test_deployment_patch)
{
    static const char patch[] =
        "/deployments/x/set={\"faults\": [], \"objectives\": null, \"load\": {\"main\": "
        "{\"rate\": null, \"ramp\": [[\"0s\", \"1/s\"], [\"5s\", \"0.5/s\"]]}}}";
    static const char *const sets[] = {patch};
    CLEANUP(plan_free_p) struct plan *p = load_small("x", sets, 1);

    ck_assert_uint_eq(p->fault_count, 0);
    ck_assert_uint_eq(p->objective_count, 0);
    ck_assert_uint_eq(p->loads[0].knot_count, 2);
    ck_assert_uint_eq(p->loads[0].knots[1].at_ns, 5 * NSEC_PER_S);
    ck_assert_uint_eq(p->loads[0].knots[1].per_hour, 1800);
    ck_assert_uint_eq(p->tunnels.count, 1);
}
END_TEST

START_TEST(test_no_deployments)
{
    static const char *const sets[] = {"/deployments=null"};
    CLEANUP(plan_free_p) struct plan *p = load_small(NULL, sets, 1), *again = load_small("default", sets, 1);

    ck_assert_str_eq(p->deployment, "default");
    ck_assert(!p->informational);
    ck_assert_str_eq(plan_resolved(p), plan_resolved(again));
}
END_TEST

START_TEST(test_deployment_names)
{
    struct plan_load_options options = text_options(small_scenario);
    static const char *const sets[] = {"/deployments=null"};
    struct plan_error error;
    char **names = NULL;
    size_t count = 0;

    ck_assert_int_eq(plan_deployments(&options, &names, &count, &error), 0);
    ck_assert_uint_eq(count, 2);
    ck_assert_str_eq(names[0], "x");
    ck_assert_str_eq(names[1], "y");
    free(names);
    options.sets = sets;
    options.set_count = 1;
    ck_assert_int_eq(plan_deployments(&options, &names, &count, &error), 0);
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(names[0], "default");
    free(names);
    options.text = "{";
    ck_assert_int_eq(plan_deployments(&options, &names, &count, &error), PLAN_E_INVALID);
}
END_TEST

/* --set -----------------------------------------------------------------------------------------------------
 */

START_TEST(test_set)
{
    static const char *const sets[] = {
        "/duration=20s",       /* a string without quotes */
        "/duration=\"30s\"",   /* the later one counts; JSON */
        "/tunnels/replicas=3", /* makes what is around it */
        "/faults/-={\"kind\": \"kill\", \"at\": \"500ms\", \"target\": \"edge\"}",
        "/faults/0/for=null", /* removes */
        "/about=a=b",         /* only the first = counts */
        "/orchestrator={\"durable\": false}",
    };
    CLEANUP(plan_free_p) struct plan *p = load_small("x", sets, sizeof(sets) / sizeof(sets[0]));

    ck_assert_uint_eq(p->duration_ns, 30 * NSEC_PER_S);
    ck_assert_uint_eq(p->tunnels.replicas, 3);
    ck_assert_uint_eq(p->tunnels.count, 2);
    ck_assert_uint_eq(p->fault_count, 3);
    ck_assert_uint_eq(p->faults[0].target, ADDR(ROLE_EDGE, 0));
    ck_assert_uint_eq(p->faults[1].for_ns, 0);
    ck_assert_str_eq(p->about, "a=b");
    ck_assert(!p->orchestrator.durable);
    ck_assert_ptr_nonnull(strstr(plan_document(p), "\"duration\":\"30s\""));
    ck_assert_ptr_nonnull(
        strstr(plan_document(p), "\"deployments\":{\"x\":{\"set\":{\"tunnels\":{\"count\":2}}}"));
}
END_TEST

/* The document's text does not depend on how it was laid out. */
START_TEST(test_document)
{
    CLEANUP(cleanup_free_p)
    char *spaced = replaced(small_scenario, "\"name\": \"t\"", "\n\n  \"name\"   :\t\"t\"");
    struct plan_load_options options = text_options(spaced);
    CLEANUP(plan_free_p) struct plan *p = load_small(NULL, NULL, 0), *q = load_or_fail(&options);

    ck_assert_str_eq(plan_document(p), plan_document(q));
    ck_assert_int_eq(strncmp(plan_document(p), "{\"schema\":\"windtunnel.scenario/1\",\"name\":\"t\",", 45),
                     0);
}
END_TEST

/* Distributions ---------------------------------------------------------------------------------------------
 */

static struct plan *load_cold_start(const char *dist)
{
    CLEANUP(cleanup_free_p) char *set = NULL;
    const char *sets[1];

    ck_assert(asprintf(&set, "/runners/r/cold_start=%s", dist) >= 0);
    sets[0] = set;
    return load_small("y", sets, 1);
}

START_TEST(test_dist_forms)
{
    CLEANUP(plan_free_p)
    struct plan *constant = load_cold_start("250ms"),
                *uniform = load_cold_start("{\"uniform\": [\"1s\", \"3s\"]}"),
                *exponential = load_cold_start("{\"exponential\": \"250ms\"}"),
                *scaled = load_cold_start("{\"scale\": \"150%\", \"of\": {\"exponential\": \"2s\"}}");
    const struct dist *d = &constant->runners[0].cold_start_ns;

    ck_assert(d->kind == DIST_CONSTANT && d->lo == 250 * NSEC_PER_MS);
    d = &uniform->runners[0].cold_start_ns;
    ck_assert(d->kind == DIST_UNIFORM && d->lo == NSEC_PER_S && d->hi == 3 * NSEC_PER_S);
    d = &exponential->runners[0].cold_start_ns;
    ck_assert(d->kind == DIST_EXPONENTIAL && d->lo == 250 * NSEC_PER_MS);
    d = &scaled->runners[0].cold_start_ns;
    ck_assert(d->kind == DIST_EXPONENTIAL && d->lo == 3 * NSEC_PER_S);
}
END_TEST

START_TEST(test_dist_quantiles)
{
    CLEANUP(plan_free_p)
    struct plan *p = load_cold_start("{\"quantiles\": {\"0\": \"1s\", \"99.9%\": \"2s\", \"100%\": \"2s\"}}");
    const struct dist *d = &p->runners[0].cold_start_ns;

    ck_assert_int_eq(d->kind, DIST_QUANTILES);
    ck_assert_uint_eq(d->points_len, 3);
    ck_assert_uint_eq(d->points[0].ppm, 0);
    ck_assert_uint_eq(d->points[1].ppm, 999000);
    ck_assert_uint_eq(d->points[1].value, 2 * NSEC_PER_S);
    ck_assert_uint_eq(d->points[2].ppm, 1000000);
}
END_TEST

START_TEST(test_dist_profile)
{
    CLEANUP(plan_free_p)
    struct plan *burst = load_cold_start("{\"profile\": \"modal\", \"regime\": \"burst\"}");
    const struct dist *d = &burst->runners[0].cold_start_ns;
    static const char *const sets[] = {"/runners/r={\"provider\": \"modal\"}"};
    CLEANUP(plan_free_p) struct plan *provider = load_small("y", sets, 1);

    ck_assert_int_eq(d->kind, DIST_QUANTILES);
    ck_assert_uint_eq(d->points_len, 10);
    ck_assert_uint_eq(d->points[0].value, 1363800000);
    ck_assert_uint_eq(d->points[4].ppm, 500000);
    ck_assert_uint_eq(d->points[4].value, 2261100000);
    ck_assert_uint_eq(d->points[9].value, 3380900000);
    ck_assert_uint_eq(provider->runners[0].cold_start_ns.points[4].value, 1723100000);
    ck_assert_str_eq(provider->runners[0].provider, "modal");
    ck_assert_str_eq(provider->runners[0].regime, "sequential");
}
END_TEST

/* Faults ----------------------------------------------------------------------------------------------------
 */

static struct plan *load_faults(const char *faults)
{
    CLEANUP(cleanup_free_p) char *set = NULL;
    const char *sets[2] = {NULL, "/tunnels={\"count\": 5, \"replicas\": 2, \"grace\": \"3s\"}"};

    ck_assert(asprintf(&set, "/faults=%s", faults) >= 0);
    sets[0] = set;
    return load_small("y", sets, 2);
}

START_TEST(test_gateway_is_two)
{
    CLEANUP(plan_free_p)
    struct plan *p = load_faults("[{\"kind\": \"kill\", \"at\": \"1s\", \"target\": \"gateway/3-4\"}]");
    static const addr_t targets[] = {ADDR(ROLE_CONNECTOR, 3), ADDR(ROLE_PROXY, 3), ADDR(ROLE_CONNECTOR, 4),
                                     ADDR(ROLE_PROXY, 4)};

    ck_assert_uint_eq(p->fault_count, 4);
    for (int i = 0; i < 4; i++) {
        ck_assert_uint_eq(p->faults[i].target, targets[i]);
        ck_assert(!p->faults[i].all_instances);
        ck_assert_uint_eq(p->faults[i].for_ns, 0);
        ck_assert_int_eq(p->faults[i].first, i == 0);
    }
}
END_TEST

START_TEST(test_targets)
{
    CLEANUP(plan_free_p)
    struct plan *p = load_faults(
        "[{\"kind\": \"worker-crash\", \"at\": \"5s\", \"target\": \"runner/0\", \"delay\": \"7s\"},"
        " {\"kind\": \"cut\", \"at\": \"4s\", \"for\": \"1s\", \"link\": \"connector-edge\", "
        "\"target\": \"gateway/9\"},"
        " {\"kind\": \"stall\", \"at\": \"4s\", \"for\": \"1s\", \"link\": \"proxy-mcp\"},"
        " {\"kind\": \"kill\", \"at\": \"1s\", \"target\": \"gateway/*\"},"
        " {\"kind\": \"answer\", \"at\": \"2s\", \"for\": \"1s\", \"target\": \"mcp/m\", "
        "\"status\": 429, \"share\": \"50%\", "
        "\"retry_after\": \"2s\"},"
        " {\"kind\": \"rate\", \"at\": \"3s\", \"for\": \"1s\", \"link\": \"proxy-mcp\", "
        "\"target\": \"gateway/1\", \"rate\": \"1kB/s\"}]");
    const struct plan_fault *f = p->faults;

    ck_assert_uint_eq(p->fault_count, 7);
    ck_assert(f[0].kind == FAULT_KILL && f[0].all_instances && ADDR_ROLE(f[0].target) == ROLE_CONNECTOR);
    ck_assert(f[1].kind == FAULT_KILL && f[1].all_instances && ADDR_ROLE(f[1].target) == ROLE_PROXY);
    ck_assert(f[2].kind == FAULT_ANSWER && f[2].target == ADDR(ROLE_MCP, 0) && f[2].share_ppm == 500000);
    ck_assert(f[2].status == 429 && f[2].retry_after_ns == 2 * NSEC_PER_S);
    ck_assert(f[3].kind == FAULT_LINK_RATE && f[3].target == ADDR(ROLE_PROXY, 1) &&
              f[3].bytes_per_second == 1000);
    ck_assert(f[4].kind == FAULT_LINK_CUT && f[4].target == ADDR(ROLE_CONNECTOR, 9) &&
              f[4].link == LINK_CONNECTOR_EDGE);
    ck_assert(f[5].kind == FAULT_LINK_STALL && f[5].target == 0 && f[5].all_instances);
    ck_assert(f[6].kind == FAULT_WORKER_CRASH && f[6].target == ADDR(ROLE_RUNNER, 0) && f[6].count == 1);
    ck_assert_uint_eq(f[6].delay_ns, 7 * NSEC_PER_S);
}
END_TEST

/* Two faults each: told to stop, and dead when the grace is over. */
START_TEST(test_restart)
{
    CLEANUP(plan_free_p)
    struct plan *p =
        load_faults("[{\"kind\": \"restart\", \"at\": \"2s\", \"for\": \"1s\", \"target\": \"gateway/1\"}]");
    nsec_t grace = p->tunnels.grace_ns + PLAN_LAST_WORDS_NS;
    const struct plan_fault *f = p->faults;

    ck_assert_uint_eq(p->fault_count, 3);
    ck_assert(f[0].kind == FAULT_RESTART && f[0].target == ADDR(ROLE_CONNECTOR, 1));
    ck_assert(f[0].at_ns == 2 * NSEC_PER_S && f[0].for_ns == grace);
    for (int i = 1; i < 3; i++) {
        ck_assert(f[i].kind == FAULT_KILL && f[i].target == ADDR(i == 1 ? ROLE_CONNECTOR : ROLE_PROXY, 1));
        ck_assert(f[i].at_ns == 2 * NSEC_PER_S + grace && f[i].for_ns == NSEC_PER_S);
    }
    ck_assert(!plan_is_killed(p, ADDR(ROLE_CONNECTOR, 1), 2 * NSEC_PER_S + grace - 1));
    ck_assert(plan_is_killed(p, ADDR(ROLE_CONNECTOR, 1), 2 * NSEC_PER_S + grace));
    ck_assert(!plan_is_killed(p, ADDR(ROLE_CONNECTOR, 1), 3 * NSEC_PER_S + grace));
}
END_TEST

START_TEST(test_answer_fault)
{
    CLEANUP(plan_free_p)
    struct plan *p = load_faults("[{\"kind\": \"answer\", \"at\": \"2s\", \"for\": \"4s\", \"target\": "
                                 "\"gateway/*\", \"status\": 500},"
                                 " {\"kind\": \"answer\", \"at\": \"3s\", \"for\": \"1s\", \"target\": "
                                 "\"proxy/1\", \"status\": 503}]");
    const addr_t one = ADDR(ROLE_PROXY, 1), two = ADDR(ROLE_PROXY, 2);

    ck_assert_uint_eq(p->fault_count, 2);
    ck_assert_ptr_null(plan_answer_fault(p, one, 2 * NSEC_PER_S - 1));
    ck_assert_uint_eq(plan_answer_fault(p, one, 2 * NSEC_PER_S)->status, 500);
    ck_assert_uint_eq(plan_answer_fault(p, one, 3 * NSEC_PER_S)->status, 503);
    ck_assert_uint_eq(plan_answer_fault(p, two, 3 * NSEC_PER_S)->status, 500);
    ck_assert_uint_eq(plan_answer_fault(p, one, 4 * NSEC_PER_S)->status, 500);
    ck_assert_ptr_null(plan_answer_fault(p, one, 6 * NSEC_PER_S));
    ck_assert_ptr_null(plan_answer_fault(p, ADDR(ROLE_CONNECTOR, 1), 3 * NSEC_PER_S));
}
END_TEST

/* Objectives ------------------------------------------------------------------------------------------------
 */

START_TEST(test_objectives)
{
    static const char *const sets[] = {
        "/objectives=[\"p99.9(mcp.call)<2s\", \" mean( tool.call )  >= 1.5ms \", \"count(retries) != 3\", "
        "\"rate(session.completed) > 5/s\", \"ratio(call.failed) <= 0.1%\", \"max(tool.call) == 1h\", "
        "\"min(tool.call) > 0s\", "
        "\"p100(tool.call) < 1s\", \"count(mcp.call) > 0\"]"};
    CLEANUP(plan_free_p) struct plan *p = load_small("y", sets, 1);
    const struct plan_objective *o = p->objectives;

    ck_assert_uint_eq(p->objective_count, 9);
    ck_assert(o[0].fn == OBJECTIVE_QUANTILE && o[0].quantile_ppm == 999000 && o[0].cmp == CMP_LT);
    ck_assert_str_eq(o[0].expr, "p99.9(mcp.call)<2s");
    ck_assert_str_eq(o[0].subject, "mcp.call");
    ck_assert_uint_eq(o[0].value, 2 * NSEC_PER_S);
    ck_assert(o[1].fn == OBJECTIVE_MEAN && o[1].cmp == CMP_GE && o[1].value == 1500 * NSEC_PER_US);
    ck_assert(o[2].fn == OBJECTIVE_COUNT && o[2].cmp == CMP_NE && o[2].value == 3);
    ck_assert(o[3].fn == OBJECTIVE_RATE && o[3].cmp == CMP_GT && o[3].value == 18000);
    ck_assert(o[4].fn == OBJECTIVE_RATIO && o[4].cmp == CMP_LE && o[4].value == 1000);
    ck_assert(o[5].fn == OBJECTIVE_MAX && o[5].cmp == CMP_EQ && o[5].value == 3600 * NSEC_PER_S);
    ck_assert(o[6].fn == OBJECTIVE_MIN && o[6].value == 0);
    ck_assert(o[7].fn == OBJECTIVE_QUANTILE && o[7].quantile_ppm == 1000000);
}
END_TEST

/* Helpers of plan.h
 * ------------------------------------------------------------------------------------------ */

START_TEST(test_instances)
{
    static const char *const sets[] = {"/tunnels={\"count\": 3, \"replicas\": 2}", "/runners/r/instances=2",
                                       "/runners/s={\"cold_start\": \"1s\", \"instances\": 3}"};
    static const char *const direct[] = {"/orchestrator/mcp/direct=true", "/faults=[]"};
    CLEANUP(plan_free_p) struct plan *p = load_small("y", sets, 3), *d = load_small("y", direct, 2);
    uint32_t pool = 7;

    ck_assert_uint_eq(plan_instances(p, ROLE_CONNECTOR), 6);
    ck_assert_uint_eq(plan_instances(p, ROLE_PROXY), 6);
    ck_assert_uint_eq(plan_instances(p, ROLE_EDGE), 1);
    ck_assert_uint_eq(plan_instances(p, ROLE_RUNNER), 5);
    ck_assert_uint_eq(plan_instances(p, ROLE_MCP), 1);
    ck_assert_uint_eq(plan_instances(p, ROLE_CLIENT), 1);
    ck_assert_uint_eq(plan_instances(p, ROLE_NONE), 0);
    ck_assert_uint_eq(plan_instances(d, ROLE_EDGE), 0);
    ck_assert_uint_eq(plan_instances(d, ROLE_CONNECTOR), 0);
    ck_assert_uint_eq(plan_instances(d, ROLE_MCP), 1);
    ck_assert_str_eq(plan_runner_of(p, 1, &pool)->name, "r");
    ck_assert_uint_eq(pool, 0);
    ck_assert_str_eq(plan_runner_of(p, 2, &pool)->name, "s");
    ck_assert_uint_eq(pool, 1);
    ck_assert_ptr_null(plan_runner_of(p, 5, &pool));
}
END_TEST

START_TEST(test_tenant_share)
{
    struct plan_runner pools[] = {{.instances = 2}, {.instances = 3, .parallel_per_tenant = 20}};
    const struct plan plan = {.runners = pools, .runner_count = 2};
    static const uint32_t shares[] = {0, 0, 7, 7, 6};

    for (uint32_t i = 0; i < 5; i++) ck_assert_uint_eq(plan_tenant_share(&plan, i), shares[i]);
}
END_TEST

START_TEST(test_links)
{
    enum link_id link = LINK_COUNT;
    bool dials = false;

    ck_assert_int_eq(plan_link_between(ROLE_CONNECTOR, ROLE_EDGE, &link, &dials), 0);
    ck_assert(link == LINK_CONNECTOR_EDGE && dials);
    ck_assert_int_eq(plan_link_between(ROLE_EDGE, ROLE_CONNECTOR, &link, &dials), 0);
    ck_assert(link == LINK_CONNECTOR_EDGE && !dials);
    ck_assert_int_eq(plan_link_between(ROLE_CLIENT, ROLE_MCP, &link, &dials), -ENOENT);
    ck_assert_str_eq(link_name(LINK_ORCHESTRATOR_MCP), "orchestrator-mcp");
    ck_assert_str_eq(role_name(ROLE_CONNECTOR), "connector");
    ck_assert_str_eq(role_name(ROLE_NONE), "none");
}
END_TEST

START_TEST(test_ways)
{
    enum role from, to;

    ck_assert_str_eq(way_name(way_between(ROLE_EDGE, ROLE_CONNECTOR), &from, &to), "connector-edge");
    ck_assert(from == ROLE_EDGE && to == ROLE_CONNECTOR);
    ck_assert_str_eq(way_name(WAY_TUNNEL + 1, &from, &to), "tunnel");
    ck_assert(from == ROLE_ORCHESTRATOR && to == ROLE_PROXY);
    ck_assert_uint_eq(way_between(ROLE_CLIENT, ROLE_MCP), WAY_NONE);
    ck_assert_str_eq(way_name(WAY_NONE, &from, &to), "none");
    ck_assert(from == ROLE_NONE && to == ROLE_NONE);
    for (uint32_t way = 0; way < WAY_TUNNEL; way++) {
        way_name(way, &from, &to);
        ck_assert_uint_eq(way_between(from, to), way);
    }
}
END_TEST

START_TEST(test_arena)
{
    struct plan_arena *arena = plan_arena_new(1000);

    ck_assert_ptr_nonnull(plan_arena_alloc(arena, 0, 8));
    ck_assert_uint_eq((uintptr_t)plan_arena_alloc(arena, 3, 1) % 16, 0);
    ck_assert(!plan_arena_full(arena));
    ck_assert_ptr_null(plan_arena_alloc(arena, SIZE_MAX / 2, 4));
    ck_assert_ptr_null(plan_arena_alloc(arena, 1, 1000));
    ck_assert(plan_arena_full(arena));
    ck_assert_str_eq(plan_arena_copy(arena, "abcdef", 3), "abc");
    ck_assert_uint_le(plan_arena_used(arena), 1000);
    plan_arena_free(arena);
    plan_arena_free(NULL);
    plan_free(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("plans");
    TCase *tc = tcase_create("all");

    tcase_add_test(tc, test_defaults);
    tcase_add_test(tc, test_defaults_of_products);
    tcase_add_test(tc, test_defaults_of_links_and_hosts);
    tcase_add_test(tc, test_relayed_links);
    tcase_add_test(tc, test_splits);
    tcase_add_test(tc, test_scripts);
    tcase_add_test(tc, test_deployment_merge);
    tcase_add_test(tc, test_deployment_patch);
    tcase_add_test(tc, test_no_deployments);
    tcase_add_test(tc, test_deployment_names);
    tcase_add_test(tc, test_set);
    tcase_add_test(tc, test_document);
    tcase_add_test(tc, test_dist_forms);
    tcase_add_test(tc, test_dist_quantiles);
    tcase_add_test(tc, test_dist_profile);
    tcase_add_test(tc, test_gateway_is_two);
    tcase_add_test(tc, test_targets);
    tcase_add_test(tc, test_restart);
    tcase_add_test(tc, test_answer_fault);
    tcase_add_test(tc, test_objectives);
    tcase_add_test(tc, test_instances);
    tcase_add_test(tc, test_tenant_share);
    tcase_add_test(tc, test_links);
    tcase_add_test(tc, test_ways);
    tcase_add_test(tc, test_arena);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
