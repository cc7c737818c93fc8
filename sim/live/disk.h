/*
 * The sandboxes' file system, live: the driver's side of ROLE_DISK. Spilled outputs become real files.
 *
 * Where a file lies: a sandbox sees the disk's directory as its /tmp. So the file of a call, whose path in
 * the sandbox (disk_path(): the one that the model is told and reads) is /tmp/windtunnel-<id>.txt, lies at
 * <directory>/windtunnel-<id>.txt. A file belongs to the session whose call it is; with M_FILES_DROP, which
 * the runner sends when it leaves the session, or with the disk, it goes.
 *
 * What is in it: of a command's output the text that content.h makes, since no command runs; of what a
 * `write` brought, the bytes that came with it (disk_stage()). What is read back is checked against
 * content.h, and what is posted is what was read (disk_copy()).
 *
 * A write whose bytes are not there, or for which there is no room, is answered with M_ERROR.
 */
#pragma once

#include <event2/buffer.h>

#include "sim/live/driver.h"

struct disk;

enum { DISK_PATH_SIZE = 40 };

/* The path in the sandbox of the file with the output of `call`. */
void disk_path(uint64_t call, char ret_path[DISK_PATH_SIZE]);

/* `directory` must exist. -ENOMEM. */
int disk_new(struct event_base *base, const char *directory, struct disk **ret);
/* Removes the files that are left. NULL is allowed. */
void disk_free(struct disk *d);
/* For driver_set_dialer(…, ROLE_RUNNER, ROLE_DISK, …). */
struct dialer *disk_dialer(struct disk *d);

/* Does at once what is asked of the disk `to`, ADDR(ROLE_DISK, ordinal of a runner): M_FILE_WRITE,
 * M_FILE_READ or M_FILES_DROP. Returns the answer. What the dialer does, for tests. */
struct msg disk_ask(struct disk *d, addr_t to, const struct msg *m);

/* A `write` to the sandbox of a session that the runner of that ordinal serves: of the output of `call`. */
struct disk_write {
    uint32_t runner;
    uint64_t session, call;
};

/* Keeps a copy of the `len` bytes that it brings, until they are written, or the session's files go. Of more
 * than 256 MiB the oldest are forgotten. */
void disk_stage(struct disk *d, const struct disk_write *w, const char *bytes, size_t len);

/* Appends `n` bytes of a call's file from `offset` on, fewer where it has none. */
void disk_copy(const struct disk *d, uint64_t call, uint64_t offset, uint64_t n, struct evbuffer *out);
