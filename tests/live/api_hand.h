/*
 * The control plane's surface, alone with its orchestrator, and a client that the test plays by hand, byte by
 * byte. The key "K" is the clients', "W" that of the workers of the environment env_x, "V" of "env y"; agents
 * are "s", whose turn calls a tool, and "chat", which only answers. Everything but hand_setup() and
 * hand_teardown() runs the loop itself, and fails the test where anything goes wrong that is not told.
 */
#pragma once

#include <jansson.h>

#include "mock-orchestrator/api_server_state.h"
#include "tests/live/api_stage.h"

/* What the server takes: of a request, of all texts, of all documents. */
enum { BODY_MAX = 300000, CONTENT_MAX = 1 << 20, DOCUMENTS_MAX = 1 << 16 };

extern struct api_hand {
    struct api_stage stage;
    struct api_server *server;
    char *answer; /* the last one, whole */
} hand;

void hand_setup(void);
void hand_teardown(void);

/* A connection; the caller closes it. */
int hand_dial(void);
/* A turn of the loop. */
void hand_turn(void);
void hand_say_bytes(int fd, const char *bytes, size_t n);
void hand_say(int fd, const char *text);
/* Reads until `until` has come, or the end (`until` NULL), into `hand.answer`. False: the end came, or the
 * time was up, before. */
bool hand_hear(int fd, const char *until);

/* One request on a connection of its own; the whole answer is in `hand.answer`. Its status, or 0. */
int hand_raw(const char *request, size_t n);
int hand_ask(const char *key, const char *method, const char *target, const char *body);
/* A client's request with the end of its connection directly behind it, so that the server sees both before
 * the component has answered. Returns when the server is done with them. */
void hand_ask_and_leave(const char *method, const char *target, const char *body);

/* Of the last answer: its body; its JSON, which is the caller's; the text of a member. */
const char *hand_body(void);
json_t *hand_json(void);
const char *hand_member(const char *name);

/* A text of up to 4095 bytes, valid until the next one. */
const char *hand_format(const char *pattern, ...) __attribute__((format(printf, 1, 2)));
/* A session of that agent in env_x. */
void hand_session_new(const char *agent, char ret_id[64]);
