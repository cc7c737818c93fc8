#include "mock-orchestrator/api_wire.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/str.h"
#include "sim/live/driver.h"

/* Words
 * ------------------------------------------------------------------------------------------------------ */

const char *api_error_type(int status)
{
    switch (status) {
    case 401: return "authentication_error";
    case 403: return "permission_error";
    case 404: return "not_found_error";
    case 408: return "timeout_error";
    case 413: return "request_too_large";
    case 429: return "rate_limit_error";
    case 504: return "timeout_error";
    case 503:
    case 529: return "overloaded_error";
    default: return status >= 500 ? "api_error" : "invalid_request_error";
    }
}

enum error_code api_error_code(int status)
{
    switch (status) {
    case 404: return ERROR_NOT_FOUND;
    case 409: return ERROR_CONFLICT;
    case 429: return ERROR_LIMIT;
    case 503:
    case 529: return ERROR_OVERLOADED;
    default: return status >= 500 ? ERROR_INTERNAL : ERROR_INVALID;
    }
}

static const char *const session_words[] = {
    [SESSION_IDLE] = "idle",
    [SESSION_RUNNING] = "running",
    [SESSION_RESCHEDULING] = "rescheduling",
    [SESSION_TERMINATED] = "terminated",
};
static const char *const work_words[] = {
    [WORK_QUEUED] = "queued",     [WORK_STARTING] = "starting", [WORK_ACTIVE] = "active",
    [WORK_STOPPING] = "stopping", [WORK_STOPPED] = "stopped",
};
static const char *const stop_words[] = {
    [STOP_END_TURN] = "end_turn",
    [STOP_REQUIRES_ACTION] = "requires_action",
    [STOP_RETRIES_EXHAUSTED] = "retries_exhausted",
    [STOP_BUDGET] = "budget_reached",
};

#define COUNT(words) (sizeof(words) / sizeof *(words))

static int find_word(const char *const *words, size_t count, const char *text, int otherwise)
{
    for (size_t i = 0; text && i < count; i++) {
        if (strcmp(words[i], text) == 0) return (int)i;
    }
    return otherwise;
}

const char *api_session_status(enum session_status status)
{
    return session_words[status < COUNT(session_words) ? status : SESSION_RUNNING];
}
const char *api_work_state(enum work_state state)
{
    return work_words[state < COUNT(work_words) ? state : WORK_ACTIVE];
}
const char *api_stop_reason(enum stop_reason reason)
{
    return stop_words[reason < COUNT(stop_words) ? reason : STOP_END_TURN];
}
enum session_status api_session_status_of(const char *text)
{
    return (enum session_status)find_word(session_words, COUNT(session_words), text, SESSION_RUNNING);
}
enum work_state api_work_state_of(const char *text)
{
    return (enum work_state)find_word(work_words, COUNT(work_words), text, WORK_ACTIVE);
}
enum stop_reason api_stop_reason_of(const char *text)
{
    return (enum stop_reason)find_word(stop_words, COUNT(stop_words), text, STOP_END_TURN);
}

enum event_kind api_event_kind_of(const char *text)
{
    for (int kind = EV_NONE + 1; text && kind <= EV_AGENT_MCP_TOOL_RESULT; kind++) {
        if (strcmp(event_kind_name((enum event_kind)kind), text) == 0) return (enum event_kind)kind;
    }
    return EV_NONE;
}

/* Ids
 * -------------------------------------------------------------------------------------------------------- */

bool api_id_number(struct intern *t, const char *prefix, const char *text, uint64_t *ret_number)
{
    size_t len = strlen(text);
    uint32_t id;

    if (id_parse(text, len, prefix, ret_number) && !(*ret_number & API_FOREIGN)) return true;
    if (intern_put(t, text, len, &id) < 0) return false;
    *ret_number = API_FOREIGN | id;
    return true;
}

const char *api_id_text(const struct intern *t, const char *prefix, uint64_t number, char buffer[ID_SIZE])
{
    if (number & API_FOREIGN) return intern_get(t, (uint32_t)number, NULL);
    id_format(buffer, prefix, number);
    return buffer;
}

void api_add_escaped(struct str *out, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        bool plain = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || strchr("-._~", c);

        if (plain)
            str_putc(out, *text);
        else
            str_appendf(out, "%%%02X", c);
    }
}

/* Facts
 * ------------------------------------------------------------------------------------------------------ */

void api_facts_format(const struct api_facts *facts, char ret_text[API_FACTS_SIZE])
{
    int n = snprintf(ret_text, API_FACTS_SIZE, "chars=%" PRIu64, facts->chars);

    if (facts->spilled)
        n += snprintf(ret_text + n, API_FACTS_SIZE - (size_t)n, "; spilled=%" PRIu64, facts->spilled);
    if (facts->file)
        n += snprintf(ret_text + n, API_FACTS_SIZE - (size_t)n, "; file=%" PRIu64 "; offset=%" PRIu64,
                      facts->file, facts->offset);
    if (facts->corrupt) n += snprintf(ret_text + n, API_FACTS_SIZE - (size_t)n, "; corrupt");
    if (facts->refused) snprintf(ret_text + n, API_FACTS_SIZE - (size_t)n, "; refused");
}

static bool take_number(const char **at, const char *name, uint64_t *ret)
{
    size_t n = strlen(name);
    char *end;

    if (strncmp(*at, name, n) != 0 || (*at)[n] < '0' || (*at)[n] > '9') return false;
    *ret = strtoull(*at + n, &end, 10);
    *at = end;
    return true;
}

static bool take_word(const char **at, const char *word)
{
    size_t n = strlen(word);

    if (strncmp(*at, word, n) != 0) return false;
    *at += n;
    return true;
}

bool api_facts_parse(const char *text, struct api_facts *ret_facts)
{
    struct api_facts facts = {0};

    if (!text || !take_number(&text, "chars=", &facts.chars)) return false;
    if (strncmp(text, "; s", 3) == 0 && !take_number(&text, "; spilled=", &facts.spilled)) return false;
    if (strncmp(text, "; f", 3) == 0 &&
        !(take_number(&text, "; file=", &facts.file) && take_number(&text, "; offset=", &facts.offset)))
        return false;
    facts.corrupt = take_word(&text, "; corrupt");
    facts.refused = take_word(&text, "; refused");
    if (*text) return false;
    *ret_facts = facts;
    return true;
}

/* Sizes
 * ------------------------------------------------------------------------------------------------------ */

uint32_t api_bytes(uint32_t base, uint64_t chars)
{
    return base + (uint32_t)(chars < INT32_MAX ? chars : INT32_MAX);
}

struct msg api_first_part(const struct msg *m)
{
    struct msg first = *m;

    if (m->bytes <= BODY_CHUNK) return first;
    first.bytes = BODY_CHUNK;
    first.flags = MSG_UNFINISHED;
    return first;
}

void api_receive_rest(struct wire *w, const struct msg *m)
{
    struct msg part = *m;
    uint32_t left = m->bytes > BODY_CHUNK ? m->bytes - BODY_CHUNK : 0;

    part.type = MSG_DATA;
    part.kind = M_BODY;
    while (left) {
        part.bytes = left < BODY_CHUNK ? left : BODY_CHUNK;
        left -= part.bytes;
        part.flags = left ? MSG_UNFINISHED : m->flags;
        driver_receive(w, part);
    }
}

void api_receive(struct wire *w, const struct msg *m)
{
    driver_receive(w, api_first_part(m));
    api_receive_rest(w, m);
}
