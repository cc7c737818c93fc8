/* mock-mcp: a synthetic MCP server, alone. */
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "mock-mcp/config.h"
#include "mock-mcp/mcp_server.h"
#include "sim/base/cli.h"
#include "sim/base/str.h"
#include "sim/live/tcp.h"

enum {
    EXIT_USAGE = 2,
    EXIT_BROKEN = 4,
    FLOWS_MAX = 1 << 18,
    STOP_LOOKS = 30, /* after a signal: calls under way get so many looks, … */
    STOP_LOOK_MS = 20,
    HELP_MAX = 16 * 1024,
};

/* … and what was answered last so long to reach its client. */
#define FLUSH_NS (200 * NSEC_PER_MS)

struct mock {
    struct event_base *base;
    struct mock_config config;
    struct driver *driver;
    struct mcp_server *server;
    struct event *signals[2], *look;
    int looks;
};

struct arguments {
    const char *listen, *config;
    uint64_t seed;
};

static int read_arguments(int argc, char **argv, struct arguments *ret)
{
    CLEANUP(str_deinit) struct str about = STR_INIT(HELP_MAX);
    struct cli_option options[] = {
        {"--listen", "IP:PORT", "where to listen; port 0 is any free one [127.0.0.1:0]", CLI_TEXT,
         &ret->listen},
        {"--config", "FILE", "what the server does; see above", CLI_TEXT, &ret->config},
        {"--seed", "N", "of whatever is drawn at random [0]", CLI_NUMBER, &ret->seed, INT64_MAX},
    };
    struct cli_list positional;
    struct cli_command command = {
        .usage = "mock-mcp [options]",
        .example =
            "  mock-mcp --listen 127.0.0.1:8931 --config slow.json\n"
            "  with slow.json: {\"service_time\": \"250ms\", \"concurrency\": 8, \"error_rate\": \"1%\"}",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
    };

    str_puts(&about,
             "An MCP server (streamable HTTP) with the tools echo and generate. Prints one line of JSON "
             "when it\nlistens; stops on SIGTERM and SIGINT.\n\n"
             "The configuration is a JSON object with the keys of an MCP server in a scenario, and some "
             "more:\n");
    mock_config_put_help(&about);
    command.about = str_text(&about);
    return cli_parse(&command, argc - 1, argv + 1, &positional);
}

/* --- the end --- */

static void on_look(evutil_socket_t fd, short what, void *user)
{
    struct mock *m = user;

    if (mcp_server_connections(m->server) == 0 || ++m->looks >= STOP_LOOKS) event_base_loopbreak(m->base);
}

/* Calls under way may end; who asks again is not waited for. */
static void on_signal(evutil_socket_t fd, short what, void *user)
{
    static const struct timeval period = {.tv_usec = STOP_LOOK_MS * 1000};
    struct mock *m = user;

    if (event_pending(m->look, EV_TIMEOUT, NULL)) return;
    mcp_server_drain(m->server);
    driver_tell_all(m->driver, EVENT_DRAIN);
    event_add(m->look, &period);
}

/* --- the beginning --- */

static int start_component(struct mock *m)
{
    struct driver_options options = {.base = m->base, .plan = m->config.plan, .flows_max = FLOWS_MAX};
    int r = driver_new(&options, &m->driver);

    return r < 0 ? r : driver_add(m->driver, ADDR(ROLE_MCP, 0), NULL, 0);
}

static int start_events(struct mock *m)
{
    static const int numbers[2] = {SIGTERM, SIGINT};

    m->look = event_new(m->base, -1, EV_PERSIST, on_look, m);
    if (!m->look) return -ENOMEM;
    for (int i = 0; i < 2; i++) {
        m->signals[i] = evsignal_new(m->base, numbers[i], on_signal, m);
        if (!m->signals[i] || event_add(m->signals[i], NULL) < 0) return -ENOMEM;
    }
    return 0;
}

static int start_server(struct mock *m, const char *listen)
{
    struct mcp_server_options options = {.self = ADDR(ROLE_MCP, 0),
                                         .listen = listen,
                                         .revisions = m->config.revisions,
                                         .tools = m->config.tools,
                                         .event_streams = m->config.event_streams};
    int r = mcp_server_new(m->driver, &options, &m->server);

    if (r < 0) fprintf(stderr, "mock-mcp: cannot listen on %s: %s\n", listen, tcp_listen_why(r));
    return r;
}

static void print_ready(const struct mock *m, const char *listen)
{
    int host = (int)(strrchr(listen, ':') - listen);
    const char *comma = "";

    printf("{\"listening\":\"http://%.*s:%d/mcp\",\"revisions\":[", host, listen, mcp_server_port(m->server));
    for (int i = 0; i < MCP_REVISION_COUNT; i++) {
        if (!(m->config.revisions & 1u << i)) continue;
        printf("%s\"%s\"", comma, mcp_revision_name((enum mcp_revision)i));
        comma = ",";
    }
    printf("],\"tools\":[");
    comma = "";
    for (int i = 0; i < MCP_TOOL_COUNT; i++) {
        if (!(m->config.tools & 1u << i)) continue;
        printf("%s\"%s\"", comma, mcp_tool_name((enum mcp_tool)i));
        comma = ",";
    }
    printf("]}\n");
    fflush(stdout);
}

static void mock_deinit(struct mock *m)
{
    if (m->driver) driver_end(m->driver);
    mcp_server_free(m->server);
    driver_free(m->driver);
    mock_config_deinit(&m->config);
    for (int i = 0; i < 2; i++) {
        if (m->signals[i]) event_free(m->signals[i]);
    }
    if (m->look) event_free(m->look);
    /* Closed connections still send what is queued, and wait for the client's end. */
    tcp_base_free(m->base, FLUSH_NS);
}

static int mock_run(struct mock *m, const struct arguments *a)
{
    int r = tcp_base_new(&m->base);

    if (r == 0) r = start_component(m);
    if (r == 0) r = start_events(m);
    if (r < 0) {
        fprintf(stderr, "mock-mcp: %s\n", strerrordesc_np(-r));
        return EXIT_BROKEN;
    }
    if (start_server(m, a->listen) < 0) return EXIT_USAGE;
    print_ready(m, a->listen);
    event_base_dispatch(m->base);
    return 0;
}

static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv)
{
    struct arguments arguments = {.listen = "127.0.0.1:0"};
    struct mock mock = {.looks = 0};
    struct plan_error error;
    int r = read_arguments(argc, argv, &arguments);

    if (r != 0) return r == CLI_HELP ? 0 : EXIT_USAGE;
    r = mock_config_load(arguments.config, arguments.seed, &mock.config, &error);
    if (r != 0) {
        fprintf(stderr, "%s\n", error.text);
        return r == PLAN_E_INVALID ? EXIT_USAGE : EXIT_BROKEN;
    }
    raise_descriptor_limit();
    r = mock_run(&mock, &arguments);
    mock_deinit(&mock);
    return r;
}
