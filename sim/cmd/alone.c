#include "sim/cmd/alone.h"

#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "sim/cmd/commands.h"
#include "sim/live/tcp.h"
#include "sim/plan/parse.h"
#include "sim/record/recorder.h"
#include "sim/world/limits.h"

enum { FLOWS_MAX = 1 << 20 };

/* For connections that are being closed when everything else is over. */
#define FLUSH_NS (200 * NSEC_PER_MS)

int alone_refuse(const char *command, const char *why, int error)
{
    fprintf(stderr, "windtunnel %s: %s\n", command, why && why[0] ? why : strerror(-error));
    return EXIT_BAD_INPUT;
}

bool alone_is_address(const char *option, const char *address, bool dialed)
{
    if (tcp_is_address(address, dialed)) return true;
    fprintf(stderr, "%s: \"%s\" is not a numeric address with a port, such as 127.0.0.1:%s\n", option,
            address, dialed ? "7844" : "0");
    return false;
}

/* The link to the peer
 * ---------------------------------------------------------------------------------------------- */

static const char *reason_of(const struct msg *m, char buffer[64])
{
    if (m->type == MSG_OPEN) {
        snprintf(buffer, 64, "%s (status %u)",
                 m->a == 401 || m->a == 403 ? "the key is not accepted"
                 : m->a == 404              ? "not known there"
                                            : "refused",
                 (unsigned)m->a);
        return buffer;
    }
    switch ((enum reset_cause)m->a) {
    case RESET_REFUSED: return "nobody listens there";
    case RESET_UNREACHABLE: return "no connection came up in time, or its TLS failed";
    case RESET_PROTOCOL: return "what it answers is not understood";
    default: return "the connection was cut before it was up";
    }
}

/* Refusals of single requests are daily business once the link is up: an item that somebody else has stopped,
 * a stream that is cut. */
static bool is_refusal(const struct alone *a, const struct msg *m)
{
    if (m->type == MSG_RESET)
        return m->a == RESET_REFUSED || m->a == RESET_UNREACHABLE || a->link != ALONE_UP;
    return m->kind == M_ERROR && (a->link != ALONE_UP || m->a == 401 || m->a == 403);
}

static void hear(struct alone *a, const struct msg *m)
{
    char buffer[64];

    if (is_refusal(a, m)) {
        if (a->link != ALONE_REFUSED)
            fprintf(stderr, "%s: %s: %s; tries again\n", a->peer.command, a->peer.address,
                    reason_of(m, buffer));
        a->link = ALONE_REFUSED;
    } else if (m->type == MSG_OPEN && m->kind != M_ERROR) {
        if (a->link == ALONE_REFUSED) fprintf(stderr, "%s: %s: up\n", a->peer.command, a->peer.address);
        a->link = ALONE_UP;
        if (!a->connected) puts("{\"connected\":true}");
        fflush(stdout);
        a->connected = true;
    }
}

/* What comes from the peer on flows that this role has opened. */
static void on_turn(void *user, nsec_t now, const struct event *events, size_t count)
{
    struct alone *a = user;
    const struct world *world = driver_world(a->driver);

    for (size_t i = 0; a->peer.address && i < count; i++) {
        struct flow_view flow;

        if (events[i].type != EVENT_MSG || !world_flow_alive(world, events[i].flow)) continue;
        flow = world_flow(world, events[i].flow);
        if (flow.opened && ADDR_ROLE(flow.peer) == a->peer.role) hear(a, &events[i].msg);
    }
}

/* "built-in:1:9: /pointer: what" becomes "--option: what". */
static void tell(const char *error, const struct alone_source *sources)
{
    const char *pointer = strchr(error, '/'), *what = pointer ? strstr(pointer, ": ") : NULL;

    for (; what && sources && sources->pointer; sources++) {
        if (strncmp(pointer, sources->pointer, strlen(sources->pointer)) != 0) continue;
        fprintf(stderr, "%s%s\n", sources->option, what);
        return;
    }
    fprintf(stderr, "%s\n", error);
}

int alone_new(struct alone *a, const char *document, const struct alone_source *sources)
{
    struct plan_load_options o = {.path = "built-in", .text = document};
    struct driver_options d = {.flows_max = FLOWS_MAX, .on_turn = on_turn, .user = a};
    struct recorder_options r;
    struct plan_error error;

    if (plan_load(&o, &a->plan, &error) != 0) {
        tell(error.text, sources);
        return EXIT_BAD_INPUT;
    }
    r = recorder_options_of(a->plan);
    d.plan = a->plan;
    if (tcp_base_new(&a->base) < 0) return EXIT_BROKEN;
    d.base = a->base;
    if (recorder_new(&r, &a->recorder) < 0 || driver_new(&d, &a->driver) < 0) return EXIT_BROKEN;
    return 0;
}

int alone_add(struct alone *a, addr_t self)
{
    int r = driver_add(a->driver, self, a->recorder, 0);

    if (r < 0) fprintf(stderr, "%s %u: %s\n", role_name(ADDR_ROLE(self)), ADDR_ORDINAL(self), strerror(-r));
    return r < 0 ? EXIT_BROKEN : 0;
}

static void on_signal(evutil_socket_t signo, short what, void *arg)
{
    event_base_loopbreak(arg);
}

static struct timeval timeval_of(nsec_t ns)
{
    return (struct timeval){.tv_sec = (time_t)(ns / NSEC_PER_S),
                            .tv_usec = (suseconds_t)(ns % NSEC_PER_S / NSEC_PER_US)};
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
    struct alone *a = arg;

    if (world_flow_count(driver_world(a->driver)) == 0) event_base_loopbreak(a->base);
}

/* Told to stop in order. */
static void drain(struct alone *a, nsec_t grace_ns)
{
    static const struct timeval each = {.tv_usec = 20000};
    struct timeval grace = timeval_of(grace_ns), last = timeval_of(PLAN_LAST_WORDS_NS);
    struct event *look = a->ends_with_flows ? event_new(a->base, -1, EV_PERSIST, on_look, a) : NULL;

    driver_tell_all(a->driver, EVENT_DRAIN);
    if (look) event_add(look, &each);
    event_base_loopexit(a->base, &grace);
    event_base_loop(a->base, EVLOOP_NO_EXIT_ON_EMPTY);
    if (!look) return;
    event_free(look);
    event_base_loopexit(a->base, &last);
    event_base_loop(a->base, EVLOOP_NO_EXIT_ON_EMPTY);
}

void alone_run(struct alone *a, const struct str *ready, nsec_t grace_ns)
{
    a->signals[0] = evsignal_new(a->base, SIGTERM, on_signal, a->base);
    a->signals[1] = evsignal_new(a->base, SIGINT, on_signal, a->base);
    for (int i = 0; i < 2; i++)
        if (a->signals[i]) evsignal_add(a->signals[i], NULL);
    puts(str_text(ready));
    fflush(stdout);
    event_base_loop(a->base, EVLOOP_NO_EXIT_ON_EMPTY);
    drain(a, grace_ns);
}

void alone_stop(struct alone *a)
{
    driver_free(a->driver);
    a->driver = NULL;
}

void alone_deinit(struct alone *a)
{
    alone_stop(a);
    for (int i = 0; i < 2; i++)
        if (a->signals[i]) event_free(a->signals[i]);
    tcp_base_free(a->base, FLUSH_NS);
    recorder_free(a->recorder);
    plan_free(a->plan);
}
