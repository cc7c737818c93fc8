#include "mock-orchestrator/api_event.h"

#include <event2/buffer.h>
#include <inttypes.h>
#include <string.h>

#include "mock-orchestrator/api_body.h"
#include "mock-orchestrator/api_time.h"
#include "mock-orchestrator/api_wire.h"
#include "mock-orchestrator/content_store.h"
#include "mock-orchestrator/json_text.h"
#include "sim/base/cleanup.h"
#include "sim/base/prng.h"
#include "sim/base/str.h"
#include "sim/live/disk.h"
#include "sim/live/driver.h"

enum { QUOTE_MAX = 2000 };

/* The foreign parts are kept short, the known ones written as they are. */
#define ADD(out, literal) evbuffer_add((out), "" literal, sizeof(literal) - 1)

void api_time_write(const struct driver *d, nsec_t at, struct evbuffer *out)
{
    char text[API_TIME_SIZE];

    if (at == 0) {
        ADD(out, "null");
        return;
    }
    api_time_format(driver_wall_ns(d, at), text);
    evbuffer_add_printf(out, "\"%s\"", text);
}

/* `"content":[…],"windtunnel":{…}`: generated text, and for our own readers what it must be. */
static void write_body(const struct api_body *b, struct evbuffer *out)
{
    ADD(out, "\"content\":[{\"type\":\"text\",\"text\":\"");
    api_body_write(b, out);
    evbuffer_add_printf(out, "\"}],\"windtunnel\":{\"text\":\"%016" PRIx64 "\",\"chars\":%" PRIu64, b->id,
                        b->chars);
    if (b->offset) evbuffer_add_printf(out, ",\"offset\":%" PRIu64, b->offset);
    if (b->spilled) evbuffer_add_printf(out, ",\"spilled\":%" PRIu64, b->spilled);
    ADD(out, "}");
}

/* What a peer posted under `key`, or generated text. An error without any has a word for people. */
static void write_content(const struct api_event_writer *w, uint64_t key, const struct api_body *body,
                          const struct msg *m, struct evbuffer *out)
{
    size_t len;
    const char *stored = w->contents ? content_store_get(w->contents, w->session, key, &len) : NULL;

    if (stored) {
        ADD(out, "\"content\":");
        evbuffer_add(out, stored, len);
    } else if (m->d == 0 && EVENT_FLAGS(m->b) & EVENT_IS_ERROR) {
        ADD(out, "\"content\":[{\"type\":\"text\",\"text\":\"the call failed\"}]");
    } else {
        write_body(body, out);
    }
}

static void write_id(struct evbuffer *out, const char *name, uint64_t event)
{
    char id[ID_SIZE];

    id_format(id, API_EVENT, event);
    evbuffer_add_printf(out, "\"%s\":\"%s\"", name, id);
}

static void write_is_error(const struct msg *m, struct evbuffer *out)
{
    if (EVENT_FLAGS(m->b) & EVENT_IS_ERROR)
        ADD(out, ",\"is_error\":true,");
    else
        ADD(out, ",\"is_error\":false,");
}

/* Tool uses
 * -------------------------------------------------------------------------------------------------- */

/* A shell command that does what the call simulates. */
static void write_simulated_command(uint64_t execution_ns, uint64_t chars, struct evbuffer *out)
{
    if (execution_ns)
        evbuffer_add_printf(out, "sleep %" PRIu64 ".%09" PRIu64 "%s", execution_ns / NSEC_PER_S,
                            execution_ns % NSEC_PER_S, chars ? "; " : "");
    if (chars) evbuffer_add_printf(out, "head -c %" PRIu64 " /dev/zero | tr '\\\\0' x", chars);
    if (!execution_ns && !chars) ADD(out, "true");
}

static void write_hash_command(const struct api_event_writer *w, uint64_t event, struct evbuffer *out)
{
    struct prng p = prng_derive(w->token_key, event, 0);
    uint64_t high = prng_u64(&p), low = prng_u64(&p);

    evbuffer_add_printf(out, "printf %%s %016" PRIx64 "%016" PRIx64 " | sha256sum", high, low);
}

static void write_bash(const struct api_event_writer *w, const struct msg *m, struct evbuffer *out)
{
    ADD(out, "\"name\":\"bash\",\"input\":{\"command\":\"");
    if (w->hash_commands)
        write_hash_command(w, m->a, out);
    else
        write_simulated_command(m->c, m->d, out);
    ADD(out, "\"");
    if (!w->hash_commands)
        evbuffer_add_printf(
            out, ",\"windtunnel\":{\"execution_ns\":%" PRIu64 ",\"output_chars\":%" PRIu64 "}", m->c, m->d);
    ADD(out, "}");
}

/* The file in which a call's output stands. */
static void write_file_path(uint64_t call, struct evbuffer *out)
{
    char path[DISK_PATH_SIZE];

    disk_path(call, path);
    evbuffer_add_printf(out, "\"file_path\":\"%s\"", path);
}

static void write_file_call(uint64_t call, struct evbuffer *out)
{
    ADD(out, ",\"windtunnel\":{");
    write_id(out, "call", call);
    ADD(out, "}}");
}

static void write_tool_use(const struct api_event_writer *w, const struct msg *m, struct evbuffer *out)
{
    switch ((enum tool)EVENT_TOOL(m->b)) {
    case TOOL_READ:
        ADD(out, "\"name\":\"read\",\"input\":{");
        write_file_path(m->c, out);
        evbuffer_add_printf(out, ",\"offset\":%" PRIu32 ",\"limit\":%" PRIu32, TOOL_PIECE_OFFSET(m->d),
                            TOOL_PIECE_LENGTH(m->d));
        write_file_call(m->c, out);
        break;
    case TOOL_WRITE:
        ADD(out, "\"name\":\"write\",\"input\":{");
        write_file_path(m->c, out);
        ADD(out, ",\"content\":\"");
        api_body_write(&(struct api_body){.id = m->c, .chars = m->d}, out);
        ADD(out, "\"");
        write_file_call(m->c, out);
        break;
    case TOOL_BASH:
    case TOOL_MCP: write_bash(w, m, out); break;
    }
    ADD(out, ",\"evaluated_permission\":\"allow\",\"session_thread_id\":null,");
}

static void write_mcp_tool_use(const struct api_event_writer *w, const struct msg *m, struct evbuffer *out)
{
    const struct plan *plan = driver_plan(w->driver);
    uint32_t mcp = HOST_MCP(m->c);
    const char *name = mcp < plan->mcp_count ? plan->mcp[mcp].name : "unknown";

    ADD(out, "\"mcp_server_name\":");
    json_text_add_string(out, name, strlen(name));
    evbuffer_add_printf(out,
                        ",\"name\":\"call\",\"input\":{\"windtunnel\":{\"tunnel\":%" PRIu32
                        "}},\"evaluated_permission\":\"allow\",\"session_thread_id\":null,",
                        HOST_TUNNEL(m->c));
}

/* What the agent says
 * ---------------------------------------------------------------------------------------- */

static void add_text(json_t *content, struct str *out)
{
    size_t i;
    json_t *block;

    json_array_foreach(content, i, block)
    {
        const json_t *text = json_object_get(block, "text");

        if (text) str_append(out, json_string_value(text), json_string_length(text));
    }
}

/* The beginning of a stored result, as the agent's message. False: there is none. */
static bool write_quote(const struct api_event_writer *w, uint64_t tool_use, struct evbuffer *out)
{
    CLEANUP(json_decref_p) json_t *content = NULL;
    CLEANUP(str_deinit) struct str text = STR_INIT(SIZE_MAX);
    char why[JSON_TEXT_WHY_MAX];
    size_t len;
    const char *stored =
        w->contents ? content_store_get(w->contents, w->session, API_CONTENT_RESULT(tool_use), &len) : NULL;

    if (!stored || json_text_parse(stored, len, &content, why) < 0) return false;
    str_puts(&text, "The tool answered: ");
    add_text(content, &text);
    len = str_len(&text) < QUOTE_MAX ? str_len(&text) : QUOTE_MAX;
    while (len && len < str_len(&text) && (str_text(&text)[len] & 0xc0) == 0x80) len--;
    ADD(out, "\"content\":[{\"type\":\"text\",\"text\":");
    json_text_add_string(out, str_text(&text), len);
    ADD(out, "}],");
    return true;
}

static void write_agent_message(const struct api_event_writer *w, const struct msg *m, struct evbuffer *out)
{
    if (m->c && write_quote(w, m->c, out)) return;
    write_body(&(struct api_body){.id = API_TEXT_OF_AGENT(m->a), .chars = m->d}, out);
    ADD(out, ",");
}

/* Everything else
 * -------------------------------------------------------------------------------------------- */

static void write_error(const struct msg *m, struct evbuffer *out)
{
    static const char *const retry[] = {"retrying", "exhausted", "terminal"};

    evbuffer_add_printf(
        out,
        "\"error\":{\"type\":\"unknown_error\",\"message\":\"the model could not be reached\","
        "\"retry_status\":{\"type\":\"%s\"}},",
        retry[m->c < 3 ? m->c : 2]);
}

static void write_model_end(const struct msg *m, struct evbuffer *out)
{
    write_id(out, "model_request_start_id", m->c);
    ADD(out, ",\"is_error\":false,\"model_usage\":{\"input_tokens\":1,\"output_tokens\":1,"
             "\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,\"speed\":\"standard\"},");
}

/* A piece of a file begins where the last one ended: at a multiple of their size. */
static struct api_body piece_body(const struct api_event_writer *w, uint64_t d)
{
    uint32_t size = driver_plan(w->driver)->orchestrator.read_piece_chars, end = TOOL_PIECE_LENGTH(d);
    uint32_t offset = end ? (end - 1) / size * size : 0;

    return (struct api_body){
        .id = API_EVENT_ID(w->session, TOOL_PIECE_OFFSET(d)), .offset = offset, .chars = end - offset};
}

static struct api_body result_body(const struct api_event_writer *w, const struct msg *m)
{
    if (EVENT_FLAGS(m->b) & EVENT_SPILLED)
        return (struct api_body){
            .id = m->c, .spilled = TOOL_PIECE_OFFSET(m->d), .chars = TOOL_PIECE_LENGTH(m->d)};
    if (EVENT_KIND(m->b) == EV_USER_TOOL_RESULT && EVENT_TOOL(m->b) == TOOL_READ) return piece_body(w, m->d);
    return (struct api_body){.id = m->c, .chars = m->d};
}

static void write_result(const struct api_event_writer *w, const struct msg *m, const char *of,
                         struct evbuffer *out)
{
    struct api_body body = result_body(w, m);

    write_id(out, of, m->c);
    write_is_error(m, out);
    write_content(w, API_CONTENT_RESULT(m->c), &body, m, out);
    ADD(out, ",");
}

static void write_members(const struct api_event_writer *w, const struct msg *m, struct evbuffer *out)
{
    switch (EVENT_KIND(m->b)) {
    case EV_USER_MESSAGE:
        write_content(w, API_CONTENT_MESSAGE(m->d),
                      &(struct api_body){.id = API_TEXT_OF_USER(w->session), .chars = m->d}, m, out);
        ADD(out, ",");
        break;
    case EV_USER_TOOL_RESULT:
        write_result(w, m, "tool_use_id", out);
        ADD(out, "\"session_thread_id\":null,");
        break;
    case EV_USER_CUSTOM_TOOL_RESULT: write_result(w, m, "custom_tool_use_id", out); break;
    case EV_AGENT_MCP_TOOL_RESULT: write_result(w, m, "mcp_tool_use_id", out); break;
    case EV_USER_TOOL_CONFIRMATION:
        write_id(out, "tool_use_id", m->c);
        if (EVENT_FLAGS(m->b) & EVENT_IS_ERROR)
            ADD(out, ",\"result\":\"deny\",");
        else
            ADD(out, ",\"result\":\"allow\",");
        break;
    case EV_STATUS_IDLE:
        evbuffer_add_printf(out, "\"stop_reason\":{\"type\":\"%s\"%s},\"stop_details\":null,",
                            api_stop_reason((enum stop_reason)m->c),
                            m->c == STOP_REQUIRES_ACTION ? ",\"event_ids\":[]" : "");
        break;
    case EV_SESSION_ERROR: write_error(m, out); break;
    case EV_MODEL_END: write_model_end(m, out); break;
    case EV_AGENT_MESSAGE: write_agent_message(w, m, out); break;
    case EV_AGENT_TOOL_USE: write_tool_use(w, m, out); break;
    case EV_AGENT_MCP_TOOL_USE: write_mcp_tool_use(w, m, out); break;
    case EV_NONE:
    case EV_USER_INTERRUPT:
    case EV_STATUS_RUNNING:
    case EV_STATUS_TERMINATED:
    case EV_SESSION_DELETED:
    case EV_MODEL_START: break;
    }
}

static const char *type_of(const struct msg *m)
{
    const char *type = event_kind_name(EVENT_KIND(m->b));

    return type ? type : "unknown";
}

void api_event_write(const struct api_event_writer *w, const struct msg *m, struct evbuffer *out)
{
    ADD(out, "{");
    write_id(out, "id", m->a);
    evbuffer_add_printf(out, ",\"type\":\"%s\",", type_of(m));
    write_members(w, m, out);
    ADD(out, "\"processed_at\":");
    api_time_write(w->driver, m->e, out);
    ADD(out, "}");
}

void api_event_write_sse(const struct api_event_writer *w, const struct msg *m, struct evbuffer *out)
{
    evbuffer_add_printf(out, "event: %s\ndata: ", type_of(m));
    api_event_write(w, m, out);
    ADD(out, "\n\n");
}
