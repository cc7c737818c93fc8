#include "mock-orchestrator/token_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct token {
    struct list link;
    uint64_t work, session;
    char text[];
};

void token_table_init(struct token_table *t, size_t max)
{
    *t = (struct token_table){.max = max};
    list_init(&t->used);
}

static void forget(struct token_table *t, struct token *token)
{
    if (id_map_get(&t->by_work, token->work) == token) id_map_take(&t->by_work, token->work);
    if (id_map_get(&t->by_session, token->session) == token) id_map_take(&t->by_session, token->session);
    list_remove(&token->link);
    t->count--;
    free(token);
}

void token_table_deinit(struct token_table *t)
{
    while (t->count) forget(t, container_of(list_first(&t->used), struct token, link));
    id_map_deinit(&t->by_work);
    id_map_deinit(&t->by_session);
}

int token_table_put(struct token_table *t, uint64_t work, uint64_t session, const char *text)
{
    size_t size = strlen(text) + 1;
    struct token *token;

    token_table_drop(t, work);
    if (t->count >= t->max) forget(t, container_of(list_last(&t->used), struct token, link));
    token = malloc(sizeof *token + size);
    if (!token) return -ENOMEM;
    token->work = work;
    token->session = session;
    memcpy(token->text, text, size);
    list_init(&token->link);
    list_push_front(&t->used, &token->link);
    t->count++;
    if (id_map_put(&t->by_work, work, token) == 0 && id_map_put(&t->by_session, session, token) == 0)
        return 0;
    forget(t, token);
    return -ENOMEM;
}

static const char *use(struct token_table *t, struct token *token)
{
    if (!token) return NULL;
    list_remove(&token->link);
    list_push_front(&t->used, &token->link);
    return token->text;
}

const char *token_table_of_work(struct token_table *t, uint64_t work)
{
    return use(t, id_map_get(&t->by_work, work));
}

const char *token_table_of_session(struct token_table *t, uint64_t session)
{
    return use(t, id_map_get(&t->by_session, session));
}

void token_table_drop(struct token_table *t, uint64_t work)
{
    struct token *token = id_map_get(&t->by_work, work);

    if (token) forget(t, token);
}
