#include "mock-mcp/mcp_codec.h"

#include <errno.h>
#include <event2/buffer.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "mock-mcp/revision.h"
#include "mock-mcp/rules.h"
#include "mock-mcp/scan.h"
#include "mock-mcp/tools.h"
#include "sim/base/utf8.h"
#include "sim/live/content.h"

enum { HEX_SIZE = 17, FIELD_MAX = 8, PIECE = 16 * 1024 };

/* --- requests --- */

static void hex(char out[HEX_SIZE], uint64_t id)
{
    snprintf(out, HEX_SIZE, "%016" PRIx64, id);
}

static int agent_encode(const struct mcp_codec *codec, const struct msg *call,
                        struct mcp_request *ret_request, struct evbuffer *body)
{
    const char *revision = mcp_revision_name(MCP_2026_07_28), *tool = mcp_tool_name(MCP_TOOL_CALL);
    char *attempt = ret_request->text, *id = ret_request->text + HEX_SIZE, arguments[48] = "";

    hex(attempt, call->a);
    hex(id, call->d);
    if (call->c != MCP_OWN_OUTPUT)
        snprintf(arguments, sizeof arguments, "\"output_chars\":%" PRIu64, call->c);
    ret_request->method = "POST";
    ret_request->target = "/mcp";
    memcpy(ret_request->headers,
           (const struct http_header[]){{"Content-Type", "application/json"},
                                        {"Accept", "application/json, text/event-stream"},
                                        {"MCP-Protocol-Version", revision},
                                        {"Mcp-Method", "tools/call"},
                                        {"Mcp-Name", tool},
                                        {MCP_ATTEMPT_HEADER, attempt},
                                        {MCP_CALL_HEADER, id},
                                        {NULL, NULL}},
           8 * sizeof(struct http_header));
    return evbuffer_add_printf(body,
                               "{\"jsonrpc\":\"2.0\",\"id\":\"%s\",\"method\":\"tools/call\",\"params\":{"
                               "\"name\":\"%s\",\"arguments\":{%s},\"_meta\":{\"" META_REVISION "\":\"%s\","
                               "\"" META_CLIENT "\":{\"name\":\"windtunnel\",\"version\":\"0.1.0\"},"
                               "\"" META_CAPABILITIES "\":{}}}}",
                               attempt, tool, arguments, revision) < 0
               ? -ENOMEM
               : 0;
}

/* --- answers --- */

enum form { FORM_JSON, FORM_EVENTS, FORM_IGNORED };
enum sse_part { SSE_NAME, SSE_SPACE, SSE_VALUE };
enum sse_field { FIELD_OTHER, FIELD_DATA, FIELD_EVENT };

struct mcp_decoder {
    struct msg call;
    char id[HEX_SIZE];
    uint32_t status;
    nsec_t retry_after_ns;
    enum form form;
    struct scan scan;
    /* The text of the response under way: */
    struct utf8_stream text;
    uint64_t offset;
    bool differs;
    /* The response to this call has been read: */
    bool done, is_result;
    /* Event streams: */
    enum sse_part part;
    enum sse_field field;
    char name[FIELD_MAX], event[FIELD_MAX];
    size_t name_len, event_len; /* FIELD_MAX + 1: longer */
    bool after_cr, has_data;
};

static void on_text(void *user, const char *text, size_t n)
{
    struct mcp_decoder *d = user;

    if (!d->differs) d->differs = !content_check(d->call.d, d->offset, text, n);
    d->offset += n;
    utf8_repair_chunk(&d->text, text, n, false, NULL);
}

static void begin_message(struct mcp_decoder *d)
{
    mcp_scan_reset(&d->scan);
    d->text = (struct utf8_stream){.count = 0};
    d->offset = 0;
    d->differs = d->has_data = false;
    d->event_len = 0;
}

/* A message is complete: is it ours? */
static void end_message(struct mcp_decoder *d)
{
    const struct scan *s = &d->scan;

    if (!mcp_scan_complete(s) || !s->id_found || s->result_found == s->error_found) return;
    utf8_repair_chunk(&d->text, "", 0, true, NULL);
    d->done = true;
    d->is_result = s->result_found;
}

static bool media_is(const char *content_type, const char *media)
{
    size_t n = strlen(media);

    return content_type && strncasecmp(content_type, media, n) == 0 && strchr("; \t", content_type[n]);
}

static int agent_decoder_new(const struct mcp_codec *codec, const struct msg *call,
                             const struct http_head *head, struct mcp_decoder **ret_decoder)
{
    struct mcp_decoder *d = calloc(1, sizeof *d);
    const char *type = http_head_get(head, "content-type");

    if (!d) return -ENOMEM;
    d->call = *call;
    d->status = (uint32_t)head->status;
    d->retry_after_ns = http_head_retry_after(head);
    hex(d->id, call->a);
    d->scan = (struct scan){.on_text = on_text, .user = d, .id = d->id};
    d->form = FORM_IGNORED;
    if (head->status == 200 && media_is(type, "application/json")) d->form = FORM_JSON;
    if (head->status == 200 && media_is(type, "text/event-stream")) d->form = FORM_EVENTS;
    begin_message(d);
    *ret_decoder = d;
    return 0;
}

/* --- event streams --- */

/* Keeps a short name; a longer one is none that we know. */
static void keep(char *name, size_t *len, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n && *len <= FIELD_MAX; i++) {
        if (*len < FIELD_MAX) name[*len] = bytes[i];
        (*len)++;
    }
}

static bool is_name(const char *name, size_t len, const char *expected)
{
    return len == strlen(expected) && memcmp(name, expected, len) == 0;
}

static void end_name(struct mcp_decoder *d)
{
    d->field = FIELD_OTHER;
    if (is_name(d->name, d->name_len, "data")) d->field = FIELD_DATA;
    if (is_name(d->name, d->name_len, "event")) d->field = FIELD_EVENT;
    if (d->field == FIELD_EVENT) d->event_len = 0;
    if (d->field == FIELD_DATA && d->has_data) mcp_scan_feed(&d->scan, "\n", 1);
    if (d->field == FIELD_DATA) d->has_data = true;
}

static void take_value(struct mcp_decoder *d, const char *bytes, size_t n)
{
    if (d->field == FIELD_DATA) mcp_scan_feed(&d->scan, bytes, n);
    if (d->field == FIELD_EVENT) keep(d->event, &d->event_len, bytes, n);
}

/* An empty line dispatches the event. */
static void end_line(struct mcp_decoder *d)
{
    bool blank = d->part == SSE_NAME && d->name_len == 0;

    if (d->part == SSE_NAME && !blank) end_name(d);
    d->part = SSE_NAME;
    d->name_len = 0;
    if (!blank) return;
    if (d->has_data && (d->event_len == 0 || is_name(d->event, d->event_len, "message"))) end_message(d);
    if (!d->done) begin_message(d);
}

/* Takes some of a line, at least one byte. Returns how many. */
static size_t take_line(struct mcp_decoder *d, const char *bytes, size_t n)
{
    size_t plain = 0;

    if (bytes[0] == '\n' || bytes[0] == '\r') {
        if (!(bytes[0] == '\n' && d->after_cr)) end_line(d);
        d->after_cr = bytes[0] == '\r';
        return 1;
    }
    d->after_cr = false;
    if (d->part == SSE_NAME && bytes[0] == ':') {
        end_name(d);
        d->part = SSE_SPACE;
        return 1;
    }
    if (d->part == SSE_SPACE) {
        d->part = SSE_VALUE;
        if (bytes[0] == ' ') return 1;
    }
    while (plain < n && bytes[plain] != '\n' && bytes[plain] != '\r' &&
           (d->part == SSE_VALUE || bytes[plain] != ':'))
        plain++;
    if (d->part == SSE_VALUE)
        take_value(d, bytes, plain);
    else
        keep(d->name, &d->name_len, bytes, plain);
    return plain;
}

static void feed_events(struct mcp_decoder *d, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n && !d->done;) i += take_line(d, bytes + i, n - i);
}

/* --- the codec --- */

static void agent_decoder_feed(struct mcp_decoder *d, struct evbuffer *body)
{
    char piece[PIECE];
    int n;

    while (!d->done && d->form != FORM_IGNORED && (n = evbuffer_remove(body, piece, sizeof piece)) > 0) {
        if (d->form == FORM_JSON)
            mcp_scan_feed(&d->scan, piece, (size_t)n);
        else
            feed_events(d, piece, (size_t)n);
    }
    evbuffer_drain(body, evbuffer_get_length(body));
}

static void agent_decoder_end(struct mcp_decoder *d, struct mcp_answer *ret_answer)
{
    uint64_t wanted = d->call.c;

    if (d->form == FORM_JSON) end_message(d);
    *ret_answer = (struct mcp_answer){.status = d->status, .retry_after_ns = d->retry_after_ns};
    if (d->status / 100 != 2) return;
    ret_answer->status = d->done && d->is_result ? 200 : 502;
    if (ret_answer->status != 200) return;
    ret_answer->chars = d->text.count;
    ret_answer->corrupt = d->differs || (wanted != MCP_OWN_OUTPUT && d->text.count != wanted);
}

static void agent_decoder_free(struct mcp_decoder *d)
{
    free(d);
}

static const struct mcp_codec agent = {
    .encode = agent_encode,
    .decoder_new = agent_decoder_new,
    .decoder_feed = agent_decoder_feed,
    .decoder_end = agent_decoder_end,
    .decoder_free = agent_decoder_free,
};

const struct mcp_codec *mcp_codec_agent(void)
{
    return &agent;
}
