#include "sim/cmd/role.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim/base/slab.h"
#include "sim/cmd/commands.h"
#include "sim/cmd/role_surfaces.h"
#include "sim/live/child.h"
#include "sim/live/driver.h"
#include "sim/live/flight.h"
#include "sim/live/relay.h"
#include "sim/live/resources.h"
#include "sim/live/tcp.h"
#include "sim/plan/parse.h"
#include "sim/record/recorder.h"

enum { FLOWS_MAX = 1 << 20 };

struct role_process {
    const struct live_run *run;
    const struct child *child;
    struct event_base *base;
    struct driver *driver;
    struct role_surfaces *surfaces;
    struct child_link *link;
    struct relay **relays;
    struct tcp_hold *hold; /* of one that waits for a fault's end; until "go" */
    struct event *watch;   /* of the machine's limits */
    struct flight_writer *flight, *journal;
    char journal_path[512];
    addr_t *started; /* components that start with the process */
    size_t started_count;
    bool real_time; /* it starts sessions, and may do so on time */
    int exit_code;
};

static void fail(struct role_process *r, const char *what)
{
    char line[1024];

    snprintf(line, sizeof line, "error %s", what);
    child_say(r->link, line);
    r->exit_code = EXIT_BROKEN;
    event_base_loopbreak(r->base);
}

/* Logs
 * ------------------------------------------------------------------------------------------------------------
 */

static bool keeps_journal(const struct role_process *r)
{
    return process_keeps_state(r->run->plan, r->child->process);
}

static void on_turn(void *user, nsec_t now, const struct event *events, size_t count)
{
    struct role_process *r = user;

    if (r->flight) flight_turn(r->flight, now, events, count);
    if (r->journal) flight_turn(r->journal, now, events, count);
    if (r->journal && flight_error(r->journal)) fail(r, "the journal cannot be written");
}

static void on_effects(void *user, nsec_t now, const struct effect *effects, size_t count)
{
    struct role_process *r = user;

    if (r->flight && count) flight_effects(r->flight, effects, count);
    if (r->flight && flight_error(r->flight)) fail(r, "the flight log cannot be written: is the disk full?");
}

/* A journal goes on through all incarnations of its process, and a log that begins with it likewise. */
static struct flight_header log_header(const struct role_process *r)
{
    return (struct flight_header){.build = windtunnel_build,
                                  .document = plan_resolved(r->run->plan),
                                  .name = r->run->name,
                                  .deployment = r->run->plan->deployment,
                                  .seed = r->run->plan->seed,
                                  .replicate = r->run->plan->replicate,
                                  .incarnation = keeps_journal(r) ? 0 : r->child->incarnation,
                                  .components = r->started,
                                  .component_count = r->started_count};
}

/* Under its name it is there with its whole header or, where a fault kills the process before, not at all. */
static int begin_log(struct role_process *r, const char *path, struct flight_writer **ret)
{
    struct flight_header h = log_header(r);
    char begun[4096 + 4];
    int x;

    snprintf(begun, sizeof begun, "%s.new", path);
    x = flight_create(begun, &h, ret);
    return x == 0 && rename(begun, path) < 0 ? -errno : x;
}

static int open_flight(struct role_process *r)
{
    char path[4096];

    if (!r->run->flight || r->child->process->component_count == 0) return 0;
    snprintf(path, sizeof path, "%s/%s.%u.flight", r->run->flight, r->child->process->name,
             r->child->incarnation);
    return begin_log(r, path, &r->flight);
}

/* Components
 * ------------------------------------------------------------------------------------------------------ */

/* The journal, replayed, is the state. What the dead had recorded is not recorded again; of the ledger that
 * is known to the single operation, of the rest to the turn: of the last one it may be missing. */
static int replay_journal(struct role_process *r, const struct flight_log *log, struct str *error)
{
    struct flight_replayed done;
    int x;

    recorder_set_enabled(r->child->recorder, false);
    ledger_pass_over(recorder_ledger_mutable(r->child->recorder), r->child->operations);
    x = driver_attach(r->driver, r->child->process->components[0], r->child->recorder, 0);
    if (x == 0) x = flight_replay(log, driver_world(r->driver), r->child->recorder, &done, error);
    recorder_set_enabled(r->child->recorder, true);
    return x;
}

/* From here on the logs tell how it goes on. */
static int continue_logs(struct role_process *r, const struct flight_log *log)
{
    int x = flight_append(log, &r->journal);

    if (x < 0) return x;
    flight_recovered(r->journal);
    if ((x = flight_error(r->journal)) < 0 || !r->flight) return x;
    flight_add_log(r->flight, log);
    flight_recovered(r->flight);
    return flight_error(r->flight);
}

/* Brings a killed orchestrator back. */
static int recover(struct role_process *r)
{
    struct str error = STR_INIT(4096);
    struct flight_log *log;
    int x = flight_read(r->journal_path, &log, &error);

    if (x == 0) {
        x = replay_journal(r, log, &error);
        if (x == 0) x = continue_logs(r, log);
        if (x == 0) x = driver_recover(r->driver, r->child->process->components[0]);
        flight_log_free(log);
    }
    if (x == 0)
        child_say(r->link, "recovered");
    else
        fail(r, str_len(&error) ? str_text(&error) : strerror(-x));
    str_deinit(&error);
    return x;
}

static int start_components(struct role_process *r)
{
    int x = 0;

    if (keeps_journal(r)) {
        if (access(r->journal_path, F_OK) == 0) return recover(r);
        x = begin_log(r, r->journal_path, &r->journal);
    }
    for (size_t i = 0; x == 0 && i < r->started_count; i++)
        x = driver_add(r->driver, r->started[i], r->child->recorder, r->child->incarnation);
    return x;
}

/* The relay
 * -------------------------------------------------------------------------------------------------------- */

static int open_relays(struct role_process *r)
{
    const struct layout *l = r->run->layout;
    int x = 0;

    if (r->child->process->component_count) return 0;
    r->relays = calloc(l->relayed_count, sizeof *r->relays);
    if (!r->relays) return -ENOMEM;
    for (size_t i = 0; x == 0 && i < l->relayed_count; i++) {
        char listen[LAYOUT_ADDRESS_MAX], target[LAYOUT_ADDRESS_MAX];
        struct relay_options o = {.base = r->base,
                                  .plan = r->run->plan,
                                  .link = l->relayed[i].link,
                                  .from = l->relayed[i].from,
                                  .to = l->relayed[i].to,
                                  .listen = listen,
                                  .target = target};

        layout_relay_address(l, i, listen);
        layout_address(l, o.to, l->relayed[i].port, target);
        x = relay_new(&o, &r->relays[i]);
    }
    return x;
}

static void close_relays(struct role_process *r)
{
    for (size_t i = 0; r->relays && i < r->run->layout->relayed_count; i++) relay_free(r->relays[i]);
    free(r->relays);
}

/* The machine's limits
 * ---------------------------------------------------------------------------------------------- */

/* Without descriptors connections fail that the scenario's deployment would carry: such a run measures
 * nothing. */
static void on_watch(evutil_socket_t fd, short what, void *user)
{
    struct role_process *r = user;
    uint64_t limit;
    char why[160];

    if (!resources_descriptors_low(&limit)) return;
    snprintf(why, sizeof why,
             "has used nearly all of its %" PRIu64 " open descriptors: raise the hard limit (ulimit -Hn)",
             limit);
    fail(r, why);
}

static int watch_start(struct role_process *r)
{
    static const struct timeval each = {.tv_sec = 1};

    r->watch = event_new(r->base, -1, EV_PERSIST, on_watch, r);
    return r->watch && event_add(r->watch, &each) == 0 ? 0 : -ENOMEM;
}

/* The supervisor's words
 * -------------------------------------------------------------------------------------------- */

static void on_go(void *user, uint64_t epoch_ns, uint64_t wall_offset_ns)
{
    struct role_process *r = user;
    int x;

    r->real_time = process_hosts(r->child->process, ROLE_CLIENT) && resources_wake_promptly();
    driver_set_clock(r->driver, epoch_ns, wall_offset_ns);
    for (size_t i = 0; r->relays && i < r->run->layout->relayed_count; i++)
        relay_start(r->relays[i], epoch_ns);
    x = tcp_hold_release(r->hold);
    r->hold = NULL;
    if (x == 0) x = start_components(r);
    if (x < 0) fail(r, strerror(-x));
}

static void on_crash(void *user, addr_t component)
{
    struct role_process *r = user;

    if (r->flight) flight_crashed(r->flight, driver_now(r->driver), component);
    driver_crash(r->driver, component);
    role_surfaces_close(r->surfaces, component);
}

static void on_start(void *user, addr_t component, uint32_t incarnation)
{
    struct role_process *r = user;
    struct str error = STR_INIT(1024);

    if (driver_add(r->driver, component, r->child->recorder, incarnation) < 0)
        fail(r, "a component cannot be started again");
    else if (role_surfaces_open(r->surfaces, component, &error) < 0)
        fail(r, str_len(&error) ? str_text(&error) : "a component cannot listen again");
    if (r->flight) flight_added(r->flight, component, incarnation);
    str_deinit(&error);
}

static void on_stop(void *user, addr_t component)
{
    struct role_process *r = user;

    driver_tell(r->driver, component, EVENT_DRAIN);
}

static void on_end(void *user)
{
    struct role_process *r = user;

    if (r->real_time) resources_wake_as_usual();
    driver_end(r->driver);
    child_say(r->link, "ended");
}

static void on_exit_word(void *user)
{
    struct role_process *r = user;

    if (r->flight) flight_end(r->flight);
    event_base_loopbreak(r->base);
}

static void on_done(void *user)
{
    struct role_process *r = user;

    child_say(r->link, "done");
}

static const struct child_handler handler = {
    .go = on_go, .crash = on_crash, .start = on_start, .stop = on_stop, .end = on_end, .exit = on_exit_word};

/* -------------------------------------------------------------------------------------------------------------------
 */

static int choose_components(struct role_process *r)
{
    const struct process *p = r->child->process;

    r->started = calloc(p->component_count + 1, sizeof *r->started);
    if (!r->started) return -ENOMEM;
    for (size_t i = 0; i < p->component_count; i++) {
        if (!r->child->down[i]) r->started[r->started_count++] = p->components[i];
    }
    return 0;
}

static int role_init(struct role_process *r, struct str *error)
{
    struct driver_options o = {.plan = r->run->plan,
                               .flows_max = FLOWS_MAX,
                               .on_turn = on_turn,
                               .on_effects = on_effects,
                               .on_done = on_done,
                               .user = r};
    int x = tcp_base_new(&r->base);

    if (x < 0) return x;
    o.base = r->base;
    if ((x = driver_new(&o, &r->driver)) < 0) return x;
    if ((x = child_link_new(r->base, r->child->control_fd, &handler, r, &r->link)) < 0) return x;
    if ((x = choose_components(r)) < 0 || (x = watch_start(r)) < 0) return x;
    if ((x = open_flight(r)) < 0) {
        str_appendf(error, "%s: %s", r->run->flight, strerror(-x));
        return x;
    }
    if ((x = open_relays(r)) < 0) return x;
    if (r->child->standby && (x = tcp_hold_new(r->base, &r->hold)) < 0) return x;
    return role_surfaces_new(r->run, r->child, r->driver, &r->surfaces, error);
}

static void role_deinit(struct role_process *r)
{
    driver_free(r->driver);
    role_surfaces_free(r->surfaces);
    tcp_hold_release(r->hold);
    close_relays(r);
    flight_close(r->flight);
    flight_close(r->journal);
    child_link_free(r->link);
    if (r->watch) event_free(r->watch);
    free(r->started);
    tcp_base_free(r->base, 0);
}

int role_main(void *live_run, const struct child *child)
{
    struct role_process r = {.run = live_run, .child = child};
    struct str error = STR_INIT(1024);
    int x;

    snprintf(r.journal_path, sizeof r.journal_path, "%s/journal", r.run->directory);
    x = role_init(&r, &error);
    if (x < 0 && r.link) fail(&r, str_len(&error) ? str_text(&error) : strerror(-x));
    str_deinit(&error);
    if (x == 0) {
        child_say(r.link, "ready");
        event_base_loop(r.base, EVLOOP_NO_EXIT_ON_EMPTY);
    }
    role_deinit(&r);
    return x < 0 ? EXIT_BROKEN : r.exit_code;
}
