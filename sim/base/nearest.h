/* The word that somebody probably meant. */
#pragma once

#include <stddef.h>

/* The name that is nearest to `wrong` by edits of one character (insert, delete, replace, swap of
 * neighbours), or NULL when none is near: more than a third of its letters (at least 2) apart. "" is passed
 * over; of equals the first. */
const char *nearest_name(const char *wrong, const char *const *names, size_t count);
