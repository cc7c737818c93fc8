#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/vec.h"
#include "sim/cmd/measured.h"
#include "sim/virtual/engine.h"
#include "sim/world/limits.h"

struct virtual_run {
    const struct watcher *watcher;
    const struct recorder *recorder;
    struct interval_series *series;
};

static bool on_interval(void *user, nsec_t now)
{
    struct virtual_run *v = user;

    interval_cut(v->series, &v->recorder, 1, now);
    return !v->watcher->interval || v->watcher->interval(v->watcher->user, now, &v->recorder, 1);
}

int measure_virtual(const struct plan *plan, const struct watcher *w, struct measured *ret)
{
    struct recorder_options ro = recorder_options_of(plan);
    struct recorder *recorder = NULL;
    struct engine_result result;
    struct virtual_run v = {.watcher = w};
    struct engine_options eo = {.plan = plan, .on_interval = on_interval, .user = &v};
    int r = recorder_new(&ro, &recorder);

    *ret = (struct measured){0};
    if (r == 0) r = measured_series_new(plan, &ret->series);
    if (r == 0) {
        eo.recorder = recorder;
        v.recorder = recorder;
        v.series = ret->series;
        r = engine_run(&eo, &result);
    }
    if (r < 0) {
        snprintf(ret->failure, sizeof ret->failure, "the run failed: %s", strerror(-r));
        /* What was recorded until then is a result, though no valid one. */
        if (recorder && ret->series)
            measured_finish(ret, plan, (const struct recorder *const *)&recorder, 1, 0);
    } else {
        ret->interrupted = result.interrupted;
        ret->memory_max_bytes = result.memory_max_bytes;
        ret->engine = (struct engine_figures){.deliveries = result.deliveries,
                                              .polls = result.polls,
                                              .timers = result.timers,
                                              .timers_dead = result.timers_dead};
        snprintf(ret->digest, sizeof ret->digest, "%s", result.digest);
        r = measured_finish(ret, plan, (const struct recorder *const *)&recorder, 1, result.end_ns);
    }
    recorder_free(recorder);
    return r;
}

/* --verify
 * -------------------------------------------------------------------------------------------------------- */

/* One 64-bit digest for each event of the first run, to compare the second with. */
struct verifier {
    const struct watcher *watcher;
    VEC(uint64_t) events;
    bool comparing, differs;
    uint64_t number;
    nsec_t at;
    struct event event;
};

static uint64_t event_digest(nsec_t now, const struct event *ev)
{
    struct digest d;
    uint64_t out[2];
    const uint64_t words[] = {now,       ev->type,     ev->self,      ev->from,     ev->flow,      ev->tag,
                              ev->token, ev->msg.type, ev->msg.flags, ev->msg.kind, ev->msg.bytes, ev->msg.a,
                              ev->msg.b, ev->msg.c,    ev->msg.d,     ev->msg.e};

    digest_init(&d);
    digest_words(&d, words, sizeof words / sizeof *words);
    digest_final(&d, out);
    return out[0];
}

static void on_event(void *user, uint64_t number, nsec_t now, const struct event *ev)
{
    struct verifier *v = user;
    uint64_t digest = event_digest(now, ev);

    if (!v->comparing) {
        vec_push(&v->events, digest);
    } else if (!v->differs && (number >= v->events.len || v->events.items[number] != digest)) {
        v->differs = true;
        v->number = number;
        v->at = now;
        v->event = *ev;
    }
}

static bool on_verify_interval(void *user, nsec_t now)
{
    const struct verifier *v = user;

    return v->watcher->interval(v->watcher->user, now, NULL, 0);
}

int verify_virtual(const struct plan *plan, const struct watcher *w)
{
    struct verifier v = {.watcher = w};
    struct engine_options o = {
        .plan = plan, .on_interval = on_verify_interval, .on_event = on_event, .user = &v};
    struct engine_result first, second;
    int r;

    vec_init(&v.events, UINT64_C(1) << 28);
    r = engine_run(&o, &first);
    if (r == 0 && first.interrupted) r = -ECANCELED;
    v.comparing = true;
    if (r == 0) r = engine_run(&o, &second);
    if (r == 0 && second.interrupted) r = -ECANCELED;
    if (r == 0 && v.differs) {
        fprintf(stderr,
                "verify: event %" PRIu64 " at %" PRIu64 " ns differs: type %u for %s %u, message %s\n",
                v.number, v.at, v.event.type, role_name(ADDR_ROLE(v.event.self)), ADDR_ORDINAL(v.event.self),
                msg_kind_name(v.event.msg.kind));
        r = 1;
    } else if (r == 0 && strcmp(first.digest, second.digest) != 0) {
        fprintf(stderr, "verify: the events are the same, an effect differs: %s and %s\n", first.digest,
                second.digest);
        r = 1;
    }
    vec_deinit(&v.events);
    return r;
}
