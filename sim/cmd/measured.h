/* What one run left behind, the same for both clocks. */
#pragma once

#include "reports/result.h"
#include "sim/base/digest.h"
#include "sim/plan/plan.h"

struct measured {
    struct recorder *recorder; /* of all roles, merged, hops added */
    struct interval_series *series;
    struct span_report *spans;
    nsec_t end_ns;
    uint64_t marks_dropped; /* moments of calls for which there was no room */
    bool interrupted;
    char digest[DIGEST_HEX_LEN + 1];
    struct engine_figures engine;
    uint64_t memory_max_bytes;
    char failure[512]; /* one clear line when something failed in the run, else "" */
};

/* Called in the course of a run; `interval` interrupts it by false. */
struct watcher {
    bool (*interval)(void *user, nsec_t now, const struct recorder *const *recorders, size_t count);
    bool (*stopped)(void *user); /* whether somebody wants it to end */
    void *user;
};

/* Runs in virtual time. 0 or a negative errno (out of memory). */
int measure_virtual(const struct plan *plan, const struct watcher *w, struct measured *ret);
/* Twice, event by event: 0 when both did the same, else 1 after having named the first event that differs;
 * -ECANCELED when the watcher, who sees no recorders, interrupted it. -ENOMEM. */
int verify_virtual(const struct plan *plan, const struct watcher *w);

/* Runs live. `flight`: a folder for flight logs, or NULL; `name`: of the scenario, for them. A failure of a
 * child is told in `failure`. 0 or a negative errno when the run could not be set up (`failure` says why). */
int measure_live(const struct plan *plan, const struct watcher *w, const char *flight, const char *name,
                 struct measured *ret);

int measured_series_new(const struct plan *plan, struct interval_series **ret);
/* Closes the series and merges the recorders. -ENOMEM. */
int measured_finish(struct measured *m, const struct plan *plan, const struct recorder *const *recorders,
                    size_t count, nsec_t end_ns);
void measured_deinit(struct measured *m);
