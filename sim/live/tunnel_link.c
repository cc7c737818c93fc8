#include "sim/live/tunnel_link.h"

#include <event2/buffer.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/panic.h"
#include "sim/live/http1.h"

static const char ping_line[] = "{\"ping\":{}}\n", pong_line[] = "{\"pong\":{}}\n";

/* Where the edge is, and whether it has had this tunnel before. */
static const char location_new[] = "loopback", location_known[] = "loopback, again";

/* What a refusal says, and the status and code that it stands for. Any other has its status for a text, and
 * is ERROR_OVERLOADED. */
static const struct {
    uint32_t status;
    enum error_code code;
    const char *text;
} refusals[] = {
    {409, ERROR_CONFLICT, "duplicate connection"},
    {404, ERROR_NOT_FOUND, "no such tunnel"},
    {401, ERROR_INVALID, "bad token"},
    {400, ERROR_INVALID, "bad registration"},
    {429, ERROR_LIMIT, "too many registrations"},
    {503, ERROR_OVERLOADED, "not now"},
};
enum { REFUSALS = sizeof refusals / sizeof refusals[0] };

/* Reading
 * ----------------------------------------------------------------------------------------------- */

static void breaks(struct tunnel_link *l, enum reset_cause cause, const char *what)
{
    if (l->over) return;
    l->over = true;
    l->handler->broken(l->user, cause, what);
}

static bool take_line(struct evbuffer *in, const char *line, size_t *ret_taken)
{
    size_t len = strlen(line);
    char head[16];

    if (evbuffer_copyout(in, head, len) != (ssize_t)len || memcmp(head, line, len) != 0) return false;
    evbuffer_drain(in, len);
    *ret_taken = len;
    return true;
}

static void tell(struct tunnel_link *l, enum msg_kind kind)
{
    if (l->begun) l->handler->told(l->user, (struct msg){.type = MSG_DATA, .kind = (uint16_t)kind});
}

static void on_message(struct tunnel_link *l, const struct tunnel_control *m)
{
    bool begins = l->is_edge ? m->kind == TUNNEL_CONTROL_REGISTER
                             : m->kind == TUNNEL_CONTROL_REGISTERED || m->kind == TUNNEL_CONTROL_REFUSED;

    if (begins && !l->begun) {
        l->begun = true;
        l->handler->first(l->user, m);
    } else if (l->begun && m->kind == (l->is_edge ? TUNNEL_CONTROL_UNREGISTER : TUNNEL_CONTROL_DRAINING)) {
        tell(l, M_UNREGISTER);
    } else {
        breaks(l, RESET_PROTOCOL, "tunnel: a line out of order on the control stream");
    }
}

/* Takes one line. False: there is none. */
static bool read_line(struct tunnel_link *l, struct evbuffer *in, size_t *ret_taken)
{
    struct tunnel_control m;
    char why[TUNNEL_CONTROL_WHY_MAX] = "a line is too long";

    if (take_line(in, ping_line, ret_taken)) {
        tell(l, M_PING);
        return true;
    }
    if (take_line(in, pong_line, ret_taken)) {
        tell(l, M_PONG);
        return true;
    }
    switch (tunnel_control_read(in, &m, ret_taken, why)) {
    case 0: on_message(l, &m); return true;
    case TUNNEL_CONTROL_E_UNKNOWN: return true;
    case TUNNEL_CONTROL_E_MORE: return false;
    default: breaks(l, RESET_PROTOCOL, why); return false;
    }
}

static void on_data(void *user, struct evbuffer *in)
{
    struct tunnel_link *l = user;
    size_t taken = 0;

    while (!l->over && l->stream && read_line(l, in, &taken))
        if (l->stream) stream_consumed(l->stream, taken);
}

static void on_eof(void *user)
{
    struct tunnel_link *l = user;

    if (l->begun)
        l->handler->last(l->user);
    else
        breaks(l, RESET_CUT, "tunnel: the control stream ended before the registration");
}

static void on_ended(void *user, enum stream_end end, const char *what)
{
    if (end != STREAM_END_CLEAN) breaks(user, RESET_CUT, what);
}

static const struct stream_handler stream_handler = {.data = on_data, .eof = on_eof, .ended = on_ended};

void tunnel_link_start(struct tunnel_link *l, struct stream *stream, bool is_edge,
                       const struct tunnel_link_handler *handler, void *user)
{
    *l = (struct tunnel_link){.stream = stream, .handler = handler, .user = user, .is_edge = is_edge};
    stream_set_handler(stream, &stream_handler, l);
}

void tunnel_link_deinit(struct tunnel_link *l)
{
    stream_free(l->stream, false);
    l->stream = NULL;
    l->over = true;
}

/* Writing
 * ----------------------------------------------------------------------------------------------- */

static void write_bytes(struct tunnel_link *l, struct evbuffer *bytes)
{
    if (l->stream) stream_write(l->stream, bytes);
    evbuffer_free(bytes);
}

void tunnel_link_write(struct tunnel_link *l, const struct tunnel_control *message)
{
    struct evbuffer *bytes = evbuffer_new();

    if (!bytes || tunnel_control_encode(message, bytes) < 0) PANIC("a control message cannot be encoded");
    write_bytes(l, bytes);
}

static void write_text(struct tunnel_link *l, const char *line)
{
    struct evbuffer *bytes = evbuffer_new();

    if (!bytes || evbuffer_add(bytes, line, strlen(line)) < 0) PANIC_MEMORY("out of memory");
    write_bytes(l, bytes);
}

void tunnel_link_shutdown(struct tunnel_link *l)
{
    if (l->stream) stream_shutdown(l->stream);
}

void tunnel_link_send(struct tunnel_link *l, const struct msg *m)
{
    struct tunnel_control message = {.kind =
                                         l->is_edge ? TUNNEL_CONTROL_DRAINING : TUNNEL_CONTROL_UNREGISTER};

    switch (m->kind) {
    case M_PING: write_text(l, ping_line); break;
    case M_PONG: write_text(l, pong_line); break;
    case M_UNREGISTER: tunnel_link_write(l, &message); break;
    default: break;
    }
    if (m->flags & MSG_LAST) tunnel_link_shutdown(l);
}

/* Answers
 * ----------------------------------------------------------------------------------------------- */

static void refuse(const struct msg *answer, struct tunnel_control *m)
{
    m->kind = TUNNEL_CONTROL_REFUSED;
    m->refused.may_retry = answer->c != 0;
    m->refused.retry_after_ms = nsec_round_up(answer->c, NSEC_PER_MS) / NSEC_PER_MS;
    for (size_t i = 0; i < REFUSALS; i++) {
        if (refusals[i].status != answer->a || refusals[i].code != answer->b) continue;
        snprintf(m->refused.error, sizeof m->refused.error, "%s", refusals[i].text);
        return;
    }
    snprintf(m->refused.error, sizeof m->refused.error, "status %" PRIu64, answer->a);
}

void tunnel_link_answer(const struct msg *answer, struct tunnel_control *ret_message)
{
    memset(ret_message, 0, sizeof *ret_message);
    if (answer->kind != M_OK) {
        refuse(answer, ret_message);
        return;
    }
    ret_message->kind = TUNNEL_CONTROL_REGISTERED;
    snprintf(ret_message->registered.connection, sizeof ret_message->registered.connection, "%016" PRIx64,
             answer->a);
    snprintf(ret_message->registered.location, sizeof ret_message->registered.location, "%s",
             answer->b ? location_known : location_new);
}

static struct msg refused(const struct tunnel_control *m)
{
    nsec_t asked = m->refused.may_retry ? nsec_mul(m->refused.retry_after_ms, NSEC_PER_MS) : 0;
    struct msg answer = {.type = MSG_OPEN,
                         .kind = M_ERROR,
                         .flags = MSG_LAST,
                         .a = 503,
                         .b = ERROR_OVERLOADED,
                         .c = nsec_min(asked, RETRY_AFTER_MAX_NS)};

    for (size_t i = 0; i < REFUSALS; i++) {
        if (strcmp(refusals[i].text, m->refused.error) != 0) continue;
        answer.a = refusals[i].status;
        answer.b = refusals[i].code;
    }
    if (strncmp(m->refused.error, "status ", 7) == 0) answer.a = strtoul(m->refused.error + 7, NULL, 10);
    return answer;
}

struct msg tunnel_link_answered(const struct tunnel_control *message)
{
    if (message->kind == TUNNEL_CONTROL_REFUSED) return refused(message);
    return (struct msg){.type = MSG_OPEN,
                        .kind = M_OK,
                        .a = strtoull(message->registered.connection, NULL, 16),
                        .b = strcmp(message->registered.location, location_known) == 0};
}
