/* What the tests of the MCP server share: a server with its component and driver in this process, and a
 * client of raw bytes. */
#pragma once

#include <check.h>
#include <stdbool.h>
#include <stddef.h>

#include "mock-mcp/config.h"
#include "mock-mcp/mcp_server.h"

struct event_base;

struct mcp_stage {
    struct event_base *base;
    struct mock_config config;
    struct driver *driver;
    struct mcp_server *server;
    struct plan_fault fault;
};

extern struct mcp_stage stage;

/* The plan of a mock without a configuration; change it before mcp_stage_start(). */
void mcp_stage_init(struct mcp_stage *st);
/* `options`: `self` and `listen` are filled in; NULL: defaults. */
void mcp_stage_start(struct mcp_stage *st, const struct mcp_server_options *options);
void mcp_stage_deinit(struct mcp_stage *st);

/* Runs the loop for so long. */
void mcp_stage_run_ms(struct mcp_stage *st, int ms);

/* A connection to the server; a file descriptor, to be closed. `rcvbuf`: 0, or bytes. */
int mcp_stage_connect(struct mcp_stage *st, int rcvbuf);
void mcp_stage_send(struct mcp_stage *st, int fd, const char *text);

/* What came back. */
struct mcp_response {
    int status;
    char *head, *body; /* NUL-terminated; chunked encoding is taken off */
    size_t body_len;
};
void mcp_response_deinit(struct mcp_response *r);
/* The value of a header into `ret`, "" without. */
const char *mcp_response_header(const struct mcp_response *r, const char *name, char *ret, size_t size);

/* Reads one response, to the end of its body. */
struct mcp_response mcp_stage_receive(struct mcp_stage *st, int fd);
/* The head of one, and nothing further. */
struct mcp_response mcp_stage_receive_head(struct mcp_stage *st, int fd);

/* Sends a POST of `body` with `headers` ("Name: value\r\n"…) besides the usual ones. */
void mcp_stage_post(struct mcp_stage *st, int fd, const char *headers, const char *body);
/* The same on a connection of its own, with its response. */
struct mcp_response mcp_stage_ask(struct mcp_stage *st, const char *headers, const char *body);

/* A new session of 2025-11-25: its header line. */
void mcp_stage_initialize(struct mcp_stage *st, char ret_header[128]);
/* A request without a body, such as GET, in a session; its response. */
struct mcp_response mcp_stage_request(struct mcp_stage *st, const char *method, const char *session);

/* Checks and frees a response: its status, and its JSON-RPC code (0: no error). */
void mcp_response_check(struct mcp_response *r, const char *what, int status, int code);

/* Runs one suite; each test has a fresh `stage`, not started. */
int mcp_stage_main(const char *name, void (*add)(TCase *tc));
