/* Documents: what is kept of them is counted, and so bounded. */
#include <stdlib.h>

#include "mock-orchestrator/api_server_state.h"

struct document *document_new(struct api_server *s, json_t *json)
{
    size_t bytes = json_dumpb(json, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY);
    bool room = json && bytes <= s->o.document_bytes_max - s->document_bytes;
    struct document *d = room ? malloc(sizeof *d) : NULL;

    if (!d) {
        json_decref(json);
        return NULL;
    }
    *d = (struct document){.json = json, .bytes = bytes, .holders = 1};
    s->document_bytes += bytes;
    return d;
}

struct document *document_hold(struct document *d)
{
    d->holders++;
    return d;
}

void document_drop(struct api_server *s, struct document *d)
{
    if (!d || --d->holders) return;
    s->document_bytes -= d->bytes;
    json_decref(d->json);
    free(d);
}

bool document_replace(struct api_server *s, struct document **d, json_t *json)
{
    size_t given = *d && (*d)->holders == 1 ? (*d)->bytes : 0;
    struct document *made;

    s->document_bytes -= given;
    made = document_new(s, json);
    s->document_bytes += given;
    if (!made) return false;
    document_drop(s, *d);
    *d = made;
    return true;
}

json_t *document_copy(const struct document *d)
{
    return d ? json_copy(d->json) : json_object();
}
