#include "sim/live/flight.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sim/base/crc32.h"
#include "sim/base/panic.h"
#include "sim/base/vec.h"

static const char magic[8] __attribute__((nonstring)) = FLIGHT_MAGIC;

enum frame {
    FRAME_HEADER = 1,
    FRAME_TURN,
    FRAME_EFFECTS,
    FRAME_CRASHED,
    FRAME_ADDED,
    FRAME_RECOVERED,
    FRAME_END,
};
/* The head has a check sum of its own, so that a wrong length is not taken for a log that was cut off. */
enum { FRAME_HEAD = 12, FRAME_TAIL = 4, FRAME_MAX = 64 << 20 };

/* A frame and the bytes of one event: see put_event(). */
enum { EVENT_BYTES = 1 + 4 + 4 + 4 + 8 + 1 + 1 + 2 + 4 + 5 * 8 };

struct flight_writer {
    int fd, error;
    VEC(uint8_t) out;
    size_t frame_at;
};

/* Writing
 * ---------------------------------------------------------------------------------------------------- */

static void put(struct flight_writer *w, uint64_t value, int bytes)
{
    if (vec_reserve(&w->out, 8) < 0) PANIC_MEMORY("out of memory for the flight log");
    for (int i = 0; i < bytes; i++) w->out.items[w->out.len++] = (uint8_t)(value >> (8 * i));
}

static void put_text(struct flight_writer *w, const char *text)
{
    size_t n = text ? strlen(text) : 0;

    put(w, n, 4);
    if (vec_reserve(&w->out, n) < 0) PANIC_MEMORY("out of memory for the flight log");
    if (n) memcpy(w->out.items + w->out.len, text, n);
    w->out.len += n;
}

static void frame_begin(struct flight_writer *w, enum frame type)
{
    w->frame_at = w->out.len;
    put(w, type, 4);
    put(w, 0, 8);
}

static void put_at(struct flight_writer *w, size_t at, uint32_t value)
{
    for (int i = 0; i < 4; i++) w->out.items[at + i] = (uint8_t)(value >> (8 * i));
}

static void frame_end(struct flight_writer *w)
{
    size_t at = w->frame_at, length = w->out.len - at - FRAME_HEAD;

    put_at(w, at + 4, (uint32_t)length);
    put_at(w, at + 8, crc32c(0, w->out.items + at, 8));
    put(w, crc32c(0, w->out.items + at, FRAME_HEAD + length), 4);
}

static void write_all(struct flight_writer *w, const uint8_t *bytes, size_t size)
{
    size_t done = 0;

    while (done < size && !w->error) {
        ssize_t n = write(w->fd, bytes + done, size - done);
        if (n >= 0)
            done += (size_t)n;
        else if (errno != EINTR)
            w->error = -errno;
    }
}

static void flush(struct flight_writer *w)
{
    write_all(w, w->out.items, w->out.len);
    vec_clear(&w->out);
}

static int writer_open(const char *path, int flags, struct flight_writer **ret)
{
    struct flight_writer *w = calloc(1, sizeof *w);

    if (!w) return -ENOMEM;
    vec_init(&w->out, 2 * (size_t)FRAME_MAX);
    w->fd = open(path, flags | O_WRONLY | O_CLOEXEC, 0600);
    if (w->fd < 0) {
        int r = -errno;
        free(w);
        return r;
    }
    *ret = w;
    return 0;
}

int flight_create(const char *path, const struct flight_header *h, struct flight_writer **ret)
{
    struct flight_writer *w = NULL;
    int r = writer_open(path, O_CREAT | O_TRUNC, &w);

    if (r < 0) return r;
    if (vec_reserve(&w->out, sizeof magic) < 0) PANIC_MEMORY("out of memory for the flight log");
    memcpy(w->out.items, magic, sizeof magic);
    w->out.len = sizeof magic;
    frame_begin(w, FRAME_HEADER);
    put_text(w, FLIGHT_FORMAT);
    put_text(w, h->build);
    put_text(w, h->document);
    put_text(w, h->name);
    put_text(w, h->deployment);
    put(w, h->seed, 8);
    put(w, h->replicate, 4);
    put(w, h->incarnation, 4);
    put(w, h->component_count, 4);
    for (size_t i = 0; i < h->component_count; i++) put(w, h->components[i], 4);
    frame_end(w);
    flush(w);
    if ((r = w->error) < 0) {
        flight_close(w);
        return r;
    }
    *ret = w;
    return 0;
}

void flight_close(struct flight_writer *w)
{
    if (!w) return;
    close(w->fd);
    vec_deinit(&w->out);
    free(w);
}

int flight_error(const struct flight_writer *w)
{
    return w->error;
}

static void put_event(struct flight_writer *w, const struct event *ev)
{
    put(w, ev->type, 1);
    put(w, ev->self, 4);
    put(w, ev->from, 4);
    put(w, ev->flow, 4);
    put(w, ev->token, 8);
    put(w, ev->msg.type, 1);
    put(w, ev->msg.flags, 1);
    put(w, ev->msg.kind, 2);
    put(w, ev->msg.bytes, 4);
    put(w, ev->msg.a, 8);
    put(w, ev->msg.b, 8);
    put(w, ev->msg.c, 8);
    put(w, ev->msg.d, 8);
    put(w, ev->msg.e, 8);
}

void flight_turn(struct flight_writer *w, nsec_t now, const struct event *events, size_t count)
{
    frame_begin(w, FRAME_TURN);
    put(w, now, 8);
    put(w, count, 4);
    for (size_t i = 0; i < count; i++) put_event(w, &events[i]);
    frame_end(w);
    flush(w);
}

static void digest_effects(const struct effect *effects, size_t count, uint64_t ret[2])
{
    struct digest d;

    digest_init(&d);
    for (size_t i = 0; i < count; i++) {
        const struct effect *ef = &effects[i];
        const uint64_t words[] = {(uint64_t)ef->type | (uint64_t)ef->self << 32,
                                  (uint64_t)ef->to << 32 | ef->flow,
                                  ef->via,
                                  ef->at,
                                  ef->token,
                                  (uint64_t)ef->msg.type | (uint64_t)ef->msg.flags << 8 |
                                      (uint64_t)ef->msg.kind << 16 | (uint64_t)ef->msg.bytes << 32,
                                  ef->msg.a,
                                  ef->msg.b,
                                  ef->msg.c,
                                  ef->msg.d,
                                  ef->msg.e};
        digest_words(&d, words, sizeof words / sizeof *words);
    }
    digest_final(&d, ret);
}

void flight_effects(struct flight_writer *w, const struct effect *effects, size_t count)
{
    uint64_t digest[2];

    digest_effects(effects, count, digest);
    frame_begin(w, FRAME_EFFECTS);
    put(w, count, 4);
    put(w, digest[0], 8);
    put(w, digest[1], 8);
    frame_end(w);
    flush(w);
}

void flight_crashed(struct flight_writer *w, nsec_t now, addr_t self)
{
    frame_begin(w, FRAME_CRASHED);
    put(w, now, 8);
    put(w, self, 4);
    frame_end(w);
    flush(w);
}

void flight_added(struct flight_writer *w, addr_t self, uint32_t incarnation)
{
    frame_begin(w, FRAME_ADDED);
    put(w, self, 4);
    put(w, incarnation, 4);
    frame_end(w);
    flush(w);
}

void flight_recovered(struct flight_writer *w)
{
    frame_begin(w, FRAME_RECOVERED);
    frame_end(w);
    flush(w);
}

void flight_end(struct flight_writer *w)
{
    frame_begin(w, FRAME_END);
    frame_end(w);
    flush(w);
}

/* Reading
 * ---------------------------------------------------------------------------------------------------- */

struct flight_log {
    char *path;
    const uint8_t *bytes; /* the file, mapped */
    size_t mapped, size;  /* size: of whole frames */
    size_t body_at;       /* of the frames after the header */
    bool cut_short;       /* a frame that was cut off stood at its end */
    struct flight_header header;
    addr_t *components;
    char *texts[5];
};

/* A place in a frame; reading past its end sets `bad` and gives zeros. */
struct cursor {
    const uint8_t *at, *end;
    bool bad;
};

static uint64_t get(struct cursor *c, int bytes)
{
    uint64_t value = 0;

    if (c->end - c->at < bytes) {
        c->bad = true;
        return 0;
    }
    for (int i = 0; i < bytes; i++) value |= (uint64_t)c->at[i] << (8 * i);
    c->at += bytes;
    return value;
}

static char *get_text(struct cursor *c)
{
    size_t n = get(c, 4);
    char *text;

    if (c->bad || (size_t)(c->end - c->at) < n) {
        c->bad = true;
        return NULL;
    }
    text = strndup((const char *)c->at, n);
    if (!text) c->bad = true;
    c->at += n;
    return text;
}

static uint32_t word_at(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* The frame at `at`: 0 and its payload, -ENODATA at the (possibly cut off) end, -EBADMSG when its check sum
 * is wrong. */
static int frame_at(const struct flight_log *log, size_t at, enum frame *ret_type, struct cursor *ret_payload,
                    size_t *ret_next)
{
    uint32_t length;

    if (log->size - at < FRAME_HEAD) return -ENODATA;
    length = word_at(log->bytes + at + 4);
    if (length > FRAME_MAX || crc32c(0, log->bytes + at, 8) != word_at(log->bytes + at + 8)) return -EBADMSG;
    if (log->size - at < FRAME_HEAD + (size_t)length + FRAME_TAIL) return -ENODATA;
    if (crc32c(0, log->bytes + at, FRAME_HEAD + length) != word_at(log->bytes + at + FRAME_HEAD + length))
        return -EBADMSG;
    *ret_type = (enum frame)word_at(log->bytes + at);
    *ret_payload =
        (struct cursor){.at = log->bytes + at + FRAME_HEAD, .end = log->bytes + at + FRAME_HEAD + length};
    *ret_next = at + FRAME_HEAD + length + FRAME_TAIL;
    return 0;
}

/* A log may be longer than the memory that there is: it stays where it is. NULL: it is empty. */
static int map_file(const char *path, const uint8_t **ret, size_t *ret_size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC), r = 0;
    off_t size;
    void *memory = NULL;

    if (fd < 0) return -errno;
    size = lseek(fd, 0, SEEK_END);
    if (size < 0) r = -errno;
    if (size > 0) memory = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (memory == MAP_FAILED) r = -errno;
    close(fd);
    if (r < 0) return r;
    *ret = memory;
    *ret_size = (size_t)size;
    return 0;
}

static bool parse_header(struct flight_log *log, struct cursor *c)
{
    struct flight_header *h = &log->header;

    for (int i = 0; i < 5; i++) log->texts[i] = get_text(c);
    if (c->bad || strcmp(log->texts[0], FLIGHT_FORMAT) != 0) return false;
    h->build = log->texts[1];
    h->document = log->texts[2];
    h->name = log->texts[3];
    h->deployment = log->texts[4];
    h->seed = get(c, 8);
    h->replicate = (uint32_t)get(c, 4);
    h->incarnation = (uint32_t)get(c, 4);
    h->component_count = get(c, 4);
    if (c->bad || h->component_count > 1u << 24) return false;
    log->components = calloc(h->component_count + 1, sizeof(addr_t));
    if (!log->components) return false;
    for (size_t i = 0; i < h->component_count; i++) log->components[i] = (addr_t)get(c, 4);
    h->components = log->components;
    return !c->bad;
}

static int damaged(const struct flight_log *log, uint64_t frame, size_t at, struct str *error)
{
    str_appendf(error, "%s: frame %" PRIu64 " at byte %zu is damaged: its check sum does not match",
                log->path, frame, at);
    return -EBADMSG;
}

static int check_frames(struct flight_log *log, struct str *error)
{
    size_t at = sizeof magic, next;
    enum frame type;
    struct cursor payload;
    uint64_t number = 0;
    int r;

    if (log->size < sizeof magic || memcmp(log->bytes, magic, sizeof magic) != 0) {
        str_appendf(error, "%s: not a flight log (it does not begin with WTFLIGHT)", log->path);
        return -EBADMSG;
    }
    for (; (r = frame_at(log, at, &type, &payload, &next)) == 0; at = next, number++) {
        if (number == 0) {
            if (type != FRAME_HEADER || !parse_header(log, &payload)) {
                str_appendf(error, "%s: the header is of another format than %s", log->path, FLIGHT_FORMAT);
                return -EBADMSG;
            }
            log->body_at = next;
        }
    }
    if (r == -EBADMSG) return damaged(log, number, at, error);
    if (number == 0) {
        str_appendf(error, "%s: the log is empty", log->path);
        return -EBADMSG;
    }
    log->cut_short = at < log->size;
    log->size = at;
    return 0;
}

int flight_read(const char *path, struct flight_log **ret, struct str *error)
{
    struct flight_log *log = calloc(1, sizeof *log);
    int r;

    if (!log) return -ENOMEM;
    log->path = strdup(path);
    r = map_file(path, &log->bytes, &log->mapped);
    log->size = log->mapped;
    if (r < 0)
        str_appendf(error, "%s: %s", path, strerror(-r));
    else
        r = check_frames(log, error);
    if (r < 0) {
        flight_log_free(log);
        return r;
    }
    *ret = log;
    return 0;
}

void flight_log_free(struct flight_log *log)
{
    if (!log) return;
    for (int i = 0; i < 5; i++) free(log->texts[i]);
    free(log->components);
    if (log->bytes) munmap((void *)log->bytes, log->mapped);
    free(log->path);
    free(log);
}

/* Writing on
 * ------------------------------------------------------------------------------------------------- */

int flight_append(const struct flight_log *log, struct flight_writer **ret)
{
    struct flight_writer *w = NULL;
    int r = writer_open(log->path, O_APPEND, &w);

    if (r < 0) return r;
    if (ftruncate(w->fd, (off_t)log->size) < 0) {
        r = -errno;
        flight_close(w);
        return r;
    }
    *ret = w;
    return 0;
}

void flight_add_log(struct flight_writer *w, const struct flight_log *log)
{
    write_all(w, log->bytes + log->body_at, log->size - log->body_at);
}

const struct flight_header *flight_log_header(const struct flight_log *log)
{
    return &log->header;
}

/* Replay
 * ----------------------------------------------------------------------------------------------------- */

struct replay {
    const struct flight_log *log;
    struct world *world;
    struct recorder *recorder;
    struct flight_replayed *result;
    struct str *error;
    struct effects effects;
    VEC(struct event) events;
    bool handled; /* the effects of a turn stand in `effects` and were not compared yet */
    nsec_t now;
};

static struct event get_event(struct cursor *c)
{
    struct event ev = {.type = (uint8_t)get(c, 1)};

    ev.self = (addr_t)get(c, 4);
    ev.from = (addr_t)get(c, 4);
    ev.flow = (uint32_t)get(c, 4);
    ev.token = get(c, 8);
    ev.msg.type = (uint8_t)get(c, 1);
    ev.msg.flags = (uint8_t)get(c, 1);
    ev.msg.kind = (uint16_t)get(c, 2);
    ev.msg.bytes = (uint32_t)get(c, 4);
    ev.msg.a = get(c, 8);
    ev.msg.b = get(c, 8);
    ev.msg.c = get(c, 8);
    ev.msg.d = get(c, 8);
    ev.msg.e = get(c, 8);
    return ev;
}

static int differs(struct replay *p, const char *what)
{
    str_appendf(p->error, "%s: turn %" PRIu64 " at %" PRIu64 ".%09" PRIu64 " s: %s", p->log->path,
                p->result->turns, (uint64_t)(p->now / NSEC_PER_S), (uint64_t)(p->now % NSEC_PER_S), what);
    return -EBADMSG;
}

/* The ends of accepted flows are made before the turn's events are handled, as the driver does. */
static int accept_flows(struct replay *p)
{
    vec_for_each(ev, &p->events)
    {
        /* The carrier's end is not in the log: components read it from the flow's own OPEN. */
        if (ev->type != EVENT_MSG || ev->from == 0) continue;
        if (!world_has(p->world, ev->self)) return differs(p, "an event for a component that is not there");
        if (world_flow_accept(p->world, ev->self, ev->from, 0) != ev->flow)
            return differs(p, "an accepted flow has another id than in the log");
    }
    return 0;
}

static int replay_turn(struct replay *p, struct cursor *c)
{
    size_t count;
    int r;

    p->now = get(c, 8);
    count = get(c, 4);
    if (c->bad || (size_t)(c->end - c->at) != count * EVENT_BYTES) return differs(p, "its length is wrong");
    vec_clear(&p->events);
    for (size_t i = 0; i < count; i++) {
        if (vec_push(&p->events, get_event(c)) < 0) return -ENOMEM;
    }
    if ((r = accept_flows(p)) < 0) return r;
    p->effects.count = 0;
    vec_for_each(ev, &p->events)
    {
        if (!world_has(p->world, ev->self)) return differs(p, "an event for a component that is not there");
        if (ev->type == EVENT_MSG) {
            if (!world_flow_alive(p->world, ev->flow)) continue;
            ev->tag = world_flow(p->world, ev->flow).tag;
        }
        world_handle(p->world, p->now, ev, &p->effects);
        p->result->events++;
    }
    world_settle(p->world, NULL, NULL);
    p->result->effects += p->effects.count;
    p->result->turns++;
    p->handled = true;
    return 0;
}

static int replay_effects(struct replay *p, struct cursor *c)
{
    uint64_t count = get(c, 4), expected[2] = {get(c, 8), 0}, digest[2];

    expected[1] = get(c, 8);
    if (!p->handled || c->bad) return differs(p, "effects without their turn");
    p->handled = false;
    digest_effects(p->effects.items, p->effects.count, digest);
    if (count != p->effects.count) return differs(p, "the number of effects differs");
    if (digest[0] != expected[0] || digest[1] != expected[1]) return differs(p, "the effects differ");
    p->result->turns_checked++;
    return 0;
}

static int replay_crash(struct replay *p, struct cursor *c)
{
    struct event ev = {.type = EVENT_CRASH};

    p->now = get(c, 8);
    ev.self = (addr_t)get(c, 4);
    if (c->bad || !world_has(p->world, ev.self))
        return differs(p, "a crash of a component that is not there");
    p->effects.count = 0;
    world_handle(p->world, p->now, &ev, &p->effects);
    world_remove(p->world, ev.self);
    world_settle(p->world, NULL, NULL);
    return 0;
}

static int replay_recovery(struct replay *p)
{
    const struct flight_header *h = &p->log->header;

    for (size_t i = 0; i < h->component_count; i++) {
        if (world_has(p->world, h->components[i])) world_drop_flows(p->world, h->components[i]);
    }
    world_settle(p->world, NULL, NULL);
    return 0;
}

static int replay_end(struct replay *p)
{
    p->result->ended = true;
    return 0;
}

static int replay_frame(struct replay *p, enum frame type, struct cursor *c)
{
    addr_t self;

    if (p->result->ended) return differs(p, "a frame after the end");
    switch (type) {
    case FRAME_TURN: return replay_turn(p, c);
    case FRAME_EFFECTS: return replay_effects(p, c);
    case FRAME_CRASHED: return replay_crash(p, c);
    case FRAME_ADDED:
        self = (addr_t)get(c, 4);
        return world_add(p->world, self, p->recorder, (uint32_t)get(c, 4));
    case FRAME_RECOVERED: return replay_recovery(p);
    case FRAME_END: return replay_end(p);
    default: return differs(p, "a frame of an unknown type");
    }
}

int flight_replay(const struct flight_log *log, struct world *world, struct recorder *recorder,
                  struct flight_replayed *ret, struct str *error)
{
    struct replay p = {.log = log, .world = world, .recorder = recorder, .result = ret, .error = error};
    size_t at = log->body_at, next;
    enum frame type;
    struct cursor payload;
    int r = 0;

    *ret = (struct flight_replayed){.cut_short = log->cut_short};
    vec_init(&p.events, FRAME_MAX / EVENT_BYTES);
    while (r == 0 && frame_at(log, at, &type, &payload, &next) == 0) {
        r = replay_frame(&p, type, &payload);
        at = next;
    }
    effects_deinit(&p.effects);
    vec_deinit(&p.events);
    return r;
}
