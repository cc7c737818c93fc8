#include "mock-orchestrator/content_store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mock-orchestrator/id_map.h"
#include "sim/base/mix.h"

struct content {
    struct content *same_hash;
    struct content *prev, *next; /* of its session */
    uint64_t session, key;
    size_t len;
    char bytes[];
};

struct content_store {
    struct id_map contents; /* struct content, by hash */
    struct id_map sessions; /* each session's first struct content */
    size_t bytes, bytes_max;
};

int content_store_new(size_t bytes_max, struct content_store **ret_store)
{
    struct content_store *s = calloc(1, sizeof *s);

    if (!s) return -ENOMEM;
    s->bytes_max = bytes_max;
    *ret_store = s;
    return 0;
}

static size_t weight(size_t len)
{
    return sizeof(struct content) + len;
}

static uint64_t hash_of(uint64_t session, uint64_t key)
{
    return mix64_chain(session, key);
}

void content_store_free(struct content_store *s)
{
    struct content *next;

    if (!s) return;
    for (size_t i = 0; i < s->contents.capacity; i++) {
        for (struct content *c = s->contents.slots[i].value; c; c = next) {
            next = c->same_hash;
            free(c);
        }
    }
    id_map_deinit(&s->contents);
    id_map_deinit(&s->sessions);
    free(s);
}

static struct content *find(const struct content_store *s, uint64_t session, uint64_t key)
{
    struct content *c = id_map_get(&s->contents, hash_of(session, key));

    while (c && (c->session != session || c->key != key)) c = c->same_hash;
    return c;
}

/* Makes it the first of its session. -ENOMEM. */
static int link_session(struct content_store *s, struct content *c)
{
    struct content *first = id_map_get(&s->sessions, c->session);

    if (id_map_put(&s->sessions, c->session, c) < 0) return -ENOMEM;
    c->next = first;
    if (first) first->prev = c;
    return 0;
}

static void unlink_session(struct content_store *s, struct content *c)
{
    if (c->next) c->next->prev = c->prev;
    if (c->prev)
        c->prev->next = c->next;
    else if (c->next)
        id_map_put(&s->sessions, c->session, c->next); /* the key is there: needs no memory */
    else
        id_map_take(&s->sessions, c->session);
}

static void unlink_hash(struct content_store *s, struct content *c)
{
    uint64_t hash = hash_of(c->session, c->key);
    struct content *at = id_map_get(&s->contents, hash);

    if (at == c && c->same_hash)
        id_map_put(&s->contents, hash, c->same_hash);
    else if (at == c)
        id_map_take(&s->contents, hash);
    while (at != c && at->same_hash != c) at = at->same_hash;
    if (at != c) at->same_hash = c->same_hash;
}

int content_store_put(struct content_store *s, uint64_t session, uint64_t key, const void *bytes, size_t len)
{
    uint64_t hash = hash_of(session, key);
    struct content *c;

    if (find(s, session, key)) return -EEXIST;
    if (len > s->bytes_max || weight(len) > s->bytes_max - s->bytes) return -ENOSPC;
    c = malloc(weight(len));
    if (!c) return -ENOMEM;
    *c = (struct content){
        .same_hash = id_map_get(&s->contents, hash), .session = session, .key = key, .len = len};
    if (len) memcpy(c->bytes, bytes, len);
    if (id_map_put(&s->contents, hash, c) < 0) {
        free(c);
        return -ENOMEM;
    }
    if (link_session(s, c) < 0) {
        unlink_hash(s, c);
        free(c);
        return -ENOMEM;
    }
    s->bytes += weight(len);
    return 0;
}

const char *content_store_get(const struct content_store *s, uint64_t session, uint64_t key, size_t *ret_len)
{
    const struct content *c = find(s, session, key);

    if (!c) return NULL;
    *ret_len = c->len;
    return c->bytes;
}

static void drop(struct content_store *s, struct content *c)
{
    unlink_hash(s, c);
    unlink_session(s, c);
    s->bytes -= weight(c->len);
    free(c);
}

void content_store_drop(struct content_store *s, uint64_t session, uint64_t key)
{
    struct content *c = find(s, session, key);

    if (c) drop(s, c);
}

void content_store_drop_session(struct content_store *s, uint64_t session)
{
    struct content *c;

    while ((c = id_map_get(&s->sessions, session))) drop(s, c);
}

size_t content_store_bytes(const struct content_store *s)
{
    return s->bytes;
}
