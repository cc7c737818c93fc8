/* What the tests of plans share: a small scenario, loading, and names for objectives. */
#pragma once

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/cleanup.h"
#include "sim/plan/parse.h"

#define SCENARIOS SOURCE_ROOT "/scenarios"

static const char small_scenario[] =
    "{\n"
    " \"schema\": \"windtunnel.scenario/1\",\n"
    " \"name\": \"t\",\n"
    " \"duration\": \"10s\",\n"
    " \"load\": {\"main\": {\"script\": \"a\", \"process\": \"poisson\", \"rate\": \"2/s\"}},\n"
    " \"scripts\": {\"a\": {\"turns\": [{\"steps\": [\n"
    "  {\"model\": \"1s\", \"calls\": [{\"tool\": \"bash\", \"execution\": \"1s\", \"output\": 10}]},\n"
    "  {\"model\": \"1s\", \"calls\": [{\"mcp\": \"m\"}, {\"tool\": \"read\"}]}\n"
    " ]}]}},\n"
    " \"mcp\": {\"m\": {\"service_time\": \"5ms\"}},\n"
    " \"runners\": {\"r\": {\"cold_start\": \"1s\"}},\n"
    " \"faults\": [{\"kind\": \"kill\", \"at\": \"1s\", \"for\": \"1s\", \"target\": \"gateway/0\"}],\n"
    " \"objectives\": [\"p99(mcp.call) < 2s\"],\n"
    " \"deployments\": {\"x\": {\"set\": {\"tunnels\": {\"count\": 2}}}, \"y\": {\"informational\": true}}\n"
    "}\n";

static const char *const some_metrics[] = {"mcp.call", "tool.call", "session.total"};
static const char *const some_ends[] = {"call.lost", "call.failed", "session.completed"};
static const char *const some_counters[] = {"retries"};
static const struct plan_names some_names = {
    some_metrics, 3, some_ends, 3, some_counters, 1, {"tool.call", "mcp.call", "session.total"}};

/* The text with the first `find` replaced; for free(). */
static inline char *replaced(const char *text, const char *find, const char *replace)
{
    const char *at = strstr(text, find);
    char *result;

    ck_assert_msg(at != NULL, "the scenario has no %s", find);
    ck_assert(asprintf(&result, "%.*s%s%s", (int)(at - text), text, replace, at + strlen(find)) >= 0);
    return result;
}

static inline struct plan_load_options text_options(const char *text)
{
    return (struct plan_load_options){
        .path = "s.json", .text = text, .names = &some_names, .profiles_dir = SCENARIOS "/profiles"};
}

/* Loads or fails the test. */
static inline struct plan *load_or_fail(const struct plan_load_options *options)
{
    struct plan_error error = {""};
    struct plan *plan = NULL;
    int r = plan_load(options, &plan, &error);

    ck_assert_msg(r == 0, "%d: %s", r, error.text);
    return plan;
}

static inline int run_suite(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    int failed;

    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
