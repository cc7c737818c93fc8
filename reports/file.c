#include "reports/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void close_fd(int *fd)
{
    if (*fd >= 0) close(*fd);
}

int report_file_fail(struct report_error *ret_error, const char *what, const char *path, int error)
{
    snprintf(ret_error->text, sizeof(ret_error->text), "cannot %s %.700s: %s", what, path, strerror(-error));
    return error;
}

int folder_make(const char *path, struct report_error *ret_error)
{
    CLEANUP(str_deinit) struct str part = STR_INIT(64u << 10);
    struct stat st;

    str_puts(&part, path);
    str_putc(&part, '/');
    if (str_error(&part)) return report_file_fail(ret_error, "make folder", path, str_error(&part));
    for (char *slash = strchr(part.data + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(part.data, 0777) < 0 && errno != EEXIST)
            return report_file_fail(ret_error, "make folder", part.data, -errno);
        *slash = '/';
    }
    if (stat(path, &st) < 0) return report_file_fail(ret_error, "make folder", path, -errno);
    return S_ISDIR(st.st_mode) ? 0 : report_file_fail(ret_error, "make folder", path, -ENOTDIR);
}

static int write_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);

        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -errno;
        bytes += n;
        len -= (size_t)n;
    }
    return 0;
}

/* Writes and syncs a new file; closing counts, for some file systems only then tell that they are full. */
static int write_new(const char *path, const void *bytes, size_t len)
{
    CLEANUP(close_fd) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    int r, closing;

    if (fd < 0) return -errno;
    r = write_all(fd, bytes, len);
    if (r == 0 && fsync(fd) < 0 && errno != EINVAL && errno != EROFS) r = -errno;
    closing = fd;
    fd = -1;
    if (close(closing) < 0 && r == 0) r = -errno;
    return r;
}

int report_file_write(const char *path, const void *bytes, size_t len, struct report_error *ret_error)
{
    CLEANUP(str_deinit) struct str temporary = STR_INIT(64u << 10);
    int r;

    str_appendf(&temporary, "%s.%ld.tmp", path, (long)getpid());
    if (str_error(&temporary)) return report_file_fail(ret_error, "write", path, str_error(&temporary));
    r = write_new(str_text(&temporary), bytes, len);
    if (r == 0 && rename(str_text(&temporary), path) < 0) r = -errno;
    if (r == 0) return 0;
    unlink(str_text(&temporary));
    return report_file_fail(ret_error, "write", path, r);
}

int report_file_read(const char *path, struct str *out, struct report_error *ret_error)
{
    CLEANUP(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    char buffer[64u << 10];
    ssize_t n;

    if (fd < 0) return report_file_fail(ret_error, "read", path, -errno);
    while ((n = read(fd, buffer, sizeof(buffer))) != 0) {
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return report_file_fail(ret_error, "read", path, -errno);
        str_append(out, buffer, (size_t)n);
        if (str_error(out) == -ENOSPC) return report_file_fail(ret_error, "read", path, -EFBIG);
        if (str_error(out)) return report_file_fail(ret_error, "read", path, str_error(out));
    }
    return 0;
}
