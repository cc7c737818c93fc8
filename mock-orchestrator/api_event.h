/*
 * Session events as JSON: the control plane's own way to write them, and the reading of anybody's.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "sim/base/intern.h"
#include "sim/world/msg.h"

struct content_store;
struct driver;
struct evbuffer;

/* Keys of contents: a message's is the `d` of its event, a result's is made of the tool use that it answers.
 */
#define API_CONTENT_MESSAGE(d)       (d)
#define API_CONTENT_RESULT(tool_use) ((tool_use) | UINT64_C(1) << 63)

/* The id under which content.h makes the text of a message, of a session's user or agent. */
#define API_TEXT_OF_USER(session) (session)
#define API_TEXT_OF_AGENT(event)  (event)
/* … and of a result: that of the tool use. */

/* What it takes to write the events of one session. */
struct api_event_writer {
    const struct driver *driver;          /* times, names of MCP servers */
    const struct content_store *contents; /* JSON that peers posted as `content` */
    uint64_t session;
    uint64_t token_key; /* what the tokens to be hashed are made from */
    bool hash_commands; /* BASH calls hash a token, so that whoever runs them can be seen to have run them: a
                           runner that simulates cannot, and is not told what to simulate; otherwise they do
                           what the call simulates: sleep, then print */
};

/* Appends the event, an M_EVENT, as one line of JSON. */
void api_event_write(const struct api_event_writer *w, const struct msg *m, struct evbuffer *out);
/* Appends it as a server-sent event. */
void api_event_write_sse(const struct api_event_writer *w, const struct msg *m, struct evbuffer *out);

/* What it takes to read events. */
struct api_event_reader {
    const struct driver *driver;
    struct intern *ids; /* foreign ones */
};

/* Reads an event into an M_EVENT (DATA, no flags). EVENT_CORRUPT is set when a text that should be one of
 * content.h is not: of our own control plane, which says so in the member `windtunnel`, every one that nobody
 * posted. An event of a type that no component knows is EV_NONE; a tool that nobody has, and a command that
 * does not say what is to be simulated, is number 255. -EINVAL: it is no event; -ENOSPC: too many foreign
 * ids.
 */
int api_event_read(const struct api_event_reader *r, const json_t *json, struct msg *ret_msg);

/* Bytes of all text blocks of a `content` member: an array of blocks, or a string; anything else has none. */
uint64_t api_content_chars(const json_t *content);
/* The text of a run's moment in RFC 3339, quoted, or null for 0. */
void api_time_write(const struct driver *d, nsec_t at, struct evbuffer *out);
/* A moment of the run from a text: at least 1; 0 when it is NULL or no time. */
nsec_t api_time_read(const struct driver *d, const char *text);
