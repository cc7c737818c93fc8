#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sim/cmd/measured.h"
#include "sim/cmd/role.h"
#include "sim/live/awake.h"
#include "sim/live/resources.h"
#include "sim/live/supervisor.h"

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
    return remove(path) == 0 || errno == ENOENT ? 0 : -1;
}

/* The journal, and what killed runners left of their files. */
static void remove_directory(const char *directory)
{
    if (nftw(directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0)
        fprintf(stderr, "%s: cannot be removed: %s\n", directory, strerror(errno));
}

/* A run keeps a lock on its folder, so that whoever was killed tells it by having none. The number in the
 * name is of its process: one that has just made its folder may not have locked it yet. */
static bool is_left_over(const char *path, const char *name)
{
    struct stat st;
    long pid;
    int fd;
    bool unlocked;

    if (sscanf(name, "windtunnel-%ld-", &pid) != 1 || pid <= 0) return false;
    if (kill((pid_t)pid, 0) == 0 || errno != ESRCH) return false;
    fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return false;
    unlocked = fstat(fd, &st) == 0 && st.st_uid == geteuid() && flock(fd, LOCK_EX | LOCK_NB) == 0;
    close(fd);
    return unlocked;
}

/* Of runs that were killed and could not. */
static void remove_left_over(const char *base)
{
    DIR *dir = opendir(base);
    const struct dirent *entry;
    char path[512];

    while (dir && (entry = readdir(dir))) {
        if (snprintf(path, sizeof path, "%s/%s", base, entry->d_name) >= (int)sizeof path) continue;
        if (is_left_over(path, entry->d_name)) remove_directory(path);
    }
    if (dir) closedir(dir);
}

/* Makes the folder of the run and locks it. */
static int make_directory(struct live_run *run, const char *base)
{
    int n = snprintf(run->directory, sizeof run->directory, "%s/windtunnel-%ld-XXXXXX", base, (long)getpid());
    int r = n >= (int)sizeof run->directory ? -ENAMETOOLONG : mkdtemp(run->directory) ? 0 : -errno;

    if (r < 0) {
        run->directory[0] = '\0';
        return r;
    }
    run->lock = open(run->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (run->lock >= 0) (void)!flock(run->lock, LOCK_EX | LOCK_NB);
    return 0;
}

struct live_watch {
    const struct watcher *watcher;
    struct interval_series *series;
};

static bool on_interval(void *user, nsec_t now, const struct recorder *const *recorders, size_t count)
{
    struct live_watch *w = user;

    interval_cut(w->series, recorders, count, now);
    return !w->watcher->interval || w->watcher->interval(w->watcher->user, now, recorders, count);
}

static bool is_stopped(void *user)
{
    const struct live_watch *w = user;

    return w->watcher->stopped && w->watcher->stopped(w->watcher->user);
}

static int raise_descriptors(const struct plan *plan, const struct layout *layout, char failure[512])
{
    struct str why = STR_INIT(480);
    int r = resources_raise_descriptors(plan, layout, &why);

    if (str_len(&why)) snprintf(failure, 512, "%s", str_text(&why));
    str_deinit(&why);
    return r;
}

static int prepare(struct live_run *run, struct layout **layout, char failure[512])
{
    const char *tmpdir = getenv("TMPDIR"), *base = tmpdir && tmpdir[0] ? tmpdir : "/tmp";
    int r = layout_new(run->plan, (unsigned)getpid(), layout);

    if (r == -E2BIG)
        snprintf(failure, 512,
                 "more than %u pairs of components would need a relay: fewer of them, no latency or rate for "
                 "their "
                 "link (/links), or --clock virtual",
                 LAYOUT_RELAYED_MAX);
    if (r == -ERANGE)
        snprintf(failure, 512, "more than %u gateways (/tunnels): fewer of them, or --clock virtual",
                 LAYOUT_PROXIES_MAX);
    remove_left_over(base);
    if (r == 0 && (r = make_directory(run, base)) < 0)
        snprintf(failure, 512, "%s: no folder can be made for the run: %s", base, strerror(-r));
    if (r == 0) r = raise_descriptors(run->plan, *layout, failure);
    if (r == 0) r = run_certs_new(run->plan, &run->certs);
    return r;
}

static int supervise(struct live_run *run, const struct watcher *w, struct measured *ret)
{
    struct live_watch watch = {.watcher = w, .series = ret->series};
    struct supervisor_options o = {.plan = run->plan,
                                   .layout = run->layout,
                                   .child_main = role_main,
                                   .on_interval = on_interval,
                                   .stopped = is_stopped,
                                   .user = &watch};
    struct supervisor_result result = {0};
    struct supervisor *s = NULL;
    struct awake awake = {0};
    struct str error = STR_INIT(480);
    const struct recorder *const *recorders;
    size_t count;
    int r;

    o.child_user = run;
    if (run->plan->live.keep_awake && (r = awake_begin(&awake)) < 0) {
        str_deinit(&error);
        snprintf(ret->failure, sizeof ret->failure, "/live/keep_awake: %s", strerror(-r));
        return r;
    }
    r = supervisor_run(&o, &s, &result, &error);
    awake_end(&awake);
    if (r < 0) snprintf(ret->failure, sizeof ret->failure, "%s", str_text(&error));
    str_deinit(&error);
    ret->interrupted = result.interrupted;
    if (s) {
        recorders = supervisor_recorders(s, &count);
        r = measured_finish(ret, run->plan, recorders, count, result.end_ns);
    }
    supervisor_free(s);
    return r;
}

int measure_live(const struct plan *plan, const struct watcher *w, const char *flight, const char *name,
                 struct measured *ret)
{
    struct live_run run = {.plan = plan, .flight = flight, .name = name, .lock = -1};
    struct layout *layout = NULL;
    int r;

    *ret = (struct measured){0};
    r = measured_series_new(plan, &ret->series);
    if (r == 0) r = prepare(&run, &layout, ret->failure);
    run.layout = layout;
    if (r == 0) r = supervise(&run, w, ret);
    if (r < 0 && !ret->failure[0])
        snprintf(ret->failure, sizeof ret->failure, "the run cannot be set up: %s", strerror(-r));
    if (run.directory[0]) remove_directory(run.directory);
    if (run.lock >= 0) close(run.lock);
    run_certs_deinit(&run.certs);
    layout_free(layout);
    return r;
}
