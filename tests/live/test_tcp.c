/* TCP streams on loopback: order, flow control, half close, resets, lingering, and being freed at odd
 * moments. */
#include "tests/live/live_test.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

static struct event_base *base;
static struct tcp_listener *listener;
static struct probe server, client;
static struct tcp_options server_options, client_options;
static char address[TCP_ADDRESS_MAX], last_peer[TCP_ADDRESS_MAX];

static void on_accept(void *user, struct stream *s, const char *peer)
{
    snprintf(last_peer, sizeof last_peer, "%s", peer);
    probe_init(&server, s);
}

static void listen_any(void)
{
    ck_assert_int_eq(tcp_base_new(&base), 0);
    ck_assert_int_eq(tcp_listener_new(base, "127.0.0.1:0", &server_options, on_accept, NULL, &listener), 0);
    snprintf(address, sizeof address, "127.0.0.1:%d", tcp_listener_port(listener));
}

static void open_pair(void)
{
    struct stream *s;

    listen_any();
    ck_assert_int_eq(tcp_dial(base, address, &client_options, &s), 0);
    probe_init(&client, s);
    RUN_UNTIL(base, server.ready && client.ready);
}

static void close_pair(void)
{
    tcp_listener_free(listener);
    probe_deinit(&client, false);
    probe_deinit(&server, false);
    live_test_base_free(base);
}

START_TEST(echo_and_clean_end)
{
    struct stream *s;

    listen_any();
    ck_assert_int_eq(tcp_dial(base, address, NULL, &s), 0);
    probe_init(&client, s);
    probe_write(&client, "early", 5); /* before it is up */
    ck_assert_uint_eq(stream_pending(s), 5);
    RUN_UNTIL(base, server.got && probe_is(&server, "early"));
    ck_assert_int_eq(client.ready, 1);
    ck_assert_int_eq(strncmp(last_peer, "127.0.0.1:", 10), 0);
    probe_write(&server, "answer", 6);
    RUN_UNTIL(base, probe_is(&client, "answer"));

    stream_shutdown(client.s); /* half close: the other direction still works */
    probe_write(&client, "dropped", 7);
    RUN_UNTIL(base, server.eof);
    probe_write(&server, " more", 5);
    RUN_UNTIL(base, probe_is(&client, "answer more"));
    ck_assert_int_eq(client.ended + server.ended, 0);
    stream_shutdown(server.s);
    stream_shutdown(server.s);
    RUN_UNTIL(base, client.ended && server.ended);
    ck_assert_int_eq(client.end, STREAM_END_CLEAN);
    ck_assert_int_eq(server.end, STREAM_END_CLEAN);
    ck_assert(probe_is(&server, "early"));
    close_pair();
}
END_TEST

START_TEST(a_held_listener_refuses_until_it_is_released)
{
    struct tcp_hold *hold;
    struct stream *s;

    ck_assert_int_eq(tcp_base_new(&base), 0);
    ck_assert_int_eq(tcp_hold_new(base, &hold), 0);
    ck_assert_int_eq(tcp_listener_new(base, "127.0.0.1:0", &server_options, on_accept, NULL, &listener), 0);
    snprintf(address, sizeof address, "127.0.0.1:%d", tcp_listener_port(listener));
    ck_assert_int_eq(tcp_dial(base, address, NULL, &s), 0);
    probe_init(&client, s);
    RUN_UNTIL(base, client.ended);
    ck_assert_int_eq(client.end, STREAM_END_REFUSED);
    probe_deinit(&client, false);

    ck_assert_int_eq(tcp_hold_release(hold), 0);
    ck_assert_int_eq(tcp_dial(base, address, NULL, &s), 0);
    probe_init(&client, s);
    RUN_UNTIL(base, server.ready && client.ready);
    close_pair();

    /* Nothing is held any more, nor by a hold that comes later. */
    open_pair();
    ck_assert_int_eq(tcp_hold_new(base, &hold), 0);
    ck_assert_int_eq(tcp_hold_release(hold), 0);
    close_pair();
}
END_TEST

START_TEST(refused_and_timeout)
{
    struct tcp_options hasty = {.connect_timeout_ns = 50 * NSEC_PER_MS};
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int full = socket(AF_INET, SOCK_STREAM, 0);
    struct probe others[4];
    struct stream *s;

    listen_any();
    tcp_listener_free(listener);
    listener = NULL;
    ck_assert_int_eq(tcp_dial(base, address, NULL, &s), 0);
    probe_init(&client, s);
    client.free_in_ended = true;
    RUN_UNTIL(base, client.ended);
    ck_assert_int_eq(client.end, STREAM_END_REFUSED);
    ck_assert_int_eq(client.ready, 0);
    ck_assert_ptr_nonnull(strstr(client.what, "connect to 127.0.0.1:"));
    ck_assert_ptr_nonnull(strstr(client.what, "Connection refused"));
    probe_deinit(&client, false);

    /* A listener whose queue is full does not answer any more. */
    ck_assert_int_eq(bind(full, (struct sockaddr *)&at, sizeof at), 0);
    ck_assert_int_eq(listen(full, 0), 0);
    getsockname(full, (struct sockaddr *)&at, &len);
    snprintf(address, sizeof address, "127.0.0.1:%d", ntohs(at.sin_port));
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(tcp_dial(base, address, &hasty, &s), 0);
        probe_init(&others[i], s);
    }
    RUN_UNTIL(base, others[3].ended);
    ck_assert_int_eq(others[3].end, STREAM_END_TIMEOUT);
    for (int i = 0; i < 4; i++) probe_deinit(&others[i], true);
    close(full);

    ck_assert_int_eq(tcp_dial(base, "localhost:80", NULL, &s), -EINVAL);
    ck_assert_int_eq(tcp_dial(base, "127.0.0.1", NULL, &s), -EINVAL);
    ck_assert_int_eq(tcp_dial(base, "127.0.0.1:99999", NULL, &s), -EINVAL);
    live_test_base_free(base);
}
END_TEST

START_TEST(reset_is_told)
{
    open_pair();
    stream_free(client.s, true);
    client.s = NULL;
    RUN_UNTIL(base, server.ended);
    ck_assert_int_eq(server.end, STREAM_END_RESET);
    ck_assert_int_eq(server.eof, 0);
    probe_write(&server, "x", 1); /* into the void */
    close_pair();
}
END_TEST

/* 64 MiB through a reader that stops again and again: all arrives, and neither side holds much. */
START_TEST(slow_reader)
{
    const size_t total = 64 << 20, piece = 100000;
    size_t sent = 0, got = 0, pending_max = 0, held_max = 0;

    open_pair();
    server.consume = false;
    while (got < total) {
        while (sent < total && stream_pending(client.s) <= STREAM_LOW_MARK) {
            probe_write_pattern(&client, sent, total - sent < piece ? total - sent : piece);
            sent += total - sent < piece ? total - sent : piece;
        }
        live_test_turn(base);
        if (stream_pending(client.s) > pending_max) pending_max = stream_pending(client.s);
        if (evbuffer_get_length(stream_input(server.s)) > held_max)
            held_max = evbuffer_get_length(stream_input(server.s));
        if (evbuffer_get_length(stream_input(server.s)) > 0 && server.data % 2 == 0) {
            size_t n = evbuffer_remove_buffer(stream_input(server.s), server.got, SIZE_MAX >> 1);
            got += probe_check_pattern(&server, got);
            stream_consumed(server.s, n);
        }
        server.data++;
    }
    ck_assert_uint_eq(got, total);
    ck_assert_uint_le(pending_max, STREAM_LOW_MARK + piece);
    ck_assert_uint_le(held_max, STREAM_WINDOW + 64 * 1024);
    close_pair();
}
END_TEST

START_TEST(writable_is_told_once)
{
    client_options.sndbuf = 128 * 1024;
    server_options.rcvbuf = 128 * 1024;
    open_pair();
    server.consume = false;
    probe_write_pattern(&client, 0, 4 << 20);
    live_test_run_ms(base, 50);
    ck_assert_uint_gt(stream_pending(client.s), STREAM_LOW_MARK);
    ck_assert_int_eq(client.writable, 0);
    server.consume = true;
    stream_set_handler(server.s, &probe_handler, &server); /* shows what lies there */
    RUN_UNTIL(base, probe_len(&server) == 4 << 20);
    ck_assert_int_eq(client.writable, 1);
    probe_check_pattern(&server, 0);
    close_pair();
}
END_TEST

/* Freed in order with megabytes queued: they still arrive, and the end is clean. */
START_TEST(flush_after_free)
{
    client_options.sndbuf = 128 * 1024;
    open_pair();
    probe_write_pattern(&client, 0, 8 << 20);
    ck_assert_uint_gt(stream_pending(client.s), 0);
    stream_free(client.s, false);
    client.s = NULL;
    RUN_UNTIL(base, server.eof);
    ck_assert_uint_eq(probe_check_pattern(&server, 0), 8 << 20);
    ck_assert_int_eq(server.ended, 0);
    close_pair();
}
END_TEST

/* The peer neither reads nor closes: the lingering ends by itself. */
START_TEST(linger_is_bounded)
{
    nsec_t start;

    client_options = (struct tcp_options){.sndbuf = 128 * 1024, .linger_ns = 100 * NSEC_PER_MS};
    open_pair();
    server.consume = false;
    probe_write_pattern(&client, 0, 8 << 20);
    start = live_test_now();
    stream_free(client.s, false);
    client.s = NULL;
    RUN_UNTIL(base, server.eof || server.ended || live_test_now() > start + 300 * NSEC_PER_MS);
    stream_free(server.s, true);
    server.s = NULL;
    tcp_listener_free(listener);
    event_base_dispatch(base); /* returns: nothing is left */
    ck_assert_uint_lt(live_test_now() - start, 2 * NSEC_PER_S);
    evbuffer_free(client.got);
    evbuffer_free(server.got);
    event_base_free(base);
}
END_TEST

/* What lingers when its base is freed goes with it: at once, or after the patience that it was given. */
START_TEST(linger_ends_with_its_base)
{
    nsec_t start;

    client_options = (struct tcp_options){.sndbuf = 128 * 1024};
    open_pair();
    server.consume = false;
    probe_write_pattern(&client, 0, 8 << 20);
    stream_free(client.s, false);
    stream_free(server.s, true); /* the reset has not arrived */
    tcp_listener_free(listener);
    start = live_test_now();
    tcp_base_free(base, _i * 100 * NSEC_PER_MS);
    ck_assert_uint_lt(live_test_now() - start, NSEC_PER_S);
    evbuffer_free(client.got);
    evbuffer_free(server.got);
}
END_TEST

/* What comes to its end is not waited for longer. */
START_TEST(linger_ends_before_patience)
{
    nsec_t start;

    client_options = (struct tcp_options){.sndbuf = 128 * 1024};
    open_pair();
    server.consume = false;
    probe_write_pattern(&client, 0, 8 << 20);
    stream_free(client.s, false);
    start = live_test_now();
    tcp_listener_free(listener);
    stream_set_handler(server.s, NULL, NULL);
    stream_free(server.s, false); /* lingers as well: it drains, so the other comes to its end */
    tcp_base_free(base, 10 * NSEC_PER_S);
    ck_assert_uint_lt(live_test_now() - start, 5 * NSEC_PER_S);
    evbuffer_free(client.got);
    evbuffer_free(server.got);
}
END_TEST

/* An answer that was sent before the peer stopped listening to us must still be read. */
START_TEST(answer_before_reset)
{
    open_pair();
    server.consume = false;
    probe_write_pattern(&client, 0, 1 << 20);
    live_test_run_ms(base, 20);
    probe_write(&server, "no more", 7);
    stream_free(server.s, false); /* with unread input: lingers rather than resets */
    server.s = NULL;
    for (int i = 0; i < 20 && !client.ended; i++) {
        probe_write_pattern(&client, 0, 1 << 16);
        live_test_turn(base);
    }
    ck_assert(probe_is(&client, "no more"));
    close_pair();
}
END_TEST

START_TEST(freed_in_callbacks)
{
    open_pair();
    server.free_in_data = true;
    probe_write(&client, "x", 1);
    RUN_UNTIL(base, client.eof);
    ck_assert_ptr_null(server.s);
    close_pair();

    client_options = (struct tcp_options){0};
    open_pair();
    server.free_in_ended = true;
    stream_free(client.s, true);
    client.s = NULL;
    RUN_UNTIL(base, server.ended);
    ck_assert_ptr_null(server.s);
    close_pair();
}
END_TEST

/* A stream that is handed over tells its new user everything that still holds. */
START_TEST(handed_over)
{
    struct probe heir;

    open_pair();
    server.consume = false;
    probe_write(&client, "left", 4);
    stream_shutdown(client.s);
    RUN_UNTIL(base, server.eof);
    probe_init(&heir, server.s);
    ck_assert_int_eq(heir.ready, 0); /* not inside the call */
    RUN_UNTIL(base, heir.eof);
    ck_assert_int_eq(heir.ready, 1);
    ck_assert(probe_is(&heir, "left"));
    stream_shutdown(server.s);
    RUN_UNTIL(base, heir.ended);
    ck_assert_int_eq(heir.end, STREAM_END_CLEAN);
    ck_assert_int_eq(server.ended, 0);
    stream_set_handler(server.s, NULL, NULL);
    live_test_run_ms(base, 20);
    evbuffer_free(heir.got);
    close_pair();
}
END_TEST

START_TEST(source_and_bad_listeners)
{
    struct tcp_listener *other;
    struct stream *s;

    client_options.source = "127.0.0.9";
    open_pair();
    ck_assert_int_eq(strncmp(last_peer, "127.0.0.9:", 10), 0);
    ck_assert_int_eq(tcp_listener_new(base, address, NULL, on_accept, NULL, &other), -EADDRINUSE);
    ck_assert_int_eq(tcp_listener_new(base, "nowhere", NULL, on_accept, NULL, &other), -EINVAL);
    client_options.source = "not an address";
    ck_assert_int_eq(tcp_dial(base, address, &client_options, &s), -EINVAL);
    close_pair();
}
END_TEST

static void accept_and_stop(void *user, struct stream *s, const char *peer)
{
    probe_init(&server, s);
    tcp_listener_free(listener);
    listener = NULL;
}

START_TEST(listener_freed_in_accept)
{
    struct stream *s;

    ck_assert_int_eq(tcp_base_new(&base), 0);
    ck_assert_int_eq(tcp_listener_new(base, "[::1]:0", NULL, accept_and_stop, NULL, &listener), 0);
    snprintf(address, sizeof address, "[::1]:%d", tcp_listener_port(listener));
    ck_assert_int_eq(tcp_dial(base, address, NULL, &s), 0);
    probe_init(&client, s);
    RUN_UNTIL(base, server.ready && client.ready);
    close_pair();
}
END_TEST

/* Out of descriptors: the listener rests instead of spinning, and recovers. */
START_TEST(out_of_descriptors)
{
    int fds[4096], n = 0;
    struct stream *s;

    listen_any();
    ck_assert_int_eq(tcp_dial(base, address, NULL, &s), 0);
    probe_init(&client, s);
    while (n < 4096 && (fds[n] = open("/dev/null", O_RDONLY)) >= 0) n++;
    if (n < 4096) {
        live_test_run_ms(base, 50);
        ck_assert_int_eq(server.ready, 0);
    }
    while (n > 0) close(fds[--n]);
    RUN_UNTIL(base, server.ready);
    close_pair();
}
END_TEST

static void add(TCase *tc)
{
    tcase_add_test(tc, echo_and_clean_end);
    tcase_add_test(tc, a_held_listener_refuses_until_it_is_released);
    tcase_add_test(tc, refused_and_timeout);
    tcase_add_test(tc, reset_is_told);
    tcase_add_test(tc, slow_reader);
    tcase_add_test(tc, writable_is_told_once);
    tcase_add_test(tc, flush_after_free);
    tcase_add_test(tc, linger_is_bounded);
    tcase_add_loop_test(tc, linger_ends_with_its_base, 0, 2);
    tcase_add_test(tc, linger_ends_before_patience);
    tcase_add_test(tc, answer_before_reset);
    tcase_add_test(tc, freed_in_callbacks);
    tcase_add_test(tc, handed_over);
    tcase_add_test(tc, source_and_bad_listeners);
    tcase_add_test(tc, listener_freed_in_accept);
    tcase_add_test(tc, out_of_descriptors);
}

int main(void)
{
    return live_test_main("tcp", add);
}
