#include "sim/live/flight_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sim/live/flight.h"

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), k = strlen(end);

    return n > k && strcmp(name + n - k, end) == 0;
}

/* By what stands in it: a file may be called so by chance. */
static bool is_log(int folder, const char *name)
{
    char start[sizeof FLIGHT_MAGIC - 1];
    int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    bool is = fd >= 0 && read(fd, start, sizeof start) == (ssize_t)sizeof start &&
              memcmp(start, FLIGHT_MAGIC, sizeof start) == 0;

    if (fd >= 0) close(fd);
    return is;
}

static int remove_logs(int folder, const char *path)
{
    DIR *dir = opendir(path);
    const struct dirent *e;
    int r = dir ? 0 : -errno;

    while (r == 0 && (e = readdir(dir))) {
        const char *name = e->d_name;

        if (!ends_with(name, ".flight") && !ends_with(name, ".flight.new")) continue;
        if (is_log(folder, name) && unlinkat(folder, name, 0) < 0) r = -errno;
    }
    if (dir) closedir(dir);
    return r;
}

int flight_folder_claim(const char *path, int *ret_lock)
{
    int fd, r = 0;

    if (mkdir(path, 0777) < 0 && errno != EEXIST) return -errno;
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return -errno;
    if (access(path, W_OK | X_OK) < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0) r = -errno;
    if (r == 0) r = remove_logs(fd, path);
    if (r < 0)
        close(fd);
    else
        *ret_lock = fd;
    return r;
}

void flight_folder_explain(const char *path, int error, char *ret, size_t size)
{
    if (error == -EWOULDBLOCK)
        snprintf(ret, size,
                 "--flight %s: another run is writing there: wait for it, or choose another folder", path);
    else
        snprintf(ret, size, "--flight %s: %s", path, strerror(-error));
}
