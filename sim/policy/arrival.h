/*
 * When the sessions of one load are meant to start.
 *
 * Open models follow a rate that is linear between knots and constant before the first and after the last.
 * Their times are found by inverting the rate's integral in 128-bit integers, so they are exact to the
 * nanosecond and do not drift: the k-th start is where the integral reaches k (CONSTANT; the first at the
 * start) or the k-th point of a Poisson process of rate 1 (POISSON; one draw for each start). Spans of rate 0
 * yield nothing.
 *
 * The closed model has users: each starts a session, and its next one a think time after that session is
 * over.
 *
 * Nothing starts at or after the end of the schedule, or beyond the load's limit of sessions.
 */
#pragma once

#include "sim/base/nsec.h"
#include "sim/plan/plan.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arrival;

struct arrival_options {
    const struct plan_load *load; /* borrowed, outlives the machine */
    uint64_t seed;
    uint32_t replicate;
    nsec_t end_ns; /* the schedule's end */
};

/* 0 or -ENOMEM. Freed with arrival_free(), which allows NULL. */
int arrival_new(const struct arrival_options *options, struct arrival **ret_arrival);
void arrival_free(struct arrival *a);

/* The next intended start, or NSEC_MAX when there is none (closed model: unless a user comes back). */
nsec_t arrival_deadline(const struct arrival *a);

/* Takes the next start if its time has come. `ret_user`: whom to give back to arrival_user_back(); 0 in open
 * models. */
bool arrival_take(struct arrival *a, nsec_t now, nsec_t *ret_intended, uint32_t *ret_user);

/* The user's session is over (closed model; otherwise does nothing). */
void arrival_user_back(struct arrival *a, nsec_t now, uint32_t user);

/* Bytes of memory held. */
size_t arrival_memory(const struct arrival *a);
