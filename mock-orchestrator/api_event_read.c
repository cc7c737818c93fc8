#include "mock-orchestrator/api_event.h"

#include <errno.h>
#include <string.h>

#include "mock-orchestrator/api_body.h"
#include "mock-orchestrator/api_time.h"
#include "mock-orchestrator/api_wire.h"
#include "mock-orchestrator/json_text.h"
#include "sim/live/content.h"
#include "sim/live/driver.h"

#define TOOL_UNKNOWN 255u

nsec_t api_time_read(const struct driver *d, const char *text)
{
    uint64_t wall, origin = driver_wall_ns(d, 0);

    if (!text || !api_time_parse(text, &wall)) return 0;
    /* A peer's clock may stand before the run's beginning. */
    return wall > origin ? wall - origin : 1;
}

uint64_t api_content_chars(const json_t *content)
{
    uint64_t sum = json_string_length(content);
    size_t i;
    json_t *block;

    json_array_foreach((json_t *)content, i, block)
    {
        sum += json_string_length(json_object_get(block, "text"));
    }
    return sum;
}

static uint64_t number(const json_t *object, const char *key)
{
    json_int_t n = json_integer_value(json_object_get(object, key));

    return n > 0 ? (uint64_t)n : 0;
}

/* The event that a member names; 0: none. */
static int read_ref(const struct api_event_reader *r, const json_t *json, const char *key, uint64_t *ret)
{
    const char *text = json_text_get(json, key);

    *ret = 0;
    return !text || api_id_number(r->ids, API_EVENT, text, ret) ? 0 : -ENOSPC;
}

/* `ret_tool`: of enum tool. `intact`: the text to be written is what it should be. */
static int read_tool_use(const struct api_event_reader *r, const json_t *json, uint32_t *ret_tool,
                         struct msg *m, bool *intact)
{
    const char *name = json_text_get(json, "name");
    const json_t *input = json_object_get(json, "input"), *facts = json_object_get(input, "windtunnel");
    const json_t *text = json_object_get(input, "content");
    size_t len = json_string_length(text);

    *ret_tool = TOOL_UNKNOWN;
    if (!name) return -EINVAL;
    if (strcmp(name, "bash") == 0 && facts) {
        *ret_tool = TOOL_BASH;
        m->c = number(facts, "execution_ns");
        m->d = number(facts, "output_chars");
    } else if (strcmp(name, "read") == 0 && facts) {
        *ret_tool = TOOL_READ;
        m->d = TOOL_PIECE(number(input, "offset"), number(input, "limit"));
    } else if (strcmp(name, "write") == 0 && facts) {
        *ret_tool = TOOL_WRITE;
        m->d = len;
        m->bytes = api_bytes(API_BYTES_EVENT, len);
    }
    if (*ret_tool == TOOL_BASH || *ret_tool == TOOL_UNKNOWN) return 0;
    if (read_ref(r, facts, "call", &m->c) < 0) return -ENOSPC;
    if (*ret_tool == TOOL_WRITE && text) *intact = content_check(m->c, 0, json_string_value(text), len);
    return 0;
}

/* Whether the text is the one that `facts` describe. */
static bool is_text_of(const json_t *content, const json_t *facts)
{
    const json_t *text = json_object_get(json_array_get(content, 0), "text");
    const char *id = json_text_get(facts, "text");
    struct api_body body = {.offset = number(facts, "offset"),
                            .spilled = number(facts, "spilled"),
                            .chars = number(facts, "chars")};

    if (!id || !id_parse(id, strlen(id), "", &body.id) || json_array_size(content) != 1 || !text)
        return false;
    return api_body_check(&body, json_string_value(text), json_string_length(text));
}

static int read_text(const json_t *json, struct msg *m, bool *intact)
{
    const json_t *content = json_object_get(json, "content"), *facts = json_object_get(json, "windtunnel");

    m->d = api_content_chars(content);
    m->bytes = api_bytes(API_BYTES_EVENT, m->d);
    if (facts) *intact = is_text_of(content, facts);
    return 0;
}

static int read_result(const struct api_event_reader *r, const json_t *json, const char *of, struct msg *m,
                       bool *intact)
{
    read_text(json, m, intact);
    return read_ref(r, json, of, &m->c);
}

static uint64_t read_retry(const json_t *json)
{
    const char *type = json_text_get(json_object_get(json_object_get(json, "error"), "retry_status"), "type");

    if (type && strcmp(type, "retrying") == 0) return 0;
    return type && strcmp(type, "exhausted") == 0 ? 1 : 2;
}

static int read_members(const struct api_event_reader *r, enum event_kind kind, const json_t *json,
                        uint32_t *ret_tool, struct msg *m, bool *intact)
{
    const char *result;

    switch (kind) {
    case EV_USER_MESSAGE:
    case EV_AGENT_MESSAGE: return read_text(json, m, intact);
    case EV_USER_TOOL_RESULT: return read_result(r, json, "tool_use_id", m, intact);
    case EV_USER_CUSTOM_TOOL_RESULT: return read_result(r, json, "custom_tool_use_id", m, intact);
    case EV_AGENT_MCP_TOOL_RESULT: return read_result(r, json, "mcp_tool_use_id", m, intact);
    case EV_USER_TOOL_CONFIRMATION:
        result = json_text_get(json, "result");
        if (result && strcmp(result, "deny") == 0) m->b |= EVENT_B(0, 0, EVENT_IS_ERROR, 0);
        return read_ref(r, json, "tool_use_id", &m->c);
    case EV_STATUS_IDLE:
        m->c = api_stop_reason_of(json_text_get(json_object_get(json, "stop_reason"), "type"));
        return 0;
    case EV_SESSION_ERROR: m->c = read_retry(json); return 0;
    case EV_MODEL_END: return read_ref(r, json, "model_request_start_id", &m->c);
    case EV_AGENT_TOOL_USE: return read_tool_use(r, json, ret_tool, m, intact);
    default: return 0;
    }
}

int api_event_read(const struct api_event_reader *r, const json_t *json, struct msg *ret_msg)
{
    const char *type = json_text_get(json, "type"), *id = json_text_get(json, "id");
    enum event_kind kind = api_event_kind_of(type);
    struct msg m = {.type = MSG_DATA, .kind = M_EVENT, .bytes = API_BYTES_EVENT};
    uint32_t tool = 0, flags = json_text_get_bool(json, "is_error", false) ? EVENT_IS_ERROR : 0;
    bool intact = true;
    int e;

    if (!type || !id) return -EINVAL;
    if (!api_id_number(r->ids, API_EVENT, id, &m.a)) return -ENOSPC;
    if ((e = read_members(r, kind, json, &tool, &m, &intact)) < 0) return e;
    if (!intact) flags |= EVENT_CORRUPT;
    m.b |= EVENT_B(kind, tool, flags, API_EVENT_SEQ(m.a));
    m.e = api_time_read(r->driver, json_text_get(json, "processed_at"));
    *ret_msg = m;
    return 0;
}
