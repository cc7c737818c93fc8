/*
 * Bytes that peers posted and that must come back to the letter, by session and key. Bounded in total.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct content_store;

/* A store of up to `bytes_max` bytes, book-keeping included. -ENOMEM. */
int content_store_new(size_t bytes_max, struct content_store **ret_store);
void content_store_free(struct content_store *s);

/* Keeps a copy of `len` bytes under (session, key). 0; -EEXIST: there is one, which stays; -ENOSPC: the store
 * is full; -ENOMEM. */
int content_store_put(struct content_store *s, uint64_t session, uint64_t key, const void *bytes, size_t len);
/* The bytes, valid until they are dropped; NULL: none. */
const char *content_store_get(const struct content_store *s, uint64_t session, uint64_t key, size_t *ret_len);
/* Forgets one, if it is there; or all of a session. */
void content_store_drop(struct content_store *s, uint64_t session, uint64_t key);
void content_store_drop_session(struct content_store *s, uint64_t session);

/* Bytes held. */
size_t content_store_bytes(const struct content_store *s);
