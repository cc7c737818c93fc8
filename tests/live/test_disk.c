/* Files of the sandboxes: what is written, where it lies, what is read back, and when it goes. */
#include "sim/live/content.h"
#include "sim/live/disk.h"
#include "sim/live/tcp.h"
#include "tests/live/api_test.h"

#include <event2/buffer.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DISK ADDR(ROLE_DISK, 0)
#define CALL UINT64_C(0x300000007)

static struct event_base *base;
static struct disk *disk;
static char directory[] = "/tmp/windtunnel-test-XXXXXX";

static void setup(void)
{
    ck_assert_int_eq(tcp_base_new(&base), 0);
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(disk_new(base, directory, &disk), 0);
}

static void teardown(void)
{
    disk_free(disk);
    ck_assert_int_eq(rmdir(directory), 0); /* nothing is left in it */
    event_base_free(base);
}

/* The file as the host sees it: the sandbox's /tmp is the directory. */
static void path_of(uint64_t call, char path[PATH_MAX])
{
    char inside[DISK_PATH_SIZE];

    disk_path(call, inside);
    ck_assert_int_eq(strncmp(inside, "/tmp/windtunnel-", 16), 0);
    snprintf(path, PATH_MAX, "%s%s", directory, inside + strlen("/tmp"));
}

static bool is_there(uint64_t call)
{
    char path[PATH_MAX];

    path_of(call, path);
    return access(path, F_OK) == 0;
}

/* Another byte at `offset`, behind everybody's back. */
static void spoil(uint64_t call, off_t offset)
{
    char path[PATH_MAX];
    int fd;

    path_of(call, path);
    fd = open(path, O_WRONLY);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pwrite(fd, "!", 1, offset), 1);
    close(fd);
}

static struct msg ask_of(addr_t to, struct msg m)
{
    m.type = MSG_OPEN;
    m.flags = MSG_LAST;
    return disk_ask(disk, to, &m);
}
static struct msg ask(struct msg m)
{
    return ask_of(DISK, m);
}

static struct msg write_file(uint64_t call, uint64_t chars, uint64_t session, uint64_t brought)
{
    return ask((struct msg){.kind = M_FILE_WRITE, .a = call, .b = chars, .c = session, .d = brought});
}
static struct msg read_file(uint64_t call, uint64_t offset, uint64_t chars)
{
    return ask((struct msg){.kind = M_FILE_READ, .a = call, .b = offset, .c = chars});
}

static void stage(uint64_t session, uint64_t call, const char *text)
{
    struct disk_write w = {.session = session, .call = call};

    disk_stage(disk, &w, text, strlen(text));
}

START_TEST(what_is_read_is_checked)
{
    struct msg m = write_file(CALL, 200000, 5, 0);

    ck_assert(m.kind == M_OK && m.a == 200000 && is_there(CALL));
    m = read_file(CALL, 50000, 50000);
    ck_assert(m.kind == M_OK && m.a == 50000 && m.b == 0);
    m = read_file(CALL, 150000, 100000);
    ck_assert(m.kind == M_OK && m.a == 50000 && m.b == 0); /* fewer at the end */
    spoil(CALL, 99999);
    ck_assert_uint_eq(read_file(CALL, 0, 99999).b, 0);
    ck_assert_uint_eq(read_file(CALL, 50000, 50000).b, 1);
    ck_assert_uint_eq(read_file(CALL, 100000, 100000).b, 0);
    ck_assert_int_eq(read_file(CALL + 1, 0, 10).kind, M_ERROR);
}
END_TEST

START_TEST(what_is_posted_is_what_lies_there)
{
    struct evbuffer *out = evbuffer_new();
    char expected[100];

    write_file(CALL, 1000, 5, 0);
    spoil(CALL, 955);
    disk_copy(disk, CALL, 900, 200, out);
    content_fill(CALL, 900, expected, 100);
    expected[55] = '!';
    ck_assert_uint_eq(evbuffer_get_length(out), 100);
    ck_assert_int_eq(memcmp(evbuffer_pullup(out, -1), expected, 100), 0);
    evbuffer_drain(out, 100);
    disk_copy(disk, CALL + 1, 0, 200, out);
    ck_assert_uint_eq(evbuffer_get_length(out), 0);
    evbuffer_free(out);
}
END_TEST

/* Of a `write` the very bytes that came with it, not those that should have. */
START_TEST(what_was_brought_is_written)
{
    struct evbuffer *out = evbuffer_new();

    ck_assert_int_eq(write_file(CALL, 11, 5, 1).kind, M_ERROR); /* nothing was brought */
    stage(5, CALL, "first");
    stage(5, CALL, "other bytes");
    ck_assert_int_eq(write_file(CALL, 11, 5, 1).kind, M_OK);
    disk_copy(disk, CALL, 0, 100, out);
    ck_assert_uint_eq(evbuffer_get_length(out), 11);
    ck_assert_int_eq(memcmp(evbuffer_pullup(out, -1), "other bytes", 11), 0);
    ck_assert_uint_eq(read_file(CALL, 0, 11).b, 1);
    ck_assert_int_eq(write_file(CALL, 11, 5, 1).kind, M_ERROR); /* once */
    evbuffer_free(out);
}
END_TEST

START_TEST(files_go_with_their_session)
{
    const struct msg drop = {.kind = M_FILES_DROP, .a = 5};

    write_file(1, 10, 5, 0);
    write_file(2, 10, 6, 0);
    write_file(3, 10, 5, 0);
    write_file(3, 10, 5, 0);
    stage(5, 4, "brought");
    stage(6, 5, "brought");
    ck_assert_int_eq(ask(drop).kind, M_OK);
    ck_assert(!is_there(1) && is_there(2) && !is_there(3));
    ck_assert_int_eq(write_file(4, 7, 5, 1).kind, M_ERROR);
    ck_assert_int_eq(write_file(5, 7, 6, 1).kind, M_OK);
    /* Another runner of the process has the same session, and the same call's file. */
    write_file(6, 10, 5, 0);
    ask_of(DISK + 1, (struct msg){.kind = M_FILE_WRITE, .a = 6, .b = 10, .c = 5});
    ask(drop);
    ck_assert(is_there(6));
    ask_of(DISK + 1, drop);
    ck_assert(!is_there(6));
}
END_TEST

static void add_tests(TCase *tc)
{
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, what_is_read_is_checked);
    tcase_add_test(tc, what_is_posted_is_what_lies_there);
    tcase_add_test(tc, what_was_brought_is_written);
    tcase_add_test(tc, files_go_with_their_session);
}

int main(void)
{
    return api_test_main("disk", add_tests);
}
