#include "sim/policy/session_log.h"

#include <errno.h>
#include <stdbool.h>

#include "sim/base/panic.h"

#define CHUNK_EVENTS     16
#define DIRECTORY_CHUNKS 15

/* How the two numbers of an event share the 64 bits of its body. */
enum format {
    FORMAT_HALVES, /* c and d in 32 bits each */
    FORMAT_LONG_C, /* c in 42 (a time of up to 73 minutes), d in 22 */
    FORMAT_PIECE,  /* c in 22, each half of d in 21 */
    FORMAT_WIDE,   /* both elsewhere, the body is the id of a struct wide */
};

#define AT_BITS 50

struct cell {
    uint64_t at : AT_BITS; /* or the owner */
    uint64_t kind : 5;
    uint64_t tool : 2;
    uint64_t flags : 3;
    uint64_t format : 2;
    uint64_t state : 2;
    uint64_t body;
};
_Static_assert(sizeof(struct cell) == 16, "an event takes 16 bytes");

struct chunk {
    struct cell cells[CHUNK_EVENTS];
};

struct directory {
    uint32_t next;
    uint32_t chunks[DIRECTORY_CHUNKS];
};

struct wide {
    uint64_t c, d;
};

int session_log_store_init(struct session_log_store *store, uint64_t events_max)
{
    uint64_t chunks = events_max / CHUNK_EVENTS + 1;
    uint32_t limit = chunks < SLAB_LIMIT_MAX ? (uint32_t)chunks : SLAB_LIMIT_MAX;
    int r;

    *store = (struct session_log_store){0};
    r = slab_init(&store->chunks, sizeof(struct chunk), limit);
    if (r == 0) r = slab_init(&store->directories, sizeof(struct directory), limit);
    if (r == 0) r = slab_init(&store->wides, sizeof(struct wide), SLAB_LIMIT_MAX);
    if (r < 0) session_log_store_deinit(store);
    return r;
}

void session_log_store_deinit(struct session_log_store *store)
{
    if (!store) return;
    slab_deinit(&store->chunks);
    slab_deinit(&store->directories);
    slab_deinit(&store->wides);
}

size_t session_log_store_bytes(const struct session_log_store *store)
{
    return slab_bytes(&store->chunks) + slab_bytes(&store->directories) + slab_bytes(&store->wides);
}

static struct directory *directory_of(const struct session_log_store *store, uint32_t id)
{
    return slab_get_unchecked(&store->directories, id);
}

/* The log's chunk `n`, from 0; it must be there. */
static uint32_t chunk_of(const struct session_log_store *store, const struct session_log *log, uint32_t n)
{
    uint32_t id = log->directory_first, last;

    if (n < LOG_OWN_CHUNKS) return log->chunks[n];
    n -= LOG_OWN_CHUNKS;
    last = (log->count - 1) / CHUNK_EVENTS - LOG_OWN_CHUNKS;
    if (n / DIRECTORY_CHUNKS == last / DIRECTORY_CHUNKS)
        id = log->directory_last; /* by far the usual case */
    else
        for (uint32_t i = n / DIRECTORY_CHUNKS; i > 0; i--) id = directory_of(store, id)->next;
    return directory_of(store, id)->chunks[n % DIRECTORY_CHUNKS];
}

static struct cell *cell_of(const struct session_log_store *store, const struct session_log *log,
                            uint32_t seq)
{
    uint32_t index = seq - 1;
    struct chunk *chunk;

    ASSERT(seq >= 1 && seq <= log->count);
    chunk = slab_get_unchecked(&store->chunks, chunk_of(store, log, index / CHUNK_EVENTS));
    return &chunk->cells[index % CHUNK_EVENTS];
}

void session_log_soon(const struct session_log_store *store, const struct session_log *log, uint32_t seq)
{
    uint32_t index = seq ? seq - 1 : log->count;
    uint32_t id = index / CHUNK_EVENTS < LOG_OWN_CHUNKS ? log->chunks[index / CHUNK_EVENTS] : 0;
    const struct chunk *chunk;

    if (slab_index(id) >= store->chunks.used) return;
    chunk = slab_get_unchecked(&store->chunks, id);
    __builtin_prefetch(&chunk->cells[index % CHUNK_EVENTS]);
}

static bool add_directory(struct session_log_store *store, struct session_log *log)
{
    uint32_t directory = slab_alloc(&store->directories);

    if (!directory) return false;
    if (log->directory_last)
        directory_of(store, log->directory_last)->next = directory;
    else
        log->directory_first = directory;
    log->directory_last = directory;
    return true;
}

/* Makes room for one event more. */
static bool grow(struct session_log_store *store, struct session_log *log)
{
    uint32_t n = log->count / CHUNK_EVENTS, chunk;

    if (log->count % CHUNK_EVENTS) return true;
    chunk = slab_alloc(&store->chunks);
    if (!chunk) return false;
    if (n < LOG_OWN_CHUNKS) {
        log->chunks[n] = chunk;
        return true;
    }
    n = (n - LOG_OWN_CHUNKS) % DIRECTORY_CHUNKS;
    if (n == 0 && !add_directory(store, log)) {
        slab_free(&store->chunks, chunk);
        return false;
    }
    directory_of(store, log->directory_last)->chunks[n] = chunk;
    return true;
}

static bool fits(uint64_t value, unsigned bits)
{
    return value >> bits == 0;
}

static bool pack(struct session_log_store *store, const struct log_entry *e, enum format *ret_format,
                 uint64_t *ret_body)
{
    uint32_t id;

    if (fits(e->c, 32) && fits(e->d, 32)) {
        *ret_format = FORMAT_HALVES;
        *ret_body = e->c << 32 | e->d;
    } else if (fits(e->c, 42) && fits(e->d, 22)) {
        *ret_format = FORMAT_LONG_C;
        *ret_body = e->c << 22 | e->d;
    } else if (fits(e->c, 22) && fits(e->d >> 32, 21) && fits((uint32_t)e->d, 21)) {
        *ret_format = FORMAT_PIECE;
        *ret_body = e->c << 42 | (e->d >> 32) << 21 | (uint32_t)e->d;
    } else {
        id = slab_alloc(&store->wides);
        if (!id) return false;
        *(struct wide *)slab_get_unchecked(&store->wides, id) = (struct wide){.c = e->c, .d = e->d};
        *ret_format = FORMAT_WIDE;
        *ret_body = id;
    }
    return true;
}

static void unpack(const struct session_log_store *store, const struct cell *cell,
                   struct log_entry *ret_entry)
{
    const struct wide *wide;
    uint64_t body = cell->body;

    switch ((enum format)cell->format) {
    case FORMAT_HALVES:
        ret_entry->c = body >> 32;
        ret_entry->d = (uint32_t)body;
        break;
    case FORMAT_LONG_C:
        ret_entry->c = body >> 22;
        ret_entry->d = body & ((UINT32_C(1) << 22) - 1);
        break;
    case FORMAT_PIECE:
        ret_entry->c = body >> 42;
        ret_entry->d = (body >> 21 & ((UINT32_C(1) << 21) - 1)) << 32 | (body & ((UINT32_C(1) << 21) - 1));
        break;
    case FORMAT_WIDE:
        wide = slab_get_unchecked(&store->wides, (uint32_t)body);
        ret_entry->c = wide->c;
        ret_entry->d = wide->d;
        break;
    }
}

uint32_t session_log_append(struct session_log_store *store, struct session_log *log,
                            const struct log_entry *entry)
{
    enum format format;
    struct cell *cell;
    uint64_t body;

    ASSERT(entry->kind < LOG_KINDS && entry->tool < LOG_TOOLS && entry->flags < LOG_FLAGS);
    if (log->count == UINT32_MAX || !pack(store, entry, &format, &body)) return 0;
    if (!grow(store, log)) {
        if (format == FORMAT_WIDE) slab_free(&store->wides, (uint32_t)body);
        return 0;
    }
    log->count++;
    cell = cell_of(store, log, log->count);
    *cell = (struct cell){.at = entry->at < LOG_TIME_MAX ? entry->at : LOG_TIME_MAX,
                          .kind = entry->kind,
                          .tool = entry->tool,
                          .flags = entry->flags,
                          .format = format,
                          .state = LOG_PLAIN,
                          .body = body};
    return log->count;
}

void session_log_get(const struct session_log_store *store, const struct session_log *log, uint32_t seq,
                     struct log_entry *ret_entry)
{
    const struct cell *cell = cell_of(store, log, seq);
    bool open = cell->state == LOG_OPEN;

    *ret_entry = (struct log_entry){.kind = cell->kind,
                                    .tool = cell->tool,
                                    .flags = cell->flags,
                                    .state = (enum log_state)cell->state,
                                    .owner = open ? (uint32_t)cell->at : 0,
                                    .at = open ? 0 : cell->at};
    unpack(store, cell, ret_entry);
}

static void set_at(struct cell *cell, nsec_t at)
{
    cell->at = at < LOG_TIME_MAX ? at : LOG_TIME_MAX;
}

void session_log_set_at(struct session_log_store *store, const struct session_log *log, uint32_t seq,
                        nsec_t at)
{
    struct cell *cell = cell_of(store, log, seq);

    ASSERT(cell->state != LOG_OPEN);
    set_at(cell, at);
}

void session_log_bind(struct session_log_store *store, const struct session_log *log, uint32_t seq,
                      uint32_t owner)
{
    struct cell *cell = cell_of(store, log, seq);

    ASSERT(cell->state == LOG_PLAIN);
    cell->state = LOG_OPEN;
    cell->at = owner;
}

void session_log_unbind(struct session_log_store *store, const struct session_log *log, uint32_t seq,
                        enum log_state state, nsec_t at)
{
    struct cell *cell = cell_of(store, log, seq);

    ASSERT(cell->state == LOG_OPEN && (state == LOG_ANSWERED || state == LOG_CLOSED));
    cell->state = state;
    set_at(cell, at);
}

static void free_chunk(struct session_log_store *store, uint32_t id, uint32_t events)
{
    const struct chunk *chunk = slab_get_unchecked(&store->chunks, id);

    for (uint32_t i = 0; i < events; i++)
        if (chunk->cells[i].format == FORMAT_WIDE) slab_free(&store->wides, (uint32_t)chunk->cells[i].body);
    slab_free(&store->chunks, id);
}

/* Frees the chunks with the ids in `chunks`, at most `max`, which hold the next of `left` events; returns how
 * many are left then. */
static uint32_t free_chunks(struct session_log_store *store, const uint32_t *chunks, uint32_t max,
                            uint32_t left)
{
    for (uint32_t i = 0; i < max && left; i++) {
        uint32_t events = left < CHUNK_EVENTS ? left : CHUNK_EVENTS;

        free_chunk(store, chunks[i], events);
        left -= events;
    }
    return left;
}

void session_log_free(struct session_log_store *store, struct session_log *log)
{
    uint32_t left = free_chunks(store, log->chunks, LOG_OWN_CHUNKS, log->count), id = log->directory_first;

    while (id) {
        const struct directory *directory = directory_of(store, id);
        uint32_t next = directory->next;

        left = free_chunks(store, directory->chunks, DIRECTORY_CHUNKS, left);
        slab_free(&store->directories, id);
        id = next;
    }
    *log = (struct session_log){0};
}
