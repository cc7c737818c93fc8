#include "tests/live/api_stage.h"

#include "mock-orchestrator/local_flow.h"
#include "sim/live/tcp.h"
#include "sim/plan/parse.h"
#include "sim/world/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void on_done(void *user)
{
    ((struct api_stage *)user)->done = true;
}

void api_stage_init(struct api_stage *s, const char *scenario)
{
    struct plan_error error = {{0}};
    struct plan_load_options plan_options = {.path = "test", .text = scenario, .seed = 7};
    struct recorder_options recorder_options;
    struct driver_options options = {.flows_max = 1 << 16, .on_done = on_done, .user = s};

    memset(s, 0, sizeof *s);
    ck_assert_int_eq(tcp_base_new(&s->base), 0);
    ck_assert_msg(plan_load(&plan_options, &s->plan, &error) == 0, "%s", error.text);
    recorder_options = recorder_options_of(s->plan);
    recorder_options.zeroed = false;
    ck_assert_int_eq(recorder_new(&recorder_options, &s->recorder), 0);
    options.base = s->base;
    options.plan = s->plan;
    ck_assert_int_eq(driver_new(&options, &s->driver), 0);
}

void api_stage_connect(struct api_stage *s, int port, const struct api_client_options *o)
{
    struct api_client_options options = *o;
    char address[TCP_ADDRESS_MAX];

    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    strcpy(s->directory, "/tmp/windtunnel-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(s->directory));
    ck_assert_int_eq(disk_new(s->base, s->directory, &s->disk), 0);
    options.address = address;
    options.disk = s->disk;
    ck_assert_int_eq(api_client_new(s->driver, &options, &s->client), 0);
    ck_assert_int_eq(local_flow_new(s->driver, &s->local), 0);
    driver_set_dialer(s->driver, ROLE_CLIENT, ROLE_ORCHESTRATOR, api_client_dialer(s->client));
    driver_set_dialer(s->driver, ROLE_RUNNER, ROLE_ORCHESTRATOR, api_client_dialer(s->client));
    driver_set_dialer(s->driver, ROLE_RUNNER, ROLE_DISK, disk_dialer(s->disk));
    driver_set_dialer(s->driver, ROLE_ORCHESTRATOR, ROLE_MCP, s->local);
}

void api_stage_add(struct api_stage *s, addr_t self)
{
    ck_assert_int_eq(driver_add(s->driver, self, s->recorder, 0), 0);
}

void api_stage_stop(struct api_stage *s)
{
    driver_end(s->driver);
    ck_assert(ledger_balanced(recorder_ledger(s->recorder)));
    driver_free(s->driver);
    api_client_free(s->client);
    local_flow_free(s->local);
    disk_free(s->disk);
    rmdir(s->directory);
}

void api_stage_deinit(struct api_stage *s)
{
    event_base_dispatch(s->base);
    event_base_free(s->base);
    recorder_free(s->recorder);
    plan_free(s->plan);
}
