/* The folder for the flight logs of one run: no logs of two stand beside each other. */
#pragma once

#include <sys/types.h>

/*
 * Makes the folder where it is missing, locks it, and removes the flight logs that are there, and nothing
 * else. 0 and a descriptor that holds the lock until it is closed. Negative errno: -EWOULDBLOCK when another
 * run writes there, -ENOTDIR, -EACCES, ….
 */
int flight_folder_claim(const char *path, int *ret_lock);

/* Appends to the buffer what is wrong: "--flight PATH: why, what to do". */
void flight_folder_explain(const char *path, int error, char *ret, size_t size);
