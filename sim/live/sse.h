/*
 * Server-sent events: the encoder and an incremental decoder.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct evbuffer;
struct sse_decoder;

/* Appends one event: `event` and `id` are left out when NULL (line breaks and NUL in them are sent as
 * spaces); `data` becomes one line for each of its own (CR, LF or CRLF). -ENOMEM. */
int sse_add(struct evbuffer *out, const char *event, const char *id, const char *data, size_t len);

/* Appends a comment, ": text" (line breaks as spaces). Often a heartbeat. */
int sse_add_comment(struct evbuffer *out, const char *text);

/* Appends a retry field of its own. */
int sse_add_retry(struct evbuffer *out, uint64_t retry_ms);

struct sse_event {
    const char *event; /* "message" if the stream did not name one */
    const char *id;    /* the last id seen, "" if none */
    const char *data;  /* lines joined with LF, NUL after it */
    size_t len;
};

/* A decoder that refuses events larger than `event_bytes_max` (0: 1 MiB), and names and ids of 1 kB. -ENOMEM.
 */
int sse_decoder_new(size_t event_bytes_max, struct sse_decoder **ret_decoder);
void sse_decoder_free(struct sse_decoder *d);

/* Drains `in` up to the end of the next event. 1: there is one, in `ret_event`, valid until the next call; 0:
 * more input is needed, `in` is empty; -EMSGSIZE: too large, for good; -ENOMEM. An event that the end of the
 * stream cuts is dropped, as the standard says. */
int sse_decode(struct sse_decoder *d, struct evbuffer *in, struct sse_event *ret_event);

/* The last event id, "" if none; the last retry in ms, −1 if none. */
const char *sse_last_id(const struct sse_decoder *d);
int64_t sse_retry_ms(const struct sse_decoder *d);

/* A comment was seen since the last call (heartbeats). */
bool sse_saw_comment(struct sse_decoder *d);
